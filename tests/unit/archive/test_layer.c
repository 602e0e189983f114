/* test_layer.c - whiteouts, and tars given back byte for byte. */
#include "archive_test.h"

static bool whiteout(const struct place *place, const char *path)
{
    struct stat st = stat_of(place, path);

    return S_ISCHR(st.st_mode) && st.st_rdev == 0;
}

static void test_whiteouts(void **state)
{
    CLEANUP_STR struct str tar = STR_INIT;
    struct error err = ERROR_INIT;
    struct place place;

    place_make(&place);
    add(&tar, TAR_DIRECTORY, "etc", NULL);
    add(&tar, TAR_FILE, "etc/.wh.gone", NULL);
    add(&tar, TAR_FILE, "new/.wh..wh..opq", NULL);
    add(&tar, TAR_FILE, "new/file", "x");
    add(&tar, TAR_FILE, ".wh.first", NULL);      /* then made anew, as a directory */
    add(&tar, TAR_DIRECTORY, "first", NULL);
    add(&tar, TAR_FILE, ".wh.implied", NULL);    /* the same, without an entry for it */
    add(&tar, TAR_FILE, "implied/file", "x");
    add(&tar, TAR_DIRECTORY, "second", NULL);    /* the other way round */
    add(&tar, TAR_FILE, ".wh.second", NULL);
    add(&tar, TAR_FILE, ".wh.file", NULL);
    add(&tar, TAR_FILE, "file", "stays");
    add(&tar, TAR_FILE, "file2", "stays");
    add(&tar, TAR_FILE, ".wh.file2", NULL);
    add(&tar, TAR_FILE, ".wh..wh.plnk/12.34", "aufs");
    add(&tar, TAR_FILE, ".wh.literal/file", "x"); /* a directory called so; packed, it would say another thing */
    add(&tar, TAR_FILE, ".wh..wh.aufs", NULL);
    add_end(&tar);
    if (extract_str(&place, &tar, ARCHIVE_LAYER | ARCHIVE_KEEP_OWNER, &err) < 0)
        fail_msg("%s", err.message);
    assert_true(whiteout(&place, "etc/gone"));
    assert_false(opaque(&place, "etc"));
    assert_true(opaque(&place, "new"));
    assert_true(exists(&place, "new/file"));
    assert_true(S_ISDIR(stat_of(&place, "first").st_mode) && opaque(&place, "first"));
    assert_true(S_ISDIR(stat_of(&place, "implied").st_mode) && opaque(&place, "implied"));
    assert_true(S_ISDIR(stat_of(&place, "second").st_mode) && opaque(&place, "second"));
    CLEANUP_FREE char *first = text_of(&place, "file");
    CLEANUP_FREE char *second = text_of(&place, "file2");
    assert_string_equal(first, "stays");
    assert_string_equal(second, "stays");
    assert_false(exists(&place, ".wh..wh.aufs"));
    assert_false(exists(&place, ".wh..wh.plnk"));
    assert_true(exists(&place, ".wh.literal/file"));

    /* And back. */
    CLEANUP_STR struct str again = STR_INIT;
    assert_int_equal(archive_create(place.root_fd, "/", "", ARCHIVE_LAYER, to_str, &again, &err), 0);
    struct place copy;
    place_make(&copy);
    assert_int_equal(extract_str(&copy, &again, ARCHIVE_LAYER | ARCHIVE_KEEP_OWNER, &err), 0);
    assert_true(whiteout(&copy, "etc/gone"));
    assert_true(opaque(&copy, "new") && opaque(&copy, "first") && opaque(&copy, "implied"));
    assert_false(exists(&copy, "literal") || exists(&copy, ".wh.literal"));
    place_remove(&copy);

    /* Outside a layer these are names like any other. */
    place_make(&copy);
    assert_int_equal(extract_str(&copy, &tar, 0, &err), 0);
    assert_true(S_ISREG(stat_of(&copy, "etc/.wh.gone").st_mode));
    assert_false(exists(&copy, "etc/gone"));
    place_remove(&copy);
    place_remove(&place);
}

/* Extracts, follows the recipe, compares. */
static void round_trip(const struct str *tar, bool expect_exact)
{
    struct memory memory = {tar->data, tar->length, 0, 0};
    CLEANUP_STR struct str again = STR_INIT;
    struct archive_result result;
    struct error err = ERROR_INIT;
    struct place place;

    place_make(&place);
    CLEANUP_CLOSE int recipe = openat(place.dir_fd, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    if (archive_extract_layer(place.root_fd, from_memory, &memory, 0, NULL, recipe, &result, &err) < 0)
        fail_msg("%s", err.message);
    assert_int_equal(result.exact, expect_exact);
    assert_int_equal(result.stream_bytes, tar->length);
    if (expect_exact) {
        if (archive_reassemble(place.root_fd, recipe, to_str, &again, &err) < 0)
            fail_msg("%s", err.message);
        assert_int_equal(again.length, tar->length);
        assert_memory_equal(again.data, tar->data, tar->length);
    }
    place_remove(&place);
}

static void test_recipe(void **state)
{
    CLEANUP_STR struct str tar = STR_INIT;
    CLEANUP_FREE char *big = mem_alloc(300000);
    struct tar_entry entry = {.type = TAR_FILE, .path = (char *)"b\xc3\xadg", .mode = 0600, .size = 300000};

    round_trip(&tar, true); /* no byte at all: Docker has such layers */
    add_end(&tar);
    round_trip(&tar, true);
    str_clear(&tar);

    for (size_t i = 0; i < 300000; i++)
        big[i] = (char)(i * 31 / 7);
    add(&tar, TAR_DIRECTORY, "d/", NULL);
    add(&tar, TAR_FILE, "d/f", "contents");
    add(&tar, TAR_HARD_LINK, "d/h", "d/f");
    add(&tar, TAR_SYMLINK, "lib", "usr/lib");
    add(&tar, TAR_FILE, "lib/through", "a symlink");
    add(&tar, TAR_FILE, ".wh.x", "data of a whiteout"); /* nobody's file: kept raw */
    add_entry(&tar, &entry, big);
    add(&tar, TAR_FILE, "empty", NULL);
    uint8_t block[512];
    raw_header(block, 'S', "sparse", "00000000002");
    memcpy(block + 257, "ustar  ", 8);
    memcpy(block + 386, "00000010000\0" "00000000002\0", 24);
    memcpy(block + 483, "00000020000", 12);
    add_raw(&tar, block);
    add_padded(&tar, "AB", 2);
    add_end(&tar);
    /* Whatever stands behind the end is of the digest, too. */
    for (int i = 0; i < 20; i++)
        add_end(&tar);
    round_trip(&tar, true);

    /* Padding that is not zero, a header's unused bytes that are not, either. */
    str_clear(&tar);
    add(&tar, TAR_FILE, "f", "abc");
    memcpy(tar.data + 512 + 100, "padding", 7);
    add_end(&tar);
    round_trip(&tar, true);
}

static void test_recipe_not_exact(void **state)
{
    CLEANUP_STR struct str tar = STR_INIT;

    add(&tar, TAR_FILE, "f", "first");
    add(&tar, TAR_FILE, "f", "second");
    add_end(&tar);
    round_trip(&tar, false);
    str_clear(&tar);
    add(&tar, TAR_FILE, "d/f", "first");
    add(&tar, TAR_FILE, "d", "file over directory");
    add_end(&tar);
    round_trip(&tar, false);
}

static void test_recipe_damaged(void **state)
{
    CLEANUP_STR struct str tar = STR_INIT;
    struct archive_result result;
    struct error err = ERROR_INIT;
    struct place place;

    place_make(&place);
    add(&tar, TAR_FILE, "f", "contents");
    add_end(&tar);
    struct memory memory = {tar.data, tar.length, 0, 0};
    CLEANUP_CLOSE int recipe = openat(place.dir_fd, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    assert_int_equal(archive_extract_layer(place.root_fd, from_memory, &memory, 0, NULL, recipe, &result, &err), 0);
    CLEANUP_STR struct str again = STR_INIT;
    /* The file shrank; became a symlink to something outside; is gone. */
    assert_int_equal(ftruncate(openat(place.root_fd, "f", O_WRONLY), 3), 0);
    assert_int_equal(archive_reassemble(place.root_fd, recipe, to_str, &again, &err), -EIO);
    assert_int_equal(unlinkat(place.root_fd, "f", 0), 0);
    assert_int_equal(symlinkat("/etc/hostname", place.root_fd, "f"), 0);
    assert_int_equal(archive_reassemble(place.root_fd, recipe, to_str, &again, &err), -EIO);
    assert_int_equal(unlinkat(place.root_fd, "f", 0), 0);
    assert_int_equal(archive_reassemble(place.root_fd, recipe, to_str, &again, &err), -EIO);
    /* The recipe is cut, or noise. */
    off_t length = lseek(recipe, 0, SEEK_END);
    for (off_t n = 0; n < length; n++) {
        assert_int_equal(ftruncate(recipe, length - 1 - n), 0);
        assert_true(archive_reassemble(place.root_fd, recipe, to_str, &again, &err) < 0);
    }
    assert_int_equal(fd_write_all(recipe, "noise noise noise", 17), 0);
    assert_int_equal(archive_reassemble(place.root_fd, recipe, to_str, &again, &err), -EIO);
    place_remove(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whiteouts),
        cmocka_unit_test(test_recipe),
        cmocka_unit_test(test_recipe_not_exact),
        cmocka_unit_test(test_recipe_damaged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
