/* pattern.h - file name patterns: of COPY's sources and of .dockerignore.
 *
 * `*` and `?` (not across slashes), `[a-z]`, `[^a]`, backslash; with PATTERN_DEEP
 * also `**`, any number of directories. Linear in pattern times text, so that no
 * pattern costs more than its length. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct error;

#define PATTERN_DEEP 1u

bool pattern_has_wildcard(const char *pattern);
bool pattern_match(const char *pattern, const char *text, unsigned flags);

/* .dockerignore: later lines win, "!" takes back. */
struct ignore;
#define IGNORE_PATTERNS_MAX 10000
int ignore_parse(const char *text, size_t length, struct ignore **ret, struct error *err);
void ignore_freep(struct ignore **ignore);
/* Whether path (relative, clean) or a directory above it is left out. */
bool ignore_matches(const struct ignore *ignore, const char *path);
/* Whether something below an excluded directory could be taken back. */
bool ignore_has_exceptions(const struct ignore *ignore);
