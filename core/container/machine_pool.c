/* machine_pool.c - see machine_pool.h. Owner: container. */
#include "container/machine_pool.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/str.h"
#include "container/machines.h"
#include "launch/cgroup.h"
#include "launch/plan.h"
#include "launch/plan_base.h"
#include "shim/client.h"
#include "tabique/error.h"

#define SIZE_MAX_MACHINES 64
#define MAKE_NS (300 * NS_PER_SEC) /* at a small share of a busy host's time */
#define PAUSE_FIRST_NS NS_PER_SEC
#define PAUSE_MAX_NS (300 * NS_PER_SEC)
#define FIXED_FDS 3 /* polled before the members' */
#define REHEARSALS 2 /* that may fail for a reason of their own; then it is what they rehearse */

struct member {
    struct shim_warm *shim;
    char *cgroup;
    pid_t worker; /* 0: being made, or rehearsing */
    unsigned rehearsed; /* which of the pool's expectations */
};

struct machine_pool {
    struct machines *machines;
    char *shim_program, *cgroup_parent, *state_dir;
    int size;
    pthread_t thread;
    bool has_thread;
    int wake;

    pthread_mutex_t lock;
    bool stopping;
    struct member members[SIZE_MAX_MACHINES]; /* the ready ones first, the oldest at the front */
    int count, ready;
    struct plan *next; /* what containers are like; NULL: none has been started yet */
    unsigned expectation; /* its number */
    int failures;  /* one after the other, of those that should rehearse it */
    char *unfit;   /* the image of one that could not be rehearsed: it is not expected again */
    int removals;  /* inotify: on the disk of the image that is expected */
    int watched;
    struct shim_stage *staged; /* what those start from for whom no machine waits; NULL: none */
    struct shim_stage *staging; /* the pool's thread only, as the three below */
    char *staging_cgroup;
    unsigned staging_for; /* the expectation that was staged last, however it ended */
    int64_t staging_ns;
};

static void wake(struct machine_pool *pool)
{
    uint64_t one = 1;

    (void)!write(pool->wake, &one, sizeof(one));
}

/* A killed shim leaves its control group, and in it, for a moment, its worker. */
static void remove_group(char *cgroup)
{
    (void)cgroup_kill(cgroup, SIGKILL);
    (void)cgroup_remove(cgroup);
    free(cgroup);
}

static void member_end(struct member *member)
{
    shim_warm_free(member->shim);
    remove_group(member->cgroup);
    *member = (struct member){0};
}

/* Under lock. */
static struct member member_take(struct machine_pool *pool, int index)
{
    struct member member = pool->members[index];

    memmove(&pool->members[index], &pool->members[index + 1], (size_t)(pool->count - index - 1) * sizeof(member));
    pool->count--;
    pool->ready -= member.worker != 0;
    return member;
}

/* --- what comes next ------------------------------------------------------------------------ */

static void pairs_drop(struct plan_pair *pairs, size_t *count)
{
    for (size_t i = 0; i < *count; i++)
        free(pairs[i].name), free(pairs[i].value);
    *count = 0;
}

static const char *const small_files[] = {"/etc/resolv.conf", "/etc/hostname", "/etc/hosts", NULL};

static bool is_base_mount(const struct plan_mount *mount)
{
    for (size_t i = 0; i < plan_base_mount_count; i++)
        if (str_equal(mount->target, plan_base_mounts[i].target))
            return !str_equal(mount->type, "bind");
    return str_equal(mount->type, "bind") && strv_contains((char *const *)(const void *)small_files, mount->target);
}

static void drop(char **text)
{
    free(*text);
    *text = NULL;
}

/* What is the same for the next one: its image, its program, the base mounts, masks,
 * capabilities, filter. Its environment, names, directories, limits are its own affair. */
static void generalize(struct plan *plan)
{
    struct plan_process *process = &plan->process;
    size_t kept = 0;

    for (size_t i = 0; i < plan->mount_count; i++) {
        struct plan_mount mount = plan->mounts[i];
        if (!is_base_mount(&mount)) {
            free(mount.type), free(mount.source), free(mount.target), free(mount.data);
            continue;
        }
        if (str_equal(mount.type, "bind")) {
            free(mount.source);
            mount.source = mem_strdup(mount.target);
        }
        plan->mounts[kept++] = mount;
    }
    plan->mount_count = kept;
    for (size_t i = 0; i < plan->device_count; i++)
        free(plan->devices[i].host_path), free(plan->devices[i].path), free(plan->devices[i].permissions);
    plan->device_count = 0;
    pairs_drop(plan->sysctls, &plan->sysctl_count);
    drop(&plan->namespaces[PLAN_NS_NET].path);
    plan->namespaces[PLAN_NS_NET].mode = PLAN_NS_HOST;
    drop(&plan->id), drop(&plan->hostname), drop(&plan->domainname), drop(&plan->cgroup);
    plan->id = mem_strdup("warm");
    plan->hostname = mem_strdup("warm");
    plan->rootfs.readonly = false;
    plan->rootfs.size = 0;
    struct plan_limits limits = {.memory_swappiness = -1};
    limits.device_rules = TAKE_PTR(plan->limits.device_rules);
    limits.device_rule_count = plan->limits.device_rule_count;
    plan->limits.device_rule_count = 0;
    plan_limits_clear(&plan->limits);
    plan->limits = limits;
    strv_freep(&process->env), strv_freep(&process->groups);
    for (size_t i = 1; process->argv && process->argv[0] && process->argv[i]; i++)
        drop(&process->argv[i]);
    drop(&process->cwd), drop(&process->user);
    process->tty = false;
    process->no_stdin = true;
}

static struct plan *plan_copy(const struct plan *plan)
{
    CLEANUP_STR struct str encoded = STR_INIT;
    struct plan *copy = NULL;

    plan_encode(plan, &encoded);
    return plan_decode(encoded.data, encoded.length, &copy) < 0 ? NULL : copy;
}

/* Takes next; NULL: nobody knows. What is staged stays until there is another: its image
 * may come again. */
static void expect_locked(struct machine_pool *pool, struct plan *next)
{
    if (!next) {
        shim_stage_put(pool->staged);
        pool->staged = NULL;
    }
    plan_free(pool->next);
    pool->next = next;
    pool->expectation++;
}

void machine_pool_expect(struct machine_pool *pool, const struct plan *plan)
{
    pthread_mutex_lock(&pool->lock);
    bool known = !plan->rootfs.device || str_equal(pool->unfit, plan->rootfs.device) ||
                 (pool->next && str_equal(pool->next->rootfs.device, plan->rootfs.device));
    pthread_mutex_unlock(&pool->lock);
    struct plan *next = known || !pool->has_thread ? NULL : plan_copy(plan);
    if (!next)
        return;
    generalize(next);
    pthread_mutex_lock(&pool->lock);
    expect_locked(pool, next);
    pool->failures = 0;
    (void)inotify_rm_watch(pool->removals, pool->watched);
    pool->watched = inotify_add_watch(pool->removals, next->rootfs.device, IN_ATTRIB | IN_DELETE_SELF);
    pthread_mutex_unlock(&pool->lock);
    wake(pool);
}

/* An image that has been removed is let go of, and its disk's space with it. */
static void hear_removals(struct machine_pool *pool)
{
    char events[4096];

    while (read(pool->removals, events, sizeof(events)) > 0)
        ;
    pthread_mutex_lock(&pool->lock);
    if (pool->next && access(pool->next->rootfs.device, F_OK) < 0 && errno == ENOENT)
        expect_locked(pool, NULL);
    pthread_mutex_unlock(&pool->lock);
}

/* Perhaps it was what it should rehearse: if it happens again the next ones do without. */
static void note_failure(struct machine_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    if (pool->next && ++pool->failures >= REHEARSALS) {
        free(pool->unfit);
        pool->unfit = mem_strdup(pool->next->rootfs.device);
        expect_locked(pool, NULL);
        log_warning("machines of the pool do not rehearse image %s: they could not", pool->unfit);
    }
    pthread_mutex_unlock(&pool->lock);
}

static struct plan *expected(struct machine_pool *pool, unsigned *ret_number)
{
    pthread_mutex_lock(&pool->lock);
    struct plan *plan = pool->next ? plan_copy(pool->next) : NULL;
    *ret_number = pool->expectation;
    pthread_mutex_unlock(&pool->lock);
    return plan;
}

/* --- keeping it full; in the pool's thread ------------------------------------------------ */

/* Of a shim without a container. */
static struct shim_spec nobodys_spec(const struct machine_pool *pool, const struct machines_info *machines, char id[ID_LENGTH + 1])
{
    random_id(id);
    return (struct shim_spec){
        .program = pool->shim_program,
        .id = id,
        .dir = "/",
        .state_dir = "/",
        .isolation = "hyperv",
        .log_max_files = 1,
        .machines_dir = machines->dir,
        .machine_memory_fd = machines->memory_fd,
    };
}

static int begin_one(struct machine_pool *pool, const struct machines_info *machines, struct error *err)
{
    struct member member = {0};
    char id[ID_LENGTH + 1];
    const struct shim_spec spec = nobodys_spec(pool, machines, id);
    int r;

    member.cgroup = mem_printf("%s/pool-%.12s", pool->cgroup_parent, id);
    CLEANUP(plan_freep) struct plan *next = expected(pool, &member.rehearsed);
    r = shim_warm_spawn(&spec, member.cgroup, next, pool->state_dir, &member.shim, err);
    if (r < 0) {
        free(member.cgroup);
        return r;
    }
    pthread_mutex_lock(&pool->lock);
    pool->members[pool->count++] = member;
    pthread_mutex_unlock(&pool->lock);
    return 0;
}

/* One that waits for a container as they were before. */
static bool rehearse_one(struct machine_pool *pool)
{
    unsigned number;
    CLEANUP(plan_freep) struct plan *next = expected(pool, &number);
    bool begun = false;

    pthread_mutex_lock(&pool->lock);
    for (int i = 0; i < pool->ready && !begun; i++) {
        if (pool->members[i].rehearsed == number)
            continue;
        struct member member = member_take(pool, i);
        member.worker = 0;
        member.rehearsed = number;
        /* One that has ended is found out by its connection. */
        (void)shim_warm_rehearse(member.shim, next, pool->state_dir);
        pool->members[pool->count++] = member;
        begun = true;
    }
    pthread_mutex_unlock(&pool->lock);
    return begun;
}

/* Where a member stands that has said something, or ended. False: it is of no use. */
static bool hear(struct machine_pool *pool, struct member *member)
{
    if (member->worker || shim_warm_ready(member->shim, &member->worker) < 0)
        return false;
    pool->ready++;
    return true;
}

/* Under lock; fds as polled, in the members' order, which may have changed since.
 * Those of no use go to `ended`, and their number is returned. */
static int hear_all(struct machine_pool *pool, const struct pollfd *fds, int count, struct member *ended)
{
    int ends = 0;

    for (int i = 0; i < count; i++) {
        for (int m = 0; fds[i].revents && m < pool->count; m++) {
            if (shim_warm_fd(pool->members[m].shim) != fds[i].fd || hear(pool, &pool->members[m]))
                continue;
            ended[ends++] = member_take(pool, m);
            break;
        }
    }
    return ends;
}

/* --- what is staged; in the pool's thread --------------------------------------------------- */

/* When all that wait are ready: they serve the next start, this one those after it. */
static void stage_begin(struct machine_pool *pool, const struct machines_info *machines)
{
    struct error err = ERROR_INIT;
    char id[ID_LENGTH + 1];
    unsigned number;
    CLEANUP(plan_freep) struct plan *plan = expected(pool, &number);

    if (pool->staging || !plan || number == pool->staging_for)
        return;
    const struct shim_spec spec = nobodys_spec(pool, machines, id);
    pool->staging_for = number;
    pool->staging_ns = clock_mono_ns();
    pool->staging_cgroup = mem_printf("%s/stage-%.12s", pool->cgroup_parent, id);
    if (shim_stage_begin(&spec, pool->staging_cgroup, plan, pool->state_dir, &pool->staging, &err) >= 0)
        return;
    log_warning("no template could be staged: %s", err.message);
    free(TAKE_PTR(pool->staging_cgroup));
}

static void stage_end(struct machine_pool *pool)
{
    struct error err = ERROR_INIT;
    struct shim_stage *made = TAKE_PTR(pool->staging);
    bool late = clock_mono_ns() - pool->staging_ns > MAKE_NS;
    struct pollfd ended = {.fd = shim_stage_fd(made), .events = POLLIN};

    if (!late && !pool->stopping && poll(&ended, 1, 0) <= 0) {
        pool->staging = made;
        return;
    }
    if (late || ended.revents == 0 || shim_stage_end(made, &err) < 0) {
        /* The reason was said by the shim. */
        shim_stage_put(made);
        made = NULL;
    }
    remove_group(TAKE_PTR(pool->staging_cgroup));
    if (!made)
        return;
    pthread_mutex_lock(&pool->lock);
    /* An image that has been removed meanwhile needs none. */
    bool wanted = pool->next != NULL;
    if (wanted) {
        struct shim_stage *old = pool->staged;
        pool->staged = made;
        made = old;
    }
    pthread_mutex_unlock(&pool->lock);
    shim_stage_put(made);
}

static void run(struct machine_pool *pool, const struct machines_info *machines)
{
    int64_t pause_ns = PAUSE_FIRST_NS, next_ns = 0, made_ns = 0;

    for (;;) {
        struct member ended[SIZE_MAX_MACHINES];
        struct pollfd fds[FIXED_FDS + SIZE_MAX_MACHINES] = {{.fd = pool->wake, .events = POLLIN},
                                                            {.fd = pool->removals, .events = POLLIN},
                                                            {.fd = -1, .events = POLLIN}};
        struct error err = ERROR_INIT;
        int64_t now = clock_mono_ns();
        int r = 0;

        pthread_mutex_lock(&pool->lock);
        bool stopping = pool->stopping;
        int count = pool->count;
        bool making = count > pool->ready;
        int ends = 0;
        if (making && now - made_ns > MAKE_NS)
            ended[ends++] = member_take(pool, --count);
        pthread_mutex_unlock(&pool->lock);
        if (ends) {
            member_end(&ended[0]);
            making = false;
            next_ns = now + pause_ns;
        }
        if (pool->staging)
            stage_end(pool);
        if (stopping)
            return;
        if (!making && count < pool->size && now >= next_ns) {
            r = begin_one(pool, machines, &err);
            made_ns = now;
            making = r >= 0;
        } else if (!making && rehearse_one(pool)) {
            made_ns = now;
            making = true;
        } else if (!making && count == pool->size) {
            stage_begin(pool, machines);
        }
        if (pool->staging)
            fds[2].fd = shim_stage_fd(pool->staging);
        pthread_mutex_lock(&pool->lock);
        count = pool->count;
        for (int i = 0; i < count; i++)
            fds[FIXED_FDS + i] = (struct pollfd){.fd = shim_warm_fd(pool->members[i].shim), .events = POLLIN};
        pthread_mutex_unlock(&pool->lock);
        int timeout = making || pool->staging ? 1000 : count < pool->size ? (int)((next_ns > now ? next_ns - now : 0) / NS_PER_MS) + 1 : -1;
        (void)poll(fds, (nfds_t)(FIXED_FDS + count), r < 0 ? 1000 : timeout);
        if (fds[0].revents) {
            uint64_t unused;
            (void)!read(pool->wake, &unused, sizeof(unused));
        }
        if (fds[1].revents)
            hear_removals(pool);
        pthread_mutex_lock(&pool->lock);
        int ready = pool->ready;
        ends = hear_all(pool, fds + FIXED_FDS, count, ended);
        if (pool->ready > ready) {
            pause_ns = PAUSE_FIRST_NS;
            pool->failures = 0;
        }
        pthread_mutex_unlock(&pool->lock);
        bool failed = r < 0;
        for (int i = 0; i < ends; i++) {
            failed |= ended[i].worker == 0;
            member_end(&ended[i]);
        }
        if (failed) {
            note_failure(pool);
            /* The reason was said by the shim; without a pool everything works, slower. */
            if (pause_ns == PAUSE_FIRST_NS)
                log_warning("a machine for the pool could not be made%s%s", err.code ? ": " : "", err.message);
            next_ns = clock_mono_ns() + pause_ns;
            pause_ns = pause_ns * 2 > PAUSE_MAX_NS ? PAUSE_MAX_NS : pause_ns * 2;
        }
    }
}

static void *pool_main(void *user)
{
    struct machine_pool *pool = user;
    struct machines_info machines;

    if (machines_wait_long(pool->machines, &machines) >= 0 && machines.memory_fd >= 0)
        run(pool, &machines);
    return NULL;
}

/* --- for everybody --------------------------------------------------------------------------- */

struct machine_pool *machine_pool_new(const struct machine_pool_options *options)
{
    struct machine_pool *pool = mem_new(struct machine_pool);

    *pool = (struct machine_pool){.machines = options->machines,
                                  .shim_program = mem_strdup(options->shim_program),
                                  .cgroup_parent = mem_strdup(options->cgroup_parent),
                                  .state_dir = mem_strdup(options->state_dir),
                                  .size = options->size < SIZE_MAX_MACHINES ? options->size : SIZE_MAX_MACHINES,
                                  .wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
                                  .removals = inotify_init1(IN_CLOEXEC | IN_NONBLOCK),
                                  .watched = -1};
    pthread_mutex_init(&pool->lock, NULL);
    /* Of a server and a shim that were both killed at once. */
    cgroup_sweep(pool->cgroup_parent, "pool-");
    cgroup_sweep(pool->cgroup_parent, "stage-");
    if (pool->wake >= 0)
        pool->has_thread = pthread_create(&pool->thread, NULL, pool_main, pool) == 0;
    return pool;
}

void machine_pool_free(struct machine_pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    pthread_mutex_unlock(&pool->lock);
    wake(pool);
    if (pool->has_thread)
        pthread_join(pool->thread, NULL);
    for (int i = 0; i < pool->count; i++)
        member_end(&pool->members[i]);
    shim_stage_put(pool->staged);
    cleanup_close(&pool->wake);
    cleanup_close(&pool->removals);
    pthread_mutex_destroy(&pool->lock);
    plan_free(pool->next);
    free(pool->unfit);
    free(pool->state_dir);
    free(pool->shim_program);
    free(pool->cgroup_parent);
    free(pool);
}

static uint64_t private_bytes(pid_t pid)
{
    CLEANUP_FREE char *path = mem_printf("/proc/%d/smaps_rollup", (int)pid);
    CLEANUP_FREE char *text = NULL;
    unsigned long long bytes = 0, kib;

    if (file_read(AT_FDCWD, path, 64 << 10, &text, NULL) < 0)
        return 0;
    for (const char *at = text; (at = strstr(at, "\nPrivate_")); at++)
        if ((str_starts(at + 9, "Clean:") || str_starts(at + 9, "Dirty:")) && sscanf(at + 15, "%llu", &kib) == 1)
            bytes += kib << 10;
    return bytes;
}

void machine_pool_info(struct machine_pool *pool, struct machine_pool_info *ret)
{
    pid_t workers[SIZE_MAX_MACHINES];

    pthread_mutex_lock(&pool->lock);
    *ret = (struct machine_pool_info){.wanted = pool->size, .ready = pool->ready};
    for (int i = 0; i < pool->ready; i++)
        workers[i] = pool->members[i].worker;
    if (pool->staged)
        ret->staged_bytes = shim_stage_bytes(pool->staged);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < ret->ready; i++)
        ret->memory_bytes += private_bytes(workers[i]);
}

static int spawn_staged(struct machine_pool *pool, const struct shim_spec *spec, struct loop *loop,
                        const struct shim_events *events, void *user, struct shim **ret, struct error *err)
{
    struct shim_spec with = *spec;

    pthread_mutex_lock(&pool->lock);
    if (pool->staged && shim_stage_bytes(pool->staged) == 0) {
        log_warning("a staged template did not serve, and is given up");
        shim_stage_put(pool->staged);
        pool->staged = NULL;
    }
    with.staged = shim_stage_get(pool->staged);
    pthread_mutex_unlock(&pool->lock);
    int r = shim_spawn(&with, loop, events, user, ret, err);
    shim_stage_put(with.staged);
    return r;
}

int machine_pool_spawn(struct machine_pool *pool, const struct shim_spec *spec, const char *cgroup, struct loop *loop,
                       const struct shim_events *events, void *user, struct shim **ret, struct error *err)
{
    for (;;) {
        struct member member = {0};
        struct error failure = ERROR_INIT;

        pthread_mutex_lock(&pool->lock);
        if (pool->ready > 0)
            member = member_take(pool, 0);
        pthread_mutex_unlock(&pool->lock);
        if (!member.shim)
            return spawn_staged(pool, spec, loop, events, user, ret, err);
        wake(pool);
        int r = shim_adopt(member.shim, spec, cgroup, loop, events, user, ret, &failure);
        if (r >= 0) {
            free(member.cgroup); /* goes when the machine has left it */
            return 0;
        }
        remove_group(member.cgroup);
        log_warning("container %.12s: %s", spec->id, failure.message);
    }
}
