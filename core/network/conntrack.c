/* conntrack.c - conntrack_forget_udp() of netlink.h. Source: linux/netfilter/nfnetlink_conntrack.h. */
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "network/netlink.h"

struct flow_filter {
    const struct address *target;
    const uint16_t *ports;
    size_t port_count;
    struct mnl_socket *delete_socket;
};

struct flow_tuple {
    bool udp;
    uint16_t destination_port;
    struct address source;
};

static void tuple_parse(const struct nlattr *nest, struct flow_tuple *ret)
{
    const struct nlattr *group, *attr;

    mnl_attr_for_each_nested(group, nest) {
        mnl_attr_for_each_nested(attr, group) {
            size_t length = mnl_attr_get_payload_len(attr);
            uint16_t type = mnl_attr_get_type(attr);
            if (mnl_attr_get_type(group) == CTA_TUPLE_PROTO) {
                if (type == CTA_PROTO_NUM && length == 1)
                    ret->udp = mnl_attr_get_u8(attr) == IPPROTO_UDP;
                else if (type == CTA_PROTO_DST_PORT && length == 2)
                    ret->destination_port = ntohs(mnl_attr_get_u16(attr));
            } else if (mnl_attr_get_type(group) == CTA_TUPLE_IP) {
                if (type == CTA_IP_V4_SRC && length == 4)
                    ret->source.family = AF_INET;
                else if (type == CTA_IP_V6_SRC && length == 16)
                    ret->source.family = AF_INET6;
                else
                    continue;
                memcpy(ret->source.bytes, mnl_attr_get_payload(attr), length);
            }
        }
    }
}

static int on_flow(const struct nlmsghdr *message, void *user)
{
    struct flow_filter *filter = user;
    const struct nfgenmsg *info = mnl_nlmsg_get_payload(message);
    const struct nlattr *attr, *original = NULL, *id = NULL;
    struct flow_tuple ask = {0}, answer = {0};
    bool wanted;

    mnl_attr_for_each(attr, message, sizeof(*info)) {
        switch (mnl_attr_get_type(attr)) {
        case CTA_TUPLE_ORIG:
            original = attr;
            tuple_parse(attr, &ask);
            break;
        case CTA_TUPLE_REPLY:
            tuple_parse(attr, &answer);
            break;
        case CTA_ID:
            id = attr;
            break;
        default:
            break;
        }
    }
    if (!original || !ask.udp)
        return MNL_CB_OK;
    wanted = address_equal(&answer.source, filter->target);
    for (size_t i = 0; i < filter->port_count && !wanted; i++)
        wanted = ask.destination_port == filter->ports[i];
    if (!wanted)
        return MNL_CB_OK;

    struct netlink_batch batch = {0};
    struct nfgenmsg header = {.nfgen_family = info->nfgen_family, .version = NFNETLINK_V0};
    struct nlmsghdr *m = netlink_add(&batch, "forgetting a connection",
                                     (NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_DELETE, 0, &header, sizeof(header));
    mnl_attr_put(m, CTA_TUPLE_ORIG | NLA_F_NESTED, mnl_attr_get_payload_len(original), mnl_attr_get_payload(original));
    if (id)
        mnl_attr_put(m, CTA_ID, mnl_attr_get_payload_len(id), mnl_attr_get_payload(id));
    netlink_send(filter->delete_socket, &batch, NULL);
    return MNL_CB_OK;
}

void conntrack_forget_udp(const struct address *target, const uint16_t *host_ports, size_t count)
{
    CLEANUP_NETLINK struct mnl_socket *nl = NULL, *deleter = NULL;
    char buffer[256] __attribute__((aligned(8)));
    struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
    struct nfgenmsg header = {.nfgen_family = (uint8_t)target->family, .version = NFNETLINK_V0};

    if (netlink_open(NETLINK_NETFILTER, &nl) < 0 || netlink_open(NETLINK_NETFILTER, &deleter) < 0)
        return;
    struct flow_filter filter = {target, host_ports, count, deleter};
    request->nlmsg_type = (NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_GET;
    request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    memcpy(mnl_nlmsg_put_extra_header(request, sizeof(header)), &header, sizeof(header));
    netlink_dump(nl, request, on_flow, &filter);
}
