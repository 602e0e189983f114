/* shim_box.c - one run's shim, shared by the threads that talk to it.
 * Owner: container.
 *
 * The shim may be there before its container is started: an attach makes it, so
 * that a client is connected before the first byte is written. Each run has a
 * directory of its own, since the shim of the last run may still be delivering
 * its last output to a slow client. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "container/internal.h"
#include "container/log_driver.h"
#include "container/machine_pool.h"
#include "container/machines.h"
#include "container/workers.h"

struct shim_box *shim_box_ref(struct shim_box *box)
{
    atomic_fetch_add(&box->references, 1);
    return box;
}

static void free_box(void *user)
{
    struct shim_box *box = user;

    container_put(box->container);
    free(box);
}

void shim_box_unref(struct shim_box *box)
{
    if (!box || atomic_fetch_sub(&box->references, 1) > 1)
        return;
    if (box->shim) /* none: what recover found dead */
        shim_free(box->shim);
    /* In the loop's thread, behind a callback that may just be using the box. */
    loop_post(box->container->engine->loop, free_box, box);
}

void shim_box_unrefp(struct shim_box **box)
{
    shim_box_unref(*box);
}

char *shim_dir(const struct container *container, unsigned run)
{
    return mem_printf("%s/shims/%s.%u", container->engine->options.run_dir, container->id, run);
}

char *container__cgroup(const struct container *container)
{
    return mem_printf("%s/%s", container->engine->cgroup_parent, container->id);
}

/* --- what a shim tells; in the loop's thread ----------------------------------------- */

struct notice {
    struct shim_box *box;
    struct run_exit exit;
    char *exec_id;
};

static void handle_notice(void *user)
{
    struct notice *notice = user;

    if (notice->exec_id)
        exec_exited(notice->box->container, notice->exec_id, notice->exit.status, notice->exit.time_ns);
    else
        finish_exited(notice->box, &notice->exit);
    shim_box_unref(notice->box);
    free(notice->exec_id);
    free(notice);
}

static void post_notice(struct shim_box *box, const char *exec_id, const struct run_exit *exit)
{
    struct notice *notice = mem_new(struct notice);

    notice->box = shim_box_ref(box);
    notice->exit = *exit;
    notice->exec_id = mem_strdup(exec_id);
    workers_post(box->container->engine->finishers, handle_notice, notice);
}

static void on_exited(void *user, const struct shim_exit *exit)
{
    bool of_exec = exit->exec_id && *exit->exec_id;

    /* At once: whoever asks the shim anything afterwards finds the exec ended. */
    if (of_exec)
        exec_note_exit(((struct shim_box *)user)->container, exit->exec_id, exit->status);
    struct run_exit end = {.status = exit->status, .oom_killed = exit->oom_killed, .time_ns = exit->time_ns};
    memcpy(end.wall, exit->lost, sizeof(end.wall));
    post_notice(user, of_exec ? exit->exec_id : NULL, &end);
}

static void handle_oom(void *user)
{
    struct shim_box *box = user;
    struct container *container = box->container;

    pthread_mutex_lock(&container->lock);
    bool first = !box->oom;
    box->oom = true;
    container->run.oom_killed = true;
    pthread_mutex_unlock(&container->lock);
    if (first) {
        record_save_state(container, NULL);
        publish_container(container, "oom", NULL);
    }
    shim_box_unref(box);
}

static void on_oom(void *user)
{
    struct shim_box *box = user;
    workers_post(box->container->engine->finishers, handle_oom, shim_box_ref(box));
}

static void on_lost(void *user)
{
    post_notice(user, NULL, &(struct run_exit){.lost = "its shim has ended"});
}

static void on_exec_found(void *user, const struct shim_exec *exec)
{
    exec_found(((struct shim_box *)user)->container, exec);
}

static const struct shim_events events = {.exec_found = on_exec_found, .exited = on_exited, .oom = on_oom, .lost = on_lost};

/* --- making ---------------------------------------------------------------------------- */

int shim_box_open(struct container *container, bool spawn, struct shim_box **ret, struct error *err)
{
    CLEANUP_SPEC struct spec *spec = container__spec(container);
    struct engine *engine = container->engine;
    CLEANUP(log_plan_clear) struct log_plan log = {0};
    /* One that runs has its own, whatever has become of the receiver. */
    int r = spawn ? log_driver_plan(container, spec, &log, err) : 0;
    if (r < 0)
        return r;

    pthread_mutex_lock(&container->lock);
    if (spawn)
        container->run.run++;
    unsigned run = container->run.run;
    pthread_mutex_unlock(&container->lock);

    CLEANUP_FREE char *program = path_join(engine->options.libexec_dir, "tabique-shim");
    CLEANUP_FREE char *dir = shim_dir(container, run);
    CLEANUP_FREE char *cgroup = container__cgroup(container);
    CLEANUP_FREE char *log_path = mem_printf("%s/%s-json.log", container->dir, container->id);
    struct shim_spec shim_spec = {
        .program = program,
        .id = container->id,
        .dir = dir,
        .state_dir = container->dir,
        .isolation = spec->wall->name,
        .log_path = log.file ? log_path : NULL,
        .log_max_size = log.max_size,
        .log_max_files = log.max_files,
        .log_compress = log.compress,
        .log_attributes = log.attributes,
        .log_to = log.address,
        .log_format = log.format,
        .log_tag = log.tag,
        .log_fields = log.fields,
        .log_facility = log.facility,
        .open_stdin = json_bool(spec->config, "OpenStdin", false),
        .stdin_once = json_bool(spec->config, "StdinOnce", false),
    };

    if (spawn && (spec->wall->capabilities & ISOLATION_OWN_KERNEL)) {
        struct machines_info machines;
        r = machines_wait(engine->machines, &machines, err);
        if (r < 0)
            return r;
        shim_spec.machines_dir = machines.dir;
        shim_spec.machine_memory_fd = machines.memory_fd;
    }
    if (spawn) {
        r = path_mkdirs(dir, 0700);
        if (r < 0)
            return error_errno(err, r == -ENOENT ? EIO : r, "cannot make %s", dir);
    }
    struct shim_box *box = mem_new(struct shim_box);
    box->references = 1;
    box->run = run;
    box->container = container__ref(container);
    if (!spawn)
        r = shim_reattach(&shim_spec, engine->loop, &events, box, &box->shim, err);
    else if (shim_spec.machines_dir)
        r = machine_pool_spawn(engine->machine_pool, &shim_spec, cgroup, engine->loop, &events, box, &box->shim, err);
    else
        r = shim_spawn(&shim_spec, engine->loop, &events, box, &box->shim, err);
    if (r < 0) {
        if (spawn)
            path_remove_tree(AT_FDCWD, dir);
        container_put(box->container);
        free(box);
        return r;
    }
    pthread_mutex_lock(&container->lock);
    container->run.shim_pid = shim_pid(box->shim);
    pthread_mutex_unlock(&container->lock);
    *ret = box;
    return 0;
}

struct shim_box *shim_box_dead(struct container *container)
{
    struct shim_box *box = mem_new(struct shim_box);

    box->references = 1;
    box->run = container->run.run;
    box->container = container__ref(container);
    box->started = true;
    return box;
}

int container__running_box(struct container *container, struct shim_box **ret, struct error *err)
{
    struct shim_box *box = NULL;

    pthread_mutex_lock(&container->lock);
    bool runs = container->run.state == CONTAINER_RUNNING || container->run.state == CONTAINER_PAUSED;
    if (runs && container->box && !container->box->ended)
        box = shim_box_ref(container->box);
    pthread_mutex_unlock(&container->lock);
    if (!box)
        return error_set(err, EBUSY, "container %s is not running", container->id);
    *ret = box;
    return 0;
}
