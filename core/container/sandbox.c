/* sandbox.c - a container's network sandbox and the files below /etc that speak
 * of it. Owner: container. The networks themselves are core/network's. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "container/internal.h"
#include "container/validate.h"

#define HOST_FILE_MAX ((size_t)1 << 20)
#define PORTS_MAX 65536

/* --- /etc ------------------------------------------------------------------------------ */

/* In place: running containers have the very file mounted. */
static int write_in_place(const char *dir, const char *name, const char *text, struct error *err)
{
    CLEANUP_FREE char *path = path_join(dir, name);
    CLEANUP_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
    size_t length = strlen(text);
    int r = fd < 0 ? -errno : 0;

    /* Shortened last: a reader in between sees old text behind new, not nothing. */
    if (r == 0)
        r = fd_write_all(fd, text, length);
    if (r == 0 && ftruncate(fd, (off_t)length) < 0)
        r = -errno;
    if (r == 0 && fchmod(fd, 0644) < 0)
        r = -errno;
    return r < 0 ? error_set(err, EIO, "cannot write %s: %s", path, strerror(-r)) : 0;
}

static void add_extra_hosts(struct container *container, const struct spec *spec, struct str *text)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, json_get(spec->host_config, "ExtraHosts")) {
        const char *colon = strchr(item->valuestring, ':');
        const char *address = colon ? colon + 1 : "";

        if (!colon)
            continue;
        if (strcmp(address, "host-gateway") == 0)
            address = container->endpoint_count && container->endpoints[0].gateway ? container->endpoints[0].gateway : NULL;
        if (address)
            str_printf(text, "%s\t%.*s\n", address, (int)(colon - item->valuestring), item->valuestring);
    }
}

static int write_hosts(struct container *container, const struct spec *spec, struct error *err)
{
    CLEANUP_STR struct str text = STR_INIT;
    const char *hostname = json_string(spec->config, "Hostname", "");
    const char *domain = json_string(spec->config, "Domainname", "");

    str_append(&text, "127.0.0.1\tlocalhost\n"
                      "::1\tlocalhost ip6-localhost ip6-loopback\n"
                      "fe00::\tip6-localnet\nff00::\tip6-mcastprefix\n"
                      "ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n");
    links_add_hosts(container, spec, &text);
    pthread_mutex_lock(&container->lock);
    add_extra_hosts(container, spec, &text);
    for (size_t i = 0; i < container->endpoint_count; i++) {
        const struct network_endpoint *endpoint = &container->endpoints[i];
        const char *addresses[] = {endpoint->ipv4, endpoint->ipv6};

        for (size_t a = 0; a < ARRAY_SIZE(addresses); a++) {
            if (!addresses[a])
                continue;
            if (*domain)
                str_printf(&text, "%s\t%s.%s %s\n", addresses[a], hostname, domain, hostname);
            else
                str_printf(&text, "%s\t%s\n", addresses[a], hostname);
        }
    }
    pthread_mutex_unlock(&container->lock);
    return write_in_place(container->dir, "hosts", text.data, err);
}

static int copy_host_file(struct container *container, const struct spec *spec, const char *name, struct error *err)
{
    CLEANUP_FREE char *path = path_join("/etc", name);
    CLEANUP_FREE char *text = NULL;
    CLEANUP_STR struct str all = STR_INIT;
    size_t length;

    if (file_read(AT_FDCWD, path, HOST_FILE_MAX, &text, &length) == 0)
        str_append(&all, text);
    if (strcmp(name, "hosts") == 0) {
        links_add_hosts(container, spec, &all);
        add_extra_hosts(container, spec, &all);
    }
    return write_in_place(container->dir, name, all.data ? all.data : "", err);
}

/* --dns, else the engine's own; none: the host's. */
static char **name_servers(const struct container *container, const struct spec *spec)
{
    char **own = json_strv(spec->host_config, "Dns");

    return strv_length(own) > 0 || !container->engine->options.dns
               ? own
               : strv_dup((char *const *)(const void *)container->engine->options.dns);
}

static int write_resolv(struct container *container, const struct spec *spec, bool host, struct error *err)
{
    CLEANUP_STRV char **servers = name_servers(container, spec);
    CLEANUP_STRV char **search = json_strv(spec->host_config, "DnsSearch");
    CLEANUP_STRV char **options = json_strv(spec->host_config, "DnsOptions");
    bool plain = strv_length(servers) + strv_length(search) + strv_length(options) == 0;

    if (host && plain)
        return copy_host_file(container, spec, "resolv.conf", err);
    if (!host && network_has_dns(container->engine->networks, container->id)) {
        char own[] = "127.0.0.11", dots[] = "ndots:0", *const ours[] = {own, NULL};
        bool has_dots = false;

        for (char **option = options; option && *option; option++)
            has_dots = has_dots || str_starts(*option, "ndots:");
        if (!has_dots)
            strv_push(&options, dots);
        CLEANUP_FREE char *text = network_resolv_conf(ours, search, options);
        return write_in_place(container->dir, "resolv.conf", text, err);
    }
    CLEANUP_FREE char *text = network_resolv_conf(servers, search, options);
    return write_in_place(container->dir, "resolv.conf", text, err);
}

static int write_etc(struct container *container, const struct spec *spec, bool host, struct error *err)
{
    CLEANUP_FREE char *hostname = mem_printf("%s\n", json_string(spec->config, "Hostname", ""));

    int r = write_in_place(container->dir, "hostname", hostname, err);
    if (r == 0)
        r = host ? copy_host_file(container, spec, "hosts", err) : write_hosts(container, spec, err);
    return r < 0 ? r : write_resolv(container, spec, host, err);
}

/* After connect and disconnect: the addresses, and whether there is a name server. */
void sandbox_refresh(struct container *container, const struct spec *spec)
{
    write_hosts(container, spec, NULL);
    write_resolv(container, spec, false, NULL);
}

char *sandbox_etc_dir(struct container *container, const struct spec *spec)
{
    const char *mode = json_string(spec->host_config, "NetworkMode", "");
    struct container *other = NULL;

    if (!str_starts(mode, "container:") || container_get(container->engine, mode + 10, &other, NULL) < 0)
        return mem_strdup(container->dir);
    char *dir = mem_strdup(other->dir);
    container_put(other);
    return dir;
}

/* --- joining another container's ------------------------------------------------------------ */

static int join_container(struct container *container, const char *ref, char **ret_path, struct error *err)
{
    struct container *other = NULL;

    int r = container_get(container->engine, ref, &other, err);
    if (r < 0)
        return error_prefix(err, "joining network namespace of container");
    if (other == container) {
        container_put(other);
        return error_set(err, EIO, "cannot join own network namespace");
    }
    CLEANUP_FREE char *name = container__name(other);
    pthread_mutex_lock(&other->lock);
    enum container_state state = other->run.state;
    char *path = mem_strdup(other->sandbox_path);
    pthread_mutex_unlock(&other->lock);
    if (state == CONTAINER_RESTARTING)
        r = error_set(err, EBUSY, "cannot join network namespace of container: Container %s is restarting, wait "
                                  "until the container is running", ref);
    else if (!state_is_active(state))
        r = error_set(err, EBUSY, "cannot join network namespace of a non running container: container %s is %s",
                      name, container_state_name(state));
    if (r == 0)
        *ret_path = TAKE_PTR(path); /* NULL: that one uses the host's */
    free(path);
    container_put(other);
    return r;
}

/* With a network it takes on the host name, too: both read the same /etc. */
void sandbox_adopt_name(struct container *container)
{
    CLEANUP_SPEC struct spec *spec = container__spec(container);
    const char *mode = json_string(spec->host_config, "NetworkMode", "");
    struct container *other = NULL;

    if (!str_starts(mode, "container:") || container_get(container->engine, mode + strlen("container:"), &other, NULL) < 0)
        return; /* joining it says so */
    CLEANUP_SPEC struct spec *theirs = container__spec(other);
    static const char *const keys[] = {"Hostname", "Domainname"};
    bool same = true;

    container_put(other);
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        same = same && str_equal(json_string(spec->config, keys[i], ""), json_string(theirs->config, keys[i], ""));
    if (same)
        return;
    cJSON *config = cJSON_Duplicate(spec->config, true);
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        cJSON_DeleteItemFromObjectCaseSensitive(config, keys[i]);
        json_add_string(config, keys[i], json_string(theirs->config, keys[i], ""));
    }
    (void)container__replace_spec(
        container, spec_new(spec->wall, config, cJSON_Duplicate(spec->host_config, true), cJSON_Duplicate(spec->networks, true)), NULL);
}

/* --- ports ----------------------------------------------------------------------------------- */

struct ports {
    struct network_port *items;
    size_t count;
};

static void add_port(struct ports *ports, const char *key, const char *host_ip, uint16_t first, uint16_t last)
{
    uint16_t low, high;
    char protocol[5];

    if (port_parse(key, &low, &high, protocol) < 0)
        return;
    for (unsigned port = low; port <= high && port > 0 && ports->count < PORTS_MAX; port++) {
        struct network_port entry = {.container_port = (uint16_t)port, .host_ip = mem_strdup(host_ip)};
        /* As many host ports as container ports: one to one. Else any of the range. */
        bool paired = high > low && last - first == high - low && first;

        memcpy(entry.protocol, protocol, sizeof(entry.protocol));
        entry.host_port = paired ? (uint16_t)(first + (port - low)) : first;
        entry.host_port_end = paired ? entry.host_port : last;
        ports->items = mem_grow(ports->items, ports->count + 1, sizeof(entry));
        ports->items[ports->count++] = entry;
    }
}

static void collect_ports(const struct spec *spec, struct ports *ports)
{
    const cJSON *bindings = json_get(spec->host_config, "PortBindings"), *item, *binding;

    cJSON_ArrayForEach(item, bindings) {
        cJSON_ArrayForEach(binding, item) {
            uint16_t first, last;
            const char *host_ip = json_string(binding, "HostIp", "");

            if (port_range_parse(json_string(binding, "HostPort", ""), &first, &last) == 0)
                add_port(ports, item->string, host_ip, first, last);
        }
    }
    if (!json_bool(spec->host_config, "PublishAllPorts", false))
        return;
    cJSON_ArrayForEach(item, json_get(spec->config, "ExposedPorts"))
        if (cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(bindings, item->string)) == 0)
            add_port(ports, item->string, "", 0, 0);
}

/* An entry for each address of the host that a port was bound on. */
static void show_bound(struct ports *ports)
{
    struct ports all = {0};

    for (size_t i = 0; i < ports->count; i++) {
        struct network_port *port = &ports->items[i];
        free(TAKE_PTR(port->host_ip));
        for (size_t h = 0; h < ARRAY_SIZE(port->bound) && port->bound[h][0]; h++) {
            all.items = mem_grow(all.items, all.count + 1, sizeof(*all.items));
            all.items[all.count] = *port;
            all.items[all.count++].host_ip = mem_strdup(port->bound[h]);
        }
    }
    free(ports->items);
    *ports = all;
}

static int publish_ports(struct container *container, const struct spec *spec, struct error *err)
{
    struct ports ports = {0};

    collect_ports(spec, &ports);
    int r = ports.count == 0 ? 0
                             : network_publish(container->engine->networks, container->id, ports.items,
                                               ports.count, err);
    if (r < 0) {
        for (size_t i = 0; i < ports.count; i++)
            free(ports.items[i].host_ip);
        free(ports.items);
        return r;
    }
    show_bound(&ports);
    pthread_mutex_lock(&container->lock);
    container->ports = ports.items;
    container->port_count = ports.count;
    pthread_mutex_unlock(&container->lock);
    return 0;
}

/* --- a sandbox of its own ------------------------------------------------------------------------ */

void sandbox_wanted(struct container *container, const cJSON *settings, struct network_endpoint *ret)
{
    const cJSON *ipam = json_get(settings, "IPAMConfig");
    const char *ipv4 = json_string(ipam, "IPv4Address", ""), *ipv6 = json_string(ipam, "IPv6Address", "");

    *ret = (struct network_endpoint){
        .container_name = container__name(container),
        .ipv4 = *ipv4 ? mem_strdup(ipv4) : NULL,
        .ipv6 = *ipv6 ? mem_strdup(ipv6) : NULL,
        .aliases = json_strv(settings, "Aliases"),
        .links = json_strv(settings, "Links"),
        .link_local = json_strv(ipam, "LinkLocalIPs"),
    };
    snprintf(ret->container_id, sizeof(ret->container_id), "%s", container->id);
    snprintf(ret->mac, sizeof(ret->mac), "%s", json_string(settings, "MacAddress", ""));
}

/* A guest's interfaces are eth0, eth1 ... (isolation/hyperv/tap.c); another name would be none. */
int sandbox_check_network(const struct spec *spec, const struct network *network, struct error *err)
{
    if (!(spec->wall->capabilities & ISOLATION_OWN_KERNEL))
        return 0;
    for (size_t i = 0; i < network->option_count; i++) {
        const struct network_pair *option = &network->options[i];
        bool prefix = str_equal(option->name, "com.docker.network.container_iface_prefix") ||
                      str_equal(option->name, "com.docker.network.container_interface_prefix");
        if (prefix && !str_equal(option->value, "eth"))
            return error_set(err, EINVAL, "%s isolation does not support network %s: its option %s names interfaces "
                             "other than eth0", spec->wall->name, network->name, option->name);
    }
    return 0;
}

static int attach_network(struct container *container, const struct spec *spec, const char *name, const cJSON *settings,
                          struct error *err)
{
    struct network_endpoint wanted, endpoint = {0};
    struct network *network = NULL;

    int r = network_get(container->engine->networks, name, &network, err);
    if (r == 0)
        r = sandbox_check_network(spec, network, err);
    network_free(network);
    if (r < 0)
        return r;
    sandbox_wanted(container, settings, &wanted);
    r = network_attach(container->engine->networks, container->id, name, &wanted, &endpoint, err);
    network_endpoint_clear(&wanted);
    if (r < 0)
        return r;
    pthread_mutex_lock(&container->lock);
    container->endpoints = mem_grow(container->endpoints, container->endpoint_count + 1, sizeof(endpoint));
    container->endpoints[container->endpoint_count++] = endpoint;
    pthread_mutex_unlock(&container->lock);
    return 0;
}

/* The network of the default route first: highest GwPriority, then NetworkMode's. */
static const cJSON *next_network(const cJSON *networks, const char *mode, const cJSON **done, size_t count)
{
    const cJSON *best = NULL, *item;

    cJSON_ArrayForEach(item, networks) {
        bool taken = cJSON_IsNull(item);
        for (size_t i = 0; i < count; i++)
            taken = taken || done[i] == item;
        if (taken)
            continue;
        int64_t mine = json_int(item, "GwPriority", 0), theirs = best ? json_int(best, "GwPriority", 0) : 0;
        if (!best || mine > theirs || (mine == theirs && strcmp(item->string, mode) == 0))
            best = item;
    }
    return best;
}

static int attach_all(struct container *container, const struct spec *spec, const char *mode, struct error *err)
{
    size_t total = (size_t)cJSON_GetArraySize(spec->networks);
    CLEANUP_FREE const cJSON **done = mem_array(total + 1, sizeof(*done));
    int r = 0;

    if (!cJSON_GetObjectItemCaseSensitive(spec->networks, mode))
        r = attach_network(container, spec, mode, NULL, err);
    for (size_t i = 0; i < total && r == 0; i++) {
        done[i] = next_network(spec->networks, mode, done, i);
        if (!done[i])
            break;
        r = attach_network(container, spec, done[i]->string, done[i], err);
    }
    return r;
}

int sandbox_open(struct container *container, const struct spec *spec, char **ret_path, struct error *err)
{
    const char *mode = json_string(spec->host_config, "NetworkMode", "bridge");
    CLEANUP_FREE char *path = NULL;
    int r;

    r = links_check_running(container, spec, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&container->lock);
    endpoints_clear(container);
    pthread_mutex_unlock(&container->lock);
    if (str_starts(mode, "container:"))
        return join_container(container, mode + strlen("container:"), ret_path, err);
    if (strcmp(mode, "host") == 0) {
        *ret_path = NULL;
        return write_etc(container, spec, true, err);
    }
    r = network_sandbox_create(container->engine->networks, container->id, &path, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&container->lock);
    container->sandbox_path = mem_strdup(path);
    pthread_mutex_unlock(&container->lock);
    if (strcmp(mode, "none") != 0 && !json_bool(spec->config, "NetworkDisabled", false)) {
        CLEANUP_STRV char **servers = name_servers(container, spec);

        if (strv_length(servers) > 0)
            r = network_set_nameservers(container->engine->networks, container->id, servers, err);
        if (r == 0)
            r = attach_all(container, spec, mode, err);
        if (r == 0)
            r = publish_ports(container, spec, err);
        if (r < 0) {
            /* Docker's words, which its clients look for. */
            error_prefix(err, "failed to set up container networking");
            return r;
        }
    }
    r = write_etc(container, spec, false, err);
    if (r < 0)
        return r;
    *ret_path = TAKE_PTR(path);
    return 0;
}

void sandbox_close(struct container *container, bool publish)
{
    struct network_endpoint *endpoints;
    size_t count;

    pthread_mutex_lock(&container->lock);
    bool own = container->sandbox_path != NULL;
    endpoints = TAKE_PTR(container->endpoints);
    count = container->endpoint_count;
    container->endpoint_count = 0;
    endpoints_clear(container);
    pthread_mutex_unlock(&container->lock);
    if (own)
        network_sandbox_remove(container->engine->networks, container->id);
    for (size_t i = 0; i < count; i++) {
        if (publish)
            publish_network(container, &endpoints[i], "disconnect");
        network_endpoint_clear(&endpoints[i]);
    }
    free(endpoints);
}
