/* launch_private.h - what the files of the launcher share.
 *
 * Two processes run this code. The parent (shim or agent) opens everything that
 * lies on its side before clone(): sources of binds, device nodes, cgroups. The
 * child never resolves a path of the host's after it has left its root, and
 * never resolves a path of the container's but by openat2() below root_fd.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "launch/cgroup.h"
#include "launch/launch.h"
#include "launch/plan.h"
#include "tabique/error.h"

/* --- the conversation, over a SOCK_SEQPACKET pair ---------------------------- */
enum launch_message_kind {
    LAUNCH_MAPPED = 1, /* to the child: ids are mapped; carries the root as a mount fd */
    LAUNCH_STANDING,   /* from it, ahead: everything is in place that is known */
    LAUNCH_PLAN,       /* to it: the rest; carries the binds that come late; the plan follows, code bytes of it in pieces */
    LAUNCH_READY,      /* from it: everything is in place; carries root_fd and the pty */
    LAUNCH_GO,         /* to it: run */
    LAUNCH_FAILED,     /* from it, and its last */
};

struct launch_message {
    uint32_t kind;
    int32_t code;
    uint32_t exec_failed;
    char text[ERROR_MESSAGE_MAX];
};

#define LAUNCH_PIECE ((size_t)32 << 10)
#define LAUNCH_TIMEOUT_MS 50000 /* below the client's SHIM_TIMEOUT_MS */

/* --- what the parent opened ------------------------------------------------------ */
struct launch_node {
    char *path;      /* inside */
    mode_t mode;     /* S_IFCHR or S_IFBLK with permissions */
    dev_t number;
    uid_t uid;
    gid_t gid;
    int clone;       /* user namespaces: mount of the host's node; else -EBADF */
};

struct launch_sources {
    int *binds;      /* one per plan mount; -EBADF where it is not a bind */
    size_t bind_count;
    struct launch_node *nodes;
    size_t node_count;
    int null;        /* mount of the host's /dev/null, for masks */
};

int launch__sources_open(const struct plan *plan, struct launch_sources *ret, struct error *err);
int launch__sources_map(const struct plan *plan, const struct launch_sources *sources, int user_namespace, struct error *err);
void launch__sources_close(struct launch_sources *sources);

/* --- the child's state --------------------------------------------------------------- */
struct launch_user {
    uid_t uid;
    gid_t gid;
    gid_t *groups;
    size_t group_count;
    char *home;
};

struct launch_child {
    const struct plan *plan;
    const struct plan_process *process;
    bool exec;              /* joins a running container */
    bool ahead;             /* its plan is told when everything else stands */
    int target;             /* exec: pidfd of its first process */
    int sync;
    int stdio[3];
    struct launch_sources sources;
    struct cgroup_entry cgroup;
    bool in_unified;        /* clone3 has put us there */
    int root_mount;         /* user namespaces: made by the parent */
    int *mounts;            /* one per plan mount: detached until placed */
    int *cgroup_binds;      /* v1 without a cgroup namespace: one per hierarchy */
    int root_fd;
    int proc_fd;            /* a procfs known to be one, whatever lies at /proc */
    int pty_master, pty_slave;
    struct launch_user user;
    bool exec_failed;
};

#define LAUNCH_NEW(plan, kind) ((plan)->namespaces[kind].mode == PLAN_NS_NEW)

/* launch_child.c: runs in the child, never returns. */
void launch__child_main(struct launch_child *c) __attribute__((noreturn));

/* launch_namespace.c */
int launch__clone(struct launch_child *c, uint64_t namespaces, pid_t *ret_pid, int *ret_pidfd,
                  struct error *err); /* in the child: *ret_pid is 0 */
uint64_t launch__new_namespaces(const struct plan *plan);
int launch__setns_flags(const struct plan *plan);
struct launch_joined {
    int own[PLAN_NS_COUNT];
};
/* Puts the parent, for the time of a clone(), where the child shall be born. */
int launch__join(const struct plan *plan, int target_pidfd, struct launch_joined *ret, struct error *err);
void launch__join_back(struct launch_joined *joined);
int launch__map_ids(const struct plan *plan, pid_t pid, struct error *err);

/* launch_root.c */
int launch__root_enter(struct launch_child *c, struct error *err);
int launch__root_readonly(struct launch_child *c, struct error *err);
/* Parent: the root with its owners mapped for that user namespace, as a mount fd. */
int launch__root_mapped(const struct plan *plan, int user_namespace, int *ret_mount, struct error *err);

/* launch_mount.c */
int launch__openat2(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve);
int launch__fs_mount(const char *type, const char *source, const char *data, uint64_t attributes,
                     int *ret_mount, struct error *err);
int launch__place(int mount, int target);
/* O_PATH fd of a mount target inside the root, made where missing. */
int launch__target(int root_fd, const char *path, bool directory, bool strict, int *ret_fd, struct error *err);
uint64_t launch__mount_attributes(uint64_t ms_flags);
int launch__mounts_make(struct launch_child *c, struct error *err);  /* host's root still visible */
int launch__mounts_place(struct launch_child *c, struct error *err); /* in the new root */
/* Those of c->plan that `ahead` has not; binds: of these, in their order. */
int launch__mounts_late(struct launch_child *c, const struct plan *ahead, int *binds, size_t count, struct error *err);
#define LAUNCH_LATE_BINDS 6
/* Whether mount `index` of plan stands already; *at: the next of ahead's, 0 at first. */
bool launch__stands(const struct plan *ahead, size_t *at, const struct plan *plan, size_t index);
int launch__bind_open(const struct plan_mount *mount, int *ret, struct error *err); /* launch_source.c */
int launch__copy_tree(int from, int to, int depth); /* launch_copy.c; both are consumed */

/* launch_dev.c */
int launch__devices(struct launch_child *c, struct error *err);
int launch__masks(struct launch_child *c, struct error *err);
int launch__pty_open(struct launch_child *c, struct error *err);
int launch__console(struct launch_child *c, struct error *err);
int launch__null(struct launch_child *c); /* the container's own /dev/null */

/* launch_confine.c */
int launch__sysctls(struct launch_child *c, struct error *err);
/* What the child could not set; by the parent, while it is in the network namespace. */
int launch__network_sysctls(const struct plan *plan, struct error *err);
int launch__names(struct launch_child *c, struct error *err); /* host and domain name */
int launch__working_directory(struct launch_child *c, struct error *err);
int launch__session(struct error *err); /* of processes, and of keys */
int launch__confine(struct launch_child *c, struct error *err);
/* Parent: limits and OOM score of a prepared process, which has those of `ahead` (or NULL). */
int launch__prlimits(pid_t pid, const struct plan_process *process, const struct plan_process *ahead, struct error *err);

/* launch_exec.c */
char **launch__environment(struct launch_child *c);
/* Fills *ret_path. A missing or unusable program sets c->exec_failed. */
int launch__find_program(struct launch_child *c, char *const *env, char **ret_path, struct error *err);

/* launch_init.c: forks; returns in the child that is to exec. */
int launch__init(struct launch_child *c, struct error *err);
