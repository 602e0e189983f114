/* tracker.c - from single events to lives of processes. Owner: host. */
#include "tracker.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"

#define BUCKETS 4096
/* A start time has the grain of the kernel's ticks, 10 ms; an event is stamped
 * a little after it. Pids are not given out again within such a time. */
#define START_GRAIN_NS (20 * NS_PER_MS)
/* How soon to look again at a process whose first thread ended before others. */
#define LINGER_NS (100 * NS_PER_MS)

struct life {
    struct life *next;          /* in its bucket */
    struct life *newer, *older; /* in the queue of those that settle */
    struct process process;
    int64_t start_ns; /* by the kernel's event, or from the ticks */
    int64_t due_ns;
    int64_t end_ns; /* when its first thread ended; 0 not */
    uint64_t seen;
    bool told;    /* birth */
    bool threads; /* has, or may have, more than one */
};

struct tracker {
    struct process_reader *reader;
    sampler_change_fn *fn;
    void *user;
    size_t count;
    size_t lingering;
    uint64_t round;
    uint64_t tick_ns;
    struct life *oldest, *newest; /* settling */
    struct life *buckets[BUCKETS];
};

struct tracker *tracker_new(struct process_reader *reader, sampler_change_fn *fn, void *user)
{
    struct tracker *tracker = mem_new(struct tracker);
    long ticks = sysconf(_SC_CLK_TCK);

    tracker->reader = reader;
    tracker->fn = fn;
    tracker->user = user;
    tracker->tick_ns = (uint64_t)(NS_PER_SEC / (ticks > 0 ? ticks : 100));
    return tracker;
}

size_t tracker_count(const struct tracker *tracker)
{
    return tracker->count;
}

/* --- clocks ---------------------------------------------------------------------- */

/* Events are stamped with the monotonic clock, start times with the boot clock,
 * which also runs while the machine sleeps. */
static int64_t suspended_ns(void)
{
    struct timespec boot, mono;

    clock_gettime(CLOCK_MONOTONIC, &mono);
    clock_gettime(CLOCK_BOOTTIME, &boot);
    return ((int64_t)boot.tv_sec - mono.tv_sec) * NS_PER_SEC + boot.tv_nsec - mono.tv_nsec;
}

static int64_t mono_of_ticks(const struct tracker *tracker, uint64_t ticks)
{
    uint64_t ns;

    if (__builtin_mul_overflow(ticks, tracker->tick_ns, &ns) || ns > INT64_MAX)
        return INT64_MAX;
    return (int64_t)ns - suspended_ns();
}

static int64_t real_of_mono(int64_t mono_ns)
{
    return clock_real_ns() - (clock_mono_ns() - mono_ns);
}

/* --- the table --------------------------------------------------------------------- */

static struct life *find(const struct tracker *tracker, pid_t pid)
{
    struct life *life = tracker->buckets[(unsigned)pid % BUCKETS];

    while (life && life->process.pid != pid)
        life = life->next;
    return life;
}

static struct life *add(struct tracker *tracker, pid_t pid)
{
    struct life *life = mem_new(struct life);
    struct life **bucket = &tracker->buckets[(unsigned)pid % BUCKETS];

    life->process.pid = pid;
    life->next = *bucket;
    *bucket = life;
    tracker->count++;
    return life;
}

static void settle_add(struct tracker *tracker, struct life *life, int64_t now_ns)
{
    /* One and the same delay for all: the queue is in the order of due times. */
    life->due_ns = now_ns + TRACKER_SETTLE_NS;
    life->older = tracker->newest;
    if (tracker->newest)
        tracker->newest->newer = life;
    else
        tracker->oldest = life;
    tracker->newest = life;
}

static void settle_remove(struct tracker *tracker, struct life *life)
{
    if (life->due_ns == 0)
        return;
    if (life->older)
        life->older->newer = life->newer;
    else
        tracker->oldest = life->newer;
    if (life->newer)
        life->newer->older = life->older;
    else
        tracker->newest = life->older;
    life->older = life->newer = NULL;
    life->due_ns = 0;
}

static void life_free(struct life *life)
{
    process_clear(&life->process);
    free(life);
}

static void forget(struct tracker *tracker, struct life *life)
{
    struct life **link = &tracker->buckets[(unsigned)life->process.pid % BUCKETS];

    while (*link != life)
        link = &(*link)->next;
    *link = life->next;
    settle_remove(tracker, life);
    if (life->end_ns)
        tracker->lingering--;
    tracker->count--;
    life_free(life);
}

void tracker_free(struct tracker *tracker)
{
    if (!tracker)
        return;
    for (size_t i = 0; i < BUCKETS; i++) {
        struct life *next;
        for (struct life *life = tracker->buckets[i]; life; life = next) {
            next = life->next;
            life_free(life);
        }
    }
    free(tracker);
}

/* --- births and deaths ----------------------------------------------------------- */

/* Reads the process; false when it is gone, or the pid is another's by now. */
static bool refresh(struct tracker *tracker, struct life *life)
{
    struct process process;

    if (process_reader_one(tracker->reader, life->process.pid, &process) < 0)
        return false;
    bool other =
        life->told ? process.start_ticks != life->process.start_ticks
                   : mono_of_ticks(tracker, process.start_ticks) > life->start_ns + START_GRAIN_NS;
    if (other) {
        process_clear(&process);
        return false;
    }
    /* A zombie has no command line any more, and one whose father has died in
     * between has another: what the fork told is nearer the truth. */
    if (process.state == 'Z' && life->process.command &&
        strcmp(process.name, life->process.name) == 0) {
        free(process.command);
        process.command = mem_strdup(life->process.command);
    }
    if (!life->told && life->process.ppid > 0)
        process.ppid = life->process.ppid;
    /* Its parent's number inside is not in its own files. */
    const struct life *parent = find(tracker, process.ppid);
    if (parent && parent->process.pid_namespace != 0)
        process.inner_ppid =
            parent->process.pid_namespace == process.pid_namespace ? parent->process.inner_pid : 0;
    process_clear(&life->process);
    life->process = process;
    if (process.threads > 1)
        life->threads = true;
    return true;
}

static void tell_birth(struct tracker *tracker, struct life *life)
{
    settle_remove(tracker, life);
    if (life->told)
        return;
    (void)refresh(tracker, life); /* else: as it was forked */
    life->told = true;
    if (tracker->fn)
        tracker->fn(tracker->user, PROCESS_BORN, &life->process, 0);
}

static void tell_death(struct tracker *tracker, struct life *life, int64_t end_ns)
{
    tell_birth(tracker, life);
    if (tracker->fn) {
        int64_t real = real_of_mono(end_ns);
        if (real < life->process.started_ns)
            real = life->process.started_ns;
        tracker->fn(tracker->user, PROCESS_DIED, &life->process, real);
    }
    forget(tracker, life);
}

/* --- events ------------------------------------------------------------------------ */

/* What is known of a child before it could be read. */
static void inherit(struct tracker *tracker, struct life *life, pid_t ppid)
{
    const struct life *parent = find(tracker, ppid);
    struct process *process = &life->process;
    pid_t pid = process->pid;
    int64_t boot_ns = life->start_ns + suspended_ns();

    if (parent) {
        process_copy(process, &parent->process);
        process->pid = pid;
        process->inner_ppid = parent->process.inner_pid;
        /* Only in the reader's own namespace is its number inside known. */
        if (parent->process.inner_pid != parent->process.pid)
            process->inner_pid = 0;
        else
            process->inner_pid = pid;
    } else {
        process->user = mem_strdup("?");
        process->command = mem_strdup("");
        process->inner_pid = pid;
        process->inner_ppid = ppid;
    }
    process->ppid = ppid;
    process->start_ticks = boot_ns > 0 ? (uint64_t)boot_ns / tracker->tick_ns : 0;
    process->started_ns = real_of_mono(life->start_ns);
    process->state = 'R';
    process->threads = 1;
    process->cpu_percent = 0;
    process->cpu_ns = process->memory_bytes = process->virtual_bytes = process->pss_bytes = 0;
    process->io_read_bytes = process->io_write_bytes = 0;
}

static void on_fork(struct tracker *tracker, const struct tracker_event *event, int64_t at_ns,
                    int64_t now_ns)
{
    struct life *life = find(tracker, event->tgid);

    if (event->pid != event->tgid) {
        if (life)
            life->threads = true;
        return;
    }
    if (life) {
        /* A list read meanwhile had it already; or its death was never told. */
        if (life->start_ns + START_GRAIN_NS >= at_ns)
            return;
        tell_death(tracker, life, at_ns);
    }
    life = add(tracker, event->tgid);
    life->start_ns = at_ns;
    inherit(tracker, life, event->ppid);
    settle_add(tracker, life, now_ns);
}

static void on_exec(struct tracker *tracker, const struct tracker_event *event, int64_t at_ns)
{
    struct life *life = find(tracker, event->tgid);

    if (!life) {
        struct process process;

        if (process_reader_one(tracker->reader, event->tgid, &process) < 0)
            return;
        life = add(tracker, event->tgid);
        life->process = process;
        life->start_ns = mono_of_ticks(tracker, process.start_ticks);
        life->told = true;
        if (tracker->fn)
            tracker->fn(tracker->user, PROCESS_BORN, &life->process, 0);
        return;
    }
    if (life->start_ns > at_ns + START_GRAIN_NS)
        return; /* of one that had the pid before */
    if (!life->told) {
        tell_birth(tracker, life);
        return;
    }
    if (refresh(tracker, life) && tracker->fn)
        tracker->fn(tracker->user, PROCESS_BORN, &life->process, 0);
}

/* Has the whole process ended, not just its first thread? */
static bool is_over(struct tracker *tracker, const struct life *life)
{
    char state;
    int threads;
    uint64_t start_ticks;

    if (process_reader_peek(tracker->reader, life->process.pid, &state, &threads, &start_ticks) < 0)
        return true;
    if (life->told && start_ticks != life->process.start_ticks)
        return true;
    return (state == 'Z' || state == 'X') && threads <= 1;
}

static void on_exit_event(struct tracker *tracker, const struct tracker_event *event, int64_t at_ns)
{
    struct life *life = find(tracker, event->tgid);

    if (!life || life->start_ns > at_ns + START_GRAIN_NS)
        return;
    if (event->pid != event->tgid) {
        if (life->end_ns && is_over(tracker, life))
            tell_death(tracker, life, at_ns);
        return;
    }
    /* The first thread may end before the others, and an exec by another thread
     * ends it while the process goes on: only /proc tells. */
    if (life->threads && !is_over(tracker, life)) {
        if (!life->end_ns) {
            life->end_ns = at_ns;
            tracker->lingering++;
        }
        return;
    }
    tell_death(tracker, life, at_ns);
}

void tracker_event(struct tracker *tracker, const struct tracker_event *event, int64_t now_ns)
{
    int64_t at_ns = event->mono_ns > 0 && event->mono_ns <= now_ns ? event->mono_ns : now_ns;

    switch (event->kind) {
    case TRACKER_FORK:
        on_fork(tracker, event, at_ns, now_ns);
        break;
    case TRACKER_EXEC:
        on_exec(tracker, event, at_ns);
        break;
    case TRACKER_EXIT:
        on_exit_event(tracker, event, at_ns);
        break;
    case TRACKER_CHANGED:
        break;
    }
}

/* --- time ---------------------------------------------------------------------------- */

/* Those whose first thread is gone: a last thread's event can come before the
 * kernel has let go of it. */
static void look_at_lingering(struct tracker *tracker, int64_t now_ns)
{
    for (size_t i = 0; i < BUCKETS; i++) {
        struct life *next;
        for (struct life *life = tracker->buckets[i]; life; life = next) {
            char state;
            int threads;
            uint64_t ticks;

            next = life->next;
            if (!life->end_ns)
                continue;
            if (is_over(tracker, life)) {
                tell_death(tracker, life, now_ns);
            } else if (process_reader_peek(tracker->reader, life->process.pid, &state, &threads,
                                           &ticks) == 0 &&
                       state != 'Z' && state != 'X') {
                life->end_ns = 0; /* it was an exec by another thread */
                tracker->lingering--;
            }
        }
    }
}

int64_t tracker_tick(struct tracker *tracker, int64_t now_ns)
{
    while (tracker->oldest && tracker->oldest->due_ns <= now_ns)
        tell_birth(tracker, tracker->oldest);
    if (tracker->lingering > 0)
        look_at_lingering(tracker, now_ns);

    int64_t next = tracker->oldest ? tracker->oldest->due_ns : INT64_MAX;
    if (tracker->lingering > 0 && now_ns + LINGER_NS < next)
        next = now_ns + LINGER_NS;
    return next;
}

/* --- whole lists --------------------------------------------------------------------- */

/* Without an exec event a new name is the sign of a new program, or a command
 * line where there was none (it was read in the middle of an exec). Kernel
 * threads change their names with the work they do, and a command line alone is
 * rewritten by daemons as a status line: both would fill the history. */
static bool is_other_program(const struct process *before, const struct process *now)
{
    if (now->kernel_thread)
        return false;
    return strcmp(before->name, now->name) != 0 ||
           (before->command[0] == '[' && now->command[0] != '[' && now->state != 'Z');
}

static void reconcile_one(struct tracker *tracker, const struct process *process, int64_t now_ns)
{
    struct life *life = find(tracker, process->pid);
    bool same = false;

    if (life) {
        int64_t start_ns = mono_of_ticks(tracker, process->start_ticks);

        same = life->told ? life->process.start_ticks == process->start_ticks
                          : start_ns <= life->start_ns + START_GRAIN_NS;
    }
    if (life && !same) {
        tell_death(tracker, life, now_ns);
        life = NULL;
    }
    if (!life) {
        life = add(tracker, process->pid);
        life->start_ns = mono_of_ticks(tracker, process->start_ticks);
    }
    life->seen = tracker->round;
    if (process->threads > 1)
        life->threads = true;
    bool other_program = life->told && is_other_program(&life->process, process);
    if (life->told && !other_program)
        return;
    settle_remove(tracker, life);
    process_clear(&life->process);
    process_copy(&life->process, process);
    life->told = true;
    if (tracker->fn)
        tracker->fn(tracker->user, PROCESS_BORN, &life->process, 0);
}

void tracker_reconcile(struct tracker *tracker, const struct process_list *list, int64_t now_ns)
{
    tracker->round++;
    for (size_t i = 0; i < list->count; i++)
        reconcile_one(tracker, &list->items[i], now_ns);
    for (size_t i = 0; i < BUCKETS; i++) {
        struct life *next;
        for (struct life *life = tracker->buckets[i]; life; life = next) {
            next = life->next;
            if (life->seen != tracker->round)
                tell_death(tracker, life, now_ns);
        }
    }
}
