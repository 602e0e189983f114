/* engine_test.h - a real engine on a temporary root with one small image. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/str.h"
#include "tabique/container.h"
#include "tabique/engine.h"
#include "tabique/error.h"
#include "tabique/event.h"

struct bench {
    char root[64];
    struct engine *engine;
    struct event_subscriber *events;
};

int bench_up(void **state);   /* group set-up: an engine, and "test/base:latest" */
int bench_down(void **state); /* everything goes, also after a failed test */
void bench_open(struct bench *bench);
void bench_close(struct bench *bench);

/* Body with ' for "; Image is added. Fails the test when the engine refuses. */
struct container *make(struct bench *bench, const char *name, const char *body);
int try_make(struct bench *bench, const char *name, const char *body, struct error *err);
/* make + start. */
struct container *run(struct bench *bench, const char *name, const char *body);
int wait_exit(struct container *container); /* until it is not running; its status */
void drop(struct container *container);     /* remove -f -v, and put */
struct container_info *info_of(struct container *container);
char *logs_of(struct container *container); /* both streams, in order; free() */
/* Runs a command in it; its output in *ret (free()), its status returned. */
int exec_in(struct bench *bench, struct container *container, const char *command, char **ret);
/* Everything an RPC_STREAM fd gives until its end, stdout and stderr alike. */
char *read_stream(int fd);
void write_stdin(int fd, const char *text); /* NULL: ends it */
/* Actions of a container's events so far, comma-separated; free(). */
char *actions_of(struct bench *bench, const char *id);
bool eventually(bool (*fn)(void *user), void *user); /* within ten seconds */
