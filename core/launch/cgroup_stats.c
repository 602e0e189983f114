/* cgroup_stats.c - reading a cgroup's counters, and carrying them over a socket.
 * Owner: launch. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/wire.h"
#include "launch/cgroup_private.h"

static void cpu_v1(const struct cgroup_hierarchy *h, const char *path, struct cgroup_stats *s)
{
    const struct cgroup_hierarchy *items;
    size_t count = cgroup__hierarchies(&items);
    CLEANUP_FREE char *stat = NULL;

    for (size_t i = 0; i < count; i++) {
        CLEANUP_FREE char *text = NULL;
        uint64_t tick_ns = (uint64_t)NS_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK);

        if (!items[i].cpuacct)
            continue;
        s->cpu_total_ns = cgroup__read_u64(&items[i], path, "cpuacct.usage");
        if (cgroup__read(&items[i], path, "cpuacct.stat", &text) == 0) {
            s->cpu_user_ns = cgroup__key_u64(text, "user") * tick_ns;
            s->cpu_system_ns = cgroup__key_u64(text, "system") * tick_ns;
        }
    }
    if (h && cgroup__read(h, path, "cpu.stat", &stat) == 0) {
        s->cpu_periods = cgroup__key_u64(stat, "nr_periods");
        s->cpu_throttled = cgroup__key_u64(stat, "nr_throttled");
        s->cpu_throttled_ns = cgroup__key_u64(stat, "throttled_time");
    }
}

static void cpu_v2(const struct cgroup_hierarchy *h, const char *path, struct cgroup_stats *s)
{
    CLEANUP_FREE char *text = NULL;

    if (cgroup__read(h, path, "cpu.stat", &text) < 0)
        return;
    s->cpu_total_ns = cgroup__key_u64(text, "usage_usec") * 1000;
    s->cpu_user_ns = cgroup__key_u64(text, "user_usec") * 1000;
    s->cpu_system_ns = cgroup__key_u64(text, "system_usec") * 1000;
    s->cpu_periods = cgroup__key_u64(text, "nr_periods");
    s->cpu_throttled = cgroup__key_u64(text, "nr_throttled");
    s->cpu_throttled_ns = cgroup__key_u64(text, "throttled_usec") * 1000;
}

static void memory(const struct cgroup_hierarchy *h, const char *path, struct cgroup_stats *s)
{
    CLEANUP_FREE char *text = NULL;
    CLEANUP_FREE char *oom = NULL;
    bool v2 = h->unified;

    s->memory_usage = cgroup__read_u64(h, path, v2 ? "memory.current" : "memory.usage_in_bytes");
    s->memory_max_usage = cgroup__read_u64(h, path, v2 ? "memory.peak" : "memory.max_usage_in_bytes");
    s->memory_limit = cgroup__read_u64(h, path, v2 ? "memory.max" : "memory.limit_in_bytes");
    /* v1 says "none" with the largest multiple of a page */
    if (s->memory_limit >= UINT64_C(0x7ffffffffffff000))
        s->memory_limit = UINT64_MAX;
    if (cgroup__read(h, path, "memory.stat", &text) == 0) {
        s->memory_cache = cgroup__key_u64(text, v2 ? "file" : "total_cache");
        s->memory_inactive_file = cgroup__key_u64(text, v2 ? "inactive_file" : "total_inactive_file");
        s->memory_rss = cgroup__key_u64(text, v2 ? "anon" : "total_rss");
    }
    if (cgroup__read(h, path, v2 ? "memory.events" : "memory.oom_control", &oom) == 0)
        s->oom_kills = cgroup__key_u64(oom, "oom_kill");
}

/* "8:0 Read 4096" lines. */
static void block_v1_file(const struct cgroup_hierarchy *h, const char *path, const char *file,
                          uint64_t *ret_read, uint64_t *ret_write)
{
    CLEANUP_FREE char *text = NULL;
    CLEANUP_STRV char **lines = NULL;

    if (cgroup__read(h, path, file, &text) < 0)
        return;
    lines = strv_split(text, '\n');
    for (char **line = lines; line && *line; line++) {
        const char *space = strchr(*line, ' ');

        if (space && str_starts(space, " Read "))
            *ret_read += strtoull(space + 6, NULL, 10);
        else if (space && str_starts(space, " Write "))
            *ret_write += strtoull(space + 7, NULL, 10);
    }
}

static uint64_t sum_keys(const char *text, const char *key)
{
    uint64_t sum = 0;

    for (const char *at = text; (at = strstr(at, key)); at += strlen(key))
        sum += strtoull(at + strlen(key), NULL, 10);
    return sum;
}

static void block(const struct cgroup_hierarchy *h, const char *path, struct cgroup_stats *s)
{
    CLEANUP_FREE char *text = NULL;

    if (!h->unified) {
        block_v1_file(h, path, "blkio.throttle.io_service_bytes_recursive", &s->block_read_bytes, &s->block_write_bytes);
        block_v1_file(h, path, "blkio.throttle.io_serviced_recursive", &s->block_read_ops, &s->block_write_ops);
    } else if (cgroup__read(h, path, "io.stat", &text) == 0) {
        s->block_read_bytes = sum_keys(text, " rbytes=");
        s->block_write_bytes = sum_keys(text, " wbytes=");
        s->block_read_ops = sum_keys(text, " rios=");
        s->block_write_ops = sum_keys(text, " wios=");
    }
}

int cgroup_stats(const char *path, struct cgroup_stats *ret)
{
    struct cgroup_stats s = {.sampled_ns = clock_real_ns()};
    const struct cgroup_hierarchy *h = cgroup__find(CGROUP_CPU);
    CLEANUP_FREE char *dir = NULL;

    if (cgroup__check_path(path) < 0)
        return -EINVAL;
    if (!h)
        h = cgroup__unified();
    if (!h)
        return -ENOTSUP;
    dir = cgroup__file(h, path, NULL);
    if (access(dir, F_OK) < 0)
        return -ENOENT;
    if (h->unified)
        cpu_v2(h, path, &s);
    else
        cpu_v1(h, path, &s);
    if ((h = cgroup__find(CGROUP_MEMORY)))
        memory(h, path, &s);
    if ((h = cgroup__find(CGROUP_PIDS))) {
        s.pids_current = cgroup__read_u64(h, path, "pids.current");
        s.pids_limit = cgroup__read_u64(h, path, "pids.max");
    }
    if ((h = cgroup__find(CGROUP_BLKIO)))
        block(h, path, &s);
    *ret = s;
    return 0;
}

int cgroup_cpu_usage(const char *path, uint64_t *ret_ns)
{
    const struct cgroup_hierarchy *items;
    size_t count = cgroup__hierarchies(&items);

    for (size_t i = 0; i < count; i++) {
        CLEANUP_FREE char *text = NULL;

        /* v1's is asked for first: on a hybrid host that is where the time is counted. */
        if (!items[i].cpuacct && (!items[i].unified || cgroup_version() != CGROUP_V2))
            continue;
        int r = cgroup__read(&items[i], path, items[i].unified ? "cpu.stat" : "cpuacct.usage", &text);
        if (r < 0)
            return r;
        *ret_ns = items[i].unified ? cgroup__key_u64(text, "usage_usec") * 1000 : strtoull(text, NULL, 10);
        return 0;
    }
    return -ENOTSUP;
}

uint64_t cgroup_oom_kills(const char *path)
{
    const struct cgroup_hierarchy *h = cgroup__find(CGROUP_MEMORY);
    CLEANUP_FREE char *text = NULL;

    if (!h || cgroup__read(h, path, h->unified ? "memory.events" : "memory.oom_control", &text) < 0)
        return 0;
    return cgroup__key_u64(text, "oom_kill");
}

/* Tags are the order below, from 1: append only. */
#define FIELD(name) offsetof(struct cgroup_stats, name)
static const size_t stats_fields[] = {
    FIELD(sampled_ns), FIELD(cpu_total_ns), FIELD(cpu_user_ns), FIELD(cpu_system_ns),
    FIELD(cpu_periods), FIELD(cpu_throttled), FIELD(cpu_throttled_ns), FIELD(memory_usage),
    FIELD(memory_max_usage), FIELD(memory_limit), FIELD(memory_cache), FIELD(memory_inactive_file),
    FIELD(memory_rss), FIELD(oom_kills), FIELD(pids_current), FIELD(pids_limit),
    FIELD(block_read_bytes), FIELD(block_write_bytes), FIELD(block_read_ops), FIELD(block_write_ops),
};

void cgroup_stats_encode(const struct cgroup_stats *stats, struct str *out)
{
    for (size_t i = 0; i < ARRAY_SIZE(stats_fields); i++) {
        uint64_t value;

        memcpy(&value, (const char *)stats + stats_fields[i], sizeof(value));
        wire_put_u64(out, (uint16_t)(i + 1), value);
    }
}

int cgroup_stats_decode(const void *data, size_t length, struct cgroup_stats *ret)
{
    struct cgroup_stats s = {0};
    struct wire_reader reader;
    struct wire_field field;

    wire_read(&reader, data, length);
    while (wire_next(&reader, &field)) {
        uint64_t value;

        if (field.tag < 1 || field.tag > ARRAY_SIZE(stats_fields))
            continue;
        value = wire_u64(&reader, &field);
        memcpy((char *)&s + stats_fields[field.tag - 1], &value, sizeof(value));
    }
    if (!wire_ok(&reader))
        return -EBADMSG;
    *ret = s;
    return 0;
}
