/* shutdown.c - the machine is going down. Owner: container.
 *
 * A server that ends leaves its containers running; a machine that ends cannot. They
 * are stopped as docker stop would, each with its own signal and time, so that they
 * can put their affairs in order, and it does not count as a person's wish: what its
 * restart policy covers comes back with the machine. */
#include <pthread.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "container/internal.h"

#define STACK_SIZE ((size_t)256 << 10)

static void *stop_main(void *user)
{
    struct container *container = user;
    struct error err = ERROR_INIT;

    if (container_stop(container, NULL, -1, &err) < 0 && err.code != EALREADY)
        log_warning("container %.12s: %s", container->id, err.message);
    return NULL;
}

void engine_machine_stops(struct engine *engine)
{
    struct container **all;
    pthread_attr_t attributes;
    size_t threads = 0;

    atomic_store(&engine->machine_stops, true);
    int count = registry_all(engine, &all);
    pthread_t *stopping = mem_array((size_t)count + 1, sizeof(*stopping));
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    for (int i = 0; i < count; i++) {
        if (!state_is_active(container__state(all[i])))
            continue;
        if (pthread_create(&stopping[threads], &attributes, stop_main, all[i]) == 0)
            threads++;
        else
            stop_main(all[i]);
    }
    pthread_attr_destroy(&attributes);
    for (size_t i = 0; i < threads; i++)
        pthread_join(stopping[i], NULL);
    free(stopping);
    registry_all_free(all, count);
}
