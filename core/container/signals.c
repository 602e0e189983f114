/* signals.c - names of signals. Owner: container. Source: signal(7). */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "container/internal.h"

int signal_parse(const char *text, int *ret, struct error *err)
{
    static const struct {
        const char *name;
        int number;
    } extra[] = {{"CLD", SIGCHLD}, {"IOT", SIGABRT}, {"POLL", SIGIO}};
    CLEANUP_FREE char *upper = mem_strdup(text);
    int number;

    if (str_to_int(text, 1, SIGRTMAX, &number) == 0) {
        *ret = number;
        return 0;
    }
    if (str_to_int(text, INT32_MIN, INT32_MAX, &number) == 0 && number != 0)
        return error_set(err, EINVAL, "the linux daemon does not support signal %d", number);
    for (char *c = upper; *c; c++)
        *c = *c >= 'a' && *c <= 'z' ? (char)(*c - 32) : *c;
    const char *bare = str_starts(upper, "SIG") ? upper + 3 : upper;
    for (int i = 1; i < SIGRTMIN; i++) {
        const char *name = sigabbrev_np(i);
        if (name && strcmp(name, bare) == 0) {
            *ret = i;
            return 0;
        }
    }
    for (size_t i = 0; i < ARRAY_SIZE(extra); i++) {
        if (strcmp(extra[i].name, bare) == 0) {
            *ret = extra[i].number;
            return 0;
        }
    }
    /* Docker counts real-time signals from 34 and to 64, as glibc does. */
    if (str_starts(bare, "RTMIN") && (bare[5] == '\0' || bare[5] == '+') &&
        str_to_int(bare[5] ? bare + 6 : "0", 0, 15, &number) == 0) {
        *ret = SIGRTMIN + number;
        return 0;
    }
    if (str_starts(bare, "RTMAX") && (bare[5] == '\0' || bare[5] == '-') &&
        str_to_int(bare[5] ? bare + 6 : "0", 0, 14, &number) == 0) {
        *ret = SIGRTMAX - number;
        return 0;
    }
    return error_set(err, EINVAL, "invalid signal: %s", text);
}

int spec_stop_signal(const struct spec *spec)
{
    const char *text = json_string(spec->config, "StopSignal", "");
    int number;

    return *text && signal_parse(text, &number, NULL) == 0 ? number : SIGTERM;
}
