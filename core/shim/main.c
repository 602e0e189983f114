/* main.c - tabique-shim: one container's parent. Owner: shim.
 *
 * Started by the server (shim/client.h) with a listening socket as fd 3 and a
 * first connection as fd 4. Outlives the server; dies with its container. Has no
 * standard output: what it has to say it says over its socket.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/loop.h"
#include "base/path.h"
#ifdef TABIQUE_HAVE_HYPERV
#include "isolation/hyperv/hyperv.h"
#include "isolation/hyperv/setup.h"
#endif
#include "isolation/hyperv/staged.h"
#include "shim/shim.h"
#include "tabique/error.h"

#define FD_LISTENING 3
#define FD_FIRST 4

static void say(const char *text)
{
    (void)!write(STDERR_FILENO, text, strlen(text));
}

static const struct {
    const char *name;
    size_t offset;
} texts[] = {
    {"--id", offsetof(struct shim_options, id)},
    {"--dir", offsetof(struct shim_options, dir)},
    {"--state-dir", offsetof(struct shim_options, state_dir)},
    {"--isolation", offsetof(struct shim_options, isolation)},
    {"--log", offsetof(struct shim_options, log_path)},
    {"--log-attributes", offsetof(struct shim_options, log_attributes)},
    {"--log-to", offsetof(struct shim_options, log_to)},
    {"--log-format", offsetof(struct shim_options, log_format)},
    {"--log-tag", offsetof(struct shim_options, log_tag)},
    {"--log-fields", offsetof(struct shim_options, log_fields)},
    {"--machines", offsetof(struct shim_options, machines_dir)},
    {"--files-program", offsetof(struct shim_options, files_program)},
    {"--warm", offsetof(struct shim_options, warm_cgroup)},
    {"--stage", offsetof(struct shim_options, stage_cgroup)},
};

bool shim_parse_options(char *const *arguments, struct shim_options *o)
{
    o->isolation = "process";
    o->log_max_files = 1;
    for (char *const *arg = arguments; *arg; arg++) {
        bool known = false;

        if (str_equal(*arg, "--log-compress")) {
            o->log_compress = true;
            continue;
        }
        if (str_equal(*arg, "--open-stdin")) {
            o->open_stdin = true;
            continue;
        }
        if (str_equal(*arg, "--machine-memory")) {
            o->machine_memory = true;
            continue;
        }
        if (str_equal(*arg, "--staged")) {
            o->staged = true;
            continue;
        }
        if (str_equal(*arg, "--stdin-once")) {
            o->stdin_once = true;
            continue;
        }
        if (!arg[1])
            return false;
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
            if (str_equal(*arg, texts[i].name)) {
                *(const char **)(void *)((char *)o + texts[i].offset) = arg[1];
                known = true;
            }
        }
        if (str_equal(*arg, "--log-max-size"))
            known = str_to_i64(arg[1], &o->log_max_size) == 0;
        else if (str_equal(*arg, "--log-max-files"))
            known = str_to_int(arg[1], 1, 10000, &o->log_max_files) == 0;
        else if (str_equal(*arg, "--log-facility"))
            known = str_to_int(arg[1], 0, 23, &o->log_facility) == 0;
        if (!known)
            return false;
        arg++;
    }
    return o->id && o->dir && o->state_dir;
}

/* Inherited fds that are ours as long as we want, and nobody's after us; all others go. */
static void keep_fds(int from, int to, bool kept)
{
    for (int fd = from; kept && fd <= to; fd++)
        (void)fd_set_cloexec(fd, true);
    if (!kept)
        (void)close_range((unsigned)from, (unsigned)to, 0);
}

static void set_up_process(char **argv, const struct shim_options *options)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    char *end = argv[0];

    prctl(PR_SET_NAME, "tabique-shim", 0, 0, 0);
    /* Nobody reads our memory or fds, not even through a namespace we are seen in. */
    prctl(PR_SET_DUMPABLE, 0);
    /* What loses its parent in a container without a pid namespace comes to us. */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    /* Ending us ends the container: only SIGKILL does it at once; SIGTERM see below. */
    sigaction(SIGPIPE, &ignore, NULL);
    sigaction(SIGINT, &ignore, NULL);
    sigaction(SIGHUP, &ignore, NULL);
    sigaction(SIGQUIT, &ignore, NULL);
    (void)setsid();
    /* 5: the directory we were started from, see spawn.c. */
    (void)close_range(FD_FIRST + 1, FD_MACHINE_MEMORY - 1, 0);
    keep_fds(FD_MACHINE_MEMORY, FD_MACHINE_MEMORY, options->machine_memory);
    keep_fds(FD_STAGED, FD_STAGED + STAGED_FILES - 1, options->staged);
    (void)close_range(FD_STAGED + STAGED_FILES, ~0U, 0);
    umask(0022);
    (void)!chdir("/");
    /* The kernel should take the container first; needs CAP_SYS_RESOURCE. */
    (void)file_write_text(AT_FDCWD, "/proc/self/oom_score_adj", "-998");
    /* A quiet life: freed memory goes back to the kernel. */
    mallopt(M_TRIM_THRESHOLD, 32 << 10);
    mallopt(M_TOP_PAD, 4096);
    mallopt(M_MMAP_THRESHOLD, 64 << 10);
    for (char **arg = argv; *arg; arg++)
        if (*arg == end || *arg == end + strlen(end) + 1)
            end = *arg;
    launch_title_area(argv[0], (size_t)(end + strlen(end) + 1 - argv[0]));
}

#ifdef TABIQUE_HAVE_HYPERV
/* tabique-shim --prepare-machines DIR GUEST-DIR QEMU DISK-BYTES [ACCELERATOR]: see setup.h. The
 * one program that knows QEMU is also the one that makes its templates. */
static int prepare_machines(int argc, char **argv)
{
    struct error err = ERROR_INIT;
    struct machine_prepare prepare = {.dir = argv[2], .guest_dir = argv[3], .qemu = argv[4],
                                      .accelerator = argc > 6 ? argv[6] : NULL};

    if (str_to_u64(argv[5], &prepare.scratch_bytes) < 0)
        return 2;
    signal(SIGPIPE, SIG_IGN);
    /* Ahead of need, so behind whatever runs. */
    (void)setpriority(PRIO_PROCESS, 0, 5);
    if (machine_prepare(&prepare, &err) < 0) {
        say(err.message);
        say("\n");
        return 1;
    }
    return 0;
}
#endif

/* --- SIGTERM: the machine goes down, and there is no server to stop the container ----- */
#define LAST_WORDS_NS (10 * NS_PER_SEC)

static void signal_container(struct shim *shim, int number)
{
    const struct shim_process *own = shim_process_find(shim, "");

    if (shim->instance && own->started && !own->exited)
        (void)shim->wall->signal(shim->instance, "", number, NULL);
}

static void on_patience_ended(struct loop_source *source, void *user)
{
    loop_remove(source);
    signal_container(user, SIGKILL);
}

static void on_terminate(struct loop_source *source, int fd, uint32_t events, void *user)
{
    struct signalfd_siginfo info;
    struct shim *shim = user;

    if (read(fd, &info, sizeof(info)) != sizeof(info))
        return;
    signal_container(shim, SIGTERM);
    (void)loop_add_timer(shim->loop, LAST_WORDS_NS, 0, on_patience_ended, shim, NULL);
}

static int watch_terminate(struct shim *shim)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    CLEANUP_CLOSE int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    int r = fd < 0 ? -errno : loop_add_fd(shim->loop, fd, EPOLLIN, on_terminate, shim, NULL);

    if (r == 0)
        (void)TAKE_FD(fd); /* as long as the process */
    return r;
}

int main(int argc, char **argv)
{
    static struct shim shim;
    CLEANUP_FREE char *socket_path = NULL;
    int listening = FD_LISTENING;

    if (argc == 2 && str_equal(argv[1], "--version")) {
        (void)!write(STDOUT_FILENO, "tabique-shim " TABIQUE_VERSION "\n", strlen("tabique-shim " TABIQUE_VERSION "\n"));
        return 0;
    }
#ifdef TABIQUE_HAVE_HYPERV
    if (argc >= 6 && str_equal(argv[1], "--prepare-machines"))
        return prepare_machines(argc, argv);
#endif
    if (!shim_parse_options(argv + 1, &shim.options) || (!shim.options.stage_cgroup && fcntl(FD_FIRST, F_GETFD) < 0) ||
        (!shim.options.stage_cgroup && !shim.options.warm_cgroup && fcntl(FD_LISTENING, F_GETFD) < 0)) {
        say("tabique-shim is started by tabique, not by hand\n");
        return 2;
    }
    shim.wall = isolation_find(shim.options.isolation);
    if (!shim.wall) {
        say("tabique-shim: unknown isolation\n");
        return 2;
    }
#ifdef TABIQUE_HAVE_HYPERV
    hyperv_use(shim.options.machines_dir ? shim.options.machines_dir : "", shim.options.machine_memory ? FD_MACHINE_MEMORY : -EBADF,
               shim.options.files_program ? shim.options.files_program : "");
    hyperv_use_staged(shim.options.staged);
#endif
    set_up_process(argv, &shim.options);
    if (loop_new(&shim.loop) < 0 || !shim_process_add(&shim, "") || watch_terminate(&shim) < 0)
        return 1;
#ifdef TABIQUE_HAVE_HYPERV
    if (shim.options.stage_cgroup)
        return shim_stage(&shim) < 0;
    if (shim.options.warm_cgroup && shim_warm(&shim, FD_FIRST, &listening) < 0)
        return 1;
#endif
    /* Without its log a container still runs: a full disk must not keep it down. */
    (void)shim_log_open(&shim.log, &shim.options, shim.loop);
    if (shim_server_open(&shim, listening, FD_FIRST) < 0)
        return 1;
#ifdef TABIQUE_HAVE_HYPERV
    shim_warm_move(&shim);
#endif
    (void)loop_run(shim.loop);
    socket_path = path_join(shim.options.dir, "shim.sock");
    (void)unlink(socket_path);
    return 0;
}
