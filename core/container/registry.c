/* registry.c - who exists, by which id and name; references. Owner: container. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/random.h"
#include "base/str.h"
#include "container/internal.h"
#include "container/validate.h"

/* --- specs ---------------------------------------------------------------------- */

struct spec *spec_new(const struct wall *wall, cJSON *config, cJSON *host_config, cJSON *networks)
{
    struct spec *spec = mem_new(struct spec);

    spec->references = 1;
    spec->config = config;
    spec->host_config = host_config;
    spec->networks = networks;
    spec->wall = wall;
    return spec;
}

struct spec *spec_ref(struct spec *spec)
{
    atomic_fetch_add(&spec->references, 1);
    return spec;
}

void spec_unref(struct spec *spec)
{
    if (!spec || atomic_fetch_sub(&spec->references, 1) > 1)
        return;
    cJSON_Delete(spec->config);
    cJSON_Delete(spec->host_config);
    cJSON_Delete(spec->networks);
    free(spec);
}

void spec_unrefp(struct spec **spec)
{
    spec_unref(*spec);
}

/* --- containers ------------------------------------------------------------------- */

struct container *container__new(struct engine *engine)
{
    struct container *container = mem_new(struct container);

    container->leaving_fd = -EBADF;
    pthread_condattr_t attributes;

    container->engine = engine;
    container->references = 1;
    random_id(container->id);
    pthread_mutex_init(&container->operation, NULL);
    pthread_mutex_init(&container->save_lock, NULL);
    pthread_mutex_init(&container->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&container->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    return container;
}

struct container *container__ref(struct container *container)
{
    atomic_fetch_add(&container->references, 1);
    return container;
}

void container_put(struct container *container)
{
    if (!container || atomic_fetch_sub(&container->references, 1) > 1)
        return;
    endpoints_clear(container);
    mount_list_clear(&container->mounts);
    spec_unref(container->spec);
    cJSON_Delete(container->health_log);
    strv_free(container->args);
    strv_free(container->layers);
    free(container->run.error);
    free(container->removal_error);
    free(container->image);
    free(container->path);
    free(container->dir);
    free(container->name);
    strv_free(container->old_names);
    pthread_mutex_destroy(&container->operation);
    pthread_mutex_destroy(&container->save_lock);
    pthread_mutex_destroy(&container->lock);
    pthread_cond_destroy(&container->changed);
    cleanup_close(&container->leaving_fd);
    free(container);
}

void container_putp(struct container **container)
{
    container_put(*container);
}

const char *container_id(const struct container *container)
{
    return container->id;
}

char *container__name(struct container *container)
{
    pthread_mutex_lock(&container->lock);
    char *name = mem_strdup(container->name);
    pthread_mutex_unlock(&container->lock);
    return name;
}

struct spec *container__spec(struct container *container)
{
    pthread_mutex_lock(&container->lock);
    struct spec *spec = spec_ref(container->spec);
    pthread_mutex_unlock(&container->lock);
    return spec;
}

enum container_state container__state(struct container *container)
{
    pthread_mutex_lock(&container->lock);
    enum container_state state = container->run.state;
    pthread_mutex_unlock(&container->lock);
    return state;
}

/* --- names ---------------------------------------------------------------------------- */

/* Under registry (write). The name is handed over on success. */
static int take_name(struct container *container, char *name, struct error *err)
{
    struct container *other = NULL;
    struct engine *engine = container->engine;

    HASH_FIND(name_handle, engine->by_name, name, strlen(name), other);
    if (other)
        return error_set(err, EEXIST,
                         "Conflict. The container name \"/%s\" is already in use by container \"%s\". You have "
                         "to remove (or rename) that container to be able to reuse that name.",
                         name, other->id);
    pthread_mutex_lock(&container->lock);
    if (container->name) {
        HASH_DELETE(name_handle, engine->by_name, container);
        strv_take(&container->old_names, container->name);
    }
    container->name = name;
    HASH_ADD_KEYPTR(name_handle, engine->by_name, container->name, strlen(container->name), container);
    pthread_mutex_unlock(&container->lock);
    return 0;
}

static int take_given(struct container *container, const char *name, bool rename, struct error *err)
{
    CLEANUP_FREE char *bare = mem_strdup(*name == '/' ? name + 1 : name);

    int r = name_check(name, err);
    if (r < 0)
        return r;
    pthread_rwlock_wrlock(&container->engine->registry);
    /* One that was removed meanwhile must not come back by its name: nobody would
     * take it out again. */
    r = rename && !container->listed ? error_set(err, ENOENT, "No such container: %s", container->id)
                                     : take_name(container, bare, err);
    pthread_rwlock_unlock(&container->engine->registry);
    if (r == 0)
        bare = NULL;
    return r;
}

int registry_reserve(struct container *container, const char *name, struct error *err)
{
    struct engine *engine = container->engine;
    int r;

    if (name && *name)
        return take_given(container, name, false, err);
    for (int attempt = 0; attempt < 50; attempt++) {
        char made[64];

        name_make_up(made, attempt);
        char *copy = mem_strdup(made);
        pthread_rwlock_wrlock(&engine->registry);
        r = take_name(container, copy, NULL);
        pthread_rwlock_unlock(&engine->registry);
        if (r == 0)
            return 0;
        free(copy);
    }
    char *last = mem_strndup(container->id, 12);
    pthread_rwlock_wrlock(&engine->registry);
    r = take_name(container, last, err);
    pthread_rwlock_unlock(&engine->registry);
    if (r < 0)
        free(last);
    return r;
}

int registry_rename(struct container *container, const char *name, struct error *err)
{
    return take_given(container, name, true, err);
}

void registry_list(struct container *container)
{
    struct engine *engine = container->engine;

    container__ref(container);
    pthread_rwlock_wrlock(&engine->registry);
    HASH_ADD(id_handle, engine->by_id, id, strlen(container->id), container);
    container->listed = true;
    pthread_rwlock_unlock(&engine->registry);
}

void registry_unlist(struct container *container)
{
    struct engine *engine = container->engine;
    bool listed;

    pthread_rwlock_wrlock(&engine->registry);
    listed = container->listed;
    if (listed)
        HASH_DELETE(id_handle, engine->by_id, container);
    if (container->name_handle.tbl)
        HASH_DELETE(name_handle, engine->by_name, container);
    container->name_handle.tbl = NULL;
    container->listed = false;
    pthread_rwlock_unlock(&engine->registry);
    if (listed)
        container_put(container);
}

/* --- finding --------------------------------------------------------------------------------- */

/* Under registry (read). */
static int find(struct engine *engine, const char *ref, struct container **ret, struct error *err)
{
    const char *name = *ref == '/' ? ref + 1 : ref;
    size_t length = strlen(ref);
    struct container *found = NULL, *container;

    HASH_FIND(id_handle, engine->by_id, ref, length, found);
    if (!found) {
        HASH_FIND(name_handle, engine->by_name, name, strlen(name), found);
        if (found && !found->listed)
            found = NULL;
    }
    if (!found && length < 64 && str_is_hex(ref, length)) {
        for (container = engine->by_id; container; container = container->id_handle.next) {
            if (strncmp(container->id, ref, length) != 0)
                continue;
            if (found)
                return error_set(err, EINVAL, "multiple IDs found with provided prefix: %s", ref);
            found = container;
        }
    }
    if (!found)
        return error_set(err, ENOENT, "No such container: %s", ref);
    *ret = container__ref(found);
    return 0;
}

int container_get(struct engine *engine, const char *ref, struct container **ret, struct error *err)
{
    if (!ref || *ref == '\0')
        return error_set(err, EINVAL, "invalid name or ID supplied: \"\"");
    pthread_rwlock_rdlock(&engine->registry);
    int r = find(engine, ref, ret, err);
    pthread_rwlock_unlock(&engine->registry);
    return r;
}

static int newest_first(const void *a, const void *b)
{
    const struct container *left = *(struct container *const *)a, *right = *(struct container *const *)b;

    if (left->created_ns != right->created_ns)
        return left->created_ns < right->created_ns ? 1 : -1;
    return strcmp(left->id, right->id);
}

int registry_all(struct engine *engine, struct container ***ret)
{
    struct container **all;
    int count = 0;

    pthread_rwlock_rdlock(&engine->registry);
    all = mem_array(HASH_CNT(id_handle, engine->by_id) + 1, sizeof(*all));
    for (struct container *c = engine->by_id; c; c = c->id_handle.next)
        all[count++] = container__ref(c);
    pthread_rwlock_unlock(&engine->registry);
    qsort(all, (size_t)count, sizeof(*all), newest_first);
    *ret = all;
    return count;
}

void registry_all_free(struct container **all, int count)
{
    for (int i = 0; i < count; i++)
        container_put(all[i]);
    free(all);
}

int container_each(struct engine *engine, container_fn *fn, void *user)
{
    struct container **all;
    int count = registry_all(engine, &all), r = 0;

    for (int i = 0; i < count && r == 0; i++)
        r = fn(user, all[i]);
    registry_all_free(all, count);
    return r;
}
