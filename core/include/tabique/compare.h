/* compare.h - the product's heart: two process lists become one comparison.
 *
 * Pure: no I/O, no clock, no locks; the same inputs give the same answer, live
 * or from history. The inputs stay the caller's; the comparison keeps
 * references to both lists and points into them.
 *
 * The same process: with a shared kernel, a row of the container's list and one
 * of the host's are the same process when host pid and start time agree. With a
 * kernel of its own nothing can be the same: the container's processes are
 * "container-only", and on the host only the worker belongs to it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tabique/host.h"

enum compare_relation { COMPARE_SAME, COMPARE_CONTAINER_ONLY, COMPARE_HOST_ONLY, COMPARE_WORKER };
const char *compare_relation_name(enum compare_relation relation); /* "same", "container-only", ... */

struct compare_boundary {
    bool own_kernel;
    const char *accelerator;   /* NULL, "kvm", "mshv", "tcg" */
    bool security_boundary;
    const char *container_name;
};

struct compare_row {
    enum compare_relation relation;
    const struct process *container; /* pid and ppid as seen inside: use inner_pid where kernel is shared */
    const struct process *host;
};

struct comparison {
    struct process_list *container_list, *host_list; /* references */
    int64_t sampled_ns;
    const struct process *worker;   /* NULL without */
    size_t count;
    struct compare_row *rows;       /* same, container-only, worker, host-only; within by the
                                     * number seen inside, else by that on the host */
    size_t same, container_only, host_only;
    char *explanation;              /* one or two plain sentences, English */
    /* Stable key for translations: "same", "same-moving" (some rows were born or
     * ended between the two looks), "empty", "vm", "vm-tcg"; each with "-host"
     * behind it when the host's other processes are shown. */
    const char *explanation_key;
};

/* whole_host false leaves out the host's other processes; host_only counts the
 * rows shown. Never fails; boundary is used during the call only. Shared kernel:
 * container_list is the subset of host_list that belongs to the container (may
 * be NULL: taken from host_list by container_id). */
int compare_processes(const char *container_id, struct process_list *container_list,
                      struct process_list *host_list, const struct compare_boundary *boundary,
                      bool whole_host, struct comparison **ret);
void comparison_free(struct comparison *comparison);
void comparison_freep(struct comparison **comparison);
