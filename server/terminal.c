/* terminal.c - a container's streams over a WebSocket: Docker's attach/ws, and the
 * console's terminal for an exec.
 *
 * Both ends live on the sockets' thread. Binary frames are bytes of stdin and of
 * the output. For the console's exec, a text frame {"resize":[COLUMNS,ROWS]} sets
 * the size, {"hangup":true} ends it as a terminal's closing does, and {"exit":CODE} is
 * the last thing said; Docker's attach takes text frames as stdin, too.
 *
 * A console that lost its connection comes back with the number of bytes it has
 * (?seen=N): the first frame, {"from":F,"to":T}, says with which byte the output goes on, and
 * up to which it was written before.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/mem.h"
#include "pool.h"
#include "routes.h"
#include "rpc/rpc.h"
#include "server_internal.h"
#include "tabique/container.h"
#include "tabique/error.h"
#include "websocket.h"

#define MESSAGE_MAX (1u << 20)
#define OUTPUT_MAX (256u << 10) /* queued at the client: the container waits */
#define INPUT_MAX (4u << 20)    /* queued for the container: the client is cut off */

struct terminal {
    atomic_int references;
    struct server *server;
    struct engine *engine;
    struct web_socket *socket;
    int stream;
    struct loop_source *source;
    struct rpc_decoder decoder;
    struct str input;
    size_t input_sent;
    bool with_stdin, paused, ended, closed, joined;
    struct exec_rejoined back; /* joined */
    char exec_id[65]; /* "" : attached to the container itself */
};

static void terminal_unref(struct terminal *terminal)
{
    if (atomic_fetch_sub(&terminal->references, 1) != 1)
        return;
    if (terminal->stream >= 0)
        close(terminal->stream);
    rpc_decoder_free(&terminal->decoder);
    str_free(&terminal->input);
    web_socket_unref(terminal->socket);
    free(terminal);
}

static void watch(struct terminal *terminal)
{
    if (terminal->source == NULL)
        return;
    uint32_t events = terminal->paused ? 0 : EPOLLIN;
    if (terminal->input_sent < terminal->input.length)
        events |= EPOLLOUT;
    loop_set_events(terminal->source, events);
}

#define CLOSE_TAKEN 4009 /* somebody else sits at this terminal now */

/* In a worker: asking for the exit code may wait for the engine. */
static void say_exit(void *user)
{
    struct terminal *terminal = user;
    struct exec_info *info = NULL;
    int code = -1;
    bool runs = true;
    /* The stream's end may be here before the exit is. */
    for (int i = 0; i < 40 && code < 0; i++) {
        if (exec_info(terminal->engine, terminal->exec_id, &info, NULL) < 0) {
            runs = false;
            break;
        }
        if (info->has_exit_code && !info->running)
            code = info->exit_code;
        exec_info_free(info);
        if (code < 0)
            usleep(25000);
    }
    char text[40];
    snprintf(text, sizeof(text), "{\"exit\":%d}", code);
    if (code >= 0)
        web_socket_send(terminal->socket, false, text, strlen(text));
    if (code < 0 && runs)
        web_socket_close(terminal->socket, CLOSE_TAKEN, "the terminal is in use elsewhere");
    else
        web_socket_close(terminal->socket, 1000, "ended");
    terminal_unref(terminal);
}

static void end_stream(struct terminal *terminal)
{
    if (terminal->ended)
        return;
    terminal->ended = true;
    loop_remove(terminal->source);
    terminal->source = NULL;
    if (terminal->closed)
        return;
    if (terminal->exec_id[0] != '\0') {
        atomic_fetch_add(&terminal->references, 1);
        if (pool_submit(terminal->server->workers, say_exit, terminal) == 0)
            return;
        atomic_fetch_sub(&terminal->references, 1);
    }
    web_socket_close(terminal->socket, 1000, "ended");
}

static void send_input(struct terminal *terminal)
{
    while (!terminal->ended && terminal->input_sent < terminal->input.length) {
        ssize_t n =
            send(terminal->stream, terminal->input.data + terminal->input_sent,
                 terminal->input.length - terminal->input_sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            break;
        if (n < 0) {
            /* It reads no more; what it says is still to come. */
            terminal->input_sent = terminal->input.length;
            break;
        }
        terminal->input_sent += (size_t)n;
    }
    if (terminal->input_sent == terminal->input.length) {
        str_clear(&terminal->input);
        terminal->input_sent = 0;
    }
    watch(terminal);
}

static void on_stream(struct loop_source *source, int fd, uint32_t events, void *user)
{
    struct terminal *terminal = user;
    if ((events & EPOLLOUT) != 0)
        send_input(terminal);
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0 || terminal->ended)
        return;
    char buffer[RPC_STREAM_CHUNK];
    ssize_t n = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    int r = n > 0 ? rpc_decoder_feed(&terminal->decoder, buffer, (size_t)n) : -EPIPE;
    struct rpc_frame frame;
    while (r >= 0 && (r = rpc_decoder_next(&terminal->decoder, &frame)) > 0)
        if (frame.type == RPC_STREAM && frame.length > 0)
            r = web_socket_send(terminal->socket, true, frame.body, frame.length);
    if (r < 0) {
        end_stream(terminal);
        return;
    }
    if (web_socket_queued(terminal->socket) > OUTPUT_MAX) {
        terminal->paused = true;
        watch(terminal);
    }
}

struct order {
    struct engine *engine;
    char exec_id[65];
    int signal; /* 0: a new size */
    uint16_t rows, columns;
};

static void do_order(void *user)
{
    struct order *order = user;
    if (order->signal != 0)
        exec_signal(order->engine, order->exec_id, order->signal, NULL);
    else
        exec_resize(order->engine, order->exec_id, order->rows, order->columns, NULL);
    free(order);
}

static void submit_order(struct terminal *terminal, int signal, uint16_t rows, uint16_t columns)
{
    struct order *order = mem_new(struct order);
    order->engine = terminal->engine;
    memcpy(order->exec_id, terminal->exec_id, sizeof(order->exec_id));
    order->signal = signal;
    order->rows = rows;
    order->columns = columns;
    if (pool_submit(terminal->server->workers, do_order, order) < 0)
        free(order);
}

static void on_control(struct terminal *terminal, const void *data, size_t length)
{
    CLEANUP_JSON cJSON *json = NULL;
    if (length > 1024 || json_parse(data, length, &json, NULL) < 0)
        return;
    if (json_bool(json, "hangup", false))
        submit_order(terminal, SIGHUP, 0, 0);
    const cJSON *size = json_get(json, "resize");
    const cJSON *columns = cJSON_IsArray(size) ? cJSON_GetArrayItem(size, 0) : NULL,
                *rows = cJSON_IsArray(size) ? cJSON_GetArrayItem(size, 1) : NULL;
    if (!cJSON_IsNumber(columns) || !cJSON_IsNumber(rows))
        return;
    if (columns->valueint < 1 || columns->valueint > 1000 || rows->valueint < 1 ||
        rows->valueint > 1000)
        return;
    submit_order(terminal, 0, (uint16_t)rows->valueint, (uint16_t)columns->valueint);
}

static void on_message(struct web_socket *socket, void *user, bool binary, const void *data,
                       size_t length)
{
    struct terminal *terminal = user;
    if (!binary && terminal->exec_id[0] != '\0') {
        on_control(terminal, data, length);
        return;
    }
    if (terminal->ended || !terminal->with_stdin || length == 0)
        return;
    if (terminal->input.length - terminal->input_sent > INPUT_MAX) {
        web_socket_close(socket, 1009, "the process does not read what it is sent");
        return;
    }
    const char *at = data;
    while (length > 0) {
        size_t part = length < RPC_STREAM_CHUNK ? length : RPC_STREAM_CHUNK;
        rpc_encode(&terminal->input, RPC_STREAM, 0, 0, at, part);
        at += part;
        length -= part;
    }
    send_input(terminal);
}

static void on_drained(struct web_socket *socket, void *user)
{
    struct terminal *terminal = user;
    terminal->paused = false;
    watch(terminal);
}

static void on_closed(struct web_socket *socket, void *user)
{
    struct terminal *terminal = user;
    terminal->closed = true;
    end_stream(terminal);
    terminal_unref(terminal);
}

/* In the sockets' thread. */
static void begin(void *user)
{
    struct terminal *terminal = user;
    if (!terminal->closed && terminal->joined) {
        char text[80];
        snprintf(text, sizeof(text), "{\"from\":%" PRIu64 ",\"to\":%" PRIu64 "}", terminal->back.from,
                 terminal->back.to);
        web_socket_send(terminal->socket, false, text, strlen(text));
    }
    if (!terminal->closed &&
        loop_add_fd(web_sockets_loop(terminal->server->sockets), terminal->stream, EPOLLIN,
                    on_stream, terminal, &terminal->source) < 0)
        web_socket_close(terminal->socket, 1011, "the stream cannot be watched");
    else if (!terminal->closed)
        send_input(terminal); /* what came before */
    terminal_unref(terminal);
}

/* joined: NULL, or what was come back to. */
static int open_terminal(struct request *request, int stream, bool with_stdin, const char *exec_id,
                         const struct exec_rejoined *joined)
{
    static const struct web_socket_handlers handlers = {
        .message = on_message, .drained = on_drained, .closed = on_closed};
    struct terminal *terminal = mem_new(struct terminal);
    atomic_init(&terminal->references, 2); /* the socket's and begin()'s */
    terminal->server = request->server;
    terminal->engine = request_engine(request);
    terminal->stream = stream;
    terminal->with_stdin = with_stdin;
    terminal->joined = joined != NULL;
    if (joined != NULL)
        terminal->back = *joined;
    if (exec_id != NULL)
        snprintf(terminal->exec_id, sizeof(terminal->exec_id), "%s", exec_id);
    fd_set_nonblock(stream, true);
    struct web_socket *socket = NULL;
    struct server *server = request->server;
    int r = web_socket_accept(request, &handlers, terminal, MESSAGE_MAX, &socket);
    if (r < 0) {
        terminal_unref(terminal);
        terminal_unref(terminal);
        return 0;
    }
    terminal->socket = socket;
    loop_post(web_sockets_loop(server->sockets), begin, terminal);
    return 0;
}

static bool refuse_others(struct request *request)
{
    if (request_is_websocket(request))
        return false;
    respond_header(request, "Upgrade", "websocket");
    respond_status_error(request, 426, "this address speaks WebSocket only");
    return true;
}

int terminal_attach(struct request *request);
int terminal_exec(struct request *request);

int terminal_attach(struct request *request)
{
    struct error err = ERROR_INIT;
    CLEANUP_CONTAINER struct container *container = NULL;
    int r = route_container(request, &container, &err);
    if (r < 0)
        return route_fail(request, r, &err);
    if (refuse_others(request))
        return 0;
    unsigned streams = (request_query_bool(request, "stdin", false) ? 1u : 0) |
                       (request_query_bool(request, "stdout", false) ? 2u : 0) |
                       (request_query_bool(request, "stderr", false) ? 4u : 0);
    if (streams == 0)
        streams = 7;
    int stream = -EBADF;
    if (r >= 0)
        r = container_attach(container, request_param(request, "id"), streams, &stream, &err);
    if (r < 0)
        return route_fail(request, r, &err);
    return open_terminal(request, stream, (streams & 1) != 0, NULL, NULL);
}

int terminal_exec(struct request *request)
{
    struct error err = ERROR_INIT;
    struct exec_info *info = NULL;
    const char *id = request_param(request, "id");
    int64_t rows = 0, columns = 0, seen = -1;
    if (refuse_others(request))
        return 0;
    int r = request_query_int(request, "rows", 0, &rows, &err);
    if (r >= 0)
        r = request_query_int(request, "cols", 0, &columns, &err);
    if (r >= 0 && (rows < 0 || rows > 1000 || columns < 0 || columns > 1000))
        r = error_set(&err, EINVAL, "rows and cols must be at most 1000");
    if (r >= 0 && request_query(request, "seen") != NULL) {
        r = request_query_int(request, "seen", 0, &seen, &err);
        if (r >= 0 && seen < 0)
            r = error_set(&err, EINVAL, "seen must be a number of bytes");
    }
    if (r >= 0)
        r = exec_info(request_engine(request), id, &info, &err);
    if (r < 0)
        return route_fail(request, r, &err);
    bool tty = info->tty, with_stdin = info->open_stdin;
    exec_info_free(info);
    int stream = -EBADF;
    struct exec_rejoined back = {0};
    r = seen >= 0 ? exec_rejoin(request_engine(request), id, (uint64_t)seen, &stream, &back, &err)
                  : exec_start(request_engine(request), id, false, tty, (uint16_t)rows,
                               (uint16_t)columns, &stream, &err);
    if (r < 0)
        return route_fail(request, r, &err);
    if (seen >= 0 && rows > 0 && columns > 0)
        (void)exec_resize(request_engine(request), id, (uint16_t)rows, (uint16_t)columns, NULL);
    return open_terminal(request, stream, with_stdin, id, seen >= 0 ? &back : NULL);
}
