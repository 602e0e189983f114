/* launch_root.c - the new root: an overlay of the image's layers, and leaving
 * the old one. Owner: launch.
 *
 * Lower layers are named relative to layers_dir, because all options together
 * must fit a page (mount(2)). The overlay is mounted over layers_dir itself, in
 * a mount namespace that is already our own and private: no mount point has to
 * be made and removed, and the host never sees it.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "launch/launch_private.h"

#define OVERLAY_OPTIONS_MAX 4095

static void append_escaped(struct str *out, const char *path)
{
    for (; *path; path++) {
        if (*path == ',' || *path == ':' || *path == '\\')
            str_append_char(out, '\\');
        str_append_char(out, *path);
    }
}

static bool has_overlay(const struct plan_rootfs *root)
{
    return (root->lower && root->lower[0]) || root->upper;
}

static int mount_overlay(const struct plan_rootfs *root, const char *target, struct error *err)
{
    CLEANUP_STR struct str options = STR_INIT;
    CLEANUP_CLOSE int here = open(root->layers_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (here < 0 || fchdir(here) < 0)
        return error_errno(err, EIO, "cannot enter %s (%s)", root->layers_dir, strerror(errno));
    if (!root->lower || !root->lower[0])
        return error_set(err, EINVAL, "the root has an upper layer but no lower one");
    str_append(&options, "lowerdir=");
    for (char **lower = root->lower; *lower; lower++) {
        if (lower != root->lower)
            str_append_char(&options, ':');
        append_escaped(&options, *lower);
    }
    if (root->upper) {
        if (!root->work)
            return error_set(err, EINVAL, "the root has an upper layer but no work directory");
        str_append(&options, ",upperdir=");
        append_escaped(&options, root->upper);
        str_append(&options, ",workdir=");
        append_escaped(&options, root->work);
    } else if (!root->lower[1]) {
        /* overlayfs refuses a single layer without an upper one: it is its own root. */
        if (mount(root->lower[0], target, NULL, MS_BIND, NULL) < 0)
            return error_errno(err, errno, "cannot bind layer %s", root->lower[0]);
        return 0;
    }
    /* No inode index: it would tie the upper directory to one set of layers and
     * make a container's second start fail after a power cut. */
    if (root->upper)
        str_append(&options, ",index=off");
    if (options.length > OVERLAY_OPTIONS_MAX)
        return error_set(err, E2BIG, "the image has too many layers (%zu) for one overlay", strv_length(root->lower));
    if (mount("overlay", target, "overlay", 0, options.data) < 0) {
        int r = errno;

        if (r == ENODEV)
            return error_set(err, EIO, "this kernel has no overlayfs (modprobe overlay)");
        return error_errno(err, r == ENOENT ? EIO : r, "cannot mount the container's root file system");
    }
    return 0;
}

/* pivot_root needs a root that is a mount with a parent; a guest's initramfs is
 * not. There the new root is moved over it and entered. */
static int change_root(struct error *err)
{
    if (syscall(SYS_pivot_root, ".", ".") == 0) {
        /* The old root now lies over the new one, at ".". */
        if (umount2(".", MNT_DETACH) < 0)
            return error_errno(err, errno, "cannot leave the host's root");
    } else if (errno != EINVAL) {
        return error_errno(err, errno, "cannot change the root");
    } else if (mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0) {
        return error_errno(err, errno, "cannot move the root");
    }
    return chdir("/") < 0 ? error_errno(err, errno, "cannot enter the new root") : 0;
}

int launch__root_enter(struct launch_child *c, struct error *err)
{
    const struct plan_rootfs *root = &c->plan->rootfs;
    /* In a user namespace layers_dir may be out of reach; any directory serves. */
    const char *at = c->root_mount >= 0 ? "/proc" : root->layers_dir;
    CLEANUP_CLOSE int mounted = -EBADF;
    int r;

    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return error_errno(err, errno, "cannot make the mounts private");
    if (c->root_mount >= 0) {
        if (move_mount(c->root_mount, "", AT_FDCWD, at, MOVE_MOUNT_F_EMPTY_PATH) < 0)
            return error_errno(err, errno, "cannot put the root in place");
    } else if (has_overlay(root)) {
        r = mount_overlay(root, at, err);
        if (r < 0)
            return r;
    } else if (mount(at, at, NULL, MS_BIND | MS_REC, NULL) < 0) {
        return error_errno(err, errno == ENOENT ? EIO : errno, "cannot use %s as a root", at);
    }
    mounted = open(at, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (mounted < 0 || fchdir(mounted) < 0)
        return error_errno(err, EIO, "cannot enter the new root (%s)", strerror(errno));
    r = change_root(err);
    if (r < 0)
        return r;
    c->root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return c->root_fd < 0 ? error_errno(err, EIO, "cannot open the new root") : 0;
}

int launch__root_readonly(struct launch_child *c, struct error *err)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};

    if (c->plan->rootfs.readonly && mount_setattr(c->root_fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
        return error_errno(err, errno, "cannot make the root read-only");
    return 0;
}

/* --- user namespaces -----------------------------------------------------------------
 * Layers on disk keep the owners of the image. Mapped mounts of them
 * (mount_setattr(2), MOUNT_ATTR_IDMAP) show them with the container's, and the
 * overlay stands on those. A process of its own does it, in a mount namespace of
 * its own, and hands the finished root over as a mount fd.
 */
static int map_over(const char *path, int user_namespace, bool recursive, int *ret_mount)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)user_namespace, .propagation = MS_PRIVATE};
    CLEANUP_CLOSE int fd = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE : 0));

    if (fd < 0 || mount_setattr(fd, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &attr, sizeof(attr)) < 0)
        return -errno;
    if (!ret_mount)
        return move_mount(fd, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0 ? -errno : 0;
    *ret_mount = TAKE_FD(fd);
    return 0;
}

/* overlayfs works with the credentials of whoever mounts it; its own files in
 * the mapped upper layer must belong to an id that the mapping knows. */
static int become_mapped_root(const struct plan *plan)
{
    uint32_t uid, gid;

    return id_maps_root(&plan->ids, &uid, &gid) ? ids_act_as(uid, gid) : -EOVERFLOW;
}

static int map_root(const struct plan *plan, int user_namespace, int *ret_mount, struct error *err)
{
    const struct plan_rootfs *root = &plan->rootfs;
    CLEANUP_FREE char *writable = root->upper ? path_dir(root->upper) : NULL;
    int r;

    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return error_errno(err, errno, "cannot make the mounts private");
    if (!has_overlay(root)) {
        r = map_over(root->layers_dir, user_namespace, true, ret_mount);
        return r < 0 ? error_errno(err, r, "cannot map the owners of %s", root->layers_dir) : 0;
    }
    r = map_over(root->layers_dir, user_namespace, false, NULL);
    if (r == 0 && writable)
        r = map_over(writable, user_namespace, false, NULL);
    if (r == 0)
        r = become_mapped_root(plan);
    if (r < 0)
        return error_errno(err, r, "cannot map the owners of the layers (needs Linux 5.19 and a file system with mapped mounts)");
    r = mount_overlay(root, root->layers_dir, err);
    if (r < 0)
        return r;
    *ret_mount = open_tree(AT_FDCWD, root->layers_dir, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    return *ret_mount < 0 ? error_errno(err, errno, "cannot take the root along") : 0;
}

int launch__root_mapped(const struct plan *plan, int user_namespace, int *ret_mount, struct error *err)
{
    struct launch_child nobody = {.cgroup = CGROUP_ENTRY_INIT};
    struct launch_message message = {0};
    CLEANUP_CLOSE int pidfd = -EBADF;
    int pair[2];
    int mount_fd = -EBADF;
    size_t got = 0;
    ssize_t n;
    pid_t helper;
    int r;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return error_errno(err, errno, "cannot make a socket pair");
    r = launch__clone(&nobody, CLONE_NEWNS, &helper, &pidfd, err);
    if (r == 0 && helper == 0) {
        struct error e = ERROR_INIT;

        close(pair[0]);
        r = map_root(plan, user_namespace, &mount_fd, &e);
        message.code = -r;
        memcpy(message.text, e.message, sizeof(message.text));
        (void)fd_send(pair[1], &message, sizeof(message), &mount_fd, r < 0 ? 0 : 1);
        _exit(0);
    }
    close(pair[1]);
    if (r < 0) {
        close(pair[0]);
        return r;
    }
    n = fd_recv(pair[0], &message, sizeof(message), &mount_fd, 1, &got);
    close(pair[0]);
    while (waitpid(helper, NULL, 0) < 0 && errno == EINTR)
        ;
    if (n != sizeof(message))
        return error_set(err, EIO, "the helper that maps the root died");
    message.text[sizeof(message.text) - 1] = '\0';
    if (message.code != 0 || got != 1)
        return error_set(err, message.code ? message.code : EIO, "%s", message.text);
    *ret_mount = mount_fd;
    return 0;
}
