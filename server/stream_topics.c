/* stream_topics.c - where the rows of live streams come from; see stream.h.
 *
 * All process lists come from the engine's one sampler, which reads /proc at
 * most once an interval for everybody; charts and lists come from the recorder's
 * samples. A row is shaped and encoded only when what it is made of has changed.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "routes.h"
#include "shapes.h"
#include "stream.h"
#include "tabique/compare.h"
#include "tabique/container.h"
#include "tabique/engine.h"
#include "tabique/error.h"
#include "tabique/host.h"
#include "tabique/store.h"

static uint64_t mix(uint64_t hash, const void *data, size_t length)
{
    const unsigned char *at = data;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ at[i]) * UINT64_C(1099511628211);
    return hash;
}

/* Of the fields that shape_process() shows. */
static uint64_t signature(uint64_t hash, const struct process *process)
{
    if (process == NULL)
        return mix(hash, "-", 1);
    int64_t numbers[] = {process->pid,
                         process->ppid,
                         process->inner_pid,
                         process->inner_ppid,
                         (int64_t)process->start_ticks,
                         process->started_ns,
                         process->state,
                         process->threads,
                         (int64_t)(process->cpu_percent * 100 + 0.5),
                         (int64_t)process->memory_bytes,
                         (int64_t)process->pss_bytes,
                         (int64_t)process->io_read_bytes,
                         (int64_t)process->io_write_bytes,
                         process->worker,
                         process->kernel_thread};
    hash = mix(hash, numbers, sizeof(numbers));
    hash = mix(hash, process->name, strlen(process->name) + 1);
    if (process->command != NULL)
        hash = mix(hash, process->command, strlen(process->command) + 1);
    if (process->user != NULL)
        hash = mix(hash, process->user, strlen(process->user) + 1);
    return mix(hash, process->container_id, strlen(process->container_id));
}

#define SIGNATURE_START UINT64_C(14695981039346656037)

static void add_processes(struct fresh *fresh, const struct process_list *list, bool inner)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct process *process = &list->items[i];
        char key[STREAM_KEY_MAX];
        snprintf(key, sizeof(key), "%d-%llu", process->pid,
                 (unsigned long long)process->start_ticks);
        uint64_t sign = signature(SIGNATURE_START, process);
        if (!fresh_known(fresh, key, sign))
            fresh_row(fresh, key, sign, shape_process(process, inner));
    }
}

static void add_sampled_at(struct fresh *fresh, int64_t sampled_ns)
{
    cJSON *json = cJSON_CreateObject();
    shape_add_time_or_null(json, "sampledAt", sampled_ns);
    fresh_moment(fresh, json);
}

/* A list somewhat younger than the interval serves all who ask in it. */
static int64_t max_age(const struct topic *topic, const struct fresh *fresh)
{
    return fresh->urgent ? 20 * NS_PER_MS : topic->interval_ns * 9 / 10;
}

static int get_container(struct hub *hub, struct topic *topic, struct container **ret,
                         struct error *err)
{
    return container_get(hub->engine, topic->container, ret, err);
}

static int collect_processes(struct hub *hub, struct topic *topic, struct fresh *fresh,
                             struct error *err)
{
    CLEANUP_CONTAINER struct container *container = NULL;
    CLEANUP(process_list_unrefp) struct process_list *list = NULL;
    int r = get_container(hub, topic, &container, err);
    if (r < 0)
        return r;
    struct compare_boundary boundary = {0};
    container_boundary(container, &boundary);
    /* Not running is a state like others: no rows. */
    r = container_processes(container, max_age(topic, fresh), &list, NULL);
    cJSON *head = cJSON_CreateObject();
    json_add_string(head, "container", topic->container);
    json_add_bool(head, "running", r >= 0);
    fresh_head(fresh, head);
    if (r < 0)
        return 0;
    add_sampled_at(fresh, list->sampled_ns);
    add_processes(fresh, list, !boundary.own_kernel);
    return 0;
}

static int collect_host(struct hub *hub, struct topic *topic, struct fresh *fresh,
                        struct error *err)
{
    CLEANUP(process_list_unrefp) struct process_list *list = NULL;
    int r = sampler_snapshot(engine_sampler(hub->engine), max_age(topic, fresh), &list, err);
    if (r < 0)
        return r;
    add_sampled_at(fresh, list->sampled_ns);
    add_processes(fresh, list, false);
    return 0;
}

static void side_key(char out[STREAM_KEY_MAX / 2], char side, const struct process *process)
{
    if (process == NULL)
        out[0] = '\0';
    else
        snprintf(out, STREAM_KEY_MAX / 2, "%c%d-%llu", side, process->pid,
                 (unsigned long long)process->start_ticks);
}

static int collect_comparison(struct hub *hub, struct topic *topic, struct fresh *fresh,
                              struct error *err)
{
    CLEANUP_CONTAINER struct container *container = NULL;
    CLEANUP_CONTAINER_INFO struct container_info *info = NULL;
    CLEANUP(comparison_freep) struct comparison *comparison = NULL;
    int r = get_container(hub, topic, &container, err);
    if (r < 0)
        return r;
    r = container_info(container, &info);
    if (r < 0)
        return error_errno(err, -r, "container %s", topic->container);
    r = container_compare(container, topic->whole_host, topic->at_ns, &comparison, err);
    if (r < 0)
        return r;
    struct compare_boundary boundary = {0};
    container_boundary(container, &boundary);
    bool shared_kernel = !boundary.own_kernel;

    /* Everything but the rows by the one shape; those by themselves. */
    struct comparison frame = *comparison;
    frame.count = 0;
    cJSON *head = shape_comparison(&frame, info, &boundary);
    cJSON_DeleteItemFromObjectCaseSensitive(head, "rows");
    cJSON *moment = cJSON_CreateObject();
    json_add(moment, "sampledAt", cJSON_DetachItemFromObjectCaseSensitive(head, "sampledAt"));
    json_add_string(head, "scope", topic->whole_host ? "host" : "container");
    fresh_head(fresh, head);
    fresh_moment(fresh, moment);
    for (size_t i = 0; i < comparison->count; i++) {
        const struct compare_row *row = &comparison->rows[i];
        char key[STREAM_KEY_MAX], left[STREAM_KEY_MAX / 2], right[STREAM_KEY_MAX / 2];
        side_key(left, 'c', row->container);
        side_key(right, 'h', row->host);
        snprintf(key, sizeof(key), "%s%s", left, right);
        uint64_t sign = mix(SIGNATURE_START, &row->relation, sizeof(row->relation));
        sign = signature(signature(sign, row->container), row->host);
        if (fresh_known(fresh, key, sign))
            continue;
        cJSON *json = cJSON_CreateObject();
        json_add_string(json, "relation", compare_relation_name(row->relation));
        json_add(json, "container",
                 row->container != NULL ? shape_process(row->container, shared_kernel) : NULL);
        json_add(json, "host", row->host != NULL ? shape_process(row->host, false) : NULL);
        fresh_row(fresh, key, sign, json);
    }
    return 0;
}

/* Of a container, or of the host. */
static int collect_stats(struct hub *hub, struct topic *topic, struct fresh *fresh,
                         struct error *err)
{
    struct store_sample sample;
    if (topic->container[0] != '\0') {
        CLEANUP_CONTAINER struct container *container = NULL;
        int r = get_container(hub, topic, &container, err);
        if (r < 0)
            return r;
    }
    cJSON *head = cJSON_CreateObject();
    json_add_string(head, "container", topic->container[0] != '\0' ? topic->container : NULL);
    bool sampled = route_last_sample(hub->engine, topic->container, &sample);
    json_add(head, "sample", sampled ? shape_sample(&sample) : NULL);
    if (topic->container[0] == '\0') {
        struct host_stats stats;
        if (host_stats(&stats) >= 0)
            json_add(head, "host", shape_host_stats(&stats, sampled ? &sample : NULL));
    }
    fresh_head(fresh, head);
    return 0;
}

struct listing {
    struct hub *hub;
    struct fresh *fresh;
};

static int add_container(void *user, struct container *container)
{
    struct listing *listing = user;
    CLEANUP_CONTAINER_INFO struct container_info *info = NULL;
    if (container_info(container, &info) < 0)
        return 0;
    struct store_sample sample;
    bool running = info->state == CONTAINER_RUNNING || info->state == CONTAINER_PAUSED;
    bool sampled = running && route_last_sample(listing->hub->engine, info->id, &sample);
    fresh_row(listing->fresh, info->id, 0, shape_console_container(info, sampled ? &sample : NULL));
    return 0;
}

static int collect_containers(struct hub *hub, struct topic *topic, struct fresh *fresh,
                              struct error *err)
{
    struct listing listing = {hub, fresh};
    (void)topic;
    (void)err;
    return container_each(hub->engine, add_container, &listing);
}

static const struct topic_type types[] = {
    {"processes", true, 1000, "rows", collect_processes},
    {"host-processes", false, 1000, "rows", collect_host},
    {"comparison", true, 1000, "rows", collect_comparison},
    {"stats", false, 1000, NULL, collect_stats},
    {"containers", false, 2000, "rows", collect_containers},
    {"events", false, 60000, NULL, NULL},
};

const struct topic_type *topic_type_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if (strcmp(types[i].name, name) == 0)
            return &types[i];
    return NULL;
}
