/* seccomp_profile.h - seccomp filters for plan_process.seccomp.
 *
 * The server's side only (libseccomp); the launcher just installs what it gets.
 * The default is Docker's in effect. Filters depend on the container's
 * capabilities; results for the default are cached. Threads: any.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct error;

/* caps: the container's bounding set, bit n = capability n. free(*ret). */
int seccomp_default(uint64_t caps, uint8_t **ret, size_t *ret_size, struct error *err);
/* A profile in Docker's JSON format (--security-opt seccomp=FILE). -EINVAL with
 * what is wrong in it. */
int seccomp_from_json(const char *text, size_t length, uint64_t caps, uint8_t **ret, size_t *ret_size,
                      struct error *err);
