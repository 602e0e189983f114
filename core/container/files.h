/* files.h - a container's files from outside: roots as fds, and copies between them. */
#pragma once

#include <stdbool.h>

struct container;
struct error;
struct wall;

/* Missing, not a directory, or without entries. */
bool files_is_empty(int root_fd, const char *path);
/* The contents of a directory below root_fd into the directory to_fd, with its
 * owners, modes and the directory's own. */
int files_copy(int root_fd, const char *path, int to_fd, struct error *err);
/* What the container has changed in its image, from where one wall keeps it to where
 * another does; the old place is left as it was. Of a container that does not run,
 * under its operation lock. */
int files_move_changes(struct container *container, const struct wall *from, const struct wall *to, struct error *err);
/* Once nothing needs the old place any more. */
void files_forget_changes(struct container *container, const struct wall *wall);
