/* passwd.c - user names from an /etc/passwd. Owner: host. */
#include "passwd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"

#define PASSWD_SIZE_MAX (1 << 20)
#define PASSWD_USERS_MAX 65536
#define PASSWD_NAME_MAX 64

void passwd_free(struct passwd *passwd)
{
    for (size_t i = 0; i < passwd->count; i++)
        free(passwd->users[i].name);
    free(passwd->users);
    *passwd = PASSWD_INIT;
}

static int compare_uid(const void *a, const void *b)
{
    const struct passwd_user *x = a, *y = b;

    if (x->uid != y->uid)
        return x->uid < y->uid ? -1 : 1;
    /* name points into the text while sorting: the earlier line is the lower. */
    return (x->name > y->name) - (x->name < y->name);
}

/* "name:password:uid:..."; the name is not terminated. */
static bool parse_line(const char *line, const char *eol, struct passwd_user *ret)
{
    const char *colon = memchr(line, ':', (size_t)(eol - line));
    if (!colon || colon == line || colon - line >= PASSWD_NAME_MAX)
        return false;
    const char *password = colon + 1;
    const char *uid = memchr(password, ':', (size_t)(eol - password));
    if (!uid)
        return false;
    uid++;
    uint64_t value = 0;
    int digits = 0;
    for (; uid < eol && *uid >= '0' && *uid <= '9' && digits < 11; uid++, digits++)
        value = value * 10 + (uint64_t)(*uid - '0');
    if (digits == 0 || value >= UINT32_MAX || (uid < eol && *uid != ':'))
        return false;
    ret->uid = (uid_t)value;
    ret->name = (char *)line;
    return true;
}

void passwd_parse(struct passwd *passwd, const char *text, size_t length)
{
    const char *end = text + length;
    size_t capacity = 0;

    passwd_free(passwd);
    for (const char *line = text; line < end && passwd->count < PASSWD_USERS_MAX;) {
        struct passwd_user user;
        const char *eol = memchr(line, '\n', (size_t)(end - line));

        if (!eol)
            eol = end;
        if (parse_line(line, eol, &user)) {
            if (passwd->count == capacity) {
                capacity = capacity ? capacity * 2 : 32;
                passwd->users = mem_grow(passwd->users, capacity, sizeof(*passwd->users));
            }
            passwd->users[passwd->count++] = user;
        }
        line = eol + 1;
    }
    if (passwd->count == 0)
        return;
    qsort(passwd->users, passwd->count, sizeof(*passwd->users), compare_uid);
    size_t kept = 0;
    for (size_t i = 0; i < passwd->count; i++) {
        struct passwd_user *user = &passwd->users[i];

        if (kept > 0 && passwd->users[kept - 1].uid == user->uid)
            continue;
        const char *colon = memchr(user->name, ':', (size_t)(end - user->name));
        char *name = mem_strndup(user->name, (size_t)(colon - user->name));
        str_make_printable(name);
        passwd->users[kept++] = (struct passwd_user){.uid = user->uid, .name = name};
    }
    passwd->count = kept;
}

void passwd_load(struct passwd *passwd, int fd)
{
    struct stat st;

    /* A container may have put a device or a fifo there. */
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > PASSWD_SIZE_MAX) {
        passwd_free(passwd);
        return;
    }
    int64_t mtime_ns = (int64_t)st.st_mtim.tv_sec * NS_PER_SEC + st.st_mtim.tv_nsec;
    if (passwd->mtime_ns == mtime_ns && passwd->inode == st.st_ino && passwd->size == st.st_size)
        return;

    size_t size = (size_t)st.st_size;
    CLEANUP_FREE char *text = mem_alloc(size + 1);
    ssize_t n = fd_read_full(fd, text, size);
    passwd_parse(passwd, text, n > 0 ? (size_t)n : 0);
    passwd->mtime_ns = mtime_ns;
    passwd->inode = st.st_ino;
    passwd->size = st.st_size;
}

void passwd_refresh(struct passwd *passwd)
{
    CLEANUP_CLOSE int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    passwd_load(passwd, fd);
}

const char *passwd_name(const struct passwd *passwd, uid_t uid)
{
    size_t low = 0, high = passwd->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (passwd->users[middle].uid == uid)
            return passwd->users[middle].name;
        if (passwd->users[middle].uid < uid)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

char *passwd_user(const struct passwd *passwd, uid_t uid)
{
    const char *name = passwd_name(passwd, uid);

    return name ? mem_strdup(name) : mem_printf("%u", uid);
}
