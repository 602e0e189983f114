/* test_http.c - a real server on 127.0.0.1, and clients that are not nice. */
#include "support.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

static struct fixture fixture;

static int ask_socket(const char *request, struct str *out)
{
    int fd = dial_socket(&fixture);
    send_all(fd, request);
    int status = receive_answer(fd, out);
    close(fd);
    return status;
}

static bool has(const struct str *out, const char *text)
{
    return out->data != NULL && strstr(out->data, text) != NULL;
}

static void alive(void)
{
    CLEANUP_STR struct str out = STR_INIT;
    assert_int_equal(ask_socket("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n", &out), 200);
}

static void basics(void **state)
{
    CLEANUP_STR struct str out = STR_INIT;
    assert_int_equal(ask_socket("GET /hello HTTP/1.1\r\nHost: api.moby.localhost\r\n\r\n", &out),
                     200);
    assert_true(has(&out, "\r\nApi-Version: 1.51\r\n") && has(&out, "\r\nOstype: linux\r\n") &&
                has(&out, "\r\n\r\nhello"));
    assert_int_equal(ask_socket("GET /v1.43/things/abc?q=1 HTTP/1.1\r\nHost: x\r\n\r\n", &out),
                     200);
    assert_true(has(&out, "abc||1|143"));
    assert_int_equal(ask_socket("GET /things/a/b%2Fc/json HTTP/1.1\r\nHost: x\r\n\r\n", &out), 200);
    assert_true(has(&out, "|a/b/c|-|151"));
    assert_int_equal(ask_socket("GET /things/list HTTP/1.1\r\nHost: x\r\n\r\n", &out), 200);
    assert_true(has(&out, "hello"));
    assert_int_equal(ask_socket("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", &out), 404);
    assert_true(has(&out, "{\"message\":\"page not found\"}"));
    assert_int_equal(ask_socket("GET /v1.99/hello HTTP/1.1\r\nHost: x\r\n\r\n", &out), 400);
    assert_int_equal(ask_socket("GET /v1.99/nothing HTTP/1.1\r\nHost: x\r\n\r\n", &out), 404);
    assert_int_equal(ask_socket("PATCH /hello HTTP/1.1\r\nHost: x\r\n\r\n", &out), 404);
    assert_int_equal(ask_socket("BREW /hello HTTP/1.1\r\nHost: x\r\n\r\n", &out), 400);

    int fd = dial_socket(&fixture);
    send_all(fd, "HEAD /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    str_clear(&out);
    assert_true(receive_all(fd, &out, 5000));
    assert_true(has(&out, "Content-Length: 5\r\n") && !has(&out, "hello"));
    close(fd);
}

static void keep_alive_and_pipelines(void **state)
{
    CLEANUP_STR struct str out = STR_INIT;
    int fd = dial_socket(&fixture);
    for (int i = 0; i < 20; i++) {
        send_all(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: "
                     "application/json\r\nContent-Length: 7\r\n\r\n{\"a\":1}");
        assert_int_equal(receive_answer(fd, &out), 200);
        assert_true(has(&out, "{\"a\":1}"));
        if (i % 5 == 4)
            usleep(30000); /* long enough to be parked */
    }
    /* Three at once, the middle one with a body, one chunked. */
    send_all(fd, "GET /things/one HTTP/1.1\r\nHost: x\r\n\r\n"
                 "PUT /swallow HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
                 "chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
                 "GET /things/three HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    str_clear(&out);
    assert_true(receive_all(fd, &out, 5000));
    assert_true(has(&out, "one||") && has(&out, "5 495") && has(&out, "three||"));
    close(fd);

    /* A body that the handler does not read must not become the next request. */
    fd = dial_socket(&fixture);
    send_all(
        fd,
        "POST /ignore HTTP/1.1\r\nHost: x\r\nContent-Length: 34\r\n\r\nGET /things/evil "
        "HTTP/1.1\r\nHost: x\r\nGET /things/good HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    str_clear(&out);
    receive_all(fd, &out, 5000);
    assert_true(has(&out, "ignored") && has(&out, "good||") && !has(&out, "evil||"));
    close(fd);
    fd = dial_socket(&fixture);
    send_all(fd, "POST /ignore HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1a\r\nGET "
                 "/things/evil HTTP/1.1\r\n\r\n0\r\n\r\n");
    str_clear(&out);
    assert_true(receive_all(fd, &out, 5000)); /* closed rather than guessed */
    assert_true(has(&out, "ignored") && !has(&out, "evil||"));
    close(fd);
}

static void bodies(void **state)
{
    CLEANUP_STR struct str out = STR_INIT;
    enum { SIZE = 3 << 20 };
    char *data = mem_alloc(SIZE);
    memset(data, 1, SIZE);
    char head[200];
    int fd = dial_socket(&fixture);
    snprintf(head, sizeof(head), "PUT /swallow HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n",
             SIZE);
    send_all(fd, head);
    send_bytes(fd, data, SIZE);
    assert_int_equal(receive_answer(fd, &out), 200);
    assert_true(has(&out, "3145728 3145728"));

    send_all(fd, "PUT /swallow HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (size_t at = 0, step = 1; at < SIZE; at += step, step = step * 3 % 70001 + 1) {
        if (at + step > SIZE)
            step = SIZE - at;
        snprintf(head, sizeof(head), "%zx\r\n", step);
        send_all(fd, head);
        send_bytes(fd, data + at, step);
        send_all(fd, "\r\n");
    }
    send_all(fd, "0\r\n\r\n");
    assert_int_equal(receive_answer(fd, &out), 200);
    assert_true(has(&out, "3145728 3145728"));

    /* Expect: 100-continue */
    send_all(
        fd,
        "PUT /swallow HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    char line[26] = "";
    assert_int_equal(recv(fd, line, 25, MSG_WAITALL), 25);
    assert_string_equal(line, "HTTP/1.1 100 Continue\r\n\r\n");
    send_all(fd, "abc");
    assert_int_equal(receive_answer(fd, &out), 200);
    close(fd);
    free(data);

    /* Cut short. */
    fd = dial_socket(&fixture);
    send_all(fd, "PUT /swallow HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\nabc");
    shutdown(fd, SHUT_WR);
    assert_int_equal(receive_answer(fd, &out), 400);
    close(fd);
    /* Bad chunks: a size that is no number, too long, without its line end. */
    static const char *const bad[] = {"zz\r\nabc\r\n0\r\n\r\n",
                                      "-1\r\n\r\n0\r\n\r\n",
                                      "3\r\nabcX\r\n0\r\n\r\n",
                                      "3\nabc\n0\n\n",
                                      "0x3\r\nabc\r\n0\r\n\r\n",
                                      "fffffffffffffffffffffffff\r\nabc",
                                      "3\r\nab",
                                      "\r\n"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        fd = dial_socket(&fixture);
        send_all(fd, "PUT /swallow HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
        send_all(fd, bad[i]);
        shutdown(fd, SHUT_WR);
        int status = receive_answer(fd, &out);
        if (status != 400 && status != -1)
            fail_msg("chunk case %zu: %d", i, status);
        close(fd);
    }
    /* JSON */
    assert_int_equal(ask_socket("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: "
                                "application/json\r\nContent-Length: 6\r\n\r\n{\"a\":,",
                                &out),
                     400);
    assert_int_equal(
        ask_socket("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", &out), 400);
    assert_int_equal(
        ask_socket("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", &out), 204);
    assert_int_equal(ask_socket("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: "
                                "application/json\r\nContent-Length: 99999999\r\n\r\n{",
                                &out),
                     413);
    alive();
}

static void streams_and_detached(void **state)
{
    CLEANUP_STR struct str out = STR_INIT;
    int fd = dial_socket(&fixture);
    send_all(fd, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(receive_answer(fd, &out), 200);
    assert_true(has(&out, "7\r\nline 2\n\r\n0\r\n\r\n"));
    /* The same connection, detached answers, then an ordinary one. */
    for (int i = 0; i < 10; i++) {
        send_all(fd, "GET /late HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_int_equal(receive_answer(fd, &out), 200);
        assert_true(has(&out, "late"));
    }
    send_all(fd, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(receive_answer(fd, &out), 200);
    close(fd);

    /* Followers, more than there are workers: others are served all the same. */
    int fds[32];
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        fds[i] = dial_socket(&fixture);
        send_all(fds[i], "GET /follow HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        char buffer[4096];
        assert_true(recv(fds[i], buffer, sizeof(buffer), 0) > 0);
    }
    alive();
    struct server_counts counts;
    server_counts(fixture.server, &counts);
    assert_int_equal(counts.streams, 32);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        close(fds[i]);
    for (int i = 0; i < 500 && counts.streams > 0; i++) {
        usleep(10000);
        server_counts(fixture.server, &counts);
    }
    assert_int_equal(counts.streams, 0);
}

static void hijacking(void **state)
{
    CLEANUP_STR struct str out = STR_INIT;
    int fd = dial_socket(&fixture);
    /* Bytes right behind the head belong to the stream. */
    send_all(
        fd,
        "POST /hijack HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nearly ");
    send_all(fd, "late");
    shutdown(fd, SHUT_WR);
    assert_true(receive_all(fd, &out, 5000));
    assert_true(str_starts(out.data, "HTTP/1.1 101 UPGRADED\r\n"));
    assert_true(has(&out, "\r\n\r\nearly latebye"));
    close(fd);
    str_clear(&out);
    fd = dial_socket(&fixture);
    send_all(fd, "POST /hijack HTTP/1.1\r\nHost: x\r\n\r\nx");
    shutdown(fd, SHUT_WR);
    assert_true(receive_all(fd, &out, 5000));
    assert_true(str_starts(out.data, "HTTP/1.1 200 OK\r\n") && has(&out, "\r\n\r\nxbye"));
    close(fd);
}

static void hostile_paths_and_headers(void **state)
{
    CLEANUP_STR struct str out = STR_INIT;
    static const char *const bad[] = {"/../etc/passwd",     "/things/../../x", "/things/%2e%2e/x",
                                      "/things/..%2fx",     "/./hello",        "/things/%00",
                                      "/things/%0d%0aX: y", "/things/%",       "/things/%ff",
                                      "/things/a?q=%zz"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        CLEANUP_FREE char *text = mem_printf("GET %s HTTP/1.1\r\nHost: x\r\n\r\n", bad[i]);
        if (ask_socket(text, &out) != 400)
            fail_msg("%s: %s", bad[i], out.data);
    }
    /* A header of the attacker's making. */
    assert_int_equal(
        ask_socket("GET /inject?v=a%0d%0aSet-Cookie:%20x=y HTTP/1.1\r\nHost: x\r\n\r\n", &out),
        204);
    assert_true(has(&out, "X-Value: a??Set-Cookie: x=y\r\n"));

    char *long_text = mem_alloc(200000);
    memset(long_text, 'a', 199999);
    CLEANUP_FREE char *uri = mem_printf("GET /%.20000s HTTP/1.1\r\nHost: x\r\n\r\n", long_text);
    assert_int_equal(ask_socket(uri, &out), 414);
    CLEANUP_FREE char *header =
        mem_printf("GET /hello HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n", long_text);
    assert_int_equal(ask_socket(header, &out), 431);
    CLEANUP_STR struct str many = STR_INIT;
    str_append(&many, "GET /hello HTTP/1.1\r\nHost: x\r\n");
    for (int i = 0; i < 100; i++)
        str_printf(&many, "X-%d: y\r\n", i);
    str_append(&many, "\r\n");
    assert_int_equal(ask_socket(many.data, &out), 431);
    free(long_text);
    int fd = dial_socket(&fixture);
    send_bytes(fd, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello", 24);
    assert_int_equal(receive_answer(fd, &out), 400);
    close(fd);
    alive();
}

static void slow_and_many_clients(void **state)
{
    CLEANUP_STR struct str out = STR_INIT;
    enum { COUNT = 200 };
    int fds[COUNT];
    /* Slow heads, silent clients, silent TLS clients: no worker is theirs. */
    for (int i = 0; i < COUNT; i++) {
        fds[i] = i % 3 == 0 ? dial(fixture.tls_port) : dial(fixture.http_port);
        if (i % 3 == 1)
            send_all(fds[i], "GET /hello HTTP/1.1\r\nHos");
    }
    struct server_counts counts;
    for (int i = 0; i < 20; i++)
        alive();
    server_counts(fixture.server, &counts);
    assert_true(counts.connections >= COUNT / 2);
    assert_true(counts.workers <= 4);
    /* All are thrown out in time: the fixture's limit is one second. */
    bool ended = true;
    for (int i = 0; i < COUNT; i++) {
        struct pollfd poll_fd = {.fd = fds[i], .events = POLLIN};
        ended = ended && poll(&poll_fd, 1, 10000) > 0;
        close(fds[i]);
    }
    assert_true(ended);
    /* Idle keep-alive connections hold none either. */
    for (int i = 0; i < COUNT; i++) {
        fds[i] = dial(fixture.http_port);
        send_all(fds[i], "GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_int_equal(receive_answer(fds[i], &out), 200);
    }
    alive();
    for (int i = 0; i < COUNT; i++)
        close(fds[i]);
}

static void blocking_handlers(void **state)
{
    CLEANUP_STR struct str out = STR_INIT;
    int fds[12]; /* three times as many as workers */
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        fds[i] = dial_socket(&fixture);
        send_all(fds[i], "GET /sleepy HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        assert_int_equal(receive_answer(fds[i], &out), 200);
        close(fds[i]);
    }
}

static void over_the_network(void **state)
{
    CLEANUP_STR struct str out = STR_INIT;
    assert_int_equal(ask(fixture.http_port,
                         "GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
                         &out),
                     200);
    assert_true(has(&out, "Content-Security-Policy: default-src 'none'") &&
                has(&out, "X-Content-Type-Options: nosniff"));
    assert_int_equal(ask(fixture.http_port,
                         "GET /hello HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
                         &out),
                     403);
    assert_int_equal(ask(fixture.http_port,
                         "GET /hello HTTP/1.1\r\nHost: localhost\r\nOrigin: "
                         "https://evil.example\r\nConnection: close\r\n\r\n",
                         &out),
                     403);
    assert_int_equal(
        ask(fixture.http_port,
            "GET /hello HTTP/1.1\r\nHost: localhost\r\nOrigin: null\r\nConnection: close\r\n\r\n",
            &out),
        403);
    assert_int_equal(ask(fixture.http_port,
                         "GET /hello HTTP/1.1\r\nHost: localhost\r\nOrigin: "
                         "http://localhost\r\nConnection: close\r\n\r\n",
                         &out),
                     200);
    assert_int_equal(ask(fixture.http_port,
                         "GET /hello HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: "
                         "cross-site\r\nConnection: close\r\n\r\n",
                         &out),
                     403);
    /* Nobody is signed in. */
    assert_int_equal(ask(fixture.http_port,
                         "GET /things/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
                         &out),
                     401);
    assert_int_equal(ask(fixture.http_port,
                         "POST /hijack HTTP/1.1\r\nHost: localhost\r\nConnection: "
                         "Upgrade\r\nUpgrade: tcp\r\n\r\n",
                         &out),
                     401);
    /* A stranger's body is small or none. */
    assert_int_equal(
        ask(fixture.http_port,
            "POST /public HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999\r\n\r\n", &out),
        413);
    assert_int_equal(
        ask(fixture.http_port,
            "POST /public HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", &out),
        413);
}

static void socket_file(void **state)
{
    struct stat st;
    assert_int_equal(stat(fixture.socket, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0660);
    /* A second server on the same socket or port is refused with a reason. */
    struct error err = ERROR_INIT;
    struct server *other = NULL;
    struct server_options options = fixture.server->options;
    static char *none[] = {NULL};
    options.listen = none;
    assert_int_equal(server_start(&options, &other, &err), -EADDRINUSE);
    assert_non_null(strstr(err.message, "another server"));
    char *address = mem_printf("http://127.0.0.1:%d", fixture.http_port);
    char *taken[] = {address, NULL};
    options.listen = taken;
    options.socket = NULL;
    assert_int_equal(server_start(&options, &other, &err), -EADDRINUSE);
    assert_non_null(strstr(err.message, "is taken"));
    free(address);
    alive();
}

static void short_limits(struct server_options *options)
{
    options->handshake_timeout_ms = 1000;
    options->head_timeout_ms = 1000;
    options->body_timeout_ms = 1000;
}

static int start(void **state)
{
    fixture_start(&fixture, false, short_limits);
    return 0;
}

static int stop(void **state)
{
    fixture_stop(&fixture);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(basics),
        cmocka_unit_test(keep_alive_and_pipelines),
        cmocka_unit_test(bodies),
        cmocka_unit_test(streams_and_detached),
        cmocka_unit_test(hijacking),
        cmocka_unit_test(hostile_paths_and_headers),
        cmocka_unit_test(slow_and_many_clients),
        cmocka_unit_test(blocking_handlers),
        cmocka_unit_test(over_the_network),
        cmocka_unit_test(socket_file),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
