/* watch.c - finds what the rules ask for. Owner: notify.
 *
 * Events are read from the store in their order; how far is remembered, in the
 * same commit as what was found. Levels are read from the recorder's samples, so
 * a level that held over a restart of the server is found all the same. Neither
 * keeps anything in memory that the store does not have. */
#include <errno.h>
#include <fnmatch.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "notify/notify_internal.h"
#include "tabique/error.h"
#include "tabique/event.h"

#define PAGE 500
/* What happened longer ago than this is history, not news. */
#define NEWS_NS (24 * 3600 * NS_PER_SEC)

struct look {
    struct notify *notify;
    struct notify_rule *rules;
    size_t rule_count;
    uint64_t last;
    size_t read;
};

/* --- one finding ------------------------------------------------------------------------- */

static bool rule_matches(const struct notify_rule *rule, const char *container)
{
    return !rule->container[0] || fnmatch(rule->container, container, 0) == 0;
}

struct last {
    int64_t time_ns;
    bool open;
};

static int keep_last(void *user, const struct store_notification *notification)
{
    *(struct last *)user = (struct last){notification->time_ns, notification->lasting && !notification->ended_ns};
    return 1;
}

/* Told already: it lasts still, or it is too soon to say it again. */
static bool told(struct notify *notify, const struct notify_rule *rule, const char *container_id, int64_t time_ns)
{
    const struct store_notification_query query = {.rule = rule->id, .container_id = container_id, .limit = 1};
    struct last last = {0};

    if (store_notifications(notify->options.store, &query, keep_last, &last, NULL) < 0 || !last.time_ns)
        return false;
    return last.open || time_ns - last.time_ns < rule->pause * NS_PER_SEC;
}

static void tell(struct notify *notify, const struct notify_rule *rule, const char *container_id, const char *name,
                 int64_t time_ns, uint64_t sequence, cJSON *detail)
{
    CLEANUP_FREE char *text = json_print(detail);
    struct error err = ERROR_INIT;
    const struct store_notification notification = {
        .time_ns = time_ns,
        .rule = rule->id,
        .rule_name = rule->name,
        .kind = notify_kinds[rule->kind].name,
        .container_id = container_id,
        .container = name,
        .detail = text,
        .lasting = notify_kinds[rule->kind].lasting,
    };

    cJSON_Delete(detail);
    if (notify__raise(notify, &notification, rule->channels, sequence, NULL, &err) < 0)
        log_error("a notification of '%s' is lost: %s", rule->name, err.message);
}

static void tell_end(struct notify *notify, int64_t id, const char *kind, const char *container_id, const char *container,
                char *const *channels, int64_t time_ns)
{
    char text[24];
    int r = store_notification_end(notify->options.store, id, time_ns, channels);

    if (r < 0) {
        if (r != -EALREADY)
            log_error("the end of a notification is lost: %s", strerror(-r));
        return;
    }
    snprintf(text, sizeof(text), "%lld", (long long)id);
    event_publish(notify->options.bus, "notification", "ended", text, "kind", kind, "container", container_id,
                  "name", container, NULL);
    notify__wake_sender(notify);
}

/* --- events ------------------------------------------------------------------------------------ */

/* Signals that ask for something other than the end. */
static bool asks_for_end(const char *signal)
{
    static const char *const others[] = {"0", "1", "10", "12", "17", "18", "28", NULL};

    return !signal || !strv_contains((char *const *)others, signal);
}

struct before {
    bool requested;
};

static int look_back(void *user, const struct event *event)
{
    struct before *before = user;

    if (strcmp(event->action, "start") == 0)
        return 1;
    before->requested = strcmp(event->action, "kill") == 0 && asks_for_end(event_attribute(event, "signal"));
    return before->requested;
}

/* NULL: not what the rule asks for. */
static cJSON *exit_detail(const struct look *look, const struct notify_rule *rule, const struct event *event)
{
    const char *code = event_attribute(event, "exitCode");
    const struct store_event_query query = {.type = "container",
                                            .actor_id = event->actor_id,
                                            .after_sequence = event->sequence,
                                            .newest_first = true,
                                            .limit = 50};
    struct before before = {0};
    int number = 0;

    /* An error is the wall's, which a rule of its own tells. */
    if (!code || str_to_int(code, 0, 255, &number) < 0 || number == 0 || event_attribute(event, "error") ||
        store_events(look->notify->options.store, &query, look_back, &before, NULL) < 0 || before.requested)
        return NULL;
    cJSON *detail = cJSON_CreateObject();
    json_add_int(detail, "exitCode", number);
    return detail;
}

/* Ends that nobody asked for. */
struct ends {
    int count;
    bool requested;
};

static int count_end(void *user, const struct event *event)
{
    struct ends *ends = user;

    if (strcmp(event->action, "start") == 0)
        ends->requested = false;
    else if (strcmp(event->action, "kill") == 0 && asks_for_end(event_attribute(event, "signal")))
        ends->requested = true;
    else if (strcmp(event->action, "die") == 0)
        ends->count += !ends->requested;
    return 0;
}

static cJSON *loop_detail(const struct look *look, const struct notify_rule *rule, const struct event *event)
{
    const struct store_event_query query = {.type = "container",
                                            .actor_id = event->actor_id,
                                            .since_ns = event->time_ns - rule->seconds * NS_PER_SEC,
                                            .until_ns = event->time_ns + 1};
    struct ends ends = {0};

    if (store_events(look->notify->options.store, &query, count_end, &ends, NULL) < 0 || ends.count < rule->count)
        return NULL;
    cJSON *detail = cJSON_CreateObject();
    json_add_int(detail, "count", ends.count);
    json_add_int(detail, "seconds", rule->seconds);
    return detail;
}

static cJSON *lost_detail(const struct look *look, const struct notify_rule *rule, const struct event *event)
{
    const char *reason = event_attribute(event, "error");

    if (!reason)
        return NULL;
    cJSON *detail = cJSON_CreateObject();
    json_add_string(detail, "reason", reason);
    return detail;
}

static cJSON *no_detail(const struct look *look, const struct notify_rule *rule, const struct event *event)
{
    return cJSON_CreateObject();
}

static const struct {
    const char *type, *action;
    enum notify_kind kind;
    cJSON *(*detail)(const struct look *look, const struct notify_rule *rule, const struct event *event);
} begins[] = {
    {"container", "die", NOTIFY_EXIT, exit_detail},
    {"container", "die", NOTIFY_RESTART_LOOP, loop_detail},
    {"container", "oom", NOTIFY_OOM, no_detail},
    {"container", "health_status: unhealthy", NOTIFY_UNHEALTHY, no_detail},
    {"container", "die", NOTIFY_WORKER_LOST, lost_detail},
};

static const struct {
    const char *type, *action;
    enum notify_kind kind;
} ends[] = {
    {"container", "health_status: healthy", NOTIFY_UNHEALTHY},
    {"container", "die", NOTIFY_UNHEALTHY},
    {"container", "destroy", NOTIFY_UNHEALTHY},
};

static char *const *channels_of(const struct look *look, const char *rule)
{
    for (size_t i = 0; i < look->rule_count; i++) {
        if (strcmp(look->rules[i].id, rule) == 0)
            return look->rules[i].channels;
    }
    return NULL;
}

/* Open notifications, copied: they are ended after the query that found them. */
struct open {
    int64_t id;
    char rule[NOTIFY_ID_MAX], kind[NOTIFY_ID_MAX], container_id[72];
    char *container;
    bool holds;
};
struct open_list {
    struct open *items;
    size_t count;
};

static int collect_open(void *user, const struct store_notification *notification)
{
    struct open_list *list = user;

    list->items = mem_grow(list->items, list->count + 1, sizeof(*list->items));
    struct open *open = &list->items[list->count++];
    *open = (struct open){.id = notification->id, .container = mem_strdup(notification->container)};
    snprintf(open->rule, sizeof(open->rule), "%s", notification->rule);
    snprintf(open->kind, sizeof(open->kind), "%s", notification->kind);
    snprintf(open->container_id, sizeof(open->container_id), "%s", notification->container_id);
    return 0;
}

static void open_list_free(struct open_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i].container);
    free(list->items);
}

static void end_all(const struct look *look, enum notify_kind kind, const struct event *event)
{
    const struct store_notification_query query = {
        .kind = notify_kinds[kind].name, .container_id = event->actor_id, .open = true};
    CLEANUP(open_list_free) struct open_list list = {0};

    (void)store_notifications(look->notify->options.store, &query, collect_open, &list, NULL);
    for (size_t i = 0; i < list.count; i++) {
        const struct open *open = &list.items[i];
        tell_end(look->notify, open->id, open->kind, open->container_id, open->container,
            channels_of(look, open->rule), event->time_ns);
    }
}

static int on_event(void *user, const struct event *event)
{
    struct look *look = user;
    const char *name = event_attribute(event, "name");

    look->last = event->sequence;
    look->read++;
    for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
        if (strcmp(event->type, ends[i].type) == 0 && strcmp(event->action, ends[i].action) == 0)
            end_all(look, ends[i].kind, event);
    }
    if (event->time_ns < clock_real_ns() - NEWS_NS)
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(begins); i++) {
        if (strcmp(event->type, begins[i].type) != 0 || strcmp(event->action, begins[i].action) != 0)
            continue;
        for (size_t j = 0; j < look->rule_count; j++) {
            const struct notify_rule *rule = &look->rules[j];
            if (!rule->enabled || rule->kind != begins[i].kind || !rule_matches(rule, name ? name : "") ||
                told(look->notify, rule, event->actor_id, event->time_ns))
                continue;
            cJSON *detail = begins[i].detail(look, rule, event);
            if (detail)
                tell(look->notify, rule, event->actor_id, name ? name : "", event->time_ns, event->sequence, detail);
        }
    }
    return 0;
}

static void look_at_events(struct notify *notify, uint64_t *last)
{
    struct look look = {.notify = notify, .last = *last};

    look.rules = notify__rules(notify, &look.rule_count);
    do {
        const struct store_event_query query = {.after_sequence = look.last, .limit = PAGE};
        look.read = 0;
        if (store_events(notify->options.store, &query, on_event, &look, NULL) < 0)
            break;
    } while (look.read == PAGE && !atomic_load(&notify->stop));
    *last = look.last;
    notify__rules_free(look.rules, look.rule_count);
}

/* --- levels --------------------------------------------------------------------------------------- */

struct running {
    char id[72];
    char *name;
    uint64_t memory_limit;
};
struct running_list {
    struct running *items;
    size_t count;
};

static int collect_running(void *user, const struct notify_container *container)
{
    struct running_list *list = user;

    list->items = mem_grow(list->items, list->count + 1, sizeof(*list->items));
    struct running *running = &list->items[list->count++];
    *running = (struct running){.name = mem_strdup(container->name), .memory_limit = container->memory_limit};
    snprintf(running->id, sizeof(running->id), "%s", container->id);
    return 0;
}

static void running_list_free(struct running_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i].name);
    free(list->items);
}

struct level {
    enum notify_kind kind;
    double memory_limit;
    size_t count;
    double sum, least, latest;
    int64_t first_ns, last_ns, span_ns;
};

static int add_sample(void *user, const struct store_sample *sample)
{
    struct level *level = user;
    double value = level->kind == NOTIFY_CPU ? sample->cpu_percent
                   : level->memory_limit > 0 ? (double)sample->memory_bytes * 100 / level->memory_limit
                                             : 0;

    if (level->count++ == 0) {
        level->least = value;
        level->first_ns = sample->time_ns;
    }
    if (value < level->least)
        level->least = value;
    level->sum += value;
    level->latest = value;
    level->last_ns = sample->time_ns;
    level->span_ns = sample->span_ns;
    return 0;
}

/* Over the last `seconds`; false: not enough is known. */
static bool measure(struct notify *notify, const struct notify_rule *rule, const struct running *running,
                    int64_t now_ns, int64_t span_ns, struct level *ret)
{
    /* Some sixty points whatever the span: a day of seconds would not be. */
    int64_t step_ns = span_ns / 60 > NS_PER_SEC ? span_ns / 60 : NS_PER_SEC;

    *ret = (struct level){.kind = rule->kind,
                          .memory_limit = (double)(running->memory_limit ? running->memory_limit
                                                                         : notify->options.host_memory)};
    if (store_samples(notify->options.store, running->id, now_ns - span_ns, now_ns, step_ns, add_sample, ret, NULL) < 0)
        return false;
    int64_t slack_ns = 2 * ret->span_ns + 5 * NS_PER_SEC;
    return ret->count > 0 && ret->first_ns <= now_ns - span_ns + slack_ns && ret->last_ns >= now_ns - slack_ns;
}

static struct open *find_open(struct open_list *list, const char *rule, const char *container_id)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i].rule, rule) == 0 && strcmp(list->items[i].container_id, container_id) == 0)
            return &list->items[i];
    }
    return NULL;
}

#define LATEST_NS (10 * NS_PER_SEC)

static void look_at_level(struct notify *notify, const struct notify_rule *rule, const struct running *running,
                          struct open *open, int64_t now_ns)
{
    struct level level;

    if (open) {
        /* Nothing known (a stalled guest) is no sign of an end. */
        open->holds = !measure(notify, rule, running, now_ns, LATEST_NS, &level) || level.latest > rule->above;
        return;
    }
    if (!measure(notify, rule, running, now_ns, rule->seconds * NS_PER_SEC, &level) || level.least <= rule->above ||
        told(notify, rule, running->id, now_ns))
        return;
    cJSON *detail = cJSON_CreateObject();
    json_add_number(detail, "percent", (double)(int64_t)(level.sum / (double)level.count * 10 + 0.5) / 10);
    json_add_number(detail, "above", rule->above);
    json_add_int(detail, "seconds", rule->seconds);
    tell(notify, rule, running->id, running->name, now_ns, 0, detail);
}

static void look_at_levels(struct notify *notify)
{
    const struct store_notification_query query = {.open = true};
    struct look look = {.notify = notify};
    CLEANUP(running_list_free) struct running_list running = {0};
    CLEANUP(open_list_free) struct open_list open = {0};
    int64_t now_ns = clock_real_ns();

    look.rules = notify__rules(notify, &look.rule_count);
    if (notify->options.containers)
        (void)notify->options.containers(notify->options.user, collect_running, &running);
    (void)store_notifications(notify->options.store, &query, collect_open, &open, NULL);
    for (size_t i = 0; i < look.rule_count; i++) {
        const struct notify_rule *rule = &look.rules[i];
        if (!rule->enabled || !notify_kinds[rule->kind].level)
            continue;
        for (size_t j = 0; j < running.count && !atomic_load(&notify->stop); j++) {
            if (rule_matches(rule, running.items[j].name))
                look_at_level(notify, rule, &running.items[j], find_open(&open, rule->id, running.items[j].id),
                              now_ns);
        }
    }
    /* Also of containers that no longer run and rules that are gone. */
    for (size_t i = 0; i < open.count && !atomic_load(&notify->stop); i++) {
        const struct open *item = &open.items[i];
        int kind = notify_kind_find(item->kind);
        if (kind >= 0 && notify_kinds[kind].level && !item->holds)
            tell_end(notify, item->id, item->kind, item->container_id, item->container, channels_of(&look, item->rule),
                now_ns);
    }
    notify__rules_free(look.rules, look.rule_count);
}

/* --- the thread ------------------------------------------------------------------------------------- */

/* Until an event came, the tick is due, or the end. */
static void wait(struct notify *notify, int64_t due_ns)
{
    struct pollfd fds[] = {{.fd = event_subscriber_fd(notify->subscriber), .events = POLLIN},
                           {.fd = notify->wake_fd, .events = POLLIN}};
    int64_t left_ns = due_ns - clock_mono_ns();

    if (left_ns > 0)
        (void)poll(fds, ARRAY_SIZE(fds), (int)(left_ns / NS_PER_MS) + 1);
    for (;;) {
        CLEANUP(event_unrefp) struct event *event = NULL;
        int r = event_next(notify->subscriber, 0, &event);
        if (r == -EPIPE && !atomic_load(&notify->stop)) {
            /* Too slow for its queue. Nothing is lost: the store has it all. */
            event_unsubscribe(notify->subscriber);
            notify->subscriber = event_subscribe(notify->options.bus, 0);
            (void)poll(&fds[1], 1, 100);
        }
        if (r < 0)
            return;
    }
}

void *notify__watch(void *user)
{
    struct notify *notify = user;
    struct store *store = notify->options.store;
    uint64_t seen = store_notification_sequence(store), last = notify->from;
    int64_t due_ns = clock_mono_ns() + notify->options.tick_ns;

    while (!atomic_load(&notify->stop)) {
        look_at_events(notify, &last);
        if (clock_mono_ns() >= due_ns) {
            look_at_levels(notify);
            if (last != seen && store_notification_seen(store, last) == 0)
                seen = last;
            due_ns = clock_mono_ns() + notify->options.tick_ns;
        }
        wait(notify, due_ns);
    }
    if (last != seen)
        (void)store_notification_seen(store, last);
    return NULL;
}
