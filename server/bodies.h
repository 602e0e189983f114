/* bodies.h - what requests of the server's own may hold (base/schema.h). */
#pragma once

#include "base/schema.h"

extern const struct schema body_network_create, body_network_connect, body_network_disconnect;
extern const struct schema body_volume_create;
extern const struct schema body_exec_start;
