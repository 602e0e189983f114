#include "base/base_test.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/random.h"
#include "tabique/error.h"

static int parse(const char *text, cJSON **ret)
{
    struct error err = ERROR_INIT;

    /* Exactly sized, so that a read past the end is seen. */
    size_t length = strlen(text);
    CLEANUP_FREE char *copy = mem_dup(text, length);
    int r = json_parse(copy, length, ret, &err);
    if (r < 0) {
        assert_int_equal(err.code, -r);
        assert_true(err.message[0] != '\0');
    }
    return r;
}

static void accepts(void **state)
{
    /* In, and what printing gives back. */
    static const char *const rows[][2] = {
        {"{}", "{}"},
        {" [ ] ", "[]"},
        {"null", "null"},
        {"true", "true"},
        {"-0.5e-3", "-0.0005"},
        {"0", "0"},
        {"1000000000000000", "1000000000000000"},
        {"1e15", "1000000000000000"},
        {"9223372036854775807", "9223372036854775807"},
        {"1e300", "1e+300"},
        {"0.1", "0.1"},
        {"\"a\\u00e9\\n\\/\"", "\"a\xc3\xa9\\n/\""},
        {"\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\""},
        {"{\"a\":[1,2,{\"b\":null}],\"c\":\"<&>\"}", "{\"a\":[1,2,{\"b\":null}],\"c\":\"<&>\"}"},
        {"\r\n\t{ \"a\" : [ 1 , 2 ] }\n", "{\"a\":[1,2]}"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEANUP_JSON cJSON *json = NULL;

        if (parse(rows[i][0], &json) != 0)
            fail_msg("refused: %s", rows[i][0]);
        CLEANUP_FREE char *text = json_print(json);
        assert_string_equal(text, rows[i][1]);
    }
}

static void refuses(void **state)
{
    static const char *const rows[] = {
        "", " ", "{", "[", "}", "]", "[1", "[1,", "[1,]", "[,1]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}",
        "{a:1}", "{'a':1}", "{1:1}", "[1}", "{\"a\":1]", "1 2", "{} {}", "{}x", "nul", "nulls", "True",
        "01", "-", "+1", ".5", "1.", "1e", "1e+", "0x1", "NaN", "Infinity", "--1", "1.2.3",
        "\"", "\"abc", "\"\\", "\"\\x\"", "\"\\u12\"", "\"\\u12g4\"", "\"a\nb\"", "\"a\tb\"", "\"\x01\"",
        "\"\\u0000\"", "\"\\ud800\"", "\"\\udc00\"", "\"\xff\"", "\"\xc3\"", "\xef\xbb\xbf{}", "[1]//",
        "/**/1", "[\"a\" \"b\"]", "{\"a\":1 \"b\":2}", "\f1", "\v[]", "[1\xc2\xa0]",
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cJSON *json = (void *)1;

        if (parse(rows[i], &json) != -EINVAL)
            fail_msg("taken: %s", rows[i]);
        assert_ptr_equal(json, (void *)1);
    }
    struct error err = ERROR_INIT;
    cJSON *json = NULL;
    assert_int_equal(json_parse("\"a\0b\"", 5, &json, &err), -EINVAL);
    assert_int_equal(json_parse("{}\0", 3, &json, &err), -EINVAL);
    assert_int_equal(json_parse("{}", JSON_LENGTH_MAX + 1, &json, NULL), -EFBIG);
}

static void depth(void **state)
{
    for (int kind = 0; kind < 2; kind++)
        for (int levels = 63; levels <= 66; levels++) {
            CLEANUP_STR struct str s = STR_INIT;
            CLEANUP_JSON cJSON *json = NULL;

            for (int i = 0; i < levels; i++)
                str_append(&s, kind ? "{\"a\":" : "[");
            str_append(&s, "1");
            for (int i = 0; i < levels; i++)
                str_append(&s, kind ? "}" : "]");
            assert_int_equal(parse(s.data, &json), levels <= 64 ? 0 : -EINVAL);
        }

    /* A million brackets, closed or not, end early and without recursion. */
    CLEANUP_FREE char *brackets = mem_alloc(1000001);
    cJSON *json = NULL;
    memset(brackets, '[', 1000000);
    assert_int_equal(parse(brackets, &json), -EINVAL);
    /* Empty ones at the limit count, too. */
    CLEANUP_STR struct str s = STR_INIT;
    for (int i = 0; i < 64; i++)
        str_append(&s, "[");
    str_append(&s, "[]");
    for (int i = 0; i < 64; i++)
        str_append(&s, "]");
    assert_int_equal(parse(s.data, &json), -EINVAL);
}

static void getters(void **state)
{
    CLEANUP_JSON cJSON *json = NULL;

    assert_int_equal(parse("{\"Name\":\"x\",\"n\":5,\"f\":1.5,\"t\":true,\"z\":null,\"l\":[\"a\",1,\"b\"],"
                           "\"Dup\":1,\"Dup\":2,\"dUP\":3,\"big\":1e30,\"small\":-1e30,\"e\":[],\"o\":{}}",
                           &json),
                     0);
    assert_string_equal(json_string(json, "Name", "?"), "x");
    assert_string_equal(json_string(json, "nAME", "?"), "x");
    assert_string_equal(json_string(json, "n", "?"), "?");
    assert_string_equal(json_string(json, "z", "?"), "?");
    assert_string_equal(json_string(json, "none", "?"), "?");
    assert_string_equal(json_string(NULL, "none", "?"), "?");
    assert_int_equal(json_int(json, "n", -1), 5);
    assert_int_equal(json_int(json, "f", -1), -1);
    assert_int_equal(json_int(json, "Name", -1), -1);
    assert_int_equal(json_int(json, "Dup", -1), 2);
    assert_int_equal(json_int(json, "dUP", -1), 3);
    assert_int_equal(json_int(json, "dup", -1), 3);
    assert_true(json_int(json, "big", -1) == INT64_MAX);
    assert_true(json_int(json, "small", -1) == INT64_MIN);
    assert_true(json_number(json, "f", 0) == 1.5);
    assert_true(json_bool(json, "t", false));
    assert_true(json_bool(json, "n", true));
    assert_null(json_get(json_get(json, "l"), "x"));
    CLEANUP_STRV char **list = json_strv(json, "l");
    assert_int_equal(strv_length(list), 2);
    assert_string_equal(list[1], "b");
    CLEANUP_STRV char **empty = json_strv(json, "e");
    assert_int_equal(strv_length(empty), 0);
    assert_null(json_strv(json, "o"));
}

static void builders(void **state)
{
    CLEANUP_JSON cJSON *json = cJSON_CreateObject();
    char *list[] = {mutable_text("x"), mutable_text("y"), NULL};

    json_add_string(json, "s", "a\"\xff");
    json_add_string(json, "none", NULL);
    json_add_int(json, "ns", INT64_C(1700000000123456789));
    json_add_int(json, "min", INT64_MIN);
    json_add_int(json, "round", INT64_C(1000000000000000));
    json_add_number(json, "d", 0.25);
    json_add_number(json, "nan", __builtin_nan(""));
    json_add_bool(json, "b", true);
    json_add_null(json, "z");
    json_add_int(json_add_object(json, "o"), "i", 1);
    json_push_string(json_add_array(json, "a"), "e");
    json_add(json, "l", json_from_strv(list));
    json_add(json, "n", NULL);
    json_add(json, "el", json_from_strv(NULL));
    CLEANUP_FREE char *text = json_print(json);
    assert_string_equal(text, "{\"s\":\"a\\\"\xef\xbf\xbd\",\"none\":null,\"ns\":1700000000123456789,"
                              "\"min\":-9223372036854775808,\"round\":1000000000000000,\"d\":0.25,"
                              "\"nan\":null,\"b\":true,\"z\":null,\"o\":{\"i\":1},\"a\":[\"e\"],"
                              "\"l\":[\"x\",\"y\"],\"n\":null,\"el\":[]}");
    assert_true(json_int(json, "ns", 0) == INT64_C(1700000000123456789));
    assert_true(json_number(json, "ns", 0) > 1.6e18);
    CLEANUP_FREE char *nothing = json_print(NULL);
    assert_string_equal(nothing, "null");

    CLEANUP_JSON cJSON *back = NULL;
    assert_int_equal(parse(text, &back), 0);
}

/* Mutated texts: whatever is taken must print to something that is taken again
 * and prints the same. */
static void mutations(void **state)
{
    static const char seed[] = "{\"a\":[1,-2.5e3,\"x\\u00e9\\\\\",true,null,{\"b\":{}}],\"c\":\"\xc3\xa9\"}";
    static const char alphabet[] = "{}[]\",:\\u0eE+-.1tfn \x01\xff";
    int taken = 0;

    for (int round = 0; round < 50000; round++) {
        char text[sizeof(seed)];
        unsigned char dice[6];

        memcpy(text, seed, sizeof(seed));
        random_bytes(dice, sizeof(dice));
        for (size_t i = 0; i < 1 + dice[0] % 2u; i++)
            text[dice[1 + i] % (sizeof(seed) - 1)] = alphabet[dice[3 + i] % (sizeof(alphabet) - 1)];
        CLEANUP_JSON cJSON *json = NULL;
        if (json_parse(text, strlen(text), &json, NULL) < 0)
            continue;
        taken++;
        CLEANUP_FREE char *once = json_print(json);
        CLEANUP_JSON cJSON *again = NULL;
        if (json_parse(once, strlen(once), &again, NULL) < 0)
            fail_msg("%s printed as %s", text, once);
        CLEANUP_FREE char *twice = json_print(again);
        assert_string_equal(once, twice);
    }
    assert_true(taken > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts), cmocka_unit_test(refuses),  cmocka_unit_test(depth),
        cmocka_unit_test(getters), cmocka_unit_test(builders), cmocka_unit_test(mutations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
