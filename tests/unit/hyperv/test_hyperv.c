/* test_hyperv.c - the thick wall with nothing in place of anything: a prepared
 * template, machines restored from it and booted cold, processes in them. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/random.h"
#include "isolation/hyperv/hyperv.h"
#include "isolation/hyperv/setup.h"
#include "isolation/isolation.h"
#include "tabique/error.h"
#include "hyperv/machine_fixture.h"

static void test_output_and_status(void **state)
{
    struct container container;

    container_run(&container, (const char *const[]){"sh", "-c", "echo hello from $(hostname); exit 7", NULL});
    container_assert_output(&container, "hello from behind-the-wall\n");
    assert_int_equal(container.status, 7);
    container_close(&container);
}

static void test_cold_boot(void **state)
{
    struct container container;
    struct error err = ERROR_INIT;

    container_open(&container, fixture_machines, -EBADF);
    if (container_start(&container, (const char *const[]){"echo", "cold", NULL}, false, &err) < 0)
        fail_msg("%s", err.message);
    container_assert_output(&container, "cold\n");
    container_close(&container);
}

static void test_missing_program(void **state)
{
    struct container container;
    struct error err = ERROR_INIT;

    container_open(&container, fixture_machines, fixture_memory_fd);
    assert_true(container_start(&container, (const char *const[]){"no-such-program", NULL}, false, &err) < 0);
    assert_true(container.process.exec_failed);
    assert_int_equal(err.code, ENOENT);
    container_close(&container);
}

static void read_two(char *first, char *second, size_t size)
{
    const char *const argv[] = {"sh", "-c", "head -c 16 /dev/urandom | md5sum; cat /proc/sys/kernel/random/uuid; date +%s", NULL};
    struct container containers[2];
    char *const out[2] = {first, second};

    for (int i = 0; i < 2; i++) {
        ssize_t n;
        container_run(&containers[i], argv);
        container_wait_exit(&containers[i]);
        n = read(containers[i].process.stdio[1], out[i], size - 1);
        out[i][n > 0 ? n : 0] = '\0';
        container_close(&containers[i]);
    }
}

static void test_clones_differ(void **state)
{
    char first[256], second[256];
    const char *time_at;
    int64_t seconds = 0;

    read_two(first, second, sizeof(first));
    assert_true(strlen(first) > 60);
    assert_string_not_equal(first, second);
    assert_memory_not_equal(first, second, 32);
    time_at = strrchr(second, '-');
    assert_non_null(time_at = strchr(time_at, '\n'));
    seconds = strtoll(time_at + 1, NULL, 10);
    assert_true(llabs(seconds - clock_real_ns() / NS_PER_SEC) <= 5);
}

static void test_exec_and_signal(void **state)
{
    struct container container;
    struct isolation_process process;
    struct plan_process exec = {.argv = NULL};
    struct error err = ERROR_INIT;
    char text[64] = "";

    container_run(&container, (const char *const[]){"sleep", "1000", NULL});
    strv_push(&exec.argv, "cat");
    strv_push(&exec.env, "PATH=/bin");
    if (isolation_hyperv_ops.exec(container.instance, "e1", &exec, &process, &err) < 0)
        fail_msg("%s", err.message);
    assert_int_equal(fd_write_all(process.stdio[0], "through the wall", 16), 0);
    cleanup_close(&process.stdio[0]);
    container_wait_exit(&container);
    assert_string_equal(container.ended_exec, "e1");
    assert_int_equal(container.status, 0);
    assert_true(read(process.stdio[1], text, sizeof(text) - 1) > 0);
    assert_string_equal(text, "through the wall");
    for (int i = 1; i < 3; i++)
        cleanup_close(&process.stdio[i]);
    plan_process_clear(&exec);

    container.status = -1;
    assert_int_equal(isolation_hyperv_ops.signal(container.instance, "", SIGKILL, &err), 0);
    container_wait_exit(&container);
    assert_string_equal(container.ended_exec, "");
    assert_int_equal(container.status, 137);
    container_close(&container);
}

static void test_worker_killed(void **state)
{
    struct container container;

    container_run(&container, (const char *const[]){"sleep", "1000", NULL});
    kill(container.process.pid, SIGKILL);
    while (!container.lost[0])
        assert_int_equal(loop_run(container.loop), 0);
    assert_true(strlen(container.lost) > 0);
    container_close(&container);
}

static void stop_loop(void *user)
{
    loop_stop(user);
}

static void test_much_output(void **state)
{
    struct container container;
    static char buffer[1 << 16];
    size_t total = 0;
    ssize_t n;

    /* More than any buffer on the way, read by nobody for a while: back-pressure
     * must hold it, and not a byte be lost. */
    container_run(&container, (const char *const[]){"sh", "-c", "dd if=/dev/zero bs=64k count=64 2>/dev/null", NULL});
    fd_set_nonblock(container.process.stdio[1], true);
    for (;;) {
        while ((n = read(container.process.stdio[1], buffer, sizeof(buffer))) > 0)
            total += (size_t)n;
        if (n == 0)
            break;
        if (container.status >= 0 && total >= (64u << 16))
            break;
        loop_post(container.loop, stop_loop, container.loop);
        assert_int_equal(loop_run(container.loop), 0);
    }
    assert_int_equal(total, 64 << 16);
    container_close(&container);
}

static void test_shared_directories(void **state)
{
    struct container container;
    struct error err = ERROR_INIT;
    CLEANUP_FREE char *writable = path_join(fixture_root, "writable");
    CLEANUP_FREE char *readonly = path_join(fixture_root, "readonly");
    CLEANUP_FREE char *made = path_join(writable, "sub/made");
    CLEANUP_FREE char *hello = path_join(readonly, "hello");
    CLEANUP_FREE char *text = NULL;
    struct stat st;

    assert_int_equal(path_mkdirs(writable, 0755), 0);
    assert_int_equal(path_mkdirs(readonly, 0755), 0);
    assert_int_equal(file_write_atomic(AT_FDCWD, hello, "from the host\n", 14, 0644), 0);
    container_open(&container, fixture_machines, fixture_memory_fd);
    struct plan *plan = fixture_plan(container.id, container.dir, (const char *const[]){"sh", "-c",
        "cat /ro/hello; mkdir /rw/sub && echo from the guest >/rw/sub/made && chown 123:45 /rw/sub/made && chmod 640 /rw/sub/made;"
        "ln -s /etc/passwd /rw/link; cat /rw/link 2>&1; touch /ro/new 2>&1; ls /rw; ls /rw/.. | head -n 3 | wc -l", NULL}, false);
    plan_add_bind(plan, writable, "/rw", 0);
    plan_add_bind(plan, readonly, "/ro", MS_RDONLY);
    if (isolation_hyperv_ops.start(container.instance, plan, &container.process, &err) < 0)
        fail_msg("%s", err.message);
    plan_free(plan);
    container_assert_output(&container, "from the host\ncat: can't open '/rw/link': No such file or directory\n"
                              "touch: /ro/new: Read-only file system\nlink\nsub\n3\n");
    assert_int_equal(file_read(AT_FDCWD, made, 100, &text, NULL), 0);
    assert_string_equal(text, "from the guest\n");
    assert_int_equal(stat(made, &st), 0);
    assert_int_equal(st.st_uid, 123);
    assert_int_equal(st.st_gid, 45);
    assert_int_equal(st.st_mode & 07777, 0640);
    container_close(&container);
}

/* --- the network ------------------------------------------------------------------------ */

#define IP(...) fixture_tool("/usr/sbin/ip", (const char *const[]){"ip", __VA_ARGS__, NULL})

/* Two namespaces, held by our fds alone: nothing of them outlives us, and no address
 * can be anybody else's. */
static int original_ns = -EBADF, host_ns = -EBADF, inner_ns = -EBADF;

static void new_namespace(int *ret_fd)
{
    assert_int_equal(unshare(CLONE_NEWNET), 0);
    *ret_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    assert_true(*ret_fd >= 0);
    IP("link", "set", "lo", "up");
}

/* A namespace wired as core/network would: eth0 with an address and a default route,
 * its peer on the host's side with the gateway's address. */
static int set_up_network(void **state)
{
    static char path[64];

    original_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    new_namespace(&inner_ns);
    new_namespace(&host_ns);
    snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)getpid(), inner_ns);
    IP("link", "add", "peer0", "type", "veth", "peer", "name", "eth0", "netns", path);
    IP("addr", "add", "10.231.77.1/24", "dev", "peer0");
    IP("link", "set", "peer0", "up");
    /* A second network, without a default route. */
    IP("link", "add", "peer1", "type", "veth", "peer", "name", "eth1", "netns", path);
    IP("addr", "add", "10.231.78.1/24", "dev", "peer1");
    IP("link", "set", "peer1", "up");
    assert_int_equal(setns(inner_ns, CLONE_NEWNET), 0);
    IP("link", "set", "eth0", "address", "02:42:0a:e7:4d:02");
    IP("addr", "add", "10.231.77.2/24", "dev", "eth0");
    IP("link", "set", "eth0", "up");
    IP("route", "add", "default", "via", "10.231.77.1");
    IP("addr", "add", "10.231.78.2/24", "dev", "eth1");
    IP("link", "set", "eth1", "up");
    assert_int_equal(setns(host_ns, CLONE_NEWNET), 0);
    *state = path;
    return 0;
}

static int tear_down_network(void **state)
{
    int r = setns(original_ns, CLONE_NEWNET);

    cleanup_close(&inner_ns);
    cleanup_close(&host_ns);
    cleanup_close(&original_ns);
    return r;
}

static void test_network(void **state)
{
    struct container container;
    struct error err = ERROR_INIT;

    container_open(&container, fixture_machines, fixture_memory_fd);
    struct plan *plan = fixture_plan(container.id, container.dir, (const char *const[]){"sh", "-c",
        "ping -c 2 -W 5 -q 10.231.77.1 | grep -o '2 packets received';"
        "cat /sys/class/net/eth0/address; ip -4 -o addr show dev eth0 | grep -o '10.231.77.2/24';"
        "ip route | grep -o 'default via 10.231.77.1';"
        "ping -c 2 -W 5 -q 10.231.78.1 | grep -o '2 packets received'; ip -4 -o addr show dev eth1 | grep -o '10.231.78.2/24';"
        "ip link show dev eth2 | grep -c LOWER_UP", NULL}, false);
    plan->namespaces[PLAN_NS_NET].mode = PLAN_NS_JOIN;
    plan->namespaces[PLAN_NS_NET].path = mem_strdup(*state);
    plan->process.caps.permitted |= 1 << 13; /* CAP_NET_RAW */
    if (isolation_hyperv_ops.start(container.instance, plan, &container.process, &err) < 0)
        fail_msg("%s", err.message);
    plan_free(plan);
    container_assert_output(&container, "2 packets received\n02:42:0a:e7:4d:02\n10.231.77.2/24\ndefault via 10.231.77.1\n"
                              "2 packets received\n10.231.78.2/24\n0\n");
    container_close(&container);
}

/* The last test: it makes the machines anew. */
static void test_prepared_again(void **state)
{
    CLEANUP_FREE char *guest = path_join(fixture_root, "guest"), *warm = path_join(guest, "warm");
    CLEANUP_FREE char *damaged = path_join(fixture_machines, "damaged"), *memory = path_join(fixture_machines, "memory");
    const struct machine_prepare prepare = {.dir = fixture_machines, .guest_dir = guest, .accelerator = fixture_setup.accelerator,
                                            .qemu = "/usr/bin/qemu-system-x86_64", .scratch_bytes = 1 << 30};
    struct error err = ERROR_INIT;
    char key[sizeof(fixture_setup.key)] = "";
    struct timespec made = {0};

    fixture_tool("/bin/cp", (const char *const[]){"cp", "-r", TEST_GUEST_DIR, guest, NULL});
    static const struct { bool damage, change, again; } turns[] = {
        {.again = true},                 /* another choice of accelerator */
        {.again = false},                /* nothing has changed */
        {.damage = true, .again = true}, /* a shim found its machine not to answer */
        {.change = true, .again = true}, /* another agent's companion */
    };
    for (size_t i = 0; i < ARRAY_SIZE(turns); i++) {
        CLEANUP(machine_setup_clear) struct machine_setup setup = {0};
        struct stat st;
        if (turns[i].damage)
            assert_int_equal(file_write_atomic(AT_FDCWD, damaged, "", 0, 0600), 0);
        if (turns[i].change)
            fixture_tool("/bin/sh", (const char *const[]){"sh", "-c", "printf x >> \"$0\"", warm, NULL});
        if (machine_prepare(&prepare, &err) < 0 || machine_setup_load(fixture_machines, &setup, &err) < 0)
            fail_msg("%s", err.message);
        assert_true(setup.has_template);
        assert_int_not_equal(access(damaged, F_OK), 0);
        assert_int_equal(stat(memory, &st), 0);
        assert_int_equal(st.st_mtim.tv_sec != made.tv_sec || st.st_mtim.tv_nsec != made.tv_nsec, turns[i].again);
        assert_int_equal(!str_equal(key, setup.key), turns[i].change || i == 0);
        made = st.st_mtim;
        memcpy(key, setup.key, sizeof(key));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_output_and_status), cmocka_unit_test(test_cold_boot),
        cmocka_unit_test(test_missing_program),   cmocka_unit_test(test_clones_differ),
        cmocka_unit_test(test_exec_and_signal),   cmocka_unit_test(test_worker_killed),
        cmocka_unit_test(test_much_output),       cmocka_unit_test(test_shared_directories),
        cmocka_unit_test_setup_teardown(test_network, set_up_network, tear_down_network),
        cmocka_unit_test(test_prepared_again),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, fixture_set_up, fixture_tear_down);
}
