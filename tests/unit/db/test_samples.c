#include "db_test.h"

#include "../../../db/store_internal.h"

struct got {
    size_t count;
    struct store_sample items[4000];
};

static int see(void *user, const struct store_sample *sample)
{
    struct got *got = user;

    assert_true(got->count < ARRAY_SIZE(got->items));
    if (got->count > 0)
        assert_true(sample->time_ns > got->items[got->count - 1].time_ns);
    got->items[got->count++] = *sample;
    return 0;
}

static struct got *ask(struct fixture *f, const char *subject, int64_t since, int64_t until,
                       int64_t step)
{
    struct got *got = calloc(1, sizeof(*got));

    assert_int_equal(store_samples(f->store, subject, since, until, step, see, got, NULL), 0);
    return got;
}

static int roll(struct store *store, void *data)
{
    /* Inside a batch's transaction: end it, roll up, and begin another. */
    (void)store__end(store, 0);
    int r = store__roll_up(store, *(int64_t *)data);
    (void)store__begin(store);
    return r;
}

static int forget(struct store *store, void *data)
{
    (void)store__end(store, 0);
    store__retention(store, *(int64_t *)data);
    (void)store__begin(store);
    return 0;
}

/* A second's samples over some minutes, told as they are and rolled up. */
static void levels(void **state)
{
    struct fixture *f = *state;
    int64_t now = clock_real_ns();
    int64_t begin = (now - 1800 * SEC) / (60 * SEC) * (60 * SEC);

    for (int i = 0; i < 300; i++) {
        struct store_sample s = {.time_ns = begin + i * SEC,
                                 .cpu_percent = i % 10 == 9 ? 100 : 0,
                                 .memory_bytes = (uint64_t)(1000 + i),
                                 .net_rx_bytes = (uint64_t)i,
                                 .net_tx_bytes = 2,
                                 .block_read_bytes = 3,
                                 .block_write_bytes = 4,
                                 .pids = 5};
        assert_int_equal(store_put_sample(f->store, "c1", &s), 0);
        s.cpu_percent = 7;
        assert_int_equal(store_put_sample(f->store, "", &s), 0);
    }
    /* Rolled up or not yet (made on the fly): the same answer. */
    for (int rolled = 0; rolled < 3; rolled++) {
        struct got *got = ask(f, "c1", begin, begin + 300 * SEC, SEC);
        assert_int_equal(got->count, 300);
        assert_int_equal(got->items[0].span_ns, SEC);
        assert_int_equal(got->items[42].memory_bytes, 1042);
        free(got);

        got = ask(f, "c1", begin, begin + 300 * SEC, 10 * SEC);
        assert_int_equal(got->count, 30);
        assert_int_equal(got->items[3].span_ns, 10 * SEC);
        assert_int_equal(got->items[3].time_ns, begin + 30 * SEC);
        assert_true(got->items[3].cpu_percent == 10.0);
        assert_true(got->items[3].cpu_percent_max == 100.0);
        assert_int_equal(got->items[3].memory_bytes, 1034);
        assert_int_equal(got->items[3].memory_bytes_max, 1039);
        assert_int_equal(got->items[3].net_rx_bytes, 39);
        assert_int_equal(got->items[3].pids, 5);
        free(got);

        got = ask(f, "c1", begin, 0, 300 * SEC); /* the coarsest not above it: a minute */
        assert_int_equal(got->count, 5);
        assert_int_equal(got->items[1].span_ns, 60 * SEC);
        assert_true(got->items[1].cpu_percent == 10.0);
        assert_int_equal(got->items[4].net_rx_bytes, 299);
        free(got);

        got = ask(f, "", begin, 0, 3600 * SEC);
        assert_in_range(got->count, 1, 2);
        assert_true(got->items[0].cpu_percent > 6.999 && got->items[0].cpu_percent < 7.001);
        free(got);

        /* half of it, then the rest */
        int64_t until = rolled == 0 ? begin + 154 * SEC : now;
        assert_int_equal(store__call(f->store, roll, &until), 0);
        if (rolled == 1) {
            assert_int_equal(peek(f, "SELECT count(*) FROM sample WHERE span = 1"), 60);
            assert_int_equal(peek(f, "SELECT count(*) FROM sample WHERE span = 2"), 10);
        }
        fixture_reopen(f);
    }
    struct got *got = ask(f, "c1", begin + 10 * SEC, begin + 20 * SEC, SEC);
    assert_int_equal(got->count, 10);
    free(got);
    got = ask(f, "nobody", begin, 0, SEC);
    assert_int_equal(got->count, 0);
    free(got);
}

/* Old raw samples go, the coarser ones stay, and a query takes what reaches back. */
static void ages(void **state)
{
    struct fixture *f = *state;
    int64_t now = clock_real_ns();
    int64_t begin = (now - 7200 * SEC) / (60 * SEC) * (60 * SEC);

    for (int i = 0; i < 120; i++) {
        struct store_sample s = {.time_ns = begin + i * SEC, .cpu_percent = 1, .memory_bytes = 10};
        assert_int_equal(store_put_sample(f->store, "c1", &s), 0);
    }
    /* Not before they have been rolled up. */
    assert_int_equal(store__call(f->store, forget, &now), 0);
    assert_int_equal(peek(f, "SELECT count(*) FROM sample WHERE span = 0"), 120);
    assert_int_equal(store__call(f->store, roll, &now), 0);
    assert_int_equal(store__call(f->store, forget, &now), 0);
    assert_int_equal(peek(f, "SELECT count(*) FROM sample WHERE span = 0"), 0);
    assert_int_equal(peek(f, "SELECT count(*) FROM sample WHERE span = 1"), 12);
    struct got *got = ask(f, "c1", begin, 0, SEC);
    assert_int_equal(got->count, 12);
    free(got);
    int64_t later = now + 86400 * SEC;
    assert_int_equal(store__call(f->store, roll, &later), 0);
    assert_int_equal(store__call(f->store, forget, &later), 0);
    assert_int_equal(peek(f, "SELECT count(*) FROM sample WHERE span = 1"), 0);
    assert_int_equal(peek(f, "SELECT count(*) FROM sample WHERE span = 2"), 2);
    later = now + 30 * 86400 * SEC;
    assert_int_equal(store__call(f->store, roll, &later), 0);
    assert_int_equal(store__call(f->store, forget, &later), 0);
    assert_int_equal(peek(f, "SELECT count(*) FROM sample WHERE span = 2"), 0);
    assert_in_range(peek(f, "SELECT count(*) FROM sample WHERE span = 3"), 1, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(levels, setup, teardown),
        cmocka_unit_test_setup_teardown(ages, setup, teardown),
    };

    return cmocka_run_group_tests_name("db_samples", tests, NULL, NULL);
}
