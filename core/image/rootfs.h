/* rootfs.h - an image's merged file system, without a container.
 *
 * For copies, exports, diffs and commits of containers that do not run, and for
 * the machines' disks. Linux only, root only. Threads: any.
 */
#pragma once

struct error;
struct image_store;

/* The image's layers as one overlay: read-only without `upper`, else with it and
 * `work` (absolute, on one file system). Gives the root of a detached mount, which
 * no mount table shows and which is gone with the last fd on it. Do not use an
 * upper that is mounted elsewhere (a running container's). */
int image_overlay_open(struct image_store *store, const char *image_id, const char *upper, const char *work,
                       int *ret_root_fd, struct error *err);
