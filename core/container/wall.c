/* wall.c - the walls' table. Owner: container. */
#include "container/wall.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "tabique/error.h"

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
static const struct {
    const char *field;
    const char *value;
    bool prefix;
    const char *why;
} needs_host_kernel[] = {
    {"PidMode", "host", false, "--pid=host: a container with a kernel of its own cannot see the host's processes"},
    {"PidMode", "container:", true, "--pid=container: processes of another kernel cannot be shared"},
    {"IpcMode", "host", false, "--ipc=host: a container with a kernel of its own cannot share the host's memory objects"},
    {"IpcMode", "container:", true, "--ipc=container: memory objects of another kernel cannot be shared"},
    {"UTSMode", "host", false, "--uts=host: a container with a kernel of its own has a host name of its own"},
    {"UsernsMode", "host", false, "--userns=host: a container with a kernel of its own has users of its own"},
    {"NetworkMode", "host", false, "--network=host: a container with a kernel of its own cannot use the host's network stack"},
    {"NetworkMode", "container:", true, "--network=container: a network stack cannot be shared across kernels"},
    {"CgroupnsMode", "host", false, "--cgroupns=host: the control groups of a kernel of its own are not the host's"},
};

int wall_check(const struct wall *wall, const cJSON *config, const cJSON *host_config, struct error *err)
{
    if (wall->capabilities & ISOLATION_HOST_NAMESPACES)
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(needs_host_kernel); i++) {
        const char *value = json_string(host_config, needs_host_kernel[i].field, "");

        if (needs_host_kernel[i].prefix ? str_starts(value, needs_host_kernel[i].value)
                                        : strcmp(value, needs_host_kernel[i].value) == 0)
            return error_set(err, EINVAL, "%s isolation does not support %s", wall->name,
                             needs_host_kernel[i].why);
    }
    if (cJSON_GetArraySize(json_get(host_config, "Devices")) > 0)
        return error_set(err, EINVAL,
                         "%s isolation does not support --device: the host's devices are not in its kernel",
                         wall->name);
    return 0;
}
