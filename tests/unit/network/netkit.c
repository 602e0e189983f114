/* netkit.c - see netkit.h. */
#include "network/netkit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/child.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"

struct echo_run {
    struct echo_run *next;
    pthread_t thread;
    int fd, protocol;
    char peer[64];
};

static struct network_manager *open_manager(struct kit *kit)
{
    CLEANUP_FREE char *data = mem_printf("%s/data", kit->root), *run = mem_printf("%s/run", kit->root);
    struct network_options options = {.data_dir = data, .run_dir = run, .forwarder = TEST_FORWARDER};
    struct network_manager *manager = NULL;
    struct error err = ERROR_INIT;

    if (network_manager_open(&options, &manager, &err) < 0)
        fail_msg("%s", err.message);
    return manager;
}

void kit_open(struct kit *kit)
{
    struct network *bridge = NULL;

    snprintf(kit->root, sizeof(kit->root), "/tmp/tabique-network-XXXXXX");
    assert_non_null(mkdtemp(kit->root));
    kit->manager = open_manager(kit);
    assert_int_equal(network_get(kit->manager, "bridge", &bridge, NULL), 0);
    snprintf(kit->bridge, sizeof(kit->bridge), "%s", bridge->bridge);
    network_free(bridge);
}

void kit_reopen(struct kit *kit)
{
    network_manager_close(kit->manager);
    kit->manager = open_manager(kit);
}

/* Those that run. Not on the test's stack: a failed test leaves them to kit_close(). */
static struct echo_run *echoes;

static void run_stop(struct echo_run *run)
{
    struct echo_run **link = &echoes;

    while (*link != run)
        link = &(*link)->next;
    *link = run->next;
    shutdown(run->fd, SHUT_RDWR);
    pthread_join(run->thread, NULL);
    close(run->fd);
    free(run);
}

static void machine_close(struct machine *m)
{
    ip_run("link del @0", (const char *const[]){m->link});
    ip_run("netns del @0", (const char *const[]){m->name});
}

void kit_close(struct kit *kit)
{
    while (echoes)
        run_stop(echoes);
    if (kit->machine.name[0])
        machine_close(&kit->machine);
    if (kit->manager) {
        network_manager_destroy_all(kit->manager);
        network_manager_close(kit->manager);
    }
    path_remove_tree(AT_FDCWD, kit->root);
    *kit = (struct kit){0};
}

int kit_setup(void **state)
{
    struct kit *kit = mem_new(struct kit);

    *state = kit;
    kit_open(kit);
    return 0;
}

int kit_teardown(void **state)
{
    kit_close(*state);
    free(*state);
    return 0;
}

char *kit_container(struct kit *kit, const char *id, const char *network, char *ip)
{
    struct network_endpoint wanted = {.container_name = (char *)id}, got = {0};
    struct error err = ERROR_INIT;
    char *path = NULL;

    if (network_sandbox_create(kit->manager, id, &path, &err) < 0)
        fail_msg("%s", err.message);
    if (network && network_attach(kit->manager, id, network, &wanted, &got, &err) < 0)
        fail_msg("%s", err.message);
    if (ip)
        snprintf(ip, 48, "%s", got.ipv4 ? got.ipv4 : "");
    network_endpoint_clear(&got);
    return path;
}

int ip_run(const char *words, const char *const *values)
{
    CLEANUP_STRV char **argv = NULL;
    CLEANUP_STR struct str text = STR_INIT;
    struct child_spec spec = {.path = "/sbin/ip"};

    for (const char *c = words; *c; c++)
        if (c[0] == '@')
            str_append(&text, values[*++c - '0']);
        else
            str_append_char(&text, *c);
    CLEANUP_STRV char **split = strv_split(text.data, ' ');

    strv_push(&argv, "ip");
    for (char **word = split; *word; word++)
        strv_push(&argv, *word);
    spec.argv = argv;
    return child_run(&spec, 10000, 1 << 16, NULL, NULL);
}

struct visit {
    const char *path;
    int (*fn)(void *user);
    void *user;
    int result;
};

static void *visit_run(void *user)
{
    struct visit *visit = user;

    if (visit->path) {
        CLEANUP_CLOSE int fd = open(visit->path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || setns(fd, CLONE_NEWNET) < 0) {
            visit->result = -errno;
            return NULL;
        }
    }
    visit->result = visit->fn(visit->user);
    return NULL;
}

int in_namespace(const char *path, int (*fn)(void *user), void *user)
{
    struct visit visit = {path, fn, user, -EIO};
    pthread_t thread;

    if (pthread_create(&thread, NULL, visit_run, &visit) != 0)
        return -EAGAIN;
    pthread_join(thread, NULL);
    return visit.result;
}

union name {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static socklen_t make_name(const char *address, uint16_t port, union name *name)
{
    memset(name, 0, sizeof(*name));
    if (strchr(address, ':')) {
        name->v6.sin6_family = AF_INET6;
        name->v6.sin6_port = htons(port);
        inet_pton(AF_INET6, address, &name->v6.sin6_addr);
        return sizeof(name->v6);
    }
    name->v4.sin_family = AF_INET;
    name->v4.sin_port = htons(port);
    inet_pton(AF_INET, address, &name->v4.sin_addr);
    return sizeof(name->v4);
}

static void set_limits(int fd, int seconds)
{
    struct timeval limit = {.tv_sec = seconds};

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
}

static int echo_listen(void *user)
{
    struct echo *echo = user;
    union name name;
    socklen_t length = make_name(echo->address, echo->port, &name);
    CLEANUP_CLOSE int fd = socket(name.any.sa_family, (echo->protocol == KIT_UDP ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
    int one = 1;

    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, &name.any, length) < 0 || (echo->protocol == KIT_TCP && listen(fd, 64) < 0) ||
        getsockname(fd, &name.any, &length) < 0)
        return -errno;
    echo->port = ntohs(name.any.sa_family == AF_INET6 ? name.v6.sin6_port : name.v4.sin_port);
    echo->run->fd = TAKE_FD(fd);
    return 0;
}

static void note_peer(struct echo_run *echo, const union name *name)
{
    if (name->any.sa_family == AF_INET6)
        inet_ntop(AF_INET6, &name->v6.sin6_addr, echo->peer, sizeof(echo->peer));
    else
        inet_ntop(AF_INET, &name->v4.sin_addr, echo->peer, sizeof(echo->peer));
}

static void *echo_serve(void *user)
{
    struct echo_run *echo = user;
    char data[2048];

    for (;;) {
        union name name;
        socklen_t length = sizeof(name);
        if (echo->protocol == KIT_UDP) {
            ssize_t got = recvfrom(echo->fd, data, sizeof(data), 0, &name.any, &length);
            if (got <= 0)
                break;
            note_peer(echo, &name);
            sendto(echo->fd, data, (size_t)got, MSG_NOSIGNAL, &name.any, length);
            continue;
        }
        int fd = accept4(echo->fd, &name.any, &length, SOCK_CLOEXEC);
        if (fd < 0)
            break;
        note_peer(echo, &name);
        set_limits(fd, 4);
        ssize_t got = recv(fd, data, sizeof(data), 0);
        if (got > 0)
            send(fd, data, (size_t)got, MSG_NOSIGNAL);
        close(fd);
    }
    return NULL;
}

int echo_start(struct echo *echo)
{
    echo->run = mem_new(struct echo_run);
    echo->run->protocol = echo->protocol;
    echo->peer = echo->run->peer;
    int r = in_namespace(echo->path, echo_listen, echo);
    if (r < 0) {
        free(TAKE_PTR(echo->run));
        return r;
    }
    pthread_create(&echo->run->thread, NULL, echo_serve, echo->run);
    echo->run->next = echoes;
    echoes = echo->run;
    return 0;
}

void echo_stop(struct echo *echo)
{
    if (echo->run)
        run_stop(TAKE_PTR(echo->run));
}

struct question {
    int protocol;
    const char *address;
    uint16_t port;
    const void *query;
    size_t length;
    void *answer;
    size_t size;
};

static int ask_inside(void *user)
{
    struct question *q = user;
    union name name;
    socklen_t length = make_name(q->address, q->port, &name);
    CLEANUP_CLOSE int fd = socket(name.any.sa_family, (q->protocol == KIT_UDP ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
    ssize_t got;

    if (fd < 0)
        return -errno;
    set_limits(fd, 4);
    if (connect(fd, &name.any, length) < 0)
        return errno == EINPROGRESS ? -ETIMEDOUT : -errno;
    if (send(fd, q->query, q->length, MSG_NOSIGNAL) < 0)
        return -errno;
    got = recv(fd, q->answer, q->size, 0);
    if (got < 0)
        return errno == EAGAIN ? -ETIMEDOUT : -errno;
    return (int)got;
}

int exchange(const char *path, const char *address, uint16_t port, const void *query, size_t length, void *answer,
             size_t size)
{
    struct question q = {KIT_UDP, address, port, query, length, answer, size};

    return in_namespace(path, ask_inside, &q);
}

int ask(int protocol, const char *path, const char *address, uint16_t port)
{
    char answer[16];
    struct question q = {protocol, address, port, "ping", 4, answer, sizeof(answer)};
    int r = in_namespace(path, ask_inside, &q);

    if (r < 0)
        return r;
    return r == 4 && memcmp(answer, "ping", 4) == 0 ? 0 : -EPROTO;
}

void machine_open(struct machine *m)
{
    static const char *const steps[] = {
        "netns add @0",
        "link add @1 type veth peer name eth0 netns @0",
        "addr add @2/24 dev @1",
        "-6 addr add @4/64 dev @1 nodad",
        "link set @1 up",
        "-n @0 addr add @3/24 dev eth0",
        "-n @0 -6 addr add @5/64 dev eth0 nodad",
        "-n @0 link set eth0 up",
        "-n @0 link set lo up",
        "-n @0 route add default via @2",
        "-n @0 -6 route add default via @4",
    };
    /* Numbers that a concurrent run of the tests does not use. */
    unsigned n = (unsigned)getpid() % 250 + 1;

    snprintf(m->name, sizeof(m->name), "tbq%d", getpid());
    snprintf(m->link, sizeof(m->link), "tbqm%d", getpid());
    snprintf(m->path, sizeof(m->path), "/run/netns/%s", m->name);
    snprintf(m->host_address, sizeof(m->host_address), "198.18.%u.1", n);
    snprintf(m->address, sizeof(m->address), "198.18.%u.2", n);
    snprintf(m->host_address6, sizeof(m->host_address6), "fd18:%x::1", n);
    snprintf(m->address6, sizeof(m->address6), "fd18:%x::2", n);
    const char *const values[] = {m->name, m->link, m->host_address, m->address, m->host_address6, m->address6};
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
        if (ip_run(steps[i], values) != 0)
            fail_msg("ip %s", steps[i]);
}
