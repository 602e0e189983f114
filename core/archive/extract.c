/* extract.c - unpacking tar entries below a root. Owner: archive.
 *
 * Every name is cleaned lexically ("..": refused), its parent is resolved with
 * openat2(RESOLVE_IN_ROOT), and the last component is then only touched through
 * that parent's fd by calls that do not follow a symlink, or through a fd opened
 * with O_NOFOLLOW. So neither the archive's own symlinks and hard links nor a
 * container that changes the tree meanwhile can name a path outside.
 *
 * One parent fd is kept between entries: archives come in directory order. It is
 * always that of the entry at hand, so nothing an entry replaces can be above it.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "archive/recipe.h"
#include "archive/stream.h"
#include "archive/tar.h"
#include "archive/view.h"
#include "archive/xattr.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "tabique/error.h"

#define WHITEOUT_PREFIX ".wh."
#define WHITEOUT_META ".wh..wh."
#define WHITEOUT_OPAQUE ".wh..wh..opq"
#define PATH_LIMIT (PATH_MAX - 1)
/* Directory times are set last, from a list whose memory must have an end. */
#define PENDING_BYTES_MAX (UINT64_C(512) << 20)

struct pending_time {
    char *path; /* inside the root */
    int64_t mtime_ns;
};

struct extraction {
    int root_fd;
    char *base; /* below which to unpack; "" for the root */
    unsigned flags;
    const struct archive_owner *owner; /* NULL: by flags */
    uint64_t max_bytes, max_entries;
    struct tar_reader *tar;
    struct recipe_writer *recipe; /* NULL: none wanted */
    bool inexact;
    char *parent_path; /* of parent_fd, as the archive names it; NULL: none open */
    int parent_fd;
    struct pending_time *pending;
    size_t pending_count, pending_capacity;
    uint64_t pending_bytes;
    struct archive_result result;
};

static void extraction_clear(struct extraction *ex)
{
    for (size_t i = 0; i < ex->pending_count; i++)
        free(ex->pending[i].path);
    free(ex->pending);
    free(ex->parent_path);
    cleanup_close(&ex->parent_fd);
    free(ex->base);
}

/* System errors that are classes of our own (error.h) must not leave as such. */
static int failed(struct error *err, int r, const char *name)
{
    switch (-r) {
    case ENOTDIR:
    case ELOOP:
        return error_set(err, EINVAL, "cannot unpack \"%s\": its place is not inside a directory", name);
    case ENAMETOOLONG:
        return error_set(err, EINVAL, "cannot unpack \"%s\": the name is too long", name);
    case EOVERFLOW:
        return error_set(err, EINVAL, "cannot unpack \"%s\": the container's user namespace does not have its owner", name);
    case EROFS:
        return error_set(err, EROFS, "cannot unpack \"%s\": the file system is read-only", name);
    case ENOENT:
    case EEXIST:
    case EBUSY:
    case EACCES:
    case EPERM:
    case EAGAIN:
    case EINVAL:
        error_errno(err, r, "cannot unpack \"%s\"", name);
        if (err)
            err->code = EIO;
        return -EIO;
    default:
        return error_errno(err, r, "cannot unpack \"%s\"", name);
    }
}

/* "/a/./b//c/" -> "a/b/c"; "" for the root itself. ".." is refused, also where
 * it would stay inside: no honest archive needs it. So is a layer's absolute name
 * ("/" alone is how some builders name the root); what a user packed with tar -P
 * and sends by cp or ADD lands below the root, as Docker has it. */
static int clean_name(const char *raw, unsigned flags, char **ret, struct error *err)
{
    CLEANUP_STR struct str out = STR_INIT;

    if ((flags & ARCHIVE_LAYER) && raw[0] == '/' && raw[1] != '\0')
        return error_set(err, EINVAL, "refused: the layer's entry \"%.256s\" has an absolute name", raw);
    for (const char *at = raw; *at;) {
        size_t n = strcspn(at, "/");

        if (n == 2 && at[0] == '.' && at[1] == '.')
            return error_set(err, EINVAL, "refused: the archive's entry \"%s\" has \"..\" in its name", raw);
        if (n > NAME_MAX)
            return error_set(err, EINVAL, "refused: the archive's entry \"%.64s...\" has too long a name", raw);
        if (n > 0 && !(n == 1 && at[0] == '.')) {
            if (out.length)
                str_append_char(&out, '/');
            str_append_n(&out, at, n);
        }
        at += n;
        while (*at == '/')
            at++;
    }
    if (out.length > PATH_LIMIT)
        return error_set(err, EINVAL, "refused: the archive's entry \"%.64s...\" has too long a path", raw);
    *ret = str_take(&out);
    return 0;
}

/* What the kernel gets to see: base and name, "." for the root. */
static char *place(const struct extraction *ex, const char *name, size_t length)
{
    if (*ex->base == '\0')
        return length ? mem_strndup(name, length) : mem_strdup(".");
    return length ? mem_printf("%s/%.*s", ex->base, (int)length, name) : mem_strdup(ex->base);
}

static bool is_whiteout(const struct stat *st)
{
    return S_ISCHR(st->st_mode) && st->st_rdev == 0;
}

static int set_opaque(int parent_fd, const char *name)
{
    CLEANUP_CLOSE int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0 || fsetxattr(fd, OVERLAY_OPAQUE, "y", 1, 0) < 0)
        return -errno;
    return 0;
}

/* A directory nobody described: as Docker makes it. */
static int make_implied(const struct extraction *ex, int parent_fd, const char *name)
{
    struct stat st;
    bool opaque = false;

    if ((ex->flags & ARCHIVE_LAYER) && fstatat(parent_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && is_whiteout(&st)) {
        if (unlinkat(parent_fd, name, 0) < 0)
            return -errno;
        opaque = true;
    }
    if (mkdirat(parent_fd, name, 0755) < 0)
        return errno == EEXIST ? 0 : -errno;
    CLEANUP_CLOSE int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fchmod(fd, 0755) < 0) /* whatever the umask */
        return -errno;
    return opaque ? set_opaque(parent_fd, name) : 0;
}

static int make_parents(const struct extraction *ex, const char *directory, size_t length, int *ret_fd)
{
    CLEANUP_FREE char *top = place(ex, "", 0);
    CLEANUP_CLOSE int fd = path_open_in(ex->root_fd, top, O_PATH | O_DIRECTORY, 0);

    if (fd < 0)
        return fd;
    for (size_t end = 0; end < length;) {
        size_t start = end + (end ? 1 : 0);
        end = start + strcspn(directory + start, "/");
        if (end > length)
            end = length;
        CLEANUP_FREE char *prefix = place(ex, directory, end);
        CLEANUP_FREE char *name = mem_strndup(directory + start, end - start);

        int next = path_open_in(ex->root_fd, prefix, O_PATH | O_DIRECTORY, 0);
        if (next == -ENOENT || next == -ENOTDIR) {
            int r = make_implied(ex, fd, name);
            if (r < 0)
                return r;
            next = path_open_in(ex->root_fd, prefix, O_PATH | O_DIRECTORY, 0);
        }
        if (next == -ENOENT) /* a symlink whose target is not there yet */
            next = path_mkdir_in(ex->root_fd, prefix, 0755);
        if (next < 0)
            return next;
        close(fd);
        fd = next;
    }
    *ret_fd = TAKE_FD(fd);
    return 0;
}

/* Opens the directory an entry goes to; *ret_base is its last component. */
static int enter_parent(struct extraction *ex, const char *name, const char **ret_base)
{
    const char *base = path_base(name);
    size_t length = base > name ? (size_t)(base - name) - 1 : 0;

    *ret_base = base;
    if (ex->parent_path && strlen(ex->parent_path) == length && memcmp(ex->parent_path, name, length) == 0)
        return 0;
    free(ex->parent_path);
    ex->parent_path = NULL;
    cleanup_close(&ex->parent_fd);
    ex->parent_fd = -EBADF;

    CLEANUP_FREE char *path = place(ex, name, length);
    int fd = path_open_in(ex->root_fd, path, O_PATH | O_DIRECTORY, 0);
    if (fd == -ENOENT || fd == -ENOTDIR) {
        int r = make_parents(ex, name, length, &fd);
        if (r < 0)
            return r;
    }
    if (fd < 0)
        return fd;
    ex->parent_fd = fd;
    ex->parent_path = mem_strndup(name, length);
    return 0;
}

/* --- metadata --------------------------------------------------------------------- */

static struct timespec to_timespec(int64_t ns)
{
    struct timespec ts = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};

    if (ts.tv_nsec < 0) {
        ts.tv_nsec += 1000000000;
        ts.tv_sec--;
    }
    return ts;
}

static int set_time(int fd, int64_t mtime_ns)
{
    struct timespec times[2] = {to_timespec(mtime_ns), to_timespec(mtime_ns)};

    return utimensat(fd, "", times, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

static int owner_of(const struct extraction *ex, const struct tar_entry *entry, uid_t *ret_uid, gid_t *ret_gid)
{
    bool keep = ex->flags & ARCHIVE_KEEP_OWNER;

    *ret_uid = ex->owner ? ex->owner->uid : keep ? entry->uid : 0;
    *ret_gid = ex->owner ? ex->owner->gid : keep ? entry->gid : 0;
    return archive__owner_outside(ret_uid, ret_gid) ? 0 : -EOVERFLOW;
}

static mode_t mode_of(const struct extraction *ex, const struct tar_entry *entry)
{
    return ex->owner && ex->owner->mode != ARCHIVE_MODE_KEPT ? ex->owner->mode : entry->mode;
}

/* chown clears setuid bits and capabilities, so it comes first; a write would,
 * too, so data comes before. */
static int describe(const struct extraction *ex, int fd, const struct tar_entry *entry)
{
    uid_t uid;
    gid_t gid;

    int r = owner_of(ex, entry, &uid, &gid);
    if (r < 0)
        return r;
    if (fchown(fd, uid, gid) < 0 || fchmod(fd, mode_of(ex, entry)) < 0)
        return -errno;
    return xattr_set_all(fd, false, entry->xattrs, entry->xattr_count);
}

/* For what cannot be opened: through an O_PATH fd, which names the inode. */
static int describe_special(const struct extraction *ex, const char *base, const struct tar_entry *entry, mode_t kind)
{
    CLEANUP_CLOSE int fd = openat(ex->parent_fd, base, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    char path[40];
    struct stat st;
    uid_t uid;
    gid_t gid;

    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    if ((st.st_mode & S_IFMT) != kind)
        return -ESTALE; /* somebody put another thing there */
    int r = owner_of(ex, entry, &uid, &gid);
    if (r < 0)
        return r;
    if (fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0)
        return -errno;
    if (kind != S_IFLNK) {
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        if (chmod(path, mode_of(ex, entry)) < 0)
            return -errno;
    }
    r = xattr_set_all(fd, true, entry->xattrs, entry->xattr_count);
    return r < 0 ? r : set_time(fd, entry->mtime_ns);
}

static int defer_time(struct extraction *ex, const char *name, int64_t mtime_ns, struct error *err)
{
    char *path = place(ex, name, strlen(name));

    ex->pending_bytes += strlen(path) + 64;
    if (ex->pending_bytes > PENDING_BYTES_MAX) {
        free(path);
        return error_set(err, EFBIG, "refused: the archive has too many directories");
    }
    if (ex->pending_count == ex->pending_capacity) {
        ex->pending_capacity = ex->pending_capacity ? 2 * ex->pending_capacity : 256;
        ex->pending = mem_grow(ex->pending, ex->pending_capacity, sizeof(*ex->pending));
    }
    ex->pending[ex->pending_count++] = (struct pending_time){path, mtime_ns};
    return 0;
}

/* Innermost first: setting one's time does not change another's, but removal and
 * re-creation of an entry does; the last word on a directory wins. */
static void set_pending_times(struct extraction *ex)
{
    for (size_t i = 0; i < ex->pending_count; i++) {
        CLEANUP_CLOSE int fd =
            path_open_in(ex->root_fd, ex->pending[i].path, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);

        if (fd >= 0) /* gone or replaced by a later entry: nothing to set */
            set_time(fd, ex->pending[i].mtime_ns);
    }
}

/* --- what stands in the way ---------------------------------------------------------- */

/* Removes what has the entry's name; *ret_was_whiteout: it was one of this layer. */
static int clear_way(struct extraction *ex, const char *base, const char *name, bool directory,
                     bool *ret_was_whiteout, struct error *err)
{
    struct stat st;

    if (fstatat(ex->parent_fd, base, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : failed(err, -errno, name);
    if ((ex->flags & ARCHIVE_LAYER) && is_whiteout(&st)) {
        *ret_was_whiteout = true;
        return unlinkat(ex->parent_fd, base, 0) < 0 ? failed(err, -errno, name) : 0;
    }
    if (ex->flags & ARCHIVE_NO_OVERWRITE_DIR) {
        if (S_ISDIR(st.st_mode) && !directory)
            return error_set(err, EISDIR, "cannot overwrite directory \"%s\" with non-directory", name);
        if (!S_ISDIR(st.st_mode) && directory)
            return error_set(err, ENOTDIR, "cannot overwrite non-directory \"%s\" with directory", name);
    }
    ex->inexact = true;
    int r = path_remove_tree(ex->parent_fd, base);
    return r < 0 ? failed(err, r, name) : 0;
}

/* --- one function a type ---------------------------------------------------------------- */

#define HOLE_MIN 4096u
#define HOLE_STEP (64u << 10)

/* The next piece of what is to be written; a whole one of zeros stays a hole: tars
 * rarely say that a file was sparse, and a disk image unpacked would fill the disk. */
static size_t next_piece(const void *data, size_t length, uint64_t offset, bool *ret_hole)
{
    const char *bytes = data;
    size_t piece = HOLE_STEP - (size_t)(offset % HOLE_STEP);

    piece = piece < length ? piece : length;
    *ret_hole = piece >= HOLE_MIN && bytes[0] == 0 && memcmp(bytes, bytes + 1, piece - 1) == 0;
    return piece;
}

static int write_contents(struct extraction *ex, int fd, const struct tar_entry *entry, const char *name,
                          struct error *err)
{
    const void *data;
    size_t length;
    uint64_t offset;
    bool hole, holes = entry->sparse;
    int r;

    while ((r = tar_data(ex->tar, &data, &length, &offset, err)) > 0) {
        while (length > 0) {
            size_t piece = next_piece(data, length, offset, &hole);
            ssize_t n = hole ? (ssize_t)piece : pwrite(fd, data, piece, (off_t)offset);

            if (n < 0 && errno == EINTR)
                continue;
            if (n < 0)
                return failed(err, -errno, name);
            holes = holes || hole;
            data = (const char *)data + n;
            length -= (size_t)n;
            offset += (uint64_t)n;
        }
    }
    if (r < 0)
        return r;
    if (holes && ftruncate(fd, (off_t)entry->size) < 0)
        return failed(err, -errno, name);
    return 0;
}

static int unpack_file(struct extraction *ex, const struct tar_entry *entry, const char *base, const char *name,
                       struct error *err)
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC;
    bool was_whiteout = false;

    ex->result.bytes += entry->size;
    if (entry->size > ex->max_bytes || ex->result.bytes > ex->max_bytes)
        return error_set(err, EFBIG, "the archive is larger than the limit of %llu bytes unpacked",
                         (unsigned long long)ex->max_bytes);
    CLEANUP_CLOSE int fd = openat(ex->parent_fd, base, flags, 0600);
    if (fd < 0 && errno == EEXIST) {
        int r = clear_way(ex, base, name, false, &was_whiteout, err);
        if (r < 0)
            return r;
        fd = openat(ex->parent_fd, base, flags, 0600);
    }
    if (fd < 0)
        return failed(err, -errno, name);
    if (ex->recipe && entry->size > 0 && !entry->sparse) {
        tar_claim(ex->tar);
        int r = recipe_file(ex->recipe, name, entry->size);
        if (r < 0)
            return failed(err, r, name);
    }
    int r = write_contents(ex, fd, entry, name, err);
    if (r < 0)
        return r;
    r = describe(ex, fd, entry);
    if (r == 0)
        r = set_time(fd, entry->mtime_ns);
    return r < 0 ? failed(err, r, name) : 0;
}

static int unpack_directory(struct extraction *ex, const struct tar_entry *entry, const char *base,
                            const char *name, struct error *err)
{
    bool was_whiteout = false;
    int r = mkdirat(ex->parent_fd, base, 0700) < 0 ? -errno : 0;

    if (r == -EEXIST) {
        struct stat st;

        if (fstatat(ex->parent_fd, base, &st, AT_SYMLINK_NOFOLLOW) < 0)
            return failed(err, -errno, name);
        if (!S_ISDIR(st.st_mode)) {
            r = clear_way(ex, base, name, true, &was_whiteout, err);
            if (r < 0)
                return r;
            if (mkdirat(ex->parent_fd, base, 0700) < 0)
                return failed(err, -errno, name);
        }
    } else if (r < 0) {
        return failed(err, r, name);
    }
    CLEANUP_CLOSE int fd = openat(ex->parent_fd, base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return failed(err, -errno, name);
    r = describe(ex, fd, entry);
    if (r == 0 && was_whiteout) /* removed and made anew in one layer: nothing below shows */
        r = set_opaque(ex->parent_fd, base);
    if (r < 0)
        return failed(err, r, name);
    return defer_time(ex, name, entry->mtime_ns, err);
}

/* The root itself: its description matters in a layer; a copy into a directory
 * leaves that directory's own alone, as Docker does. */
static int unpack_root(struct extraction *ex, const struct tar_entry *entry, struct error *err)
{
    if (!(ex->flags & ARCHIVE_LAYER) || entry->type != TAR_DIRECTORY)
        return 0;
    CLEANUP_FREE char *path = place(ex, "", 0);
    CLEANUP_CLOSE int fd = path_open_in(ex->root_fd, path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return failed(err, fd, "/");
    int r = describe(ex, fd, entry);
    return r < 0 ? failed(err, r, "/") : defer_time(ex, "", entry->mtime_ns, err);
}

static int unpack_symlink(struct extraction *ex, const struct tar_entry *entry, const char *base, const char *name,
                          struct error *err)
{
    bool was_whiteout;

    if (*entry->link == '\0' || strlen(entry->link) > PATH_LIMIT)
        return error_set(err, EINVAL, "refused: the symbolic link \"%s\" has no target or too long a one", name);
    int r = symlinkat(entry->link, ex->parent_fd, base) < 0 ? -errno : 0;
    if (r == -EEXIST) {
        r = clear_way(ex, base, name, false, &was_whiteout, err);
        if (r < 0)
            return r;
        r = symlinkat(entry->link, ex->parent_fd, base) < 0 ? -errno : 0;
    }
    if (r == 0)
        r = describe_special(ex, base, entry, S_IFLNK);
    return r < 0 ? failed(err, r, name) : 0;
}

/* The target is a place in the archive, so inside the root; its last component is
 * not followed: a link to a symlink links the symlink. */
static int unpack_hard_link(struct extraction *ex, const struct tar_entry *entry, const char *base,
                            const char *name, struct error *err)
{
    CLEANUP_FREE char *target = NULL;
    struct stat from, to;
    bool was_whiteout;

    int r = clean_name(entry->link, ex->flags, &target, err);
    if (r < 0)
        return r;
    const char *target_base = path_base(target);
    if (*target_base == '\0')
        return error_set(err, EINVAL, "refused: the hard link \"%s\" names no file", name);
    CLEANUP_FREE char *directory = place(ex, target, target_base > target ? (size_t)(target_base - target) - 1 : 0);
    CLEANUP_CLOSE int fd = path_open_in(ex->root_fd, directory, O_PATH | O_DIRECTORY, 0);
    if (fd < 0 || fstatat(fd, target_base, &from, AT_SYMLINK_NOFOLLOW) < 0)
        return error_set(err, EINVAL, "refused: the hard link \"%s\" points to \"%s\", which is not in the archive",
                         name, target);
    if (S_ISDIR(from.st_mode))
        return error_set(err, EINVAL, "refused: the hard link \"%s\" points to a directory", name);

    r = linkat(fd, target_base, ex->parent_fd, base, 0) < 0 ? -errno : 0;
    if (r == -EEXIST) {
        if (fstatat(ex->parent_fd, base, &to, AT_SYMLINK_NOFOLLOW) == 0 && to.st_ino == from.st_ino &&
            to.st_dev == from.st_dev)
            return 0; /* they are one already: removing the way would remove the target */
        r = clear_way(ex, base, name, false, &was_whiteout, err);
        if (r < 0)
            return r;
        r = linkat(fd, target_base, ex->parent_fd, base, 0) < 0 ? -errno : 0;
    }
    return r < 0 ? failed(err, r, name) : 0;
}

static int unpack_node(struct extraction *ex, const struct tar_entry *entry, const char *base, const char *name,
                       struct error *err)
{
    static const mode_t kinds[] = {[TAR_CHARACTER] = S_IFCHR, [TAR_BLOCK] = S_IFBLK, [TAR_FIFO] = S_IFIFO};
    mode_t kind = kinds[entry->type];
    dev_t device = entry->type == TAR_FIFO ? 0 : makedev(entry->major, entry->minor);
    bool was_whiteout;

    int r = mknodat(ex->parent_fd, base, kind | 0600, device) < 0 ? -errno : 0;
    if (r == -EEXIST) {
        r = clear_way(ex, base, name, false, &was_whiteout, err);
        if (r < 0)
            return r;
        r = mknodat(ex->parent_fd, base, kind | 0600, device) < 0 ? -errno : 0;
    }
    if (r == 0)
        r = describe_special(ex, base, entry, kind);
    return r < 0 ? failed(err, r, name) : 0;
}

/* ".wh.NAME": NAME of the layers below is gone; ".wh..wh..opq": all of them. A
 * whiteout speaks of lower layers only, so what this layer has under that name
 * stays, wherever in the archive either stands. */
static int unpack_whiteout(struct extraction *ex, const char *base, const char *name, struct error *err)
{
    const char *hidden = base + strlen(WHITEOUT_PREFIX);
    struct stat st;
    int r;

    if (strcmp(base, WHITEOUT_OPAQUE) == 0) {
        r = set_opaque(ex->parent_fd, ".");
        return r < 0 ? failed(err, r, name) : 0;
    }
    if (*hidden == '\0' || strcmp(hidden, ".") == 0 || strcmp(hidden, "..") == 0)
        return error_set(err, EINVAL, "refused: \"%s\" is no valid whiteout", name);
    r = mknodat(ex->parent_fd, hidden, S_IFCHR, 0) < 0 ? -errno : 0;
    if (r == -EEXIST) {
        r = 0;
        if (fstatat(ex->parent_fd, hidden, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
            r = set_opaque(ex->parent_fd, hidden);
    }
    return r < 0 ? failed(err, r, name) : 0;
}

/* AUFS's own book-keeping, which old layers carry: means nothing here. */
static bool is_aufs(const char *name)
{
    for (const char *at = name; at; at = strchr(at, '/') ? strchr(at, '/') + 1 : NULL)
        if (str_starts(at, WHITEOUT_META) && strcmp(at, WHITEOUT_OPAQUE) != 0)
            return true;
    return false;
}

static int unpack_entry(struct extraction *ex, const struct tar_entry *entry, struct error *err)
{
    CLEANUP_FREE char *name = NULL;
    const char *base;

    if (++ex->result.entries > ex->max_entries)
        return error_set(err, EFBIG, "the archive has more than %llu entries",
                         (unsigned long long)ex->max_entries);
    int r = clean_name(entry->path, ex->flags, &name, err);
    if (r < 0)
        return r;
    if (*name == '\0')
        return unpack_root(ex, entry, err);
    bool whiteout = (ex->flags & ARCHIVE_LAYER) && str_starts(path_base(name), WHITEOUT_PREFIX);
    if ((ex->flags & ARCHIVE_LAYER) && is_aufs(name))
        return 0;
    r = enter_parent(ex, name, &base);
    if (r < 0)
        return failed(err, r, name);
    if (whiteout)
        return unpack_whiteout(ex, base, name, err);
    switch (entry->type) {
    case TAR_FILE:
        return unpack_file(ex, entry, base, name, err);
    case TAR_HARD_LINK:
        return unpack_hard_link(ex, entry, base, name, err);
    case TAR_SYMLINK:
        return unpack_symlink(ex, entry, base, name, err);
    case TAR_DIRECTORY:
        return unpack_directory(ex, entry, base, name, err);
    default:
        return unpack_node(ex, entry, base, name, err);
    }
}

/* --- the whole ------------------------------------------------------------------------------ */

static int tap_recipe(void *user, const void *data, size_t length)
{
    return recipe_raw(user, data, length);
}

static int run(struct extraction *ex, archive_read_fn *read, void *user, const struct archive_limits *limits,
               struct archive_result *ret, struct error *err)
{
    CLEANUP_STREAM struct archive_stream *stream = NULL;
    CLEANUP(tar_reader_freep) struct tar_reader *tar = NULL;
    const struct tar_entry *entry;

    ex->max_bytes = limits && limits->max_bytes ? limits->max_bytes : ARCHIVE_MAX_BYTES;
    ex->max_entries = limits && limits->max_entries ? limits->max_entries : ARCHIVE_MAX_ENTRIES;
    int r = archive_stream_open(read, user, limits, ex->flags & ARCHIVE_DIFF_ID, &stream, err);
    if (r < 0)
        return r;
    ex->tar = tar = tar_reader_new(stream);
    if (ex->recipe)
        tar_set_tap(tar, tap_recipe, ex->recipe);
    while ((r = tar_next(tar, &entry, err)) > 0) {
        r = unpack_entry(ex, entry, err);
        if (r < 0)
            return r;
    }
    if (r == 0)
        r = tar_drain(tar, err);
    if (r < 0)
        return r;
    if ((ex->flags & ARCHIVE_STRICT_END) && !tar_had_end(tar))
        return error_set(err, EINVAL, "the archive is cut short: its end is missing");
    if (ex->recipe) {
        r = recipe_finish(ex->recipe);
        if (r < 0)
            return error_errno(err, r, "cannot write a layer's recipe");
    }
    set_pending_times(ex);
    ex->result.exact = ex->recipe && !ex->inexact;
    ex->result.stream_bytes = archive_stream_bytes(stream);
    if (ex->flags & ARCHIVE_DIFF_ID)
        archive_stream_digest(stream, ex->result.diff_id);
    *ret = ex->result;
    return 0;
}

int archive_extract(int root_fd, const char *path, archive_read_fn *read, void *user, unsigned flags,
                    const struct archive_limits *limits, struct archive_result *ret, struct error *err)
{
    return archive_extract_as(root_fd, path, read, user, flags, NULL, limits, ret, err);
}

bool archive_is_tar(int fd)
{
    CLEANUP_STREAM struct archive_stream *stream = NULL;
    CLEANUP(tar_reader_freep) struct tar_reader *tar = NULL;
    const struct tar_entry *entry;

    if (archive_stream_open(archive_read_fd, &fd, NULL, false, &stream, NULL) < 0)
        return false;
    tar = tar_reader_new(stream);
    return tar_next(tar, &entry, NULL) > 0;
}

int archive_extract_as(int root_fd, const char *path, archive_read_fn *read, void *user, unsigned flags,
                       const struct archive_owner *owner, const struct archive_limits *limits,
                       struct archive_result *ret, struct error *err)
{
    CLEANUP(extraction_clear) struct extraction ex = {
        .root_fd = root_fd, .parent_fd = -EBADF, .flags = flags, .owner = owner};
    struct archive_result ignored;

    ex.base = mem_strdup(path + strspn(path, "/"));
    CLEANUP_CLOSE int fd = path_open_in(root_fd, *ex.base ? ex.base : ".", O_PATH | O_DIRECTORY, 0);
    if (fd == -ENOENT)
        return error_set(err, ENOENT, "no such directory: %s", path);
    if (fd == -ENOTDIR)
        return error_set(err, EINVAL, "not a directory: %s", path);
    if (fd < 0)
        return failed(err, fd, path);
    return run(&ex, read, user, limits, ret ? ret : &ignored, err);
}

int archive_extract_layer(int root_fd, archive_read_fn *read, void *user, unsigned flags,
                          const struct archive_limits *limits, int recipe_fd, struct archive_result *ret,
                          struct error *err)
{
    CLEANUP(recipe_writer_freep) struct recipe_writer *recipe = recipe_writer_new(recipe_fd);
    CLEANUP(extraction_clear) struct extraction ex = {
        .root_fd = root_fd,
        .parent_fd = -EBADF,
        .flags = flags | ARCHIVE_LAYER | ARCHIVE_KEEP_OWNER | ARCHIVE_DIFF_ID,
        .base = mem_strdup(""),
        .recipe = recipe,
    };

    return run(&ex, read, user, limits, ret, err);
}
