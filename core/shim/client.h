/* client.h - the server's end of a container's shim.
 *
 * A shim outlives the server. Its directory (`dir`, below the run-time root)
 * holds shim.sock and its pid; its exit record is written into `state_dir` (below
 * the data root) as "exit" before anybody is told, and fsynced after.
 *
 * Threads: requests may come from any thread; they block until the shim has
 * answered, at most SHIM_TIMEOUT_MS, and then give -ETIMEDOUT. Callbacks run in
 * the thread of the loop given and must not make requests themselves.
 * Ownership: shim_free() closes the connection; the shim and its container go
 * on. The struct is freed after the last callback has returned.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "launch/cgroup.h"
#include "launch/plan.h"

struct error;
struct loop;
struct process_list;
struct shim;

#define SHIM_TIMEOUT_MS 60000

#define SHIM_REASON_MAX 1024 /* isolation.h's */

struct shim_exit {
    const char *exec_id; /* "" for the container's own process */
    int status;          /* as Docker's: 0..255, 128+signal */
    bool oom_killed;
    int64_t time_ns;
    char lost[SHIM_REASON_MAX]; /* why the wall fell with it; empty: it ended by itself */
};

/* An exec that the shim was asked to start, as it told it to a server that came back. */
struct shim_exec {
    const char *exec_id, *note; /* note: shim_exec()'s; "" where none was given */
    pid_t pid, guest_pid;
};

struct shim_events {
    /* In shim_reattach(), in its caller's thread, before any end is told; may be NULL. */
    void (*exec_found)(void *user, const struct shim_exec *exec);
    void (*exited)(void *user, const struct shim_exit *exit);
    void (*oom)(void *user);
    /* The connection broke. The container may be gone (look at its exit record)
     * or, if the shim was killed, is being killed with it. */
    void (*lost)(void *user);
};

struct shim_spec {
    const char *program;    /* path of tabique-shim */
    const char *id;
    const char *dir;        /* run-time directory; made by the caller */
    const char *state_dir;  /* where "exit" goes */
    const char *isolation;  /* name in the isolation table: "process", "hyperv" */
    const char *log_path;   /* json-file; NULL: no log */
    int64_t log_max_size;   /* bytes; 0 unlimited */
    int log_max_files;      /* >= 1 */
    const char *log_attributes; /* a JSON object, in each line; NULL none */
    const char *log_to, *log_format, *log_tag, *log_fields; /* shim.h; log_to NULL: nowhere */
    int log_facility;
    bool log_compress;      /* of the rotated files */
    bool open_stdin;        /* keep stdin open for attaches */
    bool stdin_once;        /* close it when the first attached client leaves */
    const char *machines_dir; /* what the thick wall stands on (isolation/hyperv/setup.h); NULL: none */
    int machine_memory_fd;    /* its template's sealed memory; 0 or less: machines boot cold */
    struct shim_stage *staged; /* a template for containers of one image; NULL: none */
};

struct shim_started {
    pid_t pid;             /* host pid of the container's own process; hyperv: of the worker */
    uint64_t start_ticks;
    pid_t guest_pid;       /* hyperv: inside; else 0 */
    bool exec_failed;      /* on failure: argv[0] was at fault (126/127) */
};

int shim_spawn(const struct shim_spec *spec, struct loop *loop, const struct shim_events *events,
               void *user, struct shim **ret, struct error *err);
/* Back to a shim that still runs; -ENOENT or -ECONNREFUSED where none does. */
int shim_reattach(const struct shim_spec *spec, struct loop *loop, const struct shim_events *events,
                  void *user, struct shim **ret, struct error *err);
/* One made ahead, with a warm machine and no container (`spec`: program, machines_dir
 * and machine_memory_fd; `id` names its worker). Its fd becomes readable when it is
 * ready or has ended; then shim_warm_ready() gives 0 and its worker's pid, or an
 * error. Afterwards readable means ended. It ends with the server. */
struct shim_warm;
int shim_warm_spawn(const struct shim_spec *spec, const char *cgroup, const struct plan *next, const char *dir,
                    struct shim_warm **ret, struct error *err);
/* Of one that is ready, which it then is no longer: the next container is now thought
 * to be like this. Its program (argv[0]) is only read; all else is rehearsed, so nothing
 * of a plan that concerns only its own container may be in it. */
int shim_warm_rehearse(struct shim_warm *warm, const struct plan *next, const char *dir);
int shim_warm_fd(const struct shim_warm *warm);
int shim_warm_ready(struct shim_warm *warm, pid_t *ret_worker);
void shim_warm_free(struct shim_warm *warm); /* kills it */
/* As shim_spawn(), of a ready one, which is used up, also on failure. cgroup: the
 * container's. */
int shim_adopt(struct shim_warm *warm, const struct shim_spec *spec, const char *cgroup, struct loop *loop,
               const struct shim_events *events, void *user, struct shim **ret, struct error *err);
/* A staged template (isolation/hyperv/staged.h): begun, in the background, for containers
 * like `plan`, of which nothing that concerns only its own may be in it. spec as
 * shim_warm_spawn()'s; dir: where containers' disks are. When its fd is readable,
 * shim_stage_end() says whether it is one; then it may stand in specs. Counted: the last
 * shim_stage_put() gives its memory and disk back, and ends one that is being made. */
struct shim_stage;
int shim_stage_begin(const struct shim_spec *spec, const char *cgroup, const struct plan *plan, const char *dir,
                     struct shim_stage **ret, struct error *err);
int shim_stage_fd(const struct shim_stage *stage);
int shim_stage_end(struct shim_stage *stage, struct error *err);
struct shim_stage *shim_stage_get(struct shim_stage *stage);
void shim_stage_put(struct shim_stage *stage);
/* Of memory, all machines that came of it sharing it. 0: it has turned out to be of no use. */
uint64_t shim_stage_bytes(const struct shim_stage *stage);
void shim_free(struct shim *shim);
pid_t shim_pid(const struct shim *shim);
/* What runs (pid 0: nothing was started). After shim_reattach() the ends that
 * were missed come as `exited` events, those already known among them. */
int shim_status(struct shim *shim, struct shim_started *ret, struct error *err);

int shim_start(struct shim *shim, const struct plan *plan, struct shim_started *ret, struct error *err);
/* note: words the shim keeps for the server that comes back, at most 8 KiB; or NULL. */
int shim_exec(struct shim *shim, const char *exec_id, const struct plan_process *process, const char *note,
              struct shim_started *ret, struct error *err);
int shim_signal(struct shim *shim, const char *exec_id, int signal, struct error *err);
/* One process of the container by its pid as processes() lists it; -ESRCH when
 * pid and start ticks do not match any more. */
int shim_signal_pid(struct shim *shim, pid_t pid, uint64_t start_ticks, int signal, struct error *err);
int shim_resize(struct shim *shim, const char *exec_id, uint16_t rows, uint16_t cols, struct error *err);
int shim_processes(struct shim *shim, struct process_list **ret, struct error *err);
int shim_stats(struct shim *shim, struct cgroup_stats *ret, struct error *err);
int shim_freeze(struct shim *shim, bool frozen, struct error *err);
int shim_update(struct shim *shim, const struct plan_limits *limits, struct error *err);
/* Its network namespace has other interfaces now, or its hosts and resolv.conf another content. */
int shim_network(struct shim *shim, struct error *err);
/* O_PATH fd of the root file system of the running container. */
int shim_root(struct shim *shim, int *ret_fd, struct error *err);
/* A socket that speaks RPC_STREAM frames both ways (rpc/rpc.h); streams is a
 * set of 1 stdin, 2 stdout, 4 stderr. exec_id NULL: the container's own process.
 * Attaching before start or exec is fine, and the way to miss nothing; an exec
 * that nobody is attached to writes into the void. An empty frame on stream 0
 * ends stdin (where stdin_once, and for execs); closing the socket detaches. The peer closes it when all output has
 * been delivered. Back-pressure: while a client does not read, the container's
 * writes block, as with Docker; nothing is dropped. */
int shim_attach(struct shim *shim, const char *exec_id, unsigned streams, int *ret_fd, struct error *err);
/* Back to the terminal of an exec that runs (-ESRCH: it does not), taking it over from
 * whoever has it. seen: how many bytes of its output are known; the stream goes on with
 * byte ret->from, which is later when so much was missed that the shim keeps no more of it;
 * what is before byte ret->to was written before. */
struct shim_rejoined { uint64_t from, to; };
int shim_rejoin(struct shim *shim, const char *exec_id, unsigned streams, uint64_t seen, int *ret_fd,
                struct shim_rejoined *ret, struct error *err);
/* --- files behind a thick wall (transfer.c) ---------------------------------------
 * Where the wall's root is not on the host (shim_root() then gives -ENOTSUP) the
 * same is asked of the guest. What comes back was written by a guest: hostile.
 * Paths are resolved inside the container. They block as long as data flows, and
 * give -ETIMEDOUT when none has for SHIM_TIMEOUT_MS. A write or read that fails
 * ends it with its error. */
enum shim_tree {
    SHIM_TREE_CONTAINER, /* as the container sees it */
    SHIM_TREE_WHOLE,     /* image and changes without mounts; read only */
    SHIM_TREE_CHANGES,   /* the writable layer */
};
struct archive_entry;
struct archive_stat;
typedef int shim_write_fn(void *user, const void *data, size_t size);
typedef ssize_t shim_read_fn(void *user, void *buffer, size_t size);
typedef int shim_change_fn(void *user, const char *path, int kind); /* enum archive_change */
/* A tar, as archive_create() makes it with this name and these flags. */
int shim_archive_get(struct shim *shim, enum shim_tree tree, const char *path, const char *name, unsigned flags,
                     shim_write_fn *write, void *user, struct error *err);
/* read gives a plain tar (archive_plain_open()). -ENOENT, -EINVAL (not a directory).
 * Not into SHIM_TREE_WHOLE; a layer (ARCHIVE_LAYER) goes to SHIM_TREE_CHANGES. */
int shim_archive_put(struct shim *shim, enum shim_tree tree, const char *path, unsigned flags, shim_read_fn *read, void *user,
                     struct error *err);
int shim_archive_stat(struct shim *shim, const char *path, struct archive_stat *ret, struct error *err);
/* Of a directory, as archive_list(); 1: there were more. */
typedef int shim_entry_fn(void *user, const struct archive_entry *entry);
int shim_archive_list(struct shim *shim, const char *path, shim_entry_fn *fn, void *user, struct error *err);
int shim_changes(struct shim *shim, shim_change_fn *fn, void *user, struct error *err);
/* In place of shim_start(): the machine with the container's disks and no process,
 * for the files of a container that does not run. */
int shim_mount(struct shim *shim, const struct plan *plan, struct error *err);

/* Everything is recorded: the shim may end. */
void shim_shutdown(struct shim *shim);

/* Exit record left in state_dir by a shim; -ENOENT where there is none. */
int shim_read_exit(const char *state_dir, struct shim_exit *ret, struct error *err);
