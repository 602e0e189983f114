/* sandbox.c - namespaces and interfaces of containers.
 *
 * Attaching costs two batches of netlink messages on the host's side, one
 * inside, and no change of rules: those are per network. A removed namespace is
 * taken apart by the kernel later, in the background; deleting the veth pair
 * ourselves would wait some 15 ms for RCU. So the addresses inside go first (a
 * few microseconds) and may be given out again at once, and entering the new
 * port's MAC into the bridge's table outdoes what the bridge remembers of the
 * old one.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/random.h"
#include "base/str.h"
#include "network/private.h"
#include "tabique/error.h"

#define REAP_AFTER_NS (10 * NS_PER_SEC) /* a busy kernel takes its time with dead namespaces */
#define ENDPOINTS_MAX 64
#define ALIASES_MAX 256
#define NAME_LENGTH_MAX 255

bool network__id_valid(const char *id)
{
    size_t length = id ? strlen(id) : 0;

    if (length == 0 || length > 64 || id[0] == '.')
        return false;
    for (const char *c = id; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("_.-", *c))
            return false;
    return true;
}

struct sandbox *network__sandbox(struct network_manager *m, const char *id)
{
    struct sandbox *sandbox = NULL;

    HASH_FIND_STR(m->sandboxes, id, sandbox);
    return sandbox;
}

struct sandbox *network__sandbox_new(struct network_manager *m, const char *id)
{
    struct sandbox *sandbox = mem_new(struct sandbox);

    snprintf(sandbox->id, sizeof(sandbox->id), "%s", id);
    sandbox->ns_fd = -EBADF;
    sandbox->forwarder = -EBADF;
    HASH_ADD_STR(m->sandboxes, id, sandbox);
    return sandbox;
}

static void endpoint_free(struct endpoint *e)
{
    free(e->container_name);
    strv_free(e->aliases);
    strv_free(e->links);
    strv_free(e->link_local);
}

static void endpoint_release(struct endpoint *e)
{
    if (e->v4.family)
        address_set_remove(&e->net->v4.used, &e->v4);
    if (e->v6.family)
        address_set_remove(&e->net->v6.used, &e->v6);
    e->net->endpoint_count--;
}

/* Interfaces whose namespace somebody else still holds would stay for ever. */
void network__reap(struct network_manager *m, bool all)
{
    int64_t now = clock_mono_ns();
    size_t kept = 0;
    bool deleted = false; /* one at a time: each holds the lock for milliseconds */

    for (size_t i = 0; i < m->reap_count; i++) {
        struct netlink_link link;
        if (!all && (deleted || now - m->reap[i].since_ns < REAP_AFTER_NS)) {
            m->reap[kept++] = m->reap[i];
        } else if (link_get(m->nl, m->reap[i].name, &link) == 0 && strcmp(link.alias, m->alias) == 0) {
            struct netlink_batch *batch = mem_new(struct netlink_batch);
            link_delete(batch, m->reap[i].name);
            netlink_send(m->nl, batch, NULL);
            free(batch);
            deleted = true;
        }
    }
    m->reap_count = kept;
}

static void reap_later(struct network_manager *m, const char *name)
{
    if (m->reap_count == REAP_MAX)
        network__reap(m, true);
    memcpy(m->reap[m->reap_count].name, name, sizeof(m->reap[0].name));
    m->reap[m->reap_count++].since_ns = clock_mono_ns();
}

static char *netns_path(const struct network_manager *m, const char *id)
{
    return path_join(m->netns_dir, id);
}

/* What is inside stops answering for its addresses, whoever keeps it alive. */
static void silence(struct sandbox *sandbox)
{
    CLEANUP_FREE struct netlink_batch *batch = mem_new(struct netlink_batch);

    for (size_t i = 0; i < sandbox->endpoint_count && batch->count + 2 < NETLINK_BATCH_MAX; i++) {
        struct endpoint *e = &sandbox->endpoints[i];
        if (e->index == 0)
            continue;
        if (e->v4.family)
            addr_delete(batch, e->index, &e->v4, e->net->v4.cidr.prefix);
        if (e->v6.family)
            addr_delete(batch, e->index, &e->v6, e->net->v6.cidr.prefix);
    }
    if (sandbox->nl)
        netlink_send(sandbox->nl, batch, NULL);
}

void network__sandbox_drop(struct network_manager *m, struct sandbox *sandbox, bool forget_only)
{
    HASH_DEL(m->sandboxes, sandbox);
    if (!forget_only) {
        network__ports_forget(m, sandbox);
        network__forward_stop(m, sandbox); /* also where the state file was lost */
        if (sandbox->dns)
            dns_remove(m->dns, sandbox->id);
        silence(sandbox);
        for (size_t i = 0; i < sandbox->endpoint_count; i++) {
            endpoint_release(&sandbox->endpoints[i]);
            if (sandbox->endpoints[i].host_interface[0])
                reap_later(m, sandbox->endpoints[i].host_interface);
        }
        if (sandbox->ns_fd >= 0) {
            CLEANUP_FREE char *path = netns_path(m, sandbox->id);
            netns_unpin(path);
        }
        network__unlink_sandbox(m, sandbox->id);
    }
    netlink_close(&sandbox->nl);
    cleanup_close(&sandbox->ns_fd);
    cleanup_close(&sandbox->forwarder);
    for (size_t i = 0; i < sandbox->endpoint_count; i++)
        endpoint_free(&sandbox->endpoints[i]);
    free(sandbox->endpoints);
    free(sandbox->ports);
    strv_free(sandbox->nameservers);
    free(sandbox);
}

int network_sandbox_create(struct network_manager *m, const char *container_id, char **ret_path, struct error *err)
{
    CLEANUP_FREE char *path = NULL;
    CLEANUP_CLOSE int fd = -EBADF;
    CLEANUP_NETLINK struct mnl_socket *nl = NULL;
    struct sandbox *sandbox;

    if (!network__id_valid(container_id))
        return error_set(err, EINVAL, "invalid container id \"%.80s\"", container_id ? container_id : "");
    int r = netns_new(m->worker, &fd, &nl);
    if (r < 0)
        return error_errno(err, r, "cannot make a network namespace");
    path = netns_path(m, container_id);
    pthread_mutex_lock(&m->lock);
    network__reap(m, false);
    sandbox = network__sandbox(m, container_id);
    if (sandbox)
        network__sandbox_drop(m, sandbox, false);
    r = netns_pin(fd, path);
    if (r == -EEXIST) { /* of a server that was killed */
        netns_unpin(path);
        r = netns_pin(fd, path);
    }
    if (r == 0) {
        sandbox = network__sandbox_new(m, container_id);
        sandbox->ns_fd = TAKE_FD(fd);
        sandbox->nl = TAKE_PTR(nl);
    }
    pthread_mutex_unlock(&m->lock);
    if (r < 0)
        return error_errno(err, r == -ENOENT ? EIO : r, "cannot keep the network namespace at %s", path);
    *ret_path = TAKE_PTR(path);
    return 0;
}

void network_sandbox_remove(struct network_manager *m, const char *container_id)
{
    if (!network__id_valid(container_id))
        return;
    pthread_mutex_lock(&m->lock);
    struct sandbox *sandbox = network__sandbox(m, container_id);
    if (sandbox) {
        network__sandbox_drop(m, sandbox, false);
    } else { /* of a server that was killed while it made one */
        CLEANUP_FREE char *path = netns_path(m, container_id);
        netns_unpin(path);
        network__unlink_sandbox(m, container_id);
    }
    network__reap(m, false);
    pthread_mutex_unlock(&m->lock);
}

/* --- interfaces ------------------------------------------------------------ */

struct sysctl_job {
    char path[96];
    const char *value;
};

static int write_sysctl(void *user)
{
    struct sysctl_job *job = user;

    return file_write_text(AT_FDCWD, job->path, job->value);
}

static int link_inside(struct network_manager *m, struct sandbox *sandbox, struct endpoint *e,
                       struct netlink_batch *batch, struct error *err)
{
    struct netlink_link link;
    int r = link_get(sandbox->nl, e->interface, &link);

    if (r < 0)
        return error_errno(err, r == -ENODEV ? EIO : r, "interface %s", e->interface);
    e->index = link.index;
    if (e->v6.family) {
        struct sysctl_job job = {.value = "0"};
        snprintf(job.path, sizeof(job.path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", e->interface);
        r = netns_run(m->worker, sandbox->ns_fd, write_sysctl, &job);
        if (r < 0)
            return error_errno(err, r == -ENOENT ? EIO : r, "cannot turn IPv6 on for %s", e->interface);
    }
    if (e->v4.family)
        addr_add(batch, link.index, &e->v4, e->net->v4.cidr.prefix);
    if (e->v6.family)
        addr_add(batch, link.index, &e->v6, e->net->v6.cidr.prefix);
    for (char **text = e->link_local; text && *text; text++) {
        struct address address;
        if (address_parse(*text, &address) == 0 && (address.family == AF_INET || e->v6.family))
            addr_add(batch, link.index, &address, address.family == AF_INET ? 16 : 64);
    }
    link_set_up(batch, NULL, link.index);
    return netlink_send(sandbox->nl, batch, err);
}

/* Neighbours that remember another MAC for the address hear of the new one. The
 * bridge's port forwards a moment after it has come up: wait for that. */
static void announce_address(struct network_manager *m, struct sandbox *sandbox, const struct endpoint *e,
                             struct netlink_batch *batch)
{
    const struct timespec moment = {.tv_nsec = NS_PER_MS};
    struct netlink_link link = {0};

    for (int i = 0; i < 50 && !link.operational; i++) {
        if (i > 0)
            nanosleep(&moment, NULL);
        if (link_get(m->nl, e->host_interface, &link) < 0)
            return;
    }
    link_announce(batch, e->index, e->mac);
    netlink_send(sandbox->nl, batch, NULL);
}

/* The endpoint's pair, its addresses and the bridge's knowledge of it. announce:
 * neighbours may remember another MAC for the address. */
int network__link_create(struct network_manager *m, struct sandbox *sandbox, struct endpoint *e, bool announce,
                         struct error *err)
{
    CLEANUP_FREE struct netlink_batch *batch = mem_new(struct netlink_batch);
    struct netlink_link link;
    int r;

    for (int attempt = 0;; attempt++) {
        uint32_t draw;
        random_bytes(&draw, sizeof(draw));
        snprintf(e->host_interface, sizeof(e->host_interface), "veth%07x", draw & 0xfffffff);
        link_add_veth(batch, e->host_interface, e->net->ifindex, e->net->mtu, e->interface, e->mac, sandbox->ns_fd);
        r = netlink_send(m->nl, batch, err);
        if (r != -EEXIST || attempt == 8)
            break;
    }
    if (r < 0) {
        e->host_interface[0] = '\0';
        return r;
    }
    link_set_no_ipv6(batch, e->host_interface);
    link_set_alias(batch, e->host_interface, m->alias);
    link_set_up(batch, e->host_interface, 0);
    r = netlink_send(m->nl, batch, err);
    if (r == 0) {
        r = link_get(m->nl, e->host_interface, &link);
        if (r < 0)
            error_errno(err, r, "interface %s", e->host_interface);
    }
    if (r == 0) {
        fdb_set(batch, link.index, e->mac);
        if (e->v4.family)
            neigh_set(batch, e->net->ifindex, &e->v4, e->mac);
        if (e->v6.family)
            neigh_set(batch, e->net->ifindex, &e->v6, e->mac);
        if (network__wants_isolation(e->net))
            link_set_port(batch, link.index, LINK_PORT_ISOLATED);
        r = netlink_send(m->nl, batch, err);
    }
    if (r == 0)
        r = link_inside(m, sandbox, e, batch, err);
    if (r == 0 && announce)
        announce_address(m, sandbox, e, batch);
    if (r < 0) {
        memset(batch, 0, offsetof(struct netlink_batch, tolerate));
        link_delete(batch, e->host_interface);
        netlink_send(m->nl, batch, NULL);
        e->host_interface[0] = '\0';
        e->index = 0;
    }
    return r;
}

struct endpoint *network__gateway(const struct sandbox *sandbox)
{
    for (size_t i = 0; i < sandbox->endpoint_count; i++)
        if (strcmp(sandbox->endpoints[i].net->id, sandbox->gateway_network) == 0)
            return &sandbox->endpoints[i];
    return NULL;
}

static bool leads_out(const struct endpoint *e)
{
    return e->net->kind == NET_BRIDGE && !e->net->internal;
}

/* The first endpoint that leads out has the default route and the published
 * ports; when it goes, the next one takes over. A route that is set is not set
 * again: a machine's namespace has handed its addresses to the guest, and has
 * no use for one. */
int network__gateway_update(struct network_manager *m, struct sandbox *sandbox, bool force, struct error *err)
{
    CLEANUP_FREE struct netlink_batch *batch = mem_new(struct netlink_batch);
    struct endpoint *gateway = network__gateway(sandbox), *gateway6 = NULL;
    bool moved = !gateway;
    int r;

    for (size_t i = 0; i < sandbox->endpoint_count && !gateway; i++)
        if (leads_out(&sandbox->endpoints[i]))
            gateway = &sandbox->endpoints[i];
    if (gateway && gateway->v6.family)
        gateway6 = gateway;
    for (size_t i = 0; i < sandbox->endpoint_count && !gateway6; i++)
        if (leads_out(&sandbox->endpoints[i]) && sandbox->endpoints[i].v6.family)
            gateway6 = &sandbox->endpoints[i];
    const char *name6 = gateway6 ? gateway6->net->id : "";
    bool moved6 = strcmp(sandbox->gateway6_network, name6) != 0;
    snprintf(sandbox->gateway_network, sizeof(sandbox->gateway_network), "%s", gateway ? gateway->net->id : "");
    snprintf(sandbox->gateway6_network, sizeof(sandbox->gateway6_network), "%s", name6);
    if (!gateway || sandbox->ns_fd < 0)
        return 0;
    if (gateway->v4.family && (moved || force))
        route_default(batch, gateway->index, &gateway->net->v4.gateway, true);
    if (gateway6 && (moved6 || force))
        route_default(batch, gateway6->index, &gateway6->net->v6.gateway, true);
    r = netlink_send(sandbox->nl, batch, err);
    if (r == 0 && moved && sandbox->port_count > 0)
        r = network__ports_apply(m, sandbox, true, err);
    return r;
}

struct dns_job {
    int udp, tcp;
};

static int open_dns(void *user)
{
    struct dns_job *job = user;

    return dns_sockets(&job->udp, &job->tcp);
}

int network__dns_update(struct network_manager *m, struct sandbox *sandbox)
{
    struct dns_job job = {-EBADF, -EBADF};
    bool wanted = false;

    for (size_t i = 0; i < sandbox->endpoint_count; i++)
        wanted = wanted || (sandbox->endpoints[i].net->kind == NET_BRIDGE && !sandbox->endpoints[i].net->builtin);
    if (!wanted || sandbox->dns || sandbox->ns_fd < 0)
        return 0;
    int r = netns_run(m->worker, sandbox->ns_fd, open_dns, &job);
    if (r == 0)
        r = dns_add(m->dns, sandbox->id, job.udp, job.tcp);
    if (r < 0)
        log_warning("network: no name server in the namespace of %.12s: %s", sandbox->id, strerror(-r));
    else
        sandbox->dns = true;
    return r;
}

/* --- attaching ------------------------------------------------------------- */

static int take_address(struct net_subnet *subnet, int family, const char *asked, bool builtin, struct address *ret,
                        struct error *err)
{
    const struct cidr *range = subnet->range.address.family ? &subnet->range : &subnet->cidr;
    struct address address;

    if (!asked || !*asked) {
        if (!subnet->cidr.address.family)
            return 0;
        if (address_set_allocate(&subnet->used, &subnet->cidr, range, ret) < 0)
            return error_set(err, EIO, "no available IPv%d addresses on this network's address pools",
                             family == AF_INET6 ? 6 : 4);
        return 0;
    }
    if (address_parse(asked, &address) < 0 || address.family != family || address_is_any(&address))
        return error_set(err, EINVAL, "invalid IPv%d address: %s", family == AF_INET6 ? 6 : 4, asked);
    if (builtin)
        return error_set(err, EINVAL, "user-specified IP address is supported on user-defined networks only");
    if (!subnet->cidr.address.family || !cidr_contains(&subnet->cidr, &address))
        return subnet->configured
                   ? error_set(err, EINVAL, "invalid endpoint settings: no configured subnet or ip-range contain the IP "
                               "address %s", asked)
                   : error_set(err, EINVAL, "invalid endpoint settings: user specified IP address is supported only when "
                               "connecting to networks with user configured subnets");
    if (!subnet->configured)
        return error_set(err, EINVAL, "invalid endpoint settings: user specified IP address is supported only when "
                         "connecting to networks with user configured subnets");
    if (address_set_add(&subnet->used, &address) < 0)
        return error_set(err, EPERM, "Address already in use");
    *ret = address;
    return 0;
}

static void choose_interface(const struct sandbox *sandbox, struct endpoint *e)
{
    bool used = true;

    for (int n = 0; used; n++) {
        snprintf(e->interface, sizeof(e->interface), "%s%d", e->net->prefix ? e->net->prefix : "eth", n);
        used = false;
        for (size_t i = 0; i < sandbox->endpoint_count; i++)
            used = used || strcmp(sandbox->endpoints[i].interface, e->interface) == 0;
    }
}

/* Docker's: from the IPv4 address, so that an address always has the same MAC. */
static void choose_mac(struct endpoint *e)
{
    if (e->v4.family) {
        e->mac[0] = 0x02;
        e->mac[1] = 0x42;
        memcpy(&e->mac[2], e->v4.bytes, 4);
    } else {
        random_bytes(e->mac, sizeof(e->mac));
        e->mac[0] = (uint8_t)((e->mac[0] & 0xfe) | 0x02);
    }
}

static int check_names(const struct net *net, const struct network_endpoint *w, struct error *err)
{
    size_t count = w ? strv_length(w->aliases) : 0;

    if (count > 0 && net->builtin)
        return error_set(err, EINVAL, "invalid endpoint settings: network-scoped alias is supported only for containers in user defined networks");
    if (count > ALIASES_MAX)
        return error_set(err, EINVAL, "more than %d aliases", ALIASES_MAX);
    for (size_t i = 0; i < count; i++)
        if (strlen(w->aliases[i]) > NAME_LENGTH_MAX)
            return error_set(err, EINVAL, "alias longer than %d characters", NAME_LENGTH_MAX);
    return 0;
}

/* Fills e, which holds addresses and counts as one of the network's from then on. */
static int prepare(struct sandbox *sandbox, struct net *net, const struct network_endpoint *w, struct endpoint *e,
                   struct error *err)
{
    int r;

    *e = (struct endpoint){.net = net};
    random_id(e->id);
    if (net->kind == NET_BRIDGE) {
        if (w && w->mac[0] && mac_parse(w->mac, e->mac) < 0)
            return error_set(err, EINVAL, "invalid MAC address: %s", w->mac);
        r = take_address(&net->v4, AF_INET, w ? w->ipv4 : NULL, net->builtin, &e->v4, err);
        if (r < 0)
            return r;
        struct address none; /* a network without IPv6 takes the wish, as Docker's, and gives nothing */
        const char *ipv6 = w ? w->ipv6 : NULL;
        if (net->ipv6 || !ipv6 || !*ipv6)
            r = take_address(&net->v6, AF_INET6, ipv6, net->builtin, &e->v6, err);
        else if ((r = take_address(&net->unused6, AF_INET6, ipv6, net->builtin, &none, err)) == 0)
            address_set_remove(&net->unused6.used, &none);
        if (r < 0) {
            if (e->v4.family)
                address_set_remove(&net->v4.used, &e->v4);
            return r;
        }
        if (!w || !w->mac[0])
            choose_mac(e);
        choose_interface(sandbox, e);
    }
    if (w) {
        e->container_name = mem_strdup(w->container_name);
        e->aliases = strv_dup(w->aliases);
        e->links = strv_dup(w->links);
        e->link_local = strv_dup(w->link_local);
    }
    net->endpoint_count++;
    return 0;
}

/* Out of the sandbox, its pair and addresses given back. */
static int endpoint_remove(struct network_manager *m, struct sandbox *sandbox, size_t at, struct error *err)
{
    struct endpoint e = sandbox->endpoints[at];

    if (network__gateway(sandbox) == &sandbox->endpoints[at] && sandbox->port_count > 0)
        network__ports_apply(m, sandbox, false, NULL);
    if (e.host_interface[0]) {
        CLEANUP_FREE struct netlink_batch *batch = mem_new(struct netlink_batch);
        link_delete(batch, e.host_interface);
        int r = netlink_send(m->nl, batch, err);
        if (r < 0)
            return r;
    }
    endpoint_release(&e);
    endpoint_free(&e);
    sandbox->endpoint_count--;
    memmove(&sandbox->endpoints[at], &sandbox->endpoints[at + 1],
            (sandbox->endpoint_count - at) * sizeof(*sandbox->endpoints));
    return network__gateway_update(m, sandbox, false, err);
}

static int attach_locked(struct network_manager *m, const char *container_id, const char *network,
                         const struct network_endpoint *w, struct network_endpoint *ret, struct error *err)
{
    struct net *net = network__find(m, network, err);
    struct sandbox *sandbox;
    struct endpoint e;
    bool fresh = false;
    int r;

    if (!net)
        return -err->code;
    if (net->kind == NET_CONFIG)
        return error_set(err, EPERM, "cannot create endpoint on configuration-only network");
    sandbox = network__sandbox(m, container_id);
    if (!sandbox && net->kind == NET_BRIDGE)
        return error_set(err, EIO, "container %.12s has no network namespace", container_id);
    for (size_t i = 0; sandbox && i < sandbox->endpoint_count; i++)
        if (sandbox->endpoints[i].net == net)
            return error_set(err, EPERM, "endpoint with name %s already exists in network %s",
                             w && w->container_name ? w->container_name : container_id, net->name);
    if (sandbox && sandbox->endpoint_count >= ENDPOINTS_MAX)
        return error_set(err, EINVAL, "a container can be on %d networks at most", ENDPOINTS_MAX);
    r = check_names(net, w, err);
    if (r < 0)
        return r;
    if (!sandbox) {
        sandbox = network__sandbox_new(m, container_id);
        fresh = true;
    }
    r = prepare(sandbox, net, w, &e, err);
    if (r == 0 && net->kind == NET_BRIDGE) {
        r = network__link_create(m, sandbox, &e, w && w->mac[0], err);
        if (r < 0) {
            endpoint_release(&e);
            endpoint_free(&e);
        }
    }
    if (r < 0) {
        if (fresh)
            network__sandbox_drop(m, sandbox, true);
        return r;
    }
    sandbox->endpoints = mem_grow(sandbox->endpoints, sandbox->endpoint_count + 1, sizeof(e));
    sandbox->endpoints[sandbox->endpoint_count++] = e;
    r = network__gateway_update(m, sandbox, false, err);
    if (r == 0) {
        r = network__save_sandbox(m, sandbox);
        if (r < 0)
            error_errno(err, r == -ENOENT ? EIO : r, "cannot write the state of %.12s", container_id);
    }
    if (r < 0) {
        endpoint_remove(m, sandbox, sandbox->endpoint_count - 1, NULL);
        return r;
    }
    network__dns_update(m, sandbox);
    if (ret)
        network__endpoint_copy(sandbox, &sandbox->endpoints[sandbox->endpoint_count - 1], ret);
    return 0;
}

int network_attach(struct network_manager *m, const char *container_id, const char *network,
                   const struct network_endpoint *wanted, struct network_endpoint *ret, struct error *err)
{
    struct error why = ERROR_INIT;

    if (!network__id_valid(container_id))
        return error_set(err, EINVAL, "invalid container id \"%.80s\"", container_id ? container_id : "");
    pthread_mutex_lock(&m->lock);
    int r = attach_locked(m, container_id, network, wanted, ret, &why);
    pthread_mutex_unlock(&m->lock);
    return r < 0 ? error_set(err, r, "%s", why.message) : 0;
}

static int detach_locked(struct network_manager *m, const char *container_id, const char *network, struct error *err)
{
    struct sandbox *sandbox = network__sandbox(m, container_id);
    size_t at = 0;
    int r;

    /* Among the container's own: several networks may share a name. */
    while (sandbox && at < sandbox->endpoint_count && strcmp(sandbox->endpoints[at].net->name, network) != 0 &&
           strcmp(sandbox->endpoints[at].net->id, network) != 0)
        at++;
    if (!sandbox || at == sandbox->endpoint_count) {
        const struct net *net = network__find(m, network, err);
        return net ? error_set(err, EIO, "container %s is not connected to network %s", container_id, net->name)
                   : -err->code;
    }
    r = endpoint_remove(m, sandbox, at, err);
    if (sandbox->ns_fd < 0 && sandbox->endpoint_count == 0)
        network__sandbox_drop(m, sandbox, false);
    else
        network__save_sandbox(m, sandbox);
    return r;
}

int network_detach(struct network_manager *m, const char *container_id, const char *network, struct error *err)
{
    struct error why = ERROR_INIT;

    if (!network__id_valid(container_id))
        return error_set(err, EINVAL, "invalid container id");
    pthread_mutex_lock(&m->lock);
    int r = detach_locked(m, container_id, network, &why);
    pthread_mutex_unlock(&m->lock);
    return r < 0 ? error_set(err, r, "%s", why.message) : 0;
}

int network_set_nameservers(struct network_manager *m, const char *container_id, char *const *servers,
                            struct error *err)
{
    int r = 0;

    for (char *const *server = servers; server && *server; server++) {
        struct address address;
        if (address_parse(*server, &address) < 0)
            return error_set(err, EINVAL, "%s is not an IP address", *server);
    }
    pthread_mutex_lock(&m->lock);
    struct sandbox *sandbox = network__id_valid(container_id) ? network__sandbox(m, container_id) : NULL;
    if (sandbox) {
        strv_freep(&sandbox->nameservers);
        sandbox->nameservers = strv_dup(servers);
        if (sandbox->endpoint_count > 0)
            network__save_sandbox(m, sandbox);
    } else {
        r = error_set(err, EIO, "container %.12s has no network namespace", container_id);
    }
    pthread_mutex_unlock(&m->lock);
    return r;
}

void network_rename_container(struct network_manager *m, const char *container_id, const char *name)
{
    pthread_mutex_lock(&m->lock);
    struct sandbox *sandbox = network__id_valid(container_id) ? network__sandbox(m, container_id) : NULL;
    for (size_t i = 0; sandbox && i < sandbox->endpoint_count; i++) {
        free(sandbox->endpoints[i].container_name);
        sandbox->endpoints[i].container_name = mem_strdup(name);
    }
    if (sandbox && sandbox->endpoint_count > 0)
        network__save_sandbox(m, sandbox);
    pthread_mutex_unlock(&m->lock);
}

bool network_has_dns(struct network_manager *m, const char *container_id)
{
    pthread_mutex_lock(&m->lock);
    struct sandbox *sandbox = network__id_valid(container_id) ? network__sandbox(m, container_id) : NULL;
    bool has = sandbox && sandbox->dns;
    pthread_mutex_unlock(&m->lock);
    return has;
}

/* --- statistics ------------------------------------------------------------ */

struct stats_list {
    const struct sandbox *sandbox;
    struct network_stats *items;
    size_t count;
};

/* What the container or a machine's worker has made in there is not counted:
 * the same bytes would come up twice. */
static bool is_endpoint(const struct sandbox *sandbox, const char *interface)
{
    for (size_t i = 0; i < sandbox->endpoint_count; i++)
        if (strcmp(sandbox->endpoints[i].interface, interface) == 0)
            return true;
    return false;
}

static void on_stats(void *user, const struct netlink_link *link)
{
    struct stats_list *list = user;
    struct network_stats *s = NULL;

    if (!link->has_stats || !is_endpoint(list->sandbox, link->name))
        return;
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].interface, link->name) == 0)
            s = &list->items[i];
    if (!s) {
        list->items = mem_grow(list->items, list->count + 1, sizeof(*list->items));
        s = &list->items[list->count++];
    }
    *s = (struct network_stats){
        .rx_bytes = link->stats.rx_bytes,     .rx_packets = link->stats.rx_packets,
        .rx_errors = link->stats.rx_errors,   .rx_dropped = link->stats.rx_dropped,
        .tx_bytes = link->stats.tx_bytes,     .tx_packets = link->stats.tx_packets,
        .tx_errors = link->stats.tx_errors,   .tx_dropped = link->stats.tx_dropped,
    };
    snprintf(s->interface, sizeof(s->interface), "%s", link->name);
}

int network_stats(struct network_manager *m, const char *container_id, struct network_stats **ret, size_t *ret_count)
{
    struct stats_list list = {0};
    int r = -ENOENT;

    pthread_mutex_lock(&m->lock);
    struct sandbox *sandbox = network__id_valid(container_id) ? network__sandbox(m, container_id) : NULL;
    list.sandbox = sandbox;
    if (sandbox)
        r = sandbox->nl ? link_each(sandbox->nl, true, on_stats, &list) : 0;
    pthread_mutex_unlock(&m->lock);
    if (r < 0) {
        free(list.items);
        return r;
    }
    *ret = list.items;
    *ret_count = list.count;
    return 0;
}
