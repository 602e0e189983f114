/* launch_source.c - the parent opens what lies on its side: sources of bind
 * mounts and device nodes. Owner: launch.
 *
 * Bind sources become detached clones of their mounts (open_tree(2)) with flags
 * and propagation already set. A clone made here, in the launcher's own mount
 * namespace, keeps its tie to the host's peer group, which is what rslave and
 * rshared mean; the child later only puts it in place, by fd.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "launch/launch_private.h"

int launch__bind_open(const struct plan_mount *mount, int *ret, struct error *err)
{
    unsigned recursive = mount->flags & MS_REC ? AT_RECURSIVE : 0;
    CLEANUP_CLOSE int fd = -EBADF;
    struct mount_attr propagation = {
        .propagation = mount->propagation ? mount->propagation & ~(uint64_t)(MS_REC | MS_SILENT) : MS_PRIVATE};
    struct mount_attr readonly = {.attr_set = MOUNT_ATTR_RDONLY};
    struct mount_attr attributes = {.attr_set = launch__mount_attributes(mount->flags & ~(uint64_t)MS_RDONLY)};

    if (!mount->source)
        return error_set(err, EINVAL, "bind mount at %s has no source", mount->target);
    fd = open_tree(AT_FDCWD, mount->source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | recursive);
    if (fd < 0)
        return error_errno(err, errno == ENOENT ? EINVAL : errno, "cannot bind %s at %s", mount->source, mount->target);
    if (mount_setattr(fd, "", AT_EMPTY_PATH | (mount->propagation & MS_REC ? AT_RECURSIVE : recursive), &propagation,
                      sizeof(propagation)) < 0)
        return error_errno(err, errno, "cannot set the propagation of %s", mount->source);
    /* Read-only goes for what is mounted below, too; the rest for the top, as mount(8) does. */
    if (mount->flags & MS_RDONLY && mount_setattr(fd, "", AT_EMPTY_PATH | recursive, &readonly, sizeof(readonly)) < 0)
        return error_errno(err, errno, "cannot make %s read-only", mount->source);
    if (attributes.attr_set && mount_setattr(fd, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) < 0)
        return error_errno(err, errno, "cannot set the flags of %s", mount->source);
    *ret = TAKE_FD(fd);
    return 0;
}

/* --- device nodes ----------------------------------------------------------------- */
static const struct {
    const char *path;
    unsigned major_number, minor_number;
} standard_nodes[] = {
    {"/dev/null", 1, 3},   {"/dev/zero", 1, 5},    {"/dev/full", 1, 7},
    {"/dev/random", 1, 8}, {"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0},
};

static struct launch_node *add_node(struct launch_sources *s, const char *path)
{
    if (s->node_count % 16 == 0)
        s->nodes = mem_grow(s->nodes, s->node_count + 16, sizeof(*s->nodes));
    s->nodes[s->node_count] = (struct launch_node){.path = mem_strdup(path), .clone = -EBADF};
    return &s->nodes[s->node_count++];
}

/* In a user namespace nodes cannot be made: the host's are bound instead. */
static int bind_node(const char *host_path, struct launch_node *node, struct error *err)
{
    struct mount_attr attr = {.propagation = MS_PRIVATE};

    node->clone = open_tree(AT_FDCWD, host_path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (node->clone < 0)
        return error_errno(err, errno == ENOENT ? EINVAL : errno, "cannot bind device %s", host_path);
    (void)mount_setattr(node->clone, "", AT_EMPTY_PATH, &attr, sizeof(attr));
    return 0;
}

static int add_device(struct launch_sources *s, const char *host_path, const char *path, bool bind,
                      struct error *err)
{
    struct launch_node *node;
    struct stat st;

    if (stat(host_path, &st) < 0)
        return error_errno(err, errno == ENOENT ? EINVAL : errno, "error gathering device information while adding custom device \"%s\"", host_path);
    if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode))
        return error_set(err, EINVAL, "error gathering device information while adding custom device \"%s\": not a device node", host_path);
    node = add_node(s, path);
    node->mode = st.st_mode;
    node->number = st.st_rdev;
    node->uid = st.st_uid;
    node->gid = st.st_gid;
    return bind ? bind_node(host_path, node, err) : 0;
}

/* --privileged: every node of the host's /dev, without its file systems. */
static void add_all(struct launch_sources *s, const char *dir, bool bind, int depth)
{
    static const char *const leave_out[] = {"/dev/pts", "/dev/shm", "/dev/mqueue", "/dev/fd", "/dev/console",
                                            "/dev/ptmx", "/dev/tty"};
    DIR *d = depth < 8 ? opendir(dir) : NULL;

    for (struct dirent *e; d && (e = readdir(d));) {
        CLEANUP_FREE char *path = path_join(dir, e->d_name);
        bool skip = e->d_name[0] == '.' || s->node_count > PLAN_MAX_ITEMS;

        for (size_t i = 0; i < ARRAY_SIZE(leave_out); i++)
            skip |= str_equal(path, leave_out[i]);
        for (size_t i = 0; i < s->node_count && !skip; i++)
            skip = str_equal(path, s->nodes[i].path);
        if (skip)
            continue;
        if (e->d_type == DT_DIR)
            add_all(s, path, bind, depth + 1);
        else if (e->d_type == DT_CHR || e->d_type == DT_BLK)
            (void)add_device(s, path, path, bind, NULL);
    }
    if (d)
        closedir(d);
}

static int open_null(int *ret, struct error *err)
{
    CLEANUP_CLOSE int fd = open_tree(AT_FDCWD, "/dev/null", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    struct mount_attr attr = {.propagation = MS_PRIVATE};
    struct stat st;

    /* What masks secrets must be the null device and nothing that looks like it. */
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
        return error_set(err, EIO, "/dev/null of the host is not the null device");
    (void)mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr));
    *ret = TAKE_FD(fd);
    return 0;
}

int launch__sources_open(const struct plan *plan, struct launch_sources *ret, struct error *err)
{
    struct launch_sources s = {.null = -EBADF, .bind_count = plan->mount_count};
    bool bind = LAUNCH_NEW(plan, PLAN_NS_USER);
    int r = 0;

    s.binds = mem_array(plan->mount_count + 1, sizeof(*s.binds));
    for (size_t i = 0; i < plan->mount_count; i++)
        s.binds[i] = -EBADF;
    for (size_t i = 0; r == 0 && i < plan->mount_count; i++) {
        const struct plan_mount *mount = &plan->mounts[i];

        if (!mount->type || !mount->target)
            r = error_set(err, EINVAL, "a mount of the plan has no type or no target");
        else if (str_equal(mount->type, "bind"))
            r = launch__bind_open(mount, &s.binds[i], err);
    }
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(standard_nodes); i++) {
        struct launch_node *node = add_node(&s, standard_nodes[i].path);

        node->mode = S_IFCHR | 0666;
        node->number = makedev(standard_nodes[i].major_number, standard_nodes[i].minor_number);
        if (bind)
            r = bind_node(standard_nodes[i].path, node, err);
    }
    for (size_t i = 0; r == 0 && i < plan->device_count; i++) {
        const struct plan_device *device = &plan->devices[i];

        if (!device->host_path || !device->path)
            r = error_set(err, EINVAL, "a device of the plan has no path");
        else
            r = add_device(&s, device->host_path, device->path, bind, err);
    }
    if (r == 0 && plan->process.privileged)
        add_all(&s, "/dev", bind, 0);
    if (r == 0 && plan->masked_paths)
        r = open_null(&s.null, err);
    if (r < 0) {
        launch__sources_close(&s);
        return r;
    }
    *ret = s;
    return 0;
}

/* On the detached mounts, which the child holds, too; it waits for us meanwhile. */
int launch__sources_map(const struct plan *plan, const struct launch_sources *s, int user_namespace, struct error *err)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)user_namespace};

    for (size_t i = 0; i < s->bind_count; i++)
        if (s->binds[i] >= 0 && plan->mounts[i].own_ids &&
            mount_setattr(s->binds[i], "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
            return error_errno(err, errno, "cannot map the owners of %s (needs a file system with mapped mounts)",
                               plan->mounts[i].source);
    return 0;
}

void launch__sources_close(struct launch_sources *s)
{
    for (size_t i = 0; s->binds && i < s->bind_count; i++)
        if (s->binds[i] >= 0)
            close(s->binds[i]);
    for (size_t i = 0; i < s->node_count; i++) {
        free(s->nodes[i].path);
        if (s->nodes[i].clone >= 0)
            close(s->nodes[i].clone);
    }
    if (s->null >= 0)
        close(s->null);
    free(s->binds);
    free(s->nodes);
    *s = (struct launch_sources){.null = -EBADF};
}
