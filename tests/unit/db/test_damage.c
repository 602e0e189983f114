#include "db_test.h"

#include <dirent.h>

static size_t files_named(const struct fixture *f, const char *part)
{
    DIR *dir = opendir(f->dir);
    size_t count = 0;
    struct dirent *entry;

    while ((entry = readdir(dir)))
        count += strstr(entry->d_name, part) != NULL;
    closedir(dir);
    return count;
}

static int count_users(void *user, const struct store_user *row)
{
    (*(size_t *)user)++;
    return 0;
}

static void fill(struct fixture *f)
{
    struct store_user ana = {.name = "ana", .role = "admin", .password_hash = "h"};

    assert_int_equal(store_user_put(f->store, &ana, NULL), 0);
    for (int i = 0; i < 5000; i++) {
        struct process p = make_process(i + 1, 1, i * SEC, "something-to-fill-pages");
        store_process_born(f->store, "", &p);
        store_process_died(f->store, "", p.pid, 1, i * SEC + SEC);
    }
    struct event event = {.references = 1,
                          .sequence = 77,
                          .time_ns = 5,
                          .type = (char *)"t",
                          .action = (char *)"a",
                          .actor_id = (char *)"x"};
    assert_int_equal(store_put_event(f->store, &event), 0);
}

/* Garbage over the pages of the lives: set aside, begun anew, and who may sign
 * in is still known. */
static void a_bad_page(void **state)
{
    struct fixture *f = *state;
    char garbage[4096];
    struct stat st;
    size_t users = 0;

    fill(f);
    store_close(f->store);
    f->store = NULL;
    int64_t page = peek(f, "SELECT rootpage FROM sqlite_schema WHERE name = 'life'");
    assert_true(page > 0);
    memset(garbage, 0xee, sizeof(garbage));
    int fd = open(f->path, O_RDWR | O_CLOEXEC);
    assert_int_equal(pwrite(fd, garbage, sizeof(garbage), (off_t)(page - 1) * 4096), 4096);
    close(fd);
    fixture_open(f);
    assert_int_equal(files_named(f, ".damaged-"), 1);
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(peek(f, "SELECT count(*) FROM life"), 0);
    assert_int_equal(store_users(f->store, "ana", count_users, &users, NULL), 0);
    assert_int_equal(users, 1);
    assert_int_equal(store_last_event_sequence(f->store), 77);
    /* and it works */
    struct process p = make_process(1, 1, SEC, "x");
    assert_int_equal(store_process_born(f->store, "", &p), 0);
    fixture_reopen(f);
    assert_int_equal(files_named(f, ".damaged-"), 1);
    assert_int_equal(peek(f, "SELECT count(*) FROM life"), 1);
}

/* A page in the middle of the trail: what lies before and behind it is taken over. */
static void a_bad_page_in_the_trail(void **state)
{
    struct fixture *f = *state;
    char garbage[4096];

    for (int i = 1; i <= 1000; i++) {
        struct store_audit audit = {.who = "ana", .what = "container.start", .target = "c1", .result = i};
        assert_int_equal(store_put_audit(f->store, &audit), 0);
    }
    store_close(f->store);
    f->store = NULL;
    /* The children of the table's root are its leaves: the third entry's page. */
    int64_t root = peek(f, "SELECT rootpage FROM sqlite_schema WHERE name = 'audit'");
    uint8_t page[4096];
    int fd = open(f->path, O_RDWR | O_CLOEXEC);
    assert_int_equal(pread(fd, page, sizeof(page), (off_t)(root - 1) * 4096), 4096);
    assert_int_equal(page[0], 5); /* an interior page of a table */
    size_t cell = (size_t)page[12 + 4] << 8 | page[12 + 5];
    uint32_t leaf = (uint32_t)page[cell] << 24 | (uint32_t)page[cell + 1] << 16 |
                    (uint32_t)page[cell + 2] << 8 | page[cell + 3];
    memset(garbage, 0xee, sizeof(garbage));
    assert_int_equal(pwrite(fd, garbage, sizeof(garbage), (off_t)(leaf - 1) * 4096), 4096);
    close(fd);
    fixture_open(f);
    assert_int_equal(files_named(f, ".damaged-"), 1);
    assert_int_equal(peek(f, "SELECT min(result) FROM audit"), 1);
    assert_int_equal(peek(f, "SELECT max(result) FROM audit"), 1000);
    assert_in_range(peek(f, "SELECT count(*) FROM audit"), 800, 999);
}

static void no_database_at_all(void **state)
{
    struct fixture *f = *state;

    store_close(f->store);
    f->store = NULL;
    int fd = open(f->path, O_RDWR | O_TRUNC | O_CLOEXEC);
    assert_int_equal(write(fd,
                           "this is a text, not a database, and long enough to be read as one..."
                           "this is a text, not a database, and long enough to be read as one...",
                           136),
                     136);
    close(fd);
    fixture_open(f);
    assert_int_equal(files_named(f, ".damaged-"), 1);
    assert_int_equal(peek(f, "SELECT count(*) FROM event"), 0);
}

static void cut_short(void **state)
{
    struct fixture *f = *state;
    struct stat st;

    fill(f);
    store_close(f->store);
    f->store = NULL;
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(truncate(f->path, st.st_size / 2 / 4096 * 4096), 0);
    fixture_open(f);
    assert_int_equal(files_named(f, ".damaged-"), 1);
    assert_int_equal(peek(f, "PRAGMA user_version"), 2);
}

static void a_symlink_is_not_followed(void **state)
{
    struct fixture *f = *state;
    char target[128];
    struct store *store = NULL;

    store_close(f->store);
    f->store = NULL;
    snprintf(target, sizeof(target), "%s/target", f->dir);
    assert_int_equal(rename(f->path, target), 0);
    assert_int_equal(symlink(target, f->path), 0);
    assert_true(store_open(&f->options, &store, NULL) < 0);
}

/* An empty file is a new one. */
static void empty(void **state)
{
    struct fixture *f = *state;

    store_close(f->store);
    f->store = NULL;
    assert_int_equal(truncate(f->path, 0), 0);
    fixture_open(f);
    assert_int_equal(files_named(f, ".damaged-"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_bad_page, setup, teardown),
        cmocka_unit_test_setup_teardown(a_bad_page_in_the_trail, setup, teardown),
        cmocka_unit_test_setup_teardown(no_database_at_all, setup, teardown),
        cmocka_unit_test_setup_teardown(cut_short, setup, teardown),
        cmocka_unit_test_setup_teardown(a_symlink_is_not_followed, setup, teardown),
        cmocka_unit_test_setup_teardown(empty, setup, teardown),
    };

    return cmocka_run_group_tests_name("db_damage", tests, NULL, NULL);
}
