/* disk.c - EROFS disks of images. Owner: image. */
#include "image/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "image/rootfs_private.h"
#include "image/store.h"

#define MAKE_TIMEOUT_MS (30 * 60 * 1000)
#define OUTPUT_MAX 4096

static const char *const programs[] = {"/usr/bin/mkfs.erofs", "/usr/sbin/mkfs.erofs", "/sbin/mkfs.erofs"};

static int make(void *user, const char *path, struct error *err)
{
    char *file = user;
    CLEANUP_FREE char *output = NULL;
    const char *program = NULL;

    for (size_t i = 0; i < ARRAY_SIZE(programs) && !program; i++)
        if (access(programs[i], X_OK) == 0)
            program = programs[i];
    if (!program)
        return error_set(err, EIO, "mkfs.erofs is missing: install the package erofs-utils");
    char *const argv[] = {(char *)"mkfs.erofs", (char *)"-d0", file, (char *)path, NULL};
    struct child_spec spec = {.path = program, .argv = argv};
    int r = child_run(&spec, MAKE_TIMEOUT_MS, OUTPUT_MAX, &output, err);
    if (r < 0)
        return r;
    if (r > 0) {
        str_make_printable(output);
        return error_set(err, EIO, "mkfs.erofs failed with status %d: %s", r, output);
    }
    return 0;
}

/* Made beside, flushed, and only then given its name. */
static int make_disk(struct image_store *store, const char *id, const char *name, struct error *err)
{
    CLEANUP_FREE char *tmp = NULL;
    CLEANUP_CLOSE int tmp_fd = -EBADF;
    CLEANUP_CLOSE int fd = -EBADF;

    int r = image__tmp_make(store, &tmp, &tmp_fd, err);
    if (r < 0)
        return r;
    CLEANUP_FREE char *file = mem_printf("%s/tmp/%s/disk", store->dir, tmp);
    r = image__with_rootfs(store, id, NULL, NULL, make, file, err);
    if (r == 0) {
        fd = openat(tmp_fd, "disk", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || fchmod(fd, 0444) < 0 || fsync(fd) < 0)
            r = image__failed(err, -errno, "cannot finish a disk");
    }
    if (r == 0) {
        /* The image may have been removed meanwhile, and its disk with it. */
        pthread_rwlock_rdlock(&store->lock);
        if (!image__find(store, id))
            r = error_set(err, ENOENT, "No such image: %s", id);
        else if (renameat(tmp_fd, "disk", store->disks_fd, name) < 0)
            r = image__failed(err, -errno, "cannot keep a disk");
        pthread_rwlock_unlock(&store->lock);
    }
    image__tmp_remove(store, tmp);
    return r;
}

static char *name_of(const char *image_id)
{
    return mem_printf("%s.erofs", digest_hex(image_id));
}

bool image__disk_stat(struct image_store *store, const char *image_id, int64_t *ret_bytes, int64_t *ret_made_ns)
{
    CLEANUP_FREE char *name = name_of(image_id);
    struct stat st;

    if (fstatat(store->disks_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return false;
    *ret_bytes = (int64_t)st.st_blocks * 512;
    *ret_made_ns = st.st_mtim.tv_sec * NS_PER_SEC + st.st_mtim.tv_nsec;
    return true;
}

int64_t image__disk_remove(struct image_store *store, const char *image_id)
{
    CLEANUP_FREE char *name = name_of(image_id);
    int64_t bytes, made_ns;

    return image__disk_stat(store, image_id, &bytes, &made_ns) && unlinkat(store->disks_fd, name, 0) == 0 ? bytes : 0;
}

int image_disk(struct image_store *store, const char *image_id, char **ret_path, struct error *err)
{
    CLEANUP(image_freep) struct image *image = NULL;
    struct stat st;

    int r = image_get_held(store, image_id, &image, err);
    if (r < 0)
        return r;
    CLEANUP_FREE char *name = name_of(image->id);
    CLEANUP_FREE char *path = mem_printf("%s/disks/%s", store->dir, name);
    pthread_mutex_lock(&store->disk_lock);
    if (fstatat(store->disks_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        r = make_disk(store, image->id, name, err);
    pthread_mutex_unlock(&store->disk_lock);
    if (r == 0)
        *ret_path = TAKE_PTR(path);
    return r;
}
