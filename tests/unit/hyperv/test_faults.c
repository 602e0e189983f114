/* test_faults.c - what goes wrong behind the thick wall, and that it takes nothing
 * along: the container ends with a reason, and nothing of it is left. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
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
#include "isolation/hyperv/vm.h"
#include "isolation/hyperv/worker.h"
#include "isolation/isolation.h"
#include "tabique/error.h"
#include "hyperv/machine_fixture.h"
#include "rpc/rpc.h"

static void test_worker_killed(void **state)
{
    struct container container;

    container_run(&container, (const char *const[]){"sleep", "1000", NULL});
    kill(container.process.pid, SIGKILL);
    container_wait_lost(&container, "worker (vmwp) was killed (signal 9)");
    assert_int_equal(container.lost_status, 137);
    container_close(&container);
}

static void test_panic(void **state)
{
    struct container container;

    container_run(&container, (const char *const[]){"sh", "-c", "echo c >/proc/sysrq-trigger", NULL});
    container_wait_lost(&container, "the guest's kernel panicked; its last words: Kernel panic - not syncing: sysrq");
    assert_int_equal(container.lost_status, 255);
    container_close(&container);
}

/* Its code overwritten by a process that sees it; the end of that wakes it up. */
static void test_agent_killed(void **state)
{
    struct container container;
    struct error err = ERROR_INIT;

    container_open(&container, fixture_machines, fixture_memory_fd);
    struct plan *plan = fixture_plan(container.id, container.dir, (const char *const[]){"sh", "-c",
        "start=$(sed -n '/ r-xp /{s/-.*//p;q}' /proc/1/maps);"
        "dd if=/dev/zero of=/proc/1/mem bs=4096 seek=$((0x$start / 4096)) count=64 conv=notrunc 2>/dev/null", NULL}, false);
    plan->namespaces[PLAN_NS_PID].mode = PLAN_NS_HOST;
    plan->process.caps.bounding = plan->process.caps.permitted = (UINT64_C(1) << 41) - 1;
    if (isolation_hyperv_ops.start(container.instance, plan, &container.process, &err) < 0)
        fail_msg("%s", err.message);
    plan_free(plan);
    container_wait_lost(&container, "Attempted to kill init");
    assert_int_equal(container.lost_status, 255);
    container_close(&container);
}

/* The other way round: orders that make no sense. The agent believes its host, but a
 * malformed one must not end it. Bodies are well formed in every third, and end too early
 * in the others. */
static void test_agent_refuses_garbage(void **state)
{
    CLEANUP_CLOSE int memory = memfd_create("garbage", MFD_CLOEXEC);
    CLEANUP(vm_end) struct vm vm = VM_INIT;
    CLEANUP(rpc_decoder_free) struct rpc_decoder decoder = {0};
    struct rpc_frame frame;
    struct error err = ERROR_INIT;
    struct vm_spec spec = {.setup = &fixture_setup, .id = "garbage", .uid = worker_uid("9a7ba9e"), .boot = true, .memory_fd = memory,
                           .image_fd = -EBADF, .scratch_fd = -EBADF, .tap_fds = NO_TAPS};

    assert_int_equal(ftruncate(memory, (off_t)fixture_setup.memory_bytes), 0);
    assert_int_equal(fchown(memory, spec.uid, spec.uid), 0);
    if (vm_start(&spec, &vm, &err) < 0 || vm_wait_hello(&vm, 120000, &err) < 0)
        fail_msg("%s", err.message);
    for (uint16_t type = 0; type < 48; type++) {
        for (int round = 0; round < 6; round++) {
            CLEANUP_STR struct str body = STR_INIT;
            uint8_t noise[64];

            if (type == RPC_SHUTDOWN)
                continue;
            random_bytes(noise, sizeof(noise));
            for (int field = 0; field < noise[0] % 5; field++)
                wire_put_bytes(&body, (uint16_t)(noise[1 + field] % 50), noise + 8, noise[8 + field] % 56);
            if (round % 3 && body.length)
                body.length -= 1 + noise[2] % body.length;
            assert_int_equal(rpc_send(vm.agent_fd, type, 0, 100000 + type, body.data, body.length), 0);
        }
    }
    assert_int_equal(rpc_send(vm.agent_fd, RPC_PING, 0, 7, NULL, 0), 0);
    do {
        int r = rpc_receive(vm.agent_fd, &decoder, &frame, 60000);
        if (r < 0)
            fail_msg("the agent is gone: %s", strerror(-r));
    } while (frame.id != 7 || frame.type != RPC_PING);
    assert_int_equal(frame.flags, RPC_REPLY);
}

static void test_disk_full(void **state)
{
    struct container container;

    container_run(&container, (const char *const[]){"sh", "-c",
        "dd if=/dev/zero of=/fill bs=1M 2>&1 | grep -o 'No space left on device'; rm /fill; echo still >/here && cat /here", NULL});
    container_assert_output(&container, "No space left on device\nstill\n");
    container_close(&container);
}

/* Copies of the machines' directory, to be damaged. */
static char *copy_of_machines(const char *name)
{
    char *copy = path_join(fixture_root, name);

    fixture_tool("/bin/cp", (const char *const[]){"cp", "-a", "--sparse=always", fixture_machines, copy, NULL});
    return copy;
}

static int start_in(struct container *container, const char *dir, int memory, struct error *err)
{
    container_open(container, dir, memory);
    return container_start(container, (const char *const[]){"echo", "after all", NULL}, false, err);
}

static void assert_falls_back(const char *dir, int memory)
{
    CLEANUP_FREE char *mark = path_join(dir, "damaged");
    struct container container;
    struct error err = ERROR_INIT;

    if (start_in(&container, dir, memory, &err) < 0)
        fail_msg("%s", err.message);
    container_assert_output(&container, "after all\n");
    container_close(&container);
    assert_int_equal(access(mark, F_OK), 0);
}

static void test_damaged_state(void **state)
{
    CLEANUP_FREE char *dir = copy_of_machines("damaged-state");
    CLEANUP_FREE char *path = path_join(dir, "state");
    CLEANUP_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);
    char noise[4096];

    random_bytes(noise, sizeof(noise));
    assert_int_equal(pwrite(fd, noise, sizeof(noise), 8192), sizeof(noise));
    assert_falls_back(dir, fixture_memory_fd);
}

static void test_damaged_memory(void **state)
{
    CLEANUP_FREE char *dir = copy_of_machines("damaged-memory");
    CLEANUP_CLOSE int memory = memfd_create("damaged", MFD_CLOEXEC);

    assert_int_equal(ftruncate(memory, (off_t)fixture_setup.memory_bytes), 0);
    assert_int_equal(fchmod(memory, 0666), 0);
    assert_falls_back(dir, memory);
}

static void test_missing_qemu(void **state)
{
    CLEANUP_FREE char *dir = copy_of_machines("no-qemu");
    CLEANUP_FREE char *qemu = path_join(dir, "root/usr/bin/qemu");
    struct machine_prepare prepare = {.dir = dir, .guest_dir = TEST_GUEST_DIR, .qemu = "/nonexistent/qemu"};
    struct container container;
    struct error err = ERROR_INIT;

    assert_int_equal(machine_prepare(&prepare, &err), -ENOENT);
    assert_non_null(strstr(err.message, "no QEMU"));
    assert_int_equal(unlink(qemu), 0);
    err = ERROR_INIT;
    assert_true(start_in(&container, dir, fixture_memory_fd, &err) < 0);
    assert_non_null(strstr(err.message, "exec of QEMU"));
    container_close(&container);
}

/* A machine whose guest does its worst on the channel. */
static void test_hostile_guest(void **state)
{
    static const char modes[] = "nlxeowcqd";
    CLEANUP_FREE char *dir = copy_of_machines("hostile");
    CLEANUP_FREE char *qemu = path_join(dir, "root/usr/bin/qemu");
    CLEANUP_FREE char *mode = path_join(dir, "root/boot/vmlinuz");

    fixture_tool("/bin/cp", (const char *const[]){"cp", TEST_FAKE_WORKER, qemu, NULL});
    for (const char *how = modes; *how; how++) {
        struct container container;
        struct error err = ERROR_INIT;

        assert_int_equal(file_write_atomic(AT_FDCWD, mode, how, 1, 0644), 0);
        if (start_in(&container, dir, -EBADF, &err) == 0)
            while (!container.lost[0])
                assert_int_equal(loop_run(container.loop), 0);
        else if (!container.lost[0] && err.code == 0)
            fail_msg("mode %c: no reason given", *how);
        print_message("mode %c: %s\n", *how, container.lost[0] ? container.lost : err.message);
        container_close(&container);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worker_killed), cmocka_unit_test(test_panic),
        cmocka_unit_test(test_agent_killed), cmocka_unit_test(test_agent_refuses_garbage),
        cmocka_unit_test(test_hostile_guest), cmocka_unit_test(test_missing_qemu),
        cmocka_unit_test(test_damaged_state), cmocka_unit_test(test_damaged_memory),
        cmocka_unit_test(test_disk_full),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, fixture_set_up, fixture_tear_down);
}
