/* dns.c - the name server's thread; see dns.h.
 *
 * Every open socket is an object with a number that is never used again; epoll
 * carries the number, so an event for something that another thread has just
 * removed finds nothing, rather than somebody else's socket.
 *
 * dns->lock guards everything, and is let go of around the lookup, which takes
 * the manager's lock (whose holders call dns_add() and dns_remove()).
 *
 *   UDP       one per container          LISTENER  one per container
 *   CLIENT    a TCP connection from it   FORWARD   a query of its at another server
 */
#include "network/dns.h"

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uthash.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/str.h"
#include "network/dns_message.h"
#include "network/resolv.h"

#define CLIENTS_MAX 16          /* of a container */
#define FORWARDS_MAX 64         /* of a container */
#define OBJECTS_MAX 16384
#define SERVERS_MAX 4           /* tried for one query */
#define CLIENT_NS (10 * NS_PER_SEC)
#define FORWARD_NS (2 * NS_PER_SEC)
#define SWEEP_MS 250
#define BURST 16                /* datagrams of one container in a row */

enum kind { UDP, LISTENER, CLIENT, FORWARD };

struct container {
    UT_hash_handle hh;
    char id[65];
    unsigned clients, forwards;
};

struct object {
    UT_hash_handle hh;
    uint64_t number;
    enum kind kind;
    int fd;
    struct container *container;
    int64_t deadline_ns;         /* CLIENT, FORWARD */
    uint8_t *in;                 /* CLIENT: a length and a query; FORWARD over TCP: likewise an answer */
    size_t in_length;
    struct str out;
    bool waiting;                /* CLIENT: its query is being answered */
    /* FORWARD */
    uint64_t asker;              /* CLIENT or UDP object */
    struct sockaddr_storage peer;
    socklen_t peer_length;
    uint8_t *query;
    size_t query_length;
    struct dns_query parsed;
    uint16_t id;                 /* under which it was sent on */
    char **servers;
    size_t server;
    bool tcp;
};

struct dns {
    pthread_t thread;
    pthread_mutex_t lock;
    int epoll, wake;
    bool stop;
    dns_lookup_fn *lookup;
    void *user;
    struct container *containers;
    struct object *objects;
    uint64_t last_number;
    size_t timed;                /* objects with a deadline */
    struct resolv host;          /* the host's servers, and which file they came from */
    struct timespec host_time;
    uint8_t answer[DNS_MESSAGE_MAX + 64]; /* the thread's */
};

/* --- objects --------------------------------------------------------------- */

static struct object *find(struct dns *dns, uint64_t number)
{
    struct object *object;

    HASH_FIND(hh, dns->objects, &number, sizeof(number), object);
    return object;
}

static int watch(struct dns *dns, struct object *object, uint32_t events, bool add)
{
    struct epoll_event event = {.events = events, .data.u64 = object->number};

    return epoll_ctl(dns->epoll, add ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, object->fd, &event) < 0 ? -errno : 0;
}

/* Takes the fd in any case. */
static struct object *add(struct dns *dns, struct container *container, enum kind kind, int fd, uint32_t events)
{
    struct object *object;

    if (HASH_COUNT(dns->objects) >= OBJECTS_MAX) {
        close(fd);
        return NULL;
    }
    object = mem_new(struct object);
    object->number = ++dns->last_number;
    object->kind = kind;
    object->fd = fd;
    object->container = container;
    if (watch(dns, object, events, true) < 0) {
        close(fd);
        free(object);
        return NULL;
    }
    if (kind == CLIENT)
        container->clients++;
    if (kind == FORWARD)
        container->forwards++;
    dns->timed += kind == CLIENT || kind == FORWARD;
    HASH_ADD(hh, dns->objects, number, sizeof(object->number), object);
    return object;
}

static void drop(struct dns *dns, struct object *object)
{
    HASH_DEL(dns->objects, object);
    if (object->kind == CLIENT)
        object->container->clients--;
    if (object->kind == FORWARD)
        object->container->forwards--;
    dns->timed -= object->kind == CLIENT || object->kind == FORWARD;
    cleanup_close(&object->fd);
    str_free(&object->out);
    free(object->in);
    free(object->query);
    strv_free(object->servers);
    free(object);
}

/* --- answering ------------------------------------------------------------- */

static void client_flush(struct dns *dns, struct object *client)
{
    while (client->out.length > 0) {
        ssize_t sent = send(client->fd, client->out.data, client->out.length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EAGAIN) {
            watch(dns, client, EPOLLIN | EPOLLOUT, false);
            return;
        }
        if (sent <= 0) {
            drop(dns, client);
            return;
        }
        memmove(client->out.data, client->out.data + sent, client->out.length - (size_t)sent);
        client->out.length -= (size_t)sent;
    }
    watch(dns, client, EPOLLIN, false);
}

/* To the asker, if it is still there. */
static void reply(struct dns *dns, uint64_t asker, const struct sockaddr_storage *peer, socklen_t peer_length,
                  const uint8_t *data, size_t length)
{
    struct object *object = find(dns, asker);

    if (!object)
        return;
    if (object->kind == UDP) {
        sendto(object->fd, data, length, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)peer, peer_length);
        return;
    }
    uint8_t prefix[2] = {(uint8_t)(length >> 8), (uint8_t)length};
    str_append_n(&object->out, prefix, 2);
    str_append_n(&object->out, data, length);
    object->waiting = false;
    object->deadline_ns = clock_mono_ns() + CLIENT_NS;
    client_flush(dns, object);
}

static void reply_error(struct dns *dns, const struct object *forward, enum dns_rcode rcode)
{
    size_t length = dns_answer_error(forward->query, &forward->parsed, rcode, dns->answer);

    reply(dns, forward->asker, &forward->peer, forward->peer_length, dns->answer, length);
}

/* The host's servers, read again when their file has changed. */
static char **host_servers(struct dns *dns)
{
    struct stat info;

    if (stat("/etc/resolv.conf", &info) == 0 &&
        (info.st_mtim.tv_sec != dns->host_time.tv_sec || info.st_mtim.tv_nsec != dns->host_time.tv_nsec)) {
        resolv_clear(&dns->host);
        resolv_read("/etc/resolv.conf", &dns->host);
        dns->host_time = info.st_mtim;
    }
    return strv_dup(dns->host.servers);
}

static int connect_server(const char *server, bool tcp)
{
    CLEANUP_CLOSE int fd = -EBADF;
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(53)};
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(53)};
    struct address address;
    int r;

    if (address_parse(server, &address) < 0)
        return -EINVAL;
    fd = socket(address.family, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (address.family == AF_INET6) {
        memcpy(&v6.sin6_addr, address.bytes, 16);
        r = connect(fd, (struct sockaddr *)&v6, sizeof(v6));
    } else {
        memcpy(&v4.sin_addr, address.bytes, 4);
        r = connect(fd, (struct sockaddr *)&v4, sizeof(v4));
    }
    if (r < 0 && errno != EINPROGRESS)
        return -errno;
    return TAKE_FD(fd);
}

/* Sends forward's query to its next server that can be reached at all; false:
 * none is left. On true `from` is gone, replaced by a new object. */
static bool ask_next(struct dns *dns, struct object *from)
{
    while (from->servers && from->servers[from->server] && from->server < SERVERS_MAX) {
        const char *server = from->servers[from->server++];
        int fd = strcmp(server, "127.0.0.11") == 0 ? -EINVAL : connect_server(server, from->tcp);
        if (fd < 0)
            continue;
        /* A port and an id of its own each time: that is all that protects an
         * answer over UDP from being made up by others. */
        random_bytes(&from->id, sizeof(from->id));
        struct object *to = add(dns, from->container, FORWARD, fd, from->tcp ? EPOLLOUT : EPOLLIN);
        if (!to)
            return false;
        to->asker = from->asker;
        to->peer = from->peer;
        to->peer_length = from->peer_length;
        to->query = TAKE_PTR(from->query);
        to->query_length = from->query_length;
        to->parsed = from->parsed;
        to->id = from->id;
        to->servers = TAKE_PTR(from->servers);
        to->server = from->server;
        to->tcp = from->tcp;
        to->deadline_ns = clock_mono_ns() + FORWARD_NS;
        to->query[0] = (uint8_t)(to->id >> 8);
        to->query[1] = (uint8_t)to->id;
        if (to->tcp) {
            uint8_t prefix[2] = {(uint8_t)(to->query_length >> 8), (uint8_t)to->query_length};
            str_append_n(&to->out, prefix, 2);
            str_append_n(&to->out, to->query, to->query_length);
        } else {
            /* An error (nobody listens there) comes as an event. */
            send(fd, to->query, to->query_length, MSG_DONTWAIT | MSG_NOSIGNAL);
        }
        return true;
    }
    return false;
}

/* The object's server failed it. */
static void try_other(struct dns *dns, struct object *forward)
{
    if (!ask_next(dns, forward))
        reply_error(dns, forward, DNS_SERVFAIL);
    drop(dns, forward);
}

static void forward_query(struct dns *dns, struct object *asker, const struct sockaddr_storage *peer,
                          socklen_t peer_length, const uint8_t *data, size_t length, const struct dns_query *query,
                          char **servers)
{
    /* A template on the stack: ask_next() turns it into an object. */
    struct object start = {.container = asker->container,
                           .asker = asker->number,
                           .peer_length = peer_length,
                           .query_length = length,
                           .parsed = *query,
                           .tcp = asker->kind == CLIENT};

    if (peer)
        start.peer = *peer;
    start.query = mem_dup(data, length);
    start.servers = servers ? strv_dup(servers) : host_servers(dns);
    bool room = asker->container->forwards < FORWARDS_MAX;
    if (!room || !ask_next(dns, &start))
        reply_error(dns, &start, room ? DNS_SERVFAIL : DNS_REFUSED);
    free(start.query);
    strv_free(start.servers);
}

static void shuffle(struct dns_answer *answer)
{
    for (size_t i = answer->count; i > 1; i--) {
        uint32_t draw;
        random_bytes(&draw, sizeof(draw));
        struct address swap = answer->addresses[i - 1];
        answer->addresses[i - 1] = answer->addresses[draw % i];
        answer->addresses[draw % i] = swap;
    }
}

/* One query. The lock is held, and let go of meanwhile: `asker` may be gone
 * afterwards, only its number counts. */
static void answer_query(struct dns *dns, uint64_t number, const struct sockaddr_storage *peer, socklen_t peer_length,
                         const uint8_t *data, size_t length)
{
    struct object *asker = find(dns, number);
    bool tcp = asker->kind == CLIENT;
    struct dns_query query;
    struct dns_answer *answer;
    struct address address = {0};
    char id[65];
    size_t size;
    int r = dns_parse(data, length, &query);

    if (r == -EBADMSG) {
        if (tcp)
            drop(dns, asker);
        return;
    }
    if (r < 0) {
        size = dns_answer_error(data, &query, r == -ENOTSUP ? DNS_NOTIMP : DNS_FORMERR, dns->answer);
        reply(dns, number, peer, peer_length, dns->answer, size);
        return;
    }
    answer = mem_new(struct dns_answer);
    memcpy(id, asker->container->id, sizeof(id));
    pthread_mutex_unlock(&dns->lock);
    bool reverse = query.type == DNS_TYPE_PTR && dns_reverse_name(query.name, &address);
    bool ours = query.class == DNS_CLASS_IN && !query.odd_name && query.name[0] != '\0';
    dns->lookup(dns->user, id,
                reverse ? DNS_REVERSE : query.type == DNS_TYPE_A ? DNS_ADDRESS4
                : query.type == DNS_TYPE_AAAA ? DNS_ADDRESS6 : DNS_ANY,
                ours ? query.name : "", &address, answer);
    pthread_mutex_lock(&dns->lock);
    if (answer->known && reverse) {
        size = dns_answer_name(data, &query, answer->name, dns->answer);
        reply(dns, number, peer, peer_length, dns->answer, size);
    } else if (answer->known) {
        shuffle(answer);
        size = dns_answer_addresses(data, &query, answer->addresses, answer->count,
                                    tcp ? DNS_MESSAGE_MAX : query.answer_max, dns->answer);
        reply(dns, number, peer, peer_length, dns->answer, size);
    } else if (!answer->forward) {
        size = dns_answer_error(data, &query, DNS_SERVFAIL, dns->answer);
        reply(dns, number, peer, peer_length, dns->answer, size);
    } else if ((asker = find(dns, number))) {
        forward_query(dns, asker, peer, peer_length, data, length, &query, answer->servers);
    }
    strv_free(answer->servers);
    free(answer);
}

/* --- events ---------------------------------------------------------------- */

static void on_udp(struct dns *dns, uint64_t number)
{
    uint8_t data[DNS_QUERY_MAX];
    struct object *object;

    for (int i = 0; i < BURST && (object = find(dns, number)); i++) {
        struct sockaddr_storage peer = {0};
        socklen_t peer_length = sizeof(peer);
        ssize_t got = recvfrom(object->fd, data, sizeof(data), MSG_DONTWAIT | MSG_TRUNC, (struct sockaddr *)&peer,
                               &peer_length);
        if (got < 0)
            return;
        if ((size_t)got <= sizeof(data))
            answer_query(dns, number, &peer, peer_length, data, (size_t)got);
    }
}

static void on_listener(struct dns *dns, struct object *listener)
{
    int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0)
        return;
    if (listener->container->clients >= CLIENTS_MAX) {
        close(fd);
        return;
    }
    struct object *client = add(dns, listener->container, CLIENT, fd, EPOLLIN);
    if (!client)
        return;
    client->in = mem_alloc(2 + DNS_QUERY_MAX);
    client->deadline_ns = clock_mono_ns() + CLIENT_NS;
}

/* Answers what is complete in the buffer, one query at a time. */
static void client_work(struct dns *dns, uint64_t number)
{
    struct object *client;

    while ((client = find(dns, number)) && !client->waiting && client->out.length == 0 && client->in_length >= 2) {
        uint8_t data[DNS_QUERY_MAX];
        size_t length = (size_t)client->in[0] << 8 | client->in[1];
        if (length > DNS_QUERY_MAX || length < DNS_HEADER) {
            drop(dns, client);
            return;
        }
        if (client->in_length < 2 + length)
            return;
        memcpy(data, client->in + 2, length);
        client->in_length -= 2 + length;
        memmove(client->in, client->in + 2 + length, client->in_length);
        client->waiting = true;
        answer_query(dns, number, NULL, 0, data, length);
    }
}

static void on_client(struct dns *dns, struct object *client, uint32_t events)
{
    uint64_t number = client->number;

    if (events & EPOLLOUT) {
        client_flush(dns, client);
        client = find(dns, number);
        if (!client)
            return;
    }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        size_t room = 2 + DNS_QUERY_MAX - client->in_length;
        if (room == 0) { /* a query waits: more comes later; not an event until then */
            watch(dns, client, client->out.length ? EPOLLOUT : 0, false);
            return;
        }
        ssize_t got = recv(client->fd, client->in + client->in_length, room, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN)) {
            drop(dns, client);
            return;
        }
        if (got > 0)
            client->in_length += (size_t)got;
    }
    client_work(dns, number);
}

static void deliver(struct dns *dns, struct object *forward, uint8_t *data, size_t length)
{
    uint64_t asker = forward->asker;

    data[0] = (uint8_t)(forward->parsed.id >> 8);
    data[1] = (uint8_t)forward->parsed.id;
    reply(dns, asker, &forward->peer, forward->peer_length, data, length);
    drop(dns, forward);
    struct object *client = find(dns, asker);
    if (client && client->kind == CLIENT)
        client_work(dns, asker);
}

static void on_forward_udp(struct dns *dns, struct object *forward)
{
    ssize_t got = recv(forward->fd, dns->answer, DNS_MESSAGE_MAX, MSG_DONTWAIT);

    if (got < 0) {
        if (errno != EAGAIN)
            try_other(dns, forward);
        return;
    }
    /* What does not fit the question is not from our server: keep waiting. */
    if (dns_is_answer(dns->answer, (size_t)got, forward->query, forward->parsed.question_length, forward->id))
        deliver(dns, forward, dns->answer, (size_t)got);
}

static void on_forward_tcp(struct dns *dns, struct object *forward, uint32_t events)
{
    while (forward->out.length > 0 && (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))) {
        ssize_t sent = send(forward->fd, forward->out.data, forward->out.length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EAGAIN)
            return;
        if (sent <= 0) {
            try_other(dns, forward);
            return;
        }
        memmove(forward->out.data, forward->out.data + sent, forward->out.length - (size_t)sent);
        forward->out.length -= (size_t)sent;
        if (forward->out.length == 0)
            watch(dns, forward, EPOLLIN, false);
    }
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        return;
    if (!forward->in)
        forward->in = mem_alloc(2 + DNS_MESSAGE_MAX);
    ssize_t got = recv(forward->fd, forward->in + forward->in_length, 2 + DNS_MESSAGE_MAX - forward->in_length,
                       MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        try_other(dns, forward);
        return;
    }
    forward->in_length += (size_t)got;
    size_t length = forward->in_length >= 2 ? (size_t)forward->in[0] << 8 | forward->in[1] : SIZE_MAX;
    if (length == SIZE_MAX || forward->in_length < 2 + length)
        return;
    if (!dns_is_answer(forward->in + 2, length, forward->query, forward->parsed.question_length, forward->id)) {
        try_other(dns, forward);
        return;
    }
    memcpy(dns->answer, forward->in + 2, length);
    deliver(dns, forward, dns->answer, length);
}

static void on_event(struct dns *dns, uint64_t number, uint32_t events)
{
    struct object *object = find(dns, number);

    if (!object)
        return;
    switch (object->kind) {
    case UDP:
        on_udp(dns, number);
        break;
    case LISTENER:
        on_listener(dns, object);
        break;
    case CLIENT:
        on_client(dns, object, events);
        break;
    case FORWARD:
        if (object->tcp)
            on_forward_tcp(dns, object, events);
        else
            on_forward_udp(dns, object);
        break;
    }
}

static void sweep(struct dns *dns)
{
    int64_t now = clock_mono_ns();
    struct object *object, *next;
    CLEANUP_FREE uint64_t *late = mem_array(dns->timed, sizeof(*late));
    size_t count = 0, room = dns->timed;

    /* Numbers first: handling one may add and remove others. */
    HASH_ITER(hh, dns->objects, object, next)
        if ((object->kind == CLIENT || object->kind == FORWARD) && object->deadline_ns < now && count < room)
            late[count++] = object->number;
    for (size_t i = 0; i < count; i++) {
        object = find(dns, late[i]);
        if (!object)
            continue;
        if (object->kind == FORWARD)
            try_other(dns, object);
        else if (!object->waiting)
            drop(dns, object);
    }
}

static void *serve(void *user)
{
    struct dns *dns = user;
    struct epoll_event events[64];
    int64_t swept = 0;

    pthread_setname_np(pthread_self(), "dns");
    pthread_mutex_lock(&dns->lock);
    while (!dns->stop) {
        int timeout = dns->timed > 0 ? SWEEP_MS : -1;
        pthread_mutex_unlock(&dns->lock);
        int count = epoll_wait(dns->epoll, events, (int)ARRAY_SIZE(events), timeout);
        pthread_mutex_lock(&dns->lock);
        for (int i = 0; i < count && !dns->stop; i++)
            if (events[i].data.u64 != 0)
                on_event(dns, events[i].data.u64, events[i].events);
        if (dns->timed > 0 && clock_mono_ns() - swept > SWEEP_MS * NS_PER_MS) {
            sweep(dns);
            swept = clock_mono_ns();
        }
    }
    pthread_mutex_unlock(&dns->lock);
    return NULL;
}

/* --- the face -------------------------------------------------------------- */

int dns_new(dns_lookup_fn *fn, void *user, struct dns **ret)
{
    struct dns *dns = mem_new(struct dns);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 0};
    int r = 0;

    pthread_mutex_init(&dns->lock, NULL);
    dns->lookup = fn;
    dns->user = user;
    dns->epoll = epoll_create1(EPOLL_CLOEXEC);
    dns->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (dns->epoll < 0 || dns->wake < 0 || epoll_ctl(dns->epoll, EPOLL_CTL_ADD, dns->wake, &event) < 0)
        r = -errno;
    if (r == 0)
        r = -pthread_create(&dns->thread, NULL, serve, dns);
    if (r < 0) {
        cleanup_close(&dns->epoll);
        cleanup_close(&dns->wake);
        free(dns);
        return r;
    }
    *ret = dns;
    return 0;
}

static void drop_container(struct dns *dns, struct container *container)
{
    struct object *object, *next;

    HASH_ITER(hh, dns->objects, object, next)
        if (object->container == container)
            drop(dns, object);
    HASH_DEL(dns->containers, container);
    free(container);
}

void dns_free(struct dns *dns)
{
    struct container *container, *next;
    uint64_t one = 1;

    if (!dns)
        return;
    pthread_mutex_lock(&dns->lock);
    dns->stop = true;
    pthread_mutex_unlock(&dns->lock);
    if (write(dns->wake, &one, sizeof(one)) < 0)
        log_warning("network: the name server cannot be woken");
    pthread_join(dns->thread, NULL);
    HASH_ITER(hh, dns->containers, container, next)
        drop_container(dns, container);
    close(dns->epoll);
    close(dns->wake);
    resolv_clear(&dns->host);
    pthread_mutex_destroy(&dns->lock);
    free(dns);
}

int dns_add(struct dns *dns, const char *container_id, int udp_fd, int tcp_fd)
{
    struct container *container = mem_new(struct container), *old;
    int r = 0;

    snprintf(container->id, sizeof(container->id), "%s", container_id);
    pthread_mutex_lock(&dns->lock);
    HASH_FIND_STR(dns->containers, container_id, old);
    if (old)
        drop_container(dns, old);
    HASH_ADD_STR(dns->containers, id, container);
    struct object *udp = add(dns, container, UDP, udp_fd, EPOLLIN);
    struct object *tcp = add(dns, container, LISTENER, tcp_fd, EPOLLIN);
    if (!udp || !tcp) {
        drop_container(dns, container);
        r = -ENOSPC;
    }
    pthread_mutex_unlock(&dns->lock);
    return r;
}

void dns_remove(struct dns *dns, const char *container_id)
{
    struct container *container;

    if (!dns)
        return;
    pthread_mutex_lock(&dns->lock);
    HASH_FIND_STR(dns->containers, container_id, container);
    if (container)
        drop_container(dns, container);
    pthread_mutex_unlock(&dns->lock);
}
