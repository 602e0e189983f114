/* watch.c - puts back what others take away: our table of rules, and processes of
 * tabique-forward (forward.c).
 *
 * "systemctl restart nftables" begins with "flush ruleset": walls, masquerading
 * and published ports of every running container would be gone until the next
 * restart of the server. The kernel tells of removed tables; a thread waits for
 * ours to be among them; and for forwarders that end.
 */
#include <errno.h>
#include <netinet/in.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "network/private.h"
#include "tabique/error.h"

struct network_watch {
    struct network_manager *manager;
    pthread_t thread;
    struct mnl_socket *nl;
    int stop;
    char *table;
};

static bool is_ours(const struct nlmsghdr *message, const char *table)
{
    const struct nlattr *attr;

    if (message->nlmsg_type != ((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_DELTABLE))
        return false;
    mnl_attr_for_each(attr, message, sizeof(struct nfgenmsg))
        if (mnl_attr_get_type(attr) == NFTA_TABLE_NAME)
            return mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0 && strcmp(mnl_attr_get_str(attr), table) == 0;
    return false;
}

static void put_back(struct network_manager *m)
{
    struct error err = ERROR_INIT;
    int r = 0;

    pthread_mutex_lock(&m->lock);
    if (!m->destroyed) {
        log_warning("network: the nftables table of %s was removed by somebody; putting it back", m->bridge->bridge);
        r = network__nat_rebuild(m, &err);
    }
    pthread_mutex_unlock(&m->lock);
    if (r < 0)
        log_error("network: %s", err.message);
}

/* True: our table was among what was removed, or may have been. */
static bool read_events(struct network_watch *w)
{
    char buffer[16384] __attribute__((aligned(8)));
    bool lost = false;

    for (;;) {
        ssize_t got = recv(mnl_socket_get_fd(w->nl), buffer, sizeof(buffer), MSG_DONTWAIT);
        if (got < 0 && errno == ENOBUFS) {
            lost = true; /* events were dropped; putting back what is there does no harm */
            continue;
        }
        if (got <= 0)
            return lost;
        int left = (int)got;
        for (struct nlmsghdr *m = (struct nlmsghdr *)buffer; mnl_nlmsg_ok(m, left); m = mnl_nlmsg_next(m, &left))
            lost = lost || is_ours(m, w->table);
    }
}

static void *watch(void *user)
{
    struct network_watch *w = user;
    struct network_manager *m = w->manager;
    struct pollfd fds[] = {{.fd = w->stop, .events = POLLIN},
                           {.fd = mnl_socket_get_fd(w->nl), .events = POLLIN},
                           {.fd = m->forwarders, .events = POLLIN}};
    int timeout = -1, n;

    pthread_setname_np(pthread_self(), "network-watch");
    while ((n = poll(fds, ARRAY_SIZE(fds), timeout)) >= 0 || errno == EINTR) {
        if (n > 0 && fds[0].revents)
            break;
        if (n > 0 && fds[1].revents && read_events(w))
            put_back(m);
        pthread_mutex_lock(&m->lock);
        timeout = network__forward_revive(m);
        pthread_mutex_unlock(&m->lock);
    }
    return NULL;
}

int network__watch_start(struct network_manager *manager, const char *table, struct network_watch **ret)
{
    struct network_watch *w = mem_new(struct network_watch);
    int group = NFNLGRP_NFTABLES, r;

    w->manager = manager;
    w->table = mem_strdup(table);
    w->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    r = w->stop < 0 ? -errno : netlink_open(NETLINK_NETFILTER, &w->nl);
    if (r == 0 && mnl_socket_setsockopt(w->nl, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
        r = -errno;
    if (r == 0)
        r = -pthread_create(&w->thread, NULL, watch, w);
    if (r < 0) {
        netlink_close(&w->nl);
        cleanup_close(&w->stop);
        free(w->table);
        free(w);
        return r;
    }
    *ret = w;
    return 0;
}

void network__watch_stop(struct network_watch *w)
{
    uint64_t one = 1;

    if (!w)
        return;
    if (write(w->stop, &one, sizeof(one)) < 0)
        log_warning("network: the thread that watches the rules cannot be woken");
    pthread_join(w->thread, NULL);
    netlink_close(&w->nl);
    close(w->stop);
    free(w->table);
    free(w);
}
