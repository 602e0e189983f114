/* path.c - lexical paths, resolution inside a root, and tree walks by fd. Owner: base.
 *
 * The walks (remove, disk usage) expect trees that somebody hostile wrote and may
 * still be writing: any depth (no recursion, a bounded number of fds), symlinks
 * swapped in for directories (O_NOFOLLOW and openat2), directories moved away
 * while we are inside (".." is believed only if it is the inode we came from).
 */
#include "base/path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"

/* --- lexical ------------------------------------------------------------ */

char *path_join(const char *a, const char *b)
{
    size_t length = strlen(a);

    while (*b == '/')
        b++;
    if (length == 0)
        return mem_strdup(b);
    if (*b == '\0')
        return mem_strdup(a);
    while (length > 0 && a[length - 1] == '/')
        length--;

    struct str s = STR_INIT;
    str_append_n(&s, a, length);
    str_append_char(&s, '/');
    str_append(&s, b);
    return str_take(&s);
}

char *path_clean(const char *path)
{
    bool rooted = *path == '/';
    size_t length = strlen(path);
    char *out = mem_alloc(length + 2);
    size_t n = 0;
    size_t floor = 0; /* ".." cannot go back below this */

    if (rooted)
        out[n++] = '/';
    floor = n;
    while (*path) {
        if (*path == '/') {
            path++;
            continue;
        }
        size_t part = strcspn(path, "/");
        if (part == 1 && path[0] == '.') {
            path++;
            continue;
        }
        if (part == 2 && path[0] == '.' && path[1] == '.') {
            path += 2;
            if (n > floor) {
                n--;
                while (n > floor && out[n] != '/')
                    n--;
            } else if (!rooted) {
                if (n > 0)
                    out[n++] = '/';
                out[n++] = '.';
                out[n++] = '.';
                floor = n;
            }
            continue;
        }
        if (n > (rooted ? 1u : 0u))
            out[n++] = '/';
        memcpy(out + n, path, part);
        n += part;
        path += part;
    }
    if (n == 0)
        out[n++] = '.';
    out[n] = '\0';
    return out;
}

const char *path_base(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

char *path_dir(const char *path)
{
    CLEANUP_FREE char *folder = mem_strndup(path, (size_t)(path_base(path) - path));

    return path_clean(folder);
}

/* --- inside a root ------------------------------------------------------ */

static int open_how(int dirfd, const char *path, int flags, mode_t mode, uint64_t resolve)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
        .resolve = resolve,
    };

    /* openat2() refuses a mode that nothing would use. */
    if ((flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE)
        how.mode = mode & 07777;
    /* EAGAIN: a rename or mount raced with a "..". An attacker can keep that up
     * for ever, hence the end to it. */
    for (int attempt = 0; attempt < 128; attempt++) {
        long fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));

        if (fd >= 0)
            return (int)fd;
        if (errno != EAGAIN && errno != EINTR)
            return -errno;
    }
    return -EAGAIN;
}

int path_open_in(int rootfd, const char *path, int flags, mode_t mode)
{
    return open_how(rootfd, path, flags, mode, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

/* What path becomes when the dangling symlink at path[0..end) is replaced by its
 * target; NULL with errno when it is no symlink. */
static char *follow_dangling(int parent, const char *name, const char *path, size_t start,
                             size_t end)
{
    CLEANUP_FREE char *target = mem_alloc(PATH_MAX);
    ssize_t n = readlinkat(parent, name, target, PATH_MAX - 1);

    if (n < 0)
        return NULL;
    struct str s = STR_INIT;
    if (target[0] != '/')
        str_append_n(&s, path, start);
    str_append(&s, target);
    str_append(&s, path + end);
    return str_take(&s);
}

int path_mkdir_in(int rootfd, const char *path, mode_t mode)
{
    CLEANUP_FREE char *left = mem_strdup(path);
    CLEANUP_CLOSE int fd = -EBADF;

    for (int links = 0; links < 40; links++) {
        size_t end = 0;

        /* Every prefix is resolved afresh from the root: a fd of a component
         * that was moved meanwhile could lie outside. */
        cleanup_close(&fd);
        fd = path_open_in(rootfd, ".", O_PATH | O_DIRECTORY, 0);
        if (fd < 0)
            return fd;
        for (;;) {
            size_t start = end + strspn(left + end, "/");
            end = start + strcspn(left + start, "/");
            if (end == start)
                return TAKE_FD(fd);

            CLEANUP_FREE char *prefix = mem_strndup(left, end);
            CLEANUP_FREE char *name = mem_strndup(left + start, end - start);
            int next = path_open_in(rootfd, prefix, O_PATH | O_DIRECTORY, 0);
            if (next == -ENOENT) {
                if (mkdirat(fd, name, mode) < 0 && errno != EEXIST)
                    return -errno;
                next = path_open_in(rootfd, prefix, O_PATH | O_DIRECTORY, 0);
            }
            if (next == -ENOENT) {
                char *followed = follow_dangling(fd, name, left, start, end);
                if (!followed)
                    return -ENOENT;
                free(left);
                left = followed;
                if (strlen(left) >= PATH_MAX)
                    return -ENAMETOOLONG;
                break;
            }
            if (next < 0)
                return next;
            cleanup_close(&fd);
            fd = next;
        }
    }
    return -ELOOP;
}

int path_mkdirs(const char *path, mode_t mode)
{
    CLEANUP_FREE char *copy = mem_strdup(path);
    size_t end = 0;
    struct stat st;

    /* The usual case, and the one that works below a folder we may not write. */
    if (stat(path, &st) == 0)
        return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
    for (;;) {
        size_t start = end + strspn(copy + end, "/");
        end = start + strcspn(copy + start, "/");
        if (end == start)
            break;

        char kept = copy[end];
        copy[end] = '\0';
        if (mkdir(copy, mode) < 0 && errno != EEXIST) {
            int r = -errno;
            /* A parent on a read-only file system that is there already. */
            if (stat(copy, &st) < 0)
                return r;
        }
        copy[end] = kept;
    }
    if (stat(path, &st) < 0)
        return -errno;
    return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

/* --- walking ------------------------------------------------------------ */

/* Directories from the top to where we are. Only the innermost KEEP_OPEN are
 * open; an outer one is reopened as the ".." of the inner one. */
#define KEEP_OPEN 32

struct frame {
    DIR *dir;       /* NULL while closed */
    dev_t dev;      /* to know it again */
    ino_t ino;
    long position;  /* of telldir(), while closed */
    int retries;    /* removal: entries appeared meanwhile */
    char name[];    /* in the parent */
};

struct walk {
    bool restart; /* removal: what was passed is gone, positions mean nothing */
    struct frame **frames;
    size_t depth;
    size_t capacity;
};

static void walk_free(struct walk *walk)
{
    for (size_t i = 0; i < walk->depth; i++) {
        if (walk->frames[i]->dir)
            closedir(walk->frames[i]->dir);
        free(walk->frames[i]);
    }
    free(walk->frames);
}

static struct frame *walk_top(struct walk *walk)
{
    return walk->frames[walk->depth - 1];
}

/* Takes fd, also on failure. */
static int walk_push(struct walk *walk, int fd, const char *name)
{
    struct stat st;

    if (fstat(fd, &st) < 0) {
        int r = -errno;
        close(fd);
        return r;
    }
    DIR *dir = fdopendir(fd);
    if (!dir) {
        int r = -errno;
        close(fd);
        return r;
    }
    if (walk->depth == walk->capacity) {
        walk->capacity = walk->capacity ? 2 * walk->capacity : 16;
        walk->frames = mem_grow(walk->frames, walk->capacity, sizeof(*walk->frames));
    }
    size_t length = strlen(name);
    struct frame *frame = mem_alloc(sizeof(*frame) + length + 1);
    frame->dir = dir;
    frame->dev = st.st_dev;
    frame->ino = st.st_ino;
    memcpy(frame->name, name, length);
    walk->frames[walk->depth++] = frame;

    if (walk->depth > KEEP_OPEN) {
        struct frame *outer = walk->frames[walk->depth - 1 - KEEP_OPEN];
        /* Closed already when we have been this deep before, below a sibling. */
        if (outer->dir) {
            outer->position = telldir(outer->dir);
            closedir(outer->dir);
            outer->dir = NULL;
        }
    }
    return 0;
}

/* Leaves the top directory; its parent, if any, is open again afterwards. */
static int walk_pop(struct walk *walk)
{
    struct frame *frame = walk_top(walk);
    struct frame *outer = walk->depth > 1 ? walk->frames[walk->depth - 2] : NULL;
    int r = 0;

    if (outer && !outer->dir) {
        CLEANUP_CLOSE int fd =
            openat(dirfd(frame->dir), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
            r = -errno;
        else if (st.st_dev != outer->dev || st.st_ino != outer->ino)
            r = -ESTALE; /* moved while we were inside: not ours any more */
        else if (!(outer->dir = fdopendir(fd)))
            r = -errno;
        else
            TAKE_FD(fd);
        if (r == 0 && !walk->restart)
            seekdir(outer->dir, outer->position);
    }
    closedir(frame->dir);
    free(frame);
    walk->depth--;
    return r;
}

/* The next entry's name; NULL at the end (0) or on failure (-errno). */
static int walk_next(struct walk *walk, struct dirent **ret)
{
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(walk_top(walk)->dir);

        if (!entry) {
            *ret = NULL;
            return -errno;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            *ret = entry;
            return 0;
        }
    }
}

/* A directory that is a plain child of parent. -EXDEV: a mount point, which also
 * finds bind mounts of the same file system, where st_dev would see nothing. */
static int open_child(int parent, const char *name)
{
    return open_how(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0,
                    RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
}

/* Removes one entry, or enters it when it is a directory with something in it. */
static int remove_entry(struct walk *walk, int parent, const char *name, bool maybe_directory)
{
    /* A name can change its kind between any two calls, so each answer only
     * decides what to try next. */
    for (int attempt = 0; attempt < 16; attempt++) {
        if (!maybe_directory) {
            if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
                return 0;
            if (errno != EISDIR && errno != EPERM)
                return -errno;
            /* EPERM: POSIX's answer for a directory, or an immutable file. */
            struct stat st;
            int r = -errno;
            if (r == -EPERM && fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                !S_ISDIR(st.st_mode))
                return r;
            maybe_directory = true;
        }
        if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
            return 0;
        if (errno == ENOTDIR) {
            maybe_directory = false;
            continue;
        }
        if (errno != ENOTEMPTY && errno != EEXIST)
            return -errno;
        int fd = open_child(parent, name);
        if (fd >= 0)
            return walk_push(walk, fd, name);
        if (fd == -ENOENT)
            return 0;
        if (fd == -EXDEV)
            return -EBUSY;
        if (fd != -ENOTDIR && fd != -ELOOP)
            return fd;
        maybe_directory = false;
    }
    return -EAGAIN;
}

static int remove_below(struct walk *walk, int top_parent)
{
    while (walk->depth > 0) {
        struct frame *frame = walk_top(walk);
        struct dirent *entry;

        int r = walk_next(walk, &entry);
        if (r < 0)
            return r;
        if (entry) {
            r = remove_entry(walk, dirfd(frame->dir), entry->d_name, entry->d_type == DT_DIR);
            if (r < 0)
                return r;
            continue;
        }

        /* Empty by now, unless somebody still writes here. */
        CLEANUP_FREE char *name = mem_strdup(frame->name);
        int retries = frame->retries;
        r = walk_pop(walk);
        if (r < 0)
            return r;
        int parent = walk->depth ? dirfd(walk_top(walk)->dir) : top_parent;
        if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
            continue;
        if ((errno != ENOTEMPTY && errno != EEXIST) || retries >= 8)
            return -errno;
        r = remove_entry(walk, parent, name, true);
        if (r < 0)
            return r;
        if (walk->depth > 0 && strcmp(walk_top(walk)->name, name) == 0)
            walk_top(walk)->retries = retries + 1;
    }
    return 0;
}

/* Splits path into an open parent and a last component, which may not be "." or
 * "..": those name something else than an entry of their parent. */
static int open_parent(int at, const char *path, int *ret_parent, char **ret_name)
{
    size_t end = strlen(path);

    while (end > 0 && path[end - 1] == '/')
        end--;
    size_t start = end;
    while (start > 0 && path[start - 1] != '/')
        start--;
    CLEANUP_FREE char *name = mem_strndup(path + start, end - start);
    if (*name == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return -EINVAL;
    if (strlen(name) > NAME_MAX)
        return -ENAMETOOLONG;
    CLEANUP_FREE char *folder = start ? mem_strndup(path, start) : mem_strdup(".");
    int fd = openat(at, folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    *ret_parent = fd;
    *ret_name = TAKE_PTR(name);
    return 0;
}

int path_remove_tree(int at, const char *path)
{
    CLEANUP(walk_free) struct walk walk = {.restart = true};
    CLEANUP_CLOSE int parent = -EBADF;
    CLEANUP_FREE char *name = NULL;

    int r = open_parent(at, path, &parent, &name);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    r = remove_entry(&walk, parent, name, false);
    if (r < 0)
        return r;
    return remove_below(&walk, parent);
}

/* --- disk usage --------------------------------------------------------- */

/* Inodes seen, of those with several links: open addressing, linear probing. */
struct inode_set {
    struct inode {
        dev_t dev;
        ino_t ino; /* 0: free */
    } *slots;
    size_t count;
    size_t capacity; /* a power of two */
};

static void inode_set_free(struct inode_set *set)
{
    free(set->slots);
}

static struct inode *inode_slot(struct inode_set *set, dev_t dev, ino_t ino)
{
    uint64_t hash = ((uint64_t)ino ^ (uint64_t)dev << 32) * UINT64_C(0x9E3779B97F4A7C15);
    size_t at = (size_t)(hash >> 32) & (set->capacity - 1);

    while (set->slots[at].ino && (set->slots[at].ino != ino || set->slots[at].dev != dev))
        at = (at + 1) & (set->capacity - 1);
    return &set->slots[at];
}

/* True when it was not there. */
static bool inode_set_add(struct inode_set *set, dev_t dev, ino_t ino)
{
    if (2 * (set->count + 1) > set->capacity) {
        struct inode_set larger = {.capacity = set->capacity ? 2 * set->capacity : 256};

        larger.slots = mem_array(larger.capacity, sizeof(*larger.slots));
        for (size_t i = 0; i < set->capacity; i++)
            if (set->slots[i].ino)
                *inode_slot(&larger, set->slots[i].dev, set->slots[i].ino) = set->slots[i];
        larger.count = set->count;
        free(set->slots);
        *set = larger;
    }
    struct inode *slot = inode_slot(set, dev, ino);
    if (slot->ino)
        return false;
    *slot = (struct inode){.dev = dev, .ino = ino};
    set->count++;
    return true;
}

static void count_inode(struct inode_set *seen, const struct stat *st, uint64_t *total)
{
    if (!S_ISDIR(st->st_mode) && (st->st_nlink == 1 || inode_set_add(seen, st->st_dev, st->st_ino)))
        *total += (uint64_t)st->st_size;
}

int path_tree_size(int at, const char *path, uint64_t *ret_bytes)
{
    CLEANUP(walk_free) struct walk walk = {0};
    CLEANUP(inode_set_free) struct inode_set seen = {0};
    uint64_t total = 0;
    struct stat st;

    if (fstatat(at, path, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0)
        return -errno;
    count_inode(&seen, &st, &total);
    if (S_ISDIR(st.st_mode)) {
        int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
            return -errno;
        int r = walk_push(&walk, fd, "");
        if (r < 0)
            return r;
    }

    while (walk.depth > 0) {
        struct dirent *entry;

        int r = walk_next(&walk, &entry);
        if (r < 0)
            return r;
        if (!entry) {
            r = walk_pop(&walk);
            if (r < 0)
                return r;
            continue;
        }
        int here = dirfd(walk_top(&walk)->dir);
        if (fstatat(here, entry->d_name, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0) {
            if (errno == ENOENT)
                continue;
            return -errno;
        }
        if (S_ISDIR(st.st_mode)) {
            int fd = open_child(here, entry->d_name);
            if (fd == -EXDEV || fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP)
                continue;
            if (fd < 0)
                return fd;
            r = walk_push(&walk, fd, entry->d_name);
            if (r < 0)
                return r;
        }
        count_inode(&seen, &st, &total);
    }
    *ret_bytes = total;
    return 0;
}
