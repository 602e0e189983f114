/* process.c - the thin wall: namespaces and cgroups of the host's own kernel.
 * Owner: isolation/process.
 *
 * The shim is the parent, and as a child subreaper the foster parent, of all
 * that runs. SIGCHLD comes through a signalfd into its loop; every child is
 * reaped at once, also those we did not start, since a container's first process
 * can only finish dying when the execs beside it have been reaped.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/loop.h"
#include "base/mem.h"
#include "host/process_wire.h"
#include "isolation/isolation.h"
#include "rpc/rpc.h"
#include "tabique/error.h"
#include "tabique/host.h"

struct running {
    struct running *next;
    char *exec_id; /* "": the container's own */
    struct launched launched;
    int tty;       /* for resizing; the shim has the master itself */
};

struct isolation_instance {
    struct loop *loop;
    struct isolation_events events;
    void *user;
    struct plan *plan;
    struct running *running;
    int signals;
    struct loop_source *signal_source;
    int oom;
    struct loop_source *oom_source;
    uint64_t oom_kills;
    bool oom_told;
    int proc;
    bool frozen;
};

static struct running *find(struct isolation_instance *i, const char *exec_id)
{
    struct running *r = i->running;

    while (r && !str_equal(r->exec_id, exec_id ? exec_id : ""))
        r = r->next;
    return r;
}

static void forget(struct isolation_instance *i, struct running *gone)
{
    struct running **at = &i->running;

    while (*at != gone)
        at = &(*at)->next;
    *at = gone->next;
    launched_close(&gone->launched);
    if (gone->tty >= 0)
        close(gone->tty);
    free(gone->exec_id);
    free(gone);
}

/* --- ends ----------------------------------------------------------------------- */
static void ended(struct isolation_instance *i, struct running *r, const siginfo_t *info)
{
    int status = info->si_code == CLD_EXITED ? info->si_status : 128 + info->si_status;
    bool own = r->exec_id[0] == '\0';
    bool oom = false;
    CLEANUP_FREE char *exec_id = mem_strdup(r->exec_id);

    if (own) {
        /* A pid namespace of its own has taken everything along. Otherwise what
         * is left in the cgroup goes now. */
        if (i->plan->namespaces[PLAN_NS_PID].mode != PLAN_NS_NEW && i->plan->cgroup)
            (void)cgroup_kill(i->plan->cgroup, SIGKILL);
        oom = i->plan->cgroup && cgroup_oom_kills(i->plan->cgroup) > 0;
        if (oom && !i->oom_told)
            i->events.oom(i->user);
    }
    forget(i, r);
    i->events.exited(i->user, exec_id, status, oom);
}

static void reap(struct isolation_instance *i)
{
    for (;;) {
        siginfo_t info = {0};
        struct running *r = i->running;

        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG) < 0 || info.si_pid == 0)
            return;
        while (r && r->launched.pid != info.si_pid)
            r = r->next;
        if (r)
            ended(i, r, &info);
    }
}

static void on_signal(struct loop_source *source, int fd, uint32_t events, void *user)
{
    struct signalfd_siginfo info[8];

    while (read(fd, info, sizeof(info)) > 0)
        ;
    reap(user);
}

static void on_oom(struct loop_source *source, int fd, uint32_t events, void *user)
{
    struct isolation_instance *i = user;
    char buffer[1024];
    uint64_t kills;

    while (read(fd, buffer, sizeof(buffer)) > 0)
        ;
    kills = cgroup_oom_kills(i->plan->cgroup);
    /* v1 tells before it kills (and also when the cgroup goes away), v2 counts. */
    if (kills > i->oom_kills || (cgroup_version() != CGROUP_V2 && find(i, ""))) {
        i->oom_told = true;
        i->events.oom(i->user);
    }
    i->oom_kills = kills;
}

static void watch_oom(struct isolation_instance *i)
{
    if (cgroup_oom_fd(i->plan->cgroup, &i->oom) == 0 &&
        loop_add_fd(i->loop, i->oom, EPOLLIN, on_oom, i, &i->oom_source) < 0)
        close(TAKE_FD(i->oom));
}

/* --- operations ---------------------------------------------------------------------- */
static int op_open(const char *id, const char *dir, struct loop *loop, const struct isolation_events *events,
                   void *user, struct isolation_instance **ret, struct error *err)
{
    struct isolation_instance *i = mem_new(struct isolation_instance);
    sigset_t set;
    int r;

    *i = (struct isolation_instance){
        .loop = loop, .events = *events, .user = user, .signals = -EBADF, .oom = -EBADF, .proc = -EBADF};
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    i->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    i->proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    r = i->signals < 0 || i->proc < 0 ? -errno
                                      : loop_add_fd(loop, i->signals, EPOLLIN, on_signal, i, &i->signal_source);
    if (r < 0) {
        isolation_process_ops.close(i);
        return error_errno(err, -r, "cannot watch the container's processes");
    }
    *ret = i;
    return 0;
}

static void give(struct isolation_instance *i, const char *exec_id, struct launched *l, struct isolation_process *ret)
{
    struct running *r = mem_new(struct running);

    *ret = (struct isolation_process){.pid = l->pid, .pty_fd = TAKE_FD(l->pty_fd)};
    for (int k = 0; k < 3; k++)
        ret->stdio[k] = TAKE_FD(l->stdio[k]);
    r->exec_id = mem_strdup(exec_id);
    r->launched = *l;
    r->tty = ret->pty_fd >= 0 ? fcntl(ret->pty_fd, F_DUPFD_CLOEXEC, 3) : -EBADF;
    r->next = i->running;
    i->running = r;
}

static int op_start(struct isolation_instance *i, const struct plan *plan, struct isolation_process *ret,
                    struct error *err)
{
    CLEANUP_STR struct str copy = STR_INIT;
    struct launched l = LAUNCHED_INIT;
    int r;

    if (i->plan)
        return error_set(err, EEXIST, "the container has been started already");
    if (!plan->cgroup)
        return error_set(err, EINVAL, "the plan names no cgroup");
    /* An own copy, by way of the codec: exec needs it as long as we live. */
    plan_encode(plan, &copy);
    if (plan_decode(copy.data, copy.length, &i->plan) < 0)
        return error_set(err, EINVAL, "the plan is malformed or too large");
    r = launch_prepare(i->plan, &l, err);
    if (r == 0) {
        watch_oom(i);
        r = launch_go(&l, err);
    }
    if (r < 0) {
        ret->exec_failed = l.exec_failed;
        return r;
    }
    give(i, "", &l, ret);
    return 0;
}

static int op_exec(struct isolation_instance *i, const char *exec_id, const struct plan_process *process,
                   struct isolation_process *ret, struct error *err)
{
    struct running *own = find(i, "");
    struct launched l = LAUNCHED_INIT;
    int r;

    if (!own)
        return error_set(err, ESRCH, "the container is not running");
    /* Its first steps would be frozen with the others, and we wait for them. */
    if (i->frozen)
        return error_set(err, EBUSY, "the container is paused");
    r = launch_exec(i->plan, &own->launched, process, &l, err);
    if (r < 0) {
        ret->exec_failed = l.exec_failed;
        return r;
    }
    give(i, exec_id, &l, ret);
    return 0;
}

/* A frozen process dies only when thawed. */
static void thaw_to_die(struct isolation_instance *i, int signal)
{
    if (signal == SIGKILL && i->frozen && cgroup_freeze(i->plan->cgroup, false, NULL) == 0)
        i->frozen = false;
}

static int op_signal(struct isolation_instance *i, const char *exec_id, int signal, struct error *err)
{
    struct running *r = find(i, exec_id);

    if (!r)
        return error_set(err, ESRCH, "the process has ended");
    if (syscall(SYS_pidfd_send_signal, r->launched.pidfd, signal, NULL, 0) < 0)
        return error_errno(err, errno, "cannot send signal %d", signal);
    thaw_to_die(i, signal);
    return 0;
}

static int op_signal_pid(struct isolation_instance *i, pid_t pid, uint64_t start_ticks, int signal, struct error *err)
{
    CLEANUP_CLOSE int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    CLEANUP_FREE pid_t *pids = NULL;
    struct process_list *list = NULL;
    size_t count = 0;
    bool same = false;

    /* Held by the pidfd, the pid cannot become somebody else's between the
     * checks and the signal. */
    if (pidfd < 0 || !i->plan || cgroup_pids(i->plan->cgroup, &pids, &count) < 0)
        return error_set(err, ESRCH, "no process %d in the container", (int)pid);
    for (size_t k = 0; k < count && !same; k++)
        same = pids[k] == pid;
    if (same && process_read(i->proc, &pid, 1, &list, NULL) == 0) {
        const struct process *process = process_list_find(list, pid);

        same = process && process->start_ticks == start_ticks;
    } else {
        same = false;
    }
    process_list_unref(list);
    if (!same)
        return error_set(err, ESRCH, "process %d is not the one it was", (int)pid);
    if (syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0)
        return error_errno(err, errno, "cannot send signal %d", signal);
    thaw_to_die(i, signal);
    return 0;
}

static int op_resize(struct isolation_instance *i, const char *exec_id, uint16_t rows, uint16_t cols,
                     struct error *err)
{
    struct winsize size = {.ws_row = rows, .ws_col = cols};
    struct running *r = find(i, exec_id);

    if (!r)
        return error_set(err, ESRCH, "the process has ended");
    if (r->tty < 0)
        return error_set(err, EINVAL, "the process has no terminal");
    return ioctl(r->tty, TIOCSWINSZ, &size) < 0 ? error_errno(err, errno, "cannot resize the terminal") : 0;
}

static int need_started(struct isolation_instance *i, struct error *err)
{
    return i->plan ? 0 : error_set(err, ESRCH, "the container is not running");
}

static int op_processes(struct isolation_instance *i, struct str *out, struct error *err)
{
    CLEANUP_FREE pid_t *pids = NULL;
    struct process_list *list = NULL;
    size_t count = 0;
    int r = need_started(i, err);

    if (r < 0)
        return r;
    r = cgroup_pids(i->plan->cgroup, &pids, &count);
    if (r < 0)
        return error_errno(err, r == -ENOENT ? ESRCH : -r, "cannot list the container's processes");
    if (count == 0)
        return 0;
    r = process_read(i->proc, pids, count, &list, err);
    if (r < 0)
        return r;
    process_wire_put_list(out, RPC_TAG_PROCESS_ENTRY, list);
    process_list_unref(list);
    return 0;
}

static int op_stats(struct isolation_instance *i, struct cgroup_stats *ret, struct error *err)
{
    int r = need_started(i, err);

    if (r == 0 && (r = cgroup_stats(i->plan->cgroup, ret)) < 0)
        return error_errno(err, r == -ENOENT ? ESRCH : -r, "cannot read the container's statistics");
    return r;
}

static int op_freeze(struct isolation_instance *i, bool frozen, struct error *err)
{
    int r = need_started(i, err);

    if (r == 0)
        r = cgroup_freeze(i->plan->cgroup, frozen, err);
    if (r == 0)
        i->frozen = frozen;
    return r;
}

static int op_update(struct isolation_instance *i, const struct plan_limits *limits, struct error *err)
{
    int r = need_started(i, err);

    return r < 0 ? r : cgroup_apply(i->plan->cgroup, limits, err);
}

static int op_root(struct isolation_instance *i, int *ret_fd, struct error *err)
{
    struct running *own = find(i, "");
    int fd;

    if (!own)
        return error_set(err, ESRCH, "the container is not running");
    fd = fcntl(own->launched.root_fd, F_DUPFD_CLOEXEC, 3);
    if (fd < 0)
        return error_errno(err, errno, "cannot hand out the root");
    *ret_fd = fd;
    return 0;
}

static void op_close(struct isolation_instance *i)
{
    if (i->plan && i->plan->cgroup) {
        (void)cgroup_kill(i->plan->cgroup, SIGKILL);
        for (struct running *r = i->running; r; r = r->next)
            (void)syscall(SYS_pidfd_send_signal, r->launched.pidfd, SIGKILL, NULL, 0);
        /* Newest first: the container's own process ends only when the execs
         * have been reaped, and it is the oldest. */
        while (i->running) {
            (void)waitid(P_PID, (id_t)i->running->launched.pid, &(siginfo_t){0}, WEXITED);
            forget(i, i->running);
        }
        (void)cgroup_remove(i->plan->cgroup);
    }
    loop_remove(i->signal_source);
    loop_remove(i->oom_source);
    if (i->signals >= 0)
        close(i->signals);
    if (i->oom >= 0)
        close(i->oom);
    if (i->proc >= 0)
        close(i->proc);
    plan_free(i->plan);
    free(i);
}

const struct isolation isolation_process_ops = {
    .name = "process",
    .capabilities = ISOLATION_HOST_PROCESSES | ISOLATION_HOST_ROOT | ISOLATION_HOST_NAMESPACES,
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
    .root = op_root,
    .close = op_close,
};
