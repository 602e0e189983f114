/* remove.c - removal and prune. Owner: container. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "container/internal.h"

#define KILL_WAIT_NS (10 * NS_PER_SEC)

/* The waiting shim of an attach to a container that never started. */
static void drop_waiting_shim(struct container *container)
{
    pthread_mutex_lock(&container->lock);
    struct shim_box *box = container->box;
    container->box = NULL;
    if (box)
        box->ended = true;
    pthread_mutex_unlock(&container->lock);
    if (!box)
        return;
    shim_shutdown(box->shim);
    CLEANUP_FREE char *dir = shim_dir(container, box->run);
    path_remove_tree(AT_FDCWD, dir);
    shim_box_unref(box);
}

void container__destroy(struct container *container, bool volumes)
{
    drop_waiting_shim(container);
    exec_forget_all(container, NULL, true);
    finish_release(container, false);
    volumes_forget(container, volumes);
    image_release(container->engine->images, container->image_id);
    publish_container(container, "destroy", NULL);
    registry_unlist(container);

    pthread_mutex_lock(&container->lock);
    container->removed = true;
    pthread_cond_broadcast(&container->changed);
    pthread_mutex_unlock(&container->lock);
}

static int refuse_running(struct container *container, enum container_state state, struct error *err)
{
    CLEANUP_FREE char *name = container__name(container);

    return error_set(err, EBUSY, "cannot remove container \"/%s\": container is %s: %s the container before removing "
                                 "or force remove", name, container_state_name(state),
                     state == CONTAINER_PAUSED ? "unpause and then stop" : "stop");
}

/* Until it has no process and will not get one. */
static int quiet(struct container *container, struct error *err)
{
    for (int attempt = 0; attempt < 10; attempt++) {
        pthread_mutex_lock(&container->lock);
        bool active = state_is_active(container->run.state) || container->finishing;
        bool restarting = container->run.state == CONTAINER_RESTARTING && !container->finishing;
        if (restarting) {
            restart_cancel(container);
            container__transition(container, STATE_ENDED);
            active = false;
        }
        pthread_mutex_unlock(&container->lock);
        if (!active)
            return 0;
        struct error failure = ERROR_INIT;
        int r = container__kill_and_wait(container, KILL_WAIT_NS, &failure);
        if (r < 0 && r != -EBUSY)
            return error_set(err, EIO, "could not kill container: %s", failure.message);
        container__wait_stopped(container, KILL_WAIT_NS);
    }
    return error_set(err, EIO, "could not kill container: it does not end");
}

static int remove_locked(struct container *container, bool volumes, struct error *err)
{
    int r = quiet(container, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&container->lock);
    container__transition(container, STATE_REMOVING);
    pthread_mutex_unlock(&container->lock);
    /* A server that comes back finishes what is begun here. */
    record_save_state(container, NULL);

    r = discard(container->engine, container->dir);
    if (r < 0) {
        pthread_mutex_lock(&container->lock);
        container__transition(container, STATE_REMOVE_FAILED);
        container->run.dead = true;
        container->removal_error = mem_printf("unable to remove filesystem: %s", strerror(-r));
        pthread_cond_broadcast(&container->changed);
        pthread_mutex_unlock(&container->lock);
        record_save_state(container, NULL);
        return error_set(err, EIO, "unable to remove filesystem: %s", strerror(-r));
    }
    container__destroy(container, volumes);
    return 0;
}

int container__remove(struct container *container, bool volumes, bool force, struct error *err)
{
    CLEANUP_FREE char *name = container__name(container);

    pthread_mutex_lock(&container->lock);
    enum container_state state = container->run.state;
    bool active = state_is_active(state) || container->finishing;
    if (container->removed || !container->listed) {
        pthread_mutex_unlock(&container->lock);
        return error_set(err, ENOENT, "No such container: %s", container->id);
    }
    if (container->removal_begun) {
        pthread_mutex_unlock(&container->lock);
        return error_set(err, EBUSY, "removal of container %s is already in progress", name);
    }
    if (state_is_active(state) && !force) {
        pthread_mutex_unlock(&container->lock);
        return refuse_running(container, state, err);
    }
    container->removal_begun = true;
    free(container->removal_error);
    container->removal_error = NULL;
    pthread_mutex_unlock(&container->lock);

    /* Before the operation lock: a stop that waits patiently is cut short. */
    if (active && force)
        container__kill_and_wait(container, KILL_WAIT_NS, NULL);

    pthread_mutex_lock(&container->operation);
    int r = remove_locked(container, volumes, err);
    if (r < 0) {
        pthread_mutex_lock(&container->lock);
        container->removal_begun = false;
        pthread_mutex_unlock(&container->lock);
        error_prefix(err, "cannot remove container \"/%s\"", name);
    }
    pthread_mutex_unlock(&container->operation);
    return r;
}

int container_remove(struct container *container, bool volumes, bool force, bool link, struct error *err)
{
    if (link) /* container_remove_link() has the others */
        return error_set(err, EINVAL, "Conflict, cannot remove the default link name of the container");
    return container__remove(container, volumes, force, err);
}

/* --- prune ----------------------------------------------------------------------------- */

static bool labels_match(const struct spec *spec, char *const *labels)
{
    const cJSON *own = json_get(spec->config, "Labels");

    /* "key", "key=value", and with "!" in front: must not match. */
    for (; labels && *labels; labels++) {
        bool negated = **labels == '!';
        const char *wanted = *labels + negated;
        size_t length = strcspn(wanted, "=");
        CLEANUP_FREE char *key = mem_strndup(wanted, length);
        const cJSON *value = cJSON_GetObjectItemCaseSensitive(own, key);
        bool match = cJSON_IsString(value) && (wanted[length] == '\0' || strcmp(value->valuestring, wanted + length + 1) == 0);

        if (match == negated)
            return false;
    }
    return true;
}

int container_prune(struct engine *engine, int64_t until_ns, char *const *labels, char ***ret_ids,
                    int64_t *ret_reclaimed, struct error *err)
{
    struct container **all;
    int count = registry_all(engine, &all);
    char **ids = mem_array(1, sizeof(*ids));
    int64_t reclaimed = 0;

    (void)err;
    for (int i = 0; i < count; i++) {
        CLEANUP_SPEC struct spec *spec = container__spec(all[i]);
        int64_t size = 0;

        pthread_mutex_lock(&all[i]->lock);
        bool idle = !state_is_active(all[i]->run.state) && !all[i]->finishing && !all[i]->run.starting;
        pthread_mutex_unlock(&all[i]->lock);
        if (!idle || (until_ns && all[i]->created_ns >= until_ns) || !labels_match(spec, labels))
            continue;
        container_size(all[i], &size, NULL);
        if (container__remove(all[i], false, false, NULL) < 0)
            continue;
        strv_push(&ids, all[i]->id);
        reclaimed += size;
    }
    registry_all_free(all, count);
    char bytes[24];
    snprintf(bytes, sizeof(bytes), "%" PRId64, reclaimed);
    event_publish(engine->events, "container", "prune", "", "reclaimed", bytes, NULL);
    *ret_ids = ids;
    *ret_reclaimed = reclaimed;
    return 0;
}
