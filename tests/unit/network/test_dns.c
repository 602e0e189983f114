/* test_dns.c - the name server in containers' namespaces. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/str.h"
#include "network/dns_message.h"
#include "network/netkit.h"

static size_t make_query(const char *name, uint16_t type, uint8_t *out)
{
    size_t at = DNS_HEADER;

    memset(out, 0, DNS_HEADER);
    random_bytes(out, 2);
    out[2] = 1; /* recursion desired */
    out[5] = 1;
    while (*name) {
        size_t label = strcspn(name, ".");
        out[at++] = (uint8_t)label;
        memcpy(out + at, name, label);
        at += label;
        name += label + (name[label] == '.');
    }
    out[at++] = 0;
    out[at++] = (uint8_t)(type >> 8);
    out[at++] = (uint8_t)type;
    out[at++] = 0;
    out[at++] = 1;
    return at;
}

struct answer {
    int rcode, count;
    char addresses[8][48];
    char name[128];
    bool truncated;
};

static void parse_answer(const uint8_t *data, size_t length, size_t question, struct answer *ret)
{
    size_t at = question;

    *ret = (struct answer){.rcode = data[3] & 0xf, .truncated = data[2] & 2};
    int count = data[6] << 8 | data[7];
    for (int i = 0; i < count && at + 12 <= length && i < 8; i++) {
        int type = data[at + 2] << 8 | data[at + 3];
        size_t size = (size_t)data[at + 10] << 8 | data[at + 11];
        at += 12;
        if (type == DNS_TYPE_A)
            inet_ntop(AF_INET, data + at, ret->addresses[ret->count++], 48);
        else if (type == DNS_TYPE_AAAA)
            inet_ntop(AF_INET6, data + at, ret->addresses[ret->count++], 48);
        else if (type == DNS_TYPE_PTR)
            for (size_t k = 0; data[at + k] && k < 100; k += data[at + k] + 1u)
                snprintf(ret->name + strlen(ret->name), sizeof(ret->name) - strlen(ret->name), "%.*s.", data[at + k],
                         (const char *)data + at + k + 1);
        at += size;
    }
}

/* 0 and the answer, or -errno. */
static int lookup(const char *path, const char *name, uint16_t type, struct answer *ret)
{
    uint8_t query[512], answer[4096];
    size_t length = make_query(name, type, query);
    int r = exchange(path, "127.0.0.11", 53, query, length, answer, sizeof(answer));

    if (r < 0)
        return r;
    if ((size_t)r < length - 16 || memcmp(query, answer, 2) != 0 || !(answer[2] & 0x80))
        return -EPROTO;
    parse_answer(answer, (size_t)r, length, ret);
    return 0;
}

static void make(struct kit *kit, const char *name, bool internal, bool v6)
{
    struct network wanted = {.name = (char *)name, .internal = internal, .ipv6 = v6};
    struct error err = ERROR_INIT;
    char id[65];

    if (network_create(kit->manager, &wanted, id, &err) < 0)
        fail_msg("%s", err.message);
}

static char *member(struct kit *kit, const char *id, const char *name, const char *network, const char *alias,
                    struct network_endpoint *got)
{
    char *aliases[] = {(char *)alias, NULL};
    struct network_endpoint wanted = {.container_name = (char *)name, .aliases = alias ? aliases : NULL};
    struct error err = ERROR_INIT;
    char *path = NULL;

    assert_int_equal(network_sandbox_create(kit->manager, id, &path, &err), 0);
    if (network_attach(kit->manager, id, network, &wanted, got, &err) < 0)
        fail_msg("%s", err.message);
    return path;
}

static void names(void **state)
{
    struct kit *kit = *state;
    struct network_endpoint web = {0}, db1 = {0}, db2 = {0}, far = {0};
    struct answer a;

    make(kit, "front", false, true);
    make(kit, "back", false, false);
    char *p = member(kit, "0123456789abcdef", "Web-1", "front", NULL, &web);
    char *q = member(kit, "aaaaaaaaaaaaaaaa", "db1", "front", "db", &db1);
    char *r = member(kit, "bbbbbbbbbbbbbbbb", "db2", "front", "db", &db2);
    char *s = member(kit, "cccccccccccccccc", "far", "back", "hidden", &far);
    assert_true(network_has_dns(kit->manager, "0123456789abcdef"));

    static const char *const ways[] = {"web-1", "WEB-1", "0123456789ab", "web-1.front"};
    for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
        assert_int_equal(lookup(q, ways[i], DNS_TYPE_A, &a), 0);
        assert_int_equal(a.rcode, DNS_NOERROR);
        assert_int_equal(a.count, 1);
        assert_string_equal(a.addresses[0], web.ipv4);
    }
    assert_int_equal(lookup(q, "web-1", DNS_TYPE_AAAA, &a), 0);
    assert_string_equal(a.addresses[0], web.ipv6);
    assert_int_equal(lookup(s, "far", DNS_TYPE_AAAA, &a), 0); /* ours, but not of this family */
    assert_int_equal(a.rcode, DNS_NOERROR);
    assert_int_equal(a.count, 0);
    assert_int_equal(lookup(q, "web-1", 16 /* TXT */, &a), 0);
    assert_int_equal(a.rcode, DNS_NOERROR);
    /* A shared alias: both, in turning order. */
    bool first[2] = {false, false};
    for (int i = 0; i < 60; i++) {
        assert_int_equal(lookup(p, "db", DNS_TYPE_A, &a), 0);
        assert_int_equal(a.count, 2);
        first[strcmp(a.addresses[0], db1.ipv4) == 0] = true;
    }
    assert_true(first[0] && first[1]);
    /* The other way round. */
    unsigned b[4];
    assert_int_equal(sscanf(db1.ipv4, "%u.%u.%u.%u", &b[0], &b[1], &b[2], &b[3]), 4);
    CLEANUP_FREE char *reverse = mem_printf("%u.%u.%u.%u.in-addr.arpa", b[3], b[2], b[1], b[0]);
    assert_int_equal(lookup(p, reverse, DNS_TYPE_PTR, &a), 0);
    assert_string_equal(a.name, "db1.front.");

    /* Other networks' names are not told; connected, they are; gone, they are not. */
    static const char *const servers[] = {"127.254.0.1", NULL};
    network_set_nameservers(kit->manager, "aaaaaaaaaaaaaaaa", (char *const *)servers, NULL);
    assert_int_equal(lookup(q, "hidden", DNS_TYPE_A, &a), 0);
    assert_int_equal(a.rcode, DNS_SERVFAIL); /* asked outside, where nobody listens */
    struct network_endpoint more = {0};
    assert_int_equal(network_attach(kit->manager, "aaaaaaaaaaaaaaaa", "back", NULL, &more, NULL), 0);
    assert_int_equal(lookup(q, "hidden", DNS_TYPE_A, &a), 0);
    assert_string_equal(a.addresses[0], far.ipv4);
    network_sandbox_remove(kit->manager, "cccccccccccccccc");
    assert_int_equal(lookup(q, "hidden", DNS_TYPE_A, &a), 0);
    assert_int_equal(a.rcode, DNS_SERVFAIL);

    /* A new name is the name from now on. */
    network_rename_container(kit->manager, "0123456789abcdef", "site");
    assert_int_equal(lookup(q, "site", DNS_TYPE_A, &a), 0);
    assert_string_equal(a.addresses[0], web.ipv4);
    assert_int_equal(lookup(q, "web-1", DNS_TYPE_A, &a), 0);
    assert_int_equal(a.count, 0);

    /* A restarted server answers again. */
    kit_reopen(kit);
    char *running[] = {(char *)"0123456789abcdef", (char *)"aaaaaaaaaaaaaaaa", (char *)"bbbbbbbbbbbbbbbb", NULL};
    assert_int_equal(network_restore(kit->manager, running, NULL), 0);
    assert_int_equal(lookup(p, "db", DNS_TYPE_A, &a), 0);
    assert_int_equal(a.count, 2);

    /* A name server in the container itself can have port 53, everywhere. */
    struct echo own = {.protocol = KIT_UDP, .path = p, .address = "0.0.0.0", .port = 53};
    struct echo own_tcp = {.protocol = KIT_TCP, .path = p, .address = "0.0.0.0", .port = 53};
    assert_int_equal(echo_start(&own), 0);
    assert_int_equal(echo_start(&own_tcp), 0);
    assert_int_equal(ask(KIT_UDP, q, web.ipv4, 53), 0);
    assert_int_equal(ask(KIT_TCP, q, web.ipv4, 53), 0);
    assert_int_equal(lookup(p, "db1", DNS_TYPE_A, &a), 0);
    assert_int_equal(a.count, 1);
    echo_stop(&own);
    echo_stop(&own_tcp);
    char *plain = kit_container(kit, "plain", "bridge", NULL);
    assert_false(network_has_dns(kit->manager, "plain"));
    assert_true(lookup(plain, "web-1", DNS_TYPE_A, &a) < 0);
    network_endpoint_clear(&web);
    network_endpoint_clear(&db1);
    network_endpoint_clear(&db2);
    network_endpoint_clear(&far);
    network_endpoint_clear(&more);
    free(p);
    free(q);
    free(r);
    free(s);
    free(plain);
}

/* --- servers outside -------------------------------------------------------- */

/* The echo of netkit sends the query back: not an answer (no QR bit). So a
 * server of our own: answers A with 203.0.113.N, N the last byte of its address. */
#include <pthread.h>

struct upstream {
    char address[32];
    int udp, tcp;
    int mode; /* 0 answers, 1 silent, 2 forged id, 3 other question, 4 truncated over UDP */
    _Atomic int asked;
    pthread_t threads[2];
};

static size_t upstream_answer(struct upstream *u, uint8_t *data, size_t length, bool tcp)
{
    struct dns_query query;
    struct in_addr own;
    struct address address = {.family = AF_INET, .bytes = {203, 0, 113, 0}};
    uint8_t out[4096];

    if (dns_parse(data, length, &query) < 0)
        return 0;
    u->asked++;
    inet_pton(AF_INET, u->address, &own);
    address.bytes[3] = ((uint8_t *)&own)[3];
    size_t size = dns_answer_addresses(data, &query, &address, 1, u->mode == 4 && !tcp ? 20 : sizeof(out), out);
    if (u->mode == 2)
        out[0] ^= 0xff;
    if (u->mode == 3)
        out[DNS_HEADER + 1] ^= 0x01;
    memcpy(data, out, size);
    return u->mode == 1 ? 0 : size;
}

static void *upstream_udp(void *user)
{
    struct upstream *u = user;
    uint8_t data[4096];
    struct sockaddr_storage peer;
    socklen_t length;
    ssize_t got;

    while (length = sizeof(peer), (got = recvfrom(u->udp, data, sizeof(data), 0, (struct sockaddr *)&peer, &length)) > 0) {
        size_t size = upstream_answer(u, data, (size_t)got, false);
        if (size)
            sendto(u->udp, data, size, 0, (struct sockaddr *)&peer, length);
    }
    return NULL;
}

static void *upstream_tcp(void *user)
{
    struct upstream *u = user;
    uint8_t data[4096];
    int fd;

    while ((fd = accept(u->tcp, NULL, NULL)) >= 0) {
        ssize_t got = recv(fd, data, 2, MSG_WAITALL);
        if (got == 2 && (got = recv(fd, data + 2, (size_t)data[0] << 8 | data[1], MSG_WAITALL)) > 0) {
            size_t size = upstream_answer(u, data + 2, (size_t)got, true);
            data[0] = (uint8_t)(size >> 8);
            data[1] = (uint8_t)size;
            for (size_t i = 0; i < size + 2; i++) /* byte by byte: nobody promises whole messages */
                send(fd, data + i, 1, MSG_NOSIGNAL);
        }
        close(fd);
    }
    return NULL;
}

static void upstream_start(struct upstream *u, int number, int mode)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(53)};
    int one = 1;

    *u = (struct upstream){.mode = mode};
    snprintf(u->address, sizeof(u->address), "127.%d.%d.%d", 100 + getpid() % 100, getpid() / 100 % 250, number);
    inet_pton(AF_INET, u->address, &name.sin_addr);
    u->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    u->tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(u->tcp, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    assert_int_equal(bind(u->udp, (struct sockaddr *)&name, sizeof(name)), 0);
    assert_int_equal(bind(u->tcp, (struct sockaddr *)&name, sizeof(name)), 0);
    assert_int_equal(listen(u->tcp, 8), 0);
    pthread_create(&u->threads[0], NULL, upstream_udp, u);
    pthread_create(&u->threads[1], NULL, upstream_tcp, u);
}

static void upstream_stop(struct upstream *u)
{
    shutdown(u->udp, SHUT_RDWR);
    shutdown(u->tcp, SHUT_RDWR);
    pthread_join(u->threads[0], NULL);
    pthread_join(u->threads[1], NULL);
    close(u->udp);
    close(u->tcp);
}

struct tcp_query {
    const char *name;
    struct answer *answer;
    bool slow;
};

static int tcp_inside(void *user)
{
    struct tcp_query *q = user;
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(53)};
    CLEANUP_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval limit = {.tv_sec = 8};
    uint8_t data[4096];

    inet_pton(AF_INET, "127.0.0.11", &name.sin_addr);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (connect(fd, (struct sockaddr *)&name, sizeof(name)) < 0)
        return -errno;
    for (int round = 0; round < 3; round++) { /* several on one connection */
        size_t length = make_query(q->name, DNS_TYPE_A, data + 2);
        data[0] = (uint8_t)(length >> 8);
        data[1] = (uint8_t)length;
        for (size_t i = 0; i < length + 2; i++)
            if (q->slow && send(fd, data + i, 1, MSG_NOSIGNAL) != 1)
                return -errno;
        if (!q->slow && send(fd, data, length + 2, MSG_NOSIGNAL) != (ssize_t)length + 2)
            return -errno;
        if (recv(fd, data, 2, MSG_WAITALL) != 2)
            return -EPIPE;
        size_t size = (size_t)data[0] << 8 | data[1];
        if (size > sizeof(data) || recv(fd, data, size, MSG_WAITALL) != (ssize_t)size)
            return -EPROTO;
        parse_answer(data, size, length, q->answer);
    }
    return 0;
}

static void forwarding(void **state)
{
    struct kit *kit = *state;
    struct network_endpoint got = {0};
    struct upstream good, silent, forger, other, truncating;
    struct answer a;

    upstream_start(&good, 1, 0);
    upstream_start(&silent, 2, 1);
    upstream_start(&forger, 3, 2);
    upstream_start(&other, 4, 3);
    upstream_start(&truncating, 5, 4);
    make(kit, "front", false, false);
    char *p = member(kit, "one", "one", "front", NULL, &got);
    char *const only_good[] = {good.address, NULL};
    assert_int_equal(network_set_nameservers(kit->manager, "one", only_good, NULL), 0);
    assert_int_equal(lookup(p, "example.org", DNS_TYPE_A, &a), 0);
    assert_string_equal(a.addresses[0], "203.0.113.1");
    /* Names of ours are not told to others. */
    int before = good.asked;
    assert_int_equal(lookup(p, "one", DNS_TYPE_AAAA, &a), 0);
    assert_int_equal(good.asked, before);
    /* Over TCP, in one piece and in many. */
    struct tcp_query q = {"example.org", &a, false};
    assert_int_equal(in_namespace(p, tcp_inside, &q), 0);
    assert_string_equal(a.addresses[0], "203.0.113.1");
    q.slow = true;
    assert_int_equal(in_namespace(p, tcp_inside, &q), 0);
    q.name = "one";
    assert_int_equal(in_namespace(p, tcp_inside, &q), 0);
    assert_string_equal(a.addresses[0], got.ipv4);
    /* Servers that do not answer, or answer something else, give way to the next. */
    struct upstream *const bad[] = {&silent, &forger, &other};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        char *const list[] = {bad[i]->address, good.address, NULL};
        network_set_nameservers(kit->manager, "one", list, NULL);
        assert_int_equal(lookup(p, "example.org", DNS_TYPE_A, &a), 0);
        assert_string_equal(a.addresses[0], "203.0.113.1");
        assert_true(bad[i]->asked > 0);
    }
    /* Truncated is passed on. */
    char *const cut[] = {truncating.address, NULL};
    network_set_nameservers(kit->manager, "one", cut, NULL);
    assert_int_equal(lookup(p, "example.org", DNS_TYPE_A, &a), 0);
    assert_true(a.truncated);
    assert_int_equal(network_set_nameservers(kit->manager, "one", (char *[]){(char *)"nas.local", NULL}, NULL), -EINVAL);

    /* From an internal network nothing is asked outside. */
    make(kit, "inner", true, false);
    struct network_endpoint inner = {0};
    char *i = member(kit, "two", "two", "inner", NULL, &inner);
    network_set_nameservers(kit->manager, "two", only_good, NULL);
    before = good.asked;
    assert_int_equal(lookup(i, "secret.example.org", DNS_TYPE_A, &a), 0);
    assert_int_equal(a.rcode, DNS_SERVFAIL);
    assert_int_equal(good.asked, before);
    assert_int_equal(lookup(i, "two", DNS_TYPE_A, &a), 0);
    assert_string_equal(a.addresses[0], inner.ipv4);
    upstream_stop(&good);
    upstream_stop(&silent);
    upstream_stop(&forger);
    upstream_stop(&other);
    upstream_stop(&truncating);
    network_endpoint_clear(&got);
    network_endpoint_clear(&inner);
    free(p);
    free(i);
}

/* --- hostility --------------------------------------------------------------- */

static int send_garbage(void *user)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(53)};
    CLEANUP_CLOSE int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    uint8_t data[9000];

    inet_pton(AF_INET, "127.0.0.11", &name.sin_addr);
    connect(udp, (struct sockaddr *)&name, sizeof(name));
    for (int i = 0; i < 3000; i++) {
        size_t length = make_query("one.front", DNS_TYPE_A, data);
        uint32_t draw;
        random_bytes(&draw, sizeof(draw));
        switch (i % 6) {
        case 0: random_bytes(data, sizeof(data)); length = draw % sizeof(data); break;
        case 1: length = draw % length; break;
        case 2: data[draw % length] ^= (uint8_t)(draw >> 16); break;
        case 3: data[DNS_HEADER] = 0xc0; data[DNS_HEADER + 1] = DNS_HEADER; break; /* a pointer to itself */
        case 4: data[5] = (uint8_t)draw; data[4] = (uint8_t)(draw >> 8); break;
        default: memset(data + DNS_HEADER, 63, sizeof(data) - DNS_HEADER); length = 300 + draw % 3000; break;
        }
        send(udp, data, length, MSG_DONTWAIT);
    }
    /* Connections that say nothing, or claim much. */
    int fds[40];
    for (int i = 0; i < 40; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        connect(fds[i], (struct sockaddr *)&name, sizeof(name));
    }
    usleep(100000);
    for (int i = 0; i < 40; i++)
        send(fds[i], i % 2 ? "\xff\xff" : "\0\1x", 2, MSG_NOSIGNAL);
    usleep(100000);
    for (int i = 0; i < 40; i++)
        close(fds[i]);
    return 0;
}

static void hostile(void **state)
{
    struct kit *kit = *state;
    struct network_endpoint got = {0}, more = {0};
    struct answer a;
    char *const nowhere[] = {(char *)"127.254.0.1", NULL};

    make(kit, "front", false, false);
    char *p = member(kit, "one", "one", "front", NULL, &got), *q = member(kit, "two", "two", "front", NULL, &more);
    network_set_nameservers(kit->manager, "one", nowhere, NULL);
    assert_int_equal(in_namespace(p, send_garbage, NULL), 0);
    /* The neighbour did not notice; the one itself is served again. */
    assert_int_equal(lookup(q, "one", DNS_TYPE_A, &a), 0);
    assert_string_equal(a.addresses[0], got.ipv4);
    assert_int_equal(lookup(p, "two", DNS_TYPE_A, &a), 0);
    assert_string_equal(a.addresses[0], more.ipv4);
    /* Removed in the middle of it. */
    for (int i = 0; i < 10; i++) {
        network_sandbox_remove(kit->manager, "two");
        free(q);
        network_endpoint_clear(&more);
        q = member(kit, "two", "two", "front", NULL, &more);
        assert_int_equal(lookup(q, "one", DNS_TYPE_A, &a), 0);
    }
    network_endpoint_clear(&got);
    network_endpoint_clear(&more);
    free(p);
    free(q);
}

#define WITH_KIT(test) cmocka_unit_test_setup_teardown(test, kit_setup, kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {WITH_KIT(names), WITH_KIT(forwarding), WITH_KIT(hostile)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
