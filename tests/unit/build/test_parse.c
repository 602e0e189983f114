/* test_parse.c - Dockerfiles taken apart; words and variables. */
#include "build/dockerfile.h"
#include "build_test.h"
#include "image/words.h"

static struct dockerfile *parse(const char *text)
{
    struct dockerfile *dockerfile = NULL;
    struct error err = ERROR_INIT;

    if (dockerfile_parse(text, strlen(text), &dockerfile, &err) < 0)
        fail_msg("%s: %s", err.message, text);
    return dockerfile;
}

static void test_stages(void **state)
{
    CLEANUP(dockerfile_freep) struct dockerfile *d = parse("\xef\xbb\xbf# a comment\n\nARG A=1\narg B\nfrom  x:1 As Base\nRUN a\n"
                                                            "FROM --platform=linux/arm64 y\n  copy --from=base --chown=1:2 /a /b\n");

    assert_int_equal(d->arg_count, 2);
    assert_string_equal(d->args[1].name, "ARG");
    assert_string_equal(d->args[1].rest, "B");
    assert_int_equal(d->stage_count, 2);
    assert_string_equal(d->stages[0].base, "x:1");
    assert_string_equal(d->stages[0].name, "base");
    assert_string_equal(d->stages[1].platform, "linux/arm64");
    assert_string_equal(d->stages[1].name, "");
    const struct dockerfile_instruction *copy = &d->stages[1].steps[0];
    assert_string_equal(copy->name, "COPY");
    assert_string_equal(copy->rest, "/a /b");
    assert_string_equal(copy->original, "COPY --from=base --chown=1:2 /a /b");
    assert_string_equal(dockerfile_flag(copy, "chown"), "1:2");
    assert_null(dockerfile_flag(copy, "chmod"));
    assert_int_equal(copy->line, 8);
    assert_int_equal(dockerfile_find_stage(d, "BASE"), 0);
    assert_int_equal(dockerfile_find_stage(d, "1"), 1);
    assert_int_equal(dockerfile_find_stage(d, "2"), -1);
    assert_int_equal(dockerfile_find_stage(d, ""), -1);
    dockerfile_cut(d, 1);
    assert_int_equal(d->stage_count, 1);
    dockerfile_append(d, "LABEL", "\"a\"=\"b\"", "a=b");
    assert_string_equal(d->stages[0].steps[1].original, "LABEL a=b");
}

static void test_lines(void **state)
{
    static const struct {
        const char *text, *rest;
    } cases[] = {
        {"RUN a \\\n b", "a  b"},
        {"RUN a \\  \t\n# c\n\n  # d\nb", "a b"},
        {"RUN a \\\\\n", "a \\\\"},
        {"RUN a \\", "a "},
        {"RUN a\\\r\nb\r\n", "ab"},
        {"# escape=`\nFROM z\nRUN a `\nb \\\n", "a b \\"},
        {"#escape = ` \nFROM z\nRUN a ``\n", "a ``"},
        {"# no directive\n# escape=`\nFROM z\nRUN a \\\nb", "a b"},
        {"RUN cat <<< text", "cat <<< text"},
        {"RUN echo 1 << 2", "echo 1 << 2"},
        {"RUN -- x", "x"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP_FREE char *whole = strstr(cases[i].text, "FROM") ? mem_strdup(cases[i].text)
                                                                 : mem_printf("FROM z\n%s", cases[i].text);
        CLEANUP(dockerfile_freep) struct dockerfile *d = parse(whole);
        const char *rest = d->stages[0].steps[0].rest;

        /* Blanks at the end do not count. */
        CLEANUP_FREE char *want = mem_strdup(cases[i].rest);
        size_t n = strlen(want);
        while (n > 0 && want[n - 1] == ' ')
            want[--n] = '\0';
        assert_string_equal(rest, want);
    }
}

static void test_refused(void **state)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"", "no instructions"},
        {"# x\n\n", "no instructions"},
        {"RUN x", "no build stage"},
        {"ARG x", "no build stage"},
        {"FROM", "FROM requires"},
        {"FROM a b", "FROM requires"},
        {"FROM a as", "FROM requires"},
        {"FROM a in b", "FROM requires"},
        {"FROM a AS -x", "invalid name for build stage"},
        {"FROM a AS x\nFROM a AS X", "already used"},
        {"FROM a\nHEALTHCHECK FOO", "line 2: Unknown type \"FOO\""},
        {"FROM a\nHEALTHCHECK CMD", "Missing command"},
        {"FROM a\nHEALTHCHECK --interval=1us CMD x", "Interval \"interval\" cannot be less than 1ms"},
        {"FROM a\nNOPE", "line 2: unknown instruction: NOPE"},
        {"FROM a\n\n\nCOPY a", "line 4: COPY requires at least two arguments"},
        {"FROM a\nCOPY [\"a\"]", "COPY requires at least two arguments"},
        {"FROM a\nCOPY --from a b", "missing a value on flag: from"},
        {"FROM a\nCOPY --from=a --from=b c d", "duplicate flag"},
        {"FROM a\nRUN", "RUN requires"},
        {"FROM a\nRUN <<EOF\nx\nEOF", "here-document"},
        {"FROM a\nRUN cat 3<<-'EOF'", "here-document"},
        {"FROM a\nCOPY <<f /x\nf", "here-document"},
        {"FROM a\nENV", "ENV requires"},
        {"FROM a\nENV a", "ENV must have two arguments"},
        {"FROM a\nENV a=b c", "can't find ="},
        {"FROM a\nENV =b", "can not be blank"},
        {"FROM a\nARG =b", "can not be blank"},
        {"FROM a\nSHELL x", "JSON form"},
        {"FROM a\nONBUILD FROM x", "isn't allowed as an ONBUILD trigger"},
        {"FROM a\nONBUILD MAINTAINER x", "isn't allowed as an ONBUILD trigger"},
        {"FROM a\nONBUILD NOPE", "unknown instruction: NOPE"},
        {"# escape=x\nFROM a", "invalid escape token"},
        {"# escape=`\n# escape=`\nFROM a", "only one escape parser directive"},
        {"FROM a\nRUN \xff", "not valid UTF-8"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct dockerfile *dockerfile = NULL;
        struct error err = ERROR_INIT;

        assert_int_equal(dockerfile_parse(cases[i].text, strlen(cases[i].text), &dockerfile, &err), -EINVAL);
        if (!strstr(err.message, cases[i].why))
            fail_msg("%s: %s", cases[i].text, err.message);
        assert_null(dockerfile);
    }
    assert_int_equal(dockerfile_parse("FROM a\0", 7, &(struct dockerfile *){NULL}, NULL), -EINVAL);
}

static void test_buildkit(void **state)
{
    CLEANUP(dockerfile_freep) struct dockerfile *d = parse("FROM a\nADD --checksum=x a b\nCOPY --link a b\nRUN --network=host x\n\nRUN y \\\n\nz");

    assert_string_equal(d->stages[0].steps[0].needs_buildkit, "checksum");
    assert_string_equal(d->stages[0].steps[1].needs_buildkit, "link");
    assert_string_equal(d->stages[0].steps[1].rest, "a b");
    assert_string_equal(d->stages[0].steps[2].needs_buildkit, "network");
    assert_null(d->stages[0].steps[3].needs_buildkit);
    assert_int_equal(strv_length(d->gaps), 1);
    assert_string_equal(d->gaps[0], "RUN y z");
}

static void test_triggers(void **state)
{
    struct dockerfile_instruction instruction = {0};
    struct error err = ERROR_INIT;

    assert_int_equal(dockerfile_parse_trigger("copy --chown=1 a b", '\\', &instruction, &err), 0);
    assert_string_equal(instruction.name, "COPY");
    assert_string_equal(dockerfile_flag(&instruction, "chown"), "1");
    dockerfile_instruction_clear(&instruction);
    assert_int_equal(dockerfile_parse_trigger("FROM x", '\\', &instruction, &err), -EINVAL);
    assert_int_equal(dockerfile_parse_trigger("ONBUILD RUN x", '\\', &instruction, &err), -EINVAL);
    assert_int_equal(dockerfile_parse_trigger("", '\\', &instruction, &err), -EINVAL);
}

static void test_expansion(void **state)
{
    static const struct {
        const char *word, *want; /* NULL: refused */
    } cases[] = {
        {"plain", "plain"},
        {"$A", "a"},
        {"${A}b", "ab"},
        {"$Ab", ""},
        {"$ARG-$E", "arg-e"},
        {"$", "$"},
        {"a$", "a$"},
        {"$ x", "$ x"},
        {"$1$10x", "x"},
        {"\\$A", "$A"},
        {"\\\\$A", "\\a"},
        {"'$A'", "$A"},
        {"'\\'", "\\"},
        {"\"$A\\\"\\$\\x\"", "a\"$\\x"},
        {"${NONE:-d}", "d"},
        {"${NONE-d}", "d"},
        {"${EMPTY:-d}", "d"},
        {"${EMPTY-d}", ""},
        {"${A:-d}", "a"},
        {"${A:+set}", "set"},
        {"${EMPTY:+set}", ""},
        {"${EMPTY+set}", "set"},
        {"${NONE:+set}", ""},
        {"${NONE:-${A:-x}}", "a"},
        {"${NONE:-${NONE:-$E}}-", "e-"},
        {"${NONE:-'}'}", "}"},
        {"${NONE:-\\}}", "}"},
        {"${NONE:-}", ""},
        {"${A:?no}", "a"},
        {"${NONE:?no}", NULL},
        {"${EMPTY?no}", ""},
        {"${EMPTY:?}", NULL},
        {"${", NULL},
        {"${}", NULL},
        {"${A", NULL},
        {"${A:", NULL},
        {"${A:x}", NULL},
        {"${A:-x", NULL},
        {"${A b}", NULL},
        {"'", NULL},
        {"\"", NULL},
        {"\\", ""},
    };
    CLEANUP_JSON cJSON *env = cJSON_Parse("[\"A=a\",\"E=e\",\"EMPTY=\"]");
    char *args[] = {(char *)"A=not this", (char *)"ARG=old", (char *)"ARG=arg", NULL};
    struct words_scope scope = {env, args, '\\'};

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP_FREE char *got = NULL;
        struct error err = ERROR_INIT;
        int r = words_expand(&scope, cases[i].word, &got, &err);

        if ((r < 0) != !cases[i].want || (r < 0 && !*err.message))
            fail_msg("%s: %d %s", cases[i].word, r, err.message);
        if (r == 0)
            assert_string_equal(got, cases[i].want);
    }
    scope.escape = '`';
    CLEANUP_FREE char *got = NULL;
    assert_int_equal(words_expand(&scope, "c:\\x`$A", &got, NULL), 0);
    assert_string_equal(got, "c:\\x$A");
}

static void test_words(void **state)
{
    CLEANUP_STRV char **words = words_split(" a \"b c\" d\\ e 'f \\' g=\"h i\"j ", '\\');
    CLEANUP_FREE char *joined = strv_join(words, "|");
    assert_string_equal(joined, "a|\"b c\"|d\\ e|'f \\'|g=\"h i\"j");
    CLEANUP_JSON cJSON *list = words_list("[\"a\", \"b\"]");
    assert_int_equal(cJSON_GetArraySize(list), 2);
    assert_null(words_list("[a]"));
    assert_null(words_list("[1]"));
    assert_null(words_list("[\"a\"] b"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stages),   cmocka_unit_test(test_lines),     cmocka_unit_test(test_refused),
        cmocka_unit_test(test_buildkit), cmocka_unit_test(test_triggers), cmocka_unit_test(test_expansion), cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
