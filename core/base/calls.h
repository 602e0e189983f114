/* calls.h - a program that gives up all system calls but a few.
 *
 * For small processes that stand between strangers and the host (tabique-forward,
 * tabique-files): once they have opened what they need, they name what they will do
 * from then on. Anything else fails with EPERM. A library of its own (tabique_calls),
 * so that what has no filter links no libseccomp.
 */
#pragma once

#include <stddef.h>

/* By name; a name this machine's kernel does not have is passed over. 0 or -errno. Needs
 * no_new_privs, holds for this thread and those it starts, and for good. */
int calls_keep(const char *const *names, size_t count);
