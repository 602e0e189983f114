/* streams.c - connections: accepted here, connected behind, copied both ways. */
#include "forward.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/mem.h"

#define BUFFER_SIZE 65536
#define BACKLOG 1024

struct stream_port {
    struct stream_port *next;
    struct loop_source *source;
    int fd, protocol;
    struct target target;
};

struct side {
    struct conversation *conversation;
    struct loop_source *source;
    int fd;
    /* What was read here and the other side has not taken. */
    uint8_t *buffer;
    size_t start, end;
    bool ended, told; /* nothing more comes; the other side knows */
};

struct conversation {
    struct loop *loop;
    struct side sides[2]; /* the asker's; the container's */
    bool connecting;
};

static struct stream_port *ports;
static size_t conversations;

static void watch_ports(bool on)
{
    for (struct stream_port *port = ports; port; port = port->next)
        loop_set_events(port->source, on ? EPOLLIN : 0);
}

static void end(struct conversation *c)
{
    for (int i = 0; i < 2; i++) {
        loop_remove(c->sides[i].source);
        if (c->sides[i].fd >= 0)
            close(c->sides[i].fd);
        free(c->sides[i].buffer);
    }
    free(c);
    if (conversations-- == STREAMS_MAX)
        watch_ports(true);
}

static void reset(struct conversation *c)
{
    const struct linger at_once = {.l_onoff = 1};

    /* Not an orderly end: neither side may take what it has for the whole. */
    for (int i = 0; i < 2; i++)
        if (c->sides[i].fd >= 0)
            (void)setsockopt(c->sides[i].fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    end(c);
}

static struct side *other(const struct side *side)
{
    return &side->conversation->sides[side == &side->conversation->sides[0]];
}

/* False: the conversation is over. */
static bool take(struct side *side)
{
    if (side->ended || side->end > side->start)
        return true;
    if (!side->buffer)
        side->buffer = mem_alloc(BUFFER_SIZE);
    ssize_t got = read(side->fd, side->buffer, BUFFER_SIZE);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR;
    side->start = 0;
    side->end = (size_t)got;
    side->ended = got == 0;
    return true;
}

static bool give(struct side *side)
{
    struct side *to = other(side);

    while (side->end > side->start) {
        ssize_t sent = send(to->fd, side->buffer + side->start, side->end - side->start, MSG_NOSIGNAL);
        if (sent < 0)
            return errno == EAGAIN || errno == EINTR;
        side->start += (size_t)sent;
    }
    if (side->end == side->start && side->buffer) { /* a quiet conversation needs none */
        free(side->buffer);
        side->buffer = NULL;
        side->start = side->end = 0;
    }
    if (side->ended && !side->told) {
        (void)shutdown(to->fd, SHUT_WR);
        side->told = true;
    }
    return true;
}

static void watch(struct conversation *c)
{
    for (int i = 0; i < 2; i++) {
        struct side *side = &c->sides[i], *to = &c->sides[!i];
        uint32_t events = 0;
        if (c->connecting)
            events = i == 1 ? EPOLLOUT : 0;
        else
            events = (!side->ended && side->end == side->start ? EPOLLIN : 0) | (to->end > to->start ? EPOLLOUT : 0);
        loop_set_events(side->source, events);
    }
}

static void on_side(struct loop_source *source, int fd, uint32_t events, void *user)
{
    struct side *side = user;
    struct conversation *c = side->conversation;

    if (c->connecting) {
        int error = 0;
        socklen_t length = sizeof(error);
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0 || error) {
            reset(c);
            return;
        }
        c->connecting = false;
    } else if (!take(side) || !give(side) || !give(other(side))) {
        reset(c);
        return;
    }
    if (c->sides[0].told && c->sides[1].told)
        end(c);
    else
        watch(c);
}

static void begin(struct loop *loop, const struct stream_port *port, int accepted)
{
    struct conversation *c = mem_new(struct conversation);
    int one = 1, r = 0;

    c->loop = loop;
    c->connecting = true;
    c->sides[0].fd = accepted;
    c->sides[1].fd = socket(port->target.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, port->protocol);
    if (++conversations == STREAMS_MAX)
        watch_ports(false);
    for (int i = 0; i < 2 && r == 0; i++) {
        struct side *side = &c->sides[i];
        side->conversation = c;
        if (side->fd < 0) {
            r = -errno;
            break;
        }
        (void)setsockopt(side->fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
        if (port->protocol == IPPROTO_TCP)
            (void)setsockopt(side->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        r = loop_add_fd(loop, side->fd, 0, on_side, side, &side->source);
    }
    if (r == 0 && connect(c->sides[1].fd, (const struct sockaddr *)&port->target.address, port->target.length) < 0 &&
        errno != EINPROGRESS)
        r = -errno;
    if (r < 0)
        reset(c);
    else
        watch(c);
}

static struct loop *the_loop;

static void on_port(struct loop_source *source, int fd, uint32_t events, void *user)
{
    for (int i = 0; i < 64 && conversations < STREAMS_MAX; i++) {
        int accepted = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (accepted < 0)
            return;
        begin(the_loop, user, accepted);
    }
}

int streams_serve(struct loop *loop, int fd, int protocol, const struct target *target)
{
    struct stream_port *port = mem_new(struct stream_port);

    the_loop = loop;
    *port = (struct stream_port){.next = ports, .fd = fd, .protocol = protocol, .target = *target};
    ports = port;
    if (listen(fd, BACKLOG) < 0)
        return -errno;
    return loop_add_fd(loop, fd, EPOLLIN, on_port, port, &port->source);
}
