/* event.c - one event: immutable once made, counted. Owner: event. */
#include "event_internal.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"

struct event *event__new(int64_t time_ns, const char *type, const char *action,
                         const char *actor_id, const struct event_attribute *attributes,
                         size_t count)
{
    struct event *event = mem_new(struct event);

    event->references = 1;
    event->time_ns = time_ns;
    event->type = mem_strdup(type ? type : "");
    event->action = mem_strdup(action ? action : "");
    event->actor_id = mem_strdup(actor_id ? actor_id : "");
    event->attributes = mem_array(count, sizeof(*event->attributes));
    for (size_t i = 0; i < count; i++) {
        event->attributes[i].name = mem_strdup(attributes[i].name ? attributes[i].name : "");
        event->attributes[i].value = mem_strdup(attributes[i].value ? attributes[i].value : "");
    }
    event->attribute_count = count;
    return event;
}

struct event *event_ref(struct event *event)
{
    if (event)
        __atomic_add_fetch(&event->references, 1, __ATOMIC_RELAXED);
    return event;
}

void event_unref(struct event *event)
{
    if (!event || __atomic_sub_fetch(&event->references, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (size_t i = 0; i < event->attribute_count; i++) {
        free(event->attributes[i].name);
        free(event->attributes[i].value);
    }
    free(event->attributes);
    free(event->type);
    free(event->action);
    free(event->actor_id);
    free(event);
}

void event_unrefp(struct event **event)
{
    event_unref(*event);
    *event = NULL;
}

const char *event_attribute(const struct event *event, const char *name)
{
    for (size_t i = 0; i < event->attribute_count; i++) {
        if (str_equal(event->attributes[i].name, name))
            return event->attributes[i].value;
    }
    return NULL;
}
