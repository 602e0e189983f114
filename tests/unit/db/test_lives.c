#include "db_test.h"

#include "../../../db/store_internal.h"

static struct process_list *at(struct fixture *f, const char *side, int64_t at_ns)
{
    struct process_list *list = NULL;
    struct error err = ERROR_INIT;

    if (store_processes_at(f->store, side, at_ns, &list, &err) < 0)
        fail_msg("%s", err.message);
    return list;
}

static size_t count_at(struct fixture *f, const char *side, int64_t at_ns)
{
    struct process_list *list = at(f, side, at_ns);
    size_t count = list->count;

    process_list_unref(list);
    return count;
}

static void one_life(void **state)
{
    struct fixture *f = *state;
    struct process process = make_process(42, 100, 10 * SEC, "ping");

    snprintf(process.container_id, sizeof(process.container_id), "%064d", 7);
    process.inner_pid = 1;
    process.inner_ppid = 0;
    process.worker = true;
    assert_int_equal(store_process_born(f->store, "", &process), 0);
    assert_int_equal(count_at(f, "", 10 * SEC - 1), 0);
    assert_int_equal(count_at(f, "", 10 * SEC), 1);
    assert_int_equal(store_process_died(f->store, "", 42, 100, 20 * SEC), 0);
    assert_int_equal(count_at(f, "", 20 * SEC - 1), 1);
    assert_int_equal(count_at(f, "", 20 * SEC), 0);
    assert_int_equal(count_at(f, "elsewhere", 15 * SEC), 0);

    struct process_list *list = at(f, "", 15 * SEC);
    const struct process *p = &list->items[0];
    assert_int_equal(list->sampled_ns, 15 * SEC);
    assert_int_equal(p->pid, 42);
    assert_int_equal(p->ppid, 1);
    assert_int_equal(p->inner_pid, 1);
    assert_int_equal(p->inner_ppid, 0);
    assert_int_equal(p->start_ticks, 100);
    assert_int_equal(p->started_ns, 10 * SEC);
    assert_int_equal(p->uid, 7);
    assert_string_equal(p->user, "app");
    assert_string_equal(p->name, "ping");
    assert_string_equal(p->command, "ping");
    assert_string_equal(p->container_id, process.container_id);
    assert_int_equal(p->pid_namespace, 4026531836);
    assert_int_equal(p->threads, 2);
    assert_true(p->worker);
    assert_false(p->kernel_thread);
    process_list_unref(list);
    /* a death without a birth is nothing */
    assert_int_equal(store_process_died(f->store, "", 43, 1, 20 * SEC), 0);
    assert_int_equal(store_flush(f->store), 0);
    assert_int_equal(peek(f, "SELECT count(*) FROM life"), 1);
}

static void known_already(void **state)
{
    struct fixture *f = *state;
    int64_t now = clock_real_ns();
    struct process process = make_process(42, 100, now - 60 * SEC, "sh");

    for (int i = 0; i < 3; i++)
        assert_int_equal(store_process_born(f->store, "", &process), 0);
    assert_int_equal(store_flush(f->store), 0);
    assert_int_equal(peek(f, "SELECT count(*) FROM life"), 1);
    /* another program, a minute after its birth: the life goes on in a new row */
    struct process other = make_process(42, 100, now - 60 * SEC, "sleep");
    assert_int_equal(store_process_born(f->store, "", &other), 0);
    struct process_list *list = at(f, "", now - 30 * SEC);
    assert_int_equal(list->count, 1);
    assert_string_equal(list->items[0].name, "sh");
    process_list_unref(list);
    list = at(f, "", clock_real_ns() + SEC);
    assert_int_equal(list->count, 1);
    assert_string_equal(list->items[0].name, "sleep");
    assert_int_equal(list->items[0].started_ns, now - 60 * SEC);
    process_list_unref(list);
    assert_int_equal(peek(f, "SELECT count(*) FROM life"), 2);
    /* within a second of its birth: it is that program */
    struct process young = make_process(50, 200, clock_real_ns(), "tabique-shim");
    struct process ping = make_process(50, 200, young.started_ns, "ping");
    assert_int_equal(store_process_born(f->store, "", &young), 0);
    assert_int_equal(store_process_born(f->store, "", &ping), 0);
    list = at(f, "", young.started_ns);
    assert_string_equal(process_list_find(list, 50)->name, "ping");
    process_list_unref(list);
    /* a number used again, the death before never told */
    struct process again = make_process(50, 900, clock_real_ns() + 5 * SEC, "again");
    assert_int_equal(store_process_born(f->store, "", &again), 0);
    list = at(f, "", again.started_ns);
    assert_string_equal(process_list_find(list, 50)->name, "again");
    assert_int_equal(list->count, 2);
    process_list_unref(list);
}

static void sides(void **state)
{
    struct fixture *f = *state;
    struct process process = make_process(1, 5, 10 * SEC, "init");

    assert_int_equal(store_process_born(f->store, "", &process), 0);
    assert_int_equal(store_process_born(f->store, "guest", &process), 0);
    assert_int_equal(store_process_died(f->store, "guest", 1, 5, 12 * SEC), 0);
    assert_int_equal(count_at(f, "", 13 * SEC), 1);
    assert_int_equal(count_at(f, "guest", 11 * SEC), 1);
    assert_int_equal(count_at(f, "guest", 13 * SEC), 0);
}

static int collect(void *user, const char *side)
{
    strcat(user, side[0] ? side : "host");
    strcat(user, " ");
    return 0;
}

static void resync(void **state)
{
    struct fixture *f = *state;
    struct process a = make_process(1, 5, 10 * SEC, "a"), b = make_process(2, 6, 10 * SEC, "b");
    struct process_list *list = process_list_new(1);
    char open_sides[64] = "";

    process_copy(process_list_add(list), &a);
    store_process_born(f->store, "", &a);
    store_process_born(f->store, "", &b);
    store_process_born(f->store, "guest", &a);
    assert_int_equal(store_open_sides(f->store, collect, open_sides, NULL), 0);
    assert_string_equal(open_sides, "host guest ");
    assert_int_equal(store_process_resync(f->store, "", list, 20 * SEC), 0);
    assert_int_equal(count_at(f, "", 19 * SEC), 2);
    assert_int_equal(count_at(f, "", 21 * SEC), 1);
    assert_int_equal(count_at(f, "guest", 21 * SEC), 1);
    assert_int_equal(store_process_resync(f->store, "guest", NULL, 20 * SEC), 0);
    assert_int_equal(count_at(f, "guest", 21 * SEC), 0);
    process_list_unref(list);
    /* end 0: when the store was last written before it was opened */
    int64_t written = clock_real_ns();
    fixture_reopen(f);
    assert_int_equal(store_process_resync(f->store, "", NULL, 0), 0);
    int64_t ended = peek(f, "SELECT max(ended) FROM life");
    assert_true(ended > written - 10 * SEC && ended <= clock_real_ns());
    assert_int_equal(peek(f, "SELECT count(*) FROM life WHERE ended IS NULL"), 0);
}

static void machine_restarted(void **state)
{
    struct fixture *f = *state;
    struct process a = make_process(1, 5, 10 * SEC, "a");

    store_process_born(f->store, "", &a);
    store_process_born(f->store, "guest", &a);
    fixture_reopen(f);
    assert_int_equal(peek(f, "SELECT count(*) FROM life WHERE ended IS NULL"), 2);
    store_close(f->store);
    peek(f, "UPDATE meta SET value = 'another-boot' WHERE key = 'boot'");
    fixture_open(f);
    assert_int_equal(peek(f, "SELECT count(*) FROM life WHERE ended IS NULL"), 0);
    assert_int_equal(count_at(f, "", 11 * SEC), 1);
    assert_int_equal(count_at(f, "", clock_real_ns() + SEC), 0);
}

struct rows {
    size_t count;
    int64_t last_id;
    char names[256];
};

static int see(void *user, int64_t id, const char *side, const struct store_life *life)
{
    struct rows *rows = user;

    assert_true(id > rows->last_id);
    rows->last_id = id;
    rows->count++;
    strcat(rows->names, life->process.name);
    strcat(rows->names, side[0] ? "@" : "");
    strcat(rows->names, side);
    strcat(rows->names, life->ended_ns ? " " : "* ");
    return 0;
}

static struct rows lives(struct fixture *f, struct store_life_query query)
{
    struct rows rows = {0};

    rows.last_id = query.after_id;
    assert_int_equal(store_lives(f->store, &query, see, &rows, NULL), 0);
    return rows;
}

static void listing(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *side, *name;
        int begin, end;
        const char *container;
    } all[] = {
        {"", "init", 1, 0, ""},   {"", "sh", 10, 20, "c1"},           {"", "ping", 12, 13, "c1"},
        {"", "cron", 30, 31, ""}, {"g1", "guest-ping", 15, 25, "g1"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        struct process p = make_process((pid_t)i + 1, i, all[i].begin * SEC, all[i].name);
        snprintf(p.container_id, sizeof(p.container_id), "%s", all[i].container);
        store_process_born(f->store, all[i].side, &p);
        if (all[i].end)
            store_process_died(f->store, all[i].side, p.pid, i, all[i].end * SEC);
    }
    struct rows r = lives(f, (struct store_life_query){0});
    assert_string_equal(r.names, "init* sh ping cron guest-ping@g1 ");
    r = lives(f, (struct store_life_query){.side = ""});
    assert_int_equal(r.count, 4);
    r = lives(f, (struct store_life_query){.side = "g1"});
    assert_string_equal(r.names, "guest-ping@g1 ");
    r = lives(f, (struct store_life_query){.container_id = "c1"});
    assert_string_equal(r.names, "sh ping ");
    r = lives(f, (struct store_life_query){.container_id = "g1", .side = ""});
    assert_int_equal(r.count, 0);
    r = lives(f, (struct store_life_query){.search = "PING"});
    assert_string_equal(r.names, "ping guest-ping@g1 ");
    r = lives(f, (struct store_life_query){.search = "%"});
    assert_int_equal(r.count, 0);
    r = lives(f, (struct store_life_query){.since_ns = 14 * SEC, .until_ns = 16 * SEC});
    assert_string_equal(r.names, "init* sh guest-ping@g1 ");
    r = lives(f, (struct store_life_query){.side = "", .since_ns = 31 * SEC, .until_ns = 99 * SEC});
    assert_string_equal(r.names, "init* ");
    r = lives(f, (struct store_life_query){.limit = 2});
    assert_int_equal(r.count, 2);
    r = lives(f, (struct store_life_query){.limit = 9, .after_id = r.last_id});
    assert_string_equal(r.names, "ping cron guest-ping@g1 ");
    r = lives(f, (struct store_life_query){.container_id = "c1", .after_id = r.last_id});
    assert_int_equal(r.count, 0);
}

/* --- 200,000 lives: right, and by the index ---------------------------------------------- */

enum { MANY = 200000 };

struct model {
    int64_t began, ended;
};

static size_t plan(struct fixture *f, const char *sql, char *out, size_t size)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    CLEANUP_FREE char *text = NULL;
    size_t scans = 0;

    assert_true(asprintf(&text, "EXPLAIN QUERY PLAN %s", sql) > 0);
    assert_int_equal(sqlite3_open_v2(f->path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, text, -1, &statement, NULL), SQLITE_OK);
    out[0] = '\0';
    while (sqlite3_step(statement) == SQLITE_ROW) {
        const char *detail = (const char *)sqlite3_column_text(statement, 3);
        snprintf(out + strlen(out), size - strlen(out), "%s\n", detail);
        if (strncmp(detail, "SCAN", 4) == 0 && strstr(detail, "span") == NULL)
            scans++;
    }
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return scans;
}

static void a_long_history(void **state)
{
    struct fixture *f = *state;
    struct model *model = calloc(MANY, sizeof(*model));
    unsigned seed = 1;
    int64_t horizon = INT64_C(7) * 86400 * SEC;
    char text[2048];

    /* On a slow machine this takes long enough for retention to come by. */
    f->options.retain_ns = INT64_MAX / 2;
    fixture_reopen(f);
    for (int i = 0; i < MANY; i++) {
        /* Most live for milliseconds, some for days, a few for ever. */
        int64_t length =
            (int64_t)(1000000.0 * (1 << (rand_r(&seed) % 30)) * (1 + rand_r(&seed) % 100) / 100);
        model[i].began = (int64_t)((double)horizon * rand_r(&seed) / RAND_MAX);
        model[i].ended = i % 2000 == 0 ? INT64_MAX : model[i].began + length;
        struct process p = make_process(i + 1, (uint64_t)i, model[i].began, "x");
        store_process_born(f->store, "", &p);
        if (model[i].ended != INT64_MAX)
            store_process_died(f->store, "", p.pid, (uint64_t)i, model[i].ended);
    }
    assert_int_equal(store_flush(f->store), 0);
    assert_int_equal(peek(f, "SELECT count(*) FROM life"), MANY);

    for (int k = 0; k < 40; k++) {
        int64_t when = k == 0   ? model[17].began
                       : k == 1 ? model[17].ended
                                : (int64_t)((double)horizon * rand_r(&seed) / RAND_MAX);
        size_t expected = 0;
        struct process_list *list = at(f, "", when);

        for (int i = 0; i < MANY; i++)
            expected += model[i].began <= when && model[i].ended > when;
        assert_int_equal(list->count, expected);
        for (size_t i = 0; i < list->count; i++) {
            const struct model *m = &model[list->items[i].pid - 1];
            assert_true(m->began <= when && m->ended > when);
        }
        process_list_unref(list);
    }
    free(model);

    assert_int_equal(plan(f, store__processes_at_sql, text, sizeof(text)), 0);
    assert_non_null(strstr(
        text, "SEARCH life USING INDEX life_at (side=? AND span=? AND began>? AND began<?)"));

    /* Not the plan alone: the work. Rows touched are of the order of the answer. */
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    assert_int_equal(sqlite3_open_v2(f->path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, store__processes_at_sql, -1, &statement, NULL),
                     SQLITE_OK);
    sqlite3_bind_text(statement, 1, "", -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 2, horizon / 2);
    size_t rows = 0;
    while (sqlite3_step(statement) == SQLITE_ROW)
        rows++;
    int steps = sqlite3_stmt_status(statement, SQLITE_STMTSTATUS_VM_STEP, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    assert_true(rows > 100);
    assert_in_range(steps, 1, (uintmax_t)rows * 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_life, setup, teardown),
        cmocka_unit_test_setup_teardown(known_already, setup, teardown),
        cmocka_unit_test_setup_teardown(sides, setup, teardown),
        cmocka_unit_test_setup_teardown(resync, setup, teardown),
        cmocka_unit_test_setup_teardown(machine_restarted, setup, teardown),
        cmocka_unit_test_setup_teardown(listing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_long_history, setup, teardown),
    };

    return cmocka_run_group_tests_name("db_lives", tests, NULL, NULL);
}
