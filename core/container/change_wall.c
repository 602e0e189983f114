/* change_wall.c - a container goes behind the other wall. Owner: container.
 *
 * Its configuration, names, networks and volumes do not know of walls; what it has
 * changed in its image lies elsewhere and is carried over. That is done aside: the
 * configuration, replaced at once, says which of the two places counts, so a change
 * that is cut off at any moment leaves the container as it was. What the other place
 * still holds is thrown away by the next change. */
#include <errno.h>

#include "base/log.h"
#include "base/mem.h"
#include "container/engine_internal.h"
#include "container/files.h"
#include "container/internal.h"

static int can_change(struct container *container, const struct wall *wall, struct error *err)
{
    CLEANUP_SPEC struct spec *spec = container__spec(container);

    return wall_check(wall, spec->config, spec->host_config, err);
}

/* A shim that waits for an attach belongs to the old wall. */
static void dismiss_waiting(struct container *container)
{
    pthread_mutex_lock(&container->lock);
    struct shim_box *waiting = TAKE_PTR(container->box);
    if (waiting)
        waiting->ended = true;
    pthread_mutex_unlock(&container->lock);
    if (!waiting)
        return;
    shim_shutdown(waiting->shim);
    shim_box_unref(waiting);
}

/* Under the operation lock; the container does not run. */
static int change(struct container *container, const struct wall *wall, struct error *err)
{
    CLEANUP_SPEC struct spec *old = container__spec(container);

    int r = wall_check(wall, old->config, old->host_config, err);
    if (r < 0 || wall == old->wall)
        return r;
    container__await_last_shim(container); /* it may still hold the disk */
    dismiss_waiting(container);
    r = files_move_changes(container, old->wall, wall, err);
    if (r < 0)
        return r;
    cJSON *host = cJSON_Duplicate(old->host_config, true);
    cJSON_ReplaceItemInObjectCaseSensitive(host, "Isolation", cJSON_CreateString(wall->name));
    r = container__replace_spec(container,
                                spec_new(wall, cJSON_Duplicate(old->config, true), host, cJSON_Duplicate(old->networks, true)), err);
    if (r == 0)
        files_forget_changes(container, old->wall);
    return r;
}

/* Under the operation lock. A change that fails leaves the container running behind
 * the wall it had; a start that fails leaves it whole behind the new one. */
static int change_and_start(struct container *container, const struct wall *wall, bool start, struct error *err)
{
    struct error again = ERROR_INIT;

    if (state_is_active(container__state(container)))
        return error_set(err, EBUSY, "container %s was started meanwhile", container->id);
    int r = change(container, wall, err);
    if (!start)
        return r;
    if (r == 0)
        return container__start(container, true, err);
    if (container__start(container, true, &again) < 0)
        log_warning("container %s could not be started again: %s", container->id, again.message);
    return r;
}

int container_set_isolation(struct container *container, const char *isolation, bool restart, struct error *err)
{
    struct engine *engine = container->engine;
    const struct wall *wall = wall_find(isolation, engine->options.default_isolation);
    struct engine_info info;

    if (!wall)
        return error_set(err, EINVAL, "invalid isolation mode: \"%s\": one of default, process and hyperv is expected",
                         isolation ? isolation : "");
    engine_info(engine, &info);
    if (wall->capabilities & ISOLATION_OWN_KERNEL && !info.hyperv_available)
        return error_set(err, EINVAL, "hyperv isolation is not available here: %s", info.accelerator_reason);
    int r = can_change(container, wall, err);
    if (r < 0)
        return r;

    pthread_mutex_lock(&container->lock);
    bool active = state_is_active(container->run.state) || container->finishing;
    container->restarting_by_hand = restart && active;
    pthread_mutex_unlock(&container->lock);
    if (active && !restart)
        return error_set(err, EBUSY, "container %s is running: stop it before changing its isolation, or ask for a restart",
                         container->id);
    r = active ? container_stop(container, NULL, -1, err) : 0;
    if (r == -EALREADY)
        r = 0;
    if (r == 0) {
        pthread_mutex_lock(&container->operation);
        r = change_and_start(container, wall, active, err);
        pthread_mutex_unlock(&container->operation);
    }
    pthread_mutex_lock(&container->lock);
    container->restarting_by_hand = false;
    pthread_mutex_unlock(&container->lock);
    if (r == 0)
        publish_container(container, "update", "isolation", wall->name, NULL);
    return r;
}
