/* log_line.c - decoding a log line without building a JSON tree: a log of 100 MB
 * has a million of them. Owner: container. */
#include "container/log_line.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "tabique/container.h"

struct scan {
    const char *at, *end;
};

static bool take(struct scan *scan, char c)
{
    while (scan->at < scan->end && (*scan->at == ' ' || *scan->at == '\t'))
        scan->at++;
    if (scan->at == scan->end || *scan->at != c)
        return false;
    scan->at++;
    return true;
}

static int hex4(struct scan *scan)
{
    int value = 0;

    if (scan->end - scan->at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = *scan->at++;
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                                : c >= 'A' && c <= 'F'   ? c - 'A' + 10
                                                                         : -1;
        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

static void put_utf8(struct str *out, unsigned code)
{
    char bytes[4];
    size_t n = 0;

    if (code < 0x80) {
        bytes[n++] = (char)code;
    } else if (code < 0x800) {
        bytes[n++] = (char)(0xc0 | code >> 6);
        bytes[n++] = (char)(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        bytes[n++] = (char)(0xe0 | code >> 12);
        bytes[n++] = (char)(0x80 | (code >> 6 & 0x3f));
        bytes[n++] = (char)(0x80 | (code & 0x3f));
    } else {
        bytes[n++] = (char)(0xf0 | code >> 18);
        bytes[n++] = (char)(0x80 | (code >> 12 & 0x3f));
        bytes[n++] = (char)(0x80 | (code >> 6 & 0x3f));
        bytes[n++] = (char)(0x80 | (code & 0x3f));
    }
    str_append_n(out, bytes, n);
}

static bool take_unicode(struct scan *scan, struct str *out)
{
    int high = hex4(scan);

    if (high < 0)
        return false;
    if (high >= 0xd800 && high < 0xdc00 && scan->end - scan->at >= 6 && scan->at[0] == '\\' && scan->at[1] == 'u') {
        struct scan ahead = {scan->at + 2, scan->end};
        int low = hex4(&ahead);
        if (low >= 0xdc00 && low < 0xe000) {
            scan->at = ahead.at;
            put_utf8(out, 0x10000u + ((unsigned)(high - 0xd800) << 10) + (unsigned)(low - 0xdc00));
            return true;
        }
    }
    put_utf8(out, high >= 0xd800 && high < 0xe000 ? 0xfffdu : (unsigned)high);
    return true;
}

/* A string; its decoded bytes are appended to out. */
static bool take_string(struct scan *scan, struct str *out)
{
    static const char escapes[] = "\"\"\\\\//b\bf\fn\nr\rt\t";

    if (!take(scan, '"'))
        return false;
    for (;;) {
        const char *run = scan->at;
        while (scan->at < scan->end && *scan->at != '"' && *scan->at != '\\')
            scan->at++;
        if (scan->at > run)
            str_append_n(out, run, (size_t)(scan->at - run));
        if (scan->at == scan->end)
            return false;
        if (*scan->at++ == '"')
            return true;
        if (scan->at == scan->end)
            return false;
        char kind = *scan->at++;
        if (kind == 'u') {
            if (!take_unicode(scan, out))
                return false;
            continue;
        }
        const char *pair = escapes;
        while (*pair && *pair != kind)
            pair += 2;
        if (*pair == '\0')
            return false;
        str_append_char(out, pair[1]);
    }
}

/* The shape the shim writes: log, stream, time, in this order. */
static int decode_fast(const char *data, size_t length, struct str *text, struct container_log_line *ret)
{
    static const char head[] = "{\"log\":", middle[] = ",\"stream\":", tail[] = ",\"time\":";
    struct scan scan = {data, data + length};
    char short_text[48];
    struct str word = STR_INIT;
    int r = -EBADMSG;

    if (length < sizeof(head) || memcmp(data, head, sizeof(head) - 1) != 0)
        return -EBADMSG;
    scan.at += sizeof(head) - 1;
    str_clear(text);
    if (!take_string(&scan, text) || (size_t)(scan.end - scan.at) < sizeof(middle) ||
        memcmp(scan.at, middle, sizeof(middle) - 1) != 0)
        return -EBADMSG;
    scan.at += sizeof(middle) - 1;
    if (take_string(&scan, &word) && (size_t)(scan.end - scan.at) >= sizeof(tail) &&
        memcmp(scan.at, tail, sizeof(tail) - 1) == 0) {
        ret->stream = str_equal(word.data, "stderr") ? 2 : 1;
        scan.at += sizeof(tail) - 1;
        str_clear(&word);
        if (take_string(&scan, &word) && word.length < sizeof(short_text) && take(&scan, '}') &&
            time_parse(word.data ? word.data : "", &ret->time_ns) == 0)
            r = 0;
    }
    str_free(&word);
    return r;
}

static int decode_any(const char *data, size_t length, struct str *text, struct container_log_line *ret)
{
    CLEANUP_JSON cJSON *json = NULL;

    if (json_parse(data, length, &json, NULL) < 0)
        return -EBADMSG;
    const char *log = json_string(json, "log", NULL);
    if (!log || time_parse(json_string(json, "time", ""), &ret->time_ns) < 0)
        return -EBADMSG;
    str_clear(text);
    str_append(text, log);
    ret->stream = strcmp(json_string(json, "stream", "stdout"), "stderr") == 0 ? 2 : 1;
    return 0;
}

int log_line_decode(const char *data, size_t length, struct str *text, struct container_log_line *ret)
{
    int r = decode_fast(data, length, text, ret);

    if (r < 0)
        r = decode_any(data, length, text, ret);
    if (r < 0)
        return r;
    ret->data = text->data ? text->data : "";
    ret->length = text->length;
    return 0;
}

static void escape(struct str *out, const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (isalnum(*c) || strchr("-_.~", *c))
            str_append_char(out, (char)*c);
        else if (*c == ' ')
            str_append_char(out, '+');
        else
            str_printf(out, "%%%02X", *c);
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const cJSON *const *)a)->string, (*(const cJSON *const *)b)->string);
}

char *log_line_attributes(const char *data, size_t length)
{
    CLEANUP_JSON cJSON *json = NULL;
    CLEANUP_STR struct str out = STR_INIT;

    /* Most logs have none: no tree is built for those. */
    if (!memmem(data, length, "\"attrs\":", 8) || json_parse(data, length, &json, NULL) < 0)
        return NULL;
    const cJSON *attributes = json_get(json, "attrs"), *item;
    size_t count = 0, size = (size_t)cJSON_GetArraySize(attributes);
    CLEANUP_FREE const cJSON **sorted = mem_array(size + 1, sizeof(*sorted));
    cJSON_ArrayForEach(item, attributes)
        if (cJSON_IsString(item) && item->string)
            sorted[count++] = item;
    qsort(sorted, count, sizeof(*sorted), by_name);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            str_append_char(&out, ',');
        escape(&out, sorted[i]->string);
        str_append_char(&out, '=');
        escape(&out, sorted[i]->valuestring);
    }
    return count > 0 ? mem_strdup(out.data) : NULL;
}
