/* workers.h - a small pool of threads for work that may block, now or later.
 *
 * Threads are made when needed, at most `max`, and leave after some idle
 * seconds. Tasks of one pool may run at the same time and in any order.
 */
#pragma once

#include <stdint.h>

struct workers;
typedef void workers_fn(void *user);

struct workers *workers_new(const char *name, int max);
void workers_post(struct workers *workers, workers_fn *fn, void *user);
void workers_post_after(struct workers *workers, int64_t delay_ns, workers_fn *fn, void *user);
/* Runs what is still waiting, due or not (tasks look for themselves whether they
 * still should), and waits for all of it. What is posted later runs at once, in
 * the poster's thread. */
void workers_stop(struct workers *workers);
void workers_free(struct workers *workers);
