/* loop.h - a small epoll loop.
 *
 * Owner: whoever created it; all callbacks run in the thread that calls
 * loop_run(). loop_add/mod/del/timer are called from that thread, or before it
 * runs; loop_post() and loop_stop() from any thread (or signal handler: stop
 * only). A source may delete itself or others inside a callback.
 * Times are monotonic nanoseconds; a timer's first_ns counts from now.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct loop_source;

typedef void loop_fd_fn(struct loop_source *source, int fd, uint32_t events, void *user);
typedef void loop_timer_fn(struct loop_source *source, void *user);
typedef void loop_task_fn(void *user);

int loop_new(struct loop **ret);
/* Frees sources; closes no fd that was added; tasks not run yet are dropped. */
void loop_free(struct loop *loop);

/* events: EPOLLIN, EPOLLOUT, ...; 0 watches nothing, not even errors. The fd stays
 * the caller's, who removes the source before closing it. ret may be NULL. */
int loop_add_fd(struct loop *loop, int fd, uint32_t events, loop_fd_fn *fn, void *user,
                struct loop_source **ret);
int loop_set_events(struct loop_source *source, uint32_t events);
/* interval_ns 0: once (the source then stays, idle, until re-armed or deleted). */
int loop_add_timer(struct loop *loop, int64_t first_ns, int64_t interval_ns, loop_timer_fn *fn,
                   void *user, struct loop_source **ret);
int loop_set_timer(struct loop_source *source, int64_t first_ns, int64_t interval_ns);
void loop_remove(struct loop_source *source); /* NULL is fine */

/* Runs fn(user) in the loop's thread soon, in the order of posting. */
void loop_post(struct loop *loop, loop_task_fn *fn, void *user);
/* Until loop_stop(), which also counts when called before; tasks posted before the
 * stop are still run. 0 or -errno. */
int loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
