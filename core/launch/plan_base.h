/* plan_base.h - what every container has before anything of the user's. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Mounted in its root, in this order. */
struct plan_base_mount {
    const char *type, *target;
    uint64_t flags;
    const char *data; /* of /dev/shm: without its size, which is the user's to choose */
};

extern const struct plan_base_mount plan_base_mounts[];
extern const size_t plan_base_mount_count;

/* In a network of its own: its user may ping and bind low ports. */
struct plan_base_sysctl {
    const char *name, *value;
};

extern const struct plan_base_sysctl plan_base_sysctls[];
extern const size_t plan_base_sysctl_count;
