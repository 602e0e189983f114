/* state.h - the one table of a container's states and what may happen in each.
 *
 * Pure: no locks, no I/O. Only container__transition() (state.c's caller in
 * lifecycle.c) applies it to a container.
 */
#pragma once

#include <stdbool.h>

#include "tabique/container.h"

enum state_event {
    STATE_STARTED,      /* its process runs */
    STATE_START_FAILED, /* it does not: the reason is in `error` */
    STATE_ENDED,        /* its process has ended and will not be started again */
    STATE_RESTARTING,   /* its process has ended; the restart policy starts it soon */
    STATE_PAUSED,
    STATE_UNPAUSED,
    STATE_REMOVING,
    STATE_REMOVE_FAILED,
    STATE_EVENT_COUNT,
};

/* The state after `event`, or -EINVAL where the event cannot happen there. */
int state_after(enum container_state state, enum state_event event);
/* Has a process, or will have one again by itself: Docker's "Running". */
bool state_is_active(enum container_state state);
/* From container_state_name(); -EINVAL where unknown. */
int state_parse(const char *name, enum container_state *ret);
