/* log_sink.c - lines sent on to the host's journal or a syslog. Owner: shim.
 *
 * Datagrams (or a local stream), one a line. The shim has one thread, so nothing here
 * waits: what the receiver has no room for is dropped, and kept in the container's own
 * log file all the same. A receiver that went away is looked for again with each line.
 */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/wire.h"
#include "shim/shim.h"

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
static int connect_udp(const char *text)
{
    CLEANUP_FREE char *host = mem_strdup(text);
    char *port = strrchr(host, ':');
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV}, *list = NULL;
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
    int fd = socket(list->ai_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, list->ai_addr, list->ai_addrlen) == 0)
        r = fd;
    else if (fd >= 0)
        close(fd);
    freeaddrinfo(list);
    return r;
}

static void open_sink(struct shim_sink *sink)
{
    const char *address = sink->options->log_to;

    if (strncmp(address, "unixgram:", 9) == 0)
        sink->fd = connect_unix(address + 9, SOCK_DGRAM);
    else if (strncmp(address, "unix:", 5) == 0)
        sink->fd = connect_unix(address + 5, SOCK_STREAM);
    else if (strncmp(address, "udp:", 4) == 0)
        sink->fd = connect_udp(address + 4);
}

void shim_sink_open(struct shim_sink *sink, const struct shim_options *options)
{
    *sink = (struct shim_sink){.fd = -EBADF, .options = options};
    if (gethostname(sink->host, sizeof(sink->host) - 1) < 0)
        sink->host[0] = '\0';
    if (options->log_to)
        open_sink(sink);
}

static void put_journal(struct str *out, const struct shim_options *o, int stream, const char *text, size_t length,
                        bool partial)
{
    uint8_t size[8];

    str_printf(out, "PRIORITY=%d\n%s", stream == 0 ? 6 : 3, o->log_fields ? o->log_fields : "");
    if (partial)
        str_append(out, "CONTAINER_PARTIAL_MESSAGE=true\n");
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

void shim_sink_line(struct shim_sink *sink, int stream, const char *text, size_t length)
{
    CLEANUP_STR struct str out = STR_INIT;
    bool partial = length == 0 || text[length - 1] != '\n';

    if (!sink->options || !sink->options->log_to)
        return;
    if (!partial)
        length--;
    if (str_equal(sink->options->log_format, "journald"))
        put_journal(&out, sink->options, stream, text, length, partial);
    else
        put_syslog(&out, sink, stream, text, length);
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
