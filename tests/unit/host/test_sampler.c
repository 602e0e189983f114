#include "changes.h"

static struct sampler *new_sampler(bool connector)
{
    struct sampler *sampler = NULL;
    struct error err = ERROR_INIT;
    struct sampler_options options = {
        .cgroup_prefix = "tabique/", .interval_ns = NS_PER_SEC, .connector = connector};

    if (sampler_new(&options, &sampler, &err) < 0)
        fail_msg("%s", err.message);
    return sampler;
}

static bool has_connector(struct sampler *sampler)
{
    return strcmp(sampler_source(sampler), "connector") == 0;
}

static void ages(void **state)
{
    struct sampler *sampler = new_sampler(false);
    struct process_list *a = NULL, *b = NULL, *c = NULL;

    assert_string_equal(sampler_source(sampler), "polling");
    assert_int_equal(sampler_snapshot(sampler, 0, &a, NULL), 0);
    assert_int_equal(sampler_snapshot(sampler, 3600 * NS_PER_SEC, &b, NULL), 0);
    assert_ptr_equal(a, b);
    assert_int_equal(sampler_snapshot(sampler, 0, &c, NULL), 0);
    assert_ptr_not_equal(a, c);
    assert_true(c->sequence > a->sequence);
    assert_non_null(process_list_find(c, getpid()));
    process_list_unref(a);
    process_list_unref(b);
    process_list_unref(c);
    sampler_free(sampler);
}

struct many {
    struct sampler *sampler;
    uint64_t first, last;
    pthread_barrier_t *start;
};

static void *ask(void *user)
{
    struct many *many = user;
    struct process_list *list = NULL;

    pthread_barrier_wait(many->start);
    for (int i = 0; i < 20; i++) {
        if (sampler_snapshot(many->sampler, i % 2 ? 0 : 50 * NS_PER_MS, &list, NULL) < 0)
            return NULL;
        if (i == 0)
            many->first = list->sequence;
        many->last = list->sequence;
        process_list_unref(list);
    }
    return NULL;
}

/* Many at once cost few readings: whoever waits shares the next one. */
static void shared_readings(void **state)
{
    enum { THREADS = 16 };
    struct sampler *sampler = new_sampler(false);
    pthread_t threads[THREADS];
    struct many many[THREADS];
    pthread_barrier_t start;
    uint64_t last = 0;

    pthread_barrier_init(&start, NULL, THREADS);
    for (int i = 0; i < THREADS; i++) {
        many[i] = (struct many){.sampler = sampler, .start = &start};
        assert_int_equal(pthread_create(&threads[i], NULL, ask, &many[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_true(many[i].last >= many[i].first && many[i].first > 0);
        if (many[i].last > last)
            last = many[i].last;
    }
    pthread_barrier_destroy(&start);
    /* 160 asked for a fresh one. */
    assert_in_range(last, 10, THREADS * 20 - THREADS);
    sampler_free(sampler);
}

static pid_t run_true(void)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        execl("/bin/true", "true", "short", NULL);
        _exit(1);
    }
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    return pid;
}

static void short_lives_are_told(void **state)
{
    struct sampler *sampler = new_sampler(true);
    struct changes changes = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct change born, died;
    pid_t pids[50];

    if (!has_connector(sampler)) {
        sampler_free(sampler);
        skip();
    }
    sampler_on_change(sampler, changes_add, &changes);
    changes_wait(&changes, PROCESS_BORN, getpid(), &born); /* those there already come first */
    assert_string_equal(born.process.name, "test_host_sampl");
    for (size_t i = 0; i < ARRAY_SIZE(pids); i++)
        pids[i] = run_true();
    for (size_t i = 0; i < ARRAY_SIZE(pids); i++) {
        changes_wait(&changes, PROCESS_DIED, pids[i], &died);
        assert_true(changes_of(&changes, PROCESS_BORN, pids[i], &born) >= 1);
        assert_int_equal(born.process.ppid, getpid());
        assert_int_equal(born.process.start_ticks, died.process.start_ticks);
        assert_true(died.end_ns >= born.process.started_ns);
    }
    /* no call is under way when the listener has been taken away */
    sampler_on_change(sampler, NULL, NULL);
    size_t count = changes.count;
    run_true();
    sampler_free(sampler);
    assert_int_equal(changes.count, count);
    changes_free(&changes);
}

static void a_life(bool connector)
{
    struct sampler *sampler = new_sampler(connector);
    struct changes changes = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct change born, died;
    struct process_list *list = NULL;

    if (connector && !has_connector(sampler)) {
        sampler_free(sampler);
        skip();
    }
    sampler_on_change(sampler, changes_add, &changes);
    changes_wait(&changes, PROCESS_BORN, getpid(), NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execl("/bin/sleep", "sleep", "1000", NULL);
        _exit(1);
    }
    for (;;) {
        if (!connector) {
            assert_int_equal(sampler_snapshot(sampler, 0, &list, NULL), 0);
            process_list_unrefp(&list);
        }
        if (changes_of(&changes, PROCESS_BORN, child, &born) > 0 &&
            strcmp(born.process.command, "sleep 1000") == 0 &&
            strcmp(born.process.name, "sleep") == 0)
            break; /* polling may first meet it in the middle of its exec */
        usleep(1000);
    }
    assert_string_equal(born.process.user, "root");
    end_child(child);
    while (changes_of(&changes, PROCESS_DIED, child, &died) == 0) {
        if (!connector) {
            assert_int_equal(sampler_snapshot(sampler, 0, &list, NULL), 0);
            process_list_unrefp(&list);
        }
        usleep(1000);
    }
    sampler_free(sampler);
    assert_int_equal(changes_of(&changes, PROCESS_DIED, child, NULL), 1);
    changes_free(&changes);
}

static void by_connector(void **state)
{
    a_life(true);
}

static void by_polling(void **state)
{
    a_life(false);
}

static void *linger(void *user)
{
    char byte;

    /* The first thread has ended by pthread_exit(); the process goes on. */
    if (read(*(int *)user, &byte, 1) >= 0)
        execl("/bin/sleep", "sleep", "1000", NULL);
    _exit(1);
}

/* The first thread ends, another goes on and then executes: one life. */
static void threads_and_exec(void **state)
{
    struct sampler *sampler = new_sampler(true);
    struct changes changes = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct change born;
    int go[2];

#ifdef __SANITIZE_THREAD__
    sampler_free(sampler); /* it forbids threads in a child of a threaded parent */
    skip();
#endif
    if (!has_connector(sampler)) {
        sampler_free(sampler);
        skip();
    }
    assert_int_equal(pipe(go), 0);
    sampler_on_change(sampler, changes_add, &changes);
    changes_wait(&changes, PROCESS_BORN, getpid(), NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        pthread_t thread;
        /* No sanitizer's bookkeeping in the way of a dying first thread. */
        if (pthread_create(&thread, NULL, linger, &go[0]) == 0)
            pthread_exit(NULL);
        _exit(1);
    }
    changes_wait(&changes, PROCESS_BORN, child, NULL);
    usleep(300000); /* long enough for a wrong death to be told */
    assert_int_equal(changes_of(&changes, PROCESS_DIED, child, NULL), 0);
    assert_int_equal(write(go[1], "g", 1), 1);
    do
        changes_wait(&changes, PROCESS_BORN, child, &born);
    while (strcmp(born.process.name, "sleep") != 0 && usleep(1000) == 0);
    assert_int_equal(changes_of(&changes, PROCESS_DIED, child, NULL), 0);
    end_child(child);
    changes_wait(&changes, PROCESS_DIED, child, NULL);
    sampler_free(sampler);
    close(go[0]);
    close(go[1]);
    changes_free(&changes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ages),
        cmocka_unit_test(shared_readings),
        cmocka_unit_test(short_lives_are_told),
        cmocka_unit_test(by_connector),
        cmocka_unit_test(by_polling),
        cmocka_unit_test(threads_and_exec),
    };

    return cmocka_run_group_tests_name("host_sampler", tests, NULL, NULL);
}
