/* nat.h - our one nftables table: address translation and walls between bridges.
 *
 * The rules are the same for every network; networks and published ports are
 * elements of named sets and maps, so that each comes and goes with one small
 * transaction and packets meet one look-up, however many there are.
 * Owner and lock: the manager.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "network/address.h"

struct error;
struct nat;

struct nat_network {
    const char *bridge;
    struct cidr v4, v6;   /* family 0: none */
    bool internal;        /* nothing in or out but the host itself */
    bool masquerade;
    bool icc;             /* containers of it may talk to each other */
};

struct nat_port {
    uint8_t protocol;     /* IPPROTO_* */
    struct address host;  /* any address of the family, or one */
    uint16_t host_port;
    struct address target;
    uint16_t target_port;
};

int nat_open(const char *table, const char *comment, struct nat **ret, struct error *err);
void nat_close(struct nat *nat); /* the table stays */
/* Table, rules and networks as given, at once; published ports are left as they are. */
int nat_setup(struct nat *nat, const struct nat_network *networks, size_t count, struct error *err);
int nat_network_add(struct nat *nat, const struct nat_network *network, struct error *err);
int nat_network_remove(struct nat *nat, const struct nat_network *network, struct error *err);
int nat_ports_add(struct nat *nat, const struct nat_port *ports, size_t count, struct error *err);
int nat_ports_remove(struct nat *nat, const struct nat_port *ports, size_t count, struct error *err);
int nat_ports_replace(struct nat *nat, const struct nat_port *ports, size_t count, struct error *err); /* all */
int nat_drop(struct nat *nat, struct error *err); /* the whole table */
