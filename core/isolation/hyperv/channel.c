/* channel.c - the conversation with one guest, and how it ends. See instance.h. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/loop.h"
#include "base/mem.h"
#include "isolation/hyperv/instance.h"

#define REQUEST_MS 30000
#define WORKER_END_MS 200
#define LAST_WORDS 600
#define STATUS_LOST 255 /* nobody can say how the process ended */
#define EXITS_MAX 1024

/* --- archive orders, which end some time ------------------------------------------------- */

struct job **hyperv__job_find(struct isolation_instance *instance, uint64_t id)
{
    struct job **at = &instance->jobs;

    while (*at && (*at)->id != id)
        at = &(*at)->next;
    return at;
}

static void job_end(struct isolation_instance *instance, struct job **at, const struct error *err, const void *body,
                    size_t length)
{
    struct job *job = *at;

    *at = job->next;
    /* Of a GET the rest of the data may still be on its way to the reader; of all
     * others nothing is wanted any more. */
    if (instance->mux && err->code)
        mux_remove(instance->mux, job->stream);
    job->done(job->user, err, body, length);
    free(job);
}

static void jobs_fail(struct isolation_instance *instance, const char *reason)
{
    struct error err = ERROR_INIT;

    error_set(&err, EPIPE, "%s", reason);
    while (instance->jobs)
        job_end(instance, &instance->jobs, &err, NULL, 0);
}

/* --- when the wall falls ---------------------------------------------------------------- */

/* The panic's own line if there is one (then true), else what was said last; on one line. */
static bool last_words(struct isolation_instance *instance, char *out, size_t size)
{
    const char *text = instance->console, *panic = NULL, *at = text;
    size_t written = 0;

    instance->console[instance->console_length < HYPERV_CONSOLE_KEEP ? instance->console_length : HYPERV_CONSOLE_KEEP - 1] = '\0';
    while ((at = strstr(at, "Kernel panic")))
        panic = at++;
    if (panic) {
        text = panic;
        instance->console[(size_t)(panic - instance->console) + strcspn(panic, "\r\n")] = '\0';
    } else if (instance->console_length > LAST_WORDS) {
        text += instance->console_length - LAST_WORDS;
    }
    for (; *text && written + 1 < size; text++)
        if (*text != '\r' && !(*text == '\n' && text[1] == '\0'))
            out[written++] = *text == '\n' ? ' ' : *text;
    out[written] = '\0';
    return panic != NULL;
}

/* The signal that ended the worker; 0: none did, or it still runs. It stays to be reaped. */
static int worker_signal(const struct isolation_instance *instance)
{
    siginfo_t info = {0};

    if (instance->vm.pidfd < 0 || waitid(P_PIDFD, (id_t)instance->vm.pidfd, &info, WEXITED | WNOHANG | WNOWAIT) < 0 ||
        info.si_pid == 0)
        return 0;
    return info.si_code == CLD_KILLED || info.si_code == CLD_DUMPED ? info.si_status : 0;
}

void hyperv__fall(struct isolation_instance *instance, const char *reason)
{
    char words[LAST_WORDS + 1], killed[100], text[ISOLATION_REASON_MAX];
    int signal_number = worker_signal(instance);

    if (instance->fallen || instance->ending)
        return;
    instance->fallen = true;
    bool panicked = last_words(instance, words, sizeof(words));
    bool oom = signal_number == SIGKILL && instance->cgroup && cgroup_oom_kills(instance->cgroup) > 0;
    if (signal_number) {
        snprintf(killed, sizeof(killed), "the machine's worker (vmwp) was killed%s (signal %d)",
                 oom ? ", the container's memory on the host being used up" : "", signal_number);
        reason = killed;
    } else if (panicked) {
        reason = "the guest's kernel panicked";
    }
    snprintf(text, sizeof(text), "%s%s%s", reason, *words ? "; its last words: " : "", words);
    str_make_printable(text);
    jobs_fail(instance, text);
    /* Whoever waits for an answer says why there is none. While it is being made nobody
     * has it yet: the maker tells. */
    error_set(&instance->fall, EPIPE, "%s", text);
    if (instance->raising)
        return;
    if (oom)
        instance->events.oom(instance->user);
    instance->events.lost(instance->user, text, signal_number ? 128 + signal_number : STATUS_LOST);
}

static void on_console(struct loop_source *source, int fd, uint32_t events, void *user)
{
    struct isolation_instance *instance = user;
    char chunk[1024];
    ssize_t n = recv(fd, chunk, sizeof(chunk), MSG_DONTWAIT);

    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        loop_remove(instance->console_watch);
        instance->console_watch = NULL;
    }
    if (n <= 0)
        return;
    /* The last lines only: what a panic says comes at the end. */
    if (instance->console_length + (size_t)n > HYPERV_CONSOLE_KEEP - 1) {
        size_t keep = HYPERV_CONSOLE_KEEP - 1 - (size_t)n;
        keep = keep < instance->console_length ? keep : instance->console_length;
        memmove(instance->console, instance->console + instance->console_length - keep, keep);
        instance->console_length = keep;
    }
    memcpy(instance->console + instance->console_length, chunk, (size_t)n);
    instance->console_length += (size_t)n;
}

static void on_worker_end(struct loop_source *source, int fd, uint32_t events, void *user)
{
    struct isolation_instance *instance = user;

    loop_remove(instance->worker_watch);
    instance->worker_watch = NULL;
    for (size_t before = SIZE_MAX; instance->console_watch && instance->console_length != before;) {
        before = instance->console_length;
        on_console(instance->console_watch, instance->vm.console_fd, EPOLLIN, instance);
    }
    hyperv__fall(instance, "the machine's worker (vmwp) has ended");
}

/* A worker that ends closes the channel first: its end is the better reason. */
static void on_broken(void *user, const char *reason)
{
    struct isolation_instance *instance = user;
    struct pollfd worker = {.fd = instance->vm.pidfd, .events = POLLIN};
    bool ended = worker.fd >= 0 && poll(&worker, 1, WORKER_END_MS) > 0;

    for (size_t before = SIZE_MAX; instance->console_watch && instance->console_length != before;) {
        before = instance->console_length;
        on_console(instance->console_watch, instance->vm.console_fd, EPOLLIN, instance);
    }
    hyperv__fall(instance, ended ? "the machine's worker (vmwp) has ended" : reason);
}

/* --- the conversation ---------------------------------------------------------------------- */

static void reply_received(struct isolation_instance *instance, const struct rpc_frame *frame)
{
    struct job **job = hyperv__job_find(instance, frame->id);

    if (*job) {
        struct error err = ERROR_INIT;
        bool unused;
        if (frame->flags & RPC_ERROR)
            (void)rpc_decode_error(frame, &err, &unused);
        job_end(instance, job, &err, frame->body, frame->length);
        return;
    }
    if (instance->pending.done || frame->id != instance->pending.id)
        return;
    instance->pending.done = true;
    if (frame->flags & RPC_ERROR)
        (void)rpc_decode_error(frame, &instance->pending.err, &instance->pending.exec_failed);
    else
        str_append_n(&instance->pending.body, frame->body, frame->length);
}

static void exit_received(struct isolation_instance *instance, const struct rpc_frame *frame)
{
    CLEANUP_FREE char *exec_id = NULL;
    struct wire_reader reader;
    struct wire_field field;
    uint64_t status = 255;
    bool oom = false;

    wire_read(&reader, frame->body, frame->length);
    while (wire_next(&reader, &field)) {
        if (field.tag == RPC_TAG_EXEC_ID && !exec_id)
            exec_id = wire_string(&reader, &field);
        else if (field.tag == RPC_TAG_STATUS)
            status = wire_u64(&reader, &field);
        else if (field.tag == RPC_TAG_OOM)
            oom = wire_bool(&reader, &field);
    }
    if (!wire_ok(&reader) || status > 255 || (exec_id && strlen(exec_id) > ID_LENGTH)) {
        hyperv__fall(instance, "the guest told of an exit that cannot be");
        return;
    }
    struct told_exit **at = &instance->exits;
    size_t count = 0;
    for (; *at; at = &(*at)->next)
        count++;
    if (count >= EXITS_MAX) {
        hyperv__fall(instance, "the guest tells of more exits than there are processes");
        return;
    }
    *at = mem_new(struct told_exit);
    snprintf((*at)->exec_id, sizeof((*at)->exec_id), "%s", exec_id ? exec_id : "");
    (*at)->status = (int)status;
    (*at)->oom = oom;
    loop_set_timer(instance->exits_due, 1, 0);
}

void hyperv__pass_on_exits(struct loop_source *source, void *user)
{
    struct isolation_instance *instance = user;

    while (instance->exits) {
        struct told_exit *told = instance->exits;
        instance->exits = told->next;
        instance->events.exited(instance->user, told->exec_id, told->status, told->oom);
        free(told);
    }
}

void hyperv__drop_exits(struct isolation_instance *instance)
{
    if (instance->exits)
        loop_set_timer(instance->exits_due, INT64_MAX / 2, 0);
    while (instance->exits) {
        struct told_exit *told = instance->exits;
        instance->exits = told->next;
        free(told);
    }
}

/* Each becomes an event for everybody who listens: a guest has no more than one a
 * second to give. */
static void oom_received(struct isolation_instance *instance)
{
    int64_t now = clock_mono_ns();

    if (instance->last_oom_ns && now - instance->last_oom_ns < NS_PER_SEC)
        return;
    instance->last_oom_ns = now;
    instance->events.oom(instance->user);
}

static void on_frame(void *user, const struct rpc_frame *frame)
{
    struct isolation_instance *instance = user;

    if (instance->fallen)
        return;
    if (frame->flags & RPC_REPLY)
        reply_received(instance, frame);
    else if (frame->type == RPC_EXITED)
        exit_received(instance, frame);
    else if (frame->type == RPC_OOM)
        oom_received(instance);
    else if (frame->type == RPC_RESOLVE && instance->resolver)
        resolver_ask(instance->resolver, frame->id, frame->body, frame->length);
    else if (frame->type != RPC_HELLO)
        hyperv__fall(instance, "the guest sent what it may not send");
}

static bool is_answered(void *user)
{
    struct isolation_instance *instance = user;

    return instance->pending.done || instance->fallen;
}

int hyperv__ask_within(struct isolation_instance *instance, uint16_t type, const struct str *body, int timeout_ms,
                      struct error *err)
{
    int r;

    if (instance->fallen || !instance->mux)
        return error_set(err, ESRCH, "%s", instance->fall.code ? instance->fall.message : "the container's machine is not running");
    str_clear(&instance->pending.body);
    instance->pending.id = ++instance->next_id;
    instance->pending.done = false;
    instance->pending.exec_failed = false;
    instance->pending.err = ERROR_INIT;
    mux_send(instance->mux, type, 0, instance->pending.id, body ? body->data : NULL, body ? body->length : 0);
    r = mux_wait(instance->mux, is_answered, instance, timeout_ms);
    if (r == -ETIMEDOUT)
        return error_set(err, ETIMEDOUT, "the guest did not answer in time");
    if (r < 0 || !instance->pending.done)
        return error_set(err, EPIPE, "%s", instance->fall.code ? instance->fall.message : "the machine was lost");
    if (instance->pending.err.code)
        return error_set(err, instance->pending.err.code, "%s", instance->pending.err.message);
    return 0;
}

int hyperv__ask(struct isolation_instance *instance, uint16_t type, const struct str *body, struct error *err)
{
    int r = hyperv__ask_within(instance, type, body, REQUEST_MS, err);

    if (r == -ETIMEDOUT)
        hyperv__fall(instance, "the guest does not answer any more");
    return r;
}

/* --- its beginning and its end ---------------------------------------------------------------- */

int hyperv__watch(struct isolation_instance *instance, struct error *err)
{
    static const struct mux_events events = {.frame = on_frame, .broken = on_broken};
    int r;

    r = mux_new(instance->loop, TAKE_FD(instance->vm.agent_fd), 0, &events, instance, &instance->mux);
    if (r >= 0)
        r = loop_add_fd(instance->loop, instance->vm.pidfd, EPOLLIN, on_worker_end, instance, &instance->worker_watch);
    if (r >= 0)
        r = loop_add_fd(instance->loop, instance->vm.console_fd, EPOLLIN, on_console, instance, &instance->console_watch);
    return r < 0 ? error_errno(err, -r, "cannot watch the machine") : 0;
}

static void on_monitor(struct loop_source *source, int fd, uint32_t events, void *user)
{
    struct isolation_instance *instance = user;

    if (qmp_drain(&instance->vm.qmp))
        return;
    loop_remove(instance->monitor_watch);
    instance->monitor_watch = NULL;
}

int hyperv__watch_monitor(struct isolation_instance *instance, struct error *err)
{
    int r = loop_add_fd(instance->loop, instance->vm.qmp.fd, EPOLLIN, on_monitor, instance, &instance->monitor_watch);

    return r < 0 ? error_errno(err, -r, "cannot watch the machine's monitor") : 0;
}

void hyperv__forget(struct isolation_instance *instance)
{
    jobs_fail(instance, "the machine was shut down");
    loop_remove(instance->worker_watch);
    loop_remove(instance->console_watch);
    loop_remove(instance->monitor_watch);
    instance->worker_watch = instance->console_watch = instance->monitor_watch = NULL;
    mux_free(instance->mux);
    instance->mux = NULL;
    vm_end(&instance->vm);
    if (instance->files_pid > 0) {
        kill(instance->files_pid, SIGKILL);
        (void)waitpid(instance->files_pid, NULL, 0);
        instance->files_pid = 0;
    }
}
