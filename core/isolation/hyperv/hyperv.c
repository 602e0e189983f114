/* hyperv.c - the thick wall: isolation_hyperv_ops.
 *
 * The shim asks, this file asks the agent in the guest, over one channel
 * (rpc/mux.h). A request blocks the shim until its answer, while the channel is
 * served; a guest that does not answer in time has lost its container. Everything
 * from the guest is checked: lengths and windows by the mux, statuses and pids
 * here.
 *
 * Start: image and scratch disks opened, tap made, worker spawned, machine
 * restored from the template (or booted, where there is none or it does not
 * answer), told who it is, and given the plan with host paths replaced. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/random.h"
#include "isolation/hyperv/hyperv.h"
#include "isolation/hyperv/resolver.h"
#include "isolation/hyperv/scratch.h"
#include "isolation/hyperv/setup.h"
#include "isolation/hyperv/shares.h"
#include "isolation/hyperv/tap.h"
#include "isolation/hyperv/vm.h"
#include "isolation/hyperv/worker.h"
#include "isolation/isolation.h"
#include "rpc/mux.h"
#include "tabique/error.h"

#define REQUEST_MS 30000
#define RESTORE_MS 15000
#define FIRST_ANSWER_MS 10000
#define BOOT_MS 90000
#define SHUTDOWN_MS 3000
#define WORKER_END_MS 200
#define CONSOLE_KEEP 8192 /* a panic's report is about half of it */
#define LAST_WORDS 600
#define STATUS_LOST 255 /* nobody can say how the process ended */
#define EXITS_MAX 1024
/* What the worker itself needs beside the guest's memory: translated code, its
 * own heap and stacks. Added to the container's limit on the host's side. */
#define WORKER_OVERHEAD (INT64_C(192) << 20)

static const char *machines_dir = "";
static const char *files_program = "";
static int template_memory_fd = -EBADF;

void hyperv_use(const char *dir, int memory_fd, const char *files)
{
    files_program = files;
    machines_dir = dir;
    template_memory_fd = memory_fd;
}

/* An archive order under way (rpc.h). */
struct job {
    struct job *next;
    uint64_t id, stream;
    isolation_done_fn *done;
    void *user;
};

/* An exit the guest told of while a request was being answered: a process can end
 * before the shim has been told that it began. Passed on from the loop. */
struct told_exit {
    struct told_exit *next;
    char exec_id[ID_LENGTH + 1];
    int status;
    bool oom;
};

struct isolation_instance {
    char *id;
    struct loop *loop;
    struct isolation_events events;
    void *user;
    struct machine_setup setup;
    int memory_fd; /* sealed template memory, from the server; -EBADF: boot cold */
    char *cgroup;
    struct vm vm;
    pid_t files_pid; /* tabique-files; 0: nothing is shared */
    struct mux *mux;
    struct resolver *resolver; /* NULL: no name server of ours on its networks */
    struct loop_source *worker_watch, *console_watch;
    char console[CONSOLE_KEEP];
    size_t console_length;
    uint64_t next_id, next_stream;
    struct job *jobs;
    struct told_exit *exits;
    struct loop_source *exits_due;
    int64_t last_oom_ns;
    bool fallen;
    bool ending;
    bool raising;
    struct error fall; /* why it fell while raising */
    struct { /* the request being waited for; one at a time */
        uint64_t id;
        bool done;
        struct error err;
        bool exec_failed;
        struct str body;
    } pending;
};

/* --- archive orders, which end some time ------------------------------------------------- */

static struct job **job_find(struct isolation_instance *instance, uint64_t id)
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

    instance->console[instance->console_length < CONSOLE_KEEP ? instance->console_length : CONSOLE_KEEP - 1] = '\0';
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

static void fall(struct isolation_instance *instance, const char *reason)
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
    /* While it is being made nobody has it yet: the maker tells. */
    if (instance->raising) {
        error_set(&instance->fall, EPIPE, "%s", text);
        return;
    }
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
    if (instance->console_length + (size_t)n > CONSOLE_KEEP - 1) {
        size_t keep = CONSOLE_KEEP - 1 - (size_t)n;
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
    fall(instance, "the machine's worker (vmwp) has ended");
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
    fall(instance, ended ? "the machine's worker (vmwp) has ended" : reason);
}

/* --- the conversation ---------------------------------------------------------------------- */

static void reply_received(struct isolation_instance *instance, const struct rpc_frame *frame)
{
    struct job **job = job_find(instance, frame->id);

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
        fall(instance, "the guest told of an exit that cannot be");
        return;
    }
    struct told_exit **at = &instance->exits;
    size_t count = 0;
    for (; *at; at = &(*at)->next)
        count++;
    if (count >= EXITS_MAX) {
        fall(instance, "the guest tells of more exits than there are processes");
        return;
    }
    *at = mem_new(struct told_exit);
    snprintf((*at)->exec_id, sizeof((*at)->exec_id), "%s", exec_id ? exec_id : "");
    (*at)->status = (int)status;
    (*at)->oom = oom;
    loop_set_timer(instance->exits_due, 1, 0);
}

static void pass_on_exits(struct loop_source *source, void *user)
{
    struct isolation_instance *instance = user;

    while (instance->exits) {
        struct told_exit *told = instance->exits;
        instance->exits = told->next;
        instance->events.exited(instance->user, told->exec_id, told->status, told->oom);
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
        fall(instance, "the guest sent what it may not send");
}

static bool is_answered(void *user)
{
    struct isolation_instance *instance = user;

    return instance->pending.done || instance->fallen;
}

/* Sends and waits. On success the reply's body is in pending.body until the next. */
static int ask_within(struct isolation_instance *instance, uint16_t type, const struct str *body, int timeout_ms,
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

static int ask(struct isolation_instance *instance, uint16_t type, const struct str *body, struct error *err)
{
    int r = ask_within(instance, type, body, REQUEST_MS, err);

    if (r == -ETIMEDOUT)
        fall(instance, "the guest does not answer any more");
    return r;
}

/* --- making the machine ------------------------------------------------------------------------ */

static int watch_machine(struct isolation_instance *instance, struct error *err)
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

static void forget_machine(struct isolation_instance *instance)
{
    jobs_fail(instance, "the machine was shut down");
    loop_remove(instance->worker_watch);
    loop_remove(instance->console_watch);
    instance->worker_watch = instance->console_watch = NULL;
    mux_free(instance->mux);
    instance->mux = NULL;
    vm_end(&instance->vm);
    if (instance->files_pid > 0) {
        kill(instance->files_pid, SIGKILL);
        (void)waitpid(instance->files_pid, NULL, 0);
        instance->files_pid = 0;
    }
}

/* First thing after waking: a clone has the template's random pool, clock and no
 * name. Its answer is also the proof that the machine lives. */
static int introduce(struct isolation_instance *instance, const struct plan *plan, const struct str *interfaces,
                     int timeout_ms, struct error *err)
{
    CLEANUP_STR struct str body = STR_INIT;
    uint8_t entropy[64];
    char machine_id[34];

    random_bytes(entropy, sizeof(entropy));
    wire_put_bytes(&body, RPC_TAG_ENTROPY, entropy, sizeof(entropy));
    wire_put_i64(&body, RPC_TAG_TIME, clock_real_ns());
    wire_put_string(&body, RPC_TAG_HOSTNAME, plan->hostname ? plan->hostname : "localhost");
    snprintf(machine_id, sizeof(machine_id), "%.32s\n", instance->id);
    wire_put_string(&body, RPC_TAG_MACHINE_ID, machine_id);
    wire_put_bool(&body, RPC_TAG_RESOLVER, instance->resolver != NULL);
    str_append_n(&body, interfaces->data ? interfaces->data : "", interfaces->length);
    return ask_within(instance, RPC_MACHINE, &body, timeout_ms, err);
}

static int make_machine(struct isolation_instance *instance, const struct plan *plan, bool boot, int image_fd,
                        int scratch_fd, const int *tap_fds, const struct str *interfaces, struct error *err)
{
    CLEANUP_FREE char *state_path = path_join(instance->setup.dir, "state");
    CLEANUP_CLOSE int state = -EBADF, memory = -EBADF;
    struct vm_spec spec = {.setup = &instance->setup, .id = instance->id, .cgroup = instance->cgroup,
                           .uid = worker_uid(instance->id), .boot = boot, .memory_fd = instance->memory_fd,
                           .image_fd = image_fd, .scratch_fd = scratch_fd};
    int r;

    memcpy(spec.tap_fds, tap_fds, sizeof(spec.tap_fds));
    if (boot) {
        memory = memfd_create(instance->id, MFD_CLOEXEC);
        if (memory < 0 || ftruncate(memory, (off_t)instance->setup.memory_bytes) < 0 ||
            fchown(memory, spec.uid, spec.uid) < 0 || fchmod(memory, 0600) < 0)
            return error_errno(err, errno, "cannot make the machine's memory");
        spec.memory_fd = memory;
    } else {
        state = open(state_path, O_RDONLY | O_CLOEXEC);
        if (state < 0)
            return error_errno(err, errno, "cannot open the template's state");
    }
    instance->raising = true;
    instance->fallen = false;
    instance->fall = ERROR_INIT;
    instance->console_length = 0;
    r = vm_start(&spec, &instance->vm, err);
    if (r >= 0 && !boot)
        r = vm_restore(&instance->vm, state, RESTORE_MS, err);
    if (r >= 0)
        r = watch_machine(instance, err);
    if (r >= 0)
        r = introduce(instance, plan, interfaces, boot ? BOOT_MS : FIRST_ANSWER_MS, err);
    /* Disks, names and streams are done; the monitor has nothing more to say. */
    qmp_close(&instance->vm.qmp);
    instance->raising = false;
    if (r < 0)
        forget_machine(instance);
    return r;
}

static void mark_damaged(const struct machine_setup *setup)
{
    CLEANUP_FREE char *path = path_join(setup->dir, "damaged");
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    if (fd >= 0)
        close(fd);
}

static void on_answer(void *user, uint64_t id, const void *data, size_t length)
{
    struct isolation_instance *instance = user;

    if (instance->mux)
        mux_send(instance->mux, RPC_RESOLVE, RPC_REPLY, id, data, length);
}

/* Its resolv.conf says whether the container asks us. */
static bool wants_resolver(const struct plan *plan)
{
    for (size_t i = 0; i < plan->mount_count; i++) {
        const struct plan_mount *mount = &plan->mounts[i];
        CLEANUP_FREE char *text = NULL;
        if (str_equal(mount->target, "/etc/resolv.conf") && str_equal(mount->type, "bind"))
            return file_read(AT_FDCWD, mount->source, 64 << 10, &text, NULL) >= 0 && strstr(text, "nameserver 127.0.0.11");
    }
    return false;
}

struct taps {
    int fds[TAPS_MAX];
};

static void taps_close(struct taps *taps)
{
    for (int i = 0; i < TAPS_MAX; i++)
        cleanup_close(&taps->fds[i]);
}

static int raise_machine(struct isolation_instance *instance, const struct plan *plan, struct error *err)
{
    CLEANUP_CLOSE int image = -EBADF, scratch = -EBADF;
    CLEANUP(taps_close) struct taps taps = {NO_TAPS};
    CLEANUP_STR struct str interfaces = STR_INIT;
    const struct plan_namespace *net = &plan->namespaces[PLAN_NS_NET];
    bool can_restore = instance->setup.has_template && instance->memory_fd >= 0;
    int r;

    image = open(plan->rootfs.device ? plan->rootfs.device : "", O_RDONLY | O_CLOEXEC);
    if (image < 0)
        return error_errno(err, errno, "cannot open the image's disk");
    r = scratch_open(&instance->setup, plan, &scratch, err);
    if (r >= 0 && net->mode == PLAN_NS_JOIN)
        r = tap_open(net->path, &interfaces, taps.fds, err);
    if (r >= 0 && net->mode == PLAN_NS_JOIN && wants_resolver(plan))
        r = resolver_new(instance->loop, net->path, on_answer, instance, &instance->resolver, err);
    if (r < 0)
        return r;
    if (can_restore) {
        struct error failure = ERROR_INIT;
        r = make_machine(instance, plan, false, image, scratch, taps.fds, &interfaces, &failure);
        if (r >= 0)
            return 0;
        mark_damaged(&instance->setup);
    }
    return make_machine(instance, plan, true, image, scratch, taps.fds, &interfaces, err);
}

/* Field 22 of /proc/PID/stat, behind the name, which may hold anything. */
static uint64_t worker_start_ticks(pid_t pid)
{
    CLEANUP_FREE char *path = mem_printf("/proc/%d/stat", (int)pid);
    CLEANUP_FREE char *text = NULL;
    const char *at;
    uint64_t ticks = 0;

    if (file_read(AT_FDCWD, path, 4096, &text, NULL) < 0 || !(at = strrchr(text, ')')))
        return 0;
    for (int field = 2; field < 22 && at; field++)
        at = strchr(at + 1, ' ');
    if (at)
        ticks = strtoull(at, NULL, 10);
    return ticks;
}

/* --- stdio ---------------------------------------------------------------------------------------------- */

struct stdio {
    int ours[3], theirs[3]; /* ours: the shim's; theirs: the mux's */
    int pty, pty_theirs;
};

static void stdio_close(struct stdio *stdio)
{
    for (int i = 0; i < 3; i++) {
        cleanup_close(&stdio->ours[i]);
        cleanup_close(&stdio->theirs[i]);
    }
    cleanup_close(&stdio->pty);
    cleanup_close(&stdio->pty_theirs);
}

static int stdio_open(struct stdio *stdio, bool tty, struct error *err)
{
    int fds[2];

    *stdio = (struct stdio){{-EBADF, -EBADF, -EBADF}, {-EBADF, -EBADF, -EBADF}, -EBADF, -EBADF};
    if (tty) {
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
            return error_errno(err, errno, "cannot make a socket pair");
        stdio->pty = fds[0];
        stdio->pty_theirs = fds[1];
        return 0;
    }
    for (int i = 0; i < 3; i++) {
        if (pipe2(fds, O_CLOEXEC) < 0)
            return error_errno(err, errno, "cannot make a pipe");
        stdio->ours[i] = i == 0 ? fds[1] : fds[0];
        stdio->theirs[i] = i == 0 ? fds[0] : fds[1];
    }
    return 0;
}

/* Before the order is sent: what the process writes at once must find its sink. */
static int stdio_join(struct isolation_instance *instance, struct stdio *stdio, uint64_t base, struct error *err)
{
    int r;

    if (stdio->pty_theirs >= 0) {
        r = mux_source(instance->mux, base, fcntl(stdio->pty_theirs, F_DUPFD_CLOEXEC, 0), NULL, NULL);
        if (r >= 0)
            r = mux_sink(instance->mux, base + 1, TAKE_FD(stdio->pty_theirs));
    } else {
        r = mux_source(instance->mux, base, TAKE_FD(stdio->theirs[0]), NULL, NULL);
        for (int i = 1; r >= 0 && i < 3; i++)
            r = mux_sink(instance->mux, base + (uint64_t)i, TAKE_FD(stdio->theirs[i]));
    }
    return r < 0 ? error_errno(err, -r, "cannot connect the process's streams") : 0;
}

static int run(struct isolation_instance *instance, uint16_t type, struct str *body, bool tty,
               struct isolation_process *ret, struct error *err)
{
    CLEANUP(stdio_close) struct stdio stdio;
    uint64_t base = instance->next_stream;
    struct wire_reader reader;
    struct wire_field field;
    int r;

    instance->next_stream += 4;
    r = stdio_open(&stdio, tty, err);
    if (r >= 0)
        r = stdio_join(instance, &stdio, base, err);
    if (r < 0)
        return r;
    wire_put_u64(body, RPC_TAG_STREAM_BASE, base);
    r = ask(instance, type, body, err);
    if (r < 0) {
        for (uint64_t i = 0; instance->mux && i < 3; i++)
            mux_remove(instance->mux, base + i);
        ret->exec_failed = instance->pending.exec_failed;
        return r;
    }
    *ret = (struct isolation_process){.pid = instance->vm.pid, .pty_fd = TAKE_FD(stdio.pty)};
    for (int i = 0; i < 3; i++)
        ret->stdio[i] = TAKE_FD(stdio.ours[i]);
    wire_read(&reader, instance->pending.body.data, instance->pending.body.length);
    while (wire_next(&reader, &field)) {
        if (field.tag == RPC_TAG_GUEST_PID)
            ret->guest_pid = (pid_t)(wire_u64(&reader, &field) & 0x3fffff);
    }
    ret->start_ticks = worker_start_ticks(instance->vm.pid);
    return 0;
}

/* --- the operations ---------------------------------------------------------------------------------------- */

static void op_close(struct isolation_instance *instance);

static int op_open(const char *id, const char *dir, struct loop *loop, const struct isolation_events *events, void *user,
                   struct isolation_instance **ret, struct error *err)
{
    struct isolation_instance *instance = mem_new(struct isolation_instance);

    *instance = (struct isolation_instance){.id = mem_strdup(id), .loop = loop, .events = *events, .user = user,
                                            .memory_fd = template_memory_fd, .vm = VM_INIT,
                                            .next_stream = 16};
    int r = loop_add_timer(loop, INT64_MAX / 2, 0, pass_on_exits, instance, &instance->exits_due);
    if (r < 0)
        r = error_errno(err, -r, "cannot make a timer");
    else
        r = machine_setup_load(machines_dir, &instance->setup, err);
    if (r >= 0 && str_equal(instance->setup.accelerator, "none"))
        r = error_set(err, ENOTSUP, "no virtual machine runs on this host (%s); use --isolation=process",
                      instance->setup.reason);
    if (r < 0) {
        op_close(instance);
        return r;
    }
    *ret = instance;
    return 0;
}

/* The container's limits as its cgroup on the host has them: they bound the worker as
 * well, and leave it what it needs itself. Pids and devices are the guest's own
 * matter; the worker has few and none. */
static int apply_limits(struct isolation_instance *instance, const struct plan_limits *limits, struct error *err)
{
    struct plan_limits outer = *limits;

    if (outer.memory > 0)
        outer.memory += WORKER_OVERHEAD;
    if (outer.memory_swap > 0)
        outer.memory_swap += WORKER_OVERHEAD;
    outer.pids = 0;
    outer.device_rules = NULL;
    outer.device_rule_count = 0;
    return cgroup_apply(instance->cgroup, &outer, err);
}

/* The cgroup with its limits, and in it the machine. */
static int raise_limited(struct isolation_instance *instance, const struct plan *plan, struct error *err)
{
    int r;

    instance->cgroup = mem_strdup(plan->cgroup);
    r = cgroup_create(instance->cgroup, err);
    if (r < 0)
        return r;
    r = apply_limits(instance, &plan->limits, err);
    return r < 0 ? r : raise_machine(instance, plan, err);
}

static int op_start(struct isolation_instance *instance, const struct plan *plan, struct isolation_process *ret,
                    struct error *err)
{
    CLEANUP_STR struct str body = STR_INIT, encoded = STR_INIT;
    int r = raise_limited(instance, plan, err);

    if (r < 0)
        return r;
    plan_encode(plan, &encoded);
    wire_put_bytes(&body, RPC_TAG_PLAN, encoded.data, encoded.length);
    r = shares_open(plan, files_program, instance->vm.files_fd, &body, &instance->files_pid, err);
    if (r < 0)
        return r;
    return run(instance, RPC_START, &body, plan->process.tty, ret, err);
}

static int op_exec(struct isolation_instance *instance, const char *exec_id, const struct plan_process *process,
                   struct isolation_process *ret, struct error *err)
{
    CLEANUP_STR struct str body = STR_INIT, encoded = STR_INIT;

    plan_process_encode(process, &encoded);
    wire_put_bytes(&body, RPC_TAG_PROCESS, encoded.data, encoded.length);
    wire_put_string(&body, RPC_TAG_EXEC_ID, exec_id);
    return run(instance, RPC_EXEC, &body, process->tty, ret, err);
}

static int op_signal(struct isolation_instance *instance, const char *exec_id, int signal, struct error *err)
{
    CLEANUP_STR struct str body = STR_INIT;

    wire_put_string(&body, RPC_TAG_EXEC_ID, exec_id);
    wire_put_u64(&body, RPC_TAG_SIGNAL, (uint64_t)signal);
    return ask(instance, RPC_SIGNAL, &body, err);
}

static int op_signal_pid(struct isolation_instance *instance, pid_t pid, uint64_t start_ticks, int signal, struct error *err)
{
    CLEANUP_STR struct str body = STR_INIT;

    wire_put_u64(&body, RPC_TAG_PID, (uint64_t)pid);
    wire_put_u64(&body, RPC_TAG_START_TICKS, start_ticks);
    wire_put_u64(&body, RPC_TAG_SIGNAL, (uint64_t)signal);
    return ask(instance, RPC_SIGNAL, &body, err);
}

static int op_resize(struct isolation_instance *instance, const char *exec_id, uint16_t rows, uint16_t cols, struct error *err)
{
    CLEANUP_STR struct str body = STR_INIT;

    wire_put_string(&body, RPC_TAG_EXEC_ID, exec_id);
    wire_put_u64(&body, RPC_TAG_ROWS, rows);
    wire_put_u64(&body, RPC_TAG_COLS, cols);
    return ask(instance, RPC_RESIZE, &body, err);
}

static int op_processes(struct isolation_instance *instance, struct str *out, struct error *err)
{
    int r = ask(instance, RPC_PROCESSES, NULL, err);

    if (r >= 0)
        str_append_n(out, instance->pending.body.data ? instance->pending.body.data : "", instance->pending.body.length);
    return r;
}

static int op_stats(struct isolation_instance *instance, struct cgroup_stats *ret, struct error *err)
{
    int r = ask(instance, RPC_STATS, NULL, err);

    if (r >= 0 && cgroup_stats_decode(instance->pending.body.data, instance->pending.body.length, ret) < 0)
        r = error_set(err, EBADMSG, "the guest's statistics are malformed");
    return r;
}

static int op_freeze(struct isolation_instance *instance, bool frozen, struct error *err)
{
    CLEANUP_STR struct str body = STR_INIT;

    wire_put_bool(&body, RPC_TAG_FROZEN, frozen);
    return ask(instance, RPC_FREEZE, &body, err);
}

static int op_update(struct isolation_instance *instance, const struct plan_limits *limits, struct error *err)
{
    CLEANUP_STR struct str body = STR_INIT, encoded = STR_INIT;
    int r;

    plan_limits_encode(limits, &encoded);
    wire_put_bytes(&body, RPC_TAG_LIMITS, encoded.data, encoded.length);
    r = ask(instance, RPC_UPDATE, &body, err);
    return r < 0 ? r : apply_limits(instance, limits, err);
}

static int op_root(struct isolation_instance *instance, int *ret_fd, struct error *err)
{
    return error_set(err, ENOTSUP, "the file system of a container with a kernel of its own is not on this host");
}

static int op_mount(struct isolation_instance *instance, const struct plan *plan, struct error *err)
{
    int r = raise_limited(instance, plan, err);

    return r < 0 ? r : ask(instance, RPC_MOUNT, NULL, err);
}

static int op_transfer(struct isolation_instance *instance, uint16_t type, const void *body, size_t length, int data_fd,
                       isolation_done_fn *done, void *user, uint64_t *ret_job, struct error *err)
{
    CLEANUP_STR struct str order = STR_INIT;
    CLEANUP_CLOSE int data = data_fd;
    uint64_t stream = instance->next_stream;
    struct job *job;
    int r = 0;

    if (instance->fallen || !instance->mux)
        return error_set(err, ESRCH, "the container's machine is not running");
    instance->next_stream += 4;
    str_append_n(&order, length ? body : "", length);
    wire_put_u64(&order, RPC_TAG_STREAM_BASE, stream);
    if (type == RPC_ARCHIVE_PUT)
        r = mux_source(instance->mux, stream, TAKE_FD(data), NULL, NULL);
    else if (type != RPC_ARCHIVE_STAT)
        r = mux_sink(instance->mux, stream, TAKE_FD(data));
    if (r < 0)
        return error_errno(err, -r, "cannot connect the archive's stream");
    job = mem_new(struct job);
    *job = (struct job){.id = ++instance->next_id, .stream = stream, .done = done, .user = user};
    mux_send(instance->mux, type, 0, job->id, order.data, order.length);
    if (instance->fallen) {
        free(job);
        return error_set(err, EPIPE, "the machine was lost");
    }
    /* Only now: the caller must know of it before its done() is called. */
    job->next = instance->jobs;
    instance->jobs = job;
    *ret_job = job->id;
    return 0;
}

static void op_transfer_cancel(struct isolation_instance *instance, uint64_t id)
{
    struct job **at = job_find(instance, id);
    struct job *job = *at;

    if (!job)
        return;
    *at = job->next;
    if (instance->mux) {
        mux_remove(instance->mux, job->stream);
        mux_send(instance->mux, RPC_CANCEL, 0, job->id, NULL, 0);
    }
    free(job);
}

/* The guest is asked to write its disk back; one that does not in time loses what
 * its page cache held, as a machine whose plug is pulled. */
static void op_close(struct isolation_instance *instance)
{
    if (instance->mux && !instance->fallen)
        (void)ask_within(instance, RPC_SHUTDOWN, NULL, SHUTDOWN_MS, NULL);
    instance->ending = true;
    forget_machine(instance);
    if (instance->cgroup) {
        (void)cgroup_kill(instance->cgroup, SIGKILL);
        (void)cgroup_remove(instance->cgroup);
    }
    loop_remove(instance->exits_due);
    resolver_free(instance->resolver);
    while (instance->exits) {
        struct told_exit *told = instance->exits;
        instance->exits = told->next;
        free(told);
    }
    machine_setup_clear(&instance->setup);
    str_free(&instance->pending.body);
    free(instance->cgroup);
    free(instance->id);
    free(instance);
}

const struct isolation isolation_hyperv_ops = {
    .name = "hyperv",
    .capabilities = ISOLATION_OWN_KERNEL,
    .open = op_open,
    .start = op_start,
    .exec = op_exec,
    .signal = op_signal,
    .signal_pid = op_signal_pid,
    .resize = op_resize,
    .processes = op_processes,
    .stats = op_stats,
    .freeze = op_freeze,
    .update = op_update,
    .root = op_root,
    .close = op_close,
    .mount = op_mount,
    .transfer = op_transfer,
    .transfer_cancel = op_transfer_cancel,
};
