/* rootfs_private.h - the overlay at a path, for one function's time. Private to image/. */
#pragma once

struct error;
struct image_store;

/* Calls fn with the path the overlay is mounted on, in a thread and mount
 * namespace of its own: programs it starts see it, nobody else does. */
typedef int image_rootfs_fn(void *user, const char *path, struct error *err);
int image__with_rootfs(struct image_store *store, const char *image_id, const char *upper, const char *work,
                       image_rootfs_fn *fn, void *user, struct error *err);
