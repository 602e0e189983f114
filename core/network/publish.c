/* publish.c - published ports: taken from the host, translated to the endpoint
 * that leads out. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "network/private.h"
#include "tabique/error.h"

#define PORTS_MAX 65536

void network__nat_ports(const struct sandbox *sandbox, struct nat_port **ports, size_t *count)
{
    const struct endpoint *e = network__gateway(sandbox);
    size_t room = 0;

    if (!e)
        return;
    for (size_t i = 0; i < sandbox->port_count; i++)
        room += sandbox->ports[i].host_count;
    if (room == 0)
        return;
    *ports = mem_grow(*ports, *count + room, sizeof(**ports));
    for (size_t i = 0; i < sandbox->port_count; i++) {
        const struct published *p = &sandbox->ports[i];
        for (size_t h = 0; h < p->host_count; h++) {
            const struct address *target = p->hosts[h].family == AF_INET6 ? &e->v6 : &e->v4;
            if (target->family)
                (*ports)[(*count)++] = (struct nat_port){p->protocol, p->hosts[h], p->host_port, *target,
                                                         p->container_port};
        }
    }
}

/* A conversation that began before the translation changed goes on without it. */
static void forget_conversations(const struct nat_port *ports, size_t count)
{
    CLEANUP_FREE uint16_t *numbers = mem_array(count, sizeof(*numbers));

    for (int family = AF_INET;; family = AF_INET6) {
        const struct address *target = NULL;
        size_t found = 0;
        for (size_t i = 0; i < count; i++)
            if (ports[i].protocol == IPPROTO_UDP && ports[i].target.family == family) {
                target = &ports[i].target;
                numbers[found++] = ports[i].host_port;
            }
        if (target)
            conntrack_forget_udp(target, numbers, found);
        if (family == AF_INET6)
            break;
    }
}

/* Where bridges pass their frames to the IP layer's filters (br_netfilter), a
 * container that asks for its own published port is answered by the bridge,
 * back through the port it came from. */
static void allow_hairpin(struct network_manager *m, const struct endpoint *e)
{
    CLEANUP_FREE struct netlink_batch *batch = mem_new(struct netlink_batch);
    struct netlink_link link;

    if (link_get(m->nl, e->host_interface, &link) < 0)
        return;
    link_set_port(batch, link.index, LINK_PORT_HAIRPIN);
    netlink_send(m->nl, batch, NULL);
}

int network__ports_apply(struct network_manager *m, struct sandbox *sandbox, bool add, struct error *err)
{
    CLEANUP_FREE struct nat_port *ports = NULL;
    size_t count = 0;
    int r;

    if (sandbox->port_count == 0 || !network__gateway(sandbox))
        return 0;
    network__nat_ports(sandbox, &ports, &count);
    r = add ? nat_ports_add(m->nat, ports, count, NULL) : nat_ports_remove(m->nat, ports, count, NULL);
    if (r < 0 && add) /* somebody flushed the rule set: put all back */
        r = network__nat_rebuild(m, err);
    if (add)
        allow_hairpin(m, network__gateway(sandbox));
    if (!add)
        network__forward_stop(m, sandbox);
    else if (r == 0)
        r = network__forward_start(m, sandbox, err);
    forget_conversations(ports, count);
    return r;
}

static void release(struct network_manager *m, const struct published *p)
{
    for (size_t h = 0; h < p->host_count; h++)
        port_release(&m->ports, p->protocol, &p->hosts[h], p->host_port);
}

void network__ports_forget(struct network_manager *m, struct sandbox *sandbox)
{
    if (sandbox->port_count == 0)
        return;
    network__ports_apply(m, sandbox, false, NULL);
    for (size_t i = 0; i < sandbox->port_count; i++)
        release(m, &sandbox->ports[i]);
    sandbox->port_count = 0;
}

static int parse_port(struct network_manager *m, const struct endpoint *e, const struct network_port *wanted,
                      struct published *ret, struct error *err)
{
    struct address host = {.family = AF_INET};
    bool all = !wanted->host_ip || !*wanted->host_ip;

    *ret = (struct published){.container_port = wanted->container_port};
    if (protocol_parse(wanted->protocol, &ret->protocol) < 0)
        return error_set(err, EINVAL, "invalid protocol: %s", wanted->protocol);
    if (wanted->container_port == 0)
        return error_set(err, EINVAL, "invalid container port 0");
    if (!all && address_parse(wanted->host_ip, &host) < 0)
        return error_set(err, EINVAL, "invalid host IP address: %s", wanted->host_ip);
    if (all && e->net->binding.family)
        host = e->net->binding;
    all = all && address_is_any(&host);
    /* Not every kernel has sockets for SCTP, through which it would be carried on. */
    bool to_v6 = e->v6.family || (m->forwarder && ret->protocol != IPPROTO_SCTP);
    if ((host.family == AF_INET && !e->v4.family) || (host.family == AF_INET6 && !to_v6))
        return error_set(err, EINVAL, "port %u/%s cannot be published on %s: the container has no such address",
                         wanted->container_port, protocol_name(ret->protocol), wanted->host_ip);
    ret->hosts[ret->host_count++] = host;
    if (all && to_v6 && port_host_has_ipv6())
        ret->hosts[ret->host_count++] = (struct address){.family = AF_INET6};
    return 0;
}

static int publish_locked(struct network_manager *m, const char *container_id, struct network_port *ports,
                          size_t count, struct error *err)
{
    struct sandbox *sandbox = network__sandbox(m, container_id);
    struct endpoint *e = sandbox ? network__gateway(sandbox) : NULL;
    CLEANUP_FREE struct published *list = NULL;
    CLEANUP_FREE struct nat_port *elements = NULL;
    size_t done = 0, element_count = 0, before;
    int r = 0;

    if (!sandbox)
        return error_set(err, EIO, "container %.12s has no network namespace", container_id);
    if (!e || count == 0) /* on no network that leads out: nothing to publish on, as Docker */
        return 0;
    if (count > PORTS_MAX)
        return error_set(err, EINVAL, "more than %d published ports", PORTS_MAX);
    list = mem_array(count, sizeof(*list));
    for (; done < count && r == 0; done++) {
        struct published *p = &list[done];
        r = parse_port(m, e, &ports[done], p, err);
        if (r == 0) {
            struct port_request request = {.protocol = p->protocol,
                                           .host_count = p->host_count,
                                           .first = ports[done].host_port,
                                           .last = ports[done].host_port_end};
            memcpy(request.hosts, p->hosts, sizeof(request.hosts));
            r = port_reserve(&m->ports, &request, &p->host_port, err);
            if (r < 0)
                error_prefix(err, "driver failed programming external connectivity on endpoint %s (%s)",
                             e->container_name ? e->container_name : sandbox->id, e->id);
        }
        if (r < 0)
            break;
    }
    if (r < 0) {
        while (done-- > 0)
            release(m, &list[done]);
        return r;
    }
    before = sandbox->port_count;
    sandbox->ports = mem_grow(sandbox->ports, before + count, sizeof(*sandbox->ports));
    for (size_t i = 0; i < count; i++)
        sandbox->ports[sandbox->port_count++] = list[i];
    network__nat_ports(sandbox, &elements, &element_count);
    /* The sandbox's earlier ports come first and are there already; adding them
     * again would be harmless but slow. */
    size_t skip = 0;
    for (size_t i = 0; i < before; i++)
        for (size_t h = 0; h < sandbox->ports[i].host_count; h++)
            skip += (sandbox->ports[i].hosts[h].family == AF_INET6 ? e->v6 : e->v4).family != 0;
    r = nat_ports_add(m->nat, elements + skip, element_count - skip, NULL);
    if (r < 0)
        r = network__nat_rebuild(m, err);
    if (r == 0) {
        network__forward_stop(m, sandbox);
        r = network__forward_start(m, sandbox, err);
    }
    if (r == 0) {
        allow_hairpin(m, e);
        forget_conversations(elements + skip, element_count - skip);
        r = network__save_sandbox(m, sandbox);
        if (r < 0)
            error_errno(err, r == -ENOENT ? EIO : r, "cannot write the state of %.12s", container_id);
    }
    if (r < 0) {
        nat_ports_remove(m->nat, elements + skip, element_count - skip, NULL);
        while (sandbox->port_count > before)
            release(m, &sandbox->ports[--sandbox->port_count]);
        network__forward_stop(m, sandbox);
        network__forward_restore(m, sandbox); /* what was published before */
        return r;
    }
    for (size_t i = 0; i < count; i++) {
        ports[i].host_port = ports[i].host_port_end = list[i].host_port;
        for (size_t h = 0; h < list[i].host_count; h++)
            address_format(&list[i].hosts[h], ports[i].bound[h]);
    }
    return 0;
}

int network_publish(struct network_manager *m, const char *container_id, struct network_port *ports, size_t count,
                    struct error *err)
{
    struct error why = ERROR_INIT;

    if (!network__id_valid(container_id))
        return error_set(err, EINVAL, "invalid container id");
    pthread_mutex_lock(&m->lock);
    int r = publish_locked(m, container_id, ports, count, &why);
    pthread_mutex_unlock(&m->lock);
    return r < 0 ? error_set(err, r, "%s", why.message) : 0;
}
