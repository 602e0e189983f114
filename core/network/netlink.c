/* netlink.c - see netlink.h. Sources: rtnetlink(7), linux/rtnetlink.h, veth(4). */
#include "network/netlink.h"

#include <errno.h>
#include <linux/if.h>
#include <linux/if_bridge.h>
#include <linux/ip.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "tabique/error.h"

#define DUMP_BUFFER 32768

int netlink_open(int bus, struct mnl_socket **ret)
{
    struct mnl_socket *nl = mnl_socket_open2(bus, SOCK_CLOEXEC);
    int one = 1;

    if (!nl)
        return -errno;
    if (mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0) {
        int r = -errno;
        mnl_socket_close(nl);
        return r;
    }
    /* Acknowledgements without a copy of the request. Absent on old kernels: harmless. */
    mnl_socket_setsockopt(nl, NETLINK_CAP_ACK, &one, sizeof(one));
    *ret = nl;
    return 0;
}

void netlink_close(struct mnl_socket **nl)
{
    if (*nl)
        mnl_socket_close(*nl);
    *nl = NULL;
}

static void batch_finish(struct netlink_batch *batch)
{
    if (batch->open)
        batch->length += NLMSG_ALIGN(batch->open->nlmsg_len);
    batch->open = NULL;
}

struct nlmsghdr *netlink_add(struct netlink_batch *batch, const char *what, uint16_t type,
                             uint16_t flags, const void *header, size_t header_length)
{
    batch_finish(batch);
    /* Both are ours to choose: a batch that does not fit is a mistake in this room. */
    if (batch->count == NETLINK_BATCH_MAX || batch->length + 512 > sizeof(batch->data))
        abort();
    struct nlmsghdr *message = mnl_nlmsg_put_header(batch->data + batch->length);
    message->nlmsg_type = type;
    message->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
    message->nlmsg_seq = batch->count;
    memcpy(mnl_nlmsg_put_extra_header(message, header_length), header, header_length);
    batch->tolerate[batch->count] = 0;
    batch->what[batch->count] = what;
    batch->count++;
    batch->open = message;
    return message;
}

void netlink_tolerate(struct netlink_batch *batch, int code)
{
    batch->tolerate[batch->count - 1] = code;
}

int netlink_send(struct mnl_socket *nl, struct netlink_batch *batch, struct error *err)
{
    unsigned acknowledged = 0, failed = 0;
    int result = 0;
    char buffer[8192] __attribute__((aligned(8)));

    batch_finish(batch);
    unsigned count = batch->count;
    size_t length = batch->length;
    batch->count = 0;
    batch->length = 0;
    if (count == 0)
        return 0;
    /* What an earlier, interrupted conversation left must not be taken for ours. */
    while (recv(mnl_socket_get_fd(nl), buffer, sizeof(buffer), MSG_DONTWAIT) > 0)
        ;
    if (mnl_socket_sendto(nl, batch->data, length) < 0)
        return error_errno(err, errno, "netlink");
    while (acknowledged < count) {
        ssize_t got = mnl_socket_recvfrom(nl, buffer, sizeof(buffer));
        if (got < 0) {
            if (errno == EINTR)
                continue;
            return error_errno(err, errno, "netlink");
        }
        int left = (int)got;
        for (struct nlmsghdr *m = (struct nlmsghdr *)buffer; mnl_nlmsg_ok(m, left); m = mnl_nlmsg_next(m, &left)) {
            if (m->nlmsg_type != NLMSG_ERROR || m->nlmsg_seq >= count)
                continue;
            const struct nlmsgerr *answer = mnl_nlmsg_get_payload(m);
            acknowledged++;
            if (answer->error && -answer->error != batch->tolerate[m->nlmsg_seq] && result == 0) {
                result = answer->error;
                failed = m->nlmsg_seq;
            }
        }
    }
    if (result < 0)
        return error_errno(err, result, "%s", batch->what[failed]);
    return 0;
}

/* One pass. *ret_interrupted: the table changed meanwhile, entries may be missing. */
static int dump_once(struct mnl_socket *nl, const struct nlmsghdr *request, char *buffer, mnl_cb_t fn,
                     void *user, bool *ret_interrupted)
{
    while (recv(mnl_socket_get_fd(nl), buffer, DUMP_BUFFER, MSG_DONTWAIT) > 0)
        ;
    if (mnl_socket_sendto(nl, request, request->nlmsg_len) < 0)
        return -errno;
    for (;;) {
        ssize_t got = mnl_socket_recvfrom(nl, buffer, DUMP_BUFFER);
        if (got < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        int left = (int)got;
        for (struct nlmsghdr *m = (struct nlmsghdr *)buffer; mnl_nlmsg_ok(m, left); m = mnl_nlmsg_next(m, &left)) {
            if (m->nlmsg_flags & NLM_F_DUMP_INTR)
                *ret_interrupted = true;
            if (m->nlmsg_type == NLMSG_DONE)
                return 0;
            if (m->nlmsg_type == NLMSG_ERROR)
                return ((const struct nlmsgerr *)mnl_nlmsg_get_payload(m))->error;
            fn(m, user);
        }
    }
}

int netlink_dump(struct mnl_socket *nl, struct nlmsghdr *request, mnl_cb_t fn, void *user)
{
    CLEANUP_FREE char *buffer = mem_alloc(DUMP_BUFFER);
    bool interrupted = true;
    int r = 0;

    request->nlmsg_seq = 1;
    for (int attempt = 0; attempt < 5 && interrupted && r == 0; attempt++) {
        interrupted = false;
        r = dump_once(nl, request, buffer, fn, user, &interrupted);
    }
    return r;
}

struct link_visit {
    link_fn *fn;
    void *user;
};

static void link_kind(const struct nlattr *info, struct netlink_link *link)
{
    const struct nlattr *attr;

    mnl_attr_for_each_nested(attr, info)
        if (mnl_attr_get_type(attr) == IFLA_INFO_KIND)
            snprintf(link->kind, sizeof(link->kind), "%.*s", (int)mnl_attr_get_payload_len(attr),
                     mnl_attr_get_str(attr));
}

static int on_link(const struct nlmsghdr *message, void *user)
{
    struct link_visit *visit = user;
    const struct ifinfomsg *info = mnl_nlmsg_get_payload(message);
    struct netlink_link link = {.index = info->ifi_index, .flags = info->ifi_flags};
    const struct nlattr *attr;

    if (message->nlmsg_type != RTM_NEWLINK)
        return MNL_CB_OK;
    mnl_attr_for_each(attr, message, sizeof(*info)) {
        size_t length = mnl_attr_get_payload_len(attr);
        switch (mnl_attr_get_type(attr)) {
        case IFLA_IFNAME:
            snprintf(link.name, sizeof(link.name), "%s", mnl_attr_get_str(attr));
            break;
        case IFLA_IFALIAS:
            snprintf(link.alias, sizeof(link.alias), "%.*s", (int)length, mnl_attr_get_str(attr));
            break;
        case IFLA_MASTER:
            link.master = (int)mnl_attr_get_u32(attr);
            break;
        case IFLA_OPERSTATE:
            link.operational = mnl_attr_get_u8(attr) == IF_OPER_UP;
            break;
        case IFLA_MTU:
            link.mtu = (int)mnl_attr_get_u32(attr);
            break;
        case IFLA_LINKINFO:
            link_kind(attr, &link);
            break;
        case IFLA_STATS64:
            link.has_stats = true;
            memcpy(&link.stats, mnl_attr_get_payload(attr),
                   length < sizeof(link.stats) ? length : sizeof(link.stats));
            break;
        default:
            break;
        }
    }
    visit->fn(visit->user, &link);
    return MNL_CB_OK;
}

static void take_link(void *user, const struct netlink_link *link)
{
    *(struct netlink_link *)user = *link;
}

int link_get(struct mnl_socket *nl, const char *name, struct netlink_link *ret)
{
    char buffer[256] __attribute__((aligned(8)));
    struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
    struct netlink_link link = {0};
    struct link_visit visit = {take_link, &link};

    request->nlmsg_type = RTM_GETLINK;
    request->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
    mnl_nlmsg_put_extra_header(request, sizeof(struct ifinfomsg));
    mnl_attr_put_strz(request, IFLA_IFNAME, name);
    int r = netlink_dump(nl, request, on_link, &visit);
    if (r < 0)
        return r;
    if (link.index == 0)
        return -ENODEV;
    *ret = link;
    return 0;
}

int link_each(struct mnl_socket *nl, bool stats, link_fn *fn, void *user)
{
    char buffer[256] __attribute__((aligned(8)));
    struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
    struct link_visit visit = {fn, user};

    request->nlmsg_type = RTM_GETLINK;
    request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    mnl_nlmsg_put_extra_header(request, sizeof(struct ifinfomsg));
    if (!stats)
        mnl_attr_put_u32(request, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    return netlink_dump(nl, request, on_link, &visit);
}

static struct nlmsghdr *link_message(struct netlink_batch *batch, const char *what, uint16_t flags,
                                     const char *name, int index, unsigned up_flags, unsigned change)
{
    struct ifinfomsg info = {.ifi_index = index, .ifi_flags = up_flags, .ifi_change = change};
    struct nlmsghdr *message = netlink_add(batch, what, RTM_NEWLINK, flags, &info, sizeof(info));

    if (name)
        mnl_attr_put_strz(message, IFLA_IFNAME, name);
    return message;
}

void link_add_bridge(struct netlink_batch *batch, const char *name, const uint8_t mac[6], int mtu)
{
    struct nlmsghdr *m = link_message(batch, "making the bridge", NLM_F_CREATE | NLM_F_EXCL, name, 0, 0, 0);

    /* An address of its own: otherwise it changes with every port that comes or goes. */
    mnl_attr_put(m, IFLA_ADDRESS, 6, mac);
    mnl_attr_put_u32(m, IFLA_MTU, (uint32_t)mtu);
    struct nlattr *info = mnl_attr_nest_start(m, IFLA_LINKINFO);
    mnl_attr_put_strz(m, IFLA_INFO_KIND, "bridge");
    struct nlattr *data = mnl_attr_nest_start(m, IFLA_INFO_DATA);
    mnl_attr_put_u32(m, IFLA_BR_FORWARD_DELAY, 0);
    mnl_attr_nest_end(m, data);
    mnl_attr_nest_end(m, info);
}

void link_add_veth(struct netlink_batch *batch, const char *name, int master, int mtu,
                   const char *peer, const uint8_t mac[6], int ns_fd)
{
    /* Both ends down: veth refuses to go up before its peer is registered. */
    struct nlmsghdr *m = link_message(batch, "making the veth pair", NLM_F_CREATE | NLM_F_EXCL, name, 0, 0, 0);
    struct ifinfomsg peer_info = {0};

    mnl_attr_put_u32(m, IFLA_MASTER, (uint32_t)master);
    mnl_attr_put_u32(m, IFLA_MTU, (uint32_t)mtu);
    /* One queue: the default is one for each CPU, and only XDP uses more. */
    mnl_attr_put_u32(m, IFLA_NUM_TX_QUEUES, 1);
    mnl_attr_put_u32(m, IFLA_NUM_RX_QUEUES, 1);
    struct nlattr *info = mnl_attr_nest_start(m, IFLA_LINKINFO);
    mnl_attr_put_strz(m, IFLA_INFO_KIND, "veth");
    struct nlattr *data = mnl_attr_nest_start(m, IFLA_INFO_DATA);
    struct nlattr *nest = mnl_attr_nest_start(m, VETH_INFO_PEER);
    memcpy(mnl_nlmsg_put_extra_header(m, sizeof(peer_info)), &peer_info, sizeof(peer_info));
    mnl_attr_put_strz(m, IFLA_IFNAME, peer);
    mnl_attr_put_u32(m, IFLA_NET_NS_FD, (uint32_t)ns_fd);
    mnl_attr_put_u32(m, IFLA_MTU, (uint32_t)mtu);
    mnl_attr_put(m, IFLA_ADDRESS, 6, mac);
    mnl_attr_put_u32(m, IFLA_NUM_TX_QUEUES, 1);
    mnl_attr_put_u32(m, IFLA_NUM_RX_QUEUES, 1);
    mnl_attr_nest_end(m, nest);
    mnl_attr_nest_end(m, data);
    mnl_attr_nest_end(m, info);
}

void link_set_alias(struct netlink_batch *batch, const char *name, const char *alias)
{
    struct nlmsghdr *m = link_message(batch, "marking the interface as ours", 0, name, 0, 0, 0);

    mnl_attr_put_strz(m, IFLA_IFALIAS, alias);
}

void link_set_no_ipv6(struct netlink_batch *batch, const char *name)
{
    struct nlmsghdr *m = link_message(batch, "turning IPv6 off", 0, name, 0, 0, 0);
    struct nlattr *spec = mnl_attr_nest_start(m, IFLA_AF_SPEC);
    struct nlattr *inet6 = mnl_attr_nest_start(m, AF_INET6);

    mnl_attr_put_u8(m, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
    mnl_attr_nest_end(m, inet6);
    mnl_attr_nest_end(m, spec);
    netlink_tolerate(batch, EAFNOSUPPORT); /* a kernel without IPv6 */
}

void link_set_port(struct netlink_batch *batch, int index, enum link_port_flag flag)
{
    static const uint16_t attributes[] = {[LINK_PORT_ISOLATED] = IFLA_BRPORT_ISOLATED,
                                          [LINK_PORT_HAIRPIN] = IFLA_BRPORT_MODE};
    struct ifinfomsg info = {.ifi_family = AF_BRIDGE, .ifi_index = index};
    struct nlmsghdr *m = netlink_add(batch, "setting up the bridge's port", RTM_SETLINK, 0, &info, sizeof(info));
    struct nlattr *port = mnl_attr_nest_start(m, IFLA_PROTINFO | NLA_F_NESTED);

    mnl_attr_put_u8(m, attributes[flag], 1);
    mnl_attr_nest_end(m, port);
}

void link_set_master(struct netlink_batch *batch, const char *name, int master)
{
    mnl_attr_put_u32(link_message(batch, "joining the bridge", 0, name, 0, 0, 0), IFLA_MASTER,
                     (uint32_t)master);
}

void link_announce(struct netlink_batch *batch, int index, const uint8_t mac[6])
{
    struct nlmsghdr *m = link_message(batch, "turning ARP announcements on", 0, NULL, index, 0, 0);
    struct nlattr *spec = mnl_attr_nest_start(m, IFLA_AF_SPEC);
    struct nlattr *inet = mnl_attr_nest_start(m, AF_INET);
    struct nlattr *conf = mnl_attr_nest_start(m, IFLA_INET_CONF);

    mnl_attr_put_u32(m, IPV4_DEVCONF_ARP_NOTIFY, 1);
    mnl_attr_nest_end(m, conf);
    mnl_attr_nest_end(m, inet);
    mnl_attr_nest_end(m, spec);
    /* Setting the MAC, even to what it is, is the event that announces it. */
    mnl_attr_put(link_message(batch, "announcing the address", 0, NULL, index, 0, 0), IFLA_ADDRESS, 6, mac);
}

void link_set_up(struct netlink_batch *batch, const char *name, int index)
{
    link_message(batch, "bringing the interface up", 0, name, index, IFF_UP, IFF_UP);
}

void link_set_down(struct netlink_batch *batch, const char *name)
{
    link_message(batch, "bringing the interface down", 0, name, 0, 0, IFF_UP);
}

void link_delete(struct netlink_batch *batch, const char *name)
{
    struct ifinfomsg info = {0};

    mnl_attr_put_strz(netlink_add(batch, "removing the interface", RTM_DELLINK, 0, &info, sizeof(info)),
                      IFLA_IFNAME, name);
    netlink_tolerate(batch, ENODEV);
}

static void addr_message(struct netlink_batch *batch, const char *what, uint16_t type, uint16_t flags,
                         int index, const struct address *address, int prefix)
{
    struct ifaddrmsg info = {.ifa_family = (uint8_t)address->family, .ifa_prefixlen = (uint8_t)prefix,
                             .ifa_index = (uint32_t)index};
    bool v6 = address->family == AF_INET6;

    /* We know that nobody else has it: no second of waiting for duplicates. */
    if (v6)
        info.ifa_flags = IFA_F_NODAD;
    struct nlmsghdr *m = netlink_add(batch, what, type, flags, &info, sizeof(info));
    mnl_attr_put(m, IFA_LOCAL, address_length(address), address->bytes);
    mnl_attr_put(m, IFA_ADDRESS, address_length(address), address->bytes);
    if (!v6 && prefix < 31) {
        struct address broadcast = *address;
        for (int bit = prefix; bit < 32; bit++)
            broadcast.bytes[bit / 8] |= (uint8_t)(0x80 >> (bit % 8));
        mnl_attr_put(m, IFA_BROADCAST, 4, broadcast.bytes);
    }
}

void addr_add(struct netlink_batch *batch, int index, const struct address *address, int prefix)
{
    addr_message(batch, "setting the address", RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, index, address, prefix);
    netlink_tolerate(batch, EEXIST);
}

void addr_delete(struct netlink_batch *batch, int index, const struct address *address, int prefix)
{
    addr_message(batch, "removing the address", RTM_DELADDR, 0, index, address, prefix);
    netlink_tolerate(batch, EADDRNOTAVAIL);
}

void route_default(struct netlink_batch *batch, int index, const struct address *gateway, bool add)
{
    struct rtmsg info = {.rtm_family = (uint8_t)gateway->family, .rtm_table = RT_TABLE_MAIN,
                         .rtm_protocol = RTPROT_BOOT, .rtm_scope = RT_SCOPE_UNIVERSE,
                         .rtm_type = RTN_UNICAST,
                         /* A guest's interface has its addresses inside, and none here. */
                         .rtm_flags = add ? RTNH_F_ONLINK : 0};
    struct nlmsghdr *m = netlink_add(batch, "setting the default route", add ? RTM_NEWROUTE : RTM_DELROUTE,
                                     add ? NLM_F_CREATE | NLM_F_REPLACE : 0, &info, sizeof(info));

    mnl_attr_put(m, RTA_GATEWAY, address_length(gateway), gateway->bytes);
    mnl_attr_put_u32(m, RTA_OIF, (uint32_t)index);
    if (!add)
        netlink_tolerate(batch, ESRCH);
}

static void neigh_message(struct netlink_batch *batch, const char *what, struct ndmsg info,
                          const struct address *address, const uint8_t mac[6])
{
    struct nlmsghdr *m = netlink_add(batch, what, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &info, sizeof(info));

    if (address)
        mnl_attr_put(m, NDA_DST, address_length(address), address->bytes);
    mnl_attr_put(m, NDA_LLADDR, 6, mac);
}

void fdb_set(struct netlink_batch *batch, int port, const uint8_t mac[6])
{
    /* NOARP ("static"): others are refused while the port is not forwarding yet. */
    neigh_message(batch, "entering the port's address",
                  (struct ndmsg){.ndm_family = AF_BRIDGE, .ndm_ifindex = port, .ndm_state = NUD_NOARP,
                                 .ndm_flags = NTF_MASTER}, NULL, mac);
}

void neigh_set(struct netlink_batch *batch, int index, const struct address *address, const uint8_t mac[6])
{
    neigh_message(batch, "entering the neighbour",
                  (struct ndmsg){.ndm_family = (uint8_t)address->family, .ndm_ifindex = index,
                                 .ndm_state = NUD_REACHABLE}, address, mac);
}

struct cidr_visit {
    cidr_fn *fn;
    void *user;
};

static void take_address(const struct nlattr *attr, int family, struct cidr *cidr)
{
    cidr->address = (struct address){.family = family};
    if (mnl_attr_get_payload_len(attr) == address_length(&cidr->address))
        memcpy(cidr->address.bytes, mnl_attr_get_payload(attr), address_length(&cidr->address));
}

static int on_address(const struct nlmsghdr *message, void *user)
{
    struct cidr_visit *visit = user;
    const struct ifaddrmsg *info = mnl_nlmsg_get_payload(message);
    struct cidr cidr = {.prefix = info->ifa_prefixlen};
    bool local = false;
    const struct nlattr *attr;

    if (message->nlmsg_type != RTM_NEWADDR || (info->ifa_family != AF_INET && info->ifa_family != AF_INET6))
        return MNL_CB_OK;
    mnl_attr_for_each(attr, message, sizeof(*info)) {
        uint16_t type = mnl_attr_get_type(attr);
        if (type == IFA_LOCAL || (type == IFA_ADDRESS && !local)) {
            take_address(attr, info->ifa_family, &cidr);
            local = type == IFA_LOCAL;
        }
    }
    if (cidr.address.family)
        visit->fn(visit->user, (int)info->ifa_index, &cidr);
    return MNL_CB_OK;
}

static int on_route(const struct nlmsghdr *message, void *user)
{
    struct cidr_visit *visit = user;
    const struct rtmsg *info = mnl_nlmsg_get_payload(message);
    struct cidr cidr = {.prefix = info->rtm_dst_len};
    int index = 0;
    const struct nlattr *attr;

    if (message->nlmsg_type != RTM_NEWROUTE || info->rtm_dst_len == 0 || info->rtm_type == RTN_MULTICAST ||
        (info->rtm_family != AF_INET && info->rtm_family != AF_INET6))
        return MNL_CB_OK;
    mnl_attr_for_each(attr, message, sizeof(*info)) {
        if (mnl_attr_get_type(attr) == RTA_DST)
            take_address(attr, info->rtm_family, &cidr);
        else if (mnl_attr_get_type(attr) == RTA_OIF)
            index = (int)mnl_attr_get_u32(attr);
    }
    if (cidr.address.family)
        visit->fn(visit->user, index, &cidr);
    return MNL_CB_OK;
}

static int cidr_dump(struct mnl_socket *nl, uint16_t type, size_t header, mnl_cb_t fn, struct cidr_visit *visit)
{
    char buffer[256] __attribute__((aligned(8)));
    struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);

    request->nlmsg_type = type;
    request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    mnl_nlmsg_put_extra_header(request, header); /* zeroed: every family */
    return netlink_dump(nl, request, fn, visit);
}

int addr_each(struct mnl_socket *nl, cidr_fn *fn, void *user)
{
    struct cidr_visit visit = {fn, user};

    return cidr_dump(nl, RTM_GETADDR, sizeof(struct ifaddrmsg), on_address, &visit);
}

int route_each(struct mnl_socket *nl, cidr_fn *fn, void *user)
{
    struct cidr_visit visit = {fn, user};

    return cidr_dump(nl, RTM_GETROUTE, sizeof(struct rtmsg), on_route, &visit);
}

struct mtu_search {
    int index, mtu;
};

static int on_default_route(const struct nlmsghdr *message, void *user)
{
    const struct rtmsg *info = mnl_nlmsg_get_payload(message);
    struct mtu_search *search = user;
    const struct nlattr *attr;

    if (message->nlmsg_type != RTM_NEWROUTE || info->rtm_dst_len != 0 || info->rtm_family != AF_INET ||
        info->rtm_table != RT_TABLE_MAIN)
        return MNL_CB_OK;
    mnl_attr_for_each(attr, message, sizeof(*info))
        if (mnl_attr_get_type(attr) == RTA_OIF)
            search->index = (int)mnl_attr_get_u32(attr);
    return MNL_CB_OK;
}

static void on_mtu_link(void *user, const struct netlink_link *link)
{
    struct mtu_search *search = user;

    if (link->index == search->index)
        search->mtu = link->mtu;
}

int link_default_mtu(struct mnl_socket *nl)
{
    char buffer[256] __attribute__((aligned(8)));
    struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
    struct mtu_search search = {0};

    request->nlmsg_type = RTM_GETROUTE;
    request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    mnl_nlmsg_put_extra_header(request, sizeof(struct rtmsg));
    int r = netlink_dump(nl, request, on_default_route, &search);
    if (r == 0 && search.index)
        r = link_each(nl, false, on_mtu_link, &search);
    return r < 0 ? r : search.mtu;
}
