/* test_duplex.c - a client and a shim joined: framing, half-close, back-pressure,
 * detach keys, either end going away. The test plays both. */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "rpc/rpc.h"

static struct fixture fixture;

static int attach(const char *query)
{
    CLEANUP_STR struct str out = STR_INIT;
    CLEANUP_FREE char *text = mem_printf(
        "POST /join?%s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n", query);
    int fd = dial_socket(&fixture);
    send_all(fd, text);
    /* Just the head: output may follow it at once. */
    while (head_length(out.data, out.length) == 0) {
        char c;
        assert_int_equal(recv(fd, &c, 1, 0), 1);
        str_append_char(&out, c);
    }
    assert_true(str_starts(out.data, "HTTP/1.1 101 UPGRADED\r\n"));
    return fd;
}

static void shim_says(int stream, const void *data, size_t length)
{
    assert_int_equal(rpc_send(fixture_stream, RPC_STREAM, 0, (uint64_t)stream, data, length), 0);
}

/* What the client sent, until `length` bytes or the end of stdin. */
static bool shim_hears(struct rpc_decoder *decoder, struct str *out, size_t length)
{
    while (out->length < length) {
        struct rpc_frame frame;
        if (rpc_receive(fixture_stream, decoder, &frame, 10000) < 0)
            return false;
        assert_int_equal(frame.type, RPC_STREAM);
        assert_int_equal(frame.id, 0);
        if (frame.length == 0)
            return true;
        str_append_n(out, frame.body, frame.length);
    }
    return true;
}

static void expect(int fd, const void *data, size_t length)
{
    char *buffer = mem_alloc(length + 1);
    assert_int_equal(recv(fd, buffer, length, MSG_WAITALL), (ssize_t)length);
    assert_memory_equal(buffer, data, length);
    free(buffer);
}

static void expect_end(int fd)
{
    CLEANUP_STR struct str rest = STR_INIT;
    assert_true(receive_all(fd, &rest, 10000));
    assert_int_equal(rest.length, 0);
}

static void frames_and_half_close(void **state)
{
    CLEANUP(rpc_decoder_free) struct rpc_decoder decoder = {0};
    CLEANUP_STR struct str heard = STR_INIT;
    int fd = attach("tty=0");
    shim_says(1, "out", 3);
    shim_says(2, "error", 5);
    expect(fd, "\1\0\0\0\0\0\0\3out\2\0\0\0\0\0\0\5error", 24);
    send_all(fd, "typed");
    assert_true(shim_hears(&decoder, &heard, 5));
    assert_memory_equal(heard.data, "typed", 5);
    /* Detach keys mean nothing without a terminal. */
    send_all(fd, "\x10\x11");
    assert_true(shim_hears(&decoder, &heard, 7));
    /* The end of stdin, while output goes on. */
    shutdown(fd, SHUT_WR);
    str_clear(&heard);
    assert_true(shim_hears(&decoder, &heard, 1));
    assert_int_equal(heard.length, 0);
    shim_says(1, "more", 4);
    expect(fd, "\1\0\0\0\0\0\0\4more", 12);
    close(fixture_stream);
    expect_end(fd);
    close(fd);
}

static void terminal_and_detaching(void **state)
{
    CLEANUP(rpc_decoder_free) struct rpc_decoder decoder = {0};
    CLEANUP_STR struct str heard = STR_INIT;
    int fd = attach("tty=1");
    shim_says(1, "raw", 3);
    expect(fd, "raw", 3);
    /* A beginning of the keys that is not the keys comes through. */
    send_all(fd, "a\x10"
                 "b");
    assert_true(shim_hears(&decoder, &heard, 3));
    assert_memory_equal(heard.data,
                        "a\x10"
                        "b",
                        3);
    send_all(fd, "\x10\x10\x11never seen");
    expect_end(fd);
    str_clear(&heard);
    assert_false(shim_hears(&decoder, &heard, 100)); /* the stream was let go */
    assert_int_equal(heard.length, 1);
    close(fixture_stream);
    close(fd);

    rpc_decoder_free(&decoder);
    decoder = (struct rpc_decoder){0};
    fd = attach("tty=1&detachKeys=ctrl-a,x");
    send_all(fd, "\x10\x11\x01x");
    expect_end(fd);
    str_clear(&heard);
    shim_hears(&decoder, &heard, 100);
    assert_int_equal(heard.length, 2);
    close(fixture_stream);
    close(fd);
}

static void back_pressure(void **state)
{
    enum { SIZE = 8 << 20 };
    int fd = attach("tty=1");
    char *data = mem_alloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        data[i] = (char)(i * 7 + i / 251);
    /* The client does not read: at some point the shim cannot send either. */
    assert_int_equal(fcntl(fixture_stream, F_SETFL, O_NONBLOCK), 0);
    CLEANUP_STR struct str frames = STR_INIT;
    for (size_t at = 0; at < SIZE; at += RPC_STREAM_CHUNK)
        rpc_encode(&frames, RPC_STREAM, 0, 1, data + at, RPC_STREAM_CHUNK);
    size_t sent = 0;
    int blocked = 0;
    while (blocked < 20) {
        ssize_t n = send(fixture_stream, frames.data + sent, frames.length - sent, MSG_NOSIGNAL);
        if (n < 0) {
            blocked++;
            usleep(10000);
            continue;
        }
        blocked = 0;
        sent += (size_t)n;
        assert_true(sent < frames.length); /* it must not swallow all */
    }
    /* Now it reads, and nothing is missing. */
    CLEANUP_STR struct str got = STR_INIT;
    while (got.length < SIZE) {
        char buffer[65536];
        if (sent < frames.length) {
            ssize_t n =
                send(fixture_stream, frames.data + sent, frames.length - sent, MSG_NOSIGNAL);
            if (n > 0)
                sent += (size_t)n;
        }
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        if (poll(&poll_fd, 1, 1000) <= 0)
            break;
        ssize_t n = recv(fd, buffer, sizeof(buffer), 0);
        if (n <= 0)
            break;
        str_append_n(&got, buffer, (size_t)n);
    }
    assert_int_equal(got.length, SIZE);
    assert_memory_equal(got.data, data, SIZE);
    free(data);
    close(fixture_stream);
    close(fd);
}

static void ends_that_go_away(void **state)
{
    CLEANUP(rpc_decoder_free) struct rpc_decoder decoder = {0};
    CLEANUP_STR struct str heard = STR_INIT;
    int fd = attach("tty=0");
    close(fd); /* the client is gone: the shim's end is let go */
    shim_hears(&decoder, &heard, 1);
    char buffer[64];
    struct pollfd poll_fd = {.fd = fixture_stream, .events = POLLIN};
    assert_true(poll(&poll_fd, 1, 10000) > 0);
    while (recv(fixture_stream, buffer, sizeof(buffer), 0) > 0)
        continue;
    close(fixture_stream);

    fd = attach("tty=0"); /* a shim that breaks the protocol */
    send_bytes(fixture_stream, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
               16);
    expect_end(fd);
    close(fixture_stream);
    close(fd);
    struct server_counts counts;
    for (int i = 0; i < 500; i++) {
        server_counts(fixture.server, &counts);
        if (counts.streams == 0)
            break;
        usleep(10000);
    }
    assert_int_equal(counts.streams, 0);
}

static int start(void **state)
{
    fixture_start(&fixture, false, NULL);
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
        cmocka_unit_test(frames_and_half_close),
        cmocka_unit_test(terminal_and_detaching),
        cmocka_unit_test(back_pressure),
        cmocka_unit_test(ends_that_go_away),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
