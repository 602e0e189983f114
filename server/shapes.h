/* shapes.h - core's structs as JSON: Docker's shapes, and ours for /api/v1.
 *
 * Pure: no I/O, no engine, no HTTP. Every function returns a new cJSON tree that
 * the caller owns (respond_json() takes it); none returns NULL. Times are
 * RFC 3339 with nanoseconds. `api_version` is 151 for v1.51: fields that older
 * clients expect elsewhere are given to them there.
 * Threads: any.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct archive_stat;
struct cgroup_stats;
struct compare_boundary;
struct comparison;
struct container_info;
struct container_mount;
struct event;
struct exec_info;
struct host_stats;
struct image;
struct image_history;
struct image_removal;
struct network;
struct network_stats;
struct process;
struct process_list;
struct store_audit;
struct store_life;
struct store_sample;
struct volume;

/* --- shapes_common.c: small parts ------------------------------------------------ */
void shape_add_time(cJSON *object, const char *key, int64_t ns);          /* 0: year 1, as Go */
void shape_add_time_or_null(cJSON *object, const char *key, int64_t ns);  /* 0: null */
/* "2006-01-02T15:04:05.000000000Z", all nine digits, as `docker logs -t`. out: TIME_TEXT_MAX */
char *shape_time_fixed(int64_t ns, char *out);
/* "About a minute", "3 weeks": as `docker ps` says it. Static or in `out` (>= 32). */
const char *shape_duration(int64_t ns, char *out, size_t size);
/* st_mode as Go's os.FileMode. */
uint32_t shape_go_mode(uint32_t st_mode);
/* Value of X-Docker-Container-Path-Stat; free(). */
char *shape_path_stat(const struct archive_stat *stat);

/* --- shapes_process.c: ours ---------------------------------------------------------- */
/* inner: pid and ppid as seen inside the container (shared kernel), with hostPid
 * beside them; else as its own side numbers it. */
cJSON *shape_process(const struct process *process, bool inner);
/* All of a list, in its order. */
cJSON *shape_process_list(const struct process_list *list, bool inner);
/* Flat array of shaped processes (taken) -> roots with "children" arrays. */
cJSON *shape_process_tree(cJSON *flat);
/* Issue 2's comparison. boundary: container_boundary()'s answer. */
cJSON *shape_comparison(const struct comparison *comparison, const struct container_info *info,
                        const struct compare_boundary *boundary);
cJSON *shape_sample(const struct store_sample *sample);
cJSON *shape_life(int64_t id, const char *side, const struct store_life *life);
/* last: the recorder's, which has the CPU's share; NULL: none is young enough */
cJSON *shape_host_stats(const struct host_stats *stats, const struct store_sample *last);
/* For the console's list: id, name, image, isolation, state, times, exit code, and the
 * latest sample (NULL: not running, or not sampled yet). */
cJSON *shape_console_container(const struct container_info *info, const struct store_sample *sample);
/* Our form of an event: sequence, time, type, action, id, attributes. */
cJSON *shape_event_record(const struct event *event);

/* --- shapes_container.c: Docker's ---------------------------------------------------- */
cJSON *shape_container_summary(const struct container_info *info, int api_version);
/* data_dir: for GraphDriver; may be NULL. */
cJSON *shape_container_inspect(const struct container_info *info, int api_version,
                               const char *data_dir);
/* "Up 5 minutes (healthy)", "Exited (0) 2 hours ago"; free(). */
char *shape_container_status(const struct container_info *info, int64_t now_ns);
cJSON *shape_mount(const struct container_mount *mount);
cJSON *shape_exec(const struct exec_info *exec);

/* One reading for docker stats. Zeroed where there is none before. */
struct stats_reading {
    const struct cgroup_stats *stats; /* NULL: none (precpu of the first, or not running) */
    uint64_t system_cpu_ns;           /* the host's, summed over its cpus */
    int cpus;
};
struct stats_frame {
    const char *id, *name;            /* name without slash */
    struct stats_reading now, before;
    const struct network_stats *networks;
    size_t network_count;
    int cgroup_version;               /* 1 or 2 */
    uint64_t host_memory;             /* limit where none is set */
};
cJSON *shape_stats(const struct stats_frame *frame);

/* --- shapes_image.c, shapes_network.c, shapes_event: Docker's ------------------------------ */
/* shared, containers: -1 for "not computed". */
cJSON *shape_image_summary(const struct image *image, int api_version, int64_t shared, int containers);
cJSON *shape_image_inspect(const struct image *image, int api_version, const char *layers_dir,
                           int64_t last_tag_ns);
cJSON *shape_image_history(const struct image_history *history, size_t count);
cJSON *shape_image_removal(const struct image_removal *removal);
/* containers: with the "Containers" object (inspect), else without (list). */
cJSON *shape_network(const struct network *network, bool containers);
/* size < 0: without UsageData. */
cJSON *shape_volume(const struct volume *volume, int64_t size);
cJSON *shape_event(const struct event *event, int api_version);
