/* fetch.c - see fetch.h. Owner: build. */
#include "build/fetch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/mem.h"
#include "curl/missing.h"
#include "curl/transfer.h"
#include "tabique/error.h"

#define REDIRECTS_MAX 10L
#define SILENCE_MAX_S 60L
#define CONNECT_MAX_S 30L

struct fetching {
    int fd;
    uint64_t size, max;
    int result; /* why we stopped it */
    struct transfer transfer;
};

bool fetch_is_address(const char *text)
{
    return strncasecmp(text, "http://", 7) == 0 || strncasecmp(text, "https://", 8) == 0;
}

static size_t take(char *data, size_t one, size_t count, void *user)
{
    struct fetching *fetching = user;
    size_t length = one * count;

    if (fetching->size + length > fetching->max) {
        fetching->result = -EFBIG;
        return 0;
    }
    fetching->result = fd_write_all(fetching->fd, data, length);
    fetching->size += length;
    return fetching->result < 0 ? 0 : length;
}

static void curl_freep(CURL **curl)
{
    curl_easy_cleanup(*curl);
}

static int explain(const struct fetching *fetching, CURL *curl, CURLcode code, const char *address, struct error *err)
{
    if (fetching->result == -EFBIG)
        return error_set(err, EFBIG, "%s is larger than the limit of %llu bytes", address,
                         (unsigned long long)fetching->max);
    if (fetching->transfer.was_cancelled)
        return error_set(err, ECANCELED, "Build cancelled");
    if (fetching->result < 0)
        return error_errno(err, EIO, "cannot keep %s", address);
    transfer_explain(curl, code, "Get", address, &fetching->transfer, err);
    return error_prefix(err, "error downloading remote context %s", address);
}

int fetch(const char *address, int fd, uint64_t max_bytes, bool (*cancelled)(void *user), void *user,
          struct fetch_result *ret, struct error *err)
{
    struct fetching fetching = {
        .fd = fd,
        .max = max_bytes,
        .transfer = {.connect_s = CONNECT_MAX_S, .slow_bytes = 1, .slow_s = SILENCE_MAX_S, .cancelled = cancelled, .user = user},
    };
    long status = 0, modified = -1;
    const char *type = NULL;

    CLEANUP(curl_freep) CURL *curl = curl_easy_init();
    if (!curl)
        return error_set(err, EIO, "cannot start a download: %s", curl_missing() ? curl_missing() : "out of memory");
    transfer_prepare(curl, address, &fetching.transfer);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(curl, CURLOPT_MAXREDIRS, REDIRECTS_MAX);
    curl_easy_setopt(curl, CURLOPT_FILETIME, 1L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &fetching);
    CURLcode code = curl_easy_perform(curl);
    if (code != CURLE_OK)
        return explain(&fetching, curl, code, address, err);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(curl, CURLINFO_FILETIME, &modified);
    curl_easy_getinfo(curl, CURLINFO_CONTENT_TYPE, &type);
    if (status < 200 || status >= 300)
        return error_set(err, EIO, "failed to GET %s with status %ld", address, status);
    *ret = (struct fetch_result){.size = fetching.size, .modified_s = modified};
    snprintf(ret->content_type, sizeof(ret->content_type), "%s", type ? type : "");
    return 0;
}
