/* internal.h - what the files of this room share: the engine, a container, and
 * the rules of their locks.
 *
 * Locks, in the order they are taken:
 *   container->operation  one lifecycle operation at a time (start, stop, pause,
 *                         rename, update, remove ...). Held across blocking work.
 *   engine->registry      who exists and who has which name. Short.
 *   container->lock       the fields marked below. Short; never held while a room
 *                         below, the shim or the event bus is called.
 *   engine->exec_lock     the table of execs. Short.
 * The end of a container's process is handled without its operation lock (stop
 * holds that while it waits for just this), see finish.c.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define uthash_fatal(message) abort()
#include <uthash.h>

#include "base/ids.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "container/mounts.h"
#include "container/state.h"
#include "container/wall.h"
#include "history/history.h"
#include "shim/client.h"
#include "tabique/container.h"
#include "tabique/engine.h"
#include "tabique/error.h"
#include "tabique/event.h"
#include "tabique/image.h"
#include "tabique/network.h"
#include "tabique/volume.h"

struct health;
struct loop;
struct recorder;
struct workers;

/* --- the engine ------------------------------------------------------------------ */
struct engine {
    struct engine_options options; /* owns its strings */
    char id[40];
    char *cgroup_parent;
    int lock_fd;
    struct id_maps ids;            /* of containers with a user namespace; empty: there are none */
    int data_fd;                   /* data_dir, for relative work */
    struct image_store *images;
    struct registry *registry_client;
    struct network_manager *networks;
    struct volume_store *volumes;
    struct event_bus *events;
    struct sampler *sampler;
    struct store *store;
    struct history *history;
    struct notify *notify;
    struct machines *machines;     /* what the thick wall stands on */
    struct machine_pool *machine_pool;
    struct loop *loop;
    pthread_t loop_thread;
    bool loop_running;
    /* Two pools, so that work which must go on (ends of processes) never waits
     * behind work that waits for an operation lock (restarts, removals). */
    struct workers *finishers;
    struct workers *operators;
    struct workers *sweepers; /* of what discard() has set aside */
    atomic_bool closing;
    atomic_bool machine_stops; /* ends are nobody's wish, and nothing is started again */
    bool recovered;

    pthread_rwlock_t registry;
    struct container *by_id;
    struct container *by_name;

    pthread_mutex_t exec_lock;
    pthread_cond_t exec_changed;
    struct exec *execs;
};

/* --- a container's configuration: immutable, counted -------------------------------- */
struct spec {
    atomic_int references;
    cJSON *config;
    cJSON *host_config;
    cJSON *networks; /* EndpointsConfig: name -> EndpointSettings as asked for; null: left since.
                      * NetworkMode's own is implied where it is not named. */
    const struct wall *wall;
};
/* Takes all. HostConfig.Isolation may be a client's "default": the wall says which. */
struct spec *spec_new(const struct wall *wall, cJSON *config, cJSON *host_config, cJSON *networks);
struct spec *spec_ref(struct spec *spec);
void spec_unref(struct spec *spec);
void spec_unrefp(struct spec **spec);
#define CLEANUP_SPEC CLEANUP(spec_unrefp)

/* --- one run's shim: counted, since requests run in any thread ------------------------ */
struct shim_box {
    atomic_int references;
    struct container *container; /* a reference */
    struct shim *shim;
    unsigned run;
    bool started;   /* container->lock: it has (or may have) a process */
    bool ended;     /* container->lock: its end is being or has been handled */
    bool oom;       /* container->lock */
};

/* Where a process stands whose end we heard of before its start was written down. */
struct run_exit {
    int status;
    bool oom_killed;
    int64_t time_ns;
    const char *lost; /* why it is gone, where the shim could not say; NULL otherwise */
    char wall[SHIM_REASON_MAX]; /* why its wall fell, where the shim could; empty otherwise */
};

struct run_state {
    enum container_state state;
    bool oom_killed, dead;
    bool started_before;
    bool manually_stopped;   /* by a person: unless-stopped respects it across restarts */
    bool restart_cancelled;  /* until the next start by a person */
    int exit_code;
    char *error;
    int restart_count;
    pid_t pid, guest_pid, shim_pid;
    uint64_t pid_start_ticks;
    int64_t started_ns, finished_ns;
    unsigned run;            /* number of its present or last shim */
    bool starting;           /* a start has begun and is not written down yet */
};

struct container {
    /* Set at create, then only read. */
    char id[65];
    struct engine *engine;
    int64_t created_ns;
    char *image;
    char image_id[80];
    char *path;
    char **args;
    char *dir;               /* <data>/containers/ID */
    struct mount_list mounts;

    atomic_int references;
    pthread_mutex_t operation;
    pthread_mutex_t save_lock; /* one writer of its files at a time */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Under lock: */
    struct spec *spec;
    char **layers;           /* of its image, topmost first: looked up once */
    struct run_state run;
    struct shim_box *box;    /* of the present run; may be there before start */
    bool finishing;          /* its process has ended, the traces are being removed */
    int leaving_fd;          /* pidfd of the last run's shim, which may still close its wall */
    bool restarting_by_hand; /* container_restart(): no auto-removal in between */
    bool removal_begun;
    bool removed;
    char *removal_error;
    uint64_t ends;           /* how often its process has ended */
    struct history_reading last_reading; /* the recorder's thread only */
    int64_t full_reading_ns;
    int64_t guest_asked_ns;  /* when a machine had last answered the recorder */
    uint64_t guest_cpu_ns;   /* its worker's, then */
    struct run_exit pending_exit; /* of a start under way */
    bool exit_pending;
    int64_t restart_delay_ns;
    uint64_t restart_ticket; /* a delayed restart with another ticket is void */
    struct network_endpoint *endpoints;
    size_t endpoint_count;
    struct network_port *ports;
    size_t port_count;
    char *sandbox_path;
    bool volumes_mounted;    /* start and finish only: they never overlap */
    struct health *health;
    int health_status;       /* enum health_status */
    int health_streak;
    cJSON *health_log;

    /* Written under lock and registry (write); read under either. */
    char *name;
    char **old_names;        /* kept: container_boundary() may still point to one */
    bool listed;             /* false while being created or after removal */
    UT_hash_handle id_handle, name_handle;
};

/* registry.c */
struct container *container__new(struct engine *engine);
struct container *container__ref(struct container *container);
char *container__name(struct container *container);  /* copy */
struct spec *container__spec(struct container *container); /* counted */
enum container_state container__state(struct container *container);
/* Reserves a name (NULL: makes one up) for a container that is not listed yet. */
int registry_reserve(struct container *container, const char *name, struct error *err);
int registry_rename(struct container *container, const char *name, struct error *err);
void registry_list(struct container *container);   /* from now on others find it */
void registry_unlist(struct container *container); /* and its name is free again */
int registry_all(struct engine *engine, struct container ***ret); /* counted; newest first; count */
void registry_all_free(struct container **all, int count);

/* record.c: config.json and state.json */
int record_save_config(struct container *container, struct error *err);
int record_save_state(struct container *container, struct error *err);
int record_load(struct engine *engine, const char *id, struct container **ret, char boot[40],
                struct error *err);

/* shim_box.c */
int shim_box_open(struct container *container, bool spawn, struct shim_box **ret, struct error *err);
struct shim_box *shim_box_dead(struct container *container); /* stands for one that is gone */
struct shim_box *shim_box_ref(struct shim_box *box);
void shim_box_unref(struct shim_box *box);
void shim_box_unrefp(struct shim_box **box);
#define CLEANUP_BOX CLEANUP(shim_box_unrefp)
/* The box of the running process, counted; -EBUSY with Docker's text otherwise. */
int container__running_box(struct container *container, struct shim_box **ret, struct error *err);
char *shim_dir(const struct container *container, unsigned run);
char *container__cgroup(const struct container *container); /* behind either wall: all of it is in there */

/* finish.c: what follows when a container's process has ended */
void finish_exited(struct shim_box *box, const struct run_exit *exit);
void finish_release(struct container *container, bool publish); /* network, volumes; idempotent */

/* update.c: the new spec (taken) takes the old one's place, on disk first */
int container__replace_spec(struct container *container, struct spec *changed, struct error *err);

/* lifecycle.c */
int container__transition(struct container *container, enum state_event event); /* under lock */
int container__start(struct container *container, bool by_hand, struct error *err); /* under operation */
/* A machine takes a while to close. Bounded: one that does not must not keep its container down. */
void container__await_last_shim(struct container *container);
int container__kill_and_wait(struct container *container, int64_t timeout_ns, struct error *err);
/* Waits until it is neither active nor finishing. -ETIMEDOUT. timeout_ns < 0: for ever. */
int container__wait_stopped(struct container *container, int64_t timeout_ns);
int signal_parse(const char *text, int *ret, struct error *err);
int spec_stop_signal(const struct spec *spec);

/* discard.c: a directory below data_dir, as good as removed when this returns; its files
 * go later, by an end of the server also after the next start. A missing one is success. */
#define DISCARDED_DIR "discarded"
int discard(struct engine *engine, const char *path);
void discard_sweep(struct engine *engine);

/* remove.c */
int container__remove(struct container *container, bool volumes, bool force, struct error *err);
void container__destroy(struct container *container, bool volumes); /* the traces, once it is stopped */

/* restart.c */
bool restart_wanted(struct container *container, const struct spec *spec, int exit_code,
                    bool at_boot); /* under lock */
int64_t restart_backoff(int64_t delay_ns, int64_t ran_ns); /* the next delay */
void restart_schedule(struct container *container, int64_t delay_ns);
void restart_cancel(struct container *container); /* under lock */

/* health.c */
void health_begin(struct container *container, const struct spec *spec);
void health_end(struct container *container); /* waits for the prober */
enum health_status { HEALTH_NONE, HEALTH_STARTING, HEALTH_HEALTHY, HEALTH_UNHEALTHY };
const char *health_status_name(int status);

/* shm.c: none of these does anything for a container whose IPC is its own. */
int shm_open_own(struct container *container, const struct spec *spec, char **ret_path, struct error *err);
void shm_close(struct container *container, const struct spec *spec);
char *shm_of(const struct container *other, const struct spec *spec); /* for one that joins it */

/* exec.c */
struct exec_request {
    char **argv;           /* borrowed */
    const cJSON *env;      /* array, or NULL */
    const char *user, *cwd, *detach_keys;
    bool tty, privileged, in, out, err;
    uint16_t rows, cols;
};
void exec_make(struct container *container, const struct exec_request *request, char ret_id[65]);
int exec_status(struct engine *engine, const char *id, int *ret_status); /* -EAGAIN while it runs */
void exec_forget(struct engine *engine, const char *id);
void exec_note_exit(struct container *container, const char *exec_id, int status); /* never blocks */
void exec_found(struct container *container, const struct shim_exec *found); /* by a server that came back */
void exec_exited(struct container *container, const char *exec_id, int status, int64_t time_ns);
void exec_forget_all(struct container *container, struct shim *shim, bool remove);
char **exec_ids(struct container *container);

/* sandbox.c: networks and /etc files of a container */
int sandbox_open(struct container *container, const struct spec *spec, char **ret_path,
                 struct error *err);
void sandbox_close(struct container *container, bool publish);
cJSON *sandbox_settings(struct container *container); /* under lock: NetworkSettings */
/* Where its hosts, hostname and resolv.conf are: another container's directory
 * where it shares that one's network. */
void sandbox_adopt_name(struct container *container); /* before a start: container:X brings X's host name */
char *sandbox_etc_dir(struct container *container, const struct spec *spec);
void sandbox_refresh(struct container *container, const struct spec *spec);
/* What network_attach() is to be asked for, from an EndpointSettings. */
void sandbox_wanted(struct container *container, const cJSON *settings, struct network_endpoint *ret);
int sandbox_check_network(const struct spec *spec, const struct network *network, struct error *err);

/* endpoints.c: the run-time part of NetworkSettings, and how it is kept */
void endpoint_copy(struct network_endpoint *to, const struct network_endpoint *from);
void endpoints_clear(struct container *container); /* under lock */
cJSON *endpoints_to_json(const struct container *container); /* under lock */
void endpoints_from_json(struct container *container, const cJSON *json);

/* volumes.c */
int volumes_resolve(struct container *container, const struct spec *spec, struct error *err); /* at create */
void volumes_forget(struct container *container, bool remove_anonymous);
int volumes_mount(struct container *container, struct error *err);
void volumes_unmount(struct container *container, bool publish);

/* links.c */
int links_check(struct engine *engine, const cJSON *host, struct error *err);
int links_check_running(struct container *container, const struct spec *spec, struct error *err);
void links_add_hosts(const struct container *container, const struct spec *spec, struct str *text);
char **links_env(struct container *container, const struct spec *spec);

/* plan_build.c */
struct plan;
struct plan_process;
struct plan_limits;
/* Files the plan names by number: to be kept open until it has been carried out. */
struct plan_sources {
    int *fds;
    size_t count;
};
void plan_sources_close(struct plan_sources *sources);
#define CLEANUP_SOURCES CLEANUP(plan_sources_close)
int plan_build(struct container *container, const struct spec *spec, const char *sandbox_path,
               struct plan_sources *sources, struct plan **ret, struct error *err);
int plan_build_limits(const cJSON *resources, struct plan_limits *ret, struct error *err);
/* plan_process.c: the environment Docker gives every process, and the container's own over it */
char **plan_build_env(struct container *container, const struct spec *spec, bool tty, const cJSON *more);
int plan_build_process(struct container *container, const struct spec *spec, struct plan_process *ret,
                       struct error *err);
/* What an exec or a health check of this container runs with. */
int plan_build_exec(struct container *container, const struct spec *spec, char *const *argv, const cJSON *env, const char *user,
                    const char *cwd, bool tty, bool privileged, struct plan_process *ret,
                    struct error *err);
/* Whether a refusal is about users and groups: Docker says those before its runtime
 * is asked, so nothing is put in front of them. */
bool plan_error_of_user(const char *message);

/* publish.c: events with a container's usual attributes; extra: name, value, ..., NULL */
void publish_container(struct container *container, const char *action, ...) __attribute__((sentinel));
void publish_container_at(struct container *container, int64_t time_ns, const char *action, ...)
    __attribute__((sentinel));
/* reason: why its wall ended it, if that is what happened; NULL or "" else */
void publish_die(struct container *container, int64_t time_ns, int64_t ran_ns, int status, const char *reason);
void publish_network(struct container *container, const struct network_endpoint *endpoint,
                     const char *action);
void publish_volume(struct container *container, const struct mount_point *mount, const char *action);

/* recover.c */
int recover_all(struct engine *engine, struct error *err);
