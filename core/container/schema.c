/* schema.c - the tables of container's fields. Owner: container.
 * Source: Docker Engine API 1.51, definitions ContainerConfig, HostConfig,
 * Resources, EndpointSettings, ExecConfig. */
#include "container/schema.h"

LOCAL_SCHEMA(health_config, "container", "HealthConfig", STRV_OMIT("Test"), INT_OMIT("Interval", "time.Duration"),
             INT_OMIT("Timeout", "time.Duration"), INT_OMIT("StartPeriod", "time.Duration"),
             INT_OMIT("StartInterval", "time.Duration"), INT_OMIT("Retries", "int"));

SCHEMA(schema_config, "container", "CreateRequest", STRING("Hostname"), STRING("Domainname"), STRING("User"),
       BOOL("AttachStdin"), BOOL("AttachStdout"), BOOL("AttachStderr"),
       {"ExposedPorts", T_SET, D_OMIT, "nat.PortSet", NULL}, BOOL("Tty"), BOOL("OpenStdin"),
       BOOL("StdinOnce"), STRV("Env"), STRSLICE("Cmd"),
       OBJECT_OMIT("Healthcheck", "container.HealthConfig", &health_config),
       BOOL_OMIT("ArgsEscaped"), STRING("Image"),
       {"Volumes", T_SET, D_NULL, "map[string]struct {}", NULL}, STRING("WorkingDir"),
       STRSLICE("Entrypoint"), BOOL_OMIT("NetworkDisabled"), STRING_OMIT("MacAddress"),
       STRV("OnBuild"), MAP_EMPTY("Labels"), STRING_OMIT("StopSignal"), INT_OMIT("StopTimeout", "int"),
       STRSLICE_OMIT("Shell"));

LOCAL_SCHEMA(log_config, "container", "LogConfig", STRING("Type"), MAP_EMPTY("Config"));
LOCAL_SCHEMA(port_binding, "container", "PortBinding", STRING("HostIp"), STRING("HostPort"));
LOCAL_SCHEMA(restart_policy, "container", "RestartPolicy", STRING_OF("Name", "container.RestartPolicyMode"),
             INT_OF("MaximumRetryCount", "int"));
LOCAL_SCHEMA(device_mapping, "container", "DeviceMapping", STRING("PathOnHost"), STRING("PathInContainer"),
             STRING("CgroupPermissions"));
LOCAL_SCHEMA(device_request, "container", "DeviceRequest", STRING("Driver"), INT_OF("Count", "int"),
             STRV("DeviceIDs"), {"Capabilities", T_STRVV, D_NULL, "[][]string", NULL}, MAP("Options"));
LOCAL_SCHEMA(ulimit, "container", "Ulimit", STRING("Name"), INT("Hard"), INT("Soft"));
LOCAL_SCHEMA(weight_device, "container", "WeightDevice", STRING("Path"), INT_OF("Weight", "uint16"));
LOCAL_SCHEMA(throttle_device, "container", "ThrottleDevice", STRING("Path"), INT_OF("Rate", "uint64"));
LOCAL_SCHEMA(bind_options, "container", "BindOptions", STRING_OMIT("Propagation"), BOOL_OMIT("NonRecursive"),
             BOOL_OMIT("CreateMountpoint"), BOOL_OMIT("ReadOnlyNonRecursive"),
             BOOL_OMIT("ReadOnlyForceRecursive"));
LOCAL_SCHEMA(mount_driver, "container", "Driver", STRING_OMIT("Name"), MAP_OMIT("Options"));
LOCAL_SCHEMA(volume_options, "container", "VolumeOptions", BOOL_OMIT("NoCopy"), MAP_OMIT("Labels"),
             STRING_OMIT("Subpath"), OBJECT_OMIT("DriverConfig", "mount.Driver", &mount_driver));
LOCAL_SCHEMA(image_options, "container", "ImageOptions", STRING_OMIT("Subpath"));
LOCAL_SCHEMA(tmpfs_options, "container", "TmpfsOptions", INT_OMIT("SizeBytes", "int64"),
             INT_OMIT("Mode", "os.FileMode"), {"Options", T_STRVV, D_OMIT, "[][]string", NULL});
LOCAL_SCHEMA(mount, "container", "Mount", STRING_OMIT("Type"), STRING_OMIT("Source"), STRING_OMIT("Target"),
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

SCHEMA(schema_host_config, "container", "HostConfig", STRV("Binds"), STRING("ContainerIDFile"),
       OBJECT("LogConfig", "container.LogConfig", &log_config),
       STRING_OF("NetworkMode", "container.NetworkMode"),
       {"PortBindings", T_MAP_LIST, D_EMPTY, "[]nat.PortBinding", &port_binding},
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
       BOOL_ABSENT("Init"));

SCHEMA(schema_update, "container", "UpdateConfig", RESOURCES,
       OBJECT("RestartPolicy", "container.RestartPolicy", &restart_policy));

LOCAL_SCHEMA(ipam_config, "network", "EndpointIPAMConfig", STRING_OMIT("IPv4Address"), STRING_OMIT("IPv6Address"),
             STRV_OMIT("LinkLocalIPs"));
SCHEMA(schema_endpoint, "network", "EndpointSettings",
       OBJECT_NULL("IPAMConfig", "network.EndpointIPAMConfig", &ipam_config), STRV("Links"),
       STRV("Aliases"), STRING("MacAddress"), MAP("DriverOpts"), INT_OF("GwPriority", "int"),
       STRING("NetworkID"), STRING("EndpointID"), STRING("Gateway"), STRING("IPAddress"),
       INT_OF("IPPrefixLen", "int"), STRING("IPv6Gateway"), STRING("GlobalIPv6Address"),
       INT_OF("GlobalIPv6PrefixLen", "int"), STRV("DNSNames"));

SCHEMA(schema_exec, "container", "ExecOptions", STRING("User"), BOOL("Privileged"), BOOL("Tty"),
       {"ConsoleSize", T_BOX, D_OMIT, "[2]uint", NULL}, BOOL("AttachStdin"), BOOL("AttachStderr"),
       BOOL("AttachStdout"), STRING("DetachKeys"), STRV("Env"), STRING("WorkingDir"), STRV("Cmd"));
