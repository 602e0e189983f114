/* log_gzip.c - the file that was rotated away, compressed by a process of its own, so that
 * no output waits for it. Owner: shim.
 *
 * X.1 stays until X.1.gz is whole. The header's name field says which file it was, "INODE.TIME"
 * (its last change, in ns), for a reader that has that file open or has read it
 * (core/container/log_file.c). The next rotation waits for the end of this one's. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "shim/shim.h"

#define BLOCK 65536
#define GZIP_WINDOW (15 + 16)

static int compress_fd(int in, int out)
{
    static Bytef from[BLOCK], to[BLOCK];
    z_stream z = {0};
    gz_header header = {.os = 3};
    char name[64];
    struct stat st;
    int r = fstat(in, &st) < 0 ? -errno : 0, end = Z_OK;

    if (r < 0 || deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return r < 0 ? r : -ENOMEM;
    snprintf(name, sizeof(name), "%llu.%lld", (unsigned long long)st.st_ino,
             (long long)(st.st_mtim.tv_sec * NS_PER_SEC + st.st_mtim.tv_nsec));
    header.name = (Bytef *)name;
    header.time = (uLong)st.st_mtim.tv_sec;
    deflateSetHeader(&z, &header);
    while (r == 0 && end != Z_STREAM_END) {
        ssize_t got = read(in, from, sizeof(from));
        if (got < 0) {
            r = errno == EINTR ? 0 : -errno;
            continue;
        }
        z.next_in = from;
        z.avail_in = (uInt)got;
        do {
            z.next_out = to;
            z.avail_out = sizeof(to);
            end = deflate(&z, got == 0 ? Z_FINISH : Z_NO_FLUSH);
            r = fd_write_all(out, to, sizeof(to) - z.avail_out);
        } while (r == 0 && z.avail_out == 0);
    }
    deflateEnd(&z);
    return r;
}

static int compress_file(const char *plain)
{
    CLEANUP_FREE char *done = mem_printf("%s.gz", plain), *aside = mem_printf("%s.gz.tmp", plain);
    int in = open(plain, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    int out = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);

    if (in < 0 || out < 0)
        return -errno;
    /* Nothing of the shim's is to be held open by us: whoever waits for its end would wait. */
    if (dup2(in, 0) < 0 || dup2(out, 1) < 0)
        return -errno;
    (void)close_range(2, ~0U, 0);
    (void)!nice(10);
    int r = compress_fd(0, 1);
    if (r == 0 && rename(aside, done) < 0)
        r = -errno;
    if (r == 0)
        unlink(plain);
    else
        unlink(aside);
    return r;
}

void shim_log_compress(struct shim_log *log)
{
    CLEANUP_FREE char *plain = mem_printf("%s.1", log->path);
    pid_t pid = fork();

    if (pid == 0)
        _exit(compress_file(plain) < 0);
    if (pid > 0)
        log->compressing = (int)syscall(SYS_pidfd_open, pid, 0);
}

void shim_log_compressed(struct shim_log *log)
{
    /* Whoever collects all children may have been first. */
    if (log->compressing >= 0)
        (void)waitid(P_PIDFD, (id_t)log->compressing, &(siginfo_t){0}, WEXITED);
    cleanup_close(&log->compressing);
}
