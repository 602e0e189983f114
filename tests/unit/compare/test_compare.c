#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "tabique/compare.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OTHER "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"

static struct process *add(struct process_list *list, pid_t pid, pid_t inner, uint64_t ticks,
                           const char *name, const char *container)
{
    struct process *process = process_list_add(list);

    process->pid = pid;
    process->inner_pid = inner;
    process->start_ticks = ticks;
    process->user = strdup("root");
    process->command = strdup(name);
    snprintf(process->name, sizeof(process->name), "%s", name);
    snprintf(process->container_id, sizeof(process->container_id), "%s",
             container ? container : "");
    process->worker = container && strcmp(name, "vmwp") == 0;
    return process;
}

static const struct compare_boundary shared = {.container_name = "web"};
static const struct compare_boundary kvm = {true, "kvm", true, "web"};
static const struct compare_boundary tcg = {true, "tcg", false, "web"};

static struct process_list *host(void)
{
    struct process_list *list = process_list_new(4);

    add(list, 1, 1, 1, "systemd", NULL);
    add(list, 3964, 1, 100, "ping", ID);
    add(list, 4000, 1, 50, "nginx", OTHER);
    add(list, 4100, 4100, 60, "bash", NULL);
    list->sampled_ns = 5;
    return list;
}

/* The reference page's first half: one ping, the same on both sides. */
static void same(void **state)
{
    CLEANUP(process_list_unrefp) struct process_list *list = host();
    CLEANUP(comparison_freep) struct comparison *c = NULL;

    assert_int_equal(compare_processes(ID, NULL, list, &shared, false, &c), 0);
    assert_int_equal(c->count, 1);
    assert_int_equal(c->same, 1);
    assert_int_equal(c->host_only, 0);
    assert_int_equal(c->rows[0].relation, COMPARE_SAME);
    assert_int_equal(c->rows[0].host->pid, 3964);
    assert_int_equal(c->rows[0].container->inner_pid, 1);
    assert_null(c->worker);
    assert_int_equal(c->sampled_ns, 5);
    assert_string_equal(c->explanation_key, "same");
    assert_string_equal(
        c->explanation,
        "Container web shares the kernel of the host: its process ping is one and the same "
        "on both sides, number 1 inside and number 3964 on the host.");
}

static void whole_host(void **state)
{
    CLEANUP(process_list_unrefp) struct process_list *list = host();
    CLEANUP(comparison_freep) struct comparison *c = NULL;

    assert_int_equal(compare_processes(ID, NULL, list, &shared, true, &c), 0);
    assert_int_equal(c->count, 4);
    assert_int_equal(c->host_only, 3);
    assert_int_equal(c->rows[0].relation, COMPARE_SAME);
    assert_int_equal(c->rows[1].host->pid, 1);
    assert_int_equal(c->rows[2].host->pid, 4000);
    assert_string_equal(c->explanation_key, "same-host");
    assert_non_null(strstr(c->explanation, "The host's 3 other processes are shown as well"));
}

static void several(void **state)
{
    CLEANUP(process_list_unrefp) struct process_list *list = process_list_new(2);
    CLEANUP(comparison_freep) struct comparison *c = NULL;

    /* init has the higher number on the host: pids went round */
    add(list, 100, 7, 300, "sh", ID);
    add(list, 9000, 1, 200, "init", ID);
    assert_int_equal(compare_processes(ID, NULL, list, &shared, false, &c), 0);
    assert_int_equal(c->same, 2);
    assert_int_equal(c->rows[0].container->inner_pid, 1);
    assert_non_null(
        strstr(c->explanation, "its 2 processes are one and the same on both sides, only"));
    comparison_freep(&c);
    /* --pid=host */
    list->items[0].inner_pid = 100;
    list->items[1].inner_pid = 9000;
    assert_int_equal(compare_processes(ID, NULL, list, &shared, false, &c), 0);
    assert_null(strstr(c->explanation, "numbered anew"));
}

/* Two looks, a moment apart: one died, one was born, one number was used again. */
static void moving(void **state)
{
    CLEANUP(process_list_unrefp) struct process_list *before = process_list_new(3);
    CLEANUP(process_list_unrefp) struct process_list *after = process_list_new(3);
    CLEANUP(comparison_freep) struct comparison *c = NULL;

    add(before, 10, 1, 1, "init", ID);
    add(before, 11, 2, 2, "gone", ID);
    add(before, 12, 3, 3, "old", ID);
    add(after, 10, 1, 1, "init", ID);
    add(after, 12, 9, 8, "again", ID);
    add(after, 13, 4, 9, "new", ID);
    assert_int_equal(compare_processes(ID, before, after, &shared, false, &c), 0);
    assert_int_equal(c->same, 1);
    assert_int_equal(c->container_only, 2);
    assert_int_equal(c->host_only, 2);
    assert_string_equal(c->explanation_key, "same-moving");
    assert_non_null(strstr(c->explanation, "4 were born or ended"));
}

static void empty(void **state)
{
    CLEANUP(process_list_unrefp) struct process_list *list = process_list_new(1);
    CLEANUP(comparison_freep) struct comparison *c = NULL;

    assert_int_equal(compare_processes(ID, NULL, list, &shared, false, &c), 0);
    assert_int_equal(c->count, 0);
    assert_string_equal(c->explanation_key, "empty");
    assert_non_null(strstr(c->explanation, "is not running"));
    comparison_freep(&c);
    assert_int_equal(compare_processes(ID, NULL, NULL, &kvm, true, &c), 0);
    assert_string_equal(c->explanation_key, "empty-host");
}

/* The page's second half: no ping on the host, but its worker. */
static void machine(void **state)
{
    CLEANUP(process_list_unrefp) struct process_list *list = host();
    CLEANUP(process_list_unrefp) struct process_list *guest = process_list_new(1);
    CLEANUP(comparison_freep) struct comparison *c = NULL;

    add(guest, 1732, 1732, 77, "ping", ID);
    add(list, 2376, 2376, 88, "vmwp", ID);
    add(list, 2377, 2377, 88, "vmwp", OTHER);
    process_list_sort(list);
    assert_int_equal(compare_processes(ID, guest, list, &kvm, false, &c), 0);
    assert_int_equal(c->count, 2);
    assert_int_equal(c->rows[0].relation, COMPARE_CONTAINER_ONLY);
    assert_int_equal(c->rows[0].container->pid, 1732);
    assert_null(c->rows[0].host);
    assert_int_equal(c->rows[1].relation, COMPARE_WORKER);
    assert_int_equal(c->worker->pid, 2376);
    assert_string_equal(c->explanation_key, "vm");
    assert_non_null(strstr(c->explanation, "only the worker vmwp (number 2376)"));
    assert_null(strstr(c->explanation, "security"));
    comparison_freep(&c);

    assert_int_equal(compare_processes(ID, guest, list, &tcg, true, &c), 0);
    assert_string_equal(c->explanation_key, "vm-tcg-host");
    assert_non_null(strstr(c->explanation, "not a security boundary"));
    /* 3964 has the container's id and is no worker: the host's, here */
    assert_int_equal(c->host_only, 5);
    comparison_freep(&c);

    /* The guest's number and time may be those of a host's process: never the same. */
    guest->items[0].pid = 3964;
    guest->items[0].start_ticks = 100;
    assert_int_equal(compare_processes(ID, guest, list, &kvm, true, &c), 0);
    assert_int_equal(c->same, 0);
    assert_int_equal(c->container_only, 1);
}

static void names(void **state)
{
    assert_string_equal(compare_relation_name(COMPARE_SAME), "same");
    assert_string_equal(compare_relation_name(COMPARE_CONTAINER_ONLY), "container-only");
    assert_string_equal(compare_relation_name(COMPARE_HOST_ONLY), "host-only");
    assert_string_equal(compare_relation_name(COMPARE_WORKER), "worker");
    assert_string_equal(compare_relation_name((enum compare_relation)99), "?");
}

/* --- properties over arbitrary lists --------------------------------------------------- */

static struct process_list *arbitrary(unsigned *seed, bool guest)
{
    struct process_list *list = process_list_new(0);
    pid_t pid = 0;
    int count = rand_r(seed) % 12;

    for (int i = 0; i < count; i++) {
        pid += 1 + rand_r(seed) % 3;
        const char *container = rand_r(seed) % 2 ? ID : rand_r(seed) % 2 ? OTHER : NULL;
        add(list, pid, 1 + rand_r(seed) % 5, (uint64_t)(rand_r(seed) % 3),
            rand_r(seed) % 4 ? "x" : "vmwp", guest ? ID : container);
    }
    return list;
}

static void properties(void **state)
{
    for (unsigned round = 0; round < 5000; round++) {
        unsigned seed = round;
        CLEANUP(process_list_unrefp) struct process_list *on_host = arbitrary(&seed, false);
        CLEANUP(process_list_unrefp) struct process_list *inside = arbitrary(&seed, true);
        CLEANUP(comparison_freep) struct comparison *c = NULL;
        CLEANUP(comparison_freep) struct comparison *again = NULL;
        struct compare_boundary boundary = rand_r(&seed) % 2 ? shared : kvm;
        bool whole = rand_r(&seed) % 2;
        bool derived = !boundary.own_kernel && rand_r(&seed) % 2;
        size_t counts[4] = {0};

        compare_processes(ID, derived ? NULL : inside, on_host, &boundary, whole, &c);
        compare_processes(ID, derived ? NULL : inside, on_host, &boundary, whole, &again);
        /* every process of the container in exactly one row */
        for (size_t i = 0; i < c->container_list->count; i++) {
            size_t rows = 0;
            for (size_t k = 0; k < c->count; k++)
                rows += c->rows[k].container == &c->container_list->items[i];
            assert_int_equal(rows, 1);
        }
        /* every process of the host in one row at most; in exactly one if all are asked for */
        for (size_t i = 0; i < on_host->count; i++) {
            size_t rows = 0;
            for (size_t k = 0; k < c->count; k++)
                rows += c->rows[k].host == &on_host->items[i];
            assert_true(whole ? rows == 1 : rows <= 1);
            if (!boundary.own_kernel && strcmp(on_host->items[i].container_id, ID) == 0)
                assert_int_equal(rows, 1);
        }
        for (size_t k = 0; k < c->count; k++) {
            const struct compare_row *row = &c->rows[k];
            counts[row->relation]++;
            assert_true(row->container || row->host);
            if (row->relation == COMPARE_SAME) {
                assert_false(boundary.own_kernel);
                assert_int_equal(row->container->pid, row->host->pid);
                assert_int_equal(row->container->start_ticks, row->host->start_ticks);
            }
            assert_int_equal(row->relation == COMPARE_CONTAINER_ONLY, row->host == NULL);
            assert_int_equal(row->relation == COMPARE_HOST_ONLY || row->relation == COMPARE_WORKER,
                             row->container == NULL);
            assert_int_equal(row->relation, again->rows[k].relation);
            assert_ptr_equal(row->host, again->rows[k].host);
        }
        assert_int_equal(counts[COMPARE_SAME], c->same);
        assert_int_equal(counts[COMPARE_CONTAINER_ONLY], c->container_only);
        assert_int_equal(counts[COMPARE_HOST_ONLY], c->host_only);
        assert_int_equal(counts[COMPARE_WORKER] > 0, c->worker != NULL);
        if (derived)
            assert_int_equal(c->container_only, 0);
        assert_true(strlen(c->explanation) > 20);
        assert_string_equal(c->explanation, again->explanation);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same),   cmocka_unit_test(whole_host), cmocka_unit_test(several),
        cmocka_unit_test(moving), cmocka_unit_test(empty),      cmocka_unit_test(machine),
        cmocka_unit_test(names),  cmocka_unit_test(properties),
    };

    return cmocka_run_group_tests_name("compare", tests, NULL, NULL);
}
