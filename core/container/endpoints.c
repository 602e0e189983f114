/* endpoints.c - what a running container has of networks: kept, and shown as
 * Docker's NetworkSettings. Owner: container. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "container/internal.h"
#include "container/validate.h"

#define ENDPOINTS_MAX 1024
#define PORTS_MAX 65536

void endpoint_copy(struct network_endpoint *to, const struct network_endpoint *from)
{
    *to = *from;
    to->container_name = mem_strdup(from->container_name);
    to->network_name = mem_strdup(from->network_name);
    to->interface = mem_strdup(from->interface);
    to->ipv4 = mem_strdup(from->ipv4);
    to->gateway = mem_strdup(from->gateway);
    to->ipv6 = mem_strdup(from->ipv6);
    to->gateway6 = mem_strdup(from->gateway6);
    to->aliases = from->aliases ? strv_dup(from->aliases) : NULL;
    to->links = from->links ? strv_dup(from->links) : NULL;
}

void endpoints_clear(struct container *container)
{
    for (size_t i = 0; i < container->endpoint_count; i++)
        network_endpoint_clear(&container->endpoints[i]);
    free(container->endpoints);
    container->endpoints = NULL;
    container->endpoint_count = 0;
    for (size_t i = 0; i < container->port_count; i++)
        free(container->ports[i].host_ip);
    free(container->ports);
    container->ports = NULL;
    container->port_count = 0;
    free(container->sandbox_path);
    container->sandbox_path = NULL;
}

/* --- state file ------------------------------------------------------------------ */

static const struct {
    const char *key;
    size_t offset;
} texts[] = {
    {"ContainerName", offsetof(struct network_endpoint, container_name)},
    {"NetworkName", offsetof(struct network_endpoint, network_name)},
    {"Interface", offsetof(struct network_endpoint, interface)},
    {"IPv4", offsetof(struct network_endpoint, ipv4)},
    {"Gateway", offsetof(struct network_endpoint, gateway)},
    {"IPv6", offsetof(struct network_endpoint, ipv6)},
    {"Gateway6", offsetof(struct network_endpoint, gateway6)},
};

cJSON *endpoints_to_json(const struct container *container)
{
    cJSON *json = cJSON_CreateObject();
    cJSON *endpoints = json_add_array(json, "Endpoints"), *ports = json_add_array(json, "Ports");

    json_add_string(json, "Sandbox", container->sandbox_path);
    for (size_t i = 0; i < container->endpoint_count; i++) {
        const struct network_endpoint *endpoint = &container->endpoints[i];
        cJSON *object = cJSON_CreateObject();

        json_add_string(object, "ID", endpoint->id);
        json_add_string(object, "NetworkID", endpoint->network_id);
        json_add_string(object, "MAC", endpoint->mac);
        json_add_int(object, "IPv4Prefix", endpoint->ipv4_prefix);
        json_add_int(object, "IPv6Prefix", endpoint->ipv6_prefix);
        for (size_t t = 0; t < ARRAY_SIZE(texts); t++)
            json_add_string(object, texts[t].key, *(char **)((char *)endpoint + texts[t].offset));
        json_add(object, "Aliases", json_from_strv(endpoint->aliases));
        cJSON_AddItemToArray(endpoints, object);
    }
    for (size_t i = 0; i < container->port_count; i++) {
        const struct network_port *port = &container->ports[i];
        cJSON *object = cJSON_CreateObject();

        json_add_string(object, "Protocol", port->protocol);
        json_add_int(object, "ContainerPort", port->container_port);
        json_add_string(object, "HostIP", port->host_ip);
        json_add_int(object, "HostPort", port->host_port);
        cJSON_AddItemToArray(ports, object);
    }
    return json;
}

void endpoints_from_json(struct container *container, const cJSON *json)
{
    const cJSON *item;

    container->sandbox_path = mem_strdup(json_string(json, "Sandbox", NULL));
    cJSON_ArrayForEach(item, json_get(json, "Endpoints")) {
        struct network_endpoint endpoint = {0};

        if (container->endpoint_count >= ENDPOINTS_MAX)
            break;
        snprintf(endpoint.id, sizeof(endpoint.id), "%s", json_string(item, "ID", ""));
        snprintf(endpoint.container_id, sizeof(endpoint.container_id), "%s", container->id);
        snprintf(endpoint.network_id, sizeof(endpoint.network_id), "%s", json_string(item, "NetworkID", ""));
        snprintf(endpoint.mac, sizeof(endpoint.mac), "%s", json_string(item, "MAC", ""));
        endpoint.ipv4_prefix = (int)json_int(item, "IPv4Prefix", 0);
        endpoint.ipv6_prefix = (int)json_int(item, "IPv6Prefix", 0);
        for (size_t t = 0; t < ARRAY_SIZE(texts); t++)
            *(char **)((char *)&endpoint + texts[t].offset) = mem_strdup(json_string(item, texts[t].key, NULL));
        endpoint.aliases = json_strv(item, "Aliases");
        container->endpoints = mem_grow(container->endpoints, container->endpoint_count + 1, sizeof(endpoint));
        container->endpoints[container->endpoint_count++] = endpoint;
    }
    cJSON_ArrayForEach(item, json_get(json, "Ports")) {
        struct network_port port = {0};

        if (container->port_count >= PORTS_MAX)
            break;
        snprintf(port.protocol, sizeof(port.protocol), "%s", json_string(item, "Protocol", "tcp"));
        port.container_port = (uint16_t)json_int(item, "ContainerPort", 0);
        port.host_ip = mem_strdup(json_string(item, "HostIP", ""));
        port.host_port = port.host_port_end = (uint16_t)json_int(item, "HostPort", 0);
        container->ports = mem_grow(container->ports, container->port_count + 1, sizeof(port));
        container->ports[container->port_count++] = port;
    }
}

/* --- NetworkSettings ------------------------------------------------------------------ */

static void add_binding(cJSON *list, const char *address, uint16_t port)
{
    cJSON *binding = cJSON_CreateObject();
    char text[8];

    snprintf(text, sizeof(text), "%u", port);
    json_add_string(binding, "HostIp", address);
    json_add_string(binding, "HostPort", text);
    cJSON_AddItemToArray(list, binding);
}

static void add_ports(cJSON *settings, const struct container *container, const cJSON *exposed)
{
    cJSON *ports = json_add_object(settings, "Ports");
    const cJSON *item;

    if (!state_is_active(container->run.state))
        return;
    cJSON_ArrayForEach(item, exposed) {
        CLEANUP_FREE char *key = strchr(item->string, '/') ? mem_strdup(item->string) : mem_printf("%s/tcp", item->string);
        json_add_null(ports, key);
    }
    for (size_t i = 0; i < container->port_count; i++) {
        const struct network_port *port = &container->ports[i];
        char key[16];

        snprintf(key, sizeof(key), "%u/%s", port->container_port, port->protocol);
        cJSON *list = cJSON_GetObjectItemCaseSensitive(ports, key);
        if (!cJSON_IsArray(list)) {
            cJSON_DeleteItemFromObjectCaseSensitive(ports, key);
            list = json_add_array(ports, key);
        }
        add_binding(list, port->host_ip, port->host_port);
    }
}

static const struct network_endpoint *find_endpoint(const struct container *container, const char *network)
{
    for (size_t i = 0; i < container->endpoint_count; i++)
        if (str_equal(container->endpoints[i].network_name, network) ||
            strcmp(container->endpoints[i].network_id, network) == 0)
            return &container->endpoints[i];
    return NULL;
}

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

static void add_addresses(cJSON *object, const struct network_endpoint *e)
{
    json_add_string(object, "EndpointID", e->id);
    json_add_string(object, "Gateway", or_empty(e->gateway));
    json_add_string(object, "IPAddress", or_empty(e->ipv4));
    json_add_int(object, "IPPrefixLen", e->ipv4_prefix);
    json_add_string(object, "IPv6Gateway", or_empty(e->gateway6));
    json_add_string(object, "GlobalIPv6Address", or_empty(e->ipv6));
    json_add_int(object, "GlobalIPv6PrefixLen", e->ipv6_prefix);
}

static void add_network(cJSON *networks, const struct container *container, const char *name,
                        const cJSON *asked)
{
    static const struct network_endpoint none;
    const struct network_endpoint *endpoint = find_endpoint(container, name);
    static const char *const copied[] = {"IPAMConfig", "Links", "Aliases", "DriverOpts"};
    cJSON *object = json_add_object(networks, endpoint && endpoint->network_name ? endpoint->network_name : name);

    if (!endpoint)
        endpoint = &none;
    for (size_t i = 0; i < ARRAY_SIZE(copied); i++)
        json_add(object, copied[i], cJSON_Duplicate(json_get(asked, copied[i]), true));
    json_add_string(object, "MacAddress", *endpoint->mac ? endpoint->mac : json_string(asked, "MacAddress", ""));
    json_add_int(object, "GwPriority", json_int(asked, "GwPriority", 0));
    json_add_string(object, "NetworkID", endpoint->network_id);
    add_addresses(object, endpoint);

    cJSON *names = NULL;
    if (network_is_user_defined(name)) {
        char short_id[13];
        const char *hostname = json_string(container->spec->config, "Hostname", "");

        snprintf(short_id, sizeof(short_id), "%.12s", container->id);
        names = json_from_strv(NULL);
        json_push_string(names, container->name);
        const cJSON *alias;
        cJSON_ArrayForEach(alias, json_get(asked, "Aliases"))
            json_push_string(names, alias->valuestring);
        json_push_string(names, short_id);
        if (*hostname && strcmp(hostname, short_id) != 0)
            json_push_string(names, hostname);
    }
    json_add(object, "DNSNames", names);
}

cJSON *sandbox_settings(struct container *container)
{
    static const struct network_endpoint none;
    const struct spec *spec = container->spec;
    const char *mode = json_string(spec->host_config, "NetworkMode", "bridge");
    cJSON *settings = cJSON_CreateObject();
    const cJSON *asked;

    json_add_string(settings, "Bridge", "");
    json_add_string(settings, "SandboxID", container->sandbox_path ? container->id : "");
    json_add_string(settings, "SandboxKey", or_empty(container->sandbox_path));
    add_ports(settings, container, json_get(spec->config, "ExposedPorts"));
    json_add_bool(settings, "HairpinMode", false);
    json_add_string(settings, "LinkLocalIPv6Address", "");
    json_add_int(settings, "LinkLocalIPv6PrefixLen", 0);
    json_add_null(settings, "SecondaryIPAddresses");
    json_add_null(settings, "SecondaryIPv6Addresses");
    const struct network_endpoint *on_bridge = find_endpoint(container, "bridge");
    add_addresses(settings, on_bridge ? on_bridge : &none);
    json_add_string(settings, "MacAddress", on_bridge ? on_bridge->mac : "");

    cJSON *networks = json_add_object(settings, "Networks");
    if (str_starts(mode, "container:"))
        return settings;
    if (!cJSON_GetObjectItemCaseSensitive(spec->networks, mode))
        add_network(networks, container, mode, NULL);
    cJSON_ArrayForEach(asked, spec->networks)
        if (!cJSON_IsNull(asked))
            add_network(networks, container, asked->string, asked);
    return settings;
}
