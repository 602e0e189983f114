#include "base/base_test.h"

#include "base/mem.h"
#include "base/str.h"

static void grows(void **state)
{
    CLEANUP_STR struct str s = STR_INIT;

    for (int i = 0; i < 1000; i++)
        str_printf(&s, "%d,", i);
    assert_int_equal(s.length, 3890);
    assert_int_equal(strlen(s.data), s.length);
    str_clear(&s);
    assert_string_equal(s.data, "");
    str_append_n(&s, "a\0b", 3);
    str_append_char(&s, '\0');
    assert_int_equal(s.length, 4);
    str_clear(&s);

    char *big = mem_alloc(100001);
    memset(big, 'x', 100000);
    str_append(&s, "<");
    str_printf(&s, "%s>", big);
    assert_int_equal(s.length, 100002);
    assert_int_equal(s.data[100001], '>');
    free(big);

    char *taken = str_take(&s);
    assert_int_equal(strlen(taken), 100002);
    free(taken);
    assert_null(s.data);
    taken = str_take(&s);
    assert_string_equal(taken, "");
    free(taken);
    str_append_n(&s, NULL, 0);
    assert_string_equal(s.data, "");
}

static void json_strings(void **state)
{
    static const struct {
        const char *in;
        size_t length;
        const char *out;
    } rows[] = {
        {"", 0, "\"\""},
        {"plain <&>", 9, "\"plain <&>\""},
        {"a\"b\\c/", 6, "\"a\\\"b\\\\c/\""},
        {"\b\f\n\r\t\x01\x1f\x7f", 8, "\"\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\""},
        {"a\0b", 3, "\"a\\u0000b\""},
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
        {"\xff", 1, "\"\xef\xbf\xbd\""},
        {"\xc3", 1, "\"\xef\xbf\xbd\""},
        {"\xe2\x82z", 3, "\"\xef\xbf\xbd\xef\xbf\xbdz\""},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEANUP_STR struct str s = STR_INIT;

        str_append_json(&s, rows[i].in, rows[i].length);
        assert_string_equal(s.data, rows[i].out);
    }
}

static void utf8(void **state)
{
    static const char *const good[] = {"", "abc", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80",
                                       "\xed\x9f\xbf", "\xee\x80\x80", "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2", "\xe0\x9f\xbf",
                                      "\xed\xa0\x80", "\xe2\x82", "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xfe", "a\xc3(",
                                      "\xf0\x90\x80"};

    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_true(str_is_utf8(good[i], strlen(good[i])));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(str_is_utf8(bad[i], strlen(bad[i])));

    assert_int_equal(str_cut_utf8("abc", 10), 3);
    assert_int_equal(str_cut_utf8("abc", 3), 3);
    assert_int_equal(str_cut_utf8("abc", 2), 2);
    assert_int_equal(str_cut_utf8("a\xe2\x82\xac", 3), 1);
    assert_int_equal(str_cut_utf8("a\xe2\x82\xac", 4), 4);
    assert_int_equal(str_cut_utf8("\x80\x80\x80\x80\x80\x80", 5), 5);
    assert_int_equal(str_cut_utf8("\xe2\x82\xac", 0), 0);
}

static void lists(void **state)
{
    CLEANUP_STRV char **list = NULL;
    char text[16];

    assert_int_equal(strv_length(NULL), 0);
    assert_null(strv_dup(NULL));
    assert_false(strv_contains(NULL, "a"));
    for (int i = 0; i < 100; i++) {
        snprintf(text, sizeof(text), "%d", i);
        strv_push(&list, text);
    }
    strv_take(&list, mem_strdup("last"));
    assert_int_equal(strv_length(list), 101);
    assert_string_equal(list[57], "57");
    assert_true(strv_contains(list, "99"));
    assert_false(strv_contains(list, "100"));

    /* Pushing to lists that other functions sized exactly. */
    CLEANUP_STRV char **copy = strv_dup(list);
    strv_push(&copy, "more");
    assert_int_equal(strv_length(copy), 102);
    CLEANUP_STRV char **split = strv_split("a,,b", ',');
    strv_push(&split, "c");
    CLEANUP_FREE char *joined = strv_join(split, "-");
    assert_string_equal(joined, "a--b-c");

    CLEANUP_STRV char **empty = strv_split("", ',');
    assert_non_null(empty);
    assert_int_equal(strv_length(empty), 0);
    strv_push(&empty, "x");
    assert_int_equal(strv_length(empty), 1);
    CLEANUP_STRV char **ends = strv_split(",a,", ',');
    assert_int_equal(strv_length(ends), 3);
    assert_string_equal(ends[2], "");
    CLEANUP_FREE char *none = strv_join(NULL, ",");
    assert_string_equal(none, "");
}

static void comparisons(void **state)
{
    assert_true(str_equal("a", "a"));
    assert_false(str_equal("a", "b"));
    assert_true(str_equal(NULL, NULL));
    assert_false(str_equal(NULL, ""));
    assert_true(str_starts("abc", "ab"));
    assert_false(str_starts("a", "ab"));
    assert_false(str_starts(NULL, ""));
    assert_true(str_ends("abc", "bc"));
    assert_false(str_ends("c", "bc"));
    assert_true(str_equal_nocase("HyperV", "hyperv"));
    assert_false(str_equal_nocase("hyper", "hyperv"));
    assert_false(str_equal_nocase("[", "{"));
    assert_false(str_equal_nocase(NULL, "x"));
}

static void integers(void **state)
{
    int64_t i;
    uint64_t u;
    int n;

    assert_int_equal(str_to_i64("-9223372036854775808", &i), 0);
    assert_true(i == INT64_MIN);
    assert_int_equal(str_to_i64("9223372036854775807", &i), 0);
    assert_true(i == INT64_MAX);
    assert_int_equal(str_to_i64("+5", &i), 0);
    assert_int_equal(i, 5);
    assert_int_equal(str_to_i64("9223372036854775808", &i), -ERANGE);
    assert_int_equal(str_to_i64("-9223372036854775809", &i), -ERANGE);
    assert_int_equal(str_to_u64("18446744073709551615", &u), 0);
    assert_true(u == UINT64_MAX);
    assert_int_equal(str_to_u64("18446744073709551616", &u), -ERANGE);
    assert_int_equal(str_to_u64("184467440737095516160", &u), -ERANGE);
    assert_int_equal(str_to_u64("99999999999999999999999x", &u), -EINVAL);
    static const char *const bad[] = {"", "-", "+", " 1", "1 ", "0x1", "1e3", "--1", "+-1", "a", "1.0"};
    i = 7;
    for (size_t k = 0; k < ARRAY_SIZE(bad); k++)
        assert_int_equal(str_to_i64(bad[k], &i), -EINVAL);
    assert_int_equal(str_to_i64(NULL, &i), -EINVAL);
    assert_int_equal(i, 7);
    assert_int_equal(str_to_u64("-1", &u), -EINVAL);
    assert_int_equal(str_to_int("65535", 1, 65535, &n), 0);
    assert_int_equal(n, 65535);
    assert_int_equal(str_to_int("0", 1, 65535, &n), -ERANGE);
    assert_int_equal(str_to_int("99999999999", 1, 65535, &n), -ERANGE);
}

static void doubles(void **state)
{
    double d = 0;

    assert_int_equal(str_to_double("1.5", &d), 0);
    assert_true(d == 1.5);
    assert_int_equal(str_to_double("-.5e1", &d), 0);
    assert_true(d == -5);
    assert_int_equal(str_to_double("3.", &d), 0);
    assert_int_equal(str_to_double("1e999", &d), -ERANGE);
    static const char *const bad[] = {"", ".", "inf", "nan", "0x1p3", " 1", "1 ", "1e", "e5", "1,5", "-"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(str_to_double(bad[i], &d), -EINVAL);
}

static void bytes(void **state)
{
    static const struct {
        const char *text;
        int64_t value;
    } rows[] = {
        {"0", 0},          {"512", 512},          {"32b", 32},         {"32B", 32},
        {"1k", 1024},      {"10KiB", 10240},      {"1kb", 1024},       {"64m", 64 << 20},
        {"64 MB", 64 << 20}, {"1g", 1 << 30},     {"1.5g", INT64_C(1610612736)},
        {"0.1g", 107374182}, {".5k", 512},        {"1t", INT64_C(1) << 40},
        {"2P", INT64_C(2) << 50}, {"32.", 32},    {"1.7", 1},
        {"9223372036854775807", INT64_MAX},
    };
    static const struct {
        const char *text;
        int r;
    } bad[] = {
        {"", -EINVAL},     {"k", -EINVAL},     {"-1", -EINVAL},  {"-1k", -EINVAL},  {"1x", -EINVAL},
        {"1kk", -EINVAL},  {"1ki", -EINVAL},   {"1kib2", -EINVAL}, {"1bb", -EINVAL}, {" 1k", -EINVAL},
        {"1  k", -EINVAL}, {"1 ", -EINVAL},    {"0x10", -EINVAL}, {".", -EINVAL},   {"1k ", -EINVAL},
        {"9223372036854775808", -ERANGE},      {"8192p", -ERANGE},
        {"99999999999999999999999", -ERANGE},  {"99999999999999999999999q", -EINVAL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int64_t value = -1;

        if (str_to_bytes(rows[i].text, &value) != 0 || value != rows[i].value)
            fail_msg("%s gives %lld", rows[i].text, (long long)value);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        int64_t value = -1;
        int r = str_to_bytes(bad[i].text, &value);

        if (r != bad[i].r || value != -1)
            fail_msg("\"%s\" gives %d", bad[i].text, r);
    }
}

static void durations_told(void **state)
{
    static const struct {
        int64_t ns;
        const char *text;
    } rows[] = {
        {0, "0s"},
        {INT64_C(5000000000), "5s"},
        {INT64_C(90000000000), "1m30s"},
        {INT64_C(3600000000000), "1h0m0s"},
        {INT64_C(500000000), "500ms"},
        {1500000, "1.5ms"},
        {3000, "3µs"},
        {7, "7ns"},
        {INT64_C(1000000001), "1.000000001s"},
        {-INT64_C(2000000000), "-2s"},
        {INT64_MIN, "-2562047h47m16.854775808s"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEANUP_STR struct str text = STR_INIT;

        str_append_duration(&text, rows[i].ns);
        assert_string_equal(text.data, rows[i].text);
    }
}

static void durations(void **state)
{
    static const struct {
        const char *text;
        int64_t ns;
    } rows[] = {
        {"0", 0},
        {"10", INT64_C(10000000000)},
        {"1.5", INT64_C(1500000000)},
        {"1m30s", INT64_C(90000000000)},
        {"500ms", INT64_C(500000000)},
        {"1h", INT64_C(3600000000000)},
        {"1.5h", INT64_C(5400000000000)},
        {"-2s", -INT64_C(2000000000)},
        {"+2s", INT64_C(2000000000)},
        {"3us", 3000},
        {"3\xc2\xb5s", 3000},
        {"3\xce\xbcs", 3000},
        {"7ns", 7},
        {".5s", INT64_C(500000000)},
        {"1h1m1s1ms1us1ns", INT64_C(3661001001001)},
    };
    static const struct {
        const char *text;
        int r;
    } bad[] = {
        {"", -EINVAL},   {"s", -EINVAL},    {"-", -EINVAL},  {"1x", -EINVAL},     {"1h30", -EINVAL},
        {"1 s", -EINVAL}, {".s", -EINVAL},  {"1s-1s", -EINVAL}, {"1d", -EINVAL},  {"1S", -EINVAL},
        {"9999999999h", -ERANGE}, {"9223372037s", -ERANGE}, {"99999999999999999999s", -ERANGE},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int64_t ns = -1;

        if (str_to_duration(rows[i].text, &ns) != 0 || ns != rows[i].ns)
            fail_msg("%s gives %lld", rows[i].text, (long long)ns);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        int64_t ns = -1;
        int r = str_to_duration(bad[i].text, &ns);

        if (r != bad[i].r || ns != -1)
            fail_msg("\"%s\" gives %d", bad[i].text, r);
    }
}

static void hex(void **state)
{
    unsigned char bytes_[4] = {0x00, 0xff, 0x0a, 0xb1};
    char text[9];
    unsigned char back[4] = {0};

    hex_encode(bytes_, 4, text);
    assert_string_equal(text, "00ff0ab1");
    assert_int_equal(hex_decode("00FF0aB1", back, 4), 0);
    assert_memory_equal(back, bytes_, 4);
    assert_int_equal(hex_decode("00ff0ab", back, 4), -EINVAL);
    assert_int_equal(hex_decode("00ff0ab12", back, 4), -EINVAL);
    assert_int_equal(hex_decode("00ff0abg", back, 4), -EINVAL);
    assert_int_equal(hex_decode("", back, 0), 0);
    assert_true(str_is_hex("0af", 3));
    assert_false(str_is_hex("0af", 2));
    assert_false(str_is_hex("0af", 4));
    assert_false(str_is_hex("0AF", 3));
    assert_false(str_is_hex("0ag", 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows),    cmocka_unit_test(json_strings), cmocka_unit_test(utf8),
        cmocka_unit_test(lists),    cmocka_unit_test(comparisons),  cmocka_unit_test(integers),
        cmocka_unit_test(doubles),  cmocka_unit_test(bytes),        cmocka_unit_test(durations), cmocka_unit_test(durations_told),
        cmocka_unit_test(hex),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
