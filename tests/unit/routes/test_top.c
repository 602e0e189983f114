#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/json.h"
#include "tabique/error.h"
#include "tabique/host.h"
#include "top.h"

/* 2024-03-05 12:00:00 UTC */
#define NOW (INT64_C(1709640000) * NS_PER_SEC)

static struct process processes[] = {
    {.pid = 3964, .ppid = 3940, .inner_pid = 1, .started_ns = NOW - 100 * NS_PER_SEC, .user = "root",
     .name = "ping", .command = "ping localhost", .state = 'S', .threads = 1, .tty_nr = 0,
     .cpu_ns = 3 * (uint64_t)NS_PER_SEC, .memory_bytes = 4 << 20, .virtual_bytes = 8 << 20},
    {.pid = 4001, .ppid = 3964, .inner_pid = 7, .started_ns = NOW - 2 * 86400 * NS_PER_SEC, .uid = 1000,
     .user = "alice", .name = "worker", .command = "/usr/bin/worker -x --y", .state = 'R', .threads = 4,
     .tty_nr = 136 << 8 | 3, .cpu_ns = 90061 * (uint64_t)NS_PER_SEC, .memory_bytes = 10 << 20,
     .virtual_bytes = 100 << 20},
    {.pid = 4002, .ppid = 3964, .started_ns = NOW - 400 * (int64_t)86400 * NS_PER_SEC, .user = "root",
     .name = "gone", .command = "", .state = 'Z', .threads = 1},
};
static struct process_list list = {.references = 1, .count = 3, .items = processes};
static const struct top_context context = {.now_ns = NOW, .memory_total = 1000 << 20};

static cJSON *run(const char *args)
{
    struct error err = ERROR_INIT;
    cJSON *json = NULL;
    const int r = top_table(&list, args, &context, &json, &err);
    if (r < 0)
        print_error("%s: %s\n", args, err.message);
    assert_int_equal(r, 0);
    return json;
}

static char *joined(const cJSON *row)
{
    struct str text = STR_INIT;
    const cJSON *cell;
    cJSON_ArrayForEach (cell, row)
        str_printf(&text, "%s%s", text.length ? "|" : "", cell->valuestring);
    return str_take(&text);
}

static void check(const char *args, const char *titles, const char *first, const char *second)
{
    CLEANUP_JSON cJSON *json = run(args);
    const cJSON *rows = json_get(json, "Processes");
    CLEANUP_FREE char *have_titles = joined(json_get(json, "Titles"));
    assert_string_equal(have_titles, titles);
    if (first) {
        CLEANUP_FREE char *row = joined(cJSON_GetArrayItem(rows, 0));
        assert_string_equal(row, first);
    }
    if (second) {
        CLEANUP_FREE char *row = joined(cJSON_GetArrayItem(rows, 1));
        assert_string_equal(row, second);
    }
}

static void test_default_is_ef(void **state)
{
    const char *titles = "UID|PID|PPID|C|STIME|TTY|TIME|CMD";
    check(NULL, titles, "root|3964|3940|3|11:58|?|00:00:03|ping localhost",
          "alice|4001|3964|52|Mar03|pts/3|1-01:01:01|/usr/bin/worker -x --y");
    check("", titles, NULL, NULL);
    check("-ef", titles, NULL, NULL);
    check("-e -f", titles, NULL, NULL);
    check("-fe --forest", titles, NULL, NULL);
}

static void test_bsd(void **state)
{
    const char *titles = "USER|PID|%CPU|%MEM|VSZ|RSS|TTY|STAT|START|TIME|COMMAND";
    check("aux", titles, "root|3964|3.0|0.4|8192|4096|?|S|11:58|0:03|ping localhost",
          "alice|4001|52.1|1.0|102400|10240|pts/3|Rl|Mar03|1501:01|/usr/bin/worker -x --y");
    check("-aux", titles, NULL, NULL);
    check("auxww", titles, NULL, NULL);
    check("ax", "PID|TTY|STAT|TIME|COMMAND", "3964|?|S|0:03|ping localhost", NULL);
    check("axc", "PID|TTY|STAT|TIME|COMMAND", "3964|?|S|0:03|ping", NULL);
    check("axo pid,comm", "PID|COMMAND", "3964|ping", "4001|worker");
}

static void test_own_columns(void **state)
{
    check("-eo pid,comm,args", "PID|COMMAND|COMMAND", "3964|ping|ping localhost", NULL);
    check("-o pid -o ppid,nlwp", "PID|PPID|NLWP", "3964|3940|1", "4001|3964|4");
    check("-opid,etime", "PID|ELAPSED", "3964|01:40", "4001|2-00:00:00");
    check("-o pid,user=WHO", "PID|WHO", "3964|root", NULL);
    check("--format=pid,uid", "PID|UID", "3964|0", "4001|1000");
    check("-l", "F|S|UID|PID|PPID|C|PRI|NI|ADDR|SZ|WCHAN|TTY|TIME|CMD", NULL, NULL);
    check("-A", "PID|TTY|TIME|COMMAND", "3964|?|00:00:03|ping", NULL);
}

static void test_dead_and_old(void **state)
{
    CLEANUP_JSON cJSON *json = run("-ef");
    CLEANUP_FREE char *row = joined(cJSON_GetArrayItem(json_get(json, "Processes"), 2));
    assert_string_equal(row, "root|4002|3964|0|2023|?|00:00:00|gone <defunct>");
}

static void test_selection_and_order(void **state)
{
    CLEANUP_JSON cJSON *json = run("-o pid -p 4001,1");
    assert_int_equal(cJSON_GetArraySize(json_get(json, "Processes")), 1);
    CLEANUP_JSON cJSON *named = run("-C ping -o pid");
    assert_int_equal(cJSON_GetArraySize(json_get(named, "Processes")), 1);
    CLEANUP_JSON cJSON *of_user = run("-u alice -o pid,user");
    assert_int_equal(cJSON_GetArraySize(json_get(of_user, "Processes")), 1);
    check("-eo pid --sort=-rss", "PID", "4001", "3964");
    check("-eo pid --sort=pid", "PID", "3964", "4001");
}

static void refused(const char *args, const char *text)
{
    struct error err = ERROR_INIT;
    cJSON *json = NULL;
    assert_int_equal(top_table(&list, args, &context, &json, &err), -EINVAL);
    assert_null(json);
    if (!strstr(err.message, text))
        fail_msg("%s: %s", args, err.message);
}

static void test_refusals(void **state)
{
    refused("-o comm", "Couldn't find PID field in ps output");
    refused("-o pid,nonsense", "nonsense");
    refused("-eLf", "-L");
    refused("-o", "needs a value");
    refused("--evil", "unknown gnu long option");
    refused("-e --sort=nonsense", "nonsense");
    refused("; rm -rf /", ";");
    refused("-o pid=X", "Couldn't find PID field");
}

static void test_no_processes(void **state)
{
    struct process_list empty = {.references = 1};
    CLEANUP_JSON cJSON *json = NULL;
    assert_int_equal(top_table(&empty, NULL, &context, &json, NULL), 0);
    assert_int_equal(cJSON_GetArraySize(json_get(json, "Processes")), 0);
    assert_int_equal(cJSON_GetArraySize(json_get(json, "Titles")), 8);
}

int main(void)
{
    setenv("TZ", "UTC", 1);
    tzset();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_default_is_ef),    cmocka_unit_test(test_bsd),
        cmocka_unit_test(test_own_columns),      cmocka_unit_test(test_dead_and_old),
        cmocka_unit_test(test_selection_and_order), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_no_processes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
