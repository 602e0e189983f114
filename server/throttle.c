/* throttle.c - see throttle.h. */
#include "throttle.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/clock.h"
#include "base/mem.h"

#define KEYS_MAX 8192
#define DELAY_MAX_S 300
#define FORGET_NS (3600 * NS_PER_SEC)

struct entry {
    char *key;
    int failures;
    int64_t next_ns, last_ns;
    UT_hash_handle hh;
};

struct throttle {
    struct entry *entries; /* uthash keeps them in the order of insertion */
};

struct throttle *throttle_new(void)
{
    return mem_new(struct throttle);
}

static void remove_entry(struct throttle *throttle, struct entry *entry)
{
    HASH_DEL(throttle->entries, entry);
    free(entry->key);
    free(entry);
}

void throttle_free(struct throttle *throttle)
{
    if (throttle == NULL)
        return;
    while (throttle->entries != NULL)
        remove_entry(throttle, throttle->entries);
    free(throttle);
}

int64_t throttle_wait(struct throttle *throttle, const char *key, int64_t now_ns)
{
    struct entry *entry;
    HASH_FIND_STR(throttle->entries, key, entry);
    if (entry == NULL || entry->next_ns <= now_ns)
        return 0;
    return entry->next_ns - now_ns;
}

void throttle_failed(struct throttle *throttle, const char *key, int free_failures, int64_t now_ns)
{
    struct entry *entry;
    HASH_FIND_STR(throttle->entries, key, entry);
    int failures = entry != NULL && now_ns - entry->last_ns < FORGET_NS ? entry->failures : 0;
    /* Taken out and put back last, so that the first is the one idle longest. */
    if (entry != NULL)
        HASH_DEL(throttle->entries, entry);
    else {
        if (HASH_COUNT(throttle->entries) >= KEYS_MAX)
            remove_entry(throttle, throttle->entries);
        entry = mem_new(struct entry);
        entry->key = mem_strdup(key);
    }
    entry->failures = failures + 1;
    entry->last_ns = now_ns;
    int over = entry->failures - free_failures;
    int64_t delay = over <= 0 ? 0 : over > 8 ? DELAY_MAX_S : (int64_t)1 << (over - 1);
    if (delay > DELAY_MAX_S)
        delay = DELAY_MAX_S;
    entry->next_ns = now_ns + delay * NS_PER_SEC;
    HASH_ADD_KEYPTR(hh, throttle->entries, entry->key, strlen(entry->key), entry);
}

void throttle_succeeded(struct throttle *throttle, const char *key)
{
    struct entry *entry;
    HASH_FIND_STR(throttle->entries, key, entry);
    if (entry != NULL)
        remove_entry(throttle, entry);
}
