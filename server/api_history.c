/* What was: events, samples, lives of processes, and marks for a slider. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api_routes.h"
#include "base/clock.h"
#include "base/mem.h"
#include "routes.h"
#include "shapes.h"
#include "tabique/engine.h"
#include "tabique/event.h"
#include "tabique/host.h"
#include "tabique/store.h"

#define LIMIT_DEFAULT 200
#define LIMIT_MAX 10000
#define SAMPLES_MAX 20000
#define HOUR (3600 * NS_PER_SEC)

static struct store *store_of(struct request *request)
{
    return engine_store(request_engine(request));
}

static int range_of(struct request *request, int64_t default_span, int64_t *ret_since, int64_t *ret_until,
                    struct error *err)
{
    int r = route_time(request, "until", clock_real_ns(), ret_until, err);
    if (r >= 0)
        r = route_time(request, "since", default_span ? *ret_until - default_span : 0, ret_since, err);
    if (r >= 0 && *ret_since > *ret_until)
        r = error_set(err, EINVAL, "since is after until");
    return r;
}

/* An empty value in the query is none. */
static const char *given(struct request *request, const char *name)
{
    const char *text = request_query(request, name);
    return text && text[0] ? text : NULL;
}

/* --- events ------------------------------------------------------------------------------ */

struct event_page {
    const cJSON *filters;
    cJSON *rows;
    size_t limit, count;
    uint64_t last;
};

static int add_event(void *user, const struct event *event)
{
    struct event_page *page = user;
    if (!event_passes(event, page->filters))
        return 0;
    if (page->count == page->limit)
        return 1;
    cJSON_AddItemToArray(page->rows, shape_event_record(event));
    page->last = event->sequence;
    page->count++;
    return 0;
}

int api_events(struct request *request)
{
    static const char *const columns[] = {"sequence", "time", "type", "action", "id", "attributes", NULL};
    struct error err = ERROR_INIT;
    CLEANUP_JSON cJSON *filters = NULL;
    struct store_event_query query = {
        .type = given(request, "type"),
        .action = given(request, "action"),
        .actor_id = given(request, "id"),
        .newest_first = request_query(request, "order") && strcmp(request_query(request, "order"), "desc") == 0,
    };
    struct event_page page = {0};
    size_t limit = 0, offset = 0;
    int64_t after = 0;

    int r = request_filters(request, NULL, &filters, &err);
    if (r >= 0)
        r = range_of(request, 0, &query.since_ns, &query.until_ns, &err);
    if (r >= 0)
        r = route_paging(request, LIMIT_MAX, &limit, &offset, &err);
    if (r >= 0)
        r = route_atoi(request, "after", 0, &after, &err);
    if (r >= 0 && after < 0)
        r = error_set(&err, EINVAL, "after must not be negative");
    if (r < 0)
        return route_fail(request, r, &err);

    query.after_sequence = (uint64_t)after;
    page = (struct event_page){
        .filters = filters, .rows = cJSON_CreateArray(), .limit = limit ? limit : LIMIT_DEFAULT};
    r = store_events(store_of(request), &query, add_event, &page, &err);
    if (r < 0) {
        cJSON_Delete(page.rows);
        return route_fail(request, r, &err);
    }
    cJSON *json = cJSON_CreateObject();
    json_add(json, "events", page.rows);
    /* Goes into `after` of the next page; null: that was all. */
    if (r == 1)
        json_add_int(json, "next", (int64_t)page.last);
    else
        json_add_null(json, "next");
    return route_list(request, json, page.rows, columns);
}

/* --- samples -------------------------------------------------------------------------------- */

static int add_sample(void *user, const struct store_sample *sample)
{
    cJSON *rows = user;
    cJSON_AddItemToArray(rows, shape_sample(sample));
    return 0;
}

static int subject_of(struct request *request, const char *ref, struct api_subject *ret, struct error *err)
{
    *ret = (struct api_subject){0};
    return !ref || !ref[0] || strcmp(ref, "host") == 0 ? 0 : api_subject(request, ref, ret, err);
}

int api_samples(struct request *request)
{
    static const char *const columns[] = {"time", "spanSeconds", "cpuPercent", "cpuPercentMax", "memoryBytes",
                                          "memoryBytesMax", "netRxBytes", "netTxBytes", "blockReadBytes",
                                          "blockWriteBytes", "pids", NULL};
    struct error err = ERROR_INIT;
    struct api_subject subject = {0};
    int64_t since = 0, until = 0, step = 0;
    const char *step_text = request_query(request, "step");

    int r = subject_of(request, request_query(request, "subject"), &subject, &err);
    if (r >= 0)
        r = range_of(request, HOUR, &since, &until, &err);
    if (r >= 0 && step_text && step_text[0] && (str_to_duration(step_text, &step) < 0 || step <= 0))
        r = error_set(&err, EINVAL, "invalid step '%s'", step_text);
    if (r < 0)
        return route_fail(request, r, &err);
    /* Without a step, and whatever the step, never more rows than a chart can use. */
    if (step < (until - since) / SAMPLES_MAX)
        step = (until - since) / SAMPLES_MAX;
    if (step < NS_PER_SEC)
        step = NS_PER_SEC;

    cJSON *rows = cJSON_CreateArray();
    r = store_samples(store_of(request), subject.id, since, until, step, add_sample, rows, &err);
    if (r < 0) {
        cJSON_Delete(rows);
        return route_fail(request, r, &err);
    }
    cJSON *json = cJSON_CreateObject();
    json_add_string(json, "subject", subject.id[0] ? subject.id : "host");
    shape_add_time(json, "since", since);
    shape_add_time(json, "until", until);
    json_add(json, "samples", rows);
    return route_list(request, json, rows, columns);
}

/* --- lives of processes ------------------------------------------------------------------------ */

struct life_page {
    cJSON *rows;
    int64_t last;
    size_t count;
};

static int add_life(void *user, int64_t id, const char *side, const struct store_life *life)
{
    struct life_page *page = user;
    cJSON_AddItemToArray(page->rows, shape_life(id, side, life));
    page->last = id;
    page->count++;
    return 0;
}

int api_lives(struct request *request)
{
    static const char *const columns[] = {"id", "side", "pid", "ppid", "user", "name", "command",
                                          "startedAt", "endedAt", "containerId", NULL};
    struct error err = ERROR_INIT;
    struct api_subject side = {0}, container = {0};
    struct store_life_query query = {.search = request_query(request, "search")};
    const char *side_text = request_query(request, "side"), *container_text = request_query(request, "container");
    size_t limit = 0, offset = 0;

    int r = subject_of(request, side_text, &side, &err);
    if (r >= 0)
        r = subject_of(request, container_text, &container, &err);
    if (r >= 0)
        r = range_of(request, 0, &query.since_ns, &query.until_ns, &err);
    if (r >= 0)
        r = route_paging(request, LIMIT_MAX, &limit, &offset, &err);
    if (r >= 0)
        r = route_atoi(request, "after", 0, &query.after_id, &err);
    if (r < 0)
        return route_fail(request, r, &err);

    query.side = side_text && side_text[0] ? side.id : NULL;
    query.container_id = container.id[0] ? container.id : NULL;
    query.search = query.search && query.search[0] ? query.search : NULL;
    query.limit = limit ? limit : LIMIT_DEFAULT;
    struct life_page page = {.rows = cJSON_CreateArray()};
    r = store_lives(store_of(request), &query, add_life, &page, &err);
    if (r < 0) {
        cJSON_Delete(page.rows);
        return route_fail(request, r, &err);
    }
    cJSON *json = cJSON_CreateObject();
    json_add(json, "processes", page.rows);
    if (page.count == query.limit)
        json_add_int(json, "next", page.last);
    else
        json_add_null(json, "next");
    return route_list(request, json, page.rows, columns);
}

/* --- marks: what a time slider draws -------------------------------------------------------------- */

#define BUCKETS_DEFAULT 240
#define BUCKETS_MAX 2000
#define MARK_EVENTS_MAX 500
#define MARK_LIVES_MAX 200000

struct marks {
    int64_t since, until;
    size_t buckets;
    int *births, *deaths, *events;
    const char *container;
    cJSON *list;
    size_t listed, lives;
};

static void mark(const struct marks *marks, int *counts, int64_t time)
{
    if (time < marks->since || time > marks->until)
        return;
    const double part = (double)(time - marks->since) / (double)(marks->until - marks->since + 1);
    size_t bucket = (size_t)(part * (double)marks->buckets);
    counts[bucket < marks->buckets ? bucket : marks->buckets - 1]++;
}

static int mark_life(void *user, int64_t id, const char *side, const struct store_life *life)
{
    struct marks *marks = user;
    mark(marks, marks->births, life->process.started_ns);
    if (life->ended_ns)
        mark(marks, marks->deaths, life->ended_ns);
    marks->lives++;
    return 0;
}

static int mark_event(void *user, const struct event *event)
{
    struct marks *marks = user;
    mark(marks, marks->events, event->time_ns);
    if (marks->listed < MARK_EVENTS_MAX) {
        cJSON_AddItemToArray(marks->list, shape_event_record(event));
        marks->listed++;
    }
    return 0;
}

static cJSON *counts(const int *values, size_t count)
{
    return cJSON_CreateIntArray(values, (int)count);
}

int api_marks(struct request *request)
{
    struct error err = ERROR_INIT;
    struct api_subject container = {0};
    struct marks marks = {.buckets = BUCKETS_DEFAULT};
    int64_t buckets = BUCKETS_DEFAULT;

    int r = subject_of(request, request_query(request, "container"), &container, &err);
    if (r >= 0)
        r = range_of(request, HOUR, &marks.since, &marks.until, &err);
    if (r >= 0)
        r = route_atoi(request, "buckets", BUCKETS_DEFAULT, &buckets, &err);
    if (r >= 0 && (buckets < 1 || buckets > BUCKETS_MAX))
        r = error_set(&err, EINVAL, "buckets must be between 1 and %d", BUCKETS_MAX);
    if (r < 0)
        return route_fail(request, r, &err);

    marks.buckets = (size_t)buckets;
    marks.births = mem_array(marks.buckets, sizeof(int));
    marks.deaths = mem_array(marks.buckets, sizeof(int));
    marks.events = mem_array(marks.buckets, sizeof(int));
    marks.list = cJSON_CreateArray();
    const struct store_life_query lives = {
        .side = container.own_kernel ? container.id : NULL,
        .container_id = container.id[0] && !container.own_kernel ? container.id : NULL,
        .since_ns = marks.since,
        .until_ns = marks.until,
        .limit = MARK_LIVES_MAX,
    };
    const struct store_event_query events = {
        .since_ns = marks.since,
        .until_ns = marks.until,
        .actor_id = container.id[0] ? container.id : NULL,
        .limit = MARK_LIVES_MAX,
    };
    r = store_lives(store_of(request), &lives, mark_life, &marks, &err);
    if (r >= 0)
        r = store_events(store_of(request), &events, mark_event, &marks, &err);

    cJSON *json = NULL;
    if (r >= 0) {
        json = cJSON_CreateObject();
        shape_add_time(json, "since", marks.since);
        shape_add_time(json, "until", marks.until);
        json_add_int(json, "buckets", buckets);
        json_add_bool(json, "complete", marks.lives < MARK_LIVES_MAX);
        json_add(json, "births", counts(marks.births, marks.buckets));
        json_add(json, "deaths", counts(marks.deaths, marks.buckets));
        json_add(json, "eventCounts", counts(marks.events, marks.buckets));
        json_add(json, "events", TAKE_PTR(marks.list));
    }
    cJSON_Delete(marks.list);
    free(marks.births);
    free(marks.deaths);
    free(marks.events);
    return route_json(request, r, &err, 200, json);
}
