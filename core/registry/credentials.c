/* credentials.c - who we say we are to a registry. Pure. Owner: registry. */
#include "registry/credentials.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "tabique/error.h"

#define HEADER_MAX (64u << 10)
#define TOKEN_MAX (64u << 10)

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *registry__base64_encode(const void *data, size_t length)
{
    const uint8_t *in = data;
    char *out = mem_alloc((length + 2) / 3 * 4 + 1), *to = out;

    for (size_t i = 0; i < length; i += 3) {
        size_t n = length - i < 3 ? length - i : 3;
        uint32_t bits = (uint32_t)in[i] << 16 | (n > 1 ? (uint32_t)in[i + 1] << 8 : 0) | (n > 2 ? in[i + 2] : 0);

        for (size_t k = 0; k < 4; k++)
            *to++ = k <= n ? alphabet[bits >> (18 - 6 * k) & 63] : '=';
    }
    return out;
}

static int digit_of(char c)
{
    const char *at = c == '-' ? alphabet + 62 : c == '_' ? alphabet + 63 : c ? strchr(alphabet, c) : NULL;

    return at ? (int)(at - alphabet) : -1;
}

char *registry__base64_decode(const char *text, size_t *ret_length)
{
    size_t whole = strlen(text), length = whole;

    while (length > 0 && text[length - 1] == '=')
        length--;
    if (length % 4 == 1 || (whole > length && (whole % 4 != 0 || whole - length > 2)))
        return NULL;
    CLEANUP_FREE char *out = mem_alloc(length / 4 * 3 + 4);
    uint32_t bits = 0;
    unsigned have = 0;
    size_t made = 0;
    for (size_t i = 0; i < length; i++) {
        int digit = digit_of(text[i]);

        if (digit < 0)
            return NULL;
        bits = bits << 6 | (uint32_t)digit;
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[made++] = (char)(bits >> have);
        }
    }
    out[made] = '\0';
    if (ret_length)
        *ret_length = made;
    return TAKE_PTR(out);
}

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

int registry_credentials_from_json(const cJSON *json, struct registry_credentials *ret, struct error *err)
{
    CLEANUP(registry_credentials_clear) struct registry_credentials found = {0};
    CLEANUP_FREE char *both = NULL;

    if (!cJSON_IsObject(json))
        return error_set(err, EINVAL, "invalid auth config: not a JSON object");
    found.username = member(json, "username");
    found.password = member(json, "password");
    found.identity_token = member(json, "identitytoken");
    found.registry_token = member(json, "registrytoken");
    found.server = member(json, "serveraddress");
    const char *auth = json_string(json, "auth", "");
    if (*auth && !found.username) {
        both = registry__base64_decode(auth, NULL);
        char *colon = both ? strchr(both, ':') : NULL;
        if (!colon)
            return error_set(err, EINVAL, "invalid auth config: \"auth\" is not user:password in base64");
        found.username = mem_strndup(both, (size_t)(colon - both));
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
    text = strlen(header) > HEADER_MAX ? NULL : registry__base64_decode(header, &length);
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
    text = strlen(header) > HEADER_MAX ? NULL : registry__base64_decode(header, &length);
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
    CLEANUP_FREE char *coded = registry__base64_encode(both, strlen(both));
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
