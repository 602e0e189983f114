/* resolv.c - see resolv.h, and network_resolv_conf() of network.h. Source: resolv.conf(5). */
#include "network/resolv.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/str.h"
#include "network/address.h"
#include "tabique/network.h"

#define WORDS_MAX 64

static bool is_loopback(const char *server)
{
    struct address address;

    if (address_parse(server, &address) < 0)
        return false;
    if (address.family == AF_INET)
        return address.bytes[0] == 127;
    static const uint8_t one[16] = {[15] = 1};
    return memcmp(address.bytes, one, 16) == 0;
}

static void take_words(char *rest, char ***list)
{
    while (*(rest += strspn(rest, " \t\r"))) {
        size_t length = strcspn(rest, " \t\r");
        char saved = rest[length];
        rest[length] = '\0';
        if (strv_length(*list) < WORDS_MAX)
            strv_push(list, rest);
        rest[length] = saved;
        rest += length;
    }
}

int resolv_read(const char *path, struct resolv *ret)
{
    CLEANUP_FREE char *text = NULL;
    CLEANUP_STRV char **lines = NULL;
    struct resolv resolv = {0};
    int r = file_read(AT_FDCWD, path, 64 << 10, &text, NULL);

    if (r < 0)
        return r;
    lines = strv_split(text, '\n');
    for (char **line = lines; line && *line; line++) {
        char *at = *line + strspn(*line, " \t");
        size_t length = strcspn(at, " \t");
        char *rest = at + length + (at[length] != '\0');
        at[length] = '\0';
        if (strcmp(at, "nameserver") == 0) {
            struct address address;
            rest += strspn(rest, " \t");
            rest[strcspn(rest, " \t\r")] = '\0';
            /* "fe80::1%eth0" means nothing in another namespace. */
            if (address_parse(rest, &address) == 0 && strv_length(resolv.servers) < WORDS_MAX)
                strv_push(&resolv.servers, rest);
        } else if (strcmp(at, "search") == 0 || strcmp(at, "domain") == 0) {
            strv_freep(&resolv.search); /* the last one counts */
            take_words(rest, &resolv.search);
        } else if (strcmp(at, "options") == 0) {
            take_words(rest, &resolv.options);
        }
    }
    *ret = resolv;
    return 0;
}

void resolv_clear(struct resolv *resolv)
{
    strv_freep(&resolv->servers);
    strv_freep(&resolv->search);
    strv_freep(&resolv->options);
}

/* What a host without any resolver of its own still most likely reaches. */
static char *const last_resort[] = {(char *)"8.8.8.8", (char *)"8.8.4.4", NULL};

static void join_line(struct str *out, const char *word, char *const *list)
{
    CLEANUP_FREE char *joined = NULL;

    if (strv_length(list) == 0)
        return;
    joined = strv_join(list, " ");
    str_printf(out, "%s %s\n", word, joined);
}

char *network_resolv_conf(char *const *servers, char *const *search, char *const *options)
{
    CLEANUP_STR struct str out = STR_INIT;
    CLEANUP_STRV char **chosen = NULL;
    struct resolv host = {0}, behind = {0};
    bool no_search = strv_length(search) == 1 && strcmp(search[0], ".") == 0; /* --dns-search=. */

    resolv_read("/etc/resolv.conf", &host);
    if (servers && servers[0]) {
        chosen = strv_dup(servers);
    } else {
        for (char **s = host.servers; s && *s; s++)
            if (!is_loopback(*s))
                strv_push(&chosen, *s);
        /* A local stub cannot be reached from a container: what stands behind it can. */
        if (!chosen && resolv_read("/run/systemd/resolve/resolv.conf", &behind) == 0)
            for (char **s = behind.servers; s && *s; s++)
                if (!is_loopback(*s))
                    strv_push(&chosen, *s);
        if (!chosen)
            chosen = strv_dup(last_resort);
    }
    for (char **s = chosen; *s; s++)
        str_printf(&out, "nameserver %s\n", *s);
    if (!no_search)
        join_line(&out, "search", search && search[0] ? search : host.search);
    join_line(&out, "options", options && options[0] ? options : host.options);
    resolv_clear(&host);
    resolv_clear(&behind);
    return str_take(&out);
}
