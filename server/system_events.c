/* GET /events: what was, from history, then what comes, without a gap between.
 *
 * The bus records before it delivers, so the store has every event that a
 * subscriber was ever given. Subscribing first and then reading the store from the
 * last sequence sent cannot miss one; what comes twice is known by its sequence.
 * A client too slow for its queue is cut off by the bus and goes on from the store
 * in the same way. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "routes.h"
#include "shapes.h"
#include "system_routes.h"
#include "tabique/engine.h"
#include "tabique/event.h"
#include "tabique/store.h"

#define PAGE 500

struct events {
    struct request *request;
    const cJSON *filters;
    int64_t since_ns, until_ns; /* 0: open */
    uint64_t last;              /* sequence sent, or passed over */
    struct str page;
    size_t read;
};

static void append_event(struct events *events, const struct event *event)
{
    /* A created image is an event since 1.46 only. */
    if (!event_passes(event, events->filters) ||
        (request_api_version(events->request) < 146 && strcmp(event->type, "image") == 0 &&
         strcmp(event->action, "create") == 0))
        return;
    cJSON *json = shape_event(event, request_api_version(events->request));
    CLEANUP_FREE char *text = json_print(json);
    cJSON_Delete(json);
    if (text) {
        str_append(&events->page, text);
        str_append_char(&events->page, '\n');
    }
}

static int collect(void *user, const struct event *event)
{
    struct events *events = user;
    events->read++;
    events->last = event->sequence;
    append_event(events, event);
    return 0;
}

static int send_page(struct events *events)
{
    const char *at = events->page.data, *end = at + events->page.length;
    int r = 0;
    /* A chunk each: clients parse what a chunk brings as one event. */
    for (const char *next; r >= 0 && at < end; at = next) {
        next = (const char *)memchr(at, '\n', (size_t)(end - at)) + 1;
        r = respond_write(events->request, at, (size_t)(next - at));
    }
    str_clear(&events->page);
    return r;
}

/* A page at a time, so that a slow client holds no database transaction open. */
static int catch_up(struct events *events, size_t *ret_count)
{
    struct store *store = engine_store(request_engine(events->request));
    *ret_count = 0;
    do {
        const struct store_event_query query = {.since_ns = events->since_ns,
                                                .until_ns = events->until_ns,
                                                .after_sequence = events->last,
                                                .limit = PAGE};
        events->read = 0;
        int r = store_events(store, &query, collect, events, NULL);
        if (r >= 0)
            r = send_page(events);
        if (r < 0)
            return r;
        *ret_count += events->read;
    } while (events->read == PAGE);
    return 0;
}

static bool is_over(const struct events *events)
{
    return events->until_ns && clock_real_ns() >= events->until_ns;
}

/* 0: over; -EPIPE: cut off by the bus; else an error. */
static int follow(struct events *events, struct event_subscriber *subscriber)
{
    while (!is_over(events)) {
        CLEANUP(event_unrefp) struct event *event = NULL;
        const int r = event_next(subscriber, 250, &event);
        if (request_gone(events->request))
            return -ECONNRESET;
        if (r == -ETIMEDOUT)
            continue;
        if (r < 0)
            return r;
        if (event->sequence <= events->last)
            continue;
        events->last = event->sequence;
        if (events->until_ns && event->time_ns > events->until_ns)
            return 0;
        append_event(events, event);
        if (send_page(events) < 0)
            return -ECONNRESET;
    }
    return 0;
}

static int stream(struct events *events)
{
    struct engine *engine = request_engine(events->request);
    int r;
    do {
        size_t caught_up = 0;
        struct event_subscriber *subscriber = event_subscribe(engine_events(engine), EVENT_QUEUE_DEFAULT);
        if (!subscriber)
            return -ENOMEM;
        r = catch_up(events, &caught_up);
        if (r >= 0 && !is_over(events)) {
            const uint64_t before = events->last;
            r = follow(events, subscriber);
            /* Cut off without having been given anything: the bus itself has ended. */
            if (r == -EPIPE && events->last == before && caught_up == 0)
                r = -ESHUTDOWN;
        }
        event_unsubscribe(subscriber);
    } while (r == -EPIPE);
    return r;
}

static int events_detached(struct request *request, void *user)
{
    struct error err = ERROR_INIT;
    CLEANUP_JSON cJSON *filters = NULL;
    struct events events = {.request = request};

    int r = request_filters(request, NULL, &filters, &err);
    if (r >= 0)
        r = route_time(request, "since", 0, &events.since_ns, &err);
    if (r >= 0)
        r = route_time(request, "until", 0, &events.until_ns, &err);
    if (r >= 0 && events.until_ns && events.until_ns < events.since_ns)
        r = error_set(&err, EINVAL, "`since` time (%s) cannot be after `until` time (%s)",
                      request_query(request, "since"), request_query(request, "until"));
    if (r < 0)
        return route_fail(request, r, &err);

    events.filters = filters;
    if (!events.since_ns && !events.until_ns)
        events.last = store_last_event_sequence(engine_store(request_engine(request)));
    r = respond_begin(request, 200, "application/json");
    if (r >= 0)
        r = stream(&events);
    str_free(&events.page);
    return r < 0 && r != -ESHUTDOWN ? r : respond_end(request);
}

int system_events(struct request *request)
{
    return route_detach(request, events_detached);
}
