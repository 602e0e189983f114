/* test_websocket.c - sockets: framing, limits, many of them; and static files. */
#include "support.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "tls.h"

static struct fixture fixture;
static char web[80];

static const char handshake[] =
    "GET /socket HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

static int open_socket(struct str *out)
{
    int fd = dial_socket(&fixture);
    send_all(fd, handshake);
    assert_int_equal(receive_answer(fd, out), 101);
    return fd;
}

static void send_frame(int fd, int first, const void *data, size_t length)
{
    CLEANUP_STR struct str frame = STR_INIT;
    unsigned char head[8] = {(unsigned char)first};
    static const unsigned char mask[4] = {1, 2, 3, 4};
    size_t size = 2;
    if (length < 126) {
        head[1] = (unsigned char)(0x80 | length);
    } else {
        head[1] = 0x80 | 126;
        head[2] = (unsigned char)(length >> 8);
        head[3] = (unsigned char)length;
        size = 4;
    }
    str_append_n(&frame, head, size);
    str_append_n(&frame, mask, 4);
    for (size_t i = 0; i < length; i++)
        str_append_char(&frame, (char)(((const unsigned char *)data)[i] ^ mask[i % 4]));
    send_bytes(fd, frame.data, frame.length);
}

/* One unmasked frame; its opcode byte, or -1. */
static int read_frame(int fd, struct str *out)
{
    unsigned char head[2], wide[2];
    struct timeval limit = {.tv_sec = 10};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (recv(fd, head, 2, MSG_WAITALL) != 2)
        return -1;
    size_t length = head[1];
    if (length == 126) {
        if (recv(fd, wide, 2, MSG_WAITALL) != 2)
            return -1;
        length = (size_t)(wide[0] << 8 | wide[1]);
    }
    str_clear(out);
    char buffer[65536];
    if (length > sizeof(buffer) ||
        (length > 0 && recv(fd, buffer, length, MSG_WAITALL) != (ssize_t)length))
        return -1;
    str_append_n(out, buffer, length);
    return head[0];
}

static void echo(void **state)
{
    CLEANUP_STR struct str out = STR_INIT;
    int fd = dial_socket(&fixture);
    send_all(fd, handshake);
    send_frame(fd, 0x81, "early", 5); /* with the handshake, or right behind */
    assert_int_equal(receive_answer(fd, &out), 101);
    assert_non_null(strstr(out.data, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    close(fd);

    fd = open_socket(&out);
    for (int i = 0; i < 50; i++) {
        char text[300];
        memset(text, 'a' + i % 26, sizeof(text));
        send_frame(fd, 0x82, text, (size_t)i * 6);
        assert_int_equal(read_frame(fd, &out), 0x82);
        assert_int_equal(out.length, i * 6);
        assert_memory_equal(out.data, text, out.length);
    }
    /* Fragments with a ping between them. */
    send_frame(fd, 0x01, "hel", 3);
    send_frame(fd, 0x89, "are you there", 13);
    send_frame(fd, 0x80, "lo", 2);
    assert_int_equal(read_frame(fd, &out), 0x8a);
    assert_memory_equal(out.data, "are you there", 13);
    assert_int_equal(read_frame(fd, &out), 0x81);
    assert_memory_equal(out.data, "hello", 5);
    send_frame(fd, 0x88, "\x03\xe8", 2);
    assert_int_equal(read_frame(fd, &out), 0x88);
    assert_true(receive_all(fd, &out, 5000));
    close(fd);
}

static void broken_rules(void **state)
{
    CLEANUP_STR struct str out = STR_INIT;
    char large[5000] = "";
    static const struct {
        const char *bytes;
        size_t length;
        unsigned code;
    } cases[] = {
        {"\x81\x05hello", 7, 1002},                /* not masked */
        {"\xc1\x80\x01\x02\x03\x04", 6, 1002},     /* reserved bit */
        {"\x83\x80\x01\x02\x03\x04", 6, 1002},     /* unknown opcode */
        {"\x81\x81\x00\x00\x00\x00\xff", 7, 1007}, /* not UTF-8 */
        {"\x80\x80\x01\x02\x03\x04", 6, 1002},     /* continuation of nothing */
        {"\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00\x01\x02\x03\x04", 14,
         0}, /* a length beyond 2^63 */
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int fd = open_socket(&out);
        send_bytes(fd, cases[i].bytes, cases[i].length);
        int opcode = read_frame(fd, &out);
        unsigned code =
            out.length >= 2
                ? (unsigned)((unsigned char)out.data[0] << 8 | (unsigned char)out.data[1])
                : 0;
        /* Where the framing itself is lost there is no close frame, just the end. */
        CLEANUP_STR struct str rest = STR_INIT;
        if (opcode == -1 && cases[i].code == 0 && receive_all(fd, &rest, 10)) {
            close(fd);
            continue;
        }
        if (opcode != 0x88 || code != cases[i].code)
            fail_msg("case %zu: opcode %x code %u", i, (unsigned)opcode, code);
        close(fd);
    }
    int fd = open_socket(&out);
    send_frame(fd, 0x82, large, sizeof(large)); /* more than this socket allows */
    assert_int_equal(read_frame(fd, &out), 0x88);
    assert_int_equal((unsigned char)out.data[0] << 8 | (unsigned char)out.data[1], 1009);
    close(fd);

    static const char *const heads[] = {
        "GET /socket HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /socket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n",
        "GET /socket HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: "
        "websocket\r\nSec-WebSocket-Version: 8\r\nSec-WebSocket-Key: "
        "dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        "GET /socket HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: "
        "websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n\r\n",
    };
    static const int statuses[] = {426, 426, 426, 400};
    for (size_t i = 0; i < ARRAY_SIZE(heads); i++) {
        fd = dial_socket(&fixture);
        send_all(fd, heads[i]);
        assert_int_equal(receive_answer(fd, &out), statuses[i]);
        close(fd);
    }
}

static void many(void **state)
{
    enum { COUNT = 400 };
    static int fds[COUNT];
    CLEANUP_STR struct str out = STR_INIT;
    for (int i = 0; i < COUNT; i++)
        fds[i] = open_socket(&out);
    struct server_counts counts;
    server_counts(fixture.server, &counts);
    assert_int_equal(counts.sockets, COUNT);
    assert_true(counts.workers <= 4);
    assert_int_equal(counts.streams, 0);
    for (int i = 0; i < COUNT; i += 37) {
        send_frame(fds[i], 0x81, "x", 1);
        assert_int_equal(read_frame(fds[i], &out), 0x81);
    }
    for (int i = 0; i < COUNT; i++)
        close(fds[i]);
    for (int i = 0; i < 500 && counts.sockets > 0; i++) {
        usleep(10000);
        server_counts(fixture.server, &counts);
    }
    assert_int_equal(counts.sockets, 0);
}

/* --- static files
 * ---------------------------------------------------------------------------------- */
static void put_file(const char *name, const char *text)
{
    CLEANUP_FREE char *path = path_join(web, name);
    CLEANUP_FREE char *dir = path_dir(path);
    path_mkdirs(dir, 0755);
    assert_int_equal(file_write_atomic(AT_FDCWD, path, text, strlen(text), 0644), 0);
}

static int get(const char *path, const char *headers, struct str *out)
{
    CLEANUP_FREE char *text = mem_printf(
        "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s\r\n", path, headers);
    return ask(fixture.http_port, text, out);
}

static void files(void **state)
{
    CLEANUP_STR struct str out = STR_INIT;
    assert_int_equal(get("/", "", &out), 200);
    assert_non_null(strstr(out.data, "Content-Type: text/html; charset=utf-8\r\n"));
    assert_non_null(strstr(out.data, "Cache-Control: no-cache\r\n"));
    assert_non_null(strstr(out.data, "the index"));
    assert_int_equal(get("/ui/containers/abc", "", &out), 200);
    assert_non_null(strstr(out.data, "the index"));
    assert_int_equal(get("/ui/missing.js", "", &out), 404);
    assert_int_equal(get("/app.0a1b2c3d4e.js", "", &out), 200);
    assert_non_null(strstr(out.data, "text/javascript"));
    assert_non_null(strstr(out.data, "immutable"));
    assert_int_equal(get("/app.js", "", &out), 200);
    char tag[64] = "";
    const char *at = strstr(out.data, "ETag: ");
    assert_non_null(at);
    snprintf(tag, sizeof(tag), "If-None-Match: %.*s\r\n", (int)strcspn(at + 6, "\r"), at + 6);
    assert_int_equal(get("/app.js", tag, &out), 304);
    assert_null(strstr(out.data, "plain"));
    put_file("app.js", "changed");
    assert_int_equal(get("/app.js", tag, &out), 200);
    assert_int_equal(get("/packed.css", "Accept-Encoding: gzip, br\r\n", &out), 200);
    assert_non_null(strstr(out.data, "Content-Encoding: br\r\n"));
    assert_non_null(strstr(out.data, "text/css"));
    assert_int_equal(get("/packed.css", "Accept-Encoding: br;q=0, gzip\r\n", &out), 200);
    assert_non_null(strstr(out.data, "Content-Encoding: gzip\r\n"));
    assert_int_equal(get("/packed.css", "", &out), 200);
    assert_null(strstr(out.data, "Content-Encoding"));

    static const char *const none[] = {"/packed.css.br",   "/.hidden",     "/dir",
                                       "/dir/.git/config", "/link",        "/linked/secret",
                                       "/api/nothing",     "/index.html/x"};
    for (size_t i = 0; i < ARRAY_SIZE(none); i++)
        if (get(none[i], "", &out) != 404)
            fail_msg("%s: %s", none[i], out.data);
    static const char *const bad[] = {"/../secret", "/%2e%2e/secret", "/dir/..%2f..%2fsecret"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(get(bad[i], "", &out), 400);
}

static void with_files(struct server_options *options)
{
    snprintf(web, sizeof(web), "%s/web", fixture.dir);
    put_file("index.html", "the index");
    put_file("app.js", "plain");
    put_file("app.0a1b2c3d4e.js", "hashed");
    put_file("packed.css", "plain");
    put_file("packed.css.br", "brotli");
    put_file("packed.css.gz", "gzip");
    put_file(".hidden", "no");
    put_file("dir/.git/config", "no");
    put_file("../secret", "no");
    CLEANUP_FREE char *link = path_join(web, "link"), *linked = path_join(web, "linked");
    assert_int_equal(symlink("../secret", link), 0);
    assert_int_equal(symlink("..", linked), 0);
    options->web_dir = web;
}

static int start(void **state)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    fixture_start(&fixture, false, with_files);
    return 0;
}

static int stop(void **state)
{
    fixture_stop(&fixture);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(echo), cmocka_unit_test(broken_rules),
                                       cmocka_unit_test(many), cmocka_unit_test(files)};
    return cmocka_run_group_tests(tests, start, stop);
}
