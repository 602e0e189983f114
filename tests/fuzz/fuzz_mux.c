/* fuzz_mux.c - a hostile other end of a machine's channel.
 *
 * The first byte chooses what is open on this side; the rest is what the other end
 * sends, all at once and, with a bit of the first byte, wrapped into well-formed frames
 * so that streams and credit are reached. Checked: it ends, and never more arrives
 * at a sink than its window. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/loop.h"
#include "rpc/mux.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool broken;
static size_t frames;

static void on_frame(void *user, const struct rpc_frame *frame)
{
    volatile uint8_t sum = 0;

    for (size_t i = 0; i < frame->length; i++)
        sum ^= frame->body[i];
    frames++;
}

static void on_broken(void *user, const char *reason)
{
    broken = true;
}

static bool never(void *user)
{
    return broken;
}

/* Each piece: type (of four), stream, length, body. */
static void wrap(struct str *out, const uint8_t *data, size_t size)
{
    static const uint16_t types[] = {RPC_STREAM, RPC_CREDIT, RPC_EXITED, RPC_PING};

    while (size >= 4) {
        size_t length = (size_t)data[2] << 8 | data[3];
        size_t have = length < size - 4 ? length : size - 4;
        /* A body may claim more than the input holds: it is repeated. */
        CLEANUP_STR struct str body = STR_INIT;
        str_append_n(&body, data + 4, have);
        while (body.length < length && have)
            str_append_n(&body, data + 4, have < length - body.length ? have : length - body.length);
        rpc_encode(out, types[data[0] & 3], (uint16_t)(data[0] >> 7), data[1] & 7, body.data ? body.data : "", body.length);
        data += 4 + have;
        size -= 4 + have;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct mux_events events = {.frame = on_frame, .broken = on_broken};
    CLEANUP_STR struct str sent = STR_INIT;
    struct loop *loop;
    struct mux *mux;
    int channel[2], in[2], out[2], deaf[2];

    if (size < 1 || loop_new(&loop) < 0)
        return 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, channel) < 0 || pipe2(in, O_CLOEXEC) < 0 ||
        pipe2(out, O_CLOEXEC | O_NONBLOCK) < 0 || pipe2(deaf, O_CLOEXEC) < 0)
        abort();
    broken = false;
    if (mux_new(loop, channel[0], data[0] & 1 ? MUX_PORT : 0, &events, NULL, &mux) < 0)
        abort();
    if (mux_source(mux, 1, in[0], NULL, NULL) < 0 || mux_sink(mux, 2, out[1]) < 0 || mux_sink(mux, 3, deaf[1]) < 0)
        abort();
    if (data[0] & 2)
        wrap(&sent, data + 1, size - 1);
    else
        str_append_n(&sent, data + 1, size - 1);
    for (size_t at = 0; at < sent.length && !broken;) {
        char drain[65536];
        ssize_t n = write(channel[1], sent.data + at, sent.length - at);
        if (n > 0)
            at += (size_t)n;
        if (mux_wait(mux, never, NULL, 0) == -EPIPE)
            break;
        while (read(out[0], drain, sizeof(drain)) > 0)
            ;
        while (read(channel[1], drain, sizeof(drain)) > 0)
            ;
    }
    for (int i = 0; i < 4 && !broken; i++)
        (void)mux_wait(mux, never, NULL, 0);
    mux_free(mux);
    close(channel[1]);
    close(in[1]);
    close(out[0]);
    close(deaf[0]);
    loop_free(loop);
    return 0;
}
