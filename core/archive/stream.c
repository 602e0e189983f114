/* stream.c - decompression by libarchive, under limits. Owner: archive.
 *
 * libarchive's "raw" format gives whatever a chain of filters yields as one
 * entry's data. Only the filters that are built in are asked for: others would
 * run a program.
 */
#include "archive/stream.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "tabique/error.h"

#define READ_SIZE (256u << 10)
#define RATIO_FROM (UINT64_C(512) << 20)

struct archive_stream {
    struct archive *filters;
    archive_read_fn *read;
    void *user;
    uint8_t *buffer;
    int read_error; /* -errno of the source, which libarchive's text would hide */
    uint64_t packed;
    uint64_t unpacked;
    uint64_t max_bytes;
    double max_ratio;
    struct digest *digest;
    bool ended;
};

static la_ssize_t give(struct archive *filters, void *user, const void **ret)
{
    struct archive_stream *stream = user;
    ssize_t n = stream->read(stream->user, stream->buffer, READ_SIZE);

    if (n < 0) {
        stream->read_error = (int)n;
        archive_set_error(filters, (int)-n, "cannot be read");
        return -1;
    }
    if ((size_t)n > READ_SIZE) {
        stream->read_error = -EOVERFLOW;
        return -1;
    }
    stream->packed += (size_t)n;
    *ret = stream->buffer;
    return n;
}

void archive_stream_freep(struct archive_stream **streamp)
{
    struct archive_stream *stream = *streamp;

    if (!stream)
        return;
    if (stream->filters)
        archive_read_free(stream->filters);
    digest_free(stream->digest);
    free(stream->buffer);
    free(stream);
    *streamp = NULL;
}

static int failed(struct archive_stream *stream, struct error *err)
{
    const char *text = archive_error_string(stream->filters);

    if (stream->read_error)
        return error_errno(err, stream->read_error, "the archive cannot be read");
    return error_set(err, EINVAL, "the archive is damaged or cut short: %s", text ? text : "unknown error");
}

int archive_stream_open(archive_read_fn *read, void *user, const struct archive_limits *limits,
                        bool digest, struct archive_stream **ret, struct error *err)
{
    CLEANUP_STREAM struct archive_stream *stream = mem_new(struct archive_stream);
    struct archive_entry *entry;

    stream->read = read;
    stream->user = user;
    stream->buffer = mem_alloc(READ_SIZE);
    stream->max_bytes = limits && limits->max_bytes ? limits->max_bytes : ARCHIVE_MAX_BYTES;
    stream->max_ratio = limits && limits->max_ratio > 0 ? limits->max_ratio : ARCHIVE_MAX_RATIO;
    if (digest)
        stream->digest = digest_new();

    stream->filters = archive_read_new();
    if (!stream->filters)
        return error_set(err, ENOMEM, "no memory to read an archive");
    archive_read_support_filter_gzip(stream->filters);
    archive_read_support_filter_bzip2(stream->filters);
    archive_read_support_filter_xz(stream->filters);
    archive_read_support_filter_zstd(stream->filters);
    archive_read_support_format_raw(stream->filters);
    archive_read_support_format_empty(stream->filters);
    if (archive_read_open(stream->filters, stream, NULL, give, NULL) != ARCHIVE_OK)
        return failed(stream, err);
    /* The last of the chain is the source itself. */
    if (archive_filter_count(stream->filters) > 2)
        return error_set(err, EINVAL, "the archive is compressed more than once");
    switch (archive_read_next_header(stream->filters, &entry)) {
    case ARCHIVE_OK:
        break;
    case ARCHIVE_EOF:
        stream->ended = true;
        break;
    default:
        return failed(stream, err);
    }
    *ret = TAKE_PTR(stream);
    return 0;
}

int archive_stream_next(struct archive_stream *stream, const uint8_t **ret_data, size_t *ret_length,
                        struct error *err)
{
    const void *data = NULL;
    size_t length = 0;
    la_int64_t offset;

    if (stream->ended)
        return 0;
    do {
        int r = archive_read_data_block(stream->filters, &data, &length, &offset);
        if (r == ARCHIVE_EOF) {
            stream->ended = true;
            return 0;
        }
        if (r != ARCHIVE_OK)
            return failed(stream, err);
    } while (length == 0);

    stream->unpacked += length;
    if (stream->unpacked > stream->max_bytes)
        return error_set(err, EFBIG, "the archive is larger than the limit of %llu bytes unpacked",
                         (unsigned long long)stream->max_bytes);
    if (stream->unpacked > RATIO_FROM && (double)stream->unpacked > stream->max_ratio * (double)stream->packed)
        return error_set(err, EFBIG, "the archive expands more than %.0f times: refused as a decompression bomb",
                         stream->max_ratio);
    if (stream->digest)
        digest_update(stream->digest, data, length);
    *ret_data = data;
    *ret_length = length;
    return 1;
}

uint64_t archive_stream_bytes(const struct archive_stream *stream)
{
    return stream->unpacked;
}

void archive_stream_digest(struct archive_stream *stream, char out[DIGEST_TEXT_MAX])
{
    digest_finish(stream->digest, out);
}

ssize_t archive_read_fd(void *user, void *buffer, size_t size)
{
    for (;;) {
        ssize_t n = read(*(int *)user, buffer, size);
        if (n >= 0)
            return n;
        if (errno != EINTR)
            return -errno;
    }
}
