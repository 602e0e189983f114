/* netlink.h - the few rtnetlink conversations of the network room, on libmnl.
 *
 * Several requests go to the kernel in one write (a batch) and their
 * acknowledgements are read afterwards: an interface with its addresses and
 * routes is two system calls each way.
 * A socket belongs to the namespace it was made in, whoever uses it later;
 * callers hold the manager's lock while they use one.
 */
#pragma once

#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "network/address.h"

struct error;

int netlink_open(int bus, struct mnl_socket **ret); /* O_CLOEXEC, bound */
void netlink_close(struct mnl_socket **socket);
#define CLEANUP_NETLINK CLEANUP(netlink_close)

#define NETLINK_BATCH_MAX 24

struct netlink_batch {
    size_t length;
    unsigned count;
    struct nlmsghdr *open;
    int tolerate[NETLINK_BATCH_MAX];     /* errno that is no failure; 0 none */
    const char *what[NETLINK_BATCH_MAX]; /* for the error's text */
    char data[8192] __attribute__((aligned(8)));
};

/* Begins the next message; attributes are added to it with mnl_attr_put*(). */
struct nlmsghdr *netlink_add(struct netlink_batch *batch, const char *what, uint16_t type,
                             uint16_t flags, const void *header, size_t header_length);
void netlink_tolerate(struct netlink_batch *batch, int code); /* for the message just begun */
/* Sends all, reads every acknowledgement, empties the batch. The first failure's
 * -errno, with err "WHAT: text". Later messages are carried out nevertheless. */
int netlink_send(struct mnl_socket *socket, struct netlink_batch *batch, struct error *err);
/* A dump (or a get): fn for each answer; again from the start where the table
 * changed meanwhile, so fn must bear to see a thing twice. */
int netlink_dump(struct mnl_socket *socket, struct nlmsghdr *request, mnl_cb_t fn, void *user);

struct netlink_link {
    int index, master, mtu;
    unsigned flags;
    char name[IF_NAMESIZE];
    char kind[16];
    char alias[96];
    bool operational; /* up, with a peer that is up, and all the kernel knows it */
    bool has_stats;
    struct rtnl_link_stats64 stats;
};

int link_get(struct mnl_socket *socket, const char *name, struct netlink_link *ret); /* -ENODEV */
typedef void link_fn(void *user, const struct netlink_link *link);
int link_each(struct mnl_socket *socket, bool stats, link_fn *fn, void *user);

int link_default_mtu(struct mnl_socket *socket); /* of the default route's interface; 0: there is none */

/* --- messages, added to a batch ------------------------------------------- */
void link_add_bridge(struct netlink_batch *batch, const char *name, const uint8_t mac[6], int mtu);
/* `name` here, as a port of bridge `master`; its peer `peer` in namespace ns_fd. Both down. */
void link_add_veth(struct netlink_batch *batch, const char *name, int master, int mtu,
                   const char *peer, const uint8_t mac[6], int ns_fd);
void link_set_alias(struct netlink_batch *batch, const char *name, const char *alias);
/* No IPv6 address of its own: a bridge's port needs none. */
void link_set_no_ipv6(struct netlink_batch *batch, const char *name);
/* Of a bridge's port. Isolated ones do not reach each other; a hairpin may send
 * back to where a frame came from. */
enum link_port_flag { LINK_PORT_ISOLATED, LINK_PORT_HAIRPIN };
void link_set_port(struct netlink_batch *batch, int index, enum link_port_flag flag);
void link_set_master(struct netlink_batch *batch, const char *name, int master);
/* Tells the neighbours (gratuitous ARP) which MAC the interface's addresses have. */
void link_announce(struct netlink_batch *batch, int index, const uint8_t mac[6]);
void link_set_up(struct netlink_batch *batch, const char *name, int index); /* either */
void link_set_down(struct netlink_batch *batch, const char *name);
void link_delete(struct netlink_batch *batch, const char *name);
void addr_add(struct netlink_batch *batch, int index, const struct address *address, int prefix);
void addr_delete(struct netlink_batch *batch, int index, const struct address *address, int prefix);
void route_default(struct netlink_batch *batch, int index, const struct address *gateway, bool add);
/* The bridge sends frames for `mac` to this port from now on. */
void fdb_set(struct netlink_batch *batch, int port, const uint8_t mac[6]);
void neigh_set(struct netlink_batch *batch, int index, const struct address *address, const uint8_t mac[6]);

typedef void cidr_fn(void *user, int index, const struct cidr *cidr);
int addr_each(struct mnl_socket *socket, cidr_fn *fn, void *user);
int route_each(struct mnl_socket *socket, cidr_fn *fn, void *user); /* but default routes */

/* Forgets what the kernel remembers of UDP conversations with a published port
 * or its container: they would go on as before for minutes. Best effort. */
void conntrack_forget_udp(const struct address *target, const uint16_t *host_ports, size_t count);
