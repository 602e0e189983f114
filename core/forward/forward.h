/* forward.h - tabique-forward: published ports that nftables cannot translate.
 *
 * The kernel translates IPv4 to IPv4 and IPv6 to IPv6, and nothing that is addressed to
 * ::1. The rest (IPv6 towards a container that has IPv4 only, and the host itself at
 * [::1]:PORT) reaches the socket that holds the port, and is carried on from there by
 * this program: one process per container with such ports, started by the server
 * (core/network/forward.c), outliving it as the container does. The container sees the
 * host's own address as the peer.
 *
 * fd 3: a file that it keeps locked (fcntl(2)), by which a later server finds it. fds from 4
 * on: bound sockets, TCP and SCTP listening; two arguments for each, the address and port
 * behind. It ends with 0 once a process of its own serves, or with a line that says why not.
 * That one has no privilege, no files and few system calls: bytes pass through it and are
 * never looked at. One thread; ends when it is killed, and is started again if nobody meant that.
 */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>

#include "base/loop.h"

#define FORWARD_LOCK_FD 3
#define FORWARD_FIRST_FD 4
#define FORWARD_MAX 65536
#define STREAMS_MAX 4096   /* conversations at once, of all ports; more wait in the backlog */
#define DATAGRAMS_MAX 1024 /* peers at once, of all ports; the quietest makes room */

struct target {
    struct sockaddr_storage address;
    socklen_t length;
};

/* Both take the fd and live as long as the process. 0 or -errno. */
int streams_serve(struct loop *loop, int fd, int protocol, const struct target *target);
int datagrams_serve(struct loop *loop, int fd, const struct target *target);

void confine(void); /* exits where it fails */
