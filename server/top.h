/* top.h - `docker top`: a process list as `ps` would print it, without ps.
 *
 * Docker runs the host's ps; this reads the same arguments and builds the same
 * table from struct process, so that nothing of the image's nor of the host's is
 * run. Understood: UNIX options (-e -A -a -d -f -F -l -y -w -o -p -C -u -U, grouped
 * or not), BSD ones (a u x l w c e o), --sort, --format, --forest. Columns are one
 * table in top.c. What is not known is refused, naming it, as ps does.
 * Pure. Threads: any (localtime_r).
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdint.h>

struct error;
struct process_list;

struct top_context {
    int64_t now_ns;
    uint64_t memory_total; /* for %MEM */
};

/* args NULL or "": "-ef". {"Titles":[...],"Processes":[[...]]} */
int top_table(const struct process_list *list, const char *args, const struct top_context *context,
              cJSON **ret, struct error *err);
