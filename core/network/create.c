/* create.c - making networks from what a caller wants, and removing them. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/str.h"
#include "network/private.h"
#include "tabique/error.h"

#define NAME_MAX_LENGTH 1024
#define NETWORKS_MAX 4096

static int parse_bool(const char *option, const char *value, bool *ret, struct error *err)
{
    static const char *const yes[] = {"1", "t", "T", "TRUE", "true", "True"};
    static const char *const no[] = {"0", "f", "F", "FALSE", "false", "False"};

    for (size_t i = 0; i < ARRAY_SIZE(yes); i++)
        if (str_equal(value, yes[i]) || str_equal(value, no[i])) {
            *ret = str_equal(value, yes[i]);
            return 0;
        }
    return error_set(err, EINVAL, "failed to parse %s value: %s (strconv.ParseBool: parsing \"%s\": invalid syntax)",
                     option, value, value);
}

static bool device_name_valid(const char *name, size_t max)
{
    size_t length = strlen(name);

    if (length == 0 || length > max || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return false;
    for (const char *c = name; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("_.-", *c))
            return false;
    return true;
}

typedef int option_fn(struct net *net, const char *option, const char *value, struct error *err);

static int option_name(struct net *net, const char *option, const char *value, struct error *err)
{
    if (!device_name_valid(value, IF_NAMESIZE - 1))
        return error_set(err, EINVAL, "invalid bridge name \"%s\"", value);
    snprintf(net->bridge, sizeof(net->bridge), "%s", value);
    return 0;
}

static int option_icc(struct net *net, const char *option, const char *value, struct error *err)
{
    return parse_bool(option, value, &net->icc, err);
}

static int option_masquerade(struct net *net, const char *option, const char *value, struct error *err)
{
    return parse_bool(option, value, &net->masquerade, err);
}

static int option_ipv6(struct net *net, const char *option, const char *value, struct error *err)
{
    return parse_bool(option, value, &net->ipv6, err);
}

static int option_binding(struct net *net, const char *option, const char *value, struct error *err)
{
    if (address_parse(value, &net->binding) < 0 || net->binding.family != AF_INET)
        return error_set(err, EINVAL, "failed to parse %s value: %s (nil ip)", option, value);
    return 0;
}

static int option_mtu(struct net *net, const char *option, const char *value, struct error *err)
{
    int64_t number;
    int r = str_to_i64(value, &number);
    if (r < 0)
        return error_set(err, EINVAL, "failed to parse %s value: %s (strconv.Atoi: parsing \"%s\": %s)", option, value,
                         value, r == -ERANGE ? "value out of range" : "invalid syntax");
    if (number < 68 || number > 65535)
        return error_set(err, EINVAL, "invalid MTU number: %s", value);
    net->mtu = (int)number;
    return 0;
}

static int option_prefix(struct net *net, const char *option, const char *value, struct error *err)
{
    if (!device_name_valid(value, IF_NAMESIZE - 4))
        return error_set(err, EINVAL, "invalid interface name prefix \"%s\"", value);
    free(net->prefix);
    net->prefix = mem_strdup(value);
    return 0;
}

static const struct {
    const char *name;
    option_fn *fn;
} option_table[] = {
    {"com.docker.network.bridge.name", option_name},
    {"com.docker.network.bridge.enable_icc", option_icc},
    {"com.docker.network.bridge.enable_ip_masquerade", option_masquerade},
    {"com.docker.network.bridge.host_binding_ipv4", option_binding},
    {"com.docker.network.driver.mtu", option_mtu},
    {"com.docker.network.container_iface_prefix", option_prefix},
    {"com.docker.network.container_interface_prefix", option_prefix},
    {"com.docker.network.enable_ipv6", option_ipv6},
};

static int apply_options(struct net *net, struct error *err)
{
    for (size_t i = 0; i < net->option_count; i++)
        for (size_t j = 0; j < ARRAY_SIZE(option_table); j++)
            if (str_equal(net->options[i].name, option_table[j].name)) {
                int r = option_table[j].fn(net, option_table[j].name,
                                           net->options[i].value ? net->options[i].value : "", err);
                if (r < 0)
                    return r;
            }
    return 0;
}

static int take_range(struct net_subnet *subnet, const char *text, struct error *err)
{
    char own[ADDRESS_TEXT_MAX], range[ADDRESS_TEXT_MAX];
    struct cidr masked;

    if (cidr_parse(text, &subnet->range) < 0)
        return error_set(err, EINVAL, "invalid network config: invalid ip-range %s: invalid CIDR block notation", text);
    masked = cidr_masked(&subnet->range);
    cidr_format(&subnet->cidr, own);
    cidr_format(&masked, range);
    if (subnet->range.address.family != subnet->cidr.address.family)
        return error_set(err, EINVAL, "invalid network config: invalid ip-range %s: parent subnet is an IPv%d block",
                         text, subnet->cidr.address.family == AF_INET6 ? 6 : 4);
    if (subnet->range.prefix < subnet->cidr.prefix)
        return error_set(err, EINVAL, "invalid network config: invalid ip-range %s: CIDR block is bigger than its "
                         "parent subnet %s", text, own);
    if (!address_equal(&masked.address, &subnet->range.address))
        return error_set(err, EINVAL, "invalid network config: invalid ip-range %s: it should be %s", text, range);
    if (!cidr_overlaps(&subnet->cidr, &subnet->range))
        return error_set(err, EINVAL, "invalid network config: invalid ip-range %s: parent subnet %s doesn't contain "
                         "ip-range", text, own);
    return 0;
}

static int take_gateway(struct net_subnet *subnet, const char *text, struct error *err)
{
    char own[ADDRESS_TEXT_MAX];

    if (address_parse(text, &subnet->gateway) < 0)
        return error_set(err, EINVAL, "invalid network config: invalid gateway %s: invalid address", text);
    if (!cidr_contains(&subnet->cidr, &subnet->gateway))
        return error_set(err, EINVAL, "invalid network config: invalid gateway %s: parent subnet %s doesn't contain "
                         "this address", text, cidr_format(&subnet->cidr, own));
    address_set_add(&subnet->used, &subnet->gateway);
    return 0;
}

/* The bridge's own address, where none was asked for: the first that is free. */
static int choose_gateway(struct net_subnet *subnet, struct error *err)
{
    const struct cidr *range = subnet->range.address.family ? &subnet->range : &subnet->cidr;

    if (subnet->gateway.family)
        return 0;
    if (address_set_allocate(&subnet->used, &subnet->cidr, range, &subnet->gateway) < 0)
        return error_set(err, EINVAL, "no available addresses on this pool");
    return 0;
}

static int take_subnet(struct net *net, const struct network_subnet *wanted, struct error *err)
{
    struct cidr cidr;
    char masked_text[ADDRESS_TEXT_MAX];
    int r = 0;

    if (!wanted->subnet || !*wanted->subnet) {
        if ((wanted->gateway && *wanted->gateway) || (wanted->ip_range && *wanted->ip_range))
            return error_set(err, EINVAL, "invalid network config: gateway or ip-range without a subnet");
        return 0;
    }
    if (cidr_parse(wanted->subnet, &cidr) < 0)
        return error_set(err, EINVAL, "invalid network config: invalid subnet %s: invalid CIDR block notation",
                         wanted->subnet);
    bool v6 = cidr.address.family == AF_INET6;
    struct net_subnet *subnet = !v6 ? &net->v4 : net->ipv6 ? &net->v6 : &net->unused6;
    if (subnet->cidr.address.family)
        return error_set(err, EPERM, "bridge driver doesn't support multiple subnets");
    struct cidr masked = cidr_masked(&cidr);
    if (!wanted->loose && !address_equal(&masked.address, &cidr.address))
        return error_set(err, EINVAL, "invalid network config: invalid subnet %s: it should be %s", wanted->subnet,
                         cidr_format(&masked, masked_text));
    if (address_is_any(&masked.address))
        return error_set(err, EINVAL, "invalid network config: invalid subnet %s", wanted->subnet);
    if (v6 && !wanted->loose && (masked.address.bytes[0] == 0xff || (masked.address.bytes[0] == 0xfe && masked.address.bytes[1] == 0x80)))
        return error_set(err, EINVAL, "invalid network config: '%s' is not a valid IPv6 subnet", wanted->subnet);
    if (!v6 && (masked.address.bytes[0] == 127 || masked.address.bytes[0] >= 224))
        return error_set(err, EINVAL, "invalid network config: '%s' is not a valid IPv4 subnet", wanted->subnet);
    subnet->cidr = masked;
    subnet->configured = true;
    subnet->aux = network__pairs_copy(wanted->aux, wanted->aux_count);
    subnet->aux_count = wanted->aux_count;
    if (wanted->ip_range && *wanted->ip_range)
        r = take_range(subnet, wanted->ip_range, err);
    if (r == 0 && wanted->gateway && *wanted->gateway)
        r = take_gateway(subnet, wanted->gateway, err);
    for (size_t i = 0; r == 0 && i < subnet->aux_count; i++) {
        struct address address;
        if (address_parse(subnet->aux[i].value, &address) < 0)
            r = error_set(err, EINVAL, "invalid network config: invalid auxiliary address %s: invalid address",
                          subnet->aux[i].name);
        else if (!cidr_contains(&subnet->cidr, &address))
            r = error_set(err, EINVAL, "invalid network config: invalid auxiliary address %s: parent subnet %s doesn't "
                          "contain this address", subnet->aux[i].name, cidr_format(&subnet->cidr, masked_text));
        else
            address_set_add(&subnet->used, &address);
    }
    return r;
}

static int check_overlap(struct network_manager *m, const struct net *net, struct error *err)
{
    for (struct net *other = m->networks; other; other = other->next) {
        if (other->kind == NET_CONFIG)
            continue;
        bool v4 = net->v4.cidr.address.family && other->v4.cidr.address.family &&
                  cidr_overlaps(&net->v4.cidr, &other->v4.cidr);
        bool v6 = net->v6.cidr.address.family && other->v6.cidr.address.family &&
                  cidr_overlaps(&net->v6.cidr, &other->v6.cidr);
        if (v4 || v6)
            return error_set(err, EPERM, "invalid pool request: Pool overlaps with other one on this address space");
        if (other->kind == NET_BRIDGE && strcmp(other->bridge, net->bridge) == 0)
            return error_set(err, EPERM, "cannot create network %s (%s): conflicts with network %s (%s): networks "
                             "have same bridge name", net->id, net->bridge, other->id, other->bridge);
    }
    return 0;
}

/* A unique local /64 (RFC 4193), drawn at random as it asks for. */
static void choose_subnet6(struct network_manager *m, struct net_subnet *subnet)
{
    bool free_one = false;

    while (!free_one) {
        struct cidr cidr = {.address = {.family = AF_INET6}, .prefix = 64};
        random_bytes(cidr.address.bytes, 8);
        cidr.address.bytes[0] = 0xfd;
        free_one = true;
        for (struct net *other = m->networks; other; other = other->next)
            if (other->v6.cidr.address.family && cidr_overlaps(&cidr, &other->v6.cidr))
                free_one = false;
        subnet->cidr = cidr;
    }
}

static int choose_subnets(struct network_manager *m, struct net *net, struct error *err)
{
    int r = 0;

    if (!net->v4.cidr.address.family)
        r = network__choose_subnet(m, &net->v4.cidr, err);
    if (r == 0)
        r = choose_gateway(&net->v4, err);
    if (r == 0 && net->ipv6) {
        if (!net->v6.cidr.address.family)
            choose_subnet6(m, &net->v6);
        r = choose_gateway(&net->v6, err);
    }
    return r;
}

static int check_wanted(struct network_manager *m, const struct network *w, struct error *err)
{
    static const char *const predefined[] = {"bridge", "host", "none", "default"};
    const char *driver = w->driver && *w->driver ? w->driver : "bridge";
    size_t count = 0;

    if (!w->name || w->name[strspn(w->name, " \t\r\n")] == '\0')
        return error_set(err, EINVAL, "invalid name: name is empty");
    if (strlen(w->name) > NAME_MAX_LENGTH)
        return error_set(err, EINVAL, "invalid name: longer than %d characters", NAME_MAX_LENGTH);
    for (size_t i = 0; i < ARRAY_SIZE(predefined); i++)
        if (strcmp(w->name, predefined[i]) == 0)
            return error_set(err, EPERM, "operation is not permitted on predefined %s network ", w->name);
    if (strcmp(driver, "host") == 0 || strcmp(driver, "null") == 0)
        return error_set(err, EPERM, "only one instance of \"%s\" network is allowed", driver);
    if (strcmp(driver, "overlay") == 0)
        return error_set(err, EPERM, "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm "
                         "join\" to connect this node to swarm and try again.");
    if (strcmp(driver, "bridge") != 0)
        return error_set(err, ENOENT, "plugin \"%s\" not found", driver);
    for (struct net *net = m->networks; net; net = net->next, count++)
        if (strcmp(net->name, w->name) == 0 && !w->may_share_name)
            return error_set(err, EEXIST, "network with name %s already exists", w->name);
    if (count >= NETWORKS_MAX)
        return error_set(err, EINVAL, "there are %d networks already", NETWORKS_MAX);
    return 0;
}

/* Settings of another network, as if they had been asked for. */
static int find_config(struct network_manager *m, const struct network *w, struct net **ret, struct error *err)
{
    struct net *from = m->networks;

    while (from && !(from->kind == NET_CONFIG && strcmp(from->name, w->config_from) == 0))
        from = from->next;
    if (!from)
        return error_set(err, ENOENT, "configuration network \"%s\" does not exist", w->config_from);
    if (w->config_only)
        return error_set(err, EPERM, "a configuration network cannot depend on another configuration network");
    if (w->subnet_count > 0)
        return error_set(err, EPERM, "user-specified configurations are not supported if the network depends on a "
                         "configuration network");
    if (w->option_count > 0)
        return error_set(err, EPERM, "network driver options are not supported if the network depends on a "
                         "configuration network");
    *ret = from;
    return 0;
}

static int take_config(struct net *net, const struct net *from, struct error *err)
{
    const struct net_subnet *subnets[] = {&from->v4, &from->v6, &from->unused6};
    int r = 0;

    for (size_t i = 0; i < ARRAY_SIZE(subnets) && r == 0; i++) {
        const struct net_subnet *subnet = subnets[i];
        char cidr[ADDRESS_TEXT_MAX], gateway[ADDRESS_TEXT_MAX], range[ADDRESS_TEXT_MAX];
        if (!subnet->cidr.address.family)
            continue;
        const struct network_subnet wanted = {
            .subnet = cidr_format(&subnet->cidr, cidr),
            .gateway = subnet->gateway.family ? address_format(&subnet->gateway, gateway) : NULL,
            .ip_range = subnet->range.address.family ? cidr_format(&subnet->range, range) : NULL,
            .aux = subnet->aux,
            .aux_count = subnet->aux_count};
        r = take_subnet(net, &wanted, err);
    }
    return r;
}

static int create_locked(struct network_manager *m, const struct network *w, char ret_id[65], struct error *err)
{
    struct net *net;
    struct nat_network described;
    struct net *from = NULL;
    int r = check_wanted(m, w, err);

    if (r == 0 && w->config_from)
        r = find_config(m, w, &from, err);
    if (r < 0)
        return r;
    net = mem_new(struct net);
    random_id(net->id);
    net->name = mem_strdup(w->name);
    net->created_ns = clock_real_ns();
    net->config_from = mem_strdup(w->config_from);
    net->internal = from ? from->internal : w->internal;
    net->attachable = w->attachable;
    net->ipv6 = from ? from->ipv6 : w->ipv6;
    net->icc = net->masquerade = true;
    net->mtu = w->mtu > 0 ? w->mtu : m->mtu;
    net->labels = network__pairs_copy(w->labels, w->label_count);
    net->label_count = w->label_count;
    net->option_count = from ? from->option_count : w->option_count;
    net->options = network__pairs_copy(from ? from->options : w->options, net->option_count);
    net->ipam_options = network__pairs_copy(w->ipam_options, w->ipam_option_count);
    net->ipam_option_count = w->ipam_option_count;
    net->has_ipam_options = w->has_ipam_options;
    snprintf(net->bridge, sizeof(net->bridge), "br-%.12s", net->id);
    r = apply_options(net, err);
    for (size_t i = 0; r == 0 && i < w->subnet_count; i++)
        r = take_subnet(net, &w->subnets[i], err);
    if (r == 0 && from)
        r = take_config(net, from, err);
    if (r == 0 && w->config_only) {
        net->kind = NET_CONFIG;
        r = network__save_net(m, net, err);
        if (r == 0) {
            net->next = m->networks;
            m->networks = net;
            memcpy(ret_id, net->id, sizeof(net->id));
            return 0;
        }
    }
    if (r == 0)
        r = choose_subnets(m, net, err);
    if (r == 0)
        r = check_overlap(m, net, err);
    if (r == 0)
        r = network__bridge_ensure(m, net, err);
    if (r < 0) {
        network__free(net);
        return r;
    }
    net->next = m->networks;
    m->networks = net;
    network__nat_describe(net, &described);
    r = nat_network_add(m->nat, &described, NULL);
    if (r < 0) /* somebody flushed the rule set: all of ours again, this one with them */
        r = network__nat_rebuild(m, err);
    if (r == 0)
        r = network__save_net(m, net, err);
    if (r < 0) {
        m->networks = net->next;
        nat_network_remove(m->nat, &described, NULL);
        network__bridge_remove(m, net->bridge, NULL);
        network__free(net);
        return r;
    }
    memcpy(ret_id, net->id, sizeof(net->id));
    return 0;
}

int network_create(struct network_manager *m, const struct network *wanted, char ret_id[65], struct error *err)
{
    CLEANUP_CLOSE int lock = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC); /* as in open_kernel() */
    struct error why = ERROR_INIT;

    if (lock >= 0)
        flock(lock, LOCK_EX);
    pthread_mutex_lock(&m->lock);
    int r = create_locked(m, wanted, ret_id, &why);
    pthread_mutex_unlock(&m->lock);
    return r < 0 ? error_set(err, r, "%s", why.message) : 0;
}

static int refuse_active(struct network_manager *m, const struct net *net, struct error *err)
{
    CLEANUP_STR struct str list = STR_INIT;
    struct sandbox *sandbox, *next;

    HASH_ITER(hh, m->sandboxes, sandbox, next)
        for (size_t i = 0; i < sandbox->endpoint_count && list.length < 800; i++)
            if (sandbox->endpoints[i].net == net)
                str_printf(&list, "%sname:\"%s\" id:\"%.12s\"", list.length ? ", " : "",
                           sandbox->endpoints[i].container_name ? sandbox->endpoints[i].container_name : sandbox->id,
                           sandbox->endpoints[i].id);
    return error_set(err, EPERM, "error while removing network: network %s has active endpoints (%s)", net->name,
                     list.data ? list.data : "");
}

static int remove_config(struct network_manager *m, struct net *net, struct error *err)
{
    struct net **link = &m->networks;

    for (struct net *other = m->networks; other; other = other->next)
        if (str_equal(other->config_from, net->name))
            return error_set(err, EPERM, "configuration network \"%s\" is in use", net->name);
    while (*link != net)
        link = &(*link)->next;
    *link = net->next;
    network__unlink_net(m, net);
    network__free(net);
    return 0;
}

static int remove_locked(struct network_manager *m, const char *ref, struct error *err)
{
    struct net *net = network__find(m, ref, err), **link = &m->networks;
    struct nat_network described;
    struct netlink_link device;
    int r;

    if (!net)
        return -err->code;
    if (net->builtin)
        return error_set(err, EPERM, "%s is a pre-defined network and cannot be removed", net->name);
    if (net->endpoint_count > 0)
        return refuse_active(m, net, err);
    if (net->kind == NET_CONFIG)
        return remove_config(m, net, err);
    /* A device of this name that is not ours is left alone. */
    if (link_get(m->nl, net->bridge, &device) == 0 && strcmp(device.alias, m->alias) == 0) {
        r = network__bridge_remove(m, net->bridge, err);
        if (r < 0)
            return error_prefix(err, "error while removing network");
    }
    network__nat_describe(net, &described);
    r = nat_network_remove(m->nat, &described, NULL);
    while (*link != net)
        link = &(*link)->next;
    *link = net->next;
    if (r < 0)
        network__nat_rebuild(m, NULL);
    network__unlink_net(m, net);
    network__free(net);
    return 0;
}

int network_remove(struct network_manager *m, const char *ref, struct error *err)
{
    struct error why = ERROR_INIT;

    pthread_mutex_lock(&m->lock);
    int r = remove_locked(m, ref, &why);
    pthread_mutex_unlock(&m->lock);
    return r < 0 ? error_set(err, r, "%s", why.message) : 0;
}
