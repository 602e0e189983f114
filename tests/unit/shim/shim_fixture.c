/* shim_fixture.c - see shim_fixture.h. */
#include "shim/shim_fixture.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/path.h"
#include "rpc/rpc.h"
#include "tabique/error.h"

static void on_exited(void *user, const struct shim_exit *exit)
{
    struct shim_case *c = user;

    pthread_mutex_lock(&c->lock);
    if (*exit->exec_id) {
        c->execs_ended++;
        c->exec_status = exit->status;
        snprintf(c->exec_id, sizeof(c->exec_id), "%s", exit->exec_id);
    } else {
        c->exited = true;
        c->exits++;
        c->status = exit->status;
        c->oom_killed = exit->oom_killed;
    }
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

static void on_oom(void *user)
{
    struct shim_case *c = user;

    pthread_mutex_lock(&c->lock);
    c->ooms++;
    pthread_mutex_unlock(&c->lock);
}

static void on_lost(void *user)
{
    struct shim_case *c = user;

    pthread_mutex_lock(&c->lock);
    c->lost = true;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

static const struct shim_events events = {.exited = on_exited, .oom = on_oom, .lost = on_lost};

static void *run_loop(void *loop)
{
    loop_run(loop);
    return NULL;
}

static void start_loop(struct shim_case *c)
{
    if (loop_new(&c->loop) < 0 || pthread_create(&c->thread, NULL, run_loop, c->loop) != 0)
        abort();
}

static void stop_loop(struct shim_case *c)
{
    loop_stop(c->loop);
    pthread_join(c->thread, NULL);
    loop_free(c->loop);
    c->loop = NULL;
}

struct shim_case *shim_case_new(bool open_stdin)
{
    return shim_case_new_with(open_stdin, &(struct shim_spec){0});
}

struct shim_case *shim_case_new_with(bool open_stdin, const struct shim_spec *wanted)
{
    struct shim_case *c = mem_new(struct shim_case);
    struct error err = ERROR_INIT;
    int n = f.next++;

    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->changed, NULL);
    c->dir = mem_printf("%s/shim%d", f.dir, n);
    c->log = mem_printf("%s/log", c->dir);
    path_mkdirs(c->dir, 0700);
    c->spec = (struct shim_spec){.program = SHIM_PROGRAM, .id = "0123456789abcdef", .dir = c->dir, .state_dir = c->dir,
                                 .isolation = "process", .log_path = c->log, .log_max_files = 1, .open_stdin = open_stdin};
    c->spec.stdin_once = wanted->stdin_once;
    c->spec.log_max_size = wanted->log_max_size;
    if (wanted->log_max_files)
        c->spec.log_max_files = wanted->log_max_files;
    if (wanted->log_path && !*wanted->log_path)
        c->spec.log_path = NULL;
    start_loop(c);
    if (shim_spawn(&c->spec, c->loop, &events, c, &c->shim, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        abort();
    }
    return c;
}

static bool wait_for(struct shim_case *c, bool (*done)(struct shim_case *))
{
    struct timespec until;
    bool good;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 30;
    pthread_mutex_lock(&c->lock);
    while (!done(c) && pthread_cond_timedwait(&c->changed, &c->lock, &until) == 0)
        ;
    good = done(c);
    pthread_mutex_unlock(&c->lock);
    return good;
}

static bool has_exited(struct shim_case *c) { return c->exited; }
static bool is_lost(struct shim_case *c) { return c->lost; }

bool shim_case_wait_exit(struct shim_case *c)
{
    return wait_for(c, has_exited);
}

bool shim_case_wait_lost(struct shim_case *c)
{
    return wait_for(c, is_lost);
}

bool shim_case_wait_exec(struct shim_case *c, int count)
{
    bool good;

    for (int i = 0; i < 30000; i++) {
        pthread_mutex_lock(&c->lock);
        good = c->execs_ended >= count;
        pthread_mutex_unlock(&c->lock);
        if (good)
            return true;
        usleep(1000);
    }
    return false;
}

void shim_case_drop(struct shim_case *c)
{
    shim_free(c->shim);
    c->shim = NULL;
    stop_loop(c);
}

int shim_case_reattach(struct shim_case *c)
{
    struct error err = ERROR_INIT;
    int r;

    start_loop(c);
    r = shim_reattach(&c->spec, c->loop, &events, c, &c->shim, &err);
    return r;
}

static void wait_gone(pid_t pid)
{
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd p = {.fd = pidfd, .events = POLLIN};

    if (pidfd < 0)
        return;
    if (poll(&p, 1, 20000) != 1) {
        fprintf(stderr, "shim %d does not end; killed\n", (int)pid);
        kill(pid, SIGKILL);
    }
    close(pidfd);
}

void shim_case_free(struct shim_case *c)
{
    if (c->shim) {
        pid_t pid = shim_pid(c->shim);

        shim_shutdown(c->shim);
        wait_gone(pid);
        shim_free(c->shim);
    }
    if (c->loop)
        stop_loop(c);
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->changed);
    free(c->dir);
    free(c->log);
    free(c);
}

char *shim_case_log(struct shim_case *c)
{
    char *text = NULL;

    if (file_read(AT_FDCWD, c->log, 64u << 20, &text, NULL) < 0)
        return mem_strdup("");
    return text;
}

char *shim_case_drain(int fd, size_t *ret_length)
{
    struct rpc_decoder decoder = {0};
    struct rpc_frame frame;
    struct str out = STR_INIT;

    while (rpc_receive(fd, &decoder, &frame, 30000) == 0)
        if (frame.type == RPC_STREAM && (frame.id == 1 || frame.id == 2) && frame.length)
            str_append_n(&out, frame.body, frame.length);
    rpc_decoder_free(&decoder);
    if (ret_length)
        *ret_length = out.length;
    return str_take(&out);
}
