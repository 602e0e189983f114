/* request.c - the request as handlers see it; see http.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "civetweb_unit.h"
#include "server_internal.h"
#include "tabique/error.h"
#include "transport.h"

#define QUERY_MAX 256
#define JSON_BODY_DEFAULT (4u << 20)

/* --- from the wire ---------------------------------------------------------------------- */
static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int url_decode(const char *text, size_t length, bool plus, char *out)
{
    char *to = out;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (c == '%') {
            if (i + 2 >= length)
                return -EINVAL;
            int high = hex_digit(text[i + 1]), low = hex_digit(text[i + 2]);
            if (high < 0 || low < 0)
                return -EINVAL;
            c = (char)(high << 4 | low);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        if (c == '\0')
            return -EINVAL;
        *to++ = c;
    }
    *to = '\0';
    return str_is_utf8(out, (size_t)(to - out)) ? 0 : -EINVAL;
}

/* No control characters, and no way up: civetweb and proxies would resolve dots
 * each in their own way. */
static bool path_is_plain(const char *path)
{
    for (const char *at = path; *at != '\0'; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            return false;
        if (at[0] == '/' && at[1] == '.') {
            const char *dots = at + 1;
            while (*dots == '.')
                dots++;
            if ((*dots == '/' || *dots == '\0') && dots - at <= 3)
                return false;
        }
    }
    return true;
}

static int parse_query(struct request *request, char *text)
{
    size_t count = 1;
    for (const char *at = text; *at != '\0'; at++)
        count += *at == '&';
    if (count > QUERY_MAX)
        return -E2BIG;
    request->query = mem_array(count, sizeof(struct pair));
    for (char *part = text, *next; part != NULL; part = next) {
        next = strchr(part, '&');
        if (next != NULL)
            *next++ = '\0';
        if (part[0] == '\0')
            continue;
        char *value = strchr(part, '=');
        if (value != NULL)
            *value++ = '\0';
        /* Decoding never grows, so it can be done in place. */
        if (url_decode(part, strlen(part), true, part) < 0)
            return -EINVAL;
        if (value != NULL && url_decode(value, strlen(value), true, value) < 0)
            return -EINVAL;
        request->query[request->query_count++] = (struct pair){part, value != NULL ? value : ""};
    }
    return 0;
}

int request_new(struct transport *transport, const struct head *head, size_t head_size,
                struct request **ret, const char **ret_reason)
{
    struct message *message = NULL;
    struct str *in = &transport->in;
    /* What stands behind this message's body belongs to the next. */
    int r = message_parse(transport, in->data, head_size, in->length, head->content_length,
                          head->chunked, &message);
    if (r < 0) {
        *ret_reason = r == -ENOMEM ? "out of memory" : "the request cannot be understood";
        return r == -ENOMEM ? 503 : 400;
    }
    struct request *request = mem_new(struct request);
    request->server = transport->server;
    request->transport = transport;
    request->message = message;
    request->head = *head;
    request->api_version = API_VERSION_MAX;
    atomic_init(&request->holders, 1);
    request->received_ns = clock_mono_ns();
    request->head_only = strcmp(message_method(message), "HEAD") == 0;
    request->target = mem_strdup(message_uri(message));
    char *question = strchr(request->target, '?');
    if (question != NULL)
        *question++ = '\0';
    request->path = mem_alloc(strlen(request->target) + 1);
    int status = 0;
    if (url_decode(request->target, strlen(request->target), false, request->path) < 0 ||
        !path_is_plain(request->path)) {
        *ret_reason = "invalid path";
        status = 400;
    } else if (question != NULL && (r = parse_query(request, question)) < 0) {
        *ret_reason = r == -E2BIG ? "too many query parameters" : "invalid query";
        status = 400;
    }
    if (status != 0) {
        request_free(request);
        return status;
    }
    *ret = request;
    return 0;
}

void request_free(struct request *request)
{
    if (request == NULL)
        return;
    message_free(request->message);
    str_free(&request->extra);
    free(request->query);
    free(request->path);
    free(request->target);
    free(request->param_text);
    free(request);
}

/* --- reading it ---------------------------------------------------------------------------- */
struct server *request_server(struct request *request)
{
    return request->server;
}
struct engine *request_engine(struct request *request)
{
    return request->server->options.engine;
}
const struct principal *request_principal(struct request *request)
{
    return &request->principal;
}
const char *request_method(const struct request *request)
{
    return message_method(request->message);
}
const char *request_path(const struct request *request)
{
    return request->path;
}
int request_api_version(const struct request *request)
{
    return request->api_version;
}
const char *request_header(const struct request *request, const char *name)
{
    return message_header(request->message, name);
}

const char *request_param(const struct request *request, const char *name)
{
    for (size_t i = 0; i < request->param_count; i++)
        if (strcmp(request->params[i].name, name) == 0)
            return request->params[i].value;
    return "";
}

const char *request_query(const struct request *request, const char *name)
{
    for (size_t i = 0; i < request->query_count; i++)
        if (strcmp(request->query[i].name, name) == 0)
            return request->query[i].value;
    return NULL;
}

size_t request_query_all(const struct request *request, const char *name, const char **ret,
                         size_t max)
{
    size_t count = 0;
    for (size_t i = 0; i < request->query_count && count < max; i++)
        if (strcmp(request->query[i].name, name) == 0)
            ret[count++] = request->query[i].value;
    return count;
}

bool request_query_bool(const struct request *request, const char *name, bool fallback)
{
    static const char *const falses[] = {"", "0", "no", "false", "none"};
    const char *text = request_query(request, name);
    if (text == NULL)
        return fallback;
    for (size_t i = 0; i < ARRAY_SIZE(falses); i++)
        if (strcasecmp(text, falses[i]) == 0)
            return false;
    return true;
}

int request_query_int(const struct request *request, const char *name, int64_t fallback,
                      int64_t *ret, struct error *err)
{
    const char *text = request_query(request, name);
    int64_t value = fallback;
    if (text != NULL && text[0] != '\0' && str_to_i64(text, &value) < 0)
        return error_set(err, EINVAL, "strconv.Atoi: parsing \"%s\": invalid syntax", text);
    *ret = value;
    return 0;
}

/* --- filters -------------------------------------------------------------------------------- */
static int filter_values(const cJSON *given, cJSON *out, struct error *err)
{
    const cJSON *value;
    if (cJSON_IsArray(given)) {
        cJSON_ArrayForEach(value, given)
        {
            if (!cJSON_IsString(value))
                return error_set(err, EINVAL, "invalid filter");
            json_push_string(out, value->valuestring);
        }
        return 0;
    }
    if (!cJSON_IsObject(given))
        return error_set(err, EINVAL, "invalid filter");
    cJSON_ArrayForEach(value, given)
    {
        if (!cJSON_IsBool(value))
            return error_set(err, EINVAL, "invalid filter");
        if (cJSON_IsTrue(value))
            json_push_string(out, value->string);
    }
    return 0;
}

int request_filters(struct request *request, const char *const *allowed, cJSON **ret,
                    struct error *err)
{
    const char *text = request_query(request, "filters");
    if (text == NULL || text[0] == '\0') {
        *ret = NULL;
        return 0;
    }
    CLEANUP_JSON cJSON *given = NULL, *filters = cJSON_CreateObject();
    if (json_parse(text, strlen(text), &given, NULL) < 0)
        return error_set(err, EINVAL, "invalid filter");
    if (cJSON_IsNull(given)) {
        *ret = NULL;
        return 0;
    }
    if (!cJSON_IsObject(given))
        return error_set(err, EINVAL, "invalid filter");
    const cJSON *entry;
    cJSON_ArrayForEach(entry, given)
    {
        bool known = allowed == NULL;
        for (size_t i = 0; !known && allowed[i] != NULL; i++)
            known = strcmp(allowed[i], entry->string) == 0;
        if (!known)
            return error_set(err, EINVAL, "invalid filter '%s'", entry->string);
        cJSON *list = cJSON_GetObjectItemCaseSensitive(filters, entry->string);
        if (list == NULL)
            list = json_add_array(filters, entry->string);
        int r = filter_values(entry, list, err);
        if (r < 0)
            return r;
    }
    *ret = TAKE_PTR(filters);
    return 0;
}

static bool filter_any(const cJSON *filters, const char *key, const void *user,
                       bool (*matches)(const void *user, const char *wanted))
{
    const cJSON *list = filters != NULL ? cJSON_GetObjectItemCaseSensitive(filters, key) : NULL;
    if (list == NULL || list->child == NULL)
        return true;
    const cJSON *wanted;
    cJSON_ArrayForEach(wanted, list) if (cJSON_IsString(wanted) &&
                                         matches(user, wanted->valuestring)) return true;
    return false;
}

static bool is_same(const void *user, const char *wanted)
{
    return strcmp(user, wanted) == 0;
}
static bool is_prefix(const void *user, const char *wanted)
{
    return str_starts(user, wanted);
}

bool filter_match(const cJSON *filters, const char *key, const char *value)
{
    return filter_any(filters, key, value != NULL ? value : "", is_same);
}

bool filter_match_prefix(const cJSON *filters, const char *key, const char *value)
{
    return filter_any(filters, key, value != NULL ? value : "", is_prefix);
}

bool filter_match_labels(const cJSON *filters, const char *key, const cJSON *labels)
{
    const cJSON *list = filters != NULL ? cJSON_GetObjectItemCaseSensitive(filters, key) : NULL;
    const cJSON *wanted;
    /* All of them must match, unlike other filters. */
    cJSON_ArrayForEach(wanted, list)
    {
        if (!cJSON_IsString(wanted))
            return false;
        CLEANUP_FREE char *name = mem_strdup(wanted->valuestring);
        char *value = strchr(name, '=');
        if (value != NULL)
            *value++ = '\0';
        const cJSON *label = labels != NULL ? cJSON_GetObjectItemCaseSensitive(labels, name) : NULL;
        if (!cJSON_IsString(label))
            return false;
        if (value != NULL && strcmp(label->valuestring, value) != 0)
            return false;
    }
    return true;
}

/* --- body ------------------------------------------------------------------------------------- */
ssize_t request_read(void *user, void *buffer, size_t size)
{
    struct request *request = user;
    if (request->transport == NULL)
        return -EPIPE;
    if (request->head.expect_continue && !request->continue_sent && !request->begun) {
        request->continue_sent = true;
        static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
        if (message_buffered(request->message) == 0 && !message_body_done(request->message))
            transport_write(request->transport, text, sizeof(text) - 1);
    }
    return message_read(request->message, buffer, size);
}

static bool is_json_type(const char *type)
{
    static const char json[] = "application/json";
    if (strncasecmp(type, json, sizeof(json) - 1) != 0)
        return false;
    char after = type[sizeof(json) - 1];
    return after == '\0' || after == ';' || after == ' ' || after == '\t';
}

int request_json(struct request *request, size_t limit, bool allow_empty, cJSON **ret,
                 struct error *err)
{
    if (limit == 0)
        limit = JSON_BODY_DEFAULT;
    if (request->head.content_length > (int64_t)limit)
        return error_set(err, EFBIG, "the request body is too large (at most %zu bytes)", limit);
    CLEANUP_STR struct str body = STR_INIT;
    for (;;) {
        char buffer[16384];
        ssize_t n = request_read(request, buffer, sizeof(buffer));
        if (n < 0)
            return error_set(err, EINVAL, "unexpected EOF");
        if (n == 0)
            break;
        if (body.length + (size_t)n > limit)
            return error_set(err, EFBIG, "the request body is too large (at most %zu bytes)",
                             limit);
        str_append_n(&body, buffer, (size_t)n);
    }
    size_t blank = 0;
    while (blank < body.length && strchr(" \t\r\n", body.data[blank]) != NULL)
        blank++;
    if (blank == body.length) {
        if (!allow_empty)
            return error_set(err, EINVAL, "invalid JSON: got EOF while reading request body");
        *ret = NULL;
        return 0;
    }
    const char *type = request_header(request, "Content-Type");
    if (type == NULL)
        return error_set(err, EINVAL, "malformed Content-Type header (): mime: no media type");
    if (!is_json_type(type))
        return error_set(err, EINVAL,
                         "unsupported Content-Type header (%s): must be 'application/json'", type);
    cJSON *json = NULL;
    int r = json_parse(body.data, body.length, &json, err);
    if (r < 0)
        return error_prefix(err, "invalid JSON");
    if (cJSON_IsNull(json)) { /* nothing said of any field */
        cJSON_Delete(json);
        json = cJSON_CreateObject();
    }
    *ret = json;
    return 0;
}

bool request_is_websocket(const struct request *request)
{
    const char *upgrade = request_header(request, "Upgrade");
    return upgrade != NULL && strcasecmp(upgrade, "websocket") == 0;
}

bool request_gone(void *user)
{
    struct request *request = user;
    if (server_stopping(request->server))
        return true;
    /* Hijacked: the duplex's own reads and writes tell. */
    return request->transport != NULL && transport_gone(request->transport);
}
