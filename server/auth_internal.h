/* auth_internal.h - what users (auth.c) and their secrets (secrets.c) share. Internal to server. */
#pragma once

#include <pthread.h>
#include <semaphore.h>

#include "auth.h"

#define HASH_TEXT_MAX 256

struct cached;
struct throttle;

struct auth {
    struct store *store;
    char *password_file;
    char dummy_hash[HASH_TEXT_MAX]; /* checked for unknown users, to take as long */
    pthread_mutex_t users;          /* held from reading a user's row to writing it */
    pthread_mutex_t lock;           /* throttle, cache */
    struct throttle *throttle;
    struct cached *cache;
    uint64_t generation; /* of the cache: grows with each change */
    sem_t hashing;
};

struct user_copy {
    bool found;
    enum role role;
    char hash[HASH_TEXT_MAX];
    bool must_change, disabled, may_read_logs;
    int64_t created_ns;
};

/* *ret: as it stands in the store; found says whether there is one. */
int auth__find_user(struct auth *auth, const char *name, struct user_copy *ret, struct error *err);
void auth__fill_principal(const char *name, const struct user_copy *user, struct principal *ret);

/* secrets.c */
struct cached *auth__cache_new(void);
void auth__hash(const char *text, uint8_t out[32]); /* of what is random already */
void auth__changed(struct auth *auth); /* of users or secrets: nothing cached holds any more */
