#include "base/base_test.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/child.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"
#include "tabique/error.h"

#define SHELL(script) \
    {                 \
        .path = "/bin/sh", .argv = (char *[]) { mutable_text("sh"), mutable_text("-c"), mutable_text(script), NULL } \
    }

static void output_and_status(void **state)
{
    struct child_spec spec = SHELL("echo out; echo err >&2; exit 3");
    CLEANUP_FREE char *output = NULL;
    struct error err = ERROR_INIT;
    int before = open_fds();

    assert_int_equal(child_run(&spec, 5000, 1000, &output, &err), 3);
    assert_string_equal(output, "out\nerr\n");
    struct child_spec quiet = SHELL("exit 0");
    assert_int_equal(child_run(&quiet, -1, 0, NULL, NULL), 0);
    struct child_spec killed = SHELL("kill -9 $$");
    assert_int_equal(child_run(&killed, 5000, 0, NULL, NULL), 128 + 9);
    assert_int_equal(open_fds(), before);
}

static void limits(void **state)
{
    struct child_spec much = SHELL("head -c 1000000 /dev/zero | tr '\\0' x; exit 5");
    CLEANUP_FREE char *output = NULL;

    assert_int_equal(child_run(&much, 20000, 1000, &output, NULL), 5);
    assert_int_equal(strlen(output), 1000);

    struct child_spec slow = SHELL("echo begun; exec sleep 60");
    CLEANUP_FREE char *partial = NULL;
    struct error err = ERROR_INIT;
    int64_t start = clock_mono_ns();
    assert_int_equal(child_run(&slow, 300, 1000, &partial, &err), -ETIMEDOUT);
    assert_true(clock_mono_ns() - start < 10 * NS_PER_SEC);
    assert_string_equal(partial, "begun\n");
    assert_int_equal(err.code, ETIMEDOUT);

    /* A grandchild that keeps the output open is not waited for ... */
    struct child_spec daemon = SHELL("sleep 3 & echo gone");
    CLEANUP_FREE char *gone = NULL;
    start = clock_mono_ns();
    assert_int_equal(child_run(&daemon, 10000, 1000, &gone, NULL), 0);
    assert_true(clock_mono_ns() - start < 2 * NS_PER_SEC);
    assert_string_equal(gone, "gone\n");

    /* ... and goes with its group on a time-out. */
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    struct child_fd kept = {.parent = ends[1], .child = 3};
    struct child_spec group = SHELL("sleep 60 & wait");
    group.new_session = 1;
    group.fds = &kept;
    group.fd_count = 1;
    assert_int_equal(child_run(&group, 300, 0, NULL, NULL), -ETIMEDOUT);
    close(ends[1]);
    struct pollfd p = {.fd = ends[0], .events = POLLIN};
    assert_int_equal(poll(&p, 1, 5000), 1);
    assert_int_equal(read(ends[0], &(char){0}, 1), 0);
    close(ends[0]);
}

static void clean_start(void **state)
{
    sigset_t block;

    /* Neither our mask and ignored signals nor stray descriptors go along. */
    sigemptyset(&block);
    sigaddset(&block, SIGTERM);
    sigaddset(&block, SIGUSR1);
    sigprocmask(SIG_BLOCK, &block, NULL);
    signal(SIGPIPE, SIG_IGN);
    int stray = open("/dev/null", O_RDONLY);
    assert_int_equal(dup2(stray, 77), 77);

    struct child_spec spec = SHELL("grep -E '^Sig(Blk|Ign)' /proc/self/status; ls /proc/$$/fd; "
                                   "echo \"$PATH:$HOME\"; readlink /proc/$$/fd/0");
    CLEANUP_FREE char *output = NULL;
    assert_int_equal(child_run(&spec, 5000, 4000, &output, NULL), 0);
    assert_non_null(strstr(output, "SigBlk:\t0000000000000000"));
    /* glibc leaves its own two, 32 and 33, ignored. */
    assert_true(strstr(output, "SigIgn:\t0000000180000000") ||
                    strstr(output, "SigIgn:\t0000000000000000"));
    assert_null(strstr(output, "77"));
    assert_non_null(strstr(output, "/usr/bin"));
    assert_non_null(strstr(output, "/bin:\n/dev/null\n"));

    char *environment[] = {mutable_text("X=1"), NULL};
    struct child_spec with = SHELL("echo $X");
    with.envp = environment;
    CLEANUP_FREE char *value = NULL;
    assert_int_equal(child_run(&with, 5000, 100, &value, NULL), 0);
    assert_string_equal(value, "1\n");
    close(stray);
    close(77);
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_UNBLOCK, &block, NULL);
}

/* Child numbers that are, in the parent, those of other fds to be passed. */
static void crossed_fds(void **state)
{
    int a[2], b[2];

    assert_int_equal(pipe2(a, O_CLOEXEC), 0);
    assert_int_equal(pipe2(b, O_CLOEXEC), 0);
    struct child_fd fds[] = {
        {.parent = a[1], .child = b[1]},
        {.parent = b[1], .child = a[1]},
        {.parent = a[1], .child = 1},
    };
    CLEANUP_FREE char *script = NULL;
    assert_true(asprintf(&script, "echo A >&%d; echo B >&%d; echo one", b[1], a[1]) > 0);
    struct child_spec spec = SHELL(script);
    spec.fds = fds;
    spec.fd_count = 3;

    pid_t pid = -1;
    int pidfd = -1;
    struct error err = ERROR_INIT;
    assert_int_equal(child_spawn(&spec, &pid, &pidfd, &err), 0);
    assert_true(fcntl(pidfd, F_GETFD) & FD_CLOEXEC);
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 5000), 1);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    close(pidfd);
    close(a[1]);
    close(b[1]);
    char text[32] = "";
    assert_int_equal(fd_read_full(a[0], text, sizeof(text) - 1), 6);
    assert_string_equal(text, "A\none\n");
    memset(text, 0, sizeof(text));
    assert_int_equal(fd_read_full(b[0], text, sizeof(text) - 1), 2);
    assert_string_equal(text, "B\n");
    close(a[0]);
    close(b[0]);
}

static void sessions(void **state)
{
    struct child_spec spec = SHELL("ps -o sid= -p $$ | tr -d ' '; echo $$");
    CLEANUP_FREE char *output = NULL;

    spec.new_session = 1;
    assert_int_equal(child_run(&spec, 5000, 100, &output, NULL), 0);
    CLEANUP_STRV char **lines = strv_split(output, '\n');
    assert_string_equal(lines[0], lines[1]);
}

static void failures(void **state)
{
    struct error err = ERROR_INIT;
    pid_t pid = 123;
    int pidfd = 456;
    int before = open_fds();
    char *argv[] = {mutable_text("x"), NULL};

    struct child_spec missing = {.path = "/nonexistent/program", .argv = argv};
    assert_int_equal(child_spawn(&missing, &pid, &pidfd, &err), -EIO);
    assert_string_equal(err.message,
                        "cannot start /nonexistent/program: No such file or directory");
    assert_int_equal(child_run(&missing, 1000, 10, NULL, &err), -EIO);
    struct child_spec relative = {.path = "sh", .argv = argv};
    assert_int_equal(child_spawn(&relative, &pid, &pidfd, &err), -EINVAL);
    struct child_spec folder = {.path = "/tmp", .argv = argv};
    assert_int_equal(child_spawn(&folder, &pid, &pidfd, NULL), -EIO);
    struct child_fd bad = {.parent = -EBADF, .child = 3};
    struct child_spec bad_fd = {.path = "/bin/true", .argv = argv, .fds = &bad, .fd_count = 1};
    assert_int_equal(child_spawn(&bad_fd, &pid, &pidfd, &err), -EBADF);
    assert_int_equal(pid, 123);
    assert_int_equal(pidfd, 456);
    assert_int_equal(open_fds(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(output_and_status), cmocka_unit_test(limits),
        cmocka_unit_test(clean_start),       cmocka_unit_test(crossed_fds),
        cmocka_unit_test(sessions),          cmocka_unit_test(failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
