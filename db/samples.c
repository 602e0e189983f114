/* samples.c - measurements, and how they grow coarser with age. Owner: db.
 *
 * Every ten seconds the writer makes of each level's finished spans one row of
 * the next; `rolled` remembers up to when, so that a restart goes on where it
 * was. A query takes rolled-up rows as far as they go and makes the rest, the
 * spans not finished yet, from the finer level by the same function.
 */
#include "store_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "tabique/error.h"

#define HOUR_NS (3600 * NS_PER_SEC)

const struct store_level store_levels[LEVELS] = {
    {NS_PER_SEC, HOUR_NS},
    {10 * NS_PER_SEC, 6 * HOUR_NS},
    {60 * NS_PER_SEC, 0},
    {HOUR_NS, 365 * 24 * HOUR_NS},
};
/* A sample may be put a little after its span has ended. */
#define LATE_NS (3 * NS_PER_SEC)

/* --- one row of many ------------------------------------------------------------------- */

struct span_sum {
    size_t count;
    int64_t begin_ns, span_ns;
    double cpu, cpu_max;
    double memory;
    uint64_t memory_max;
    double pids;
    struct store_sample last;
};

static int64_t floor_to(int64_t time_ns, int64_t span_ns)
{
    return time_ns - time_ns % span_ns;
}

static void sum_add(struct span_sum *sum, const struct store_sample *sample)
{
    sum->cpu += sample->cpu_percent;
    if (sample->cpu_percent_max > sum->cpu_max)
        sum->cpu_max = sample->cpu_percent_max;
    sum->memory += (double)sample->memory_bytes;
    if (sample->memory_bytes_max > sum->memory_max)
        sum->memory_max = sample->memory_bytes_max;
    sum->pids += sample->pids;
    sum->last = *sample;
    sum->count++;
}

static struct store_sample sum_take(struct span_sum *sum)
{
    double n = (double)sum->count;
    struct store_sample sample = sum->last; /* counters: as at the end */

    sample.time_ns = sum->begin_ns;
    sample.span_ns = sum->span_ns;
    sample.cpu_percent = sum->cpu / n;
    sample.cpu_percent_max = sum->cpu_max;
    sample.memory_bytes = (uint64_t)(sum->memory / n);
    sample.memory_bytes_max = sum->memory_max;
    sample.pids = (uint32_t)(sum->pids / n + 0.5);
    memset(sum, 0, sizeof(*sum));
    return sample;
}

/* --- writing ------------------------------------------------------------------------------ */

struct put_sample {
    struct store_sample sample;
    char subject[];
};

static int insert(struct store *store, int64_t subject, int64_t span, const struct store_sample *s)
{
    int r = db_run(
        store->writer,
        "INSERT OR REPLACE INTO sample VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        "iiiddiiiiiii", subject, span, s->time_ns, s->cpu_percent, s->cpu_percent_max,
        (int64_t)s->memory_bytes, (int64_t)s->memory_bytes_max, (int64_t)s->net_rx_bytes,
        (int64_t)s->net_tx_bytes, (int64_t)s->block_read_bytes, (int64_t)s->block_write_bytes,
        (int64_t)s->pids);

    return r < 0 ? r : 0;
}

static int mark_rolled(struct store *store, int64_t level, int64_t until_ns)
{
    int r = db_run(store->writer, "INSERT OR REPLACE INTO rolled VALUES (?1, ?2)", "ii", level,
                   until_ns);

    return r < 0 ? r : 0;
}

/* A sample of a time that was rolled up already (the clock was set back, a guest
 * was slow): from there on it is done once more. Rows are made anew from all
 * that is in their span, so doing it twice does no harm. */
static int unroll(struct store *store, int64_t time_ns)
{
    for (int64_t level = 1; level < LEVELS; level++) {
        int64_t begin_ns = floor_to(time_ns, store_levels[level].span_ns);

        if (begin_ns >= store->rolled_until_ns[level])
            continue;
        store->rolled_until_ns[level] = begin_ns;
        int r = mark_rolled(store, level, begin_ns);
        if (r < 0)
            return r;
    }
    return 0;
}

static int run_put_sample(struct store *store, void *data)
{
    struct put_sample *put = data;
    int64_t subject = store__subject(store, put->subject);

    if (!subject || put->sample.time_ns <= 0)
        return -EINVAL;
    int r = insert(store, subject, 0, &put->sample);
    return r < 0 ? r : unroll(store, put->sample.time_ns);
}

int store_put_sample(struct store *store, const char *subject, const struct store_sample *sample)
{
    size_t length = strlen(subject);
    struct put_sample *put = mem_alloc(sizeof(*put) + length + 1);

    put->sample = *sample;
    if (put->sample.cpu_percent_max < put->sample.cpu_percent)
        put->sample.cpu_percent_max = put->sample.cpu_percent;
    if (put->sample.memory_bytes_max < put->sample.memory_bytes)
        put->sample.memory_bytes_max = put->sample.memory_bytes;
    memcpy(put->subject, subject, length + 1);
    return store__put(store, run_put_sample, put, NULL);
}

/* --- rolling up ------------------------------------------------------------------------------ */

int store__load_levels(struct store *store)
{
    for (int64_t level = 1; level < LEVELS; level++) {
        int64_t until = 0;
        int r =
            db_value(store->writer, &until, "SELECT until FROM rolled WHERE span = ?1", "i", level);

        if (r < 0)
            return r;
        store->rolled_until_ns[level] = until;
    }
    return 0;
}

static void read_sample(sqlite3_stmt *row, int first, struct store_sample *ret)
{
    *ret = (struct store_sample){
        .time_ns = sqlite3_column_int64(row, first),
        .cpu_percent = sqlite3_column_double(row, first + 1),
        .cpu_percent_max = sqlite3_column_double(row, first + 2),
        .memory_bytes = (uint64_t)sqlite3_column_int64(row, first + 3),
        .memory_bytes_max = (uint64_t)sqlite3_column_int64(row, first + 4),
        .net_rx_bytes = (uint64_t)sqlite3_column_int64(row, first + 5),
        .net_tx_bytes = (uint64_t)sqlite3_column_int64(row, first + 6),
        .block_read_bytes = (uint64_t)sqlite3_column_int64(row, first + 7),
        .block_write_bytes = (uint64_t)sqlite3_column_int64(row, first + 8),
        .pids = (uint32_t)sqlite3_column_int64(row, first + 9),
    };
}

#define SAMPLE_COLUMNS                                                                             \
    "time, cpu, cpu_max, memory, memory_max, net_rx, net_tx, block_read, block_write, pids"

/* All finished spans of one level, from the rows of the level below. */
static int roll_level(struct store *store, int64_t level, int64_t until_ns)
{
    int64_t span_ns = store_levels[level].span_ns;
    struct span_sum sum = {0};
    int64_t sum_subject = 0;
    int code, r = 0;

    sqlite3_stmt *statement = db_prepare(
        store->writer, "SELECT subject, " SAMPLE_COLUMNS " FROM sample"
                       " WHERE subject IN (SELECT id FROM subject) AND span = ?1 AND time >= ?2"
                       " AND time < ?3 ORDER BY subject, time");
    if (!statement)
        return db_errno(sqlite3_errcode(store->writer->handle));
    db_bind(statement, "iii", level - 1, store->rolled_until_ns[level], until_ns);
    /* Rows of another span are written while these are read: the scan's key
     * range does not hold them. */
    while (r == 0 && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        struct store_sample sample;
        int64_t subject = sqlite3_column_int64(statement, 0);

        read_sample(statement, 1, &sample);
        int64_t begin_ns = floor_to(sample.time_ns, span_ns);
        if (sum.count > 0 && (sum_subject != subject || sum.begin_ns != begin_ns)) {
            struct store_sample whole = sum_take(&sum);
            r = insert(store, sum_subject, level, &whole);
        }
        sum_subject = subject;
        sum.begin_ns = begin_ns;
        sum.span_ns = span_ns;
        sum_add(&sum, &sample);
    }
    db_done(statement);
    if (r == 0 && code != SQLITE_DONE)
        r = db_errno(code);
    if (r == 0 && sum.count > 0) {
        struct store_sample whole = sum_take(&sum);
        r = insert(store, sum_subject, level, &whole);
    }
    if (r == 0)
        r = mark_rolled(store, level, until_ns);
    return r;
}

int store__roll_up(struct store *store, int64_t now_ns)
{
    int64_t until_ns = now_ns - LATE_NS;

    for (int64_t level = 1; level < LEVELS; level++) {
        /* No further than the level below is itself finished. */
        until_ns = floor_to(until_ns, store_levels[level].span_ns);
        if (until_ns <= store->rolled_until_ns[level])
            continue;
        int r = store__begin(store);
        if (r >= 0)
            r = roll_level(store, level, until_ns);
        r = store__end(store, r);
        if (r < 0)
            return r;
        store->rolled_until_ns[level] = until_ns;
    }
    return 0;
}

/* --- queries ------------------------------------------------------------------------------------
 */

struct feed {
    struct db *db;
    const char *subject;
    int64_t rolled_until_ns[LEVELS];
    store_sample_fn *fn;
    void *user;
    struct error *err;
};

typedef int sample_sink_fn(void *user, const struct store_sample *sample);

static int feed_rows(struct feed *feed, int64_t level, int64_t from_ns, int64_t to_ns,
                     sample_sink_fn *sink, void *user)
{
    int code, r = 0;

    if (from_ns >= to_ns)
        return 0;
    sqlite3_stmt *statement =
        db_prepare(feed->db, "SELECT " SAMPLE_COLUMNS " FROM sample"
                             " WHERE subject = (SELECT id FROM subject WHERE name = ?1)"
                             " AND span = ?2 AND time >= ?3 AND time < ?4 ORDER BY time");
    if (!statement)
        return db_error(feed->db, feed->err, "cannot read the samples");
    db_bind(statement, "tiii", feed->subject, level, from_ns, to_ns);
    while (r == 0 && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        struct store_sample sample;

        read_sample(statement, 0, &sample);
        sample.span_ns = store_levels[level].span_ns;
        r = sink(user, &sample);
    }
    if (r == 0 && code != SQLITE_DONE)
        r = db_error(feed->db, feed->err, "cannot read the samples");
    db_done(statement);
    return r;
}

struct folding {
    struct span_sum sum;
    int64_t span_ns;
    sample_sink_fn *sink;
    void *user;
};

static int fold(void *user, const struct store_sample *sample)
{
    struct folding *folding = user;
    int64_t begin_ns = floor_to(sample->time_ns, folding->span_ns);
    int r = 0;

    if (folding->sum.count > 0 && folding->sum.begin_ns != begin_ns) {
        struct store_sample whole = sum_take(&folding->sum);
        r = folding->sink(folding->user, &whole);
    }
    folding->sum.begin_ns = begin_ns;
    folding->sum.span_ns = folding->span_ns;
    sum_add(&folding->sum, sample);
    return r;
}

static int feed_level(struct feed *feed, int64_t level, int64_t from_ns, int64_t to_ns,
                      sample_sink_fn *sink, void *user)
{
    if (level == 0)
        return feed_rows(feed, 0, from_ns, to_ns, sink, user);

    int64_t until_ns = feed->rolled_until_ns[level];
    int r = feed_rows(feed, level, from_ns, until_ns < to_ns ? until_ns : to_ns, sink, user);
    int64_t rest_ns = from_ns > until_ns ? from_ns : until_ns;
    if (r != 0 || rest_ns >= to_ns)
        return r;
    struct folding folding = {.span_ns = store_levels[level].span_ns, .sink = sink, .user = user};
    r = feed_level(feed, level - 1, rest_ns, to_ns, fold, &folding);
    if (r == 0 && folding.sum.count > 0) {
        struct store_sample whole = sum_take(&folding.sum);
        r = sink(user, &whole);
    }
    return r;
}

static int to_caller(void *user, const struct store_sample *sample)
{
    struct feed *feed = user;

    return feed->fn(feed->user, sample);
}

static bool covers(const struct store *store, int64_t level, int64_t since_ns, int64_t now_ns)
{
    int64_t keep_ns = store_levels[level].keep_ns ? store_levels[level].keep_ns : store->retain_ns;

    return since_ns >= now_ns - keep_ns;
}

/* The coarsest not coarser than the step that reaches back to since_ns; where
 * none does, the finest that does, or else the coarsest. */
static int64_t choose_level(const struct store *store, int64_t since_ns, int64_t step_ns)
{
    int64_t now_ns = clock_real_ns();

    for (int64_t level = LEVELS - 1; level >= 0; level--) {
        if (store_levels[level].span_ns <= step_ns && covers(store, level, since_ns, now_ns))
            return level;
    }
    for (int64_t level = 0; level < LEVELS; level++) {
        if (covers(store, level, since_ns, now_ns))
            return level;
    }
    return LEVELS - 1;
}

int store_samples(struct store *store, const char *subject, int64_t since_ns, int64_t until_ns,
                  int64_t step_ns, store_sample_fn *fn, void *user, struct error *err)
{
    struct feed feed = {.subject = subject, .fn = fn, .user = user, .err = err};
    int64_t level = choose_level(store, since_ns, step_ns);

    /* The span that `since` falls into is part of the answer: it has begun before. */
    if (level > 0)
        since_ns -= since_ns % store_levels[level].span_ns;
    store__barrier(store);
    int r = store__reader(store, &feed.db, err);
    if (r < 0)
        return r;
    /* One snapshot for the marks and the rows. */
    r = db_run(feed.db, "BEGIN", "");
    for (int64_t i = 1; i < LEVELS && r >= 0; i++)
        r = db_value(feed.db, &feed.rolled_until_ns[i], "SELECT until FROM rolled WHERE span = ?1",
                     "i", i);
    if (r < 0)
        r = db_error(feed.db, err, "cannot read the samples");
    else
        r = feed_level(&feed, level, since_ns, until_ns > 0 ? until_ns : INT64_MAX, to_caller,
                       &feed);
    (void)db_run(feed.db, "COMMIT", "");
    store__reader_done(store, feed.db);
    return r;
}
