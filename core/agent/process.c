/* process.c - the container's processes inside the guest: the same launcher as on
 * the host, fed with a plan whose host paths have been replaced.
 *
 * What a plan names on the host does not exist here: the root file system comes
 * on two disks, small files (hosts, resolv.conf, hostname) by content, shared
 * directories by index (files.c). A bind whose source was neither sent nor shared
 * is refused rather than guessed. */
#include "agent/agent.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "host/process_wire.h"
#include "launch/cgroup.h"
#include "tabique/host.h"

#define FILES_DIR "/run/files"

static struct agent_process *process_find(struct agent *agent, const char *exec_id)
{
    struct agent_process *process = agent->processes;

    while (process && !str_equal(process->exec_id, exec_id))
        process = process->next;
    return process;
}

static void process_free(struct agent_process *process)
{
    launched_close(&process->launched);
    if (process->tty_fd >= 0)
        close(process->tty_fd);
    free(process->exec_id);
    free(process);
}

/* --- what the host sends instead of paths ------------------------------------------ */

/* Points the plan's binds of a host path to where its contents are in here. */
static void replace_source(struct plan *plan, const char *path, const char *here)
{
    for (size_t i = 0; i < plan->mount_count; i++) {
        if (str_equal(plan->mounts[i].type, "bind") && str_equal(plan->mounts[i].source, path)) {
            free(plan->mounts[i].source);
            plan->mounts[i].source = mem_strdup(here);
        }
    }
}

static int take_share(struct plan *plan, struct wire_reader *reader, struct error *err)
{
    CLEANUP_FREE char *path = NULL;
    char here[64];
    struct wire_field field;
    uint64_t index = UINT64_MAX;

    while (wire_next(reader, &field)) {
        if (field.tag == RPC_TAG_PATH && !path)
            path = wire_string(reader, &field);
        else if (field.tag == RPC_TAG_INDEX)
            index = wire_u64(reader, &field);
    }
    if (!wire_ok(reader) || !path || index > 1000)
        return error_set(err, EBADMSG, "malformed share");
    snprintf(here, sizeof(here), FILES_SHARES "/%u", (unsigned)index);
    replace_source(plan, path, here);
    return 0;
}

struct small_file {
    char *path; /* on the host */
    const void *data;
    size_t length;
};

static const char *here_name(size_t number, char here[64])
{
    snprintf(here, 64, FILES_DIR "/%zu", number);
    return here;
}

static int read_file_record(struct wire_reader *reader, struct small_file *ret, struct error *err)
{
    struct small_file file = {.data = ""};
    struct wire_field field;

    while (wire_next(reader, &field)) {
        if (field.tag == RPC_TAG_PATH && !file.path)
            file.path = wire_string(reader, &field);
        else if (field.tag == RPC_TAG_DATA)
            file.data = field.data, file.length = field.length;
    }
    if (!wire_ok(reader) || !file.path) {
        free(file.path);
        return error_set(err, EBADMSG, "malformed file");
    }
    *ret = file;
    return 0;
}

/* In place; cut only where it is shorter than it was, since a start waits for this. */
static int rewrite(size_t number, const struct small_file *file, struct error *err)
{
    char here[64];
    CLEANUP_CLOSE int fd = open(here_name(number, here), O_WRONLY | O_CLOEXEC);
    struct stat st;
    int r = fd < 0 || fstat(fd, &st) < 0 ? -errno : fd_write_all(fd, file->data, file->length);

    if (r >= 0 && st.st_size > (off_t)file->length && ftruncate(fd, (off_t)file->length) < 0)
        r = -errno;
    return r < 0 ? error_errno(err, -r, "cannot write %s", here) : 0;
}

/* Writes one small file and points the plan's bind of that host path to it. One that is
 * mounted already is written in place. */
static int take_file(struct agent *agent, struct plan *plan, struct wire_reader *reader, size_t number, bool ahead,
                     struct error *err)
{
    struct small_file file;
    char here[64];
    int r = read_file_record(reader, &file, err);

    if (r < 0)
        return r;
    strv_take(&agent->files, file.path);
    replace_source(plan, file.path, here_name(number, here));
    if (ahead)
        return rewrite(number, &file, err);
    mkdir(FILES_DIR, 0755);
    r = file_replace(AT_FDCWD, here, file.data, file.length, 0644);
    return r < 0 ? error_errno(err, -r, "cannot write %s", here) : 0;
}

int process_refresh_files(struct agent *agent, const struct rpc_frame *frame, struct error *err)
{
    struct wire_reader reader, nested;
    struct wire_field field;
    int r = 0;

    wire_read(&reader, frame->body, frame->length);
    while (r >= 0 && wire_next(&reader, &field)) {
        struct small_file file;

        if (field.tag != RPC_TAG_FILE)
            continue;
        wire_nested(&field, &nested);
        r = read_file_record(&nested, &file, err);
        if (r < 0)
            return r;
        for (size_t i = 0; agent->files && agent->files[i]; i++)
            if (str_equal(agent->files[i], file.path)) {
                r = rewrite(i, &file, err);
                break;
            }
        free(file.path);
    }
    return r;
}

static int check_binds(const struct plan *plan, struct error *err)
{
    for (size_t i = 0; i < plan->mount_count; i++) {
        const struct plan_mount *mount = &plan->mounts[i];
        if (str_equal(mount->type, "bind") && !str_starts(mount->source, "/run/"))
            return error_set(err, EINVAL, "mount %s: %s was not shared with this machine", mount->target, mount->source);
    }
    return 0;
}

static void use_disks(struct plan *plan)
{
    struct plan_rootfs *rootfs = &plan->rootfs;

    free(rootfs->layers_dir);
    strv_free(rootfs->lower);
    free(rootfs->upper);
    free(rootfs->work);
    free(rootfs->device);
    rootfs->device = NULL;
    rootfs->layers_dir = mem_strdup("/layers");
    rootfs->lower = NULL;
    strv_push(&rootfs->lower, "image");
    rootfs->upper = mem_strdup("/scratch/upper");
    rootfs->work = mem_strdup("/scratch/work");
    /* The machine's own network namespace is the container's: it has nobody to
     * share it with, and its interface is there already. */
    free(plan->namespaces[PLAN_NS_NET].path);
    plan->namespaces[PLAN_NS_NET] = (struct plan_namespace){.mode = PLAN_NS_HOST};
    free(plan->cgroup);
    plan->cgroup = mem_strdup(AGENT_CGROUP);
}

/* "/dev" stands for every node there (--privileged). */
static void use_devices(struct plan *plan)
{
    DIR *dir = plan->device_count == 1 && str_equal(plan->devices[0].host_path, "/dev") ? opendir("/dev") : NULL;
    struct dirent *entry;

    if (!dir)
        return;
    size_t count = 0;
    struct plan_device *nodes = NULL, whole = plan->devices[0];
    while ((entry = readdir(dir))) {
        if ((entry->d_type != DT_CHR && entry->d_type != DT_BLK) || str_equal(entry->d_name, "console"))
            continue;
        CLEANUP_FREE char *path = path_join("/dev", entry->d_name);
        nodes = mem_grow(nodes, count + 1, sizeof(*nodes));
        nodes[count++] = (struct plan_device){mem_strdup(path), mem_strdup(path), mem_strdup(whole.permissions)};
    }
    closedir(dir);
    free(whole.host_path), free(whole.path), free(whole.permissions);
    free(plan->devices);
    plan->devices = nodes;
    plan->device_count = count;
}

/* The machine's network namespace is the container's own, but not a new one: what
 * the launcher would set in a new one is set here. */
static void set_network_sysctls(struct plan *plan)
{
    size_t kept = 0;

    for (size_t i = 0; i < plan->sysctl_count; i++) {
        struct plan_pair pair = plan->sysctls[i];
        if (!str_starts(pair.name, "net.")) {
            plan->sysctls[kept++] = pair;
            continue;
        }
        if (!machine_is_usual(&pair))
            (void)machine_set_sysctl(pair.name, pair.value);
        free(pair.name);
        free(pair.value);
    }
    plan->sysctl_count = kept;
}

/* --- starting ---------------------------------------------------------------------- */

static void put_started(const struct launched *launched, struct str *reply)
{
    wire_put_u64(reply, RPC_TAG_GUEST_PID, (uint64_t)launched->pid);
}

/* The mux owns what it is given; ours are duplicates, so that a resize or a
 * signal does not depend on the streams still being open. */
static int join_streams(struct agent *agent, struct agent_process *process)
{
    struct launched *launched = &process->launched;
    int r;

    process->tty_fd = -EBADF;
    if (launched->pty_fd >= 0) {
        process->tty_fd = fcntl(launched->pty_fd, F_DUPFD_CLOEXEC, 0);
        r = mux_sink(agent->mux, process->stream_base, fcntl(launched->pty_fd, F_DUPFD_CLOEXEC, 0));
        if (r >= 0)
            r = mux_source(agent->mux, process->stream_base + 1, TAKE_FD(launched->pty_fd), NULL, NULL);
        return r;
    }
    /* A stream that the plan leaves out is not there. */
    r = launched->stdio[0] >= 0 ? mux_sink(agent->mux, process->stream_base, TAKE_FD(launched->stdio[0])) : 0;
    for (int i = 1; r >= 0 && i < 3; i++)
        if (launched->stdio[i] >= 0)
            r = mux_source(agent->mux, process->stream_base + (uint64_t)i, TAKE_FD(launched->stdio[i]), NULL, NULL);
    return r;
}

static int process_add(struct agent *agent, const char *exec_id, uint64_t stream_base,
                       struct launched *launched, struct error *err)
{
    struct agent_process *process = mem_new(struct agent_process);
    int r;

    *process = (struct agent_process){.next = agent->processes, .exec_id = mem_strdup(exec_id),
                                      .launched = *launched, .stream_base = stream_base, .tty_fd = -EBADF};
    *launched = LAUNCHED_INIT;
    agent->processes = process;
    r = join_streams(agent, process);
    return r < 0 ? error_errno(err, -r, "cannot connect the process's streams") : 0;
}

struct order {
    struct plan *plan; /* NULL: none was given */
    uint64_t stream_base;
    size_t files, shares;
    bool ahead;
};

static void order_clear(struct order *order)
{
    plan_free(order->plan);
}

/* With what was sent put in the place of the host's paths. */
static int read_order(struct agent *agent, const struct rpc_frame *frame, struct order *order, struct error *err)
{
    struct wire_reader reader, nested;
    struct wire_field field;
    int r = 0;

    strv_freep(&agent->files);
    /* The plan comes first, so that what follows can be put in its place. */
    wire_read(&reader, frame->body, frame->length);
    while (r >= 0 && wire_next(&reader, &field)) {
        if (field.tag == RPC_TAG_PLAN && !order->plan) {
            r = plan_decode(field.data, field.length, &order->plan);
            if (r < 0)
                r = error_set(err, EBADMSG, "malformed plan");
        } else if (field.tag == RPC_TAG_STREAM_BASE) {
            order->stream_base = wire_u64(&reader, &field);
        } else if (field.tag == RPC_TAG_AHEAD) {
            order->ahead = wire_bool(&reader, &field);
        } else if (field.tag == RPC_TAG_FILE && order->plan) {
            wire_nested(&field, &nested);
            r = take_file(agent, order->plan, &nested, order->files++, order->ahead, err);
        } else if (field.tag == RPC_TAG_SHARE && order->plan) {
            wire_nested(&field, &nested);
            r = take_share(order->plan, &nested, err);
            order->shares++;
        }
    }
    if (r >= 0 && !wire_ok(&reader))
        r = error_set(err, EBADMSG, "malformed order");
    if (r < 0 || !order->plan)
        return r;
    r = check_binds(order->plan, err);
    use_disks(order->plan);
    use_devices(order->plan);
    return r;
}

static int mount_disks(struct agent *agent, struct error *err)
{
    int r = machine_mount_disks(err);

    agent->mounted = r >= 0;
    return r;
}

int process_disks(struct agent *agent, const struct rpc_frame *frame, struct str *reply, bool *ret_exec_failed,
                  struct error *err)
{
    CLEANUP(order_clear) struct order order = {0};
    int r = agent->mounted ? error_set(err, EEXIST, "this machine has its disks already") : read_order(agent, frame, &order, err);

    if (r >= 0)
        r = mount_disks(agent, err);
    if (r >= 0 && order.plan) {
        machine_read_ahead(order.plan->process.argv ? order.plan->process.argv[0] : "");
        r = launch_begin(order.plan, &agent->ahead, err);
    }
    /* A journal that is written out here is not in the start that comes. */
    sync();
    if (r >= 0) {
        plan_free(agent->ahead_plan);
        agent->ahead_plan = TAKE_PTR(order.plan);
    }
    return r;
}

static bool end_ahead(struct agent *agent)
{
    pid_t pid = agent->ahead.pid;

    if (pid < 0)
        return false;
    launched_close(&agent->ahead);
    agent->ahead = LAUNCHED_INIT;
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    return true;
}

/* Its counts and its device program go with it. */
static int renew_cgroup(struct error *err)
{
    (void)cgroup_remove(AGENT_CGROUP);
    return cgroup_create(AGENT_CGROUP, err);
}

int process_drop_ahead(struct agent *agent, struct error *err)
{
    return end_ahead(agent) ? renew_cgroup(err) : 0;
}

/* Into what stands ready for it, if it does; else from the beginning. */
static int prepare(struct agent *agent, const struct order *order, struct launched *launched, struct error *err)
{
    struct plan_limits limits = order->plan->limits;
    int r;

    if (!order->ahead) {
        r = process_drop_ahead(agent, err);
        return r < 0 ? r : launch_prepare(order->plan, launched, err);
    }
    if (agent->ahead.pid < 0)
        return error_set(err, ENOENT, "nothing was made ahead");
    *launched = agent->ahead;
    agent->ahead = LAUNCHED_INIT;
    limits.device_rule_count = 0; /* they are the same */
    r = cgroup_apply(AGENT_CGROUP, &limits, err);
    return r < 0 ? r : launch_finish(launched, agent->ahead_plan, order->plan, err);
}

int process_start(struct agent *agent, const struct rpc_frame *frame, struct str *reply,
                  bool *ret_exec_failed, struct error *err)
{
    struct launched launched = LAUNCHED_INIT;
    CLEANUP(order_clear) struct order order = {0};
    int r;

    if (agent->plan)
        return error_set(err, EEXIST, "this machine has its container already");
    r = read_order(agent, frame, &order, err);
    if (r >= 0 && !order.plan)
        r = error_set(err, EBADMSG, "malformed order to start");
    if (r >= 0 && !agent->mounted)
        r = mount_disks(agent, err);
    if (r < 0)
        return r;
    set_network_sysctls(order.plan);
    r = order.shares ? files_mount(err) : 0;
    if (r >= 0)
        r = prepare(agent, &order, &launched, err);
    if (r >= 0)
        r = launch_go(&launched, err);
    *ret_exec_failed = launched.exec_failed;
    if (r < 0) {
        launched_close(&launched);
        return r;
    }
    agent->oom_kills = 0; /* its control group is new */
    agent->plan = TAKE_PTR(order.plan);
    put_started(&launched, reply);
    return process_add(agent, "", order.stream_base, &launched, err);
}

int process_exec(struct agent *agent, const struct rpc_frame *frame, struct str *reply,
                 bool *ret_exec_failed, struct error *err)
{
    struct launched launched = LAUNCHED_INIT;
    struct plan_process process = {0};
    struct agent_process *target = process_find(agent, "");
    CLEANUP_FREE char *exec_id = NULL;
    bool have_process = false;
    uint64_t stream_base = 0;
    struct wire_reader reader;
    struct wire_field field;
    int r = 0;

    wire_read(&reader, frame->body, frame->length);
    while (r >= 0 && wire_next(&reader, &field)) {
        if (field.tag == RPC_TAG_PROCESS && !have_process) {
            r = plan_process_decode(field.data, field.length, &process);
            have_process = r >= 0;
        } else if (field.tag == RPC_TAG_STREAM_BASE) {
            stream_base = wire_u64(&reader, &field);
        } else if (field.tag == RPC_TAG_EXEC_ID && !exec_id) {
            exec_id = wire_string(&reader, &field);
        }
    }
    if (r < 0 || !wire_ok(&reader) || !have_process || !exec_id)
        r = error_set(err, EBADMSG, "malformed order to exec");
    else if (!target)
        r = error_set(err, ESRCH, "the container is not running");
    else
        r = launch_exec(agent->plan, &target->launched, &process, &launched, err);
    plan_process_clear(&process);
    *ret_exec_failed = launched.exec_failed;
    if (r < 0) {
        launched_close(&launched);
        return r;
    }
    put_started(&launched, reply);
    return process_add(agent, exec_id, stream_base, &launched, err);
}

/* A pool machine has run its paths once on disks of no account: what real ones need
 * is a machine where nothing has been started. */
int process_reset(struct agent *agent, const struct rpc_frame *frame, struct str *reply, bool *ret_exec_failed,
                  struct error *err)
{
    (void)end_ahead(agent);
    int r = cgroup_kill(AGENT_CGROUP, SIGKILL);

    process_reap(agent);
    if (r < 0 || agent->processes || agent->jobs || agent->root_fd >= 0)
        return error_set(err, EBUSY, "this machine's container has not ended");
    plan_free(agent->plan);
    agent->plan = NULL;
    r = renew_cgroup(err);
    if (r < 0)
        return r;
    agent->oom_kills = 0;
    r = machine_reset(err);
    if (r >= 0)
        agent->mounted = false;
    return r;
}

/* --- while they run ---------------------------------------------------------------------- */

int process_signal(struct agent *agent, const struct rpc_frame *frame, struct error *err)
{
    CLEANUP_FREE char *exec_id = NULL;
    struct agent_process *process;
    struct wire_reader reader;
    struct wire_field field;
    uint64_t pid = 0, ticks = 0, signal = 0;

    wire_read(&reader, frame->body, frame->length);
    while (wire_next(&reader, &field)) {
        if (field.tag == RPC_TAG_EXEC_ID && !exec_id)
            exec_id = wire_string(&reader, &field);
        else if (field.tag == RPC_TAG_PID)
            pid = wire_u64(&reader, &field);
        else if (field.tag == RPC_TAG_START_TICKS)
            ticks = wire_u64(&reader, &field);
        else if (field.tag == RPC_TAG_SIGNAL)
            signal = wire_u64(&reader, &field);
    }
    if (!wire_ok(&reader) || signal > 64)
        return error_set(err, EBADMSG, "malformed order to signal");
    if (pid) {
        struct process_list *list = NULL;
        pid_t wanted = (pid_t)pid;
        CLEANUP_CLOSE int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        const struct process *found;
        int r = process_read(proc, &wanted, 1, &list, err);
        found = r >= 0 ? process_list_find(list, wanted) : NULL;
        bool same = found && found->start_ticks == ticks && wanted > 1;
        process_list_unref(list);
        if (!same)
            return error_set(err, ESRCH, "process %d has ended", (int)wanted);
        return kill(wanted, (int)signal) < 0 ? error_errno(err, errno, "process %d", (int)wanted) : 0;
    }
    process = process_find(agent, exec_id ? exec_id : "");
    if (!process)
        return error_set(err, ESRCH, "the process has ended");
    return kill(process->launched.pid, (int)signal) < 0 ? error_errno(err, errno, "cannot signal") : 0;
}

int process_resize(struct agent *agent, const struct rpc_frame *frame, struct error *err)
{
    CLEANUP_FREE char *exec_id = NULL;
    struct agent_process *process;
    struct winsize size = {0};
    struct wire_reader reader;
    struct wire_field field;

    wire_read(&reader, frame->body, frame->length);
    while (wire_next(&reader, &field)) {
        if (field.tag == RPC_TAG_EXEC_ID && !exec_id)
            exec_id = wire_string(&reader, &field);
        else if (field.tag == RPC_TAG_ROWS)
            size.ws_row = (unsigned short)wire_u64(&reader, &field);
        else if (field.tag == RPC_TAG_COLS)
            size.ws_col = (unsigned short)wire_u64(&reader, &field);
    }
    process = process_find(agent, exec_id ? exec_id : "");
    if (!wire_ok(&reader))
        return error_set(err, EBADMSG, "malformed order to resize");
    if (!process || process->tty_fd < 0)
        return error_set(err, EINVAL, "the process has no terminal");
    return ioctl(process->tty_fd, TIOCSWINSZ, &size) < 0 ? error_errno(err, errno, "cannot resize") : 0;
}

int process_list_all(struct agent *agent, struct str *reply, struct error *err)
{
    CLEANUP_CLOSE int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(process_list_unrefp) struct process_list *list = NULL;
    CLEANUP_FREE pid_t *pids = NULL;
    size_t count = 0;
    int r = cgroup_pids(AGENT_CGROUP, &pids, &count);

    /* The container's own: the agent and the guest's kernel threads are of the
     * wall, not of what stands behind it. */
    if (r >= 0)
        r = process_read(proc, pids, count, &list, err);
    else
        return error_errno(err, -r, "cannot list the container's processes");
    if (r < 0)
        return r;
    struct agent_process *own = process_find(agent, "");
    if (own && own->launched.root_fd >= 0)
        process_list_users(list, own->launched.root_fd);
    process_wire_put_list(reply, RPC_TAG_PROCESS_ENTRY, list);
    return 0;
}

/* --- their ends ------------------------------------------------------------------------------ */

static void tell_exit(struct agent *agent, const char *exec_id, int status)
{
    struct str body = STR_INIT;
    struct cgroup_stats stats;
    int code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    bool oom = false;

    if (cgroup_stats(AGENT_CGROUP, &stats) >= 0) {
        oom = stats.oom_kills > agent->oom_kills;
        agent->oom_kills = stats.oom_kills;
    }
    wire_put_string(&body, RPC_TAG_EXEC_ID, exec_id);
    wire_put_u64(&body, RPC_TAG_STATUS, (uint64_t)code);
    wire_put_bool(&body, RPC_TAG_OOM, oom);
    mux_send(agent->mux, RPC_EXITED, 0, 0, body.data, body.length);
    str_free(&body);
}

/* As pid 1 we inherit every orphan: all are reaped, few are known. */
void process_reap(struct agent *agent)
{
    pid_t pid;
    int status;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct agent_process **at = &agent->processes;

        while (*at && (*at)->launched.pid != pid)
            at = &(*at)->next;
        if (*at) {
            struct agent_process *process = *at;
            *at = process->next;
            tell_exit(agent, process->exec_id, status);
            process_free(process);
        }
    }
}
