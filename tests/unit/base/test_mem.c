/* mem.h and cleanup.h. */
#include "base/base_test.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/mem.h"

static void allocations_are_zeroed(void **state)
{
    CLEANUP_FREE char *p = mem_alloc(64);
    CLEANUP_FREE char *empty = mem_alloc(0);
    CLEANUP_FREE int *array = mem_array(8, sizeof(int));

    for (int i = 0; i < 64; i++)
        assert_int_equal(p[i], 0);
    assert_non_null(empty);
    assert_int_equal(array[7], 0);
    array = mem_grow(array, 1000, sizeof(int));
    array[999] = 5;
    assert_int_equal(array[0], 0);
}

static void copies(void **state)
{
    CLEANUP_FREE char *a = mem_strdup("text");
    CLEANUP_FREE char *b = mem_strndup("text", 2);
    CLEANUP_FREE char *c = mem_strndup("text", 100);
    CLEANUP_FREE char *d = mem_printf("%s-%d", "x", 7);
    CLEANUP_FREE char *e = mem_dup("a\0b", 3);

    assert_string_equal(a, "text");
    assert_string_equal(b, "te");
    assert_string_equal(c, "text");
    assert_string_equal(d, "x-7");
    assert_memory_equal(e, "a\0b", 3);
    assert_null(mem_strdup(NULL));
    assert_null(mem_strndup(NULL, 3));
}

static void overflow_aborts(void **state)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        struct rlimit none = {0};
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGABRT, SIG_DFL);
        fclose(stderr);
        mem_array(SIZE_MAX / 2, 4);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void cleanups_keep_errno(void **state)
{
    int before = open_fds();

    errno = 77;
    {
        CLEANUP_CLOSE int fd = -EBADF;
        CLEANUP_CLOSE int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        CLEANUP_FREE char *p = malloc(3);
        CLEANUP_FCLOSE FILE *file = fopen("/dev/null", "re");
        CLEANUP_FCLOSE FILE *none = NULL;

        assert_non_null(p);
        assert_true(null >= 0);
        assert_non_null(file);
        assert_true(fd < 0 && !none);
        errno = 77;
    }
    assert_int_equal(errno, 77);
    assert_int_equal(open_fds(), before);
}

static void take_leaves_nothing(void **state)
{
    char *p = mem_strdup("x");
    char *q = TAKE_PTR(p);
    int fd = 1000;

    assert_null(p);
    assert_string_equal(q, "x");
    free(q);
    assert_int_equal(TAKE_FD(fd), 1000);
    assert_int_equal(fd, -EBADF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocations_are_zeroed), cmocka_unit_test(copies),
        cmocka_unit_test(overflow_aborts),        cmocka_unit_test(cleanups_keep_errno),
        cmocka_unit_test(take_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
