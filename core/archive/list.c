/* list.c - what is in a directory, one level deep. Owner: archive. */
#include "archive/archive.h"
#include "archive/view.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "tabique/error.h"

/* A link's own text, and what kind of thing stands where it leads, inside the root. */
static void follow(int root_fd, const char *path, int dir, struct archive_entry *entry, char *link)
{
    CLEANUP_FREE char *whole = path_join(path, entry->name);
    CLEANUP_CLOSE int fd = path_open_in(root_fd, whole, O_PATH, 0);
    ssize_t n = readlinkat(dir, entry->name, link, PATH_MAX - 1);
    struct stat st;

    link[n > 0 ? n : 0] = '\0';
    entry->link = link;
    if (fd >= 0 && fstat(fd, &st) == 0)
        entry->target_mode = st.st_mode;
}

int archive_list(int root_fd, const char *path, archive_entry_fn *fn, void *user, struct error *err)
{
    CLEANUP_FREE char *link = mem_alloc(PATH_MAX);
    int fd = path_open_in(root_fd, path, O_RDONLY | O_DIRECTORY | O_NONBLOCK, 0);
    struct dirent *found;
    DIR *dir;
    int r = 0;

    if (fd == -ENOENT)
        return error_set(err, ENOENT, "no such directory: %s", path);
    if (fd == -ENOTDIR || fd == -ELOOP || fd == -ENAMETOOLONG)
        return error_set(err, EINVAL, "not a directory: %s", path);
    if (fd < 0 || !(dir = fdopendir(fd))) {
        r = fd < 0 ? fd : -errno;
        if (fd >= 0)
            close(fd);
        return error_errno(err, -r, "cannot open \"%s\"", path);
    }
    for (size_t count = 0; r == 0 && (found = readdir(dir));) {
        struct archive_entry entry = {.name = found->d_name, .link = ""};
        struct stat st;

        if (strcmp(entry.name, ".") == 0 || strcmp(entry.name, "..") == 0)
            continue;
        if (fstatat(dirfd(dir), entry.name, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0)
            continue; /* it went meanwhile */
        if (count++ == ARCHIVE_LIST_MAX) {
            r = 1;
            break;
        }
        entry.size = st.st_size;
        entry.mode = st.st_mode;
        entry.uid = st.st_uid;
        entry.gid = st.st_gid;
        archive__owner_inside(&entry.uid, &entry.gid);
        entry.mtime_s = st.st_mtim.tv_sec;
        if (S_ISLNK(st.st_mode))
            follow(root_fd, path, dirfd(dir), &entry, link);
        r = fn(user, &entry);
    }
    closedir(dir);
    return r;
}

/* --- as bytes, from a guest ------------------------------------------------------------ */

void archive_entry_put(struct str *out, const struct archive_entry *entry)
{
    CLEANUP_FREE char *head = mem_printf(
        "%" PRIo32 " %" PRIo32 " %" PRIu32 " %" PRIu32 " %" PRId64 " %" PRId64 " ", entry->mode,
        entry->target_mode, entry->uid, entry->gid, entry->size, entry->mtime_s);

    str_append_n(out, head, strlen(head));
    str_append_n(out, entry->name, strlen(entry->name) + 1);
    str_append_n(out, entry->link, strlen(entry->link) + 1);
}

static bool take_number(const char **at, int base, int64_t *ret)
{
    char *end;

    errno = 0;
    *ret = strtoll(*at, &end, base);
    if (end == *at || *end != ' ' || errno)
        return false;
    *at = end + 1;
    return true;
}

int archive_entry_take(const char **at, const char *end, struct archive_entry *ret)
{
    const char *stop = memchr(*at, '\0', (size_t)(end - *at));
    const char *last = stop ? memchr(stop + 1, '\0', (size_t)(end - stop - 1)) : NULL;
    const char *name = *at;
    int64_t number[6];

    if (!last)
        return -EBADMSG;
    for (size_t i = 0; i < ARRAY_SIZE(number); i++)
        if (!take_number(&name, i < 2 ? 8 : 10, &number[i]))
            return -EBADMSG;
    if (!*name || strlen(name) > NAME_MAX || strchr(name, '/') || last - stop > PATH_MAX || number[4] < 0)
        return -EBADMSG;
    *ret = (struct archive_entry){
        .name = name,
        .link = stop + 1,
        .mode = (uint32_t)number[0],
        .target_mode = (uint32_t)number[1],
        .uid = (uint32_t)number[2],
        .gid = (uint32_t)number[3],
        .size = number[4],
        .mtime_s = number[5],
    };
    *at = last + 1;
    return 0;
}
