/* server.c - the HTTP side as a whole; see server.h. */
#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "auth.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "civetweb_unit.h"
#include "pool.h"
#include "server_internal.h"
#include "tabique/error.h"
#include "tls.h"
#include "transport.h"
#include "websocket.h"

#define STREAMS_DEFAULT 512
#define THREADS_DEFAULT 64
#define BODY_TIMEOUT_MS 300000
#define STOP_MS 8000

/* --- the register ------------------------------------------------------------------------------
 */
void server_register(struct server *server, struct transport *transport)
{
    pthread_mutex_lock(&server->lock);
    transport->next = server->transports;
    if (transport->next != NULL)
        transport->next->previous = transport;
    server->transports = transport;
    atomic_fetch_add(&server->transport_count, 1);
    pthread_mutex_unlock(&server->lock);
}

void server_unregister(struct server *server, struct transport *transport)
{
    pthread_mutex_lock(&server->lock);
    if (transport->next != NULL)
        transport->next->previous = transport->previous;
    if (transport->previous != NULL)
        transport->previous->next = transport->next;
    else
        server->transports = transport->next;
    atomic_fetch_sub(&server->transport_count, 1);
    pthread_mutex_unlock(&server->lock);
}

struct tls *server_tls(struct server *server)
{
    pthread_mutex_lock(&server->lock);
    struct tls *tls = server->tls != NULL ? tls_ref(server->tls) : NULL;
    pthread_mutex_unlock(&server->lock);
    return tls;
}

bool server_stopping(struct server *server)
{
    return atomic_load(&server->stopping);
}

/* --- threads of their own ------------------------------------------------------------------------
 */
struct spawned {
    struct server *server;
    void (*fn)(void *user);
    void *user;
};

static void *run_spawned(void *user)
{
    struct spawned *spawned = user;
    struct server *server = spawned->server;
    spawned->fn(spawned->user);
    free(spawned);
    atomic_fetch_sub(&server->streams, 1);
    return NULL;
}

int server_spawn(struct server *server, const char *name, void (*fn)(void *user), void *user)
{
    int limit = server->options.streams > 0 ? server->options.streams : STREAMS_DEFAULT;
    if (atomic_fetch_add(&server->streams, 1) >= limit) {
        atomic_fetch_sub(&server->streams, 1);
        return -EAGAIN;
    }
    struct spawned *spawned = mem_new(struct spawned);
    *spawned = (struct spawned){server, fn, user};
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, THREAD_STACK);
    pthread_t thread;
    int r = pthread_create(&thread, &attributes, run_spawned, spawned);
    pthread_attr_destroy(&attributes);
    if (r != 0) {
        free(spawned);
        atomic_fetch_sub(&server->streams, 1);
        return -EAGAIN;
    }
    (void)name;
    return 0;
}

/* --- names
 * ------------------------------------------------------------------------------------------ */
static bool has_default_route(const char *interface)
{
    CLEANUP_FREE char *routes = NULL;
    if (file_read(AT_FDCWD, "/proc/net/route", 1 << 20, &routes, NULL) < 0)
        return false;
    CLEANUP_FREE char *line = mem_printf("\n%s\t00000000\t", interface);
    return strstr(routes, line) != NULL;
}

/* Bridges, one end of a veth pair, tunnels: made and removed with networks. */
static bool is_passing(const char *interface)
{
    CLEANUP_FREE char *bridge = mem_printf("/sys/class/net/%s/bridge", interface);
    CLEANUP_FREE char *tunnel = mem_printf("/sys/class/net/%s/tun_flags", interface);
    CLEANUP_FREE char *index_path = mem_printf("/sys/class/net/%s/ifindex", interface);
    CLEANUP_FREE char *peer_path = mem_printf("/sys/class/net/%s/iflink", interface);
    CLEANUP_FREE char *index = NULL, *peer = NULL;
    if (has_default_route(interface))
        return false;
    if (access(bridge, F_OK) == 0 || access(tunnel, F_OK) == 0)
        return true;
    return file_read(AT_FDCWD, index_path, 64, &index, NULL) == 0 &&
           file_read(AT_FDCWD, peer_path, 64, &peer, NULL) == 0 && strcmp(index, peer) != 0;
}

char **server_own_names(bool passing)
{
    char **names = NULL;
    char host[256];
    if (gethostname(host, sizeof(host)) == 0) {
        host[sizeof(host) - 1] = '\0';
        if (host[0] != '\0')
            strv_push(&names, host);
    }
    if (!strv_contains(names, "localhost"))
        strv_push(&names, "localhost");
    struct ifaddrs *list = NULL;
    if (getifaddrs(&list) < 0)
        return names;
    for (struct ifaddrs *at = list; at != NULL; at = at->ifa_next) {
        char text[INET6_ADDRSTRLEN];
        if (at->ifa_addr == NULL || (at->ifa_flags & IFF_UP) == 0)
            continue;
        if (!passing && is_passing(at->ifa_name))
            continue;
        if (at->ifa_addr->sa_family == AF_INET) {
            inet_ntop(AF_INET, &((struct sockaddr_in *)at->ifa_addr)->sin_addr, text, sizeof(text));
        } else if (at->ifa_addr->sa_family == AF_INET6) {
            const struct in6_addr *ip = &((struct sockaddr_in6 *)at->ifa_addr)->sin6_addr;
            if (IN6_IS_ADDR_LINKLOCAL(ip))
                continue;
            inet_ntop(AF_INET6, ip, text, sizeof(text));
        } else {
            continue;
        }
        if (!strv_contains(names, text))
            strv_push(&names, text);
    }
    freeifaddrs(list);
    return names;
}

static char **answered_hosts(char *const *allowed)
{
    char **hosts = server_own_names(true);
    for (size_t i = 0; allowed != NULL && allowed[i] != NULL; i++)
        strv_push(&hosts, allowed[i]);
    for (size_t i = 0; hosts != NULL && hosts[i] != NULL; i++)
        for (char *at = hosts[i]; *at != '\0'; at++)
            if (*at >= 'A' && *at <= 'Z')
                *at = (char)(*at + 32);
    return hosts;
}

/* --- start and stop
 * ------------------------------------------------------------------------------------ */
static bool wants_tls(char *const *listen)
{
    for (size_t i = 0; listen != NULL && listen[i] != NULL; i++)
        if (!str_starts(listen[i], "http://"))
            return true;
    return false;
}

static void server_free(struct server *server)
{
    web_sockets_free(server->sockets);
    if (server->free_hub != NULL)
        server->free_hub(server->hub);
    route_table_free(server->routes);
    static_files_free(server->files);
    auth_free(server->auth);
    tls_unref(server->tls);
    strv_free(server->hosts);
    pthread_mutex_destroy(&server->lock);
    free(server);
}

static int start(struct server *server, struct error *err)
{
    const struct server_options *options = &server->options;
    int body_timeout = options->body_timeout_ms > 0 ? options->body_timeout_ms : BODY_TIMEOUT_MS;
    int r = message_library_init(body_timeout);
    if (r < 0)
        return error_errno(err, -r, "HTTP library");
    r = route_table_new(options->tables, &server->routes, err);
    if (r < 0)
        return r;
    if (options->web_dir != NULL) {
        r = static_files_new(options->web_dir, &server->files, err);
        if (r < 0)
            return r;
    }
    if (options->store != NULL) {
        bool first = false;
        r = auth_new(options->store, options->data_dir, &server->auth, &first, err);
        if (r < 0)
            return r;
    }
    if (wants_tls(options->listen)) {
        struct tls_options tls = {options->tls_certificate, options->tls_key,
                                  options->tls_client_ca};
        r = tls_new(&tls, &server->tls, err);
        if (r < 0)
            return r;
    }
    r = web_sockets_new(server, &server->sockets, err);
    if (r < 0)
        return r;
    int threads = options->threads > 0 ? options->threads : THREADS_DEFAULT;
    server->workers = pool_new("worker", (size_t)threads, 4096, THREAD_STACK);
    return front_new(server, err);
}

int server_start(const struct server_options *options, struct server **ret, struct error *err)
{
    signal(SIGPIPE, SIG_IGN);
    struct server *server = mem_new(struct server);
    server->options = *options;
    pthread_mutex_init(&server->lock, NULL);
    server->hosts = answered_hosts(options->allowed_hosts);
    int r = start(server, err);
    if (r < 0) {
        if (server->workers != NULL)
            pool_stop(server->workers, 1000);
        server_free(server);
        return r;
    }
    *ret = server;
    return 0;
}

static void cut_off(struct server *server)
{
    pthread_mutex_lock(&server->lock);
    for (struct transport *at = server->transports; at != NULL; at = at->next)
        if (at->state == TRANSPORT_BUSY)
            shutdown(at->fd, SHUT_RDWR);
    pthread_mutex_unlock(&server->lock);
}

void server_stop(struct server *server)
{
    if (server == NULL)
        return;
    atomic_store(&server->stopping, true);
    front_close(server->front);
    void (*stop_hub)(void *hub) = server->stop_hub;
    if (stop_hub != NULL)
        stop_hub(server->hub);
    /* Requests that are nearly done get a moment; streams end at once when their
     * next look at the connection fails. */
    int64_t deadline = clock_mono_ns() + STOP_MS * NS_PER_MS;
    web_sockets_stop(server->sockets);
    while (atomic_load(&server->streams) > 0 && clock_mono_ns() < deadline) {
        cut_off(server);
        usleep(20000);
    }
    bool stopped = pool_stop(server->workers, 2000);
    if (!stopped) {
        cut_off(server);
        stopped = pool_stop(server->workers, 5000);
    }
    if (!stopped || atomic_load(&server->streams) > 0) {
        /* Somebody is deep inside the engine. The process ends soon anyway, and
         * freeing under his feet would be worse. */
        log_warning("some requests did not end in time");
        return;
    }
    front_stop(server->front);
    server_free(server);
}

int server_reload(struct server *server, struct error *err)
{
    const struct server_options *options = &server->options;
    if (server->tls == NULL)
        return 0;
    struct tls_options tls_options = {options->tls_certificate, options->tls_key,
                                      options->tls_client_ca};
    struct tls *tls = NULL;
    int r = tls_new(&tls_options, &tls, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&server->lock);
    struct tls *old = server->tls;
    server->tls = tls;
    pthread_mutex_unlock(&server->lock);
    tls_unref(old);
    return 0;
}

int server_port(const struct server *server, size_t index)
{
    return front_port(server->front, index);
}

void server_counts(struct server *server, struct server_counts *ret)
{
    *ret = (struct server_counts){.connections = atomic_load(&server->transport_count),
                                  .streams = (size_t)atomic_load(&server->streams),
                                  .sockets = web_sockets_count(server->sockets),
                                  .requests = atomic_load(&server->requests)};
    pool_counts(server->workers, &ret->workers, &ret->workers_busy, &ret->queued);
}
