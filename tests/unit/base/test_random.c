#include "base/base_test.h"

#include "base/random.h"
#include "base/str.h"

static void ids_differ(void **state)
{
    char a[ID_LENGTH + 1], b[ID_LENGTH + 1];

    random_id(a);
    random_id(b);
    assert_true(str_is_hex(a, ID_LENGTH));
    assert_true(str_is_hex(b, ID_LENGTH));
    assert_string_not_equal(a, b);
}

static void large_requests_are_filled(void **state)
{
    /* getrandom(2) may give less than asked beyond 256 bytes. */
    size_t length = 1 << 20;
    unsigned char *p = calloc(1, length);
    size_t zeros = 0;

    assert_non_null(p);
    random_bytes(p, length);
    for (size_t i = 0; i < length; i++)
        zeros += p[i] == 0;
    assert_in_range(zeros, 2048, 8192);
    free(p);
    random_bytes(NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_differ),
        cmocka_unit_test(large_requests_are_filled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
