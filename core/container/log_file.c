/* log_file.c - see log_file.h. Owner: container. */
#include "container/log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"

#define BLOCK ((size_t)64 << 10)
#define GZIP_WINDOW (15 + 16)
#define TRIES 3 /* from a name to the next while the shim renames */

static char *name_of(const char *path, int index, const char *ending)
{
    return index == 0 ? mem_strdup(path) : mem_printf("%s.%d%s", path, index, ending);
}

static int64_t changed(const struct stat *st)
{
    return st->st_mtim.tv_sec * NS_PER_SEC + st->st_mtim.tv_nsec;
}

/* to < 0: only the header's name is wanted. */
static int unpack(int from, int to, struct log_file *ret)
{
    CLEANUP_FREE Bytef *in = mem_alloc(BLOCK), *out = mem_alloc(BLOCK);
    char name[64] = "";
    gz_header header = {.name = (Bytef *)name, .name_max = sizeof(name) - 1};
    z_stream z = {0};
    unsigned long long inode = 0;
    long long changed_ns = 0;
    int r = 0, end = Z_OK;

    if (inflateInit2(&z, GZIP_WINDOW) != Z_OK)
        return -ENOMEM;
    inflateGetHeader(&z, &header);
    while (r == 0 && end == Z_OK && (to >= 0 || header.done == 0)) {
        ssize_t got = read(from, in, BLOCK);
        if (got <= 0) {
            r = got < 0 ? -errno : -EIO; /* torn */
            break;
        }
        z.next_in = in;
        z.avail_in = (uInt)got;
        do {
            z.next_out = out;
            z.avail_out = BLOCK;
            end = inflate(&z, to < 0 ? Z_BLOCK : Z_NO_FLUSH);
            if (end != Z_OK && end != Z_STREAM_END && end != Z_BUF_ERROR)
                r = -EIO;
            else if (to >= 0)
                r = fd_write_all(to, out, BLOCK - z.avail_out);
        } while (r == 0 && to >= 0 && end == Z_OK && z.avail_out == 0);
        if (end == Z_BUF_ERROR)
            end = Z_OK;
    }
    inflateEnd(&z);
    if (r == 0 && sscanf(name, "%llu.%lld", &inode, &changed_ns) != 2)
        r = -EIO;
    if (r == 0)
        *ret = (struct log_file){(ino_t)inode, changed_ns, true};
    return r;
}

static int open_copy(const char *path, const char *packed, struct log_file *ret)
{
    CLEANUP_CLOSE int from = open(packed, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    CLEANUP_FREE char *dir = path_dir(path);
    CLEANUP_CLOSE int to = -EBADF;

    if (from < 0)
        return -errno;
    to = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (to < 0)
        return -errno;
    int r = unpack(from, to, ret);
    return r < 0 ? r : TAKE_FD(to);
}

int log_file_open(const char *path, int index, struct log_file *ret)
{
    CLEANUP_FREE char *plain = name_of(path, index, ""), *packed = name_of(path, index, ".gz");
    int r = -ENOENT;

    for (int i = 0; i < TRIES && r == -ENOENT; i++) {
        struct stat st;
        r = open(plain, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (r < 0)
            r = -errno;
        else if (fstat(r, &st) == 0)
            *ret = (struct log_file){st.st_ino, changed(&st), false};
        if (r == -ENOENT && index > 0)
            r = open_copy(path, packed, ret);
    }
    return r;
}

int log_file_find(const char *path, int index, struct log_file *ret)
{
    CLEANUP_FREE char *plain = name_of(path, index, ""), *packed = name_of(path, index, ".gz");
    int r = -ENOENT;

    for (int i = 0; i < TRIES && r == -ENOENT; i++) {
        struct stat st;
        if (stat(plain, &st) == 0) {
            *ret = (struct log_file){st.st_ino, changed(&st), false};
            return 0;
        }
        CLEANUP_CLOSE int fd = index > 0 ? open(packed, O_RDONLY | O_NOFOLLOW | O_CLOEXEC) : -ENOENT;
        if (fd >= 0)
            r = unpack(fd, -EBADF, ret);
    }
    return r;
}

bool log_file_same(const struct log_file *a, int fd, const struct log_file *b)
{
    struct log_file mine = *a;
    struct stat st;

    if (a->inode != b->inode)
        return false;
    if (!a->copy && !b->copy) /* we hold it open: the number is nobody else's */
        return true;
    if (!a->copy && fstat(fd, &st) == 0)
        mine.changed_ns = changed(&st);
    return mine.changed_ns == b->changed_ns;
}
