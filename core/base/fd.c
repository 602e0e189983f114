/* fd.c - whole reads and writes, state files, fd passing, unix sockets. Owner: base. */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"

static int wait_for(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};

    if (poll(&p, 1, -1) < 0 && errno != EINTR)
        return -errno;
    return 0;
}

int fd_write_all(int fd, const void *data, size_t length)
{
    const char *at = data;

    while (length > 0) {
        ssize_t n = write(fd, at, length);

        if (n < 0) {
            if (errno == EINTR)
                continue;
            if (errno != EAGAIN)
                return -errno;
            int r = wait_for(fd, POLLOUT);
            if (r < 0)
                return r;
            continue;
        }
        at += n;
        length -= (size_t)n;
    }
    return 0;
}

ssize_t fd_read_full(int fd, void *data, size_t length)
{
    char *at = data;
    size_t done = 0;

    while (done < length) {
        ssize_t n = read(fd, at + done, length - done);

        if (n == 0)
            break;
        if (n < 0) {
            if (errno == EINTR)
                continue;
            if (errno != EAGAIN)
                return -errno;
            int r = wait_for(fd, POLLIN);
            if (r < 0)
                return r;
            continue;
        }
        done += (size_t)n;
    }
    return (ssize_t)done;
}

int fd_copy(int from, int to)
{
    ssize_t n;

    do
        n = sendfile(to, from, NULL, 1u << 30);
    while (n > 0 || (n < 0 && errno == EINTR));
    return n < 0 ? -errno : 0;
}

int file_read(int dirfd, const char *path, size_t limit, char **ret, size_t *ret_length)
{
    CLEANUP_CLOSE int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return -errno;

    /* st_size is a hint at most (0 below /proc, a page below /sys), so grow while
     * there is more, and judge by what was really read. */
    struct stat st;
    size_t capacity = 4096;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0)
        capacity = ((uint64_t)st.st_size < limit ? (size_t)st.st_size : limit) + 1;
    CLEANUP_FREE char *data = NULL;
    size_t length = 0;
    for (;;) {
        char *grown = realloc(data, capacity + 1);
        if (!grown)
            return -ENOMEM;
        data = grown;
        ssize_t n = fd_read_full(fd, data + length, capacity - length);
        if (n < 0)
            return (int)n;
        length += (size_t)n;
        if (length > limit)
            return -EFBIG;
        if (length < capacity)
            break;
        capacity *= 2;
    }
    data[length] = '\0';
    if (ret_length)
        *ret_length = length;
    *ret = TAKE_PTR(data);
    return 0;
}

int file_write_text(int dirfd, const char *path, const char *text)
{
    CLEANUP_CLOSE int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return -errno;

    /* One write(): the kernel takes each as a whole value, so a rest written
     * separately would be another value. */
    size_t length = strlen(text);
    ssize_t n;
    do
        n = write(fd, text, length);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    return (size_t)n == length ? 0 : -EIO;
}

static int write_aside(int dirfd, const char *aside, const void *data, size_t length, mode_t mode, bool sync)
{
    /* A leftover of a crash may be anything; O_EXCL never opens it. */
    if (unlinkat(dirfd, aside, 0) < 0 && errno != ENOENT)
        return -errno;

    CLEANUP_CLOSE int fd =
        openat(dirfd, aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode & 0600);
    if (fd < 0)
        return -errno;

    int r = fd_write_all(fd, data, length);
    if (r < 0)
        return r;
    if (fchmod(fd, mode) < 0 || (sync && fsync(fd) < 0))
        return -errno;
    return 0;
}

static int replace(int dirfd, const char *path, const void *data, size_t length, mode_t mode, bool sync)
{
    CLEANUP_FREE char *aside = mem_printf("%s.tmp", path);
    int r = write_aside(dirfd, aside, data, length, mode, sync);

    if (r == 0 && renameat(dirfd, aside, dirfd, path) < 0)
        r = -errno;
    if (r < 0)
        unlinkat(dirfd, aside, 0);
    return r;
}

int file_replace(int dirfd, const char *path, const void *data, size_t length, mode_t mode)
{
    return replace(dirfd, path, data, length, mode, false);
}

int file_write_atomic(int dirfd, const char *path, const void *data, size_t length, mode_t mode)
{
    CLEANUP_FREE char *folder = NULL;
    const char *slash = strrchr(path, '/');

    /* Not path_dir(): its lexical ".." could name another folder than rename()'s. */
    if (slash)
        folder = slash == path ? mem_strdup("/") : mem_strndup(path, (size_t)(slash - path));
    else
        folder = mem_strdup(".");

    CLEANUP_CLOSE int folder_fd = openat(dirfd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder_fd < 0)
        return -errno;
    int r = replace(dirfd, path, data, length, mode, true);
    if (r < 0)
        return r;
    return fsync(folder_fd) < 0 ? -errno : 0;
}

int fd_set_nonblock(int fd, bool on)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0)
        return -errno;
    int wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
    if (wanted != flags && fcntl(fd, F_SETFL, wanted) < 0)
        return -errno;
    return 0;
}

int fd_set_cloexec(int fd, bool on)
{
    int flags = fcntl(fd, F_GETFD);

    if (flags < 0)
        return -errno;
    int wanted = on ? flags | FD_CLOEXEC : flags & ~FD_CLOEXEC;
    if (wanted != flags && fcntl(fd, F_SETFD, wanted) < 0)
        return -errno;
    return 0;
}

/* --- passing ------------------------------------------------------------ */

union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int) * FD_PASS_MAX)];
};

int fd_send(int socket, const void *data, size_t length, const int *fds, size_t count)
{
    const char *at = data;
    union control control = {0};

    if (length == 0 || count > FD_PASS_MAX)
        return -EINVAL;

    while (length > 0) {
        struct iovec iov = {.iov_base = (void *)(uintptr_t)at, .iov_len = length};
        struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

        if (count > 0) {
            message.msg_control = control.bytes;
            message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
            struct cmsghdr *c = CMSG_FIRSTHDR(&message);
            c->cmsg_level = SOL_SOCKET;
            c->cmsg_type = SCM_RIGHTS;
            c->cmsg_len = CMSG_LEN(sizeof(int) * count);
            memcpy(CMSG_DATA(c), fds, sizeof(int) * count);
        }
        ssize_t n = sendmsg(socket, &message, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            if (errno != EAGAIN)
                return -errno;
            int r = wait_for(socket, POLLOUT);
            if (r < 0)
                return r;
            continue;
        }
        /* They went with the first byte; sent again they would arrive twice. */
        count = 0;
        at += n;
        length -= (size_t)n;
    }
    return 0;
}

ssize_t fd_recv(int socket, void *data, size_t length, int *ret_fds, size_t max, size_t *ret_count)
{
    union control control = {0};
    struct iovec iov = {.iov_base = data, .iov_len = length};
    struct msghdr message = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof(control.bytes),
    };
    ssize_t n;

    do
        n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;

    /* What does not fit the control buffer the kernel has not installed at all. */
    size_t kept = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
            if (kept < max && ret_fds)
                ret_fds[kept++] = fd;
            else
                close(fd);
        }
    }
    if (ret_count)
        *ret_count = kept;
    return n;
}

/* --- unix sockets ------------------------------------------------------- */

/* Fills in address. A long path is reached through its folder's fd, which
 * *ret_folder keeps open for as long as the address is used. */
static int unix_address(const char *path, struct sockaddr_un *address, int *ret_folder)
{
    size_t length = strlen(path);

    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (length == 0)
        return -EINVAL; /* would be the kernel's autobind */
    if (length < sizeof(address->sun_path)) {
        memcpy(address->sun_path, path, length + 1);
        return 0;
    }

    const char *name = path_base(path);
    if (name == path || *name == '\0')
        return *name ? -ENAMETOOLONG : -EINVAL;
    CLEANUP_FREE char *folder = mem_strndup(path, (size_t)(name - path));
    CLEANUP_CLOSE int fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int n = snprintf(address->sun_path, sizeof(address->sun_path), "/proc/self/fd/%d/%s", fd, name);
    if (n < 0 || (size_t)n >= sizeof(address->sun_path))
        return -ENAMETOOLONG;
    *ret_folder = TAKE_FD(fd);
    return 0;
}

static int connect_to(const struct sockaddr_un *address, int flags, int *ret_fd)
{
    CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    if (fd < 0)
        return -errno;

    int r;
    do
        r = connect(fd, (const struct sockaddr *)address, sizeof(*address));
    while (r < 0 && errno == EINTR);
    if (r < 0)
        return -errno;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

int socket_connect(const char *path)
{
    struct sockaddr_un address;
    CLEANUP_CLOSE int folder = -EBADF;
    int fd;

    int r = unix_address(path, &address, &folder);
    if (r < 0)
        return r;
    r = connect_to(&address, 0, &fd);
    return r < 0 ? r : fd;
}

/* Removes the socket file that a dead listener left. */
static int remove_stale(const struct sockaddr_un *address)
{
    struct stat st;

    if (lstat(address->sun_path, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(st.st_mode))
        return -EEXIST;

    /* Non-blocking: a full backlog (EAGAIN) is a sign of life, too. */
    CLEANUP_CLOSE int fd = -EBADF;
    int r = connect_to(address, SOCK_NONBLOCK, &fd);
    if (r == 0 || r == -EAGAIN)
        return -EADDRINUSE;
    if (r != -ECONNREFUSED && r != -ENOENT)
        return r;
    if (unlink(address->sun_path) < 0 && errno != ENOENT)
        return -errno;
    return 0;
}

int socket_listen(const char *path, int backlog, mode_t mode)
{
    struct sockaddr_un address;
    CLEANUP_CLOSE int folder = -EBADF;

    int r = unix_address(path, &address, &folder);
    if (r < 0)
        return r;
    r = remove_stale(&address);
    if (r < 0)
        return r;

    CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    /* The file's mode is the socket inode's less the umask: narrow from its
     * first moment; chmod() then adds what the umask took. umask() itself would
     * be every thread's. */
    if (fchmod(fd, mode) < 0)
        return -errno;
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return -errno;
    if (chmod(address.sun_path, mode) < 0 || listen(fd, backlog) < 0) {
        r = -errno;
        unlink(address.sun_path);
        return r;
    }
    return TAKE_FD(fd);
}
