/* decompress.c - an archive handed on without its compression. Owner: archive. */
#include "archive/stream.h"
#include "tabique/error.h"

int archive_plain(archive_read_fn *read, void *user, const struct archive_limits *limits, archive_write_fn *write,
                  void *write_user, struct error *err)
{
    CLEANUP_STREAM struct archive_stream *stream = NULL;
    const uint8_t *data;
    size_t length;
    int r = archive_stream_open(read, user, limits, false, &stream, err);

    while (r >= 0 && (r = archive_stream_next(stream, &data, &length, err)) > 0) {
        r = write(write_user, data, length);
        if (r < 0)
            return error_errno(err, -r, "the archive cannot be passed on");
    }
    return r;
}
