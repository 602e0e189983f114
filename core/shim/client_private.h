/* client_private.h - what the files of the client share. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/str.h"
#include "rpc/rpc.h"
#include "shim/client.h"

struct error;
struct loop_source;
struct waiting;

#define SOCKET_NAME "shim.sock"

struct shim {
    struct loop *loop;
    struct shim_events events;
    void *user;
    char *id, *dir;
    pid_t pid;
    int pidfd; /* of our child; -EBADF after reattach */
    int fd;

    pthread_mutex_t writing; /* two requests must not mix their bytes; taken alone */
    pthread_mutex_t lock;
    pthread_cond_t answered;
    struct waiting *waiting;
    uint64_t next_id;
    bool lost;   /* the connection broke */
    bool quiet;  /* no callbacks any more: freed or shut down */
    struct str missed; /* reattach: body of the first RPC_STATUS reply */

    /* The loop's thread only. */
    struct loop_source *source;
    struct rpc_decoder decoder;
};

/* Files by the numbers of isolation/hyperv/staged.h. */
const int *shim__stage_fds(const struct shim_stage *stage);
/* spawn.c: a shim without a container, which makes what is staged. */
int shim__spawn_stage(const struct shim_spec *spec, const char *cgroup, pid_t *ret_pid, int *ret_pidfd, struct error *err);

struct shim *shim__new(const struct shim_spec *spec, struct loop *loop, const struct shim_events *events, void *user);
void shim__begin(void *user); /* in the loop's thread: from now on it is listened to */
void shim__end(void *user);
int shim__send_hello(int fd);

/* A connection of its own with one request; the first reply brings an fd along. */
int shim__open_with_fd(struct shim *shim, uint16_t type, const struct str *body, struct rpc_decoder *decoder, int *ret_conn,
                       int *ret_fd, struct error *err);
