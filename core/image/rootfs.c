/* rootfs.c - mounting an image's overlay where nobody sees it. Owner: image.
 *
 * A thread of our own takes leave of the process's mount namespace and working
 * directory (unshare of both concerns that thread only), mounts there, and ends;
 * what outlives it is a detached copy of the mount, held by its fd. The new mount
 * API would need no namespace, but before Linux 6.5 overlayfs takes its options
 * only as one page, with mount(2): hence also the short names, relative to the
 * layers' directory.
 */
#include "image/rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include "base/mem.h"
#include "base/path.h"
#include "image/rootfs_private.h"
#include "image/store.h"

/* glibc 2.36 has wrappers whose header cannot be joined with the kernel's. */
#define OPEN_TREE_CLONE_FLAG 1u
#define OPTIONS_MAX 4095 /* a page, with its NUL */

struct mounting {
    struct image_store *store;
    char **lower; /* topmost first */
    const char *upper, *work;
    char *target;
    image_rootfs_fn *fn;
    void *user;
    int result;
    struct error error;
};

/* ":" and "\" mean something in the options, "," ends one. */
static void append_escaped(struct str *out, const char *path)
{
    for (; *path; path++) {
        if (*path == ':' || *path == '\\' || *path == ',')
            str_append_char(out, '\\');
        str_append_char(out, *path);
    }
}

static int build_options(const struct mounting *mounting, struct str *out)
{
    size_t count = strv_length(mounting->lower);

    str_append(out, "lowerdir=");
    for (size_t i = 0; i < count; i++) {
        if (i)
            str_append_char(out, ':');
        str_append(out, mounting->lower[i]);
    }
    /* Overlay wants at least one lower, and two where there is no upper. */
    for (size_t i = count; i < (mounting->upper ? 1u : 2u); i++)
        str_append(out, i == 0 ? "../empty" : count ? ":../empty" : ":../mnt");
    if (mounting->upper) {
        str_append(out, ",upperdir=");
        append_escaped(out, mounting->upper);
        str_append(out, ",workdir=");
        append_escaped(out, mounting->work);
    }
    return out->length <= OPTIONS_MAX ? 0 : -E2BIG;
}

static int mount_here(struct mounting *mounting, struct error *err)
{
    CLEANUP_STR struct str options = STR_INIT;

    if (unshare(CLONE_FS | CLONE_NEWNS) < 0)
        return error_errno(err, EIO, "cannot make a mount namespace: %s", strerror(errno));
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return error_errno(err, EIO, "cannot make mounts private: %s", strerror(errno));
    if (chdir(mounting->store->layers_dir) < 0)
        return image__failed(err, -errno, "cannot enter the layers' directory");
    if (build_options(mounting, &options) < 0)
        return error_set(err, EINVAL, "the image has too many layers to be mounted");
    if (mount("overlay", mounting->target, "overlay", mounting->upper ? 0 : MS_RDONLY, options.data) < 0) {
        int code = errno;
        return error_set(err, EIO, "cannot mount the image: %s", strerror(code));
    }
    return 0;
}

static void *mount_main(void *user)
{
    struct mounting *mounting = user;

    mounting->result = mount_here(mounting, &mounting->error);
    if (mounting->result == 0) {
        mounting->result = mounting->fn(mounting->user, mounting->target, &mounting->error);
        umount2(mounting->target, MNT_DETACH); /* else with the namespace */
    }
    return NULL;
}

int image__with_rootfs(struct image_store *store, const char *image_id, const char *upper, const char *work,
                       image_rootfs_fn *fn, void *user, struct error *err)
{
    CLEANUP(image_freep) struct image *image = NULL;
    CLEANUP_FREE char *target = path_join(store->dir, "mnt");
    pthread_t thread;

    /* Held, so that its layers do not go while they are mounted. */
    int r = image_hold(store, image_id, err);
    if (r < 0)
        return r;
    r = image_get_held(store, image_id, &image, err);
    if (r == 0) {
        struct mounting mounting = {
            .store = store, .lower = image->layers, .upper = upper, .work = work,
            .target = target, .fn = fn, .user = user, .error = ERROR_INIT,
        };
        r = -pthread_create(&thread, NULL, mount_main, &mounting);
        if (r < 0) {
            error_errno(err, r, "cannot start a thread");
        } else {
            pthread_join(thread, NULL);
            r = mounting.result;
            if (r < 0)
                error_set(err, r, "%s", mounting.error.message);
        }
    }
    image_release(store, image_id);
    return r;
}

static int clone_tree(void *user, const char *path, struct error *err)
{
    long fd = syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE_FLAG | O_CLOEXEC);

    if (fd < 0)
        return error_set(err, EIO, "cannot detach a mount: %s", strerror(errno));
    *(int *)user = (int)fd;
    return 0;
}

int image_overlay_open(struct image_store *store, const char *image_id, const char *upper, const char *work,
                       int *ret_root_fd, struct error *err)
{
    return image__with_rootfs(store, image_id, upper, work, clone_tree, ret_root_fd, err);
}
