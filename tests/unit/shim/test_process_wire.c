/* Processes over a socket: whole, and from a guest that lies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "host/process_wire.h"

#define TAG 20

static void the_hosts_own(void **state)
{
    CLEANUP_CLOSE int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP_STR struct str text = STR_INIT;
    struct process_list *list = NULL, *back = NULL;

    assert_int_equal(process_read(proc, NULL, 0, &list, NULL), 0);
    process_wire_put_list(&text, TAG, list);
    wire_put_string(&text, 999, "something else");
    assert_int_equal(process_wire_get_list(text.data, text.length, TAG, &back), 0);
    assert_int_equal(back->count, list->count);
    for (size_t i = 0; i < list->count; i++) {
        const struct process *a = &list->items[i], *b = &back->items[i];

        assert_int_equal(a->pid, b->pid);
        assert_int_equal(a->ppid, b->ppid);
        assert_int_equal(a->uid, b->uid);
        assert_true(a->start_ticks == b->start_ticks);
        assert_true(a->memory_bytes == b->memory_bytes);
        assert_int_equal(a->state, b->state);
        assert_int_equal(a->kernel_thread, b->kernel_thread);
        assert_string_equal(a->name, b->name);
        assert_string_equal(a->user, b->user);
        if (strlen(a->command) < 8000)
            assert_string_equal(a->command, b->command);
    }
    process_list_unref(list);
    process_list_unref(back);
}

static int get(const struct str *inner)
{
    CLEANUP_STR struct str text = STR_INIT;
    struct process_list *list = NULL;
    int r;

    wire_put_bytes(&text, TAG, inner->data ? inner->data : "", inner->length);
    r = process_wire_get_list(text.data, text.length, TAG, &list);
    process_list_unref(list);
    return r;
}

static void lies(void **state)
{
    CLEANUP_STR struct str s = STR_INIT;
    CLEANUP_FREE char *id = mem_alloc(70);

    assert_int_equal(get(&s), -EBADMSG); /* no pid */
    wire_put_u64(&s, 1, 5);
    assert_int_equal(get(&s), 0);
    wire_put_u64(&s, 2, UINT64_C(1) << 40); /* a parent pid of 41 bits */
    assert_int_equal(get(&s), -EBADMSG);
    str_clear(&s);
    wire_put_i64(&s, 1, -5);
    assert_int_equal(get(&s), -EBADMSG);
    str_clear(&s);
    wire_put_u64(&s, 1, 5);
    memset(id, 'a', 65);
    wire_put_string(&s, 44, id);
    assert_int_equal(get(&s), -EBADMSG);
    str_clear(&s);
    wire_put_u64(&s, 1, 5);
    wire_put_u64(&s, 18, 2); /* a bool of 2 */
    assert_int_equal(get(&s), 0);
    str_append_n(&s, "x", 1);
    assert_int_equal(get(&s), -EBADMSG);
}

static void texts_are_made_harmless(void **state)
{
    CLEANUP_STR struct str s = STR_INIT;
    struct process p = {.pid = 1, .name = "a\033[2Jb", .command = (char *)(uintptr_t)"x\ny\xff", .user = (char *)(uintptr_t)"r\tt"};
    struct process_list *list = NULL;

    process_wire_put(&s, TAG, &p);
    assert_int_equal(process_wire_get_list(s.data, s.length, TAG, &list), 0);
    assert_null(strpbrk(list->items[0].name, "\033\n"));
    assert_null(strpbrk(list->items[0].command, "\n\xff"));
    assert_null(strchr(list->items[0].user, '\t'));
    process_list_unref(list);
}

static void a_flood(void **state)
{
    CLEANUP_STR struct str s = STR_INIT;
    struct process p = {.pid = 1};
    struct process_list *list = NULL;

    for (size_t i = 0; i <= PROCESS_WIRE_MAX; i++)
        process_wire_put(&s, TAG, &p);
    assert_int_equal(process_wire_get_list(s.data, s.length, TAG, &list), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_hosts_own), cmocka_unit_test(lies),
                                       cmocka_unit_test(texts_are_made_harmless), cmocka_unit_test(a_flood)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
