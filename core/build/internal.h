/* internal.h - a build under way: what the files of this room share. */
#pragma once

#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "build/args.h"
#include "build/context.h"
#include "build/dockerfile.h"
#include "tabique/build.h"
#include "tabique/error.h"
#include "tabique/image.h"

/* A stage as far as it has come. */
struct build_state {
    char *image_id;    /* "" before there is one */
    cJSON *config;
    char *author;
    char *platform;    /* of a stage from scratch; NULL */
    bool cmd_set;
};

struct build {
    struct engine *engine;
    struct image_store *images;
    const struct build_options *options;
    const struct build_callbacks *callbacks;
    struct build_context context;
    struct dockerfile *dockerfile;
    struct build_args args;
    struct build_state state;
    bool cache_lost;          /* a step of this stage was not found: the next ones cannot be */
    char **stage_images;      /* of finished stages, by index; "" none */
    char **held;              /* images to release at the end */
    char **containers;        /* left by failed steps or kept until the end of the step */
    int exit_code;
};

void build_say(struct build *build, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool build_cancelled(struct build *build);
int build_check_cancelled(struct build *build, struct error *err);

/* --- images (builder.c) --- */
/* Looks the step up in the cache: 1 when it is there (the state then stands on it). */
int build_probe(struct build *build, const char *created_by, struct error *err);
/* The state's Config as an image without, or with, a layer read. */
int build_commit(struct build *build, const char *created_by, image_read_fn *read, void *user, struct error *err);
/* The state stands on that image, which is held. Takes id. */
void build_stand_on(struct build *build, char *id);
/* An image by name or id, fetched where needed; held until the build ends. */
int build_find_image(struct build *build, const char *ref, const char *platform, char **ret_id, struct error *err);
/* A word with the stage's variables in it. */
int build_expand(struct build *build, const char *word, char **ret, struct error *err);
/* The shell as one text: "/bin/sh -c". */
char *build_shell(const struct build *build);
char *build_no_operation(const struct build *build, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* --- layers.c --- */
/* The state's file system, writable: changes go to a fresh upper directory. */
struct build_layer {
    int root_fd;   /* merged */
    int dir_fd;    /* holds upper/ and work/ */
    char *name;    /* of that directory in the build's */
};
#define BUILD_LAYER_INIT ((struct build_layer){.root_fd = -EBADF, .dir_fd = -EBADF})
int build_layer_open(struct build *build, struct build_layer *ret, struct error *err);
/* Commits what was changed. */
int build_layer_commit(struct build *build, struct build_layer *layer, const char *created_by, struct error *err);
void build_layer_close(struct build *build, struct build_layer *layer);

/* --- instructions with files of their own --- */
int build_run_command(struct build *build, const struct dockerfile_instruction *instruction, struct error *err);
int build_copy(struct build *build, const struct dockerfile_instruction *instruction, struct error *err);
