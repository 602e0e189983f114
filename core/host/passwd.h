/* passwd.h - user names from an /etc/passwd, read by hand. Internal to core/host.
 *
 * Not getpwuid(3): it loads whatever nsswitch.conf names, does not work in a
 * static program, and can only ask about the host.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct passwd_user {
    uid_t uid;
    char *name;
};

struct passwd {
    size_t count;
    struct passwd_user *users; /* by uid; the first entry of a uid is kept */
    int64_t mtime_ns;          /* of the file read; 0 none */
    int64_t size;
    uint64_t inode;
};

#define PASSWD_INIT ((struct passwd){0})

/* Pure: takes the text of a passwd file apart. */
void passwd_parse(struct passwd *passwd, const char *text, size_t length);
/* Reads fd (a file, or it is taken as empty) unless it is the one already read. */
void passwd_load(struct passwd *passwd, int fd);
/* /etc/passwd of this system, read again only when it has changed. */
void passwd_refresh(struct passwd *passwd);
const char *passwd_name(const struct passwd *passwd, uid_t uid); /* NULL: none */
/* Name, else the number; free(). */
char *passwd_user(const struct passwd *passwd, uid_t uid);
void passwd_free(struct passwd *passwd);
