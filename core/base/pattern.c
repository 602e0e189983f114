/* pattern.c - see pattern.h. Owner: base. */
#include "base/pattern.h"

#include <regex.h>
#include <string.h>

#define PATTERN_MAX 256

bool pattern_matches(const char *pattern, const char *text)
{
    if (strcmp(pattern, text) == 0)
        return true;
    if (strlen(pattern) > PATTERN_MAX || strchr(pattern, '{') || strchr(pattern, '\\'))
        return strstr(text, pattern) != NULL;
    regex_t regex;
    if (regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB) != 0)
        return false;
    const bool matches = regexec(&regex, text, 0, NULL, 0) == 0;
    regfree(&regex);
    return matches;
}
