/* launch_dev.c - /dev, the terminal, and paths the container must not see or
 * write. Owner: launch.
 *
 * All in the child, in the new root. Nothing found there is believed: a
 * directory is opened without links, a devpts or tmpfs is known by its magic, a
 * device by its number.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <termios.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "launch/launch_private.h"

/* --- nodes ---------------------------------------------------------------------- */
static int make_node(struct launch_child *c, struct launch_node *node, struct error *err)
{
    CLEANUP_FREE char *parent = path_dir(node->path);
    CLEANUP_CLOSE int dir = -EBADF;
    const char *name = path_base(node->path);
    int r;

    if (node->clone >= 0) {
        CLEANUP_CLOSE int target = -EBADF;

        r = launch__target(c->root_fd, node->path, false, false, &target, err);
        if (r == 0 && (r = launch__place(node->clone, target)) < 0)
            return error_errno(err, r, "cannot bind device %s", node->path);
        return r;
    }
    dir = path_mkdir_in(c->root_fd, parent, 0755);
    if (dir < 0)
        return error_errno(err, dir == -ENOENT ? EIO : -dir, "cannot make %s", parent);
    if (mknodat(dir, name, node->mode, node->number) < 0) {
        struct stat st;

        /* Somebody's bind mount stands there already: it is what was asked for. */
        if (errno == EEXIST && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISLNK(st.st_mode))
            return 0;
        return error_errno(err, errno, "cannot make device %s", node->path);
    }
    if (fchownat(dir, name, node->uid, node->gid, AT_SYMLINK_NOFOLLOW) < 0)
        return error_errno(err, errno, "cannot give device %s its owner", node->path);
    return 0;
}

static void make_links(int dev)
{
    static const char *const links[][2] = {
        {"/proc/self/fd", "fd"},         {"/proc/self/fd/0", "stdin"}, {"/proc/self/fd/1", "stdout"},
        {"/proc/self/fd/2", "stderr"},   {"pts/ptmx", "ptmx"},         {"/proc/kcore", "core"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(links); i++)
        (void)!symlinkat(links[i][0], dev, links[i][1]);
}

/* The last mount at /dev decides: a directory of the host's (-v /dev:/dev) is
 * left as it is. */
static bool dev_is_bound(const struct plan *plan)
{
    bool bound = false;

    for (size_t i = 0; i < plan->mount_count; i++)
        if (str_equal(plan->mounts[i].target, "/dev"))
            bound = str_equal(plan->mounts[i].type, "bind");
    return bound;
}

int launch__devices(struct launch_child *c, struct error *err)
{
    CLEANUP_CLOSE int dev = -EBADF;
    mode_t mask;
    int r;

    if (dev_is_bound(c->plan))
        return 0;
    r = launch__target(c->root_fd, "/dev", true, true, &dev, err);
    mask = umask(0);
    for (size_t i = 0; r == 0 && i < c->sources.node_count; i++)
        r = make_node(c, &c->sources.nodes[i], err);
    umask(mask);
    if (r == 0)
        make_links(dev);
    return r;
}

int launch__null(struct launch_child *c)
{
    CLEANUP_CLOSE int found = launch__openat2(c->root_fd, "dev/null", O_RDWR | O_NONBLOCK | O_NOCTTY, 0,
                                              RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
    struct stat st;

    if (found < 0)
        return found;
    if (fstat(found, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
        return -ENODEV;
    (void)fcntl(found, F_SETFL, 0);
    return TAKE_FD(found);
}

/* --- the terminal ------------------------------------------------------------------ */
static bool is_file_system(int fd, long magic)
{
    struct statfs s;

    return fstatfs(fd, &s) == 0 && (long)s.f_type == magic;
}

int launch__pty_open(struct launch_child *c, struct error *err)
{
    struct winsize size = {.ws_row = c->process->rows, .ws_col = c->process->cols};
    CLEANUP_CLOSE int pts = launch__openat2(c->root_fd, "dev/pts", O_PATH | O_DIRECTORY, 0,
                                            RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
    CLEANUP_CLOSE int master = -EBADF;
    CLEANUP_CLOSE int slave = -EBADF;
    int unlock = 0;

    if (pts < 0 || !is_file_system(pts, DEVPTS_SUPER_MAGIC))
        return error_set(err, EIO, "the container has no devpts at /dev/pts: it cannot have a terminal");
    master = launch__openat2(pts, "ptmx", O_RDWR | O_NOCTTY, 0,
                             RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
    if (master < 0)
        return error_errno(err, master == -ENOENT ? EIO : -master, "cannot open a terminal");
    if (ioctl(master, TIOCSPTLCK, &unlock) < 0)
        return error_errno(err, errno, "cannot unlock the terminal");
    /* By the master, not by its name: the name may be somebody else's by now
     * (CVE-2025-52565). */
    slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0 || !is_file_system(slave, DEVPTS_SUPER_MAGIC))
        return error_set(err, EIO, "cannot open the terminal's other end");
    if (size.ws_row || size.ws_col)
        (void)ioctl(master, TIOCSWINSZ, &size);
    c->pty_master = TAKE_FD(master);
    c->pty_slave = TAKE_FD(slave);
    return 0;
}

/* /dev/console is the terminal. */
int launch__console(struct launch_child *c, struct error *err)
{
    struct mount_attr attr = {.propagation = MS_PRIVATE};
    CLEANUP_CLOSE int clone = -EBADF;
    CLEANUP_CLOSE int target = -EBADF;
    int r;

    if (dev_is_bound(c->plan))
        return 0;
    clone = open_tree(c->pty_slave, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    if (clone < 0)
        return error_errno(err, errno, "cannot bind the terminal");
    (void)mount_setattr(clone, "", AT_EMPTY_PATH, &attr, sizeof(attr));
    r = launch__target(c->root_fd, "/dev/console", false, true, &target, err);
    if (r == 0 && (r = launch__place(clone, target)) < 0)
        return error_errno(err, r, "cannot bind /dev/console");
    return r;
}

/* --- masks --------------------------------------------------------------------------- */
static int clone_of(int mounted, int *ret)
{
    int fd = open_tree(mounted, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);

    if (fd < 0)
        return -errno;
    *ret = fd;
    return 0;
}

/* Only an attached mount can be cloned on older kernels, so the first one is put
 * in place itself and serves as the model of the others. */
struct mask {
    int fd;
    bool placed;
};

static int cover(struct mask *mask, int target)
{
    CLEANUP_CLOSE int copy = -EBADF;
    int r;

    if (!mask->placed) {
        mask->placed = true;
        return launch__place(mask->fd, target);
    }
    r = clone_of(mask->fd, &copy);
    return r < 0 ? r : launch__place(copy, target);
}

static int cover_path(struct launch_child *c, const char *path, struct mask *null, struct mask *empty, struct error *err)
{
    CLEANUP_CLOSE int target = launch__openat2(c->root_fd, path, O_PATH, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
    struct stat st;
    int r = 0;

    if (target == -ENOENT || target == -ENOTDIR)
        return 0;
    if (target < 0 || fstat(target, &st) < 0)
        return error_errno(err, target < 0 ? -target : errno, "cannot mask %s", path);
    if (!S_ISDIR(st.st_mode)) {
        r = cover(null, target);
    } else {
        if (empty->fd < 0)
            r = launch__fs_mount("tmpfs", "tmpfs", "ro,nr_inodes=1,size=4k", MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, &empty->fd, err);
        if (r == 0)
            r = cover(empty, target);
    }
    return r < 0 ? error_errno(err, r, "cannot mask %s", path) : 0;
}

static int protect_path(struct launch_child *c, const char *path, struct error *err)
{
    CLEANUP_CLOSE int target = launch__openat2(c->root_fd, path, O_PATH, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY, .propagation = MS_PRIVATE};
    CLEANUP_CLOSE int clone = -EBADF;
    int r;

    if (target == -ENOENT || target == -ENOTDIR)
        return 0;
    if (target < 0)
        return error_errno(err, -target, "cannot protect %s", path);
    clone = open_tree(target, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);
    if (clone < 0 || mount_setattr(clone, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0)
        return error_errno(err, errno, "cannot protect %s", path);
    r = launch__place(clone, target);
    return r < 0 ? error_errno(err, r, "cannot protect %s", path) : 0;
}

int launch__masks(struct launch_child *c, struct error *err)
{
    struct mask null = {.fd = c->sources.null};
    struct mask empty = {.fd = -EBADF};
    int r = 0;

    for (char **path = c->plan->readonly_paths; r == 0 && path && *path; path++)
        r = protect_path(c, *path, err);
    for (char **path = c->plan->masked_paths; r == 0 && path && *path; path++)
        r = cover_path(c, *path, &null, &empty, err);
    if (empty.fd >= 0)
        close(empty.fd);
    return r;
}
