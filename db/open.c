/* open.c - the database file: made, checked, set aside when damaged. Owner: db. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "store_internal.h"
#include "tabique/error.h"

/* -EBADMSG (as from all of db): the file is no database, or a damaged one. */
static int check(struct db *db, struct error *err)
{
    sqlite3_stmt *statement = db_prepare(db, "PRAGMA quick_check(1)");
    int r = 0;

    if (statement && sqlite3_step(statement) == SQLITE_ROW) {
        if (strcmp(db_text(statement, 0), "ok") != 0)
            r = error_set(err, EBADMSG, "%s", db_text(statement, 0));
    } else {
        r = db_error(db, err, "cannot check it");
    }
    db_done(statement);
    return r;
}

static int open_checked(const char *path, struct db **ret, struct error *err)
{
    struct db *db = NULL;
    int r = db_open(path, false, &db, err);

    if (r < 0)
        return r;
    /* Before the first table: it cannot be changed later without a rewrite. */
    (void)db_exec(db, "PRAGMA auto_vacuum = INCREMENTAL");
    r = check(db, err);
    /* It has read every page once. */
    sqlite3_db_release_memory(db->handle);
    if (r == 0 && db_exec(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL") < 0)
        r = db_error(db, err, "cannot use the history");
    if (r == 0)
        r = db_migrate(db, err);
    if (r < 0) {
        db_close(db);
        return r;
    }
    *ret = db;
    return 0;
}

static int set_aside(const char *path, char **ret_aside)
{
    static const char *const parts[] = {"", "-wal", "-shm"};
    CLEANUP_FREE char *aside =
        mem_printf("%s.damaged-%lld", path, (long long)(clock_real_ns() / NS_PER_SEC));

    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        CLEANUP_FREE char *from = mem_printf("%s%s", path, parts[i]);
        CLEANUP_FREE char *to = mem_printf("%s%s", aside, parts[i]);
        if (rename(from, to) < 0 && errno != ENOENT)
            return -errno;
    }
    *ret_aside = TAKE_PTR(aside);
    return 0;
}

/* What must not be lost with a damaged history: who may sign in, and the trail.
 * Row by row, since one INSERT ... SELECT would be undone by the first bad page. */
static void salvage_table(struct db *db, const char *table)
{
    CLEANUP_FREE char *select_sql = mem_printf("SELECT * FROM damaged.%s", table);
    CLEANUP_FREE char *insert_sql = NULL;
    sqlite3_stmt *rows = db_prepare(db, select_sql);
    int code = SQLITE_ERROR;
    int count = 0;

    if (rows) {
        CLEANUP_STR struct str sql = STR_INIT;
        int columns = sqlite3_column_count(rows);

        str_printf(&sql, "INSERT OR IGNORE INTO main.%s VALUES (", table);
        for (int i = 0; i < columns; i++)
            str_append(&sql, i ? ", ?" : "?");
        str_append(&sql, ")");
        insert_sql = str_take(&sql);
        while ((code = sqlite3_step(rows)) == SQLITE_ROW) {
            sqlite3_stmt *insert = db_prepare(db, insert_sql);
            if (!insert)
                break;
            for (int i = 0; i < columns; i++)
                sqlite3_bind_value(insert, i + 1, sqlite3_column_value(rows, i));
            if (sqlite3_step(insert) == SQLITE_DONE)
                count++;
            db_done(insert);
        }
    }
    db_done(rows);
    if (code == SQLITE_DONE)
        log_info("history: %d rows of \"%s\" taken over from the damaged file", count, table);
    else
        log_warning("history: only %d rows of \"%s\" could be taken over from the damaged file",
                    count, table);
}

static void salvage(struct db *db, const char *aside)
{
    if (db_run(db, "ATTACH ?1 AS damaged", "t", aside) < 0)
        return;
    for (size_t i = 0; db_salvage_tables[i]; i++) {
        (void)db_exec(db, "BEGIN");
        salvage_table(db, db_salvage_tables[i]);
        (void)db_exec(db, "COMMIT");
    }
    (void)db_exec(db, "DETACH damaged");
}

int store__open_file(const char *path, struct db **ret, struct error *err)
{
    struct error why = ERROR_INIT;
    CLEANUP_FREE char *aside = NULL;

    CLEANUP_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || fchmod(fd, 0600) < 0)
        return error_errno(err, EIO, "cannot open %s (%s)", path, strerror(errno));
    /* Closed before SQLite opens it: POSIX locks of a file go with any fd of it. */
    cleanup_close(&fd);
    fd = -EBADF;

    int r = open_checked(path, ret, &why);
    if (r != -EBADMSG) {
        if (r < 0)
            return error_set(err, r, "%s: %s", path, why.message);
        return 0;
    }
    r = set_aside(path, &aside);
    if (r < 0)
        return error_errno(err, EIO, "%s is damaged (%s) and cannot be moved aside", path,
                           why.message);
    log_error("history: %s is damaged (%s): moved to %s, a new one is begun", path, why.message,
              aside);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_EXCL | O_NOFOLLOW, 0600);
    cleanup_close(&fd);
    fd = -EBADF;
    r = open_checked(path, ret, err);
    if (r == 0)
        salvage(*ret, aside);
    return r;
}
