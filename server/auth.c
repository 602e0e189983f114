/* auth.c - users, passwords, roles; signing in. See auth.h. */
#include "auth_internal.h"

#include <argon2.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/random.h"
#include "base/str.h"
#include "tabique/error.h"
#include "tabique/store.h"
#include "throttle.h"

/* OWASP's second choice of argon2id parameters: 19 MiB, 2 passes. */
#define ARGON_MEMORY_KIB 19456
#define ARGON_PASSES 2
#define ARGON_AT_ONCE 2 /* memory, and cores, that sign-ins may take together */

#define FREE_FAILURES_USER 3
#define FREE_FAILURES_ADDRESS 20

static const char *const role_names[] = {"", "helpdesk", "operator", "admin"};

const char *auth_role_name(enum role role)
{
    return role_names[role];
}

int auth_role_parse(const char *text, enum role *ret)
{
    for (enum role role = ROLE_HELPDESK; role <= ROLE_ADMIN; role++)
        if (strcmp(text, role_names[role]) == 0) {
            *ret = role;
            return 0;
        }
    return -EINVAL;
}

bool auth_equal(const char *a, const char *b)
{
    size_t length = strlen(a);
    if (length != strlen(b) || length == 0)
        return false;
    volatile unsigned char difference = 0;
    for (size_t i = 0; i < length; i++)
        difference |= (unsigned char)(a[i] ^ b[i]);
    return difference == 0;
}

/* --- passwords ---------------------------------------------------------------------------- */
static void hashing_begin(struct auth *auth)
{
    while (sem_wait(&auth->hashing) < 0 && errno == EINTR)
        continue;
}

static int hash_password(struct auth *auth, const char *password, char out[HASH_TEXT_MAX],
                         struct error *err)
{
    uint8_t salt[16];
    random_bytes(salt, sizeof(salt));
    hashing_begin(auth);
    int r = argon2id_hash_encoded(ARGON_PASSES, ARGON_MEMORY_KIB, 1, password, strlen(password),
                                  salt, sizeof(salt), 32, out, HASH_TEXT_MAX);
    sem_post(&auth->hashing);
    return r == ARGON2_OK ? 0
                          : error_set(err, EIO, "the password could not be hashed: %s",
                                      argon2_error_message(r));
}

static int check_new_password(const char *user, const char *password, struct error *err)
{
    size_t length = strlen(password);
    if (length < AUTH_PASSWORD_MIN)
        return error_set(err, EINVAL, "the password is too short: at least %d characters",
                         AUTH_PASSWORD_MIN);
    if (length > AUTH_PASSWORD_MAX)
        return error_set(err, EINVAL, "the password is too long: at most %d bytes",
                         AUTH_PASSWORD_MAX);
    if (strcasestr(password, user) != NULL)
        return error_set(err, EINVAL, "the password must not contain the user's name");
    if (strspn(password, (char[]){password[0], '\0'}) == length)
        return error_set(err, EINVAL, "the password is one repeated character");
    return 0;
}

static bool name_ok(const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || length > AUTH_NAME_MAX)
        return false;
    for (size_t i = 0; i < length; i++) {
        char c = name[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && (i == 0 || strchr("._-@", c) == NULL))
            return false;
    }
    return true;
}

/* --- users --------------------------------------------------------------------------------- */
static int copy_user(void *user, const struct store_user *row)
{
    struct user_copy *copy = user;
    if (auth_role_parse(row->role, &copy->role) < 0)
        return 0;
    copy->found = true;
    snprintf(copy->hash, sizeof(copy->hash), "%s",
             row->password_hash != NULL ? row->password_hash : "");
    copy->must_change = row->must_change;
    copy->disabled = row->disabled;
    copy->created_ns = row->created_ns;
    copy->may_read_logs = row->grants != NULL && strstr(row->grants, "logs") != NULL;
    return 0;
}

int auth__find_user(struct auth *auth, const char *name, struct user_copy *ret, struct error *err)
{
    *ret = (struct user_copy){0};
    return store_users(auth->store, name, copy_user, ret, err);
}

void auth__fill_principal(const char *name, const struct user_copy *user, struct principal *ret)
{
    ret->role = user->role;
    ret->may_read_logs = user->may_read_logs;
    ret->must_change_password = user->must_change;
    snprintf(ret->name, sizeof(ret->name), "%s", name);
}

static int put_row(struct auth *auth, const char *name, const struct auth_user *user, const char *hash,
                   int64_t created_ns, struct error *err)
{
    struct store_user row = {
        .name = name,
        .role = auth_role_name(user->role),
        .password_hash = hash,
        .must_change = user->must_change,
        .disabled = user->disabled,
        .grants = user->may_read_logs ? "logs" : "",
        .created_ns = created_ns,
    };
    int r = store_user_put(auth->store, &row, err);
    auth__changed(auth);
    return r;
}

struct admin_count {
    const char *except;
    int count;
};

static int count_admin(void *user, const struct store_user *row)
{
    struct admin_count *count = user;
    if (!row->disabled && strcmp(row->role, "admin") == 0 && strcmp(row->name, count->except) != 0)
        count->count++;
    return 0;
}

/* Nobody may take the last admin away. */
static int check_last_admin(struct auth *auth, const char *name, struct error *err)
{
    struct admin_count count = {.except = name};
    int r = store_users(auth->store, NULL, count_admin, &count, err);
    if (r < 0)
        return r;
    return count.count > 0 ? 0 : error_set(err, EBUSY, "%s is the last administrator", name);
}

static int put_user(struct auth *auth, const char *name, bool create, auth_user_fn *change, void *data,
                    struct error *err)
{
    struct user_copy old;
    int r = auth__find_user(auth, name, &old, err);
    if (r < 0)
        return r;
    if (create && old.found)
        return error_set(err, EEXIST, "user %s exists already", name);
    if (!create && !old.found)
        return error_set(err, ENOENT, "No such user: %s", name);
    struct auth_user user = {.role = old.found ? old.role : ROLE_HELPDESK,
                             .must_change = old.must_change,
                             .disabled = old.disabled,
                             .may_read_logs = old.may_read_logs};
    r = change(data, &user, err);
    if (r < 0)
        return r;
    if (old.found && old.role == ROLE_ADMIN && !old.disabled &&
        (user.role != ROLE_ADMIN || user.disabled)) {
        r = check_last_admin(auth, name, err);
        if (r < 0)
            return r;
    }
    if (user.password != NULL) {
        r = check_new_password(name, user.password, err);
        if (r < 0)
            return r;
        r = hash_password(auth, user.password, old.hash, err);
        if (r < 0)
            return r;
    } else if (create) {
        return error_set(err, EINVAL, "a new user needs a password");
    }
    r = put_row(auth, name, &user, old.hash, old.found ? old.created_ns : clock_real_ns(), err);
    /* Who was locked out or given another password is to sign in again. */
    if (r >= 0 && !create && (user.disabled || user.password != NULL))
        auth_sessions_delete(auth, name, NULL);
    return r;
}

int auth_user_put(struct auth *auth, const char *name, bool create, auth_user_fn *change, void *data,
                  struct error *err)
{
    if (create && !name_ok(name))
        return error_set(err, EINVAL,
                         "invalid user name: letters, digits, '.', '_', '-', '@'; at most %d",
                         AUTH_NAME_MAX);
    pthread_mutex_lock(&auth->users);
    int r = put_user(auth, name, create, change, data, err);
    pthread_mutex_unlock(&auth->users);
    return r;
}

int auth_user_delete(struct auth *auth, const char *name, struct error *err)
{
    struct user_copy old;
    pthread_mutex_lock(&auth->users);
    int r = auth__find_user(auth, name, &old, err);
    if (r >= 0 && !old.found)
        r = error_set(err, ENOENT, "No such user: %s", name);
    if (r >= 0 && old.role == ROLE_ADMIN)
        r = check_last_admin(auth, name, err);
    if (r >= 0)
        r = store_user_delete(auth->store, name, err);
    auth__changed(auth);
    pthread_mutex_unlock(&auth->users);
    return r;
}

/* --- signing in ----------------------------------------------------------------------------- */
static int64_t throttled_for(struct auth *auth, const char *key, const char *from)
{
    int64_t now = clock_mono_ns();
    pthread_mutex_lock(&auth->lock);
    int64_t wait = throttle_wait(auth->throttle, key, now),
            wait_address = throttle_wait(auth->throttle, from, now);
    pthread_mutex_unlock(&auth->lock);
    return wait > wait_address ? wait : wait_address;
}

static void note_try(struct auth *auth, const char *key, const char *from, bool right)
{
    int64_t now = clock_mono_ns();
    pthread_mutex_lock(&auth->lock);
    if (right) {
        throttle_succeeded(auth->throttle, key);
    } else {
        throttle_failed(auth->throttle, key, FREE_FAILURES_USER, now);
        throttle_failed(auth->throttle, from, FREE_FAILURES_ADDRESS, now);
    }
    pthread_mutex_unlock(&auth->lock);
}

int auth_check_password(struct auth *auth, const char *name, const char *password, const char *from,
                        struct principal *ret, int *ret_wait_s, struct error *err)
{
    if (strlen(name) > AUTH_NAME_MAX || strlen(password) > AUTH_PASSWORD_MAX)
        return error_set(err, EACCES, "wrong user name or password");
    CLEANUP_FREE char *key = mem_printf("%s|%s", from, name);
    struct user_copy user;
    bool right = false;
    int r = auth__find_user(auth, name, &user, err);
    if (r < 0)
        return r;
    int64_t wait = throttled_for(auth, key, from);
    if (wait == 0) {
        hashing_begin(auth);
        /* Those before us in the queue may have failed: many at once get no more tries
         * than one after the other. */
        wait = throttled_for(auth, key, from);
        if (wait == 0) {
            right = argon2id_verify(user.found ? user.hash : auth->dummy_hash, password, strlen(password)) == ARGON2_OK &&
                    user.found && !user.disabled;
            note_try(auth, key, from, right);
        }
        sem_post(&auth->hashing);
    }
    if (wait > 0) {
        *ret_wait_s = (int)(wait / NS_PER_SEC) + 1;
        return error_set(err, EAGAIN, "too many failed sign-ins; try again in %d seconds",
                         *ret_wait_s);
    }
    if (!right)
        return error_set(err, EACCES, "wrong user name or password");
    struct principal principal = {0};
    auth__fill_principal(name, &user, &principal);
    auth__hash(user.hash, principal.proof);
    snprintf(principal.from, sizeof(principal.from), "%s", from);
    *ret = principal;
    return 0;
}

static int change_password(struct auth *auth, const struct principal *principal, const char *old,
                           const char *password, const char *from, struct error *err)
{
    const char *name = principal->name;
    struct principal checked;
    struct user_copy row;
    int wait;
    int r = auth_check_password(auth, name, old, from, &checked, &wait, err);
    if (r == -EACCES)
        return error_set(err, EPERM, "the old password is wrong");
    if (r >= 0 && strcmp(old, password) == 0)
        r = error_set(err, EINVAL, "the new password is the old one");
    if (r >= 0)
        r = auth__find_user(auth, name, &row, err);
    if (r >= 0)
        r = check_new_password(name, password, err);
    if (r >= 0)
        r = hash_password(auth, password, row.hash, err);
    if (r < 0)
        return r;
    const struct auth_user user = {.role = row.role, .may_read_logs = row.may_read_logs};
    return put_row(auth, name, &user, row.hash, row.created_ns, err);
}

int auth_password_change(struct auth *auth, const struct principal *principal, const char *old,
                         const char *password, const char *from, struct error *err)
{
    pthread_mutex_lock(&auth->users);
    int r = change_password(auth, principal, old, password, from, err);
    pthread_mutex_unlock(&auth->users);
    if (r < 0)
        return r;
    auth_sessions_delete(auth, principal->name, principal->session_id);
    /* The first-run password has served. */
    if (auth->password_file != NULL && strcmp(principal->name, "admin") == 0)
        unlink(auth->password_file);
    return 0;
}

/* --- start ------------------------------------------------------------------------------------ */
static int any_user(void *user, const struct store_user *row)
{
    *(bool *)user = true;
    return 0;
}

/* 20 characters out of 32 that cannot be mistaken for each other: 100 bits. */
static void readable_password(char out[24])
{
    static const char alphabet[] = "abcdefghjkmnpqrstuvwxyz23456789A";
    uint8_t random[20];
    random_bytes(random, sizeof(random));
    char *to = out;
    for (size_t i = 0; i < sizeof(random); i++) {
        if (i > 0 && i % 5 == 0)
            *to++ = '-';
        *to++ = alphabet[random[i] % 32];
    }
    *to = '\0';
}

static int first_run(struct auth *auth, struct error *err)
{
    char password[32], line[40];
    readable_password(password);
    char hash[HASH_TEXT_MAX];
    int r = hash_password(auth, password, hash, err);
    if (r < 0)
        return r;
    if (auth->password_file != NULL) {
        snprintf(line, sizeof(line), "%s\n", password);
        r = file_write_atomic(AT_FDCWD, auth->password_file, line, strlen(line), 0600);
        if (r < 0)
            return error_errno(err, -r, "the first password could not be written to %s",
                               auth->password_file);
    }
    const struct auth_user admin = {.role = ROLE_ADMIN, .must_change = true};
    return put_row(auth, "admin", &admin, hash, clock_real_ns(), err);
}

int auth_new(struct store *store, const char *data_dir, struct auth **ret, bool *ret_first,
             struct error *err)
{
    struct auth *auth = mem_new(struct auth);
    auth->store = store;
    pthread_mutex_init(&auth->users, NULL);
    pthread_mutex_init(&auth->lock, NULL);
    sem_init(&auth->hashing, 0, ARGON_AT_ONCE);
    auth->throttle = throttle_new();
    auth->cache = auth__cache_new();
    if (data_dir != NULL)
        auth->password_file = path_join(data_dir, "admin-password");
    bool any = false;
    int r = store_users(store, NULL, any_user, &any, err);
    char nobody[32];
    readable_password(nobody);
    if (r >= 0)
        r = hash_password(auth, nobody, auth->dummy_hash, err);
    if (r >= 0 && !any)
        r = first_run(auth, err);
    if (r < 0) {
        auth_free(auth);
        return r;
    }
    *ret_first = !any;
    *ret = auth;
    return 0;
}

void auth_free(struct auth *auth)
{
    if (auth == NULL)
        return;
    throttle_free(auth->throttle);
    sem_destroy(&auth->hashing);
    pthread_mutex_destroy(&auth->users);
    pthread_mutex_destroy(&auth->lock);
    free(auth->cache);
    free(auth->password_file);
    free(auth);
}
