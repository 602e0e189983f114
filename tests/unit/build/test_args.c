/* test_args.c - who sees which build argument. */
#include "build/args.h"
#include "build_test.h"

static void expect(char **list, const char *want)
{
    CLEANUP_FREE char *joined = strv_join(list, " ");

    assert_string_equal(joined, want);
    strv_free(list);
}

static void test_scopes(void **state)
{
    CLEANUP_JSON cJSON *given = cJSON_Parse("{\"GIVEN\":\"g\",\"NOTHING\":null,\"UNUSED\":\"u\",\"http_proxy\":\"p\",\"B\":\"given\"}");
    CLEANUP_JSON cJSON *env = cJSON_Parse("[\"E=env\"]");
    CLEANUP(build_args_clear) struct build_args args = {.given = given};

    build_args_declare(&args, true, "A", "global");
    build_args_declare(&args, true, "B", "global");
    build_args_declare(&args, true, "NONE", NULL);
    expect(build_args_for_from(&args), "A=global B=given");
    expect(build_args_for_stage(&args), "http_proxy=p");

    build_args_declare(&args, false, "GIVEN", "default");
    build_args_declare(&args, false, "A", NULL);
    build_args_declare(&args, false, "D", "default");
    build_args_declare(&args, false, "NOTHING", "default");
    build_args_declare(&args, false, "E", "arg");
    expect(build_args_for_stage(&args), "GIVEN=g A=global D=default E=arg http_proxy=p");
    expect(build_args_for_run(&args, env, true), "A=global D=default GIVEN=g");
    expect(build_args_for_run(&args, env, false), "A=global D=default GIVEN=g http_proxy=p");
    build_args_declare(&args, false, "http_proxy", NULL);
    expect(build_args_for_run(&args, env, true), "A=global D=default GIVEN=g http_proxy=p");
    build_args_declare(&args, false, "D", "again");
    expect(build_args_for_run(&args, env, true), "A=global D=again GIVEN=g http_proxy=p");

    build_args_begin_stage(&args);
    expect(build_args_for_run(&args, env, true), "");
    expect(build_args_unused(&args), "UNUSED");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_scopes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
