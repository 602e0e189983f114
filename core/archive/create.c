/* create.c - packing a tree as tar, and looking at one file of it. Owner: archive.
 *
 * The tree may belong to a container that changes it meanwhile: each name is
 * opened once, without following symlinks, and what is packed is what that fd is.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <uthash.h>

#include "archive/tar.h"
#include "archive/view.h"
#include "archive/xattr.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "tabique/error.h"

#define COPY_SIZE (256u << 10)
#define DEPTH_MAX 2048
#define OPEN_DEPTH 32 /* directories kept open at once; deeper ones are reopened by path */

struct linked {
    struct {
        dev_t dev;
        ino_t ino;
    } key;
    char *path; /* under which its contents are packed */
    UT_hash_handle hh;
};

struct packing {
    int top_fd; /* what is packed: paths below are relative to it */
    unsigned flags;
    struct tar_writer tar;
    struct linked *links;
    char *buffer;
    struct error *err;
};

static void packing_clear(struct packing *packing)
{
    struct linked *link, *next;

    HASH_ITER(hh, packing->links, link, next) {
        HASH_DEL(packing->links, link);
        free(link->path);
        free(link);
    }
    free(packing->buffer);
}

static int failed(struct packing *packing, int r, const char *path)
{
    error_errno(packing->err, r, "cannot pack \"%s\"", path);
    if (r == -ENOENT || r == -EEXIST || r == -EACCES || r == -EPERM || r == -EBUSY) {
        if (packing->err)
            packing->err->code = EIO;
        return -EIO;
    }
    return r;
}

static int64_t mtime_of(const struct stat *st)
{
    int64_t seconds = st->st_mtim.tv_sec;

    if (seconds > INT64_C(9000000000) || seconds < -INT64_C(9000000000))
        return 0;
    return seconds * 1000000000 + st->st_mtim.tv_nsec;
}

static void fill(const struct packing *packing, struct tar_entry *entry, const struct stat *st)
{
    entry->mode = st->st_mode & 07777;
    entry->uid = st->st_uid;
    entry->gid = st->st_gid;
    archive__owner_inside(&entry->uid, &entry->gid);
    entry->mtime_ns = packing->flags & ARCHIVE_NO_TIMES ? 0 : mtime_of(st);
}

/* The reader's end of the connection going away must keep its own code. */
static int written(struct packing *packing, int r)
{
    return r < 0 ? error_errno(packing->err, r, "cannot write the archive") : 0;
}

static int pack_contents(struct packing *packing, int fd, const char *path)
{
    while (packing->tar.left > 0) {
        ssize_t n = fd_read_full(fd, packing->buffer,
                                 packing->tar.left < COPY_SIZE ? (size_t)packing->tar.left : COPY_SIZE);
        if (n < 0)
            return failed(packing, (int)n, path);
        if (n == 0) /* it shrank: zeros fill what the header promised */
            break;
        int r = tar_write_data(&packing->tar, packing->buffer, (size_t)n);
        if (r < 0)
            return written(packing, r);
    }
    return written(packing, tar_write_close(&packing->tar));
}

/* Whether this inode is packed already; else remembers it. */
static const char *first_name(struct packing *packing, const struct stat *st, const char *name)
{
    struct linked *link, search;

    if (st->st_nlink < 2)
        return NULL;
    memset(&search.key, 0, sizeof(search.key));
    search.key.dev = st->st_dev;
    search.key.ino = st->st_ino;
    HASH_FIND(hh, packing->links, &search.key, sizeof(search.key), link);
    if (link)
        return link->path;
    link = mem_new(struct linked);
    link->key.dev = st->st_dev;
    link->key.ino = st->st_ino;
    link->path = mem_strdup(name);
    HASH_ADD(hh, packing->links, key, sizeof(link->key), link);
    return NULL;
}

static int pack_file(struct packing *packing, int parent, const char *base, const char *name,
                     const struct stat *seen)
{
    struct tar_entry entry = {.path = (char *)name};
    struct stat st;

    /* O_NONBLOCK: it may have become a FIFO since it was looked at. */
    CLEANUP_CLOSE int fd = openat(parent, base, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || errno == ELOOP || errno == ENXIO ? 0 : failed(packing, -errno, name);
    if (fstat(fd, &st) < 0)
        return failed(packing, -errno, name);
    if (!S_ISREG(st.st_mode) || st.st_ino != seen->st_ino)
        return 0; /* replaced meanwhile */
    fill(packing, &entry, &st);
    const char *first = first_name(packing, &st, name);
    if (first) {
        entry.type = TAR_HARD_LINK;
        entry.link = (char *)first;
        return written(packing, tar_write_entry(&packing->tar, &entry));
    }
    entry.type = TAR_FILE;
    entry.size = (uint64_t)st.st_size;
    xattr_get_all(fd, false, &entry.xattrs, &entry.xattr_count);
    int r = tar_write_entry(&packing->tar, &entry);
    xattr_list_free(entry.xattrs, entry.xattr_count);
    return r < 0 ? written(packing, r) : pack_contents(packing, fd, name);
}

static int pack_special(struct packing *packing, int parent, const char *base, const char *name)
{
    CLEANUP_CLOSE int fd = openat(parent, base, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct tar_entry entry = {.path = (char *)name};
    CLEANUP_FREE char *target = NULL;
    CLEANUP_FREE char *whiteout = NULL;
    struct stat st;

    if (fd < 0)
        return errno == ENOENT ? 0 : failed(packing, -errno, name);
    if (fstat(fd, &st) < 0)
        return failed(packing, -errno, name);
    fill(packing, &entry, &st);
    switch (st.st_mode & S_IFMT) {
    case S_IFLNK:
        entry.type = TAR_SYMLINK;
        entry.link = target = mem_alloc(PATH_MAX);
        if (readlinkat(fd, "", target, PATH_MAX - 1) < 0)
            return failed(packing, -errno, name);
        break;
    case S_IFCHR:
    case S_IFBLK:
        if ((packing->flags & ARCHIVE_LAYER) && S_ISCHR(st.st_mode) && st.st_rdev == 0) {
            size_t directory = (size_t)(path_base(name) - name);
            entry = (struct tar_entry){.type = TAR_FILE};
            entry.path = whiteout = mem_printf("%.*s.wh.%s", (int)directory, name, name + directory);
            return written(packing, tar_write_entry(&packing->tar, &entry));
        }
        entry.type = S_ISCHR(st.st_mode) ? TAR_CHARACTER : TAR_BLOCK;
        entry.major = major(st.st_rdev);
        entry.minor = minor(st.st_rdev);
        break;
    case S_IFIFO:
        entry.type = TAR_FIFO;
        break;
    default: /* sockets mean nothing without the process behind them */
        return 0;
    }
    const char *first = first_name(packing, &st, name);
    if (first) {
        entry.type = TAR_HARD_LINK;
        entry.link = (char *)first;
    } else {
        xattr_get_all(fd, true, &entry.xattrs, &entry.xattr_count);
    }
    int r = tar_write_entry(&packing->tar, &entry);
    xattr_list_free(entry.xattrs, entry.xattr_count);
    return written(packing, r);
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int list_names(int fd, char ***ret)
{
    CLEANUP_STRV char **names = NULL;
    size_t count = 0, capacity = 0;
    struct dirent *entry;

    int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = own < 0 ? NULL : fdopendir(own);
    if (!dir) {
        int r = -errno;
        cleanup_close(&own);
        return r;
    }
    while ((errno = 0, entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (count + 1 >= capacity) {
            capacity = capacity ? 2 * capacity : 64;
            names = mem_grow(names, capacity, sizeof(*names));
        }
        names[count++] = mem_strdup(entry->d_name);
        names[count] = NULL;
    }
    int r = -errno;
    closedir(dir);
    if (r < 0)
        return r;
    if (count > 1)
        qsort(names, count, sizeof(*names), by_bytes);
    *ret = TAKE_PTR(names);
    return 0;
}

/* A directory by its path below the top: no symlink, no way out. */
static int reopen(const struct packing *packing, const char *path)
{
    struct open_how how = {
        .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    long fd = syscall(SYS_openat2, packing->top_fd, *path ? path : ".", &how, sizeof(how));

    return fd < 0 ? -errno : (int)fd;
}

/* The directory's own entry. */
static int pack_directory_entry(struct packing *packing, int fd, const char *name)
{
    CLEANUP_FREE char *with_slash = mem_printf("%s/", name);
    struct tar_entry entry = {.type = TAR_DIRECTORY, .path = with_slash};
    struct stat st;

    if (fstat(fd, &st) < 0)
        return failed(packing, -errno, name);
    fill(packing, &entry, &st);
    xattr_get_all(fd, false, &entry.xattrs, &entry.xattr_count);
    int r = tar_write_entry(&packing->tar, &entry);
    xattr_list_free(entry.xattrs, entry.xattr_count);
    if (r == 0 && (packing->flags & ARCHIVE_LAYER) && xattr_is_opaque(fd, false)) {
        CLEANUP_FREE char *opaque = mem_printf("%s/.wh..wh..opq", name);
        struct tar_entry marker = {.type = TAR_FILE, .path = opaque};

        r = tar_write_entry(&packing->tar, &marker);
    }
    return written(packing, r);
}

/* A directory being packed. Not recursion: server threads have small stacks. */
struct level {
    struct level *up;
    int fd;       /* -EBADF while closed: reopened by path */
    char *path;   /* below the top */
    char *name;   /* in the archive; "": no prefix */
    char **names;
    size_t next;
    unsigned depth;
};

static struct level *level_leave(struct level *level)
{
    struct level *up = level->up;

    cleanup_close(&level->fd);
    strv_free(level->names);
    free(level->path);
    free(level->name);
    free(level);
    return up;
}

static void levels_free(struct level **level)
{
    while (*level)
        *level = level_leave(*level);
}

/* Takes fd. */
static int level_enter(struct packing *packing, struct level **top, int fd, const char *path, const char *name)
{
    struct level *level = mem_new(struct level);

    level->up = *top;
    level->fd = fd;
    level->path = mem_strdup(path);
    level->name = mem_strdup(name);
    level->depth = level->up ? level->up->depth + 1 : 0;
    *top = level;
    if (level->depth > DEPTH_MAX)
        return error_set(packing->err, ENAMETOOLONG, "cannot pack \"%.64s...\": directories are too deep", name);
    int r = list_names(fd, &level->names);
    if (r < 0)
        return failed(packing, r, name);
    if (level->up && level->up->depth >= OPEN_DEPTH) {
        cleanup_close(&level->up->fd);
        level->up->fd = -EBADF;
    }
    return 0;
}

static int pack_entry(struct packing *packing, struct level **top, const char *base)
{
    struct level *level = *top;
    CLEANUP_FREE char *path = *level->path ? mem_printf("%s/%s", level->path, base) : mem_strdup(base);
    CLEANUP_FREE char *name = *level->name ? mem_printf("%s/%s", level->name, base) : mem_strdup(base);
    struct stat st;

    /* In a layer such a name would mean another thing than itself: it cannot be said. */
    if ((packing->flags & ARCHIVE_LAYER) && str_starts(base, ".wh."))
        return 0;
    if (fstatat(level->fd, base, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0)
        return errno == ENOENT ? 0 : failed(packing, -errno, name);
    if (S_ISREG(st.st_mode))
        return pack_file(packing, level->fd, base, name, &st);
    if (!S_ISDIR(st.st_mode))
        return pack_special(packing, level->fd, base, name);
    CLEANUP_CLOSE int fd = openat(level->fd, base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return 0; /* gone or replaced meanwhile */
    int r = pack_directory_entry(packing, fd, name);
    return r < 0 ? r : level_enter(packing, top, TAKE_FD(fd), path, name);
}

/* Everything in the directory fd, which is taken. */
static int pack_contents_of(struct packing *packing, int fd, const char *name)
{
    CLEANUP(levels_free) struct level *top = NULL;

    int r = level_enter(packing, &top, fd, "", name);
    while (r == 0 && top) {
        if (!top->names || !top->names[top->next]) {
            top = level_leave(top);
            continue;
        }
        if (top->fd < 0)
            top->fd = reopen(packing, top->path);
        if (top->fd < 0) {
            if (top->fd != -ENOENT && top->fd != -ELOOP && top->fd != -ENOTDIR)
                return failed(packing, top->fd, top->name);
            top = level_leave(top); /* moved away meanwhile: what was packed stays packed */
            continue;
        }
        r = pack_entry(packing, &top, top->names[top->next++]);
    }
    return r;
}

static int open_failed(struct error *err, int r, const char *path)
{
    if (r == -ENOENT || r == -ENOTDIR)
        return error_set(err, ENOENT, "no such file or directory: %s", path);
    if (r == -ELOOP || r == -ENAMETOOLONG) {
        CLEANUP_FREE char *clean = path_clean(path);
        return error_set(err, EINVAL, "lstat %s: %s", clean,
                         r == -ELOOP ? "too many levels of symbolic links" : "file name too long");
    }
    error_errno(err, r, "cannot open \"%s\"", path);
    if (err)
        err->code = EIO;
    return -EIO;
}

/* The parent of path's last component, which is "" for the root and behind a "/." */
static int open_parent(int root_fd, const char *path, int *ret_parent, char **ret_base, struct error *err)
{
    size_t end = strlen(path);
    bool through = false; /* a slash or "/." behind: the directory, not a link to it */

    for (;;) {
        if (end > 0 && path[end - 1] == '/')
            end--, through = true;
        else if (end > 1 && path[end - 1] == '.' && path[end - 2] == '/')
            end--;
        else if (end == 1 && path[0] == '.')
            end--, through = true;
        else
            break;
    }
    size_t start = end;
    while (start > 0 && path[start - 1] != '/')
        start--;
    CLEANUP_FREE char *base = mem_strndup(path + start, end - start);
    if (through || strcmp(base, "..") == 0) {
        start = end;
        base[0] = '\0';
    }
    CLEANUP_FREE char *directory = start ? mem_strndup(path, start) : mem_strdup(".");
    int fd = path_open_in(root_fd, directory, O_PATH | O_DIRECTORY, 0);
    if (fd < 0)
        return open_failed(err, fd, path);
    *ret_parent = fd;
    *ret_base = TAKE_PTR(base);
    return 0;
}

int archive_create(int root_fd, const char *path, const char *name, unsigned flags, archive_write_fn *write,
                   void *user, struct error *err)
{
    CLEANUP(packing_clear) struct packing packing = {
        .top_fd = -EBADF, .flags = flags, .tar = {.write = write, .user = user}, .err = err};
    CLEANUP_CLOSE int parent = -EBADF;
    CLEANUP_CLOSE int top = -EBADF;
    CLEANUP_FREE char *base = NULL;
    struct stat st;

    packing.buffer = mem_alloc(COPY_SIZE);
    int r = open_parent(root_fd, path, &parent, &base, err);
    if (r < 0)
        return r;
    if (*base && (flags & ARCHIVE_FOLLOW)) {
        int fd = path_open_in(root_fd, path, O_PATH, 0);
        if (fd < 0)
            return open_failed(err, fd, path);
        /* From here on by the inode: its name may be anywhere in the root. */
        if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
            close(parent);
            parent = fd;
            base[0] = '\0';
        } else {
            close(fd);
        }
    }
    if (fstatat(parent, base, &st, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0)
        return open_failed(err, -errno, path);
    if (S_ISDIR(st.st_mode)) {
        top = openat(parent, *base ? base : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (top < 0)
            return open_failed(err, -errno, path);
        packing.top_fd = top;
        if (*name)
            r = pack_directory_entry(&packing, top, name);
        if (r == 0) {
            int copy = fcntl(top, F_DUPFD_CLOEXEC, 3);
            r = copy < 0 ? failed(&packing, -errno, path)
                         : pack_contents_of(&packing, copy, name);
        }
    } else {
        const char *named = *name ? name : base;

        r = S_ISREG(st.st_mode) ? pack_file(&packing, parent, base, named, &st)
                                : pack_special(&packing, parent, base, named);
    }
    return r < 0 ? r : written(&packing, tar_write_end(&packing.tar));
}

/* --- one file ------------------------------------------------------------------- */

/* Where a symlink leads, as a path inside the root. */
static char *link_target(int root_fd, const char *path, int parent, const char *base)
{
    char link[40];
    CLEANUP_FREE char *root = mem_alloc(PATH_MAX);
    CLEANUP_FREE char *target = mem_alloc(PATH_MAX);
    CLEANUP_CLOSE int fd = path_open_in(root_fd, path, O_PATH, 0);
    bool dangling = fd < 0;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", root_fd);
    if (readlink(link, root, PATH_MAX - 1) < 0)
        return mem_strdup("");
    snprintf(link, sizeof(link), "/proc/self/fd/%d", dangling ? parent : fd);
    if (readlink(link, target, PATH_MAX - 1) < 0)
        return mem_strdup("");
    const char *inside = target;
    if (strcmp(root, "/") != 0 && str_starts(target, root))
        inside = target + strlen(root);
    if (*inside == '\0')
        inside = "/";
    if (!dangling)
        return mem_strdup(inside);
    /* Nothing there: what the link says, from where it stands. */
    CLEANUP_FREE char *text = mem_alloc(PATH_MAX);
    if (readlinkat(parent, base, text, PATH_MAX - 1) < 0)
        return mem_strdup("");
    CLEANUP_FREE char *joined = text[0] == '/' ? mem_strdup(text) : path_join(inside, text);
    return path_clean(joined);
}

int archive_stat(int root_fd, const char *path, struct archive_stat *ret, struct error *err)
{
    CLEANUP_CLOSE int parent = -EBADF;
    CLEANUP_FREE char *base = NULL;
    struct stat st;

    int r = open_parent(root_fd, path, &parent, &base, err);
    if (r < 0)
        return r;
    if (fstatat(parent, base, &st, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0)
        return open_failed(err, -errno, path);
    CLEANUP_FREE char *clean = path_clean(path);
    const char *name = strcmp(clean, "/") == 0 || strcmp(clean, ".") == 0 ? "/" : path_base(clean);
    *ret = (struct archive_stat){
        .name = mem_strdup(name),
        .size = st.st_size,
        .mode = st.st_mode,
        .mtime_ns = mtime_of(&st),
        .link_target = S_ISLNK(st.st_mode) ? link_target(root_fd, path, parent, base) : mem_strdup(""),
    };
    return 0;
}
