/* event_internal.h - shared between event.c and bus.c. */
#pragma once

#include "tabique/event.h"

struct event *event__new(int64_t time_ns, const char *type, const char *action,
                         const char *actor_id, const struct event_attribute *attributes,
                         size_t count);
