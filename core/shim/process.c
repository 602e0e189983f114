/* process.c - stdio of one process, and its end. Owner: shim.
 *
 * Output goes to the log (the container's own only) and to everybody attached.
 * While one of them has more than SHIM_QUEUE_LIMIT waiting nobody reads the
 * process's output: the pipe fills and the process waits, as with Docker.
 *
 * The end, in this order, so that whoever hears of it finds the rest in place:
 * output drained and logged, exit record written, server told, clients' streams
 * ended, exit record synced.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/loop.h"
#include "base/mem.h"
#include "shim/shim.h"
#include "tabique/host.h"

#define READ_CHUNK (32u << 10)
#define DRAIN_LIMIT (4u << 20) /* a pipe's largest content, and some */
#define LINGER_NS (2 * NS_PER_SEC)

static char chunk[READ_CHUNK];

struct shim_process *shim_process_find(struct shim *shim, const char *exec_id)
{
    struct shim_process *p = shim->processes;

    while (p && !str_equal(p->exec_id, exec_id ? exec_id : ""))
        p = p->next;
    return p;
}

/* Ended execs are remembered for a server that comes back, but not for ever. */
static void forget_oldest(struct shim *shim)
{
    struct shim_process *oldest = NULL;

    for (struct shim_process *p = shim->processes; p; p = p->next)
        if (p->announced && p->exec_id[0] && shim_process_streams_ended(p))
            oldest = p;
    if (oldest)
        shim_process_free(oldest);
}

struct shim_process *shim_process_add(struct shim *shim, const char *exec_id)
{
    struct shim_process *p;

    if (shim->process_count >= SHIM_PROCESSES_MAX)
        forget_oldest(shim);
    if (shim->process_count >= SHIM_PROCESSES_MAX)
        return NULL;
    p = mem_new(struct shim_process);
    p->shim = shim;
    p->exec_id = mem_strdup(exec_id);
    p->input = -EBADF;
    for (int i = 0; i < 2; i++)
        p->output[i] = (struct shim_output){.process = p, .stream = i + 1, .fd = -EBADF};
    p->next = shim->processes;
    shim->processes = p;
    shim->process_count++;
    return p;
}

static void close_output(struct shim_output *o)
{
    loop_remove(o->source);
    o->source = NULL;
    if (o->fd >= 0)
        close(TAKE_FD(o->fd));
}

static void close_input(struct shim_process *p)
{
    loop_remove(p->input_source);
    p->input_source = NULL;
    if (p->input >= 0)
        close(TAKE_FD(p->input));
    str_free(&p->input_queue);
    p->input_sent = 0;
}

void shim_process_free(struct shim_process *p)
{
    struct shim_process **at = &p->shim->processes;

    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    p->shim->process_count--;
    shim_server_orphan(p);
    close_output(&p->output[0]);
    close_output(&p->output[1]);
    close_input(p);
    loop_remove(p->linger);
    free(p->exec_id);
    str_free(&p->note);
    str_free(&p->kept);
    free(p);
}

bool shim_process_streams_ended(const struct shim_process *p)
{
    return p->started && p->output[0].fd < 0 && p->output[1].fd < 0;
}

/* --- output ---------------------------------------------------------------------- */
static void announce(struct shim_process *p);
static void on_linger(struct loop_source *source, void *user);

static void output_ended(struct shim_output *o)
{
    struct shim_process *p = o->process;

    close_output(o);
    shim_server_stream_end(p, o->stream);
    if (!shim_process_streams_ended(p))
        return;
    if (p->exited && !p->announced)
        announce(p);
    /* Whoever sees the end of an exec's output asks for its status at once: those attached
     * are let go when that has been told. One that runs on without its output is not
     * waited for. */
    if (p->exec_id[0] && p->started && !p->exited && !p->linger &&
        loop_add_timer(p->shim->loop, LINGER_NS, 0, on_linger, p, &p->linger) == 0)
        return;
    shim_server_detach_all(p);
    shim_server_quit_if_done(p->shim);
}

/* A terminal's client may be cut off, and come back to a screen that is to be as if it
 * had never gone. Cut down only at twice its measure: moving bytes for each chunk costs. */
static void keep(struct shim_process *p, const char *data, size_t length)
{
    struct str *kept = &p->kept;

    p->said += length;
    str_append_n(kept, data, length);
    if (kept->length > 2 * SHIM_KEPT_MAX) {
        memmove(kept->data, kept->data + kept->length - SHIM_KEPT_MAX, SHIM_KEPT_MAX);
        kept->length = SHIM_KEPT_MAX;
    }
}

void shim_process_kept(const struct shim_process *p, uint64_t seen, uint64_t *ret_from, const char **ret, size_t *ret_length)
{
    size_t length = p->kept.length < SHIM_KEPT_MAX ? p->kept.length : SHIM_KEPT_MAX;

    if (seen <= p->said && p->said - seen < length)
        length = (size_t)(p->said - seen);
    *ret = p->kept.data + p->kept.length - length;
    *ret_length = length;
    *ret_from = p->said - length;
}

/* 1: read something; 0: nothing there at present; -1: ended (and dealt with). */
static int read_output(struct shim_output *o)
{
    struct shim_process *p = o->process;
    ssize_t n = read(o->fd, chunk, sizeof(chunk));

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n <= 0) {
        /* 0: a pipe's end. EIO: no process has the terminal open any more. */
        output_ended(o);
        return -1;
    }
    if (!p->exec_id[0])
        shim_log_write(&p->shim->log, o->stream - 1, chunk, (size_t)n);
    else if (p->tty)
        keep(p, chunk, (size_t)n);
    shim_server_output(p, o->stream, chunk, (size_t)n);
    return 1;
}

static void on_output(struct loop_source *source, int fd, uint32_t events, void *user)
{
    struct shim_output *o = user;
    struct shim_process *p = o->process;

    if (read_output(o) > 0)
        shim_process_pace(p);
}

void shim_process_pace(struct shim_process *p)
{
    size_t longest = shim_server_longest_queue(p);
    /* After the end the rest is read whatever the queues: it is bounded. */
    bool pause = !p->exited && longest > SHIM_QUEUE_LIMIT;

    if (pause == p->paused)
        return;
    p->paused = pause;
    for (int i = 0; i < 2; i++)
        if (p->output[i].source)
            loop_set_events(p->output[i].source, pause ? 0 : EPOLLIN);
}

/* --- input ------------------------------------------------------------------------- */
static void write_input(struct shim_process *p)
{
    while (p->input >= 0 && p->input_sent < p->input_queue.length) {
        ssize_t n = write(p->input, p->input_queue.data + p->input_sent, p->input_queue.length - p->input_sent);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0) { /* it has closed its stdin: what comes is swallowed */
            close_input(p);
            break;
        }
        p->input_sent += (size_t)n;
    }
    if (p->input_sent == p->input_queue.length) {
        if (p->input_queue.capacity > 4096)
            str_free(&p->input_queue);
        else
            str_clear(&p->input_queue);
        p->input_sent = 0;
        if (p->input_end && p->started)
            close_input(p);
    }
    if (p->input_source)
        loop_set_events(p->input_source, p->input_queue.length ? EPOLLOUT : 0);
    if (!shim_process_input_full(p))
        shim_server_resume_input(p);
}

static void on_input(struct loop_source *source, int fd, uint32_t events, void *user)
{
    write_input(user);
}

bool shim_process_input_full(const struct shim_process *p)
{
    return p->input_queue.length - p->input_sent >= SHIM_STDIN_LIMIT;
}

/* Somebody may want to write: an exec's stdin belongs to the one client that made it. Asked for
 * anew each time: a shim made ahead learns its container's options when it is adopted. */
static bool input_wanted(const struct shim_process *p)
{
    return p->exec_id[0] || p->shim->options.open_stdin;
}

bool shim_process_input(struct shim_process *p, const void *data, size_t length)
{
    /* Before its start there is no fd yet: it waits in the queue. */
    if (!input_wanted(p) || p->input_end || (p->started && p->input < 0))
        return false;
    str_append_n(&p->input_queue, data, length);
    if (p->started)
        write_input(p);
    return true;
}

void shim_process_input_end(struct shim_process *p)
{
    p->input_end = true;
    if (p->started)
        write_input(p);
}

/* --- life ------------------------------------------------------------------------------ */
static void watch(struct shim_process *p)
{
    for (int i = 0; i < 2; i++) {
        struct shim_output *o = &p->output[i];

        if (o->fd < 0)
            continue;
        fd_set_nonblock(o->fd, true);
        if (loop_add_fd(p->shim->loop, o->fd, EPOLLIN, on_output, o, &o->source) < 0)
            close_output(o);
    }
    if (p->input >= 0) {
        fd_set_nonblock(p->input, true);
        if (loop_add_fd(p->shim->loop, p->input, 0, on_input, p, &p->input_source) < 0)
            close_input(p);
    }
}

void shim_process_started(struct shim_process *p, const struct isolation_process *started, bool tty)
{
    p->started = true;
    p->tty = tty;
    p->pid = started->pid;
    p->guest_pid = started->guest_pid;
    p->start_ticks = process_start_ticks(started->pid);
    if (started->pty_fd >= 0) {
        p->output[0].fd = started->pty_fd;
        /* Its own number for the loop, which watches an fd once. */
        p->input = fcntl(started->pty_fd, F_DUPFD_CLOEXEC, 3);
    } else {
        p->input = started->stdio[0];
        p->output[0].fd = started->stdio[1];
        p->output[1].fd = started->stdio[2];
    }
    if (!input_wanted(p))
        close_input(p);
    watch(p);
    write_input(p);
}

void shim_process_failed(struct shim_process *p)
{
    p->started = p->exited = p->announced = true;
    shim_server_detach_all(p);
    close_input(p);
}

static void announce(struct shim_process *p)
{
    bool own = p->exec_id[0] == '\0';

    p->announced = true;
    loop_remove(p->linger);
    p->linger = NULL;
    if (own) {
        shim_log_flush(&p->shim->log);
        p->shim->record_unsynced =
            shim_record_write(p->shim->options.state_dir, p->status, p->oom, p->time_ns, p->shim->lost) == 0;
    }
    shim_server_tell_exit(p->shim, p);
}

/* Somebody who outlived the process holds its output open (a daemon started by
 * an exec; an fd passed out of the container), or it outlived its output. Docker waits
 * two seconds, too. */
static void on_linger(struct loop_source *source, void *user)
{
    struct shim_process *p = user;

    loop_remove(p->linger);
    p->linger = NULL;
    for (int i = 0; i < 2; i++)
        if (p->output[i].fd >= 0)
            output_ended(&p->output[i]);
    shim_server_detach_all(p);
    shim_server_quit_if_done(p->shim);
}

void shim_process_exited(struct shim_process *p, int status, bool oom)
{
    bool own = p->exec_id[0] == '\0';

    p->exited = true;
    p->status = status;
    p->oom = oom;
    p->time_ns = clock_real_ns();
    close_input(p);
    shim_process_pace(p);
    for (int i = 0; i < 2; i++)
        for (size_t got = 0; p->output[i].fd >= 0 && got < DRAIN_LIMIT && read_output(&p->output[i]) > 0;)
            got += READ_CHUNK;
    if (!shim_process_streams_ended(p)) {
        /* An exec's end is told at once; the container's own only when its log is
         * whole. */
        if (!own)
            announce(p);
        loop_add_timer(p->shim->loop, LINGER_NS, 0, on_linger, p, &p->linger);
    } else if (!p->announced) {
        announce(p);
        shim_server_detach_all(p);
    }
    shim_server_quit_if_done(p->shim);
}
