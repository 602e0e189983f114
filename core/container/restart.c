/* restart.c - restarts by policy, when their time has come. Owner: container. */
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "container/internal.h"
#include "container/workers.h"

struct pending {
    struct container *container;
    uint64_t ticket;
};

static void restart_now(void *user)
{
    struct pending *pending = user;
    struct container *container = pending->container;
    struct error err = ERROR_INIT;

    pthread_mutex_lock(&container->operation);
    pthread_mutex_lock(&container->lock);
    bool wanted = !atomic_load(&container->engine->closing) && pending->ticket == container->restart_ticket &&
                  container->run.state == CONTAINER_RESTARTING;
    pthread_mutex_unlock(&container->lock);
    if (wanted && container__start(container, false, &err) < 0)
        log_warning("container %s was not restarted: %s", container->id, err.message);
    pthread_mutex_unlock(&container->operation);
    container_put(container);
    free(pending);
}

void restart_schedule(struct container *container, int64_t delay_ns)
{
    struct pending *pending = mem_new(struct pending);

    pending->container = container__ref(container);
    pthread_mutex_lock(&container->lock);
    pending->ticket = ++container->restart_ticket;
    pthread_mutex_unlock(&container->lock);
    workers_post_after(container->engine->operators, delay_ns, restart_now, pending);
}

void restart_cancel(struct container *container)
{
    container->restart_ticket++;
    container->run.restart_cancelled = true;
}
