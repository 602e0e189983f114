/* network.h - networks, addresses, published ports, and a container's sandbox.
 *
 * A sandbox is one network namespace per container, kept as a bind mount at
 * <run>/netns/ID, made before the container's process and independent of it:
 * the launcher only joins it by path. Both walls use it alike (a VM's tap is
 * opened in it).
 *
 * A network is a Linux bridge of its own with an IPv4 (and, where asked, IPv6)
 * subnet, NAT by nftables in one table of ours ("tabique-<bridge>"), no iptables.
 * The default network "bridge" is bridge device `tabique0`, or the next free
 * number when another server has it. "host" and "none" exist by name.
 *
 * Netlink through libmnl, rules through libnftables. All kernel objects are put
 * back by network_restore() after a server restart, from state files below
 * <data>/networks; they carry this server's alias, so that two servers and
 * other software are left alone.
 * Published ports work from the host itself (127.0.0.1 too), from other
 * machines and from other containers.
 * Threads: any; one lock per manager, held for the short kernel calls only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct error;
struct network_manager;

struct network_options {
    const char *data_dir;    /* <data>/networks */
    const char *run_dir;     /* <run> */
    const char *bridge;      /* default bridge device; NULL: first free tabiqueN, remembered */
    const char *bip;         /* its address "172.31.0.1/16"; NULL: first free pool */
    const char *const *address_pools; /* "BASE/LEN:SIZE"; NULL: built in */
    int mtu;                 /* 0: 1500 or the default route's */
    const char *forwarder;   /* tabique-forward; NULL: IPv6 leads only to containers that have it */
};

int network_manager_open(const struct network_options *options, struct network_manager **ret,
                         struct error *err);
/* Leaves bridges and rules in place: containers run on. */
void network_manager_close(struct network_manager *manager);
/* Takes every kernel object of this manager away: namespaces, bridges, rules.
 * For tests and for removing the product; close follows. */
void network_manager_destroy_all(struct network_manager *manager);

struct network_pair { /* labels, options */
    char *name;
    char *value;
};

struct network_subnet {
    char *subnet;    /* "172.31.0.0/16" */
    char *gateway;
    char *ip_range;  /* NULL: all of it */
    struct network_pair *aux; /* addresses kept free, by name */
    size_t aux_count;
    bool loose; /* wanted: host bits are dropped and link-local ones taken, as before API 1.44 */
};

struct network {
    char id[65];
    char *name;
    char *driver;      /* "bridge", "host", "null" */
    char *bridge;      /* device */
    int64_t created_ns;
    bool internal, attachable, ipv6, builtin;
    bool config_only;     /* a set of settings for others; no device, no containers */
    char *config_from;    /* whose settings these are; NULL: its own */
    int mtu;
    struct network_subnet *subnets;
    size_t subnet_count;
    struct network_pair *labels, *options, *ipam_options;
    size_t label_count, option_count, ipam_option_count;
    bool has_ipam_options;   /* said, if only as none */
    bool may_share_name;     /* wanted: another network of this name is no reason to refuse */
    struct network_endpoint *endpoints; /* of running containers */
    size_t endpoint_count;
};

struct network_endpoint {
    char id[65];
    char container_id[65];
    char *container_name;
    char network_id[65];
    char *network_name;
    char *interface;      /* inside: "eth0" */
    char mac[18];
    char *ipv4;           /* "172.31.0.2"; NULL none */
    int ipv4_prefix;
    char *gateway;
    char *ipv6;
    int ipv6_prefix;
    char *gateway6;
    char **aliases;
    char **links;         /* "CONTAINER:ALIAS": names that only this container's name server knows */
    char **link_local;    /* wanted: further addresses of the interface, 169.254/16 or fe80::/64 */
};

void network_free(struct network *network); /* a copy from get/each */
void network_endpoint_clear(struct network_endpoint *endpoint);

/* by name, id, or unique id prefix; -EINVAL where several have that name */
int network_get(struct network_manager *manager, const char *ref, struct network **ret, struct error *err);
typedef int network_fn(void *user, const struct network *network);
int network_each(struct network_manager *manager, network_fn *fn, void *user);
/* Fields used of `wanted`: name, driver, internal, attachable, ipv6, mtu, subnets, labels, options. */
int network_create(struct network_manager *manager, const struct network *wanted, char ret_id[65],
                   struct error *err);
int network_remove(struct network_manager *manager, const char *ref, struct error *err); /* -EPERM built in or in use */

struct network_port {
    char protocol[5];      /* "tcp", "udp" */
    uint16_t container_port;
    char *host_ip;         /* "": all addresses */
    uint16_t host_port;    /* 0: chosen; first of a range otherwise */
    uint16_t host_port_end;/* last of the range; = host_port for one */
    char bound[2][48];     /* out: the host's addresses it was bound on; "" none */
};

/* --- sandboxes ------------------------------------------------------------------ */
/* Makes the namespace (lo up) and its file; *ret_path is for plan_namespace.path. */
int network_sandbox_create(struct network_manager *manager, const char *container_id, char **ret_path,
                           struct error *err);
/* Puts an interface of `network` into the sandbox. wanted: aliases, ipv4, ipv6,
 * mac where asked (else chosen), container_name. The first one gets the default route. */
int network_attach(struct network_manager *manager, const char *container_id, const char *network,
                   const struct network_endpoint *wanted, struct network_endpoint *ret,
                   struct error *err);
int network_detach(struct network_manager *manager, const char *container_id, const char *network,
                   struct error *err);
/* Publishes; host_port and bound of each entry are filled in with what was chosen.
 * All or none. "driver failed programming external connectivity ...: port is already
 * allocated" as -EADDRINUSE. */
int network_publish(struct network_manager *manager, const char *container_id,
                    struct network_port *ports, size_t count, struct error *err);
/* Who the name server of this container's namespace asks for names that are not
 * of its networks (--dns); NULL: the host's servers. Before or after attaching. */
int network_set_nameservers(struct network_manager *manager, const char *container_id,
                            char *const *servers, struct error *err);
/* The container's new name, by which its neighbours find it. */
void network_rename_container(struct network_manager *manager, const char *container_id, const char *name);
/* Everything of the container: ports, interfaces, namespace, file. Idempotent. */
void network_sandbox_remove(struct network_manager *manager, const char *container_id);
/* After a server restart, with the ids of containers that still run: puts back
 * what is missing, removes what nobody uses. */
int network_restore(struct network_manager *manager, char *const *running_ids, struct error *err);
/* Of each interface that was attached (not lo, nor what was made inside). */
struct network_stats {
    char interface[16];
    uint64_t rx_bytes, rx_packets, rx_errors, rx_dropped;
    uint64_t tx_bytes, tx_packets, tx_errors, tx_dropped;
};
int network_stats(struct network_manager *manager, const char *container_id,
                  struct network_stats **ret, size_t *ret_count);

/* Whether the container has the name server at 127.0.0.11 in its namespace: it is
 * attached to a network other than "bridge", "host", "none". Its resolv.conf is
 * then network_resolv_conf({"127.0.0.11"}, search, {"ndots:0"}). */
bool network_has_dns(struct network_manager *manager, const char *container_id);

/* Nameservers and search domains a container should get (the host's, without
 * loopback resolvers). Text of a resolv.conf; free(). */
char *network_resolv_conf(char *const *servers, char *const *search, char *const *options);
