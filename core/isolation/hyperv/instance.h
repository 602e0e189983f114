/* instance.h - one machine's shim side, between the files of this room.
 *
 * hyperv.c   the operations of isolation.h
 * channel.c  what is said to the guest and what it says; how the wall falls
 * raise.c    from nothing to a machine that knows who it is
 * warm.c     a machine ahead of its container
 * stage.c    a template ahead of its containers
 *
 * One request at a time; it blocks the shim until its answer, while the channel is
 * served. Everything from the guest is checked: lengths and windows by the mux,
 * statuses and pids here. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/random.h"
#include "base/str.h"
#include "isolation/hyperv/resolver.h"
#include "isolation/hyperv/setup.h"
#include "isolation/hyperv/vm.h"
#include "isolation/isolation.h"
#include "rpc/mux.h"
#include "tabique/error.h"

#define HYPERV_CONSOLE_KEEP 8192 /* a panic's report is about half of it */

/* An archive order under way (rpc.h). */
struct job {
    struct job *next;
    uint64_t id, stream;
    isolation_done_fn *done;
    void *user;
};

/* An exit the guest told of while a request was being answered: a process can end
 * before the shim has been told that it began. Passed on from the loop. */
struct told_exit {
    struct told_exit *next;
    char exec_id[ID_LENGTH + 1];
    int status;
    bool oom;
};

struct isolation_instance {
    char *id;
    struct loop *loop;
    struct isolation_events events;
    void *user;
    struct machine_setup setup;
    int memory_fd; /* sealed template memory, from the server; -EBADF: boot cold */
    bool stages;   /* it is not sealed, and its machine writes it: stage.c */
    char *cgroup;
    struct vm vm;
    pid_t files_pid; /* tabique-files; 0: nothing is shared */
    struct mux *mux;
    struct resolver *resolver; /* NULL: no name server of ours on its networks */
    struct loop_source *worker_watch, *console_watch, *monitor_watch;
    char *netns;  /* NULL: none of its own */
    char **files; /* host paths of what was given by content */
    char console[HYPERV_CONSOLE_KEEP];
    size_t console_length;
    uint64_t next_id, next_stream;
    struct job *jobs;
    struct told_exit *exits;
    struct loop_source *exits_due;
    int64_t last_oom_ns;
    bool frozen;
    bool fallen;
    bool ending;
    bool raising;
    bool pooled; /* its machine waits for its container */
    struct {     /* ... with disks mounted that a container of this image can have; image NULL: without */
        char *image;
        int scratch; /* without a name */
        struct plan *plan; /* whose surroundings stand on them */
    } ahead;
    struct plan *standing; /* of what was ahead, or staged, and has been taken; else NULL */
    struct error fall; /* why it fell while raising */
    struct { /* the request being waited for; one at a time */
        uint64_t id;
        bool done;
        struct error err;
        bool exec_failed;
        struct str body;
    } pending;
};

/* channel.c */
int hyperv__watch(struct isolation_instance *instance, struct error *err); /* the channel, the worker's end, the console */
int hyperv__watch_monitor(struct isolation_instance *instance, struct error *err); /* of a machine that has all it needs */
void hyperv__forget(struct isolation_instance *instance);                  /* the opposite; the worker ends */
void hyperv__fall(struct isolation_instance *instance, const char *reason);
void hyperv__pass_on_exits(struct loop_source *source, void *user);
void hyperv__drop_exits(struct isolation_instance *instance);
/* On success the reply's body is in pending.body until the next. -ETIMEDOUT: of
 * ask(), also the wall's fall. */
int hyperv__ask_within(struct isolation_instance *instance, uint16_t type, const struct str *body, int timeout_ms,
                       struct error *err);
int hyperv__ask(struct isolation_instance *instance, uint16_t type, const struct str *body, struct error *err);
struct job **hyperv__job_find(struct isolation_instance *instance, uint64_t id);

/* hyperv.c */
int hyperv__run(struct isolation_instance *instance, uint16_t type, struct str *body, bool tty,
                struct isolation_process *ret, struct error *err);
int hyperv__enter_cgroup(struct isolation_instance *instance, const char *path, struct error *err);

/* raise.c: the cgroup is there. On failure what came to be is for hyperv__forget(). */
struct ends { /* where a machine's disks and networks lead */
    bool mounted; /* the disks: it has them already */
    bool staged;  /* the scratch disk is a copy of the staged one */
    int image, scratch;
    int taps[MACHINE_NICS];
    struct str interfaces;
};
#define ENDS_INIT {.image = -EBADF, .scratch = -EBADF, .taps = NO_TAPS, .interfaces = STR_INIT}
void hyperv__ends_close(struct ends *ends);
/* A clone without ends. */
int hyperv__restore(struct isolation_instance *instance, int memory_fd, int state_fd, struct error *err);
int hyperv__restore_plain(struct isolation_instance *instance, struct error *err);
/* Disks, taps and a name for a clone. */
int hyperv__give(struct isolation_instance *instance, const struct plan *plan, const struct ends *ends, int timeout_ms,
                 struct error *err);
/* Its networks have changed. */
int hyperv__follow_networks(struct isolation_instance *instance, struct error *err);
int hyperv__raise(struct isolation_instance *instance, const struct plan *plan, struct error *err);

/* warm.c */
/* Disks for a clone without ends, and on them what surrounds a container like this; its
 * program is read ahead. */
int hyperv__stand(struct isolation_instance *instance, const struct plan *plan, struct ends *ends, struct error *err);
/* Into ends and `standing`, if a waiting machine's disks can be those of this plan's container. */
void hyperv__ahead_take(struct isolation_instance *instance, const struct plan *plan, struct ends *ends);
int hyperv__ahead_leave(struct isolation_instance *instance, int timeout_ms, struct error *err); /* it has none then */
void hyperv__ahead_drop(struct isolation_instance *instance); /* what is known of it; the machine keeps its disks */

/* stage.c */
/* The container's disk into ends, and `standing`, if a staged template can be this one's. */
void hyperv__staged_take(struct isolation_instance *instance, const struct plan *plan, struct ends *ends);
void hyperv__staged_interfaces(struct ends *ends); /* what is up there and not in ends is taken down */
int hyperv__staged_restore(struct isolation_instance *instance, struct error *err);
void hyperv__staged_drop(bool damaged); /* it is not needed here any more; damaged: nowhere */
