/* Rules on the real store and bus; events and samples of our making. How a message
 * reaches a receiver is tests/api/notifications.test.mjs. */
#include "../db/db_test.h"

#include <cjson/cJSON.h>

#include "base/json.h"
#include "base/mem.h"
#include "tabique/event.h"
#include "tabique/notify.h"

#define ONE "1111111111111111111111111111111111111111111111111111111111111111"
#define TWO "2222222222222222222222222222222222222222222222222222222222222222"

struct world {
    struct fixture *f;
    struct event_bus *bus;
    struct notify *notify;
    _Atomic bool one_runs;
};

static void record(void *user, const struct event *const *events, size_t count)
{
    assert_int_equal(store_put_events(user, events, count), 0);
}

static int running(void *user, notify_container_fn *fn, void *fn_user)
{
    struct world *world = user;
    const struct notify_container one = {.id = ONE, .name = "web", .memory_limit = 1000};

    return world->one_runs ? fn(fn_user, &one) : 0;
}

static void open_notify(struct world *world)
{
    const struct notify_options options = {
        .store = world->f->store,
        .bus = world->bus,
        .engine_id = "engine",
        .host = "host",
        .host_memory = 1000000,
        .user = world,
        .containers = running,
        .tick_ns = 20 * NS_PER_MS,
        .retry_ns = 10 * NS_PER_MS,
    };
    struct error err = ERROR_INIT;

    if (notify_open(&options, &world->notify, &err) < 0)
        fail_msg("%s", err.message);
}

static int begin(void **state)
{
    struct world *world = calloc(1, sizeof(*world));

    assert_int_equal(setup((void **)&world->f), 0);
    world->bus = event_bus_new(0);
    event_bus_set_batch_sink(world->bus, record, world->f->store);
    open_notify(world);
    *state = world;
    return 0;
}

static int finish(void **state)
{
    struct world *world = *state;

    notify_close(world->notify);
    event_bus_free(world->bus);
    teardown((void **)&world->f);
    free(world);
    return 0;
}

struct seen {
    size_t count;
    struct {
        char kind[32], container[32], detail[128];
        bool ended;
    } rows[32];
};

static int see(void *user, const struct store_notification *n)
{
    struct seen *seen = user;

    assert_true(seen->count < 32);
    snprintf(seen->rows[seen->count].kind, 32, "%s", n->kind);
    snprintf(seen->rows[seen->count].container, 32, "%s", n->container);
    snprintf(seen->rows[seen->count].detail, 128, "%s", n->detail);
    seen->rows[seen->count].ended = n->ended_ns != 0;
    seen->count++;
    return 0;
}

static struct seen all(struct world *world)
{
    struct seen seen = {0};

    assert_int_equal(store_notifications(world->f->store, &(struct store_notification_query){0}, see, &seen, NULL), 0);
    return seen;
}

/* Until that many were found; more would be found soon after, too. */
static struct seen wait_for(struct world *world, size_t count)
{
    for (int i = 0; i < 1000; i++) {
        struct seen seen = all(world);
        if (seen.count == count) {
            usleep(60000);
            seen = all(world);
            assert_int_equal(seen.count, count);
            return seen;
        }
        assert_true(seen.count < count);
        usleep(10000);
    }
    fail_msg("not found in time");
    return (struct seen){0};
}

static void happen(struct world *world, const char *id, const char *action, const char *name, const char *extra,
                   const char *value)
{
    event_publish(world->bus, "container", action, id, "name", name, extra, value, NULL);
}

static cJSON *body(const char *text)
{
    cJSON *json = NULL;

    assert_int_equal(json_parse(text, strlen(text), &json, NULL), 0);
    return json;
}

static int put_rule(struct world *world, const char *id, const char *text, cJSON **ret, struct error *err)
{
    cJSON *json = body(text);
    int r = notify_rule_put(world->notify, id, json, ret, err);

    cJSON_Delete(json);
    return r;
}

static void change_rule(struct world *world, const char *id, const char *text)
{
    cJSON *json = NULL;
    struct error err = ERROR_INIT;

    if (put_rule(world, id, text, &json, &err) < 0)
        fail_msg("%s", err.message);
    cJSON_Delete(json);
}

/* --- events --------------------------------------------------------------------------------- */

static void exits(void **state)
{
    struct world *world = *state;

    change_rule(world, "restart-loop", "{\"enabled\":false}");
    /* Asked to end, ended well, or failed: only the last is news. */
    happen(world, ONE, "start", "web", NULL, NULL);
    happen(world, ONE, "kill", "web", "signal", "15");
    happen(world, ONE, "die", "web", "exitCode", "143");
    happen(world, ONE, "start", "web", NULL, NULL);
    happen(world, ONE, "die", "web", "exitCode", "0");
    happen(world, ONE, "start", "web", NULL, NULL);
    happen(world, ONE, "kill", "web", "signal", "1"); /* reload */
    happen(world, ONE, "die", "web", "exitCode", "3");
    struct seen seen = wait_for(world, 1);
    assert_string_equal(seen.rows[0].kind, "exit");
    assert_string_equal(seen.rows[0].container, "web");
    assert_string_equal(seen.rows[0].detail, "{\"exitCode\":3}");
    /* Not again before the rule's pause is over; of another one, at once. */
    happen(world, ONE, "start", "web", NULL, NULL);
    happen(world, ONE, "die", "web", "exitCode", "3");
    happen(world, TWO, "die", "db", "exitCode", "4");
    seen = wait_for(world, 2);
    assert_string_equal(seen.rows[0].container, "db");
    /* Without a pause and for some names only. */
    change_rule(world, "exit", "{\"pause\":0,\"container\":\"w*\"}");
    happen(world, ONE, "start", "web", NULL, NULL);
    happen(world, ONE, "die", "web", "exitCode", "5");
    happen(world, TWO, "start", "db", NULL, NULL);
    happen(world, TWO, "die", "db", "exitCode", "5");
    seen = wait_for(world, 3);
    assert_string_equal(seen.rows[0].container, "web");
    change_rule(world, "exit", "{\"enabled\":false}");
    happen(world, ONE, "die", "web", "exitCode", "5");
    happen(world, ONE, "oom", "web", NULL, NULL);
    seen = wait_for(world, 4);
    assert_string_equal(seen.rows[0].kind, "oom");
    /* The wall fell: that is told, and not the exit code besides. */
    change_rule(world, "exit", "{\"enabled\":true}");
    event_publish(world->bus, "container", "die", ONE, "name", "web", "exitCode", "137", "error", "killed", NULL);
    seen = wait_for(world, 5);
    assert_string_equal(seen.rows[0].kind, "worker-lost");
    assert_string_equal(seen.rows[0].detail, "{\"reason\":\"killed\"}");
}

static void health(void **state)
{
    struct world *world = *state;

    happen(world, ONE, "health_status: unhealthy", "web", NULL, NULL);
    assert_false(wait_for(world, 1).rows[0].ended);
    happen(world, ONE, "health_status: unhealthy", "web", NULL, NULL); /* lasts: not said twice */
    happen(world, TWO, "health_status: healthy", "db", NULL, NULL);    /* another's */
    assert_false(wait_for(world, 1).rows[0].ended);
    happen(world, ONE, "health_status: healthy", "web", NULL, NULL);
    happen(world, TWO, "oom", "db", NULL, NULL);
    struct seen seen = wait_for(world, 2);
    assert_string_equal(seen.rows[1].kind, "unhealthy");
    assert_true(seen.rows[1].ended);
}

static void loops(void **state)
{
    struct world *world = *state;

    change_rule(world, "restart-loop", "{\"count\":3,\"seconds\":60}");
    change_rule(world, "exit", "{\"enabled\":false}");
    /* Stopped and started by hand is no loop. */
    for (int i = 0; i < 4; i++) {
        happen(world, TWO, "start", "db", NULL, NULL);
        happen(world, TWO, "kill", "db", "signal", "15");
        happen(world, TWO, "die", "db", "exitCode", "143");
    }
    for (int i = 0; i < 4; i++) {
        happen(world, ONE, "start", "web", NULL, NULL);
        happen(world, ONE, "die", "web", "exitCode", "1");
    }
    struct seen seen = wait_for(world, 1);
    assert_string_equal(seen.rows[0].kind, "restart-loop");
    assert_string_equal(seen.rows[0].detail, "{\"count\":3,\"seconds\":60}");
}

/* What happened while no notifier ran is found by the next, once. */
static void away(void **state)
{
    struct world *world = *state;

    happen(world, ONE, "oom", "web", NULL, NULL);
    wait_for(world, 1);
    notify_close(world->notify);
    happen(world, TWO, "oom", "db", NULL, NULL);
    open_notify(world);
    struct seen seen = wait_for(world, 2);
    assert_string_equal(seen.rows[0].container, "db");
    notify_close(world->notify);
    open_notify(world);
    wait_for(world, 2);
}

/* --- levels ------------------------------------------------------------------------------------ */

static void put_samples(struct world *world, int seconds, double cpu, uint64_t memory)
{
    int64_t now_ns = clock_real_ns();

    for (int i = seconds; i >= 0; i--) {
        const struct store_sample sample = {
            .time_ns = now_ns - i * SEC, .cpu_percent = cpu, .memory_bytes = memory};
        assert_int_equal(store_put_sample(world->f->store, ONE, &sample), 0);
    }
    store_flush(world->f->store);
}

static void levels(void **state)
{
    struct world *world = *state;

    change_rule(world, "memory", "{\"above\":80,\"seconds\":60}");
    change_rule(world, "cpu", "{\"enabled\":true,\"above\":150,\"seconds\":60}");
    /* Long enough above; but it does not run. */
    put_samples(world, 90, 199, 900);
    wait_for(world, 0);
    world->one_runs = true;
    struct seen seen = wait_for(world, 2);
    for (int i = 0; i < 2; i++) {
        assert_false(seen.rows[i].ended);
        assert_string_equal(seen.rows[i].detail, strcmp(seen.rows[i].kind, "cpu") == 0
                                                     ? "{\"percent\":199,\"above\":150,\"seconds\":60}"
                                                     : "{\"percent\":90,\"above\":80,\"seconds\":60}");
    }
    /* Over when the latest is not above. */
    put_samples(world, 0, 1, 100);
    for (int i = 0; !(seen = all(world)).rows[0].ended || !seen.rows[1].ended; i++) {
        assert_true(i < 1000);
        usleep(10000);
    }
    assert_int_equal(seen.count, 2);
}

static void short_peaks(void **state)
{
    struct world *world = *state;

    world->one_runs = true;
    change_rule(world, "memory", "{\"above\":80,\"seconds\":60}");
    put_samples(world, 20, 0, 900); /* not for long enough */
    wait_for(world, 0);
    put_samples(world, 90, 0, 700);
    wait_for(world, 0);
}

/* --- rules and channels -------------------------------------------------------------------------- */

static void bad_rules(void **state)
{
    static const struct {
        const char *text;
        int code;
        const char *message;
    } cases[] = {
        {"[]", EINVAL, "a rule is a JSON object"},
        {"{\"kind\":\"exit\"}", EINVAL, "'name' is missing"},
        {"{\"name\":\"x\",\"kind\":\"teapot\"}", EINVAL, "unknown kind 'teapot'"},
        {"{\"name\":\"x\",\"kind\":\"test\"}", EINVAL, "unknown kind 'test'"},
        {"{\"name\":7}", EINVAL, "'name' must be a text"},
        {"{\"name\":\"a\\r\\nBcc: b\"}", EINVAL, "'name' must not have control characters"},
        {"{\"name\":\"x\",\"above\":\"much\"}", EINVAL, "'above' must be a percentage over 0"},
        {"{\"name\":\"x\",\"above\":-1}", EINVAL, "'above' must be a percentage over 0"},
        {"{\"name\":\"x\",\"seconds\":1}", EINVAL, "'seconds' must be a whole number from 10 to 86400"},
        {"{\"name\":\"x\",\"seconds\":1e30}", EINVAL, "'seconds' must be a whole number"},
        {"{\"name\":\"x\",\"count\":2.5}", EINVAL, "'count' must be a whole number"},
        {"{\"name\":\"x\",\"enabled\":1}", EINVAL, "'enabled' must be true or false"},
        {"{\"name\":\"x\",\"channels\":\"y\"}", EINVAL, "'channels' must be a list"},
        {"{\"name\":\"x\",\"channels\":[\"y\"]}", EINVAL, "No such channel: y"},
        {"{\"name\":\"x\",\"colour\":\"red\"}", EINVAL, "unknown field 'colour'"},
        {"{\"name\":\"Unhealthy\"}", EEXIST, "there is a rule 'Unhealthy' already"},
    };
    struct world *world = *state;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error err = ERROR_INIT;
        cJSON *json = NULL;
        assert_int_equal(put_rule(world, NULL, cases[i].text, &json, &err), -cases[i].code);
        if (!strstr(err.message, cases[i].message))
            fail_msg("%s: %s", cases[i].text, err.message);
        assert_null(json);
    }
    struct error err = ERROR_INIT;
    cJSON *json = NULL;
    assert_int_equal(put_rule(world, "none", "{}", &json, &err), -ENOENT);
    assert_int_equal(notify_rule_delete(world->notify, "none", &err), -ENOENT);
    json = notify_rules(world->notify);
    assert_int_equal(cJSON_GetArraySize(json), 7);
    cJSON_Delete(json);
}

static void kept(void **state)
{
    struct world *world = *state;
    struct error err = ERROR_INIT;
    cJSON *json = NULL;

    assert_int_equal(put_rule(world, NULL, "{\"name\":\"Ünïcode\",\"kind\":\"cpu\",\"above\":12.5}", &json, &err), 0);
    char *id = mem_strdup(json_string(json, "id", ""));
    cJSON_Delete(json);
    assert_int_equal(notify_rule_delete(world->notify, "oom", &err), 0);
    notify_close(world->notify);
    open_notify(world);
    json = notify_rules(world->notify);
    assert_int_equal(cJSON_GetArraySize(json), 7);
    const cJSON *rule, *found = NULL;
    cJSON_ArrayForEach(rule, json)
    {
        assert_string_not_equal(json_string(rule, "id", ""), "oom");
        if (strcmp(json_string(rule, "id", ""), id) == 0)
            found = rule;
    }
    assert_non_null(found);
    assert_string_equal(json_string(found, "name", ""), "Ünïcode");
    assert_true(json_number(found, "above", 0) == 12.5);
    assert_null(json_get(found, "count"));
    cJSON_Delete(json);
    free(id);
}

static void bad_channels(void **state)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"{\"name\":\"x\"}", "'kind' must be webhook or mail"},
        {"{\"name\":\"x\",\"kind\":\"pigeon\"}", "'kind' must be webhook or mail"},
        {"{\"kind\":\"webhook\"}", "'name' is missing"},
        {"{\"name\":\"x\",\"kind\":\"webhook\"}", "'url' must be a URL that begins with https or http://"},
        {"{\"name\":\"x\",\"kind\":\"webhook\",\"url\":\"file:///etc/passwd\"}", "'url' must be a URL"},
        {"{\"name\":\"x\",\"kind\":\"webhook\",\"url\":\"gopher://x\"}", "'url' must be a URL"},
        {"{\"name\":\"x\",\"kind\":\"webhook\",\"url\":\"http://a:b@x/\"}", "'url' must not contain a user"},
        {"{\"name\":\"x\",\"kind\":\"webhook\",\"url\":\"http://x/\",\"secret\":\"short\"}", "'secret' must be whsec_"},
        {"{\"name\":\"x\",\"kind\":\"webhook\",\"url\":\"http://x/\",\"language\":\"tlh\"}", "'language' must be en or es"},
        {"{\"name\":\"x\",\"kind\":\"webhook\",\"url\":\"http://x/\",\"consoleUrl\":\"javascript:1\"}",
         "'consoleUrl' must be a URL"},
        {"{\"name\":\"x\",\"kind\":\"mail\",\"server\":\"http://x\"}", "'server' must be a URL that begins with smtp"},
        {"{\"name\":\"x\",\"kind\":\"mail\",\"server\":\"smtp://x\"}", "'from' must be a mail address"},
        {"{\"name\":\"x\",\"kind\":\"mail\",\"server\":\"smtp://x\",\"from\":\"a@b\"}", "'to' is missing"},
        {"{\"name\":\"x\",\"kind\":\"mail\",\"server\":\"smtp://x\",\"from\":\"a@b\",\"to\":[\"c> SIZE=1\"]}",
         "'to' must be a mail address"},
        {"{\"name\":\"x\",\"kind\":\"mail\",\"server\":\"smtp://x\",\"from\":\"a@b\",\"to\":[\"c@d\"],\"tls\":\"maybe\"}",
         "'tls' must be required or never"},
    };
    struct world *world = *state;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error err = ERROR_INIT;
        cJSON *json = NULL, *text = body(cases[i].text);
        assert_int_equal(notify_channel_put(world->notify, NULL, text, &json, &err), -EINVAL);
        if (!strstr(err.message, cases[i].message))
            fail_msg("%s: %s", cases[i].text, err.message);
        cJSON_Delete(text);
    }
}

static void secrets(void **state)
{
    struct world *world = *state;
    struct error err = ERROR_INIT;
    cJSON *json = NULL, *text = body("{\"name\":\"x\",\"kind\":\"webhook\",\"url\":\"http://127.0.0.1:1/\"}");

    assert_int_equal(notify_channel_put(world->notify, NULL, text, &json, &err), 0);
    cJSON_Delete(text);
    char *id = mem_strdup(json_string(json, "id", "")), *secret = mem_strdup(json_string(json, "secret", ""));
    assert_true(strncmp(secret, "whsec_", 6) == 0 && strlen(secret) == 6 + 44);
    cJSON_Delete(json);
    /* Shown once; a change of something else keeps it, and does not show it. */
    text = body("{\"name\":\"y\"}");
    assert_int_equal(notify_channel_put(world->notify, id, text, &json, &err), 0);
    assert_null(json_get(json, "secret"));
    cJSON_Delete(json);
    cJSON_Delete(text);
    json = notify_channels(world->notify);
    char *shown = json_print(json);
    assert_null(strstr(shown, secret + 6));
    free(shown);
    cJSON_Delete(json);
    /* Used by a rule: stays. */
    CLEANUP_FREE char *rule = mem_printf("{\"channels\":[\"%s\"]}", id);
    change_rule(world, "oom", rule);
    assert_int_equal(notify_channel_delete(world->notify, id, &err), -EBUSY);
    change_rule(world, "oom", "{\"channels\":[]}");
    assert_int_equal(notify_channel_delete(world->notify, id, &err), 0);
    assert_int_equal(notify_channel_delete(world->notify, id, &err), -ENOENT);
    free(id);
    free(secret);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(exits, begin, finish),
        cmocka_unit_test_setup_teardown(health, begin, finish),
        cmocka_unit_test_setup_teardown(loops, begin, finish),
        cmocka_unit_test_setup_teardown(away, begin, finish),
        cmocka_unit_test_setup_teardown(levels, begin, finish),
        cmocka_unit_test_setup_teardown(short_peaks, begin, finish),
        cmocka_unit_test_setup_teardown(bad_rules, begin, finish),
        cmocka_unit_test_setup_teardown(kept, begin, finish),
        cmocka_unit_test_setup_teardown(bad_channels, begin, finish),
        cmocka_unit_test_setup_teardown(secrets, begin, finish),
    };
    return cmocka_run_group_tests_name("notify", tests, NULL, NULL);
}
