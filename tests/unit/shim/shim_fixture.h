/* shim_fixture.h - a shim as the server has one, with its loop in a thread. */
#pragma once

#include <pthread.h>
#include <stdbool.h>

#include "launch/fixture.h"
#include "shim/client.h"

struct shim_case {
    struct loop *loop;
    pthread_t thread;
    struct shim *shim;
    struct shim_spec spec;
    char *dir, *log;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool exited, lost;
    int exits, execs_ended, ooms;
    int status, exec_status;
    bool oom_killed;
    char exec_id[64];
};

struct shim_case *shim_case_new(bool open_stdin); /* and spawns */
/* The fields of `wanted` that are not 0 replace the defaults; log_path "" is none. */
struct shim_case *shim_case_new_with(bool open_stdin, const struct shim_spec *wanted);
void shim_case_free(struct shim_case *c); /* shuts the shim down and waits until it has gone */
bool shim_case_wait_exit(struct shim_case *c);
bool shim_case_wait_exec(struct shim_case *c, int count);
bool shim_case_wait_lost(struct shim_case *c);
/* The server vanishes: connection and loop go, the shim stays. */
void shim_case_drop(struct shim_case *c);
int shim_case_reattach(struct shim_case *c);
char *shim_case_log(struct shim_case *c); /* whole text; free() */
/* Everything of stream 1 and 2 until the peer closes; free(). */
char *shim_case_drain(int fd, size_t *ret_length);
