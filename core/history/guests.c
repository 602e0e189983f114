/* guests.c - processes behind walls of their own. Owner: history.
 *
 * A guest tells its list over its agent and may lie, stall or flood: what it
 * says is kept under its own side only, bounded in rate, with times no later
 * than now; and it is asked less often when it is slow.
 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "history_internal.h"
#include "tabique/error.h"

#define PROCESSES_MAX 4096 /* of one guest that are recorded at all */
#define BIRTHS_MAX 512     /* an interval and guest: more would push others' history out */
#define SLOW_NS NS_PER_SEC
#define BACKOFF_FIRST_NS (2 * NS_PER_SEC)
#define BACKOFF_LAST_NS (60 * NS_PER_SEC)

static bool same_life(const struct process *a, const struct process *b)
{
    return a && b && a->start_ticks == b->start_ticks;
}

static void tell_birth(struct history *history, const struct subject *subject,
                       const struct process *process, int64_t now_ns)
{
    struct process copy = *process; /* shallow: for the call */

    if (copy.started_ns <= 0 || copy.started_ns > now_ns)
        copy.started_ns = now_ns;
    memcpy(copy.container_id, subject->id, sizeof(copy.container_id));
    copy.worker = false;
    (void)store_process_born(history->options.store, subject->id, &copy);
}

/* Tells the store what has changed since `known`; what was not told, for its
 * number, stays out of the new `known` and comes with the next round. */
static void compare(struct history *history, struct subject *subject,
                    const struct process_list *list)
{
    struct store *store = history->options.store;
    struct process_list *known = process_list_new(list->count < PROCESSES_MAX ? list->count : 64);
    int64_t now_ns = clock_real_ns();
    int births = 0;

    for (size_t i = 0; i < list->count && known->count < PROCESSES_MAX; i++) {
        const struct process *process = &list->items[i];
        const struct process *before = process_list_find(subject->known, process->pid);
        bool is_new = !same_life(before, process) ||
                      (!process->kernel_thread && strcmp(before->name, process->name) != 0);

        if (i > 0 && list->items[i - 1].pid == process->pid)
            continue; /* the same number twice is a lie */
        if (is_new && births++ >= BIRTHS_MAX)
            continue; /* comes with the next round */
        if (is_new)
            tell_birth(history, subject, process, now_ns);
        process_copy(process_list_add(known), process);
    }
    for (size_t i = 0; subject->known && i < subject->known->count; i++) {
        const struct process *process = &subject->known->items[i];

        if (!same_life(process_list_find(list, process->pid), process))
            (void)store_process_died(store, subject->id, process->pid, process->start_ticks,
                                     now_ns);
    }
    process_list_unref(subject->known);
    subject->known = known;
    subject->behind = births > BIRTHS_MAX;
}

static void look(struct history *history, struct subject *subject)
{
    const struct history_source *source = &history->options.source;
    int64_t began_ns = clock_mono_ns();
    struct process_list *list = NULL;

    if (!source->processes || began_ns < subject->not_before_ns)
        return;
    /* Rests: nobody has begun or ended there, and asking would be its only work. */
    if (!history__sample(history, subject) && subject->greeted && !subject->behind)
        return;
    int r = source->processes(source->user, subject->id, &list);
    if (r == 0) {
        if (!subject->greeted) {
            /* This side's open lives are of an earlier time: a server before us. */
            (void)store_process_resync(history->options.store, subject->id, list, 0);
            subject->greeted = true;
        }
        compare(history, subject, list);
        process_list_unref(list);
    }
    int64_t end_ns = clock_mono_ns();
    if (r == 0 && end_ns - began_ns < SLOW_NS) {
        subject->backoff_ns = 0;
        return;
    }
    subject->backoff_ns = subject->backoff_ns ? subject->backoff_ns * 2 : BACKOFF_FIRST_NS;
    if (subject->backoff_ns > BACKOFF_LAST_NS)
        subject->backoff_ns = BACKOFF_LAST_NS;
    subject->not_before_ns = end_ns + subject->backoff_ns;
}

/* The machine has stopped, and all in it. */
static void gone(struct history *history, struct subject *subject)
{
    (void)store_process_resync(history->options.store, subject->id, NULL, clock_real_ns());
}

static bool stopping(struct history *history)
{
    pthread_mutex_lock(&history->lock);
    bool stop = history->stop;
    pthread_mutex_unlock(&history->lock);
    return stop;
}

void *history__guest_main(void *user)
{
    struct history *history = user;
    int64_t due_ns = clock_mono_ns();

    do {
        history__subjects(history, true, &history->guest_subjects, &history->guest_round, gone);
        for (struct subject *s = history->guest_subjects; s && !stopping(history); s = s->next)
            look(history, s);
    } while (history__wait(history, &due_ns, history->options.guest_interval_ns));
    return NULL;
}

/* --- at the start -------------------------------------------------------------------------- */

struct open_sides {
    size_t count;
    char (*ids)[65];
};

static int collect_side(void *user, const char *side)
{
    struct open_sides *sides = user;

    if (side[0] == '\0' || strlen(side) >= sizeof(sides->ids[0]))
        return 0;
    sides->ids = mem_grow(sides->ids, sides->count + 1, sizeof(sides->ids[0]));
    memcpy(sides->ids[sides->count++], side, strlen(side) + 1);
    return 0;
}

/* Lives left open by guests that run no longer. */
void history__guests_begin(struct history *history)
{
    struct open_sides sides = {0};
    struct error err = ERROR_INIT;

    if (store_open_sides(history->options.store, collect_side, &sides, &err) < 0)
        log_warning("history: %s", err.message);
    history__subjects(history, true, &history->guest_subjects, &history->guest_round, NULL);
    for (size_t i = 0; i < sides.count; i++) {
        const struct subject *subject = history->guest_subjects;

        while (subject && strcmp(subject->id, sides.ids[i]) != 0)
            subject = subject->next;
        if (!subject)
            (void)store_process_resync(history->options.store, sides.ids[i], NULL, 0);
    }
    free(sides.ids);
}
