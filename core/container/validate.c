/* validate.c - the rules. Owner: container.
 * Source: Docker Engine 28's answers to wrong requests, text by text. */
#include "container/validate.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "container/internal.h"
#include "container/log_driver.h"
#include "container/schema.h"
#include "launch/cgroup.h"

#define MEMORY_MIN (INT64_C(6) << 20)
#define SHM_DEFAULT (INT64_C(64) << 20)
#define INVALID(...) error_set(err, EINVAL, __VA_ARGS__)

static bool list_filled(const cJSON *object, const char *key)
{
    return cJSON_GetArraySize(json_get(object, key)) > 0;
}

/* Replaces or adds; the object keeps its order where the key was there. */
static void set(cJSON *object, const char *key, cJSON *value)
{
    if (cJSON_HasObjectItem(object, key))
        cJSON_ReplaceItemInObjectCaseSensitive(object, key, value);
    else
        json_add(object, key, value);
}

static void set_string(cJSON *object, const char *key, const char *text)
{
    set(object, key, cJSON_CreateString(text));
}

static void set_int(cJSON *object, const char *key, int64_t value)
{
    set(object, key, cJSON_CreateNumber((double)value));
}

/* --- before anything else: what conflicts ------------------------------------------ */

static int check_container_network(const cJSON *config, const cJSON *host, struct error *err)
{
    const char *mode = json_string(host, "NetworkMode", "");

    if (strcmp(mode, "container") == 0 || strcmp(mode, "container:") == 0)
        return INVALID("invalid network mode: invalid container format container:<name|id>");
    if (!str_starts(mode, "container:"))
        return 0;
    if (*json_string(config, "Hostname", ""))
        return INVALID("conflicting options: hostname and the network mode");
    if (list_filled(host, "Links"))
        return INVALID("conflicting options: container type network can't be used with links. This "
                       "would result in undefined behavior");
    if (list_filled(host, "Dns"))
        return INVALID("conflicting options: dns and the network mode");
    if (list_filled(host, "ExtraHosts"))
        return INVALID("conflicting options: custom host-to-IP mapping and the network mode");
    if (list_filled(host, "PortBindings") || json_bool(host, "PublishAllPorts", false))
        return INVALID("conflicting options: port publishing and the container type network mode");
    if (list_filled(config, "ExposedPorts"))
        return INVALID("conflicting options: port exposing and the container type network mode");
    return 0;
}

static int check_conflicts(const cJSON *config, const cJSON *host, struct error *err)
{
    int r = check_container_network(config, host, err);
    if (r < 0)
        return r;
    if (strcmp(json_string(host, "UTSMode", ""), "host") == 0 && *json_string(config, "Hostname", ""))
        return INVALID("conflicting options: hostname and the UTS mode");
    if (strcmp(json_string(host, "NetworkMode", ""), "host") == 0 && list_filled(host, "Links"))
        return INVALID("conflicting options: host type networking can't be used with links. This would "
                       "result in undefined behavior");
    if (json_int(host, "IOMaximumBandwidth", 0))
        return INVALID("invalid option: QoS maximum bandwidth configuration is not supported on linux");
    if (json_int(host, "IOMaximumIOps", 0))
        return INVALID("invalid option: QoS maximum IOPs configuration is not supported on linux");
    if (json_int(host, "CpuRealtimePeriod", 0) || json_int(host, "CpuRealtimeRuntime", 0))
        return INVALID("kernel does not support CPU real-time scheduler");
    if (json_int(host, "CpuShares", 0) < 0)
        return INVALID("invalid CPU shares (%" PRId64 "): value must be a positive integer",
                       json_int(host, "CpuShares", 0));
    return 0;
}

/* --- Config ------------------------------------------------------------------------- */

static int check_health(const cJSON *health, struct error *err)
{
    static const char *const durations[] = {"Interval", "Timeout", "StartPeriod", "StartInterval"};

    for (size_t i = 0; i < ARRAY_SIZE(durations); i++) {
        int64_t value = json_int(health, durations[i], 0);
        if (value != 0 && value < INT64_C(1000000))
            return INVALID("%s in Healthcheck cannot be less than 1ms", durations[i]);
    }
    if (json_int(health, "Retries", 0) < 0)
        return INVALID("Retries in Healthcheck cannot be negative");
    return 0;
}

static int check_config(cJSON *config, struct error *err)
{
    const char *cwd = json_string(config, "WorkingDir", "");
    const char *stop_signal = json_string(config, "StopSignal", "");
    const cJSON *item;
    int number;

    if (*cwd) {
        if (*cwd != '/')
            return INVALID("the working directory '%s' is invalid, it needs to be an absolute path", cwd);
        CLEANUP_FREE char *clean = path_clean(cwd);
        set_string(config, "WorkingDir", clean);
    }
    if (*stop_signal) {
        int r = signal_parse(stop_signal, &number, err);
        if (r < 0)
            return r;
    }
    cJSON_ArrayForEach(item, json_get(config, "Env"))
        if (item->valuestring[0] == '\0' || item->valuestring[0] == '=')
            return INVALID("invalid environment variable: %s", item->valuestring);
    cJSON_ArrayForEach(item, json_get(config, "ExposedPorts")) {
        uint16_t first, last;
        char protocol[5];
        if (port_parse(item->string, &first, &last, protocol) < 0)
            return INVALID("invalid port specification: \"%s\"", item->string);
    }
    return check_health(json_get(config, "Healthcheck"), err);
}

/* --- HostConfig ----------------------------------------------------------------------- */

int validate_restart_policy(const cJSON *policy, struct error *err)
{
    static const char *const counted = "on-failure";
    static const char *const plain[] = {"", "no", "always", "unless-stopped"};
    const char *name = json_string(policy, "Name", "");
    int64_t count = json_int(policy, "MaximumRetryCount", 0);

    if (strcmp(name, counted) == 0)
        return count >= 0 ? 0 : INVALID("invalid restart policy: maximum retry count cannot be negative");
    for (size_t i = 0; i < ARRAY_SIZE(plain); i++) {
        if (strcmp(name, plain[i]) != 0)
            continue;
        if (count == 0)
            return 0;
        return INVALID("invalid restart policy: maximum retry count can only be used with 'on-failure'%s",
                       count < 0 ? " and cannot be negative" : "");
    }
    return INVALID("invalid restart policy: unknown policy '%s'; use one of 'no', 'always', "
                   "'on-failure', or 'unless-stopped'", name);
}

static bool is_address(const char *text)
{
    unsigned char buffer[16];
    return inet_pton(AF_INET, text, buffer) == 1 || inet_pton(AF_INET6, text, buffer) == 1;
}

static int check_extra_host(const char *text, struct error *err)
{
    const char *colon = strchr(text, ':');

    /* docker's client writes "name=address" as "name:address" */
    if (!colon || colon == text)
        return INVALID("bad format for add-host: \"%s\"", text);
    if (strcmp(colon + 1, "host-gateway") != 0 && !is_address(colon + 1))
        return INVALID("invalid IP address in add-host: \"%s\"", colon + 1);
    return 0;
}

static int check_ports(const cJSON *bindings, struct error *err)
{
    const cJSON *port, *binding;

    cJSON_ArrayForEach(port, bindings) {
        uint16_t first, last;
        char protocol[5];

        if (port_parse(port->string, &first, &last, protocol) < 0 || first == 0)
            return INVALID("invalid port specification: \"%.*s\"", (int)strcspn(port->string, "/"), port->string);
        cJSON_ArrayForEach(binding, port) {
            const char *host_port = json_string(binding, "HostPort", "");
            const char *host_ip = json_string(binding, "HostIp", "");

            if (port_range_parse(host_port, &first, &last) < 0)
                return INVALID("invalid port specification: \"%s\"", host_port);
            if (*host_ip && !is_address(host_ip))
                return INVALID("invalid IP address: %s", host_ip);
        }
    }
    return 0;
}

static int check_mounts(const cJSON *host, struct error *err)
{
    struct mount_point mount = {0};
    const cJSON *item;
    unsigned long flags;

    cJSON_ArrayForEach(item, json_get(host, "Mounts")) {
        int r = mount_parse_spec(item, true, &mount, err);
        if (r < 0)
            return r;
        mount_point_clear(&mount);
    }
    cJSON_ArrayForEach(item, json_get(host, "Binds")) {
        int r = mount_parse_bind(item->valuestring, "", &mount, err);
        if (r < 0)
            return r;
        mount_point_clear(&mount);
    }
    cJSON_ArrayForEach(item, json_get(host, "Tmpfs")) {
        CLEANUP_FREE char *data = NULL;
        int r = mount_check_destination(item->string, err);
        if (r == 0)
            r = mount_parse_tmpfs(item->valuestring, &flags, &data, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int check_security(const cJSON *host, char ***warnings, struct error *err)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, json_get(host, "SecurityOpt")) {
        const char *text = item->valuestring;
        const char *value = strchr(text, '=');

        if (strcmp(text, "no-new-privileges") == 0 || strcmp(text, "disable") == 0 ||
            strcmp(text, "writable-cgroups") == 0)
            continue;
        if (!value)
            value = strchr(text, ':');
        if (!value)
            return INVALID("invalid --security-opt 1: \"%s\"", text);
        size_t length = (size_t)(value++ - text);
        if (length == 5 && strncmp(text, "label", 5) == 0)
            continue;
        if (length == 7 && strncmp(text, "seccomp", 7) == 0)
            continue;
        if (length == 8 && strncmp(text, "apparmor", 8) == 0) {
            if (strcmp(value, "unconfined") != 0 && *value)
                strv_push(warnings, "AppArmor is not used by this engine. The AppArmor profile is discarded.");
            continue;
        }
        if ((length == 17 && strncmp(text, "no-new-privileges", 17) == 0) ||
            (length == 16 && strncmp(text, "writable-cgroups", 16) == 0)) {
            static const char *const booleans[] = {"1", "t", "T", "TRUE", "true", "True",
                                                   "0", "f", "F", "FALSE", "false", "False"};
            bool known = false;
            for (size_t i = 0; i < ARRAY_SIZE(booleans); i++)
                known = known || strcmp(value, booleans[i]) == 0;
            if (known)
                continue;
        }
        return INVALID("invalid --security-opt 2: \"%s\"", text);
    }
    return 0;
}

static int check_ulimits(const cJSON *host, struct error *err)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, json_get(host, "Ulimits")) {
        const char *name = json_string(item, "Name", "");
        int64_t soft = json_int(item, "Soft", 0), hard = json_int(item, "Hard", 0);

        if (rlimit_parse(name) < 0)
            return INVALID("invalid ulimit type: %s", name);
        if (hard != -1 && (soft == -1 || soft > hard))
            return INVALID("ulimit soft limit must be less than or equal to hard limit: %" PRId64
                           " > %" PRId64, soft, hard);
    }
    return 0;
}

static const struct {
    const char *field;
    const char *what;
    const char *values; /* allowed, with commas at both ends; "container:X" besides where said */
    bool container;
} modes[] = {
    {"IpcMode", "IPC mode", ",,none,private,shareable,host,", true},
    {"PidMode", "PID mode", ",,host,", true},
    {"UTSMode", "UTS mode", ",,host,", false},
    {"CgroupnsMode", "cgroup namespace mode", ",,private,host,", false},
    {"UsernsMode", "userns mode", ",,host,", false},
};

static int check_modes(const cJSON *host, struct error *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        const char *value = json_string(host, modes[i].field, "");
        CLEANUP_FREE char *word = mem_printf(",%s,", value);

        if (!strchr(value, ',') && strstr(modes[i].values, word))
            continue;
        if (modes[i].container && str_starts(value, "container:") && value[strlen("container:")])
            continue;
        return INVALID("invalid %s: %s", modes[i].what, value);
    }
    return 0;
}

static bool bad_set(const char *text, int available, bool *ret_malformed)
{
    CLEANUP_STRV char **parts = strv_split(text, ',');

    *ret_malformed = false;
    for (char **part = parts; *part; part++) {
        uint16_t first, last;

        if (**part == '\0')
            continue;
        if (port_range_parse(*part, &first, &last) < 0) {
            *ret_malformed = true;
            return true;
        }
        if (last >= available)
            return true;
    }
    return false;
}

static int check_cpusets(const struct host_facts *facts, cJSON *r, struct error *err)
{
    const char *cpus = json_string(r, "CpusetCpus", ""), *mems = json_string(r, "CpusetMems", "");
    bool malformed;

    if (bad_set(cpus, facts->cpus, &malformed)) {
        if (malformed)
            return INVALID("Invalid value %s for cpuset cpus: invalid format: %s", cpus, cpus);
        return INVALID("Requested CPUs are not available - requested %s, available: 0-%d", cpus, facts->cpus - 1);
    }
    if (bad_set(mems, facts->memory_nodes, &malformed)) {
        if (malformed)
            return INVALID("Invalid value %s for cpuset mems: invalid format: %s", mems, mems);
        return INVALID("Requested memory nodes are not available - requested %s, available: %s%d", mems,
                       facts->memory_nodes > 1 ? "0-" : "", facts->memory_nodes - 1);
    }
    return 0;
}

static int check_memory(const struct host_facts *facts, cJSON *r, bool update, char ***warnings,
                        struct error *err)
{
    int64_t memory = json_int(r, "Memory", 0), swap = json_int(r, "MemorySwap", 0);
    int64_t reservation = json_int(r, "MemoryReservation", 0);
    const cJSON *swappiness = json_get(r, "MemorySwappiness");

    if (memory != 0 && memory < MEMORY_MIN)
        return INVALID("Minimum memory limit allowed is 6MB");
    if (memory > 0 && !(facts->controllers & CGROUP_MEMORY)) {
        strv_push(warnings, "Your kernel does not support memory limit capabilities or the cgroup is not "
                            "mounted. Limitation discarded.");
        set_int(r, "Memory", memory = 0);
        set_int(r, "MemorySwap", swap = -1);
    }
    if (memory > 0 && swap != -1 && !(facts->controllers & CGROUP_SWAP)) {
        strv_push(warnings, "Your kernel does not support swap limit capabilities or the cgroup is not "
                            "mounted. Memory limited without swap.");
        set_int(r, "MemorySwap", swap = -1);
    }
    if (memory > 0 && swap > 0 && swap < memory)
        return INVALID("Minimum memoryswap limit should be larger than memory limit, see usage");
    if (memory == 0 && swap > 0 && !update)
        return INVALID("You should always set the Memory limit when using Memoryswap limit, see usage");
    if (cJSON_IsNumber(swappiness)) {
        int64_t value = json_int(r, "MemorySwappiness", -1);

        if (value == -1) { /* older clients' "not set" */
            set(r, "MemorySwappiness", cJSON_CreateNull());
        } else if (value < 0 || value > 100) {
            return INVALID("Invalid value: %" PRId64 ", valid memory swappiness range is 0-100", value);
        } else if (facts->cgroup_version != 1) {
            strv_push(warnings, "Your kernel does not support memory swappiness capabilities or the cgroup "
                                "is not mounted. Memory swappiness discarded.");
            set(r, "MemorySwappiness", cJSON_CreateNull());
        }
    }
    if (reservation > 0 && reservation < MEMORY_MIN)
        return INVALID("Minimum memory reservation allowed is 6MB");
    if (memory > 0 && reservation > 0 && memory < reservation)
        return INVALID("Minimum memory limit can not be less than memory reservation limit, see usage");
    if (json_int(r, "KernelMemory", 0) > 0) {
        strv_push(warnings, "Your kernel does not support kernel memory limit capabilities or the cgroup "
                            "is not mounted. Limitation discarded.");
        set_int(r, "KernelMemory", 0);
    }
    if (json_bool(r, "OomKillDisable", false)) {
        if (facts->cgroup_version != 1) {
            strv_push(warnings, "Your kernel does not support OomKillDisable. OomKillDisable discarded.");
            set(r, "OomKillDisable", cJSON_CreateNull());
        } else if (memory == 0) {
            strv_push(warnings, "OOM killer is disabled for the container, but no memory limit is set, this "
                                "can result in the system running out of resources.");
        }
    }
    if (json_int(r, "PidsLimit", 0) > 0 && !(facts->controllers & CGROUP_PIDS)) {
        strv_push(warnings, "Your kernel does not support PIDs limit capabilities or the cgroup is not "
                            "mounted. PIDs limit discarded.");
        set(r, "PidsLimit", cJSON_CreateNull());
    }
    return 0;
}

static int check_cpu(const struct host_facts *facts, cJSON *r, char ***warnings, struct error *err)
{
    int64_t nano = json_int(r, "NanoCpus", 0), period = json_int(r, "CpuPeriod", 0);
    int64_t quota = json_int(r, "CpuQuota", 0);

    if (nano > 0 && period > 0)
        return INVALID("Conflicting options: Nano CPUs and CPU Period cannot both be set");
    if (nano > 0 && quota > 0)
        return INVALID("Conflicting options: Nano CPUs and CPU Quota cannot both be set");
    if (nano > 0 && !(facts->controllers & CGROUP_CPU))
        return INVALID("NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the "
                       "cgroup is not mounted");
    if (nano < 0 || nano > (int64_t)facts->cpus * INT64_C(1000000000))
        return INVALID("range of CPUs is from 0.01 to %d.00, as there are only %d CPUs available", facts->cpus,
                       facts->cpus);
    if (json_int(r, "CpuShares", 0) > 0 && !(facts->controllers & CGROUP_CPU)) {
        strv_push(warnings, "Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded.");
        set_int(r, "CpuShares", 0);
    }
    if (period != 0 && (period < 1000 || period > 1000000))
        return INVALID("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)");
    if (quota > 0 && quota < 1000)
        return INVALID("CPU cfs quota can not be less than 1ms (i.e. 1000)");
    if (json_int(r, "CpuPercent", 0) > 0) {
        strv_push(warnings, "linux does not support CPU percent. Percent discarded.");
        set_int(r, "CpuPercent", 0);
    }
    return check_cpusets(facts, r, err);
}

/* Block I/O limits that the kernel does not know, as Docker says it. */
static void discard_block(const struct host_facts *facts, cJSON *r, char ***warnings)
{
    static const struct {
        const char *key;
        unsigned needs;
        const char *what, *discarded;
    } limits[] = {
        {"BlkioWeight", CGROUP_BLKIO_WEIGHT, "Block I/O weight", "Weight"},
        {"BlkioWeightDevice", CGROUP_BLKIO_WEIGHT_DEVICE, "Block I/O weight_device", "Weight-device"},
        {"BlkioDeviceReadBps", CGROUP_BLKIO, "BPS Block I/O read limit", "Block I/O BPS read limit"},
        {"BlkioDeviceWriteBps", CGROUP_BLKIO, "BPS Block I/O write limit", "Block I/O BPS write limit"},
        {"BlkioDeviceReadIOps", CGROUP_BLKIO, "IOPS Block read limit", "Block I/O IOPS read limit"},
        {"BlkioDeviceWriteIOps", CGROUP_BLKIO, "IOPS Block write limit", "Block I/O IOPS write limit"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
        const cJSON *asked = json_get(r, limits[i].key);
        bool number = cJSON_IsNumber(asked);

        if ((facts->controllers & limits[i].needs) || (number ? asked->valuedouble <= 0 : cJSON_GetArraySize(asked) == 0))
            continue;
        CLEANUP_FREE char *text = mem_printf("Your kernel does not support %s or the cgroup is not mounted. %s discarded.",
                                             limits[i].what, limits[i].discarded);
        strv_push(warnings, text);
        set(r, limits[i].key, number ? cJSON_CreateNumber(0) : cJSON_CreateArray());
    }
}

int validate_resources(const struct host_facts *facts, cJSON *r, bool update, char ***warnings,
                       struct error *err)
{
    int result = check_memory(facts, r, update, warnings, err);
    if (result == 0)
        result = check_cpu(facts, r, warnings, err);
    if (result < 0)
        return result;
    discard_block(facts, r, warnings);
    int64_t weight = json_int(r, "BlkioWeight", 0);
    if (weight != 0 && (weight < 10 || weight > 1000))
        return INVALID("Range of blkio weight is from 10 to 1000");
    return check_ulimits(r, err);
}

static int check_host_config(const struct host_facts *facts, cJSON *config, cJSON *host, char ***warnings,
                             struct error *err)
{
    cJSON *policy = json_get(host, "RestartPolicy");
    const char *runtime = json_string(host, "Runtime", "");
    uint64_t capabilities;
    const cJSON *item;
    int r;

    if (*json_string(policy, "Name", "") == '\0')
        set_string(policy, "Name", "no");
    if (json_bool(host, "AutoRemove", false) && strcmp(json_string(policy, "Name", ""), "no") != 0)
        return INVALID("can't create 'AutoRemove' container with restart policy");
    if ((r = check_mounts(host, err)) < 0)
        return r;
    cJSON_ArrayForEach(item, json_get(host, "ExtraHosts"))
        if ((r = check_extra_host(item->valuestring, err)) < 0)
            return r;
    if ((r = check_ports(json_get(host, "PortBindings"), err)) < 0 ||
        (r = validate_restart_policy(policy, err)) < 0 ||
        (r = capability_set(json_get(host, "CapAdd"), json_get(host, "CapDrop"), false, &capabilities, err)) < 0)
        return r;
    cJSON_ArrayForEach(item, json_get(host, "Annotations"))
        if (item->string[0] == '\0')
            return INVALID("invalid Annotations: the empty string is not permitted as an annotation key");
    if ((r = validate_resources(facts, host, false, warnings, err)) < 0 || (r = check_modes(host, err)) < 0)
        return r;
    if (json_int(host, "ShmSize", 0) < 0)
        return INVALID("SHM size can not be less than 0");
    int64_t oom = json_int(host, "OomScoreAdj", 0);
    if (oom < -1000 || oom > 1000)
        return INVALID("Invalid value %" PRId64 ", range for oom score adj is [-1000, 1000]", oom);
    if (strcmp(json_string(host, "NetworkMode", ""), "host") == 0 && list_filled(host, "PortBindings"))
        strv_push(warnings, "Published ports are discarded when using host network mode");
    if (*runtime && strcmp(runtime, "runc") != 0 && strcmp(runtime, "tabique") != 0 &&
        strcmp(runtime, "io.containerd.runc.v2") != 0)
        return INVALID("unknown or invalid runtime name: %s", runtime);
    if (*json_string(host, "CgroupParent", ""))
        strv_push(warnings, "This engine puts all containers below its own cgroup. CgroupParent discarded.");
    cJSON_ArrayForEach(item, json_get(host, "StorageOpt"))
        if (!str_equal_nocase(item->string, "size"))
            return INVALID("Unknown option %s", item->string);
    if ((r = check_security(host, warnings, err)) < 0)
        return r;
    return log_driver_check(json_get(host, "LogConfig"), err);
}

/* --- networks --------------------------------------------------------------------------- */

static bool is_mac(const char *text)
{
    unsigned char octets[6];
    int at = 0;

    for (; at < 6; at++) {
        char pair[3] = {text[0], text[0] ? text[1] : '\0', '\0'};
        if (hex_decode(pair, &octets[at], 1) < 0 || strlen(pair) != 2)
            return false;
        text += 2;
        if (at < 5 && *text != ':' && *text != '-')
            return false;
        text += at < 5;
    }
    return *text == '\0';
}

int validate_endpoint(bool user_defined, const cJSON *endpoint, struct error *err)
{
    const cJSON *ipam = json_get(endpoint, "IPAMConfig");
    const char *ipv4 = json_string(ipam, "IPv4Address", ""), *ipv6 = json_string(ipam, "IPv6Address", "");
    const char *mac = json_string(endpoint, "MacAddress", "");
    unsigned char buffer[16];

    if (!user_defined && (*ipv4 || *ipv6))
        return INVALID("invalid endpoint settings: user specified IP address is supported on user defined networks "
                       "only");
    if (!user_defined && list_filled(endpoint, "Aliases"))
        return INVALID("invalid endpoint settings: network-scoped alias is supported only for containers in user "
                       "defined networks");
    if (*ipv4 && inet_pton(AF_INET, ipv4, buffer) != 1)
        return INVALID("invalid endpoint settings: invalid IPv4 address: %s", ipv4);
    if (*ipv6 && inet_pton(AF_INET6, ipv6, buffer) != 1)
        return INVALID("invalid endpoint settings: invalid IPv6 address: %s", ipv6);
    if (*mac && !is_mac(mac))
        return INVALID("invalid MAC address %s", mac);
    return 0;
}

static int check_networks(cJSON *config, cJSON *host, cJSON *networks, struct error *err)
{
    const char *mode = json_string(host, "NetworkMode", "");
    const char *mac = json_string(config, "MacAddress", "");
    cJSON *item;

    if (*mode == '\0' || strcmp(mode, "default") == 0) {
        set_string(host, "NetworkMode", "bridge");
        mode = "bridge";
        item = cJSON_DetachItemFromObjectCaseSensitive(networks, "default");
        if (item && !cJSON_HasObjectItem(networks, "bridge"))
            json_add(networks, "bridge", item);
        else
            cJSON_Delete(item);
    }
    if (strpbrk(mode, "/ \t\n") != NULL && !str_starts(mode, "container:"))
        return INVALID("invalid network mode: %s", mode);
    cJSON_ArrayForEach(item, networks) {
        if (cJSON_IsNull(item))
            return INVALID("invalid config for network %s: EndpointsConfig is nil", item->string);
        if (validate_endpoint(network_is_user_defined(item->string), item, err) < 0)
            return error_prefix(err, "invalid config for network %s", item->string);
    }
    if (*mac) {
        if (!is_mac(mac))
            return INVALID("invalid MAC address %s", mac);
        if (str_starts(mode, "container:") || strcmp(mode, "host") == 0)
            return INVALID("conflicting options: mac-address and the network mode");
        cJSON *endpoint = cJSON_GetObjectItemCaseSensitive(networks, mode);
        if (!endpoint) {
            int r = schema_complete(&schema_endpoint, NULL, "", &endpoint, err);
            if (r < 0)
                return r;
            json_add(networks, mode, endpoint);
        }
        if (*json_string(endpoint, "MacAddress", "") == '\0')
            set_string(endpoint, "MacAddress", mac);
    }
    return 0;
}

/* --- what Docker puts in ---------------------------------------------------------------------- */

static const char *const masked_paths[] = {
    "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
    "/sys/devices/virtual/powercap",
};
static const char *const readonly_paths[] = {
    "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
};

static void set_default_list(cJSON *host, const char *key, const char *const *list, size_t count, bool privileged)
{
    if (privileged || !cJSON_IsNull(json_get(host, key)))
        return;
    cJSON *array = cJSON_CreateArray();
    for (size_t i = 0; i < count; i++)
        json_push_string(array, list[i]);
    set(host, key, array);
}

static void adapt(cJSON *config, cJSON *host, const struct wall *wall)
{
    bool privileged = json_bool(host, "Privileged", false);

    if (json_int(host, "Memory", 0) > 0 && json_int(host, "MemorySwap", 0) == 0)
        set_int(host, "MemorySwap", json_int(host, "Memory", 0) * 2);
    if (json_int(host, "ShmSize", 0) == 0)
        set_int(host, "ShmSize", SHM_DEFAULT);
    if (*json_string(host, "IpcMode", "") == '\0')
        set_string(host, "IpcMode", "private");
    if (*json_string(host, "CgroupnsMode", "") == '\0')
        set_string(host, "CgroupnsMode", "private");
    if (cJSON_IsNull(json_get(host, "OomKillDisable")))
        set(host, "OomKillDisable", cJSON_CreateFalse());
    if (*json_string(host, "Runtime", "") == '\0')
        set_string(host, "Runtime", "runc");
    /* Who asked for the default reads that, as Docker's clients expect; who said nothing, which wall it is. */
    bool by_default = str_equal_nocase(json_string(host, "Isolation", ""), "default");
    set_string(host, "Isolation", by_default ? "default" : wall->name);
    set_default_list(host, "MaskedPaths", masked_paths, ARRAY_SIZE(masked_paths), privileged);
    set_default_list(host, "ReadonlyPaths", readonly_paths, ARRAY_SIZE(readonly_paths), privileged);
}

int validate_create(const struct host_facts *facts, cJSON *config, cJSON *host, cJSON *networks,
                    const struct wall **ret_wall, char ***warnings, struct error *err)
{
    const char *isolation = json_string(host, "Isolation", "");
    const struct wall *wall = wall_find(isolation, facts->default_isolation);

    int r = check_conflicts(config, host, err);
    if (r < 0)
        return r;
    if (!wall)
        return INVALID("invalid isolation mode: \"%s\": one of default, process and hyperv is expected",
                       isolation);
    if (wall->capabilities & ISOLATION_OWN_KERNEL && !facts->hyperv_available)
        return INVALID("hyperv isolation is not available here: %s; use --isolation=process",
                       facts->hyperv_reason ? facts->hyperv_reason : "this engine has no virtual machine worker");
    if ((r = check_config(config, err)) < 0 || (r = check_host_config(facts, config, host, warnings, err)) < 0 ||
        (r = check_networks(config, host, networks, err)) < 0 || (r = wall_check(wall, config, host, err)) < 0)
        return r;
    adapt(config, host, wall);
    *ret_wall = wall;
    return 0;
}

/* --- the image's part -------------------------------------------------------------------------- */

static size_t name_length(const char *env)
{
    return strcspn(env, "=");
}

static void merge_env(cJSON *config, const cJSON *image)
{
    cJSON *env = json_get(config, "Env");
    const cJSON *theirs, *ours;

    if (!cJSON_IsArray(env)) {
        env = cJSON_CreateArray();
        set(config, "Env", env);
    }
    cJSON_ArrayForEach(theirs, json_get(image, "Env")) {
        bool found = false;

        if (!cJSON_IsString(theirs))
            continue;
        cJSON_ArrayForEach(ours, env)
            found = found || (name_length(ours->valuestring) == name_length(theirs->valuestring) &&
                              strncmp(ours->valuestring, theirs->valuestring, name_length(theirs->valuestring)) == 0);
        if (!found)
            json_push_string(env, theirs->valuestring);
    }
    if (cJSON_GetArraySize(env) == 0)
        set(config, "Env", cJSON_CreateNull());
}

static void merge_map(cJSON *config, const cJSON *image, const char *key)
{
    const cJSON *theirs = json_get(image, key), *item;
    cJSON *ours = json_get(config, key);

    if (cJSON_GetArraySize(theirs) == 0 || !cJSON_IsObject(theirs))
        return;
    if (!cJSON_IsObject(ours)) {
        ours = cJSON_CreateObject();
        set(config, key, ours);
    }
    cJSON_ArrayForEach(item, theirs)
        if (!cJSON_GetObjectItemCaseSensitive(ours, item->string))
            json_add(ours, item->string, cJSON_Duplicate(item, true));
}

static void take_string(cJSON *config, const cJSON *image, const char *key)
{
    const char *theirs = json_string(image, key, "");

    if (*json_string(config, key, "") == '\0' && *theirs)
        set_string(config, key, theirs);
}

static void take_list(cJSON *config, const cJSON *image, const char *key)
{
    const cJSON *theirs = json_get(image, key);

    if (cJSON_IsArray(theirs))
        set(config, key, cJSON_Duplicate(theirs, true));
    else if (cJSON_IsString(theirs)) {
        cJSON *list = cJSON_CreateArray();
        json_push_string(list, theirs->valuestring);
        set(config, key, list);
    }
}

static void merge_health(cJSON *config, const cJSON *image)
{
    const cJSON *theirs = json_get(image, "Healthcheck"), *item;
    cJSON *ours = json_get(config, "Healthcheck");

    if (!cJSON_IsObject(theirs))
        return;
    if (!cJSON_IsObject(ours)) {
        json_add(config, "Healthcheck", cJSON_Duplicate(theirs, true));
        return;
    }
    cJSON_ArrayForEach(item, theirs) {
        const cJSON *mine = json_get(ours, item->string);
        if (!mine || (cJSON_IsArray(mine) && cJSON_GetArraySize(mine) == 0) ||
            (cJSON_IsNumber(mine) && mine->valuedouble == 0))
            set(ours, item->string, cJSON_Duplicate(item, true));
    }
}

void validate_merge(cJSON *config, const cJSON *image)
{
    take_string(config, image, "User");
    merge_map(config, image, "ExposedPorts");
    merge_env(config, image);
    merge_map(config, image, "Labels");
    merge_map(config, image, "Volumes");
    bool entrypoint_empty = !list_filled(config, "Entrypoint");
    if (entrypoint_empty) {
        if (!list_filled(config, "Cmd"))
            take_list(config, image, "Cmd");
        /* null takes the image's, [] and [""] mean "none". */
        if (!cJSON_IsArray(json_get(config, "Entrypoint")))
            take_list(config, image, "Entrypoint");
    }
    merge_health(config, image);
    take_string(config, image, "WorkingDir");
    take_string(config, image, "StopSignal");
    if (!cJSON_HasObjectItem(config, "Shell") && list_filled(image, "Shell"))
        take_list(config, image, "Shell");
}

int validate_merge_image(cJSON *config, const cJSON *image, struct error *err)
{
    validate_merge(config, image);
    cJSON *entrypoint = json_get(config, "Entrypoint");
    if (cJSON_GetArraySize(entrypoint) == 1 && cJSON_GetArrayItem(entrypoint, 0)->valuestring[0] == '\0')
        set(config, "Entrypoint", cJSON_CreateNull());
    if (!list_filled(config, "Entrypoint") && !list_filled(config, "Cmd"))
        return INVALID("no command specified");
    if (!cJSON_IsObject(json_get(config, "Labels")))
        set(config, "Labels", cJSON_CreateObject());
    /* An image says what it likes: not that its check runs without a pause. */
    return check_health(json_get(config, "Healthcheck"), err);
}
