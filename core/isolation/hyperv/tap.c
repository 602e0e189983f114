/* tap.c - see tap.h. */
#include "isolation/hyperv/tap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h> /* before the kernel's: they leave out what it defines */
#include <net/if_arp.h>
#include <linux/if_bridge.h>
#include <linux/if_tun.h>
#include <linux/ipv6.h>
#include <linux/sockios.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/random.h"
#include "rpc/rpc.h"
#include "tabique/error.h"

#define ADDRESSES_MAX 256 /* of all interfaces of a container */

/* One of the container's interfaces, and what joins it to the machine's. */
struct nic {
    char link[IFNAMSIZ], bridge[IFNAMSIZ], tap[IFNAMSIZ];
};

static int request(int socket_fd, unsigned long number, struct ifreq *ifr, const char *what, struct error *err)
{
    if (ioctl(socket_fd, number, ifr) < 0)
        return error_errno(err, errno, "cannot %s of %s", what, ifr->ifr_name);
    return 0;
}

static struct ifreq named(const char *name)
{
    struct ifreq ifr = {0};

    snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
    return ifr;
}

static int set_up(int socket_fd, const char *name, bool up, struct error *err)
{
    struct ifreq ifr = named(name);
    int r = request(socket_fd, SIOCGIFFLAGS, &ifr, "read the flags", err);

    if (r < 0)
        return r;
    ifr.ifr_flags = (short)(up ? ifr.ifr_flags | IFF_UP : ifr.ifr_flags & ~IFF_UP);
    return request(socket_fd, SIOCSIFFLAGS, &ifr, "set the flags", err);
}

/* --- what eth0 is ------------------------------------------------------------------- */

/* All of them: each is entered under the interface's name, which alone names the first only;
 * its mask is found by name and address. */
static int describe_addresses4(const struct nic *nic, int socket_fd, struct str *out)
{
    struct ifreq entries[ADDRESSES_MAX];
    struct ifconf list = {.ifc_len = sizeof(entries), .ifc_req = entries};

    if (ioctl(socket_fd, SIOCGIFCONF, &list) < 0)
        return -errno;
    for (size_t i = 0; i < (size_t)list.ifc_len / sizeof(entries[0]); i++) {
        struct sockaddr_in address, mask;
        char text[INET_ADDRSTRLEN + 4];
        if (strncmp(entries[i].ifr_name, nic->link, sizeof(entries[i].ifr_name)) != 0)
            continue;
        memcpy(&address, &entries[i].ifr_addr, sizeof(address));
        if (ioctl(socket_fd, SIOCGIFNETMASK, &entries[i]) < 0)
            return -errno;
        memcpy(&mask, &entries[i].ifr_netmask, sizeof(mask));
        inet_ntop(AF_INET, &address.sin_addr, text, INET_ADDRSTRLEN);
        snprintf(text + strlen(text), 4, "/%d", __builtin_popcount(mask.sin_addr.s_addr));
        wire_put_string(out, RPC_TAG_ADDRESS, text);
    }
    return 0;
}

/* Or the bridge would answer for them: a zero takes the first one away. */
static void take_addresses4(const struct nic *nic, int socket_fd)
{
    const struct sockaddr_in none = {.sin_family = AF_INET};
    struct ifreq ifr = named(nic->link);

    for (int i = 0; i < ADDRESSES_MAX && ioctl(socket_fd, SIOCGIFADDR, &ifr) == 0; i++) {
        memcpy(&ifr.ifr_addr, &none, sizeof(none));
        if (ioctl(socket_fd, SIOCSIFADDR, &ifr) < 0)
            return;
    }
}

/* "/proc/net/route": Iface Destination Gateway ...; the default has destination 0. */
static void describe_gateway4(const struct nic *nic, struct str *out)
{
    CLEANUP_FREE char *text = NULL;
    char *line, *rest;

    if (file_read(AT_FDCWD, "/proc/thread-self/net/route", 1 << 20, &text, NULL) < 0)
        return;
    for (line = text; line && *line; line = rest) {
        char name[IFNAMSIZ], shown[INET_ADDRSTRLEN];
        unsigned long destination, gateway;

        rest = strchr(line, '\n');
        if (rest)
            *rest++ = '\0';
        if (sscanf(line, "%15s %lx %lx", name, &destination, &gateway) == 3 && destination == 0 && gateway != 0 &&
            str_equal(name, nic->link)) {
            struct in_addr address = {.s_addr = (in_addr_t)gateway};
            wire_put_string(out, RPC_TAG_GATEWAY, inet_ntop(AF_INET, &address, shown, sizeof(shown)));
            return;
        }
    }
}

static bool parse_hex6(const char *hex, struct in6_addr *ret)
{
    return strlen(hex) == 32 && hex_decode(hex, ret, sizeof(*ret)) == 0;
}

/* What the kernel gives itself for the interface's MAC. */
static bool is_automatic(const struct in6_addr *address, const uint8_t mac[6])
{
    const uint8_t made[16] = {0xfe, 0x80, [8] = mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]};

    return memcmp(address, made, sizeof(made)) == 0;
}

/* What was given of "/proc/net/if_inet6"; it is taken off as it is told. */
static void take_addresses6(const struct nic *nic, int socket6, int index, const uint8_t mac[6], struct str *out)
{
    CLEANUP_FREE char *text = NULL;
    char *line, *rest;

    if (file_read(AT_FDCWD, "/proc/thread-self/net/if_inet6", 1 << 20, &text, NULL) < 0)
        return;
    for (line = text; line && *line; line = rest) {
        char hex[33], name[IFNAMSIZ], shown[INET6_ADDRSTRLEN + 5];
        unsigned number, prefix, scope, flags;
        struct in6_ifreq ifr = {0};

        rest = strchr(line, '\n');
        if (rest)
            *rest++ = '\0';
        if (sscanf(line, "%32s %x %x %x %x %15s", hex, &number, &prefix, &scope, &flags, name) != 6 ||
            !str_equal(name, nic->link) || !parse_hex6(hex, &ifr.ifr6_addr) || is_automatic(&ifr.ifr6_addr, mac))
            continue;
        inet_ntop(AF_INET6, &ifr.ifr6_addr, shown, INET6_ADDRSTRLEN);
        snprintf(shown + strlen(shown), 5, "/%u", prefix);
        wire_put_string(out, RPC_TAG_ADDRESS, shown);
        ifr.ifr6_prefixlen = prefix;
        ifr.ifr6_ifindex = index;
        (void)ioctl(socket6, SIOCDIFADDR, &ifr);
    }
}

static void describe_gateway6(const struct nic *nic, struct str *out)
{
    CLEANUP_FREE char *text = NULL;
    char *line, *rest;

    if (file_read(AT_FDCWD, "/proc/thread-self/net/ipv6_route", 1 << 20, &text, NULL) < 0)
        return;
    for (line = text; line && *line; line = rest) {
        char destination[33], source[33], gateway[33], name[IFNAMSIZ], shown[INET6_ADDRSTRLEN];
        unsigned destination_length, source_length;
        struct in6_addr address;

        rest = strchr(line, '\n');
        if (rest)
            *rest++ = '\0';
        if (sscanf(line, "%32s %x %32s %x %32s %*s %*s %*s %*s %15s", destination, &destination_length, source,
                   &source_length, gateway, name) == 6 &&
            destination_length == 0 && str_equal(name, nic->link) && parse_hex6(gateway, &address) &&
            !IN6_IS_ADDR_UNSPECIFIED(&address)) {
            wire_put_string(out, RPC_TAG_GATEWAY, inet_ntop(AF_INET6, &address, shown, sizeof(shown)));
            return;
        }
    }
}

/* --- making room for the guest ----------------------------------------------------------- */

static int take_identity(const struct nic *nic, int socket4, struct str *out, struct error *err)
{
    CLEANUP_CLOSE int socket6 = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq ifr = named(nic->link);
    uint8_t mac[6];
    size_t mark = wire_begin(out, RPC_TAG_INTERFACE);
    int r;

    wire_put_string(out, RPC_TAG_NAME, nic->link);
    r = request(socket4, SIOCGIFHWADDR, &ifr, "read the MAC address", err);
    if (r < 0)
        return r;
    memcpy(mac, ifr.ifr_hwaddr.sa_data, sizeof(mac));
    wire_put_bytes(out, RPC_TAG_MAC, mac, sizeof(mac));
    r = request(socket4, SIOCGIFMTU, &ifr, "read the MTU", err);
    if (r < 0)
        return r;
    wire_put_u64(out, RPC_TAG_MTU, (uint64_t)ifr.ifr_mtu);
    r = describe_addresses4(nic, socket4, out);
    if (r < 0)
        return error_errno(err, -r, "cannot read the addresses of %s", nic->link);
    describe_gateway4(nic, out);
    describe_gateway6(nic, out);
    take_addresses6(nic, socket6, (int)if_nametoindex(nic->link), mac, out);
    wire_end(out, mark);

    /* The bridge would keep for itself what is addressed to a member's own MAC. */
    r = set_up(socket4, nic->link, false, err);
    ifr = named(nic->link);
    ifr.ifr_hwaddr.sa_family = ARPHRD_ETHER;
    random_bytes(ifr.ifr_hwaddr.sa_data, 6);
    ifr.ifr_hwaddr.sa_data[0] = 0x06;
    if (r >= 0)
        r = request(socket4, SIOCSIFHWADDR, &ifr, "set the MAC address", err);
    take_addresses4(nic, socket4);
    if (r >= 0)
        r = set_up(socket4, nic->link, true, err);
    return r;
}

static int make_tap(const struct nic *nic, int socket4, int mtu, int *ret_fd, struct error *err)
{
    CLEANUP_CLOSE int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    struct ifreq ifr = named(nic->tap);
    int r;

    if (fd < 0)
        return error_errno(err, errno, "cannot open /dev/net/tun");
    /* Without IFF_VNET_HDR: the template has none, and a clone must match it. */
    ifr.ifr_flags = IFF_TAP | IFF_NO_PI;
    r = request(fd, TUNSETIFF, &ifr, "make the tap", err);
    ifr = named(nic->tap);
    ifr.ifr_mtu = mtu;
    if (r >= 0)
        r = request(socket4, SIOCSIFMTU, &ifr, "set the MTU", err);
    if (r >= 0)
        r = set_up(socket4, nic->tap, true, err);
    if (r >= 0)
        *ret_fd = TAKE_FD(fd);
    return r;
}

static int join(const struct nic *nic, int socket4, struct error *err)
{
    const char *const members[] = {nic->link, nic->tap};
    int r = 0;

    if (ioctl(socket4, SIOCBRADDBR, nic->bridge) < 0)
        return error_errno(err, errno, "cannot make the bridge inside the container's network");
    /* Two members: what comes in by one leaves by the other. It must not learn: the
     * host's bridge reflects the guest's own multicasts (hairpin), and the guest's MAC
     * would then be looked for on the wrong side. */
    unsigned long no_ageing[4] = {BRCTL_SET_AGEING_TIME, 0};
    struct ifreq bridge = named(nic->bridge);
    bridge.ifr_data = (void *)no_ageing;
    r = request(socket4, SIOCDEVPRIVATE, &bridge, "set the ageing time", err);
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(members); i++) {
        struct ifreq ifr = named(nic->bridge);
        ifr.ifr_ifindex = (int)if_nametoindex(members[i]);
        r = request(socket4, SIOCBRADDIF, &ifr, "add a member", err);
    }
    return r < 0 ? r : set_up(socket4, nic->bridge, true, err);
}

static int open_one(const struct nic *nic, struct str *out, int *ret_fd, struct error *err)
{
    CLEANUP_CLOSE int socket4 = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CLEANUP_CLOSE int tap = -EBADF;
    struct ifreq ifr = named(nic->link);
    int r;

    if (if_nametoindex(nic->link) == 0) {
        *ret_fd = -EBADF;
        return 0;
    }
    /* No neighbour discovery of the bridge's own into the guest's network. */
    (void)file_write_text(AT_FDCWD, "/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
    r = request(socket4, SIOCGIFMTU, &ifr, "read the MTU", err);
    if (r >= 0)
        r = make_tap(nic, socket4, ifr.ifr_mtu, &tap, err);
    if (r >= 0)
        r = take_identity(nic, socket4, out, err);
    if (r >= 0)
        r = join(nic, socket4, err);
    if (r >= 0)
        *ret_fd = TAKE_FD(tap);
    return r;
}

static struct nic nic_of(int number)
{
    struct nic nic;

    snprintf(nic.link, sizeof(nic.link), "eth%d", number);
    snprintf(nic.bridge, sizeof(nic.bridge), "tbq-bridge%d", number);
    snprintf(nic.tap, sizeof(nic.tap), "tbq-tap%d", number);
    return nic;
}

/* The tap goes with its last fd. */
static int take_down(const struct nic *nic, struct str *out, struct error *err)
{
    CLEANUP_CLOSE int socket4 = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    size_t mark = wire_begin(out, RPC_TAG_INTERFACE);
    int r = set_up(socket4, nic->bridge, false, err);

    wire_put_string(out, RPC_TAG_NAME, nic->link);
    wire_end(out, mark);
    if (r >= 0 && ioctl(socket4, SIOCBRDELBR, nic->bridge) < 0)
        r = error_errno(err, errno, "cannot remove the bridge inside the container's network");
    return r;
}

static void describe_routes(const struct nic *nic, struct str *out)
{
    CLEANUP_STR struct str routes = STR_INIT;

    describe_gateway4(nic, &routes);
    describe_gateway6(nic, &routes);
    if (!routes.length)
        return;
    size_t mark = wire_begin(out, RPC_TAG_INTERFACE);
    wire_put_string(out, RPC_TAG_NAME, nic->link);
    str_append_n(out, routes.data, routes.length);
    wire_end(out, mark);
}

/* Which ones are joined already, their bridges tell. What goes makes room first: a
 * route by it must not be in the way of the next one's. */
static int follow_inside(struct str *out, int fds[TAPS_MAX], bool gone[TAPS_MAX], struct error *err)
{
    int r = 0;

    for (int i = 0; r >= 0 && i < TAPS_MAX; i++) {
        struct nic nic = nic_of(i);

        gone[i] = if_nametoindex(nic.bridge) && !if_nametoindex(nic.link);
        if (gone[i])
            r = take_down(&nic, out, err);
    }
    for (int i = 0; r >= 0 && i < TAPS_MAX; i++) {
        struct nic nic = nic_of(i);

        if (if_nametoindex(nic.bridge))
            describe_routes(&nic, out);
        else
            r = open_one(&nic, out, &fds[i], err);
    }
    return r;
}

static int inside(const char *netns, struct str *out, int fds[TAPS_MAX], bool gone[TAPS_MAX], struct error *err)
{
    CLEANUP_CLOSE int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    CLEANUP_CLOSE int other = open(netns, O_RDONLY | O_CLOEXEC);
    char beyond[IFNAMSIZ];
    int r;

    if (own < 0 || other < 0 || setns(other, CLONE_NEWNET) < 0)
        return error_errno(err, errno, "cannot enter the container's network");
    snprintf(beyond, sizeof(beyond), "eth%d", TAPS_MAX);
    if (if_nametoindex(beyond))
        r = error_set(err, ENOTSUP, "a container with a kernel of its own can be on %d networks at most", TAPS_MAX);
    else
        r = follow_inside(out, fds, gone, err);
    if (setns(own, CLONE_NEWNET) < 0)
        r = error_errno(err, errno, "cannot leave the container's network");
    return r;
}

int tap_open(const char *netns, struct str *out, int fds[TAPS_MAX], struct error *err)
{
    bool none[TAPS_MAX];

    return inside(netns, out, fds, none, err);
}

int tap_follow(const char *netns, struct str *out, int fds[TAPS_MAX], bool gone[TAPS_MAX], struct error *err)
{
    return inside(netns, out, fds, gone, err);
}
