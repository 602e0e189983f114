/* Many at once: parallel starts, races of opposite requests. */
#include "engine_test.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/mem.h"

#define MANY 20

struct job {
    struct bench *bench;
    struct container *container;
    int number;
    int result;
};

static void *start_one(void *user)
{
    struct job *job = user;
    CLEANUP_FREE char *name = mem_printf("many%d", job->number);
    CLEANUP_FREE char *body = mem_printf("{'Cmd':['sh','-c','echo %d; exit %d']}", job->number, job->number);

    job->container = run(job->bench, name, body);
    job->result = wait_exit(job->container);
    return NULL;
}

static void many(void **state)
{
    struct job jobs[MANY];
    pthread_t threads[MANY];

    for (int i = 0; i < MANY; i++) {
        jobs[i] = (struct job){.bench = *state, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, start_one, &jobs[i]), 0);
    }
    for (int i = 0; i < MANY; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(jobs[i].result, i);
        CLEANUP_FREE char *text = logs_of(jobs[i].container);
        assert_int_equal(atoi(text), i);
        drop(jobs[i].container);
    }
}

static void *start_and_stop(void *user)
{
    struct job *job = user;

    for (int i = 0; i < 6; i++) {
        switch ((i + job->number) % 4) {
        case 0:
            container_start(job->container, NULL, NULL);
            break;
        case 1:
            container_stop(job->container, NULL, 0, NULL);
            break;
        case 2:
            container_kill(job->container, NULL, NULL);
            break;
        case 3:
            container_restart(job->container, NULL, 0, NULL);
            break;
        }
    }
    return NULL;
}

static void races(void **state)
{
    struct bench *bench = *state;
    struct container *c = make(bench, "race", "{'Cmd':['sleep','100']}");
    struct job jobs[8];
    pthread_t threads[8];

    for (int i = 0; i < 8; i++) {
        jobs[i] = (struct job){.bench = bench, .container = c, .number = i};
        pthread_create(&threads[i], NULL, start_and_stop, &jobs[i]);
    }
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    /* Whatever the order was, it can still be told what to do. */
    container_stop(c, NULL, 0, NULL);
    assert_int_equal(container_start(c, NULL, NULL), 0);
    struct container_info *info = info_of(c);
    assert_int_equal(info->state, CONTAINER_RUNNING);
    container_info_free(info);
    drop(c);
}

static void *remove_it(void *user)
{
    struct job *job = user;
    job->result = container_remove(job->container, true, true, false, NULL);
    return NULL;
}

static void removed_once(void **state)
{
    struct bench *bench = *state;

    for (int round = 0; round < 5; round++) {
        struct container *c = run(bench, "twice", "{'Cmd':['sleep','100'],'HostConfig':{'AutoRemove':true}}");
        struct job jobs[4];
        pthread_t threads[4];
        int good = 0;

        for (int i = 0; i < 4; i++) {
            jobs[i] = (struct job){.bench = bench, .container = c};
            pthread_create(&threads[i], NULL, remove_it, &jobs[i]);
        }
        for (int i = 0; i < 4; i++) {
            pthread_join(threads[i], NULL);
            good += jobs[i].result == 0;
            assert_true(jobs[i].result == 0 || jobs[i].result == -EBUSY || jobs[i].result == -ENOENT);
        }
        assert_int_equal(good, 1);
        container_put(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(many), cmocka_unit_test(races), cmocka_unit_test(removed_once)};
    return cmocka_run_group_tests(tests, bench_up, bench_down);
}
