/* store.h - what is remembered. Declared by core, implemented by db/ (SQLite).
 *
 * One writer thread inside; puts are queued and return at once, except events and
 * audit lines. What is promised when the put has returned:
 *                 the server is killed     the power goes
 *   audit line    stays                    stays (in two parts: its result may be missing)
 *   event         stays                    stays once an audit line came after it, or a second passed
 *   the rest      a second may be lost     a second may be lost
 * So whoever has the answer to an audited request can rely on its line and on the
 * events that it caused. Queries may come from any thread and see all that was put.
 * Times are nanoseconds since the epoch. Rows handed to callbacks are valid
 * during the call; a callback that returns non-zero ends the query with it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tabique/event.h"
#include "tabique/host.h"

struct error;
struct store;

struct store_options {
    const char *path;           /* database file, made 0600 */
    int64_t retain_ns;          /* processes, samples, events: how long; 0: 7 days */
    int64_t retain_audit_ns;    /* 0: 90 days */
    int64_t max_bytes;          /* oldest history goes first beyond this; 0: 512 MiB */
};

/* Checks integrity (a damaged file is moved aside as PATH.damaged-TIME and a new
 * one begun, with an error logged), migrates the schema. */
int store_open(const struct store_options *options, struct store **ret, struct error *err);
void store_close(struct store *store); /* flushes */
int store_flush(struct store *store);  /* waits until all that was queued is written */

/* --- events ---------------------------------------------------------------- */
uint64_t store_last_event_sequence(struct store *store);
int store_put_event(struct store *store, const struct event *event);
int store_put_events(struct store *store, const struct event *const *events, size_t count); /* one commit */
struct store_event_query {
    int64_t since_ns, until_ns;  /* 0: open */
    uint64_t after_sequence;     /* paging; newest_first: before it (0: from the newest) */
    const char *type, *action, *actor_id; /* NULL: any; action "exec_create" is also "exec_create: sh" */
    size_t limit;                /* 0: no limit */
    bool newest_first;
};
typedef int store_event_fn(void *user, const struct event *event);
int store_events(struct store *store, const struct store_event_query *query, store_event_fn *fn,
                 void *user, struct error *err);

/* --- lives of processes ------------------------------------------------------
 * side: "" the host, else the id of a container with a kernel of its own.
 * Born again with the same pid and start time: the process has executed another
 * program. Within a second of its birth that is taken as what it was born as;
 * later the life so far ends and goes on as a new row, so that a list of the
 * past has the names of then. Putting what is known already changes nothing. */
int store_process_born(struct store *store, const char *side, const struct process *process);
int store_process_died(struct store *store, const char *side, pid_t pid, uint64_t start_ticks,
                       int64_t end_ns);
/* Called at start: ends every life still open of a side that is not in `list`
 * (NULL: all), at end_ns or (0) the last time anything was written before this
 * store was opened. After a restart of the machine store_open() has done so. */
int store_process_resync(struct store *store, const char *side, const struct process_list *list,
                         int64_t end_ns);
/* Sides that have lives still open. */
typedef int store_side_fn(void *user, const char *side);
int store_open_sides(struct store *store, store_side_fn *fn, void *user, struct error *err);
/* The list as it was at `at_ns`: one indexed query. CPU/memory come from the
 * nearest sample of the container, not per process (0 there); the state is '?'. */
int store_processes_at(struct store *store, const char *side, int64_t at_ns,
                       struct process_list **ret, struct error *err);
struct store_life {
    struct process process;
    int64_t ended_ns; /* 0: still alive */
};
struct store_life_query {
    const char *side;           /* NULL: any */
    const char *container_id;   /* NULL: any */
    const char *search;         /* substring of name or command, NULL: any */
    int64_t since_ns, until_ns; /* lives that overlap this */
    int64_t after_id;           /* paging by row id */
    size_t limit;
};
typedef int store_life_fn(void *user, int64_t id, const char *side, const struct store_life *life);
int store_lives(struct store *store, const struct store_life_query *query, store_life_fn *fn,
                void *user, struct error *err);

/* --- samples -------------------------------------------------------------------
 * Raw at 1 s, rolled up to 10 s, 1 min, 1 h as they age. subject: "" the host or
 * a container id. */
struct store_sample {
    int64_t time_ns;
    int64_t span_ns;            /* 1 s, 10 s, 60 s, 3600 s; filled in by queries */
    double cpu_percent;         /* of one core; mean over the span */
    double cpu_percent_max;
    uint64_t memory_bytes;      /* mean */
    uint64_t memory_bytes_max;
    uint64_t net_rx_bytes, net_tx_bytes;           /* counters at the end of the span */
    uint64_t block_read_bytes, block_write_bytes;
    uint32_t pids;
};
int store_put_sample(struct store *store, const char *subject, const struct store_sample *sample);
typedef int store_sample_fn(void *user, const struct store_sample *sample);
/* step_ns: wanted distance; the coarsest roll-up not coarser than it that covers
 * the range is used. */
/* Rolled-up rows bear the time at which their span begins, raw ones their own. */
int store_samples(struct store *store, const char *subject, int64_t since_ns, int64_t until_ns,
                  int64_t step_ns, store_sample_fn *fn, void *user, struct error *err);

/* --- audit ----------------------------------------------------------------------- */
struct store_audit {
    int64_t id;
    int64_t time_ns;
    const char *who;      /* user name, "socket", "token:NAME", "cert:CN", "" unknown */
    const char *role;
    const char *from;     /* address, or "unix:uid" */
    const char *what;     /* "container.start", "login", ... */
    const char *target;
    const char *detail;   /* JSON or NULL */
    int result;           /* HTTP status; 0: begun, and its end was never told */
};
int store_put_audit(struct store *store, const struct store_audit *audit);
/* The same in two parts, around the deed: the line (without its result) is on its way
 * to the disk while the deed is done, and stands there for sure when _end has
 * returned. _end fills in who, role, target, detail and result, and frees. Never NULL. */
struct store_audit_open;
struct store_audit_open *store_begin_audit(struct store *store, const struct store_audit *audit);
int store_end_audit(struct store *store, struct store_audit_open *open,
                    const struct store_audit *audit);
struct store_audit_query {
    int64_t since_ns, until_ns;
    const char *who, *what, *target;
    int64_t before_id; /* paging, newest first */
    size_t limit;
};
typedef int store_audit_fn(void *user, const struct store_audit *audit);
int store_audits(struct store *store, const struct store_audit_query *query, store_audit_fn *fn,
                 void *user, struct error *err);

/* --- users, tokens, sessions -------------------------------------------------------- */
struct store_user {
    const char *name;
    const char *role;           /* "admin", "operator", "helpdesk" */
    const char *password_hash;  /* encoded (argon2id) */
    bool must_change;
    bool disabled;
    const char *grants;         /* comma-separated extra permissions: "logs" */
    int64_t created_ns;
};
int store_user_put(struct store *store, const struct store_user *user, struct error *err); /* insert or replace */
int store_user_delete(struct store *store, const char *name, struct error *err); /* its tokens and sessions too; -ENOENT */
typedef int store_user_fn(void *user, const struct store_user *row);
int store_users(struct store *store, const char *name /* NULL: all */, store_user_fn *fn, void *user,
                struct error *err);

/* Secrets are stored only as SHA-256 (32 bytes) of the random value. */
struct store_token {
    const char *id;        /* public handle, hex */
    const char *user;
    const char *label;
    const uint8_t *hash;
    bool session;          /* browser session (cookie) or API token */
    int64_t created_ns, expires_ns, used_ns;
    const char *from;
    const char *agent;     /* User-Agent of a session */
};
int store_token_put(struct store *store, const struct store_token *token, struct error *err);
int store_token_touch(struct store *store, const char *id, int64_t used_ns);
int store_token_delete(struct store *store, const char *id, struct error *err);
/* Sign-out everywhere: sessions (not API tokens) of a user, but one. */
int store_sessions_delete(struct store *store, const char *user, const char *except_id);
typedef int store_token_fn(void *user, const struct store_token *row);
int store_token_find(struct store *store, const uint8_t hash[32], store_token_fn *fn, void *user); /* -ENOENT */
int store_tokens(struct store *store, const char *user /* NULL: all */, bool sessions,
                 store_token_fn *fn, void *user_data, struct error *err);

/* Small settings (key, JSON text). get: -ENOENT. */
int store_setting_put(struct store *store, const char *key, const char *value);
int store_setting_get(struct store *store, const char *key, char **ret);

/* --- notifications and their deliveries (tabique/notify.h) -----------------------------
 * Kept as long as the audit trail. Every write waits for the disk. */
struct store_notification {
    int64_t id;
    int64_t time_ns;
    int64_t ended_ns;         /* 0: the condition holds still, or is a moment */
    const char *rule;         /* id, and the rule's name of then */
    const char *rule_name;
    const char *kind;
    const char *container_id; /* "" none */
    const char *container;    /* name of then */
    const char *detail;       /* JSON object */
    bool lasting;             /* has an end to come or come */
    int64_t acknowledged_ns;  /* 0: not yet */
    const char *acknowledged_by;
};
/* One commit: the notification, a pending delivery to each channel, and the
 * sequence of the last event looked at (0: leave it). */
int store_notification_put(struct store *store, const struct store_notification *notification,
                           char *const *channels, uint64_t sequence, int64_t *ret_id, struct error *err);
/* One commit: the end, and a pending delivery of it to each channel. -EALREADY: it has ended. */
int store_notification_end(struct store *store, int64_t id, int64_t ended_ns, char *const *channels);
/* id 0: all. -ENOENT: no such one (acknowledging twice changes nothing). */
int store_notification_acknowledge(struct store *store, int64_t id, const char *who, int64_t time_ns,
                                   struct error *err);
struct store_notification_query {
    int64_t id;                         /* 0: any */
    const char *rule, *container_id;    /* NULL: any */
    const char *kind;
    int64_t since_ns, until_ns;
    bool unacknowledged;
    bool open;                          /* lasting and not ended */
    int64_t before_id;                  /* paging, newest first */
    size_t limit;                       /* 0: no limit */
};
typedef int store_notification_fn(void *user, const struct store_notification *notification);
int store_notifications(struct store *store, const struct store_notification_query *query,
                        store_notification_fn *fn, void *user, struct error *err);
int64_t store_notifications_unacknowledged(struct store *store);
/* How far the events have been looked at; 0: never. */
uint64_t store_notification_sequence(struct store *store);
int store_notification_seen(struct store *store, uint64_t sequence);

struct store_delivery {
    int64_t id, notification;
    const char *channel;
    bool end;             /* tells of the end, not of the beginning */
    const char *state;    /* "pending", "delivered", "failed" */
    int attempts;
    int64_t created_ns;
    int64_t next_ns;      /* of the next attempt, while pending */
    int64_t last_ns;      /* of the last attempt; 0: none */
    int status;           /* HTTP or SMTP reply; 0: none */
    const char *error;    /* "" none */
};
int store_delivery_put(struct store *store, int64_t notification, const char *channel, int64_t time_ns,
                       int64_t *ret_id, struct error *err);
/* By id: state, attempts, next, last, status, error. -ENOENT. */
int store_delivery_update(struct store *store, const struct store_delivery *delivery);
struct store_delivery_query {
    int64_t id, notification;    /* 0: any */
    const char *channel, *state; /* NULL: any */
    int64_t due_ns;              /* only pending ones whose turn has come, oldest first; 0: all, newest first */
    int64_t before_id;
    size_t limit;
};
typedef int store_delivery_fn(void *user, const struct store_delivery *delivery);
int store_deliveries(struct store *store, const struct store_delivery_query *query, store_delivery_fn *fn,
                     void *user, struct error *err);
int64_t store_delivery_next(struct store *store); /* when the next pending one is due; 0: none pends */
