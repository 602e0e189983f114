/* schema.h - every field of Docker's Config, HostConfig and NetworkingConfig:
 * its name, its type, and what inspect shows when nobody set it (base/schema.h).
 */
#pragma once

#include "base/schema.h"

extern const struct schema schema_config;        /* container.Config */
extern const struct schema schema_host_config;
extern const struct schema schema_endpoint;      /* network.EndpointSettings */
extern const struct schema schema_exec;          /* container.ExecOptions */
extern const struct schema schema_update;        /* the fields of POST /containers/X/update */
