/* The shim as the server has it: a program of its own, killed servers, slow
 * clients, lost connections. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "launch/cgroup.h"
#include "rpc/rpc.h"
#include "shim/shim_fixture.h"
#include "tabique/error.h"
#include "tabique/host.h"

static struct error err;
static struct shim_started started;

#define GOOD(call)                            \
    do {                                      \
        err = ERROR_INIT;                     \
        if ((call) < 0)                       \
            fail_msg(#call ": %s", err.message); \
    } while (0)

static void start(struct shim_case *c, struct plan *plan)
{
    GOOD(shim_start(c->shim, plan, &started, &err));
    plan_free(plan);
}

static bool cgroup_is_gone(const char *name)
{
    struct cgroup_stats stats;

    return cgroup_stats(name, &stats) == -ENOENT;
}

/* --- lives ------------------------------------------------------------------------------- */
static void a_life(void **state)
{
    struct shim_case *c = shim_case_new(false);
    struct plan *plan = plan_of("echo out; echo err >&2; exit 7");
    CLEANUP_FREE char *cgroup = mem_strdup(plan->cgroup);
    CLEANUP_FREE char *log = NULL;
    struct shim_exit record;

    start(c, plan);
    assert_true(started.pid > 0);
    assert_true(started.start_ticks > 0);
    assert_true(shim_case_wait_exit(c));
    assert_int_equal(c->status, 7);
    assert_false(c->oom_killed);
    GOOD(shim_read_exit(c->dir, &record, &err));
    assert_int_equal(record.status, 7);
    assert_true(record.time_ns > 0);
    log = shim_case_log(c);
    assert_non_null(strstr(log, "{\"log\":\"out\\n\",\"stream\":\"stdout\",\"time\":\"20"));
    assert_non_null(strstr(log, "{\"log\":\"err\\n\",\"stream\":\"stderr\",\"time\":\"20"));
    assert_int_equal(shim_signal(c->shim, NULL, 0, &err), -ESRCH);
    assert_int_equal(shim_exec(c->shim, "e", &(struct plan_process){0}, NULL, &started, &err), -ESRCH);
    shim_case_free(c);
    assert_true(cgroup_is_gone(cgroup));
}

static void failing_starts(void **state)
{
    const char *argv[] = {"nothere", NULL};
    struct shim_case *c = shim_case_new(false);
    struct plan *plan = fixture_plan(argv);
    int fd = -EBADF;

    GOOD(shim_attach(c->shim, NULL, 6, &fd, &err));
    assert_int_equal(shim_start(c->shim, plan, &started, &err), -ENOENT);
    assert_true(started.exec_failed);
    assert_string_equal(err.message, "unable to start container process: exec: \"nothere\": executable file not found in $PATH");
    free(shim_case_drain(fd, NULL)); /* the stream ends */
    close(fd);
    assert_int_equal(shim_read_exit(c->dir, &(struct shim_exit){0}, &err), -ENOENT);
    plan_free(plan);
    shim_case_free(c);
    c = shim_case_new(false);
    plan = plan_of("true");
    fixture_user(plan, "nosuch");
    assert_int_equal(shim_start(c->shim, plan, &started, &err), -EINVAL);
    assert_false(started.exec_failed);
    plan_free(plan);
    shim_case_free(c);
}

static void signals_and_processes(void **state)
{
    struct shim_case *c = shim_case_new(false);
    struct process_list *list = NULL;
    struct cgroup_stats stats;
    pid_t sleeper = 0;
    uint64_t ticks = 0;
    int root = -EBADF;
    bool seen = false;

    start(c, plan_of("trap 'exit 4' TERM; sleep 1000 & echo up; while :; do wait; done"));
    while (!seen) { /* until the sleeper has exec'ed */
        GOOD(shim_processes(c->shim, &list, &err));
        for (size_t i = 0; i < list->count; i++) {
            if (str_equal(list->items[i].command, "sleep 1000")) {
                seen = true;
                sleeper = list->items[i].pid;
                ticks = list->items[i].start_ticks;
                assert_int_equal(list->items[i].inner_ppid == 1 || list->items[i].ppid == started.pid, 1);
            }
        }
        assert_non_null(process_list_find(list, started.pid));
        assert_int_equal(process_list_find(list, started.pid)->inner_pid, 1);
        process_list_unref(list);
    }
    GOOD(shim_stats(c->shim, &stats, &err));
    assert_int_equal(stats.pids_current, 2);
    assert_true(stats.memory_usage > 0);
    GOOD(shim_root(c->shim, &root, &err));
    assert_int_equal(faccessat(root, "etc/passwd", F_OK, 0), 0);
    close(root);
    GOOD(shim_signal(c->shim, NULL, 0, &err));
    assert_int_equal(shim_signal_pid(c->shim, sleeper, ticks + 1, SIGKILL, &err), -ESRCH);
    assert_int_equal(shim_signal_pid(c->shim, getpid(), 0, SIGTERM, &err), -ESRCH); /* not the container's */
    GOOD(shim_signal_pid(c->shim, sleeper, ticks, SIGKILL, &err));
    GOOD(shim_signal(c->shim, NULL, SIGTERM, &err));
    assert_true(shim_case_wait_exit(c));
    assert_int_equal(c->status, 4);
    shim_case_free(c);
}

static struct plan_process *process_of(const char *script)
{
    static struct plan_process process;

    plan_process_clear(&process);
    process.no_stdin = true;
    strv_push(&process.argv, "sh");
    strv_push(&process.argv, "-c");
    strv_push(&process.argv, script);
    return &process;
}

static void pausing(void **state)
{
    struct shim_case *c = shim_case_new(false);
    CLEANUP_FREE char *before = NULL;
    CLEANUP_FREE char *after = NULL;

    start(c, plan_of("while :; do echo x; usleep 1000; done"));
    GOOD(shim_freeze(c->shim, true, &err));
    /* What was in the pipe still comes; then nothing more does. */
    for (int i = 0; i < 100 && !(before && str_equal(before, after)); i++) {
        free(before);
        before = after;
        usleep(100000);
        after = shim_case_log(c);
    }
    assert_string_equal(before, after);
    GOOD(shim_freeze(c->shim, false, &err));
    while (strlen(after) == strlen(before)) {
        free(after);
        after = shim_case_log(c);
    }
    /* An exec cannot take its first steps there: refused, not waited for. */
    GOOD(shim_freeze(c->shim, true, &err));
    assert_int_equal(shim_exec(c->shim, "one", process_of("true"), NULL, &started, &err), -EBUSY);
    GOOD(shim_freeze(c->shim, false, &err));
    GOOD(shim_exec(c->shim, "one", process_of("true"), NULL, &started, &err));
    GOOD(shim_freeze(c->shim, true, &err));
    GOOD(shim_signal(c->shim, NULL, SIGKILL, &err)); /* thaws */
    assert_true(shim_case_wait_exit(c));
    assert_int_equal(c->status, 137);
    shim_case_free(c);
}

static void limits_at_run_time(void **state)
{
    struct shim_case *c = shim_case_new(false);
    struct plan_limits limits = {.memory = 64 << 20, .memory_swap = 64 << 20, .memory_swappiness = -1, .pids = 33};
    struct cgroup_stats stats;

    start(c, plan_of("sleep 1000"));
    GOOD(shim_update(c->shim, &limits, &err));
    GOOD(shim_stats(c->shim, &stats, &err));
    assert_int_equal(stats.memory_limit, 64 << 20);
    assert_int_equal(stats.pids_limit, 33);
    shim_case_free(c); /* shutdown takes a running container along */
}

static void out_of_memory(void **state)
{
    const char *argv[] = {"probe", "eat", "300", NULL};
    struct shim_case *c = shim_case_new(false);
    struct plan *plan = fixture_plan(argv);
    struct shim_exit record;

    plan->limits.memory = plan->limits.memory_swap = 32 << 20;
    start(c, plan);
    assert_true(shim_case_wait_exit(c));
    assert_int_equal(c->status, 137);
    assert_true(c->oom_killed);
    assert_true(c->ooms > 0);
    GOOD(shim_read_exit(c->dir, &record, &err));
    assert_true(record.oom_killed);
    shim_case_free(c);
}

/* --pid=host: what the container leaves behind goes with it. */
static void no_pid_namespace(void **state)
{
    struct shim_case *c = shim_case_new(false);
    struct plan *plan = plan_of("sleep 1000 & (sleep 1000 &); echo up; exit 2");
    CLEANUP_FREE char *cgroup = mem_strdup(plan->cgroup);

    plan->namespaces[PLAN_NS_PID].mode = PLAN_NS_HOST;
    start(c, plan);
    assert_true(shim_case_wait_exit(c));
    assert_int_equal(c->status, 2);
    shim_case_free(c);
    assert_true(cgroup_is_gone(cgroup));
}

/* --- log ------------------------------------------------------------------------------------ */
static void log_lines(void **state)
{
    struct shim_case *c = shim_case_new(false);
    CLEANUP_FREE char *log = NULL;
    const char *at;
    int pieces = 0;

    /* 40,000 bytes without a newline, then one, then a rest without. */
    start(c, plan_of("head -c 40000 /dev/zero | sed 's/./x/g'; echo; printf 'tab\\t\"quote\\\\ \\001 \\377 end'"));
    assert_true(shim_case_wait_exit(c));
    log = shim_case_log(c);
    shim_case_free(c);
    for (at = log; (at = strstr(at, "{\"log\":")); at++)
        pieces++;
    assert_int_equal(pieces, 4); /* 16384 + 16384 + 7232 and newline, and the rest */
    assert_non_null(strstr(log, "\\t\\\"quote\\\\ \\u0001 \xef\xbf\xbd end\",\"stream\":\"stdout\"") ? log :
                    strstr(log, "\\t\\\"quote\\\\ \\u0001 \\ufffd end\",\"stream\":\"stdout\""));
    assert_int_equal(log[strlen(log) - 1], '\n');
}

static void log_rotation(void **state)
{
    struct shim_spec rotated = {.log_max_size = 4096, .log_max_files = 3};
    struct shim_case *c = shim_case_new_with(false, &rotated);
    size_t lines = 0;
    struct stat st;

    start(c, plan_of("seq 1 120")); /* some 75 bytes each */
    assert_true(shim_case_wait_exit(c));
    for (int i = 0; i < 4; i++) {
        CLEANUP_FREE char *path = i ? mem_printf("%s.%d", c->log, i) : mem_strdup(c->log);
        CLEANUP_FREE char *text = NULL;

        if (file_read(AT_FDCWD, path, 1 << 20, &text, NULL) < 0) {
            assert_int_equal(i, 3);
            continue;
        }
        assert_true(i < 3);
        assert_int_equal(stat(path, &st), 0);
        assert_true(st.st_size < 4096 + 200);
        for (const char *at = text; (at = strchr(at, '\n')); at++)
            lines++;
        assert_memory_equal(text, "{\"log\":", 7);
    }
    assert_int_equal(lines, 120);
    shim_case_free(c);
}

/* --- attaching --------------------------------------------------------------------------------- */
static void attach_before_start(void **state)
{
    struct shim_case *c = shim_case_new(false);
    CLEANUP_FREE char *out = NULL;
    int fd = -EBADF;

    GOOD(shim_attach(c->shim, NULL, 2 | 4, &fd, &err));
    start(c, plan_of("seq 1 20000; echo e >&2"));
    out = shim_case_drain(fd, NULL);
    close(fd);
    assert_memory_equal(out, "1\n2\n3\n", 6);
    assert_non_null(strstr(out, "\n20000\n"));
    assert_non_null(strstr(out, "e\n"));
    assert_true(shim_case_wait_exit(c));
    shim_case_free(c);
}

static void send_input(int fd, const char *text)
{
    assert_int_equal(rpc_send(fd, RPC_STREAM, 0, 0, text, strlen(text)), 0);
}

static void input(void **state)
{
    struct shim_spec once = {.stdin_once = true};
    struct shim_case *c = shim_case_new_with(true, &once);
    CLEANUP_FREE char *out = NULL;
    int fd = -EBADF;

    GOOD(shim_attach(c->shim, NULL, 7, &fd, &err));
    send_input(fd, "before ");
    start(c, plan_of("cat; echo end"));
    send_input(fd, "after");
    send_input(fd, ""); /* the end of it */
    out = shim_case_drain(fd, NULL);
    close(fd);
    assert_string_equal(out, "before afterend\n");
    assert_true(shim_case_wait_exit(c));
    shim_case_free(c);
}

/* Without stdin_once a client may leave and another go on. */
static void input_goes_on(void **state)
{
    struct shim_case *c = shim_case_new(true);
    CLEANUP_FREE char *log = NULL;
    int fd = -EBADF;

    start(c, plan_of("read a; echo got $a; read b; echo got $b"));
    GOOD(shim_attach(c->shim, NULL, 1, &fd, &err));
    send_input(fd, "one\n");
    send_input(fd, "");
    close(fd);
    GOOD(shim_attach(c->shim, NULL, 1, &fd, &err));
    send_input(fd, "two\n");
    assert_true(shim_case_wait_exit(c));
    close(fd);
    log = shim_case_log(c);
    assert_non_null(strstr(log, "got one"));
    assert_non_null(strstr(log, "got two"));
    shim_case_free(c);
}

/* 4 MiB through cat: more than all the queues on the way. */
static void much_input(void **state)
{
    struct shim_spec once = {.stdin_once = true};
    struct shim_case *c = shim_case_new_with(true, &once);
    static char block[32768];
    struct rpc_decoder decoder = {0};
    struct rpc_frame frame;
    size_t sent = 0, got = 0, total = 4u << 20;
    struct str out = STR_INIT;
    size_t out_sent = 0;
    int fd = -EBADF;

    memset(block, 'b', sizeof(block));
    GOOD(shim_attach(c->shim, NULL, 3, &fd, &err));
    start(c, plan_of("cat"));
    fd_set_nonblock(fd, true);
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        char buffer[65536];
        ssize_t n;

        if (out_sent == out.length && sent <= total) {
            str_clear(&out);
            out_sent = 0;
            rpc_encode(&out, RPC_STREAM, 0, 0, block, sent < total ? sizeof(block) : 0);
            sent += sizeof(block);
        }
        if (out_sent < out.length)
            p.events |= POLLOUT;
        assert_true(poll(&p, 1, 30000) > 0);
        if (p.revents & POLLOUT) {
            n = write(fd, out.data + out_sent, out.length - out_sent);
            if (n > 0)
                out_sent += (size_t)n;
        }
        if (p.revents & (POLLIN | POLLHUP)) {
            n = read(fd, buffer, sizeof(buffer));
            if (n <= 0)
                break;
            assert_int_equal(rpc_decoder_feed(&decoder, buffer, (size_t)n), 0);
            while (rpc_decoder_next(&decoder, &frame) > 0)
                got += frame.length;
        }
    }
    assert_int_equal(got, total);
    rpc_decoder_free(&decoder);
    str_free(&out);
    close(fd);
    assert_true(shim_case_wait_exit(c));
    shim_case_free(c);
}

/* A client that does not read stops the container; one that leaves lets it go on;
 * nothing is lost for the other. */
static void slow_client(void **state)
{
    struct shim_spec no_log = {.log_path = ""};
    struct shim_case *c = shim_case_new_with(false, &no_log);
    CLEANUP_FREE char *out = NULL;
    int slow = -EBADF, quick = -EBADF;
    size_t length;

    GOOD(shim_attach(c->shim, NULL, 2, &slow, &err));
    GOOD(shim_attach(c->shim, NULL, 2, &quick, &err));
    start(c, plan_of("head -c 8000000 /dev/zero; exit 3"));
    usleep(200000);
    assert_false(c->exited); /* it is being held up */
    close(slow);
    out = shim_case_drain(quick, &length);
    assert_int_equal(length, 8000000);
    close(quick);
    assert_true(shim_case_wait_exit(c));
    assert_int_equal(c->status, 3);
    shim_case_free(c);
}

/* The container ends while its client sleeps: the end is told and recorded, and
 * the client still gets everything, after a shutdown, too. */
static void output_outlives_the_container(void **state)
{
    struct shim_case *c = shim_case_new(false);
    CLEANUP_FREE char *out = NULL;
    int fd = -EBADF;
    size_t length;

    GOOD(shim_attach(c->shim, NULL, 2, &fd, &err));
    start(c, plan_of("head -c 300000 /dev/zero"));
    assert_true(shim_case_wait_exit(c));
    shim_shutdown(c->shim);
    out = shim_case_drain(fd, &length);
    assert_int_equal(length, 300000);
    close(fd);
    shim_case_free(c);
}

static void terminal(void **state)
{
    struct shim_case *c = shim_case_new(true);
    struct plan *plan = plan_of("stty size; read x; stty size; echo \"[$x]\"");
    CLEANUP_FREE char *out = NULL;
    CLEANUP_FREE char *log = NULL;
    int fd = -EBADF;

    plan->process.tty = true;
    plan->process.rows = 10;
    plan->process.cols = 20;
    GOOD(shim_attach(c->shim, NULL, 7, &fd, &err));
    start(c, plan);
    GOOD(shim_resize(c->shim, NULL, 33, 44, &err));
    send_input(fd, "hey\n");
    out = shim_case_drain(fd, NULL);
    close(fd);
    assert_non_null(strstr(out, "33 44\r\n[hey]\r\n"));
    assert_true(shim_case_wait_exit(c));
    log = shim_case_log(c);
    assert_non_null(strstr(log, "[hey]\\r\\n\",\"stream\":\"stdout\""));
    shim_case_free(c);
}

/* --- exec ------------------------------------------------------------------------------------------- */

static void execs(void **state)
{
    struct shim_case *c = shim_case_new(false);
    CLEANUP_FREE char *out = NULL;
    CLEANUP_FREE char *log = NULL;
    struct plan_process *process;
    int fd = -EBADF;

    start(c, plan_of("sleep 1000"));
    GOOD(shim_attach(c->shim, "one", 6, &fd, &err));
    GOOD(shim_exec(c->shim, "one", process_of("echo hello; ps | wc -l; exit 9"), NULL, &started, &err));
    assert_true(started.pid > 0);
    out = shim_case_drain(fd, NULL);
    close(fd);
    assert_memory_equal(out, "hello\n", 6);
    assert_true(shim_case_wait_exec(c, 1));
    assert_int_equal(c->exec_status, 9);
    assert_string_equal(c->exec_id, "one");
    assert_int_equal(shim_exec(c->shim, "one", process_of("true"), NULL, &started, &err), -EEXIST);
    /* stdin of an exec ends with its client */
    process = process_of("cat; exit 8");
    process->no_stdin = false;
    GOOD(shim_attach(c->shim, "two", 1, &fd, &err));
    GOOD(shim_exec(c->shim, "two", process, NULL, &started, &err));
    send_input(fd, "x");
    close(fd);
    assert_true(shim_case_wait_exec(c, 2));
    assert_int_equal(c->exec_status, 8);
    /* a terminal of its own */
    process = process_of("tty; exit 0");
    process->tty = true;
    GOOD(shim_attach(c->shim, "three", 2, &fd, &err));
    GOOD(shim_exec(c->shim, "three", process, NULL, &started, &err));
    free(out);
    out = shim_case_drain(fd, NULL);
    close(fd);
    assert_string_equal(out, "/dev/pts/0\r\n");
    assert_true(shim_case_wait_exec(c, 3));
    /* killed by its id */
    GOOD(shim_exec(c->shim, "four", process_of("sleep 1000"), NULL, &started, &err));
    GOOD(shim_signal(c->shim, "four", SIGKILL, &err));
    assert_true(shim_case_wait_exec(c, 4));
    assert_int_equal(c->exec_status, 137);
    /* a daemon that keeps the output open does not keep the end from being told */
    GOOD(shim_attach(c->shim, "five", 2, &fd, &err));
    GOOD(shim_exec(c->shim, "five", process_of("sleep 500 & echo started"), NULL, &started, &err));
    assert_true(shim_case_wait_exec(c, 5));
    free(out);
    out = shim_case_drain(fd, NULL);
    close(fd);
    assert_string_equal(out, "started\n");
    log = shim_case_log(c);
    assert_string_equal(log, ""); /* execs are not logged */
    plan_process_clear(process_of("x"));
    shim_case_free(c);
}

/* Until a text has come; what came before it counts too. */
static void read_until(int fd, const char *wanted)
{
    CLEANUP_STR struct str got = STR_INIT;
    CLEANUP(rpc_decoder_free) struct rpc_decoder decoder = {0};
    struct rpc_frame frame;

    while (!got.data || !strstr(got.data, wanted)) {
        GOOD(rpc_receive(fd, &decoder, &frame, 20000));
        str_append_n(&got, frame.body, frame.length);
    }
}

static void terminal_rejoined(void **state)
{
    struct shim_case *c = shim_case_new(false);
    struct plan_process *process = process_of("stty -echo; echo ready; while read x; do echo got-$x; done");
    struct shim_rejoined back = {0};
    int first = -EBADF, second = -EBADF;
    char byte;

    process->tty = true;
    process->no_stdin = false;
    start(c, plan_of("sleep 1000"));
    assert_int_equal(shim_rejoin(c->shim, "t", 7, 0, &first, &back, &err), -ESRCH);
    GOOD(shim_attach(c->shim, "t", 7, &first, &err));
    GOOD(shim_exec(c->shim, "t", process, NULL, &started, &err));
    read_until(first, "ready\r\n");
    send_input(first, "one\n");
    read_until(first, "got-one\r\n");
    /* What is known is not said again, what is not known is; the first one is put out. */
    GOOD(shim_rejoin(c->shim, "t", 7, strlen("ready\r\n"), &second, &back, &err));
    assert_int_equal(back.from, strlen("ready\r\n"));
    assert_int_equal(back.to, strlen("ready\r\ngot-one\r\n"));
    read_until(second, "got-one\r\n");
    assert_int_equal(recv(first, &byte, 1, 0), 0);
    close(first);
    send_input(second, "two\n");
    read_until(second, "got-two\r\n");
    close(second);
    /* More known than there is: a client of another life. All that is kept. */
    GOOD(shim_rejoin(c->shim, "t", 7, 1u << 30, &second, &back, &err));
    assert_int_equal(back.from, 0);
    read_until(second, "got-two\r\n");
    GOOD(shim_signal(c->shim, "t", SIGHUP, &err));
    assert_true(shim_case_wait_exec(c, 1));
    close(second);
    assert_int_equal(shim_rejoin(c->shim, "t", 7, 0, &second, &back, &err), -ESRCH);
    /* The container's own process has its log. */
    assert_int_equal(shim_rejoin(c->shim, "", 7, 0, &second, &back, &err), -ESRCH);
    GOOD(shim_exec(c->shim, "plain", process_of("sleep 1000"), NULL, &started, &err));
    assert_int_equal(shim_rejoin(c->shim, "plain", 7, 0, &second, &back, &err), -EINVAL);
    shim_case_free(c);
}

static void execs_die_with_the_container(void **state)
{
    struct shim_case *c = shim_case_new(false);

    start(c, plan_of("sleep 1000"));
    for (int i = 0; i < 5; i++) {
        char id[8];

        snprintf(id, sizeof(id), "e%d", i);
        GOOD(shim_exec(c->shim, id, process_of("sleep 1000"), NULL, &started, &err));
    }
    GOOD(shim_signal(c->shim, NULL, SIGKILL, &err));
    assert_true(shim_case_wait_exit(c));
    assert_true(shim_case_wait_exec(c, 5));
    assert_int_equal(c->exec_status, 137);
    plan_process_clear(process_of("x"));
    shim_case_free(c);
}

/* --- servers that vanish ------------------------------------------------------------------------------- */
static void server_comes_back(void **state)
{
    struct shim_case *c = shim_case_new(true);
    CLEANUP_FREE char *log = NULL;
    pid_t shim = shim_pid(c->shim);
    pid_t pid;
    int fd = -EBADF;
    size_t lines = 0;

    start(c, plan_of("for i in $(seq 1 2000); do echo line $i; done; read x; exit 6"));
    pid = started.pid;
    GOOD(shim_exec(c->shim, "gone", process_of("exit 5"), NULL, &started, &err));
    shim_case_drop(c);
    assert_int_equal(shim_case_reattach(c), 0);
    assert_int_equal(shim_pid(c->shim), shim);
    GOOD(shim_status(c->shim, &started, &err));
    assert_int_equal(started.pid, pid);
    assert_true(shim_case_wait_exec(c, 1)); /* told now, if not before */
    assert_int_equal(c->exec_status, 5);
    GOOD(shim_attach(c->shim, NULL, 1, &fd, &err));
    send_input(fd, "x\n");
    assert_true(shim_case_wait_exit(c));
    assert_int_equal(c->status, 6);
    close(fd);
    log = shim_case_log(c);
    for (const char *at = log; (at = strchr(at, '\n')); at++)
        lines++;
    assert_int_equal(lines, 2000);
    plan_process_clear(process_of("x"));
    shim_case_free(c);
}

/* It ends while nobody is there: the record is, and the shim is not. */
static void end_without_a_server(void **state)
{
    struct shim_case *c = shim_case_new(false);
    struct plan *plan = plan_of("usleep 100000; echo last; exit 12");
    CLEANUP_FREE char *cgroup = mem_strdup(plan->cgroup);
    CLEANUP_FREE char *log = NULL;
    struct shim_exit record;
    pid_t shim = shim_pid(c->shim);
    int pidfd = (int)syscall(SYS_pidfd_open, shim, 0);
    struct pollfd p = {.fd = pidfd, .events = POLLIN};

    start(c, plan);
    shim_case_drop(c);
    assert_int_equal(poll(&p, 1, 20000), 1);
    close(pidfd);
    GOOD(shim_read_exit(c->dir, &record, &err));
    assert_int_equal(record.status, 12);
    log = shim_case_log(c);
    assert_non_null(strstr(log, "last"));
    assert_true(cgroup_is_gone(cgroup));
    {
        int r = shim_case_reattach(c);

        assert_true(r == -ENOENT || r == -ECONNREFUSED);
    }
    shim_case_free(c);
}

/* Nothing but SIGKILL ends a shim, and then its container. */
static void killed_shim(void **state)
{
    struct shim_case *c = shim_case_new(false);
    struct plan *plan = plan_of("trap '' TERM; sleep 1000");
    CLEANUP_FREE char *cgroup = mem_strdup(plan->cgroup);
    pid_t shim = shim_pid(c->shim);
    int pidfd;
    struct pollfd p = {.events = POLLIN};

    start(c, plan);
    pidfd = (int)syscall(SYS_pidfd_open, started.pid, 0);
    assert_true(pidfd >= 0);
    kill(shim, SIGTERM);
    kill(shim, SIGINT);
    kill(shim, SIGHUP);
    GOOD(shim_signal(c->shim, NULL, 0, &err));
    kill(shim, SIGKILL);
    assert_true(shim_case_wait_lost(c));
    p.fd = pidfd;
    assert_int_equal(poll(&p, 1, 20000), 1);
    close(pidfd);
    assert_int_equal(shim_signal(c->shim, NULL, 0, &err), -ESRCH);
    assert_int_equal(shim_read_exit(c->dir, &(struct shim_exit){0}, &err), -ENOENT);
    cgroup_kill(cgroup, SIGKILL);
    cgroup_remove(cgroup);
    shim_case_free(c);
}

static void never_started(void **state)
{
    struct shim_case *c = shim_case_new(false);
    pid_t shim = shim_pid(c->shim);
    int pidfd = (int)syscall(SYS_pidfd_open, shim, 0);
    struct pollfd p = {.fd = pidfd, .events = POLLIN};

    assert_true(pidfd >= 0);
    shim_case_drop(c);
    assert_int_equal(poll(&p, 1, 20000), 1);
    close(pidfd);
    shim_case_free(c);
}

/* Many threads ask one shim at once. */
static void *ask_much(void *user)
{
    struct shim_case *c = user;
    struct cgroup_stats stats;
    struct process_list *list = NULL;

    for (int i = 0; i < 200; i++) {
        struct error e = ERROR_INIT;

        if (shim_stats(c->shim, &stats, &e) < 0 || stats.pids_current == 0 || shim_processes(c->shim, &list, &e) < 0 ||
            shim_signal(c->shim, NULL, 0, &e) < 0)
            return (void *)"failed";
        process_list_unref(list);
    }
    return NULL;
}

static void many_threads(void **state)
{
    struct shim_case *c = shim_case_new(false);
    pthread_t threads[8];

    start(c, plan_of("sleep 1000"));
    for (int i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_much, c), 0);
    for (int i = 0; i < 8; i++) {
        void *result;

        pthread_join(threads[i], &result);
        assert_null(result);
    }
    shim_case_free(c);
}

/* A shim that hangs costs its own askers their time, nobody else's: the loop goes
 * on, and when it wakes up so does the conversation. */
static void hanging_shim(void **state)
{
    struct shim_case *c = shim_case_new(false), *other = shim_case_new(false);
    pthread_t thread;
    void *result;

    start(c, plan_of("sleep 1000"));
    kill(shim_pid(c->shim), SIGSTOP);
    assert_int_equal(pthread_create(&thread, NULL, ask_much, c), 0);
    start(other, plan_of("exit 3"));
    assert_true(shim_case_wait_exit(other));
    kill(shim_pid(c->shim), SIGCONT);
    pthread_join(thread, &result);
    assert_null(result);
    shim_case_free(other);
    shim_case_free(c);
}

/* --- hostile peers --------------------------------------------------------------------------------------- */
static void garbage(void **state)
{
    struct shim_case *c = shim_case_new(false);
    CLEANUP_FREE char *path = path_join(c->dir, "shim.sock");
    unsigned seed = 7;

    start(c, plan_of("sleep 1000"));
    for (int round = 0; round < 300; round++) {
        CLEANUP_STR struct str out = STR_INIT;
        struct pollfd p = {.events = POLLIN};
        char noise[64], sink[4096];
        int fd = socket_connect(path);

        assert_true(fd >= 0);
        if (round % 3) { /* past the greeting */
            wire_put_u64(&out, RPC_TAG_VERSION, RPC_VERSION);
            assert_int_equal(rpc_send(fd, RPC_HELLO, 0, 0, out.data, out.length), 0);
            str_clear(&out);
        }
        for (size_t i = 0; i < sizeof(noise); i++) {
            seed = seed * 1103515245 + 12345;
            noise[i] = (char)(seed >> 16);
        }
        if (round % 3 == 2) /* well-framed nonsense of every type */
            rpc_encode(&out, (uint16_t)(2 + round % 30), 0, 1, noise, sizeof(noise));
        else
            str_append_n(&out, noise, sizeof(noise));
        if (out.length > 4 && round % 3 == 2 && (2 + round % 30) == RPC_SHUTDOWN) {
            close(fd);
            continue; /* root may ask that */
        }
        (void)!write(fd, out.data, out.length);
        shutdown(fd, SHUT_WR);
        p.fd = fd;
        while (poll(&p, 1, 20000) == 1 && read(fd, sink, sizeof(sink)) > 0)
            ;
        close(fd);
    }
    GOOD(shim_signal(c->shim, NULL, 0, &err)); /* still there */
    shim_case_free(c);
}

static void wrong_version(void **state)
{
    struct shim_case *c = shim_case_new(false);
    CLEANUP_FREE char *path = path_join(c->dir, "shim.sock");
    CLEANUP_STR struct str body = STR_INIT;
    struct rpc_decoder decoder = {0};
    struct rpc_frame frame;
    int fd = socket_connect(path);

    assert_true(fd >= 0);
    wire_put_u64(&body, RPC_TAG_VERSION, 99);
    assert_int_equal(rpc_send(fd, RPC_HELLO, 0, 0, body.data, body.length), 0);
    assert_int_equal(rpc_receive(fd, &decoder, &frame, 10000), 0);
    assert_int_equal(frame.type, RPC_HELLO);
    assert_int_equal(rpc_receive(fd, &decoder, &frame, 10000), 0);
    err = ERROR_INIT;
    assert_int_equal(rpc_decode_error(&frame, &err, NULL), -EPROTO);
    assert_int_equal(rpc_receive(fd, &decoder, &frame, 10000), -EPIPE);
    rpc_decoder_free(&decoder);
    close(fd);
    shim_case_free(c);
}

static void damaged_records(void **state)
{
    static const char *const bad[] = {"", "status x\n", "status 256\n", "oom 0\n", "status 1\noom 2\n", "status 1\ntime z\n"};
    CLEANUP_FREE char *path = mem_printf("%s/exit", f.dir);

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(file_write_atomic(AT_FDCWD, path, bad[i], strlen(bad[i]), 0600), 0);
        assert_int_equal(shim_read_exit(f.dir, &(struct shim_exit){0}, &err), -EIO);
    }
    unlink(path);
}

/* --- many ------------------------------------------------------------------------------------------------------ */
static void twenty_containers(void **state)
{
    struct shim_case *c[20];

    for (int i = 0; i < 20; i++)
        c[i] = shim_case_new(false);
    for (int i = 0; i < 20; i++)
        start(c[i], plan_of("echo hi; exit 21"));
    for (int i = 0; i < 20; i++) {
        CLEANUP_FREE char *log = NULL;

        assert_true(shim_case_wait_exit(c[i]));
        assert_int_equal(c[i]->status, 21);
        log = shim_case_log(c[i]);
        assert_non_null(strstr(log, "hi"));
        shim_case_free(c[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_life),
        cmocka_unit_test(failing_starts),
        cmocka_unit_test(signals_and_processes),
        cmocka_unit_test(pausing),
        cmocka_unit_test(limits_at_run_time),
        cmocka_unit_test(out_of_memory),
        cmocka_unit_test(no_pid_namespace),
        cmocka_unit_test(log_lines),
        cmocka_unit_test(log_rotation),
        cmocka_unit_test(attach_before_start),
        cmocka_unit_test(input),
        cmocka_unit_test(input_goes_on),
        cmocka_unit_test(much_input),
        cmocka_unit_test(slow_client),
        cmocka_unit_test(output_outlives_the_container),
        cmocka_unit_test(terminal),
        cmocka_unit_test(execs),
        cmocka_unit_test(terminal_rejoined),
        cmocka_unit_test(execs_die_with_the_container),
        cmocka_unit_test(server_comes_back),
        cmocka_unit_test(end_without_a_server),
        cmocka_unit_test(killed_shim),
        cmocka_unit_test(never_started),
        cmocka_unit_test(many_threads),
        cmocka_unit_test(hanging_shim),
        cmocka_unit_test(garbage),
        cmocka_unit_test(wrong_version),
        cmocka_unit_test(damaged_records),
        cmocka_unit_test(twenty_containers),
    };

    return cmocka_run_group_tests(tests, fixture_up, fixture_down);
}
