/* main.c - tabique-files: see files.h.
 *
 * Started by the shim: fd 3 is the channel (a stream socket), fds from 4 the shares;
 * one argument, a letter for each share: "r" read-only, "w" writable. */
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

/* A message begins with its own length. One longer than libfuse's buffer, or
 * shorter than a header, ends the session: there is no way to find the next. */
static ssize_t receive(int fd, void *buffer, size_t size, void *user)
{
    uint32_t length;
    ssize_t n = fd_read_full(fd, &length, sizeof(length));

    if (n == 0)
        return 0;
    if (n != (ssize_t)sizeof(length) || length < 40 || length > size) {
        errno = ENODEV;
        return -1;
    }
    memcpy(buffer, &length, sizeof(length));
    n = fd_read_full(fd, (char *)buffer + sizeof(length), length - sizeof(length));
    if (n != (ssize_t)(length - sizeof(length)) || !message_is_well_formed(buffer, length)) {
        errno = ENODEV;
        return -1;
    }
    return (ssize_t)length;
}

static ssize_t transmit(int fd, struct iovec *iov, int count, void *user)
{
    size_t total = 0;

    for (int i = 0; i < count; i++) {
        int r = fd_write_all(fd, iov[i].iov_base, iov[i].iov_len);
        if (r < 0) {
            errno = -r;
            return -1;
        }
        total += iov[i].iov_len;
    }
    return (ssize_t)total;
}

int main(int argc, char **argv)
{
    static const struct fuse_custom_io io = {.read = receive, .writev = transmit};
    char *fuse_argv[] = {argv[0], NULL};
    struct fuse_args args = FUSE_ARGS_INIT(1, fuse_argv);
    int fds[FILES_SHARES_MAX];
    bool readonly[FILES_SHARES_MAX];
    struct fuse_session *session;
    size_t count = argc == 2 ? strlen(argv[1]) : 0;

    if (count == 0 || count > FILES_SHARES_MAX || fcntl(FILES_CHANNEL, F_GETFD) < 0) {
        fprintf(stderr, "tabique-files is started by tabique-shim, not by hand\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < count; i++) {
        fds[i] = FILES_FIRST_SHARE + (int)i;
        readonly[i] = argv[1][i] == 'r';
    }
    if (tree_open(fds, readonly, count) < 0) {
        fprintf(stderr, "tabique-files: a share is not a directory or file\n");
        return 1;
    }
    confine();
    session = fuse_session_new(&args, &tree_ops, sizeof(tree_ops), NULL);
    if (!session || fuse_session_custom_io(session, &io, FILES_CHANNEL) != 0)
        return 1;
    (void)fuse_session_loop(session);
    fuse_session_destroy(session);
    return 0;
}
