/* cleanup.h - owners that let go by themselves when a scope ends.
 *
 *     CLEANUP_FREE char *path = NULL;
 *     CLEANUP_CLOSE int fd = -EBADF;
 *     ...
 *     *ret_fd = TAKE_FD(fd);
 *     return 0;
 *
 * File descriptors start at -EBADF: a close of it is a harmless no-op and a
 * use of it is a clear error, whereas 0 would be somebody's stdin.
 */
#pragma once

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* free()s and close()s that keep errno. */
void cleanup_free(void *pointer_to_pointer);
void cleanup_close(int *fd);
void cleanup_fclose(FILE **file);

#define CLEANUP(function) __attribute__((cleanup(function)))
#define CLEANUP_FREE CLEANUP(cleanup_free)
#define CLEANUP_CLOSE CLEANUP(cleanup_close)
#define CLEANUP_FCLOSE CLEANUP(cleanup_fclose)

/* Hands the value over and leaves nothing behind to clean. */
#define TAKE_PTR(pointer)                         \
    ({                                            \
        __typeof__(pointer) take_ptr_ = (pointer); \
        (pointer) = NULL;                         \
        take_ptr_;                                \
    })
#define TAKE_FD(fd)             \
    ({                          \
        int take_fd_ = (fd);    \
        (fd) = -EBADF;          \
        take_fd_;               \
    })

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
