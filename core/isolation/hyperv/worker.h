/* worker.h - starting QEMU as `vmwp`, with nothing but what it needs.
 *
 * The worker holds the wall: a guest that breaks out of its machine finds itself
 * in a process with an empty root (a copy of QEMU and its libraries, read-only),
 * a user and group of its own, no capability, no_new_privs, QEMU's own seccomp
 * sandbox, private mount, pid, ipc, uts and network namespaces, and the file
 * descriptors listed here and no other. It dies with its shim.
 *
 * Single-threaded callers only (it clones).
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

struct error;

struct worker_fd {
    int parent;
    int child; /* from 3 up, as machine_arguments() was told */
};

struct worker_spec {
    char *const *argv;
    const char *root;        /* worker_root_make()'s */
    uid_t uid;               /* gid likewise */
    const char *cgroup;      /* NULL: stay */
    int kvm;                 /* gets a /dev/kvm */
    const struct worker_fd *fds;
    size_t fd_count;
};

#define WORKER_FD_FIRST 3

int worker_spawn(const struct worker_spec *spec, pid_t *ret_pid, int *ret_pidfd, struct error *err);

/* A user id of the container's own, from its id: no table to keep, and free of
 * the ranges people use (subuid starts at 100,000; 65,534 is nobody). */
uid_t worker_uid(const char *container_id);

/* Copies QEMU, what it loads, and the firmware it cannot do without below `root`
 * (made new). */
int worker_root_make(const char *qemu, const char *root, struct error *err);
