/* /api/v1/notifications and what they come from: rules, channels, deliveries.
 *
 * Everybody signed in sees notifications and rules. Channels name addresses of the
 * outside and are the admin's; their secrets go in and never come out. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "routes.h"
#include "shapes.h"
#include "tabique/engine.h"
#include "tabique/notify.h"
#include "tabique/store.h"

#define LIMIT_DEFAULT 100
#define LIMIT_MAX 1000
#define BODY_MAX ((size_t)64 << 10)

static struct notify *notify_of(struct request *request)
{
    return engine_notify(request_engine(request));
}

static struct store *store_of(struct request *request)
{
    return engine_store(request_engine(request));
}

/* What an empty value in the query means: nothing asked. */
static const char *given(struct request *request, const char *name)
{
    const char *text = request_query(request, name);
    return text && text[0] ? text : NULL;
}

static int number_param(struct request *request, const char *what, int64_t *ret, struct error *err)
{
    const char *text = request_param(request, "id");
    return str_to_i64(text, ret) < 0 || *ret < 1 ? error_set(err, ENOENT, "No such %s: %s", what, text) : 0;
}

static int page_of(struct request *request, size_t *ret_limit, int64_t *ret_before, struct error *err)
{
    size_t offset = 0;
    int r = route_paging(request, LIMIT_MAX, ret_limit, &offset, err);
    if (r >= 0)
        r = route_atoi(request, "before", 0, ret_before, err);
    if (r >= 0 && *ret_before < 0)
        r = error_set(err, EINVAL, "before must not be negative");
    if (*ret_limit == 0)
        *ret_limit = LIMIT_DEFAULT;
    return r;
}

/* As ?before= of the next page; null: that was all. */
static void add_next(cJSON *json, const cJSON *rows, size_t limit)
{
    const int count = cJSON_GetArraySize(rows);
    if ((size_t)count == limit)
        json_add_int(json, "next", json_int(cJSON_GetArrayItem(rows, count - 1), "id", 0));
    else
        json_add_null(json, "next");
}

/* --- notifications ------------------------------------------------------------------------- */

static int add_notification(void *user, const struct store_notification *n)
{
    cJSON *json = cJSON_CreateObject(), *detail = NULL;

    json_add_int(json, "id", n->id);
    shape_add_time(json, "time", n->time_ns);
    shape_add_time_or_null(json, "endedAt", n->ended_ns);
    json_add_bool(json, "lasting", n->lasting);
    json_add_string(json, "kind", n->kind);
    json_add_string(json, "rule", n->rule);
    json_add_string(json, "ruleName", n->rule_name);
    json_add_bool(json, "firstRuleName", notify_rule_named_at_first(n->rule, n->rule_name));
    json_add_string(json, "containerId", n->container_id);
    json_add_string(json, "container", n->container);
    if (json_parse(n->detail, strlen(n->detail), &detail, NULL) < 0)
        detail = cJSON_CreateObject();
    json_add(json, "detail", detail);
    shape_add_time_or_null(json, "acknowledgedAt", n->acknowledged_ns);
    json_add_string(json, "acknowledgedBy", n->acknowledged_by);
    cJSON_AddItemToArray(user, json);
    return 0;
}

static int list_notifications(struct request *request)
{
    static const char *const columns[] = {"id",   "time",        "endedAt",   "kind",   "ruleName",
                                          "container", "containerId", "detail", "acknowledgedAt", "acknowledgedBy", NULL};
    struct error err = ERROR_INIT;
    struct store_notification_query query = {
        .kind = given(request, "kind"),
        .rule = given(request, "rule"),
        .container_id = given(request, "container"),
        .unacknowledged = request_query_bool(request, "unacknowledged", false),
        .open = request_query_bool(request, "open", false),
    };
    int r = page_of(request, &query.limit, &query.before_id, &err);
    if (r >= 0)
        r = route_time(request, "since", 0, &query.since_ns, &err);
    if (r >= 0)
        r = route_time(request, "until", 0, &query.until_ns, &err);

    cJSON *json = cJSON_CreateObject();
    cJSON *rows = json_add_array(json, "notifications");
    if (r >= 0)
        r = store_notifications(store_of(request), &query, add_notification, rows, &err);
    if (r < 0) {
        cJSON_Delete(json);
        return route_fail(request, r, &err);
    }
    add_next(json, rows, query.limit);
    json_add_int(json, "unacknowledged", store_notifications_unacknowledged(store_of(request)));
    return route_list(request, json, rows, columns);
}

static int acknowledge(struct request *request, int64_t id)
{
    struct error err = ERROR_INIT;
    const int r = store_notification_acknowledge(store_of(request), id, request_principal(request)->name,
                                                 clock_real_ns(), &err);
    return route_done(request, r, &err, 204);
}

static int acknowledge_one(struct request *request)
{
    struct error err = ERROR_INIT;
    int64_t id = 0;
    const int r = number_param(request, "notification", &id, &err);
    return r < 0 ? route_fail(request, r, &err) : acknowledge(request, id);
}

static int acknowledge_all(struct request *request)
{
    return acknowledge(request, 0);
}

/* --- rules and channels: the same four calls ------------------------------------------------- */

static int list_rules(struct request *request)
{
    cJSON *json = cJSON_CreateObject();
    json_add(json, "rules", notify_rules(notify_of(request)));
    return respond_json(request, 200, json);
}

static int list_channels(struct request *request)
{
    cJSON *json = cJSON_CreateObject();
    json_add(json, "channels", notify_channels(notify_of(request)));
    return respond_json(request, 200, json);
}

typedef int put_fn(struct notify *notify, const char *id, const cJSON *body, cJSON **ret, struct error *err);

static int put(struct request *request, put_fn *fn, const char *id, int status)
{
    struct error err = ERROR_INIT;
    CLEANUP_JSON cJSON *body = NULL;
    cJSON *json = NULL;
    int r = request_json(request, BODY_MAX, false, &body, &err);
    if (r >= 0)
        r = fn(notify_of(request), id, body, &json, &err);
    return route_json(request, r, &err, status, json);
}

static int create_rule(struct request *request)
{
    return put(request, notify_rule_put, NULL, 201);
}
static int update_rule(struct request *request)
{
    return put(request, notify_rule_put, request_param(request, "id"), 200);
}
static int create_channel(struct request *request)
{
    return put(request, notify_channel_put, NULL, 201);
}
static int update_channel(struct request *request)
{
    return put(request, notify_channel_put, request_param(request, "id"), 200);
}

static int delete_rule(struct request *request)
{
    struct error err = ERROR_INIT;
    return route_done(request, notify_rule_delete(notify_of(request), request_param(request, "id"), &err), &err, 204);
}
static int delete_channel(struct request *request)
{
    struct error err = ERROR_INIT;
    return route_done(request, notify_channel_delete(notify_of(request), request_param(request, "id"), &err), &err,
                      204);
}

static int test_channel(struct request *request)
{
    struct error err = ERROR_INIT;
    int64_t delivery = 0;
    const int r = notify_channel_test(notify_of(request), request_param(request, "id"), &delivery, &err);
    cJSON *json = cJSON_CreateObject();
    json_add_int(json, "delivery", delivery);
    return route_json(request, r, &err, 202, json);
}

/* --- deliveries --------------------------------------------------------------------------------- */

static int add_delivery(void *user, const struct store_delivery *delivery)
{
    cJSON *json = cJSON_CreateObject();

    json_add_int(json, "id", delivery->id);
    json_add_int(json, "notification", delivery->notification);
    json_add_string(json, "channel", delivery->channel);
    json_add_string(json, "what", delivery->end ? "ended" : "raised");
    json_add_string(json, "state", delivery->state);
    json_add_int(json, "attempts", delivery->attempts);
    shape_add_time(json, "createdAt", delivery->created_ns);
    shape_add_time_or_null(json, "nextAt", delivery->next_ns);
    shape_add_time_or_null(json, "lastAt", delivery->last_ns);
    json_add_int(json, "status", delivery->status);
    json_add_string(json, "error", delivery->error);
    cJSON_AddItemToArray(user, json);
    return 0;
}

static int list_deliveries(struct request *request)
{
    static const char *const columns[] = {"id",        "notification", "channel", "what",   "state", "attempts",
                                          "createdAt", "nextAt",       "lastAt",  "status", "error", NULL};
    struct error err = ERROR_INIT;
    struct store_delivery_query query = {.channel = given(request, "channel"), .state = given(request, "state")};
    int r = page_of(request, &query.limit, &query.before_id, &err);
    if (r >= 0)
        r = route_atoi(request, "notification", 0, &query.notification, &err);
    if (r >= 0 && query.state && strcmp(query.state, "pending") != 0 && strcmp(query.state, "delivered") != 0 &&
        strcmp(query.state, "failed") != 0)
        r = error_set(&err, EINVAL, "state must be pending, delivered or failed");

    cJSON *json = cJSON_CreateObject();
    cJSON *rows = json_add_array(json, "deliveries");
    if (r >= 0)
        r = store_deliveries(store_of(request), &query, add_delivery, rows, &err);
    if (r < 0) {
        cJSON_Delete(json);
        return route_fail(request, r, &err);
    }
    add_next(json, rows, query.limit);
    return route_list(request, json, rows, columns);
}

static int retry_delivery(struct request *request)
{
    struct error err = ERROR_INIT;
    int64_t id = 0;
    int r = number_param(request, "delivery", &id, &err);
    if (r >= 0)
        r = notify_delivery_retry(notify_of(request), id, &err);
    return route_done(request, r, &err, 202);
}

#define SEE PERMISSION_VIEW, 0
#define DO PERMISSION_OPERATE, ROUTE_AUDIT
#define RULE PERMISSION_ADMIN, ROUTE_AUDIT

const struct route routes_notify[] = {
    {"GET", "/api/v1/notifications", SEE, list_notifications},
    {"POST", "/api/v1/notifications/acknowledge", DO, acknowledge_all, "notification.acknowledge"},
    {"POST", "/api/v1/notifications/{id}/acknowledge", DO, acknowledge_one, "notification.acknowledge"},
    {"GET", "/api/v1/notification-rules", SEE, list_rules},
    {"POST", "/api/v1/notification-rules", RULE, create_rule, "notification-rule.create"},
    {"PUT", "/api/v1/notification-rules/{id}", RULE, update_rule, "notification-rule.update"},
    {"DELETE", "/api/v1/notification-rules/{id}", RULE, delete_rule, "notification-rule.delete"},
    {"GET", "/api/v1/notification-channels", PERMISSION_ADMIN, 0, list_channels},
    {"POST", "/api/v1/notification-channels", RULE, create_channel, "notification-channel.create"},
    {"PUT", "/api/v1/notification-channels/{id}", RULE, update_channel, "notification-channel.update"},
    {"DELETE", "/api/v1/notification-channels/{id}", RULE, delete_channel, "notification-channel.delete"},
    {"POST", "/api/v1/notification-channels/{id}/test", RULE, test_channel, "notification-channel.test"},
    {"GET", "/api/v1/notification-deliveries", PERMISSION_ADMIN, 0, list_deliveries},
    {"POST", "/api/v1/notification-deliveries/{id}/retry", RULE, retry_delivery, "notification-delivery.retry"},
    {0},
};
