/* http.h - what a route handler sees of HTTP. civetweb is behind it (server/web.c
 * only): no handler includes civetweb.h.
 *
 * A request is served by one worker thread, from handler entry to return. Long
 * streams (follow, attach, WebSockets) leave the worker: see request_detach().
 *
 * Before a handler runs, server/dispatch.c has: checked Host (and Origin where
 * a browser sends one), found the route in the one table (server/routes.c),
 * authenticated, checked the route's permission against the principal, and
 * logged the attempt for audit where the route says so.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tabique/error.h"

struct engine;
struct request;
struct server;

/* --- who asks ------------------------------------------------------------------------ */
enum role { ROLE_NONE, ROLE_HELPDESK, ROLE_OPERATOR, ROLE_ADMIN };

struct principal {
    enum role role;
    char name[128];       /* "alice", "socket", "token:ci", "cert:CN" */
    char from[64];        /* address, or "unix:UID" */
    bool may_read_logs;   /* helpdesk with the grant */
    bool must_change_password;
    char session_id[40];  /* "" : none */
    uint8_t proof[32];    /* of the password that was checked, for auth_session_create() */
};

/* --- the request ------------------------------------------------------------------------ */
struct server *request_server(struct request *request);
struct engine *request_engine(struct request *request);
const struct principal *request_principal(struct request *request);
const char *request_method(const struct request *request);
const char *request_path(const struct request *request);  /* decoded, without /vN.NN */
int request_api_version(const struct request *request);   /* 151 for v1.51; newest when unversioned */
const char *request_header(const struct request *request, const char *name);
const char *request_param(const struct request *request, const char *name); /* {name} of the pattern; never NULL */
const char *request_query(const struct request *request, const char *name); /* decoded; NULL: absent */
size_t request_query_all(const struct request *request, const char *name, const char **ret, size_t max);
/* Go's: "1", "true", "True" ... are true; "", "0", "false", "no", "none" false. */
bool request_query_bool(const struct request *request, const char *name, bool fallback);
int request_query_int(const struct request *request, const char *name, int64_t fallback, int64_t *ret,
                      struct error *err);
/* Docker's filters={"name":["a"]} (also {"name":{"a":true}}) as {"name":["a"]}; NULL without.
 * Unknown keys against the NULL-terminated `allowed`: -EINVAL, "invalid filter 'x'". */
int request_filters(struct request *request, const char *const *allowed, cJSON **ret, struct error *err);
bool filter_match(const cJSON *filters, const char *key, const char *value);         /* absent key matches */
bool filter_match_prefix(const cJSON *filters, const char *key, const char *value);  /* id prefixes */
bool filter_match_labels(const cJSON *filters, const char *key, const cJSON *labels);/* "k", "k=v" */

/* Whole body as JSON, at most `limit` bytes (0: 4 MiB). An empty body gives NULL
 * in *ret when allowed, else -EINVAL "EOF". Content-Type must be JSON, as Docker asks. */
int request_json(struct request *request, size_t limit, bool allow_empty, cJSON **ret, struct error *err);
/* Streaming body (chunked or with a length); 0 at its end; -EPIPE when cut short.
 * Fits archive_read_fn and image_read_fn with the request as `user`. */
ssize_t request_read(void *request, void *buffer, size_t size);

/* --- the answer: exactly one of these families per request ----------------------------------- */
int respond_json(struct request *request, int status, cJSON *json); /* takes ownership */
int respond_text(struct request *request, int status, const char *content_type, const char *text);
int respond_data(struct request *request, int status, const char *content_type, const void *data, size_t length);
int respond_empty(struct request *request, int status);
int respond_error(struct request *request, const struct error *error); /* status.c's table; {"message"} */
int respond_status_error(struct request *request, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void respond_header(struct request *request, const char *name, const char *value); /* before the answer */

/* Chunked stream. begin sends the headers at once. write gives -EPIPE when the
 * client has gone; respond_write fits archive_write_fn with the request as user. */
int respond_begin(struct request *request, int status, const char *content_type);
int respond_write(void *request, const void *data, size_t length);
/* One JSON text and its line end in one chunk, as Docker's encoder writes them:
 * clients that read by chunks take a line end alone for a broken text. Takes json. */
int respond_json_line(struct request *request, cJSON *json, const char *line_end);
int respond_end(struct request *request);
bool request_gone(void *request); /* client hung up: for cancelled() callbacks */

/* Takes the connection over after "101 UPGRADED" (or 200 for old clients), as
 * Docker's attach. The duplex lives on after the handler has returned. */
struct duplex;
int respond_hijack(struct request *request, const char *content_type, struct duplex **ret);

/* Serves the rest from a thread of its own, not from the worker pool: for
 * follow, events, stats, wait. fn gets the request and frees nothing; the
 * handler returns what this returns. At most server's stream limit: -EAGAIN. */
typedef int detached_fn(struct request *request, void *user);
int request_detach(struct request *request, detached_fn *fn, void *user, void (*free_user)(void *user));

/* Blocking byte stream of a hijacked connection (plain or TLS); one reader and
 * one writer thread at a time. */
ssize_t duplex_read(struct duplex *duplex, void *buffer, size_t size, int timeout_ms); /* 0 end, -ETIMEDOUT */
int duplex_write(struct duplex *duplex, const void *data, size_t size);
int duplex_fd(struct duplex *duplex);          /* for poll only */
bool duplex_pending(struct duplex *duplex);    /* bytes already decrypted wait */
void duplex_shutdown_write(struct duplex *duplex);
void duplex_close(struct duplex *duplex);
/* Joins a duplex and a shim stream fd (RPC_STREAM frames) until both end:
 * raw with a tty, Docker's 8-byte multiplexed frames without. with_stdin: the
 * stream was attached with stdin; else what the client sends is dropped.
 * ends_with_input: the client's last input ends the whole, as where Docker may not
 * close the container's input for it.
 * detach_keys NULL: Docker's default. Runs in a thread of its own; takes both. */
int duplex_join(struct request *request, struct duplex *duplex, int stream_fd, bool tty, bool with_stdin,
                bool ends_with_input, const char *detach_keys);

/* --- the table -------------------------------------------------------------------------------- */
enum permission {
    PERMISSION_PUBLIC,   /* before sign-in: _ping, login, static files */
    PERMISSION_VIEW,     /* helpdesk and up: sees */
    PERMISSION_LOGS,     /* operator and up, or helpdesk with the grant */
    PERMISSION_OPERATE,  /* operator and up: runs containers */
    PERMISSION_EXEC,     /* operator and up */
    PERMISSION_ADMIN,
    PERMISSION_SELF,     /* any signed-in user, about himself; open while a password must be changed */
};

enum route_flags {
    ROUTE_AUDIT = 1 << 0,
    ROUTE_UPGRADE = 1 << 1, /* may hijack */
    ROUTE_DOCKER = 1 << 2,  /* also below /v1.NN */
};

struct route {
    const char *method;
    const char *pattern;     /* "/containers/{id}/start"; {name...} takes the rest, slashes too */
    enum permission permission;
    unsigned flags;
    int (*handler)(struct request *request);
    const char *audit;       /* "container.start" */
};

/* Each routes_*.c exports one NULL-terminated table; routes.c lists the tables. */
extern const struct route routes_system[], routes_containers[], routes_exec[], routes_images[],
    routes_build[], routes_networks[], routes_registry[], routes_volumes[], routes_refused[], routes_api[], routes_account[],
    routes_stream[], routes_notify[];
