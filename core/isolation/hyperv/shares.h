/* shares.h - the bind mounts and volumes of one container, and who serves them.
 *
 * Small files of the engine's own (below the container's state directory) go to the
 * guest by content; every other bind is a share, served by one tabique-files process
 * (files/files.h), which gets a detached mount of just that directory. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/str.h"

struct error;
struct plan;

/* Appends RPC_TAG_FILE and RPC_TAG_SHARE records, and starts the server on `channel`
 * if there is anything to share; *ret_pid is then its pid, else 0. *ret_files, a strv: what
 * was given by content. */
int shares_open(const struct plan *plan, const char *program, int channel, struct str *body, char ***ret_files,
                pid_t *ret_pid, struct error *err);
/* The small files again as they are now; whether they name us as the name server. */
bool shares_refresh(char *const *files, struct str *body);
