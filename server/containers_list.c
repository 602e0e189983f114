/* GET /containers/json: Docker's filters over a snapshot of all containers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "containers_routes.h"
#include "routes.h"
#include "shapes.h"
#include "tabique/engine.h"
#include "tabique/image.h"

#define PORT_RANGES_MAX 64
#define PARENTS_MAX 128

struct port_range {
    int low, high;
    char protocol[8];
};

struct port_filter {
    struct port_range ranges[PORT_RANGES_MAX];
    size_t count;
};

struct list {
    struct request *request;
    const cJSON *filters;
    bool all, size;
    int64_t limit;
    bool has_task_filter, wants_tasks;
    char **ancestors; /* image ids */
    char before[65], since[65];    /* "" : none; before is emptied when met */
    struct port_filter publish, expose;
    cJSON *array;
    int64_t count;
};

/* --- arguments ------------------------------------------------------------------------ */

static int check_values(const cJSON *filters, const char *key, const char *const *allowed, const char *wrong,
                        const char *wrong_end, struct error *err)
{
    const cJSON *value;
    cJSON_ArrayForEach (value, filter_values(filters, key)) {
        const char *text = cJSON_IsString(value) ? value->valuestring : "";
        bool known = false;
        for (const char *const *one = allowed; *one; one++)
            known = known || strcmp(*one, text) == 0;
        if (!known)
            return error_set(err, EINVAL, "%s%s%s", wrong, text, wrong_end);
    }
    return 0;
}

static int check_exited(const cJSON *filters, struct error *err)
{
    const cJSON *value;
    cJSON_ArrayForEach (value, filter_values(filters, "exited")) {
        const char *text = cJSON_IsString(value) ? value->valuestring : "";
        int code = 0;
        if (str_to_int(text, INT32_MIN, INT32_MAX, &code) < 0)
            return error_set(err, EINVAL,
                             "invalid filter 'exited=%s': strconv.Atoi: parsing \"%s\": invalid syntax",
                             text, text);
    }
    return 0;
}

static int parse_port(const char *text, int *ret, struct error *err)
{
    int64_t number = 0;
    const int r = str_to_i64(text, &number);
    if (r < 0 && r != -ERANGE)
        return error_set(err, EINVAL, "strconv.ParseUint: parsing \"%s\": invalid syntax", text);
    if (r < 0 || number < 0 || number > 65535)
        return error_set(err, EINVAL, "strconv.ParseUint: parsing \"%s\": value out of range", text);
    *ret = (int)number;
    return 0;
}

/* "80", "80/tcp", "8000-8010/udp" */
static int parse_ports(const cJSON *filters, const char *key, struct port_filter *ret, struct error *err)
{
    const cJSON *value;
    cJSON_ArrayForEach (value, filter_values(filters, key)) {
        const char *text = cJSON_IsString(value) ? value->valuestring : "";
        if (strchr(text, ':'))
            return error_set(err, EINVAL, "filter for '%s' should not contain ':': %s", key, text);
        if (ret->count == PORT_RANGES_MAX)
            return error_set(err, EINVAL, "invalid filter '%s': too many values", key);

        struct port_range *range = &ret->ranges[ret->count];
        const size_t digits = strcspn(text, "/");
        const char *protocol = text[digits] ? text + digits + 1 : "tcp";
        CLEANUP_FREE char *numbers = mem_strndup(text, digits);
        char *dash = strchr(numbers, '-');
        if (dash)
            *dash++ = '\0';
        int r = parse_port(numbers, &range->low, err);
        if (r == 0)
            r = parse_port(dash ? dash : numbers, &range->high, err);
        if (r == 0 && (range->high < range->low || strlen(protocol) >= sizeof(range->protocol)))
            r = error_set(err, EINVAL, "invalid range specified for port: %s", text);
        if (r < 0)
            return error_prefix(err, "error while looking up for %s %s", key, text);
        snprintf(range->protocol, sizeof(range->protocol), "%s", protocol);
        ret->count++;
    }
    return 0;
}

static int resolve_container(struct request *request, const cJSON *filters, const char *key, char out[65],
                             struct error *err)
{
    const cJSON *value;
    cJSON_ArrayForEach (value, filter_values(filters, key)) {
        CLEANUP_CONTAINER struct container *container = NULL;
        int r = container_get(request_engine(request), cJSON_IsString(value) ? value->valuestring : "",
                              &container, err);
        if (r < 0)
            return r;
        snprintf(out, 65, "%s", container_id(container));
    }
    return 0;
}

static void resolve_ancestors(struct list *list)
{
    struct image_store *images = engine_images(request_engine(list->request));
    const cJSON *value;
    cJSON_ArrayForEach (value, filter_values(list->filters, "ancestor")) {
        struct image *image = NULL;
        /* An image that is not there has no descendants: no error, as in Docker. */
        if (!cJSON_IsString(value) || image_get(images, value->valuestring, &image, NULL) < 0)
            continue;
        strv_push(&list->ancestors, image->id);
        image_free(image);
    }
}

static int prepare(struct list *list, struct error *err)
{
    static const char *const states[] = {"created", "running", "paused", "restarting",
                                         "removing", "exited", "dead", NULL};
    static const char *const healths[] = {"none", "starting", "healthy", "unhealthy", NULL};
    const cJSON *filters = list->filters;

    int r = check_values(filters, "status", states, "invalid filter 'status=", "'", err);
    if (r >= 0)
        r = check_values(filters, "health", healths, "unrecognized filter value for health: ", "", err);
    if (r >= 0)
        r = check_exited(filters, err);
    if (r >= 0)
        r = parse_ports(filters, "publish", &list->publish, err);
    if (r >= 0)
        r = parse_ports(filters, "expose", &list->expose, err);
    if (r >= 0)
        r = filter_bool(filters, "is-task", false, &list->wants_tasks, err);
    if (r >= 0)
        r = resolve_container(list->request, filters, "before", list->before, err);
    if (r >= 0)
        r = resolve_container(list->request, filters, "since", list->since, err);
    if (r < 0)
        return r;
    list->has_task_filter = filter_values(filters, "is-task") != NULL;
    if (filter_values(filters, "status"))
        list->all = true;
    resolve_ancestors(list);
    return 0;
}

/* --- one container ------------------------------------------------------------------------ */

static bool has_ancestor(struct list *list, const struct container_info *info)
{
    if (!filter_values(list->filters, "ancestor"))
        return true;
    if (strv_contains(list->ancestors, info->image_id))
        return true;

    CLEANUP_FREE char *id = mem_strdup(info->image_id);
    for (int depth = 0; depth < PARENTS_MAX && id[0]; depth++) {
        struct image *image = NULL;
        if (image_get_held(engine_images(request_engine(list->request)), id, &image, NULL) < 0)
            return false;
        free(id);
        id = mem_strdup(image->parent ? image->parent : "");
        image_free(image);
        if (id[0] && strv_contains(list->ancestors, id))
            return true;
    }
    return false;
}

static bool has_volume(const cJSON *filters, const struct container_info *info)
{
    if (!filter_values(filters, "volume"))
        return true;
    for (size_t i = 0; i < info->mount_count; i++) {
        const struct container_mount *mount = &info->mounts[i];
        const char *name = mount->name && mount->name[0] ? mount->name : mount->source;
        if ((name && filter_match(filters, "volume", name)) ||
            (mount->destination && filter_match(filters, "volume", mount->destination)))
            return true;
    }
    return false;
}

static bool has_network(const cJSON *filters, const struct container_info *info)
{
    if (!filter_values(filters, "network"))
        return true;
    const cJSON *network;
    cJSON_ArrayForEach (network, json_get(info->network_settings, "Networks")) {
        const char *id = json_string(network, "NetworkID", "");
        if (filter_match(filters, "network", network->string) ||
            (id[0] && filter_match_prefix(filters, "network", id)))
            return true;
    }
    return false;
}

static bool in_ranges(const struct port_filter *filter, int port, const char *protocol)
{
    for (size_t i = 0; i < filter->count; i++) {
        const struct port_range *range = &filter->ranges[i];
        if (port >= range->low && port <= range->high && strcmp(range->protocol, protocol) == 0)
            return true;
    }
    return false;
}

/* Whether one of "80/tcp": ... is in the ranges asked for, if any are. */
static bool has_port(const struct port_filter *filter, const cJSON *ports)
{
    const cJSON *port;

    if (filter->count == 0)
        return true;
    cJSON_ArrayForEach (port, ports) {
        const size_t digits = strcspn(port->string, "/");
        CLEANUP_FREE char *number = mem_strndup(port->string, digits);
        int value = 0;
        if (str_to_int(number, 0, 65535, &value) == 0 &&
            in_ranges(filter, value, port->string[digits] ? port->string + digits + 1 : "tcp"))
            return true;
    }
    return false;
}

static bool has_exit_code(const cJSON *filters, const struct container_info *info)
{
    if (!filter_values(filters, "exited"))
        return true;
    if (info->state == CONTAINER_RUNNING || info->state == CONTAINER_PAUSED || info->started_ns == 0)
        return false;
    char text[16];
    snprintf(text, sizeof(text), "%d", info->exit_code);
    return filter_match(filters, "exited", text);
}

static bool is_wanted(const struct list *list, const struct container_info *info)
{
    const cJSON *filters = list->filters;
    CLEANUP_FREE char *slashed = mem_printf("/%s", info->name);
    const char *asked = json_string(info->host_config, "Isolation", "");

    return (filter_match_regex(filters, "name", slashed) || filter_match_regex(filters, "name", info->name)) &&
           filter_match_prefix(filters, "id", info->id) &&
           !(list->has_task_filter && list->wants_tasks) &&
           filter_match_labels(filters, "label", json_get(info->config, "Labels")) &&
           has_port(&list->publish, json_get(info->host_config, "PortBindings")) &&
           has_port(&list->expose, json_get(info->config, "ExposedPorts")) &&
           (filter_match(filters, "isolation", info->isolation) ||
            filter_match(filters, "isolation", asked[0] ? asked : "default")) &&
           has_exit_code(filters, info) &&
           filter_match(filters, "status", container_state_name(info->state)) &&
           filter_match(filters, "health", info->health_status ? info->health_status : "none") &&
           has_volume(filters, info) && has_network(filters, info);
}

/* The image's name stands only while it still names what the container runs. */
static void refresh_image(struct request *request, const struct container_info *info, cJSON *summary)
{
    if (!info->image || strcmp(info->image, info->image_id) == 0)
        return;
    struct image *image = NULL;
    const bool same = image_get(engine_images(request_engine(request)), info->image, &image, NULL) >= 0 &&
                      strcmp(image->id, info->image_id) == 0;
    image_free(image);
    if (!same)
        cJSON_ReplaceItemInObjectCaseSensitive(summary, "Image", cJSON_CreateString(info->image_id));
}

static int visit(void *user, struct container *container)
{
    struct list *list = user;

    if (list->before[0]) {
        if (strcmp(list->before, container_id(container)) == 0)
            list->before[0] = '\0';
        return 0;
    }
    if (list->since[0] && strcmp(list->since, container_id(container)) == 0)
        return 1;

    CLEANUP_CONTAINER_INFO struct container_info *info = NULL;
    if (container_info(container, &info) < 0)
        return 0; /* removed meanwhile */
    const bool running = info->state == CONTAINER_RUNNING || info->state == CONTAINER_PAUSED ||
                         info->state == CONTAINER_RESTARTING;
    if (!running && !list->all && list->limit <= 0)
        return 0;
    if (!is_wanted(list, info) || !has_ancestor(list, info))
        return 0;
    if (list->limit > 0 && list->count == list->limit)
        return 1;

    CLEANUP_JSON cJSON *summary = shape_container_summary(info, request_api_version(list->request));
    refresh_image(list->request, info, summary);
    int64_t rw = 0, root_fs = 0;
    if (list->size && container_size(container, &rw, &root_fs) >= 0) {
        if (rw) /* absent where nothing was written, as with Docker */
            json_add_int(summary, "SizeRw", rw);
        json_add_int(summary, "SizeRootFs", root_fs);
    }
    cJSON_AddItemToArray(list->array, TAKE_PTR(summary));
    list->count++;
    return 0;
}

int containers_list(struct request *request)
{
    static const char *const allowed[] = {"ancestor", "before",  "exited", "id",      "isolation",
                                          "label",    "name",    "status", "health",  "since",
                                          "volume",   "network", "is-task", "publish", "expose", NULL};
    struct error err = ERROR_INIT;
    CLEANUP_JSON cJSON *filters = NULL;
    struct list list = {
        .request = request,
        .all = request_query_bool(request, "all", false),
        .size = request_query_bool(request, "size", false),
    };
    int r = request_filters(request, allowed, &filters, &err);
    list.filters = filters;
    if (r >= 0)
        r = route_atoi(request, "limit", 0, &list.limit, &err);
    if (r >= 0)
        r = prepare(&list, &err);
    if (r >= 0) {
        list.array = cJSON_CreateArray();
        container_each(request_engine(request), visit, &list);
    }
    strv_free(list.ancestors);
    return route_json(request, r, &err, 200, list.array);
}
