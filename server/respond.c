/* respond.c - answers; see http.h. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "civetweb_unit.h"
#include "duplex.h"
#include "server_internal.h"
#include "tabique/error.h"
#include "transport.h"

/* What a browser is told, whatever the answer. */
static const char browser_headers[] = "X-Content-Type-Options: nosniff\r\n"
                                      "X-Frame-Options: DENY\r\n"
                                      "Referrer-Policy: no-referrer\r\n"
                                      "Cross-Origin-Opener-Policy: same-origin\r\n"
                                      "Cross-Origin-Resource-Policy: same-origin\r\n"
                                      "Content-Security-Policy: default-src 'none'; script-src "
                                      "'self'; style-src 'self'; img-src 'self' data:; "
                                      "connect-src 'self'; font-src 'self'; frame-ancestors "
                                      "'none'; base-uri 'none'; form-action 'self'; "
                                      "require-trusted-types-for 'script'\r\n";

static void append_date(struct str *out)
{
    /* A second's text, made once by whichever thread comes first in it. */
    static __thread time_t last;
    static __thread char text[48];
    time_t now = time(NULL);
    if (now != last) {
        struct tm tm;
        strftime(text, sizeof(text), "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", gmtime_r(&now, &tm));
        last = now;
    }
    str_append(out, text);
}

static bool has_extra(const struct request *request, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = request->extra.data; at != NULL && *at != '\0'; at = strchr(at, '\n') + 1)
        if (strncasecmp(at, name, length) == 0 && at[length] == ':')
            return true;
    return false;
}

static void begin_head(struct request *request, struct str *out, int status,
                       const char *content_type)
{
    request->status = status;
    request->begun = true;
    dispatch_audit(request);
    str_printf(out, "HTTP/1.1 %d %s\r\n", status, status_text(status));
    append_date(out);
    str_append(out, "Server: Tabique/" TABIQUE_VERSION " (linux)\r\n"
                    "Api-Version: " API_VERSION_MAX_TEXT
                    "\r\nDocker-Experimental: false\r\nOstype: linux\r\n");
    if (content_type != NULL)
        str_printf(out, "Content-Type: %s\r\n", content_type);
    if (request->transport->kind != TRANSPORT_UNIX)
        str_append(out, browser_headers);
    if (!has_extra(request, "Cache-Control"))
        str_append(out, "Cache-Control: no-store\r\n");
    if (request->extra.length > 0)
        str_append_n(out, request->extra.data, request->extra.length);
}

static void end_head(struct request *request, struct str *out)
{
    if (!request->head.keep_alive || server_stopping(request->server))
        request->close = true;
    if (request->close)
        str_append(out, "Connection: close\r\n");
    else if (request->head.http10)
        str_append(out, "Connection: keep-alive\r\n");
    str_append(out, "\r\n");
}

static int put(struct request *request, const void *data, size_t length)
{
    if (request->transport == NULL)
        return -EPIPE;
    int r = transport_write(request->transport, data, length);
    if (r < 0)
        request->close = true;
    else
        request->sent += length;
    return r < 0 ? -EPIPE : 0;
}

void respond_header(struct request *request, const char *name, const char *value)
{
    /* Values may carry what an outsider chose: a line end would start a header
     * of theirs. */
    if (strpbrk(name, "\r\n: ") != NULL)
        return;
    str_printf(&request->extra, "%s: ", name);
    for (const char *at = value; *at != '\0'; at++) {
        unsigned char c = (unsigned char)*at;
        str_append_char(&request->extra, (c < 0x20 && c != '\t') || c == 0x7f ? '?' : *at);
    }
    str_append(&request->extra, "\r\n");
}

int respond_data(struct request *request, int status, const char *content_type, const void *data,
                 size_t length)
{
    if (request->begun)
        return -EALREADY;
    CLEANUP_STR struct str out = STR_INIT;
    bool bodiless = status == 204 || status == 304 || status < 200;
    begin_head(request, &out, status, bodiless ? NULL : content_type);
    if (!bodiless)
        str_printf(&out, "Content-Length: %zu\r\n", length);
    end_head(request, &out);
    request->ended = true;
    bool body = !request->head_only && !bodiless && length > 0;
    /* One packet and one TLS record for what is small. */
    if (body && length <= 16384)
        str_append_n(&out, data, length);
    int r = put(request, out.data, out.length);
    if (r == 0 && body && length > 16384)
        r = put(request, data, length);
    return r;
}

int respond_json(struct request *request, int status, cJSON *json)
{
    CLEANUP_FREE char *text = json_print(json);
    cJSON_Delete(json);
    if (text == NULL)
        return respond_status_error(request, 500, "the answer could not be written");
    size_t length = strlen(text);
    text[length] = '\n'; /* as Docker's; in place of the NUL */
    return respond_data(request, status, "application/json", text, length + 1);
}

int respond_text(struct request *request, int status, const char *content_type, const char *text)
{
    return respond_data(request, status, content_type, text, strlen(text));
}

int respond_empty(struct request *request, int status)
{
    return respond_data(request, status, NULL, "", 0);
}

static void error_body(struct str *out, const char *message)
{
    str_append(out, "{\"message\":");
    str_append_json(out, message, strlen(message));
    str_append(out, "}\n");
}

int respond_status_error(struct request *request, int status, const char *format, ...)
{
    char message[ERROR_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    CLEANUP_STR struct str body = STR_INIT;
    error_body(&body, message);
    return respond_data(request, status, "application/json", body.data, body.length);
}

int respond_error(struct request *request, const struct error *error)
{
    int status = status_of_error(error->code);
    if (status == 304)
        return respond_empty(request, 304);
    return respond_status_error(request, status, "%s",
                                error->message[0] != '\0' ? error->message : strerror(error->code));
}

void respond_raw_error(struct transport *transport, int status, const char *message)
{
    CLEANUP_STR struct str body = STR_INIT, out = STR_INIT;
    error_body(&body, message);
    str_printf(&out, "HTTP/1.1 %d %s\r\n", status, status_text(status));
    append_date(&out);
    str_printf(
        &out,
        "Content-Type: application/json\r\nContent-Length: %zu\r\n%sConnection: close\r\n\r\n%s",
        body.length, browser_headers, body.data);
    /* Never waits: the front calls it too. */
    transport_write_now(transport, out.data, out.length);
}

/* --- streams ---------------------------------------------------------------------------------- */
int respond_begin(struct request *request, int status, const char *content_type)
{
    if (request->begun)
        return -EALREADY;
    CLEANUP_STR struct str out = STR_INIT;
    begin_head(request, &out, status, content_type);
    if (request->head.http10) {
        request->close = true;
    } else {
        request->chunked = true;
        str_append(&out, "Transfer-Encoding: chunked\r\n");
    }
    end_head(request, &out);
    return put(request, out.data, out.length);
}

int respond_write(void *user, const void *data, size_t length)
{
    struct request *request = user;
    if (!request->begun || request->ended)
        return -EINVAL;
    if (length == 0 || request->head_only)
        return 0;
    if (server_stopping(request->server))
        return -EPIPE;
    if (!request->chunked)
        return put(request, data, length);
    char size[24];
    int digits = snprintf(size, sizeof(size), "%zx\r\n", length);
    if (length > 65536) {
        int r = put(request, size, (size_t)digits);
        if (r == 0)
            r = put(request, data, length);
        return r < 0 ? r : put(request, "\r\n", 2);
    }
    CLEANUP_STR struct str out = STR_INIT;
    str_append_n(&out, size, (size_t)digits);
    str_append_n(&out, data, length);
    str_append_n(&out, "\r\n", 2);
    return put(request, out.data, out.length);
}

int respond_json_line(struct request *request, cJSON *json, const char *line_end)
{
    CLEANUP_FREE char *text = json_print(json);
    cJSON_Delete(json);
    if (text == NULL)
        return -ENOMEM;
    CLEANUP_STR struct str line = STR_INIT;
    str_append(&line, text);
    str_append(&line, line_end);
    return respond_write(request, line.data, line.length);
}

int respond_end(struct request *request)
{
    if (!request->begun || request->ended)
        return 0;
    request->ended = true;
    if (!request->chunked || request->head_only)
        return 0;
    return put(request, "0\r\n\r\n", 5);
}

int respond_finish(struct request *request)
{
    if (request->transport == NULL)
        return 0;
    if (!request->begun)
        return respond_status_error(request, 500, "the request was not answered");
    /* A stream its handler did not end was cut short by an error. Its last chunk must
     * not be sent: half an archive would look like a whole one. */
    if (request->chunked && !request->ended && !request->head_only) {
        request->ended = true;
        request->close = true;
        request->transport->broken = true;
        return -EPIPE;
    }
    return respond_end(request);
}

int respond_hijack(struct request *request, const char *content_type, struct duplex **ret)
{
    if (request->begun || request->transport == NULL)
        return -EALREADY;
    const char *upgrade = request_header(request, "Upgrade");
    CLEANUP_STR struct str out = STR_INIT;
    /* A body that the handler did not want (dockerode repeats its query there) is not
     * the stream's beginning. A chunked one is: its end is the stream's. */
    char dropped[4096];
    if (!request->head.chunked)
        while (request_read(request, dropped, sizeof(dropped)) > 0)
            ;
    request->begun = request->ended = true;
    request->status = upgrade != NULL ? 101 : 200;
    dispatch_audit(request);
    if (content_type == NULL)
        content_type = "application/vnd.docker.raw-stream";
    /* What Docker sends, byte for byte: old clients compare. */
    if (upgrade != NULL)
        str_printf(
            &out,
            "HTTP/1.1 101 UPGRADED\r\nContent-Type: %s\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n",
            content_type);
    else
        str_printf(&out, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\n", content_type);
    str_printf(&out, "Api-Version: %s\r\nDocker-Experimental: false\r\nOstype: linux\r\n",
               API_VERSION_MAX_TEXT);
    if (request->extra.length > 0)
        str_append_n(&out, request->extra.data, request->extra.length);
    str_append(&out, "\r\n");
    int r = put(request, out.data, out.length);
    if (r < 0)
        return r;
    const char *left = NULL;
    size_t length = message_leftover(request->message, &left);
    *ret = duplex_new(TAKE_PTR(request->transport), left, length);
    duplex_settle(*ret);
    return 0;
}

/* --- leaving the worker ----------------------------------------------------------------------- */
struct detached {
    struct request *request;
    detached_fn *fn;
    void *user;
    void (*free_user)(void *user);
};

static void run_detached(void *user)
{
    struct detached *detached = user;
    struct request *request = detached->request;
    int r = detached->fn(request, detached->user);
    if (detached->free_user != NULL)
        detached->free_user(detached->user);
    free(detached);
    if (r < 0 && request->transport != NULL && !request->begun) {
        struct error error = {.code = -r};
        respond_error(request, &error);
    }
    struct server *server = request->server;
    struct transport *transport = dispatch_release(request);
    if (transport != NULL) {
        transport->state = TRANSPORT_HEAD;
        front_adopt(server->front, transport);
    }
}

int request_detach(struct request *request, detached_fn *fn, void *user,
                   void (*free_user)(void *user))
{
    struct detached *detached = mem_new(struct detached);
    *detached = (struct detached){request, fn, user, free_user};
    atomic_fetch_add(&request->holders, 1);
    /* A follower may be slow for as long as it likes: it holds its own thread. */
    if (request->transport != NULL)
        request->transport->write_timeout_ms = -1;
    int r = server_spawn(request->server, "stream", run_detached, detached);
    if (r < 0) {
        atomic_fetch_sub(&request->holders, 1);
        free(detached);
        if (free_user != NULL)
            free_user(user);
        return r;
    }
    return 0;
}
