/* Logs and attach: a container's output as Docker frames it. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "containers_routes.h"
#include "routes.h"
#include "shapes.h"

/* --- log lines, to a response or to a hijacked connection -------------------------------- */

struct log_sink {
    struct request *request;
    struct duplex *duplex; /* NULL: the response */
    bool raw;              /* a tty: no frames */
    bool timestamps, details;
    struct str line;
};

static int sink_write(struct log_sink *sink, const void *data, size_t length)
{
    return sink->duplex ? duplex_write(sink->duplex, data, length)
                        : respond_write(sink->request, data, length);
}

static int sink_line(void *user, const struct container_log_line *line)
{
    struct log_sink *sink = user;
    char text[TIME_TEXT_MAX];

    str_clear(&sink->line);
    if (!sink->raw)
        str_append_n(&sink->line, "\0\0\0\0\0\0\0\0", 8);
    if (sink->timestamps)
        str_printf(&sink->line, "%s ", shape_time_fixed(line->time_ns, text));
    if (sink->details)
        str_printf(&sink->line, "%s ", line->attributes ? line->attributes : "");
    str_append_n(&sink->line, line->data, line->length);
    if (!sink->raw)
        route_frame_header((uint8_t *)sink->line.data, line->stream, sink->line.length - 8);
    return sink_write(sink, sink->line.data, sink->line.length);
}

static bool sink_gone(void *user)
{
    return request_gone(((struct log_sink *)user)->request);
}

/* --- logs ------------------------------------------------------------------------------------ */

static int log_query(struct request *request, struct container_log_query *ret, struct error *err)
{
    struct container_log_query query = {
        .out = request_query_bool(request, "stdout", false),
        .err = request_query_bool(request, "stderr", false),
        .follow = request_query_bool(request, "follow", false),
        .timestamps = request_query_bool(request, "timestamps", false),
        .details = request_query_bool(request, "details", false),
        .tail = -1,
    };
    if (!query.out && !query.err)
        return error_set(err, EINVAL, "Bad parameters: you must choose at least one stream");

    int r = route_time(request, "since", 0, &query.since_ns, err);
    if (r >= 0)
        r = route_time(request, "until", 0, &query.until_ns, err);
    if (r < 0)
        return r;
    /* Whatever is not a number means all, as in Docker. */
    const char *tail = request_query(request, "tail");
    if (!tail || str_to_i64(tail, &query.tail) < 0 || query.tail < 0)
        query.tail = -1;
    *ret = query;
    return 0;
}

static int logs_detached(struct request *request, void *user)
{
    struct error err = ERROR_INIT;
    CLEANUP_CONTAINER struct container *container = NULL;
    struct container_log_query query;

    int r = log_query(request, &query, &err);
    if (r >= 0)
        r = route_container(request, &container, &err);
    if (r >= 0)
        r = container_logs_readable(container, &err);
    if (r < 0)
        return route_fail(request, r, &err);

    const bool tty = container_tty(container);
    struct log_sink sink = {
        .request = request,
        .raw = tty,
        .timestamps = query.timestamps,
        .details = request_query_bool(request, "details", false),
    };
    r = respond_begin(request, 200,
                      !tty && request_api_version(request) >= 142 ? CONTENT_MULTIPLEXED : CONTENT_RAW);
    if (r >= 0) {
        r = container_logs(container, &query, sink_line, sink_gone, &sink, &err);
        str_free(&sink.line);
        if (r >= 0)
            r = respond_end(request);
    }
    return r;
}

int containers_logs(struct request *request)
{
    return route_detach(request, logs_detached);
}

/* --- attach ------------------------------------------------------------------------------------- */

enum { STREAM_IN = 1, STREAM_OUT = 2, STREAM_ERR = 4 };

static int replay_logs(struct request *request, struct container *container, struct duplex *duplex,
                       unsigned streams, bool tty)
{
    const struct container_log_query query = {
        .out = streams & STREAM_OUT, .err = streams & STREAM_ERR, .tail = -1};
    struct log_sink sink = {.request = request, .duplex = duplex, .raw = tty};
    const int r = container_logs(container, &query, sink_line, sink_gone, &sink, NULL);
    str_free(&sink.line);
    return r;
}

int containers_attach(struct request *request)
{
    struct error err = ERROR_INIT;
    CLEANUP_CONTAINER struct container *container = NULL;
    CLEANUP_CLOSE int fd = -EBADF;
    const char *detach_keys = request_query(request, "detachKeys");
    const bool stream = request_query_bool(request, "stream", false);
    const unsigned streams = (request_query_bool(request, "stdin", false) ? STREAM_IN : 0u) |
                             (request_query_bool(request, "stdout", false) ? STREAM_OUT : 0u) |
                             (request_query_bool(request, "stderr", false) ? STREAM_ERR : 0u);

    int r = route_check_detach_keys(detach_keys, &err);
    if (r >= 0)
        r = route_container(request, &container, &err);
    if (r >= 0 && stream)
        r = container_attach(container, request_param(request, "id"), streams, &fd, &err);
    if (r < 0)
        return route_fail(request, r, &err);

    const bool tty = container_tty(container);
    struct duplex *duplex = NULL;
    r = respond_hijack(request,
                       !tty && request_api_version(request) >= 142 && request_header(request, "Upgrade")
                           ? CONTENT_MULTIPLEXED
                           : CONTENT_RAW,
                       &duplex);
    if (r < 0)
        return r;
    if (request_query_bool(request, "logs", false))
        r = replay_logs(request, container, duplex, streams, tty);
    if (r < 0 || !stream) {
        duplex_close(duplex);
        return r;
    }
    return duplex_join(request, duplex, TAKE_FD(fd), tty, (streams & STREAM_IN) != 0,
                       (streams & STREAM_IN) != 0 && (tty || !container_stdin_once(container)),
                       detach_keys && detach_keys[0] ? detach_keys : NULL);
}
