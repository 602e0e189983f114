/* dockerfile.h - a Dockerfile's text as stages of instructions.
 *
 * Pure: text in, structs out; the text is hostile. What is wrong with its shape is
 * told here, in Docker's words and with its line; what depends on files, images or
 * arguments is the builder's business. Neither here-documents nor the other things
 * that only BuildKit has are known; they are refused by name.
 * Source: the Dockerfile reference; the classic builder's behaviour.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct error;

#define DOCKERFILE_MAX ((size_t)2 << 20)
#define DOCKERFILE_STEPS_MAX 1000 /* instructions; far beyond what layers an image can have */

/* Behind "the --x option". */
#define DOCKERFILE_BUILDKIT                                                                        \
    " requires BuildKit. Refer to https://docs.docker.com/go/buildkit/ to learn how to build "      \
    "images with BuildKit enabled"

struct dockerfile_flag {
    char *name;  /* "from" */
    char *value;
};

struct dockerfile_instruction {
    int line;
    char *name;     /* upper case */
    char *original; /* as it is shown: flags and all, continued lines joined */
    char *rest;     /* behind name and flags */
    struct dockerfile_flag *flags;
    size_t flag_count;
    char *needs_buildkit; /* a flag that only BuildKit has: refused when its turn comes */
};

struct dockerfile_stage {
    char *base;      /* as written */
    char *platform;  /* NULL: not said */
    char *name;      /* lower case; "" none */
    struct dockerfile_instruction from;
    struct dockerfile_instruction *steps;
    size_t step_count;
};

struct dockerfile {
    char escape; /* '\\' or '`' */
    struct dockerfile_instruction *args; /* ARGs before the first FROM */
    size_t arg_count;
    struct dockerfile_stage *stages;
    size_t stage_count;
    char **gaps; /* instructions with an empty line in the midst, which is worth a warning */
};

int dockerfile_parse(const char *text, size_t length, struct dockerfile **ret, struct error *err);
void dockerfile_freep(struct dockerfile **dockerfile);
/* One instruction alone, as ONBUILD keeps it: no FROM, no ONBUILD. */
int dockerfile_parse_trigger(const char *text, char escape, struct dockerfile_instruction *ret, struct error *err);
void dockerfile_instruction_clear(struct dockerfile_instruction *instruction);
/* Appends an instruction of the caller's (--label) to the last stage. */
void dockerfile_append(struct dockerfile *dockerfile, const char *name, const char *rest, const char *shown);
/* Leaves the first `stages` only. */
void dockerfile_cut(struct dockerfile *dockerfile, size_t stages);
const char *dockerfile_flag(const struct dockerfile_instruction *instruction, const char *name); /* NULL: not given */
/* The rest with the flags before it. */
char *dockerfile_with_flags(const struct dockerfile_instruction *instruction);
/* Index of the stage with this name or number; -1. */
int dockerfile_find_stage(const struct dockerfile *dockerfile, const char *name);
