/* http.c - see http.h. Owner: registry. */
#include "registry/http.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "curl/missing.h"
#include "curl/transfer.h"
#include "tabique/error.h"

#define REDIRECTS_MAX 10
#define HEADERS_MAX (128u << 10) /* bytes of one answer's */
#define BODY_MAX (64u << 10)
#define SLOW_BYTES 1024L         /* a second */
#define PATIENCE 10              /* times the time-out, where a server has to think */

struct http {
    CURL *handle;
    int64_t timeout_s;
    struct registry_cancel cancel;
};

/* One exchange of the call, without redirects. */
struct exchange {
    struct http *http;
    const struct http_call *call;
    struct http_answer *answer;
    const char *url;
    size_t header_bytes, sent, refused;
    int failed; /* -errno of a callback of ours */
    bool too_large, headers_too_large;
    struct transfer transfer;
};

struct http *registry__http_new(int64_t timeout_ns, struct registry_cancel cancel)
{
    struct http *http = mem_new(struct http);

    http->timeout_s = timeout_ns / NS_PER_SEC > 0 ? timeout_ns / NS_PER_SEC : 1;
    http->cancel = cancel;
    return http;
}

void registry__http_free(struct http *http)
{
    if (!http)
        return;
    if (http->handle)
        curl_easy_cleanup(http->handle);
    free(http);
}

void registry__http_freep(struct http **http)
{
    registry__http_free(*http);
    *http = NULL;
}

void registry__http_answer_clear(struct http_answer *answer)
{
    str_free(&answer->body);
    free(answer->url);
    free(answer->content_type);
    free(answer->location);
    free(answer->digest);
    free(answer->content_range);
    free(answer->link);
    registry__challenges_clear(&answer->challenges);
    *answer = (struct http_answer){0};
}

/* --- URLs ---------------------------------------------------------------------------- */

char *registry__http_resolve(const char *base, const char *relative)
{
    CURLU *parts = curl_url();
    char *text = NULL, *resolved = NULL;

    if (!parts)
        return NULL;
    if (curl_url_set(parts, CURLUPART_URL, base, 0) == CURLUE_OK &&
        curl_url_set(parts, CURLUPART_URL, relative, CURLU_DISALLOW_USER) == CURLUE_OK &&
        curl_url_set(parts, CURLUPART_FRAGMENT, NULL, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_URL, &text, 0) == CURLUE_OK)
        resolved = mem_strdup(text);
    curl_free(text);
    curl_url_cleanup(parts);
    return resolved;
}

char *registry__http_escape(const char *text)
{
    CLEANUP_STR struct str out = STR_INIT;

    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || strchr("-._~", c))
            str_append_char(&out, *text);
        else
            str_printf(&out, "%%%02X", c);
    }
    return str_take(&out);
}

const char *registry__http_status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } texts[] = {
        {400, "Bad Request"},         {401, "Unauthorized"},          {403, "Forbidden"},
        {404, "Not Found"},           {405, "Method Not Allowed"},    {408, "Request Timeout"},
        {413, "Request Entity Too Large"}, {416, "Requested Range Not Satisfiable"}, {429, "Too Many Requests"},
        {500, "Internal Server Error"}, {502, "Bad Gateway"},         {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        if (texts[i].status == status)
            return texts[i].text;
    return "";
}

/* --- what libcurl calls ------------------------------------------------------------------ */

static int status_of(struct exchange *exchange)
{
    long status = 0;

    curl_easy_getinfo(exchange->http->handle, CURLINFO_RESPONSE_CODE, &status);
    return (int)status;
}

static size_t on_body(char *data, size_t size, size_t count, void *user)
{
    struct exchange *exchange = user;
    const struct http_call *call = exchange->call;
    struct str *body = &exchange->answer->body;
    size_t length = size * count, limit = call->limit ? call->limit : BODY_MAX;
    int status = status_of(exchange);

    exchange->answer->status = status;
    if (status >= 200 && status < 300 && call->write) {
        exchange->failed = call->write(call->write_user, exchange->answer, data, length);
        return exchange->failed < 0 ? 0 : length;
    }
    if (status < 200 || status >= 300) { /* enough of it to say why */
        if (body->length < BODY_MAX)
            str_append_n(body, data, length < BODY_MAX - body->length ? length : BODY_MAX - body->length);
        exchange->refused += length;
        return exchange->refused > (1u << 20) ? 0 : length;
    }
    if (length > limit - body->length) {
        exchange->too_large = true;
        return 0;
    }
    str_append_n(body, data, length);
    return length;
}

static char *header_value(const char *data, size_t length, const char *name)
{
    size_t n = strlen(name);

    if (length <= n || data[n] != ':')
        return NULL;
    CLEANUP_FREE char *key = mem_strndup(data, n);
    if (!str_equal_nocase(key, name))
        return NULL;
    const char *from = data + n + 1, *to = data + length;
    while (from < to && (*from == ' ' || *from == '\t'))
        from++;
    while (to > from && strchr(" \t\r\n", to[-1]))
        to--;
    return mem_strndup(from, (size_t)(to - from));
}

static void set_once(char **field, char *value)
{
    if (*field)
        free(value);
    else
        *field = value;
}

static size_t on_header(char *data, size_t size, size_t count, void *user)
{
    struct exchange *exchange = user;
    struct http_answer *answer = exchange->answer;
    size_t length = size * count;
    char *value;

    exchange->header_bytes += length;
    if (exchange->header_bytes > HEADERS_MAX) {
        exchange->headers_too_large = true;
        return 0;
    }
    if (memchr(data, '\0', length))
        return 0;
    if (length >= 5 && memcmp(data, "HTTP/", 5) == 0) { /* a new answer, behind "100 Continue" */
        struct str body = answer->body;

        answer->body = STR_INIT;
        registry__http_answer_clear(answer);
        answer->body = body;
        answer->length = answer->retry_after = -1;
        return length;
    }
    const struct {
        const char *name;
        char **field;
    } texts[] = {
        {"Content-Type", &answer->content_type}, {"Location", &answer->location},
        {"Docker-Content-Digest", &answer->digest}, {"Content-Range", &answer->content_range}, {"Link", &answer->link},
    };
    const struct {
        const char *name;
        int64_t *field;
    } numbers[] = {{"Content-Length", &answer->length}, {"Retry-After", &answer->retry_after}};

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        if ((value = header_value(data, length, texts[i].name)))
            set_once(texts[i].field, value);
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        if ((value = header_value(data, length, numbers[i].name))) {
            if (str_to_i64(value, numbers[i].field) < 0 || *numbers[i].field < 0)
                *numbers[i].field = -1;
            free(value);
        }
    if ((value = header_value(data, length, "WWW-Authenticate"))) {
        registry__challenges_parse(value, &answer->challenges);
        free(value);
    }
    return length;
}

static size_t on_read(char *buffer, size_t size, size_t count, void *user)
{
    struct exchange *exchange = user;
    const struct http_call *call = exchange->call;

    if (call->read) {
        ssize_t n = call->read(call->read_user, buffer, size * count);
        if (n < 0) {
            exchange->failed = (int)n;
            return CURL_READFUNC_ABORT;
        }
        return (size_t)n;
    }
    size_t left = call->body_length - exchange->sent, n = left < size * count ? left : size * count;
    memcpy(buffer, (const char *)call->body + exchange->sent, n);
    exchange->sent += n;
    return n;
}

/* Before sending once more over a fresh connection, when the kept one was dead. */
static int on_seek(void *user, curl_off_t offset, int origin)
{
    struct exchange *exchange = user;

    if (exchange->call->read || origin != SEEK_SET || offset < 0 || (size_t)offset > exchange->call->body_length)
        return CURL_SEEKFUNC_CANTSEEK;
    exchange->sent = (size_t)offset;
    return CURL_SEEKFUNC_OK;
}

/* --- one exchange ---------------------------------------------------------------------------- */

static void set_trust(struct http *http, const struct http_peer *peer, bool own)
{
    CURL *h = http->handle;

    curl_easy_setopt(h, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (peer->insecure) {
        curl_easy_setopt(h, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(h, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (!own)
        return;
    if (peer->direct)
        curl_easy_setopt(h, CURLOPT_PROXY, "");
    if (peer->authorities) {
        struct curl_blob blob = {peer->authorities, strlen(peer->authorities), CURL_BLOB_NOCOPY};

        curl_easy_setopt(h, CURLOPT_CAINFO_BLOB, &blob);
    }
    if (peer->certificate) {
        curl_easy_setopt(h, CURLOPT_SSLCERT, peer->certificate);
        curl_easy_setopt(h, CURLOPT_SSLKEY, peer->key);
    }
}

static struct curl_slist *make_headers(const struct http_call *call, bool own)
{
    struct curl_slist *list = NULL;

    for (const char *const *header = call->headers; header && *header; header++)
        list = curl_slist_append(list, *header);
    if (call->authorization && own) {
        CLEANUP_FREE char *text = mem_printf("Authorization: %s", call->authorization);

        list = curl_slist_append(list, text);
        explicit_bzero(text, strlen(text));
    }
    if (call->content_type) {
        CLEANUP_FREE char *text = mem_printf("Content-Type: %s", call->content_type);

        list = curl_slist_append(list, text);
    }
    /* A registry that refuses says so before long; waiting for "100 Continue" costs
     * a round trip, or a second where it is not known. */
    list = curl_slist_append(list, "Expect:");
    return list;
}

static void set_method(struct http *http, const struct http_call *call)
{
    CURL *h = http->handle;
    int64_t length = call->read ? call->read_length : (int64_t)call->body_length;

    if (str_equal(call->method, "HEAD")) {
        curl_easy_setopt(h, CURLOPT_NOBODY, 1L);
        return;
    }
    if (!str_equal(call->method, "GET")) {
        curl_easy_setopt(h, CURLOPT_UPLOAD, 1L);
        if (length >= 0)
            curl_easy_setopt(h, CURLOPT_INFILESIZE_LARGE, (curl_off_t)length);
    }
    curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, call->method);
}

static int explain(struct exchange *exchange, CURLcode code, struct error *err)
{
    const struct http_call *call = exchange->call;
    const char *method = str_equal(call->method, "HEAD") ? "Head" : str_equal(call->method, "GET") ? "Get" : call->method;

    if (exchange->transfer.was_cancelled)
        return error_set(err, ECANCELED, "context canceled");
    if (exchange->failed < 0) /* the caller's own words */
        return error_errno(err, exchange->failed, "%s \"%s\"", method, exchange->url);
    if (exchange->too_large)
        return error_set(err, EFBIG, "%s \"%s\": the answer is larger than %zu bytes", method, exchange->url,
                         call->limit ? call->limit : (size_t)BODY_MAX);
    if (exchange->headers_too_large)
        return error_set(err, EFBIG, "%s \"%s\": the answer's headers are larger than %u bytes", method, exchange->url, HEADERS_MAX);
    return transfer_explain(exchange->http->handle, code, method, exchange->url, &exchange->transfer, err);
}

static int exchange_once(struct http *http, const struct http_call *call, const char *url, bool own,
                         struct http_answer *answer, struct error *err)
{
    long patience = (long)http->timeout_s * (call->patient ? PATIENCE : 1);
    struct exchange exchange = {
        .http = http,
        .call = call,
        .answer = answer,
        .url = url,
        .transfer = {.connect_s = (long)http->timeout_s, .slow_bytes = SLOW_BYTES, .slow_s = patience,
                     .cancelled = http->cancel.fn, .user = http->cancel.user},
    };
    CURL *h = http->handle;

    curl_easy_reset(h); /* options, not the connection */
    transfer_prepare(h, url, &exchange.transfer);
    if (str_starts(url, "https:"))
        curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(h, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    curl_easy_setopt(h, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(h, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    if (!call->write && !call->read) /* what is small has no excuse */
        curl_easy_setopt(h, CURLOPT_TIMEOUT, 2 * patience);
    curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(h, CURLOPT_WRITEDATA, &exchange);
    curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(h, CURLOPT_HEADERDATA, &exchange);
    curl_easy_setopt(h, CURLOPT_READFUNCTION, on_read);
    curl_easy_setopt(h, CURLOPT_READDATA, &exchange);
    curl_easy_setopt(h, CURLOPT_SEEKFUNCTION, on_seek);
    curl_easy_setopt(h, CURLOPT_SEEKDATA, &exchange);
    curl_easy_setopt(h, CURLOPT_UPLOAD_BUFFERSIZE, 256L << 10);
    set_method(http, call);
    set_trust(http, call->peer, own);
    struct curl_slist *headers = make_headers(call, own);
    curl_easy_setopt(h, CURLOPT_HTTPHEADER, headers);
    CURLcode code = curl_easy_perform(h);
    curl_slist_free_all(headers);
    answer->status = status_of(&exchange);
    if (code != CURLE_OK && !(code == CURLE_WRITE_ERROR && answer->status >= 300))
        return explain(&exchange, code, err);
    answer->url = mem_strdup(url);
    if (answer->content_type) {
        answer->content_type[strcspn(answer->content_type, "; \t")] = '\0';
        for (char *c = answer->content_type; *c; c++)
            if (*c >= 'A' && *c <= 'Z')
                *c = (char)(*c + 32);
    }
    if (answer->location) {
        char *absolute = registry__http_resolve(url, answer->location);

        free(answer->location);
        answer->location = absolute;
    }
    return 0;
}

static bool is_redirect(const struct http_call *call, int status)
{
    return (str_equal(call->method, "GET") || str_equal(call->method, "HEAD")) &&
           (status == 301 || status == 302 || status == 303 || status == 307 || status == 308);
}

int registry__http_perform(struct http *http, const struct http_call *call, struct http_answer *ret, struct error *err)
{
    CLEANUP_FREE char *url = mem_strdup(call->url);

    if (call->peer->fault)
        return error_set(err, EINVAL, "%s", call->peer->fault);
    if (!http->handle && !(http->handle = curl_easy_init()))
        return error_set(err, EIO, "no connection can be made: %s", curl_missing() ? curl_missing() : "out of memory");
    for (int redirects = 0;; redirects++) {
        CLEANUP_ANSWER struct http_answer answer = {.length = -1, .retry_after = -1};
        CLEANUP_FREE char *origin = transfer_origin(url);

        if (!origin)
            return error_set(err, EINVAL, "the registry names an address that is not to be used: %s", url);
        /* Nobody may lead us down: what began behind TLS stays there. */
        if (str_starts(origin, "http:") && !call->peer->insecure)
            return error_set(err, EPERM, "the registry redirects to an unencrypted address, which is refused: %s", url);
        if (redirects > REDIRECTS_MAX)
            return error_set(err, EIO, "Get \"%s\": stopped after %d redirects", call->url, REDIRECTS_MAX);
        int r = exchange_once(http, call, url, str_equal(origin, call->peer->origin), &answer, err);
        if (r < 0)
            return r;
        if (!is_redirect(call, answer.status) || !answer.location) {
            *ret = answer;
            answer = (struct http_answer){0};
            return 0;
        }
        free(url);
        url = TAKE_PTR(answer.location);
    }
}

int registry__http_available(struct error *err)
{
    return curl_missing() ? error_set(err, EIO, "libcurl cannot be loaded: %s", curl_missing()) : 0;
}
