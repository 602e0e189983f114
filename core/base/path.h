/* path.h - paths, and walking inside a root that somebody else wrote.
 *
 * The `path_*_in` functions resolve every component below rootfd with
 * openat2(RESOLVE_IN_ROOT|RESOLVE_NO_MAGICLINKS): "..", absolute names and
 * symlinks stay inside, whatever the file system's owner does meanwhile.
 * Source: openat2(2). All give O_CLOEXEC fds or -errno.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct error;

char *path_join(const char *a, const char *b); /* one slash between; b's leading slashes dropped */
/* Lexical clean-up as Go's path.Clean: "", ".", "a//b", "a/../b". */
char *path_clean(const char *path);
const char *path_base(const char *path); /* part behind the last slash */
char *path_dir(const char *path); /* Go's: cleaned; "." for a bare name */

int path_open_in(int rootfd, const char *path, int flags, mode_t mode);
/* mkdir -p inside the root (a dangling symlink's target is made, too); returns an O_PATH|O_DIRECTORY fd of the last one. */
int path_mkdir_in(int rootfd, const char *path, mode_t mode);

int path_mkdirs(const char *path, mode_t mode); /* host side; existing is success */
/* rm -rf by fds, never following symlinks, not crossing into other mounts
 * (-EBUSY at the first one met, path itself included; what was removed before it
 * is gone). A missing path is success. Any depth, at most 40 fds. */
int path_remove_tree(int dirfd, const char *path);
/* Bytes of what is not a directory (st_size, as Docker counts), hard links counted
 * once, other mounts left out. What vanishes meanwhile is not counted. */
int path_tree_size(int dirfd, const char *path, uint64_t *ret_bytes);
