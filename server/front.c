/* front.c - where connections wait: listeners, handshakes, heads, keep-alive.
 *
 * One thread with an epoll loop holds every connection that nobody works on. A
 * worker gets one only when a whole head (and a small body) is here, so silent,
 * slow and idle clients cost a few hundred bytes and no thread. The CPU of a TLS
 * handshake is spent by workers, one step at a time.
 *
 * Connections that have never sent a whole request are "fresh"; when there are
 * too many, the oldest goes first, so that a flood of silent ones cannot keep
 * others out.
 */
#include "front.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "address.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/path.h"
#include "pool.h"
#include "server_internal.h"
#include "tls.h"
#include "transport.h"

#define LISTENERS_MAX 32

struct listener {
    int fd;
    enum transport_kind kind;
    int port;
    size_t entry; /* of options.listen */
    struct front *front;
    struct loop_source *source;
};

struct waiting {
    struct transport *first, *last;
    size_t count;
};

struct front {
    struct server *server;
    struct loop *loop;
    pthread_t thread;
    struct listener listeners[LISTENERS_MAX];
    size_t listener_count;
    struct waiting fresh, idle; /* oldest first */
    int64_t handshake_ns, head_ns, idle_ns;
    size_t connections_max;
    int64_t complained_ns;
};

/* --- lists --------------------------------------------------------------------------- */
static struct waiting *list_of(struct front *front, const struct transport *transport)
{
    return transport->requests == 0 ? &front->fresh : &front->idle;
}

static void link_last(struct waiting *list, struct transport *transport)
{
    transport->front_previous = list->last;
    transport->front_next = NULL;
    if (list->last != NULL)
        list->last->front_next = transport;
    else
        list->first = transport;
    list->last = transport;
    list->count++;
}

static void unlink_waiting(struct waiting *list, struct transport *transport)
{
    if (transport->front_previous != NULL)
        transport->front_previous->front_next = transport->front_next;
    else
        list->first = transport->front_next;
    if (transport->front_next != NULL)
        transport->front_next->front_previous = transport->front_previous;
    else
        list->last = transport->front_previous;
    list->count--;
}

/* Out of the front: the caller has it. */
static void release(struct front *front, struct transport *transport)
{
    loop_remove(transport->source);
    transport->source = NULL;
    unlink_waiting(list_of(front, transport), transport);
}

static void drop(struct front *front, struct transport *transport)
{
    release(front, transport);
    transport_free(transport);
}

static void on_ready(struct loop_source *source, int fd, uint32_t events, void *user);

static bool hold(struct front *front, struct transport *transport)
{
    link_last(list_of(front, transport), transport);
    if (loop_add_fd(front->loop, transport->fd, EPOLLIN | EPOLLRDHUP, on_ready, transport,
                    &transport->source) < 0) {
        unlink_waiting(list_of(front, transport), transport);
        transport_free(transport);
        return false;
    }
    if (front->fresh.count > FRONT_FRESH_MAX && front->fresh.first != transport)
        drop(front, front->fresh.first);
    return true;
}

/* --- progress ---------------------------------------------------------------------------- */
static void submit(struct front *front, struct transport *transport, pool_fn *fn)
{
    release(front, transport);
    int r = pool_submit(front->server->workers, fn, transport);
    if (r < 0) {
        if (transport->state == TRANSPORT_HEAD)
            respond_raw_error(transport, 503, "the server is too busy; try again");
        transport_free(transport);
    }
}

static void handshake_step(void *user)
{
    struct transport *transport = user;
    int r = transport_handshake(transport);
    if (r < 0 && r != -EAGAIN) {
        transport->broken = true;
        transport_free(transport);
        return;
    }
    if (r == 0)
        transport->state = TRANSPORT_HEAD;
    front_adopt(transport->server->front, transport);
}

/* Whether a worker can go on without waiting: a whole head, and the body if it
 * is small; or something that is to be refused. */
bool front_complete(struct transport *transport)
{
    struct str *in = &transport->in;
    while (in->length >= 2 && memcmp(in->data, "\r\n", 2) == 0) { /* RFC 9112, 2.2 */
        memmove(in->data, in->data + 2, in->length - 2);
        in->length -= 2;
    }
    size_t head_size = head_length(in->data, in->length);
    if (head_size == 0)
        return in->length >= HEAD_MAX ||
               (in->length > 0 && memchr(in->data, '\0', in->length) != NULL);
    struct head head;
    const char *reason;
    if (head_check(in->data, head_size, &head, &reason) != 0)
        return true;
    if (head.expect_continue || head.content_length <= 0 || head.content_length > PREFETCH_MAX)
        return true;
    return in->length >= head_size + (size_t)head.content_length;
}

static void receive(struct front *front, struct transport *transport)
{
    char buffer[16384];
    for (;;) {
        ssize_t n = transport_read_now(transport, buffer, sizeof(buffer));
        if (n == -EAGAIN)
            break;
        if (n <= 0) {
            /* A client that sent a whole request and half-closed has been
             * submitted already, so nothing is lost here. */
            drop(front, transport);
            return;
        }
        if (transport->in.length == 0)
            transport->deadline_ns = clock_mono_ns() + front->head_ns;
        str_append_n(&transport->in, buffer, (size_t)n);
        if (front_complete(transport)) {
            submit(front, transport, serve);
            return;
        }
    }
}

static void linger(struct front *front, struct transport *transport)
{
    char buffer[16384];
    for (int i = 0; i < 64; i++) {
        ssize_t n = transport_read_now(transport, buffer, sizeof(buffer));
        if (n == -EAGAIN)
            return;
        if (n <= 0) {
            drop(front, transport);
            return;
        }
    }
}

static void on_ready(struct loop_source *source, int fd, uint32_t events, void *user)
{
    struct transport *transport = user;
    struct front *front = transport->server->front;
    switch (transport->state) {
    case TRANSPORT_HANDSHAKE:
        submit(front, transport, handshake_step);
        break;
    case TRANSPORT_HEAD:
        receive(front, transport);
        break;
    default:
        linger(front, transport);
        break;
    }
}

static void on_adopt(void *user)
{
    struct transport *transport = user;
    struct server *server = transport->server;
    struct front *front = server->front;
    if (server_stopping(server)) {
        transport_free(transport);
        return;
    }
    if (transport->state == TRANSPORT_HEAD) {
        int64_t wait =
            transport->requests == 0 || transport->in.length > 0 ? front->head_ns : front->idle_ns;
        if (transport->requests > 0 || transport->in.length > 0)
            transport->deadline_ns = clock_mono_ns() + wait;
    }
    if (!hold(front, transport))
        return;
    /* Bytes may be here already, where epoll cannot see them: in the buffer or
     * decrypted. */
    if (transport->state == TRANSPORT_HEAD) {
        if (transport->in.length > 0 && front_complete(transport))
            submit(front, transport, serve);
        else
            receive(front, transport);
    }
}

void front_adopt(struct front *front, struct transport *transport)
{
    loop_post(front->loop, on_adopt, transport);
}

void front_linger(struct front *front, struct transport *transport)
{
    transport_shutdown_write(transport);
    transport->state = TRANSPORT_LINGER;
    transport->deadline_ns = clock_mono_ns() + FRONT_LINGER_MS * NS_PER_MS;
    str_clear(&transport->in);
    front_adopt(front, transport);
}

static void sweep(struct front *front, struct waiting *list, int64_t now)
{
    for (struct transport *at = list->first, *next; at != NULL; at = next) {
        next = at->front_next;
        if (at->deadline_ns > now)
            continue;
        if (at->state == TRANSPORT_HEAD && at->in.length > 0)
            respond_raw_error(at, 408, "the request did not arrive in time");
        drop(front, at);
    }
}

static void on_tick(struct loop_source *source, void *user)
{
    struct front *front = user;
    int64_t now = clock_mono_ns();
    sweep(front, &front->fresh, now);
    sweep(front, &front->idle, now);
}

/* --- listeners ----------------------------------------------------------------------------- */
static void make_room(struct front *front)
{
    if (front->idle.first != NULL)
        drop(front, front->idle.first);
    else if (front->fresh.first != NULL)
        drop(front, front->fresh.first);
}

static void on_connect(struct loop_source *source, int fd, uint32_t events, void *user)
{
    struct listener *listener = user;
    struct front *front = listener->front;
    struct server *server = front->server;
    for (int i = 0; i < 64; i++) {
        int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (client < 0) {
            if (errno == EMFILE || errno == ENFILE) {
                make_room(front);
                int64_t now = clock_mono_ns();
                if (now - front->complained_ns > 60 * NS_PER_SEC) {
                    front->complained_ns = now;
                    log_warning("no file descriptors left for new connections");
                }
            }
            return;
        }
        if (atomic_load(&server->transport_count) >= front->connections_max)
            make_room(front);
        if (atomic_load(&server->transport_count) >= front->connections_max) {
            close(client);
            continue;
        }
        struct transport *transport = NULL;
        struct tls *tls = listener->kind == TRANSPORT_TLS ? server_tls(server) : NULL;
        int r = transport_new(server, client, listener->kind, tls, &transport);
        tls_unref(tls);
        if (r < 0)
            continue;
        bool secure = listener->kind == TRANSPORT_TLS;
        transport->state = secure ? TRANSPORT_HANDSHAKE : TRANSPORT_HEAD;
        transport->deadline_ns = clock_mono_ns() + (secure ? front->handshake_ns : front->head_ns);
        /* Often the request is already here. */
        if (hold(front, transport) && !secure)
            receive(front, transport);
    }
}

static int add_listener(struct front *front, int fd, enum transport_kind kind, size_t entry,
                        struct error *err)
{
    if (front->listener_count == LISTENERS_MAX) {
        close(fd);
        return error_set(err, EINVAL, "too many addresses to listen on (at most %d)",
                         LISTENERS_MAX);
    }
    struct listener *listener = &front->listeners[front->listener_count++];
    *listener = (struct listener){.fd = fd, .kind = kind, .entry = entry, .front = front};
    struct sockaddr_storage address;
    socklen_t length = sizeof(address);
    if (kind != TRANSPORT_UNIX && getsockname(fd, (struct sockaddr *)&address, &length) == 0)
        listener->port =
            ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                                : ((struct sockaddr_in *)&address)->sin_port);
    return loop_add_fd(front->loop, fd, EPOLLIN, on_connect, listener, &listener->source);
}

static int listen_on(const struct addrinfo *address, bool dual)
{
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    int on = 1, off = 0;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (address->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, dual ? &off : &on, sizeof(on));
    if (bind(fd, address->ai_addr, address->ai_addrlen) < 0 || listen(fd, 1024) < 0) {
        int r = -errno;
        close(fd);
        return r;
    }
    return fd;
}

static int open_tcp(struct front *front, const char *text, size_t entry, struct error *err)
{
    struct listen_address address;
    struct error why = ERROR_INIT;
    int r = listen_address_parse(text, &address, &why);
    if (r < 0)
        return error_set(err, EINVAL, "listen: %s", why.message);
    const char *host = address.host;
    bool secure = address.tls;
    char port[8];
    snprintf(port, sizeof(port), "%u", address.port);
    struct addrinfo hints = {.ai_family = host[0] == '\0' ? AF_INET6 : AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    int code = getaddrinfo(host[0] == '\0' ? NULL : host, port, &hints, &list);
    if (code != 0)
        return error_set(err, EINVAL, "listen: '%s': %s", text, gai_strerror(code));
    int fd = -EADDRNOTAVAIL;
    for (struct addrinfo *at = list; at != NULL && fd < 0; at = at->ai_next)
        fd = listen_on(at, host[0] == '\0');
    freeaddrinfo(list);
    if (fd == -EAFNOSUPPORT && host[0] == '\0') { /* a kernel without IPv6 */
        struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(address.port)};
        struct addrinfo plain = {
            .ai_family = AF_INET, .ai_addr = (struct sockaddr *)&any, .ai_addrlen = sizeof(any)};
        fd = listen_on(&plain, false);
    }
    if (fd == -EADDRINUSE)
        return error_set(
            err, EADDRINUSE,
            "port %s is taken by another program; stop it (ss -ltnp 'sport = :%s' names it), or "
            "choose another with --listen ADDRESS:PORT",
            port, port);
    if (fd == -EADDRNOTAVAIL)
        return error_set(err, EADDRNOTAVAIL,
                         "cannot listen on '%s': this machine has no such address (ip address shows those it has); "
                         "choose another with --listen ADDRESS:PORT", text);
    if (fd < 0)
        return error_errno(err, -fd, "cannot listen on '%s'", text);
    if (!secure && host[0] != '\0' && !str_starts(host, "127.") && strcmp(host, "::1") != 0 &&
        strcmp(host, "localhost") != 0)
        log_warning("%s is not encrypted: passwords and tokens cross the network in the clear",
                    text);
    return add_listener(front, fd, secure ? TRANSPORT_TLS : TRANSPORT_PLAIN, entry, err);
}

static int open_socket(struct front *front, const char *path, const char *group, struct error *err)
{
    /* A server that still listens there must not lose its socket. */
    int probe = socket_connect(path);
    if (probe >= 0) {
        close(probe);
        return error_set(
            err, EADDRINUSE,
            "another server listens on %s; stop it, or choose another with --socket PATH", path);
    }
    CLEANUP_FREE char *directory = path_dir(path);
    path_mkdirs(directory, 0755);
    int fd = socket_listen(path, 1024, 0600);
    if (fd < 0)
        return error_errno(err, -fd, "socket %s", path);
    fd_set_nonblock(fd, true);
    struct group *entry = group != NULL ? getgrnam(group) : NULL;
    if (entry != NULL && chown(path, 0, entry->gr_gid) < 0)
        log_warning("socket %s cannot be given to group %s: %s", path, group, strerror(errno));
    if (chmod(path, 0660) < 0) {
        int r = error_errno(err, errno, "socket %s", path);
        close(fd);
        return r;
    }
    return add_listener(front, fd, TRANSPORT_UNIX, SIZE_MAX, err);
}

static void *front_thread(void *user)
{
    struct front *front = user;
    pthread_setname_np(pthread_self(), "front");
    loop_run(front->loop);
    return NULL;
}

static void close_all(void *user)
{
    struct front *front = user;
    for (size_t i = 0; i < front->listener_count; i++) {
        loop_remove(front->listeners[i].source);
        close(front->listeners[i].fd);
    }
    front->listener_count = 0;
    while (front->fresh.first != NULL)
        drop(front, front->fresh.first);
    while (front->idle.first != NULL)
        drop(front, front->idle.first);
}

static void front_free(struct front *front)
{
    close_all(front);
    loop_free(front->loop);
    free(front);
}

static int64_t milliseconds(int value, int fallback)
{
    return (value > 0 ? value : fallback) * NS_PER_MS;
}

int front_new(struct server *server, struct error *err)
{
    const struct server_options *options = &server->options;
    struct front *front = mem_new(struct front);
    front->server = server;
    front->handshake_ns = milliseconds(options->handshake_timeout_ms, FRONT_HANDSHAKE_MS);
    front->head_ns = milliseconds(options->head_timeout_ms, FRONT_HEAD_MS);
    front->idle_ns = milliseconds(options->idle_timeout_ms, FRONT_IDLE_MS);
    front->connections_max =
        options->connections > 0 ? (size_t)options->connections : FRONT_CONNECTIONS;
    int r = loop_new(&front->loop);
    if (r < 0) {
        free(front);
        return error_errno(err, -r, "event loop");
    }
    for (size_t i = 0; r >= 0 && options->listen != NULL && options->listen[i] != NULL; i++)
        r = open_tcp(front, options->listen[i], i, err);
    if (r >= 0 && options->socket != NULL)
        r = open_socket(front, options->socket, options->socket_group, err);
    struct loop_source *timer = NULL;
    if (r >= 0)
        r = loop_add_timer(front->loop, NS_PER_SEC, NS_PER_SEC, on_tick, front, &timer);
    if (r >= 0) {
        /* Handlers and sweeps look it up through the server. */
        server->front = front;
        r = -pthread_create(&front->thread, NULL, front_thread, front);
        if (r < 0)
            error_errno(err, -r, "front thread");
    }
    if (r < 0) {
        front_free(front);
        server->front = NULL;
        return r;
    }
    return 0;
}

void front_close(struct front *front)
{
    const char *path = front->server->options.socket;
    if (path != NULL)
        unlink(path);
    loop_post(front->loop, close_all, front);
}

void front_stop(struct front *front)
{
    loop_stop(front->loop);
    pthread_join(front->thread, NULL);
    front_free(front);
}

int front_port(const struct front *front, size_t index)
{
    for (size_t i = 0; i < front->listener_count; i++)
        if (front->listeners[i].kind != TRANSPORT_UNIX && front->listeners[i].entry == index)
            return front->listeners[i].port;
    return -1;
}
