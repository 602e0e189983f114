/* support.c - see support.h. */
#include "support.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "tabique/store.h"
#include "tls.h"
#include "websocket.h"

/* --- the small table ----------------------------------------------------------------------------
 */
static int hello(struct request *request)
{
    return respond_text(request, 200, "text/plain", "hello");
}

static int echo_json(struct request *request)
{
    struct error err = ERROR_INIT;
    cJSON *json = NULL;
    int r = request_json(request, 65536, true, &json, &err);
    if (r < 0)
        return respond_error(request, &err);
    return json != NULL ? respond_json(request, 200, json) : respond_empty(request, 204);
}

static int swallow(struct request *request)
{
    uint64_t total = 0, sum = 0;
    for (;;) {
        unsigned char buffer[4096];
        ssize_t n = request_read(request, buffer, sizeof(buffer));
        if (n == 0)
            break;
        if (n < 0)
            return respond_status_error(request, 400, "body: %zd", n);
        for (ssize_t i = 0; i < n; i++)
            sum += buffer[i];
        total += (uint64_t)n;
    }
    char text[64];
    snprintf(text, sizeof(text), "%llu %llu", (unsigned long long)total, (unsigned long long)sum);
    return respond_text(request, 200, "text/plain", text);
}

static int ignore_body(struct request *request)
{
    return respond_text(request, 200, "text/plain", "ignored");
}

static int parameters(struct request *request)
{
    CLEANUP_STR struct str out = STR_INIT;
    str_printf(&out, "%s|%s|%s|%d", request_param(request, "id"), request_param(request, "name"),
               request_query(request, "q") != NULL ? request_query(request, "q") : "-",
               request_api_version(request));
    return respond_text(request, 200, "text/plain", out.data);
}

static int stream(struct request *request)
{
    respond_begin(request, 200, "text/plain");
    for (int i = 0; i < 3; i++) {
        char text[16];
        snprintf(text, sizeof(text), "line %d\n", i);
        respond_write(request, text, strlen(text));
    }
    return respond_end(request);
}

static int follow(struct request *request, void *user)
{
    respond_begin(request, 200, "text/plain");
    while (!request_gone(request)) {
        if (respond_write(request, ".", 1) < 0)
            break;
        usleep(10000);
    }
    return 0;
}

static int follow_route(struct request *request)
{
    return request_detach(request, follow, NULL, NULL);
}

static int late(struct request *request, void *user)
{
    return respond_text(request, 200, "text/plain", "late");
}
static int late_route(struct request *request)
{
    return request_detach(request, late, NULL, NULL);
}

static int sleepy(struct request *request)
{
    usleep(300000);
    return respond_text(request, 200, "text/plain", "slept");
}

static int hijack(struct request *request)
{
    struct duplex *duplex = NULL;
    int r = respond_hijack(request, NULL, &duplex);
    if (r < 0)
        return r;
    for (;;) {
        char buffer[256];
        ssize_t n = duplex_read(duplex, buffer, sizeof(buffer), 5000);
        if (n <= 0)
            break;
        duplex_write(duplex, buffer, (size_t)n);
    }
    duplex_write(duplex, "bye", 3);
    duplex_close(duplex);
    return 0;
}

int fixture_stream = -EBADF;

static int join(struct request *request)
{
    struct duplex *duplex = NULL;
    int pair[2];
    bool tty = request_query_bool(request, "tty", false);
    const char *keys = request_query(request, "detachKeys");
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    fixture_stream = pair[1];
    int r = respond_hijack(request, NULL, &duplex);
    if (r < 0)
        return r;
    return duplex_join(request, duplex, pair[0], tty, request_query_bool(request, "stdin", true), false,
                       keys);
}

static int header_injection(struct request *request)
{
    const char *value = request_query(request, "v");
    respond_header(request, "X-Value", value != NULL ? value : "");
    return respond_empty(request, 204);
}

static void socket_message(struct web_socket *socket, void *user, bool binary, const void *data,
                           size_t length)
{
    web_socket_send(socket, binary, data, length);
}

static int socket_echo(struct request *request)
{
    static const struct web_socket_handlers handlers = {.message = socket_message};
    struct web_socket *socket = NULL;
    int r = web_socket_accept(request, &handlers, NULL, 4096, &socket);
    web_socket_unref(socket);
    return r;
}

static const struct route table[] = {
    {"GET", "/hello", PERMISSION_PUBLIC, ROUTE_DOCKER, hello},
    {"POST", "/echo", PERMISSION_VIEW, ROUTE_DOCKER, echo_json},
    {"PUT", "/swallow", PERMISSION_VIEW, ROUTE_DOCKER, swallow},
    {"POST", "/ignore", PERMISSION_VIEW, ROUTE_DOCKER, ignore_body},
    {"POST", "/public", PERMISSION_PUBLIC, 0, echo_json},
    {"GET", "/things/list", PERMISSION_VIEW, ROUTE_DOCKER, hello},
    {"GET", "/things/{id}", PERMISSION_VIEW, ROUTE_DOCKER, parameters},
    {"GET", "/things/{name...}/json", PERMISSION_VIEW, ROUTE_DOCKER, parameters},
    {"DELETE", "/things/{name...}", PERMISSION_OPERATE, ROUTE_DOCKER | ROUTE_AUDIT, parameters,
     "thing.delete"},
    {"GET", "/stream", PERMISSION_VIEW, ROUTE_DOCKER, stream},
    {"GET", "/follow", PERMISSION_VIEW, ROUTE_DOCKER, follow_route},
    {"GET", "/late", PERMISSION_VIEW, ROUTE_DOCKER, late_route},
    {"GET", "/sleepy", PERMISSION_VIEW, ROUTE_DOCKER, sleepy},
    {"POST", "/hijack", PERMISSION_EXEC, ROUTE_DOCKER | ROUTE_UPGRADE, hijack},
    {"POST", "/join", PERMISSION_EXEC, ROUTE_DOCKER | ROUTE_UPGRADE, join},
    {"GET", "/inject", PERMISSION_VIEW, 0, header_injection},
    {"GET", "/socket", PERMISSION_VIEW, ROUTE_UPGRADE, socket_echo},
    {"GET", "/api/v1/logs-only", PERMISSION_LOGS, 0, hello},
    {"POST", "/api/v1/operate", PERMISSION_OPERATE, ROUTE_AUDIT, ignore_body, "operate"},
    {"POST", "/api/v1/exec-only", PERMISSION_EXEC, ROUTE_AUDIT, ignore_body, "exec"},
    {"POST", "/api/v1/admin-only", PERMISSION_ADMIN, ROUTE_AUDIT, ignore_body, "admin"},
    {0},
};
static const struct route *const tables[] = {table, routes_account, NULL};

/* --- server
 * ---------------------------------------------------------------------------------------- */
void fixture_start(struct fixture *fixture, bool with_store,
                   void (*change)(struct server_options *options))
{
    struct error err = ERROR_INIT;
    *fixture = (struct fixture){.dir = "/tmp/tabique-server-XXXXXX"};
    assert_non_null(mkdtemp(fixture->dir));
    fixture->certificate = path_join(fixture->dir, "tls/cert.pem");
    fixture->key = path_join(fixture->dir, "tls/key.pem");
    fixture->socket = path_join(fixture->dir, "server.sock");
    bool made;
    CLEANUP_STRV char **names = strv_split("localhost,127.0.0.1", ',');
    if (tls_certificate_ensure(fixture->certificate, fixture->key, names, &made, &err) < 0)
        fail_msg("%s", err.message);
    fixture->listen = strv_split("127.0.0.1:0,http://127.0.0.1:0", ',');
    if (with_store) {
        CLEANUP_FREE char *path = path_join(fixture->dir, "history.db");
        struct store_options store_options = {.path = path};
        if (store_open(&store_options, &fixture->store, &err) < 0)
            fail_msg("%s", err.message);
    }
    struct server_options options = {
        .store = fixture->store,
        .tables = tables,
        .listen = fixture->listen,
        .socket = fixture->socket,
        .tls_certificate = fixture->certificate,
        .tls_key = fixture->key,
        .data_dir = fixture->dir,
        .threads = 4,
    };
    if (change != NULL)
        change(&options);
    if (server_start(&options, &fixture->server, &err) < 0)
        fail_msg("%s", err.message);
    fixture->tls_port = server_port(fixture->server, 0);
    fixture->http_port = server_port(fixture->server, 1);
}

void fixture_stop(struct fixture *fixture)
{
    server_stop(fixture->server);
    if (fixture->store != NULL)
        store_close(fixture->store);
    path_remove_tree(-100 /* AT_FDCWD */, fixture->dir);
    free(fixture->socket);
    free(fixture->certificate);
    free(fixture->key);
    strv_free(fixture->listen);
}

/* --- client
 * ------------------------------------------------------------------------------------------ */
int dial(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

int dial_socket(const struct fixture *fixture)
{
    int fd = socket_connect(fixture->socket);
    assert_true(fd >= 0);
    return fd;
}

void send_bytes(int fd, const void *data, size_t length)
{
    const char *at = data;
    while (length > 0) {
        ssize_t n = send(fd, at, length, MSG_NOSIGNAL);
        if (n <= 0)
            return; /* the server has had enough: the answer tells */
        at += n;
        length -= (size_t)n;
    }
}

void send_all(int fd, const char *text)
{
    send_bytes(fd, text, strlen(text));
}

bool receive_all(int fd, struct str *out, int timeout_ms)
{
    for (;;) {
        char buffer[65536];
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        if (poll(&poll_fd, 1, timeout_ms) <= 0)
            return false;
        ssize_t n = recv(fd, buffer, sizeof(buffer), 0);
        if (n <= 0)
            return true;
        str_append_n(out, buffer, (size_t)n);
    }
}

static bool whole(const struct str *out)
{
    size_t head = head_length(out->data, out->length);
    if (head == 0)
        return false;
    char *text = mem_strndup(out->data, head);
    const char *length = strcasestr(text, "\r\ncontent-length:");
    bool chunked = strcasestr(text, "\r\ntransfer-encoding: chunked") != NULL;
    bool bodiless = strstr(text, " 204 ") != NULL || strstr(text, " 304 ") != NULL ||
                    strstr(text, " 101 ") != NULL;
    size_t want = head + (length != NULL ? strtoul(length + 17, NULL, 10) : 0);
    free(text);
    if (bodiless)
        return true;
    if (chunked)
        return out->length >= 5 && memcmp(out->data + out->length - 5, "0\r\n\r\n", 5) == 0;
    return out->length >= want;
}

int receive_answer(int fd, struct str *out)
{
    str_clear(out);
    while (out->length == 0 || !whole(out)) {
        char buffer[65536];
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        if (poll(&poll_fd, 1, 10000) <= 0)
            return -1;
        ssize_t n = recv(fd, buffer, sizeof(buffer), 0);
        if (n <= 0)
            return -1;
        str_append_n(out, buffer, (size_t)n);
    }
    return (int)strtol(out->data + 9, NULL, 10);
}

int ask(int port, const char *request, struct str *out)
{
    int fd = dial(port);
    send_all(fd, request);
    str_clear(out);
    receive_all(fd, out, 5000);
    close(fd);
    return out->length > 12 ? (int)strtol(out->data + 9, NULL, 10) : -1;
}
