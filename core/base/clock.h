/* clock.h - time. Wall-clock times in the project are int64_t nanoseconds since
 * the epoch, UTC; 0 means "never". Durations are int64_t nanoseconds. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define NS_PER_SEC INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)
#define TIME_TEXT_MAX 40

int64_t clock_real_ns(void);
int64_t clock_mono_ns(void);
/* Wall-clock time at which the machine booted, and the time of a
 * /proc/PID/stat start time (ticks since boot). Taken at the first call and
 * steady within a process; another process's may differ by clock adjustments,
 * so identities compare ticks and boot_id(), not these. */
int64_t clock_boot_ns(void);
int64_t clock_from_ticks(uint64_t start_ticks);
/* RFC 3339 with nanoseconds, Go's RFC3339Nano (trailing zeros dropped), "Z".
 * 0 gives "0001-01-01T00:00:00Z". out holds TIME_TEXT_MAX. Returns out. */
char *time_format(int64_t ns, char *out);
/* RFC 3339, dates, "2006-01-02T15:04:05", Unix seconds with a fraction, or a Go
 * duration meaning "that long ago" (Docker's since/until). 0 or -EINVAL. */
int time_parse(const char *text, int64_t *ret_ns);
/* Kernel boot id (36 characters + NUL), read once. */
const char *boot_id(void);
