/* cgroups of whatever kind this host has, with real processes in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "launch/cgroup.h"
#include "launch/cgroup_private.h"
#include "tabique/error.h"

static char name[64];

static int up(void **state)
{
    snprintf(name, sizeof(name), "tabique-test-cg-%d/a", (int)getpid());
    return geteuid() == 0 && cgroup_version() != CGROUP_NONE ? 0 : -1;
}

static int down(void **state)
{
    char parent[64];

    snprintf(parent, sizeof(parent), "tabique-test-cg-%d", (int)getpid());
    cgroup_kill(parent, SIGKILL);
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    return cgroup_remove(parent);
}

static pid_t sleeper(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        for (;;)
            pause();
    }
    return pid;
}

static void make(void)
{
    struct error err = ERROR_INIT;

    if (cgroup_create(name, &err) < 0)
        fail_msg("%s", err.message);
}

static void limits(void **state)
{
    struct plan_limits l = {.memory = 64 << 20, .memory_swap = -1, .memory_swappiness = -1, .cpu_shares = 512,
                            .cpu_period = 50000, .cpu_quota = 25000, .pids = 17};
    struct cgroup_stats s;
    struct error err = ERROR_INIT;

    make();
    if (cgroup_apply(name, &l, &err) < 0)
        fail_msg("%s", err.message);
    assert_int_equal(cgroup_stats(name, &s), 0);
    assert_int_equal(s.memory_limit, 64 << 20);
    assert_int_equal(s.pids_limit, 17);
    /* up, beyond the old memory+swap, and down again */
    l = (struct plan_limits){.memory = 256 << 20, .memory_swap = 512 << 20, .memory_swappiness = -1, .pids = -1};
    assert_int_equal(cgroup_apply(name, &l, &err), 0);
    l = (struct plan_limits){.memory = 32 << 20, .memory_swap = 32 << 20, .memory_swappiness = -1};
    assert_int_equal(cgroup_apply(name, &l, &err), 0);
    assert_int_equal(cgroup_stats(name, &s), 0);
    assert_int_equal(s.memory_limit, 32 << 20);
    assert_int_equal(s.pids_limit, UINT64_MAX);
    l = (struct plan_limits){.cpuset_cpus = (char *)(uintptr_t)"99999", .memory_swappiness = -1};
    assert_true(cgroup_apply(name, &l, &err) < 0);
    assert_non_null(strstr(err.message, "cpuset.cpus"));
    assert_int_equal(cgroup_remove(name), 0);
    assert_int_equal(cgroup_stats(name, &s), -ENOENT);
}

static void enter_kill(void **state)
{
    pid_t pids[5], *list = NULL;
    struct error err = ERROR_INIT;
    size_t count;
    int status;

    make();
    for (int i = 0; i < 5; i++) {
        pids[i] = sleeper();
        assert_int_equal(cgroup_attach(name, pids[i], &err), 0);
    }
    assert_int_equal(cgroup_pids(name, &list, &count), 0);
    assert_int_equal(count, 5);
    free(list);
    assert_int_equal(cgroup_remove(name), -EBUSY);
    assert_int_equal(cgroup_kill(name, SIGTERM), 0);
    assert_int_equal(waitpid(pids[0], &status, 0), pids[0]);
    assert_int_equal(WTERMSIG(status), SIGTERM);
    assert_int_equal(cgroup_kill(name, SIGKILL), 0);
    for (int i = 1; i < 5; i++)
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
    assert_int_equal(cgroup_remove(name), 0);
}

/* What a server that was killed has left: those that nobody is in, and no others. */
static void sweeping(void **state)
{
    static const char *const kinds[] = {"pool-empty", "pool-lived-in", "other"};
    char parent[64], paths[3][96];
    struct error err = ERROR_INIT;
    pid_t pid = sleeper(), *list;
    size_t count;

    snprintf(parent, sizeof(parent), "tabique-test-cg-%d", (int)getpid());
    for (int i = 0; i < 3; i++) {
        snprintf(paths[i], sizeof(paths[i]), "%s/%s", parent, kinds[i]);
        assert_int_equal(cgroup_create(paths[i], &err), 0);
    }
    assert_int_equal(cgroup_attach(paths[1], pid, &err), 0);
    cgroup_sweep(parent, "pool-");
    assert_true(cgroup_pids(paths[0], &list, &count) < 0);
    assert_int_equal(cgroup_pids(paths[1], &list, &count), 0);
    assert_int_equal(count, 1);
    assert_int_equal(list[0], pid);
    free(list);
    assert_int_equal(cgroup_pids(paths[2], &list, &count), 0);
    free(list);
    assert_int_equal(cgroup_kill(paths[1], SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    cgroup_sweep(parent, "pool-");
    assert_true(cgroup_pids(paths[1], &list, &count) < 0);
    assert_int_equal(cgroup_remove(paths[2]), 0);
}

/* The fast way in: the child goes by itself. */
static void entry(void **state)
{
    struct cgroup_entry e = CGROUP_ENTRY_INIT;
    struct error err = ERROR_INIT;
    const struct cgroup_hierarchy *items;
    size_t hierarchies = cgroup__hierarchies(&items);
    int status;
    pid_t pid;

    make();
    assert_int_equal(cgroup_entry_open(name, &e, &err), 0);
    pid = fork();
    if (pid == 0) {
        CLEANUP_FREE char *text = NULL;
        size_t in = 0;

        if (cgroup_entry_enter(&e, NULL) < 0 || file_read(AT_FDCWD, "/proc/self/cgroup", 65536, &text, NULL) < 0)
            _exit(100);
        for (const char *at = text; (at = strstr(at, name)); at += strlen(name))
            in++;
        _exit((int)in);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), hierarchies - (e.unified >= 0));
    cgroup_entry_close(&e);
    assert_int_equal(cgroup_remove(name), 0);
}

static void freezing(void **state)
{
    struct error err = ERROR_INIT;
    int pipe_fds[2];
    struct pollfd p;
    pid_t pid;
    char c;

    make();
    assert_int_equal(pipe(pipe_fds), 0);
    pid = fork();
    if (pid == 0)
        for (;;) {
            if (write(pipe_fds[1], "x", 1) < 0)
                _exit(1);
            usleep(1000);
        }
    p = (struct pollfd){.fd = pipe_fds[0], .events = POLLIN};
    assert_int_equal(cgroup_attach(name, pid, &err), 0);
    assert_int_equal(read(pipe_fds[0], &c, 1), 1);
    assert_int_equal(cgroup_freeze(name, true, &err), 0);
    while (poll(&p, 1, 0) == 1) /* what was written before */
        assert_int_equal(read(pipe_fds[0], &c, 1), 1);
    assert_int_equal(poll(&p, 1, 100), 0);
    assert_int_equal(cgroup_freeze(name, false, &err), 0);
    assert_int_equal(read(pipe_fds[0], &c, 1), 1);
    /* a frozen one can be killed, too */
    assert_int_equal(cgroup_freeze(name, true, &err), 0);
    assert_int_equal(cgroup_kill(name, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    assert_int_equal(cgroup_remove(name), 0);
}

static void bad_names(void **state)
{
    static const char *const bad[] = {"", "/x", "x/", "a//b", "..", "a/../b", "./a", "a/."};
    struct error err = ERROR_INIT;

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(cgroup_create(bad[i], &err), -EINVAL);
        assert_int_equal(cgroup_remove(bad[i]), -EINVAL);
        assert_int_equal(cgroup_kill(bad[i], SIGKILL), -EINVAL);
    }
}

/* The program for v2 is accepted by the verifier and by a cgroup, also on a
 * hybrid host; that it decides rightly is seen in the guest, where v2 rules. */
static void device_program(void **state)
{
    static const struct plan_device_rule rules[] = {
        {false, 'a', -1, -1, "rwm"}, {true, 'c', -1, -1, "m"}, {true, 'c', 1, 3, "rwm"},
        {true, 'b', 8, -1, "r"},     {false, 'c', 1, 5, "w"},
    };
    static const struct plan_device_rule everything[] = {{true, 'c', 1, 3, "r"}, {true, 'a', -1, -1, "rwm"}};
    struct error err = ERROR_INIT;

    if (!cgroup__unified())
        skip();
    make();
    if (cgroup__attach_devices(name, rules, ARRAY_SIZE(rules), &err) < 0)
        fail_msg("%s", err.message);
    assert_int_equal(cgroup__attach_devices(name, everything, ARRAY_SIZE(everything), &err), 0);
    assert_int_equal(cgroup__attach_devices(name, rules, 1, &err), 0);
    assert_int_equal(cgroup_remove(name), 0);
}

/* ... but the unified hierarchy decides on a hybrid host, too, for who is in it. */
static void device_decisions(void **state)
{
    static const struct plan_device_rule rules[] = {
        {false, 'a', -1, -1, "rwm"}, {true, 'c', 1, -1, "rw"}, {false, 'c', 1, 5, "w"}, {true, 'c', 5, 0, "r"},
    };
    static const struct {
        const char *path;
        int flags;
        int expected;
    } tries[] = {
        {"/dev/null", O_RDWR, 0}, {"/dev/zero", O_RDONLY, 0}, {"/dev/zero", O_RDWR, EPERM}, {"/dev/zero", O_WRONLY, EPERM},
        {"/dev/urandom", O_RDONLY, 0}, {"/dev/ptmx", O_RDWR, EPERM},
    };
    struct error err = ERROR_INIT;
    int status;
    pid_t pid;

    if (!cgroup__unified())
        skip();
    make();
    assert_int_equal(cgroup__attach_devices(name, rules, ARRAY_SIZE(rules), &err), 0);
    pid = fork();
    if (pid == 0) {
        if (cgroup_attach(name, getpid(), NULL) < 0)
            _exit(100);
        for (size_t i = 0; i < ARRAY_SIZE(tries); i++) {
            int fd = open(tries[i].path, tries[i].flags | O_NOCTTY);

            if ((fd < 0 ? errno : 0) != tries[i].expected)
                _exit((int)i + 1);
        }
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(cgroup_remove(name), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits),    cmocka_unit_test(enter_kill), cmocka_unit_test(sweeping),     cmocka_unit_test(entry),
        cmocka_unit_test(freezing),  cmocka_unit_test(bad_names),      cmocka_unit_test(device_program),
        cmocka_unit_test(device_decisions),
    };

    return cmocka_run_group_tests(tests, up, down);
}
