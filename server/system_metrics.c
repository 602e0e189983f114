/* GET /metrics: Prometheus' text format, the names cAdvisor and client libraries use. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "launch/cgroup.h"
#include "routes.h"
#include "server.h"
#include "shapes.h"
#include "system_routes.h"
#include "tabique/engine.h"
#include "tabique/host.h"
#include "tabique/image.h"

struct measured {
    char *labels; /* id="...",name="...",image="...",isolation="..." */
    enum container_state state;
    bool hyperv, running;
    double started;
    struct cgroup_stats stats;
    struct network_stats *networks;
    size_t network_count;
};

struct gather {
    struct measured *items;
    size_t count, capacity;
};

static void append_label(struct str *out, const char *name, const char *value)
{
    str_printf(out, "%s%s=\"", out->length ? "," : "", name);
    for (; value && *value; value++) {
        if (*value == '\n')
            str_append(out, "\\n");
        else if (*value == '"' || *value == '\\')
            str_printf(out, "\\%c", *value);
        else
            str_append_char(out, *value);
    }
    str_append_char(out, '"');
}

static int measure(void *user, struct container *container)
{
    struct gather *gather = user;
    CLEANUP_CONTAINER_INFO struct container_info *info = NULL;
    if (container_info(container, &info) < 0)
        return 0;
    if (gather->count == gather->capacity) {
        gather->capacity = gather->capacity ? gather->capacity * 2 : 32;
        gather->items = mem_grow(gather->items, gather->capacity, sizeof(*gather->items));
    }
    struct measured *item = &gather->items[gather->count++];
    *item = (struct measured){
        .state = info->state,
        .hyperv = strcmp(info->isolation, "hyperv") == 0,
        .started = (double)info->started_ns / (double)NS_PER_SEC,
    };
    CLEANUP_STR struct str labels = STR_INIT;
    append_label(&labels, "id", info->id);
    append_label(&labels, "name", info->name);
    append_label(&labels, "image", info->image);
    append_label(&labels, "isolation", info->isolation);
    item->labels = str_take(&labels);
    if (info->state == CONTAINER_RUNNING || info->state == CONTAINER_PAUSED)
        item->running = container_stats(container, &item->stats, &item->networks, &item->network_count,
                                        NULL) >= 0;
    return 0;
}

static void family(struct str *out, const char *name, const char *type, const char *help)
{
    str_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void single(struct str *out, const char *name, const char *type, const char *help, double value)
{
    family(out, name, type, help);
    str_printf(out, "%s %.17g\n", name, value);
}

/* --- per container ------------------------------------------------------------------------ */

static const struct metric {
    const char *name, *type, *help;
    size_t offset;  /* of a uint64_t in struct cgroup_stats */
    double scale;
} metrics[] = {
#define STAT(member) offsetof(struct cgroup_stats, member)
    {"container_cpu_usage_seconds_total", "counter", "CPU time used", STAT(cpu_total_ns), 1e-9},
    {"container_cpu_user_seconds_total", "counter", "CPU time in user mode", STAT(cpu_user_ns), 1e-9},
    {"container_cpu_system_seconds_total", "counter", "CPU time in the kernel", STAT(cpu_system_ns), 1e-9},
    {"container_cpu_cfs_periods_total", "counter", "Elapsed enforcement periods", STAT(cpu_periods), 1},
    {"container_cpu_cfs_throttled_periods_total", "counter", "Throttled periods", STAT(cpu_throttled), 1},
    {"container_cpu_cfs_throttled_seconds_total", "counter", "Time throttled", STAT(cpu_throttled_ns), 1e-9},
    {"container_memory_usage_bytes", "gauge", "Memory in use, cache included", STAT(memory_usage), 1},
    {"container_memory_max_usage_bytes", "gauge", "Most memory in use so far", STAT(memory_max_usage), 1},
    {"container_memory_cache", "gauge", "Page cache", STAT(memory_cache), 1},
    {"container_memory_rss", "gauge", "Anonymous memory", STAT(memory_rss), 1},
    {"container_oom_events_total", "counter", "Processes killed for want of memory", STAT(oom_kills), 1},
    {"container_processes", "gauge", "Processes and threads", STAT(pids_current), 1},
    {"container_fs_reads_bytes_total", "counter", "Bytes read from block devices", STAT(block_read_bytes), 1},
    {"container_fs_writes_bytes_total", "counter", "Bytes written to block devices", STAT(block_write_bytes), 1},
    {"container_fs_reads_total", "counter", "Reads from block devices", STAT(block_read_ops), 1},
    {"container_fs_writes_total", "counter", "Writes to block devices", STAT(block_write_ops), 1},
#undef STAT
};

static const struct network_metric {
    const char *name, *help;
    size_t offset;
} network_metrics[] = {
#define STAT(member) offsetof(struct network_stats, member)
    {"container_network_receive_bytes_total", "Bytes received", STAT(rx_bytes)},
    {"container_network_receive_packets_total", "Packets received", STAT(rx_packets)},
    {"container_network_receive_errors_total", "Errors in receiving", STAT(rx_errors)},
    {"container_network_receive_packets_dropped_total", "Received packets dropped", STAT(rx_dropped)},
    {"container_network_transmit_bytes_total", "Bytes sent", STAT(tx_bytes)},
    {"container_network_transmit_packets_total", "Packets sent", STAT(tx_packets)},
    {"container_network_transmit_errors_total", "Errors in sending", STAT(tx_errors)},
    {"container_network_transmit_packets_dropped_total", "Packets to send dropped", STAT(tx_dropped)},
#undef STAT
};

static uint64_t member(const void *object, size_t offset)
{
    uint64_t value;
    memcpy(&value, (const char *)object + offset, sizeof(value));
    return value;
}

static void write_containers(struct str *out, const struct gather *gather)
{
    for (size_t m = 0; m < ARRAY_SIZE(metrics); m++) {
        family(out, metrics[m].name, metrics[m].type, metrics[m].help);
        for (size_t i = 0; i < gather->count; i++) {
            const struct measured *item = &gather->items[i];
            if (item->running)
                str_printf(out, "%s{%s} %.17g\n", metrics[m].name, item->labels,
                           (double)member(&item->stats, metrics[m].offset) * metrics[m].scale);
        }
    }
    family(out, "container_memory_working_set_bytes", "gauge", "Memory in use less inactive page cache");
    for (size_t i = 0; i < gather->count; i++) {
        const struct measured *item = &gather->items[i];
        const uint64_t usage = item->stats.memory_usage, inactive = item->stats.memory_inactive_file;
        if (item->running)
            str_printf(out, "container_memory_working_set_bytes{%s} %llu\n", item->labels,
                       (unsigned long long)(usage > inactive ? usage - inactive : usage));
    }
    family(out, "container_start_time_seconds", "gauge", "Start time, seconds since the epoch");
    for (size_t i = 0; i < gather->count; i++) {
        if (gather->items[i].running)
            str_printf(out, "container_start_time_seconds{%s} %.3f\n", gather->items[i].labels,
                       gather->items[i].started);
    }
    for (size_t m = 0; m < ARRAY_SIZE(network_metrics); m++) {
        family(out, network_metrics[m].name, "counter", network_metrics[m].help);
        for (size_t i = 0; i < gather->count; i++) {
            const struct measured *item = &gather->items[i];
            for (size_t n = 0; n < item->network_count; n++) {
                CLEANUP_STR struct str interface = STR_INIT;
                append_label(&interface, "interface", item->networks[n].interface);
                str_printf(out, "%s{%s,%s} %llu\n", network_metrics[m].name, item->labels, interface.data,
                           (unsigned long long)member(&item->networks[n], network_metrics[m].offset));
            }
        }
    }
}

static void write_states(struct str *out, const struct gather *gather)
{
    static const char *const isolations[] = {"process", "hyperv"};
    family(out, "tabique_containers", "gauge", "Containers by state and isolation");
    for (int state = CONTAINER_CREATED; state <= CONTAINER_DEAD; state++) {
        for (size_t k = 0; k < ARRAY_SIZE(isolations); k++) {
            size_t count = 0;
            for (size_t i = 0; i < gather->count; i++)
                count += (int)gather->items[i].state == state && gather->items[i].hyperv == (k == 1);
            str_printf(out, "tabique_containers{state=\"%s\",isolation=\"%s\"} %zu\n",
                       container_state_name((enum container_state)state), isolations[k], count);
        }
    }
}

/* --- the server itself ----------------------------------------------------------------------- */

static void write_process(struct str *out)
{
    CLEANUP_CLOSE int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(process_list_unrefp) struct process_list *list = NULL;
    const pid_t self = getpid();
    struct rlimit files;

    if (proc >= 0 && process_read(proc, &self, 1, &list, NULL) >= 0 && list->count == 1) {
        const struct process *process = &list->items[0];
        single(out, "process_cpu_seconds_total", "counter", "CPU time used by the server",
               (double)process->cpu_ns / (double)NS_PER_SEC);
        single(out, "process_resident_memory_bytes", "gauge", "Resident memory of the server",
               (double)process->memory_bytes);
        single(out, "process_virtual_memory_bytes", "gauge", "Virtual memory of the server",
               (double)process->virtual_bytes);
        single(out, "process_start_time_seconds", "gauge", "Start of the server, seconds since the epoch",
               (double)process->started_ns / (double)NS_PER_SEC);
        single(out, "process_threads", "gauge", "Threads of the server", process->threads);
    }
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        single(out, "process_max_fds", "gauge", "Most file descriptors the server may open",
               (double)files.rlim_cur);
}

static void write_http(struct str *out, struct server *server)
{
    struct server_counts counts;
    server_counts(server, &counts);
    single(out, "tabique_http_requests_total", "counter", "Requests served", (double)counts.requests);
    single(out, "tabique_http_connections", "gauge", "Open connections", (double)counts.connections);
    single(out, "tabique_http_streams", "gauge", "Long answers under way", (double)counts.streams);
    single(out, "tabique_http_websockets", "gauge", "Open WebSockets", (double)counts.sockets);
    single(out, "tabique_http_workers", "gauge", "Worker threads", (double)counts.workers);
    single(out, "tabique_http_workers_busy", "gauge", "Worker threads at work", (double)counts.workers_busy);
    single(out, "tabique_http_queued", "gauge", "Requests that wait for a worker", (double)counts.queued);
}

static int count_image(void *user, const struct image *image)
{
    (*(int *)user)++;
    return 0;
}

int system_metrics(struct request *request)
{
    struct engine *engine = request_engine(request);
    struct gather gather = {0};
    struct engine_info info;
    struct engine_pool pool;
    struct machine machine;
    struct image_usage images_usage;
    CLEANUP_STR struct str out = STR_INIT;
    int images = 0;

    engine_info(engine, &info);
    engine_pool(engine, &pool);
    route_machine(&machine);
    image_each(engine_images(engine), count_image, &images);
    image_store_usage(engine_images(engine), &images_usage);
    container_each(engine, measure, &gather);

    family(&out, "tabique_build_info", "gauge", "Always 1");
    str_printf(&out, "tabique_build_info{version=\"%s\"} 1\n", TABIQUE_VERSION);
    write_states(&out, &gather);
    single(&out, "tabique_images", "gauge", "Images in the store", images);
    single(&out, "tabique_image_store_bytes", "gauge", "Unpacked bytes of all layers", (double)images_usage.layers);
    single(&out, "tabique_image_compressed_bytes", "gauge", "Bytes of layers kept as their registries have them",
           (double)images_usage.compressed);
    single(&out, "tabique_image_disk_bytes", "gauge", "Bytes of images as disks for machines", (double)images_usage.disks);
    family(&out, "tabique_wall_available", "gauge", "Whether containers can run behind this wall");
    str_printf(&out, "tabique_wall_available{isolation=\"process\"} 1\n");
    str_printf(&out, "tabique_wall_available{isolation=\"hyperv\"} %d\n", info.hyperv_available);
    single(&out, "tabique_vm_pool_wanted", "gauge", "Virtual machines to be kept warm", pool.wanted);
    single(&out, "tabique_vm_pool_ready", "gauge", "Virtual machines that wait for a container", pool.ready);
    single(&out, "tabique_vm_pool_memory_bytes", "gauge", "Memory that they share with nobody", (double)pool.memory_bytes);
    single(&out, "tabique_vm_staged_bytes", "gauge", "Memory of the template staged for the image started last",
           (double)pool.staged_bytes);
    single(&out, "machine_cpu_cores", "gauge", "CPUs of the host", machine.cpus);
    single(&out, "machine_memory_bytes", "gauge", "Memory of the host", (double)machine.memory);
    write_http(&out, request_server(request));
    write_process(&out);
    write_containers(&out, &gather);

    for (size_t i = 0; i < gather.count; i++) {
        free(gather.items[i].labels);
        free(gather.items[i].networks);
    }
    free(gather.items);
    return respond_text(request, 200, "text/plain; version=0.0.4; charset=utf-8", out.data);
}
