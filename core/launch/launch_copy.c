/* launch_copy.c - a tmpfs that starts with what the image has there. Owner: launch.
 *
 * Runs in the new root before the container's first instruction; walks by fds
 * and never follows a link. Sockets are left out.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "launch/launch_private.h"

#define DEPTH_MAX 64

static void take_attributes(int fd, const struct stat *st)
{
    struct timespec times[2] = {st->st_atim, st->st_mtim};

    (void)!fchown(fd, st->st_uid, st->st_gid);
    (void)!fchmod(fd, st->st_mode & 07777);
    (void)!futimens(fd, times);
}

static int copy_file(int from_dir, int to_dir, const char *name, const struct stat *st)
{
    CLEANUP_CLOSE int from = openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    CLEANUP_CLOSE int to = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (from < 0 || to < 0)
        return -errno;
    int r = fd_copy(from, to);
    if (r < 0)
        return r;
    take_attributes(to, st);
    return 0;
}

static int copy_link(int from_dir, int to_dir, const char *name, const struct stat *st)
{
    char text[4096];
    ssize_t n = readlinkat(from_dir, name, text, sizeof(text) - 1);

    if (n < 0)
        return -errno;
    text[n] = '\0';
    if (symlinkat(text, to_dir, name) < 0)
        return -errno;
    (void)!fchownat(to_dir, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW);
    return 0;
}

static int copy_entry(int from_dir, int to_dir, const char *name, int depth)
{
    struct stat st;

    if (fstatat(from_dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (S_ISREG(st.st_mode))
        return copy_file(from_dir, to_dir, name, &st);
    if (S_ISLNK(st.st_mode))
        return copy_link(from_dir, to_dir, name, &st);
    if (S_ISDIR(st.st_mode)) {
        int from, to;

        if (mkdirat(to_dir, name, 0700) < 0)
            return -errno;
        from = openat(from_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        to = openat(to_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (from < 0 || to < 0) {
            int r = -errno;

            if (from >= 0)
                close(from);
            if (to >= 0)
                close(to);
            return r;
        }
        return launch__copy_tree(from, to, depth + 1);
    }
    if (S_ISFIFO(st.st_mode))
        return mknodat(to_dir, name, st.st_mode, 0) < 0 ? -errno : 0;
    return 0;
}

int launch__copy_tree(int from, int to, int depth)
{
    struct stat st;
    DIR *d = depth < DEPTH_MAX ? fdopendir(from) : NULL;
    int r = 0;

    if (!d) {
        r = depth < DEPTH_MAX ? -errno : -ELOOP;
        close(from);
        close(to);
        return r;
    }
    for (struct dirent *e; r == 0 && (e = readdir(d));) {
        if (!str_equal(e->d_name, ".") && !str_equal(e->d_name, ".."))
            r = copy_entry(dirfd(d), to, e->d_name, depth);
    }
    if (r == 0 && fstat(dirfd(d), &st) == 0)
        take_attributes(to, &st);
    closedir(d);
    close(to);
    return r;
}
