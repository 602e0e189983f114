/* What Docker has and this server has not: refused as Docker itself refuses it, so
 * that clients say what they would say there. One handler a reason. */
#include <string.h>

#include "routes.h"

static int not_a_manager(struct request *request)
{
    return respond_status_error(request, 503,
                                "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm "
                                "join\" to connect this node to swarm and try again.");
}

static int not_part_of_swarm(struct request *request)
{
    return respond_status_error(request, 503, "This node is not part of a swarm");
}

static int no_swarm_mode(struct request *request)
{
    return respond_status_error(request, 501, "swarm mode is not supported by this engine");
}

static int no_plugins(struct request *request)
{
    return respond_status_error(request, 501, "plugins are not supported by this engine");
}

static int plugins_list(struct request *request)
{
    static const char *const allowed[] = {"enabled", "capability", NULL};
    struct error err = ERROR_INIT;
    CLEANUP_JSON cJSON *filters = NULL;

    const int r = request_filters(request, allowed, &filters, &err);
    if (r < 0)
        return route_fail(request, r, &err);
    return respond_json(request, 200, cJSON_CreateArray());
}

static int plugin_not_found(struct request *request)
{
    return respond_status_error(request, 404, "plugin \"%s\" not found", request_param(request, "name"));
}

static int no_checkpoints(struct request *request)
{
    return respond_status_error(request, 501,
                                "This experimental feature is disabled by default. Start the Docker daemon in "
                                "experimental mode in order to enable it.");
}

#define SEE PERMISSION_VIEW, ROUTE_DOCKER
#define DO PERMISSION_OPERATE, ROUTE_DOCKER
#define RULE PERMISSION_ADMIN, ROUTE_DOCKER

const struct route routes_refused[] = {
    {"GET", "/swarm", SEE, not_a_manager},
    {"POST", "/swarm/init", RULE, no_swarm_mode},
    {"POST", "/swarm/join", RULE, no_swarm_mode},
    {"POST", "/swarm/leave", RULE, not_part_of_swarm},
    {"POST", "/swarm/update", RULE, not_a_manager},
    {"GET", "/swarm/unlockkey", RULE, not_a_manager},
    {"POST", "/swarm/unlock", RULE, not_a_manager},
    {"GET", "/services", SEE, not_a_manager},
    {"POST", "/services/create", DO, not_a_manager},
    {"GET", "/services/{id}", SEE, not_a_manager},
    {"DELETE", "/services/{id}", DO, not_a_manager},
    {"POST", "/services/{id}/update", DO, not_a_manager},
    {"GET", "/services/{id}/logs", SEE, not_a_manager},
    {"GET", "/nodes", SEE, not_a_manager},
    {"GET", "/nodes/{id}", SEE, not_a_manager},
    {"DELETE", "/nodes/{id}", RULE, not_a_manager},
    {"POST", "/nodes/{id}/update", RULE, not_a_manager},
    {"GET", "/tasks", SEE, not_a_manager},
    {"GET", "/tasks/{id}", SEE, not_a_manager},
    {"GET", "/tasks/{id}/logs", SEE, not_a_manager},
    {"GET", "/secrets", SEE, not_a_manager},
    {"POST", "/secrets/create", DO, not_a_manager},
    {"GET", "/secrets/{id}", SEE, not_a_manager},
    {"DELETE", "/secrets/{id}", DO, not_a_manager},
    {"POST", "/secrets/{id}/update", DO, not_a_manager},
    {"GET", "/configs", SEE, not_a_manager},
    {"POST", "/configs/create", DO, not_a_manager},
    {"GET", "/configs/{id}", SEE, not_a_manager},
    {"DELETE", "/configs/{id}", DO, not_a_manager},
    {"POST", "/configs/{id}/update", DO, not_a_manager},
    {"GET", "/plugins", SEE, plugins_list},
    {"GET", "/plugins/privileges", SEE, no_plugins},
    {"POST", "/plugins/pull", RULE, no_plugins},
    {"POST", "/plugins/create", RULE, no_plugins},
    {"GET", "/plugins/{name...}/json", SEE, plugin_not_found},
    {"POST", "/plugins/{name...}/enable", RULE, plugin_not_found},
    {"POST", "/plugins/{name...}/disable", RULE, plugin_not_found},
    {"POST", "/plugins/{name...}/upgrade", RULE, plugin_not_found},
    {"POST", "/plugins/{name...}/push", RULE, plugin_not_found},
    {"POST", "/plugins/{name...}/set", RULE, plugin_not_found},
    {"DELETE", "/plugins/{name...}", RULE, plugin_not_found},
    {"GET", "/containers/{id}/checkpoints", SEE, no_checkpoints},
    {"POST", "/containers/{id}/checkpoints", DO, no_checkpoints},
    {"DELETE", "/containers/{id}/checkpoints/{checkpoint}", DO, no_checkpoints},
    {0},
};
