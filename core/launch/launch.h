/* launch.h - from a plan to a running, confined process.
 *
 * Used by single-threaded programs only (tabique-shim, tabique-agent): it
 * clone()s and runs code of its own between clone and exec.
 *
 * launch_prepare() makes everything up to the point where the process waits,
 * confined, just before execve(); launch_go() lets it run. Between the two the
 * shim records the pid, so nothing runs that nobody knows of.
 *
 * Order inside (each step has its reason in launch.c): namespaces, id maps,
 * cgroup, root (overlay, pivot_root), mounts, devices, masks, user resolution,
 * sysctls, hostname, rlimits, seccomp, capabilities, close of every other fd,
 * exec. Built against the escapes listed in docs/SECURITY.md.
 *
 * Errors carry Docker's classes: an argv[0] that is missing gives -ENOENT with
 * `exec_failed` set (exit code 127), one that cannot be executed -EACCES with
 * it (126); everything else is 125.
 */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "launch/plan.h"

struct error;

struct launched {
    pid_t pid;             /* as the launcher's namespace sees it */
    int pidfd;
    int go_fd;             /* private to launch.c until launch_go() */
    int root_fd;           /* O_PATH of the container's root; -EBADF for exec */
    int pty_fd;            /* master, with tty; else -EBADF */
    int stdio[3];          /* our ends of the pipes, without tty; else -EBADF */
    bool exec_failed;
};

#define LAUNCHED_INIT \
    ((struct launched){.pid = -1, .pidfd = -EBADF, .go_fd = -EBADF, .root_fd = -EBADF, \
                       .pty_fd = -EBADF, .stdio = {-EBADF, -EBADF, -EBADF}})

/* On failure nothing is left (the cgroup neither), and of *ret only exec_failed
 * is set. */
int launch_prepare(const struct plan *plan, struct launched *ret, struct error *err);
/* The same in two halves, for who knows a container's surroundings before it knows the
 * container. launch_begin() makes them (namespaces, cgroup, root, mounts, devices, masks)
 * and uses nothing else of the plan; launch_finish() gives the one that waits there the
 * rest: names, terminal, user, program and its confinement, of a plan for which
 * launch_same_surroundings() holds. Only the cgroup's limits are left to the caller.
 * When finish fails nothing is left, as above. */
int launch_begin(const struct plan *plan, struct launched *ret, struct error *err);
int launch_finish(struct launched *launched, const struct plan *ahead, const struct plan *plan, struct error *err);
/* `plan` may have a few binds and tmpfs more, where nothing that stands would be covered.
 * Sources of binds are the caller's to compare, and what lies beyond the wall (layers' names,
 * network) as well. */
bool launch_same_surroundings(const struct plan *ahead, const struct plan *plan);
/* Lets the prepared process exec. Returns when the exec has succeeded, or with
 * the error of it (the process is then gone and reaped, exec_failed set where
 * argv[0] was at fault). */
int launch_go(struct launched *launched, struct error *err);
/* A further process in the namespaces and cgroup of `target` (exec). `plan` is
 * the container's own plan; `process` what to run. Runs at once. */
int launch_exec(const struct plan *plan, const struct launched *target,
                const struct plan_process *process, struct launched *ret, struct error *err);
void launched_close(struct launched *launched); /* fds only */
/* The program's own argv memory, for --init's pid 1 to write its name into. */
void launch_title_area(char *start, size_t size);
/* As much of it as there is room for, in whole words. separator: may be NULL. */
void launch_set_title(const char *name, const char *separator, char *const *argv);

/* What a threaded or foreign caller may use: the numbers of names in a root. */
int launch_resolve_user(int root_fd, const char *user, char *const *extra_groups, uid_t *ret_uid,
                        gid_t *ret_gid, gid_t **ret_groups, size_t *ret_group_count,
                        char **ret_home, struct error *err);
