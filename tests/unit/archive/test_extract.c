/* test_extract.c - what comes out of a tar, in all its dialects. */
#include "archive_test.h"

static int set_up(void **state)
{
    struct place *place = mem_new(struct place);

    place_make(place);
    *state = place;
    return 0;
}

static int tear_down(void **state)
{
    place_remove(*state);
    free(*state);
    return 0;
}

static void test_kinds(void **state)
{
    struct place *place = *state;
    CLEANUP_STR struct str tar = STR_INIT;
    struct error err = ERROR_INIT;
    struct tar_xattr xattrs[] = {{(char *)"user.colour", (void *)"red\0blue", 8},
                                 {(char *)"trusted.overlay.redirect", (void *)"/etc", 4},
                                 {(char *)"trusted.secret", (void *)"x", 1}};
    struct tar_entry entry = {.type = TAR_FILE, .path = (char *)"./bin/tool", .mode = 04751, .uid = 1234, .gid = 4000000000u,
                              .mtime_ns = INT64_C(1600000000123456789), .size = 5, .xattrs = xattrs, .xattr_count = 3};
    struct stat st;
    char value[32];

    add(&tar, TAR_DIRECTORY, "./", NULL);
    add(&tar, TAR_DIRECTORY, "bin/", NULL);
    add_entry(&tar, &entry, "hello");
    add(&tar, TAR_HARD_LINK, "bin/same", "./bin/tool");
    add(&tar, TAR_SYMLINK, "link", "/bin/tool");
    add(&tar, TAR_FIFO, "fifo", NULL);
    entry = (struct tar_entry){.type = TAR_CHARACTER, .path = (char *)"null", .mode = 0666, .major = 1, .minor = 3};
    add_entry(&tar, &entry, NULL);
    entry = (struct tar_entry){.type = TAR_BLOCK, .path = (char *)"disk", .mode = 0660, .major = 259, .minor = 70000, .gid = 6};
    add_entry(&tar, &entry, NULL);
    entry = (struct tar_entry){.type = TAR_DIRECTORY, .path = (char *)"sticky", .mode = 03777, .mtime_ns = INT64_C(-5500000000)};
    add_entry(&tar, &entry, NULL);
    add(&tar, TAR_FILE, "sticky/inside", "x");
    add(&tar, TAR_FILE, "implied/by/me", "y");
    add_end(&tar);
    assert_int_equal(extract_str(place, &tar, ARCHIVE_KEEP_OWNER, &err), 0);

    CLEANUP_FREE char *text = text_of(place, "bin/tool");
    assert_string_equal(text, "hello");
    st = stat_of(place, "bin/tool");
    assert_int_equal(st.st_mode, S_IFREG | 04751);
    assert_int_equal(st.st_uid, 1234);
    assert_int_equal(st.st_gid, 4000000000u);
    assert_int_equal(st.st_nlink, 2);
    assert_int_equal(st.st_mtim.tv_sec, 1600000000);
    assert_int_equal(st.st_mtim.tv_nsec, 123456789);
    CLEANUP_FREE char *full = mem_printf("%s/root/bin/tool", place->dir);
    assert_int_equal(getxattr(full, "user.colour", value, sizeof(value)), 8);
    assert_memory_equal(value, "red\0blue", 8);
    assert_int_equal(getxattr(full, "trusted.overlay.redirect", value, sizeof(value)), -1);
    assert_int_equal(getxattr(full, "trusted.secret", value, sizeof(value)), -1);
    assert_true(S_ISLNK(stat_of(place, "link").st_mode));
    assert_true(S_ISFIFO(stat_of(place, "fifo").st_mode));
    st = stat_of(place, "null");
    assert_true(S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3) && (st.st_mode & 07777) == 0666);
    st = stat_of(place, "disk");
    assert_true(S_ISBLK(st.st_mode) && st.st_rdev == makedev(259, 70000) && st.st_gid == 6);
    st = stat_of(place, "sticky");
    assert_int_equal(st.st_mode, S_IFDIR | 03777);
    assert_int_equal(st.st_mtim.tv_sec, -6); /* set last: the file inside did not move it */
    assert_int_equal(st.st_mtim.tv_nsec, 500000000);
    assert_int_equal(stat_of(place, "implied/by").st_mode, S_IFDIR | 0755);
    check_outside(place);
}

static void test_owner_is_dropped(void **state)
{
    struct place *place = *state;
    CLEANUP_STR struct str tar = STR_INIT;
    struct tar_entry entry = {.type = TAR_FILE, .path = (char *)"f", .mode = 0600, .uid = 5, .gid = 6};

    add_entry(&tar, &entry, NULL);
    add_end(&tar);
    assert_int_equal(extract_str(place, &tar, 0, NULL), 0);
    assert_int_equal(stat_of(place, "f").st_uid, 0);
    assert_int_equal(stat_of(place, "f").st_gid, 0);
}

static void test_names_are_bytes(void **state)
{
    struct place *place = *state;
    CLEANUP_STR struct str tar = STR_INIT;
    /* Composed and decomposed: two files. And what is no UTF-8 at all. */
    static const char *const names[] = {"e\xcc\x81", "\xc3\xa9", "\xff\xfe raw", "with\nnewline", "-rf", " "};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        add(&tar, TAR_FILE, names[i], names[i]);
    add_end(&tar);
    assert_int_equal(extract_str(place, &tar, 0, NULL), 0);
    assert_int_equal(count_entries(place->root_fd, "."), (int)ARRAY_SIZE(names));
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        CLEANUP_FREE char *text = text_of(place, names[i]);
        assert_string_equal(text, names[i]);
    }
}

static void test_long_names(void **state)
{
    struct place *place = *state;
    CLEANUP_STR struct str tar = STR_INIT;
    CLEANUP_STR struct str deep = STR_INIT;
    char name[256];

    memset(name, 'n', 255);
    name[255] = '\0';
    for (int i = 0; i < 12; i++) {
        str_append(&deep, name);
        str_append_char(&deep, '/');
    }
    str_append(&deep, "end");
    add(&tar, TAR_FILE, deep.data, "found");
    add(&tar, TAR_SYMLINK, "link", deep.data);
    /* 100 exactly, and a prefix */
    char hundred[101];
    memset(hundred, 'h', 100);
    hundred[100] = '\0';
    add(&tar, TAR_FILE, hundred, "100");
    CLEANUP_FREE char *prefixed = mem_printf("some/directory/%s", hundred);
    add(&tar, TAR_FILE, prefixed, "prefixed");
    add_end(&tar);
    assert_int_equal(extract_str(place, &tar, 0, NULL), 0);
    CLEANUP_FREE char *text = text_of(place, deep.data);
    assert_string_equal(text, "found");
    CLEANUP_FREE char *second = text_of(place, prefixed);
    assert_string_equal(second, "prefixed");
    assert_int_equal(stat_of(place, "link").st_size, (off_t)deep.length);
    assert_true(exists(place, hundred));
}

static void test_gnu_long_names(void **state)
{
    struct place *place = *state;
    CLEANUP_STR struct str tar = STR_INIT;
    char name[200], target[300], size[13];
    uint8_t block[512];

    memset(name, 'g', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    memset(target, 't', sizeof(target) - 1);
    target[sizeof(target) - 1] = '\0';
    snprintf(size, sizeof(size), "%011zo", sizeof(target));
    raw_header(block, 'K', "././@LongLink", size);
    add_raw(&tar, block);
    add_padded(&tar, target, sizeof(target));
    snprintf(size, sizeof(size), "%011zo", sizeof(name));
    raw_header(block, 'L', "././@LongLink", size);
    add_raw(&tar, block);
    add_padded(&tar, name, sizeof(name));
    raw_header(block, '2', "short", "00000000000");
    memcpy(block + 257, "ustar  ", 8);
    add_raw(&tar, block);
    add_end(&tar);
    assert_int_equal(extract_str(place, &tar, 0, NULL), 0);
    char found[400] = "";
    assert_int_equal(readlinkat(place->root_fd, name, found, sizeof(found)), 299);
    assert_string_equal(found, target);
}

static void test_base256_and_old_directory(void **state)
{
    struct place *place = *state;
    CLEANUP_STR struct str tar = STR_INIT;
    uint8_t block[512];

    raw_header(block, '0', "owned", "00000000000");
    memcpy(block + 108, "\x80\0\0\0\x12\x34\x56\x78", 8);
    memcpy(block + 136, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe", 12); /* -2 */
    add_raw(&tar, block);
    raw_header(block, '\0', "old/", "00000000000");
    memset(block + 257, 0, 8); /* v7 */
    add_raw(&tar, block);
    add_end(&tar);
    assert_int_equal(extract_str(place, &tar, ARCHIVE_KEEP_OWNER, NULL), 0);
    assert_int_equal(stat_of(place, "owned").st_uid, 0x12345678);
    assert_int_equal(stat_of(place, "owned").st_mtim.tv_sec, -2);
    assert_true(S_ISDIR(stat_of(place, "old").st_mode));
}

/* The four ways to write a sparse file of 1 MiB with "AB" at 4096 and "CD" at its end. */
static void check_sparse(struct place *place, const char *name)
{
    struct stat st = stat_of(place, name);
    CLEANUP_FREE char *text = NULL;
    size_t length;

    assert_int_equal(st.st_size, 1 << 20);
    assert_true(st.st_blocks * 512 < 1 << 19);
    assert_int_equal(file_read(place->root_fd, name, 2 << 20, &text, &length), 0);
    assert_memory_equal(text + 4096, "AB", 2);
    assert_memory_equal(text + (1 << 20) - 2, "CD", 2);
    assert_int_equal(text[0] | text[4095] | text[5000], 0);
}

static void test_sparse(void **state)
{
    struct place *place = *state;
    CLEANUP_STR struct str tar = STR_INIT;
    uint8_t block[512];
    CLEANUP_STR struct str pax = STR_INIT;

    raw_header(block, 'S', "gnu", "00000000004");
    memcpy(block + 257, "ustar  ", 8);
    memcpy(block + 386, "00000010000\0" "00000000002\0", 24);
    memcpy(block + 410, "00003777776\0" "00000000002\0", 24);
    memcpy(block + 483, "00004000000", 12);
    add_raw(&tar, block);
    add_padded(&tar, "ABCD", 4);

    static const char *const zero_zero[] = {"GNU.sparse.major=0", "GNU.sparse.minor=0", "GNU.sparse.numblocks=2",
                                            "GNU.sparse.size=1048576", "GNU.sparse.offset=4096", "GNU.sparse.numbytes=2",
                                            "GNU.sparse.offset=1048574", "GNU.sparse.numbytes=2", NULL};
    add_records(&tar, zero_zero);
    raw_header(block, '0', "pax00", "00000000004");
    add_raw(&tar, block);
    add_padded(&tar, "ABCD", 4);

    static const char *const zero_one[] = {"GNU.sparse.size=1048576", "GNU.sparse.map=4096,2,1048574,2",
                                           "GNU.sparse.name=pax01", NULL};
    add_records(&tar, zero_one);
    raw_header(block, '0', "GNUSparseFile.0/x", "00000000004");
    add_raw(&tar, block);
    add_padded(&tar, "ABCD", 4);

    static const char *const one_zero[] = {"GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.name=pax10",
                                           "GNU.sparse.realsize=1048576", NULL};
    add_records(&tar, one_zero);
    raw_header(block, '0', "GNUSparseFile.0/y", "00000001004");
    add_raw(&tar, block);
    char map[512] = "2\n4096\n2\n1048574\n2\n";
    str_append_n(&tar, map, 512);
    add_padded(&tar, "ABCD", 4);
    add(&tar, TAR_FILE, "after", "still in step");
    add_end(&tar);
    struct error err = ERROR_INIT;
    if (extract_str(place, &tar, 0, &err) < 0)
        fail_msg("%s", err.message);
    check_sparse(place, "gnu");
    check_sparse(place, "pax00");
    check_sparse(place, "pax01");
    check_sparse(place, "pax10");
    CLEANUP_FREE char *text = text_of(place, "after");
    assert_string_equal(text, "still in step");
}

static void test_compressions_and_steps(void **state)
{
    static const char *const filters[] = {"none", "gzip", "bzip2", "xz", "zstd"};
    static const size_t steps[] = {0, 1, 511, 513};

    for (size_t i = 0; i < ARRAY_SIZE(filters); i++)
        for (size_t j = 0; j < ARRAY_SIZE(steps); j++) {
            CLEANUP_STR struct str tar = STR_INIT;
            CLEANUP_STR struct str packed = STR_INIT;
            struct archive_result result;
            struct error err = ERROR_INIT;
            char digest[DIGEST_TEXT_MAX];
            struct place place;

            place_make(&place);
            add(&tar, TAR_FILE, "a/b", "contents");
            add_end(&tar);
            compress_with(filters[i], tar.data, tar.length, &packed);
            struct memory memory = {packed.data, packed.length, steps[j], 0};
            if (archive_extract(place.root_fd, "/", from_memory, &memory, ARCHIVE_DIFF_ID, NULL, &result, &err) < 0)
                fail_msg("%s: %s", filters[i], err.message);
            digest_of(tar.data, tar.length, digest);
            assert_string_equal(result.diff_id, digest);
            assert_int_equal(result.stream_bytes, tar.length);
            assert_int_equal(result.bytes, 8);
            assert_int_equal(result.entries, 1);
            CLEANUP_FREE char *text = text_of(&place, "a/b");
            assert_string_equal(text, "contents");
            place_remove(&place);
        }
}

static void test_below_a_path(void **state)
{
    struct place *place = *state;
    CLEANUP_STR struct str tar = STR_INIT;
    struct error err = ERROR_INIT;

    add(&tar, TAR_FILE, "/f", "x");
    add_end(&tar);
    assert_int_equal(mkdirat(place->root_fd, "a", 0700), 0);
    assert_int_equal(symlinkat("/a", place->root_fd, "to-a"), 0);
    assert_int_equal(symlinkat("/../outside", place->root_fd, "out"), 0);
    struct memory memory = {tar.data, tar.length, 0, 0};
    assert_int_equal(archive_extract(place->root_fd, "/to-a", from_memory, &memory, 0, NULL, NULL, NULL), 0);
    assert_true(exists(place, "a/f"));
    memory = (struct memory){tar.data, tar.length, 0, 0};
    assert_int_equal(archive_extract(place->root_fd, "/out", from_memory, &memory, 0, NULL, NULL, &err), -ENOENT);
    memory = (struct memory){tar.data, tar.length, 0, 0};
    assert_int_equal(archive_extract(place->root_fd, "/a/f", from_memory, &memory, 0, NULL, NULL, &err), -EINVAL);
    check_outside(place);
}

static void test_replacing(void **state)
{
    struct place *place = *state;
    CLEANUP_STR struct str tar = STR_INIT;
    CLEANUP_STR struct str over = STR_INIT;
    struct error err = ERROR_INIT;

    add(&tar, TAR_FILE, "file", "1");
    add(&tar, TAR_FILE, "file", "2");            /* twice */
    add(&tar, TAR_FILE, "becomes-dir", "x");
    add(&tar, TAR_DIRECTORY, "becomes-dir/", NULL);
    add(&tar, TAR_FILE, "becomes-dir/in", "y");
    add(&tar, TAR_FILE, "dir/in/deep", "z");
    add(&tar, TAR_FILE, "dir", "was a directory");
    add(&tar, TAR_FILE, "linked", "same");
    add(&tar, TAR_HARD_LINK, "linked", "linked");  /* to itself: still there */
    add_end(&tar);
    assert_int_equal(extract_str(place, &tar, 0, &err), 0);
    CLEANUP_FREE char *text = text_of(place, "file");
    assert_string_equal(text, "2");
    assert_true(exists(place, "becomes-dir/in"));
    assert_true(S_ISREG(stat_of(place, "dir").st_mode));
    assert_true(exists(place, "linked"));

    add(&over, TAR_FILE, "becomes-dir", "no");
    add_end(&over);
    assert_true(extract_str(place, &over, ARCHIVE_NO_OVERWRITE_DIR, &err) < 0);
    assert_non_null(strstr(err.message, "cannot overwrite directory"));
    str_clear(&over);
    add(&over, TAR_DIRECTORY, "file/", NULL);
    add_end(&over);
    assert_true(extract_str(place, &over, ARCHIVE_NO_OVERWRITE_DIR, &err) < 0);
    assert_non_null(strstr(err.message, "cannot overwrite non-directory"));
    assert_true(exists(place, "becomes-dir/in"));
}

static void test_symlinked_parent_stays_inside(void **state)
{
    struct place *place = *state;
    CLEANUP_STR struct str tar = STR_INIT;

    add(&tar, TAR_SYMLINK, "lib", "usr/lib"); /* dangling when its first file comes */
    add(&tar, TAR_FILE, "lib/libc", "c");
    add(&tar, TAR_SYMLINK, "abs", "/usr");
    add(&tar, TAR_FILE, "abs/bin/x", "x");
    add_end(&tar);
    struct error err = ERROR_INIT;
    if (extract_str(place, &tar, ARCHIVE_LAYER, &err) < 0)
        fail_msg("%s", err.message);
    assert_true(exists(place, "usr/lib/libc"));
    assert_true(exists(place, "usr/bin/x"));
    assert_true(S_ISLNK(stat_of(place, "lib").st_mode));
}

static void test_gnu_tar_made_it(void **state)
{
    struct place *place = *state;
    static const char *const formats[] = {"v7", "oldgnu", "gnu", "ustar", "posix"};

    for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
        CLEANUP_FREE char *command = mem_printf(
            "cd %s && rm -rf src root/* && mkdir -p src/d && echo hi > src/d/f && ln src/d/f src/hard && ln -s d src/sym"
            " && truncate -s 3M src/hole && printf end | dd of=src/hole bs=1 seek=2M conv=notrunc status=none"
            " && tar -C src --format=%s %s -cf t.tar .",
            place->dir, formats[i], i == 1 || i == 2 || i == 4 ? "--sparse" : "");
        CLEANUP_FREE char *file = mem_printf("%s/t.tar", place->dir);
        CLEANUP_FREE char *bytes = NULL;
        struct error err = ERROR_INIT;
        size_t length;

        FILE *shell = popen(command, "r"); /* a test of our own files: no hostile name in it */
        assert_int_equal(pclose(shell), 0);
        assert_int_equal(file_read(AT_FDCWD, file, 8 << 20, &bytes, &length), 0);
        if (extract_bytes(place, bytes, length, ARCHIVE_KEEP_OWNER | ARCHIVE_STRICT_END, NULL, NULL, &err) < 0)
            fail_msg("%s: %s", formats[i], err.message);
        assert_int_equal(stat_of(place, "hard").st_nlink, 2);
        assert_int_equal(stat_of(place, "hole").st_size, 3 << 20);
        CLEANUP_FREE char *compare = mem_printf("diff -r %s/src %s/root", place->dir, place->dir);
        shell = popen(compare, "r");
        assert_int_equal(pclose(shell), 0);
    }
    path_remove_tree(place->dir_fd, "src");
    path_remove_tree(place->dir_fd, "t.tar");
    check_outside(place);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_kinds), T(test_owner_is_dropped), T(test_names_are_bytes), T(test_long_names), T(test_gnu_long_names),
        T(test_base256_and_old_directory), T(test_sparse), T(test_compressions_and_steps), T(test_below_a_path),
        T(test_replacing), T(test_symlinked_parent_stays_inside), T(test_gnu_tar_made_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
