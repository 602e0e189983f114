/* The tracker with events of our making: no kernel needed but for reading the
 * processes that do exist. */
#include "changes.h"

#include "../../../core/host/connector.h"
#include "../../../core/host/tracker.h"

#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/netlink.h>

#define GHOST 4100000 /* beyond pid_max: never there */

struct fixture {
    int proc;
    struct process_reader *reader;
    struct tracker *tracker;
    struct changes changes;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    pthread_mutex_init(&f->changes.lock, NULL);
    f->proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    f->reader = process_reader_new(f->proc, &(struct process_reader_options){0});
    f->tracker = tracker_new(f->reader, changes_add, &f->changes);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    tracker_free(f->tracker);
    process_reader_free(f->reader);
    close(f->proc);
    changes_free(&f->changes);
    free(f);
    return 0;
}

static void tell(struct fixture *f, enum tracker_event_kind kind, pid_t pid, pid_t tgid, pid_t ppid)
{
    int64_t now = clock_mono_ns();
    struct tracker_event event = {
        .kind = kind, .pid = pid, .tgid = tgid, .ppid = ppid, .mono_ns = now};

    tracker_event(f->tracker, &event, now);
}

static void later(struct fixture *f)
{
    tracker_tick(f->tracker, clock_mono_ns() + 2 * TRACKER_SETTLE_NS);
}

/* One that was never to be read: it is what its parent was. */
static void too_short_to_be_read(void **state)
{
    struct fixture *f = *state;
    struct change born, died;
    struct process_list *list = process_list_new(1);
    struct process *parent = process_list_add(list);

    parent->pid = parent->inner_pid = GHOST;
    parent->start_ticks = 5;
    parent->user = strdup("app");
    parent->uid = 77;
    parent->command = strdup("make all");
    snprintf(parent->name, sizeof(parent->name), "make");
    memset(parent->container_id, 'c', 64);
    tracker_reconcile(f->tracker, list, clock_mono_ns());
    process_list_unref(list);
    assert_int_equal(changes_of(&f->changes, PROCESS_BORN, GHOST, NULL), 1);

    int64_t before = clock_real_ns();
    tell(f, TRACKER_FORK, GHOST + 1, GHOST + 1, GHOST);
    assert_int_equal(changes_of(&f->changes, PROCESS_BORN, GHOST + 1, NULL), 0);
    tell(f, TRACKER_EXIT, GHOST + 1, GHOST + 1, 0);
    assert_int_equal(changes_of(&f->changes, PROCESS_BORN, GHOST + 1, &born), 1);
    assert_int_equal(changes_of(&f->changes, PROCESS_DIED, GHOST + 1, &died), 1);
    assert_int_equal(born.process.ppid, GHOST);
    assert_int_equal(born.process.uid, 77);
    assert_string_equal(born.process.name, "make");
    assert_string_equal(born.process.command, "make all");
    assert_int_equal(born.process.container_id[63], 'c');
    assert_true(born.process.started_ns >= before - NS_PER_MS);
    assert_true(died.end_ns >= born.process.started_ns);
    assert_int_equal(died.process.start_ticks, born.process.start_ticks);
    /* and of a parent nobody knows */
    tell(f, TRACKER_FORK, GHOST + 2, GHOST + 2, GHOST + 50);
    tell(f, TRACKER_EXIT, GHOST + 2, GHOST + 2, 0);
    assert_int_equal(changes_of(&f->changes, PROCESS_DIED, GHOST + 2, &died), 1);
    assert_int_equal(died.process.ppid, GHOST + 50);
    assert_int_equal(tracker_count(f->tracker), 1);
}

static void birth_waits_for_exec_or_time(void **state)
{
    struct fixture *f = *state;
    pid_t child = start_child(NULL);
    struct change born;

    tell(f, TRACKER_FORK, child, child, getpid());
    int64_t due = tracker_tick(f->tracker, clock_mono_ns());
    assert_true(due != INT64_MAX);
    later(f);
    assert_int_equal(changes_of(&f->changes, PROCESS_BORN, child, &born), 1);
    assert_string_equal(born.process.name, "test_host_track");
    assert_int_equal(born.process.ppid, getpid());
    assert_true(tracker_tick(f->tracker, clock_mono_ns()) == INT64_MAX);
    /* an exec later: told again, the same life */
    tell(f, TRACKER_EXEC, child, child, 0);
    assert_int_equal(changes_of(&f->changes, PROCESS_BORN, child, NULL), 2);
    end_child(child);
    tell(f, TRACKER_EXIT, child, child, 0);
    assert_int_equal(changes_of(&f->changes, PROCESS_DIED, child, NULL), 1);
    tell(f, TRACKER_EXIT, child, child, 0);
    assert_int_equal(changes_of(&f->changes, PROCESS_DIED, child, NULL), 1);

    child = start_child(NULL);
    tell(f, TRACKER_FORK, child, child, getpid());
    tell(f, TRACKER_EXEC, child, child, 0);
    assert_int_equal(changes_of(&f->changes, PROCESS_BORN, child, NULL), 1);
    later(f);
    assert_int_equal(changes_of(&f->changes, PROCESS_BORN, child, NULL), 1);
    end_child(child);
}

static void threads_are_no_processes(void **state)
{
    struct fixture *f = *state;
    pid_t child = start_child(NULL);

    tell(f, TRACKER_FORK, child, child, getpid());
    later(f);
    tell(f, TRACKER_FORK, GHOST, child, child);
    assert_int_equal(tracker_count(f->tracker), 1);
    tell(f, TRACKER_EXIT, GHOST, child, 0);
    assert_int_equal(changes_of(&f->changes, PROCESS_DIED, child, NULL), 0);
    /* Its first thread "ends", but /proc has it alive: an exec by another thread. */
    tell(f, TRACKER_EXIT, child, child, 0);
    assert_int_equal(changes_of(&f->changes, PROCESS_DIED, child, NULL), 0);
    tell(f, TRACKER_EXEC, child, child, 0);
    later(f);
    assert_int_equal(changes_of(&f->changes, PROCESS_DIED, child, NULL), 0);
    end_child(child);
    tell(f, TRACKER_EXIT, child, child, 0);
    assert_int_equal(changes_of(&f->changes, PROCESS_DIED, child, NULL), 1);
}

static void number_used_again(void **state)
{
    struct fixture *f = *state;
    struct process_list *list = process_list_new(1);
    struct process *process = process_list_add(list);
    int64_t now = clock_mono_ns();
    struct timespec boot;

    clock_gettime(CLOCK_BOOTTIME, &boot);
    process->pid = GHOST;
    process->start_ticks = (uint64_t)boot.tv_sec * (uint64_t)sysconf(_SC_CLK_TCK);
    process->user = strdup("root");
    process->command = strdup("new");
    tell(f, TRACKER_FORK, GHOST, GHOST, 1);
    /* The first was forked long before the list's started. */
    struct tracker_event old = {TRACKER_FORK, GHOST + 9, GHOST + 9, 1, now - 100 * NS_PER_SEC};
    tracker_event(f->tracker, &old, now);
    process_list_add(list)->pid = GHOST + 9;
    list->items[1].start_ticks = list->items[0].start_ticks;
    list->items[1].user = strdup("root");
    list->items[1].command = strdup("new");
    tracker_reconcile(f->tracker, list, clock_mono_ns());
    assert_int_equal(changes_of(&f->changes, PROCESS_DIED, GHOST + 9, NULL), 1);
    assert_int_equal(changes_of(&f->changes, PROCESS_BORN, GHOST + 9, NULL), 2);
    /* A late exit of the former life does not end the new one. */
    struct tracker_event late = {TRACKER_EXIT, GHOST + 9, GHOST + 9, 0, now - 50 * NS_PER_SEC};
    tracker_event(f->tracker, &late, clock_mono_ns());
    assert_int_equal(changes_of(&f->changes, PROCESS_DIED, GHOST + 9, NULL), 1);
    /* Nor does a fork already known from a list begin another. */
    size_t count = tracker_count(f->tracker);
    tell(f, TRACKER_EXIT, GHOST + 9, GHOST + 9, 0);
    assert_int_equal(tracker_count(f->tracker), count - 1);
    process_list_unref(list);
}

static void lists_alone(void **state)
{
    struct fixture *f = *state;
    struct process_list *list = NULL;
    pid_t child = start_child(NULL);
    struct change change;

    assert_int_equal(process_read(f->proc, NULL, 0, &list, NULL), 0);
    tracker_reconcile(f->tracker, list, clock_mono_ns());
    assert_int_equal(tracker_count(f->tracker), list->count);
    assert_int_equal(changes_of(&f->changes, PROCESS_BORN, child, NULL), 1);
    tracker_reconcile(f->tracker, list, clock_mono_ns());
    assert_int_equal(changes_of(&f->changes, PROCESS_BORN, child, NULL), 1);
    /* another program, by its name */
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].pid == child)
            snprintf(list->items[i].name, sizeof(list->items[i].name), "other");
    }
    tracker_reconcile(f->tracker, list, clock_mono_ns());
    assert_int_equal(changes_of(&f->changes, PROCESS_BORN, child, &change), 2);
    assert_string_equal(change.process.name, "other");
    process_list_unrefp(&list);
    end_child(child);
    assert_int_equal(process_read(f->proc, NULL, 0, &list, NULL), 0);
    tracker_reconcile(f->tracker, list, clock_mono_ns());
    assert_int_equal(changes_of(&f->changes, PROCESS_DIED, child, NULL), 1);
    process_list_unref(list);
}

/* Datagrams, whole and broken. */
static void datagrams(void **state)
{
    struct nlmsghdr header = {.nlmsg_type = NLMSG_DONE};
    struct cn_msg message = {.id = {CN_IDX_PROC, CN_VAL_PROC}, .len = sizeof(struct proc_event)};
    char datagram[NLMSG_HDRLEN + sizeof(message) + sizeof(struct proc_event)];
    struct tracker_event event;

    header.nlmsg_len = sizeof(datagram);
    memcpy(datagram, &header, sizeof(header));
    memcpy(datagram + NLMSG_HDRLEN, &message, sizeof(message));
    struct proc_event inside = {.what = PROC_EVENT_FORK, .timestamp_ns = 123};
    inside.event_data.fork.child_pid = inside.event_data.fork.child_tgid = 42;
    inside.event_data.fork.parent_tgid = 7;
    memcpy(datagram + NLMSG_HDRLEN + sizeof(message), &inside, sizeof(inside));
    assert_int_equal(connector_parse(datagram, sizeof(datagram), &event), 1);
    assert_int_equal(event.kind, TRACKER_FORK);
    assert_int_equal(event.pid, 42);
    assert_int_equal(event.ppid, 7);
    assert_int_equal(event.mono_ns, 123);
    for (size_t i = 0; i < sizeof(datagram); i++) {
        char *copy = malloc(i ? i : 1);
        memcpy(copy, datagram, i);
        (void)connector_parse(copy, i, &event);
        free(copy);
    }
    message.id.idx = 99;
    memcpy(datagram + NLMSG_HDRLEN, &message, sizeof(message));
    assert_int_equal(connector_parse(datagram, sizeof(datagram), &event), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(too_short_to_be_read, setup, teardown),
        cmocka_unit_test_setup_teardown(birth_waits_for_exec_or_time, setup, teardown),
        cmocka_unit_test_setup_teardown(threads_are_no_processes, setup, teardown),
        cmocka_unit_test_setup_teardown(number_used_again, setup, teardown),
        cmocka_unit_test_setup_teardown(lists_alone, setup, teardown),
        cmocka_unit_test(datagrams),
    };

    return cmocka_run_group_tests_name("host_tracker", tests, NULL, NULL);
}
