/* xattr.h - which extended attributes cross between archives and trees. Private to archive/.
 *
 * Kept: user.*, security.capability, system.posix_acl_*. Everything else is
 * dropped on both ways: trusted.* above all, where overlayfs keeps its own
 * state (an archive that could set trusted.overlay.redirect would choose what
 * lies below it).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct tar_xattr;

bool xattr_wanted(const char *name);
/* Of an open file, or of an O_PATH one (through /proc/self/fd). Those not wanted
 * or not supported there are skipped. */
int xattr_set_all(int fd, bool path_only, const struct tar_xattr *xattrs, size_t count);
int xattr_get_all(int fd, bool path_only, struct tar_xattr **ret, size_t *ret_count);
void xattr_list_free(struct tar_xattr *xattrs, size_t count);

#define OVERLAY_OPAQUE "trusted.overlay.opaque"
bool xattr_is_opaque(int fd, bool path_only);
