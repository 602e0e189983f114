/* test_pattern.c - COPY's wildcards and .dockerignore. */
#include "build/pattern.h"
#include "build_test.h"

static void test_match(void **state)
{
    static const struct {
        const char *pattern, *text;
        unsigned flags;
        bool want;
    } cases[] = {
        {"a", "a", 0, true},           {"a", "b", 0, false},          {"", "", 0, true},
        {"*", "", 0, true},            {"*", "abc", 0, true},         {"*", "a/b", 0, false},
        {"a*c", "abbc", 0, true},      {"a*c", "ac", 0, true},        {"a*c", "acb", 0, false},
        {"*.txt", ".txt", 0, true},    {"*.txt", "x.txt", 0, true},   {"?", "/", 0, false},
        {"?", "x", 0, true},           {"??", "x", 0, false},         {"[a-c]x", "bx", 0, true},
        {"[^a-c]x", "bx", 0, false},   {"[!a]x", "bx", 0, true},      {"[]]", "]", 0, true},
        {"[", "[", 0, true},           {"[a", "[a", 0, true},         {"[a\\-c]", "-", 0, true},
        {"[a\\-c]", "b", 0, false},    {"[^a]", "/", 0, false},       {"\\*", "*", 0, true},
        {"\\*", "x", 0, false},        {"a\\", "a\\", 0, true},       {"*a*b*c*", "xxaxxbxxcxx", 0, true},
        {"**", "a/b", 0, false},       {"**", "a/b", PATTERN_DEEP, true},
        {"**/x", "x", PATTERN_DEEP, true},      {"**/x", "a/b/x", PATTERN_DEEP, true},
        {"**/x", "ax", PATTERN_DEEP, false},    {"a/**", "a/b/c", PATTERN_DEEP, true},
        {"a/**", "a", PATTERN_DEEP, false},     {"a/**/b", "a/b", PATTERN_DEEP, true},
        {"a/**/b", "a/x/y/b", PATTERN_DEEP, true}, {"a/**/b", "a/xb", PATTERN_DEEP, false},
        {"**/*.go", "d/e.go", PATTERN_DEEP, true}, {"a**b", "a/x/b", PATTERN_DEEP, true},
        {"***/x", "a/x", PATTERN_DEEP, true},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        if (pattern_match(cases[i].pattern, cases[i].text, cases[i].flags) != cases[i].want)
            fail_msg("\"%s\" and \"%s\"", cases[i].pattern, cases[i].text);
    assert_true(pattern_has_wildcard("a[b"));
    assert_false(pattern_has_wildcard("a\\*b"));
}

/* What a backtracking matcher would take years for. */
static void test_slow(void **state)
{
    CLEANUP_STR struct str pattern = STR_INIT;
    CLEANUP_STR struct str text = STR_INIT;

    for (int i = 0; i < 500; i++)
        str_append(&pattern, "**/*a");
    for (int i = 0; i < 4000; i++)
        str_append(&text, "a");
    str_append(&text, "b");
    assert_false(pattern_match(pattern.data, text.data, PATTERN_DEEP));
}

static void test_ignore(void **state)
{
    static const char text[] = "\xef\xbb\xbf# comment\n\n*.log\n!keep.log\n /tmp/ \n./a/../b\n**/deep\n!**/deep/back\n.\n!\nx/*\n!x/y\n";
    static const struct {
        const char *path;
        bool want;
    } cases[] = {
        {"a.log", true},       {"keep.log", false},     {"d/a.log", false},  {"tmp", true},      {"tmp/x/y", true},
        {"b", true},           {"bb", false},           {"deep", true},      {"q/deep/r", true}, {"q/deep/back", false},
        {"q/deep/back/z", false}, {"x", false},         {"x/a", true},       {"x/y", false},     {"x/y/z", false},
        {"# comment", false},
    };
    struct ignore *ignore = NULL;
    struct error err = ERROR_INIT;

    assert_int_equal(ignore_parse(text, strlen(text), &ignore, &err), 0);
    assert_true(ignore_has_exceptions(ignore));
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        if (ignore_matches(ignore, cases[i].path) != cases[i].want)
            fail_msg("%s", cases[i].path);
    ignore_freep(&ignore);

    CLEANUP_STR struct str many = STR_INIT;
    for (int i = 0; i <= IGNORE_PATTERNS_MAX; i++)
        str_append(&many, "x\n");
    assert_int_equal(ignore_parse(many.data, many.length, &ignore, &err), -EINVAL);
    assert_int_equal(ignore_parse("", 0, &ignore, &err), 0);
    assert_false(ignore_matches(ignore, "anything"));
    ignore_freep(&ignore);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_match), cmocka_unit_test(test_slow), cmocka_unit_test(test_ignore)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
