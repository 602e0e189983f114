/* schema.h - every field of Docker's Config, HostConfig and NetworkingConfig:
 * its name, its type, and what inspect shows when nobody set it.
 *
 * schema_complete() reads an object that came from outside and builds a new one
 * with exactly the known fields, of the right types, in Docker's order; unknown
 * fields are dropped. A wrong type is refused in the words of Go's decoder,
 * which clients and people know:
 *     invalid JSON: json: cannot unmarshal string into Go struct field
 *     HostConfig.HostConfig.Memory of type int64
 * Pure. Threads: any.
 */
#pragma once

#include <cjson/cJSON.h>

struct error;
struct schema;

extern const struct schema schema_config;        /* container.Config */
extern const struct schema schema_host_config;
extern const struct schema schema_endpoint;      /* network.EndpointSettings */
extern const struct schema schema_exec;          /* container.ExecOptions */
extern const struct schema schema_update;        /* the fields of POST /containers/X/update */

/* `path` is the Go field path the object stands at ("" top, "HostConfig"). A
 * NULL or null object gives the defaults. */
int schema_complete(const struct schema *schema, const cJSON *object, const char *path,
                    cJSON **ret, struct error *err);
/* A map of objects: NetworkingConfig.EndpointsConfig. Null values stay null. */
int schema_complete_map(const struct schema *schema, const cJSON *map, const char *path,
                        const char *struct_name, cJSON **ret, struct error *err);
