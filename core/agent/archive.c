/* archive.c - the container's files for the host: cp, export, diff, commit.
 *
 * Each order is carried out by a child, because it waits: for a slow reader or
 * writer at the other end, for the disk, for a shared directory's server. The child
 * has nothing of ours but the tree, the data's pipe and a pipe for its result; the
 * reply goes out when that ends. core/archive never leaves the root it is given. */
#include "agent/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "archive/archive.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"

#define JOBS_MAX 64
#define RESULT_MAX (64u << 10)
#define PIPE_SIZE (256 << 10) /* fewer switches than the usual 64 KiB */

struct agent_job {
    struct agent_job *next;
    struct agent *agent;
    uint64_t id, stream;
    uint16_t type;
    int pidfd; /* the child may be reaped before we look: no pid can be trusted */
    int result_fd;
    struct loop_source *watch;
    struct str result; /* one byte: 0 fine, 1 an error; then the reply's fields */
};

struct order {
    uint16_t type;
    char *path, *name;
    uint64_t flags, root, stream;
};

/* --- in the child ------------------------------------------------------------------ */

struct output {
    int fd;
    struct str buffer;
};

static int write_data(void *user, const void *data, size_t size)
{
    return fd_write_all(*(const int *)user, data, size);
}

static int flush_output(struct output *output)
{
    int r = fd_write_all(output->fd, output->buffer.data, output->buffer.length);

    str_clear(&output->buffer);
    return r;
}

static int put_change(void *user, const char *path, enum archive_change kind)
{
    struct output *output = user;
    char digit = (char)('0' + kind);

    str_append_n(&output->buffer, &digit, 1);
    str_append_n(&output->buffer, path, strlen(path) + 1);
    return output->buffer.length > (32u << 10) ? flush_output(output) : 0;
}

static int put_entry(void *user, const struct archive_entry *entry)
{
    struct output *output = user;

    archive_entry_put(&output->buffer, entry);
    return output->buffer.length > (32u << 10) ? flush_output(output) : 0;
}

/* Image and changes without what is mounted over them, in a namespace that goes
 * with this child. */
static int open_whole(int *ret_fd, struct error *err)
{
    mkdir("/run/whole", 0700);
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("whole", "/run/whole", "overlay", MS_RDONLY, "lowerdir=/scratch/upper:/layers/image") < 0 ||
        (*ret_fd = open("/run/whole", O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0)
        return error_errno(err, errno, "cannot put the container's file system together");
    return 0;
}

static int open_tree_of(const struct order *order, int container_root, int *ret_fd, struct error *err)
{
    switch (order->root) {
    case RPC_ROOT_CONTAINER:
        *ret_fd = container_root;
        return container_root < 0 ? error_set(err, ESRCH, "the container is not running") : 0;
    case RPC_ROOT_WHOLE:
        return open_whole(ret_fd, err);
    case RPC_ROOT_CHANGES:
        *ret_fd = open("/scratch/upper", O_PATH | O_DIRECTORY | O_CLOEXEC);
        return *ret_fd < 0 ? error_errno(err, errno, "cannot open the container's changes") : 0;
    default:
        return error_set(err, EINVAL, "no such tree");
    }
}

static int do_get(const struct order *order, int root, int data, struct error *err)
{
    return archive_create(root, order->path, order->name ? order->name : "", (unsigned)order->flags, write_data, &data, err);
}

static int do_put(const struct order *order, int root, int data, struct error *err)
{
    CLEANUP_CLOSE int directory = path_open_in(root, order->path, O_PATH | O_DIRECTORY, 0);
    struct archive_result result;

    if (directory == -ENOTDIR)
        return error_set(err, EINVAL, "extraction point is not a directory");
    if (directory < 0)
        return error_errno(err, -directory, "%s", order->path);
    return archive_extract(root, order->path, archive_read_fd, &data, (unsigned)order->flags, NULL, &result, err);
}

static int do_stat(const struct order *order, int root, struct str *reply, struct error *err)
{
    struct archive_stat st;
    int r = archive_stat(root, order->path, &st, err);

    if (r < 0)
        return r;
    wire_put_string(reply, RPC_TAG_NAME, st.name);
    wire_put_i64(reply, RPC_TAG_SIZE, st.size);
    wire_put_u64(reply, RPC_TAG_MODE, st.mode);
    wire_put_i64(reply, RPC_TAG_TIME, st.mtime_ns);
    wire_put_string(reply, RPC_TAG_LINK, st.link_target);
    return 0;
}

static int do_list(const struct order *order, int root, int data, struct error *err)
{
    struct output output = {.fd = data};
    int r = archive_list(root, order->path, put_entry, &output, err);

    return r < 0 ? r : flush_output(&output);
}

static int do_changes(int data, struct error *err)
{
    CLEANUP_CLOSE int upper = open("/scratch/upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP_CLOSE int lower = open("/layers/image", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct output output = {.fd = data};
    int r;

    if (upper < 0 || lower < 0)
        return error_errno(err, errno, "cannot open the container's changes");
    r = archive_changes(upper, lower, put_change, &output, err);
    return r < 0 ? r : flush_output(&output);
}

/* Of all that the agent has open, stdin ends of processes among it, the child must
 * keep nothing: it may live longer than they. */
static void close_others(int a, int b, int c)
{
    int kept[3] = {a, b, c};
    int from = 3;

    for (int i = 0; i < 3; i++) {
        int least = INT_MAX;
        for (int j = 0; j < 3; j++)
            if (kept[j] >= from && kept[j] < least)
                least = kept[j];
        if (least == INT_MAX)
            break;
        if (least > from)
            (void)close_range((unsigned)from, (unsigned)least - 1, 0);
        from = least + 1;
    }
    (void)close_range((unsigned)from, ~0u, 0);
}

static void child(const struct order *order, int container_root, int data, int result)
{
    struct str reply = STR_INIT;
    struct error err = ERROR_INIT;
    int root = -EBADF;
    int r;

    close_others(container_root, data, result);
    str_append_n(&reply, "", 1);
    if (order->type == RPC_CHANGES) {
        r = do_changes(data, &err);
    } else {
        r = open_tree_of(order, container_root, &root, &err);
        if (r >= 0 && order->type == RPC_ARCHIVE_GET)
            r = do_get(order, root, data, &err);
        else if (r >= 0 && order->type == RPC_ARCHIVE_PUT)
            r = do_put(order, root, data, &err);
        else if (r >= 0 && order->type == RPC_ARCHIVE_LIST)
            r = do_list(order, root, data, &err);
        else if (r >= 0)
            r = do_stat(order, root, &reply, &err);
    }
    if (r < 0) {
        str_clear(&reply);
        str_append_n(&reply, "\1", 1);
        if (!err.code)
            error_set(&err, -r, "%s", strerror(-r));
        rpc_put_error(&reply, &err, false);
    }
    (void)fd_write_all(result, reply.data, reply.length);
    _exit(0);
}

/* --- in the agent ------------------------------------------------------------------- */

static void job_free(struct agent_job *job)
{
    struct agent_job **at = &job->agent->jobs;

    while (*at != job)
        at = &(*at)->next;
    *at = job->next;
    loop_remove(job->watch);
    close(job->result_fd);
    cleanup_close(&job->pidfd);
    /* What the host still sends for an order that is over finds no sink and is dropped. */
    if (job->type == RPC_ARCHIVE_PUT)
        mux_remove(job->agent->mux, job->stream);
    str_free(&job->result);
    free(job);
}

static void job_kill(struct agent_job *job)
{
    (void)syscall(SYS_pidfd_send_signal, job->pidfd, SIGKILL, NULL, 0);
    job_free(job);
}

static void on_result(struct loop_source *source, int fd, uint32_t events, void *user)
{
    struct agent_job *job = user;
    char chunk[4096];
    ssize_t n = read(fd, chunk, sizeof(chunk));

    if (n > 0 && job->result.length < RESULT_MAX) {
        str_append_n(&job->result, chunk, (size_t)n);
        return;
    }
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (job->result.length == 0) { /* killed, most likely for want of memory */
        struct error err = ERROR_INIT;
        error_set(&err, EIO, "the archiver inside the machine was killed");
        str_append_n(&job->result, "\1", 1);
        rpc_put_error(&job->result, &err, false);
    }
    mux_send(job->agent->mux, job->type, (uint16_t)(RPC_REPLY | (job->result.data[0] ? RPC_ERROR : 0)), job->id,
             job->result.data + 1, job->result.length - 1);
    job_free(job);
}

static int container_root(struct agent *agent)
{
    for (struct agent_process *process = agent->processes; process; process = process->next)
        if (process->exec_id[0] == '\0')
            return process->launched.root_fd;
    return agent->root_fd;
}

static int parse(const struct rpc_frame *frame, struct order *order, struct error *err)
{
    struct wire_reader reader;
    struct wire_field field;

    wire_read(&reader, frame->body, frame->length);
    while (wire_next(&reader, &field)) {
        switch (field.tag) {
        case RPC_TAG_PATH: free(order->path); order->path = wire_string(&reader, &field); break;
        case RPC_TAG_NAME: free(order->name); order->name = wire_string(&reader, &field); break;
        case RPC_TAG_FLAGS: order->flags = wire_u64(&reader, &field); break;
        case RPC_TAG_ROOT: order->root = wire_u64(&reader, &field); break;
        case RPC_TAG_STREAM_BASE: order->stream = wire_u64(&reader, &field); break;
        default: break;
        }
    }
    if (!wire_ok(&reader) || (!order->path && order->type != RPC_CHANGES))
        return error_set(err, EBADMSG, "malformed archive order");
    return 0;
}

static int join_data(struct agent *agent, const struct order *order, int fds[2])
{
    bool in = order->type == RPC_ARCHIVE_PUT;

    if (order->type == RPC_ARCHIVE_STAT)
        return 0;
    (void)fcntl(fds[0], F_SETPIPE_SZ, PIPE_SIZE);
    return in ? mux_sink(agent->mux, order->stream, TAKE_FD(fds[1]))
              : mux_source(agent->mux, order->stream, TAKE_FD(fds[0]), NULL, NULL);
}

static int begin(struct agent *agent, const struct rpc_frame *frame, const struct order *order, struct error *err)
{
    int data[2] = {-EBADF, -EBADF}, result[2] = {-EBADF, -EBADF};
    bool in = order->type == RPC_ARCHIVE_PUT;
    struct agent_job *job;
    pid_t pid = -1;
    int r = 0;

    if (pipe2(data, O_CLOEXEC) < 0 || pipe2(result, O_CLOEXEC) < 0)
        r = error_errno(err, errno, "cannot make a pipe");
    if (r >= 0 && (pid = fork()) == 0)
        child(order, container_root(agent), in ? data[0] : data[1], result[1]);
    if (r >= 0 && pid < 0)
        r = error_errno(err, errno, "cannot start the archiver");
    if (r >= 0) {
        job = mem_new(struct agent_job);
        *job = (struct agent_job){.next = agent->jobs, .agent = agent, .id = frame->id, .stream = order->stream,
                                  .type = order->type, .result_fd = TAKE_FD(result[0]),
                                  .pidfd = (int)syscall(SYS_pidfd_open, pid, 0)};
        agent->jobs = job;
        r = join_data(agent, order, data);
        if (r >= 0)
            r = loop_add_fd(agent->loop, job->result_fd, EPOLLIN, on_result, job, &job->watch);
        if (r < 0) {
            error_errno(err, -r, "cannot watch the archiver");
            job_kill(job);
        }
    }
    for (int i = 0; i < 2; i++) {
        cleanup_close(&data[i]);
        cleanup_close(&result[i]);
    }
    return r < 0 ? r : AGENT_LATER;
}

int archive_order(struct agent *agent, const struct rpc_frame *frame, struct str *reply, bool *exec_failed,
                  struct error *err)
{
    struct order order = {.type = frame->type};
    size_t count = 0;
    int r;

    for (struct agent_job *job = agent->jobs; job; job = job->next)
        count++;
    r = parse(frame, &order, err);
    if (r >= 0 && !agent->mounted)
        r = error_set(err, ESRCH, "the container's disks are not mounted");
    if (r >= 0 && count >= JOBS_MAX)
        r = error_set(err, EAGAIN, "too many archives at once");
    if (r >= 0)
        r = begin(agent, frame, &order, err);
    free(order.path);
    free(order.name);
    return r;
}

int archive_cancel(struct agent *agent, const struct rpc_frame *frame, struct str *reply, bool *exec_failed,
                   struct error *err)
{
    for (struct agent_job *job = agent->jobs; job; job = job->next) {
        if (job->id == frame->id) {
            mux_remove(agent->mux, job->stream);
            job_kill(job);
            break;
        }
    }
    return AGENT_LATER; /* nobody waits */
}

int archive_mount(struct agent *agent, const struct rpc_frame *frame, struct str *reply, bool *exec_failed,
                  struct error *err)
{
    int r;

    if (agent->plan || agent->root_fd >= 0)
        return error_set(err, EEXIST, "this machine has its container already");
    r = agent->mounted ? process_drop_ahead(agent, err) : machine_mount_disks(err);
    if (r < 0)
        return r;
    agent->mounted = true;
    mkdir("/run/container", 0700);
    if (mount("container", "/run/container", "overlay", 0,
              "lowerdir=/layers/image,upperdir=/scratch/upper,workdir=/scratch/work") < 0 ||
        (agent->root_fd = open("/run/container", O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0)
        return error_errno(err, errno, "cannot put the container's file system together");
    return 0;
}
