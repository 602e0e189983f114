/* connector.c - the kernel's process connector. Owner: host. */
#include "connector.h"

#include <errno.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/netlink.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "tabique/error.h"

/* Inode of the initial pid namespace, fixed by the kernel (PROC_PID_INIT_INO). */
#define INITIAL_PID_NAMESPACE 0xEFFFFFFCu
/* An event takes some 800 bytes of it: room for ten thousand. */
#define RECEIVE_BUFFER (8 << 20)
#define ANSWER_MS 500
#define DATAGRAM_MAX 256
#define BATCH 32

int connector_parse(const void *data, size_t length, struct tracker_event *ret)
{
    struct nlmsghdr header;
    struct cn_msg message;
    struct proc_event event;
    const char *at = data;
    const size_t payload = NLMSG_HDRLEN + sizeof(message);

    if (length < payload)
        return 0;
    memcpy(&header, at, sizeof(header));
    memcpy(&message, at + NLMSG_HDRLEN, sizeof(message));
    if (header.nlmsg_type == NLMSG_ERROR || header.nlmsg_type == NLMSG_NOOP ||
        header.nlmsg_type == NLMSG_OVERRUN)
        return 0;
    if (message.id.idx != CN_IDX_PROC || message.id.val != CN_VAL_PROC)
        return 0;
    /* The union grew over the years: what a kernel leaves out stays zero. */
    size_t have = length - payload;
    if (message.len < have)
        have = message.len;
    if (have < offsetof(struct proc_event, event_data))
        return 0;
    memset(&event, 0, sizeof(event));
    memcpy(&event, at + payload, have < sizeof(event) ? have : sizeof(event));

    memset(ret, 0, sizeof(*ret));
    ret->mono_ns = event.timestamp_ns > INT64_MAX ? 0 : (int64_t)event.timestamp_ns;
    switch ((unsigned)event.what) {
    case PROC_EVENT_FORK:
        ret->kind = TRACKER_FORK;
        ret->pid = event.event_data.fork.child_pid;
        ret->tgid = event.event_data.fork.child_tgid;
        ret->ppid = event.event_data.fork.parent_tgid;
        break;
    case PROC_EVENT_EXEC:
        ret->kind = TRACKER_EXEC;
        ret->pid = event.event_data.exec.process_pid;
        ret->tgid = event.event_data.exec.process_tgid;
        break;
    case PROC_EVENT_UID:
    case PROC_EVENT_COMM:
        ret->kind = TRACKER_CHANGED;
        ret->pid = event.event_data.id.process_pid;
        ret->tgid = event.event_data.id.process_tgid;
        break;
    case PROC_EVENT_EXIT:
        ret->kind = TRACKER_EXIT;
        ret->pid = event.event_data.exit.process_pid;
        ret->tgid = event.event_data.exit.process_tgid;
        break;
    default:
        return 0;
    }
    return ret->pid > 0 && ret->tgid > 0;
}

static bool is_answer(const char *data, size_t length)
{
    struct cn_msg message;
    uint32_t what;

    if (length < NLMSG_HDRLEN + sizeof(message) + sizeof(what))
        return false;
    memcpy(&message, data + NLMSG_HDRLEN, sizeof(message));
    memcpy(&what, data + NLMSG_HDRLEN + sizeof(message), sizeof(what));
    return message.id.idx == CN_IDX_PROC && message.id.val == CN_VAL_PROC;
}

static int ask(int fd)
{
    const enum proc_cn_mcast_op operation = PROC_CN_MCAST_LISTEN;
    struct cn_msg message = {.id = {.idx = CN_IDX_PROC, .val = CN_VAL_PROC},
                             .len = sizeof(operation)};
    char request[NLMSG_HDRLEN + sizeof(message) + sizeof(operation)];
    struct nlmsghdr header = {.nlmsg_len = sizeof(request), .nlmsg_type = NLMSG_DONE};

    memset(request, 0, sizeof(request));
    memcpy(request, &header, sizeof(header));
    memcpy(request + NLMSG_HDRLEN, &message, sizeof(message));
    memcpy(request + NLMSG_HDRLEN + sizeof(message), &operation, sizeof(operation));
    return send(fd, request, sizeof(request), MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int connector_open(int *ret_fd, struct error *err)
{
    struct stat st;

    /* Old kernels ignore those of other pid namespaces without a word. */
    if (stat("/proc/self/ns/pid", &st) == 0 && st.st_ino != INITIAL_PID_NAMESPACE)
        return error_set(err, ENOTSUP, "not in the initial pid namespace");

    CLEANUP_CLOSE int fd =
        socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_CONNECTOR);
    if (fd < 0)
        return error_errno(err, errno, "no connector socket");
    int size = RECEIVE_BUFFER;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size,
                   sizeof(size)); /* less, then: it is only a margin */
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = CN_IDX_PROC};
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return error_errno(err, errno, "cannot bind the connector socket");
    int r = ask(fd);
    if (r < 0)
        return error_errno(err, -r, "cannot ask for process events");

    int64_t deadline = clock_mono_ns() + ANSWER_MS * NS_PER_MS;
    for (;;) {
        int64_t left = deadline - clock_mono_ns();
        struct pollfd wait = {.fd = fd, .events = POLLIN};

        if (left <= 0)
            return error_set(err, ENOTSUP, "the kernel does not answer");
        if (poll(&wait, 1, (int)(left / NS_PER_MS) + 1) <= 0)
            continue;
        char buffer[DATAGRAM_MAX];
        struct sockaddr_nl from = {0};
        socklen_t from_length = sizeof(from);
        ssize_t n = recvfrom(fd, buffer, sizeof(buffer), 0, (struct sockaddr *)&from, &from_length);
        if (n < 0 && errno != EAGAIN && errno != EINTR && errno != ENOBUFS)
            return error_errno(err, errno, "no process events");
        if (n > 0 && from.nl_pid == 0 && is_answer(buffer, (size_t)n))
            break;
    }
    *ret_fd = TAKE_FD(fd);
    return 0;
}

int connector_read(int fd, struct tracker_event *events, size_t max)
{
    char buffers[BATCH][DATAGRAM_MAX];
    struct sockaddr_nl from[BATCH];
    struct iovec parts[BATCH];
    struct mmsghdr messages[BATCH];
    int count = 0;

    if (max > BATCH)
        max = BATCH;
    memset(messages, 0, sizeof(messages));
    for (size_t i = 0; i < max; i++) {
        parts[i] = (struct iovec){.iov_base = buffers[i], .iov_len = DATAGRAM_MAX};
        messages[i].msg_hdr = (struct msghdr){
            .msg_name = &from[i],
            .msg_namelen = sizeof(from[i]),
            .msg_iov = &parts[i],
            .msg_iovlen = 1,
        };
    }
    for (;;) {
        int n = recvmmsg(fd, messages, (unsigned)max, MSG_DONTWAIT, NULL);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            return errno == EAGAIN ? 0 : -errno;
        }
        for (int i = 0; i < n; i++) {
            /* Only the kernel has port 0: another process could send us news. */
            if (messages[i].msg_hdr.msg_namelen < sizeof(from[i]) || from[i].nl_pid != 0)
                continue;
            count += connector_parse(buffers[i], messages[i].msg_len, &events[count]);
        }
        if (count > 0 || n < (int)max)
            return count;
        /* A full batch of nothing that concerns us: 0 would read as "drained". */
    }
}
