/* context.h - what a build works on: its directory, the context's files, the Dockerfile.
 *
 * <data>/build/ID/ context/ (the files, unless they are few: arrival.h), remote/ (what ADD fetched), and for each
 * layer upper/ and work/. ID is 16 hex digits. Gone with build_context_clear().
 */
#pragma once

#include <stdint.h>

#include "build/fetch.h"
#include "tabique/build.h"

struct build_context {
    char *dir;               /* absolute */
    int dir_fd, files_fd;
    char *dockerfile;        /* its text */
    size_t dockerfile_length;
    unsigned fetched;        /* numbers remote/N */
};
#define BUILD_CONTEXT_INIT ((struct build_context){.dir_fd = -EBADF, .files_fd = -EBADF})

/* Into a nameless file of this directory, at its beginning again. */
int build_context_fetch(int dir_fd, const char *address, bool (*cancelled)(void *user), void *user, int *ret_fd,
                        struct fetch_result *ret, struct error *err);
int build_context_open(const char *data_dir, const struct build_options *options,
                       const struct build_callbacks *callbacks, struct build_context *ret, struct error *err);
void build_context_clear(struct build_context *context);
/* Limits of what arrives, unpacked. */
#define BUILD_CONTEXT_MAX_BYTES (UINT64_C(32) << 30)
#define BUILD_CONTEXT_MAX_ENTRIES UINT64_C(2000000)
