/* arrival.h - a context's files as they arrive: unpacked in memory while they are few. Owner: build.
 *
 * A context is written, read once or twice and thrown away. Hundreds of small files cost a
 * disk's file system far more than their bytes; so the files of a small one stand in a file
 * system of their own in memory, mounted nowhere, which goes with its descriptor. One that
 * is larger, or does not fit after all, is unpacked on the disk.
 */
#pragma once

#include "archive/archive.h"

/* Into a directory of *ret_files_fd, either the new file system's or `disk_fd` duplicated. */
int arrival_unpack(int disk_fd, archive_read_fn *read, void *user, const struct archive_limits *limits,
                   int *ret_files_fd, struct error *err);
