/* session.h - talking to one repository of one registry. Owner: registry; used by image/.
 *
 * A session has found a registry that answers and knows how to be let in; it is
 * shared by the threads of one pull or push, each with an http of its own
 * (registry_session_http()). Errors are worded as Docker words them, with the codes of
 * tabique/error.h.
 */
#pragma once

#include <pthread.h>

#include "archive/digest.h"
#include "registry/http.h"
#include "tabique/registry.h"

struct registry {
    struct registry_options options;
    char **insecure, **mirrors;
    char *certs_dir;
};

/* --- where a registry is (endpoint.c) ------------------------------------------------- */
struct endpoint {
    char *base;           /* "https://host:port": the origin */
    struct http_peer peer;
    bool mirror;
    bool alternative;     /* only when the one before it cannot be connected to */
};
struct endpoints {
    struct endpoint *list;
    size_t count;
};
#define CLEANUP_ENDPOINTS CLEANUP(registry_endpoints_clear)
void registry_endpoints_clear(struct endpoints *endpoints);
/* domain: of an image's canonical name. Mirrors are for reading only. */
int registry_endpoints_find(const struct registry *registry, const char *domain, bool mirrors, struct endpoints *ret, struct error *err);
/* Trust for one more host: a token service. */
void registry__peer_for(const struct registry *registry, const char *origin, struct http_peer *ret);
void registry__peer_clear(struct http_peer *peer);
bool registry__host_insecure(const struct registry *registry, const char *host);

/* --- the session (session.c) ------------------------------------------------------------- */
enum registry_fault { /* what Docker words apart */
    FAULT_NONE,
    FAULT_OTHER,
    FAULT_UNREACHABLE, /* no connection: nobody has said no */
    FAULT_DENIED,
    FAULT_UNAUTHORIZED,
    FAULT_MANIFEST_UNKNOWN,
    FAULT_NAME_UNKNOWN,
    FAULT_BLOB_UNKNOWN,
    FAULT_TOO_MANY,
};

struct session {
    const struct registry *registry;
    const struct endpoint *endpoint;  /* borrowed */
    char *repository;                 /* "library/ubuntu" */
    struct registry_credentials credentials;
    struct registry_cancel cancel;
    char **scopes;                    /* "repository:library/ubuntu:pull" */
    pthread_mutex_t lock;
    struct challenges challenges;     /* what it asked for last */
    char *authorization;              /* value of the header; NULL: none yet */
    unsigned generation;              /* of authorization */
};

/* Finds out, starting at endpoints[index] and going on over its alternatives,
 * which one answers, and signs in. scopes: NULL-terminated. The endpoints stay
 * the caller's and outlive the session. */
int registry_session_open(const struct registry *registry, const struct endpoints *endpoints, size_t index, const char *repository,
                 const char *const *scopes, const struct registry_credentials *credentials, struct registry_cancel cancel,
                 struct session **ret, enum registry_fault *ret_fault, struct error *err);
void registry_session_free(struct session *session);
void registry_session_freep(struct session **session);
#define CLEANUP_SESSION CLEANUP(registry_session_freep)
struct http *registry_session_http(const struct session *session);
/* "https://host:port/v2/REPOSITORY/" and what follows. */
char *registry_session_url(const struct session *session, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* registry__http_perform() with the session's trust and secrets; signs in again once when
 * told to (which a body that is a stream cannot follow: then -EACCES). Any status. */
int registry__session_call(struct session *session, struct http *http, struct http_call *call, struct http_answer *ret, struct error *err);
/* The same, and a status that is not 2xx is an error; also waits and asks again a
 * few times where a GET or HEAD is told to come back later (429, 502 to 504). */
int registry__session_ask(struct session *session, struct http *http, struct http_call *call, struct http_answer *ret,
                enum registry_fault *ret_fault, struct error *err);
/* What a bad answer says, as Docker words it. */
int registry__session_refused(const struct http_call *call, const struct http_answer *answer, enum registry_fault *ret_fault, struct error *err);
/* Sleeps; -ECANCELED. */
int registry__session_wait(const struct registry_cancel *cancel, int64_t ms, struct error *err);

/* --- access tokens (token.c) -------------------------------------------------------------- */
/* The value of an Authorization header for this challenge; *ret NULL: none to be had. */
int registry__token_fetch(const struct registry *registry, const struct http_peer *peer, const struct challenge *challenge,
                char *const *scopes, const struct registry_credentials *credentials, bool offline, struct http *http,
                char **ret, char **ret_refresh, struct error *err);

/* --- manifests and tags (manifest.c) ------------------------------------------------------- */
#define MANIFEST_MAX ((size_t)4 << 20)
struct registry_manifest {
    char *text;
    size_t length;
    char *media_type;
    char digest[DIGEST_TEXT_MAX]; /* of the text */
};
void registry_manifest_clear(struct registry_manifest *manifest);
/* reference: tag or digest. Of a tag the digest the registry told is checked, too. */
int registry_manifest_get(struct session *session, struct http *http, const char *reference, struct registry_manifest *ret,
                 enum registry_fault *ret_fault, struct error *err);
int registry_manifest_put(struct session *session, struct http *http, const char *reference, const struct registry_manifest *manifest,
                 struct error *err);
int registry_manifest_tags(struct session *session, struct http *http, char ***ret, enum registry_fault *ret_fault, struct error *err);

/* --- blobs (blob.c) ----------------------------------------------------------------------- */
/* Where a download goes on: `begin` is told the offset of the first byte to come
 * (what was asked for, or 0 where the registry gives all). */
struct blob_sink {
    int (*begin)(void *user, uint64_t offset);
    int (*write)(void *user, const void *data, size_t length);
    void *user;
};
int registry_blob_get(struct session *session, struct http *http, const char *digest, uint64_t size, uint64_t offset,
             const struct blob_sink *sink, struct error *err);
/* A small one, whole and checked. */
int registry_blob_text(struct session *session, struct http *http, const char *digest, int64_t size, size_t limit, char **ret,
              size_t *ret_length, struct error *err);
/* 1 there (size in *ret_size), 0 not there. */
int registry_blob_exists(struct session *session, struct http *http, const char *digest, int64_t *ret_size, struct error *err);
/* Begins an upload; from: a repository to mount it from (NULL: none). 1: mounted;
 * 0: *ret_location is where to send it. */
int registry_blob_begin(struct session *session, struct http *http, const char *digest, const char *from, char **ret_location,
               struct error *err);
/* Sends all that read gives; *location moves on. length -1: not known. */
int registry_blob_send(struct session *session, struct http *http, char **location, http_read_fn *read, void *user, int64_t length,
              struct error *err);
int registry_blob_finish(struct session *session, struct http *http, const char *location, const char *digest, struct error *err);
void registry_blob_abandon(struct session *session, struct http *http, const char *location);
