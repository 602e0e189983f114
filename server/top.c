#include "top.h"

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "tabique/error.h"
#include "tabique/host.h"

#define ARGS_MAX 4096
#define COLUMNS_MAX 64

/* --- one cell ------------------------------------------------------------------------ */

struct cell {
    const struct process *process;
    const struct top_context *context;
    bool bsd;        /* TIME as 0:00, CMD as COMMAND */
    bool short_name; /* BSD c: the name, not the command line */
};

typedef void cell_fn(struct str *out, const struct cell *cell);

static int64_t elapsed_s(const struct cell *cell)
{
    const int64_t ns = cell->context->now_ns - cell->process->started_ns;
    return ns > 0 ? ns / NS_PER_SEC : 0;
}

/* ps's %CPU: time used since birth over time lived, not of the last second. */
static double lifetime_percent(const struct cell *cell)
{
    const int64_t ns = cell->context->now_ns - cell->process->started_ns;
    return ns > 0 ? (double)cell->process->cpu_ns * 100 / (double)ns : 0;
}

static void cell_pid(struct str *out, const struct cell *cell)
{
    str_printf(out, "%d", cell->process->pid);
}

static void cell_ppid(struct str *out, const struct cell *cell)
{
    str_printf(out, "%d", cell->process->ppid);
}

static void cell_user(struct str *out, const struct cell *cell)
{
    str_append(out, cell->process->user ? cell->process->user : "?");
}

static void cell_uid(struct str *out, const struct cell *cell)
{
    str_printf(out, "%u", cell->process->uid);
}

static void cell_c(struct str *out, const struct cell *cell)
{
    const double percent = lifetime_percent(cell);
    str_printf(out, "%d", percent > 99 ? 99 : (int)percent);
}

static void cell_cpu(struct str *out, const struct cell *cell)
{
    const double percent = lifetime_percent(cell);
    if (percent > 999)
        str_printf(out, "%d", percent > 9999 ? 9999 : (int)percent);
    else
        str_printf(out, "%.1f", percent);
}

static void cell_mem(struct str *out, const struct cell *cell)
{
    const uint64_t total = cell->context->memory_total;
    str_printf(out, "%.1f", total ? (double)cell->process->memory_bytes * 100 / (double)total : 0.0);
}

static void cell_vsz(struct str *out, const struct cell *cell)
{
    str_printf(out, "%llu", (unsigned long long)cell->process->virtual_bytes / 1024);
}

static void cell_rss(struct str *out, const struct cell *cell)
{
    str_printf(out, "%llu", (unsigned long long)cell->process->memory_bytes / 1024);
}

static void cell_sz(struct str *out, const struct cell *cell)
{
    str_printf(out, "%llu", (unsigned long long)cell->process->virtual_bytes / 4096);
}

static void cell_pss(struct str *out, const struct cell *cell)
{
    if (cell->process->pss_bytes)
        str_printf(out, "%llu", (unsigned long long)cell->process->pss_bytes / 1024);
    else
        str_append(out, "-");
}

static void cell_tty(struct str *out, const struct cell *cell)
{
    /* Device number as proc(5) packs it: minor in bits 31-20 and 7-0, major in 15-8. */
    const unsigned device = (unsigned)cell->process->tty_nr;
    const unsigned major = device >> 8 & 0xfff, minor = (device & 0xff) | (device >> 12 & 0xfff00);

    if (device == 0)
        str_append(out, "?");
    else if (major >= 136 && major <= 143)
        str_printf(out, "pts/%u", minor + (major - 136) * 256);
    else if (major == 4 && minor < 64)
        str_printf(out, "tty%u", minor);
    else if (major == 4)
        str_printf(out, "ttyS%u", minor - 64);
    else if (major == 5 && minor == 1)
        str_append(out, "console");
    else
        str_append(out, "?");
}

static void cell_stat(struct str *out, const struct cell *cell)
{
    str_append_char(out, cell->process->state ? cell->process->state : '?');
    if (cell->process->threads > 1)
        str_append_char(out, 'l');
}

static void cell_s(struct str *out, const struct cell *cell)
{
    str_append_char(out, cell->process->state ? cell->process->state : '?');
}

/* Hours and minutes for a process of today, else month and day, else the year. */
static void cell_start(struct str *out, const struct cell *cell)
{
    const time_t started = (time_t)(cell->process->started_ns / NS_PER_SEC);
    const time_t now = (time_t)(cell->context->now_ns / NS_PER_SEC);
    struct tm born, today;
    char text[32] = "";

    localtime_r(&started, &born);
    localtime_r(&now, &today);
    if (born.tm_year != today.tm_year)
        strftime(text, sizeof(text), "%Y", &born);
    else if (born.tm_yday != today.tm_yday)
        strftime(text, sizeof(text), "%b%d", &born);
    else
        strftime(text, sizeof(text), "%H:%M", &born);
    str_append(out, text);
}

static void cell_lstart(struct str *out, const struct cell *cell)
{
    const time_t started = (time_t)(cell->process->started_ns / NS_PER_SEC);
    struct tm born;
    char text[40] = "";
    localtime_r(&started, &born);
    strftime(text, sizeof(text), "%a %b %e %H:%M:%S %Y", &born);
    str_append(out, text);
}

static void append_span(struct str *out, int64_t seconds, bool short_form)
{
    const int64_t days = seconds / 86400, hours = seconds / 3600 % 24;
    const int minutes = (int)(seconds / 60 % 60), rest = (int)(seconds % 60);
    if (days)
        str_printf(out, "%lld-", (long long)days);
    if (days || hours || !short_form)
        str_printf(out, "%02lld:", (long long)hours);
    str_printf(out, "%02d:%02d", minutes, rest);
}

static void cell_time(struct str *out, const struct cell *cell)
{
    const int64_t seconds = (int64_t)(cell->process->cpu_ns / (uint64_t)NS_PER_SEC);
    if (cell->bsd)
        str_printf(out, "%lld:%02lld", (long long)seconds / 60, (long long)seconds % 60);
    else
        append_span(out, seconds, false);
}

static void cell_cputime(struct str *out, const struct cell *cell)
{
    append_span(out, (int64_t)(cell->process->cpu_ns / (uint64_t)NS_PER_SEC), false);
}

static void cell_cputimes(struct str *out, const struct cell *cell)
{
    str_printf(out, "%llu", (unsigned long long)(cell->process->cpu_ns / (uint64_t)NS_PER_SEC));
}

static void cell_etime(struct str *out, const struct cell *cell)
{
    append_span(out, elapsed_s(cell), true);
}

static void cell_etimes(struct str *out, const struct cell *cell)
{
    str_printf(out, "%lld", (long long)elapsed_s(cell));
}

static void cell_comm(struct str *out, const struct cell *cell)
{
    str_append(out, cell->process->name);
    if (cell->process->state == 'Z')
        str_append(out, " <defunct>");
}

static void cell_command(struct str *out, const struct cell *cell)
{
    const struct process *process = cell->process;
    if (cell->short_name || !process->command || !process->command[0]) {
        cell_comm(out, cell);
        return;
    }
    str_append(out, process->command);
    if (process->state == 'Z')
        str_append(out, " <defunct>");
}

static void cell_threads(struct str *out, const struct cell *cell)
{
    str_printf(out, "%d", cell->process->threads);
}

static void cell_cgroup(struct str *out, const struct cell *cell)
{
    str_append(out, cell->process->cgroup && cell->process->cgroup[0] ? cell->process->cgroup : "-");
}

static void cell_pidns(struct str *out, const struct cell *cell)
{
    str_printf(out, "%llu", (unsigned long long)cell->process->pid_namespace);
}

static void cell_unknown(struct str *out, const struct cell *cell)
{
    str_append(out, "-");
}

static void cell_zero(struct str *out, const struct cell *cell)
{
    str_append(out, "0");
}

/* --- the table of columns ------------------------------------------------------------ */

struct column {
    const char *keys; /* space-separated, as ps's man page lists them */
    const char *title;
    cell_fn *fn;
};

static const struct column columns[] = {
    {"pid tgid", "PID", cell_pid},
    {"ppid", "PPID", cell_ppid},
    {"user euser uname", "USER", cell_user},
    {"ruser", "RUSER", cell_user},
    {"uid_name", "UID", cell_user}, /* -f shows a name under UID */
    {"uid euid", "UID", cell_uid},
    {"ruid", "RUID", cell_uid},
    {"c", "C", cell_c},
    {"%cpu pcpu", "%CPU", cell_cpu},
    {"%mem pmem", "%MEM", cell_mem},
    {"vsz vsize", "VSZ", cell_vsz},
    {"rss rssize rsz", "RSS", cell_rss},
    {"pss", "PSS", cell_pss},
    {"sz", "SZ", cell_sz},
    {"size", "SIZE", cell_vsz},
    {"tty tname", "TTY", cell_tty},
    {"tt", "TT", cell_tty},
    {"stat", "STAT", cell_stat},
    {"s state", "S", cell_s},
    {"stime", "STIME", cell_start},
    {"start start_time bsdstart", "START", cell_start},
    {"lstart", "STARTED", cell_lstart},
    {"time", "TIME", cell_time},
    {"cputime", "TIME", cell_cputime},
    {"cputimes times", "TIME", cell_cputimes},
    {"etime", "ELAPSED", cell_etime},
    {"etimes", "ELAPSED", cell_etimes},
    {"cmd", "CMD", cell_command},
    {"args command", "COMMAND", cell_command},
    {"comm ucmd", "COMMAND", cell_comm},
    {"ucomm", "COMMAND", cell_comm},
    {"nlwp thcount", "NLWP", cell_threads},
    {"cgroup", "CGROUP", cell_cgroup},
    {"pidns", "PIDNS", cell_pidns},
    {"f flag flags", "F", cell_zero},
    {"pri", "PRI", cell_unknown},
    {"ni nice", "NI", cell_unknown},
    {"addr", "ADDR", cell_unknown},
    {"wchan", "WCHAN", cell_unknown},
    {"psr", "PSR", cell_unknown},
};

static bool has_word(const char *words, const char *key, size_t length)
{
    for (const char *at = words; *at;) {
        const size_t word = strcspn(at, " ");
        if (word == length && strncasecmp(at, key, length) == 0)
            return true;
        at += word;
        at += strspn(at, " ");
    }
    return false;
}

static const struct column *find_column(const char *key, size_t length)
{
    for (size_t i = 0; i < ARRAY_SIZE(columns); i++) {
        if (has_word(columns[i].keys, key, length))
            return &columns[i];
    }
    return NULL;
}

/* --- arguments --------------------------------------------------------------------------- */

struct chosen {
    const struct column *column;
    char *title; /* NULL: the column's own */
};

struct arguments {
    bool full, extra_full, wide_list, no_address; /* -f -F -l -y */
    bool bsd, bsd_user, bsd_long, bsd_short;      /* a x, u, l, c */
    struct chosen columns[COLUMNS_MAX];
    size_t count;
    char *pids, *names, *users; /* comma-separated selections, NULL all */
    const struct column *sort;
    bool sort_descending;
};

static void arguments_clear(struct arguments *arguments)
{
    for (size_t i = 0; i < arguments->count; i++)
        free(arguments->columns[i].title);
    free(arguments->pids);
    free(arguments->names);
    free(arguments->users);
}

static int add_columns(struct arguments *arguments, const char *list, struct error *err)
{
    while (*list) {
        list += strspn(list, ", ");
        if (!*list)
            break;
        const size_t length = strcspn(list, ",= ");
        const struct column *column = find_column(list, length);
        if (!column)
            return error_set(err, EINVAL, "ps: error: unknown user-defined format specifier \"%.*s\"",
                             (int)length, list);
        if (arguments->count == COLUMNS_MAX)
            return error_set(err, EINVAL, "ps: error: too many columns");

        char *title = NULL;
        list += length;
        if (*list == '=') {
            /* A title of one's own takes the rest of the word, commas too. */
            title = mem_strdup(list + 1);
            list += strlen(list);
        }
        arguments->columns[arguments->count++] = (struct chosen){column, title};
    }
    return 0;
}

static void add_selection(char **selection, const char *value)
{
    char *joined = *selection ? mem_printf("%s,%s", *selection, value) : mem_strdup(value);
    free(*selection);
    *selection = joined;
}

/* The value of an option: the rest of its word, else the next word. */
static const char *option_value(const char *rest, char ***words)
{
    if (*rest)
        return rest;
    if ((*words)[1]) {
        (*words)++;
        return **words;
    }
    return NULL;
}

static int parse_long(struct arguments *arguments, const char *word, struct error *err)
{
    static const char *const ignored[] = {"--forest", "--headers", "--cumulative"};
    for (size_t i = 0; i < ARRAY_SIZE(ignored); i++) {
        if (strcmp(word, ignored[i]) == 0)
            return 0;
    }
    if (str_starts(word, "--sort=") || str_starts(word, "--sort ")) {
        const char *key = word + strlen("--sort=");
        arguments->sort_descending = *key == '-';
        key += *key == '-' || *key == '+';
        arguments->sort = find_column(key, strcspn(key, ","));
        if (!arguments->sort)
            return error_set(err, EINVAL, "ps: error: unknown sort specifier \"%s\"", key);
        return 0;
    }
    if (str_starts(word, "--format="))
        return add_columns(arguments, word + strlen("--format="), err);
    if (str_starts(word, "--pid=")) {
        add_selection(&arguments->pids, word + strlen("--pid="));
        return 0;
    }
    return error_set(err, EINVAL, "ps: error: unknown gnu long option");
}

static int parse_unix(struct arguments *arguments, char ***words, struct error *err)
{
    for (const char *at = **words + 1; *at; at++) {
        const char *value = NULL;
        switch (*at) {
        case 'e': case 'A': case 'a': case 'd': case 'w': case 'H':
            break; /* which processes, how wide: the container's all, whole */
        case 'f':
            arguments->full = true;
            break;
        case 'F':
            arguments->extra_full = true;
            break;
        case 'l':
            arguments->wide_list = true;
            break;
        case 'y':
            arguments->no_address = true;
            break;
        case 'x':
            arguments->bsd = true;
            break;
        case 'o': case 'p': case 'q': case 'C': case 'u': case 'U':
            /* "-aux" is what everybody types for "aux". */
            if (*at == 'u' && (at[1] == 'x' || (at[1] == '\0' && at > **words + 1))) {
                arguments->bsd = arguments->bsd_user = true;
                break;
            }
            value = option_value(at + 1, words);
            if (!value)
                return error_set(err, EINVAL, "ps: error: option -%c needs a value", *at);
            if (*at == 'o')
                return add_columns(arguments, value, err);
            add_selection(*at == 'C'                ? &arguments->names
                          : *at == 'p' || *at == 'q' ? &arguments->pids
                                                     : &arguments->users,
                          value);
            return 0;
        default:
            return error_set(err, EINVAL, "ps: error: unsupported option -%c", *at);
        }
    }
    return 0;
}

static int parse_bsd(struct arguments *arguments, char ***words, struct error *err)
{
    const char *word = **words;
    if (isdigit((unsigned char)word[0])) {
        add_selection(&arguments->pids, word);
        return 0;
    }
    arguments->bsd = true;
    for (const char *at = word; *at; at++) {
        switch (*at) {
        case 'a': case 'x': case 'w': case 'f': case 'e': case 'g':
            break;
        case 'u':
            arguments->bsd_user = true;
            break;
        case 'l':
            arguments->bsd_long = true;
            break;
        case 'c':
            arguments->bsd_short = true;
            break;
        case 'o': {
            const char *value = option_value(at + 1, words);
            if (!value)
                return error_set(err, EINVAL, "ps: error: option o needs a value");
            return add_columns(arguments, value, err);
        }
        default:
            return error_set(err, EINVAL, "ps: error: unsupported option %c", *at);
        }
    }
    return 0;
}

static int parse(const char *text, struct arguments *arguments, struct error *err)
{
    static const struct {
        size_t offset;
        const char *list;
    } formats[] = {
        {offsetof(struct arguments, bsd_user), "user,pid,%cpu,%mem,vsz,rss,tty,stat,start,time,command"},
        {offsetof(struct arguments, bsd_long), "f,uid,pid,ppid,pri,ni,vsz,rss,wchan,stat,tty,time,command"},
        {offsetof(struct arguments, bsd), "pid,tty,stat,time,command"},
        {offsetof(struct arguments, extra_full), "uid_name,pid,ppid,c,sz,rss,psr,stime,tty,time,cmd"},
        {offsetof(struct arguments, no_address), "s,uid,pid,ppid,c,pri,ni,rss,sz,wchan,tty,time,cmd"},
        {offsetof(struct arguments, wide_list), "f,s,uid,pid,ppid,c,pri,ni,addr,sz,wchan,tty,time,cmd"},
        {offsetof(struct arguments, full), "uid_name,pid,ppid,c,stime,tty,time,cmd"},
    };

    static const char blanks[] = " \t\n\r\f\v";
    CLEANUP_STRV char **all = NULL;
    for (text += strspn(text, blanks); *text; text += strspn(text, blanks)) {
        const size_t length = strcspn(text, blanks);
        strv_take(&all, mem_strndup(text, length));
        text += length;
    }

    for (char **words = all; words && *words; words++) {
        int r = str_starts(*words, "--") ? parse_long(arguments, *words, err)
                : **words == '-'         ? parse_unix(arguments, &words, err)
                                         : parse_bsd(arguments, &words, err);
        if (r < 0)
            return r;
    }
    for (size_t i = 0; arguments->count == 0 && i < ARRAY_SIZE(formats); i++) {
        if (*(const bool *)((const char *)arguments + formats[i].offset))
            return add_columns(arguments, formats[i].list, err);
    }
    return arguments->count ? 0 : add_columns(arguments, "pid,tty,time,comm", err);
}

/* --- the answer -------------------------------------------------------------------------------- */

static bool listed(const char *list, const char *value)
{
    const size_t length = strlen(value);
    for (const char *at = list; *at;) {
        const size_t word = strcspn(at, ", ");
        if (word == length && strncmp(at, value, length) == 0)
            return true;
        at += word;
        at += strspn(at, ", ");
    }
    return false;
}

static bool selected(const struct arguments *arguments, const struct process *process)
{
    char pid[16], uid[16];
    snprintf(pid, sizeof(pid), "%d", process->pid);
    snprintf(uid, sizeof(uid), "%u", process->uid);
    if (arguments->pids && !listed(arguments->pids, pid))
        return false;
    if (arguments->names && !listed(arguments->names, process->name))
        return false;
    if (arguments->users && !listed(arguments->users, process->user ? process->user : "") &&
        !listed(arguments->users, uid))
        return false;
    return true;
}

struct row {
    const struct process *process;
    char *key;
};

/* Numbers by value, else by text: what --sort wants of any column. */
static int by_key(const void *a, const void *b)
{
    const struct row *left = a, *right = b;
    char *left_end, *right_end;
    const double x = strtod(left->key, &left_end), y = strtod(right->key, &right_end);
    if (!*left_end && !*right_end && *left->key && *right->key)
        return (x > y) - (x < y);
    return strcmp(left->key, right->key);
}

static bool has_pid_title(const struct arguments *arguments)
{
    for (size_t i = 0; i < arguments->count; i++) {
        const struct chosen *chosen = &arguments->columns[i];
        if (strcmp(chosen->title ? chosen->title : chosen->column->title, "PID") == 0)
            return true;
    }
    return false;
}

static int build(const struct process_list *list, const struct arguments *arguments,
                 const struct top_context *context, cJSON **ret, struct error *err)
{
    if (!has_pid_title(arguments))
        return error_set(err, EINVAL, "Couldn't find PID field in ps output");

    cJSON *json = cJSON_CreateObject();
    cJSON *titles = json_add_array(json, "Titles");
    for (size_t i = 0; i < arguments->count; i++) {
        const struct chosen *chosen = &arguments->columns[i];
        const char *title = chosen->title ? chosen->title : chosen->column->title;
        json_push_string(titles, title);
    }

    struct cell cell = {
        .context = context,
        .bsd = arguments->bsd && !arguments->full,
        .short_name = arguments->bsd_short,
    };
    struct row *rows = mem_array(list->count, sizeof(*rows));
    size_t count = 0;
    for (size_t i = 0; i < list->count; i++) {
        if (!selected(arguments, &list->items[i]))
            continue;
        rows[count].process = cell.process = &list->items[i];
        if (arguments->sort) {
            CLEANUP_STR struct str key = STR_INIT;
            arguments->sort->fn(&key, &cell);
            rows[count].key = str_take(&key);
        }
        count++;
    }
    if (arguments->sort)
        qsort(rows, count, sizeof(*rows), by_key);

    cJSON *processes = json_add_array(json, "Processes");
    for (size_t i = 0; i < count; i++) {
        cell.process = rows[arguments->sort_descending ? count - 1 - i : i].process;
        cJSON *row = cJSON_CreateArray();
        for (size_t k = 0; k < arguments->count; k++) {
            CLEANUP_STR struct str text = STR_INIT;
            arguments->columns[k].column->fn(&text, &cell);
            json_push_string(row, text.data ? text.data : "");
        }
        cJSON_AddItemToArray(processes, row);
    }
    for (size_t i = 0; i < count; i++)
        free(rows[i].key);
    free(rows);
    *ret = json;
    return 0;
}

int top_table(const struct process_list *list, const char *args, const struct top_context *context,
              cJSON **ret, struct error *err)
{
    if (!args || !args[strspn(args, " ")])
        args = "-ef";
    if (strlen(args) > ARGS_MAX)
        return error_set(err, EINVAL, "ps: error: too many arguments");

    struct arguments arguments = {0};
    int r = parse(args, &arguments, err);
    if (r >= 0)
        r = build(list, &arguments, context, ret, err);
    arguments_clear(&arguments);
    return r;
}
