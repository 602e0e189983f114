/* head.c - see head.h. */
#include "head.h"

#include <string.h>
#include <strings.h>

size_t head_length(const char *data, size_t length)
{
    const char *at = data;
    while ((size_t)(at - data) + 4 <= length) {
        const char *cr = memchr(at, '\r', length - (size_t)(at - data) - 3);
        if (cr == NULL)
            return 0;
        if (memcmp(cr, "\r\n\r\n", 4) == 0)
            return (size_t)(cr - data) + 4;
        at = cr + 1;
    }
    return 0;
}

/* RFC 9110, 5.6.2: the characters of a method or field name. */
static bool is_token(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool name_is(const char *name, size_t length, const char *wanted)
{
    return strlen(wanted) == length && strncasecmp(name, wanted, length) == 0;
}

static bool list_has(const char *value, size_t length, const char *wanted)
{
    size_t at = 0, want = strlen(wanted);
    while (at < length) {
        while (at < length && (value[at] == ' ' || value[at] == '\t' || value[at] == ','))
            at++;
        size_t begin = at;
        while (at < length && value[at] != ',')
            at++;
        size_t end = at;
        while (end > begin && (value[end - 1] == ' ' || value[end - 1] == '\t'))
            end--;
        if (end - begin == want && strncasecmp(value + begin, wanted, want) == 0)
            return true;
    }
    return false;
}

struct check {
    struct head *head;
    int fields, hosts, lengths, encodings;
    const char *reason;
};

static int refuse(struct check *check, int status, const char *reason)
{
    check->reason = reason;
    return status;
}

static int check_request_line(struct check *check, const char *line, size_t length)
{
    size_t at = 0;
    while (at < length && is_token((unsigned char)line[at]))
        at++;
    if (at == 0 || at > 16 || at >= length || line[at] != ' ')
        return refuse(check, 400, "malformed request line");
    size_t target = ++at;
    while (at < length && line[at] != ' ') {
        unsigned char c = (unsigned char)line[at];
        if (c <= 0x20 || c >= 0x7f || c == '#')
            return refuse(check, 400, "invalid character in the request target");
        at++;
    }
    if (at - target > HEAD_TARGET_MAX)
        return refuse(check, 414, "the request target is too long");
    /* Only the origin form: an absolute one names a second host. */
    if (at == target || line[target] != '/' || at >= length)
        return refuse(check, 400, "malformed request target");
    at++;
    if (length - at != 8 || memcmp(line + at, "HTTP/", 5) != 0)
        return refuse(check, 400, "malformed HTTP version");
    if (memcmp(line + at, "HTTP/1.1", 8) == 0)
        check->head->http10 = false;
    else if (memcmp(line + at, "HTTP/1.0", 8) == 0)
        check->head->http10 = true;
    else
        return refuse(check, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
    check->head->keep_alive = !check->head->http10;
    return 0;
}

static int check_content_length(struct check *check, const char *value, size_t length)
{
    if (check->lengths++ > 0)
        return refuse(check, 400, "more than one Content-Length");
    if (length == 0 || length > 18)
        return refuse(check, 400, "malformed Content-Length");
    int64_t number = 0;
    for (size_t i = 0; i < length; i++) {
        if (value[i] < '0' || value[i] > '9')
            return refuse(check, 400, "malformed Content-Length");
        number = number * 10 + (value[i] - '0');
    }
    check->head->content_length = number;
    return 0;
}

static int check_field(struct check *check, const char *line, size_t length)
{
    if (line[0] == ' ' || line[0] == '\t')
        return refuse(check, 400, "folded header line");
    if (++check->fields > HEAD_FIELDS_MAX)
        return refuse(check, 431, "too many header lines");
    size_t colon = 0;
    while (colon < length && is_token((unsigned char)line[colon]))
        colon++;
    if (colon == 0 || colon >= length || line[colon] != ':')
        return refuse(check, 400, "malformed header name");
    const char *value = line + colon + 1;
    size_t left = length - colon - 1;
    while (left > 0 && (value[0] == ' ' || value[0] == '\t'))
        value++, left--;
    while (left > 0 && (value[left - 1] == ' ' || value[left - 1] == '\t'))
        left--;
    for (size_t i = 0; i < left; i++) {
        unsigned char c = (unsigned char)value[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return refuse(check, 400, "control character in a header");
    }

    struct head *head = check->head;
    if (name_is(line, colon, "host")) {
        if (check->hosts++ > 0)
            return refuse(check, 400, "more than one Host");
    } else if (name_is(line, colon, "content-length")) {
        return check_content_length(check, value, left);
    } else if (name_is(line, colon, "transfer-encoding")) {
        if (check->encodings++ > 0 || !name_is(value, left, "chunked"))
            return refuse(check, 501, "only Transfer-Encoding: chunked is supported");
        head->chunked = true;
    } else if (name_is(line, colon, "connection")) {
        if (list_has(value, left, "close"))
            head->keep_alive = false;
        else if (head->http10 && list_has(value, left, "keep-alive"))
            head->keep_alive = true;
    } else if (name_is(line, colon, "expect")) {
        if (!name_is(value, left, "100-continue"))
            return refuse(check, 417, "unknown expectation");
        head->expect_continue = !head->http10;
    }
    return 0;
}

int head_check(const char *data, size_t length, struct head *ret, const char **ret_reason)
{
    *ret = (struct head){.content_length = -1};
    struct check check = {.head = ret};
    const char *at = data, *end = data + length;
    bool first = true;
    int status = 0;
    while (status == 0 && at < end) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        if (line_end == NULL || line_end == at || line_end[-1] != '\r') {
            status = refuse(&check, 400, "a line must end in CRLF");
            break;
        }
        size_t line_length = (size_t)(line_end - at) - 1;
        if (memchr(at, '\r', line_length) != NULL || memchr(at, '\0', line_length) != NULL) {
            status = refuse(&check, 400, "control character in the head");
        } else if (line_length == 0) {
            if (line_end + 1 != end || first)
                status = refuse(&check, 400, "empty line in the head");
        } else if (first) {
            status = check_request_line(&check, at, line_length);
            first = false;
        } else {
            status = check_field(&check, at, line_length);
        }
        at = line_end + 1;
    }
    if (status == 0 && check.lengths > 0 && ret->chunked)
        status = refuse(&check, 400, "both Content-Length and Transfer-Encoding");
    if (status == 0 && ret->http10 && ret->chunked)
        status = refuse(&check, 400, "chunks need HTTP/1.1");
    if (status == 0 && !ret->http10 && check.hosts == 0)
        status = refuse(&check, 400, "missing required Host header");
    if (status != 0)
        *ret_reason = check.reason;
    return status;
}
