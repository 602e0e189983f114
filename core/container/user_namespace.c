/* user_namespace.c - see user_namespace.h. Owner: container. */
#include "container/user_namespace.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "container/internal.h"
#include "container/wall.h"
#include "launch/plan.h"
#include "tabique/error.h"

bool user_namespace_wanted(const struct engine *engine, const struct wall *wall, const cJSON *host_config)
{
    return engine->ids.uid_count > 0 && (wall->capabilities & ISOLATION_HOST_NAMESPACES) &&
           !str_equal(json_string(host_config, "UsernsMode", ""), "host");
}

/* Docker's words where it has them. */
static const struct mode_conflict conflicts[] = {
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
    const char *why = mode_conflict_find(conflicts, ARRAY_SIZE(conflicts), host_config);
    return why ? error_set(err, EINVAL, "%s", why) : 0;
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
    plan->ids = (struct id_maps){.uids = copy(ids->uids, ids->uid_count), .uid_count = ids->uid_count,
                                 .gids = copy(ids->gids, ids->gid_count), .gid_count = ids->gid_count};
}
