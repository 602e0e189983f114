/* launch_mount.c - file systems made as detached mounts, then put in place by
 * fd. Owner: launch.
 *
 * Why detached first: what a mount is (really procfs, really the null device) is
 * then decided before anything of the image is looked at, and putting it in
 * place names no path: a target is an fd that openat2(RESOLVE_IN_ROOT) gave.
 * That leaves nothing to race with (CVE-2021-30465, CVE-2025-31133 and its kin).
 * procfs and sysfs must also be made while the host's are visible: in a user
 * namespace the kernel asks for that.
 * Sources: fsopen(2), move_mount(2), mount_setattr(2), openat2(2).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "launch/cgroup_private.h"
#include "launch/launch_private.h"

int launch__openat2(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
    struct open_how how = {.flags = flags | O_CLOEXEC, .mode = mode, .resolve = resolve};

    for (;;) {
        int fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));

        if (fd >= 0)
            return fd;
        if (errno != EAGAIN && errno != EINTR) /* EAGAIN: a rename was under way */
            return -errno;
    }
}

uint64_t launch__mount_attributes(uint64_t ms)
{
    static const struct {
        uint64_t ms, attribute;
    } map[] = {
        {MS_RDONLY, MOUNT_ATTR_RDONLY},   {MS_NOSUID, MOUNT_ATTR_NOSUID},
        {MS_NODEV, MOUNT_ATTR_NODEV},     {MS_NOEXEC, MOUNT_ATTR_NOEXEC},
        {MS_NOATIME, MOUNT_ATTR_NOATIME}, {MS_STRICTATIME, MOUNT_ATTR_STRICTATIME},
        {MS_NODIRATIME, MOUNT_ATTR_NODIRATIME},
    };
    uint64_t attributes = 0;

    for (size_t i = 0; i < ARRAY_SIZE(map); i++)
        if (ms & map[i].ms)
            attributes |= map[i].attribute;
    return attributes;
}

/* --- making ------------------------------------------------------------------------ */
static int configure(int fs, const char *data)
{
    CLEANUP_STRV char **options = data ? strv_split(data, ',') : NULL;

    for (char **option = options; option && *option; option++) {
        char *equals = strchr(*option, '=');
        int r;

        if (**option == '\0')
            continue;
        if (equals) {
            *equals = '\0';
            r = fsconfig(fs, FSCONFIG_SET_STRING, *option, equals + 1, 0);
        } else {
            r = fsconfig(fs, FSCONFIG_SET_FLAG, *option, NULL, 0);
        }
        if (r < 0)
            return -errno;
    }
    return 0;
}

int launch__fs_mount(const char *type, const char *source, const char *data, uint64_t attributes,
                     int *ret_mount, struct error *err)
{
    CLEANUP_CLOSE int fs = fsopen(type, FSOPEN_CLOEXEC);
    CLEANUP_CLOSE int fd = -EBADF;
    int r = 0;

    if (fs < 0)
        return error_errno(err, errno == ENODEV ? ENOTSUP : errno, "cannot mount a %s", type);
    if (source && fsconfig(fs, FSCONFIG_SET_STRING, "source", source, 0) < 0)
        r = -errno;
    if (r == 0)
        r = configure(fs, data);
    if (r == 0 && fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        r = -errno;
    if (r == 0) {
        fd = fsmount(fs, FSMOUNT_CLOEXEC, (unsigned)attributes);
        if (fd < 0)
            r = -errno;
    }
    if (r < 0) {
        /* The kernel's own words where it has some: "e tmpfs: Bad value for 'size'". */
        char text[256];
        ssize_t n = read(fs, text, sizeof(text) - 1);

        if (n > 2) {
            text[n] = '\0';
            return error_set(err, -r, "cannot mount a %s: %s", type, text + 2);
        }
        return error_errno(err, r, "cannot mount a %s", type);
    }
    *ret_mount = TAKE_FD(fd);
    return 0;
}

/* In a user namespace that does not own the network or pid namespace, sysfs and
 * procfs cannot be made anew; what the launcher sees is bound instead, as runc does. */
static int bind_instead(const char *path, uint64_t attributes, int *ret_mount)
{
    struct mount_attr attr = {.attr_set = attributes, .propagation = MS_PRIVATE};
    CLEANUP_CLOSE int fd = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);

    if (fd < 0 || mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0)
        return -errno;
    *ret_mount = TAKE_FD(fd);
    return 0;
}

static int make_one(const struct plan_mount *mount, int *ret_mount, struct error *err)
{
    uint64_t attributes = launch__mount_attributes(mount->flags);
    int r = launch__fs_mount(mount->type, mount->source ? mount->source : mount->type, mount->data, attributes,
                             ret_mount, err);

    if (r == -EPERM && str_equal(mount->type, "sysfs"))
        return bind_instead("/sys", attributes, ret_mount) == 0 ? 0 : r;
    if (r == -EPERM && str_equal(mount->type, "proc"))
        return bind_instead("/proc", attributes, ret_mount) == 0 ? 0 : r;
    return r;
}

static bool is_cgroup(const struct plan_mount *mount)
{
    return str_equal(mount->type, "cgroup") || str_equal(mount->type, "cgroup2");
}

/* Without a cgroup namespace, v1 shows the container its own subtree only. */
static int make_cgroup_binds(struct launch_child *c, struct error *err)
{
    const struct cgroup_hierarchy *items;
    size_t count = cgroup__hierarchies(&items);

    c->cgroup_binds = mem_array(count, sizeof(int));
    for (size_t i = 0; i < count; i++) {
        CLEANUP_FREE char *path = cgroup__file(&items[i], c->plan->cgroup, NULL);

        c->cgroup_binds[i] = -EBADF;
        if (!items[i].unified && bind_instead(path, 0, &c->cgroup_binds[i]) < 0)
            return error_errno(err, errno, "cannot bind cgroup %s", path);
    }
    return 0;
}

int launch__mounts_make(struct launch_child *c, struct error *err)
{
    const struct plan *plan = c->plan;

    c->mounts = mem_array(plan->mount_count + 1, sizeof(*c->mounts));
    for (size_t i = 0; i < plan->mount_count; i++)
        c->mounts[i] = c->sources.binds[i];
    for (size_t i = 0; i < plan->mount_count; i++) {
        const struct plan_mount *mount = &plan->mounts[i];
        int r = 0;

        if (is_cgroup(mount)) {
            if (!LAUNCH_NEW(plan, PLAN_NS_CGROUP) && cgroup_version() != CGROUP_V2 && plan->cgroup && !c->cgroup_binds)
                r = make_cgroup_binds(c, err);
        } else if (c->mounts[i] < 0) {
            r = make_one(mount, &c->mounts[i], err);
        }
        if (r < 0)
            return error_prefix(err, "mount at %s", mount->target);
        if (str_equal(mount->type, "proc"))
            c->proc_fd = c->mounts[i];
    }
    if (c->proc_fd < 0 && plan->sysctl_count)
        return launch__fs_mount("proc", "proc", NULL, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, &c->proc_fd, err);
    return 0;
}

/* --- putting in place ------------------------------------------------------------------ */
int launch__place(int mount, int target)
{
    return move_mount(mount, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0 ? -errno : 0;
}

static int make_target(int root_fd, const char *path, bool directory)
{
    CLEANUP_FREE char *parent = path_dir(path);
    CLEANUP_CLOSE int dir = path_mkdir_in(root_fd, directory ? path : parent, 0755);
    CLEANUP_CLOSE int file = -EBADF;

    if (dir < 0)
        return dir;
    if (directory)
        return TAKE_FD(dir);
    file = openat(dir, path_base(path), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (file < 0)
        return -errno;
    return launch__openat2(dir, path_base(path), O_PATH | O_NOFOLLOW, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

int launch__target(int root_fd, const char *path, bool directory, bool strict, int *ret_fd, struct error *err)
{
    CLEANUP_FREE char *clean = path_clean(path);
    uint64_t resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | (strict ? RESOLVE_NO_SYMLINKS : 0);
    CLEANUP_CLOSE int fd = -EBADF;
    struct stat st;

    if (clean[0] != '/' || clean[1] == '\0')
        return error_set(err, EINVAL, "invalid mount target \"%s\"", path);
    fd = launch__openat2(root_fd, clean, O_PATH, 0, resolve);
    if (fd == -ENOENT)
        fd = make_target(root_fd, clean, directory);
    if (fd == -ELOOP && strict)
        return error_set(err, EINVAL, "%s of the image is a symbolic link; it must be a directory", clean);
    if (fd < 0)
        return error_errno(err, fd == -ENOENT ? EIO : -fd, "cannot make mount target %s", clean);
    if (fstat(fd, &st) < 0)
        return error_errno(err, EIO, "cannot look at mount target %s", clean);
    if (S_ISDIR(st.st_mode) != directory)
        return error_set(err, EINVAL,
                         "cannot mount at %s: not a directory: Are you trying to mount a directory onto a file (or "
                         "vice-versa)? Check if the specified host path exists and is the expected type", clean);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static int copy_up(int root_fd, const char *target, int mount, struct error *err)
{
    int from = launch__openat2(root_fd, target, O_RDONLY | O_DIRECTORY, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
    int to;
    int r;

    if (from < 0)
        return 0; /* nothing there to copy */
    to = openat(mount, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (to < 0) {
        r = -errno;
        close(from);
    } else {
        r = launch__copy_tree(from, to, 0);
    }
    return r < 0 ? error_errno(err, r, "cannot copy the image's %s", target) : 0;
}

/* v1: a tmpfs with one directory per hierarchy, as everybody expects it. */
static int place_cgroup_v1(struct launch_child *c, const struct plan_mount *mount, int target, struct error *err)
{
    const struct cgroup_hierarchy *items;
    size_t count = cgroup__hierarchies(&items);
    uint64_t attributes = launch__mount_attributes(mount->flags);
    struct mount_attr final = {.attr_set = attributes};
    CLEANUP_CLOSE int top = -EBADF;
    int r = launch__fs_mount("tmpfs", "tmpfs", "mode=755", attributes & ~(uint64_t)MOUNT_ATTR_RDONLY, &top, err);

    if (r == 0 && (r = launch__place(top, target)) < 0)
        return error_errno(err, r, "cannot mount at %s", mount->target);
    for (size_t i = 0; r == 0 && i < count; i++) {
        const char *name = path_base(items[i].mount);
        CLEANUP_STRV char **aliases = strv_split(items[i].options, ',');
        CLEANUP_CLOSE int dir = -EBADF;
        CLEANUP_CLOSE int fd = -EBADF;

        if (items[i].unified)
            continue;
        if (mkdirat(top, name, 0755) < 0)
            return error_errno(err, errno, "cannot make %s/%s", mount->target, name);
        dir = openat(top, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (c->cgroup_binds) {
            fd = TAKE_FD(c->cgroup_binds[i]);
            if (fd >= 0 && mount_setattr(fd, "", AT_EMPTY_PATH, &final, sizeof(final)) < 0)
                return error_errno(err, errno, "cannot protect cgroup %s", name);
        } else {
            r = launch__fs_mount("cgroup", "cgroup", items[i].options, attributes, &fd, err);
        }
        if (r == 0 && (r = launch__place(fd, dir)) < 0)
            return error_errno(err, r, "cannot mount cgroup %s", name);
        for (char **alias = aliases; alias && *alias && aliases[1]; alias++)
            if (!str_equal(*alias, name))
                (void)!symlinkat(name, top, *alias);
    }
    if (r == 0 && mount_setattr(top, "", AT_EMPTY_PATH, &final, sizeof(final)) < 0)
        return error_errno(err, errno, "cannot protect %s", mount->target);
    return r;
}

static int place_one(struct launch_child *c, size_t index, struct error *err)
{
    const struct plan_mount *mount = &c->plan->mounts[index];
    bool is_kernel = str_equal(mount->type, "proc") || str_equal(mount->type, "sysfs");
    CLEANUP_CLOSE int target = -EBADF;
    struct stat st = {.st_mode = S_IFDIR};
    int r;

    if (c->mounts[index] >= 0 && fstat(c->mounts[index], &st) < 0)
        return error_errno(err, EIO, "cannot look at the mount");
    /* A link in the place of /proc, /sys or /dev would let an image choose what
     * they cover (runc CVE-2026-41579). */
    r = launch__target(c->root_fd, mount->target, S_ISDIR(st.st_mode), is_kernel || str_equal(mount->target, "/dev"),
                       &target, err);
    if (r < 0)
        return r;
    if (is_cgroup(mount) && cgroup_version() != CGROUP_V2)
        return place_cgroup_v1(c, mount, target, err);
    if (is_cgroup(mount)) {
        r = launch__fs_mount("cgroup2", "cgroup", NULL, launch__mount_attributes(mount->flags), &c->mounts[index], err);
        if (r < 0)
            return r;
    }
    if (mount->copy_up) {
        r = copy_up(c->root_fd, mount->target, c->mounts[index], err);
        if (r < 0)
            return r;
    }
    r = launch__place(c->mounts[index], target);
    return r < 0 ? error_errno(err, r, "cannot mount") : 0;
}

bool launch__stands(const struct plan *ahead, size_t *at, const struct plan *plan, size_t index)
{
    const struct plan_mount *mount = &plan->mounts[index];
    bool stands = *at < ahead->mount_count && str_equal(ahead->mounts[*at].type, mount->type) &&
                  str_equal(ahead->mounts[*at].target, mount->target);

    *at += stands;
    return stands;
}

int launch__mounts_late(struct launch_child *c, const struct plan *ahead, int *binds, size_t count, struct error *err)
{
    const struct plan *plan = c->plan;
    size_t at = 0, next = 0;
    int r = 0;

    c->mounts = mem_array(plan->mount_count + 1, sizeof(*c->mounts));
    for (size_t i = 0; r == 0 && i < plan->mount_count; i++) {
        c->mounts[i] = -EBADF;
        if (launch__stands(ahead, &at, plan, i))
            continue;
        if (!str_equal(plan->mounts[i].type, "bind"))
            r = make_one(&plan->mounts[i], &c->mounts[i], err);
        else if (next < count)
            c->mounts[i] = binds[next++];
        else
            r = error_set(err, EIO, "the launcher gave no source");
        if (r == 0)
            r = place_one(c, i, err);
        if (r < 0)
            return error_prefix(err, "mount at %s", plan->mounts[i].target);
    }
    return r;
}

int launch__mounts_place(struct launch_child *c, struct error *err)
{
    for (size_t i = 0; i < c->plan->mount_count; i++) {
        const struct plan_mount *mount = &c->plan->mounts[i];

        if (place_one(c, i, err) < 0)
            return error_prefix(err, "mount at %s", mount->target);
    }
    return 0;
}
