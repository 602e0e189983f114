/* history_internal.h - shared between history.c and guests.c. */
#pragma once

#include <pthread.h>

#include "history.h"
#include "tabique/store.h"

/* What one thread knows of one running container. */
struct subject {
    struct subject *next;
    char id[65];
    uint64_t round;    /* last in which it ran */
    int64_t cpu_at_ns; /* 0: no reading yet */
    uint64_t cpu_ns;
    /* guests */
    struct process_list *known; /* as told to the store */
    int64_t not_before_ns;      /* back-off, monotonic */
    int64_t backoff_ns;
    bool greeted;
    bool behind;                /* not all of its last list has been told */
};

struct history {
    struct history_options options;
    pthread_t host_thread, guest_thread;
    bool host_started, guest_started;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stop;
    struct subject *host_subjects, *guest_subjects; /* each its thread's own */
    uint64_t host_round, guest_round;
};

/* false: stop. due_ns is moved on by interval. */
bool history__wait(struct history *history, int64_t *due_ns, int64_t interval_ns);
/* The running containers of one kind, as subjects; those gone are removed after
 * gone() has seen them. */
void history__subjects(struct history *history, bool own_kernel, struct subject **subjects,
                       uint64_t *round, void (*gone)(struct history *, struct subject *));
bool history__sample(struct history *history, struct subject *subject); /* false: it has rested */
void history__subjects_free(struct subject **subjects);

/* --- guests.c --- */
void *history__guest_main(void *history);
void history__guests_begin(struct history *history);
