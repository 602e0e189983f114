/* registry.h - the client for image registries: the Distribution API v2.
 *
 * Pull and push themselves are in image.h; here is what they stand on and what
 * needs no image: configuration, credentials, signing in, searching.
 *
 * Rules, whatever a registry says: HTTPS, verified, but for registries named
 * insecure and for this machine itself; credentials go to the registry's own
 * origin and to the token service it names (over HTTPS), to nobody else, also
 * not on a redirect; every length and every digest is checked; whoever is slower
 * than 1 KiB/s for `timeout_ns` is given up.
 *
 * Threads: any. Long calls ask `cancelled` at least once a second and then give
 * -ECANCELED.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

struct error;
struct registry;

struct registry_options {
    const char *const *insecure; /* "host", "host:port", or a network "10.0.0.0/8" (for literal addresses) */
    const char *const *mirrors;  /* of docker.io: "https://host[:port]"; asked first */
    const char *certs_dir;       /* below HOST[:PORT]/ authorities (.crt), and NAME.cert with NAME.key for us. NULL: none */
    int64_t timeout_ns;          /* 0: 30 s */
};

/* Checks the options; touches neither network nor libcurl. */
int registry_open(const struct registry_options *options, struct registry **ret, struct error *err);
void registry_close(struct registry *registry);
const struct registry_options *registry_get_options(const struct registry *registry);

typedef bool registry_cancelled_fn(void *user);
struct registry_cancel { /* NULL fn: never */
    registry_cancelled_fn *fn;
    void *user;
};

struct registry_credentials { /* each NULL: not given */
    char *username, *password;
    char *identity_token; /* is exchanged for access tokens (OAuth 2) */
    char *registry_token; /* an access token as it is */
    char *server;
};
void registry_credentials_clear(struct registry_credentials *credentials);
/* X-Registry-Auth: JSON in base64, URL alphabet or the other, padded or not.
 * NULL and "" give nothing. -EINVAL. */
int registry_credentials_parse(const char *header, struct registry_credentials *ret, struct error *err);
/* AuthConfig; also "auth", which is user:password in base64. */
int registry_credentials_from_json(const cJSON *json, struct registry_credentials *ret, struct error *err);

/* X-Registry-Config of a build: those for one domain ("docker.io", "host:5000") out of
 * several; nothing when it has none. */
int registry_credentials_choose(const char *header, const char *domain, struct registry_credentials *ret, struct error *err);

/* Whether credentials->server takes them (-EACCES: no). ret_token: a token to
 * keep in place of the password, where the server gives one; else NULL. */
int registry_login(struct registry *registry, const struct registry_credentials *credentials,
                   struct registry_cancel cancel, char **ret_token, struct error *err);

/* "term" or "host/term": a list of Docker's search results. */
int registry_search(struct registry *registry, const char *term, int limit, const struct registry_credentials *credentials,
                    struct registry_cancel cancel, cJSON **ret, struct error *err);
