/* /api/v1: what Docker has no word for. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "api_routes.h"
#include "base/clock.h"
#include "base/mem.h"
#include "routes.h"
#include "server_internal.h"
#include "shapes.h"
#include "tabique/engine.h"
#include "tabique/host.h"
#include "tabique/image.h"
#include "tabique/store.h"

/* --- info ---------------------------------------------------------------------------------- */

static void add_wall(cJSON *walls, const char *name, bool available, const struct engine_info *info,
                     const char *kernel, const char *accelerator, bool boundary, const char *reason)
{
    cJSON *wall = cJSON_CreateObject();
    json_add_string(wall, "name", name);
    json_add_bool(wall, "available", available);
    json_add_bool(wall, "default", strcmp(info->default_isolation, name) == 0);
    json_add_string(wall, "kernel", kernel);
    json_add_string(wall, "accelerator", accelerator);
    json_add_bool(wall, "securityBoundary", boundary);
    json_add_string(wall, "reason", reason);
    cJSON_AddItemToArray(walls, wall);
}

static int64_t own_start_ns(void)
{
    CLEANUP(process_list_unrefp) struct process_list *list = NULL;
    CLEANUP_CLOSE int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    const pid_t self = getpid();
    if (proc < 0 || process_read(proc, &self, 1, &list, NULL) < 0 || list->count != 1)
        return 0;
    return list->items[0].started_ns;
}

static int api_info(struct request *request)
{
    struct engine *engine = request_engine(request);
    const struct engine_options *options = engine_get_options(engine);
    const struct server_options *server = &request_server(request)->options;
    struct engine_info info;
    struct engine_pool machines;
    struct image_usage images;
    struct machine machine;

    engine_info(engine, &info);
    engine_pool(engine, &machines);
    image_store_usage(engine_images(engine), &images);
    route_machine(&machine);
    const int64_t started = own_start_ns();

    cJSON *json = cJSON_CreateObject();
    json_add_string(json, "id", engine_id(engine));
    json_add_int(json, "pid", getpid());
    json_add_string(json, "version", TABIQUE_VERSION);
    json_add_string(json, "apiVersion", API_VERSION_MAX_TEXT);
    json_add_string(json, "dataRoot", options->data_dir);
    json_add_string(json, "runRoot", options->run_dir);
    json_add_string(json, "socket", server->socket);
    json_add(json, "listen", json_from_strv(server->listen));
    cJSON *walls = json_add_array(json, "walls");
    add_wall(walls, "process", true, &info, "shared", NULL, false,
             "the container shares the host's kernel: namespaces, cgroups, capabilities and seccomp divide them");
    add_wall(walls, "hyperv", info.hyperv_available, &info, "own", info.accelerator, info.security_boundary,
             info.accelerator_reason);
    json_add_string(json, "accelerator", info.accelerator);
    cJSON *pool = json_add_object(json, "pool");
    json_add_int(pool, "wanted", machines.wanted);
    json_add_int(pool, "ready", machines.ready);
    json_add_int(pool, "memoryBytes", (int64_t)machines.memory_bytes);
    json_add_int(pool, "stagedBytes", (int64_t)machines.staged_bytes);
    json_add_string(json, "defaultIsolation", info.default_isolation);
    json_add_string(json, "samplerSource", sampler_source(engine_sampler(engine)));
    json_add_int(json, "sampleIntervalMs",
                 (options->sample_interval_ns ? options->sample_interval_ns : NS_PER_SEC) / NS_PER_MS);
    shape_add_time_or_null(json, "startedAt", started);
    json_add_number(json, "uptimeSeconds",
                    started ? (double)((clock_real_ns() - started) / NS_PER_MS) / 1000 : 0);

    cJSON *host = json_add_object(json, "host");
    json_add_string(host, "name", machine.name);
    json_add_string(host, "os", machine.os);
    json_add_string(host, "kernel", machine.kernel);
    json_add_string(host, "architecture", machine.architecture);
    json_add_int(host, "cpus", machine.cpus);
    json_add_int(host, "memoryBytes", (int64_t)machine.memory);
    json_add_int(host, "cgroupVersion", info.cgroup_version);
    /* Of the file system that images, layers and history are on. */
    struct statvfs disk = {0};
    if (statvfs(options->data_dir, &disk) == 0) {
        json_add_number(host, "diskBytes", (double)disk.f_blocks * (double)disk.f_frsize);
        json_add_number(host, "diskFreeBytes", (double)disk.f_bavail * (double)disk.f_frsize);
    }

    cJSON *store = json_add_object(json, "images");
    json_add_int(store, "layersBytes", images.layers);
    json_add_int(store, "compressedBytes", images.compressed);
    json_add_int(store, "disksBytes", images.disks);

    cJSON *containers = json_add_object(json, "containers");
    json_add_int(containers, "total", info.containers);
    json_add_int(containers, "running", info.running);
    json_add_int(containers, "paused", info.paused);
    json_add_int(containers, "stopped", info.stopped);
    return respond_json(request, 200, json);
}

static int api_host(struct request *request)
{
    struct host_stats stats;
    const int r = host_stats(&stats);
    struct error err = ERROR_INIT;
    struct store_sample sample;
    bool sampled = route_last_sample(request_engine(request), "", &sample);
    return route_json(request, r, &err, 200, r < 0 ? NULL : shape_host_stats(&stats, sampled ? &sample : NULL));
}

/* --- containers ------------------------------------------------------------------------------ */

/* From the recorder's samples, not by asking each shim: the list stays fast with
 * hundreds of containers, and a shim that hangs cannot hold it up. */
static cJSON *console_container(struct request *request, const struct container_info *info)
{
    struct store_sample sample;
    bool sampled = (info->state == CONTAINER_RUNNING || info->state == CONTAINER_PAUSED) &&
                   route_last_sample(request_engine(request), info->id, &sample);
    return shape_console_container(info, sampled ? &sample : NULL);
}

struct console_list {
    struct request *request;
    cJSON *rows;
    const char *isolation, *state;
};

static int add_container(void *user, struct container *container)
{
    struct console_list *list = user;
    CLEANUP_CONTAINER_INFO struct container_info *info = NULL;
    if (container_info(container, &info) < 0)
        return 0;
    if ((list->isolation && strcmp(list->isolation, info->isolation) != 0) ||
        (list->state && strcmp(list->state, container_state_name(info->state)) != 0))
        return 0;
    cJSON_AddItemToArray(list->rows, console_container(list->request, info));
    return 0;
}

static int api_containers(struct request *request)
{
    static const char *const columns[] = {"id", "name", "image", "isolation", "state", "status", "exitCode",
                                          "cpuPercent", "memoryBytes", "pids", "createdAt", "startedAt",
                                          "finishedAt", NULL};
    struct console_list list = {.request = request,
                                .rows = cJSON_CreateArray(),
                                .isolation = request_query(request, "isolation"),
                                .state = request_query(request, "state")};
    container_each(request_engine(request), add_container, &list);
    cJSON *json = cJSON_CreateObject();
    json_add(json, "containers", list.rows);
    return route_list(request, json, list.rows, columns);
}

static int api_container(struct request *request)
{
    struct error err = ERROR_INIT;
    CLEANUP_CONTAINER struct container *container = NULL;
    CLEANUP_CONTAINER_INFO struct container_info *info = NULL;
    const int r = route_container_info(request, &container, &info, &err);
    return route_json(request, r, &err, 200, r < 0 ? NULL : console_container(request, info));
}

static int api_isolation(struct request *request)
{
    struct error err = ERROR_INIT;
    CLEANUP_CONTAINER struct container *container = NULL;
    CLEANUP_JSON cJSON *body = NULL;

    int r = request_json(request, 64 << 10, false, &body, &err);
    const char *isolation = json_string(body, "isolation", "");
    if (r >= 0 && !isolation[0])
        r = error_set(&err, EINVAL, "isolation is missing: default, process or hyperv");
    if (r >= 0)
        r = route_container(request, &container, &err);
    if (r >= 0)
        r = container_set_isolation(container, isolation, json_bool(body, "restart", false), &err);
    return route_done(request, r, &err, 204);
}

const struct route routes_api[] = {
    {"GET", "/api/v1/info", PERMISSION_VIEW, 0, api_info},
    {"GET", "/api/v1/host", PERMISSION_VIEW, 0, api_host},
    {"GET", "/api/v1/host/processes", PERMISSION_VIEW, 0, api_host_processes},
    {"GET", "/api/v1/owner", PERMISSION_VIEW, 0, api_owner},
    {"GET", "/api/v1/containers", PERMISSION_VIEW, 0, api_containers},
    {"GET", "/api/v1/containers/{id}", PERMISSION_VIEW, 0, api_container},
    {"GET", "/api/v1/containers/{id}/comparison", PERMISSION_VIEW, 0, api_comparison},
    {"GET", "/api/v1/containers/{id}/files", PERMISSION_OPERATE, 0, api_container_files},
    {"GET", "/api/v1/containers/{id}/processes", PERMISSION_VIEW, 0, api_container_processes},
    {"POST", "/api/v1/containers/{id}/processes/{pid}/signal", PERMISSION_OPERATE, ROUTE_AUDIT, api_signal,
     "process.signal"},
    {"POST", "/api/v1/containers/{id}/isolation", PERMISSION_OPERATE, ROUTE_AUDIT, api_isolation,
     "container.isolation"},
    {"GET", "/api/v1/events", PERMISSION_VIEW, 0, api_events},
    {"GET", "/api/v1/history/samples", PERMISSION_VIEW, 0, api_samples},
    {"GET", "/api/v1/history/processes", PERMISSION_VIEW, 0, api_lives},
    {"GET", "/api/v1/history/marks", PERMISSION_VIEW, 0, api_marks},
    {0},
};
