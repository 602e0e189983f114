/* tree.c - the shares as a FUSE tree.
 *
 * An inode here is an O_PATH fd, found by device and inode number, and counted as the
 * protocol says (lookup adds, forget takes away). Inode numbers and file handles come
 * back from the guest, which may send any number: they are looked up in tables, never
 * taken for pointers or fds; an unknown one is the "stale" one, whose fd is none. Everything is done on fds and single
 * names below them; what must be opened goes through /fd (our /proc/self/fd). What a
 * guest creates is made by us and given to the guest's user afterwards; permission
 * checks are the guest kernel's (default_permissions), as its users are its own. */
#include "files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <uthash.h>

#include "base/cleanup.h"
#include "base/mem.h"

/* How long the guest may trust what it was told. Others may change a shared
 * directory behind its back: short enough to see a file appear, long enough for a
 * compiler not to ask for each header twice. */
#define CACHE_SECONDS 1.0
#define INODES_MAX 200000
#define HANDLES_MAX 16384

struct key {
    uint64_t device, inode, readonly;
};

struct inode {
    struct key key;
    uint64_t number; /* what the guest calls it */
    int fd;          /* O_PATH */
    uint64_t lookups;
    bool readonly;
    bool share; /* a root: never forgotten */
    UT_hash_handle by_key, by_number;
};

static struct inode stale = {.fd = -EBADF, .readonly = true, .share = true};
static struct inode *inodes_by_key, *inodes_by_number;
static uint64_t last_number = FUSE_ROOT_ID;
static struct inode *shares[FILES_SHARES_MAX];
static size_t share_count;

static struct inode *inode_of(fuse_ino_t ino)
{
    uint64_t number = ino;
    struct inode *inode;

    HASH_FIND(by_number, inodes_by_number, &number, sizeof(number), inode);
    return inode ? inode : &stale;
}

static bool is_root(fuse_ino_t ino)
{
    return ino == FUSE_ROOT_ID;
}

/* A name must be one component: "." and ".." never come from a kernel. */
static bool is_name(const char *name)
{
    return name[0] && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static int reopen(const struct inode *inode, int flags)
{
    char path[32];
    int fd;

    snprintf(path, sizeof(path), "/fd/%d", inode->fd);
    fd = open(path, (flags & ~(O_NOFOLLOW | O_CREAT | O_EXCL)) | O_CLOEXEC | O_NOCTTY);
    return fd < 0 ? -errno : fd;
}

static void fill_root(struct stat *st)
{
    *st = (struct stat){.st_ino = FUSE_ROOT_ID, .st_mode = S_IFDIR | 0555, .st_nlink = 2};
}

/* --- inodes ------------------------------------------------------------------------ */

static struct inode *inode_get(int fd, const struct stat *st, bool readonly)
{
    struct key key;
    struct inode *inode;

    memset(&key, 0, sizeof(key));
    key.device = st->st_dev;
    key.inode = st->st_ino;
    /* The same file in a read-only and a writable share is two: the mode of one must
     * not leak into the other. */
    key.readonly = readonly;
    HASH_FIND(by_key, inodes_by_key, &key, sizeof(key), inode);
    if (inode) {
        close(fd);
        return inode;
    }
    if (HASH_CNT(by_key, inodes_by_key) >= INODES_MAX) {
        close(fd);
        return NULL;
    }
    inode = mem_new(struct inode);
    inode->key = key;
    inode->number = ++last_number;
    inode->fd = fd;
    inode->readonly = readonly;
    HASH_ADD(by_key, inodes_by_key, key, sizeof(key), inode);
    HASH_ADD(by_number, inodes_by_number, number, sizeof(inode->number), inode);
    return inode;
}

static void inode_forget(struct inode *inode, uint64_t count)
{
    inode->lookups = count < inode->lookups ? inode->lookups - count : 0;
    if (inode->lookups || inode->share)
        return;
    HASH_DELETE(by_key, inodes_by_key, inode);
    HASH_DELETE(by_number, inodes_by_number, inode);
    close(inode->fd);
    free(inode);
}

static int look_up(fuse_ino_t parent, const char *name, struct fuse_entry_param *entry)
{
    struct inode *inode;
    int fd;

    *entry = (struct fuse_entry_param){.attr_timeout = CACHE_SECONDS, .entry_timeout = CACHE_SECONDS};
    if (is_root(parent)) {
        char *end;
        unsigned long number = strtoul(name, &end, 10);
        if (*end || end == name || number >= share_count)
            return ENOENT;
        inode = shares[number];
    } else {
        if (!is_name(name))
            return EINVAL;
        fd = openat(inode_of(parent)->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
            return errno;
        if (fstatat(fd, "", &entry->attr, AT_EMPTY_PATH) < 0) {
            int r = errno;
            close(fd);
            return r;
        }
        inode = inode_get(fd, &entry->attr, inode_of(parent)->readonly);
        if (!inode)
            return ENFILE;
    }
    if (fstatat(inode->fd, "", &entry->attr, AT_EMPTY_PATH) < 0)
        return errno;
    inode->lookups++;
    entry->ino = inode->number;
    return 0;
}

int tree_open(const int *fds, const bool *readonly, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct stat st;
        /* A share may stand in a container twice; each has its own number. */
        if (fstatat(fds[i], "", &st, AT_EMPTY_PATH) < 0)
            return -errno;
        shares[i] = inode_get(fds[i], &st, readonly[i]);
        if (!shares[i])
            return -ENFILE;
        shares[i]->share = true;
    }
    share_count = count;
    return 0;
}

/* --- attributes ----------------------------------------------------------------------- */

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fuse_entry_param entry;
    int r = look_up(parent, name, &entry);

    if (r)
        fuse_reply_err(req, r);
    else
        fuse_reply_entry(req, &entry);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
    if (!is_root(ino))
        inode_forget(inode_of(ino), count);
    fuse_reply_none(req);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct stat st;

    if (is_root(ino))
        fill_root(&st);
    else if (fstatat(inode_of(ino)->fd, "", &st, AT_EMPTY_PATH) < 0) {
        fuse_reply_err(req, errno);
        return;
    }
    fuse_reply_attr(req, &st, CACHE_SECONDS);
}

/* 0 where the inode may be changed, else the error. */
static int writable(fuse_ino_t ino)
{
    return is_root(ino) || inode_of(ino)->readonly ? EROFS : 0;
}

static int set_attributes(struct inode *inode, const struct stat *attr, int to_set)
{
    char path[32];

    snprintf(path, sizeof(path), "/fd/%d", inode->fd);
    if ((to_set & FUSE_SET_ATTR_MODE) && fchmodat(AT_FDCWD, path, attr->st_mode & 07777, 0) < 0)
        return errno;
    if (to_set & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)) {
        uid_t uid = to_set & FUSE_SET_ATTR_UID ? attr->st_uid : (uid_t)-1;
        gid_t gid = to_set & FUSE_SET_ATTR_GID ? attr->st_gid : (gid_t)-1;
        if (fchownat(inode->fd, "", uid, gid, AT_EMPTY_PATH) < 0)
            return errno;
    }
    if (to_set & FUSE_SET_ATTR_SIZE) {
        CLEANUP_CLOSE int fd = reopen(inode, O_WRONLY);
        if (fd < 0)
            return -fd;
        if (ftruncate(fd, attr->st_size) < 0)
            return errno;
    }
    if (to_set & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME)) {
        struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}};
        if (to_set & FUSE_SET_ATTR_ATIME)
            times[0] = attr->st_atim;
        if (to_set & FUSE_SET_ATTR_ATIME_NOW)
            times[0].tv_nsec = UTIME_NOW;
        if (to_set & FUSE_SET_ATTR_MTIME)
            times[1] = attr->st_mtim;
        if (to_set & FUSE_SET_ATTR_MTIME_NOW)
            times[1].tv_nsec = UTIME_NOW;
        if (utimensat(AT_FDCWD, path, times, 0) < 0)
            return errno;
    }
    return 0;
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
    int r = writable(ino);

    if (!r)
        r = set_attributes(inode_of(ino), attr, to_set);
    if (r)
        fuse_reply_err(req, r);
    else
        op_getattr(req, ino, fi);
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
    char target[PATH_MAX];
    ssize_t n = is_root(ino) ? (errno = EINVAL, -1) : readlinkat(inode_of(ino)->fd, "", target, sizeof(target) - 1);

    if (n < 0) {
        fuse_reply_err(req, errno);
        return;
    }
    target[n] = '\0';
    fuse_reply_readlink(req, target);
}

/* --- making and removing names ------------------------------------------------------------ */

/* What was just made as `name` is given to whoever asked for it, and looked up. */
static void reply_made(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    const struct fuse_ctx *who = fuse_req_ctx(req);
    struct fuse_entry_param entry;
    struct stat st;
    int r;

    /* A directory with the set-group bit passes its group on; that has happened. */
    gid_t gid = fstatat(inode_of(parent)->fd, "", &st, AT_EMPTY_PATH) == 0 && (st.st_mode & S_ISGID) ? (gid_t)-1 : who->gid;
    r = fchownat(inode_of(parent)->fd, name, who->uid, gid, AT_SYMLINK_NOFOLLOW) < 0 ? errno : look_up(parent, name, &entry);
    if (r)
        fuse_reply_err(req, r);
    else
        fuse_reply_entry(req, &entry);
}

static int check_new(fuse_ino_t parent, const char *name)
{
    int r = writable(parent);

    return r ? r : is_name(name) ? 0 : EINVAL;
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t device)
{
    int r = check_new(parent, name);

    if (!r && mknodat(inode_of(parent)->fd, name, mode, device) < 0)
        r = errno;
    if (r)
        fuse_reply_err(req, r);
    else
        reply_made(req, parent, name);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    int r = check_new(parent, name);

    if (!r && mkdirat(inode_of(parent)->fd, name, mode & 07777) < 0)
        r = errno;
    if (r)
        fuse_reply_err(req, r);
    else
        reply_made(req, parent, name);
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
    int r = check_new(parent, name);

    if (!r && symlinkat(target, inode_of(parent)->fd, name) < 0)
        r = errno;
    if (r)
        fuse_reply_err(req, r);
    else
        reply_made(req, parent, name);
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
    struct fuse_entry_param entry;
    char path[32];
    int r = check_new(parent, name);

    if (!r && writable(ino))
        r = EROFS;
    if (!r) {
        snprintf(path, sizeof(path), "/fd/%d", inode_of(ino)->fd);
        if (linkat(AT_FDCWD, path, inode_of(parent)->fd, name, AT_SYMLINK_FOLLOW) < 0)
            r = errno;
    }
    if (!r)
        r = look_up(parent, name, &entry);
    if (r)
        fuse_reply_err(req, r);
    else
        fuse_reply_entry(req, &entry);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    int r = check_new(parent, name);

    if (!r && unlinkat(inode_of(parent)->fd, name, 0) < 0)
        r = errno;
    fuse_reply_err(req, r);
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    int r = check_new(parent, name);

    if (!r && unlinkat(inode_of(parent)->fd, name, AT_REMOVEDIR) < 0)
        r = errno;
    fuse_reply_err(req, r);
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent, const char *new_name,
                      unsigned flags)
{
    int r = check_new(parent, name);

    if (!r)
        r = check_new(new_parent, new_name);
    if (!r && renameat2(inode_of(parent)->fd, name, inode_of(new_parent)->fd, new_name, flags) < 0)
        r = errno;
    fuse_reply_err(req, r);
}

/* --- open files ---------------------------------------------------------------------------------- */

struct handle {
    int fd;
    DIR *stream;
    struct dirent *ahead; /* read but not yet given: it did not fit */
    off_t offset;
    bool used;
};

static struct handle handles[HANDLES_MAX];
static const struct handle no_handle = {.fd = -EBADF};

static struct handle *handle_of(const struct fuse_file_info *fi)
{
    static struct handle none;

    if (fi->fh < HANDLES_MAX && handles[fi->fh].used)
        return &handles[fi->fh];
    none = no_handle;
    return &none;
}

static int handle_new(int fd, DIR *stream, struct fuse_file_info *fi)
{
    static size_t next;

    for (size_t i = 0; i < HANDLES_MAX; i++, next++) {
        struct handle *handle = &handles[next % HANDLES_MAX];
        if (!handle->used) {
            *handle = (struct handle){.fd = fd, .stream = stream, .used = true};
            fi->fh = next % HANDLES_MAX;
            return 0;
        }
    }
    return ENFILE;
}

static void handle_close(struct handle *handle)
{
    if (!handle->used)
        return;
    if (handle->stream)
        closedir(handle->stream);
    else if (handle->fd >= 0)
        close(handle->fd);
    handle->used = false;
}

/* --- files ------------------------------------------------------------------------------------- */

static int open_flags(const struct fuse_file_info *fi)
{
    /* The guest's page cache writes whole pages: it must be able to read them first,
     * and appends at offsets of its own. */
    return fi->flags & ~O_APPEND;
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    int fd;

    if (is_root(ino) || ((fi->flags & O_ACCMODE) != O_RDONLY && writable(ino))) {
        fuse_reply_err(req, is_root(ino) ? EISDIR : EROFS);
        return;
    }
    fd = reopen(inode_of(ino), open_flags(fi));
    if (fd < 0) {
        fuse_reply_err(req, -fd);
        return;
    }
    int r = handle_new(fd, NULL, fi);
    if (r) {
        close(fd);
        fuse_reply_err(req, r);
    } else if (fuse_reply_open(req, fi) == -ENOENT) {
        handle_close(handle_of(fi));
    }
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
    const struct fuse_ctx *who = fuse_req_ctx(req);
    struct fuse_entry_param entry;
    int r = check_new(parent, name);
    int fd = -EBADF;

    if (!r) {
        fd = openat(inode_of(parent)->fd, name, open_flags(fi) | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode & 07777);
        if (fd >= 0) {
            if (fchown(fd, who->uid, who->gid) < 0)
                r = errno;
        } else if (errno == EEXIST && !(fi->flags & O_EXCL))
            fd = openat(inode_of(parent)->fd, name, (open_flags(fi) & ~O_CREAT) | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
            r = errno;
    }
    if (!r)
        r = look_up(parent, name, &entry);
    if (!r)
        r = handle_new(fd, NULL, fi);
    if (r) {
        if (fd >= 0)
            close(fd);
        fuse_reply_err(req, r);
    } else if (fuse_reply_create(req, &entry, fi) == -ENOENT) {
        handle_close(handle_of(fi));
    }
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
    static char buffer[1 << 20];
    ssize_t n = pread(handle_of(fi)->fd, buffer, size < sizeof(buffer) ? size : sizeof(buffer), offset);

    if (n < 0)
        fuse_reply_err(req, errno);
    else
        fuse_reply_buf(req, buffer, (size_t)n);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset, struct fuse_file_info *fi)
{
    ssize_t n = pwrite(handle_of(fi)->fd, data, size, offset);

    if (n < 0)
        fuse_reply_err(req, errno);
    else
        fuse_reply_write(req, (size_t)n);
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    handle_close(handle_of(fi));
    fuse_reply_err(req, 0);
}

static void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    /* As close(2) of a duplicate would: a full disk or quota tells here. */
    int fd = dup(handle_of(fi)->fd);

    fuse_reply_err(req, fd < 0 || close(fd) < 0 ? errno : 0);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
    int r = data_only ? fdatasync(handle_of(fi)->fd) : fsync(handle_of(fi)->fd);

    fuse_reply_err(req, r < 0 ? errno : 0);
}

static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length, struct fuse_file_info *fi)
{
    fuse_reply_err(req, fallocate(handle_of(fi)->fd, mode, offset, length) < 0 ? errno : 0);
}

static void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence, struct fuse_file_info *fi)
{
    off_t r = lseek(handle_of(fi)->fd, offset, whence);

    if (r < 0)
        fuse_reply_err(req, errno);
    else
        fuse_reply_lseek(req, r);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
    struct statvfs st = {0};

    if (!is_root(ino) && fstatvfs(inode_of(ino)->fd, &st) < 0)
        fuse_reply_err(req, errno);
    else
        fuse_reply_statfs(req, &st);
}

/* --- directories ----------------------------------------------------------------------------------- */

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    DIR *stream = NULL;
    int r = 0;

    if (!is_root(ino)) {
        int fd = openat(inode_of(ino)->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        stream = fd >= 0 ? fdopendir(fd) : NULL;
        if (!stream) {
            r = errno;
            if (fd >= 0)
                close(fd);
        }
    }
    if (!r) {
        r = handle_new(-EBADF, stream, fi);
        if (r && stream)
            closedir(stream);
    }
    if (r)
        fuse_reply_err(req, r);
    else if (fuse_reply_open(req, fi) == -ENOENT)
        handle_close(handle_of(fi));
}

static void read_root(fuse_req_t req, size_t size, off_t offset)
{
    char buffer[4096];
    size_t used = 0;

    if (size > sizeof(buffer))
        size = sizeof(buffer);
    for (size_t i = (size_t)offset; i < share_count; i++) {
        struct stat st = {.st_ino = i + 2, .st_mode = S_IFDIR};
        char name[24];
        snprintf(name, sizeof(name), "%zu", i);
        size_t need = fuse_add_direntry(req, buffer + used, size - used, name, &st, (off_t)i + 1);
        if (need > size - used)
            break;
        used += need;
    }
    fuse_reply_buf(req, buffer, used);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
    static char buffer[1 << 16];
    struct handle *directory = handle_of(fi);
    size_t used = 0;

    if (is_root(ino)) {
        read_root(req, size, offset);
        return;
    }
    if (!directory->stream) {
        fuse_reply_err(req, EBADF);
        return;
    }
    if (size > sizeof(buffer))
        size = sizeof(buffer);
    if (offset != directory->offset) {
        seekdir(directory->stream, offset);
        directory->ahead = NULL;
        directory->offset = offset;
    }
    for (;;) {
        struct stat st = {0};
        size_t need;

        if (!directory->ahead) {
            errno = 0;
            directory->ahead = readdir(directory->stream);
            if (!directory->ahead) {
                if (errno && used == 0) {
                    fuse_reply_err(req, errno);
                    return;
                }
                break;
            }
        }
        st.st_ino = directory->ahead->d_ino;
        st.st_mode = (mode_t)DTTOIF(directory->ahead->d_type);
        need = fuse_add_direntry(req, buffer + used, size - used, directory->ahead->d_name, &st, directory->ahead->d_off);
        if (need > size - used)
            break;
        used += need;
        directory->offset = directory->ahead->d_off;
        directory->ahead = NULL;
    }
    fuse_reply_buf(req, buffer, used);
}

/* --- extended attributes ------------------------------------------------------------------------------- */

/* By path through /fd, which follows to the file itself. trusted.* and the host's
 * labels are not the guest's to see or set. */
static bool is_allowed_attribute(const char *name)
{
    return strncmp(name, "user.", 5) == 0 || strcmp(name, "security.capability") == 0 ||
           strncmp(name, "system.posix_acl_", 17) == 0;
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
    char path[32], value[65536];
    ssize_t n;

    if (is_root(ino) || !is_allowed_attribute(name)) {
        fuse_reply_err(req, ENODATA);
        return;
    }
    snprintf(path, sizeof(path), "/fd/%d", inode_of(ino)->fd);
    n = getxattr(path, name, size ? value : NULL, size < sizeof(value) ? size : sizeof(value));
    if (n < 0)
        fuse_reply_err(req, errno);
    else if (size == 0)
        fuse_reply_xattr(req, (size_t)n);
    else
        fuse_reply_buf(req, value, (size_t)n);
}

static void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
    char path[32], names[65536], kept[65536];
    size_t used = 0;
    ssize_t n;

    snprintf(path, sizeof(path), "/fd/%d", is_root(ino) ? -1 : inode_of(ino)->fd);
    n = is_root(ino) ? 0 : listxattr(path, names, sizeof(names));
    if (n < 0) {
        fuse_reply_err(req, errno);
        return;
    }
    for (const char *name = names; name < names + n; name += strlen(name) + 1) {
        if (is_allowed_attribute(name)) {
            memcpy(kept + used, name, strlen(name) + 1);
            used += strlen(name) + 1;
        }
    }
    if (size == 0)
        fuse_reply_xattr(req, used);
    else if (used > size)
        fuse_reply_err(req, ERANGE);
    else
        fuse_reply_buf(req, kept, used);
}

static void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags)
{
    char path[32];
    int r = writable(ino);

    if (!r && !is_allowed_attribute(name))
        r = EPERM;
    if (!r) {
        snprintf(path, sizeof(path), "/fd/%d", inode_of(ino)->fd);
        if (setxattr(path, name, value, size, flags) < 0)
            r = errno;
    }
    fuse_reply_err(req, r);
}

static void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
    char path[32];
    int r = writable(ino);

    if (!r && !is_allowed_attribute(name))
        r = EPERM;
    if (!r) {
        snprintf(path, sizeof(path), "/fd/%d", inode_of(ino)->fd);
        if (removexattr(path, name) < 0)
            r = errno;
    }
    fuse_reply_err(req, r);
}

static void op_init(void *user, struct fuse_conn_info *connection)
{
    /* Whole megabytes at a time: each message costs a round through the guest's
     * agent, however small. */
    connection->max_write = 1 << 20;
    connection->max_readahead = 1 << 20;
    connection->want &= ~(unsigned)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
}

const struct fuse_lowlevel_ops tree_ops = {
    .init = op_init,
    .lookup = op_lookup,       .forget = op_forget,         .getattr = op_getattr,   .setattr = op_setattr,
    .readlink = op_readlink,   .mknod = op_mknod,           .mkdir = op_mkdir,       .symlink = op_symlink,
    .link = op_link,           .unlink = op_unlink,         .rmdir = op_rmdir,       .rename = op_rename,
    .open = op_open,           .create = op_create,         .read = op_read,         .write = op_write,
    .release = op_release,     .flush = op_flush,           .fsync = op_fsync,       .fallocate = op_fallocate,
    .lseek = op_lseek,         .statfs = op_statfs,         .opendir = op_opendir,   .readdir = op_readdir,
    .releasedir = op_release, .getxattr = op_getxattr,   .listxattr = op_listxattr, .setxattr = op_setxattr,
    .removexattr = op_removexattr,
};
