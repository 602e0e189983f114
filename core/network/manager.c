/* manager.c - opening and closing, and networks as such. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/random.h"
#include "base/str.h"
#include "network/private.h"
#include "tabique/error.h"

#define NAMESPACES_AHEAD 4

/* --- opening --------------------------------------------------------------- */

/* Which manager an interface belongs to must be the same after a restart and
 * differ between servers; FNV-1a is enough for that. */
static void make_alias(struct network_manager *m)
{
    CLEANUP_FREE char *real = realpath(m->run_dir, NULL);
    uint64_t hash = UINT64_C(14695981039346656037);

    for (const char *c = real ? real : m->run_dir; *c; c++)
        hash = (hash ^ (uint8_t)*c) * UINT64_C(1099511628211);
    snprintf(m->alias, sizeof(m->alias), "tabique:%016llx", (unsigned long long)hash);
}

/* What leaves by the default route must fit there: 1500 is too much behind many
 * tunnels, and then large packets vanish silently. */
static int default_mtu(struct network_manager *m)
{
    int mtu = link_default_mtu(m->nl);

    return mtu < 1280 || mtu > 1500 ? 1500 : mtu;
}

static struct net *builtin(struct network_manager *m, const char *name, enum net_kind kind)
{
    struct net *net = m->networks;

    while (net && !(net->builtin && net->kind == kind))
        net = net->next;
    if (net)
        return net;
    net = mem_new(struct net);
    random_id(net->id);
    net->name = mem_strdup(name);
    net->kind = kind;
    net->builtin = net->icc = net->masquerade = true;
    net->mtu = m->mtu;
    net->created_ns = clock_real_ns();
    net->next = m->networks;
    m->networks = net;
    return net;
}

static void set_subnet(struct net_subnet *subnet, const struct cidr *cidr, const struct address *gateway)
{
    address_set_clear(&subnet->used);
    subnet->cidr = cidr_masked(cidr);
    subnet->gateway = *gateway;
    address_set_add(&subnet->used, gateway);
}

int network__choose_subnet(struct network_manager *m, struct cidr *ret, struct error *err)
{
    CLEANUP_FREE struct cidr *busy = NULL;
    size_t count;
    int r = network__busy(m, &busy, &count);

    if (r < 0)
        return error_errno(err, r, "cannot read the host's addresses and routes");
    if (address_pool_choose(m->pools, m->pool_count, busy, count, ret) < 0)
        return error_set(err, EINVAL, "all predefined address pools have been fully subnetted");
    return 0;
}

/* Does the remembered subnet of a bridge that is not there (any more) meet
 * something that the host has got since? */
static bool subnet_lost(struct network_manager *m, struct net *net)
{
    CLEANUP_FREE struct cidr *busy = NULL;
    struct netlink_link link;
    struct cidr own = net->v4.cidr;
    size_t count;
    bool lost = false;

    if (link_get(m->nl, net->bridge, &link) == 0)
        return false;
    net->v4.cidr = (struct cidr){0}; /* not to meet itself */
    if (network__busy(m, &busy, &count) == 0)
        for (size_t i = 0; i < count && !lost; i++)
            lost = busy[i].address.family == AF_INET && cidr_overlaps(&busy[i], &own);
    net->v4.cidr = own;
    return lost;
}

static const struct {
    const char *name, *value;
} default_options[] = {
    {"com.docker.network.bridge.default_bridge", "true"},
    {"com.docker.network.bridge.enable_icc", "true"},
    {"com.docker.network.bridge.enable_ip_masquerade", "true"},
    {"com.docker.network.bridge.host_binding_ipv4", "0.0.0.0"},
    {"com.docker.network.bridge.name", NULL},
    {"com.docker.network.driver.mtu", NULL},
};

static void describe_default(struct net *net)
{
    if (net->options)
        return;
    net->options = mem_array(ARRAY_SIZE(default_options), sizeof(*net->options));
    net->option_count = ARRAY_SIZE(default_options);
    for (size_t i = 0; i < net->option_count; i++)
        net->options[i].name = mem_strdup(default_options[i].name);
}

static void refresh_default(struct net *net)
{
    describe_default(net);
    for (size_t i = 0; i < net->option_count && i < ARRAY_SIZE(default_options); i++) {
        free(net->options[i].value);
        net->options[i].value = default_options[i].value ? mem_strdup(default_options[i].value)
                                : i == 4                 ? mem_strdup(net->bridge)
                                                         : mem_printf("%d", net->mtu);
    }
}

static int open_default(struct network_manager *m, const struct network_options *o, struct error *err)
{
    struct net *net = m->bridge = builtin(m, "bridge", NET_BRIDGE);
    struct cidr cidr;
    struct error last = ERROR_INIT;
    bool named = o->bridge && *o->bridge;
    int r;

    net->mtu = m->mtu;
    if (o->bip && *o->bip) {
        if (cidr_parse(o->bip, &cidr) < 0 || cidr.address.family != AF_INET || cidr.prefix > 30)
            return error_set(err, EINVAL, "invalid bridge address \"%s\": write ADDRESS/LENGTH, for example "
                             "172.29.0.1/16", o->bip);
        set_subnet(&net->v4, &cidr, &cidr.address);
    } else if (!net->v4.cidr.address.family || subnet_lost(m, net)) {
        r = network__choose_subnet(m, &cidr, err);
        if (r < 0)
            return r;
        struct address gateway = cidr.address;
        address_add(&gateway, 1);
        set_subnet(&net->v4, &cidr, &gateway);
    }
    /* The remembered device first; then tabique0, tabique1, ... */
    for (int i = named || net->bridge[0] ? -1 : 0; i < 1000; i++) {
        if (named)
            snprintf(net->bridge, sizeof(net->bridge), "%.15s", o->bridge);
        else if (i >= 0)
            snprintf(net->bridge, sizeof(net->bridge), "tabique%d", i);
        last = ERROR_INIT;
        r = network__bridge_ensure(m, net, &last);
        if (r != -EEXIST || named)
            break;
    }
    if (r < 0)
        return error_set(err, r, "the default bridge cannot be set up: %s", last.message);
    refresh_default(net);
    return network__save_net(m, net, err);
}

static int open_kernel(struct network_manager *m, const struct network_options *o, struct error *err)
{
    CLEANUP_CLOSE int lock = -EBADF;
    CLEANUP_FREE char *table = NULL;
    int r = netlink_open(NETLINK_ROUTE, &m->nl);

    if (r < 0)
        return error_errno(err, r, "netlink");
    m->mtu = o->mtu > 0 ? o->mtu : default_mtu(m);
    r = network__load_nets(m, err);
    if (r < 0)
        return r;
    r = network__save_net(m, builtin(m, "host", NET_HOST), err);
    if (r == 0)
        r = network__save_net(m, builtin(m, "none", NET_NULL), err);
    if (r < 0)
        return r;
    /* Two servers that start at once must not choose the same device or subnet:
     * the host's network namespace itself is the lock that both can see. */
    lock = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (lock >= 0)
        flock(lock, LOCK_EX);
    r = open_default(m, o, err);
    if (r < 0)
        return r;
    for (struct net *net = m->networks; net; net = net->next) {
        struct error why = ERROR_INIT;
        if (net->kind == NET_BRIDGE && net != m->bridge && network__bridge_ensure(m, net, &why) < 0)
            log_warning("network %s cannot be set up: %s", net->name, why.message);
    }
    table = mem_printf("tabique-%s", m->bridge->bridge);
    r = nat_open(table, m->alias, &m->nat, err);
    if (r < 0)
        return r;
    CLEANUP_FREE struct nat_network *described = NULL;
    size_t count = 0;
    for (struct net *net = m->networks; net; net = net->next)
        count++;
    described = mem_array(count, sizeof(*described));
    count = 0;
    for (struct net *net = m->networks; net; net = net->next)
        if (net->kind == NET_BRIDGE)
            network__nat_describe(net, &described[count++]);
    /* Ports of containers that run on stay in their maps until network_restore(). */
    r = nat_setup(m->nat, described, count, err);
    if (r < 0)
        return r;
    r = network__watch_start(m, table, &m->watch);
    return r < 0 ? error_errno(err, r, "cannot watch the rules") : 0;
}

int network_manager_open(const struct network_options *options, struct network_manager **ret, struct error *err)
{
    struct network_manager *m = mem_new(struct network_manager);
    int r;

    pthread_mutex_init(&m->lock, NULL);
    m->data_dir = mem_strdup(options->data_dir);
    m->run_dir = mem_strdup(options->run_dir);
    m->netns_dir = path_join(m->run_dir, "netns");
    m->state_dir = path_join(m->run_dir, "network");
    m->forwarder = mem_strdup(options->forwarder);
    m->forwarders = epoll_create1(EPOLL_CLOEXEC);
    r = m->forwarders < 0 ? error_errno(err, errno, "cannot make an epoll instance") : 0;
    if (r == 0)
        r = address_pools(options->address_pools, &m->pools, &m->pool_count, err);
    for (const char *const *dir = (const char *const[]){m->data_dir, m->netns_dir, m->state_dir, NULL};
         r == 0 && *dir; dir++) {
        r = path_mkdirs(*dir, 0700);
        if (r < 0)
            error_errno(err, r == -ENOENT ? EIO : r, "cannot make %s", *dir);
    }
    if (r == 0) {
        make_alias(m);
        r = netns_worker_new(NAMESPACES_AHEAD, &m->worker);
        if (r < 0)
            error_errno(err, r, "cannot start the namespace thread");
    }
    if (r == 0)
        r = open_kernel(m, options, err);
    if (r == 0) {
        r = dns_new(network__dns_lookup, m, &m->dns);
        if (r < 0)
            error_errno(err, r, "cannot start the name server");
    }
    if (r < 0) {
        network_manager_close(m);
        return r;
    }
    *ret = m;
    return 0;
}

void network_manager_close(struct network_manager *m)
{
    struct sandbox *sandbox, *next;

    if (!m)
        return;
    network__watch_stop(m->watch); /* these two first: their threads use the rest */
    dns_free(m->dns);
    m->dns = NULL;
    HASH_ITER(hh, m->sandboxes, sandbox, next)
        network__sandbox_drop(m, sandbox, true);
    port_table_clear(&m->ports);
    while (m->networks) {
        struct net *net = m->networks;
        m->networks = net->next;
        network__free(net);
    }
    netns_worker_free(m->worker);
    nat_close(m->nat);
    netlink_close(&m->nl);
    cleanup_close(&m->forwarders);
    pthread_mutex_destroy(&m->lock);
    free(m->pools);
    free(m->data_dir);
    free(m->run_dir);
    free(m->netns_dir);
    free(m->state_dir);
    free(m->forwarder);
    free(m);
}

struct own_links {
    const char *alias;
    char **names;
};

static void on_own_link(void *user, const struct netlink_link *link)
{
    struct own_links *own = user;

    if (strcmp(link->alias, own->alias) == 0 && !strv_contains(own->names, link->name))
        strv_push(&own->names, link->name);
}

void network_manager_destroy_all(struct network_manager *m)
{
    struct own_links own = {.alias = m->alias};
    struct sandbox *sandbox, *next;
    CLEANUP_FREE struct netlink_batch *batch = mem_new(struct netlink_batch);

    pthread_mutex_lock(&m->lock);
    m->destroyed = true;
    HASH_ITER(hh, m->sandboxes, sandbox, next)
        network__sandbox_drop(m, sandbox, false);
    DIR *dir = opendir(m->netns_dir);
    struct dirent *entry;
    while (dir && (entry = readdir(dir)))
        if (entry->d_name[0] != '.') {
            CLEANUP_FREE char *path = path_join(m->netns_dir, entry->d_name);
            netns_unpin(path);
        }
    if (dir)
        closedir(dir);
    nat_drop(m->nat, NULL);
    link_each(m->nl, false, on_own_link, &own);
    for (char **name = own.names; name && *name; name++) {
        link_delete(batch, *name);
        netlink_send(m->nl, batch, NULL);
    }
    strv_free(own.names);
    pthread_mutex_unlock(&m->lock);
}

/* --- looking up ------------------------------------------------------------ */

struct net *network__find(struct network_manager *m, const char *ref, struct error *err)
{
    struct net *found = NULL;
    size_t matches = 0, length = ref ? strlen(ref) : 0;

    for (struct net *net = m->networks; net && length; net = net->next)
        if (strcmp(net->id, ref) == 0)
            return net;
    for (struct net *net = m->networks; net && length; net = net->next)
        if (strcmp(net->name, ref) == 0) {
            found = net;
            matches++;
        }
    if (matches > 1)
        error_set(err, EINVAL, "network %s is ambiguous (%zu matches found on name)", ref, matches);
    if (matches > 0)
        return matches == 1 ? found : NULL;
    for (struct net *net = m->networks; net && length; net = net->next)
        if (strncmp(net->id, ref, length) == 0) {
            found = net;
            matches++;
        }
    if (matches > 1)
        error_set(err, EINVAL, "network %s is ambiguous (%zu matches found based on ID prefix)", ref, matches);
    else if (!found)
        error_set(err, ENOENT, "network %s not found", ref ? ref : "");
    return matches == 1 ? found : NULL;
}

int network_get(struct network_manager *m, const char *ref, struct network **ret, struct error *err)
{
    struct error why = ERROR_INIT;

    pthread_mutex_lock(&m->lock);
    struct net *net = network__find(m, ref, &why);
    struct network *copy = net ? network__copy(m, net) : NULL;
    pthread_mutex_unlock(&m->lock);
    if (!copy)
        return error_set(err, why.code, "%s", why.message);
    *ret = copy;
    return 0;
}

int network_each(struct network_manager *m, network_fn *fn, void *user)
{
    CLEANUP_FREE struct network **copies = NULL;
    size_t count = 0;
    int r = 0;

    /* Copies: fn may call us, and take its time. */
    pthread_mutex_lock(&m->lock);
    for (struct net *net = m->networks; net; net = net->next)
        count++;
    copies = mem_array(count, sizeof(struct network *));
    count = 0;
    for (struct net *net = m->networks; net; net = net->next)
        copies[count++] = network__copy(m, net);
    pthread_mutex_unlock(&m->lock);
    for (size_t i = 0; i < count; i++) {
        if (r == 0)
            r = fn(user, copies[i]);
        network_free(copies[i]);
    }
    return r;
}
