/* plan_build.c - from a container's configuration to the plan its launcher
 * carries out: namespaces, mounts, limits. Owner: container.
 * What the process itself gets stands in plan_process.c.
 * Sources: Docker's default OCI specification; the OCI runtime specification. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "container/internal.h"
#include "container/user_namespace.h"
#include "container/validate.h"
#include "image/disk.h"
#include "launch/cgroup.h"
#include "launch/plan.h"
#include "launch/plan_base.h"

#define CPU_PERIOD_US 100000
#define DEVICES_MAX 2048

/* --- mounts ---------------------------------------------------------------------- */

static struct plan_mount *add_mount(struct plan *plan, const char *type, const char *source, const char *target,
                                    uint64_t flags, const char *data)
{
    plan->mounts = mem_grow(plan->mounts, plan->mount_count + 1, sizeof(*plan->mounts));
    struct plan_mount *mount = &plan->mounts[plan->mount_count++];

    *mount = (struct plan_mount){
        .type = mem_strdup(type),
        .source = mem_strdup(source),
        .target = mem_strdup(target),
        .data = mem_strdup(data),
        .flags = flags,
    };
    return mount;
}

static struct plan_mount *add_bind(struct plan *plan, const char *source, const char *target, uint64_t flags,
                                   uint64_t propagation)
{
    struct plan_mount *mount = add_mount(plan, "bind", source, target, MS_BIND | flags, NULL);

    mount->propagation = propagation;
    return mount;
}

static bool taken_by_user(const struct container *container, const struct spec *spec, const char *target)
{
    const cJSON *item;

    if (mount_list_find(&container->mounts, target))
        return true;
    cJSON_ArrayForEach(item, json_get(spec->host_config, "Tmpfs")) {
        CLEANUP_FREE char *clean = path_clean(item->string);
        if (strcmp(clean, target) == 0)
            return true;
    }
    return false;
}

static void add_base_mounts(const struct container *container, const struct spec *spec, const char *shm, struct plan *plan)
{
    const char *ipc = json_string(spec->host_config, "IpcMode", "private");
    bool privileged = json_bool(spec->host_config, "Privileged", false);

    /* A user's mount at the same place takes it over. */
    for (size_t i = 0; i < plan_base_mount_count; i++) {
        const struct plan_base_mount *base = &plan_base_mounts[i];
        const char *target = base->target;
        uint64_t flags = base->flags;

        if (taken_by_user(container, spec, target))
            continue;
        if (privileged && str_starts(target, "/sys"))
            flags &= ~(uint64_t)MS_RDONLY;
        /* A fresh mqueue mount shows the IPC namespace's own queues, the host's too. */
        if (shm && strcmp(target, "/dev/shm") == 0) {
            add_bind(plan, shm, target, MS_NOSUID | MS_NOEXEC | MS_NODEV, 0);
        } else if (strcmp(target, "/dev/shm") == 0) {
            CLEANUP_FREE char *data = mem_printf("%s,size=%" PRId64, base->data, json_int(spec->host_config, "ShmSize", 64 << 20));
            if (strcmp(ipc, "none") != 0)
                add_mount(plan, "tmpfs", "shm", target, flags, data);
        } else {
            add_mount(plan, base->type, base->type, target, flags, base->data);
        }
    }
}

static void add_etc(struct container *container, const struct spec *spec, struct plan *plan)
{
    static const char *const names[] = {"resolv.conf", "hostname", "hosts"};
    CLEANUP_FREE char *dir = sandbox_etc_dir(container, spec);
    /* A read-only root does not keep the engine from updating these. */
    uint64_t readonly = json_bool(spec->host_config, "ReadonlyRootfs", false) ? MS_RDONLY : 0;

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        CLEANUP_FREE char *source = path_join(dir, names[i]), *target = path_join("/etc", names[i]);

        if (!mount_list_find(&container->mounts, target))
            add_bind(plan, source, target, readonly, MS_PRIVATE | MS_REC)->own_ids = true;
    }
}

static size_t depth(const char *path)
{
    size_t count = 0;
    for (; *path; path++)
        count += *path == '/';
    return count;
}

static int shallow_first(const void *a, const void *b)
{
    const struct plan_mount *left = a, *right = b;
    size_t l = depth(left->target), r = depth(right->target);

    if (l != r)
        return l < r ? -1 : 1;
    return strcmp(left->target, right->target);
}

/* A part of a volume, whose contents belong to containers: resolved below the
 * volume here, and handed on as the very directory that was found, so that no
 * symlink put there meanwhile leads out (/proc/PID/fd/N names an inode). */
static int open_subpath(const struct mount_point *mount, struct plan_sources *sources, char **ret, struct error *err)
{
    CLEANUP_CLOSE int top = open(mount->source, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (top < 0)
        return error_errno(err, EIO, "cannot open volume %s", mount->name);
    int fd = path_open_in(top, mount->subpath, O_PATH, 0);
    if (fd < 0)
        return error_set(err, EINVAL, "cannot access path %s of volume %s: %s", mount->subpath, mount->name, strerror(-fd));
    sources->fds = mem_grow(sources->fds, sources->count + 1, sizeof(*sources->fds));
    sources->fds[sources->count++] = fd;
    *ret = mem_printf("/proc/%d/fd/%d", (int)getpid(), fd);
    return 0;
}

void plan_sources_close(struct plan_sources *sources)
{
    for (size_t i = 0; i < sources->count; i++)
        close(sources->fds[i]);
    free(sources->fds);
    *sources = (struct plan_sources){0};
}

static int add_user_mounts(const struct container *container, const struct spec *spec, struct plan *plan,
                           struct plan_sources *sources, struct error *err)
{
    size_t first = plan->mount_count;
    const cJSON *item;

    for (size_t i = 0; i < container->mounts.count; i++) {
        const struct mount_point *mount = &container->mounts.items[i];
        uint64_t flags = mount->rw ? 0 : MS_RDONLY;

        if (mount->type == MOUNT_TMPFS) {
            struct plan_mount *added = add_mount(plan, "tmpfs", "tmpfs", mount->destination,
                                                 flags | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
            /* exec and noexec are flags, the rest goes to the file system. */
            CLEANUP_STRV char **parts = strv_split(mount->data, ',');
            CLEANUP_STR struct str data = STR_INIT;
            for (char **part = parts; *part; part++)
                if (strcmp(*part, "exec") == 0)
                    added->flags &= ~(uint64_t)MS_NOEXEC;
                else if (strcmp(*part, "noexec") != 0)
                    str_printf(&data, "%s%s", data.length ? "," : "", *part);
            if (!strstr(data.data ? data.data : "", "mode="))
                str_printf(&data, "%smode=1777", data.length ? "," : "");
            added->data = str_take(&data);
            added->copy_up = true;
            continue;
        }
        if (!mount->non_recursive)
            flags |= MS_REC;
        CLEANUP_FREE char *part = NULL;
        if (*mount->subpath) {
            int r = open_subpath(mount, sources, &part, err);
            if (r < 0)
                return r;
        }
        /* A volume is the containers' own; a directory of the host's stays the host's. */
        add_bind(plan, part ? part : mount->source, mount->destination, flags,
                 mount->type == MOUNT_BIND ? mount_propagation_flag(mount->propagation) : MS_PRIVATE | MS_REC)
            ->own_ids = mount->type == MOUNT_VOLUME;
    }
    cJSON_ArrayForEach(item, json_get(spec->host_config, "Tmpfs")) {
        CLEANUP_FREE char *data = NULL, *target = path_clean(item->string);
        unsigned long flags;

        int r = mount_parse_tmpfs(item->valuestring, &flags, &data, err);
        if (r < 0)
            return r;
        if (!strstr(data, "mode=")) {
            char *with = mem_printf("%s%smode=1777", data, *data ? "," : "");
            free(data);
            data = with;
        }
        add_mount(plan, "tmpfs", "tmpfs", target, flags, data)->copy_up = true;
    }
    if (plan->mount_count > first)
        qsort(plan->mounts + first, plan->mount_count - first, sizeof(*plan->mounts), shallow_first);
    return 0;
}

/* --- namespaces ---------------------------------------------------------------------- */

/* ret_shm: of an IPC namespace, which must be one to share; NULL for other kinds. */
static int join_process(struct container *container, const char *ref, const char *kind, const char *what, char **ret_shm,
                        struct plan_namespace *ret, struct error *err)
{
    struct container *other = NULL;

    int r = container_get(container->engine, ref, &other, err);
    if (r < 0)
        return error_set(err, EINVAL, "No such container: %s", ref);
    CLEANUP_SPEC struct spec *spec = container__spec(other);
    pthread_mutex_lock(&other->lock);
    pid_t pid = other->run.state == CONTAINER_RUNNING || other->run.state == CONTAINER_PAUSED ? other->run.pid : 0;
    pthread_mutex_unlock(&other->lock);
    const char *ipc = json_string(spec->host_config, "IpcMode", "");
    if (other == container)
        r = error_set(err, EINVAL, "cannot join own %s namespace", what);
    else if (pid <= 0)
        r = error_set(err, EBUSY, "cannot join %s of a non running container: container %s is not running", what, other->id);
    else if (ret_shm && strcmp(ipc, "shareable") != 0 && strcmp(ipc, "host") != 0)
        r = error_set(err, EINVAL, "container %s: non-shareable IPC (hint: use IpcMode:shareable for the donor container)", other->id);
    else
        *ret = (struct plan_namespace){PLAN_NS_JOIN, mem_printf("/proc/%d/ns/%s", (int)pid, kind)};
    if (r == 0 && ret_shm)
        *ret_shm = shm_of(other, spec);
    container_put(other);
    return r;
}

static int set_namespaces(struct container *container, const struct spec *spec, const char *sandbox,
                          struct plan *plan, char **ret_shm, struct error *err)
{
    const char *pid = json_string(spec->host_config, "PidMode", "");
    const char *ipc = json_string(spec->host_config, "IpcMode", "");
    struct plan_namespace *ns = plan->namespaces;
    int r = 0;

    ns[PLAN_NS_MOUNT].mode = PLAN_NS_NEW;
    ns[PLAN_NS_USER].mode = PLAN_NS_HOST;
    if (user_namespace_wanted(container->engine, spec->wall, spec->host_config)) {
        r = user_namespace_check(spec->host_config, err);
        if (r < 0)
            return r;
        user_namespace_plan(container->engine, plan);
    }
    ns[PLAN_NS_UTS].mode = strcmp(json_string(spec->host_config, "UTSMode", ""), "host") == 0 ? PLAN_NS_HOST : PLAN_NS_NEW;
    ns[PLAN_NS_CGROUP].mode = strcmp(json_string(spec->host_config, "CgroupnsMode", ""), "host") == 0 ? PLAN_NS_HOST : PLAN_NS_NEW;
    ns[PLAN_NS_PID].mode = strcmp(pid, "host") == 0 ? PLAN_NS_HOST : PLAN_NS_NEW;
    ns[PLAN_NS_IPC].mode = strcmp(ipc, "host") == 0 ? PLAN_NS_HOST : PLAN_NS_NEW;
    if (sandbox)
        ns[PLAN_NS_NET] = (struct plan_namespace){PLAN_NS_JOIN, mem_strdup(sandbox)};
    else
        ns[PLAN_NS_NET].mode = PLAN_NS_HOST;
    if (str_starts(pid, "container:"))
        r = join_process(container, pid + 10, "pid", "PID namespace", NULL, &ns[PLAN_NS_PID], err);
    if (r == 0 && str_starts(ipc, "container:"))
        r = join_process(container, ipc + 10, "ipc", "IPC", ret_shm, &ns[PLAN_NS_IPC], err);
    else if (r == 0 && strcmp(ipc, "host") == 0)
        *ret_shm = mem_strdup("/dev/shm");
    else if (r == 0)
        r = shm_open_own(container, spec, ret_shm, err);
    return r;
}

/* --- limits ---------------------------------------------------------------------------- */

static const struct {
    const char *field, *file, *value;
} throttles[] = {
    {"BlkioWeightDevice", "blkio.weight_device", "Weight"},
    {"BlkioDeviceReadBps", "blkio.throttle.read_bps_device", "Rate"},
    {"BlkioDeviceWriteBps", "blkio.throttle.write_bps_device", "Rate"},
    {"BlkioDeviceReadIOps", "blkio.throttle.read_iops_device", "Rate"},
    {"BlkioDeviceWriteIOps", "blkio.throttle.write_iops_device", "Rate"},
};

static int add_throttles(const cJSON *resources, struct plan_limits *limits, struct error *err)
{
    const cJSON *item;
    struct stat st;

    for (size_t i = 0; i < ARRAY_SIZE(throttles); i++) {
        cJSON_ArrayForEach(item, json_get(resources, throttles[i].field)) {
            const char *path = json_string(item, "Path", "");

            if (stat(path, &st) < 0)
                return error_set(err, EINVAL, "stat %s: %s", path, strerror(errno));
            limits->blkio = mem_grow(limits->blkio, limits->blkio_count + 1, sizeof(*limits->blkio));
            limits->blkio[limits->blkio_count++] = (struct plan_pair){
                mem_strdup(throttles[i].file),
                mem_printf("%u:%u %" PRId64, major(st.st_rdev), minor(st.st_rdev), json_int(item, throttles[i].value, 0)),
            };
        }
    }
    return 0;
}

int plan_build_limits(const cJSON *resources, struct plan_limits *ret, struct error *err)
{
    int64_t nano = json_int(resources, "NanoCpus", 0), pids = json_int(resources, "PidsLimit", 0);
    const char *cpus = json_string(resources, "CpusetCpus", ""), *mems = json_string(resources, "CpusetMems", "");

    *ret = (struct plan_limits){
        .memory = json_int(resources, "Memory", 0),
        .memory_swap = json_int(resources, "MemorySwap", 0),
        .memory_reservation = json_int(resources, "MemoryReservation", 0),
        .memory_swappiness = json_int(resources, "MemorySwappiness", -1),
        .oom_kill_disable = json_bool(resources, "OomKillDisable", false),
        .cpu_shares = json_int(resources, "CpuShares", 0),
        .cpu_quota = nano > 0 ? nano * CPU_PERIOD_US / 1000000000 : json_int(resources, "CpuQuota", 0),
        .cpu_period = nano > 0 ? CPU_PERIOD_US : json_int(resources, "CpuPeriod", 0),
        .cpuset_cpus = *cpus ? mem_strdup(cpus) : NULL,
        .cpuset_mems = *mems ? mem_strdup(mems) : NULL,
        /* Docker: 0 and below mean unlimited; null means nothing was said. */
        .pids = cJSON_IsNumber(json_get(resources, "PidsLimit")) ? (pids > 0 ? pids : -1) : 0,
        .blkio_weight = json_int(resources, "BlkioWeight", 0),
    };
    return add_throttles(resources, ret, err);
}

/* --- devices ------------------------------------------------------------------------------ */

static void add_rule(struct plan_limits *limits, bool allow, char type, int64_t major_number, int64_t minor_number, const char *access)
{
    limits->device_rules = mem_grow(limits->device_rules, limits->device_rule_count + 1, sizeof(*limits->device_rules));
    struct plan_device_rule *rule = &limits->device_rules[limits->device_rule_count++];
    *rule = (struct plan_device_rule){.allow = allow, .type = type, .major = major_number, .minor = minor_number};
    snprintf(rule->access, sizeof(rule->access), "%s", access);
}

/* null, zero, full, random, urandom, tty, ptmx, ptys; and any node may be made. */
static const struct {
    char type;
    int major, minor;
    const char *access;
} default_devices[] = {
    {'c', -1, -1, "m"}, {'b', -1, -1, "m"}, {'c', 1, 3, "rwm"}, {'c', 1, 5, "rwm"}, {'c', 1, 7, "rwm"},
    {'c', 1, 8, "rwm"}, {'c', 1, 9, "rwm"}, {'c', 5, 0, "rwm"}, {'c', 5, 2, "rwm"}, {'c', 136, -1, "rwm"},
};

static int add_device(struct plan *plan, const char *host_path, const char *path, const char *permissions, bool rule,
                      struct error *err)
{
    struct stat st;

    if (plan->device_count >= DEVICES_MAX)
        return error_set(err, EINVAL, "too many devices");
    if (stat(host_path, &st) < 0)
        return error_set(err, EINVAL, "error gathering device information while adding custom device \"%s\": %s",
                         host_path, errno == ENOENT ? "no such file or directory" : strerror(errno));
    if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode))
        return error_set(err, EINVAL, "error gathering device information while adding custom device \"%s\": not a device node",
                         host_path);
    plan->devices = mem_grow(plan->devices, plan->device_count + 1, sizeof(*plan->devices));
    plan->devices[plan->device_count++] = (struct plan_device){mem_strdup(host_path), mem_strdup(path), mem_strdup(permissions)};
    if (rule)
        add_rule(&plan->limits, true, S_ISCHR(st.st_mode) ? 'c' : 'b', major(st.st_rdev), minor(st.st_rdev), permissions);
    return 0;
}

static const char *const skipped_nodes[] = {"pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev", "console"};

/* Every node below a host directory: --device of a directory, and --privileged. */
static int add_device_tree(struct plan *plan, const char *host_dir, const char *dir, const char *permissions, bool rule,
                           int levels, struct error *err)
{
    DIR *stream = levels > 0 ? opendir(host_dir) : NULL;
    int r = 0;

    if (!stream)
        return 0;
    for (struct dirent *entry; r == 0 && (entry = readdir(stream));) {
        CLEANUP_FREE char *host_path = path_join(host_dir, entry->d_name), *path = path_join(dir, entry->d_name);
        bool skip = entry->d_name[0] == '.' && (!entry->d_name[1] || entry->d_name[1] == '.');
        struct stat st;

        for (size_t i = 0; strcmp(host_dir, "/dev") == 0 && i < ARRAY_SIZE(skipped_nodes); i++)
            skip = skip || strcmp(skipped_nodes[i], entry->d_name) == 0;
        if (skip || lstat(host_path, &st) < 0)
            continue;
        if (S_ISDIR(st.st_mode))
            r = add_device_tree(plan, host_path, path, permissions, rule, levels - 1, err);
        else if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
            r = add_device(plan, host_path, path, permissions, rule, err);
    }
    closedir(stream);
    return r;
}

static int add_rule_text(struct plan_limits *limits, const char *text, struct error *err)
{
    CLEANUP_STRV char **parts = strv_split(text, ' ');
    int numbers[2] = {-1, -1};

    if (strv_length(parts) != 3 || strlen(parts[0]) != 1 || !strchr("abc", parts[0][0]) || strlen(parts[2]) > 3)
        return error_set(err, EINVAL, "invalid device cgroup rule format: '%s'", text);
    CLEANUP_STRV char **pair = strv_split(parts[1], ':');
    if (strv_length(pair) != 2)
        return error_set(err, EINVAL, "invalid device cgroup rule format: '%s'", text);
    for (int i = 0; i < 2; i++)
        if (strcmp(pair[i], "*") != 0 && str_to_int(pair[i], 0, 1 << 20, &numbers[i]) < 0)
            return error_set(err, EINVAL, "invalid device cgroup rule format: '%s'", text);
    add_rule(limits, true, parts[0][0], numbers[0], numbers[1], parts[2]);
    return 0;
}

/* --gpus and the like want a device driver, and there is none: told at the start, as
 * Docker does, in the way Go prints [][]string. */
static int refuse_requests(const cJSON *requests, struct error *err)
{
    const cJSON *first = cJSON_GetArrayItem(requests, 0), *all, *one;
    CLEANUP_STR struct str shown = STR_INIT;

    if (!first)
        return 0;
    cJSON_ArrayForEach(all, json_get(first, "Capabilities")) {
        str_append(&shown, shown.length ? " [" : "[");
        cJSON_ArrayForEach(one, all)
            str_printf(&shown, "%s%s", one == all->child ? "" : " ", cJSON_IsString(one) ? one->valuestring : "");
        str_append_char(&shown, ']');
    }
    return error_set(err, EIO, "could not select device driver \"%s\" with capabilities: [%s]",
                     json_string(first, "Driver", ""), shown.data ? shown.data : "");
}

static int add_devices(const struct spec *spec, struct plan *plan, struct error *err)
{
    const cJSON *item;
    struct stat st;
    int r = 0;

    if (json_bool(spec->host_config, "Privileged", false)) {
        add_rule(&plan->limits, true, 'a', -1, -1, "rwm");
        if (spec->wall->capabilities & ISOLATION_HOST_NAMESPACES)
            return add_device_tree(plan, "/dev", "/dev", "rwm", false, 6, err);
        /* All that its own kernel has: the agent looks. */
        plan->devices = mem_array(1, sizeof(*plan->devices));
        plan->devices[plan->device_count++] = (struct plan_device){mem_strdup("/dev"), mem_strdup("/dev"), mem_strdup("rwm")};
        return 0;
    }
    add_rule(&plan->limits, false, 'a', -1, -1, "rwm");
    for (size_t i = 0; i < ARRAY_SIZE(default_devices); i++)
        add_rule(&plan->limits, true, default_devices[i].type, default_devices[i].major, default_devices[i].minor,
                 default_devices[i].access);
    cJSON_ArrayForEach(item, json_get(spec->host_config, "Devices")) {
        const char *host_path = json_string(item, "PathOnHost", "");
        const char *path = json_string(item, "PathInContainer", "");
        const char *permissions = json_string(item, "CgroupPermissions", "");

        if (*path == '\0')
            path = host_path;
        if (*permissions == '\0')
            permissions = "rwm";
        r = stat(host_path, &st) == 0 && S_ISDIR(st.st_mode)
                ? add_device_tree(plan, host_path, path, permissions, true, 6, err)
                : add_device(plan, host_path, path, permissions, true, err);
        if (r < 0)
            return r;
    }
    cJSON_ArrayForEach(item, json_get(spec->host_config, "DeviceCgroupRules"))
        if ((r = add_rule_text(&plan->limits, item->valuestring, err)) < 0)
            return r;
    return 0;
}

/* --- the rest ------------------------------------------------------------------------------- */

static void set_sysctls(const struct spec *spec, bool own_network, struct plan *plan)
{
    const cJSON *asked = json_get(spec->host_config, "Sysctls"), *item;
    size_t most = (size_t)cJSON_GetArraySize(asked) + plan_base_sysctl_count;

    plan->sysctls = mem_array(most, sizeof(*plan->sysctls));
    for (size_t i = 0; own_network && i < plan_base_sysctl_count; i++)
        if (!cJSON_HasObjectItem(asked, plan_base_sysctls[i].name))
            plan->sysctls[plan->sysctl_count++] = (struct plan_pair){mem_strdup(plan_base_sysctls[i].name), mem_strdup(plan_base_sysctls[i].value)};
    cJSON_ArrayForEach(item, asked)
        if (cJSON_IsString(item))
            plan->sysctls[plan->sysctl_count++] = (struct plan_pair){mem_strdup(item->string), mem_strdup(item->valuestring)};
}

static void set_paths(const struct spec *spec, struct plan *plan)
{
    if (json_bool(spec->host_config, "Privileged", false))
        return;
    plan->masked_paths = json_strv(spec->host_config, "MaskedPaths");
    plan->readonly_paths = json_strv(spec->host_config, "ReadonlyPaths");
}

static int build(struct container *container, const struct spec *spec, const char *sandbox,
                 struct plan_sources *sources, struct plan *plan, struct error *err)
{
    const char *hostname = json_string(spec->config, "Hostname", "");
    const char *domain = json_string(spec->config, "Domainname", "");

    plan->id = mem_strdup(container->id);
    plan->rootfs.layers_dir = mem_strdup(image_store_layers_dir(container->engine->images));
    plan->rootfs.lower = strv_dup(container->layers);
    plan->rootfs.upper = path_join(container->dir, "upper");
    plan->rootfs.work = path_join(container->dir, "work");
    plan->rootfs.readonly = json_bool(spec->host_config, "ReadonlyRootfs", false);
    /* A kernel of its own cannot read our directories: it gets the image as a disk. */
    if (spec->wall->capabilities & ISOLATION_OWN_KERNEL) {
        int r = image_disk(container->engine->images, container->image_id, &plan->rootfs.device, err);
        if (r == 0)
            r = wall_disk_size(spec->host_config, &plan->rootfs.size, err);
        if (r < 0)
            return r;
    }
    plan->cgroup = container__cgroup(container);
    plan->init = json_bool(spec->host_config, "Init", false);

    CLEANUP_FREE char *shm = NULL;
    int r = set_namespaces(container, spec, sandbox, plan, &shm, err);
    if (r < 0)
        return r;
    if (plan->namespaces[PLAN_NS_UTS].mode == PLAN_NS_NEW) {
        plan->hostname = mem_strdup(hostname);
        plan->domainname = *domain ? mem_strdup(domain) : NULL;
    }
    add_base_mounts(container, spec, shm, plan);
    add_etc(container, spec, plan);
    if ((r = add_user_mounts(container, spec, plan, sources, err)) < 0 ||
        (r = plan_build_limits(spec->host_config, &plan->limits, err)) < 0 ||
        (r = refuse_requests(json_get(spec->host_config, "DeviceRequests"), err)) < 0 ||
        (r = add_devices(spec, plan, err)) < 0)
        return r;
    set_sysctls(spec, sandbox != NULL && !str_starts(json_string(spec->host_config, "NetworkMode", ""), "container:"), plan);
    set_paths(spec, plan);
    return plan_build_process(container, spec, &plan->process, err);
}

int plan_build(struct container *container, const struct spec *spec, const char *sandbox_path,
               struct plan_sources *sources, struct plan **ret, struct error *err)
{
    struct plan *plan = plan_new();

    int r = build(container, spec, sandbox_path, sources, plan, err);
    if (r < 0) {
        plan_free(plan);
        return r;
    }
    *ret = plan;
    return 0;
}
