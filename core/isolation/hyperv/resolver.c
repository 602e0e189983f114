/* resolver.c - see resolver.h. */
#include "isolation/hyperv/resolver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/str.h"
#include "tabique/error.h"

#define QUERIES_MAX 64
#define QUERY_NS (12 * NS_PER_SEC) /* a resolver's two tries of five seconds, and some */
#define DATAGRAM_MAX 4096
#define HEADER_SIZE 12

struct query {
    struct query *next;
    struct resolver *resolver;
    uint64_t id;
    bool tcp;
    int fd;
    struct loop_source *watch, *deadline;
    struct str out, in;
    size_t sent;
};

struct resolver {
    struct loop *loop;
    int own_netns, netns;
    resolver_answer_fn *answer;
    void *user;
    struct query *queries;
    size_t count;
};

static void query_free(struct query *query)
{
    struct query **at = &query->resolver->queries;

    while (*at != query)
        at = &(*at)->next;
    *at = query->next;
    query->resolver->count--;
    loop_remove(query->watch);
    loop_remove(query->deadline);
    close(query->fd);
    str_free(&query->out);
    str_free(&query->in);
    free(query);
}

static void on_deadline(struct loop_source *source, void *user)
{
    query_free(user);
}

static void give(struct query *query, const void *data, size_t length)
{
    struct resolver *resolver = query->resolver;
    uint64_t id = query->id;
    CLEANUP_STR struct str copy = STR_INIT;

    str_append_n(&copy, data, length);
    query_free(query); /* first: the answer may break the channel, and end us all */
    resolver->answer(resolver->user, id, copy.data, copy.length);
}

static void read_datagram(struct query *query)
{
    char buffer[DATAGRAM_MAX];
    ssize_t n = recv(query->fd, buffer, sizeof(buffer), MSG_DONTWAIT);

    if (n >= HEADER_SIZE)
        give(query, buffer, (size_t)n);
    else if (n >= 0 || (errno != EAGAIN && errno != EINTR))
        query_free(query);
}

static void read_stream(struct query *query)
{
    char buffer[16384];
    ssize_t n = recv(query->fd, buffer, sizeof(buffer), MSG_DONTWAIT);
    size_t length;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        query_free(query);
        return;
    }
    str_append_n(&query->in, buffer, (size_t)n);
    if (query->in.length < 2)
        return;
    length = (size_t)(uint8_t)query->in.data[0] << 8 | (uint8_t)query->in.data[1];
    if (query->in.length >= length + 2)
        give(query, query->in.data + 2, length);
}

static void on_ready(struct loop_source *source, int fd, uint32_t events, void *user)
{
    struct query *query = user;

    if (events & EPOLLOUT && query->sent < query->out.length) {
        ssize_t n = send(fd, query->out.data + query->sent, query->out.length - query->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            query_free(query);
            return;
        }
        query->sent += n > 0 ? (size_t)n : 0;
        if (query->sent == query->out.length)
            loop_set_events(query->watch, EPOLLIN);
    }
    if (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) {
        if (query->tcp)
            read_stream(query);
        else
            read_datagram(query);
    }
}

static int open_socket(struct resolver *resolver, bool tcp)
{
    const struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(53), .sin_addr = {htonl(0x7f00000b)}};
    CLEANUP_CLOSE int fd = -EBADF;

    if (setns(resolver->netns, CLONE_NEWNET) < 0)
        return -errno;
    fd = socket(AF_INET, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (setns(resolver->own_netns, CLONE_NEWNET) < 0)
        abort(); /* everything after it would happen in the container's network */
    if (fd < 0 || (connect(fd, (const struct sockaddr *)&server, sizeof(server)) < 0 && errno != EINPROGRESS))
        return -errno;
    return TAKE_FD(fd);
}

void resolver_ask(struct resolver *resolver, uint64_t id, const void *body, size_t length)
{
    const uint8_t *bytes = body;
    struct query *query;
    uint8_t prefix[2];
    bool tcp;
    int fd;

    if (length < 1 + HEADER_SIZE || length - 1 > UINT16_MAX || bytes[0] > 1 || resolver->count >= QUERIES_MAX)
        return;
    tcp = bytes[0] == 1;
    length--;
    if ((!tcp && length > DATAGRAM_MAX) || (fd = open_socket(resolver, tcp)) < 0)
        return;
    query = mem_new(struct query);
    *query = (struct query){.next = resolver->queries, .resolver = resolver, .id = id, .tcp = tcp, .fd = fd};
    resolver->queries = query;
    resolver->count++;
    prefix[0] = (uint8_t)(length >> 8);
    prefix[1] = (uint8_t)length;
    if (tcp)
        str_append_n(&query->out, prefix, sizeof(prefix));
    str_append_n(&query->out, bytes + 1, length);
    if (loop_add_timer(resolver->loop, QUERY_NS, 0, on_deadline, query, &query->deadline) < 0 ||
        loop_add_fd(resolver->loop, fd, EPOLLOUT | EPOLLIN, on_ready, query, &query->watch) < 0)
        query_free(query);
}

int resolver_new(struct loop *loop, const char *netns, resolver_answer_fn *answer, void *user, struct resolver **ret,
                 struct error *err)
{
    CLEANUP_CLOSE int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    CLEANUP_CLOSE int other = open(netns, O_RDONLY | O_CLOEXEC);

    if (own < 0 || other < 0)
        return error_errno(err, errno, "cannot open the container's network");
    *ret = mem_new(struct resolver);
    **ret = (struct resolver){.loop = loop, .own_netns = TAKE_FD(own), .netns = TAKE_FD(other), .answer = answer, .user = user};
    return 0;
}

void resolver_free(struct resolver *resolver)
{
    if (!resolver)
        return;
    while (resolver->queries)
        query_free(resolver->queries);
    close(resolver->own_netns);
    close(resolver->netns);
    free(resolver);
}
