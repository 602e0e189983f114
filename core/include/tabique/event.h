/* event.h - what happened: the bus.
 *
 * Events are Docker's (type, action, actor id, attributes; see the Engine API's
 * /events) plus our own types ("process", "engine", "worker"). Publishing never
 * blocks: every subscriber has a bounded queue, and one that lets it fill up is
 * cut off (event_next gives -EPIPE), never silently skipped.
 * Threads: any. An event is immutable and reference-counted.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_bus;
struct event_subscriber;

struct event_attribute {
    char *name;
    char *value;
};

struct event {
    int references;
    int64_t time_ns;
    uint64_t sequence;   /* strictly growing, also across restarts (store) */
    char *type;          /* "container", "image", "network", "volume", "engine", "worker" */
    char *action;        /* "start", "die", "exec_create: sh", ... */
    char *actor_id;
    struct event_attribute *attributes;
    size_t attribute_count;
};

/* Called synchronously for each event before subscribers see it: the recorder,
 * so that nothing is seen that is not also remembered. */
typedef void event_sink_fn(void *user, const struct event *event);

/* The same for all that were published meanwhile, in the order of their
 * sequence: one write for many. A sink must not publish. */
typedef void event_batch_fn(void *user, const struct event *const *events, size_t count);

struct event_bus *event_bus_new(uint64_t last_sequence);
/* Cuts every subscriber off; event_subscribe() then gives one already cut off. */
void event_bus_close(struct event_bus *bus);
/* Closes, and waits until the last subscriber has gone. */
void event_bus_free(struct event_bus *bus);
void event_bus_set_sink(struct event_bus *bus, event_sink_fn *fn, void *user);
void event_bus_set_batch_sink(struct event_bus *bus, event_batch_fn *fn, void *user);
/* Returns when the event is remembered and queued for every subscriber.
 * attributes: name, value, name, value, ..., NULL (at most 64 pairs). Copied. */
void event_publish(struct event_bus *bus, const char *type, const char *action, const char *actor_id,
                   ...) __attribute__((sentinel));
void event_publish_list(struct event_bus *bus, const char *type, const char *action,
                        const char *actor_id, const struct event_attribute *attributes, size_t count);
/* Of something that happened at time_ns, which counts only where it is before the bus
 * was made: a server that comes back tells of what it missed. Its sequence is new. */
void event_publish_list_at(struct event_bus *bus, int64_t time_ns, const char *type, const char *action,
                           const char *actor_id, const struct event_attribute *attributes, size_t count);

#define EVENT_QUEUE_DEFAULT 4096
struct event_subscriber *event_subscribe(struct event_bus *bus, size_t queue_size);
void event_unsubscribe(struct event_subscriber *subscriber);
size_t event_subscribers(struct event_bus *bus); /* how many there are */
/* 0 and an event to unref; -ETIMEDOUT (timeout_ms below 0: never); -EPIPE when
 * cut off or the bus closes, after what was queued until then. */
int event_next(struct event_subscriber *subscriber, int timeout_ms, struct event **ret);
/* Readable while events wait, or when cut off: for epoll. Stays the bus's. */
int event_subscriber_fd(struct event_subscriber *subscriber);

struct event *event_ref(struct event *event);
void event_unref(struct event *event);
void event_unrefp(struct event **event);
const char *event_attribute(const struct event *event, const char *name); /* NULL: none */
