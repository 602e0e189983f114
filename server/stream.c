/* stream.c - the hub of live streams; see stream.h and docs/API-stream.md. */
#include "stream.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "pool.h"
#include "routes.h"
#include "server_internal.h"
#include "shapes.h"
#include "tabique/container.h"
#include "tabique/engine.h"
#include "tabique/error.h"
#include "tabique/event.h"
#include "tabique/store.h"
#include "transport.h"

#define COLLECTORS_MAX 8
#define REVALIDATE_NS (20 * NS_PER_SEC)
#define MESSAGE_COST_NS (NS_PER_SEC / 20) /* 20 messages a second, */
#define MESSAGE_BURST_NS (5 * NS_PER_SEC) /* 100 at once */
#define RECENT_EVENTS 50

/* --- counting
 * ------------------------------------------------------------------------------------- */
struct client *client_ref(struct client *client)
{
    atomic_fetch_add(&client->references, 1);
    return client;
}

void client_unref(struct client *client)
{
    if (client == NULL || atomic_fetch_sub(&client->references, 1) != 1)
        return;
    web_socket_unref(client->socket);
    free(client);
}

/* --- what collectors call
 * ---------------------------------------------------------------------------- */
static struct row *find_row(struct topic *topic, const char *key)
{
    struct row *row;
    HASH_FIND_STR(topic->rows, key, row);
    return row;
}

bool fresh_known(struct fresh *fresh, const char *key, uint64_t signature)
{
    struct row *row = find_row(fresh->topic, key);
    if (row == NULL || signature == 0 || row->signature != signature)
        return false;
    row->seen = fresh->topic->turn;
    return true;
}

void fresh_row(struct fresh *fresh, const char *key, uint64_t signature, cJSON *json)
{
    json_add_string(json, "key", key);
    char *text = json_print(json);
    cJSON_Delete(json);
    if (text == NULL)
        return;
    struct row *row = find_row(fresh->topic, key);
    if (row != NULL) {
        row->seen = fresh->topic->turn;
        if (strcmp(row->text, text) == 0) {
            free(text);
            return;
        }
    }
    if (fresh->count == fresh->capacity) {
        fresh->capacity = fresh->capacity > 0 ? 2 * fresh->capacity : 64;
        fresh->changes = mem_grow(fresh->changes, fresh->capacity, sizeof(struct change));
    }
    struct change *change = &fresh->changes[fresh->count++];
    *change = (struct change){
        .kind = row != NULL ? CHANGE_UPDATE : CHANGE_ADD, .signature = signature, .text = text};
    snprintf(change->key, sizeof(change->key), "%s", key);
}

static void append_members(struct str *out, cJSON *object)
{
    CLEANUP_FREE char *text = json_print(object);
    cJSON_Delete(object);
    size_t length = text != NULL ? strlen(text) : 0;
    if (length <= 2)
        return;
    if (out->length > 0)
        str_append_char(out, ',');
    str_append_n(out, text + 1, length - 2);
}

void fresh_head(struct fresh *fresh, cJSON *object)
{
    append_members(&fresh->head, object);
}
void fresh_moment(struct fresh *fresh, cJSON *object)
{
    append_members(&fresh->moment, object);
}

/* --- sending (the hub's lock is held)
 * ------------------------------------------------------------------- */
static void send_text(struct client *client, const char *text)
{
    web_socket_send(client->socket, false, text, strlen(text));
}

static void send_message(struct client *client, int64_t id, const char *type, const char *message)
{
    CLEANUP_STR struct str out = STR_INIT;
    str_printf(&out, "{\"id\":%lld,\"type\":\"%s\"", (long long)id, type);
    if (message != NULL) {
        str_append(&out, ",\"message\":");
        str_append_json(&out, message, strlen(message));
    }
    str_append_char(&out, '}');
    send_text(client, out.data);
}

static void fall_behind(struct subscription *subscription)
{
    struct client *client = subscription->client;
    subscription->waiting = subscription->resync = true;
    if (client->behind_since_ns == 0)
        client->behind_since_ns = clock_mono_ns();
}

static int send_shared(struct subscription *subscription, const char *type,
                       struct shared_text *rest)
{
    char prefix[96];
    snprintf(prefix, sizeof(prefix), "{\"id\":%lld,\"seq\":%llu,\"type\":\"%s\",",
             (long long)subscription->id, (unsigned long long)subscription->sequence + 1, type);
    int r = web_socket_send_shared(subscription->client->socket, prefix, rest);
    if (r == 0)
        subscription->sequence++;
    return r;
}

static struct shared_text *encode_state(struct topic *topic)
{
    if (topic->state != NULL)
        return topic->state;
    CLEANUP_STR struct str out = STR_INIT;
    str_printf(&out, "\"topic\":\"%s\"", topic->type->name);
    if (topic->moment[0] != '\0')
        str_printf(&out, ",%s", topic->moment);
    if (topic->head[0] != '\0')
        str_printf(&out, ",%s", topic->head);
    if (topic->type->rows != NULL) {
        str_printf(&out, ",\"%s\":[", topic->type->rows);
        struct row *row, *next;
        HASH_ITER(hh, topic->rows, row, next)
        {
            if (row != topic->rows)
                str_append_char(&out, ',');
            str_append(&out, row->text);
        }
        str_append_char(&out, ']');
    }
    str_append_char(&out, '}');
    size_t length = out.length;
    topic->state = shared_text_new(str_take(&out), length);
    return topic->state;
}

/* A client that still has a lot to read gets its state when that is gone. */
static void send_state(struct subscription *subscription)
{
    struct client *client = subscription->client;
    if (web_socket_queued(client->socket) > STREAM_BEHIND_BYTES) {
        fall_behind(subscription);
        return;
    }
    if (subscription->resync)
        send_message(client, subscription->id, "resync",
                     "messages were left out: the full state follows");
    if (send_shared(subscription, "state", encode_state(subscription->topic)) == -EAGAIN) {
        fall_behind(subscription);
        return;
    }
    subscription->waiting = subscription->resync = false;
}

/* --- subscriptions
 * ------------------------------------------------------------------------------------------ */
static void topic_free(struct hub *hub, struct topic *topic)
{
    HASH_DEL(hub->topics, topic);
    struct row *row, *next;
    HASH_ITER(hh, topic->rows, row, next)
    {
        HASH_DEL(topic->rows, row);
        free(row->text);
        free(row);
    }
    shared_text_unref(topic->state);
    free(topic->head);
    free(topic->moment);
    free(topic);
}

static void unsubscribe(struct hub *hub, struct subscription *subscription)
{
    struct client *client = subscription->client;
    struct subscription **at = &client->subscriptions;
    while (*at != subscription)
        at = &(*at)->client_next;
    *at = subscription->client_next;
    client->count--;
    struct topic *topic = subscription->topic;
    if (topic != NULL) {
        if (subscription->previous != NULL)
            subscription->previous->next = subscription->next;
        else
            topic->subscriptions = subscription->next;
        if (subscription->next != NULL)
            subscription->next->previous = subscription->previous;
        if (topic->subscriptions == NULL && !topic->busy)
            topic_free(hub, topic);
    }
    if (subscription->logs != NULL)
        log_follower_stop(subscription->logs);
    cJSON_Delete(subscription->filters);
    free(subscription);
}

static struct subscription *find_subscription(struct client *client, int64_t id)
{
    for (struct subscription *at = client->subscriptions; at != NULL; at = at->client_next)
        if (at->id == id)
            return at;
    return NULL;
}

static struct subscription *add_subscription(struct client *client, int64_t id, struct topic *topic)
{
    struct subscription *subscription = mem_new(struct subscription);
    subscription->client = client;
    subscription->id = id;
    subscription->topic = topic;
    subscription->client_next = client->subscriptions;
    client->subscriptions = subscription;
    client->count++;
    if (topic != NULL) {
        subscription->next = topic->subscriptions;
        if (subscription->next != NULL)
            subscription->next->previous = subscription;
        topic->subscriptions = subscription;
    }
    return subscription;
}

/* --- one turn of a topic
 * --------------------------------------------------------------------------------------- */
static void append_rows(struct str *out, const struct fresh *fresh, enum change_kind kind,
                        const char *name)
{
    bool any = false;
    for (size_t i = 0; i < fresh->count; i++) {
        if (fresh->changes[i].kind != kind)
            continue;
        if (any)
            str_append_char(out, ',');
        else
            str_printf(out, ",\"%s\":[", name);
        any = true;
        str_append(out, fresh->changes[i].text);
    }
    if (any)
        str_append_char(out, ']');
}

static bool remove_unseen(struct topic *topic, struct str *out)
{
    bool any = false;
    struct row *row, *next;
    HASH_ITER(hh, topic->rows, row, next)
    {
        if (row->seen == topic->turn)
            continue;
        str_append(out, any ? "," : ",\"remove\":[");
        str_append_json(out, row->key, strlen(row->key));
        any = true;
        HASH_DEL(topic->rows, row);
        free(row->text);
        free(row);
    }
    if (any)
        str_append_char(out, ']');
    return any;
}

static void apply_changes(struct topic *topic, struct fresh *fresh)
{
    for (size_t i = 0; i < fresh->count; i++) {
        struct change *change = &fresh->changes[i];
        struct row *row = find_row(topic, change->key);
        if (row == NULL) {
            row = mem_new(struct row);
            snprintf(row->key, sizeof(row->key), "%s", change->key);
            row->seen = topic->turn;
            HASH_ADD_STR(topic->rows, key, row);
        }
        free(row->text);
        row->text = TAKE_PTR(change->text);
        row->signature = change->signature;
    }
}

/* Under the lock: the new truth, and what everybody is told of it. */
static void publish(struct topic *topic, struct fresh *fresh)
{
    CLEANUP_STR struct str delta = STR_INIT;
    const char *moment = fresh->moment.data != NULL ? fresh->moment.data : "";
    const char *head = fresh->head.data != NULL ? fresh->head.data : "";
    bool head_changed = topic->head == NULL || strcmp(topic->head, head) != 0;
    str_printf(&delta, "\"topic\":\"%s\"", topic->type->name);
    if (moment[0] != '\0')
        str_printf(&delta, ",%s", moment);
    if (head_changed && head[0] != '\0')
        str_printf(&delta, ",%s", head);
    append_rows(&delta, fresh, CHANGE_ADD, "add");
    append_rows(&delta, fresh, CHANGE_UPDATE, "update");
    bool removed = remove_unseen(topic, &delta);
    bool changed = head_changed || fresh->count > 0 || removed || fresh->always;
    str_append_char(&delta, '}');

    apply_changes(topic, fresh);
    free(topic->head);
    free(topic->moment);
    topic->head = mem_strdup(head);
    topic->moment = mem_strdup(moment);
    shared_text_unref(topic->state);
    topic->state = NULL;
    bool first = !topic->ready;
    topic->ready = true;

    size_t length = delta.length;
    struct shared_text *shared = shared_text_new(str_take(&delta), length);
    for (struct subscription *at = topic->subscriptions; at != NULL; at = at->next) {
        if (at->waiting || first) {
            send_state(at);
        } else if (changed) {
            if (web_socket_queued(at->client->socket) > STREAM_BEHIND_BYTES ||
                send_shared(at, "delta", shared) == -EAGAIN)
                fall_behind(at);
        }
    }
    shared_text_unref(shared);
}

static void end_topic(struct hub *hub, struct topic *topic, const char *type, const char *message)
{
    struct subscription *at = topic->subscriptions;
    topic->busy = true; /* it is freed below, not with its last subscription */
    while (at != NULL) {
        struct subscription *next = at->next;
        send_message(at->client, at->id, type, message);
        unsubscribe(hub, at);
        at = next;
    }
    topic_free(hub, topic);
}

static void collect(void *user)
{
    struct topic *topic = ((struct fresh *)user)->topic;
    struct fresh *fresh = user;
    struct hub *hub = *(struct hub **)(fresh + 1);
    struct error err = ERROR_INIT;
    topic->turn++;
    int r = topic->type->collect(hub, topic, fresh, &err);

    pthread_mutex_lock(&hub->lock);
    topic->busy = false;
    if (topic->subscriptions == NULL) {
        topic_free(hub, topic);
    } else if (r < 0) {
        end_topic(hub, topic, "end", err.message[0] != '\0' ? err.message : strerror(-r));
    } else {
        publish(topic, fresh);
        if (topic->at_ns != 0)
            end_topic(hub, topic, "end", "the past does not change");
        else
            topic->due_ns = clock_mono_ns() + topic->interval_ns;
    }
    pthread_cond_signal(&hub->wake);
    pthread_mutex_unlock(&hub->lock);

    for (size_t i = 0; i < fresh->count; i++)
        free(fresh->changes[i].text);
    free(fresh->changes);
    str_free(&fresh->head);
    str_free(&fresh->moment);
    free(fresh);
}

static void start_turn(struct hub *hub, struct topic *topic)
{
    struct fresh *fresh = mem_alloc(sizeof(*fresh) + sizeof(hub));
    fresh->topic = topic;
    *(struct hub **)(fresh + 1) = hub;
    topic->busy = true;
    fresh->urgent = topic->urgent;
    topic->urgent = false;
    if (pool_submit(hub->pool, collect, fresh) < 0) {
        topic->busy = false;
        topic->due_ns = clock_mono_ns() + NS_PER_SEC;
        free(fresh);
    }
}

/* --- the timer's thread
 * ------------------------------------------------------------------------------------------ */
static void check_clients(struct hub *hub, int64_t now, bool revalidate)
{
    struct auth *auth = hub->server->auth;
    for (struct client *at = hub->clients; at != NULL; at = at->next) {
        if (at->behind_since_ns != 0 && now - at->behind_since_ns > STREAM_BEHIND_S * NS_PER_SEC)
            web_socket_close(at->socket, 4008, "the client reads too slowly");
        else if (revalidate && auth != NULL && at->token_id[0] != '\0' &&
                 !auth_still_valid(auth, at->token_user, at->token_id, at->session,
                                   at->principal.role))
            web_socket_close(at->socket, 4001, "the session has ended");
    }
}

static void *run_timer(void *user)
{
    struct hub *hub = user;
    pthread_setname_np(pthread_self(), "stream");
    int64_t revalidate = clock_mono_ns() + REVALIDATE_NS;
    pthread_mutex_lock(&hub->lock);
    while (!atomic_load(&hub->stopping)) {
        int64_t now = clock_mono_ns(), next = now + 5 * NS_PER_SEC;
        struct topic *topic, *after;
        HASH_ITER(hh, hub->topics, topic, after)
        {
            if (topic->busy || topic->type->collect == NULL)
                continue;
            if (topic->due_ns <= now)
                start_turn(hub, topic);
            else if (topic->due_ns < next)
                next = topic->due_ns;
        }
        check_clients(hub, now, now >= revalidate);
        if (now >= revalidate)
            revalidate = now + REVALIDATE_NS;
        struct timespec until = {.tv_sec = next / NS_PER_SEC, .tv_nsec = next % NS_PER_SEC};
        pthread_cond_timedwait(&hub->wake, &hub->lock, &until);
    }
    pthread_mutex_unlock(&hub->lock);
    return NULL;
}

/* --- events
 * ----------------------------------------------------------------------------------------------------------
 */
static void announce(struct hub *hub, const struct event *event)
{
    struct shared_text *shared = NULL;
    int64_t now = clock_mono_ns();
    pthread_mutex_lock(&hub->lock);
    struct topic *topic, *after;
    HASH_ITER(hh, hub->topics, topic, after)
    {
        /* What happened shows at once, not at the next turn. */
        bool container = strcmp(event->type, "container") == 0;
        if (container && !topic->busy && topic->due_ns > now + 50 * NS_PER_MS &&
            (strcmp(topic->type->name, "containers") == 0 ||
             strcmp(topic->container, event->actor_id) == 0)) {
            topic->due_ns = now + 50 * NS_PER_MS;
            topic->urgent = true;
            pthread_cond_signal(&hub->wake);
        }
        if (strcmp(topic->type->name, "events") != 0)
            continue;
        if (shared == NULL) {
            CLEANUP_JSON cJSON *json = shape_event_record(event);
            CLEANUP_FREE char *record = json_print(json);
            char *text =
                mem_printf("\"topic\":\"events\",\"events\":[%s]}", record != NULL ? record : "");
            shared = shared_text_new(text, strlen(text));
        }
        for (struct subscription *at = topic->subscriptions; at != NULL; at = at->next) {
            if (at->waiting || !event_passes(event, at->filters))
                continue;
            if (web_socket_queued(at->client->socket) > STREAM_BEHIND_BYTES ||
                send_shared(at, "delta", shared) == -EAGAIN)
                fall_behind(at);
        }
    }
    pthread_mutex_unlock(&hub->lock);
    shared_text_unref(shared);
}

struct recent {
    cJSON *list;
    const cJSON *filters;
};

static int add_recent(void *user, const struct event *event)
{
    struct recent *recent = user;
    if (event_passes(event, recent->filters))
        cJSON_InsertItemInArray(recent->list, 0, shape_event_record(event));
    return 0;
}

/* The last events are the state of this topic: it is each subscriber's own. */
static void send_events_state(struct hub *hub, struct subscription *subscription)
{
    if (web_socket_queued(subscription->client->socket) > STREAM_BEHIND_BYTES) {
        fall_behind(subscription);
        return;
    }
    CLEANUP_JSON cJSON *json = cJSON_CreateObject();
    struct recent recent = {.list = json_add_array(json, "events"),
                            .filters = subscription->filters};
    struct store_event_query query = {.limit = RECENT_EVENTS, .newest_first = true};
    store_events(engine_store(hub->engine), &query, add_recent, &recent, NULL);
    json_add_string(json, "topic", "events");
    CLEANUP_FREE char *text = json_print(json);
    if (text == NULL)
        return;
    if (subscription->resync)
        send_message(subscription->client, subscription->id, "resync", "events were left out");
    char *rest = mem_strdup(text + 1);
    struct shared_text *shared = shared_text_new(rest, strlen(rest));
    if (send_shared(subscription, "state", shared) == -EAGAIN)
        fall_behind(subscription);
    else
        subscription->waiting = subscription->resync = false;
    shared_text_unref(shared);
}

static void *run_events(void *user)
{
    struct hub *hub = user;
    pthread_setname_np(pthread_self(), "stream-events");
    struct event_subscriber *subscriber =
        event_subscribe(engine_events(hub->engine), EVENT_QUEUE_DEFAULT);
    while (!atomic_load(&hub->stopping)) {
        struct event *event = NULL;
        int r = event_next(subscriber, 500, &event);
        if (r == 0) {
            announce(hub, event);
            event_unref(event);
        } else if (r != -ETIMEDOUT) {
            /* We were too slow for the bus: everybody starts again. */
            event_unsubscribe(subscriber);
            subscriber = event_subscribe(engine_events(hub->engine), EVENT_QUEUE_DEFAULT);
            pthread_mutex_lock(&hub->lock);
            struct topic *topic, *after;
            HASH_ITER(hh, hub->topics, topic, after)
            if (strcmp(topic->type->name, "events") == 0)
                for (struct subscription *at = topic->subscriptions; at != NULL; at = at->next) {
                    at->resync = true;
                    send_events_state(hub, at);
                }
            pthread_mutex_unlock(&hub->lock);
            struct timespec moment = {
                .tv_nsec = 100 * NS_PER_MS}; /* a bus that is closing must not spin us */
            nanosleep(&moment, NULL);
        }
    }
    event_unsubscribe(subscriber);
    return NULL;
}

/* --- what clients say
 * ---------------------------------------------------------------------------------------------------
 */
static int64_t round_interval(int64_t ms, int64_t fallback)
{
    static const int64_t steps[] = {500, 1000, 2000, 5000, 10000, 30000, 60000};
    if (ms <= 0)
        ms = fallback;
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
        if (ms <= steps[i])
            return steps[i];
    return 60000;
}

static bool filters_ok(const cJSON *filters)
{
    const cJSON *list, *value;
    if (!cJSON_IsObject(filters))
        return false;
    cJSON_ArrayForEach(list, filters)
    {
        if (!cJSON_IsArray(list))
            return false;
        cJSON_ArrayForEach(value, list) if (!cJSON_IsString(value)) return false;
    }
    return true;
}

/* Fills in what makes topics differ; the key is made of it. */
static int describe(struct hub *hub, const cJSON *message, const struct topic_type *type,
                    struct topic *ret, struct error *err)
{
    *ret = (struct topic){.type = type};
    const char *ref = json_string(message, "container", "");
    if (ref[0] != '\0' || type->container) {
        if (ref[0] == '\0')
            return error_set(err, EINVAL, "'container' is missing");
        CLEANUP_CONTAINER struct container *container = NULL;
        int r = container_get(hub->engine, ref, &container, err);
        if (r < 0)
            return r;
        snprintf(ret->container, sizeof(ret->container), "%s", container_id(container));
    }
    const char *scope = json_string(message, "scope", "container");
    if (strcmp(scope, "host") != 0 && strcmp(scope, "container") != 0)
        return error_set(err, EINVAL, "'scope' must be container or host");
    ret->whole_host = strcmp(scope, "host") == 0;
    const char *at = json_string(message, "at", NULL);
    if (at != NULL && time_parse(at, &ret->at_ns) < 0)
        return error_set(err, EINVAL, "'at' is not a time");
    ret->interval_ns =
        round_interval(json_int(message, "interval_ms", 0), type->interval_ms) * NS_PER_MS;
    snprintf(ret->key, sizeof(ret->key), "%s|%s|%d|%lld|%lld", type->name, ret->container,
             ret->whole_host, (long long)ret->at_ns, (long long)ret->interval_ns);
    return 0;
}

static struct topic *topic_get(struct hub *hub, const struct topic *wanted)
{
    struct topic *topic;
    HASH_FIND_STR(hub->topics, wanted->key, topic);
    if (topic != NULL)
        return topic;
    topic = mem_new(struct topic);
    *topic = *wanted;
    topic->urgent = true;
    HASH_ADD_STR(hub->topics, key, topic);
    pthread_cond_signal(&hub->wake); /* due at once */
    return topic;
}

static int subscribe_logs(struct client *client, int64_t id, const cJSON *message,
                          struct error *err)
{
    const struct principal *who = &client->principal;
    if (who->role < ROLE_OPERATOR && !who->may_read_logs)
        return error_set(err, EPERM, "permission denied: logs");
    struct log_follower *follower = NULL;
    int64_t tail = json_int(message, "tail", 100);
    int r = log_follower_start(client, id, json_string(message, "container", ""),
                               tail < -1 ? -1 : tail, &follower, err);
    if (r < 0)
        return r;
    add_subscription(client, id, NULL)->logs = follower;
    return 0;
}

static int subscribe(struct client *client, int64_t id, const cJSON *message, struct error *err)
{
    struct hub *hub = client->hub;
    const char *name = json_string(message, "topic", "");
    if (id <= 0)
        return error_set(err, EINVAL, "'id' must be a positive number");
    if (find_subscription(client, id) != NULL)
        return error_set(err, EEXIST, "id %lld is in use", (long long)id);
    if (client->count >= STREAM_SUBSCRIPTIONS_MAX)
        return error_set(err, EBUSY, "at most %d subscriptions a connection",
                         STREAM_SUBSCRIPTIONS_MAX);
    if (strcmp(name, "logs") == 0)
        return subscribe_logs(client, id, message, err);
    const struct topic_type *type = topic_type_find(name);
    if (type == NULL)
        return error_set(err, EINVAL, "unknown topic '%s'", name);
    const cJSON *filters = json_get(message, "filters");
    if (filters != NULL && !filters_ok(filters))
        return error_set(err, EINVAL, "'filters' must be an object of lists of strings");
    struct topic wanted;
    int r = describe(hub, message, type, &wanted, err);
    if (r < 0)
        return r;
    struct subscription *subscription = add_subscription(client, id, topic_get(hub, &wanted));
    subscription->waiting = true;
    if (filters != NULL)
        subscription->filters = cJSON_Duplicate(filters, true);
    if (type->collect == NULL)
        send_events_state(hub, subscription);
    else if (subscription->topic->ready)
        send_state(subscription);
    return 0;
}

static void obey(struct client *client, const cJSON *message)
{
    struct hub *hub = client->hub;
    const char *op = json_string(message, "op", "");
    int64_t id = json_int(message, "id", 0);
    struct error err = ERROR_INIT;
    if (strcmp(op, "subscribe") == 0) {
        if (subscribe(client, id, message, &err) < 0)
            send_message(client, id, "error", err.message);
    } else if (strcmp(op, "ping") == 0) {
        send_message(client, id, "pong", NULL);
    } else if (strcmp(op, "unsubscribe") == 0 || strcmp(op, "resync") == 0) {
        struct subscription *subscription = find_subscription(client, id);
        if (subscription == NULL) {
            send_message(client, id, "error", "no such subscription");
        } else if (op[0] == 'u') {
            unsubscribe(hub, subscription);
            send_message(client, id, "end", NULL);
        } else if (subscription->topic != NULL) {
            if (subscription->topic->type->collect == NULL)
                send_events_state(hub, subscription);
            else if (subscription->topic->ready)
                send_state(subscription);
        }
    } else {
        send_message(client, id, "error", "'op' must be subscribe, unsubscribe, resync or ping");
    }
}

/* Whether he may say one more thing now. */
static bool within_rate(struct client *client)
{
    int64_t now = clock_mono_ns();
    if (client->allowance_ns < now)
        client->allowance_ns = now;
    client->allowance_ns += MESSAGE_COST_NS;
    return client->allowance_ns - now <= MESSAGE_BURST_NS;
}

static void on_message(struct web_socket *socket, void *user, bool binary, const void *data,
                       size_t length)
{
    struct client *client = user;
    struct hub *hub = client->hub;
    struct error err = ERROR_INIT;
    CLEANUP_JSON cJSON *message = NULL;
    if (!within_rate(client)) {
        web_socket_close(socket, 1008, "too many messages");
        return;
    }
    int r = binary ? error_set(&err, EINVAL, "messages are JSON texts")
                   : json_parse(data, length, &message, &err);
    if (r >= 0 && !cJSON_IsObject(message))
        r = error_set(&err, EINVAL, "a message is a JSON object");
    pthread_mutex_lock(&hub->lock);
    if (r < 0)
        send_message(client, 0, "error", err.message);
    else if (client->socket != NULL)
        obey(client, message);
    pthread_mutex_unlock(&hub->lock);
}

static void on_drained(struct web_socket *socket, void *user)
{
    struct client *client = user;
    struct hub *hub = client->hub;
    pthread_mutex_lock(&hub->lock);
    if (client->behind_since_ns != 0) {
        client->behind_since_ns = 0;
        for (struct subscription *at = client->subscriptions; at != NULL; at = at->client_next) {
            if (!at->resync || at->topic == NULL)
                continue;
            if (at->topic->type->collect == NULL)
                send_events_state(hub, at);
            else if (at->topic->ready)
                send_state(at);
        }
    }
    pthread_mutex_unlock(&hub->lock);
}

static void on_closed(struct web_socket *socket, void *user)
{
    struct client *client = user;
    struct hub *hub = client->hub;
    pthread_mutex_lock(&hub->lock);
    while (client->subscriptions != NULL)
        unsubscribe(hub, client->subscriptions);
    if (client->previous != NULL)
        client->previous->next = client->next;
    else
        hub->clients = client->next;
    if (client->next != NULL)
        client->next->previous = client->previous;
    pthread_mutex_unlock(&hub->lock);
    client_unref(client);
}

/* --- hub
 * -------------------------------------------------------------------------------------------------------------------
 */
static void hub_stop(void *user)
{
    struct hub *hub = user;
    if (hub == NULL)
        return;
    pthread_mutex_lock(&hub->lock);
    atomic_store(&hub->stopping, true);
    pthread_cond_signal(&hub->wake);
    pthread_mutex_unlock(&hub->lock);
    if (hub->timer_running)
        pthread_join(hub->timer, NULL);
    if (hub->events_running)
        pthread_join(hub->events, NULL);
    /* A collector may be waiting for a shim: the hub then stays. */
    if (pool_stop(hub->pool, 1000))
        hub->pool = NULL;
}

/* When the last socket, and with it the last client, is gone. */
static void hub_free(void *user)
{
    struct hub *hub = user;
    if (hub == NULL || hub->pool != NULL || hub->clients != NULL)
        return;
    struct topic *topic, *next;
    HASH_ITER(hh, hub->topics, topic, next) topic_free(hub, topic);
    pthread_cond_destroy(&hub->wake);
    pthread_mutex_destroy(&hub->lock);
    free(hub);
}

static struct hub *hub_get(struct request *request)
{
    static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;
    struct server *server = request->server;
    pthread_mutex_lock(&making);
    struct hub *hub = server->hub;
    if (hub == NULL && !server_stopping(server)) {
        hub = mem_new(struct hub);
        hub->server = server;
        hub->engine = request_engine(request);
        pthread_mutex_init(&hub->lock, NULL);
        pthread_condattr_t attributes;
        pthread_condattr_init(&attributes);
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
        pthread_cond_init(&hub->wake, &attributes);
        pthread_condattr_destroy(&attributes);
        hub->pool = pool_new("collector", COLLECTORS_MAX, 4096, THREAD_STACK);
        hub->timer_running = pthread_create(&hub->timer, NULL, run_timer, hub) == 0;
        hub->events_running = pthread_create(&hub->events, NULL, run_events, hub) == 0;
        server->stop_hub = hub_stop;
        server->free_hub = hub_free;
        server->hub = hub;
    }
    pthread_mutex_unlock(&making);
    return hub;
}

static int stream(struct request *request)
{
    static const struct web_socket_handlers handlers = {
        .message = on_message, .drained = on_drained, .closed = on_closed};
    struct hub *hub = hub_get(request);
    if (hub == NULL)
        return respond_status_error(request, 503, "the server is stopping");
    struct client *client = mem_new(struct client);
    atomic_init(&client->references, 1);
    client->hub = hub;
    client->principal = request->principal;
    client->session = request->by_cookie;
    snprintf(client->token_id, sizeof(client->token_id), "%s", request->token_id);
    snprintf(client->token_user, sizeof(client->token_user), "%s", request->token_user);
    /* The first message may be here before accept has returned: it waits for
     * the lock. */
    pthread_mutex_lock(&hub->lock);
    int r = web_socket_accept(request, &handlers, client, STREAM_MESSAGE_MAX, &client->socket);
    if (r >= 0) {
        client->next = hub->clients;
        if (client->next != NULL)
            client->next->previous = client;
        hub->clients = client;
    }
    pthread_mutex_unlock(&hub->lock);
    if (r < 0)
        client_unref(client);
    return 0;
}

int terminal_attach(struct request *request);
int terminal_exec(struct request *request);

const struct route routes_stream[] = {
    {"GET", "/api/v1/stream", PERMISSION_VIEW, ROUTE_UPGRADE, stream},
    {"GET", "/containers/{id}/attach/ws", PERMISSION_EXEC,
     ROUTE_DOCKER | ROUTE_UPGRADE | ROUTE_AUDIT, terminal_attach, "container.attach"},
    {"GET", "/api/v1/exec/{id}/ws", PERMISSION_EXEC, ROUTE_UPGRADE | ROUTE_AUDIT, terminal_exec,
     "exec.start"},
    {0},
};
