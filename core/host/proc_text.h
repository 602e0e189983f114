/* proc_text.h - the texts of /proc/PID, taken apart. Internal to core/host.
 *
 * Pure functions over bytes that a process may have chosen itself (its name,
 * its command line): any input gives a value or -EINVAL, and what comes out is
 * valid UTF-8 without control characters. Sources: proc(5), cgroups(7).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tabique/host.h"

#define PROC_COMMAND_MAX 4096 /* bytes of a command line that are kept */

struct proc_stat {
    pid_t pid, ppid;
    char name[PROCESS_NAME_MAX];
    char state;
    int tty_nr;
    bool kernel_thread;
    uint64_t cpu_ticks; /* user + system */
    int threads;
    uint64_t start_ticks;
    uint64_t virtual_bytes;
    uint64_t rss_pages;
};
int proc_parse_stat(const char *text, size_t length, struct proc_stat *ret);

struct proc_status {
    uid_t uid;       /* effective */
    pid_t inner_pid; /* 0: the kernel does not say (no NSpid line) */
    int depth;       /* pid namespaces from the reader's /proc inwards; 1: the reader's own */
};
int proc_parse_status(const char *text, size_t length, struct proc_status *ret);

int proc_parse_io(const char *text, size_t length, uint64_t *ret_read, uint64_t *ret_write);

/* Bytes of smaps_rollup's "Pss:" line. */
int proc_parse_pss(const char *text, size_t length, uint64_t *ret);

/* Path in the pids (v1), else the unified, else the first hierarchy; NULL if
 * none. free(). */
char *proc_parse_cgroup(const char *text, size_t length);

/* Arguments with spaces between; NULL when empty. free(). */
char *proc_parse_command(const char *data, size_t length);

/* The 64 hex digits behind the first `prefix` in a cgroup path, where both
 * stand at component boundaries; else "". The first, since what follows is
 * below the container and of its own making. */
void proc_container_id(const char *cgroup, const char *prefix, char out[65]);
