/* retention.c - forgetting: by age, and by size. Owner: db.
 *
 * In the writer, between batches, in small transactions: whoever waits for an
 * event to be written waits for one of them at most.
 */
#include "store_internal.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"

#define CHUNK 4000
#define CHUNKS_MAX 50 /* in one go; the rest a minute later */
#define TOKEN_LINGER_NS (86400 * NS_PER_SEC)
#define VACUUM_PAGES "PRAGMA incremental_vacuum(2000)"
#define SIZE_STEPS 32

/* Each deletes at most ?2 rows older than ?1. */
static const struct {
    const char *sql;
    bool audit;
} by_age[] = {
    {"DELETE FROM life WHERE id IN (SELECT id FROM life INDEXED BY life_ended WHERE ended < ?1 "
     "LIMIT ?2)",
     false},
    /* The newest stays for its number: sequences go on from there. */
    {"DELETE FROM event WHERE sequence IN (SELECT sequence FROM event INDEXED BY event_time"
     " WHERE time < ?1 AND sequence < (SELECT max(sequence) FROM event) LIMIT ?2)",
     false},
    {"DELETE FROM audit WHERE id IN (SELECT id FROM audit INDEXED BY audit_time WHERE time < ?1 "
     "LIMIT ?2)",
     true},
    {"DELETE FROM delivery WHERE id IN (SELECT id FROM delivery INDEXED BY delivery_created"
     " WHERE created < ?1 LIMIT ?2)",
     true},
    {"DELETE FROM notification WHERE id IN (SELECT id FROM notification INDEXED BY notification_time"
     " WHERE time < ?1 LIMIT ?2)",
     true},
};

/* Deletes in chunks; the number of rows, or -errno. */
static int delete_older(struct store *store, const char *sql, int64_t before_ns)
{
    int total = 0;

    for (int i = 0; i < CHUNKS_MAX; i++) {
        int r = store__begin(store);
        int rows = r < 0 ? r : db_run(store->writer, sql, "ii", before_ns, (int64_t)CHUNK);
        r = store__end(store, rows);
        if (r < 0)
            return r;
        total += rows;
        if (rows < CHUNK)
            break;
    }
    return total;
}

static int delete_samples(struct store *store, int64_t level, int64_t before_ns)
{
    int r = store__begin(store);
    int rows = r < 0 ? r
                     : db_run(store->writer,
                              "DELETE FROM sample WHERE subject IN (SELECT id FROM subject)"
                              " AND span = ?1 AND time < ?2",
                              "ii", level, before_ns);

    r = store__end(store, rows);
    return r < 0 ? r : rows;
}

static int64_t used_bytes(struct store *store)
{
    int64_t pages = 0, free_pages = 0, size = 0;

    if (db_value(store->writer, &pages, "PRAGMA page_count", "") < 0 ||
        db_value(store->writer, &free_pages, "PRAGMA freelist_count", "") < 0 ||
        db_value(store->writer, &size, "PRAGMA page_size", "") < 0)
        return 0;
    return (pages - free_pages) * size;
}

static int64_t oldest_ns(struct store *store, int64_t now_ns)
{
    static const char *const sql[] = {
        "SELECT min(ended) FROM life WHERE ended IS NOT NULL",
        "SELECT min(time) FROM event",
        "SELECT min(time) FROM sample WHERE subject IN (SELECT id FROM subject) AND span = 2",
        "SELECT min(time) FROM sample WHERE subject IN (SELECT id FROM subject) AND span < 2",
    };
    int64_t oldest = now_ns;

    for (size_t i = 0; i < ARRAY_SIZE(sql); i++) {
        int64_t time = 0;
        if (db_value(store->writer, &time, sql[i], "") == 1 && time < oldest)
            oldest = time;
    }
    return oldest;
}

/* Oldest first, a part of the whole range at a time. The audit trail and the
 * accounts are not history and stay. */
static void by_size(struct store *store, int64_t now_ns)
{
    for (int step = 0; step < SIZE_STEPS && used_bytes(store) > store->max_bytes; step++) {
        int64_t oldest = oldest_ns(store, now_ns);
        int64_t before_ns = oldest + (now_ns - oldest) / 8 + NS_PER_SEC;
        int rows = 0;

        if (before_ns > now_ns)
            before_ns = now_ns;
        for (size_t i = 0; i < ARRAY_SIZE(by_age); i++) {
            int r = by_age[i].audit ? 0 : delete_older(store, by_age[i].sql, before_ns);
            rows += r > 0 ? r : 0;
        }
        for (int64_t level = 0; level < LEVELS - 1; level++) {
            int r = delete_samples(store, level, before_ns);
            rows += r > 0 ? r : 0;
        }
        if (step == 0)
            log_info("history: over its size: what is older than %llds is forgotten",
                     (long long)((now_ns - before_ns) / NS_PER_SEC));
        if (rows == 0 && before_ns == now_ns)
            break;
    }
}

void store__retention(struct store *store, int64_t now_ns)
{
    int r = 0;

    for (size_t i = 0; i < ARRAY_SIZE(by_age) && r >= 0; i++)
        r = delete_older(store, by_age[i].sql,
                         now_ns - (by_age[i].audit ? store->retain_audit_ns : store->retain_ns));
    for (int64_t level = 0; level < LEVELS && r >= 0; level++) {
        int64_t keep_ns =
            store_levels[level].keep_ns ? store_levels[level].keep_ns : store->retain_ns;
        int64_t before_ns = now_ns - keep_ns;

        /* Never what the next level has not been made of yet. */
        if (level + 1 < LEVELS && before_ns > store->rolled_until_ns[level + 1])
            before_ns = store->rolled_until_ns[level + 1];
        r = delete_samples(store, level, before_ns);
    }
    if (r >= 0)
        r = db_run(store->writer, "DELETE FROM token WHERE expires > 0 AND expires < ?1", "i",
                   now_ns - TOKEN_LINGER_NS);
    if (r < 0)
        log_warning("history: old rows were not removed: %s", strerror(-r));
    by_size(store, now_ns);
    (void)db_run(store->writer, VACUUM_PAGES, "");
}

/* Names of containers that nothing refers to any more. */
void store__tidy(struct store *store)
{
    int r = store__begin(store);

    if (r >= 0)
        r = db_run(store->writer,
                   "DELETE FROM subject WHERE id <> 1"
                   " AND NOT EXISTS (SELECT 1 FROM life WHERE side = subject.id)"
                   " AND NOT EXISTS (SELECT 1 FROM life WHERE container = subject.id)"
                   " AND NOT EXISTS (SELECT 1 FROM sample WHERE sample.subject = subject.id)",
                   "");
    r = store__end(store, r);
    store__forget_subjects(store);
    if (r < 0)
        log_warning("history: %s", strerror(-r));
    (void)db_exec(store->writer, "PRAGMA optimize");
}
