/* address.c - see address.h. */
#include "address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "tabique/error.h"

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

static bool is_address(int family, const char *text)
{
    struct in6_addr address;
    return inet_pton(family, text, &address) == 1;
}

/* As between brackets: "fe80::1%eth0", too. */
static bool is_scoped_address(const char *text)
{
    char bare[INET6_ADDRSTRLEN];
    size_t length = strcspn(text, "%");
    if (length >= sizeof(bare))
        return false;
    memcpy(bare, text, length);
    bare[length] = '\0';
    return is_address(AF_INET6, bare);
}

bool host_name_valid(const char *host)
{
    size_t length = strlen(host);
    if (length == 0 || length > 253)
        return false;
    if (strchr(host, ':') != NULL)
        return is_address(AF_INET6, host);
    if (strspn(host, DIGITS ".") == length)
        return is_address(AF_INET, host);
    return strspn(host, LETTERS DIGITS "-_.") == length && host[0] != '.' && host[0] != '-' &&
           strstr(host, "..") == NULL;
}

int listen_address_parse(const char *text, struct listen_address *ret, struct error *err)
{
    struct listen_address address = {.tls = !str_starts(text, "http://")};
    const char *at = text;
    if (strstr(text, "://") != NULL) {
        if (address.tls && !str_starts(text, "https://"))
            return error_set(err, EINVAL, "'%s': only http:// and https:// may stand before ADDRESS:PORT", text);
        at = strstr(text, "://") + 3;
    }
    const char *colon = strrchr(at, ':');
    int port;
    size_t length = colon != NULL ? (size_t)(colon - at) : 0;
    if (colon == NULL || length >= sizeof(address.host))
        return error_set(err, EINVAL, "'%s' is not ADDRESS:PORT; write for example :9543 or 127.0.0.1:9543", text);
    if (colon[1] == '\0' || strspn(colon + 1, DIGITS) != strlen(colon + 1) ||
        str_to_int(colon + 1, 0, 65535, &port) < 0)
        return error_set(err, EINVAL, "'%s': the port '%s' is not a number from 0 to 65535", text, colon + 1);
    address.port = (uint16_t)port;
    bool brackets = length >= 2 && at[0] == '[' && at[length - 1] == ']';
    if (!brackets && memchr(at, ':', length) != NULL)
        return error_set(err, EINVAL, "'%s': write an IPv6 address in brackets, like [::1]:9543", text);
    memcpy(address.host, at + brackets, length - 2 * brackets);
    if (strcmp(address.host, "*") == 0 && !brackets)
        address.host[0] = '\0';
    else if (brackets ? !is_scoped_address(address.host)
                      : length > 0 && !host_name_valid(address.host))
        return error_set(err, EINVAL, "'%s': '%.*s' is neither an address nor a name of this host", text,
                         (int)length, at);
    *ret = address;
    return 0;
}
