#include "shapes.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "launch/cgroup.h"
#include "shapes_private.h"
#include "tabique/container.h"
#include "tabique/network.h"

static void add_strv_or_null(cJSON *object, const char *key, char *const *list)
{
    json_add(object, key, list && list[0] ? json_from_strv(list) : NULL);
}

static cJSON *object_or_empty(const cJSON *object)
{
    return cJSON_IsObject(object) ? cJSON_Duplicate(object, true) : cJSON_CreateObject();
}

/* --- the line of `docker ps` --------------------------------------------------------- */

char *shape_container_status(const struct container_info *info, int64_t now_ns)
{
    char text[40];
    const int64_t since_start = now_ns - info->started_ns, since_end = now_ns - info->finished_ns;

    switch (info->state) {
    case CONTAINER_PAUSED:
        return mem_printf("Up %s (Paused)", shape_duration(since_start, text, sizeof(text)));
    case CONTAINER_RESTARTING:
        return mem_printf("Restarting (%d) %s ago", info->exit_code,
                          shape_duration(since_end, text, sizeof(text)));
    case CONTAINER_RUNNING:
        if (info->health_status && strcmp(info->health_status, "none") != 0) {
            return mem_printf("Up %s (%s%s)", shape_duration(since_start, text, sizeof(text)),
                              strcmp(info->health_status, "starting") == 0 ? "health: " : "",
                              info->health_status);
        }
        return mem_printf("Up %s", shape_duration(since_start, text, sizeof(text)));
    case CONTAINER_REMOVING:
        return mem_strdup("Removal In Progress");
    case CONTAINER_DEAD:
        return mem_strdup("Dead");
    case CONTAINER_CREATED:
        return mem_strdup("Created");
    case CONTAINER_EXITED:
        break;
    }
    if (info->finished_ns == 0)
        return mem_strdup(info->started_ns ? "" : "Created");
    return mem_printf("Exited (%d) %s ago", info->exit_code,
                      shape_duration(since_end, text, sizeof(text)));
}

static char *command_line(const struct container_info *info)
{
    CLEANUP_STR struct str line = STR_INIT;
    str_append(&line, info->path ? info->path : "");
    for (char **arg = info->args; arg && *arg; arg++) {
        const char *quote = strchr(*arg, ' ') ? "'" : "";
        str_printf(&line, " %s%s%s", quote, *arg, quote);
    }
    return str_take(&line);
}

/* NetworkSettings.Ports {"80/tcp":[{"HostIp","HostPort"}]|null} as a flat list. */
static cJSON *flat_ports(const cJSON *ports)
{
    cJSON *list = cJSON_CreateArray();
    const cJSON *port;
    cJSON_ArrayForEach (port, ports) {
        CLEANUP_FREE char *number = mem_strdup(port->string);
        char *slash = strchr(number, '/');
        const char *protocol = slash ? slash + 1 : "tcp";
        int private_port = 0;
        if (slash)
            *slash = '\0';
        if (str_to_int(number, 0, 65535, &private_port) < 0)
            continue;

        const bool published = cJSON_IsArray(port) && port->child;
        for (const cJSON *binding = published ? port->child : port; binding;
             binding = published ? binding->next : NULL) {
            cJSON *entry = cJSON_CreateObject();
            if (published)
                json_add_string(entry, "IP", json_string(binding, "HostIp", ""));
            json_add_int(entry, "PrivatePort", private_port);
            if (published) {
                int public_port = 0;
                if (str_to_int(json_string(binding, "HostPort", "0"), 0, 65535, &public_port) == 0)
                    json_add_int(entry, "PublicPort", public_port);
            }
            json_add_string(entry, "Type", protocol);
            cJSON_AddItemToArray(list, entry);
        }
    }
    return list;
}

cJSON *shape_mount(const struct container_mount *mount)
{
    cJSON *json = cJSON_CreateObject();
    json_add_string(json, "Type", mount->type ? mount->type : "bind");
    if (mount->name && mount->name[0])
        json_add_string(json, "Name", mount->name);
    json_add_string(json, "Source", mount->source ? mount->source : "");
    json_add_string(json, "Destination", mount->destination ? mount->destination : "");
    if (mount->driver && mount->driver[0])
        json_add_string(json, "Driver", mount->driver);
    json_add_string(json, "Mode", mount->mode ? mount->mode : "");
    json_add_bool(json, "RW", mount->rw);
    json_add_string(json, "Propagation", mount->propagation ? mount->propagation : "");
    return json;
}

static cJSON *mounts(const struct container_info *info)
{
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; i < info->mount_count; i++)
        cJSON_AddItemToArray(list, shape_mount(&info->mounts[i]));
    return list;
}

cJSON *shape_container_summary(const struct container_info *info, int api_version)
{
    cJSON *json = cJSON_CreateObject();
    json_add_string(json, "Id", info->id);

    CLEANUP_FREE char *name = mem_printf("/%s", info->name ? info->name : "");
    json_push_string(json_add_array(json, "Names"), name);
    json_add_string(json, "Image", info->image ? info->image : "");
    json_add_string(json, "ImageID", info->image_id);
    CLEANUP_FREE char *command = command_line(info);
    json_add_string(json, "Command", command);
    json_add_int(json, "Created", info->created_ns / NS_PER_SEC);
    json_add(json, "Ports", flat_ports(json_get(info->network_settings, "Ports")));
    json_add(json, "Labels", object_or_empty(json_get(info->config, "Labels")));
    json_add_string(json, "State", container_state_name(info->state));
    CLEANUP_FREE char *status = shape_container_status(info, clock_real_ns());
    json_add_string(json, "Status", status);

    cJSON *host_config = json_add_object(json, "HostConfig");
    json_add_string(host_config, "NetworkMode", json_string(info->host_config, "NetworkMode", "default"));
    const cJSON *annotations = json_get(info->host_config, "Annotations");
    if (api_version >= 146 && cJSON_IsObject(annotations) && annotations->child)
        json_add(host_config, "Annotations", cJSON_Duplicate(annotations, true));

    cJSON *settings = json_add_object(json, "NetworkSettings");
    json_add(settings, "Networks", object_or_empty(json_get(info->network_settings, "Networks")));
    json_add(json, "Mounts", mounts(info));
    return json;
}

/* --- inspect ------------------------------------------------------------------------------ */

static cJSON *state(const struct container_info *info)
{
    /* Docker counts a paused and a restarting container as running. */
    const bool running = info->state == CONTAINER_RUNNING || info->state == CONTAINER_PAUSED ||
                         info->state == CONTAINER_RESTARTING;
    cJSON *json = cJSON_CreateObject();
    json_add_string(json, "Status", container_state_name(info->state));
    json_add_bool(json, "Running", running);
    json_add_bool(json, "Paused", info->state == CONTAINER_PAUSED);
    json_add_bool(json, "Restarting", info->state == CONTAINER_RESTARTING);
    json_add_bool(json, "OOMKilled", info->oom_killed);
    json_add_bool(json, "Dead", info->dead || info->state == CONTAINER_DEAD);
    json_add_int(json, "Pid", info->pid);
    json_add_int(json, "ExitCode", info->exit_code);
    json_add_string(json, "Error", info->error ? info->error : "");
    shape_add_time(json, "StartedAt", info->started_ns);
    shape_add_time(json, "FinishedAt", info->finished_ns);
    if (info->health_status) {
        cJSON *health = json_add_object(json, "Health");
        json_add_string(health, "Status", info->health_status);
        json_add_int(health, "FailingStreak", info->health_failing_streak);
        json_add(health, "Log",
                 cJSON_IsArray(info->health_log) ? cJSON_Duplicate(info->health_log, true)
                                                 : cJSON_CreateArray());
    }
    return json;
}

static cJSON *graph_driver(const struct container_info *info, const char *data_dir)
{
    static const struct {
        const char *key, *folder;
    } dirs[] = {{"MergedDir", "merged"}, {"UpperDir", "upper"}, {"WorkDir", "work"}};

    cJSON *json = cJSON_CreateObject();
    json_add_string(json, "Name", "overlay2");
    if (!data_dir) {
        json_add_null(json, "Data");
        return json;
    }
    cJSON *data = json_add_object(json, "Data");
    json_add_string(data, "ID", info->id);
    for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
        CLEANUP_FREE char *path =
            mem_printf("%s/containers/%s/%s", data_dir, info->id, dirs[i].folder);
        json_add_string(data, dirs[i].key, path);
    }
    return json;
}

/* Clients before 1.45 find a container by its short id and host name among the aliases, once
 * it has been started: docker-compose tells by them whether it has still to connect it. */
static void add_old_aliases(cJSON *networks, const struct container_info *info)
{
    char short_id[13] = "";
    if (!info->started_ns)
        return;
    memcpy(short_id, info->id, 12);
    const char *names[] = {short_id, json_string(info->config, "Hostname", "")};

    cJSON *network;
    cJSON_ArrayForEach (network, networks) {
        if (strcmp(network->string, "bridge") == 0 || strcmp(network->string, "host") == 0 ||
            strcmp(network->string, "none") == 0)
            continue;
        CLEANUP_STRV char **aliases = json_strv(network, "Aliases");
        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
            if (names[i][0] && !strv_contains(aliases, names[i]))
                strv_push(&aliases, names[i]);
        }
        cJSON_DeleteItemFromObjectCaseSensitive(network, "Aliases");
        json_add(network, "Aliases", json_from_strv(aliases));
    }
}

/* "/target:/container/alias", as Docker shows them. */
static void show_links(cJSON *host_config, const char *name)
{
    const cJSON *links = json_get(host_config, "Links"), *item;
    cJSON *shown = NULL;

    cJSON_ArrayForEach (item, links) {
        const char *colon = strchr(item->valuestring, ':');
        const char *alias = path_base(colon ? colon + 1 : item->valuestring);
        const char *target = item->valuestring + (item->valuestring[0] == '/');
        CLEANUP_FREE char *text = mem_printf("/%.*s:%s/%s", (int)strcspn(target, ":"), target, name, alias);

        if (!shown)
            shown = cJSON_CreateArray();
        json_push_string(shown, text);
    }
    cJSON_DeleteItemFromObjectCaseSensitive(host_config, "Links");
    json_add(host_config, "Links", shown);
}

cJSON *shape_container_inspect(const struct container_info *info, int api_version,
                               const char *data_dir)
{
    cJSON *json = cJSON_CreateObject();
    CLEANUP_FREE char *name = mem_printf("/%s", info->name ? info->name : "");

    json_add_string(json, "Id", info->id);
    shape_add_time(json, "Created", info->created_ns);
    json_add_string(json, "Path", info->path ? info->path : "");
    json_add(json, "Args", json_from_strv(info->args));
    json_add(json, "State", state(info));
    json_add_string(json, "Image", info->image_id);
    json_add_string(json, "ResolvConfPath", info->resolv_conf_path ? info->resolv_conf_path : "");
    json_add_string(json, "HostnamePath", info->hostname_path ? info->hostname_path : "");
    json_add_string(json, "HostsPath", info->hosts_path ? info->hosts_path : "");
    json_add_string(json, "LogPath", info->log_path ? info->log_path : "");
    json_add_string(json, "Name", name);
    json_add_int(json, "RestartCount", info->restart_count);
    json_add_string(json, "Driver", "overlay2");
    json_add_string(json, "Platform", "linux");
    json_add_string(json, "MountLabel", "");
    json_add_string(json, "ProcessLabel", "");
    json_add_string(json, "AppArmorProfile", "");
    add_strv_or_null(json, "ExecIDs", info->exec_ids);

    cJSON *host_config = object_or_empty(info->host_config);
    if (api_version < 143)
        cJSON_DeleteItemFromObjectCaseSensitive(host_config, "Annotations");
    if (api_version < 142) {
        json_add_int(host_config, "KernelMemory", 0);
        json_add_int(host_config, "KernelMemoryTCP", 0);
    }
    show_links(host_config, name);
    json_add(json, "HostConfig", host_config);
    json_add(json, "GraphDriver", graph_driver(info, data_dir));
    json_add(json, "Mounts", mounts(info));
    cJSON *config = object_or_empty(info->config);
    if (api_version >= 144)
        cJSON_DeleteItemFromObjectCaseSensitive(config, "MacAddress");
    json_add(json, "Config", config);

    cJSON *settings = object_or_empty(info->network_settings);
    if (api_version < 145)
        add_old_aliases(json_get(settings, "Networks"), info);
    json_add(json, "NetworkSettings", settings);
    return json;
}

cJSON *shape_exec(const struct exec_info *exec)
{
    cJSON *json = cJSON_CreateObject();
    json_add_string(json, "ID", exec->id);
    json_add_bool(json, "Running", exec->running);
    if (exec->has_exit_code)
        json_add_int(json, "ExitCode", exec->exit_code);
    else
        json_add_null(json, "ExitCode");

    cJSON *process = json_add_object(json, "ProcessConfig");
    json_add_bool(process, "tty", exec->tty);
    json_add_string(process, "entrypoint", exec->argv && exec->argv[0] ? exec->argv[0] : "");
    json_add(process, "arguments",
             exec->argv && exec->argv[0] ? json_from_strv(exec->argv + 1) : cJSON_CreateArray());
    json_add_bool(process, "privileged", exec->privileged);
    if (exec->user && exec->user[0])
        json_add_string(process, "user", exec->user);

    json_add_bool(json, "OpenStdin", exec->open_stdin);
    json_add_bool(json, "OpenStderr", exec->open_stderr);
    json_add_bool(json, "OpenStdout", exec->open_stdout);
    json_add_bool(json, "CanRemove", exec->has_exit_code && !exec->running);
    json_add_string(json, "ContainerID", exec->container_id);
    json_add_string(json, "DetachKeys", exec->detach_keys ? exec->detach_keys : "");
    json_add_int(json, "Pid", exec->pid);
    return json;
}

/* --- stats ---------------------------------------------------------------------------------- */

static cJSON *cpu_stats(const struct stats_reading *reading)
{
    static const struct cgroup_stats none;
    const struct cgroup_stats *stats = reading->stats ? reading->stats : &none;

    cJSON *json = cJSON_CreateObject();
    cJSON *usage = json_add_object(json, "cpu_usage");
    shape_add_uint64(usage, "total_usage", stats->cpu_total_ns);
    shape_add_uint64(usage, "usage_in_kernelmode", stats->cpu_system_ns);
    shape_add_uint64(usage, "usage_in_usermode", stats->cpu_user_ns);
    if (reading->stats) {
        shape_add_uint64(json, "system_cpu_usage", reading->system_cpu_ns);
        json_add_int(json, "online_cpus", reading->cpus);
    }
    cJSON *throttling = json_add_object(json, "throttling_data");
    shape_add_uint64(throttling, "periods", stats->cpu_periods);
    shape_add_uint64(throttling, "throttled_periods", stats->cpu_throttled);
    shape_add_uint64(throttling, "throttled_time", stats->cpu_throttled_ns);
    return json;
}

static cJSON *memory_stats(const struct stats_frame *frame, const struct cgroup_stats *stats)
{
    cJSON *json = cJSON_CreateObject();
    if (!stats)
        return json;
    const uint64_t limit = stats->memory_limit == 0 || stats->memory_limit > frame->host_memory
                               ? frame->host_memory
                               : stats->memory_limit;

    shape_add_uint64(json, "usage", stats->memory_usage);
    if (frame->cgroup_version == 1 && stats->memory_max_usage)
        shape_add_uint64(json, "max_usage", stats->memory_max_usage);
    cJSON *detail = json_add_object(json, "stats");
    if (frame->cgroup_version == 1) {
        shape_add_uint64(detail, "cache", stats->memory_cache);
        shape_add_uint64(detail, "rss", stats->memory_rss);
        shape_add_uint64(detail, "inactive_file", stats->memory_inactive_file);
        shape_add_uint64(detail, "total_cache", stats->memory_cache);
        shape_add_uint64(detail, "total_rss", stats->memory_rss);
        shape_add_uint64(detail, "total_inactive_file", stats->memory_inactive_file);
    } else {
        shape_add_uint64(detail, "file", stats->memory_cache);
        shape_add_uint64(detail, "anon", stats->memory_rss);
        shape_add_uint64(detail, "inactive_file", stats->memory_inactive_file);
    }
    shape_add_uint64(json, "limit", limit);
    return json;
}

static void add_block_pair(cJSON *blkio, const char *key, uint64_t read, uint64_t write)
{
    const struct {
        const char *op;
        uint64_t value;
    } entries[] = {{"read", read}, {"write", write}};

    cJSON *list = json_add_array(blkio, key);
    for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
        cJSON *entry = cJSON_CreateObject();
        json_add_int(entry, "major", 0);
        json_add_int(entry, "minor", 0);
        json_add_string(entry, "op", entries[i].op);
        shape_add_uint64(entry, "value", entries[i].value);
        cJSON_AddItemToArray(list, entry);
    }
}

static cJSON *block_stats(const struct cgroup_stats *stats)
{
    static const char *const empty[] = {"io_queue_recursive", "io_service_time_recursive",
                                        "io_wait_time_recursive", "io_merged_recursive",
                                        "io_time_recursive", "sectors_recursive"};
    cJSON *json = cJSON_CreateObject();
    if (stats) {
        add_block_pair(json, "io_service_bytes_recursive", stats->block_read_bytes,
                       stats->block_write_bytes);
        add_block_pair(json, "io_serviced_recursive", stats->block_read_ops, stats->block_write_ops);
    } else {
        json_add_null(json, "io_service_bytes_recursive");
        json_add_null(json, "io_serviced_recursive");
    }
    for (size_t i = 0; i < ARRAY_SIZE(empty); i++)
        json_add_null(json, empty[i]);
    return json;
}

static cJSON *network_totals(const struct stats_frame *frame)
{
    cJSON *json = cJSON_CreateObject();
    for (size_t i = 0; i < frame->network_count; i++) {
        const struct network_stats *from = &frame->networks[i];
        const struct {
            const char *key;
            uint64_t value;
        } counters[] = {
            {"rx_bytes", from->rx_bytes},   {"rx_packets", from->rx_packets},
            {"rx_errors", from->rx_errors}, {"rx_dropped", from->rx_dropped},
            {"tx_bytes", from->tx_bytes},   {"tx_packets", from->tx_packets},
            {"tx_errors", from->tx_errors}, {"tx_dropped", from->tx_dropped},
        };
        cJSON *interface = json_add_object(json, from->interface);
        for (size_t k = 0; k < ARRAY_SIZE(counters); k++)
            shape_add_uint64(interface, counters[k].key, counters[k].value);
    }
    return json;
}

cJSON *shape_stats(const struct stats_frame *frame)
{
    const struct cgroup_stats *stats = frame->now.stats;
    CLEANUP_FREE char *name = mem_printf("/%s", frame->name);
    cJSON *json = cJSON_CreateObject();

    json_add_string(json, "name", name);
    json_add_string(json, "id", frame->id);
    shape_add_time(json, "read", stats ? stats->sampled_ns : 0);
    shape_add_time(json, "preread", frame->before.stats ? frame->before.stats->sampled_ns : 0);
    cJSON *pids = json_add_object(json, "pids_stats");
    if (stats) {
        shape_add_uint64(pids, "current", stats->pids_current);
        /* Docker gives 2^64-1 for "no limit". */
        if (stats->pids_limit == 0)
            cJSON_AddRawToObject(pids, "limit", "18446744073709551615");
        else
            shape_add_uint64(pids, "limit", stats->pids_limit);
    }
    json_add(json, "blkio_stats", block_stats(stats));
    json_add_int(json, "num_procs", 0);
    json_add_object(json, "storage_stats");
    json_add(json, "cpu_stats", cpu_stats(&frame->now));
    json_add(json, "precpu_stats", cpu_stats(&frame->before));
    json_add(json, "memory_stats", memory_stats(frame, stats));
    if (stats && frame->network_count)
        json_add(json, "networks", network_totals(frame));
    return json;
}
