#include "shapes.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "shapes_private.h"
#include "tabique/compare.h"
#include "tabique/container.h"
#include "tabique/event.h"
#include "tabique/host.h"
#include "tabique/store.h"

/* Percentages go out with two digits: the rest is noise, and costs bytes on
 * every row of every stream. */
static void add_percent(cJSON *object, const char *key, double value)
{
    if (!(value >= 0 && value < 1e9))
        value = 0;
    cJSON_AddNumberToObject(object, key, (double)(int64_t)(value * 100 + 0.5) / 100);
}

cJSON *shape_process(const struct process *process, bool inner)
{
    const char state[2] = {process->state ? process->state : '?', '\0'};
    cJSON *json = cJSON_CreateObject();

    /* Older history rows, and processes gone before they could be read, lack the inner pid. */
    inner = inner && process->inner_pid > 0;
    json_add_int(json, "pid", inner ? process->inner_pid : process->pid);
    json_add_int(json, "ppid", inner ? process->inner_ppid : process->ppid);
    json_add_string(json, "user", process->user ? process->user : "");
    json_add_string(json, "name", process->name);
    json_add_string(json, "command", process->command ? process->command : process->name);
    json_add_string(json, "state", state);
    json_add_int(json, "threads", process->threads);
    add_percent(json, "cpuPercent", process->cpu_percent);
    shape_add_uint64(json, "memoryBytes", process->memory_bytes);
    shape_add_time(json, "startedAt", process->started_ns);

    if (inner)
        json_add_int(json, "hostPid", process->pid);
    if (process->pss_bytes)
        shape_add_uint64(json, "pssBytes", process->pss_bytes);
    if (process->io_read_bytes || process->io_write_bytes) {
        shape_add_uint64(json, "ioReadBytes", process->io_read_bytes);
        shape_add_uint64(json, "ioWriteBytes", process->io_write_bytes);
    }
    if (process->container_id[0])
        json_add_string(json, "containerId", process->container_id);
    if (process->worker)
        json_add_bool(json, "worker", true);
    if (process->kernel_thread)
        json_add_bool(json, "kernelThread", true);
    return json;
}

cJSON *shape_process_list(const struct process_list *list, bool inner)
{
    cJSON *array = cJSON_CreateArray();
    for (size_t i = 0; list && i < list->count; i++)
        cJSON_AddItemToArray(array, shape_process(&list->items[i], inner));
    return array;
}

struct tree_entry {
    int64_t pid;
    cJSON *json;
    cJSON *children;
};

static int by_pid(const void *a, const void *b)
{
    const int64_t left = ((const struct tree_entry *)a)->pid, right = ((const struct tree_entry *)b)->pid;
    return (left > right) - (left < right);
}

/* A parent chain may form a loop in data that is not of one instant (a pid used
 * again between two reads), and a guest may make one up, or a chain as long as
 * its list: whoever stands deeper than this becomes a root, so that neither time
 * nor the nesting of the answer is the guest's to choose. */
#define TREE_DEPTH_MAX 256

static bool is_below(struct tree_entry *entries, size_t count, struct tree_entry *entry,
                     const struct tree_entry *ancestor)
{
    for (size_t steps = 0; entry && steps < TREE_DEPTH_MAX; steps++) {
        if (entry == ancestor)
            return true;
        const struct tree_entry key = {.pid = json_int(entry->json, "ppid", 0)};
        if (key.pid == entry->pid)
            return false;
        entry = bsearch(&key, entries, count, sizeof(*entries), by_pid);
    }
    return entry != NULL;
}

cJSON *shape_process_tree(cJSON *flat)
{
    const size_t count = (size_t)cJSON_GetArraySize(flat);
    struct tree_entry *entries = mem_array(count, sizeof(*entries));
    cJSON *roots = cJSON_CreateArray();

    size_t used = 0;
    for (cJSON *item = flat->child, *next; item; item = next) {
        next = item->next;
        entries[used++] = (struct tree_entry){.pid = json_int(item, "pid", 0), .json = item};
    }
    while (flat->child)
        cJSON_DetachItemViaPointer(flat, flat->child);
    cJSON_Delete(flat);
    qsort(entries, used, sizeof(*entries), by_pid);

    for (size_t i = 0; i < used; i++)
        entries[i].children = json_add_array(entries[i].json, "children");
    for (size_t i = 0; i < used; i++) {
        const struct tree_entry key = {.pid = json_int(entries[i].json, "ppid", 0)};
        struct tree_entry *parent = bsearch(&key, entries, used, sizeof(*entries), by_pid);
        if (!parent || is_below(entries, used, parent, &entries[i]))
            cJSON_AddItemToArray(roots, entries[i].json);
        else
            cJSON_AddItemToArray(parent->children, entries[i].json);
    }
    free(entries);
    return roots;
}

cJSON *shape_comparison(const struct comparison *comparison, const struct container_info *info,
                        const struct compare_boundary *boundary)
{
    cJSON *json = cJSON_CreateObject();
    const bool shared_kernel = !boundary->own_kernel;

    cJSON *container = json_add_object(json, "container");
    json_add_string(container, "id", info->id);
    json_add_string(container, "name", info->name);
    json_add_string(container, "image", info->image);
    json_add_string(container, "isolation", info->isolation);
    json_add_string(container, "state", container_state_name(info->state));

    cJSON *wall = json_add_object(json, "boundary");
    json_add_string(wall, "kernel", shared_kernel ? "shared" : "own");
    json_add_string(wall, "accelerator", boundary->accelerator);
    json_add_bool(wall, "securityBoundary", boundary->security_boundary);
    json_add_string(wall, "explanation", comparison->explanation ? comparison->explanation : "");
    json_add_string(wall, "explanationKey",
                    comparison->explanation_key ? comparison->explanation_key : "");

    shape_add_time_or_null(json, "sampledAt", comparison->sampled_ns);
    json_add(json, "worker", comparison->worker ? shape_process(comparison->worker, false) : NULL);

    cJSON *rows = json_add_array(json, "rows");
    for (size_t i = 0; i < comparison->count; i++) {
        const struct compare_row *from = &comparison->rows[i];
        cJSON *row = cJSON_CreateObject();
        json_add_string(row, "relation", compare_relation_name(from->relation));
        json_add(row, "container",
                 from->container ? shape_process(from->container, shared_kernel) : NULL);
        json_add(row, "host", from->host ? shape_process(from->host, false) : NULL);
        cJSON_AddItemToArray(rows, row);
    }

    cJSON *summary = json_add_object(json, "summary");
    json_add_int(summary, "same", (int64_t)comparison->same);
    json_add_int(summary, "containerOnly", (int64_t)comparison->container_only);
    json_add_int(summary, "hostOnly", (int64_t)comparison->host_only);
    return json;
}

cJSON *shape_sample(const struct store_sample *sample)
{
    cJSON *json = cJSON_CreateObject();
    shape_add_time(json, "time", sample->time_ns);
    json_add_number(json, "spanSeconds", (double)sample->span_ns / (double)NS_PER_SEC);
    add_percent(json, "cpuPercent", sample->cpu_percent);
    add_percent(json, "cpuPercentMax", sample->cpu_percent_max);
    shape_add_uint64(json, "memoryBytes", sample->memory_bytes);
    shape_add_uint64(json, "memoryBytesMax", sample->memory_bytes_max);
    shape_add_uint64(json, "netRxBytes", sample->net_rx_bytes);
    shape_add_uint64(json, "netTxBytes", sample->net_tx_bytes);
    shape_add_uint64(json, "blockReadBytes", sample->block_read_bytes);
    shape_add_uint64(json, "blockWriteBytes", sample->block_write_bytes);
    json_add_int(json, "pids", sample->pids);
    return json;
}

cJSON *shape_life(int64_t id, const char *side, const struct store_life *life)
{
    cJSON *json = shape_process(&life->process, false);
    json_add_int(json, "id", id);
    json_add_string(json, "side", side && side[0] ? side : "host");
    shape_add_time_or_null(json, "endedAt", life->ended_ns);
    return json;
}

cJSON *shape_host_stats(const struct host_stats *stats, const struct store_sample *last)
{
    cJSON *json = cJSON_CreateObject();
    shape_add_time(json, "sampledAt", stats->sampled_ns);
    json_add_int(json, "cpus", stats->cpus);
    shape_add_uint64(json, "cpuTotalNs", stats->cpu_total_ns);
    shape_add_uint64(json, "cpuIdleNs", stats->cpu_idle_ns);
    if (last)
        add_percent(json, "cpuPercent", last->cpu_percent);
    else
        json_add_null(json, "cpuPercent");
    shape_add_uint64(json, "memoryTotal", stats->memory_total);
    shape_add_uint64(json, "memoryAvailable", stats->memory_available);
    shape_add_uint64(json, "swapTotal", stats->swap_total);
    shape_add_uint64(json, "swapFree", stats->swap_free);
    json_add_number(json, "load1", stats->load1);
    json_add_number(json, "load5", stats->load5);
    json_add_number(json, "load15", stats->load15);
    shape_add_uint64(json, "netRxBytes", stats->net_rx_bytes);
    shape_add_uint64(json, "netTxBytes", stats->net_tx_bytes);
    shape_add_uint64(json, "blockReadBytes", stats->block_read_bytes);
    shape_add_uint64(json, "blockWriteBytes", stats->block_write_bytes);
    return json;
}

cJSON *shape_console_container(const struct container_info *info, const struct store_sample *sample)
{
    cJSON *json = cJSON_CreateObject();
    json_add_string(json, "id", info->id);
    json_add_string(json, "name", info->name);
    json_add_string(json, "image", info->image);
    json_add_string(json, "imageId", info->image_id);
    json_add_string(json, "isolation", info->isolation);
    json_add_string(json, "state", container_state_name(info->state));
    CLEANUP_FREE char *status = shape_container_status(info, clock_real_ns());
    json_add_string(json, "status", status);
    json_add_string(json, "health", info->health_status);
    shape_add_time(json, "createdAt", info->created_ns);
    shape_add_time_or_null(json, "startedAt", info->started_ns);
    shape_add_time_or_null(json, "finishedAt", info->finished_ns);
    json_add_int(json, "exitCode", info->exit_code);
    json_add_bool(json, "oomKilled", info->oom_killed);
    json_add_string(json, "error", info->error ? info->error : "");
    json_add_int(json, "restartCount", info->restart_count);
    json_add_int(json, "pid", info->pid);

    if (sample) {
        add_percent(json, "cpuPercent", sample->cpu_percent);
        shape_add_uint64(json, "memoryBytes", sample->memory_bytes);
        json_add_int(json, "pids", sample->pids);
    } else {
        json_add_null(json, "cpuPercent");
        json_add_null(json, "memoryBytes");
        json_add_null(json, "pids");
    }

    cJSON *command = json_add_array(json, "command");
    if (info->path && info->path[0])
        json_push_string(command, info->path);
    for (char **arg = info->args; arg && *arg; arg++)
        json_push_string(command, *arg);

    const cJSON *labels = json_get(info->config, "Labels");
    json_add(json, "labels", cJSON_IsObject(labels) ? cJSON_Duplicate(labels, true) : cJSON_CreateObject());
    cJSON *networks = json_add_array(json, "networks");
    for (size_t i = 0; i < info->endpoint_count; i++) {
        cJSON *network = cJSON_CreateObject();
        json_add_string(network, "name", info->endpoints[i].network_name);
        json_add_string(network, "ip", info->endpoints[i].ipv4);
        cJSON_AddItemToArray(networks, network);
    }
    const cJSON *ports = json_get(info->network_settings, "Ports");
    json_add(json, "ports", cJSON_IsObject(ports) ? cJSON_Duplicate(ports, true) : cJSON_CreateObject());
    return json;
}

cJSON *shape_event_record(const struct event *event)
{
    cJSON *json = cJSON_CreateObject();
    shape_add_uint64(json, "sequence", event->sequence);
    shape_add_time(json, "time", event->time_ns);
    json_add_string(json, "type", event->type);
    json_add_string(json, "action", event->action);
    json_add_string(json, "id", event->actor_id);
    cJSON *attributes = json_add_object(json, "attributes");
    for (size_t i = 0; i < event->attribute_count; i++)
        json_add_string(attributes, event->attributes[i].name, event->attributes[i].value);
    return json;
}
