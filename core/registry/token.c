/* token.c - access tokens: the Distribution project's token flow and its OAuth 2
 * form. Owner: registry.
 *
 * The service that hands out tokens is named by the registry and may be another
 * host (docker.io's is); it is told the password, so it must be behind TLS unless
 * the registry itself is not.
 */
#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "curl/transfer.h"
#include "registry/credentials.h"
#include "registry/session.h"
#include "tabique/error.h"

#define CLIENT "tabique"
#define TOKEN_ANSWER_MAX ((size_t)256 << 10)

static void append_query(struct str *out, const char *name, const char *value)
{
    CLEANUP_FREE char *escaped = registry__http_escape(value);

    str_printf(out, "%s%s=%s", out->length ? "&" : "", name, escaped);
}

static int read_token(const struct http_answer *answer, char **ret, char **ret_refresh, struct error *err)
{
    CLEANUP_JSON cJSON *json = NULL;

    if (json_parse(answer->body.data ? answer->body.data : "", answer->body.length, &json, NULL) < 0)
        return error_set(err, EIO, "the token service's answer is not JSON");
    const char *token = json_string(json, "token", NULL);
    if (!token || !*token)
        token = json_string(json, "access_token", NULL);
    if (!token || !registry__credentials_token_valid(token))
        return error_set(err, EIO, "authorization server did not include a token in the response");
    const char *refresh = json_string(json, "refresh_token", NULL);
    if (ret_refresh)
        *ret_refresh = refresh && *refresh ? mem_strdup(refresh) : NULL;
    *ret = mem_printf("Bearer %s", token);
    return 0;
}

/* With a password, or with nothing: a GET. */
static int by_password(struct http *http, const struct http_peer *peer, const struct challenge *challenge, char *const *scopes,
                       const struct registry_credentials *credentials, bool offline, struct http_answer *ret, struct error *err)
{
    CLEANUP_STR struct str query = STR_INIT;
    CLEANUP_FREE char *basic = registry__credentials_basic(credentials);

    if (credentials->username)
        append_query(&query, "account", credentials->username);
    if (offline) {
        append_query(&query, "client_id", CLIENT);
        append_query(&query, "offline_token", "true");
    }
    for (char *const *scope = scopes; scope && *scope; scope++)
        append_query(&query, "scope", *scope);
    if (challenge->service)
        append_query(&query, "service", challenge->service);
    CLEANUP_FREE char *url = query.length == 0 ? mem_strdup(challenge->realm)
                                               : mem_printf("%s%s%s", challenge->realm, strchr(challenge->realm, '?') ? "&" : "?", query.data);
    struct http_call call = {.peer = peer, .method = "GET", .url = url, .authorization = basic, .limit = TOKEN_ANSWER_MAX};
    return registry__http_perform(http, &call, ret, err);
}

static int by_identity(struct http *http, const struct http_peer *peer, const struct challenge *challenge, char *const *scopes,
                       const struct registry_credentials *credentials, struct http_answer *ret, struct error *err)
{
    CLEANUP_FREE char *scope = strv_join(scopes, " ");
    CLEANUP_STR struct str form = STR_INIT;

    append_query(&form, "grant_type", "refresh_token");
    append_query(&form, "service", challenge->service ? challenge->service : "");
    append_query(&form, "client_id", CLIENT);
    append_query(&form, "refresh_token", credentials->identity_token);
    if (scope && *scope)
        append_query(&form, "scope", scope);
    struct http_call call = {
        .peer = peer,
        .method = "POST",
        .url = challenge->realm,
        .content_type = "application/x-www-form-urlencoded",
        .body = form.data,
        .body_length = form.length,
        .limit = TOKEN_ANSWER_MAX,
    };
    return registry__http_perform(http, &call, ret, err);
}

int registry__token_fetch(const struct registry *registry, const struct http_peer *peer, const struct challenge *challenge,
                char *const *scopes, const struct registry_credentials *credentials, bool offline, struct http *http,
                char **ret, char **ret_refresh, struct error *err)
{
    CLEANUP_ANSWER struct http_answer answer = {0};
    CLEANUP(registry__peer_clear) struct http_peer service = {0};
    CLEANUP_FREE char *origin = challenge->realm ? transfer_origin(challenge->realm) : NULL;

    if (!origin)
        return error_set(err, EIO, "the registry asks for a token and names no service that gives one");
    if (str_starts(origin, "http:") && str_starts(peer->origin, "https:"))
        return error_set(err, EPERM, "the registry sends to an unencrypted token service, which is refused: %s", challenge->realm);
    registry__peer_for(registry, origin, &service);
    if (str_starts(origin, "http:")) /* like the registry itself */
        service.insecure = true;
    int r = credentials->identity_token ? by_identity(http, &service, challenge, scopes, credentials, &answer, err)
                                        : by_password(http, &service, challenge, scopes, credentials, offline, &answer, err);
    if (r < 0)
        return r;
    if (answer.status < 200 || answer.status >= 300) {
        struct http_call call = {.method = "GET", .url = challenge->realm};

        r = registry__session_refused(&call, &answer, NULL, err);
        if (answer.status == 401)
            error_prefix(err, "Get \"%s\"", challenge->realm);
        return r;
    }
    return read_token(&answer, ret, ret_refresh, err);
}
