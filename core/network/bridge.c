/* bridge.c - a network's bridge device, and what the host must have set for it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/str.h"
#include "network/private.h"
#include "network/resolv.h"
#include "tabique/error.h"

static int sysctl_write(const char *family, const char *device, const char *name, const char *value)
{
    CLEANUP_FREE char *path = mem_printf("/proc/sys/net/%s/conf/%s/%s", family, device, name);

    return file_write_text(AT_FDCWD, path, value);
}

static int sysctl_is(const char *path, const char *value)
{
    CLEANUP_FREE char *text = NULL;
    int r = file_read(AT_FDCWD, path, 64, &text, NULL);

    if (r < 0)
        return r;
    text[strcspn(text, "\n")] = '\0';
    return strcmp(text, value) == 0;
}

/* Forwarding makes an interface deaf to router advertisements, from which it
 * may have its default route. 2 says: listen all the same. */
static void keep_advertisements(void)
{
    DIR *dir = opendir("/proc/sys/net/ipv6/conf");
    struct dirent *entry;

    if (!dir)
        return;
    while ((entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        CLEANUP_FREE char *path = mem_printf("/proc/sys/net/ipv6/conf/%s/accept_ra", entry->d_name);
        if (sysctl_is(path, "1") == 1)
            file_write_text(AT_FDCWD, path, "2");
    }
    closedir(dir);
}

int network__forwarding(struct network_manager *m, bool v6, struct error *err)
{
    const char *path = v6 ? "/proc/sys/net/ipv6/conf/all/forwarding" : "/proc/sys/net/ipv4/ip_forward";
    int r = sysctl_is(path, "1");

    if (r == 1)
        return 0;
    if (v6)
        keep_advertisements();
    if (r == 0)
        r = file_write_text(AT_FDCWD, path, "1");
    if (r < 0)
        return error_errno(err, r, "cannot turn on IP forwarding (%s)", path);
    *(v6 ? &m->set_forwarding6 : &m->set_forwarding) = true;
    return 0;
}

/* With br_netfilter frames between two ports pass the forward chain, which knows
 * of published ports; a port's isolation does not, and would stop those too.
 * Without it isolation is the only thing that stops such frames. */
bool network__wants_isolation(const struct net *net)
{
    return !net->icc && !(sysctl_is("/proc/sys/net/bridge/bridge-nf-call-iptables", "1") == 1 &&
                          sysctl_is("/proc/sys/net/bridge/bridge-nf-call-ip6tables", "1") == 1);
}

struct stale {
    int index;
    const struct net *net;
    struct netlink_batch *batch;
};

/* The bridge has one address of each family: the gateway of today. */
static void drop_other_address(void *user, int index, const struct cidr *cidr)
{
    struct stale *stale = user;
    const struct net_subnet *subnet = cidr->address.family == AF_INET ? &stale->net->v4 : &stale->net->v6;

    if (index != stale->index || stale->batch->count >= 8)
        return;
    if (cidr->address.family == AF_INET6 && cidr->address.bytes[0] == 0xfe) /* link-local */
        return;
    if (address_equal(&cidr->address, &subnet->gateway) && cidr->prefix == subnet->cidr.prefix)
        return;
    addr_delete(stale->batch, index, &cidr->address, cidr->prefix);
}

int network__bridge_ensure(struct network_manager *m, struct net *net, struct error *err)
{
    CLEANUP_FREE struct netlink_batch *batch = mem_new(struct netlink_batch);
    struct netlink_link link;
    bool made = false;
    int r = link_get(m->nl, net->bridge, &link);

    if (r == -ENODEV) {
        uint8_t mac[6];
        random_bytes(mac, sizeof(mac));
        mac[0] = 0x02;
        mac[1] = 0x42;
        link_add_bridge(batch, net->bridge, mac, net->mtu);
        link_set_alias(batch, net->bridge, m->alias);
        r = netlink_send(m->nl, batch, err);
        if (r < 0)
            return error_prefix(err, "bridge %s", net->bridge);
        made = true;
        r = link_get(m->nl, net->bridge, &link);
    }
    if (r < 0)
        return error_errno(err, r, "bridge %s", net->bridge);
    if (!made && strcmp(link.alias, m->alias) != 0)
        return error_set(err, EEXIST, "device %s exists already and is not ours", net->bridge);

    net->ifindex = link.index;
    bool has_v6 = net->v6.cidr.address.family != 0;
    /* No advertisement from a container may set the host's routes (CVE-2020-13401). */
    sysctl_write("ipv6", net->bridge, "accept_ra", "0");
    sysctl_write("ipv6", net->bridge, "disable_ipv6", has_v6 ? "0" : "1");
    r = sysctl_write("ipv4", net->bridge, "route_localnet", "1");
    if (r < 0)
        log_warning("network: ports published by %s will not answer on 127.0.0.1: %s", net->bridge, strerror(-r));
    if (!made) {
        struct stale stale = {link.index, net, batch};
        addr_each(m->nl, drop_other_address, &stale);
    }
    if (net->v4.cidr.address.family)
        addr_add(batch, link.index, &net->v4.gateway, net->v4.cidr.prefix);
    if (has_v6)
        addr_add(batch, link.index, &net->v6.gateway, net->v6.cidr.prefix);
    link_set_up(batch, net->bridge, 0);
    r = netlink_send(m->nl, batch, err);
    if (r < 0) {
        if (made)
            network__bridge_remove(m, net->bridge, NULL);
        return error_prefix(err, "bridge %s", net->bridge);
    }
    r = network__forwarding(m, false, err);
    if (r == 0 && has_v6)
        r = network__forwarding(m, true, err);
    return r;
}

int network__bridge_remove(struct network_manager *m, const char *bridge, struct error *err)
{
    CLEANUP_FREE struct netlink_batch *batch = mem_new(struct netlink_batch);

    link_delete(batch, bridge);
    return netlink_send(m->nl, batch, err);
}

struct busy {
    struct cidr *items;
    size_t count, capacity;
};

static void busy_add(struct busy *busy, const struct cidr *cidr)
{
    if (busy->count == busy->capacity) {
        busy->capacity = busy->capacity ? busy->capacity * 2 : 32;
        busy->items = mem_grow(busy->items, busy->capacity, sizeof(*busy->items));
    }
    busy->items[busy->count++] = *cidr;
}

static void on_host_cidr(void *user, int index, const struct cidr *cidr)
{
    busy_add(user, cidr);
}

/* A resolver behind the default route is in no table, and lost if a bridge
 * takes its subnet. */
static void busy_resolvers(struct busy *busy)
{
    struct resolv resolv = {0};

    if (resolv_read("/etc/resolv.conf", &resolv) < 0)
        return;
    for (char **server = resolv.servers; server && *server; server++) {
        struct cidr cidr = {0};
        if (address_parse(*server, &cidr.address) == 0) {
            cidr.prefix = (int)address_length(&cidr.address) * 8;
            busy_add(busy, &cidr);
        }
    }
    resolv_clear(&resolv);
}

int network__busy(struct network_manager *m, struct cidr **ret, size_t *ret_count)
{
    struct busy busy = {0};
    int r = addr_each(m->nl, on_host_cidr, &busy);

    if (r == 0)
        r = route_each(m->nl, on_host_cidr, &busy);
    if (r < 0) {
        free(busy.items);
        return r;
    }
    busy_resolvers(&busy);
    for (struct net *net = m->networks; net; net = net->next) {
        if (net->v4.cidr.address.family)
            busy_add(&busy, &net->v4.cidr);
        if (net->v6.cidr.address.family)
            busy_add(&busy, &net->v6.cidr);
    }
    *ret = busy.items;
    *ret_count = busy.count;
    return 0;
}

void network__nat_describe(const struct net *net, struct nat_network *ret)
{
    *ret = (struct nat_network){.bridge = net->bridge,
                                .v4 = net->v4.cidr,
                                .v6 = net->v6.cidr,
                                .internal = net->internal,
                                .masquerade = net->masquerade,
                                .icc = net->icc};
}

int network__nat_rebuild(struct network_manager *m, struct error *err)
{
    CLEANUP_FREE struct nat_network *networks = NULL;
    CLEANUP_FREE struct nat_port *ports = NULL;
    struct sandbox *sandbox, *next;
    size_t count = 0, port_count = 0;

    for (struct net *net = m->networks; net; net = net->next)
        count += net->kind == NET_BRIDGE;
    networks = mem_array(count + 1, sizeof(*networks));
    count = 0;
    for (struct net *net = m->networks; net; net = net->next)
        if (net->kind == NET_BRIDGE)
            network__nat_describe(net, &networks[count++]);
    HASH_ITER(hh, m->sandboxes, sandbox, next)
        network__nat_ports(sandbox, &ports, &port_count);
    int r = nat_setup(m->nat, networks, count, err);
    if (r == 0)
        r = nat_ports_replace(m->nat, ports, port_count, err);
    return r == -ENOENT ? error_set(err, EIO, "nftables refuses our table") : r;
}
