/* check.c - a message's shape, before libfuse believes it.
 *
 * libfuse is written for a kernel's messages: it takes lengths and the ends of strings
 * on trust. Here they come from a guest. What does not have the shape of its operation
 * ends the session. Source: linux/fuse.h. */
#include "files.h"

#include <linux/fuse.h>
#include <string.h>

/* What stands behind the header: a struct of at least `fixed` bytes, then `strings`
 * NUL-terminated strings that fill the rest, or `data` bytes as the struct says. */
static const struct {
    unsigned short fixed;
    unsigned char strings;
    bool known;
} shapes[] = {
    [FUSE_LOOKUP] = {0, 1, true},
    [FUSE_FORGET] = {sizeof(struct fuse_forget_in), 0, true},
    [FUSE_GETATTR] = {sizeof(struct fuse_getattr_in), 0, true},
    [FUSE_SETATTR] = {sizeof(struct fuse_setattr_in), 0, true},
    [FUSE_READLINK] = {0, 0, true},
    [FUSE_SYMLINK] = {0, 2, true},
    [FUSE_MKNOD] = {sizeof(struct fuse_mknod_in), 1, true},
    [FUSE_MKDIR] = {sizeof(struct fuse_mkdir_in), 1, true},
    [FUSE_UNLINK] = {0, 1, true},
    [FUSE_RMDIR] = {0, 1, true},
    [FUSE_RENAME] = {sizeof(struct fuse_rename_in), 2, true},
    [FUSE_LINK] = {sizeof(struct fuse_link_in), 1, true},
    [FUSE_OPEN] = {sizeof(struct fuse_open_in), 0, true},
    [FUSE_READ] = {sizeof(struct fuse_read_in), 0, true},
    [FUSE_WRITE] = {sizeof(struct fuse_write_in), 0, true},
    [FUSE_STATFS] = {0, 0, true},
    [FUSE_RELEASE] = {sizeof(struct fuse_release_in), 0, true},
    [FUSE_FSYNC] = {sizeof(struct fuse_fsync_in), 0, true},
    [FUSE_SETXATTR] = {8, 1, true},
    [FUSE_GETXATTR] = {sizeof(struct fuse_getxattr_in), 1, true},
    [FUSE_LISTXATTR] = {sizeof(struct fuse_getxattr_in), 0, true},
    [FUSE_REMOVEXATTR] = {0, 1, true},
    [FUSE_FLUSH] = {sizeof(struct fuse_flush_in), 0, true},
    [FUSE_INIT] = {16, 0, true},
    [FUSE_OPENDIR] = {sizeof(struct fuse_open_in), 0, true},
    [FUSE_READDIR] = {sizeof(struct fuse_read_in), 0, true},
    [FUSE_RELEASEDIR] = {sizeof(struct fuse_release_in), 0, true},
    [FUSE_FSYNCDIR] = {sizeof(struct fuse_fsync_in), 0, true},
    [FUSE_ACCESS] = {sizeof(struct fuse_access_in), 0, true},
    [FUSE_CREATE] = {sizeof(struct fuse_create_in), 1, true},
    [FUSE_INTERRUPT] = {sizeof(struct fuse_interrupt_in), 0, true},
    [FUSE_DESTROY] = {0, 0, true},
    [FUSE_BATCH_FORGET] = {sizeof(struct fuse_batch_forget_in), 0, true},
    [FUSE_FALLOCATE] = {sizeof(struct fuse_fallocate_in), 0, true},
    [FUSE_READDIRPLUS] = {sizeof(struct fuse_read_in), 0, true},
    [FUSE_RENAME2] = {sizeof(struct fuse_rename2_in), 2, true},
    [FUSE_LSEEK] = {sizeof(struct fuse_lseek_in), 0, true},
    [FUSE_SYNCFS] = {0, 0, true},
};

static bool has_strings(const char *at, size_t length, unsigned count)
{
    while (count--) {
        const char *end = length ? memchr(at, '\0', length) : NULL;
        if (!end)
            return false;
        length -= (size_t)(end - at) + 1;
        at = end + 1;
    }
    return true;
}

bool message_is_well_formed(const void *message, size_t length)
{
    const struct fuse_in_header *header = message;
    const char *body = (const char *)message + sizeof(*header);
    size_t left;

    if (length < sizeof(*header) || header->len != length)
        return false;
    left = length - sizeof(*header);
    /* An operation we have never heard of is answered with ENOSYS by libfuse. */
    if (header->opcode >= sizeof(shapes) / sizeof(shapes[0]) || !shapes[header->opcode].known)
        return true;
    if (left < shapes[header->opcode].fixed)
        return false;
    if (!has_strings(body + shapes[header->opcode].fixed, left - shapes[header->opcode].fixed, shapes[header->opcode].strings))
        return false;
    if (header->opcode == FUSE_WRITE) {
        struct fuse_write_in in;
        memcpy(&in, body, sizeof(in));
        return in.size <= left - sizeof(in);
    }
    if (header->opcode == FUSE_BATCH_FORGET) {
        struct fuse_batch_forget_in in;
        memcpy(&in, body, sizeof(in));
        return in.count <= (left - sizeof(in)) / sizeof(struct fuse_forget_one);
    }
    if (header->opcode == FUSE_SETXATTR) {
        struct { uint32_t size, flags; } in;
        memcpy(&in, body, sizeof(in));
        return in.size <= left - sizeof(in) - strlen(body + sizeof(in)) - 1;
    }
    return true;
}
