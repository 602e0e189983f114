/* test_head.c - heads that only one reading fits. */
#include "support.h"

#include <string.h>

static int check(const char *text)
{
    struct head head;
    const char *reason = NULL;
    size_t length = head_length(text, strlen(text));
    assert_true(length > 0);
    int status = head_check(text, length, &head, &reason);
    assert_true((status != 0) == (reason != NULL));
    return status;
}

static void good_heads(void **state)
{
    struct head head;
    const char *reason;
    const char *text = "POST /v1.43/containers/create?name=a%20b HTTP/1.1\r\nHost: "
                       "docker\r\nContent-Length: 12\r\n\r\n";
    assert_int_equal(head_check(text, strlen(text), &head, &reason), 0);
    assert_int_equal(head.content_length, 12);
    assert_true(head.keep_alive);
    text = "PUT / HTTP/1.1\r\nHost: [::1]:80\r\nTransfer-Encoding: chunked\r\nExpect: "
           "100-continue\r\nConnection: foo, close\r\n\r\n";
    assert_int_equal(head_check(text, strlen(text), &head, &reason), 0);
    assert_true(head.chunked && head.expect_continue && !head.keep_alive);
    text = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    assert_int_equal(head_check(text, strlen(text), &head, &reason), 0);
    assert_true(head.http10 && head.keep_alive);
}

static void ambiguous_heads_are_refused(void **state)
{
    static const struct {
        const char *text;
        int status;
    } cases[] = {
        {"GET / HTTP/1.1\r\n\r\n", 400}, /* no Host */
        {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
         400},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
         400},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", 501},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
         "chunked\r\n\r\n",
         501},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\x0b chunked\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x10\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\n folded: yes\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nX: a\nY: b\r\n\r\n", 400}, /* bare LF */
        {"GET / HTTP/1.1\r\nHost: a\r\nX: a\rY: b\r\n\r\n", 400}, /* bare CR */
        {"GET / HTTP/1.1\r\nHost: a\r\n: nameless\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nNo colon here\r\n\r\n", 400},
        {"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400},
        {"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET http://evil/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
        {"GET / HTTP/1.1x\r\nHost: a\r\n\r\n", 400},
        {"GET /\r\n\r\n", 400}, /* HTTP/0.9 */
        {"GET / HTTP/1.1\r\nHost: a\r\nExpect: the unexpected\r\n\r\n", 417},
        {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        if (check(cases[i].text) != cases[i].status)
            fail_msg("case %zu: %d: %s", i, check(cases[i].text), cases[i].text);
}

static void hosts_and_origins(void **state)
{
    CLEANUP_STRV char **hosts = strv_split("box.example,10.1.2.3,fd00::1", ',');
    static const char *const good[] = {
        "localhost",        "localhost:9543", "LOCALHOST",   "127.0.0.1:1",
        "127.8.9.1",        "[::1]:9543",     "box.example", "Box.Example:443",
        "box.example.",     "10.1.2.3:9543",  "[fd00::1]",   "[fd00:0:0:0:0:0:0:1]:80",
        "tabique.localhost"};
    static const char *const bad[] = {"evil.example",
                                      "box.example.evil.com",
                                      "xbox.example",
                                      "localhost.evil.com",
                                      "10.1.2.4",
                                      "127.0.0.1.evil.com",
                                      "",
                                      ":80",
                                      "[::1",
                                      "[fd00::2]",
                                      "localhost:99999999",
                                      "localhost:8x",
                                      "a@localhost",
                                      "localhost/evil",
                                      "evil.com#localhost",
                                      "127.0.0.1@evil.com",
                                      "box.example..",
                                      "0x7f000001"};
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        if (!host_allowed(hosts, good[i]))
            fail_msg("%s", good[i]);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (host_allowed(hosts, bad[i]))
            fail_msg("%s", bad[i]);
    assert_false(host_allowed(hosts, NULL));

    assert_true(origin_matches("https://localhost:9543", "localhost:9543", true));
    assert_true(origin_matches("https://box.example", "box.example:443", true));
    assert_true(origin_matches("http://[::1]:80", "[::1]", false));
    assert_false(origin_matches("http://localhost:9543", "localhost:9543", true));
    assert_false(origin_matches("https://localhost:9544", "localhost:9543", true));
    assert_false(origin_matches("https://localhost", "localhost:9543", true));
    assert_false(origin_matches("null", "localhost:9543", true));
    assert_false(origin_matches("https://localhost:9543.evil.com", "localhost:9543", true));
    assert_false(origin_matches("https://evil.com", NULL, true));
}

static void versions(void **state)
{
    static const struct {
        const char *path;
        int r, version;
        const char *rest;
    } cases[] = {
        {"/v1.43/info", 0, 143, "/info"},
        {"/v1.24/x", 0, 124, "/x"},
        {"/v1.51/_ping", 0, 151, "/_ping"},
        {"/info", 1, 0, NULL},
        {"/v1/x", -EINVAL, 0, NULL},
        {"/v1.20/x", -EINVAL, 0, NULL},
        {"/v1.99/x", -EINVAL, 0, NULL},
        {"/v2.0/x", -EINVAL, 0, NULL},
        {"/volumes", 1, 0, NULL},
        {"/v1.43", 1, 0, NULL},
        {"/vx/y", 1, 0, NULL},
        {"/v1.43.9/x", 0, 143, "/x"},
        {"/v99999999999999999999/x", 1, 0, NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int version = 0;
        const char *rest = NULL;
        struct error err = ERROR_INIT;
        int r = route_version(cases[i].path, &version, &rest, &err);
        if (r != cases[i].r)
            fail_msg("%s: %d", cases[i].path, r);
        if (r == 0) {
            assert_int_equal(version, cases[i].version);
            assert_string_equal(rest, cases[i].rest);
        }
    }
    int version;
    const char *rest;
    struct error err = ERROR_INIT;
    route_version("/v1.20/x", &version, &rest, &err);
    assert_string_equal(err.message,
                        "client version 1.20 is too old. Minimum supported API version is 1.24, "
                        "please upgrade your client to a newer version");
    route_version("/v1.99/x", &version, &rest, &err);
    assert_string_equal(err.message,
                        "client version 1.99 is too new. Maximum supported API version is 1.51");
}

static void decoding(void **state)
{
    char out[64];
    assert_int_equal(url_decode("a%20b+c", 7, false, out), 0);
    assert_string_equal(out, "a b+c");
    assert_int_equal(url_decode("a+b", 3, true, out), 0);
    assert_string_equal(out, "a b");
    assert_int_equal(url_decode("%C3%A4", 6, true, out), 0);
    assert_true(url_decode("%00", 3, true, out) < 0);
    assert_true(url_decode("%zz", 3, true, out) < 0);
    assert_true(url_decode("%2", 2, true, out) < 0);
    assert_true(url_decode("%ff%fe", 6, true, out) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_heads),        cmocka_unit_test(ambiguous_heads_are_refused),
        cmocka_unit_test(hosts_and_origins), cmocka_unit_test(versions),
        cmocka_unit_test(decoding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
