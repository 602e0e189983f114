/* port.c - see port.h. */
#include "network/port.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"
#include "tabique/error.h"

/* Linux's own default range, whatever this host has set: published ports are
 * looked up by people and firewalls, and should not move with a sysctl. */
#define EPHEMERAL_FIRST 32768
#define EPHEMERAL_LAST 60999

static const struct {
    const char *name;
    uint8_t number;
    int type;
} protocols[] = {
    {"tcp", IPPROTO_TCP, SOCK_STREAM},
    {"udp", IPPROTO_UDP, SOCK_DGRAM},
    {"sctp", IPPROTO_SCTP, SOCK_STREAM},
};

int protocol_parse(const char *name, uint8_t *ret)
{
    for (size_t i = 0; i < ARRAY_SIZE(protocols); i++)
        if (str_equal_nocase(name, protocols[i].name)) {
            *ret = protocols[i].number;
            return 0;
        }
    return -EINVAL;
}

const char *protocol_name(uint8_t protocol)
{
    for (size_t i = 0; i < ARRAY_SIZE(protocols); i++)
        if (protocols[i].number == protocol)
            return protocols[i].name;
    return "?";
}

static int hold(uint8_t protocol, const struct address *host, uint16_t port, int *ret_fd)
{
    CLEANUP_CLOSE int fd = -EBADF;
    struct sock_filter nothing[] = {{BPF_RET | BPF_K, 0, 0, 0}};
    struct sock_fprog program = {ARRAY_SIZE(nothing), nothing};
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } name = {0};
    socklen_t length;
    int one = 1, type = protocol == IPPROTO_UDP ? SOCK_DGRAM : SOCK_STREAM;

    fd = socket(host->family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
    if (fd < 0)
        /* No SCTP in this kernel's sockets says nothing about its translation. */
        return protocol == IPPROTO_SCTP ? 0 : -errno;
    setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
    if (host->family == AF_INET6) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
        name.v6.sin6_family = AF_INET6;
        name.v6.sin6_port = htons(port);
        memcpy(&name.v6.sin6_addr, host->bytes, 16);
        length = sizeof(name.v6);
    } else {
        name.v4.sin_family = AF_INET;
        name.v4.sin_port = htons(port);
        memcpy(&name.v4.sin_addr, host->bytes, 4);
        length = sizeof(name.v4);
    }
    /* TCP: past connections in TIME_WAIT must not hold the port, and listening
     * keeps it ours all the same. UDP would share it with others: not there. */
    if (type == SOCK_STREAM)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, &name.any, length) < 0 || (type == SOCK_STREAM && listen(fd, 1) < 0))
        return -errno;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static bool taken(const struct port_table *table, uint8_t protocol, const struct address *host, uint16_t port)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct port_lease *l = &table->leases[i];
        if (l->port == port && l->protocol == protocol && l->host.family == host->family &&
            (address_is_any(&l->host) || address_is_any(host) || address_equal(&l->host, host)))
            return true;
    }
    return false;
}

static void add(struct port_table *table, struct port_lease lease)
{
    if (table->count == table->capacity) {
        table->capacity = table->capacity ? table->capacity * 2 : 16;
        table->leases = mem_grow(table->leases, table->capacity, sizeof(*table->leases));
    }
    table->leases[table->count++] = lease;
}

/* One number on all of the request's addresses, or on none. */
static int try_port(struct port_table *table, const struct port_request *request, uint16_t port, struct error *err)
{
    char text[ADDRESS_TEXT_MAX];
    int fds[PORT_HOSTS_MAX] = {-EBADF, -EBADF};

    for (size_t i = 0; i < request->host_count; i++)
        if (taken(table, request->protocol, &request->hosts[i], port))
            return error_set(err, EADDRINUSE, "Bind for %s:%u failed: port is already allocated",
                             address_format(&request->hosts[i], text), port);
    for (size_t i = 0; i < request->host_count; i++) {
        int r = hold(request->protocol, &request->hosts[i], port, &fds[i]);
        if (r < 0) {
            for (size_t j = 0; j < i; j++)
                cleanup_close(&fds[j]);
            bool v6 = request->hosts[i].family == AF_INET6;
            return error_set(err, r, "failed to bind host port %s%s%s:%u/%s: %s", v6 ? "[" : "",
                             address_format(&request->hosts[i], text), v6 ? "]" : "", port,
                             protocol_name(request->protocol),
                             r == -EADDRINUSE ? "address already in use"
                             : r == -EADDRNOTAVAIL ? "cannot assign requested address" : strerror(-r));
        }
    }
    for (size_t i = 0; i < request->host_count; i++)
        add(table, (struct port_lease){request->protocol, port, request->hosts[i], fds[i]});
    return 0;
}

int port_reserve(struct port_table *table, const struct port_request *request, uint16_t *ret_port, struct error *err)
{
    bool ephemeral = request->first == 0;
    uint32_t first = ephemeral ? EPHEMERAL_FIRST : request->first;
    uint32_t last = ephemeral ? EPHEMERAL_LAST : request->last < request->first ? request->first : request->last;
    uint32_t count = last - first + 1, start = 0;

    if (ephemeral && table->next_ephemeral > first && table->next_ephemeral <= last)
        start = table->next_ephemeral - first;
    for (uint32_t i = 0; i < count; i++) {
        uint16_t port = (uint16_t)(first + (start + i) % count);
        int r = try_port(table, request, port, err);
        if (r == 0) {
            if (ephemeral)
                table->next_ephemeral = (uint16_t)(port + 1);
            *ret_port = port;
            return 0;
        }
        if (r != -EADDRINUSE || count == 1)
            return r;
    }
    return error_set(err, EADDRINUSE, "all ports are allocated");
}

void port_restore(struct port_table *table, uint8_t protocol, const struct address *host, uint16_t port)
{
    int fd = -EBADF;

    hold(protocol, host, port, &fd);
    add(table, (struct port_lease){protocol, port, *host, fd});
}

void port_release(struct port_table *table, uint8_t protocol, const struct address *host, uint16_t port)
{
    for (size_t i = 0; i < table->count; i++) {
        struct port_lease *l = &table->leases[i];
        if (l->port == port && l->protocol == protocol && address_equal(&l->host, host)) {
            cleanup_close(&l->fd);
            *l = table->leases[--table->count];
            return;
        }
    }
}

int port_socket(struct port_table *table, uint8_t protocol, const struct address *host, uint16_t port)
{
    for (size_t i = 0; i < table->count; i++) {
        struct port_lease *l = &table->leases[i];
        if (l->port == port && l->protocol == protocol && address_equal(&l->host, host)) {
            if (l->fd < 0)
                (void)hold(protocol, host, port, &l->fd);
            return l->fd;
        }
    }
    return -EBADF;
}

bool port_host_has_ipv6(void)
{
    const struct sockaddr_in6 loopback = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    CLEANUP_CLOSE int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    return fd >= 0 && bind(fd, (const struct sockaddr *)&loopback, sizeof(loopback)) == 0;
}

void port_table_clear(struct port_table *table)
{
    for (size_t i = 0; i < table->count; i++)
        cleanup_close(&table->leases[i].fd);
    free(table->leases);
    *table = (struct port_table){0};
}
