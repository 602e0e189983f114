/* workers.c - see workers.h. Owner: container. */
#include "container/workers.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#define IDLE_NS (10 * NS_PER_SEC)
#define STACK_SIZE (512 << 10)

struct task {
    struct task *next;
    int64_t due_ns;
    workers_fn *fn;
    void *user;
};

struct workers {
    pthread_mutex_t lock;
    pthread_cond_t wake;   /* a task, an earlier due time, or the end */
    pthread_cond_t gone;   /* a thread has left */
    struct task *tasks;    /* by due time, then by order of posting */
    const char *name;
    int threads, idle, max;
    bool closing;
};

struct workers *workers_new(const char *name, int max)
{
    struct workers *workers = mem_new(struct workers);
    pthread_condattr_t attributes;

    workers->name = name;
    workers->max = max;
    pthread_mutex_init(&workers->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&workers->wake, &attributes);
    pthread_cond_init(&workers->gone, &attributes);
    pthread_condattr_destroy(&attributes);
    return workers;
}

static void wait_until(struct workers *workers, int64_t due_ns)
{
    struct timespec at = {.tv_sec = due_ns / NS_PER_SEC, .tv_nsec = due_ns % NS_PER_SEC};
    pthread_cond_timedwait(&workers->wake, &workers->lock, &at);
}

static void *work(void *user)
{
    struct workers *workers = user;
    int64_t idle_since = clock_mono_ns();

    pthread_mutex_lock(&workers->lock);
    for (;;) {
        struct task *task = workers->tasks;
        int64_t now = clock_mono_ns();

        if (task && (task->due_ns <= now || workers->closing)) {
            workers->tasks = task->next;
            pthread_mutex_unlock(&workers->lock);
            task->fn(task->user);
            free(task);
            pthread_mutex_lock(&workers->lock);
            idle_since = clock_mono_ns();
            continue;
        }
        if (!task && (workers->closing || now - idle_since > IDLE_NS))
            break;
        workers->idle++;
        wait_until(workers, task ? task->due_ns : idle_since + IDLE_NS + 1);
        workers->idle--;
    }
    workers->threads--;
    pthread_cond_broadcast(&workers->gone);
    pthread_mutex_unlock(&workers->lock);
    return NULL;
}

/* Under lock. A delayed task needs a thread, too: one that sleeps until then. */
static void add_thread(struct workers *workers)
{
    pthread_attr_t attributes;
    pthread_t thread;

    if (workers->threads >= workers->max)
        return;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    int r = pthread_create(&thread, &attributes, work, workers);
    pthread_attr_destroy(&attributes);
    if (r == 0)
        workers->threads++;
    else
        log_error("cannot make a thread for %s: error %d", workers->name, r);
}

void workers_post_after(struct workers *workers, int64_t delay_ns, workers_fn *fn, void *user)
{
    struct task *task = mem_new(struct task);
    int due = 0;

    *task = (struct task){.due_ns = clock_mono_ns() + delay_ns, .fn = fn, .user = user};
    pthread_mutex_lock(&workers->lock);
    if (workers->closing) {
        pthread_mutex_unlock(&workers->lock);
        fn(user);
        free(task);
        return;
    }
    struct task **at = &workers->tasks;
    while (*at && (*at)->due_ns <= task->due_ns) {
        at = &(*at)->next;
        due++;
    }
    task->next = *at;
    *at = task;
    /* `due` tasks before this one take as many idle threads first. */
    if (workers->idle <= due)
        add_thread(workers);
    pthread_cond_broadcast(&workers->wake);
    pthread_mutex_unlock(&workers->lock);
}

void workers_post(struct workers *workers, workers_fn *fn, void *user)
{
    workers_post_after(workers, 0, fn, user);
}

void workers_stop(struct workers *workers)
{
    pthread_mutex_lock(&workers->lock);
    workers->closing = true;
    if (workers->tasks && workers->threads == 0)
        add_thread(workers);
    pthread_cond_broadcast(&workers->wake);
    while (workers->threads > 0)
        pthread_cond_wait(&workers->gone, &workers->lock);
    pthread_mutex_unlock(&workers->lock);
}

void workers_free(struct workers *workers)
{
    if (!workers)
        return;
    workers_stop(workers);
    pthread_cond_destroy(&workers->wake);
    pthread_cond_destroy(&workers->gone);
    pthread_mutex_destroy(&workers->lock);
    free(workers);
}
