/* child.c - host programs by posix_spawn(3). Owner: base. */
#include "base/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "tabique/error.h"

static bool listed(const struct child_spec *spec, int child)
{
    for (size_t i = 0; i < spec->fd_count; i++)
        if (spec->fds[i].child == child)
            return true;
    return false;
}

static int set_attributes(posix_spawnattr_t *attributes, const struct child_spec *spec)
{
    sigset_t none, all;
    short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;

    sigemptyset(&none);
    sigfillset(&all);
    sigdelset(&all, SIGKILL);
    sigdelset(&all, SIGSTOP);
    if (spec->new_session)
        flags |= POSIX_SPAWN_SETSID;
    int r = posix_spawnattr_setflags(attributes, flags);
    if (r == 0)
        r = posix_spawnattr_setsigmask(attributes, &none);
    if (r == 0)
        r = posix_spawnattr_setsigdefault(attributes, &all);
    return -r;
}

/* high: copies of the parent's fds, numbered above every child's number, so that
 * no dup2() in the child overwrites one that a later one still needs. */
static int set_actions(posix_spawn_file_actions_t *actions, const struct child_spec *spec,
                       const int *high, int above)
{
    int r = 0;

    for (size_t i = 0; i < spec->fd_count && r == 0; i++)
        r = posix_spawn_file_actions_adddup2(actions, high[i], spec->fds[i].child);
    for (int fd = 0; fd < 3 && r == 0; fd++)
        if (!listed(spec, fd))
            r = posix_spawn_file_actions_addopen(actions, fd, "/dev/null", O_RDWR, 0);
    /* For fds that a library opened without O_CLOEXEC. */
    if (r == 0)
        r = posix_spawn_file_actions_addclosefrom_np(actions, above);
    return -r;
}

static int spawn(const struct child_spec *spec, const int *high, int above, pid_t *ret_pid)
{
    static char *const bare_environment[] = {
        (char *)(uintptr_t)"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        NULL,
    };
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;

    int r = -posix_spawn_file_actions_init(&actions);
    if (r < 0)
        return r;
    r = -posix_spawnattr_init(&attributes);
    if (r < 0) {
        posix_spawn_file_actions_destroy(&actions);
        return r;
    }
    r = set_attributes(&attributes, spec);
    if (r == 0)
        r = set_actions(&actions, spec, high, above);
    if (r == 0)
        r = -posix_spawn(ret_pid, spec->path, &actions, &attributes, spec->argv,
                         spec->envp ? spec->envp : bare_environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return r;
}

int child_spawn(const struct child_spec *spec, pid_t *ret_pid, int *ret_pidfd, struct error *err)
{
    if (!spec->path || spec->path[0] != '/')
        return error_set(err, EINVAL, "program \"%s\" is not an absolute path",
                         spec->path ? spec->path : "");

    int above = 3;
    for (size_t i = 0; i < spec->fd_count; i++) {
        if (spec->fds[i].parent < 0 || spec->fds[i].child < 0)
            return error_set(err, EBADF, "cannot pass file descriptor %d as %d to %s",
                             spec->fds[i].parent, spec->fds[i].child, spec->path);
        if (spec->fds[i].child >= above)
            above = spec->fds[i].child + 1;
    }

    CLEANUP_FREE int *high = mem_array(spec->fd_count, sizeof(*high));
    size_t made = 0;
    pid_t pid = -1;
    int r = 0;
    for (; made < spec->fd_count; made++) {
        high[made] = fcntl(spec->fds[made].parent, F_DUPFD_CLOEXEC, above);
        if (high[made] < 0) {
            r = -errno;
            break;
        }
    }
    if (r == 0)
        r = spawn(spec, high, above, &pid);
    for (size_t i = 0; i < made; i++)
        close(high[i]);
    if (r < 0)
        return error_set(err, r == -EAGAIN || r == -ENOMEM ? r : -EIO, "cannot start %s: %s",
                         spec->path, strerrordesc_np(-r));

    if (ret_pidfd) {
        /* Not reaped yet, so the pid cannot have become somebody else's. */
        int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
        if (pidfd < 0) {
            r = -errno;
            kill(pid, SIGKILL);
            while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                ;
            return error_errno(err, r, "cannot watch %s", spec->path);
        }
        *ret_pidfd = pidfd;
    }
    if (ret_pid)
        *ret_pid = pid;
    return 0;
}

/* Reads what is there now; false at the end of the output. */
static bool drain(int fd, struct str *output, size_t limit)
{
    char buffer[16384];

    for (;;) {
        ssize_t n = read(fd, buffer, sizeof(buffer));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN;
        if (n == 0)
            return false;
        /* Beyond the limit it is read and dropped: a full pipe would stop the
         * program, and its exit status would never come. */
        size_t room = limit - output->length;
        str_append_n(output, buffer, (size_t)n < room ? (size_t)n : room);
    }
}

static void kill_child(const struct child_spec *spec, pid_t pid)
{
    if (!spec->new_session || kill(-pid, SIGKILL) < 0)
        kill(pid, SIGKILL);
}

static int reap(pid_t pid)
{
    int status;

    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int child_run(const struct child_spec *spec, int timeout_ms, size_t output_limit,
              char **ret_output, struct error *err)
{
    CLEANUP_STR struct str output = STR_INIT;
    CLEANUP_CLOSE int pidfd = -EBADF;
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_errno(err, errno, "cannot start %s", spec->path);
    CLEANUP_CLOSE int from = ends[0];
    CLEANUP_CLOSE int to = ends[1];
    int r = fd_set_nonblock(from, true);
    if (r < 0)
        return error_errno(err, r, "cannot start %s", spec->path);

    CLEANUP_FREE struct child_fd *fds = mem_array(spec->fd_count + 2, sizeof(*fds));
    struct child_spec with_output = *spec;
    if (spec->fd_count > 0)
        memcpy(fds, spec->fds, spec->fd_count * sizeof(*fds));
    for (int fd = 1; fd <= 2; fd++)
        if (!listed(spec, fd))
            fds[with_output.fd_count++] = (struct child_fd){.parent = to, .child = fd};
    with_output.fds = fds;

    pid_t pid;
    r = child_spawn(&with_output, &pid, &pidfd, err);
    if (r < 0)
        return r;
    cleanup_close(&to);

    int64_t deadline = timeout_ms < 0 ? INT64_MAX : clock_mono_ns() + timeout_ms * NS_PER_MS;
    bool open = true;
    bool late = false, cancelled = false;
    for (;;) {
        struct pollfd polls[] = {
            {.fd = pidfd, .events = POLLIN},
            {.fd = open ? from : -1, .events = POLLIN},
            {.fd = spec->cancel_fd > 0 ? spec->cancel_fd : -1, .events = POLLIN},
        };
        int wait_ms = -1;

        if (deadline != INT64_MAX) {
            int64_t left = deadline - clock_mono_ns();
            if (left <= 0) {
                late = true;
                kill_child(spec, pid);
                break;
            }
            wait_ms = (int)((left + NS_PER_MS - 1) / NS_PER_MS);
        }
        if (poll(polls, ARRAY_SIZE(polls), wait_ms) < 0 && errno != EINTR) {
            r = -errno;
            kill_child(spec, pid);
            reap(pid);
            return error_errno(err, r, "cannot wait for %s", spec->path);
        }
        if (polls[1].revents)
            open = drain(from, &output, output_limit);
        if (polls[0].revents)
            break;
        if (polls[2].revents) {
            cancelled = true;
            kill_child(spec, pid);
            break;
        }
    }
    r = reap(pid);
    /* What the child wrote is in the pipe; a grandchild that holds it open is
     * not waited for. */
    if (open)
        drain(from, &output, output_limit);
    if (ret_output && (late || r >= 0))
        *ret_output = str_take(&output);
    if (r < 0)
        return error_errno(err, r, "cannot wait for %s", spec->path);
    if (cancelled)
        return error_set(err, ECANCELED, "%s was cancelled", spec->path);
    if (late)
        return error_set(err, ETIMEDOUT, "%s did not end within %d ms", spec->path, timeout_ms);
    return r;
}
