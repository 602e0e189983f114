/* lives.c - the lives of processes: written at birth and death, read as the list
 * of any moment. Owner: db. How it is indexed: schema.c. */
#include "store_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "tabique/error.h"

#define SPAN_OPEN (-1)
#define SPAN_LAST 20
#define SETTLED_NS NS_PER_SEC /* an exec later than this after birth is a new row */

enum life_flag { LIFE_WORKER = 1, LIFE_KERNEL_THREAD = 2 };

/* The class of a length: the least k with length < 4^k ms. */
static int64_t span_class(int64_t length_ns)
{
    int64_t width = NS_PER_MS;
    int64_t k = 0;

    for (; k < SPAN_LAST && length_ns >= width; k++)
        width *= 4;
    return k;
}

static int close_row(struct store *store, int64_t id, int64_t began, int64_t end_ns)
{
    if (end_ns < began)
        end_ns = began;
    return db_run(store->writer, "UPDATE life SET ended = ?2, span = ?3 WHERE id = ?1", "iii", id,
                  end_ns, span_class(end_ns - began));
}

/* --- births ------------------------------------------------------------------------------ */

struct birth {
    char *side;
    struct process process;
};

static void birth_destroy(void *data)
{
    struct birth *birth = data;

    free(birth->side);
    process_clear(&birth->process);
}

static int insert(struct store *store, int64_t side, int64_t container,
                  const struct process *process, int64_t began)
{
    int64_t flags =
        (process->worker ? LIFE_WORKER : 0) | (process->kernel_thread ? LIFE_KERNEL_THREAD : 0);
    sqlite3_stmt *statement = db_prepare(
        store->writer,
        "INSERT INTO life (side, pid, ticks, span, began, started, ppid, inner_pid, inner_ppid, "
        "uid,"
        " user, name, command, flags, threads, tty, namespace, container)"
        " VALUES (?1, ?2, ?3, -1, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)");

    if (!statement)
        return db_errno(sqlite3_errcode(store->writer->handle));
    db_bind(statement, "iiiiiiiiitttiiii", side, (int64_t)process->pid,
            (int64_t)process->start_ticks, began, process->started_ns, (int64_t)process->ppid,
            (int64_t)process->inner_pid, (int64_t)process->inner_ppid, (int64_t)process->uid,
            process->user ? process->user : "", process->name,
            process->command ? process->command : "", flags, (int64_t)process->threads,
            (int64_t)process->tty_nr, (int64_t)process->pid_namespace);
    if (container)
        sqlite3_bind_int64(statement, 17, container);
    int code = sqlite3_step(statement);
    db_done(statement);
    return code == SQLITE_DONE ? 0 : db_errno(code);
}

struct open_row {
    int64_t id, began, ticks;
    bool same; /* program, user and container */
};

/* The open rows of a pid: one as a rule, more if a death was not told. */
static int find_open(struct store *store, int64_t side, pid_t pid, const struct process *process,
                     int64_t container, struct open_row *rows, size_t max, size_t *ret_count)
{
    sqlite3_stmt *statement =
        db_prepare(store->writer, "SELECT id, began, ticks, name, command, uid, container FROM life"
                                  " WHERE side = ?1 AND pid = ?2 AND ended IS NULL");
    size_t count = 0;
    int code;

    if (!statement)
        return db_errno(sqlite3_errcode(store->writer->handle));
    db_bind(statement, "ii", side, (int64_t)pid);
    while ((code = sqlite3_step(statement)) == SQLITE_ROW && count < max) {
        struct open_row *row = &rows[count++];

        row->id = sqlite3_column_int64(statement, 0);
        row->began = sqlite3_column_int64(statement, 1);
        row->ticks = sqlite3_column_int64(statement, 2);
        row->same = process && str_equal(db_text(statement, 3), process->name) &&
                    str_equal(db_text(statement, 4), process->command ? process->command : "") &&
                    sqlite3_column_int64(statement, 5) == (int64_t)process->uid &&
                    sqlite3_column_int64(statement, 6) == container;
    }
    db_done(statement);
    *ret_count = count;
    return code == SQLITE_DONE || code == SQLITE_ROW ? 0 : db_errno(code);
}

static int put_birth(struct store *store, void *data)
{
    const struct birth *birth = data;
    const struct process *process = &birth->process;
    int64_t began = process->started_ns;
    struct open_row rows[8];
    size_t count;

    int64_t side = store__subject(store, birth->side);
    int64_t container = process->container_id[0] ? store__subject(store, process->container_id) : 0;
    if (!side || (process->container_id[0] && !container))
        return -EINVAL;
    int r =
        find_open(store, side, process->pid, process, container, rows, ARRAY_SIZE(rows), &count);
    if (r < 0)
        return r;
    for (size_t i = 0; i < count; i++) {
        const struct open_row *row = &rows[i];

        if (row->ticks != (int64_t)process->start_ticks) {
            /* Its death was never told; another has the pid since `began`. */
            r = close_row(store, row->id, row->began, began);
            if (r < 0)
                return r;
            continue;
        }
        if (row->same)
            return 0;
        if (store->job_ns - row->began < SETTLED_NS)
            return db_run(store->writer,
                          "UPDATE life SET name = ?2, command = ?3, uid = ?4, user = ?5,"
                          " container = nullif(?6, 0), flags = ?7, threads = ?8, inner_pid = ?9,"
                          " inner_ppid = ?10, namespace = ?11 WHERE id = ?1",
                          "ittitiiiiii", row->id, process->name,
                          process->command ? process->command : "", (int64_t)process->uid,
                          process->user ? process->user : "", container,
                          (int64_t)((process->worker ? LIFE_WORKER : 0) |
                                    (process->kernel_thread ? LIFE_KERNEL_THREAD : 0)),
                          (int64_t)process->threads, (int64_t)process->inner_pid,
                          (int64_t)process->inner_ppid, (int64_t)process->pid_namespace);
        r = close_row(store, row->id, row->began, store->job_ns);
        if (r < 0)
            return r;
        began = store->job_ns;
    }
    return insert(store, side, container, process, began);
}

int store_process_born(struct store *store, const char *side, const struct process *process)
{
    struct birth *birth = mem_new(struct birth);

    birth->side = mem_strdup(side ? side : "");
    process_copy(&birth->process, process);
    return store__put(store, put_birth, birth, birth_destroy);
}

/* --- deaths ------------------------------------------------------------------------------ */

struct death {
    char *side;
    pid_t pid;
    uint64_t start_ticks;
    int64_t end_ns;
};

static void death_destroy(void *data)
{
    free(((struct death *)data)->side);
}

static int put_death(struct store *store, void *data)
{
    const struct death *death = data;
    struct open_row rows[8];
    size_t count;
    int64_t side = store__subject(store, death->side);

    if (!side)
        return -EINVAL;
    int r = find_open(store, side, death->pid, NULL, 0, rows, ARRAY_SIZE(rows), &count);
    for (size_t i = 0; r >= 0 && i < count; i++) {
        if (rows[i].ticks == (int64_t)death->start_ticks)
            r = close_row(store, rows[i].id, rows[i].began, death->end_ns);
    }
    return r < 0 ? r : 0;
}

int store_process_died(struct store *store, const char *side, pid_t pid, uint64_t start_ticks,
                       int64_t end_ns)
{
    struct death *death = mem_new(struct death);

    death->side = mem_strdup(side ? side : "");
    death->pid = pid;
    death->start_ticks = start_ticks;
    death->end_ns = end_ns;
    return store__put(store, put_death, death, death_destroy);
}

/* --- catching up --------------------------------------------------------------------------- */

struct resync {
    const char *side;
    const struct process_list *list;
    int64_t end_ns;
};

struct ending {
    int64_t id, began;
};

static int put_resync(struct store *store, void *data)
{
    const struct resync *resync = data;
    int64_t end_ns = resync->end_ns > 0 ? resync->end_ns : store->seen_before_ns;
    int64_t side = store__subject(store, resync->side);
    struct ending *endings = NULL;
    size_t count = 0, capacity = 0;
    int code, r = 0;

    if (!side)
        return -EINVAL;
    sqlite3_stmt *statement = db_prepare(
        store->writer, "SELECT id, began, pid, ticks FROM life WHERE side = ?1 AND ended IS NULL");
    if (!statement)
        return db_errno(sqlite3_errcode(store->writer->handle));
    db_bind(statement, "i", side);
    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        const struct process *alive =
            process_list_find(resync->list, (pid_t)sqlite3_column_int64(statement, 2));

        if (alive && (int64_t)alive->start_ticks == sqlite3_column_int64(statement, 3))
            continue;
        if (count == capacity) {
            capacity = capacity ? capacity * 2 : 64;
            endings = mem_grow(endings, capacity, sizeof(*endings));
        }
        endings[count++] = (struct ending){.id = sqlite3_column_int64(statement, 0),
                                           .began = sqlite3_column_int64(statement, 1)};
    }
    db_done(statement);
    if (code != SQLITE_DONE)
        r = db_errno(code);
    for (size_t i = 0; i < count && r >= 0; i++)
        r = close_row(store, endings[i].id, endings[i].began, end_ns);
    free(endings);
    return r < 0 ? r : 0;
}

int store_process_resync(struct store *store, const char *side, const struct process_list *list,
                         int64_t end_ns)
{
    struct resync resync = {.side = side ? side : "", .list = list, .end_ns = end_ns};

    return store__call(store, put_resync, &resync);
}

struct each_side {
    store_side_fn *fn;
    void *user;
};

static int side_row(void *user, sqlite3_stmt *row)
{
    struct each_side *each = user;

    return each->fn(each->user, db_text(row, 0));
}

int store_open_sides(struct store *store, store_side_fn *fn, void *user, struct error *err)
{
    struct each_side each = {.fn = fn, .user = user};

    store__barrier(store);
    return store__query(store,
                        "SELECT name FROM subject WHERE EXISTS"
                        " (SELECT 1 FROM life WHERE side = subject.id AND ended IS NULL)",
                        side_row, &each, err, "");
}

/* In a transaction of the opener's. A second writer cannot be there, and lives
 * open at a power cut are few: one statement, with the class by arithmetic. */
int store__machine_restarted(struct store *store)
{
    return db_run(store->writer,
                  "UPDATE life SET ended = max(began, ?1), span = (SELECT min(k) FROM span"
                  " WHERE k >= 0 AND width > max(?1 - life.began, 0)) WHERE ended IS NULL",
                  "i", store->seen_before_ns);
}

/* --- reading -----------------------------------------------------------------------------------
 */

#define LIFE_COLUMNS                                                                               \
    "life.id, life.pid, life.ticks, life.started, life.ended, life.ppid, life.inner_pid,"          \
    " life.inner_ppid, life.uid, life.user, life.name, life.command, life.flags, life.threads,"    \
    " life.tty, life.namespace, life.container"
enum life_column {
    LIFE_ID,
    LIFE_PID,
    LIFE_TICKS,
    LIFE_STARTED,
    LIFE_ENDED,
    LIFE_PPID,
    LIFE_INNER_PID,
    LIFE_INNER_PPID,
    LIFE_UID,
    LIFE_USER,
    LIFE_NAME,
    LIFE_COMMAND,
    LIFE_FLAGS,
    LIFE_THREADS,
    LIFE_TTY,
    LIFE_NAMESPACE,
    LIFE_CONTAINER,
    LIFE_CONTAINER_NAME,
    LIFE_SIDE_NAME,
};

static void fill(sqlite3_stmt *row, struct process *process)
{
    int64_t flags = sqlite3_column_int64(row, LIFE_FLAGS);

    memset(process, 0, sizeof(*process));
    process->pid = sqlite3_column_int(row, LIFE_PID);
    process->start_ticks = (uint64_t)sqlite3_column_int64(row, LIFE_TICKS);
    process->started_ns = sqlite3_column_int64(row, LIFE_STARTED);
    process->ppid = sqlite3_column_int(row, LIFE_PPID);
    process->inner_pid = sqlite3_column_int(row, LIFE_INNER_PID);
    process->inner_ppid = sqlite3_column_int(row, LIFE_INNER_PPID);
    process->uid = (uid_t)sqlite3_column_int64(row, LIFE_UID);
    process->user = (char *)db_text(row, LIFE_USER);
    process->command = (char *)db_text(row, LIFE_COMMAND);
    strncpy(process->name, db_text(row, LIFE_NAME), sizeof(process->name) - 1);
    process->state = '?';
    process->threads = sqlite3_column_int(row, LIFE_THREADS);
    process->tty_nr = sqlite3_column_int(row, LIFE_TTY);
    process->pid_namespace = (uint64_t)sqlite3_column_int64(row, LIFE_NAMESPACE);
    strncpy(process->container_id, db_text(row, LIFE_CONTAINER_NAME),
            sizeof(process->container_id) - 1);
    process->worker = (flags & LIFE_WORKER) != 0;
    process->kernel_thread = (flags & LIFE_KERNEL_THREAD) != 0;
}

const char store__processes_at_sql[] =
    "SELECT " LIFE_COLUMNS ", (SELECT name FROM subject WHERE id = life.container)"
    " FROM span CROSS JOIN life INDEXED BY life_at"
    " ON life.side = (SELECT id FROM subject WHERE name = ?1) AND life.span = span.k"
    " AND life.began > ?2 - span.width AND life.began <= ?2"
    " WHERE life.ended IS NULL OR life.ended > ?2";

static int list_row(void *user, sqlite3_stmt *row)
{
    struct process process;

    fill(row, &process);
    process_copy(process_list_add(user), &process);
    return 0;
}

int store_processes_at(struct store *store, const char *side, int64_t at_ns,
                       struct process_list **ret, struct error *err)
{
    CLEANUP(process_list_unrefp) struct process_list *list = process_list_new(64);

    store__barrier(store);
    int r = store__query(store, store__processes_at_sql, list_row, list, err, "ti", store__or_empty(side), at_ns);
    if (r < 0)
        return r;
    list->sampled_ns = at_ns;
    process_list_sort(list);
    *ret = TAKE_PTR(list);
    return 0;
}

struct each_life {
    store_life_fn *fn;
    void *user;
};

static int life_row(void *user, sqlite3_stmt *row)
{
    struct each_life *each = user;
    struct store_life life;

    fill(row, &life.process);
    life.ended_ns = sqlite3_column_int64(row, LIFE_ENDED);
    return each->fn(each->user, sqlite3_column_int64(row, LIFE_ID), db_text(row, LIFE_SIDE_NAME),
                    &life);
}

/* Substring without regard to ASCII case, as a search box means it; instr()
 * has no wildcards to escape. */
#define LIFE_FILTER                                                                                \
    " AND life.id > ?3 AND (life.ended IS NULL OR life.ended > ?4) AND life.began < ?5"            \
    " AND (?6 IS NULL OR instr(lower(life.name), lower(?6)) OR instr(lower(life.command), "        \
    "lower(?6)))"                                                                                  \
    " ORDER BY life.id LIMIT ?7"
#define LIFE_SELECT                                                                                \
    "SELECT " LIFE_COLUMNS ", (SELECT name FROM subject WHERE id = life.container),"               \
    " (SELECT name FROM subject WHERE id = life.side) FROM "

static const char by_container_sql[] = LIFE_SELECT
    "life WHERE life.container = (SELECT id FROM subject WHERE name = ?2)"
    " AND (?1 IS NULL OR +life.side = (SELECT id FROM subject WHERE name = ?1))" LIFE_FILTER;
/* A range of time: by the classes of length, as for one moment, then sorted. */
static const char by_time_sql[] =
    LIFE_SELECT "span CROSS JOIN life INDEXED BY life_at ON life.side IN"
                " (SELECT id FROM subject WHERE ?1 IS NULL OR name = ?1) AND life.span = span.k"
                " AND life.began > ?4 - span.width WHERE ?2 IS NULL" LIFE_FILTER;
static const char by_id_sql[] = LIFE_SELECT
    "life WHERE ?2 IS NULL"
    " AND (?1 IS NULL OR +life.side = (SELECT id FROM subject WHERE name = ?1))" LIFE_FILTER;

int store_lives(struct store *store, const struct store_life_query *query, store_life_fn *fn,
                void *user, struct error *err)
{
    struct each_life each = {.fn = fn, .user = user};
    const char *sql = query->container_id   ? by_container_sql
                      : query->since_ns > 0 ? by_time_sql
                                            : by_id_sql;

    store__barrier(store);
    return store__query(store, sql, life_row, &each, err, "ttiiiti", query->side, query->container_id, query->after_id,
                        query->since_ns, store__or_max(query->until_ns), query->search, store__limit(query->limit));
}
