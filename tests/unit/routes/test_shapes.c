#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "archive/archive.h"
#include "base/clock.h"
#include "base/json.h"
#include "launch/cgroup.h"
#include "shapes.h"
#include "tabique/compare.h"
#include "tabique/container.h"
#include "tabique/event.h"
#include "tabique/host.h"
#include "tabique/image.h"
#include "tabique/network.h"
#include "tabique/store.h"
#include "tabique/volume.h"

#define START (INT64_C(1709640000) * NS_PER_SEC + 123456789)

static struct process ping = {
    .pid = 3964, .ppid = 3940, .inner_pid = 1, .inner_ppid = 0, .started_ns = START, .user = "root",
    .name = "ping", .command = "ping localhost", .state = 'S', .threads = 1, .cpu_percent = 1.23456,
    .memory_bytes = 4096};

/* --- text ---------------------------------------------------------------------------------- */

static void check_duration(double seconds, const char *want)
{
    char text[32];
    assert_string_equal(shape_duration((int64_t)(seconds * 1e9), text, sizeof(text)), want);
}

static void test_durations(void **state)
{
    const double hour = 3600, day = 24 * hour;
    check_duration(0.4, "Less than a second");
    check_duration(1.9, "1 second");
    check_duration(45, "45 seconds");
    check_duration(60, "About a minute");
    check_duration(3 * 60, "3 minutes");
    check_duration(59 * 60, "59 minutes");
    check_duration(hour, "About an hour");
    check_duration(3 * hour, "3 hours");
    check_duration(47 * hour, "47 hours");
    check_duration(5 * day, "5 days");
    check_duration(13 * day, "13 days");
    check_duration(21 * day, "3 weeks");
    check_duration(100 * day, "3 months");
    check_duration(3 * 365 * day, "3 years");
    check_duration(-5, "Less than a second");
}

static void test_fixed_time(void **state)
{
    char text[TIME_TEXT_MAX];
    assert_string_equal(shape_time_fixed(START, text), "2024-03-05T12:00:00.123456789Z");
    assert_string_equal(shape_time_fixed(1000, text), "1970-01-01T00:00:00.000001000Z");
}

static void test_go_mode(void **state)
{
    assert_int_equal(shape_go_mode(S_IFREG | 0644), 0644);
    assert_int_equal(shape_go_mode(S_IFDIR | 01777), (1u << 31) | (1u << 20) | 0777);
    assert_int_equal(shape_go_mode(S_IFLNK | 0777), (1u << 27) | 0777);
    assert_int_equal(shape_go_mode(S_IFCHR | 0666), (1u << 26) | (1u << 21) | 0666);
    assert_int_equal(shape_go_mode(S_IFREG | S_ISUID | 0755), (1u << 23) | 0755);
}

static void test_path_stat(void **state)
{
    const struct archive_stat stat = {
        .name = "etc", .size = 4096, .mode = S_IFDIR | 0755, .mtime_ns = START, .link_target = ""};
    CLEANUP_FREE char *text = shape_path_stat(&stat);
    /* {"name":"etc","size":4096,"mode":2147484141,"mtime":"2024-03-05T12:00:00.123456789Z","linkTarget":""} */
    assert_string_equal(text, "eyJuYW1lIjoiZXRjIiwic2l6ZSI6NDA5NiwibW9kZSI6MjE0NzQ4NDE0MSwibXRpbWUiOiIyMDI0"
                              "LTAzLTA1VDEyOjAwOjAwLjEyMzQ1Njc4OVoiLCJsaW5rVGFyZ2V0IjoiIn0=");
}

/* --- processes --------------------------------------------------------------------------------- */

static void test_process_sides(void **state)
{
    CLEANUP_JSON cJSON *host = shape_process(&ping, false), *inner = shape_process(&ping, true);
    assert_int_equal(json_int(host, "pid", 0), 3964);
    assert_null(json_get(host, "hostPid"));
    assert_int_equal(json_int(inner, "pid", 0), 1);
    assert_int_equal(json_int(inner, "hostPid", 0), 3964);
    assert_string_equal(json_string(host, "startedAt", ""), "2024-03-05T12:00:00.123456789Z");
    assert_string_equal(json_string(host, "state", ""), "S");
    assert_true(json_number(host, "cpuPercent", 0) == 1.23);
}

static void test_tree(void **state)
{
    struct process items[] = {ping, ping, ping, ping, ping};
    const pid_t pids[] = {1, 2, 3, 10, 11}, parents[] = {0, 1, 2, 11, 10}; /* the last two: a loop */
    for (size_t i = 0; i < 5; i++) {
        items[i].pid = pids[i];
        items[i].ppid = parents[i];
    }
    const struct process_list list = {.count = 5, .items = items};
    CLEANUP_JSON cJSON *roots = shape_process_tree(shape_process_list(&list, false));
    assert_int_equal(cJSON_GetArraySize(roots), 3);
    const cJSON *one = json_get(cJSON_GetArrayItem(roots, 0), "children");
    assert_int_equal(json_int(one->child, "pid", 0), 2);
    assert_int_equal(json_int(json_get(one->child, "children")->child, "pid", 0), 3);
}

/* A guest's list may be one endless chain, or a thousand loops. */
static void test_tree_of_a_hostile_list(void **state)
{
    enum { COUNT = 3000 };
    struct process *items = calloc(COUNT, sizeof(*items));
    for (int i = 0; i < COUNT; i++)
        items[i] = (struct process){.pid = i + 1, .ppid = i ? i : COUNT, .user = "", .started_ns = 1};
    const struct process_list list = {.count = COUNT, .items = items};
    cJSON *roots = shape_process_tree(shape_process_list(&list, false));
    assert_true(cJSON_GetArraySize(roots) > 1);
    CLEANUP_FREE char *text = json_print(roots);
    assert_non_null(text);
    cJSON_Delete(roots);
    free(items);
}

static void test_comparison(void **state)
{
    struct container_info info = {.id = "abc", .name = "web", .image = "tabique/base",
                                  .isolation = "process", .state = CONTAINER_RUNNING};
    struct compare_row rows[] = {{COMPARE_SAME, &ping, &ping}};
    const struct comparison comparison = {
        .sampled_ns = START, .count = 1, .rows = rows, .same = 1, .explanation = "One kernel.",
        .explanation_key = "same"};
    const struct compare_boundary boundary = {0};
    CLEANUP_JSON cJSON *json = shape_comparison(&comparison, &info, &boundary);

    assert_string_equal(json_string(json_get(json, "container"), "isolation", ""), "process");
    assert_string_equal(json_string(json_get(json, "boundary"), "kernel", ""), "shared");
    assert_true(cJSON_IsNull(json_get(json_get(json, "boundary"), "accelerator")));
    assert_true(cJSON_IsNull(json_get(json, "worker")));
    const cJSON *row = json_get(json, "rows")->child;
    assert_string_equal(json_string(row, "relation", ""), "same");
    assert_int_equal(json_int(json_get(row, "container"), "pid", 0), 1);
    assert_int_equal(json_int(json_get(row, "host"), "pid", 0), 3964);
    assert_int_equal(json_int(json_get(json, "summary"), "same", 0), 1);
}

static void test_comparison_behind_the_thick_wall(void **state)
{
    struct container_info info = {.id = "abc", .name = "vm", .image = "tabique/base",
                                  .isolation = "hyperv", .state = CONTAINER_RUNNING};
    struct process guest = ping, worker = ping;
    guest.pid = 1732;
    guest.inner_pid = 1;
    snprintf(worker.name, sizeof(worker.name), "vmwp");
    worker.worker = true;
    struct compare_row rows[] = {{COMPARE_CONTAINER_ONLY, &guest, NULL}, {COMPARE_WORKER, NULL, &worker}};
    const struct comparison comparison = {.sampled_ns = START, .worker = &worker, .count = 2, .rows = rows,
                                          .container_only = 1, .explanation = "", .explanation_key = "vm"};
    const struct compare_boundary boundary = {.own_kernel = true, .accelerator = "tcg"};
    CLEANUP_JSON cJSON *json = shape_comparison(&comparison, &info, &boundary);

    assert_string_equal(json_string(json_get(json, "boundary"), "kernel", ""), "own");
    assert_string_equal(json_string(json_get(json, "boundary"), "accelerator", ""), "tcg");
    assert_string_equal(json_string(json_get(json, "worker"), "name", ""), "vmwp");
    const cJSON *row = json_get(json, "rows")->child;
    assert_int_equal(json_int(json_get(row, "container"), "pid", 0), 1732);
    assert_true(cJSON_IsNull(json_get(row, "host")));
    assert_true(json_bool(json_get(row->next, "host"), "worker", false));
}

/* --- containers ----------------------------------------------------------------------------------- */

static void check_status(struct container_info info, const char *want)
{
    CLEANUP_FREE char *text = shape_container_status(&info, START + 300 * NS_PER_SEC);
    assert_string_equal(text, want);
}

static void test_status_line(void **state)
{
    const int64_t end = START + 10 * NS_PER_SEC;
    check_status((struct container_info){.state = CONTAINER_CREATED}, "Created");
    check_status((struct container_info){.state = CONTAINER_RUNNING, .started_ns = START}, "Up 5 minutes");
    check_status((struct container_info){.state = CONTAINER_PAUSED, .started_ns = START},
                 "Up 5 minutes (Paused)");
    check_status((struct container_info){.state = CONTAINER_RUNNING, .started_ns = START,
                                         .health_status = "healthy"},
                 "Up 5 minutes (healthy)");
    check_status((struct container_info){.state = CONTAINER_RUNNING, .started_ns = START,
                                         .health_status = "starting"},
                 "Up 5 minutes (health: starting)");
    check_status((struct container_info){.state = CONTAINER_EXITED, .started_ns = START,
                                         .finished_ns = end, .exit_code = 3},
                 "Exited (3) 4 minutes ago");
    check_status((struct container_info){.state = CONTAINER_RESTARTING, .started_ns = START,
                                         .finished_ns = end, .exit_code = 1},
                 "Restarting (1) 4 minutes ago");
    check_status((struct container_info){.state = CONTAINER_DEAD}, "Dead");
    check_status((struct container_info){.state = CONTAINER_REMOVING}, "Removal In Progress");
}

static struct container_info full_info(char **args)
{
    struct container_info info = {
        .name = "web", .image = "tabique/base", .isolation = "process", .state = CONTAINER_RUNNING,
        .pid = 3964, .created_ns = START, .started_ns = START, .path = "ping", .args = args,
        .config = cJSON_Parse("{\"Labels\":{\"a\":\"b\"},\"Hostname\":\"host\"}"),
        .host_config = cJSON_Parse("{\"NetworkMode\":\"bridge\",\"Annotations\":{\"x\":\"y\"}}"),
        .network_settings = cJSON_Parse(
            "{\"Ports\":{\"80/tcp\":[{\"HostIp\":\"0.0.0.0\",\"HostPort\":\"8080\"}],\"53/udp\":null},"
            "\"Networks\":{\"bridge\":{\"Aliases\":null},\"mine\":{\"Aliases\":[\"web\"]}}}"),
    };
    memset(info.id, 'a', 64);
    return info;
}

static void drop_info(struct container_info *info)
{
    cJSON_Delete(info->config);
    cJSON_Delete(info->host_config);
    cJSON_Delete(info->network_settings);
}

static void test_container_summary(void **state)
{
    char *args[] = {"a b", "c", NULL};
    struct container_info info = full_info(args);
    CLEANUP_JSON cJSON *json = shape_container_summary(&info, 151);
    assert_string_equal(json_get(json, "Names")->child->valuestring, "/web");
    assert_string_equal(json_string(json, "Command", ""), "ping 'a b' c");
    assert_int_equal(json_int(json, "Created", 0), START / NS_PER_SEC);
    assert_string_equal(json_string(json, "State", ""), "running");

    const cJSON *ports = json_get(json, "Ports");
    assert_int_equal(cJSON_GetArraySize(ports), 2);
    assert_int_equal(json_int(ports->child, "PublicPort", 0), 8080);
    assert_string_equal(json_string(ports->child, "IP", ""), "0.0.0.0");
    assert_string_equal(json_string(ports->child->next, "Type", ""), "udp");
    assert_null(json_get(ports->child->next, "PublicPort"));
    assert_non_null(json_get(json_get(json, "HostConfig"), "Annotations"));

    CLEANUP_JSON cJSON *old = shape_container_summary(&info, 145);
    assert_null(json_get(json_get(old, "HostConfig"), "Annotations"));
    drop_info(&info);
}

static void test_container_inspect(void **state)
{
    char *args[] = {"localhost", NULL};
    struct container_info info = full_info(args);
    CLEANUP_JSON cJSON *json = shape_container_inspect(&info, 151, "/data");
    assert_string_equal(json_string(json, "Name", ""), "/web");
    assert_true(json_bool(json_get(json, "State"), "Running", false));
    assert_string_equal(json_string(json_get(json, "State"), "FinishedAt", ""), "0001-01-01T00:00:00Z");
    assert_true(cJSON_IsNull(json_get(json, "ExecIDs")));
    assert_non_null(strstr(json_string(json_get(json_get(json, "GraphDriver"), "Data"), "UpperDir", ""),
                           "/data/containers/aaaa"));

    /* Old clients look for the short id among the aliases of user networks. */
    CLEANUP_JSON cJSON *old = shape_container_inspect(&info, 144, NULL);
    const cJSON *networks = json_get(json_get(old, "NetworkSettings"), "Networks");
    assert_int_equal(cJSON_GetArraySize(json_get(json_get(networks, "mine"), "Aliases")), 3);
    assert_true(cJSON_IsNull(json_get(json_get(networks, "bridge"), "Aliases")));
    drop_info(&info);
}

static void test_stats(void **state)
{
    const struct cgroup_stats stats = {.sampled_ns = START, .cpu_total_ns = UINT64_MAX, .memory_usage = 100,
                                       .memory_inactive_file = 40, .pids_current = 3,
                                       .block_read_bytes = 5};
    const struct network_stats networks[] = {{.interface = "eth0", .rx_bytes = 7}};
    struct stats_frame frame = {.id = "id", .name = "web", .now = {&stats, 1000, 2}, .networks = networks,
                                .network_count = 1, .cgroup_version = 1, .host_memory = 5000};
    CLEANUP_JSON cJSON *json = shape_stats(&frame);
    assert_string_equal(json_string(json, "name", ""), "/web");
    assert_string_equal(json_string(json, "preread", ""), "0001-01-01T00:00:00Z");
    assert_int_equal(json_int(json_get(json, "memory_stats"), "limit", 0), 5000);
    assert_int_equal(json_int(json_get(json_get(json, "memory_stats"), "stats"), "total_inactive_file", 0), 40);
    assert_int_equal(json_int(json_get(json_get(json, "networks"), "eth0"), "rx_bytes", 0), 7);
    assert_int_equal(json_int(json_get(json, "cpu_stats"), "online_cpus", 0), 2);
    assert_null(json_get(json_get(json, "precpu_stats"), "online_cpus"));
    CLEANUP_FREE char *text = json_print(json);
    assert_non_null(strstr(text, "18446744073709551615"));

    frame.cgroup_version = 2;
    CLEANUP_JSON cJSON *v2 = shape_stats(&frame);
    assert_null(json_get(json_get(json_get(v2, "memory_stats"), "stats"), "total_inactive_file"));
    assert_non_null(json_get(json_get(json_get(v2, "memory_stats"), "stats"), "inactive_file"));

    frame.now.stats = NULL;
    CLEANUP_JSON cJSON *stopped = shape_stats(&frame);
    assert_null(json_get(stopped, "networks"));
    assert_null(json_get(stopped, "memory_stats")->child);
}

static void test_exec(void **state)
{
    char *argv[] = {"sh", "-c", "exit 2", NULL};
    const struct exec_info exec = {.id = "e", .container_id = "c", .has_exit_code = true, .exit_code = 2,
                                   .argv = argv};
    CLEANUP_JSON cJSON *json = shape_exec(&exec);
    assert_int_equal(json_int(json, "ExitCode", -1), 2);
    assert_string_equal(json_string(json_get(json, "ProcessConfig"), "entrypoint", ""), "sh");
    assert_int_equal(cJSON_GetArraySize(json_get(json_get(json, "ProcessConfig"), "arguments")), 2);
}

/* --- the rest --------------------------------------------------------------------------------------- */

static void test_event(void **state)
{
    struct event_attribute attributes[] = {{"image", "tabique/base"}, {"name", "web"}};
    const struct event event = {.time_ns = START, .sequence = 7, .type = "container", .action = "start",
                                .actor_id = "abc", .attributes = attributes, .attribute_count = 2};
    CLEANUP_JSON cJSON *json = shape_event(&event, 151);
    CLEANUP_FREE char *text = json_print(json);
    assert_string_equal(text,
                        "{\"status\":\"start\",\"id\":\"abc\",\"from\":\"tabique/base\",\"Type\":\"container\","
                        "\"Action\":\"start\",\"Actor\":{\"ID\":\"abc\",\"Attributes\":{\"image\":"
                        "\"tabique/base\",\"name\":\"web\"}},\"scope\":\"local\",\"time\":1709640000,"
                        "\"timeNano\":1709640000123456789}");
    CLEANUP_JSON cJSON *record = shape_event_record(&event);
    assert_int_equal(json_int(record, "sequence", 0), 7);
}

static void test_image(void **state)
{
    char *names[] = {"a/b:latest", NULL}, *layers[] = {"top", "low", NULL};
    struct image image = {.id = "sha256:1", .names = names, .layers = layers, .created_ns = START,
                          .size = INT64_C(9000000000), .os = "linux", .architecture = "amd64"};
    CLEANUP_JSON cJSON *json = shape_image_summary(&image, 151, -1, 2);
    assert_int_equal(json_int(json, "Containers", 0), 2);
    assert_int_equal(json_int(json, "Size", 0), 9000000000);
    assert_null(json_get(json, "VirtualSize"));

    image.names = NULL;
    CLEANUP_JSON cJSON *old = shape_image_summary(&image, 142, -1, -1);
    assert_string_equal(json_get(old, "RepoTags")->child->valuestring, "<none>:<none>");
    assert_int_equal(json_int(old, "Containers", 0), -1);
    assert_int_equal(json_int(old, "VirtualSize", 0), 9000000000);

    CLEANUP_JSON cJSON *inspect = shape_image_inspect(&image, 151, "/layers", START);
    assert_string_equal(json_string(json_get(json_get(inspect, "GraphDriver"), "Data"), "UpperDir", ""),
                        "/layers/top");
    assert_string_equal(json_string(json_get(json_get(inspect, "GraphDriver"), "Data"), "LowerDir", ""),
                        "/layers/low");
}

static void test_network_and_volume(void **state)
{
    struct network_endpoint endpoints[] = {{.container_name = "web", .mac = "02:42:ac:11:00:02",
                                            .ipv4 = "172.31.0.2", .ipv4_prefix = 16}};
    snprintf(endpoints[0].container_id, sizeof(endpoints[0].container_id), "cid");
    struct network_subnet subnets[] = {{.subnet = "172.31.0.0/16", .gateway = "172.31.0.1"}};
    const struct network network = {.name = "bridge", .driver = "bridge", .subnets = subnets,
                                    .subnet_count = 1, .endpoints = endpoints, .endpoint_count = 1};
    CLEANUP_JSON cJSON *json = shape_network(&network, true), *listed = shape_network(&network, false);
    assert_string_equal(json_string(json_get(json_get(json, "Containers"), "cid"), "IPv4Address", ""),
                        "172.31.0.2/16");
    assert_string_equal(json_string(json_get(json_get(json, "IPAM"), "Config")->child, "Subnet", ""),
                        "172.31.0.0/16");
    assert_null(json_get(listed, "Containers")->child);

    struct volume_pair labels[] = {{"k", "v"}};
    const struct volume volume = {.name = "data", .mountpoint = "/v/data", .created_ns = START,
                                  .labels = labels, .label_count = 1};
    CLEANUP_JSON cJSON *plain = shape_volume(&volume, -1), *sized = shape_volume(&volume, 10);
    assert_string_equal(json_string(plain, "CreatedAt", ""), "2024-03-05T12:00:00Z");
    assert_null(json_get(plain, "UsageData"));
    assert_int_equal(json_int(json_get(sized, "UsageData"), "Size", 0), 10);
    assert_true(cJSON_IsNull(json_get(plain, "Options")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_fixed_time),
        cmocka_unit_test(test_go_mode),
        cmocka_unit_test(test_path_stat),
        cmocka_unit_test(test_process_sides),
        cmocka_unit_test(test_tree),
        cmocka_unit_test(test_tree_of_a_hostile_list),
        cmocka_unit_test(test_comparison),
        cmocka_unit_test(test_comparison_behind_the_thick_wall),
        cmocka_unit_test(test_status_line),
        cmocka_unit_test(test_container_summary),
        cmocka_unit_test(test_container_inspect),
        cmocka_unit_test(test_stats),
        cmocka_unit_test(test_exec),
        cmocka_unit_test(test_event),
        cmocka_unit_test(test_image),
        cmocka_unit_test(test_network_and_volume),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
