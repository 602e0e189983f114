#include "db_test.h"

static struct event make_event(uint64_t sequence, int64_t time_ns, const char *action,
                               const char *actor, struct event_attribute *attributes, size_t count)
{
    return (struct event){.references = 1,
                          .sequence = sequence,
                          .time_ns = time_ns,
                          .type = (char *)"container",
                          .action = (char *)action,
                          .actor_id = (char *)actor,
                          .attributes = attributes,
                          .attribute_count = count};
}

struct seen {
    size_t count;
    uint64_t sequences[64];
    char text[256];
    size_t stop_after;
};

static int see(void *user, const struct event *event)
{
    struct seen *seen = user;

    seen->sequences[seen->count++] = event->sequence;
    const char *value = event_attribute(event, "name");
    snprintf(seen->text, sizeof(seen->text), "%s/%s/%s/%s/%zu", event->type, event->action,
             event->actor_id, value ? value : "-", event->attribute_count);
    return seen->stop_after && seen->count == seen->stop_after ? 99 : 0;
}

static struct seen ask(struct store *store, struct store_event_query query)
{
    struct seen seen = {0};

    assert_int_equal(store_events(store, &query, see, &seen, NULL), 0);
    return seen;
}

static void files(void **state)
{
    struct fixture *f = *state;
    struct stat st;

    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(peek(f, "PRAGMA user_version"), 2);
    assert_int_equal(peek(f, "PRAGMA auto_vacuum"), 2);
    /* A newer schema is not touched. */
    peek(f, "PRAGMA user_version = 99");
    store_close(f->store);
    f->store = NULL;
    struct error err = ERROR_INIT;
    struct store *store = (void *)1;
    assert_int_equal(store_open(&f->options, &store, &err), -ENOTSUP);
    assert_ptr_equal(store, (void *)1);
    assert_non_null(strstr(err.message, "newer version"));
    struct store_options nowhere = {.path = "/nonexistent/x.db"};
    assert_true(store_open(&nowhere, &store, &err) < 0);
}

static void events(void **state)
{
    struct fixture *f = *state;
    struct event_attribute odd[] = {{(char *)"name", (char *)"a\"b\\\n\x01\xff"},
                                    {(char *)"name", (char *)"second"},
                                    {(char *)"", (char *)""}};

    for (uint64_t i = 1; i <= 20; i++) {
        struct event event = make_event(i, (int64_t)i * SEC, i % 2 ? "start" : "exec_create: sh",
                                        i % 5 ? "a" : "b", odd, i == 20 ? 3 : 1);
        assert_int_equal(store_put_event(f->store, &event), 0);
    }
    assert_int_equal(store_last_event_sequence(f->store), 20);
    struct seen seen = ask(f->store, (struct store_event_query){0});
    assert_int_equal(seen.count, 20);
    assert_string_equal(seen.text, "container/exec_create: sh/b/a\"b\\\n\x01\xef\xbf\xbd/3");
    seen = ask(f->store, (struct store_event_query){.since_ns = 5 * SEC, .until_ns = 8 * SEC});
    assert_int_equal(seen.count, 3);
    assert_int_equal(seen.sequences[0], 5);
    seen = ask(f->store, (struct store_event_query){.after_sequence = 15, .limit = 2});
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.sequences[1], 17);
    seen = ask(f->store, (struct store_event_query){.newest_first = true, .limit = 3});
    assert_int_equal(seen.sequences[0], 20);
    seen = ask(f->store,
               (struct store_event_query){.newest_first = true, .limit = 3, .after_sequence = 18});
    assert_int_equal(seen.sequences[0], 17);
    seen = ask(f->store, (struct store_event_query){.actor_id = "b"});
    assert_int_equal(seen.count, 4);
    seen = ask(f->store, (struct store_event_query){
                             .actor_id = "b", .newest_first = true, .after_sequence = 20});
    assert_int_equal(seen.sequences[0], 15);
    seen = ask(f->store, (struct store_event_query){.action = "exec_create"});
    assert_int_equal(seen.count, 10);
    seen = ask(f->store, (struct store_event_query){.action = "exec_create: sh"});
    assert_int_equal(seen.count, 10);
    seen = ask(f->store, (struct store_event_query){.action = "exec"});
    assert_int_equal(seen.count, 0);
    seen = ask(f->store, (struct store_event_query){.type = "image"});
    assert_int_equal(seen.count, 0);
    seen = ask(f->store, (struct store_event_query){.type = "x' OR '1'='1"});
    assert_int_equal(seen.count, 0);
    /* A callback ends the query with its own value. */
    struct seen stop = {.stop_after = 2};
    assert_int_equal(store_events(f->store, &(struct store_event_query){0}, see, &stop, NULL), 99);
    assert_int_equal(stop.count, 2);
    /* Numbers go on after a restart. */
    fixture_reopen(f);
    assert_int_equal(store_last_event_sequence(f->store), 20);
    seen = ask(f->store, (struct store_event_query){0});
    assert_int_equal(seen.count, 20);
}

static int nested(void *user, const struct event *event)
{
    struct store *store = user;
    struct seen seen = {0};
    struct store_event_query query = {.after_sequence = event->sequence, .limit = 1};

    return store_events(store, &query, see, &seen, NULL);
}

static void a_callback_may_ask_again(void **state)
{
    struct fixture *f = *state;

    for (uint64_t i = 1; i <= 3; i++) {
        struct event event = make_event(i, (int64_t)i, "start", "a", NULL, 0);
        assert_int_equal(store_put_event(f->store, &event), 0);
    }
    assert_int_equal(store_events(f->store, &(struct store_event_query){0}, nested, f->store, NULL),
                     0);
}

struct putter {
    struct store *store;
    int base;
};

static void *put_many(void *user)
{
    struct putter *putter = user;

    for (int i = 1; i <= 100; i++) {
        struct event event = make_event((uint64_t)(putter->base + i), i, "start", "a", NULL, 0);
        if (store_put_event(putter->store, &event) < 0)
            return (void *)1;
    }
    return NULL;
}

static void *read_many(void *user)
{
    size_t last = 0;

    for (int i = 0; i < 50; i++) {
        size_t count = 0;
        struct process_list *list = NULL;
        if (store_processes_at(user, "", i, &list, NULL) < 0)
            return (void *)1;
        process_list_unref(list);
        if (count < last)
            return (void *)1;
    }
    return NULL;
}

static void many_threads(void **state)
{
    struct fixture *f = *state;
    pthread_t threads[12];
    struct putter putters[8];

    for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
        if (i < ARRAY_SIZE(putters)) {
            putters[i] = (struct putter){f->store, (int)i * 100};
            assert_int_equal(pthread_create(&threads[i], NULL, put_many, &putters[i]), 0);
        } else {
            assert_int_equal(pthread_create(&threads[i], NULL, read_many, f->store), 0);
        }
    }
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
        void *result;
        pthread_join(threads[i], &result);
        assert_null(result);
    }
    assert_int_equal(store_last_event_sequence(f->store), 800);
    assert_int_equal(peek(f, "SELECT count(*) FROM event"), 800);
}

/* What was returned from is in the file: seen from outside, at once. */
static void durable_on_return(void **state)
{
    struct fixture *f = *state;
    struct event event = make_event(5, 5, "start", "a", NULL, 0);
    struct store_audit audit = {.what = "login", .result = 200};

    assert_int_equal(store_put_event(f->store, &event), 0);
    assert_int_equal(peek(f, "SELECT count(*) FROM event WHERE sequence = 5"), 1);
    assert_int_equal(store_put_audit(f->store, &audit), 0);
    assert_int_equal(peek(f, "SELECT count(*) FROM audit WHERE what = 'login'"), 1);
}

/* --- audit ---------------------------------------------------------------------------- */

struct lines {
    size_t count;
    int64_t ids[32];
    char last[256];
};

static int see_line(void *user, const struct store_audit *audit)
{
    struct lines *lines = user;

    lines->ids[lines->count++] = audit->id;
    snprintf(lines->last, sizeof(lines->last), "%s|%s|%s|%s|%s|%s|%d", audit->who, audit->role,
             audit->from, audit->what, audit->target, audit->detail ? audit->detail : "NULL",
             audit->result);
    return 0;
}

static void audit_lines(void **state)
{
    struct fixture *f = *state;
    struct lines lines = {0};

    for (int i = 1; i <= 10; i++) {
        struct store_audit audit = {.time_ns = i * SEC,
                                    .who = i % 2 ? "ana" : "bob",
                                    .role = "admin",
                                    .from = "10.0.0.1",
                                    .what = i % 3 ? "container.start" : "login",
                                    .target = "c1",
                                    .detail = i == 1 ? "{\"a\":1}" : NULL,
                                    .result = 204};
        assert_int_equal(store_put_audit(f->store, &audit), 0);
    }
    assert_int_equal(store_audits(f->store, &(struct store_audit_query){0}, see_line, &lines, NULL),
                     0);
    assert_int_equal(lines.count, 10);
    assert_true(lines.ids[0] > lines.ids[9]);
    assert_string_equal(lines.last, "ana|admin|10.0.0.1|container.start|c1|{\"a\":1}|204");
    int64_t fifth = lines.ids[4];
    lines = (struct lines){0};
    assert_int_equal(store_audits(f->store,
                                  &(struct store_audit_query){.before_id = fifth, .limit = 2},
                                  see_line, &lines, NULL),
                     0);
    assert_int_equal(lines.count, 2);
    assert_true(lines.ids[0] < fifth);
    lines = (struct lines){0};
    assert_int_equal(
        store_audits(f->store,
                     &(struct store_audit_query){.who = "ana", .what = "login", .target = "c1"},
                     see_line, &lines, NULL),
        0);
    assert_int_equal(lines.count, 2);
    lines = (struct lines){0};
    assert_int_equal(
        store_audits(f->store,
                     &(struct store_audit_query){.since_ns = 3 * SEC, .until_ns = 6 * SEC},
                     see_line, &lines, NULL),
        0);
    assert_int_equal(lines.count, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(files, setup, teardown),
        cmocka_unit_test_setup_teardown(events, setup, teardown),
        cmocka_unit_test_setup_teardown(a_callback_may_ask_again, setup, teardown),
        cmocka_unit_test_setup_teardown(many_threads, setup, teardown),
        cmocka_unit_test_setup_teardown(durable_on_return, setup, teardown),
        cmocka_unit_test_setup_teardown(audit_lines, setup, teardown),
    };

    return cmocka_run_group_tests_name("db_store", tests, NULL, NULL);
}
