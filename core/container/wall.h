/* wall.h - what this room must know of the two walls, as one table.
 *
 * What a wall does is the shim's secret; here stands only what a container
 * behind it may ask for. */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "isolation/isolation.h"

struct error;

struct wall {
    const char *name;      /* "process", "hyperv": the shim's isolation name */
    unsigned capabilities; /* enum isolation_capability */
};

/* name in any case; "" and "default" give `fallback`. NULL where unknown. */
const struct wall *wall_find(const char *name, const char *fallback);
/* --storage-opt size; 0: none was said. */
int wall_disk_size(const cJSON *host_config, int64_t *ret, struct error *err);
/* What a container may not ask for, and the sentence that says why. */
struct mode_conflict {
    const char *field, *value; /* of HostConfig; "container:" stands for every container */
    const char *why;
};
const char *mode_conflict_find(const struct mode_conflict *conflicts, size_t count, const cJSON *host_config); /* NULL: none */

/* Refuses, with a sentence, what this wall cannot give. */
int wall_check(const struct wall *wall, const cJSON *config, const cJSON *host_config, struct error *err);
