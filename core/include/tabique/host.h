/* host.h - processes: what one is, and the host's sampler.
 *
 * A process is named by pid + start time, never by pid alone: pids are reused.
 * A process_list is an immutable, reference-counted snapshot, sorted by pid.
 *
 * One sampler serves everybody: it reads /proc at most once per interval,
 * however many ask, and not at all while nobody does (the history recorder
 * asks). Births and deaths come from the kernel's process connector
 * (CAP_NET_ADMIN) where it works, so short-lived processes are not missed;
 * else from comparing samples. sampler_source() says which.
 *
 * Everything read from /proc is hostile text (a process names itself): names
 * and command lines are kept as valid UTF-8 with control characters replaced.
 * Sources: proc(5), Documentation/driver-api/connector.rst.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct error;

#define PROCESS_NAME_MAX 64 /* comm is 15; kernel threads show more */

struct process {
    pid_t pid;              /* as its own side sees it: host pid, or guest pid */
    pid_t ppid;
    pid_t inner_pid;        /* pid in its innermost pid namespace (NSpid); = pid on the host's own; 0 unknown */
    pid_t inner_ppid;
    uint64_t start_ticks;   /* since boot of its own kernel */
    int64_t started_ns;     /* wall clock */
    uid_t uid;
    char *user;             /* name by its side's /etc/passwd, else the number; never NULL */
    char name[PROCESS_NAME_MAX];
    char *command;          /* command line, spaces between; "[name]" for kernel threads */
    char state;             /* R S D T t Z I X */
    int threads;
    int tty_nr;
    double cpu_percent;     /* of one core, since the sample before; 0 in the first */
    uint64_t cpu_ns;        /* user + system */
    uint64_t memory_bytes;  /* RSS */
    uint64_t virtual_bytes;
    uint64_t pss_bytes;     /* 0: not read */
    uint64_t io_read_bytes, io_write_bytes;
    uint64_t pid_namespace; /* inode; 0 unknown */
    char *cgroup;           /* path in the pids (v1) or unified hierarchy; may be NULL */
    char container_id[65];  /* "" : none */
    bool worker;            /* the VM worker of container_id */
    bool kernel_thread;
};

struct process_list {
    int references;
    int64_t sampled_ns;
    uint64_t sequence;      /* grows with each sample of one sampler */
    size_t count;
    struct process *items;
    size_t capacity;        /* while building */
};

struct process_list *process_list_new(size_t capacity);
struct process *process_list_add(struct process_list *list); /* while building only */
void process_list_sort(struct process_list *list);
struct process_list *process_list_ref(struct process_list *list);
void process_list_unref(struct process_list *list);
void process_list_unrefp(struct process_list **list);
const struct process *process_list_find(const struct process_list *list, pid_t pid);
void process_clear(struct process *process);
void process_copy(struct process *to, const struct process *from);

/* Reads the processes of one container where they are (cgroup or pid list), or
 * all: the plain reader below the sampler; also what the shim and the agent
 * use. proc_fd: an open /proc. pids NULL: all. */
int process_read(int proc_fd, const pid_t *pids, size_t count, struct process_list **ret,
                 struct error *err);
/* Names the users again by the /etc/passwd of a container's root; numbers where
 * it has none. For a list that is still the caller's alone. */
void process_list_users(struct process_list *list, int root_fd);
/* PSS, read on demand since it walks the page tables (some 40 us a small
 * process). -ESRCH when the process is not the same any more. */
int process_pss(int proc_fd, pid_t pid, uint64_t start_ticks, uint64_t *ret_bytes);

/* When it started, for whoever knows it by its number: 0 where it has gone. */
uint64_t process_start_ticks(pid_t pid);

enum process_change { PROCESS_BORN, PROCESS_DIED };

struct sampler;

struct sampler_options {
    const char *cgroup_prefix;  /* "tabique/": the next path component is a container id */
    int64_t interval_ns;        /* a snapshot younger than this is reused; 0: 1 s */
    bool connector;             /* try the process connector */
};

/* Called from the sampler's thread, in the order the kernel told. `process` is
 * valid during the call; for DIED end_ns is set, else 0. The first calls tell
 * every process that is there already as born. BORN once more with the same pid
 * and start time: it has executed another program since. A process too short of
 * life to be read has its parent's name, command, user and container.
 * The listener must not call sampler_on_change() or sampler_free(). */
typedef void sampler_change_fn(void *user, enum process_change change, const struct process *process,
                               int64_t end_ns);

int sampler_new(const struct sampler_options *options, struct sampler **ret, struct error *err);
void sampler_free(struct sampler *sampler);
/* A list no older than max_age_ns (0: read now, shared by all who wait; below
 * 0: options.interval_ns). */
int sampler_snapshot(struct sampler *sampler, int64_t max_age_ns, struct process_list **ret,
                     struct error *err);
/* One listener (the recorder). NULL ends it: no call is under way on return. */
void sampler_on_change(struct sampler *sampler, sampler_change_fn *fn, void *user);
const char *sampler_source(const struct sampler *sampler); /* "connector" or "polling" */

/* The host itself, for charts. */
struct host_stats {
    int64_t sampled_ns;
    int cpus;
    uint64_t cpu_total_ns, cpu_idle_ns;    /* summed over cpus */
    uint64_t memory_total, memory_available, swap_total, swap_free;
    double load1, load5, load15;
    uint64_t net_rx_bytes, net_tx_bytes;   /* physical links only */
    uint64_t block_read_bytes, block_write_bytes;
};
int host_stats(struct host_stats *ret);
