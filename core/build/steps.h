/* steps.h - the instructions that change a Config only, and ARG. Private to build/. */
#pragma once

#include <stdbool.h>

struct build;
struct dockerfile_instruction;
struct error;
struct words_scope;

int build_step(struct build *build, const struct dockerfile_instruction *instruction, struct error *err);
int build_declare_args(struct build *build, const struct dockerfile_instruction *instruction,
                       const struct words_scope *scope, bool global, struct error *err);
