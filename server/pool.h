/* pool.h - worker threads: few while idle, more while handlers block.
 *
 * Starts with none; makes one when a job waits and nobody is free, up to `max`;
 * a thread that finds nothing to do for a while ends. Threads: any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct pool;
typedef void pool_fn(void *user);

struct pool *pool_new(const char *name, size_t max, size_t queue_max, size_t stack_size);
/* -EAGAIN when the queue is full, -ESHUTDOWN once stopping. */
int pool_submit(struct pool *pool, pool_fn *fn, void *user);
bool pool_has_spare(struct pool *pool); /* nothing waits and a thread is, or could be made, free */
void pool_counts(struct pool *pool, size_t *ret_threads, size_t *ret_busy, size_t *ret_queued);
/* Lets running and queued jobs end, at most timeout_ms; false if some still run
 * (the pool is then not freed). */
bool pool_stop(struct pool *pool, int timeout_ms);
