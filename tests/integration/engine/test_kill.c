/* A server that is killed at any moment, again and again, under load: afterwards
 * no container, no exit status and no log line is missing. The server is this
 * very program, started again with other arguments. */
#include "engine_test.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/random.h"

#define ROUNDS 10
#define WRITERS 4
#define ROOT_FD_NAME "made" /* names of containers that were surely created */

static const char *own_path;

/* --- the server that is killed ------------------------------------------------------------ */

struct load {
    struct bench *bench;
    int made; /* names go here once their container is there for sure */
    int round;
    int number;
};

static void *work(void *user)
{
    struct load *load = user;
    static const char *const names[] = {"w0", "w1", "w2", "w3"};

    for (int i = 0;; i++) {
        CLEANUP_FREE char *name = mem_printf("r%d-%d-%d", load->round, load->number, i);
        CLEANUP_FREE char *body = mem_printf("{'Cmd':['sh','-c','echo %s; exit %d']}", name, (load->round * 10 + i) % 200);
        struct error err = ERROR_INIT;
        struct container *c = NULL;

        if (try_make(load->bench, name, body, &err) == 0) {
            CLEANUP_FREE char *line = mem_printf("%s %d\n", name, (load->round * 10 + i) % 200);
            (void)!write(load->made, line, strlen(line));
            if (container_get(load->bench->engine, name, &c, NULL) == 0) {
                container_start(c, NULL, NULL);
                container_put(c);
            }
        }
        /* Execs, pauses in those that write logs; and one that is stopped and started. */
        if (container_get(load->bench->engine, names[i % WRITERS], &c, NULL) == 0) {
            CLEANUP_JSON cJSON *body_json = cJSON_Parse("{\"Cmd\":[\"true\"]}");
            char id[65];

            if (i % 3 == 0) {
                container_pause(c, NULL);
                container_unpause(c, NULL);
            } else if (exec_create(c, "it", body_json, id, NULL) == 0) {
                exec_start(load->bench->engine, id, true, false, 0, 0, NULL, NULL);
            }
            container_put(c);
        }
        if (container_get(load->bench->engine, "toggled", &c, NULL) == 0) {
            if (container_start(c, NULL, NULL) < 0)
                container_stop(c, NULL, 0, NULL);
            container_put(c);
        }
    }
    return NULL;
}

static int serve(const char *root, const char *round)
{
    struct bench bench = {0};
    struct load loads[2];
    pthread_t threads[2];
    CLEANUP_FREE char *path = mem_printf("%s/" ROOT_FD_NAME, root);

    snprintf(bench.root, sizeof(bench.root), "%s", root);
    bench_open(&bench);
    int made = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    for (int i = 0; i < 2; i++) {
        loads[i] = (struct load){&bench, made, atoi(round), i};
        pthread_create(&threads[i], NULL, work, &loads[i]);
    }
    (void)!write(STDOUT_FILENO, "up\n", 3);
    pthread_join(threads[0], NULL);
    return 0;
}

static void kill_round(struct bench *bench, int round)
{
    CLEANUP_FREE char *number = mem_printf("%d", round);
    int ends[2];
    uint8_t dice;
    char byte;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        execl(own_path, own_path, "serve", bench->root, number, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    random_bytes(&dice, 1);
    if (round % 3 != 0) /* every third one is killed while it comes up */
        assert_int_equal(read(ends[0], &byte, 1), 1);
    usleep(50000 + dice * 2000u);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(ends[0]);
}

/* --- the count --------------------------------------------------------------------------------- */

static void check_writer(struct bench *bench, const char *name)
{
    struct container *c = NULL;
    struct error err = ERROR_INIT;
    int last = 0;

    if (container_get(bench->engine, name, &c, &err) < 0)
        fail_msg("%s", err.message);
    /* One that was paused when the server died is paused still. */
    container_unpause(c, NULL);
    struct container_info *info = info_of(c);
    assert_int_equal(info->state, CONTAINER_RUNNING);
    container_info_free(info);
    assert_int_equal(exec_in(bench, c, "touch /tmp/end", NULL), 0);
    assert_int_equal(wait_exit(c), 7);
    CLEANUP_FREE char *text = logs_of(c);
    for (char *line = text; *line; line = strchr(line, '\n') + 1) {
        assert_int_equal(atoi(line), last + 1);
        last++;
    }
    assert_true(last > 10);
    drop(c);
}

static void check_made(struct bench *bench, int *ret_count)
{
    CLEANUP_FREE char *path = mem_printf("%s/" ROOT_FD_NAME, bench->root);
    CLEANUP_FREE char *text = NULL;
    size_t length;

    assert_int_equal(file_read(AT_FDCWD, path, 1 << 20, &text, &length), 0);
    CLEANUP_STRV char **lines = strv_split(text, '\n');
    for (char **line = lines; *line && **line; line++) {
        struct container *c = NULL;
        struct error err = ERROR_INIT;
        char name[64];
        int code;

        assert_int_equal(sscanf(*line, "%63s %d", name, &code), 2);
        if (container_get(bench->engine, name, &c, &err) < 0)
            fail_msg("%s", err.message);
        struct container_info *info = info_of(c);
        if (info->has_been_started_before) {
            assert_int_equal(wait_exit(c), code);
            CLEANUP_FREE char *log = logs_of(c);
            CLEANUP_FREE char *wanted = mem_printf("%s\n", name);
            assert_string_equal(log, wanted);
        } else {
            /* Killed between create and start: it can be started now. */
            assert_int_equal(info->state, CONTAINER_CREATED);
            assert_int_equal(container_start(c, NULL, &err), 0);
            assert_int_equal(wait_exit(c), code);
        }
        container_info_free(info);
        drop(c);
        (*ret_count)++;
    }
}

static void killed_again_and_again(void **state)
{
    struct bench *bench = *state;
    int made = 0;

    for (int i = 0; i < WRITERS; i++) {
        CLEANUP_FREE char *name = mem_printf("w%d", i);
        container_put(run(bench, name, "{'Cmd':['sh','-c','i=0; while test ! -e /tmp/end; do i=$((i+1)); echo $i; sleep 0.05; done; exit 7']}"));
    }
    container_put(make(bench, "toggled", "{'Cmd':['sleep','1000']}"));
    bench_close(bench);
    for (int round = 0; round < ROUNDS; round++)
        kill_round(bench, round);
    bench_open(bench);
    for (int i = 0; i < WRITERS; i++) {
        CLEANUP_FREE char *name = mem_printf("w%d", i);
        check_writer(bench, name);
    }
    check_made(bench, &made);
    print_message("%d containers were made in %d lives of the server\n", made, ROUNDS);
    assert_true(made > 0);
    struct container *toggled = NULL;
    assert_int_equal(container_get(bench->engine, "toggled", &toggled, NULL), 0);
    container_stop(toggled, NULL, 0, NULL);
    assert_int_equal(container_start(toggled, NULL, NULL), 0);
    drop(toggled);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(killed_again_and_again)};

    if (argc == 4 && strcmp(argv[1], "serve") == 0)
        return serve(argv[2], argv[3]);
    own_path = argv[0];
    return cmocka_run_group_tests(tests, bench_up, bench_down);
}
