/* audit.c - who did what, from where, with what result. Owner: db.
 *
 * A line in two parts costs its deed no time: the disk is written while the deed is
 * done. Lines are only ever added; retention by age takes the oldest. */
#include "store_internal.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "tabique/error.h"

struct store_audit_open {
    struct store_audit line; /* texts are copies */
    int64_t id;              /* given by the writer; 0: it could not be written */
    uint64_t commit;         /* in which the line came */
};

struct part {
    struct store_audit_open *open;
    const struct store_audit *line;
};

static int put_audit(struct store *store, void *data)
{
    const struct store_audit *audit = data;
    int r = db_run(store->writer,
                   "INSERT INTO audit (time, who, role, origin, what, target, detail, result)"
                   " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                   "itttttti", audit->time_ns > 0 ? audit->time_ns : store->job_ns,
                   store__or_empty(audit->who), store__or_empty(audit->role), store__or_empty(audit->from),
                   store__or_empty(audit->what), store__or_empty(audit->target), audit->detail,
                   (int64_t)audit->result);

    return r < 0 ? r : 0;
}

int store_put_audit(struct store *store, const struct store_audit *audit)
{
    return store__call_synced(store, put_audit, (void *)audit);
}

/* --- in two parts ------------------------------------------------------------------------ */

static void open_free(struct store_audit_open *open)
{
    struct store_audit *line = &open->line;
    const char *const texts[] = {line->who,  line->role,   line->from,
                                 line->what, line->target, line->detail};

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        free((char *)texts[i]);
    free(open);
}

static int begin_audit(struct store *store, void *data)
{
    struct store_audit_open *open = ((struct part *)data)->open;
    int r = put_audit(store, &open->line);

    if (r == 0)
        open->id = sqlite3_last_insert_rowid(store->writer->handle);
    open->commit = store->commits + 1;
    return r;
}

struct store_audit_open *store_begin_audit(struct store *store, const struct store_audit *audit)
{
    struct store_audit_open *open = mem_new(struct store_audit_open);
    struct part *part = mem_new(struct part);

    open->line = (struct store_audit){
        .time_ns = audit->time_ns,
        .who = mem_strdup(store__or_empty(audit->who)),
        .role = mem_strdup(store__or_empty(audit->role)),
        .from = mem_strdup(store__or_empty(audit->from)),
        .what = mem_strdup(store__or_empty(audit->what)),
        .target = mem_strdup(store__or_empty(audit->target)),
        .detail = audit->detail ? mem_strdup(audit->detail) : NULL,
    };
    part->open = open;
    /* Refused only by a store that closes, as its second part will be. */
    (void)store__put_synced(store, begin_audit, part);
    return open;
}

static int end_audit(struct store *store, void *data)
{
    const struct part *part = data;
    const struct store_audit *line = part->line;
    int r = db_run(store->writer,
                   "UPDATE audit SET who = ?2, role = ?3, target = ?4, detail = ?5, result = ?6"
                   " WHERE id = ?1",
                   "itttti", part->open->id, store__or_empty(line->who), store__or_empty(line->role),
                   store__or_empty(line->target), line->detail, (int64_t)line->result);

    if (r == 0) { /* the first part was not written */
        part->open->commit = store->commits + 1;
        r = put_audit(store, (void *)line);
    }
    return r < 0 ? r : 0;
}

int store_end_audit(struct store *store, struct store_audit_open *open,
                    const struct store_audit *audit)
{
    struct part part = {.open = open, .line = audit};
    int r = store__call(store, end_audit, &part);

    if (r == 0)
        r = store__await_sync(store, open->commit);
    open_free(open);
    return r;
}

/* --- queries ------------------------------------------------------------------------------ */

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

    return store__query(store,
                        "SELECT id, time, who, role, origin, what, target, detail, result FROM audit"
                        " WHERE (?1 IS NULL OR who = ?1) AND (?2 IS NULL OR what = ?2)"
                        " AND (?3 IS NULL OR target = ?3) AND +time >= ?4 AND +time < ?5 AND id < ?6"
                        " ORDER BY id DESC LIMIT ?7",
                        audit_row, &each, err, "tttiiii", query->who, query->what, query->target, query->since_ns,
                        store__or_max(query->until_ns), store__or_max(query->before_id),
                        store__limit(query->limit));
}
