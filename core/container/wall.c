/* wall.c - the walls' table. Owner: container. */
#include "container/wall.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "tabique/error.h"

#define DISK_LEAST (INT64_C(64) << 20)
#define DISK_MOST (INT64_C(16) << 40)

static const struct wall walls[] = {
    {"process", ISOLATION_HOST_PROCESSES | ISOLATION_HOST_ROOT | ISOLATION_HOST_NAMESPACES},
    {"hyperv", ISOLATION_OWN_KERNEL},
};

const struct wall *wall_find(const char *name, const char *fallback)
{
    if (!name || *name == '\0' || str_equal_nocase(name, "default"))
        name = fallback ? fallback : "process";
    for (size_t i = 0; i < ARRAY_SIZE(walls); i++)
        if (str_equal_nocase(walls[i].name, name))
            return &walls[i];
    return NULL;
}

/* What needs a kernel shared with the host (or with another container). */
static const struct mode_conflict needs_host_kernel[] = {
    {"PidMode", "host", "--pid=host: a container with a kernel of its own cannot see the host's processes"},
    {"PidMode", "container:", "--pid=container: processes of another kernel cannot be shared"},
    {"IpcMode", "host", "--ipc=host: a container with a kernel of its own cannot share the host's memory objects"},
    {"IpcMode", "container:", "--ipc=container: memory objects of another kernel cannot be shared"},
    {"UTSMode", "host", "--uts=host: a container with a kernel of its own has a host name of its own"},
    {"UsernsMode", "host", "--userns=host: a container with a kernel of its own has users of its own"},
    {"NetworkMode", "host", "--network=host: a container with a kernel of its own cannot use the host's network stack"},
    {"NetworkMode", "container:", "--network=container: a network stack cannot be shared across kernels"},
    {"CgroupnsMode", "host", "--cgroupns=host: the control groups of a kernel of its own are not the host's"},
};

const char *mode_conflict_find(const struct mode_conflict *conflicts, size_t count, const cJSON *host_config)
{
    for (size_t i = 0; i < count; i++) {
        const char *mode = json_string(host_config, conflicts[i].field, ""), *value = conflicts[i].value;

        if (str_ends(value, ":") ? str_starts(mode, value) : str_equal(mode, value))
            return conflicts[i].why;
    }
    return NULL;
}

int wall_disk_size(const cJSON *host_config, int64_t *ret, struct error *err)
{
    const cJSON *item = json_get(json_get(host_config, "StorageOpt"), "size");
    int64_t size = 0;

    if (item && (!cJSON_IsString(item) || str_to_bytes(item->valuestring, &size) < 0))
        return error_set(err, EINVAL, "invalid size: '%s'", cJSON_IsString(item) ? item->valuestring : "");
    if (item && (size < DISK_LEAST || size > DISK_MOST))
        return error_set(err, EINVAL, "the disk of a container is between 64 MiB and 16 TiB large, not %s", item->valuestring);
    *ret = size;
    return 0;
}

/* A machine's disk has a size; on the host's file system nobody has a share of his own. */
static int check_storage(const struct wall *wall, const cJSON *host_config, struct error *err)
{
    int64_t size;

    if (cJSON_GetArraySize(json_get(host_config, "StorageOpt")) == 0)
        return 0;
    if (!(wall->capabilities & ISOLATION_OWN_KERNEL))
        return error_set(err, EINVAL, "--storage-opt is supported only for overlay over xfs with 'pquota' mount option");
    return wall_disk_size(host_config, &size, err);
}

int wall_check(const struct wall *wall, const cJSON *config, const cJSON *host_config, struct error *err)
{
    int r = check_storage(wall, host_config, err);

    if (r < 0 || wall->capabilities & ISOLATION_HOST_NAMESPACES)
        return r;
    const char *why = mode_conflict_find(needs_host_kernel, ARRAY_SIZE(needs_host_kernel), host_config);
    if (why)
        return error_set(err, EINVAL, "%s isolation does not support %s", wall->name, why);
    if (cJSON_GetArraySize(json_get(host_config, "Devices")) > 0)
        return error_set(err, EINVAL,
                         "%s isolation does not support --device: the host's devices are not in its kernel",
                         wall->name);
    return 0;
}
