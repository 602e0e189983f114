/* A writer killed in the middle of its work: everything it was told to be
 * written is there. */
#include "db_test.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

struct acknowledged {
    char kind; /* 'e' event, 'a' audit */
    uint64_t number;
};

struct worker {
    struct store *store;
    int out;
    int index;
};

static void *work(void *user)
{
    struct worker *worker = user;

    for (uint64_t i = 1;; i++) {
        uint64_t number = i * 10 + (uint64_t)worker->index;
        struct acknowledged ack = {.number = number};
        struct process p = make_process((pid_t)(number % 30000) + 1, number, (int64_t)number, "x");
        struct store_sample sample = {.time_ns = clock_real_ns()};

        store_process_born(worker->store, "", &p);
        store_put_sample(worker->store, "", &sample);
        if (worker->index % 2) {
            struct store_audit audit = {.what = "w", .result = (int)number};
            ack.kind = 'a';
            if (store_put_audit(worker->store, &audit) < 0)
                _exit(2);
        } else {
            struct event event = {.references = 1,
                                  .sequence = number,
                                  .time_ns = (int64_t)number,
                                  .type = (char *)"t",
                                  .action = (char *)"a",
                                  .actor_id = (char *)"x"};
            ack.kind = 'e';
            if (store_put_event(worker->store, &event) < 0)
                _exit(2);
        }
        /* Under PIPE_BUF: whole, though several write. */
        if (write(worker->out, &ack, sizeof(ack)) != sizeof(ack))
            _exit(3);
    }
    return NULL;
}

static void child_main(const char *path, int out)
{
    struct store_options options = {.path = path};
    struct store *store = NULL;
    struct worker workers[4];

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (store_open(&options, &store, NULL) < 0)
        _exit(1);
    for (int i = 0; i < 4; i++) {
        pthread_t thread;
        workers[i] = (struct worker){store, out, i};
        pthread_create(&thread, NULL, work, &workers[i]);
    }
    for (;;)
        pause();
}

static void killed_while_writing(void **state)
{
    char dir[] = "/tmp/tabique-crash-XXXXXX";
    char path[64];
    unsigned seed = 5;

    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/history.db", dir);
    for (int round = 0; round < 8; round++) {
        struct acknowledged acks[4096];
        size_t count = 0, wanted = 50 + (size_t)rand_r(&seed) % 400;
        int out[2];

        /* A file of its own each time: numbers begin anew. */
        path_remove_tree(AT_FDCWD, dir);
        assert_int_equal(mkdir(dir, 0700), 0);
        assert_int_equal(pipe2(out, O_CLOEXEC), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            child_main(path, out[1]);
        close(out[1]);
        while (count < wanted && read(out[0], &acks[count], sizeof(acks[0])) == sizeof(acks[0]))
            count++;
        kill(child, SIGKILL);
        int status;
        waitpid(child, &status, 0);
        assert_true(WIFSIGNALED(status));
        /* told before the kill, read after it */
        while (count < ARRAY_SIZE(acks) &&
               read(out[0], &acks[count], sizeof(acks[0])) == sizeof(acks[0]))
            count++;
        close(out[0]);
        assert_true(count >= wanted);

        struct fixture f = {0};
        snprintf(f.path, sizeof(f.path), "%s", path);
        fixture_open(&f);
        assert_int_equal(
            peek(&f, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"),
            0);
        for (size_t i = 0; i < count; i++) {
            char sql[128];
            snprintf(sql, sizeof(sql),
                     acks[i].kind == 'e' ? "SELECT count(*) FROM event WHERE sequence = %llu"
                                         : "SELECT count(*) FROM audit WHERE result = %llu",
                     (unsigned long long)acks[i].number);
            assert_int_equal(peek(&f, sql), 1);
        }
        store_close(f.store);
    }
    path_remove_tree(AT_FDCWD, dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_while_writing),
    };

    return cmocka_run_group_tests_name("db_crash", tests, NULL, NULL);
}
