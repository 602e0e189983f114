/* test_accounts.c - signing in, roles on every route, tokens, throttling, audit. */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "tabique/store.h"
#include "throttle.h"

static struct fixture fixture;

struct who { /* a signed-in client, or none */
    char cookie[160];
    char csrf[64];
};

static const struct who nobody;

static int call(const struct who *who, const char *method, const char *path, const char *body,
                struct str *out)
{
    CLEANUP_STR struct str text = STR_INIT;
    str_printf(&text, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n", method, path);
    if (who->cookie[0] != '\0')
        str_printf(&text, "Cookie: other=1; %s\r\n", who->cookie);
    if (who->csrf[0] != '\0')
        str_printf(&text, "X-Tabique-CSRF: %s\r\n", who->csrf);
    if (body != NULL)
        str_printf(&text, "Content-Type: application/json\r\nContent-Length: %zu\r\n",
                   strlen(body));
    str_append(&text, "\r\n");
    if (body != NULL)
        str_append(&text, body);
    return ask(fixture.http_port, text.data, out);
}

static const char *body_of(const struct str *out)
{
    const char *body = strstr(out->data, "\r\n\r\n");
    return body != NULL ? body + 4 : "";
}

static cJSON *json_of(const struct str *out)
{
    cJSON *json = NULL;
    const char *body = body_of(out);
    assert_int_equal(json_parse(body, strlen(body), &json, NULL), 0);
    return json;
}

static int sign_in(const char *user, const char *password, struct who *ret)
{
    CLEANUP_STR struct str out = STR_INIT;
    CLEANUP_FREE char *body = mem_printf("{\"user\":\"%s\",\"password\":\"%s\"}", user, password);
    *ret = nobody;
    int status = call(&nobody, "POST", "/api/v1/session", body, &out);
    if (status != 200)
        return status;
    const char *cookie = strstr(out.data, "Set-Cookie: ");
    assert_non_null(cookie);
    assert_non_null(strstr(cookie, "HttpOnly; SameSite=Strict"));
    snprintf(ret->cookie, sizeof(ret->cookie), "%.*s", (int)strcspn(cookie + 12, ";"), cookie + 12);
    CLEANUP_JSON cJSON *json = json_of(&out);
    snprintf(ret->csrf, sizeof(ret->csrf), "%s", json_string(json, "csrf", ""));
    assert_int_equal(strlen(ret->csrf), 32);
    return 200;
}

static struct who admin;

static void first_run(void **state)
{
    CLEANUP_STR struct str out = STR_INIT;
    CLEANUP_FREE char *path = path_join(fixture.dir, "admin-password");
    CLEANUP_FREE char *text = NULL;
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(file_read(AT_FDCWD, path, 100, &text, NULL), 0);
    text[strcspn(text, "\n")] = '\0';
    assert_true(strlen(text) >= 20);

    assert_int_equal(sign_in("admin", "wrong password", &admin), 401);
    assert_int_equal(sign_in("admin", text, &admin), 200);
    assert_int_equal(call(&admin, "GET", "/api/v1/session", NULL, &out), 200);
    assert_non_null(strstr(out.data, "\"mustChangePassword\":true"));
    /* Nothing else works before the password is changed. */
    assert_int_equal(call(&admin, "GET", "/things/list", NULL, &out), 403);
    assert_int_equal(call(&admin, "GET", "/api/v1/users", NULL, &out), 403);
    assert_int_equal(call(&admin, "PUT", "/api/v1/account/password",
                          "{\"oldPassword\":\"nope\",\"newPassword\":\"a better one 1\"}", &out),
                     403);
    CLEANUP_FREE char *weak =
        mem_printf("{\"oldPassword\":\"%s\",\"newPassword\":\"short\"}", text);
    assert_int_equal(call(&admin, "PUT", "/api/v1/account/password", weak, &out), 400);
    CLEANUP_FREE char *good =
        mem_printf("{\"oldPassword\":\"%s\",\"newPassword\":\"a better one 1\"}", text);
    assert_int_equal(call(&admin, "PUT", "/api/v1/account/password", good, &out), 204);
    assert_int_equal(stat(path, &st), -1);
    assert_int_equal(call(&admin, "GET", "/things/list", NULL, &out), 200);
    struct who other;
    assert_int_equal(sign_in("admin", text, &other), 401);
    assert_int_equal(sign_in("admin", "a better one 1", &other), 200);
    assert_int_equal(call(&other, "DELETE", "/api/v1/session", NULL, &out), 204);
    assert_int_equal(call(&other, "GET", "/api/v1/session", NULL, &out), 401);
}

static void cross_site_requests(void **state)
{
    CLEANUP_STR struct str out = STR_INIT;
    struct who blind = admin;
    blind.csrf[0] = '\0';
    assert_int_equal(call(&blind, "GET", "/things/list", NULL, &out), 200);
    assert_int_equal(call(&blind, "POST", "/api/v1/operate", "{}", &out), 403);
    struct who wrong = admin;
    wrong.csrf[0] ^= 1;
    assert_int_equal(call(&wrong, "POST", "/api/v1/operate", "{}", &out), 403);
    assert_int_equal(call(&admin, "POST", "/api/v1/operate", "{}", &out), 200);
    /* Our own page, by its Origin and a type that a form cannot send. */
    CLEANUP_FREE char *own = mem_printf(
        "POST /api/v1/operate HTTP/1.1\r\nHost: localhost:1\r\nOrigin: "
        "http://localhost:1\r\nCookie: %s\r\n"
        "Content-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
        admin.cookie);
    assert_int_equal(ask(fixture.http_port, own, &out), 200);
    CLEANUP_FREE char *form =
        mem_printf("POST /api/v1/operate HTTP/1.1\r\nHost: localhost:1\r\nOrigin: "
                   "http://localhost:1\r\nCookie: %s\r\n"
                   "Content-Type: text/plain\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
                   admin.cookie);
    assert_int_equal(ask(fixture.http_port, form, &out), 403);
    CLEANUP_FREE char *foreign =
        mem_printf("POST /api/v1/operate HTTP/1.1\r\nHost: localhost\r\nOrigin: "
                   "http://evil.example\r\nCookie: %s\r\n"
                   "X-Tabique-CSRF: %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                   admin.cookie, admin.csrf);
    assert_int_equal(ask(fixture.http_port, foreign, &out), 403);
    /* A WebSocket with a cookie needs an Origin that is ours. */
    CLEANUP_FREE char *socket = mem_printf(
        "GET /socket HTTP/1.1\r\nHost: localhost\r\nCookie: %s\r\nConnection: Upgrade\r\nUpgrade: "
        "websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        admin.cookie);
    assert_int_equal(ask(fixture.http_port, socket, &out), 403);
}

struct walk {
    const struct who *who;
    enum role role;
    bool logs;
    int checked;
};

static int status_for(enum permission permission, enum role role, bool logs)
{
    static const enum role least[] = {
        [PERMISSION_PUBLIC] = ROLE_NONE,   [PERMISSION_VIEW] = ROLE_HELPDESK,
        [PERMISSION_LOGS] = ROLE_OPERATOR, [PERMISSION_OPERATE] = ROLE_OPERATOR,
        [PERMISSION_EXEC] = ROLE_OPERATOR, [PERMISSION_ADMIN] = ROLE_ADMIN,
        [PERMISSION_SELF] = ROLE_HELPDESK};
    if (permission == PERMISSION_LOGS && role == ROLE_HELPDESK && logs)
        return 0;
    if (role >= least[permission])
        return 0;
    return role == ROLE_NONE ? 401 : 403;
}

/* Every route, asked for by every role. */
static int walk_route(void *user, const struct route *route)
{
    struct walk *walk = user;
    CLEANUP_STR struct str out = STR_INIT;
    CLEANUP_STR struct str path = STR_INIT;
    for (const char *at = route->pattern; *at != '\0'; at++) {
        if (*at == '{') {
            str_append(&path, "nothing");
            at = strchr(at, '}');
        } else {
            str_append_char(&path, *at);
        }
    }
    /* These would end the session that walks, or never end. */
    if (strcmp(path.data, "/follow") == 0 || strcmp(path.data, "/hijack") == 0 ||
        strcmp(path.data, "/join") == 0)
        return 0;
    if (strcmp(path.data, "/api/v1/session") == 0 && strcmp(route->method, "DELETE") == 0)
        return 0;
    int status = call(walk->who, route->method, path.data,
                      strcmp(route->method, "GET") == 0 ? NULL : "{}", &out);
    int want = status_for(route->permission, walk->role, walk->logs);
    bool refused =
        status == 401 || (status == 403 && strstr(out.data, "permission denied: the role") != NULL);
    /* Login answers 400 for {} itself. */
    if (want != 0 ? status != want : refused)
        fail_msg("%s %s as role %d: %d", route->method, path.data, walk->role, status);
    walk->checked++;
    return 0;
}

static void every_route_every_role(void **state)
{
    CLEANUP_STR struct str out = STR_INIT;
    static const char *const roles[] = {"helpdesk", "operator", "admin"};
    struct who users[4];
    for (int i = 0; i < 3; i++) {
        CLEANUP_FREE char *body = mem_printf("{\"name\":\"u-%s\",\"role\":\"%s\",\"password\":"
                                             "\"long enough 123\",\"mustChangePassword\":false}",
                                             roles[i], roles[i]);
        assert_int_equal(call(&admin, "POST", "/api/v1/users", body, &out), 201);
    }
    assert_int_equal(call(&admin, "POST", "/api/v1/users",
                          "{\"name\":\"reader\",\"role\":\"helpdesk\",\"password\":\"long enough "
                          "123\",\"mustChangePassword\":false,\"mayReadLogs\":true}",
                          &out),
                     201);
    for (int i = 0; i < 3; i++) {
        CLEANUP_FREE char *name = mem_printf("u-%s", roles[i]);
        assert_int_equal(sign_in(name, "long enough 123", &users[i]), 200);
    }
    assert_int_equal(sign_in("reader", "long enough 123", &users[3]), 200);
    struct walk walks[] = {{&nobody, ROLE_NONE},
                           {&users[0], ROLE_HELPDESK},
                           {&users[3], ROLE_HELPDESK, true},
                           {&users[1], ROLE_OPERATOR},
                           {&users[2], ROLE_ADMIN}};
    for (size_t i = 0; i < ARRAY_SIZE(walks); i++) {
        route_table_each(fixture.server->routes, walk_route, &walks[i]);
        assert_true(walks[i].checked > 20);
    }
}

static void users(void **state)
{
    CLEANUP_STR struct str out = STR_INIT;
    assert_int_equal(
        call(&admin, "POST", "/api/v1/users",
             "{\"name\":\"u-admin\",\"role\":\"admin\",\"password\":\"long enough 123\"}", &out),
        409);
    assert_int_equal(call(&admin, "POST", "/api/v1/users",
                          "{\"name\":\"x\",\"role\":\"king\",\"password\":\"long enough 123\"}",
                          &out),
                     400);
    assert_int_equal(call(&admin, "POST", "/api/v1/users",
                          "{\"name\":\"../x\",\"role\":\"admin\",\"password\":\"long enough 123\"}",
                          &out),
                     400);
    assert_int_equal(call(&admin, "POST", "/api/v1/users", "{\"name\":7,\"role\":\"admin\"}", &out),
                     400);
    assert_int_equal(call(&admin, "POST", "/api/v1/users", "[]", &out), 400);
    assert_int_equal(
        call(&admin, "POST", "/api/v1/users",
             "{\"name\":\"alice\",\"role\":\"operator\",\"password\":\"alice's dog 1\"}", &out),
        400);
    assert_int_equal(call(&admin, "PUT", "/api/v1/users/ghost", "{}", &out), 404);
    assert_int_equal(call(&admin, "GET", "/api/v1/users", NULL, &out), 200);
    assert_null(strstr(out.data, "argon2"));
    /* Locked out: the session ends at once. */
    struct who operator;
    assert_int_equal(sign_in("u-operator", "long enough 123", &operator), 200);
    assert_int_equal(call(&operator, "GET", "/things/list", NULL, &out), 200);
    assert_int_equal(call(&admin, "PUT", "/api/v1/users/u-operator", "{\"disabled\":true}", &out),
                     200);
    assert_int_equal(call(&operator, "GET", "/things/list", NULL, &out), 401);
    assert_int_equal(sign_in("u-operator", "long enough 123", &operator), 401);
    /* The last administrator cannot be taken away. */
    assert_int_equal(call(&admin, "DELETE", "/api/v1/users/u-admin", NULL, &out), 204);
    assert_int_equal(call(&admin, "DELETE", "/api/v1/users/admin", NULL, &out), 409);
    assert_int_equal(call(&admin, "PUT", "/api/v1/users/admin", "{\"role\":\"helpdesk\"}", &out),
                     409);
}

static int ask_with_token(const char *token, const char *method, const char *path, struct str *out)
{
    CLEANUP_FREE char *text =
        mem_printf("%s %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "
                   "%s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                   method, path, token);
    return ask(fixture.http_port, text, out);
}

static void tokens(void **state)
{
    CLEANUP_STR struct str out = STR_INIT;
    assert_int_equal(
        call(&admin, "POST", "/api/v1/tokens", "{\"label\":\"ci\",\"expiresIn\":\"1h\"}", &out),
        201);
    CLEANUP_JSON cJSON *json = json_of(&out);
    CLEANUP_FREE char *token = mem_strdup(json_string(json, "token", "")),
                      *id = mem_strdup(json_string(json, "id", ""));
    assert_true(str_starts(token, "tbq_"));
    assert_int_equal(ask_with_token(token, "GET", "/things/list", &out), 200);
    /* No cookie, so no cross-site check. */
    assert_int_equal(ask_with_token(token, "POST", "/api/v1/operate", &out), 200);
    assert_int_equal(ask_with_token("tbq_0000", "GET", "/things/list", &out), 401);
    token[10] ^= 1;
    assert_int_equal(ask_with_token(token, "GET", "/things/list", &out), 401);
    token[10] ^= 1;
    /* Shown once; stored only as a hash; cannot make others. */
    assert_int_equal(call(&admin, "GET", "/api/v1/tokens", NULL, &out), 200);
    assert_non_null(strstr(out.data, "\"label\":\"ci\""));
    assert_null(strstr(out.data, token));
    CLEANUP_FREE char *bad =
        mem_printf("POST /api/v1/tokens HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "
                   "%s\r\nContent-Type: application/json\r\n"
                   "Content-Length: 13\r\nConnection: close\r\n\r\n{\"label\":\"x\"}",
                   token);
    assert_int_equal(ask(fixture.http_port, bad, &out), 403);
    /* Another user sees and revokes none of it. */
    struct who reader;
    assert_int_equal(sign_in("reader", "long enough 123", &reader), 200);
    CLEANUP_FREE char *path = mem_printf("/api/v1/tokens/%s", id);
    assert_int_equal(call(&reader, "DELETE", path, NULL, &out), 404);
    assert_int_equal(
        call(&reader, "POST", "/api/v1/tokens", "{\"label\":\"x\",\"user\":\"admin\"}", &out), 403);
    assert_int_equal(call(&admin, "DELETE", path, NULL, &out), 204);
    assert_int_equal(ask_with_token(token, "GET", "/things/list", &out), 401);
    assert_int_equal(call(&admin, "POST", "/api/v1/tokens",
                          "{\"label\":\"x\",\"expiresAt\":\"2001-01-01T00:00:00Z\"}", &out),
                     400);
    /* Sessions are listed and revoked alike. */
    assert_int_equal(call(&reader, "GET", "/api/v1/sessions", NULL, &out), 200);
    CLEANUP_JSON cJSON *list = json_of(&out);
    const char *session = json_string(list->child, "id", "");
    CLEANUP_FREE char *session_path = mem_printf("/api/v1/sessions/%s", session);
    assert_int_equal(call(&reader, "DELETE", session_path, NULL, &out), 204);
}

static void throttling(void **state)
{
    struct who who;
    CLEANUP_STR struct str out = STR_INIT;
    int status = 0;
    for (int i = 0; i < 6 && status != 429; i++)
        status = sign_in("throttled", "never right", &who);
    assert_int_equal(status, 429);
    assert_int_equal(call(&nobody, "POST", "/api/v1/session",
                          "{\"user\":\"throttled\",\"password\":\"x\"}", &out),
                     429);
    assert_non_null(strstr(out.data, "Retry-After: "));
    /* Another user from the same address is not held up yet. */
    assert_int_equal(sign_in("admin", "a better one 1", &who), 200);

    struct throttle *throttle = throttle_new();
    for (int i = 0; i < 3; i++)
        throttle_failed(throttle, "k", 3, 1000);
    assert_int_equal(throttle_wait(throttle, "k", 1000), 0);
    int64_t before = 0;
    for (int i = 0; i < 12; i++) {
        throttle_failed(throttle, "k", 3, 1000);
        int64_t wait = throttle_wait(throttle, "k", 1000);
        assert_true(wait >= before && wait > 0);
        before = wait;
    }
    assert_int_equal(before, INT64_C(300000000000));
    throttle_succeeded(throttle, "k");
    assert_int_equal(throttle_wait(throttle, "k", 1000), 0);
    for (int i = 0; i < 10000; i++) {
        char key[16];
        snprintf(key, sizeof(key), "%d", i);
        throttle_failed(throttle, key, 0, 1000);
    }
    assert_true(throttle_wait(throttle, "9999", 1000) > 0);
    assert_int_equal(throttle_wait(throttle, "0", 1000), 0); /* the oldest made room */
    throttle_free(throttle);
}

/* --- many at once ------------------------------------------------------------------------- */

#define CROWD 20

struct crowd {
    struct auth *auth;
    pthread_barrier_t gate;
    atomic_int wrong, held_up;
};

static void *guess(void *user)
{
    struct crowd *crowd = user;
    struct principal principal;
    struct error err = ERROR_INIT;
    int wait = 0;

    pthread_barrier_wait(&crowd->gate);
    int r = auth_check_password(crowd->auth, "nobody-at-all", "never right", "198.51.100.7", &principal, &wait, &err);
    if (r == -EACCES)
        crowd->wrong++;
    else if (r == -EAGAIN && wait > 0)
        crowd->held_up++;
    return NULL;
}

/* A crowd gets hardly more guesses than one who waits for each answer. */
static void a_crowd_is_throttled(void **state)
{
    struct crowd crowd = {0};
    pthread_t threads[CROWD];
    struct error err = ERROR_INIT;
    bool first;

    assert_int_equal(auth_new(fixture.store, NULL, &crowd.auth, &first, &err), 0);
    pthread_barrier_init(&crowd.gate, NULL, CROWD);
    for (int i = 0; i < CROWD; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, guess, &crowd), 0);
    for (int i = 0; i < CROWD; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(crowd.wrong + crowd.held_up, CROWD);
    assert_in_range(crowd.wrong, 3, CROWD / 2);
    pthread_barrier_destroy(&crowd.gate);
    auth_free(crowd.auth);
}

static int make(void *data, struct auth_user *user, struct error *err)
{
    user->password = data;
    return 0;
}

static int lock_out(void *data, struct auth_user *user, struct error *err)
{
    user->disabled = true;
    return 0;
}

static int let_read_logs(void *data, struct auth_user *user, struct error *err)
{
    user->may_read_logs = true;
    return 0;
}

struct deed {
    struct auth *auth;
    pthread_barrier_t *gate;
    auth_user_fn *change; /* NULL: a new password; else */
    bool remove, token;
};

static void *do_deed(void *user)
{
    struct deed *deed = user;
    struct principal principal = {.name = "busy"};
    char secret[AUTH_SECRET_TEXT + 8], id[33];

    pthread_barrier_wait(deed->gate);
    if (deed->remove)
        assert_int_equal(auth_user_delete(deed->auth, "busy", NULL), 0);
    else if (deed->token) /* or too late */
        (void)auth_token_create(deed->auth, "busy", "left over", 0, "198.51.100.8", secret, id, NULL);
    else if (deed->change)
        assert_int_equal(auth_user_put(deed->auth, "busy", false, deed->change, NULL, NULL), 0);
    else /* or too late */
        (void)auth_password_change(deed->auth, &principal, "the first one", "the second one", "198.51.100.8", NULL);
    return NULL;
}

static void at_once(struct deed one, struct deed two)
{
    pthread_barrier_t gate;
    pthread_t thread;

    pthread_barrier_init(&gate, NULL, 2);
    one.gate = two.gate = &gate;
    assert_int_equal(pthread_create(&thread, NULL, do_deed, &one), 0);
    do_deed(&two);
    pthread_join(thread, NULL);
    pthread_barrier_destroy(&gate);
}

struct seen_user {
    bool found, disabled, logs;
};

static int see_user(void *user, const struct store_user *row)
{
    *(struct seen_user *)user = (struct seen_user){true, row->disabled, strcmp(row->grants, "logs") == 0};
    return 0;
}

static int count_token(void *user, const struct store_token *row)
{
    ++*(int *)user;
    return 0;
}

/* Between the check of a password and the session, it is changed, its user locked out or deleted. */
static void a_session_wants_the_present_password(void **state)
{
    struct auth *auth;
    struct principal principal;
    struct error err = ERROR_INIT;
    char secret[AUTH_SECRET_TEXT], csrf[40];
    int64_t expires;
    bool first;
    int wait;

    assert_int_equal(auth_new(fixture.store, NULL, &auth, &first, &err), 0);
    assert_int_equal(auth_user_put(auth, "slow", true, make, (char *)"the first one", &err), 0);
    assert_int_equal(auth_check_password(auth, "slow", "the first one", "198.51.100.9", &principal, &wait, &err), 0);
    assert_int_equal(auth_session_create(auth, &principal, "198.51.100.9", NULL, secret, csrf, &expires, &err), 0);
    assert_int_equal(auth_user_put(auth, "slow", false, make, (char *)"the second one", &err), 0);
    assert_int_equal(auth_session_create(auth, &principal, "198.51.100.9", NULL, secret, csrf, &expires, &err), -EACCES);
    assert_int_equal(auth_check_password(auth, "slow", "the second one", "198.51.100.9", &principal, &wait, &err), 0);
    assert_int_equal(auth_user_put(auth, "slow", false, lock_out, NULL, &err), 0);
    assert_int_equal(auth_session_create(auth, &principal, "198.51.100.9", NULL, secret, csrf, &expires, &err), -EACCES);
    assert_int_equal(auth_user_delete(auth, "slow", &err), 0);
    assert_int_equal(auth_session_create(auth, &principal, "198.51.100.9", NULL, secret, csrf, &expires, &err), -ENOENT);
    int sessions = 0;
    assert_int_equal(store_tokens(fixture.store, "slow", true, count_token, &sessions, &err), 0);
    assert_int_equal(sessions, 0);
    auth_free(auth);
}

/* What two do to one user at the same time is both done, and who has gone stays away. */
static void no_change_is_lost(void **state)
{
    struct auth *auth;
    struct error err = ERROR_INIT;
    bool first;

    assert_int_equal(auth_new(fixture.store, NULL, &auth, &first, &err), 0);
    for (int round = 0; round < 20; round++) {
        struct seen_user seen = {0};

        assert_int_equal(auth_user_put(auth, "busy", true, make, (char *)"the first one", &err), 0);
        at_once((struct deed){.auth = auth, .change = lock_out},
                round % 2 ? (struct deed){.auth = auth, .change = let_read_logs} : (struct deed){.auth = auth});
        assert_int_equal(store_users(fixture.store, "busy", see_user, &seen, &err), 0);
        assert_true(seen.found && seen.disabled);
        assert_int_equal(seen.logs, round % 2);
        assert_int_equal(auth_user_delete(auth, "busy", &err), 0);

        assert_int_equal(auth_user_put(auth, "busy", true, make, (char *)"the first one", &err), 0);
        at_once((struct deed){.auth = auth, .remove = true},
                round % 2 ? (struct deed){.auth = auth, .token = true} : (struct deed){.auth = auth});
        int tokens = 0;
        assert_int_equal(store_tokens(fixture.store, "busy", false, count_token, &tokens, &err), 0);
        assert_int_equal(tokens, 0);
        seen = (struct seen_user){0};
        assert_int_equal(store_users(fixture.store, "busy", see_user, &seen, &err), 0);
        assert_false(seen.found);
    }
    auth_free(auth);
}

static void audit(void **state)
{
    CLEANUP_STR struct str out = STR_INIT;
    assert_int_equal(call(&admin, "GET", "/api/v1/audit?what=login&limit=1000", NULL, &out), 200);
    assert_non_null(strstr(out.data, "\"who\":\"throttled\""));
    assert_non_null(strstr(out.data, "\"result\":401"));
    assert_non_null(strstr(out.data, "\"result\":429"));
    assert_null(strstr(out.data, "never right"));
    assert_int_equal(call(&admin, "GET", "/api/v1/audit?limit=2", NULL, &out), 200);
    CLEANUP_JSON cJSON *page = json_of(&out);
    assert_int_equal(cJSON_GetArraySize(json_get(page, "entries")), 2);
    int64_t next = json_int(page, "next", 0);
    assert_true(next > 0);
    CLEANUP_FREE char *path = mem_printf("/api/v1/audit?limit=2&before=%lld", (long long)next);
    assert_int_equal(call(&admin, "GET", path, NULL, &out), 200);
    CLEANUP_JSON cJSON *second = json_of(&out);
    assert_true(json_int(json_get(second, "entries")->child, "id", 0) < next);
    assert_int_equal(call(&admin, "GET", "/api/v1/audit?format=csv&what=thing.delete", NULL, &out),
                     200);
    assert_non_null(strstr(out.data, "id,time,who,role,from,what,target,result"));
    assert_non_null(strstr(out.data, "thing.delete,nothing"));
    assert_int_equal(call(&admin, "GET", "/api/v1/audit?limit=x", NULL, &out), 400);
    assert_int_equal(call(&admin, "GET", "/api/v1/audit?since=x", NULL, &out), 400);
}

static int start(void **state)
{
    fixture_start(&fixture, true, NULL);
    return 0;
}

static int stop(void **state)
{
    fixture_stop(&fixture);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_run),
        cmocka_unit_test(cross_site_requests),
        cmocka_unit_test(every_route_every_role),
        cmocka_unit_test(users),
        cmocka_unit_test(tokens),
        cmocka_unit_test(throttling),
        cmocka_unit_test(a_crowd_is_throttled),
        cmocka_unit_test(a_session_wants_the_present_password),
        cmocka_unit_test(no_change_is_lost),
        cmocka_unit_test(audit),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
