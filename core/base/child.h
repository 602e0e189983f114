/* child.h - starting host programs from a threaded process.
 *
 * Only posix_spawn(3) (a vfork of glibc's): a threaded process must never
 * fork() or clone() and run code of its own. Fds not listed are not inherited
 * (everything is O_CLOEXEC). The child starts with default signal dispositions
 * and an empty signal mask, except that glibc leaves its own signals 32 and 33
 * ignored: what a container gets must be reset once more. Threads: any.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

struct error;

struct child_fd {
    int parent; /* ours; stays open here */
    int child;  /* number there */
};

struct child_spec {
    const char *path;      /* absolute: never searched */
    char *const *argv;
    char *const *envp;     /* NULL: an empty environment with PATH only */
    const struct child_fd *fds;
    size_t fd_count;       /* 0, 1, 2 not listed become /dev/null */
    int new_session;       /* setsid() */
    int cancel_fd;         /* child_run: when readable it is killed; 0: none */
};

/* ret_pidfd may be NULL. The caller reaps the child. A program that is missing
 * or may not be run gives -EIO: neither a 404 nor a 401 (see error.h). */
int child_spawn(const struct child_spec *spec, pid_t *ret_pid, int *ret_pidfd, struct error *err);
/* Runs to the end with a limit on time and output; stdout+stderr into *ret_output
 * (may be NULL; also set on -ETIMEDOUT); what exceeds output_limit is dropped. A
 * negative timeout is none. 1 and 2 in spec->fds go there instead. With
 * new_session the whole process group is killed. Returns the exit status (128+signal), or -errno; -ETIMEDOUT
 * and -ECANCELED after killing it. */
int child_run(const struct child_spec *spec, int timeout_ms, size_t output_limit,
              char **ret_output, struct error *err);
