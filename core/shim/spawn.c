/* spawn.c - shims being made, and shims made ahead. Owner: shim.
 *
 * A shim made ahead (`--warm`) has no container, no directory and no name yet, only
 * a machine. It waits on its first connection, and ends with it: a server that goes,
 * however it goes, takes its pool along. Adopted, it is told what another one has as
 * arguments, and is as if it had been spawned so. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/wire.h"
#include "isolation/hyperv/staged.h"
#include "launch/plan.h"
#include "shim/client_private.h"
#include "tabique/error.h"

#define FD_LISTENING 3
#define FD_FIRST 4
#define FD_PROGRAM_DIR 5
#define FD_MACHINE_MEMORY 6
#define FDS_MAX (4 + 1 + STAGED_FILES)
/* It only has to wake up; one that does not is stalled, and another is made. */
#define ADOPT_MS 2000
#define FRAME_MS 1000 /* it has begun */

struct shim_warm {
    pid_t pid;
    int pidfd, fd;
    struct rpc_decoder decoder;
};

/* The program by way of a read-only mount of its own directory: what runs inside
 * a container before its exec, and --init's pid 1 for good, has this file as its
 * /proc/PID/exe. Through it nobody can write the file on disk (CVE-2019-5736).
 * *ret_fd is to be the child's FD_PROGRAM_DIR. */
static char *readonly_program(const char *program, int *ret_fd, struct error *err)
{
    CLEANUP_FREE char *dir = path_dir(program);
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, .propagation = MS_PRIVATE};
    CLEANUP_CLOSE int tree = open_tree(AT_FDCWD, dir, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

    if (tree < 0 || mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0) {
        error_errno(err, errno == ENOENT ? EIO : errno, "cannot protect %s", program);
        return NULL;
    }
    *ret_fd = TAKE_FD(tree);
    return mem_printf("/proc/self/fd/%d/%s", FD_PROGRAM_DIR, path_base(program));
}

static void add(char ***list, const char *option, const char *value)
{
    strv_push(list, option);
    strv_push(list, value);
}

static char **arguments(const struct shim_spec *spec)
{
    CLEANUP_FREE char *program_dir = path_dir(spec->program);
    CLEANUP_FREE char *files_program = path_join(program_dir, "tabique-files");
    const struct {
        const char *name, *value;
    } texts[] = {{"--log-attributes", spec->log_attributes}, {"--log-to", spec->log_to}, {"--log-format", spec->log_format},
                 {"--log-tag", spec->log_tag}, {"--log-fields", spec->log_fields}};
    char **list = NULL;

    add(&list, "--id", spec->id);
    add(&list, "--dir", spec->dir);
    add(&list, "--state-dir", spec->state_dir);
    add(&list, "--isolation", spec->isolation ? spec->isolation : "process");
    if (spec->machines_dir) {
        add(&list, "--machines", spec->machines_dir);
        add(&list, "--files-program", files_program);
        if (spec->machine_memory_fd > 0)
            strv_push(&list, "--machine-memory");
        if (spec->staged)
            strv_push(&list, "--staged");
    }
    if (spec->log_path) {
        add(&list, "--log", spec->log_path);
        strv_push(&list, "--log-max-size");
        strv_take(&list, mem_printf("%lld", (long long)spec->log_max_size));
        strv_push(&list, "--log-max-files");
        strv_take(&list, mem_printf("%d", spec->log_max_files < 1 ? 1 : spec->log_max_files));
    }
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        if (texts[i].value)
            add(&list, texts[i].name, texts[i].value);
    if (spec->log_to) {
        strv_push(&list, "--log-facility");
        strv_take(&list, mem_printf("%d", spec->log_facility));
    }
    if (spec->log_compress)
        strv_push(&list, "--log-compress");
    if (spec->open_stdin)
        strv_push(&list, "--open-stdin");
    if (spec->stdin_once)
        strv_push(&list, "--stdin-once");
    return list;
}

/* ahead: "--warm" or "--stage", of one without a container, and so without a listening
 * socket; cgroup: where its machine is then. */
static int spawn(const struct shim_spec *spec, const char *ahead, const char *cgroup, int listening, int first,
                 pid_t *ret_pid, int *ret_pidfd, struct error *err)
{
    CLEANUP_CLOSE int mount_fd = -EBADF;
    CLEANUP_FREE char *program = readonly_program(spec->program, &mount_fd, err);
    CLEANUP_STRV char **options = arguments(spec);
    CLEANUP_STRV char **argv = NULL;
    struct child_fd fds[FDS_MAX] = {{STDERR_FILENO, STDERR_FILENO}, {mount_fd, FD_PROGRAM_DIR}};
    struct child_spec child = {.path = program, .fds = fds, .fd_count = 2, .new_session = 1};

    if (!program)
        return err && err->code ? -err->code : -EIO;
    strv_push(&argv, "tabique-shim");
    if (ahead)
        add(&argv, ahead, cgroup);
    for (char **option = options; *option; option++)
        strv_push(&argv, *option);
    if (first >= 0)
        fds[child.fd_count++] = (struct child_fd){first, FD_FIRST};
    if (listening >= 0)
        fds[child.fd_count++] = (struct child_fd){listening, FD_LISTENING};
    if (spec->machines_dir && spec->machine_memory_fd > 0)
        fds[child.fd_count++] = (struct child_fd){spec->machine_memory_fd, FD_MACHINE_MEMORY};
    for (int i = 0; spec->machines_dir && spec->staged && i < STAGED_FILES; i++)
        fds[child.fd_count++] = (struct child_fd){shim__stage_fds(spec->staged)[i], FD_STAGED + i};
    child.argv = argv;
    return child_spawn(&child, ret_pid, ret_pidfd, err);
}

/* Its socket, and nothing left of the run before: its record would be taken for this
 * one's. */
static int prepare(const struct shim_spec *spec, int *ret_listening, struct error *err)
{
    CLEANUP_FREE char *socket_path = path_join(spec->dir, SOCKET_NAME);
    CLEANUP_FREE char *record = path_join(spec->state_dir, "exit");
    int listening;

    if (unlink(record) < 0 && errno != ENOENT)
        return error_errno(err, errno, "cannot remove %s", record);
    listening = socket_listen(socket_path, 64, 0600);
    if (listening < 0)
        return error_errno(err, listening == -ENOENT ? EIO : -listening, "cannot make %s", socket_path);
    *ret_listening = listening;
    return 0;
}

static int make_pair(int *ours, int *theirs, struct error *err)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return error_errno(err, errno, "cannot make a socket pair");
    *ours = pair[0];
    *theirs = pair[1];
    return 0;
}

/* Takes the fds. */
static void begin(struct shim *shim, pid_t pid, int pidfd, int fd)
{
    shim->pid = pid;
    shim->pidfd = pidfd;
    shim->fd = fd;
    fd_set_nonblock(fd, true);
    loop_post(shim->loop, shim__begin, shim);
}

int shim_spawn(const struct shim_spec *spec, struct loop *loop, const struct shim_events *events, void *user,
               struct shim **ret, struct error *err)
{
    CLEANUP_CLOSE int listening = -EBADF;
    CLEANUP_CLOSE int ours = -EBADF;
    CLEANUP_CLOSE int theirs = -EBADF;
    CLEANUP_CLOSE int pidfd = -EBADF;
    struct shim *shim;
    pid_t pid;
    int r = prepare(spec, &listening, err);

    if (r == 0)
        r = make_pair(&ours, &theirs, err);
    if (r == 0)
        r = spawn(spec, NULL, NULL, listening, theirs, &pid, &pidfd, err);
    if (r < 0)
        return r;
    r = shim__send_hello(ours);
    if (r < 0) {
        (void)waitid(P_PIDFD, (id_t)pidfd, &(siginfo_t){0}, WEXITED);
        return error_errno(err, -r, "the shim of container %.12s has ended", spec->id);
    }
    shim = shim__new(spec, loop, events, user);
    begin(shim, pid, TAKE_FD(pidfd), TAKE_FD(ours));
    *ret = shim;
    return 0;
}

int shim__spawn_stage(const struct shim_spec *spec, const char *cgroup, pid_t *ret_pid, int *ret_pidfd, struct error *err)
{
    return spawn(spec, "--stage", cgroup, -EBADF, -EBADF, ret_pid, ret_pidfd, err);
}

/* --- made ahead ----------------------------------------------------------------------- */

int shim_warm_rehearse(struct shim_warm *warm, const struct plan *next, const char *dir)
{
    CLEANUP_STR struct str body = STR_INIT, plan = STR_INIT;

    if (next) {
        plan_encode(next, &plan);
        wire_put_bytes(&body, RPC_TAG_PLAN, plan.data, plan.length);
    }
    wire_put_string(&body, RPC_TAG_PATH, dir);
    return rpc_send(warm->fd, RPC_REHEARSE, 0, 0, body.data, body.length);
}

int shim_warm_spawn(const struct shim_spec *spec, const char *cgroup, const struct plan *next, const char *dir,
                    struct shim_warm **ret, struct error *err)
{
    CLEANUP_CLOSE int ours = -EBADF;
    CLEANUP_CLOSE int theirs = -EBADF;
    struct shim_warm made = {.pidfd = -EBADF, .fd = -EBADF};
    int r = make_pair(&ours, &theirs, err);

    if (r == 0)
        r = spawn(spec, "--warm", cgroup, -EBADF, theirs, &made.pid, &made.pidfd, err);
    if (r < 0)
        return r;
    made.fd = TAKE_FD(ours);
    *ret = mem_new(struct shim_warm);
    **ret = made;
    r = shim_warm_rehearse(*ret, next, dir);
    if (r < 0) {
        shim_warm_free(*ret);
        return error_errno(err, -r, "a pool machine's shim has ended");
    }
    return 0;
}

int shim_warm_fd(const struct shim_warm *warm)
{
    return warm->fd;
}

int shim_warm_ready(struct shim_warm *warm, pid_t *ret_worker)
{
    struct rpc_frame frame;
    struct wire_reader reader;
    struct wire_field field;
    uint64_t worker = 0;
    int r = rpc_receive(warm->fd, &warm->decoder, &frame, FRAME_MS);

    if (r < 0)
        return r;
    if (frame.type != RPC_WARM)
        return -EPROTO;
    wire_read(&reader, frame.body, frame.length);
    while (wire_next(&reader, &field))
        if (field.tag == RPC_TAG_PID)
            worker = wire_u64(&reader, &field);
    if (!wire_ok(&reader) || worker == 0 || worker > INT32_MAX)
        return -EPROTO;
    *ret_worker = (pid_t)worker;
    return 0;
}

void shim_warm_free(struct shim_warm *warm)
{
    if (!warm)
        return;
    /* At once, whatever it is doing; its worker dies with it. */
    (void)syscall(SYS_pidfd_send_signal, warm->pidfd, SIGKILL, NULL, 0);
    (void)waitid(P_PIDFD, (id_t)warm->pidfd, &(siginfo_t){0}, WEXITED);
    cleanup_close(&warm->pidfd);
    cleanup_close(&warm->fd);
    rpc_decoder_free(&warm->decoder);
    free(warm);
}

static int send_adopt(const struct shim_warm *warm, const struct shim_spec *spec, const char *cgroup, int listening)
{
    CLEANUP_STRV char **options = arguments(spec);
    CLEANUP_STR struct str body = STR_INIT, out = STR_INIT;

    wire_put_string(&body, RPC_TAG_CGROUP, cgroup);
    for (char **option = options; *option; option++)
        wire_put_string(&body, RPC_TAG_ARGUMENT, *option);
    rpc_encode(&out, RPC_ADOPT, 0, 0, body.data, body.length);
    return fd_send(warm->fd, out.data, out.length, &listening, 1);
}

int shim_adopt(struct shim_warm *warm, const struct shim_spec *spec, const char *cgroup, struct loop *loop,
               const struct shim_events *events, void *user, struct shim **ret, struct error *err)
{
    CLEANUP_CLOSE int listening = -EBADF;
    struct pollfd answer = {.fd = warm->fd, .events = POLLIN};
    struct shim *shim;
    int r = prepare(spec, &listening, err);

    if (r == 0 && (r = send_adopt(warm, spec, cgroup, listening)) < 0)
        r = error_errno(err, -r, "a pool machine has ended");
    /* Its first word, which stays where it is for the loop. */
    if (r >= 0 && (poll(&answer, 1, ADOPT_MS) <= 0 || answer.revents & (POLLHUP | POLLERR)))
        r = error_set(err, EPIPE, "a pool machine does not answer");
    if (r >= 0 && (r = shim__send_hello(warm->fd)) < 0)
        r = error_errno(err, -r, "a pool machine has ended");
    if (r < 0) {
        shim_warm_free(warm);
        return r;
    }
    shim = shim__new(spec, loop, events, user);
    begin(shim, warm->pid, TAKE_FD(warm->pidfd), TAKE_FD(warm->fd));
    rpc_decoder_free(&warm->decoder);
    free(warm);
    *ret = shim;
    return 0;
}
