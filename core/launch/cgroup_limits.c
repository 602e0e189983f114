/* cgroup_limits.c - a plan's limits into the files of v1 or v2. Owner: launch.
 *
 * The plan speaks v1. The conversions to v2 are those of the OCI runtime
 * specification (shares to weight, memory+swap to swap).
 */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "launch/cgroup_private.h"
#include "tabique/error.h"

struct apply {
    const char *path;
    const struct plan_limits *limits;
    struct error *err;
};

/* A limit that the host's kernel has no file for is not an error: the engine has
 * warned, as Docker does. */
static int put(struct apply *a, unsigned controller, const char *v1, const char *v2, const char *value)
{
    const struct cgroup_hierarchy *h = cgroup__find(controller);
    const char *file = h && h->unified ? v2 : v1;
    int r;

    if (!h || !file)
        return 0;
    r = cgroup__write(h, a->path, file, value);
    if (r < 0 && r != -ENOENT && r != -ENOTSUP)
        return error_errno(a->err, r, "cannot set %s to \"%s\"", file, value);
    return 0;
}

static int put_i64(struct apply *a, unsigned controller, const char *v1, const char *v2, int64_t value)
{
    CLEANUP_FREE char *text = value < 0 ? mem_strdup(controller == CGROUP_PIDS ? "max" : "-1")
                                        : mem_printf("%lld", (long long)value);

    return put(a, controller, v1, v2, text);
}

/* memory may never exceed memory+swap: raising both, the sum goes first. Which
 * way it goes is found by trying. */
static int apply_memory_v1(struct apply *a)
{
    const struct plan_limits *l = a->limits;
    const struct cgroup_hierarchy *h = cgroup__find(CGROUP_MEMORY);
    bool swap = cgroup_supports() & CGROUP_SWAP && l->memory_swap != 0;
    bool swap_first = false;

    if (l->memory > 0) {
        int r = cgroup__write_i64(h, a->path, "memory.limit_in_bytes", l->memory);

        if (r == -EINVAL && swap) {
            swap_first = true;
        } else if (r == -EBUSY) {
            return error_set(a->err, EBUSY, "the memory limit is below what the container uses");
        } else if (r < 0) {
            return error_errno(a->err, r, "cannot set the memory limit to %lld", (long long)l->memory);
        }
    }
    if (swap) {
        int r = put_i64(a, CGROUP_MEMORY, "memory.memsw.limit_in_bytes", NULL, l->memory_swap);

        if (r < 0)
            return r;
    }
    return swap_first ? put_i64(a, CGROUP_MEMORY, "memory.limit_in_bytes", NULL, l->memory) : 0;
}

static int apply_memory(struct apply *a)
{
    const struct plan_limits *l = a->limits;
    const struct cgroup_hierarchy *h = cgroup__find(CGROUP_MEMORY);
    int r = 0;

    if (!h)
        return 0;
    if (h->unified) {
        if (l->memory > 0)
            r = put_i64(a, CGROUP_MEMORY, NULL, "memory.max", l->memory);
        if (r == 0 && l->memory_swap < 0)
            r = put(a, CGROUP_MEMORY, NULL, "memory.swap.max", "max");
        else if (r == 0 && l->memory_swap > 0 && l->memory > 0)
            r = put_i64(a, CGROUP_MEMORY, NULL, "memory.swap.max", l->memory_swap - l->memory);
    } else {
        r = apply_memory_v1(a);
    }
    if (r == 0 && l->memory_reservation > 0)
        r = put_i64(a, CGROUP_MEMORY, "memory.soft_limit_in_bytes", "memory.low", l->memory_reservation);
    if (r == 0 && l->memory_swappiness >= 0)
        r = put_i64(a, CGROUP_MEMORY, "memory.swappiness", NULL, l->memory_swappiness);
    if (r == 0 && l->oom_kill_disable)
        r = put(a, CGROUP_MEMORY, "memory.oom_control", NULL, "1");
    return r;
}

static int apply_cpu(struct apply *a)
{
    const struct plan_limits *l = a->limits;
    const struct cgroup_hierarchy *h = cgroup__find(CGROUP_CPU);
    int r = 0;

    if (h && h->unified) {
        if (l->cpu_shares > 0) {
            int64_t shares = l->cpu_shares < 2 ? 2 : l->cpu_shares > 262144 ? 262144 : l->cpu_shares;

            r = put_i64(a, CGROUP_CPU, NULL, "cpu.weight", 1 + (shares - 2) * 9999 / 262142);
        }
        if (r == 0 && (l->cpu_quota != 0 || l->cpu_period > 0)) {
            int64_t period = l->cpu_period > 0 ? l->cpu_period : 100000;
            CLEANUP_FREE char *text = l->cpu_quota > 0
                                          ? mem_printf("%lld %lld", (long long)l->cpu_quota, (long long)period)
                                          : mem_printf("max %lld", (long long)period);

            r = put(a, CGROUP_CPU, NULL, "cpu.max", text);
        }
    } else if (h) {
        if (l->cpu_shares > 0)
            r = put_i64(a, CGROUP_CPU, "cpu.shares", NULL, l->cpu_shares);
        if (r == 0 && l->cpu_period > 0)
            r = put_i64(a, CGROUP_CPU, "cpu.cfs_period_us", NULL, l->cpu_period);
        if (r == 0 && l->cpu_quota != 0)
            r = put_i64(a, CGROUP_CPU, "cpu.cfs_quota_us", NULL, l->cpu_quota);
    }
    if (r == 0 && l->cpuset_cpus && *l->cpuset_cpus)
        r = put(a, CGROUP_CPUSET, "cpuset.cpus", "cpuset.cpus", l->cpuset_cpus);
    if (r == 0 && l->cpuset_mems && *l->cpuset_mems)
        r = put(a, CGROUP_CPUSET, "cpuset.mems", "cpuset.mems", l->cpuset_mems);
    return r;
}

static const struct {
    const char *v1;
    const char *v2_key;
} throttles[] = {
    {"blkio.throttle.read_bps_device", "rbps"},
    {"blkio.throttle.write_bps_device", "wbps"},
    {"blkio.throttle.read_iops_device", "riops"},
    {"blkio.throttle.write_iops_device", "wiops"},
};

static int apply_throttle(struct apply *a, const struct plan_pair *pair)
{
    const struct cgroup_hierarchy *h = cgroup__find(CGROUP_BLKIO);

    if (str_equal(pair->name, "blkio.weight_device"))
        return put(a, CGROUP_BLKIO, "blkio.weight_device", NULL, pair->value);
    for (size_t i = 0; i < ARRAY_SIZE(throttles); i++) {
        const char *space = pair->value ? strchr(pair->value, ' ') : NULL;

        if (!str_equal(pair->name, throttles[i].v1) || !space)
            continue;
        if (h && h->unified) {
            /* "8:0 1048576" becomes "8:0 rbps=1048576"; 0 lifts the limit. */
            CLEANUP_FREE char *line = mem_printf("%.*s %s=%s", (int)(space - pair->value), pair->value,
                                                 throttles[i].v2_key,
                                                 str_equal(space + 1, "0") ? "max" : space + 1);

            return put(a, CGROUP_BLKIO, NULL, "io.max", line);
        }
        return put(a, CGROUP_BLKIO, throttles[i].v1, NULL, pair->value);
    }
    return error_set(a->err, EINVAL, "unknown block I/O limit \"%s\"", pair->name ? pair->name : "");
}

static int apply_blkio(struct apply *a)
{
    const struct plan_limits *l = a->limits;
    const struct cgroup_hierarchy *h = cgroup__find(CGROUP_BLKIO);

    if (!h)
        return 0;
    if (l->blkio_weight > 0) {
        int64_t v2 = 1 + (l->blkio_weight - 10) * 9999 / 990;
        bool bfq = cgroup__write_i64(h, a->path, h->unified ? "io.bfq.weight" : "blkio.bfq.weight",
                                     l->blkio_weight) == 0;
        int r = bfq ? 0 : put_i64(a, CGROUP_BLKIO, "blkio.weight", "io.weight", h->unified ? v2 : l->blkio_weight);

        if (r < 0)
            return r;
    }
    for (size_t i = 0; i < l->blkio_count; i++) {
        int r = apply_throttle(a, &l->blkio[i]);

        if (r < 0)
            return r;
    }
    return 0;
}

static int apply_devices(struct apply *a)
{
    const struct plan_limits *l = a->limits;
    const struct cgroup_hierarchy *h = cgroup__find(CGROUP_DEVICES);

    if (l->device_rule_count == 0)
        return 0;
    if (!h)
        return error_set(a->err, ENOTSUP, "this host has no devices cgroup: a container would reach every device");
    if (h->unified)
        return cgroup__attach_devices(a->path, l->device_rules, l->device_rule_count, a->err);
    for (size_t i = 0; i < l->device_rule_count; i++) {
        const struct plan_device_rule *rule = &l->device_rules[i];
        CLEANUP_STR struct str line = STR_INIT;
        int r;

        str_append_char(&line, rule->type);
        if (rule->type != 'a') {
            str_append_char(&line, ' ');
            if (rule->major < 0)
                str_append(&line, "*:");
            else
                str_printf(&line, "%lld:", (long long)rule->major);
            if (rule->minor < 0)
                str_append_char(&line, '*');
            else
                str_printf(&line, "%lld", (long long)rule->minor);
            str_printf(&line, " %s", rule->access);
        }
        r = cgroup__write(h, a->path, rule->allow ? "devices.allow" : "devices.deny", line.data);
        if (r < 0)
            return error_errno(a->err, r == -ENOENT ? EIO : -r, "cannot set device rule \"%s\"", line.data);
    }
    return 0;
}

int cgroup_apply(const char *path, const struct plan_limits *limits, struct error *err)
{
    static int (*const steps[])(struct apply *) = {apply_memory, apply_cpu, apply_blkio, apply_devices};
    struct apply a = {.path = path, .limits = limits, .err = err};

    if (cgroup__check_path(path) < 0)
        return error_set(err, EINVAL, "invalid cgroup path \"%s\"", path ? path : "");
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        int r = steps[i](&a);

        if (r < 0)
            return r;
    }
    return limits->pids ? put_i64(&a, CGROUP_PIDS, "pids.max", "pids.max", limits->pids) : 0;
}
