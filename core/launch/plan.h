/* plan.h - everything needed to start one confined process, as plain data.
 *
 * The engine fills a plan from a container's configuration; the shim (on the
 * host) or the agent (in the guest) carries it out. It crosses sockets with
 * plan_encode()/plan_decode() (base/wire.h, append-only tags), so a running
 * shim of an older version understands a newer server.
 *
 * No JSON, no policy, no defaults here: what is not in the plan is not done.
 * Ownership: a plan owns all it points to; plan_free() lets go of it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/ids.h"
#include "base/str.h"

struct error;

enum plan_namespace_mode {
    PLAN_NS_HOST, /* stay in the launcher's */
    PLAN_NS_NEW,
    PLAN_NS_JOIN, /* setns() to `path` */
};

enum plan_namespace_kind {
    PLAN_NS_MOUNT,
    PLAN_NS_PID,
    PLAN_NS_IPC,
    PLAN_NS_UTS,
    PLAN_NS_NET,
    PLAN_NS_CGROUP,
    PLAN_NS_USER,
    PLAN_NS_COUNT,
};

struct plan_namespace {
    enum plan_namespace_mode mode;
    char *path; /* JOIN: a namespace file on the launcher's side */
};

/* One mount below the new root, made in the order given. Targets are resolved
 * inside the root (openat2 RESOLVE_IN_ROOT) and made where missing: a
 * directory, or a file where a bind's source is one. */
struct plan_mount {
    char *type;      /* "bind", "tmpfs", "proc", "sysfs", "devpts", "mqueue", "cgroup", ... */
    char *source;    /* bind: launcher-side path; NULL otherwise or as the fs wants it */
    char *target;    /* absolute, inside the root */
    char *data;      /* fs options, e.g. "size=64m,mode=1777"; NULL none */
    uint64_t flags;  /* MS_NOSUID|MS_NODEV|MS_NOEXEC|MS_RDONLY|MS_REC (bind: recursive)... */
    uint64_t propagation; /* MS_PRIVATE, MS_RSLAVE ... 0: private */
    bool own_ids;    /* bind: with a user namespace, owners are what they are on disk, inside */
    bool copy_up;    /* tmpfs over a directory: copy what the image has there */
};

struct plan_device {
    char *host_path;      /* launcher-side node to take type and numbers from */
    char *path;           /* inside; e.g. /dev/fuse */
    char *permissions;    /* "rwm" */
};

/* Rule of the cgroup device controller, in order; the first rules deny all. */
struct plan_device_rule {
    bool allow;
    char type;        /* 'a', 'b', 'c' */
    int64_t major;    /* -1: any */
    int64_t minor;    /* -1: any */
    char access[4];   /* subset of "rwm" */
};

struct plan_rlimit {
    int resource; /* RLIMIT_* */
    uint64_t soft;
    uint64_t hard;
};

struct plan_pair {
    char *name;
    char *value;
};

/* cgroup limits; 0 means "not set" unless said. Values are v1's; the v2
 * conversion (shares to weight, memory+swap to swap) is cgroup.c's. */
struct plan_limits {
    int64_t memory;            /* bytes */
    int64_t memory_swap;       /* memory+swap, bytes; -1 unlimited */
    int64_t memory_reservation;
    int64_t memory_swappiness; /* -1: not set */
    bool oom_kill_disable;
    int64_t cpu_shares;
    int64_t cpu_quota;         /* us per period; -1 unlimited */
    int64_t cpu_period;        /* us */
    char *cpuset_cpus;
    char *cpuset_mems;
    int64_t pids;              /* -1 unlimited */
    int64_t blkio_weight;      /* 10..1000 */
    struct plan_pair *blkio;   /* name: v1 file ("blkio.throttle.read_bps_device"), value "8:0 1048576" */
    size_t blkio_count;
    struct plan_device_rule *device_rules;
    size_t device_rule_count;
};

/* lower and upper given: an overlay. Only lower: the same without a writable
 * layer. Neither: layers_dir itself (or what `device` has) is the root. */
struct plan_rootfs {
    char *layers_dir;  /* directory the lower names are relative to */
    char **lower;      /* topmost layer first; short names inside layers_dir */
    char *upper;       /* absolute; with `work` on the same file system */
    char *work;
    char *device;      /* own kernel: image disk; the agent mounts it and clears this before launching */
    bool readonly;
    int64_t size;      /* own kernel: of its writable disk, when it is made; 0: the usual one */
};

struct plan_caps { /* bit n = capability n */
    uint64_t bounding;
    uint64_t permitted; /* = effective, for uid 0; for others only ambient survives exec */
    uint64_t inheritable;
    uint64_t ambient;
};

struct plan_process {
    char **argv;
    char **env;         /* "NAME=value"; HOME and PATH are added where missing, as Docker */
    char *cwd;          /* made where missing (as Docker); NULL "/" */
    char *user;         /* "", "name", "uid", "name:group", "uid:gid": resolved inside the root */
    char **groups;      /* --group-add: names or gids */
    bool tty;           /* the launcher makes a pty in the container's devpts */
    bool no_stdin;      /* fd 0 is the container's /dev/null (no -i); not with tty */
    uint16_t rows, cols;
    struct plan_caps caps;
    bool no_new_privileges;
    uint8_t *seccomp;   /* struct sock_filter array, native; NULL: unconfined */
    size_t seccomp_size;
    struct plan_rlimit *rlimits;
    size_t rlimit_count;
    int32_t oom_score_adj;
    bool privileged;
};

struct plan {
    char *id;
    struct plan_namespace namespaces[PLAN_NS_COUNT];
    struct plan_rootfs rootfs;
    struct plan_mount *mounts;
    size_t mount_count;
    struct plan_device *devices; /* beyond the standard nodes */
    size_t device_count;
    char **masked_paths;
    char **readonly_paths;
    char *hostname;
    char *domainname;
    struct plan_pair *sysctls;
    size_t sysctl_count;
    struct id_maps ids;     /* where PLAN_NS_USER is new */
    bool init;              /* our pid 1 reaps and forwards signals */
    char *cgroup;           /* relative, e.g. "tabique/<id>"; made and removed by the launcher */
    struct plan_limits limits;
    struct plan_process process;
};

struct plan *plan_new(void);
void plan_free(struct plan *plan);
void plan_freep(struct plan **plan);
void plan_process_clear(struct plan_process *process);
void plan_limits_clear(struct plan_limits *limits);

/* Codec. Decode gives -EBADMSG on anything malformed, over PLAN_MAX_SIZE, or
 * with more than PLAN_MAX_ITEMS of any list. */
#define PLAN_MAX_SIZE (4u << 20)
#define PLAN_MAX_ITEMS 4096
void plan_encode(const struct plan *plan, struct str *out);
int plan_decode(const void *data, size_t length, struct plan **ret);
void plan_process_encode(const struct plan_process *process, struct str *out);
int plan_process_decode(const void *data, size_t length, struct plan_process *ret);
void plan_limits_encode(const struct plan_limits *limits, struct str *out);
int plan_limits_decode(const void *data, size_t length, struct plan_limits *ret);
