/* port.h - which ports of the host are given out, and sockets that hold them.
 *
 * A held port is bound (and, TCP, listening) by a socket of ours that accepts
 * nothing: other programs then get "address in use" as they should, and so do
 * we where another program was first. Translation happens before a packet
 * would reach that socket. Owner and lock: the manager.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "network/address.h"

struct error;

struct port_lease {
    uint8_t protocol;
    uint16_t port;
    struct address host;
    int fd; /* -EBADF: could not be bound after a restart */
};

struct port_table {
    struct port_lease *leases;
    size_t count, capacity;
    uint16_t next_ephemeral;
};

#define PORT_HOSTS_MAX 2

struct port_request {
    uint8_t protocol;
    struct address hosts[PORT_HOSTS_MAX]; /* one number that is free on each */
    size_t host_count;
    uint16_t first, last;                 /* first 0: from the ephemeral range */
};

int port_reserve(struct port_table *table, const struct port_request *request, uint16_t *ret_port,
                 struct error *err); /* -EADDRINUSE, -EADDRNOTAVAIL */
/* What ran before a restart: recorded whether or not it can be bound. */
void port_restore(struct port_table *table, uint8_t protocol, const struct address *host, uint16_t port);
void port_release(struct port_table *table, uint8_t protocol, const struct address *host, uint16_t port);
/* The socket that holds it, made where it could not be before. -EBADF: there is none (SCTP). */
int port_socket(struct port_table *table, uint8_t protocol, const struct address *host, uint16_t port);
void port_table_clear(struct port_table *table);

/* Whether this host speaks IPv6 at all. */
bool port_host_has_ipv6(void);

int protocol_parse(const char *name, uint8_t *ret); /* "tcp", "udp", "sctp", any case */
const char *protocol_name(uint8_t protocol);
