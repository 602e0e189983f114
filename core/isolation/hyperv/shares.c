/* shares.c - see shares.h. */
#include "isolation/hyperv/shares.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/child.h"
#include "base/fd.h"
#include "base/path.h"
#include "launch/plan.h"
#include "rpc/rpc.h"
#include "tabique/error.h"

#define SHARES_MAX 64
#define FILE_MAX_BYTES (1u << 20)
#define FIRST_SHARE_FD 4

struct shares {
    size_t count;
    const char *sources[SHARES_MAX];
    int fds[SHARES_MAX];
    char modes[SHARES_MAX + 1];
};

static void shares_close(struct shares *shares)
{
    for (size_t i = 0; i < shares->count; i++)
        close(shares->fds[i]);
}

static void put_file(const char *path, const char *data, size_t length, struct str *body)
{
    size_t mark = wire_begin(body, RPC_TAG_FILE);

    wire_put_string(body, RPC_TAG_PATH, path);
    wire_put_bytes(body, RPC_TAG_DATA, data, length);
    wire_end(body, mark);
}

static void put_share(const char *path, size_t index, struct str *body)
{
    size_t mark = wire_begin(body, RPC_TAG_SHARE);

    wire_put_string(body, RPC_TAG_PATH, path);
    wire_put_u64(body, RPC_TAG_INDEX, index);
    wire_end(body, mark);
}

/* A copy of the mount whose root is the directory itself: nothing above it exists. */
static int add(struct shares *shares, const struct plan_mount *mount, struct str *body, struct error *err)
{
    bool readonly = mount->flags & MS_RDONLY;

    for (size_t i = 0; i < shares->count; i++) {
        if (str_equal(shares->sources[i], mount->source)) {
            /* Mounted twice: the guest's own flags keep the read-only one so. */
            if (!readonly)
                shares->modes[i] = 'w';
            return 0;
        }
    }
    if (shares->count == SHARES_MAX)
        return error_set(err, EINVAL, "at most %d bind mounts and volumes behind this wall", SHARES_MAX);
    int fd = (int)syscall(SYS_open_tree, AT_FDCWD, mount->source,
                          1u /* OPEN_TREE_CLONE */ | O_CLOEXEC | (mount->flags & MS_REC ? 0x8000u /* AT_RECURSIVE */ : 0));
    if (fd < 0)
        return error_errno(err, errno == ENOENT ? EINVAL : errno, "cannot share %s", mount->source);
    put_share(mount->source, shares->count, body);
    shares->sources[shares->count] = mount->source;
    shares->fds[shares->count] = fd;
    shares->modes[shares->count++] = readonly ? 'r' : 'w';
    return 0;
}

static int start_server(const struct shares *shares, const char *program, int channel, pid_t *ret_pid, struct error *err)
{
    struct child_fd fds[SHARES_MAX + 2];
    size_t count = 0;
    int pidfd = -EBADF, r;

    fds[count++] = (struct child_fd){.parent = channel, .child = 3};
    fds[count++] = (struct child_fd){.parent = STDERR_FILENO, .child = STDERR_FILENO};
    for (size_t i = 0; i < shares->count; i++)
        fds[count++] = (struct child_fd){.parent = shares->fds[i], .child = FIRST_SHARE_FD + (int)i};
    const char *argv[] = {"tabique-files", shares->modes, NULL};
    const struct child_spec spec = {.path = program, .argv = (char *const *)(const void *)argv, .fds = fds, .fd_count = count};
    r = child_spawn(&spec, ret_pid, &pidfd, err);
    if (r >= 0 && pidfd >= 0)
        close(pidfd);
    return r;
}

bool shares_refresh(char *const *files, struct str *body)
{
    bool resolver = false;

    for (char *const *file = files; file && *file; file++) {
        CLEANUP_FREE char *data = NULL;
        size_t length = 0;

        if (file_read(AT_FDCWD, *file, FILE_MAX_BYTES, &data, &length) < 0)
            continue;
        put_file(*file, data, length, body);
        resolver = resolver || (str_equal(path_base(*file), "resolv.conf") && strstr(data, "nameserver 127.0.0.11"));
    }
    return resolver;
}

int shares_open(const struct plan *plan, const char *program, int channel, struct str *body, char ***ret_files,
                pid_t *ret_pid, struct error *err)
{
    CLEANUP(shares_close) struct shares shares = {0};
    CLEANUP_FREE char *own = path_dir(plan->rootfs.upper);

    *ret_pid = 0;
    for (size_t i = 0; i < plan->mount_count; i++) {
        const struct plan_mount *mount = &plan->mounts[i];
        CLEANUP_FREE char *data = NULL;
        size_t length = 0;
        int r;

        if (!str_equal(mount->type, "bind"))
            continue;
        if (str_starts(mount->source, own) && file_read(AT_FDCWD, mount->source, FILE_MAX_BYTES, &data, &length) >= 0) {
            put_file(mount->source, data, length, body);
            strv_push(ret_files, mount->source);
            continue;
        }
        r = add(&shares, mount, body, err);
        if (r < 0)
            return r;
    }
    return shares.count ? start_server(&shares, program, channel, ret_pid, err) : 0;
}
