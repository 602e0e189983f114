/* client.c - the server's end of a shim. Owner: shim.
 *
 * Two threads meet here. Whoever asks writes the request and waits on a
 * condition; the loop's thread reads everything and hands replies to those who
 * wait and notifications to the callbacks. The mutex covers the list of who waits
 * and the state; it is not held during callbacks.
 *
 * Attach and root use connections of their own, which never meet the loop.
 */
#include "shim/client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/child.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/path.h"
#include "host/process_wire.h"
#include "rpc/rpc.h"
#include "shim/client_private.h"
#include "tabique/error.h"

struct waiting {
    struct waiting *next;
    uint64_t id;
    bool done;
    uint16_t flags;
    struct str body;
};

/* --- being told --------------------------------------------------------------------- */
static bool is_quiet(struct shim *shim)
{
    bool quiet;

    pthread_mutex_lock(&shim->lock);
    quiet = shim->quiet;
    pthread_mutex_unlock(&shim->lock);
    return quiet;
}

static void tell_exit(struct shim *shim, const void *data, size_t length)
{
    struct wire_reader reader;
    struct wire_field field;
    CLEANUP_FREE char *exec_id = NULL, *lost = NULL;
    struct shim_exit end = {0};
    uint64_t status = 0;

    wire_read(&reader, data, length);
    while (wire_next(&reader, &field)) {
        switch (field.tag) {
        case RPC_TAG_EXEC_ID:
            free(exec_id);
            exec_id = wire_string(&reader, &field);
            break;
        case RPC_TAG_STATUS: status = wire_u64(&reader, &field); break;
        case RPC_TAG_TIME: end.time_ns = wire_i64(&reader, &field); break;
        case RPC_TAG_OOM: end.oom_killed = wire_bool(&reader, &field); break;
        case RPC_TAG_MESSAGE:
            free(lost);
            lost = wire_string(&reader, &field);
            break;
        default: break;
        }
    }
    snprintf(end.lost, sizeof(end.lost), "%s", lost ? lost : "");
    if (!wire_ok(&reader) || status > 255 || is_quiet(shim))
        return;
    end.exec_id = exec_id ? exec_id : "";
    end.status = (int)status;
    shim->events.exited(shim->user, &end);
}

static void lose(struct shim *shim)
{
    bool tell;

    pthread_mutex_lock(&shim->lock);
    tell = !shim->lost && !shim->quiet;
    shim->lost = true;
    pthread_cond_broadcast(&shim->answered);
    pthread_mutex_unlock(&shim->lock);
    loop_remove(shim->source);
    shim->source = NULL;
    if (tell)
        shim->events.lost(shim->user);
}

static void take_reply(struct shim *shim, const struct rpc_frame *frame)
{
    pthread_mutex_lock(&shim->lock);
    for (struct waiting *w = shim->waiting; w; w = w->next) {
        if (w->id != frame->id || w->done)
            continue;
        w->done = true;
        w->flags = frame->flags;
        str_append_n(&w->body, frame->body ? (const void *)frame->body : "", frame->length);
        pthread_cond_broadcast(&shim->answered);
        break;
    }
    /* Nobody waits: the one who asked has given up. */
    pthread_mutex_unlock(&shim->lock);
}

static bool version_is_ours(const struct rpc_frame *frame, pid_t *ret_pid)
{
    struct wire_reader reader;
    struct wire_field field;
    uint64_t version = 0, pid = 0;

    wire_read(&reader, frame->body, frame->length);
    while (wire_next(&reader, &field)) {
        if (field.tag == RPC_TAG_VERSION)
            version = wire_u64(&reader, &field);
        else if (field.tag == RPC_TAG_PID)
            pid = wire_u64(&reader, &field);
    }
    if (ret_pid)
        *ret_pid = (pid_t)(pid & 0x7fffffff);
    return wire_ok(&reader) && version == RPC_VERSION;
}

static bool take_frame(struct shim *shim, const struct rpc_frame *frame)
{
    if (frame->flags & RPC_REPLY) {
        take_reply(shim, frame);
        return true;
    }
    switch (frame->type) {
    case RPC_HELLO: return version_is_ours(frame, NULL);
    case RPC_EXITED: tell_exit(shim, frame->body, frame->length); return true;
    case RPC_OOM:
        if (!is_quiet(shim))
            shim->events.oom(shim->user);
        return true;
    default: return true; /* a newer shim tells of things we do not know */
    }
}

static void on_readable(struct loop_source *source, int fd, uint32_t events, void *user)
{
    struct shim *shim = user;
    char buffer[32768];
    struct rpc_frame frame;
    ssize_t n = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);
    int r;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0 || rpc_decoder_feed(&shim->decoder, buffer, (size_t)n) < 0) {
        lose(shim);
        return;
    }
    while ((r = rpc_decoder_next(&shim->decoder, &frame)) > 0) {
        if (!take_frame(shim, &frame)) {
            r = -EPROTO;
            break;
        }
    }
    if (r < 0)
        lose(shim);
}

/* Reaps our child; knows nothing of the struct, which may be gone. */
static void on_shim_ended(struct loop_source *source, int pidfd, uint32_t events, void *user)
{
    (void)waitid(P_PIDFD, (id_t)pidfd, &(siginfo_t){0}, WEXITED | WNOHANG);
    loop_remove(source);
    close(pidfd);
}

void shim__begin(void *user)
{
    struct shim *shim = user;
    struct wire_reader reader;
    struct wire_field field;

    if (shim->pidfd >= 0) {
        int pidfd = TAKE_FD(shim->pidfd);

        if (loop_add_fd(shim->loop, pidfd, EPOLLIN, on_shim_ended, NULL, NULL) < 0)
            close(pidfd);
    }
    wire_read(&reader, shim->missed.data, shim->missed.length);
    while (wire_next(&reader, &field))
        if (field.tag == RPC_TAG_EXITED)
            tell_exit(shim, field.data, field.length);
    str_free(&shim->missed);
    if (loop_add_fd(shim->loop, shim->fd, EPOLLIN, on_readable, shim, &shim->source) < 0)
        lose(shim);
}

void shim__end(void *user)
{
    struct shim *shim = user;

    loop_remove(shim->source);
    close(shim->fd);
    if (shim->pidfd >= 0)
        close(shim->pidfd);
    rpc_decoder_free(&shim->decoder);
    str_free(&shim->missed);
    pthread_mutex_destroy(&shim->writing);
    pthread_mutex_destroy(&shim->lock);
    pthread_cond_destroy(&shim->answered);
    free(shim->id);
    free(shim->dir);
    free(shim);
}

/* --- asking ----------------------------------------------------------------------------- */
static void deadline_in(int ms, struct timespec *ret)
{
    int64_t at = clock_mono_ns() + ms * NS_PER_MS;

    ret->tv_sec = at / NS_PER_SEC;
    ret->tv_nsec = at % NS_PER_SEC;
}

/* The loop's thread must never wait for a shim that hangs, so this is not done
 * under the lock; and whoever asks waits no longer than for an answer. Half a
 * request is the end of the conversation. */
static void write_request(struct shim *shim, const struct str *out)
{
    int64_t until = clock_mono_ns() + SHIM_TIMEOUT_MS * NS_PER_MS;
    size_t sent = 0;

    pthread_mutex_lock(&shim->writing);
    while (sent < out->length) {
        ssize_t n = send(shim->fd, out->data + sent, out->length - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        struct pollfd p = {.fd = shim->fd, .events = POLLOUT};

        if (n > 0)
            sent += (size_t)n;
        else if (errno != EAGAIN && errno != EINTR)
            break;
        else if (clock_mono_ns() > until || poll(&p, 1, 1000) < 0)
            break;
    }
    if (sent < out->length)
        (void)shutdown(shim->fd, SHUT_RDWR); /* the loop finds out, and tells */
    pthread_mutex_unlock(&shim->writing);
}

static void stop_waiting(struct shim *shim, struct waiting *w)
{
    struct waiting **at = &shim->waiting;

    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
}

/* The reply's body into *reply; an error reply into err. */
static int ask(struct shim *shim, uint16_t type, const struct str *body, struct str *reply, bool *ret_exec_failed,
               struct error *err)
{
    CLEANUP_STR struct str out = STR_INIT;
    struct waiting w = {.body = STR_INIT};
    struct timespec deadline;
    int r = 0;

    deadline_in(SHIM_TIMEOUT_MS, &deadline);
    pthread_mutex_lock(&shim->lock);
    if (shim->lost || shim->quiet) {
        pthread_mutex_unlock(&shim->lock);
        return error_set(err, ESRCH, "the shim of container %.12s has ended", shim->id);
    }
    w.id = ++shim->next_id;
    w.next = shim->waiting;
    shim->waiting = &w;
    pthread_mutex_unlock(&shim->lock);
    rpc_encode(&out, type, 0, w.id, body ? body->data : NULL, body ? body->length : 0);
    write_request(shim, &out);
    pthread_mutex_lock(&shim->lock);
    while (!w.done && !shim->lost && r == 0)
        r = -pthread_cond_timedwait(&shim->answered, &shim->lock, &deadline);
    stop_waiting(shim, &w);
    pthread_mutex_unlock(&shim->lock);
    if (!w.done)
        r = r == -ETIMEDOUT ? error_set(err, ETIMEDOUT, "the shim of container %.12s does not answer", shim->id)
                            : error_set(err, ESRCH, "the shim of container %.12s has ended", shim->id);
    else if (w.flags & RPC_ERROR)
        r = rpc_decode_error(&(struct rpc_frame){.body = (const uint8_t *)w.body.data, .length = w.body.length}, err,
                             ret_exec_failed);
    else
        r = 0;
    if (r == 0 && reply) {
        *reply = w.body;
        w.body = STR_INIT;
    }
    str_free(&w.body);
    return r;
}

static int read_started(const struct str *reply, struct shim_started *ret, struct error *err)
{
    struct wire_reader reader;
    struct wire_field field;
    struct shim_started started = {0};
    uint64_t pid = 0, guest_pid = 0;

    wire_read(&reader, reply->data, reply->length);
    while (wire_next(&reader, &field)) {
        switch (field.tag) {
        case RPC_TAG_PID: pid = wire_u64(&reader, &field); break;
        case RPC_TAG_GUEST_PID: guest_pid = wire_u64(&reader, &field); break;
        case RPC_TAG_START_TICKS: started.start_ticks = wire_u64(&reader, &field); break;
        default: break;
        }
    }
    if (!wire_ok(&reader) || pid > INT32_MAX || guest_pid > INT32_MAX)
        return error_set(err, EBADMSG, "the shim's reply is malformed");
    started.pid = (pid_t)pid;
    started.guest_pid = (pid_t)guest_pid;
    *ret = started;
    return 0;
}

static int ask_start(struct shim *shim, uint16_t type, const struct str *body, struct shim_started *ret, struct error *err)
{
    CLEANUP_STR struct str reply = STR_INIT;
    bool exec_failed = false;
    int r = ask(shim, type, body, &reply, &exec_failed, err);

    if (r < 0) {
        ret->exec_failed = exec_failed;
        return r;
    }
    return read_started(&reply, ret, err);
}

int shim_start(struct shim *shim, const struct plan *plan, struct shim_started *ret, struct error *err)
{
    CLEANUP_STR struct str body = STR_INIT;
    size_t mark = wire_begin(&body, RPC_TAG_PLAN);

    plan_encode(plan, &body);
    wire_end(&body, mark);
    if (body.length > PLAN_MAX_SIZE)
        return error_set(err, E2BIG, "the container's configuration is too large");
    return ask_start(shim, RPC_START, &body, ret, err);
}

int shim_mount(struct shim *shim, const struct plan *plan, struct error *err)
{
    CLEANUP_STR struct str body = STR_INIT;
    size_t mark = wire_begin(&body, RPC_TAG_PLAN);

    plan_encode(plan, &body);
    wire_end(&body, mark);
    return ask(shim, RPC_MOUNT, &body, NULL, NULL, err);
}

int shim_exec(struct shim *shim, const char *exec_id, const struct plan_process *process, const char *note,
              struct shim_started *ret, struct error *err)
{
    CLEANUP_STR struct str body = STR_INIT;
    size_t mark;

    wire_put_string(&body, RPC_TAG_EXEC_ID, exec_id);
    wire_put_string(&body, RPC_TAG_NOTE, note);
    mark = wire_begin(&body, RPC_TAG_PROCESS);
    plan_process_encode(process, &body);
    wire_end(&body, mark);
    if (body.length > PLAN_MAX_SIZE)
        return error_set(err, E2BIG, "the exec's configuration is too large");
    return ask_start(shim, RPC_EXEC, &body, ret, err);
}

int shim_status(struct shim *shim, struct shim_started *ret, struct error *err)
{
    return ask_start(shim, RPC_STATUS, NULL, ret, err);
}

int shim_signal(struct shim *shim, const char *exec_id, int signal, struct error *err)
{
    CLEANUP_STR struct str body = STR_INIT;

    wire_put_string(&body, RPC_TAG_EXEC_ID, exec_id);
    wire_put_u64(&body, RPC_TAG_SIGNAL, (uint64_t)signal);
    return ask(shim, RPC_SIGNAL, &body, NULL, NULL, err);
}

int shim_signal_pid(struct shim *shim, pid_t pid, uint64_t start_ticks, int signal, struct error *err)
{
    CLEANUP_STR struct str body = STR_INIT;

    wire_put_u64(&body, RPC_TAG_PID, (uint64_t)pid);
    wire_put_u64(&body, RPC_TAG_START_TICKS, start_ticks);
    wire_put_u64(&body, RPC_TAG_SIGNAL, (uint64_t)signal);
    return ask(shim, RPC_SIGNAL, &body, NULL, NULL, err);
}

int shim_resize(struct shim *shim, const char *exec_id, uint16_t rows, uint16_t cols, struct error *err)
{
    CLEANUP_STR struct str body = STR_INIT;

    wire_put_string(&body, RPC_TAG_EXEC_ID, exec_id);
    wire_put_u64(&body, RPC_TAG_ROWS, rows);
    wire_put_u64(&body, RPC_TAG_COLS, cols);
    return ask(shim, RPC_RESIZE, &body, NULL, NULL, err);
}

int shim_processes(struct shim *shim, struct process_list **ret, struct error *err)
{
    CLEANUP_STR struct str reply = STR_INIT;
    int r = ask(shim, RPC_PROCESSES, NULL, &reply, NULL, err);

    if (r < 0)
        return r;
    r = process_wire_get_list(reply.data, reply.length, RPC_TAG_PROCESS_ENTRY, ret);
    return r < 0 ? error_set(err, -r, "the shim's process list is malformed") : 0;
}

int shim_stats(struct shim *shim, struct cgroup_stats *ret, struct error *err)
{
    CLEANUP_STR struct str reply = STR_INIT;
    struct wire_reader reader;
    struct wire_field field;
    int r = ask(shim, RPC_STATS, NULL, &reply, NULL, err);

    if (r < 0)
        return r;
    wire_read(&reader, reply.data, reply.length);
    while (wire_next(&reader, &field))
        if (field.tag == RPC_TAG_STATS)
            return cgroup_stats_decode(field.data, field.length, ret) < 0
                       ? error_set(err, EBADMSG, "the shim's statistics are malformed")
                       : 0;
    return error_set(err, EBADMSG, "the shim's statistics are missing");
}

int shim_freeze(struct shim *shim, bool frozen, struct error *err)
{
    CLEANUP_STR struct str body = STR_INIT;

    wire_put_bool(&body, RPC_TAG_FROZEN, frozen);
    return ask(shim, RPC_FREEZE, &body, NULL, NULL, err);
}

int shim_update(struct shim *shim, const struct plan_limits *limits, struct error *err)
{
    CLEANUP_STR struct str body = STR_INIT;
    size_t mark = wire_begin(&body, RPC_TAG_LIMITS);

    plan_limits_encode(limits, &body);
    wire_end(&body, mark);
    return ask(shim, RPC_UPDATE, &body, NULL, NULL, err);
}

int shim_network(struct shim *shim, struct error *err)
{
    return ask(shim, RPC_NETWORK, NULL, NULL, NULL, err);
}

/* --- connections of their own ------------------------------------------------------------- */
int shim__send_hello(int fd)
{
    CLEANUP_STR struct str body = STR_INIT;

    wire_put_u64(&body, RPC_TAG_VERSION, RPC_VERSION);
    wire_put_string(&body, RPC_TAG_PROGRAM, "tabique " TABIQUE_VERSION);
    return rpc_send(fd, RPC_HELLO, 0, 0, body.data, body.length);
}

static int receive_hello(int fd, struct rpc_decoder *decoder, pid_t *ret_pid)
{
    struct rpc_frame frame;
    int r = rpc_receive(fd, decoder, &frame, SHIM_TIMEOUT_MS);

    if (r < 0)
        return r;
    return frame.type == RPC_HELLO && version_is_ours(&frame, ret_pid) ? 0 : -EPROTO;
}

static int connect_shim(const char *dir, int *ret_fd)
{
    CLEANUP_FREE char *path = path_join(dir, SOCKET_NAME);
    CLEANUP_CLOSE int fd = socket_connect(path);
    int r;

    if (fd < 0)
        return fd;
    r = shim__send_hello(fd);
    if (r == 0)
        *ret_fd = TAKE_FD(fd);
    return r;
}

/* back: to an exec's terminal, of whose output back->from bytes are known. */
static int attach(struct shim *shim, const char *exec_id, unsigned streams, int *ret_fd, struct shim_rejoined *back,
                  struct error *err)
{
    CLEANUP(rpc_decoder_free) struct rpc_decoder decoder = {0};
    CLEANUP_STR struct str body = STR_INIT;
    CLEANUP_CLOSE int fd = -EBADF;
    struct wire_reader reader;
    struct wire_field field;
    struct rpc_frame frame;
    int r = connect_shim(shim->dir, &fd);

    wire_put_string(&body, RPC_TAG_EXEC_ID, exec_id);
    wire_put_u64(&body, RPC_TAG_STREAMS, streams);
    if (back)
        wire_put_u64(&body, RPC_TAG_SEEN, back->from);
    if (r == 0)
        r = rpc_send(fd, RPC_ATTACH, 0, 1, body.data, body.length);
    if (r == 0)
        r = receive_hello(fd, &decoder, NULL);
    do { /* an end may be told before we are attached */
        if (r == 0)
            r = rpc_receive(fd, &decoder, &frame, SHIM_TIMEOUT_MS);
    } while (r == 0 && !(frame.flags & RPC_REPLY));
    if (r < 0)
        return error_errno(err, r == -ENOENT || r == -ECONNREFUSED ? ESRCH : -r, "cannot attach to container %.12s", shim->id);
    if (frame.flags & RPC_ERROR)
        return rpc_decode_error(&frame, err, NULL);
    wire_read(&reader, frame.body, frame.length);
    while (back && wire_next(&reader, &field))
        if (field.tag == RPC_TAG_SEEN)
            back->from = wire_u64(&reader, &field);
        else if (field.tag == RPC_TAG_SIZE)
            back->to = wire_u64(&reader, &field);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

int shim_attach(struct shim *shim, const char *exec_id, unsigned streams, int *ret_fd, struct error *err)
{
    return attach(shim, exec_id, streams, ret_fd, NULL, err);
}

int shim_rejoin(struct shim *shim, const char *exec_id, unsigned streams, uint64_t seen, int *ret_fd,
                struct shim_rejoined *ret, struct error *err)
{
    struct shim_rejoined back = {.from = seen, .to = seen};
    int r = attach(shim, exec_id, streams, ret_fd, &back, err);

    if (r == 0)
        *ret = back;
    return r;
}

int shim__open_with_fd(struct shim *shim, uint16_t type, const struct str *body, struct rpc_decoder *decoder, int *ret_conn,
                       int *ret_fd, struct error *err)
{
    CLEANUP_CLOSE int fd = -EBADF;
    CLEANUP_CLOSE int passed = -EBADF;
    uint8_t header[RPC_HEADER_SIZE];
    struct rpc_frame frame = {0};
    size_t count = 0;
    ssize_t n = 0;
    int r = connect_shim(shim->dir, &fd);

    if (r == 0)
        r = rpc_send(fd, type, 0, 1, body ? body->data : NULL, body ? body->length : 0);
    if (r == 0)
        r = receive_hello(fd, decoder, NULL);
    /* An end may be told in between. */
    while (r == 0 && count == 0 && !(frame.flags & RPC_REPLY)) {
        n = fd_recv(fd, header, sizeof(header), &passed, 1, &count);
        if (n != sizeof(header))
            r = n < 0 ? (int)n : -EPIPE;
        if (r == 0)
            r = rpc_decoder_feed(decoder, header, sizeof(header));
        if (r == 0)
            r = rpc_receive(fd, decoder, &frame, SHIM_TIMEOUT_MS);
    }
    if (r < 0)
        return error_errno(err, r == -ENOENT || r == -ECONNREFUSED ? ESRCH : -r, "cannot reach container %.12s", shim->id);
    if (frame.flags & RPC_ERROR)
        return rpc_decode_error(&frame, err, NULL);
    if (count != 1)
        return error_set(err, EBADMSG, "the shim's reply is malformed");
    if (ret_conn)
        *ret_conn = TAKE_FD(fd);
    *ret_fd = TAKE_FD(passed);
    return 0;
}

int shim_root(struct shim *shim, int *ret_fd, struct error *err)
{
    CLEANUP(rpc_decoder_free) struct rpc_decoder decoder = {0};

    return shim__open_with_fd(shim, RPC_ROOT, NULL, &decoder, NULL, ret_fd, err);
}

/* --- making and leaving ------------------------------------------------------------------------ */
struct shim *shim__new(const struct shim_spec *spec, struct loop *loop, const struct shim_events *events, void *user)
{
    struct shim *shim = mem_new(struct shim);
    pthread_condattr_t attr;

    *shim = (struct shim){.loop = loop, .events = *events, .user = user, .id = mem_strdup(spec->id),
                          .dir = mem_strdup(spec->dir), .pidfd = -EBADF, .fd = -EBADF};
    pthread_mutex_init(&shim->writing, NULL);
    pthread_mutex_init(&shim->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&shim->answered, &attr);
    pthread_condattr_destroy(&attr);
    return shim;
}

static void tell_exec(struct shim *shim, const struct wire_field *nested)
{
    CLEANUP_FREE char *exec_id = NULL, *note = NULL;
    struct wire_reader reader;
    struct wire_field field;
    uint64_t pid = 0, guest_pid = 0;

    wire_nested(nested, &reader);
    while (wire_next(&reader, &field)) {
        switch (field.tag) {
        case RPC_TAG_EXEC_ID:
            free(exec_id);
            exec_id = wire_string(&reader, &field);
            break;
        case RPC_TAG_NOTE:
            free(note);
            note = wire_string(&reader, &field);
            break;
        case RPC_TAG_PID: pid = wire_u64(&reader, &field); break;
        case RPC_TAG_GUEST_PID: guest_pid = wire_u64(&reader, &field); break;
        default: break;
        }
    }
    if (!wire_ok(&reader) || !exec_id || pid > INT32_MAX || guest_pid > INT32_MAX)
        return;
    const struct shim_exec exec = {exec_id, note ? note : "", (pid_t)pid, (pid_t)guest_pid};
    shim->events.exec_found(shim->user, &exec);
}

static void tell_execs(struct shim *shim, const struct rpc_frame *status)
{
    struct wire_reader reader;
    struct wire_field field;

    wire_read(&reader, status->body, status->length);
    while (shim->events.exec_found && wire_next(&reader, &field))
        if (field.tag == RPC_TAG_EXEC)
            tell_exec(shim, &field);
}

int shim_reattach(const struct shim_spec *spec, struct loop *loop, const struct shim_events *events, void *user,
                  struct shim **ret, struct error *err)
{
    CLEANUP(rpc_decoder_free) struct rpc_decoder decoder = {0};
    CLEANUP_STR struct str question = STR_INIT;
    CLEANUP_CLOSE int fd = -EBADF;
    struct rpc_frame frame;
    struct shim *shim;
    pid_t pid = 0;
    int r = connect_shim(spec->dir, &fd);

    if (r == -ENOENT || r == -ECONNREFUSED)
        return error_set(err, -r, "container %.12s has no shim", spec->id);
    wire_put_bool(&question, RPC_TAG_EXECS, true);
    if (r == 0)
        r = rpc_send(fd, RPC_STATUS, 0, 1, question.data, question.length);
    if (r == 0)
        r = receive_hello(fd, &decoder, &pid);
    if (r < 0)
        return error_errno(err, -r, "cannot reach the shim of container %.12s", spec->id);
    shim = shim__new(spec, loop, events, user);
    shim->pid = pid;
    shim->next_id = 1;
    /* An end that happens at just this time is told beside the status; the status
     * has it, too, or comes first. */
    do {
        r = rpc_receive(fd, &decoder, &frame, SHIM_TIMEOUT_MS);
        if (r == 0 && frame.type == RPC_EXITED) {
            size_t mark = wire_begin(&shim->missed, RPC_TAG_EXITED);

            str_append_n(&shim->missed, frame.body, frame.length);
            wire_end(&shim->missed, mark);
        }
    } while (r == 0 && !(frame.flags & RPC_REPLY));
    if (r == 0 && frame.flags & RPC_ERROR)
        r = -EPROTO;
    if (r < 0) {
        shim->fd = TAKE_FD(fd);
        shim__end(shim);
        return error_errno(err, -r, "cannot reach the shim of container %.12s", spec->id);
    }
    tell_execs(shim, &frame);
    str_append_n(&shim->missed, frame.length ? (const void *)frame.body : "", frame.length);
    shim->fd = TAKE_FD(fd);
    fd_set_nonblock(shim->fd, true);
    loop_post(loop, shim__begin, shim);
    *ret = shim;
    return 0;
}

void shim_free(struct shim *shim)
{
    if (!shim)
        return;
    pthread_mutex_lock(&shim->lock);
    shim->quiet = true;
    pthread_mutex_unlock(&shim->lock);
    loop_post(shim->loop, shim__end, shim);
}

pid_t shim_pid(const struct shim *shim)
{
    return shim->pid;
}

void shim_shutdown(struct shim *shim)
{
    CLEANUP_STR struct str out = STR_INIT;
    bool gone;

    rpc_encode(&out, RPC_SHUTDOWN, 0, 0, NULL, 0);
    pthread_mutex_lock(&shim->lock);
    gone = shim->lost || shim->quiet;
    shim->quiet = true;
    pthread_mutex_unlock(&shim->lock);
    if (!gone)
        write_request(shim, &out);
}
