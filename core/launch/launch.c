/* launch.c - the parent's side: opens, clones, converses, takes back.
 * Owner: launch. See launch_child.c for what the child does.
 */
#include "launch/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "launch/launch_private.h"

static int check_process(const struct plan_process *process, struct error *err)
{
    if (process->seccomp_size % 8 != 0 || process->seccomp_size / 8 > 4096 ||
        (process->seccomp && process->seccomp_size == 0))
        return error_set(err, EINVAL, "the seccomp filter is not one");
    return 0;
}

static int check_plan(const struct plan *plan, struct error *err)
{
    if (!LAUNCH_NEW(plan, PLAN_NS_MOUNT))
        return error_set(err, EINVAL, "a container needs a mount namespace of its own");
    for (size_t i = 0; i < PLAN_NS_COUNT; i++)
        if (plan->namespaces[i].mode > PLAN_NS_JOIN)
            return error_set(err, EINVAL, "unknown namespace mode %d", (int)plan->namespaces[i].mode);
    if (plan->namespaces[PLAN_NS_USER].mode == PLAN_NS_JOIN || plan->namespaces[PLAN_NS_CGROUP].mode == PLAN_NS_JOIN)
        return error_set(err, ENOTSUP, "user and cgroup namespaces cannot be joined");
    if (!plan->rootfs.layers_dir || plan->rootfs.layers_dir[0] != '/')
        return error_set(err, EINVAL, "the plan has no root file system");
    if (plan->rootfs.device)
        return error_set(err, ENOTSUP, "the root's device must have been mounted at layers_dir before");
    return check_process(&plan->process, err);
}

void launched_close(struct launched *l)
{
    int *fds[] = {&l->pidfd, &l->go_fd, &l->root_fd, &l->pty_fd, &l->stdio[0], &l->stdio[1], &l->stdio[2]};

    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        if (*fds[i] >= 0)
            close(TAKE_FD(*fds[i]));
}

/* --- the conversation --------------------------------------------------------------- */
static int send_order(int sync, uint32_t kind, int fd, struct error *err)
{
    struct launch_message message = {.kind = kind};
    int r = fd_send(sync, &message, sizeof(message), &fd, fd >= 0 ? 1 : 0);

    return r < 0 ? error_errno(err, EIO, "the container's process died while being prepared") : 0;
}

/* 1 a message, 0 the end, -errno. A failure report becomes the error. */
static int receive(int sync, struct launch_message *message, int fds[2], size_t *count, bool *exec_failed,
                   struct error *err)
{
    struct pollfd p = {.fd = sync, .events = POLLIN};
    ssize_t n;
    int ready;

    do {
        ready = poll(&p, 1, LAUNCH_TIMEOUT_MS);
    } while (ready < 0 && errno == EINTR);
    if (ready == 0)
        return error_set(err, ETIMEDOUT, "preparing the container took more than %d s", LAUNCH_TIMEOUT_MS / 1000);
    *count = 0;
    n = fd_recv(sync, message, sizeof(*message), fds, 2, count);
    if (n == -ECONNRESET || n == 0)
        return 0;
    if (n != sizeof(*message))
        return error_set(err, EIO, "malformed message from the container's process");
    if (message->kind == LAUNCH_FAILED) {
        message->text[sizeof(message->text) - 1] = '\0';
        *exec_failed = message->exec_failed != 0;
        return error_set(err, message->code ? message->code : EIO, "%s", message->text);
    }
    return 1;
}

static void take_back(struct launched *l)
{
    if (l->pid > 0) {
        if (l->pidfd >= 0)
            (void)syscall(SYS_pidfd_send_signal, l->pidfd, SIGKILL, NULL, 0);
        while (waitpid(l->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    launched_close(l);
    l->pid = -1;
}

/* --- stdio ------------------------------------------------------------------------------- */
static int make_pipes(struct launch_child *c, struct launched *l, struct error *err)
{
    for (int i = 0; i < 3; i++) {
        int pair[2];
        bool in = i == 0;

        if (c->process->tty && !c->ahead)
            continue;
        if (in && c->process->no_stdin && !c->ahead) {
            c->stdio[0] = open("/dev/null", O_RDWR | O_CLOEXEC);
            if (c->stdio[0] < 0)
                return error_errno(err, errno, "cannot open /dev/null");
            continue;
        }
        if (pipe2(pair, O_CLOEXEC) < 0)
            return error_errno(err, errno, "cannot make a pipe");
        c->stdio[i] = pair[in ? 0 : 1];
        l->stdio[i] = pair[in ? 1 : 0];
    }
    return 0;
}

static void close_child_side(struct launch_child *c)
{
    for (int i = 0; i < 3; i++)
        if (c->stdio[i] >= 0)
            close(TAKE_FD(c->stdio[i]));
    launch__sources_close(&c->sources);
    cgroup_entry_close(&c->cgroup);
    if (c->root_mount >= 0)
        close(TAKE_FD(c->root_mount));
}

/* --- birth ---------------------------------------------------------------------------------- */
static int give_birth(struct launch_child *c, uint64_t namespaces, struct launched *l, int *ret_sync,
                      struct error *err)
{
    struct launch_joined joined;
    int pair[2];
    int r;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return error_errno(err, errno, "cannot make a socket pair");
    r = launch__join(c->plan, c->exec ? c->target : -EBADF, &joined, err);
    if (r == 0 && !c->exec)
        r = launch__network_sysctls(c->plan, err);
    if (r == 0)
        r = launch__clone(c, namespaces, &l->pid, &l->pidfd, err);
    if (r == 0 && l->pid == 0) {
        close(pair[0]);
        for (int i = 0; i < 3; i++)
            if (l->stdio[i] >= 0)
                close(l->stdio[i]);
        c->sync = pair[1];
        launch__child_main(c);
    }
    launch__join_back(&joined);
    close(pair[1]);
    if (r < 0) {
        close(pair[0]);
        return r;
    }
    *ret_sync = pair[0];
    return 0;
}

/* Pipes of ours are nobody's in there, and /dev/stdout could not be opened: they become its
 * root's, and the child gives them to its user. */
static void give_stdio(const struct launch_child *c)
{
    uint32_t uid, gid;

    if (!id_maps_root(&c->plan->ids, &uid, &gid))
        return;
    for (int i = 0; i < 3; i++)
        if (c->stdio[i] >= 0)
            (void)!fchown(c->stdio[i], uid, gid);
}

/* Who its users are, and what they find of the host's files. */
static int map_users(struct launch_child *c, pid_t pid, int sync, struct error *err)
{
    CLEANUP_FREE char *path = mem_printf("/proc/%d/ns/user", (int)pid);
    CLEANUP_CLOSE int user_namespace = open(path, O_RDONLY | O_CLOEXEC);
    int r = user_namespace < 0 ? error_errno(err, EIO, "cannot open the user namespace") : launch__map_ids(c->plan, pid, err);

    if (r == 0)
        r = launch__sources_map(c->plan, &c->sources, user_namespace, err);
    if (r == 0)
        r = launch__root_mapped(c->plan, user_namespace, &c->root_mount, err);
    return r == 0 ? send_order(sync, LAUNCH_MAPPED, c->root_mount, err) : r;
}

/* What it cannot do itself. */
static int help(struct launch_child *c, const struct launched *l, int sync, struct error *err)
{
    int r = 0;

    if (c->cgroup.unified >= 0 && !c->in_unified)
        r = cgroup_attach(c->plan->cgroup, l->pid, err);
    if (r < 0 || !LAUNCH_NEW(c->plan, PLAN_NS_USER))
        return r;
    give_stdio(c);
    return c->exec ? 0 : map_users(c, l->pid, sync, err);
}

static int hear(struct launched *l, int sync, uint32_t kind, size_t fd_count, struct error *err)
{
    struct launch_message message;
    int fds[2] = {-EBADF, -EBADF};
    size_t count = 0;
    int r = receive(sync, &message, fds, &count, &l->exec_failed, err);

    if (r == 0)
        return error_set(err, EIO, "the container's process died while being prepared");
    if (r < 0)
        return r;
    l->root_fd = fds[0];
    l->pty_fd = fds[1];
    return message.kind == kind && count == fd_count ? 0 : error_set(err, EIO, "unexpected message from the container's process");
}

static int hear_ready(struct launched *l, int sync, const struct plan_process *process, struct error *err)
{
    return hear(l, sync, LAUNCH_READY, process->tty ? 2 : 1, err);
}

static int prepare(struct launch_child *c, uint64_t namespaces, struct launched *ret, struct error *err)
{
    struct launched l = LAUNCHED_INIT;
    int sync = -EBADF;
    int r = make_pipes(c, &l, err);

    if (r == 0)
        r = give_birth(c, namespaces, &l, &sync, err);
    if (r == 0)
        r = help(c, &l, sync, err);
    if (r == 0)
        r = c->ahead ? hear(&l, sync, LAUNCH_STANDING, 0, err) : hear_ready(&l, sync, c->process, err);
    if (r == 0)
        r = launch__prlimits(l.pid, c->process, NULL, err);
    close_child_side(c);
    l.go_fd = sync;
    if (r < 0) {
        ret->exec_failed = l.exec_failed;
        take_back(&l);
        return r;
    }
    *ret = l;
    return 0;
}

#define CHILD_INIT(p, q) \
    {.plan = (p), .process = (q), .target = -EBADF, .sync = -EBADF, .stdio = {-EBADF, -EBADF, -EBADF}, \
     .sources = {.null = -EBADF}, .cgroup = CGROUP_ENTRY_INIT, .root_mount = -EBADF, .root_fd = -EBADF, \
     .proc_fd = -EBADF, .pty_master = -EBADF, .pty_slave = -EBADF}

static int prepare_new(const struct plan *plan, bool ahead, struct launched *ret, struct error *err)
{
    struct launch_child c = CHILD_INIT(plan, &plan->process);
    int r = check_plan(plan, err);

    c.ahead = ahead;
    if (r < 0)
        return r;
    if (plan->cgroup) {
        r = cgroup_create(plan->cgroup, err);
        if (r == 0)
            r = cgroup_apply(plan->cgroup, &plan->limits, err);
        if (r == 0)
            r = cgroup_entry_open(plan->cgroup, &c.cgroup, err);
    }
    if (r == 0)
        r = launch__sources_open(plan, &c.sources, err);
    if (r < 0)
        close_child_side(&c);
    else
        r = prepare(&c, launch__new_namespaces(plan), ret, err);
    if (r < 0 && plan->cgroup)
        (void)cgroup_remove(plan->cgroup);
    return r;
}

int launch_prepare(const struct plan *plan, struct launched *ret, struct error *err)
{
    return prepare_new(plan, false, ret, err);
}

int launch_begin(const struct plan *plan, struct launched *ret, struct error *err)
{
    return prepare_new(plan, true, ret, err);
}

static int send_plan(int sync, const struct plan *ahead, const struct plan *plan, struct error *err)
{
    CLEANUP_STR struct str encoded = STR_INIT;
    int fds[LAUNCH_LATE_BINDS];
    size_t count = 0, at = 0;
    int r = 0;

    plan_encode(plan, &encoded);
    for (size_t i = 0; r == 0 && i < plan->mount_count; i++) {
        if (launch__stands(ahead, &at, plan, i) || !str_equal(plan->mounts[i].type, "bind"))
            continue;
        r = count < ARRAY_SIZE(fds) ? launch__bind_open(&plan->mounts[i], &fds[count], err) : error_set(err, EINVAL, "too many late binds");
        count += r == 0;
    }
    const struct launch_message message = {.kind = LAUNCH_PLAN, .code = (int32_t)encoded.length};
    if (r == 0) {
        r = fd_send(sync, &message, sizeof(message), fds, count);
        for (size_t sent = 0, n; r == 0 && sent < encoded.length; sent += n) {
            n = encoded.length - sent < LAUNCH_PIECE ? encoded.length - sent : LAUNCH_PIECE;
            r = fd_send(sync, encoded.data + sent, n, NULL, 0);
        }
        if (r < 0)
            r = error_errno(err, EIO, "the container's process died while being prepared");
    }
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
    return r < 0 ? r : 0;
}

int launch_finish(struct launched *l, const struct plan *ahead, const struct plan *plan, struct error *err)
{
    int r = check_plan(plan, err);

    for (int i = 0; i < 3; i++)
        if (plan->process.tty || (i == 0 && plan->process.no_stdin))
            cleanup_close(&l->stdio[i]);
    if (r == 0)
        r = send_plan(l->go_fd, ahead, plan, err);
    if (r == 0)
        r = hear_ready(l, l->go_fd, &plan->process, err);
    if (r == 0)
        r = launch__prlimits(l->pid, &plan->process, &ahead->process, err);
    if (r < 0) {
        take_back(l);
        if (plan->cgroup)
            (void)cgroup_remove(plan->cgroup);
    }
    return r;
}

static bool is_at_or_below(const char *path, const char *dir)
{
    size_t length = strlen(dir);

    return strncmp(path, dir, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

static bool covers_any(const char *target, char *const *paths)
{
    for (; paths && *paths; paths++)
        if (is_at_or_below(*paths, target))
            return true;
    return false;
}

/* What comes after everything else would cover what should lie on it. */
static bool may_be_late(const struct plan *ahead, const struct plan_mount *mount)
{
    CLEANUP_FREE char *target = path_clean(mount->target ? mount->target : "/");

    if ((!str_equal(mount->type, "bind") && !str_equal(mount->type, "tmpfs")) || target[0] != '/' || target[1] == '\0' ||
        is_at_or_below(target, "/proc") || is_at_or_below(target, "/sys"))
        return false;
    for (size_t i = 0; i < ahead->mount_count; i++)
        if (is_at_or_below(ahead->mounts[i].target, target))
            return false;
    return !covers_any(target, ahead->masked_paths) && !covers_any(target, ahead->readonly_paths);
}

/* Leaves out of `like` what comes late. */
static bool leave_out_late(const struct plan *ahead, const struct plan *plan, struct plan *like)
{
    size_t at = 0, binds = 0;

    like->mount_count = 0;
    for (size_t i = 0; i < plan->mount_count; i++) {
        if (launch__stands(ahead, &at, plan, i))
            like->mounts[like->mount_count++] = plan->mounts[i];
        else if (!may_be_late(ahead, &plan->mounts[i]) || (binds += str_equal(plan->mounts[i].type, "bind")) > LAUNCH_LATE_BINDS)
            return false;
    }
    return true;
}

static void encode_surroundings(const struct plan *plan, struct str *out)
{
    struct plan like = *plan;

    like.id = like.hostname = like.domainname = like.cgroup = NULL;
    like.namespaces[PLAN_NS_NET] = (struct plan_namespace){0};
    like.rootfs = (struct plan_rootfs){0};
    like.limits = (struct plan_limits){.device_rules = plan->limits.device_rules,
                                       .device_rule_count = plan->limits.device_rule_count};
    like.process = (struct plan_process){.privileged = plan->process.privileged};
    like.mounts = mem_array(plan->mount_count + 1, sizeof(*like.mounts));
    for (size_t i = 0; i < plan->mount_count; i++) {
        like.mounts[i] = plan->mounts[i];
        if (str_equal(like.mounts[i].type, "bind"))
            like.mounts[i].source = NULL;
    }
    like.sysctls = mem_array(plan->sysctl_count + 1, sizeof(*like.sysctls));
    like.sysctl_count = 0;
    for (size_t i = 0; i < plan->sysctl_count; i++)
        if (!str_starts(plan->sysctls[i].name, "net."))
            like.sysctls[like.sysctl_count++] = plan->sysctls[i];
    plan_encode(&like, out);
    free(like.mounts);
    free(like.sysctls);
}

bool launch_same_surroundings(const struct plan *ahead, const struct plan *plan)
{
    CLEANUP_STR struct str one = STR_INIT, other = STR_INIT;
    struct plan like = *plan;

    like.mounts = mem_array(plan->mount_count + 1, sizeof(*like.mounts));
    CLEANUP_FREE void *mounts = like.mounts;
    if (!leave_out_late(ahead, plan, &like))
        return false;
    encode_surroundings(ahead, &one);
    encode_surroundings(&like, &other);
    return one.length == other.length && memcmp(one.data, other.data, one.length) == 0;
}

int launch_go(struct launched *l, struct error *err)
{
    CLEANUP_CLOSE int sync = TAKE_FD(l->go_fd);
    struct launch_message message;
    int fds[2] = {-EBADF, -EBADF};
    size_t count = 0;
    int r = send_order(sync, LAUNCH_GO, -EBADF, err);

    if (r == 0)
        r = receive(sync, &message, fds, &count, &l->exec_failed, err);
    if (r == 0)
        return 0; /* execve() has closed the other end */
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
    if (r > 0)
        r = error_set(err, EIO, "unexpected message from the container's process");
    take_back(l);
    return r;
}

int launch_exec(const struct plan *plan, const struct launched *target, const struct plan_process *process,
                struct launched *ret, struct error *err)
{
    struct launch_child c = CHILD_INIT(plan, process);
    struct launched l = LAUNCHED_INIT;
    int r = check_process(process, err);

    c.exec = true;
    c.target = target->pidfd;
    if (r == 0 && plan->cgroup)
        r = cgroup_entry_open(plan->cgroup, &c.cgroup, err);
    if (r < 0) {
        close_child_side(&c);
        return r;
    }
    r = prepare(&c, 0, &l, err);
    if (r == 0)
        r = launch_go(&l, err);
    if (r < 0) {
        ret->exec_failed = l.exec_failed;
        return r;
    }
    *ret = l;
    return 0;
}
