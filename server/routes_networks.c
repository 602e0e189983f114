/* Networks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "bodies.h"
#include "routes.h"
#include "shapes.h"
#include "tabique/engine.h"
#include "tabique/event.h"
#include "tabique/network.h"

#define NETWORK_PAIRS_MAX 1024
#define NETWORK_SUBNETS_MAX 16

static struct network_manager *manager_of(struct request *request)
{
    return engine_networks(request_engine(request));
}

static void network_drop(struct network **network)
{
    network_free(*network);
}
#define CLEANUP_NETWORK CLEANUP(network_drop)

static cJSON *labels_of(const struct network *network)
{
    cJSON *labels = cJSON_CreateObject();
    for (size_t i = 0; i < network->label_count; i++)
        json_add_string(labels, network->labels[i].name, network->labels[i].value);
    return labels;
}

/* --- list -------------------------------------------------------------------------------- */

struct list {
    const cJSON *filters;
    bool has_dangling, dangling, endpoints;
    cJSON *array;
};

static int add_network(void *user, const struct network *network)
{
    struct list *list = user;
    const cJSON *filters = list->filters;
    CLEANUP_JSON cJSON *labels = labels_of(network);

    if ((list->has_dangling && list->dangling != (network->endpoint_count == 0 && !network->builtin)) ||
        !filter_match(filters, "driver", network->driver) || !filter_match(filters, "scope", "local") ||
        !filter_match(filters, "type", network->builtin ? "builtin" : "custom") ||
        !filter_match_labels(filters, "label", labels) || !filter_match_prefix(filters, "id", network->id) ||
        !filter_match_regex(filters, "name", network->name))
        return 0;
    cJSON_AddItemToArray(list->array, shape_network(network, list->endpoints));
    return 0;
}

static int networks_list(struct request *request)
{
    static const char *const allowed[] = {"dangling", "driver", "id", "label", "name", "scope", "type", NULL};
    struct error err = ERROR_INIT;
    CLEANUP_JSON cJSON *filters = NULL;
    struct list list = {.endpoints = request_api_version(request) < 128};

    int r = request_filters(request, allowed, &filters, &err);
    if (r >= 0 && filter_bool(filters, "dangling", false, &list.dangling, NULL) < 0)
        r = error_set(&err, EINVAL, "invalid value for filter 'dangling', must be \"true\" (or \"1\"), or \"false\" (or \"0\")");
    const char *type = filter_first(filters, "type");
    if (r >= 0 && type && strcmp(type, "custom") != 0 && strcmp(type, "builtin") != 0)
        r = error_set(&err, EINVAL, "invalid filter: 'type'='%s'", type);
    if (r >= 0) {
        list.filters = filters;
        list.has_dangling = filter_values(filters, "dangling") != NULL;
        list.array = cJSON_CreateArray();
        network_each(manager_of(request), add_network, &list);
    }
    return route_json(request, r, &err, 200, list.array);
}

static int networks_inspect(struct request *request)
{
    struct error err = ERROR_INIT;
    CLEANUP_NETWORK struct network *network = NULL;
    const char *scope = request_query(request, "scope");

    const char *verbose = request_query(request, "verbose");
    bool ignored = false;
    int r = verbose && verbose[0] ? route_parse_bool("verbose", verbose, &ignored, &err) : 0;
    if (r >= 0)
        r = network_get(manager_of(request), request_param(request, "id"), &network, &err);
    if (r >= 0 && scope && scope[0] && strcmp(scope, "local") != 0)
        r = error_set(&err, ENOENT, "network %s not found", request_param(request, "id"));
    return route_json(request, r, &err, 200, r < 0 ? NULL : shape_network(network, true));
}

/* --- create ---------------------------------------------------------------------------------- */

static int read_pairs(const cJSON *object, const char *what, struct network_pair **ret, size_t *ret_count,
                      struct error *err)
{
    const cJSON *entry;
    const int size = cJSON_IsObject(object) ? cJSON_GetArraySize(object) : 0;
    if (size > NETWORK_PAIRS_MAX)
        return error_set(err, EINVAL, "too many %s", what);
    struct network_pair *pairs = mem_array((size_t)size, sizeof(*pairs));
    size_t count = 0;
    cJSON_ArrayForEach (entry, object) {
        if (!cJSON_IsString(entry)) {
            free(pairs);
            return error_set(err, EINVAL, "%s: the value of %s must be a string", what, entry->string);
        }
        /* Borrowed from the JSON, which outlives the call. */
        pairs[count++] = (struct network_pair){entry->string, entry->valuestring};
    }
    *ret = pairs;
    *ret_count = count;
    return 0;
}

static int read_subnets(const cJSON *config, bool loose, struct network_subnet *subnets, size_t *ret_count,
                        struct error *err)
{
    const cJSON *entry;
    size_t count = 0;
    cJSON_ArrayForEach (entry, config) {
        if (count == NETWORK_SUBNETS_MAX)
            return error_set(err, EINVAL, "too many subnets");
        const char *subnet = json_string(entry, "Subnet", ""), *gateway = json_string(entry, "Gateway", ""),
                   *range = json_string(entry, "IPRange", "");
        if (!subnet[0])
            return error_set(err, EINVAL, "invalid network config: invalid subnet : invalid CIDR block notation");
        subnets[count++] = (struct network_subnet){.loose = loose,
                                                   .subnet = (char *)(uintptr_t)subnet,
                                                   .gateway = gateway[0] ? (char *)(uintptr_t)gateway : NULL,
                                                   .ip_range = range[0] ? (char *)(uintptr_t)range : NULL};
        const cJSON *aux = json_get(entry, "AuxiliaryAddresses");
        if (!cJSON_IsObject(aux)) /* how the CLI's own type names them */
            aux = json_get(entry, "AuxAddress");
        const int r = read_pairs(aux, "auxiliary addresses", &subnets[count - 1].aux, &subnets[count - 1].aux_count, err);
        if (r < 0)
            return r;
    }
    *ret_count = count;
    return 0;
}

static int refuse_unserved(const cJSON *body, struct error *err)
{
    const cJSON *ipam = json_get(body, "IPAM");
    const char *ipam_driver = json_string(ipam, "Driver", "default");
    const char *scope = json_string(body, "Scope", "local");

    if (strcmp(scope, "swarm") == 0)
        return error_set(err, EPERM, "cannot create a swarm scoped network when swarm is not active");
    if (json_bool(body, "Ingress", false))
        return error_set(err, EPERM, "Ingress network can only be global scope network");
    if (ipam_driver[0] && strcmp(ipam_driver, "default") != 0)
        return error_set(err, ENOENT, "plugin \"%s\" not found", ipam_driver);
    return 0;
}

static int networks_create(struct request *request)
{
    struct error err = ERROR_INIT;
    CLEANUP_JSON cJSON *given = NULL, *body = NULL;
    struct network_subnet subnets[NETWORK_SUBNETS_MAX] = {0};
    struct network wanted = {.subnets = subnets};
    char id[65] = "";

    int r = request_json(request, 0, true, &given, &err);
    if (r >= 0)
        r = schema_complete(&body_network_create, given, "", &body, &err);
    if (r >= 0)
        r = refuse_unserved(body, &err);
    const char *name = json_string(body, "Name", ""), *driver = json_string(body, "Driver", "");
    if (r >= 0 && !name[strspn(name, " ")])
        r = error_set(&err, EINVAL, "invalid name: name is empty");
    if (r >= 0)
        r = read_pairs(json_get(body, "Labels"), "labels", &wanted.labels, &wanted.label_count, &err);
    if (r >= 0)
        r = read_pairs(json_get(body, "Options"), "options", &wanted.options, &wanted.option_count, &err);
    const cJSON *ipam_options = json_get(json_get(body, "IPAM"), "Options");
    if (r >= 0)
        r = read_pairs(ipam_options, "options", &wanted.ipam_options, &wanted.ipam_option_count, &err);
    if (r >= 0)
        r = read_subnets(json_get(json_get(body, "IPAM"), "Config"), request_api_version(request) < 144, subnets,
                         &wanted.subnet_count, &err);
    if (r >= 0) {
        wanted.name = (char *)(uintptr_t)name;
        wanted.driver = (char *)(uintptr_t)(driver[0] ? driver : "bridge");
        wanted.config_only = json_bool(body, "ConfigOnly", false);
        const char *from = json_string(json_get(body, "ConfigFrom"), "Network", "");
        wanted.config_from = from[0] ? (char *)(uintptr_t)from : NULL;
        wanted.has_ipam_options = cJSON_IsObject(ipam_options);
        /* Until 1.44 a name could be given twice, unless one asked for the check. */
        wanted.may_share_name = request_api_version(request) < 144 && !json_bool(body, "CheckDuplicate", false);
        wanted.internal = json_bool(body, "Internal", false);
        wanted.attachable = json_bool(body, "Attachable", false);
        wanted.ipv6 = json_bool(body, "EnableIPv6", false);
        int64_t mtu = 0;
        str_to_i64(json_string(json_get(body, "Options"), "com.docker.network.driver.mtu", "0"), &mtu);
        wanted.mtu = mtu > 0 && mtu <= 65535 ? (int)mtu : 0;
        r = network_create(manager_of(request), &wanted, id, &err);
    }
    for (size_t i = 0; i < NETWORK_SUBNETS_MAX; i++)
        free(subnets[i].aux);
    free(wanted.labels);
    free(wanted.options);
    free(wanted.ipam_options);
    if (r < 0)
        return route_fail(request, r, &err);

    event_publish(engine_events(request_engine(request)), "network", "create", id, "name", name, "type",
                  wanted.driver, NULL);
    cJSON *json = cJSON_CreateObject();
    json_add_string(json, "Id", id);
    json_add_string(json, "Warning", "");
    return respond_json(request, 201, json);
}

/* --- connect, disconnect, remove, prune -------------------------------------------------------- */

static int connect_body(struct request *request, const struct schema *schema, cJSON **ret_body,
                        struct container **ret, struct error *err)
{
    CLEANUP_NETWORK struct network *network = NULL;
    CLEANUP_JSON cJSON *checked = NULL;
    int r = request_json(request, 0, true, ret_body, err);
    if (r >= 0)
        r = schema_complete(schema, *ret_body, "", &checked, err);
    if (r >= 0)
        r = network_get(manager_of(request), request_param(request, "id"), &network, err);
    if (r >= 0)
        r = container_get(request_engine(request), json_string(*ret_body, "Container", ""), ret, err);
    return r;
}

static int networks_connect(struct request *request)
{
    struct error err = ERROR_INIT;
    CLEANUP_JSON cJSON *body = NULL;
    CLEANUP_CONTAINER struct container *container = NULL;
    int r = connect_body(request, &body_network_connect, &body, &container, &err);
    if (r >= 0)
        r = container_connect(container, request_param(request, "id"), json_get(body, "EndpointConfig"), &err);
    return route_done(request, r, &err, 200);
}

static int networks_disconnect(struct request *request)
{
    struct error err = ERROR_INIT;
    CLEANUP_JSON cJSON *body = NULL;
    CLEANUP_CONTAINER struct container *container = NULL;
    int r = connect_body(request, &body_network_disconnect, &body, &container, &err);
    if (r >= 0)
        r = container_disconnect(container, request_param(request, "id"), json_bool(body, "Force", false), &err);
    return route_done(request, r, &err, 200);
}

static void publish_destroyed(struct request *request, const struct network *network)
{
    event_publish(engine_events(request_engine(request)), "network", "destroy", network->id, "name",
                  network->name, "type", network->driver, NULL);
}

static int networks_remove(struct request *request)
{
    struct error err = ERROR_INIT;
    CLEANUP_NETWORK struct network *network = NULL;
    int r = network_get(manager_of(request), request_param(request, "id"), &network, &err);
    if (r >= 0)
        r = network_remove(manager_of(request), network->id, &err);
    if (r >= 0)
        publish_destroyed(request, network);
    return route_done(request, r, &err, 204);
}

struct prune {
    const cJSON *filters;
    int64_t until;
    char **ids;
};

static int note_unused(void *user, const struct network *network)
{
    struct prune *prune = user;
    CLEANUP_JSON cJSON *labels = labels_of(network);
    if (network->builtin || network->endpoint_count ||
        (prune->until && network->created_ns >= prune->until) ||
        !filter_match_labels(prune->filters, "label", labels) ||
        (filter_values(prune->filters, "label!") && filter_match_labels(prune->filters, "label!", labels)))
        return 0;
    strv_push(&prune->ids, network->id);
    return 0;
}

/* A stopped container keeps its networks, though it has no endpoint in them. */
static int keep_referenced(void *user, struct container *container)
{
    struct prune *prune = user;
    CLEANUP_CONTAINER_INFO struct container_info *info = NULL;
    if (container_info(container, &info) < 0)
        return 0;
    const cJSON *network;
    cJSON_ArrayForEach (network, json_get(info->network_settings, "Networks")) {
        const char *id = json_string(network, "NetworkID", "");
        for (char **candidate = prune->ids; candidate && *candidate; candidate++) {
            if (id[0] && strcmp(*candidate, id) == 0)
                **candidate = '\0';
        }
    }
    return 0;
}

static int networks_prune(struct request *request)
{
    static const char *const allowed[] = {"until", "label", "label!", NULL};
    struct error err = ERROR_INIT;
    CLEANUP_JSON cJSON *filters = NULL;
    CLEANUP_STRV char **labels = NULL;
    struct prune prune = {0};

    int r = request_filters(request, allowed, &filters, &err);
    if (r >= 0)
        r = filter_prune(filters, &prune.until, &labels, &err);
    if (r < 0)
        return route_fail(request, r, &err);
    prune.filters = filters;
    network_each(manager_of(request), note_unused, &prune);
    container_each(request_engine(request), keep_referenced, &prune);

    cJSON *deleted = cJSON_CreateArray(), *json = cJSON_CreateObject();
    for (char **id = prune.ids; id && *id; id++) {
        CLEANUP_NETWORK struct network *network = NULL;
        if (!**id || network_get(manager_of(request), *id, &network, NULL) < 0 ||
            network_remove(manager_of(request), *id, NULL) < 0)
            continue; /* taken into use, or gone, meanwhile */
        json_push_string(deleted, network->name);
        publish_destroyed(request, network);
    }
    strv_free(prune.ids);
    json_add(json, "NetworksDeleted", deleted->child ? deleted : NULL);
    if (!deleted->child)
        cJSON_Delete(deleted);
    return respond_json(request, 200, json);
}

#define DOCKER_AUDIT (ROUTE_DOCKER | ROUTE_AUDIT)

const struct route routes_networks[] = {
    {"GET", "/networks", PERMISSION_VIEW, ROUTE_DOCKER, networks_list},
    {"POST", "/networks/create", PERMISSION_OPERATE, DOCKER_AUDIT, networks_create, "network.create"},
    {"POST", "/networks/prune", PERMISSION_OPERATE, DOCKER_AUDIT, networks_prune, "network.prune"},
    {"GET", "/networks/{id}", PERMISSION_VIEW, ROUTE_DOCKER, networks_inspect},
    {"POST", "/networks/{id}/connect", PERMISSION_OPERATE, DOCKER_AUDIT, networks_connect, "network.connect"},
    {"POST", "/networks/{id}/disconnect", PERMISSION_OPERATE, DOCKER_AUDIT, networks_disconnect,
     "network.disconnect"},
    {"DELETE", "/networks/{id}", PERMISSION_OPERATE, DOCKER_AUDIT, networks_remove, "network.remove"},
    {0},
};
