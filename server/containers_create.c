/* POST /containers/create: what older and newer clients mean by the same body. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "containers_routes.h"
#include "routes.h"

static void drop(cJSON *object, const char *key)
{
    cJSON *item = json_get(object, key);
    if (item)
        cJSON_Delete(cJSON_DetachItemViaPointer(object, item));
}

static const char *network_name(const cJSON *body)
{
    const char *mode = json_string(json_get(body, "HostConfig"), "NetworkMode", "");
    return mode[0] == '\0' || strcmp(mode, "default") == 0 ? "bridge" : mode;
}

static cJSON *child_object(cJSON *object, const char *key)
{
    cJSON *child = json_get(object, key);
    if (cJSON_IsObject(child))
        return child;
    drop(object, key);
    return json_add_object(object, key);
}

/* Config.MacAddress belongs to the container's first network since 1.44. */
static int move_mac_address(cJSON *body, int version, char ***warnings, struct error *err)
{
    CLEANUP_FREE char *mac = mem_strdup(json_string(body, "MacAddress", ""));
    cJSON *mac_item = json_get(body, "MacAddress");
    if (!mac[0] || !cJSON_IsString(mac_item))
        return 0;

    const char *network = network_name(body);
    const bool private_network = strcmp(network, "host") != 0 && strcmp(network, "none") != 0 &&
                                 !str_starts(network, "container:");
    if (!private_network) {
        if (version < 144)
            return error_set(err, EINVAL, "conflicting options: mac-address and the network mode");
        return 0;
    }
    cJSON *endpoints = child_object(child_object(body, "NetworkingConfig"), "EndpointsConfig");
    cJSON *endpoint = json_get(endpoints, "default");
    if (!endpoint || strcmp(network, "bridge") != 0)
        endpoint = child_object(endpoints, network);
    const char *own = json_string(endpoint, "MacAddress", "");
    if (own[0] && !str_equal_nocase(own, mac) && version >= 144)
        return error_set(err, EINVAL,
                         "the container-wide MAC address must match the endpoint-specific MAC address for "
                         "the main network, or be left empty");
    drop(endpoint, "MacAddress");
    json_add_string(endpoint, "MacAddress", mac);
    if (version < 144) /* inspected, too, under both names */
        return 0;
    drop(body, "MacAddress");
    strv_push(warnings, "The container-wide MacAddress field is now deprecated. It should be specified "
                            "in EndpointsConfig instead.");
    return 0;
}

/* Options that came with later versions are left out for older clients, or named where
 * leaving them out would weaken what was asked for. */
static int adapt_mount(cJSON *mount, int version, struct error *err)
{
    static const struct {
        const char *key, *type;
    } options[] = {{"VolumeOptions", "volume"}, {"BindOptions", "bind"}, {"TmpfsOptions", "tmpfs"}};
    const char *type = json_string(mount, "Type", "");

    for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
        if (version >= 142 && cJSON_IsObject(json_get(mount, options[i].key)) && strcmp(type, options[i].type) != 0)
            return error_set(err, EINVAL, "%s must not be specified on mount type \"%s\"", options[i].key, type);
    }
    cJSON *bind = json_get(mount, "BindOptions");
    if (version < 140)
        drop(bind, "NonRecursive");
    if (version < 142)
        drop(bind, "CreateMountpoint");
    if (version < 144 && json_bool(bind, "ReadOnlyForceRecursive", false))
        return error_set(err, EINVAL, "BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer");
    if (version < 145 && json_string(json_get(mount, "VolumeOptions"), "Subpath", "")[0])
        return error_set(err, EINVAL, "VolumeOptions.Subpath needs API v1.45 or newer");
    if (version < 148 && strcmp(type, "image") == 0)
        return error_set(err, EINVAL, "Mount type \"Image\" needs API v1.48 or newer");
    return 0;
}

static int check_endpoints(const cJSON *body, struct error *err)
{
    const cJSON *endpoints = json_get(json_get(body, "NetworkingConfig"), "EndpointsConfig");
    if (cJSON_GetArraySize(endpoints) < 2)
        return 0;
    CLEANUP_STR struct str names = STR_INIT;
    const cJSON *endpoint;
    cJSON_ArrayForEach (endpoint, endpoints)
        str_printf(&names, "%s%s", names.length ? ", " : "", endpoint->string);
    return error_set(err, EINVAL, "Container cannot be created with multiple network endpoints: %s",
                     names.data);
}

/* A port published without a binding gets one to any address and port. */
static void fill_port_bindings(cJSON *host_config)
{
    cJSON *bindings = json_get(host_config, "PortBindings");
    cJSON *port;
    cJSON_ArrayForEach (port, bindings) {
        if (!cJSON_IsArray(port) && !cJSON_IsNull(port))
            continue;
        if (port->child)
            continue;
        cJSON *binding = cJSON_CreateObject();
        json_add_string(binding, "HostIp", "");
        json_add_string(binding, "HostPort", "");
        port->type = cJSON_Array;
        cJSON_AddItemToArray(port, binding);
    }
}

static int adapt(cJSON *body, int version, char ***warnings, struct error *err)
{
    cJSON *host_config = child_object(body, "HostConfig");
    cJSON *mounts = json_get(host_config, "Mounts");
    int r = 0;

    if (version < 140 && !json_string(host_config, "IpcMode", "")[0]) {
        drop(host_config, "IpcMode");
        json_add_string(host_config, "IpcMode", "shareable");
    }
    if (version < 142)
        drop(host_config, "ConsoleSize");
    cJSON *mount;
    cJSON_ArrayForEach (mount, mounts) {
        r = adapt_mount(mount, version, err);
        if (r < 0)
            return r;
    }
    if (r >= 0 && version < 143)
        drop(host_config, "Annotations");
    if (version < 144) {
        drop(json_get(body, "Healthcheck"), "StartInterval");
        r = check_endpoints(body, err);
    }
    if (r >= 0 && version < 148) {
        cJSON *endpoint;
        cJSON_ArrayForEach (endpoint, json_get(json_get(body, "NetworkingConfig"), "EndpointsConfig"))
            drop(endpoint, "GwPriority");
    }
    if (r >= 0)
        r = move_mac_address(body, version, warnings, err);
    if (r < 0)
        return r;
    fill_port_bindings(host_config);
    const cJSON *pids = json_get(host_config, "PidsLimit");
    if (cJSON_IsNumber(pids) && pids->valuedouble <= 0)
        drop(host_config, "PidsLimit");
    return 0;
}

/* HostConfig and NetworkingConfig alone configure no container. */
static bool has_config(const cJSON *body)
{
    const cJSON *item;
    cJSON_ArrayForEach (item, body) {
        if (!str_equal_nocase(item->string, "HostConfig") && !str_equal_nocase(item->string, "NetworkingConfig"))
            return true;
    }
    return false;
}

int containers_create(struct request *request)
{
    struct error err = ERROR_INIT;
    CLEANUP_JSON cJSON *body = NULL;
    CLEANUP_STRV char **warnings = NULL, **more = NULL;
    char id[65] = "";

    int r = request_json(request, 0, false, &body, &err);
    if (r >= 0 && !cJSON_IsObject(body))
        r = error_set(&err, EINVAL, "invalid JSON: json: cannot unmarshal %s into Go value of type "
                      "container.CreateRequest", json_kind(body));
    if (r >= 0 && !has_config(body))
        r = error_set(&err, EINVAL, "config cannot be empty in order to create a container");
    if (r >= 0)
        r = adapt(body, request_api_version(request), &warnings, &err);
    if (r >= 0)
        r = container_create(request_engine(request), request_query(request, "name"),
                             request_api_version(request) >= 141 ? request_query(request, "platform") : NULL,
                             body, id, &more, &err);
    if (r < 0)
        return route_fail(request, r, &err);

    for (char **warning = more; warning && *warning; warning++)
        strv_push(&warnings, *warning);
    cJSON *json = cJSON_CreateObject();
    json_add_string(json, "Id", id);
    json_add(json, "Warnings", json_from_strv(warnings));
    return respond_json(request, 201, json);
}
