/* base_test.h - what the tests of core/base share: cmocka's includes in the order
 * it wants, and a temporary folder. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A new folder, which the test removes; its fd in *ret_fd (may be NULL). */
static inline char *scratch_new(int *ret_fd)
{
    char *path = NULL;

    assert_true(asprintf(&path, "/tmp/tabique-test-XXXXXX") > 0);
    assert_non_null(mkdtemp(path));
    if (ret_fd) {
        *ret_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(*ret_fd >= 0);
    }
    return path;
}

/* Literals are const here (-Wwrite-strings), argv and the like are not. */
static inline char *mutable_text(const char *text)
{
    return (char *)(uintptr_t)text;
}

static inline void put_file(int dirfd, const char *name, const char *text)
{
    int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static inline int open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;

    assert_non_null(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}
