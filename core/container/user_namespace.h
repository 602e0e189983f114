/* user_namespace.h - containers whose root is nobody on the host (Docker's --userns-remap).
 *
 * With the engine's option every container behind the thin wall gets a user namespace of its
 * own, all with the same ids, unless it asks for --userns=host. Files on disk keep the owners
 * of the image (the launcher maps its mounts), so a container can change sides at any start.
 */
#pragma once

#include <stdbool.h>

struct engine;
struct error;
struct plan;
struct wall;
struct cJSON;

bool user_namespace_wanted(const struct engine *engine, const struct wall *wall, const struct cJSON *host_config);
/* -EINVAL: what it asks for would be shared with namespaces that its own users have no say in. */
int user_namespace_check(const struct cJSON *host_config, struct error *err);
/* Into the plan's namespaces and maps. */
void user_namespace_plan(const struct engine *engine, struct plan *plan);
