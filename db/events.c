/* events.c - what happened, remembered. Owner: db. */
#include "store_internal.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "tabique/error.h"

struct put_events {
    const struct event *const *events;
    size_t count;
};

/* ["name","value",...]: an object would lose the order, and repeated names. */
static char *attributes_text(const struct event *event)
{
    CLEANUP_STR struct str text = STR_INIT;

    str_append_char(&text, '[');
    for (size_t i = 0; i < event->attribute_count; i++) {
        const struct event_attribute *attribute = &event->attributes[i];

        if (i > 0)
            str_append_char(&text, ',');
        str_append_json(&text, attribute->name, strlen(attribute->name));
        str_append_char(&text, ',');
        str_append_json(&text, attribute->value, strlen(attribute->value));
    }
    str_append_char(&text, ']');
    return str_take(&text);
}

static int put_events(struct store *store, void *data)
{
    const struct put_events *put = data;

    for (size_t i = 0; i < put->count; i++) {
        const struct event *event = put->events[i];
        CLEANUP_FREE char *attributes = attributes_text(event);
        int r =
            db_run(store->writer, "INSERT OR REPLACE INTO event VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                   "iitttt", (int64_t)event->sequence, event->time_ns, event->type, event->action,
                   event->actor_id, attributes);
        if (r < 0)
            return r;
    }
    return 0;
}

int store_put_events(struct store *store, const struct event *const *events, size_t count)
{
    struct put_events put = {.events = events, .count = count};
    uint64_t last = 0;

    for (size_t i = 0; i < count; i++) {
        if (events[i]->sequence > last)
            last = events[i]->sequence;
    }
    int r = store__call(store, put_events, &put);
    uint64_t known = __atomic_load_n(&store->last_sequence, __ATOMIC_RELAXED);
    while (r == 0 && known < last &&
           !__atomic_compare_exchange_n(&store->last_sequence, &known, last, false,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
    return r;
}

int store_put_event(struct store *store, const struct event *event)
{
    return store_put_events(store, &event, 1);
}

uint64_t store_last_event_sequence(struct store *store)
{
    return __atomic_load_n(&store->last_sequence, __ATOMIC_RELAXED);
}

/* --- queries ------------------------------------------------------------------------ */

struct each_event {
    store_event_fn *fn;
    void *user;
};

static int event_row(void *user, sqlite3_stmt *row)
{
    struct each_event *each = user;
    struct event event = {
        .references = 1,
        .sequence = (uint64_t)sqlite3_column_int64(row, 0),
        .time_ns = sqlite3_column_int64(row, 1),
        .type = (char *)db_text(row, 2),
        .action = (char *)db_text(row, 3),
        .actor_id = (char *)db_text(row, 4),
    };
    const char *text = db_text(row, 5);
    CLEANUP_JSON cJSON *json = NULL;

    if (json_parse(text, strlen(text), &json, NULL) == 0 && cJSON_IsArray(json)) {
        const cJSON *item = json->child;

        event.attributes =
            mem_array((size_t)cJSON_GetArraySize(json) / 2 + 1, sizeof(*event.attributes));
        for (; item && item->next; item = item->next->next) {
            if (!cJSON_IsString(item) || !cJSON_IsString(item->next))
                continue;
            event.attributes[event.attribute_count++] = (struct event_attribute){
                .name = item->valuestring, .value = item->next->valuestring};
        }
    }
    int r = each->fn(each->user, &event);
    free(event.attributes);
    return r;
}

/* "+time" keeps its index out of it: the order of sequences, with a limit, is
 * what pages need. */
#define EVENT_WHERE                                                                                \
    "WHERE (?1 IS NULL OR type = ?1)"                                                              \
    " AND (?2 IS NULL OR action = ?2 OR substr(action, 1, length(?2) + 1) = ?2 || ':')"            \
    " AND +time >= ?4 AND +time < ?5 "
#define EVENT_SELECT "SELECT sequence, time, type, action, actor, attributes FROM event "

static const char *event_sql(const struct store_event_query *query)
{
    if (query->actor_id)
        return query->newest_first ? EVENT_SELECT EVENT_WHERE
                   "AND actor = ?3 AND sequence < ?6 ORDER BY sequence DESC LIMIT ?7"
                                   : EVENT_SELECT EVENT_WHERE
                   "AND actor = ?3 AND sequence > ?6 ORDER BY sequence LIMIT ?7";
    return query->newest_first ? EVENT_SELECT EVENT_WHERE
               "AND ?3 IS NULL AND sequence < ?6 ORDER BY sequence DESC LIMIT ?7"
                               : EVENT_SELECT EVENT_WHERE
               "AND ?3 IS NULL AND sequence > ?6 ORDER BY sequence LIMIT ?7";
}

/* Times grow with sequences (the bus sees to it), so a time bounds the sequence:
 * found by the time's index, it lets the scan begin at the right place. The exception
 * are events told late by a server that came back, among which may be earlier ones. */
static int before_row(void *user, sqlite3_stmt *row)
{
    int64_t sequence = sqlite3_column_int64(row, 0);

    *(int64_t *)user = sequence > 0 ? sequence - 1 : 0;
    return 0;
}

static int sequence_before(struct store *store, int64_t since_ns, int64_t *ret, struct error *err)
{
    if (since_ns <= 0)
        return 0;
    return store__query(store,
                        "SELECT min(sequence) FROM (SELECT sequence FROM event WHERE time >= ?1"
                        " ORDER BY time LIMIT 512)",
                        before_row, ret, err, "i", since_ns);
}

int store_events(struct store *store, const struct store_event_query *query, store_event_fn *fn,
                 void *user, struct error *err)
{
    struct each_event each = {.fn = fn, .user = user};
    int64_t bound = (int64_t)query->after_sequence, first = 0;

    if (query->newest_first) {
        bound = store__or_max(bound);
    } else {
        int r = sequence_before(store, query->since_ns, &first, err);
        if (r < 0)
            return r;
        bound = first > bound ? first : bound;
    }
    return store__query(store, event_sql(query), event_row, &each, err, "tttiiii", query->type, query->action,
                        query->actor_id, query->since_ns, store__or_max(query->until_ns), bound,
                        store__limit(query->limit));
}
