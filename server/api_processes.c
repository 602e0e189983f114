/* Processes: the host's, a container's, and the two compared. */
#include <fnmatch.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api_routes.h"
#include "base/clock.h"
#include "base/mem.h"
#include "routes.h"
#include "shapes.h"
#include "tabique/compare.h"
#include "tabique/engine.h"
#include "tabique/host.h"
#include "tabique/store.h"

#define LIMIT_MAX 100000
#define SNAPSHOT_AGE (500 * NS_PER_MS)
#define CLEANUP_LIST CLEANUP(process_list_unrefp)

const char *const api_process_columns[] = {
    "pid", "ppid", "user", "name", "command", "state", "threads", "cpuPercent", "memoryBytes",
    "startedAt", "hostPid", "containerId", NULL};

/* --- choosing and sorting -------------------------------------------------------------- */

typedef int order_fn(const struct process *a, const struct process *b);

#define ORDER_NUMBER(name, member)                                            \
    static int name(const struct process *a, const struct process *b)         \
    {                                                                         \
        return (a->member > b->member) - (a->member < b->member);             \
    }
ORDER_NUMBER(by_pid, pid)
ORDER_NUMBER(by_ppid, ppid)
ORDER_NUMBER(by_cpu, cpu_percent)
ORDER_NUMBER(by_memory, memory_bytes)
ORDER_NUMBER(by_threads, threads)
ORDER_NUMBER(by_started, started_ns)

static int by_name(const struct process *a, const struct process *b)
{
    return strcasecmp(a->name, b->name);
}

static int by_user(const struct process *a, const struct process *b)
{
    return strcmp(a->user ? a->user : "", b->user ? b->user : "");
}

static int by_command(const struct process *a, const struct process *b)
{
    return strcmp(a->command ? a->command : "", b->command ? b->command : "");
}

static int by_state(const struct process *a, const struct process *b)
{
    return a->state - b->state;
}

static int by_container(const struct process *a, const struct process *b)
{
    return strcmp(a->container_id, b->container_id);
}

static const struct order {
    const char *name;
    order_fn *fn;
    bool largest_first; /* what one wants to see of it */
} orders[] = {
    {"pid", by_pid, false},           {"ppid", by_ppid, false},     {"name", by_name, false},
    {"user", by_user, false},         {"command", by_command, false}, {"state", by_state, false},
    {"cpu", by_cpu, true},            {"cpuPercent", by_cpu, true}, {"memory", by_memory, true},
    {"memoryBytes", by_memory, true}, {"threads", by_threads, true}, {"started", by_started, true},
    {"startedAt", by_started, true},  {"container", by_container, false},
};

struct selection {
    const char *filter;     /* substring of name, command, user or pid */
    const char *name;       /* whole name, * and ? allowed; any case, as get-process */
    const char *container;  /* id; "" any */
    bool none_of_container; /* container=none */
    const struct order *order;
    bool reversed;
};

static int parse_order(struct request *request, struct selection *selection, struct error *err)
{
    const char *text = request_query(request, "sort");
    selection->order = &orders[0];
    if (!text || !text[0])
        return 0;
    const bool minus = *text == '-';
    const char *name = text + (minus || *text == '+');
    for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
        if (strcmp(orders[i].name, name) == 0) {
            selection->order = &orders[i];
            selection->reversed = minus;
            return 0;
        }
    }
    return error_set(err, EINVAL, "invalid sort '%s'", text);
}

/* The filter is text, never a pattern. */
static bool contains(const char *text, const char *part)
{
    return text && strcasestr(text, part);
}

static bool is_selected(const struct selection *selection, const struct process *process)
{
    char pid[16];
    if (selection->none_of_container && process->container_id[0])
        return false;
    if (selection->container && strcmp(selection->container, process->container_id) != 0)
        return false;
    if (selection->name && fnmatch(selection->name, process->name, FNM_CASEFOLD) != 0)
        return false;
    snprintf(pid, sizeof(pid), "%d", process->pid);
    return !selection->filter || contains(process->name, selection->filter) ||
           contains(process->command, selection->filter) || contains(process->user, selection->filter) ||
           strcmp(pid, selection->filter) == 0;
}

static int compare_entries(const void *a, const void *b, void *user)
{
    const struct process *left = *(const struct process *const *)a, *right = *(const struct process *const *)b;
    const struct selection *selection = user;
    int order = selection->order->fn(left, right);
    if (selection->order->largest_first != selection->reversed)
        order = -order;
    return order ? order : by_pid(left, right);
}

/* Answers with the list: chosen, sorted, a page of it; as a tree, or CSV. */
static int answer_list(struct request *request, const struct process_list *list,
                       const struct selection *selection, bool inner, cJSON *json)
{
    struct error err = ERROR_INIT;
    size_t limit = 0, offset = 0, count = 0;
    int r = route_paging(request, LIMIT_MAX, &limit, &offset, &err);
    if (r < 0) {
        cJSON_Delete(json);
        return route_fail(request, r, &err);
    }

    const struct process **chosen = mem_array(list->count, sizeof(*chosen));
    for (size_t i = 0; i < list->count; i++) {
        if (is_selected(selection, &list->items[i]))
            chosen[count++] = &list->items[i];
    }
    struct selection order = *selection;
    qsort_r(chosen, count, sizeof(*chosen), compare_entries, &order);

    cJSON *rows = cJSON_CreateArray();
    for (size_t i = offset; i < count && (!limit || i - offset < limit); i++)
        cJSON_AddItemToArray(rows, shape_process(chosen[i], inner));
    free(chosen);
    if (request_query_bool(request, "tree", false) && !route_wants_csv(request))
        rows = shape_process_tree(rows);

    shape_add_time_or_null(json, "sampledAt", list->sampled_ns);
    json_add_int(json, "total", (int64_t)count);
    json_add(json, "processes", rows);
    return route_list(request, json, rows, api_process_columns);
}

/* --- the host ---------------------------------------------------------------------------- */

int api_subject(struct request *request, const char *ref, struct api_subject *ret, struct error *err)
{
    CLEANUP_CONTAINER struct container *container = NULL;
    const int r = container_get(request_engine(request), ref, &container, err);
    if (r < 0) {
        /* Removed containers live on in history, under their full id; what was
         * stored under that id itself came from a kernel of its own. */
        if (strlen(ref) != 64 || !str_is_hex(ref, 64))
            return r;
        if (err)
            *err = ERROR_INIT;
        *ret = (struct api_subject){0};
        snprintf(ret->id, sizeof(ret->id), "%s", ref);
        return 0;
    }
    struct compare_boundary boundary = {0};
    container_boundary(container, &boundary);
    *ret = (struct api_subject){.own_kernel = boundary.own_kernel};
    snprintf(ret->id, sizeof(ret->id), "%s", container_id(container));
    return 0;
}

/* One side's processes, now or as they were. side NULL: the host. */
static int host_list(struct request *request, int64_t at_ns, struct process_list **ret, struct error *err)
{
    struct engine *engine = request_engine(request);
    if (at_ns)
        return store_processes_at(engine_store(engine), "", at_ns, ret, err);
    return sampler_snapshot(engine_sampler(engine), SNAPSHOT_AGE, ret, err);
}

int api_host_processes(struct request *request)
{
    struct error err = ERROR_INIT;
    CLEANUP_LIST struct process_list *list = NULL;
    struct selection selection = {.filter = request_query(request, "filter"),
                                  .name = request_query(request, "name")};
    struct api_subject subject = {0};
    const char *container = request_query(request, "container");
    int64_t at = 0;

    if (selection.filter && !selection.filter[0])
        selection.filter = NULL;
    if (selection.name && !selection.name[0])
        selection.name = NULL;
    int r = parse_order(request, &selection, &err);
    if (r >= 0)
        r = route_time(request, "at", 0, &at, &err);
    if (r >= 0 && container && strcmp(container, "none") == 0) {
        selection.none_of_container = true;
    } else if (r >= 0 && container && container[0]) {
        r = api_subject(request, container, &subject, &err);
        selection.container = subject.id;
    }
    if (r >= 0)
        r = host_list(request, at, &list, &err);
    if (r < 0)
        return route_fail(request, r, &err);

    cJSON *json = cJSON_CreateObject();
    json_add_string(json, "source", at ? "history" : sampler_source(engine_sampler(request_engine(request))));
    return answer_list(request, list, &selection, false, json);
}

int api_owner(struct request *request)
{
    struct error err = ERROR_INIT;
    CLEANUP_LIST struct process_list *list = NULL;
    const char *text = request_query(request, "pid");
    int pid = 0;

    int r = text && str_to_int(text, 1, INT32_MAX, &pid) >= 0
                ? host_list(request, 0, &list, &err)
                : error_set(&err, EINVAL, "invalid pid '%s'", text ? text : "");
    const struct process *process = r >= 0 ? process_list_find(list, pid) : NULL;
    if (r >= 0 && !process)
        r = error_set(&err, ENOENT, "no such process: %d", pid);
    if (r < 0)
        return route_fail(request, r, &err);

    cJSON *json = cJSON_CreateObject();
    json_add_int(json, "pid", pid);
    json_add_string(json, "owner",
                    process->worker ? "vm" : process->container_id[0] ? "container" : "none");
    json_add(json, "process", shape_process(process, false));
    CLEANUP_CONTAINER struct container *container = NULL;
    CLEANUP_CONTAINER_INFO struct container_info *info = NULL;
    if (process->container_id[0] &&
        container_get(request_engine(request), process->container_id, &container, NULL) >= 0 &&
        container_info(container, &info) >= 0) {
        cJSON *owner = json_add_object(json, "container");
        json_add_string(owner, "id", info->id);
        json_add_string(owner, "name", info->name);
        json_add_string(owner, "image", info->image);
        json_add_string(owner, "isolation", info->isolation);
        json_add_string(owner, "state", container_state_name(info->state));
    } else {
        json_add_null(json, "container");
    }
    return respond_json(request, 200, json);
}

/* --- a container ---------------------------------------------------------------------------- */

int api_container_processes(struct request *request)
{
    struct error err = ERROR_INIT;
    CLEANUP_LIST struct process_list *list = NULL;
    struct selection selection = {.filter = request_query(request, "filter"),
                                  .name = request_query(request, "name")};
    struct api_subject subject = {0};
    int64_t at = 0;

    int r = parse_order(request, &selection, &err);
    if (r >= 0)
        r = route_time(request, "at", 0, &at, &err);
    if (r >= 0)
        r = api_subject(request, request_param(request, "id"), &subject, &err);
    if (r >= 0 && at) {
        r = store_processes_at(engine_store(request_engine(request)), subject.own_kernel ? subject.id : "",
                               at, &list, &err);
        if (!subject.own_kernel)
            selection.container = subject.id;
    } else if (r >= 0) {
        CLEANUP_CONTAINER struct container *container = NULL;
        r = route_container(request, &container, &err);
        if (r >= 0)
            r = container_processes(container, SNAPSHOT_AGE, &list, &err);
    }
    if (r < 0)
        return route_fail(request, r, &err);
    return answer_list(request, list, &selection, !subject.own_kernel, cJSON_CreateObject());
}

static void comparison_drop(struct comparison **comparison)
{
    comparison_free(*comparison);
}

int api_comparison(struct request *request)
{
    static const char *const columns[] = {
        "relation",
        "container.pid=containerPid",
        "container.ppid=containerPpid",
        "container.user=containerUser",
        "container.name=containerName",
        "container.command=containerCommand",
        "container.state=containerState",
        "container.threads=containerThreads",
        "container.cpuPercent=containerCpuPercent",
        "container.memoryBytes=containerMemoryBytes",
        "container.startedAt=containerStartedAt",
        "host.pid=hostPid",
        "host.ppid=hostPpid",
        "host.user=hostUser",
        "host.name=hostName",
        "host.command=hostCommand",
        "host.state=hostState",
        "host.threads=hostThreads",
        "host.cpuPercent=hostCpuPercent",
        "host.memoryBytes=hostMemoryBytes",
        "host.startedAt=hostStartedAt",
        NULL};
    struct error err = ERROR_INIT;
    CLEANUP_CONTAINER struct container *container = NULL;
    CLEANUP_CONTAINER_INFO struct container_info *info = NULL;
    CLEANUP(comparison_drop) struct comparison *comparison = NULL;
    struct compare_boundary boundary = {0};
    const char *scope = request_query(request, "scope");
    int64_t at = 0;

    int r = 0;
    if (scope && strcmp(scope, "container") != 0 && strcmp(scope, "host") != 0)
        r = error_set(&err, EINVAL, "invalid scope '%s': container or host", scope);
    if (r >= 0)
        r = route_time(request, "at", 0, &at, &err);
    if (r >= 0)
        r = route_container_info(request, &container, &info, &err);
    if (r >= 0)
        r = container_compare(container, scope && strcmp(scope, "host") == 0, at, &comparison, &err);
    if (r < 0)
        return route_fail(request, r, &err);
    container_boundary(container, &boundary);
    cJSON *json = shape_comparison(comparison, info, &boundary);
    return route_list(request, json, json_get(json, "rows"), columns);
}

/* --- signals ----------------------------------------------------------------------------------- */

int api_signal(struct request *request)
{
    struct error err = ERROR_INIT;
    CLEANUP_CONTAINER struct container *container = NULL;
    CLEANUP_JSON cJSON *body = NULL;
    int pid = 0, number = 0;
    int64_t started = 0;

    int r = request_json(request, 64 << 10, false, &body, &err);
    if (r >= 0 && str_to_int(request_param(request, "pid"), 1, INT32_MAX, &pid) < 0)
        r = error_set(&err, EINVAL, "invalid pid '%s'", request_param(request, "pid"));
    if (r >= 0) {
        const cJSON *signal = json_get(body, "signal");
        CLEANUP_FREE char *text = cJSON_IsNumber(signal) ? mem_printf("%d", signal->valueint)
                                                         : mem_strdup(json_string(body, "signal", ""));
        r = api_signal_number(text, &number, &err);
    }
    /* Without the start time a signal could reach whoever got the number next. */
    if (r >= 0 && time_parse(json_string(body, "startedAt", ""), &started) < 0)
        r = error_set(&err, EINVAL, "startedAt is missing: the start time names the process together with its pid");
    if (r >= 0)
        r = route_container(request, &container, &err);
    if (r >= 0)
        r = container_signal_process(container, pid, started, number, &err);
    return route_done(request, r, &err, 204);
}
