/* netns.c - see netns.h. Sources: setns(2), network_namespaces(7), ioctl_ns(2). */
#include "network/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "network/netlink.h"

#define AHEAD_MAX 16
#define REST_NS (30 * NS_PER_MS)

struct made {
    int fd;
    struct mnl_socket *nl;
};

struct job {
    struct job *next;
    int ns_fd;      /* -EBADF: make a new one */
    netns_fn *fn;
    void *user;
    int result;
    struct made made;
    bool done;
};

struct netns_worker {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake, finished;
    struct job *first, **last;
    struct made ready[AHEAD_MAX];
    int ready_count, ready_wanted;
    int64_t taken_ns; /* when a namespace was last asked for */
    bool stop;
    int home; /* the server's own namespace */
};

/* Values inside; all for the thread that stands in the new namespace. Missing
 * ones (no IPv6 in the kernel) do not matter. */
static const struct {
    const char *path, *value;
} defaults[] = {
    {"/proc/sys/net/ipv6/conf/default/disable_ipv6", "1"},
    {"/proc/sys/net/ipv6/conf/default/accept_ra", "0"},
};

static int furnish(struct mnl_socket **ret_nl)
{
    CLEANUP_NETLINK struct mnl_socket *nl = NULL;
    struct netlink_batch *batch = mem_new(struct netlink_batch);

    for (size_t i = 0; i < ARRAY_SIZE(defaults); i++)
        file_write_text(AT_FDCWD, defaults[i].path, defaults[i].value);
    int r = netlink_open(NETLINK_ROUTE, &nl);
    if (r == 0) {
        link_set_up(batch, "lo", 0);
        r = netlink_send(nl, batch, NULL);
    }
    free(batch);
    if (r == 0)
        *ret_nl = TAKE_PTR(nl);
    return r;
}

/* In the worker's thread. */
static int make(struct netns_worker *worker, struct made *ret)
{
    CLEANUP_CLOSE int fd = -EBADF;
    CLEANUP_NETLINK struct mnl_socket *nl = NULL;
    int r;

    if (unshare(CLONE_NEWNET) < 0)
        return -errno;
    fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    r = fd < 0 ? -errno : furnish(&nl);
    /* Home is a fd we hold: this cannot fail, and if it did every later job
     * would run in a container's namespace. */
    if (setns(worker->home, CLONE_NEWNET) < 0)
        abort();
    if (r < 0)
        return r;
    ret->fd = TAKE_FD(fd);
    ret->nl = TAKE_PTR(nl);
    return 0;
}

static void carry_out(struct netns_worker *worker, struct job *job)
{
    if (job->ns_fd < 0) {
        job->result = make(worker, &job->made);
        return;
    }
    if (setns(job->ns_fd, CLONE_NEWNET) < 0) {
        job->result = -errno;
        return;
    }
    job->result = job->fn(job->user);
    if (setns(worker->home, CLONE_NEWNET) < 0)
        abort();
}

/* Whoever took one is about to attach it, and making the next would hold the
 * locks of the kernel that this needs: wait until that must be over. Called and
 * left with the lock held; true: waited, look again what there is to do. */
static bool rest(struct netns_worker *worker)
{
    int64_t due = worker->taken_ns + REST_NS;

    if (worker->taken_ns == 0 || clock_mono_ns() >= due)
        return false;
    struct timespec until = {.tv_sec = due / NS_PER_SEC, .tv_nsec = due % NS_PER_SEC};
    pthread_cond_clockwait(&worker->wake, &worker->lock, CLOCK_MONOTONIC, &until);
    return true;
}

static void *work(void *user)
{
    struct netns_worker *worker = user;

    pthread_setname_np(pthread_self(), "netns");
    pthread_mutex_lock(&worker->lock);
    for (;;) {
        struct job *job = worker->first;
        if (job) {
            worker->first = job->next;
            if (!worker->first)
                worker->last = &worker->first;
            pthread_mutex_unlock(&worker->lock);
            carry_out(worker, job);
            pthread_mutex_lock(&worker->lock);
            job->done = true;
            pthread_cond_broadcast(&worker->finished);
        } else if (worker->stop) {
            break;
        } else if (worker->ready_count < worker->ready_wanted) {
            struct made made;
            if (rest(worker))
                continue;
            pthread_mutex_unlock(&worker->lock);
            int r = make(worker, &made);
            pthread_mutex_lock(&worker->lock);
            if (r == 0)
                worker->ready[worker->ready_count++] = made;
            else
                worker->ready_wanted = 0; /* a limit is reached: the next request reports it */
        } else {
            pthread_cond_wait(&worker->wake, &worker->lock);
        }
    }
    pthread_mutex_unlock(&worker->lock);
    return NULL;
}

int netns_worker_new(int ahead, struct netns_worker **ret)
{
    struct netns_worker *worker = mem_new(struct netns_worker);

    pthread_mutex_init(&worker->lock, NULL);
    pthread_cond_init(&worker->wake, NULL);
    pthread_cond_init(&worker->finished, NULL);
    worker->last = &worker->first;
    worker->ready_wanted = ahead < AHEAD_MAX ? ahead : AHEAD_MAX;
    worker->home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    int r = worker->home < 0 ? -errno : -pthread_create(&worker->thread, NULL, work, worker);
    if (r < 0) {
        cleanup_close(&worker->home);
        free(worker);
        return r;
    }
    *ret = worker;
    return 0;
}

void netns_worker_free(struct netns_worker *worker)
{
    if (!worker)
        return;
    pthread_mutex_lock(&worker->lock);
    worker->stop = true;
    pthread_cond_signal(&worker->wake);
    pthread_mutex_unlock(&worker->lock);
    pthread_join(worker->thread, NULL);
    for (int i = 0; i < worker->ready_count; i++) {
        close(worker->ready[i].fd);
        netlink_close(&worker->ready[i].nl);
    }
    close(worker->home);
    pthread_mutex_destroy(&worker->lock);
    pthread_cond_destroy(&worker->wake);
    pthread_cond_destroy(&worker->finished);
    free(worker);
}

static void submit(struct netns_worker *worker, struct job *job)
{
    *worker->last = job;
    worker->last = &job->next;
    pthread_cond_signal(&worker->wake);
    while (!job->done)
        pthread_cond_wait(&worker->finished, &worker->lock);
}

int netns_run(struct netns_worker *worker, int ns_fd, netns_fn *fn, void *user)
{
    struct job job = {.ns_fd = ns_fd, .fn = fn, .user = user};

    if (ns_fd < 0)
        return -EBADF;
    pthread_mutex_lock(&worker->lock);
    submit(worker, &job);
    pthread_mutex_unlock(&worker->lock);
    return job.result;
}

int netns_new(struct netns_worker *worker, int *ret_fd, struct mnl_socket **ret_nl)
{
    struct job job = {.ns_fd = -EBADF};

    pthread_mutex_lock(&worker->lock);
    worker->taken_ns = clock_mono_ns();
    if (worker->ready_count > 0) {
        job.made = worker->ready[--worker->ready_count];
        pthread_cond_signal(&worker->wake); /* make the next one */
    } else {
        submit(worker, &job);
    }
    pthread_mutex_unlock(&worker->lock);
    if (job.result < 0)
        return job.result;
    *ret_fd = job.made.fd;
    *ret_nl = job.made.nl;
    return 0;
}

int netns_pin(int ns_fd, const char *path)
{
    char source[40];
    int fd = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0444);

    if (fd < 0)
        return -errno;
    close(fd);
    snprintf(source, sizeof(source), "/proc/self/fd/%d", ns_fd);
    if (mount(source, path, NULL, MS_BIND, NULL) < 0) {
        int r = -errno;
        unlink(path);
        return r;
    }
    return 0;
}

void netns_unpin(const char *path)
{
    umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW);
    unlink(path);
}

int netns_open(const char *path, int *ret_fd)
{
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0)
        return -errno;
    if (ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET)
        return -EINVAL;
    *ret_fd = TAKE_FD(fd);
    return 0;
}
