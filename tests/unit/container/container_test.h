/* container_test.h - what the tests of core/container share. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "tabique/error.h"

/* JSON with ' for ", so that tests stay readable. */
static inline cJSON *json_of(const char *text)
{
    char *copy = strdup(text);
    struct error err = ERROR_INIT;
    cJSON *json = NULL;

    for (char *c = copy; *c; c++)
        *c = *c == '\'' ? '"' : *c;
    if (json_parse(copy, strlen(copy), &json, &err) < 0)
        fail_msg("%s: %s", err.message, copy);
    free(copy);
    return json;
}
