#include "base/base_test.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/loop.h"
#include "base/mem.h"

static void stop_loop(void *user)
{
    loop_stop(user);
}

static void stop_timer(struct loop_source *source, void *user)
{
    loop_stop(user);
}

static void stop_before_run(void **state)
{
    struct loop *loop;

    assert_int_equal(loop_new(&loop), 0);
    loop_stop(loop);
    assert_int_equal(loop_run(loop), 0);
    /* The stop was used up: the next run waits for its own. */
    loop_post(loop, stop_loop, loop);
    assert_int_equal(loop_run(loop), 0);
    loop_free(loop);
    loop_free(NULL);
}

/* --- fds ----------------------------------------------------------------- */

struct echo {
    struct loop *loop;
    int reads;
    int other;
    struct loop_source *victim;
};

static void on_readable(struct loop_source *source, int fd, uint32_t events, void *user)
{
    struct echo *echo = user;
    char c;

    assert_true(events & EPOLLIN);
    assert_int_equal(read(fd, &c, 1), 1);
    if (++echo->reads == 3) {
        loop_remove(source);
        loop_stop(echo->loop);
    }
}

static void fd_events(void **state)
{
    struct loop *loop;
    int pair[2];

    assert_int_equal(loop_new(&loop), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    struct echo echo = {.loop = loop};
    assert_int_equal(loop_add_fd(loop, pair[0], EPOLLIN, on_readable, &echo, NULL), 0);
    assert_int_equal(write(pair[1], "abc", 3), 3);
    assert_int_equal(loop_run(loop), 0);
    assert_int_equal(echo.reads, 3);

    struct loop_source *source = NULL;
    int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    assert_int_equal(loop_add_fd(loop, file, EPOLLIN, on_readable, &echo, &source), -EPERM);
    assert_int_equal(loop_add_fd(loop, -1, EPOLLIN, on_readable, &echo, &source), -EBADF);
    assert_null(source);
    close(file);
    loop_free(loop);
    close(pair[0]);
    close(pair[1]);
}

static void count_events(struct loop_source *source, int fd, uint32_t events, void *user)
{
    ++*(int *)user;
}

static void muted_source_is_silent(void **state)
{
    struct loop *loop;
    int pair[2];
    int seen = 0;
    struct loop_source *source;

    assert_int_equal(loop_new(&loop), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(loop_add_fd(loop, pair[0], 0, count_events, &seen, &source), 0);
    close(pair[1]); /* a hang-up, which epoll would report whatever the mask */
    assert_int_equal(loop_add_timer(loop, 20 * NS_PER_MS, 0, stop_timer, loop, NULL), 0);
    assert_int_equal(loop_run(loop), 0);
    assert_int_equal(seen, 0);

    assert_int_equal(loop_set_events(source, EPOLLIN), 0);
    loop_post(loop, stop_loop, loop);
    assert_int_equal(loop_run(loop), 0);
    assert_true(seen > 0);
    assert_int_equal(loop_set_events(source, 0), 0);
    seen = 0;
    loop_stop(loop);
    assert_int_equal(loop_run(loop), 0);
    assert_int_equal(seen, 0);
    loop_free(loop);
    close(pair[0]);
}

struct duel {
    struct loop_source *sources[40];
    int count;
    int calls;
    struct loop *loop;
};

/* Whoever comes first removes everybody, itself included. */
static void remove_all(struct loop_source *source, int fd, uint32_t events, void *user)
{
    struct duel *duel = user;

    duel->calls++;
    for (int i = 0; i < duel->count; i++)
        loop_remove(duel->sources[i]);
    loop_remove(source);
    loop_stop(duel->loop);
}

static void sources_remove_each_other(void **state)
{
    struct duel duel = {.count = 40};
    int fds[40][2];

    assert_int_equal(loop_new(&duel.loop), 0);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(pipe2(fds[i], O_CLOEXEC), 0);
        assert_int_equal(write(fds[i][1], "x", 1), 1);
        assert_int_equal(loop_add_fd(duel.loop, fds[i][0], EPOLLIN, remove_all, &duel,
                                     &duel.sources[i]), 0);
    }
    assert_int_equal(loop_run(duel.loop), 0);
    assert_int_equal(duel.calls, 1);
    loop_free(duel.loop);
    for (int i = 0; i < 40; i++) {
        close(fds[i][0]);
        close(fds[i][1]);
    }
    loop_remove(NULL);
}

/* --- timers -------------------------------------------------------------- */

struct order {
    char text[16];
    struct loop *loop;
    struct loop_source *a, *b, *c, *d;
    int ticks;
};

static void timer_a(struct loop_source *source, void *user)
{
    struct order *o = user;

    strcat(o->text, "a");
    loop_remove(o->c); /* due at the same time, possibly */
    loop_remove(source);
}

static void timer_b(struct loop_source *source, void *user)
{
    struct order *o = user;

    strcat(o->text, "b");
    if (strlen(o->text) < 4)
        assert_int_equal(loop_set_timer(source, 5 * NS_PER_MS, 0), 0);
    else
        loop_stop(o->loop);
}

static void timer_c(struct loop_source *source, void *user)
{
    strcat(((struct order *)user)->text, "c");
}

static void timers_in_order(void **state)
{
    struct order o = {0};

    assert_int_equal(loop_new(&o.loop), 0);
    int64_t start = clock_mono_ns();
    assert_int_equal(loop_add_timer(o.loop, 30 * NS_PER_MS, 0, timer_b, &o, &o.b), 0);
    assert_int_equal(loop_add_timer(o.loop, 10 * NS_PER_MS, 0, timer_a, &o, &o.a), 0);
    assert_int_equal(loop_add_timer(o.loop, 10 * NS_PER_MS + 1000, 0, timer_c, &o, &o.c), 0);
    assert_int_equal(loop_add_timer(o.loop, INT64_MAX, 0, timer_c, &o, &o.d), 0);
    assert_int_equal(loop_run(o.loop), 0);
    assert_string_equal(o.text, "abbb");
    assert_true(clock_mono_ns() - start >= 40 * NS_PER_MS);

    /* A timer that fired once is still there and can be armed again. */
    assert_int_equal(loop_set_timer(o.b, 0, 0), 0);
    assert_int_equal(loop_run(o.loop), 0);
    assert_string_equal(o.text, "abbbb");
    assert_int_equal(loop_add_timer(o.loop, 0, -1, timer_c, &o, NULL), -EINVAL);
    loop_free(o.loop);
}

static void tick(struct loop_source *source, void *user)
{
    struct order *o = user;

    if (++o->ticks == 5) {
        loop_remove(source);
        loop_stop(o->loop);
    }
}

static void intervals(void **state)
{
    struct order o = {0};

    assert_int_equal(loop_new(&o.loop), 0);
    int64_t start = clock_mono_ns();
    assert_int_equal(loop_add_timer(o.loop, 0, 10 * NS_PER_MS, tick, &o, NULL), 0);
    assert_int_equal(loop_run(o.loop), 0);
    assert_int_equal(o.ticks, 5);
    assert_true(clock_mono_ns() - start >= 40 * NS_PER_MS);
    loop_free(o.loop);
}

struct many {
    struct loop_source *source;
    int64_t due;
    bool gone;
};
static int64_t last_due;
static int fired;

static void many_fire(struct loop_source *source, void *user)
{
    struct many *m = user;

    assert_false(m->gone);
    assert_true(m->due >= last_due);
    last_due = m->due;
    fired++;
}

static void many_timers(void **state)
{
    enum { COUNT = 2000 };
    struct many *many = mem_array(COUNT, sizeof(*many));
    struct loop *loop;
    int expected = 0;
    unsigned seed = 12345;

    assert_int_equal(loop_new(&loop), 0);
    for (int i = 0; i < COUNT; i++) {
        seed = seed * 1103515245u + 12345u;
        /* Spaced wider than the time it takes to add them all. */
        many[i].due = (int64_t)(seed >> 16 & 7) * 50 * NS_PER_MS;
        assert_int_equal(loop_add_timer(loop, many[i].due, 0, many_fire, &many[i],
                                        &many[i].source), 0);
    }
    for (int i = 0; i < COUNT; i++) {
        seed = seed * 1103515245u + 12345u;
        many[i].gone = seed >> 20 & 1;
        if (many[i].gone)
            loop_remove(many[i].source);
        else
            expected++;
    }
    assert_int_equal(loop_add_timer(loop, 500 * NS_PER_MS, 0, stop_timer, loop, NULL), 0);
    last_due = 0;
    fired = 0;
    assert_int_equal(loop_run(loop), 0);
    assert_int_equal(fired, expected);
    loop_free(loop);
    free(many);
}

/* --- other threads ------------------------------------------------------- */

enum { THREADS = 4, POSTS = 5000 };

struct post {
    int thread;
    int number;
};
static int next_number[THREADS];
static int total;
static struct loop *posted_loop;
static pthread_t loop_thread;

static void take_post(void *user)
{
    struct post *post = user;

    assert_true(pthread_equal(pthread_self(), loop_thread));
    assert_int_equal(post->number, next_number[post->thread]);
    next_number[post->thread]++;
    free(post);
    if (++total == THREADS * POSTS)
        loop_stop(posted_loop);
}

static void *poster(void *user)
{
    for (int i = 0; i < POSTS; i++) {
        struct post *post = mem_new(struct post);

        post->thread = (int)(intptr_t)user;
        post->number = i;
        loop_post(posted_loop, take_post, post);
    }
    return NULL;
}

static void *run(void *user)
{
    return (void *)(intptr_t)loop_run(user);
}

static void posts_in_order(void **state)
{
    pthread_t threads[THREADS];

    assert_int_equal(loop_new(&posted_loop), 0);
    loop_thread = pthread_self();
    for (intptr_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, poster, (void *)i);
    assert_int_equal(loop_run(posted_loop), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(total, THREADS * POSTS);
    loop_free(posted_loop);
}

struct repost {
    struct loop *loop;
    int left;
    int timer_calls;
};

static void post_again(void *user)
{
    struct repost *r = user;

    if (r->left > 0) {
        r->left--;
        loop_post(r->loop, post_again, r);
    }
}

static void count_timer(struct loop_source *source, void *user)
{
    ((struct repost *)user)->timer_calls++;
}

static void tasks_do_not_starve_timers(void **state)
{
    struct repost r = {.left = 100000};

    assert_int_equal(loop_new(&r.loop), 0);
    loop_post(r.loop, post_again, &r);
    assert_int_equal(loop_add_timer(r.loop, 0, NS_PER_MS, count_timer, &r, NULL), 0);
    assert_int_equal(loop_add_timer(r.loop, 30 * NS_PER_MS, 0, stop_timer, r.loop, NULL), 0);
    assert_int_equal(loop_run(r.loop), 0);
    assert_true(r.timer_calls > 3);
    loop_free(r.loop);
}

static struct loop *signalled;

static void on_signal(int number)
{
    loop_stop(signalled);
}

static void stop_from_elsewhere(void **state)
{
    pthread_t thread;
    void *result;

    assert_int_equal(loop_new(&signalled), 0);
    pthread_create(&thread, NULL, run, signalled);
    usleep(20000);
    loop_stop(signalled);
    pthread_join(thread, &result);
    assert_null(result);

    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &action, NULL);
    pthread_create(&thread, NULL, run, signalled);
    usleep(20000);
    pthread_kill(thread, SIGUSR1);
    pthread_join(thread, &result);
    assert_null(result);
    loop_free(signalled);
}

static void nothing_leaks(void **state)
{
    int before = open_fds();
    struct loop *loop;

    assert_int_equal(loop_new(&loop), 0);
    assert_int_equal(loop_add_timer(loop, 0, 0, stop_timer, loop, NULL), 0);
    loop_post(loop, stop_loop, loop);
    loop_free(loop);
    assert_int_equal(open_fds(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stop_before_run),
        cmocka_unit_test(fd_events),
        cmocka_unit_test(muted_source_is_silent),
        cmocka_unit_test(sources_remove_each_other),
        cmocka_unit_test(timers_in_order),
        cmocka_unit_test(intervals),
        cmocka_unit_test(many_timers),
        cmocka_unit_test(posts_in_order),
        cmocka_unit_test(tasks_do_not_starve_timers),
        cmocka_unit_test(stop_from_elsewhere),
        cmocka_unit_test(nothing_leaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
