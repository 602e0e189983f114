/* confine.c - what a process that carries strangers' bytes may still do. */
#include "forward.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <grp.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/calls.h"
#include "base/cleanup.h"

#define NOBODY 65534

static void die(const char *step)
{
    fprintf(stderr, "tabique-forward: cannot confine itself: %s: %s\n", step, strerror(errno));
    exit(1);
}

static void few_calls(void)
{
    static const char *const allowed[] = {
        "read", "write", "writev", "close", "socket", "connect", "accept4", "listen", "shutdown", "setsockopt", "getsockopt",
        "sendto", "sendmsg", "recvfrom", "recvmsg", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "eventfd2",
        "fcntl", "dup2", "setsid",
        "brk", "mmap", "munmap", "mremap", "madvise", "futex", "clock_gettime", "restart_syscall", "rt_sigreturn",
        "rt_sigprocmask", "getpid", "gettid", "tgkill", "exit", "exit_group",
    };

    int r = calls_keep(allowed, ARRAY_SIZE(allowed));
    if (r < 0) {
        errno = -r;
        die("seccomp");
    }
}

void confine(void)
{
    /* The nearest directory in which there is nothing but what concerns us. */
    if (chdir("/proc/self/fdinfo") < 0 || chroot(".") < 0 || chdir("/") < 0)
        die("an empty root");
    if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0)
        die("another user");
    for (int capability = 0; capability < 64; capability++)
        (void)prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        die("no_new_privs");
    few_calls();
}
