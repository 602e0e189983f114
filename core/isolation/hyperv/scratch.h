/* scratch.h - a container's writable disk: <state dir>/scratch.ext4, a sparse copy
 * of the empty one, made at the first start, kept until the container is removed. */
#pragma once

#include <stdint.h>

struct error;
struct machine_setup;
struct plan;

int scratch_open(const struct machine_setup *setup, const struct plan *plan, int *ret_fd, struct error *err);
/* An empty one of this size. path: the fd's. */
int scratch_format(int fd, const char *path, uint64_t bytes, struct error *err);
/* One without a name, which goes when it is closed. dir: in whose file system. */
int scratch_temporary(const struct machine_setup *setup, const char *dir, int *ret_fd, struct error *err);
/* The contents of an empty one. */
int scratch_fill(const struct machine_setup *setup, int fd, struct error *err);
/* A copy of a disk that stands still as the container's first; -EEXIST: it has one. */
int scratch_copy(int from, const struct plan *plan, int *ret_fd);
/* Makes such a one the container's first; -EEXIST: it has one. */
int scratch_name(int fd, const struct plan *plan);
