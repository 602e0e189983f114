/* datagrams.c - UDP: a socket towards the container for each peer, for as long as they
 * speak. The answer leaves from the address that was asked. */
#include "forward.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

#define QUIET_NS (90 * NS_PER_SEC)
#define SWEEP_NS (10 * NS_PER_SEC)
#define BUCKETS 256
#define BURST 64

struct datagram_port {
    struct loop *loop;
    int fd;
    struct target target;
};

struct peer {
    struct peer *next;
    struct datagram_port *port;
    struct loop_source *source;
    int fd;
    int64_t last_ns;
    struct sockaddr_in6 from;
    struct in6_pktinfo asked; /* the address of ours */
};

static struct peer *peers[BUCKETS];
static size_t peer_count;
static uint8_t data[65536];

static struct peer **bucket(const struct sockaddr_in6 *from)
{
    uint32_t hash = from->sin6_port;

    for (size_t i = 0; i < sizeof(from->sin6_addr); i++)
        hash = hash * 31 + from->sin6_addr.s6_addr[i];
    return &peers[hash % BUCKETS];
}

static void forget(struct peer **link)
{
    struct peer *peer = *link;

    *link = peer->next;
    loop_remove(peer->source);
    close(peer->fd);
    free(peer);
    peer_count--;
}

static void forget_quiet(int64_t before_ns)
{
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct peer **link = &peers[i]; *link;)
            if ((*link)->last_ns <= before_ns)
                forget(link);
            else
                link = &(*link)->next;
}

static void forget_quietest(void)
{
    int64_t quietest = INT64_MAX;

    for (size_t i = 0; i < BUCKETS; i++)
        for (const struct peer *peer = peers[i]; peer; peer = peer->next)
            quietest = peer->last_ns < quietest ? peer->last_ns : quietest;
    forget_quiet(quietest);
}

static void on_answer(struct loop_source *source, int fd, uint32_t events, void *user)
{
    struct peer *peer = user;

    for (int i = 0; i < BURST; i++) {
        ssize_t got = recv(fd, data, sizeof(data), MSG_DONTWAIT);
        if (got < 0)
            return; /* nothing (more), or nobody listens there: the peer's to find out */
        union {
            struct cmsghdr header;
            char space[CMSG_SPACE(sizeof(struct in6_pktinfo))];
        } control = {0};
        struct iovec body = {data, (size_t)got};
        struct msghdr message = {.msg_name = &peer->from, .msg_namelen = sizeof(peer->from), .msg_iov = &body,
                                 .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
        struct cmsghdr *info = CMSG_FIRSTHDR(&message);
        info->cmsg_level = IPPROTO_IPV6;
        info->cmsg_type = IPV6_PKTINFO;
        info->cmsg_len = CMSG_LEN(sizeof(peer->asked));
        memcpy(CMSG_DATA(info), &peer->asked, sizeof(peer->asked));
        (void)sendmsg(peer->port->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        peer->last_ns = clock_mono_ns();
    }
}

static struct peer *peer_of(struct datagram_port *port, const struct sockaddr_in6 *from, const struct in6_pktinfo *asked)
{
    struct peer **list = bucket(from), *peer;

    for (peer = *list; peer; peer = peer->next)
        if (peer->port == port && peer->from.sin6_port == from->sin6_port &&
            peer->from.sin6_scope_id == from->sin6_scope_id && IN6_ARE_ADDR_EQUAL(&peer->from.sin6_addr, &from->sin6_addr) &&
            IN6_ARE_ADDR_EQUAL(&peer->asked.ipi6_addr, &asked->ipi6_addr))
            return peer;
    if (peer_count >= DATAGRAMS_MAX)
        forget_quietest();
    int fd = socket(port->target.address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return NULL;
    peer = mem_new(struct peer);
    *peer = (struct peer){.next = *list, .port = port, .fd = fd, .from = *from, .asked = *asked};
    if (connect(fd, (const struct sockaddr *)&port->target.address, port->target.length) < 0 ||
        loop_add_fd(port->loop, fd, EPOLLIN, on_answer, peer, &peer->source) < 0) {
        close(fd);
        free(peer);
        return NULL;
    }
    *list = peer;
    peer_count++;
    return peer;
}

static void on_question(struct loop_source *source, int fd, uint32_t events, void *user)
{
    for (int i = 0; i < BURST; i++) {
        struct sockaddr_in6 from = {0};
        struct in6_pktinfo asked = {0};
        union {
            struct cmsghdr header;
            char space[CMSG_SPACE(sizeof(struct in6_pktinfo))];
        } control = {0};
        struct iovec body = {data, sizeof(data)};
        struct msghdr message = {.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &body,
                                 .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
        ssize_t got = recvmsg(fd, &message, MSG_DONTWAIT);

        if (got < 0)
            return;
        for (struct cmsghdr *info = CMSG_FIRSTHDR(&message); info; info = CMSG_NXTHDR(&message, info))
            if (info->cmsg_level == IPPROTO_IPV6 && info->cmsg_type == IPV6_PKTINFO)
                memcpy(&asked, CMSG_DATA(info), sizeof(asked));
        struct peer *peer = peer_of(user, &from, &asked);
        if (!peer)
            continue;
        peer->last_ns = clock_mono_ns();
        /* An error that an earlier datagram met is told here, and is not this one's. */
        if (send(peer->fd, data, (size_t)got, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno == ECONNREFUSED)
            (void)send(peer->fd, data, (size_t)got, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
}

static void on_sweep(struct loop_source *source, void *user)
{
    forget_quiet(clock_mono_ns() - QUIET_NS);
}

int datagrams_serve(struct loop *loop, int fd, const struct target *target)
{
    static bool sweeping;
    struct datagram_port *port = mem_new(struct datagram_port);
    int one = 1, r = 0;

    *port = (struct datagram_port){.loop = loop, .fd = fd, .target = *target};
    if (setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &one, sizeof(one)) < 0)
        return -errno;
    if (!sweeping)
        r = loop_add_timer(loop, SWEEP_NS, SWEEP_NS, on_sweep, NULL, NULL);
    sweeping = true;
    return r < 0 ? r : loop_add_fd(loop, fd, EPOLLIN, on_question, port, NULL);
}
