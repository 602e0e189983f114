/* test_endpoint.c - where a registry is, whom it is trusted as, and how addresses are read. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "curl/transfer.h"
#include "registry/session.h"
#include "tabique/error.h"

static struct registry *open_with(const char *const *insecure, const char *const *mirrors, const char *certs)
{
    const struct registry_options options = {.insecure = insecure, .mirrors = mirrors, .certs_dir = certs};
    struct registry *registry = NULL;
    struct error err = ERROR_INIT;

    if (registry_open(&options, &registry, &err) < 0)
        fail_msg("%s", err.message);
    return registry;
}

static void test_insecure(void **state)
{
    static const char *const named[] = {"plain.example:5000", "whole.example", "10.1.0.0/16", "fd00::/8", NULL};
    static const struct {
        const char *host;
        bool insecure;
    } cases[] = {
        {"localhost", true},          {"LOCALHOST:5000", true},      {"127.0.0.1:5000", true},  {"127.8.8.8", true},
        {"[::1]:5000", true},         {"plain.example:5000", true},  {"plain.example", false},  {"plain.example:5001", false},
        {"whole.example", true},      {"whole.example:443", true},   {"10.1.2.3:5000", true},   {"10.2.0.1", false},
        {"[fd12::1]:5000", true},     {"[fe80::1]", false},          {"localhost.evil.example", false},
        {"a.localhost:5000", false},  {"127.0.0.1.evil.example", false}, {"128.0.0.1", false},  {"docker.io", false},
    };
    struct registry *registry = open_with(named, NULL, NULL);

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        if (registry__host_insecure(registry, cases[i].host) != cases[i].insecure)
            fail_msg("%s", cases[i].host);
    registry_close(registry);
}

static void test_bad_options(void **state)
{
    static const char *const bad_insecure[] = {"10.0.0.0/33", "x/8", "", "a b", "user@host"};
    static const char *const bad_mirrors[] = {"mirror.example", "ftp://x", "https://", "https://x/path", "https://u:p@x", "https://x?q", ""};

    for (size_t i = 0; i < ARRAY_SIZE(bad_insecure) + ARRAY_SIZE(bad_mirrors); i++) {
        bool insecure = i < ARRAY_SIZE(bad_insecure);
        const char *const list[] = {insecure ? bad_insecure[i] : bad_mirrors[i - ARRAY_SIZE(bad_insecure)], NULL};
        const struct registry_options options = {.insecure = insecure ? list : NULL, .mirrors = insecure ? NULL : list};
        struct registry *registry = NULL;
        struct error err = ERROR_INIT;

        if (registry_open(&options, &registry, &err) != -EINVAL)
            fail_msg("\"%s\" is taken", list[0]);
        assert_non_null(strstr(err.message, list[0]));
    }
}

static void check(struct registry *registry, const char *domain, bool mirrors, const char *const *bases)
{
    CLEANUP_ENDPOINTS struct endpoints found = {0};
    struct error err = ERROR_INIT;
    size_t count = 0;

    if (registry_endpoints_find(registry, domain, mirrors, &found, &err) < 0)
        fail_msg("%s", err.message);
    for (; bases[count]; count++) {
        assert_true(count < found.count);
        assert_string_equal(found.list[count].base, bases[count]);
    }
    assert_int_equal(found.count, count);
}

static void test_endpoints(void **state)
{
    static const char *const insecure[] = {"plain.example:5000", NULL};
    static const char *const mirrors[] = {"https://mirror.example/", "http://near:5001", NULL};
    struct registry *registry = open_with(insecure, mirrors, NULL);

    check(registry, "docker.io", true, (const char *const[]){"https://mirror.example", "http://near:5001", "https://registry-1.docker.io", NULL});
    check(registry, "docker.io", false, (const char *const[]){"https://registry-1.docker.io", NULL});
    check(registry, "other.example", true, (const char *const[]){"https://other.example", NULL});
    check(registry, "plain.example:5000", true, (const char *const[]){"https://plain.example:5000", "http://plain.example:5000", NULL});
    registry_close(registry);
}

static void write_file(const char *dir, const char *name, const char *text)
{
    CLEANUP_FREE char *path = path_join(dir, name);

    assert_int_equal(file_write_atomic(AT_FDCWD, path, text, strlen(text), 0600), 0);
}

static void test_certificates(void **state)
{
    char root[] = "/tmp/tabique-test-XXXXXX";
    assert_non_null(mkdtemp(root));
    CLEANUP_FREE char *host = path_join(root, "host.example:5000");
    CLEANUP_FREE char *bare = path_join(root, "bare.example");
    assert_int_equal(mkdir(host, 0700) | mkdir(bare, 0700), 0);
    write_file(host, "one.crt", "ONE");
    write_file(host, "two.crt", "TWO");
    write_file(host, "me.cert", "C");
    write_file(host, "me.key", "K");
    write_file(bare, "ca.crt", "BARE");
    struct registry *registry = open_with(NULL, NULL, root);

    CLEANUP(registry__peer_clear) struct http_peer peer = {0};
    registry__peer_for(registry, "https://host.example:5000", &peer);
    assert_non_null(strstr(peer.authorities, "ONE\n"));
    assert_non_null(strstr(peer.authorities, "TWO\n"));
    assert_true(str_ends(peer.certificate, "/me.cert") && str_ends(peer.key, "/me.key"));
    assert_false(peer.insecure);
    assert_null(peer.fault);
    write_file(bare, "half.cert", "no key beside it");
    CLEANUP(registry__peer_clear) struct http_peer other = {0};
    registry__peer_for(registry, "https://host.example:5001", &other);
    assert_null(other.authorities);
    CLEANUP(registry__peer_clear) struct http_peer standard = {0};
    registry__peer_for(registry, "https://bare.example:443", &standard);
    assert_non_null(strstr(standard.authorities, "BARE\n"));
    assert_non_null(strstr(standard.fault, "missing key half.key for client certificate half.cert"));
    CLEANUP(registry__peer_clear) struct http_peer plain = {0};
    registry__peer_for(registry, "http://host.example:5000", &plain);
    assert_null(plain.authorities);
    registry_close(registry);
    assert_int_equal(path_remove_tree(AT_FDCWD, root), 0);
}

static void test_addresses(void **state)
{
    static const struct {
        const char *url, *origin;
    } cases[] = {
        {"https://Host.Example/v2/", "https://host.example:443"}, {"http://h/x?y", "http://h:80"}, {"https://h:5000", "https://h:5000"},
        {"https://[::1]:5/", "https://[::1]:5"}, {"ftp://h/", NULL}, {"file:///etc/passwd", NULL}, {"https://u:p@h/", NULL},
        {"https://", NULL}, {"", NULL}, {"//h/x", NULL}, {"javascript:1", NULL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP_FREE char *origin = transfer_origin(cases[i].url);

        if (!str_equal(origin, cases[i].origin))
            fail_msg("%s gives %s", cases[i].url, origin ? origin : "nothing");
    }
    static const struct {
        const char *base, *relative, *resolved;
    } links[] = {
        {"https://h:5000/v2/x/uploads/", "/v2/y?z=1", "https://h:5000/v2/y?z=1"},
        {"https://h/v2/tags/list", "?n=2&last=a", "https://h/v2/tags/list?n=2&last=a"},
        {"https://h/a/b", "https://other/c#d", "https://other/c"},
        {"https://h/a", "https://u:p@other/c", NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
        CLEANUP_FREE char *resolved = registry__http_resolve(links[i].base, links[i].relative);

        if (!str_equal(resolved, links[i].resolved))
            fail_msg("%s gives %s", links[i].relative, resolved ? resolved : "nothing");
    }
    CLEANUP_FREE char *escaped = registry__http_escape("a b/\xc3\xa4&=~");
    assert_string_equal(escaped, "a%20b%2F%C3%A4%26%3D~");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_insecure),     cmocka_unit_test(test_bad_options), cmocka_unit_test(test_endpoints),
        cmocka_unit_test(test_certificates), cmocka_unit_test(test_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
