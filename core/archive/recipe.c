/* recipe.c - writing recipes and following them. Owner: archive. */
#include "archive/recipe.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <zstd.h>

#include "archive/archive.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "tabique/error.h"

#define RAW_MAX (64u << 10)
#define COPY_SIZE (256u << 10)

struct recipe_writer {
    int fd;
    ZSTD_CCtx *context;
    struct str raw; /* not yet written 'R' bytes */
    char *out;
    size_t out_size;
};

struct recipe_writer *recipe_writer_new(int fd)
{
    struct recipe_writer *writer = mem_new(struct recipe_writer);

    writer->fd = fd;
    writer->context = ZSTD_createCCtx();
    writer->out_size = ZSTD_CStreamOutSize();
    writer->out = mem_alloc(writer->out_size);
    return writer;
}

void recipe_writer_freep(struct recipe_writer **writerp)
{
    struct recipe_writer *writer = *writerp;

    if (!writer)
        return;
    ZSTD_freeCCtx(writer->context);
    str_free(&writer->raw);
    free(writer->out);
    free(writer);
    *writerp = NULL;
}

static int compress_out(struct recipe_writer *writer, const void *data, size_t length, ZSTD_EndDirective end)
{
    ZSTD_inBuffer in = {data, length, 0};
    size_t left;

    if (!writer->context)
        return -ENOMEM;
    do {
        ZSTD_outBuffer out = {writer->out, writer->out_size, 0};

        left = ZSTD_compressStream2(writer->context, &out, &in, end);
        if (ZSTD_isError(left))
            return -ENOMEM;
        int r = fd_write_all(writer->fd, writer->out, out.pos);
        if (r < 0)
            return r;
    } while (in.pos < in.size || (end == ZSTD_e_end && left > 0));
    return 0;
}

static int flush_raw(struct recipe_writer *writer)
{
    uint8_t head[5] = {'R'};
    uint32_t length = htole32((uint32_t)writer->raw.length);

    if (writer->raw.length == 0)
        return 0;
    memcpy(head + 1, &length, 4);
    int r = compress_out(writer, head, sizeof(head), ZSTD_e_continue);
    if (r == 0)
        r = compress_out(writer, writer->raw.data, writer->raw.length, ZSTD_e_continue);
    str_clear(&writer->raw);
    return r;
}

int recipe_raw(struct recipe_writer *writer, const void *data, size_t length)
{
    while (length > 0) {
        size_t room = RAW_MAX - writer->raw.length;
        size_t n = length < room ? length : room;

        str_append_n(&writer->raw, data, n);
        data = (const char *)data + n;
        length -= n;
        if (writer->raw.length == RAW_MAX) {
            int r = flush_raw(writer);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

int recipe_file(struct recipe_writer *writer, const char *path, uint64_t size)
{
    uint8_t head[13] = {'F'};
    uint64_t file_size = htole64(size);
    uint32_t length = htole32((uint32_t)strlen(path));

    memcpy(head + 1, &file_size, 8);
    memcpy(head + 9, &length, 4);
    int r = flush_raw(writer);
    if (r == 0)
        r = compress_out(writer, head, sizeof(head), ZSTD_e_continue);
    if (r == 0)
        r = compress_out(writer, path, strlen(path), ZSTD_e_continue);
    return r;
}

int recipe_finish(struct recipe_writer *writer)
{
    int r = flush_raw(writer);

    return r < 0 ? r : compress_out(writer, "E", 1, ZSTD_e_end);
}

/* --- following ------------------------------------------------------------------ */

struct recipe_reader {
    int fd;
    off_t at;
    ZSTD_DCtx *context;
    ZSTD_inBuffer in;
    char *buffer;
    size_t buffer_size;
};

static void recipe_reader_clear(struct recipe_reader *reader)
{
    ZSTD_freeDCtx(reader->context);
    free(reader->buffer);
}

static int get(struct recipe_reader *reader, void *data, size_t length)
{
    ZSTD_outBuffer out = {data, length, 0};

    while (out.pos < out.size) {
        /* zstd may still hold output when its input is used up. */
        size_t before = out.pos;
        size_t r = ZSTD_decompressStream(reader->context, &out, &reader->in);
        if (ZSTD_isError(r))
            return -EBADMSG;
        if (out.pos == out.size || out.pos > before || reader->in.pos < reader->in.size)
            continue;
        ssize_t n = pread(reader->fd, reader->buffer, reader->buffer_size, reader->at);
        if (n < 0)
            return -errno;
        if (n == 0)
            return -EBADMSG;
        reader->at += n;
        reader->in = (ZSTD_inBuffer){reader->buffer, (size_t)n, 0};
    }
    return 0;
}

static int copy_file(int root_fd, const char *path, uint64_t size, char *buffer, archive_write_fn *write, void *user)
{
    CLEANUP_CLOSE int fd = path_open_in(root_fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
    struct stat st;

    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != size)
        return -EBADMSG;
    while (size > 0) {
        ssize_t n = fd_read_full(fd, buffer, size < COPY_SIZE ? (size_t)size : COPY_SIZE);
        if (n < 0)
            return (int)n;
        if (n == 0)
            return -EBADMSG;
        int r = write(user, buffer, (size_t)n);
        if (r < 0)
            return r;
        size -= (uint64_t)n;
    }
    return 0;
}

/* 1: there is more; 0: the end. */
static int follow(struct recipe_reader *reader, int root_fd, char *buffer, archive_write_fn *write, void *user)
{
    uint8_t head[12];
    char kind, path[PATH_MAX];
    uint32_t length;
    uint64_t size;

    int r = get(reader, &kind, 1);
    if (r < 0 || kind == 'E')
        return r;
    if (kind == 'R') {
        r = get(reader, &length, 4);
        if (r < 0)
            return r;
        length = le32toh(length);
        if (length > RAW_MAX)
            return -EBADMSG;
        r = get(reader, buffer, length);
        if (r == 0)
            r = write(user, buffer, length);
        return r < 0 ? r : 1;
    }
    if (kind != 'F')
        return -EBADMSG;
    r = get(reader, head, sizeof(head));
    if (r < 0)
        return r;
    memcpy(&size, head, 8);
    memcpy(&length, head + 8, 4);
    size = le64toh(size);
    length = le32toh(length);
    if (length == 0 || length >= sizeof(path))
        return -EBADMSG;
    r = get(reader, path, length);
    if (r < 0)
        return r;
    path[length] = '\0';
    r = copy_file(root_fd, path, size, buffer, write, user);
    return r < 0 ? r : 1;
}

int archive_reassemble(int root_fd, int recipe_fd, archive_write_fn *write, void *user, struct error *err)
{
    CLEANUP(recipe_reader_clear) struct recipe_reader reader = {
        .fd = recipe_fd,
        .context = ZSTD_createDCtx(),
        .buffer_size = ZSTD_DStreamInSize(),
    };
    CLEANUP_FREE char *buffer = mem_alloc(COPY_SIZE);
    int r;

    if (!reader.context)
        return error_set(err, ENOMEM, "no memory to read a layer");
    reader.buffer = mem_alloc(reader.buffer_size);
    do
        r = follow(&reader, root_fd, buffer, write, user);
    while (r > 0);
    if (r == -EBADMSG || r == -ENOENT || r == -ELOOP)
        return error_set(err, EIO, "a layer's files and its recipe do not fit together: the image store is damaged");
    return r < 0 ? error_errno(err, r, "cannot write a layer") : 0;
}
