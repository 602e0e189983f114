/* test_text.c - what registries and clients write in headers: challenges, credentials. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/base64.h"
#include "base/json.h"
#include "base/mem.h"
#include "registry/challenge.h"
#include "registry/credentials.h"
#include "tabique/error.h"

static void test_one_challenge(void **state)
{
    CLEANUP(registry__challenges_clear) struct challenges found = {0};

    registry__challenges_parse("Bearer realm=\"https://auth.example/token\",service=\"a \\\"b\\\"\", scope=\"repository:x:pull,push\" , error=invalid_token",
                               &found);
    assert_int_equal(found.count, 1);
    assert_string_equal(found.list[0].scheme, "Bearer");
    assert_string_equal(found.list[0].realm, "https://auth.example/token");
    assert_string_equal(found.list[0].service, "a \"b\"");
    assert_string_equal(found.list[0].scope, "repository:x:pull,push");
    assert_string_equal(found.list[0].error, "invalid_token");
}

static void test_several_challenges(void **state)
{
    CLEANUP(registry__challenges_clear) struct challenges found = {0};

    registry__challenges_parse("Negotiate, basic realm=\"one, two=three\", charset=UTF-8, BEARER realm=r", &found);
    registry__challenges_parse("Digest qop=\"auth\"", &found);
    assert_int_equal(found.count, 4);
    assert_string_equal(registry__challenges_find(&found, "Basic")->realm, "one, two=three");
    assert_string_equal(registry__challenges_find(&found, "bearer")->realm, "r");
    assert_null(registry__challenges_find(&found, "digest")->realm);
    assert_null(registry__challenges_find(&found, "OAuth"));
}

static void test_odd_challenges(void **state)
{
    static const struct {
        const char *text;
        size_t count;
        const char *realm;
    } cases[] = {
        {"", 0, NULL},
        {" , ,", 0, NULL},
        {"realm=\"alone\"", 0, NULL},
        {"Bearer", 1, NULL},
        {"Bearer realm=", 1, NULL},
        {"Bearer realm=\"never ends", 1, NULL},
        {"Bearer realm=\"first\",realm=\"second\"", 1, "first"},
        {"Bearer realm = \"spaced\"", 1, "spaced"},
        {"Bearer realm=\"x\\", 1, NULL},
        {"Bearer \"nothing\"", 1, NULL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(registry__challenges_clear) struct challenges found = {0};

        registry__challenges_parse(cases[i].text, &found);
        assert_int_equal(found.count, cases[i].count);
        if (cases[i].realm)
            assert_string_equal(found.list[0].realm, cases[i].realm);
        else if (found.count)
            assert_null(found.list[0].realm);
    }
    CLEANUP(registry__challenges_clear) struct challenges many = {0};
    for (int i = 0; i < 100; i++)
        registry__challenges_parse("a,b,c", &many);
    assert_int_equal(many.count, CHALLENGES_MAX);
}

static char *header_of(const char *json)
{
    return base64_encode(json, strlen(json));
}

static void test_credentials(void **state)
{
    CLEANUP(registry_credentials_clear) struct registry_credentials found = {0};
    CLEANUP_FREE char *header = header_of("{\"username\":\"bob\",\"password\":\"hush:hush\",\"serveraddress\":\"x:5000\",\"email\":\"\"}");
    struct error err = ERROR_INIT;

    assert_int_equal(registry_credentials_parse(header, &found, &err), 0);
    assert_string_equal(found.username, "bob");
    assert_string_equal(found.server, "x:5000");
    assert_null(found.identity_token);
    CLEANUP_FREE char *basic = registry__credentials_basic(&found);
    assert_string_equal(basic, "Basic Ym9iOmh1c2g6aHVzaA==");

    CLEANUP(registry_credentials_clear) struct registry_credentials both = {0};
    CLEANUP_FREE char *auth = header_of("{\"auth\":\"Ym9iOmh1c2g6aHVzaA==\",\"password\":\"older\"}");
    assert_int_equal(registry_credentials_parse(auth, &both, &err), 0);
    assert_string_equal(both.username, "bob");
    assert_string_equal(both.password, "hush:hush");

    struct registry_credentials none = {0};
    assert_int_equal(registry_credentials_parse(NULL, &none, &err), 0);
    assert_int_equal(registry_credentials_parse("", &none, &err), 0);
    assert_null(none.username);
    assert_null(registry__credentials_basic(&none));
}

static void test_bad_credentials(void **state)
{
    static const char *const texts[] = {"[]", "\"x\"", "{\"username\":5}", "{", "", "{\"auth\":\"!\"}", "{\"auth\":\"Ym9i\"}",
                                        "{\"registrytoken\":\"a\\r\\nX: b\"}", "{\"registrytoken\":\"a b\"}"};

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct registry_credentials found = {0};
        struct error err = ERROR_INIT;
        CLEANUP_FREE char *header = *texts[i] ? header_of(texts[i]) : mem_strdup("A");

        assert_int_equal(registry_credentials_parse(header, &found, &err), -EINVAL);
        assert_true(*err.message);
    }
}

static void test_tokens(void **state)
{
    assert_true(registry__credentials_token_valid("eyJ.abc-_~+/="));
    assert_false(registry__credentials_token_valid(""));
    assert_false(registry__credentials_token_valid("a b"));
    assert_false(registry__credentials_token_valid("a\nb"));
    assert_false(registry__credentials_token_valid("a\x7f"));
    assert_false(registry__credentials_token_valid("\xc3\xa4"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_challenge), cmocka_unit_test(test_several_challenges), cmocka_unit_test(test_odd_challenges),
        cmocka_unit_test(test_credentials),   cmocka_unit_test(test_bad_credentials),    cmocka_unit_test(test_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
