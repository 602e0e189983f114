/* notify.c - opening, closing, and what is asked for by hand. Owner: notify. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "notify/notify_internal.h"
#include "tabique/error.h"
#include "tabique/event.h"

#define TICK_DEFAULT_NS (10 * NS_PER_SEC)
#define RETRY_DEFAULT_NS (10 * NS_PER_SEC)

int notify_open(const struct notify_options *options, struct notify **ret, struct error *err)
{
    struct notify *notify = mem_new(struct notify);
    int r = 0;

    notify->options = *options;
    notify->engine_id = mem_strdup(options->engine_id ? options->engine_id : "");
    notify->host = mem_strdup(options->host ? options->host : "");
    if (notify->options.tick_ns <= 0)
        notify->options.tick_ns = TICK_DEFAULT_NS;
    if (notify->options.retry_ns <= 0)
        notify->options.retry_ns = RETRY_DEFAULT_NS;
    pthread_mutex_init(&notify->lock, NULL);
    notify->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    notify->send_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (notify->wake_fd < 0 || notify->send_fd < 0)
        r = error_errno(err, errno, "cannot make an eventfd");
    if (r >= 0)
        r = notify__load(notify, err);
    if (r >= 0) {
        /* A first start: what was before there were rules is not told. */
        notify->from = store_notification_sequence(options->store);
        if (notify->from == 0)
            notify->from = store_last_event_sequence(options->store);
        notify->subscriber = event_subscribe(options->bus, 0);
        notify->watching = pthread_create(&notify->watcher, NULL, notify__watch, notify) == 0;
        notify->sending = pthread_create(&notify->sender, NULL, notify__deliver, notify) == 0;
        if (!notify->watching || !notify->sending)
            r = error_set(err, EAGAIN, "cannot start the notifier's threads");
    }
    if (r < 0) {
        notify_close(notify);
        return r;
    }
    *ret = notify;
    return 0;
}

void notify_close(struct notify *notify)
{
    if (!notify)
        return;
    atomic_store(&notify->stop, true);
    if (notify->wake_fd >= 0)
        (void)eventfd_write(notify->wake_fd, 1);
    if (notify->watching)
        pthread_join(notify->watcher, NULL);
    notify__wake_sender(notify);
    if (notify->sending)
        pthread_join(notify->sender, NULL);
    if (notify->multi)
        curl_multi_cleanup(notify->multi);
    if (notify->subscriber)
        event_unsubscribe(notify->subscriber);
    notify__unload(notify);
    if (notify->wake_fd >= 0)
        close(notify->wake_fd);
    if (notify->send_fd >= 0)
        close(notify->send_fd);
    pthread_mutex_destroy(&notify->lock);
    free(notify->engine_id);
    free(notify->host);
    free(notify);
}

int notify__raise(struct notify *notify, const struct store_notification *notification, char *const *channels,
                  uint64_t sequence, int64_t *ret_id, struct error *err)
{
    char id[24];
    int64_t number = 0;
    int r = store_notification_put(notify->options.store, notification, channels, sequence, &number, err);

    if (r < 0)
        return r;
    snprintf(id, sizeof(id), "%lld", (long long)number);
    event_publish(notify->options.bus, "notification", "raised", id, "kind", notification->kind, "rule",
                  notification->rule, "ruleName", notification->rule_name, "container", notification->container_id,
                  "name", notification->container, NULL);
    notify__wake_sender(notify);
    if (ret_id)
        *ret_id = number;
    return 0;
}

struct found {
    int64_t id;
    bool delivered;
};

static int find_delivery(void *user, const struct store_delivery *delivery)
{
    *(struct found *)user = (struct found){delivery->id, strcmp(delivery->state, "delivered") == 0};
    return 1;
}

int notify_channel_test(struct notify *notify, const char *id, int64_t *ret_delivery, struct error *err)
{
    struct notify_channel *channel = notify__channel(notify, id);

    if (!channel)
        return error_set(err, ENOENT, "No such channel: %s", id);
    char *const channels[] = {channel->id, NULL};
    /* Acknowledged at once: whoever tests knows. */
    const struct store_notification notification = {
        .time_ns = clock_real_ns(),
        .rule = "",
        .rule_name = channel->name,
        .kind = notify_kinds[NOTIFY_TEST].name,
        .container_id = "",
        .container = "",
        .detail = "{}",
    };
    int64_t number = 0;
    int r = notify__raise(notify, &notification, channels, 0, &number, err);
    if (r >= 0)
        r = store_notification_acknowledge(notify->options.store, number, "", clock_real_ns(), err);
    if (r >= 0) {
        struct found found = {0};
        const struct store_delivery_query query = {.notification = number, .limit = 1};
        r = store_deliveries(notify->options.store, &query, find_delivery, &found, err);
        if (r >= 0)
            *ret_delivery = found.id;
    }
    notify__channel_free(channel);
    return r < 0 ? r : 0;
}

int notify_delivery_retry(struct notify *notify, int64_t delivery, struct error *err)
{
    struct found found = {0};
    const struct store_delivery_query query = {.id = delivery, .limit = 1};
    int r = store_deliveries(notify->options.store, &query, find_delivery, &found, err);

    if (r < 0)
        return r;
    if (found.id == 0)
        return error_set(err, ENOENT, "No such delivery: %lld", (long long)delivery);
    if (found.delivered)
        return error_set(err, EALREADY, "it has been delivered");
    const struct store_delivery again = {.id = delivery, .state = "pending", .next_ns = clock_real_ns()};
    r = store_delivery_update(notify->options.store, &again);
    if (r < 0)
        return error_errno(err, -r, "cannot repeat the delivery");
    notify__wake_sender(notify);
    return 0;
}
