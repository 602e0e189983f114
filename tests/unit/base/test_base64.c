#include "base/base_test.h"

#include "base/base64.h"
#include "base/cleanup.h"
#include "base/mem.h"

static void both_ways(void **state)
{
    static const struct {
        const char *plain, *coded;
    } cases[] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"\xfb\xff\xbe", "+/++"}};
    static const char *const bad[] = {"A", "Zg=", "Zg===", "Z g=", "Zg==Zg", "Zm9v\n", "=", "Zg*="};

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        size_t length = 99;
        CLEANUP_FREE char *coded = base64_encode(cases[i].plain, strlen(cases[i].plain));
        CLEANUP_FREE char *plain = base64_decode(cases[i].coded, &length);

        assert_string_equal(coded, cases[i].coded);
        assert_string_equal(plain, cases[i].plain);
        assert_int_equal(length, strlen(cases[i].plain));
    }
    CLEANUP_FREE char *url = base64_decode("-_--", NULL);
    assert_string_equal(url, "\xfb\xff\xbe");
    CLEANUP_FREE char *unpadded = base64_decode("Zm9vYg", NULL);
    assert_string_equal(unpadded, "foob");
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_null(base64_decode(bad[i], NULL));
}

static void bytes_of_all_kinds(void **state)
{
    unsigned char bytes[256];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)i;
    for (size_t length = 0; length <= sizeof(bytes); length++) {
        size_t again_length = 0;
        CLEANUP_FREE char *text = base64_encode(bytes, length);
        CLEANUP_FREE char *again = base64_decode(text, &again_length);

        assert_int_equal(again_length, length);
        assert_memory_equal(again, bytes, length);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(both_ways), cmocka_unit_test(bytes_of_all_kinds)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
