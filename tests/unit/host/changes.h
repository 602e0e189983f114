/* changes.h - what a listener was told, kept. */
#pragma once

#include <pthread.h>

#include "host_test.h"

struct change {
    enum process_change change;
    struct process process;
    int64_t end_ns;
};

struct changes {
    pthread_mutex_t lock;
    size_t count, capacity;
    struct change *items;
};

static inline void changes_add(void *user, enum process_change change,
                               const struct process *process, int64_t end_ns)
{
    struct changes *changes = user;

    pthread_mutex_lock(&changes->lock);
    if (changes->count == changes->capacity) {
        changes->capacity = changes->capacity ? changes->capacity * 2 : 64;
        changes->items = realloc(changes->items, changes->capacity * sizeof(*changes->items));
    }
    struct change *item = &changes->items[changes->count++];
    item->change = change;
    item->end_ns = end_ns;
    process_copy(&item->process, process);
    pthread_mutex_unlock(&changes->lock);
}

static inline void changes_free(struct changes *changes)
{
    for (size_t i = 0; i < changes->count; i++)
        process_clear(&changes->items[i].process);
    free(changes->items);
    memset(changes, 0, sizeof(*changes));
}

/* How often a change of a pid was told; the last is copied to ret (its strings
 * stay the list's). */
static inline size_t changes_of(struct changes *changes, enum process_change change, pid_t pid,
                                struct change *ret)
{
    size_t count = 0;

    pthread_mutex_lock(&changes->lock);
    for (size_t i = 0; i < changes->count; i++) {
        if (changes->items[i].change != change || changes->items[i].process.pid != pid)
            continue;
        count++;
        if (ret)
            *ret = changes->items[i];
    }
    pthread_mutex_unlock(&changes->lock);
    return count;
}

/* Until it was told, or the test's own time runs out. */
static inline void changes_wait(struct changes *changes, enum process_change change, pid_t pid,
                                struct change *ret)
{
    while (changes_of(changes, change, pid, ret) == 0)
        usleep(2000);
}
