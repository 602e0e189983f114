/* dns_redirect.c - the name server's sockets inside a container's namespace.
 *
 * Bound to 127.0.0.11:53 itself they would take port 53 from a name server in
 * the container that wants it on all addresses. So they have ports of the
 * kernel's choice, and a table of two rules leads 127.0.0.11:53 there. Where a
 * kernel has no translation in namespaces, port 53 is bound after all.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <libnftnl/chain.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "network/dns.h"
#include "network/netlink.h"
#include "network/nft.h"

#define TABLE "tabique-dns"
#define CHAIN "local"

static const uint8_t own_address[4] = {127, 0, 0, 11};

static void add_compare(struct nftnl_rule *rule, const void *data, uint32_t length)
{
    struct nftnl_expr *e = nftnl_expr_alloc("cmp");

    nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
    nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_OP, NFT_CMP_EQ);
    nftnl_expr_set(e, NFTNL_EXPR_CMP_DATA, data, length);
    nftnl_rule_add_expr(rule, e);
}

static void add_payload(struct nftnl_rule *rule, uint32_t base, uint32_t offset, uint32_t length)
{
    struct nftnl_expr *e = nftnl_expr_alloc("payload");

    nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_BASE, base);
    nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
    nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_LEN, length);
    nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_DREG, NFT_REG_1);
    nftnl_rule_add_expr(rule, e);
}

static void add_immediate(struct nftnl_rule *rule, uint32_t reg, const void *data, uint32_t length)
{
    struct nftnl_expr *e = nftnl_expr_alloc("immediate");

    nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, reg);
    nftnl_expr_set(e, NFTNL_EXPR_IMM_DATA, data, length);
    nftnl_rule_add_expr(rule, e);
}

/* ip daddr 127.0.0.11 PROTOCOL dport 53 dnat to 127.0.0.11:port */
static struct nftnl_rule *make_rule(uint8_t protocol, uint16_t port)
{
    struct nftnl_rule *rule = nftnl_rule_alloc();
    struct nftnl_expr *e = nftnl_expr_alloc("meta");
    uint16_t wire = htons(53), to = htons(port);

    nftnl_rule_set_str(rule, NFTNL_RULE_TABLE, TABLE);
    nftnl_rule_set_str(rule, NFTNL_RULE_CHAIN, CHAIN);
    nftnl_rule_set_u32(rule, NFTNL_RULE_FAMILY, NFPROTO_IPV4);
    nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, NFT_META_L4PROTO);
    nftnl_expr_set_u32(e, NFTNL_EXPR_META_DREG, NFT_REG_1);
    nftnl_rule_add_expr(rule, e);
    add_compare(rule, &protocol, sizeof(protocol));
    add_payload(rule, NFT_PAYLOAD_NETWORK_HEADER, 16, 4);
    add_compare(rule, own_address, sizeof(own_address));
    add_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2);
    add_compare(rule, &wire, sizeof(wire));
    add_immediate(rule, NFT_REG_1, own_address, sizeof(own_address));
    add_immediate(rule, NFT_REG_2, &to, sizeof(to));
    e = nftnl_expr_alloc("nat");
    nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_TYPE, NFT_NAT_DNAT);
    nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_FAMILY, NFPROTO_IPV4);
    nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_REG_ADDR_MIN, NFT_REG_1);
    nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_REG_PROTO_MIN, NFT_REG_2);
    nftnl_rule_add_expr(rule, e);
    return rule;
}

static void put_table(struct nft_batch *b, uint16_t type, uint16_t flags)
{
    struct nftnl_table *table = nftnl_table_alloc();

    nftnl_table_set_str(table, NFTNL_TABLE_NAME, TABLE);
    nftnl_table_set_u32(table, NFTNL_TABLE_FAMILY, NFPROTO_IPV4);
    nftnl_table_nlmsg_build_payload(nft_batch_message(b, type, NFPROTO_IPV4, flags), table);
    nftnl_table_free(table);
    nft_batch_next(b);
}

static void put_chain(struct nft_batch *b)
{
    struct nftnl_chain *chain = nftnl_chain_alloc();

    nftnl_chain_set_str(chain, NFTNL_CHAIN_TABLE, TABLE);
    nftnl_chain_set_str(chain, NFTNL_CHAIN_NAME, CHAIN);
    nftnl_chain_set_str(chain, NFTNL_CHAIN_TYPE, "nat");
    nftnl_chain_set_u32(chain, NFTNL_CHAIN_HOOKNUM, NF_INET_LOCAL_OUT);
    nftnl_chain_set_s32(chain, NFTNL_CHAIN_PRIO, -100);
    nftnl_chain_nlmsg_build_payload(nft_batch_message(b, NFT_MSG_NEWCHAIN, NFPROTO_IPV4, NLM_F_CREATE), chain);
    nftnl_chain_free(chain);
    nft_batch_next(b);
}

static void put_rule(struct nft_batch *b, uint8_t protocol, uint16_t port)
{
    struct nftnl_rule *rule = make_rule(protocol, port);

    nftnl_rule_nlmsg_build_payload(nft_batch_message(b, NFT_MSG_NEWRULE, NFPROTO_IPV4, NLM_F_CREATE | NLM_F_APPEND), rule);
    nftnl_rule_free(rule);
    nft_batch_next(b);
}

static int redirect_with(struct mnl_socket *nl, uint16_t udp, uint16_t tcp, bool replace)
{
    struct nft_batch b;

    nft_batch_begin(&b);
    if (replace)
        put_table(&b, NFT_MSG_DELTABLE, 0);
    put_table(&b, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL);
    put_chain(&b);
    put_rule(&b, IPPROTO_UDP, udp);
    put_rule(&b, IPPROTO_TCP, tcp);
    return nft_batch_commit(&b, nl);
}

static int redirect(uint16_t udp, uint16_t tcp)
{
    CLEANUP_NETLINK struct mnl_socket *nl = NULL;
    int r = netlink_open(NETLINK_NETFILTER, &nl);

    if (r < 0)
        return r;
    /* Removing makes the kernel wait some 15 ms when the socket is closed: only
     * where an earlier server has left the table. */
    r = redirect_with(nl, udp, tcp, false);
    return r == -EEXIST ? redirect_with(nl, udp, tcp, true) : r;
}

static int bind_socket(int type, uint16_t port, uint16_t *ret_port)
{
    CLEANUP_CLOSE int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t length = sizeof(name);
    int one = 1;

    if (fd < 0)
        return -errno;
    memcpy(&name.sin_addr, own_address, sizeof(own_address));
    if (type == SOCK_STREAM)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&name, sizeof(name)) < 0 ||
        getsockname(fd, (struct sockaddr *)&name, &length) < 0 || (type == SOCK_STREAM && listen(fd, 16) < 0))
        return -errno;
    *ret_port = ntohs(name.sin_port);
    return TAKE_FD(fd);
}

int dns_sockets(int *ret_udp, int *ret_tcp)
{
    CLEANUP_CLOSE int udp = -EBADF, tcp = -EBADF;
    uint16_t udp_port, tcp_port;

    udp = bind_socket(SOCK_DGRAM, 0, &udp_port);
    tcp = bind_socket(SOCK_STREAM, 0, &tcp_port);
    if (udp < 0 || tcp < 0)
        return udp < 0 ? udp : tcp;
    if (redirect(udp_port, tcp_port) < 0) {
        close(udp);
        close(tcp);
        udp = bind_socket(SOCK_DGRAM, 53, &udp_port);
        tcp = bind_socket(SOCK_STREAM, 53, &tcp_port);
        if (udp < 0 || tcp < 0)
            return udp < 0 ? udp : tcp;
    }
    *ret_udp = TAKE_FD(udp);
    *ret_tcp = TAKE_FD(tcp);
    return 0;
}
