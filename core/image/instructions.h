/* instructions.h - one Dockerfile instruction applied to a Config: for image/ and build/. */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>

struct error;

struct image_changing {
    cJSON *config;      /* changed; its Env is what $VARIABLES are looked up in, then */
    char *const *args;  /* "NAME=value"; may be NULL */
    char escape;        /* '\\' or '`' */
    bool cmd_set;       /* CMD came before: then ENTRYPOINT does not reset it */
};

/* The instructions that change nothing but the Config: CMD, ENTRYPOINT, ENV, EXPOSE,
 * HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR, and (of a build
 * only) SHELL. rest: what stands behind the name. */
bool image_instruction_known(const char *name);
int image_instruction_apply(struct image_changing *changing, const char *name, const char *rest, struct error *err);
