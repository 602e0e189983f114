/* GET /containers/{id}/stats: one answer, or one a second. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "containers_routes.h"
#include "launch/cgroup.h"
#include "routes.h"
#include "shapes.h"
#include "tabique/engine.h"
#include "tabique/host.h"

struct reading {
    bool running;
    struct cgroup_stats stats;
    struct network_stats *networks;
    size_t network_count;
    struct host_stats host;
};

static void reading_clear(struct reading *reading)
{
    free(reading->networks);
    *reading = (struct reading){0};
}

static void take(struct container *container, struct reading *ret)
{
    struct reading reading = {0};
    /* What does not run has no statistics: an empty answer, not an error. */
    reading.running = container_stats(container, &reading.stats, &reading.networks,
                                      &reading.network_count, NULL) >= 0;
    if (reading.running && host_stats(&reading.host) < 0)
        reading.running = false;
    *ret = reading;
}

static cJSON *frame(struct request *request, struct container *container, const struct reading *now,
                    const struct reading *before)
{
    CLEANUP_CONTAINER_INFO struct container_info *info = NULL;
    struct engine_info engine;
    engine_info(request_engine(request), &engine);
    if (container_info(container, &info) < 0)
        return NULL;

    const struct stats_frame frame = {
        .id = info->id,
        .name = info->name,
        .now = {.stats = now->running ? &now->stats : NULL,
                .system_cpu_ns = now->host.cpu_total_ns,
                .cpus = now->host.cpus},
        .before = {.stats = before && before->running ? &before->stats : NULL,
                   .system_cpu_ns = before ? before->host.cpu_total_ns : 0,
                   .cpus = before ? before->host.cpus : 0},
        .networks = now->networks,
        .network_count = now->network_count,
        .cgroup_version = engine.cgroup_version == 2 ? 2 : 1,
        .host_memory = now->host.memory_total,
    };
    return shape_stats(&frame);
}

/* Until the monotonic time given, or until the client has gone. */
static bool wait_until(struct request *request, int64_t deadline_ns)
{
    for (;;) {
        const int64_t left = deadline_ns - clock_mono_ns();
        if (request_gone(request))
            return false;
        if (left <= 0)
            return true;
        const int64_t nap = left < 250 * NS_PER_MS ? left : 250 * NS_PER_MS;
        const struct timespec time = {.tv_sec = nap / NS_PER_SEC, .tv_nsec = nap % NS_PER_SEC};
        nanosleep(&time, NULL);
    }
}

static int stream(struct request *request, struct container *container)
{
    struct reading before = {0}, now = {0};
    CLEANUP_FREE char *id = mem_strdup(container_id(container));
    int64_t tick = clock_mono_ns();
    bool first = true;

    int r = respond_begin(request, 200, "application/json");
    while (r >= 0) {
        CLEANUP_CONTAINER struct container *still_there = NULL;
        if (container_get(request_engine(request), id, &still_there, NULL) < 0)
            break;
        take(container, &now);
        cJSON *json = frame(request, container, &now, first ? NULL : &before);
        r = json ? respond_json_line(request, json, "\n") : -EPIPE;
        reading_clear(&before);
        before = now;
        now = (struct reading){0};
        first = false;
        tick += NS_PER_SEC;
        if (r >= 0 && !wait_until(request, tick))
            r = -EPIPE;
    }
    reading_clear(&before);
    return r < 0 ? r : respond_end(request);
}

static int stats_detached(struct request *request, void *user)
{
    struct error err = ERROR_INIT;
    CLEANUP_CONTAINER struct container *container = NULL;
    int r = route_container(request, &container, &err);
    if (r < 0)
        return route_fail(request, r, &err);
    const bool one_shot = request_api_version(request) >= 141 && request_query_bool(request, "one-shot", false);
    if (request_query_bool(request, "stream", true)) {
        if (!one_shot)
            return stream(request, container);
        r = error_set(&err, EINVAL, "cannot have stream=true and one-shot=true");
        return route_fail(request, r, &err);
    }
    struct reading before = {0}, now = {0};
    take(container, &now);
    if (!one_shot && now.running) {
        before = now;
        if (!wait_until(request, clock_mono_ns() + NS_PER_SEC)) {
            reading_clear(&before);
            return -EPIPE;
        }
        take(container, &now);
    }
    cJSON *json = frame(request, container, &now, before.running ? &before : NULL);
    reading_clear(&before);
    reading_clear(&now);
    return json ? respond_json(request, 200, json)
                : respond_status_error(request, 500, "no statistics of container %s",
                                       request_param(request, "id"));
}

int containers_stats(struct request *request)
{
    return route_detach(request, stats_detached);
}
