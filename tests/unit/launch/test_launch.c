/* The launcher with real containers of busybox: what runs inside, as it sees
 * itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "launch/cgroup.h"
#include "launch/fixture.h"
#include "tabique/error.h"

static struct result r;

static void run_plan(struct plan *plan)
{
    fixture_run(plan, NULL, &r);
    plan_free(plan);
}

#define RUN(script) run_plan(plan_of(script))
#define HAS(text)                                                              \
    do {                                                                       \
        if (!strstr(r.out, text))                                              \
            fail_msg("no \"%s\" in: %s (%d, %s)", text, r.out, r.code, r.error); \
    } while (0)
#define HAS_NOT(text)                                       \
    do {                                                    \
        if (strstr(r.out, text))                            \
            fail_msg("\"%s\" in: %s", text, r.out);         \
    } while (0)

/* --- codes and errors ---------------------------------------------------------------- */
static void exit_codes(void **state)
{
    RUN("exit 0");
    assert_int_equal(r.code, 0);
    RUN("exit 255");
    assert_int_equal(r.code, 255);
    RUN("sleep 100 & kill -9 $!; wait $!; exit $?");
    assert_int_equal(r.code, 137);
}

static void killed(void **state)
{
    const char *argv[] = {"sleep", "100", NULL};
    struct plan *plan = fixture_plan(argv);
    struct launched l;

    assert_int_equal(fixture_start(plan, &l, &r), 0);
    assert_int_equal(syscall(SYS_pidfd_send_signal, l.pidfd, SIGKILL, NULL, 0), 0);
    fixture_finish(plan, &l, NULL, &r);
    assert_int_equal(r.code, 137);
    plan_free(plan);
}

static void programs_that_cannot_run(void **state)
{
    static const struct {
        const char *program;
        int code;
        const char *text;
    } cases[] = {
        {"nothere", -ENOENT, "unable to start container process: exec: \"nothere\": executable file not found in $PATH"},
        {"/nothere", -ENOENT, "unable to start container process: exec: \"/nothere\": stat /nothere: no such file or directory"},
        {"", -ENOENT, "unable to start container process: no command specified"},
        {"/etc", -EACCES, "unable to start container process: exec: \"/etc\": is a directory"},
        {"/etc/not-a-program", -EACCES, "unable to start container process: exec: \"/etc/not-a-program\": permission denied"},
        {"/bin/garbage", -EACCES, "unable to start container process: exec /bin/garbage: exec format error"},
        {"/bin/no-interpreter", -ENOENT, "unable to start container process: exec /bin/no-interpreter: no such file or directory"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        for (int init = 0; init < 2; init++) {
            const char *argv[] = {cases[i].program, NULL};
            struct plan *plan = fixture_plan(argv);

            plan->init = init;
            run_plan(plan);
            assert_string_equal(r.error, cases[i].text);
            assert_int_equal(r.code, cases[i].code);
            assert_true(r.exec_failed);
        }
    }
}

/* After any failure nothing is left: no process, no cgroup. */
static void failures_leave_nothing(void **state)
{
    for (int i = 0; i < 7; i++) {
        struct plan *plan = plan_of("true");
        struct cgroup_stats stats;

        switch (i) {
        case 0: fixture_user(plan, "nosuchuser"); break;
        case 1: fixture_mount(plan, "bind", "/no/such/source", "/x", 0, NULL); break;
        case 2: fixture_mount(plan, "nosuchfs", "x", "/x", 0, NULL); break;
        case 3: fixture_mount(plan, "tmpfs", "x", "/x", 0, "size=rubbish"); break;
        case 4:
            free(plan->rootfs.lower[0]);
            plan->rootfs.lower[0] = mem_strdup("nosuchlayer");
            break;
        case 5:
            free(plan->process.cwd);
            plan->process.cwd = mem_strdup("/etc/passwd");
            break;
        case 6:
            plan->namespaces[PLAN_NS_NET].mode = PLAN_NS_JOIN;
            plan->namespaces[PLAN_NS_NET].path = mem_strdup("/no/such/netns");
            break;
        }
        fixture_run(plan, NULL, &r);
        assert_true(r.code < 0);
        assert_false(r.exec_failed);
        assert_true(strlen(r.error) > 0);
        assert_int_equal(cgroup_stats(plan->cgroup, &stats), -ENOENT);
        plan_free(plan);
    }
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

/* --- what it is inside ------------------------------------------------------------------ */
static void namespaces(void **state)
{
    struct plan *plan = plan_of("echo pid $$; hostname; ls /sys/class/net; readlink /proc/self/ns/ipc; cat /proc/self/cgroup");
    char ipc[64];

    plan->domainname = mem_strdup("example.org");
    run_plan(plan);
    assert_int_equal(r.code, 0);
    HAS("pid 1\n");
    HAS("host");
    HAS("lo\n");
    HAS_NOT("eth0");
    HAS_NOT(f.cgroup); /* the cgroup namespace hides where it is */
    ipc[readlink("/proc/self/ns/ipc", ipc, sizeof(ipc) - 1)] = '\0';
    HAS_NOT(ipc);
}

static void host_namespaces(void **state)
{
    struct plan *plan = plan_of("readlink /proc/self/ns/net; readlink /proc/self/ns/uts; readlink /proc/self/ns/ipc; echo pid $$");
    char link[64];

    plan->namespaces[PLAN_NS_NET].mode = plan->namespaces[PLAN_NS_UTS].mode = plan->namespaces[PLAN_NS_IPC].mode =
        plan->namespaces[PLAN_NS_PID].mode = PLAN_NS_HOST;
    run_plan(plan);
    assert_int_equal(r.code, 0);
    for (int i = 0; i < 3; i++) {
        const char *const names[] = {"/proc/self/ns/net", "/proc/self/ns/uts", "/proc/self/ns/ipc"};

        link[readlink(names[i], link, sizeof(link) - 1)] = '\0';
        HAS(link);
    }
    HAS_NOT("pid 1\n");
}

/* --network container:X and --pid container:X */
static void joined_namespaces(void **state)
{
    struct plan *first = plan_of("echo here; read x");
    struct launched l;
    struct result first_result;
    struct plan *second = plan_of("readlink /proc/self/ns/net; ps");
    char net[64], path[64];
    char c[8];

    assert_int_equal(fixture_start(first, &l, &first_result), 0);
    assert_true(read(l.stdio[1], c, 5) == 5);
    snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)l.pid);
    net[readlink(path, net, sizeof(net) - 1)] = '\0';
    second->namespaces[PLAN_NS_NET] = (struct plan_namespace){PLAN_NS_JOIN, mem_strdup(path)};
    snprintf(path, sizeof(path), "/proc/%d/ns/pid", (int)l.pid);
    second->namespaces[PLAN_NS_PID] = (struct plan_namespace){PLAN_NS_JOIN, mem_strdup(path)};
    run_plan(second);
    assert_int_equal(r.code, 0);
    HAS(net);
    HAS("sh -c echo here");
    fixture_finish(first, &l, "\n", &first_result);
    plan_free(first);
    /* and we are back in our own */
    assert_true(readlink("/proc/self/ns/net", path, sizeof(path)) > 0);
    assert_memory_not_equal(path, net, strlen(net));
}

static void capabilities(void **state)
{
    struct plan *plan = plan_of("grep Cap /proc/self/status");

    run_plan(plan);
    HAS("CapPrm:\t00000000a80425fb");
    HAS("CapEff:\t00000000a80425fb");
    HAS("CapBnd:\t00000000a80425fb");
    HAS("CapInh:\t0000000000000000");
    plan = plan_of("grep Cap /proc/self/status; id");
    fixture_user(plan, "alice");
    run_plan(plan);
    HAS("CapPrm:\t0000000000000000");
    HAS("CapEff:\t0000000000000000");
    HAS("CapBnd:\t00000000a80425fb");
    HAS("uid=1000(alice) gid=1000(users) groups=");
    plan = plan_of("grep Cap /proc/self/status");
    fixture_user(plan, "1000");
    plan->process.caps.ambient = plan->process.caps.inheritable = 1 << 10; /* NET_BIND_SERVICE */
    run_plan(plan);
    HAS("CapAmb:\t0000000000000400");
    HAS("CapEff:\t0000000000000400");
    plan = plan_of("grep Cap /proc/self/status");
    plan->process.caps = (struct plan_caps){0};
    run_plan(plan);
    HAS("CapBnd:\t0000000000000000");
    HAS("CapEff:\t0000000000000000");
}

static void environment(void **state)
{
    struct plan *plan = plan_of("env; pwd");

    plan->process.cwd = mem_strdup("/made/for/me");
    run_plan(plan);
    HAS("HOME=/root\n");
    HAS("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n");
    HAS("A=1\n");
    HAS("\n/made/for/me\n");
    plan = plan_of("/bin/env");
    fixture_user(plan, "4711");
    strv_push(&plan->process.env, "PATH=/bin");
    strv_push(&plan->process.env, "HOME=");
    run_plan(plan);
    HAS("HOME=/\n");
    HAS("PATH=/bin\n");
    HAS_NOT("HOME=\n");
}

static void devices(void **state)
{
    RUN("exec 2>&1; ls -l /dev /dev/pts; echo x > /dev/null; head -c 3 /dev/zero | wc -c; head -c 3 /dev/urandom | wc -c; "
        "echo x > /dev/full; test -c /dev/tty; echo tty $?; readlink /dev/ptmx; readlink /dev/fd; test -e /dev/console; echo $?");
    HAS("1,   3");
    HAS("3\n3\n");
    HAS("No space left");
    HAS("tty 0");
    HAS("pts/ptmx\n/proc/self/fd\n1\n");
}

static void a_device(void **state)
{
    struct plan *plan = plan_of("ls -l /dev/deep/fuse /other; head -c 1 /other | wc -c");

    plan->devices = mem_array(2, sizeof(*plan->devices));
    plan->device_count = 2;
    plan->devices[0] = (struct plan_device){mem_strdup("/dev/fuse"), mem_strdup("/dev/deep/fuse"), mem_strdup("rwm")};
    plan->devices[1] = (struct plan_device){mem_strdup("/dev/zero"), mem_strdup("/other"), mem_strdup("r")};
    run_plan(plan);
    HAS("10, 229");
    HAS("\n1\n");
    plan = plan_of("true");
    plan->devices = mem_array(1, sizeof(*plan->devices));
    plan->device_count = 1;
    plan->devices[0] = (struct plan_device){mem_strdup("/etc/passwd"), mem_strdup("/dev/x"), mem_strdup("r")};
    run_plan(plan);
    assert_non_null(strstr(r.error, "not a device node"));
}

static void masks(void **state)
{
    fixture_file("/secret/file", "secret\n", 0644);
    fixture_file("/plain", "secret\n", 0644);
    struct plan *plan = plan_of("ls -l /proc/keys /proc/timer_list; ls /secret | wc -l; cat /plain; touch /secret/x; echo 1 > /proc/sys/kernel/panic; "
                                "touch /sys/x; echo end");

    strv_push(&plan->masked_paths, "/secret");
    strv_push(&plan->masked_paths, "/plain");
    strv_push(&plan->masked_paths, "/no/such/path");
    run_plan(plan);
    HAS_NOT("secret\n");
    HAS("0\n");
    HAS("Read-only file system");
    HAS("end");
    HAS("can't create /proc/sys/kernel/panic: Read-only file system");
    HAS("touch: /sys/x: Read-only file system");
}

static void readonly_root(void **state)
{
    struct plan *plan = plan_of("touch /x; touch /etc/x; touch /tmp/y; touch /dev/z; touch /data/w; echo end");

    plan->rootfs.readonly = true;
    fixture_mount(plan, "tmpfs", "tmpfs", "/tmp", 0, "mode=1777");
    fixture_mount(plan, "tmpfs", "tmpfs", "/data", 0, NULL);
    run_plan(plan);
    HAS("touch: /x: Read-only");
    HAS("touch: /etc/x: Read-only");
    HAS_NOT("/tmp/y");
    HAS_NOT("/dev/z");
    HAS_NOT("/data/w");
    HAS("end");
}

/* --- mounts ------------------------------------------------------------------------------------ */
static void binds(void **state)
{
    CLEANUP_FREE char *dir = mem_printf("%s/vol", f.dir);
    CLEANUP_FREE char *file = mem_printf("%s/vol/file", f.dir);
    struct plan *plan = plan_of("cat /data/file /one-file; touch /data/new; touch /ro/new; echo more > /one-file; mount | grep ' /ro '");
    int fd;

    path_mkdirs(dir, 0755);
    fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_int_equal(fd_write_all(fd, "content\n", 8), 0);
    close(fd);
    fixture_mount(plan, "bind", dir, "/data", MS_REC, NULL);
    fixture_mount(plan, "bind", dir, "/ro", MS_REC | MS_RDONLY | MS_NOSUID, NULL);
    fixture_mount(plan, "bind", file, "/one-file", 0, NULL);
    run_plan(plan);
    HAS("content\ncontent\n");
    HAS("touch: /ro/new: Read-only");
    HAS("ro,nosuid");
    assert_int_equal(access(file, F_OK), 0);
    plan = plan_of("true");
    fixture_mount(plan, "bind", dir, "/etc/passwd", 0, NULL);
    run_plan(plan);
    assert_non_null(strstr(r.error, "Are you trying to mount a directory onto a file"));
}

/* rslave: what the host mounts below later appears inside; rprivate: not. */
static void propagation(void **state)
{
    CLEANUP_FREE char *top = mem_printf("%s/shared", f.dir);
    CLEANUP_FREE char *below = mem_printf("%s/shared/below", f.dir);
    CLEANUP_FREE char *appeared = mem_printf("%s/shared/below/appeared", f.dir);
    struct plan *plan = plan_of("echo ready; read x; ls /slave/below; echo -; ls /private/below");
    struct launched l;
    char c[8];

    path_mkdirs(below, 0755);
    assert_int_equal(mount("tmpfs", top, "tmpfs", 0, NULL), 0);
    assert_int_equal(mount(NULL, top, NULL, MS_SHARED, NULL), 0);
    path_mkdirs(below, 0755);
    fixture_mount(plan, "bind", top, "/slave", MS_REC, NULL)->propagation = MS_SLAVE | MS_REC;
    fixture_mount(plan, "bind", top, "/private", MS_REC, NULL);
    if (fixture_start(plan, &l, &r) < 0) {
        umount2(top, MNT_DETACH);
        fail_msg("%s", r.error);
    }
    assert_int_equal(read(l.stdio[1], c, 6), 6);
    assert_int_equal(mount("tmpfs", below, "tmpfs", 0, NULL), 0);
    close(open(appeared, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    fixture_finish(plan, &l, "\n", &r);
    umount2(top, MNT_DETACH);
    plan_free(plan);
    assert_string_equal(r.out, "appeared\n-\n");
}

static void tmpfs_with_copy(void **state)
{
    fixture_file("/start/a/b", "deep\n", 0640);
    struct plan *plan = plan_of("cat /start/a/b; ls -l /start/a/b; touch /start/new; mount | grep /start; ls /empty-start");

    fixture_mount(plan, "tmpfs", "tmpfs", "/start", MS_NOEXEC, "size=1m")->copy_up = true;
    fixture_mount(plan, "tmpfs", "tmpfs", "/empty-start", 0, NULL)->copy_up = true;
    run_plan(plan);
    assert_int_equal(r.code, 0);
    HAS("deep\n-rw-r-----");
    HAS("size=1024k");
}

static void cgroup_inside(void **state)
{
    struct plan *plan = plan_of("cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null; mkdir /sys/fs/cgroup/x /sys/fs/cgroup/memory/x; "
                                "cat /sys/fs/cgroup/pids/cgroup.procs /sys/fs/cgroup/cgroup.procs 2>/dev/null | head -1");

    plan->limits.pids = 123;
    run_plan(plan);
    HAS("123\n");
    HAS("Read-only");
    HAS("\n1\n");
}

/* --- limits ----------------------------------------------------------------------------------------- */
static void out_of_memory(void **state)
{
    const char *argv[] = {"probe", "eat", "300", NULL};
    struct plan *plan = fixture_plan(argv);
    struct launched l;
    uint64_t kills;

    plan->limits.memory = 32 << 20;
    plan->limits.memory_swap = 32 << 20;
    assert_int_equal(fixture_start(plan, &l, &r), 0);
    {
        siginfo_t info;

        waitid(P_PIDFD, (id_t)l.pidfd, &info, WEXITED | WNOWAIT);
    }
    kills = cgroup_oom_kills(plan->cgroup);
    fixture_finish(plan, &l, NULL, &r);
    plan_free(plan);
    assert_int_equal(r.code, 137);
    assert_true(kills > 0);
    HAS_NOT("ate");
}

static void rlimits(void **state)
{
    struct plan *plan = plan_of("ulimit -n; ulimit -c; ulimit -Hn");

    plan->process.rlimits = mem_array(2, sizeof(*plan->process.rlimits));
    plan->process.rlimit_count = 2;
    plan->process.rlimits[0] = (struct plan_rlimit){RLIMIT_NOFILE, 100, 200};
    plan->process.rlimits[1] = (struct plan_rlimit){RLIMIT_CORE, 0, 0};
    run_plan(plan);
    assert_string_equal(r.out, "100\n0\n200\n");
}

static void fork_bomb(void **state)
{
    struct plan *plan = plan_of("for i in 1 2 3 4 5 6 7 8 9 10; do sleep 5 & done; echo done");

    plan->limits.pids = 5;
    run_plan(plan);
    HAS("Resource temporarily unavailable");
}

static void sysctls(void **state)
{
    struct plan *plan = plan_of("cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax");

    plan->sysctls = mem_array(2, sizeof(*plan->sysctls));
    plan->sysctl_count = 2;
    plan->sysctls[0] = (struct plan_pair){mem_strdup("net.ipv4.ip_forward"), mem_strdup("1")};
    plan->sysctls[1] = (struct plan_pair){mem_strdup("kernel.msgmax"), mem_strdup("4321")};
    run_plan(plan);
    assert_string_equal(r.out, "1\n4321\n");
    static const char *const refused[] = {"kernel.panic", "vm.swappiness", "kernel.core_pattern", "../etc/passwd", "kernel/panic",
                                          "net.ipv4.no_such", "net.../../kernel/panic"};
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
        plan = plan_of("true");
        plan->sysctls = mem_array(1, sizeof(*plan->sysctls));
        plan->sysctl_count = 1;
        plan->sysctls[0] = (struct plan_pair){mem_strdup(refused[i]), mem_strdup("1")};
        run_plan(plan);
        if (r.code >= 0)
            fail_msg("%s was accepted", refused[i]);
    }
}

/* --- stdio -------------------------------------------------------------------------------------------- */
static void stdin_and_pipes(void **state)
{
    const char *argv[] = {"cat", NULL};
    struct plan *plan = fixture_plan(argv);

    fixture_run(plan, "through\n", &r);
    plan_free(plan);
    assert_string_equal(r.out, "through\n");
    plan = plan_of("ls -l /proc/self/fd/0; cat; echo out > /dev/stdout; echo err > /dev/stderr");
    fixture_user(plan, "alice");
    plan->process.no_stdin = true;
    run_plan(plan);
    HAS("-> /dev/null");
    HAS("out\n");
    HAS("err\n");
    assert_int_equal(r.code, 0);
}

static void terminal(void **state)
{
    struct plan *plan = plan_of("tty; stty size; ls -l /dev/console /dev/pts/0; echo x > /dev/tty; test -t 0 && test -t 1 && test -t 2; echo all $?; echo a > /dev/console");

    plan->process.tty = true;
    plan->process.rows = 40;
    plan->process.cols = 100;
    fixture_user(plan, "alice");
    run_plan(plan);
    HAS("/dev/pts/0\r\n40 100\r\n");
    HAS("136,   0");
    HAS("alice");
    HAS("all 0");
    assert_int_equal(r.code, 0);
}

/* Ctrl-C from the terminal reaches the foreground process. */
static void terminal_signals(void **state)
{
    struct plan *plan = plan_of("trap 'echo caught; exit 5' INT; echo go; while :; do sleep 1; done");
    struct launched l;
    char c[4];

    for (int init = 0; init < 2; init++) {
        plan->process.tty = true;
        plan->init = init;
        assert_int_equal(fixture_start(plan, &l, &r), 0);
        assert_int_equal(read(l.pty_fd, c, 4), 4);
        fixture_finish(plan, &l, "\003", &r);
        assert_int_equal(r.code, 5);
        HAS("caught");
    }
    plan_free(plan);
}

/* --- init ------------------------------------------------------------------------------------------------- */
static void init_reaps_and_forwards(void **state)
{
    struct plan *plan = plan_of("(sleep 0.05 &) ; (sleep 0.05 &) ; n=0; while cat /proc/[0-9]*/stat 2>/dev/null | grep -q '(sleep)' && [ $n -lt 500 ]; do n=$((n+1)); usleep 20000; done; ps; [ $n -lt 500 ] && exit 9");

    plan->init = true;
    run_plan(plan);
    assert_int_equal(r.code, 9);
    HAS("tabique-init");
    plan = plan_of("trap 'exit 7' TERM; kill -TERM 1; while :; do sleep 1; done");
    plan->init = true;
    run_plan(plan);
    assert_int_equal(r.code, 7);
    plan = plan_of("kill -9 $$");
    plan->init = true;
    run_plan(plan);
    assert_int_equal(r.code, 137);
}

/* --- exec ---------------------------------------------------------------------------------------------------- */
static void exec_in(struct plan *plan, struct launched *l, struct plan_process *process, struct result *result)
{
    struct launched e = LAUNCHED_INIT;
    struct error err = ERROR_INIT;
    struct plan view = {.process = *process};

    memset(result, 0, sizeof(*result));
    result->code = launch_exec(plan, l, process, &e, &err);
    result->exec_failed = e.exec_failed;
    snprintf(result->error, sizeof(result->error), "%s", err.message);
    if (result->code == 0)
        fixture_finish(&view, &e, NULL, result);
}

static void exec(void **state)
{
    struct plan *plan = plan_of("echo ready; read x; exit 3");
    struct plan_process process = {.no_stdin = true};
    struct result main_result;
    struct launched l;
    char c[8];

    fixture_map_users(plan);
    for (int user_namespace = 1; user_namespace >= 0; user_namespace--) {
        if (!user_namespace)
            plan->namespaces[PLAN_NS_USER].mode = PLAN_NS_HOST;
        process.caps = plan->process.caps;
        assert_int_equal(fixture_start(plan, &l, &main_result), 0);
        assert_int_equal(read(l.stdio[1], c, 6), 6);
        strv_push(&process.argv, "sh");
        strv_push(&process.argv, "-c");
        strv_push(&process.argv, "ps; hostname; id; grep CapEff /proc/self/status; cat /proc/self/cgroup; pwd; exit 6");
        process.user = mem_strdup("root");
        process.cwd = mem_strdup("/tmp");
        exec_in(plan, &l, &process, &r);
        assert_int_equal(r.code, 6);
        HAS("    1 root     sh -c echo ready");
        HAS(plan->hostname);
        HAS("uid=0(root)");
        HAS("CapEff:\t00000000a80425fb");
        HAS("\n/tmp\n");
        HAS_NOT(f.cgroup);
        process.tty = true;
        free(process.user);
        process.user = mem_strdup("alice:audio");
        strv_free(process.argv);
        process.argv = NULL;
        strv_push(&process.argv, "sh");
        strv_push(&process.argv, "-c");
        strv_push(&process.argv, "tty; id; echo x > /dev/tty");
        exec_in(plan, &l, &process, &r);
        HAS("/dev/pts/0");
        HAS("gid=29(audio)");
        assert_int_equal(r.code, 0);
        process.tty = false;
        strv_free(process.argv);
        process.argv = NULL;
        strv_push(&process.argv, "nothere");
        exec_in(plan, &l, &process, &r);
        assert_int_equal(r.code, -ENOENT);
        assert_true(r.exec_failed);
        free(process.cwd);
        process.cwd = mem_strdup("/no/such/dir");
        exec_in(plan, &l, &process, &r);
        assert_non_null(strstr(r.error, "chdir to cwd (\"/no/such/dir\")"));
        plan_process_clear(&process);
        process.no_stdin = true;
        fixture_finish(plan, &l, "\n", &main_result);
        assert_int_equal(main_result.code, 3);
        assert_string_equal(main_result.error, "");
    }
    plan_free(plan);
}

static void exec_in_the_dead(void **state)
{
    const char *argv[] = {"true", NULL};
    struct plan *plan = fixture_plan(argv);
    struct plan_process process = {.argv = plan->process.argv};
    struct launched l;
    siginfo_t info;

    assert_int_equal(fixture_start(plan, &l, &r), 0);
    waitid(P_PIDFD, (id_t)l.pidfd, &info, WEXITED | WNOWAIT);
    exec_in(plan, &l, &process, &r);
    assert_true(r.code < 0);
    assert_int_equal(r.code, -ESRCH);
    fixture_finish(plan, &l, NULL, &r);
    plan_free(plan);
}

/* --- user namespaces -------------------------------------------------------------------------------------------- */
static void user_namespace(void **state)
{
    struct plan *plan = plan_of("id -u; ls -ln /bin/busybox | head -1; touch /mine; chmod 4755 /mine; echo x > /dev/null; cat /proc/self/uid_map; cat /etc/passwd | head -1");
    CLEANUP_FREE char *made = NULL;
    struct stat st;

    fixture_map_users(plan);
    made = mem_printf("%s/mine", plan->rootfs.upper);
    run_plan(plan);
    assert_int_equal(r.code, 0);
    HAS("0\n-rwxr-xr-x    1 0        0");
    HAS("200000      65536");
    /* on disk it belongs to 0, so the layer is good without the mapping, too */
    assert_int_equal(stat(made, &st), 0);
    assert_int_equal(st.st_uid, 0);
    plan = plan_of("grep Uid /proc/self/status; kill -0 1; id");
    fixture_map_users(plan);
    fixture_user(plan, "alice");
    plan->init = true;
    plan->process.tty = true;
    run_plan(plan);
    assert_int_equal(r.code, 0);
    HAS("1000");
}

/* The network or the processes are not its own: sysfs or procfs cannot be made
 * anew then, and what is there is shown instead. */
static void user_namespace_beside_others(void **state)
{
    for (int i = 0; i < 2; i++) {
        struct plan *plan = plan_of("id -u; test -d /sys/class/net/lo; echo sys $?; test -d /proc/self; echo proc $?; touch /sys/x /proc/x");

        fixture_map_users(plan);
        plan->namespaces[i ? PLAN_NS_PID : PLAN_NS_NET].mode = PLAN_NS_HOST;
        run_plan(plan);
        HAS("0\nsys 0\nproc 0\n");
    }
}

/* --- roots ------------------------------------------------------------------------------------------------------------ */
static void layers(void **state)
{
    CLEANUP_FREE char *top = mem_printf("%s/top/etc", f.layers);
    CLEANUP_FREE char *file = mem_printf("%s/top/etc/from-top", f.layers);
    CLEANUP_FREE char *odd = mem_printf("%s/odd,dir:x", f.dir);
    struct plan *plan = plan_of("cat /etc/from-top; head -1 /etc/passwd; touch /etc/w; echo $?");
    int fd;

    path_mkdirs(top, 0755);
    fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_int_equal(fd_write_all(fd, "top\n", 4), 0);
    close(fd);
    strv_free(plan->rootfs.lower);
    plan->rootfs.lower = NULL;
    strv_push(&plan->rootfs.lower, "top");
    strv_push(&plan->rootfs.lower, "base");
    free(plan->rootfs.upper);
    free(plan->rootfs.work);
    plan->rootfs.upper = mem_printf("%s/upper", odd);
    plan->rootfs.work = mem_printf("%s/work", odd);
    path_mkdirs(plan->rootfs.upper, 0755);
    path_mkdirs(plan->rootfs.work, 0755);
    run_plan(plan);
    HAS("top\nroot:x:0:0");
    HAS("\n0\n");
}

static void plain_directory_as_root(void **state)
{
    struct plan *plan = plan_of("head -1 /etc/passwd; mount | grep ' / '");

    free(plan->rootfs.layers_dir);
    plan->rootfs.layers_dir = mem_printf("%s/base", f.layers);
    strv_free(plan->rootfs.lower);
    plan->rootfs.lower = NULL;
    free(plan->rootfs.upper);
    free(plan->rootfs.work);
    plan->rootfs.upper = plan->rootfs.work = NULL;
    run_plan(plan);
    HAS("root:x:0:0");
    assert_int_equal(r.code, 0);
}

static void many_layers(void **state)
{
    struct plan *plan = plan_of("head -1 /etc/passwd");

    for (int i = 0; i < 127; i++) {
        CLEANUP_FREE char *dir = mem_printf("%s/layer-with-a-name-%03d", f.layers, i);

        path_mkdirs(dir, 0755);
        strv_take(&plan->rootfs.lower, mem_printf("layer-with-a-name-%03d", i));
    }
    run_plan(plan);
    HAS("root:x:0:0");
}

/* --- together -------------------------------------------------------------------------------------------------------------- */
static void twenty_at_once(void **state)
{
    struct plan *plans[20];
    struct launched l[20];
    struct result *results = mem_array(20, sizeof(*results));

    for (int i = 0; i < 20; i++) {
        plans[i] = plan_of("read x; echo $x; exit 11");
        if (fixture_start(plans[i], &l[i], &results[i]) < 0)
            fail_msg("%s", results[i].error);
    }
    for (int i = 19; i >= 0; i--) {
        fixture_finish(plans[i], &l[i], "hello\n", &results[i]);
        assert_int_equal(results[i].code, 11);
        assert_string_equal(results[i].out, "hello\n");
        plan_free(plans[i]);
    }
    free(results);
}

/* The parent's death is the container's. */
static void dies_with_its_parent(void **state)
{
    int pipe_fds[2];
    pid_t parent, pid = 0;
    char c;

    assert_int_equal(pipe(pipe_fds), 0);
    parent = fork();
    if (parent == 0) {
        struct plan *plan = plan_of("trap '' TERM INT HUP; while :; do sleep 1; done");
        struct launched l;

        if (fixture_start(plan, &l, &r) < 0 || write(pipe_fds[1], &l.pid, sizeof(l.pid)) < 0)
            _exit(1);
        for (;;)
            pause();
    }
    assert_int_equal(read(pipe_fds[0], &pid, sizeof(pid)), sizeof(pid));
    close(pipe_fds[1]);
    close(pipe_fds[0]);
    {
        int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
        struct pollfd *p = &(struct pollfd){.fd = pidfd, .events = 1};

        assert_true(pidfd >= 0);
        kill(parent, SIGKILL);
        waitpid(parent, NULL, 0);
        assert_int_equal(poll(p, 1, 20000), 1);
        close(pidfd);
    }
    (void)c;
    {
        CLEANUP_FREE char *cgroup = mem_printf("%s/c%d", f.cgroup, f.next);

        cgroup_kill(cgroup, SIGKILL);
        cgroup_remove(cgroup);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exit_codes),
        cmocka_unit_test(killed),
        cmocka_unit_test(programs_that_cannot_run),
        cmocka_unit_test(failures_leave_nothing),
        cmocka_unit_test(namespaces),
        cmocka_unit_test(host_namespaces),
        cmocka_unit_test(joined_namespaces),
        cmocka_unit_test(capabilities),
        cmocka_unit_test(environment),
        cmocka_unit_test(devices),
        cmocka_unit_test(a_device),
        cmocka_unit_test(masks),
        cmocka_unit_test(readonly_root),
        cmocka_unit_test(binds),
        cmocka_unit_test(propagation),
        cmocka_unit_test(tmpfs_with_copy),
        cmocka_unit_test(cgroup_inside),
        cmocka_unit_test(out_of_memory),
        cmocka_unit_test(rlimits),
        cmocka_unit_test(fork_bomb),
        cmocka_unit_test(sysctls),
        cmocka_unit_test(stdin_and_pipes),
        cmocka_unit_test(terminal),
        cmocka_unit_test(terminal_signals),
        cmocka_unit_test(init_reaps_and_forwards),
        cmocka_unit_test(exec),
        cmocka_unit_test(exec_in_the_dead),
        cmocka_unit_test(user_namespace),
        cmocka_unit_test(user_namespace_beside_others),
        cmocka_unit_test(layers),
        cmocka_unit_test(plain_directory_as_root),
        cmocka_unit_test(many_layers),
        cmocka_unit_test(twenty_at_once),
        cmocka_unit_test(dies_with_its_parent),
    };

    return cmocka_run_group_tests(tests, fixture_up, fixture_down);
}
