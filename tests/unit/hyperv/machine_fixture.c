/* machine_fixture.c - see machine_fixture.h. */
#include "hyperv/machine_fixture.h"

#include <errno.h>
#include <fcntl.h>
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

char fixture_root[] = "/var/tmp/tabique-hyperv-XXXXXX";
char *fixture_machines, *fixture_image;
struct machine_setup fixture_setup;
int fixture_memory_fd = -EBADF;

void fixture_tool(const char *path, const char *const *argv)
{
    const struct child_spec spec = {.path = path, .argv = (char *const *)(const void *)argv};
    char *output = NULL;
    struct error err = ERROR_INIT;
    int r = child_run(&spec, 60000, 1 << 16, &output, &err);

    if (r != 0)
        print_error("%s: %d %s %s\n", path, r, err.message, output ? output : "");
    free(output);
    assert_int_equal(r, 0);
}

int fixture_set_up(void **state)
{
    struct error err = ERROR_INIT;
    char *tree, *bin, *usr_bin, *busybox;

    assert_non_null(mkdtemp(fixture_root));
    fixture_machines = path_join(fixture_root, "machines");
    fixture_image = path_join(fixture_root, "image.erofs");
    tree = path_join(fixture_root, "tree");
    bin = path_join(tree, "bin");
    /* Its links name the place it runs from: /usr/bin on a merged /usr. */
    usr_bin = path_join(tree, "usr/bin");
    busybox = path_join(usr_bin, "busybox");
    assert_int_equal(path_mkdirs(bin, 0755), 0);
    assert_int_equal(path_mkdirs(usr_bin, 0755), 0);
    fixture_tool("/bin/cp", (const char *const[]){"cp", "/usr/bin/busybox", busybox, NULL});
    fixture_tool("/usr/bin/busybox", (const char *const[]){"busybox", "--install", "-s", bin, NULL});
    fixture_tool("/usr/bin/mkfs.erofs", (const char *const[]){"mkfs.erofs", "--quiet", fixture_image, tree, NULL});
    free(tree), free(bin), free(usr_bin), free(busybox);

    const struct machine_prepare prepare = {.dir = fixture_machines, .guest_dir = TEST_GUEST_DIR,
                                            .qemu = "/usr/bin/qemu-system-x86_64", .scratch_bytes = 1 << 30};
    if (machine_prepare(&prepare, &err) < 0 || machine_setup_load(fixture_machines, &fixture_setup, &err) < 0 ||
        machine_template_memory(&fixture_setup, &fixture_memory_fd, &err) < 0) {
        print_error("%s\n", err.message);
        return -1;
    }
    print_message("accelerator %s: %s\n", fixture_setup.accelerator, fixture_setup.reason);
    return 0;
}

int fixture_tear_down(void **state)
{
    char parent[64];

    snprintf(parent, sizeof(parent), "tabique-test-%d", (int)getpid());
    (void)cgroup_remove(parent);
    machine_setup_clear(&fixture_setup);
    close(fixture_memory_fd);
    free(fixture_machines), free(fixture_image);
    return path_remove_tree(AT_FDCWD, fixture_root);
}

struct plan *fixture_plan(const char *id, const char *dir, const char *const *argv, bool tty)
{
    struct plan *plan = plan_new();
    static const struct { const char *type, *target; uint64_t flags; } mounts[] = {
        {"proc", "/proc", MS_NOSUID | MS_NOEXEC | MS_NODEV}, {"tmpfs", "/dev", MS_NOSUID},
        {"devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC}, {"sysfs", "/sys", MS_RDONLY | MS_NOSUID | MS_NOEXEC | MS_NODEV},
        {"tmpfs", "/tmp", MS_NOSUID | MS_NODEV},
    };
    static const enum plan_namespace_kind fresh[] = {PLAN_NS_MOUNT, PLAN_NS_PID, PLAN_NS_IPC, PLAN_NS_UTS, PLAN_NS_CGROUP};

    plan->id = mem_strdup(id);
    plan->hostname = mem_strdup("behind-the-wall");
    for (size_t i = 0; i < ARRAY_SIZE(fresh); i++)
        plan->namespaces[fresh[i]].mode = PLAN_NS_NEW;
    plan->rootfs.device = mem_strdup(fixture_image);
    plan->rootfs.layers_dir = mem_strdup("/");
    plan->rootfs.upper = path_join(dir, "upper");
    plan->rootfs.work = path_join(dir, "work");
    plan->mounts = mem_array(ARRAY_SIZE(mounts), sizeof(*plan->mounts));
    plan->mount_count = ARRAY_SIZE(mounts);
    for (size_t i = 0; i < ARRAY_SIZE(mounts); i++) {
        plan->mounts[i].type = mem_strdup(mounts[i].type);
        plan->mounts[i].target = mem_strdup(mounts[i].target);
        plan->mounts[i].flags = mounts[i].flags;
        if (str_equal(mounts[i].type, "devpts"))
            plan->mounts[i].data = mem_strdup("newinstance,ptmxmode=0666,mode=0620,gid=5");
    }
    plan->cgroup = mem_printf("tabique-test-%d/%.12s", (int)getpid(), id);
    plan->process.argv = strv_dup((char *const *)(const void *)argv);
    strv_push(&plan->process.env, "PATH=/bin:/sbin");
    plan->process.caps = (struct plan_caps){.bounding = 0xa80425fb, .permitted = 0xa80425fb};
    plan->process.tty = tty;
    return plan;
}

/* --- one container ------------------------------------------------------------------- */

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

static void on_lost(void *user, const char *reason, int status)
{
    struct container *container = user;

    snprintf(container->lost, sizeof(container->lost), "%s", reason);
    container->lost_status = status;
    loop_stop(container->loop);
}

void container_open(struct container *container, const char *machines, int memory_fd)
{
    static const struct isolation_events events = {.exited = on_exited, .oom = on_oom, .lost = on_lost};
    struct error err = ERROR_INIT;

    *container = (struct container){.status = -1};
    random_id(container->id);
    container->dir = path_join(fixture_root, container->id);
    assert_int_equal(path_mkdirs(container->dir, 0700), 0);
    assert_int_equal(loop_new(&container->loop), 0);
    hyperv_use(machines, memory_fd, TEST_FILES_PROGRAM);
    if (isolation_hyperv_ops.open(container->id, container->dir, container->loop, &events, container,
                                  &container->instance, &err) < 0)
        fail_msg("%s", err.message);
}

int container_start(struct container *container, const char *const *argv, bool tty, struct error *err)
{
    struct plan *plan = fixture_plan(container->id, container->dir, argv, tty);
    int r = isolation_hyperv_ops.start(container->instance, plan, &container->process, err);

    plan_free(plan);
    return r;
}

void container_run(struct container *container, const char *const *argv)
{
    struct error err = ERROR_INIT;

    container_open(container, fixture_machines, fixture_memory_fd);
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

void container_close(struct container *container)
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

void container_wait_exit(struct container *container)
{
    while (container->status < 0 && !container->lost[0])
        assert_int_equal(loop_run(container->loop), 0);
    assert_string_equal(container->lost, "");
}

void container_assert_output(struct container *container, const char *expected)
{
    char text[4096] = "";
    ssize_t n;

    container_wait_exit(container);
    /* What came with the exit is in the pipe; the loop has stopped feeding it. */
    fd_set_nonblock(container->process.stdio[1], true);
    n = fd_read_full(container->process.stdio[1], text, sizeof(text) - 1);
    if (n < 0)
        n = read(container->process.stdio[1], text, sizeof(text) - 1);
    text[n > 0 ? n : 0] = '\0';
    assert_string_equal(text, expected);
}

void container_wait_lost(struct container *container, const char *reason)
{
    while (!container->lost[0])
        assert_int_equal(loop_run(container->loop), 0);
    if (!strstr(container->lost, reason))
        fail_msg("lost by another reason: %s", container->lost);
}

void plan_add_bind(struct plan *plan, const char *source, const char *target, uint64_t flags)
{
    plan->mounts = mem_grow(plan->mounts, plan->mount_count + 1, sizeof(*plan->mounts));
    plan->mounts[plan->mount_count++] = (struct plan_mount){.type = mem_strdup("bind"), .source = mem_strdup(source),
                                                            .target = mem_strdup(target), .flags = MS_BIND | MS_REC | flags};
}
