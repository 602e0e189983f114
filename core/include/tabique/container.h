/* container.h - containers: from create to remove.
 *
 * A container's configuration is Docker's own: the JSON objects Config,
 * HostConfig and NetworkingConfig of the Engine API, checked and completed
 * against one table of fields (container/schema.c) so that readers find every
 * field there with its right type. It is immutable once made; update, rename and
 * connect make a new one. State changes go through one transition table
 * (container/state.c) and one writer; each container has one operation lock, so
 * that two requests at once are ordered, never interleaved.
 *
 * On disk: <data>/containers/ID/ config.json, state.json (atomic), ID-json.log,
 * exit (the shim's), hosts, hostname, resolv.conf, upper/, work/.
 *
 * Naming: `ref` is a full id, a unique id prefix or a name (with or without its
 * leading slash). Unknown: -ENOENT "No such container: REF".
 * A `struct container *` from container_get() is a counted reference: give it
 * back with container_put(). All functions may be called from any thread and
 * may block (start, stop), except where said.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tabique/compare.h"
#include "tabique/host.h"
#include "tabique/network.h"

struct cgroup_stats;
struct container;
struct engine;
struct error;

enum container_state {
    CONTAINER_CREATED,
    CONTAINER_RUNNING,
    CONTAINER_PAUSED,
    CONTAINER_RESTARTING,
    CONTAINER_EXITED,
    CONTAINER_REMOVING,
    CONTAINER_DEAD,
};
const char *container_state_name(enum container_state state); /* "created", "running", ... */

/* --- finding ------------------------------------------------------------------- */
int container_get(struct engine *engine, const char *ref, struct container **ret, struct error *err);
void container_put(struct container *container);
void container_putp(struct container **container);
typedef int container_fn(void *user, struct container *container); /* borrowed */
int container_each(struct engine *engine, container_fn *fn, void *user); /* newest first, over a snapshot */
const char *container_id(const struct container *container); /* 64 hex; valid while referenced */

/* --- a copy of what is true now ---------------------------------------------------- */
struct container_mount {
    char *type;        /* "bind", "volume", "tmpfs" */
    char *name;        /* volume */
    char *source;
    char *destination;
    char *driver;      /* "local" for volumes */
    char *mode;        /* as given: "ro", "z", ... */
    bool rw;
    char *propagation;
};

struct container_info {
    char id[65];
    char *name;                /* without slash */
    char *image;               /* as asked for */
    char image_id[80];
    const char *isolation;     /* "process" or "hyperv": resolved */
    enum container_state state;
    pid_t pid;                 /* host pid (hyperv: of the worker); 0 when not running */
    uint64_t pid_start_ticks;
    pid_t shim_pid;
    int exit_code;
    bool oom_killed, dead;
    char *error;               /* why the last start failed; "" none */
    int restart_count;
    bool has_been_started_before;
    int64_t created_ns, started_ns, finished_ns;
    char *path;                /* argv[0], and */
    char **args;               /* the rest */
    cJSON *config;             /* Docker's Config, HostConfig, complete; the info's own copies */
    cJSON *host_config;
    cJSON *network_settings;   /* NetworkSettings as Docker shapes it (Ports, Networks, SandboxKey...) */
    struct network_endpoint *endpoints;
    size_t endpoint_count;
    struct container_mount *mounts;
    size_t mount_count;
    char **exec_ids;
    char *log_path, *hosts_path, *hostname_path, *resolv_conf_path;
    char *health_status;       /* NULL: no health check */
    int health_failing_streak;
    cJSON *health_log;         /* array as Docker's, or NULL */
};
int container_info(struct container *container, struct container_info **ret);
void container_info_free(struct container_info *info);
void container_info_freep(struct container_info **info);
/* Bytes written by the container, and with its image: for size=1. */
int container_size(struct container *container, int64_t *ret_rw, int64_t *ret_root_fs);

/* --- lifecycle --------------------------------------------------------------------- */
/* body: Docker's create request (Config with HostConfig and NetworkingConfig in
 * it); not modified. Wrong types: -EINVAL naming the field, as Docker's decoder.
 * -ENOENT "No such image: ..."; -EEXIST name in use, with Docker's text. */
int container_create(struct engine *engine, const char *name, const char *platform, const cJSON *body,
                     char ret_id[65], char ***ret_warnings, struct error *err);
int container_start(struct container *container, const char *detach_keys, struct error *err); /* -EALREADY */
int container_stop(struct container *container, const char *signal, int timeout_s /* -1: its own */,
                   struct error *err); /* -EALREADY */
int container_kill(struct container *container, const char *signal, struct error *err);
int container_restart(struct container *container, const char *signal, int timeout_s, struct error *err);
int container_pause(struct container *container, struct error *err);
int container_unpause(struct container *container, struct error *err);
int container_rename(struct container *container, const char *name, struct error *err);
int container_update(struct container *container, const cJSON *body, char ***ret_warnings, struct error *err);
int container_remove(struct container *container, bool volumes, bool force, bool link, struct error *err);
/* --link's, by its alias. -ENOENT */
int container_remove_link(struct container *container, const char *alias, struct error *err);
int container_prune(struct engine *engine, int64_t until_ns, char *const *labels, char ***ret_ids,
                    int64_t *ret_reclaimed, struct error *err);
/* Behind the other wall: of a stopped one, or with restart. */
int container_set_isolation(struct container *container, const char *isolation, bool restart,
                            struct error *err);

enum container_wait_condition { CONTAINER_WAIT_NOT_RUNNING, CONTAINER_WAIT_NEXT_EXIT, CONTAINER_WAIT_REMOVED };
/* Registers first (so that nothing is missed between), waits later: the server
 * sends its headers in between. cancelled() is polled a few times a second. */
struct container_waiter;
int container_wait_begin(struct container *container, enum container_wait_condition condition,
                         struct container_waiter **ret, struct error *err);
int container_wait_end(struct container_waiter *waiter, bool (*cancelled)(void *user), void *user,
                       int *ret_status, char **ret_error, struct error *err);

/* --- looking in ---------------------------------------------------------------------- */
/* Processes as its own side sees them (process isolation: the host's rows, with
 * inner_pid; hyperv: the guest's). -EBUSY-class error when not running, with Docker's text. */
int container_processes(struct container *container, int64_t max_age_ns, struct process_list **ret,
                        struct error *err);
/* By pid of the container's own side (as comparison rows show it) and start time. */
int container_signal_process(struct container *container, pid_t pid, int64_t started_ns, int signal,
                             struct error *err);
int container_compare(struct container *container, bool whole_host, int64_t at_ns /* 0: now */,
                      struct comparison **ret, struct error *err);
void container_boundary(struct container *container, struct compare_boundary *ret);
int container_stats(struct container *container, struct cgroup_stats *ret, struct network_stats **ret_networks,
                    size_t *ret_network_count, struct error *err);

/* --- streams --------------------------------------------------------------------------- */
/* fd speaks RPC_STREAM frames (rpc/rpc.h, shim/client.h); streams: 1 stdin, 2 stdout, 4 stderr.
 * called: the container, as the client named it; refusals say it so. exec_create()'s too.
 * A container that is not yet running is waited for (attach before start). */
int container_attach(struct container *container, const char *called, unsigned streams, int *ret_fd, struct error *err);
int container_resize(struct container *container, uint16_t rows, uint16_t cols, struct error *err);
bool container_tty(struct container *container);
bool container_stdin_once(struct container *container); /* its input ends with the first client's */

struct container_log_query {
    bool out, err;
    bool follow;
    bool timestamps;       /* the reader formats; here for drivers */
    bool details;          /* attributes of each line are wanted */
    int64_t since_ns, until_ns;
    int64_t tail;          /* lines; -1: all */
};
struct container_log_line {
    int64_t time_ns;
    int stream;            /* 1 stdout, 2 stderr */
    const char *data;      /* with its newline, if it had one */
    size_t length;
    const char *attributes; /* "k=v,k=v", sorted and escaped as in a URL; NULL none or not wanted */
};
/* Return non-zero to end. cancelled() is polled while following. */
typedef int container_log_fn(void *user, const struct container_log_line *line);
/* -ENOTSUP when its log driver cannot be read back. */
int container_logs_readable(struct container *container, struct error *err);
int container_logs(struct container *container, const struct container_log_query *query,
                   container_log_fn *fn, bool (*cancelled)(void *user), void *user, struct error *err);

/* --- exec ---------------------------------------------------------------------------------- */
int exec_create(struct container *container, const char *called, const cJSON *body, char ret_id[65], struct error *err);
/* Starts; ret_fd as attach's (streams by the exec's own Attach flags), or NULL for detached. */
int exec_start(struct engine *engine, const char *exec_id, bool detach, bool tty, uint16_t rows,
               uint16_t cols, int *ret_fd, struct error *err);
/* Back to the terminal of a running one, taken over from whoever has it. seen: bytes of its
 * output that are known; the stream goes on with byte ret->from, later if more was missed than
 * is kept; what comes before byte ret->to was written before. */
struct exec_rejoined { uint64_t from, to; };
int exec_rejoin(struct engine *engine, const char *exec_id, uint64_t seen, int *ret_fd, struct exec_rejoined *ret,
                struct error *err);
int exec_resize(struct engine *engine, const char *exec_id, uint16_t rows, uint16_t cols, struct error *err);
int exec_signal(struct engine *engine, const char *exec_id, int signal, struct error *err);
struct exec_info {
    char id[65], container_id[65];
    bool running, tty, open_stdin, open_stdout, open_stderr, privileged;
    bool has_exit_code;
    int exit_code;
    pid_t pid;
    char *user;
    char **argv;
    char *detach_keys;
};
int exec_info(struct engine *engine, const char *exec_id, struct exec_info **ret, struct error *err);
void exec_info_free(struct exec_info *info);

/* --- files ------------------------------------------------------------------------------------ */
struct archive_entry;
struct archive_stat;
typedef ssize_t container_read_fn(void *user, void *buffer, size_t size);
typedef int container_write_fn(void *user, const void *data, size_t size);
int container_path_stat(struct container *container, const char *path, struct archive_stat *ret,
                        struct error *err);
/* A directory as archive_list() gives it; 1: there were more. */
typedef int container_entry_fn(void *user, const struct archive_entry *entry);
int container_list(struct container *container, const char *path, container_entry_fn *fn,
                   void *user, struct error *err);
int container_archive_get(struct container *container, const char *path, container_write_fn *write,
                          void *user, struct error *err);
int container_archive_put(struct container *container, const char *path, bool no_overwrite_dir_non_dir,
                          bool copy_uid_gid, container_read_fn *read, void *user, struct error *err);
int container_export(struct container *container, container_write_fn *write, void *user, struct error *err);
typedef int container_change_fn(void *user, const char *path, int kind);
int container_changes(struct container *container, container_change_fn *fn, void *user, struct error *err);
int container_commit(struct container *container, const char *repo, const char *tag, const char *author,
                     const char *comment, bool pause, char *const *changes, const cJSON *config,
                     char **ret_image_id, struct error *err);
/* For a builder: the same with exactly the step's Config (tabique/image.h), nothing merged in. */
struct image_step;
int container_commit_step(struct container *container, const struct image_step *step, char **ret_image_id,
                          struct error *err);

/* --- networks of a container -------------------------------------------------------------------- */
int container_connect(struct container *container, const char *network, const cJSON *endpoint_config,
                      struct error *err);
int container_disconnect(struct container *container, const char *network, bool force, struct error *err);
