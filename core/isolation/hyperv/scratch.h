/* scratch.h - a container's writable disk: <state dir>/scratch.ext4, a sparse copy
 * of the empty one, made at the first start, kept until the container is removed. */
#pragma once

struct error;
struct machine_setup;
struct plan;

int scratch_open(const struct machine_setup *setup, const struct plan *plan, int *ret_fd, struct error *err);
/* One that goes when it is closed. */
int scratch_temporary(const struct machine_setup *setup, int *ret_fd, struct error *err);
