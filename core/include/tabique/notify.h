/* notify.h - telling people: rules, notifications, channels, deliveries.
 *
 * A rule says what somebody wants to be told of: a container that exited on its
 * own with a failure, was killed for memory, is unhealthy, restarts over and
 * over, lost its machine's worker, or has used much memory or CPU for a time.
 * What it finds becomes a notification in the store, an event on the bus
 * ("notification" "raised", "ended") and a delivery to each of the rule's
 * channels: a webhook (signed as standardwebhooks.com says, HMAC-SHA256) or
 * mail by SMTP. A delivery that fails is tried again, at growing distances, for
 * some hours; a receiver may see one twice and tells by its webhook-id.
 *
 * Events are read from the store, not from the bus: a server that was away
 * catches up, and nothing is told twice. The bus only wakes.
 *
 * Rules and channels are few, and JSON as in /api/v1. Secrets (a webhook's key,
 * a mail account's password) never come back out.
 *
 * Threads: any. Errors: -EINVAL names the field, -ENOENT "No such rule: ID",
 * -EEXIST a doubled name, -EFBIG beyond the limits below.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct event_bus;
struct notify;
struct store;

#define NOTIFY_RULES_MAX 100
#define NOTIFY_CHANNELS_MAX 20

/* A container that runs, for rules on levels. */
struct notify_container {
    const char *id, *name;
    uint64_t memory_limit; /* bytes; 0: none */
};
typedef int notify_container_fn(void *user, const struct notify_container *container);

struct notify_options {
    struct store *store;
    struct event_bus *bus;
    const char *engine_id;     /* part of a webhook-id */
    const char *host;          /* name of this machine, for people */
    uint64_t host_memory;      /* bytes */
    void *user;
    /* Calls fn for each running container; NULL: rules on levels find nothing. */
    int (*containers)(void *user, notify_container_fn *fn, void *fn_user);
    int64_t tick_ns;           /* how often levels are looked at; 0: 10 s */
    int64_t retry_ns;          /* before the first repetition; 0: 10 s */
};

/* store and bus must outlive it. */
int notify_open(const struct notify_options *options, struct notify **ret, struct error *err);
void notify_close(struct notify *notify); /* NULL is allowed; what is under way is tried again later */

/* Has this rule, known by its id, the name that a fresh installation gave it? */
bool notify_rule_named_at_first(const char *id, const char *name);

/* --- rules: {"id","name","enabled","kind","container","above","seconds","count","pause","channels"}
 * kind: "exit" "oom" "unhealthy" "restart-loop" "worker-lost" "cpu" "memory".
 * container: a shell pattern on names ("" all). above: per cent, of one CPU or of
 * the memory limit (of the host's memory, without one). seconds: how long a level
 * holds; within which `count` restarts happen. pause: seconds before the same rule
 * speaks of the same container again. */
cJSON *notify_rules(struct notify *notify); /* array, by name */
/* id NULL: a new one. ret: the whole rule. */
int notify_rule_put(struct notify *notify, const char *id, const cJSON *body, cJSON **ret, struct error *err);
int notify_rule_delete(struct notify *notify, const char *id, struct error *err);

/* --- channels: {"id","name","enabled","kind","language","consoleUrl"} and
 * kind "webhook": {"url","secret"}; kind "mail": {"server" (smtp://HOST:PORT or
 * smtps://), "tls" ("required", "never"), "username","password","from","to":[]}.
 * A webhook's secret is made here where none is given, and shown in the answer to
 * that one call. Left out in a change, secrets stay as they are. */
cJSON *notify_channels(struct notify *notify);
int notify_channel_put(struct notify *notify, const char *id, const cJSON *body, cJSON **ret, struct error *err);
int notify_channel_delete(struct notify *notify, const char *id, struct error *err); /* -EBUSY: rules use it */
/* A notification of kind "test" to this one channel; its delivery's id. */
int notify_channel_test(struct notify *notify, const char *id, int64_t *ret_delivery, struct error *err);

/* A delivery that failed or waits, at once. -ENOENT, -EALREADY (delivered). */
int notify_delivery_retry(struct notify *notify, int64_t delivery, struct error *err);
