/* test_rootfs.c - images mounted and made disks of, for real. */
#include "image_test.h"

#include "image/disk.h"
#include "image/rootfs.h"

static void load_three(struct fixture *f, char ret_id[DIGEST_TEXT_MAX])
{
    CLEANUP(made_clear) struct made made = {0};
    struct tar_entry tmp = {.type = TAR_DIRECTORY, .path = (char *)"tmp", .mode = 01777};

    struct str *layer = made_layer(&made);
    add(layer, TAR_DIRECTORY, "etc", NULL);
    add(layer, TAR_FILE, "etc/base", "base");
    add(layer, TAR_FILE, "etc/gone", "gone");
    add(layer, TAR_FILE, "old/hidden", "hidden");
    add_entry(layer, &tmp, NULL);
    layer = made_layer(&made);
    add(layer, TAR_FILE, "etc/.wh.gone", NULL);
    add(layer, TAR_FILE, "old/.wh..wh..opq", NULL);
    add(layer, TAR_FILE, "old/shown", "shown");
    layer = made_layer(&made);
    add(layer, TAR_FILE, "etc/base", "changed");
    made_finish(&made, NULL);
    load_made(f, &made, "\"three\"");
    memcpy(ret_id, made.id, DIGEST_TEXT_MAX);
}

static int mounts_below(const char *dir)
{
    CLEANUP_FREE char *text = NULL;
    int count = 0;

    assert_int_equal(file_read(AT_FDCWD, "/proc/self/mountinfo", 8 << 20, &text, NULL), 0);
    for (const char *at = text; (at = strstr(at, dir)); at++)
        count++;
    return count;
}

static void check_tree(int fd)
{
    CLEANUP_FREE char *text = NULL;
    CLEANUP_CLOSE int file = path_open_in(fd, "/etc/base", O_RDONLY, 0);
    struct stat st;
    char buffer[16] = "";

    assert_true(file >= 0);
    assert_int_equal(read(file, buffer, 15), 7);
    assert_string_equal(buffer, "changed");
    assert_int_equal(path_open_in(fd, "/etc/gone", O_PATH, 0), -ENOENT);
    assert_int_equal(path_open_in(fd, "/old/hidden", O_PATH, 0), -ENOENT);
    assert_int_equal(fstatat(fd, "old/shown", &st, 0), 0);
    assert_int_equal(fstatat(fd, "tmp", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 01777);
}

static void test_read_only(void **state)
{
    struct fixture *f = *state;
    struct error err = ERROR_INIT;
    char id[DIGEST_TEXT_MAX];
    int fd = -EBADF;

    load_three(f, id);
    if (image_overlay_open(f->store, id, NULL, NULL, &fd, &err) < 0)
        fail_msg("%s", err.message);
    check_tree(fd);
    assert_int_equal(openat(fd, "new", O_WRONLY | O_CREAT, 0600), -1);
    assert_int_equal(errno, EROFS);
    assert_int_equal(mounts_below(f->dir), 0); /* nobody sees it */
    /* Out of it there is no way. */
    assert_int_equal(path_open_in(fd, "/../../etc/hostname", O_PATH, 0), -ENOENT);
    /* Export of it. */
    CLEANUP_STR struct str tar = STR_INIT;
    assert_int_equal(archive_create(fd, "/", "", 0, to_str, &tar, &err), 0);
    assert_non_null(memmem(tar.data, tar.length, "old/shown", 9));
    assert_null(memmem(tar.data, tar.length, ".wh.", 4));
    close(fd);

    /* One layer only. */
    make_simple(f, "x", "\"one\"", id);
    assert_int_equal(image_overlay_open(f->store, id, NULL, NULL, &fd, &err), 0);
    struct stat st;
    assert_int_equal(fstatat(fd, "file", &st, 0), 0);
    close(fd);
    assert_int_equal(image_overlay_open(f->store, "nothing", NULL, NULL, &fd, &err), -ENOENT);
}

static int to_lines(void *user, const char *path, enum archive_change kind)
{
    str_printf(user, "%c %s\n", "CAD"[kind], path);
    return 0;
}

static void test_with_upper(void **state)
{
    struct fixture *f = *state;
    struct error err = ERROR_INIT;
    char id[DIGEST_TEXT_MAX];
    CLEANUP_CLOSE int fd = -EBADF;
    CLEANUP_CLOSE int lower = -EBADF;

    /* A directory with what mount options take for punctuation. */
    CLEANUP_FREE char *upper = mem_printf("%s/up:per,a\\b", f->dir);
    CLEANUP_FREE char *work = mem_printf("%s/work", f->dir);
    assert_int_equal(mkdir(upper, 0755), 0);
    assert_int_equal(mkdir(work, 0755), 0);
    load_three(f, id);
    if (image_overlay_open(f->store, id, upper, work, &fd, &err) < 0)
        fail_msg("%s", err.message);
    check_tree(fd);
    CLEANUP_STR struct str tar = STR_INIT;
    add(&tar, TAR_FILE, "etc/new", "written through");
    add_end(&tar);
    struct memory memory = {tar.data, tar.length, 0, 0};
    assert_int_equal(archive_extract(fd, "/", from_memory, &memory, 0, NULL, NULL, &err), 0);
    assert_int_equal(unlinkat(fd, "etc/base", 0), 0);
    cleanup_close(&fd); /* the mount goes with it */

    CLEANUP_CLOSE int upper_fd = open(upper, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP_STR struct str lines = STR_INIT;
    assert_int_equal(image_overlay_open(f->store, id, NULL, NULL, &lower, &err), 0);
    assert_int_equal(archive_changes(upper_fd, lower, to_lines, &lines, &err), 0);
    assert_string_equal(lines.data, "C /etc\nD /etc/base\nA /etc/new\n");

    /* Commit: the upper as a layer, on top. */
    CLEANUP_STR struct str diff = STR_INIT;
    assert_int_equal(archive_create(upper_fd, "/", "", ARCHIVE_LAYER, to_str, &diff, &err), 0);
    memory = (struct memory){diff.data, diff.length, 0, 0};
    CLEANUP_FREE char *committed = NULL;
    if (image_commit(f->store, id, NULL, from_memory, &memory, NULL, NULL, NULL, NULL, "done", &committed, &err) < 0)
        fail_msg("%s", err.message);
    CLEANUP_CLOSE int merged = -EBADF;
    assert_int_equal(image_overlay_open(f->store, committed, NULL, NULL, &merged, &err), 0);
    assert_int_equal(path_open_in(merged, "/etc/base", O_PATH, 0), -ENOENT);
    CLEANUP_CLOSE int file = path_open_in(merged, "/etc/new", O_RDONLY, 0);
    assert_true(file >= 0);
}

static void test_many_layers(void **state)
{
    struct fixture *f = *state;
    struct error err = ERROR_INIT;
    CLEANUP_FREE char *id = NULL;
    CLEANUP_CLOSE int fd = -EBADF;

    for (int i = 0; i < 125; i++) {
        CLEANUP_STR struct str tar = STR_INIT;
        char name[16];
        char *next = NULL;

        snprintf(name, sizeof(name), "f%d", i);
        add(&tar, TAR_FILE, name, name);
        add_end(&tar);
        struct memory memory = {tar.data, tar.length, 0, 0};
        if (image_commit(f->store, id, NULL, from_memory, &memory, NULL, NULL, NULL, NULL, NULL, &next, &err) < 0)
            fail_msg("%d: %s", i, err.message);
        free(id);
        id = next;
    }
    if (image_overlay_open(f->store, id, NULL, NULL, &fd, &err) < 0)
        fail_msg("%s", err.message);
    assert_int_equal(count_entries(fd, "."), 125);
    CLEANUP_STR struct str tar = STR_INIT;
    add(&tar, TAR_FILE, "one-too-many", "x");
    add_end(&tar);
    struct memory memory = {tar.data, tar.length, 0, 0};
    CLEANUP_FREE char *none = NULL;
    assert_int_equal(image_commit(f->store, id, NULL, from_memory, &memory, NULL, NULL, NULL, NULL, NULL, &none, &err), -EINVAL);
    assert_non_null(strstr(err.message, "max depth exceeded"));
}

static void test_disk(void **state)
{
    struct fixture *f = *state;
    struct image_removal removal;
    struct error err = ERROR_INIT;
    CLEANUP_FREE char *path = NULL;
    CLEANUP_FREE char *again = NULL;
    char id[DIGEST_TEXT_MAX];
    unsigned char super[4];
    struct stat st, same;

    load_three(f, id);
    if (image_disk(f->store, id, &path, &err) < 0)
        fail_msg("%s", err.message);
    assert_int_equal(stat(path, &st), 0);
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(fd, super, 4, 1024), 4);
    assert_memory_equal(super, "\xe2\xe1\xf5\xe0", 4);
    assert_int_equal(image_disk(f->store, "three", &again, &err), 0);
    assert_string_equal(path, again);
    assert_int_equal(stat(again, &same), 0);
    assert_int_equal(st.st_ino, same.st_ino);
    /* What is in it: the merged tree. */
    CLEANUP_FREE char *command = mem_printf("dump.erofs --path=/old/shown %s | grep -q 'Size: 5' && ! dump.erofs --path=/etc/gone %s 2>/dev/null | grep -q Size:", path, path);
    if (access("/usr/bin/dump.erofs", X_OK) == 0)
        assert_int_equal(pclose(popen(command, "r")), 0);
    assert_int_equal(entries_in(f, "tmp"), 0);
    assert_int_equal(mounts_below(f->dir), 0);
    reopen(f);
    assert_int_equal(stat(path, &same), 0);
    assert_int_equal(image_remove(f->store, "three", false, false, &removal, &err), 0);
    image_removal_clear(&removal);
    assert_int_equal(stat(path, &same), -1);
    check_nothing_left(f);
}

struct seen {
    struct image_cache_entry disk; /* its texts are not kept */
    int disks;
    char id[80];
};

static int see(void *user, const struct image_cache_entry *entry)
{
    struct seen *seen = user;

    if (entry->kind != IMAGE_CACHE_DISK)
        return 0;
    seen->disks++;
    seen->disk = *entry;
    snprintf(seen->id, sizeof(seen->id), "%s", entry->id);
    return 0;
}

static bool all_wanted(void *user, const struct image_cache_entry *entry)
{
    return true;
}

static int64_t prune_cache(struct fixture *f, const char *expected)
{
    const struct image_cache_pruning pruning = {.all = true, .wanted = all_wanted};
    CLEANUP_STRV char **deleted = NULL;
    struct error err = ERROR_INIT;
    int64_t reclaimed = -1;

    assert_int_equal(image_cache_prune(f->store, &pruning, &deleted, &reclaimed, &err), 0);
    assert_int_equal(strv_length(deleted), expected ? 1 : 0);
    if (expected)
        assert_string_equal(deleted[0], expected);
    return reclaimed;
}

/* Counted as it lies on the disk; goes as the cache that it is, but from under nobody; is the same when made again. */
static void test_disk_is_cache(void **state)
{
    struct fixture *f = *state;
    struct image_removal removal;
    struct error err = ERROR_INIT;
    CLEANUP_FREE char *path = NULL;
    CLEANUP_FREE char *first = NULL;
    CLEANUP_FREE char *second = NULL;
    char id[DIGEST_TEXT_MAX];
    struct image_usage usage;
    struct seen seen = {0};
    int64_t reclaimed = 0;
    size_t length = 0, again = 0;
    struct stat st;

    load_three(f, id);
    image_cache_each(f->store, see, &seen);
    assert_int_equal(seen.disks, 0);
    assert_int_equal(image_disk(f->store, id, &path, &err), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_blocks > 0);
    image_store_usage(f->store, &usage);
    assert_int_equal(usage.disks, st.st_blocks * 512);
    assert_int_equal(file_read(AT_FDCWD, path, 8 << 20, &first, &length), 0);

    assert_int_equal(image_hold(f->store, id, &err), 0);
    image_cache_each(f->store, see, &seen);
    assert_int_equal(seen.disks, 1);
    assert_true(seen.disk.in_use && !seen.disk.shared);
    assert_int_equal(seen.disk.size, usage.disks);
    assert_int_equal(prune_cache(f, NULL), 0);
    assert_int_equal(stat(path, &st), 0);

    image_release(f->store, id);
    image_cache_each(f->store, see, &seen);
    assert_false(seen.disk.in_use);
    assert_int_equal(prune_cache(f, seen.id), usage.disks);
    assert_int_equal(stat(path, &st), -1);
    assert_int_equal(prune_cache(f, NULL), 0);

    CLEANUP_FREE char *same = NULL;
    assert_int_equal(image_disk(f->store, id, &same, &err), 0);
    assert_string_equal(path, same);
    assert_int_equal(file_read(AT_FDCWD, path, 8 << 20, &second, &again), 0);
    assert_int_equal(length, again);
    assert_memory_equal(first, second, 1024);
    assert_memory_equal(first + 1024 + 128, second + 1024 + 128, length - 1024 - 128);

    image_store_usage(f->store, &usage);
    assert_int_equal(image_prune(f->store, false, 0, NULL, &removal, &reclaimed, &err), 0);
    image_removal_clear(&removal);
    assert_int_equal(reclaimed, usage.layers + usage.disks);
    assert_int_equal(entries_in(f, "disks"), 0);
    check_nothing_left(f);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_read_only), T(test_with_upper), T(test_many_layers), T(test_disk), T(test_disk_is_cache),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
