/* fuzz_root.h - a place for hostile files that nobody else sees: a tmpfs of this
 * process's own, gone with it. Needs root, as what is tested does. */
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/archive.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "tabique/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* Mounted over in our namespace only: nothing is left on the host, however we end. */
static const char fuzz_dir[] = "/mnt";
static int fuzz_fd = -EBADF;

static void must(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "fuzz: %s\n", what);
        abort();
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    log_init("fuzz", LOG_LEVEL_ERROR);
    must(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
             mount("none", fuzz_dir, "tmpfs", MS_NODEV | MS_NOSUID | MS_NOEXEC, "size=256m,mode=700") == 0,
         "this needs root");
    fuzz_fd = open(fuzz_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    must(fuzz_fd >= 0, "no tmpfs");
    return 0;
}

static inline int fresh_directory(const char *name)
{
    must(path_remove_tree(fuzz_fd, name) == 0, "cannot empty a directory");
    must(mkdirat(fuzz_fd, name, 0755) == 0, "cannot make a directory");
    int fd = openat(fuzz_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    must(fd >= 0, "cannot open a directory");
    return fd;
}

static inline int entries_of(int at, const char *path)
{
    DIR *dir = fdopendir(openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    int count = -2;

    must(dir != NULL, "cannot list a directory");
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

struct source {
    const uint8_t *data;
    size_t left;
};

static inline ssize_t from_source(void *user, void *buffer, size_t size)
{
    struct source *source = user;
    size_t n = source->left < size ? source->left : size;

    if (n)
        memcpy(buffer, source->data, n);
    source->data += n;
    source->left -= n;
    return (ssize_t)n;
}

static inline int to_text(void *user, const void *data, size_t length)
{
    str_append_n(user, data, length);
    return 0;
}

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);

/* Mutates a tar that starts at data + skip, and puts its headers' sums right
 * again: else hardly anything would get past the first one. */
static inline size_t mutate_tar(uint8_t *data, size_t size, size_t max, size_t skip)
{
    size = LLVMFuzzerMutate(data, size, max);
    for (size_t at = skip; at + 512 <= size; at += 512) {
        uint8_t *block = data + at;
        char text[8];
        unsigned sum = 0;

        if (memcmp(block + 257, "ustar", 5) != 0)
            continue;
        memset(block + 148, ' ', 8);
        for (int i = 0; i < 512; i++)
            sum += block[i];
        snprintf(text, sizeof(text), "%06o", sum);
        memcpy(block + 148, text, 7);
    }
    return size;
}
