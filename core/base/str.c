/* str.c - strings that grow, lists of them, and numbers in them. Owner: base. */
#include "base/str.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

/* --- UTF-8 -------------------------------------------------------------- */

/* Length of the valid sequence at data (1 to 4), or 0: overlong forms,
 * surrogates and what lies past U+10FFFF are invalid (RFC 3629). */
static size_t utf8_sequence(const unsigned char *data, size_t length)
{
    unsigned char first = data[0];
    unsigned char low = 0x80, high = 0xBF;
    size_t need;

    if (first < 0x80)
        return 1;
    if (first >= 0xC2 && first <= 0xDF) {
        need = 2;
    } else if (first >= 0xE0 && first <= 0xEF) {
        need = 3;
        if (first == 0xE0)
            low = 0xA0;
        else if (first == 0xED)
            high = 0x9F;
    } else if (first >= 0xF0 && first <= 0xF4) {
        need = 4;
        if (first == 0xF0)
            low = 0x90;
        else if (first == 0xF4)
            high = 0x8F;
    } else {
        return 0;
    }
    if (length < need || data[1] < low || data[1] > high)
        return 0;
    for (size_t i = 2; i < need; i++)
        if ((data[i] & 0xC0) != 0x80)
            return 0;
    return need;
}

bool str_is_utf8(const void *data, size_t length)
{
    const unsigned char *at = data;

    while (length > 0) {
        size_t n = utf8_sequence(at, length);

        if (n == 0)
            return false;
        at += n;
        length -= n;
    }
    return true;
}

size_t str_cut_utf8(const char *text, size_t limit)
{
    size_t length = strnlen(text, limit + 1);

    if (length <= limit)
        return length;
    /* Back over at most one unfinished sequence; bytes that are no UTF-8 at all
     * are simply cut. */
    size_t cut = limit;
    for (int i = 0; i < 3 && cut > 0 && ((unsigned char)text[cut] & 0xC0) == 0x80; i++)
        cut--;
    return ((unsigned char)text[cut] & 0xC0) == 0x80 ? limit : cut;
}

void str_make_printable(char *text)
{
    unsigned char *in = (unsigned char *)text;
    unsigned char *out = in;
    size_t left = strlen(text);

    while (left > 0) {
        size_t n = utf8_sequence(in, left);
        bool c1 = n == 2 && in[0] == 0xC2 && in[1] < 0xA0;

        if (n == 0 || c1 || (n == 1 && (*in < 0x20 || *in == 0x7F))) {
            *out++ = '?';
            n = n ? n : 1;
        } else {
            memmove(out, in, n);
            out += n;
        }
        in += n;
        left -= n;
    }
    *out = '\0';
}

/* --- struct str --------------------------------------------------------- */

/* Room for `more` bytes and the NUL. */
static void reserve(struct str *s, size_t more)
{
    size_t need;

    if (__builtin_add_overflow(s->length, more, &need) || __builtin_add_overflow(need, 1, &need))
        abort();
    if (need <= s->capacity)
        return;
    size_t capacity = s->capacity ? s->capacity : 32;
    while (capacity < need)
        if (__builtin_mul_overflow(capacity, 2, &capacity))
            capacity = need;
    s->data = mem_grow(s->data, capacity, 1);
    s->capacity = capacity;
}

void str_free(struct str *s)
{
    int saved = errno;

    free(s->data);
    *s = STR_INIT;
    errno = saved;
}

void str_clear(struct str *s)
{
    s->length = 0;
    if (s->data)
        s->data[0] = '\0';
}

void str_append_n(struct str *s, const void *data, size_t length)
{
    reserve(s, length);
    if (length)
        memcpy(s->data + s->length, data, length);
    s->length += length;
    s->data[s->length] = '\0';
}

void str_append(struct str *s, const char *text)
{
    str_append_n(s, text, strlen(text));
}

void str_append_char(struct str *s, char c)
{
    str_append_n(s, &c, 1);
}

void str_vprintf(struct str *s, const char *format, va_list args)
{
    va_list again;

    /* Most texts fit what is free already: one pass. */
    reserve(s, 64);
    va_copy(again, args);
    size_t room = s->capacity - s->length;
    int length = vsnprintf(s->data + s->length, room, format, args);
    if (length < 0)
        abort();
    if ((size_t)length >= room) {
        reserve(s, (size_t)length);
        vsnprintf(s->data + s->length, (size_t)length + 1, format, again);
    }
    va_end(again);
    s->length += (size_t)length;
}

void str_printf(struct str *s, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    str_vprintf(s, format, args);
    va_end(args);
}

void str_append_json(struct str *s, const char *text, size_t length)
{
    const unsigned char *at = (const unsigned char *)text;
    const unsigned char *end = length ? at + length : at;

    reserve(s, length + 2);
    str_append_char(s, '"');
    while (at < end) {
        const unsigned char *run = at;

        while (at < end && *at >= 0x20 && *at < 0x80 && *at != '"' && *at != '\\')
            at++;
        if (at > run)
            str_append_n(s, run, (size_t)(at - run));
        if (at == end)
            break;
        switch (*at) {
        case '"':
            str_append_n(s, "\\\"", 2);
            break;
        case '\\':
            str_append_n(s, "\\\\", 2);
            break;
        case '\b':
            str_append_n(s, "\\b", 2);
            break;
        case '\f':
            str_append_n(s, "\\f", 2);
            break;
        case '\n':
            str_append_n(s, "\\n", 2);
            break;
        case '\r':
            str_append_n(s, "\\r", 2);
            break;
        case '\t':
            str_append_n(s, "\\t", 2);
            break;
        default:
            if (*at < 0x20) {
                str_printf(s, "\\u%04x", *at);
            } else {
                size_t n = utf8_sequence(at, (size_t)(end - at));

                if (n > 0) {
                    str_append_n(s, at, n);
                    at += n;
                } else {
                    str_append_n(s, "\xEF\xBF\xBD", 3);
                    at++;
                }
                continue;
            }
        }
        at++;
    }
    str_append_char(s, '"');
}

char *str_take(struct str *s)
{
    char *data = s->data ? s->data : mem_alloc(1);

    *s = STR_INIT;
    return data;
}

/* --- lists -------------------------------------------------------------- */

void strv_free(char **list)
{
    for (char **p = list; p && *p; p++)
        free(*p);
    free(list);
}

void strv_freep(char ***list)
{
    int saved = errno;

    strv_free(*list);
    *list = NULL;
    errno = saved;
}

size_t strv_length(char *const *list)
{
    size_t n = 0;

    while (list && list[n])
        n++;
    return n;
}

char **strv_dup(char *const *list)
{
    if (!list)
        return NULL;

    size_t n = strv_length(list);
    char **copy = mem_array(n + 1, sizeof(*copy));
    for (size_t i = 0; i < n; i++)
        copy[i] = mem_strdup(list[i]);
    return copy;
}

void strv_take(char ***list, char *text)
{
    if (!text)
        return;

    size_t n = strv_length(*list);
    *list = mem_grow(*list, n + 2, sizeof(**list));
    (*list)[n] = text;
    (*list)[n + 1] = NULL;
}

void strv_push(char ***list, const char *text)
{
    strv_take(list, mem_strdup(text));
}

bool strv_contains(char *const *list, const char *text)
{
    for (; list && *list; list++)
        if (strcmp(*list, text) == 0)
            return true;
    return false;
}

char **strv_split(const char *text, char separator)
{
    size_t n = 0;

    if (!text || !*text)
        return mem_array(1, sizeof(char *));
    for (const char *p = text; *p; p++)
        n += *p == separator;

    char **list = mem_array(n + 2, sizeof(*list));
    for (size_t i = 0; i <= n; i++) {
        const char *end = i < n ? strchr(text, separator) : text + strlen(text);

        list[i] = mem_strndup(text, (size_t)(end - text));
        text = end + 1;
    }
    return list;
}

char *strv_join(char *const *list, const char *separator)
{
    struct str s = STR_INIT;

    for (size_t i = 0; list && list[i]; i++) {
        if (i > 0)
            str_append(&s, separator);
        str_append(&s, list[i]);
    }
    return str_take(&s);
}

/* --- comparisons -------------------------------------------------------- */

bool str_equal(const char *a, const char *b)
{
    if (!a || !b)
        return a == b;
    return strcmp(a, b) == 0;
}

bool str_starts(const char *text, const char *prefix)
{
    return text && strncmp(text, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *text, const char *suffix)
{
    if (!text)
        return false;
    size_t length = strlen(text), tail = strlen(suffix);
    return length >= tail && memcmp(text + length - tail, suffix, tail) == 0;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool str_equal_nocase(const char *a, const char *b)
{
    if (!a || !b)
        return a == b;
    for (; lower(*a) == lower(*b); a++, b++)
        if (*a == '\0')
            return true;
    return false;
}

/* --- numbers ------------------------------------------------------------ */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

int str_to_u64(const char *text, uint64_t *ret)
{
    uint64_t value = 0;
    bool range = false;

    /* By hand: strtoull() takes white space, "-1" and "0x". */
    if (!text || !*text)
        return -EINVAL;
    for (const char *p = text; *p; p++) {
        if (!is_digit(*p))
            return -EINVAL;
        range = range || __builtin_mul_overflow(value, 10u, &value) ||
                __builtin_add_overflow(value, (unsigned)(*p - '0'), &value);
    }
    if (range)
        return -ERANGE;
    *ret = value;
    return 0;
}

int str_to_i64(const char *text, int64_t *ret)
{
    uint64_t value;

    if (!text)
        return -EINVAL;
    bool negative = *text == '-';
    int r = str_to_u64(text + (negative || *text == '+'), &value);
    if (r < 0)
        return r;
    if (value > (uint64_t)INT64_MAX + negative)
        return -ERANGE;
    *ret = negative ? (int64_t)(0 - value) : (int64_t)value;
    return 0;
}

int str_to_int(const char *text, int min, int max, int *ret)
{
    int64_t value;
    int r = str_to_i64(text, &value);

    if (r < 0)
        return r;
    if (value < min || value > max)
        return -ERANGE;
    *ret = (int)value;
    return 0;
}

int str_to_double(const char *text, double *ret)
{
    const char *p = text;
    bool digits = false;

    /* strtod() alone would take "inf", "nan", hex and leading white space. */
    if (!p)
        return -EINVAL;
    if (*p == '+' || *p == '-')
        p++;
    for (; is_digit(*p); p++)
        digits = true;
    if (*p == '.')
        p++;
    for (; is_digit(*p); p++)
        digits = true;
    if (!digits)
        return -EINVAL;
    if (*p == 'e' || *p == 'E') {
        p++;
        if (*p == '+' || *p == '-')
            p++;
        if (!is_digit(*p))
            return -EINVAL;
        while (is_digit(*p))
            p++;
    }
    if (*p != '\0')
        return -EINVAL;

    double value = strtod(text, NULL);
    if (isinf(value))
        return -ERANGE;
    *ret = value;
    return 0;
}

/* "12", "1.5", ".5", "3." as whole part and fraction; false without a digit.
 * *overflow is set (and the digits are still consumed) when whole is too big. */
static bool take_decimal(const char **at, uint64_t *whole, double *fraction, bool *overflow)
{
    const char *p = *at;
    bool digits = false;

    *whole = 0;
    *fraction = 0;
    for (; is_digit(*p); p++) {
        digits = true;
        if (__builtin_mul_overflow(*whole, 10u, whole) ||
            __builtin_add_overflow(*whole, (unsigned)(*p - '0'), whole))
            *overflow = true;
    }
    if (*p == '.') {
        /* One division at the end keeps "0.1" as near as strtod() would. */
        double numerator = 0, denominator = 1;

        for (p++; is_digit(*p); p++) {
            digits = true;
            if (denominator < 1e15) {
                numerator = numerator * 10 + (*p - '0');
                denominator *= 10;
            }
        }
        *fraction = numerator / denominator;
    }
    *at = p;
    return digits;
}

/* whole.fraction times unit, into a non-negative int64. */
static int scale(uint64_t whole, double fraction, uint64_t unit, int64_t *ret)
{
    uint64_t value;

    if (__builtin_mul_overflow(whole, unit, &value) ||
        __builtin_add_overflow(value, (uint64_t)(fraction * (double)unit), &value) ||
        value > INT64_MAX)
        return -ERANGE;
    *ret = (int64_t)value;
    return 0;
}

int str_to_bytes(const char *text, int64_t *ret)
{
    static const char units[] = "kmgtp";
    const char *p = text;
    uint64_t whole;
    uint64_t unit = 1;
    double fraction;
    bool overflow = false;

    if (!p || !take_decimal(&p, &whole, &fraction, &overflow))
        return -EINVAL;
    if (*p == ' ')
        p++;

    char first = lower(*p);
    const char *known = first ? strchr(units, first) : NULL;
    if (known) {
        unit = UINT64_C(1) << (10 * (known - units + 1));
        p++;
        if (lower(*p) == 'i' && lower(p[1]) == 'b')
            p += 2;
        else if (lower(*p) == 'b')
            p++;
    } else if (first == 'b') {
        p++;
    } else if (p > text && p[-1] == ' ') {
        return -EINVAL;
    }
    if (*p != '\0')
        return -EINVAL;
    return overflow ? -ERANGE : scale(whole, fraction, unit, ret);
}

static bool take_unit(const char **at, uint64_t *unit)
{
    static const struct {
        const char *name;
        uint64_t ns;
    } units[] = {
        /* "ms" before "m": the first match wins. */
        {"ns", 1},
        {"us", 1000},
        {"\xC2\xB5s", 1000},
        {"\xCE\xBCs", 1000},
        {"ms", UINT64_C(1000000)},
        {"s", UINT64_C(1000000000)},
        {"m", UINT64_C(60000000000)},
        {"h", UINT64_C(3600000000000)},
    };

    for (size_t i = 0; i < ARRAY_SIZE(units); i++)
        if (str_starts(*at, units[i].name)) {
            *at += strlen(units[i].name);
            *unit = units[i].ns;
            return true;
        }
    return false;
}

int str_to_duration(const char *text, int64_t *ret_ns)
{
    const char *p = text;
    int64_t total = 0;
    bool range = false;

    if (!p || !*p)
        return -EINVAL;
    bool negative = *p == '-';
    if (*p == '-' || *p == '+')
        p++;
    const char *first = p;
    do {
        uint64_t whole;
        double fraction;
        uint64_t unit = (uint64_t)NS_PER_SEC;
        int64_t part = 0;
        bool overflow = false;
        bool bare = p == first;

        if (!take_decimal(&p, &whole, &fraction, &overflow))
            return -EINVAL;
        /* A number without a unit is seconds, but only if it is all there is. */
        if (!take_unit(&p, &unit) && !(bare && *p == '\0'))
            return -EINVAL;
        range = range || overflow || scale(whole, fraction, unit, &part) < 0 ||
                __builtin_add_overflow(total, part, &total);
    } while (*p);
    if (range)
        return -ERANGE;
    *ret_ns = negative ? -total : total;
    return 0;
}

/* value/unit without trailing zeros: 1.5 of 1500/1000. */
static void append_fraction(struct str *out, uint64_t value, uint64_t unit)
{
    str_printf(out, "%" PRIu64, value / unit);
    uint64_t rest = value % unit;
    if (rest)
        str_append_char(out, '.');
    for (; rest; rest %= unit) {
        rest *= 10;
        str_append_char(out, (char)('0' + rest / unit));
    }
}

void str_append_duration(struct str *out, int64_t ns)
{
    static const struct {
        const char *name;
        uint64_t ns;
    } units[] = {{"ms", 1000000}, {"µs", 1000}, {"ns", 1}};
    uint64_t value = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns, second = (uint64_t)NS_PER_SEC;

    if (ns < 0)
        str_append_char(out, '-');
    if (value > 0 && value < second) {
        size_t i = 0;
        while (value < units[i].ns)
            i++;
        append_fraction(out, value, units[i].ns);
        str_append(out, units[i].name);
        return;
    }
    if (value >= 3600 * second)
        str_printf(out, "%" PRIu64 "h", value / (3600 * second));
    if (value >= 60 * second)
        str_printf(out, "%" PRIu64 "m", value / (60 * second) % 60);
    append_fraction(out, value % (60 * second), second);
    str_append_char(out, 's');
}

/* --- hex ---------------------------------------------------------------- */

void hex_encode(const void *data, size_t length, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *at = data;

    for (size_t i = 0; i < length; i++) {
        *out++ = digits[at[i] >> 4];
        *out++ = digits[at[i] & 15];
    }
    *out = '\0';
}

static int hex_digit(char c)
{
    if (is_digit(c))
        return c - '0';
    if (lower(c) >= 'a' && lower(c) <= 'f')
        return lower(c) - 'a' + 10;
    return -1;
}

int hex_decode(const char *text, void *out, size_t length)
{
    unsigned char *at = out;

    /* Checked whole first: out stays untouched on failure. */
    if (!text || strnlen(text, 2 * length + 1) != 2 * length)
        return -EINVAL;
    for (size_t i = 0; i < 2 * length; i++)
        if (hex_digit(text[i]) < 0)
            return -EINVAL;
    for (size_t i = 0; i < length; i++)
        at[i] = (unsigned char)(hex_digit(text[2 * i]) << 4 | hex_digit(text[2 * i + 1]));
    return 0;
}

bool str_is_hex(const char *text, size_t length)
{
    if (!text || strnlen(text, length + 1) != length)
        return false;
    for (size_t i = 0; i < length; i++)
        if (!is_digit(text[i]) && (text[i] < 'a' || text[i] > 'f'))
            return false;
    return true;
}
