/* tracker.h - from single events to lives of processes. Internal to core/host.
 *
 * A fork says little: the name and command of what is about to be come with its
 * exec. So a birth is told when the exec has come, when a short settling time
 * has passed without one, or when the process dies first, whichever is first.
 * Of one that is gone before it could be read, its parent's name, command, user
 * and container are told, which is what it was: it never got to be anything
 * else, or too briefly to be seen.
 *
 * Without events the tracker compares whole lists (tracker_reconcile), which is
 * also how it recovers when the kernel had to drop some.
 *
 * Threads: one. Times: monotonic, unless said.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "reader.h"
#include "tabique/host.h"

enum tracker_event_kind { TRACKER_FORK, TRACKER_EXEC, TRACKER_EXIT, TRACKER_CHANGED };

struct tracker_event {
    enum tracker_event_kind kind;
    pid_t pid, tgid; /* thread and process; FORK: the child's */
    pid_t ppid;      /* FORK: the parent process */
    int64_t mono_ns; /* when, by the kernel; 0 unknown */
};

#define TRACKER_SETTLE_NS (INT64_C(30) * 1000 * 1000)

struct tracker;

/* reader: for single processes only; stays the caller's. */
struct tracker *tracker_new(struct process_reader *reader, sampler_change_fn *fn, void *user);
void tracker_free(struct tracker *tracker);
void tracker_event(struct tracker *tracker, const struct tracker_event *event, int64_t now_ns);
/* What is due; the time at which to call again, or INT64_MAX. */
int64_t tracker_tick(struct tracker *tracker, int64_t now_ns);
/* list: all processes, read after the last event given here had happened. */
void tracker_reconcile(struct tracker *tracker, const struct process_list *list, int64_t now_ns);
size_t tracker_count(const struct tracker *tracker);
