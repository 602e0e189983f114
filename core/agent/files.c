/* files.c - shared directories inside the guest: a FUSE file system whose messages go
 * to the host's tabique-files through a port of their own.
 *
 * Two relays, each a process that does nothing but read here and write there: they
 * must not be the agent, which would wait for itself as soon as a launch touches a
 * shared path. Source: fuse(4). */
#include "agent/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"

#define FILES_PORT "tabique.files"
/* libfuse's largest: a write of 1 MiB, its header, and some. */
#define MESSAGE_MAX ((1u << 20) + (64u << 10))

/* Until the host's end is there read() gives 0, as for an end. */
static void read_port(int port, char *buffer, size_t length)
{
    size_t done = 0;

    while (done < length) {
        ssize_t n = read(port, buffer + done, length - done);
        if (n > 0)
            done += (size_t)n;
        else if (n < 0 && errno != EINTR && errno != EAGAIN)
            _exit(1);
        else
            usleep(1000);
    }
}

static void relay_requests(int fuse, int port, char *buffer)
{
    for (;;) {
        ssize_t n = read(fuse, buffer, MESSAGE_MAX);
        if (n < 0 && (errno == EINTR || errno == ENOENT || errno == EAGAIN))
            continue;
        if (n <= 0 || fd_write_all(port, buffer, (size_t)n) < 0)
            _exit(1);
    }
}

static void relay_replies(int fuse, int port, char *buffer)
{
    for (;;) {
        uint32_t length;

        read_port(port, (char *)&length, sizeof(length));
        if (length < 16 || length > MESSAGE_MAX)
            _exit(1);
        memcpy(buffer, &length, sizeof(length));
        read_port(port, buffer + sizeof(length), length - sizeof(length));
        /* ENOENT: the request was interrupted meanwhile. */
        if (write(fuse, buffer, length) < 0 && errno != ENOENT && errno != EINVAL)
            _exit(1);
    }
}

static int start_relay(void (*relay)(int fuse, int port, char *buffer), int fuse, int port, struct error *err)
{
    pid_t pid = fork();

    if (pid < 0)
        return error_errno(err, errno, "cannot start the file relay");
    if (pid == 0) {
        char *buffer = malloc(MESSAGE_MAX);
        prctl(PR_SET_NAME, "files", 0, 0, 0);
        if (buffer)
            relay(fuse, port, buffer);
        _exit(1);
    }
    return 0;
}

int files_mount(struct error *err)
{
    CLEANUP_CLOSE int fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    CLEANUP_CLOSE int port = agent_open_port(FILES_PORT);
    char options[160];
    int r;

    if (fuse < 0 || port < 0)
        return error_errno(err, fuse < 0 ? errno : -port, "cannot reach the shared directories");
    (void)fd_set_nonblock(port, false);
    mkdir(FILES_SHARES, 0755);
    snprintf(options, sizeof(options),
             "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions,max_read=1048576", fuse);
    if (mount("tabique", FILES_SHARES, "fuse", MS_NOSUID | MS_NODEV, options) < 0)
        return error_errno(err, errno, "cannot mount the shared directories");
    r = start_relay(relay_requests, fuse, port, err);
    return r < 0 ? r : start_relay(relay_replies, fuse, port, err);
}
