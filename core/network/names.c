/* names.c - what the name server answers: containers on the asker's own
 * networks, by name, alias or short id, each also as NAME.NETWORK. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "network/private.h"

static bool is_name(const struct endpoint *e, const struct sandbox *sandbox, const char *name)
{
    if (str_equal_nocase(e->container_name, name))
        return true;
    for (char **alias = e->aliases; alias && *alias; alias++)
        if (str_equal_nocase(*alias, name))
            return true;
    return strlen(name) == 12 && strncmp(sandbox->id, name, 12) == 0;
}

/* What the asker calls `name` by a link of his own on this network; NULL: nothing. */
static char *linked(const struct endpoint *asker, const char *name)
{
    for (char **link = asker->links; link && *link; link++) {
        const char *colon = strrchr(*link, ':');
        if (str_equal_nocase(colon ? colon + 1 : *link, name))
            return mem_strndup(*link, colon ? (size_t)(colon - *link) : strlen(*link));
    }
    return NULL;
}

/* "web" and "web.front" on network "front". */
static bool matches(const struct endpoint *e, const struct sandbox *sandbox, const char *name)
{
    size_t length = strlen(name), suffix = strlen(e->net->name);

    if (is_name(e, sandbox, name))
        return true;
    if (length <= suffix + 1 || name[length - suffix - 1] != '.' ||
        !str_equal_nocase(name + length - suffix, e->net->name))
        return false;
    CLEANUP_FREE char *front = mem_strndup(name, length - suffix - 1);
    return is_name(e, sandbox, front);
}

static void by_name(struct network_manager *m, const struct net *net, enum dns_question question, const char *name,
                    struct dns_answer *answer)
{
    struct sandbox *sandbox, *next;

    HASH_ITER(hh, m->sandboxes, sandbox, next)
        for (size_t i = 0; i < sandbox->endpoint_count; i++) {
            const struct endpoint *e = &sandbox->endpoints[i];
            const struct address *address = question == DNS_ADDRESS6 ? &e->v6 : &e->v4;
            if (e->net != net || !matches(e, sandbox, name))
                continue;
            answer->known = true;
            if (question != DNS_ANY && address->family && answer->count < DNS_ANSWERS_MAX)
                answer->addresses[answer->count++] = *address;
        }
}

static void by_address(struct network_manager *m, const struct net *net, const struct address *address,
                       struct dns_answer *answer)
{
    struct sandbox *sandbox, *next;

    HASH_ITER(hh, m->sandboxes, sandbox, next)
        for (size_t i = 0; i < sandbox->endpoint_count; i++) {
            const struct endpoint *e = &sandbox->endpoints[i];
            if (e->net != net || !(address_equal(&e->v4, address) || address_equal(&e->v6, address)))
                continue;
            answer->known = true;
            if (e->container_name)
                snprintf(answer->name, sizeof(answer->name), "%s.%s", e->container_name, net->name);
            else
                snprintf(answer->name, sizeof(answer->name), "%.12s.%s", sandbox->id, net->name);
        }
}

void network__dns_lookup(void *user, const char *container_id, enum dns_question question, const char *name,
                         const struct address *address, struct dns_answer *ret)
{
    struct network_manager *m = user;

    pthread_mutex_lock(&m->lock);
    struct sandbox *sandbox = network__sandbox(m, container_id);
    /* The first network that knows the name answers alone. */
    for (size_t i = 0; sandbox && i < sandbox->endpoint_count; i++) {
        const struct net *net = sandbox->endpoints[i].net;
        if (net->kind != NET_BRIDGE)
            continue;
        ret->forward = ret->forward || !net->internal;
        if (net->builtin || ret->known)
            continue;
        CLEANUP_FREE char *target = question == DNS_REVERSE ? NULL : linked(&sandbox->endpoints[i], name);
        if (question == DNS_REVERSE)
            by_address(m, net, address, ret);
        else
            by_name(m, net, question, target ? target : name, ret);
    }
    if (sandbox)
        ret->servers = strv_dup(sandbox->nameservers);
    pthread_mutex_unlock(&m->lock);
}
