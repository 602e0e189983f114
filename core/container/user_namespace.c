/* user_namespace.c - see user_namespace.h. Owner: container. */
#include "container/user_namespace.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "container/internal.h"
#include "launch/plan.h"
#include "tabique/error.h"

bool user_namespace_wanted(const struct engine *engine, const struct wall *wall, const cJSON *host_config)
{
    return engine->ids.uid_count > 0 && (wall->capabilities & ISOLATION_HOST_NAMESPACES) &&
           !str_equal(json_string(host_config, "UsernsMode", ""), "host");
}

/* Docker's words where it has them. */
static const struct {
    const char *field, *value, *why;
} conflicts[] = {
    {"NetworkMode", "host", "cannot share the host's network namespace when user namespaces are enabled"},
    {"PidMode", "host", "cannot share the host PID namespace when user namespaces are enabled"},
    {"PidMode", "container:", "cannot join another container's PID namespace when user namespaces are enabled; use --userns=host for both"},
    {"IpcMode", "host", "cannot share the host's IPC namespace when user namespaces are enabled"},
    {"IpcMode", "container:", "cannot join another container's IPC namespace when user namespaces are enabled; use --userns=host for both"},
    {"UTSMode", "host", "cannot share the host's UTS namespace when user namespaces are enabled"},
};

int user_namespace_check(const cJSON *host_config, struct error *err)
{
    if (json_bool(host_config, "Privileged", false))
        return error_set(err, EINVAL, "privileged mode is incompatible with user namespaces.  You must run the container "
                                      "in the host namespace when running privileged mode");
    for (size_t i = 0; i < ARRAY_SIZE(conflicts); i++) {
        const char *mode = json_string(host_config, conflicts[i].field, "");
        const char *value = conflicts[i].value;

        if (str_ends(value, ":") ? str_starts(mode, value) : str_equal(mode, value))
            return error_set(err, EINVAL, "%s", conflicts[i].why);
    }
    return 0;
}

static struct id_range *copy(const struct id_range *ranges, size_t count)
{
    struct id_range *all = mem_array(count, sizeof(*all));

    memcpy(all, ranges, count * sizeof(*all));
    return all;
}

void user_namespace_plan(const struct engine *engine, struct plan *plan)
{
    const struct id_maps *ids = &engine->ids;

    plan->namespaces[PLAN_NS_USER].mode = PLAN_NS_NEW;
    plan->uid_map = copy(ids->uids, plan->uid_map_count = ids->uid_count);
    plan->gid_map = copy(ids->gids, plan->gid_map_count = ids->gid_count);
}
