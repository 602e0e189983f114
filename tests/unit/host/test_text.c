#include "host_test.h"

#include "../../../core/host/passwd.h"
#include "../../../core/host/proc_text.h"

#define TAIL                                                                                       \
    " 1 2 3 0 -1 4194304 100 0 0 0 7 5 0 0 20 0 3 0 189770 3133440 414 18446744073709551615 0\n"

static int stat_of(const char *text, struct proc_stat *ret)
{
    return proc_parse_stat(text, strlen(text), ret);
}

static void plain_stat(void **state)
{
    struct proc_stat stat;

    assert_int_equal(stat_of("42 (cat) R" TAIL, &stat), 0);
    assert_int_equal(stat.pid, 42);
    assert_int_equal(stat.ppid, 1);
    assert_string_equal(stat.name, "cat");
    assert_int_equal(stat.state, 'R');
    assert_int_equal(stat.cpu_ticks, 12);
    assert_int_equal(stat.threads, 3);
    assert_int_equal(stat.start_ticks, 189770);
    assert_int_equal(stat.virtual_bytes, 3133440);
    assert_int_equal(stat.rss_pages, 414);
    assert_false(stat.kernel_thread);
    assert_int_equal(
        stat_of("2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 1 0 0 1\n", &stat), 0);
    assert_true(stat.kernel_thread);
}

/* A process may call itself what it likes. */
static void hostile_names(void **state)
{
    static const struct {
        const char *text, *name;
    } rows[] = {
        {"42 (a) R 9 9) S" TAIL, "a) R 9 9"},
        {"42 (() S" TAIL, "("},
        {"42 ()) S" TAIL, ")"},
        {"42 () S" TAIL, ""},
        {"42 (x\n1 (y) S" TAIL, "x?1 (y"},
        {"42 (\x1b[2J) S" TAIL, "?[2J"},
        {"42 (\xff\xfe) S" TAIL, "??"},
        {"42 (\xc3\xa9) S" TAIL, "\xc3\xa9"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct proc_stat stat;
        assert_int_equal(stat_of(rows[i].text, &stat), 0);
        assert_string_equal(stat.name, rows[i].name);
        assert_int_equal(stat.state, 'S');
        assert_int_equal(stat.start_ticks, 189770);
    }
}

static void broken_stat(void **state)
{
    static const char *const rows[] = {
        "",
        "42",
        "42 ",
        "42 (",
        "42 (cat",
        "42 (cat)",
        "42 (cat) ",
        "42 (cat) R",
        "(cat) R" TAIL,
        "0 (cat) R" TAIL,
        "-1 (cat) R" TAIL,
        "99999999999999999999 (cat) R" TAIL,
        "42 (cat) 1" TAIL,
        "42 (cat) R 1 2 3",
        "42 (cat) R a b c d",
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct proc_stat stat = {.pid = 7};
        assert_int_equal(stat_of(rows[i], &stat), -EINVAL);
        assert_int_equal(stat.pid, 7);
    }
    /* Cut short at every byte: a value or an error, never a read beyond. */
    const char *whole = "42 (cat) R" TAIL;
    for (size_t i = 0; i <= strlen(whole); i++) {
        char *copy = malloc(i ? i : 1);
        struct proc_stat stat;
        memcpy(copy, whole, i);
        (void)proc_parse_stat(copy, i, &stat);
        free(copy);
    }
}

static void status_and_io(void **state)
{
    struct proc_status status;
    const char *text =
        "Name:\tx\\nUid:\t1\t1\nState:\tR\nUid:\t1000\t0\t1000\t1000\nNSpid:\t42\t7\t1\n";
    uint64_t a, b;

    assert_int_equal(proc_parse_status(text, strlen(text), &status), 0);
    assert_int_equal(status.uid, 0);
    assert_int_equal(status.inner_pid, 1);
    assert_int_equal(status.depth, 3);
    text = "Uid:\t5\t6\t5\t5\n";
    assert_int_equal(proc_parse_status(text, strlen(text), &status), 0);
    assert_int_equal(status.uid, 6);
    assert_int_equal(status.inner_pid, 0);
    assert_int_equal(proc_parse_status("Uid:\tx\n", 7, &status), -EINVAL);
    assert_int_equal(proc_parse_status("", 0, &status), -EINVAL);
    text = "rchar: 1\nread_bytes: 4096\nwrite_bytes: 8192\ncancelled_write_bytes: 0\n";
    assert_int_equal(proc_parse_io(text, strlen(text), &a, &b), 0);
    assert_int_equal(a, 4096);
    assert_int_equal(b, 8192);
    text = "Rss: 100 kB\nPss:    12 kB\n";
    assert_int_equal(proc_parse_pss(text, strlen(text), &a), 0);
    assert_int_equal(a, 12288);
}

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OTHER "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"

static void cgroups(void **state)
{
    static const struct {
        const char *text, *path;
    } rows[] = {
        {"9:name=systemd:/\n8:pids:/tabique/x\n4:memory:/m\n0::/u\n", "/tabique/x"},
        {"4:cpu,pids:/p\n0::/u\n", "/p"},
        {"4:cpu:/c\n0::/u\n", "/u"},
        {"0::/u:with:colons\n", "/u:with:colons"},
        {"4:memory:/m\n", "/m"},
        {"4:notpids:/n\n0::/u", "/u"},
        {"", NULL},
        {"garbage\n:\n", NULL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEANUP_FREE char *path = proc_parse_cgroup(rows[i].text, strlen(rows[i].text));
        if (rows[i].path)
            assert_string_equal(path, rows[i].path);
        else
            assert_null(path);
    }
}

static void container_ids(void **state)
{
    static const struct {
        const char *cgroup, *prefix, *id;
    } rows[] = {
        {"/tabique/" ID, "tabique/", ID},
        {"/tabique/" ID "/sub", "tabique/", ID},
        {"/tabique/" ID " (deleted)", "tabique/", ID},
        {"/outer/tabique/" ID, "tabique/", ID},
        {"/tabique/" ID, "/tabique/", ID},
        /* the container's own doing, below it */
        {"/tabique/" ID "/tabique/" OTHER, "tabique/", ID},
        {"/nottabique/" ID, "tabique/", ""},
        {"/tabique/" ID "0", "tabique/", ""},
        {"/tabique/0123", "tabique/", ""},
        {"/tabique/", "tabique/", ""},
        {"/tabique/" ID, "", ""},
        {"/tabique/" ID, NULL, ""},
        {NULL, "tabique/", ""},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char id[65];
        proc_container_id(rows[i].cgroup, rows[i].prefix, id);
        assert_string_equal(id, rows[i].id);
    }
}

static void commands(void **state)
{
    static const struct {
        const char *data;
        size_t length;
        const char *command;
    } rows[] = {
        {"ping\0localhost\0", 15, "ping localhost"},
        {"sh\0-c\0\0x\0", 9, "sh -c  x"},
        {"nginx: worker\0\0\0\0", 17, "nginx: worker"},
        {"a\x1b[31mb\nc", 9, "a?[31mb?c"},
        {"\0\0", 2, NULL},
        {"", 0, NULL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEANUP_FREE char *command = proc_parse_command(rows[i].data, rows[i].length);
        if (rows[i].command)
            assert_string_equal(command, rows[i].command);
        else
            assert_null(command);
    }
    char *long_one = malloc(2 * PROC_COMMAND_MAX);
    memset(long_one, 'x', 2 * PROC_COMMAND_MAX);
    CLEANUP_FREE char *command = proc_parse_command(long_one, 2 * PROC_COMMAND_MAX);
    assert_in_range(strlen(command), PROC_COMMAND_MAX - 8, PROC_COMMAND_MAX);
    free(long_one);
}

static void passwords(void **state)
{
    struct passwd passwd = PASSWD_INIT;
    const char *text = "root:x:0:0:root:/root:/bin/sh\n"
                       "toor:x:0:0::/:/bin/sh\n"
                       "# comment\n"
                       ":x:5:5::/:\n"
                       "bad:x:notanumber:0\n"
                       "huge:x:99999999999:0\n"
                       "e\x1bvil:x:7:7::/:\n"
                       "app:x:1000:1000";

    passwd_parse(&passwd, text, strlen(text));
    assert_int_equal(passwd.count, 3);
    assert_string_equal(passwd_name(&passwd, 0), "root");
    assert_string_equal(passwd_name(&passwd, 7), "e?vil");
    assert_string_equal(passwd_name(&passwd, 1000), "app");
    assert_null(passwd_name(&passwd, 5));
    CLEANUP_FREE char *number = passwd_user(&passwd, 4294967294u);
    assert_string_equal(number, "4294967294");
    passwd_parse(&passwd, "", 0);
    assert_int_equal(passwd.count, 0);
    passwd_free(&passwd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_stat),  cmocka_unit_test(hostile_names),
        cmocka_unit_test(broken_stat), cmocka_unit_test(status_and_io),
        cmocka_unit_test(cgroups),     cmocka_unit_test(container_ids),
        cmocka_unit_test(commands),    cmocka_unit_test(passwords),
    };

    return cmocka_run_group_tests_name("host_text", tests, NULL, NULL);
}
