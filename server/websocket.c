/* websocket.c - see websocket.h. */
#include "websocket.h"

#include <errno.h>
#include <mbedtls/base64.h>
#include <mbedtls/sha1.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <wslay/wslay.h>

#include "base/clock.h"
#include "base/loop.h"
#include "base/mem.h"
#include "civetweb_unit.h"
#include "server_internal.h"
#include "tabique/error.h"
#include "transport.h"

#define LAST_WORDS_S 5 /* to send what is queued and the close frame */

struct shared_text {
    atomic_int references;
    size_t length;
    char *text;
};

struct outgoing {
    struct outgoing *next;
    struct shared_text *rest; /* NULL: all of it is in data */
    bool binary;
    size_t length;
    char data[];
};

struct web_socket {
    atomic_int references;
    struct web_sockets *sockets;
    struct web_socket *previous, *next; /* the loop thread's list */
    struct transport *transport;
    struct loop_source *source;
    wslay_event_context_ptr wslay;
    struct str initial; /* bytes that came with the handshake */
    size_t initial_used;
    struct web_socket_handlers handlers;
    void *user;
    int64_t heard_ns, close_ns;
    bool ended, failed;

    pthread_mutex_t lock; /* below */
    struct outgoing *first, **last;
    size_t queued; /* bytes */
    bool posted, closed, closing, was_busy;
    uint16_t close_code;
    char close_reason[100];
};

struct web_sockets {
    struct server *server;
    struct loop *loop;
    pthread_t thread;
    bool running;
    struct web_socket *list;
    atomic_size_t count;
};

/* --- shared texts ------------------------------------------------------------------------- */
struct shared_text *shared_text_new(char *text, size_t length)
{
    struct shared_text *shared = mem_new(struct shared_text);
    atomic_init(&shared->references, 1);
    shared->text = text;
    shared->length = length;
    return shared;
}

struct shared_text *shared_text_ref(struct shared_text *text)
{
    atomic_fetch_add(&text->references, 1);
    return text;
}

void shared_text_unref(struct shared_text *text)
{
    if (text == NULL || atomic_fetch_sub(&text->references, 1) != 1)
        return;
    free(text->text);
    free(text);
}

/* --- life ------------------------------------------------------------------------------------ */
struct web_socket *web_socket_ref(struct web_socket *socket)
{
    atomic_fetch_add(&socket->references, 1);
    return socket;
}

static void outgoing_free(struct outgoing *out)
{
    shared_text_unref(out->rest);
    free(out);
}

void web_socket_unref(struct web_socket *socket)
{
    if (socket == NULL || atomic_fetch_sub(&socket->references, 1) != 1)
        return;
    while (socket->first != NULL) {
        struct outgoing *next = socket->first->next;
        outgoing_free(socket->first);
        socket->first = next;
    }
    pthread_mutex_destroy(&socket->lock);
    str_free(&socket->initial);
    free(socket);
}

/* In the loop's thread. */
static void end(struct web_socket *socket)
{
    if (socket->ended)
        return;
    socket->ended = true;
    pthread_mutex_lock(&socket->lock);
    socket->closed = true;
    pthread_mutex_unlock(&socket->lock);
    loop_remove(socket->source);
    socket->source = NULL;
    if (socket->previous != NULL)
        socket->previous->next = socket->next;
    else
        socket->sockets->list = socket->next;
    if (socket->next != NULL)
        socket->next->previous = socket->previous;
    atomic_fetch_sub(&socket->sockets->count, 1);
    if (socket->handlers.closed != NULL)
        socket->handlers.closed(socket, socket->user);
    wslay_event_context_free(socket->wslay);
    transport_free(socket->transport);
    socket->transport = NULL;
    web_socket_unref(socket);
}

/* --- wslay's side ----------------------------------------------------------------------------- */
static ssize_t on_receive(wslay_event_context_ptr context, uint8_t *buffer, size_t size, int flags,
                          void *user)
{
    struct web_socket *socket = user;
    size_t left = socket->initial.length - socket->initial_used;
    if (left > 0) {
        if (left > size)
            left = size;
        memcpy(buffer, socket->initial.data + socket->initial_used, left);
        socket->initial_used += left;
        return (ssize_t)left;
    }
    ssize_t n = transport_read_now(socket->transport, buffer, size);
    if (n > 0) {
        socket->heard_ns = clock_mono_ns();
        return n;
    }
    if (n != -EAGAIN)
        socket->failed = true;
    wslay_event_set_error(context,
                          n == -EAGAIN ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static ssize_t on_send(wslay_event_context_ptr context, const uint8_t *data, size_t size, int flags,
                       void *user)
{
    struct web_socket *socket = user;
    ssize_t n = transport_write_now(socket->transport, data, size);
    if (n >= 0)
        return n;
    if (n != -EAGAIN)
        socket->failed = true;
    wslay_event_set_error(context,
                          n == -EAGAIN ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static void on_message(wslay_event_context_ptr context,
                       const struct wslay_event_on_msg_recv_arg *message, void *user)
{
    struct web_socket *socket = user;
    if (wslay_is_ctrl_frame(message->opcode))
        return; /* wslay answers pings and closes */
    pthread_mutex_lock(&socket->lock);
    bool closing = socket->closing;
    pthread_mutex_unlock(&socket->lock);
    if (!closing && socket->handlers.message != NULL)
        socket->handlers.message(socket, socket->user, message->opcode == WSLAY_BINARY_FRAME,
                                 message->msg, message->msg_length);
}

static struct outgoing *take_outgoing(struct web_socket *socket)
{
    pthread_mutex_lock(&socket->lock);
    struct outgoing *out = socket->first;
    if (out != NULL) {
        socket->first = out->next;
        if (socket->first == NULL)
            socket->last = &socket->first;
        socket->queued -= out->length + (out->rest != NULL ? out->rest->length : 0);
    }
    pthread_mutex_unlock(&socket->lock);
    return out;
}

static void queue_one(struct web_socket *socket, struct outgoing *out)
{
    struct wslay_event_msg message = {.opcode = out->binary ? WSLAY_BINARY_FRAME : WSLAY_TEXT_FRAME,
                                      .msg = (uint8_t *)out->data,
                                      .msg_length = out->length};
    char *whole = NULL;
    if (out->rest != NULL) {
        whole = malloc(out->length + out->rest->length);
        if (whole == NULL) {
            socket->failed = true;
            return;
        }
        memcpy(whole, out->data, out->length);
        memcpy(whole + out->length, out->rest->text, out->rest->length);
        message.msg = (uint8_t *)whole;
        message.msg_length = out->length + out->rest->length;
    }
    if (wslay_event_queue_msg(socket->wslay, &message) != 0)
        socket->failed = true;
    free(whole);
}

/* Sends what there is, one message in wslay at a time, so that little is copied
 * ahead of a client that reads slowly. In the loop's thread; may end the socket. */
static void pump(struct web_socket *socket)
{
    while (!socket->failed) {
        if (wslay_event_want_write(socket->wslay)) {
            if (wslay_event_send(socket->wslay) != 0)
                socket->failed = true;
            if (wslay_event_want_write(socket->wslay))
                break; /* the kernel's buffer is full */
        }
        struct outgoing *out = take_outgoing(socket);
        if (out != NULL) {
            queue_one(socket, out);
            outgoing_free(out);
            continue;
        }
        pthread_mutex_lock(&socket->lock);
        bool drained = socket->was_busy;
        socket->was_busy = false;
        bool say_close = socket->closing && socket->close_code != 0;
        uint16_t code = socket->close_code;
        socket->close_code = 0;
        pthread_mutex_unlock(&socket->lock);
        if (say_close) {
            wslay_event_queue_close(socket->wslay, code, (uint8_t *)socket->close_reason,
                                    strlen(socket->close_reason));
            continue;
        }
        if (drained && socket->handlers.drained != NULL) {
            socket->handlers.drained(socket, socket->user);
            continue;
        }
        break;
    }
    /* Both close frames are through, or wslay gave up on a peer that breaks the rules. */
    bool over = !wslay_event_want_read(socket->wslay) && !wslay_event_want_write(socket->wslay);
    if (socket->failed || over) {
        end(socket);
        return;
    }
    uint32_t events = EPOLLRDHUP | (wslay_event_want_read(socket->wslay) ? EPOLLIN : 0) |
                      (wslay_event_want_write(socket->wslay) ? EPOLLOUT : 0);
    loop_set_events(socket->source, events);
}

static void on_ready(struct loop_source *source, int fd, uint32_t events, void *user)
{
    struct web_socket *socket = user;
    if (wslay_event_want_read(socket->wslay) && wslay_event_recv(socket->wslay) != 0)
        socket->failed = true;
    else if ((events & (EPOLLERR | EPOLLHUP)) != 0)
        socket->failed = true;
    pump(socket);
}

static void on_posted(void *user)
{
    struct web_socket *socket = user;
    pthread_mutex_lock(&socket->lock);
    socket->posted = false;
    pthread_mutex_unlock(&socket->lock);
    if (!socket->ended)
        pump(socket);
    web_socket_unref(socket);
}

/* Caller holds the lock. */
static void post(struct web_socket *socket)
{
    if (socket->posted)
        return;
    socket->posted = true;
    loop_post(socket->sockets->loop, on_posted, web_socket_ref(socket));
}

static int enqueue(struct web_socket *socket, bool binary, const void *data, size_t length,
                   struct shared_text *rest)
{
    size_t total = length + (rest != NULL ? rest->length : 0);
    int r = 0;
    pthread_mutex_lock(&socket->lock);
    if (socket->closed || socket->closing) {
        r = -EPIPE;
    } else if (socket->queued > 0 && socket->queued + total > WEB_SOCKET_QUEUE_MAX) {
        r = -EAGAIN;
    } else {
        struct outgoing *out = mem_alloc(sizeof(*out) + length);
        out->binary = binary;
        out->length = length;
        out->rest = rest != NULL ? shared_text_ref(rest) : NULL;
        if (length > 0)
            memcpy(out->data, data, length);
        *socket->last = out;
        socket->last = &out->next;
        socket->queued += total;
        socket->was_busy = true;
        post(socket);
    }
    pthread_mutex_unlock(&socket->lock);
    return r;
}

int web_socket_send(struct web_socket *socket, bool binary, const void *data, size_t length)
{
    return enqueue(socket, binary, data, length, NULL);
}

int web_socket_send_shared(struct web_socket *socket, const char *prefix, struct shared_text *rest)
{
    return enqueue(socket, false, prefix, strlen(prefix), rest);
}

size_t web_socket_queued(struct web_socket *socket)
{
    pthread_mutex_lock(&socket->lock);
    size_t queued = socket->queued;
    pthread_mutex_unlock(&socket->lock);
    return queued;
}

void web_socket_close(struct web_socket *socket, uint16_t code, const char *reason)
{
    pthread_mutex_lock(&socket->lock);
    if (!socket->closed && !socket->closing) {
        socket->closing = true;
        socket->close_code = code;
        snprintf(socket->close_reason, sizeof(socket->close_reason), "%s", reason);
        socket->close_ns = clock_mono_ns();
        post(socket);
    }
    pthread_mutex_unlock(&socket->lock);
}

/* --- accepting -----------------------------------------------------------------------------------
 */
static bool has_word(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = list; at != NULL && *at != '\0';) {
        while (*at == ' ' || *at == ',' || *at == '\t')
            at++;
        if (strncasecmp(at, word, length) == 0 &&
            (at[length] == '\0' || strchr(" ,\t", at[length]) != NULL))
            return true;
        at = strchr(at, ',');
    }
    return false;
}

/* RFC 6455, 4.2.2 */
static void accept_value(const char *key, char out[32])
{
    CLEANUP_FREE char *text = mem_printf("%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    unsigned char hash[20];
    size_t length;
    mbedtls_sha1((unsigned char *)text, strlen(text), hash);
    mbedtls_base64_encode((unsigned char *)out, 32, &length, hash, sizeof(hash));
}

static void on_accepted(void *user)
{
    struct web_socket *socket = user;
    struct web_sockets *sockets = socket->sockets;
    socket->next = sockets->list;
    if (socket->next != NULL)
        socket->next->previous = socket;
    sockets->list = socket;
    if (loop_add_fd(sockets->loop, socket->transport->fd, EPOLLIN | EPOLLRDHUP, on_ready, socket,
                    &socket->source) < 0 ||
        server_stopping(sockets->server)) {
        end(socket);
        return;
    }
    /* Frames may have come with the handshake, or wait decrypted. */
    on_ready(socket->source, socket->transport->fd, 0, socket);
}

int web_socket_accept(struct request *request, const struct web_socket_handlers *handlers,
                      void *user, size_t message_max, struct web_socket **ret_socket)
{
    const char *key = request_header(request, "Sec-WebSocket-Key");
    const char *version = request_header(request, "Sec-WebSocket-Version");
    if (!request_is_websocket(request) ||
        !has_word(request_header(request, "Connection"), "upgrade") ||
        strcmp(request_method(request), "GET") != 0 || request->head.http10) {
        respond_header(request, "Upgrade", "websocket");
        respond_status_error(request, 426, "this address speaks WebSocket only");
        return -EPROTO;
    }
    if (version == NULL || strcmp(version, "13") != 0) {
        respond_header(request, "Sec-WebSocket-Version", "13");
        respond_status_error(request, 426, "WebSocket version 13 is spoken here");
        return -EPROTO;
    }
    if (key == NULL || strlen(key) != 24) {
        respond_status_error(request, 400, "malformed Sec-WebSocket-Key");
        return -EPROTO;
    }
    struct web_sockets *sockets = request->server->sockets;
    struct web_socket *socket = mem_new(struct web_socket);
    const struct wslay_event_callbacks callbacks = {
        .recv_callback = on_receive, .send_callback = on_send, .on_msg_recv_callback = on_message};
    if (wslay_event_context_server_init(&socket->wslay, &callbacks, socket) != 0) {
        free(socket);
        respond_status_error(request, 503, "out of memory");
        return -ENOMEM;
    }
    wslay_event_config_set_max_recv_msg_length(socket->wslay, message_max);

    char accept[32];
    accept_value(key, accept);
    CLEANUP_STR struct str head = STR_INIT;
    str_printf(&head,
               "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: "
               "Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
               accept);
    struct transport *transport = request->transport;
    request->begun = request->ended = true;
    request->status = 101;
    dispatch_audit(request);
    atomic_fetch_add(&sockets->count, 1);
    int r = transport_write(transport, head.data, head.length);
    if (r < 0) {
        atomic_fetch_sub(&sockets->count, 1);
        request->close = true;
        wslay_event_context_free(socket->wslay);
        free(socket);
        return -EPIPE;
    }
    atomic_init(&socket->references, 2); /* the loop's and the caller's */
    pthread_mutex_init(&socket->lock, NULL);
    socket->last = &socket->first;
    socket->sockets = sockets;
    socket->transport = TAKE_PTR(request->transport);
    socket->handlers = *handlers;
    socket->user = user;
    socket->heard_ns = clock_mono_ns();
    const char *left = NULL;
    size_t length = message_leftover(request->message, &left);
    if (length > 0)
        str_append_n(&socket->initial, left, length);
    *ret_socket = socket;
    /* The caller's `user` is complete before the first message can come. */
    loop_post(sockets->loop, on_accepted, socket);
    return 0;
}

/* --- all of them
 * ------------------------------------------------------------------------------------ */
static void on_tick(struct loop_source *source, void *user)
{
    struct web_sockets *sockets = user;
    int64_t now = clock_mono_ns();
    for (struct web_socket *at = sockets->list, *next; at != NULL; at = next) {
        next = at->next;
        pthread_mutex_lock(&at->lock);
        bool overdue = at->closing && now - at->close_ns > LAST_WORDS_S * NS_PER_SEC;
        pthread_mutex_unlock(&at->lock);
        if (overdue || now - at->heard_ns > WEB_SOCKET_SILENCE_S * NS_PER_SEC) {
            end(at);
            continue;
        }
        if (now - at->heard_ns < WEB_SOCKET_PING_S * NS_PER_SEC / 2)
            continue;
        struct wslay_event_msg ping = {
            .opcode = WSLAY_PING, .msg = (const uint8_t *)"", .msg_length = 0};
        if (wslay_event_want_write(at->wslay) || wslay_event_queue_msg(at->wslay, &ping) != 0)
            continue;
        pump(at);
    }
}

static void *run(void *user)
{
    struct web_sockets *sockets = user;
    pthread_setname_np(pthread_self(), "sockets");
    loop_run(sockets->loop);
    return NULL;
}

int web_sockets_new(struct server *server, struct web_sockets **ret, struct error *err)
{
    struct web_sockets *sockets = mem_new(struct web_sockets);
    sockets->server = server;
    int r = loop_new(&sockets->loop);
    if (r < 0) {
        free(sockets);
        return error_errno(err, -r, "event loop");
    }
    struct loop_source *timer;
    r = loop_add_timer(sockets->loop, WEB_SOCKET_PING_S * NS_PER_SEC / 4,
                       WEB_SOCKET_PING_S * NS_PER_SEC / 4, on_tick, sockets, &timer);
    if (r >= 0)
        r = -pthread_create(&sockets->thread, NULL, run, sockets);
    if (r < 0) {
        loop_free(sockets->loop);
        free(sockets);
        return error_errno(err, -r, "sockets' thread");
    }
    sockets->running = true;
    *ret = sockets;
    return 0;
}

static void say_goodbye(void *user)
{
    struct web_sockets *sockets = user;
    for (struct web_socket *at = sockets->list, *next; at != NULL; at = next) {
        next = at->next;
        wslay_event_queue_close(at->wslay, 1001, (const uint8_t *)"the server stops", 16);
        wslay_event_send(at->wslay); /* as far as it goes without waiting */
        end(at);
    }
}

void web_sockets_stop(struct web_sockets *sockets)
{
    if (sockets == NULL || !sockets->running)
        return;
    loop_post(sockets->loop, say_goodbye, sockets);
    loop_stop(sockets->loop);
    pthread_join(sockets->thread, NULL);
    sockets->running = false;
}

void web_sockets_free(struct web_sockets *sockets)
{
    if (sockets == NULL)
        return;
    web_sockets_stop(sockets);
    loop_free(sockets->loop);
    free(sockets);
}

size_t web_sockets_count(struct web_sockets *sockets)
{
    return atomic_load(&sockets->count);
}
struct loop *web_sockets_loop(struct web_sockets *sockets)
{
    return sockets->loop;
}
