/* machine.c - what makes a clone a machine of its own.
 *
 * Every machine is restored from one template, so all of them wake up with the
 * same random pool, the same clock and no name. Nothing runs before this has
 * been put right: entropy first, because everything else may draw on it. */
#include "agent/agent.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h> /* before the kernel's: they leave out what it defines */
#include <net/if_arp.h>
#include <net/route.h>
#include <linux/ipv6.h>
#include <linux/random.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "launch/plan_base.h"

#define MACHINE_ID "/etc/machine-id"
#define IMAGE_DISK "/dev/vda"
#define IMAGE_DIR "/layers/image"
#define SCRATCH_DISK "/dev/vdb"
#define SCRATCH_DIR "/scratch"
#define READ_AHEAD_MAX (4 << 20)
#define BLOCK 65536
#define DISK_TRIES 500
#define DISK_PAUSE_US 2000

/* The route structure of SIOCADDRT for IPv6 (linux/ipv6_route.h clashes with
 * net/route.h). */
struct route6 {
    struct in6_addr destination, source, gateway;
    uint32_t type;
    uint16_t destination_length, source_length;
    uint32_t metric;
    unsigned long info;
    uint32_t flags;
    int interface;
};

static int add_entropy(const uint8_t *data, size_t length, struct error *err)
{
    struct {
        int entropy_count;
        int buf_size;
        uint8_t buf[64];
    } pool = {.entropy_count = 8 * 64, .buf_size = 64};
    CLEANUP_CLOSE int fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);

    if (length != sizeof(pool.buf))
        return error_set(err, EINVAL, "the host must give %zu bytes of entropy", sizeof(pool.buf));
    memcpy(pool.buf, data, length);
    if (fd < 0 || ioctl(fd, RNDADDENTROPY, &pool) < 0 || ioctl(fd, RNDRESEEDCRNG, 0) < 0)
        return error_errno(err, errno, "cannot seed the random pool");
    return 0;
}

/* Once the pool counts as seeded the kernel patches its own code: before there is a template,
 * so that no clone does. What a clone draws comes of what the host gives it, first of all. */
static int seed(struct error *err)
{
    uint8_t own[64];

    if (getrandom(own, sizeof(own), GRND_INSECURE) != (ssize_t)sizeof(own))
        return error_errno(err, errno, "cannot draw random bytes");
    return add_entropy(own, sizeof(own), err);
}

/* --- interfaces ------------------------------------------------------------------ */

#define ADDRESSES_MAX 256 /* IPv4; those after the first are aliases "eth0:1" ... */

struct interface {
    char *name;
    uint8_t mac[6];
    bool has_mac;
    uint64_t mtu;
    char **addresses;
    char **gateways;
};

static void interface_clear(struct interface *interface)
{
    free(interface->name);
    strv_free(interface->addresses);
    strv_free(interface->gateways);
}

static int interface_request(int fd, unsigned long request, struct ifreq *ifr, const char *what,
                             struct error *err)
{
    if (ioctl(fd, request, ifr) < 0)
        return error_errno(err, errno, "%s: cannot set %s", ifr->ifr_name, what);
    return 0;
}

static int add_address4(int fd, const char *name, struct in_addr address, int prefix, struct error *err)
{
    struct ifreq ifr = {0};
    struct sockaddr_in *in = (struct sockaddr_in *)&ifr.ifr_addr;
    int r;

    snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
    in->sin_family = AF_INET;
    in->sin_addr = address;
    r = interface_request(fd, SIOCSIFADDR, &ifr, "its address", err);
    if (r < 0)
        return r;
    in->sin_addr.s_addr = prefix ? htonl(~0u << (32 - prefix)) : 0;
    return interface_request(fd, SIOCSIFNETMASK, &ifr, "its netmask", err);
}

/* place: how many IPv4 addresses came before. */
static int add_address(const char *name, const char *text, int *place, struct error *err)
{
    char alias[IFNAMSIZ];
    char address[INET6_ADDRSTRLEN];
    const char *slash = strchr(text, '/');
    struct in6_addr six;
    struct in_addr four;
    int prefix;

    if (!slash || (size_t)(slash - text) >= sizeof(address) || str_to_int(slash + 1, 0, 128, &prefix) < 0)
        return error_set(err, EINVAL, "%s: not an address with its prefix: %s", name, text);
    memcpy(address, text, (size_t)(slash - text));
    address[slash - text] = '\0';
    if (inet_pton(AF_INET, address, &four) == 1 && prefix <= 32) {
        CLEANUP_CLOSE int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (*place >= ADDRESSES_MAX ||
            snprintf(alias, sizeof(alias), *place ? "%s:%d" : "%s", name, *place) >= (int)sizeof(alias))
            return error_set(err, EINVAL, "%s: too many addresses", name);
        ++*place;
        return add_address4(fd, alias, four, prefix, err);
    }
    if (inet_pton(AF_INET6, address, &six) == 1) {
        CLEANUP_CLOSE int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        struct in6_ifreq request = {.ifr6_addr = six, .ifr6_prefixlen = (uint32_t)prefix,
                                    .ifr6_ifindex = (int)if_nametoindex(name)};
        if (ioctl(fd, SIOCSIFADDR, &request) < 0 && errno != EEXIST)
            return error_errno(err, errno, "%s: cannot set address %s", name, text);
        return 0;
    }
    return error_set(err, EINVAL, "%s: not an address: %s", name, text);
}

static int add_gateway(const char *name, const char *text, struct error *err)
{
    struct in_addr four;
    struct in6_addr six;

    if (inet_pton(AF_INET, text, &four) == 1) {
        CLEANUP_CLOSE int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};
        struct sockaddr_in gateway = {.sin_family = AF_INET, .sin_addr = four};
        struct sockaddr_in any = {.sin_family = AF_INET};
        memcpy(&route.rt_gateway, &gateway, sizeof(gateway));
        memcpy(&route.rt_dst, &any, sizeof(any));
        memcpy(&route.rt_genmask, &any, sizeof(any));
        if (ioctl(fd, SIOCADDRT, &route) < 0 && errno != EEXIST)
            return error_errno(err, errno, "%s: cannot set the route by %s", name, text);
        return 0;
    }
    if (inet_pton(AF_INET6, text, &six) == 1) {
        CLEANUP_CLOSE int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        struct route6 route = {.gateway = six, .metric = 1, .flags = RTF_UP | RTF_GATEWAY,
                               .interface = (int)if_nametoindex(name)};
        if (ioctl(fd, SIOCADDRT, &route) < 0 && errno != EEXIST)
            return error_errno(err, errno, "%s: cannot set the route by %s", name, text);
        return 0;
    }
    return error_set(err, EINVAL, "%s: not a gateway: %s", name, text);
}

static int interface_up(const char *name, struct error *err)
{
    CLEANUP_CLOSE int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq ifr = {0};
    int r;

    snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
    r = interface_request(fd, SIOCGIFFLAGS, &ifr, "its flags", err);
    if (r < 0)
        return r;
    ifr.ifr_flags = (short)(ifr.ifr_flags | IFF_UP);
    return interface_request(fd, SIOCSIFFLAGS, &ifr, "it up", err);
}

static void interface_option(const char *name, const char *option, const char *value)
{
    CLEANUP_FREE char *path = mem_printf("/proc/sys/net/ipv6/conf/%s/%s", name, option);

    (void)file_write_text(AT_FDCWD, path, value);
}

/* As the container's own namespace has it: off (as it is before) where no address was given. */
static void interface_ipv6(const struct interface *interface)
{
    for (char **address = interface->addresses; address && *address; address++) {
        if (!strchr(*address, ':'))
            continue;
        interface_option(interface->name, "disable_ipv6", "0");
        return;
    }
}

static int interface_apply(const struct interface *interface, struct error *err)
{
    CLEANUP_CLOSE int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq ifr = {0};
    int r = 0, place = 0;

    if (!interface->name || strlen(interface->name) >= IFNAMSIZ)
        return error_set(err, EINVAL, "an interface needs a name of at most %d characters", IFNAMSIZ - 1);
    snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", interface->name);
    if (interface->has_mac) {
        ifr.ifr_hwaddr.sa_family = ARPHRD_ETHER;
        memcpy(ifr.ifr_hwaddr.sa_data, interface->mac, sizeof(interface->mac));
        interface_ipv6(interface);
        r = interface_request(fd, SIOCSIFHWADDR, &ifr, "its MAC address", err);
    }
    if (r >= 0 && interface->mtu) {
        ifr.ifr_mtu = (int)interface->mtu;
        r = interface_request(fd, SIOCSIFMTU, &ifr, "its MTU", err);
    }
    if (r >= 0)
        r = interface_up(interface->name, err);
    for (char **address = interface->addresses; r >= 0 && address && *address; address++)
        r = add_address(interface->name, *address, &place, err);
    for (char **gateway = interface->gateways; r >= 0 && gateway && *gateway; gateway++)
        r = add_gateway(interface->name, *gateway, err);
    return r;
}

/* Down, it loses its routes; the next machine_configure() sets its address anew. */
static void interface_reset(const char *name)
{
    CLEANUP_CLOSE int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq ifr = {0};

    for (int place = 1, gone = 0; place < ADDRESSES_MAX && !gone; place++) {
        snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%.9s:%d", name, place);
        gone = ioctl(fd, SIOCGIFADDR, &ifr) < 0;
        ifr.ifr_addr = (struct sockaddr){.sa_family = AF_INET};
        if (!gone)
            (void)ioctl(fd, SIOCSIFADDR, &ifr);
    }
    ifr = (struct ifreq){.ifr_addr = {.sa_family = AF_INET}};
    snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
    (void)ioctl(fd, SIOCSIFADDR, &ifr);
    if (ioctl(fd, SIOCGIFFLAGS, &ifr) == 0 && ifr.ifr_flags & IFF_UP) {
        ifr.ifr_flags = (short)(ifr.ifr_flags & ~IFF_UP);
        (void)ioctl(fd, SIOCSIFFLAGS, &ifr);
        interface_option(name, "disable_ipv6", "1");
    }
}

static int interface_configure(struct wire_reader *reader, struct error *err)
{
    struct interface interface = {0};
    struct wire_field field;
    int r;

    while (wire_next(reader, &field)) {
        switch (field.tag) {
        case RPC_TAG_NAME:
            free(interface.name);
            interface.name = wire_string(reader, &field);
            break;
        case RPC_TAG_MAC:
            interface.has_mac = field.length == sizeof(interface.mac);
            if (interface.has_mac)
                memcpy(interface.mac, field.data, sizeof(interface.mac));
            break;
        case RPC_TAG_MTU:
            interface.mtu = wire_u64(reader, &field);
            break;
        case RPC_TAG_ADDRESS:
            strv_take(&interface.addresses, wire_string(reader, &field));
            break;
        case RPC_TAG_GATEWAY:
            strv_take(&interface.gateways, wire_string(reader, &field));
            break;
        default:
            break;
        }
    }
    if (!wire_ok(reader))
        r = error_set(err, EBADMSG, "malformed interface");
    else if (interface.name && !interface.has_mac && !interface.addresses && !interface.gateways)
        r = 0, interface_reset(interface.name);
    else
        r = interface_apply(&interface, err);
    interface_clear(&interface);
    return r;
}

/* --- before the template is saved ------------------------------------------------------- */

bool machine_is_usual(const struct plan_pair *sysctl)
{
    for (size_t i = 0; i < plan_base_sysctl_count; i++)
        if (str_equal(plan_base_sysctls[i].name, sysctl->name))
            return str_equal(plan_base_sysctls[i].value, sysctl->value);
    return false;
}

int machine_set_sysctl(const char *name, const char *value)
{
    CLEANUP_FREE char *path = mem_printf("/proc/sys/%s", name);

    for (char *at = path; *at; at++)
        *at = *at == '.' ? '/' : *at;
    return file_write_text(AT_FDCWD, path, value);
}

/* IPv6 is off until an address is given, which is ours at once then (it was looked for on
 * the host's side). */
int machine_settle(struct error *err)
{
    struct if_nameindex *interfaces = if_nameindex();
    int r = seed(err);

    if (r >= 0)
        r = interface_up("lo", err);

    for (const struct if_nameindex *at = interfaces; at && at->if_index; at++) {
        if (strcmp(at->if_name, "lo") == 0)
            continue;
        interface_option(at->if_name, "accept_ra", "0");
        interface_option(at->if_name, "accept_dad", "0");
        interface_option(at->if_name, "disable_ipv6", "1");
    }
    if_freenameindex(interfaces);
    for (size_t i = 0; r >= 0 && i < plan_base_sysctl_count; i++)
        if ((r = machine_set_sysctl(plan_base_sysctls[i].name, plan_base_sysctls[i].value)) < 0)
            r = error_errno(err, -r, "cannot set %s", plan_base_sysctls[i].name);
    mkdir("/etc", 0755);
    if (r >= 0 && (r = file_write_atomic(AT_FDCWD, MACHINE_ID, "\n", 1, 0444)) < 0)
        r = error_errno(err, -r, "cannot make %s", MACHINE_ID);
    return r;
}

/* --- the whole ------------------------------------------------------------------------ */

static int set_clock(int64_t ns, struct error *err)
{
    struct timespec now = {.tv_sec = ns / NS_PER_SEC, .tv_nsec = ns % NS_PER_SEC};

    if (ns <= 0 || clock_settime(CLOCK_REALTIME, &now) < 0)
        return error_errno(err, ns <= 0 ? EINVAL : errno, "cannot set the clock");
    return 0;
}

int machine_change(const struct rpc_frame *frame, struct error *err)
{
    struct wire_reader reader, nested;
    struct wire_field field;
    int r = 0;

    wire_read(&reader, frame->body, frame->length);
    while (r >= 0 && wire_next(&reader, &field)) {
        if (field.tag != RPC_TAG_INTERFACE)
            continue;
        wire_nested(&field, &nested);
        r = interface_configure(&nested, err);
    }
    return r;
}

int machine_configure(const struct rpc_frame *frame, struct error *err)
{
    struct wire_reader reader, nested;
    struct wire_field field;
    int r = 0;

    wire_read(&reader, frame->body, frame->length);
    while (r >= 0 && wire_next(&reader, &field)) {
        CLEANUP_FREE char *text = NULL;
        switch (field.tag) {
        case RPC_TAG_ENTROPY:
            r = add_entropy(field.data, field.length, err);
            break;
        case RPC_TAG_TIME:
            r = set_clock(wire_i64(&reader, &field), err);
            break;
        case RPC_TAG_HOSTNAME:
            text = wire_string(&reader, &field);
            if (text && sethostname(text, strlen(text)) < 0)
                r = error_errno(err, errno, "cannot set the host name");
            break;
        case RPC_TAG_MACHINE_ID:
            text = wire_string(&reader, &field);
            if (text)
                r = file_write_text(AT_FDCWD, MACHINE_ID, text);
            if (r < 0)
                r = error_errno(err, -r, "cannot write the machine id");
            break;
        case RPC_TAG_INTERFACE:
            wire_nested(&field, &nested);
            r = interface_configure(&nested, err);
            break;
        default:
            break;
        }
    }
    if (r >= 0 && !wire_ok(&reader))
        r = error_set(err, EBADMSG, "malformed machine description");
    return r < 0 ? r : 0;
}

int machine_mount_disks(struct error *err)
{
    mkdir("/layers", 0755);
    mkdir(IMAGE_DIR, 0755);
    mkdir(SCRATCH_DIR, 0700);
    if (mount(IMAGE_DISK, IMAGE_DIR, "erofs", MS_RDONLY | MS_NODEV, NULL) < 0)
        return error_errno(err, errno, "cannot mount the image's disk");
    if (mount(SCRATCH_DISK, SCRATCH_DIR, "ext4", MS_NODEV | MS_NOATIME, "noinit_itable") < 0)
        return error_errno(err, errno, "cannot mount the container's disk");
    mkdir(SCRATCH_DIR "/upper", 0755);
    mkdir(SCRATCH_DIR "/work", 0700);
    return 0;
}

static void read_file_ahead(int root, const char *path)
{
    CLEANUP_CLOSE int fd = path_open_in(root, path, O_RDONLY | O_NONBLOCK, 0);
    CLEANUP_FREE char *block = mem_alloc(BLOCK);
    struct stat st;

    /* readahead(2) stops at what the disk's queue holds. */
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        for (off_t at = 0; at < READ_AHEAD_MAX && pread(fd, block, BLOCK, at) > 0; at += BLOCK)
            ;
}

/* What a start will look for in the image: names along the way and contents come into
 * the caches, by the same file system that the container has below its own. */
void machine_read_ahead(const char *program)
{
    static const char *const dirs[] = {"usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin"};
    CLEANUP_CLOSE int root = open(IMAGE_DIR, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (root < 0)
        return;
    read_file_ahead(root, "etc/passwd");
    read_file_ahead(root, "etc/group");
    if (strchr(program, '/'))
        read_file_ahead(root, program);
    for (size_t i = 0; !strchr(program, '/') && i < ARRAY_SIZE(dirs); i++) {
        CLEANUP_FREE char *path = path_join(dirs[i], program);
        read_file_ahead(root, path);
    }
}

/* An overlay that is just being taken down still holds its layers: a disk is free
 * only when it can be opened alone. Mounted again before that, the kernel would
 * give the old disk's contents for the new one's. Closed by its last user, it also
 * loses what was cached of it. */
static int await_free(const char *disk, struct error *err)
{
    for (int tries = 0; tries < DISK_TRIES; tries++) {
        CLEANUP_CLOSE int fd = open(disk, O_RDONLY | O_EXCL | O_CLOEXEC);

        if (fd >= 0)
            return 0;
        if (errno != EBUSY)
            return error_errno(err, errno, "%s", disk);
        usleep(DISK_PAUSE_US);
    }
    return error_set(err, EBUSY, "%s is still in use", disk);
}

int machine_reset(struct error *err)
{
    struct if_nameindex *interfaces = if_nameindex();
    int r;

    for (const struct if_nameindex *at = interfaces; at && at->if_index; at++)
        if (strcmp(at->if_name, "lo") != 0)
            interface_reset(at->if_name);
    if_freenameindex(interfaces);
    if ((umount2(SCRATCH_DIR, 0) < 0 && errno != EINVAL) || (umount2(IMAGE_DIR, 0) < 0 && errno != EINVAL))
        return error_errno(err, errno, "cannot let go of the disks");
    r = await_free(SCRATCH_DISK, err);
    return r < 0 ? r : await_free(IMAGE_DISK, err);
}
