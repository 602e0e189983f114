#include "base/base_test.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"

static void scratch_remove(char *path, int fd)
{
    close(fd);
    assert_int_equal(path_remove_tree(AT_FDCWD, path), 0);
    free(path);
}

static bool is_cloexec(int fd)
{
    return fcntl(fd, F_GETFD) & FD_CLOEXEC;
}

struct stream {
    int fd;
    size_t length;
};

static void *write_much(void *user)
{
    struct stream *s = user;
    char *data = mem_alloc(s->length);

    memset(data, 'd', s->length);
    assert_int_equal(fd_write_all(s->fd, data, s->length), 0);
    free(data);
    close(s->fd);
    return NULL;
}

/* Between file systems of two kinds, from the middle, and where it cannot be. */
static void copies(void **state)
{
    int from = -1, to = memfd_create("copy", MFD_CLOEXEC), dir;
    char *path = scratch_new(&dir), text[16] = "";

    from = openat(dir, "from", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(fd_write_all(from, "0123456789", 10), 0);
    assert_int_equal(lseek(from, 3, SEEK_SET), 3);
    assert_int_equal(fd_copy(from, to), 0);
    assert_int_equal(pread(to, text, sizeof(text), 0), 7);
    assert_string_equal(text, "3456789");
    assert_int_equal(fd_copy(from, -1), -EBADF);
    close(from);
    close(to);
    scratch_remove(path, dir);
}

static void whole_reads_and_writes(void **state)
{
    for (int nonblock = 0; nonblock < 2; nonblock++) {
        int ends[2];
        pthread_t thread;
        size_t length = 3 << 20;
        CLEANUP_FREE char *data = mem_alloc(length + 10);

        assert_int_equal(pipe2(ends, O_CLOEXEC | (nonblock ? O_NONBLOCK : 0)), 0);
        struct stream s = {ends[1], length};
        pthread_create(&thread, NULL, write_much, &s);
        assert_int_equal(fd_read_full(ends[0], data, length + 10), length);
        assert_int_equal(data[length - 1], 'd');
        pthread_join(thread, NULL);
        close(ends[0]);
    }
    assert_int_equal(fd_write_all(-1, "x", 1), -EBADF);
    assert_int_equal(fd_read_full(-1, &(char){0}, 1), -EBADF);
}

static void flags(void **state)
{
    int fd = open("/dev/null", O_RDONLY);

    assert_int_equal(fd_set_cloexec(fd, true), 0);
    assert_true(is_cloexec(fd));
    assert_int_equal(fd_set_cloexec(fd, false), 0);
    assert_false(is_cloexec(fd));
    assert_int_equal(fd_set_nonblock(fd, true), 0);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_int_equal(fd_set_nonblock(fd, false), 0);
    assert_false(fcntl(fd, F_GETFL) & O_NONBLOCK);
    close(fd);
    assert_int_equal(fd_set_nonblock(-1, true), -EBADF);
    assert_int_equal(fd_set_cloexec(-1, true), -EBADF);
}

static void reading_files(void **state)
{
    int dir;
    char *path = scratch_new(&dir);
    char *data = NULL;
    size_t length = 99;

    put_file(dir, "f", "hello");
    assert_int_equal(file_read(dir, "f", 5, &data, &length), 0);
    assert_int_equal(length, 5);
    assert_string_equal(data, "hello");
    free(data);
    data = NULL;
    assert_int_equal(file_read(dir, "f", 4, &data, &length), -EFBIG);
    assert_int_equal(file_read(dir, "none", 4, &data, &length), -ENOENT);
    assert_int_equal(file_read(dir, ".", 4, &data, &length), -EISDIR);
    assert_null(data);
    assert_int_equal(length, 5);
    put_file(dir, "empty", "");
    assert_int_equal(file_read(dir, "empty", 0, &data, NULL), 0);
    assert_string_equal(data, "");
    free(data);

    /* /proc: no size in advance; and the limit holds all the same. */
    assert_int_equal(file_read(AT_FDCWD, "/proc/self/maps", 10 << 20, &data, &length), 0);
    assert_true(length > 1000 && strlen(data) == length);
    free(data);
    data = NULL;
    assert_int_equal(file_read(AT_FDCWD, "/proc/self/maps", 100, &data, &length), -EFBIG);
    assert_int_equal(file_read(AT_FDCWD, "/dev/zero", 100000, &data, &length), -EFBIG);
    scratch_remove(path, dir);
}

static void writing_text(void **state)
{
    int dir;
    char *path = scratch_new(&dir);
    char *data = NULL;

    put_file(dir, "f", "");
    assert_int_equal(file_write_text(dir, "f", "value"), 0);
    assert_int_equal(file_read(dir, "f", 100, &data, NULL), 0);
    assert_string_equal(data, "value");
    free(data);
    assert_int_equal(file_write_text(dir, "none", "x"), -ENOENT);
    assert_int_equal(file_write_text(AT_FDCWD, "/dev/full", "x"), -ENOSPC);
    scratch_remove(path, dir);
}

static void atomic_writes(void **state)
{
    int dir;
    char *path = scratch_new(&dir);
    char *data = NULL;
    struct stat st;
    size_t length;
    int before = open_fds();

    mode_t old = umask(077);
    assert_int_equal(file_write_atomic(dir, "state", "one", 3, 0644), 0);
    umask(old);
    assert_int_equal(fstatat(dir, "state", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
    ino_t inode = st.st_ino;

    /* Somebody who has the old one open keeps the old one. */
    int held = openat(dir, "state", O_RDONLY | O_CLOEXEC);
    assert_int_equal(file_write_atomic(dir, "state", "t\0o", 3, 0600), 0);
    assert_int_equal(fstatat(dir, "state", &st, 0), 0);
    assert_true(st.st_ino != inode);
    char text[4] = "";
    assert_int_equal(fd_read_full(held, text, 4), 3);
    assert_string_equal(text, "one");
    close(held);
    assert_int_equal(file_read(dir, "state", 10, &data, &length), 0);
    assert_int_equal(length, 3);
    assert_memory_equal(data, "t\0o", 3);
    free(data);
    assert_int_equal(faccessat(dir, "state.tmp", F_OK, 0), -1);

    /* A planted symlink at the temporary name is replaced, not followed. */
    put_file(dir, "victim", "safe");
    assert_int_equal(symlinkat("victim", dir, "state.tmp"), 0);
    assert_int_equal(file_write_atomic(dir, "state", "three", 5, 0600), 0);
    assert_int_equal(file_read(dir, "victim", 10, &data, NULL), 0);
    assert_string_equal(data, "safe");
    free(data);

    /* Failures leave the old content and nothing aside. */
    assert_int_equal(mkdirat(dir, "folder", 0755), 0);
    put_file(dir, "folder/x", "");
    assert_int_equal(file_write_atomic(dir, "folder", "x", 1, 0600), -EISDIR);
    assert_int_equal(faccessat(dir, "folder.tmp", F_OK, 0), -1);
    assert_int_equal(file_write_atomic(dir, "none/x", "x", 1, 0600), -ENOENT);
    assert_int_equal(file_write_atomic(dir, "folder/y", NULL, 0, 0600), 0);
    CLEANUP_FREE char *absolute = path_join(path, "z");
    assert_int_equal(file_write_atomic(AT_FDCWD, absolute, "z", 1, 0600), 0);
    assert_int_equal(open_fds(), before);
    scratch_remove(path, dir);
}

static void passing(void **state)
{
    int pair[2], pipe_ends[2];
    int got[FD_PASS_MAX];
    size_t count = 99;
    char data[16];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(pipe2(pipe_ends, O_CLOEXEC), 0);
    int before = open_fds();

    assert_int_equal(fd_send(pair[0], "abc", 3, pipe_ends, 2), 0);
    assert_int_equal(fd_recv(pair[1], data, sizeof(data), got, FD_PASS_MAX, &count), 3);
    assert_int_equal(count, 2);
    assert_true(is_cloexec(got[0]) && is_cloexec(got[1]));
    assert_int_equal(write(got[1], "!", 1), 1);
    assert_int_equal(read(pipe_ends[0], data, 1), 1);
    close(got[0]);
    close(got[1]);

    /* More than wanted: the rest is closed, not leaked. */
    int many[FD_PASS_MAX];
    for (int i = 0; i < FD_PASS_MAX; i++)
        many[i] = pipe_ends[0];
    assert_int_equal(fd_send(pair[0], "x", 1, many, FD_PASS_MAX), 0);
    assert_int_equal(fd_recv(pair[1], data, sizeof(data), got, 1, &count), 1);
    assert_int_equal(count, 1);
    close(got[0]);
    assert_int_equal(fd_send(pair[0], "x", 1, many, FD_PASS_MAX), 0);
    assert_int_equal(fd_recv(pair[1], data, sizeof(data), NULL, 0, NULL), 1);
    assert_int_equal(open_fds(), before);

    /* A peer that sends more than our control buffer takes. */
    char control[CMSG_SPACE(sizeof(int) * 32)] __attribute__((aligned(8))) = {0};
    struct iovec iov = {.iov_base = mutable_text("y"), .iov_len = 1};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
                             .msg_controllen = sizeof(control)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * 32);
    for (int i = 0; i < 32; i++)
        memcpy(CMSG_DATA(c) + (size_t)i * sizeof(int), &pipe_ends[0], sizeof(int));
    assert_int_equal(sendmsg(pair[0], &message, 0), 1);
    assert_int_equal(fd_recv(pair[1], data, sizeof(data), got, 2, &count), 1);
    assert_int_equal(count, 2);
    close(got[0]);
    close(got[1]);
    assert_int_equal(open_fds(), before);

    assert_int_equal(fd_send(pair[0], "", 0, many, 1), -EINVAL);
    assert_int_equal(fd_send(pair[0], "x", 1, many, FD_PASS_MAX + 1), -EINVAL);
    assert_int_equal(fd_send(pair[0], "plain", 5, NULL, 0), 0);
    assert_int_equal(fd_recv(pair[1], data, sizeof(data), got, FD_PASS_MAX, &count), 5);
    assert_int_equal(count, 0);
    close(pair[0]);
    assert_int_equal(fd_recv(pair[1], data, sizeof(data), got, FD_PASS_MAX, &count), 0);
    close(pair[1]);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    assert_int_equal(fd_recv(-1, data, 1, got, 1, &count), -EBADF);
}

static void talk(const char *path, mode_t mode)
{
    struct stat st;
    char data[2] = "";

    mode_t old = umask(077);
    int listener = socket_listen(path, 4, mode);
    umask(old);
    assert_true(listener >= 0);
    assert_true(is_cloexec(listener));
    int client = socket_connect(path);
    assert_true(client >= 0);
    assert_true(is_cloexec(client));
    int served = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(served >= 0);
    assert_int_equal(fd_write_all(client, "k", 1), 0);
    assert_int_equal(fd_read_full(served, data, 1), 1);
    close(served);
    close(client);

    /* Not taken away from a live listener; taken over from a dead one. */
    assert_int_equal(socket_listen(path, 4, mode), -EADDRINUSE);
    close(listener);
    assert_int_equal(socket_connect(path), -ECONNREFUSED);
    listener = socket_listen(path, 4, mode);
    assert_true(listener >= 0);
    close(listener);

    CLEANUP_FREE char *folder = path_dir(path);
    int dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(fstatat(dir, path_base(path), &st, 0), 0);
    assert_true(S_ISSOCK(st.st_mode));
    assert_int_equal(st.st_mode & 07777, mode);
    close(dir);
}

static void unix_sockets(void **state)
{
    int dir;
    char *root = scratch_new(&dir);
    int before = open_fds();
    CLEANUP_FREE char *path = path_join(root, "s.sock");

    talk(path, 0660);
    talk(path, 0600);
    assert_int_equal(socket_connect("/nonexistent/s"), -ENOENT);
    assert_int_equal(socket_connect(""), -EINVAL);
    put_file(dir, "file", "data");
    CLEANUP_FREE char *file = path_join(root, "file");
    assert_int_equal(socket_listen(file, 1, 0600), -EEXIST);
    assert_int_equal(faccessat(dir, "file", F_OK, 0), 0);

    /* Every length around the limit of sun_path, and far beyond it. */
    for (size_t wanted = 104; wanted <= 111; wanted++) {
        size_t left = wanted - strlen(root) - 3;
        CLEANUP_FREE char *name = mem_alloc(left + 1);
        memset(name, 'd', left);
        CLEANUP_FREE char *sub = path_join(root, name);
        assert_int_equal(path_mkdirs(sub, 0755), 0);
        CLEANUP_FREE char *sock = path_join(sub, "s");
        assert_int_equal(strlen(sock), wanted);
        talk(sock, 0666);
    }
    CLEANUP_FREE char *name = mem_alloc(201);
    memset(name, 'x', 200);
    CLEANUP_FREE char *sub = path_join(root, name);
    CLEANUP_FREE char *deeper = path_join(sub, name);
    assert_int_equal(path_mkdirs(deeper, 0755), 0);
    CLEANUP_FREE char *sock = path_join(deeper, "control.sock");
    talk(sock, 0600);
    CLEANUP_FREE char *missing = path_join(deeper, "gone/control.sock");
    assert_int_equal(socket_connect(missing), -ENOENT);
    CLEANUP_FREE char *too_long = path_join(deeper, name);
    assert_int_equal(socket_connect(too_long), -ENAMETOOLONG);
    assert_int_equal(open_fds(), before);
    scratch_remove(root, dir);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies), cmocka_unit_test(whole_reads_and_writes), cmocka_unit_test(flags),
        cmocka_unit_test(reading_files),          cmocka_unit_test(writing_text),
        cmocka_unit_test(atomic_writes),          cmocka_unit_test(passing),
        cmocka_unit_test(unix_sockets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
