/* proc_text.c - the texts of /proc/PID, taken apart. Owner: host. */
#include "proc_text.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"

#define KERNEL_THREAD_FLAG                                                                         \
    0x00200000u /* PF_KTHREAD of the kernel's sched.h: part of proc(5)'s flags */

/* --- numbers ------------------------------------------------------------- */

/* A decimal number at *at, which is moved behind it; saturates. */
static bool take_number(const char **at, const char *end, uint64_t *ret)
{
    const char *p = *at;
    uint64_t value = 0;

    if (p >= end || *p < '0' || *p > '9')
        return false;
    for (; p < end && *p >= '0' && *p <= '9'; p++) {
        uint64_t digit = (uint64_t)(*p - '0');
        if (value > (UINT64_MAX - digit) / 10)
            value = UINT64_MAX;
        else
            value = value * 10 + digit;
    }
    *at = p;
    *ret = value;
    return true;
}

static int32_t as_int(uint64_t value)
{
    return value > INT32_MAX ? INT32_MAX : (int32_t)value;
}

/* The line that starts with key; its rest is [*ret, *ret_end). */
static bool find_line(const char *text, size_t length, const char *key, const char **ret,
                      const char **ret_end)
{
    size_t key_length = strlen(key);
    const char *end = text + length;

    for (const char *line = text; line < end;) {
        const char *eol = memchr(line, '\n', (size_t)(end - line));
        if (!eol)
            eol = end;
        if ((size_t)(eol - line) >= key_length && memcmp(line, key, key_length) == 0) {
            *ret = line + key_length;
            *ret_end = eol;
            return true;
        }
        line = eol + 1;
    }
    return false;
}

static bool line_number(const char *text, size_t length, const char *key, uint64_t *ret)
{
    const char *at, *end;

    if (!find_line(text, length, key, &at, &end))
        return false;
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    return take_number(&at, end, ret);
}

/* --- stat ---------------------------------------------------------------- */

/* Fields of /proc/PID/stat by proc(5)'s numbers; state is 3. */
enum stat_field {
    STAT_PPID = 4,
    STAT_TTY_NR = 7,
    STAT_FLAGS = 9,
    STAT_UTIME = 14,
    STAT_STIME = 15,
    STAT_NUM_THREADS = 20,
    STAT_STARTTIME = 22,
    STAT_VSIZE = 23,
    STAT_RSS = 24,
    STAT_FIELDS = 25,
};

static void copy_name(char *out, const char *name, size_t length)
{
    if (length > PROCESS_NAME_MAX - 1)
        length = PROCESS_NAME_MAX - 1;
    memcpy(out, name, length);
    out[length] = '\0';
    str_make_printable(out);
}

int proc_parse_stat(const char *text, size_t length, struct proc_stat *ret)
{
    const char *end = text + length;
    const char *at = text;
    uint64_t fields[STAT_FIELDS] = {0};
    uint64_t pid;

    if (!take_number(&at, end, &pid) || pid == 0 || pid > INT32_MAX)
        return -EINVAL;
    if (end - at < 2 || at[0] != ' ' || at[1] != '(')
        return -EINVAL;
    const char *name = at + 2;
    /* The name is the process's own choice and may hold ") R 1": only the last
     * parenthesis of the file is the kernel's. */
    const char *close = memrchr(name, ')', (size_t)(end - name));
    if (!close || end - close < 3 || close[1] != ' ')
        return -EINVAL;
    char state = close[2];
    if (!((state >= 'A' && state <= 'Z') || (state >= 'a' && state <= 'z')))
        return -EINVAL;

    at = close + 3;
    for (int i = STAT_PPID; i < STAT_FIELDS; i++) {
        bool negative = false;

        if (at >= end || *at != ' ')
            return -EINVAL;
        at++;
        if (at < end && *at == '-') {
            negative = true;
            at++;
        }
        if (!take_number(&at, end, &fields[i]))
            return -EINVAL;
        if (negative)
            fields[i] = 0; /* only fields that are not used here can be below zero */
    }

    struct proc_stat stat = {
        .pid = (pid_t)pid,
        .ppid = as_int(fields[STAT_PPID]),
        .state = state,
        .tty_nr = as_int(fields[STAT_TTY_NR]),
        .kernel_thread = (fields[STAT_FLAGS] & KERNEL_THREAD_FLAG) != 0,
        .threads = as_int(fields[STAT_NUM_THREADS]),
        .start_ticks = fields[STAT_STARTTIME],
        .virtual_bytes = fields[STAT_VSIZE],
        .rss_pages = fields[STAT_RSS],
    };
    if (__builtin_add_overflow(fields[STAT_UTIME], fields[STAT_STIME], &stat.cpu_ticks))
        stat.cpu_ticks = UINT64_MAX;
    copy_name(stat.name, name, (size_t)(close - name));
    *ret = stat;
    return 0;
}

/* --- status, io, smaps_rollup ---------------------------------------------- */

int proc_parse_status(const char *text, size_t length, struct proc_status *ret)
{
    struct proc_status status = {.depth = 1};
    const char *at, *end;
    uint64_t value;

    /* The kernel escapes line feeds in "Name:", so a line start is its own. */
    if (!find_line(text, length, "Uid:", &at, &end))
        return -EINVAL;
    for (int i = 0; i < 2; i++) { /* real, effective */
        if (at >= end || *at != '\t')
            return -EINVAL;
        at++;
        if (!take_number(&at, end, &value) || value > UINT32_MAX)
            return -EINVAL;
    }
    status.uid = (uid_t)value;

    if (find_line(text, length, "NSpid:", &at, &end)) {
        status.depth = 0;
        while (at < end && *at == '\t') {
            at++;
            if (!take_number(&at, end, &value) || value > INT32_MAX)
                return -EINVAL;
            status.inner_pid = (pid_t)value;
            status.depth++;
        }
        if (status.depth == 0)
            return -EINVAL;
    }
    *ret = status;
    return 0;
}

int proc_parse_io(const char *text, size_t length, uint64_t *ret_read, uint64_t *ret_write)
{
    uint64_t in, out;

    if (!line_number(text, length, "read_bytes:", &in) ||
        !line_number(text, length, "write_bytes:", &out))
        return -EINVAL;
    *ret_read = in;
    *ret_write = out;
    return 0;
}

int proc_parse_pss(const char *text, size_t length, uint64_t *ret)
{
    uint64_t kilobytes;

    if (!line_number(text, length, "Pss:", &kilobytes))
        return -EINVAL;
    *ret = kilobytes > UINT64_MAX / 1024 ? UINT64_MAX : kilobytes * 1024;
    return 0;
}

/* --- cgroup -------------------------------------------------------------- */

static bool has_controller(const char *list, const char *end, const char *name)
{
    size_t length = strlen(name);

    while (list < end) {
        const char *comma = memchr(list, ',', (size_t)(end - list));
        if (!comma)
            comma = end;
        if ((size_t)(comma - list) == length && memcmp(list, name, length) == 0)
            return true;
        list = comma + 1;
    }
    return false;
}

char *proc_parse_cgroup(const char *text, size_t length)
{
    enum { NONE, FIRST, UNIFIED, PIDS } rank = NONE;
    const char *end = text + length;
    const char *best = NULL;
    size_t best_length = 0;

    for (const char *line = text; line < end;) {
        const char *eol = memchr(line, '\n', (size_t)(end - line));
        if (!eol)
            eol = end;
        const char *controllers = memchr(line, ':', (size_t)(eol - line));
        const char *path = NULL;
        if (controllers) {
            controllers++;
            path = memchr(controllers, ':', (size_t)(eol - controllers));
        }
        if (path) {
            int mine = has_controller(controllers, path, "pids") ? PIDS
                       : path == controllers                     ? UNIFIED
                                                                 : FIRST;
            if (mine > (int)rank) {
                rank = mine;
                best = path + 1;
                best_length = (size_t)(eol - best);
            }
        }
        line = eol + 1;
    }
    if (!best)
        return NULL;
    const char *nul = memchr(best, '\0', best_length);
    char *copy = mem_strndup(best, nul ? (size_t)(nul - best) : best_length);
    str_make_printable(copy);
    return copy;
}

void proc_container_id(const char *cgroup, const char *prefix, char out[65])
{
    out[0] = '\0';
    if (!cgroup || !prefix)
        return;
    while (*prefix == '/')
        prefix++;
    size_t prefix_length = strlen(prefix);
    if (prefix_length == 0)
        return;

    for (const char *at = cgroup; (at = strstr(at, prefix)); at++) {
        const char *id = at + prefix_length;

        if (at > cgroup && at[-1] != '/')
            continue;
        if (strspn(id, "0123456789abcdef") != 64)
            continue;
        if (id[64] != '\0' && id[64] != '/' && id[64] != ' ') /* " (deleted)" */
            continue;
        memcpy(out, id, 64);
        out[64] = '\0';
        return;
    }
}

/* --- cmdline ------------------------------------------------------------- */

char *proc_parse_command(const char *data, size_t length)
{
    /* A process that rewrote its title leaves a tail of NULs. */
    while (length > 0 && (data[length - 1] == '\0' || data[length - 1] == ' '))
        length--;
    if (length == 0)
        return NULL;

    bool cut = length > PROC_COMMAND_MAX;
    if (cut)
        length = PROC_COMMAND_MAX;
    char *command = mem_alloc(length + 1);
    for (size_t i = 0; i < length; i++)
        command[i] = data[i] == '\0' ? ' ' : data[i];
    command[length] = '\0';
    if (cut)
        command[str_cut_utf8(command, PROC_COMMAND_MAX - 3)] = '\0';
    str_make_printable(command);
    return command;
}
