/* mux.h - many byte streams and a conversation over one channel, without loss.
 *
 * Both ends of a machine's agent channel use this: the shim on the host and the
 * agent in the guest. Control frames (rpc.h) go as they are; streams are
 * RPC_STREAM frames numbered by the host side, and each has a window of
 * MUX_WINDOW bytes: a sender stops when the receiver has not yet passed on that
 * many, so that one stream nobody reads never blocks another, and neither side
 * ever buffers more than a window per stream. RPC_CREDIT gives back what has
 * been passed on. An empty RPC_STREAM is the stream's end.
 *
 * The other end is hostile: data beyond the window, credit for more than was
 * sent, a frame that does not decode, or a queue over MUX_QUEUE_MAX break the
 * channel, and with it this one container and nothing else. Frames of unknown
 * streams are dropped: the stream may just have ended here.
 *
 * Single-threaded, on a base/loop.h. Callbacks come from the loop, or from
 * inside mux_wait(); they must not free the mux.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rpc/rpc.h"

struct loop;
struct mux;

#define MUX_WINDOW (256u << 10)
#define MUX_QUEUE_MAX (16u << 20)
#define MUX_STREAMS_MAX 1024

struct mux_events {
    void (*frame)(void *user, const struct rpc_frame *frame); /* all but streams and credit */
    void (*broken)(void *user, const char *reason);           /* once; nothing works after it */
};

enum mux_flags {
    /* The channel is a virtio port: read() giving 0 means that nobody is at the
     * other end at present, not that it has ended (virtio_console driver). */
    MUX_PORT = 1 << 0,
};

/* Takes the fd. */
int mux_new(struct loop *loop, int fd, unsigned flags, const struct mux_events *events, void *user,
            struct mux **ret);
void mux_free(struct mux *mux); /* closes the channel and every stream's fd */

void mux_send(struct mux *mux, uint16_t type, uint16_t flags, uint64_t id, const void *body,
              size_t length);

/* From fd to the other end, until fd ends (then its end is sent) or is removed.
 * Takes the fd. finished() is told when the end has been queued; may be NULL. */
typedef void mux_finished_fn(void *user, uint64_t stream);
int mux_source(struct mux *mux, uint64_t stream, int fd, mux_finished_fn *finished, void *user);
/* From the other end to fd; when the stream ends and all is written fd is closed
 * (a socket: shut down for writing first). Takes the fd. An fd whose reader has
 * gone swallows the rest. */
int mux_sink(struct mux *mux, uint64_t stream, int fd);
void mux_remove(struct mux *mux, uint64_t stream); /* both directions, at once, no end sent */
/* Whether everything received for a stream has been passed on and it has ended. */
bool mux_sink_done(struct mux *mux, uint64_t stream);

/* Serves the channel (only) until done(user) or the time is up: for a request
 * that must be answered before the caller goes on. 0, -ETIMEDOUT, -EPIPE. */
int mux_wait(struct mux *mux, bool (*done)(void *user), void *user, int timeout_ms);
