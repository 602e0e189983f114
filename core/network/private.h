/* private.h - what the files of the network room share.
 *
 * manager.c   open, close, destroy; looking networks up
 * create.c    making and removing networks
 * bridge.c    a network's bridge device and what the host must have set for it
 * sandbox.c   namespaces and interfaces of containers; statistics
 * publish.c   published ports
 * forward.c   those that the kernel cannot translate
 * names.c     what the name server answers
 * restore.c   after a restart of the server
 * watch.c     what others take away: rules, forwarders
 * state.c     files; copies for callers
 *
 * Everything here is guarded by manager->lock; functions named network__*()
 * are called with it held.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#include "base/cleanup.h"
#include "network/address.h"
#include "network/dns.h"
#include "network/nat.h"
#include "network/netlink.h"
#include "network/netns.h"
#include "network/port.h"
#include "tabique/network.h"

struct error;

enum net_kind { NET_BRIDGE, NET_HOST, NET_NULL, NET_CONFIG /* settings only */ };

/* Copies; free with network__pairs_free(). */
struct network_pair *network__pairs_copy(const struct network_pair *pairs, size_t count);
void network__pairs_free(struct network_pair *pairs, size_t count);

struct net_subnet {          /* a bridge has at most one of each family */
    struct cidr cidr;        /* masked; family 0: none */
    struct address gateway;  /* the bridge's own address */
    struct cidr range;       /* where addresses are chosen; family 0: all of cidr */
    bool configured;         /* by the user, who may then ask for addresses */
    struct network_pair *aux; /* addresses kept free, by name */
    size_t aux_count;
    struct address_set used;
};

struct net {
    struct net *next;
    char id[65];
    char *name;
    enum net_kind kind;
    char bridge[IF_NAMESIZE];
    int ifindex;
    int64_t created_ns;
    bool internal, attachable, ipv6, builtin, icc, masquerade;
    int mtu;
    struct address binding;  /* host address of published ports; family 0: all */
    char *config_from;       /* name of the NET_CONFIG one it was made from; NULL */
    char *prefix;            /* of interface names inside; NULL: "eth" */
    struct net_subnet v4, v6;
    struct net_subnet unused6; /* given without EnableIPv6: shown, and nothing else */
    struct network_pair *labels, *options, *ipam_options;
    size_t label_count, option_count, ipam_option_count;
    bool has_ipam_options;
    size_t endpoint_count;
};

struct endpoint {
    struct net *net;
    char id[65];
    char *container_name;
    char **aliases, **links, **link_local;
    char host_interface[IF_NAMESIZE]; /* empty: none (host, none) */
    char interface[IF_NAMESIZE];
    int index;                        /* inside; 0: not known */
    uint8_t mac[6];
    struct address v4, v6;
};

struct published {
    uint8_t protocol;
    uint16_t container_port, host_port;
    struct address hosts[PORT_HOSTS_MAX];
    size_t host_count;
};

struct sandbox {
    UT_hash_handle hh;
    char id[65];
    int ns_fd;                /* -EBADF: a record only (host network) */
    struct mnl_socket *nl;    /* inside */
    struct endpoint *endpoints;
    size_t endpoint_count;
    struct published *ports;
    size_t port_count;
    char gateway_network[65]; /* whose endpoint has the default route and the ports */
    char gateway6_network[65];
    int forwarder;            /* pidfd of its tabique-forward; -EBADF: none */
    struct {
        int64_t since_ns;     /* of the minute in which it has ended `count` times */
        unsigned count;
        int64_t due_ns;       /* when it is to be started again; 0: it is not */
    } again;
    char **nameservers;       /* asked for names that are not ours; NULL: the host's */
    bool dns;
};

#define REAP_MAX 64

struct network_manager {
    pthread_mutex_t lock;
    char *data_dir, *run_dir, *netns_dir, *state_dir, *forwarder;
    char alias[40];           /* "tabique:<hash of run_dir>": whose our interfaces are */
    int mtu;
    struct address_pool *pools;
    size_t pool_count;
    struct mnl_socket *nl;    /* in the host's namespace */
    struct netns_worker *worker;
    struct nat *nat;
    struct net *networks;
    struct net *bridge;       /* the default one */
    struct sandbox *sandboxes;
    struct port_table ports;
    struct dns *dns;
    struct network_watch *watch;
    int forwarders;           /* epoll: readable when one has ended */
    bool destroyed;           /* nothing of ours is to be put back any more */
    bool set_forwarding, set_forwarding6;
    struct {                  /* interfaces that should have gone with their namespace */
        char name[IF_NAMESIZE];
        int64_t since_ns;
    } reap[REAP_MAX];
    size_t reap_count;
};

/* bridge.c */
int network__bridge_ensure(struct network_manager *manager, struct net *net, struct error *err);
int network__bridge_remove(struct network_manager *manager, const char *bridge, struct error *err);
int network__forwarding(struct network_manager *manager, bool v6, struct error *err);
bool network__wants_isolation(const struct net *net); /* a port of it from its neighbours */
/* Subnets that a new one must not meet: of the host, its resolvers, our networks. */
int network__busy(struct network_manager *manager, struct cidr **ret, size_t *ret_count);
void network__nat_describe(const struct net *net, struct nat_network *ret);
int network__nat_rebuild(struct network_manager *manager, struct error *err);

/* watch.c */
struct network_watch;
int network__watch_start(struct network_manager *manager, const char *table, struct network_watch **ret);
void network__watch_stop(struct network_watch *watch); /* without the lock; NULL is fine */

/* manager.c */
struct net *network__find(struct network_manager *manager, const char *ref, struct error *err);
void network__free(struct net *net);
int network__choose_subnet(struct network_manager *manager, struct cidr *ret, struct error *err);

/* sandbox.c */
struct sandbox *network__sandbox(struct network_manager *manager, const char *id);
struct sandbox *network__sandbox_new(struct network_manager *manager, const char *id);
void network__sandbox_drop(struct network_manager *manager, struct sandbox *sandbox, bool forget_only);
int network__link_create(struct network_manager *manager, struct sandbox *sandbox, struct endpoint *endpoint,
                         bool announce, struct error *err);
int network__gateway_update(struct network_manager *manager, struct sandbox *sandbox, bool force, struct error *err);
int network__dns_update(struct network_manager *manager, struct sandbox *sandbox);
void network__reap(struct network_manager *manager, bool all);
bool network__id_valid(const char *id);
/* Called by the name server's thread, without the lock. */
void network__dns_lookup(void *manager, const char *container_id, enum dns_question question, const char *name,
                         const struct address *address, struct dns_answer *ret);

/* publish.c */
/* Elements of what the sandbox has published, towards its gateway endpoint. */
void network__nat_ports(const struct sandbox *sandbox, struct nat_port **ports, size_t *count);
int network__ports_apply(struct network_manager *manager, struct sandbox *sandbox, bool add, struct error *err);
void network__ports_forget(struct network_manager *manager, struct sandbox *sandbox);
struct endpoint *network__gateway(const struct sandbox *sandbox);

/* forward.c */
int network__forward_start(struct network_manager *manager, struct sandbox *sandbox, struct error *err);
void network__forward_stop(struct network_manager *manager, struct sandbox *sandbox);
void network__forward_end(struct network_manager *manager, const char *id); /* of one that has no sandbox */
void network__forward_restore(struct network_manager *manager, struct sandbox *sandbox);
/* Starts those that have ended again: at once, but not more than a few times a minute.
 * Returns the milliseconds after which it is to be called, if nothing happens before; -1: none. */
int network__forward_revive(struct network_manager *manager);

/* state.c */
int network__save_net(struct network_manager *manager, const struct net *net, struct error *err);
void network__unlink_net(struct network_manager *manager, const struct net *net);
int network__load_nets(struct network_manager *manager, struct error *err);
int network__save_sandbox(struct network_manager *manager, const struct sandbox *sandbox);
void network__unlink_sandbox(struct network_manager *manager, const char *id);
int network__load_sandbox(struct network_manager *manager, const char *id, struct sandbox *sandbox);
struct network *network__copy(struct network_manager *manager, const struct net *net);
void network__endpoint_copy(const struct sandbox *sandbox, const struct endpoint *endpoint,
                            struct network_endpoint *ret);
