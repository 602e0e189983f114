/* sampler.c - one reader of /proc for everybody, and the thread that knows of
 * every birth and death. Owner: host.
 *
 * Two readers, so that neither waits for the other: the shared one, with its
 * memory, used by whoever takes a snapshot (one at a time: `reading`), and the
 * thread's own for single processes, used by the tracker.
 *
 * The thread sleeps until the kernel's connector has news, a birth is due to be
 * told, or (polling) a snapshot taken by somebody is there to be compared.
 */
#include "tabique/host.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "connector.h"
#include "reader.h"
#include "tabique/error.h"
#include "tracker.h"

#define INTERVAL_DEFAULT_NS NS_PER_SEC
/* With the connector an exec is told; what it cannot tell (a rewritten title, a
 * move between cgroups) may be this many samples old. */
#define REFRESH_CONNECTOR 30
#define REFRESH_POLLING 10
#define STALE_MAX 1024
#define DRAIN_MAX 4096       /* events handled before looking at anything else */
#define RESYNC_NS NS_PER_SEC /* at most so often */

struct sampler {
    int proc_fd;
    int connector_fd;
    int wake_fd;
    int64_t interval_ns;
    pthread_t thread;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stop;
    /* snapshots */
    bool reading;
    struct process_reader *reader; /* of whoever set `reading` */
    struct process_list *current;
    int64_t current_ns;           /* when its reading began, monotonic */
    struct process_list *compare; /* polling: for the thread */
    /* what the connector says of programs and users that changed */
    pid_t stale[STALE_MAX];
    size_t stale_count;
    bool stale_all;

    /* the listener; held while it is called */
    pthread_mutex_t listener_lock;
    sampler_change_fn *listener;
    void *listener_user;
    bool listener_new;

    /* the thread's own */
    struct process_reader *single;
    struct tracker *tracker;
    bool resync;
    int64_t resync_after_ns;
};

/* --- snapshots ------------------------------------------------------------------------ */

static int read_now(struct sampler *sampler, struct error *err)
{
    /* Called with lock held and `reading` set; returns so. */
    pid_t stale[STALE_MAX];
    size_t stale_count = sampler->stale_count;
    bool stale_all = sampler->stale_all;
    struct process_list *list = NULL;
    int64_t began = clock_mono_ns();

    memcpy(stale, sampler->stale, stale_count * sizeof(stale[0]));
    sampler->stale_count = 0;
    sampler->stale_all = false;
    pthread_mutex_unlock(&sampler->lock);

    if (stale_all)
        process_reader_forget(sampler->reader, NULL, 0);
    else
        process_reader_forget(sampler->reader, stale, stale_count);
    int r = process_reader_read(sampler->reader, NULL, 0, &list, err);

    pthread_mutex_lock(&sampler->lock);
    if (r < 0)
        return r;
    process_list_unref(sampler->current);
    sampler->current = list;
    sampler->current_ns = began;
    if (sampler->connector_fd < 0) {
        process_list_unref(sampler->compare);
        sampler->compare = process_list_ref(list);
        eventfd_write(sampler->wake_fd, 1);
    }
    return 0;
}

int sampler_snapshot(struct sampler *sampler, int64_t max_age_ns, struct process_list **ret,
                     struct error *err)
{
    int64_t age = max_age_ns < 0 ? sampler->interval_ns : max_age_ns;
    int64_t not_before = clock_mono_ns() - age;
    int r = 0;

    pthread_mutex_lock(&sampler->lock);
    for (;;) {
        if (sampler->current && sampler->current_ns >= not_before) {
            *ret = process_list_ref(sampler->current);
            break;
        }
        if (sampler->reading) {
            pthread_cond_wait(&sampler->changed, &sampler->lock);
            continue;
        }
        sampler->reading = true;
        r = read_now(sampler, err);
        sampler->reading = false;
        pthread_cond_broadcast(&sampler->changed);
        if (r < 0)
            break;
    }
    pthread_mutex_unlock(&sampler->lock);
    return r;
}

/* --- the thread -------------------------------------------------------------------------- */

static void mark_stale(struct sampler *sampler, const struct tracker_event *events, int count)
{
    pthread_mutex_lock(&sampler->lock);
    for (int i = 0; i < count; i++) {
        if (events[i].kind != TRACKER_EXEC && events[i].kind != TRACKER_CHANGED)
            continue;
        if (sampler->stale_count < STALE_MAX)
            sampler->stale[sampler->stale_count++] = events[i].tgid;
        else
            sampler->stale_all = true;
    }
    pthread_mutex_unlock(&sampler->lock);
}

/* Everything that is waiting, within reason. */
static void drain(struct sampler *sampler)
{
    struct tracker_event events[32];

    for (int handled = 0; handled < DRAIN_MAX;) {
        int n = connector_read(sampler->connector_fd, events, ARRAY_SIZE(events));
        if (n == 0)
            return;
        if (n < 0) {
            if (n != -ENOBUFS)
                log_warning("process connector: %s", strerror(-n));
            sampler->resync = true;
            pthread_mutex_lock(&sampler->lock);
            sampler->stale_all = true;
            pthread_mutex_unlock(&sampler->lock);
            if (n != -ENOBUFS)
                return;
            continue;
        }
        handled += n;
        mark_stale(sampler, events, n);
        pthread_mutex_lock(&sampler->listener_lock);
        if (sampler->tracker) {
            for (int i = 0; i < n; i++)
                tracker_event(sampler->tracker, &events[i], clock_mono_ns());
        }
        pthread_mutex_unlock(&sampler->listener_lock);
    }
}

/* A listener that has just come, events that were lost: compare with all. */
static void catch_up(struct sampler *sampler)
{
    struct process_list *list = NULL;
    struct error err = ERROR_INIT;

    sampler->resync = false;
    sampler->resync_after_ns = clock_mono_ns() + RESYNC_NS;
    if (sampler_snapshot(sampler, 0, &list, &err) < 0) {
        log_warning("process list: %s", err.message);
        sampler->resync = true;
        return;
    }
    pthread_mutex_lock(&sampler->listener_lock);
    if (sampler->tracker)
        tracker_reconcile(sampler->tracker, list, clock_mono_ns());
    pthread_mutex_unlock(&sampler->listener_lock);
    process_list_unref(list);
}

static void compare_lists(struct sampler *sampler)
{
    pthread_mutex_lock(&sampler->lock);
    struct process_list *list = TAKE_PTR(sampler->compare);
    pthread_mutex_unlock(&sampler->lock);

    if (!list)
        return;
    pthread_mutex_lock(&sampler->listener_lock);
    if (sampler->tracker)
        tracker_reconcile(sampler->tracker, list, clock_mono_ns());
    pthread_mutex_unlock(&sampler->listener_lock);
    process_list_unref(list);
}

/* Starts or ends the tracker with its listener. */
static bool take_listener(struct sampler *sampler)
{
    bool began = false;

    pthread_mutex_lock(&sampler->listener_lock);
    if (sampler->listener_new) {
        sampler->listener_new = false;
        tracker_free(sampler->tracker);
        sampler->tracker = NULL;
        if (sampler->listener) {
            sampler->tracker =
                tracker_new(sampler->single, sampler->listener, sampler->listener_user);
            began = true;
        }
    }
    pthread_mutex_unlock(&sampler->listener_lock);
    return began;
}

static bool stopping(struct sampler *sampler)
{
    pthread_mutex_lock(&sampler->lock);
    bool stop = sampler->stop;
    pthread_mutex_unlock(&sampler->lock);
    return stop;
}

static void *sampler_main(void *user)
{
    struct sampler *sampler = user;
    int64_t next_ns = INT64_MAX;

    while (!stopping(sampler)) {
        int timeout = -1;
        struct pollfd waits[2] = {
            {.fd = sampler->wake_fd, .events = POLLIN},
            {.fd = sampler->connector_fd, .events = POLLIN}, /* below 0: ignored */
        };
        if (next_ns != INT64_MAX) {
            int64_t left = next_ns - clock_mono_ns();
            timeout = left <= 0 ? 0 : (int)(left / NS_PER_MS) + 1;
        }
        poll(waits, ARRAY_SIZE(waits), timeout);
        if (waits[0].revents) {
            eventfd_t ignored;
            eventfd_read(sampler->wake_fd, &ignored);
        }

        bool began = take_listener(sampler);
        if (sampler->connector_fd >= 0) {
            drain(sampler);
            if (began || (sampler->resync && clock_mono_ns() >= sampler->resync_after_ns))
                catch_up(sampler);
        } else if (began) {
            catch_up(sampler);
        } else {
            compare_lists(sampler);
        }

        pthread_mutex_lock(&sampler->listener_lock);
        next_ns = sampler->tracker ? tracker_tick(sampler->tracker, clock_mono_ns()) : INT64_MAX;
        pthread_mutex_unlock(&sampler->listener_lock);
        if (sampler->resync && sampler->resync_after_ns < next_ns)
            next_ns = sampler->resync_after_ns;
    }
    return NULL;
}

/* --- the public face ------------------------------------------------------------------------ */

static void sampler_destroy(struct sampler *sampler)
{
    tracker_free(sampler->tracker);
    process_reader_free(sampler->reader);
    process_reader_free(sampler->single);
    process_list_unref(sampler->current);
    process_list_unref(sampler->compare);
    cleanup_close(&sampler->proc_fd);
    cleanup_close(&sampler->connector_fd);
    cleanup_close(&sampler->wake_fd);
    pthread_cond_destroy(&sampler->changed);
    pthread_mutex_destroy(&sampler->lock);
    pthread_mutex_destroy(&sampler->listener_lock);
    free(sampler);
}

int sampler_new(const struct sampler_options *options, struct sampler **ret, struct error *err)
{
    struct sampler *sampler = mem_new(struct sampler);

    sampler->proc_fd = sampler->connector_fd = sampler->wake_fd = -EBADF;
    sampler->interval_ns = options->interval_ns > 0 ? options->interval_ns : INTERVAL_DEFAULT_NS;
    pthread_mutex_init(&sampler->lock, NULL);
    pthread_mutex_init(&sampler->listener_lock, NULL);
    pthread_cond_init(&sampler->changed, NULL);

    sampler->proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    sampler->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (sampler->proc_fd < 0 || sampler->wake_fd < 0) {
        int r = error_errno(err, EIO, "cannot open /proc");
        sampler_destroy(sampler);
        return r;
    }
    if (options->connector) {
        struct error why = ERROR_INIT;
        if (connector_open(&sampler->connector_fd, &why) < 0)
            log_info("process connector not available (%s): births and deaths are found by polling",
                     why.message);
    }
    struct process_reader_options reading = {
        .cgroup_prefix = options->cgroup_prefix,
        .refresh = sampler->connector_fd >= 0 ? REFRESH_CONNECTOR : REFRESH_POLLING,
        .io = true,
    };
    sampler->reader = process_reader_new(sampler->proc_fd, &reading);
    reading.io = false;
    sampler->single = process_reader_new(sampler->proc_fd, &reading);

    int r = pthread_create(&sampler->thread, NULL, sampler_main, sampler);
    if (r != 0) {
        r = error_errno(err, r, "cannot start the sampler's thread");
        sampler_destroy(sampler);
        return r;
    }
    *ret = sampler;
    return 0;
}

void sampler_free(struct sampler *sampler)
{
    if (!sampler)
        return;
    pthread_mutex_lock(&sampler->lock);
    sampler->stop = true;
    pthread_mutex_unlock(&sampler->lock);
    eventfd_write(sampler->wake_fd, 1);
    pthread_join(sampler->thread, NULL);
    sampler_destroy(sampler);
}

void sampler_on_change(struct sampler *sampler, sampler_change_fn *fn, void *user)
{
    pthread_mutex_lock(&sampler->listener_lock);
    sampler->listener = fn;
    sampler->listener_user = user;
    sampler->listener_new = true;
    if (!fn) {
        tracker_free(sampler->tracker);
        sampler->tracker = NULL;
    }
    pthread_mutex_unlock(&sampler->listener_lock);
    eventfd_write(sampler->wake_fd, 1);
}

const char *sampler_source(const struct sampler *sampler)
{
    return sampler->connector_fd >= 0 ? "connector" : "polling";
}
