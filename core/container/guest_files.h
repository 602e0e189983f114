/* guest_files.h - the files of a container that has a kernel of its own.
 *
 * Its disk was written by a guest, so the host's kernel never mounts it: while the
 * container runs its agent is asked; else a machine is raised with its disks and
 * no process, for this one order, under the container's operation lock. All that
 * comes back is hostile, and goes to a client or through core/archive. */
#pragma once

#include <stdbool.h>

#include "tabique/container.h"

struct archive_stat;
struct container;
struct error;
struct spec;

bool guest_files_apply(const struct spec *spec);
int guest_files_stat(struct container *container, const char *path, struct archive_stat *ret, struct error *err);
int guest_files_list(struct container *container, const char *path, container_entry_fn *fn, void *user, struct error *err);
int guest_files_get(struct container *container, const char *path, const char *name, container_write_fn *write,
                    void *user, struct error *err);
/* Any compression. flags: archive.h's. */
int guest_files_put(struct container *container, const char *path, unsigned flags, container_read_fn *read, void *user,
                    struct error *err);
int guest_files_export(struct container *container, container_write_fn *write, void *user, struct error *err);
int guest_files_layer(struct container *container, container_write_fn *write, void *user, struct error *err);
/* The same, and the way back into an empty disk, for a caller who has the operation
 * lock of a container that does not run. */
int guest_files_take_layer(struct container *container, container_write_fn *write, void *user, struct error *err);
int guest_files_give_layer(struct container *container, container_read_fn *read, void *user, struct error *err);
bool guest_files_exist(struct container *container);  /* its disk */
void guest_files_forget(struct container *container);
int guest_files_changes(struct container *container, container_change_fn *fn, void *user, struct error *err);
