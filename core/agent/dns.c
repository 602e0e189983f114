/* dns.c - 127.0.0.11 inside the machine: queries go to the host, one message each.
 *
 * A query's answer is matched by its number; one that does not come is forgotten
 * when its place is needed. Whoever asks here is a process of the container's, and
 * can at most be in its own way. */
#include "agent/agent.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"

#define SLOTS 256
#define CONNECTIONS_MAX 32
#define DATAGRAM_MAX 4096
#define MESSAGE_MIN 12
#define MESSAGE_MAX (2u + UINT16_MAX)

struct slot {
    uint64_t id;
    struct sockaddr_in from;
};

struct connection {
    struct connection *next;
    struct dns *dns;
    int fd;
    struct loop_source *watch;
    uint64_t id; /* of the query under way; 0 none */
    struct str in;
};

struct dns {
    struct agent *agent;
    int udp, tcp;
    uint64_t next_id;
    struct slot slots[SLOTS];
    struct connection *connections; /* newest first */
    size_t connection_count;
};

static struct dns server = {.udp = -EBADF, .tcp = -EBADF};

static void ask(struct dns *dns, uint64_t id, char kind, const void *message, size_t length)
{
    CLEANUP_STR struct str body = STR_INIT;

    str_append_n(&body, &kind, 1);
    str_append_n(&body, message, length);
    mux_send(dns->agent->mux, RPC_RESOLVE, 0, id, body.data, body.length);
}

static void on_datagram(struct loop_source *source, int fd, uint32_t events, void *user)
{
    struct dns *dns = user;
    char buffer[DATAGRAM_MAX];
    struct sockaddr_in from;
    socklen_t from_length = sizeof(from);
    ssize_t n = recvfrom(fd, buffer, sizeof(buffer), MSG_DONTWAIT, (struct sockaddr *)&from, &from_length);
    struct slot *slot;

    if (n < MESSAGE_MIN)
        return;
    slot = &dns->slots[++dns->next_id % SLOTS];
    *slot = (struct slot){.id = dns->next_id, .from = from};
    ask(dns, slot->id, 0, buffer, (size_t)n);
}

static void connection_free(struct connection *connection)
{
    struct connection **at = &connection->dns->connections;

    while (*at != connection)
        at = &(*at)->next;
    *at = connection->next;
    connection->dns->connection_count--;
    loop_remove(connection->watch);
    close(connection->fd);
    str_free(&connection->in);
    free(connection);
}

/* One query at a time; what follows waits in the buffer. */
static void take_message(struct connection *connection)
{
    const uint8_t *bytes = (const uint8_t *)connection->in.data;
    size_t length;

    if (connection->id || connection->in.length < 2)
        return;
    length = (size_t)bytes[0] << 8 | bytes[1];
    if (connection->in.length < length + 2)
        return;
    connection->id = ++connection->dns->next_id;
    ask(connection->dns, connection->id, 1, bytes + 2, length);
    memmove(connection->in.data, connection->in.data + length + 2, connection->in.length - length - 2);
    connection->in.length -= length + 2;
}

static void on_connection(struct loop_source *source, int fd, uint32_t events, void *user)
{
    struct connection *connection = user;
    char buffer[4096];
    ssize_t n = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0 || connection->in.length + (size_t)n > MESSAGE_MAX) {
        connection_free(connection);
        return;
    }
    str_append_n(&connection->in, buffer, (size_t)n);
    take_message(connection);
}

static void on_connect(struct loop_source *source, int fd, uint32_t events, void *user)
{
    struct dns *dns = user;
    int accepted = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct connection *connection;

    if (accepted < 0)
        return;
    if (dns->connection_count >= CONNECTIONS_MAX) { /* the one that has been there longest goes */
        struct connection *oldest = dns->connections;
        while (oldest->next)
            oldest = oldest->next;
        connection_free(oldest);
    }
    connection = mem_new(struct connection);
    *connection = (struct connection){.next = dns->connections, .dns = dns, .fd = accepted};
    dns->connections = connection;
    dns->connection_count++;
    if (loop_add_fd(dns->agent->loop, accepted, EPOLLIN, on_connection, connection, &connection->watch) < 0)
        connection_free(connection);
}

void dns_answer(struct agent *agent, const struct rpc_frame *frame)
{
    struct dns *dns = &server;
    struct slot *slot = &dns->slots[frame->id % SLOTS];

    if (dns->udp < 0 || frame->length < MESSAGE_MIN || frame->length > UINT16_MAX)
        return;
    if (slot->id == frame->id) {
        slot->id = 0;
        (void)sendto(dns->udp, frame->body, frame->length, MSG_DONTWAIT, (struct sockaddr *)&slot->from, sizeof(slot->from));
        return;
    }
    for (struct connection *connection = dns->connections; connection; connection = connection->next) {
        if (connection->id == frame->id) {
            CLEANUP_STR struct str out = STR_INIT;
            const uint8_t prefix[2] = {(uint8_t)(frame->length >> 8), (uint8_t)frame->length};
            connection->id = 0;
            str_append_n(&out, prefix, sizeof(prefix));
            str_append_n(&out, frame->body, frame->length);
            /* An answer fits an empty socket's buffer; who does not read loses it. */
            if (send(connection->fd, out.data, out.length, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)out.length)
                connection_free(connection);
            else
                take_message(connection);
            return;
        }
    }
}

int dns_open(struct agent *agent, struct error *err)
{
    const struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(53), .sin_addr = {htonl(0x7f00000b)}};
    struct dns *dns = &server;
    int one = 1;

    if (dns->agent)
        return 0; /* a network joined later asked for it again */
    dns->agent = agent;
    dns->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    dns->tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (dns->udp < 0 || dns->tcp < 0 || setsockopt(dns->tcp, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
        setsockopt(dns->udp, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
        bind(dns->udp, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        bind(dns->tcp, (const struct sockaddr *)&address, sizeof(address)) < 0 || listen(dns->tcp, 16) < 0)
        return error_errno(err, errno, "cannot listen for name queries");
    if (loop_add_fd(agent->loop, dns->udp, EPOLLIN, on_datagram, dns, NULL) < 0 ||
        loop_add_fd(agent->loop, dns->tcp, EPOLLIN, on_connect, dns, NULL) < 0)
        return error_set(err, ENOMEM, "cannot watch for name queries");
    return 0;
}
