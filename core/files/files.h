/* files.h - tabique-files: one machine's shared directories, served over FUSE.
 *
 * The guest mounts one FUSE file system; its agent passes the messages through a
 * virtio port, and this program answers them with libfuse's low-level session. The
 * root lists the shares as "0", "1", ...: exactly the bind mounts and volumes of one
 * container.
 *
 * The guest is hostile. What holds it: each share is a detached mount of its own
 * (open_tree(2) by the shim), whose root has no parent to go up to; names are single
 * components; symlinks are never followed here (the guest's kernel resolves them, in
 * the guest); the process stands in an empty root without network, with the
 * capabilities of a file server only, and a seccomp filter. So the most a guest can
 * do is what root in a container could do to the same directories behind the thin
 * wall, device nodes excepted: those are inert (nodev).
 *
 * Single-threaded. Sources: fuse(4), libfuse's fuse_lowlevel.h.
 */
#pragma once

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FILES_CHANNEL 3
#define FILES_FIRST_SHARE 4
#define FILES_SHARES_MAX 64

/* tree.c */
extern const struct fuse_lowlevel_ops tree_ops;
/* fds: O_PATH roots of the shares, numbered from 0. */
int tree_open(const int *fds, const bool *readonly, size_t count);

/* check.c */
bool message_is_well_formed(const void *message, size_t length);

/* confine.c: no way back. Dies with a message where a step fails. */
void confine(void);
