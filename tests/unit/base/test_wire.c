#include "base/base_test.h"

#include "base/random.h"
#include "base/wire.h"

static void round_trip(void **state)
{
    CLEANUP_STR struct str out = STR_INIT;
    char *list[] = {mutable_text("one"), mutable_text(""), mutable_text("three"), NULL};

    wire_put_string(&out, 1, "hello");
    wire_put_string(&out, 2, NULL);
    wire_put_strv(&out, 3, list);
    wire_put_strv(&out, 3, NULL);
    wire_put_u64(&out, 4, UINT64_MAX);
    wire_put_i64(&out, 5, INT64_MIN);
    wire_put_bool(&out, 6, true);
    wire_put_bool(&out, 7, false);
    size_t mark = wire_begin(&out, 0xFFFF);
    wire_put_u64(&out, 1, 42);
    size_t inner = wire_begin(&out, 2);
    wire_put_string(&out, 1, "deep");
    wire_end(&out, inner);
    wire_end(&out, mark);
    wire_put_bytes(&out, 8, NULL, 0);

    struct wire_reader reader, nested, deep;
    struct wire_field field;
    CLEANUP_STRV char **got = NULL;
    int seen = 0;
    wire_read(&reader, out.data, out.length);
    while (wire_next(&reader, &field)) {
        seen++;
        switch (field.tag) {
        case 1: {
            CLEANUP_FREE char *text = wire_string(&reader, &field);
            assert_string_equal(text, "hello");
            break;
        }
        case 3:
            strv_take(&got, wire_string(&reader, &field));
            break;
        case 4:
            assert_true(wire_u64(&reader, &field) == UINT64_MAX);
            break;
        case 5:
            assert_true(wire_i64(&reader, &field) == INT64_MIN);
            break;
        case 6:
            assert_true(wire_bool(&reader, &field));
            break;
        case 8:
            assert_int_equal(field.length, 0);
            break;
        case 0xFFFF: {
            wire_nested(&field, &nested);
            assert_true(wire_next(&nested, &field));
            assert_int_equal(wire_u64(&nested, &field), 42);
            assert_true(wire_next(&nested, &field));
            wire_nested(&field, &deep);
            assert_true(wire_next(&deep, &field));
            CLEANUP_FREE char *text = wire_string(&deep, &field);
            assert_string_equal(text, "deep");
            assert_false(wire_next(&deep, &field));
            assert_false(wire_next(&nested, &field));
            assert_true(wire_ok(&deep) && wire_ok(&nested));
            break;
        }
        default:
            fail_msg("tag %u", field.tag);
        }
    }
    assert_true(wire_ok(&reader));
    assert_int_equal(seen, 9);
    assert_int_equal(strv_length(got), 3);
    assert_string_equal(got[1], "");
    assert_string_equal(got[2], "three");
}

static void layout_is_fixed(void **state)
{
    CLEANUP_STR struct str out = STR_INIT;

    wire_put_bytes(&out, 0x0102, "xy", 2);
    assert_int_equal(out.length, 8);
    assert_memory_equal(out.data, "\x02\x01\x02\x00\x00\x00xy", 8);
}

/* Every prefix is either whole fields or bad, and reads stay inside (ASan). */
static void truncation(void **state)
{
    CLEANUP_STR struct str out = STR_INIT;

    wire_put_string(&out, 1, "hello");
    wire_put_u64(&out, 2, 7);
    for (size_t cut = 0; cut <= out.length; cut++) {
        char *copy = malloc(cut ? cut : 1);
        struct wire_reader reader;
        struct wire_field field;
        int n = 0;

        memcpy(copy, out.data, cut);
        wire_read(&reader, copy, cut);
        while (wire_next(&reader, &field))
            n++;
        bool whole = cut == 0 || cut == 11 || cut == out.length;
        assert_int_equal(wire_ok(&reader), whole);
        assert_int_equal(n, cut < 11 ? 0 : cut < out.length ? 1 : 2);
        free(copy);
    }
}

static void lying_lengths(void **state)
{
    static const char huge[] = "\x01\x00\xff\xff\xff\xff" "abc";
    struct wire_reader reader;
    struct wire_field field;

    wire_read(&reader, huge, sizeof(huge) - 1);
    assert_false(wire_next(&reader, &field));
    assert_false(wire_ok(&reader));
    assert_false(wire_next(&reader, &field));
    wire_read(&reader, NULL, 0);
    assert_false(wire_next(&reader, &field));
    assert_true(wire_ok(&reader));
}

static void wrong_types_stick(void **state)
{
    CLEANUP_STR struct str out = STR_INIT;
    struct wire_reader reader;
    struct wire_field field;

    wire_put_bytes(&out, 1, "abc", 3);
    wire_put_u64(&out, 2, 5);
    wire_read(&reader, out.data, out.length);
    assert_true(wire_next(&reader, &field));
    assert_int_equal(wire_u64(&reader, &field), 0);
    assert_false(wire_ok(&reader));
    assert_null(wire_string(&reader, &field));
    assert_false(wire_bool(&reader, &field));
    assert_false(wire_next(&reader, &field));

    str_clear(&out);
    wire_put_bytes(&out, 1, "a\0b", 3);
    wire_read(&reader, out.data, out.length);
    assert_true(wire_next(&reader, &field));
    assert_null(wire_string(&reader, &field));
    assert_false(wire_ok(&reader));

    str_clear(&out);
    wire_put_bytes(&out, 1, "\2", 1);
    wire_read(&reader, out.data, out.length);
    assert_true(wire_next(&reader, &field));
    assert_false(wire_bool(&reader, &field));
    assert_false(wire_ok(&reader));
}

static void garbage(void **state)
{
    for (int round = 0; round < 20000; round++) {
        unsigned char bytes[96];
        unsigned char length;
        struct wire_reader reader, nested;
        struct wire_field field;

        random_bytes(bytes, sizeof(bytes));
        random_bytes(&length, 1);
        /* Mostly small lengths, so that fields are found at all. */
        for (size_t i = 3; i < sizeof(bytes); i += 2)
            bytes[i] &= 3;
        char *copy = malloc(sizeof(bytes));
        size_t used = length % sizeof(bytes);
        memcpy(copy + sizeof(bytes) - used, bytes, used);
        wire_read(&reader, copy + sizeof(bytes) - used, used);
        while (wire_next(&reader, &field)) {
            assert_true(field.data + field.length <= (uint8_t *)copy + sizeof(bytes));
            wire_nested(&field, &nested);
            struct wire_field inner;
            while (wire_next(&nested, &inner))
                free(wire_string(&nested, &inner));
            if (round & 1)
                wire_u64(&reader, &field);
        }
        free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),    cmocka_unit_test(layout_is_fixed),
        cmocka_unit_test(truncation),    cmocka_unit_test(lying_lengths),
        cmocka_unit_test(wrong_types_stick), cmocka_unit_test(garbage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
