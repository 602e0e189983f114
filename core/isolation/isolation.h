/* isolation.h - the wall: one const table of operations, two rows.
 *
 * Lives in the shim. Above the shim nobody asks which wall a container has,
 * except to show it; what differs is expressed by capability bits.
 *
 * Single-threaded: all calls come from the shim's loop. Fds handed out are the
 * caller's. Errors as launch.h says.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "launch/cgroup.h"
#include "launch/launch.h"

struct error;
struct loop;

enum isolation_capability {
    ISOLATION_HOST_PROCESSES = 1 << 0, /* its processes are in the host's list */
    ISOLATION_HOST_ROOT = 1 << 1,      /* root() gives an fd */
    ISOLATION_HOST_NAMESPACES = 1 << 2,/* may share namespaces with host or other containers */
    ISOLATION_OWN_KERNEL = 1 << 3,
};

#define ISOLATION_REASON_MAX 1024

struct isolation_instance; /* one container behind this wall; made by open() */

/* How an instance tells its shim; called from the loop. */
struct isolation_events {
    void (*exited)(void *user, const char *exec_id, int status, bool oom_killed);
    void (*oom)(void *user);
    /* The wall itself fell (worker killed, guest panic, agent lost), and everything behind
     * it has ended with this status. The reason is printable, one line, shorter than
     * ISOLATION_REASON_MAX. */
    void (*lost)(void *user, const char *reason, int status);
};

/* stdio of a started process: either pty or three pipes (or socket ends that
 * behave like them: read gives 0 at the end, write gives EPIPE). */
struct isolation_process {
    pid_t pid;
    pid_t guest_pid;
    int pty_fd;
    int stdio[3];
    bool exec_failed;
};

/* err->code 0: it went well, and body holds the reply's fields. */
typedef void isolation_done_fn(void *user, const struct error *err, const void *body, size_t length);

struct isolation {
    const char *name;
    unsigned capabilities;
    int (*open)(const char *id, const char *dir, struct loop *loop,
                const struct isolation_events *events, void *user,
                struct isolation_instance **ret, struct error *err);
    int (*start)(struct isolation_instance *instance, const struct plan *plan,
                 struct isolation_process *ret, struct error *err);
    int (*exec)(struct isolation_instance *instance, const char *exec_id,
                const struct plan_process *process, struct isolation_process *ret, struct error *err);
    int (*signal)(struct isolation_instance *instance, const char *exec_id, int signal, struct error *err);
    int (*signal_pid)(struct isolation_instance *instance, pid_t pid, uint64_t start_ticks, int signal,
                      struct error *err);
    int (*resize)(struct isolation_instance *instance, const char *exec_id, uint16_t rows, uint16_t cols,
                  struct error *err);
    /* wire records RPC_TAG_PROCESS_ENTRY appended to out (host/process_wire.h) */
    int (*processes)(struct isolation_instance *instance, struct str *out, struct error *err);
    int (*stats)(struct isolation_instance *instance, struct cgroup_stats *ret, struct error *err);
    int (*freeze)(struct isolation_instance *instance, bool frozen, struct error *err);
    int (*update)(struct isolation_instance *instance, const struct plan_limits *limits, struct error *err);
    /* The container's network namespace, or its hosts and resolv.conf, have changed. NULL: it
     * sees that by itself. */
    int (*network)(struct isolation_instance *instance, struct error *err);
    int (*root)(struct isolation_instance *instance, int *ret_fd, struct error *err);
    void (*close)(struct isolation_instance *instance); /* kills what is left; removes its cgroup */

    /* Walls without ISOLATION_HOST_ROOT only; NULL else.
     * mount: instead of start, for the files of a container that does not run.
     * transfer: an archive order (rpc.h: RPC_ARCHIVE_*, RPC_CHANGES) with its body;
     * takes data_fd, a socket for its stream. done() is called once, from the loop,
     * also when the wall falls or closes, but not after transfer_cancel(). */
    int (*mount)(struct isolation_instance *instance, const struct plan *plan, struct error *err);
    int (*transfer)(struct isolation_instance *instance, uint16_t type, const void *body, size_t length, int data_fd,
                    isolation_done_fn *done, void *user, uint64_t *ret_job, struct error *err);
    void (*transfer_cancel)(struct isolation_instance *instance, uint64_t job);
};

extern const struct isolation isolation_process_ops;
extern const struct isolation isolation_hyperv_ops;

/* NULL where unknown. "default" is resolved by the engine, not here. */
const struct isolation *isolation_find(const char *name);
