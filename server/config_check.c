/* config_check.c - see config_check.h.
 *
 * What is written into a file is met where it is written, not where it is used: the
 * rooms below check once more, but know no line numbers.
 */
#include "config_check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <string.h>

#include "address.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"
#include "tabique/error.h"

int check_listen(const char *value, struct error *err)
{
    struct listen_address address;
    return strcmp(value, "none") == 0 ? 0 : listen_address_parse(value, &address, err);
}

int check_host(const char *value, struct error *err)
{
    if (strcmp(value, "*") == 0 || host_name_valid(value))
        return 0;
    return error_set(err, EINVAL, "'%s' is not a host's name or address (without a port; '*' for any)", value);
}

int check_group(const char *value, struct error *err)
{
    if (value[0] != '\0' && strpbrk(value, " \t:,/") == NULL)
        return 0;
    return error_set(err, EINVAL, "'%s' is not the name of a group", value);
}

int check_device(const char *value, struct error *err)
{
    if (value[0] != '\0' && strlen(value) < IFNAMSIZ && strpbrk(value, " \t/:%") == NULL &&
        strcmp(value, ".") != 0 && strcmp(value, "..") != 0)
        return 0;
    return error_set(err, EINVAL, "'%s' is not the name of a network device (1 to %d characters, without '/')", value,
                     IFNAMSIZ - 1);
}

/* ADDRESS/LENGTH with min <= LENGTH <= max; *ret_length where wanted. */
static bool is_network(int family, const char *value, int min, int max, int *ret_length)
{
    struct in6_addr address;
    CLEANUP_FREE char *copy = mem_strdup(value);
    char *slash = strchr(copy, '/');
    int length;
    if (slash == NULL || slash[1] < '0' || slash[1] > '9' || str_to_int(slash + 1, min, max, &length) < 0)
        return false;
    *slash = '\0';
    if (ret_length != NULL)
        *ret_length = length;
    return inet_pton(family, copy, &address) == 1;
}

int check_bridge_address(const char *value, struct error *err)
{
    if (is_network(AF_INET, value, 0, 30, NULL))
        return 0;
    return error_set(err, EINVAL, "'%s' is not ADDRESS/LENGTH; write for example 172.29.0.1/16", value);
}

int check_pool(const char *value, struct error *err)
{
    CLEANUP_FREE char *base = mem_strdup(value);
    char *colon = strrchr(base, ':');
    int length, size;
    if (colon != NULL) {
        *colon = '\0';
        if (is_network(AF_INET, base, 0, 30, &length) && str_to_int(colon + 1, length, 30, &size) == 0 &&
            size - length <= 24)
            return 0;
    }
    return error_set(err, EINVAL, "'%s' is not BASE/LENGTH:SIZE; write for example 10.200.0.0/16:24", value);
}

int check_server(const char *value, struct error *err)
{
    struct in6_addr address;
    if (inet_pton(AF_INET, value, &address) == 1 || inet_pton(AF_INET6, value, &address) == 1)
        return 0;
    return error_set(err, EINVAL, "'%s' is not the address of a name server", value);
}

int check_insecure(const char *value, struct error *err)
{
    if (strchr(value, '/') == NULL ? strpbrk(value, "@?#\\") == NULL
                                   : is_network(AF_INET, value, 0, 32, NULL) || is_network(AF_INET6, value, 0, 128, NULL))
        return 0;
    return error_set(err, EINVAL, "'%s' is neither HOST[:PORT] nor a network ADDRESS/LENGTH", value);
}

int check_mirror(const char *value, struct error *err)
{
    const char *host = strstr(value, "://") != NULL ? strstr(value, "://") + 3 : "";
    if ((str_starts(value, "https://") || str_starts(value, "http://")) && host[0] != '\0' && host[0] != '/' &&
        strpbrk(host, "@?#\\") == NULL)
        return 0;
    return error_set(err, EINVAL, "'%s' is not http(s)://HOST[:PORT]", value);
}
