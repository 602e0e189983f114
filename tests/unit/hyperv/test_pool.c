/* test_pool.c - machines made ahead: by way of a real shim, a machine waits, is taken,
 * is a machine of its own, and is replaced by a slower way where it cannot serve. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/random.h"
#include "base/str.h"
#include "hyperv/guest_fixture.h"
#include "hyperv/machine_fixture.h"
#include "launch/cgroup.h"
#include "rpc/rpc.h"

#define READY_MS 300000

struct waiting {
    struct shim_warm *warm;
    pid_t worker;
    char cgroup[96];
};

/* --- one that waits --------------------------------------------------------------------- */

/* next: what it is to expect; NULL: nobody knows. */
static void waiting_begin_for(struct waiting *waiting, const struct plan *next)
{
    char id[ID_LENGTH + 1];

    random_id(id);
    *waiting = (struct waiting){0};
    snprintf(waiting->cgroup, sizeof(waiting->cgroup), "tabique-test-%d/pool-%.12s", (int)getpid(), id);
    const struct shim_spec spec = guest_spec(id, "/");
    GOOD(shim_warm_spawn(&spec, waiting->cgroup, next, fixture_root, &waiting->warm, &err));
}

static void waiting_begin(struct waiting *waiting)
{
    waiting_begin_for(waiting, NULL);
}

static void waiting_ready(struct waiting *waiting)
{
    struct pollfd fd = {.fd = shim_warm_fd(waiting->warm), .events = POLLIN};

    assert_int_equal(poll(&fd, 1, READY_MS), 1);
    assert_int_equal(shim_warm_ready(waiting->warm, &waiting->worker), 0);
    assert_int_equal(kill(waiting->worker, 0), 0);
}

static void assert_no_cgroup(const char *path)
{
    pid_t *pids = NULL;
    size_t count = 0;
    int r = 0;

    for (int i = 0; i < 1000 && (r = cgroup_pids(path, &pids, &count)) >= 0; i++) {
        free(pids);
        pids = NULL;
        usleep(10000);
    }
    assert_int_equal(r, -ENOENT);
}

static bool is_in(pid_t pid, const char *cgroup)
{
    CLEANUP_FREE char *path = mem_printf("/proc/%d/cgroup", (int)pid);
    CLEANUP_FREE char *text = NULL;

    assert_int_equal(file_read(AT_FDCWD, path, 64 << 10, &text, NULL), 0);
    return strstr(text, cgroup) != NULL;
}

/* --- one that runs ------------------------------------------------------------------------ */

static struct plan *guest_plan(struct guest *guest, const char *script)
{
    const char *argv[] = {"sh", "-c", script, NULL};

    guest_new(guest);
    return fixture_plan(guest->id, guest->dir, argv, false);
}

static void guest_adopt(struct guest *guest, struct waiting *waiting, const struct plan *plan)
{
    const struct shim_spec spec = guest_spec(guest->id, guest->run);

    GOOD(shim_adopt(TAKE_PTR(waiting->warm), &spec, plan->cgroup, guest_loop, &guest_events, guest, &guest->shim, &err));
}

static void guest_start(struct guest *guest, struct plan *plan)
{
    GOOD(shim_attach(guest->shim, NULL, 2, &guest->output, &err));
    GOOD(shim_start(guest->shim, plan, &guest->started, &err));
    plan_free(plan);
}

static void guest_output(struct guest *guest, char *out, size_t size)
{
    CLEANUP(rpc_decoder_free) struct rpc_decoder decoder = {0};
    struct rpc_frame frame;
    size_t length = 0;

    while (rpc_receive(guest->output, &decoder, &frame, 60000) == 0) {
        size_t take = frame.length < size - 1 - length ? frame.length : size - 1 - length;
        if (frame.type != RPC_STREAM)
            continue;
        memcpy(out + length, frame.body, take);
        length += take;
    }
    out[length] = '\0';
}

/* Into the machine that has waited, and not into one made for it. */
static void guest_move_in(struct guest *guest, struct waiting *waiting, struct plan *plan)
{
    guest_adopt(guest, waiting, plan);
    guest_start(guest, plan);
    assert_int_equal(guest->started.pid, waiting->worker);
}

static void run_pooled(struct guest *guest, const char *script)
{
    struct waiting waiting;
    struct plan *plan = guest_plan(guest, script);

    waiting_begin(&waiting);
    waiting_ready(&waiting);
    guest_move_in(guest, &waiting, plan);
}

/* --- tests --------------------------------------------------------------------------------- */

static void test_taken(void **state)
{
    struct guest guest;
    struct waiting waiting;
    struct plan *plan = guest_plan(&guest, "echo hello from $(hostname); ls -d /bin/warm 2>&1; exit 7");
    CLEANUP_FREE char *cgroup = mem_strdup(plan->cgroup);
    char text[512];

    waiting_begin(&waiting);
    waiting_ready(&waiting);
    assert_true(is_in(waiting.worker, waiting.cgroup));
    guest_move_in(&guest, &waiting, plan);
    guest_output(&guest, text, sizeof(text));
    assert_string_equal(text, "hello from behind-the-wall\nls: /bin/warm: No such file or directory\n");
    guest_wait(&guest);
    assert_int_equal(guest.status, 7);
    assert_no_cgroup(waiting.cgroup);
    guest_close(&guest);
    assert_no_cgroup(cgroup);
}

/* Each a machine of its own, with nothing of what was run ahead. */
static void test_two_differ(void **state)
{
    static const char script[] = "head -c 16 /dev/urandom | md5sum; cat /proc/sys/kernel/random/boot_id; date +%s; "
                                 "grep -c . /proc/mounts; ls /sys/fs/cgroup 2>/dev/null | grep -c warm; cat /etc/hostname 2>&1";
    struct guest guests[2];
    char texts[2][1024];
    long times[2];

    for (int i = 0; i < 2; i++) {
        run_pooled(&guests[i], script);
        guest_output(&guests[i], texts[i], sizeof(texts[i]));
        CLEANUP_STRV char **lines = strv_split(texts[i], '\n');
        assert_true(strv_length(lines) >= 5);
        assert_int_equal(strlen(lines[1]), 36);
        times[i] = strtol(lines[2], NULL, 10);
        assert_true(labs(times[i] - (long)time(NULL)) <= 10);
        assert_string_equal(lines[4], "0");
        assert_null(strstr(texts[i], "\nwarm"));
    }
    CLEANUP_STRV char **one = strv_split(texts[0], '\n');
    CLEANUP_STRV char **two = strv_split(texts[1], '\n');
    assert_string_not_equal(one[0], two[0]);
    assert_string_not_equal(one[1], two[1]);
    for (int i = 0; i < 2; i++)
        guest_close(&guests[i]);
}

static void test_limits_hold(void **state)
{
    struct guest guest;
    struct waiting waiting;
    struct cgroup_stats stats;
    struct plan *plan = guest_plan(&guest, "exec tail /dev/zero");
    CLEANUP_FREE char *cgroup = mem_strdup(plan->cgroup);

    plan->limits.memory = 24 << 20;
    plan->limits.memory_swap = 24 << 20;
    waiting_begin(&waiting);
    waiting_ready(&waiting);
    guest_move_in(&guest, &waiting, plan);
    assert_true(is_in(waiting.worker, cgroup));
    assert_false(is_in(waiting.worker, waiting.cgroup));
    assert_int_equal(cgroup_stats(cgroup, &stats), 0);
    assert_true(stats.memory_limit < (uint64_t)1 << 30);
    guest_wait(&guest);
    assert_int_equal(guest.status, 137);
    guest_close(&guest);
}

/* A container on a disk it has already: the one that waited goes with the pool. */
static void test_kept_disk(void **state)
{
    struct guest guest, again;
    struct waiting waiting;
    char text[256];

    run_pooled(&guest, "echo kept >/file");
    guest_output(&guest, text, sizeof(text));
    CLEANUP_FREE char *dir = mem_strdup(guest.dir);
    guest_close(&guest);
    struct plan *plan = guest_plan(&again, "cat /file");
    free(plan->rootfs.upper);
    plan->rootfs.upper = path_join(dir, "upper");
    waiting_begin(&waiting);
    waiting_ready(&waiting);
    guest_move_in(&again, &waiting, plan);
    guest_output(&again, text, sizeof(text));
    assert_string_equal(text, "kept\n");
    guest_close(&again);
}

static bool has_disk(const char *dir)
{
    CLEANUP_FREE char *path = path_join(dir, "scratch.ext4");

    return access(path, F_OK) == 0;
}

static void assert_title(pid_t shim, const char *id)
{
    CLEANUP_FREE char *path = mem_printf("/proc/%d/cmdline", (int)shim);
    CLEANUP_FREE char *text = NULL;
    size_t length;

    assert_int_equal(file_read(AT_FDCWD, path, 64 << 10, &text, &length), 0);
    for (size_t i = 0; i + 1 < length; i++)
        text[i] = text[i] ? text[i] : ' ';
    assert_null(strstr(text, "--warm"));
    assert_non_null(strstr(text, id));
}

/* The image is there, and so is a disk, which becomes the container's: once. */
static void test_expected(void **state)
{
    struct guest guest, again;
    struct waiting waiting;
    char text[256];
    struct plan *plan = guest_plan(&guest, "ls -d /bin/warm 2>/dev/null; ls -A /scratch 2>/dev/null; echo kept >/file; cat /file");
    CLEANUP_FREE char *dir = mem_strdup(guest.dir);

    waiting_begin_for(&waiting, plan);
    waiting_ready(&waiting);
    assert_false(has_disk(dir));
    guest_move_in(&guest, &waiting, plan);
    assert_true(has_disk(dir));
    assert_title(shim_pid(guest.shim), guest.id);
    guest_output(&guest, text, sizeof(text));
    assert_string_equal(text, "kept\n");
    guest_close(&guest);

    /* One that has a disk: the other goes. */
    plan = guest_plan(&again, "cat /file");
    free(plan->rootfs.upper);
    plan->rootfs.upper = path_join(dir, "upper");
    waiting_begin_for(&waiting, plan);
    waiting_ready(&waiting);
    guest_move_in(&again, &waiting, plan);
    guest_output(&again, text, sizeof(text));
    assert_string_equal(text, "kept\n");
    guest_close(&again);
}

static void put_note(const struct guest *guest, const char *text)
{
    CLEANUP_FREE char *path = path_join(guest->dir, "note");

    assert_int_equal(file_replace(AT_FDCWD, path, text, strlen(text), 0644), 0);
}

/* What it is said before differs from what it becomes in all that may differ. */
static void move_in_changed(struct guest *guest, const char *script, void (*change)(struct plan *plan), char *text, size_t size)
{
    struct waiting waiting;
    struct plan *plan = guest_plan(guest, script);
    CLEANUP_FREE char *note = path_join(guest->dir, "note");

    put_note(guest, "of another one, and longer\n");
    plan_add_bind(plan, note, "/etc/note", 0);
    plan->hostname[0] = 'B';
    waiting_begin_for(&waiting, plan);
    waiting_ready(&waiting);
    put_note(guest, "its own\n");
    plan->hostname[0] = 'b';
    change(plan);
    guest_move_in(guest, &waiting, plan);
    guest_output(guest, text, size);
    guest_close(guest);
}

static void make_other_process(struct plan *plan)
{
    plan->rootfs.readonly = true;
    plan->limits.pids = 50;
    free(plan->process.cwd);
    plan->process.cwd = mem_strdup("/tmp");
    plan->process.user = mem_strdup("1:1");
    strv_push(&plan->process.env, "TOLD=late");
}

static void test_told_late(void **state)
{
    struct guest guest;
    char text[256];

    move_in_changed(&guest, "cat /etc/note; hostname; pwd; id -u; echo $TOLD; touch /bin/x 2>&1; "
                            "echo $$", make_other_process, text, sizeof(text));
    assert_string_equal(text, "its own\nbehind-the-wall\n/tmp\n1\nlate\ntouch: /bin/x: Read-only file system\n1\n");
}

static void make_terminal(struct plan *plan)
{
    plan->process.tty = true;
    plan->process.rows = 33;
    plan->process.cols = 99;
}

static void test_told_late_of_terminal(void **state)
{
    struct guest guest;
    char text[256];

    move_in_changed(&guest, "tty; stty size; hostname", make_terminal, text, sizeof(text));
    assert_string_equal(text, "/dev/pts/0\r\n33 99\r\nbehind-the-wall\r\n");
}

/* A directory of the host's and a file system more are put in place when they are known. */
static void make_more_mounts(struct plan *plan)
{
    plan_add_bind(plan, fixture_machines, "/shared", MS_RDONLY);
    plan->mounts = mem_grow(plan->mounts, plan->mount_count + 1, sizeof(*plan->mounts));
    plan->mounts[plan->mount_count++] = (struct plan_mount){.type = mem_strdup("tmpfs"), .target = mem_strdup("/extra"),
                                                            .data = mem_strdup("size=64k")};
}

static void test_more_mounts(void **state)
{
    struct guest guest;
    char text[256];

    move_in_changed(&guest, "cat /etc/note; grep -c ' /extra tmpfs' /proc/mounts; ls /shared | grep -x setup; "
                            "touch /shared/x 2>/dev/null || echo protected", make_more_mounts, text, sizeof(text));
    assert_string_equal(text, "its own\n1\nsetup\nprotected\n");
}

/* One mask more: what was made ahead does not serve, and nothing of it stays. */
static void make_other_surroundings(struct plan *plan)
{
    strv_push(&plan->masked_paths, "/bin/busybox-masked");
    strv_push(&plan->masked_paths, "/etc");
}

static void test_other_surroundings(void **state)
{
    struct guest guest;
    char text[256];

    move_in_changed(&guest, "ls -A /etc; hostname; echo kept >/file; cat /file; echo $$; grep -c ' / overlay' /proc/mounts",
                    make_other_surroundings, text, sizeof(text));
    assert_string_equal(text, "behind-the-wall\nkept\n1\n1\n");
}

/* Expected as one, then as another, and comes as a third. */
static void test_unexpected(void **state)
{
    struct guest guest;
    struct waiting waiting;
    char text[256];
    struct plan *plan = guest_plan(&guest, "ls / | grep -c -x bin; echo x >/file; cat /file");
    CLEANUP_FREE char *other = path_join(guest.dir, "other.erofs");
    CLEANUP_FREE char *image = plan->rootfs.device;
    const char *copy[] = {"cp", image, other, NULL};

    fixture_tool("/bin/cp", copy);
    plan->rootfs.device = other;
    waiting_begin(&waiting);
    waiting_ready(&waiting);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(shim_warm_rehearse(waiting.warm, plan, fixture_root), 0);
        waiting_ready(&waiting);
    }
    plan->rootfs.device = mem_strdup(image);
    guest_move_in(&guest, &waiting, plan);
    guest_output(&guest, text, sizeof(text));
    assert_string_equal(text, "1\nx\n");
    guest_close(&guest);
}

static void test_too_small(void **state)
{
    struct guest guest;
    struct waiting waiting;
    char text[256];
    struct plan *plan = guest_plan(&guest, "awk '/MemTotal/ {print ($2 > 1900000)}' /proc/meminfo");

    plan->limits.memory = (int64_t)2 << 30;
    waiting_begin(&waiting);
    waiting_ready(&waiting);
    guest_adopt(&guest, &waiting, plan);
    guest_start(&guest, plan);
    assert_int_not_equal(guest.started.pid, waiting.worker);
    assert_gone(waiting.worker);
    guest_output(&guest, text, sizeof(text));
    assert_string_equal(text, "1\n");
    guest_close(&guest);
}

static void test_killed_while_waiting(void **state)
{
    struct waiting waiting;
    struct pollfd fd;
    pid_t worker;

    waiting_begin(&waiting);
    waiting_ready(&waiting);
    kill(waiting.worker, SIGKILL);
    fd = (struct pollfd){.fd = shim_warm_fd(waiting.warm), .events = POLLIN};
    assert_int_equal(poll(&fd, 1, READY_MS), 1);
    assert_true(shim_warm_ready(waiting.warm, &worker) < 0);
    shim_warm_free(waiting.warm);
    assert_gone(waiting.worker);
    assert_no_cgroup(waiting.cgroup);
}

/* Between having been taken and having been started: killed, or standing still. */
static void replaced(int signal_number)
{
    struct guest guest;
    struct waiting waiting;
    char text[64];
    struct plan *plan = guest_plan(&guest, "echo here");

    waiting_begin(&waiting);
    waiting_ready(&waiting);
    guest_adopt(&guest, &waiting, plan);
    kill(waiting.worker, signal_number);
    guest_start(&guest, plan);
    assert_int_not_equal(guest.started.pid, waiting.worker);
    assert_gone(waiting.worker);
    guest_output(&guest, text, sizeof(text));
    assert_string_equal(text, "here\n");
    assert_no_cgroup(waiting.cgroup);
    guest_close(&guest);
}

static void test_killed_when_taken(void **state)
{
    replaced(SIGKILL);
}

static void test_stalled_when_taken(void **state)
{
    replaced(SIGSTOP);
}

/* A shim that is gone cannot be adopted; nothing of it stays. */
static void test_shim_killed(void **state)
{
    struct guest guest;
    struct waiting waiting;
    struct error err = ERROR_INIT;
    struct plan *plan = guest_plan(&guest, "true");
    const struct shim_spec spec = guest_spec(guest.id, guest.run);
    CLEANUP_FREE char *path = NULL, *text = NULL;
    char *parent;

    waiting_begin(&waiting);
    waiting_ready(&waiting);
    path = mem_printf("/proc/%d/status", (int)waiting.worker);
    assert_int_equal(file_read(AT_FDCWD, path, 64 << 10, &text, NULL), 0);
    assert_non_null(parent = strstr(text, "PPid:\t"));
    kill((pid_t)strtol(parent + 6, NULL, 10), SIGKILL);
    assert_gone(waiting.worker);
    assert_true(shim_adopt(waiting.warm, &spec, plan->cgroup, guest_loop, &guest_events, &guest, &guest.shim, &err) < 0);
    assert_int_equal(cgroup_remove(waiting.cgroup), 0);
    plan_free(plan);
    guest_free(&guest);
}

static void test_let_go_at_any_time(void **state)
{
    struct waiting waiting;

    for (int i = 0; i < 4; i++) {
        waiting_begin(&waiting);
        usleep((useconds_t)i * 200000);
        shim_warm_free(waiting.warm);
        for (int tries = 0; cgroup_remove(waiting.cgroup) < 0 && tries < 1000; tries++)
            usleep(10000);
        assert_no_cgroup(waiting.cgroup);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_taken),             cmocka_unit_test(test_two_differ),
        cmocka_unit_test(test_limits_hold),       cmocka_unit_test(test_kept_disk),
        cmocka_unit_test(test_expected),          cmocka_unit_test(test_unexpected),
        cmocka_unit_test(test_told_late),         cmocka_unit_test(test_told_late_of_terminal),
        cmocka_unit_test(test_more_mounts),       cmocka_unit_test(test_other_surroundings),
        cmocka_unit_test(test_too_small),         cmocka_unit_test(test_killed_while_waiting),
        cmocka_unit_test(test_killed_when_taken), cmocka_unit_test(test_stalled_when_taken),
        cmocka_unit_test(test_shim_killed),       cmocka_unit_test(test_let_go_at_any_time),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, guests_set_up, guests_tear_down);
}
