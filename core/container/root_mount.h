/* root_mount.h - the root mount of a running container alone. */
#pragma once

#include <sys/types.h>

struct error;

/* root_fd: a container's root (O_PATH) in the mount namespace of `pid`. Gives a
 * detached copy of just that mount: /proc, volumes and the like are not in it,
 * though the container has them mounted. Linux only, root only. */
int root_mount_clone(int root_fd, pid_t pid, int *ret_fd, struct error *err);
