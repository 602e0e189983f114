/* loop.c - epoll for fds, a heap for timers, an eventfd for other threads. Owner: base.
 *
 * Timers are a binary heap whose earliest entry becomes epoll's time-out, rather
 * than a timerfd each: no fd and no system call a timer.
 *
 * A removed source leaves epoll and the heap at once but its memory lives until
 * the next turn, because events already fetched in this turn may point to it.
 */
#include "base/loop.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"

#define EVENTS_AT_ONCE 64
#define NOT_ARMED SIZE_MAX

struct loop_source {
    struct loop *loop;
    struct loop_source *previous; /* in loop->sources */
    struct loop_source *next;     /* there, or in loop->removed */
    void *user;
    bool removed;

    loop_fd_fn *fd_fn; /* NULL: a timer */
    int fd;
    uint32_t events; /* 0: not in the epoll set */

    loop_timer_fn *timer_fn;
    int64_t due_ns;
    int64_t interval_ns;
    size_t heap_index; /* NOT_ARMED when idle */
};

struct task {
    struct task *next;
    loop_task_fn *fn;
    void *user;
};

struct loop {
    int epoll;
    int wake;
    atomic_bool stop;

    struct loop_source *sources;
    struct loop_source *removed;

    struct loop_source **heap;
    size_t heap_count;
    size_t heap_capacity;

    pthread_mutex_t lock; /* guards the two below */
    struct task *first_task;
    struct task **last_task;
};

/* --- timer heap --------------------------------------------------------- */

static void heap_put(struct loop *loop, size_t at, struct loop_source *source)
{
    loop->heap[at] = source;
    source->heap_index = at;
}

static void heap_up(struct loop *loop, size_t at, struct loop_source *source)
{
    while (at > 0 && loop->heap[(at - 1) / 2]->due_ns > source->due_ns) {
        heap_put(loop, at, loop->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    heap_put(loop, at, source);
}

static void heap_down(struct loop *loop, size_t at, struct loop_source *source)
{
    for (;;) {
        size_t child = 2 * at + 1;

        if (child >= loop->heap_count)
            break;
        if (child + 1 < loop->heap_count &&
            loop->heap[child + 1]->due_ns < loop->heap[child]->due_ns)
            child++;
        if (loop->heap[child]->due_ns >= source->due_ns)
            break;
        heap_put(loop, at, loop->heap[child]);
        at = child;
    }
    heap_put(loop, at, source);
}

static void disarm(struct loop_source *source)
{
    struct loop *loop = source->loop;
    size_t at = source->heap_index;

    if (at == NOT_ARMED)
        return;
    source->heap_index = NOT_ARMED;
    struct loop_source *last = loop->heap[--loop->heap_count];
    if (last == source)
        return;
    if (at > 0 && loop->heap[(at - 1) / 2]->due_ns > last->due_ns)
        heap_up(loop, at, last);
    else
        heap_down(loop, at, last);
}

static void arm(struct loop_source *source, int64_t due_ns)
{
    struct loop *loop = source->loop;

    disarm(source);
    source->due_ns = due_ns;
    if (loop->heap_count == loop->heap_capacity) {
        loop->heap_capacity = loop->heap_capacity ? 2 * loop->heap_capacity : 16;
        loop->heap = mem_grow(loop->heap, loop->heap_capacity, sizeof(struct loop_source *));
    }
    loop->heap_count++;
    heap_up(loop, loop->heap_count - 1, source);
}

/* --- making and removing ------------------------------------------------ */

int loop_new(struct loop **ret)
{
    CLEANUP_CLOSE int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0)
        return -errno;
    CLEANUP_CLOSE int wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake < 0)
        return -errno;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, wake, &event) < 0)
        return -errno;

    struct loop *loop = mem_new(struct loop);
    loop->epoll = TAKE_FD(epoll);
    loop->wake = TAKE_FD(wake);
    loop->last_task = &loop->first_task;
    pthread_mutex_init(&loop->lock, NULL);
    *ret = loop;
    return 0;
}

static void free_removed(struct loop *loop)
{
    while (loop->removed) {
        struct loop_source *source = loop->removed;

        loop->removed = source->next;
        free(source);
    }
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    while (loop->sources)
        loop_remove(loop->sources);
    free_removed(loop);
    while (loop->first_task) {
        struct task *task = loop->first_task;

        loop->first_task = task->next;
        free(task);
    }
    pthread_mutex_destroy(&loop->lock);
    close(loop->epoll);
    close(loop->wake);
    free(loop->heap);
    free(loop);
}

static struct loop_source *add_source(struct loop *loop, void *user)
{
    struct loop_source *source = mem_new(struct loop_source);

    source->loop = loop;
    source->user = user;
    source->fd = -EBADF;
    source->heap_index = NOT_ARMED;
    source->next = loop->sources;
    if (source->next)
        source->next->previous = source;
    loop->sources = source;
    return source;
}

int loop_set_events(struct loop_source *source, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = source};
    int operation = EPOLL_CTL_MOD;

    if (events == source->events)
        return 0;
    /* epoll reports errors and hang-ups even with an empty mask, which would
     * spin a loop that asked for silence: so out of the set with it. */
    if (events == 0)
        operation = EPOLL_CTL_DEL;
    else if (source->events == 0)
        operation = EPOLL_CTL_ADD;
    if (epoll_ctl(source->loop->epoll, operation, source->fd, &event) < 0)
        return -errno;
    source->events = events;
    return 0;
}

int loop_add_fd(struct loop *loop, int fd, uint32_t events, loop_fd_fn *fn, void *user,
                struct loop_source **ret)
{
    struct loop_source *source = add_source(loop, user);

    source->fd_fn = fn;
    source->fd = fd;
    int r = loop_set_events(source, events);
    if (r < 0) {
        loop_remove(source);
        return r;
    }
    if (ret)
        *ret = source;
    return 0;
}

static int64_t from_now(int64_t delay_ns)
{
    int64_t due;

    if (delay_ns < 0)
        delay_ns = 0;
    return __builtin_add_overflow(clock_mono_ns(), delay_ns, &due) ? INT64_MAX : due;
}

int loop_set_timer(struct loop_source *source, int64_t first_ns, int64_t interval_ns)
{
    if (source->fd_fn || source->removed || interval_ns < 0)
        return -EINVAL;
    source->interval_ns = interval_ns;
    arm(source, from_now(first_ns));
    return 0;
}

int loop_add_timer(struct loop *loop, int64_t first_ns, int64_t interval_ns, loop_timer_fn *fn,
                   void *user, struct loop_source **ret)
{
    if (interval_ns < 0)
        return -EINVAL;
    struct loop_source *source = add_source(loop, user);
    source->timer_fn = fn;
    source->interval_ns = interval_ns;
    arm(source, from_now(first_ns));
    if (ret)
        *ret = source;
    return 0;
}

void loop_remove(struct loop_source *source)
{
    if (!source || source->removed)
        return;

    struct loop *loop = source->loop;
    disarm(source);
    if (source->events) {
        epoll_ctl(loop->epoll, EPOLL_CTL_DEL, source->fd, NULL);
        source->events = 0;
    }
    if (source->next)
        source->next->previous = source->previous;
    if (source->previous)
        source->previous->next = source->next;
    else
        loop->sources = source->next;
    source->removed = true;
    source->next = loop->removed;
    loop->removed = source;
}

/* --- running ------------------------------------------------------------ */

static void wake(struct loop *loop)
{
    uint64_t one = 1;

    /* EAGAIN would mean a full counter, that is, a wake-up already pending. */
    ssize_t ignored = write(loop->wake, &one, sizeof(one));
    (void)ignored;
}

void loop_post(struct loop *loop, loop_task_fn *fn, void *user)
{
    struct task *task = mem_new(struct task);

    task->fn = fn;
    task->user = user;
    /* The wake-up is inside the lock: behind it, the task might have run and
     * ended the loop already, and the eventfd's number be somebody else's. */
    pthread_mutex_lock(&loop->lock);
    *loop->last_task = task;
    loop->last_task = &task->next;
    wake(loop);
    pthread_mutex_unlock(&loop->lock);
}

void loop_stop(struct loop *loop)
{
    int saved = errno;

    atomic_store(&loop->stop, true);
    wake(loop);
    errno = saved;
}

static void run_tasks(struct loop *loop)
{
    /* Taken as a whole: a task that posts again runs in the next turn, so that
     * it cannot starve the fds. */
    pthread_mutex_lock(&loop->lock);
    struct task *task = loop->first_task;
    loop->first_task = NULL;
    loop->last_task = &loop->first_task;
    pthread_mutex_unlock(&loop->lock);

    while (task) {
        struct task *next = task->next;

        task->fn(task->user);
        free(task);
        task = next;
    }
}

static void run_timers(struct loop *loop)
{
    int64_t now = clock_mono_ns();

    while (loop->heap_count > 0 && loop->heap[0]->due_ns <= now) {
        struct loop_source *source = loop->heap[0];

        if (source->interval_ns > 0) {
            /* On the grid of the first, but turns that were missed are not made
             * up for. */
            int64_t next;
            if (__builtin_add_overflow(source->due_ns, source->interval_ns, &next))
                next = INT64_MAX;
            if (next <= now && __builtin_add_overflow(now, source->interval_ns, &next))
                next = INT64_MAX;
            arm(source, next);
        } else {
            disarm(source);
        }
        source->timer_fn(source, source->user);
    }
}

static int next_timeout_ms(const struct loop *loop)
{
    if (loop->heap_count == 0)
        return -1;
    int64_t left = loop->heap[0]->due_ns - clock_mono_ns();
    if (left <= 0)
        return 0;
    /* Rounded up: a millisecond early would spin until the time has come. */
    int64_t ms = left / NS_PER_MS + (left % NS_PER_MS != 0);
    return ms > INT_MAX ? INT_MAX : (int)ms;
}

int loop_run(struct loop *loop)
{
    struct epoll_event events[EVENTS_AT_ONCE];

    for (;;) {
        free_removed(loop);
        if (atomic_exchange(&loop->stop, false)) {
            run_tasks(loop);
            return 0;
        }

        int count = epoll_wait(loop->epoll, events, EVENTS_AT_ONCE, next_timeout_ms(loop));
        if (count < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        bool woken = false;
        for (int i = 0; i < count; i++) {
            struct loop_source *source = events[i].data.ptr;

            if (!source) {
                uint64_t counter;
                ssize_t ignored = read(loop->wake, &counter, sizeof(counter));
                (void)ignored;
                woken = true;
                continue;
            }
            /* An earlier callback of this turn may have removed it or changed
             * what it waits for. */
            uint32_t wanted = events[i].events & (source->events | EPOLLERR | EPOLLHUP);
            if (!source->removed && source->events && wanted)
                source->fd_fn(source, source->fd, wanted, source->user);
        }
        run_timers(loop);
        if (woken)
            run_tasks(loop);
    }
}
