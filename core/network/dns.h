/* dns.h - the name server that containers on networks of their own ask at
 * 127.0.0.11.
 *
 * One thread of the server's answers all of them, through sockets that were
 * made inside their namespaces: nothing runs there. What is not ours to answer
 * goes on to the host's name servers (or those the container was given), from
 * the host. Everything a container sends is hostile: limits on sizes, on
 * queries under way and on connections, for each container.
 *
 * The lookup function is called in that thread with none of its locks held.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "network/address.h"

struct dns;

#define DNS_ANSWERS_MAX 64

struct dns_answer {
    bool known;            /* the name (or address) is ours; maybe with nothing of this family */
    bool forward;          /* unknown: ask others; else SERVFAIL */
    struct address addresses[DNS_ANSWERS_MAX];
    size_t count;
    char name[256];        /* of a reverse lookup */
    char **servers;        /* who to ask; NULL: the host's. Owned by the caller of the function */
};

enum dns_question { DNS_ADDRESS4, DNS_ADDRESS6, DNS_ANY, DNS_REVERSE };

/* name: lower case, without the last dot; for DNS_REVERSE the address. */
typedef void dns_lookup_fn(void *user, const char *container_id, enum dns_question question, const char *name,
                           const struct address *address, struct dns_answer *ret);

int dns_new(dns_lookup_fn *fn, void *user, struct dns **ret);
void dns_free(struct dns *dns); /* NULL is fine */
/* Takes the fds: bound UDP socket and listening TCP socket. */
int dns_add(struct dns *dns, const char *container_id, int udp_fd, int tcp_fd);
void dns_remove(struct dns *dns, const char *container_id);

/* Inside a namespace (netns_run): sockets on 127.0.0.11, and port 53 led to
 * them by address translation, so that the container may have a name server of
 * its own on every address. */
int dns_sockets(int *ret_udp, int *ret_tcp);
