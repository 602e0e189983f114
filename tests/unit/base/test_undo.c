#include "base/base_test.h"

#include "base/undo.h"

static char trace[64];

static void note(void *user)
{
    strncat(trace, user, sizeof(trace) - strlen(trace) - 1);
    errno = EPERM;
}

static int steps(int fail_at)
{
    CLEANUP_UNDO struct undo undo = UNDO_INIT;
    char *names[] = {mutable_text("a"), mutable_text("b"), mutable_text("c")};

    trace[0] = '\0';
    for (int i = 0; i < 3; i++) {
        if (i == fail_at) {
            errno = ENOSPC;
            return -1;
        }
        undo_push(&undo, note, names[i]);
    }
    undo_commit(&undo);
    return 0;
}

static void takes_back_last_first(void **state)
{
    assert_int_equal(steps(-1), 0);
    assert_string_equal(trace, "");
    assert_int_equal(steps(2), -1);
    assert_string_equal(trace, "ba");
    assert_int_equal(errno, ENOSPC);
    assert_int_equal(steps(0), -1);
    assert_string_equal(trace, "");
}

static void runs_once(void **state)
{
    struct undo undo = UNDO_INIT;

    trace[0] = '\0';
    for (int i = 0; i < UNDO_MAX; i++)
        undo_push(&undo, note, mutable_text("x"));
    undo_run(&undo);
    undo_run(&undo);
    assert_int_equal(strlen(trace), UNDO_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_back_last_first),
        cmocka_unit_test(runs_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
