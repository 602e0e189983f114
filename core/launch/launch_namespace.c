/* launch_namespace.c - being born in the right namespaces. Owner: launch. */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/mem.h"
#include "launch/launch_private.h"

static const struct {
    uint64_t flag;
    const char *name; /* in /proc/PID/ns */
} kinds[PLAN_NS_COUNT] = {
    [PLAN_NS_MOUNT] = {CLONE_NEWNS, "mnt"},   [PLAN_NS_PID] = {CLONE_NEWPID, "pid"},
    [PLAN_NS_IPC] = {CLONE_NEWIPC, "ipc"},    [PLAN_NS_UTS] = {CLONE_NEWUTS, "uts"},
    [PLAN_NS_NET] = {CLONE_NEWNET, "net"},    [PLAN_NS_CGROUP] = {CLONE_NEWCGROUP, "cgroup"},
    [PLAN_NS_USER] = {CLONE_NEWUSER, "user"},
};

uint64_t launch__new_namespaces(const struct plan *plan)
{
    uint64_t flags = 0;

    for (size_t i = 0; i < PLAN_NS_COUNT; i++)
        /* The cgroup namespace has its root where its maker is: later, inside. */
        if (LAUNCH_NEW(plan, i) && i != PLAN_NS_CGROUP)
            flags |= kinds[i].flag;
    return flags;
}

int launch__setns_flags(const struct plan *plan)
{
    uint64_t flags = 0;

    for (size_t i = 0; i < PLAN_NS_COUNT; i++)
        if (plan->namespaces[i].mode != PLAN_NS_HOST)
            flags |= kinds[i].flag;
    return (int)(flags & ~(uint64_t)CLONE_NEWPID); /* born there */
}

int launch__join(const struct plan *plan, int target_pidfd, struct launch_joined *ret, struct error *err)
{
    bool exec = target_pidfd >= 0;

    for (size_t i = 0; i < PLAN_NS_COUNT; i++)
        ret->own[i] = -EBADF;
    for (size_t i = 0; i < PLAN_NS_COUNT; i++) {
        const struct plan_namespace *ns = &plan->namespaces[i];
        CLEANUP_FREE char *own = NULL;
        CLEANUP_CLOSE int target = -EBADF;
        int fd = target_pidfd;

        /* exec: only the pid namespace must be joined before birth. */
        if (exec ? i != PLAN_NS_PID || ns->mode == PLAN_NS_HOST : ns->mode != PLAN_NS_JOIN)
            continue;
        own = mem_printf("/proc/self/ns/%s", kinds[i].name);
        if (!exec) {
            if (!ns->path)
                return error_set(err, EINVAL, "no path of the %s namespace to join", kinds[i].name);
            fd = target = open(ns->path, O_RDONLY | O_CLOEXEC);
            if (fd < 0)
                return error_errno(err, errno == ENOENT ? ESRCH : errno, "cannot open namespace %s", ns->path);
        }
        ret->own[i] = open(own, O_RDONLY | O_CLOEXEC);
        if (ret->own[i] < 0)
            return error_errno(err, EIO, "cannot open %s", own);
        if (setns(fd, (int)kinds[i].flag) < 0) {
            int r = errno;

            close(TAKE_FD(ret->own[i]));
            if (exec)
                return error_errno(err, ESRCH, "the container is not running");
            return error_errno(err, r, "cannot join the %s namespace %s", kinds[i].name, ns->path);
        }
    }
    return 0;
}

void launch__join_back(struct launch_joined *joined)
{
    for (size_t i = 0; i < PLAN_NS_COUNT; i++) {
        if (joined->own[i] < 0)
            continue;
        /* Going on in somebody else's namespace would be worse than ending. */
        if (setns(joined->own[i], (int)kinds[i].flag) < 0)
            abort();
        close(TAKE_FD(joined->own[i]));
    }
}

static pid_t clone_once(uint64_t flags, int cgroup, int *ret_pidfd)
{
    struct clone_args args = {
        .flags = flags | CLONE_PIDFD,
        .pidfd = (uint64_t)(uintptr_t)ret_pidfd,
        .exit_signal = SIGCHLD,
    };

    if (cgroup >= 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (uint64_t)cgroup;
    }
    return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

/* clone3() is not there in some outer sandboxes (ENOSYS by a seccomp profile). */
static pid_t clone_old(uint64_t flags, int *ret_pidfd)
{
    return (pid_t)syscall(SYS_clone, (unsigned long)(flags | CLONE_PIDFD | SIGCHLD), NULL, ret_pidfd, NULL, 0);
}

int launch__clone(struct launch_child *c, uint64_t namespaces, pid_t *ret_pid, int *ret_pidfd,
                  struct error *err)
{
    int pidfd = -EBADF;
    int dumpable = prctl(PR_GET_DUMPABLE);
    pid_t pid;
    int saved;

    /* The child is born undumpable: nobody in the namespaces it enters can open
     * its /proc/PID/exe, fd or mem, not for an instant (CVE-2019-5736). */
    prctl(PR_SET_DUMPABLE, 0);
    c->in_unified = c->cgroup.unified >= 0;
    pid = clone_once(namespaces, c->cgroup.unified, &pidfd);
    if (pid < 0 && c->in_unified && (errno == EINVAL || errno == E2BIG || errno == EOPNOTSUPP || errno == EACCES)) {
        c->in_unified = false;
        pid = clone_once(namespaces, -EBADF, &pidfd);
    }
    if (pid < 0 && errno == ENOSYS) {
        c->in_unified = false;
        pid = clone_old(namespaces, &pidfd);
    }
    saved = errno;
    if (pid != 0)
        prctl(PR_SET_DUMPABLE, dumpable > 0 ? dumpable : 0);
    if (pid < 0) {
        if (saved == ENOSPC || saved == EUSERS)
            return error_errno(err, EAGAIN, "too many namespaces (see /proc/sys/user)");
        return error_errno(err, saved == ENOMEM && c->exec ? ESRCH : saved, "cannot create the container's process");
    }
    *ret_pid = pid;
    if (pid > 0)
        *ret_pidfd = pidfd;
    return 0;
}

static int write_map(pid_t pid, const char *file, const struct id_range *map, size_t count,
                     struct error *err)
{
    CLEANUP_FREE char *path = mem_printf("/proc/%d/%s", (int)pid, file);
    CLEANUP_STR struct str text = STR_INIT;
    int r;

    if (count == 0 || count > ID_RANGES_MAX)
        return error_set(err, EINVAL, "a user namespace needs 1 to %d id ranges, not %zu", ID_RANGES_MAX, count);
    for (size_t i = 0; i < count; i++)
        str_printf(&text, "%u %u %u\n", map[i].inside, map[i].outside, map[i].count);
    r = file_write_text(AT_FDCWD, path, text.data);
    return r < 0 ? error_errno(err, r, "cannot write %s", file) : 0;
}

int launch__map_ids(const struct plan *plan, pid_t pid, struct error *err)
{
    int r = write_map(pid, "uid_map", plan->ids.uids, plan->ids.uid_count, err);

    return r < 0 ? r : write_map(pid, "gid_map", plan->ids.gids, plan->ids.gid_count, err);
}
