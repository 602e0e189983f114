/* owner.c - see owner.h. Owner: build. */
#include "build/owner.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "tabique/error.h"

#define FILE_MAX ((size_t)4 << 20)

/* A plain file below root, whole; NULL where there is none. */
static char *read_plain(int root_fd, const char *path)
{
    CLEANUP_CLOSE int look = path_open_in(root_fd, path, O_PATH, 0);
    CLEANUP_FREE char *text = NULL;
    struct stat st;

    /* Looked at before it is opened: a device or a FIFO is not to be touched. */
    if (look < 0 || fstat(look, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > (off_t)FILE_MAX)
        return NULL;
    CLEANUP_CLOSE int fd = path_open_in(root_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
    text = mem_alloc((size_t)st.st_size + 1);
    ssize_t n = fd < 0 ? -1 : fd_read_full(fd, text, (size_t)st.st_size);
    if (n < 0)
        return NULL;
    text[n] = '\0';
    return TAKE_PTR(text);
}

/* Third field of the line whose first is `name`: "name:x:ID:...". */
static int find_id(int root_fd, const char *path, const char *name, uint32_t *ret)
{
    CLEANUP_FREE char *text = read_plain(root_fd, path);
    CLEANUP_STRV char **lines = text ? strv_split(text, '\n') : NULL;

    for (char **line = lines; line && *line; line++) {
        CLEANUP_STRV char **fields = strv_split(*line, ':');
        uint64_t id;

        if (strv_length(fields) < 3 || strcmp(fields[0], name) != 0)
            continue;
        if (str_to_u64(fields[2], &id) < 0 || id > UINT32_MAX - 1)
            continue;
        *ret = (uint32_t)id;
        return 0;
    }
    return -ENOENT;
}

static int find(int root_fd, const char *path, const char *text, const char *kind, uint32_t *ret, struct error *err)
{
    uint64_t id;

    if (str_to_u64(text, &id) == 0 && id < INT32_MAX) {
        *ret = (uint32_t)id;
        return 0;
    }
    if (find_id(root_fd, path, text, ret) < 0)
        return error_set(err, EINVAL, "unable to convert uid/gid chown string to host mapping: can't find %s for %s %s: "
                                      "no such %s: %s",
                         *kind == 'u' ? "uid" : "gid", kind, text, kind, text);
    return 0;
}

int owner_find(int root_fd, const char *text, uint32_t *ret_uid, uint32_t *ret_gid, struct error *err)
{
    const char *colon = strchr(text, ':');
    CLEANUP_FREE char *user = mem_strndup(text, colon ? (size_t)(colon - text) : strlen(text));
    const char *group = colon && colon[1] ? colon + 1 : user;
    uint32_t uid, gid;

    if (*user == '\0' || strchr(group, ':'))
        return error_set(err, EINVAL, "invalid chown string format: %s", text);
    int r = find(root_fd, "etc/passwd", user, "user", &uid, err);
    if (r == 0)
        r = find(root_fd, "etc/group", group, "group", &gid, err);
    if (r < 0)
        return r;
    *ret_uid = uid;
    *ret_gid = gid;
    return 0;
}
