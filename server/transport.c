/* transport.c - see transport.h. */
#include "transport.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "server_internal.h"
#include "tls_internal.h"

static void name_peer(struct transport *transport)
{
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof(address);
    if (transport->kind == TRANSPORT_UNIX) {
        struct ucred who = {.uid = (uid_t)-1};
        length = sizeof(who);
        if (getsockopt(transport->fd, SOL_SOCKET, SO_PEERCRED, &who, &length) == 0)
            snprintf(transport->peer, sizeof(transport->peer), "unix:%u", (unsigned)who.uid);
        else
            snprintf(transport->peer, sizeof(transport->peer), "unix");
        return;
    }
    if (getpeername(transport->fd, (struct sockaddr *)&address, &length) < 0)
        return;
    if (address.ss_family == AF_INET) {
        inet_ntop(AF_INET, &((struct sockaddr_in *)&address)->sin_addr, transport->peer,
                  sizeof(transport->peer));
    } else if (address.ss_family == AF_INET6) {
        const struct in6_addr *ip = &((struct sockaddr_in6 *)&address)->sin6_addr;
        if (IN6_IS_ADDR_V4MAPPED(ip))
            inet_ntop(AF_INET, &ip->s6_addr[12], transport->peer, sizeof(transport->peer));
        else
            inet_ntop(AF_INET6, ip, transport->peer, sizeof(transport->peer));
    }
}

int transport_new(struct server *server, int fd, enum transport_kind kind, struct tls *tls,
                  struct transport **ret)
{
    struct transport *transport = mem_new(struct transport);
    transport->fd = fd;
    transport->kind = kind;
    transport->server = server;
    transport->write_timeout_ms = WRITE_TIMEOUT_MS;
    pthread_mutex_init(&transport->lock, NULL);
    name_peer(transport);
    if (kind != TRANSPORT_UNIX) {
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    }
    if (kind == TRANSPORT_TLS) {
        int r = tls_attach(tls, transport);
        if (r < 0) {
            pthread_mutex_destroy(&transport->lock);
            close(fd);
            free(transport);
            return r;
        }
    }
    server_register(server, transport);
    *ret = transport;
    return 0;
}

void transport_free(struct transport *transport)
{
    if (transport == NULL)
        return;
    server_unregister(transport->server, transport);
    if (transport->ssl != NULL)
        tls_detach(transport, !transport->broken);
    close(transport->fd);
    str_free(&transport->in);
    pthread_mutex_destroy(&transport->lock);
    free(transport);
}

int transport_handshake(struct transport *transport)
{
    return tls_handshake(transport);
}

ssize_t transport_read_now(struct transport *transport, void *buffer, size_t size)
{
    ssize_t n;
    if (transport->ssl != NULL) {
        pthread_mutex_lock(&transport->lock);
        n = tls_read(transport, buffer, size);
        pthread_mutex_unlock(&transport->lock);
    } else {
        do {
            n = recv(transport->fd, buffer, size, 0);
        } while (n < 0 && errno == EINTR);
        if (n < 0)
            n = errno == EWOULDBLOCK ? -EAGAIN : -errno;
    }
    if (n < 0 && n != -EAGAIN)
        transport->broken = true;
    return n;
}

ssize_t transport_write_now(struct transport *transport, const void *data, size_t size)
{
    ssize_t n;
    if (transport->broken)
        return -EPIPE;
    if (transport->ssl != NULL) {
        pthread_mutex_lock(&transport->lock);
        n = tls_write(transport, data, size);
        pthread_mutex_unlock(&transport->lock);
    } else {
        do {
            n = send(transport->fd, data, size, MSG_NOSIGNAL);
        } while (n < 0 && errno == EINTR);
        if (n < 0)
            n = errno == EWOULDBLOCK ? -EAGAIN : -errno;
    }
    if (n < 0 && n != -EAGAIN)
        transport->broken = true;
    return n;
}

bool transport_pending(struct transport *transport)
{
    if (transport->ssl == NULL)
        return false;
    pthread_mutex_lock(&transport->lock);
    bool pending = tls_pending(transport);
    pthread_mutex_unlock(&transport->lock);
    return pending;
}

/* Waits for `events`; 0, -ETIMEDOUT, or -EPIPE when the server is cutting off. */
static int wait_for(struct transport *transport, short events, int64_t deadline_ns)
{
    for (;;) {
        int timeout = -1;
        if (deadline_ns >= 0) {
            int64_t left = deadline_ns - clock_mono_ns();
            if (left <= 0)
                return -ETIMEDOUT;
            timeout = (int)(left / NS_PER_MS) + 1;
        }
        struct pollfd poll_fd = {.fd = transport->fd, .events = events};
        int n = poll(&poll_fd, 1, timeout);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0)
            return 0; /* also POLLHUP and POLLERR: the call itself will tell */
    }
}

static int64_t deadline_of(int timeout_ms)
{
    return timeout_ms < 0 ? -1 : clock_mono_ns() + timeout_ms * NS_PER_MS;
}

ssize_t transport_read(struct transport *transport, void *buffer, size_t size, int timeout_ms)
{
    int64_t deadline = deadline_of(timeout_ms);
    for (;;) {
        ssize_t n = transport_read_now(transport, buffer, size);
        if (n != -EAGAIN)
            return n;
        int r = wait_for(transport, POLLIN, deadline);
        if (r < 0)
            return r;
    }
}

int transport_write(struct transport *transport, const void *data, size_t size)
{
    const char *at = data;
    int64_t deadline = deadline_of(transport->write_timeout_ms);
    while (size > 0) {
        ssize_t n = transport_write_now(transport, at, size);
        if (n == -EAGAIN) {
            int r = wait_for(transport, POLLOUT, deadline);
            if (r < 0) {
                /* Half an answer is out: nothing sensible can follow it. */
                transport->broken = true;
                return r;
            }
            continue;
        }
        if (n < 0)
            return (int)n;
        at += n;
        size -= (size_t)n;
        deadline = deadline_of(transport->write_timeout_ms);
    }
    return 0;
}

void transport_shutdown_write(struct transport *transport)
{
    if (transport->ssl != NULL) {
        pthread_mutex_lock(&transport->lock);
        tls_close_notify(transport);
        pthread_mutex_unlock(&transport->lock);
    }
    shutdown(transport->fd, SHUT_WR);
}

bool transport_gone(struct transport *transport)
{
    if (transport->broken)
        return true;
    struct pollfd poll_fd = {.fd = transport->fd, .events = POLLRDHUP};
    if (poll(&poll_fd, 1, 0) <= 0)
        return false;
    return (poll_fd.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}
