/* db_test.h - a store in a folder of its own. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/path.h"
#include "tabique/error.h"
#include "tabique/store.h"

#define SEC NS_PER_SEC

struct fixture {
    char dir[64];
    char path[96];
    struct store *store;
    struct store_options options;
};

static inline struct store *fixture_open(struct fixture *f)
{
    struct error err = ERROR_INIT;

    f->options.path = f->path;
    if (store_open(&f->options, &f->store, &err) < 0)
        fail_msg("%s", err.message);
    return f->store;
}

static inline struct store *fixture_reopen(struct fixture *f)
{
    store_close(f->store);
    f->store = NULL;
    return fixture_open(f);
}

static inline int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    snprintf(f->dir, sizeof(f->dir), "/tmp/tabique-db-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof(f->path), "%s/history.db", f->dir);
    fixture_open(f);
    *state = f;
    return 0;
}

static inline int teardown(void **state)
{
    struct fixture *f = *state;

    store_close(f->store);
    path_remove_tree(AT_FDCWD, f->dir);
    free(f);
    return 0;
}

/* One number straight from the file, past the store. */
static inline int64_t peek(const struct fixture *f, const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    int64_t value = -1;

    assert_int_equal(sqlite3_open_v2(f->path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    sqlite3_busy_timeout(db, 10000);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    if (sqlite3_step(statement) == SQLITE_ROW)
        value = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return value;
}

static inline struct process make_process(pid_t pid, uint64_t ticks, int64_t started_ns,
                                          const char *name)
{
    struct process process = {.pid = pid,
                              .ppid = 1,
                              .inner_pid = pid,
                              .inner_ppid = 1,
                              .start_ticks = ticks,
                              .started_ns = started_ns,
                              .uid = 7,
                              .user = (char *)"app",
                              .command = (char *)name,
                              .threads = 2,
                              .pid_namespace = 4026531836};

    snprintf(process.name, sizeof(process.name), "%s", name);
    return process;
}
