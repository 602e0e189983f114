/* The three names that the shapes ask of core, so that these tests need no engine.
 * tests/api sees the real ones. */
#include <string.h>

#include "tabique/compare.h"
#include "tabique/container.h"
#include "tabique/event.h"

const char *container_state_name(enum container_state state)
{
    static const char *const names[] = {"created", "running", "paused", "restarting",
                                        "exited", "removing", "dead"};
    return names[state];
}

const char *compare_relation_name(enum compare_relation relation)
{
    static const char *const names[] = {"same", "container-only", "host-only", "worker"};
    return names[relation];
}

const char *event_attribute(const struct event *event, const char *name)
{
    for (size_t i = 0; i < event->attribute_count; i++) {
        if (strcmp(event->attributes[i].name, name) == 0)
            return event->attributes[i].value;
    }
    return NULL;
}
