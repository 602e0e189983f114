/* fd.h - reading, writing and passing file descriptors whole.
 *
 * Everything opened here is O_CLOEXEC. EINTR is handled; short reads and writes
 * are completed, also on non-blocking fds (by waiting). Returns 0 (or a count)
 * or -errno. Writers to pipes and sockets need SIGPIPE ignored. Threads: any,
 * but two atomic writes of one file at once are the caller's to prevent. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct error;

int fd_write_all(int fd, const void *data, size_t length);
/* Reads until length or end; returns the count. */
ssize_t fd_read_full(int fd, void *data, size_t length);
/* From one fd's place to its end, into another's place; of any two file systems,
 * where copy_file_range() gives -EXDEV. */
int fd_copy(int from, int to);
/* Whole file into a NUL-terminated buffer (free() it); -EFBIG over limit.
 * Works for /proc files, whose st_size is 0. dirfd may be AT_FDCWD. */
int file_read(int dirfd, const char *path, size_t limit, char **ret, size_t *ret_length);
/* One write() of text: for /proc and cgroup files. */
int file_write_text(int dirfd, const char *path, const char *text);
/* State files: writes path.tmp aside, fsyncs, renames, fsyncs the directory.
 * The old content or the new is there after a crash, never half. */
int file_write_atomic(int dirfd, const char *path, const void *data, size_t length, mode_t mode);
/* The same without fsync: whoever is killed in between, and whoever reads, sees the
 * old content or the new; after a power cut it may be damaged. */
int file_replace(int dirfd, const char *path, const void *data, size_t length, mode_t mode);
int fd_set_nonblock(int fd, bool on);
int fd_set_cloexec(int fd, bool on);

/* SCM_RIGHTS over a unix socket; at most FD_PASS_MAX at once. fds received
 * beyond max are closed. recv returns bytes read (0 = end). send needs at least
 * one byte, which the fds travel with. */
#define FD_PASS_MAX 8
int fd_send(int socket, const void *data, size_t length, const int *fds, size_t count);
ssize_t fd_recv(int socket, void *data, size_t length, int *ret_fds, size_t max, size_t *ret_count);

/* Unix stream sockets; paths over 107 bytes are bound and connected through
 * /proc/self/fd/DIR/name, so long roots work. connect: -errno, ECONNREFUSED
 * where nobody listens, ENOENT where no socket is. listen removes a stale socket
 * file first; -EADDRINUSE where somebody listens, -EEXIST for another kind of
 * file. The new socket file has exactly this mode, whatever the umask. */
int socket_connect(const char *path);
int socket_listen(const char *path, int backlog, mode_t mode);
