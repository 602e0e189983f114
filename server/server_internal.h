/* server_internal.h - what server/'s own files share; not for handlers. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "head.h"
#include "http.h"
#include "server.h"

struct auth;
struct front;
struct message;
struct pool;
struct route_table;
struct static_files;
struct tls;
struct transport;
struct web_sockets;

#if defined(__SANITIZE_ADDRESS__)
#define THREAD_STACK (2u << 20)
#else
#define THREAD_STACK (512u << 10) /* address space; only touched pages are memory */
#endif

#define API_VERSION_MIN 124
#define API_VERSION_MAX 151
#define API_VERSION_MIN_TEXT "1.24"
#define API_VERSION_MAX_TEXT "1.51"
#define PREFETCH_MAX (64u << 10)
#define PARAMS_MAX 8
#define WRITE_TIMEOUT_MS 60000

struct server {
    struct server_options options;
    struct route_table *routes;
    struct pool *workers;
    struct front *front;
    struct auth *auth;
    struct static_files *files;
    struct web_sockets *sockets;
    void *hub; /* stream.c's; NULL until a client came */
    void (*stop_hub)(void *hub);
    void (*free_hub)(void *hub);
    char **hosts; /* lower case: names and addresses answered to */

    pthread_mutex_t lock; /* the register, tls */
    struct transport *transports;
    atomic_size_t transport_count;
    struct tls *tls;
    atomic_bool stopping;
    atomic_int streams;
    atomic_ullong requests;
};

void server_register(struct server *server, struct transport *transport);
void server_unregister(struct server *server, struct transport *transport);
struct tls *server_tls(struct server *server); /* a reference, or NULL */
bool server_stopping(struct server *server);
/* A thread of its own for fn(user), within the limit on streams: -EAGAIN. */
int server_spawn(struct server *server, const char *name, void (*fn)(void *user), void *user);

struct pair {
    const char *name, *value;
};

struct request {
    struct server *server;
    struct transport *transport; /* NULL once hijacked */
    struct message *message;
    struct head head;
    char *path;   /* decoded, without the version */
    char *target; /* pairs point into it */
    struct pair *query;
    size_t query_count;
    int api_version;
    bool versioned;
    const struct route *route;
    struct pair params[PARAMS_MAX];
    size_t param_count;
    char *param_text; /* params point into it */
    struct principal principal;
    char csrf[40];     /* of the cookie's session */
    char token_id[40]; /* session or API token he came with; "": neither */
    char token_user[128];
    bool by_cookie;
    bool upgrade_websocket;
    bool continue_sent;

    struct str extra; /* header lines */
    int status;
    bool begun, ended, chunked, head_only, close, audited;
    struct store_audit_open *audit; /* begun and not yet ended */
    atomic_int holders;
    uint64_t sent;
    int64_t received_ns;
};

/* request.c */
int request_new(struct transport *transport, const struct head *head, size_t head_length,
                struct request **ret, const char **ret_reason); /* 0 or an HTTP status */
void request_free(struct request *request);
bool request_is_websocket(const struct request *request);
/* Percent-decoding. -EINVAL: bad escape, NUL, control character, not UTF-8. */
int url_decode(const char *text, size_t length, bool plus, char *out);

/* respond.c */
void respond_raw_error(struct transport *transport, int status, const char *message);
int respond_finish(struct request *request); /* completes whatever is open */
const char *status_text(int status);
void respond_path(int status, struct str *out, struct request *request);

/* status.c */
int status_of_error(int code);

/* routes.c */
int route_table_new(const struct route *const *tables, struct route_table **ret, struct error *err);
void route_table_free(struct route_table *table);
/* Finds by method (HEAD falls back to GET) and path; fills in route and params. */
bool route_match(const struct route_table *table, struct request *request, bool versioned);
typedef int route_fn(void *user, const struct route *route);
int route_table_each(const struct route_table *table, route_fn *fn, void *user);
/* "/v1.43/x": 0 and the rest; 1 no version prefix; -EINVAL too old or new, with Docker's text. */
int route_version(const char *path, int *ret_version, const char **ret_rest, struct error *err);

/* dispatch.c */
/* Both take the request and give back its connection if it can serve another
 * one (bytes of which may be in transport->in already). */
struct transport *dispatch(struct request *request);
struct transport *dispatch_release(struct request *request);
void dispatch_audit(struct request *request); /* once the status is known; repeats are nothing */
/* Whether a Host header (with or without port) names this server; pure. */
bool host_allowed(char *const *hosts, const char *host);
/* Whether an Origin is the site that `host` names, over this scheme; pure. */
bool origin_matches(const char *origin, const char *host, bool tls);

/* serve.c */
void serve(void *transport); /* a worker's job */

/* front.c */
int front_new(struct server *server, struct error *err); /* sets server->front */
/* No new connections, the waiting ones dropped; busy ones may still come back and
 * are then closed. Stop frees it, once nobody can come back. */
void front_close(struct front *front);
void front_stop(struct front *front);
void front_adopt(struct front *front, struct transport *transport); /* any thread */
void front_linger(struct front *front, struct transport *transport);
int front_port(const struct front *front, size_t index);
bool front_complete(struct transport *transport); /* transport->in holds what a worker needs */

/* static.c */
int static_files_new(const char *dir, struct static_files **ret, struct error *err);
void static_files_free(struct static_files *files);
int static_serve(struct static_files *files, struct request *request); /* -ENOENT: not ours */
