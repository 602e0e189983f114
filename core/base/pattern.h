/* pattern.h - regular expressions that outsiders write, bounded.
 *
 * Repetition counts and back-references are where regcomp(3) and regexec(3) can be made
 * to take for ever, so a pattern with one (or a long one) is plain text, looked for
 * anywhere. POSIX extended syntax; what does not compile matches nothing. */
#pragma once

#include <stdbool.h>

bool pattern_matches(const char *pattern, const char *text);
