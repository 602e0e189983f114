/* look.c - looking into a container: processes, comparison, stats, streams.
 * Owner: container. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "container/internal.h"
#include "history/history.h"
#include "launch/cgroup.h"
#include "tabique/compare.h"
#include "tabique/host.h"
#include "tabique/store.h"

/* Start times are whole clock ticks and cross JSON in nanoseconds. */
#define SAME_START_NS (15 * NS_PER_MS)

static bool own_kernel(const struct spec *spec)
{
    return (spec->wall->capabilities & ISOLATION_OWN_KERNEL) != 0;
}

/* --- processes -------------------------------------------------------------------------- */

static struct process_list *subset(const struct process_list *all, const char *id)
{
    struct process_list *list = process_list_new(16);

    list->sampled_ns = all->sampled_ns;
    list->sequence = all->sequence;
    for (size_t i = 0; i < all->count; i++)
        if (strcmp(all->items[i].container_id, id) == 0 && !all->items[i].worker)
            process_copy(process_list_add(list), &all->items[i]);
    return list;
}

/* Just this container's, read now: a few files, where a sample of the whole host
 * reads thousands. For who asks once; who watches is served by the sampler. */
static int read_now(struct container *container, struct process_list **ret, struct error *err)
{
    CLEANUP_FREE char *cgroup = container__cgroup(container);
    CLEANUP_FREE pid_t *pids = NULL;
    CLEANUP_CLOSE int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct process_list *list = NULL;
    size_t count = 0;

    int r = proc < 0 ? -errno : cgroup_pids(cgroup, &pids, &count);
    if (r < 0)
        return error_errno(err, r == -ENOENT ? EIO : r, "cannot list the processes of container %.12s", container->id);
    r = process_read(proc, pids, count, &list, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < list->count; i++)
        snprintf(list->items[i].container_id, sizeof(list->items[i].container_id), "%s", container->id);
    *ret = list;
    return 0;
}

int container_processes(struct container *container, int64_t max_age_ns, struct process_list **ret, struct error *err)
{
    CLEANUP_SPEC struct spec *spec = container__spec(container);
    CLEANUP_BOX struct shim_box *box = NULL;
    struct process_list *all = NULL;

    if (container__state(container) == CONTAINER_RESTARTING)
        return error_set(err, EBUSY, "Container %s is restarting, wait until the container is running", container->id);
    int r = container__running_box(container, &box, err);
    if (r < 0)
        return r;
    if (!(spec->wall->capabilities & ISOLATION_HOST_PROCESSES))
        return shim_processes(box->shim, ret, err);
    if (max_age_ns == 0)
        return read_now(container, ret, err);
    r = sampler_snapshot(container->engine->sampler, max_age_ns, &all, err);
    if (r < 0)
        return r;
    *ret = subset(all, container->id);
    process_list_unref(all);
    return 0;
}

int container_signal_process(struct container *container, pid_t pid, int64_t started_ns, int number, struct error *err)
{
    CLEANUP_SPEC struct spec *spec = container__spec(container);
    CLEANUP_BOX struct shim_box *box = NULL;
    struct process_list *list = NULL;
    bool host = (spec->wall->capabilities & ISOLATION_HOST_PROCESSES) != 0;

    if (number < 1 || number > SIGRTMAX)
        return error_set(err, EINVAL, "invalid signal: %d", number);
    int r = container__running_box(container, &box, err);
    if (r == 0)
        r = container_processes(container, 0, &list, err);
    if (r < 0)
        return r;
    const struct process *found = NULL;
    for (size_t i = 0; i < list->count && !found; i++) {
        const struct process *process = &list->items[i];
        int64_t apart = process->started_ns - started_ns;

        if ((host ? process->inner_pid : process->pid) == pid && apart < SAME_START_NS && apart > -SAME_START_NS)
            found = process;
    }
    r = found ? shim_signal_pid(box->shim, found->pid, found->start_ticks, number, err) : -ESRCH;
    process_list_unref(list);
    if (r == -ESRCH)
        return error_set(err, ENOENT, "No such process: %d of container %s (it may have ended, and its number been "
                                      "given to another one)", (int)pid, container->id);
    return r;
}

/* --- comparison --------------------------------------------------------------------------- */

void container_boundary(struct container *container, struct compare_boundary *ret)
{
    CLEANUP_SPEC struct spec *spec = container__spec(container);
    struct engine_info info;

    *ret = (struct compare_boundary){.own_kernel = own_kernel(spec)};
    if (ret->own_kernel) {
        engine_info(container->engine, &info);
        ret->accelerator = info.accelerator;
        ret->security_boundary = info.security_boundary;
    }
    pthread_mutex_lock(&container->lock);
    ret->container_name = container->name; /* old names are kept as long as the container */
    pthread_mutex_unlock(&container->lock);
}

static int lists_now(struct container *container, bool guest, struct process_list **inside, struct process_list **host,
                     struct error *err)
{
    int r = 0;

    if (guest)
        r = container_processes(container, 0, inside, err);
    else if (container__state(container) != CONTAINER_RUNNING && container__state(container) != CONTAINER_PAUSED)
        r = error_set(err, EBUSY, "container %s is not running", container->id);
    return r < 0 ? r : sampler_snapshot(container->engine->sampler, 0, host, err);
}

static int lists_then(struct container *container, bool guest, int64_t at_ns, struct process_list **inside,
                      struct process_list **host, struct error *err)
{
    struct store *store = container->engine->store;
    int r = guest ? store_processes_at(store, container->id, at_ns, inside, err) : 0;

    return r < 0 ? r : store_processes_at(store, "", at_ns, host, err);
}

int container_compare(struct container *container, bool whole_host, int64_t at_ns, struct comparison **ret,
                      struct error *err)
{
    struct process_list *inside = NULL, *host = NULL;
    struct compare_boundary boundary;

    container_boundary(container, &boundary);
    int r = at_ns ? lists_then(container, boundary.own_kernel, at_ns, &inside, &host, err)
                  : lists_now(container, boundary.own_kernel, &inside, &host, err);
    if (r == 0)
        r = compare_processes(container->id, inside, host, &boundary, whole_host, ret);
    process_list_unref(inside);
    process_list_unref(host);
    return r;
}

/* --- stats ----------------------------------------------------------------------------------- */

int container_stats(struct container *container, struct cgroup_stats *ret, struct network_stats **ret_networks,
                    size_t *ret_network_count, struct error *err)
{
    CLEANUP_BOX struct shim_box *box = NULL;
    struct cgroup_stats stats;

    int r = container__running_box(container, &box, err);
    if (r == 0)
        r = shim_stats(box->shim, &stats, err);
    if (r < 0)
        return r;
    *ret = stats;
    if (!ret_networks)
        return 0;
    *ret_networks = NULL;
    *ret_network_count = 0;
    pthread_mutex_lock(&container->lock);
    bool own = container->sandbox_path != NULL;
    pthread_mutex_unlock(&container->lock);
    if (own && network_stats(container->engine->networks, container->id, ret_networks, ret_network_count) < 0) {
        *ret_networks = NULL; /* it ended just now */
        *ret_network_count = 0;
    }
    return 0;
}

/* --- streams ------------------------------------------------------------------------------------ */

int container_attach(struct container *container, const char *called, unsigned streams, int *ret_fd, struct error *err)
{
    CLEANUP_BOX struct shim_box *box = NULL;
    int r;

    pthread_mutex_lock(&container->lock);
    enum container_state state = container->run.state;
    bool gone = container->removal_begun || state == CONTAINER_REMOVING || state == CONTAINER_DEAD;
    while (container->finishing && !gone) /* its next run is what can be attached to */
        pthread_cond_wait(&container->changed, &container->lock);
    state = container->run.state;
    if (container->box && !container->box->ended)
        box = shim_box_ref(container->box);
    pthread_mutex_unlock(&container->lock);

    if (gone)
        return error_set(err, EBUSY, "container %s is marked for removal", container->id);
    if (state == CONTAINER_PAUSED)
        return error_set(err, EBUSY, "container %s is paused, unpause the container before attach", called);
    if (state == CONTAINER_RESTARTING)
        return error_set(err, EBUSY, "container %s is restarting, wait until the container is running", called);
    if (!box) {
        r = shim_box_open(container, true, &box, err);
        if (r < 0)
            return r;
        record_save_state(container, NULL); /* its run number: a server that comes back lets it go */
        pthread_mutex_lock(&container->lock);
        struct shim_box *faster = container->box ? shim_box_ref(container->box) : NULL;
        if (!faster)
            container->box = shim_box_ref(box);
        pthread_mutex_unlock(&container->lock);
        if (faster) {
            shim_shutdown(box->shim);
            shim_box_unref(box);
            box = faster;
        }
    }
    r = shim_attach(box->shim, NULL, streams ? streams : 1, ret_fd, err);
    if (r == 0)
        publish_container(container, "attach", NULL);
    return r;
}

bool container_tty(struct container *container)
{
    CLEANUP_SPEC struct spec *spec = container__spec(container);
    return json_bool(spec->config, "Tty", false);
}

bool container_stdin_once(struct container *container)
{
    CLEANUP_SPEC struct spec *spec = container__spec(container);
    return json_bool(spec->config, "StdinOnce", false);
}

int container_resize(struct container *container, uint16_t rows, uint16_t cols, struct error *err)
{
    CLEANUP_BOX struct shim_box *box = NULL;
    char height[8], width[8];

    int r = container__running_box(container, &box, err);
    if (r == 0)
        r = shim_resize(box->shim, NULL, rows, cols, err);
    if (r < 0)
        return r;
    snprintf(height, sizeof(height), "%u", rows);
    snprintf(width, sizeof(width), "%u", cols);
    publish_container(container, "resize", "height", height, "width", width, NULL);
    return 0;
}
