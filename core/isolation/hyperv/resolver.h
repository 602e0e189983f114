/* resolver.h - the container's name server, asked on behalf of the guest.
 *
 * Containers on networks of their own ask 127.0.0.11, where core/network answers
 * inside the container's network namespace on the host. A guest cannot reach that:
 * its agent listens there instead and hands each query to the shim, which asks in
 * the namespace. Queries are bytes of a hostile guest and are passed on as such, a
 * limited number at a time; what is over the limit is dropped, as datagrams are.
 *
 * Single-threaded; setns() for a moment. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct error;
struct loop;
struct resolver;

typedef void resolver_answer_fn(void *user, uint64_t id, const void *data, size_t length);

int resolver_new(struct loop *loop, const char *netns, resolver_answer_fn *answer, void *user, struct resolver **ret,
                 struct error *err);
void resolver_free(struct resolver *resolver);
/* body: RPC_RESOLVE's. */
void resolver_ask(struct resolver *resolver, uint64_t id, const void *body, size_t length);
