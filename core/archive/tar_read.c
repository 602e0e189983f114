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
#include "archive/tar_pax.h"
#include "archive/xattr.h"
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

static void entry_clear(struct tar_reader *reader)
{
    free(reader->entry.path);
    free(reader->entry.link);
    xattr_list_free(reader->entry.xattrs, reader->entry.xattr_count);
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

/* 1, or 0 when the stream ended before. */
static int skip(struct tar_reader *reader, uint64_t length, struct error *err)
{
    while (length > 0) {
        const uint8_t *data = NULL;
        size_t n = 0;
        int r = take(reader, length, true, &data, &n, err);

        if (r <= 0)
            return r;
        length -= n;
    }
    return 1;
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
    if (r <= 0)
        return r < 0 ? r : cut_short(err);
    *ret = TAKE_PTR(text);
    return 0;
}

/* --- sparse maps ---------------------------------------------------------------- */

/* 1.0: the map stands before the data: a count, then pairs, one number a line,
 * padded to a block. */
static int read_map(struct tar_reader *reader, struct tar_extras *extras, struct error *err)
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
            } else if (tar_push_extent(&extras->extents, &extras->extent_count, offset, value) < 0) {
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
static int read_gnu_sparse(struct tar_reader *reader, const uint8_t *header, struct tar_extras *extras,
                           uint64_t *ret_real, struct error *err)
{
    uint8_t block[TAR_BLOCK_SIZE];
    const uint8_t *pieces = header + 386;
    size_t count = 4;
    bool more = header[482] != 0;
    int64_t real;

    if (tar_number(header + 483, 12, &real) < 0 || real < 0)
        return damaged(err, "a sparse file's size is malformed");
    for (;;) {
        for (size_t i = 0; i < count; i++, pieces += 24) {
            int64_t offset, length;

            if (pieces[0] == '\0')
                break;
            if (tar_number(pieces, 12, &offset) < 0 || tar_number(pieces + 12, 12, &length) < 0 ||
                offset < 0 || length < 0)
                return damaged(err, "a sparse file's map is malformed");
            if (tar_push_extent(&extras->extents, &extras->extent_count, (uint64_t)offset, (uint64_t)length) < 0)
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

static int check_extents(const struct tar_extras *extras, uint64_t real, uint64_t packed, struct error *err)
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

    if (tar_number(header + 148, 8, &stored) < 0)
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

static int header_ids(struct tar_reader *reader, const uint8_t *header, const struct tar_extras *extras,
                      struct error *err)
{
    struct tar_entry *entry = &reader->entry;
    int64_t mode, uid, gid, mtime, major = 0, minor = 0;

    if (tar_number(header + 100, 8, &mode) < 0 || tar_number(header + 108, 8, &uid) < 0 ||
        tar_number(header + 116, 8, &gid) < 0 || tar_number(header + 136, 12, &mtime) < 0)
        return damaged(err, "a header's numbers are malformed");
    if (entry->type == TAR_CHARACTER || entry->type == TAR_BLOCK)
        if (tar_number(header + 329, 8, &major) < 0 || tar_number(header + 337, 8, &minor) < 0 ||
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

static int finish_sparse(struct tar_reader *reader, const uint8_t *header, struct tar_extras *extras,
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
static int finish_entry(struct tar_reader *reader, const uint8_t *header, struct tar_extras *extras, int64_t size,
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
static int read_header(struct tar_reader *reader, struct tar_extras *extras, struct error *err)
{
    uint8_t header[TAR_BLOCK_SIZE];
    CLEANUP_FREE char *text = NULL;
    int64_t size;

    bool first = archive_stream_bytes(reader->stream) == 0;
    int r = read_all(reader, header, sizeof(header), err);
    if (r < 0 && first && archive_stream_bytes(reader->stream) < sizeof(header) && archive_stream_bytes(reader->stream) > 0)
        return error_set(err, EINVAL, "unexpected EOF");
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
        return error_set(err, EINVAL, "archive/tar: invalid tar header");
    if (tar_number(header + 124, 12, &size) < 0 || size < 0)
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
        if (tar_pax_parse(extras, text, (size_t)size) < 0)
            return damaged(err, "a pax header is malformed");
        return 2;
    case 'L':
    case 'K':
        r = read_special(reader, (uint64_t)size, &text, err);
        if (r < 0)
            return r;
        tar_replace_text(header[156] == 'L' ? &extras->gnu_path : &extras->gnu_link, text);
        return 2;
    default:
        r = finish_entry(reader, header, extras, size, err);
        return r < 0 ? r : 1;
    }
}

int tar_next(struct tar_reader *reader, const struct tar_entry **ret, struct error *err)
{
    struct tar_extras extras = {0};
    int r;

    if (reader->ended)
        return 0;
    r = skip(reader, reader->payload, err);
    if (r == 0)
        return cut_short(err);
    /* The docker CLI ends a context without the padding of its last file. */
    if (r > 0)
        r = skip(reader, reader->padding, err);
    if (r < 0)
        return r;
    reader->payload = reader->padding = 0;
    entry_clear(reader);
    tar_extras_clear(&extras);
    bool pending = false;
    do {
        r = read_header(reader, &extras, err);
        pending = pending || r == 2;
    } while (r == 2);
    tar_extras_clear(&extras);
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
