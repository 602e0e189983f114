/* restore.c - after a restart of the server: what runs is taken up again, what
 * nobody uses is removed, what somebody took away meanwhile is put back. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "network/private.h"
#include "tabique/error.h"

static int open_socket(void *user)
{
    return netlink_open(NETLINK_ROUTE, user);
}

/* True: it had to be made anew. */
static bool restore_link(struct network_manager *m, struct sandbox *sandbox, struct endpoint *e)
{
    CLEANUP_FREE struct netlink_batch *batch = mem_new(struct netlink_batch);
    struct error why = ERROR_INIT;
    struct netlink_link link;
    int r = link_get(m->nl, e->host_interface, &link);

    if (r == -ENODEV) {
        r = network__link_create(m, sandbox, e, true, &why);
        if (r < 0)
            log_warning("network: %s of %.12s cannot be put back: %s", e->interface, sandbox->id, why.message);
        return r == 0;
    }
    if (r == 0 && link.master != e->net->ifindex) { /* the bridge was made anew */
        link_set_master(batch, e->host_interface, e->net->ifindex);
        link_set_up(batch, e->host_interface, 0);
        fdb_set(batch, link.index, e->mac);
        if (network__wants_isolation(e->net))
            link_set_port(batch, link.index, LINK_PORT_ISOLATED);
        netlink_send(m->nl, batch, NULL);
    }
    if (link_get(sandbox->nl, e->interface, &link) == 0)
        e->index = link.index;
    return false;
}

static void restore_sandbox(struct network_manager *m, const char *id)
{
    CLEANUP_FREE char *path = path_join(m->netns_dir, id);
    struct sandbox *sandbox = network__sandbox_new(m, id);
    int r = network__load_sandbox(m, id, sandbox);
    bool anew = false;

    for (size_t i = 0; i < sandbox->endpoint_count; i++) {
        struct endpoint *e = &sandbox->endpoints[i];
        e->net->endpoint_count++;
        if (e->v4.family)
            address_set_add(&e->net->v4.used, &e->v4);
        if (e->v6.family)
            address_set_add(&e->net->v6.used, &e->v6);
    }
    if (r == -ENOENT) /* on no network (yet): there is no file */
        r = 1;
    if (r == 1) {
        r = netns_open(path, &sandbox->ns_fd);
        if (r == 0)
            r = netns_run(m->worker, sandbox->ns_fd, open_socket, &sandbox->nl);
    }
    if (r < 0) {
        log_warning("network: the namespace of %.12s is lost: %s", id, strerror(-r));
        network__sandbox_drop(m, sandbox, false);
        return;
    }
    if (sandbox->ns_fd >= 0)
        for (size_t i = 0; i < sandbox->endpoint_count; i++)
            if (sandbox->endpoints[i].net->kind == NET_BRIDGE)
                anew = restore_link(m, sandbox, &sandbox->endpoints[i]) || anew;
    for (size_t i = 0; i < sandbox->port_count; i++)
        for (size_t h = 0; h < sandbox->ports[i].host_count; h++)
            port_restore(&m->ports, sandbox->ports[i].protocol, &sandbox->ports[i].hosts[h],
                         sandbox->ports[i].host_port);
    network__gateway_update(m, sandbox, anew, NULL);
    network__forward_restore(m, sandbox);
    network__dns_update(m, sandbox);
}

/* Of a container that does not run any more. */
static void discard(struct network_manager *m, const char *id)
{
    CLEANUP_FREE char *path = path_join(m->netns_dir, id);

    network__forward_end(m, id);
    netns_unpin(path);
    network__unlink_sandbox(m, id);
}

static void restore_files(struct network_manager *m, char *const *running)
{
    DIR *dir = opendir(m->state_dir);
    struct dirent *entry;

    while (dir && (entry = readdir(dir))) {
        size_t length = strlen(entry->d_name);
        if (str_ends(entry->d_name, ".tmp")) {
            unlinkat(dirfd(dir), entry->d_name, 0);
            continue;
        }
        if (!str_ends(entry->d_name, ".json"))
            continue;
        CLEANUP_FREE char *id = mem_strndup(entry->d_name, length - strlen(".json"));
        if (!network__id_valid(id) || network__sandbox(m, id))
            continue;
        if (strv_contains(running, id))
            restore_sandbox(m, id);
        else
            discard(m, id);
    }
    if (dir)
        closedir(dir);
    /* Namespaces without a file: on no network, or the server was killed between
     * making the two. */
    dir = opendir(m->netns_dir);
    while (dir && (entry = readdir(dir))) {
        if (!network__id_valid(entry->d_name) || network__sandbox(m, entry->d_name))
            continue;
        if (strv_contains(running, entry->d_name))
            restore_sandbox(m, entry->d_name);
        else
            discard(m, entry->d_name);
    }
    if (dir)
        closedir(dir);
}

struct orphans {
    struct network_manager *manager;
    char **names;
};

static void on_link(void *user, const struct netlink_link *link)
{
    struct orphans *orphans = user;
    struct network_manager *m = orphans->manager;
    struct sandbox *sandbox, *next;

    if (strcmp(link->alias, m->alias) != 0)
        return;
    for (struct net *net = m->networks; net; net = net->next)
        if (strcmp(net->bridge, link->name) == 0)
            return;
    HASH_ITER(hh, m->sandboxes, sandbox, next)
        for (size_t i = 0; i < sandbox->endpoint_count; i++)
            if (strcmp(sandbox->endpoints[i].host_interface, link->name) == 0)
                return;
    if (!strv_contains(orphans->names, link->name))
        strv_push(&orphans->names, link->name);
}

int network_restore(struct network_manager *m, char *const *running_ids, struct error *err)
{
    struct orphans orphans = {.manager = m};
    CLEANUP_FREE struct netlink_batch *batch = mem_new(struct netlink_batch);
    CLEANUP_FREE struct nat_port *ports = NULL;
    struct sandbox *sandbox, *next;
    size_t count = 0;
    int r;

    pthread_mutex_lock(&m->lock);
    restore_files(m, running_ids);
    link_each(m->nl, false, on_link, &orphans);
    for (char **name = orphans.names; name && *name; name++) {
        link_delete(batch, *name);
        netlink_send(m->nl, batch, NULL);
    }
    strv_free(orphans.names);
    HASH_ITER(hh, m->sandboxes, sandbox, next)
        network__nat_ports(sandbox, &ports, &count);
    r = nat_ports_replace(m->nat, ports, count, err);
    pthread_mutex_unlock(&m->lock);
    return r == -ENOENT ? error_set(err, EIO, "nftables refuses our table") : r;
}
