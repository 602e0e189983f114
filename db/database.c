/* database.c - SQLite in the project's manners. Owner: db. */
#include "database.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "tabique/error.h"

#define BUSY_MS 10000

/* Among them the wanted size of the journal after a checkpoint. */
static const char settings[] = "PRAGMA journal_size_limit = 16777216;"
                               "PRAGMA temp_store = MEMORY;"
                               "PRAGMA foreign_keys = OFF;"
                               "PRAGMA trusted_schema = OFF;";

int db_errno(int sqlite_code)
{
    static const struct {
        int code;
        int number;
    } rows[] = {
        {SQLITE_OK, 0},
        {SQLITE_DONE, 0},
        {SQLITE_ROW, 0},
        {SQLITE_NOMEM, -ENOMEM},
        {SQLITE_FULL, -ENOSPC},
        {SQLITE_BUSY, -EBUSY},
        {SQLITE_LOCKED, -EBUSY},
        {SQLITE_CONSTRAINT, -EEXIST},
        {SQLITE_TOOBIG, -EFBIG},
        {SQLITE_INTERRUPT, -EINTR},
        {SQLITE_CORRUPT, -EBADMSG},
        {SQLITE_NOTADB, -EBADMSG},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (rows[i].code == (sqlite_code & 0xff))
            return rows[i].number;
    }
    return -EIO;
}

int db_error(struct db *db, struct error *err, const char *what)
{
    int code = sqlite3_errcode(db->handle);
    int r = db_errno(code);

    return error_set(err, r ? r : EIO, "%s: %s", what, sqlite3_errmsg(db->handle));
}

int db_open(const char *path, bool read_only, struct db **ret, struct error *err)
{
    struct db *db = mem_new(struct db);
    int flags = (read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE) |
                SQLITE_OPEN_NOMUTEX;

    int code = sqlite3_open_v2(path, &db->handle, flags, NULL);
    if (code == SQLITE_OK) {
        sqlite3_extended_result_codes(db->handle, 1);
        sqlite3_busy_timeout(db->handle, BUSY_MS);
        sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        code = sqlite3_exec(db->handle, settings, NULL, NULL, NULL);
    }
    if (code == SQLITE_OK) {
        /* Readers are several and read seldom; the operating system caches too. */
        code = sqlite3_exec(db->handle,
                            read_only ? "PRAGMA cache_size = -256" : "PRAGMA cache_size = -1000",
                            NULL, NULL, NULL);
    }
    if (code != SQLITE_OK) {
        int r = error_set(err, db_errno(code), "%s",
                          db->handle ? sqlite3_errmsg(db->handle) : sqlite3_errstr(code));
        db_close(db);
        return r;
    }
    *ret = db;
    return 0;
}

void db_close(struct db *db)
{
    if (!db)
        return;
    for (size_t i = 0; i < db->count; i++) {
        sqlite3_finalize(db->cache[i].statement);
        free(db->cache[i].sql);
    }
    sqlite3_close(db->handle);
    free(db);
}

sqlite3_stmt *db_prepare(struct db *db, const char *sql)
{
    sqlite3_stmt *statement = NULL;

    for (size_t i = 0; i < db->count; i++) {
        if (strcmp(db->cache[i].sql, sql) == 0) {
            /* Moved one place forward: the frequent ones gather in front. */
            if (i > 0) {
                __typeof__(db->cache[0]) swap = db->cache[i];
                db->cache[i] = db->cache[i - 1];
                db->cache[i - 1] = swap;
                i--;
            }
            return db->cache[i].statement;
        }
    }
    if (sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL) !=
        SQLITE_OK)
        return NULL;
    if (db->count == DB_STATEMENTS_MAX) {
        db->count--;
        sqlite3_finalize(db->cache[db->count].statement);
        free(db->cache[db->count].sql);
    }
    db->cache[db->count].sql = mem_strdup(sql);
    db->cache[db->count].statement = statement;
    db->count++;
    return statement;
}

void db_done(sqlite3_stmt *statement)
{
    if (!statement)
        return;
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
}

void db_bind_list(sqlite3_stmt *statement, const char *format, va_list args)
{
    for (int i = 0; format[i]; i++) {
        int column = i + 1;

        switch (format[i]) {
        case 'i':
            sqlite3_bind_int64(statement, column, va_arg(args, int64_t));
            break;
        case 'd':
            sqlite3_bind_double(statement, column, va_arg(args, double));
            break;
        case 't':
            sqlite3_bind_text(statement, column, va_arg(args, const char *), -1, SQLITE_STATIC);
            break;
        case 'b': {
            const void *data = va_arg(args, const void *);
            size_t length = va_arg(args, size_t);
            sqlite3_bind_blob64(statement, column, data, length, SQLITE_STATIC);
            break;
        }
        default:
            sqlite3_bind_null(statement, column);
            break;
        }
    }
}

void db_bind(sqlite3_stmt *statement, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    db_bind_list(statement, format, args);
    va_end(args);
}

int db_run(struct db *db, const char *sql, const char *format, ...)
{
    sqlite3_stmt *statement = db_prepare(db, sql);
    va_list args;
    int code;

    if (!statement)
        return db_errno(sqlite3_errcode(db->handle));
    va_start(args, format);
    db_bind_list(statement, format, args);
    va_end(args);
    do
        code = sqlite3_step(statement);
    while (code == SQLITE_ROW);
    db_done(statement);
    return code == SQLITE_DONE ? sqlite3_changes(db->handle) : db_errno(code);
}

int db_value(struct db *db, int64_t *ret, const char *sql, const char *format, ...)
{
    sqlite3_stmt *statement = db_prepare(db, sql);
    va_list args;
    int r;

    if (!statement)
        return db_errno(sqlite3_errcode(db->handle));
    va_start(args, format);
    db_bind_list(statement, format, args);
    va_end(args);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW && sqlite3_column_type(statement, 0) != SQLITE_NULL) {
        *ret = sqlite3_column_int64(statement, 0);
        r = 1;
    } else {
        r = db_errno(code);
    }
    db_done(statement);
    return r;
}

int db_exec(struct db *db, const char *sql)
{
    return db_errno(sqlite3_exec(db->handle, sql, NULL, NULL, NULL));
}

const char *db_text(sqlite3_stmt *statement, int column)
{
    const unsigned char *text = sqlite3_column_text(statement, column);

    return text ? (const char *)text : "";
}
