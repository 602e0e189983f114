/* store.c - the store's face, the writer thread, the readers' pool. Owner: db.
 *
 * Group commit: the writer takes all that is queued as one transaction. Jobs
 * that somebody waits for are committed at once; the others at the latest half a
 * second after they came. A commit outlives the server, however it ends. To
 * outlive a power cut it must be synced, too: what that is for (accounts, audit
 * lines) at once, everything else with it or within a second (sync.c).
 */
#include "store_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "tabique/error.h"

#define DAY_NS (INT64_C(86400) * NS_PER_SEC)
#define RETAIN_DEFAULT_NS (7 * DAY_NS)
#define RETAIN_AUDIT_DEFAULT_NS (90 * DAY_NS)
#define MAX_BYTES_DEFAULT (INT64_C(512) << 20)
#define COMMIT_AFTER_NS (NS_PER_SEC / 2)
#define COMMIT_AFTER_JOBS 2000
#define QUEUE_MAX 50000 /* putters wait beyond: memory is bounded, nothing is dropped */
#define SEEN_EVERY_NS NS_PER_SEC
#define SYNC_AFTER_NS NS_PER_SEC
#define RETENTION_EVERY_NS (60 * NS_PER_SEC)
#define TIDY_EVERY_NS (3600 * NS_PER_SEC)
#define ROLL_EVERY_NS (10 * NS_PER_SEC)

/* --- transactions --------------------------------------------------------------------- */

int store__begin(struct store *store)
{
    return db_run(store->writer, "BEGIN IMMEDIATE", "");
}

int store__end(struct store *store, int result)
{
    int r = result;

    if (r >= 0)
        r = db_run(store->writer, "COMMIT", "");
    if (r < 0) {
        if (!sqlite3_get_autocommit(store->writer->handle))
            (void)db_run(store->writer, "ROLLBACK", "");
        store__forget_subjects(store);
    }
    return r < 0 ? r : 0;
}

/* --- names ------------------------------------------------------------------------------ */

void store__forget_subjects(struct store *store)
{
    store->subject_count = 0;
}

int64_t store__subject(struct store *store, const char *name)
{
    size_t low = 0, high = store->subject_count;
    int64_t id = 0;

    if (!name || name[0] == '\0')
        return SUBJECT_HOST;
    if (strlen(name) >= sizeof(store->subjects->name))
        return 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(store->subjects[middle].name, name);

        if (order == 0)
            return store->subjects[middle].id;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (db_run(store->writer, "INSERT INTO subject (name) VALUES (?1) ON CONFLICT DO NOTHING", "t",
               name) < 0 ||
        db_value(store->writer, &id, "SELECT id FROM subject WHERE name = ?1", "t", name) != 1)
        return 0;
    if (store->subject_count == store->subject_capacity) {
        store->subject_capacity = store->subject_capacity ? store->subject_capacity * 2 : 64;
        store->subjects =
            mem_grow(store->subjects, store->subject_capacity, sizeof(*store->subjects));
    }
    memmove(&store->subjects[low + 1], &store->subjects[low],
            (store->subject_count - low) * sizeof(*store->subjects));
    struct subject_name *subject = &store->subjects[low];
    memset(subject, 0, sizeof(*subject));
    memcpy(subject->name, name, strlen(name));
    subject->id = id;
    store->subject_count++;
    return id;
}

/* --- the queue ------------------------------------------------------------------------------ */

static void enqueue(struct store *store, struct job *job)
{
    /* lock held */
    job->put_ns = clock_real_ns();
    job->next = NULL;
    *store->last = job;
    store->last = &job->next;
    store->put++;
    if (store->queued++ == 0)
        store->oldest_ns = clock_mono_ns();
    bool hurry = job->waited || job->synced;
    if (hurry)
        store->hurry = true;
    if (hurry || store->queued == 1 || store->queued == COMMIT_AFTER_JOBS)
        pthread_cond_signal(&store->wake);
}

static void job_free(struct job *job)
{
    if (job->destroy)
        job->destroy(job->data);
    free(job->data);
    free(job);
}

static int put(struct store *store, struct job *job)
{
    pthread_mutex_lock(&store->lock);
    while (store->queued >= QUEUE_MAX && !store->stop)
        pthread_cond_wait(&store->committed, &store->lock);
    if (store->stop) {
        pthread_mutex_unlock(&store->lock);
        job_free(job);
        return -ESHUTDOWN;
    }
    enqueue(store, job);
    pthread_mutex_unlock(&store->lock);
    return 0;
}

int store__put(struct store *store, store_job_fn *fn, void *data, void (*destroy)(void *data))
{
    struct job *job = mem_new(struct job);

    *job = (struct job){.fn = fn, .data = data, .destroy = destroy};
    return put(store, job);
}

int store__put_synced(struct store *store, store_job_fn *fn, void *data)
{
    struct job *job = mem_new(struct job);

    *job = (struct job){.fn = fn, .data = data, .synced = true};
    return put(store, job);
}

static int call(struct store *store, store_job_fn *fn, void *data, bool synced)
{
    struct job job = {.fn = fn, .data = data, .waited = true, .synced = synced};

    pthread_mutex_lock(&store->lock);
    if (store->stop) {
        pthread_mutex_unlock(&store->lock);
        return -ESHUTDOWN;
    }
    enqueue(store, &job);
    while (!job.done)
        pthread_cond_wait(&store->committed, &store->lock);
    pthread_mutex_unlock(&store->lock);
    int r = job.result;
    if (r >= 0 && synced)
        r = store__await_sync(store, job.batch);
    return r;
}

int store__call(struct store *store, store_job_fn *fn, void *data)
{
    return call(store, fn, data, false);
}

int store__call_synced(struct store *store, store_job_fn *fn, void *data)
{
    return call(store, fn, data, true);
}

void store__barrier(struct store *store)
{
    pthread_mutex_lock(&store->lock);
    uint64_t target = store->put;
    while (store->written < target) {
        store->hurry = true;
        pthread_cond_signal(&store->wake);
        pthread_cond_wait(&store->committed, &store->lock);
    }
    pthread_mutex_unlock(&store->lock);
}

int store_flush(struct store *store)
{
    store__barrier(store);
    return 0;
}

/* --- the writer --------------------------------------------------------------------------------
 */

static int run_jobs(struct store *store, struct job *jobs, int64_t now_ns)
{
    int r = store__begin(store);

    if (r < 0)
        return r;
    for (struct job *job = jobs; job; job = job->next) {
        store->job_ns = job->put_ns;
        job->result = job->fn(store, job->data);
        /* A refused row undoes its statement only; a broken disk everything. */
        if (sqlite3_get_autocommit(store->writer->handle)) {
            store__forget_subjects(store);
            return job->result < 0 ? job->result : -EIO;
        }
    }
    if (now_ns - store->seen_ns >= SEEN_EVERY_NS || now_ns < store->seen_ns) {
        char text[32];
        snprintf(text, sizeof(text), "%lld", (long long)now_ns);
        if (db_run(store->writer, "INSERT OR REPLACE INTO meta VALUES ('seen', ?1)", "t", text) >=
            0)
            store->seen_ns = now_ns;
    }
    return store__end(store, 0);
}

static void run_batch(struct store *store, struct job *jobs)
{
    int r = run_jobs(store, jobs, clock_real_ns());

    if (r < 0)
        log_error("history: cannot write to %s: %s", store->path, strerror(-r));
    pthread_mutex_lock(&store->lock);
    if (r == 0) {
        store->commits++;
        if (store->unsynced_ns == 0)
            store->unsynced_ns = clock_mono_ns();
    }
    for (struct job *next, *job = jobs; job; job = next) {
        next = job->next;
        store->written++;
        job->batch = store->commits;
        if (job->synced && r == 0)
            store__want_sync(store, job->batch);
        if (job->waited) {
            if (r < 0)
                job->result = r;
            job->done = true; /* on its caller's stack: not to be touched any more */
        } else {
            if (job->result < 0 && r == 0)
                log_warning("history: a row was not written: %s", strerror(-job->result));
            job_free(job);
        }
    }
    pthread_cond_broadcast(&store->committed);
    pthread_mutex_unlock(&store->lock);
}

static void chores(struct store *store)
{
    int64_t now_ns = clock_real_ns();

    if (now_ns >= store->next_roll_ns) {
        store->next_roll_ns = now_ns + ROLL_EVERY_NS;
        int r = store__roll_up(store, now_ns);
        if (r < 0)
            log_warning("history: samples were not rolled up: %s", strerror(-r));
    }
    if (now_ns >= store->next_retention_ns) {
        store->next_retention_ns = now_ns + RETENTION_EVERY_NS;
        store__retention(store, now_ns);
    }
    if (now_ns >= store->next_tidy_ns) {
        store->next_tidy_ns = now_ns + TIDY_EVERY_NS;
        store__tidy(store);
    }
}

static void *writer_main(void *user)
{
    struct store *store = user;

    pthread_mutex_lock(&store->lock);
    for (;;) {
        int64_t now = clock_mono_ns();
        if (store->unsynced_ns != 0 && now - store->unsynced_ns >= SYNC_AFTER_NS)
            store__want_sync(store, store->commits);
        bool due = store->queued > 0 &&
                   (store->hurry || store->stop || store->queued >= COMMIT_AFTER_JOBS ||
                    now - store->oldest_ns >= COMMIT_AFTER_NS);

        if (due) {
            struct job *jobs = store->first;

            store->first = NULL;
            store->last = &store->first;
            store->queued = 0;
            store->hurry = false;
            pthread_mutex_unlock(&store->lock);
            run_batch(store, jobs);
            chores(store); /* here too: under load the queue is never empty */
            pthread_mutex_lock(&store->lock);
            continue;
        }
        if (store->stop)
            break;
        store->hurry = false; /* of a barrier that came when all was written */
        int64_t until = now + ROLL_EVERY_NS;
        if (store->queued > 0)
            until = store->oldest_ns + COMMIT_AFTER_NS;
        else if (store->unsynced_ns)
            until = store->unsynced_ns + SYNC_AFTER_NS;
        struct timespec deadline = {.tv_sec = until / NS_PER_SEC, .tv_nsec = until % NS_PER_SEC};
        pthread_cond_timedwait(&store->wake, &store->lock, &deadline);
        if (store->stop || store->hurry)
            continue;
        pthread_mutex_unlock(&store->lock);
        chores(store);
        pthread_mutex_lock(&store->lock);
    }
    pthread_mutex_unlock(&store->lock);
    return NULL;
}

/* --- readers -------------------------------------------------------------------------------------
 */

int store__reader(struct store *store, struct db **ret, struct error *err)
{
    struct db *db = NULL;

    pthread_mutex_lock(&store->pool_lock);
    if (store->pool_count > 0)
        db = store->pool[--store->pool_count];
    pthread_mutex_unlock(&store->pool_lock);
    /* Never waits for another reader: a callback may ask the store again. */
    if (!db)
        return db_open(store->path, true, ret, err);
    *ret = db;
    return 0;
}

void store__reader_done(struct store *store, struct db *db)
{
    pthread_mutex_lock(&store->pool_lock);
    if (store->pool_count < POOL_IDLE_MAX) {
        store->pool[store->pool_count++] = db;
        db = NULL;
    }
    pthread_mutex_unlock(&store->pool_lock);
    db_close(db);
}

static int each_row(struct db *db, sqlite3_stmt *statement, store_row_fn *row, void *user, struct error *err)
{
    int r = 0;
    int code;

    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        r = row(user, statement);
        if (r != 0)
            break;
    }
    if (r == 0 && code != SQLITE_DONE)
        r = db_error(db, err, "cannot read the history");
    db_done(statement);
    return r;
}

int store__query(struct store *store, const char *sql, store_row_fn *row, void *user,
                 struct error *err, const char *format, ...)
{
    struct db *db = NULL;
    va_list args;
    int r = store__reader(store, &db, err);

    if (r < 0)
        return r;
    sqlite3_stmt *statement = db_prepare(db, sql);
    if (statement) {
        va_start(args, format);
        db_bind_list(statement, format, args);
        va_end(args);
        r = each_row(db, statement, row, user, err);
    } else {
        r = db_error(db, err, "cannot read the history");
    }
    store__reader_done(store, db);
    return r;
}

int64_t store__limit(size_t limit)
{
    return limit > 0 && limit < INT64_MAX ? (int64_t)limit : -1;
}

int64_t store__or_max(int64_t value)
{
    return value > 0 ? value : INT64_MAX;
}

const char *store__or_empty(const char *text)
{
    return text ? text : "";
}

/* --- opening
 * --------------------------------------------------------------------------------------- */

static char *meta_get(struct store *store, const char *key)
{
    sqlite3_stmt *statement = db_prepare(store->writer, "SELECT value FROM meta WHERE key = ?1");
    char *value = NULL;

    if (!statement)
        return NULL;
    db_bind(statement, "t", key);
    if (sqlite3_step(statement) == SQLITE_ROW)
        value = mem_strdup(db_text(statement, 0));
    db_done(statement);
    return value;
}

static int take_up(struct store *store, struct error *err)
{
    CLEANUP_FREE char *seen = meta_get(store, "seen");
    CLEANUP_FREE char *boot = meta_get(store, "boot");
    int64_t last = 0;

    if (!seen || str_to_i64(seen, &store->seen_before_ns) < 0)
        store->seen_before_ns = clock_real_ns();
    if (db_value(store->writer, &last, "SELECT max(sequence) FROM event", "") < 0)
        return db_error(store->writer, err, "cannot read the history");
    store->last_sequence = (uint64_t)last;

    int r = store__load_levels(store);
    if (r == 0 && (!boot || strcmp(boot, boot_id()) != 0)) {
        /* Another boot: pids and start times begin anew, on every side. */
        r = store__begin(store);
        if (r >= 0)
            r = store__machine_restarted(store);
        if (r >= 0)
            r = db_run(store->writer, "INSERT OR REPLACE INTO meta VALUES ('boot', ?1)", "t",
                       boot_id());
        r = store__end(store, r);
    }
    return r < 0 ? db_error(store->writer, err, "cannot take up the history") : 0;
}

static void store_destroy(struct store *store)
{
    store__sync_stop(store);
    for (size_t i = 0; i < store->pool_count; i++)
        db_close(store->pool[i]);
    if (store->writer)
        (void)db_exec(store->writer, "PRAGMA optimize; PRAGMA wal_checkpoint(TRUNCATE)");
    db_close(store->writer);
    pthread_cond_destroy(&store->wake);
    pthread_cond_destroy(&store->committed);
    pthread_cond_destroy(&store->sync_wake);
    pthread_mutex_destroy(&store->lock);
    pthread_mutex_destroy(&store->pool_lock);
    free(store->subjects);
    free(store->path);
    free(store);
}

int store_open(const struct store_options *options, struct store **ret, struct error *err)
{
    struct store *store = mem_new(struct store);
    pthread_condattr_t attributes;

    store->path = mem_strdup(options->path);
    store->retain_ns = options->retain_ns > 0 ? options->retain_ns : RETAIN_DEFAULT_NS;
    store->retain_audit_ns =
        options->retain_audit_ns > 0 ? options->retain_audit_ns : RETAIN_AUDIT_DEFAULT_NS;
    store->max_bytes = options->max_bytes > 0 ? options->max_bytes : MAX_BYTES_DEFAULT;
    store->last = &store->first;
    store->log_fd = -EBADF;
    pthread_mutex_init(&store->lock, NULL);
    pthread_mutex_init(&store->pool_lock, NULL);
    pthread_cond_init(&store->committed, NULL);
    pthread_cond_init(&store->sync_wake, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&store->wake, &attributes);
    pthread_condattr_destroy(&attributes);

    int r = store__open_file(store->path, &store->writer, err);
    if (r == 0)
        r = take_up(store, err);
    if (r == 0)
        r = store__sync_start(store, err);
    if (r == 0) {
        int64_t now_ns = clock_real_ns();
        store->next_roll_ns = now_ns;
        store->next_retention_ns = now_ns + RETENTION_EVERY_NS;
        store->next_tidy_ns = now_ns + TIDY_EVERY_NS;
        r = pthread_create(&store->thread, NULL, writer_main, store);
        if (r != 0)
            r = error_errno(err, r, "cannot start the history's thread");
    }
    if (r < 0) {
        store_destroy(store);
        return r;
    }
    *ret = store;
    return 0;
}

void store_close(struct store *store)
{
    if (!store)
        return;
    pthread_mutex_lock(&store->lock);
    store->stop = true;
    pthread_cond_broadcast(&store->wake);
    pthread_cond_broadcast(&store->committed);
    pthread_mutex_unlock(&store->lock);
    pthread_join(store->thread, NULL);
    store_destroy(store);
}
