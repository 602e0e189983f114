/* mux.c - see mux.h.
 *
 * A stream number has at most one source and one sink here. Fds that cannot be
 * polled (regular files) are not expected. All fds become non-blocking. */
#include "rpc/mux.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/loop.h"
#include "base/mem.h"

/* While more than this waits to leave, sources are not read: the channel is the
 * bottleneck, and a deep queue would only delay control frames. */
#define QUEUE_SOFT (256u << 10)
#define PORT_RETRY_NS (5 * NS_PER_MS)

struct source {
    struct source *next;
    struct mux *mux;
    uint64_t stream;
    int fd;
    struct loop_source *watch;
    uint32_t credit;
    mux_finished_fn *finished;
    void *user;
};

struct sink {
    struct sink *next;
    struct mux *mux;
    uint64_t stream;
    int fd; /* -EBADF: its reader has gone, the rest is swallowed */
    struct loop_source *watch;
    struct str pending;
    size_t written; /* of pending */
    uint32_t ungranted;
    bool ended;
};

struct mux {
    struct loop *loop;
    int fd;
    unsigned flags;
    struct mux_events events;
    void *user;
    struct loop_source *watch;
    struct loop_source *retry;
    uint32_t watched;
    struct rpc_decoder decoder;
    struct str out;
    size_t out_sent;
    struct source *sources;
    struct sink *sinks;
    size_t streams;
    bool broken;
    bool away; /* MUX_PORT: nobody at the other end just now */
};

static void mux__watch(struct mux *mux);

static void mux__break(struct mux *mux, const char *reason)
{
    if (mux->broken)
        return;
    mux->broken = true;
    loop_remove(mux->watch);
    mux->watch = NULL;
    mux->events.broken(mux->user, reason);
}

static size_t queued(const struct mux *mux)
{
    return mux->out.length - mux->out_sent;
}

static void compact(struct str *s, size_t *consumed)
{
    if (*consumed == s->length) {
        str_clear(s);
        *consumed = 0;
    } else if (*consumed > (64u << 10)) {
        memmove(s->data, s->data + *consumed, s->length - *consumed);
        s->length -= *consumed;
        s->data[s->length] = '\0';
        *consumed = 0;
    }
}

/* --- sources ----------------------------------------------------------------- */

static void source__free(struct source *source)
{
    struct mux *mux = source->mux;
    struct source **at = &mux->sources;

    while (*at != source)
        at = &(*at)->next;
    *at = source->next;
    loop_remove(source->watch);
    close(source->fd);
    mux->streams--;
    free(source);
}

static void source__watch(struct source *source)
{
    bool open = source->credit > 0 && queued(source->mux) < QUEUE_SOFT && !source->mux->broken;

    loop_set_events(source->watch, open ? EPOLLIN : 0);
}

static void source__read(struct loop_source *watch, int fd, uint32_t events, void *user)
{
    struct source *source = user;
    struct mux *mux = source->mux;
    static char buffer[RPC_STREAM_CHUNK];
    size_t want = source->credit < sizeof(buffer) ? source->credit : sizeof(buffer);
    ssize_t n;

    /* EPOLLHUP comes whether asked for or not; without credit it must wait, or
     * what is still in the pipe would be lost. */
    if (want == 0 || mux->broken || queued(mux) >= QUEUE_SOFT) {
        loop_set_events(source->watch, 0);
        if (events & (EPOLLHUP | EPOLLERR)) {
            /* A hung-up fd would wake the loop for ever: step out of epoll until
             * there is credit again. */
            loop_remove(source->watch);
            source->watch = NULL;
        }
        return;
    }
    n = read(fd, buffer, want);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) { /* the end; a pty whose slaves are all closed gives EIO */
        uint64_t stream = source->stream;
        mux_finished_fn *finished = source->finished;
        void *finished_user = source->user;
        rpc_encode(&mux->out, RPC_STREAM, 0, stream, NULL, 0);
        source__free(source);
        mux__watch(mux);
        if (finished)
            finished(finished_user, stream);
        return;
    }
    source->credit -= (uint32_t)n;
    rpc_encode(&mux->out, RPC_STREAM, 0, source->stream, buffer, (size_t)n);
    source__watch(source);
    mux__watch(mux);
}

static void source__resume(struct source *source)
{
    if (!source->watch)
        (void)loop_add_fd(source->mux->loop, source->fd, 0, source__read, source, &source->watch);
    source__watch(source);
}

static void sources__resume(struct mux *mux)
{
    for (struct source *source = mux->sources; source; source = source->next)
        if (source->credit > 0)
            source__resume(source);
}

static struct source *source__find(struct mux *mux, uint64_t stream)
{
    struct source *source = mux->sources;

    while (source && source->stream != stream)
        source = source->next;
    return source;
}

int mux_source(struct mux *mux, uint64_t stream, int fd, mux_finished_fn *finished, void *user)
{
    struct source *source;
    int r;

    if (mux->streams >= MUX_STREAMS_MAX || source__find(mux, stream)) {
        close(fd);
        return -EMFILE;
    }
    r = fd_set_nonblock(fd, true);
    if (r < 0) {
        close(fd);
        return r;
    }
    source = mem_new(struct source);
    *source = (struct source){.next = mux->sources, .mux = mux, .stream = stream, .fd = fd,
                              .credit = MUX_WINDOW, .finished = finished, .user = user};
    mux->sources = source;
    mux->streams++;
    r = loop_add_fd(mux->loop, fd, EPOLLIN, source__read, source, &source->watch);
    if (r < 0) {
        source__free(source);
        return r;
    }
    return 0;
}

/* --- sinks -------------------------------------------------------------------- */

static void sink__free(struct sink *sink)
{
    struct mux *mux = sink->mux;
    struct sink **at = &mux->sinks;

    while (*at != sink)
        at = &(*at)->next;
    *at = sink->next;
    loop_remove(sink->watch);
    if (sink->fd >= 0) {
        (void)shutdown(sink->fd, SHUT_WR);
        close(sink->fd);
    }
    str_free(&sink->pending);
    mux->streams--;
    free(sink);
}

static void sink__grant(struct sink *sink)
{
    struct str body = STR_INIT;

    /* Small returns are saved up: one credit frame per quarter window. */
    if (sink->ended || sink->ungranted < MUX_WINDOW / 4)
        return;
    wire_put_u64(&body, RPC_TAG_CREDIT, sink->ungranted);
    rpc_encode(&sink->mux->out, RPC_CREDIT, 0, sink->stream, body.data, body.length);
    str_free(&body);
    sink->ungranted = 0;
    mux__watch(sink->mux);
}

/* Passes on what it can. Frees the sink when it has ended and all is out. */
static void sink__flush(struct sink *sink)
{
    while (sink->written < sink->pending.length) {
        size_t left = sink->pending.length - sink->written;
        ssize_t n = sink->fd < 0 ? (ssize_t)left : write(sink->fd, sink->pending.data + sink->written, left);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            loop_set_events(sink->watch, EPOLLOUT);
            break;
        }
        if (n < 0) {
            loop_remove(sink->watch);
            sink->watch = NULL;
            close(sink->fd);
            sink->fd = -EBADF;
            continue;
        }
        sink->written += (size_t)n;
        sink->ungranted += (uint32_t)n;
    }
    if (sink->written == sink->pending.length && sink->watch)
        loop_set_events(sink->watch, 0);
    compact(&sink->pending, &sink->written);
    sink__grant(sink);
    if (sink->ended && sink->pending.length == 0)
        sink__free(sink);
}

static void sink__writable(struct loop_source *watch, int fd, uint32_t events, void *user)
{
    struct sink *sink = user;

    if (sink->pending.length == 0 && (events & (EPOLLERR | EPOLLHUP))) {
        loop_remove(sink->watch);
        sink->watch = NULL;
        close(sink->fd);
        sink->fd = -EBADF;
        return;
    }
    sink__flush(sink);
}

static struct sink *sink__find(struct mux *mux, uint64_t stream)
{
    struct sink *sink = mux->sinks;

    while (sink && sink->stream != stream)
        sink = sink->next;
    return sink;
}

int mux_sink(struct mux *mux, uint64_t stream, int fd)
{
    struct sink *sink;
    int r;

    if (mux->streams >= MUX_STREAMS_MAX || sink__find(mux, stream)) {
        close(fd);
        return -EMFILE;
    }
    r = fd_set_nonblock(fd, true);
    if (r < 0) {
        close(fd);
        return r;
    }
    sink = mem_new(struct sink);
    *sink = (struct sink){.next = mux->sinks, .mux = mux, .stream = stream, .fd = fd};
    mux->sinks = sink;
    mux->streams++;
    r = loop_add_fd(mux->loop, fd, 0, sink__writable, sink, &sink->watch);
    if (r < 0) {
        sink__free(sink);
        return r;
    }
    return 0;
}

bool mux_sink_done(struct mux *mux, uint64_t stream)
{
    return sink__find(mux, stream) == NULL;
}

void mux_remove(struct mux *mux, uint64_t stream)
{
    struct source *source = source__find(mux, stream);
    struct sink *sink = sink__find(mux, stream);

    if (source)
        source__free(source);
    if (sink)
        sink__free(sink);
}

/* --- the channel ------------------------------------------------------------------ */

static void stream__received(struct mux *mux, const struct rpc_frame *frame)
{
    struct sink *sink = sink__find(mux, frame->id);

    if (!sink || sink->ended)
        return;
    if (frame->length == 0) {
        sink->ended = true;
    } else if (sink->pending.length - sink->written + sink->ungranted + frame->length > MUX_WINDOW) {
        mux__break(mux, "the other end sent more than its window");
        return;
    } else {
        str_append_n(&sink->pending, frame->body, frame->length);
    }
    sink__flush(sink);
}

static void credit__received(struct mux *mux, const struct rpc_frame *frame)
{
    struct source *source = source__find(mux, frame->id);
    struct wire_reader reader;
    struct wire_field field;
    uint64_t credit = 0;

    wire_read(&reader, frame->body, frame->length);
    while (wire_next(&reader, &field))
        if (field.tag == RPC_TAG_CREDIT)
            credit = wire_u64(&reader, &field);
    if (!source)
        return;
    if (!wire_ok(&reader) || credit > MUX_WINDOW || source->credit + credit > MUX_WINDOW) {
        mux__break(mux, "the other end gave back more credit than was used");
        return;
    }
    source->credit += (uint32_t)credit;
    source__resume(source);
}

static void channel__read(struct mux *mux)
{
    static char buffer[64 << 10];

    /* A bounded number of reads a turn: a flooding end must not starve the loop. */
    for (int turn = 0; turn < 8 && !mux->broken; turn++) {
        struct rpc_frame frame;
        ssize_t n = read(mux->fd, buffer, sizeof(buffer));
        int r;

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            mux->away = false;
            return;
        }
        if (n == 0 && (mux->flags & MUX_PORT)) {
            mux->away = true;
            return;
        }
        if (n <= 0) {
            mux__break(mux, "the channel has closed");
            return;
        }
        mux->away = false;
        if (rpc_decoder_feed(&mux->decoder, buffer, (size_t)n) < 0) {
            mux__break(mux, "the other end sent something that is no frame");
            return;
        }
        while (!mux->broken && (r = rpc_decoder_next(&mux->decoder, &frame)) != 0) {
            if (r < 0)
                mux__break(mux, "the other end sent something that is no frame");
            else if (frame.type == RPC_STREAM)
                stream__received(mux, &frame);
            else if (frame.type == RPC_CREDIT)
                credit__received(mux, &frame);
            else
                mux->events.frame(mux->user, &frame);
        }
    }
}

static void channel__write(struct mux *mux)
{
    while (queued(mux) > 0 && !mux->broken) {
        size_t left = queued(mux);
        ssize_t n = write(mux->fd, mux->out.data + mux->out_sent, left < (32u << 10) ? left : (32u << 10));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0 && (mux->flags & MUX_PORT)) {
            mux->away = true;
            break;
        }
        if (n < 0) {
            mux__break(mux, "the channel has closed");
            return;
        }
        mux->out_sent += (size_t)n;
    }
    compact(&mux->out, &mux->out_sent);
    if (queued(mux) < QUEUE_SOFT)
        sources__resume(mux);
}

static void channel__ready(struct loop_source *watch, int fd, uint32_t events, void *user)
{
    struct mux *mux = user;

    if (events & EPOLLOUT)
        channel__write(mux);
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        channel__read(mux);
    if (!mux->broken)
        mux__watch(mux);
}

static void channel__retry(struct loop_source *watch, void *user)
{
    struct mux *mux = user;

    mux->away = false;
    channel__read(mux);
    if (!mux->broken) {
        channel__write(mux);
        mux__watch(mux);
    }
}

static void mux__watch(struct mux *mux)
{
    uint32_t events = EPOLLIN | (queued(mux) > 0 ? EPOLLOUT : 0);

    if (mux->broken)
        return;
    if (queued(mux) > MUX_QUEUE_MAX) {
        mux__break(mux, "the other end does not read");
        return;
    }
    if (mux->away) {
        /* A port without a peer is hung up and would wake epoll for ever. */
        loop_remove(mux->watch);
        mux->watch = NULL;
        loop_set_timer(mux->retry, PORT_RETRY_NS, 0);
        return;
    }
    if (!mux->watch) {
        if (loop_add_fd(mux->loop, mux->fd, events, channel__ready, mux, &mux->watch) < 0)
            mux__break(mux, "the channel cannot be watched");
    } else if (events != mux->watched) {
        loop_set_events(mux->watch, events);
    }
    mux->watched = events;
}

int mux_new(struct loop *loop, int fd, unsigned flags, const struct mux_events *events, void *user,
            struct mux **ret)
{
    struct mux *mux;
    int r = fd_set_nonblock(fd, true);

    if (r < 0) {
        close(fd);
        return r;
    }
    mux = mem_new(struct mux);
    *mux = (struct mux){.loop = loop, .fd = fd, .flags = flags, .events = *events, .user = user};
    r = loop_add_timer(loop, INT64_MAX / 2, 0, channel__retry, mux, &mux->retry);
    if (r >= 0)
        r = loop_add_fd(loop, fd, EPOLLIN, channel__ready, mux, &mux->watch);
    if (r < 0) {
        mux_free(mux);
        return r;
    }
    mux->watched = EPOLLIN;
    *ret = mux;
    return 0;
}

void mux_free(struct mux *mux)
{
    if (!mux)
        return;
    mux->broken = true;
    while (mux->sources)
        source__free(mux->sources);
    while (mux->sinks)
        sink__free(mux->sinks);
    loop_remove(mux->watch);
    loop_remove(mux->retry);
    close(mux->fd);
    rpc_decoder_free(&mux->decoder);
    str_free(&mux->out);
    free(mux);
}

void mux_send(struct mux *mux, uint16_t type, uint16_t flags, uint64_t id, const void *body, size_t length)
{
    if (mux->broken)
        return;
    rpc_encode(&mux->out, type, flags, id, body, length);
    channel__write(mux);
    if (!mux->broken)
        mux__watch(mux);
}

int mux_wait(struct mux *mux, bool (*done)(void *user), void *user, int timeout_ms)
{
    int64_t deadline = clock_mono_ns() + timeout_ms * NS_PER_MS;

    while (!done(user)) {
        struct pollfd poll_fd = {.fd = mux->fd, .events = POLLIN};
        int64_t left = deadline - clock_mono_ns();

        if (mux->broken)
            return -EPIPE;
        if (left <= 0)
            return -ETIMEDOUT;
        if (queued(mux) > 0)
            poll_fd.events |= POLLOUT;
        if (poll(&poll_fd, 1, (int)(left / NS_PER_MS) + 1) < 0 && errno != EINTR)
            return -errno;
        if (poll_fd.revents & POLLOUT)
            channel__write(mux);
        if (poll_fd.revents & (POLLIN | POLLHUP | POLLERR))
            channel__read(mux);
    }
    if (!mux->broken)
        mux__watch(mux);
    return 0;
}
