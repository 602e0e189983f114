/* audit.c - who did what, from where, with what result. Owner: db.
 *
 * Lines are only ever added; retention by age takes the oldest. */
#include "store_internal.h"

#include <errno.h>

#include "base/cleanup.h"
#include "tabique/error.h"

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

static int put_audit(struct store *store, void *data)
{
    const struct store_audit *audit = data;
    int r = db_run(store->writer,
                   "INSERT INTO audit (time, who, role, origin, what, target, detail, result)"
                   " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                   "itttttti", audit->time_ns > 0 ? audit->time_ns : store->job_ns,
                   or_empty(audit->who), or_empty(audit->role), or_empty(audit->from),
                   or_empty(audit->what), or_empty(audit->target), audit->detail,
                   (int64_t)audit->result);

    return r < 0 ? r : 0;
}

int store_put_audit(struct store *store, const struct store_audit *audit)
{
    return store__call(store, put_audit, (void *)audit);
}

struct each_audit {
    store_audit_fn *fn;
    void *user;
};

static int audit_row(void *user, sqlite3_stmt *row)
{
    struct each_audit *each = user;
    struct store_audit audit = {
        .id = sqlite3_column_int64(row, 0),
        .time_ns = sqlite3_column_int64(row, 1),
        .who = db_text(row, 2),
        .role = db_text(row, 3),
        .from = db_text(row, 4),
        .what = db_text(row, 5),
        .target = db_text(row, 6),
        .detail = (const char *)sqlite3_column_text(row, 7),
        .result = sqlite3_column_int(row, 8),
    };

    return each->fn(each->user, &audit);
}

int store_audits(struct store *store, const struct store_audit_query *query, store_audit_fn *fn,
                 void *user, struct error *err)
{
    struct each_audit each = {.fn = fn, .user = user};
    struct db *db = NULL;

    int r = store__reader(store, &db, err);
    if (r < 0)
        return r;
    sqlite3_stmt *statement =
        db_prepare(db, "SELECT id, time, who, role, origin, what, target, detail, result FROM audit"
                       " WHERE (?1 IS NULL OR who = ?1) AND (?2 IS NULL OR what = ?2)"
                       " AND (?3 IS NULL OR target = ?3) AND +time >= ?4 AND +time < ?5 AND id < ?6"
                       " ORDER BY id DESC LIMIT ?7");
    if (statement) {
        db_bind(statement, "tttiiii", query->who, query->what, query->target, query->since_ns,
                query->until_ns > 0 ? query->until_ns : INT64_MAX,
                query->before_id > 0 ? query->before_id : INT64_MAX,
                query->limit > 0 && query->limit < INT64_MAX ? (int64_t)query->limit : (int64_t)-1);
        r = store__each(db, statement, audit_row, &each, err);
    } else {
        r = db_error(db, err, "cannot read the audit trail");
    }
    store__reader_done(store, db);
    return r;
}
