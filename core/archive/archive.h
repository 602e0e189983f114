/* archive.h - trees and tar streams, with a root nobody gets out of.
 *
 * The only room that parses archives (libarchive does the format). Everything is
 * done relative to a directory fd with openat2(RESOLVE_IN_ROOT|NO_MAGICLINKS...)
 * (base/path.h), so a hostile archive or a file system changed under our feet
 * cannot name a host path. Never chroot, never a helper run from the container.
 *
 * Threads: any, one call per root and time. Nothing global.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

struct error;

typedef ssize_t archive_read_fn(void *user, void *buffer, size_t size);
typedef int archive_write_fn(void *user, const void *data, size_t size);

enum archive_flags {
    ARCHIVE_LAYER = 1 << 0,           /* ".wh." entries become overlayfs whiteouts / opaque xattrs */
    ARCHIVE_NO_OVERWRITE_DIR = 1 << 1,/* docker cp: a file may not replace a directory, nor back */
    ARCHIVE_KEEP_OWNER = 1 << 2,      /* else 0:0 */
    ARCHIVE_DIFF_ID = 1 << 3,         /* compute SHA-256 of the uncompressed stream */
};

struct archive_limits {
    uint64_t max_bytes, max_entries;
    double max_ratio;
};

struct archive_result {
    uint64_t bytes;        /* of file contents */
    uint64_t entries;
    char diff_id[72];      /* "sha256:..." with ARCHIVE_DIFF_ID */
};

/* Unpacks (any compression) below `path` inside root_fd ("/" for the root). */
int archive_extract(int root_fd, const char *path, archive_read_fn *read, void *user, unsigned flags,
                    const struct archive_limits *limits, struct archive_result *ret, struct error *err);

/* Packs as pax tar, uncompressed. `path` inside the root; entries are named
 * below `name` (docker cp: the last component; "" or ".": contents). A trailing
 * "/." means the contents of a directory. Symlink at the last component is
 * packed as a link unless follow. Reproducible order (sorted). With
 * ARCHIVE_LAYER overlayfs whiteouts become ".wh." entries. */
int archive_create(int root_fd, const char *path, const char *name, unsigned flags,
                   archive_write_fn *write, void *user, struct error *err);

struct archive_stat {
    char *name;
    int64_t size;
    uint32_t mode;         /* st_mode; Go's os.FileMode is the server's business */
    int64_t mtime_ns;
    char *link_target;     /* "" if none; resolved inside the root */
};
int archive_stat(int root_fd, const char *path, struct archive_stat *ret, struct error *err); /* -ENOENT */

/* What a container changed: walks the overlay's upper directory. */
enum archive_change { ARCHIVE_MODIFIED = 0, ARCHIVE_ADDED = 1, ARCHIVE_DELETED = 2 };
typedef int archive_change_fn(void *user, const char *path, enum archive_change kind);
int archive_changes(int upper_fd, int lower_root_fd, archive_change_fn *fn, void *user, struct error *err);
