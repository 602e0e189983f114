/* state.c - files, and copies for callers.
 *
 * <data>/networks/ID.json   a network; default.json, host.json, none.json the built-in ones
 * <run>/network/ID.json     a container's interfaces and published ports: gone
 *                           with the machine's next start, as they are themselves
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "network/private.h"
#include "tabique/error.h"

#define STATE_MAX (1u << 20)

/* --- networks -------------------------------------------------------------- */

static void pairs_write(cJSON *json, const char *key, const struct network_pair *pairs, size_t count)
{
    cJSON *object = json_add_object(json, key);

    for (size_t i = 0; i < count; i++)
        json_add_string(object, pairs[i].name, pairs[i].value);
}

static void pairs_read(const cJSON *json, const char *key, struct network_pair **ret, size_t *ret_count)
{
    const cJSON *object = json_get(json, key), *item;
    size_t count = 0;

    if (!cJSON_IsObject(object))
        return;
    struct network_pair *pairs = mem_array((size_t)cJSON_GetArraySize(object) + 1, sizeof(*pairs));
    cJSON_ArrayForEach(item, object)
        if (cJSON_IsString(item))
            pairs[count++] = (struct network_pair){mem_strdup(item->string), mem_strdup(item->valuestring)};
    *ret = pairs;
    *ret_count = count;
}

static void subnet_write(cJSON *json, const char *key, const struct net_subnet *subnet)
{
    char text[ADDRESS_TEXT_MAX];

    if (!subnet->cidr.address.family)
        return;
    cJSON *object = json_add_object(json, key);
    json_add_string(object, "subnet", cidr_format(&subnet->cidr, text));
    if (subnet->gateway.family)
        json_add_string(object, "gateway", address_format(&subnet->gateway, text));
    pairs_write(object, "aux", subnet->aux, subnet->aux_count);
    if (subnet->range.address.family)
        json_add_string(object, "range", cidr_format(&subnet->range, text));
    json_add_bool(object, "configured", subnet->configured);
}

static int subnet_read(const cJSON *json, const char *key, struct net_subnet *ret)
{
    const cJSON *object = json_get(json, key);
    const char *range;

    if (!object)
        return 0;
    const char *gateway = json_string(object, "gateway", NULL);
    if (cidr_parse(json_string(object, "subnet", NULL), &ret->cidr) < 0 ||
        (gateway && address_parse(gateway, &ret->gateway) < 0))
        return -EINVAL;
    pairs_read(object, "aux", &ret->aux, &ret->aux_count);
    range = json_string(object, "range", NULL);
    if (range && cidr_parse(range, &ret->range) < 0)
        return -EINVAL;
    ret->configured = json_bool(object, "configured", false);
    return 0;
}

static char *net_path(const struct network_manager *m, const struct net *net)
{
    const char *file = !net->builtin ? net->id : net->kind == NET_BRIDGE ? "default" : net->name;

    return mem_printf("%s/%s.json", m->data_dir, file);
}

int network__save_net(struct network_manager *m, const struct net *net, struct error *err)
{
    CLEANUP_JSON cJSON *json = cJSON_CreateObject();
    CLEANUP_FREE char *path = net_path(m, net), *text = NULL;
    /* As text: nanoseconds are beyond what a JSON number keeps exactly. */
    CLEANUP_FREE char *created = mem_printf("%lld", (long long)net->created_ns);
    char address[ADDRESS_TEXT_MAX];

    json_add_string(json, "id", net->id);
    json_add_string(json, "name", net->name);
    json_add_int(json, "kind", net->kind);
    json_add_string(json, "bridge", net->bridge);
    json_add_string(json, "created", created);
    json_add_bool(json, "internal", net->internal);
    json_add_bool(json, "attachable", net->attachable);
    json_add_bool(json, "ipv6", net->ipv6);
    json_add_bool(json, "builtin", net->builtin);
    json_add_bool(json, "icc", net->icc);
    json_add_bool(json, "masquerade", net->masquerade);
    json_add_int(json, "mtu", net->mtu);
    if (net->binding.family)
        json_add_string(json, "binding", address_format(&net->binding, address));
    if (net->prefix)
        json_add_string(json, "prefix", net->prefix);
    if (net->config_from)
        json_add_string(json, "configFrom", net->config_from);
    subnet_write(json, "v4", &net->v4);
    subnet_write(json, "v6", &net->v6);
    subnet_write(json, "unused6", &net->unused6);
    pairs_write(json, "labels", net->labels, net->label_count);
    pairs_write(json, "options", net->options, net->option_count);
    if (net->has_ipam_options)
        pairs_write(json, "ipamOptions", net->ipam_options, net->ipam_option_count);
    text = json_print(json);
    int r = file_write_atomic(AT_FDCWD, path, text, strlen(text), 0600);
    return r < 0 ? error_errno(err, r == -ENOENT ? EIO : r, "cannot write %s", path) : 0;
}

void network__unlink_net(struct network_manager *m, const struct net *net)
{
    CLEANUP_FREE char *path = net_path(m, net);

    unlink(path);
}

static bool id_is(const char *id)
{
    return id && strlen(id) == 64 && str_is_hex(id, 64);
}

static struct net *net_parse(const cJSON *json)
{
    struct net *net = mem_new(struct net);
    const char *id = json_string(json, "id", NULL), *bridge = json_string(json, "bridge", "");
    const char *binding = json_string(json, "binding", NULL);

    net->name = mem_strdup(json_string(json, "name", NULL));
    if (!id_is(id) || !net->name || strlen(bridge) >= sizeof(net->bridge) ||
        subnet_read(json, "v4", &net->v4) < 0 || subnet_read(json, "v6", &net->v6) < 0 ||
        subnet_read(json, "unused6", &net->unused6) < 0) {
        network__free(net);
        return NULL;
    }
    snprintf(net->id, sizeof(net->id), "%s", id);
    snprintf(net->bridge, sizeof(net->bridge), "%s", bridge);
    net->kind = (enum net_kind)json_int(json, "kind", NET_BRIDGE);
    str_to_i64(json_string(json, "created", "0"), &net->created_ns);
    net->internal = json_bool(json, "internal", false);
    net->attachable = json_bool(json, "attachable", false);
    net->ipv6 = json_bool(json, "ipv6", false);
    net->builtin = json_bool(json, "builtin", false);
    net->icc = json_bool(json, "icc", true);
    net->masquerade = json_bool(json, "masquerade", true);
    net->mtu = (int)json_int(json, "mtu", 1500);
    if (binding)
        address_parse(binding, &net->binding);
    net->prefix = mem_strdup(json_string(json, "prefix", NULL));
    net->config_from = mem_strdup(json_string(json, "configFrom", NULL));
    pairs_read(json, "labels", &net->labels, &net->label_count);
    pairs_read(json, "options", &net->options, &net->option_count);
    pairs_read(json, "ipamOptions", &net->ipam_options, &net->ipam_option_count);
    net->has_ipam_options = json_get(json, "ipamOptions") != NULL;
    return net;
}

/* What is no container's to have. */
static void note_used(struct net_subnet *subnet)
{
    struct address address;

    if (subnet->gateway.family)
        address_set_add(&subnet->used, &subnet->gateway);
    for (size_t i = 0; i < subnet->aux_count; i++)
        if (address_parse(subnet->aux[i].value, &address) == 0)
            address_set_add(&subnet->used, &address);
}

int network__load_nets(struct network_manager *m, struct error *err)
{
    DIR *dir = opendir(m->data_dir);
    struct dirent *entry;

    if (!dir)
        return error_errno(err, errno == ENOENT ? EIO : errno, "cannot read %s", m->data_dir);
    while ((entry = readdir(dir))) {
        CLEANUP_FREE char *text = NULL;
        CLEANUP_JSON cJSON *json = NULL;
        size_t length;
        struct net *net = NULL;
        if (!str_ends(entry->d_name, ".json"))
            continue;
        if (file_read(dirfd(dir), entry->d_name, STATE_MAX, &text, &length) == 0 &&
            json_parse(text, length, &json, NULL) == 0)
            net = net_parse(json);
        if (!net) {
            log_warning("network: %s/%s cannot be understood and is left out", m->data_dir, entry->d_name);
            continue;
        }
        note_used(&net->v4);
        note_used(&net->v6);
        if (net->builtin && net->kind == NET_BRIDGE)
            m->bridge = net;
        net->next = m->networks;
        m->networks = net;
    }
    closedir(dir);
    return 0;
}

/* --- sandboxes ------------------------------------------------------------- */

static cJSON *endpoint_write(const struct endpoint *e)
{
    cJSON *json = cJSON_CreateObject();
    char text[ADDRESS_TEXT_MAX], mac[18];

    mac_format(e->mac, mac);
    json_add_string(json, "id", e->id);
    json_add_string(json, "network", e->net->id);
    json_add_string(json, "name", e->container_name);
    json_add_string(json, "hostInterface", e->host_interface);
    json_add_string(json, "interface", e->interface);
    json_add_string(json, "mac", mac);
    if (e->v4.family)
        json_add_string(json, "v4", address_format(&e->v4, text));
    if (e->v6.family)
        json_add_string(json, "v6", address_format(&e->v6, text));
    json_add(json, "aliases", json_from_strv(e->aliases));
    json_add(json, "links", json_from_strv(e->links));
    return json;
}

static cJSON *published_write(const struct published *p)
{
    cJSON *json = cJSON_CreateObject(), *hosts;
    char text[ADDRESS_TEXT_MAX];

    json_add_int(json, "protocol", p->protocol);
    json_add_int(json, "containerPort", p->container_port);
    json_add_int(json, "hostPort", p->host_port);
    hosts = json_add_array(json, "hosts");
    for (size_t i = 0; i < p->host_count; i++)
        json_push_string(hosts, address_format(&p->hosts[i], text));
    return json;
}

int network__save_sandbox(struct network_manager *m, const struct sandbox *sandbox)
{
    CLEANUP_JSON cJSON *json = cJSON_CreateObject();
    CLEANUP_FREE char *path = mem_printf("%s/%s.json", m->state_dir, sandbox->id);
    CLEANUP_FREE char *aside = mem_printf("%s.tmp", path), *text = NULL;
    CLEANUP_CLOSE int fd = -EBADF;
    cJSON *list = json_add_array(json, "endpoints");

    for (size_t i = 0; i < sandbox->endpoint_count; i++)
        cJSON_AddItemToArray(list, endpoint_write(&sandbox->endpoints[i]));
    list = json_add_array(json, "ports");
    for (size_t i = 0; i < sandbox->port_count; i++)
        cJSON_AddItemToArray(list, published_write(&sandbox->ports[i]));
    json_add_string(json, "gateway", sandbox->gateway_network);
    json_add_string(json, "gateway6", sandbox->gateway6_network);
    json_add(json, "nameservers", json_from_strv(sandbox->nameservers));
    json_add_bool(json, "namespace", sandbox->ns_fd >= 0);
    text = json_print(json);
    /* No fsync: after a power failure there is nothing left that this describes. */
    fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    int r = fd_write_all(fd, text, strlen(text));
    if (r == 0 && rename(aside, path) < 0)
        r = -errno;
    if (r < 0)
        unlink(aside);
    return r;
}

void network__unlink_sandbox(struct network_manager *m, const char *id)
{
    CLEANUP_FREE char *path = mem_printf("%s/%s.json", m->state_dir, id);

    unlink(path);
}

static int endpoint_read(struct network_manager *m, const cJSON *json, struct endpoint *ret)
{
    const char *id = json_string(json, "id", NULL), *network = json_string(json, "network", "");
    const char *v4 = json_string(json, "v4", NULL), *v6 = json_string(json, "v6", NULL);
    struct net *net = m->networks;

    while (net && strcmp(net->id, network) != 0)
        net = net->next;
    if (!net || !id_is(id) || mac_parse(json_string(json, "mac", NULL), ret->mac) < 0 ||
        (v4 && address_parse(v4, &ret->v4) < 0) || (v6 && address_parse(v6, &ret->v6) < 0))
        return -EINVAL;
    ret->net = net;
    snprintf(ret->id, sizeof(ret->id), "%s", id);
    snprintf(ret->host_interface, sizeof(ret->host_interface), "%s", json_string(json, "hostInterface", ""));
    snprintf(ret->interface, sizeof(ret->interface), "%s", json_string(json, "interface", ""));
    ret->container_name = mem_strdup(json_string(json, "name", NULL));
    ret->aliases = json_strv(json, "aliases");
    ret->links = json_strv(json, "links");
    return 0;
}

static int published_read(const cJSON *json, struct published *ret)
{
    const cJSON *hosts = json_get(json, "hosts"), *item;

    ret->protocol = (uint8_t)json_int(json, "protocol", 0);
    ret->container_port = (uint16_t)json_int(json, "containerPort", 0);
    ret->host_port = (uint16_t)json_int(json, "hostPort", 0);
    cJSON_ArrayForEach(item, hosts)
        if (ret->host_count < PORT_HOSTS_MAX && cJSON_IsString(item) &&
            address_parse(item->valuestring, &ret->hosts[ret->host_count]) == 0)
            ret->host_count++;
    return ret->protocol && ret->container_port && ret->host_port ? 0 : -EINVAL;
}

/* Into an empty sandbox; no kernel object is touched. -ENOENT: no file. */
int network__load_sandbox(struct network_manager *m, const char *id, struct sandbox *sandbox)
{
    CLEANUP_FREE char *path = mem_printf("%s/%s.json", m->state_dir, id), *text = NULL;
    CLEANUP_JSON cJSON *json = NULL;
    const cJSON *list, *item;
    size_t length;
    int r = file_read(AT_FDCWD, path, STATE_MAX, &text, &length);

    if (r == 0)
        r = json_parse(text, length, &json, NULL);
    if (r < 0)
        return r;
    list = json_get(json, "endpoints");
    sandbox->endpoints = mem_array((size_t)cJSON_GetArraySize(list) + 1, sizeof(*sandbox->endpoints));
    cJSON_ArrayForEach(item, list)
        if (endpoint_read(m, item, &sandbox->endpoints[sandbox->endpoint_count]) == 0)
            sandbox->endpoint_count++;
        else
            sandbox->endpoints[sandbox->endpoint_count] = (struct endpoint){0};
    list = json_get(json, "ports");
    sandbox->ports = mem_array((size_t)cJSON_GetArraySize(list) + 1, sizeof(*sandbox->ports));
    cJSON_ArrayForEach(item, list)
        if (published_read(item, &sandbox->ports[sandbox->port_count]) == 0)
            sandbox->port_count++;
        else
            sandbox->ports[sandbox->port_count] = (struct published){0};
    snprintf(sandbox->gateway_network, sizeof(sandbox->gateway_network), "%s", json_string(json, "gateway", ""));
    snprintf(sandbox->gateway6_network, sizeof(sandbox->gateway6_network), "%s", json_string(json, "gateway6", ""));
    sandbox->nameservers = json_strv(json, "nameservers");
    return json_bool(json, "namespace", true) ? 1 : 0;
}

/* --- copies for callers ---------------------------------------------------- */

struct network_pair *network__pairs_copy(const struct network_pair *pairs, size_t count)
{
    struct network_pair *copy = mem_array(count, sizeof(*copy));

    for (size_t i = 0; i < count; i++)
        copy[i] = (struct network_pair){mem_strdup(pairs[i].name), mem_strdup(pairs[i].value)};
    return copy;
}

static void subnet_copy(struct network *network, const struct net_subnet *from)
{
    char text[ADDRESS_TEXT_MAX];

    if (!from->cidr.address.family)
        return;
    struct network_subnet *to = &network->subnets[network->subnet_count++];
    to->subnet = mem_strdup(cidr_format(&from->cidr, text));
    to->gateway = from->gateway.family ? mem_strdup(address_format(&from->gateway, text)) : NULL;
    to->aux = network__pairs_copy(from->aux, from->aux_count);
    to->aux_count = from->aux_count;
    if (from->range.address.family)
        to->ip_range = mem_strdup(cidr_format(&from->range, text));
}

void network__endpoint_copy(const struct sandbox *sandbox, const struct endpoint *e, struct network_endpoint *ret)
{
    char text[ADDRESS_TEXT_MAX];
    struct network_endpoint copy = {0};

    snprintf(copy.id, sizeof(copy.id), "%s", e->id);
    snprintf(copy.container_id, sizeof(copy.container_id), "%s", sandbox->id);
    snprintf(copy.network_id, sizeof(copy.network_id), "%s", e->net->id);
    copy.container_name = mem_strdup(e->container_name);
    copy.network_name = mem_strdup(e->net->name);
    if (e->interface[0]) {
        copy.interface = mem_strdup(e->interface);
        mac_format(e->mac, copy.mac);
    }
    if (e->v4.family) {
        copy.ipv4 = mem_strdup(address_format(&e->v4, text));
        copy.ipv4_prefix = e->net->v4.cidr.prefix;
        if (!e->net->internal)
            copy.gateway = mem_strdup(address_format(&e->net->v4.gateway, text));
    }
    if (e->v6.family) {
        copy.ipv6 = mem_strdup(address_format(&e->v6, text));
        copy.ipv6_prefix = e->net->v6.cidr.prefix;
        if (!e->net->internal)
            copy.gateway6 = mem_strdup(address_format(&e->net->v6.gateway, text));
    }
    copy.aliases = strv_dup(e->aliases);
    *ret = copy;
}

struct network *network__copy(struct network_manager *m, const struct net *net)
{
    static const char *const drivers[] = {[NET_BRIDGE] = "bridge", [NET_HOST] = "host", [NET_NULL] = "null",
                                         [NET_CONFIG] = "null"};
    struct network *copy = mem_new(struct network);
    struct sandbox *sandbox, *next;

    snprintf(copy->id, sizeof(copy->id), "%s", net->id);
    copy->name = mem_strdup(net->name);
    copy->driver = mem_strdup(drivers[net->kind]);
    copy->bridge = net->kind == NET_BRIDGE ? mem_strdup(net->bridge) : NULL;
    copy->created_ns = net->created_ns;
    copy->internal = net->internal;
    copy->attachable = net->attachable;
    copy->ipv6 = net->ipv6;
    copy->builtin = net->builtin;
    copy->config_only = net->kind == NET_CONFIG;
    copy->config_from = mem_strdup(net->config_from);
    copy->mtu = net->mtu;
    copy->subnets = mem_array(3, sizeof(*copy->subnets));
    subnet_copy(copy, &net->v4);
    subnet_copy(copy, &net->v6);
    subnet_copy(copy, &net->unused6);
    copy->labels = network__pairs_copy(net->labels, net->label_count);
    copy->label_count = net->label_count;
    copy->options = network__pairs_copy(net->options, net->option_count);
    copy->option_count = net->option_count;
    copy->ipam_options = network__pairs_copy(net->ipam_options, net->ipam_option_count);
    copy->ipam_option_count = net->ipam_option_count;
    copy->has_ipam_options = net->has_ipam_options;
    copy->endpoints = mem_array(net->endpoint_count, sizeof(*copy->endpoints));
    if (net->endpoint_count > 0)
        HASH_ITER(hh, m->sandboxes, sandbox, next)
            for (size_t i = 0; i < sandbox->endpoint_count; i++)
                if (sandbox->endpoints[i].net == net && copy->endpoint_count < net->endpoint_count)
                    network__endpoint_copy(sandbox, &sandbox->endpoints[i], &copy->endpoints[copy->endpoint_count++]);
    return copy;
}

void network_endpoint_clear(struct network_endpoint *e)
{
    free(e->container_name);
    free(e->network_name);
    free(e->interface);
    free(e->ipv4);
    free(e->gateway);
    free(e->ipv6);
    free(e->gateway6);
    strv_free(e->aliases);
    strv_free(e->links);
    strv_free(e->link_local);
    *e = (struct network_endpoint){0};
}

void network__pairs_free(struct network_pair *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(pairs[i].name);
        free(pairs[i].value);
    }
    free(pairs);
}

void network_free(struct network *network)
{
    if (!network)
        return;
    for (size_t i = 0; i < network->subnet_count; i++) {
        free(network->subnets[i].subnet);
        free(network->subnets[i].gateway);
        free(network->subnets[i].ip_range);
        network__pairs_free(network->subnets[i].aux, network->subnets[i].aux_count);
    }
    for (size_t i = 0; i < network->endpoint_count; i++)
        network_endpoint_clear(&network->endpoints[i]);
    network__pairs_free(network->labels, network->label_count);
    network__pairs_free(network->options, network->option_count);
    network__pairs_free(network->ipam_options, network->ipam_option_count);
    free(network->subnets);
    free(network->endpoints);
    free(network->name);
    free(network->driver);
    free(network->bridge);
    free(network->config_from);
    free(network);
}

void network__free(struct net *net)
{
    network__pairs_free(net->labels, net->label_count);
    network__pairs_free(net->options, net->option_count);
    address_set_clear(&net->v4.used);
    address_set_clear(&net->v6.used);
    network__pairs_free(net->v4.aux, net->v4.aux_count);
    network__pairs_free(net->v6.aux, net->v6.aux_count);
    address_set_clear(&net->unused6.used);
    network__pairs_free(net->unused6.aux, net->unused6.aux_count);
    network__pairs_free(net->ipam_options, net->ipam_option_count);
    free(net->config_from);
    free(net->name);
    free(net->prefix);
    free(net);
}
