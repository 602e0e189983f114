/* archive_test.h - tars made in memory, and a root with something outside to lose. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "archive/archive.h"
#include "archive/digest.h"
#include "archive/tar.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "tabique/error.h"

#define UNUSED __attribute__((unused))

/* --- tars -------------------------------------------------------------------- */
static UNUSED int to_str(void *user, const void *data, size_t length)
{
    str_append_n(user, data, length);
    return 0;
}

static UNUSED void add_entry(struct str *tar, const struct tar_entry *entry, const void *data)
{
    struct tar_writer writer = {.write = to_str, .user = tar};

    assert_int_equal(tar_write_entry(&writer, entry), 0);
    if (data)
        assert_int_equal(tar_write_data(&writer, data, entry->size), 0);
    assert_int_equal(tar_write_close(&writer), 0);
}

static UNUSED void add(struct str *tar, enum tar_type type, const char *path, const char *text)
{
    bool link = type == TAR_SYMLINK || type == TAR_HARD_LINK;
    struct tar_entry entry = {
        .type = type,
        .path = (char *)path,
        .link = link ? (char *)text : NULL,
        .mode = type == TAR_DIRECTORY ? 0755 : 0644,
        .size = type == TAR_FILE && text ? strlen(text) : 0,
        .mtime_ns = INT64_C(1700000000) * 1000000000,
    };

    add_entry(tar, &entry, link ? NULL : text);
}

static UNUSED void add_end(struct str *tar)
{
    char zeros[1024] = {0};

    str_append_n(tar, zeros, sizeof(zeros));
}

/* A header of which every byte can be chosen; the checksum comes last. */
static UNUSED void raw_header(uint8_t *block, char flag, const char *name, const char *size_text)
{
    memset(block, 0, 512);
    memcpy(block, name, strlen(name) < 100 ? strlen(name) : 100);
    memcpy(block + 100, "0000644", 8);
    memcpy(block + 108, "0000000", 8);
    memcpy(block + 116, "0000000", 8);
    memcpy(block + 124, size_text, 12);
    memcpy(block + 136, "14500000000", 12);
    block[156] = (uint8_t)flag;
    memcpy(block + 257, "ustar\00000", 8);
}

static UNUSED void add_raw(struct str *tar, uint8_t *block)
{
    unsigned sum = 0;
    char text[8];

    memset(block + 148, ' ', 8);
    for (int i = 0; i < 512; i++)
        sum += block[i];
    snprintf(text, sizeof(text), "%06o", sum);
    memcpy(block + 148, text, 7);
    str_append_n(tar, block, 512);
}

static UNUSED void add_padded(struct str *tar, const void *data, size_t length)
{
    static const char zeros[512];

    str_append_n(tar, data, length);
    str_append_n(tar, zeros, -length & 511);
}

static UNUSED void add_pax(struct str *tar, const void *records, size_t length)
{
    uint8_t block[512];
    char size[13];

    snprintf(size, sizeof(size), "%011zo", length);
    raw_header(block, 'x', "PaxHeader", size);
    add_raw(tar, block);
    add_padded(tar, records, length);
}

/* "key=value" with the length that counts itself. */
static UNUSED void add_record(struct str *records, const char *pair)
{
    size_t rest = strlen(pair) + 2, total = rest;
    char digits[24];

    do
        total = rest + (size_t)snprintf(digits, sizeof(digits), "%zu", total);
    while (total != rest + strlen(digits) || (size_t)strtoul(digits, NULL, 10) != total);
    str_printf(records, "%zu %s\n", total, pair);
}

static UNUSED void add_records(struct str *tar, const char *const *pairs)
{
    CLEANUP_STR struct str records = STR_INIT;

    for (; *pairs; pairs++)
        add_record(&records, *pairs);
    add_pax(tar, records.data, records.length);
}

static UNUSED la_ssize_t filter_out(struct archive *a, void *user, const void *data, size_t length)
{
    str_append_n(user, data, length);
    return (la_ssize_t)length;
}

/* gzip, bzip2, xz, zstd: by libarchive's name. */
static UNUSED void compress_with(const char *filter, const void *data, size_t length, struct str *out)
{
    struct archive *a = archive_write_new();
    struct archive_entry *entry = archive_entry_new();

    if (strcmp(filter, "none") != 0)
        assert_int_equal(archive_write_add_filter_by_name(a, filter), ARCHIVE_OK);
    assert_int_equal(archive_write_set_format_raw(a), ARCHIVE_OK);
    archive_write_set_bytes_per_block(a, 0);
    assert_int_equal(archive_write_open(a, out, NULL, filter_out, NULL), ARCHIVE_OK);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_pathname(entry, "data");
    assert_int_equal(archive_write_header(a, entry), ARCHIVE_OK);
    assert_int_equal(archive_write_data(a, data, length), (la_ssize_t)length);
    assert_int_equal(archive_write_close(a), ARCHIVE_OK);
    archive_entry_free(entry);
    archive_write_free(a);
}

/* --- sources ------------------------------------------------------------------- */
struct memory {
    const char *data;
    size_t left;
    size_t step; /* 0: all at once */
    int fail_with; /* at the end, instead of 0 */
};

static UNUSED ssize_t from_memory(void *user, void *buffer, size_t size)
{
    struct memory *memory = user;
    size_t n = memory->left < size ? memory->left : size;

    if (memory->step && n > memory->step)
        n = memory->step;
    if (n == 0)
        return -memory->fail_with;
    memcpy(buffer, memory->data, n);
    memory->data += n;
    memory->left -= n;
    return (ssize_t)n;
}

/* --- places ----------------------------------------------------------------------- */
struct place {
    char dir[64];
    int dir_fd, root_fd;
};

/* Places of tests that failed half-way go at the end. */
static char places_left[16][64];

static UNUSED void remove_places_left(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(places_left); i++)
        if (places_left[i][0])
            path_remove_tree(AT_FDCWD, places_left[i]);
}

static UNUSED void remember_place(const char *dir, bool made)
{
    static bool registered;

    if (!registered)
        registered = atexit(remove_places_left) == 0;
    for (size_t i = 0; i < ARRAY_SIZE(places_left); i++) {
        if (strcmp(places_left[i], made ? "" : dir) != 0)
            continue;
        snprintf(places_left[i], sizeof(places_left[i]), "%s", made ? dir : "");
        return;
    }
}

static UNUSED void place_make(struct place *place)
{
    strcpy(place->dir, "/tmp/tabique-test-XXXXXX");
    assert_non_null(mkdtemp(place->dir));
    remember_place(place->dir, true);
    place->dir_fd = open(place->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(mkdirat(place->dir_fd, "root", 0755), 0);
    place->root_fd = openat(place->dir_fd, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(mkdirat(place->dir_fd, "outside", 0755), 0);
    int fd = openat(place->dir_fd, "outside/canary", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(fd_write_all(fd, "alive", 5), 0);
    close(fd);
}

static UNUSED void place_remove(struct place *place)
{
    close(place->root_fd);
    close(place->dir_fd);
    assert_int_equal(path_remove_tree(AT_FDCWD, place->dir), 0);
    remember_place(place->dir, false);
}

static UNUSED int count_entries(int at, const char *path)
{
    DIR *dir = fdopendir(openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct dirent *entry;
    int count = -2;

    assert_non_null(dir);
    while ((entry = readdir(dir)))
        count += !str_ends(entry->d_name, ".tmp"); /* a state file being written at this moment */
    closedir(dir);
    return count;
}

/* Nothing outside the root was made, changed or linked. */
static UNUSED void check_outside(const struct place *place)
{
    CLEANUP_FREE char *text = NULL;
    struct stat st;

    assert_int_equal(count_entries(place->dir_fd, "."), 2);
    assert_int_equal(count_entries(place->dir_fd, "outside"), 1);
    assert_int_equal(fstatat(place->dir_fd, "outside/canary", &st, AT_SYMLINK_NOFOLLOW), 0);
    assert_int_equal(st.st_nlink, 1);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(file_read(place->dir_fd, "outside/canary", 100, &text, NULL), 0);
    assert_string_equal(text, "alive");
}

static UNUSED char *text_of(const struct place *place, const char *path)
{
    char *text = NULL;

    assert_int_equal(file_read(place->root_fd, path, 1 << 20, &text, NULL), 0);
    return text;
}

static UNUSED struct stat stat_of(const struct place *place, const char *path)
{
    struct stat st;

    if (fstatat(place->root_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
        fail_msg("%s is missing", path);
    return st;
}

static UNUSED bool exists(const struct place *place, const char *path)
{
    struct stat st;

    return fstatat(place->root_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static UNUSED int extract_bytes(const struct place *place, const void *data, size_t length, unsigned flags,
                                const struct archive_limits *limits, struct archive_result *result, struct error *err)
{
    struct memory memory = {data, length, 0, 0};

    return archive_extract(place->root_fd, "/", from_memory, &memory, flags, limits, result, err);
}

static UNUSED int extract_str(const struct place *place, const struct str *tar, unsigned flags, struct error *err)
{
    return extract_bytes(place, tar->data, tar->length, flags, NULL, NULL, err);
}

static UNUSED bool opaque(const struct place *place, const char *path)
{
    CLEANUP_FREE char *full = mem_printf("%s/root/%s", place->dir, path);
    char value[4];

    return lgetxattr(full, "trusted.overlay.opaque", value, sizeof(value)) == 1 && value[0] == 'y';
}
