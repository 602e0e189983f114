/* args.h - build arguments: what --build-arg gives, ARG declares, and a stage sees.
 *
 * A name counts where ARG declared it; before the first FROM for all FROM lines, and
 * in a stage that names it again; proxies' names count everywhere, and show in no
 * history unless they were declared. Pure.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>

struct build_args {
    const cJSON *given;   /* name -> string or null; borrowed */
    char **global;        /* "NAME=value" of ARGs before the first FROM */
    char **stage;         /* "NAME=default", or "NAME" without one: this stage's */
    char **used;          /* names that some ARG declared */
};

void build_args_clear(struct build_args *args);
void build_args_begin_stage(struct build_args *args);
/* value NULL: no default. */
void build_args_declare(struct build_args *args, bool global, const char *name, const char *value);
/* "NAME=value" for a FROM line. */
char **build_args_for_from(const struct build_args *args);
/* For the stage's instructions; proxies that were given are in it. */
char **build_args_for_stage(const struct build_args *args);
/* Of those, what RUN's environment gets (not in env), sorted; shown: without
 * undeclared proxies, as the history and the cache have it. */
char **build_args_for_run(const struct build_args *args, const cJSON *env, bool shown);
/* Given names that nobody declared, sorted. */
char **build_args_unused(const struct build_args *args);
