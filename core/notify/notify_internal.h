/* notify_internal.h - the notifier's parts among themselves. Internal to notify.
 *
 * Two threads: the watcher (watch.c) finds what rules ask for, the sender
 * (deliver.c) carries it to channels. They meet in the store only. Rules and
 * channels are copied out under `lock`; nothing that blocks runs with it held.
 */
#pragma once

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "tabique/notify.h"
#include "tabique/store.h"

struct event;

/* --- kinds.c: the table of what can be told, and its words ------------------------- */
enum notify_kind {
    NOTIFY_EXIT,
    NOTIFY_OOM,
    NOTIFY_UNHEALTHY,
    NOTIFY_RESTART_LOOP,
    NOTIFY_WORKER_LOST,
    NOTIFY_CPU,
    NOTIFY_MEMORY,
    NOTIFY_TEST,
    NOTIFY_KINDS,
};

enum { NOTIFY_ENGLISH, NOTIFY_SPANISH, NOTIFY_LANGUAGES };

struct notify_kind_row {
    const char *name;
    bool level;     /* looked at by the clock, not by events */
    bool lasting;   /* has an end */
    bool seconds, count, above; /* fields it takes */
    const char *text[NOTIFY_LANGUAGES]; /* {field} of the detail, {container} */
};
extern const struct notify_kind_row notify_kinds[NOTIFY_KINDS];
extern const char *const notify_languages[NOTIFY_LANGUAGES];
int notify_kind_find(const char *name); /* -1 */
/* One sentence; free(). */
char *notify_sentence(const char *kind, int language, const char *container, const cJSON *detail);

/* --- rules.c ------------------------------------------------------------------------ */
#define NOTIFY_ID_MAX 24

struct notify_rule {
    char id[NOTIFY_ID_MAX];
    char *name, *container;
    bool enabled;
    enum notify_kind kind;
    double above;
    int seconds, count, pause;
    char **channels; /* ids */
};

enum notify_channel_kind { CHANNEL_WEBHOOK, CHANNEL_MAIL };

struct notify_channel {
    char id[NOTIFY_ID_MAX];
    char *name;
    bool enabled;
    enum notify_channel_kind kind;
    int language;
    char *console_url;                  /* NULL: none */
    char *url, *secret;                 /* webhook */
    char *server, *username, *password, *from; /* mail */
    char **to;
    bool tls;
};

/* Copies, to be freed; a channel that is not there: NULL. */
struct notify_rule *notify__rules(struct notify *notify, size_t *ret_count);
void notify__rules_free(struct notify_rule *rules, size_t count);
struct notify_channel *notify__channel(struct notify *notify, const char *id);
void notify__channel_free(struct notify_channel *channel);
int notify__load(struct notify *notify, struct error *err);
void notify__unload(struct notify *notify);

/* --- watch.c --------------------------------------------------------------------------- */
void *notify__watch(void *notify);
/* Stores, publishes, wakes the sender. sequence: the event looked at, 0 none. */
int notify__raise(struct notify *notify, const struct store_notification *notification, char *const *channels,
                  uint64_t sequence, int64_t *ret_id, struct error *err);

/* --- deliver.c, message.c ---------------------------------------------------------------- */
void *notify__deliver(void *notify);
void notify__wake_sender(struct notify *notify);

/* One transfer, ready for curl; everything it needs lives in it. */
struct notify_transfer {
    struct notify_transfer *next;
    CURL *curl;
    struct curl_slist *headers, *recipients;
    curl_mime *mime;
    char *body;
    size_t answered; /* bytes of the answer, counted and dropped */
    char error[CURL_ERROR_SIZE];
    int64_t delivery;
    int attempts;
};
/* -EINVAL: this channel cannot carry it, ever. */
int notify__prepare(struct notify *notify, const struct notify_channel *channel,
                    const struct store_notification *notification, const struct store_delivery *delivery,
                    struct notify_transfer **ret, struct error *err);
void notify__transfer_free(struct notify_transfer *transfer);

struct notify {
    struct notify_options options;
    char *engine_id, *host;

    pthread_mutex_t lock; /* rules, channels */
    struct notify_rule *rules;
    size_t rule_count;
    struct notify_channel *channels;
    size_t channel_count;

    uint64_t from; /* the last event that is not looked at */
    struct event_subscriber *subscriber;
    pthread_t watcher, sender;
    bool watching, sending;
    _Atomic bool stop;
    CURLM *multi; /* the sender's, from the first delivery on */
    int wake_fd;  /* of the watcher's clock: closing wakes it at once */
    int send_fd;  /* the sender has something to look at */
};
