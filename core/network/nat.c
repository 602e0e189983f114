/* nat.c - see nat.h. The commands are text for libnftables; whatever stands in
 * them is a number, an address we formatted, or a device name that was checked.
 *
 * Walls, in the forward chain (the rest of the host's traffic leaves at once):
 *   answers                          pass
 *   within one bridge                pass, unless icc is off
 *   into or out of an internal one   dropped
 *   to a published port              pass (from anywhere, other bridges too)
 *   else towards a bridge of ours    dropped: other bridges, other machines
 *   from a bridge to the outside     pass
 *
 * Bridges let 127.0.0.1 in (route_localnet), or 127.0.0.1:PORT of the host could
 * not be translated to a container. So packets that claim loopback addresses on
 * a bridge are dropped first (CVE-2020-8558), and those from other machines
 * never meet the translation of ports published on 127.0.0.1 only.
 */
#include "network/nat.h"

#include <errno.h>
#include <netinet/in.h> /* before the kernel's, which then leave its names alone */
#include <libnftnl/set.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <nftables/libnftables.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"
#include "network/netlink.h"
#include "network/nft.h"
#include "tabique/error.h"

#define QUICK_MAX 256 /* elements of one transaction that is not worth libnftables */

struct nat {
    struct mnl_socket *nl;
    char *table;   /* "inet NAME" */
    char *comment;
};

static const char *const objects[] = {
    "set %s bridges { type ifname; }",
    "set %s internal { type ifname; }",
    "set %s same { type ifname . ifname; }",
    "set %s masquerade4 { type ipv4_addr; flags interval; }",
    "set %s masquerade6 { type ipv6_addr; flags interval; }",
    "set %s own4 { type ipv4_addr . ifname; flags interval; }",
    "set %s own6 { type ipv6_addr . ifname; flags interval; }",
    "map %s any4 { type inet_proto . inet_service : ipv4_addr . inet_service; }",
    "map %s any6 { type inet_proto . inet_service : ipv6_addr . inet_service; }",
    "map %s at4 { type inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service; }",
    "map %s at6 { type inet_proto . ipv6_addr . inet_service : ipv6_addr . inet_service; }",
    "chain %s early { type filter hook prerouting priority raw; policy accept; }",
    "chain %s published",
    "chain %s arriving { type nat hook prerouting priority dstnat; policy accept; }",
    "chain %s local { type nat hook output priority -100; policy accept; }",
    "chain %s walls { type filter hook forward priority filter; policy accept; }",
    "chain %s leaving { type nat hook postrouting priority srcnat; policy accept; }",
};

static const char *const chains[] = {"early", "published", "arriving", "local", "walls", "leaving"};
static const char *const network_sets[] = {"bridges", "internal", "same", "masquerade4", "masquerade6", "own4", "own6"};
static const char *const port_maps[] = {"any4", "any6", "at4", "at6"};

static const struct {
    const char *chain, *rule;
} rules[] = {
    {"early", "iifname @bridges ip daddr 127.0.0.0/8 drop"},
    {"early", "iifname @bridges ip saddr 127.0.0.0/8 drop"},
    {"published", "meta nfproto ipv4 dnat ip to meta l4proto . ip daddr . th dport map @at4"},
    {"published", "meta nfproto ipv4 dnat ip to meta l4proto . th dport map @any4"},
    {"published", "meta nfproto ipv6 dnat ip6 to meta l4proto . ip6 daddr . th dport map @at6"},
    {"published", "meta nfproto ipv6 dnat ip6 to meta l4proto . th dport map @any6"},
    {"arriving", "ip daddr 127.0.0.0/8 return"},
    {"arriving", "ip6 daddr ::1 return"},
    {"arriving", "meta l4proto { tcp, udp, sctp } fib daddr type local jump published"},
    /* There is no route_localnet for IPv6: ::1 cannot be translated. */
    {"local", "ip6 daddr ::1 return"},
    {"local", "meta l4proto { tcp, udp, sctp } fib daddr type local jump published"},
    {"walls", "iifname != @bridges oifname != @bridges return"},
    {"walls", "ct state established,related accept"},
    {"walls", "iifname . oifname @same accept"},
    {"walls", "iifname @internal drop"},
    {"walls", "oifname @internal drop"},
    {"walls", "ct status dnat accept"},
    {"walls", "oifname @bridges drop"},
    {"leaving", "ip saddr @masquerade4 ip saddr . oifname != @own4 masquerade"},
    {"leaving", "ip6 saddr @masquerade6 ip6 saddr . oifname != @own6 masquerade"},
    /* A container that reaches itself or a neighbour through a published port:
     * the answer must come back this way to be translated. */
    {"leaving", "ct status dnat ip saddr . oifname @own4 masquerade"},
    {"leaving", "ct status dnat ip6 saddr . oifname @own6 masquerade"},
    {"leaving", "ip saddr 127.0.0.0/8 oifname @bridges masquerade"},
};

/* A context for the call: kept, it would keep every rule of the host that it has read. */
static int run(struct nat *nat, const char *commands, struct error *err)
{
    struct nft_ctx *context = nft_ctx_new(NFT_CTX_DEFAULT);
    int r = 0;

    if (!context)
        return error_set(err, EIO, "libnftables cannot be started");
    nft_ctx_buffer_error(context);
    nft_ctx_buffer_output(context);
    if (nft_run_cmd_from_buffer(context, commands) != 0) {
        const char *text = nft_ctx_get_error_buffer(context);
        const char *line = text ? strstr(text, "Error: ") : NULL;
        line = line ? line + strlen("Error: ") : text && *text ? text : "no details";
        r = error_set(err, strstr(line, "No such file") ? ENOENT : EIO, "nftables, table %s: %.*s", nat->table,
                      (int)strcspn(line, "\n"), line);
    }
    nft_ctx_free(context);
    return r;
}

int nat_open(const char *table, const char *comment, struct nat **ret, struct error *err)
{
    struct nat *nat = mem_new(struct nat);

    int r = netlink_open(NETLINK_NETFILTER, &nat->nl);
    if (r < 0) {
        free(nat);
        return error_errno(err, r, "nftables");
    }
    nat->table = mem_printf("inet %s", table);
    nat->comment = mem_strdup(comment);
    *ret = nat;
    return 0;
}

void nat_close(struct nat *nat)
{
    if (!nat)
        return;
    netlink_close(&nat->nl);
    free(nat->table);
    free(nat->comment);
    free(nat);
}

static void network_elements(const struct nat *nat, const struct nat_network *n, const char *verb, struct str *out)
{
    char text[ADDRESS_TEXT_MAX];
    const struct {
        const struct cidr *cidr;
        int version;
    } families[] = {{&n->v4, 4}, {&n->v6, 6}};

    str_printf(out, "%s element %s bridges { \"%s\" }\n", verb, nat->table, n->bridge);
    if (n->internal)
        str_printf(out, "%s element %s internal { \"%s\" }\n", verb, nat->table, n->bridge);
    if (n->icc)
        str_printf(out, "%s element %s same { \"%s\" . \"%s\" }\n", verb, nat->table, n->bridge, n->bridge);
    for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
        if (!families[i].cidr->address.family)
            continue;
        struct cidr subnet = cidr_masked(families[i].cidr);
        cidr_format(&subnet, text);
        if (n->masquerade && !n->internal)
            str_printf(out, "%s element %s masquerade%d { %s }\n", verb, nat->table, families[i].version, text);
        str_printf(out, "%s element %s own%d { %s . \"%s\" }\n", verb, nat->table, families[i].version, text, n->bridge);
    }
}

static void port_elements(const struct nat *nat, const struct nat_port *ports, size_t count,
                          const char *verb, struct str *out)
{
    char host[ADDRESS_TEXT_MAX], target[ADDRESS_TEXT_MAX];

    for (size_t i = 0; i < count; i++) {
        const struct nat_port *p = &ports[i];
        int version = p->target.family == AF_INET6 ? 6 : 4;
        bool any = address_is_any(&p->host);
        str_printf(out, "%s element %s %s%d { %u . ", verb, nat->table, any ? "any" : "at", version, p->protocol);
        if (!any)
            str_printf(out, "%s . ", address_format(&p->host, host));
        str_printf(out, "%u", p->host_port);
        if (strcmp(verb, "add") == 0)
            str_printf(out, " : %s . %u", address_format(&p->target, target), p->target_port);
        str_append(out, " }\n");
    }
}

int nat_setup(struct nat *nat, const struct nat_network *networks, size_t count, struct error *err)
{
    CLEANUP_STR struct str text = STR_INIT;

    str_printf(&text, "add table %s { comment \"%s\"; }\n", nat->table, nat->comment);
    for (size_t i = 0; i < ARRAY_SIZE(objects); i++) {
        const char *behind = strstr(objects[i], "%s") + 2;
        str_printf(&text, "add %.*s%s%s\n", (int)(behind - 2 - objects[i]), objects[i], nat->table, behind);
    }
    for (size_t i = 0; i < ARRAY_SIZE(chains); i++)
        str_printf(&text, "flush chain %s %s\n", nat->table, chains[i]);
    for (size_t i = 0; i < ARRAY_SIZE(network_sets); i++)
        str_printf(&text, "flush set %s %s\n", nat->table, network_sets[i]);
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
        str_printf(&text, "add rule %s %s %s\n", nat->table, rules[i].chain, rules[i].rule);
    for (size_t i = 0; i < count; i++)
        network_elements(nat, &networks[i], "add", &text);
    if (run(nat, text.data, NULL) == 0)
        return 0;
    /* A table of another version of ours, with sets of other types. */
    CLEANUP_FREE char *again = mem_printf("add table %s\ndelete table %s\n%s", nat->table, nat->table, text.data);
    return run(nat, again, err);
}

int nat_network_add(struct nat *nat, const struct nat_network *network, struct error *err)
{
    CLEANUP_STR struct str text = STR_INIT;

    network_elements(nat, network, "add", &text);
    return run(nat, text.data, err);
}

int nat_network_remove(struct nat *nat, const struct nat_network *network, struct error *err)
{
    CLEANUP_STR struct str text = STR_INIT;

    network_elements(nat, network, "delete", &text);
    return run(nat, text.data, err);
}

/* Concatenated keys and values: each part in network order, padded to 4 bytes. */
static uint32_t put_part(uint8_t *out, uint32_t at, const void *part, size_t length)
{
    memset(out + at, 0, (length + 3) & ~(size_t)3);
    memcpy(out + at, part, length);
    return at + (uint32_t)((length + 3) & ~(size_t)3);
}

static void put_element(struct nat *nat, struct nft_batch *batch, const struct nat_port *p, bool adding)
{
    struct nftnl_set *set = nftnl_set_alloc();
    struct nftnl_set_elem *element = nftnl_set_elem_alloc();
    uint16_t host_port = htons(p->host_port), target_port = htons(p->target_port);
    bool any = address_is_any(&p->host), v6 = p->target.family == AF_INET6;
    uint8_t key[32], value[32];
    uint32_t length = put_part(key, 0, &p->protocol, 1);

    if (!any)
        length = put_part(key, length, p->host.bytes, address_length(&p->host));
    length = put_part(key, length, &host_port, 2);
    nftnl_set_elem_set(element, NFTNL_SET_ELEM_KEY, key, length);
    if (adding) {
        length = put_part(value, 0, p->target.bytes, address_length(&p->target));
        length = put_part(value, length, &target_port, 2);
        nftnl_set_elem_set(element, NFTNL_SET_ELEM_DATA, value, length);
    }
    nftnl_set_set_str(set, NFTNL_SET_TABLE, nat->table + strlen("inet "));
    nftnl_set_set_str(set, NFTNL_SET_NAME, port_maps[(any ? 0 : 2) + (v6 ? 1 : 0)]);
    nftnl_set_set_u32(set, NFTNL_SET_FAMILY, NFPROTO_INET);
    nftnl_set_elem_add(set, element);
    nftnl_set_elems_nlmsg_build_payload(
        nft_batch_message(batch, adding ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM, NFPROTO_INET,
                          adding ? NLM_F_CREATE : 0), set);
    nftnl_set_free(set);
    nft_batch_next(batch);
}

static int change_ports(struct nat *nat, const struct nat_port *ports, size_t count, bool adding, struct error *err)
{
    CLEANUP_STR struct str text = STR_INIT;
    struct nft_batch batch;

    if (count == 0)
        return 0;
    if (count > QUICK_MAX) { /* would not fit a socket's buffer: libnftables sees to that */
        port_elements(nat, ports, count, adding ? "add" : "delete", &text);
        return run(nat, text.data, err);
    }
    nft_batch_begin(&batch);
    for (size_t i = 0; i < count; i++)
        put_element(nat, &batch, &ports[i], adding);
    int r = nft_batch_commit(&batch, nat->nl);
    return r < 0 ? error_errno(err, r, "nftables, table %s: published ports", nat->table) : 0;
}

int nat_ports_add(struct nat *nat, const struct nat_port *ports, size_t count, struct error *err)
{
    return change_ports(nat, ports, count, true, err);
}

int nat_ports_remove(struct nat *nat, const struct nat_port *ports, size_t count, struct error *err)
{
    return change_ports(nat, ports, count, false, err);
}

int nat_ports_replace(struct nat *nat, const struct nat_port *ports, size_t count, struct error *err)
{
    CLEANUP_STR struct str text = STR_INIT;

    for (size_t i = 0; i < ARRAY_SIZE(port_maps); i++)
        str_printf(&text, "flush map %s %s\n", nat->table, port_maps[i]);
    port_elements(nat, ports, count, "add", &text);
    return run(nat, text.data, err);
}

int nat_drop(struct nat *nat, struct error *err)
{
    CLEANUP_FREE char *text = mem_printf("add table %s\ndelete table %s\n", nat->table, nat->table);

    return run(nat, text, err);
}
