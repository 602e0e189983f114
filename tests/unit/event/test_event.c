#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "tabique/event.h"

static bool readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, 0) == 1;
}

static void one(void **state)
{
    struct event_bus *bus = event_bus_new(41);
    struct event_subscriber *a = event_subscribe(bus, 0);
    struct event *event = NULL;

    assert_int_equal(event_next(a, 0, &event), -ETIMEDOUT);
    assert_false(readable(event_subscriber_fd(a)));
    event_publish(bus, "container", "start", "abc", "image", "base", "name", NULL, NULL);
    assert_true(readable(event_subscriber_fd(a)));
    assert_int_equal(event_next(a, -1, &event), 0);
    assert_false(readable(event_subscriber_fd(a)));
    assert_int_equal(event->sequence, 42);
    assert_true(event->time_ns > 0);
    assert_string_equal(event->type, "container");
    assert_string_equal(event->action, "start");
    assert_string_equal(event->actor_id, "abc");
    assert_string_equal(event_attribute(event, "image"), "base");
    assert_string_equal(event_attribute(event, "name"), "");
    assert_null(event_attribute(event, "none"));
    struct event *again = event_ref(event);
    event_unrefp(&event);
    assert_null(event);
    assert_int_equal(again->sequence, 42);
    event_unref(again);
    event_unsubscribe(a);
    event_bus_free(bus);
}

/* A slow subscriber gets what it had, in order, and is then cut off: no gap. */
static void slow_is_cut_off(void **state)
{
    struct event_bus *bus = event_bus_new(0);
    struct event_subscriber *slow = event_subscribe(bus, 3);
    struct event_subscriber *fast = event_subscribe(bus, 100);
    struct event *event = NULL;

    for (int i = 0; i < 10; i++)
        event_publish(bus, "image", "tag", "x", NULL);
    for (uint64_t i = 1; i <= 3; i++) {
        assert_int_equal(event_next(slow, 0, &event), 0);
        assert_int_equal(event->sequence, i);
        event_unref(event);
        assert_true(readable(event_subscriber_fd(slow)));
    }
    assert_int_equal(event_next(slow, 0, &event), -EPIPE);
    event_publish(bus, "image", "tag", "x", NULL);
    assert_int_equal(event_next(slow, -1, &event), -EPIPE);
    for (uint64_t i = 1; i <= 11; i++) {
        assert_int_equal(event_next(fast, 0, &event), 0);
        assert_int_equal(event->sequence, i);
        event_unref(event);
    }
    event_unsubscribe(slow);
    event_unsubscribe(fast);
    event_bus_free(bus);
}

struct sink {
    struct event_subscriber *subscriber;
    uint64_t last;
    size_t count, batches;
    bool seen_too_early;
};

static void sink_one(void *user, const struct event *event)
{
    struct sink *sink = user;

    sink->count++;
    sink->last = event->sequence;
    if (readable(event_subscriber_fd(sink->subscriber)))
        sink->seen_too_early = true;
}

static void remembered_before_seen(void **state)
{
    struct event_bus *bus = event_bus_new(0);
    struct event_subscriber *subscriber = event_subscribe(bus, 0);
    struct sink sink = {.subscriber = subscriber};
    struct event *event = NULL;

    event_bus_set_sink(bus, sink_one, &sink);
    event_publish(bus, "network", "create", "n", NULL);
    assert_int_equal(sink.count, 1);
    assert_false(sink.seen_too_early);
    assert_int_equal(event_next(subscriber, 0, &event), 0);
    event_unref(event);
    event_unsubscribe(subscriber);
    event_bus_free(bus);
}

static void sink_batch(void *user, const struct event *const *events, size_t count)
{
    struct sink *sink = user;

    /* Calls never overlap and never go back: no lock, and TSan agrees. */
    sink->batches++;
    for (size_t i = 0; i < count; i++) {
        if (events[i]->sequence != sink->last + 1)
            sink->seen_too_early = true;
        sink->last = events[i]->sequence;
        sink->count++;
    }
    usleep(200); /* a disk */
}

enum { PUBLISHERS = 8, EACH = 200 };

static void *publish(void *bus)
{
    for (int i = 0; i < EACH; i++)
        event_publish(bus, "container", "start", "id", "n", "v", NULL);
    return NULL;
}

static void *count_events(void *user)
{
    struct event_subscriber *subscriber = user;
    struct event *event = NULL;
    uint64_t last = 0;

    while (event_next(subscriber, -1, &event) == 0) {
        if (event->sequence != last + 1)
            last = UINT64_MAX / 2;
        else
            last = event->sequence;
        event_unref(event);
    }
    return (void *)(uintptr_t)last;
}

static void many_publishers(void **state)
{
    struct event_bus *bus = event_bus_new(0);
    struct event_subscriber *subscribers[3];
    struct sink sink = {0};
    pthread_t publishers[PUBLISHERS], readers[3];

    event_bus_set_batch_sink(bus, sink_batch, &sink);
    for (size_t i = 0; i < ARRAY_SIZE(readers); i++) {
        subscribers[i] = event_subscribe(bus, PUBLISHERS * EACH);
        assert_int_equal(pthread_create(&readers[i], NULL, count_events, subscribers[i]), 0);
    }
    for (size_t i = 0; i < PUBLISHERS; i++)
        assert_int_equal(pthread_create(&publishers[i], NULL, publish, bus), 0);
    for (size_t i = 0; i < PUBLISHERS; i++)
        pthread_join(publishers[i], NULL);
    event_bus_close(bus);
    for (size_t i = 0; i < ARRAY_SIZE(readers); i++) {
        void *last;
        pthread_join(readers[i], &last);
        assert_int_equal((uintptr_t)last, PUBLISHERS * EACH);
        event_unsubscribe(subscribers[i]);
    }
    assert_false(sink.seen_too_early);
    assert_int_equal(sink.count, PUBLISHERS * EACH);
    assert_true(sink.batches < sink.count); /* one write served several */
    event_bus_free(bus);
}

static void *free_bus(void *bus)
{
    event_bus_free(bus);
    return NULL;
}

static void closing(void **state)
{
    struct event_bus *bus = event_bus_new(0);
    struct event_subscriber *subscriber = event_subscribe(bus, 0);
    struct event *event = NULL;
    pthread_t thread;

    event_publish(bus, "engine", "stop", "", NULL);
    assert_int_equal(pthread_create(&thread, NULL, free_bus, bus), 0);
    assert_int_equal(event_next(subscriber, -1, &event), 0);
    event_unref(event);
    assert_int_equal(event_next(subscriber, -1, &event), -EPIPE);
    event_unsubscribe(subscriber); /* only now the bus goes */
    pthread_join(thread, NULL);
}

static void times_do_not_go_back(void **state)
{
    struct event_bus *bus = event_bus_new(0);
    struct event_subscriber *subscriber = event_subscribe(bus, 0);
    int64_t last = 0;

    for (int i = 0; i < 1000; i++)
        event_publish(bus, "a", "b", "c", NULL);
    for (int i = 0; i < 1000; i++) {
        struct event *event = NULL;
        assert_int_equal(event_next(subscriber, 0, &event), 0);
        assert_true(event->time_ns > last);
        last = event->time_ns;
        event_unref(event);
    }
    event_unsubscribe(subscriber);
    event_bus_free(bus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one),
        cmocka_unit_test(slow_is_cut_off),
        cmocka_unit_test(remembered_before_seen),
        cmocka_unit_test(many_publishers),
        cmocka_unit_test(closing),
        cmocka_unit_test(times_do_not_go_back),
    };

    return cmocka_run_group_tests_name("event", tests, NULL, NULL);
}
