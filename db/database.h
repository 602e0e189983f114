/* database.h - SQLite in the project's manners. Internal to db.
 *
 * A struct db is one connection with its prepared statements; one thread at a
 * time. Every value is bound, never put into the text of a statement.
 */
#pragma once

#include <sqlite3.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

#define DB_STATEMENTS_MAX 64

struct db {
    sqlite3 *handle;
    size_t count;
    struct {
        char *sql;
        sqlite3_stmt *statement;
    } cache[DB_STATEMENTS_MAX];
};

int db_open(const char *path, bool read_only, struct db **ret, struct error *err);
void db_close(struct db *db);
int db_errno(int sqlite_code);                                    /* negative errno */
int db_error(struct db *db, struct error *err, const char *what); /* from the last failure */

/* A statement ready for binding, cached by its text; NULL on failure. Give it
 * back with db_done(). */
sqlite3_stmt *db_prepare(struct db *db, const char *sql);
void db_done(sqlite3_stmt *statement);
/* format: i int64_t, t const char * (NULL binds NULL), d double, b const void *
 * and size_t, n nothing. Texts must live until db_done(). */
void db_bind(sqlite3_stmt *statement, const char *format, ...);
void db_bind_list(sqlite3_stmt *statement, const char *format, va_list args);
/* Prepares, binds, steps to the end: number of rows changed, or -errno. */
int db_run(struct db *db, const char *sql, const char *format, ...);
/* The same, one integer of the first row: 1, 0 without a row, or -errno. */
int db_value(struct db *db, int64_t *ret, const char *sql, const char *format, ...);
int db_exec(struct db *db, const char *sql);              /* several statements, uncached */
const char *db_text(sqlite3_stmt *statement, int column); /* never NULL */

/* --- schema.c ------------------------------------------------------------------- */
int db_migrate(struct db *db, struct error *err);
/* NULL-terminated tables worth saving from a damaged file, in order. */
extern const char *const db_salvage_tables[];
