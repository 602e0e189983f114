/* hyperv.c - the thick wall: isolation_hyperv_ops.
 *
 * The shim asks, this file asks the agent in the guest, over one channel
 * (rpc/mux.h). A request blocks the shim until its answer, while the channel is
 * served; a guest that does not answer in time has lost its container. Everything
 * from the guest is checked: lengths and windows by the mux, statuses and pids
 * here.
 *
 * Start: image and scratch disks opened, tap made, worker spawned, machine
 * restored from the template (or booted, where there is none or it does not
 * answer), told who it is, and given the plan with host paths replaced. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/loop.h"
#include "base/mem.h"
#include "isolation/hyperv/hyperv.h"
#include "isolation/hyperv/instance.h"
#include "isolation/hyperv/shares.h"

#define SHUTDOWN_MS 3000
/* What the worker itself needs beside the guest's memory: translated code, its
 * own heap and stacks. Added to the container's limit on the host's side. */
#define WORKER_OVERHEAD (INT64_C(192) << 20)

static const char *machines_dir = "";
static const char *files_program = "";
static int template_memory_fd = -EBADF;

void hyperv_use(const char *dir, int memory_fd, const char *files)
{
    files_program = files;
    machines_dir = dir;
    template_memory_fd = memory_fd;
}

/* --- stdio ---------------------------------------------------------------------------------------------- */

struct stdio {
    int ours[3], theirs[3]; /* ours: the shim's; theirs: the mux's */
    int pty, pty_theirs;
};

static void stdio_close(struct stdio *stdio)
{
    for (int i = 0; i < 3; i++) {
        cleanup_close(&stdio->ours[i]);
        cleanup_close(&stdio->theirs[i]);
    }
    cleanup_close(&stdio->pty);
    cleanup_close(&stdio->pty_theirs);
}

static int stdio_open(struct stdio *stdio, bool tty, struct error *err)
{
    int fds[2];

    *stdio = (struct stdio){{-EBADF, -EBADF, -EBADF}, {-EBADF, -EBADF, -EBADF}, -EBADF, -EBADF};
    if (tty) {
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
            return error_errno(err, errno, "cannot make a socket pair");
        stdio->pty = fds[0];
        stdio->pty_theirs = fds[1];
        return 0;
    }
    for (int i = 0; i < 3; i++) {
        if (pipe2(fds, O_CLOEXEC) < 0)
            return error_errno(err, errno, "cannot make a pipe");
        stdio->ours[i] = i == 0 ? fds[1] : fds[0];
        stdio->theirs[i] = i == 0 ? fds[0] : fds[1];
    }
    return 0;
}

/* Before the order is sent: what the process writes at once must find its sink. */
static int stdio_join(struct isolation_instance *instance, struct stdio *stdio, uint64_t base, struct error *err)
{
    int r;

    if (stdio->pty_theirs >= 0) {
        r = mux_source(instance->mux, base, fcntl(stdio->pty_theirs, F_DUPFD_CLOEXEC, 0), NULL, NULL);
        if (r >= 0)
            r = mux_sink(instance->mux, base + 1, TAKE_FD(stdio->pty_theirs));
    } else {
        r = mux_source(instance->mux, base, TAKE_FD(stdio->theirs[0]), NULL, NULL);
        for (int i = 1; r >= 0 && i < 3; i++)
            r = mux_sink(instance->mux, base + (uint64_t)i, TAKE_FD(stdio->theirs[i]));
    }
    return r < 0 ? error_errno(err, -r, "cannot connect the process's streams") : 0;
}

int hyperv__run(struct isolation_instance *instance, uint16_t type, struct str *body, bool tty,
                struct isolation_process *ret, struct error *err)
{
    CLEANUP(stdio_close) struct stdio stdio;
    uint64_t base = instance->next_stream;
    struct wire_reader reader;
    struct wire_field field;
    int r;

    instance->next_stream += 4;
    r = stdio_open(&stdio, tty, err);
    if (r >= 0)
        r = stdio_join(instance, &stdio, base, err);
    if (r < 0)
        return r;
    wire_put_u64(body, RPC_TAG_STREAM_BASE, base);
    r = hyperv__ask(instance, type, body, err);
    if (r < 0) {
        for (uint64_t i = 0; instance->mux && i < 3; i++)
            mux_remove(instance->mux, base + i);
        ret->exec_failed = instance->pending.exec_failed;
        return r;
    }
    *ret = (struct isolation_process){.pid = instance->vm.pid, .pty_fd = TAKE_FD(stdio.pty)};
    for (int i = 0; i < 3; i++)
        ret->stdio[i] = TAKE_FD(stdio.ours[i]);
    wire_read(&reader, instance->pending.body.data, instance->pending.body.length);
    while (wire_next(&reader, &field)) {
        if (field.tag == RPC_TAG_GUEST_PID)
            ret->guest_pid = (pid_t)(wire_u64(&reader, &field) & 0x3fffff);
    }
    return 0;
}

/* --- the operations ---------------------------------------------------------------------------------------- */

static void op_close(struct isolation_instance *instance);

static int op_open(const char *id, const char *dir, struct loop *loop, const struct isolation_events *events, void *user,
                   struct isolation_instance **ret, struct error *err)
{
    struct isolation_instance *instance = mem_new(struct isolation_instance);

    *instance = (struct isolation_instance){.id = mem_strdup(id), .loop = loop, .events = *events, .user = user,
                                            .memory_fd = template_memory_fd, .vm = VM_INIT, .ahead = {.scratch = -EBADF},
                                            .next_stream = 16};
    int r = loop_add_timer(loop, INT64_MAX / 2, 0, hyperv__pass_on_exits, instance, &instance->exits_due);
    if (r < 0)
        r = error_errno(err, -r, "cannot make a timer");
    else
        r = machine_setup_load(machines_dir, &instance->setup, err);
    if (r >= 0 && str_equal(instance->setup.accelerator, "none"))
        r = error_set(err, ENOTSUP, "no virtual machine runs on this host (%s); use --isolation=process",
                      instance->setup.reason);
    if (r < 0) {
        op_close(instance);
        return r;
    }
    *ret = instance;
    return 0;
}

/* The container's limits as its cgroup on the host has them: they bound the worker as
 * well, and leave it what it needs itself. Pids and devices are the guest's own
 * matter; the worker has few and none. */
static int apply_limits(struct isolation_instance *instance, const struct plan_limits *limits, struct error *err)
{
    struct plan_limits outer = *limits;

    if (outer.memory > 0)
        outer.memory += WORKER_OVERHEAD;
    if (outer.memory_swap > 0)
        outer.memory_swap += WORKER_OVERHEAD;
    outer.pids = 0;
    outer.device_rules = NULL;
    outer.device_rule_count = 0;
    return cgroup_apply(instance->cgroup, &outer, err);
}

/* A machine that waited in another one moves along. */
int hyperv__enter_cgroup(struct isolation_instance *instance, const char *path, struct error *err)
{
    int r;

    if (instance->cgroup && str_equal(instance->cgroup, path))
        return 0;
    r = cgroup_create(path, err);
    if (r >= 0 && instance->vm.pid > 0 && cgroup_attach(path, instance->vm.pid, err) < 0)
        hyperv__forget(instance); /* it has just died: another one is made */
    if (r < 0)
        return r;
    if (instance->cgroup)
        (void)cgroup_remove(instance->cgroup);
    free(instance->cgroup);
    instance->cgroup = mem_strdup(path);
    return 0;
}

/* The cgroup with its limits, and in it the machine. */
static int raise_limited(struct isolation_instance *instance, const struct plan *plan, struct error *err)
{
    int r = hyperv__enter_cgroup(instance, plan->cgroup, err);

    if (r >= 0)
        r = apply_limits(instance, &plan->limits, err);
    return r < 0 ? r : hyperv__raise(instance, plan, err);
}

/* Whether what surrounds the container was made ahead as this plan has it. The binds that
 * stand are small files, sent by content, and no others are. */
static bool is_standing(const struct isolation_instance *instance, const struct plan *plan)
{
    size_t binds = 0;

    if (!instance->standing)
        return false;
    for (size_t i = 0; i < instance->standing->mount_count; i++)
        binds += str_equal(instance->standing->mounts[i].type, "bind");
    return binds == strv_length(instance->files) && launch_same_surroundings(instance->standing, plan);
}

static int op_start(struct isolation_instance *instance, const struct plan *plan, struct isolation_process *ret,
                    struct error *err)
{
    CLEANUP_STR struct str body = STR_INIT, encoded = STR_INIT, shares = STR_INIT;
    int r = raise_limited(instance, plan, err);

    if (r < 0)
        return r;
    plan_encode(plan, &encoded);
    wire_put_bytes(&body, RPC_TAG_PLAN, encoded.data, encoded.length);
    r = shares_open(plan, files_program, instance->vm.files_fd, &shares, &instance->files, &instance->files_pid, err);
    if (r < 0)
        return r;
    wire_put_bool(&body, RPC_TAG_AHEAD, is_standing(instance, plan));
    str_append_n(&body, shares.data ? shares.data : "", shares.length);
    return hyperv__run(instance, RPC_START, &body, plan->process.tty, ret, err);
}

static int op_exec(struct isolation_instance *instance, const char *exec_id, const struct plan_process *process,
                   struct isolation_process *ret, struct error *err)
{
    CLEANUP_STR struct str body = STR_INIT, encoded = STR_INIT;

    /* Its first steps would be frozen with the others, and the agent waits for them. */
    if (instance->frozen)
        return error_set(err, EBUSY, "the container is paused");
    plan_process_encode(process, &encoded);
    wire_put_bytes(&body, RPC_TAG_PROCESS, encoded.data, encoded.length);
    wire_put_string(&body, RPC_TAG_EXEC_ID, exec_id);
    return hyperv__run(instance, RPC_EXEC, &body, process->tty, ret, err);
}

static int op_signal(struct isolation_instance *instance, const char *exec_id, int signal, struct error *err)
{
    CLEANUP_STR struct str body = STR_INIT;

    wire_put_string(&body, RPC_TAG_EXEC_ID, exec_id);
    wire_put_u64(&body, RPC_TAG_SIGNAL, (uint64_t)signal);
    return hyperv__ask(instance, RPC_SIGNAL, &body, err);
}

static int op_signal_pid(struct isolation_instance *instance, pid_t pid, uint64_t start_ticks, int signal, struct error *err)
{
    CLEANUP_STR struct str body = STR_INIT;

    wire_put_u64(&body, RPC_TAG_PID, (uint64_t)pid);
    wire_put_u64(&body, RPC_TAG_START_TICKS, start_ticks);
    wire_put_u64(&body, RPC_TAG_SIGNAL, (uint64_t)signal);
    return hyperv__ask(instance, RPC_SIGNAL, &body, err);
}

static int op_resize(struct isolation_instance *instance, const char *exec_id, uint16_t rows, uint16_t cols, struct error *err)
{
    CLEANUP_STR struct str body = STR_INIT;

    wire_put_string(&body, RPC_TAG_EXEC_ID, exec_id);
    wire_put_u64(&body, RPC_TAG_ROWS, rows);
    wire_put_u64(&body, RPC_TAG_COLS, cols);
    return hyperv__ask(instance, RPC_RESIZE, &body, err);
}

static int op_processes(struct isolation_instance *instance, struct str *out, struct error *err)
{
    int r = hyperv__ask(instance, RPC_PROCESSES, NULL, err);

    if (r >= 0)
        str_append_n(out, instance->pending.body.data ? instance->pending.body.data : "", instance->pending.body.length);
    return r;
}

static int op_stats(struct isolation_instance *instance, struct cgroup_stats *ret, struct error *err)
{
    int r = hyperv__ask(instance, RPC_STATS, NULL, err);

    if (r >= 0 && cgroup_stats_decode(instance->pending.body.data, instance->pending.body.length, ret) < 0)
        r = error_set(err, EBADMSG, "the guest's statistics are malformed");
    return r;
}

static int op_freeze(struct isolation_instance *instance, bool frozen, struct error *err)
{
    CLEANUP_STR struct str body = STR_INIT;

    wire_put_bool(&body, RPC_TAG_FROZEN, frozen);
    int r = hyperv__ask(instance, RPC_FREEZE, &body, err);
    if (r >= 0)
        instance->frozen = frozen;
    return r;
}

static int op_update(struct isolation_instance *instance, const struct plan_limits *limits, struct error *err)
{
    CLEANUP_STR struct str body = STR_INIT, encoded = STR_INIT;
    int r;

    plan_limits_encode(limits, &encoded);
    wire_put_bytes(&body, RPC_TAG_LIMITS, encoded.data, encoded.length);
    r = hyperv__ask(instance, RPC_UPDATE, &body, err);
    return r < 0 ? r : apply_limits(instance, limits, err);
}

static int op_network(struct isolation_instance *instance, struct error *err)
{
    return hyperv__follow_networks(instance, err);
}

static int op_root(struct isolation_instance *instance, int *ret_fd, struct error *err)
{
    return error_set(err, ENOTSUP, "the file system of a container with a kernel of its own is not on this host");
}

static int op_mount(struct isolation_instance *instance, const struct plan *plan, struct error *err)
{
    int r = raise_limited(instance, plan, err);

    return r < 0 ? r : hyperv__ask(instance, RPC_MOUNT, NULL, err);
}

static int op_transfer(struct isolation_instance *instance, uint16_t type, const void *body, size_t length, int data_fd,
                       isolation_done_fn *done, void *user, uint64_t *ret_job, struct error *err)
{
    CLEANUP_STR struct str order = STR_INIT;
    CLEANUP_CLOSE int data = data_fd;
    uint64_t stream = instance->next_stream;
    struct job *job;
    int r = 0;

    if (instance->fallen || !instance->mux)
        return error_set(err, ESRCH, "the container's machine is not running");
    instance->next_stream += 4;
    str_append_n(&order, length ? body : "", length);
    wire_put_u64(&order, RPC_TAG_STREAM_BASE, stream);
    if (type == RPC_ARCHIVE_PUT)
        r = mux_source(instance->mux, stream, TAKE_FD(data), NULL, NULL);
    else if (type != RPC_ARCHIVE_STAT)
        r = mux_sink(instance->mux, stream, TAKE_FD(data));
    if (r < 0)
        return error_errno(err, -r, "cannot connect the archive's stream");
    job = mem_new(struct job);
    *job = (struct job){.id = ++instance->next_id, .stream = stream, .done = done, .user = user};
    mux_send(instance->mux, type, 0, job->id, order.data, order.length);
    if (instance->fallen) {
        free(job);
        return error_set(err, EPIPE, "the machine was lost");
    }
    /* Only now: the caller must know of it before its done() is called. */
    job->next = instance->jobs;
    instance->jobs = job;
    *ret_job = job->id;
    return 0;
}

static void op_transfer_cancel(struct isolation_instance *instance, uint64_t id)
{
    struct job **at = hyperv__job_find(instance, id);
    struct job *job = *at;

    if (!job)
        return;
    *at = job->next;
    if (instance->mux) {
        mux_remove(instance->mux, job->stream);
        mux_send(instance->mux, RPC_CANCEL, 0, job->id, NULL, 0);
    }
    free(job);
}

/* The guest is asked to write its disk back; one that does not in time loses what
 * its page cache held, as a machine whose plug is pulled. */
static void op_close(struct isolation_instance *instance)
{
    if (instance->mux && !instance->fallen && !instance->pooled)
        (void)hyperv__ask_within(instance, RPC_SHUTDOWN, NULL, SHUTDOWN_MS, NULL);
    instance->ending = true;
    hyperv__forget(instance);
    if (instance->cgroup) {
        (void)cgroup_kill(instance->cgroup, SIGKILL);
        (void)cgroup_remove(instance->cgroup);
    }
    hyperv__ahead_drop(instance);
    plan_free(instance->standing);
    hyperv__drop_exits(instance);
    loop_remove(instance->exits_due);
    resolver_free(instance->resolver);
    machine_setup_clear(&instance->setup);
    str_free(&instance->pending.body);
    free(instance->cgroup);
    free(instance->netns);
    strv_free(instance->files);
    free(instance->id);
    free(instance);
}

const struct isolation isolation_hyperv_ops = {
    .name = "hyperv",
    .capabilities = ISOLATION_OWN_KERNEL,
    .open = op_open,
    .start = op_start,
    .exec = op_exec,
    .signal = op_signal,
    .signal_pid = op_signal_pid,
    .resize = op_resize,
    .processes = op_processes,
    .stats = op_stats,
    .freeze = op_freeze,
    .update = op_update,
    .network = op_network,
    .root = op_root,
    .close = op_close,
    .mount = op_mount,
    .transfer = op_transfer,
    .transfer_cancel = op_transfer_cancel,
};
