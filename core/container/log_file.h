/* log_file.h - the files of a container's log: X is the newest, X.1 the one before, and so on,
 * from X.1 on perhaps compressed ("X.2.gz", by core/shim/log_gzip.c). Threads: any. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Which file it is, whatever it is called by now. */
struct log_file {
    ino_t inode;
    int64_t changed_ns;  /* when it was last written; of one that may still be, without meaning */
    bool copy;           /* it was compressed: an inode that is somebody else's by now, maybe */
};

/* index 0: the newest. An fd to read (of a compressed one: an unpacked copy), or -errno. */
int log_file_open(const char *path, int index, struct log_file *ret);
int log_file_find(const char *path, int index, struct log_file *ret); /* without opening: 0 or -ENOENT */
/* fd: of a's, as opened. */
bool log_file_same(const struct log_file *a, int fd, const struct log_file *b);
