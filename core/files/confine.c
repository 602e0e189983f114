/* confine.c - what a file server for a hostile guest may still do: file operations
 * on the fds it has. */
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/calls.h"
#include "base/cleanup.h"

static void die(const char *step)
{
    fprintf(stderr, "tabique-files: cannot confine itself: %s: %s\n", step, strerror(errno));
    exit(1);
}

/* An empty root with only our own /proc/self/fd, through which O_PATH fds are
 * opened for reading and writing. */
static void empty_root(void)
{
    if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
        die("unshare");
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=64k,mode=0555") < 0 ||
        mkdir("/tmp/fd", 0555) < 0 || mount("/proc/self/fd", "/tmp/fd", NULL, MS_BIND, NULL) < 0 || chdir("/tmp") < 0 ||
        syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        die("an empty root");
    if (mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        die("a read-only root");
}

static void few_capabilities(void)
{
    static const cap_value_t kept[] = {CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_FSETID, CAP_MKNOD, CAP_SETFCAP};
    cap_t caps = cap_init();

    for (int capability = 0; capability < 64; capability++) {
        bool keep = false;
        for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
            keep |= (int)kept[i] == capability;
        if (!keep)
            (void)prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
    }
    if (!caps || cap_set_flag(caps, CAP_PERMITTED, ARRAY_SIZE(kept), kept, CAP_SET) < 0 ||
        cap_set_flag(caps, CAP_EFFECTIVE, ARRAY_SIZE(kept), kept, CAP_SET) < 0 || cap_set_proc(caps) < 0)
        die("capabilities");
    cap_free(caps);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        die("no_new_privs");
}

/* A sanitizer's runtime makes calls of its own: a build with one goes without. */
#if !defined(__SANITIZE_ADDRESS__)
static void few_calls(void)
{
    static const char *const allowed[] = {
        "read", "readv", "pread64", "preadv", "write", "writev", "pwrite64", "pwritev", "lseek", "close", "dup",
        "openat", "openat2", "mkdirat", "mknodat", "unlinkat", "renameat", "renameat2", "linkat", "symlinkat", "readlinkat",
        "fstat", "newfstatat", "statx", "fstatfs", "fchmod", "fchmodat", "fchown", "fchownat", "utimensat", "ftruncate",
        "fallocate", "fsync", "fdatasync", "syncfs", "getdents64", "copy_file_range", "flock", "fcntl", "umask",
        "getxattr", "setxattr", "listxattr", "removexattr", "fgetxattr", "fsetxattr", "flistxattr", "fremovexattr",
        "lgetxattr", "llistxattr", "faccessat", "faccessat2",
        "brk", "mmap", "munmap", "mremap", "mprotect", "madvise", "futex", "rt_sigaction", "rt_sigprocmask",
        "rt_sigreturn", "sigaltstack", "clock_gettime", "clock_nanosleep", "getpid", "gettid", "getuid", "geteuid",
        "getgid", "getegid", "exit", "exit_group", "restart_syscall", "getrandom", "poll", "ppoll", "rseq",
        "set_robust_list", "prlimit64", "recvfrom", "sendto", "sendmsg", "recvmsg", "tgkill",
    };

    int r = calls_keep(allowed, ARRAY_SIZE(allowed));
    if (r < 0) {
        errno = -r;
        die("seccomp");
    }
}
#endif

void confine(void)
{
    struct rlimit none = {0, 0};

    (void)setrlimit(RLIMIT_CORE, &none);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    umask(0);
    empty_root();
    few_capabilities();
#if !defined(__SANITIZE_ADDRESS__)
    few_calls();
#endif
}
