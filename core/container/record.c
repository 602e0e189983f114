/* record.c - a container's two state files: config.json (what was asked for) and
 * state.json (what became of it). Owner: container.
 *
 * Written aside and renamed, without fsync: a reader, and a server that was
 * killed, see the old content or the new, never half. After a power cut the last
 * moments may be missing; a container made in those moments is then reported as
 * damaged, and one that was running is not running any more whatever its file
 * says (the boot id tells). In exchange a start costs no disk flush (some ms).
 * The exit status, which nobody could ask for again, is fsynced by the shim a moment
 * after it has been told. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "container/internal.h"

#define RECORD_MAX ((size_t)4 << 20)

static int write_file(const char *dir, const char *name, const cJSON *json, struct error *err)
{
    CLEANUP_FREE char *text = json_print(json);
    CLEANUP_FREE char *path = path_join(dir, name);

    int r = file_replace(AT_FDCWD, path, text, strlen(text), 0600);
    return r < 0 ? error_set(err, r == -ENOSPC ? ENOSPC : EIO, "cannot write %s: %s", path, strerror(-r)) : 0;
}

static void add_time(cJSON *object, const char *key, int64_t ns)
{
    char text[TIME_TEXT_MAX];
    json_add_string(object, key, ns ? time_format(ns, text) : "");
}

static int64_t get_time(const cJSON *object, const char *key)
{
    const char *text = json_string(object, key, "");
    int64_t ns = 0;

    return *text && time_parse(text, &ns) == 0 ? ns : 0;
}

int record_save_config(struct container *container, struct error *err)
{
    CLEANUP_JSON cJSON *json = cJSON_CreateObject();
    CLEANUP_SPEC struct spec *spec = container__spec(container);
    CLEANUP_FREE char *name = container__name(container);

    json_add_int(json, "Version", 1);
    json_add_string(json, "ID", container->id);
    json_add_string(json, "Name", name);
    add_time(json, "Created", container->created_ns);
    json_add_string(json, "Image", container->image);
    json_add_string(json, "ImageID", container->image_id);
    json_add_string(json, "Path", container->path);
    json_add(json, "Args", json_from_strv(container->args));
    json_add_string(json, "Isolation", spec->wall->name);
    json_add(json, "Mounts", mount_list_to_json(&container->mounts));
    /* Borrowed for the printing only. */
    cJSON_AddItemReferenceToObject(json, "Config", spec->config);
    cJSON_AddItemReferenceToObject(json, "HostConfig", spec->host_config);
    cJSON_AddItemReferenceToObject(json, "Networks", spec->networks);

    pthread_mutex_lock(&container->save_lock);
    int r = write_file(container->dir, "config.json", json, err);
    pthread_mutex_unlock(&container->save_lock);
    return r;
}

int record_save_state(struct container *container, struct error *err)
{
    CLEANUP_JSON cJSON *json = cJSON_CreateObject();

    /* Held over both, so that an older state is never written over a newer one. */
    pthread_mutex_lock(&container->save_lock);
    pthread_mutex_lock(&container->lock);
    const struct run_state *run = &container->run;
    json_add_int(json, "Version", 1);
    json_add_string(json, "State", container_state_name(run->state));
    json_add_string(json, "BootId", boot_id());
    /* Once it is known to run, the rest of its start needs no looking after. */
    json_add_bool(json, "Starting", run->starting && run->pid == 0);
    json_add_int(json, "Run", run->run);
    json_add_int(json, "Pid", run->pid);
    json_add_int(json, "PidStartTicks", (int64_t)run->pid_start_ticks);
    json_add_int(json, "GuestPid", run->guest_pid);
    json_add_int(json, "ShimPid", run->shim_pid);
    json_add_int(json, "ExitCode", run->exit_code);
    json_add_bool(json, "OOMKilled", run->oom_killed);
    json_add_string(json, "Error", run->error ? run->error : "");
    json_add_int(json, "RestartCount", run->restart_count);
    json_add_bool(json, "StartedBefore", run->started_before);
    json_add_bool(json, "ManuallyStopped", run->manually_stopped);
    json_add_bool(json, "RestartCancelled", run->restart_cancelled);
    add_time(json, "StartedAt", run->started_ns);
    add_time(json, "FinishedAt", run->finished_ns);
    json_add(json, "Network", endpoints_to_json(container));
    pthread_mutex_unlock(&container->lock);

    int r = write_file(container->dir, "state.json", json, err);
    pthread_mutex_unlock(&container->save_lock);
    return r;
}

static int read_file(const char *dir, const char *name, cJSON **ret, struct error *err)
{
    CLEANUP_FREE char *path = path_join(dir, name);
    CLEANUP_FREE char *text = NULL;
    size_t length;

    int r = file_read(AT_FDCWD, path, RECORD_MAX, &text, &length);
    if (r < 0)
        return error_errno(err, r == -ENOENT ? EIO : r, "cannot read %s", path);
    r = json_parse(text, length, ret, err);
    if (r < 0)
        return error_prefix(err, "%s is damaged", path);
    return 0;
}

static void load_state(struct container *container, const cJSON *json)
{
    struct run_state *run = &container->run;

    if (state_parse(json_string(json, "State", ""), &run->state) < 0)
        run->state = CONTAINER_CREATED;
    run->starting = json_bool(json, "Starting", false);
    run->run = (unsigned)json_int(json, "Run", 0);
    run->pid = (pid_t)json_int(json, "Pid", 0);
    run->pid_start_ticks = (uint64_t)json_int(json, "PidStartTicks", 0);
    run->guest_pid = (pid_t)json_int(json, "GuestPid", 0);
    run->shim_pid = (pid_t)json_int(json, "ShimPid", 0);
    run->exit_code = (int)json_int(json, "ExitCode", 0);
    run->oom_killed = json_bool(json, "OOMKilled", false);
    run->error = mem_strdup(json_string(json, "Error", ""));
    run->restart_count = (int)json_int(json, "RestartCount", 0);
    run->started_before = json_bool(json, "StartedBefore", false);
    run->manually_stopped = json_bool(json, "ManuallyStopped", false);
    run->restart_cancelled = json_bool(json, "RestartCancelled", false);
    run->started_ns = get_time(json, "StartedAt");
    run->finished_ns = get_time(json, "FinishedAt");
    endpoints_from_json(container, json_get(json, "Network"));
}

int record_load(struct engine *engine, const char *id, struct container **ret, char boot[40],
                struct error *err)
{
    CLEANUP_FREE char *dir = mem_printf("%s/containers/%s", engine->options.data_dir, id);
    CLEANUP_JSON cJSON *config = NULL;
    CLEANUP_JSON cJSON *state = NULL;
    struct error ignored = ERROR_INIT;

    int r = read_file(dir, "config.json", &config, err);
    if (r < 0)
        return r;
    if (strcmp(json_string(config, "ID", ""), id) != 0)
        return error_set(err, EIO, "%s holds another container's configuration", dir);
    /* A container without a state file was being made when the server ended. */
    read_file(dir, "state.json", &state, &ignored);

    struct container *container = container__new(engine);
    snprintf(container->id, sizeof(container->id), "%s", id);
    container->created_ns = get_time(config, "Created");
    container->image = mem_strdup(json_string(config, "Image", ""));
    snprintf(container->image_id, sizeof(container->image_id), "%s", json_string(config, "ImageID", ""));
    container->path = mem_strdup(json_string(config, "Path", ""));
    container->args = json_strv(config, "Args");
    container->dir = TAKE_PTR(dir);
    mount_list_from_json(json_get(config, "Mounts"), &container->mounts);
    cJSON *parts[3];
    static const char *const keys[] = {"Config", "HostConfig", "Networks"};
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        parts[i] = cJSON_DetachItemFromObjectCaseSensitive(config, keys[i]);
        if (!parts[i])
            parts[i] = cJSON_CreateObject();
    }
    const char *asked = json_string(parts[1], "Isolation", "");
    const struct wall *wall = wall_find(json_string(config, "Isolation", asked), NULL);
    container->spec = spec_new(wall ? wall : wall_find(NULL, NULL), parts[0], parts[1], parts[2]);
    load_state(container, state);
    snprintf(boot, 40, "%s", json_string(state, "BootId", ""));
    r = registry_reserve(container, json_string(config, "Name", ""), err);
    if (r < 0) {
        container_put(container);
        return r;
    }
    *ret = container;
    return 0;
}
