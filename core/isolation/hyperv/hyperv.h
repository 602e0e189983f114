/* hyperv.h - what the shim's main tells the thick wall before it is used. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct error;
struct isolation_instance;
struct plan;

/* dir: setup.h's, prepared. memory_fd: the template's sealed memory, inherited from
 * the server (machine_template_memory()); -EBADF: machines boot cold. Both must
 * outlive every instance. files_program: path of tabique-files. */
void hyperv_use(const char *dir, int memory_fd, const char *files_program);

/* A machine ahead of its container, for a shim that does not know yet whose it is,
 * restored in a cgroup of its own; then, each time it is said what the next container
 * will be like, its paths run on disks of no account, and that one's image and an empty
 * disk mounted, and what surrounds a container like it made on them. plan: what of it is run is not argv, which is only looked at; NULL: a guess. dir: of the disk.
 * Both block for as long as it takes. On failure the instance is to be closed. */
int hyperv_warm(struct isolation_instance *instance, const char *cgroup, struct error *err);
int hyperv_rehearse(struct isolation_instance *instance, struct plan *plan, const char *dir, struct error *err); /* takes plan */
/* Readable when its worker has ended; *ret_pid: the worker's. */
int hyperv_warm_watch(struct isolation_instance *instance, pid_t *ret_pid);
/* Whose it is now. */
void hyperv_adopt(struct isolation_instance *instance, const char *id);
/* Its machine moves to the container's cgroup, which costs some milliseconds that the
 * start need not wait for. */
int hyperv_move(struct isolation_instance *instance, const char *cgroup, struct error *err);

/* Whether this process has inherited a staged template (staged.h). */
void hyperv_use_staged(bool inherited);
/* Makes one, of the plan that its files hold; blocks. The instance is of no further use. */
int hyperv_stage(struct isolation_instance *instance, const char *cgroup, struct error *err);
