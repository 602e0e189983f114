/* wait.c - waiting for an end. Owner: container. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "container/internal.h"

#define LOOK_NS (200 * NS_PER_MS) /* how often a waiter asks whether it still should */

struct container_waiter {
    struct container *container;
    enum container_wait_condition condition;
    uint64_t ends;     /* when it began to wait */
};

int container_wait_begin(struct container *container, enum container_wait_condition condition,
                         struct container_waiter **ret, struct error *err)
{
    struct container_waiter *waiter = mem_new(struct container_waiter);

    (void)err;
    waiter->container = container__ref(container);
    waiter->condition = condition;
    pthread_mutex_lock(&container->lock);
    waiter->ends = container->ends;
    pthread_mutex_unlock(&container->lock);
    *ret = waiter;
    return 0;
}

/* Under lock. */
static bool is_over(const struct container_waiter *waiter)
{
    const struct container *container = waiter->container;

    if (container->removed || container->removal_error)
        return true;
    switch (waiter->condition) {
    case CONTAINER_WAIT_NOT_RUNNING:
        /* A start that fails ends nothing, but leaves it not running. */
        return container->ends > waiter->ends ||
               (!state_is_active(container->run.state) && !container->finishing && !container->run.starting);
    case CONTAINER_WAIT_NEXT_EXIT:
        return container->ends > waiter->ends;
    case CONTAINER_WAIT_REMOVED:
        return false;
    }
    return true;
}

int container_wait_end(struct container_waiter *waiter, bool (*cancelled)(void *user), void *user,
                       int *ret_status, char **ret_error, struct error *err)
{
    struct container *container = waiter->container;
    int r = 0;

    pthread_mutex_lock(&container->lock);
    while (!is_over(waiter)) {
        int64_t next = clock_mono_ns() + LOOK_NS;
        struct timespec at = {.tv_sec = next / NS_PER_SEC, .tv_nsec = next % NS_PER_SEC};

        if (pthread_cond_timedwait(&container->changed, &container->lock, &at) == 0)
            continue;
        pthread_mutex_unlock(&container->lock);
        bool stop = atomic_load(&container->engine->closing) || (cancelled && cancelled(user));
        pthread_mutex_lock(&container->lock);
        if (stop && !is_over(waiter)) {
            r = -ECANCELED;
            break;
        }
    }
    if (r == 0) {
        if (ret_status)
            *ret_status = container->run.exit_code;
        if (ret_error) {
            /* Its removal is what was waited for, not why it ended; and an end has its
             * status, which clients would give up for the error. */
            const char *text = container->removed || container->ends > waiter->ends ? NULL
                               : container->removal_error ? container->removal_error
                                                          : container->run.error;
            *ret_error = text && *text ? mem_strdup(text) : NULL;
        }
    }
    pthread_mutex_unlock(&container->lock);
    container_put(container);
    free(waiter);
    return r < 0 ? error_set(err, ECANCELED, "waiting was given up") : 0;
}
