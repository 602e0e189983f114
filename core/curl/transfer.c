/* transfer.c - see transfer.h. Owner: curl. */
#include "curl/transfer.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "tabique/error.h"

static int on_progress(void *user, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    struct transfer *transfer = user;

    transfer->was_cancelled = transfer->cancelled && transfer->cancelled(transfer->user);
    return transfer->was_cancelled;
}

void transfer_prepare(CURL *handle, const char *url, struct transfer *transfer)
{
    transfer->detail[0] = '\0';
    curl_easy_setopt(handle, CURLOPT_URL, url);
    curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(handle, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(handle, CURLOPT_USERAGENT, "tabique/" TABIQUE_VERSION);
    curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, transfer->detail);
    curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT, transfer->connect_s);
    curl_easy_setopt(handle, CURLOPT_LOW_SPEED_LIMIT, transfer->slow_bytes);
    curl_easy_setopt(handle, CURLOPT_LOW_SPEED_TIME, transfer->slow_s);
    curl_easy_setopt(handle, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(handle, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(handle, CURLOPT_XFERINFODATA, transfer);
    curl_easy_setopt(handle, CURLOPT_BUFFERSIZE, 256L << 10);
}

/* Why the other side broke off the handshake, in the words of TLS alone: of
 * "... SSL routines::tlsv13 alert certificate required, errno 0" what follows "alert". */
static char *alert(const char *detail)
{
    const char *at = strstr(detail, " alert ");

    return at ? mem_strndup(at + strlen(" alert "), strcspn(at + strlen(" alert "), ",;:")) : NULL;
}

int transfer_explain(CURL *handle, CURLcode code, const char *method, const char *url, const struct transfer *transfer,
                     struct error *err)
{
    CLEANUP_FREE char *origin = transfer_origin(url);
    const char *host = origin ? strstr(origin, "://") + 3 : "", *port = strrchr(host, ':');
    CLEANUP_FREE char *refusal = alert(transfer->detail);
    long number = 0;

    curl_easy_getinfo(handle, CURLINFO_OS_ERRNO, &number);
    if (code == CURLE_COULDNT_CONNECT && number == ECONNREFUSED)
        return error_set(err, EIO, "%s \"%s\": dial tcp %s: connect: connection refused", method, url, host);
    if (code == CURLE_COULDNT_RESOLVE_HOST)
        return error_set(err, EIO, "%s \"%s\": dial tcp: lookup %.*s: no such host", method, url,
                         (int)(port ? port - host : 0), host);
    if (refusal)
        return error_set(err, EIO, "%s \"%s\": remote error: tls: %s", method, url, refusal);
    return error_set(err, code == CURLE_OPERATION_TIMEDOUT ? ETIMEDOUT : EIO, "%s \"%s\": %s", method, url,
                     transfer->detail[0] ? transfer->detail : curl_easy_strerror(code));
}

char *transfer_origin(const char *url)
{
    CURLU *parts = curl_url();
    char *scheme = NULL, *host = NULL, *port = NULL, *origin = NULL;

    if (!parts)
        return NULL;
    if (curl_url_set(parts, CURLUPART_URL, url, CURLU_DISALLOW_USER) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
        (str_equal(scheme, "https") || str_equal(scheme, "http"))) {
        origin = mem_printf("%s://%s:%s", scheme, host, port);
        for (char *c = origin; *c; c++)
            if (*c >= 'A' && *c <= 'Z')
                *c = (char)(*c + 32);
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(parts);
    return origin;
}
