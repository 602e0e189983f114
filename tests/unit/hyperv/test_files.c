/* test_files.c - a guest's files from the host: cp, export, diff, commit by way of a
 * real shim, of containers that run and of such that do not. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "archive/archive.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "hyperv/guest_fixture.h"
#include "hyperv/machine_fixture.h"

static void guest_spawn(struct guest *guest)
{
    const struct shim_spec spec = guest_spec(guest->id, guest->run);

    GOOD(shim_spawn(&spec, guest_loop, &guest_events, guest, &guest->shim, &err));
}

static void guest_run(struct guest *guest, const char *script)
{
    const char *argv[] = {"sh", "-c", script, NULL};
    struct plan *plan = fixture_plan(guest->id, guest->dir, argv, false);

    guest_spawn(guest);
    GOOD(shim_start(guest->shim, plan, &guest->started, &err));
    assert_true(guest->started.guest_pid > 0);
    plan_free(plan);
}

static void guest_mount(struct guest *guest)
{
    const char *argv[] = {"none", NULL};
    struct plan *plan = fixture_plan(guest->id, guest->dir, argv, false);

    guest_spawn(guest);
    GOOD(shim_mount(guest->shim, plan, &err));
    plan_free(plan);
}

/* --- tars in memory ------------------------------------------------------------------- */

struct memory {
    struct str data;
    size_t at, fail_at;
};

static int memory_write(void *user, const void *data, size_t size)
{
    struct memory *memory = user;

    if (memory->fail_at && memory->data.length >= memory->fail_at)
        return -ECONNRESET;
    str_append_n(&memory->data, data, size);
    return 0;
}

static ssize_t memory_read(void *user, void *buffer, size_t size)
{
    struct memory *memory = user;
    size_t left = memory->data.length - memory->at;

    size = size < left ? size : left;
    memcpy(buffer, memory->data.data + memory->at, size);
    memory->at += size;
    return (ssize_t)size;
}

/* A directory of the host's, below the test's root. */
static int scratch_dir(const char *name)
{
    CLEANUP_FREE char *path = path_join(fixture_root, name);

    assert_int_equal(path_mkdirs(path, 0755), 0);
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void unpack(struct memory *memory, const char *name, unsigned flags)
{
    CLEANUP_CLOSE int fd = scratch_dir(name);
    struct archive_result result;

    memory->at = 0;
    GOOD(archive_extract(fd, "/", memory_read, memory, flags, NULL, &result, &err));
}

static void assert_file(const char *name, const char *expected)
{
    CLEANUP_FREE char *path = path_join(fixture_root, name);
    CLEANUP_FREE char *text = NULL;

    assert_int_equal(file_read(AT_FDCWD, path, 1 << 20, &text, NULL), 0);
    assert_string_equal(text, expected);
}

static int wait_for_file(struct guest *guest, const char *path)
{
    struct archive_stat st;
    struct error err;

    for (int i = 0; i < 500; i++) {
        err = ERROR_INIT;
        if (shim_archive_stat(guest->shim, path, &st, &err) == 0) {
            free(st.name);
            free(st.link_target);
            return 0;
        }
        assert_int_equal(err.code, ENOENT);
        usleep(10000);
    }
    return -ETIMEDOUT;
}

/* --- tests ------------------------------------------------------------------------------ */

static int note_entry(void *user, const struct archive_entry *entry)
{
    str_printf(user, "%s %o %u:%u %lld %s\n", entry->name, entry->mode, entry->uid, entry->gid,
               S_ISREG(entry->mode) ? (long long)entry->size : 0, entry->link);
    return 0;
}

static void test_running(void **state)
{
    struct guest guest;
    struct archive_stat st;
    struct memory tar = {0}, in = {0};

    guest_new(&guest);
    guest_run(&guest, "mkdir -p /etc/d; echo hello >/etc/d/a; chmod 640 /etc/d/a; chown 12:34 /etc/d/a; ln -s d/a /etc/link;"
                      "echo in tmpfs >/tmp/b; rm /bin/yes; touch /ready; while ! [ -e /etc/d/new ]; do sleep 0.1; done; cat /etc/d/new >/etc/d/c; exit 3");
    assert_int_equal(wait_for_file(&guest, "/ready"), 0);
    GOOD(shim_archive_stat(guest.shim, "/etc/link", &st, &err));
    assert_string_equal(st.name, "link");
    assert_true(S_ISLNK(st.mode));
    assert_string_equal(st.link_target, "/etc/d/a");
    free(st.name), free(st.link_target);
    CLEANUP_STR struct str listing = STR_INIT;
    GOOD(shim_archive_list(guest.shim, "/etc/d", note_entry, &listing, &err));
    assert_string_equal(listing.data, "a 100640 12:34 6 \n");
    str_clear(&listing);
    GOOD(shim_archive_list(guest.shim, "/etc", note_entry, &listing, &err));
    assert_non_null(strstr(listing.data, "link 120777 0:0 0 d/a\n"));
    assert_int_equal(shim_archive_list(guest.shim, "/etc/d/a", note_entry, &listing, NULL), -EINVAL);
    assert_int_equal(shim_archive_list(guest.shim, "/nope", note_entry, &listing, NULL), -ENOENT);
    GOOD(shim_archive_get(guest.shim, SHIM_TREE_CONTAINER, "/etc/d", "d", ARCHIVE_KEEP_OWNER, memory_write, &tar, &err));
    unpack(&tar, "out1", ARCHIVE_KEEP_OWNER);
    assert_file("out1/d/a", "hello\n");
    /* What is mounted in it is seen, too. */
    str_clear(&tar.data);
    GOOD(shim_archive_get(guest.shim, SHIM_TREE_CONTAINER, "/tmp/b", "b", 0, memory_write, &tar, &err));
    unpack(&tar, "out1", 0);
    assert_file("out1/b", "in tmpfs\n");

    int host = scratch_dir("in");
    assert_int_equal(file_write_atomic(host, "new", "from the host\n", 14, 0644), 0);
    GOOD(archive_create(host, "/new", "new", ARCHIVE_KEEP_OWNER, memory_write, &in, &err));
    close(host);
    GOOD(shim_archive_put(guest.shim, SHIM_TREE_CONTAINER, "/etc/d", ARCHIVE_KEEP_OWNER, memory_read, &in, &err));
    guest_wait(&guest);
    assert_int_equal(guest.status, 3);
    guest_end(&guest);

    /* Stopped: its disk is read by a machine raised for that. */
    guest_mount(&guest);
    str_clear(&tar.data);
    GOOD(shim_archive_get(guest.shim, SHIM_TREE_CONTAINER, "/etc/d/c", "c", ARCHIVE_KEEP_OWNER, memory_write, &tar, &err));
    unpack(&tar, "out2", ARCHIVE_KEEP_OWNER);
    assert_file("out2/c", "from the host\n");
    in.at = 0;
    GOOD(shim_archive_put(guest.shim, SHIM_TREE_CONTAINER, "/", 0, memory_read, &in, &err));
    GOOD(shim_archive_stat(guest.shim, "/new", &st, &err));
    assert_int_equal(st.size, 14);
    free(st.name), free(st.link_target);
    str_clear(&tar.data);
    GOOD(shim_archive_get(guest.shim, SHIM_TREE_WHOLE, "/", "", ARCHIVE_KEEP_OWNER, memory_write, &tar, &err));
    unpack(&tar, "whole", ARCHIVE_KEEP_OWNER);
    assert_file("whole/new", "from the host\n");
    assert_file("whole/etc/d/a", "hello\n");
    /* A layer, as commit wants it: the removed one is a whiteout. */
    str_clear(&tar.data);
    GOOD(shim_archive_get(guest.shim, SHIM_TREE_CHANGES, "/", "", ARCHIVE_KEEP_OWNER | ARCHIVE_LAYER, memory_write, &tar, &err));
    assert_non_null(memmem(tar.data.data, tar.data.length, ".wh.yes", 7));
    guest_end(&guest);

    /* And it starts again, with all of it. */
    guest.exited = false;
    guest_run(&guest, "test \"$(cat /new)\" = 'from the host'");
    guest_wait(&guest);
    assert_int_equal(guest.status, 0);
    guest_end(&guest);
    str_free(&tar.data);
    str_free(&in.data);
    guest_free(&guest);
}

static int note_change(void *user, const char *path, int kind)
{
    struct str *text = user;

    str_printf(text, "%c %s\n", "CAD"[kind], path);
    return 0;
}

static void test_changes(void **state)
{
    struct guest guest;
    struct str text = STR_INIT;

    guest_new(&guest);
    guest_run(&guest, "rm /bin/yes; mkdir /new; echo x >/new/file; echo y >>/bin/busybox; touch /ready; sleep 1000");
    assert_int_equal(wait_for_file(&guest, "/ready"), 0);
    GOOD(shim_changes(guest.shim, note_change, &text, &err));
    assert_non_null(strstr(text.data, "C /bin\nD /bin/yes\n"));
    assert_non_null(strstr(text.data, "A /new\nA /new/file\n"));
    assert_non_null(strstr(text.data, "A /ready\n"));
    str_free(&text);
    guest_close(&guest);
}

static void test_refusals(void **state)
{
    struct guest guest;
    struct archive_stat st;
    struct memory tar = {0}, in = {0};
    struct error failure = ERROR_INIT;

    guest_new(&guest);
    guest_run(&guest, "echo x >/file; ln -s ../../../../etc/passwd /out; touch /ready; sleep 1000");
    assert_int_equal(wait_for_file(&guest, "/ready"), 0);
    assert_int_equal(shim_archive_stat(guest.shim, "/nowhere/at all", &st, &failure), -ENOENT);
    failure = ERROR_INIT;
    assert_int_equal(shim_archive_get(guest.shim, SHIM_TREE_CONTAINER, "/nowhere", "x", 0, memory_write, &tar, &failure), -ENOENT);
    int host = scratch_dir("in");
    assert_int_equal(file_write_atomic(host, "new", "from the host\n", 14, 0644), 0);
    GOOD(archive_create(host, "/new", "new", 0, memory_write, &in, &err));
    close(host);
    failure = ERROR_INIT;
    assert_int_equal(shim_archive_put(guest.shim, SHIM_TREE_CONTAINER, "/file", 0, memory_read, &in, &failure), -EINVAL);
    in.at = 0;
    failure = ERROR_INIT;
    assert_int_equal(shim_archive_put(guest.shim, SHIM_TREE_CONTAINER, "/no/such", 0, memory_read, &in, &failure), -ENOENT);
    /* Not a tar at all. */
    struct memory garbage = {0};
    for (int i = 0; i < 4096; i++)
        str_append_n(&garbage.data, "garbage!", 8);
    failure = ERROR_INIT;
    assert_true(shim_archive_put(guest.shim, SHIM_TREE_CONTAINER, "/", 0, memory_read, &garbage, &failure) < 0);
    /* A client that goes away in the middle: the order is cancelled, the rest lives. */
    tar.fail_at = 100000;
    failure = ERROR_INIT;
    assert_int_equal(shim_archive_get(guest.shim, SHIM_TREE_WHOLE, "/", "", 0, memory_write, &tar, &failure), -ECONNRESET);
    GOOD(shim_archive_stat(guest.shim, "/file", &st, &err));
    assert_int_equal(st.size, 2);
    free(st.name), free(st.link_target);
    str_free(&tar.data), str_free(&in.data), str_free(&garbage.data);
    guest_close(&guest);
}

/* More than any window, both ways, byte for byte; and two at once. */
#define BIG (24u << 20)
static void test_big(void **state)
{
    struct guest guest;
    struct memory in = {0}, out = {0};
    CLEANUP_FREE char *big = mem_alloc(BIG);
    CLEANUP_FREE char *text = NULL;
    CLEANUP_CLOSE int host = scratch_dir("big");
    size_t length = 0;

    random_bytes(big, BIG);
    assert_int_equal(file_write_atomic(host, "big", big, BIG, 0600), 0);
    GOOD(archive_create(host, "/big", "big", 0, memory_write, &in, &err));
    guest_new(&guest);
    guest_run(&guest, "sleep 1000");
    GOOD(shim_archive_put(guest.shim, SHIM_TREE_CONTAINER, "/", 0, memory_read, &in, &err));
    GOOD(shim_archive_get(guest.shim, SHIM_TREE_CONTAINER, "/big", "big", 0, memory_write, &out, &err));
    assert_int_equal(unlinkat(host, "big", 0), 0);
    unpack(&out, "big", 0);
    assert_int_equal(file_read(host, "big", BIG + 1, &text, &length), 0);
    assert_int_equal(length, BIG);
    assert_memory_equal(text, big, BIG);
    str_free(&in.data), str_free(&out.data);
    guest_close(&guest);
}

/* A disk is one machine's at a time. */
static void test_disk_in_use(void **state)
{
    struct guest guest, second;
    struct error failure = ERROR_INIT;
    const char *argv[] = {"none", NULL};

    guest_new(&guest);
    guest_run(&guest, "sleep 1000");
    second = guest;
    second.started = (struct shim_started){0};
    second.run = path_join(guest.dir, "run2");
    assert_int_equal(path_mkdirs(second.run, 0700), 0);
    guest_spawn(&second);
    struct plan *plan = fixture_plan(guest.id, guest.dir, argv, false);
    free(plan->cgroup);
    plan->cgroup = mem_printf("tabique-test-%d/second", (int)getpid());
    assert_int_equal(shim_mount(second.shim, plan, &failure), -EBUSY);
    plan_free(plan);
    guest_end(&second);
    free(second.run);
    guest_close(&guest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_running), cmocka_unit_test(test_changes), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_big),     cmocka_unit_test(test_disk_in_use),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, guests_set_up, guests_tear_down);
}
