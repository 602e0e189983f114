/* store_internal.h - the store's parts among themselves. Internal to db.
 *
 * One writer thread owns the only writing connection. Everything that writes is
 * a job: a function run by that thread inside the transaction of its batch.
 *   store__put():  queued with a copy of its data, returns at once.
 *   store__call(): waits for the commit, which a server that is killed does not lose;
 *                  it is on the disk a second later. Data stays the caller's.
 *   store__call_synced(): waits for the disk, too: what a power cut must not undo.
 *   store__put_synced(): does not wait, but its commit is brought to the disk at once.
 * Reads take a read-only connection from a pool and see the last commit;
 * store__barrier() first makes what was put visible.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "database.h"
#include "tabique/store.h"

typedef int store_job_fn(struct store *store, void *data);

struct job {
    struct job *next;
    store_job_fn *fn;
    void (*destroy)(void *data); /* put only; NULL: free() */
    void *data;
    int64_t put_ns; /* wall clock */
    bool waited;    /* a call */
    bool synced;    /* its commit goes to the disk at once */
    bool done;
    int result;
    uint64_t batch; /* its commit */
};

#define POOL_IDLE_MAX 4
#define SUBJECT_HOST 1

/* The levels of samples: coarser ones are made of the one before. */
struct store_level {
    int64_t span_ns;
    int64_t keep_ns; /* 0: as the rest of the history */
};
#define LEVELS 4
extern const struct store_level store_levels[LEVELS];

struct subject_name {
    char name[72];
    int64_t id;
};

struct store {
    char *path;
    int64_t retain_ns, retain_audit_ns, max_bytes;

    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;      /* to the writer */
    pthread_cond_t committed; /* to those who wait */
    bool stop;
    bool hurry; /* commit now */
    struct job *first, **last;
    size_t queued;
    int64_t oldest_ns;      /* monotonic; when the first of the queue came */
    uint64_t put, written;  /* jobs */
    uint64_t last_sequence; /* of events; atomic */

    pthread_t syncer;
    pthread_cond_t sync_wake;
    bool syncing, sync_stop; /* the thread runs; is to end */
    int log_fd;              /* of the write-ahead log */
    uint64_t commits;        /* batches; written by the writer */
    uint64_t sync_wanted, synced; /* up to which of them */
    uint64_t sync_failures;
    int64_t unsynced_ns; /* monotonic; the first commit that is not on the disk; 0: none */

    pthread_mutex_t pool_lock;
    struct db *pool[POOL_IDLE_MAX];
    size_t pool_count;

    /* the writer's own */
    struct db *writer;
    bool wrote_seen;
    int64_t job_ns;         /* put_ns of the job that runs */
    int64_t seen_before_ns; /* last sign of life before this opening; fixed */
    int64_t seen_ns;
    int64_t next_roll_ns, next_retention_ns, next_tidy_ns;
    int64_t rolled_until_ns[LEVELS];
    size_t subject_count, subject_capacity;
    struct subject_name *subjects; /* sorted by name */
};

/* --- store.c --------------------------------------------------------------------- */
int store__put(struct store *store, store_job_fn *fn, void *data, void (*destroy)(void *data));
int store__put_synced(struct store *store, store_job_fn *fn, void *data);
int store__call(struct store *store, store_job_fn *fn, void *data);
int store__call_synced(struct store *store, store_job_fn *fn, void *data);
void store__barrier(struct store *store);
/* A transaction of the writer's own, outside a batch. */
int store__begin(struct store *store);
int store__end(struct store *store, int result); /* COMMIT, or ROLLBACK if below 0 */
/* The number of a name; made where missing. Writer only. 0 on failure. */
int64_t store__subject(struct store *store, const char *name);
void store__forget_subjects(struct store *store);

/* --- sync.c ---------------------------------------------------------------------- */
int store__sync_start(struct store *store, struct error *err);
void store__sync_stop(struct store *store); /* also where it never started */
void store__want_sync(struct store *store, uint64_t commit); /* lock held */
int store__await_sync(struct store *store, uint64_t commit);

int store__reader(struct store *store, struct db **ret, struct error *err);
void store__reader_done(struct store *store, struct db *db);

/* A query in a connection of the pool, bound as by db_bind(); row() as the public callbacks:
 * non-zero ends with it. */
typedef int store_row_fn(void *user, sqlite3_stmt *statement);
int store__query(struct store *store, const char *sql, store_row_fn *row, void *user,
                 struct error *err, const char *format, ...);
int64_t store__limit(size_t limit);     /* as LIMIT has it; 0: none */
int64_t store__or_max(int64_t value);   /* of a bound above; 0: none */
const char *store__or_empty(const char *text);

/* --- open.c: the writing connection to a whole, current file --------------------------- */
int store__open_file(const char *path, struct db **ret, struct error *err);

/* --- samples.c, retention.c: in the writer, between batches ------------------------- */
int store__roll_up(struct store *store, int64_t now_ns);
int store__load_levels(struct store *store);
void store__retention(struct store *store, int64_t now_ns);
void store__tidy(struct store *store);

/* --- lives.c ------------------------------------------------------------------------ */
extern const char store__processes_at_sql[];
int store__machine_restarted(struct store *store);
