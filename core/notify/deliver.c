/* deliver.c - carries notifications to channels, and tries again. Owner: notify.
 *
 * One thread, several transfers at once: a receiver that hangs holds up nobody.
 * What is under way is marked in memory only; a server that ends meanwhile finds
 * it pending and sends it again. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "notify/notify_internal.h"
#include "tabique/error.h"

#define TRANSFERS_MAX 8
#define DUE_MAX 64
#define IDLE_MS 60000

/* Distances between attempts, as multiples of options.retry_ns: with its default
 * 10 s, 1 min, 5 min, 30 min, 2 h, 6 h. */
static const int distances[] = {1, 6, 30, 180, 720, 2160};

struct due {
    struct notify *notify;
    struct notify_transfer **active;
    size_t count;
    struct store_delivery items[DUE_MAX];
    char channels[DUE_MAX][NOTIFY_ID_MAX];
};

static bool is_active(const struct notify_transfer *active, int64_t delivery)
{
    while (active && active->delivery != delivery)
        active = active->next;
    return active != NULL;
}

static int collect_due(void *user, const struct store_delivery *delivery)
{
    struct due *due = user;

    if (is_active(*due->active, delivery->id))
        return 0;
    due->items[due->count] = *delivery;
    snprintf(due->channels[due->count], NOTIFY_ID_MAX, "%s", delivery->channel);
    due->items[due->count].channel = due->channels[due->count];
    return ++due->count == DUE_MAX;
}

static void settle(struct notify *notify, int64_t id, int attempts, bool delivered, bool final, int status,
                   const char *error)
{
    int64_t now_ns = clock_real_ns();
    bool again = !delivered && !final && attempts <= (int)ARRAY_SIZE(distances);
    const struct store_delivery delivery = {
        .id = id,
        .state = delivered ? "delivered" : again ? "pending" : "failed",
        .attempts = attempts,
        .next_ns = again ? now_ns + distances[attempts - 1] * notify->options.retry_ns : 0,
        .last_ns = now_ns,
        .status = status,
        .error = error,
    };
    int r = store_delivery_update(notify->options.store, &delivery);

    if (r < 0 && r != -ENOENT)
        log_error("a delivery's outcome is lost: %s", strerror(-r));
}

struct start {
    struct notify *notify;
    const struct store_delivery *delivery;
    struct notify_channel *channel;
    struct notify_transfer *transfer;
    int r;
    struct error err;
};

static int prepare(void *user, const struct store_notification *notification)
{
    struct start *start = user;

    start->r = notify__prepare(start->notify, start->channel, notification, start->delivery, &start->transfer,
                               &start->err);
    return 1;
}

/* false: it came to its end without a transfer. */
static bool begin(struct notify *notify, const struct store_delivery *delivery, struct notify_transfer **active)
{
    const struct store_notification_query query = {.id = delivery->notification, .limit = 1};
    struct start start = {.notify = notify, .delivery = delivery, .r = -ENOENT};

    start.channel = notify__channel(notify, delivery->channel);
    if (!start.channel)
        error_set(&start.err, ENOENT, "the channel is gone");
    else if (!start.channel->enabled)
        error_set(&start.err, ENOENT, "the channel is switched off");
    else {
        error_set(&start.err, ENOENT, "the notification is gone"); /* unless it is found */
        (void)store_notifications(notify->options.store, &query, prepare, &start, NULL);
    }
    notify__channel_free(start.channel);
    if (start.r < 0) {
        settle(notify, delivery->id, delivery->attempts + 1, false, true, 0, start.err.message);
        return false;
    }
    struct notify_transfer *transfer = start.transfer;
    if (!notify->multi)
        notify->multi = curl_multi_init();
    if (!notify->multi) {
        notify__transfer_free(transfer);
        settle(notify, delivery->id, delivery->attempts + 1, false, false, 0, "libcurl does not start");
        return false;
    }
    transfer->delivery = delivery->id;
    transfer->attempts = delivery->attempts + 1;
    transfer->next = *active;
    *active = transfer;
    curl_easy_setopt(transfer->curl, CURLOPT_PRIVATE, transfer);
    curl_multi_add_handle(notify->multi, transfer->curl);
    return true;
}

static size_t count_of(const struct notify_transfer *active)
{
    size_t count = 0;

    for (; active; active = active->next)
        count++;
    return count;
}

static void begin_due(struct notify *notify, struct notify_transfer **active)
{
    size_t room = TRANSFERS_MAX - count_of(*active);
    struct due due = {.notify = notify, .active = active};
    const struct store_delivery_query query = {.due_ns = clock_real_ns(), .limit = DUE_MAX + TRANSFERS_MAX};

    if (room == 0 || store_deliveries(notify->options.store, &query, collect_due, &due, NULL) < 0)
        return;
    for (size_t i = 0; i < due.count && room > 0; i++)
        room -= begin(notify, &due.items[i], active);
}

static void finish(struct notify *notify, struct notify_transfer **active, CURLMsg *message)
{
    struct notify_transfer *transfer = NULL;
    long status = 0;
    CURLcode code = message->data.result;

    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
    curl_easy_getinfo(message->easy_handle, CURLINFO_RESPONSE_CODE, &status);
    bool delivered = code == CURLE_OK && status >= 200 && status < 300;
    CLEANUP_FREE char *error = delivered         ? NULL
                               : code != CURLE_OK ? mem_strdup(transfer->error[0] ? transfer->error
                                                                                  : curl_easy_strerror(code))
                                                  : mem_printf("the receiver answered %ld", status);
    if (error)
        str_make_printable(error);
    settle(notify, transfer->delivery, transfer->attempts, delivered, false, (int)status, error);
    for (struct notify_transfer **link = active; *link; link = &(*link)->next) {
        if (*link == transfer) {
            *link = transfer->next;
            break;
        }
    }
    curl_multi_remove_handle(notify->multi, transfer->curl);
    notify__transfer_free(transfer);
}

static int idle_ms(struct notify *notify)
{
    int64_t next_ns = store_delivery_next(notify->options.store);
    int64_t left_ns = next_ns - clock_real_ns();

    if (next_ns == 0 || left_ns > IDLE_MS * NS_PER_MS)
        return IDLE_MS;
    return left_ns > 0 ? (int)(left_ns / NS_PER_MS) + 1 : 0;
}

/* Until there is something to look at. libcurl is not asked before it is needed: it is
 * not even loaded until then. */
static void wait_for_news(struct notify *notify, int wait_ms)
{
    struct curl_waitfd news = {.fd = notify->send_fd, .events = CURL_WAIT_POLLIN};
    struct pollfd plain = {.fd = notify->send_fd, .events = POLLIN};
    eventfd_t value;

    if (notify->multi)
        curl_multi_poll(notify->multi, &news, 1, wait_ms, NULL);
    else
        poll(&plain, 1, wait_ms);
    (void)eventfd_read(notify->send_fd, &value);
}

void *notify__deliver(void *user)
{
    struct notify *notify = user;
    struct notify_transfer *active = NULL;

    while (!atomic_load(&notify->stop)) {
        int running = 0, left = 0;
        CURLMsg *message;

        begin_due(notify, &active);
        if (notify->multi)
            curl_multi_perform(notify->multi, &running);
        while (notify->multi && (message = curl_multi_info_read(notify->multi, &left))) {
            if (message->msg == CURLMSG_DONE)
                finish(notify, &active, message);
        }
        /* Full: nothing can begin before something ends. */
        int wait_ms = active && count_of(active) == TRANSFERS_MAX ? IDLE_MS : idle_ms(notify);
        if (active && wait_ms == 0)
            wait_ms = 50;
        wait_for_news(notify, wait_ms);
    }
    while (active) {
        struct notify_transfer *next = active->next;
        curl_multi_remove_handle(notify->multi, active->curl);
        notify__transfer_free(active);
        active = next;
    }
    return NULL;
}

void notify__wake_sender(struct notify *notify)
{
    if (notify->send_fd >= 0)
        (void)eventfd_write(notify->send_fd, 1);
}
