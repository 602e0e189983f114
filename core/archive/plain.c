/* plain.c - stream.h for the guest's agent: what comes is a plain tar already. Owner: archive.
 *
 * The host has taken compression off (archive_plain_open()), so that no decompressor
 * has to be in the guest, and none works on behalf of it. Digests and recipes are
 * the host's, too: asking for them here is a mistake. */
#include <errno.h>
#include <unistd.h>

#include "archive/recipe.h"
#include "archive/stream.h"
#include "base/mem.h"
#include "tabique/error.h"

#define READ_SIZE (64u << 10)

struct archive_stream {
    archive_read_fn *read;
    void *user;
    uint8_t *buffer;
    uint64_t bytes, max_bytes;
};

int archive_stream_open(archive_read_fn *read, void *user, const struct archive_limits *limits, bool digest,
                        struct archive_stream **ret, struct error *err)
{
    struct archive_stream *stream;

    if (digest)
        return error_set(err, ENOTSUP, "no digests here");
    stream = mem_new(struct archive_stream);
    stream->read = read;
    stream->user = user;
    stream->buffer = mem_alloc(READ_SIZE);
    stream->max_bytes = limits && limits->max_bytes ? limits->max_bytes : ARCHIVE_MAX_BYTES;
    *ret = stream;
    return 0;
}

void archive_stream_freep(struct archive_stream **streamp)
{
    if (*streamp)
        free((*streamp)->buffer);
    free(*streamp);
    *streamp = NULL;
}

int archive_stream_next(struct archive_stream *stream, const uint8_t **ret_data, size_t *ret_length, struct error *err)
{
    ssize_t n = stream->read(stream->user, stream->buffer, READ_SIZE);

    if (n < 0)
        return error_errno(err, (int)-n, "the archive cannot be read");
    if (n == 0)
        return 0;
    stream->bytes += (size_t)n;
    if (stream->bytes > stream->max_bytes)
        return error_set(err, EFBIG, "the archive is larger than the limit of %llu bytes",
                         (unsigned long long)stream->max_bytes);
    *ret_data = stream->buffer;
    *ret_length = (size_t)n;
    return 1;
}

uint64_t archive_stream_bytes(const struct archive_stream *stream)
{
    return stream->bytes;
}

void archive_stream_digest(struct archive_stream *stream, char out[DIGEST_TEXT_MAX])
{
    out[0] = '\0';
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

struct recipe_writer *recipe_writer_new(int fd)
{
    return NULL;
}

void recipe_writer_freep(struct recipe_writer **writer)
{
}

int recipe_raw(struct recipe_writer *writer, const void *data, size_t length)
{
    return -ENOTSUP;
}

int recipe_file(struct recipe_writer *writer, const char *path, uint64_t size)
{
    return -ENOTSUP;
}

int recipe_finish(struct recipe_writer *writer)
{
    return -ENOTSUP;
}
