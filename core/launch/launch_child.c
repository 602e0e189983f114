/* launch_child.c - the child's way from clone() to execve(). Owner: launch.
 *
 * The order, and why:
 *   1. signals reset; ids taken on where a user namespace was made.
 *   2. file systems made, detached, while the host's are visible.
 *   3. the new root entered; from here on no path of the host's can be reached.
 *   4. the cgroup entered, then its namespace made: its root is where we stand.
 *   5. mounts, devices, terminal put in place, by fd.
 *   6. names, sysctls; then masks and read-only paths, which would be in the way; a session.
 *   7. user and working directory found in the root; then it may become read-only.
 *      Who was begun ahead says STANDING before that, and is told the plan.
 *   8. READY. The parent notes the pid and sets limits. GO.
 *   9. ids, filter, capabilities; last the program is looked for, as the
 *      container's user, and every other fd closes with execve().
 * If the parent dies at any step its end of the socket closes and so do we.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>
#include <grp.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/mem.h"
#include "launch/launch_private.h"

static void reset_signals(void)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigset_t none;

    for (int i = 1; i < _NSIG; i++)
        (void)sigaction(i, &action, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void report(int sync, int code, bool exec_failed, const char *text)
{
    struct launch_message message = {.kind = LAUNCH_FAILED, .code = code < 0 ? -code : code, .exec_failed = exec_failed};

    strncpy(message.text, text, sizeof(message.text) - 1);
    (void)fd_send(sync, &message, sizeof(message), NULL, 0);
}

/* Waits for an order and gives its code; anything else, and the parent's death, is the end. */
static int await_fds(struct launch_child *c, uint32_t kind, int *fds, size_t max, size_t *ret_count)
{
    struct launch_message message = {0};
    ssize_t n = fd_recv(c->sync, &message, sizeof(message), fds, max, ret_count);

    if (n != sizeof(message) || message.kind != kind)
        _exit(1);
    return message.code;
}

static void await(struct launch_child *c, uint32_t kind)
{
    int fd = -EBADF;
    size_t count = 0;

    (void)await_fds(c, kind, &fd, 1, &count);
    if (count == 1)
        c->root_mount = fd;
}

/* The rest of what shall be done, of one whose surroundings were made ahead. */
static int await_plan(struct launch_child *c, struct error *err)
{
    struct launch_message message = {.kind = LAUNCH_STANDING};
    CLEANUP_FREE char *data = NULL;
    struct plan *plan = NULL;
    int r = fd_send(c->sync, &message, sizeof(message), NULL, 0);

    if (r < 0)
        return error_errno(err, -r, "cannot report to the launcher");
    int fds[LAUNCH_LATE_BINDS];
    size_t count = 0;
    int length = await_fds(c, LAUNCH_PLAN, fds, ARRAY_SIZE(fds), &count);
    if (length <= 0 || (unsigned)length > PLAN_MAX_SIZE)
        return error_set(err, EIO, "the launcher gave no plan");
    data = mem_array((size_t)length, 1);
    for (ssize_t at = 0, n; at < length; at += n)
        if ((n = recv(c->sync, data + at, (size_t)(length - at), 0)) <= 0)
            return error_set(err, EIO, "the launcher's plan is cut off");
    if (plan_decode(data, (size_t)length, &plan) < 0)
        return error_set(err, EIO, "the launcher's plan is malformed");
    const struct plan *ahead = c->plan;
    c->plan = plan;
    c->process = &plan->process;
    return launch__mounts_late(c, ahead, fds, count, err);
}

static int become_root(struct error *err)
{
    if (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
        return error_errno(err, errno, "cannot become root of the user namespace");
    prctl(PR_SET_DUMPABLE, 0);
    return 0;
}

static int find_user(struct launch_child *c, struct error *err)
{
    struct launch_user *u = &c->user;

    return launch_resolve_user(c->root_fd, c->process->user, c->process->groups, &u->uid, &u->gid, &u->groups,
                               &u->group_count, &u->home, err);
}

/* What will be asked of the root is known to the kernel then; what is found is not kept,
 * since the plan may say otherwise. */
static void look_ahead(struct launch_child *c)
{
    CLEANUP_FREE char *path = NULL;

    if (find_user(c, NULL) == 0) {
        CLEANUP_STRV char **env = launch__environment(c);
        (void)launch__find_program(c, env, &path, NULL);
    }
    free(c->user.groups), free(c->user.home);
    c->user = (struct launch_user){0};
    c->exec_failed = false;
}

static int terminal(struct launch_child *c, struct error *err)
{
    int r = c->process->tty ? launch__pty_open(c, err) : 0;

    return r == 0 && c->process->tty ? launch__console(c, err) : r;
}

static int enter_new(struct launch_child *c, struct error *err)
{
    const struct plan *plan = c->plan;
    int r = 0;

    if (LAUNCH_NEW(plan, PLAN_NS_USER)) {
        await(c, LAUNCH_MAPPED);
        r = become_root(err);
    }
    if (r == 0)
        r = launch__mounts_make(c, err);
    if (r == 0)
        r = launch__root_enter(c, err);
    if (r == 0)
        r = cgroup_entry_enter(&c->cgroup, err);
    if (r == 0 && LAUNCH_NEW(plan, PLAN_NS_CGROUP) && unshare(CLONE_NEWCGROUP) < 0)
        r = error_errno(err, errno, "cannot make a cgroup namespace");
    if (r == 0)
        r = launch__mounts_place(c, err);
    if (r == 0)
        r = launch__devices(c, err);
    if (r == 0 && !c->ahead)
        r = terminal(c, err);
    if (r == 0)
        r = launch__names(c, err);
    if (r == 0)
        r = launch__sysctls(c, err);
    if (r == 0)
        r = launch__masks(c, err);
    if (r == 0)
        r = launch__session(err);
    if (r == 0 && c->ahead) {
        look_ahead(c);
        r = await_plan(c, err);
        if (r == 0)
            r = terminal(c, err);
        if (r == 0)
            r = launch__names(c, err);
    }
    if (r == 0)
        r = find_user(c, err);
    if (r == 0)
        r = launch__working_directory(c, err);
    return r < 0 ? r : launch__root_readonly(c, err);
}

static int enter_running(struct launch_child *c, struct error *err)
{
    int r = cgroup_entry_enter(&c->cgroup, err);

    if (r < 0)
        return r;
    if (setns(c->target, launch__setns_flags(c->plan)) < 0)
        return error_errno(err, errno == ESRCH ? ESRCH : errno, "cannot enter the container");
    if (LAUNCH_NEW(c->plan, PLAN_NS_USER) && (r = become_root(err)) < 0)
        return r;
    c->root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (c->root_fd < 0)
        return error_errno(err, EIO, "cannot open the container's root");
    if (c->process->tty && (r = launch__pty_open(c, err)) < 0)
        return r;
    r = find_user(c, err);
    if (r == 0)
        r = launch__working_directory(c, err);
    return r < 0 ? r : launch__session(err);
}

/* fds 0 to 2. The user must be able to open /dev/stdout anew, so pipes and the
 * terminal become the user's, as runc does. */
static int connect_stdio(struct launch_child *c, struct error *err)
{
    if (c->process->tty) {
        if (ioctl(c->pty_slave, TIOCSCTTY, 0) < 0)
            return error_errno(err, errno, "cannot take the terminal");
        for (int i = 0; i < 3; i++)
            if (dup2(c->pty_slave, i) < 0)
                return error_errno(err, errno, "cannot connect the terminal");
    } else {
        if (c->process->no_stdin) {
            int own = launch__null(c); /* rather than the host's, which we were given */

            if (own >= 0)
                c->stdio[0] = own;
        }
        for (int i = 0; i < 3; i++)
            if (c->stdio[i] >= 0 && dup2(c->stdio[i], i) < 0)
                return error_errno(err, errno, "cannot connect fd %d", i);
    }
    for (int i = 0; i < 3; i++) {
        struct stat st;

        if (fstat(i, &st) == 0 && (S_ISFIFO(st.st_mode) || (c->process->tty && S_ISCHR(st.st_mode))))
            (void)!fchown(i, c->user.uid, st.st_gid);
    }
    return 0;
}

static int send_ready(struct launch_child *c, struct error *err)
{
    struct launch_message message = {.kind = LAUNCH_READY};
    int fds[2] = {c->root_fd, c->pty_master};
    int r = fd_send(c->sync, &message, sizeof(message), fds, c->pty_master >= 0 ? 2 : 1);

    if (r < 0)
        return error_errno(err, -r, "cannot report to the launcher");
    if (c->pty_master >= 0)
        close(TAKE_FD(c->pty_master));
    return 0;
}

static int run(struct launch_child *c, struct error *err)
{
    CLEANUP_FREE char *path = NULL;
    char **env;
    int r = launch__confine(c, err);

    if (r == 0 && c->plan->init && !c->exec)
        r = launch__init(c, err);
    if (r < 0)
        return r;
    env = launch__environment(c);
    r = launch__find_program(c, env, &path, err);
    if (r < 0)
        return r;
    umask(0022);
    execve(path, c->process->argv, env);
    r = errno;
    c->exec_failed = true;
    if (r == ENOENT) /* its interpreter is missing */
        return error_set(err, ENOENT, "unable to start container process: exec %s: no such file or directory", path);
    if (r == ENOEXEC)
        return error_set(err, EACCES, "unable to start container process: exec %s: exec format error", path);
    return error_set(err, EACCES, "unable to start container process: exec %s: %s", path, strerror(r));
}

void launch__child_main(struct launch_child *c)
{
    struct error err = ERROR_INIT;
    int r;

    reset_signals();
    umask(0022);
    r = c->exec ? enter_running(c, &err) : enter_new(c, &err);
    if (r == 0)
        r = connect_stdio(c, &err);
    if (r == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
        r = error_errno(&err, errno, "cannot tie the container to its shim");
    if (r == 0)
        r = send_ready(c, &err);
    if (r == 0) {
        await(c, LAUNCH_GO);
        /* Nothing but 0 to 2 outlives execve(), whoever opened it (CVE-2024-21626). */
        if (syscall(SYS_close_range, 3U, UINT_MAX, CLOSE_RANGE_CLOEXEC) < 0)
            r = error_errno(&err, errno, "cannot close fds");
        else
            r = run(c, &err);
    }
    report(c->sync, r, c->exec_failed, err.message);
    _exit(1);
}
