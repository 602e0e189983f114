/* links.c - --link CONTAINER[:ALIAS] on the default bridge: lines of /etc/hosts,
 * variables about the target, and a link's removal. On networks of the user's own
 * a link is a name that the name server knows (core/network/names.c).
 * Owner: container. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "container/internal.h"
#include "container/validate.h"

typedef void link_fn(struct container *target, const char *alias, void *user);

static bool applies(const struct spec *spec)
{
    return !network_is_user_defined(json_string(spec->host_config, "NetworkMode", ""));
}

/* fn is called with the target's lock held. */
static void each_link(const struct container *container, const struct spec *spec, link_fn *fn, void *user)
{
    const cJSON *item;

    if (!applies(spec))
        return;
    cJSON_ArrayForEach(item, json_get(spec->host_config, "Links")) {
        CLEANUP_STRV char **parts = strv_split(item->valuestring, ':');
        struct container *target = NULL;

        if (!parts[0] || container_get(container->engine, parts[0], &target, NULL) < 0)
            continue;
        pthread_mutex_lock(&target->lock);
        fn(target, path_base(parts[parts[1] ? 1 : 0]), user);
        pthread_mutex_unlock(&target->lock);
        container_put(target);
    }
}

int links_check(struct engine *engine, const cJSON *host, struct error *err)
{
    const cJSON *item;

    if (network_is_user_defined(json_string(host, "NetworkMode", "")))
        return 0;
    cJSON_ArrayForEach(item, json_get(host, "Links")) {
        CLEANUP_STRV char **parts = strv_split(item->valuestring, ':');
        struct container *target = NULL;

        if (strv_length(parts) == 0 || strv_length(parts) > 2 || (parts[0][0] == '\0' && parts[1] && parts[1][0] != '\0'))
            return error_set(err, EINVAL, "bad format for links: %s", item->valuestring);
        if (container_get(engine, parts[0], &target, err) < 0) {
            error_prefix(err, "could not get container for %s", parts[0]);
            err->code = EINVAL;
            return -EINVAL;
        }
        container_put(target);
    }
    return 0;
}

int links_check_running(struct container *container, const struct spec *spec, struct error *err)
{
    const cJSON *item;

    if (!applies(spec))
        return 0;
    cJSON_ArrayForEach(item, json_get(spec->host_config, "Links")) {
        CLEANUP_STRV char **parts = strv_split(item->valuestring, ':');
        struct container *target = NULL;

        if (!parts[0] || container_get(container->engine, parts[0], &target, NULL) < 0)
            continue;
        enum container_state state = container__state(target);
        CLEANUP_FREE char *name = container__name(target), *own = container__name(container);
        container_put(target);
        if (state != CONTAINER_RUNNING && state != CONTAINER_PAUSED)
            return error_set(err, EINVAL, "Cannot link to a non running container: /%s AS /%s/%s", name, own,
                             path_base(parts[parts[1] ? 1 : 0]));
    }
    return 0;
}

/* --- hosts --------------------------------------------------------------------------- */

static void add_host(struct container *target, const char *alias, void *user)
{
    const char *hostname = json_string(target->spec->config, "Hostname", "");
    struct str *text = user;

    if (target->endpoint_count == 0 || !target->endpoints[0].ipv4)
        return;
    str_printf(text, "%s\t%s %s", target->endpoints[0].ipv4, alias, hostname);
    if (strcmp(alias, target->name) != 0)
        str_printf(text, " %s", target->name);
    str_append_char(text, '\n');
}

void links_add_hosts(const struct container *container, const struct spec *spec, struct str *text)
{
    each_link(container, spec, add_host, text);
}

/* --- variables ------------------------------------------------------------------------- */

struct variables {
    char *own_name;
    char **env;
};

struct exposed {
    long port;
    char protocol[5];
};

/* By protocol, then by number: the first one is the link's own. */
static int by_port(const void *a, const void *b)
{
    const struct exposed *one = a, *other = b;
    int protocols = strcmp(one->protocol, other->protocol);

    return protocols != 0 ? protocols : one->port < other->port ? -1 : one->port > other->port;
}

static size_t exposed_ports(const struct container *target, struct exposed **ret)
{
    const cJSON *exposed = json_get(target->spec->config, "ExposedPorts"), *item;
    struct exposed *ports = mem_array((size_t)cJSON_GetArraySize(exposed) + 1, sizeof(*ports));
    size_t count = 0;

    cJSON_ArrayForEach(item, exposed) {
        const char *slash = strchr(item->string, '/');

        ports[count].port = strtol(item->string, NULL, 10);
        snprintf(ports[count++].protocol, sizeof(ports->protocol), "%s", slash ? slash + 1 : "tcp");
    }
    if (count > 0)
        qsort(ports, count, sizeof(*ports), by_port);
    *ret = ports;
    return count;
}

static void add_ports(const struct container *target, const char *prefix, char ***env)
{
    const char *address = target->endpoint_count && target->endpoints[0].ipv4 ? target->endpoints[0].ipv4 : "";
    CLEANUP_FREE struct exposed *ports = NULL;
    size_t count = exposed_ports(target, &ports);

    for (size_t i = 0; i < count; i++) {
        const char *protocol = ports[i].protocol;
        CLEANUP_FREE char *upper = mem_strdup(protocol);

        for (char *c = upper; *c; c++)
            *c = (char)toupper((unsigned char)*c);
        if (i == 0)
            strv_take(env, mem_printf("%s_PORT=%s://%s:%ld", prefix, protocol, address, ports[i].port));
        CLEANUP_FREE char *one = mem_printf("%s_PORT_%ld_%s", prefix, ports[i].port, upper);
        strv_take(env, mem_printf("%s=%s://%s:%ld", one, protocol, address, ports[i].port));
        strv_take(env, mem_printf("%s_ADDR=%s", one, address));
        strv_take(env, mem_printf("%s_PORT=%ld", one, ports[i].port));
        strv_take(env, mem_printf("%s_PROTO=%s", one, protocol));
    }
}

static void add_variables(struct container *target, const char *alias, void *user)
{
    struct variables *variables = user;
    CLEANUP_FREE char *prefix = mem_strdup(alias);
    const cJSON *item;

    for (char *c = prefix; *c; c++)
        *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
    add_ports(target, prefix, &variables->env);
    strv_take(&variables->env, mem_printf("%s_NAME=/%s/%s", prefix, variables->own_name, alias));
    cJSON_ArrayForEach(item, json_get(target->spec->config, "Env"))
        if (!str_starts(item->valuestring, "PATH=") && !str_starts(item->valuestring, "HOME="))
            strv_take(&variables->env, mem_printf("%s_ENV_%s", prefix, item->valuestring));
}

char **links_env(struct container *container, const struct spec *spec)
{
    struct variables variables = {.own_name = container__name(container)};

    each_link(container, spec, add_variables, &variables);
    free(variables.own_name);
    return variables.env;
}

/* --- removal ---------------------------------------------------------------------------- */

int container_remove_link(struct container *container, const char *alias, struct error *err)
{
    CLEANUP_SPEC struct spec *spec = container__spec(container);
    CLEANUP_FREE char *name = container__name(container);
    cJSON *host = cJSON_Duplicate(spec->host_config, true), *item;
    bool found = false;

    cJSON_ArrayForEach(item, json_get(host, "Links")) {
        const char *colon = strrchr(item->valuestring, ':');

        found = strcmp(path_base(colon ? colon + 1 : item->valuestring), alias) == 0;
        if (found)
            break;
    }
    if (!found) {
        cJSON_Delete(host);
        return error_set(err, ENOENT, "Cannot get parent /%s for link /%s/%s", name, name, alias);
    }
    cJSON_Delete(cJSON_DetachItemViaPointer(cJSON_GetObjectItemCaseSensitive(host, "Links"), item));
    int r = container__replace_spec(container, spec_new(spec->wall, cJSON_Duplicate(spec->config, true), host,
                                                        cJSON_Duplicate(spec->networks, true)), err);
    if (r == 0 && container__state(container) == CONTAINER_RUNNING) {
        CLEANUP_SPEC struct spec *now = container__spec(container);
        sandbox_refresh(container, now);
    }
    return r;
}
