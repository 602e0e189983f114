/* engine.c - the house: opens the rooms in order and closes them in reverse.
 * Owner: container. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/random.h"
#include "base/str.h"
#include "container/engine_internal.h"
#include "container/machine_pool.h"
#include "container/machines.h"
#include "container/workers.h"
#include "history/history.h"
#include "launch/cgroup.h"
#include "tabique/host.h"
#include "tabique/notify.h"
#include "tabique/registry.h"
#include "tabique/store.h"

#define FINISHERS_MAX 16
#define OPERATORS_MAX 32
#define SAMPLE_FRESH_NS (200 * NS_PER_MS)

/* --- options ----------------------------------------------------------------------------- */

static void copy_options(struct engine_options *to, const struct engine_options *from)
{
    *to = *from;
    to->data_dir = path_clean(from->data_dir ? from->data_dir : "/var/lib/tabique");
    to->run_dir = path_clean(from->run_dir ? from->run_dir : "/run/tabique");
    to->libexec_dir = mem_strdup(from->libexec_dir);
    to->machines_dir = from->machines_dir ? mem_strdup(from->machines_dir) : path_join(to->data_dir, "machines");
    to->default_isolation = mem_strdup(from->default_isolation ? from->default_isolation : "process");
    to->cgroup_parent = mem_strdup(from->cgroup_parent);
    to->bridge = mem_strdup(from->bridge);
    to->bip = mem_strdup(from->bip);
    to->accelerator = mem_strdup(from->accelerator);
    to->userns_remap = mem_strdup(from->userns_remap);
    to->dns = from->dns ? (const char *const *)strv_dup((char *const *)from->dns) : NULL;
    to->address_pools = from->address_pools ? (const char *const *)strv_dup((char *const *)from->address_pools) : NULL;
}

static void free_options(struct engine_options *options)
{
    const char *const texts[] = {options->data_dir, options->run_dir, options->libexec_dir, options->machines_dir,
                                 options->default_isolation, options->cgroup_parent, options->bridge,
                                 options->bip, options->accelerator, options->userns_remap};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        free((void *)texts[i]);
    strv_free((char **)options->address_pools);
    strv_free((char **)options->dns);
}

/* Two servers with roots of their own must not meet in the cgroup tree. */
static char *choose_cgroup_parent(const struct engine_options *options)
{
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */

    if (options->cgroup_parent && *options->cgroup_parent)
        return mem_strdup(options->cgroup_parent[0] == '/' ? options->cgroup_parent + 1 : options->cgroup_parent);
    if (strcmp(options->data_dir, "/var/lib/tabique") == 0)
        return mem_strdup("tabique");
    for (const char *c = options->data_dir; *c; c++)
        hash = (hash ^ (unsigned char)*c) * UINT64_C(1099511628211);
    return mem_printf("tabique-%08x", (unsigned)(hash >> 32 ^ hash));
}

/* --- the directory -------------------------------------------------------------------------- */

static int make_dirs(const struct engine_options *options, struct error *err)
{
    static const struct {
        bool run;
        const char *name;
        mode_t mode;
    } dirs[] = {
        /* 0711: a VM worker that is not root passes through to its own container. */
        {false, "", 0711}, {false, "containers", 0711}, {false, "images", 0711}, {false, "volumes", 0711},
        {false, "networks", 0700}, {false, DISCARDED_DIR, 0700}, {true, "", 0711}, {true, "shims", 0711},
    };

    for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
        const char *top = dirs[i].run ? options->run_dir : options->data_dir;
        CLEANUP_FREE char *path = *dirs[i].name ? path_join(top, dirs[i].name) : mem_strdup(top);
        int r = path_mkdirs(path, dirs[i].mode);
        if (r < 0)
            return error_errno(err, r == -ENOENT ? EIO : r, "cannot make %s", path);
    }
    return 0;
}

static int lock_data(struct engine *engine, struct error *err)
{
    CLEANUP_FREE char *path = path_join(engine->options.data_dir, "lock");
    struct statfs fs;

    if (statfs(engine->options.data_dir, &fs) == 0 && fs.f_type == OVERLAYFS_SUPER_MAGIC)
        return error_set(err, EINVAL, "%s is itself on overlayfs, which cannot carry containers' layers: choose a "
                                      "directory on a disk file system with --data-dir", engine->options.data_dir);
    engine->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (engine->lock_fd < 0)
        return error_errno(err, errno == ENOENT ? EIO : errno, "cannot open %s", path);
    if (flock(engine->lock_fd, LOCK_EX | LOCK_NB) < 0)
        return error_set(err, EBUSY, "another server already uses %s: stop it, or choose another with --data-dir DIR",
                         engine->options.data_dir);
    return 0;
}

static int load_id(struct engine *engine, struct error *err)
{
    CLEANUP_FREE char *path = path_join(engine->options.data_dir, "engine-id");
    CLEANUP_FREE char *text = NULL;
    uint8_t b[16];
    size_t length;

    if (file_read(AT_FDCWD, path, 64, &text, &length) == 0 && length >= 36) {
        snprintf(engine->id, sizeof(engine->id), "%.36s", text);
        return 0;
    }
    random_bytes(b, sizeof(b));
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    snprintf(engine->id, sizeof(engine->id), "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
             b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
    int r = file_write_atomic(AT_FDCWD, path, engine->id, strlen(engine->id), 0600);
    return r < 0 ? error_errno(err, r == -ENOENT ? EIO : r, "cannot write %s", path) : 0;
}

/* --- what the recorder asks ------------------------------------------------------------------- */

static int record_containers(void *user, history_container_fn *fn, void *fn_user)
{
    struct container **all;
    int count = registry_all(user, &all), r = 0;

    for (int i = 0; i < count && r == 0; i++) {
        CLEANUP_SPEC struct spec *spec = container__spec(all[i]);
        enum container_state state = container__state(all[i]);

        if (state == CONTAINER_RUNNING || state == CONTAINER_PAUSED)
            r = fn(fn_user, all[i]->id, (spec->wall->capabilities & ISOLATION_OWN_KERNEL) != 0);
    }
    registry_all_free(all, count);
    return r;
}

/* Who has not run for a moment has neither used memory nor read nor written: then one
 * number is read instead of a dozen files. What the kernel does by itself (a packet
 * comes in, a page is reclaimed) is seen at the latest with the next full reading. */
#define FULL_READING_NS (10 * NS_PER_SEC)

static bool has_rested(struct container *container, const char *cgroup, struct history_reading *ret)
{
    const struct history_reading *last = &container->last_reading;
    uint64_t cpu_ns;

    if (last->sampled_ns == 0 || clock_mono_ns() - container->full_reading_ns >= FULL_READING_NS ||
        cgroup_cpu_usage(cgroup, &cpu_ns) < 0 || cpu_ns != last->cpu_total_ns)
        return false;
    *ret = *last;
    ret->sampled_ns = clock_real_ns();
    return true;
}

/* A machine cannot be asked for nothing: an answer costs its guest more than all its idle
 * second. One that used no more than a kernel needs to keep its clocks has run no program; a
 * process that begins or ends, or works, costs more than this. It is asked now and then
 * all the same: then a guest that has gone silent is found out. */
#define GUEST_FULL_READING_NS (5 * NS_PER_SEC)
#define GUEST_IDLE_SHARE 100 /* a hundredth of a core */

static bool guest_has_rested(struct container *container, const char *cgroup, struct history_reading *ret)
{
    int64_t now_ns = clock_mono_ns(), elapsed_ns = now_ns - container->guest_asked_ns;
    uint64_t cpu_ns;

    if (container->guest_cpu_ns == 0 || now_ns - container->full_reading_ns >= GUEST_FULL_READING_NS ||
        cgroup_cpu_usage(cgroup, &cpu_ns) < 0 || cpu_ns < container->guest_cpu_ns ||
        cpu_ns - container->guest_cpu_ns > (uint64_t)elapsed_ns / GUEST_IDLE_SHARE)
        return false;
    *ret = container->last_reading;
    ret->sampled_ns = clock_real_ns();
    ret->rested = true;
    return true;
}

static int record_reading(void *user, const char *id, struct history_reading *ret)
{
    struct engine *engine = user;
    struct container *container = NULL;
    struct network_stats *networks = NULL;
    struct cgroup_stats stats;
    size_t count = 0;
    int r = container_get(engine, id, &container, NULL);

    if (r < 0)
        return r;
    CLEANUP_SPEC struct spec *spec = container__spec(container);
    pthread_mutex_lock(&container->lock);
    bool own_network = container->sandbox_path != NULL;
    pthread_mutex_unlock(&container->lock);
    CLEANUP_FREE char *cgroup = container__cgroup(container);
    bool own_kernel = spec->wall->capabilities & ISOLATION_OWN_KERNEL;
    if (own_kernel ? guest_has_rested(container, cgroup, ret) : has_rested(container, cgroup, ret)) {
        container_put(container);
        return 0;
    }
    if (own_kernel) {
        r = container_stats(container, &stats, &networks, &count, NULL);
    } else {
        /* Straight from the kernel: a second of samples of a hundred containers
         * should not be a hundred conversations with shims. */
        r = cgroup_stats(cgroup, &stats);
        if (r == 0 && own_network && network_stats(engine->networks, id, &networks, &count) < 0)
            count = 0;
    }
    if (r == 0) {
        *ret = (struct history_reading){
            .sampled_ns = stats.sampled_ns,
            .cpu_total_ns = stats.cpu_total_ns,
            /* As Docker: cache that can go at once does not count. */
            .memory_bytes = stats.memory_usage > stats.memory_inactive_file
                                ? stats.memory_usage - stats.memory_inactive_file
                                : stats.memory_usage,
            .block_read_bytes = stats.block_read_bytes,
            .block_write_bytes = stats.block_write_bytes,
            .pids = (uint32_t)stats.pids_current,
        };
        for (size_t i = 0; i < count; i++) {
            ret->net_rx_bytes += networks[i].rx_bytes;
            ret->net_tx_bytes += networks[i].tx_bytes;
        }
        container->last_reading = *ret;
        container->full_reading_ns = clock_mono_ns();
    }
    free(networks);
    container_put(container);
    return r;
}

static int record_processes(void *user, const char *id, struct process_list **ret)
{
    struct container *container = NULL;
    int r = container_get(user, id, &container, NULL);

    if (r < 0)
        return r;
    r = container_processes(container, SAMPLE_FRESH_NS, ret, NULL);
    CLEANUP_FREE char *cgroup = container__cgroup(container);
    if (r < 0 || cgroup_cpu_usage(cgroup, &container->guest_cpu_ns) < 0)
        container->guest_cpu_ns = 0;
    container->guest_asked_ns = clock_mono_ns();
    container_put(container);
    return r;
}

/* --- open --------------------------------------------------------------------------------------- */

static enum image_use image_in_use(void *user, const char *image_id, char **ret_container)
{
    enum image_use use = IMAGE_UNUSED;
    struct container **all;
    int count = registry_all(user, &all), by = -1;

    for (int i = 0; i < count && use != IMAGE_USED_RUNNING; i++) {
        if (strcmp(all[i]->image_id, image_id) != 0)
            continue;
        bool runs = state_is_active(container__state(all[i]));
        if (runs || by < 0)
            by = i;
        use = runs ? IMAGE_USED_RUNNING : IMAGE_USED_STOPPED;
    }
    if (by >= 0 && ret_container)
        *ret_container = mem_strdup(all[by]->id);
    registry_all_free(all, count);
    return use;
}

/* In the background: who wants no machine must not wait for one. */
static void prepare_machines(struct engine *engine)
{
    CLEANUP_FREE char *shim = path_join(engine->options.libexec_dir, "tabique-shim");
    CLEANUP_FREE char *guest = path_join(engine->options.libexec_dir, "guest");
    const struct machines_options options = {
        .shim_program = shim, .dir = engine->options.machines_dir, .guest_dir = guest, .accelerator = engine->options.accelerator,
        .disk_bytes = engine->options.machine_disk_bytes};

    engine->machines = machines_new(&options, NULL, NULL);
    CLEANUP_FREE char *containers = path_join(engine->options.data_dir, "containers");
    const struct machine_pool_options pool = {
        .state_dir = containers,
        .machines = engine->machines,
        .shim_program = shim,
        .cgroup_parent = engine->cgroup_parent,
        .size = engine->options.machine_pool,
    };
    engine->machine_pool = machine_pool_new(&pool);
}

static int open_rooms(struct engine *engine, struct error *err)
{
    const struct engine_options *options = &engine->options;
    CLEANUP_FREE char *database = path_join(options->data_dir, "history.db");
    CLEANUP_FREE char *images = path_join(options->data_dir, "images");
    CLEANUP_FREE char *volumes = path_join(options->data_dir, "volumes");
    CLEANUP_FREE char *networks = path_join(options->data_dir, "networks");
    CLEANUP_FREE char *prefix = mem_printf("%s/", engine->cgroup_parent);
    struct store_options store = {
        .path = database,
        .retain_ns = options->history_retain_ns,
        .retain_audit_ns = options->audit_retain_ns,
        .max_bytes = options->history_max_bytes,
    };
    CLEANUP_FREE char *forwarder = path_join(options->libexec_dir, "tabique-forward");
    struct network_options network = {
        .data_dir = networks,
        .run_dir = options->run_dir,
        .bridge = options->bridge,
        .bip = options->bip,
        .address_pools = options->address_pools,
        .forwarder = forwarder,
    };
    struct sampler_options sampler = {
        .cgroup_prefix = prefix,
        .interval_ns = SAMPLE_FRESH_NS,
        .connector = true,
    };

    int r = store_open(&store, &engine->store, err);
    if (r < 0)
        return r;
    engine->events = event_bus_new(store_last_event_sequence(engine->store));
    const struct registry_options registry = {0};
    const struct image_limits limits = {
        .max_unpacked_bytes = (uint64_t)options->image_max_bytes,
        .max_ratio = (double)options->image_max_ratio,
    };
    if ((r = registry_open(options->registry ? options->registry : &registry, &engine->registry_client, err)) < 0 ||
        (r = image_store_open(images, &limits, &engine->images, err)) < 0 ||
        (r = volume_store_open(volumes, &engine->volumes, err)) < 0 ||
        (r = network_manager_open(&network, &engine->networks, err)) < 0 ||
        (r = sampler_new(&sampler, &engine->sampler, err)) < 0)
        return r;
    image_store_set_in_use(engine->images, image_in_use, engine);
    prepare_machines(engine);
    return 0;
}

static void *run_loop(void *user)
{
    struct engine *engine = user;

    int r = loop_run(engine->loop);
    if (r < 0)
        log_error("the engine's loop ended: error %d", -r);
    return NULL;
}

static int start_threads(struct engine *engine, struct error *err)
{
    int r = loop_new(&engine->loop);
    if (r < 0)
        return error_errno(err, r, "cannot make the engine's loop");
    engine->finishers = workers_new("finishers", FINISHERS_MAX);
    engine->operators = workers_new("operators", OPERATORS_MAX);
    engine->sweepers = workers_new("sweepers", 1);
    r = -pthread_create(&engine->loop_thread, NULL, run_loop, engine);
    if (r < 0)
        return error_errno(err, r, "cannot start the engine's thread");
    engine->loop_running = true;
    return 0;
}

static int start_recorder(struct engine *engine, struct error *err)
{
    struct history_options options = {
        .store = engine->store,
        .sampler = engine->sampler,
        .bus = engine->events,
        .source = {engine, record_containers, record_reading, record_processes},
        .interval_ns = engine->options.sample_interval_ns,
    };
    return history_start(&options, &engine->history, err);
}

/* --- what the notifier asks ----------------------------------------------------------------------- */

static int notify_running(void *user, notify_container_fn *fn, void *fn_user)
{
    struct container **all;
    int count = registry_all(user, &all), r = 0;

    for (int i = 0; i < count && r == 0; i++) {
        if (container__state(all[i]) != CONTAINER_RUNNING)
            continue;
        CLEANUP_SPEC struct spec *spec = container__spec(all[i]);
        CLEANUP_FREE char *name = container__name(all[i]);
        const int64_t limit = json_int(spec->host_config, "Memory", 0);
        const struct notify_container container = {
            .id = all[i]->id, .name = name, .memory_limit = limit > 0 ? (uint64_t)limit : 0};
        r = fn(fn_user, &container);
    }
    registry_all_free(all, count);
    return r;
}

static int start_notifier(struct engine *engine, struct error *err)
{
    char host[256] = "";
    struct sysinfo info = {0};

    (void)gethostname(host, sizeof(host) - 1);
    (void)sysinfo(&info);
    const struct notify_options options = {
        .store = engine->store,
        .bus = engine->events,
        .engine_id = engine->id,
        .host = host,
        .host_memory = (uint64_t)info.totalram * info.mem_unit,
        .user = engine,
        .containers = notify_running,
    };
    return notify_open(&options, &engine->notify, err);
}

int engine_open(const struct engine_options *options, struct engine **ret, struct error *err)
{
    struct engine *engine = mem_new(struct engine);
    pthread_condattr_t attributes;

    engine->lock_fd = -EBADF;
    copy_options(&engine->options, options);
    engine->cgroup_parent = choose_cgroup_parent(&engine->options);
    pthread_rwlock_init(&engine->registry, NULL);
    pthread_mutex_init(&engine->exec_lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&engine->exec_changed, &attributes);
    pthread_condattr_destroy(&attributes);

    int r = 0;
    if (!wall_find(engine->options.default_isolation, NULL))
        r = error_set(err, EINVAL, "unknown default isolation: %s", engine->options.default_isolation);
    if (r == 0 && engine->options.userns_remap && *engine->options.userns_remap)
        r = id_maps_of_user(engine->options.userns_remap, &engine->ids, err);
    if (r == 0)
        r = make_dirs(&engine->options, err);
    if (r == 0)
        r = lock_data(engine, err);
    if (r == 0)
        r = load_id(engine, err);
    if (r == 0)
        r = open_rooms(engine, err);
    engine->options.registry = NULL; /* the caller's */
    if (r == 0)
        r = start_threads(engine, err);
    /* Before anything is published: what is not recorded did not happen. */
    if (r == 0)
        r = start_recorder(engine, err);
    if (r == 0) {
        discard_sweep(engine);
        r = recover_all(engine, err);
        engine->recovered = r == 0;
    }
    if (r == 0)
        r = start_notifier(engine, err);
    if (r < 0) {
        engine_close(engine);
        return r;
    }
    *ret = engine;
    return 0;
}

/* --- close ------------------------------------------------------------------------------------------ */

static void stop_loop(void *user)
{
    loop_stop(user);
}

static void let_go(struct container *container)
{
    health_end(container);
    pthread_mutex_lock(&container->lock);
    struct shim_box *box = TAKE_PTR(container->box);
    pthread_cond_broadcast(&container->changed);
    pthread_mutex_unlock(&container->lock);
    shim_box_unref(box);
}

static void close_threads(struct engine *engine)
{
    struct container **all;

    workers_stop(engine->operators);
    int count = registry_all(engine, &all);
    for (int i = 0; i < count; i++)
        let_go(all[i]);
    /* Posted behind what freeing the shims has posted. */
    if (engine->loop_running) {
        loop_post(engine->loop, stop_loop, engine->loop);
        pthread_join(engine->loop_thread, NULL);
    }
    workers_stop(engine->finishers);
    workers_stop(engine->sweepers);
    for (int i = 0; i < count; i++) {
        exec_forget_all(all[i], NULL, true);
        registry_unlist(all[i]);
    }
    registry_all_free(all, count);
    if (count == 0) {
        /* With nobody in it the engine's cgroup goes, too; it comes back by itself. */
        (void)cgroup_remove(engine->cgroup_parent);
    }
    if (engine->loop) {
        /* What the last finishers let go of. */
        loop_post(engine->loop, stop_loop, engine->loop);
        loop_run(engine->loop);
        loop_free(engine->loop);
    }
    workers_free(engine->operators);
    workers_free(engine->finishers);
    workers_free(engine->sweepers);
}

/* Whether anybody needs what the engine has set up in the kernel. */
static bool any_active(struct engine *engine)
{
    struct container **all;
    int count = registry_all(engine, &all);
    bool any = false;

    for (int i = 0; i < count && !any; i++)
        any = state_is_active(container__state(all[i]));
    registry_all_free(all, count);
    return any;
}

void engine_close(struct engine *engine)
{
    if (!engine)
        return;
    atomic_store(&engine->closing, true);
    machines_cancel(engine->machines);
    bool idle = engine->recovered && !any_active(engine);
    if (engine->loop)
        close_threads(engine);
    notify_close(engine->notify);
    if (engine->history)
        history_stop(engine->history);
    if (engine->sampler)
        sampler_free(engine->sampler);
    if (engine->networks) {
        /* Bridges and rules stay for those who use them; the next start makes them anew. */
        if (idle)
            network_manager_destroy_all(engine->networks);
        network_manager_close(engine->networks);
    }
    if (engine->volumes)
        volume_store_close(engine->volumes);
    if (engine->images)
        image_store_close(engine->images);
    registry_close(engine->registry_client);
    if (engine->events)
        event_bus_free(engine->events);
    if (engine->store)
        store_close(engine->store);
    machine_pool_free(engine->machine_pool);
    machines_free(engine->machines);
    if (engine->lock_fd >= 0)
        close(engine->lock_fd);
    pthread_rwlock_destroy(&engine->registry);
    pthread_mutex_destroy(&engine->exec_lock);
    pthread_cond_destroy(&engine->exec_changed);
    id_maps_clear(&engine->ids);
    free(engine->cgroup_parent);
    free_options(&engine->options);
    free(engine);
}

/* --- parts, and what stands here ----------------------------------------------------------------------- */

const struct engine_options *engine_get_options(const struct engine *engine)
{
    return &engine->options;
}

const char *engine_id(const struct engine *engine)
{
    return engine->id;
}

struct image_store *engine_images(struct engine *engine)
{
    return engine->images;
}

struct registry *engine_registry(struct engine *engine)
{
    return engine->registry_client;
}

struct network_manager *engine_networks(struct engine *engine)
{
    return engine->networks;
}

struct volume_store *engine_volumes(struct engine *engine)
{
    return engine->volumes;
}

struct event_bus *engine_events(struct engine *engine)
{
    return engine->events;
}

struct sampler *engine_sampler(struct engine *engine)
{
    return engine->sampler;
}

struct store *engine_store(struct engine *engine)
{
    return engine->store;
}

struct notify *engine_notify(struct engine *engine)
{
    return engine->notify;
}

static int count_nodes(void)
{
    int count = 0;

    for (;; count++) {
        char path[64];
        snprintf(path, sizeof(path), "/sys/devices/system/node/node%d", count);
        if (access(path, F_OK) < 0)
            return count > 0 ? count : 1;
    }
}

void engine_facts(struct engine *engine, struct host_facts *ret)
{
    struct engine_info info;

    engine_info(engine, &info);
    *ret = (struct host_facts){
        .controllers = info.cgroup_controllers,
        .cgroup_version = info.cgroup_version,
        .cpus = (int)sysconf(_SC_NPROCESSORS_ONLN),
        .memory_nodes = count_nodes(),
        .default_isolation = engine->options.default_isolation,
        .hyperv_available = info.hyperv_available,
        .hyperv_reason = info.accelerator_reason,
    };
}

void engine_pool(struct engine *engine, struct engine_pool *ret)
{
    struct machine_pool_info info;

    machine_pool_info(engine->machine_pool, &info);
    *ret = (struct engine_pool){.wanted = info.wanted, .ready = info.ready, .memory_bytes = info.memory_bytes,
                                .staged_bytes = info.staged_bytes};
}

void engine_info(struct engine *engine, struct engine_info *ret)
{
    enum cgroup_version version = cgroup_version();
    struct machines_info machines;

    machines_info(engine->machines, &machines);
    *ret = (struct engine_info){
        .cgroup_version = version == CGROUP_V2 ? 2 : 1,
        .cgroup_controllers = cgroup_supports(),
        .accelerator = machines.accelerator,
        .accelerator_reason = machines.reason,
        /* QEMU gives no isolation guarantee under its own emulation. */
        .security_boundary = machines.accelerator && strcmp(machines.accelerator, "tcg") != 0,
        .hyperv_available = machines.state != MACHINES_NONE,
        .default_isolation = engine->options.default_isolation,
    };
    pthread_rwlock_rdlock(&engine->registry);
    for (struct container *c = engine->by_id; c; c = c->id_handle.next) {
        pthread_mutex_lock(&c->lock);
        enum container_state state = c->run.state;
        pthread_mutex_unlock(&c->lock);
        ret->containers++;
        /* As Docker counts: a paused one runs, too. */
        ret->running += state == CONTAINER_RUNNING || state == CONTAINER_RESTARTING;
        ret->paused += state == CONTAINER_PAUSED;
        ret->stopped += state == CONTAINER_CREATED || state == CONTAINER_EXITED || state == CONTAINER_DEAD;
    }
    pthread_rwlock_unlock(&engine->registry);
}
