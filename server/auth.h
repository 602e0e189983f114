/* auth.h - who is asking: users, passwords, sessions, API tokens, certificates.
 *
 * Passwords are kept as argon2id hashes; secrets of sessions and tokens only as
 * their SHA-256. Everything is in the store; a short-lived cache in front of it
 * is emptied by every change made here. Threads: any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http.h"

struct auth;
struct error;
struct store;

#define AUTH_PASSWORD_MIN 10
#define AUTH_PASSWORD_MAX 512
#define AUTH_NAME_MAX 64
#define AUTH_SECRET_SIZE 32
#define AUTH_SECRET_TEXT 65
#define AUTH_TOKEN_PREFIX "tbq_"
#define AUTH_SESSION_IDLE_NS (INT64_C(3600) * 2 * 1000000000)
#define AUTH_SESSION_MAX_NS (INT64_C(3600) * 12 * 1000000000)

/* data_dir: where "admin-password" of the first run stands; NULL: store only.
 * Makes the first user when there is none; *ret_first says so. */
int auth_new(struct store *store, const char *data_dir, struct auth **ret, bool *ret_first,
             struct error *err);
void auth_free(struct auth *auth);

/* Fills in the request's principal from socket, certificate, bearer token or
 * cookie, in this order. Nobody: ROLE_NONE. auth may be NULL. */
void auth_identify(struct auth *auth, struct request *request);

/* Name and password: 0 and *ret; -EACCES wrong (the same for an unknown user),
 * -EAGAIN too many failures, with *ret_wait_s. Failures are counted per address
 * and user and per address. */
int auth_check_password(struct auth *auth, const char *user, const char *password, const char *from,
                        struct principal *ret, int *ret_wait_s, struct error *err);

/* A new session of whom auth_check_password() gave; secret is the cookie's value, csrf what its
 * page must send. -EACCES: the password has been changed since. */
int auth_session_create(struct auth *auth, const struct principal *principal, const char *from,
                        const char *agent, char secret[AUTH_SECRET_TEXT], char csrf[40],
                        int64_t *ret_expires_ns, struct error *err);
/* A new API token "tbq_..." of a user that there is; expires_ns 0: never. */
int auth_token_create(struct auth *auth, const char *user, const char *label, int64_t expires_ns,
                      const char *from, char secret[AUTH_SECRET_TEXT + 8], char ret_id[33],
                      struct error *err);
int auth_token_delete(struct auth *auth, const char *id, struct error *err);
int auth_sessions_delete(struct auth *auth, const char *user, const char *except_id);

/* A user's row; password: a new one (NULL: keeps the old hash). */
struct auth_user {
    enum role role;
    const char *password;
    bool must_change, disabled, may_read_logs;
};
/* Makes a user, or changes one. change() is given the row as it stands (a new one: helpdesk,
 * nothing else) and what it makes of that is written: nobody else's change comes between and
 * is lost. It must not call this room. */
typedef int auth_user_fn(void *data, struct auth_user *user, struct error *err);
int auth_user_put(struct auth *auth, const char *name, bool create, auth_user_fn *change, void *data,
                  struct error *err);
int auth_user_delete(struct auth *auth, const char *name, struct error *err);
int auth_password_change(struct auth *auth, const struct principal *principal, const char *old,
                         const char *password, const char *from, struct error *err);

/* Whether who opened a long-lived connection with this session or token still
 * might: not revoked, expired, locked out or of a lesser role. Using it counts. */
bool auth_still_valid(struct auth *auth, const char *user, const char *token_id, bool session,
                      enum role role);

bool auth_equal(const char *a, const char *b); /* in constant time */
int auth_role_parse(const char *text, enum role *ret);
const char *auth_role_name(enum role role);
/* Name of the session cookie: with the __Host- prefix over TLS. */
const char *auth_cookie_name(bool tls);
