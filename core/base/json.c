/* json.c - cJSON behind a strict gate. Owner: base.
 *
 * cJSON is lenient (control characters in strings, any byte as UTF-8, white space
 * by "<= 32"), and whatever two readers of one text understand differently can be
 * turned against one of them. So the text is first checked against RFC 8259 here,
 * without recursion, and cJSON sees valid texts only.
 *
 * Printing is by hand, too: cJSON writes 1e15 as "1e+15" and passes invalid UTF-8 on.
 */
#include "base/json.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tabique/error.h"

/* Whole numbers up to here are exact as a double. */
#define EXACT_MAX INT64_C(9007199254740992)

void json_freep(cJSON **json)
{
    int saved = errno;

    cJSON_Delete(*json);
    *json = NULL;
    errno = saved;
}

/* cJSON gives NULL only when malloc() did. */
static cJSON *must(cJSON *json)
{
    if (!json)
        abort();
    return json;
}

/* --- the gate ----------------------------------------------------------- */

struct scan {
    const char *at;
    const char *end;
    char problem[96];
};

static bool problem_text(struct scan *scan, const char *text)
{
    snprintf(scan->problem, sizeof(scan->problem), "%s", text);
    return false;
}

/* In the words of Go's decoder, which Docker's clients and people know; offset: where
 * the offending character is, from the next one to be read. */
static bool problem_at(struct scan *scan, ptrdiff_t offset, const char *where)
{
    const char *at = scan->at + offset;
    if (at >= scan->end)
        return problem_text(scan, "unexpected EOF");
    const unsigned char c = (unsigned char)*at;
    if (c == '\'' || c == '\\')
        snprintf(scan->problem, sizeof(scan->problem), "invalid character '\\%c' %s", c, where);
    else if (c < 0x20 || c >= 0x7f)
        snprintf(scan->problem, sizeof(scan->problem), "invalid character '\\x%02x' %s", c, where);
    else
        snprintf(scan->problem, sizeof(scan->problem), "invalid character '%c' %s", c, where);
    return false;
}

static bool problem(struct scan *scan, const char *where)
{
    return problem_at(scan, 0, where);
}

static void skip_space(struct scan *scan)
{
    while (scan->at < scan->end &&
           (*scan->at == ' ' || *scan->at == '\t' || *scan->at == '\n' || *scan->at == '\r'))
        scan->at++;
}

static bool take(struct scan *scan, char c)
{
    if (scan->at == scan->end || *scan->at != c)
        return false;
    scan->at++;
    return true;
}

static bool scan_escape(struct scan *scan)
{
    if (scan->at == scan->end)
        return problem_text(scan, "unexpected EOF");
    char c = *scan->at++;
    if (c != 'u')
        return strchr("\"\\/bfnrt", c) && c ? true : problem_at(scan, -1, "in string escape code");

    if (scan->end - scan->at < 4)
        return problem_text(scan, "unexpected EOF");
    bool zero = true;
    for (int i = 0; i < 4; i++) {
        char digit = *scan->at++;

        if (!((digit >= '0' && digit <= '9') || (digit >= 'a' && digit <= 'f') ||
              (digit >= 'A' && digit <= 'F')))
            return problem_at(scan, -1, "in \\u hexadecimal character escape");
        zero = zero && digit == '0';
    }
    return zero ? problem_text(scan, "NUL character in a string") : true;
}

static bool scan_string(struct scan *scan)
{
    if (!take(scan, '"'))
        return problem(scan, "looking for beginning of object key string");
    while (scan->at < scan->end) {
        unsigned char c = (unsigned char)*scan->at++;

        if (c == '"')
            return true;
        if (c < 0x20)
            return problem_at(scan, -1, "in string literal");
        if (c == '\\' && !scan_escape(scan))
            return false;
    }
    return problem_text(scan, "unexpected EOF");
}

static bool scan_digits(struct scan *scan)
{
    const char *first = scan->at;

    while (scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9')
        scan->at++;
    return scan->at > first;
}

static bool scan_number(struct scan *scan)
{
    take(scan, '-');
    if (!take(scan, '0') && !scan_digits(scan))
        return problem(scan, "looking for beginning of value");
    if (take(scan, '.') && !scan_digits(scan))
        return problem(scan, "in numeric literal");
    if (take(scan, 'e') || take(scan, 'E')) {
        if (!take(scan, '+'))
            take(scan, '-');
        if (!scan_digits(scan))
            return problem(scan, "in numeric literal");
    }
    return true;
}

static bool scan_word(struct scan *scan, const char *word)
{
    size_t length = strlen(word);

    if ((size_t)(scan->end - scan->at) < length || memcmp(scan->at, word, length) != 0)
        return problem(scan, "looking for beginning of value");
    scan->at += length;
    return true;
}

static bool scan_scalar(struct scan *scan)
{
    if (scan->at == scan->end)
        return problem(scan, "looking for beginning of value");
    switch (*scan->at) {
    case '"':
        return scan_string(scan);
    case 't':
        return scan_word(scan, "true");
    case 'f':
        return scan_word(scan, "false");
    case 'n':
        return scan_word(scan, "null");
    default:
        return scan_number(scan);
    }
}

static bool scan_key(struct scan *scan)
{
    skip_space(scan);
    if (!scan_string(scan))
        return false;
    skip_space(scan);
    return take(scan, ':') ? true : problem(scan, "after object key");
}

static bool scan_text(struct scan *scan)
{
    char closers[JSON_DEPTH_MAX];
    size_t depth = 0;

    for (;;) {
        /* A value is due; opening brackets are values that go on. */
        skip_space(scan);
        char open = scan->at < scan->end ? *scan->at : '\0';
        if (open == '{' || open == '[') {
            char closer = open == '{' ? '}' : ']';

            scan->at++;
            if (depth == JSON_DEPTH_MAX)
                return problem_text(scan, "nested too deeply");
            skip_space(scan);
            if (!take(scan, closer)) {
                closers[depth++] = closer;
                if (open == '{' && !scan_key(scan))
                    return false;
                continue;
            }
        } else if (!scan_scalar(scan)) {
            return false;
        }

        /* A value has ended: so may the brackets around it. */
        for (;;) {
            skip_space(scan);
            if (depth == 0)
                return scan->at == scan->end ? true : problem(scan, "after top-level value");
            if (take(scan, ',')) {
                if (closers[depth - 1] == '}' && !scan_key(scan))
                    return false;
                break;
            }
            if (!take(scan, closers[depth - 1]))
                return problem(scan, closers[depth - 1] == '}' ? "after object key:value pair" : "after array element");
            depth--;
        }
    }
}

int json_parse(const char *text, size_t length, cJSON **ret, struct error *err)
{
    if (length > JSON_LENGTH_MAX)
        return error_set(err, EFBIG, "JSON text of %zu bytes is too large", length);
    if (!text || length == 0)
        return error_set(err, EINVAL, "EOF");
    if (!str_is_utf8(text, length))
        return error_set(err, EINVAL, "the text is not UTF-8");

    struct scan scan = {.at = text, .end = text + length};
    if (!scan_text(&scan))
        return error_set(err, EINVAL, "%s", scan.problem);

    const char *end = NULL;
    cJSON *json = cJSON_ParseWithLengthOpts(text, length, &end, 0);
    if (json) {
        scan.at = end;
        skip_space(&scan);
    }
    if (!json || scan.at != scan.end) {
        /* Half a surrogate pair; in some versions a number of 64 digits. */
        cJSON_Delete(json);
        return error_set(err, EINVAL, "bad value");
    }
    *ret = json;
    return 0;
}

/* --- printing ----------------------------------------------------------- */

/* trunc() would want libm. */
static bool is_whole(double value)
{
    return value >= -9223372036854775808.0 && value < 9223372036854775808.0 &&
           (double)(int64_t)value == value;
}

static void print_number(struct str *s, double value)
{
    if (isnan(value) || isinf(value)) {
        str_append(s, "null");
        return;
    }
    if (is_whole(value)) {
        str_printf(s, "%lld", (long long)value);
        return;
    }
    /* INT64_MAX, a usual way to say "no limit", rounds up to 2^63 as a double. */
    if (value == 9223372036854775808.0) {
        str_append(s, "9223372036854775807");
        return;
    }
    /* The shortest that reads back as the same. */
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    str_append(s, text);
}

static void print_text(struct str *s, const char *text)
{
    str_append_json(s, text ? text : "", text ? strlen(text) : 0);
}

/* Recursion: parsed texts are at most JSON_DEPTH_MAX deep, ours less. */
static void print_value(struct str *s, const cJSON *json)
{
    const cJSON *item;

    switch (json->type & 0xFF) {
    case cJSON_False:
        str_append(s, "false");
        break;
    case cJSON_True:
        str_append(s, "true");
        break;
    case cJSON_Number:
        print_number(s, json->valuedouble);
        break;
    case cJSON_String:
        print_text(s, json->valuestring);
        break;
    case cJSON_Raw:
        str_append(s, json->valuestring ? json->valuestring : "null");
        break;
    case cJSON_Array:
    case cJSON_Object: {
        bool object = cJSON_IsObject(json);

        str_append_char(s, object ? '{' : '[');
        cJSON_ArrayForEach(item, json)
        {
            if (item != json->child)
                str_append_char(s, ',');
            if (object) {
                print_text(s, item->string);
                str_append_char(s, ':');
            }
            print_value(s, item);
        }
        str_append_char(s, object ? '}' : ']');
        break;
    }
    default:
        str_append(s, "null");
        break;
    }
}

char *json_print(const cJSON *json)
{
    struct str s = STR_INIT;

    if (json)
        print_value(&s, json);
    else
        str_append(&s, "null");
    return str_take(&s);
}

/* --- getters ------------------------------------------------------------ */

cJSON *json_get(const cJSON *object, const char *key)
{
    cJSON *exact = NULL;
    cJSON *similar = NULL;
    cJSON *item;

    if (!cJSON_IsObject(object))
        return NULL;
    cJSON_ArrayForEach(item, object)
    {
        if (!item->string)
            continue;
        if (strcmp(item->string, key) == 0)
            exact = item;
        else if (str_equal_nocase(item->string, key))
            similar = item;
    }
    return exact ? exact : similar;
}

const char *json_string(const cJSON *object, const char *key, const char *fallback)
{
    const cJSON *item = json_get(object, key);

    return cJSON_IsString(item) && item->valuestring ? item->valuestring : fallback;
}

int64_t json_int(const cJSON *object, const char *key, int64_t fallback)
{
    const cJSON *item = json_get(object, key);
    int64_t exact;

    /* Raw is json_add_int()'s way to keep what a double cannot. */
    if (cJSON_IsRaw(item) && str_to_i64(item->valuestring, &exact) == 0)
        return exact;
    if (!cJSON_IsNumber(item))
        return fallback;
    double value = item->valuedouble;
    if (value >= 9223372036854775808.0)
        return INT64_MAX;
    if (value <= -9223372036854775808.0)
        return INT64_MIN;
    return is_whole(value) ? (int64_t)value : fallback;
}

double json_number(const cJSON *object, const char *key, double fallback)
{
    const cJSON *item = json_get(object, key);
    double value;

    if (cJSON_IsRaw(item) && str_to_double(item->valuestring, &value) == 0)
        return value;
    return cJSON_IsNumber(item) ? item->valuedouble : fallback;
}

bool json_bool(const cJSON *object, const char *key, bool fallback)
{
    const cJSON *item = json_get(object, key);

    return cJSON_IsBool(item) ? cJSON_IsTrue(item) : fallback;
}

char **json_strv(const cJSON *object, const char *key)
{
    const cJSON *array = json_get(object, key);
    const cJSON *item;
    char **list = NULL;
    size_t n = 0;

    if (!cJSON_IsArray(array))
        return NULL;
    /* In one piece: strv_push() counts the list each time, and the length of
     * this one is an outsider's choice. */
    list = mem_array((size_t)cJSON_GetArraySize(array) + 1, sizeof(*list));
    cJSON_ArrayForEach(item, array)
        if (cJSON_IsString(item) && item->valuestring)
            list[n++] = mem_strdup(item->valuestring);
    return list;
}

/* --- builders ----------------------------------------------------------- */

void json_add(cJSON *object, const char *key, cJSON *value)
{
    if (!value)
        value = must(cJSON_CreateNull());
    if (!cJSON_AddItemToObject(object, key, value))
        abort();
}

void json_add_string(cJSON *object, const char *key, const char *text)
{
    json_add(object, key, text ? must(cJSON_CreateString(text)) : NULL);
}

void json_add_int(cJSON *object, const char *key, int64_t value)
{
    if (value >= -EXACT_MAX && value <= EXACT_MAX) {
        json_add(object, key, must(cJSON_CreateNumber((double)value)));
        return;
    }
    char text[24];
    snprintf(text, sizeof(text), "%lld", (long long)value);
    json_add(object, key, must(cJSON_CreateRaw(text)));
}

void json_add_number(cJSON *object, const char *key, double value)
{
    json_add(object, key, must(cJSON_CreateNumber(value)));
}

void json_add_bool(cJSON *object, const char *key, bool value)
{
    json_add(object, key, must(cJSON_CreateBool(value)));
}

void json_add_null(cJSON *object, const char *key)
{
    json_add(object, key, NULL);
}

cJSON *json_add_object(cJSON *object, const char *key)
{
    cJSON *value = must(cJSON_CreateObject());

    json_add(object, key, value);
    return value;
}

cJSON *json_add_array(cJSON *object, const char *key)
{
    cJSON *value = must(cJSON_CreateArray());

    json_add(object, key, value);
    return value;
}

void json_push_string(cJSON *array, const char *text)
{
    if (!cJSON_AddItemToArray(array, must(text ? cJSON_CreateString(text) : cJSON_CreateNull())))
        abort();
}

cJSON *json_from_strv(char *const *list)
{
    cJSON *array = must(cJSON_CreateArray());

    for (; list && *list; list++)
        json_push_string(array, *list);
    return array;
}

const char *json_kind(const cJSON *json)
{
    if (cJSON_IsBool(json))
        return "bool";
    if (cJSON_IsString(json))
        return "string";
    if (cJSON_IsArray(json))
        return "array";
    if (cJSON_IsObject(json))
        return "object";
    return cJSON_IsNumber(json) ? "number" : "null";
}
