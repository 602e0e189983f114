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

/* Takes rows over as long as they can be read. */
static int salvage_rows(struct db *damaged, struct db *db, const char *table, const char *order, int *count)
{
    CLEANUP_FREE char *select_sql = mem_printf("SELECT * FROM %s ORDER BY 1 %s", table, order);
    sqlite3_stmt *rows = db_prepare(damaged, select_sql);
    int code = SQLITE_ERROR;

    if (rows) {
        CLEANUP_STR struct str sql = STR_INIT;
        int columns = sqlite3_column_count(rows);

        str_printf(&sql, "INSERT OR IGNORE INTO %s VALUES (", table);
        for (int i = 0; i < columns; i++)
            str_append(&sql, i ? ", ?" : "?");
        str_append(&sql, ")");
        while ((code = sqlite3_step(rows)) == SQLITE_ROW) {
            sqlite3_stmt *insert = db_prepare(db, sql.data);
            if (!insert)
                break;
            for (int i = 0; i < columns; i++)
                sqlite3_bind_value(insert, i + 1, sqlite3_column_value(rows, i));
            if (sqlite3_step(insert) == SQLITE_DONE)
                *count += sqlite3_changes(db->handle);
            db_done(insert);
        }
    }
    db_done(rows);
    return code == SQLITE_DONE ? 0 : -EBADMSG;
}

/* What must not be lost with a damaged history: who may sign in, and the trail.
 * Row by row, since one INSERT ... SELECT would be undone by the first bad page; from
 * both ends, since what lies behind that page is the newer part. */
static void salvage_table(struct db *damaged, struct db *db, const char *table)
{
    int count = 0;
    int r = db_exec(db, "BEGIN");
    bool whole = salvage_rows(damaged, db, table, "ASC", &count) == 0;

    if (!whole)
        (void)salvage_rows(damaged, db, table, "DESC", &count);
    if (r == 0)
        r = db_exec(db, "COMMIT");
    if (r < 0)
        log_error("history: nothing of \"%s\" could be taken over: %s", table, strerror(-r));
    else if (whole)
        log_info("history: %d rows of \"%s\" taken over from the damaged file", count, table);
    else
        log_warning("history: only %d rows of \"%s\" could be taken over from the damaged file", count, table);
}

/* Reading leaves an index and, where there was none, an empty log. */
static void tidy_aside(const char *aside)
{
    CLEANUP_FREE char *log = mem_printf("%s-wal", aside), *index = mem_printf("%s-shm", aside);
    struct stat st;

    (void)unlink(index);
    if (lstat(log, &st) == 0 && st.st_size == 0)
        (void)unlink(log);
}

/* By a connection of its own: attached, the damaged file spoils the transaction. */
static void salvage(struct db *db, const char *aside)
{
    struct error err = ERROR_INIT;
    struct db *damaged = NULL;

    if (db_open(aside, true, &damaged, &err) < 0)
        log_warning("history: nothing could be taken over from the damaged file: %s", err.message);
    for (size_t i = 0; damaged && db_salvage_tables[i]; i++)
        salvage_table(damaged, db, db_salvage_tables[i]);
    db_close(damaged);
    tidy_aside(aside);
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
