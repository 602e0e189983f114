/* reader.h - /proc into a process_list, with a memory. Internal to core/host.
 *
 * What a process can change only by exec (name aside: command, cgroup, ids,
 * namespaces) is read once and remembered by pid and start time; a sample of a
 * known process is one read of its stat file. What was remembered is read again
 * when the name has changed, when the kernel told of an exec or a change of
 * user (process_reader_forget), and every `refresh` samples.
 *
 * Threads: one at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "tabique/host.h"

struct process_reader;

struct process_reader_options {
    const char *cgroup_prefix; /* NULL: no container ids */
    int refresh;               /* samples after which all is read again; 0: 10 */
    bool io;                   /* read I/O counters, every refresh-th sample */
};

/* proc_fd stays the caller's and open as long as the reader lives. */
struct process_reader *process_reader_new(int proc_fd,
                                          const struct process_reader_options *options);
void process_reader_free(struct process_reader *reader);
/* pids NULL: all. A pid that is not there is left out. */
int process_reader_read(struct process_reader *reader, const pid_t *pids, size_t count,
                        struct process_list **ret, struct error *err);
/* One process, whatever is remembered of it; -ESRCH. */
int process_reader_one(struct process_reader *reader, pid_t pid, struct process *ret);
/* State, number of threads and start of one process; -ESRCH. */
int process_reader_peek(struct process_reader *reader, pid_t pid, char *ret_state, int *ret_threads,
                        uint64_t *ret_start_ticks);
/* pids NULL: of all processes. */
void process_reader_forget(struct process_reader *reader, const pid_t *pids, size_t count);
