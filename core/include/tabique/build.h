/* build.h - images from Dockerfiles, as Docker's classic builder makes them.
 *
 * A build reads its context (a tar, compressed or not, or an address) into
 * <data>/build/ID, parses the Dockerfile, and turns each instruction into an image
 * over the one before: RUN in a container behind either wall, COPY and ADD through
 * an overlay that is mounted nowhere, the rest by its Config alone. Steps are found
 * again in the image store (image.h, "builds"). Whatever happens, the directory
 * and (with `remove`) the containers are gone when build_run() returns.
 *
 * The context, the Dockerfile and the images are hostile. Threads: any number of
 * builds at once, each in its caller's thread.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct engine;
struct error;

typedef ssize_t build_read_fn(void *user, void *buffer, size_t size);

struct build_callbacks {
    /* What a person reads, in pieces; UTF-8. errors: from a command's standard error. */
    void (*text)(void *user, bool errors, const char *text, size_t length);
    /* The image of a finished stage. */
    void (*image)(void *user, const char *id);
    void (*tagged)(void *user, const char *id, const char *name);
    bool (*cancelled)(void *user); /* polled; then the build stops */
    /* Fetches an image that is not here (or always, with `pull`). NULL: nobody can. */
    int (*pull)(void *user, const char *ref, const char *platform, struct error *err);
    void *user;
};

struct build_options {
    build_read_fn *read;      /* the context; with the callbacks' user */
    const char *remote;       /* or its address: http(s); "" or NULL none */
    const char *dockerfile;   /* its path in the context; NULL: Dockerfile */
    char *const *tags;
    const char *target;
    const cJSON *build_args;  /* object: name -> string or null */
    const cJSON *labels;      /* object: name -> string */
    char *const *cache_from;
    bool no_cache, pull, keep_containers, keep_failed_containers;
    const char *platform;
    const cJSON *host_config; /* of RUN's containers: limits, network, isolation */
};

/* exit_code: of the command that failed, else 0: the error's own code. */
int build_run(struct engine *engine, const struct build_options *options, const struct build_callbacks *callbacks,
              char **ret_image_id, int *ret_exit_code, struct error *err);
/* What is at an address (http, https), in a nameless file of the data directory and with a
 * remote context's limits; to be read from its beginning. What import fetches. */
int build_download(struct engine *engine, const char *address, bool (*cancelled)(void *user), void *user, int *ret_fd,
                   struct error *err);
/* At the server's start: what a build that was killed left in <data>/build. */
void build_clean(struct engine *engine);
