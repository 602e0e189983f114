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

/* Who still holds one that is gone cannot bring back its name. */
static void renamed_too_late(void **state)
{
    struct bench *bench = *state;
    struct container *c = make(bench, "late", "{'Cmd':['true']}"), *found = NULL;

    assert_int_equal(container_remove(c, true, true, false, NULL), 0);
    assert_int_equal(container_rename(c, "later", NULL), -ENOENT);
    container_put(c);
    assert_int_equal(container_get(bench->engine, "later", &found, NULL), -ENOENT);
    drop(make(bench, "later", "{'Cmd':['true']}"));
}

#define CLIENTS 16
#define NAMES 5

static void exec_something(struct bench *bench, struct container *c)
{
    CLEANUP_JSON cJSON *body = cJSON_Parse("{\"Cmd\":[\"true\"]}");
    char id[65];

    if (exec_create(c, "it", body, id, NULL) == 0)
        exec_start(bench->engine, id, true, false, 0, 0, NULL, NULL);
}

static void *do_anything(void *user)
{
    struct job *job = user;
    struct bench *bench = job->bench;
    unsigned seed = (unsigned)job->number;

    for (int i = 0; i < 60; i++) {
        char name[16], other[16];
        struct container *c = NULL;

        snprintf(name, sizeof(name), "any%d", rand_r(&seed) % NAMES);
        snprintf(other, sizeof(other), "any%d", rand_r(&seed) % NAMES);
        int what = rand_r(&seed) % 11;
        if (what == 0) {
            (void)try_make(bench, name, rand_r(&seed) % 2 ? "{'Cmd':['sleep','100']}"
                                                         : "{'Cmd':['true'],'HostConfig':{'AutoRemove':true}}", NULL);
            continue;
        }
        if (container_get(bench->engine, name, &c, NULL) < 0)
            continue;
        switch (what) {
        case 1: case 2: case 3: container_start(c, NULL, NULL); break;
        case 4: container_stop(c, NULL, 0, NULL); break;
        case 5: container_kill(c, NULL, NULL); break;
        case 6: container_restart(c, NULL, 0, NULL); break;
        case 7: container_pause(c, NULL); break;
        case 8: container_unpause(c, NULL); break;
        case 9: container_rename(c, other, NULL); break;
        default:
            if (rand_r(&seed) % 2)
                container_remove(c, true, rand_r(&seed) % 2, false, NULL);
            else
                exec_something(bench, c);
        }
        container_put(c);
    }
    return NULL;
}

/* Whatever the order was: all come back, and what is left can be removed. */
static void everything_at_once(void **state)
{
    struct bench *bench = *state;
    struct job jobs[CLIENTS];
    pthread_t threads[CLIENTS];
    struct error err = ERROR_INIT;

    for (int i = 0; i < CLIENTS; i++) {
        jobs[i] = (struct job){.bench = bench, .number = i};
        pthread_create(&threads[i], NULL, do_anything, &jobs[i]);
    }
    for (int i = 0; i < CLIENTS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < NAMES; i++) {
        struct container *c = NULL;
        char name[16];

        snprintf(name, sizeof(name), "any%d", i);
        if (container_get(bench->engine, name, &c, NULL) < 0)
            continue;
        int r = container_remove(c, true, true, false, &err);
        if (r < 0 && r != -ENOENT && r != -EBUSY)
            fail_msg("%s: %s", name, err.message);
        container_put(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(many), cmocka_unit_test(races), cmocka_unit_test(removed_once),
                                       cmocka_unit_test(renamed_too_late), cmocka_unit_test(everything_at_once)};
    return cmocka_run_group_tests(tests, bench_up, bench_down);
}
