/* server.c - who is connected, what they ask, what they get. Owner: shim.
 *
 * A connection begins with RPC_HELLO both ways. It is then a conversation of
 * requests and replies until RPC_ATTACH turns it into a stream. Only root and
 * our own user may connect; what they send is checked all the same.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/path.h"
#include "shim/shim.h"
#include "tabique/error.h"

#define CONTROL_QUEUE_MAX (16u << 20) /* a server that does not read its replies */
#define SYNC_NS NS_PER_SEC

/* --- writing -------------------------------------------------------------------------- */
static void peer_free(struct shim_peer *peer);
static void peer_read(struct shim_peer *peer);

static void peer_watch(struct shim_peer *peer)
{
    uint32_t events = 0;

    if (!peer->waiting)
        events |= EPOLLIN;
    if (peer->out_sent < peer->out.length || peer->resumed)
        events |= EPOLLOUT;
    loop_set_events(peer->source, events);
}

/* Gives false when the peer is gone. */
static bool peer_flush(struct shim_peer *peer)
{
    while (peer->out_sent < peer->out.length) {
        ssize_t n = send(peer->fd, peer->out.data + peer->out_sent, peer->out.length - peer->out_sent, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0) {
            peer_free(peer);
            return false;
        }
        peer->out_sent += (size_t)n;
    }
    if (peer->out_sent == peer->out.length) {
        if (peer->out.capacity > 4096)
            str_free(&peer->out);
        else
            str_clear(&peer->out);
        peer->out_sent = 0;
        if (peer->closing) {
            peer_free(peer);
            return false;
        }
    } else if (peer->out_sent > SHIM_QUEUE_LIMIT) {
        memmove(peer->out.data, peer->out.data + peer->out_sent, peer->out.length - peer->out_sent);
        peer->out.length -= peer->out_sent;
        peer->out_sent = 0;
    }
    peer_watch(peer);
    return true;
}

static void peer_free(struct shim_peer *peer)
{
    struct shim *shim = peer->shim;
    struct shim_process *p = peer->attached;
    struct shim_peer **at = &shim->peers;

    while (*at != peer)
        at = &(*at)->next;
    *at = peer->next;
    shim->peer_count--;
    if (peer->job && shim->instance)
        shim->wall->transfer_cancel(shim->instance, peer->job);
    loop_remove(peer->source);
    close(peer->fd);
    rpc_decoder_free(&peer->decoder);
    str_free(&peer->out);
    if (p) {
        bool once = p->exec_id[0] || shim->options.stdin_once;

        /* A client that leaves takes stdin along if it was the one meant to feed
         * it; from a terminal one may detach and come back. */
        if (peer->streams & 1 && once && !p->tty && !p->exited)
            shim_process_input_end(p);
        shim_process_pace(p);
    }
    free(peer);
    shim_server_quit_if_done(shim);
}

static void send_frame(struct shim_peer *peer, uint16_t type, uint16_t flags, uint64_t id, const struct str *body)
{
    rpc_encode(&peer->out, type, flags, id, body ? body->data : NULL, body ? body->length : 0);
}

/* --- to those attached ------------------------------------------------------------------- */
void shim_server_output(struct shim_process *process, int stream, const void *data, size_t length)
{
    for (struct shim_peer *peer = process->shim->peers, *next; peer; peer = next) {
        next = peer->next;
        if (peer->attached != process || peer->closing || !(peer->streams & 1u << stream))
            continue;
        rpc_encode(&peer->out, RPC_STREAM, 0, (uint64_t)stream, data, length);
        (void)peer_flush(peer);
    }
}

void shim_server_stream_end(struct shim_process *process, int stream)
{
    shim_server_output(process, stream, NULL, 0);
}

void shim_server_detach_all(struct shim_process *process)
{
    for (struct shim_peer *peer = process->shim->peers, *next; peer; peer = next) {
        next = peer->next;
        if (peer->attached != process)
            continue;
        peer->closing = true;
        peer->waiting = false;
        (void)peer_flush(peer);
    }
}

void shim_server_orphan(struct shim_process *process)
{
    for (struct shim_peer *peer = process->shim->peers; peer; peer = peer->next) {
        if (peer->attached == process) {
            peer->attached = NULL;
            peer->closing = true;
        }
    }
}

size_t shim_server_longest_queue(const struct shim_process *process)
{
    size_t longest = 0;

    for (const struct shim_peer *peer = process->shim->peers; peer; peer = peer->next) {
        size_t queued = peer->out.length - peer->out_sent;

        if (peer->attached == process && queued > longest)
            longest = queued;
    }
    return longest;
}

void shim_server_resume_input(struct shim_process *process)
{
    for (struct shim_peer *peer = process->shim->peers; peer; peer = peer->next) {
        if (peer->attached == process && peer->waiting) {
            /* What is decoded already is taken up by the next readiness to write, of which
             * nothing that is sent meanwhile may make it forget. */
            peer->waiting = false;
            peer->resumed = true;
            peer_watch(peer);
        }
    }
}

/* --- telling ---------------------------------------------------------------------------------- */
static void put_exit(struct str *body, const struct shim_process *p)
{
    wire_put_string(body, RPC_TAG_EXEC_ID, p->exec_id);
    wire_put_u64(body, RPC_TAG_STATUS, (uint64_t)p->status);
    wire_put_i64(body, RPC_TAG_TIME, p->time_ns);
    wire_put_bool(body, RPC_TAG_OOM, p->oom);
    if (!p->exec_id[0] && p->shim->lost)
        wire_put_string(body, RPC_TAG_MESSAGE, p->shim->lost);
}

static void tell_all(struct shim *shim, uint16_t type, const struct str *body)
{
    for (struct shim_peer *peer = shim->peers, *next; peer; peer = next) {
        next = peer->next;
        if (peer->attached || peer->job || !peer->greeted || peer->closing)
            continue;
        send_frame(peer, type, 0, 0, body);
        (void)peer_flush(peer);
    }
}

void shim_server_tell_exit(struct shim *shim, const struct shim_process *process)
{
    CLEANUP_STR struct str body = STR_INIT;

    put_exit(&body, process);
    tell_all(shim, RPC_EXITED, &body);
}

static void on_exited(void *user, const char *exec_id, int status, bool oom_killed)
{
    struct shim_process *p = shim_process_find(user, exec_id);

    if (p && p->started && !p->exited)
        shim_process_exited(p, status, oom_killed);
}

static void on_oom(void *user)
{
    tell_all(user, RPC_OOM, NULL);
}

/* The wall fell: everything behind it is over. */
static void on_lost(void *user, const char *reason, int status)
{
    struct shim *shim = user;

    shim->lost = mem_strdup(reason);
    for (struct shim_process *p = shim->processes, *next; p; p = next) {
        next = p->next;
        if (p->started && !p->exited)
            shim_process_exited(p, status, false);
    }
}

const struct isolation_events shim_events = {.exited = on_exited, .oom = on_oom, .lost = on_lost};

/* --- requests ------------------------------------------------------------------------------------ */
struct request {
    struct shim *shim;
    struct shim_peer *peer;
    const struct rpc_frame *frame;
    char *exec_id;
    const uint8_t *plan, *process, *limits, *note;
    size_t plan_length, process_length, limits_length, note_length;
    uint64_t pid, ticks, signal, rows, cols, streams, version, seen;
    bool has_pid, has_seen, frozen, execs, exec_failed;
    bool answered; /* its reply is queued already: more follows it */
    int fd; /* to go with the reply */
};

static bool parse(struct request *q)
{
    struct wire_reader reader;
    struct wire_field field;

    wire_read(&reader, q->frame->body, q->frame->length);
    while (wire_next(&reader, &field)) {
        switch (field.tag) {
        case RPC_TAG_VERSION: q->version = wire_u64(&reader, &field); break;
        case RPC_TAG_EXEC_ID:
            free(q->exec_id);
            q->exec_id = wire_string(&reader, &field);
            if (q->exec_id && strlen(q->exec_id) > 128)
                return false;
            break;
        case RPC_TAG_PLAN: q->plan = field.data; q->plan_length = field.length; break;
        case RPC_TAG_PROCESS: q->process = field.data; q->process_length = field.length; break;
        case RPC_TAG_LIMITS: q->limits = field.data; q->limits_length = field.length; break;
        case RPC_TAG_PID: q->pid = wire_u64(&reader, &field); q->has_pid = true; break;
        case RPC_TAG_START_TICKS: q->ticks = wire_u64(&reader, &field); break;
        case RPC_TAG_SIGNAL: q->signal = wire_u64(&reader, &field); break;
        case RPC_TAG_ROWS: q->rows = wire_u64(&reader, &field); break;
        case RPC_TAG_COLS: q->cols = wire_u64(&reader, &field); break;
        case RPC_TAG_STREAMS: q->streams = wire_u64(&reader, &field); break;
        case RPC_TAG_SEEN: q->seen = wire_u64(&reader, &field); q->has_seen = true; break;
        case RPC_TAG_NOTE: q->note = field.data; q->note_length = field.length; break;
        case RPC_TAG_EXECS: q->execs = wire_bool(&reader, &field); break;
        case RPC_TAG_FROZEN: q->frozen = wire_bool(&reader, &field); break;
        default: break;
        }
    }
    return wire_ok(&reader);
}

static void put_started(struct str *reply, const struct shim_process *p)
{
    wire_put_u64(reply, RPC_TAG_PID, (uint64_t)p->pid);
    wire_put_u64(reply, RPC_TAG_START_TICKS, p->start_ticks);
    if (p->guest_pid)
        wire_put_u64(reply, RPC_TAG_GUEST_PID, (uint64_t)p->guest_pid);
}

static int need_running(struct shim *shim, struct error *err)
{
    const struct shim_process *own = shim_process_find(shim, "");

    if (!shim->instance || !own->started || own->exited)
        return error_set(err, ESRCH, "the container is not running");
    return 0;
}

/* What the start took is not needed again, and we may live for months. Behind the reply. */
static void give_memory_back(void *user)
{
    (void)user;
    malloc_trim(0);
}

static int do_start(struct request *q, struct str *reply, struct error *err)
{
    struct shim *shim = q->shim;
    struct shim_process *own = shim_process_find(shim, "");
    struct isolation_process started = {.pty_fd = -EBADF, .stdio = {-EBADF, -EBADF, -EBADF}};
    CLEANUP(plan_freep) struct plan *plan = NULL;
    int r;

    if (own->started)
        return error_set(err, EEXIST, "the container has been started already");
    if (!q->plan || plan_decode(q->plan, q->plan_length, &plan) < 0)
        return error_set(err, EBADMSG, "the plan is malformed");
    if (!shim->options.open_stdin && !plan->process.tty)
        plan->process.no_stdin = true;
    if (!shim->instance) {
        r = shim->wall->open(shim->options.id, shim->options.dir, shim->loop, &shim_events, shim, &shim->instance, err);
        if (r < 0)
            return r;
    }
    r = shim->wall->start(shim->instance, plan, &started, err);
    if (r < 0) {
        q->exec_failed = started.exec_failed;
        shim_process_failed(own);
        return r;
    }
    shim_process_started(own, &started, plan->process.tty);
    put_started(reply, own);
    loop_post(shim->loop, give_memory_back, NULL);
    return 0;
}

static int do_exec(struct request *q, struct str *reply, struct error *err)
{
    struct isolation_process started = {.pty_fd = -EBADF, .stdio = {-EBADF, -EBADF, -EBADF}};
    struct plan_process process;
    struct shim_process *p;
    bool tty;
    int r = need_running(q->shim, err);

    if (r < 0)
        return r;
    if (!q->exec_id || !*q->exec_id)
        return error_set(err, EINVAL, "an exec needs an id");
    p = shim_process_find(q->shim, q->exec_id);
    if (p && p->started)
        return error_set(err, EEXIST, "exec %s has been started already", q->exec_id);
    if (!q->process || plan_process_decode(q->process, q->process_length, &process) < 0)
        return error_set(err, EBADMSG, "the process is malformed");
    if (!p)
        p = shim_process_add(q->shim, q->exec_id);
    if (p && q->note_length <= SHIM_NOTE_MAX) {
        str_clear(&p->note);
        str_append_n(&p->note, q->note ? (const void *)q->note : "", q->note_length);
    }
    if (!p)
        r = error_set(err, EAGAIN, "too many execs in this container");
    else
        r = q->shim->wall->exec(q->shim->instance, q->exec_id, &process, &started, err);
    tty = process.tty;
    plan_process_clear(&process);
    if (r < 0) {
        q->exec_failed = started.exec_failed;
        if (p) {
            shim_process_failed(p);
            shim_process_free(p);
        }
        return r;
    }
    shim_process_started(p, &started, tty);
    put_started(reply, p);
    return 0;
}

static int do_signal(struct request *q, struct str *reply, struct error *err)
{
    int r = need_running(q->shim, err);

    if (r == 0 && q->signal > 64)
        r = error_set(err, EINVAL, "invalid signal");
    if (r < 0)
        return r;
    if (q->has_pid)
        return q->pid < 1 || q->pid > 0x400000
                   ? error_set(err, EINVAL, "invalid pid")
                   : q->shim->wall->signal_pid(q->shim->instance, (pid_t)q->pid, q->ticks, (int)q->signal, err);
    return q->shim->wall->signal(q->shim->instance, q->exec_id, (int)q->signal, err);
}

static int do_resize(struct request *q, struct str *reply, struct error *err)
{
    int r = need_running(q->shim, err);

    if (r == 0 && (q->rows > UINT16_MAX || q->cols > UINT16_MAX))
        r = error_set(err, EINVAL, "invalid terminal size");
    return r < 0 ? r : q->shim->wall->resize(q->shim->instance, q->exec_id, (uint16_t)q->rows, (uint16_t)q->cols, err);
}

static int do_processes(struct request *q, struct str *reply, struct error *err)
{
    int r = need_running(q->shim, err);

    return r < 0 ? r : q->shim->wall->processes(q->shim->instance, reply, err);
}

static int do_stats(struct request *q, struct str *reply, struct error *err)
{
    struct cgroup_stats stats;
    size_t mark;
    int r = need_running(q->shim, err);

    if (r == 0)
        r = q->shim->wall->stats(q->shim->instance, &stats, err);
    if (r < 0)
        return r;
    mark = wire_begin(reply, RPC_TAG_STATS);
    cgroup_stats_encode(&stats, reply);
    wire_end(reply, mark);
    return 0;
}

static int do_freeze(struct request *q, struct str *reply, struct error *err)
{
    int r = need_running(q->shim, err);

    return r < 0 ? r : q->shim->wall->freeze(q->shim->instance, q->frozen, err);
}

static int do_update(struct request *q, struct str *reply, struct error *err)
{
    struct plan_limits limits;
    int r = need_running(q->shim, err);

    if (r < 0)
        return r;
    if (!q->limits || plan_limits_decode(q->limits, q->limits_length, &limits) < 0)
        return error_set(err, EBADMSG, "the limits are malformed");
    r = q->shim->wall->update(q->shim->instance, &limits, err);
    plan_limits_clear(&limits);
    return r;
}

static int do_network(struct request *q, struct str *reply, struct error *err)
{
    int r = need_running(q->shim, err);

    return r < 0 || !q->shim->wall->network ? r : q->shim->wall->network(q->shim->instance, err);
}

static int do_root(struct request *q, struct str *reply, struct error *err)
{
    int r = need_running(q->shim, err);

    return r < 0 ? r : q->shim->wall->root(q->shim->instance, &q->fd, err);
}

/* A terminal has one who sits at it: who comes back takes it over from the connection
 * that he lost, which may not know yet that it is dead, and would hold up the output. */
static int rejoin(struct request *q, struct shim_process *p, struct str *reply, struct error *err)
{
    const char *kept;
    size_t length;
    uint64_t from;

    if (!p || !p->exec_id[0] || !p->started || shim_process_streams_ended(p))
        return error_set(err, ESRCH, "exec %s does not run", q->exec_id ? q->exec_id : "");
    if (!p->tty)
        return error_set(err, EINVAL, "exec %s has no terminal", p->exec_id);
    for (struct shim_peer *peer = q->shim->peers, *next; peer; peer = next) {
        next = peer->next;
        if (peer->attached == p)
            peer_free(peer);
    }
    q->peer->attached = p;
    q->peer->streams = (unsigned)q->streams;
    shim_process_kept(p, q->seen, &from, &kept, &length);
    wire_put_u64(reply, RPC_TAG_SEEN, from);
    wire_put_u64(reply, RPC_TAG_SIZE, p->said);
    send_frame(q->peer, RPC_ATTACH, RPC_REPLY, q->frame->id, reply);
    for (size_t part; length; kept += part, length -= part) {
        part = length < RPC_STREAM_CHUNK ? length : RPC_STREAM_CHUNK;
        rpc_encode(&q->peer->out, RPC_STREAM, 0, 1, kept, part);
    }
    q->answered = true;
    return 0;
}

static int do_attach(struct request *q, struct str *reply, struct error *err)
{
    const char *exec_id = q->exec_id ? q->exec_id : "";
    struct shim_process *p = shim_process_find(q->shim, exec_id);

    if (q->streams == 0 || q->streams > 7)
        return error_set(err, EINVAL, "invalid set of streams");
    if (q->has_seen)
        return rejoin(q, p, reply, err);
    if (!p) /* an exec that is about to be started: nothing of its output is lost */
        p = shim_process_add(q->shim, exec_id);
    if (!p)
        return error_set(err, EAGAIN, "too many execs in this container");
    q->peer->attached = p;
    q->peer->streams = (unsigned)q->streams;
    return 0;
}

static int do_status(struct request *q, struct str *reply, struct error *err)
{
    const struct shim_process *own = shim_process_find(q->shim, "");

    if (own->started && own->pid)
        put_started(reply, own);
    for (const struct shim_process *p = q->shim->processes; p; p = p->next) {
        size_t mark;

        if (q->execs && p->exec_id[0] && p->pid) {
            mark = wire_begin(reply, RPC_TAG_EXEC);
            wire_put_string(reply, RPC_TAG_EXEC_ID, p->exec_id);
            wire_put_bytes(reply, RPC_TAG_NOTE, p->note.data, p->note.length);
            put_started(reply, p);
            wire_end(reply, mark);
        }
        if (!p->announced || !p->pid)
            continue;
        mark = wire_begin(reply, RPC_TAG_EXITED);
        put_exit(reply, p);
        wire_end(reply, mark);
    }
    return 0;
}

/* --- behind a thick wall: files ------------------------------------------------------ */

static int do_mount(struct request *q, struct str *reply, struct error *err)
{
    struct shim *shim = q->shim;
    CLEANUP(plan_freep) struct plan *plan = NULL;
    int r;

    if (!shim->wall->mount)
        return error_set(err, ENOTSUP, "%s isolation has its files on the host", shim->wall->name);
    if (shim->mounted || shim_process_find(shim, "")->started)
        return error_set(err, EEXIST, "the container has been started already");
    if (!q->plan || plan_decode(q->plan, q->plan_length, &plan) < 0)
        return error_set(err, EBADMSG, "the plan is malformed");
    r = 0;
    if (!shim->instance) /* one made ahead has it */
        r = shim->wall->open(shim->options.id, shim->options.dir, shim->loop, &shim_events, shim, &shim->instance, err);
    if (r >= 0)
        r = shim->wall->mount(shim->instance, plan, err);
    shim->mounted = r >= 0;
    return r;
}

static void transfer_done(void *user, const struct error *err, const void *body, size_t length)
{
    struct shim_peer *peer = user;

    if (err->code)
        rpc_encode_error(&peer->out, peer->job_type, peer->job_request, err, false);
    else
        rpc_encode(&peer->out, peer->job_type, RPC_REPLY, peer->job_request, body, length);
    peer->job = 0;
    peer->closing = true;
    peer_watch(peer); /* it goes when this has been sent, from the loop: we may be called from anywhere */
}

/* The first reply carries a socket for the data; a second one comes at the end. */
static int do_transfer(struct request *q, struct str *reply, struct error *err)
{
    struct shim *shim = q->shim;
    struct shim_peer *peer = q->peer;
    int pair[2];
    int r = shim->mounted ? 0 : need_running(shim, err);

    if (r < 0)
        return r;
    if (!shim->wall->transfer)
        return error_set(err, ENOTSUP, "%s isolation has its files on the host", shim->wall->name);
    if (peer->job)
        return error_set(err, EBUSY, "one archive per connection");
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return error_errno(err, errno, "cannot make a socket pair");
    r = shim->wall->transfer(shim->instance, q->frame->type, q->frame->body, q->frame->length, pair[0], transfer_done,
                             peer, &peer->job, err);
    if (r < 0) {
        close(pair[1]);
        return r;
    }
    peer->job_type = q->frame->type;
    peer->job_request = q->frame->id;
    q->fd = pair[1];
    return 0;
}

static int do_ping(struct request *q, struct str *reply, struct error *err)
{
    return 0;
}

static const struct {
    uint16_t type;
    int (*run)(struct request *q, struct str *reply, struct error *err);
} requests[] = {
    {RPC_START, do_start},         {RPC_EXEC, do_exec},     {RPC_SIGNAL, do_signal}, {RPC_RESIZE, do_resize},
    {RPC_PROCESSES, do_processes}, {RPC_STATS, do_stats},   {RPC_FREEZE, do_freeze}, {RPC_UPDATE, do_update},
    {RPC_ATTACH, do_attach},       {RPC_STATUS, do_status}, {RPC_ROOT, do_root},     {RPC_PING, do_ping},
    {RPC_NETWORK, do_network},     {RPC_MOUNT, do_mount},
    {RPC_ARCHIVE_GET, do_transfer}, {RPC_ARCHIVE_PUT, do_transfer},
    {RPC_ARCHIVE_STAT, do_transfer}, {RPC_CHANGES, do_transfer}, {RPC_ARCHIVE_LIST, do_transfer},
};

static void reply_with_fd(struct shim_peer *peer, const struct rpc_frame *frame, int fd)
{
    CLEANUP_STR struct str out = STR_INIT;

    rpc_encode(&out, frame->type, RPC_REPLY, frame->id, NULL, 0);
    /* A connection of its own with nothing queued: it fits the socket's buffer. */
    (void)fd_send(peer->fd, out.data, out.length, &fd, 1);
}

static bool answer(struct shim_peer *peer, const struct rpc_frame *frame)
{
    CLEANUP_STR struct str reply = STR_INIT;
    struct error err = ERROR_INIT;
    struct request q = {.shim = peer->shim, .peer = peer, .frame = frame, .fd = -EBADF};
    int r = -ENOTSUP;

    if (!parse(&q)) {
        free(q.exec_id);
        return false;
    }
    error_set(&err, ENOTSUP, "request %u is unknown to this shim", frame->type);
    for (size_t i = 0; i < ARRAY_SIZE(requests); i++)
        if (requests[i].type == frame->type)
            r = requests[i].run(&q, &reply, &err);
    free(q.exec_id);
    if (q.fd >= 0) {
        reply_with_fd(peer, frame, q.fd);
        close(q.fd);
    } else if (r < 0) {
        if (err.code == 0)
            err.code = -r;
        rpc_encode_error(&peer->out, frame->type, frame->id, &err, q.exec_failed);
    } else if (!q.answered) {
        send_frame(peer, frame->type, RPC_REPLY, frame->id, &reply);
    }
    return true;
}

static bool greet(struct shim_peer *peer, const struct rpc_frame *frame)
{
    struct request q = {.frame = frame};
    struct error err = ERROR_INIT;
    bool good = frame->type == RPC_HELLO && parse(&q);

    free(q.exec_id);
    if (!good)
        return false;
    if (q.version != RPC_VERSION) {
        error_set(&err, EPROTO, "this shim speaks version %d, not %llu", RPC_VERSION, (unsigned long long)q.version);
        rpc_encode_error(&peer->out, RPC_HELLO, frame->id, &err, false);
        peer->closing = true;
        return true;
    }
    peer->greeted = true;
    return true;
}

static void say_hello(struct shim_peer *peer)
{
    CLEANUP_STR struct str body = STR_INIT;

    wire_put_u64(&body, RPC_TAG_VERSION, RPC_VERSION);
    wire_put_string(&body, RPC_TAG_PROGRAM, "tabique-shim " TABIQUE_VERSION);
    wire_put_u64(&body, RPC_TAG_PID, (uint64_t)getpid());
    send_frame(peer, RPC_HELLO, 0, 0, &body);
}

/* --- reading ------------------------------------------------------------------------------------------ */
static bool take_stream(struct shim_peer *peer, const struct rpc_frame *frame)
{
    struct shim_process *p = peer->attached;

    if (frame->type != RPC_STREAM || frame->id != 0 || !(peer->streams & 1))
        return false;
    if (frame->length) {
        (void)shim_process_input(p, frame->body, frame->length);
        peer->waiting = shim_process_input_full(p);
    } else if ((p->exec_id[0] || peer->shim->options.stdin_once) && !p->tty) {
        shim_process_input_end(p);
    }
    return true;
}

/* Frames that are there, as long as they may be taken. False: the peer is to go. */
static bool take_frames(struct shim_peer *peer)
{
    struct rpc_frame frame;
    int r = 0;

    while (!peer->waiting && !peer->closing && (r = rpc_decoder_next(&peer->decoder, &frame)) > 0) {
        bool good;

        if (!peer->greeted)
            good = greet(peer, &frame);
        else if (peer->attached)
            good = take_stream(peer, &frame);
        else if (frame.flags != 0)
            good = false; /* we ask nothing, so there is nothing to answer */
        else if (frame.type == RPC_SHUTDOWN)
            good = peer->shim->shutting_down = true;
        else
            good = answer(peer, &frame);
        if (!good)
            return false;
    }
    return r >= 0;
}

static void peer_read(struct shim_peer *peer)
{
    struct shim *shim = peer->shim;
    char buffer[16384];
    ssize_t n = recv(peer->fd, buffer, sizeof(buffer), MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        n = 0;
    } else if (n <= 0 || rpc_decoder_feed(&peer->decoder, buffer, (size_t)n) < 0) {
        peer_free(peer);
        return;
    }
    if (!take_frames(peer)) {
        peer_free(peer);
        return;
    }
    if (!peer->attached && peer->out.length - peer->out_sent > CONTROL_QUEUE_MAX) {
        peer_free(peer);
        return;
    }
    if (peer_flush(peer) && peer->attached)
        shim_process_pace(peer->attached);
    shim_server_quit_if_done(shim);
}

static void on_peer(struct loop_source *source, int fd, uint32_t events, void *user)
{
    struct shim_peer *peer = user;
    struct shim_process *attached = peer->attached;

    peer->resumed = false;
    if (events & EPOLLOUT) {
        if (!peer_flush(peer))
            return;
        if (attached)
            shim_process_pace(attached);
    }
    if (peer->waiting) {
        if (events & (EPOLLHUP | EPOLLERR))
            peer_free(peer);
        return;
    }
    peer_read(peer);
}

static int peer_add(struct shim *shim, int fd)
{
    struct shim_peer *peer = mem_new(struct shim_peer);
    int r;

    peer->shim = shim;
    peer->fd = fd;
    fd_set_nonblock(fd, true);
    r = loop_add_fd(shim->loop, fd, EPOLLIN, on_peer, peer, &peer->source);
    if (r < 0) {
        close(fd);
        free(peer);
        return r;
    }
    peer->next = shim->peers;
    shim->peers = peer;
    shim->peer_count++;
    say_hello(peer);
    (void)peer_flush(peer);
    return 0;
}

static void on_connect(struct loop_source *source, int listening, uint32_t events, void *user)
{
    struct shim *shim = user;
    int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct ucred who = {0};
    socklen_t length = sizeof(who);

    if (fd < 0)
        return;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &length) < 0 || (who.uid != 0 && who.uid != geteuid()) ||
        shim->peer_count >= SHIM_PEERS_MAX) {
        close(fd);
        return;
    }
    (void)peer_add(shim, fd);
}

int shim_server_open(struct shim *shim, int listening, int first)
{
    int r;

    shim->listening = listening;
    fd_set_cloexec(listening, true);
    fd_set_cloexec(first, true);
    fd_set_nonblock(listening, true);
    r = loop_add_fd(shim->loop, listening, EPOLLIN, on_connect, shim, &shim->listening_source);
    return r < 0 ? r : peer_add(shim, first);
}

/* --- the end --------------------------------------------------------------------------------------------- */
static void close_wall(struct shim *shim)
{
    if (!shim->instance)
        return;
    shim->wall->close(shim->instance);
    shim->instance = NULL;
}

/* Behind all that somebody waits for, the server's next steps included: those write to
 * the same disk. A container that is gone by then needs no record. */
static void sync_record(struct loop_source *source, void *user)
{
    struct shim *shim = user;

    (void)source;
    if (shim->record_unsynced)
        shim_record_sync(shim->options.state_dir);
    shim->record_unsynced = false;
}

static void quit_if_done(void *user)
{
    struct shim *shim = user;
    const struct shim_process *own = shim_process_find(shim, "");

    shim->quit_posted = false;
    if (shim->record_unsynced && !shim->sync_timer)
        loop_add_timer(shim->loop, SYNC_NS, 0, sync_record, shim, &shim->sync_timer);
    bool attached = false, control = false, running = own->started && !own->announced;

    for (const struct shim_peer *peer = shim->peers; peer; peer = peer->next) {
        attached |= peer->attached && peer->out_sent < peer->out.length;
        control |= !peer->attached;
    }
    for (const struct shim_process *p = shim->processes; p; p = p->next)
        running |= p->started && !p->exited;
    if (shim->shutting_down) {
        /* The wall goes at once; we stay until the last client has the rest. */
        close_wall(shim);
        if (!attached) {
            sync_record(NULL, shim);
            loop_stop(shim->loop);
        }
    } else if (!running && !control && !attached) {
        /* No server, and all is recorded: the next one reads the record. */
        close_wall(shim);
        sync_record(NULL, shim);
        loop_stop(shim->loop);
    }
}

/* Not at once: whoever finds out may be called from inside the wall, which must not
 * be closed under its feet. */
void shim_server_quit_if_done(struct shim *shim)
{
    if (shim->quit_posted)
        return;
    shim->quit_posted = true;
    loop_post(shim->loop, quit_if_done, shim);
}
