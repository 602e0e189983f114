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
#include "isolation/isolation.h"
#include "tabique/error.h"
#include "hyperv/machine_fixture.h"

struct container {
    struct loop *loop;
    struct isolation_instance *instance;
    struct isolation_process process;
    char *dir;
    char id[ID_LENGTH + 1];
    char ended_exec[ID_LENGTH + 1];
    int status;
    bool oom;
    char lost[512];
};

static void on_exited(void *user, const char *exec_id, int status, bool oom)
{
    struct container *container = user;

    snprintf(container->ended_exec, sizeof(container->ended_exec), "%s", exec_id);
    container->status = status;
    container->oom = oom;
    loop_stop(container->loop);
}

static void on_oom(void *user)
{
}

static void on_lost(void *user, const char *reason)
{
    struct container *container = user;

    snprintf(container->lost, sizeof(container->lost), "%s", reason);
    loop_stop(container->loop);
}

/* --- one container ------------------------------------------------------------------- */

static struct plan *make_plan(struct container *container, const char *const *argv, bool tty)
{
    return fixture_plan(container->id, container->dir, argv, tty);
}

static void container_open(struct container *container, bool with_template)
{
    static const struct isolation_events events = {.exited = on_exited, .oom = on_oom, .lost = on_lost};
    struct error err = ERROR_INIT;

    *container = (struct container){.status = -1};
    random_id(container->id);
    container->dir = path_join(fixture_root, container->id);
    assert_int_equal(path_mkdirs(container->dir, 0700), 0);
    assert_int_equal(loop_new(&container->loop), 0);
    hyperv_use(fixture_machines, with_template ? fixture_memory_fd : -EBADF, TEST_FILES_PROGRAM);
    if (isolation_hyperv_ops.open(container->id, container->dir, container->loop, &events, container,
                                  &container->instance, &err) < 0)
        fail_msg("%s", err.message);
}

static int container_start(struct container *container, const char *const *argv, bool tty, struct error *err)
{
    struct plan *plan = make_plan(container, argv, tty);
    int r = isolation_hyperv_ops.start(container->instance, plan, &container->process, err);

    plan_free(plan);
    return r;
}

static void container_run(struct container *container, const char *const *argv)
{
    struct error err = ERROR_INIT;

    container_open(container, true);
    if (container_start(container, argv, false, &err) < 0)
        fail_msg("%s", err.message);
}

static void assert_nothing_left(void)
{
    CLEANUP_FREE char *cgroup = mem_printf("/sys/fs/cgroup/memory/tabique-test-%d", (int)getpid());

    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    assert_int_equal(access(cgroup, F_OK), -1);
}

static void container_close(struct container *container)
{
    char parent[64];

    isolation_hyperv_ops.close(container->instance);
    for (int i = 0; i < 3; i++)
        cleanup_close(&container->process.stdio[i]);
    cleanup_close(&container->process.pty_fd);
    loop_free(container->loop);
    free(container->dir);
    snprintf(parent, sizeof(parent), "tabique-test-%d", (int)getpid());
    (void)cgroup_remove(parent);
    assert_nothing_left();
}

static void wait_exit(struct container *container)
{
    while (container->status < 0 && !container->lost[0])
        assert_int_equal(loop_run(container->loop), 0);
    assert_string_equal(container->lost, "");
}

static void assert_output(struct container *container, const char *expected)
{
    char text[4096] = "";
    ssize_t n;

    wait_exit(container);
    /* What came with the exit is in the pipe; the loop has stopped feeding it. */
    fd_set_nonblock(container->process.stdio[1], true);
    n = fd_read_full(container->process.stdio[1], text, sizeof(text) - 1);
    if (n < 0)
        n = read(container->process.stdio[1], text, sizeof(text) - 1);
    text[n > 0 ? n : 0] = '\0';
    assert_string_equal(text, expected);
}

/* --- tests ------------------------------------------------------------------------------- */

static void wait_lost(struct container *container, const char *reason)
{
    while (!container->lost[0])
        assert_int_equal(loop_run(container->loop), 0);
    if (!strstr(container->lost, reason))
        fail_msg("lost by another reason: %s", container->lost);
}

static void test_worker_killed(void **state)
{
    struct container container;

    container_run(&container, (const char *const[]){"sleep", "1000", NULL});
    kill(container.process.pid, SIGKILL);
    wait_lost(&container, "worker (vmwp) has ended");
    container_close(&container);
}

static void test_panic(void **state)
{
    struct container container;

    container_run(&container, (const char *const[]){"sh", "-c", "echo c >/proc/sysrq-trigger", NULL});
    wait_lost(&container, "Kernel panic");
    container_close(&container);
}

static void test_disk_full(void **state)
{
    struct container container;

    container_run(&container, (const char *const[]){"sh", "-c",
        "dd if=/dev/zero of=/fill bs=1M 2>&1 | grep -o 'No space left on device'; rm /fill; echo still >/here && cat /here", NULL});
    assert_output(&container, "No space left on device\nstill\n");
    container_close(&container);
}

/* Copies of the machines' directory, to be damaged. */
static char *copy_of_machines(const char *name)
{
    char *copy = path_join(fixture_root, name);

    fixture_tool("/bin/cp", (const char *const[]){"cp", "-a", "--sparse=always", fixture_machines, copy, NULL});
    return copy;
}

static void use(const char *dir, int memory)
{
    hyperv_use(dir, memory, TEST_FILES_PROGRAM);
}

static int start_in(struct container *container, const char *dir, int memory, struct error *err)
{
    container_open(container, true);
    /* container_open() has taken the undamaged ones: again. */
    isolation_hyperv_ops.close(container->instance);
    use(dir, memory);
    static const struct isolation_events events = {.exited = on_exited, .oom = on_oom, .lost = on_lost};
    if (isolation_hyperv_ops.open(container->id, container->dir, container->loop, &events, container, &container->instance,
                                  err) < 0)
        return -1;
    return container_start(container, (const char *const[]){"echo", "after all", NULL}, false, err);
}

static void assert_falls_back(const char *dir, int memory)
{
    CLEANUP_FREE char *mark = path_join(dir, "damaged");
    struct container container;
    struct error err = ERROR_INIT;

    if (start_in(&container, dir, memory, &err) < 0)
        fail_msg("%s", err.message);
    assert_output(&container, "after all\n");
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
        cmocka_unit_test(test_hostile_guest), cmocka_unit_test(test_missing_qemu),
        cmocka_unit_test(test_damaged_state), cmocka_unit_test(test_damaged_memory),
        cmocka_unit_test(test_disk_full),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, fixture_set_up, fixture_tear_down);
}
