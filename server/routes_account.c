/* routes_account.c - /api/v1: signing in and out, passwords, users, tokens,
 * sessions, and the audit trail. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "csv.h"
#include "server_internal.h"
#include "tabique/error.h"
#include "tabique/store.h"
#include "transport.h"

#define BODY_MAX 16384
#define LABEL_MAX 64
#define AUDIT_PAGE 200
#define AUDIT_PAGE_MAX 5000

static struct auth *auth_of(struct request *request, struct error *err)
{
    if (request->server->auth == NULL)
        error_set(err, ENOTSUP, "this server keeps no users");
    return request->server->auth;
}

static void add_time(cJSON *json, const char *key, int64_t ns)
{
    char text[TIME_TEXT_MAX];
    json_add_string(json, key, ns != 0 ? time_format(ns, text) : NULL);
}

/* A string of the body; absent gives NULL, another type is an error. */
static int body_text(const cJSON *body, const char *key, bool required, const char **ret,
                     struct error *err)
{
    const cJSON *item = json_get(body, key);
    if (item == NULL || cJSON_IsNull(item)) {
        if (required)
            return error_set(err, EINVAL, "'%s' is missing", key);
        *ret = NULL;
        return 0;
    }
    if (!cJSON_IsString(item))
        return error_set(err, EINVAL, "'%s' must be a string", key);
    *ret = item->valuestring;
    return 0;
}

static int body_bool(const cJSON *body, const char *key, bool fallback, bool *ret,
                     struct error *err)
{
    const cJSON *item = json_get(body, key);
    if (item != NULL && !cJSON_IsNull(item) && !cJSON_IsBool(item))
        return error_set(err, EINVAL, "'%s' must be true or false", key);
    *ret = cJSON_IsBool(item) ? cJSON_IsTrue(item) : fallback;
    return 0;
}

static int read_body(struct request *request, cJSON **ret, struct error *err)
{
    int r = request_json(request, BODY_MAX, false, ret, err);
    if (r < 0)
        return r;
    if (cJSON_IsObject(*ret))
        return 0;
    cJSON_Delete(*ret);
    *ret = NULL;
    return error_set(err, EINVAL, "a JSON object is expected");
}

/* --- session ------------------------------------------------------------------------------------
 */
static cJSON *describe_session(const struct principal *principal, const char *csrf)
{
    cJSON *json = cJSON_CreateObject();
    json_add_string(json, "user", principal->name);
    json_add_string(json, "role", auth_role_name(principal->role));
    json_add_bool(json, "mustChangePassword", principal->must_change_password);
    json_add_bool(json, "mayReadLogs",
                  principal->role >= ROLE_OPERATOR || principal->may_read_logs);
    json_add_string(json, "csrf", csrf[0] != '\0' ? csrf : NULL);
    return json;
}

static void set_cookie(struct request *request, const char *secret, int64_t seconds)
{
    bool tls = request->transport->kind == TRANSPORT_TLS;
    char text[200];
    snprintf(text, sizeof(text), "%s=%s; Path=/; %sHttpOnly; SameSite=Strict; Max-Age=%lld",
             auth_cookie_name(tls), secret, tls ? "Secure; " : "", (long long)seconds);
    respond_header(request, "Set-Cookie", text);
}

static int login(struct request *request)
{
    struct error err = ERROR_INIT;
    CLEANUP_JSON cJSON *body = NULL;
    const char *user = NULL, *password = NULL;
    struct principal principal = {0};
    struct auth *auth = auth_of(request, &err);
    if (auth == NULL)
        return respond_error(request, &err);
    int r = read_body(request, &body, &err);
    if (r >= 0)
        r = body_text(body, "user", true, &user, &err);
    if (r >= 0)
        r = body_text(body, "password", true, &password, &err);
    if (r < 0)
        return respond_error(request, &err);
    /* For the audit line, whoever it turns out to be. */
    snprintf(request->principal.name, sizeof(request->principal.name), "%.64s", user);
    request->principal.role = ROLE_NONE;
    int wait = 0;
    r = auth_check_password(auth, user, password, request->principal.from, &principal, &wait, &err);
    if (r == -EAGAIN) {
        char seconds[16];
        snprintf(seconds, sizeof(seconds), "%d", wait);
        respond_header(request, "Retry-After", seconds);
        return respond_status_error(request, 429, "%s", err.message);
    }
    if (r < 0)
        return respond_error(request, &err);

    char secret[AUTH_SECRET_TEXT], csrf[40];
    int64_t expires = 0;
    r = auth_session_create(auth, &principal, principal.from, request_header(request, "User-Agent"),
                            secret, csrf, &expires, &err);
    if (r < 0)
        return respond_error(request, &err);
    request->principal = principal;
    set_cookie(request, secret, AUTH_SESSION_MAX_NS / NS_PER_SEC);
    cJSON *json = describe_session(&principal, csrf);
    add_time(json, "expiresAt", expires);
    return respond_json(request, 200, json);
}

static int logout(struct request *request)
{
    struct error err = ERROR_INIT;
    if (request->principal.session_id[0] != '\0')
        auth_token_delete(request->server->auth, request->principal.session_id, &err);
    if (request->transport->kind != TRANSPORT_UNIX)
        set_cookie(request, "", 0);
    return respond_empty(request, 204);
}

static int who_am_i(struct request *request)
{
    return respond_json(request, 200, describe_session(&request->principal, request->csrf));
}

static int change_password(struct request *request)
{
    struct error err = ERROR_INIT;
    CLEANUP_JSON cJSON *body = NULL;
    const char *old = NULL, *new = NULL;
    struct auth *auth = auth_of(request, &err);
    if (auth == NULL)
        return respond_error(request, &err);
    if (!request->by_cookie)
        return respond_status_error(request, 403, "only a signed-in user has a password to change");
    int r = read_body(request, &body, &err);
    if (r >= 0)
        r = body_text(body, "oldPassword", true, &old, &err);
    if (r >= 0)
        r = body_text(body, "newPassword", true, &new, &err);
    if (r >= 0)
        r = auth_password_change(auth, &request->principal, old, new, request->principal.from,
                                 &err);
    if (r == -EAGAIN)
        return respond_status_error(request, 429, "%s", err.message);
    return r < 0 ? respond_error(request, &err) : respond_empty(request, 204);
}

/* --- users
 * ---------------------------------------------------------------------------------------- */
static int add_user(void *user, const struct store_user *row)
{
    cJSON *json = cJSON_CreateObject();
    json_add_string(json, "name", row->name);
    json_add_string(json, "role", row->role);
    json_add_bool(json, "mustChangePassword", row->must_change);
    json_add_bool(json, "disabled", row->disabled);
    json_add_bool(json, "mayReadLogs",
                  strcmp(row->role, "helpdesk") != 0 ||
                      (row->grants != NULL && strstr(row->grants, "logs") != NULL));
    add_time(json, "createdAt", row->created_ns);
    cJSON_AddItemToArray(user, json);
    return 0;
}

static int list_users(struct request *request)
{
    struct error err = ERROR_INIT;
    if (auth_of(request, &err) == NULL)
        return respond_error(request, &err);
    CLEANUP_JSON cJSON *list = cJSON_CreateArray();
    int r = store_users(request->server->options.store, NULL, add_user, list, &err);
    return r < 0 ? respond_error(request, &err) : respond_json(request, 200, TAKE_PTR(list));
}

static int send_user(struct request *request, int status, const char *name)
{
    struct error err = ERROR_INIT;
    CLEANUP_JSON cJSON *list = cJSON_CreateArray();
    int r = store_users(request->server->options.store, name, add_user, list, &err);
    if (r >= 0 && list->child == NULL)
        r = error_set(&err, ENOENT, "No such user: %s", name);
    if (r < 0)
        return respond_error(request, &err);
    return respond_json(request, status, cJSON_DetachItemFromArray(list, 0));
}

/* What the body does not name stays as `user` has it. */
static int apply_user(void *data, struct auth_user *user, struct error *err)
{
    const cJSON *body = data;
    const char *role = NULL;
    int r = body_text(body, "role", false, &role, err);
    if (r >= 0 && role != NULL && auth_role_parse(role, &user->role) < 0)
        r = error_set(err, EINVAL, "'role' must be admin, operator or helpdesk");
    if (r >= 0)
        r = body_text(body, "password", false, &user->password, err);
    /* A password that somebody else chose is to be changed. */
    if (r >= 0)
        r = body_bool(body, "mustChangePassword", user->password != NULL ? true : user->must_change,
                      &user->must_change, err);
    if (r >= 0)
        r = body_bool(body, "disabled", user->disabled, &user->disabled, err);
    if (r >= 0)
        r = body_bool(body, "mayReadLogs", user->may_read_logs, &user->may_read_logs, err);
    return r;
}

static int create_user(struct request *request)
{
    struct error err = ERROR_INIT;
    CLEANUP_JSON cJSON *body = NULL;
    const char *name = NULL;
    struct auth *auth = auth_of(request, &err);
    if (auth == NULL)
        return respond_error(request, &err);
    int r = read_body(request, &body, &err);
    if (r >= 0)
        r = body_text(body, "name", true, &name, &err);
    if (r >= 0)
        r = auth_user_put(auth, name, true, apply_user, body, &err);
    return r < 0 ? respond_error(request, &err) : send_user(request, 201, name);
}

static int update_user(struct request *request)
{
    struct error err = ERROR_INIT;
    CLEANUP_JSON cJSON *body = NULL;
    const char *name = request_param(request, "name");
    struct auth *auth = auth_of(request, &err);
    if (auth == NULL)
        return respond_error(request, &err);
    int r = read_body(request, &body, &err);
    if (r >= 0)
        r = auth_user_put(auth, name, false, apply_user, body, &err);
    return r < 0 ? respond_error(request, &err) : send_user(request, 200, name);
}

static int delete_user(struct request *request)
{
    struct error err = ERROR_INIT;
    struct auth *auth = auth_of(request, &err);
    const char *name = request_param(request, "name");
    int r = auth == NULL ? -ENOTSUP : auth_user_delete(auth, name, &err);
    return r < 0 ? respond_error(request, &err) : respond_empty(request, 204);
}

/* --- tokens and sessions
 * ---------------------------------------------------------------------------- */
struct token_list {
    cJSON *list;
    const char *only_id;          /* NULL: any */
    const char *current;          /* session that asks */
    char user[AUTH_NAME_MAX + 1]; /* of the last row */
};

static int add_token(void *user, const struct store_token *row)
{
    struct token_list *list = user;
    if (list->only_id != NULL && strcmp(list->only_id, row->id) != 0)
        return 0;
    if (row->expires_ns != 0 && row->expires_ns <= clock_real_ns())
        return 0;
    snprintf(list->user, sizeof(list->user), "%s", row->user);
    cJSON *json = cJSON_CreateObject();
    json_add_string(json, "id", row->id);
    json_add_string(json, "user", row->user);
    if (row->session) {
        json_add_string(json, "agent", row->agent);
        json_add_bool(json, "current",
                      list->current != NULL && strcmp(list->current, row->id) == 0);
    } else {
        json_add_string(json, "label", row->label);
    }
    json_add_string(json, "from", row->from);
    add_time(json, "createdAt", row->created_ns);
    add_time(json, "expiresAt", row->expires_ns);
    add_time(json, "usedAt", row->used_ns);
    cJSON_AddItemToArray(list->list, json);
    return 0;
}

static bool is_admin(struct request *request)
{
    return request->principal.role >= ROLE_ADMIN;
}

/* The user a signed-in person is; NULL for sockets, tokens and certificates. */
static const char *own_user(struct request *request)
{
    return request->by_cookie ? request->principal.name : NULL;
}

static int list_tokens(struct request *request, bool sessions)
{
    struct error err = ERROR_INIT;
    if (auth_of(request, &err) == NULL)
        return respond_error(request, &err);
    const char *user = own_user(request);
    if (is_admin(request) && (user == NULL || request_query_bool(request, "all", false)))
        user = NULL;
    else if (user == NULL)
        return respond_status_error(request, 403, "only a signed-in user has any");
    CLEANUP_JSON cJSON *array = cJSON_CreateArray();
    struct token_list list = {.list = array, .current = request->principal.session_id};
    int r = store_tokens(request->server->options.store, user, sessions, add_token, &list, &err);
    return r < 0 ? respond_error(request, &err) : respond_json(request, 200, TAKE_PTR(array));
}

static int list_api_tokens(struct request *request)
{
    return list_tokens(request, false);
}
static int list_sessions(struct request *request)
{
    return list_tokens(request, true);
}

static int revoke_secret(struct request *request, bool session)
{
    struct error err = ERROR_INIT;
    struct auth *auth = auth_of(request, &err);
    if (auth == NULL)
        return respond_error(request, &err);
    const char *id = request_param(request, "id"), *user = own_user(request);
    CLEANUP_JSON cJSON *array = cJSON_CreateArray();
    struct token_list list = {.list = array, .only_id = id};
    int r = store_tokens(request->server->options.store,
                         is_admin(request) ? NULL
                         : user != NULL    ? user
                                           : "",
                         session, add_token, &list, &err);
    if (r >= 0 && array->child == NULL)
        r = error_set(&err, ENOENT, "No such %s: %s", session ? "session" : "token", id);
    if (r >= 0)
        r = auth_token_delete(auth, id, &err);
    return r < 0 ? respond_error(request, &err) : respond_empty(request, 204);
}

static int revoke_token(struct request *request)
{
    return revoke_secret(request, false);
}
static int revoke_session(struct request *request)
{
    return revoke_secret(request, true);
}

static int token_expiry(const cJSON *body, int64_t *ret, struct error *err)
{
    const char *in = NULL, *at = NULL;
    int64_t value = 0;
    int r = body_text(body, "expiresIn", false, &in, err);
    if (r >= 0)
        r = body_text(body, "expiresAt", false, &at, err);
    if (r < 0)
        return r;
    if (in != NULL) {
        if (str_to_duration(in, &value) < 0 || value <= 0 ||
            value > INT64_C(3650) * 86400 * NS_PER_SEC)
            return error_set(err, EINVAL, "'expiresIn' must be a duration like 720h");
        value += clock_real_ns();
    } else if (at != NULL) {
        if (time_parse(at, &value) < 0 || value <= clock_real_ns())
            return error_set(err, EINVAL, "'expiresAt' must be a time to come");
    }
    *ret = value;
    return 0;
}

static int create_token(struct request *request)
{
    struct error err = ERROR_INIT;
    CLEANUP_JSON cJSON *body = NULL;
    const char *label = NULL, *user = NULL;
    int64_t expires = 0;
    struct auth *auth = auth_of(request, &err);
    if (auth == NULL)
        return respond_error(request, &err);
    int r = read_body(request, &body, &err);
    if (r >= 0)
        r = body_text(body, "label", true, &label, &err);
    if (r >= 0 && (label[0] == '\0' || strlen(label) > LABEL_MAX))
        r = error_set(&err, EINVAL, "'label' must have 1 to %d bytes", LABEL_MAX);
    if (r >= 0)
        r = body_text(body, "user", false, &user, &err);
    if (r >= 0)
        r = token_expiry(body, &expires, &err);
    if (r < 0)
        return respond_error(request, &err);
    /* A token that leaked must not make more of its kind. */
    if (str_starts(request->principal.name, "token:"))
        return respond_status_error(request, 403, "a token cannot make tokens");
    const char *own = own_user(request);
    if (user == NULL)
        user = own;
    if (user == NULL)
        return respond_status_error(request, 400, "'user' is missing");
    if ((own == NULL || strcmp(user, own) != 0) && !is_admin(request))
        return respond_status_error(request, 403, "permission denied: tokens of other users");
    char secret[AUTH_SECRET_TEXT + 8], id[33];
    r = auth_token_create(auth, user, label, expires, request->principal.from, secret, id, &err);
    if (r < 0)
        return respond_error(request, &err);
    cJSON *json = cJSON_CreateObject();
    json_add_string(json, "id", id);
    json_add_string(json, "user", user);
    json_add_string(json, "label", label);
    add_time(json, "expiresAt", expires);
    json_add_string(json, "token", secret); /* shown this once */
    return respond_json(request, 201, json);
}

/* --- audit
 * -------------------------------------------------------------------------------------------- */
struct audit_list {
    cJSON *list;
    int64_t last_id;
};

static int add_audit(void *user, const struct store_audit *row)
{
    struct audit_list *list = user;
    cJSON *json = cJSON_CreateObject();
    json_add_int(json, "id", row->id);
    add_time(json, "time", row->time_ns);
    json_add_string(json, "who", row->who);
    json_add_string(json, "role", row->role);
    json_add_string(json, "from", row->from);
    json_add_string(json, "what", row->what);
    json_add_string(json, "target", row->target);
    json_add_string(json, "detail", row->detail);
    if (row->result != 0)
        json_add_int(json, "result", row->result);
    else
        json_add_null(json, "result"); /* begun; how it ended is not known */
    cJSON_AddItemToArray(list->list, json);
    list->last_id = row->id;
    return 0;
}

static int query_time(struct request *request, const char *name, int64_t *ret, struct error *err)
{
    const char *text = request_query(request, name);
    if (text == NULL || text[0] == '\0')
        return 0;
    return time_parse(text, ret) < 0
               ? error_set(err, EINVAL, "invalid value for \"%s\": '%s' is not a time", name, text)
               : 0;
}

static int list_audit(struct request *request)
{
    static const char *const columns[] = {"id",   "time",   "who",    "role",   "from",
                                          "what", "target", "result", "detail", NULL};
    struct error err = ERROR_INIT;
    struct store *store = request->server->options.store;
    if (store == NULL)
        return respond_status_error(request, 501, "this server keeps no audit trail");
    struct store_audit_query query = {.who = request_query(request, "who"),
                                      .what = request_query(request, "what"),
                                      .target = request_query(request, "target")};
    int64_t limit = AUDIT_PAGE;
    int r = query_time(request, "since", &query.since_ns, &err);
    if (r >= 0)
        r = query_time(request, "until", &query.until_ns, &err);
    if (r >= 0)
        r = request_query_int(request, "before", 0, &query.before_id, &err);
    if (r >= 0)
        r = request_query_int(request, "limit", AUDIT_PAGE, &limit, &err);
    if (r >= 0 && (limit < 1 || limit > AUDIT_PAGE_MAX))
        r = error_set(&err, EINVAL, "limit must be 1 to %d", AUDIT_PAGE_MAX);
    query.limit = (size_t)limit;
    CLEANUP_JSON cJSON *json = cJSON_CreateObject();
    struct audit_list list = {.list = json_add_array(json, "entries")};
    if (r >= 0)
        r = store_audits(store, &query, add_audit, &list, &err);
    if (r < 0)
        return respond_error(request, &err);
    const char *format = request_query(request, "format"),
               *accept = request_header(request, "Accept");
    if ((format != NULL && strcmp(format, "csv") == 0) ||
        (format == NULL && accept != NULL && str_starts(accept, "text/csv"))) {
        CLEANUP_FREE char *text = csv_table(list.list, columns);
        respond_header(request, "Content-Disposition", "attachment; filename=\"audit.csv\"");
        return respond_text(request, 200, "text/csv; charset=utf-8", text);
    }
    bool more = cJSON_GetArraySize(list.list) == limit;
    if (more)
        json_add_int(json, "next", list.last_id); /* as ?before= of the next page */
    else
        json_add_null(json, "next");
    return respond_json(request, 200, TAKE_PTR(json));
}

const struct route routes_account[] = {
    {"POST", "/api/v1/session", PERMISSION_PUBLIC, ROUTE_AUDIT, login, "login"},
    {"DELETE", "/api/v1/session", PERMISSION_SELF, ROUTE_AUDIT, logout, "logout"},
    {"GET", "/api/v1/session", PERMISSION_SELF, 0, who_am_i},
    {"PUT", "/api/v1/account/password", PERMISSION_SELF, ROUTE_AUDIT, change_password,
     "account.password"},
    {"GET", "/api/v1/users", PERMISSION_ADMIN, 0, list_users},
    {"POST", "/api/v1/users", PERMISSION_ADMIN, ROUTE_AUDIT, create_user, "user.create"},
    {"PUT", "/api/v1/users/{name}", PERMISSION_ADMIN, ROUTE_AUDIT, update_user, "user.update"},
    {"DELETE", "/api/v1/users/{name}", PERMISSION_ADMIN, ROUTE_AUDIT, delete_user, "user.delete"},
    {"GET", "/api/v1/tokens", PERMISSION_VIEW, 0, list_api_tokens},
    {"POST", "/api/v1/tokens", PERMISSION_VIEW, ROUTE_AUDIT, create_token, "token.create"},
    {"DELETE", "/api/v1/tokens/{id}", PERMISSION_VIEW, ROUTE_AUDIT, revoke_token, "token.revoke"},
    {"GET", "/api/v1/sessions", PERMISSION_SELF, 0, list_sessions},
    {"DELETE", "/api/v1/sessions/{id}", PERMISSION_SELF, ROUTE_AUDIT, revoke_session,
     "session.revoke"},
    {"GET", "/api/v1/audit", PERMISSION_ADMIN, 0, list_audit},
    {0},
};
