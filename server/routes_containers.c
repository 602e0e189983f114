/* Containers: the table, and the handlers that are one call to core. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "containers_routes.h"
#include "routes.h"
#include "shapes.h"
#include "tabique/engine.h"
#include "tabique/host.h"
#include "top.h"

static int containers_inspect(struct request *request)
{
    struct error err = ERROR_INIT;
    CLEANUP_CONTAINER struct container *container = NULL;
    CLEANUP_CONTAINER_INFO struct container_info *info = NULL;
    const int r = route_container_info(request, &container, &info, &err);
    if (r < 0)
        return route_fail(request, r, &err);

    cJSON *json = shape_container_inspect(info, request_api_version(request),
                                          engine_get_options(request_engine(request))->data_dir);
    int64_t rw = 0, root_fs = 0;
    if (request_query_bool(request, "size", false) && container_size(container, &rw, &root_fs) >= 0) {
        json_add_int(json, "SizeRw", rw);
        json_add_int(json, "SizeRootFs", root_fs);
    }
    return respond_json(request, 200, json);
}

/* --- lifecycle ------------------------------------------------------------------------- */

static int containers_start(struct request *request)
{
    struct error err = ERROR_INIT;
    CLEANUP_CONTAINER struct container *container = NULL;
    const char *keys = request_query(request, "detachKeys");
    const char *length = request_header(request, "Content-Length");
    int64_t bytes = 0;
    int r = 0;

    /* "{}" and "null" are what old clients send; more is a configuration that 1.24 dropped. */
    if (length && str_to_i64(length, &bytes) >= 0 && bytes > 7)
        r = error_set(&err, EINVAL,
                      "starting container with non-empty request body was deprecated since API v1.22 and "
                      "removed in v1.24");
    if (r >= 0 && request_query(request, "checkpoint") && request_query(request, "checkpoint")[0])
        r = error_set(&err, EINVAL, "checkpoint is only supported in experimental mode");
    /* Keys that mean nothing leave the usual ones in place; attach is where they are checked. */
    if (r >= 0 && route_check_detach_keys(keys, NULL) < 0)
        keys = NULL;
    if (r >= 0)
        r = route_container(request, &container, &err);
    if (r >= 0)
        r = container_start(container, keys, &err);
    return route_done(request, r, &err, 204);
}

typedef int stop_fn(struct container *container, const char *signal, int timeout_s, struct error *err);

static int stop_with(struct request *request, stop_fn *fn)
{
    struct error err = ERROR_INIT;
    CLEANUP_CONTAINER struct container *container = NULL;
    const char *signal = request_api_version(request) >= 142 ? request_query(request, "signal") : NULL;
    int64_t timeout = -1;
    const char *text = request_query(request, "t");

    int r = route_atoi(request, "t", -1, &timeout, &err);
    /* -1 means "for ever" to Docker when asked for, which is a very long time here. */
    if (r >= 0 && text && text[0] && (timeout < 0 || timeout > INT32_MAX))
        timeout = INT32_MAX;
    if (r >= 0)
        r = route_container(request, &container, &err);
    if (r >= 0)
        r = fn(container, signal && signal[0] ? signal : NULL, (int)timeout, &err);
    return route_done(request, r, &err, 204);
}

static int stop_detached(struct request *request, void *user)
{
    return stop_with(request, container_stop);
}

static int restart_detached(struct request *request, void *user)
{
    return stop_with(request, container_restart);
}

/* These wait for the container, ten seconds and more: some dozens at once would
 * hold every worker. */
static int containers_stop(struct request *request)
{
    return route_detach(request, stop_detached);
}

static int containers_restart(struct request *request)
{
    return route_detach(request, restart_detached);
}

static int containers_kill(struct request *request)
{
    struct error err = ERROR_INIT;
    CLEANUP_CONTAINER struct container *container = NULL;
    const char *signal = request_query(request, "signal");

    int r = route_container(request, &container, &err);
    if (r >= 0)
        r = container_kill(container, signal && signal[0] ? signal : NULL, &err);
    if (r < 0 && err.code)
        error_prefix(&err, "cannot kill container: %s", request_param(request, "id"));
    return route_done(request, r, &err, 204);
}

typedef int plain_fn(struct container *container, struct error *err);

static int plainly(struct request *request, plain_fn *fn)
{
    struct error err = ERROR_INIT;
    CLEANUP_CONTAINER struct container *container = NULL;
    int r = route_container(request, &container, &err);
    if (r >= 0)
        r = fn(container, &err);
    return route_done(request, r, &err, 204);
}

static int containers_pause(struct request *request)
{
    return plainly(request, container_pause);
}

static int containers_unpause(struct request *request)
{
    return plainly(request, container_unpause);
}

static int containers_rename(struct request *request)
{
    struct error err = ERROR_INIT;
    CLEANUP_CONTAINER struct container *container = NULL;
    const char *name = request_query(request, "name");
    int r = route_container(request, &container, &err);
    if (r >= 0 && (!name || !name[0]))
        r = error_set(&err, EINVAL, "Neither old nor new names may be empty");
    if (r >= 0)
        r = container_rename(container, name, &err);
    return route_done(request, r, &err, 204);
}

static int containers_update(struct request *request)
{
    struct error err = ERROR_INIT;
    CLEANUP_CONTAINER struct container *container = NULL;
    CLEANUP_JSON cJSON *body = NULL;
    CLEANUP_STRV char **warnings = NULL;

    int r = request_json(request, 0, true, &body, &err);
    if (r >= 0 && body && !cJSON_IsObject(body))
        r = error_set(&err, EINVAL, "invalid JSON: json: cannot unmarshal %s into Go value of type "
                      "container.UpdateConfig", json_kind(body));
    if (r >= 0)
        r = route_container(request, &container, &err);
    if (r >= 0)
        r = container_update(container, body, &warnings, &err);
    if (r < 0)
        return route_fail(request, r, &err);
    cJSON *json = cJSON_CreateObject();
    json_add(json, "Warnings", warnings ? json_from_strv(warnings) : NULL);
    return respond_json(request, 200, json);
}

static int containers_remove(struct request *request)
{
    struct error err = ERROR_INIT;
    CLEANUP_CONTAINER struct container *container = NULL;
    int r = route_container(request, &container, &err);
    if (r >= 0)
        r = container_remove(container, request_query_bool(request, "v", false),
                             request_query_bool(request, "force", false),
                             request_query_bool(request, "link", false), &err);
    return route_done(request, r, &err, 204);
}

/* DELETE /containers/web/db?link=1: the link, not the container. */
static int containers_remove_link(struct request *request)
{
    struct error err = ERROR_INIT;
    CLEANUP_CONTAINER struct container *container = NULL;
    const char *id = request_param(request, "id"), *alias = request_param(request, "alias");

    if (!request_query_bool(request, "link", false))
        return respond_status_error(request, 404, "No such container: %s/%s", id, alias);
    int r = route_container(request, &container, &err);
    if (r == -ENOENT) /* to Docker the two are one name */
        error_set(&err, ENOENT, "No such container: %s/%s", id, alias);
    if (r >= 0)
        r = container_remove_link(container, alias, &err);
    return route_done(request, r, &err, 204);
}

static int prune_detached(struct request *request, void *user)
{
    static const char *const allowed[] = {"until", "label", "label!", NULL};
    struct error err = ERROR_INIT;
    CLEANUP_JSON cJSON *filters = NULL;
    CLEANUP_STRV char **labels = NULL, **ids = NULL;
    int64_t until = 0, reclaimed = 0;

    int r = request_filters(request, allowed, &filters, &err);
    if (r >= 0)
        r = filter_prune(filters, &until, &labels, &err);
    if (r >= 0)
        r = container_prune(request_engine(request), until, labels, &ids, &reclaimed, &err);
    if (r < 0)
        return route_fail(request, r, &err);
    cJSON *json = cJSON_CreateObject();
    json_add(json, "ContainersDeleted", ids && ids[0] ? json_from_strv(ids) : NULL);
    json_add_int(json, "SpaceReclaimed", reclaimed);
    return respond_json(request, 200, json);
}

static int containers_prune(struct request *request)
{
    return route_detach(request, prune_detached);
}

/* --- wait --------------------------------------------------------------------------------- */

static int wait_condition(struct request *request, enum container_wait_condition *ret, struct error *err)
{
    static const struct {
        const char *name;
        enum container_wait_condition condition;
    } conditions[] = {{"not-running", CONTAINER_WAIT_NOT_RUNNING},
                      {"next-exit", CONTAINER_WAIT_NEXT_EXIT},
                      {"removed", CONTAINER_WAIT_REMOVED}};
    const char *name = request_api_version(request) >= 130 ? request_query(request, "condition") : NULL;
    *ret = CONTAINER_WAIT_NOT_RUNNING;
    if (!name || !name[0])
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(conditions); i++) {
        if (strcmp(name, conditions[i].name) == 0) {
            *ret = conditions[i].condition;
            return 0;
        }
    }
    return error_set(err, EINVAL, "invalid condition: \"%s\"", name);
}

static int wait_detached(struct request *request, void *user)
{
    struct error err = ERROR_INIT;
    CLEANUP_CONTAINER struct container *container = NULL;
    struct container_waiter *waiter = NULL;
    CLEANUP_FREE char *failure = NULL;
    enum container_wait_condition condition;
    int status = 0;

    int r = wait_condition(request, &condition, &err);
    if (r >= 0)
        r = route_container(request, &container, &err);
    if (r >= 0)
        r = container_wait_begin(container, condition, &waiter, &err);
    if (r < 0)
        return route_fail(request, r, &err);

    /* Registered: a client that starts the container when it sees these headers
     * cannot miss its end. */
    const int begun = respond_begin(request, 200, "application/json");
    container_putp(&container); /* a reference would keep what is to be removed */
    container = NULL;
    r = container_wait_end(waiter, request_gone, request, &status, &failure, &err);
    if (begun < 0 || r == -ECANCELED) /* nobody is there to be told */
        return begun < 0 ? begun : r;

    cJSON *json = cJSON_CreateObject();
    const char *text = r < 0 ? err.message : failure;
    if (text && text[0])
        json_add_string(json_add_object(json, "Error"), "Message", text);
    else if (request_api_version(request) < 142)
        json_add_null(json, "Error");
    json_add_int(json, "StatusCode", r < 0 ? -1 : status);
    r = respond_json_line(request, json, "\n");
    return r < 0 ? r : respond_end(request);
}

static int containers_wait(struct request *request)
{
    return route_detach(request, wait_detached);
}

/* --- looking in ------------------------------------------------------------------------------ */

static int containers_top(struct request *request)
{
    struct error err = ERROR_INIT;
    CLEANUP_CONTAINER struct container *container = NULL;
    CLEANUP(process_list_unrefp) struct process_list *list = NULL;
    cJSON *json = NULL;

    int r = route_container(request, &container, &err);
    if (r >= 0)
        r = container_processes(container, 0, &list, &err);
    if (r >= 0) {
        const struct top_context context = {.now_ns = clock_real_ns(), .memory_total = route_memory_total()};
        r = top_table(list, request_query(request, "ps_args"), &context, &json, &err);
    }
    return route_json(request, r, &err, 200, json);
}

int route_terminal_size(struct request *request, uint16_t *ret_rows, uint16_t *ret_cols, struct error *err)
{
    static const struct {
        const char *key, *name;
    } sides[] = {{"h", "height"}, {"w", "width"}};
    uint16_t sizes[2];
    for (size_t i = 0; i < ARRAY_SIZE(sides); i++) {
        const char *text = request_query(request, sides[i].key);
        int64_t value = 0;
        const int r = text && text[0] ? str_to_i64(text, &value) : -EINVAL;
        if (r < 0 || value < 0 || value > UINT32_MAX)
            return error_set(err, EINVAL, "invalid resize %s \"%s\": %s", sides[i].name, text ? text : "",
                             r == -EINVAL ? "invalid syntax" : "value out of range");
        sizes[i] = (uint16_t)(value > UINT16_MAX ? UINT16_MAX : value);
    }
    *ret_rows = sizes[0];
    *ret_cols = sizes[1];
    return 0;
}

static int containers_resize(struct request *request)
{
    struct error err = ERROR_INIT;
    CLEANUP_CONTAINER struct container *container = NULL;
    uint16_t rows = 0, cols = 0;
    int r = route_terminal_size(request, &rows, &cols, &err);
    if (r >= 0)
        r = route_container(request, &container, &err);
    if (r >= 0)
        r = container_resize(container, rows, cols, &err);
    return route_done(request, r, &err, 200);
}

#define DOCKER ROUTE_DOCKER
#define DOCKER_AUDIT (ROUTE_DOCKER | ROUTE_AUDIT)
#define DOCKER_UPGRADE (ROUTE_DOCKER | ROUTE_AUDIT | ROUTE_UPGRADE)

const struct route routes_containers[] = {
    {"GET", "/containers/json", PERMISSION_VIEW, DOCKER, containers_list},
    {"POST", "/containers/create", PERMISSION_OPERATE, DOCKER_AUDIT, containers_create, "container.create"},
    {"POST", "/containers/prune", PERMISSION_OPERATE, DOCKER_AUDIT, containers_prune, "container.prune"},
    {"GET", "/containers/{id}/json", PERMISSION_VIEW, DOCKER, containers_inspect},
    {"GET", "/containers/{id}/top", PERMISSION_VIEW, DOCKER, containers_top},
    {"GET", "/containers/{id}/logs", PERMISSION_LOGS, DOCKER, containers_logs},
    {"GET", "/containers/{id}/changes", PERMISSION_VIEW, DOCKER, containers_changes},
    {"GET", "/containers/{id}/export", PERMISSION_OPERATE, DOCKER_AUDIT, containers_export, "container.export"},
    {"GET", "/containers/{id}/stats", PERMISSION_VIEW, DOCKER, containers_stats},
    {"HEAD", "/containers/{id}/archive", PERMISSION_OPERATE, DOCKER, containers_archive_head},
    {"GET", "/containers/{id}/archive", PERMISSION_OPERATE, DOCKER_AUDIT, containers_archive_get,
     "container.archive-get"},
    {"PUT", "/containers/{id}/archive", PERMISSION_OPERATE, DOCKER_AUDIT, containers_archive_put,
     "container.archive-put"},
    {"POST", "/containers/{id}/attach", PERMISSION_EXEC, DOCKER_UPGRADE, containers_attach, "container.attach"},
    {"POST", "/containers/{id}/start", PERMISSION_OPERATE, DOCKER_AUDIT, containers_start, "container.start"},
    {"POST", "/containers/{id}/stop", PERMISSION_OPERATE, DOCKER_AUDIT, containers_stop, "container.stop"},
    {"POST", "/containers/{id}/restart", PERMISSION_OPERATE, DOCKER_AUDIT, containers_restart,
     "container.restart"},
    {"POST", "/containers/{id}/kill", PERMISSION_OPERATE, DOCKER_AUDIT, containers_kill, "container.kill"},
    {"POST", "/containers/{id}/pause", PERMISSION_OPERATE, DOCKER_AUDIT, containers_pause, "container.pause"},
    {"POST", "/containers/{id}/unpause", PERMISSION_OPERATE, DOCKER_AUDIT, containers_unpause,
     "container.unpause"},
    {"POST", "/containers/{id}/rename", PERMISSION_OPERATE, DOCKER_AUDIT, containers_rename,
     "container.rename"},
    {"POST", "/containers/{id}/update", PERMISSION_OPERATE, DOCKER_AUDIT, containers_update,
     "container.update"},
    {"POST", "/containers/{id}/resize", PERMISSION_EXEC, DOCKER, containers_resize},
    {"POST", "/containers/{id}/wait", PERMISSION_VIEW, DOCKER, containers_wait},
    {"DELETE", "/containers/{id}", PERMISSION_OPERATE, DOCKER_AUDIT, containers_remove, "container.remove"},
    {"DELETE", "/containers/{id}/{alias}", PERMISSION_OPERATE, DOCKER_AUDIT, containers_remove_link, "container.remove"},
    {"POST", "/commit", PERMISSION_OPERATE, DOCKER_AUDIT, containers_commit, "container.commit"},
    {0},
};
