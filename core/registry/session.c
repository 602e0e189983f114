/* session.c - see session.h. Owner: registry. */
#include "registry/session.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "curl/transfer.h"
#include "registry/credentials.h"
#include "tabique/error.h"

#define TRIES 3
#define WAIT_MAX_MS 10000

void registry_session_free(struct session *session)
{
    if (!session)
        return;
    free(session->repository);
    registry_credentials_clear(&session->credentials);
    strv_free(session->scopes);
    registry__challenges_clear(&session->challenges);
    free(session->authorization);
    pthread_mutex_destroy(&session->lock);
    free(session);
}

void registry_session_freep(struct session **session)
{
    registry_session_free(*session);
    *session = NULL;
}

struct http *registry_session_http(const struct session *session)
{
    return registry__http_new(session->registry->options.timeout_ns, session->cancel);
}

char *registry_session_url(const struct session *session, const char *format, ...)
{
    CLEANUP_STR struct str url = STR_INIT;
    va_list args;

    str_printf(&url, "%s/v2/%s/", session->endpoint->base, session->repository);
    va_start(args, format);
    str_vprintf(&url, format, args);
    va_end(args);
    return str_take(&url);
}

int registry__session_wait(const struct registry_cancel *cancel, int64_t ms, struct error *err)
{
    int64_t end = clock_mono_ns() + ms * NS_PER_MS;

    for (;;) {
        int64_t left = (end - clock_mono_ns()) / NS_PER_MS;

        if (cancel->fn && cancel->fn(cancel->user))
            return error_set(err, ECANCELED, "context canceled");
        if (left <= 0)
            return 0;
        poll(NULL, 0, left < 200 ? (int)left : 200);
    }
}

/* --- bad answers ---------------------------------------------------------------------------- */

static const struct {
    const char *code;
    enum registry_fault fault;
    int error;
} faults[] = {
    {"UNAUTHORIZED", FAULT_UNAUTHORIZED, EACCES},
    {"DENIED", FAULT_DENIED, EPERM},
    {"MANIFEST_UNKNOWN", FAULT_MANIFEST_UNKNOWN, ENOENT},
    {"NAME_UNKNOWN", FAULT_NAME_UNKNOWN, ENOENT},
    {"BLOB_UNKNOWN", FAULT_BLOB_UNKNOWN, ENOENT},
    {"TOOMANYREQUESTS", FAULT_TOO_MANY, EIO},
};

/* The first of {"errors":[{code, message}]}, as "code: message". */
static bool first_error(const struct http_answer *answer, char **ret_code, char **ret_text)
{
    CLEANUP_JSON cJSON *json = NULL;

    if (answer->body.length == 0 || json_parse(answer->body.data, answer->body.length, &json, NULL) < 0)
        return false;
    const cJSON *list = json_get(json, "errors");
    const cJSON *first = cJSON_IsArray(list) ? list->child : NULL;
    const char *code = json_string(first, "code", NULL);
    const char *message = json_string(first, "message", "");
    if (!code) {
        const char *details = json_string(json, "details", NULL); /* a token service's way */
        if (!details)
            return false;
        *ret_code = mem_strdup(answer->status == 401 ? "UNAUTHORIZED" : answer->status == 429 ? "TOOMANYREQUESTS" : "DENIED");
        code = *ret_code;
        message = details;
    } else {
        *ret_code = mem_strdup(code);
    }
    CLEANUP_FREE char *name = mem_strdup(code);
    for (char *c = name; *c; c++)
        *c = *c == '_' ? ' ' : *c >= 'A' && *c <= 'Z' ? (char)(*c + 32) : *c;
    *ret_text = *message ? mem_printf("%s: %s", name, message) : mem_strdup(name);
    str_make_printable(*ret_text);
    return true;
}

int registry__session_refused(const struct http_call *call, const struct http_answer *answer, enum registry_fault *ret_fault, struct error *err)
{
    CLEANUP_FREE char *code = NULL;
    CLEANUP_FREE char *text = NULL;
    enum registry_fault fault = FAULT_OTHER;
    int error = answer->status == 401 ? EACCES : answer->status == 403 ? EPERM : answer->status == 404 ? ENOENT : EIO;
    bool told = first_error(answer, &code, &text);

    for (size_t i = 0; told && i < ARRAY_SIZE(faults); i++)
        if (strcmp(faults[i].code, code) == 0) {
            fault = faults[i].fault;
            error = faults[i].error;
        }
    if (fault == FAULT_OTHER)
        fault = answer->status == 401 ? FAULT_UNAUTHORIZED : answer->status == 429 ? FAULT_TOO_MANY : FAULT_OTHER;
    if (ret_fault)
        *ret_fault = fault;
    if (told)
        return error_set(err, error, "%s", text);
    if (answer->status == 401)
        return error_set(err, error, "unauthorized: authentication required");
    if (answer->status == 404)
        return error_set(err, error, "the registry does not know %s", call->url);
    return error_set(err, error, "received unexpected HTTP status: %d %s", answer->status, registry__http_status_text(answer->status));
}

/* --- signing in ------------------------------------------------------------------------------- */

/* A new value for the header; *ret NULL: there is nothing (else) to show. Lock held. */
static int sign_in(struct session *session, struct http *http, char **ret, struct error *err)
{
    const struct challenge *bearer = registry__challenges_find(&session->challenges, "Bearer");
    const struct challenge *basic = registry__challenges_find(&session->challenges, "Basic");
    static const struct registry_credentials nobody = {0};
    /* A mirror is not the registry the user has given his password for. */
    const struct registry_credentials *credentials = session->endpoint->mirror ? &nobody : &session->credentials;

    *ret = NULL;
    if (bearer && credentials->registry_token)
        *ret = mem_printf("Bearer %s", credentials->registry_token);
    else if (bearer)
        return registry__token_fetch(session->registry, &session->endpoint->peer, bearer, session->scopes, credentials, false, http, ret,
                           NULL, err);
    else if (basic)
        *ret = registry__credentials_basic(credentials);
    return 0;
}

/* Only what the registry itself asks for: an answer that a redirect led to may
 * come from anybody, and would be told our password. */
static bool is_own_answer(const struct session *session, const struct http_answer *answer)
{
    CLEANUP_FREE char *origin = answer->url ? transfer_origin(answer->url) : NULL;

    return str_equal(origin, session->endpoint->peer.origin);
}

/* 1: try again; 0: there is no use in that. */
static int renew(struct session *session, struct http *http, unsigned generation, struct http_answer *answer, struct error *err)
{
    char *value = NULL;
    int r = 0;

    if (!is_own_answer(session, answer) || answer->challenges.count == 0)
        return 0;
    pthread_mutex_lock(&session->lock);
    if (session->generation == generation) { /* else another thread was first */
        registry__challenges_clear(&session->challenges);
        session->challenges = answer->challenges;
        answer->challenges.count = 0;
        r = sign_in(session, http, &value, err);
        if (r == 0 && (!value || str_equal(value, session->authorization))) {
            free(value);
            pthread_mutex_unlock(&session->lock);
            return 0;
        }
        if (r == 0) {
            free(session->authorization);
            session->authorization = value;
            session->generation++;
        }
    }
    pthread_mutex_unlock(&session->lock);
    return r < 0 ? r : 1;
}

int registry__session_call(struct session *session, struct http *http, struct http_call *call, struct http_answer *ret, struct error *err)
{
    for (int attempt = 0;; attempt++) {
        CLEANUP_ANSWER struct http_answer answer = {0};

        pthread_mutex_lock(&session->lock);
        CLEANUP_FREE char *authorization = mem_strdup(session->authorization);
        unsigned generation = session->generation;
        pthread_mutex_unlock(&session->lock);
        call->peer = &session->endpoint->peer;
        call->authorization = authorization;
        int r = registry__http_perform(http, call, &answer, err);
        call->authorization = NULL;
        if (r == 0 && answer.status == 401 && attempt == 0 && !call->read) {
            r = renew(session, http, generation, &answer, err);
            if (r > 0)
                continue;
        }
        if (r < 0)
            return r;
        *ret = answer;
        answer = (struct http_answer){0};
        return 0;
    }
}

static bool nobody_to_be(struct session *session)
{
    pthread_mutex_lock(&session->lock);
    bool none = !session->authorization && registry__challenges_find(&session->challenges, "Basic") &&
                !registry__challenges_find(&session->challenges, "Bearer");
    pthread_mutex_unlock(&session->lock);
    return none;
}

int registry__session_ask(struct session *session, struct http *http, struct http_call *call, struct http_answer *ret,
                enum registry_fault *ret_fault, struct error *err)
{
    bool repeatable = str_equal(call->method, "GET") || str_equal(call->method, "HEAD");

    if (ret_fault)
        *ret_fault = FAULT_OTHER;
    for (int attempt = 1;; attempt++) {
        CLEANUP_ANSWER struct http_answer answer = {0};

        int r = registry__session_call(session, http, call, &answer, err);
        if (r < 0) {
            if (ret_fault && (r == -EIO || r == -ETIMEDOUT))
                *ret_fault = FAULT_UNREACHABLE;
            return r;
        }
        if (answer.status >= 200 && answer.status < 300) {
            *ret = answer;
            answer = (struct http_answer){0};
            return 0;
        }
        bool later = answer.status == 429 || (answer.status >= 502 && answer.status <= 504);
        if (later && repeatable && attempt < TRIES) {
            int64_t ms = answer.retry_after >= 0 ? answer.retry_after * 1000 : 500 << attempt;

            r = registry__session_wait(&session->cancel, ms < WAIT_MAX_MS ? ms : WAIT_MAX_MS, err);
            if (r < 0)
                return r;
            continue;
        }
        if (answer.status == 401 && nobody_to_be(session)) {
            if (ret_fault)
                *ret_fault = FAULT_UNAUTHORIZED;
            return error_set(err, EACCES, "no basic auth credentials");
        }
        return registry__session_refused(call, &answer, ret_fault, err);
    }
}

/* --- opening ------------------------------------------------------------------------------------- */

/* What /v2/ answers does not matter, but for whom it wants to see. */
static int ping(struct session *session, struct http *http, struct error *err)
{
    CLEANUP_FREE char *url = mem_printf("%s/v2/", session->endpoint->base);
    CLEANUP_ANSWER struct http_answer answer = {0};
    struct http_call call = {.peer = &session->endpoint->peer, .method = "GET", .url = url};

    int r = registry__http_perform(http, &call, &answer, err);
    if (r < 0 || answer.status != 401 || !is_own_answer(session, &answer))
        return r;
    session->challenges = answer.challenges;
    answer.challenges.count = 0;
    return 0;
}

int registry_session_open(const struct registry *registry, const struct endpoints *endpoints, size_t index, const char *repository,
                 const char *const *scopes, const struct registry_credentials *credentials, struct registry_cancel cancel,
                 struct session **ret, enum registry_fault *ret_fault, struct error *err)
{
    CLEANUP_SESSION struct session *session = mem_new(struct session);
    int r;

    pthread_mutex_init(&session->lock, NULL);
    session->registry = registry;
    session->repository = mem_strdup(repository);
    session->scopes = strv_dup((char *const *)scopes);
    session->cancel = cancel;
    if (credentials)
        registry__credentials_copy(credentials, &session->credentials);
    CLEANUP_HTTP struct http *http = registry_session_http(session);
    do {
        session->endpoint = &endpoints->list[index];
        r = ping(session, http, err);
        index++;
    } while ((r == -EIO || r == -ETIMEDOUT) && index < endpoints->count && endpoints->list[index].alternative);
    if (r == 0) {
        *ret_fault = FAULT_UNAUTHORIZED;
        r = sign_in(session, http, &session->authorization, err);
    } else {
        *ret_fault = FAULT_UNREACHABLE;
    }
    if (r < 0)
        return r;
    *ret = TAKE_PTR(session);
    return 0;
}
