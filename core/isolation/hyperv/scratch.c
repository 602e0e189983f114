/* scratch.c - see scratch.h. */
#include "isolation/hyperv/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/child.h"
#include "base/mem.h"
#include "base/path.h"
#include "isolation/hyperv/setup.h"
#include "launch/plan.h"
#include "tabique/error.h"

#define LOCK_TRIES 200
#define LOCK_PAUSE_US 10000

/* A reflink where the file system can; else the few MiB of metadata, hole by hole. */
static int copy_sparse(int from, int to, struct error *err)
{
    struct stat st;
    off_t data = 0, hole;

    if (fstat(from, &st) < 0)
        return error_errno(err, errno, "cannot read the empty disk");
    if (ioctl(to, FICLONE, from) == 0)
        return 0;
    if (ftruncate(to, st.st_size) < 0)
        return error_errno(err, errno, "cannot size the container's disk");
    while (data < st.st_size && (data = lseek(from, data, SEEK_DATA)) >= 0) {
        off_t out = data;
        hole = lseek(from, data, SEEK_HOLE);
        while (data < hole) {
            ssize_t n = copy_file_range(from, &data, to, &out, (size_t)(hole - data), 0);
            if (n <= 0)
                return error_errno(err, n < 0 ? errno : EIO, "cannot make the container's disk");
        }
    }
    return 0;
}

/* Two machines on one disk would ruin it. The lock is the open file's, which goes
 * with the worker: it holds exactly as long as a machine may write. A worker that
 * has been killed takes a moment to go. */
static int lock(int fd)
{
    for (int tries = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; tries++) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return -errno;
        if (tries == LOCK_TRIES)
            return -EBUSY;
        usleep(LOCK_PAUSE_US);
    }
    return 0;
}

#define INODE_BYTES 10240 /* for each there is one: a million in 10 GiB */
#define INODES_LEAST 16384

int scratch_format(int fd, const char *path, uint64_t bytes, struct error *err)
{
    uint64_t count = bytes / INODE_BYTES;
    CLEANUP_FREE char *inodes = mem_printf("%llu", (unsigned long long)(count < INODES_LEAST ? INODES_LEAST : count));
    CLEANUP_FREE char *output = NULL;
    const char *argv[] = {"mkfs.ext4", "-q", "-F", "-m", "0", "-J", "size=8", "-O", "^resize_inode", "-E",
                          "lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0", "-N", inodes, path, NULL};
    const struct child_spec mkfs = {.path = "/sbin/mkfs.ext4", .argv = (char *const *)(const void *)argv};
    int r;

    if (ftruncate(fd, (off_t)bytes) < 0)
        return error_errno(err, errno, "cannot size %s", path);
    r = child_run(&mkfs, 60000, 4096, &output, err);
    return r > 0 ? error_set(err, EIO, "mkfs.ext4 failed: %s", output) : r;
}

int scratch_open(const struct machine_setup *setup, const struct plan *plan, int *ret_fd, struct error *err)
{
    CLEANUP_FREE char *dir = path_dir(plan->rootfs.upper);
    CLEANUP_FREE char *path = path_join(dir, "scratch.ext4");
    CLEANUP_FREE char *aside = path_join(dir, "scratch.new");
    CLEANUP_FREE char *empty = path_join(setup->dir, "scratch.ext4");
    CLEANUP_CLOSE int fd = open(path, O_RDWR | O_CLOEXEC);
    CLEANUP_CLOSE int from = -EBADF;
    int r;

    if (fd < 0 && errno == ENOENT) {
        from = open(empty, O_RDONLY | O_CLOEXEC);
        fd = open(aside, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (from < 0 || fd < 0)
            return error_errno(err, errno, "cannot make the container's disk");
        r = plan->rootfs.size ? scratch_format(fd, aside, (uint64_t)plan->rootfs.size, err) : copy_sparse(from, fd, err);
        if (r < 0) {
            (void)unlink(aside);
            return r;
        }
        if (rename(aside, path) < 0)
            return error_errno(err, errno, "cannot make the container's disk");
    }
    if (fd < 0)
        return error_errno(err, errno, "cannot open the container's disk");
    r = lock(fd);
    if (r < 0)
        return error_errno(err, -r, "the container's disk is in use by another machine");
    *ret_fd = TAKE_FD(fd);
    return 0;
}

int scratch_name(int fd, const struct plan *plan)
{
    CLEANUP_FREE char *dir = path_dir(plan->rootfs.upper);
    CLEANUP_FREE char *path = path_join(dir, "scratch.ext4");
    CLEANUP_FREE char *unnamed = mem_printf("/proc/self/fd/%d", fd);

    return linkat(AT_FDCWD, unnamed, AT_FDCWD, path, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

int scratch_fill(const struct machine_setup *setup, int fd, struct error *err)
{
    CLEANUP_FREE char *empty = path_join(setup->dir, "scratch.ext4");
    CLEANUP_CLOSE int from = open(empty, O_RDONLY | O_CLOEXEC);

    return from < 0 ? error_errno(err, errno, "cannot open the empty disk") : copy_sparse(from, fd, err);
}

/* One without a name, with the contents of another that stands still. */
static int copy_unnamed(int from, const char *dir, int *ret_fd, struct error *err)
{
    CLEANUP_CLOSE int fd = open(dir, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    int r;

    if (fd < 0)
        return error_errno(err, errno, "cannot make a disk");
    r = copy_sparse(from, fd, err);
    if (r >= 0 && (r = lock(fd)) < 0)
        r = error_errno(err, -r, "cannot lock a disk");
    if (r >= 0)
        *ret_fd = TAKE_FD(fd);
    return r;
}

int scratch_copy(int from, const struct plan *plan, int *ret_fd)
{
    CLEANUP_FREE char *dir = path_dir(plan->rootfs.upper);
    CLEANUP_CLOSE int fd = -EBADF;
    int r = copy_unnamed(from, dir, &fd, NULL);

    if (r >= 0)
        r = scratch_name(fd, plan);
    if (r >= 0)
        *ret_fd = TAKE_FD(fd);
    return r;
}

int scratch_temporary(const struct machine_setup *setup, const char *dir, int *ret_fd, struct error *err)
{
    CLEANUP_FREE char *empty = path_join(setup->dir, "scratch.ext4");
    CLEANUP_CLOSE int from = open(empty, O_RDONLY | O_CLOEXEC);

    return from < 0 ? error_errno(err, errno, "cannot open the empty disk") : copy_unnamed(from, dir, ret_fd, err);
}
