/* schema.c - the tables, as steps from one version to the next. Owner: db.
 *
 * PRAGMA user_version is the number of steps taken. A step is never changed
 * once it has been released; a change is a new step behind the last.
 *
 * Sides, containers and subjects are 64 characters long and stand in every row:
 * they are kept once, in `subject`, whose row 1 is the host ("").
 *
 * Lives at a moment. "began <= T and (ended is null or ended > T)" has no single
 * B-tree: with an index on either column a million rows of the past are walked.
 * So each life also has the class of its length, `span`: class k lasted less
 * than 4^k ms; -1 is still open. One of class k that is alive at T began less
 * than 4^k ms before T: one range of the index (side, span, began) for each of
 * some twenty classes, of which about every third row is an answer. An R*Tree
 * was rejected: twice the work at each birth and death, coordinates of 32 bits.
 */
#include "database.h"

#include <errno.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "tabique/error.h"

static const char *const steps[] = {
    /* 1 */
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"

    "CREATE TABLE subject (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);"
    "INSERT INTO subject (id, name) VALUES (1, '');"

    "CREATE TABLE event (sequence INTEGER PRIMARY KEY, time INTEGER NOT NULL, type TEXT NOT NULL,"
    " action TEXT NOT NULL, actor TEXT NOT NULL, attributes TEXT NOT NULL);"
    "CREATE INDEX event_time ON event (time);"
    "CREATE INDEX event_actor ON event (actor, sequence);"

    "CREATE TABLE life (id INTEGER PRIMARY KEY, side INTEGER NOT NULL, pid INTEGER NOT NULL,"
    " ticks INTEGER NOT NULL, span INTEGER NOT NULL, began INTEGER NOT NULL, ended INTEGER,"
    " started INTEGER NOT NULL, ppid INTEGER NOT NULL, inner_pid INTEGER NOT NULL,"
    " inner_ppid INTEGER NOT NULL, uid INTEGER NOT NULL, user TEXT NOT NULL, name TEXT NOT NULL,"
    " command TEXT NOT NULL, container INTEGER, flags INTEGER NOT NULL, threads INTEGER NOT NULL,"
    " tty INTEGER NOT NULL, namespace INTEGER NOT NULL);"
    "CREATE INDEX life_at ON life (side, span, began);"
    "CREATE INDEX life_open ON life (side, pid) WHERE ended IS NULL;"
    "CREATE INDEX life_ended ON life (ended) WHERE ended IS NOT NULL;"
    "CREATE INDEX life_container ON life (container, id) WHERE container IS NOT NULL;"
    "CREATE TABLE span (k INTEGER PRIMARY KEY, width INTEGER NOT NULL);"
    "WITH RECURSIVE s (k, width) AS (SELECT 0, 1000000 UNION ALL"
    " SELECT k + 1, width * 4 FROM s WHERE k < 19)"
    " INSERT INTO span SELECT k, width FROM s;"
    "INSERT INTO span VALUES (-1, 4000000000000000000), (20, 4000000000000000000);"

    "CREATE TABLE sample (subject INTEGER NOT NULL, span INTEGER NOT NULL, time INTEGER NOT NULL,"
    " cpu REAL NOT NULL, cpu_max REAL NOT NULL, memory INTEGER NOT NULL, memory_max INTEGER NOT "
    "NULL,"
    " net_rx INTEGER NOT NULL, net_tx INTEGER NOT NULL, block_read INTEGER NOT NULL,"
    " block_write INTEGER NOT NULL, pids INTEGER NOT NULL,"
    " PRIMARY KEY (subject, span, time)) WITHOUT ROWID;"
    "CREATE TABLE rolled (span INTEGER PRIMARY KEY, until INTEGER NOT NULL);"

    "CREATE TABLE audit (id INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL,"
    " who TEXT NOT NULL, role TEXT NOT NULL, origin TEXT NOT NULL, what TEXT NOT NULL,"
    " target TEXT NOT NULL, detail TEXT, result INTEGER NOT NULL);"
    "CREATE INDEX audit_time ON audit (time);"
    "CREATE INDEX audit_who ON audit (who, id);"
    "CREATE INDEX audit_what ON audit (what, id);"
    "CREATE INDEX audit_target ON audit (target, id);"

    "CREATE TABLE account (name TEXT PRIMARY KEY, role TEXT NOT NULL, password TEXT NOT NULL,"
    " must_change INTEGER NOT NULL, disabled INTEGER NOT NULL, grants TEXT NOT NULL,"
    " created INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE token (id TEXT PRIMARY KEY, account TEXT NOT NULL, label TEXT NOT NULL,"
    " hash BLOB NOT NULL UNIQUE, session INTEGER NOT NULL, created INTEGER NOT NULL,"
    " expires INTEGER NOT NULL, used INTEGER NOT NULL, origin TEXT NOT NULL, agent TEXT NOT NULL);"
    "CREATE INDEX token_account ON token (account);"
    "CREATE TABLE setting (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;",

    /* 2: notifications */
    "CREATE TABLE notification (id INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL,"
    " ended INTEGER NOT NULL, rule TEXT NOT NULL, rule_name TEXT NOT NULL, kind TEXT NOT NULL,"
    " container TEXT NOT NULL, name TEXT NOT NULL, detail TEXT NOT NULL, lasting INTEGER NOT NULL,"
    " acknowledged INTEGER NOT NULL, acknowledged_by TEXT NOT NULL);"
    "CREATE INDEX notification_time ON notification (time);"
    "CREATE INDEX notification_rule ON notification (rule, container, id);"
    "CREATE INDEX notification_open ON notification (id) WHERE lasting = 1 AND ended = 0;"
    "CREATE INDEX notification_new ON notification (id) WHERE acknowledged = 0;"
    "CREATE TABLE delivery (id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " notification INTEGER NOT NULL, channel TEXT NOT NULL, what INTEGER NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL, created INTEGER NOT NULL,"
    " next INTEGER NOT NULL, last INTEGER NOT NULL, status INTEGER NOT NULL, error TEXT NOT NULL);"
    "CREATE INDEX delivery_due ON delivery (next) WHERE state = 'pending';"
    "CREATE INDEX delivery_created ON delivery (created);"
    "CREATE INDEX delivery_notification ON delivery (notification);"
    "CREATE INDEX delivery_channel ON delivery (channel, id);",
};

const char *const db_salvage_tables[] = {"account", "token",        "setting",  "audit",
                                         "event",   "notification", "delivery", NULL};

int db_migrate(struct db *db, struct error *err)
{
    int64_t version = 0;
    int r = db_value(db, &version, "PRAGMA user_version", "");

    if (r < 0)
        return db_error(db, err, "cannot read the version of the history");
    if (version > (int64_t)ARRAY_SIZE(steps))
        return error_set(err, ENOTSUP,
                         "the history was written by a newer version (schema %lld, known %zu): "
                         "start that one, or move the file away",
                         (long long)version, ARRAY_SIZE(steps));
    for (size_t i = (size_t)version; i < ARRAY_SIZE(steps); i++) {
        char mark[64];

        /* user_version is part of the transaction: a step is done wholly or not.
         * A pragma takes no bound values; the number is ours. */
        snprintf(mark, sizeof(mark), "PRAGMA user_version = %zu", i + 1);
        if (db_exec(db, "BEGIN IMMEDIATE") < 0 || db_exec(db, steps[i]) < 0 ||
            db_exec(db, mark) < 0 || db_exec(db, "COMMIT") < 0) {
            r = db_error(db, err, "cannot bring the history to this version");
            (void)db_exec(db, "ROLLBACK");
            return r;
        }
    }
    return 0;
}
