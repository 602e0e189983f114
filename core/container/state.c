/* state.c - the transition table. Owner: container. */
#include "container/state.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"

static const char *const names[] = {
    [CONTAINER_CREATED] = "created",       [CONTAINER_RUNNING] = "running",
    [CONTAINER_PAUSED] = "paused",         [CONTAINER_RESTARTING] = "restarting",
    [CONTAINER_EXITED] = "exited",         [CONTAINER_REMOVING] = "removing",
    [CONTAINER_DEAD] = "dead",
};

/* 0 means "cannot happen", so states are stored plus one. */
#define TO(state) ((unsigned char)((state) + 1))

static const unsigned char table[][STATE_EVENT_COUNT] = {
    [CONTAINER_CREATED] = {[STATE_STARTED] = TO(CONTAINER_RUNNING),
                           /* Docker leaves a container that never ran as created. */
                           [STATE_START_FAILED] = TO(CONTAINER_CREATED),
                           [STATE_REMOVING] = TO(CONTAINER_REMOVING)},
    [CONTAINER_RUNNING] = {[STATE_ENDED] = TO(CONTAINER_EXITED),
                           [STATE_RESTARTING] = TO(CONTAINER_RESTARTING),
                           [STATE_PAUSED] = TO(CONTAINER_PAUSED)},
    /* SIGKILL ends a frozen process too, once thawed. */
    [CONTAINER_PAUSED] = {[STATE_ENDED] = TO(CONTAINER_EXITED),
                          [STATE_RESTARTING] = TO(CONTAINER_RESTARTING),
                          [STATE_UNPAUSED] = TO(CONTAINER_RUNNING)},
    [CONTAINER_RESTARTING] = {[STATE_STARTED] = TO(CONTAINER_RUNNING),
                              [STATE_START_FAILED] = TO(CONTAINER_EXITED),
                              [STATE_ENDED] = TO(CONTAINER_EXITED)},
    [CONTAINER_EXITED] = {[STATE_STARTED] = TO(CONTAINER_RUNNING),
                          [STATE_START_FAILED] = TO(CONTAINER_EXITED),
                          [STATE_RESTARTING] = TO(CONTAINER_RESTARTING),
                          [STATE_REMOVING] = TO(CONTAINER_REMOVING)},
    [CONTAINER_REMOVING] = {[STATE_REMOVE_FAILED] = TO(CONTAINER_DEAD)},
    [CONTAINER_DEAD] = {[STATE_REMOVING] = TO(CONTAINER_REMOVING)},
};

const char *container_state_name(enum container_state state)
{
    return (unsigned)state < ARRAY_SIZE(names) ? names[state] : "unknown";
}

int state_parse(const char *name, enum container_state *ret)
{
    for (size_t i = 0; name && i < ARRAY_SIZE(names); i++) {
        if (strcmp(names[i], name) == 0) {
            *ret = (enum container_state)i;
            return 0;
        }
    }
    return -EINVAL;
}

int state_after(enum container_state state, enum state_event event)
{
    if ((unsigned)state >= ARRAY_SIZE(table) || (unsigned)event >= STATE_EVENT_COUNT ||
        table[state][event] == 0)
        return -EINVAL;
    return table[state][event] - 1;
}

bool state_is_active(enum container_state state)
{
    return state == CONTAINER_RUNNING || state == CONTAINER_PAUSED || state == CONTAINER_RESTARTING;
}
