/* cgroup.h - one face for cgroup v1, hybrid and v2.
 *
 * A cgroup is named by a relative path ("tabique/<id>") that stands in every
 * hierarchy. Which hierarchies are mounted is read once from
 * /proc/self/mountinfo. Controllers that the host lacks are reported by
 * cgroup_supports() and their limits are ignored with a warning by the engine,
 * as Docker does, except `devices`, whose absence is an error.
 *
 * Sources: cgroup-v1 and cgroup-v2 admin guides of the kernel; the v1-to-v2
 * conversions are the OCI runtime specification's.
 * Threads: any; no state beyond the mount table.
 */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "launch/plan.h"

struct error;

enum cgroup_version { CGROUP_NONE, CGROUP_V1, CGROUP_HYBRID, CGROUP_V2 };

enum cgroup_controller {
    CGROUP_MEMORY = 1 << 0,
    CGROUP_CPU = 1 << 1,
    CGROUP_CPUSET = 1 << 2,
    CGROUP_PIDS = 1 << 3,
    CGROUP_BLKIO = 1 << 4,
    CGROUP_DEVICES = 1 << 5,
    CGROUP_FREEZER = 1 << 6,
    CGROUP_SWAP = 1 << 7,
    CGROUP_BLKIO_WEIGHT = 1 << 8,
    CGROUP_BLKIO_WEIGHT_DEVICE = 1 << 9,
};

enum cgroup_version cgroup_version(void);
unsigned cgroup_supports(void); /* set of enum cgroup_controller */

int cgroup_create(const char *path, struct error *err); /* existing: success */
int cgroup_apply(const char *path, const struct plan_limits *limits, struct error *err);
int cgroup_attach(const char *path, pid_t pid, struct error *err);
/* The fast way in. Moving a process costs the kernel an RCU grace period (8 to
 * 15 ms, measured); a single thread that writes "0" to v1's `tasks` itself and
 * clone3(CLONE_INTO_CGROUP) for v2 do not. entry_open() in the parent,
 * entry_enter() in the child. */
#define CGROUP_ENTRY_MAX 16
struct cgroup_entry {
    int tasks[CGROUP_ENTRY_MAX];
    size_t task_count;
    int unified; /* for clone_args.cgroup; -EBADF: none */
};
#define CGROUP_ENTRY_INIT ((struct cgroup_entry){.unified = -EBADF})
int cgroup_entry_open(const char *path, struct cgroup_entry *ret, struct error *err);
int cgroup_entry_enter(const struct cgroup_entry *entry, struct error *err);
void cgroup_entry_close(struct cgroup_entry *entry);
int cgroup_freeze(const char *path, bool frozen, struct error *err); /* waits until it is */
/* Every process in it. For SIGKILL: also frozen ones, repeatedly until none is
 * left; -ETIMEDOUT after 5 s (children of the caller's must be reaped to be gone). */
int cgroup_kill(const char *path, int signal);
int cgroup_pids(const char *path, pid_t **ret, size_t *ret_count); /* recursive */
int cgroup_remove(const char *path); /* children first; -EBUSY while processes remain */
void cgroup_sweep(const char *parent, const char *prefix); /* those below it in which no process is */

struct cgroup_stats {
    int64_t sampled_ns;
    uint64_t cpu_total_ns, cpu_user_ns, cpu_system_ns;
    uint64_t cpu_periods, cpu_throttled, cpu_throttled_ns;
    uint64_t memory_usage, memory_max_usage, memory_limit, memory_cache, memory_inactive_file, memory_rss;
    uint64_t oom_kills;
    uint64_t pids_current, pids_limit;
    uint64_t block_read_bytes, block_write_bytes, block_read_ops, block_write_ops;
};
int cgroup_stats(const char *path, struct cgroup_stats *ret); /* limits: UINT64_MAX for none */
int cgroup_cpu_usage(const char *path, uint64_t *ret_ns); /* cpu_total_ns alone: one file */
void cgroup_stats_encode(const struct cgroup_stats *stats, struct str *out);
int cgroup_stats_decode(const void *data, size_t length, struct cgroup_stats *ret); /* 0, -EBADMSG */
uint64_t cgroup_oom_kills(const char *path); /* so far; 0 where unknown */
/* An eventfd-like fd that becomes readable on an OOM kill (v1: memory.oom_control
 * with eventfd; v2: inotify on memory.events). The caller compares oom_kills. */
int cgroup_oom_fd(const char *path, int *ret_fd);
