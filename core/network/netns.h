/* netns.h - making and entering network namespaces.
 *
 * setns() and unshare() work on the calling thread, and a server's threads
 * belong to everybody. So one thread of our own does it: it runs the function
 * it is given inside the namespace and comes back. While it has nothing to do it
 * makes a few empty namespaces ahead, so that a start finds one ready.
 */
#pragma once

#include <stddef.h>

struct mnl_socket;
struct netns_worker;

int netns_worker_new(int ahead, struct netns_worker **ret); /* ahead: namespaces kept ready */
void netns_worker_free(struct netns_worker *worker);

typedef int netns_fn(void *user);
/* fn's result, or -errno where the namespace cannot be entered. Waits. */
int netns_run(struct netns_worker *worker, int ns_fd, netns_fn *fn, void *user);
/* A new one: lo up, IPv6 off for interfaces to come. */
int netns_new(struct netns_worker *worker, int *ret_fd, struct mnl_socket **ret_nl); /* and a socket inside */

/* A file at `path` that keeps the namespace, and the way back from it. */
int netns_pin(int ns_fd, const char *path);
void netns_unpin(const char *path);
int netns_open(const char *path, int *ret_fd); /* -EINVAL: not a network namespace */
