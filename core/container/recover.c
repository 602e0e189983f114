/* recover.c - a server comes back: what ran goes on running, what ended meanwhile
 * is brought up to date, what should run is started. Owner: container.
 *
 * Ends are held back (run.starting, as during a start) until the networks stand
 * again, so that nothing is put back for a container that is already gone. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "container/internal.h"
#include "container/workers.h"
#include "launch/cgroup.h"
#include "tabique/store.h"

enum fate {
    FATE_RESTS,   /* not running, and was not */
    FATE_RUNS,    /* its shim has answered */
    FATE_ENDED,   /* it ran, and does not any more */
    FATE_UNBORN,  /* the server ended while it was being started */
    FATE_REMOVE,  /* its removal was begun */
};

struct found {
    struct container *container;
    enum fate fate;
    struct shim_box *box;
    struct run_exit exit;
};

#define EXIT_MACHINE_RESTARTED 255

/* --- looking at one -------------------------------------------------------------------- */

static void reattach(struct found *found)
{
    struct container *container = found->container;
    struct error err = ERROR_INIT;
    bool was_starting = container->run.starting;

    /* Before the first callback can come. */
    container->run.starting = true;
    int r = shim_box_open(container, false, &found->box, &err);
    if (r < 0) {
        container->run.starting = was_starting;
        found->fate = FATE_ENDED;
        found->exit.lost = "its shim had ended when the server came back";
        return;
    }
    pthread_mutex_lock(&container->lock);
    found->box->started = true;
    container->box = shim_box_ref(found->box);
    pthread_mutex_unlock(&container->lock);
    found->fate = FATE_RUNS;
}

/* A start that was cut off: did the process come to be? The shim knows. */
static void settle_start(struct found *found)
{
    struct container *container = found->container;
    struct shim_started started = {0};
    struct shim_exit record;

    if (found->fate == FATE_RUNS && shim_status(found->box->shim, &started, NULL) == 0 && started.pid > 0) {
        pthread_mutex_lock(&container->lock);
        container->run.pid = started.pid;
        container->run.pid_start_ticks = started.start_ticks;
        container->run.guest_pid = started.guest_pid;
        if (!container->run.started_ns || container->run.finished_ns > container->run.started_ns)
            container->run.started_ns = clock_from_ticks(started.start_ticks);
        container->run.started_before = true;
        container__transition(container, STATE_STARTED);
        pthread_mutex_unlock(&container->lock);
        return;
    }
    if (shim_read_exit(container->dir, &record, NULL) == 0) {
        /* It began and ended, both unseen. */
        pthread_mutex_lock(&container->lock);
        container->run.started_ns = record.time_ns;
        container->run.started_before = true;
        container__transition(container, STATE_STARTED);
        pthread_mutex_unlock(&container->lock);
        found->exit.lost = "the server ended while it ran";
        found->fate = FATE_ENDED;
        return;
    }
    found->fate = FATE_UNBORN;
}

static void look(struct found *found, const char *boot)
{
    struct container *container = found->container;
    bool same_boot = strcmp(boot, boot_id()) == 0;
    enum container_state state = container->run.state;
    bool ran = state == CONTAINER_RUNNING || state == CONTAINER_PAUSED;
    bool was_starting = container->run.starting;

    if (state == CONTAINER_REMOVING || state == CONTAINER_DEAD) {
        found->fate = FATE_REMOVE;
    } else if (!ran && !was_starting) {
        found->fate = FATE_RESTS;
    } else if (!same_boot) {
        found->fate = ran ? FATE_ENDED : FATE_UNBORN;
        found->exit = (struct run_exit){.status = EXIT_MACHINE_RESTARTED, .time_ns = clock_boot_ns(), .lost = "the machine was restarted"};
    } else {
        reattach(found);
        if (!ran)
            settle_start(found);
    }
}

/* --- events that were owed ---------------------------------------------------------------------- */

/* State is written down before its event is: a server killed between the two owes
 * the event. What was remembered last, a start or an end, tells. The other order
 * would tell things twice, or of things that are not so. */
#define OWED_AT_MOST_NS (24 * 3600 * NS_PER_SEC)

static int note_sequence(void *user, const struct event *event)
{
    *(uint64_t *)user = event->sequence;
    return 0;
}

static uint64_t last_event(struct container *container, const char *action)
{
    uint64_t sequence = 0;
    struct error err = ERROR_INIT;
    struct store_event_query query = {
        .type = "container", .action = action, .actor_id = container->id, .limit = 1, .newest_first = true};

    if (store_events(container->engine->store, &query, note_sequence, &sequence, &err) < 0)
        log_warning("container %s: its events cannot be read: %s", container->id, err.message);
    return sequence;
}

static void pay_start(struct container *container)
{
    uint64_t start = last_event(container, "start"), die = last_event(container, "die");

    /* Of a long life the start may have been forgotten by now, as all old events are. */
    if (die > start || (!start && clock_real_ns() - container->run.started_ns < OWED_AT_MOST_NS))
        publish_container_at(container, container->run.started_ns, "start", NULL);
}

static void pay_die(struct container *container)
{
    const struct run_state *run = &container->run;

    if (!run->started_before || last_event(container, "start") <= last_event(container, "die"))
        return;
    publish_die(container, run->finished_ns, run->finished_ns - run->started_ns, run->exit_code, run->error);
}

/* --- putting it right --------------------------------------------------------------------------- */

static void hold(struct container *container)
{
    struct engine *engine = container->engine;
    struct error err = ERROR_INIT;

    if (image_hold(engine->images, container->image_id, &err) < 0)
        log_warning("container %s: %s", container->id, err.message);
    for (size_t i = 0; i < container->mounts.count; i++) {
        struct mount_point *mount = &container->mounts.items[i];

        if (mount->type == MOUNT_VOLUME && volume_hold(engine->volumes, mount->name, container->id, &err) < 0)
            log_warning("container %s: %s", container->id, err.message);
    }
}

static void forget_sandbox(struct container *container)
{
    pthread_mutex_lock(&container->lock);
    endpoints_clear(container);
    pthread_mutex_unlock(&container->lock);
}

static void resume(struct found *found)
{
    struct container *container = found->container;
    CLEANUP_SPEC struct spec *spec = container__spec(container);

    if (volumes_mount(container, NULL) < 0)
        log_warning("container %s: a volume of it could not be mounted again", container->id);
    /* The server may have ended between a pause and its being written down. */
    shim_freeze(found->box->shim, container__state(container) == CONTAINER_PAUSED, NULL);
    record_save_state(container, NULL);
    if (container__state(container) == CONTAINER_RUNNING)
        health_begin(container, spec);

    pthread_mutex_lock(&container->lock);
    container->run.starting = false;
    bool ended = container->exit_pending;
    struct run_exit exit = container->pending_exit;
    container->exit_pending = false;
    pthread_mutex_unlock(&container->lock);
    if (ended)
        finish_exited(found->box, &exit);
}

/* Through the same door as any other end: events, restart policy, auto-removal. */
static void end(struct found *found)
{
    struct container *container = found->container;
    struct shim_box *box = shim_box_dead(container);

    pthread_mutex_lock(&container->lock);
    container->run.starting = false;
    container->run.restart_cancelled = false;
    pthread_mutex_unlock(&container->lock);
    finish_exited(box, &found->exit);
    shim_box_unref(box);
}

static void unborn(struct found *found)
{
    struct container *container = found->container;
    CLEANUP_FREE char *cgroup = container__cgroup(container);

    pthread_mutex_lock(&container->lock);
    struct shim_box *box = TAKE_PTR(container->box);
    if (box)
        box->ended = true;
    container->run.starting = false;
    free(container->run.error);
    container->run.error = mem_strdup("the server ended while the container was being started");
    container__transition(container, STATE_START_FAILED);
    pthread_mutex_unlock(&container->lock);
    if (box) {
        shim_shutdown(box->shim);
        shim_box_unref(box);
    }
    cgroup_kill(cgroup, SIGKILL);
    cgroup_remove(cgroup);
    finish_release(container, false);
    record_save_state(container, NULL);
}

static void rest(struct container *container)
{
    CLEANUP_SPEC struct spec *spec = container__spec(container);

    forget_sandbox(container);
    pthread_mutex_lock(&container->lock);
    struct run_state *run = &container->run;
    bool waits = run->state == CONTAINER_RESTARTING;
    bool start = waits || (run->state == CONTAINER_EXITED && run->started_before &&
                           restart_wanted(container, spec, run->exit_code, true) &&
                           /* Docker starts "on-failure" again only if it was running when the server ended. */
                           strcmp(json_string(json_get(spec->host_config, "RestartPolicy"), "Name", ""), "on-failure") != 0);
    if (start && !waits)
        container__transition(container, STATE_RESTARTING);
    bool remove = !start && run->state == CONTAINER_EXITED && json_bool(spec->host_config, "AutoRemove", false);
    pthread_mutex_unlock(&container->lock);
    if (start)
        restart_schedule(container, 0);
    else if (remove)
        container__remove(container, true, true, NULL);
}

static void finish_removal(struct container *container)
{
    struct error err = ERROR_INIT;

    if (container->run.state == CONTAINER_REMOVING)
        container__transition(container, STATE_REMOVE_FAILED);
    if (container__remove(container, true, true, &err) < 0)
        log_error("container %s is still not removed: %s", container->id, err.message);
}

static void settle(struct found *found)
{
    switch (found->fate) {
    case FATE_RUNS:
        pay_start(found->container);
        resume(found);
        break;
    case FATE_ENDED:
        pay_start(found->container);
        end(found);
        break;
    case FATE_UNBORN:
        unborn(found);
        break;
    case FATE_RESTS:
        pay_die(found->container);
        rest(found->container);
        break;
    case FATE_REMOVE:
        finish_removal(found->container);
        break;
    }
}

/* --- shims nobody needs ----------------------------------------------------------------------------- */

/* Made for an attach whose client went away with the server, or left over: told to
 * go, in case they still live. */
static void dismiss_shim(struct engine *engine, const char *dir, const char *name)
{
    CLEANUP_FREE char *program = path_join(engine->options.libexec_dir, "tabique-shim");
    static const struct shim_events nothing;
    struct shim_spec spec = {.program = program, .id = name, .dir = dir, .state_dir = dir, .isolation = "process"};
    struct shim *shim = NULL;

    if (shim_reattach(&spec, engine->loop, &nothing, NULL, &shim, NULL) == 0) {
        shim_shutdown(shim);
        shim_free(shim);
    }
    path_remove_tree(AT_FDCWD, dir);
}

static bool shim_in_use(const struct found *all, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (all[i].fate != FATE_RUNS)
            continue;
        CLEANUP_FREE char *dir = shim_dir(all[i].container, all[i].box->run);
        if (strcmp(path_base(dir), name) == 0)
            return true;
    }
    return false;
}

static void dismiss_shims(struct engine *engine, const struct found *all, size_t count)
{
    CLEANUP_FREE char *shims = path_join(engine->options.run_dir, "shims");
    DIR *stream = opendir(shims);

    if (!stream)
        return;
    for (struct dirent *entry; (entry = readdir(stream));) {
        CLEANUP_FREE char *dir = path_join(shims, entry->d_name);

        if (entry->d_name[0] != '.' && !shim_in_use(all, count, entry->d_name))
            dismiss_shim(engine, dir, entry->d_name);
    }
    closedir(stream);
}

/* --- all of them ------------------------------------------------------------------------------------- */

static size_t load_all(struct engine *engine, struct found **ret)
{
    CLEANUP_FREE char *containers = path_join(engine->options.data_dir, "containers");
    DIR *stream = opendir(containers);
    struct found *all = NULL;
    size_t count = 0;

    if (!stream)
        return 0;
    for (struct dirent *entry; (entry = readdir(stream));) {
        struct container *container = NULL;
        struct error err = ERROR_INIT;
        char boot[40];

        if (strlen(entry->d_name) != 64 || !str_is_hex(entry->d_name, 64))
            continue;
        if (record_load(engine, entry->d_name, &container, boot, &err) < 0) {
            log_error("a container cannot be read and is left aside: %s", err.message);
            continue;
        }
        registry_list(container);
        all = mem_grow(all, count + 1, sizeof(*all));
        all[count] = (struct found){.container = container};
        hold(container);
        look(&all[count++], boot);
    }
    closedir(stream);
    *ret = all;
    return count;
}

int recover_all(struct engine *engine, struct error *err)
{
    struct found *all = NULL;
    size_t count = load_all(engine, &all);
    char **running = NULL;

    for (size_t i = 0; i < count; i++)
        if (all[i].fate == FATE_RUNS && all[i].container->sandbox_path)
            strv_push(&running, all[i].container->id);
    dismiss_shims(engine, all, count);
    int r = network_restore(engine->networks, running, err);
    strv_free(running);
    for (size_t i = 0; i < count; i++) {
        if (r == 0)
            settle(&all[i]);
        shim_box_unref(all[i].box);
        container_put(all[i].container);
    }
    free(all);
    return r;
}
