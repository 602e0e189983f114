#include "db_test.h"

#include "../../../db/store_internal.h"

static int forget(struct store *store, void *data)
{
    (void)store__end(store, 0);
    store__retention(store, *(int64_t *)data);
    store__tidy(store);
    (void)store__begin(store);
    return 0;
}

static void put_event(struct store *store, uint64_t sequence, int64_t time_ns)
{
    struct event event = {.references = 1,
                          .sequence = sequence,
                          .time_ns = time_ns,
                          .type = (char *)"t",
                          .action = (char *)"a",
                          .actor_id = (char *)"x"};
    assert_int_equal(store_put_event(store, &event), 0);
}

static void by_age(void **state)
{
    struct fixture *f = *state;
    int64_t now = clock_real_ns();
    int64_t day = 86400 * SEC;

    for (int i = 0; i < 20; i++) {
        struct process p = make_process(i + 1, 1, now - (30 - i) * day, "x");
        snprintf(p.container_id, sizeof(p.container_id), "c%d", i);
        store_process_born(f->store, "", &p);
        if (i != 0)
            store_process_died(f->store, "", p.pid, 1, p.started_ns + SEC);
        put_event(f->store, (uint64_t)i + 1, p.started_ns);
        struct store_audit audit = {.time_ns = now - i * 10 * day, .what = "w"};
        assert_int_equal(store_put_audit(f->store, &audit), 0);
    }
    uint8_t hash[32] = {1};
    struct store_token old = {.id = "old", .user = "u", .hash = hash, .expires_ns = now - 2 * day};
    assert_int_equal(store_token_put(f->store, &old, NULL), 0);
    assert_int_equal(store__call(f->store, forget, &now), 0);
    /* All older than seven days: only the one still alive, and the newest event. */
    assert_int_equal(peek(f, "SELECT count(*) FROM life"), 1);
    assert_int_equal(peek(f, "SELECT pid FROM life"), 1);
    assert_int_equal(peek(f, "SELECT count(*) FROM event"), 1);
    assert_int_equal(peek(f, "SELECT sequence FROM event"), 20);
    assert_int_equal(peek(f, "SELECT count(*) FROM audit"), 10);
    assert_int_equal(peek(f, "SELECT count(*) FROM token"), 0);
    assert_int_equal(peek(f, "SELECT count(*) FROM subject"), 2); /* the host, and c0 */
    fixture_reopen(f);
    assert_int_equal(store_last_event_sequence(f->store), 20);
    /* names forgotten are made anew */
    struct process p = make_process(99, 1, now, "x");
    snprintf(p.container_id, sizeof(p.container_id), "c7");
    assert_int_equal(store_process_born(f->store, "c9", &p), 0);
    assert_int_equal(store_flush(f->store), 0);
    assert_int_equal(peek(f, "SELECT count(*) FROM subject"), 4);
}

static void by_size(void **state)
{
    struct fixture *f = *state;
    int64_t now = clock_real_ns();
    char command[900];

    store_close(f->store);
    f->options.max_bytes = 4 << 20;
    fixture_open(f);
    memset(command, 'x', sizeof(command) - 1);
    command[sizeof(command) - 1] = '\0';
    for (int i = 0; i < 12000; i++) {
        struct process p = make_process(i + 1, 1, now - (12000 - i) * SEC, "x");
        p.command = command;
        store_process_born(f->store, "", &p);
        store_process_died(f->store, "", p.pid, 1, p.started_ns + SEC / 2);
    }
    struct store_audit audit = {.time_ns = now - 20000 * SEC, .what = "w"};
    assert_int_equal(store_put_audit(f->store, &audit), 0);
    for (int i = 0; i < 20; i++)
        assert_int_equal(store__call(f->store, forget, &now), 0);
    assert_in_range(peek(f, "SELECT (SELECT page_count FROM pragma_page_count) * 4096"), 1,
                    5 << 20);
    int64_t left = peek(f, "SELECT count(*) FROM life");
    assert_in_range(left, 500, 11000);
    /* the newest are there, the oldest are not */
    assert_int_equal(peek(f, "SELECT max(pid) FROM life"), 12000);
    assert_int_equal(peek(f, "SELECT max(pid) - min(pid) + 1 - count(*) FROM life"), 0);
    assert_int_equal(peek(f, "SELECT count(*) FROM audit"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(by_age, setup, teardown),
        cmocka_unit_test_setup_teardown(by_size, setup, teardown),
    };

    return cmocka_run_group_tests_name("db_retention", tests, NULL, NULL);
}
