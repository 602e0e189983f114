/* notifications.c - what people were told of, and how it reached them. Owner: db. */
#include "store_internal.h"

#include <errno.h>

#include "base/cleanup.h"
#include "tabique/error.h"

static int one_number(void *user, sqlite3_stmt *row)
{
    *(int64_t *)user = sqlite3_column_int64(row, 0);
    return 1;
}

/* --- notifications ------------------------------------------------------------------------ */

#define SEQUENCE_KEY "notify.sequence"

struct put {
    const struct store_notification *notification;
    char *const *channels;
    uint64_t sequence;
    int64_t id;
};

static int insert_delivery(struct store *store, int64_t notification, const char *channel, bool end, int64_t time_ns)
{
    return db_run(store->writer,
                  "INSERT INTO delivery (notification, channel, what, state, attempts, created, next, last, status,"
                  " error) VALUES (?1, ?2, ?3, 'pending', 0, ?4, ?4, 0, 0, '')",
                  "itii", notification, channel, (int64_t)end, time_ns);
}

static int insert_deliveries(struct store *store, int64_t notification, char *const *channels, bool end,
                             int64_t time_ns)
{
    int r = 0;

    for (size_t i = 0; r >= 0 && channels && channels[i]; i++)
        r = insert_delivery(store, notification, channels[i], end, time_ns);
    return r < 0 ? r : 0;
}

static int put_sequence(struct store *store, void *data)
{
    int r = db_run(store->writer, "INSERT OR REPLACE INTO setting VALUES (?1, ?2)", "ti", SEQUENCE_KEY,
                   *(const int64_t *)data);

    return r < 0 ? r : 0;
}

static int put_notification(struct store *store, void *data)
{
    struct put *put = data;
    const struct store_notification *n = put->notification;
    int r = db_run(store->writer,
                   "INSERT INTO notification (time, ended, rule, rule_name, kind, container, name, detail, lasting,"
                   " acknowledged, acknowledged_by) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0, '')",
                   "iitttttti", n->time_ns, n->ended_ns, n->rule, n->rule_name, n->kind, n->container_id,
                   n->container, n->detail, (int64_t)n->lasting);

    if (r < 0)
        return r;
    put->id = sqlite3_last_insert_rowid(store->writer->handle);
    r = insert_deliveries(store, put->id, put->channels, false, n->time_ns);
    if (r >= 0 && put->sequence)
        r = put_sequence(store, &put->sequence);
    return r;
}

int store_notification_put(struct store *store, const struct store_notification *notification,
                           char *const *channels, uint64_t sequence, int64_t *ret_id, struct error *err)
{
    struct put put = {.notification = notification, .channels = channels, .sequence = sequence};
    int r = store__call(store, put_notification, &put);

    if (r < 0)
        return error_errno(err, -r, "cannot store the notification");
    if (ret_id)
        *ret_id = put.id;
    return 0;
}

struct change {
    int64_t id, time_ns;
    const char *who;
    char *const *channels;
};

static int end_notification(struct store *store, void *data)
{
    const struct change *change = data;
    int r = db_run(store->writer, "UPDATE notification SET ended = ?2 WHERE id = ?1 AND lasting = 1 AND ended = 0",
                   "ii", change->id, change->time_ns);

    if (r <= 0)
        return r < 0 ? r : -EALREADY;
    return insert_deliveries(store, change->id, change->channels, true, change->time_ns);
}

int store_notification_end(struct store *store, int64_t id, int64_t ended_ns, char *const *channels)
{
    struct change change = {.id = id, .time_ns = ended_ns, .channels = channels};

    return store__call(store, end_notification, &change);
}

static int acknowledge(struct store *store, void *data)
{
    const struct change *change = data;
    int64_t known = 0;
    int r = change->id ? db_value(store->writer, &known, "SELECT 1 FROM notification WHERE id = ?1", "i", change->id)
                       : 1;

    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    /* No OR over the two cases: each is one index. */
    r = change->id ? db_run(store->writer,
                            "UPDATE notification SET acknowledged = ?2, acknowledged_by = ?3"
                            " WHERE id = ?1 AND acknowledged = 0",
                            "iit", change->id, change->time_ns, change->who)
                   : db_run(store->writer,
                            "UPDATE notification SET acknowledged = ?1, acknowledged_by = ?2 WHERE acknowledged = 0",
                            "it", change->time_ns, change->who);
    return r < 0 ? r : 0;
}

int store_notification_acknowledge(struct store *store, int64_t id, const char *who, int64_t time_ns,
                                   struct error *err)
{
    struct change change = {.id = id, .time_ns = time_ns, .who = who ? who : ""};
    int r = store__call(store, acknowledge, &change);

    if (r == -ENOENT)
        return error_set(err, ENOENT, "No such notification: %lld", (long long)id);
    return r < 0 ? error_errno(err, -r, "cannot acknowledge the notification") : 0;
}

struct each_notification {
    store_notification_fn *fn;
    void *user;
};

static int notification_row(void *user, sqlite3_stmt *row)
{
    const struct each_notification *each = user;
    const struct store_notification notification = {
        .id = sqlite3_column_int64(row, 0),
        .time_ns = sqlite3_column_int64(row, 1),
        .ended_ns = sqlite3_column_int64(row, 2),
        .rule = db_text(row, 3),
        .rule_name = db_text(row, 4),
        .kind = db_text(row, 5),
        .container_id = db_text(row, 6),
        .container = db_text(row, 7),
        .detail = db_text(row, 8),
        .lasting = sqlite3_column_int(row, 9) != 0,
        .acknowledged_ns = sqlite3_column_int64(row, 10),
        .acknowledged_by = db_text(row, 11),
    };

    return each->fn(each->user, &notification);
}

#define COLUMNS "id, time, ended, rule, rule_name, kind, container, name, detail, lasting, acknowledged, acknowledged_by"
#define REST                                                                                         \
    " AND (?2 IS NULL OR rule = ?2) AND (?3 IS NULL OR container = ?3) AND (?4 IS NULL OR kind = ?4)" \
    " AND +time >= ?5 AND +time < ?6 AND id < ?7 ORDER BY id DESC LIMIT ?8"

int store_notifications(struct store *store, const struct store_notification_query *query,
                        store_notification_fn *fn, void *user, struct error *err)
{
    struct each_notification each = {.fn = fn, .user = user};
    /* The condition that an index serves stands in the text, since an index over
     * some rows is used only where the statement itself says which. */
    const char *sql = "SELECT " COLUMNS " FROM notification WHERE (?1 = 0 OR id = ?1)" REST;

    if (query->open)
        sql = "SELECT " COLUMNS " FROM notification WHERE lasting = 1 AND ended = 0 AND (?1 = 0 OR id = ?1)" REST;
    else if (query->unacknowledged)
        sql = "SELECT " COLUMNS " FROM notification WHERE acknowledged = 0 AND (?1 = 0 OR id = ?1)" REST;
    else if (query->rule)
        sql = "SELECT " COLUMNS " FROM notification WHERE rule = ?2 AND (?1 = 0 OR id = ?1)" REST;
    return store__query(store, sql, notification_row, &each, err, "itttiiii", query->id, query->rule, query->container_id,
                        query->kind, query->since_ns, store__or_max(query->until_ns), store__or_max(query->before_id),
                        store__limit(query->limit));
}

int64_t store_notifications_unacknowledged(struct store *store)
{
    int64_t count = 0;

    (void)store__query(store, "SELECT count(*) FROM notification WHERE acknowledged = 0", one_number, &count, NULL, "");
    return count;
}

uint64_t store_notification_sequence(struct store *store)
{
    int64_t sequence = 0;

    (void)store__query(store, "SELECT value FROM setting WHERE key = ?1", one_number, &sequence, NULL, "t", SEQUENCE_KEY);
    return sequence > 0 ? (uint64_t)sequence : 0;
}

int store_notification_seen(struct store *store, uint64_t sequence)
{
    int64_t value = (int64_t)sequence;

    return store__call(store, put_sequence, &value);
}

/* --- deliveries ------------------------------------------------------------------------------- */

struct new_delivery {
    int64_t notification, time_ns, id;
    const char *channel;
};

static int put_delivery(struct store *store, void *data)
{
    struct new_delivery *new = data;
    int r = insert_delivery(store, new->notification, new->channel, false, new->time_ns);

    if (r >= 0)
        new->id = sqlite3_last_insert_rowid(store->writer->handle);
    return r < 0 ? r : 0;
}

int store_delivery_put(struct store *store, int64_t notification, const char *channel, int64_t time_ns,
                       int64_t *ret_id, struct error *err)
{
    struct new_delivery new = {.notification = notification, .time_ns = time_ns, .channel = channel};
    int r = store__call(store, put_delivery, &new);

    if (r < 0)
        return error_errno(err, -r, "cannot store the delivery");
    if (ret_id)
        *ret_id = new.id;
    return 0;
}

static int update_delivery(struct store *store, void *data)
{
    const struct store_delivery *d = data;
    int r = db_run(store->writer,
                   "UPDATE delivery SET state = ?2, attempts = ?3, next = ?4, last = ?5, status = ?6, error = ?7"
                   " WHERE id = ?1",
                   "itiiiit", d->id, d->state, (int64_t)d->attempts, d->next_ns, d->last_ns, (int64_t)d->status,
                   d->error ? d->error : "");

    return r < 0 ? r : r == 0 ? -ENOENT : 0;
}

int store_delivery_update(struct store *store, const struct store_delivery *delivery)
{
    return store__call(store, update_delivery, (void *)delivery);
}

struct each_delivery {
    store_delivery_fn *fn;
    void *user;
};

static int delivery_row(void *user, sqlite3_stmt *row)
{
    const struct each_delivery *each = user;
    const struct store_delivery delivery = {
        .id = sqlite3_column_int64(row, 0),
        .notification = sqlite3_column_int64(row, 1),
        .channel = db_text(row, 2),
        .end = sqlite3_column_int(row, 3) != 0,
        .state = db_text(row, 4),
        .attempts = sqlite3_column_int(row, 5),
        .created_ns = sqlite3_column_int64(row, 6),
        .next_ns = sqlite3_column_int64(row, 7),
        .last_ns = sqlite3_column_int64(row, 8),
        .status = sqlite3_column_int(row, 9),
        .error = db_text(row, 10),
    };

    return each->fn(each->user, &delivery);
}

#define DELIVERY "SELECT id, notification, channel, what, state, attempts, created, next, last, status, error FROM delivery"

int store_deliveries(struct store *store, const struct store_delivery_query *query, store_delivery_fn *fn,
                     void *user, struct error *err)
{
    struct each_delivery each = {.fn = fn, .user = user};

    if (query->due_ns > 0)
        return store__query(store, DELIVERY " WHERE state = 'pending' AND next <= ?1 ORDER BY next LIMIT ?2", delivery_row,
                            &each, err, "ii", query->due_ns, store__limit(query->limit));
    return store__query(store,
                        DELIVERY " WHERE (?1 = 0 OR id = ?1) AND (?2 = 0 OR notification = ?2)"
                                 " AND (?3 IS NULL OR channel = ?3) AND (?4 IS NULL OR state = ?4) AND id < ?5"
                                 " ORDER BY id DESC LIMIT ?6",
                        delivery_row, &each, err, "iittii", query->id, query->notification, query->channel, query->state,
                        store__or_max(query->before_id), store__limit(query->limit));
}

int64_t store_delivery_next(struct store *store)
{
    int64_t next = 0;

    (void)store__query(store, "SELECT min(next) FROM delivery WHERE state = 'pending'", one_number, &next, NULL, "");
    return next;
}
