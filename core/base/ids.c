/* ids.c - see ids.h. Owner: base. */
#include "base/ids.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "tabique/error.h"

#define FILE_MAX (1u << 20)
#define DEFAULT_USER "tabique"

void id_maps_clear(struct id_maps *maps)
{
    free(maps->uids);
    free(maps->gids);
    *maps = (struct id_maps){0};
}

static bool add(struct id_range **ranges, size_t *count, struct id_range range)
{
    if (*count == ID_RANGES_MAX || range.count == 0 || range.inside > UINT32_MAX - range.count ||
        range.outside > UINT32_MAX - range.count)
        return false;
    *ranges = mem_grow(*ranges, *count + 1, sizeof(**ranges));
    (*ranges)[(*count)++] = range;
    return true;
}

/* "name:start:count", a line each; others' lines are none of our business. */
static int read_subordinate(const char *file, const char *owner, struct id_range **ret, size_t *ret_count, struct error *err)
{
    CLEANUP_FREE char *text = NULL;
    size_t length = 0, owner_length = strlen(owner);
    uint32_t inside = 0;

    int r = file_read(AT_FDCWD, file, FILE_MAX, &text, &length);
    if (r < 0 && r != -ENOENT)
        return error_errno(err, r, "cannot read %s", file);
    CLEANUP_STRV char **lines = strv_split(text ? text : "", '\n');
    for (char **line = lines; *line; line++) {
        CLEANUP_STRV char **parts = NULL;
        int64_t start, count;

        if (strncmp(*line, owner, owner_length) != 0 || (*line)[owner_length] != ':')
            continue;
        parts = strv_split(*line, ':');
        if (!parts[1] || !parts[2] || parts[3] || str_to_i64(parts[1], &start) < 0 || str_to_i64(parts[2], &count) < 0 ||
            start < 1 || count < 1 || start > UINT32_MAX || count > UINT32_MAX ||
            !add(ret, ret_count, (struct id_range){inside, (uint32_t)start, (uint32_t)count}))
            return error_set(err, EINVAL, "%s: \"%s\" is not NAME:START:COUNT", file, *line);
        inside += (uint32_t)count;
    }
    if (*ret_count == 0)
        return error_set(err, EINVAL, "%s has no range for %s. Add one that nobody else has, as in: %s:2000000:65536", file,
                         owner, owner);
    return 0;
}

int id_maps_of_user(const char *user, struct id_maps *ret, struct error *err)
{
    CLEANUP_STRV char **parts = strv_split(str_equal(user, "default") ? DEFAULT_USER : user, ':');
    CLEANUP_ID_MAPS struct id_maps maps = {0};

    int r = read_subordinate("/etc/subuid", parts[0], &maps.uids, &maps.uid_count, err);
    if (r == 0)
        r = read_subordinate("/etc/subgid", parts[1] ? parts[1] : parts[0], &maps.gids, &maps.gid_count, err);
    if (r < 0)
        return r;
    *ret = maps;
    maps = (struct id_maps){0};
    return 0;
}

static int read_map(pid_t pid, const char *name, struct id_range **ret, size_t *ret_count)
{
    CLEANUP_FREE char *path = mem_printf("/proc/%d/%s", (int)pid, name);
    CLEANUP_FREE char *text = NULL;
    size_t length = 0;

    int r = file_read(AT_FDCWD, path, FILE_MAX, &text, &length);
    if (r < 0)
        return r;
    for (const char *at = text; *at;) {
        struct id_range range;
        int used = 0;

        if (sscanf(at, "%" SCNu32 " %" SCNu32 " %" SCNu32 " %n", &range.inside, &range.outside, &range.count, &used) != 3 || !used)
            return -EBADMSG;
        at += used;
        if (range.count == UINT32_MAX && range.inside == range.outside)
            return 0; /* everything as it is */
        if (!add(ret, ret_count, range))
            return -EBADMSG;
    }
    return 0;
}

int id_maps_of_process(pid_t pid, struct id_maps *ret)
{
    CLEANUP_ID_MAPS struct id_maps maps = {0};

    int r = read_map(pid, "uid_map", &maps.uids, &maps.uid_count);
    if (r == 0)
        r = read_map(pid, "gid_map", &maps.gids, &maps.gid_count);
    if (r < 0)
        return r;
    *ret = maps;
    maps = (struct id_maps){0};
    return 0;
}

bool id_to_outside(const struct id_range *ranges, size_t count, uint32_t inside, uint32_t *ret)
{
    *ret = inside;
    for (size_t i = 0; i < count; i++)
        if (inside >= ranges[i].inside && inside - ranges[i].inside < ranges[i].count) {
            *ret = ranges[i].outside + (inside - ranges[i].inside);
            return true;
        }
    return count == 0;
}

bool id_to_inside(const struct id_range *ranges, size_t count, uint32_t outside, uint32_t *ret)
{
    *ret = outside;
    for (size_t i = 0; i < count; i++)
        if (outside >= ranges[i].outside && outside - ranges[i].outside < ranges[i].count) {
            *ret = ranges[i].inside + (outside - ranges[i].outside);
            return true;
        }
    return count == 0;
}

bool id_maps_root(const struct id_maps *maps, uint32_t *ret_uid, uint32_t *ret_gid)
{
    return id_to_outside(maps->uids, maps->uid_count, 0, ret_uid) && id_to_outside(maps->gids, maps->gid_count, 0, ret_gid);
}

int ids_act_as(uid_t uid, gid_t gid)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];

    if (syscall(SYS_capget, &header, data) < 0)
        return -errno;
    setfsgid(gid);
    setfsuid(uid);
    return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}
