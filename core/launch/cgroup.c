/* cgroup.c - the mount table, and making, entering, freezing, emptying and
 * removing a cgroup in all hierarchies at once. Owner: launch.
 *
 * On a hybrid host a cgroup stands in every v1 hierarchy that has a controller
 * of ours and in the unified one, which even without controllers gives a
 * race-free cgroup.kill.
 */
#include "launch/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "launch/cgroup_private.h"
#include "tabique/error.h"

static struct {
    struct cgroup_hierarchy items[CGROUP_MAX_HIERARCHIES];
    size_t count;
    enum cgroup_version version;
    unsigned supports;
} table;
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static const struct {
    const char *name;
    unsigned controller;
} controller_names[] = {
    {"memory", CGROUP_MEMORY}, {"cpu", CGROUP_CPU},         {"cpuset", CGROUP_CPUSET},
    {"pids", CGROUP_PIDS},     {"blkio", CGROUP_BLKIO},     {"io", CGROUP_BLKIO},
    {"devices", CGROUP_DEVICES}, {"freezer", CGROUP_FREEZER},
};

/* The octal escapes of mountinfo (proc(5)). */
static void unescape(char *text)
{
    char *out = text;

    for (const char *in = text; *in; out++) {
        if (in[0] == '\\' && in[1] >= '0' && in[1] <= '3' && in[2] >= '0' && in[2] <= '7' &&
            in[3] >= '0' && in[3] <= '7') {
            *out = (char)((in[1] - '0') * 64 + (in[2] - '0') * 8 + (in[3] - '0'));
            in += 4;
        } else {
            *out = *in++;
        }
    }
    *out = '\0';
}

static unsigned controllers_of(const char *text, char separator, bool *ret_cpuacct, char **ret_names)
{
    char **words = strv_split(text, separator);
    struct str names = STR_INIT;
    unsigned set = 0;

    for (char **word = words; word && *word; word++) {
        bool known = false;

        for (size_t i = 0; i < ARRAY_SIZE(controller_names); i++) {
            if (str_equal(*word, controller_names[i].name)) {
                set |= controller_names[i].controller;
                known = true;
            }
        }
        if (str_equal(*word, "cpuacct")) {
            *ret_cpuacct = true;
            known = true;
        }
        if (known) {
            if (names.length)
                str_append_char(&names, ',');
            str_append(&names, *word);
        }
    }
    strv_free(words);
    *ret_names = str_take(&names);
    return set;
}

static void add_hierarchy(const char *mount, const char *options, bool unified)
{
    struct cgroup_hierarchy h = {.unified = unified};

    if (table.count == CGROUP_MAX_HIERARCHIES)
        return;
    if (unified) {
        CLEANUP_FREE char *path = mem_printf("%s/cgroup.controllers", mount);
        CLEANUP_FREE char *text = NULL;
        bool cpuacct = false;

        if (file_read(AT_FDCWD, path, CGROUP_FILE_MAX, &text, NULL) < 0)
            return;
        text[strcspn(text, "\n")] = '\0';
        h.controllers = controllers_of(text, ' ', &cpuacct, &h.options);
        /* Part of every v2: the core gives freezing, a BPF program the devices. */
        h.controllers |= CGROUP_FREEZER | CGROUP_DEVICES;
    } else {
        h.controllers = controllers_of(options, ',', &h.cpuacct, &h.options);
        if (!h.controllers && !h.cpuacct) {
            free(h.options);
            return;
        }
    }
    for (size_t i = 0; i < table.count; i++) {
        /* The same hierarchy mounted twice. */
        if (table.items[i].unified == unified &&
            (unified || str_equal(table.items[i].options, h.options))) {
            free(h.options);
            return;
        }
    }
    h.mount = mem_strdup(mount);
    table.items[table.count++] = h;
}

/* What a kernel may leave out of a controller, and the file that tells. In v2: /proc/swaps
 * for the swap (memory.swap.max is in every group but the root's), nothing for the weight. */
static void add_optional(void)
{
    static const struct {
        unsigned controller, adds;
        const char *v1, *v2;
    } optional[] = {
        {CGROUP_MEMORY, CGROUP_SWAP, "memory.memsw.limit_in_bytes", "/proc/swaps"},
        {CGROUP_BLKIO, CGROUP_BLKIO_WEIGHT, "blkio.weight", "/"},
        {CGROUP_BLKIO, CGROUP_BLKIO_WEIGHT_DEVICE, "blkio.weight_device", "/"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(optional); i++) {
        for (size_t k = 0; k < table.count; k++) {
            const struct cgroup_hierarchy *h = &table.items[k];

            if (!(h->controllers & optional[i].controller))
                continue;
            CLEANUP_FREE char *path = h->unified ? mem_strdup(optional[i].v2) : path_join(h->mount, optional[i].v1);
            if (access(path, F_OK) == 0)
                table.supports |= optional[i].adds;
        }
    }
}

static void read_table(void)
{
    CLEANUP_FREE char *text = NULL;
    CLEANUP_STRV char **lines = NULL;
    unsigned v1 = 0, unified = 0;

    if (file_read(AT_FDCWD, "/proc/self/mountinfo", 4u << 20, &text, NULL) < 0)
        return;
    lines = strv_split(text, '\n');
    for (char **line = lines; line && *line; line++) {
        char *tail = strstr(*line, " - cgroup");
        char **head, **rest;

        if (!tail)
            continue;
        *tail = '\0';
        head = strv_split(*line, ' ');
        rest = strv_split(tail + 3, ' ');
        /* Only whole hierarchies: a subtree bound elsewhere has other paths. */
        if (strv_length(head) >= 6 && strv_length(rest) >= 3 && str_equal(head[3], "/")) {
            unescape(head[4]);
            if (str_equal(rest[0], "cgroup2"))
                add_hierarchy(head[4], "", true);
            else if (str_equal(rest[0], "cgroup"))
                add_hierarchy(head[4], rest[2], false);
        }
        strv_free(head);
        strv_free(rest);
    }
    for (size_t i = 0; i < table.count; i++) {
        if (table.items[i].unified)
            unified++;
        else
            v1++;
    }
    /* What v1 controls is v1's: on a hybrid host the unified tree has at most the rest. */
    for (size_t i = 0; i < table.count; i++) {
        for (size_t k = 0; table.items[i].unified && k < table.count; k++) {
            if (!table.items[k].unified)
                table.items[i].controllers &= ~table.items[k].controllers;
        }
        table.supports |= table.items[i].controllers;
    }
    table.version = v1 && unified ? CGROUP_HYBRID : v1 ? CGROUP_V1 : unified ? CGROUP_V2 : CGROUP_NONE;
    add_optional();
}

size_t cgroup__hierarchies(const struct cgroup_hierarchy **ret)
{
    pthread_once(&table_once, read_table);
    *ret = table.items;
    return table.count;
}

enum cgroup_version cgroup_version(void)
{
    pthread_once(&table_once, read_table);
    return table.version;
}

unsigned cgroup_supports(void)
{
    pthread_once(&table_once, read_table);
    return table.supports;
}

const struct cgroup_hierarchy *cgroup__find(unsigned controller)
{
    const struct cgroup_hierarchy *items;
    size_t count = cgroup__hierarchies(&items);

    for (size_t i = 0; i < count; i++)
        if (items[i].controllers & controller)
            return &items[i];
    return NULL;
}

const struct cgroup_hierarchy *cgroup__unified(void)
{
    const struct cgroup_hierarchy *items;
    size_t count = cgroup__hierarchies(&items);

    for (size_t i = 0; i < count; i++)
        if (items[i].unified)
            return &items[i];
    return NULL;
}

/* --- files -------------------------------------------------------------------- */
int cgroup__check_path(const char *path)
{
    CLEANUP_STRV char **parts = path ? strv_split(path, '/') : NULL;

    if (!parts || strv_length(parts) == 0 || strlen(path) > 1024)
        return -EINVAL;
    for (char **part = parts; *part; part++)
        if (**part == '\0' || str_equal(*part, ".") || str_equal(*part, ".."))
            return -EINVAL;
    return 0;
}

char *cgroup__file(const struct cgroup_hierarchy *hierarchy, const char *path, const char *file)
{
    return mem_printf("%s/%s%s%s", hierarchy->mount, path, file ? "/" : "", file ? file : "");
}

int cgroup__write(const struct cgroup_hierarchy *hierarchy, const char *path, const char *file,
                  const char *text)
{
    CLEANUP_FREE char *full = cgroup__file(hierarchy, path, file);

    return file_write_text(AT_FDCWD, full, text);
}

int cgroup__write_i64(const struct cgroup_hierarchy *hierarchy, const char *path, const char *file,
                      int64_t value)
{
    CLEANUP_FREE char *text = mem_printf("%lld", (long long)value);

    return cgroup__write(hierarchy, path, file, text);
}

int cgroup__read(const struct cgroup_hierarchy *hierarchy, const char *path, const char *file,
                 char **ret)
{
    CLEANUP_FREE char *full = cgroup__file(hierarchy, path, file);

    return file_read(AT_FDCWD, full, CGROUP_FILE_MAX, ret, NULL);
}

uint64_t cgroup__read_u64(const struct cgroup_hierarchy *hierarchy, const char *path, const char *file)
{
    CLEANUP_FREE char *text = NULL;

    if (cgroup__read(hierarchy, path, file, &text) < 0)
        return 0;
    return strncmp(text, "max", 3) == 0 ? UINT64_MAX : strtoull(text, NULL, 10);
}

uint64_t cgroup__key_u64(const char *text, const char *key)
{
    size_t length = strlen(key);

    for (const char *line = text; line && *line;) {
        if (strncmp(line, key, length) == 0 && line[length] == ' ')
            return strtoull(line + length + 1, NULL, 10);
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    return 0;
}

/* --- making --------------------------------------------------------------------- */
/* A new v1 cpuset is empty and nothing can enter it: it takes its parent's sets. */
static void inherit_cpuset(const struct cgroup_hierarchy *h, const char *path)
{
    static const char *const files[] = {"cpuset.cpus", "cpuset.mems"};
    CLEANUP_FREE char *parent = mem_strdup(path);
    char *slash = strrchr(parent, '/');

    if (slash)
        *slash = '\0';
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        CLEANUP_FREE char *own = NULL;
        CLEANUP_FREE char *inherited = NULL;

        if (cgroup__read(h, path, files[i], &own) < 0 || (own[0] && own[0] != '\n'))
            continue;
        if (cgroup__read(h, slash ? parent : ".", files[i], &inherited) == 0)
            (void)cgroup__write(h, path, files[i], inherited);
    }
}

/* v2: a controller works in a cgroup when its parent hands it down. One at a
 * time: one that cannot be had does not keep the others away. */
static void hand_down(const struct cgroup_hierarchy *h, const char *parent)
{
    CLEANUP_STRV char **names = strv_split(h->options, ',');
    CLEANUP_FREE char *enabled = NULL;

    if (cgroup__read(h, parent, "cgroup.subtree_control", &enabled) < 0)
        return;
    for (char **name = names; name && *name; name++) {
        CLEANUP_FREE char *request = NULL;

        if (strstr(enabled, *name))
            continue;
        request = mem_printf("+%s", *name);
        (void)cgroup__write(h, parent, "cgroup.subtree_control", request);
    }
}

static int create_in(const struct cgroup_hierarchy *h, const char *path)
{
    CLEANUP_FREE char *whole = cgroup__file(h, path, NULL);
    CLEANUP_FREE char *parent = mem_strdup(".");
    size_t length = strlen(path);

    if (access(whole, F_OK) == 0)
        return 0;
    for (size_t end = 0; end < length;) {
        CLEANUP_FREE char *full = NULL;
        char *prefix;

        end += 1 + strcspn(path + end + 1, "/");
        prefix = mem_strndup(path, end);
        full = cgroup__file(h, prefix, NULL);
        if (h->unified)
            hand_down(h, parent);
        free(parent);
        parent = prefix;
        if (mkdir(full, 0755) < 0 && errno != EEXIST)
            return -errno;
        if (h->controllers & CGROUP_CPUSET && !h->unified)
            inherit_cpuset(h, prefix);
    }
    return 0;
}

int cgroup_create(const char *path, struct error *err)
{
    const struct cgroup_hierarchy *items;
    size_t count = cgroup__hierarchies(&items);

    if (cgroup__check_path(path) < 0)
        return error_set(err, EINVAL, "invalid cgroup path \"%s\"", path ? path : "");
    if (count == 0)
        return error_set(err, EIO, "no cgroup file system is mounted; mount one at /sys/fs/cgroup");
    for (size_t i = 0; i < count; i++) {
        int r = create_in(&items[i], path);

        if (r < 0)
            return error_errno(err, EIO, "cannot make cgroup %s/%s (%s)", items[i].mount, path, strerror(-r));
    }
    return 0;
}

int cgroup_attach(const char *path, pid_t pid, struct error *err)
{
    const struct cgroup_hierarchy *items;
    size_t count = cgroup__hierarchies(&items);

    for (size_t i = 0; i < count; i++) {
        int r = cgroup__write_i64(&items[i], path, "cgroup.procs", pid);

        if (r < 0)
            return error_errno(err, r == -ENOENT ? EIO : -r, "cannot enter cgroup %s/%s", items[i].mount, path);
    }
    return 0;
}

int cgroup_entry_open(const char *path, struct cgroup_entry *ret, struct error *err)
{
    struct cgroup_entry entry = CGROUP_ENTRY_INIT;
    const struct cgroup_hierarchy *items;
    size_t count = cgroup__hierarchies(&items);

    for (size_t i = 0; i < count; i++) {
        CLEANUP_FREE char *file = cgroup__file(&items[i], path, items[i].unified ? NULL : "tasks");
        int fd = items[i].unified ? open(file, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : open(file, O_WRONLY | O_CLOEXEC);

        if (fd < 0) {
            int r = errno;

            cgroup_entry_close(&entry);
            return error_errno(err, r == ENOENT ? EIO : r, "cannot open cgroup %s", file);
        }
        if (items[i].unified)
            entry.unified = fd;
        else
            entry.tasks[entry.task_count++] = fd;
    }
    *ret = entry;
    return 0;
}

int cgroup_entry_enter(const struct cgroup_entry *entry, struct error *err)
{
    for (size_t i = 0; i < entry->task_count; i++)
        if (write(entry->tasks[i], "0", 1) != 1)
            return error_errno(err, errno, "cannot enter the container's cgroup");
    return 0;
}

void cgroup_entry_close(struct cgroup_entry *entry)
{
    for (size_t i = 0; i < entry->task_count; i++)
        close(entry->tasks[i]);
    if (entry->unified >= 0)
        close(entry->unified);
    *entry = CGROUP_ENTRY_INIT;
}

/* --- freezing --------------------------------------------------------------------- */
static void nap(void)
{
    struct timespec t = {.tv_nsec = NS_PER_MS};

    nanosleep(&t, NULL);
}

static int freeze_v1(const struct cgroup_hierarchy *h, const char *path, bool frozen)
{
    const char *wanted = frozen ? "FROZEN" : "THAWED";
    int64_t deadline = clock_mono_ns() + 10 * NS_PER_SEC;

    for (;;) {
        CLEANUP_FREE char *state = NULL;
        /* Written again each time: a process in vfork or an uninterruptible wait
         * leaves the group FREEZING until it is asked anew (freezer-subsystem.rst). */
        int r = cgroup__write(h, path, "freezer.state", wanted);

        if (r < 0)
            return r;
        r = cgroup__read(h, path, "freezer.state", &state);
        if (r < 0)
            return r;
        if (str_starts(state, wanted))
            return 0;
        if (clock_mono_ns() > deadline) {
            if (frozen)
                (void)cgroup__write(h, path, "freezer.state", "THAWED");
            return -ETIMEDOUT;
        }
        nap();
    }
}

/* Waits for a key of cgroup.events, which notifies by POLLPRI. */
static int wait_event(const struct cgroup_hierarchy *h, const char *path, const char *key,
                      uint64_t value, int timeout_ms)
{
    CLEANUP_FREE char *full = cgroup__file(h, path, "cgroup.events");
    CLEANUP_CLOSE int fd = open(full, O_RDONLY | O_CLOEXEC);
    int64_t deadline = clock_mono_ns() + timeout_ms * NS_PER_MS;

    if (fd < 0)
        return -errno;
    for (;;) {
        char text[256];
        ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
        struct pollfd p = {.fd = fd, .events = POLLPRI};
        int64_t left = deadline - clock_mono_ns();

        if (n < 0)
            return -errno;
        text[n] = '\0';
        if (cgroup__key_u64(text, key) == value)
            return 0;
        if (left <= 0)
            return -ETIMEDOUT;
        (void)poll(&p, 1, (int)(left / NS_PER_MS) + 1);
    }
}

int cgroup_freeze(const char *path, bool frozen, struct error *err)
{
    const struct cgroup_hierarchy *h = cgroup__find(CGROUP_FREEZER);
    int r;

    if (!h)
        return error_set(err, ENOTSUP, "this host has no freezer cgroup; containers cannot be paused");
    if (!h->unified) {
        r = freeze_v1(h, path, frozen);
    } else {
        r = cgroup__write(h, path, "cgroup.freeze", frozen ? "1" : "0");
        if (r == 0)
            r = wait_event(h, path, "frozen", frozen, 10000);
        if (r < 0 && frozen)
            (void)cgroup__write(h, path, "cgroup.freeze", "0");
    }
    if (r < 0)
        return error_errno(err, r == -ENOENT ? ESRCH : -r, "cannot %s the container", frozen ? "freeze" : "thaw");
    return 0;
}

/* --- its processes ------------------------------------------------------------------ */
/* The hierarchy whose lists we trust for "who is in it". */
static const struct cgroup_hierarchy *census(void)
{
    const struct cgroup_hierarchy *h = cgroup__find(CGROUP_PIDS);

    if (!h)
        h = cgroup__find(CGROUP_FREEZER);
    return h ? h : cgroup__unified();
}

static int collect(const char *dir, int depth, pid_t **pids, size_t *count, size_t *capacity)
{
    CLEANUP_FREE char *file = mem_printf("%s/cgroup.procs", dir);
    CLEANUP_FREE char *text = NULL;
    DIR *d;
    int r = file_read(AT_FDCWD, file, 16u << 20, &text, NULL);

    if (r < 0)
        return r;
    for (char *at = text; *at;) {
        char *end;
        long pid = strtol(at, &end, 10);

        if (end == at)
            break;
        if (*count == *capacity) {
            *capacity = *capacity ? 2 * *capacity : 16;
            *pids = mem_grow(*pids, *capacity, sizeof(**pids));
        }
        if (pid > 0) /* 0: of another pid namespace */
            (*pids)[(*count)++] = (pid_t)pid;
        at = *end ? end + 1 : end;
    }
    /* Containers make cgroups of their own (systemd inside); not without end. */
    if (depth > 16 || !(d = opendir(dir)))
        return 0;
    for (struct dirent *e; (e = readdir(d));) {
        if (e->d_type == DT_DIR && e->d_name[0] != '.') {
            CLEANUP_FREE char *below = mem_printf("%s/%s", dir, e->d_name);

            (void)collect(below, depth + 1, pids, count, capacity);
        }
    }
    closedir(d);
    return 0;
}

int cgroup_pids(const char *path, pid_t **ret, size_t *ret_count)
{
    const struct cgroup_hierarchy *h = census();
    CLEANUP_FREE char *dir = NULL;
    pid_t *pids = NULL;
    size_t count = 0, capacity = 0;
    int r;

    if (!h || cgroup__check_path(path) < 0)
        return -ENOENT;
    dir = cgroup__file(h, path, NULL);
    r = collect(dir, 0, &pids, &count, &capacity);
    if (r < 0) {
        free(pids);
        return r;
    }
    *ret = pids;
    *ret_count = count;
    return 0;
}

static int signal_all(const char *path, int signal)
{
    CLEANUP_FREE pid_t *pids = NULL;
    size_t count = 0;
    int r = cgroup_pids(path, &pids, &count);

    if (r < 0)
        return r;
    for (size_t i = 0; i < count; i++)
        if (pids[i] > 1)
            (void)kill(pids[i], signal);
    return (int)count;
}

int cgroup_kill(const char *path, int signal)
{
    const struct cgroup_hierarchy *unified = cgroup__unified();
    const struct cgroup_hierarchy *freezer = cgroup__find(CGROUP_FREEZER);
    int64_t deadline = clock_mono_ns() + 5 * NS_PER_SEC;

    if (cgroup__check_path(path) < 0)
        return -EINVAL;
    if (signal != SIGKILL) {
        int r = signal_all(path, signal);

        return r < 0 ? r : 0;
    }
    if (unified && cgroup__write(unified, path, "cgroup.kill", "1") == 0) {
        if (freezer && !freezer->unified)
            (void)cgroup__write(freezer, path, "freezer.state", "THAWED");
        return wait_event(unified, path, "populated", 0, 5000);
    }
    for (;;) {
        int left;

        /* Frozen, a fork bomb cannot outrun the list; the kill is carried out
         * when thawed. */
        if (freezer && !freezer->unified)
            (void)cgroup__write(freezer, path, "freezer.state", "FROZEN");
        left = signal_all(path, SIGKILL);
        if (freezer && !freezer->unified)
            (void)cgroup__write(freezer, path, "freezer.state", "THAWED");
        if (left <= 0)
            return left == -ENOENT ? 0 : left;
        if (clock_mono_ns() > deadline)
            return -ETIMEDOUT;
        nap();
    }
}

/* --- removing --------------------------------------------------------------------------- */
static int remove_tree(const char *dir, int depth)
{
    DIR *d;

    if (rmdir(dir) == 0 || errno == ENOENT)
        return 0;
    if (depth > 64 || !(d = opendir(dir)))
        return -errno;
    for (struct dirent *e; (e = readdir(d));) {
        if (e->d_type == DT_DIR && !str_equal(e->d_name, ".") && !str_equal(e->d_name, "..")) {
            CLEANUP_FREE char *below = mem_printf("%s/%s", dir, e->d_name);

            (void)remove_tree(below, depth + 1);
        }
    }
    closedir(d);
    return rmdir(dir) == 0 || errno == ENOENT ? 0 : -errno;
}

void cgroup_sweep(const char *parent, const char *prefix)
{
    const struct cgroup_hierarchy *items;
    size_t count = cgroup__hierarchies(&items);

    for (size_t i = 0; i < count && cgroup__check_path(parent) == 0; i++) {
        CLEANUP_FREE char *dir = cgroup__file(&items[i], parent, NULL);
        DIR *d = opendir(dir);

        for (struct dirent *e; d && (e = readdir(d));) {
            CLEANUP_FREE char *below = mem_printf("%s/%s", dir, e->d_name);
            if (e->d_type == DT_DIR && str_starts(e->d_name, prefix))
                (void)remove_tree(below, 0);
        }
        if (d)
            closedir(d);
    }
}

int cgroup_remove(const char *path)
{
    const struct cgroup_hierarchy *items;
    size_t count = cgroup__hierarchies(&items);
    int result = 0;

    if (cgroup__check_path(path) < 0)
        return -EINVAL;
    for (size_t i = 0; i < count; i++) {
        CLEANUP_FREE char *dir = cgroup__file(&items[i], path, NULL);
        int r = remove_tree(dir, 0);

        /* A process that has just been reaped may still be leaving. */
        for (int tries = 0; r == -EBUSY && tries < 50; tries++) {
            nap();
            r = remove_tree(dir, 0);
        }
        if (r < 0)
            result = r;
    }
    return result;
}

/* --- out of memory ------------------------------------------------------------------------ */
int cgroup_oom_fd(const char *path, int *ret_fd)
{
    const struct cgroup_hierarchy *h = cgroup__find(CGROUP_MEMORY);

    if (!h)
        return -ENOTSUP;
    if (h->unified) {
        CLEANUP_FREE char *events = cgroup__file(h, path, "memory.events");
        CLEANUP_CLOSE int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

        if (fd < 0 || inotify_add_watch(fd, events, IN_MODIFY) < 0)
            return -errno;
        *ret_fd = TAKE_FD(fd);
        return 0;
    } else {
        CLEANUP_FREE char *control = cgroup__file(h, path, "memory.oom_control");
        CLEANUP_CLOSE int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        CLEANUP_CLOSE int oom = open(control, O_RDONLY | O_CLOEXEC);
        CLEANUP_FREE char *line = NULL;
        int r;

        if (event < 0 || oom < 0)
            return -errno;
        line = mem_printf("%d %d", event, oom);
        r = cgroup__write(h, path, "cgroup.event_control", line);
        if (r < 0)
            return r;
        *ret_fd = TAKE_FD(event);
        return 0;
    }
}
