/* pump.h - from a function that writes an archive to one that reads it.
 *
 * archive_create() pushes, archive_extract() and the image store pull: a pipe and a
 * thread of its own for the writer join them. Writes of a process in here may meet a
 * closed pipe; SIGPIPE is blocked in that thread.
 */
#pragma once

#include "archive/archive.h"

struct archive_pump;

typedef int archive_produce_fn(void *user, archive_write_fn *write, void *write_user, struct error *err);
int archive_pump_begin(archive_produce_fn *produce, void *user, struct archive_pump **ret, struct error *err);
ssize_t archive_pump_read(void *pump, void *buffer, size_t size); /* an archive_read_fn */
/* Ends it (frees) and says what counts: r, the reader's result, unless that only fell
 * over the writer's. */
int archive_pump_end(struct archive_pump *pump, int r, struct error *err);

/* archive_create() as a producer. */
struct archive_tree {
    int root_fd;
    const char *path, *name;
    unsigned flags;
};
int archive_tree_produce(void *tree, archive_write_fn *write, void *write_user, struct error *err);

/* A tree, or a file, from one root into a directory of another. */
int archive_copy(const struct archive_tree *from, int to_fd, const char *to_path, unsigned extract_flags,
                 const struct archive_owner *owner, struct error *err);
