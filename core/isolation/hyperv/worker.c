/* worker.c - see worker.h. */
#include "isolation/hyperv/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <sched.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <grp.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "launch/cgroup.h"
#include "tabique/error.h"

#define QEMU_IN_ROOT "/usr/bin/qemu"
#define WORKER_FDS_MAX 32

uid_t worker_uid(const char *container_id)
{
    char head[8] = {0};

    snprintf(head, sizeof(head), "%.7s", container_id);
    return 0x50000000u + (uid_t)strtoul(head, NULL, 16);
}

/* --- in the child ------------------------------------------------------------------ */

struct report { /* what failed, back to the parent */
    int code;
    char step[60];
};

static void fail(int report_fd, const char *step)
{
    struct report report = {.code = errno ? errno : EIO};

    snprintf(report.step, sizeof(report.step), "%s", step);
    (void)!write(report_fd, &report, sizeof(report));
    _exit(127);
}

static void enter_root(const struct worker_spec *spec, int report_fd)
{
    struct stat kvm;

    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount(spec->root, spec->root, NULL, MS_BIND, NULL) < 0 || chdir(spec->root) < 0)
        fail(report_fd, "its root");
    /* A node of its own rather than the host's: whatever group that one has, this
     * user alone may open this one. */
    if (spec->kvm && (stat("/dev/kvm", &kvm) < 0 || mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "size=4k,mode=0755") < 0 ||
                      mknod("dev/kvm", S_IFCHR | 0600, kvm.st_rdev) < 0 || chown("dev/kvm", spec->uid, spec->uid) < 0))
        fail(report_fd, "/dev/kvm");
    /* Of its own pid namespace: it shows the worker nothing but itself, and the
     * memory file is opened by way of /proc/self/fd. */
    if (mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        fail(report_fd, "/proc");
    if (mount(NULL, spec->root, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) < 0)
        fail(report_fd, "a read-only root");
    if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        fail(report_fd, "pivot_root");
}

/* All at once and above the target numbers first, so that no fd is overwritten
 * before it has been copied. */
static void place_fds(const struct worker_spec *spec, int *report_fd)
{
    int copies[WORKER_FDS_MAX];
    int above = WORKER_FD_FIRST + WORKER_FDS_MAX + 1;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    *report_fd = fcntl(*report_fd, F_DUPFD_CLOEXEC, above);
    for (size_t i = 0; i < spec->fd_count; i++)
        if ((copies[i] = fcntl(spec->fds[i].parent, F_DUPFD_CLOEXEC, above)) < 0)
            fail(*report_fd, "its file descriptors");
    for (int fd = 0; fd < 3; fd++)
        if (fd != 2 && dup2(null, fd) < 0)
            fail(*report_fd, "its stdio");
    for (size_t i = 0; i < spec->fd_count; i++)
        if (dup2(copies[i], spec->fds[i].child) < 0)
            fail(*report_fd, "its file descriptors");
    for (int fd = WORKER_FD_FIRST; fd < above; fd++) {
        bool wanted = false;
        for (size_t i = 0; i < spec->fd_count; i++)
            wanted |= spec->fds[i].child == fd;
        if (!wanted)
            close(fd);
    }
    /* What is above stays O_CLOEXEC. */
    (void)syscall(SYS_close_range, (unsigned)above, ~0u, 4 /* CLOSE_RANGE_CLOEXEC */);
}

static void drop_privileges(const struct worker_spec *spec, int report_fd)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {0};
    struct rlimit no_core = {0, 0};

    setrlimit(RLIMIT_CORE, &no_core);
    /* Translated code and tables are touched here and there: huge pages would round a
     * small machine's memory up by a third. */
    (void)prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
    for (int capability = 0; capability < 64; capability++)
        (void)prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
    if (setgroups(0, NULL) < 0 || setresgid(spec->uid, spec->uid, spec->uid) < 0 ||
        setresuid(spec->uid, spec->uid, spec->uid) < 0 || syscall(SYS_capset, &header, none) < 0)
        fail(report_fd, "its user");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        fail(report_fd, "no_new_privs");
    /* A change of user clears the parent-death signal: only now does it hold. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        fail(report_fd, "its parent-death signal");
    /* A parent that died before gives no signal any more, and from inside a pid
     * namespace it has no number either: but nobody reads the report. */
    struct pollfd reader = {.fd = report_fd};
    if (poll(&reader, 1, 0) != 0)
        _exit(1);
}

static void child(const struct worker_spec *spec, const struct cgroup_entry *cgroup, int report_fd)
{
    const char *environment[] = {"PATH=/usr/bin", NULL};
    sigset_t none;

    for (int signal_number = 1; signal_number < NSIG; signal_number++)
        signal(signal_number, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (cgroup_entry_enter(cgroup, NULL) < 0)
        fail(report_fd, "its cgroup");
    place_fds(spec, &report_fd);
    enter_root(spec, report_fd);
    drop_privileges(spec, report_fd);
    execve(QEMU_IN_ROOT, spec->argv, (char *const *)(const void *)environment);
    fail(report_fd, "exec of QEMU");
}

/* --- in the parent -------------------------------------------------------------------- */

int worker_spawn(const struct worker_spec *spec, pid_t *ret_pid, int *ret_pidfd, struct error *err)
{
    CLEANUP(cgroup_entry_close) struct cgroup_entry cgroup = CGROUP_ENTRY_INIT;
    CLEANUP_CLOSE int report_read = -EBADF, report_write = -EBADF;
    CLEANUP_CLOSE int pidfd = -EBADF;
    struct report report;
    int pipe_fds[2];
    pid_t pid;
    int r = 0;

    if (spec->fd_count > WORKER_FDS_MAX)
        return error_set(err, EINVAL, "too many file descriptors for a worker");
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return error_errno(err, errno, "cannot make a pipe");
    report_read = pipe_fds[0], report_write = pipe_fds[1];
    if (spec->cgroup && (r = cgroup_entry_open(spec->cgroup, &cgroup, err)) < 0)
        return r;

    struct clone_args arguments = {
        .flags = CLONE_PIDFD | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET,
        .pidfd = (uint64_t)(uintptr_t)&pidfd,
        .exit_signal = SIGCHLD,
    };
    if (cgroup.unified >= 0) {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = (uint64_t)cgroup.unified;
    }
    pid = (pid_t)syscall(SYS_clone3, &arguments, sizeof(arguments));
    bool enter_unified = pid < 0 && cgroup.unified >= 0; /* not every outer sandbox lets one be born in it */
    if (enter_unified) {
        arguments.flags &= ~(uint64_t)CLONE_INTO_CGROUP;
        pid = (pid_t)syscall(SYS_clone3, &arguments, sizeof(arguments));
    }
    if (pid < 0)
        return error_errno(err, errno, "cannot start the worker");
    if (pid == 0) {
        close(report_read); /* or it would be this one that keeps the report's reader alive */
        child(spec, &cgroup, report_write);
    }

    close(TAKE_FD(report_write));
    if (enter_unified)
        r = cgroup_attach(spec->cgroup, pid, err);
    if (r >= 0 && read(report_read, &report, sizeof(report)) == (ssize_t)sizeof(report)) {
        report.step[sizeof(report.step) - 1] = '\0';
        r = error_errno(err, report.code, "the worker cannot have %s", report.step);
    }
    if (r < 0) {
        kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
        return r;
    }
    *ret_pid = pid;
    *ret_pidfd = TAKE_FD(pidfd);
    return 0;
}
