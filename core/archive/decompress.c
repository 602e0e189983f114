/* decompress.c - an archive without its compression, to be read again. Owner: archive. */
#include <string.h>

#include "archive/stream.h"
#include "base/mem.h"
#include "tabique/error.h"

struct archive_plain {
    struct archive_stream *stream;
    const uint8_t *data; /* the stream's, until it is asked for more */
    size_t length;
    struct error err;
};

int archive_plain_open(archive_read_fn *read, void *user, const struct archive_limits *limits, struct archive_plain **ret,
                       struct error *err)
{
    struct archive_stream *stream = NULL;
    int r = archive_stream_open(read, user, limits, false, &stream, err);

    if (r < 0)
        return r;
    *ret = mem_new(struct archive_plain);
    (*ret)->stream = stream;
    (*ret)->err = ERROR_INIT;
    return 0;
}

ssize_t archive_plain_read(void *user, void *buffer, size_t size)
{
    struct archive_plain *plain = user;

    if (plain->length == 0) {
        int r = archive_stream_next(plain->stream, &plain->data, &plain->length, &plain->err);
        if (r <= 0)
            return r;
    }
    size = size < plain->length ? size : plain->length;
    memcpy(buffer, plain->data, size);
    plain->data += size;
    plain->length -= size;
    return (ssize_t)size;
}

const struct error *archive_plain_error(const struct archive_plain *plain)
{
    return &plain->err;
}

void archive_plain_freep(struct archive_plain **plain)
{
    if (*plain)
        archive_stream_freep(&(*plain)->stream);
    free(*plain);
    *plain = NULL;
}
