/* view.h - a tree seen through a user namespace.
 *
 * The root of a running container with a user namespace shows owners as the host knows
 * them: its root is, say, 200000, and files can be made there only by somebody the
 * namespace knows. Between archive_view_begin() and archive_view_end() this thread's
 * file-system user is the namespace's root, and archive_extract(), archive_create() and
 * archive_list() speak of owners as the container does.
 *
 * Like setfsuid(2), which it uses, a view is the calling thread's: begin it late, end it
 * before anything else is done.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct id_maps;

/* maps stay the caller's and must last; empty ones change nothing. -EOVERFLOW: the namespace
 * has no root; -errno. There is no view then. */
int archive_view_begin(const struct id_maps *maps);
void archive_view_end(void);

/* Internal to the room. false: the namespace does not have it. */
bool archive__owner_outside(uid_t *uid, gid_t *gid);
void archive__owner_inside(uint32_t *uid, uint32_t *gid);
