/* search.c - signing in and searching: what concerns a registry as a whole. Owner: registry. */
#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "curl/transfer.h"
#include "registry/credentials.h"
#include "registry/session.h"
#include "tabique/error.h"

#define HUB_SERVER "https://index.docker.io/v1/"
#define HUB_SEARCH "https://index.docker.io"
#define SEARCH_ANSWER_MAX ((size_t)4 << 20)

/* --- login --------------------------------------------------------------------------------- */

static int try_login(struct registry *registry, const struct endpoint *endpoint, const struct registry_credentials *credentials,
                     struct registry_cancel cancel, char **ret_token, struct error *err)
{
    CLEANUP_FREE char *url = mem_printf("%s/v2/", endpoint->base);
    CLEANUP_HTTP struct http *http = registry__http_new(registry->options.timeout_ns, cancel);
    CLEANUP_ANSWER struct http_answer asked = {0};
    CLEANUP_ANSWER struct http_answer answer = {0};
    CLEANUP_FREE char *authorization = NULL;
    struct http_call call = {.peer = &endpoint->peer, .method = "GET", .url = url};

    int r = registry__http_perform(http, &call, &asked, err);
    if (r < 0)
        return r;
    CLEANUP_FREE char *origin = transfer_origin(asked.url);
    bool own = str_equal(origin, endpoint->peer.origin);
    const struct challenge *bearer = own ? registry__challenges_find(&asked.challenges, "Bearer") : NULL;
    if (bearer)
        r = registry__token_fetch(registry, &endpoint->peer, bearer, NULL, credentials, true, http, &authorization, ret_token, err);
    else if (own && registry__challenges_find(&asked.challenges, "Basic"))
        authorization = registry__credentials_basic(credentials);
    if (r < 0) {
        if (r == -EPERM && err)
            err->code = EACCES;
        return r == -EPERM ? -EACCES : r;
    }
    call.authorization = authorization;
    r = registry__http_perform(http, &call, &answer, err);
    if (r < 0)
        return r;
    if (answer.status != 200)
        return error_set(err, EPROTO, /* Docker's 500 */
                         "login attempt to %s failed with status: %d %s", url, answer.status, registry__http_status_text(answer.status));
    return 0;
}

int registry_login(struct registry *registry, const struct registry_credentials *credentials, struct registry_cancel cancel,
                   char **ret_token, struct error *err)
{
    CLEANUP_ENDPOINTS struct endpoints endpoints = {0};
    CLEANUP_FREE char *domain = registry__server_domain(credentials->server ? credentials->server : HUB_SERVER);
    CLEANUP_FREE char *token = NULL;

    if (strpbrk(domain, "@?#\\ %"))
        return error_set(err, EINVAL, "invalid registry address: %s", domain);
    int r = registry_endpoints_find(registry, domain, false, &endpoints, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < endpoints.count; i++) {
        r = try_login(registry, &endpoints.list[i], credentials, cancel, &token, err);
        if (r != -EIO && r != -ETIMEDOUT)
            break;
    }
    if (r == 0)
        *ret_token = TAKE_PTR(token);
    return r;
}

/* --- search ---------------------------------------------------------------------------------- */

static int try_search(struct registry *registry, const struct http_peer *peer, const char *url,
                      const struct registry_credentials *credentials, struct registry_cancel cancel, cJSON **ret, struct error *err)
{
    CLEANUP_HTTP struct http *http = registry__http_new(registry->options.timeout_ns, cancel);
    CLEANUP_ANSWER struct http_answer answer = {0};
    CLEANUP_FREE char *basic = credentials ? registry__credentials_basic(credentials) : NULL;
    CLEANUP_JSON cJSON *json = NULL;
    struct http_call call = {.peer = peer, .method = "GET", .url = url, .authorization = basic, .limit = SEARCH_ANSWER_MAX};

    int r = registry__http_perform(http, &call, &answer, err);
    if (r < 0)
        return r;
    if (answer.status != 200)
        return error_set(err, EPROTO, "Unexpected status code %d", answer.status);
    if (json_parse(answer.body.data ? answer.body.data : "", answer.body.length, &json, NULL) < 0 ||
        !cJSON_IsArray(json_get(json, "results")))
        return error_set(err, EPROTO, "the registry's search results are not JSON of the shape that is known");
    *ret = cJSON_DetachItemViaPointer(json, json_get(json, "results"));
    return 0;
}

int registry_search(struct registry *registry, const char *term, int limit, const struct registry_credentials *credentials,
                    struct registry_cancel cancel, cJSON **ret, struct error *err)
{
    CLEANUP_ENDPOINTS struct endpoints endpoints = {0};
    const char *slash = strchr(term, '/');
    CLEANUP_FREE char *first = mem_strndup(term, slash ? (size_t)(slash - term) : 0);
    /* As in an image's name, the first part is a host only if it looks like one. */
    bool named = slash && (strpbrk(first, ".:") || str_equal(first, "localhost"));
    CLEANUP_FREE char *escaped = registry__http_escape(named ? slash + 1 : term);
    int r;

    if (str_starts(term, "http://") || str_starts(term, "https://"))
        return error_set(err, EINVAL, "invalid repository name: repository name (%s) should not have a scheme", term);
    if (named && strpbrk(first, "@?#\\ %"))
        return error_set(err, EINVAL, "invalid registry address: %s", first);
    if (!named) {
        CLEANUP(registry__peer_clear) struct http_peer peer = {0};
        CLEANUP_FREE char *url = mem_printf(HUB_SEARCH "/v1/search?q=%s&n=%d", escaped, limit);

        if ((r = registry__http_available(err)) < 0)
            return r;
        registry__peer_for(registry, HUB_SEARCH ":443", &peer);
        return try_search(registry, &peer, url, credentials, cancel, ret, err);
    }
    r = registry_endpoints_find(registry, first, false, &endpoints, err);
    for (size_t i = 0; r == 0 && i < endpoints.count; i++) {
        CLEANUP_FREE char *url = mem_printf("%s/v1/search?q=%s&n=%d", endpoints.list[i].base, escaped, limit);

        r = try_search(registry, &endpoints.list[i].peer, url, credentials, cancel, ret, err);
        if ((r != -EIO && r != -ETIMEDOUT) || i + 1 == endpoints.count)
            return r;
        r = 0;
    }
    return r;
}
