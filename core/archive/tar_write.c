/* tar_write.c - the tar writer: ustar, with a pax header before what does not fit. Owner: archive. */
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "archive/tar.h"
#include "base/cleanup.h"
#include "base/str.h"

static const char type_flags[] = {
    [TAR_FILE] = '0',  [TAR_HARD_LINK] = '1', [TAR_SYMLINK] = '2', [TAR_CHARACTER] = '3',
    [TAR_BLOCK] = '4', [TAR_DIRECTORY] = '5', [TAR_FIFO] = '6',
};

static const uint8_t zeros[16 * TAR_BLOCK_SIZE];

/* The record counts its own length, whose digits count, too. */
static void add_record(struct str *pax, const char *key, const void *value, size_t length)
{
    size_t rest = strlen(key) + length + 3; /* " " "=" "\n" */
    size_t total = rest + 1;
    char digits[24];

    while (total != rest + (size_t)snprintf(digits, sizeof(digits), "%zu", total))
        total = rest + strlen(digits);
    str_printf(pax, "%zu %s=", total, key);
    str_append_n(pax, value, length);
    str_append_char(pax, '\n');
}

static void add_number(struct str *pax, const char *key, uint64_t value)
{
    char text[24];
    int n = snprintf(text, sizeof(text), "%" PRIu64, value);

    add_record(pax, key, text, (size_t)n);
}

static bool plain_ascii(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text >= 0x80)
            return false;
    return true;
}

/* Where path can be split for the prefix field: the index of the slash, or 0. */
static size_t split_at(const char *path, size_t length)
{
    if (length > 256)
        return 0;
    for (size_t at = length > 101 ? length - 101 : 1; at <= 155 && at + 1 < length; at++)
        if (path[at] == '/')
            return at;
    return 0;
}

static void put_octal(uint8_t *field, size_t width, uint64_t value)
{
    for (size_t i = width - 1; i-- > 0; value >>= 3)
        field[i] = (uint8_t)('0' + (value & 7));
}

struct header {
    uint8_t block[TAR_BLOCK_SIZE];
    struct str pax;
};

static void fill_names(struct header *header, const struct tar_entry *entry)
{
    size_t length = strlen(entry->path), split = 0;
    const char *link = entry->link ? entry->link : "";

    if (length > 100)
        split = split_at(entry->path, length);
    if (!plain_ascii(entry->path) || (length > 100 && split == 0))
        add_record(&header->pax, "path", entry->path, length);
    if (split) {
        memcpy(header->block + 345, entry->path, split);
        memcpy(header->block, entry->path + split + 1, length - split - 1);
    } else {
        memcpy(header->block, entry->path, length < 100 ? length : 100);
    }
    length = strlen(link);
    if (!plain_ascii(link) || length > 100)
        add_record(&header->pax, "linkpath", link, length);
    memcpy(header->block + 157, link, length < 100 ? length : 100);
}

static void fill_numbers(struct header *header, const struct tar_entry *entry, uint64_t size)
{
    int64_t seconds = entry->mtime_ns / 1000000000, ns = entry->mtime_ns % 1000000000;

    if (ns < 0) {
        ns += 1000000000;
        seconds--;
    }
    put_octal(header->block + 100, 8, entry->mode & 07777);
    put_octal(header->block + 108, 8, entry->uid <= 07777777 ? entry->uid : 0);
    put_octal(header->block + 116, 8, entry->gid <= 07777777 ? entry->gid : 0);
    put_octal(header->block + 124, 12, size <= 077777777777 ? size : 0);
    put_octal(header->block + 136, 12, seconds >= 0 ? (uint64_t)seconds : 0);
    if (entry->type == TAR_CHARACTER || entry->type == TAR_BLOCK) {
        put_octal(header->block + 329, 8, entry->major);
        put_octal(header->block + 337, 8, entry->minor);
    }
    if (entry->uid > 07777777)
        add_number(&header->pax, "uid", entry->uid);
    if (entry->gid > 07777777)
        add_number(&header->pax, "gid", entry->gid);
    if (size > 077777777777)
        add_number(&header->pax, "size", size);
    if (ns || seconds < 0) {
        char text[40];
        bool negative = entry->mtime_ns < 0;
        uint64_t all = negative ? 0 - (uint64_t)entry->mtime_ns : (uint64_t)entry->mtime_ns;
        int n = snprintf(text, sizeof(text), "%s%" PRIu64 ".%09" PRIu64, negative ? "-" : "",
                         all / 1000000000, all % 1000000000);
        while (text[n - 1] == '0')
            n--;
        if (text[n - 1] == '.')
            n--;
        add_record(&header->pax, "mtime", text, (size_t)n);
    }
}

static void finish_header(uint8_t *block, char flag)
{
    unsigned sum = 0;

    block[156] = (uint8_t)flag;
    memcpy(block + 257, "ustar\00000", 8);
    memset(block + 148, ' ', 8);
    for (size_t i = 0; i < TAR_BLOCK_SIZE; i++)
        sum += block[i];
    put_octal(block + 148, 7, sum);
    block[154] = '\0';
}

static void build(struct header *header, const struct tar_entry *entry)
{
    uint64_t size = entry->type == TAR_FILE ? entry->size : 0;

    memset(header->block, 0, sizeof(header->block));
    fill_names(header, entry);
    fill_numbers(header, entry, size);
    for (size_t i = 0; i < entry->xattr_count; i++) {
        CLEANUP_STR struct str key = STR_INIT;

        str_printf(&key, "SCHILY.xattr.%s", entry->xattrs[i].name);
        add_record(&header->pax, key.data, entry->xattrs[i].value, entry->xattrs[i].length);
    }
    finish_header(header->block, type_flags[entry->type]);
}

static int pad(struct tar_writer *writer, uint64_t length)
{
    while (length > 0) {
        size_t n = length < sizeof(zeros) ? (size_t)length : sizeof(zeros);
        int r = writer->write(writer->user, zeros, n);

        if (r < 0)
            return r;
        length -= n;
    }
    return 0;
}

static int write_pax(struct tar_writer *writer, const struct header *header)
{
    uint8_t block[TAR_BLOCK_SIZE] = {0};

    memcpy(block, "PaxHeader/0", 11);
    put_octal(block + 100, 8, 0644);
    put_octal(block + 108, 8, 0);
    put_octal(block + 116, 8, 0);
    put_octal(block + 124, 12, header->pax.length);
    put_octal(block + 136, 12, 0);
    finish_header(block, 'x');
    int r = writer->write(writer->user, block, sizeof(block));
    if (r < 0)
        return r;
    r = writer->write(writer->user, header->pax.data, header->pax.length);
    if (r < 0)
        return r;
    return pad(writer, -header->pax.length & (TAR_BLOCK_SIZE - 1));
}

int tar_write_entry(struct tar_writer *writer, const struct tar_entry *entry)
{
    struct header header = {.pax = STR_INIT};

    build(&header, entry);
    int r = header.pax.length ? write_pax(writer, &header) : 0;
    str_free(&header.pax);
    if (r < 0)
        return r;
    r = writer->write(writer->user, header.block, sizeof(header.block));
    if (r < 0)
        return r;
    writer->left = entry->type == TAR_FILE ? entry->size : 0;
    writer->padding = (unsigned)(-writer->left & (TAR_BLOCK_SIZE - 1));
    return 0;
}

int tar_write_data(struct tar_writer *writer, const void *data, size_t length)
{
    if (length > writer->left) /* a file that grew: what the header promised, and no more */
        length = (size_t)writer->left;
    if (length == 0)
        return 0;
    int r = writer->write(writer->user, data, length);
    if (r < 0)
        return r;
    writer->left -= length;
    return 0;
}

int tar_write_close(struct tar_writer *writer)
{
    int r = pad(writer, writer->left + writer->padding);

    writer->left = writer->padding = 0;
    return r;
}

int tar_write_end(struct tar_writer *writer)
{
    return pad(writer, 2 * TAR_BLOCK_SIZE);
}

uint64_t tar_entry_length(const struct tar_entry *entry)
{
    struct header header = {.pax = STR_INIT};
    uint64_t size = entry->type == TAR_FILE ? entry->size : 0;

    build(&header, entry);
    uint64_t pax = header.pax.length;
    str_free(&header.pax);
    if (pax)
        pax = TAR_BLOCK_SIZE + ((pax + TAR_BLOCK_SIZE - 1) & ~(uint64_t)(TAR_BLOCK_SIZE - 1));
    return pax + TAR_BLOCK_SIZE + ((size + TAR_BLOCK_SIZE - 1) & ~(uint64_t)(TAR_BLOCK_SIZE - 1));
}
