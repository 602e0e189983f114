/* fuzz_guest.c - a hostile guest, as the shim meets it: the whole of the thick wall's side
 * of the channel (isolation/hyperv/channel.c) with replies, exits, name queries, streams.
 *
 * The first byte chooses which orders are given; the rest, in pieces, is what the guest
 * says: type, flags, id, length, body. Its end is the end of the channel. Checked: what
 * the shim is told is within its bounds, the wall falls at most once, and it ends. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/loop.h"
#include "base/mem.h"
#include "base/str.h"
#include "host/process_wire.h"
#include "isolation/hyperv/instance.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int falls;

static void on_exited(void *user, const char *exec_id, int status, bool oom)
{
    if (status < 0 || status > 255 || strlen(exec_id) > ID_LENGTH)
        abort();
}

static void on_oom(void *user)
{
}

static void on_lost(void *user, const char *reason, int status)
{
    size_t length = strlen(reason);

    if (++falls > 1 || length == 0 || length >= ISOLATION_REASON_MAX || !str_is_utf8(reason, length) || strchr(reason, '\n') ||
        status < 0 || status > 255)
        abort();
}

static void stop(void *user)
{
    loop_stop(user);
}

static void turn(struct loop *loop)
{
    loop_post(loop, stop, loop);
    (void)loop_run(loop);
}

static void say(int fd, const uint8_t *data, size_t size)
{
    static const uint16_t types[] = {RPC_EXITED, RPC_OOM, RPC_RESOLVE, RPC_HELLO, RPC_STREAM, RPC_CREDIT, RPC_PROCESSES, RPC_STATS,
                                     RPC_EXEC, RPC_ARCHIVE_STAT, RPC_ARCHIVE_GET, RPC_SIGNAL};
    CLEANUP_STR struct str out = STR_INIT;

    while (size >= 4) {
        size_t length = data[3] < size - 4 ? data[3] : size - 4;
        rpc_encode(&out, types[data[0] % ARRAY_SIZE(types)], data[1] & (RPC_REPLY | RPC_ERROR), data[2] & 31, data + 4, length);
        data += 4 + length;
        size -= 4 + length;
    }
    str_append_n(&out, data, size);
    if (out.length)
        (void)send(fd, out.data, out.length, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)shutdown(fd, SHUT_WR);
}

static void done(void *user, const struct error *err, const void *body, size_t length)
{
}

static void give_orders(struct isolation_instance *instance, uint8_t which)
{
    const struct isolation *wall = &isolation_hyperv_ops;
    struct isolation_process process = {.pty_fd = -EBADF, .stdio = {-EBADF, -EBADF, -EBADF}};
    struct process_list *list = NULL;
    struct cgroup_stats stats;
    CLEANUP_STR struct str out = STR_INIT;
    struct plan_process exec = {0};
    uint64_t job;
    int pair[2];

    if (which & 1 && wall->processes(instance, &out, NULL) >= 0 &&
        process_wire_get_list(out.data ? out.data : "", out.length, RPC_TAG_PROCESS_ENTRY, &list) >= 0)
        process_list_unref(list);
    if (which & 2)
        (void)wall->stats(instance, &stats, NULL);
    if (which & 4) {
        strv_push(&exec.argv, "x");
        if (wall->exec(instance, "e", &exec, &process, NULL) >= 0)
            for (int i = 0; i < 3; i++)
                cleanup_close(&process.stdio[i]);
        plan_process_clear(&exec);
    }
    if (which & 8 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0) {
        if (wall->transfer(instance, which & 16 ? RPC_ARCHIVE_GET : RPC_ARCHIVE_STAT, NULL, 0, pair[0], done, NULL, &job, NULL) >= 0 &&
            which & 32)
            wall->transfer_cancel(instance, job);
        close(pair[1]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct isolation_events events = {.exited = on_exited, .oom = on_oom, .lost = on_lost};
    struct isolation_instance *instance = mem_new(struct isolation_instance);
    struct loop *loop;
    int channel[2], console[2];

    if (size < 1 || loop_new(&loop) < 0) {
        free(instance);
        return 0;
    }
    falls = 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, channel) < 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, console) < 0)
        abort();
    /* A pidfd that is readable at once: nobody waits for a worker that there is not. */
    *instance = (struct isolation_instance){.id = mem_strdup("0123456789abcdef"), .loop = loop, .events = events, .memory_fd = -EBADF,
                                            .vm = VM_INIT, .next_stream = 16};
    instance->vm.agent_fd = channel[0];
    instance->vm.console_fd = console[0];
    instance->vm.pidfd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop_add_timer(loop, INT64_MAX / 2, 0, hyperv__pass_on_exits, instance, &instance->exits_due) < 0 ||
        hyperv__watch(instance, NULL) < 0)
        abort();
    if (data[0] & 64) /* its last words are its own, too */
        (void)send(console[1], data, size < 4096 ? size : 4096, MSG_DONTWAIT | MSG_NOSIGNAL);
    say(channel[1], data + 1, size - 1);
    give_orders(instance, data[0]);
    turn(loop);
    turn(loop);
    isolation_hyperv_ops.close(instance);
    close(channel[1]);
    close(console[1]);
    loop_free(loop);
    return 0;
}
