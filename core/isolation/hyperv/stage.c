/* stage.c - a template with one image's container all but begun: made, and used. See
 * staged.h, instance.h.
 *
 * What a start without a warm machine costs under tcg is the guest's paths being
 * translated for the first time. A path that was gone before the machine was saved is
 * not gone again by its clones. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "isolation/hyperv/hyperv.h"
#include "isolation/hyperv/instance.h"
#include "isolation/hyperv/scratch.h"
#include "isolation/hyperv/staged.h"
#include "isolation/hyperv/worker.h"

#define PLAN_MAX (4u << 20)
#define SAVE_MS 120000 /* behind everybody else */

static bool has_staged;

void hyperv_use_staged(bool inherited)
{
    has_staged = inherited;
}

static struct plan *read_plan(void)
{
    CLEANUP_FREE char *text = NULL;
    struct plan *plan = NULL;
    struct stat st;

    if (fstat(FD_STAGED + STAGED_PLAN, &st) < 0 || st.st_size <= 0 || st.st_size > PLAN_MAX)
        return NULL;
    text = mem_array((size_t)st.st_size, 1);
    /* Its offset is shared with every shim that has it. */
    if (pread(FD_STAGED + STAGED_PLAN, text, (size_t)st.st_size, 0) != (ssize_t)st.st_size ||
        plan_decode(text, (size_t)st.st_size, &plan) < 0)
        return NULL;
    return plan;
}

/* --- using it ------------------------------------------------------------------------- */

void hyperv__staged_take(struct isolation_instance *instance, const struct plan *plan, struct ends *ends)
{
    CLEANUP(plan_freep) struct plan *staged = has_staged && !plan->rootfs.size ? read_plan() : NULL;

    if (!staged || !str_equal(staged->rootfs.device, plan->rootfs.device) ||
        scratch_copy(FD_STAGED + STAGED_DISK, plan, &ends->scratch) < 0)
        return;
    instance->standing = TAKE_PTR(staged);
    ends->staged = true;
}

int hyperv__staged_restore(struct isolation_instance *instance, struct error *err)
{
    /* A file of its own: QEMU reads on from where the last reader was. */
    CLEANUP_FREE char *path = mem_printf("/proc/self/fd/%d", FD_STAGED + STAGED_STATE);
    CLEANUP_CLOSE int state = open(path, O_RDONLY | O_CLOEXEC);

    if (state < 0)
        return error_errno(err, errno, "cannot open the staged template's state");
    return hyperv__restore(instance, FD_STAGED + STAGED_MEMORY, state, err);
}

void hyperv__staged_drop(bool damaged)
{
    if (!has_staged)
        return;
    if (damaged)
        (void)!ftruncate(FD_STAGED + STAGED_PLAN, 0);
    for (int i = 0; i < STAGED_FILES; i++)
        close(FD_STAGED + i);
    has_staged = false;
}

/* --- making it ------------------------------------------------------------------------ */

/* The worker's while it writes it; then nobody can any more. */
static int lend_memory(const struct isolation_instance *instance, struct error *err)
{
    int memory = FD_STAGED + STAGED_MEMORY;
    uid_t uid = worker_uid(instance->id);
    int r = machine_memory_copy(instance->memory_fd, memory, instance->setup.memory_bytes);

    if (r < 0)
        return error_errno(err, -r, "cannot copy the template's memory");
    return fchown(memory, uid, uid) < 0 || fchmod(memory, 0600) < 0 ? error_errno(err, errno, "cannot lend the memory") : 0;
}

static int seal_memory(struct error *err)
{
    int memory = FD_STAGED + STAGED_MEMORY;

    if (fchown(memory, 0, 0) < 0 || fchmod(memory, 0666) < 0 ||
        fcntl(memory, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
        return error_errno(err, errno, "cannot seal the memory");
    return 0;
}

static void put_eth0(struct str *out, const uint8_t *mac)
{
    size_t mark = wire_begin(out, RPC_TAG_INTERFACE);

    wire_put_string(out, RPC_TAG_NAME, "eth0");
    if (mac)
        wire_put_bytes(out, RPC_TAG_MAC, mac, 6);
    wire_end(out, mark);
}

void hyperv__staged_interfaces(struct ends *ends)
{
    if (ends->taps[0] < 0)
        put_eth0(&ends->interfaces, NULL);
}

/* Most containers have one: it is up, without an address, and gets another MAC. */
static int bring_up_eth0(struct isolation_instance *instance, struct error *err)
{
    static const uint8_t mac[6] = {0x02, 0, 0, 0, 0, 1};
    CLEANUP_STR struct str body = STR_INIT;

    put_eth0(&body, mac);
    return hyperv__ask_within(instance, RPC_MACHINE, &body, SAVE_MS, err);
}

int hyperv_stage(struct isolation_instance *instance, const char *cgroup, struct error *err)
{
    CLEANUP(plan_freep) struct plan *plan = read_plan();
    CLEANUP(hyperv__ends_close) struct ends ends = ENDS_INIT;
    int r = plan ? lend_memory(instance, err) : error_set(err, EINVAL, "there is no plan");

    instance->memory_fd = FD_STAGED + STAGED_MEMORY;
    instance->stages = true;
    if (r >= 0)
        r = hyperv_warm(instance, cgroup, err);
    if (r >= 0 && ((ends.image = open(plan->rootfs.device, O_RDONLY | O_CLOEXEC)) < 0 ||
                   (ends.scratch = fcntl(FD_STAGED + STAGED_DISK, F_DUPFD_CLOEXEC, 0)) < 0))
        r = error_errno(err, errno, "cannot open the disks");
    if (r >= 0)
        r = scratch_fill(&instance->setup, ends.scratch, err);
    if (r >= 0)
        r = hyperv__stand(instance, plan, &ends, err);
    if (r >= 0)
        r = bring_up_eth0(instance, err);
    if (r >= 0)
        r = vm_save(&instance->vm, FD_STAGED + STAGED_STATE, SAVE_MS, err);
    if (r < 0)
        return r;
    hyperv__forget(instance);
    return seal_memory(err);
}
