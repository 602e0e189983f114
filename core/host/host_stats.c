/* host_stats.c - the host itself, for charts. Owner: host.
 *
 * "Physical" is what has a device behind it in sysfs: bridges, veths, loop and
 * mapper devices would count the same bytes twice.
 */
#include "tabique/host.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"

#define FILE_MAX (1 << 20)
#define SECTOR 512

/* Calls fn for each line of a file. */
static int each_line(const char *path, void (*fn)(struct host_stats *, char *),
                     struct host_stats *stats)
{
    CLEANUP_FREE char *text = NULL;
    size_t length;

    int r = file_read(AT_FDCWD, path, FILE_MAX, &text, &length);
    if (r < 0)
        return r;
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n"));)
        fn(stats, line);
    return 0;
}

static void cpu_line(struct host_stats *stats, char *line)
{
    /* user nice system idle iowait irq softirq steal; guest time is in user. */
    unsigned long long t[8] = {0};
    long hz = sysconf(_SC_CLK_TCK);
    uint64_t tick_ns = (uint64_t)(NS_PER_SEC / (hz > 0 ? hz : 100));

    if (!str_starts(line, "cpu"))
        return;
    if (line[3] >= '0' && line[3] <= '9') {
        stats->cpus++;
        return;
    }
    if (line[3] != ' ' || sscanf(line + 4, "%llu %llu %llu %llu %llu %llu %llu %llu", &t[0], &t[1],
                                 &t[2], &t[3], &t[4], &t[5], &t[6], &t[7]) < 4)
        return;
    for (int i = 0; i < 8; i++)
        stats->cpu_total_ns += t[i] * tick_ns;
    stats->cpu_idle_ns = (t[3] + t[4]) * tick_ns;
}

static void memory_line(struct host_stats *stats, char *line)
{
    static const struct {
        const char *key;
        size_t offset;
    } rows[] = {
        {"MemTotal:", offsetof(struct host_stats, memory_total)},
        {"MemAvailable:", offsetof(struct host_stats, memory_available)},
        {"SwapTotal:", offsetof(struct host_stats, swap_total)},
        {"SwapFree:", offsetof(struct host_stats, swap_free)},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        unsigned long long kilobytes;
        if (str_starts(line, rows[i].key) &&
            sscanf(line + strlen(rows[i].key), "%llu", &kilobytes) == 1)
            *(uint64_t *)(void *)((char *)stats + rows[i].offset) = kilobytes * 1024;
    }
}

static bool has_device(const char *class, const char *name)
{
    char path[128];

    if (strchr(name, '/') ||
        snprintf(path, sizeof(path), "/sys/%s/%s/device", class, name) >= (int)sizeof(path))
        return false;
    return access(path, F_OK) == 0;
}

static void network_line(struct host_stats *stats, char *line)
{
    unsigned long long in, out;
    char *colon = strchr(line, ':');

    if (!colon)
        return;
    *colon = '\0';
    line += strspn(line, " ");
    if (sscanf(colon + 1, "%llu %*u %*u %*u %*u %*u %*u %*u %llu", &in, &out) != 2 ||
        !has_device("class/net", line))
        return;
    stats->net_rx_bytes += in;
    stats->net_tx_bytes += out;
}

static void disk_line(struct host_stats *stats, char *line)
{
    unsigned long long in, out;
    char name[64];

    if (sscanf(line, "%*u %*u %63s %*u %*u %llu %*u %*u %*u %llu", name, &in, &out) != 3 ||
        !has_device("block", name)) /* partitions are not in /sys/block */
        return;
    stats->block_read_bytes += in * SECTOR;
    stats->block_write_bytes += out * SECTOR;
}

static void load_line(struct host_stats *stats, char *line)
{
    double load[3];

    if (sscanf(line, "%lf %lf %lf", &load[0], &load[1], &load[2]) == 3) {
        stats->load1 = load[0];
        stats->load5 = load[1];
        stats->load15 = load[2];
    }
}

int host_stats(struct host_stats *ret)
{
    struct host_stats stats = {.sampled_ns = clock_real_ns()};
    int r;

    if ((r = each_line("/proc/stat", cpu_line, &stats)) < 0 ||
        (r = each_line("/proc/meminfo", memory_line, &stats)) < 0 ||
        (r = each_line("/proc/loadavg", load_line, &stats)) < 0)
        return r;
    /* A host without disks or links is no error. */
    (void)each_line("/proc/net/dev", network_line, &stats);
    (void)each_line("/proc/diskstats", disk_line, &stats);
    *ret = stats;
    return 0;
}
