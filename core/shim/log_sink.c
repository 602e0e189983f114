/* log_sink.c - lines sent on to the host's journal or a syslog. Owner: shim.
 *
 * Datagrams or a stream, one a line. The shim has one thread, so nothing here waits: what
 * the receiver has no room for (a stream: beyond PENDING_MAX) is dropped, and kept in the
 * container's own log file all the same. A receiver that went away is looked for again with
 * the next line, a stream's at most every RETRY_NS; of a stream the line that was cut goes
 * whole to the next.
 */
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/wire.h"
#include "shim/shim.h"

#define PENDING_MAX (1u << 20)
#define RETRY_NS NS_PER_SEC
#define DRAIN_NS (2 * NS_PER_SEC)

static int connect_unix(const char *path, int type)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path) + 1);
    CLEANUP_CLOSE int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return -errno;
    return TAKE_FD(fd);
}

/* "HOST:PORT" in numbers: names were looked up by whoever started us. */
static int connect_inet(const char *text, int type)
{
    CLEANUP_FREE char *host = mem_strdup(text);
    char *port = strrchr(host, ':');
    struct addrinfo hints = {.ai_socktype = type, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV}, *list = NULL;
    int r = -EHOSTUNREACH;

    if (!port)
        return -EINVAL;
    *port++ = '\0';
    char *name = host;
    if (name[0] == '[' && name[strlen(name) - 1] == ']') {
        name[strlen(name) - 1] = '\0';
        name++;
    }
    if (getaddrinfo(name, port, &hints, &list) != 0)
        return -EINVAL;
    int fd = socket(list->ai_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && (connect(fd, list->ai_addr, list->ai_addrlen) == 0 || errno == EINPROGRESS))
        r = fd;
    else if (fd >= 0)
        close(fd);
    freeaddrinfo(list);
    return r;
}

/* A program that sends on what it reads (core/syslog): its words, one a line. */
static int connect_helper(const char *text, int *ret_pidfd)
{
    CLEANUP_STRV char **words = strv_split(text, '\n');
    CLEANUP_CLOSE int ours = -EBADF, theirs = -EBADF;
    int pair[2];
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    ours = pair[0];
    theirs = pair[1];
    const struct child_fd fds[] = {{theirs, 3}};
    const struct child_spec spec = {.path = words[0], .argv = words, .fds = fds, .fd_count = 1, .new_session = 1};
    int r = child_spawn(&spec, &pid, ret_pidfd, NULL);
    return r < 0 ? r : TAKE_FD(ours);
}

static void end_helper(struct shim_sink *sink)
{
    if (sink->helper < 0)
        return;
    (void)syscall(SYS_pidfd_send_signal, sink->helper, SIGKILL, NULL, 0);
    /* Whoever collects all children may be first. */
    (void)waitid(P_PIDFD, (id_t)sink->helper, &(siginfo_t){0}, WEXITED);
    cleanup_close(&sink->helper);
}

static void open_sink(struct shim_sink *sink)
{
    const char *address = sink->options->log_to;

    if (strncmp(address, "unixgram:", 9) == 0)
        sink->fd = connect_unix(address + 9, SOCK_DGRAM);
    else if (strncmp(address, "unix:", 5) == 0)
        sink->fd = connect_unix(address + 5, SOCK_STREAM);
    else if (strncmp(address, "udp:", 4) == 0)
        sink->fd = connect_inet(address + 4, SOCK_DGRAM);
    else if (strncmp(address, "tcp:", 4) == 0)
        sink->fd = connect_inet(address + 4, SOCK_STREAM);
    else if (strncmp(address, SINK_HELPER, strlen(SINK_HELPER)) == 0)
        sink->fd = connect_helper(address + strlen(SINK_HELPER), &sink->helper);
}

void shim_sink_open(struct shim_sink *sink, const struct shim_options *options, struct loop *loop)
{
    const char *address = options->log_to ? options->log_to : "";

    *sink = (struct shim_sink){.fd = -EBADF, .helper = -EBADF, .options = options, .loop = loop};
    sink->counted = strncmp(address, SINK_HELPER, strlen(SINK_HELPER)) == 0 && options->log_format &&
                    strncmp(options->log_format, "rfc5424", 7) == 0;
    sink->stream = strncmp(address, "unix:", 5) == 0 || strncmp(address, "tcp:", 4) == 0 ||
                   strncmp(address, SINK_HELPER, strlen(SINK_HELPER)) == 0;
    if (gethostname(sink->host, sizeof(sink->host) - 1) < 0)
        sink->host[0] = '\0';
    if (!options->log_to)
        return;
    random_id(sink->epoch);
    open_sink(sink);
}

/* The fields that newer engines of Docker's add, by which a reader puts lines of one time, and
 * the pieces of one line, in order. */
static void put_order(struct str *out, struct shim_sink *sink, int stream, bool partial)
{
    char time[TIME_TEXT_MAX];
    struct shim_pieces *pieces = &sink->pieces[stream];

    time_format(clock_real_ns(), time);
    str_printf(out, "SYSLOG_TIMESTAMP=%s\nCONTAINER_LOG_EPOCH=%s\nCONTAINER_LOG_ORDINAL=%llu\n", time, sink->epoch,
               (unsigned long long)++sink->ordinal);
    if (!partial && pieces->count == 0)
        return;
    if (pieces->count == 0)
        random_id(pieces->id);
    str_printf(out, "%sCONTAINER_PARTIAL_ID=%s\nCONTAINER_PARTIAL_ORDINAL=%u\nCONTAINER_PARTIAL_LAST=%s\n",
               partial ? "CONTAINER_PARTIAL_MESSAGE=true\n" : "", pieces->id, ++pieces->count, partial ? "false" : "true");
    if (!partial)
        pieces->count = 0;
}

static void put_journal(struct str *out, struct shim_sink *sink, int stream, const char *text, size_t length,
                        bool partial)
{
    const struct shim_options *o = sink->options;
    uint8_t size[8];

    str_printf(out, "PRIORITY=%d\n%s", stream == 0 ? 6 : 3, o->log_fields ? o->log_fields : "");
    put_order(out, sink, stream, partial);
    /* The form with a length takes any bytes. */
    for (int i = 0; i < 8; i++)
        size[i] = (uint8_t)((uint64_t)length >> (8 * i));
    str_append(out, "MESSAGE\n");
    str_append_n(out, (const char *)size, sizeof(size));
    str_append_n(out, text, length);
    str_append_char(out, '\n');
}

static void put_syslog(struct str *out, const struct shim_sink *sink, int stream, const char *text, size_t length)
{
    const struct shim_options *o = sink->options;
    int64_t now = clock_real_ns();
    time_t seconds = now / NS_PER_SEC;
    int priority = o->log_facility * 8 + (stream == 0 ? 6 : 3);
    const char *tag = o->log_tag ? o->log_tag : "";
    char stamp[64];
    struct tm tm;

    if (str_equal(o->log_format, "rfc5424") || str_equal(o->log_format, "rfc5424micro")) {
        gmtime_r(&seconds, &tm);
        size_t n = strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
        if (str_equal(o->log_format, "rfc5424micro"))
            snprintf(stamp + n, sizeof(stamp) - n, ".%06dZ", (int)(now % NS_PER_SEC / 1000));
        else
            snprintf(stamp + n, sizeof(stamp) - n, "Z");
        str_printf(out, "<%d>1 %s %s %s %d %s - ", priority, stamp, sink->host, tag, (int)getpid(), tag);
    } else {
        localtime_r(&seconds, &tm);
        strftime(stamp, sizeof(stamp), "%b %e %H:%M:%S", &tm);
        str_printf(out, "<%d>%s %s%s%s[%d]: ", priority, stamp,
                   str_equal(o->log_format, "rfc3164") ? sink->host : "",
                   str_equal(o->log_format, "rfc3164") ? " " : "", tag, (int)getpid());
    }
    str_append_n(out, text, length);
    str_append_char(out, '\n');
}

/* --- a stream's ------------------------------------------------------------------ */

static void drop_stream(struct shim_sink *sink)
{
    loop_remove(sink->source);
    sink->source = NULL;
    if (sink->fd >= 0)
        close(sink->fd);
    sink->fd = -EBADF;
    end_helper(sink);
    sink->sent = 0; /* of a line that the next one gets from its beginning */
}

static void watch(struct shim_sink *sink, bool on);

/* False: it is gone. */
static bool flush_stream(struct shim_sink *sink)
{
    while (sink->sent < sink->pending.length) {
        ssize_t n = send(sink->fd, sink->pending.data + sink->sent, sink->pending.length - sink->sent,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0)
            return false;
        sink->sent += (size_t)n;
    }
    /* Whole lines leave: sent counts within the first that is left. */
    size_t whole = 0;
    for (size_t i = 0; i < sink->sent; i++)
        if (sink->pending.data[i] == '\n')
            whole = i + 1;
    if (whole > 0) {
        memmove(sink->pending.data, sink->pending.data + whole, sink->pending.length - whole);
        sink->pending.length -= whole;
        sink->sent -= whole;
    }
    if (sink->pending.length == 0 && sink->pending.capacity > 65536)
        str_free(&sink->pending);
    watch(sink, sink->pending.length > 0);
    return true;
}

static void on_room(struct loop_source *source, int fd, uint32_t events, void *user)
{
    struct shim_sink *sink = user;

    if (!flush_stream(sink))
        drop_stream(sink);
}

static void watch(struct shim_sink *sink, bool on)
{
    if (sink->source)
        loop_set_events(sink->source, on ? EPOLLOUT : 0);
    else if (on && sink->loop)
        (void)loop_add_fd(sink->loop, sink->fd, EPOLLOUT, on_room, sink, &sink->source);
}

/* The other end has closed: what is sent now would be lost without a word. */
static bool is_over(const struct shim_sink *sink)
{
    char byte;

    return recv(sink->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static void stream_line(struct shim_sink *sink, const struct str *line)
{
    if (sink->pending.length + line->length <= PENDING_MAX)
        str_append_n(&sink->pending, line->data, line->length);
    for (int attempt = 0; attempt < 2; attempt++) {
        if (sink->fd >= 0 && is_over(sink))
            drop_stream(sink);
        if (sink->fd < 0) {
            int64_t now = clock_mono_ns();
            if (now < sink->retry_ns)
                return;
            open_sink(sink);
            if (sink->fd < 0) {
                sink->retry_ns = now + RETRY_NS;
                return;
            }
        }
        if (flush_stream(sink))
            return;
        drop_stream(sink);
    }
    sink->retry_ns = clock_mono_ns() + RETRY_NS;
}

void shim_sink_drain(struct shim_sink *sink)
{
    int64_t until = clock_mono_ns() + DRAIN_NS;

    while (sink->stream && sink->fd >= 0 && sink->pending.length > 0) {
        struct pollfd room = {.fd = sink->fd, .events = POLLOUT};
        int64_t left = until - clock_mono_ns();
        if (left <= 0 || poll(&room, 1, (int)(left / NS_PER_MS) + 1) < 0 || !flush_stream(sink))
            return;
    }
}

void shim_sink_line(struct shim_sink *sink, int stream, const char *text, size_t length)
{
    CLEANUP_STR struct str out = STR_INIT;
    bool partial = length == 0 || text[length - 1] != '\n';

    if (!sink->options || !sink->options->log_to)
        return;
    if (!partial)
        length--;
    if (str_equal(sink->options->log_format, "journald"))
        put_journal(&out, sink, stream, text, length, partial);
    else
        put_syslog(&out, sink, stream, text, length);
    if (sink->counted) { /* over TLS a message's length goes before it: RFC 5425 */
        CLEANUP_FREE char *size = mem_printf("%zu ", out.length);
        CLEANUP_STR struct str counted = STR_INIT;
        str_append(&counted, size);
        str_append_n(&counted, out.data, out.length);
        stream_line(sink, &counted);
        return;
    }
    if (sink->stream) {
        stream_line(sink, &out);
        return;
    }
    for (int attempt = 0; attempt < 2; attempt++) {
        if (sink->fd < 0)
            open_sink(sink);
        if (sink->fd < 0)
            return;
        ssize_t sent = send(sink->fd, out.data, out.length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0 || (errno != ECONNREFUSED && errno != EPIPE && errno != ENOTCONN && errno != ECONNRESET))
            return;
        close(sink->fd);
        sink->fd = -EBADF;
    }
}
