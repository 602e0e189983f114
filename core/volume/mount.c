/* mount.c - a volume's options "type", "o" and "device" as mount(2) wants them. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "tabique/error.h"
#include "volume/private.h"

#define OPTIONS_MAX 4096 /* a page: what mount(2) takes */

static const char *option(const struct volume_pair *options, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (str_equal(options[i].name, name))
            return options[i].value ? options[i].value : "";
    return NULL;
}

static const struct {
    const char *option, *needs;
} requirements[] = {
    {"device", "type"}, {"type", "device"}, {"o", "device"}, {"o", "type"},
};

static const char *const known[] = {"type", "o", "device", "size"};

/* word of "o"; clear: takes the flag away; data: none of the kernel's flags */
static const struct {
    const char *word;
    unsigned long flag;
    bool clear;
} words[] = {
    {"defaults", 0, false},          {"ro", MS_RDONLY, false},
    {"rw", MS_RDONLY, true},         {"nosuid", MS_NOSUID, false},
    {"suid", MS_NOSUID, true},       {"nodev", MS_NODEV, false},
    {"dev", MS_NODEV, true},         {"noexec", MS_NOEXEC, false},
    {"exec", MS_NOEXEC, true},       {"sync", MS_SYNCHRONOUS, false},
    {"async", MS_SYNCHRONOUS, true}, {"dirsync", MS_DIRSYNC, false},
    {"mand", MS_MANDLOCK, false},    {"nomand", MS_MANDLOCK, true},
    {"noatime", MS_NOATIME, false},  {"atime", MS_NOATIME, true},
    {"nodiratime", MS_NODIRATIME, false}, {"diratime", MS_NODIRATIME, true},
    {"relatime", MS_RELATIME, false}, {"norelatime", MS_RELATIME, true},
    {"strictatime", MS_STRICTATIME, false}, {"nostrictatime", MS_STRICTATIME, true},
    {"bind", MS_BIND, false},        {"rbind", MS_BIND | MS_REC, false},
};

static const struct {
    const char *word;
    unsigned long flag;
} propagations[] = {
    {"private", MS_PRIVATE}, {"rprivate", MS_PRIVATE | MS_REC}, {"slave", MS_SLAVE}, {"rslave", MS_SLAVE | MS_REC},
    {"shared", MS_SHARED},   {"rshared", MS_SHARED | MS_REC},
    {"unbindable", MS_UNBINDABLE}, {"runbindable", MS_UNBINDABLE | MS_REC},
};

struct mount_plan {
    const char *type;
    char *device;
    unsigned long flags, propagation;
    struct str data;
};

static bool take_flag(const char *word, struct mount_plan *plan)
{
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (strcmp(word, words[i].word) == 0) {
            plan->flags = words[i].clear ? plan->flags & ~words[i].flag : plan->flags | words[i].flag;
            return true;
        }
    for (size_t i = 0; i < ARRAY_SIZE(propagations); i++)
        if (strcmp(word, propagations[i].word) == 0) {
            plan->propagation = propagations[i].flag;
            return true;
        }
    return false;
}

static int plan_make(const struct volume_pair *options, size_t count, struct mount_plan *plan, struct error *err)
{
    const char *o = option(options, count, "o");
    CLEANUP_STRV char **parts = NULL;

    *plan = (struct mount_plan){.type = option(options, count, "type")};
    plan->device = mem_strdup(option(options, count, "device"));
    if (o && strlen(o) >= OPTIONS_MAX)
        return error_set(err, EINVAL, "mount options are longer than %d characters", OPTIONS_MAX - 1);
    parts = strv_split(o ? o : "", ',');
    for (char **part = parts; part && *part; part++) {
        if (**part == '\0')
            continue;
        /* Would change some other mount, not make this one. */
        if (strcmp(*part, "remount") == 0 || strcmp(*part, "move") == 0)
            return error_set(err, EINVAL, "invalid mount option \"%s\"", *part);
        if (!take_flag(*part, plan))
            str_printf(&plan->data, "%s%s", plan->data.length ? "," : "", *part);
    }
    if ((plan->flags & MS_BIND) && (!plan->device || plan->device[0] != '/'))
        return error_set(err, EINVAL, "a bind volume's device must be an absolute path");
    return 0;
}

static void plan_clear(struct mount_plan *plan)
{
    free(plan->device);
    str_free(&plan->data);
}

int volume__options_check(const struct volume_pair *options, size_t count, struct error *err)
{
    const char *size = option(options, count, "size"), *type = option(options, count, "type");
    const char *device = option(options, count, "device");
    struct mount_plan plan;
    int64_t bytes;

    for (size_t i = 0; i < count; i++) {
        bool found = false;
        for (size_t k = 0; k < ARRAY_SIZE(known); k++)
            found = found || str_equal(options[i].name, known[k]);
        if (!found)
            return error_set(err, EINVAL, "invalid option: \"%s\"", options[i].name);
    }
    if (str_equal(type, "cifs") && device) {
        const char *authority = strstr(device, "//");
        if (authority && memchr(authority + 2, ':', strcspn(authority + 2, "/")))
            return error_set(err, EINVAL, "port not allowed in CIFS device URL, include 'port' in 'o='");
    }
    if (size) {
        if (str_to_bytes(size, &bytes) < 0)
            return error_set(err, EINVAL, "invalid size: '%s'", size);
        if (bytes > 0)
            return error_set(err, EINVAL, "quota size requested but no quota support");
    }
    for (size_t i = 0; i < ARRAY_SIZE(requirements); i++)
        if (option(options, count, requirements[i].option) && !option(options, count, requirements[i].needs))
            return error_set(err, EINVAL, "missing required option: \"%s\"", requirements[i].needs);
    if (!volume__options_mount(options, count))
        return 0;
    int r = plan_make(options, count, &plan, err);
    plan_clear(&plan);
    return r;
}

bool volume__options_mount(const struct volume_pair *options, size_t count)
{
    const char *type = option(options, count, "type"), *device = option(options, count, "device");

    return (type && *type) || (device && *device);
}

static int resolve(const char *host, char *out, size_t size, struct error *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    int r = getaddrinfo(host, NULL, &hints, &list);

    if (r != 0)
        return error_set(err, EIO, "error resolving passed in network volume address: %s: %s", host, gai_strerror(r));
    r = getnameinfo(list->ai_addr, list->ai_addrlen, out, (socklen_t)size, NULL, 0, NI_NUMERICHOST);
    freeaddrinfo(list);
    return r == 0 ? 0 : error_set(err, EIO, "error resolving passed in network volume address: %s", host);
}

static bool is_numeric(const char *host)
{
    uint8_t bytes[16];

    return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

/* The kernel takes numbers only: "addr=nas" of nfs and cifs, and cifs' //nas/share. */
static int resolve_names(struct mount_plan *plan, struct error *err)
{
    CLEANUP_STRV char **parts = NULL;
    struct str data = STR_INIT;
    bool has_address = false;
    int r = 0;

    parts = strv_split(plan->data.data ? plan->data.data : "", ',');
    for (char **part = parts; part && *part && r == 0; part++) {
        char number[64];
        bool address = str_starts(*part, "addr=");
        has_address = has_address || address;
        if (address && !is_numeric(*part + 5) && (r = resolve(*part + 5, number, sizeof(number), err)) == 0)
            str_printf(&data, "%saddr=%s", data.length ? "," : "", number);
        else
            str_printf(&data, "%s%s", data.length ? "," : "", *part);
    }
    str_free(&plan->data);
    plan->data = data;
    if (r < 0 || has_address || strcmp(plan->type, "cifs") != 0 || !str_starts(plan->device, "//"))
        return r;
    char number[64];
    CLEANUP_FREE char *host = mem_strndup(plan->device + 2, strcspn(plan->device + 2, "/"));
    if (*host && !is_numeric(host)) {
        r = resolve(host, number, sizeof(number), err);
        if (r < 0)
            return r;
        char *device = mem_printf("//%s%s", number, plan->device + 2 + strlen(host));
        free(plan->device);
        plan->device = device;
    }
    return 0;
}

static int mount_error(int code, const struct mount_plan *plan, const char *target, struct error *err)
{
    CLEANUP_STRV char **parts = strv_split(plan->data.data ? plan->data.data : "", ',');
    CLEANUP_STR struct str shown = STR_INIT;

    for (char **part = parts; part && *part; part++)
        str_printf(&shown, "%s%s", shown.length ? "," : "",
                   str_starts(*part, "password=") || str_starts(*part, "pass=") ? "password=********" : *part);
    /* Not ENOENT: it is not the volume that is missing. */
    return error_set(err, code == ENOENT ? EIO : code,
                     "failed to mount local volume: mount %s:%s, flags: 0x%lx%s%s: %s", plan->device, target,
                     plan->flags, shown.length ? ", data: " : "", shown.length ? shown.data : "", strerror(code));
}

int volume__mount(const struct volume_pair *options, size_t count, const char *target, struct error *err)
{
    struct mount_plan plan;
    int r = plan_make(options, count, &plan, err);

    if (r == 0 && (!plan.device || !*plan.device))
        r = error_set(err, EINVAL, "missing device in volume options");
    if (r == 0 && (str_equal(plan.type, "nfs") || str_equal(plan.type, "nfs4") || str_equal(plan.type, "cifs")))
        r = resolve_names(&plan, err);
    if (r == 0 && mount(plan.device, target, plan.type, plan.flags, plan.data.data) < 0)
        r = mount_error(errno, &plan, target, err);
    /* A bind ignores all other flags the first time. */
    unsigned long rest = plan.flags & ~(unsigned long)(MS_BIND | MS_REC);
    if (r == 0 && (plan.flags & MS_BIND) && rest &&
        mount(NULL, target, NULL, MS_BIND | MS_REMOUNT | rest, NULL) < 0) {
        r = mount_error(errno, &plan, target, err);
        umount2(target, MNT_DETACH);
    }
    if (r == 0 && plan.propagation && mount(NULL, target, NULL, plan.propagation, NULL) < 0) {
        r = mount_error(errno, &plan, target, err);
        umount2(target, MNT_DETACH);
    }
    plan_clear(&plan);
    return r;
}

bool volume__mounted(const char *path)
{
    struct statx info;

    /* Nobody else is asked: a file server may be gone. */
    return statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, STATX_TYPE, &info) == 0 &&
           (info.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) && (info.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}
