/* schema.c - the table of fields, and its reader. Owner: container.
 * Source: Docker Engine API 1.51, definitions ContainerConfig, HostConfig,
 * Resources, EndpointSettings, ExecConfig. */
#include "container/schema.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "tabique/error.h"

enum field_type {
    T_BOOL,
    T_INT,        /* go_type says which: int, int64, uint16 ... */
    T_STRING,
    T_STRV,       /* []string */
    T_STRSLICE,   /* string or []string */
    T_STRVV,      /* [][]string */
    T_MAP,        /* map[string]string */
    T_SET,        /* map[string]struct{} */
    T_BOX,        /* [2]uint */
    T_OBJECT,
    T_LIST,       /* []object */
    T_MAP_LIST,   /* map[string][]object */
};

/* What stands there when nothing was given. */
enum field_default {
    D_ZERO,  /* false, 0, "", {} of defaults */
    D_NULL,
    D_EMPTY, /* [] or {} */
    D_OMIT,  /* Go's omitempty: the field is not there */
};

struct field {
    const char *name;
    enum field_type type;
    enum field_default absent;
    const char *go_type;
    const struct schema *of;
};

struct schema {
    const char *go_name;
    const struct field *fields; /* ends with a NULL name */
};

#define BOOL(n) {n, T_BOOL, D_ZERO, "bool", NULL}
#define BOOL_OMIT(n) {n, T_BOOL, D_OMIT, "bool", NULL}
#define BOOL_NULL(n) {n, T_BOOL, D_NULL, "bool", NULL}
#define INT(n) {n, T_INT, D_ZERO, "int64", NULL}
#define INT_OF(n, t) {n, T_INT, D_ZERO, t, NULL}
#define INT_OMIT(n, t) {n, T_INT, D_OMIT, t, NULL}
#define INT_NULL(n) {n, T_INT, D_NULL, "int64", NULL}
#define STRING(n) {n, T_STRING, D_ZERO, "string", NULL}
#define STRING_OF(n, t) {n, T_STRING, D_ZERO, t, NULL}
#define STRING_OMIT(n) {n, T_STRING, D_OMIT, "string", NULL}
#define STRV(n) {n, T_STRV, D_NULL, "[]string", NULL}
#define STRV_OMIT(n) {n, T_STRV, D_OMIT, "[]string", NULL}
#define STRSLICE(n) {n, T_STRSLICE, D_NULL, "strslice.StrSlice", NULL}
#define STRSLICE_OMIT(n) {n, T_STRSLICE, D_OMIT, "strslice.StrSlice", NULL}
#define MAP(n) {n, T_MAP, D_NULL, "map[string]string", NULL}
#define MAP_EMPTY(n) {n, T_MAP, D_EMPTY, "map[string]string", NULL}
#define MAP_OMIT(n) {n, T_MAP, D_OMIT, "map[string]string", NULL}
#define LIST(n, t, s) {n, T_LIST, D_NULL, t, s}
#define LIST_OMIT(n, t, s) {n, T_LIST, D_OMIT, t, s}
#define OBJECT(n, t, s) {n, T_OBJECT, D_ZERO, t, s}
#define OBJECT_OMIT(n, t, s) {n, T_OBJECT, D_OMIT, t, s}
#define OBJECT_NULL(n, t, s) {n, T_OBJECT, D_NULL, t, s}
#define END {NULL, T_BOOL, D_ZERO, NULL, NULL}

#define SCHEMA(symbol, name, ...)                                   \
    static const struct field symbol##_fields[] = {__VA_ARGS__, END}; \
    const struct schema symbol = {name, symbol##_fields}
#define LOCAL_SCHEMA(symbol, name, ...)                             \
    static const struct field symbol##_fields[] = {__VA_ARGS__, END}; \
    static const struct schema symbol = {name, symbol##_fields}

LOCAL_SCHEMA(health_config, "HealthConfig", STRV_OMIT("Test"), INT_OMIT("Interval", "time.Duration"),
             INT_OMIT("Timeout", "time.Duration"), INT_OMIT("StartPeriod", "time.Duration"),
             INT_OMIT("StartInterval", "time.Duration"), INT_OMIT("Retries", "int"));

SCHEMA(schema_config, "CreateRequest", STRING("Hostname"), STRING("Domainname"), STRING("User"),
       BOOL("AttachStdin"), BOOL("AttachStdout"), BOOL("AttachStderr"),
       {"ExposedPorts", T_SET, D_OMIT, "nat.PortSet", NULL}, BOOL("Tty"), BOOL("OpenStdin"),
       BOOL("StdinOnce"), STRV("Env"), STRSLICE("Cmd"),
       OBJECT_OMIT("Healthcheck", "container.HealthConfig", &health_config),
       BOOL_OMIT("ArgsEscaped"), STRING("Image"),
       {"Volumes", T_SET, D_NULL, "map[string]struct {}", NULL}, STRING("WorkingDir"),
       STRSLICE("Entrypoint"), BOOL_OMIT("NetworkDisabled"), STRING_OMIT("MacAddress"),
       STRV("OnBuild"), MAP_EMPTY("Labels"), STRING_OMIT("StopSignal"), INT_OMIT("StopTimeout", "int"),
       STRSLICE_OMIT("Shell"));

LOCAL_SCHEMA(log_config, "LogConfig", STRING("Type"), MAP_EMPTY("Config"));
LOCAL_SCHEMA(port_binding, "PortBinding", STRING("HostIp"), STRING("HostPort"));
LOCAL_SCHEMA(restart_policy, "RestartPolicy", STRING_OF("Name", "container.RestartPolicyMode"),
             INT_OF("MaximumRetryCount", "int"));
LOCAL_SCHEMA(device_mapping, "DeviceMapping", STRING("PathOnHost"), STRING("PathInContainer"),
             STRING("CgroupPermissions"));
LOCAL_SCHEMA(device_request, "DeviceRequest", STRING("Driver"), INT_OF("Count", "int"),
             STRV("DeviceIDs"), {"Capabilities", T_STRVV, D_NULL, "[][]string", NULL}, MAP("Options"));
LOCAL_SCHEMA(ulimit, "Ulimit", STRING("Name"), INT("Hard"), INT("Soft"));
LOCAL_SCHEMA(weight_device, "WeightDevice", STRING("Path"), INT_OF("Weight", "uint16"));
LOCAL_SCHEMA(throttle_device, "ThrottleDevice", STRING("Path"), INT_OF("Rate", "uint64"));
LOCAL_SCHEMA(bind_options, "BindOptions", STRING_OMIT("Propagation"), BOOL_OMIT("NonRecursive"),
             BOOL_OMIT("CreateMountpoint"), BOOL_OMIT("ReadOnlyNonRecursive"),
             BOOL_OMIT("ReadOnlyForceRecursive"));
LOCAL_SCHEMA(mount_driver, "Driver", STRING_OMIT("Name"), MAP_OMIT("Options"));
LOCAL_SCHEMA(volume_options, "VolumeOptions", BOOL_OMIT("NoCopy"), MAP_OMIT("Labels"),
             STRING_OMIT("Subpath"), OBJECT_OMIT("DriverConfig", "mount.Driver", &mount_driver));
LOCAL_SCHEMA(image_options, "ImageOptions", STRING_OMIT("Subpath"));
LOCAL_SCHEMA(tmpfs_options, "TmpfsOptions", INT_OMIT("SizeBytes", "int64"),
             INT_OMIT("Mode", "os.FileMode"), {"Options", T_STRVV, D_OMIT, "[][]string", NULL});
LOCAL_SCHEMA(mount, "Mount", STRING_OMIT("Type"), STRING_OMIT("Source"), STRING_OMIT("Target"),
             BOOL_OMIT("ReadOnly"), STRING_OMIT("Consistency"),
             OBJECT_OMIT("BindOptions", "mount.BindOptions", &bind_options),
             OBJECT_OMIT("VolumeOptions", "mount.VolumeOptions", &volume_options),
             OBJECT_OMIT("ImageOptions", "mount.ImageOptions", &image_options),
             OBJECT_OMIT("TmpfsOptions", "mount.TmpfsOptions", &tmpfs_options));

/* Resources: what update may change too. */
#define RESOURCES                                                                              \
    INT("CpuShares"), INT("Memory"), INT("NanoCpus"), STRING("CgroupParent"),                   \
        INT_OF("BlkioWeight", "uint16"),                                                        \
        LIST("BlkioWeightDevice", "[]*blkiodev.WeightDevice", &weight_device),                  \
        LIST("BlkioDeviceReadBps", "[]*blkiodev.ThrottleDevice", &throttle_device),             \
        LIST("BlkioDeviceWriteBps", "[]*blkiodev.ThrottleDevice", &throttle_device),            \
        LIST("BlkioDeviceReadIOps", "[]*blkiodev.ThrottleDevice", &throttle_device),            \
        LIST("BlkioDeviceWriteIOps", "[]*blkiodev.ThrottleDevice", &throttle_device),           \
        INT("CpuPeriod"), INT("CpuQuota"), INT("CpuRealtimePeriod"), INT("CpuRealtimeRuntime"), \
        STRING("CpusetCpus"), STRING("CpusetMems"),                                             \
        LIST("Devices", "[]container.DeviceMapping", &device_mapping),                          \
        STRV("DeviceCgroupRules"),                                                              \
        LIST("DeviceRequests", "[]container.DeviceRequest", &device_request),                   \
        INT_OMIT("KernelMemory", "int64"), INT_OMIT("KernelMemoryTCP", "int64"),                \
        INT("MemoryReservation"), INT("MemorySwap"), INT_NULL("MemorySwappiness"),              \
        BOOL_NULL("OomKillDisable"), INT_NULL("PidsLimit"),                                     \
        LIST("Ulimits", "[]*container.Ulimit", &ulimit), INT("CpuCount"), INT("CpuPercent"),    \
        INT_OF("IOMaximumIOps", "uint64"), INT_OF("IOMaximumBandwidth", "uint64")

SCHEMA(schema_host_config, "HostConfig", STRV("Binds"), STRING("ContainerIDFile"),
       OBJECT("LogConfig", "container.LogConfig", &log_config),
       STRING_OF("NetworkMode", "container.NetworkMode"),
       {"PortBindings", T_MAP_LIST, D_EMPTY, "nat.PortMap", &port_binding},
       OBJECT("RestartPolicy", "container.RestartPolicy", &restart_policy), BOOL("AutoRemove"),
       STRING("VolumeDriver"), STRV("VolumesFrom"), {"ConsoleSize", T_BOX, D_ZERO, "[2]uint", NULL},
       MAP_OMIT("Annotations"), STRSLICE("CapAdd"), STRSLICE("CapDrop"),
       STRING_OF("CgroupnsMode", "container.CgroupnsMode"), STRV("Dns"), STRV("DnsOptions"),
       STRV("DnsSearch"), STRV("ExtraHosts"), STRV("GroupAdd"),
       STRING_OF("IpcMode", "container.IpcMode"), STRING_OF("Cgroup", "container.CgroupSpec"),
       STRV("Links"), INT_OF("OomScoreAdj", "int"), STRING_OF("PidMode", "container.PidMode"),
       BOOL("Privileged"), BOOL("PublishAllPorts"), BOOL("ReadonlyRootfs"), STRV("SecurityOpt"),
       MAP_OMIT("StorageOpt"), MAP_OMIT("Tmpfs"), STRING_OF("UTSMode", "container.UTSMode"),
       STRING_OF("UsernsMode", "container.UsernsMode"), INT("ShmSize"), MAP_OMIT("Sysctls"),
       STRING("Runtime"), STRING_OF("Isolation", "container.Isolation"), RESOURCES,
       LIST_OMIT("Mounts", "[]mount.Mount", &mount), STRV("MaskedPaths"), STRV("ReadonlyPaths"),
       BOOL_OMIT("Init"));

SCHEMA(schema_update, "UpdateConfig", RESOURCES,
       OBJECT("RestartPolicy", "container.RestartPolicy", &restart_policy));

LOCAL_SCHEMA(ipam_config, "EndpointIPAMConfig", STRING_OMIT("IPv4Address"), STRING_OMIT("IPv6Address"),
             STRV_OMIT("LinkLocalIPs"));
SCHEMA(schema_endpoint, "EndpointSettings",
       OBJECT_NULL("IPAMConfig", "network.EndpointIPAMConfig", &ipam_config), STRV("Links"),
       STRV("Aliases"), STRING("MacAddress"), MAP("DriverOpts"), INT_OF("GwPriority", "int"),
       STRING("NetworkID"), STRING("EndpointID"), STRING("Gateway"), STRING("IPAddress"),
       INT_OF("IPPrefixLen", "int"), STRING("IPv6Gateway"), STRING("GlobalIPv6Address"),
       INT_OF("GlobalIPv6PrefixLen", "int"), STRV("DNSNames"));

SCHEMA(schema_exec, "ExecOptions", STRING("User"), BOOL("Privileged"), BOOL("Tty"),
       {"ConsoleSize", T_BOX, D_OMIT, "[2]uint", NULL}, BOOL("AttachStdin"), BOOL("AttachStderr"),
       BOOL("AttachStdout"), STRING("DetachKeys"), STRV("Env"), STRING("WorkingDir"), STRV("Cmd"));

/* --- reading ----------------------------------------------------------------- */

static const char *value_kind(const cJSON *value, char *number, size_t size)
{
    if (cJSON_IsBool(value))
        return "bool";
    if (cJSON_IsString(value))
        return "string";
    if (cJSON_IsArray(value))
        return "array";
    if (cJSON_IsObject(value))
        return "object";
    if (cJSON_IsNumber(value) && number) {
        snprintf(number, size, "number %.17g", value->valuedouble);
        return number;
    }
    return "number";
}

static int mismatch(const struct schema *schema, const char *path, const cJSON *value,
                    const char *go_type, bool show_number, struct error *err)
{
    char number[48];

    if (*path == '\0')
        return error_set(err, EINVAL,
                         "invalid JSON: json: cannot unmarshal %s into Go value of type container.%s",
                         value_kind(value, NULL, 0), schema->go_name);
    return error_set(err, EINVAL,
                     "invalid JSON: json: cannot unmarshal %s into Go struct field %s.%s of type %s",
                     value_kind(value, show_number ? number : NULL, sizeof(number)),
                     schema->go_name, path, go_type);
}

static const struct {
    const char *go_type;
    double min, max;
} ranges[] = {
    /* 2^63 itself is a double and out of range; the largest below it is fine. */
    {"int64", -0x1p63, 0x1p63},  {"int", -0x1p63, 0x1p63}, {"time.Duration", -0x1p63, 0x1p63},
    {"uint64", 0, 0x1p64},       {"uint16", 0, 0x1p16},    {"os.FileMode", 0, 0x1p32},
    {"uint", 0, 0x1p64},
};

static bool number_fits(double value, const char *go_type)
{
    if (!isfinite(value) || value != trunc(value))
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(ranges); i++)
        if (strcmp(ranges[i].go_type, go_type) == 0)
            return value >= ranges[i].min && value < ranges[i].max;
    return true;
}

static int read_field(const struct schema *schema, const struct field *field, const cJSON *value,
                      const char *path, cJSON **ret, struct error *err);

static int read_strv(const struct schema *schema, const cJSON *value, const char *path,
                     const char *go_type, cJSON **ret, struct error *err)
{
    if (!cJSON_IsArray(value))
        return mismatch(schema, path, value, go_type, false, err);

    CLEANUP_JSON cJSON *list = cJSON_CreateArray();
    const cJSON *item;
    cJSON_ArrayForEach(item, value) {
        if (!cJSON_IsString(item) && !cJSON_IsNull(item))
            return mismatch(schema, path, item, "string", false, err);
        json_push_string(list, cJSON_IsNull(item) ? "" : item->valuestring);
    }
    *ret = TAKE_PTR(list);
    return 0;
}

static int read_list(const struct schema *schema, const struct field *field, const cJSON *value,
                     const char *path, cJSON **ret, struct error *err)
{
    if (!cJSON_IsArray(value))
        return mismatch(schema, path, value, field->go_type, false, err);

    CLEANUP_JSON cJSON *list = cJSON_CreateArray();
    const cJSON *item;
    cJSON_ArrayForEach(item, value) {
        cJSON *element = NULL;
        int r = schema_complete(field->of, item, path, &element, err);
        if (r < 0)
            return r;
        cJSON_AddItemToArray(list, element);
    }
    *ret = TAKE_PTR(list);
    return 0;
}

static int read_map(const struct schema *schema, const struct field *field, const cJSON *value,
                    const char *path, cJSON **ret, struct error *err)
{
    if (!cJSON_IsObject(value))
        return mismatch(schema, path, value, field->go_type, false, err);

    CLEANUP_JSON cJSON *map = cJSON_CreateObject();
    const cJSON *item;
    cJSON_ArrayForEach(item, value) {
        cJSON *entry = NULL;
        int r = 0;

        if (cJSON_GetObjectItemCaseSensitive(map, item->string))
            cJSON_DeleteItemFromObjectCaseSensitive(map, item->string); /* last one wins, as in Go */
        switch (field->type) {
        case T_MAP:
            if (!cJSON_IsString(item) && !cJSON_IsNull(item))
                return mismatch(schema, path, item, "string", false, err);
            entry = cJSON_CreateString(cJSON_IsNull(item) ? "" : item->valuestring);
            break;
        case T_SET:
            if (!cJSON_IsObject(item) && !cJSON_IsNull(item))
                return mismatch(schema, path, item, "struct {}", false, err);
            entry = cJSON_CreateObject();
            break;
        default:
            if (cJSON_IsNull(item))
                entry = cJSON_CreateNull();
            else
                r = read_list(schema, field, item, path, &entry, err);
        }
        if (r < 0)
            return r;
        json_add(map, item->string, entry);
    }
    *ret = TAKE_PTR(map);
    return 0;
}

static int read_strvv(const struct schema *schema, const struct field *field, const cJSON *value,
                      const char *path, cJSON **ret, struct error *err)
{
    if (!cJSON_IsArray(value))
        return mismatch(schema, path, value, field->go_type, false, err);

    CLEANUP_JSON cJSON *list = cJSON_CreateArray();
    const cJSON *item;
    cJSON_ArrayForEach(item, value) {
        cJSON *inner = NULL;
        int r = cJSON_IsNull(item) ? 0 : read_strv(schema, item, path, "[]string", &inner, err);
        if (r < 0)
            return r;
        cJSON_AddItemToArray(list, inner ? inner : cJSON_CreateArray());
    }
    *ret = TAKE_PTR(list);
    return 0;
}

static int read_box(const struct schema *schema, const struct field *field, const cJSON *value,
                    const char *path, cJSON **ret, struct error *err)
{
    double sides[2] = {0, 0};
    int at = 0;

    if (!cJSON_IsArray(value))
        return mismatch(schema, path, value, field->go_type, false, err);
    const cJSON *item;
    cJSON_ArrayForEach(item, value) {
        if (!cJSON_IsNumber(item) || !number_fits(item->valuedouble, "uint"))
            return mismatch(schema, path, item, "uint", cJSON_IsNumber(item), err);
        if (at < 2)
            sides[at++] = item->valuedouble;
    }
    *ret = cJSON_CreateDoubleArray(sides, 2);
    return 0;
}

static int read_field(const struct schema *schema, const struct field *field, const cJSON *value,
                      const char *path, cJSON **ret, struct error *err)
{
    switch (field->type) {
    case T_BOOL:
        if (!cJSON_IsBool(value))
            return mismatch(schema, path, value, field->go_type, false, err);
        *ret = cJSON_CreateBool(cJSON_IsTrue(value));
        return 0;
    case T_INT:
        if (!cJSON_IsNumber(value))
            return mismatch(schema, path, value, field->go_type, false, err);
        if (!number_fits(value->valuedouble, field->go_type))
            return mismatch(schema, path, value, field->go_type, true, err);
        *ret = cJSON_CreateNumber(value->valuedouble);
        return 0;
    case T_STRING:
        if (!cJSON_IsString(value))
            return mismatch(schema, path, value, field->go_type, false, err);
        *ret = cJSON_CreateString(value->valuestring);
        return 0;
    case T_STRSLICE:
        if (cJSON_IsString(value)) {
            *ret = cJSON_CreateArray();
            json_push_string(*ret, value->valuestring);
            return 0;
        }
        return read_strv(schema, value, path, field->go_type, ret, err);
    case T_STRV:
        return read_strv(schema, value, path, field->go_type, ret, err);
    case T_STRVV:
        return read_strvv(schema, field, value, path, ret, err);
    case T_MAP:
    case T_SET:
    case T_MAP_LIST:
        return read_map(schema, field, value, path, ret, err);
    case T_BOX:
        return read_box(schema, field, value, path, ret, err);
    case T_OBJECT:
        return schema_complete(field->of, value, path, ret, err);
    case T_LIST:
        return read_list(schema, field, value, path, ret, err);
    }
    return -EINVAL;
}

static cJSON *default_value(const struct field *field)
{
    static const double no_box[2] = {0, 0};
    bool list = field->type == T_STRV || field->type == T_STRSLICE || field->type == T_LIST ||
                field->type == T_STRVV;
    cJSON *object = NULL;

    if (field->absent == D_NULL)
        return cJSON_CreateNull();
    if (field->absent == D_EMPTY)
        return list ? cJSON_CreateArray() : cJSON_CreateObject();
    switch (field->type) {
    case T_BOOL:
        return cJSON_CreateFalse();
    case T_INT:
        return cJSON_CreateNumber(0);
    case T_STRING:
        return cJSON_CreateString("");
    case T_BOX:
        return cJSON_CreateDoubleArray(no_box, 2);
    case T_OBJECT:
        schema_complete(field->of, NULL, "", &object, NULL);
        return object;
    default:
        return cJSON_CreateNull();
    }
}

int schema_complete(const struct schema *schema, const cJSON *object, const char *path,
                    cJSON **ret, struct error *err)
{
    if (object && !cJSON_IsNull(object) && !cJSON_IsObject(object))
        return mismatch(schema, path, object, schema->go_name, false, err);

    CLEANUP_JSON cJSON *complete = cJSON_CreateObject();
    for (const struct field *field = schema->fields; field->name; field++) {
        const cJSON *value = object && !cJSON_IsNull(object) ? json_get(object, field->name) : NULL;
        cJSON *made = NULL;

        if (value && !cJSON_IsNull(value)) {
            char at[512];
            snprintf(at, sizeof(at), "%s%s%s", path, *path ? "." : "", field->name);
            int r = read_field(schema, field, value, at, &made, err);
            if (r < 0)
                return r;
        } else if (field->absent == D_OMIT) {
            continue;
        } else {
            made = default_value(field);
        }
        cJSON_AddItemToObjectCS(complete, field->name, made);
    }
    *ret = TAKE_PTR(complete);
    return 0;
}

int schema_complete_map(const struct schema *schema, const cJSON *map, const char *path,
                        const char *struct_name, cJSON **ret, struct error *err)
{
    CLEANUP_JSON cJSON *complete = cJSON_CreateObject();

    if (map && !cJSON_IsNull(map)) {
        const struct schema owner = {struct_name, NULL};
        const cJSON *item;

        if (!cJSON_IsObject(map))
            return mismatch(&owner, path, map, "map[string]*network.EndpointSettings", false, err);
        cJSON_ArrayForEach(item, map) {
            cJSON *value = NULL;

            if (cJSON_IsNull(item)) {
                value = cJSON_CreateNull();
            } else {
                int r = schema_complete(schema, item, path, &value, err);
                if (r < 0)
                    return r;
            }
            cJSON_DeleteItemFromObjectCaseSensitive(complete, item->string);
            json_add(complete, item->string, value);
        }
    }
    *ret = TAKE_PTR(complete);
    return 0;
}
