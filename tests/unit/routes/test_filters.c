#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api_routes.h"
#include "base/clock.h"
#include "base/mem.h"
#include "routes.h"
#include "tabique/event.h"

static bool passes(const char *filters_text, const struct event *event)
{
    CLEANUP_JSON cJSON *filters = cJSON_Parse(filters_text);
    assert_non_null(filters);
    return event_passes(event, filters);
}

static void test_events_of_containers(void **state)
{
    struct event_attribute attributes[] = {{"image", "tabique/base:latest"}, {"name", "web"}, {"tier", "front"}};
    const struct event event = {.type = "container", .action = "exec_create: sh -c ls", .actor_id = "abcdef",
                                .attributes = attributes, .attribute_count = 3};
    assert_true(event_passes(&event, NULL));
    assert_true(passes("{}", &event));
    assert_true(passes("{\"container\":[\"abc\"]}", &event));
    assert_true(passes("{\"container\":[\"other\",\"web\"]}", &event));
    assert_false(passes("{\"container\":[\"bc\"]}", &event));
    assert_true(passes("{\"event\":[\"exec_create\"]}", &event));
    assert_false(passes("{\"event\":[\"exec_start\"]}", &event));
    assert_false(passes("{\"event\":[\"exec\"]}", &event));
    assert_true(passes("{\"type\":[\"container\"]}", &event));
    assert_false(passes("{\"type\":[\"image\"]}", &event));
    assert_true(passes("{\"image\":[\"tabique/base\"]}", &event));
    assert_true(passes("{\"image\":[\"tabique/base:latest\"]}", &event));
    assert_false(passes("{\"image\":[\"tabique\"]}", &event));
    assert_true(passes("{\"label\":[\"tier=front\"]}", &event));
    assert_true(passes("{\"label\":[\"tier\"]}", &event));
    assert_false(passes("{\"label\":[\"tier=back\"]}", &event));
    assert_true(passes("{\"scope\":[\"local\"]}", &event));
    assert_false(passes("{\"scope\":[\"swarm\"]}", &event));
    assert_false(passes("{\"network\":[\"bridge\"]}", &event));
    assert_false(passes("{\"node\":[\"x\"]}", &event));
}

static void test_events_of_others(void **state)
{
    struct event_attribute attributes[] = {{"name", "tabique/base:latest"}};
    const struct event image = {.type = "image", .action = "tag", .actor_id = "sha256:12",
                                .attributes = attributes, .attribute_count = 1};
    const struct event engine = {.type = "engine", .action = "start", .actor_id = "id"};
    assert_true(passes("{\"image\":[\"tabique/base\"]}", &image));
    assert_false(passes("{\"container\":[\"x\"]}", &image));
    assert_true(passes("{\"type\":[\"daemon\"]}", &engine));
    assert_true(passes("{\"type\":[\"engine\"]}", &engine));
    assert_true(passes("{\"daemon\":[\"id\"]}", &engine));
}

static bool regex(const char *pattern, const char *text)
{
    CLEANUP_JSON cJSON *filters = cJSON_CreateObject();
    json_push_string(json_add_array(filters, "name"), pattern);
    return filter_match_regex(filters, "name", text);
}

static void test_names_by_pattern(void **state)
{
    assert_true(filter_match_regex(NULL, "name", "anything"));
    assert_true(regex("we", "web"));
    assert_true(regex("^/?web$", "/web"));
    assert_false(regex("^we$", "web"));
    assert_true(regex("a|b", "xb"));
    assert_false(regex("(", "web")); /* no pattern, and no name either */
    /* What would take for ever is text. */
    assert_false(regex("((a{1,250}){1,250}){1,250}", "aaaa"));
    assert_false(regex("(a*)*\\1b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
    CLEANUP_FREE char *long_pattern = mem_alloc(100000);
    memset(long_pattern, '(', 99999);
    assert_false(regex(long_pattern, "web"));
}

static void test_booleans(void **state)
{
    const struct {
        const char *filters;
        int result;
        bool value;
    } cases[] = {
        {"{}", 0, true}, {"{\"d\":[\"true\"]}", 0, true}, {"{\"d\":[\"1\"]}", 0, true},
        {"{\"d\":[\"false\"]}", 0, false}, {"{\"d\":[\"0\"]}", 0, false}, {"{\"d\":[\"x\"]}", -EINVAL, false},
        {"{\"d\":[\"true\",\"false\"]}", -EINVAL, false}, {"{\"d\":[]}", 0, true},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP_JSON cJSON *filters = cJSON_Parse(cases[i].filters);
        struct error err = ERROR_INIT;
        bool value = false;
        assert_int_equal(filter_bool(filters, "d", true, &value, &err), cases[i].result);
        assert_int_equal(value, cases[i].value);
    }
}

static void test_prune(void **state)
{
    CLEANUP_JSON cJSON *filters =
        cJSON_Parse("{\"until\":[\"2024-01-01T00:00:00Z\"],\"label\":[\"a\"],\"label!\":[\"b=c\"]}");
    CLEANUP_STRV char **labels = NULL;
    int64_t until = 0;
    assert_int_equal(filter_prune(filters, &until, &labels, NULL), 0);
    assert_int_equal(until, INT64_C(1704067200) * NS_PER_SEC);
    assert_true(strv_contains(labels, "a"));
    assert_true(strv_contains(labels, "!b=c"));

    CLEANUP_JSON cJSON *wrong = cJSON_Parse("{\"until\":[\"nonsense\"]}");
    CLEANUP_JSON cJSON *twice = cJSON_Parse("{\"until\":[\"1\",\"2\"]}");
    assert_int_equal(filter_prune(wrong, &until, &labels, NULL), -EINVAL);
    assert_int_equal(filter_prune(twice, &until, &labels, NULL), -EINVAL);
}

static void test_detach_keys(void **state)
{
    static const char *const good[] = {"", "ctrl-p,ctrl-q", "a", "ctrl-@", "ctrl-[,x", "ctrl-_"};
    static const char *const bad[] = {"nonsense", "ctrl-", "ctrl-1", "ctrl-pp", "a,,b", "CTRL-a"};
    assert_int_equal(route_check_detach_keys(NULL, NULL), 0);
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_int_equal(route_check_detach_keys(good[i], NULL), 0);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(route_check_detach_keys(bad[i], NULL), -EINVAL);
}

static void test_frame(void **state)
{
    const uint8_t want[8] = {2, 0, 0, 0, 0x12, 0x34, 0x56, 0x78};
    uint8_t header[8];
    route_frame_header(header, 2, 0x12345678);
    assert_memory_equal(header, want, 8);
}

static void test_signals(void **state)
{
    const struct {
        const char *text;
        int number;
    } good[] = {{"TERM", SIGTERM}, {"SIGTERM", SIGTERM}, {"sigkill", SIGKILL}, {"9", 9}, {"usr1", SIGUSR1},
                {"64", 64}};
    static const char *const bad[] = {"", "0", "65", "-9", "SIG", "NONSENSE", "9 ", "TERM;"};
    int number = 0;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        assert_int_equal(api_signal_number(good[i].text, &number, NULL), 0);
        assert_int_equal(number, good[i].number);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(api_signal_number(bad[i], &number, NULL), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events_of_containers), cmocka_unit_test(test_events_of_others),
        cmocka_unit_test(test_names_by_pattern),     cmocka_unit_test(test_booleans),
        cmocka_unit_test(test_prune),                cmocka_unit_test(test_detach_keys),
        cmocka_unit_test(test_frame),                cmocka_unit_test(test_signals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
