#include "base/base_test.h"

#include <time.h>

#include "base/clock.h"

static void formats(void **state)
{
    static const struct {
        int64_t ns;
        const char *text;
    } rows[] = {
        {0, "0001-01-01T00:00:00Z"},
        {1, "1970-01-01T00:00:00.000000001Z"},
        {NS_PER_SEC, "1970-01-01T00:00:01Z"},
        {INT64_C(1709210096) * NS_PER_SEC + 120000000, "2024-02-29T12:34:56.12Z"},
        {INT64_C(951782400) * NS_PER_SEC, "2000-02-29T00:00:00Z"},
        {-1, "1969-12-31T23:59:59.999999999Z"},
        {INT64_MAX, "2262-04-11T23:47:16.854775807Z"},
        {INT64_MIN, "1677-09-21T00:12:43.145224192Z"},
    };
    char out[TIME_TEXT_MAX];

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_string_equal(time_format(rows[i].ns, out), rows[i].text);
}

/* Against the C library's calendar, a day and some seconds at a time. */
static void agrees_with_gmtime(void **state)
{
    for (int64_t s = INT64_C(-9000000000); s < INT64_C(9000000000); s += 86400 * 3 + 12345) {
        char ours[TIME_TEXT_MAX], theirs[64];
        time_t t = s;
        struct tm tm;
        int64_t back;

        if (s == 0)
            continue;
        assert_non_null(gmtime_r(&t, &tm));
        strftime(theirs, sizeof(theirs), "%Y-%m-%dT%H:%M:%SZ", &tm);
        assert_string_equal(time_format(s * NS_PER_SEC, ours), theirs);
        assert_int_equal(time_parse(ours, &back), 0);
        assert_true(back == s * NS_PER_SEC);
    }
}

static void parses(void **state)
{
    static const struct {
        const char *text;
        int64_t ns;
    } rows[] = {
        {"0", 0},
        {"0.000000000", 0},
        {"1136073845", INT64_C(1136073845000000000)},
        {"1136073845.000000001", INT64_C(1136073845000000001)},
        {"1136073845.5", INT64_C(1136073845500000000)},
        {"1136073845.0000000019", INT64_C(1136073845000000001)},
        {"-1.5", -INT64_C(1500000000)},
        {"-62135596800", 0},
        {"-62135596800.000000000", 0},
        {"0001-01-01T00:00:00Z", 0},
        {"2006-01-02", INT64_C(1136160000000000000)},
        {"2006-01-02Z", INT64_C(1136160000000000000)},
        {"2006-01-02T15", INT64_C(1136214000000000000)},
        {"2006-01-02T15:04", INT64_C(1136214240000000000)},
        {"2006-01-02T15:04:05", INT64_C(1136214245000000000)},
        {"2006-01-02T15:04:05Z", INT64_C(1136214245000000000)},
        {"2006-01-02T15:04:05.999999999Z", INT64_C(1136214245999999999)},
        {"2006-01-02T15:04:05.999999999", INT64_C(1136214245999999999)},
        {"2006-01-02T15:04:05+07:00", INT64_C(1136189045000000000)},
        {"2006-01-02T15:04:05.5-07:00", INT64_C(1136239445500000000)},
        {"2006-01-02-07:00", INT64_C(1136185200000000000)},
        {"2024-02-29", INT64_C(1709164800000000000)},
    };
    static const char *const bad[] = {
        "",           " 1",         "1 ",           "abc",         "1e9",
        "1.",         "1.x",        "--1",          "2006-13-01",  "2006-00-01",
        "2006-01-00", "2006-02-29", "1900-02-29",   "2006-01-32",  "2006-1-2",
        "20060102",   "2006-01-02T", "2006-01-02T24", "2006-01-02T15:60", "2006-01-02T15:04:60",
        "2006-01-02T15:04:05+7:00", "2006-01-02T15:04:05Zx", "2006-01-02T15:04:05.Z",
        "9999-12-31T00:00:00Z", "99999999999999999999", "1h30", "5x", "s", "1h-3m",
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t ns = 99;

        if (time_parse(rows[i].text, &ns) != 0 || ns != rows[i].ns)
            fail_msg("%s gives %lld", rows[i].text, (long long)ns);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int64_t ns = 99;

        /* "20060102" is Unix seconds in Docker, too. */
        if (strcmp(bad[i], "20060102") == 0)
            continue;
        if (time_parse(bad[i], &ns) != -EINVAL || ns != 99)
            fail_msg("\"%s\" was taken", bad[i]);
    }
    int64_t ns;
    assert_int_equal(time_parse(NULL, &ns), -EINVAL);
}

static void parses_ago(void **state)
{
    static const struct {
        const char *text;
        int64_t ago;
    } rows[] = {
        {"10m", 600 * NS_PER_SEC},
        {"1h30m", 5400 * NS_PER_SEC},
        {"1m30s", 90 * NS_PER_SEC},
        {"500ms", 500 * NS_PER_MS},
        {"-5m", -300 * NS_PER_SEC},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t before = clock_real_ns();
        int64_t ns;

        assert_int_equal(time_parse(rows[i].text, &ns), 0);
        assert_true(ns + rows[i].ago >= before && ns + rows[i].ago <= clock_real_ns());
    }
}

static void clocks(void **state)
{
    int64_t mono = clock_mono_ns();
    struct timespec up;

    assert_true(clock_mono_ns() >= mono);
    clock_gettime(CLOCK_BOOTTIME, &up);
    int64_t uptime = up.tv_sec * NS_PER_SEC + up.tv_nsec;
    int64_t apart = clock_real_ns() - clock_boot_ns() - uptime;
    assert_true(apart > -NS_PER_SEC && apart < NS_PER_SEC);
    assert_true(clock_boot_ns() == clock_boot_ns());
    assert_true(clock_from_ticks(0) == clock_boot_ns());
    assert_true(clock_from_ticks(150) ==
                clock_boot_ns() + 150 * (NS_PER_SEC / sysconf(_SC_CLK_TCK)));
    assert_true(clock_from_ticks(UINT64_MAX) == INT64_MAX);
    assert_int_equal(strlen(boot_id()), 36);
    assert_int_equal(boot_id()[8], '-');
    assert_true(boot_id() == boot_id());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats),    cmocka_unit_test(agrees_with_gmtime), cmocka_unit_test(parses),
        cmocka_unit_test(parses_ago), cmocka_unit_test(clocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
