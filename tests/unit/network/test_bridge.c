/* test_bridge.c - the default bridge: sandboxes, traffic, published ports. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/child.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "network/netkit.h"
#include "network/private.h"

static struct network_port port(const char *protocol, uint16_t inside, const char *host_ip, uint16_t host)
{
    struct network_port p = {.container_port = inside, .host_ip = (char *)host_ip, .host_port = host, .host_port_end = host};

    snprintf(p.protocol, sizeof(p.protocol), "%s", protocol);
    return p;
}

static bool exists(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0;
}

static bool has_device(const char *name)
{
    CLEANUP_FREE char *path = mem_printf("/sys/class/net/%s", name);

    return exists(path);
}

static void opens_and_leaves(void **state)
{
    struct kit kit = {0};

    kit_open(&kit);
    char *path = kit_container(&kit, "one", "bridge", NULL);
    assert_true(has_device(kit.bridge));
    assert_true(exists(path));
    network_manager_close(kit.manager);
    /* Containers run on. */
    assert_true(has_device(kit.bridge));
    assert_true(exists(path));

    char before[16];
    memcpy(before, kit.bridge, sizeof(before));
    kit.manager = NULL;
    kit_reopen(&kit);
    struct network *bridge = NULL;
    assert_int_equal(network_get(kit.manager, "bridge", &bridge, NULL), 0);
    assert_string_equal(bridge->bridge, before);
    assert_string_equal(bridge->driver, "bridge");
    assert_true(bridge->builtin);
    assert_int_equal(bridge->subnet_count, 1);
    network_free(bridge);

    network_manager_destroy_all(kit.manager);
    assert_false(has_device(before));
    assert_false(exists(path));
    free(path);
    kit_close(&kit);
}

static void two_side_by_side(void **state)
{
    struct kit *a = *state, b = {0};
    char ip_a[48], ip_b[48];
    struct network *na = NULL, *nb = NULL;

    kit_open(&b);
    assert_string_not_equal(a->bridge, b.bridge);
    network_get(a->manager, "bridge", &na, NULL);
    network_get(b.manager, "bridge", &nb, NULL);
    assert_string_not_equal(na->subnets[0].subnet, nb->subnets[0].subnet);
    network_free(na);
    network_free(nb);
    char *pa = kit_container(a, "one", "bridge", ip_a), *pb = kit_container(&b, "one", "bridge", ip_b);
    struct echo echo = {.protocol = KIT_TCP, .path = pb, .address = "0.0.0.0", .port = 80};
    assert_int_equal(echo_start(&echo), 0);
    assert_int_equal(ask(KIT_TCP, NULL, ip_b, 80), 0);
    assert_true(ask(KIT_TCP, pa, ip_b, 80) < 0); /* another server's containers are strangers */
    echo_stop(&echo);
    /* What one removes is not the other's. */
    kit_close(&b);
    assert_true(has_device(a->bridge));
    free(pa);
    free(pb);
}

static void builtin_networks(void **state)
{
    struct kit *kit = *state;
    static const char *const drivers[][2] = {{"bridge", "bridge"}, {"host", "host"}, {"none", "null"}};
    struct error err = ERROR_INIT;

    for (size_t i = 0; i < ARRAY_SIZE(drivers); i++) {
        struct network *n = NULL, *again = NULL;
        assert_int_equal(network_get(kit->manager, drivers[i][0], &n, &err), 0);
        assert_string_equal(n->driver, drivers[i][1]);
        assert_int_equal(strlen(n->id), 64);
        char prefix[13] = {0};
        memcpy(prefix, n->id, 12);
        assert_int_equal(network_get(kit->manager, prefix, &again, &err), 0);
        assert_string_equal(again->name, n->name);
        network_free(again);
        network_free(n);
        assert_int_equal(network_remove(kit->manager, drivers[i][0], &err), -EPERM);
        assert_non_null(strstr(err.message, "is a pre-defined network and cannot be removed"));
    }
    struct network *n = NULL;
    assert_int_equal(network_get(kit->manager, "nowhere", &n, &err), -ENOENT);
    assert_string_equal(err.message, "network nowhere not found");
    assert_null(n);
    /* none and host are records only. */
    struct network_endpoint got = {0};
    char *path = kit_container(kit, "lonely", "none", NULL);
    assert_int_equal(network_attach(kit->manager, "hosted", "host", NULL, &got, &err), 0);
    network_endpoint_clear(&got);
    assert_int_equal(network_get(kit->manager, "host", &n, &err), 0);
    assert_int_equal(n->endpoint_count, 1);
    assert_string_equal(n->endpoints[0].container_id, "hosted");
    network_free(n);
    network_sandbox_remove(kit->manager, "hosted");
    network_sandbox_remove(kit->manager, "lonely");
    free(path);
}

static int read_inside(void *user)
{
    static const char *const files[][2] = {
        {"/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "1\n"},
    };
    CLEANUP_FREE char *routes = NULL;

    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        CLEANUP_FREE char *text = NULL;
        if (file_read(AT_FDCWD, files[i][0], 100, &text, NULL) < 0 || strcmp(text, files[i][1]) != 0)
            return -(int)i - 1;
    }
    if (file_read(AT_FDCWD, "/proc/thread-self/net/route", 10000, &routes, NULL) < 0)
        return -10;
    return strstr(routes, "eth0\t00000000\t") ? 0 : -11; /* a default route */
}

static void sandbox_is_furnished(void **state)
{
    struct kit *kit = *state;
    struct network_endpoint got = {0};
    struct error err = ERROR_INIT;
    char *path = NULL;

    assert_int_equal(network_sandbox_create(kit->manager, "one", &path, &err), 0);
    assert_int_equal(network_attach(kit->manager, "one", "bridge", NULL, &got, &err), 0);
    unsigned a, b, c, d;
    assert_int_equal(sscanf(got.ipv4, "%u.%u.%u.%u", &a, &b, &c, &d), 4);
    CLEANUP_FREE char *mac = mem_printf("02:42:%02x:%02x:%02x:%02x", a, b, c, d);
    assert_string_equal(got.mac, mac);
    assert_string_equal(got.interface, "eth0");
    assert_string_equal(got.network_name, "bridge");
    assert_non_null(got.gateway);
    assert_int_equal(strlen(got.id), 64);
    assert_int_equal(in_namespace(path, read_inside, NULL), 0);
    network_endpoint_clear(&got);
    /* Twice on one network is refused; static addresses and aliases are not for this one. */
    assert_int_equal(network_attach(kit->manager, "one", "bridge", NULL, &got, &err), -EPERM);
    assert_non_null(strstr(err.message, "already exists in network bridge"));
    assert_int_equal(network_attach(kit->manager, "none-such", "bridge", NULL, &got, &err), -EIO);
    char *p2 = kit_container(kit, "two", NULL, NULL);
    struct network_endpoint wanted = {.ipv4 = (char *)"172.29.0.77"};
    assert_int_equal(network_attach(kit->manager, "two", "bridge", &wanted, &got, &err), -EINVAL);
    char *aliases[] = {(char *)"x", NULL};
    wanted = (struct network_endpoint){.aliases = aliases};
    assert_int_equal(network_attach(kit->manager, "two", "bridge", &wanted, &got, &err), -EINVAL);
    wanted = (struct network_endpoint){.mac = "zz:zz:zz:zz:zz:zz"};
    assert_int_equal(network_attach(kit->manager, "two", "bridge", &wanted, &got, &err), -EINVAL);
    assert_int_equal(network_sandbox_create(kit->manager, "../evil", &path, &err), -EINVAL);
    network_sandbox_remove(kit->manager, "one");
    network_sandbox_remove(kit->manager, "one"); /* idempotent */
    network_sandbox_remove(kit->manager, "../evil");
    assert_false(exists(path));
    free(path);
    free(p2);
}

static void traffic(void **state)
{
    struct kit *kit = *state;
    struct machine *machine = &kit->machine;
    char ip1[48], ip2[48];
    char *p1 = kit_container(kit, "one", "bridge", ip1), *p2 = kit_container(kit, "two", "bridge", ip2);
    struct echo inside = {.protocol = KIT_TCP, .path = p2, .address = "0.0.0.0", .port = 80};
    struct echo host = {.protocol = KIT_TCP, .address = "0.0.0.0"};
    struct network *bridge = NULL;

    assert_string_not_equal(ip1, ip2);
    assert_int_equal(echo_start(&inside), 0);
    assert_int_equal(echo_start(&host), 0);
    assert_int_equal(ask(KIT_TCP, NULL, ip2, 80), 0);
    assert_int_equal(ask(KIT_TCP, p1, ip2, 80), 0);
    assert_string_equal(inside.peer, ip1); /* not translated within the bridge */
    assert_int_equal(ask(KIT_TCP, p2, ip2, 80), 0);
    assert_int_equal(ask(KIT_TCP, NULL, ip1, 80), -ECONNREFUSED);
    network_get(kit->manager, "bridge", &bridge, NULL);
    assert_int_equal(ask(KIT_TCP, p1, bridge->subnets[0].gateway, host.port), 0);
    assert_string_equal(host.peer, ip1);

    machine_open(machine);
    struct echo outside = {.protocol = KIT_TCP, .path = machine->path, .address = machine->address, .port = 7};
    assert_int_equal(echo_start(&outside), 0);
    assert_int_equal(ask(KIT_TCP, p1, machine->address, 7), 0);
    assert_string_equal(outside.peer, machine->host_address); /* masqueraded */
    /* Straight from outside to what is not published: dropped. */
    assert_int_equal(ask(KIT_TCP, machine->path, ip2, 80), -ETIMEDOUT);
    echo_stop(&outside);

    struct network_stats *stats = NULL;
    size_t count = 0;
    assert_int_equal(network_stats(kit->manager, "one", &stats, &count), 0);
    assert_int_equal(count, 1);
    assert_string_equal(stats[0].interface, "eth0");
    assert_true(stats[0].tx_packets >= 8 && stats[0].rx_bytes > 100);
    free(stats);
    assert_int_equal(network_stats(kit->manager, "nobody", &stats, &count), -ENOENT);
    echo_stop(&inside);
    echo_stop(&host);
    network_free(bridge);
    free(p1);
    free(p2);
}

static void published(int protocol, struct kit *kit)
{
    const char *name = protocol == KIT_TCP ? "tcp" : "udp";
    struct machine *machine = &kit->machine;
    struct error err = ERROR_INIT;
    struct network *bridge = NULL;
    char ip1[48], ip2[48];
    char *p1 = kit_container(kit, "one", "bridge", ip1), *p2 = kit_container(kit, "two", "bridge", ip2);
    struct echo echo = {.protocol = protocol, .path = p1, .address = "0.0.0.0", .port = 80};
    struct network_port ports[] = {port(name, 80, "", 0), port(name, 80, "127.0.0.1", 0)};

    machine_open(machine);
    network_get(kit->manager, "bridge", &bridge, NULL);
    assert_int_equal(echo_start(&echo), 0);
    if (network_publish(kit->manager, "one", ports, 2, &err) < 0)
        fail_msg("%s", err.message);
    assert_in_range(ports[0].host_port, 32768, 60999);
    assert_int_not_equal(ports[0].host_port, ports[1].host_port);
    uint16_t all = ports[0].host_port, local = ports[1].host_port;

    assert_int_equal(ask(protocol, NULL, "127.0.0.1", all), 0);
    assert_int_equal(ask(protocol, NULL, "127.0.0.1", local), 0);
    assert_int_equal(ask(protocol, NULL, machine->host_address, all), 0);
    assert_int_equal(ask(protocol, NULL, bridge->subnets[0].gateway, all), 0);
    assert_int_equal(ask(protocol, machine->path, machine->host_address, all), 0);
    assert_string_equal(echo.peer, machine->address); /* containers see who asks */
    assert_true(ask(protocol, machine->path, machine->host_address, local) < 0);
    /* From containers, the publishing one too. */
    assert_int_equal(ask(protocol, p2, machine->host_address, all), 0);
    assert_int_equal(ask(protocol, p2, bridge->subnets[0].gateway, all), 0);
    assert_int_equal(ask(protocol, p1, machine->host_address, all), 0);
    assert_true(ask(protocol, p2, machine->host_address, local) < 0);

    /* The number is taken: for us and for other programs. */
    struct network_port again = port(name, 81, "", all);
    assert_int_equal(network_publish(kit->manager, "two", &again, 1, &err), -EADDRINUSE);
    CLEANUP_FREE char *text = mem_printf("Bind for 0.0.0.0:%u failed: port is already allocated", all);
    assert_non_null(strstr(err.message, text));
    assert_non_null(strstr(err.message, "driver failed programming external connectivity on endpoint two ("));
    struct echo thief = {.protocol = protocol, .address = "0.0.0.0", .port = all};
    assert_int_equal(echo_start(&thief), -EADDRINUSE);

    /* Removed: the same numbers at once for the next, of another address. */
    echo_stop(&echo);
    network_sandbox_remove(kit->manager, "one");
    assert_true(ask(protocol, NULL, "127.0.0.1", all) < 0);
    struct echo next = {.protocol = protocol, .path = p2, .address = "0.0.0.0", .port = 81};
    assert_int_equal(echo_start(&next), 0);
    assert_int_equal(network_publish(kit->manager, "two", &again, 1, &err), 0);
    assert_int_equal(ask(protocol, NULL, "127.0.0.1", all), 0);
    assert_int_equal(ask(protocol, machine->path, machine->host_address, all), 0);
    echo_stop(&next);
    network_free(bridge);
    free(p1);
    free(p2);
}

/* Who holds the lock of container "one". */
static pid_t forwarder(const struct kit *kit)
{
    CLEANUP_FREE char *path = mem_printf("%s/run/network/one.forward", kit->root);
    CLEANUP_CLOSE int fd = open(path, O_RDWR | O_CLOEXEC);
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    return fd >= 0 && fcntl(fd, F_GETLK, &whole) == 0 && whole.l_type != F_UNLCK ? whole.l_pid : 0;
}

/* How long it says it will wait; -1: nothing is to be done. */
static int revive(struct kit *kit)
{
    pthread_mutex_lock(&kit->manager->lock);
    int timeout = network__forward_revive(kit->manager);
    pthread_mutex_unlock(&kit->manager->lock);
    return timeout;
}

/* A forwarder that dies is started again by the manager itself, but not for ever in a row. */
static void published_six_revived(void **state)
{
    struct kit *kit = *state;
    struct error err = ERROR_INIT;
    char *path = kit_container(kit, "one", "bridge", NULL);
    struct echo echo = {.protocol = KIT_TCP, .path = path, .address = "0.0.0.0", .port = 80};
    struct network_port published = port("tcp", 80, "::1", 0);
    int deaths = 0;

    assert_int_equal(echo_start(&echo), 0);
    assert_int_equal(network_publish(kit->manager, "one", &published, 1, &err), 0);
    assert_int_equal(revive(kit), -1);
    do {
        pid_t pid = forwarder(kit), next;
        assert_true(pid > 0);
        assert_int_equal(ask(KIT_TCP, NULL, "::1", published.host_port), 0);
        assert_int_equal(kill(pid, SIGKILL), 0);
        /* Here or in the manager's thread: whoever is first. Between two of them it is there, or waits. */
        do {
            next = forwarder(kit);
        } while ((next == 0 || next == pid) && revive(kit) < 0);
        deaths++;
    } while (revive(kit) < 0 && deaths < 100);
    assert_in_range(deaths, 2, 99);
    assert_int_equal(forwarder(kit), 0);
    /* What is published anew is served at once. */
    struct network_port more = port("tcp", 80, "::1", 0);
    assert_int_equal(network_publish(kit->manager, "one", &more, 1, &err), 0);
    assert_int_equal(ask(KIT_TCP, NULL, "::1", published.host_port), 0);
    assert_int_equal(ask(KIT_TCP, NULL, "::1", more.host_port), 0);
    network_sandbox_remove(kit->manager, "one");
    assert_int_equal(revive(kit), -1);
    assert_int_equal(forwarder(kit), 0);
    echo_stop(&echo);
    free(path);
}

/* To a container that has IPv4 only. */
static void published_six(int protocol, struct kit *kit)
{
    const char *name = protocol == KIT_TCP ? "tcp" : "udp";
    struct machine *machine = &kit->machine;
    struct error err = ERROR_INIT;
    char *p1 = kit_container(kit, "one", "bridge", NULL), one[] = "one", *running[] = {one, NULL};
    struct echo echo = {.protocol = protocol, .path = p1, .address = "0.0.0.0", .port = 80};
    struct network_port ports[] = {port(name, 80, "", 0), port(name, 80, "::1", 0), port(name, 80, "0.0.0.0", 0)};

    machine_open(machine);
    assert_int_equal(echo_start(&echo), 0);
    if (network_publish(kit->manager, "one", ports, 3, &err) < 0)
        fail_msg("%s", err.message);
    assert_string_equal(ports[0].bound[0], "0.0.0.0");
    assert_string_equal(ports[0].bound[1], "::");
    assert_string_equal(ports[1].bound[0], "::1");
    assert_string_equal(ports[1].bound[1], "");
    assert_string_equal(ports[2].bound[0], "0.0.0.0");
    assert_string_equal(ports[2].bound[1], "");
    uint16_t all = ports[0].host_port, local = ports[1].host_port, four = ports[2].host_port;
    for (int round = 0; round < 3; round++) { /* 1: as it was left; 2: and found dead */
        assert_int_equal(ask(protocol, NULL, "::1", all), 0);
        assert_int_equal(ask(protocol, NULL, machine->host_address6, all), 0);
        assert_int_equal(ask(protocol, machine->path, machine->host_address6, all), 0);
        assert_int_equal(ask(protocol, NULL, "127.0.0.1", all), 0);
        assert_int_equal(ask(protocol, NULL, "::1", local), 0);
        assert_true(ask(protocol, machine->path, machine->host_address6, local) < 0);
        assert_true(ask(protocol, NULL, "127.0.0.1", local) < 0);
        assert_true(ask(protocol, NULL, "::1", four) < 0);
        assert_int_equal(ask(protocol, NULL, "127.0.0.1", four), 0);
        if (round == 1) {
            network_manager_close(kit->manager); /* nobody is there to notice */
            kit->manager = NULL;
            pid_t pid = forwarder(kit);
            assert_true(pid > 0);
            assert_int_equal(kill(pid, SIGKILL), 0);
            while (forwarder(kit) == pid)
                ;
        }
        if (round < 2) {
            kit_reopen(kit);
            assert_int_equal(network_restore(kit->manager, running, &err), 0);
        }
    }
    /* With another container behind it the numbers are free at once; also where the
     * first ended while there was no server. */
    echo_stop(&echo);
    kit_reopen(kit);
    running[0] = NULL;
    assert_int_equal(network_restore(kit->manager, running, &err), 0);
    assert_true(ask(protocol, NULL, "::1", all) < 0);
    char *p2 = kit_container(kit, "two", "bridge", NULL);
    struct echo next = {.protocol = protocol, .path = p2, .address = "0.0.0.0", .port = 81};
    struct network_port again = port(name, 81, "::", all);
    assert_int_equal(echo_start(&next), 0);
    assert_int_equal(network_publish(kit->manager, "two", &again, 1, &err), 0);
    assert_string_equal(again.bound[0], "::");
    assert_int_equal(ask(protocol, NULL, "::1", all), 0);
    assert_true(ask(protocol, NULL, "127.0.0.1", all) < 0);
    network_sandbox_remove(kit->manager, "two");
    assert_true(ask(protocol, NULL, "::1", all) < 0);
    echo_stop(&next);
    free(p1);
    free(p2);
}

static void published_six_tcp(void **state)
{
    published_six(KIT_TCP, *state);
}

static void published_six_udp(void **state)
{
    published_six(KIT_UDP, *state);
}

static void published_tcp(void **state)
{
    published(KIT_TCP, *state);
}

static void published_udp(void **state)
{
    published(KIT_UDP, *state);
}

/* Below the numbers that outgoing connections of other programs take. */
static uint16_t free_number(void)
{
    for (uint16_t number = (uint16_t)(20000 + getpid() % 10000);; number++) {
        struct echo tcp = {.protocol = KIT_TCP, .address = "0.0.0.0", .port = number}, udp = tcp;
        udp.protocol = KIT_UDP;
        int r = echo_start(&tcp);
        if (r == 0)
            r = echo_start(&udp);
        echo_stop(&tcp);
        echo_stop(&udp);
        if (r == 0)
            return number;
    }
}

static void port_choices(void **state)
{
    struct kit *kit = *state;
    struct error err = ERROR_INIT;
    struct echo taken = {.protocol = KIT_TCP, .address = "0.0.0.0"};
    char *p1 = kit_container(kit, "one", "bridge", NULL);

    assert_int_equal(echo_start(&taken), 0);
    /* All or none: the second fails, the first is free again. */
    struct network_port first = port("tcp", 80, "", 0);
    assert_int_equal(network_publish(kit->manager, "one", &first, 1, &err), 0);
    uint16_t number = free_number();
    struct network_port pair[] = {port("tcp", 81, "127.0.0.1", number), port("tcp", 82, "", taken.port)};
    assert_int_equal(network_publish(kit->manager, "one", pair, 2, &err), -EADDRINUSE);
    assert_non_null(strstr(err.message, "failed to bind host port"));
    assert_non_null(strstr(err.message, "address already in use"));
    assert_int_equal(pair[0].host_port, number);
    assert_int_equal(network_publish(kit->manager, "one", pair, 1, &err), 0);

    /* A range takes the first that is free. */
    struct network_port range = port("tcp", 83, "", taken.port);
    range.host_port_end = (uint16_t)(taken.port + 20);
    assert_int_equal(network_publish(kit->manager, "one", &range, 1, &err), 0);
    assert_in_range(range.host_port, taken.port + 1, taken.port + 20);
    /* One number on two addresses, and for two protocols, is no conflict. */
    struct network_port two[] = {port("tcp", 84, "127.0.0.2", number), port("udp", 84, "", number)};
    if (network_publish(kit->manager, "one", two, 2, &err) < 0)
        fail_msg("%s", err.message);

    struct network_port bad[] = {port("icmp", 80, "", 0)};
    assert_int_equal(network_publish(kit->manager, "one", bad, 1, &err), -EINVAL);
    bad[0] = port("tcp", 80, "not-an-address", 0);
    assert_int_equal(network_publish(kit->manager, "one", bad, 1, &err), -EINVAL);
    bad[0] = port("tcp", 0, "", 0);
    assert_int_equal(network_publish(kit->manager, "one", bad, 1, &err), -EINVAL);
    bad[0] = port("tcp", 80, "203.0.113.7", 8080);
    assert_int_equal(network_publish(kit->manager, "one", bad, 1, &err), -EADDRNOTAVAIL);
    /* Nothing is left out silently: SCTP is not carried from IPv6 to IPv4. */
    bad[0] = port("sctp", 80, "::1", 0);
    assert_int_equal(network_publish(kit->manager, "one", bad, 1, &err), -EINVAL);
    assert_non_null(strstr(err.message, "port 80/sctp cannot be published on ::1"));
    bad[0] = port("tcp", 80, "2001:db8::7", 8080);
    assert_int_equal(network_publish(kit->manager, "one", bad, 1, &err), -EADDRNOTAVAIL);
    assert_non_null(strstr(err.message, "failed to bind host port [2001:db8::7]:8080/tcp: cannot assign requested address"));
    /* Without a network that leads out: likewise. */
    char *p2 = kit_container(kit, "two", "none", NULL);
    bad[0] = port("tcp", 80, "", 0);
    assert_int_equal(network_publish(kit->manager, "two", bad, 1, &err), 0);
    echo_stop(&taken);
    free(p1);
    free(p2);
}

static int accept_loopback(void *user)
{
    return file_write_text(AT_FDCWD, "/proc/sys/net/ipv4/conf/all/route_localnet", "1");
}

static void loopback_stays_closed(void **state)
{
    struct kit *kit = *state;
    struct machine *machine = &kit->machine;
    struct echo host = {.protocol = KIT_UDP, .address = "127.0.0.99"};
    struct network_port p = port("udp", 80, "127.0.0.99", 0);
    char *p1 = kit_container(kit, "one", "bridge", NULL), *p2 = kit_container(kit, "two", "bridge", NULL);
    struct echo inside = {.protocol = KIT_UDP, .path = p1, .address = "0.0.0.0", .port = 80};
    struct network *bridge = NULL;

    assert_int_equal(echo_start(&host), 0);
    assert_int_equal(echo_start(&inside), 0);
    assert_int_equal(network_publish(kit->manager, "one", &p, 1, NULL), 0);
    machine_open(machine);
    network_get(kit->manager, "bridge", &bridge, NULL);
    /* A container and another machine that route 127.0.0.99 to the host. */
    CLEANUP_FREE char *name = mem_printf("tbqx%d", getpid());
    CLEANUP_FREE char *link = mem_printf("/run/netns/%s", name);
    assert_int_equal(symlink(p2, link), 0);
    static const char *const steps[] = {"-n @0 route del local 127.0.0.0/8 dev lo table local",
                                        "-n @0 route del local 127.0.0.1 dev lo table local",
                                        "-n @0 route add 127.0.0.99/32 via @1"};
    const struct {
        const char *name, *via, *path;
    } places[] = {{name, bridge->subnets[0].gateway, p2}, {machine->name, machine->host_address, machine->path}};
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        for (size_t j = 0; j < ARRAY_SIZE(steps); j++)
            ip_run(steps[j], (const char *const[]){places[i].name, places[i].via});
        assert_int_equal(in_namespace(places[i].path, accept_loopback, NULL), 0);
        assert_true(ask(KIT_UDP, places[i].path, "127.0.0.99", host.port) < 0);
        assert_true(ask(KIT_UDP, places[i].path, "127.0.0.99", p.host_port) < 0);
    }
    assert_int_equal(ask(KIT_UDP, NULL, "127.0.0.99", p.host_port), 0);
    assert_string_equal(inside.peer, bridge->subnets[0].gateway);
    unlink(link);
    echo_stop(&host);
    echo_stop(&inside);
    network_free(bridge);
    free(p1);
    free(p2);
}

static void addresses_are_reused_at_once(void **state)
{
    struct kit *kit = *state;
    char first[48] = "";
    uint16_t number = 0;

    for (int i = 0; i < 40; i++) {
        char ip[48];
        char *path = kit_container(kit, "same", "bridge", ip);
        struct network_port p = port("tcp", 80, "", number);
        struct echo echo = {.protocol = KIT_TCP, .path = path, .address = "0.0.0.0", .port = 80};
        if (i == 0)
            memcpy(first, ip, sizeof(first));
        assert_string_equal(ip, first);
        assert_int_equal(echo_start(&echo), 0);
        assert_int_equal(network_publish(kit->manager, "same", &p, 1, NULL), 0);
        number = p.host_port;
        assert_int_equal(ask(KIT_TCP, NULL, ip, 80), 0);
        assert_int_equal(ask(KIT_TCP, NULL, "127.0.0.1", number), 0);
        echo_stop(&echo);
        network_sandbox_remove(kit->manager, "same");
        free(path);
    }
}

static void namespace_held_by_others(void **state)
{
    struct kit *kit = *state;
    char ip[48], again[48];
    char *path = kit_container(kit, "one", "bridge", ip);
    int held = open(path, O_RDONLY | O_CLOEXEC); /* as a container:one */

    network_sandbox_remove(kit->manager, "one");
    free(path);
    path = kit_container(kit, "two", "bridge", again);
    assert_string_equal(ip, again);
    char *p3 = kit_container(kit, "three", "bridge", NULL);
    struct echo echo = {.protocol = KIT_TCP, .path = path, .address = "0.0.0.0", .port = 80};
    assert_int_equal(echo_start(&echo), 0);
    for (int i = 0; i < 10; i++)
        assert_int_equal(ask(KIT_TCP, p3, again, 80), 0);
    close(held);
    echo_stop(&echo);
    free(path);
    free(p3);
}

static void restored(void **state)
{
    struct kit *kit = *state;
    struct error err = ERROR_INIT;
    char ip1[48], ip2[48], ip3[48];
    char *p1 = kit_container(kit, "one", "bridge", ip1), *p2 = kit_container(kit, "two", "bridge", ip2);
    struct network_port p = port("tcp", 80, "", 0);
    struct echo echo = {.protocol = KIT_TCP, .path = p1, .address = "0.0.0.0", .port = 80};
    char *running[] = {(char *)"one", (char *)"alone", NULL};
    char *p0 = kit_container(kit, "alone", NULL, NULL);

    assert_int_equal(echo_start(&echo), 0);
    assert_int_equal(network_publish(kit->manager, "one", &p, 1, &err), 0);
    network_manager_close(kit->manager);
    assert_int_equal(ask(KIT_TCP, NULL, "127.0.0.1", p.host_port), 0); /* while no server runs */
    kit->manager = NULL;
    kit_reopen(kit);
    assert_int_equal(ask(KIT_TCP, NULL, "127.0.0.1", p.host_port), 0); /* before restore, too */
    assert_int_equal(network_restore(kit->manager, running, &err), 0);
    assert_int_equal(ask(KIT_TCP, NULL, "127.0.0.1", p.host_port), 0);
    assert_int_equal(ask(KIT_TCP, NULL, ip1, 80), 0);
    assert_true(exists(p1));
    assert_false(exists(p2)); /* it did not run any more */
    assert_true(exists(p0));
    struct network_endpoint late = {0}; /* docker network connect, after the restart */
    assert_int_equal(network_attach(kit->manager, "alone", "bridge", NULL, &late, &err), 0);
    assert_int_equal(ask(KIT_TCP, NULL, late.ipv4, 80), -ECONNREFUSED);
    network_endpoint_clear(&late);
    network_sandbox_remove(kit->manager, "alone");
    assert_false(exists(p0));

    struct network *bridge = NULL;
    network_get(kit->manager, "bridge", &bridge, NULL);
    assert_int_equal(bridge->endpoint_count, 1);
    assert_string_equal(bridge->endpoints[0].container_id, "one");
    assert_string_equal(bridge->endpoints[0].container_name, "one");
    assert_string_equal(bridge->endpoints[0].ipv4, ip1);
    network_free(bridge);
    char *p3 = kit_container(kit, "three", "bridge", ip3);
    assert_string_not_equal(ip3, ip1);
    struct network_port again = port("tcp", 81, "", p.host_port);
    assert_int_equal(network_publish(kit->manager, "three", &again, 1, &err), -EADDRINUSE);
    assert_non_null(strstr(err.message, "port is already allocated"));
    struct network_stats *stats = NULL;
    size_t count;
    assert_int_equal(network_stats(kit->manager, "one", &stats, &count), 0);
    assert_int_equal(count, 1);
    free(stats);

    /* Somebody took the bridge and the rules away while the server was down. */
    network_manager_close(kit->manager);
    assert_int_equal(ip_run("link del @0", (const char *const[]){kit->bridge}), 0);
    CLEANUP_FREE char *table = mem_printf("tabique-%s", kit->bridge);
    struct child_spec nft = {.path = "/usr/sbin/nft", .argv = (char *[]){(char *)"nft", (char *)"delete", (char *)"table", (char *)"inet", table, NULL}};
    assert_int_equal(child_run(&nft, 10000, 1000, NULL, NULL), 0);
    kit->manager = NULL;
    kit_reopen(kit);
    assert_int_equal(network_restore(kit->manager, running, &err), 0);
    assert_int_equal(ask(KIT_TCP, NULL, ip1, 80), 0);
    assert_int_equal(ask(KIT_TCP, NULL, "127.0.0.1", p.host_port), 0);
    /* ... and the rules alone while it runs. */
    assert_int_equal(child_run(&nft, 10000, 1000, NULL, NULL), 0);
    free(p3);
    p3 = kit_container(kit, "three", "bridge", ip3);
    again.host_port = again.host_port_end = 0;
    assert_int_equal(network_publish(kit->manager, "three", &again, 1, &err), 0);
    assert_int_equal(ask(KIT_TCP, NULL, "127.0.0.1", p.host_port), 0);

    /* ... and put back without anybody's doing. */
    assert_int_equal(child_run(&nft, 10000, 1000, NULL, NULL), 0);
    int answered = -1;
    for (int i = 0; i < 10 && answered < 0; i++)
        answered = ask(KIT_TCP, NULL, "127.0.0.1", p.host_port);
    assert_int_equal(answered, 0);

    /* State that makes no sense does no harm. */
    network_manager_close(kit->manager);
    CLEANUP_FREE char *junk = mem_printf("%s/run/network/one.json", kit->root);
    assert_int_equal(file_write_atomic(AT_FDCWD, junk, "{\"endpoints\":[1,{}],\"ports\":\"x\"}", 33, 0600), 0);
    kit->manager = NULL;
    kit_reopen(kit);
    assert_int_equal(network_restore(kit->manager, running, &err), 0);
    assert_int_equal(network_restore(kit->manager, NULL, &err), 0);
    echo_stop(&echo);
    free(p0);
    free(p1);
    free(p2);
    free(p3);
}

struct worker {
    struct kit *kit;
    int number, failures;
    pthread_t thread;
};

static void *churn(void *user)
{
    struct worker *w = user;

    for (int i = 0; i < 12; i++) {
        struct network_endpoint got = {0};
        struct network_port p = port("tcp", 80, "", 0);
        struct error err = ERROR_INIT;
        char id[32], *path = NULL;
        snprintf(id, sizeof(id), "c%d-%d", w->number, i);
        if (network_sandbox_create(w->kit->manager, id, &path, &err) < 0 ||
            network_attach(w->kit->manager, id, "bridge", NULL, &got, &err) < 0 ||
            network_publish(w->kit->manager, id, &p, 1, &err) < 0 || ask(KIT_TCP, NULL, got.ipv4, 80) != -ECONNREFUSED) {
            fprintf(stderr, "%s: %s\n", id, err.message);
            w->failures++;
        }
        network_endpoint_clear(&got);
        free(path);
        if (i % 2)
            network_sandbox_remove(w->kit->manager, id);
    }
    return NULL;
}

static void many_at_once(void **state)
{
    struct worker workers[8];
    struct network *bridge = NULL;

    for (int i = 0; i < 8; i++) {
        workers[i] = (struct worker){.kit = *state, .number = i};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, churn, &workers[i]), 0);
    }
    for (int i = 0; i < 8; i++) {
        pthread_join(workers[i].thread, NULL);
        assert_int_equal(workers[i].failures, 0);
    }
    network_get(workers[0].kit->manager, "bridge", &bridge, NULL);
    assert_int_equal(bridge->endpoint_count, 48);
    for (size_t i = 0; i < 48; i++)
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(bridge->endpoints[i].ipv4, bridge->endpoints[j].ipv4);
    network_free(bridge);
}

static void resolv(void **state)
{
    char *servers[] = {(char *)"127.0.0.11", NULL}, *options[] = {(char *)"ndots:0", NULL}, *search[] = {(char *)".", NULL};
    CLEANUP_FREE char *own = network_resolv_conf(servers, search, options);
    CLEANUP_FREE char *host = network_resolv_conf(NULL, NULL, NULL);

    assert_string_equal(own, "nameserver 127.0.0.11\noptions ndots:0\n");
    assert_non_null(strstr(host, "nameserver "));
    assert_null(strstr(host, "nameserver 127."));
}

/* Not a test of anything: how long a start waits for its network. */
static void timing(void **state)
{
    struct kit *kit = *state;
    int64_t create = 0, attach = 0, publish = 0, detach = 0;
    enum { ROUNDS = 50 };

    for (int i = 0; i < ROUNDS; i++) {
        struct network_endpoint got = {0};
        struct network_port p = port("tcp", 80, "", 0);
        char *path = NULL;
        int64_t t0 = clock_mono_ns();
        network_sandbox_create(kit->manager, "timed", &path, NULL);
        int64_t t1 = clock_mono_ns();
        network_attach(kit->manager, "timed", "bridge", NULL, &got, NULL);
        int64_t t2 = clock_mono_ns();
        if (i % 2) network_publish(kit->manager, "timed", &p, 1, NULL);
        int64_t t3 = clock_mono_ns();
        network_sandbox_remove(kit->manager, "timed");
        create += t1 - t0;
        attach += t2 - t1;
        publish += t3 - t2;
        detach += clock_mono_ns() - t3;
        network_endpoint_clear(&got);
        free(path);
        usleep(5000);
    }
    print_message("mean us: create %ld attach %ld publish %ld remove %ld\n", (long)(create / ROUNDS / 1000),
                  (long)(attach / ROUNDS / 1000), (long)(publish / ROUNDS / 1000), (long)(detach / ROUNDS / 1000));
}

#define WITH_KIT(test) cmocka_unit_test_setup_teardown(test, kit_setup, kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_and_leaves), WITH_KIT(two_side_by_side), WITH_KIT(builtin_networks),
        WITH_KIT(sandbox_is_furnished), WITH_KIT(traffic), WITH_KIT(published_tcp), WITH_KIT(published_udp), WITH_KIT(published_six_tcp), WITH_KIT(published_six_udp), WITH_KIT(published_six_revived),
        WITH_KIT(port_choices), WITH_KIT(loopback_stays_closed), WITH_KIT(addresses_are_reused_at_once),
        WITH_KIT(namespace_held_by_others), WITH_KIT(restored), WITH_KIT(many_at_once), cmocka_unit_test(resolv),
        WITH_KIT(timing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
