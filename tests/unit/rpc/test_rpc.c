/* Frames in any pieces; peers that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "rpc/rpc.h"
#include "tabique/error.h"

#define CLEANUP_DECODER CLEANUP(rpc_decoder_free)

static void byte_by_byte(void **state)
{
    CLEANUP_DECODER struct rpc_decoder d = {0};
    CLEANUP_STR struct str out = STR_INIT;
    struct rpc_frame frame;
    int seen = 0;

    rpc_encode(&out, RPC_PING, 0, 1, NULL, 0);
    rpc_encode(&out, RPC_STREAM, 0, 2, "hello", 5);
    rpc_encode(&out, RPC_STATUS, RPC_REPLY, UINT64_MAX, "x", 1);
    for (size_t i = 0; i < out.length; i++) {
        assert_int_equal(rpc_decoder_feed(&d, out.data + i, 1), 0);
        while (rpc_decoder_next(&d, &frame) > 0) {
            seen++;
            if (seen == 2) {
                assert_int_equal(frame.type, RPC_STREAM);
                assert_int_equal(frame.length, 5);
                assert_memory_equal(frame.body, "hello", 5);
            }
        }
    }
    assert_int_equal(seen, 3);
    assert_int_equal(frame.flags, RPC_REPLY);
    assert_true(frame.id == UINT64_MAX);
    assert_int_equal(rpc_decoder_next(&d, &frame), 0);
}

static void header_of(uint8_t header[16], uint32_t length, uint16_t type, uint16_t flags)
{
    memset(header, 0, 16);
    memcpy(header, &length, 4); /* little-endian machines only are supported */
    memcpy(header + 4, &type, 2);
    memcpy(header + 6, &flags, 2);
}

static void lies(void **state)
{
    static const struct {
        uint32_t length;
        uint16_t flags;
        int expected;
    } cases[] = {
        {RPC_BODY_MAX + 1, 0, -EBADMSG}, {UINT32_MAX, 0, -EBADMSG}, {0, 4, -EBADMSG},
        {0, 0x8000, -EBADMSG},           {0, RPC_ERROR, -EBADMSG},  {RPC_BODY_MAX, 0, 0},
        {0, RPC_REPLY | RPC_ERROR, 1},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP_DECODER struct rpc_decoder d = {0};
        struct rpc_frame frame;
        uint8_t header[16];

        header_of(header, cases[i].length, RPC_PING, cases[i].flags);
        assert_int_equal(rpc_decoder_feed(&d, header, 16), 0);
        assert_int_equal(rpc_decoder_next(&d, &frame), cases[i].expected);
        if (cases[i].expected < 0) { /* and for good */
            assert_int_equal(rpc_decoder_next(&d, &frame), -EBADMSG);
            assert_int_equal(rpc_decoder_feed(&d, header, 16), -EBADMSG);
        }
    }
}

static void hoarding(void **state)
{
    CLEANUP_DECODER struct rpc_decoder d = {0};
    CLEANUP_FREE char *block = mem_alloc(1 << 20);
    int r = 0;

    for (int i = 0; i < 40 && r == 0; i++)
        r = rpc_decoder_feed(&d, block, 1 << 20);
    assert_int_equal(r, -EBADMSG);
}

static void errors(void **state)
{
    CLEANUP_DECODER struct rpc_decoder d = {0};
    CLEANUP_STR struct str out = STR_INIT;
    struct error sent = ERROR_INIT, got = ERROR_INIT;
    struct rpc_frame frame;
    bool exec_failed = false;

    error_set(&sent, ENOENT, "not there");
    rpc_encode_error(&out, RPC_START, 9, &sent, true);
    assert_int_equal(rpc_decoder_feed(&d, out.data, out.length), 0);
    assert_int_equal(rpc_decoder_next(&d, &frame), 1);
    assert_int_equal(frame.flags, RPC_REPLY | RPC_ERROR);
    assert_int_equal(frame.id, 9);
    assert_int_equal(rpc_decode_error(&frame, &got, &exec_failed), -ENOENT);
    assert_string_equal(got.message, "not there");
    assert_true(exec_failed);
    frame.length--;
    assert_int_equal(rpc_decode_error(&frame, &got, NULL), -EBADMSG);
    frame.length = 0;
    assert_int_equal(rpc_decode_error(&frame, &got, NULL), -EBADMSG);
}

/* What follows a frame stays in the socket. */
static void not_a_byte_too_far(void **state)
{
    CLEANUP_DECODER struct rpc_decoder d = {0};
    CLEANUP_FREE char *big = mem_alloc(100000);
    CLEANUP_STR struct str out = STR_INIT;
    struct rpc_frame frame;
    char rest[8] = "";
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    rpc_encode(&out, RPC_STREAM, 0, 1, big, 100000);
    str_append(&out, "rest");
    assert_int_equal(write(pair[0], out.data, out.length), out.length);
    assert_int_equal(rpc_receive(pair[1], &d, &frame, 1000), 0);
    assert_int_equal(frame.length, 100000);
    assert_int_equal(read(pair[1], rest, sizeof(rest)), 4);
    assert_string_equal(rest, "rest");
    assert_int_equal(rpc_receive(pair[1], &d, &frame, 1), -ETIMEDOUT);
    close(pair[0]);
    assert_int_equal(rpc_receive(pair[1], &d, &frame, 1000), -EPIPE);
    close(pair[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(byte_by_byte), cmocka_unit_test(lies),   cmocka_unit_test(hoarding),
        cmocka_unit_test(errors),       cmocka_unit_test(not_a_byte_too_far),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
