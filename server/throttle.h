/* throttle.h - failures make the next attempt wait, longer each time.
 *
 * Keys are texts ("address|user", "address"). The first few failures are free;
 * then 1 s, 2 s, 4 s ... up to the limit; a key is forgotten an hour after its
 * last failure. A fixed number of keys: when full, the one idle longest goes.
 * Threads: the caller's lock.
 */
#pragma once

#include <stdint.h>

struct throttle;
struct throttle *throttle_new(void);
void throttle_free(struct throttle *throttle);
/* Nanoseconds still to wait; 0: go ahead. */
int64_t throttle_wait(struct throttle *throttle, const char *key, int64_t now_ns);
void throttle_failed(struct throttle *throttle, const char *key, int free_failures, int64_t now_ns);
void throttle_succeeded(struct throttle *throttle, const char *key);
