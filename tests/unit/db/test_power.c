/* The power goes: what was synced is there, nothing else. SQLite's fdatasync() comes
 * to this program, which keeps a copy of the log at that moment: what a machine would
 * find after the cut. */
#include "db_test.h"

#include <sys/syscall.h>
#include <sys/wait.h>

static char kept_dir[64]; /* "": keep nothing */
static int syncs;         /* atomic */

static void copy_file(const char *from_path, const char *to_path)
{
    char data[1 << 16];
    ssize_t n;
    CLEANUP_CLOSE int from = open(from_path, O_RDONLY | O_CLOEXEC);
    CLEANUP_CLOSE int to = open(to_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(from >= 0 && to >= 0);
    while ((n = read(from, data, sizeof(data))) > 0)
        assert_int_equal(write(to, data, (size_t)n), n);
}

__attribute__((visibility("default"))) int fdatasync(int fd)
{
    char link[64], path[256], kept[128];

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof(path) - 1);
    path[n > 0 ? n : 0] = '\0';
    int r = (int)syscall(SYS_fdatasync, fd);
    if (r == 0 && kept_dir[0] && n > 4 && strcmp(path + n - 4, "-wal") == 0) {
        snprintf(kept, sizeof(kept), "%s/kept.db-wal", kept_dir);
        copy_file(path, kept);
        __atomic_fetch_add(&syncs, 1, __ATOMIC_RELAXED);
    }
    return r;
}

static int power_setup(void **state)
{
    int r = setup(state);
    struct fixture *f = *state;

    /* All that opening did is in the file itself; from here on the log tells. */
    fixture_reopen(f);
    snprintf(kept_dir, sizeof(kept_dir), "%s", f->dir);
    syncs = 0;
    return r;
}

static int power_teardown(void **state)
{
    kept_dir[0] = '\0';
    return teardown(state);
}

/* One number as it is read after a cut that comes now; once in a test. */
static int64_t after_cut(const struct fixture *f, const char *sql)
{
    struct fixture cut = {0};
    char shm[128];

    snprintf(cut.path, sizeof(cut.path), "%s/kept.db", f->dir);
    snprintf(shm, sizeof(shm), "%s-shm", cut.path);
    unlink(shm);
    /* A copy of the file opened by another name: closing it takes no lock away. */
    char *const command[] = {(char *)"cp", (char *)f->path, cut.path, NULL};
    pid_t pid = fork();
    if (pid == 0) {
        execvp(command[0], command);
        _exit(127);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    return peek(&cut, sql);
}

static struct event event_of(uint64_t sequence)
{
    return (struct event){.references = 1,
                          .sequence = sequence,
                          .time_ns = (int64_t)sequence,
                          .type = (char *)"container",
                          .action = (char *)"start",
                          .actor_id = (char *)"x"};
}

static void line_with_what_came_before(void **state)
{
    struct fixture *f = *state;
    struct event event = event_of(7);
    struct store_audit audit = {.who = "ana", .what = "login", .result = 200};

    assert_int_equal(store_put_event(f->store, &event), 0);
    assert_int_equal(store_put_audit(f->store, &audit), 0);
    assert_int_equal(after_cut(f, "SELECT count(*) FROM audit, event"
                                  " WHERE who = 'ana' AND result = 200 AND sequence = 7"),
                     1);
}

static void line_in_two_parts(void **state)
{
    struct fixture *f = *state;
    struct store_audit audit = {.who = "ana", .what = "container.start", .target = "c1"};
    struct store_audit_open *open = store_begin_audit(f->store, &audit);

    audit.target = "c2";
    audit.result = 204;
    assert_int_equal(store_end_audit(f->store, open, &audit), 0);
    assert_int_equal(peek(f, "SELECT count(*) FROM audit WHERE target = 'c2' AND result = 204"), 1);
    assert_int_equal(peek(f, "SELECT count(*) FROM audit"), 1);
    assert_int_equal(after_cut(f, "SELECT count(*) FROM audit WHERE who = 'ana'"), 1);
}

/* An end that is never told leaves the beginning. */
static void begun_only(void **state)
{
    struct fixture *f = *state;
    struct store_audit audit = {.who = "ana", .what = "container.start", .result = 204};
    struct store_audit_open *open = store_begin_audit(f->store, &audit);

    assert_int_equal(store_flush(f->store), 0);
    assert_int_equal(after_cut(f, "SELECT result FROM audit WHERE who = 'ana'"), 0);
    assert_int_equal(store_end_audit(f->store, open, &audit), 0);
}

#define THREADS 16
#define LINES 40

static void *write_lines(void *user)
{
    for (int i = 0; i < LINES; i++) {
        struct store_audit audit = {.who = "ana", .what = "burst", .result = 200};
        assert_int_equal(store_put_audit(user, &audit), 0);
    }
    return NULL;
}

static void burst_shares_syncs(void **state)
{
    struct fixture *f = *state;
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_lines, f->store), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(after_cut(f, "SELECT count(*) FROM audit"), THREADS * LINES);
    assert_true(__atomic_load_n(&syncs, __ATOMIC_RELAXED) < THREADS * LINES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(line_with_what_came_before, power_setup, power_teardown),
        cmocka_unit_test_setup_teardown(line_in_two_parts, power_setup, power_teardown),
        cmocka_unit_test_setup_teardown(begun_only, power_setup, power_teardown),
        cmocka_unit_test_setup_teardown(burst_shares_syncs, power_setup, power_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
