/* finish.c - what follows when a container's process has ended. Owner: container.
 *
 * Runs in the finishers' pool, without the operation lock: container_stop() holds
 * that and waits for exactly this. What keeps it safe:
 *  - one end per run: box->ended, taken under container->lock;
 *  - an end that arrives while a start is being written down waits for it
 *    (container->exit_pending), so that "start" always comes before "die";
 *  - no new run begins while `finishing` is set: start waits.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "container/internal.h"
#include "container/workers.h"
#include "launch/cgroup.h"

void finish_release(struct container *container, bool publish)
{
    CLEANUP_SPEC struct spec *spec = container__spec(container);

    sandbox_close(container, publish);
    shm_close(container, spec);
    volumes_unmount(container, publish);
}

/* The shim is gone without a word: its exit record says whether the container
 * ended first; else the container dies with it. */
static void find_out(struct shim_box *box, struct run_exit *exit)
{
    struct container *container = box->container;
    struct shim_exit record;
    struct error ignored = ERROR_INIT;

    if (shim_read_exit(container->dir, &record, &ignored) == 0) {
        exit->status = record.status;
        exit->oom_killed = record.oom_killed;
        exit->time_ns = record.time_ns;
        exit->lost = NULL;
        memcpy(exit->wall, record.lost, sizeof(exit->wall));
        return;
    }
    CLEANUP_FREE char *cgroup = container__cgroup(container);
    cgroup_kill(cgroup, SIGKILL);
    cgroup_remove(cgroup);
    /* What a restart of the machine ended brings its own status and time. */
    if (exit->time_ns == 0) {
        exit->status = 128 + SIGKILL;
        exit->time_ns = clock_real_ns();
    }
}

static void remove_by_itself(void *user)
{
    struct container *container = user;
    struct error err = ERROR_INIT;

    if (!atomic_load(&container->engine->closing)) {
        int r = container__remove(container, true, true, &err);
        /* Somebody else removes it already, or has. */
        if (r < 0 && r != -EBUSY && r != -ENOENT)
            log_error("cannot remove container %s by itself: %s", container->id, err.message);
    }
    container_put(container);
}

static void finish(struct shim_box *box, struct run_exit *exit)
{
    struct container *container = box->container;
    CLEANUP_SPEC struct spec *spec = container__spec(container);

    if (exit->lost)
        find_out(box, exit);
    const char *reason = exit->lost ? exit->lost : *exit->wall ? exit->wall : NULL;
    if (reason)
        log_warning("container %s was ended: %s", container->id, reason);
    health_end(container);
    exec_forget_all(container, exit->lost ? NULL : box->shim, false);
    finish_release(container, true);

    pthread_mutex_lock(&container->lock);
    struct run_state *run = &container->run;
    int64_t ran_ns = exit->time_ns - run->started_ns;
    bool restart = !atomic_load(&container->engine->machine_stops) && restart_wanted(container, spec, exit->status, false);
    run->exit_code = exit->status;
    run->oom_killed = run->oom_killed || exit->oom_killed;
    bool oom_unheard = exit->oom_killed && !box->oom;
    run->finished_ns = exit->time_ns;
    run->pid = run->guest_pid = run->shim_pid = 0;
    run->pid_start_ticks = 0;
    if (reason) {
        free(run->error);
        run->error = mem_strdup(reason);
    }
    container__transition(container, restart ? STATE_RESTARTING : STATE_ENDED);
    if (restart) {
        run->restart_count++;
        container->restart_delay_ns = restart_backoff(container->restart_delay_ns, ran_ns);
    }
    int64_t delay_ns = container->restart_delay_ns;
    if (container->box == box) {
        container->box = NULL;
        shim_box_unref(box); /* the caller has one more */
    }
    bool remove = !restart && !container->restarting_by_hand && json_bool(spec->host_config, "AutoRemove", false);
    pthread_mutex_unlock(&container->lock);

    record_save_state(container, NULL);
    if (oom_unheard)
        publish_container_at(container, exit->time_ns, "oom", NULL);
    publish_die(container, exit->time_ns, ran_ns, exit->status, reason);
    /* Only now: its record is in state.json, so a killed server still knows. When its
     * wall has closed, which a machine takes a while for, the control group goes, which
     * has the next run's name: the next start waits for it, see container__start(). */
    if (box->shim) {
        int leaving = exit->lost ? -EBADF : (int)syscall(SYS_pidfd_open, shim_pid(box->shim), 0);

        pthread_mutex_lock(&container->lock);
        cleanup_close(&container->leaving_fd);
        container->leaving_fd = leaving;
        pthread_mutex_unlock(&container->lock);
        shim_shutdown(box->shim);
    }
    CLEANUP_FREE char *dir = shim_dir(container, box->run);
    path_remove_tree(AT_FDCWD, dir);

    pthread_mutex_lock(&container->lock);
    container->finishing = false;
    container->ends++;
    pthread_cond_broadcast(&container->changed);
    pthread_mutex_unlock(&container->lock);

    if (restart)
        restart_schedule(container, delay_ns);
    else if (remove)
        workers_post(container->engine->operators, remove_by_itself, container__ref(container));
}

void finish_exited(struct shim_box *box, const struct run_exit *exit)
{
    struct container *container = box->container;
    struct run_exit mine = *exit;

    pthread_mutex_lock(&container->lock);
    bool handle = box->started && !box->ended;
    if (!box->started && container->box == box && exit->lost && !container->run.starting) {
        /* A shim that only waited for a start has gone. */
        container->box = NULL;
        shim_box_unref(box);
    }
    if (handle && container->run.starting) {
        if (!container->exit_pending) {
            container->pending_exit = mine;
            container->exit_pending = true;
        }
        handle = false;
    }
    if (handle) {
        box->ended = true;
        container->finishing = true;
    }
    pthread_mutex_unlock(&container->lock);
    if (handle)
        finish(box, &mine);
}
