/* launch_user.c - names to numbers by the container's own /etc/passwd and
 * /etc/group. Owner: launch.
 *
 * The rules are Docker's: a numeric user is always a uid, never a name; only
 * whole decimal numbers count (crun CVE-2026-30892 took the leading digits of
 * "1000x"); a group given with the user replaces the user's supplementary ones.
 * The files are hostile text: opened below the root, regular files only, at most
 * FILE_MAX.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "launch/launch_private.h"

#define FILE_MAX (4u << 20)
#define ID_MAX_VALUE 2147483647
#define GROUPS_MAX 65536

static char *read_database(int root_fd, const char *path)
{
    CLEANUP_CLOSE int fd = path_open_in(root_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
    struct stat st;
    char *text;
    ssize_t n;

    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > (off_t)FILE_MAX)
        return mem_strdup("");
    text = mem_alloc((size_t)st.st_size + 1);
    n = fd_read_full(fd, text, (size_t)st.st_size);
    text[n < 0 ? 0 : n] = '\0';
    return text;
}

/* Whole decimal numbers only. 1 a number, 0 none, -ERANGE. */
static int parse_id(const char *text, uint32_t *ret)
{
    uint64_t value = 0;

    if (!*text)
        return 0;
    for (const char *at = text; *at; at++) {
        if (*at < '0' || *at > '9')
            return 0;
        if (value <= ID_MAX_VALUE)
            value = value * 10 + (uint64_t)(*at - '0');
    }
    if (value > ID_MAX_VALUE)
        return -ERANGE;
    *ret = (uint32_t)value;
    return 1;
}

/* Iterates over lines, cutting them at ':' into at most `max` fields; the rest
 * are "". Modifies its copy of the text. */
static bool next_line(char **cursor, char **fields, size_t max)
{
    char *line = *cursor;
    size_t length;
    size_t n = 0;

    if (!*line)
        return false;
    length = strcspn(line, "\n");
    *cursor = line[length] ? line + length + 1 : line + length;
    line[length] = '\0';
    for (char *at = line; n < max; n++) {
        size_t part;

        fields[n] = at;
        if (!*at)
            continue;
        part = strcspn(at, ":");
        if (at[part]) {
            at[part] = '\0';
            at += part + 1;
        } else {
            at += part; /* the terminating NUL: the remaining fields are empty */
        }
    }
    return true;
}

static void add_group(gid_t **groups, size_t *count, gid_t gid)
{
    for (size_t i = 0; i < *count; i++)
        if ((*groups)[i] == gid)
            return;
    if (*count >= GROUPS_MAX)
        return;
    if ((*count & (*count - 1)) == 0)
        *groups = mem_grow(*groups, *count ? 2 * *count : 1, sizeof(**groups));
    (*groups)[(*count)++] = gid;
}

static bool lists_member(const char *members, const char *name)
{
    size_t length = strlen(name);

    while (*members) {
        size_t part = strcspn(members, ",");

        if (part == length && memcmp(members, name, length) == 0)
            return true;
        members += part + (members[part] == ',');
    }
    return false;
}

int launch_resolve_user(int root_fd, const char *user, char *const *extra_groups, uid_t *ret_uid,
                        gid_t *ret_gid, gid_t **ret_groups, size_t *ret_group_count, char **ret_home,
                        struct error *err)
{
    CLEANUP_FREE char *passwd = read_database(root_fd, "/etc/passwd");
    CLEANUP_FREE char *group = read_database(root_fd, "/etc/group");
    CLEANUP_FREE char *user_part = mem_strdup(user ? user : "");
    CLEANUP_FREE char *home = NULL;
    CLEANUP_FREE char *name = NULL;
    CLEANUP_FREE gid_t *groups = NULL;
    CLEANUP_STRV char **left = strv_dup(extra_groups);
    char *group_part = strchr(user_part, ':');
    size_t group_count = 0;
    uint32_t uid = 0, gid = 0, wanted_gid = 0;
    bool group_found = false;
    char *fields[7];
    char *cursor;
    int numeric, group_numeric = 0;

    if (group_part)
        *group_part++ = '\0';
    else
        group_part = user_part + strlen(user_part);
    numeric = *user_part ? parse_id(user_part, &uid) : 1;
    if (numeric < 0)
        return error_set(err, EINVAL, "uids and gids must be in range 0-%d", ID_MAX_VALUE);

    cursor = passwd;
    while (next_line(&cursor, fields, 7)) {
        uint32_t entry_uid, entry_gid;

        if (parse_id(fields[2], &entry_uid) != 1 || parse_id(fields[3], &entry_gid) != 1)
            continue;
        if (numeric == 1 ? entry_uid != uid : !str_equal(fields[0], user_part) || !*fields[0])
            continue;
        uid = entry_uid;
        gid = entry_gid;
        name = mem_strdup(fields[0]);
        home = mem_strdup(fields[5]);
        break;
    }
    if (!name && numeric != 1)
        return error_set(err, EINVAL, "unable to find user %s: no matching entries in passwd file", user_part);

    if (*group_part) {
        group_numeric = parse_id(group_part, &wanted_gid);
        if (group_numeric < 0)
            return error_set(err, EINVAL, "uids and gids must be in range 0-%d", ID_MAX_VALUE);
        if (group_numeric == 1) {
            gid = wanted_gid;
            group_found = true;
        }
    }
    cursor = group;
    while (next_line(&cursor, fields, 4)) {
        uint32_t entry_gid;

        if (parse_id(fields[2], &entry_gid) != 1 || !*fields[0])
            continue;
        if (*group_part && group_numeric == 0 && !group_found && str_equal(fields[0], group_part)) {
            gid = entry_gid;
            group_found = true;
        }
        if (!*group_part && name && lists_member(fields[3], name))
            add_group(&groups, &group_count, entry_gid);
        for (char **extra = left; extra && *extra; extra++) {
            if (str_equal(*extra, fields[0])) {
                add_group(&groups, &group_count, entry_gid);
                (*extra)[0] = '\0'; /* found */
            }
        }
    }
    if (*group_part && !group_found)
        return error_set(err, EINVAL, "unable to find group %s: no matching entries in group file", group_part);
    for (char **extra = left; extra && *extra; extra++) {
        uint32_t id;
        int r = **extra ? parse_id(*extra, &id) : 2;

        if (r == 0)
            return error_set(err, EINVAL, "Unable to find group %s", *extra);
        if (r < 0)
            return error_set(err, EINVAL, "uids and gids must be in range 0-%d", ID_MAX_VALUE);
        if (r == 1)
            add_group(&groups, &group_count, id);
    }
    if (group_count == 0 || groups[0] != gid) {
        /* The primary group leads the list, too: without it a setgid program
         * could shed the group and pass a "deny group" mode (CVE-2022-36109). */
        gid_t *whole = mem_array(group_count + 1, sizeof(*whole));
        size_t count = 1;

        whole[0] = gid;
        for (size_t i = 0; i < group_count; i++)
            if (groups[i] != gid)
                whole[count++] = groups[i];
        free(groups);
        groups = whole;
        group_count = count;
    }
    *ret_uid = uid;
    *ret_gid = gid;
    *ret_groups = TAKE_PTR(groups);
    *ret_group_count = group_count;
    *ret_home = home && *home ? TAKE_PTR(home) : mem_strdup("/");
    return 0;
}
