/* forward.c - published ports that the kernel cannot translate are given to a process of
 * tabique-forward (core/forward/forward.h), one per container that has some.
 *
 * It outlives the server, which finds it again by the lock that it holds on
 * <run>/network/ID.forward: no number of a process is kept that could be another's by then.
 * One that ends while its container runs (a fault, the kernel short of memory) is noticed
 * by its pidfd in watch.c and started again; the sockets are held here, so that who asks
 * meanwhile waits in their backlog. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "network/private.h"
#include "tabique/error.h"

#define START_MS 20000
#define END_MS 5000
#define AGAIN_MAX 5 /* times in */
#define AGAIN_NS (60 * NS_PER_SEC)
#define LOCK_FD 3 /* core/forward/forward.h */
#define FIRST_FD 4

static char *lock_path(const struct network_manager *m, const char *id)
{
    return mem_printf("%s/%s.forward", m->state_dir, id);
}

static pid_t holder(int fd)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    return fcntl(fd, F_GETLK, &whole) == 0 && whole.l_type != F_UNLCK ? whole.l_pid : -1;
}

/* 1: it runs, and *ret_pidfd is it. */
static int find(const struct network_manager *m, const char *id, int *ret_pidfd)
{
    CLEANUP_FREE char *path = lock_path(m, id);
    CLEANUP_CLOSE int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW), pidfd = -EBADF;
    pid_t pid = fd < 0 ? -1 : holder(fd);

    if (pid <= 0)
        return 0;
    pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    /* Still the holder: so that is whose fd we have. */
    if (pidfd < 0 || holder(fd) != pid)
        return 0;
    *ret_pidfd = TAKE_FD(pidfd);
    return 1;
}

/* Knows it from now on; 0: there is none. */
static int adopt(struct network_manager *m, struct sandbox *sandbox)
{
    struct epoll_event ended = {.events = EPOLLIN};

    cleanup_close(&sandbox->forwarder);
    if (find(m, sandbox->id, &sandbox->forwarder) == 0)
        return 0;
    if (epoll_ctl(m->forwarders, EPOLL_CTL_ADD, sandbox->forwarder, &ended) < 0)
        log_warning("network: %.12s: the end of tabique-forward will not be noticed: %s", sandbox->id, strerror(errno));
    return 1;
}

void network__forward_end(struct network_manager *m, const char *id)
{
    CLEANUP_FREE char *path = lock_path(m, id);
    CLEANUP_CLOSE int pidfd = -EBADF;

    if (find(m, id, &pidfd) == 1) {
        struct pollfd ended = {.fd = pidfd, .events = POLLIN};
        (void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
        /* Its sockets go with it, and the ports may be somebody else's at once. */
        (void)poll(&ended, 1, END_MS);
    }
    unlink(path);
}

void network__forward_stop(struct network_manager *m, struct sandbox *sandbox)
{
    cleanup_close(&sandbox->forwarder);
    sandbox->again.due_ns = 0;
    network__forward_end(m, sandbox->id);
}

/* Towards the container, if the kernel's translation does not do it all. */
static const struct address *target_of(const struct endpoint *e, const struct address *host)
{
    static const struct in6_addr loopback = IN6ADDR_LOOPBACK_INIT;

    if (host->family != AF_INET6)
        return NULL;
    if (!e->v6.family)
        return &e->v4;
    return address_is_any(host) || memcmp(host->bytes, &loopback, sizeof(loopback)) == 0 ? &e->v6 : NULL;
}

int network__forward_start(struct network_manager *m, struct sandbox *sandbox, struct error *err)
{
    const struct endpoint *e = network__gateway(sandbox);
    CLEANUP_FREE struct child_fd *fds = NULL;
    CLEANUP_FREE char *path = lock_path(m, sandbox->id), *said = NULL;
    CLEANUP_STRV char **argv = NULL;
    CLEANUP_CLOSE int lock = -EBADF;
    struct child_spec spec = {.path = m->forwarder, .fd_count = 1};

    if (!m->forwarder || !e)
        return 0;
    fds = mem_array(1 + sandbox->port_count * PORT_HOSTS_MAX, sizeof(*fds));
    strv_push(&argv, "tabique-forward");
    for (size_t i = 0; i < sandbox->port_count; i++) {
        const struct published *p = &sandbox->ports[i];
        for (size_t h = 0; h < p->host_count; h++) {
            const struct address *target = target_of(e, &p->hosts[h]);
            int held = target ? port_socket(&m->ports, p->protocol, &p->hosts[h], p->host_port) : -EBADF;
            char text[ADDRESS_TEXT_MAX], number[8];
            if (held < 0)
                continue;
            snprintf(number, sizeof(number), "%u", p->container_port);
            strv_push(&argv, address_format(target, text));
            strv_push(&argv, number);
            fds[spec.fd_count] = (struct child_fd){held, FIRST_FD + (int)spec.fd_count - 1};
            spec.fd_count++;
        }
    }
    if (spec.fd_count == 1)
        return 0;
    lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock < 0)
        return error_errno(err, errno == ENOENT ? EIO : errno, "cannot make %s", path);
    fds[0] = (struct child_fd){lock, LOCK_FD};
    spec.fds = fds;
    spec.argv = argv;
    int r = child_run(&spec, START_MS, 1024, &said, err);
    if (r > 0)
        r = error_set(err, EIO, "published ports cannot be forwarded: %.*s", said ? (int)strcspn(said, "\n") : 0,
                      said ? said : "");
    if (r == 0 && adopt(m, sandbox) == 0)
        r = error_set(err, EIO, "published ports cannot be forwarded: tabique-forward has ended at once");
    if (r < 0)
        network__forward_stop(m, sandbox);
    return r;
}

void network__forward_restore(struct network_manager *m, struct sandbox *sandbox)
{
    struct error why = ERROR_INIT;

    if (sandbox->port_count > 0 && adopt(m, sandbox) == 0 && network__forward_start(m, sandbox, &why) < 0)
        log_warning("network: %.12s: %s", sandbox->id, why.message);
}

/* --- that it goes on ------------------------------------------------------------------------- */

static bool has_ended(const struct sandbox *sandbox)
{
    struct pollfd ended = {.fd = sandbox->forwarder, .events = POLLIN};

    return sandbox->forwarder >= 0 && poll(&ended, 1, 0) == 1;
}

static void note_end(struct sandbox *sandbox, int64_t now_ns)
{
    cleanup_close(&sandbox->forwarder);
    if (now_ns - sandbox->again.since_ns >= AGAIN_NS) {
        sandbox->again.since_ns = now_ns;
        sandbox->again.count = 0;
    }
    if (++sandbox->again.count <= AGAIN_MAX) {
        sandbox->again.due_ns = now_ns;
        log_warning("network: %.12s: tabique-forward has ended; it is started again", sandbox->id);
    } else {
        sandbox->again.due_ns = sandbox->again.since_ns + AGAIN_NS;
        log_error("network: %.12s: tabique-forward has ended %u times within a minute; it is started again after that",
                  sandbox->id, sandbox->again.count);
    }
}

int network__forward_revive(struct network_manager *m)
{
    const int64_t now = clock_mono_ns();
    struct sandbox *sandbox, *next;
    int64_t earliest = INT64_MAX;

    HASH_ITER(hh, m->sandboxes, sandbox, next) {
        struct error why = ERROR_INIT;
        if (has_ended(sandbox))
            note_end(sandbox, now);
        int64_t due = sandbox->again.due_ns;
        if (due && due <= now) {
            sandbox->again.due_ns = due = 0;
            if (network__forward_start(m, sandbox, &why) < 0) {
                log_error("network: %.12s: %s", sandbox->id, why.message);
                sandbox->again.due_ns = due = now + AGAIN_NS;
            }
        }
        if (due && due < earliest)
            earliest = due;
    }
    return earliest == INT64_MAX ? -1 : (int)((earliest - now) / NS_PER_MS) + 1;
}
