/* tar_read.c - the tar reader. Owner: archive.
 *
 * Hostile input: every number is checked before it is used, every list has an
 * end, and an entry's header is complete before anybody sees it.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "archive/stream.h"
#include "archive/tar.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"
#include "tabique/error.h"

struct tar_reader {
    struct archive_stream *stream;
    const uint8_t *at; /* rest of the stream's current block */
    size_t left;
    uint64_t payload;  /* data of the current entry still in the stream */
    unsigned padding;
    bool claimed;
    bool ended;
    bool marker;       /* the end marker was seen */
    tar_tap_fn *tap;
    void *tap_user;
    struct tar_entry entry;
    struct tar_extent *extents;
    size_t extent_count, extent;
    uint64_t extent_done;
};

/* What pax records and GNU long-name headers say of the next entry. */
struct extras {
    char *path, *link;
    bool has_size, has_uid, has_gid, has_mtime;
    uint64_t size;
    uint32_t uid, gid;
    int64_t mtime_ns;
    struct tar_xattr *xattrs;
    size_t xattr_count;
    /* GNU.sparse.* */
    int64_t sparse_major, sparse_minor; /* -1: absent */
    char *sparse_name;
    bool has_real_size;
    uint64_t real_size;
    struct tar_extent *extents;
    size_t extent_count;
    bool sparse;
    bool expect_length; /* 0.0: an offset waits for its numbytes */
    char *gnu_path, *gnu_link;
};

static void xattrs_free(struct tar_xattr *xattrs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(xattrs[i].name);
        free(xattrs[i].value);
    }
    free(xattrs);
}

static void extras_clear(struct extras *extras)
{
    free(extras->path);
    free(extras->link);
    free(extras->sparse_name);
    free(extras->gnu_path);
    free(extras->gnu_link);
    free(extras->extents);
    xattrs_free(extras->xattrs, extras->xattr_count);
    *extras = (struct extras){.sparse_major = -1, .sparse_minor = -1};
}

static void entry_clear(struct tar_reader *reader)
{
    free(reader->entry.path);
    free(reader->entry.link);
    xattrs_free(reader->entry.xattrs, reader->entry.xattr_count);
    reader->entry = (struct tar_entry){0};
    free(reader->extents);
    reader->extents = NULL;
    reader->extent_count = reader->extent = 0;
    reader->extent_done = 0;
    reader->claimed = false;
}

struct tar_reader *tar_reader_new(struct archive_stream *stream)
{
    struct tar_reader *reader = mem_new(struct tar_reader);

    reader->stream = stream;
    return reader;
}

void tar_reader_freep(struct tar_reader **readerp)
{
    if (!*readerp)
        return;
    entry_clear(*readerp);
    free(*readerp);
    *readerp = NULL;
}

void tar_set_tap(struct tar_reader *reader, tar_tap_fn *tap, void *user)
{
    reader->tap = tap;
    reader->tap_user = user;
}

/* --- bytes ------------------------------------------------------------------- */

static int damaged(struct error *err, const char *what)
{
    return error_set(err, EINVAL, "the archive is damaged: %s", what);
}

static int cut_short(struct error *err)
{
    return error_set(err, EINVAL, "the archive is cut short");
}

/* 1 and at most max bytes of the stream; 0 at its end. */
static int take(struct tar_reader *reader, uint64_t max, bool tapped, const uint8_t **ret, size_t *ret_length,
                struct error *err)
{
    if (reader->left == 0) {
        int r = archive_stream_next(reader->stream, &reader->at, &reader->left, err);
        if (r <= 0)
            return r;
    }
    size_t n = reader->left < max ? reader->left : (size_t)max;
    if (tapped && reader->tap) {
        int r = reader->tap(reader->tap_user, reader->at, n);
        if (r < 0)
            return error_errno(err, r, "cannot write the layer's recipe");
    }
    *ret = reader->at;
    *ret_length = n;
    reader->at += n;
    reader->left -= n;
    return 1;
}

/* 1 when length bytes were read, 0 when the stream ended before the first. */
static int read_all(struct tar_reader *reader, void *out, size_t length, struct error *err)
{
    size_t done = 0;

    while (done < length) {
        const uint8_t *data = NULL;
        size_t n = 0;
        int r = take(reader, length - done, true, &data, &n, err);

        if (r < 0)
            return r;
        if (r == 0)
            return done ? cut_short(err) : 0;
        memcpy((char *)out + done, data, n);
        done += n;
    }
    return 1;
}

static int skip(struct tar_reader *reader, uint64_t length, struct error *err)
{
    while (length > 0) {
        const uint8_t *data = NULL;
        size_t n = 0;
        int r = take(reader, length, true, &data, &n, err);

        if (r < 0)
            return r;
        if (r == 0)
            return cut_short(err);
        length -= n;
    }
    return 0;
}

/* The body of a pax or long-name header, with its padding, NUL-terminated. */
static int read_special(struct tar_reader *reader, uint64_t size, char **ret, struct error *err)
{
    if (size > TAR_SPECIAL_MAX)
        return damaged(err, "an extended header is too large");
    CLEANUP_FREE char *text = malloc(size + 1);
    if (!text)
        return error_set(err, ENOMEM, "no memory for an extended header");
    int r = size ? read_all(reader, text, size, err) : 1;
    if (r < 0)
        return r;
    if (r == 0)
        return cut_short(err);
    text[size] = '\0';
    r = skip(reader, -size & (TAR_BLOCK_SIZE - 1), err);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(text);
    return 0;
}

/* --- numbers ------------------------------------------------------------------ */

/* Octal text, or GNU's base-256: two's complement, first bit set. */
static int parse_number(const uint8_t *field, size_t length, int64_t *ret)
{
    if (field[0] & 0x80) {
        uint64_t fill = field[0] & 0x40 ? 0xff : 0;
        uint64_t value = fill ? UINT64_MAX : 0;

        for (size_t i = 0; i < length; i++) {
            uint64_t byte = field[i];
            if (i == 0)
                byte = fill ? byte | 0x80 : byte & 0x7f;
            if (value >> 56 != fill) /* bits would be lost */
                return -ERANGE;
            value = value << 8 | byte;
        }
        if ((fill != 0) != (value >> 63 != 0))
            return -ERANGE;
        *ret = (int64_t)value;
        return 0;
    }

    while (length > 0 && (*field == ' ' || *field == '\0'))
        field++, length--;
    while (length > 0 && (field[length - 1] == ' ' || field[length - 1] == '\0'))
        length--;
    uint64_t value = 0;
    for (size_t i = 0; i < length && field[i] != '\0'; i++) {
        if (field[i] < '0' || field[i] > '7' || value >> 60)
            return -EINVAL;
        value = value << 3 | (uint64_t)(field[i] - '0');
    }
    *ret = (int64_t)value;
    return 0;
}

/* A pax decimal: digits only. */
static int parse_decimal(const char *text, uint64_t *ret)
{
    return *text >= '0' && *text <= '9' ? str_to_u64(text, ret) : -EINVAL;
}

/* Seconds with an optional fraction, also negative. */
static int parse_time(const char *text, int64_t *ret)
{
    bool negative = *text == '-';
    const char *at = text + (negative ? 1 : 0);
    int64_t seconds = 0, fraction = 0, unit = 100000000;

    if (*at < '0' || *at > '9')
        return -EINVAL;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (seconds > INT64_C(9000000000))
            return -ERANGE;
        seconds = seconds * 10 + (*at - '0');
    }
    if (*at == '.')
        for (at++; *at >= '0' && *at <= '9'; at++, unit /= 10)
            fraction += (*at - '0') * unit;
    if (*at || seconds > INT64_C(9000000000))
        return -EINVAL;
    int64_t ns = seconds * 1000000000 + fraction;
    *ret = negative ? -ns : ns;
    return 0;
}

/* --- sparse maps ---------------------------------------------------------------- */

static int push_extent(struct tar_extent **extents, size_t *count, uint64_t offset, uint64_t length)
{
    if (*count >= TAR_EXTENTS_MAX)
        return -E2BIG;
    if ((*count & (*count - 1)) == 0) /* room for powers of two */
        *extents = mem_grow(*extents, *count ? *count * 2 : 1, sizeof(**extents));
    (*extents)[(*count)++] = (struct tar_extent){offset, length};
    return 0;
}

/* 0.1: "offset,length,offset,length". */
static int parse_map(struct extras *extras, const char *text)
{
    while (*text) {
        uint64_t pair[2];

        for (int i = 0; i < 2; i++) {
            size_t n = strcspn(text, ",");
            char number[24];

            if (n == 0 || n >= sizeof(number))
                return -EINVAL;
            memcpy(number, text, n);
            number[n] = '\0';
            if (parse_decimal(number, &pair[i]) < 0)
                return -EINVAL;
            text += n;
            if (*text == ',')
                text++;
            else if (i == 0)
                return -EINVAL;
        }
        if (push_extent(&extras->extents, &extras->extent_count, pair[0], pair[1]) < 0)
            return -EINVAL;
    }
    extras->sparse = true;
    return 0;
}

/* 1.0: the map stands before the data: a count, then pairs, one number a line,
 * padded to a block. */
static int read_map(struct tar_reader *reader, struct extras *extras, struct error *err)
{
    uint8_t block[TAR_BLOCK_SIZE];
    uint64_t wanted = 1, seen = 0, value = 0, offset = 0;
    bool digits = false;

    while (seen < wanted) {
        if (reader->payload < TAR_BLOCK_SIZE)
            return damaged(err, "a sparse file's map is cut short");
        int r = read_all(reader, block, sizeof(block), err);
        if (r <= 0)
            return r < 0 ? r : cut_short(err);
        reader->payload -= TAR_BLOCK_SIZE;
        for (size_t i = 0; i < sizeof(block) && seen < wanted; i++) {
            if (block[i] >= '0' && block[i] <= '9') {
                if (value > (UINT64_MAX - 9) / 10)
                    return damaged(err, "a sparse file's map has a number out of range");
                value = value * 10 + (uint64_t)(block[i] - '0');
                digits = true;
                continue;
            }
            if (block[i] != '\n' || !digits)
                return damaged(err, "a sparse file's map is malformed");
            if (seen == 0) {
                if (value > TAR_EXTENTS_MAX)
                    return damaged(err, "a sparse file has too many pieces");
                wanted = 1 + 2 * value;
            } else if (seen & 1) {
                offset = value;
            } else if (push_extent(&extras->extents, &extras->extent_count, offset, value) < 0) {
                return damaged(err, "a sparse file has too many pieces");
            }
            seen++;
            value = 0;
            digits = false;
        }
    }
    return 0;
}

/* GNU's old format: four pieces in the header, 21 in each block that follows. */
static int read_gnu_sparse(struct tar_reader *reader, const uint8_t *header, struct extras *extras,
                           uint64_t *ret_real, struct error *err)
{
    uint8_t block[TAR_BLOCK_SIZE];
    const uint8_t *pieces = header + 386;
    size_t count = 4;
    bool more = header[482] != 0;
    int64_t real;

    if (parse_number(header + 483, 12, &real) < 0 || real < 0)
        return damaged(err, "a sparse file's size is malformed");
    for (;;) {
        for (size_t i = 0; i < count; i++, pieces += 24) {
            int64_t offset, length;

            if (pieces[0] == '\0')
                break;
            if (parse_number(pieces, 12, &offset) < 0 || parse_number(pieces + 12, 12, &length) < 0 ||
                offset < 0 || length < 0)
                return damaged(err, "a sparse file's map is malformed");
            if (push_extent(&extras->extents, &extras->extent_count, (uint64_t)offset, (uint64_t)length) < 0)
                return damaged(err, "a sparse file has too many pieces");
        }
        if (!more)
            break;
        int r = read_all(reader, block, sizeof(block), err);
        if (r <= 0)
            return r < 0 ? r : cut_short(err);
        pieces = block;
        count = 21;
        more = block[504] != 0;
    }
    *ret_real = (uint64_t)real;
    return 0;
}

static int check_extents(const struct extras *extras, uint64_t real, uint64_t packed, struct error *err)
{
    uint64_t end = 0, sum = 0;

    for (size_t i = 0; i < extras->extent_count; i++) {
        const struct tar_extent *extent = &extras->extents[i];

        if (extent->offset < end || extent->offset > real || extent->length > real - extent->offset)
            return damaged(err, "a sparse file's pieces overlap or leave the file");
        end = extent->offset + extent->length;
        sum += extent->length;
    }
    if (sum != packed)
        return damaged(err, "a sparse file's pieces do not match its data");
    return 0;
}

/* --- pax records ------------------------------------------------------------------ */

static void replace(char **text, const char *value)
{
    free(*text);
    *text = *value ? mem_strdup(value) : NULL; /* an empty value takes the record back */
}

static int set_number(const char *value, bool *has, uint64_t limit, uint64_t *ret)
{
    *has = *value != '\0';
    if (!*has)
        return 0;
    if (parse_decimal(value, ret) < 0 || *ret > limit)
        return -EINVAL;
    return 0;
}

static int set_id(const char *value, bool *has, uint32_t *ret)
{
    uint64_t number = 0;
    int r = set_number(value, has, UINT32_MAX, &number);

    *ret = (uint32_t)number;
    return r;
}

static int add_xattr(struct extras *extras, const char *name, const char *value, size_t length)
{
    if (*name == '\0' || extras->xattr_count >= 1024)
        return -EINVAL;
    struct tar_xattr *xattr = NULL;
    for (size_t i = 0; i < extras->xattr_count; i++)
        if (strcmp(extras->xattrs[i].name, name) == 0)
            xattr = &extras->xattrs[i];
    if (!xattr) {
        extras->xattrs = mem_grow(extras->xattrs, extras->xattr_count + 1, sizeof(*extras->xattrs));
        xattr = &extras->xattrs[extras->xattr_count++];
        *xattr = (struct tar_xattr){.name = mem_strdup(name)};
    }
    free(xattr->value);
    xattr->value = mem_dup(length ? value : "", length ? length : 1);
    xattr->length = length;
    return 0;
}

static int set_record(struct extras *extras, const char *key, const char *value, size_t length)
{
    uint64_t number = 0;
    bool has;

    if (str_starts(key, "SCHILY.xattr."))
        return add_xattr(extras, key + strlen("SCHILY.xattr."), value, length);
    if (strlen(value) != length) /* a NUL inside: Go refuses it in names, and it fits nowhere else */
        return strcmp(key, "path") == 0 || strcmp(key, "linkpath") == 0 || str_starts(key, "GNU.sparse.")
                   ? -EINVAL : 0;
    if (strcmp(key, "path") == 0)
        return replace(&extras->path, value), 0;
    if (strcmp(key, "linkpath") == 0)
        return replace(&extras->link, value), 0;
    if (strcmp(key, "size") == 0)
        return set_number(value, &extras->has_size, INT64_MAX, &extras->size);
    if (strcmp(key, "uid") == 0)
        return set_id(value, &extras->has_uid, &extras->uid);
    if (strcmp(key, "gid") == 0)
        return set_id(value, &extras->has_gid, &extras->gid);
    if (strcmp(key, "mtime") == 0) {
        extras->has_mtime = *value != '\0';
        return extras->has_mtime ? parse_time(value, &extras->mtime_ns) : 0;
    }
    if (!str_starts(key, "GNU.sparse."))
        return 0;
    key += strlen("GNU.sparse.");
    if (strcmp(key, "name") == 0)
        return replace(&extras->sparse_name, value), 0;
    if (strcmp(key, "map") == 0) {
        extras->extent_count = 0;
        return parse_map(extras, value);
    }
    if (strcmp(key, "size") == 0 || strcmp(key, "realsize") == 0)
        return set_number(value, &extras->has_real_size, INT64_MAX, &extras->real_size);
    if (set_number(value, &has, INT64_MAX, &number) < 0 || !has)
        return -EINVAL;
    if (strcmp(key, "major") == 0) {
        extras->sparse_major = (int64_t)number;
    } else if (strcmp(key, "minor") == 0) {
        extras->sparse_minor = (int64_t)number;
    } else if (strcmp(key, "offset") == 0) {
        if (extras->expect_length || push_extent(&extras->extents, &extras->extent_count, number, 0) < 0)
            return -EINVAL;
        extras->expect_length = extras->sparse = true;
    } else if (strcmp(key, "numbytes") == 0) {
        if (!extras->expect_length)
            return -EINVAL;
        extras->extents[extras->extent_count - 1].length = number;
        extras->expect_length = false;
    }
    return 0;
}

/* Records are "LENGTH key=value\n", LENGTH counting all of itself. */
static int parse_pax(struct extras *extras, char *text, size_t size)
{
    while (size > 0) {
        size_t digits = 0, length = 0;

        while (digits < size && text[digits] >= '0' && text[digits] <= '9') {
            length = length * 10 + (size_t)(text[digits++] - '0');
            if (length > size)
                return -EINVAL;
        }
        if (digits == 0 || digits >= size || text[digits] != ' ' || length < digits + 4 ||
            text[length - 1] != '\n')
            return -EINVAL;
        text[length - 1] = '\0';
        char *key = text + digits + 1;
        char *equals = memchr(key, '=', length - 1 - (digits + 1));
        if (!equals || equals == key)
            return -EINVAL;
        *equals = '\0';
        if (strlen(key) != (size_t)(equals - key))
            return -EINVAL;
        int r = set_record(extras, key, equals + 1, (size_t)(text + length - 1 - (equals + 1)));
        if (r < 0)
            return r;
        text += length;
        size -= length;
    }
    return extras->expect_length ? -EINVAL : 0;
}

/* A second pax header before an entry takes the first one's place. */
static int replace_pax(struct extras *extras, char *text, size_t size)
{
    char *gnu_path = TAKE_PTR(extras->gnu_path), *gnu_link = TAKE_PTR(extras->gnu_link);

    extras_clear(extras);
    extras->gnu_path = gnu_path;
    extras->gnu_link = gnu_link;
    return parse_pax(extras, text, size);
}

/* --- headers ------------------------------------------------------------------------ */

static bool all_zero(const uint8_t *block)
{
    for (size_t i = 0; i < TAR_BLOCK_SIZE; i++)
        if (block[i])
            return false;
    return true;
}

/* Sums over the header with its checksum field as spaces; some old tars summed
 * signed characters. */
static bool checksum_fits(const uint8_t *header)
{
    int64_t stored, plain = 0, with_sign = 0;

    if (parse_number(header + 148, 8, &stored) < 0)
        return false;
    for (size_t i = 0; i < TAR_BLOCK_SIZE; i++) {
        uint8_t byte = i >= 148 && i < 156 ? ' ' : header[i];
        plain += byte;
        with_sign += (int8_t)byte;
    }
    return stored == plain || stored == with_sign;
}

static char *field_text(const uint8_t *field, size_t length)
{
    return mem_strndup((const char *)field, strnlen((const char *)field, length));
}

static char *header_path(const uint8_t *header)
{
    size_t prefix = 0;

    /* GNU's magic goes on "  "; where it does, the prefix field holds times. */
    if (memcmp(header + 257, "ustar\0", 6) == 0)
        prefix = memcmp(header + 508, "tar\0", 4) == 0 ? 131 : 155;
    CLEANUP_FREE char *name = field_text(header, 100);
    if (prefix == 0 || header[345] == '\0')
        return TAKE_PTR(name);
    CLEANUP_FREE char *before = field_text(header + 345, prefix);
    return mem_printf("%s/%s", before, name);
}

static const struct {
    char flag;
    enum tar_type type;
} types[] = {
    {'0', TAR_FILE},      {'\0', TAR_FILE}, {'7', TAR_FILE},  {'S', TAR_FILE},      {'1', TAR_HARD_LINK},
    {'2', TAR_SYMLINK},   {'3', TAR_CHARACTER}, {'4', TAR_BLOCK}, {'5', TAR_DIRECTORY}, {'6', TAR_FIFO},
};

static int header_ids(struct tar_reader *reader, const uint8_t *header, const struct extras *extras,
                      struct error *err)
{
    struct tar_entry *entry = &reader->entry;
    int64_t mode, uid, gid, mtime, major = 0, minor = 0;

    if (parse_number(header + 100, 8, &mode) < 0 || parse_number(header + 108, 8, &uid) < 0 ||
        parse_number(header + 116, 8, &gid) < 0 || parse_number(header + 136, 12, &mtime) < 0)
        return damaged(err, "a header's numbers are malformed");
    if (entry->type == TAR_CHARACTER || entry->type == TAR_BLOCK)
        if (parse_number(header + 329, 8, &major) < 0 || parse_number(header + 337, 8, &minor) < 0 ||
            major < 0 || minor < 0 || major > 0xfff || minor > 0xfffff)
            return damaged(err, "a device's numbers are malformed");
    if (!extras->has_uid && (uid < 0 || uid > UINT32_MAX))
        return damaged(err, "a user id is out of range");
    if (!extras->has_gid && (gid < 0 || gid > UINT32_MAX))
        return damaged(err, "a group id is out of range");
    if (mtime > INT64_C(9000000000) || mtime < -INT64_C(9000000000))
        mtime = 0; /* no time a file can have; not worth refusing the archive */
    entry->mode = (uint32_t)mode & 07777;
    entry->uid = extras->has_uid ? extras->uid : (uint32_t)uid;
    entry->gid = extras->has_gid ? extras->gid : (uint32_t)gid;
    entry->mtime_ns = extras->has_mtime ? extras->mtime_ns : mtime * 1000000000;
    entry->major = (uint32_t)major;
    entry->minor = (uint32_t)minor;
    return 0;
}

static int finish_sparse(struct tar_reader *reader, const uint8_t *header, struct extras *extras,
                         struct error *err)
{
    struct tar_entry *entry = &reader->entry;
    uint64_t real = extras->has_real_size ? extras->real_size : 0;
    int r = 0;

    if (header[156] == 'S') {
        extras->extent_count = 0;
        r = read_gnu_sparse(reader, header, extras, &real, err);
    } else if (extras->sparse_major == 1 && extras->sparse_minor == 0) {
        extras->extent_count = 0;
        if (!extras->has_real_size)
            return damaged(err, "a sparse file without its size");
        r = read_map(reader, extras, err);
    } else if (extras->sparse_major > 0) {
        return damaged(err, "a sparse file of an unknown version");
    } else if (!extras->sparse) {
        return 0;
    }
    if (r < 0)
        return r;
    r = check_extents(extras, real, reader->payload, err);
    if (r < 0)
        return r;
    entry->sparse = true;
    entry->size = real;
    reader->extents = TAKE_PTR(extras->extents);
    reader->extent_count = extras->extent_count;
    extras->extent_count = 0;
    return 0;
}

/* Fills reader->entry from a header proper. */
static int finish_entry(struct tar_reader *reader, const uint8_t *header, struct extras *extras, int64_t size,
                        struct error *err)
{
    struct tar_entry *entry = &reader->entry;
    bool known = false;

    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if (types[i].flag == (char)header[156]) {
            entry->type = types[i].type;
            known = true;
        }
    if (!known)
        return error_set(err, EINVAL, "unhandled tar header type %d", header[156]);

    if (extras->gnu_path)
        entry->path = TAKE_PTR(extras->gnu_path);
    else if (extras->sparse_name)
        entry->path = TAKE_PTR(extras->sparse_name);
    else if (extras->path)
        entry->path = TAKE_PTR(extras->path);
    else
        entry->path = header_path(header);
    if (extras->gnu_link)
        entry->link = TAKE_PTR(extras->gnu_link);
    else if (extras->link)
        entry->link = TAKE_PTR(extras->link);
    else
        entry->link = field_text(header + 157, 100);
    /* Old archives name a directory by a slash at the end. */
    if (header[156] == '\0' && str_ends(entry->path, "/"))
        entry->type = TAR_DIRECTORY;

    int r = header_ids(reader, header, extras, err);
    if (r < 0)
        return r;
    entry->xattrs = TAKE_PTR(extras->xattrs);
    entry->xattr_count = extras->xattr_count;
    extras->xattr_count = 0;

    /* Data behind the other types would be read as headers, as Go does. */
    reader->payload = reader->padding = 0;
    if (entry->type == TAR_FILE || (header[156] == '\0' && entry->type == TAR_DIRECTORY)) {
        reader->payload = extras->has_size ? extras->size : (uint64_t)size;
        if (reader->payload > INT64_MAX - TAR_BLOCK_SIZE)
            return damaged(err, "a file's size is out of range");
        reader->padding = (unsigned)(-reader->payload & (TAR_BLOCK_SIZE - 1));
        entry->size = entry->type == TAR_FILE ? reader->payload : 0;
    }
    return entry->type == TAR_FILE ? finish_sparse(reader, header, extras, err) : 0;
}

/* 1: an entry; 2: a header that says something of the next; 0: the end. */
static int read_header(struct tar_reader *reader, struct extras *extras, struct error *err)
{
    uint8_t header[TAR_BLOCK_SIZE];
    CLEANUP_FREE char *text = NULL;
    int64_t size;

    int r = read_all(reader, header, sizeof(header), err);
    if (r < 0)
        return r;
    if (r == 0)
        return 0;
    if (all_zero(header)) {
        r = read_all(reader, header, sizeof(header), err);
        if (r < 0)
            return r;
        if (r > 0 && !all_zero(header))
            return damaged(err, "there is something behind its end");
        reader->marker = true;
        return 0;
    }
    if (!checksum_fits(header))
        return error_set(err, EINVAL, "invalid tar header: this is no tar archive, or it is damaged");
    if (parse_number(header + 124, 12, &size) < 0 || size < 0)
        return damaged(err, "a size is malformed");

    switch (header[156]) {
    case 'x':
    case 'X':
    case 'g':
        r = read_special(reader, (uint64_t)size, &text, err);
        if (r < 0)
            return r;
        if (header[156] == 'g') /* of the whole archive: comments in practice, and Go ignores it */
            return 2;
        if (replace_pax(extras, text, (size_t)size) < 0)
            return damaged(err, "a pax header is malformed");
        return 2;
    case 'L':
    case 'K':
        r = read_special(reader, (uint64_t)size, &text, err);
        if (r < 0)
            return r;
        replace(header[156] == 'L' ? &extras->gnu_path : &extras->gnu_link, text);
        return 2;
    default:
        r = finish_entry(reader, header, extras, size, err);
        return r < 0 ? r : 1;
    }
}

int tar_next(struct tar_reader *reader, const struct tar_entry **ret, struct error *err)
{
    struct extras extras = {0};
    int r;

    if (reader->ended)
        return 0;
    r = skip(reader, reader->payload + reader->padding, err);
    if (r < 0)
        return r;
    reader->payload = reader->padding = 0;
    entry_clear(reader);
    extras_clear(&extras);
    bool pending = false;
    do {
        r = read_header(reader, &extras, err);
        pending = pending || r == 2;
    } while (r == 2);
    extras_clear(&extras);
    if (r == 0) {
        if (pending && !reader->marker)
            return cut_short(err);
        reader->ended = true;
    }
    if (r == 1)
        *ret = &reader->entry;
    return r;
}

int tar_data(struct tar_reader *reader, const void **ret_data, size_t *ret_length, uint64_t *ret_offset,
             struct error *err)
{
    uint64_t max = reader->payload, offset = reader->entry.size - reader->payload;
    const uint8_t *data = NULL;

    if (reader->payload == 0)
        return 0;
    if (reader->entry.sparse) {
        while (reader->extent_done == reader->extents[reader->extent].length) {
            reader->extent++;
            reader->extent_done = 0;
        }
        const struct tar_extent *extent = &reader->extents[reader->extent];
        max = extent->length - reader->extent_done;
        offset = extent->offset + reader->extent_done;
    }
    int r = take(reader, max, !reader->claimed, &data, ret_length, err);
    if (r < 0)
        return r;
    if (r == 0)
        return cut_short(err);
    reader->payload -= *ret_length;
    if (reader->entry.sparse)
        reader->extent_done += *ret_length;
    *ret_data = data;
    *ret_offset = offset;
    return 1;
}

void tar_claim(struct tar_reader *reader)
{
    reader->claimed = !reader->entry.sparse;
}

int tar_drain(struct tar_reader *reader, struct error *err)
{
    const uint8_t *data = NULL;
    size_t n = 0;
    int r;

    do
        r = take(reader, SIZE_MAX, true, &data, &n, err);
    while (r > 0);
    return r;
}

bool tar_had_end(const struct tar_reader *reader)
{
    return reader->marker || (reader->ended && archive_stream_bytes(reader->stream) == 0);
}
