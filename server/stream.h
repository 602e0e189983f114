/* stream.h - live streams: what stream.c (hub and clients), stream_topics.c
 * (where rows come from) and stream_logs.c share. Protocol: docs/API-stream.md.
 *
 * A topic is what is watched ("processes of container X, every second"), shared
 * by all who watch it: collected once, compared with what was before once,
 * encoded once. A subscription is one client's interest in a topic.
 *
 * One lock, the hub's, guards clients, subscriptions, and topics' rows. A
 * topic's collector runs without it, in a pool of its own, never twice at once;
 * what it found is applied under the lock. Rows are thus changed only by the
 * topic's one running job under the lock, which may read them without.
 */
#pragma once

#include <cjson/cJSON.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uthash.h>

#include "base/str.h"
#include "http.h"
#include "websocket.h"

struct hub;
struct shared_text;
struct topic;

#define STREAM_SUBSCRIPTIONS_MAX 64
#define STREAM_MESSAGE_MAX 4096
#define STREAM_KEY_MAX 96
#define STREAM_BEHIND_BYTES (1u << 20) /* queued at a client: deltas stop until it has caught up   \
                                        */
#define STREAM_BEHIND_S 30             /* and after this it is cut off */

struct row {
    char key[STREAM_KEY_MAX];
    uint64_t signature; /* of what it was made from; 0: unknown */
    char *text;         /* JSON */
    uint64_t seen;      /* the collector's turn */
    UT_hash_handle hh;
};

enum change_kind { CHANGE_ADD, CHANGE_UPDATE };

struct change {
    enum change_kind kind;
    char key[STREAM_KEY_MAX];
    uint64_t signature;
    char *text;
};

/* What a collector fills in. head and moment are members of the message without
 * braces ("\"a\":1,\"b\":2"); head is sent when it changed, moment always. */
struct fresh {
    struct topic *topic;
    struct str head, moment;
    struct change *changes;
    size_t count, capacity;
    bool urgent; /* something has happened: what the sampler has is too old */
    bool always; /* send a delta even without changes */
};

struct topic_type {
    const char *name;
    bool container;      /* needs one */
    int64_t interval_ms; /* default; 0: pushed, not polled */
    const char *rows;    /* name of the rows' array in a state; NULL: it has none */
    /* -ENOENT: what is watched is gone for good, and so the topic. */
    int (*collect)(struct hub *hub, struct topic *topic, struct fresh *fresh, struct error *err);
};

struct subscription {
    struct client *client;
    struct topic *topic;
    struct subscription *previous, *next; /* of the topic */
    struct subscription *client_next;
    int64_t id;
    uint64_t sequence;
    bool waiting;   /* for its first state, or for one after it fell behind */
    bool resync;    /* the latter: it is told */
    cJSON *filters; /* events */
    struct log_follower *logs;
};

struct client {
    atomic_int references;
    struct hub *hub;
    struct web_socket *socket;
    struct principal principal;
    char token_id[40], token_user[128];
    bool session;
    struct subscription *subscriptions;
    size_t count;
    int64_t behind_since_ns; /* 0: keeps up */
    int64_t allowance_ns;    /* of messages: a leaky bucket */
    struct client *previous, *next;
};

struct topic {
    char key[256];
    const struct topic_type *type;
    char container[65];
    bool whole_host;
    int64_t at_ns;
    int64_t interval_ns;
    int64_t due_ns;
    bool busy, ready;
    bool urgent; /* its next turn is to look afresh, not at what the sampler has */
    uint64_t turn;
    struct row *rows;
    char *head, *moment;
    struct shared_text *state; /* encoded; NULL: not since the last change */
    struct subscription *subscriptions;
    UT_hash_handle hh;
};

struct hub {
    struct server *server;
    struct engine *engine;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct topic *topics;
    struct client *clients;
    struct pool *pool;
    pthread_t timer, events;
    bool timer_running, events_running;
    atomic_bool stopping;
};

/* --- stream_topics.c --- */
const struct topic_type *topic_type_find(const char *name);

/* --- for collectors --- */
/* Whether a row with this key and signature is known: then it is as it was. */
bool fresh_known(struct fresh *fresh, const char *key, uint64_t signature);
/* Else its JSON (taken): an object, to which "key" is added. */
void fresh_row(struct fresh *fresh, const char *key, uint64_t signature, cJSON *json);
void fresh_head(struct fresh *fresh, cJSON *object); /* members of it (taken) */
void fresh_moment(struct fresh *fresh, cJSON *object);

/* --- stream_logs.c --- */
struct log_follower;
int log_follower_start(struct client *client, int64_t id, const char *container, int64_t tail,
                       struct log_follower **ret, struct error *err);
void log_follower_stop(struct log_follower *follower); /* lets go; ends by itself */

void client_unref(struct client *client);
struct client *client_ref(struct client *client);
