/* credentials.c - who we say we are to a registry. Pure. Owner: registry. */
#include "registry/credentials.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/base64.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/schema.h"
#include "base/str.h"
#include "tabique/error.h"

#define HEADER_MAX (64u << 10)
#define TOKEN_MAX (64u << 10)

void registry_credentials_clear(struct registry_credentials *credentials)
{
    char *secrets[] = {credentials->password, credentials->identity_token, credentials->registry_token};

    for (size_t i = 0; i < ARRAY_SIZE(secrets); i++)
        if (secrets[i])
            explicit_bzero(secrets[i], strlen(secrets[i]));
    free(credentials->username);
    free(credentials->password);
    free(credentials->identity_token);
    free(credentials->registry_token);
    free(credentials->server);
    *credentials = (struct registry_credentials){0};
}

void registry__credentials_copy(const struct registry_credentials *from, struct registry_credentials *to)
{
    *to = (struct registry_credentials){
        .username = mem_strdup(from->username),
        .password = mem_strdup(from->password),
        .identity_token = mem_strdup(from->identity_token),
        .registry_token = mem_strdup(from->registry_token),
        .server = mem_strdup(from->server),
    };
}

static char *member(const cJSON *json, const char *key)
{
    const char *text = json_string(json, key, NULL);

    return text && *text ? mem_strdup(text) : NULL;
}

LOCAL_SCHEMA(auth_config, "registry", "AuthConfig", STRING_OMIT("username"), STRING_OMIT("password"), STRING_OMIT("auth"),
             STRING_OMIT("email"), STRING_OMIT("serveraddress"), STRING_OMIT("identitytoken"),
             STRING_OMIT("registrytoken"));

int registry_credentials_from_json(const cJSON *json, struct registry_credentials *ret, struct error *err)
{
    CLEANUP(registry_credentials_clear) struct registry_credentials found = {0};
    CLEANUP_FREE char *both = NULL;
    CLEANUP_JSON cJSON *checked = NULL;

    int r = schema_complete(&auth_config, json, "", &checked, err);
    if (r < 0)
        return r;
    found.username = member(json, "username");
    found.password = member(json, "password");
    found.identity_token = member(json, "identitytoken");
    found.registry_token = member(json, "registrytoken");
    found.server = member(json, "serveraddress");
    const char *auth = json_string(json, "auth", "");
    if (*auth && !found.username) {
        both = base64_decode(auth, NULL);
        char *colon = both ? strchr(both, ':') : NULL;
        if (!colon)
            return error_set(err, EINVAL, "invalid auth config: \"auth\" is not user:password in base64");
        found.username = mem_strndup(both, (size_t)(colon - both));
        free(found.password); /* "auth" is stronger */
        found.password = mem_strdup(colon + 1);
    }
    if (found.registry_token && !registry__credentials_token_valid(found.registry_token))
        return error_set(err, EINVAL, "invalid auth config: the token has characters that no token has");
    *ret = found;
    found = (struct registry_credentials){0};
    return 0;
}

int registry_credentials_parse(const char *header, struct registry_credentials *ret, struct error *err)
{
    CLEANUP_JSON cJSON *json = NULL;
    CLEANUP_FREE char *text = NULL;
    size_t length;

    if (!header || !*header) {
        *ret = (struct registry_credentials){0};
        return 0;
    }
    text = strlen(header) > HEADER_MAX ? NULL : base64_decode(header, &length);
    if (!text)
        return error_set(err, EINVAL, "invalid X-Registry-Auth header: not base64");
    if (json_parse(text, length, &json, NULL) < 0)
        return error_set(err, EINVAL, "invalid X-Registry-Auth header: not JSON");
    return registry_credentials_from_json(json, ret, err);
}

char *registry__server_domain(const char *server)
{
    const char *host = strstr(server, "://") ? strstr(server, "://") + 3 : server;
    CLEANUP_FREE char *bare = mem_strndup(host, strcspn(host, "/"));

    if (*bare == '\0' || str_equal(bare, "index.docker.io") || str_equal(bare, "registry-1.docker.io"))
        return mem_strdup("docker.io");
    return TAKE_PTR(bare);
}

int registry_credentials_choose(const char *header, const char *domain, struct registry_credentials *ret, struct error *err)
{
    CLEANUP_JSON cJSON *json = NULL;
    CLEANUP_FREE char *text = NULL;
    const cJSON *each;
    size_t length;

    *ret = (struct registry_credentials){0};
    if (!header || !*header)
        return 0;
    text = strlen(header) > HEADER_MAX ? NULL : base64_decode(header, &length);
    if (!text || json_parse(text, length, &json, NULL) < 0 || !cJSON_IsObject(json))
        return error_set(err, EINVAL, "invalid X-Registry-Config header: not JSON in base64");
    cJSON_ArrayForEach(each, json) {
        CLEANUP_FREE char *named = registry__server_domain(each->string);

        if (str_equal(named, domain))
            return registry_credentials_from_json(each, ret, err);
    }
    return 0;
}

char *registry__credentials_basic(const struct registry_credentials *credentials)
{
    if (!credentials->username)
        return NULL;
    CLEANUP_FREE char *both = mem_printf("%s:%s", credentials->username, credentials->password ? credentials->password : "");
    CLEANUP_FREE char *coded = base64_encode(both, strlen(both));
    explicit_bzero(both, strlen(both));
    return mem_printf("Basic %s", coded);
}

bool registry__credentials_token_valid(const char *token)
{
    size_t length = strlen(token);

    if (length == 0 || length > TOKEN_MAX)
        return false;
    for (size_t i = 0; i < length; i++)
        if (token[i] <= ' ' || token[i] > '~')
            return false;
    return true;
}
