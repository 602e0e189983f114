/* warm.c - a machine ahead of its container. See instance.h, hyperv.h.
 *
 * Under tcg a guest's path costs several times more the first time, because it is
 * translated then. A pool machine has run them all: it was told a name, mounted two
 * disks of no account, started a container from them as a real one is started, and
 * forgot it. What it starts is what the server says the next container will be like;
 * before the server knows, the plan below, which names no host path and no limit and
 * has what makes the guest do what a real plan makes it do.
 *
 * Then it mounts the image that was said and a disk without a name, which becomes the
 * container's when it gets one, and stands still. A container of another image, or
 * one that has a disk, has these taken off again. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "isolation/hyperv/hyperv.h"
#include "isolation/hyperv/instance.h"
#include "isolation/hyperv/scratch.h"
#include "launch/plan_base.h"

#define WARM_MS 120000 /* nobody waits for it, and it runs behind everybody else */
#define WARM_SHARES 128 /* an eighth of a container's */
#define WARM_TURNS 2
#define WARM_CAPS 0xa80425fb /* Docker's default set */

static const char *const files[] = {"/etc/resolv.conf", "/etc/hostname", "/etc/hosts"};
static const char *const masked[] = {"/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware", NULL};
static const char *const readonly[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", NULL};

static struct plan *make_plan(void)
{
    static const enum plan_namespace_kind fresh[] = {PLAN_NS_MOUNT, PLAN_NS_PID, PLAN_NS_IPC, PLAN_NS_UTS, PLAN_NS_CGROUP};
    static const struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 1000000, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct plan *plan = plan_new();

    plan->id = mem_strdup("warm");
    plan->hostname = mem_strdup("warm");
    for (size_t i = 0; i < ARRAY_SIZE(fresh); i++)
        plan->namespaces[fresh[i]].mode = PLAN_NS_NEW;
    plan->rootfs.layers_dir = mem_strdup("/");
    plan->mounts = mem_array(plan_base_mount_count + ARRAY_SIZE(files), sizeof(*plan->mounts));
    for (const struct plan_base_mount *base = plan_base_mounts; base < plan_base_mounts + plan_base_mount_count; base++)
        plan->mounts[plan->mount_count++] = (struct plan_mount){
            .type = mem_strdup(base->type), .source = mem_strdup(base->type), .target = mem_strdup(base->target),
            .flags = base->flags, .data = mem_strdup(base->data)};
    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        plan->mounts[plan->mount_count++] = (struct plan_mount){
            .type = mem_strdup("bind"), .source = mem_strdup(files[i]), .target = mem_strdup(files[i]),
            .flags = MS_BIND | MS_REC, .propagation = MS_PRIVATE | MS_REC};
    plan->masked_paths = strv_dup((char *const *)(const void *)masked);
    plan->readonly_paths = strv_dup((char *const *)(const void *)readonly);
    plan->limits.device_rules = mem_new(struct plan_device_rule);
    plan->limits.device_rule_count = 1;
    *plan->limits.device_rules = (struct plan_device_rule){.allow = true, .type = 'a', .major = -1, .minor = -1, .access = "rwm"};
    strv_push(&plan->process.env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    plan->process.no_stdin = true;
    plan->process.caps = (struct plan_caps){.bounding = WARM_CAPS, .permitted = WARM_CAPS};
    plan->process.seccomp = mem_array(sizeof(filter), 1);
    memcpy(plan->process.seccomp, filter, sizeof(filter));
    plan->process.seccomp_size = sizeof(filter);
    return plan;
}

static void put_plan(struct str *body, const struct plan *plan, bool standing)
{
    CLEANUP_STR struct str encoded = STR_INIT;

    plan_encode(plan, &encoded);
    wire_put_bytes(body, RPC_TAG_PLAN, encoded.data, encoded.length);
    wire_put_bool(body, RPC_TAG_AHEAD, standing);
    for (size_t i = 0; i < plan->mount_count; i++) {
        if (!str_equal(plan->mounts[i].type, "bind"))
            continue;
        size_t mark = wire_begin(body, RPC_TAG_FILE);
        wire_put_string(body, RPC_TAG_PATH, plan->mounts[i].source);
        wire_put_bytes(body, RPC_TAG_DATA, "warm\n", 5);
        wire_end(body, mark);
    }
}

static void put_interface(struct str *out)
{
    static const uint8_t mac[6] = {0x02, 0, 0, 0, 0, 1};
    size_t mark = wire_begin(out, RPC_TAG_INTERFACE);

    wire_put_string(out, RPC_TAG_NAME, "eth0");
    wire_put_bytes(out, RPC_TAG_MAC, mac, sizeof(mac));
    wire_put_u64(out, RPC_TAG_MTU, 1500);
    wire_put_string(out, RPC_TAG_ADDRESS, "169.254.77.2/16");
    wire_put_string(out, RPC_TAG_GATEWAY, "169.254.77.1");
    wire_end(out, mark);
}

static bool has_ended(void *user)
{
    struct isolation_instance *instance = user;

    return instance->exits || instance->fallen;
}

/* What its output says nobody needs to know: that it wrote some, and ended well, does. */
static int run_program(struct isolation_instance *instance, const struct plan *plan, struct error *err)
{
    CLEANUP_STR struct str body = STR_INIT;
    struct isolation_process process = {.pty_fd = -EBADF, .stdio = {-EBADF, -EBADF, -EBADF}};
    int r, status = -1;

    put_plan(&body, plan, true);
    r = hyperv__run(instance, RPC_START, &body, false, &process, err);
    if (r < 0)
        return r;
    r = mux_wait(instance->mux, has_ended, instance, WARM_MS);
    for (int i = 0; i < 3; i++)
        cleanup_close(&process.stdio[i]);
    if (instance->exits)
        status = instance->exits->status;
    hyperv__drop_exits(instance);
    if (r < 0 || status != 0)
        return error_set(err, r < 0 ? -r : EIO, "the pool machine's first program did not end well (status %d)", status);
    return 0;
}

/* Its disks, and on them what surrounds a container like this. */
int hyperv__stand(struct isolation_instance *instance, const struct plan *plan, struct ends *ends, struct error *err)
{
    CLEANUP_STR struct str body = STR_INIT;
    int r = vm_connect(&instance->vm, ends->image, ends->scratch, ends->taps, WARM_MS, err);

    put_plan(&body, plan, false);
    if (r >= 0)
        r = hyperv__ask_within(instance, RPC_DISKS, &body, WARM_MS, err);
    ends->mounted = r >= 0;
    return r;
}

static int turn(struct isolation_instance *instance, const struct plan *plan, struct error *err)
{
    CLEANUP_FREE char *image = path_join(instance->setup.dir, "warm.erofs");
    CLEANUP(hyperv__ends_close) struct ends ends = ENDS_INIT;
    int r;

    ends.image = open(image, O_RDONLY | O_CLOEXEC);
    if (ends.image < 0)
        return error_errno(err, errno, "cannot open %s", image);
    put_interface(&ends.interfaces);
    r = scratch_temporary(&instance->setup, instance->setup.dir, &ends.scratch, err);
    if (r >= 0)
        r = hyperv__stand(instance, plan, &ends, err);
    if (r >= 0)
        r = hyperv__give(instance, plan, &ends, WARM_MS, err);
    if (r >= 0)
        r = run_program(instance, plan, err);
    if (r >= 0)
        r = hyperv__ask_within(instance, RPC_RESET, NULL, WARM_MS, err);
    return r < 0 ? r : vm_disconnect(&instance->vm, WARM_MS, err);
}

int hyperv_warm(struct isolation_instance *instance, const char *cgroup, struct error *err)
{
    static const struct plan_limits low = {.cpu_shares = WARM_SHARES, .memory_swappiness = -1};
    int r = hyperv__enter_cgroup(instance, cgroup, err);

    instance->pooled = true;
    if (r >= 0)
        r = cgroup_apply(cgroup, &low, err);
    if (r >= 0 && (!instance->setup.has_template || instance->memory_fd < 0))
        r = error_set(err, ENOENT, "there is no template");
    return r < 0 ? r : hyperv__restore_plain(instance, err);
}

/* --- what it has ahead ---------------------------------------------------------------- */

void hyperv__ahead_drop(struct isolation_instance *instance)
{
    free(instance->ahead.image);
    instance->ahead.image = NULL;
    plan_free(instance->ahead.plan);
    instance->ahead.plan = NULL;
    cleanup_close(&instance->ahead.scratch);
}

int hyperv__ahead_leave(struct isolation_instance *instance, int timeout_ms, struct error *err)
{
    static const int no_taps[MACHINE_NICS] = NO_TAPS;
    int r;

    if (!instance->ahead.image)
        return 0;
    r = vm_connect(&instance->vm, -EBADF, -EBADF, no_taps, timeout_ms, err);
    if (r >= 0)
        r = hyperv__ask_within(instance, RPC_RESET, NULL, timeout_ms, err);
    if (r >= 0)
        r = vm_disconnect(&instance->vm, timeout_ms, err);
    hyperv__ahead_drop(instance);
    return r;
}

void hyperv__ahead_take(struct isolation_instance *instance, const struct plan *plan, struct ends *ends)
{
    if (!instance->ahead.image || plan->rootfs.size || !str_equal(instance->ahead.image, plan->rootfs.device) ||
        scratch_name(instance->ahead.scratch, plan) < 0)
        return;
    ends->scratch = TAKE_FD(instance->ahead.scratch);
    ends->mounted = true;
    instance->standing = TAKE_PTR(instance->ahead.plan);
    hyperv__ahead_drop(instance);
}

/* Takes the plan. */
static int stand_ahead(struct isolation_instance *instance, struct plan *taken, const char *dir, struct error *err)
{
    CLEANUP(plan_freep) struct plan *plan = taken;
    CLEANUP(hyperv__ends_close) struct ends ends = ENDS_INIT;
    int r;

    /* Where there cannot be one without a name, or the image has gone meanwhile, it
     * waits with nothing. */
    ends.image = open(plan->rootfs.device, O_RDONLY | O_CLOEXEC);
    if (ends.image < 0 || scratch_temporary(&instance->setup, dir, &ends.scratch, NULL) < 0)
        return 0;
    r = hyperv__stand(instance, plan, &ends, err);
    if (r >= 0)
        r = vm_forget_disks(&instance->vm, WARM_MS, err);
    if (r >= 0)
        r = vm_pause(&instance->vm, WARM_MS, err);
    if (r < 0)
        return r;
    instance->ahead.image = mem_strdup(plan->rootfs.device);
    instance->ahead.scratch = TAKE_FD(ends.scratch);
    instance->ahead.plan = TAKE_PTR(plan);
    return 0;
}

int hyperv_rehearse(struct isolation_instance *instance, struct plan *given, const char *dir, struct error *err)
{
    CLEANUP(plan_freep) struct plan *plan = given ? given : make_plan();
    int r = hyperv__ahead_leave(instance, WARM_MS, err);

    CLEANUP_STRV char **argv = TAKE_PTR(plan->process.argv);
    strv_push(&plan->process.argv, "/" WARM_PROGRAM);
    for (int i = 0; r >= 0 && i < WARM_TURNS; i++)
        r = turn(instance, plan, err);
    strv_freep(&plan->process.argv);
    plan->process.argv = TAKE_PTR(argv);
    return r < 0 || !plan->rootfs.device ? r : stand_ahead(instance, TAKE_PTR(plan), dir, err);
}

int hyperv_warm_watch(struct isolation_instance *instance, pid_t *ret_pid)
{
    *ret_pid = instance->vm.pid;
    return instance->vm.pidfd;
}

void hyperv_adopt(struct isolation_instance *instance, const char *id)
{
    free(instance->id);
    instance->id = mem_strdup(id);
}

int hyperv_move(struct isolation_instance *instance, const char *cgroup, struct error *err)
{
    return hyperv__enter_cgroup(instance, cgroup, err);
}
