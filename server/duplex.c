/* duplex.c - a hijacked connection as a stream, and joining it to a shim's.
 *
 * duplex_join() is one thread with one poll() for each attached client: what
 * one side cannot take yet is not read from the other, so a client that stops
 * reading stops the container's output, as with Docker, and nothing is dropped.
 */
#include "duplex.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "rpc/rpc.h"
#include "server_internal.h"
#include "tabique/error.h"
#include "transport.h"

#define BUFFER_MAX (256u << 10) /* held for a side that does not take it */
#define DETACH_KEYS_MAX 16
#define SETTLE_MAX_NS NS_PER_SEC

struct duplex {
    struct transport *transport;
    struct str initial;
    size_t initial_used;
};

struct duplex *duplex_new(struct transport *transport, const char *initial, size_t length)
{
    struct duplex *duplex = mem_new(struct duplex);
    duplex->transport = transport;
    transport->write_timeout_ms = -1;
    if (length > 0)
        str_append_n(&duplex->initial, initial, length);
    return duplex;
}

static size_t take_initial(struct duplex *duplex, void *buffer, size_t size)
{
    size_t left = duplex->initial.length - duplex->initial_used;
    if (left > size)
        left = size;
    if (left > 0)
        memcpy(buffer, duplex->initial.data + duplex->initial_used, left);
    duplex->initial_used += left;
    return left;
}

ssize_t duplex_read(struct duplex *duplex, void *buffer, size_t size, int timeout_ms)
{
    size_t n = take_initial(duplex, buffer, size);
    if (n > 0)
        return (ssize_t)n;
    return transport_read(duplex->transport, buffer, size, timeout_ms);
}

int duplex_write(struct duplex *duplex, const void *data, size_t size)
{
    return transport_write(duplex->transport, data, size);
}

void duplex_settle(struct duplex *duplex)
{
    /* SIOCOUTQ counts what a unix peer has not read, and what a TCP peer's kernel has
     * not acknowledged: there its program needs a moment more. */
    const bool local = duplex->transport->kind == TRANSPORT_UNIX;
    const struct timespec nap = {.tv_nsec = 200000}, moment = {.tv_nsec = 10000000};
    const int64_t deadline = clock_mono_ns() + SETTLE_MAX_NS;
    int unread = 0;

    while (ioctl(duplex->transport->fd, SIOCOUTQ, &unread) == 0 && unread > 0 && clock_mono_ns() < deadline)
        nanosleep(&nap, NULL);
    if (!local)
        nanosleep(&moment, NULL);
}

int duplex_fd(struct duplex *duplex)
{
    return duplex->transport->fd;
}

bool duplex_pending(struct duplex *duplex)
{
    return duplex->initial_used < duplex->initial.length || transport_pending(duplex->transport);
}

void duplex_shutdown_write(struct duplex *duplex)
{
    transport_shutdown_write(duplex->transport);
}

void duplex_close(struct duplex *duplex)
{
    if (duplex == NULL)
        return;
    struct transport *transport = duplex->transport;
    /* What was written last must not be lost to a reset because the client's
     * last keystrokes were never read. */
    if (transport->broken || server_stopping(transport->server))
        transport_free(transport);
    else
        front_linger(transport->server->front, transport);
    str_free(&duplex->initial);
    free(duplex);
}

/* --- detach keys -------------------------------------------------------------------------------
 */
struct detach_keys {
    unsigned char keys[DETACH_KEYS_MAX];
    size_t count, matched;
};

/* "ctrl-p,ctrl-q", "a,ctrl-@": Docker's notation. An unknown one: none at all. */
static void parse_detach_keys(const char *text, struct detach_keys *ret)
{
    *ret = (struct detach_keys){.keys = {16, 17}, .count = 2};
    if (text == NULL || text[0] == '\0')
        return;
    ret->count = 0;
    for (const char *at = text; *at != '\0' && ret->count < DETACH_KEYS_MAX;) {
        size_t length = strcspn(at, ",");
        if (length == 1) {
            ret->keys[ret->count++] = (unsigned char)at[0];
        } else if (length == 6 && strncasecmp(at, "ctrl-", 5) == 0) {
            unsigned char c = (unsigned char)at[5];
            if (c >= 'a' && c <= 'z')
                c = (unsigned char)(c - 'a' + 1);
            else if (c >= '@' && c <= '_')
                c = (unsigned char)(c - '@');
            else {
                ret->count = 0;
                return;
            }
            ret->keys[ret->count++] = c;
        } else {
            ret->count = 0;
            return;
        }
        at += length;
        if (*at == ',')
            at++;
    }
}

/* Copies data to out but for the key sequence, of which a beginning is held
 * back. True: the sequence is complete. */
static bool filter_keys(struct detach_keys *keys, const char *data, size_t length, struct str *out)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)data[i];
        if (keys->count > 0 && c == keys->keys[keys->matched]) {
            if (++keys->matched == keys->count)
                return true;
            continue;
        }
        if (keys->matched > 0) {
            str_append_n(out, keys->keys, keys->matched);
            keys->matched = 0;
            if (keys->count > 0 && c == keys->keys[0]) {
                keys->matched = 1;
                continue;
            }
        }
        str_append_char(out, (char)c);
    }
    return false;
}

/* --- joining -------------------------------------------------------------------------------------
 */
struct join {
    struct duplex *duplex;
    int stream;
    bool tty, with_stdin, ends_with_input;
    struct detach_keys keys;
    struct rpc_decoder decoder;
    struct str to_client, to_stream;
    size_t client_sent, stream_sent;
    bool client_ended, stream_ended, detached;
};

static void add_output(struct join *join, uint64_t stream, const void *data, size_t length)
{
    if (length == 0)
        return;
    if (!join->tty) {
        unsigned char header[8] = {(unsigned char)stream,
                                   0,
                                   0,
                                   0,
                                   (unsigned char)(length >> 24),
                                   (unsigned char)(length >> 16),
                                   (unsigned char)(length >> 8),
                                   (unsigned char)length};
        str_append_n(&join->to_client, header, sizeof(header));
    }
    str_append_n(&join->to_client, data, length);
}

/* Bytes of a buffer not yet sent; compacts it when all are. */
static size_t unsent(struct str *buffer, size_t *sent)
{
    if (*sent > 0 && *sent == buffer->length) {
        str_clear(buffer);
        *sent = 0;
    }
    return buffer->length - *sent;
}

static int read_stream(struct join *join)
{
    char buffer[32768];
    ssize_t n = recv(join->stream, buffer, sizeof(buffer), MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    if (n == 0) {
        join->stream_ended = true;
        return 0;
    }
    int r = rpc_decoder_feed(&join->decoder, buffer, (size_t)n);
    struct rpc_frame frame;
    while (r >= 0 && (r = rpc_decoder_next(&join->decoder, &frame)) > 0)
        if (frame.type == RPC_STREAM && (frame.id == 1 || frame.id == 2))
            add_output(join, frame.id, frame.body, frame.length);
    return r;
}

static int read_client(struct join *join)
{
    char buffer[RPC_STREAM_CHUNK];
    size_t initial = take_initial(join->duplex, buffer, sizeof(buffer));
    ssize_t n = initial > 0 ? (ssize_t)initial
                            : transport_read_now(join->duplex->transport, buffer, sizeof(buffer));
    if (n == -EAGAIN)
        return 0;
    if (n < 0)
        return (int)n;
    if (n == 0) {
        join->client_ended = true;
        if (!join->with_stdin)
            return 0;
        if (join->keys.matched > 0)
            rpc_encode(&join->to_stream, RPC_STREAM, 0, 0, join->keys.keys, join->keys.matched);
        rpc_encode(&join->to_stream, RPC_STREAM, 0, 0, NULL, 0);
        return 0;
    }
    if (!join->tty) {
        if (join->with_stdin)
            rpc_encode(&join->to_stream, RPC_STREAM, 0, 0, buffer, (size_t)n);
        return 0;
    }
    CLEANUP_STR struct str keys = STR_INIT;
    join->detached = filter_keys(&join->keys, buffer, (size_t)n, &keys);
    if (keys.length > 0 && join->with_stdin)
        rpc_encode(&join->to_stream, RPC_STREAM, 0, 0, keys.data, keys.length);
    return 0;
}

static int flush_client(struct join *join)
{
    size_t left;
    while ((left = unsent(&join->to_client, &join->client_sent)) > 0) {
        ssize_t n = transport_write_now(join->duplex->transport,
                                        join->to_client.data + join->client_sent, left);
        if (n == -EAGAIN)
            return 0;
        if (n < 0)
            return (int)n;
        join->client_sent += (size_t)n;
    }
    return 0;
}

static int flush_stream(struct join *join)
{
    size_t left;
    while ((left = unsent(&join->to_stream, &join->stream_sent)) > 0) {
        ssize_t n = send(join->stream, join->to_stream.data + join->stream_sent, left,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return 0;
        if (n < 0) {
            /* The process no longer reads; what it still says is to be heard. */
            str_clear(&join->to_stream);
            join->stream_sent = 0;
            join->client_ended = true;
            return 0;
        }
        join->stream_sent += (size_t)n;
    }
    return 0;
}

static int join_step(struct join *join)
{
    struct transport *transport = join->duplex->transport;
    bool want_client =
        !join->client_ended && unsent(&join->to_stream, &join->stream_sent) < BUFFER_MAX;
    bool want_stream =
        !join->stream_ended && unsent(&join->to_client, &join->client_sent) < BUFFER_MAX;
    struct pollfd fds[2] = {
        {.fd = transport->fd,
         .events = (short)((want_client ? POLLIN : 0) |
                           (unsent(&join->to_client, &join->client_sent) ? POLLOUT : 0))},
        {.fd = join->stream,
         .events = (short)((want_stream ? POLLIN : 0) |
                           (unsent(&join->to_stream, &join->stream_sent) ? POLLOUT : 0))},
    };
    if (join->stream_ended)
        fds[1].fd = -1;
    bool pending = want_client && duplex_pending(join->duplex);
    int n = poll(fds, 2, pending ? 0 : -1);
    if (n < 0 && errno != EINTR)
        return -errno;
    if (server_stopping(transport->server))
        return -ESHUTDOWN;
    int r = 0;
    /* A hang-up without POLLIN wanted would spin: both sides of the socket are
     * gone, so nobody is there any more. */
    if ((fds[0].revents & (POLLHUP | POLLERR)) != 0 && !want_client)
        return -EPIPE;
    if (want_client && (pending || (fds[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0))
        r = read_client(join);
    if (r >= 0 && (fds[1].revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
        if (want_stream)
            r = read_stream(join);
        else if ((fds[1].revents & POLLERR) != 0)
            join->stream_ended = true;
    }
    if (r >= 0)
        r = flush_stream(join);
    if (r >= 0)
        r = flush_client(join);
    return r;
}

static void join_free(struct join *join)
{
    close(join->stream);
    duplex_close(join->duplex);
    rpc_decoder_free(&join->decoder);
    str_free(&join->to_client);
    str_free(&join->to_stream);
    free(join);
}

static void run_join(void *user)
{
    struct join *join = user;
    int r = 0;
    while (r >= 0 && !join->detached &&
           !(join->ends_with_input && join->client_ended && unsent(&join->to_stream, &join->stream_sent) == 0) &&
           !(join->stream_ended && unsent(&join->to_client, &join->client_sent) == 0))
        r = join_step(join);
    if (r < 0)
        join->duplex->transport->broken = true;
    join_free(join);
}

int duplex_join(struct request *request, struct duplex *duplex, int stream_fd, bool tty,
                bool with_stdin, bool ends_with_input, const char *detach_keys)
{
    struct server *server = request->server;
    struct join *join = mem_new(struct join);
    join->duplex = duplex;
    join->stream = stream_fd;
    join->tty = tty;
    join->with_stdin = with_stdin;
    join->ends_with_input = ends_with_input;
    parse_detach_keys(detach_keys, &join->keys);
    int r = server_spawn(server, "attach", run_join, join);
    if (r < 0)
        join_free(join);
    return r;
}
