/* test_hostile.c - archives that mean harm: refused, and nothing outside was touched. */
#include "archive_test.h"

struct hostile {
    const char *name;
    void (*build)(struct str *tar);
    unsigned flags;
    int code;           /* 0: harmless after all, and unpacked inside */
    const char *says;   /* in the message; NULL: whatever */
};

static void dot_dot(struct str *tar) { add(tar, TAR_FILE, "../outside/new", "x"); }
static void dot_dot_inside(struct str *tar) { add(tar, TAR_FILE, "a/../b", "x"); }
static void dot_dot_end(struct str *tar) { add(tar, TAR_DIRECTORY, "a/..", NULL); }
static void root_by_slash(struct str *tar) { add(tar, TAR_DIRECTORY, "/", NULL); }
static void absolute(struct str *tar) { add(tar, TAR_FILE, "/etc/passwd-tabique-test", "x"); }
static void many_slashes(struct str *tar) { add(tar, TAR_FILE, "////./x//y/.", "x"); }

static void symlink_escape(struct str *tar)
{
    add(tar, TAR_SYMLINK, "s", "../outside");
    add(tar, TAR_FILE, "s/new", "x");
}

static void symlink_absolute(struct str *tar)
{
    add(tar, TAR_SYMLINK, "s", "/tmp");
    add(tar, TAR_FILE, "s/tabique-test-escaped", "x");
}

static void symlink_over_file(struct str *tar)
{
    add(tar, TAR_SYMLINK, "canary", "../outside/canary");
    add(tar, TAR_FILE, "canary", "dead");
}

static void symlink_over_directory(struct str *tar)
{
    add(tar, TAR_SYMLINK, "d", "../outside");
    add(tar, TAR_DIRECTORY, "d", NULL);
    add(tar, TAR_FILE, "d/new", "x");
}

static void symlink_chain(struct str *tar)
{
    add(tar, TAR_SYMLINK, "a", "b");
    add(tar, TAR_SYMLINK, "b", "c/../../../outside");
    add(tar, TAR_SYMLINK, "c", "/");
    add(tar, TAR_FILE, "a/new", "x");
}

static void symlink_loop(struct str *tar)
{
    add(tar, TAR_SYMLINK, "a", "b");
    add(tar, TAR_SYMLINK, "b", "a");
    add(tar, TAR_FILE, "a/x", "x");
}

static void symlink_magic(struct str *tar)
{
    add(tar, TAR_SYMLINK, "p", "/proc/self/root/tmp");
    add(tar, TAR_FILE, "p/tabique-test-escaped", "x");
}

static void symlink_empty(struct str *tar) { add(tar, TAR_SYMLINK, "s", ""); }

static void hard_link_dots(struct str *tar) { add(tar, TAR_HARD_LINK, "h", "../outside/canary"); }
static void hard_link_absolute(struct str *tar) { add(tar, TAR_HARD_LINK, "h", "/etc/hostname"); }

static void hard_link_through_symlink(struct str *tar)
{
    add(tar, TAR_SYMLINK, "s", "../outside");
    add(tar, TAR_HARD_LINK, "h", "s/canary");
}

/* CVE-2026-17106: the target itself is a symlink to the outside. */
static void hard_link_to_symlink(struct str *tar)
{
    add(tar, TAR_SYMLINK, "s", "../outside/canary");
    add(tar, TAR_HARD_LINK, "h", "s");
    add(tar, TAR_FILE, "h", "dead");
}

static void hard_link_directory(struct str *tar)
{
    add(tar, TAR_DIRECTORY, "d", NULL);
    add(tar, TAR_HARD_LINK, "h", "d");
}

static void hard_link_empty(struct str *tar) { add(tar, TAR_HARD_LINK, "h", "/"); }
static void hard_link_missing(struct str *tar) { add(tar, TAR_HARD_LINK, "h", "not/there"); }

static void file_as_parent(struct str *tar)
{
    add(tar, TAR_FILE, "f", "x");
    add(tar, TAR_FILE, "f/x", "x");
}

static void fifo_as_parent(struct str *tar)
{
    add(tar, TAR_FIFO, "f", NULL);
    add(tar, TAR_FILE, "f/x", "x");
}

static void root_as_file(struct str *tar) { add(tar, TAR_FILE, "/", "x"); }

static void long_component(struct str *tar)
{
    char name[257];

    memset(name, 'n', 256);
    name[256] = '\0';
    add(tar, TAR_FILE, name, "x");
}

static void deep(struct str *tar)
{
    CLEANUP_STR struct str path = STR_INIT;

    for (int i = 0; i < 3000; i++)
        str_append(&path, "d/");
    add(tar, TAR_DIRECTORY, path.data, NULL);
}

static void whiteout_dot_dot(struct str *tar) { add(tar, TAR_FILE, "a/.wh...", NULL); }
static void whiteout_dot(struct str *tar) { add(tar, TAR_FILE, "a/.wh..", NULL); }
static void whiteout_nothing(struct str *tar) { add(tar, TAR_FILE, "a/.wh.", NULL); }
static void whiteout_meta(struct str *tar) { add(tar, TAR_FILE, ".wh..wh.plnk/../../x", NULL); }
static void whiteout_through(struct str *tar)
{
    add(tar, TAR_SYMLINK, "s", "../outside");
    add(tar, TAR_FILE, "s/.wh.canary", NULL);
}
static void opaque_through(struct str *tar)
{
    add(tar, TAR_SYMLINK, "s", "../outside");
    add(tar, TAR_FILE, "s/.wh..wh..opq", NULL);
}

static void bad_checksum(struct str *tar)
{
    add(tar, TAR_FILE, "f", "x");
    tar->data[0] = 'g';
}

static void garbage(struct str *tar)
{
    for (int i = 0; i < 5000; i++)
        str_append_char(tar, (char)(i * 7 + 3));
}

static void text(struct str *tar) { str_append(tar, "this is not an archive\n"); }

static void cut_data(struct str *tar)
{
    add(tar, TAR_FILE, "f", "some contents");
    tar->length = 512 + 4;
}

static void cut_header(struct str *tar)
{
    add(tar, TAR_FILE, "f", "some contents");
    tar->length = 300;
}

static void cut_pax(struct str *tar)
{
    static const char record[] = "10 path=a\n";

    add_pax(tar, record, strlen(record));
}

static void no_end(struct str *tar) { add(tar, TAR_FILE, "f", "x"); }

static void no_padding(struct str *tar)
{
    add(tar, TAR_FILE, "f", "some contents");
    tar->length = 512 + strlen("some contents");
}

static void header_with(struct str *tar, size_t at, const char *bytes, size_t length)
{
    uint8_t block[512];

    raw_header(block, '0', "f", "00000000000");
    memcpy(block + at, bytes, length);
    add_raw(tar, block);
}

static void negative_size(struct str *tar) { header_with(tar, 124, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12); }
static void huge_size(struct str *tar) { header_with(tar, 124, "\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", 12); }
static void overflow_size(struct str *tar) { header_with(tar, 124, "\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12); }
static void bad_octal(struct str *tar) { header_with(tar, 124, "0000000008x", 12); }
static void bad_mode(struct str *tar) { header_with(tar, 100, "zzzzzzz", 8); }
static void unknown_type(struct str *tar) { header_with(tar, 156, "M", 1); }

static void pax_of(struct str *tar, const char *records)
{
    add_pax(tar, records, strlen(records));
    add(tar, TAR_FILE, "f", "x");
}

static void pax_no_equals(struct str *tar) { pax_of(tar, "7 path\n"); }
static void pax_too_long(struct str *tar) { pax_of(tar, "999 path=a\n"); }
static void pax_zero(struct str *tar) { pax_of(tar, "0 path=a\n"); }
static void pax_no_newline(struct str *tar) { pax_of(tar, "10 path=abc"); }
static void pax_huge_number(struct str *tar) { pax_of(tar, "99999999999999999999999 path=a\n"); }
static void pax_bad_size(struct str *tar) { pax_of(tar, "11 size=-1\n"); }
static void pax_dots(struct str *tar) { pax_of(tar, "26 path=../outside/canary\n"); }
static void pax_nul(struct str *tar)
{
    add_pax(tar, "12 path=a\0b\n", 12);
    add(tar, TAR_FILE, "f", "x");
}
static void pax_large(struct str *tar)
{
    uint8_t block[512];

    raw_header(block, 'x', "PaxHeader", "00010000000");
    add_raw(tar, block);
}

static void sparse_of(struct str *tar, const char *map)
{
    CLEANUP_FREE char *pair = mem_printf("GNU.sparse.map=%s", map);
    const char *const pairs[] = {"GNU.sparse.size=65536", pair, NULL};
    uint8_t block[512];

    add_records(tar, pairs);
    raw_header(block, '0', "f", "00000000004");
    add_raw(tar, block);
    add_padded(tar, "ABCD", 4);
}

static void sparse_overlap(struct str *tar) { sparse_of(tar, "0,2,1,2"); }
static void sparse_outside(struct str *tar) { sparse_of(tar, "65535,4"); }
static void sparse_mismatch(struct str *tar) { sparse_of(tar, "0,2"); }
static void sparse_wraps(struct str *tar) { sparse_of(tar, "9223372036854775807,9223372036854775807"); }

static void behind_the_end(struct str *tar)
{
    char zeros[512] = {0};

    str_append_n(tar, zeros, 512);
    add(tar, TAR_FILE, "f", "x");
}

static void twice_compressed(struct str *tar)
{
    CLEANUP_STR struct str inner = STR_INIT;
    CLEANUP_STR struct str once = STR_INIT;

    add(&inner, TAR_FILE, "f", "x");
    compress_with("gzip", inner.data, inner.length, &once);
    compress_with("gzip", once.data, once.length, tar);
}

static void cut_gzip(struct str *tar)
{
    CLEANUP_STR struct str inner = STR_INIT;

    add(&inner, TAR_FILE, "f", "x");
    add_end(&inner);
    compress_with("gzip", inner.data, inner.length, tar);
    tar->length -= 9;
}

static void cut_zstd(struct str *tar)
{
    CLEANUP_STR struct str inner = STR_INIT;

    add(&inner, TAR_FILE, "f", "x");
    add_end(&inner);
    compress_with("zstd", inner.data, inner.length, tar);
    tar->length -= 5;
}

#define L (ARCHIVE_LAYER | ARCHIVE_KEEP_OWNER)
static const struct hostile cases[] = {
    {"..", dot_dot, 0, EINVAL, "\"..\""},
    {".. in a layer", dot_dot, L, EINVAL, "\"..\""},
    {"a/../b", dot_dot_inside, 0, EINVAL, "\"..\""},
    {"a/..", dot_dot_end, 0, EINVAL, "\"..\""},
    {"absolute name", absolute, 0, 0, NULL}, /* below the root */
    {"absolute name in a layer", absolute, L, EINVAL, "absolute name"},
    {"the root as \"/\" in a layer", root_by_slash, L, 0, NULL},
    {"many slashes", many_slashes, 0, 0, NULL},
    {"symlink to outside as parent", symlink_escape, L, 0, NULL}, /* "../outside" is "/outside" inside */
    {"absolute symlink as parent", symlink_absolute, 0, 0, NULL},
    {"file over symlink", symlink_over_file, 0, 0, NULL},
    {"directory over symlink", symlink_over_directory, 0, 0, NULL},
    {"chain of symlinks", symlink_chain, L, 0, NULL},
    {"loop of symlinks", symlink_loop, 0, EINVAL, "not inside a directory"},
    {"magic link", symlink_magic, 0, 0, NULL},
    {"symlink without target", symlink_empty, 0, EINVAL, "no target"},
    {"hard link with ..", hard_link_dots, 0, EINVAL, "\"..\""},
    {"absolute hard link", hard_link_absolute, 0, EINVAL, "not in the archive"},
    {"absolute hard link in a layer", hard_link_absolute, L, EINVAL, "absolute name"},
    {"hard link through symlink", hard_link_through_symlink, L, EINVAL, "not in the archive"},
    {"hard link to symlink (CVE-2026-17106)", hard_link_to_symlink, L, 0, NULL},
    {"hard link to directory", hard_link_directory, 0, EINVAL, "directory"},
    {"hard link to the root", hard_link_empty, 0, EINVAL, "names no file"},
    {"hard link to nothing", hard_link_missing, L, EINVAL, "not in the archive"},
    {"file as parent", file_as_parent, 0, EINVAL, "not inside a directory"},
    {"fifo as parent", fifo_as_parent, L, EINVAL, "not inside a directory"},
    {"root as file", root_as_file, L, 0, NULL},
    {"component of 256", long_component, 0, EINVAL, "too long"},
    {"path of 6000", deep, 0, EINVAL, "too long"},
    {"whiteout of ..", whiteout_dot_dot, L, EINVAL, "no valid whiteout"},
    {"whiteout of .", whiteout_dot, L, EINVAL, "no valid whiteout"},
    {"whiteout of nothing", whiteout_nothing, L, EINVAL, "no valid whiteout"},
    {"whiteout metadata with ..", whiteout_meta, L, EINVAL, "\"..\""},
    {"whiteout through symlink", whiteout_through, L, 0, NULL},
    {"opaque through symlink", opaque_through, L, 0, NULL},
    {"bad checksum", bad_checksum, 0, EINVAL, "invalid tar header"},
    {"garbage", garbage, 0, EINVAL, NULL},
    {"text", text, 0, EINVAL, "unexpected EOF"},
    {"cut in data", cut_data, 0, EINVAL, "cut short"},
    {"cut in a header", cut_header, 0, EINVAL, "unexpected EOF"},
    {"cut after a pax header", cut_pax, 0, EINVAL, "cut short"},
    {"no end, strict", no_end, ARCHIVE_STRICT_END, EINVAL, "cut short"},
    {"no end, as Go takes it", no_end, 0, 0, NULL},
    {"no padding, as the docker CLI writes it", no_padding, 0, 0, NULL},
    {"no padding, strict", no_padding, ARCHIVE_STRICT_END, EINVAL, "cut short"},
    {"negative size", negative_size, 0, EINVAL, "damaged"},
    {"size of 2^63-1", huge_size, 0, EINVAL, "damaged"},
    {"size over 64 bits", overflow_size, 0, EINVAL, "damaged"},
    {"size that is no octal", bad_octal, 0, EINVAL, "damaged"},
    {"mode that is no octal", bad_mode, 0, EINVAL, "damaged"},
    {"unknown type", unknown_type, 0, EINVAL, "unhandled tar header type 77"},
    {"pax without =", pax_no_equals, 0, EINVAL, "pax"},
    {"pax longer than it is", pax_too_long, 0, EINVAL, "pax"},
    {"pax of length 0", pax_zero, 0, EINVAL, "pax"},
    {"pax without newline", pax_no_newline, 0, EINVAL, "pax"},
    {"pax of huge length", pax_huge_number, 0, EINVAL, "pax"},
    {"pax with negative size", pax_bad_size, 0, EINVAL, "pax"},
    {"pax path with ..", pax_dots, 0, EINVAL, "\"..\""},
    {"pax path with NUL", pax_nul, 0, EINVAL, "pax"},
    {"pax of 2 MiB", pax_large, 0, EINVAL, "too large"},
    {"sparse pieces overlap", sparse_overlap, 0, EINVAL, "overlap"},
    {"sparse piece outside", sparse_outside, 0, EINVAL, "leave"},
    {"sparse pieces and data differ", sparse_mismatch, 0, EINVAL, "do not match"},
    {"sparse piece wraps", sparse_wraps, 0, EINVAL, "leave"},
    {"more behind the end", behind_the_end, 0, EINVAL, "behind its end"},
    {"compressed twice", twice_compressed, 0, EINVAL, "more than once"},
    {"gzip cut short", cut_gzip, 0, EINVAL, "damaged or cut short"},
    {"zstd cut short", cut_zstd, 0, EINVAL, "damaged or cut short"},
};

static void test_cases(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP_STR struct str tar = STR_INIT;
        struct error err = ERROR_INIT;
        struct place place;

        place_make(&place);
        cases[i].build(&tar);
        if (cases[i].code == 0 && cases[i].build != no_end && cases[i].build != no_padding)
            add_end(&tar);
        int r = extract_str(&place, &tar, cases[i].flags, &err);
        if (r != -cases[i].code)
            fail_msg("%s: %d (%s), expected %d", cases[i].name, r, err.message, -cases[i].code);
        if (r < 0 && (err.message[0] == '\0' || (cases[i].says && !strstr(err.message, cases[i].says))))
            fail_msg("%s: says \"%s\"", cases[i].name, err.message);
        check_outside(&place);
        place_remove(&place);
    }
    assert_int_equal(access("/tmp/tabique-test-escaped", F_OK), -1);
    assert_int_equal(access("/etc/passwd-tabique-test", F_OK), -1);
}

/* --- bombs ------------------------------------------------------------------------ */

static void test_ratio(void **state)
{
    /* 600 MiB of zeros in a few KB of zstd; the default limits. */
    CLEANUP_STR struct str packed = STR_INIT;
    CLEANUP_FREE char *zeros = calloc(1, 600 << 20);
    struct error err = ERROR_INIT;
    struct place place;
    uint8_t block[512];
    CLEANUP_STR struct str head = STR_INIT;

    raw_header(block, '0', "bomb", "05000000000");
    add_raw(&head, block);
    memcpy(zeros, head.data, 512);
    compress_with("zstd", zeros, 600 << 20, &packed);
    place_make(&place);
    assert_int_equal(extract_bytes(&place, packed.data, packed.length, 0, NULL, NULL, &err), -EFBIG);
    assert_non_null(strstr(err.message, "bomb"));
    place_remove(&place);
}

static void test_bytes_and_entries(void **state)
{
    CLEANUP_STR struct str tar = STR_INIT;
    struct archive_limits few_bytes = {.max_bytes = 100000}, few_entries = {.max_entries = 10};
    CLEANUP_FREE char *data = mem_alloc(60000);
    struct tar_entry entry = {.type = TAR_FILE, .path = (char *)"big", .size = 60000};
    struct error err = ERROR_INIT;
    struct place place;
    uint8_t block[512];

    place_make(&place);
    add_entry(&tar, &entry, data);
    entry.path = (char *)"bigger";
    add_entry(&tar, &entry, data);
    add_end(&tar);
    assert_int_equal(extract_bytes(&place, tar.data, tar.length, 0, &few_bytes, NULL, &err), -EFBIG);
    assert_int_equal(extract_bytes(&place, tar.data, tar.length, 0, NULL, NULL, &err), 0);

    str_clear(&tar);
    for (int i = 0; i < 11; i++) {
        char name[16];
        snprintf(name, sizeof(name), "e%d", i);
        add(&tar, TAR_FILE, name, NULL);
    }
    add_end(&tar);
    assert_int_equal(extract_bytes(&place, tar.data, tar.length, 0, &few_entries, NULL, &err), -EFBIG);
    assert_non_null(strstr(err.message, "entries"));

    /* A file that claims more than it may, before a byte of it is read. */
    str_clear(&tar);
    raw_header(block, '0', "claims", "00004000000");
    add_raw(&tar, block);
    assert_int_equal(extract_bytes(&place, tar.data, tar.length, 0, &few_bytes, NULL, &err), -EFBIG);
    /* Holes count: a sparse petabyte is one, too. */
    str_clear(&tar);
    static const char *const pairs[] = {"GNU.sparse.size=1125899906842624", "GNU.sparse.map=0,4", NULL};
    add_records(&tar, pairs);
    raw_header(block, '0', "hole", "00000000004");
    add_raw(&tar, block);
    add_padded(&tar, "ABCD", 4);
    assert_int_equal(extract_bytes(&place, tar.data, tar.length, 0, NULL, NULL, &err), -EFBIG);
    check_outside(&place);
    place_remove(&place);
}

static void test_source_fails(void **state)
{
    CLEANUP_STR struct str tar = STR_INIT;
    struct error err = ERROR_INIT;
    struct place place;

    place_make(&place);
    add(&tar, TAR_FILE, "f", "x");
    struct memory memory = {tar.data, tar.length, 0, EPIPE};
    assert_int_equal(archive_extract(place.root_fd, "/", from_memory, &memory, 0, NULL, NULL, &err), -EPIPE);
    place_remove(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_ratio),
        cmocka_unit_test(test_bytes_and_entries),
        cmocka_unit_test(test_source_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
