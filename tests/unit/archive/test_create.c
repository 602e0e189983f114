/* test_create.c - packing trees, looking at files, telling changes. */
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

static void put(const struct place *place, const char *path, const char *text)
{
    CLEANUP_FREE char *directory = path_dir(path);
    CLEANUP_CLOSE int parent = path_mkdir_in(place->root_fd, directory, 0755);
    CLEANUP_CLOSE int fd = openat(place->root_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    assert_true(parent >= 0 && fd >= 0);
    assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
}

/* The names in a tar, one a line. */
static char *names_in(const struct str *tar)
{
    struct memory memory = {tar->data, tar->length, 0, 0};
    CLEANUP_STR struct str out = STR_INIT;
    struct place place;

    place_make(&place);
    CLEANUP_FREE char *file = mem_printf("%s/t.tar", place.dir);
    CLEANUP_CLOSE int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(fd_write_all(fd, memory.data, memory.left), 0);
    CLEANUP_FREE char *command = mem_printf("tar -tf %s --quoting-style=literal", file);
    FILE *list = popen(command, "r");
    char line[4200];
    while (fgets(line, sizeof(line), list))
        str_append(&out, line);
    assert_int_equal(pclose(list), 0);
    place_remove(&place);
    return str_take(&out);
}

static void check_names(const struct place *place, const char *path, const char *name, unsigned flags, const char *expected)
{
    CLEANUP_STR struct str tar = STR_INIT;
    struct error err = ERROR_INIT;

    if (archive_create(place->root_fd, path, name, flags, to_str, &tar, &err) < 0)
        fail_msg("%s: %s", path, err.message);
    CLEANUP_FREE char *names = names_in(&tar);
    assert_string_equal(names, expected);
}

static void test_names(void **state)
{
    struct place *place = *state;

    put(place, "d/b", "2");
    put(place, "d/a", "1");
    put(place, "d/sub/c", "3");
    assert_int_equal(symlinkat("/d", place->root_fd, "link"), 0);
    assert_int_equal(symlinkat("../outside", place->root_fd, "out"), 0);
    check_names(place, "/d", "d", 0, "d/\nd/a\nd/b\nd/sub/\nd/sub/c\n");
    check_names(place, "/d", "renamed", 0, "renamed/\nrenamed/a\nrenamed/b\nrenamed/sub/\nrenamed/sub/c\n");
    check_names(place, "/d/.", ".", 0, "./\n./a\n./b\n./sub/\n./sub/c\n");
    check_names(place, "/d", "", 0, "a\nb\nsub/\nsub/c\n");
    check_names(place, "d/sub/c", "c", 0, "c\n");
    check_names(place, "/link", "link", 0, "link\n");
    check_names(place, "/link/", "link", 0, "link/\nlink/a\nlink/b\nlink/sub/\nlink/sub/c\n");
    check_names(place, "/link/.", "", 0, "a\nb\nsub/\nsub/c\n");
    check_names(place, "/link", "link", ARCHIVE_FOLLOW, "link/\nlink/a\nlink/b\nlink/sub/\nlink/sub/c\n");
    check_names(place, "/", "", 0, "d/\nd/a\nd/b\nd/sub/\nd/sub/c\nlink\nout\n");

    struct error err = ERROR_INIT;
    CLEANUP_STR struct str tar = STR_INIT;
    assert_int_equal(archive_create(place->root_fd, "/nothing", "x", 0, to_str, &tar, &err), -ENOENT);
    assert_int_equal(archive_create(place->root_fd, "/out/canary", "x", 0, to_str, &tar, &err), -ENOENT);
    assert_int_equal(archive_create(place->root_fd, "/../../outside/canary", "x", 0, to_str, &tar, &err), -ENOENT);
    assert_int_equal(archive_create(place->root_fd, "/d/a/", "x", 0, to_str, &tar, &err), -ENOENT);
}

static int fails(void *user, const void *data, size_t length)
{
    return -EPIPE;
}

/* What is packed comes out the same; twice gives the same bytes. */
static void test_there_and_back(void **state)
{
    struct place *place = *state;
    CLEANUP_STR struct str tar = STR_INIT;
    CLEANUP_STR struct str second = STR_INIT;
    struct error err = ERROR_INIT;
    struct place copy;
    char name[256];

    put(place, "f", "text");
    assert_int_equal(linkat(place->root_fd, "f", place->root_fd, "z-hard", 0), 0);
    assert_int_equal(fchownat(place->root_fd, "f", 3000000000u, 77, 0), 0);
    assert_int_equal(fchmodat(place->root_fd, "f", 06755, 0), 0);
    CLEANUP_FREE char *full = mem_printf("%s/root/f", place->dir);
    assert_int_equal(setxattr(full, "user.a", "b", 1, 0), 0);
    struct timespec times[2] = {{1234567890, 987654321}, {1234567890, 987654321}};
    assert_int_equal(utimensat(place->root_fd, "f", times, 0), 0);
    memset(name, 'x', 255);
    name[255] = '\0';
    put(place, name, "long");
    put(place, "\xc3\xa9", "composed");
    put(place, "e\xcc\x81", "decomposed");
    assert_int_equal(mkfifoat(place->root_fd, "fifo", 0600), 0);
    assert_int_equal(mknodat(place->root_fd, "sock", S_IFSOCK | 0600, 0), 0);
    assert_int_equal(mknodat(place->root_fd, "null", S_IFCHR | 0666, makedev(1, 3)), 0);
    assert_int_equal(archive_create(place->root_fd, "/", "", 0, to_str, &tar, &err), 0);
    assert_int_equal(archive_create(place->root_fd, "/", "", 0, to_str, &second, &err), 0);
    assert_int_equal(tar.length, second.length);
    assert_memory_equal(tar.data, second.data, tar.length);

    place_make(&copy);
    assert_int_equal(extract_str(&copy, &tar, ARCHIVE_KEEP_OWNER | ARCHIVE_STRICT_END, &err), 0);
    struct stat st = stat_of(&copy, "f");
    assert_int_equal(st.st_uid, 3000000000u);
    assert_int_equal(st.st_mode & 07777, 06755);
    assert_int_equal(st.st_nlink, 2);
    assert_int_equal(st.st_mtim.tv_nsec, 987654321);
    assert_true(exists(&copy, name) && exists(&copy, "\xc3\xa9") && exists(&copy, "e\xcc\x81"));
    assert_false(exists(&copy, "sock"));
    assert_int_equal(stat_of(&copy, "null").st_rdev, makedev(1, 3));
    CLEANUP_FREE char *copied = mem_printf("%s/root/f", copy.dir);
    char value[4];
    assert_int_equal(getxattr(copied, "user.a", value, sizeof(value)), 1);
    place_remove(&copy);
    assert_int_equal(archive_create(place->root_fd, "/", "", 0, fails, NULL, &err), -EPIPE);
}

static void test_deep(void **state)
{
    struct place *place = *state;
    CLEANUP_STR struct str tar = STR_INIT;
    struct error err = ERROR_INIT;
    CLEANUP_CLOSE int fd = openat(place->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    for (int i = 0; i < 500; i++) {
        assert_int_equal(mkdirat(fd, "d", 0755), 0);
        int next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        close(fd);
        fd = next;
        int file = openat(fd, "e", O_WRONLY | O_CREAT | O_CLOEXEC, 0600); /* behind the subdirectory */
        close(file);
    }
    assert_int_equal(archive_create(place->root_fd, "/", "", 0, to_str, &tar, &err), 0);
    assert_true(tar.length > 1000 * 512);
    for (int i = 0; i < 2000; i++) {
        assert_int_equal(mkdirat(fd, "d", 0755), 0);
        int next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        close(fd);
        fd = next;
    }
    assert_true(archive_create(place->root_fd, "/", "", 0, to_str, &tar, &err) < 0);
}

static void test_stat(void **state)
{
    struct place *place = *state;
    struct archive_stat st;
    struct error err = ERROR_INIT;
    static const struct {
        const char *path, *name, *target;
        mode_t kind;
    } cases[] = {
        {"/d/f", "f", "", S_IFREG},          {"d", "d", "", S_IFDIR},
        {"/d/", "d", "", S_IFDIR},           {"/", "/", "", S_IFDIR},
        {"/abs", "abs", "/d/f", S_IFLNK},    {"/rel", "rel", "/d/f", S_IFLNK},
        {"/chain", "chain", "/d/f", S_IFLNK}, {"/out", "out", "/outside", S_IFLNK},
        {"/dir/", "dir", "", S_IFDIR},       {"/dir/f", "f", "", S_IFREG},
        {"/dangling", "dangling", "/no/where", S_IFLNK}, {"/../../d/f", "f", "", S_IFREG},
    };

    put(place, "d/f", "12345");
    static const char *const links[][2] = {{"/d/f", "abs"}, {"d/f", "rel"}, {"abs", "chain"}, {"../outside", "out"},
                                           {"d", "dir"},    {"no/./where", "dangling"}};
    for (size_t i = 0; i < ARRAY_SIZE(links); i++)
        assert_int_equal(symlinkat(links[i][0], place->root_fd, links[i][1]), 0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        if (archive_stat(place->root_fd, cases[i].path, &st, &err) < 0)
            fail_msg("%s: %s", cases[i].path, err.message);
        assert_string_equal(st.name, cases[i].name);
        assert_string_equal(st.link_target, cases[i].target);
        assert_int_equal(st.mode & S_IFMT, cases[i].kind);
        if (strcmp(cases[i].path, "/d/f") == 0)
            assert_int_equal(st.size, 5);
        free(st.name);
        free(st.link_target);
    }
    assert_int_equal(archive_stat(place->root_fd, "/nope", &st, &err), -ENOENT);
    assert_int_equal(archive_stat(place->root_fd, "/d/f/x", &st, &err), -ENOENT);
    assert_int_equal(archive_stat(place->root_fd, "/out/canary", &st, &err), -ENOENT);
}

/* --- list -------------------------------------------------------------------------- */

static int to_listing(void *user, const struct archive_entry *entry)
{
    str_printf(user, "%s|%s|%o|%o|%lld\n", entry->name, entry->link, entry->mode & S_IFMT, entry->target_mode & S_IFMT,
               S_ISREG(entry->mode) ? (long long)entry->size : 0);
    return 0;
}

static int to_bytes(void *user, const struct archive_entry *entry)
{
    archive_entry_put(user, entry);
    return 0;
}

static void test_list(void **state)
{
    struct place *place = *state;
    CLEANUP_STR struct str text = STR_INIT;
    CLEANUP_STR struct str bytes = STR_INIT;
    CLEANUP_STR struct str again = STR_INIT;
    struct error err = ERROR_INIT;
    struct archive_entry entry;

    put(place, "d/f", "12345");
    assert_int_equal(symlinkat("/d", place->root_fd, "d/up"), 0);
    assert_int_equal(symlinkat("../../outside", place->root_fd, "d/out"), 0);
    assert_int_equal(mkfifoat(place->root_fd, "d/pipe", 0600), 0);
    assert_int_equal(archive_list(place->root_fd, "/d", to_listing, &text, &err), 0);
    for (size_t i = 0; i < 4; i++) {
        static const char *const lines[] = {"f||100000|0|5\n", "up|/d|120000|40000|0\n", "out|../../outside|120000|0|0\n", "pipe||10000|0|0\n"};
        assert_non_null(strstr(text.data, lines[i]));
    }
    assert_int_equal(archive_list(place->root_fd, "/d/f", to_listing, &text, &err), -EINVAL);
    assert_int_equal(archive_list(place->root_fd, "/d/nope", to_listing, &text, &err), -ENOENT);
    assert_int_equal(archive_list(place->root_fd, "/d/out", to_listing, &text, &err), -ENOENT);

    assert_int_equal(archive_list(place->root_fd, "/d", to_bytes, &bytes, &err), 0);
    const char *at = bytes.data, *end = at + bytes.length;
    while (at < end) {
        assert_int_equal(archive_entry_take(&at, end, &entry), 0);
        to_listing(&again, &entry);
    }
    assert_string_equal(again.data, text.data);
    /* Cut short anywhere, the last record is refused, not read over. */
    for (size_t cut = 1; cut < 8; cut++) {
        CLEANUP_FREE char *copy = mem_alloc(bytes.length - cut);
        memcpy(copy, bytes.data, bytes.length - cut);
        int r = 0;
        for (at = copy, end = at + bytes.length - cut; r == 0 && at < end;)
            r = archive_entry_take(&at, end, &entry);
        assert_int_equal(r, -EBADMSG);
    }
    static const struct {
        const char *data;
        size_t size;
    } bad[] = {
#define BAD(text) {text, sizeof(text)}
        BAD("100644 0 0 0 5 0 a/b\0"), BAD("100644 0 0 0 5 0 \0"), BAD("100644 0 0 0 -5 0 a\0"), BAD("nonsense\0"),
        BAD("100644 0 0 0 99999999999999999999 0 a\0"), BAD("100644 0 0 0 5\0a\0"), BAD("100644 0 0 0 5 0 a"),
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        at = bad[i].data;
        assert_int_equal(archive_entry_take(&at, bad[i].data + bad[i].size, &entry), -EBADMSG);
        assert_ptr_equal(at, bad[i].data);
    }
}

/* --- changes ------------------------------------------------------------------------- */

static int to_lines(void *user, const char *path, enum archive_change kind)
{
    str_printf(user, "%c %s\n", "CAD"[kind], path);
    return 0;
}

static void test_changes(void **state)
{
    struct place *lower = *state;
    struct place upper;
    CLEANUP_STR struct str lines = STR_INIT;
    struct error err = ERROR_INIT;
    struct timespec times[2] = {{1000, 0}, {1000, 0}};

    place_make(&upper);
    put(lower, "etc/same", "x");
    put(lower, "etc/changed", "x");
    put(lower, "etc/gone", "x");
    put(lower, "var/lib/kept", "x");
    put(lower, "replaced/old", "x");
    put(lower, "replaced/both", "x");
    put(lower, "file", "x");
    put(&upper, "etc/changed", "y");
    put(&upper, "etc/new/file", "y");
    put(&upper, "var/lib/added", "y");
    put(&upper, "replaced/both", "y");
    put(&upper, "file/now/dir", "y");
    assert_int_equal(mknodat(upper.root_fd, "etc/gone", S_IFCHR, 0), 0);
    assert_int_equal(mknodat(upper.root_fd, "etc/never-was", S_IFCHR, 0), 0);
    CLEANUP_FREE char *replaced = mem_printf("%s/root/replaced", upper.dir);
    assert_int_equal(setxattr(replaced, "trusted.overlay.opaque", "y", 1, 0), 0);
    /* var is only on the way; its time did not change. */
    utimensat(lower->root_fd, "var", times, 0);
    utimensat(upper.root_fd, "var", times, 0);
    utimensat(lower->root_fd, "var/lib", times, 0);
    utimensat(upper.root_fd, "var/lib", times, 0);
    utimensat(lower->root_fd, "etc", times, 0);
    utimensat(lower->root_fd, "replaced", times, 0);
    assert_int_equal(archive_changes(upper.root_fd, lower->root_fd, to_lines, &lines, &err), 0);
    assert_string_equal(lines.data, "C /etc\nC /etc/changed\nD /etc/gone\nA /etc/new\nA /etc/new/file\n"
                                    "C /file\nA /file/now\nA /file/now/dir\n"
                                    "C /replaced\nC /replaced/both\nD /replaced/old\n"
                                    "C /var/lib\nA /var/lib/added\n");
    place_remove(&upper);
}

static void test_digest(void **state)
{
    char digest[DIGEST_TEXT_MAX];

    digest_of("abc", 3, digest);
    assert_string_equal(digest, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_true(digest_valid(digest));
    static const char *const bad[] = {"", "sha256:", "sha256:ABCD", "sha512:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                                      "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015aD",
                                      "sha256:../../../../../../../../../../../../../../../../etc/passwd.......",
                                      "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad0"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(digest_valid(bad[i]));
    assert_false(digest_valid(NULL));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_names), T(test_there_and_back), T(test_deep), T(test_stat), T(test_list), T(test_changes), T(test_digest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
