/* test_user.c - networks of a user's own: making them, walls between them,
 * several on one container, IPv6. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "network/netkit.h"

static int make(struct kit *kit, const struct network *wanted, struct error *err)
{
    char id[65];

    *err = ERROR_INIT;
    return network_create(kit->manager, wanted, id, err);
}

/* Named, with options "NAME=VALUE" ending in NULL. Asserts. */
static void make_with(struct kit *kit, const char *name, bool internal, const char *const *options)
{
    struct network_pair pairs[8] = {0};
    struct network wanted = {.name = (char *)name, .internal = internal, .options = pairs};
    struct error err = ERROR_INIT;

    for (; options && *options; options++) {
        const char *equals = strchr(*options, '=');
        pairs[wanted.option_count++] = (struct network_pair){mem_strndup(*options, (size_t)(equals - *options)),
                                                             mem_strdup(equals + 1)};
    }
    int r = make(kit, &wanted, &err);
    for (size_t i = 0; i < wanted.option_count; i++) {
        free(pairs[i].name);
        free(pairs[i].value);
    }
    if (r < 0)
        fail_msg("%s", err.message);
}

static void attach(struct kit *kit, const char *id, const char *network, const struct network_endpoint *wanted,
                   struct network_endpoint *got)
{
    struct network_endpoint none = {.container_name = (char *)id};
    struct error err = ERROR_INIT;

    if (network_attach(kit->manager, id, network, wanted ? wanted : &none, got, &err) < 0)
        fail_msg("%s", err.message);
}

static void made_and_removed(void **state)
{
    struct kit *kit = *state;
    struct network_subnet subnet = {.subnet = (char *)"10.222.0.0/16", .gateway = (char *)"10.222.9.1",
                                    .ip_range = (char *)"10.222.5.0/24"};
    struct network_pair labels[] = {{(char *)"who", (char *)"me"}};
    struct network_pair options[] = {{(char *)"com.docker.network.bridge.name", (char *)"tbqtest0"},
                                     {(char *)"com.docker.network.driver.mtu", (char *)"1280"},
                                     {(char *)"unknown", (char *)"kept"}};
    struct network wanted = {.name = (char *)"front", .attachable = true, .subnets = &subnet, .subnet_count = 1,
                             .labels = labels, .label_count = 1, .options = options, .option_count = 3};
    struct network *n = NULL;
    struct network_endpoint got = {0};
    struct error err = ERROR_INIT;

    assert_int_equal(make(kit, &wanted, &err), 0);
    assert_int_equal(make(kit, &wanted, &err), -EEXIST);
    assert_string_equal(err.message, "network with name front already exists");
    kit_reopen(kit);
    assert_int_equal(network_get(kit->manager, "front", &n, &err), 0);
    assert_string_equal(n->bridge, "tbqtest0");
    assert_int_equal(n->mtu, 1280);
    assert_true(n->attachable);
    assert_false(n->builtin || n->internal || n->ipv6);
    assert_string_equal(n->subnets[0].subnet, "10.222.0.0/16");
    assert_string_equal(n->subnets[0].gateway, "10.222.9.1");
    assert_string_equal(n->subnets[0].ip_range, "10.222.5.0/24");
    assert_string_equal(n->labels[0].value, "me");
    assert_int_equal(n->option_count, 3);
    assert_true(n->created_ns > 0);

    char *path = kit_container(kit, "one", NULL, NULL);
    attach(kit, "one", "front", NULL, &got);
    assert_string_equal(got.ipv4, "10.222.5.0"); /* of the range, whose first is no network address here */
    assert_int_equal(got.ipv4_prefix, 16);
    assert_string_equal(got.gateway, "10.222.9.1");
    assert_int_equal(network_remove(kit->manager, n->id, &err), -EPERM);
    CLEANUP_FREE char *text = mem_printf("error while removing network: network front has active endpoints "
                                         "(name:\"one\" id:\"%.12s\")", got.id);
    assert_string_equal(err.message, text);
    network_endpoint_clear(&got);
    network_sandbox_remove(kit->manager, "one");
    assert_int_equal(network_remove(kit->manager, n->id, &err), 0);
    assert_int_equal(network_get(kit->manager, "front", &n, &err), -ENOENT);
    assert_int_equal(access("/sys/class/net/tbqtest0", F_OK), -1);
    network_free(n);
    free(path);
}

static void refusals(void **state)
{
    struct kit *kit = *state;
    struct network_subnet s[2] = {{.subnet = (char *)"10.223.0.0/16"}};
    struct network_pair o = {0};
    struct network ok = {.name = (char *)"taken", .subnets = s, .subnet_count = 1};
    struct error err = ERROR_INIT;
    static const struct {
        const char *name, *driver, *subnet, *gateway, *range, *option, *value;
        int code;
        const char *text;
    } cases[] = {
        {"", 0, 0, 0, 0, 0, 0, -EINVAL, "name is empty"},
        {"  ", 0, 0, 0, 0, 0, 0, -EINVAL, "name is empty"},
        {"host", 0, 0, 0, 0, 0, 0, -EPERM, "operation is not permitted on predefined host network"},
        {"default", 0, 0, 0, 0, 0, 0, -EPERM, "predefined"},
        {"x", "host", 0, 0, 0, 0, 0, -EPERM, "only one instance of \"host\" network is allowed"},
        {"x", "overlay", 0, 0, 0, 0, 0, -EPERM, "not a swarm manager"},
        {"x", "magic", 0, 0, 0, 0, 0, -ENOENT, "plugin \"magic\" not found"},
        {"x", 0, "10.223.128.0/24", 0, 0, 0, 0, -EPERM,
         "invalid pool request: Pool overlaps with other one on this address space"},
        {"x", 0, "10.224.1.0/16", 0, 0, 0, 0, -EINVAL, "invalid subnet 10.224.1.0/16: it should be 10.224.0.0/16"},
        {"x", 0, "10.224.0.0", 0, 0, 0, 0, -EINVAL, "invalid subnet"},
        {"x", 0, "10.224.0.0/33", 0, 0, 0, 0, -EINVAL, "invalid subnet"},
        {"x", 0, "10.224.0.0/-1", 0, 0, 0, 0, -EINVAL, "invalid subnet"},
        {"x", 0, "127.0.0.0/16", 0, 0, 0, 0, -EINVAL, "not a valid IPv4 subnet"},
        {"x", 0, "10.224.0.0/16", "10.225.0.1", 0, 0, 0, -EINVAL,
         "invalid gateway 10.225.0.1: parent subnet 10.224.0.0/16 doesn't contain this address"},
        {"x", 0, "10.224.0.0/16", "nonsense", 0, 0, 0, -EINVAL, "invalid gateway nonsense: invalid address"},
        {"x", 0, "10.224.0.0/16", 0, "10.224.0.0/8", 0, 0, -EINVAL, "CIDR block is bigger than its parent subnet"},
        {"x", 0, "10.224.0.0/16", 0, "10.225.0.0/24", 0, 0, -EINVAL, "doesn't contain ip-range"},
        {"x", 0, "10.224.0.0/16", 0, "10.224.5.7/24", 0, 0, -EINVAL, "it should be 10.224.5.0/24"},
        {"x", 0, "10.224.0.0/16", 0, "fd00::/80", 0, 0, -EINVAL, "parent subnet is an IPv4 block"},
        {"x", 0, 0, "10.224.0.1", 0, 0, 0, -EINVAL, "without a subnet"},
        {"x", 0, 0, 0, 0, "com.docker.network.bridge.name", "../../evil", -EINVAL, "invalid bridge name"},
        {"x", 0, 0, 0, 0, "com.docker.network.bridge.name", "far-too-long-a-name", -EINVAL, "invalid bridge name"},
        {"x", 0, 0, 0, 0, "com.docker.network.bridge.name", "a\"; flush ruleset", -EINVAL, "invalid bridge name"},
        {"x", 0, 0, 0, 0, "com.docker.network.bridge.name", "lo", -EEXIST, "is not ours"},
        {"x", 0, 0, 0, 0, "com.docker.network.driver.mtu", "12", -EINVAL, "invalid MTU number: 12"},
        {"x", 0, 0, 0, 0, "com.docker.network.bridge.enable_icc", "maybe", -EINVAL,
         "strconv.ParseBool: parsing \"maybe\": invalid syntax"},
        {"x", 0, 0, 0, 0, "com.docker.network.bridge.host_binding_ipv4", "everywhere", -EINVAL, "nil ip"},
    };

    assert_int_equal(make(kit, &ok, &err), 0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        s[0] = (struct network_subnet){(char *)cases[i].subnet, (char *)cases[i].gateway, (char *)cases[i].range};
        o = (struct network_pair){(char *)cases[i].option, (char *)cases[i].value};
        struct network wanted = {.name = (char *)cases[i].name, .driver = (char *)cases[i].driver, .subnets = s,
                                 .subnet_count = cases[i].subnet || cases[i].gateway, .options = &o,
                                 .option_count = cases[i].option != NULL};
        int r = make(kit, &wanted, &err);
        if (r != cases[i].code || !strstr(err.message, cases[i].text))
            fail_msg("case %zu: %d %s", i, r, err.message);
    }
    s[0] = (struct network_subnet){.subnet = (char *)"10.224.0.0/16"};
    s[1] = (struct network_subnet){.subnet = (char *)"10.225.0.0/16"};
    struct network two = {.name = (char *)"x", .subnets = s, .subnet_count = 2};
    assert_int_equal(make(kit, &two, &err), -EPERM);
    assert_string_equal(err.message, "bridge driver doesn't support multiple subnets");
    assert_int_equal(network_remove(kit->manager, "taken", &err), 0);
    assert_int_equal(network_remove(kit->manager, "taken", &err), -ENOENT);
}

static void static_addresses(void **state)
{
    struct kit *kit = *state;
    struct network_subnet subnet = {.subnet = (char *)"10.226.0.0/24"};
    struct network wanted = {.name = (char *)"fixed", .subnets = &subnet, .subnet_count = 1};
    struct network_endpoint got = {0}, ask_for = {.ipv4 = (char *)"10.226.0.50", .mac = "aa:bb:cc:00:11:22"};
    struct error err = ERROR_INIT;
    char ip[48];

    assert_int_equal(make(kit, &wanted, &err), 0);
    char *p1 = kit_container(kit, "one", NULL, NULL), *p2 = kit_container(kit, "two", NULL, NULL);
    attach(kit, "one", "fixed", &ask_for, &got);
    assert_string_equal(got.ipv4, "10.226.0.50");
    assert_string_equal(got.mac, "aa:bb:cc:00:11:22");
    network_endpoint_clear(&got);
    struct network_endpoint same = {.ipv4 = (char *)"10.226.0.50"};
    assert_int_equal(network_attach(kit->manager, "two", "fixed", &same, &got, &err), -EPERM);
    assert_string_equal(err.message, "Address already in use");
    static const struct {
        const char *ip, *text;
    } bad[] = {{"10.226.1.1", "no configured subnet or ip-range contain the IP address 10.226.1.1"}, {"::1", "invalid IPv4 address"},
               {"0.0.0.0", "invalid IPv4 address"}, {"x", "invalid IPv4 address"}};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        same.ipv4 = (char *)bad[i].ip;
        assert_int_equal(network_attach(kit->manager, "two", "fixed", &same, &got, &err), -EINVAL);
        assert_non_null(strstr(err.message, bad[i].text));
    }
    /* The neighbours of an address that changes its MAC hear of it. */
    struct echo echo = {.protocol = KIT_TCP, .path = p1, .address = "0.0.0.0", .port = 80};
    assert_int_equal(echo_start(&echo), 0);
    attach(kit, "two", "fixed", NULL, &got);
    network_endpoint_clear(&got);
    assert_int_equal(ask(KIT_TCP, NULL, "10.226.0.50", 80), 0);
    assert_int_equal(ask(KIT_TCP, p2, "10.226.0.50", 80), 0);
    echo_stop(&echo);
    network_sandbox_remove(kit->manager, "one");
    free(p1);
    p1 = kit_container(kit, "one", NULL, NULL);
    snprintf(ask_for.mac, sizeof(ask_for.mac), "aa:bb:cc:00:11:33");
    attach(kit, "one", "fixed", &ask_for, &got);
    network_endpoint_clear(&got);
    echo.path = p1;
    assert_int_equal(echo_start(&echo), 0);
    assert_int_equal(ask(KIT_TCP, NULL, "10.226.0.50", 80), 0);
    assert_int_equal(ask(KIT_TCP, p2, "10.226.0.50", 80), 0);
    echo_stop(&echo);

    /* Only where the user chose the subnet. */
    make_with(kit, "chosen", false, NULL);
    struct network *n = NULL;
    network_get(kit->manager, "chosen", &n, &err);
    CLEANUP_FREE char *base = mem_strndup(n->subnets[0].gateway, strlen(n->subnets[0].gateway) - 1);
    CLEANUP_FREE char *inside = mem_printf("%s9", base);
    same.ipv4 = inside;
    assert_int_equal(network_attach(kit->manager, "two", "chosen", &same, &got, &err), -EINVAL);
    assert_non_null(strstr(err.message, "user configured subnets"));
    network_free(n);

    /* A small subnet fills up, and one that leaves makes room. */
    subnet.subnet = (char *)"10.227.0.0/29";
    wanted.name = (char *)"small";
    assert_int_equal(make(kit, &wanted, &err), 0);
    for (int i = 0; i < 5; i++) {
        char id[16];
        snprintf(id, sizeof(id), "small%d", i);
        free(kit_container(kit, id, "small", ip));
    }
    assert_string_equal(ip, "10.227.0.6");
    char *p = kit_container(kit, "late", NULL, NULL);
    assert_true(network_attach(kit->manager, "late", "small", NULL, &got, &err) < 0);
    assert_non_null(strstr(err.message, "no available IPv4 addresses"));
    network_sandbox_remove(kit->manager, "small2");
    attach(kit, "late", "small", NULL, &got);
    assert_string_equal(got.ipv4, "10.227.0.4");
    network_endpoint_clear(&got);
    free(p);
    free(p1);
    free(p2);
}

static void walls(void **state)
{
    struct kit *kit = *state;
    struct machine *machine = &kit->machine;
    char ip_a[48], ip_b[48], ip_i[48], ip_i2[48], ip_n[48], ip_n2[48];
    struct error err = ERROR_INIT;

    machine_open(machine);
    make_with(kit, "a", false, NULL);
    make_with(kit, "b", false, NULL);
    make_with(kit, "inner", true, NULL);
    make_with(kit, "noicc", false, (const char *const[]){"com.docker.network.bridge.enable_icc=false", NULL});
    char *a = kit_container(kit, "a1", "a", ip_a), *b = kit_container(kit, "b1", "b", ip_b);
    char *d = kit_container(kit, "d1", "bridge", NULL);
    char *i1 = kit_container(kit, "i1", "inner", ip_i), *i2 = kit_container(kit, "i2", "inner", ip_i2);
    char *n1 = kit_container(kit, "n1", "noicc", ip_n), *n2 = kit_container(kit, "n2", "noicc", ip_n2);
    const char *const paths[] = {a, b, d, i1, i2, n1, n2};
    struct echo echoes[ARRAY_SIZE(paths)], outside = {.protocol = KIT_TCP, .path = machine->path, .address = machine->address, .port = 7};
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        echoes[i] = (struct echo){.protocol = KIT_TCP, .path = paths[i], .address = "0.0.0.0", .port = 80};
        assert_int_equal(echo_start(&echoes[i]), 0);
    }
    assert_int_equal(echo_start(&outside), 0);

    /* Everything answers to the host. */
    assert_int_equal(ask(KIT_TCP, NULL, ip_a, 80), 0);
    assert_int_equal(ask(KIT_TCP, NULL, ip_i, 80), 0);
    assert_int_equal(ask(KIT_TCP, NULL, ip_n, 80), 0);
    /* Bridges do not reach each other, either way. */
    assert_true(ask(KIT_TCP, a, ip_b, 80) < 0);
    assert_true(ask(KIT_TCP, b, ip_a, 80) < 0);
    assert_true(ask(KIT_TCP, d, ip_a, 80) < 0);
    /* An internal network reaches itself only. */
    assert_int_equal(ask(KIT_TCP, i1, ip_i2, 80), 0);
    assert_true(ask(KIT_TCP, i1, machine->address, 7) < 0);
    assert_true(ask(KIT_TCP, i1, ip_a, 80) < 0);
    assert_true(ask(KIT_TCP, a, ip_i, 80) < 0);
    /* Even where its root makes itself a way out. */
    struct network *inner = NULL;
    CLEANUP_FREE char *name = mem_printf("tbqx%d", getpid()), *link = mem_printf("/run/netns/%s", name);
    assert_int_equal(network_get(kit->manager, "inner", &inner, &err), 0);
    assert_int_equal(symlink(i1, link), 0);
    int added = ip_run("-n @0 route add default via @1", (const char *const[]){name, inner->subnets[0].gateway});
    unlink(link);
    network_free(inner);
    assert_int_equal(added, 0);
    assert_true(ask(KIT_TCP, i1, machine->address, 7) < 0);
    /* icc off: outside yes, neighbours no. */
    assert_int_equal(ask(KIT_TCP, n1, machine->address, 7), 0);
    assert_true(ask(KIT_TCP, n1, ip_n2, 80) < 0);
    assert_int_equal(ask(KIT_TCP, a, machine->address, 7), 0);

    /* A published port is reached from everywhere but from an internal network. */
    struct network_port p = {.protocol = "tcp", .container_port = 80, .host_ip = (char *)""};
    assert_int_equal(network_publish(kit->manager, "n2", &p, 1, &err), 0);
    assert_int_equal(ask(KIT_TCP, n1, machine->host_address, p.host_port), 0);
    assert_int_equal(ask(KIT_TCP, a, machine->host_address, p.host_port), 0);
    assert_int_equal(ask(KIT_TCP, machine->path, machine->host_address, p.host_port), 0);
    assert_int_equal(ask(KIT_TCP, NULL, "127.0.0.1", p.host_port), 0);
    assert_true(ask(KIT_TCP, i1, machine->host_address, p.host_port) < 0);
    /* From an internal network nothing is published. */
    p.host_port = p.host_port_end = 0;
    assert_int_equal(network_publish(kit->manager, "i1", &p, 1, &err), 0);
    assert_int_equal(p.host_port, 0);
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        echo_stop(&echoes[i]);
        free((char *)paths[i]);
    }
    echo_stop(&outside);
}

static int default_route(void *user)
{
    CLEANUP_FREE char *routes = NULL;

    if (file_read(AT_FDCWD, "/proc/thread-self/net/route", 10000, &routes, NULL) < 0)
        return -EIO;
    return strstr(routes, "eth0\t00000000\t") ? 0 : strstr(routes, "eth1\t00000000\t") ? 1 : -ENOENT;
}

static void connect_while_running(void **state)
{
    struct kit *kit = *state;
    struct network_endpoint got = {0};
    struct error err = ERROR_INIT;
    char ip_b[48];

    make_with(kit, "a", false, NULL);
    make_with(kit, "b", false, NULL);
    char *p = kit_container(kit, "one", "a", NULL), *q = kit_container(kit, "two", "b", ip_b);
    struct echo near = {.protocol = KIT_TCP, .path = p, .address = "0.0.0.0", .port = 80};
    struct echo far = {.protocol = KIT_TCP, .path = q, .address = "0.0.0.0", .port = 80};
    struct network_port port = {.protocol = "tcp", .container_port = 80, .host_ip = (char *)""};
    assert_int_equal(echo_start(&near), 0);
    assert_int_equal(echo_start(&far), 0);
    assert_int_equal(network_publish(kit->manager, "one", &port, 1, &err), 0);
    assert_true(ask(KIT_TCP, p, ip_b, 80) < 0);
    attach(kit, "one", "b", NULL, &got);
    assert_string_equal(got.interface, "eth1");
    assert_int_equal(ask(KIT_TCP, p, ip_b, 80), 0);
    assert_int_equal(ask(KIT_TCP, q, got.ipv4, 80), 0);
    assert_int_equal(in_namespace(p, default_route, NULL), 0);
    struct network_stats *stats = NULL;
    size_t count = 0;
    assert_int_equal(network_stats(kit->manager, "one", &stats, &count), 0);
    assert_int_equal(count, 2);
    free(stats);
    /* The first goes: the second has the default route, and the published port. */
    assert_int_equal(network_detach(kit->manager, "one", "a", &err), 0);
    assert_int_equal(in_namespace(p, default_route, NULL), 1);
    assert_int_equal(ask(KIT_TCP, NULL, "127.0.0.1", port.host_port), 0);
    assert_int_equal(network_detach(kit->manager, "one", "a", &err), -EIO);
    assert_string_equal(err.message, "container one is not connected to network a");
    /* Both go, one comes back. */
    assert_int_equal(network_detach(kit->manager, "one", "b", &err), 0);
    assert_true(ask(KIT_TCP, NULL, "127.0.0.1", port.host_port) < 0);
    assert_true(ask(KIT_TCP, q, got.ipv4, 80) < 0);
    network_endpoint_clear(&got);
    attach(kit, "one", "a", NULL, &got);
    assert_string_equal(got.interface, "eth0");
    assert_int_equal(ask(KIT_TCP, NULL, "127.0.0.1", port.host_port), 0);
    network_endpoint_clear(&got);

    /* All of it after a restart, too. */
    attach(kit, "one", "b", NULL, &got);
    kit_reopen(kit);
    assert_int_equal(network_restore(kit->manager, (char *[]){(char *)"one", (char *)"two", NULL}, &err), 0);
    assert_int_equal(ask(KIT_TCP, NULL, "127.0.0.1", port.host_port), 0);
    assert_int_equal(ask(KIT_TCP, p, ip_b, 80), 0);
    assert_int_equal(network_detach(kit->manager, "one", "a", &err), 0);
    assert_int_equal(in_namespace(p, default_route, NULL), 1);
    assert_int_equal(ask(KIT_TCP, NULL, "127.0.0.1", port.host_port), 0);
    assert_int_equal(network_remove(kit->manager, "a", &err), 0);
    network_endpoint_clear(&got);
    echo_stop(&near);
    echo_stop(&far);
    free(p);
    free(q);
}

static void ipv6(void **state)
{
    struct kit *kit = *state;
    struct machine *machine = &kit->machine;
    struct network_subnet subnet = {.subnet = (char *)"fd77:1::/64"};
    struct network wanted = {.name = (char *)"six", .ipv6 = true, .subnets = &subnet, .subnet_count = 1};
    struct network_endpoint one = {0}, two = {0}, fixed = {.ipv6 = (char *)"fd77:1::99"};
    struct network_port port = {.protocol = "tcp", .container_port = 80, .host_ip = (char *)""};
    struct network *n = NULL;
    struct error err = ERROR_INIT;

    machine_open(machine);
    assert_int_equal(make(kit, &wanted, &err), 0);
    char *p = kit_container(kit, "one", NULL, NULL), *q = kit_container(kit, "two", NULL, NULL);
    attach(kit, "one", "six", NULL, &one);
    attach(kit, "two", "six", &fixed, &two);
    assert_string_equal(one.ipv6, "fd77:1::2");
    assert_string_equal(one.gateway6, "fd77:1::1");
    assert_int_equal(one.ipv6_prefix, 64);
    assert_non_null(one.ipv4);
    assert_string_equal(two.ipv6, "fd77:1::99");
    struct echo echo = {.protocol = KIT_TCP, .path = p, .address = "::", .port = 80};
    struct echo outside = {.protocol = KIT_TCP, .path = machine->path, .address = machine->address6, .port = 7};
    assert_int_equal(echo_start(&echo), 0);
    assert_int_equal(echo_start(&outside), 0);
    assert_int_equal(ask(KIT_TCP, NULL, "fd77:1::2", 80), 0);
    assert_int_equal(ask(KIT_TCP, q, "fd77:1::2", 80), 0);
    assert_string_equal(echo.peer, "fd77:1::99");
    assert_int_equal(ask(KIT_TCP, p, machine->address6, 7), 0);
    assert_string_equal(outside.peer, machine->host_address6);
    assert_true(ask(KIT_TCP, machine->path, "fd77:1::2", 80) < 0);
    assert_int_equal(network_publish(kit->manager, "one", &port, 1, &err), 0);
    assert_int_equal(ask(KIT_TCP, machine->path, machine->host_address6, port.host_port), 0);
    assert_string_equal(echo.peer, machine->address6);
    assert_int_equal(ask(KIT_TCP, machine->path, machine->host_address, port.host_port), 0);
    assert_int_equal(ask(KIT_TCP, NULL, machine->host_address6, port.host_port), 0);
    assert_int_equal(ask(KIT_TCP, q, machine->host_address6, port.host_port), 0);
    assert_int_equal(ask(KIT_TCP, NULL, "127.0.0.1", port.host_port), 0);
    network_endpoint_clear(&one);
    network_endpoint_clear(&two);
    echo_stop(&echo);
    echo_stop(&outside);

    /* Chosen by us where none is given; shown, but unused, where IPv6 is not asked for. */
    struct network own = {.name = (char *)"own", .ipv6 = true};
    assert_int_equal(make(kit, &own, &err), 0);
    assert_int_equal(network_get(kit->manager, "own", &n, &err), 0);
    assert_int_equal(n->subnet_count, 2);
    assert_true(str_starts(n->subnets[1].subnet, "fd"));
    network_free(n);
    wanted.ipv6 = false;
    wanted.name = (char *)"four";
    assert_int_equal(make(kit, &wanted, &err), 0);
    assert_int_equal(network_get(kit->manager, "four", &n, &err), 0);
    assert_int_equal(n->subnet_count, 2);
    assert_string_equal(n->subnets[1].subnet, "fd77:1::/64");
    assert_null(n->subnets[1].gateway);
    assert_false(n->ipv6);
    network_free(n);
    free(p);
    free(q);
}

static void host_binding(void **state)
{
    struct kit *kit = *state;
    struct machine *machine = &kit->machine;
    struct network_port port = {.protocol = "tcp", .container_port = 80, .host_ip = (char *)""};

    machine_open(machine);
    make_with(kit, "local", false, (const char *const[]){"com.docker.network.bridge.host_binding_ipv4=127.0.0.1",
                                                         "com.docker.network.container_iface_prefix=net", NULL});
    char *p = kit_container(kit, "one", "local", NULL);
    struct echo echo = {.protocol = KIT_TCP, .path = p, .address = "0.0.0.0", .port = 80};
    assert_int_equal(echo_start(&echo), 0);
    assert_int_equal(network_publish(kit->manager, "one", &port, 1, NULL), 0);
    assert_int_equal(ask(KIT_TCP, NULL, "127.0.0.1", port.host_port), 0);
    assert_true(ask(KIT_TCP, machine->path, machine->host_address, port.host_port) < 0);
    struct network_stats *stats = NULL;
    size_t count;
    assert_int_equal(network_stats(kit->manager, "one", &stats, &count), 0);
    assert_string_equal(stats[0].interface, "net0");
    free(stats);
    echo_stop(&echo);
    free(p);
}

#define WITH_KIT(test) cmocka_unit_test_setup_teardown(test, kit_setup, kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_KIT(made_and_removed), WITH_KIT(refusals),              WITH_KIT(static_addresses), WITH_KIT(walls),
        WITH_KIT(ipv6),             WITH_KIT(connect_while_running), WITH_KIT(host_binding),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
