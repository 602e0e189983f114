/* arrival.c - see arrival.h. Owner: build. Sources: fsopen(2), tmpfs(5). */
#include "build/arrival.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "tabique/error.h"

#define SMALL_ARCHIVE ((size_t)8 << 20)
/* Of the memory's file system; what does not fit goes to the disk. */
static const char *const small[][2] = {{"size", "32m"}, {"nr_inodes", "8192"}, {"mode", "0755"}};

struct arrival {
    struct str begun; /* the first bytes, or all */
    size_t told;      /* of them, to whom unpacks */
    archive_read_fn *read;
    void *user;
};

static ssize_t replay(void *user, void *buffer, size_t size)
{
    struct arrival *arrival = user;
    size_t left = arrival->begun.length - arrival->told, n = left < size ? left : size;

    if (n == 0)
        return arrival->read ? arrival->read(arrival->user, buffer, size) : 0;
    memcpy(buffer, arrival->begun.data + arrival->told, n);
    arrival->told += n;
    return (ssize_t)n;
}

static int mount_memory(void)
{
    CLEANUP_CLOSE int fs = fsopen("tmpfs", FSOPEN_CLOEXEC);

    for (size_t i = 0; fs >= 0 && i < ARRAY_SIZE(small); i++)
        if (fsconfig(fs, FSCONFIG_SET_STRING, small[i][0], small[i][1], 0) < 0)
            return -errno;
    if (fs < 0 || fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return -errno;
    int fd = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    return fd < 0 ? -errno : fd;
}

/* 1: there is more than a small one has. */
static int read_begin(struct arrival *arrival, struct error *err)
{
    while (arrival->begun.length < SMALL_ARCHIVE) {
        char buffer[64 << 10];
        ssize_t n = arrival->read(arrival->user, buffer, sizeof(buffer));

        if (n < 0)
            return error_errno(err, (int)-n, "the archive cannot be read");
        if (n == 0) {
            arrival->read = NULL;
            return 0;
        }
        str_append_n(&arrival->begun, buffer, (size_t)n);
    }
    return 1;
}

/* -EAGAIN: on the disk, please. */
static int unpack_small(struct arrival *arrival, const struct archive_limits *limits, int *ret_files_fd, struct error *err)
{
    struct error own = ERROR_INIT;
    CLEANUP_CLOSE int mounted = mount_memory();
    CLEANUP_CLOSE int fd = mounted < 0 ? -EBADF : openat(mounted, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return -EAGAIN;
    int r = archive_extract(fd, "/", replay, arrival, 0, limits, NULL, &own);
    arrival->told = 0;
    if (r == -EINVAL) /* a bad archive is one everywhere */
        return error_set(err, EINVAL, "%s", own.message);
    if (r < 0)
        return -EAGAIN;
    *ret_files_fd = TAKE_FD(fd);
    return 0;
}

int arrival_unpack(int disk_fd, archive_read_fn *read, void *user, const struct archive_limits *limits,
                   int *ret_files_fd, struct error *err)
{
    struct arrival arrival = {.begun = STR_INIT, .read = read, .user = user};

    int r = read_begin(&arrival, err);
    if (r == 0)
        r = unpack_small(&arrival, limits, ret_files_fd, err);
    if (r == 1 || r == -EAGAIN) {
        CLEANUP_CLOSE int fd = fcntl(disk_fd, F_DUPFD_CLOEXEC, 3);

        r = fd < 0 ? error_errno(err, EIO, "cannot open a build's directory")
                   : archive_extract(fd, "/", replay, &arrival, 0, limits, NULL, err);
        if (r == 0)
            *ret_files_fd = TAKE_FD(fd);
    }
    str_free(&arrival.begun);
    return r;
}
