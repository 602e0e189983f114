/* tabique/error.h. */
#include "base/base_test.h"

#include "base/str.h"
#include "tabique/error.h"

static void sets_code_and_text(void **state)
{
    struct error err = ERROR_INIT;

    assert_int_equal(error_set(&err, ENOENT, "no such container: %s", "web"), -ENOENT);
    assert_int_equal(err.code, ENOENT);
    assert_string_equal(err.message, "no such container: web");
    assert_int_equal(error_set(&err, -EBUSY, "busy"), -EBUSY);
    assert_int_equal(err.code, EBUSY);
    assert_int_equal(error_set(NULL, EPERM, "x"), -EPERM);
    assert_int_equal(error_set(&err, 0, "x"), -EIO);
}

static void adds_reason_and_prefix(void **state)
{
    struct error err = ERROR_INIT;

    assert_int_equal(error_errno(&err, ENOSPC, "cannot write %s", "a"), -ENOSPC);
    assert_string_equal(err.message, "cannot write a: No space left on device");
    assert_int_equal(error_prefix(&err, "container %d", 3), -ENOSPC);
    assert_string_equal(err.message, "container 3: cannot write a: No space left on device");
    assert_int_equal(error_errno(&err, 9999, "x"), -9999);
    assert_string_equal(err.message, "x: error 9999");
    assert_true(error_prefix(NULL, "x") < 0);
    assert_int_equal(error_errno(NULL, EPERM, "x"), -EPERM);
}

static void may_quote_itself(void **state)
{
    struct error err = ERROR_INIT;

    error_set(&err, EINVAL, "inner");
    error_set(&err, EINVAL, "outer(%s)", err.message);
    assert_string_equal(err.message, "outer(inner)");
}

static void hostile_text(void **state)
{
    struct error err = ERROR_INIT;

    error_set(&err, EINVAL, "%s", "a\nb\x1b[31m\x7f\xff\xc2\x85z\xc3\xa9");
    assert_string_equal(err.message, "a?b?[31m???z\xc3\xa9");
}

static void cut_at_a_character(void **state)
{
    /* Every alignment of a three-byte character against the end. */
    for (size_t lead = 0; lead < 4; lead++) {
        CLEANUP_STR struct str text = STR_INIT;
        struct error err = ERROR_INIT;

        for (size_t i = 0; i < lead; i++)
            str_append_char(&text, 'a');
        while (text.length < 5000)
            str_append(&text, "\xe2\x82\xac");
        error_set(&err, EINVAL, "%s", text.data);
        size_t length = strlen(err.message);
        assert_true(length <= ERROR_MESSAGE_MAX - 1 && length >= ERROR_MESSAGE_MAX - 3);
        assert_true(str_is_utf8(err.message, length));
        assert_null(strchr(err.message, '?'));

        error_errno(&err, ENOSPC, "%s", text.data);
        assert_true(str_ends(err.message, "\xe2\x82\xac: No space left on device"));
        error_prefix(&err, "%s", text.data);
        assert_true(str_is_utf8(err.message, strlen(err.message)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets_code_and_text), cmocka_unit_test(adds_reason_and_prefix),
        cmocka_unit_test(may_quote_itself),   cmocka_unit_test(hostile_text),
        cmocka_unit_test(cut_at_a_character),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
