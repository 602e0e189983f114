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
#include "isolation/hyperv/tap.h"
#include "isolation/hyperv/worker.h"

#define RESTORE_MS 15000
#define FIRST_ANSWER_MS 10000
#define BOOT_MS 90000

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

static int make_machine(struct isolation_instance *instance, const struct plan *plan, bool boot, int image_fd,
                        int scratch_fd, const int *tap_fds, const struct str *interfaces, struct error *err)
{
    CLEANUP_FREE char *state_path = path_join(instance->setup.dir, "state");
    CLEANUP_CLOSE int state = -EBADF, memory = -EBADF;
    struct vm_spec spec = {.setup = &instance->setup, .id = instance->id, .cgroup = instance->cgroup,
                           .uid = worker_uid(instance->id), .boot = boot, .memory_fd = instance->memory_fd,
                           .image_fd = image_fd, .scratch_fd = scratch_fd};
    int r;

    memcpy(spec.tap_fds, tap_fds, sizeof(spec.tap_fds));
    if (boot) {
        memory = memfd_create(instance->id, MFD_CLOEXEC);
        if (memory < 0 || ftruncate(memory, (off_t)instance->setup.memory_bytes) < 0 ||
            fchown(memory, spec.uid, spec.uid) < 0 || fchmod(memory, 0600) < 0)
            return error_errno(err, errno, "cannot make the machine's memory");
        spec.memory_fd = memory;
    } else {
        state = open(state_path, O_RDONLY | O_CLOEXEC);
        if (state < 0)
            return error_errno(err, errno, "cannot open the template's state");
    }
    instance->raising = true;
    instance->fallen = false;
    instance->fall = ERROR_INIT;
    instance->console_length = 0;
    r = vm_start(&spec, &instance->vm, err);
    if (r >= 0 && !boot)
        r = vm_restore(&instance->vm, state, RESTORE_MS, err);
    if (r >= 0)
        r = hyperv__watch(instance, err);
    if (r >= 0)
        r = introduce(instance, plan, interfaces, boot ? BOOT_MS : FIRST_ANSWER_MS, err);
    /* Disks, names and streams are done; the monitor has nothing more to say. */
    qmp_close(&instance->vm.qmp);
    instance->raising = false;
    if (r < 0)
        hyperv__forget(instance);
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

struct taps {
    int fds[TAPS_MAX];
};

static void taps_close(struct taps *taps)
{
    for (int i = 0; i < TAPS_MAX; i++)
        cleanup_close(&taps->fds[i]);
}

int hyperv__raise(struct isolation_instance *instance, const struct plan *plan, struct error *err)
{
    CLEANUP_CLOSE int image = -EBADF, scratch = -EBADF;
    CLEANUP(taps_close) struct taps taps = {NO_TAPS};
    CLEANUP_STR struct str interfaces = STR_INIT;
    const struct plan_namespace *net = &plan->namespaces[PLAN_NS_NET];
    bool can_restore = instance->setup.has_template && instance->memory_fd >= 0;
    int r;

    image = open(plan->rootfs.device ? plan->rootfs.device : "", O_RDONLY | O_CLOEXEC);
    if (image < 0)
        return error_errno(err, errno, "cannot open the image's disk");
    r = scratch_open(&instance->setup, plan, &scratch, err);
    if (r >= 0 && net->mode == PLAN_NS_JOIN)
        r = tap_open(net->path, &interfaces, taps.fds, err);
    if (r >= 0 && net->mode == PLAN_NS_JOIN && wants_resolver(plan))
        r = resolver_new(instance->loop, net->path, on_answer, instance, &instance->resolver, err);
    if (r < 0)
        return r;
    if (can_restore) {
        struct error failure = ERROR_INIT;
        r = make_machine(instance, plan, false, image, scratch, taps.fds, &interfaces, &failure);
        if (r >= 0)
            return 0;
        mark_damaged(&instance->setup);
    }
    return make_machine(instance, plan, true, image, scratch, taps.fds, &interfaces, err);
}
