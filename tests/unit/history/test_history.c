/* The recorder with the real sampler, bus and store, and containers of our
 * making. */
#include "../db/db_test.h"

#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "history/history.h"
#include "tabique/event.h"

#define THIN "1111111111111111111111111111111111111111111111111111111111111111"
#define GUEST "2222222222222222222222222222222222222222222222222222222222222222"
#define STALLED "3333333333333333333333333333333333333333333333333333333333333333"

/* What "runs". */
struct world {
    pthread_mutex_t lock;
    bool thin, guest, stalled, rested;
    int asked; /* the guest, for its processes */
    struct process_list *guest_list;
    uint64_t cpu_ns;
    int stalled_asked, readings;
};

static int containers(void *user, history_container_fn *fn, void *fn_user)
{
    struct world *world = user;

    pthread_mutex_lock(&world->lock);
    if (world->thin)
        fn(fn_user, THIN, false);
    if (world->guest)
        fn(fn_user, GUEST, true);
    if (world->stalled)
        fn(fn_user, STALLED, true);
    pthread_mutex_unlock(&world->lock);
    return 0;
}

static int reading(void *user, const char *id, struct history_reading *ret)
{
    struct world *world = user;

    pthread_mutex_lock(&world->lock);
    world->cpu_ns += 5 * NS_PER_MS;
    world->readings++;
    *ret = (struct history_reading){.sampled_ns = clock_real_ns(),
                                    .cpu_total_ns = world->cpu_ns,
                                    .memory_bytes = 1234,
                                    .net_rx_bytes = 5,
                                    .pids = 3,
                                    .rested = world->rested};
    pthread_mutex_unlock(&world->lock);
    return strcmp(id, STALLED) == 0 ? -ETIMEDOUT : 0;
}

static int processes(void *user, const char *id, struct process_list **ret)
{
    struct world *world = user;
    int r = 0;

    pthread_mutex_lock(&world->lock);
    if (strcmp(id, GUEST) == 0) {
        *ret = process_list_ref(world->guest_list);
        world->asked++;
    } else {
        world->stalled_asked++;
        r = -ETIMEDOUT;
    }
    pthread_mutex_unlock(&world->lock);
    return r;
}

static struct process_list *guest_list(size_t count, const char *name, int64_t started_ns)
{
    struct process_list *list = process_list_new(count);

    for (size_t i = 0; i < count; i++) {
        struct process p = make_process((pid_t)i + 1, 50 + i, started_ns, name);
        process_copy(process_list_add(list), &p);
    }
    return list;
}

static void set_guest(struct world *world, struct process_list *list)
{
    pthread_mutex_lock(&world->lock);
    process_list_unref(world->guest_list);
    world->guest_list = list;
    pthread_mutex_unlock(&world->lock);
}

static struct process_list *at(struct fixture *f, const char *id, bool own_kernel, int64_t when)
{
    struct process_list *list = NULL;

    assert_int_equal(history_container_at(f->store, id, own_kernel, when, &list, NULL), 0);
    return list;
}

/* Until the guest's list of now has this many. */
static void wait_for(struct fixture *f, size_t count, const char *name)
{
    for (;;) {
        struct process_list *list = at(f, GUEST, true, clock_real_ns() + SEC);
        bool done = list->count == count && (count == 0 || strcmp(list->items[0].name, name) == 0);
        process_list_unref(list);
        if (done)
            return;
        usleep(5000);
    }
}

static struct history *start(struct fixture *f, struct world *world, struct sampler *sampler,
                             struct event_bus *bus)
{
    struct history_options options = {.store = f->store,
                                      .sampler = sampler,
                                      .bus = bus,
                                      .source = {world, containers, reading, processes},
                                      .interval_ns = 20 * NS_PER_MS};
    struct history *history = NULL;
    struct error err = ERROR_INIT;

    if (history_start(&options, &history, &err) < 0)
        fail_msg("%s", err.message);
    return history;
}

static void guests(void **state)
{
    struct fixture *f = *state;
    struct world world = {.lock = PTHREAD_MUTEX_INITIALIZER, .guest = true, .stalled = true};
    /* left open by a server before: one that runs no more, one that does */
    struct process ghost = make_process(9, 9, SEC, "ghost");
    store_process_born(f->store, "gone", &ghost);
    store_process_born(f->store, GUEST, &ghost);

    set_guest(&world, guest_list(2, "init", clock_real_ns() - 5 * SEC));
    struct history *history = start(f, &world, NULL, NULL);
    wait_for(f, 2, "init");
    struct process_list *list = at(f, GUEST, true, clock_real_ns());
    assert_string_equal(list->items[0].container_id, GUEST);
    process_list_unref(list);
    assert_int_equal(peek(f, "SELECT count(*) FROM life WHERE name = 'ghost' AND ended IS NULL"),
                     0);

    /* one more, with a start in the future: a lie, taken as now */
    set_guest(&world, guest_list(3, "init", clock_real_ns() + 1000000 * SEC));
    wait_for(f, 3, "init");
    assert_int_equal(peek(f, "SELECT count(*) FROM life WHERE started > strftime('%s','now') * "
                             "1000000000 + 5000000000"),
                     0);
    set_guest(&world, guest_list(1, "init", 0));
    wait_for(f, 1, "init");
    set_guest(&world, guest_list(1, "other", 0)); /* the same life, another program */
    wait_for(f, 1, "other");
    /* a flood is bounded in each round */
    set_guest(&world, guest_list(20000, "flood", clock_real_ns()));
    wait_for(f, 4096, "flood");
    pthread_mutex_lock(&world.lock);
    int asked = world.stalled_asked;
    world.guest = false;
    pthread_mutex_unlock(&world.lock);
    wait_for(f, 0, "");
    history_stop(history);
    assert_in_range(asked, 1, 4); /* one that stalls is asked less and less */
    assert_true(peek(f, "SELECT count(*) FROM sample JOIN subject ON subject = subject.id"
                        " WHERE name LIKE '2222%'") > 0);
    process_list_unref(world.guest_list);
}

static int ask_count(struct world *world, bool rested)
{
    pthread_mutex_lock(&world->lock);
    int asked = world->asked;
    world->rested = rested;
    pthread_mutex_unlock(&world->lock);
    return asked;
}

static void wait_for_readings(struct world *world, int more)
{
    pthread_mutex_lock(&world->lock);
    for (int until = world->readings + more; world->readings < until;) {
        pthread_mutex_unlock(&world->lock);
        usleep(5000);
        pthread_mutex_lock(&world->lock);
    }
    pthread_mutex_unlock(&world->lock);
}

/* A guest that rests is sampled but not asked for its processes, once they are known: all
 * of them, also where they were too many for one round. */
static void guests_that_rest(void **state)
{
    struct fixture *f = *state;
    struct world world = {.lock = PTHREAD_MUTEX_INITIALIZER, .guest = true, .rested = true};

    set_guest(&world, guest_list(1200, "crowd", clock_real_ns() - 5 * SEC));
    struct history *history = start(f, &world, NULL, NULL);
    wait_for(f, 1200, "crowd");
    wait_for_readings(&world, 2); /* the round that told the last of them has ended */
    int known = ask_count(&world, true);
    wait_for_readings(&world, 5);
    assert_int_equal(ask_count(&world, true), known);
    assert_true(peek(f, "SELECT count(*) FROM sample JOIN subject ON subject = subject.id"
                        " WHERE name LIKE '2222%'") > 0);

    /* Somebody else runs there, and that is seen as soon as it no longer rests. */
    set_guest(&world, guest_list(1, "other", clock_real_ns()));
    wait_for_readings(&world, 5);
    assert_int_equal(ask_count(&world, false), known);
    wait_for(f, 1, "other");
    assert_true(ask_count(&world, false) > known);
    history_stop(history);
    process_list_unref(world.guest_list);
}

static int count_sample(void *user, const struct store_sample *sample)
{
    struct store_sample *last = user;

    *last = *sample;
    return 0;
}

static void samples(void **state)
{
    struct fixture *f = *state;
    struct world world = {.lock = PTHREAD_MUTEX_INITIALIZER, .thin = true};
    struct history *history = start(f, &world, NULL, NULL);
    struct store_sample thin = {0}, host = {0};
    int64_t since = clock_real_ns() - 60 * SEC;

    while (thin.cpu_percent <= 0 || host.memory_bytes == 0) {
        assert_int_equal(store_samples(f->store, THIN, since, 0, SEC, count_sample, &thin, NULL),
                         0);
        assert_int_equal(store_samples(f->store, "", since, 0, SEC, count_sample, &host, NULL), 0);
        usleep(5000);
    }
    history_stop(history);
    assert_int_equal(thin.memory_bytes, 1234);
    assert_int_equal(thin.pids, 3);
    assert_true(thin.cpu_percent <= 100); /* 5 ms of each 20 ms, or later */
    int readings = world.readings;
    usleep(50000);
    assert_int_equal(world.readings, readings); /* stopped is stopped */
}

static void events_are_remembered_first(void **state)
{
    struct fixture *f = *state;
    struct world world = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct event_bus *bus = event_bus_new(store_last_event_sequence(f->store));
    struct history *history = start(f, &world, NULL, bus);
    struct event_subscriber *subscriber = event_subscribe(bus, 0);
    struct event *event = NULL;

    event_publish(bus, "container", "start", THIN, "name", "web", NULL);
    assert_int_equal(peek(f, "SELECT count(*) FROM event WHERE action = 'start'"), 1);
    assert_int_equal(event_next(subscriber, 0, &event), 0);
    assert_int_equal(event->sequence, 1);
    event_unref(event);
    event_unsubscribe(subscriber);
    history_stop(history);
    event_publish(bus, "container", "stop", THIN, NULL); /* no recorder: no crash */
    event_bus_free(bus);
    fixture_reopen(f);
    assert_int_equal(store_last_event_sequence(f->store), 1);
}

/* A child of ours from birth to death, as history has it. */
static void the_host(bool connector, struct fixture *f)
{
    struct world world = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct sampler *sampler = NULL;
    struct process_list *list = NULL;
    struct sampler_options options = {
        .cgroup_prefix = "tabique/", .interval_ns = 10 * NS_PER_MS, .connector = connector};
    /* what a server before us left */
    struct process dead = make_process(4123456, 9, clock_real_ns() - 3600 * SEC, "dead");
    store_process_born(f->store, "", &dead);

    assert_int_equal(sampler_new(&options, &sampler, NULL), 0);
    struct history *history = start(f, &world, sampler, NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execl("/bin/sleep", "sleep", "1000", NULL);
        _exit(1);
    }
    const struct process *found = NULL;
    while (!found) {
        assert_int_equal(store_processes_at(f->store, "", clock_real_ns(), &list, NULL), 0);
        found = process_list_find(list, child);
        if (found && strcmp(found->command, "sleep 1000") != 0)
            found = NULL;
        if (!found)
            process_list_unrefp(&list);
        usleep(2000);
    }
    assert_string_equal(found->name, "sleep");
    assert_int_equal(found->ppid, getpid());
    assert_non_null(process_list_find(list, getpid())); /* was there before the recorder */
    assert_null(process_list_find(list, 4123456));
    process_list_unrefp(&list);
    int64_t alive_ns = clock_real_ns();
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    do {
        process_list_unref(list);
        assert_int_equal(store_processes_at(f->store, "", clock_real_ns(), &list, NULL), 0);
        usleep(2000);
    } while (process_list_find(list, child));
    process_list_unref(list);
    assert_int_equal(store_processes_at(f->store, "", alive_ns, &list, NULL), 0);
    assert_non_null(process_list_find(list, child));
    process_list_unref(list);
    history_stop(history);
    sampler_free(sampler);
}

static void the_host_by_connector(void **state)
{
    the_host(true, *state);
}

static void the_host_by_polling(void **state)
{
    the_host(false, *state);
}

static void playback(void **state)
{
    struct fixture *f = *state;
    struct process p = make_process(10, 1, SEC, "ping"), q = make_process(11, 1, SEC, "cron");

    snprintf(p.container_id, sizeof(p.container_id), THIN);
    store_process_born(f->store, "", &p);
    store_process_born(f->store, "", &q);
    struct process_list *list = at(f, THIN, false, 2 * SEC);
    assert_int_equal(list->count, 1);
    assert_string_equal(list->items[0].name, "ping");
    process_list_unref(list);
    list = at(f, THIN, true, 2 * SEC);
    assert_int_equal(list->count, 0);
    process_list_unref(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(guests, setup, teardown),
        cmocka_unit_test_setup_teardown(guests_that_rest, setup, teardown),
        cmocka_unit_test_setup_teardown(samples, setup, teardown),
        cmocka_unit_test_setup_teardown(events_are_remembered_first, setup, teardown),
        cmocka_unit_test_setup_teardown(the_host_by_connector, setup, teardown),
        cmocka_unit_test_setup_teardown(the_host_by_polling, setup, teardown),
        cmocka_unit_test_setup_teardown(playback, setup, teardown),
    };

    return cmocka_run_group_tests_name("history", tests, NULL, NULL);
}
