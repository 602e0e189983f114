/* raise.c - a container's machine: restored from the template, or booted where there
 * is none or it does not answer. See instance.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "isolation/hyperv/instance.h"
#include "isolation/hyperv/scratch.h"
#include "isolation/hyperv/shares.h"
#include "isolation/hyperv/tap.h"
#include "isolation/hyperv/worker.h"

#define RESTORE_MS 15000
#define FIRST_ANSWER_MS 10000
#define BOOT_MS 90000
#define TAKE_MS 3000
#define GUEST_OWN (UINT64_C(96) << 20)
#define MEMORY_STEP (UINT64_C(128) << 20)

/* First thing after waking: a clone has the template's random pool, clock and no
 * name. Its answer is also the proof that the machine lives. */
static int introduce(struct isolation_instance *instance, const struct plan *plan, const struct str *interfaces,
                     int timeout_ms, struct error *err)
{
    CLEANUP_STR struct str body = STR_INIT;
    uint8_t entropy[64];
    char machine_id[34];

    random_bytes(entropy, sizeof(entropy));
    wire_put_bytes(&body, RPC_TAG_ENTROPY, entropy, sizeof(entropy));
    wire_put_i64(&body, RPC_TAG_TIME, clock_real_ns());
    wire_put_string(&body, RPC_TAG_HOSTNAME, plan->hostname ? plan->hostname : "localhost");
    snprintf(machine_id, sizeof(machine_id), "%.32s\n", instance->id);
    wire_put_string(&body, RPC_TAG_MACHINE_ID, machine_id);
    wire_put_bool(&body, RPC_TAG_RESOLVER, instance->resolver != NULL);
    str_append_n(&body, interfaces->data ? interfaces->data : "", interfaces->length);
    return hyperv__ask_within(instance, RPC_MACHINE, &body, timeout_ms, err);
}

static void begin_raising(struct isolation_instance *instance)
{
    instance->raising = true;
    instance->fallen = false;
    instance->fall = ERROR_INIT;
    instance->console_length = 0;
}

int hyperv__restore(struct isolation_instance *instance, int memory_fd, int state_fd, struct error *err)
{
    const struct vm_spec spec = {.setup = &instance->setup, .id = instance->id, .cgroup = instance->cgroup,
                                 .uid = worker_uid(instance->id), .memory_fd = memory_fd, .shared_memory = instance->stages,
                                 .image_fd = -EBADF, .scratch_fd = -EBADF, .tap_fds = NO_TAPS};
    int r;

    begin_raising(instance);
    r = vm_start(&spec, &instance->vm, err);
    if (r >= 0)
        r = vm_restore(&instance->vm, state_fd, RESTORE_MS, err);
    return r < 0 ? r : hyperv__watch(instance, err);
}

int hyperv__restore_plain(struct isolation_instance *instance, struct error *err)
{
    CLEANUP_FREE char *path = path_join(instance->setup.dir, "state");
    CLEANUP_CLOSE int state = open(path, O_RDONLY | O_CLOEXEC);

    if (state < 0)
        return error_errno(err, errno, "cannot open the template's state");
    return hyperv__restore(instance, instance->memory_fd, state, err);
}

static int boot(struct isolation_instance *instance, const struct ends *ends, struct error *err)
{
    CLEANUP_CLOSE int memory = memfd_create(instance->id, MFD_CLOEXEC);
    struct vm_spec spec = {.setup = &instance->setup, .id = instance->id, .cgroup = instance->cgroup,
                           .uid = worker_uid(instance->id), .boot = true, .memory_fd = memory,
                           .image_fd = ends->image, .scratch_fd = ends->scratch};
    int r;

    memcpy(spec.tap_fds, ends->taps, sizeof(spec.tap_fds));
    if (memory < 0 || ftruncate(memory, (off_t)instance->setup.memory_bytes) < 0 ||
        fchown(memory, spec.uid, spec.uid) < 0 || fchmod(memory, 0600) < 0)
        return error_errno(err, errno, "cannot make the machine's memory");
    begin_raising(instance);
    r = vm_start(&spec, &instance->vm, err);
    return r < 0 ? r : hyperv__watch(instance, err);
}

int hyperv__give(struct isolation_instance *instance, const struct plan *plan, const struct ends *ends, int timeout_ms,
                 struct error *err)
{
    int r = vm_connect(&instance->vm, ends->mounted ? -EBADF : ends->image, ends->mounted ? -EBADF : ends->scratch,
                       ends->taps, timeout_ms, err);

    return r < 0 ? r : introduce(instance, plan, &ends->interfaces, timeout_ms, err);
}

/* What came of it. The monitor is kept for changes of its networks. */
static int raised(struct isolation_instance *instance, int r)
{
    if (r >= 0)
        r = vm_forget_disks(&instance->vm, TAKE_MS, NULL);
    if (r >= 0)
        r = hyperv__watch_monitor(instance, NULL);
    instance->raising = false;
    if (r < 0)
        hyperv__forget(instance);
    else
        hyperv__staged_drop(false);
    return r;
}

static void mark_damaged(const struct machine_setup *setup)
{
    CLEANUP_FREE char *path = path_join(setup->dir, "damaged");
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    if (fd >= 0)
        close(fd);
}

static void on_answer(void *user, uint64_t id, const void *data, size_t length)
{
    struct isolation_instance *instance = user;

    if (instance->mux)
        mux_send(instance->mux, RPC_RESOLVE, RPC_REPLY, id, data, length);
}

/* Its resolv.conf says whether the container asks us. */
static bool wants_resolver(const struct plan *plan)
{
    for (size_t i = 0; i < plan->mount_count; i++) {
        const struct plan_mount *mount = &plan->mounts[i];
        CLEANUP_FREE char *text = NULL;
        if (str_equal(mount->target, "/etc/resolv.conf") && str_equal(mount->type, "bind"))
            return file_read(AT_FDCWD, mount->source, 64 << 10, &text, NULL) >= 0 && strstr(text, "nameserver 127.0.0.11");
    }
    return false;
}

void hyperv__ends_close(struct ends *ends)
{
    cleanup_close(&ends->image);
    cleanup_close(&ends->scratch);
    for (int i = 0; i < MACHINE_NICS; i++)
        cleanup_close(&ends->taps[i]);
    str_free(&ends->interfaces);
}

static int open_ends(struct isolation_instance *instance, const struct plan *plan, struct ends *ends, struct error *err)
{
    const struct plan_namespace *net = &plan->namespaces[PLAN_NS_NET];
    int r = 0;

    ends->image = open(plan->rootfs.device ? plan->rootfs.device : "", O_RDONLY | O_CLOEXEC);
    if (ends->image < 0)
        return error_errno(err, errno, "cannot open the image's disk");
    hyperv__ahead_take(instance, plan, ends);
    if (!ends->mounted)
        hyperv__staged_take(instance, plan, ends);
    if (ends->scratch < 0 && !ends->mounted)
        r = scratch_open(&instance->setup, plan, &ends->scratch, err);
    if (r >= 0 && net->mode == PLAN_NS_JOIN) {
        free(instance->netns);
        instance->netns = mem_strdup(net->path);
        r = tap_open(net->path, &ends->interfaces, ends->taps, err);
    }
    if (r >= 0 && net->mode == PLAN_NS_JOIN && wants_resolver(plan))
        r = resolver_new(instance->loop, net->path, on_answer, instance, &instance->resolver, err);
    return r;
}

/* A container that may use more than the template's machine has gets one of its own
 * size, booted. The guest's kernel keeps a share of all memory for itself. */
static bool is_too_large(struct isolation_instance *instance, const struct plan *plan)
{
    uint64_t wanted = plan->limits.memory > 0 ? (uint64_t)plan->limits.memory : 0;

    wanted += GUEST_OWN + wanted / 64;
    if (wanted <= instance->setup.memory_bytes)
        return false;
    instance->setup.memory_bytes = (wanted + MEMORY_STEP - 1) / MEMORY_STEP * MEMORY_STEP;
    return true;
}

/* Nothing stands for it any more. */
static void lose_standing(struct isolation_instance *instance, struct ends *ends)
{
    plan_free(instance->standing);
    instance->standing = NULL;
    ends->mounted = ends->staged = false;
}

/* From the template that is staged for it, or from the plain one. */
static int raise_clone(struct isolation_instance *instance, const struct plan *plan, const struct ends *ends)
{
    struct error failure = ERROR_INIT;
    int r = ends->staged ? hyperv__staged_restore(instance, &failure) : hyperv__restore_plain(instance, &failure);

    if (r >= 0)
        r = hyperv__give(instance, plan, ends, FIRST_ANSWER_MS, &failure);
    bool began = instance->vm.pid > 0; /* else it was not the template's fault */
    if (raised(instance, r) >= 0)
        return 0;
    if (began && ends->staged)
        hyperv__staged_drop(true);
    else if (began)
        mark_damaged(&instance->setup);
    return -EIO;
}

/* Each way that does not succeed leaves nothing, and the next, slower one is tried: a
 * machine of the pool, a clone of the staged template, one of the plain template, a boot. */
int hyperv__raise(struct isolation_instance *instance, const struct plan *plan, struct error *err)
{
    CLEANUP(hyperv__ends_close) struct ends ends = ENDS_INIT;
    bool waits = instance->vm.pid > 0;
    bool can_restore = instance->setup.has_template && instance->memory_fd >= 0;
    struct error failure = ERROR_INIT;
    int r = open_ends(instance, plan, &ends, err);

    if (r < 0)
        return r;
    if (is_too_large(instance, plan))
        can_restore = false;
    if (waits) {
        instance->pooled = false;
        if (can_restore && !instance->fallen) {
            r = ends.mounted ? 0 : hyperv__ahead_leave(instance, TAKE_MS, &failure);
            if (r >= 0)
                r = hyperv__give(instance, plan, &ends, TAKE_MS, &failure);
            if (raised(instance, r) >= 0)
                return 0;
        }
        hyperv__forget(instance);
        hyperv__ahead_drop(instance);
        lose_standing(instance, &ends);
    }
    if (ends.staged)
        hyperv__staged_interfaces(&ends);
    if (can_restore && ends.staged && raise_clone(instance, plan, &ends) >= 0)
        return 0;
    lose_standing(instance, &ends);
    if (can_restore && raise_clone(instance, plan, &ends) >= 0)
        return 0;
    r = boot(instance, &ends, err);
    if (r >= 0)
        r = introduce(instance, plan, &ends.interfaces, BOOT_MS, err);
    return raised(instance, r);
}

/* --- a machine that runs ------------------------------------------------------------- */

/* What is new is told when its device has the other end, and what has gone loses its own
 * when the guest no longer sends by it: a packet for nobody would hold up all after it. */
int hyperv__follow_networks(struct isolation_instance *instance, struct error *err)
{
    CLEANUP(hyperv__ends_close) struct ends ends = ENDS_INIT;
    CLEANUP_STR struct str body = STR_INIT;
    bool gone[TAPS_MAX];
    int r;

    if (instance->fallen || !instance->mux || !instance->monitor_watch || !instance->netns)
        return error_set(err, ENOTSUP, "the networks of this machine cannot be changed while it runs");
    r = tap_follow(instance->netns, &ends.interfaces, ends.taps, gone, err);
    for (int i = 0; r >= 0 && i < TAPS_MAX; i++)
        if (ends.taps[i] >= 0)
            r = vm_connect_tap(&instance->vm, i, ends.taps[i], TAKE_MS, err);
    if (r < 0)
        return r;
    bool resolver = shares_refresh(instance->files, &body);
    if (resolver && !instance->resolver)
        r = resolver_new(instance->loop, instance->netns, on_answer, instance, &instance->resolver, err);
    wire_put_bool(&body, RPC_TAG_RESOLVER, instance->resolver != NULL);
    if (ends.interfaces.length)
        str_append_n(&body, ends.interfaces.data, ends.interfaces.length);
    if (r >= 0)
        r = hyperv__ask(instance, RPC_NETWORK, &body, err);
    for (int i = 0; r >= 0 && i < TAPS_MAX; i++)
        if (gone[i])
            r = vm_disconnect_tap(&instance->vm, i, TAKE_MS, err);
    return r;
}
