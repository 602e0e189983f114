/* volumes.c - a container's mounts come into being, are used, and let go.
 * Owner: container. The volumes themselves are core/volume's. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "container/files.h"
#include "container/internal.h"
#include "image/rootfs.h"

/* --- the list, at create --------------------------------------------------------------- */

static void copy_mount(struct mount_point *to, const struct mount_point *from)
{
    *to = *from;
    to->name = mem_strdup(from->name);
    to->source = mem_strdup(from->source);
    to->destination = mem_strdup(from->destination);
    to->driver = mem_strdup(from->driver);
    to->mode = mem_strdup(from->mode);
    to->propagation = mem_strdup(from->propagation);
    to->subpath = mem_strdup(from->subpath);
    to->data = mem_strdup(from->data);
    to->labels = cJSON_Duplicate(from->labels, true);
    to->options = cJSON_Duplicate(from->options, true);
}

static int add_from(struct container *container, const char *text, struct error *err)
{
    CLEANUP_FREE char *ref = NULL;
    CLEANUP_FREE char *mode = NULL;
    struct container *other = NULL;

    int r = mount_parse_from(text, &ref, &mode, err);
    if (r == 0)
        r = container_get(container->engine, ref, &other, err);
    if (r < 0) /* a request that names what is not there, as Docker has it: no 404 */
        return err && err->code == ENOENT ? -(err->code = EINVAL) : r;
    for (size_t i = 0; i < other->mounts.count && r == 0; i++) {
        struct mount_point mount;

        copy_mount(&mount, &other->mounts.items[i]);
        mount.copy_data = false;
        mount.rw = mount.rw && !strstr(mode, "ro");
        r = mount_list_add(&container->mounts, &mount, true, err);
    }
    container_put(other);
    return r;
}

static bool is_tmpfs(const struct spec *spec, const char *destination)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, json_get(spec->host_config, "Tmpfs")) {
        CLEANUP_FREE char *clean = path_clean(item->string);
        if (strcmp(clean, destination) == 0)
            return true;
    }
    return false;
}

static int collect(struct container *container, const struct spec *spec, struct error *err)
{
    const char *driver = json_string(spec->host_config, "VolumeDriver", "");
    struct mount_list own = {0};
    struct mount_point mount = {0};
    const cJSON *item;
    int r = 0;

    cJSON_ArrayForEach(item, json_get(spec->host_config, "VolumesFrom"))
        if ((r = add_from(container, item->valuestring, err)) < 0)
            return r;
    cJSON_ArrayForEach(item, json_get(spec->host_config, "Binds")) {
        r = mount_parse_bind(item->valuestring, driver, &mount, err);
        if (r == 0 && (r = mount_list_add(&own, &mount, false, err)) < 0)
            mount_point_clear(&mount);
        if (r < 0)
            break;
    }
    if (r == 0) {
        cJSON_ArrayForEach(item, json_get(spec->host_config, "Mounts")) {
            r = mount_parse_spec(item, true, &mount, err);
            if (r == 0 && (r = mount_list_add(&own, &mount, false, err)) < 0)
                mount_point_clear(&mount);
            if (r < 0)
                break;
        }
    }
    for (size_t i = 0; i < own.count && r == 0; i++) {
        if (is_tmpfs(spec, own.items[i].destination))
            r = error_set(err, EINVAL, "Duplicate mount point: %s", own.items[i].destination);
        else
            r = mount_list_add(&container->mounts, &own.items[i], true, err);
    }
    /* What was handed over is empty by now. */
    mount_list_clear(&own);
    if (r < 0)
        return r;
    cJSON_ArrayForEach(item, json_get(spec->config, "Volumes")) {
        r = mount_anonymous(item->string, driver, &mount, err);
        if (r == 0 && !mount_list_find(&container->mounts, mount.destination) && !is_tmpfs(spec, mount.destination))
            r = mount_list_add(&container->mounts, &mount, false, err);
        /* What was handed over is empty by now. */
        mount_point_clear(&mount);
        if (r < 0)
            return r;
    }
    return 0;
}

/* --- volumes -------------------------------------------------------------------------- */

static struct volume_pair *pairs(const cJSON *map, size_t *ret_count)
{
    struct volume_pair *list = mem_array((size_t)cJSON_GetArraySize(map) + 1, sizeof(*list));
    const cJSON *item;

    *ret_count = 0;
    cJSON_ArrayForEach(item, map)
        if (cJSON_IsString(item))
            list[(*ret_count)++] = (struct volume_pair){item->string, item->valuestring}; /* borrowed */
    return list;
}

static int make_volume(struct container *container, struct mount_point *mount, struct error *err)
{
    struct volume_store *store = container->engine->volumes;
    struct volume *volume = NULL;
    size_t label_count, option_count;

    if (strcmp(mount->driver, "local") != 0)
        return error_set(err, ENOENT, "create %s: error looking up volume plugin %s: plugin \"%s\" not found", mount->name,
                         mount->driver, mount->driver);
    bool known = *mount->name && volume_get(store, mount->name, &volume, NULL) == 0;
    if (!known) {
        CLEANUP_FREE struct volume_pair *labels = pairs(mount->labels, &label_count);
        CLEANUP_FREE struct volume_pair *options = pairs(mount->options, &option_count);
        int r = volume_create(store, *mount->name ? mount->name : NULL, labels, label_count, options, option_count,
                              &volume, err);
        if (r < 0)
            return r;
        event_publish(container->engine->events, "volume", "create", volume->name, "driver", "local", NULL);
    }
    free(mount->name);
    free(mount->source);
    mount->name = mem_strdup(volume->name);
    mount->source = mem_strdup(volume->mountpoint);
    volume_free(volume);
    return volume_hold(store, mount->name, container->id, err);
}

/* An empty volume over a directory of the image starts with what was there. */
static int copy_up(struct container *container, const struct mount_point *mount, struct error *err)
{
    struct volume_store *store = container->engine->volumes;
    CLEANUP_CLOSE int root = -EBADF;
    CLEANUP_CLOSE int to = -EBADF;
    char *path = NULL;

    if (!mount->copy_data || *mount->subpath || !volume_is_empty(store, mount->name))
        return 0;
    /* At create: nothing of the container's own is there yet. */
    int r = image_overlay_open(container->engine->images, container->image_id, NULL, NULL, &root, err);
    if (r < 0 || files_is_empty(root, mount->destination))
        return r;
    r = volume_mount(store, mount->name, container->id, &path, err);
    if (r < 0)
        return r;
    to = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(path);
    r = to < 0 ? error_errno(err, EIO, "cannot open volume %s", mount->name)
               : files_copy(root, mount->destination, to, err);
    volume_unmount(store, mount->name, container->id);
    return r < 0 ? error_prefix(err, "failed to populate volume") : 0;
}

int volumes_resolve(struct container *container, const struct spec *spec, struct error *err)
{
    int r = collect(container, spec, err);

    for (size_t i = 0; i < container->mounts.count && r == 0; i++) {
        struct mount_point *mount = &container->mounts.items[i];

        if (mount->type != MOUNT_VOLUME)
            continue;
        r = make_volume(container, mount, err);
        if (r == 0)
            r = copy_up(container, mount, err);
    }
    return r;
}

void volumes_forget(struct container *container, bool remove_anonymous)
{
    struct volume_store *store = container->engine->volumes;

    for (size_t i = 0; i < container->mounts.count; i++) {
        const struct mount_point *mount = &container->mounts.items[i];

        if (mount->type != MOUNT_VOLUME || *mount->name == '\0')
            continue;
        volume_release(store, mount->name, container->id);
        /* In use by another one: stays. */
        if (remove_anonymous && mount->anonymous && volume_remove(store, mount->name, false, NULL) == 0)
            event_publish(container->engine->events, "volume", "destroy", mount->name, "driver", "local", NULL);
    }
}

/* --- at start and end ----------------------------------------------------------------------- */

static int prepare_bind(const struct mount_point *mount, struct error *err)
{
    struct stat st;

    if (stat(mount->source, &st) == 0)
        return 0;
    if (errno != ENOENT)
        return error_set(err, EINVAL, "error while creating mount source path '%s': %s", mount->source, strerror(errno));
    if (!mount->create_source)
        return error_set(err, EINVAL, "invalid mount config for type \"bind\": bind source path does not exist: %s",
                         mount->source);
    int r = path_mkdirs(mount->source, 0755);
    return r < 0 ? error_set(err, EINVAL, "error while creating mount source path '%s': %s", mount->source, strerror(-r)) : 0;
}

int volumes_mount(struct container *container, struct error *err)
{
    for (size_t i = 0; i < container->mounts.count; i++) {
        struct mount_point *mount = &container->mounts.items[i];
        char *path = NULL;
        int r = 0;

        if (mount->type == MOUNT_BIND)
            r = prepare_bind(mount, err);
        else if (mount->type == MOUNT_VOLUME)
            r = volume_mount(container->engine->volumes, mount->name, container->id, &path, err);
        free(path); /* = source: it does not change over a volume's life */
        if (r < 0) {
            for (size_t j = 0; j < i; j++)
                if (container->mounts.items[j].type == MOUNT_VOLUME)
                    volume_unmount(container->engine->volumes, container->mounts.items[j].name, container->id);
            return r;
        }
    }
    container->volumes_mounted = true;
    return 0;
}

void volumes_unmount(struct container *container, bool publish)
{
    if (!container->volumes_mounted)
        return;
    container->volumes_mounted = false;
    for (size_t i = 0; i < container->mounts.count; i++) {
        const struct mount_point *mount = &container->mounts.items[i];

        if (mount->type != MOUNT_VOLUME)
            continue;
        volume_unmount(container->engine->volumes, mount->name, container->id);
        if (publish)
            publish_volume(container, mount, "unmount");
    }
}
