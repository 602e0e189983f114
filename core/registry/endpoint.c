/* endpoint.c - where a registry is, and how far it is trusted. Owner: registry.
 *
 * A name that merely resolves to this machine is not "this machine": whoever
 * answers for the name could change his mind between the check and the connection.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "curl/transfer.h"
#include "registry/session.h"
#include "tabique/error.h"

#define AUTHORITIES_MAX ((size_t)4 << 20)
#define SYSTEM_AUTHORITIES "/etc/ssl/certs/ca-certificates.crt"
#define HUB_DOMAIN "docker.io"
#define HUB_HOST "registry-1.docker.io"

struct network {
    uint8_t bytes[16];
    int family, bits;
};

/* "10.0.0.0/8"; a bare address is a network of one. */
static bool network_parse(const char *text, struct network *ret)
{
    CLEANUP_FREE char *address = mem_strndup(text, strcspn(text, "/"));
    const char *slash = strchr(text, '/');

    *ret = (struct network){.family = strchr(address, ':') ? AF_INET6 : AF_INET};
    if (inet_pton(ret->family, address, ret->bytes) != 1)
        return false;
    ret->bits = ret->family == AF_INET ? 32 : 128;
    return !slash || str_to_int(slash + 1, 0, ret->bits, &ret->bits) == 0;
}

static bool network_has(const struct network *network, const struct network *address)
{
    if (network->family != address->family)
        return false;
    for (int bit = 0; bit < network->bits; bit++)
        if ((network->bytes[bit / 8] ^ address->bytes[bit / 8]) >> (7 - bit % 8) & 1)
            return false;
    return true;
}

/* The host of "host:port", "[v6]:port". */
static char *bare_host(const char *host)
{
    if (*host == '[')
        return mem_strndup(host + 1, strcspn(host + 1, "]"));
    return mem_strndup(host, strcspn(host, ":"));
}

static bool is_this_machine(const char *host)
{
    static const char *const networks[] = {"127.0.0.0/8", "::1/128"};
    CLEANUP_FREE char *bare = bare_host(host);
    struct network address, network;

    if (str_equal_nocase(bare, "localhost"))
        return true;
    for (size_t i = 0; network_parse(bare, &address) && i < ARRAY_SIZE(networks); i++)
        if (network_parse(networks[i], &network) && network_has(&network, &address))
            return true;
    return false;
}

bool registry__host_insecure(const struct registry *registry, const char *host)
{
    CLEANUP_FREE char *bare = bare_host(host);
    struct network address, network;

    if (is_this_machine(host))
        return true;
    for (char **each = registry->insecure; each && *each; each++) {
        if (str_equal_nocase(*each, host) || str_equal_nocase(*each, bare))
            return true;
        if (network_parse(bare, &address) && network_parse(*each, &network) && network_has(&network, &address))
            return true;
    }
    return false;
}

/* --- options --------------------------------------------------------------------------- */

static int check_insecure(const char *text, struct error *err)
{
    struct network network;

    if (strchr(text, '/') ? !network_parse(text, &network) : (*text == '\0' || strpbrk(text, "@?#\\ ")))
        return error_set(err, EINVAL, "insecure-registry: \"%s\" is neither HOST[:PORT] nor a network", text);
    return 0;
}

static int check_mirror(const char *text, struct error *err)
{
    const char *host = strstr(text, "://") ? strstr(text, "://") + 3 : "";
    size_t n = strcspn(host, "/");

    if ((!str_starts(text, "https://") && !str_starts(text, "http://")) || n == 0 || strcspn(host, "@?#\\ ") < strlen(host) ||
        strspn(host + n, "/") != strlen(host + n) || strlen(host + n) > 1)
        return error_set(err, EINVAL, "registry-mirror: \"%s\" is not http(s)://HOST[:PORT]", text);
    return 0;
}

int registry_open(const struct registry_options *options, struct registry **ret, struct error *err)
{
    int r = 0;

    for (size_t i = 0; r == 0 && options->insecure && options->insecure[i]; i++)
        r = check_insecure(options->insecure[i], err);
    for (size_t i = 0; r == 0 && options->mirrors && options->mirrors[i]; i++)
        r = check_mirror(options->mirrors[i], err);
    if (r < 0)
        return r;
    struct registry *registry = mem_new(struct registry);
    registry->insecure = strv_dup((char *const *)options->insecure);
    for (size_t i = 0; options->mirrors && options->mirrors[i]; i++)
        strv_take(&registry->mirrors, mem_strndup(options->mirrors[i], strlen(options->mirrors[i]) -
                                                                           (str_ends(options->mirrors[i], "/") ? 1 : 0)));
    registry->certs_dir = mem_strdup(options->certs_dir);
    registry->options = (struct registry_options){
        .insecure = (const char *const *)registry->insecure,
        .mirrors = (const char *const *)registry->mirrors,
        .certs_dir = registry->certs_dir,
        .timeout_ns = options->timeout_ns > 0 ? options->timeout_ns : 30 * NS_PER_SEC,
    };
    *ret = registry;
    return 0;
}

void registry_close(struct registry *registry)
{
    if (!registry)
        return;
    strv_free(registry->insecure);
    strv_free(registry->mirrors);
    free(registry->certs_dir);
    free(registry);
}

const struct registry_options *registry_get_options(const struct registry *registry)
{
    return &registry->options;
}

/* --- trust --------------------------------------------------------------------------------- */

void registry__peer_clear(struct http_peer *peer)
{
    free(peer->origin);
    free(peer->authorities);
    free(peer->certificate);
    free(peer->key);
    free(peer->fault);
    *peer = (struct http_peer){0};
}

static void append_file(int dir, const char *path, struct str *out)
{
    CLEANUP_FREE char *text = NULL;
    size_t length = 0;

    int r = file_read(dir, path, AUTHORITIES_MAX, &text, &length);
    if (r < 0)
        log_warning("certificates: cannot read %s: %s", path, strerror(-r));
    else if (out->length + length <= AUTHORITIES_MAX)
        str_append_n(out, text, length), str_append_char(out, '\n');
}

/* One half of NAME.cert and NAME.key; alone it is somebody's mistake, and told in Docker's words. */
static void take_pair(const char *directory, const char *file, struct http_peer *peer)
{
    CLEANUP_FREE char *name = mem_strndup(file, (size_t)(strrchr(file, '.') - file));
    CLEANUP_FREE char *certificate = mem_printf("%s/%s.cert", directory, name);
    CLEANUP_FREE char *key = mem_printf("%s/%s.key", directory, name);

    if (access(certificate, R_OK) == 0 && access(key, R_OK) == 0) {
        if (!peer->certificate) {
            peer->certificate = TAKE_PTR(certificate);
            peer->key = TAKE_PTR(key);
        }
    } else if (!peer->fault) {
        peer->fault = str_ends(file, ".cert")
                          ? mem_printf("missing key %s.key for client certificate %s. CA certificates must use the extension .crt", name, file)
                          : mem_printf("missing client certificate %s.cert for key %s", name, file);
    }
}

/* Docker's convention: below HOST[:PORT] each .crt is an authority's; NAME.cert and NAME.key are ours. */
static void read_certificates(const struct registry *registry, const char *host, struct http_peer *peer)
{
    CLEANUP_FREE char *path = registry->certs_dir ? path_join(registry->certs_dir, host) : NULL;
    CLEANUP_STR struct str authorities = STR_INIT;
    DIR *dir = path && !strchr(host, '/') && host[0] != '.' ? opendir(path) : NULL;
    struct dirent *entry;

    while (dir && (entry = readdir(dir))) {
        if (str_ends(entry->d_name, ".crt")) {
            append_file(dirfd(dir), entry->d_name, &authorities);
        } else if (str_ends(entry->d_name, ".cert") || str_ends(entry->d_name, ".key")) {
            take_pair(path, entry->d_name, peer);
        }
    }
    if (dir)
        closedir(dir);
    if (authorities.length == 0)
        return;
    append_file(AT_FDCWD, SYSTEM_AUTHORITIES, &authorities); /* they add to the system's */
    peer->authorities = str_take(&authorities);
}

/* origin has its port; the directory is named as the image's name says the host. */
void registry__peer_for(const struct registry *registry, const char *origin, struct http_peer *ret)
{
    const char *host = strstr(origin, "://") + 3;
    CLEANUP_FREE char *bare = mem_strdup(host);

    if (str_ends(bare, str_starts(origin, "https:") ? ":443" : ":80"))
        *strrchr(bare, ':') = '\0';
    *ret = (struct http_peer){
        .origin = mem_strdup(origin),
        .insecure = registry__host_insecure(registry, host) || registry__host_insecure(registry, bare),
        .direct = is_this_machine(host),
    };
    if (str_starts(origin, "https:")) {
        read_certificates(registry, bare, ret);
        if (!ret->authorities && !ret->certificate && strcmp(bare, host) != 0)
            read_certificates(registry, host, ret);
    }
}

/* --- endpoints ------------------------------------------------------------------------------- */

void registry_endpoints_clear(struct endpoints *endpoints)
{
    for (size_t i = 0; i < endpoints->count; i++) {
        free(endpoints->list[i].base);
        registry__peer_clear(&endpoints->list[i].peer);
    }
    free(endpoints->list);
    *endpoints = (struct endpoints){0};
}

static int add_endpoint(const struct registry *registry, struct endpoints *endpoints, const char *url, bool mirror,
                        bool alternative, struct error *err)
{
    CLEANUP_FREE char *origin = transfer_origin(url);

    if (!origin)
        return error_set(err, EINVAL, "invalid registry address: %s", url);
    endpoints->list = mem_grow(endpoints->list, endpoints->count + 1, sizeof(*endpoints->list));
    struct endpoint *each = &endpoints->list[endpoints->count++];
    *each = (struct endpoint){.base = mem_strdup(url), .mirror = mirror, .alternative = alternative};
    registry__peer_for(registry, origin, &each->peer);
    if (mirror && str_starts(url, "http:")) /* whoever configured it so meant it */
        each->peer.insecure = true;
    return 0;
}

int registry_endpoints_find(const struct registry *registry, const char *domain, bool mirrors, struct endpoints *ret, struct error *err)
{
    CLEANUP_ENDPOINTS struct endpoints found = {0};
    bool hub = strcmp(domain, HUB_DOMAIN) == 0;
    int r = registry__http_available(err);

    for (char **mirror = registry->mirrors; r == 0 && hub && mirrors && mirror && *mirror; mirror++)
        r = add_endpoint(registry, &found, *mirror, true, false, err);
    CLEANUP_FREE char *https = mem_printf("https://%s", hub ? HUB_HOST : domain);
    CLEANUP_FREE char *http = mem_printf("http://%s", domain);
    if (r == 0)
        r = add_endpoint(registry, &found, https, false, false, err);
    if (r == 0 && !hub && registry__host_insecure(registry, domain))
        r = add_endpoint(registry, &found, http, false, true, err);
    if (r < 0)
        return r;
    *ret = found;
    found = (struct endpoints){0};
    return 0;
}
