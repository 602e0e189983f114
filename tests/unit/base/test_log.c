#include "base/base_test.h"

#include <pthread.h>

#include "base/log.h"
#include "base/str.h"

/* Runs fn with stderr in a file and returns what it wrote. */
static char *captured(void (*fn)(void))
{
    FILE *file = tmpfile();
    int saved = dup(STDERR_FILENO);
    static char text[1 << 20];

    assert_non_null(file);
    fflush(stderr);
    dup2(fileno(file), STDERR_FILENO);
    fn();
    dup2(saved, STDERR_FILENO);
    close(saved);
    ssize_t n = pread(fileno(file), text, sizeof(text) - 1, 0);
    assert_true(n >= 0);
    text[n] = '\0';
    fclose(file);
    return text;
}

static void hostile(void)
{
    log_info("a\nb\x1b[0m %s", "\xff" "c");
    log_debug("not shown");
}

static void plain_lines(void **state)
{
    unsetenv("JOURNAL_STREAM");
    log_init("prog", LOG_LEVEL_INFO);
    errno = 42;
    const char *text = captured(hostile);
    assert_non_null(strstr(text, "Z prog["));
    assert_true(str_ends(text, " info: a?b?[0m ?c\n"));
    assert_int_equal(text[4], '-');
}

static void journal_lines(void **state)
{
    setenv("JOURNAL_STREAM", "8:1", 1);
    log_init("prog", LOG_LEVEL_INFO);
    assert_string_equal(captured(hostile), "<6>a?b?[0m ?c\n");
    unsetenv("JOURNAL_STREAM");
}

static void endless(void)
{
    char big[20000];

    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    log_error("%s", big);
    log_error("next");
}

static void long_lines_are_cut(void **state)
{
    log_init("prog", LOG_LEVEL_DEBUG);
    const char *text = captured(endless);
    const char *first = strchr(text, '\n');
    assert_non_null(first);
    assert_in_range(first - text, 4000, 4100);
    assert_true(str_ends(text, " error: next\n"));
}

static void *chatter(void *user)
{
    for (int i = 0; i < 200; i++)
        log_info("%s", "0123456789012345678901234567890123456789");
    return NULL;
}

static void threads(void)
{
    pthread_t ids[4];

    for (int i = 0; i < 4; i++)
        pthread_create(&ids[i], NULL, chatter, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(ids[i], NULL);
}

static void lines_stay_whole(void **state)
{
    setenv("JOURNAL_STREAM", "8:1", 1);
    log_init("prog", LOG_LEVEL_INFO);
    CLEANUP_STRV char **lines = strv_split(captured(threads), '\n');
    assert_int_equal(strv_length(lines), 801);
    for (size_t i = 0; i < 800; i++)
        assert_string_equal(lines[i], "<6>0123456789012345678901234567890123456789");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_lines),
        cmocka_unit_test(journal_lines),
        cmocka_unit_test(long_lines_are_cut),
        cmocka_unit_test(lines_stay_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
