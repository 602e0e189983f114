/* lifecycle.c - start, stop, kill, restart, pause, rename. Owner: container. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "container/internal.h"
#include "container/machine_pool.h"
#include "container/machines.h"
#include "container/workers.h"
#include "launch/cgroup.h"
#include "launch/plan.h"

#define EXIT_UNKNOWN 128
#define EXIT_NOT_EXECUTABLE 126
#define EXIT_NOT_FOUND 127
#define KILL_WAIT_NS (10 * NS_PER_SEC)
#define STOP_TIMEOUT_S 10
#define SPAWN_STACK_SIZE ((size_t)512 << 10)

int container__transition(struct container *container, enum state_event event)
{
    int next = state_after(container->run.state, event);

    if (next < 0) {
        log_error("container %s: event %d cannot happen while %s", container->id, event,
                  container_state_name(container->run.state));
        return next;
    }
    container->run.state = (enum container_state)next;
    pthread_cond_broadcast(&container->changed);
    return 0;
}

/* --- waiting -------------------------------------------------------------------------- */

/* Under lock. False when the time is up. */
static bool wait_changed(struct container *container, int64_t deadline_ns)
{
    if (deadline_ns < 0) {
        pthread_cond_wait(&container->changed, &container->lock);
        return true;
    }
    struct timespec at = {.tv_sec = deadline_ns / NS_PER_SEC, .tv_nsec = deadline_ns % NS_PER_SEC};
    return pthread_cond_timedwait(&container->changed, &container->lock, &at) == 0;
}

/* Under lock. Nothing runs, and nothing will before somebody takes the operation
 * lock to start it again: to wait for more while holding that would be for ever. */
static bool is_between_runs(const struct container *container)
{
    return container->run.state == CONTAINER_RESTARTING && !container->finishing && !container->run.starting;
}

int container__wait_stopped(struct container *container, int64_t timeout_ns)
{
    int64_t deadline = timeout_ns < 0 ? -1 : clock_mono_ns() + timeout_ns;
    int r = 0;

    pthread_mutex_lock(&container->lock);
    while ((state_is_active(container->run.state) || container->finishing) && !is_between_runs(container)) {
        if (!wait_changed(container, deadline)) {
            r = -ETIMEDOUT;
            break;
        }
    }
    pthread_mutex_unlock(&container->lock);
    return r;
}

/* --- start ------------------------------------------------------------------------------ */

static int find_layers(struct container *container, struct error *err)
{
    if (container->layers)
        return 0;

    struct image *image = NULL;
    int r = image_get_held(container->engine->images, container->image_id, &image, err);
    if (r < 0)
        return error_prefix(err, "the image of container %s is gone", container->id);
    char **layers = strv_dup(image->layers);
    image_free(image);
    pthread_mutex_lock(&container->lock);
    container->layers = layers; /* only start sets it, under the operation lock */
    pthread_mutex_unlock(&container->lock);
    return 0;
}

/* The shim of an attach that waits, or a new one. */
static int get_box(struct container *container, struct shim_box **ret, struct error *err)
{
    struct shim_box *box = NULL, *theirs = NULL;

    pthread_mutex_lock(&container->lock);
    if (container->box)
        box = shim_box_ref(container->box);
    pthread_mutex_unlock(&container->lock);
    if (!box) {
        int r = shim_box_open(container, true, &box, err);
        if (r < 0)
            return r;
        pthread_mutex_lock(&container->lock);
        if (container->box) /* an attach was faster */
            theirs = shim_box_ref(container->box);
        else
            container->box = shim_box_ref(box);
        pthread_mutex_unlock(&container->lock);
        if (theirs) {
            shim_shutdown(box->shim);
            shim_box_unref(box);
            box = theirs;
        }
    }
    *ret = box;
    return 0;
}

/* Starting the shim and making the network take about as long and do not need
 * each other: side by side. */
struct spawning {
    struct container *container;
    struct shim_box *box;
    struct error err;
    int result;
    pthread_t thread;
    bool threaded;
};

static void *spawn_main(void *user)
{
    struct spawning *spawning = user;

    spawning->result = get_box(spawning->container, &spawning->box, &spawning->err);
    return NULL;
}

static void spawn_begin(struct spawning *spawning)
{
    pthread_attr_t attributes;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, SPAWN_STACK_SIZE);
    spawning->threaded = pthread_create(&spawning->thread, &attributes, spawn_main, spawning) == 0;
    pthread_attr_destroy(&attributes);
}

/* Always, whatever became of the rest; the box may be there even then. */
static int spawn_end(struct spawning *spawning, struct shim_box **ret, struct error *err)
{
    if (spawning->threaded)
        pthread_join(spawning->thread, NULL);
    else
        spawn_main(spawning);
    *ret = spawning->box;
    if (spawning->result < 0 && err)
        *err = spawning->err;
    return spawning->result;
}

/* The shim, if it still is this container's: what it holds ends with it. */
static void kill_shim(struct container *container, const char *why)
{
    pthread_mutex_lock(&container->lock);
    pid_t pid = container->run.shim_pid;
    pthread_mutex_unlock(&container->lock);
    if (pid <= 0)
        return;
    CLEANUP_CLOSE int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    CLEANUP_FREE char *path = mem_printf("/proc/%d/cmdline", (int)pid);
    CLEANUP_FREE char *command = NULL;
    size_t length = 0;
    /* Held by the pidfd, then looked at: the number cannot change hands meanwhile. */
    if (pidfd < 0 || file_read(AT_FDCWD, path, 64 << 10, &command, &length) < 0 ||
        !memmem(command, length, container->id, strlen(container->id)))
        return;
    log_warning("container %.12s %s: its shim is killed", container->id, why);
    (void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
    /* Frozen processes do not die with it, and one that the shim was making holds
     * its end of our connection. */
    CLEANUP_FREE char *cgroup = container__cgroup(container);
    (void)cgroup_kill(cgroup, SIGKILL);
}

static void drop_box(struct container *container, struct shim_box *box)
{
    if (!box)
        return;
    pthread_mutex_lock(&container->lock);
    box->ended = true;
    bool present = container->box == box;
    if (present)
        container->box = NULL;
    pthread_mutex_unlock(&container->lock);
    shim_shutdown(box->shim);
    CLEANUP_FREE char *dir = shim_dir(container, box->run);
    path_remove_tree(AT_FDCWD, dir);
    if (present)
        shim_box_unref(box);
}

/* Docker's words for a program that is not there, by which its client chooses
 * its own exit code. */
static int explain_exec_failure(const struct container *container, struct error *err, int *ret_code)
{
    const char *program = container->path;
    int code = err->code;
    struct error reason = *err;

    *ret_code = code == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
    if (code == ENOENT && !strchr(program, '/'))
        return error_set(err, EINVAL, "failed to create task for container: unable to start container process: "
                                      "exec: \"%s\": executable file not found in $PATH", program);
    if (code == ENOENT)
        return error_set(err, EINVAL, "failed to create task for container: unable to start container process: "
                                      "exec: \"%s\": stat %s: no such file or directory", program, program);
    if (code == EACCES || code == EPERM || code == EISDIR)
        return error_set(err, EINVAL, "failed to create task for container: unable to start container process: "
                                      "exec: \"%s\": permission denied", program);
    return error_set(err, EINVAL, "failed to create task for container: unable to start container process: "
                                  "exec: \"%s\": %s", program, reason.message);
}

static void note_started(struct container *container, const struct shim_started *started)
{
    pthread_mutex_lock(&container->lock);
    struct run_state *run = &container->run;
    run->pid = started->pid;
    run->pid_start_ticks = started->start_ticks;
    run->guest_pid = started->guest_pid;
    run->started_ns = clock_real_ns();
    run->finished_ns = run->started_before ? run->finished_ns : 0;
    run->started_before = true;
    run->exit_code = 0;
    run->oom_killed = false;
    free(run->error);
    run->error = mem_strdup("");
    container__transition(container, STATE_STARTED);
    pthread_mutex_unlock(&container->lock);
}

static int run_it(struct container *container, const struct spec *spec, struct shim_box **ret_box,
                  int *ret_exit_code, struct error *err)
{
    CLEANUP_SOURCES struct plan_sources sources = {0};
    CLEANUP_FREE char *sandbox = NULL;
    struct plan *plan = NULL;
    struct shim_started started = {0};

    struct spawning spawning = {.container = container};
    struct error *spawn_err = err;

    *ret_exit_code = EXIT_UNKNOWN;
    int r = find_layers(container, err);
    if (r < 0)
        return r;
    spawn_begin(&spawning);
    r = volumes_mount(container, err);
    if (r == 0)
        r = sandbox_open(container, spec, &sandbox, err);
    if (r == 0)
        r = plan_build(container, spec, sandbox, &sources, &plan, err);
    if (r < 0)
        spawn_err = NULL; /* what came first is told */
    int spawned = spawn_end(&spawning, ret_box, spawn_err);
    if (r == 0)
        r = spawned;
    if (r < 0) {
        plan_free(plan);
        return r;
    }

    /* From here on a process may exist: a server that comes back finds by
     * Starting and Run where to look for it. */
    CLEANUP_FREE char *record = path_join(container->dir, "exit");
    unlink(record);
    record_save_state(container, NULL);
    pthread_mutex_lock(&container->lock);
    (*ret_box)->started = true;
    pthread_mutex_unlock(&container->lock);

    bool machine = spec->wall->capabilities & ISOLATION_OWN_KERNEL;
    if (machine)
        machines_turn_begin(container->engine->machines);
    r = shim_start((*ret_box)->shim, plan, &started, err);
    if (machine)
        machines_turn_end(container->engine->machines);
    if (machine && r == 0)
        machine_pool_expect(container->engine->machine_pool, plan);
    plan_free(plan);
    if (r < 0) {
        /* One that has not answered may still come to it, and nobody would know of its process. */
        if (r == -ETIMEDOUT || r == -ESRCH)
            kill_shim(container, "does not start");
        if (started.exec_failed)
            return explain_exec_failure(container, err, ret_exit_code);
        if (err->code == EACCES)
            *ret_exit_code = EXIT_NOT_EXECUTABLE;
        else if (err->code == ENOTDIR)
            *ret_exit_code = EXIT_NOT_FOUND;
        /* A name that is missing inside is not an unknown container. */
        struct error reason = *err;
        if (plan_error_of_user(reason.message))
            return error_set(err, EINVAL, "%s", reason.message);
        return error_set(err, reason.code == EINVAL ? EINVAL : EIO, "failed to create task for container: %s",
                         reason.message);
    }
    note_started(container, &started);
    return 0;
}

static void note_failed(struct container *container, const struct error *err, int exit_code)
{
    pthread_mutex_lock(&container->lock);
    struct run_state *run = &container->run;
    free(run->error);
    run->error = mem_strdup(err->message);
    run->exit_code = exit_code;
    run->starting = false;
    run->pid = run->guest_pid = run->shim_pid = 0;
    if (run->state == CONTAINER_RESTARTING)
        run->finished_ns = clock_real_ns();
    container->exit_pending = false;
    container__transition(container, STATE_START_FAILED);
    pthread_cond_broadcast(&container->changed);
    pthread_mutex_unlock(&container->lock);
}

void container__await_last_shim(struct container *container)
{
    pthread_mutex_lock(&container->lock);
    CLEANUP_CLOSE int leaving = TAKE_FD(container->leaving_fd);
    pthread_mutex_unlock(&container->lock);
    struct pollfd wait = {.fd = leaving, .events = POLLIN};

    if (leaving >= 0)
        (void)poll(&wait, 1, 15000);
}

int container__start(struct container *container, bool by_hand, struct error *err)
{
    sandbox_adopt_name(container);
    CLEANUP_SPEC struct spec *spec = container__spec(container);
    CLEANUP_BOX struct shim_box *box = NULL;
    struct error local = ERROR_INIT;
    struct error *e = err ? err : &local;
    int exit_code;

    pthread_mutex_lock(&container->lock);
    while (container->finishing)
        wait_changed(container, -1);
    if (container->removal_begun || container->run.state == CONTAINER_DEAD) {
        pthread_mutex_unlock(&container->lock);
        return error_set(err, EBUSY, "container is marked for removal and cannot be started");
    }
    container->run.starting = true;
    container->exit_pending = false;
    container->run.restart_cancelled = false;
    if (by_hand) {
        container->run.manually_stopped = false;
        container->restart_delay_ns = 0;
        container->run.restart_count = 0;
    }
    pthread_mutex_unlock(&container->lock);

    container__await_last_shim(container);
    int r = run_it(container, spec, &box, &exit_code, e);
    if (r < 0) {
        drop_box(container, box);
        finish_release(container, false);
        note_failed(container, e, exit_code);
        record_save_state(container, NULL);
        return r;
    }
    record_save_state(container, NULL);
    health_begin(container, spec);
    for (size_t i = 0; i < container->endpoint_count; i++)
        publish_network(container, &container->endpoints[i], "connect");
    for (size_t i = 0; i < container->mounts.count; i++)
        if (container->mounts.items[i].type == MOUNT_VOLUME)
            publish_volume(container, &container->mounts.items[i], "mount");
    publish_container(container, "start", NULL);

    pthread_mutex_lock(&container->lock);
    bool ended = container->exit_pending;
    struct run_exit exit = container->pending_exit;
    container->exit_pending = false;
    container->run.starting = false;
    pthread_mutex_unlock(&container->lock);
    if (ended)
        finish_exited(box, &exit);
    return 0;
}

int container_start(struct container *container, const char *detach_keys, struct error *err)
{
    bool remove;
    int r;

    (void)detach_keys; /* kept by whoever attaches */
    pthread_mutex_lock(&container->operation);
    enum container_state state = container__state(container);
    if (state == CONTAINER_PAUSED)
        r = error_set(err, EBUSY, "cannot start a paused container, try unpause instead");
    else if (state_is_active(state))
        r = error_set(err, EALREADY, "container is already running");
    else
        r = container__start(container, true, err);
    CLEANUP_SPEC struct spec *spec = container__spec(container);
    remove = r < 0 && !state_is_active(state) && json_bool(spec->host_config, "AutoRemove", false);
    pthread_mutex_unlock(&container->operation);
    if (remove)
        container__remove(container, true, true, NULL);
    return r;
}

/* --- stop ------------------------------------------------------------------------------------ */

/* A restart that waits for its time is called off. Under lock. */
static void end_restarting(struct container *container)
{
    restart_cancel(container);
    if (!atomic_load(&container->engine->machine_stops))
        container->run.manually_stopped = true;
    container__transition(container, STATE_ENDED);
}

static int send_signal(struct container *container, int number, struct error *err)
{
    CLEANUP_SPEC struct spec *spec = container__spec(container);
    CLEANUP_BOX struct shim_box *box = NULL;
    bool has_own = *json_string(spec->config, "StopSignal", "") != '\0';
    bool expected = !has_own || number == SIGKILL || number == spec_stop_signal(spec);
    char text[16];

    int r = container__running_box(container, &box, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&container->lock);
    bool thaw = expected && container->run.state == CONTAINER_PAUSED;
    if (!atomic_load(&container->engine->machine_stops))
        container->run.manually_stopped = true;
    if (expected)
        restart_cancel(container);
    pthread_mutex_unlock(&container->lock);
    record_save_state(container, NULL);

    struct error failure = ERROR_INIT;
    r = shim_signal(box->shim, NULL, number, &failure);
    if (r < 0 && r != -ESRCH) { /* gone: its end is on the way */
        if (box->ended)
            return 0;
        return error_set(err, EIO, "Cannot kill container %s: %s", container->id, failure.message);
    }
    if (thaw && shim_freeze(box->shim, false, NULL) == 0) {
        pthread_mutex_lock(&container->lock);
        if (container->run.state == CONTAINER_PAUSED)
            container__transition(container, STATE_UNPAUSED);
        pthread_mutex_unlock(&container->lock);
    }
    snprintf(text, sizeof(text), "%d", number);
    publish_container(container, "kill", "signal", text, NULL);
    return 0;
}

/* It may have been about to restart when the signal came too late. */
static int stay_stopped(struct container *container)
{
    pthread_mutex_lock(&container->lock);
    bool waits = is_between_runs(container);
    if (waits)
        end_restarting(container);
    pthread_mutex_unlock(&container->lock);
    return waits ? record_save_state(container, NULL) : 0;
}

int container__kill_and_wait(struct container *container, int64_t timeout_ns, struct error *err)
{
    int r = send_signal(container, SIGKILL, err);
    if (r >= 0 && container__wait_stopped(container, timeout_ns) == 0)
        return stay_stopped(container);
    if (r == -EBUSY)
        return r;
    /* A wall that does not answer any more, or lost the end of its process. */
    kill_shim(container, "does not end");
    if (container__wait_stopped(container, timeout_ns) == 0)
        return stay_stopped(container);
    return error_set(err, EIO, "tried to kill container, but did not receive an exit event");
}

static int stop(struct container *container, int number, int timeout_s, struct error *err)
{
    struct error failure = ERROR_INIT;
    int r = send_signal(container, number, &failure);

    if (r == -EBUSY) /* ended by itself just now */
        return container__wait_stopped(container, -1);
    /* A signal that could not be sent will not do it: the force, soon. */
    int64_t wait_ns = r < 0 ? 2 * NS_PER_SEC : timeout_s * NS_PER_SEC;
    if (container__wait_stopped(container, timeout_s < 0 && r == 0 ? -1 : wait_ns) == 0)
        return 0;
    r = container__kill_and_wait(container, KILL_WAIT_NS, &failure);
    if (r < 0 && container__wait_stopped(container, 2 * NS_PER_SEC) < 0)
        return error_set(err, EIO, "cannot stop container: %s: %s", container->id, failure.message);
    return 0;
}

/* Under the operation lock. */
static int stop_operation(struct container *container, const char *signal, int timeout_s, struct error *err)
{
    CLEANUP_SPEC struct spec *spec = container__spec(container);
    int number = spec_stop_signal(spec);

    if (signal && *signal) {
        int r = signal_parse(signal, &number, err);
        if (r < 0)
            return r;
    }
    if (timeout_s == -1)
        timeout_s = (int)json_int(spec->config, "StopTimeout", STOP_TIMEOUT_S);

    pthread_mutex_lock(&container->lock);
    enum container_state state = container->run.state;
    bool finishing = container->finishing;
    if (state == CONTAINER_RESTARTING && !finishing)
        end_restarting(container);
    pthread_mutex_unlock(&container->lock);
    if (!state_is_active(state) && !finishing)
        return error_set(err, EALREADY, "container is already stopped");

    int r = 0;
    if (state == CONTAINER_RESTARTING && !finishing)
        record_save_state(container, NULL);
    else
        r = stop(container, number, timeout_s, err);
    if (r == 0) {
        stay_stopped(container);
        publish_container(container, "stop", NULL);
    }
    return r;
}

int container_stop(struct container *container, const char *signal, int timeout_s, struct error *err)
{
    pthread_mutex_lock(&container->operation);
    int r = stop_operation(container, signal, timeout_s, err);
    pthread_mutex_unlock(&container->operation);
    return r;
}

int container_kill(struct container *container, const char *signal, struct error *err)
{
    int number = SIGKILL, r;

    if (signal && *signal) {
        r = signal_parse(signal, &number, err);
        if (r < 0)
            return r;
    }
    /* Not under the operation lock: a stop that waits ten seconds must not keep
     * somebody from killing at once. */
    pthread_mutex_lock(&container->lock);
    bool restarting = container->run.state == CONTAINER_RESTARTING && !container->finishing;
    if (restarting)
        end_restarting(container);
    pthread_mutex_unlock(&container->lock);
    if (restarting)
        return record_save_state(container, err);
    return number == SIGKILL ? container__kill_and_wait(container, KILL_WAIT_NS, err)
                             : send_signal(container, number, err);
}

int container_restart(struct container *container, const char *signal, int timeout_s, struct error *err)
{
    pthread_mutex_lock(&container->operation);
    pthread_mutex_lock(&container->lock);
    container->restarting_by_hand = true;
    pthread_mutex_unlock(&container->lock);

    int r = stop_operation(container, signal, timeout_s, err);
    if (r == 0 || r == -EALREADY)
        r = container__start(container, true, err);

    pthread_mutex_lock(&container->lock);
    container->restarting_by_hand = false;
    pthread_mutex_unlock(&container->lock);
    pthread_mutex_unlock(&container->operation);
    if (r == 0)
        publish_container(container, "restart", NULL);
    else
        error_prefix(err, "Cannot restart container %s", container->id);
    return r;
}

/* --- pause --------------------------------------------------------------------------------------- */

static int freeze(struct container *container, bool frozen, struct error *err)
{
    CLEANUP_BOX struct shim_box *box = NULL;

    int r = container__running_box(container, &box, err);
    if (r < 0)
        return r;
    r = shim_freeze(box->shim, frozen, err);
    if (r < 0) {
        error_prefix(err, frozen ? "cannot pause container %s" : "Cannot unpause container %s", container->id);
        return r;
    }
    pthread_mutex_lock(&container->lock);
    if (container->run.state == (frozen ? CONTAINER_RUNNING : CONTAINER_PAUSED))
        container__transition(container, frozen ? STATE_PAUSED : STATE_UNPAUSED);
    pthread_mutex_unlock(&container->lock);
    record_save_state(container, NULL);
    publish_container(container, frozen ? "pause" : "unpause", NULL);
    return 0;
}

int container_pause(struct container *container, struct error *err)
{
    pthread_mutex_lock(&container->operation);
    enum container_state state = container__state(container);
    int r;
    if (state == CONTAINER_PAUSED)
        r = error_set(err, EBUSY, "Container %s is already paused", container->id);
    else if (state == CONTAINER_RESTARTING)
        r = error_set(err, EBUSY, "Container %s is restarting, wait until the container is running", container->id);
    else
        r = freeze(container, true, err);
    pthread_mutex_unlock(&container->operation);
    return r;
}

int container_unpause(struct container *container, struct error *err)
{
    pthread_mutex_lock(&container->operation);
    int r = container__state(container) == CONTAINER_PAUSED
                ? freeze(container, false, err)
                /* Docker answers 500 here. */
                : error_set(err, EIO, "Container %s is not paused", container->id);
    pthread_mutex_unlock(&container->operation);
    return r;
}

/* --- rename ------------------------------------------------------------------------------------------ */

int container_rename(struct container *container, const char *name, struct error *err)
{
    if (!name || *name == '\0')
        return error_set(err, EINVAL, "Neither old nor new names may be empty");

    pthread_mutex_lock(&container->operation);
    CLEANUP_FREE char *old = container__name(container);
    int r;
    if (strcmp(old, *name == '/' ? name + 1 : name) == 0) {
        r = error_set(err, EINVAL, "Renaming a container with the same name as its current name");
    } else {
        CLEANUP_FREE char *slashed = mem_printf("%s%s", *name == '/' ? "" : "/", name);
        r = registry_rename(container, slashed, err);
        if (r < 0)
            error_prefix(err, "Error when allocating new name");
    }
    if (r == 0) {
        r = record_save_config(container, err);
        if (r < 0)
            registry_rename(container, old, NULL);
    }
    pthread_mutex_unlock(&container->operation);
    if (r == 0) {
        CLEANUP_FREE char *slashed = mem_printf("/%s", old);
        publish_container(container, "rename", "oldName", slashed, NULL);
    }
    return r;
}
