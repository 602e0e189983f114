/* pool.c - see pool.h. */
#include "pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"

#define IDLE_SECONDS 20

struct job {
    struct job *next;
    pool_fn *fn;
    void *user;
};

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t work, ended;
    char name[16];
    struct job *first, **last;
    size_t queued, queue_max;
    size_t threads, idle, max;
    size_t stack_size;
    bool stopping;
};

struct pool *pool_new(const char *name, size_t max, size_t queue_max, size_t stack_size)
{
    struct pool *pool = mem_new(struct pool);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, &attributes);
    pthread_cond_init(&pool->ended, &attributes);
    pthread_condattr_destroy(&attributes);
    snprintf(pool->name, sizeof(pool->name), "%s", name);
    pool->last = &pool->first;
    pool->max = max;
    pool->queue_max = queue_max;
    pool->stack_size = stack_size;
    return pool;
}

static struct timespec in_ms(int ms)
{
    int64_t at = clock_mono_ns() + ms * NS_PER_MS;
    return (struct timespec){.tv_sec = at / NS_PER_SEC, .tv_nsec = at % NS_PER_SEC};
}

static void *pool_thread(void *user)
{
    struct pool *pool = user;
    pthread_setname_np(pthread_self(), pool->name);
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (pool->first == NULL && !pool->stopping) {
            struct timespec until = in_ms(IDLE_SECONDS * 1000);
            pool->idle++;
            int r = pthread_cond_timedwait(&pool->work, &pool->lock, &until);
            pool->idle--;
            if (r == ETIMEDOUT && pool->first == NULL)
                goto out;
        }
        struct job *job = pool->first;
        if (job == NULL)
            break;
        pool->first = job->next;
        if (pool->first == NULL)
            pool->last = &pool->first;
        pool->queued--;
        pthread_mutex_unlock(&pool->lock);
        job->fn(job->user);
        free(job);
        pthread_mutex_lock(&pool->lock);
    }
out:
    pool->threads--;
    pthread_cond_signal(&pool->ended);
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static int start_thread(struct pool *pool)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, pool->stack_size);
    pthread_t thread;
    pool->threads++;
    int r = pthread_create(&thread, &attributes, pool_thread, pool);
    if (r != 0)
        pool->threads--;
    pthread_attr_destroy(&attributes);
    return -r;
}

int pool_submit(struct pool *pool, pool_fn *fn, void *user)
{
    int r = 0;
    struct job *job = mem_new(struct job);
    job->fn = fn;
    job->user = user;
    pthread_mutex_lock(&pool->lock);
    if (pool->stopping) {
        r = -ESHUTDOWN;
    } else if (pool->queued >= pool->queue_max) {
        r = -EAGAIN;
    } else {
        /* Threads already woken for earlier jobs count as idle until they run. */
        if (pool->idle <= pool->queued && pool->threads < pool->max) {
            r = start_thread(pool);
            if (r < 0 && pool->threads > 0)
                r = 0;
        }
        if (r == 0) {
            *pool->last = job;
            pool->last = &job->next;
            pool->queued++;
            job = NULL;
            pthread_cond_signal(&pool->work);
        }
    }
    pthread_mutex_unlock(&pool->lock);
    free(job);
    return r;
}

bool pool_has_spare(struct pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    bool spare = pool->queued == 0 && (pool->idle > 0 || pool->threads < pool->max);
    pthread_mutex_unlock(&pool->lock);
    return spare;
}

void pool_counts(struct pool *pool, size_t *ret_threads, size_t *ret_busy, size_t *ret_queued)
{
    pthread_mutex_lock(&pool->lock);
    *ret_threads = pool->threads;
    *ret_busy = pool->threads - pool->idle;
    *ret_queued = pool->queued;
    pthread_mutex_unlock(&pool->lock);
}

bool pool_stop(struct pool *pool, int timeout_ms)
{
    struct timespec until = in_ms(timeout_ms);
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->work);
    int r = 0;
    while (pool->threads > 0 && r == 0)
        r = pthread_cond_timedwait(&pool->ended, &pool->lock, &until);
    bool stopped = pool->threads == 0;
    pthread_mutex_unlock(&pool->lock);
    if (!stopped)
        return false;
    pthread_cond_destroy(&pool->work);
    pthread_cond_destroy(&pool->ended);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
    return true;
}
