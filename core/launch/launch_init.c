/* launch_init.c - --init: pid 1 that reaps orphans, passes signals on and ends
 * with its child's status. Owner: launch.
 *
 * It is confined like the container's process (same user, capabilities and
 * filter) and stays undumpable, so that nothing inside can open its memory or,
 * by /proc/1/exe, its program.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launch/launch_private.h"

static char *title_area;
static size_t title_size;

void launch_title_area(char *start, size_t size)
{
    title_area = start;
    title_size = size;
}

static size_t put_word(size_t at, const char *word)
{
    size_t length = strlen(word) + 1;

    if (at + length > title_size)
        return title_size; /* nothing after it either */
    memcpy(title_area + at, word, length);
    return at + length;
}

void launch_set_title(const char *name, const char *separator, char *const *argv)
{
    size_t at;

    if (title_size == 0)
        return;
    memset(title_area, 0, title_size);
    at = put_word(0, name);
    if (separator)
        at = put_word(at, separator);
    for (; *argv; argv++)
        at = put_word(at, *argv);
}

/* What ps shows: "tabique-init -- ping localhost". */
static void set_title(char *const *argv)
{
    prctl(PR_SET_NAME, "tabique-init", 0, 0, 0);
    launch_set_title("tabique-init", "--", argv);
}

static int status_code(int status)
{
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void serve(pid_t child, const sigset_t *all) __attribute__((noreturn));
static void serve(pid_t child, const sigset_t *all)
{
    for (;;) {
        siginfo_t info;
        int signal = sigwaitinfo(all, &info);

        if (signal < 0)
            continue;
        if (signal != SIGCHLD) {
            kill(child, signal);
            continue;
        }
        for (;;) {
            int status;
            pid_t pid = waitpid(-1, &status, WNOHANG);

            if (pid == child)
                _exit(status_code(status)); /* the namespace goes with us */
            if (pid <= 0)
                break;
        }
    }
}

int launch__init(struct launch_child *c, struct error *err)
{
    sigset_t all;
    pid_t child;

    sigfillset(&all);
    /* These are about ourselves; SIGTTIN and SIGTTOU would stop us. */
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGILL);
    sigdelset(&all, SIGABRT);
    sigdelset(&all, SIGSYS);
    sigdelset(&all, SIGTRAP);
    sigprocmask(SIG_BLOCK, &all, NULL);
    child = fork();
    if (child < 0)
        return error_errno(err, errno, "cannot create the container's process");
    if (child == 0) {
        prctl(PR_SET_DUMPABLE, 0);
        setpgid(0, 0);
        if (c->process->tty)
            (void)tcsetpgrp(0, getpid()); /* SIGTTOU is blocked here */
        sigemptyset(&all);
        sigprocmask(SIG_SETMASK, &all, NULL);
        return 0;
    }
    setpgid(child, child);
    set_title(c->process->argv);
    if (c->process->tty)
        (void)tcsetpgrp(0, child);
    syscall(SYS_close_range, 3U, UINT_MAX, 0);
    (void)!chdir("/"); /* holds no mount of a volume busy */
    serve(child, &all);
}
