/* words.h - words of a Dockerfile: splitting, quotes, escapes, $VARIABLES.
 *
 * For image/ (changes of commit and import) and build/. The text is hostile:
 * nesting and the result's size have their limits. Pure.
 * Source: the Dockerfile reference, "Environment replacement".
 */
#pragma once

#include <cjson/cJSON.h>
#include <stddef.h>

struct error;

#define WORDS_LENGTH_MAX ((size_t)1 << 20)

struct words_scope {
    const cJSON *env;  /* array of "NAME=value"; goes before */
    char *const *args; /* "NAME=value" */
    char escape;       /* '\\' or '`' */
};

/* A variable's value; NULL: not set. */
const char *words_variable(const struct words_scope *scope, const char *name, size_t length);
/* Takes quotes and escapes off and expands, as a shell would one word. */
int words_expand(const struct words_scope *scope, const char *word, char **ret, struct error *err);
/* At blanks outside quotes; quotes and escapes stay. */
char **words_split(const char *text, char escape);
/* At blanks, whatever stands between. */
char **words_fields(const char *text);
/* ["a", "b"] as an array of strings; NULL where the text is not that. */
cJSON *words_list(const char *text);
