/* process.c - the snapshot: a counted list of processes. Owner: host.
 *
 * A list is filled by one thread and immutable from then on, so that only its
 * reference count needs to be atomic.
 */
#include "tabique/host.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct process_list *process_list_new(size_t capacity)
{
    struct process_list *list = mem_new(struct process_list);

    list->references = 1;
    list->capacity = capacity;
    if (capacity > 0)
        list->items = mem_array(capacity, sizeof(*list->items));
    return list;
}

struct process *process_list_add(struct process_list *list)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? list->capacity * 2 : 16;
        list->items = mem_grow(list->items, list->capacity, sizeof(*list->items));
    }
    struct process *process = &list->items[list->count++];
    memset(process, 0, sizeof(*process));
    return process;
}

static int compare_pid(const void *a, const void *b)
{
    const struct process *x = a, *y = b;

    return (x->pid > y->pid) - (x->pid < y->pid);
}

void process_list_sort(struct process_list *list)
{
    for (size_t i = 1; i < list->count; i++) {
        if (list->items[i - 1].pid > list->items[i].pid) {
            qsort(list->items, list->count, sizeof(*list->items), compare_pid);
            return;
        }
    }
}

struct process_list *process_list_ref(struct process_list *list)
{
    if (list)
        __atomic_add_fetch(&list->references, 1, __ATOMIC_RELAXED);
    return list;
}

void process_list_unref(struct process_list *list)
{
    if (!list || __atomic_sub_fetch(&list->references, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (size_t i = 0; i < list->count; i++)
        process_clear(&list->items[i]);
    free(list->items);
    free(list);
}

void process_list_unrefp(struct process_list **list)
{
    process_list_unref(*list);
    *list = NULL;
}

const struct process *process_list_find(const struct process_list *list, pid_t pid)
{
    size_t low = 0, high = list ? list->count : 0;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (list->items[middle].pid == pid)
            return &list->items[middle];
        if (list->items[middle].pid < pid)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

void process_clear(struct process *process)
{
    free(process->user);
    free(process->command);
    free(process->cgroup);
    memset(process, 0, sizeof(*process));
}

void process_copy(struct process *to, const struct process *from)
{
    *to = *from;
    to->user = mem_strdup(from->user);
    to->command = mem_strdup(from->command);
    to->cgroup = mem_strdup(from->cgroup);
}
