/* secrets.c - whom a request is from: sessions, API tokens, certificates. See auth.h.
 *
 * A secret is looked up by its hash; what it stands for is kept for two seconds, but not
 * beyond any change of a user or secret. */
#include <mbedtls/sha256.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth_internal.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/str.h"
#include "server_internal.h"
#include "tabique/error.h"
#include "tabique/store.h"
#include "transport.h"

#define CACHE_SLOTS 256
#define CACHE_NS (2 * NS_PER_SEC)
#define TOUCH_NS (60 * NS_PER_SEC)

struct identity { /* what a secret stands for */
    struct principal principal;
    char id[40], user[AUTH_NAME_MAX + 1];
    bool session;
    int64_t expires_ns, used_ns;
};

struct cached {
    uint8_t hash[32];
    int64_t until_ns;
    struct identity identity;
};

const char *auth_cookie_name(bool tls)
{
    return tls ? "__Host-tabique" : "tabique";
}

void auth__hash(const char *text, uint8_t out[32])
{
    mbedtls_sha256((const unsigned char *)text, strlen(text), out, 0);
}

static void csrf_of(const char *secret, char out[40])
{
    CLEANUP_FREE char *text = mem_printf("csrf:%s", secret);
    uint8_t hash[32];
    auth__hash(text, hash);
    hex_encode(hash, 16, out);
}

struct cached *auth__cache_new(void)
{
    return mem_array(CACHE_SLOTS, sizeof(struct cached));
}

void auth__changed(struct auth *auth)
{
    pthread_mutex_lock(&auth->lock);
    auth->generation++;
    memset(auth->cache, 0, CACHE_SLOTS * sizeof(struct cached));
    pthread_mutex_unlock(&auth->lock);
}

/* --- making and revoking -------------------------------------------------------------------- */
static int put_secret(struct auth *auth, const char *user, const char *label, const char *secret,
                      const uint8_t *proof, int64_t expires_ns, const char *from, const char *agent,
                      char id[33], struct error *err)
{
    uint8_t hash[32], random[16];
    auth__hash(secret, hash);
    random_bytes(random, sizeof(random));
    hex_encode(random, sizeof(random), id);
    int64_t now = clock_real_ns();
    struct store_token row = {
        .id = id,
        .user = user,
        .label = label,
        .hash = hash,
        .session = proof != NULL,
        .created_ns = now,
        .expires_ns = expires_ns,
        .used_ns = proof != NULL ? now : 0,
        .from = from,
        .agent = agent,
    };
    /* Of a user who is being deleted nothing may be left: the next of that name would inherit it. */
    struct user_copy owner;
    pthread_mutex_lock(&auth->users);
    int r = auth__find_user(auth, user, &owner, err);
    if (r >= 0 && !owner.found)
        r = error_set(err, ENOENT, "No such user: %s", user);
    /* Nor has a session who was given another password, or locked out, since his was checked. */
    if (r >= 0 && proof != NULL) {
        uint8_t present[32];
        auth__hash(owner.hash, present);
        if (owner.disabled || memcmp(present, proof, sizeof(present)) != 0)
            r = error_set(err, EACCES, "wrong user name or password");
    }
    if (r >= 0)
        r = store_token_put(auth->store, &row, err);
    pthread_mutex_unlock(&auth->users);
    return r;
}

static void new_secret(char out[AUTH_SECRET_TEXT])
{
    uint8_t random[AUTH_SECRET_SIZE];
    random_bytes(random, sizeof(random));
    hex_encode(random, sizeof(random), out);
}

int auth_session_create(struct auth *auth, const struct principal *principal, const char *from,
                        const char *agent, char secret[AUTH_SECRET_TEXT], char csrf[40],
                        int64_t *ret_expires_ns, struct error *err)
{
    char id[33];
    new_secret(secret);
    int64_t expires = clock_real_ns() + AUTH_SESSION_MAX_NS;
    CLEANUP_FREE char *short_agent = mem_strndup(agent != NULL ? agent : "", 200);
    int r =
        put_secret(auth, principal->name, "", secret, principal->proof, expires, from, short_agent, id, err);
    if (r < 0)
        return r;
    csrf_of(secret, csrf);
    *ret_expires_ns = expires;
    return 0;
}

int auth_token_create(struct auth *auth, const char *user, const char *label, int64_t expires_ns,
                      const char *from, char secret[AUTH_SECRET_TEXT + 8], char ret_id[33],
                      struct error *err)
{
    char text[AUTH_SECRET_TEXT];
    new_secret(text);
    snprintf(secret, AUTH_SECRET_TEXT + 8, "%s%s", AUTH_TOKEN_PREFIX, text);
    return put_secret(auth, user, label, secret, NULL, expires_ns, from, "", ret_id, err);
}

int auth_token_delete(struct auth *auth, const char *id, struct error *err)
{
    int r = store_token_delete(auth->store, id, err);
    auth__changed(auth);
    return r;
}

int auth_sessions_delete(struct auth *auth, const char *user, const char *except_id)
{
    int r = store_sessions_delete(auth->store, user,
                                  except_id != NULL && except_id[0] != '\0' ? except_id : NULL);
    auth__changed(auth);
    return r;
}

struct token_copy {
    struct identity identity;
    char user[AUTH_NAME_MAX + 1];
    char label[65];
    char id[40];
};

static int copy_token(void *user, const struct store_token *row)
{
    struct token_copy *copy = user;
    copy->identity.session = row->session;
    copy->identity.expires_ns = row->expires_ns;
    copy->identity.used_ns = row->used_ns;
    snprintf(copy->user, sizeof(copy->user), "%s", row->user);
    snprintf(copy->label, sizeof(copy->label), "%s", row->label != NULL ? row->label : "");
    snprintf(copy->id, sizeof(copy->id), "%s", row->id);
    return 0;
}

static bool cache_get(struct auth *auth, const uint8_t hash[32], int64_t now, struct identity *ret,
                      uint64_t *ret_generation)
{
    pthread_mutex_lock(&auth->lock);
    const struct cached *slot = &auth->cache[hash[0] % CACHE_SLOTS];
    bool hit = slot->until_ns > now && memcmp(slot->hash, hash, 32) == 0;
    if (hit)
        *ret = slot->identity;
    *ret_generation = auth->generation;
    pthread_mutex_unlock(&auth->lock);
    return hit;
}

static void cache_put(struct auth *auth, const uint8_t hash[32], int64_t now,
                      const struct identity *identity, uint64_t generation)
{
    pthread_mutex_lock(&auth->lock);
    /* Not if something was revoked while we looked. */
    if (generation == auth->generation) {
        struct cached *slot = &auth->cache[hash[0] % CACHE_SLOTS];
        memcpy(slot->hash, hash, 32);
        slot->until_ns = now + CACHE_NS;
        slot->identity = *identity;
    }
    pthread_mutex_unlock(&auth->lock);
}

/* Who a secret stands for; false: nobody (any more). */
static bool identify_secret(struct auth *auth, const char *secret, bool session,
                            struct request *request)
{
    struct principal *ret = &request->principal;
    uint8_t hash[32];
    auth__hash(secret, hash);
    int64_t now = clock_mono_ns(), real = clock_real_ns();
    struct identity identity;
    uint64_t generation;
    if (!cache_get(auth, hash, now, &identity, &generation)) {
        struct token_copy copy = {0};
        if (store_token_find(auth->store, hash, copy_token, &copy) < 0)
            return false;
        struct user_copy user;
        if (auth__find_user(auth, copy.user, &user, NULL) < 0 || !user.found || user.disabled)
            return false;
        identity = copy.identity;
        memcpy(identity.id, copy.id, sizeof(identity.id));
        memcpy(identity.user, copy.user, sizeof(identity.user));
        auth__fill_principal(copy.user, &user, &identity.principal);
        snprintf(identity.principal.session_id, sizeof(identity.principal.session_id), "%s",
                 copy.identity.session ? copy.id : "");
        if (!copy.identity.session)
            snprintf(identity.principal.name, sizeof(identity.principal.name), "token:%s",
                     copy.label[0] != '\0' ? copy.label : copy.user);
        bool expired = (identity.expires_ns != 0 && identity.expires_ns <= real) ||
                       (identity.session && identity.used_ns + AUTH_SESSION_IDLE_NS <= real);
        if (expired) {
            store_token_delete(auth->store, copy.id, NULL);
            return false;
        }
        if (real - identity.used_ns > TOUCH_NS) {
            store_token_touch(auth->store, copy.id, real);
            identity.used_ns = real;
        }
        cache_put(auth, hash, now, &identity, generation);
    }
    if (identity.session != session)
        return false;
    if (identity.expires_ns != 0 && identity.expires_ns <= real)
        return false;
    char from[sizeof(ret->from)];
    memcpy(from, ret->from, sizeof(from));
    *ret = identity.principal;
    memcpy(ret->from, from, sizeof(from));
    snprintf(request->token_id, sizeof(request->token_id), "%s", identity.id);
    snprintf(request->token_user, sizeof(request->token_user), "%s", identity.user);
    return true;
}

/* Value of our cookie, if it is there and has the right form. */
static bool find_cookie(const char *header, const char *name, char out[AUTH_SECRET_TEXT])
{
    size_t length = strlen(name);
    for (const char *at = header; at != NULL && *at != '\0';) {
        while (*at == ' ' || *at == ';')
            at++;
        if (strncmp(at, name, length) == 0 && at[length] == '=') {
            const char *value = at + length + 1;
            size_t size = strcspn(value, ";");
            if (size != AUTH_SECRET_TEXT - 1 || !str_is_hex(value, size))
                return false;
            memcpy(out, value, size);
            out[size] = '\0';
            return true;
        }
        at = strchr(at, ';');
    }
    return false;
}

void auth_identify(struct auth *auth, struct request *request)
{
    struct principal *principal = &request->principal;
    const struct transport *transport = request->transport;
    if (transport->kind == TRANSPORT_UNIX) {
        /* Its file permissions let him in. */
        principal->role = ROLE_ADMIN;
        principal->may_read_logs = true;
        snprintf(principal->name, sizeof(principal->name), "socket");
        return;
    }
    if (auth == NULL)
        return;
    const char *authorization = request_header(request, "Authorization");
    if (authorization != NULL) {
        if (strncasecmp(authorization, "Bearer ", 7) != 0)
            return;
        const char *token = authorization + 7;
        while (*token == ' ')
            token++;
        if (str_starts(token, AUTH_TOKEN_PREFIX) &&
            strlen(token) == strlen(AUTH_TOKEN_PREFIX) + AUTH_SECRET_TEXT - 1)
            identify_secret(auth, token, false, request);
        return;
    }
    if (transport->certificate[0] != '\0') {
        /* The CA's owner decides who gets one. A CN that is a user's name has that
         * user's role; others are the operator's own tools: admin, as with Docker. */
        struct user_copy user;
        if (auth__find_user(auth, transport->certificate, &user, NULL) < 0)
            return;
        if (user.found && user.disabled)
            return;
        if (user.found)
            auth__fill_principal(transport->certificate, &user, principal);
        else
            principal->role = ROLE_ADMIN, principal->may_read_logs = true;
        principal->must_change_password = false;
        snprintf(principal->name, sizeof(principal->name), "cert:%.120s", transport->certificate);
        return;
    }
    char secret[AUTH_SECRET_TEXT];
    const char *cookie = request_header(request, "Cookie");
    if (cookie != NULL &&
        find_cookie(cookie, auth_cookie_name(transport->kind == TRANSPORT_TLS), secret) &&
        identify_secret(auth, secret, true, request)) {
        request->by_cookie = true;
        csrf_of(secret, request->csrf);
    }
}

/* --- long-lived connections ----------------------------------------------------------------------
 */
struct still {
    const char *id;
    bool found;
};

static int look_for_token(void *user, const struct store_token *row)
{
    struct still *still = user;
    if (strcmp(row->id, still->id) == 0)
        still->found = row->expires_ns == 0 || row->expires_ns > clock_real_ns();
    return 0;
}

bool auth_still_valid(struct auth *auth, const char *user, const char *token_id, bool session,
                      enum role role)
{
    struct still still = {.id = token_id};
    struct user_copy copy;
    if (auth__find_user(auth, user, &copy, NULL) < 0)
        return true; /* a database in trouble locks nobody out */
    if (!copy.found || copy.disabled || copy.role < role)
        return false;
    if (store_tokens(auth->store, user, session, look_for_token, &still, NULL) < 0)
        return true;
    if (still.found && session)
        store_token_touch(auth->store, token_id, clock_real_ns());
    return still.found;
}
