/* root_mount.c - see root_mount.h. Owner: container.
 *
 * A mount can only be copied from within its namespace, so a thread of our own
 * joins that for a moment (unshare and setns concern that thread only) and ends.
 * Rejected: walking the container's whole tree and leaving out other devices
 * (files of an overlay do not all show one device), and a second overlay over the
 * same upper directory (its mounting cleans the first one's work directory). */
#include "container/root_mount.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "tabique/error.h"

/* glibc 2.36 has wrappers whose header cannot be joined with the kernel's. */
#define OPEN_TREE_CLONE_FLAG 1u

struct job {
    int root_fd, namespace_fd;
    int fd; /* or -errno */
};

static void *clone_main(void *user)
{
    struct job *job = user;

    if (unshare(CLONE_FS) < 0 || setns(job->namespace_fd, CLONE_NEWNS) < 0) {
        job->fd = -errno;
        return NULL;
    }
    long fd = syscall(SYS_open_tree, job->root_fd, "", OPEN_TREE_CLONE_FLAG | AT_EMPTY_PATH | O_CLOEXEC);
    job->fd = fd < 0 ? -errno : (int)fd;
    return NULL;
}

int root_mount_clone(int root_fd, pid_t pid, int *ret_fd, struct error *err)
{
    struct job job = {.root_fd = root_fd, .fd = -EIO};
    pthread_t thread;
    char path[48];

    snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int)pid);
    CLEANUP_CLOSE int namespace_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (namespace_fd < 0)
        return error_errno(err, EIO, "cannot reach the container's mounts");
    job.namespace_fd = namespace_fd;
    int r = -pthread_create(&thread, NULL, clone_main, &job);
    if (r < 0)
        return error_errno(err, r, "cannot start a thread");
    pthread_join(thread, NULL);
    /* Had the pid been given to another process meanwhile, the root would not be a
     * mount of that one's namespace, which is refused (EINVAL). */
    if (job.fd < 0)
        return error_errno(err, EIO, "cannot copy the container's root mount (%s)", strerrorname_np(-job.fd));
    *ret_fd = job.fd;
    return 0;
}
