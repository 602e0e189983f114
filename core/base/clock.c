/* clock.c - clocks, and times as text. Owner: base.
 *
 * The calendar is computed here rather than by gmtime_r()/timegm(): those read
 * time zone files, which a static program in a guest neither has nor wants.
 */
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"

#define SECONDS_PER_DAY INT64_C(86400)
/* Go's zero time, 0001-01-01T00:00:00Z, in Unix seconds: our "never". */
#define NEVER_SECONDS INT64_C(-62135596800)

static int64_t read_clock(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * NS_PER_SEC + t.tv_nsec;
}

int64_t clock_real_ns(void)
{
    return read_clock(CLOCK_REALTIME);
}

int64_t clock_mono_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

static pthread_once_t boot_once = PTHREAD_ONCE_INIT;
static int64_t boot_ns;
static int64_t tick_ns;

static void read_boot(void)
{
    /* The two clocks cannot be read at one instant: of several tries the one
     * with the smallest gap is the best. Kept from then on, so that a process's
     * start time does not move when the wall clock is adjusted. */
    int64_t best = INT64_MAX;

    for (int i = 0; i < 5; i++) {
        int64_t before = read_clock(CLOCK_REALTIME);
        int64_t boot = read_clock(CLOCK_BOOTTIME);
        int64_t after = read_clock(CLOCK_REALTIME);

        if (after - before >= 0 && after - before < best) {
            best = after - before;
            boot_ns = before + best / 2 - boot;
        }
    }
    long ticks = sysconf(_SC_CLK_TCK);
    tick_ns = NS_PER_SEC / (ticks > 0 ? ticks : 100);
}

int64_t clock_boot_ns(void)
{
    pthread_once(&boot_once, read_boot);
    return boot_ns;
}

int64_t clock_from_ticks(uint64_t start_ticks)
{
    int64_t boot = clock_boot_ns();
    int64_t ns;

    if (start_ticks > INT64_MAX || __builtin_mul_overflow((int64_t)start_ticks, tick_ns, &ns) ||
        __builtin_add_overflow(boot, ns, &ns))
        return INT64_MAX;
    return ns;
}

/* --- the calendar ------------------------------------------------------- */

/* Days since 1970-01-01 of a proleptic Gregorian date. Years are counted from
 * March, so that the leap day is the last of its year and month lengths follow
 * the line (153 m + 2) / 5. */
static int64_t days_from_date(int64_t year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t m = month <= 2 ? month + 9 : month - 3;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t in_era = y - era * 400;
    int64_t day_of_year = (153 * m + 2) / 5 + day - 1;

    return era * 146097 + in_era * 365 + in_era / 4 - in_era / 100 + day_of_year - 719468;
}

static void date_from_days(int64_t days, int64_t *year, int *month, int *day)
{
    int64_t shifted = days + 719468;
    int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
    int64_t in_era = shifted - era * 146097;
    int64_t y = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    int64_t day_of_year = in_era - (365 * y + y / 4 - y / 100);
    int64_t m = (5 * day_of_year + 2) / 153;

    *day = (int)(day_of_year - (153 * m + 2) / 5 + 1);
    *month = (int)(m < 10 ? m + 3 : m - 9);
    *year = y + era * 400 + (*month <= 2);
}

char *time_format(int64_t ns, char *out)
{
    if (ns == 0) {
        memcpy(out, "0001-01-01T00:00:00Z", sizeof("0001-01-01T00:00:00Z"));
        return out;
    }

    int64_t seconds = ns / NS_PER_SEC;
    int64_t fraction = ns % NS_PER_SEC;
    if (fraction < 0) {
        fraction += NS_PER_SEC;
        seconds--;
    }
    int64_t days = seconds / SECONDS_PER_DAY;
    int64_t of_day = seconds % SECONDS_PER_DAY;
    if (of_day < 0) {
        of_day += SECONDS_PER_DAY;
        days--;
    }
    int64_t year;
    int month, day;
    date_from_days(days, &year, &month, &day);

    int length = snprintf(out, TIME_TEXT_MAX, "%04d-%02d-%02dT%02d:%02d:%02d", (int)year, month,
                          day, (int)(of_day / 3600), (int)(of_day / 60 % 60), (int)(of_day % 60));
    if (fraction) {
        length += snprintf(out + length, TIME_TEXT_MAX - (size_t)length, ".%09d", (int)fraction);
        while (out[length - 1] == '0')
            length--;
    }
    out[length] = 'Z';
    out[length + 1] = '\0';
    return out;
}

/* Exactly `digits` digits; advances. */
static bool take_digits(const char **at, int digits, int *ret)
{
    int value = 0;

    for (int i = 0; i < digits; i++) {
        char c = (*at)[i];

        if (c < '0' || c > '9')
            return false;
        value = value * 10 + (c - '0');
    }
    *at += digits;
    *ret = value;
    return true;
}

/* Digits behind a point as nanoseconds; those past the ninth are dropped, as Go does. */
static bool take_fraction(const char **at, int64_t *ret_ns)
{
    int64_t ns = 0;
    int64_t unit = NS_PER_SEC / 10;
    const char *p = *at;

    if (*p < '0' || *p > '9')
        return false;
    for (; *p >= '0' && *p <= '9'; p++) {
        ns += (*p - '0') * unit;
        unit /= 10;
    }
    *at = p;
    *ret_ns = ns;
    return true;
}

static int join(int64_t seconds, int64_t ns, int64_t *ret_ns)
{
    int64_t total;

    if (seconds == NEVER_SECONDS) {
        *ret_ns = 0;
        return 0;
    }
    if (__builtin_mul_overflow(seconds, NS_PER_SEC, &total) ||
        __builtin_add_overflow(total, ns, &total))
        return -EINVAL;
    *ret_ns = total;
    return 0;
}

/* "1136073845", "1136073845.000000001", "-5". */
static int parse_unix(const char *text, int64_t *ret_ns)
{
    const char *p = text;
    bool negative = *p == '-';
    int64_t seconds = 0;
    int64_t ns = 0;

    if (negative)
        p++;
    if (*p < '0' || *p > '9')
        return -EINVAL;
    for (; *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(seconds, 10, &seconds) ||
            __builtin_add_overflow(seconds, *p - '0', &seconds))
            return -EINVAL;
    if (*p == '.') {
        p++;
        if (!take_fraction(&p, &ns))
            return -EINVAL;
    }
    if (*p != '\0')
        return -EINVAL;
    return negative ? join(-seconds, -ns, ret_ns) : join(seconds, ns, ret_ns);
}

/* "2006-01-02", then optionally "T15[:04[:05[.999]]]", then optionally a zone.
 * Without a zone Docker means the client's; a server knows only UTC. */
static int parse_date(const char *text, int64_t *ret_ns)
{
    static const int month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const char *p = text;
    int year, month, day, hour = 0, minute = 0, second = 0;
    int64_t ns = 0;

    if (!take_digits(&p, 4, &year) || *p++ != '-' || !take_digits(&p, 2, &month) || *p++ != '-' ||
        !take_digits(&p, 2, &day))
        return -EINVAL;
    if (month < 1 || month > 12)
        return -EINVAL;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (day < 1 || day > month_days[month - 1] + (month == 2 && leap))
        return -EINVAL;

    if (*p == 'T' || *p == 't') {
        p++;
        if (!take_digits(&p, 2, &hour))
            return -EINVAL;
        if (*p == ':') {
            p++;
            if (!take_digits(&p, 2, &minute))
                return -EINVAL;
            if (*p == ':') {
                p++;
                if (!take_digits(&p, 2, &second))
                    return -EINVAL;
                if (*p == '.') {
                    p++;
                    if (!take_fraction(&p, &ns))
                        return -EINVAL;
                }
            }
        }
        if (hour > 23 || minute > 59 || second > 59)
            return -EINVAL;
    }

    int64_t offset = 0;
    if (*p == 'Z' || *p == 'z') {
        p++;
    } else if (*p == '+' || *p == '-') {
        int zone_hour, zone_minute;
        bool west = *p++ == '-';

        if (!take_digits(&p, 2, &zone_hour) || *p++ != ':' || !take_digits(&p, 2, &zone_minute) ||
            zone_hour > 24 || zone_minute > 59)
            return -EINVAL;
        offset = zone_hour * INT64_C(3600) + zone_minute * INT64_C(60);
        if (west)
            offset = -offset;
    }
    if (*p != '\0')
        return -EINVAL;
    return join(days_from_date(year, month, day) * SECONDS_PER_DAY + hour * INT64_C(3600) +
                    minute * INT64_C(60) + second - offset,
                ns, ret_ns);
}

int time_parse(const char *text, int64_t *ret_ns)
{
    if (!text || !*text)
        return -EINVAL;

    /* A bare number is Unix seconds, so it has to be tried before durations,
     * where it would mean "seconds ago". */
    if (parse_unix(text, ret_ns) == 0)
        return 0;

    size_t length = strlen(text);
    const char *dash = strchr(text + 1, '-');
    char last = text[length - 1];
    if (!dash && (last == 's' || last == 'm' || last == 'h')) {
        int64_t ago, then;

        if (str_to_duration(text, &ago) < 0 ||
            __builtin_sub_overflow(clock_real_ns(), ago, &then))
            return -EINVAL;
        *ret_ns = then;
        return 0;
    }
    return parse_date(text, ret_ns);
}

/* --- boot id ------------------------------------------------------------ */

static pthread_once_t boot_id_once = PTHREAD_ONCE_INIT;
static char boot_id_text[37] = "00000000-0000-0000-0000-000000000000";

static void read_boot_id(void)
{
    CLEANUP_FREE char *text = NULL;
    size_t length = 0;

    if (file_read(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64, &text, &length) == 0 &&
        length >= 36)
        memcpy(boot_id_text, text, 36);
}

const char *boot_id(void)
{
    pthread_once(&boot_id_once, read_boot_id);
    return boot_id_text;
}
