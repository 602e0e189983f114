/* xattr.c - extended attributes of files. Owner: archive. */
#include "archive/xattr.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

#include "archive/tar.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"

#define VALUE_MAX (64u << 10) /* the kernel's XATTR_SIZE_MAX */

bool xattr_wanted(const char *name)
{
    return (str_starts(name, "user.") && !str_starts(name, "user.overlay.")) ||
           strcmp(name, "security.capability") == 0 ||
           strcmp(name, "system.posix_acl_access") == 0 || strcmp(name, "system.posix_acl_default") == 0;
}

/* The *xattr() calls take no O_PATH fd, but its /proc link. */
static void magic_path(int fd, char out[40])
{
    snprintf(out, 40, "/proc/self/fd/%d", fd);
}

int xattr_set_all(int fd, bool path_only, const struct tar_xattr *xattrs, size_t count)
{
    char path[40];

    magic_path(fd, path);
    for (size_t i = 0; i < count; i++) {
        if (!xattr_wanted(xattrs[i].name) || xattrs[i].length > VALUE_MAX)
            continue;
        int r = path_only ? setxattr(path, xattrs[i].name, xattrs[i].value, xattrs[i].length, 0)
                          : fsetxattr(fd, xattrs[i].name, xattrs[i].value, xattrs[i].length, 0);
        /* A file system without them, a kind of file that has none, a value the
         * kernel finds malformed: the file is still worth having, as Docker. */
        if (r < 0 && errno != ENOTSUP && errno != EPERM && errno != EINVAL && errno != ERANGE)
            return -errno;
    }
    return 0;
}

void xattr_list_free(struct tar_xattr *xattrs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(xattrs[i].name);
        free(xattrs[i].value);
    }
    free(xattrs);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct tar_xattr *)a)->name, ((const struct tar_xattr *)b)->name);
}

int xattr_get_all(int fd, bool path_only, struct tar_xattr **ret, size_t *ret_count)
{
    CLEANUP_FREE char *names = mem_alloc(VALUE_MAX); /* too much for a server thread's stack */
    char path[40];
    struct tar_xattr *xattrs = NULL;
    size_t count = 0;

    magic_path(fd, path);
    ssize_t n = path_only ? listxattr(path, names, VALUE_MAX) : flistxattr(fd, names, VALUE_MAX);
    if (n < 0)
        n = 0; /* none there, or not told: nothing to keep */
    CLEANUP_FREE char *value = n > 0 ? mem_alloc(VALUE_MAX) : NULL;
    for (const char *name = names; name < names + n; name += strlen(name) + 1) {
        if (!xattr_wanted(name))
            continue;
        ssize_t length = path_only ? getxattr(path, name, value, VALUE_MAX) : fgetxattr(fd, name, value, VALUE_MAX);
        if (length < 0)
            continue;
        xattrs = mem_grow(xattrs, count + 1, sizeof(*xattrs));
        xattrs[count++] = (struct tar_xattr){
            .name = mem_strdup(name),
            .value = mem_dup(length ? value : "", length ? (size_t)length : 1),
            .length = (size_t)length,
        };
    }
    if (count > 1)
        qsort(xattrs, count, sizeof(*xattrs), by_name);
    *ret = xattrs;
    *ret_count = count;
    return 0;
}

bool xattr_is_opaque(int fd, bool path_only)
{
    char value[4], path[40];

    magic_path(fd, path);
    ssize_t n = path_only ? getxattr(path, OVERLAY_OPAQUE, value, sizeof(value))
                          : fgetxattr(fd, OVERLAY_OPAQUE, value, sizeof(value));
    return n == 1 && value[0] == 'y';
}
