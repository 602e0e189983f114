/* compare.c - two process lists become one comparison. Owner: compare.
 *
 * With a shared kernel both sides are samples of one and the same list, maybe
 * taken a moment apart: rows are joined by host pid and start time. What has no
 * partner was born or died in between and is shown on its one side; nothing of
 * the container is ever left out, on either.
 */
#include "tabique/compare.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"
#include "compare_internal.h"

const char *compare_relation_name(enum compare_relation relation)
{
    static const char *const names[] = {
        [COMPARE_SAME] = "same",
        [COMPARE_CONTAINER_ONLY] = "container-only",
        [COMPARE_HOST_ONLY] = "host-only",
        [COMPARE_WORKER] = "worker",
    };

    return (size_t)relation < ARRAY_SIZE(names) ? names[relation] : "?";
}

static void add_row(struct comparison *comparison, enum compare_relation relation,
                    const struct process *container, const struct process *host)
{
    comparison->rows[comparison->count++] =
        (struct compare_row){.relation = relation, .container = container, .host = host};
    switch (relation) {
    case COMPARE_SAME:
        comparison->same++;
        break;
    case COMPARE_CONTAINER_ONLY:
        comparison->container_only++;
        break;
    case COMPARE_HOST_ONLY:
        comparison->host_only++;
        break;
    case COMPARE_WORKER:
        break;
    }
}

/* Same and container-only stand in the order of the numbers seen inside (init
 * first); the others in that of the host's. */
static pid_t order_pid(const struct compare_row *row)
{
    if (!row->container)
        return row->host->pid;
    return row->container->inner_pid > 0 ? row->container->inner_pid : row->container->pid;
}

static int compare_rows(const void *a, const void *b)
{
    static const int rank[] = {
        [COMPARE_SAME] = 0,
        [COMPARE_CONTAINER_ONLY] = 1,
        [COMPARE_WORKER] = 2,
        [COMPARE_HOST_ONLY] = 3,
    };
    const struct compare_row *x = a, *y = b;

    if (x->relation != y->relation)
        return rank[x->relation] - rank[y->relation];
    pid_t p = order_pid(x), q = order_pid(y);
    if (p != q)
        return p < q ? -1 : 1;
    /* Inner numbers repeat across nested namespaces; the rest makes it total. */
    const struct process *c = x->container ? x->container : x->host;
    const struct process *d = y->container ? y->container : y->host;
    if (c->pid != d->pid)
        return c->pid < d->pid ? -1 : 1;
    return (c->start_ticks > d->start_ticks) - (c->start_ticks < d->start_ticks);
}

static bool is_same(const struct process *a, const struct process *b)
{
    return a && b && a->pid == b->pid && a->start_ticks == b->start_ticks;
}

static struct process_list *subset(const struct process_list *host, const char *container_id)
{
    struct process_list *list = process_list_new(8);

    list->sampled_ns = host->sampled_ns;
    list->sequence = host->sequence;
    for (size_t i = 0; i < host->count; i++) {
        if (str_equal(host->items[i].container_id, container_id))
            process_copy(process_list_add(list), &host->items[i]);
    }
    return list;
}

static void join_shared(struct comparison *comparison, const char *container_id, bool whole_host)
{
    const struct process_list *container = comparison->container_list;
    const struct process_list *host = comparison->host_list;

    for (size_t i = 0; i < container->count; i++) {
        const struct process *inside = &container->items[i];
        const struct process *outside = process_list_find(host, inside->pid);

        if (is_same(inside, outside))
            add_row(comparison, COMPARE_SAME, inside, outside);
        else
            add_row(comparison, COMPARE_CONTAINER_ONLY, inside, NULL);
    }
    for (size_t i = 0; i < host->count; i++) {
        const struct process *outside = &host->items[i];

        if (is_same(outside, process_list_find(container, outside->pid)))
            continue;
        if (whole_host || str_equal(outside->container_id, container_id))
            add_row(comparison, COMPARE_HOST_ONLY, NULL, outside);
    }
}

static void join_own_kernel(struct comparison *comparison, const char *container_id,
                            bool whole_host)
{
    const struct process_list *container = comparison->container_list;
    const struct process_list *host = comparison->host_list;

    for (size_t i = 0; i < container->count; i++)
        add_row(comparison, COMPARE_CONTAINER_ONLY, &container->items[i], NULL);
    for (size_t i = 0; i < host->count; i++) {
        const struct process *outside = &host->items[i];

        if (outside->worker && str_equal(outside->container_id, container_id)) {
            if (!comparison->worker)
                comparison->worker = outside;
            add_row(comparison, COMPARE_WORKER, NULL, outside);
        } else if (whole_host) {
            add_row(comparison, COMPARE_HOST_ONLY, NULL, outside);
        }
    }
}

int compare_processes(const char *container_id, struct process_list *container_list,
                      struct process_list *host_list, const struct compare_boundary *boundary,
                      bool whole_host, struct comparison **ret)
{
    struct comparison *comparison = mem_new(struct comparison);

    comparison->host_list = host_list ? process_list_ref(host_list) : process_list_new(0);
    if (container_list)
        comparison->container_list = process_list_ref(container_list);
    else if (boundary->own_kernel)
        comparison->container_list = process_list_new(0);
    else
        comparison->container_list = subset(comparison->host_list, container_id);
    comparison->sampled_ns =
        comparison->host_list->sampled_ns > comparison->container_list->sampled_ns
            ? comparison->host_list->sampled_ns
            : comparison->container_list->sampled_ns;
    comparison->rows =
        mem_array(comparison->host_list->count + comparison->container_list->count + 1,
                  sizeof(*comparison->rows));

    if (boundary->own_kernel)
        join_own_kernel(comparison, container_id, whole_host);
    else
        join_shared(comparison, container_id, whole_host);
    qsort(comparison->rows, comparison->count, sizeof(*comparison->rows), compare_rows);
    compare__explain(comparison, container_id, boundary, whole_host);
    *ret = comparison;
    return 0;
}

void comparison_free(struct comparison *comparison)
{
    if (!comparison)
        return;
    process_list_unref(comparison->container_list);
    process_list_unref(comparison->host_list);
    free(comparison->rows);
    free(comparison->explanation);
    free(comparison);
}

void comparison_freep(struct comparison **comparison)
{
    comparison_free(*comparison);
    *comparison = NULL;
}
