/* publish.c - events of containers, with Docker's actions and attributes, and the wall.
 * Owner: container. Called without locks: the recorder behind the bus may block. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "container/internal.h"

#define EXTRA_MAX 8

struct attributes {
    struct event_attribute *items;
    size_t count;
};

static void add(struct attributes *list, const char *name, const char *value)
{
    /* Bus and store copy; the casts only satisfy the shared struct. */
    list->items[list->count++] = (struct event_attribute){(char *)name, (char *)value};
}

static void publish_v(struct container *container, int64_t time_ns, const char *action, va_list args)
{
    CLEANUP_SPEC struct spec *spec = container__spec(container);
    CLEANUP_FREE char *name = container__name(container);
    const cJSON *labels = json_get(spec->config, "Labels"), *label;
    struct attributes list = {0};
    CLEANUP_FREE struct event_attribute *items =
        mem_array((size_t)cJSON_GetArraySize(labels) + 3 + EXTRA_MAX, sizeof(*items));

    list.items = items;
    cJSON_ArrayForEach(label, labels)
        if (cJSON_IsString(label))
            add(&list, label->string, label->valuestring);
    for (const char *key; list.count < (size_t)cJSON_GetArraySize(labels) + EXTRA_MAX && (key = va_arg(args, const char *));)
        add(&list, key, va_arg(args, const char *));
    if (*container->image)
        add(&list, "image", container->image);
    add(&list, "isolation", spec->wall->name);
    add(&list, "name", name);
    event_publish_list_at(container->engine->events, time_ns, "container", action, container->id, list.items, list.count);
}

void publish_container(struct container *container, const char *action, ...)
{
    va_list args;

    va_start(args, action);
    publish_v(container, 0, action, args);
    va_end(args);
}

void publish_container_at(struct container *container, int64_t time_ns, const char *action, ...)
{
    va_list args;

    va_start(args, action);
    publish_v(container, time_ns, action, args);
    va_end(args);
}

void publish_die(struct container *container, int64_t time_ns, int64_t ran_ns, int status, const char *reason)
{
    char code[16], seconds[24];

    snprintf(code, sizeof(code), "%d", status);
    snprintf(seconds, sizeof(seconds), "%" PRId64, ran_ns > 0 ? ran_ns / NS_PER_SEC : 0);
    publish_container_at(container, time_ns, "die", "execDuration", seconds, "exitCode", code,
                         reason && *reason ? "error" : NULL, reason, NULL);
}

void publish_network(struct container *container, const struct network_endpoint *endpoint, const char *action)
{
    /* Only bridges have endpoints. */
    event_publish(container->engine->events, "network", action, endpoint->network_id, "container",
                  container->id, "name", endpoint->network_name, "type", "bridge", NULL);
}

void publish_volume(struct container *container, const struct mount_point *mount, const char *action)
{
    event_publish(container->engine->events, "volume", action, mount->name, "container", container->id,
                  "destination", mount->destination, "driver", mount->driver, "propagation",
                  mount->propagation, "read/write", mount->rw ? "true" : "false", NULL);
}
