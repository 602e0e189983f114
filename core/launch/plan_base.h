/* plan_base.h - what every container's root has mounted, before anything of the user's,
 * in this order. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct plan_base_mount {
    const char *type, *target;
    uint64_t flags;
    const char *data; /* of /dev/shm: without its size, which is the user's to choose */
};

extern const struct plan_base_mount plan_base_mounts[];
extern const size_t plan_base_mount_count;
