/* log_driver.h - log drivers: their options, and what the shim is to do with output.
 *
 * Every driver but "none" keeps the container's own log file, so that logs can always be
 * read back through the same interface ("local" in the same format as "json-file"; of
 * "syslog" it is the cache that Docker keeps too, unless cache-disabled). "journald" and
 * "syslog" send each line on as well, from the shim, so that they need no server.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

struct container;
struct error;
struct spec;

/* Checks LogConfig's options in Docker's words; puts the default driver in. */
int log_driver_check(cJSON *log, struct error *err);
bool log_driver_readable(const cJSON *log);

struct log_plan {
    bool file, compress;
    int64_t max_size; /* 0: no limit */
    int max_files;
    char *attributes; /* JSON object for each line; NULL none */
    char *address;    /* "unixgram:PATH", "unix:PATH", "udp:HOST:PORT", "tcp:HOST:PORT", or a helper's words (shim.h); NULL: sent nowhere */
    char *format;     /* shim/shim.h's */
    char *tag;
    char *fields;     /* journald's, "NAME=value\n" each */
    int facility;
};
/* Fails where the host has no such service, as the driver's start would. */
int log_driver_plan(const struct container *container, const struct spec *spec, struct log_plan *ret,
                    struct error *err);
void log_plan_clear(struct log_plan *plan);
