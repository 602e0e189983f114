/* http.h - one HTTP exchange with somebody who may lie. Private to registry/.
 *
 * A struct http belongs to one thread at a time and keeps its connection alive
 * between calls. A call never hangs (slowness and silence end it), never
 * buffers more than it was told, and follows redirects of GET and HEAD by hand:
 * never from HTTPS to HTTP, never with secrets to another origin.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "registry/challenge.h"
#include "tabique/registry.h"

struct error;
struct http;

struct http *registry__http_new(int64_t timeout_ns, struct registry_cancel cancel);
void registry__http_free(struct http *http);
void registry__http_freep(struct http **http);
#define CLEANUP_HTTP CLEANUP(registry__http_freep)

/* Whom we speak to: trust and secrets that are for this origin only. */
struct http_peer {
    char *origin;      /* "https://host:port" */
    bool insecure;     /* certificates are not checked; plain HTTP is allowed */
    bool direct;       /* this machine: no proxy */
    char *authorities; /* PEM, besides the system's; NULL: none */
    char *certificate, *key; /* files; NULL: none */
    char *fault;       /* why nothing is asked of it; NULL: nothing is wrong */
};

struct http_answer;
/* answer: its status and headers, which are all there. */
typedef int http_write_fn(void *user, const struct http_answer *answer, const void *data, size_t length);
typedef ssize_t http_read_fn(void *user, void *buffer, size_t size);

struct http_call {
    const struct http_peer *peer;
    const char *method, *url;
    const char *const *headers;  /* "Name: value"; NULL-terminated; NULL: none */
    const char *authorization;   /* value; only to the peer's origin */
    const char *content_type;
    const void *body;            /* with body_length; or: */
    size_t body_length;
    http_read_fn *read;          /* a stream */
    void *read_user;
    int64_t read_length;         /* -1: not known, sent in chunks */
    /* A good answer's (2xx) body goes here, -errno ends it; NULL: into answer->body. */
    http_write_fn *write;
    void *write_user;
    size_t limit;                /* of answer->body; 0: 64 KiB */
    bool patient;                /* the server may have to think for minutes */
};

struct http_answer {
    int status;
    struct str body;    /* of a bad answer at most 64 KiB of it */
    char *url;          /* that answered */
    char *content_type; /* without parameters, lower case */
    char *location;     /* absolute */
    char *digest, *content_range, *link;
    int64_t length;     /* -1: not told */
    int64_t retry_after; /* seconds; -1: not told */
    struct challenges challenges;
};
void registry__http_answer_clear(struct http_answer *answer);
#define CLEANUP_ANSWER CLEANUP(registry__http_answer_clear)

/* 0 whatever the status; -EIO connection, -ETIMEDOUT slow, -ECANCELED,
 * -EPERM a forbidden redirect, -EFBIG more than the limit, or what write gave. */
int registry__http_perform(struct http *http, const struct http_call *call, struct http_answer *ret, struct error *err);

/* `relative` as seen from `base`; NULL: invalid. */
char *registry__http_resolve(const char *base, const char *relative);
char *registry__http_escape(const char *text); /* for a query's value or a path's part */
const char *registry__http_status_text(int status);
int registry__http_available(struct error *err); /* whether libcurl is there */
