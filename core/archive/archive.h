/* archive.h - trees and tar streams, with a root nobody gets out of.
 *
 * The only room that parses archives: libarchive takes compression off
 * (stream.c), tar itself is read byte for byte here (tar_read.c; why:
 * docs/adr/0007-tar-by-hand.md). Everything is done relative to a directory fd
 * with openat2(RESOLVE_IN_ROOT|NO_MAGICLINKS) (base/path.h), so a hostile archive
 * or a file system changed under our feet cannot name a host path. Never chroot, never a helper run from the container.
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
    ARCHIVE_FOLLOW = 1 << 4,          /* create: follow a symlink at the last component */
    ARCHIVE_STRICT_END = 1 << 5,      /* extract: refuse a tar without its end marker (cut short) */
    ARCHIVE_NO_TIMES = 1 << 6,        /* create: all times are 0, so that equal trees give equal tars */
};

/* What an archive may grow to; 0 (or no limits at all) takes the default. Over
 * it: -EFBIG. The ratio (unpacked : packed) counts from 512 MiB unpacked on:
 * a disk image of zeros is honest, gigabytes of them in a few kilobytes are not. */
#define ARCHIVE_MAX_BYTES (UINT64_C(64) << 30)
#define ARCHIVE_MAX_ENTRIES UINT64_C(4000000)
#define ARCHIVE_MAX_RATIO 200.0
struct archive_limits {
    uint64_t max_bytes, max_entries;
    double max_ratio;
};

struct archive_result {
    uint64_t bytes;        /* of file contents */
    uint64_t entries;
    char diff_id[72];      /* "sha256:..." with ARCHIVE_DIFF_ID */
    uint64_t stream_bytes; /* of the uncompressed tar */
    bool exact;            /* archive_extract_layer(): the recipe is complete */
};

/* A source for an archive_read_fn: user points to the fd. */
ssize_t archive_read_fd(void *user, void *buffer, size_t size);

/* An archive with its compression (any) taken off and otherwise as it is: for a
 * guest, whose agent unpacks plain tars only. Limits as for unpacking. */
struct archive_plain;
int archive_plain_open(archive_read_fn *read, void *user, const struct archive_limits *limits, struct archive_plain **ret,
                       struct error *err);
ssize_t archive_plain_read(void *plain, void *buffer, size_t size); /* an archive_read_fn */
const struct error *archive_plain_error(const struct archive_plain *plain); /* why it gave -errno; code 0: it did not */
void archive_plain_freep(struct archive_plain **plain);

/* Unpacks (any compression) below `path` inside root_fd ("/" for the root). */
int archive_extract(int root_fd, const char *path, archive_read_fn *read, void *user, unsigned flags,
                    const struct archive_limits *limits, struct archive_result *ret, struct error *err);

/* The same, everything owned and (where mode is not ARCHIVE_MODE_KEPT) permitted as said. */
#define ARCHIVE_MODE_KEPT UINT32_MAX
struct archive_owner {
    uint32_t uid, gid, mode;
};
int archive_extract_as(int root_fd, const char *path, archive_read_fn *read, void *user, unsigned flags,
                       const struct archive_owner *owner, const struct archive_limits *limits,
                       struct archive_result *ret, struct error *err);
/* Whether the file is a tar with something in it, compressed or not. Reads from its start. */
bool archive_is_tar(int fd);

/* The same for a layer (ARCHIVE_LAYER|KEEP_OWNER|DIFF_ID besides `flags`, root "/"), writing to
 * recipe_fd (empty, writable) what archive_reassemble() needs to give back the
 * very bytes of the uncompressed tar: its headers and padding, and for each
 * file's contents the place where they lie. Where that is impossible (an entry
 * replaced an earlier one) ret->exact is false and the recipe worthless. */
int archive_extract_layer(int root_fd, archive_read_fn *read, void *user, unsigned flags,
                          const struct archive_limits *limits, int recipe_fd,
                          struct archive_result *ret, struct error *err);
/* Writes the tar again from the unpacked layer and its recipe (read from its
 * start). -EIO when they do not fit together. */
int archive_reassemble(int root_fd, int recipe_fd, archive_write_fn *write, void *user,
                       struct error *err);

/* Packs as pax tar, uncompressed. `path` inside the root; entries are named
 * below `name` (docker cp: the last component; "" or ".": contents). A trailing
 * "/." or "/" means the directory behind a symlink. A symlink at the last
 * component is packed as a link unless ARCHIVE_FOLLOW. `name` "" packs a
 * directory's contents without an entry for itself, "." with one ("./").
 * Sockets are left out, as Docker does. Reproducible order (sorted). With
 * ARCHIVE_LAYER overlayfs whiteouts become ".wh." entries; what really has such
 * a name is left out. */
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

/* What is in a directory, one level deep, unsorted; nothing of it is opened. fn
 * gives 0 to go on; 1 is returned when it was longer than ARCHIVE_LIST_MAX.
 * -ENOENT, -EINVAL (not a directory). */
#define ARCHIVE_LIST_MAX 10000
struct archive_entry {
    const char *name, *link; /* link: a symlink's own text, else ""; valid in the callback only */
    uint32_t mode, target_mode; /* st_mode; of what a link leads to inside the root, 0: nowhere */
    uint32_t uid, gid;
    int64_t size, mtime_s;
};
typedef int archive_entry_fn(void *user, const struct archive_entry *entry);
int archive_list(int root_fd, const char *path, archive_entry_fn *fn, void *user,
                 struct error *err);
/* As bytes, for a guest to send. take: what it sent is hostile; -EBADMSG. The
 * entry points into the bytes, *at moves behind it. */
struct str;
void archive_entry_put(struct str *out, const struct archive_entry *entry);
int archive_entry_take(const char **at, const char *end, struct archive_entry *ret);

/* What a container changed: walks the overlay's upper directory. */
enum archive_change { ARCHIVE_MODIFIED = 0, ARCHIVE_ADDED = 1, ARCHIVE_DELETED = 2 };
typedef int archive_change_fn(void *user, const char *path, enum archive_change kind);
int archive_changes(int upper_fd, int lower_root_fd, archive_change_fn *fn, void *user, struct error *err);
