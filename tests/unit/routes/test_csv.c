#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/json.h"
#include "csv.h"

static char *table(const char *json, const char *const *columns)
{
    CLEANUP_JSON cJSON *rows = cJSON_Parse(json);
    assert_non_null(rows);
    return csv_table(rows, columns);
}

static void check(const char *json, const char *const *columns, const char *want)
{
    CLEANUP_FREE char *text = table(json, columns);
    assert_string_equal(text, want);
}

static void test_plain(void **state)
{
    static const char *const columns[] = {"a", "b", NULL};
    check("[]", columns, "a,b\r\n");
    check("[{\"a\":1,\"b\":\"x y\"},{\"b\":true}]", columns, "a,b\r\n1,x y\r\n,true\r\n");
    check("[{\"a\":null,\"b\":1.5}]", columns, "a,b\r\n,1.5\r\n");
}

static void test_quoting(void **state)
{
    static const char *const columns[] = {"a", NULL};
    check("[{\"a\":\"x,y\"},{\"a\":\"say \\\"hi\\\"\"},{\"a\":\"two\\nlines\"}]", columns,
          "a\r\n\"x,y\"\r\n\"say \"\"hi\"\"\"\r\n\"two\nlines\"\r\n");
}

/* A process may call itself =cmd|' /C calc'!A0. */
static void test_formulas_are_text(void **state)
{
    static const char *const columns[] = {"a", NULL};
    check("[{\"a\":\"=1+1\"},{\"a\":\"-x\"},{\"a\":\"@a\"},{\"a\":\"+a\"},{\"a\":-5}]", columns,
          "a\r\n\"'=1+1\"\r\n\"'-x\"\r\n\"'@a\"\r\n\"'+a\"\r\n-5\r\n");
}

static void test_paths_and_titles(void **state)
{
    static const char *const columns[] = {"c.pid=containerPid", "h.pid", "o", NULL};
    check("[{\"c\":{\"pid\":1},\"h\":null,\"o\":{\"k\":[1,2]}}]", columns,
          "containerPid,h.pid,o\r\n1,,\"{\"\"k\"\":[1,2]}\"\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_quoting),
        cmocka_unit_test(test_formulas_are_text),
        cmocka_unit_test(test_paths_and_titles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
