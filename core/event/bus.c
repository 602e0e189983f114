/* bus.c - the bus: order, memory, delivery. Owner: event.
 *
 * An event must be remembered (the sink) before it is seen, and both in the
 * order of sequence numbers: a reader that takes history first and then the
 * live stream, dropping what it has, must not find number 6 in history while 5
 * is still on its way. Calling the sink under one lock would give that, and
 * make every publisher pay for a disk's answer one after the other. So
 * publishers combine: each queues its event; the first becomes the flusher and
 * takes all that is queued to the sink at once, then to the subscribers, until
 * nothing is left; the others wait for theirs to be done. One disk write serves
 * all that came meanwhile.
 */
#include "tabique/event.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "event_internal.h"

#define BATCH_MAX 256

struct event_subscriber {
    struct event_bus *bus;
    struct event_subscriber *next, *previous;
    struct event **queue; /* a ring */
    size_t size, head, count;
    bool cut_off;
    int fd;
    pthread_cond_t arrived;
};

struct waiting {
    struct waiting *next;
    struct event *event;
};

struct event_bus {
    pthread_mutex_t lock;
    pthread_cond_t flushed;
    uint64_t sequence;  /* last given out */
    uint64_t delivered; /* last seen by subscribers */
    bool flushing;
    struct waiting *first, **last;
    int64_t last_time_ns;
    int64_t began_ns;
    struct event_subscriber *subscribers;
    event_sink_fn *sink;
    event_batch_fn *batch;
    void *sink_user;
    bool closed;
};

struct event_bus *event_bus_new(uint64_t last_sequence)
{
    struct event_bus *bus = mem_new(struct event_bus);

    pthread_mutex_init(&bus->lock, NULL);
    pthread_cond_init(&bus->flushed, NULL);
    bus->sequence = bus->delivered = last_sequence;
    bus->last = &bus->first;
    bus->began_ns = clock_real_ns();
    return bus;
}

static void cut_off(struct event_subscriber *subscriber)
{
    subscriber->cut_off = true;
    eventfd_write(subscriber->fd, 1);
    pthread_cond_broadcast(&subscriber->arrived);
}

void event_bus_close(struct event_bus *bus)
{
    pthread_mutex_lock(&bus->lock);
    bus->closed = true;
    for (struct event_subscriber *s = bus->subscribers; s; s = s->next)
        cut_off(s);
    pthread_mutex_unlock(&bus->lock);
}

void event_bus_free(struct event_bus *bus)
{
    if (!bus)
        return;
    event_bus_close(bus);
    /* The last to leave closes the door: a subscriber still refers to the bus. */
    pthread_mutex_lock(&bus->lock);
    while (bus->subscribers)
        pthread_cond_wait(&bus->flushed, &bus->lock);
    pthread_mutex_unlock(&bus->lock);
    pthread_cond_destroy(&bus->flushed);
    pthread_mutex_destroy(&bus->lock);
    free(bus);
}

static void set_sink(struct event_bus *bus, event_sink_fn *sink, event_batch_fn *batch, void *user)
{
    pthread_mutex_lock(&bus->lock);
    while (bus->flushing)
        pthread_cond_wait(&bus->flushed, &bus->lock);
    bus->sink = sink;
    bus->batch = batch;
    bus->sink_user = user;
    pthread_mutex_unlock(&bus->lock);
}

void event_bus_set_sink(struct event_bus *bus, event_sink_fn *fn, void *user)
{
    set_sink(bus, fn, NULL, user);
}

void event_bus_set_batch_sink(struct event_bus *bus, event_batch_fn *fn, void *user)
{
    set_sink(bus, NULL, fn, user);
}

/* --- publishing --------------------------------------------------------------------- */

static void deliver(struct event_bus *bus, struct event *event)
{
    for (struct event_subscriber *s = bus->subscribers; s; s = s->next) {
        if (s->cut_off)
            continue;
        if (s->count == s->size) {
            cut_off(s);
            continue;
        }
        s->queue[(s->head + s->count) % s->size] = event_ref(event);
        if (s->count++ == 0)
            eventfd_write(s->fd, 1);
        pthread_cond_signal(&s->arrived);
    }
    bus->delivered = event->sequence;
}

/* Called with the lock held; lets go of it for the sink. */
static void flush_batch(struct event_bus *bus)
{
    struct event *events[BATCH_MAX];
    size_t count = 0;

    while (bus->first && count < BATCH_MAX) {
        struct waiting *waiting = bus->first;
        bus->first = waiting->next;
        if (!bus->first)
            bus->last = &bus->first;
        events[count++] = waiting->event; /* `waiting` is on its publisher's stack */
    }
    pthread_mutex_unlock(&bus->lock);
    if (bus->batch) {
        bus->batch(bus->sink_user, (const struct event *const *)events, count);
    } else if (bus->sink) {
        for (size_t i = 0; i < count; i++)
            bus->sink(bus->sink_user, events[i]);
    }
    pthread_mutex_lock(&bus->lock);
    for (size_t i = 0; i < count; i++) {
        deliver(bus, events[i]);
        event_unref(events[i]);
    }
    pthread_cond_broadcast(&bus->flushed);
}

void event_publish_list(struct event_bus *bus, const char *type, const char *action,
                        const char *actor_id, const struct event_attribute *attributes,
                        size_t count)
{
    event_publish_list_at(bus, 0, type, action, actor_id, attributes, count);
}

void event_publish_list_at(struct event_bus *bus, int64_t time_ns, const char *type,
                           const char *action, const char *actor_id,
                           const struct event_attribute *attributes, size_t count)
{
    struct event *event = event__new(0, type, action, actor_id, attributes, count);
    struct waiting waiting = {.event = event};

    pthread_mutex_lock(&bus->lock);
    uint64_t sequence = event->sequence = ++bus->sequence;
    /* Time goes with the sequence, so that a page by time and one by number
     * have the same order even when the clock is set back a little. What happened
     * while there was no server keeps its own time: older than all that follows. */
    if (time_ns > 0 && time_ns < bus->began_ns) {
        event->time_ns = time_ns;
    } else {
        event->time_ns = clock_real_ns();
        if (event->time_ns <= bus->last_time_ns && bus->last_time_ns - event->time_ns < NS_PER_SEC)
            event->time_ns = bus->last_time_ns + 1;
        bus->last_time_ns = event->time_ns;
    }
    *bus->last = &waiting;
    bus->last = &waiting.next;

    if (bus->flushing) {
        while (bus->delivered < sequence)
            pthread_cond_wait(&bus->flushed, &bus->lock);
    } else {
        bus->flushing = true;
        while (bus->first)
            flush_batch(bus);
        bus->flushing = false;
        pthread_cond_broadcast(&bus->flushed);
    }
    pthread_mutex_unlock(&bus->lock);
}

void event_publish(struct event_bus *bus, const char *type, const char *action,
                   const char *actor_id, ...)
{
    struct event_attribute attributes[64];
    size_t count = 0;
    va_list args;

    va_start(args, actor_id);
    for (const char *name; count < ARRAY_SIZE(attributes) && (name = va_arg(args, const char *));) {
        const char *value = va_arg(args, const char *);
        attributes[count++] =
            (struct event_attribute){.name = (char *)name, .value = (char *)value};
    }
    va_end(args);
    event_publish_list(bus, type, action, actor_id, attributes, count);
}

/* --- subscribing ---------------------------------------------------------------------- */

struct event_subscriber *event_subscribe(struct event_bus *bus, size_t queue_size)
{
    struct event_subscriber *subscriber = mem_new(struct event_subscriber);
    pthread_condattr_t attributes;

    subscriber->bus = bus;
    subscriber->size = queue_size ? queue_size : EVENT_QUEUE_DEFAULT;
    subscriber->queue = mem_array(subscriber->size, sizeof(*subscriber->queue));
    subscriber->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&subscriber->arrived, &attributes);
    pthread_condattr_destroy(&attributes);

    pthread_mutex_lock(&bus->lock);
    subscriber->next = bus->subscribers;
    if (subscriber->next)
        subscriber->next->previous = subscriber;
    bus->subscribers = subscriber;
    /* Out of descriptors: its owner could not wait for it, so it is told at once. */
    if (bus->closed || subscriber->fd < 0)
        cut_off(subscriber);
    pthread_mutex_unlock(&bus->lock);
    return subscriber;
}

size_t event_subscribers(struct event_bus *bus)
{
    size_t count = 0;

    pthread_mutex_lock(&bus->lock);
    for (const struct event_subscriber *each = bus->subscribers; each; each = each->next)
        count++;
    pthread_mutex_unlock(&bus->lock);
    return count;
}

void event_unsubscribe(struct event_subscriber *subscriber)
{
    if (!subscriber)
        return;
    struct event_bus *bus = subscriber->bus;

    pthread_mutex_lock(&bus->lock);
    if (subscriber->previous)
        subscriber->previous->next = subscriber->next;
    else
        bus->subscribers = subscriber->next;
    if (subscriber->next)
        subscriber->next->previous = subscriber->previous;
    pthread_cond_broadcast(&bus->flushed);
    pthread_mutex_unlock(&bus->lock);

    for (size_t i = 0; i < subscriber->count; i++)
        event_unref(subscriber->queue[(subscriber->head + i) % subscriber->size]);
    free(subscriber->queue);
    cleanup_close(&subscriber->fd);
    pthread_cond_destroy(&subscriber->arrived);
    free(subscriber);
}

static struct timespec deadline_in(int timeout_ms)
{
    int64_t at = clock_mono_ns() + timeout_ms * NS_PER_MS;

    return (struct timespec){.tv_sec = at / NS_PER_SEC, .tv_nsec = at % NS_PER_SEC};
}

int event_next(struct event_subscriber *subscriber, int timeout_ms, struct event **ret)
{
    struct timespec deadline = deadline_in(timeout_ms < 0 ? 0 : timeout_ms);
    int r = 0;

    pthread_mutex_lock(&subscriber->bus->lock);
    while (subscriber->count == 0 && !subscriber->cut_off && r == 0) {
        if (timeout_ms < 0)
            pthread_cond_wait(&subscriber->arrived, &subscriber->bus->lock);
        else if (pthread_cond_timedwait(&subscriber->arrived, &subscriber->bus->lock, &deadline) ==
                 ETIMEDOUT)
            r = -ETIMEDOUT;
    }
    /* What was queued before the cut is whole and in order: it is still given. */
    if (subscriber->count > 0) {
        *ret = subscriber->queue[subscriber->head];
        subscriber->head = (subscriber->head + 1) % subscriber->size;
        if (--subscriber->count == 0 && !subscriber->cut_off) {
            eventfd_t ignored;
            eventfd_read(subscriber->fd, &ignored);
        }
        r = 0;
    } else if (subscriber->cut_off) {
        r = -EPIPE;
    }
    pthread_mutex_unlock(&subscriber->bus->lock);
    return r;
}

int event_subscriber_fd(struct event_subscriber *subscriber)
{
    return subscriber->fd;
}
