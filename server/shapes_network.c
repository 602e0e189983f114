#include "shapes.h"

#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "shapes_private.h"
#include "tabique/event.h"
#include "tabique/network.h"
#include "tabique/volume.h"

static cJSON *network_pairs(const struct network_pair *pairs, size_t count)
{
    cJSON *json = cJSON_CreateObject();
    for (size_t i = 0; i < count; i++)
        json_add_string(json, pairs[i].name, pairs[i].value ? pairs[i].value : "");
    return json;
}

static void add_address(cJSON *json, const char *key, const char *address, int prefix)
{
    CLEANUP_FREE char *text = address && address[0] ? mem_printf("%s/%d", address, prefix) : mem_strdup("");
    json_add_string(json, key, text);
}

static cJSON *members(const struct network *network)
{
    cJSON *json = cJSON_CreateObject();
    for (size_t i = 0; i < network->endpoint_count; i++) {
        const struct network_endpoint *endpoint = &network->endpoints[i];
        cJSON *member = json_add_object(json, endpoint->container_id);
        json_add_string(member, "Name", endpoint->container_name ? endpoint->container_name : "");
        json_add_string(member, "EndpointID", endpoint->id);
        json_add_string(member, "MacAddress", endpoint->mac);
        add_address(member, "IPv4Address", endpoint->ipv4, endpoint->ipv4_prefix);
        add_address(member, "IPv6Address", endpoint->ipv6, endpoint->ipv6_prefix);
    }
    return json;
}

cJSON *shape_network(const struct network *network, bool containers)
{
    cJSON *json = cJSON_CreateObject();
    json_add_string(json, "Name", network->name);
    json_add_string(json, "Id", network->id);
    shape_add_time(json, "Created", network->created_ns);
    json_add_string(json, "Scope", "local");
    json_add_string(json, "Driver", network->driver);
    json_add_bool(json, "EnableIPv4", strcmp(network->driver, "bridge") == 0);
    json_add_bool(json, "EnableIPv6", network->ipv6);

    cJSON *ipam = json_add_object(json, "IPAM");
    json_add_string(ipam, "Driver", "default");
    json_add(ipam, "Options",
             network->has_ipam_options ? network_pairs(network->ipam_options, network->ipam_option_count) : NULL);
    cJSON *config = network->subnet_count ? json_add_array(ipam, "Config") : NULL;
    if (!config)
        json_add_null(ipam, "Config");
    for (size_t i = 0; i < network->subnet_count; i++) {
        cJSON *subnet = cJSON_CreateObject();
        json_add_string(subnet, "Subnet", network->subnets[i].subnet);
        if (network->subnets[i].ip_range)
            json_add_string(subnet, "IPRange", network->subnets[i].ip_range);
        if (network->subnets[i].gateway)
            json_add_string(subnet, "Gateway", network->subnets[i].gateway);
        if (network->subnets[i].aux_count)
            json_add(subnet, "AuxiliaryAddresses", network_pairs(network->subnets[i].aux, network->subnets[i].aux_count));
        cJSON_AddItemToArray(config, subnet);
    }

    json_add_bool(json, "Internal", network->internal);
    json_add_bool(json, "Attachable", network->attachable);
    json_add_bool(json, "Ingress", false);
    json_add_string(json_add_object(json, "ConfigFrom"), "Network",
                    network->config_from ? network->config_from : "");
    json_add_bool(json, "ConfigOnly", network->config_only);
    json_add(json, "Containers", containers ? members(network) : cJSON_CreateObject());
    json_add(json, "Options", network_pairs(network->options, network->option_count));
    json_add(json, "Labels", network_pairs(network->labels, network->label_count));
    return json;
}

static cJSON *volume_pairs(const struct volume_pair *pairs, size_t count)
{
    if (count == 0)
        return NULL;
    cJSON *json = cJSON_CreateObject();
    for (size_t i = 0; i < count; i++)
        json_add_string(json, pairs[i].name, pairs[i].value ? pairs[i].value : "");
    return json;
}

cJSON *shape_volume(const struct volume *volume, int64_t size)
{
    cJSON *json = cJSON_CreateObject();
    /* Seconds only, as Docker's local driver. */
    shape_add_time(json, "CreatedAt", volume->created_ns / NS_PER_SEC * NS_PER_SEC);
    json_add_string(json, "Driver", "local");
    json_add(json, "Labels", volume_pairs(volume->labels, volume->label_count));
    json_add_string(json, "Mountpoint", volume->mountpoint);
    json_add_string(json, "Name", volume->name);
    json_add(json, "Options", volume_pairs(volume->options, volume->option_count));
    json_add_string(json, "Scope", "local");
    if (size >= 0) {
        cJSON *usage = json_add_object(json, "UsageData");
        json_add_int(usage, "RefCount", (int64_t)strv_length(volume->used_by));
        json_add_int(usage, "Size", size);
    }
    return json;
}

cJSON *shape_event(const struct event *event, int api_version)
{
    const bool of_container = strcmp(event->type, "container") == 0;
    const bool of_image = strcmp(event->type, "image") == 0;
    cJSON *json = cJSON_CreateObject();

    if (api_version < 152 && (of_container || of_image)) {
        json_add_string(json, "status", event->action);
        json_add_string(json, "id", event->actor_id);
        if (of_container) {
            const char *image = event_attribute(event, "image");
            json_add_string(json, "from", image ? image : "");
        }
    }
    /* What is our "engine" Docker's clients know as the daemon. */
    json_add_string(json, "Type", strcmp(event->type, "engine") == 0 ? "daemon" : event->type);
    json_add_string(json, "Action", event->action);
    cJSON *actor = json_add_object(json, "Actor");
    json_add_string(actor, "ID", event->actor_id);
    cJSON *attributes = json_add_object(actor, "Attributes");
    for (size_t i = 0; i < event->attribute_count; i++)
        json_add_string(attributes, event->attributes[i].name, event->attributes[i].value);
    json_add_string(json, "scope", "local");
    json_add_int(json, "time", event->time_ns / NS_PER_SEC);
    json_add_int(json, "timeNano", event->time_ns);
    return json;
}
