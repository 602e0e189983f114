/* vm.c - see vm.h. */
#include "isolation/hyperv/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "isolation/hyperv/worker.h"
#include "rpc/rpc.h"
#include "tabique/error.h"

#define GREETING_MS 20000
#define COMMAND_MS 10000
#define FDSET_FIRST 64 /* past those of the arguments, which are numbered as their fds */

/* Numbers in the worker: fixed, so that a template and its clones have the same
 * arguments but for what must differ. */
enum { FD_QMP = WORKER_FD_FIRST, FD_AGENT, FD_FILES, FD_CONSOLE, FD_MEMORY, FD_IMAGE, FD_SCRATCH, FD_TAP };

static int pair(int *ours, int *theirs, struct error *err)
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        return error_errno(err, errno, "cannot make a socket pair");
    *ours = fds[0];
    *theirs = fds[1];
    return 0;
}

/* What QEMU has said before its machine could say anything: that networks have no end yet,
 * which they get later. */
static char *take_words(int console_fd)
{
    char text[400];
    size_t length = 0;
    ssize_t n;

    /* The end of it, if there is more. */
    while ((n = recv(console_fd, text, sizeof(text) - 1, MSG_DONTWAIT)) > 0)
        length = (size_t)n;
    text[length] = '\0';
    str_make_printable(text);
    return mem_strdup(text);
}

int vm_start(const struct vm_spec *spec, struct vm *ret, struct error *err)
{
    CLEANUP(vm_end) struct vm vm = VM_INIT;
    CLEANUP_CLOSE int qmp = -EBADF, qmp_theirs = -EBADF, agent_theirs = -EBADF, files_theirs = -EBADF, console_theirs = -EBADF;
    CLEANUP_FREE char *root = path_join(spec->setup->dir, "root");
    CLEANUP_STRV char **argv = NULL;
    int r;

    r = pair(&qmp, &qmp_theirs, err);
    if (r >= 0)
        r = pair(&vm.agent_fd, &agent_theirs, err);
    if (r >= 0)
        r = pair(&vm.files_fd, &files_theirs, err);
    if (r >= 0)
        r = pair(&vm.console_fd, &console_theirs, err);
    if (r < 0)
        return r;

    struct machine machine = {
        .id = spec->id,
        .accelerator = spec->setup->accelerator,
        .cpu = spec->setup->cpu,
        .memory_bytes = spec->setup->memory_bytes,
        .cpus = spec->setup->cpus,
        .shared_memory = spec->shared_memory,
        .boot = spec->boot,
        .kernel = "/boot/vmlinuz",
        .initrd = "/boot/initramfs",
        .memory_fd = FD_MEMORY,
        .qmp_fd = FD_QMP,
        .agent_fd = FD_AGENT,
        .files_fd = FD_FILES,
        .console_fd = FD_CONSOLE,
        .image_fd = spec->image_fd >= 0 ? FD_IMAGE : -EBADF,
        .scratch_fd = spec->scratch_fd >= 0 ? FD_SCRATCH : -EBADF,
    };
    const struct worker_fd all[] = {
        {qmp_theirs, FD_QMP},         {agent_theirs, FD_AGENT},     {files_theirs, FD_FILES},
        {console_theirs, FD_CONSOLE}, {spec->memory_fd, FD_MEMORY}, {spec->image_fd, FD_IMAGE},
        {spec->scratch_fd, FD_SCRATCH}, {console_theirs, STDERR_FILENO},
    };
    struct worker_fd fds[ARRAY_SIZE(all) + MACHINE_NICS];
    size_t count = 0;
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        if (all[i].parent >= 0)
            fds[count++] = all[i];
    for (int i = 0; i < MACHINE_NICS; i++) {
        machine.tap_fds[i] = spec->tap_fds[i] >= 0 ? FD_TAP + i : -EBADF;
        if (spec->tap_fds[i] >= 0)
            fds[count++] = (struct worker_fd){spec->tap_fds[i], FD_TAP + i};
    }
    argv = machine_arguments(&machine);
    const struct worker_spec worker = {
        .argv = argv,
        .root = root,
        .uid = spec->uid,
        .cgroup = spec->cgroup,
        .kvm = str_equal(spec->setup->accelerator, "kvm"),
        .fds = fds,
        .fd_count = count,
    };
    r = worker_spawn(&worker, &vm.pid, &vm.pidfd, err);
    if (r < 0)
        return r;
    close(TAKE_FD(qmp_theirs));
    r = qmp_open(&vm.qmp, TAKE_FD(qmp), GREETING_MS, err);
    CLEANUP_FREE char *said = take_words(vm.console_fd);
    if (r < 0)
        return *said ? error_set(err, -r, "%s; its last words: %s", err ? err->message : "", said) : r;
    *ret = vm;
    vm = VM_INIT;
    return 0;
}

static int ignore_shared(struct vm *vm, struct error *err)
{
    return qmp_command(&vm->qmp, -EBADF, COMMAND_MS, err,
                       "{\"execute\": \"migrate-set-capabilities\", \"arguments\": {\"capabilities\": "
                       "[{\"capability\": \"x-ignore-shared\", \"state\": true}]}}");
}

/* The memory is there already, mapped from the template's file: only the device
 * state comes as a migration stream. */
int vm_restore(struct vm *vm, int state_fd, int timeout_ms, struct error *err)
{
    int r;

    r = ignore_shared(vm, err);
    if (r >= 0)
        r = qmp_command(&vm->qmp, -EBADF, COMMAND_MS, err,
                        "{\"execute\": \"migrate-set-parameters\", \"arguments\": {\"announce-rounds\": 0}}");
    if (r >= 0)
        r = qmp_command(&vm->qmp, state_fd, COMMAND_MS, err,
                        "{\"execute\": \"getfd\", \"arguments\": {\"fdname\": \"state\"}}");
    if (r >= 0)
        r = qmp_command(&vm->qmp, -EBADF, COMMAND_MS, err,
                        "{\"execute\": \"migrate-incoming\", \"arguments\": {\"uri\": \"fd:state\"}}");
    return r < 0 ? r : qmp_wait_paused(&vm->qmp, timeout_ms, err);
}

/* The monitor reads its commands byte by byte: short names, and no default said. */
#define DISK_IMAGE "\"read-only\":true"
#define DISK_SCRATCH "\"discard\":\"unmap\""

static int reopen(struct vm *vm, const char *node, const char *file, const char *options, int timeout_ms, struct error *err)
{
    return qmp_command(&vm->qmp, -EBADF, timeout_ms, err,
                       "{\"execute\":\"blockdev-reopen\",\"arguments\":{\"options\":"
                       "[{\"driver\":\"raw\",\"node-name\":\"%s\",\"file\":\"%s\",%s}]}}", node, file, options);
}

static int connect_disk(struct vm *vm, const char *node, unsigned index, int fd, const char *options, int timeout_ms,
                        struct error *err)
{
    unsigned set = FDSET_FIRST + 2 * vm->connections + index;
    char name[16];
    int r;

    snprintf(name, sizeof(name), "d%u", set);
    r = qmp_command(&vm->qmp, fd, timeout_ms, err, "{\"execute\":\"add-fd\",\"arguments\":{\"fdset-id\":%u}}", set);
    if (r >= 0)
        r = qmp_command(&vm->qmp, -EBADF, timeout_ms, err,
                        "{\"execute\":\"blockdev-add\",\"arguments\":{\"driver\":\"file\",\"node-name\":\"%s\","
                        "\"filename\":\"/dev/fdset/%u\",\"locking\":\"off\",\"cache\":{\"no-flush\":true},%s}}", name, set, options);
    return r < 0 ? r : reopen(vm, node, name, options, timeout_ms, err);
}

/* The device's own peer is a hub without members, as in the template: the tap
 * becomes its second one. */
int vm_connect_tap(struct vm *vm, int index, int fd, int timeout_ms, struct error *err)
{
    int r;

    r = qmp_command(&vm->qmp, fd, timeout_ms, err, "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"t%d\"}}", index);
    if (r >= 0)
        r = qmp_command(&vm->qmp, -EBADF, timeout_ms, err,
                        "{\"execute\":\"netdev_add\",\"arguments\":{\"type\":\"tap\",\"id\":\"t%d\",\"fd\":\"t%d\"}}", index, index);
    if (r >= 0)
        r = qmp_command(&vm->qmp, -EBADF, timeout_ms, err,
                        "{\"execute\":\"netdev_add\",\"arguments\":{\"type\":\"hubport\",\"id\":\"p%d\",\"hubid\":%d,"
                        "\"netdev\":\"t%d\"}}", index, index, index);
    return r;
}

int vm_disconnect_tap(struct vm *vm, int index, int timeout_ms, struct error *err)
{
    int r = qmp_command(&vm->qmp, -EBADF, timeout_ms, err, "{\"execute\":\"netdev_del\",\"arguments\":{\"id\":\"p%d\"}}", index);

    return r < 0 ? r : qmp_command(&vm->qmp, -EBADF, timeout_ms, err,
                                   "{\"execute\":\"netdev_del\",\"arguments\":{\"id\":\"t%d\"}}", index);
}

int vm_connect(struct vm *vm, int image_fd, int scratch_fd, const int *tap_fds, int timeout_ms, struct error *err)
{
    int r = 0;

    if (image_fd >= 0)
        r = connect_disk(vm, "image", 0, image_fd, DISK_IMAGE, timeout_ms, err);
    if (r >= 0 && scratch_fd >= 0)
        r = connect_disk(vm, "scratch", 1, scratch_fd, DISK_SCRATCH, timeout_ms, err);
    for (int i = 0; r >= 0 && i < MACHINE_NICS; i++)
        if (tap_fds[i] >= 0)
            r = vm_connect_tap(vm, i, tap_fds[i], timeout_ms, err);
    return r < 0 ? r : qmp_command(&vm->qmp, -EBADF, timeout_ms, err, "{\"execute\":\"cont\"}");
}

int vm_forget_disks(struct vm *vm, int timeout_ms, struct error *err)
{
    int r = 0;

    for (unsigned set = FDSET_FIRST + 2 * vm->forgotten; r >= 0 && set < FDSET_FIRST + 2 * vm->connections; set++)
        r = qmp_command(&vm->qmp, -EBADF, timeout_ms, err, "{\"execute\":\"remove-fd\",\"arguments\":{\"fdset-id\":%u}}", set);
    vm->forgotten = vm->connections;
    return r;
}

int vm_pause(struct vm *vm, int timeout_ms, struct error *err)
{
    return qmp_command(&vm->qmp, -EBADF, timeout_ms, err, "{\"execute\":\"stop\"}");
}

/* Stopping also lets go of packets that a network without a tap could not take: the
 * guest's queue would wait for them for ever. */
int vm_disconnect(struct vm *vm, int timeout_ms, struct error *err)
{
    unsigned set = FDSET_FIRST + 2 * vm->connections++;
    int r;

    r = vm_pause(vm, timeout_ms, err);
    if (r >= 0)
        r = reopen(vm, "image", "image-file", DISK_IMAGE, timeout_ms, err);
    if (r >= 0)
        r = reopen(vm, "scratch", "scratch-file", DISK_SCRATCH, timeout_ms, err);
    for (unsigned i = 0; r >= 0 && i < 2; i++)
        r = qmp_command(&vm->qmp, -EBADF, timeout_ms, err,
                        "{\"execute\":\"blockdev-del\",\"arguments\":{\"node-name\":\"d%u\"}}", set + i);
    return r;
}

int vm_save(struct vm *vm, int state_fd, int timeout_ms, struct error *err)
{
    int r;

    r = qmp_command(&vm->qmp, -EBADF, COMMAND_MS, err, "{\"execute\": \"stop\"}");
    if (r >= 0)
        r = ignore_shared(vm, err);
    if (r >= 0)
        r = qmp_command(&vm->qmp, state_fd, COMMAND_MS, err,
                        "{\"execute\": \"getfd\", \"arguments\": {\"fdname\": \"state\"}}");
    if (r >= 0)
        r = qmp_command(&vm->qmp, -EBADF, COMMAND_MS, err,
                        "{\"execute\": \"migrate\", \"arguments\": {\"uri\": \"fd:state\"}}");
    return r < 0 ? r : qmp_wait_migrated(&vm->qmp, timeout_ms, err);
}

int vm_wait_hello(struct vm *vm, int timeout_ms, struct error *err)
{
    struct rpc_decoder decoder = {0};
    struct rpc_frame frame;
    int r = rpc_receive(vm->agent_fd, &decoder, &frame, timeout_ms);

    if (r >= 0 && frame.type != RPC_HELLO)
        r = -EBADMSG;
    rpc_decoder_free(&decoder);
    return r < 0 ? error_errno(err, -r, "the guest did not answer") : 0;
}

void vm_end(struct vm *vm)
{
    int *const fds[] = {&vm->agent_fd, &vm->files_fd, &vm->console_fd, &vm->pidfd};

    if (vm->pid > 0) {
        kill(vm->pid, SIGKILL);
        while (waitpid(vm->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    qmp_close(&vm->qmp);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        if (*fds[i] >= 0)
            close(*fds[i]);
    *vm = VM_INIT;
}
