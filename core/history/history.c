/* history.c - the recorder: events, the host, samples. Owner: history. */
#include "history.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "history_internal.h"
#include "tabique/error.h"
#include "tabique/event.h"

#define INTERVAL_DEFAULT_NS NS_PER_SEC
/* The number of the host's processes is all that is wanted of a list when births
 * and deaths come by themselves: one this old will do. */
#define COUNT_AGE_NS (10 * NS_PER_SEC)

/* --- sinks ----------------------------------------------------------------------------- */

static void on_events(void *user, const struct event *const *events, size_t count)
{
    struct history *history = user;
    int r = store_put_events(history->options.store, events, count);

    if (r < 0)
        log_error("history: %zu events were not written: %s", count, strerror(-r));
}

static void on_change(void *user, enum process_change change, const struct process *process,
                      int64_t end_ns)
{
    struct history *history = user;
    struct store *store = history->options.store;

    if (change == PROCESS_BORN)
        (void)store_process_born(store, "", process); /* the store logs its own failures */
    else
        (void)store_process_died(store, "", process->pid, process->start_ticks, end_ns);
}

/* --- time ---------------------------------------------------------------------------------- */

bool history__wait(struct history *history, int64_t *due_ns, int64_t interval_ns)
{
    int64_t now_ns = clock_mono_ns();

    /* A fixed beat; beats missed (a slow disk, a sleep) are not made up for. */
    *due_ns += interval_ns;
    if (*due_ns < now_ns)
        *due_ns = now_ns + interval_ns;
    struct timespec deadline = {.tv_sec = *due_ns / NS_PER_SEC, .tv_nsec = *due_ns % NS_PER_SEC};

    pthread_mutex_lock(&history->lock);
    while (!history->stop &&
           pthread_cond_timedwait(&history->wake, &history->lock, &deadline) != ETIMEDOUT)
        ;
    bool stop = history->stop;
    pthread_mutex_unlock(&history->lock);
    return !stop;
}

/* --- containers --------------------------------------------------------------------------------
 */

struct listing {
    bool own_kernel;
    struct subject **subjects;
    uint64_t round;
};

static int list_container(void *user, const char *id, bool own_kernel)
{
    struct listing *listing = user;
    struct subject *subject = *listing->subjects;

    if (own_kernel != listing->own_kernel || strlen(id) >= sizeof(subject->id))
        return 0;
    while (subject && strcmp(subject->id, id) != 0)
        subject = subject->next;
    if (!subject) {
        subject = mem_new(struct subject);
        memcpy(subject->id, id, strlen(id) + 1);
        subject->next = *listing->subjects;
        *listing->subjects = subject;
    }
    subject->round = listing->round;
    return 0;
}

static void subject_free(struct subject *subject)
{
    process_list_unref(subject->known);
    free(subject);
}

void history__subjects(struct history *history, bool own_kernel, struct subject **subjects,
                       uint64_t *round, void (*gone)(struct history *, struct subject *))
{
    const struct history_source *source = &history->options.source;
    struct listing listing = {.own_kernel = own_kernel, .subjects = subjects, .round = ++*round};

    if (source->containers && source->containers(source->user, list_container, &listing) < 0)
        return; /* not known who is gone */
    for (struct subject **link = subjects; *link;) {
        struct subject *subject = *link;

        if (subject->round == *round) {
            link = &subject->next;
            continue;
        }
        *link = subject->next;
        if (gone)
            gone(history, subject);
        subject_free(subject);
    }
}

void history__subjects_free(struct subject **subjects)
{
    struct subject *next;

    for (struct subject *subject = *subjects; subject; subject = next) {
        next = subject->next;
        subject_free(subject);
    }
    *subjects = NULL;
}

bool history__sample(struct history *history, struct subject *subject)
{
    const struct history_source *source = &history->options.source;
    struct history_reading reading = {0};

    if (!source->reading || source->reading(source->user, subject->id, &reading) < 0)
        return true;
    struct store_sample sample = {
        .time_ns = reading.sampled_ns > 0 ? reading.sampled_ns : clock_real_ns(),
        .memory_bytes = reading.memory_bytes,
        .net_rx_bytes = reading.net_rx_bytes,
        .net_tx_bytes = reading.net_tx_bytes,
        .block_read_bytes = reading.block_read_bytes,
        .block_write_bytes = reading.block_write_bytes,
        .pids = reading.pids,
    };
    int64_t elapsed_ns = sample.time_ns - subject->cpu_at_ns;
    if (subject->cpu_at_ns > 0 && elapsed_ns > 0 && reading.cpu_total_ns > subject->cpu_ns)
        sample.cpu_percent =
            (double)(reading.cpu_total_ns - subject->cpu_ns) * 100.0 / (double)elapsed_ns;
    subject->cpu_at_ns = sample.time_ns;
    subject->cpu_ns = reading.cpu_total_ns;
    (void)store_put_sample(history->options.store, subject->id, &sample);
    return !reading.rested;
}

/* --- the host
 * -------------------------------------------------------------------------------------- */

static void sample_host(struct history *history, struct subject *host)
{
    struct sampler *sampler = history->options.sampler;
    struct process_list *list = NULL;
    struct host_stats stats;

    if (sampler) {
        /* Polling: this very reading is what finds births and deaths. */
        bool polling = str_equal(sampler_source(sampler), "polling");
        (void)sampler_snapshot(sampler, polling ? -1 : COUNT_AGE_NS, &list, NULL);
    }
    if (host_stats(&stats) == 0) {
        uint64_t busy_ns = stats.cpu_total_ns - stats.cpu_idle_ns;
        struct store_sample sample = {
            .time_ns = stats.sampled_ns,
            .memory_bytes = stats.memory_total - stats.memory_available,
            .net_rx_bytes = stats.net_rx_bytes,
            .net_tx_bytes = stats.net_tx_bytes,
            .block_read_bytes = stats.block_read_bytes,
            .block_write_bytes = stats.block_write_bytes,
            .pids = list ? (uint32_t)list->count : 0,
        };
        int64_t elapsed_ns = stats.sampled_ns - host->cpu_at_ns;
        if (host->cpu_at_ns > 0 && elapsed_ns > 0 && busy_ns > host->cpu_ns)
            sample.cpu_percent = (double)(busy_ns - host->cpu_ns) * 100.0 / (double)elapsed_ns;
        host->cpu_at_ns = stats.sampled_ns;
        host->cpu_ns = busy_ns;
        (void)store_put_sample(history->options.store, "", &sample);
    }
    process_list_unref(list);
}

static void *host_main(void *user)
{
    struct history *history = user;
    struct subject host = {0};
    int64_t due_ns = clock_mono_ns();

    do {
        sample_host(history, &host);
        history__subjects(history, false, &history->host_subjects, &history->host_round, NULL);
        for (struct subject *s = history->host_subjects; s; s = s->next)
            history__sample(history, s);
    } while (history__wait(history, &due_ns, history->options.interval_ns));
    return NULL;
}

/* --- starting and stopping
 * --------------------------------------------------------------------------- */

/* Whoever died while no recorder ran. */
static int resync_host(struct history *history, struct error *err)
{
    struct process_list *list = NULL;

    if (!history->options.sampler)
        return 0;
    int r = sampler_snapshot(history->options.sampler, 0, &list, err);
    if (r < 0)
        return r;
    r = store_process_resync(history->options.store, "", list, 0);
    process_list_unref(list);
    return r < 0 ? error_errno(err, -r, "cannot take up the history of processes") : 0;
}

int history_start(const struct history_options *options, struct history **ret, struct error *err)
{
    struct history *history = mem_new(struct history);
    pthread_condattr_t attributes;

    history->options = *options;
    if (history->options.interval_ns <= 0)
        history->options.interval_ns = INTERVAL_DEFAULT_NS;
    if (history->options.guest_interval_ns <= 0)
        history->options.guest_interval_ns = history->options.interval_ns;
    pthread_mutex_init(&history->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&history->wake, &attributes);
    pthread_condattr_destroy(&attributes);

    int r = resync_host(history, err);
    if (r < 0) {
        history_stop(history);
        return r;
    }
    history__guests_begin(history);
    if (options->bus)
        event_bus_set_batch_sink(options->bus, on_events, history);
    if (options->sampler)
        sampler_on_change(options->sampler, on_change, history);
    history->host_started = pthread_create(&history->host_thread, NULL, host_main, history) == 0;
    history->guest_started =
        pthread_create(&history->guest_thread, NULL, history__guest_main, history) == 0;
    if (!history->host_started || !history->guest_started) {
        history_stop(history);
        return error_set(err, EAGAIN, "cannot start the recorder's threads");
    }
    *ret = history;
    return 0;
}

void history_stop(struct history *history)
{
    if (!history)
        return;
    if (history->options.sampler)
        sampler_on_change(history->options.sampler, NULL, NULL);
    pthread_mutex_lock(&history->lock);
    history->stop = true;
    pthread_cond_broadcast(&history->wake);
    pthread_mutex_unlock(&history->lock);
    if (history->host_started)
        pthread_join(history->host_thread, NULL);
    if (history->guest_started)
        pthread_join(history->guest_thread, NULL);
    if (history->options.bus)
        event_bus_set_batch_sink(history->options.bus, NULL, NULL);
    history__subjects_free(&history->host_subjects);
    history__subjects_free(&history->guest_subjects);
    pthread_cond_destroy(&history->wake);
    pthread_mutex_destroy(&history->lock);
    free(history);
}

/* --- playback
 * -------------------------------------------------------------------------------------------- */

int history_container_at(struct store *store, const char *container_id, bool own_kernel,
                         int64_t at_ns, struct process_list **ret, struct error *err)
{
    CLEANUP(process_list_unrefp) struct process_list *all = NULL;

    int r = store_processes_at(store, own_kernel ? container_id : "", at_ns, &all, err);
    if (r < 0)
        return r;
    if (own_kernel) {
        *ret = TAKE_PTR(all);
        return 0;
    }
    struct process_list *own = process_list_new(8);
    own->sampled_ns = all->sampled_ns;
    for (size_t i = 0; i < all->count; i++) {
        if (strcmp(all->items[i].container_id, container_id) == 0)
            process_copy(process_list_add(own), &all->items[i]);
    }
    *ret = own;
    return 0;
}
