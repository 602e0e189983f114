/* GET /info and /version: what stands here, said honestly. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "launch/cgroup.h"
#include "routes.h"
#include "shapes.h"
#include "system_routes.h"
#include "tabique/engine.h"
#include "tabique/event.h"
#include "tabique/registry.h"
#include "tabique/image.h"

#ifndef TABIQUE_GIT_COMMIT
#define TABIQUE_GIT_COMMIT ""
#endif
#define API_VERSION "1.51"
#define API_VERSION_MIN "1.24"

static const char *go_architecture(const char *machine)
{
    static const struct {
        const char *machine, *go;
    } names[] = {{"x86_64", "amd64"}, {"aarch64", "arm64"}, {"armv7l", "arm"}, {"i686", "386"},
                 {"ppc64le", "ppc64le"}, {"s390x", "s390x"}, {"riscv64", "riscv64"}};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (strcmp(machine, names[i].machine) == 0)
            return names[i].go;
    }
    return machine;
}

/* --- /version -------------------------------------------------------------------------- */

int system_version(struct request *request)
{
    struct machine machine;
    route_machine(&machine);
    const char *architecture = go_architecture(machine.architecture);

    /* GoVersion is asked for by every client's template; there is none to name. */
    const struct {
        const char *key, *value;
    } details[] = {
        {"ApiVersion", API_VERSION},     {"Arch", architecture},
        {"BuildTime", ""},               {"Experimental", "false"},
        {"GitCommit", TABIQUE_GIT_COMMIT}, {"GoVersion", "none (C17)"},
        {"KernelVersion", machine.kernel}, {"MinAPIVersion", API_VERSION_MIN},
        {"Os", "linux"},
    };

    cJSON *json = cJSON_CreateObject();
    json_add_string(json_add_object(json, "Platform"), "Name", "Tabique");
    cJSON *engine = cJSON_CreateObject();
    json_add_string(engine, "Name", "Engine");
    json_add_string(engine, "Version", TABIQUE_VERSION);
    cJSON *list = json_add_object(engine, "Details");
    for (size_t i = 0; i < ARRAY_SIZE(details); i++)
        json_add_string(list, details[i].key, details[i].value);
    cJSON_AddItemToArray(json_add_array(json, "Components"), engine);

    json_add_string(json, "Version", TABIQUE_VERSION);
    json_add_string(json, "ApiVersion", API_VERSION);
    json_add_string(json, "MinAPIVersion", API_VERSION_MIN);
    json_add_string(json, "GitCommit", TABIQUE_GIT_COMMIT);
    json_add_string(json, "GoVersion", "none (C17)");
    json_add_string(json, "Os", "linux");
    json_add_string(json, "Arch", architecture);
    json_add_string(json, "KernelVersion", machine.kernel);
    json_add_string(json, "BuildTime", "");
    return respond_json(request, 200, json);
}

/* --- /info ----------------------------------------------------------------------------- */

static const struct limit {
    const char *key;
    unsigned controller;
    const char *warning; /* when it is missing */
} limits[] = {
    {"MemoryLimit", CGROUP_MEMORY, "WARNING: No memory limit support"},
    {"SwapLimit", CGROUP_SWAP, "WARNING: No swap limit support"},
    {"CpuCfsPeriod", CGROUP_CPU, "WARNING: No cpu cfs period support"},
    {"CpuCfsQuota", CGROUP_CPU, "WARNING: No cpu cfs quota support"},
    {"CPUShares", CGROUP_CPU, "WARNING: No cpu shares support"},
    {"CPUSet", CGROUP_CPUSET, "WARNING: No cpuset support"},
    {"PidsLimit", CGROUP_PIDS, "WARNING: No pids limit support"},
};

static int count_image(void *user, const struct image *image)
{
    (*(int *)user)++;
    return 0;
}

static int count_open_files(void)
{
    int count = 0;
    DIR *dir = opendir("/proc/self/fd");
    if (!dir)
        return 0;
    while (readdir(dir))
        count++;
    closedir(dir);
    return count > 3 ? count - 3 : 0; /* ".", "..", and the directory itself */
}

static bool file_says_one(const char *path)
{
    CLEANUP_FREE char *text = NULL;
    size_t length = 0;
    return file_read(AT_FDCWD, path, 64, &text, &length) >= 0 && text[0] == '1';
}

static const char *backing_file_system(const char *path)
{
    static const struct {
        unsigned long magic;
        const char *name;
    } names[] = {{0xEF53, "extfs"}, {0x58465342, "xfs"}, {0x9123683E, "btrfs"}, {0x01021994, "tmpfs"},
                 {0x794c7630, "overlayfs"}, {0x2fc12fc1, "zfs"}, {0xF2F52010, "f2fs"}};
    struct statfs stat;
    if (statfs(path, &stat) < 0)
        return "<unknown>";
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if ((unsigned long)stat.f_type == names[i].magic)
            return names[i].name;
    }
    return "<unknown>";
}

static void add_pair(cJSON *list, const char *name, const char *value)
{
    cJSON *pair = cJSON_CreateArray();
    json_push_string(pair, name);
    json_push_string(pair, value);
    cJSON_AddItemToArray(list, pair);
}

static void add_commit(cJSON *json, const char *key, const char *id, int api_version)
{
    cJSON *commit = json_add_object(json, key);
    json_add_string(commit, "ID", id);
    if (api_version < 149)
        json_add_string(commit, "Expected", id);
}

static void add_strings(cJSON *object, const char *key, const char *const *list)
{
    cJSON *array = json_add_array(object, key);
    for (; *list; list++)
        json_push_string(array, *list);
}

static void add_driver(cJSON *json, struct engine *engine, const char *data_dir)
{
    json_add_string(json, "Driver", "overlay2");
    cJSON *status = json_add_array(json, "DriverStatus");
    add_pair(status, "Backing Filesystem", backing_file_system(data_dir));
    add_pair(status, "Supports d_type", "true");
    add_pair(status, "Using metacopy", "false");
    add_pair(status, "Native Overlay Diff", "true");
    add_pair(status, "userxattr", "false");
    /* The one list of lines that clients print as they come. */
    struct engine_pool pool;
    engine_pool(engine, &pool);
    if (pool.wanted > 0) {
        CLEANUP_FREE char *text = mem_printf("%d of %d ready, %llu MiB", pool.ready, pool.wanted,
                                             (unsigned long long)(pool.memory_bytes >> 20));
        add_pair(status, "Virtual Machines Kept Warm", text);
    }
}

static void add_plugins(cJSON *json)
{
    cJSON *plugins = json_add_object(json, "Plugins");
    add_strings(plugins, "Volume", (const char *const[]){"local", NULL});
    add_strings(plugins, "Network", (const char *const[]){"bridge", "host", "null", NULL});
    json_add_null(plugins, "Authorization");
    add_strings(plugins, "Log", (const char *const[]){"journald", "json-file", "local", "none", "syslog", NULL});
}

static void add_index(cJSON *indexes, const char *name, const char *const *mirrors, bool secure, bool official)
{
    cJSON *index = json_add_object(indexes, name);
    json_add_string(index, "Name", name);
    cJSON *list = json_add_array(index, "Mirrors");
    for (; mirrors && *mirrors; mirrors++)
        json_push_string(list, *mirrors);
    json_add_bool(index, "Secure", secure);
    json_add_bool(index, "Official", official);
}

static void add_registry(cJSON *json, const struct registry_options *options, int api_version)
{
    cJSON *registry = json_add_object(json, "RegistryConfig");
    if (api_version < 147) {
        json_add_null(registry, "AllowNondistributableArtifactsCIDRs");
        json_add_null(registry, "AllowNondistributableArtifactsHostnames");
    }
    cJSON *networks = json_add_array(registry, "InsecureRegistryCIDRs");
    cJSON *indexes = json_add_object(registry, "IndexConfigs");
    json_push_string(networks, "::1/128");
    json_push_string(networks, "127.0.0.0/8");
    add_index(indexes, "docker.io", options->mirrors, true, true);
    for (const char *const *each = options->insecure; each && *each; each++) {
        if (strchr(*each, '/'))
            json_push_string(networks, *each);
        else
            add_index(indexes, *each, NULL, false, false);
    }
    cJSON *mirrors = options->mirrors && options->mirrors[0] ? json_add_array(registry, "Mirrors") : NULL;
    for (const char *const *each = options->mirrors; mirrors && each && *each; each++)
        json_push_string(mirrors, *each);
    if (!mirrors)
        json_add_null(registry, "Mirrors");
}

/* "BASE/LEN:SIZE", checked when the engine took them; absent when built in, as with Docker. */
static void add_address_pools(cJSON *json, const char *const *pools)
{
    cJSON *list = pools && *pools ? json_add_array(json, "DefaultAddressPools") : NULL;

    for (; list && *pools; pools++) {
        const char *size = strrchr(*pools, ':');
        cJSON *pool = cJSON_CreateObject();
        CLEANUP_FREE char *base = mem_strndup(*pools, (size_t)(size - *pools));

        json_add_string(pool, "Base", base);
        json_add_int(pool, "Size", strtol(size + 1, NULL, 10));
        cJSON_AddItemToArray(list, pool);
    }
}

static void add_swarm(cJSON *json)
{
    cJSON *swarm = json_add_object(json, "Swarm");
    json_add_string(swarm, "NodeID", "");
    json_add_string(swarm, "NodeAddr", "");
    json_add_string(swarm, "LocalNodeState", "inactive");
    json_add_bool(swarm, "ControlAvailable", false);
    json_add_string(swarm, "Error", "");
    json_add_null(swarm, "RemoteManagers");
}

static void add_warnings(cJSON *json, const struct engine_info *engine)
{
    cJSON *warnings = cJSON_CreateArray();
    for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
        if (!(engine->cgroup_controllers & limits[i].controller))
            json_push_string(warnings, limits[i].warning);
    }
    if (!engine->hyperv_available) {
        CLEANUP_FREE char *text =
            mem_printf("WARNING: hyperv isolation is not available: %s",
                       engine->accelerator_reason ? engine->accelerator_reason : "no accelerator");
        json_push_string(warnings, text);
    } else if (!engine->security_boundary) {
        CLEANUP_FREE char *text = mem_printf(
            "WARNING: hyperv isolation runs under %s: compatibility, not a security boundary",
            engine->accelerator ? engine->accelerator : "tcg");
        json_push_string(warnings, text);
    }
    if (!file_says_one("/proc/sys/net/ipv4/ip_forward"))
        json_push_string(warnings, "WARNING: IPv4 forwarding is disabled");
    json_add(json, "Warnings", warnings->child ? warnings : NULL);
    if (!warnings->child)
        cJSON_Delete(warnings);
}

int system_info(struct request *request)
{
    struct engine *engine = request_engine(request);
    const struct engine_options *options = engine_get_options(engine);
    const int api_version = request_api_version(request);
    struct engine_info info;
    struct machine machine;
    int images = 0;

    engine_info(engine, &info);
    route_machine(&machine);
    image_each(engine_images(engine), count_image, &images);

    cJSON *json = cJSON_CreateObject();
    json_add_string(json, "ID", engine_id(engine));
    json_add_int(json, "Containers", info.containers);
    json_add_int(json, "ContainersRunning", info.running);
    json_add_int(json, "ContainersPaused", info.paused);
    json_add_int(json, "ContainersStopped", info.stopped);
    json_add_int(json, "Images", images);
    add_driver(json, engine, options->data_dir);
    add_plugins(json);
    for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
        json_add_bool(json, limits[i].key, info.cgroup_controllers & limits[i].controller);
    if (api_version < 142)
        json_add_bool(json, "KernelMemory", false);
    json_add_bool(json, "OomKillDisable", info.cgroup_version == 1);
    json_add_bool(json, "IPv4Forwarding", file_says_one("/proc/sys/net/ipv4/ip_forward"));
    if (api_version < 150) {
        json_add_bool(json, "BridgeNfIptables", false);
        json_add_bool(json, "BridgeNfIp6tables", false);
    }
    json_add_bool(json, "Debug", false);
    json_add_int(json, "NFd", count_open_files());
    json_add_int(json, "NGoroutines", 0);
    shape_add_time(json, "SystemTime", clock_real_ns());
    json_add_string(json, "LoggingDriver", "json-file");
    json_add_string(json, "CgroupDriver", "cgroupfs");
    json_add_string(json, "CgroupVersion", info.cgroup_version == 2 ? "2" : "1");
    json_add_int(json, "NEventsListener", (int64_t)event_subscribers(engine_events(request_engine(request))));
    json_add_string(json, "KernelVersion", machine.kernel);
    json_add_string(json, "OperatingSystem", machine.os);
    json_add_string(json, "OSVersion", machine.os_version);
    json_add_string(json, "OSType", "linux");
    json_add_string(json, "Architecture", machine.architecture);
    json_add_string(json, "IndexServerAddress", "https://index.docker.io/v1/");
    add_registry(json, registry_get_options(engine_registry(request_engine(request))), api_version);
    add_address_pools(json, options->address_pools);
    json_add_int(json, "NCPU", machine.cpus);
    json_add_int(json, "MemTotal", (int64_t)machine.memory);
    json_add_null(json, "GenericResources");
    json_add_string(json, "DockerRootDir", options->data_dir);
    json_add_string(json, "HttpProxy", "");
    json_add_string(json, "HttpsProxy", "");
    json_add_string(json, "NoProxy", "");
    json_add_string(json, "Name", machine.name);
    json_add_array(json, "Labels");
    json_add_bool(json, "ExperimentalBuild", false);
    json_add_string(json, "ServerVersion", TABIQUE_VERSION);

    CLEANUP_FREE char *shim = mem_printf("%s/tabique-shim", options->libexec_dir ? options->libexec_dir : "");
    cJSON *runtimes = json_add_object(json, "Runtimes");
    json_add_string(json_add_object(runtimes, "tabique"), "path", shim);
    json_add_string(json, "DefaultRuntime", "tabique");
    add_swarm(json);
    /* Containers outlive this server, always. */
    json_add_bool(json, "LiveRestoreEnabled", true);
    json_add_string(json, "Isolation", info.default_isolation);
    json_add_string(json, "InitBinary", "tabique-shim");
    add_commit(json, "ContainerdCommit", "none", api_version);
    add_commit(json, "RuncCommit", "none", api_version);
    add_commit(json, "InitCommit", TABIQUE_VERSION, api_version);
    add_strings(json, "SecurityOptions",
                (const char *const[]){"name=seccomp,profile=builtin", "name=cgroupns",
                                      options->userns_remap && *options->userns_remap ? "name=userns" : NULL, NULL});
    json_add_string(json, "ProductLicense", "");
    if (api_version >= 149) {
        cJSON *firewall = json_add_object(json, "FirewallBackend");
        json_add_string(firewall, "Driver", "nftables");
    }
    if (api_version >= 150)
        json_add_array(json, "DiscoveredDevices");
    json_add_array(json, "CDISpecDirs");
    add_warnings(json, &info);
    return respond_json(request, 200, json);
}
