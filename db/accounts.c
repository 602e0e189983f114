/* accounts.c - users, tokens, sessions and small settings. Owner: db.
 *
 * Few and seldom written: every write waits for the disk, so that a signed-out
 * session does not come back after a power cut. */
#include "store_internal.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "tabique/error.h"

static int finish(int r, struct error *err, const char *what)
{
    return r < 0 ? error_errno(err, -r, "cannot %s", what) : 0;
}

/* --- users ------------------------------------------------------------------------------ */

static int put_user(struct store *store, void *data)
{
    const struct store_user *user = data;

    return db_run(store->writer,
                  "INSERT OR REPLACE INTO account VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)", "tttiiti",
                  user->name, store__or_empty(user->role), store__or_empty(user->password_hash),
                  (int64_t)user->must_change, (int64_t)user->disabled, store__or_empty(user->grants),
                  user->created_ns);
}

int store_user_put(struct store *store, const struct store_user *user, struct error *err)
{
    if (!user->name || !user->name[0])
        return error_set(err, EINVAL, "a user needs a name");
    return finish(store__call_synced(store, put_user, (void *)user), err, "store the user");
}

static int delete_user(struct store *store, void *data)
{
    int r = db_run(store->writer, "DELETE FROM account WHERE name = ?1", "t", (const char *)data);

    if (r == 0)
        return -ENOENT;
    if (r > 0)
        r = db_run(store->writer, "DELETE FROM token WHERE account = ?1", "t", (const char *)data);
    return r < 0 ? r : 0;
}

int store_user_delete(struct store *store, const char *name, struct error *err)
{
    int r = store__call_synced(store, delete_user, (void *)name);

    if (r == -ENOENT)
        return error_set(err, ENOENT, "No such user: %s", name);
    return finish(r, err, "delete the user");
}

struct each_user {
    store_user_fn *fn;
    void *user;
};

static int user_row(void *data, sqlite3_stmt *row)
{
    struct each_user *each = data;
    struct store_user user = {
        .name = db_text(row, 0),
        .role = db_text(row, 1),
        .password_hash = db_text(row, 2),
        .must_change = sqlite3_column_int(row, 3) != 0,
        .disabled = sqlite3_column_int(row, 4) != 0,
        .grants = db_text(row, 5),
        .created_ns = sqlite3_column_int64(row, 6),
    };

    return each->fn(each->user, &user);
}

int store_users(struct store *store, const char *name, store_user_fn *fn, void *user,
                struct error *err)
{
    struct each_user each = {.fn = fn, .user = user};

    return store__query(store,
                        "SELECT name, role, password, must_change, disabled, grants, created FROM account"
                        " WHERE ?1 IS NULL OR name = ?1 ORDER BY name",
                        user_row, &each, err, "t", name);
}

/* --- tokens and sessions ------------------------------------------------------------------- */

static int put_token(struct store *store, void *data)
{
    const struct store_token *token = data;

    return db_run(store->writer,
                  "INSERT INTO token VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                  "tttbiiiitt", token->id, token->user, store__or_empty(token->label),
                  (const void *)token->hash, (size_t)32, (int64_t)token->session, token->created_ns,
                  token->expires_ns, token->used_ns, store__or_empty(token->from), store__or_empty(token->agent));
}

int store_token_put(struct store *store, const struct store_token *token, struct error *err)
{
    if (!token->id || !token->user || !token->hash)
        return error_set(err, EINVAL, "a token needs an id, a user and a hash");
    return finish(store__call_synced(store, put_token, (void *)token), err, "store the token");
}

struct touch {
    int64_t used_ns;
    char id[];
};

static int touch_token(struct store *store, void *data)
{
    const struct touch *touch = data;
    int r = db_run(store->writer, "UPDATE token SET used = max(used, ?2) WHERE id = ?1", "ti",
                   touch->id, touch->used_ns);

    return r < 0 ? r : 0;
}

int store_token_touch(struct store *store, const char *id, int64_t used_ns)
{
    size_t length = strlen(id);
    struct touch *touch = mem_alloc(sizeof(*touch) + length + 1);

    touch->used_ns = used_ns;
    memcpy(touch->id, id, length + 1);
    return store__put(store, touch_token, touch, NULL);
}

static int delete_token(struct store *store, void *data)
{
    int r = db_run(store->writer, "DELETE FROM token WHERE id = ?1", "t", (const char *)data);

    return r == 0 ? -ENOENT : r < 0 ? r : 0;
}

int store_token_delete(struct store *store, const char *id, struct error *err)
{
    int r = store__call_synced(store, delete_token, (void *)id);

    if (r == -ENOENT)
        return error_set(err, ENOENT, "No such token: %s", id);
    return finish(r, err, "delete the token");
}

struct sign_out {
    const char *user, *except_id;
};

static int delete_sessions(struct store *store, void *data)
{
    const struct sign_out *out = data;
    int r =
        db_run(store->writer,
               "DELETE FROM token WHERE account = ?1 AND session = 1 AND (?2 IS NULL OR id <> ?2)",
               "tt", out->user, out->except_id);

    return r < 0 ? r : 0;
}

int store_sessions_delete(struct store *store, const char *user, const char *except_id)
{
    struct sign_out out = {.user = user, .except_id = except_id};

    return store__call_synced(store, delete_sessions, &out);
}

struct each_token {
    store_token_fn *fn;
    void *user;
    size_t count;
};

static int token_row(void *data, sqlite3_stmt *row)
{
    struct each_token *each = data;
    struct store_token token = {
        .id = db_text(row, 0),
        .user = db_text(row, 1),
        .label = db_text(row, 2),
        .hash = sqlite3_column_blob(row, 3),
        .session = sqlite3_column_int(row, 4) != 0,
        .created_ns = sqlite3_column_int64(row, 5),
        .expires_ns = sqlite3_column_int64(row, 6),
        .used_ns = sqlite3_column_int64(row, 7),
        .from = db_text(row, 8),
        .agent = db_text(row, 9),
    };

    each->count++;
    return each->fn(each->user, &token);
}

#define TOKEN_SELECT                                                                               \
    "SELECT id, account, label, hash, session, created, expires, used, origin, agent FROM token "

int store_token_find(struct store *store, const uint8_t hash[32], store_token_fn *fn, void *user)
{
    struct each_token each = {.fn = fn, .user = user};
    int r = store__query(store, TOKEN_SELECT "WHERE hash = ?1", token_row, &each, NULL, "b", (const void *)hash,
                         (size_t)32);

    return r == 0 && each.count == 0 ? -ENOENT : r;
}

int store_tokens(struct store *store, const char *user, bool sessions, store_token_fn *fn,
                 void *user_data, struct error *err)
{
    struct each_token each = {.fn = fn, .user = user_data};

    return store__query(store,
                        TOKEN_SELECT "WHERE (?1 IS NULL OR account = ?1) AND session = ?2 ORDER BY created, id",
                        token_row, &each, err, "ti", user, (int64_t)sessions);
}

/* --- settings ------------------------------------------------------------------------------- */

struct setting {
    const char *key, *value;
};

static int put_setting(struct store *store, void *data)
{
    const struct setting *setting = data;
    int r = db_run(store->writer, "INSERT OR REPLACE INTO setting VALUES (?1, ?2)", "tt",
                   setting->key, setting->value);

    return r < 0 ? r : 0;
}

int store_setting_put(struct store *store, const char *key, const char *value)
{
    struct setting setting = {.key = key, .value = value};

    return store__call_synced(store, put_setting, &setting);
}

static int setting_row(void *data, sqlite3_stmt *row)
{
    *(char **)data = mem_strdup(db_text(row, 0));
    return 1;
}

int store_setting_get(struct store *store, const char *key, char **ret)
{
    char *value = NULL;
    int r = store__query(store, "SELECT value FROM setting WHERE key = ?1", setting_row, &value, NULL, "t", key);

    if (r < 0)
        return r;
    if (!value)
        return -ENOENT;
    *ret = value;
    return 0;
}
