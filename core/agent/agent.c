/* agent.c - the guest's pid 1: the conversation with the shim. See agent.h. */
#include "agent/agent.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/mem.h"
#include "launch/cgroup.h"

/* Every order: what carries it out. Handlers fill the reply or the error. */
typedef int handler_fn(struct agent *agent, const struct rpc_frame *frame, struct str *reply,
                       bool *ret_exec_failed, struct error *err);

static int on_machine(struct agent *agent, const struct rpc_frame *frame, struct str *reply,
                      bool *exec_failed, struct error *err)
{
    struct wire_reader reader;
    struct wire_field field;
    int r = machine_configure(frame, err);

    wire_read(&reader, frame->body, frame->length);
    while (r >= 0 && wire_next(&reader, &field))
        if (field.tag == RPC_TAG_RESOLVER && wire_bool(&reader, &field))
            r = dns_open(agent, err);
    return r;
}

static int on_network(struct agent *agent, const struct rpc_frame *frame, struct str *reply,
                      bool *exec_failed, struct error *err)
{
    struct wire_reader reader;
    struct wire_field field;
    int r = machine_change(frame, err);

    if (r >= 0)
        r = process_refresh_files(agent, frame, err);
    wire_read(&reader, frame->body, frame->length);
    while (r >= 0 && wire_next(&reader, &field))
        if (field.tag == RPC_TAG_RESOLVER && wire_bool(&reader, &field))
            r = dns_open(agent, err);
    return r;
}

static int on_signal(struct agent *agent, const struct rpc_frame *frame, struct str *reply,
                     bool *exec_failed, struct error *err)
{
    return process_signal(agent, frame, err);
}

static int on_resize(struct agent *agent, const struct rpc_frame *frame, struct str *reply,
                     bool *exec_failed, struct error *err)
{
    return process_resize(agent, frame, err);
}

static int on_processes(struct agent *agent, const struct rpc_frame *frame, struct str *reply,
                        bool *exec_failed, struct error *err)
{
    return process_list_all(agent, reply, err);
}

static int on_stats(struct agent *agent, const struct rpc_frame *frame, struct str *reply,
                    bool *exec_failed, struct error *err)
{
    struct cgroup_stats stats;
    int r = cgroup_stats(AGENT_CGROUP, &stats);

    if (r < 0)
        return error_errno(err, -r, "cannot read the container's statistics");
    cgroup_stats_encode(&stats, reply);
    return 0;
}

static int on_freeze(struct agent *agent, const struct rpc_frame *frame, struct str *reply,
                     bool *exec_failed, struct error *err)
{
    struct wire_reader reader;
    struct wire_field field;
    bool frozen = false;

    wire_read(&reader, frame->body, frame->length);
    while (wire_next(&reader, &field))
        if (field.tag == RPC_TAG_FROZEN)
            frozen = wire_bool(&reader, &field);
    return cgroup_freeze(AGENT_CGROUP, frozen, err);
}

static int on_update(struct agent *agent, const struct rpc_frame *frame, struct str *reply,
                     bool *exec_failed, struct error *err)
{
    struct plan_limits limits = {0};
    struct wire_reader reader;
    struct wire_field field;
    int r = -EBADMSG;

    wire_read(&reader, frame->body, frame->length);
    while (wire_next(&reader, &field))
        if (field.tag == RPC_TAG_LIMITS && r < 0)
            r = plan_limits_decode(field.data, field.length, &limits);
    r = r < 0 ? error_set(err, EBADMSG, "malformed limits") : cgroup_apply(AGENT_CGROUP, &limits, err);
    plan_limits_clear(&limits);
    return r;
}

static int on_ping(struct agent *agent, const struct rpc_frame *frame, struct str *reply,
                   bool *exec_failed, struct error *err)
{
    return 0;
}

static int on_shutdown(struct agent *agent, const struct rpc_frame *frame, struct str *reply,
                       bool *exec_failed, struct error *err)
{
    /* The host pulls the plug as soon as it has our answer. */
    (void)cgroup_kill(AGENT_CGROUP, SIGKILL);
    sync();
    loop_stop(agent->loop);
    return 0;
}

static handler_fn *const handlers[] = {
    [RPC_START] = process_start,   [RPC_EXEC] = process_exec,
    [RPC_SIGNAL] = on_signal,      [RPC_RESIZE] = on_resize,
    [RPC_PROCESSES] = on_processes, [RPC_STATS] = on_stats,
    [RPC_FREEZE] = on_freeze,      [RPC_UPDATE] = on_update,
    [RPC_PING] = on_ping,          [RPC_MACHINE] = on_machine,
    [RPC_SHUTDOWN] = on_shutdown,   [RPC_MOUNT] = archive_mount,
    [RPC_ARCHIVE_GET] = archive_order, [RPC_ARCHIVE_PUT] = archive_order,
    [RPC_ARCHIVE_STAT] = archive_order, [RPC_CHANGES] = archive_order,
    [RPC_ARCHIVE_LIST] = archive_order,
    [RPC_CANCEL] = archive_cancel, [RPC_NETWORK] = on_network, [RPC_RESET] = process_reset,
    [RPC_DISKS] = process_disks,
};

static void on_frame(void *user, const struct rpc_frame *frame)
{
    struct agent *agent = user;
    struct error err = ERROR_INIT;
    struct str reply = STR_INIT;
    bool exec_failed = false;
    handler_fn *handler = frame->type < ARRAY_SIZE(handlers) ? handlers[frame->type] : NULL;
    uint64_t id = frame->id;
    uint16_t type = frame->type;

    if (frame->flags & (RPC_REPLY | RPC_ERROR)) {
        if (type == RPC_RESOLVE)
            dns_answer(agent, frame);
        return;
    }
    if (!handler)
        error_set(&err, ENOSYS, "this agent does not know message %u", type);
    else if (handler(agent, frame, &reply, &exec_failed, &err) == AGENT_LATER) {
        str_free(&reply);
        return;
    }
    if (err.code) {
        str_clear(&reply);
        rpc_put_error(&reply, &err, exec_failed);
        mux_send(agent->mux, type, RPC_REPLY | RPC_ERROR, id, reply.data, reply.length);
    } else {
        mux_send(agent->mux, type, RPC_REPLY, id, reply.data, reply.length);
    }
    str_free(&reply);
}

static void on_broken(void *user, const char *reason)
{
    agent_die("%s", reason);
}

static void on_child(struct loop_source *source, int fd, uint32_t events, void *user)
{
    struct signalfd_siginfo info;

    while (read(fd, &info, sizeof(info)) == sizeof(info))
        ;
    process_reap(user);
}

static void say_hello(struct agent *agent)
{
    struct str body = STR_INIT;

    wire_put_u64(&body, RPC_TAG_VERSION, RPC_VERSION);
    wire_put_string(&body, RPC_TAG_PROGRAM, "tabique-agent " TABIQUE_VERSION);
    mux_send(agent->mux, RPC_HELLO, 0, 0, body.data, body.length);
    str_free(&body);
}

int main(void)
{
    static const struct mux_events events = {.frame = on_frame, .broken = on_broken};
    struct agent agent = {.root_fd = -EBADF, .ahead = LAUNCHED_INIT};
    struct loop_source *children;
    struct error err = ERROR_INIT;
    sigset_t mask;
    int port, signals;

    agent_boot();
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    signals = signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
    port = agent_open_port(AGENT_PORT);
    if (port < 0)
        agent_die("the agent's port did not appear");
    if (loop_new(&agent.loop) < 0 || signals < 0 ||
        loop_add_fd(agent.loop, signals, EPOLLIN, on_child, &agent, &children) < 0 ||
        mux_new(agent.loop, port, MUX_PORT, &events, &agent, &agent.mux) < 0)
        agent_die("cannot watch the agent's port");
    if (cgroup_create(AGENT_CGROUP, &err) < 0 || machine_settle(&err) < 0)
        agent_die("%s", err.message);
    say_hello(&agent);
    (void)loop_run(agent.loop);
    agent_power_off();
}
