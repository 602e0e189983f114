/* reader.c - /proc into a process_list, with a memory. Owner: host.
 *
 * Cost decides the shape (measured: stat 6.5 us, status 10, cgroup 6.6,
 * cmdline 4, ns link 2): the warm path is stat alone. Rejected: keeping the stat
 * files open (a descriptor a process), and statm (stat has it all).
 *
 * Cold reads go through an fd of /proc/PID, which is bound to the one process:
 * when the pid is given to another in between, they fail with ESRCH rather than
 * mix the two.
 */
#include "reader.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "passwd.h"
#include "proc_text.h"
#include "tabique/error.h"

#define BUCKETS 4096
#define REFRESH_DEFAULT 10
/* CPU shares are taken over at least this: shorter ones are noise of the
 * kernel's 10 ms ticks. */
#define CPU_WINDOW_NS (500 * NS_PER_MS)
#define PROCESSES_MAX 4194304 /* the kernel's own limit of pids */

struct cpu_mark {
    int64_t at_ns;
    uint64_t cpu_ns;
};

/* What is remembered of one process. */
struct memory {
    struct memory *next;
    pid_t pid;
    uint64_t start_ticks;
    uint64_t seen; /* sample number */
    bool stale;
    bool complete; /* status was readable */
    char name[PROCESS_NAME_MAX];
    uid_t uid;
    pid_t inner_pid;
    int depth;
    uint64_t pid_namespace;
    char *user;
    char *command;
    char *cgroup;
    char container_id[65];
    uint64_t io_read_bytes, io_write_bytes;
    struct cpu_mark before, since;
};

struct process_reader {
    int proc_fd;
    char *cgroup_prefix;
    int refresh;
    bool io;
    uint64_t sample;
    uint64_t tick_ns;
    uint64_t page_size;
    struct passwd passwd;
    int64_t passwd_mtime;
    size_t remembered;
    struct memory *buckets[BUCKETS];
};

struct process_reader *process_reader_new(int proc_fd, const struct process_reader_options *options)
{
    struct process_reader *reader = mem_new(struct process_reader);
    long ticks = sysconf(_SC_CLK_TCK);
    long page = sysconf(_SC_PAGESIZE);

    reader->proc_fd = proc_fd;
    reader->cgroup_prefix = mem_strdup(options->cgroup_prefix);
    reader->refresh = options->refresh > 0 ? options->refresh : REFRESH_DEFAULT;
    reader->io = options->io;
    reader->tick_ns = (uint64_t)(NS_PER_SEC / (ticks > 0 ? ticks : 100));
    reader->page_size = page > 0 ? (uint64_t)page : 4096;
    return reader;
}

static void memory_free(struct memory *memory)
{
    free(memory->user);
    free(memory->command);
    free(memory->cgroup);
    free(memory);
}

void process_reader_free(struct process_reader *reader)
{
    if (!reader)
        return;
    for (size_t i = 0; i < BUCKETS; i++) {
        struct memory *next;
        for (struct memory *memory = reader->buckets[i]; memory; memory = next) {
            next = memory->next;
            memory_free(memory);
        }
    }
    passwd_free(&reader->passwd);
    free(reader->cgroup_prefix);
    free(reader);
}

static struct memory *remember(struct process_reader *reader, pid_t pid)
{
    struct memory *memory = reader->buckets[(unsigned)pid % BUCKETS];

    while (memory && memory->pid != pid)
        memory = memory->next;
    return memory;
}

static struct memory *memory_new(struct process_reader *reader, pid_t pid)
{
    struct memory *memory = mem_new(struct memory);
    struct memory **bucket = &reader->buckets[(unsigned)pid % BUCKETS];

    memory->pid = pid;
    memory->next = *bucket;
    *bucket = memory;
    reader->remembered++;
    return memory;
}

/* After a sample of everything: who was not in it is gone. */
static void forget_gone(struct process_reader *reader)
{
    for (size_t i = 0; i < BUCKETS; i++) {
        struct memory **link = &reader->buckets[i];
        while (*link) {
            struct memory *memory = *link;
            if (memory->seen != reader->sample) {
                *link = memory->next;
                memory_free(memory);
                reader->remembered--;
            } else {
                link = &memory->next;
            }
        }
    }
}

void process_reader_forget(struct process_reader *reader, const pid_t *pids, size_t count)
{
    if (pids) {
        for (size_t i = 0; i < count; i++) {
            struct memory *memory = remember(reader, pids[i]);
            if (memory)
                memory->stale = true;
        }
        return;
    }
    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct memory *memory = reader->buckets[i]; memory; memory = memory->next)
            memory->stale = true;
    }
}

/* --- reading files ------------------------------------------------------------ */

/* One file of at most size bytes; the rest of a longer one is not of interest. */
static ssize_t read_at(int dirfd, const char *path, char *buffer, size_t size)
{
    CLEANUP_CLOSE int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
    size_t length = 0;

    if (fd < 0)
        return -errno;
    /* One read gives a whole stat; status and cmdline may take another. */
    while (length < size) {
        ssize_t n = read(fd, buffer + length, size - length);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            return length > 0 ? (ssize_t)length : -errno;
        }
        if (n == 0)
            break;
        length += (size_t)n;
    }
    return (ssize_t)length;
}

static int read_stat(int dirfd, const char *path, struct proc_stat *ret)
{
    char buffer[1024];
    CLEANUP_CLOSE int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return errno == ENOENT ? -ESRCH : -errno;
    /* One record, made in one piece: a second read would only find the end. */
    ssize_t n = read(fd, buffer, sizeof(buffer));
    if (n < 0)
        return -errno;
    return n == 0 ? -ESRCH : proc_parse_stat(buffer, (size_t)n, ret);
}

static uint64_t read_namespace(int dirfd)
{
    char text[64];
    uint64_t inode;
    ssize_t n = readlinkat(dirfd, "ns/pid", text, sizeof(text) - 1);

    if (n <= 5)
        return 0;
    text[n] = '\0';
    char *open = strchr(text, '['); /* pid:[4026531836] */
    char *close = open ? strchr(open, ']') : NULL;
    if (!close)
        return 0;
    *close = '\0';
    return str_to_u64(open + 1, &inode) == 0 ? inode : 0;
}

/* Everything that the warm path takes from memory. */
static int read_identity(struct process_reader *reader, int dirfd, const struct proc_stat *stat,
                         struct memory *memory)
{
    char buffer[PROC_COMMAND_MAX + 64];
    ssize_t n;

    if (!memory->complete || !stat->kernel_thread) {
        struct proc_status status;

        n = read_at(dirfd, "status", buffer, sizeof(buffer));
        if (n == -ESRCH || n == -ENOENT)
            return -ESRCH;
        if (n > 0 && proc_parse_status(buffer, (size_t)n, &status) == 0) {
            if (!memory->user || memory->uid != status.uid) {
                free(memory->user);
                memory->user = passwd_user(&reader->passwd, status.uid);
            }
            memory->uid = status.uid;
            memory->inner_pid = status.inner_pid ? status.inner_pid : stat->pid;
            memory->depth = status.depth;
            memory->complete = true;
        } else if (!memory->user) {
            memory->user = mem_strdup("?");
            memory->inner_pid = stat->pid;
            memory->depth = 1;
        }
    }

    if (memory->pid_namespace == 0) /* a process never leaves the one it was born in */
        memory->pid_namespace = read_namespace(dirfd);

    n = read_at(dirfd, "cgroup", buffer, sizeof(buffer));
    if (n >= 0) {
        free(memory->cgroup);
        memory->cgroup = proc_parse_cgroup(buffer, (size_t)n);
        proc_container_id(memory->cgroup, reader->cgroup_prefix, memory->container_id);
    }

    char *command = NULL;
    n = 0;
    if (!stat->kernel_thread && stat->state != 'Z' && stat->state != 'X') {
        n = read_at(dirfd, "cmdline", buffer, sizeof(buffer));
        if (n > 0)
            command = proc_parse_command(buffer, (size_t)n);
    }
    /* A zombie has lost its command line: what is remembered is better. */
    if (!command && (stat->state != 'Z' || !memory->command))
        command = mem_printf("[%s]", stat->name);
    if (command) {
        free(memory->command);
        memory->command = command;
    }
    memcpy(memory->name, stat->name, sizeof(memory->name));
    /* In the middle of an exec the new name stands there before the arguments. */
    memory->stale = !stat->kernel_thread && stat->state != 'Z' && n <= 0;
    return 0;
}

static void read_io(struct memory *memory, int dirfd, const char *path)
{
    char buffer[512];
    ssize_t n = read_at(dirfd, path, buffer, sizeof(buffer));

    if (n > 0)
        proc_parse_io(buffer, (size_t)n, &memory->io_read_bytes, &memory->io_write_bytes);
}

/* --- one process ----------------------------------------------------------------- */

static double cpu_share(struct memory *memory, int64_t now_ns, uint64_t cpu_ns)
{
    if (memory->since.at_ns == 0) {
        memory->since = memory->before = (struct cpu_mark){now_ns, cpu_ns};
        return 0;
    }
    if (now_ns - memory->since.at_ns >= CPU_WINDOW_NS) {
        memory->before = memory->since;
        memory->since = (struct cpu_mark){now_ns, cpu_ns};
    }
    int64_t span = now_ns - memory->before.at_ns;
    if (span <= 0 || cpu_ns <= memory->before.cpu_ns)
        return 0;
    return (double)(cpu_ns - memory->before.cpu_ns) * 100.0 / (double)span;
}

static void fill(const struct process_reader *reader, const struct proc_stat *stat,
                 const struct memory *memory, struct process *process)
{
    process->pid = stat->pid;
    process->ppid = stat->ppid;
    process->inner_pid = memory->inner_pid;
    process->start_ticks = stat->start_ticks;
    process->started_ns = clock_from_ticks(stat->start_ticks);
    process->uid = memory->uid;
    process->user = mem_strdup(memory->user);
    memcpy(process->name, stat->name, sizeof(process->name));
    process->command = mem_strdup(memory->command);
    process->state = stat->state;
    process->threads = stat->threads;
    process->tty_nr = stat->tty_nr;
    if (__builtin_mul_overflow(stat->cpu_ticks, reader->tick_ns, &process->cpu_ns))
        process->cpu_ns = UINT64_MAX;
    if (__builtin_mul_overflow(stat->rss_pages, reader->page_size, &process->memory_bytes))
        process->memory_bytes = UINT64_MAX;
    process->virtual_bytes = stat->virtual_bytes;
    process->io_read_bytes = memory->io_read_bytes;
    process->io_write_bytes = memory->io_write_bytes;
    process->pid_namespace = memory->pid_namespace;
    process->cgroup = mem_strdup(memory->cgroup);
    memcpy(process->container_id, memory->container_id, sizeof(process->container_id));
    process->worker = memory->container_id[0] && strcmp(stat->name, "vmwp") == 0;
    process->kernel_thread = stat->kernel_thread;
    /* Its parent's number is known only once all are read: finish_parents(). */
    process->inner_ppid = memory->depth <= 1 ? stat->ppid : 0;
}

static bool is_turn(const struct process_reader *reader, pid_t pid)
{
    return ((uint64_t)pid + reader->sample) % (uint64_t)reader->refresh == 0;
}

static int read_process(struct process_reader *reader, pid_t pid, int64_t now_ns,
                        struct process_list *list)
{
    struct memory *memory = remember(reader, pid);
    struct proc_stat stat;
    char path[32];
    int r;

    if (memory && !memory->stale) {
        snprintf(path, sizeof(path), "%d/stat", pid);
        r = read_stat(reader->proc_fd, path, &stat);
        if (r < 0)
            return r;
        bool turn = is_turn(reader, pid) && !stat.kernel_thread;
        if (stat.start_ticks != memory->start_ticks || turn ||
            (!stat.kernel_thread && strcmp(stat.name, memory->name) != 0))
            memory->stale = true;
        if (turn && reader->io) {
            snprintf(path, sizeof(path), "%d/io", pid);
            read_io(memory, reader->proc_fd, path);
        }
    }

    if (!memory || memory->stale) {
        snprintf(path, sizeof(path), "%d", pid);
        CLEANUP_CLOSE int dirfd = openat(reader->proc_fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (dirfd < 0)
            return errno == ENOENT ? -ESRCH : -errno;
        r = read_stat(dirfd, "stat", &stat);
        if (r < 0)
            return r;
        struct memory fresh = {.pid = pid, .start_ticks = stat.start_ticks};
        struct memory *target = memory;
        if (!memory || memory->start_ticks != stat.start_ticks)
            target = &fresh;
        r = read_identity(reader, dirfd, &stat, target);
        if (r < 0) {
            if (target == &fresh) {
                free(fresh.user);
                free(fresh.command);
                free(fresh.cgroup);
            }
            return r;
        }
        if (target == &fresh) {
            if (reader->io && !stat.kernel_thread)
                read_io(&fresh, dirfd, "io");
            if (!memory) {
                memory = memory_new(reader, pid);
            } else {
                free(memory->user);
                free(memory->command);
                free(memory->cgroup);
            }
            fresh.next = memory->next;
            *memory = fresh;
        }
    }

    memory->seen = reader->sample;
    struct process *process = process_list_add(list);
    fill(reader, &stat, memory, process);
    process->cpu_percent = cpu_share(memory, now_ns, process->cpu_ns);
    return 0;
}

/* A parent has a number inside where both share the innermost namespace; a
 * process whose parent stands outside shows 0, as getppid(2) does there. */
static void finish_parents(struct process_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        struct process *process = &list->items[i];
        const struct process *parent = process_list_find(list, process->ppid);

        if (!parent || parent->pid_namespace == 0)
            continue;
        process->inner_ppid =
            parent->pid_namespace == process->pid_namespace ? parent->inner_pid : 0;
    }
}

/* --- many ------------------------------------------------------------------------- */

static int read_all(struct process_reader *reader, int64_t now_ns, struct process_list *list,
                    struct error *err)
{
    CLEANUP_CLOSE int dirfd = openat(reader->proc_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _Alignas(struct dirent64) char buffer[32768];

    if (dirfd < 0)
        return error_errno(err, EIO, "cannot list /proc");
    for (;;) {
        ssize_t n = getdents64(dirfd, buffer, sizeof(buffer));
        if (n < 0)
            return error_errno(err, EIO, "cannot list /proc");
        if (n == 0)
            return 0;
        for (ssize_t at = 0; at < n;) {
            const struct dirent64 *entry = (const struct dirent64 *)(buffer + at);
            pid_t pid;

            at += entry->d_reclen;
            if (entry->d_name[0] < '1' || entry->d_name[0] > '9' ||
                str_to_int(entry->d_name, 1, INT32_MAX, &pid) < 0)
                continue;
            if (list->count < PROCESSES_MAX)
                (void)read_process(reader, pid, now_ns, list); /* gone meanwhile: left out */
        }
    }
}

int process_reader_read(struct process_reader *reader, const pid_t *pids, size_t count,
                        struct process_list **ret, struct error *err)
{
    CLEANUP(process_list_unrefp)
    struct process_list *list = process_list_new(pids ? count : reader->remembered + 64);
    int64_t now_ns = clock_mono_ns();

    reader->sample++;
    list->sampled_ns = clock_real_ns();
    list->sequence = reader->sample;
    passwd_refresh(&reader->passwd);
    if (reader->passwd_mtime != reader->passwd.mtime_ns) {
        reader->passwd_mtime = reader->passwd.mtime_ns;
        for (size_t i = 0; i < BUCKETS; i++) {
            for (struct memory *memory = reader->buckets[i]; memory; memory = memory->next) {
                free(memory->user);
                memory->user = passwd_user(&reader->passwd, memory->uid);
            }
        }
    }

    if (pids) {
        for (size_t i = 0; i < count; i++) {
            if (pids[i] > 0)
                (void)read_process(reader, pids[i], now_ns, list);
        }
    } else {
        int r = read_all(reader, now_ns, list, err);
        if (r < 0)
            return r;
        forget_gone(reader);
    }
    process_list_sort(list);
    finish_parents(list);
    *ret = TAKE_PTR(list);
    return 0;
}

int process_reader_one(struct process_reader *reader, pid_t pid, struct process *ret)
{
    struct proc_stat stat;
    char path[32];
    int r;

    snprintf(path, sizeof(path), "%d", pid);
    CLEANUP_CLOSE int dirfd = openat(reader->proc_fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dirfd < 0)
        return errno == ENOENT ? -ESRCH : -errno;
    r = read_stat(dirfd, "stat", &stat);
    if (r < 0)
        return r;
    passwd_refresh(&reader->passwd);
    struct memory memory = {.pid = pid, .start_ticks = stat.start_ticks};
    r = read_identity(reader, dirfd, &stat, &memory);
    if (r == 0) {
        memset(ret, 0, sizeof(*ret));
        fill(reader, &stat, &memory, ret);
    }
    free(memory.user);
    free(memory.command);
    free(memory.cgroup);
    return r;
}

int process_reader_peek(struct process_reader *reader, pid_t pid, char *ret_state, int *ret_threads,
                        uint64_t *ret_start_ticks)
{
    struct proc_stat stat;
    char path[32];

    snprintf(path, sizeof(path), "%d/stat", pid);
    int r = read_stat(reader->proc_fd, path, &stat);
    if (r < 0)
        return r;
    *ret_state = stat.state;
    *ret_threads = stat.threads;
    *ret_start_ticks = stat.start_ticks;
    return 0;
}

/* --- the public face -------------------------------------------------------------- */

int process_read(int proc_fd, const pid_t *pids, size_t count, struct process_list **ret,
                 struct error *err)
{
    struct process_reader *reader =
        process_reader_new(proc_fd, &(struct process_reader_options){0});
    int r = process_reader_read(reader, pids, count, ret, err);

    process_reader_free(reader);
    return r;
}

void process_list_users(struct process_list *list, int root_fd)
{
    struct passwd passwd = PASSWD_INIT;
    CLEANUP_CLOSE int fd =
        path_open_in(root_fd, "/etc/passwd", O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);

    passwd_load(&passwd, fd);
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i].user);
        list->items[i].user = passwd_user(&passwd, list->items[i].uid);
    }
    passwd_free(&passwd);
}

int process_pss(int proc_fd, pid_t pid, uint64_t start_ticks, uint64_t *ret_bytes)
{
    struct proc_stat stat;
    char buffer[2048];
    char path[32];

    snprintf(path, sizeof(path), "%d", pid);
    CLEANUP_CLOSE int dirfd = openat(proc_fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dirfd < 0)
        return errno == ENOENT ? -ESRCH : -errno;
    int r = read_stat(dirfd, "stat", &stat);
    if (r < 0)
        return r;
    if (stat.start_ticks != start_ticks)
        return -ESRCH;
    ssize_t n = read_at(dirfd, "smaps_rollup", buffer, sizeof(buffer));
    if (n < 0)
        return (int)n;
    return proc_parse_pss(buffer, (size_t)n, ret_bytes);
}

uint64_t process_start_ticks(pid_t pid)
{
    struct proc_stat stat;
    char path[32];

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    return read_stat(AT_FDCWD, path, &stat) < 0 ? 0 : stat.start_ticks;
}
