/* info.c - copies of what is true now. Owner: container. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "container/internal.h"

static void copy_mounts(const struct container *container, struct container_info *info)
{
    const struct mount_list *list = &container->mounts;

    info->mounts = mem_array(list->count + 1, sizeof(*info->mounts));
    info->mount_count = list->count;
    for (size_t i = 0; i < list->count; i++) {
        const struct mount_point *mount = &list->items[i];
        info->mounts[i] = (struct container_mount){
            .type = mem_strdup(mount_type_name(mount->type)),
            .name = mem_strdup(mount->name),
            .source = mem_strdup(mount->source),
            .destination = mem_strdup(mount->destination),
            .driver = mem_strdup(mount->driver),
            .mode = mem_strdup(mount->mode),
            .rw = mount->rw,
            .propagation = mem_strdup(mount->propagation),
        };
    }
}

/* Under lock. */
static void copy_state(struct container *container, struct container_info *info)
{
    const struct run_state *run = &container->run;

    info->name = mem_strdup(container->name);
    info->isolation = container->spec->wall->name;
    info->state = run->state;
    info->pid = run->pid;
    info->pid_start_ticks = run->pid_start_ticks;
    info->shim_pid = run->shim_pid;
    info->exit_code = run->exit_code;
    info->oom_killed = run->oom_killed;
    info->dead = run->dead;
    info->error = mem_strdup(run->error ? run->error : "");
    info->restart_count = run->restart_count;
    info->has_been_started_before = run->started_before;
    info->started_ns = run->started_ns;
    info->finished_ns = run->finished_ns;
    info->network_settings = sandbox_settings(container);
    info->endpoints = mem_array(container->endpoint_count + 1, sizeof(*info->endpoints));
    info->endpoint_count = container->endpoint_count;
    for (size_t i = 0; i < container->endpoint_count; i++)
        endpoint_copy(&info->endpoints[i], &container->endpoints[i]);
    if (container->health_status != HEALTH_NONE) {
        info->health_status = mem_strdup(health_status_name(container->health_status));
        info->health_failing_streak = container->health_streak;
        info->health_log = container->health_log ? cJSON_Duplicate(container->health_log, true) : cJSON_CreateArray();
    }
}

int container_info(struct container *container, struct container_info **ret)
{
    struct container_info *info = mem_new(struct container_info);

    memcpy(info->id, container->id, sizeof(info->id));
    info->image = mem_strdup(container->image);
    memcpy(info->image_id, container->image_id, sizeof(info->image_id));
    info->created_ns = container->created_ns;
    info->path = mem_strdup(container->path);
    info->args = strv_dup(container->args);
    copy_mounts(container, info);

    pthread_mutex_lock(&container->lock);
    struct spec *spec = spec_ref(container->spec);
    copy_state(container, info);
    pthread_mutex_unlock(&container->lock);

    /* Specs never change: the large copies need no lock. */
    info->config = cJSON_Duplicate(spec->config, true);
    info->host_config = cJSON_Duplicate(spec->host_config, true);
    bool logs = strcmp(json_string(json_get(spec->host_config, "LogConfig"), "Type", ""), "none") != 0;
    CLEANUP_FREE char *etc = sandbox_etc_dir(container, spec);
    bool etc_written = info->started_ns != 0;
    info->log_path = logs ? mem_printf("%s/%s-json.log", container->dir, container->id) : mem_strdup("");
    info->hosts_path = etc_written ? path_join(etc, "hosts") : mem_strdup("");
    info->hostname_path = etc_written ? path_join(etc, "hostname") : mem_strdup("");
    info->resolv_conf_path = etc_written ? path_join(etc, "resolv.conf") : mem_strdup("");
    info->exec_ids = exec_ids(container);
    spec_unref(spec);
    *ret = info;
    return 0;
}

void container_info_free(struct container_info *info)
{
    if (!info)
        return;
    free(info->name);
    free(info->image);
    free(info->error);
    free(info->path);
    strv_free(info->args);
    cJSON_Delete(info->config);
    cJSON_Delete(info->host_config);
    cJSON_Delete(info->network_settings);
    for (size_t i = 0; i < info->endpoint_count; i++)
        network_endpoint_clear(&info->endpoints[i]);
    free(info->endpoints);
    for (size_t i = 0; i < info->mount_count; i++) {
        struct container_mount *mount = &info->mounts[i];
        char *const texts[] = {mount->type, mount->name, mount->source, mount->destination,
                               mount->driver, mount->mode, mount->propagation};
        for (size_t t = 0; t < ARRAY_SIZE(texts); t++)
            free(texts[t]);
    }
    free(info->mounts);
    strv_free(info->exec_ids);
    free(info->log_path);
    free(info->hosts_path);
    free(info->hostname_path);
    free(info->resolv_conf_path);
    free(info->health_status);
    cJSON_Delete(info->health_log);
    free(info);
}

void container_info_freep(struct container_info **info)
{
    container_info_free(*info);
}

int container_size(struct container *container, int64_t *ret_rw, int64_t *ret_root_fs)
{
    CLEANUP_FREE char *upper = path_join(container->dir, "upper");
    struct image *image = NULL;
    uint64_t bytes = 0;

    int r = path_tree_size(AT_FDCWD, upper, &bytes);
    if (r < 0)
        return r == -ENOENT ? -EIO : r;
    if (ret_rw)
        *ret_rw = (int64_t)bytes;
    if (ret_root_fs) {
        *ret_root_fs = (int64_t)bytes;
        if (image_get_held(container->engine->images, container->image_id, &image, NULL) == 0) {
            *ret_root_fs += image->size;
            image_free(image);
        }
    }
    return 0;
}
