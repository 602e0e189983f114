/* staged.h - a staged template: a template that has the expected container's image and an
 * empty disk mounted, and what surrounds a container like it made on them.
 *
 * It is four files without a name, made by one shim (`--stage`), held by the server and
 * inherited by the shims after it as these fds. The guest's memory and its devices' state,
 * as the plain template has them; the disk as it was then, of which each container gets a
 * copy; the plan whose surroundings stand, encoded. An empty plan says that what was
 * made is of no use: a shim whose machine did not answer empties it for all. */
#pragma once

enum staged_file { STAGED_MEMORY, STAGED_STATE, STAGED_DISK, STAGED_PLAN, STAGED_FILES };

#define FD_STAGED 7 /* the first of them, in the shim */
