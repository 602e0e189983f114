/* rpc.c - frames in and out of byte strings and sockets. Owner: rpc. */
#include "rpc/rpc.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "tabique/error.h"

#define FLAGS_KNOWN (RPC_REPLY | RPC_ERROR)

static void store(uint8_t *at, uint64_t value, size_t width)
{
    for (size_t i = 0; i < width; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t load(const uint8_t *at, size_t width)
{
    uint64_t value = 0;

    for (size_t i = width; i-- > 0;)
        value = value << 8 | at[i];
    return value;
}

static void header_put(uint8_t header[RPC_HEADER_SIZE], uint16_t type, uint16_t flags, uint64_t id,
                       size_t length)
{
    store(header, length, 4);
    store(header + 4, type, 2);
    store(header + 6, flags, 2);
    store(header + 8, id, 8);
}

static bool header_get(const uint8_t *header, struct rpc_frame *ret)
{
    ret->length = load(header, 4);
    ret->type = (uint16_t)load(header + 4, 2);
    ret->flags = (uint16_t)load(header + 6, 2);
    ret->id = load(header + 8, 8);
    return ret->length <= RPC_BODY_MAX && !(ret->flags & ~FLAGS_KNOWN) &&
           (!(ret->flags & RPC_ERROR) || (ret->flags & RPC_REPLY));
}

/* --- decoder ----------------------------------------------------------------- */
void rpc_decoder_free(struct rpc_decoder *decoder)
{
    str_free(&decoder->buffer);
    *decoder = (struct rpc_decoder){0};
}

/* Drops what next() has handed out. Small rests are moved; the buffer of a large
 * frame is given back, since a connection is quiet for most of its life. */
static void compact(struct rpc_decoder *decoder)
{
    size_t rest = decoder->buffer.length - decoder->consumed;

    if (decoder->consumed == 0)
        return;
    if (rest == 0 && decoder->buffer.capacity > 4096) {
        str_free(&decoder->buffer);
    } else if (rest == 0) {
        str_clear(&decoder->buffer);
    } else {
        memmove(decoder->buffer.data, decoder->buffer.data + decoder->consumed, rest);
        decoder->buffer.length = rest;
    }
    decoder->consumed = 0;
}

int rpc_decoder_feed(struct rpc_decoder *decoder, const void *data, size_t length)
{
    if (decoder->bad)
        return -EBADMSG;
    compact(decoder);
    /* A peer that sends faster than next() is called is not ours to hoard for. */
    if (decoder->buffer.length + length > 2 * (RPC_HEADER_SIZE + RPC_BODY_MAX)) {
        decoder->bad = true;
        return -EBADMSG;
    }
    str_append_n(&decoder->buffer, data, length);
    return 0;
}

int rpc_decoder_next(struct rpc_decoder *decoder, struct rpc_frame *ret)
{
    size_t available = decoder->buffer.length - decoder->consumed;
    const uint8_t *at;
    struct rpc_frame frame;

    if (decoder->bad)
        return -EBADMSG;
    if (available < RPC_HEADER_SIZE)
        return 0;
    at = (const uint8_t *)decoder->buffer.data + decoder->consumed;
    if (!header_get(at, &frame)) {
        decoder->bad = true;
        return -EBADMSG;
    }
    if (available - RPC_HEADER_SIZE < frame.length)
        return 0;
    frame.body = at + RPC_HEADER_SIZE;
    decoder->consumed += RPC_HEADER_SIZE + frame.length;
    *ret = frame;
    return 1;
}

/* --- encoding ------------------------------------------------------------------ */
void rpc_encode(struct str *out, uint16_t type, uint16_t flags, uint64_t id, const void *body,
                size_t length)
{
    uint8_t header[RPC_HEADER_SIZE];

    header_put(header, type, flags, id, length);
    str_append_n(out, header, sizeof(header));
    if (length)
        str_append_n(out, body, length);
}

void rpc_put_error(struct str *body, const struct error *error, bool exec_failed)
{
    wire_put_u64(body, RPC_TAG_ERRNO, (uint64_t)(error->code ? error->code : EIO));
    wire_put_string(body, RPC_TAG_MESSAGE, error->message);
    wire_put_bool(body, RPC_TAG_EXEC_FAILED, exec_failed);
}

void rpc_encode_error(struct str *out, uint16_t type, uint64_t id, const struct error *error,
                      bool exec_failed)
{
    CLEANUP_STR struct str body = STR_INIT;

    rpc_put_error(&body, error, exec_failed);
    rpc_encode(out, type, RPC_REPLY | RPC_ERROR, id, body.data, body.length);
}

int rpc_decode_error(const struct rpc_frame *frame, struct error *err, bool *ret_exec_failed)
{
    CLEANUP_FREE char *message = NULL;
    struct wire_reader reader;
    struct wire_field field;
    uint64_t code = 0;
    bool exec_failed = false;

    wire_read(&reader, frame->body, frame->length);
    while (wire_next(&reader, &field)) {
        switch (field.tag) {
        case RPC_TAG_ERRNO: code = wire_u64(&reader, &field); break;
        case RPC_TAG_MESSAGE:
            free(message);
            message = wire_string(&reader, &field);
            break;
        case RPC_TAG_EXEC_FAILED: exec_failed = wire_bool(&reader, &field); break;
        default: break;
        }
    }
    if (!wire_ok(&reader) || code == 0 || code > 4095)
        return error_set(err, EBADMSG, "malformed error reply");
    /* It may have come from a guest, and goes on to clients as JSON. */
    if (message)
        str_make_printable(message);
    if (ret_exec_failed)
        *ret_exec_failed = exec_failed;
    return error_set(err, (int)code, "%s", message ? message : "failed");
}

/* --- blocking --------------------------------------------------------------------- */
int rpc_send(int fd, uint16_t type, uint16_t flags, uint64_t id, const void *body, size_t length)
{
    CLEANUP_STR struct str out = STR_INIT;

    rpc_encode(&out, type, flags, id, body, length);
    return fd_write_all(fd, out.data, out.length);
}

static int wait_readable(int fd, int64_t deadline_ns)
{
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int64_t left = deadline_ns < 0 ? -1 : deadline_ns - clock_mono_ns();
        int n;

        if (deadline_ns >= 0 && left <= 0)
            return -ETIMEDOUT;
        n = poll(&p, 1, left < 0 ? -1 : (int)(left / NS_PER_MS) + 1);
        if (n > 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return -errno;
    }
}

int rpc_receive(int fd, struct rpc_decoder *decoder, struct rpc_frame *ret, int timeout_ms)
{
    int64_t deadline = timeout_ms < 0 ? -1 : clock_mono_ns() + timeout_ms * NS_PER_MS;

    for (;;) {
        char chunk[4096];
        struct rpc_frame peek;
        size_t have, want = RPC_HEADER_SIZE;
        ssize_t n;
        int r = rpc_decoder_next(decoder, ret);

        if (r != 0)
            return r < 0 ? r : 0;
        compact(decoder);
        /* Never a byte past this frame: what follows a reply may belong to
         * whoever takes the socket over (attach). */
        have = decoder->buffer.length;
        if (have >= RPC_HEADER_SIZE) {
            if (!header_get((const uint8_t *)decoder->buffer.data, &peek))
                return -EBADMSG;
            want += peek.length;
        }
        want -= have;
        r = wait_readable(fd, deadline);
        if (r < 0)
            return r;
        n = read(fd, chunk, want < sizeof(chunk) ? want : sizeof(chunk));
        if (n == 0)
            return -EPIPE;
        if (n < 0) {
            if (errno == EINTR || errno == EAGAIN)
                continue;
            return -errno;
        }
        r = rpc_decoder_feed(decoder, chunk, (size_t)n);
        if (r < 0)
            return r;
    }
}
