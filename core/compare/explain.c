/* explain.c - what one sees, and why, in a sentence or two. Owner: compare.
 *
 * English here; explanation_key names the case for the console's translations,
 * which find their numbers and names in the comparison itself (summary, worker,
 * the first row).
 */
#include "compare_internal.h"

#include "base/mem.h"
#include "base/str.h"

static const char *plural(size_t n, const char *one, const char *many)
{
    return n == 1 ? one : many;
}

static void say_who(struct str *out, const struct compare_boundary *boundary)
{
    if (boundary->container_name && boundary->container_name[0])
        str_printf(out, "Container %s", boundary->container_name);
    else
        str_append(out, "The container");
}

static pid_t inner_number(const struct process *process)
{
    return process->inner_pid > 0 ? process->inner_pid : process->pid;
}

static void explain_shared(struct str *out, const struct comparison *comparison,
                           const struct compare_boundary *boundary)
{
    say_who(out, boundary);
    if (comparison->same == 1) {
        const struct compare_row *row = &comparison->rows[0]; /* "same" sorts first */
        pid_t inner = inner_number(row->container);

        str_printf(
            out,
            " shares the kernel of the host: its process %s is one and the same on both sides, ",
            row->host->name);
        if (inner == row->host->pid)
            str_printf(out, "number %d in either view.", row->host->pid);
        else
            str_printf(out, "number %d inside and number %d on the host.", inner, row->host->pid);
    } else if (comparison->same > 0) {
        bool renumbered = false;

        for (size_t i = 0; i < comparison->same && !renumbered; i++)
            renumbered =
                inner_number(comparison->rows[i].container) != comparison->rows[i].host->pid;
        str_printf(out,
                   " shares the kernel of the host: its %zu processes are one and the same on both "
                   "sides%s.",
                   comparison->same, renumbered ? ", only numbered anew inside" : "");
    } else {
        str_append(out, " shares the kernel of the host.");
    }
}

static void explain_vm(struct str *out, const struct comparison *comparison,
                       const struct compare_boundary *boundary)
{
    say_who(out, boundary);
    str_append(out, " runs in a small virtual machine with a kernel of its own. ");
    if (comparison->container_only > 0)
        str_printf(out, "Its %s inside and cannot be found on the host",
                   comparison->container_only == 1 ? "process exists only"
                                                   : "processes exist only");
    else
        str_append(out, "It has no processes just now");
    if (comparison->worker)
        str_printf(
            out,
            "; the host sees only the worker %s (number %d), the machine around the container.",
            comparison->worker->name, comparison->worker->pid);
    else
        str_append(out, "; its worker is not running on the host.");
}

/* Rows of the container's own that only one of the two samples has. */
static size_t count_one_sided(const struct comparison *comparison, const char *container_id)
{
    size_t count = comparison->container_only;

    for (size_t i = 0; i < comparison->count; i++) {
        const struct compare_row *row = &comparison->rows[i];
        if (row->relation == COMPARE_HOST_ONLY && str_equal(row->host->container_id, container_id))
            count++;
    }
    return count;
}

void compare__explain(struct comparison *comparison, const char *container_id,
                      const struct compare_boundary *boundary, bool whole_host)
{
    CLEANUP_STR struct str out = STR_INIT;
    bool tcg = boundary->own_kernel && str_equal(boundary->accelerator, "tcg");
    bool empty = comparison->container_list->count == 0 && !comparison->worker;
    size_t one_sided = boundary->own_kernel ? 0 : count_one_sided(comparison, container_id);

    if (empty && one_sided == 0) {
        comparison->explanation_key = whole_host ? "empty-host" : "empty";
        say_who(&out, boundary);
        str_append(&out, " is not running: it has no processes, neither inside nor on the host.");
    } else if (boundary->own_kernel) {
        comparison->explanation_key =
            tcg ? (whole_host ? "vm-tcg-host" : "vm-tcg") : (whole_host ? "vm-host" : "vm");
        explain_vm(&out, comparison, boundary);
        if (tcg)
            str_append(&out,
                       " The machine is emulated in software (tcg): that is for compatibility "
                       "and not a security boundary.");
        else if (!boundary->security_boundary)
            str_append(&out, " This wall is not a security boundary.");
    } else {
        comparison->explanation_key = one_sided > 0
                                          ? (whole_host ? "same-moving-host" : "same-moving")
                                          : (whole_host ? "same-host" : "same");
        explain_shared(&out, comparison, boundary);
        if (one_sided > 0)
            str_printf(&out, " %zu %s born or ended between the two looks and %s on one side only.",
                       one_sided, plural(one_sided, "was", "were"),
                       plural(one_sided, "stands", "stand"));
    }
    if (whole_host && comparison->host_only > 0)
        str_printf(&out, " The host's %zu other %s shown as well; the container cannot see %s.",
                   comparison->host_only,
                   plural(comparison->host_only, "process is", "processes are"),
                   plural(comparison->host_only, "it", "them"));
    comparison->explanation = str_take(&out);
}
