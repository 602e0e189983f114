/* qmp.c - see qmp.h. */
#include "isolation/hyperv/qmp.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "tabique/error.h"

#define LINE_MAX_BYTES (256u << 10)
#define STATE_POLL_NS (2 * NS_PER_MS)

/* One line without its end into *ret (inside the buffer, until the next call). */
static int read_line(struct qmp *qmp, int64_t deadline, char **ret, struct error *err)
{
    if (qmp->consumed) {
        memmove(qmp->buffer.data, qmp->buffer.data + qmp->consumed, qmp->buffer.length - qmp->consumed);
        qmp->buffer.length -= qmp->consumed;
        qmp->consumed = 0;
    }
    for (;;) {
        char *end = qmp->buffer.length ? memchr(qmp->buffer.data, '\n', qmp->buffer.length) : NULL;
        struct pollfd poll_fd = {.fd = qmp->fd, .events = POLLIN};
        int64_t left = deadline - clock_mono_ns();
        char chunk[4096];
        ssize_t n;

        if (end) {
            *end = '\0';
            qmp->consumed = (size_t)(end - qmp->buffer.data) + 1;
            *ret = qmp->buffer.data;
            return 0;
        }
        if (qmp->buffer.length > LINE_MAX_BYTES)
            return error_set(err, EBADMSG, "the worker's monitor sent an endless line");
        if (left <= 0)
            return error_set(err, ETIMEDOUT, "the worker's monitor did not answer in time");
        if (poll(&poll_fd, 1, (int)(left / NS_PER_MS) + 1) <= 0)
            continue;
        n = read(qmp->fd, chunk, sizeof(chunk));
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (n <= 0)
            return error_set(err, EPIPE, "the worker ended before its monitor answered");
        str_append_n(&qmp->buffer, chunk, (size_t)n);
    }
}

/* The next reply, past events. Its text stays in the buffer for the caller. */
static int read_reply(struct qmp *qmp, int64_t deadline, char **ret, struct error *err)
{
    for (;;) {
        char *line;
        int r = read_line(qmp, deadline, &line, err);

        if (r < 0)
            return r;
        if (str_starts(line, "{\"return\"")) {
            *ret = line;
            return 0;
        }
        if (str_starts(line, "{\"error\"")) {
            const char *text = strstr(line, "\"desc\": \"");
            size_t length = text ? strcspn(text + 9, "\"") : 0;
            return error_set(err, EIO, "the worker's monitor refused: %.*s", (int)length, text ? text + 9 : "");
        }
    }
}

static int command_text(struct qmp *qmp, int pass_fd, int timeout_ms, const char *text, char **ret,
                        struct error *err)
{
    int r = fd_send(qmp->fd, text, strlen(text), &pass_fd, pass_fd >= 0 ? 1 : 0);

    if (r < 0)
        return error_errno(err, -r, "cannot write to the worker's monitor");
    return read_reply(qmp, clock_mono_ns() + timeout_ms * NS_PER_MS, ret, err);
}

int qmp_open(struct qmp *qmp, int fd, int timeout_ms, struct error *err)
{
    char *line;
    int r;

    *qmp = (struct qmp){.fd = fd};
    r = read_line(qmp, clock_mono_ns() + timeout_ms * NS_PER_MS, &line, err);
    if (r >= 0 && !str_starts(line, "{\"QMP\""))
        r = error_set(err, EBADMSG, "the worker's monitor did not greet");
    if (r >= 0)
        r = qmp_command(qmp, -EBADF, timeout_ms, err, "{\"execute\": \"qmp_capabilities\"}");
    if (r < 0)
        qmp_close(qmp);
    return r;
}

void qmp_close(struct qmp *qmp)
{
    if (qmp->fd >= 0)
        close(qmp->fd);
    str_free(&qmp->buffer);
    *qmp = QMP_INIT;
}

int qmp_command(struct qmp *qmp, int pass_fd, int timeout_ms, struct error *err, const char *format, ...)
{
    CLEANUP_STR struct str text = STR_INIT;
    va_list args;
    char *reply;

    va_start(args, format);
    str_vprintf(&text, format, args);
    va_end(args);
    str_append_char(&text, '\n');
    return command_text(qmp, pass_fd, timeout_ms, text.data, &reply, err);
}

bool qmp_drain(struct qmp *qmp)
{
    char chunk[4096];
    ssize_t n = recv(qmp->fd, chunk, sizeof(chunk), MSG_DONTWAIT);

    if (n <= 0)
        return n < 0 && (errno == EAGAIN || errno == EINTR);
    str_append_n(&qmp->buffer, chunk, (size_t)n);
    /* Whole lines go; the rest is the beginning of one. */
    char *end = memrchr(qmp->buffer.data, '\n', qmp->buffer.length);
    size_t rest = end ? qmp->buffer.length - (size_t)(end + 1 - qmp->buffer.data) : qmp->buffer.length;
    memmove(qmp->buffer.data, qmp->buffer.data + (qmp->buffer.length - rest), rest);
    qmp->buffer.length = rest;
    qmp->consumed = 0;
    return rest <= LINE_MAX_BYTES;
}

static int wait_state(struct qmp *qmp, const char *query, const char *wanted, const char *failed,
                      int timeout_ms, struct error *err)
{
    int64_t deadline = clock_mono_ns() + timeout_ms * NS_PER_MS;
    struct timespec pause = {.tv_nsec = STATE_POLL_NS};

    for (;;) {
        char *reply;
        int r = command_text(qmp, -EBADF, timeout_ms, query, &reply, err);

        if (r < 0)
            return r;
        if (strstr(reply, wanted))
            return 0;
        if (strstr(reply, failed))
            return error_set(err, EIO, "the machine's state could not be restored or saved");
        if (clock_mono_ns() > deadline)
            return error_set(err, ETIMEDOUT, "the machine's state was not restored or saved in time");
        nanosleep(&pause, NULL);
    }
}

int qmp_wait_migrated(struct qmp *qmp, int timeout_ms, struct error *err)
{
    return wait_state(qmp, "{\"execute\": \"query-migrate\"}\n", "\"status\": \"completed\"",
                      "\"status\": \"failed\"", timeout_ms, err);
}

int qmp_wait_paused(struct qmp *qmp, int timeout_ms, struct error *err)
{
    return wait_state(qmp, "{\"execute\": \"query-status\"}\n", "\"status\": \"paused\"",
                      "\"status\": \"internal-error\"", timeout_ms, err);
}
