/* guest_files.c - see guest_files.h. Owner: container. */
#include "container/guest_files.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "archive/archive.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "container/internal.h"
#include "container/machine_pool.h"
#include "container/machines.h"
#include "image/disk.h"
#include "isolation/isolation.h"
#include "launch/plan.h"

#define UTILITY_END_MS 10000
#define LAYER (ARCHIVE_LAYER | ARCHIVE_KEEP_OWNER)

struct guest {
    struct shim *shim;
    struct shim_box *box;     /* of the running container; else: */
    struct container *locked; /* its operation lock is held: it must not start meanwhile */
    int utility;              /* pidfd of a shim of our own */
    char *dir;
};
#define GUEST_INIT {.utility = -EBADF}
#define CLEANUP_GUEST CLEANUP(guest_clear)

bool guest_files_apply(const struct spec *spec)
{
    return !(spec->wall->capabilities & ISOLATION_HOST_ROOT);
}

/* What has been written is on the disk when the shim has gone. */
static void end_utility(struct guest *guest)
{
    struct pollfd poll_fd = {.fd = guest->utility, .events = POLLIN};

    shim_shutdown(guest->shim);
    if (poll(&poll_fd, 1, UTILITY_END_MS) <= 0)
        (void)syscall(SYS_pidfd_send_signal, guest->utility, SIGKILL, NULL, 0);
    shim_free(guest->shim);
    close(guest->utility);
    path_remove_tree(AT_FDCWD, guest->dir);
}

static void guest_clear(struct guest *guest)
{
    if (guest->box)
        shim_box_unref(guest->box);
    else if (guest->shim)
        end_utility(guest);
    if (guest->locked)
        pthread_mutex_unlock(&guest->locked->operation);
    free(guest->dir);
}

static void ignore_exit(void *user, const struct shim_exit *exit)
{
}

static void ignore(void *user)
{
}

static struct plan *utility_plan(struct container *container, unsigned number, struct error *err)
{
    CLEANUP(plan_freep) struct plan *plan = plan_new();
    CLEANUP_SPEC struct spec *spec = container__spec(container);

    plan->id = mem_strdup(container->id);
    plan->rootfs.layers_dir = mem_strdup("/");
    plan->rootfs.upper = path_join(container->dir, "upper");
    plan->rootfs.work = path_join(container->dir, "work");
    plan->cgroup = mem_printf("%s/%s.files-%u", container->engine->cgroup_parent, container->id, number);
    if (image_disk(container->engine->images, container->image_id, &plan->rootfs.device, err) < 0 ||
        wall_disk_size(spec->host_config, &plan->rootfs.size, err) < 0)
        return NULL;
    return TAKE_PTR(plan);
}

static int raise_utility(struct container *container, struct guest *guest, struct error *err)
{
    static const struct shim_events events = {.exited = ignore_exit, .oom = ignore, .lost = ignore};
    static atomic_uint utilities; /* names for what the last one may just be removing */
    unsigned number = atomic_fetch_add(&utilities, 1);
    struct engine *engine = container->engine;
    CLEANUP_FREE char *program = path_join(engine->options.libexec_dir, "tabique-shim");
    CLEANUP(plan_freep) struct plan *plan = utility_plan(container, number, err);
    struct machines_info machines;
    int r = plan ? machines_wait(engine->machines, &machines, err) : err && err->code ? -err->code : -EIO;

    if (r < 0)
        return r;
    guest->dir = mem_printf("%s/shims/%s.files-%u", engine->options.run_dir, container->id, number);
    r = path_mkdirs(guest->dir, 0700);
    if (r < 0)
        return error_errno(err, -r, "cannot make %s", guest->dir);
    const struct shim_spec spec = {
        .program = program,
        .id = container->id,
        .dir = guest->dir,
        .state_dir = guest->dir, /* not the container's: its exit record is another one's */
        .isolation = "hyperv",
        .log_max_files = 1,
        .machines_dir = machines.dir,
        .machine_memory_fd = machines.memory_fd,
    };
    r = machine_pool_spawn(engine->machine_pool, &spec, plan->cgroup, engine->loop, &events, NULL, &guest->shim, err);
    if (r < 0) {
        path_remove_tree(AT_FDCWD, guest->dir);
        return r;
    }
    guest->utility = (int)syscall(SYS_pidfd_open, shim_pid(guest->shim), 0);
    return shim_mount(guest->shim, plan, err);
}

static int guest_open(struct container *container, struct guest *guest, struct error *err)
{
    int r = container__running_box(container, &guest->box, NULL);

    if (r == 0) {
        guest->shim = guest->box->shim;
        return 0;
    }
    pthread_mutex_lock(&container->operation);
    guest->locked = container;
    if (container__running_box(container, &guest->box, NULL) == 0) {
        guest->shim = guest->box->shim;
        return 0;
    }
    return raise_utility(container, guest, err);
}

int guest_files_stat(struct container *container, const char *path, struct archive_stat *ret, struct error *err)
{
    CLEANUP_GUEST struct guest guest = GUEST_INIT;
    int r = guest_open(container, &guest, err);

    return r < 0 ? r : shim_archive_stat(guest.shim, path, ret, err);
}

int guest_files_list(struct container *container, const char *path, container_entry_fn *fn, void *user, struct error *err)
{
    CLEANUP_GUEST struct guest guest = GUEST_INIT;
    int r = guest_open(container, &guest, err);

    return r < 0 ? r : shim_archive_list(guest.shim, path, fn, user, err);
}

int guest_files_get(struct container *container, const char *path, const char *name, container_write_fn *write,
                    void *user, struct error *err)
{
    CLEANUP_GUEST struct guest guest = GUEST_INIT;
    int r = guest_open(container, &guest, err);

    return r < 0 ? r : shim_archive_get(guest.shim, SHIM_TREE_CONTAINER, path, name, ARCHIVE_KEEP_OWNER, write, user, err);
}

int guest_files_put(struct container *container, const char *path, unsigned flags, container_read_fn *read, void *user,
                    struct error *err)
{
    CLEANUP(archive_plain_freep) struct archive_plain *plain = NULL;
    CLEANUP_GUEST struct guest guest = GUEST_INIT;
    int r = guest_open(container, &guest, err);

    if (r >= 0)
        r = archive_plain_open(read, user, NULL, &plain, err);
    if (r < 0)
        return r;
    r = shim_archive_put(guest.shim, SHIM_TREE_CONTAINER, path, flags, archive_plain_read, plain, err);
    if (archive_plain_error(plain)->code)
        return error_set(err, archive_plain_error(plain)->code, "%s", archive_plain_error(plain)->message);
    return r;
}

static int get_tree(struct container *container, enum shim_tree tree, unsigned flags, container_write_fn *write, void *user,
                    struct error *err)
{
    CLEANUP_GUEST struct guest guest = GUEST_INIT;
    int r = guest_open(container, &guest, err);

    return r < 0 ? r : shim_archive_get(guest.shim, tree, "/", "", flags, write, user, err);
}

int guest_files_export(struct container *container, container_write_fn *write, void *user, struct error *err)
{
    return get_tree(container, SHIM_TREE_WHOLE, ARCHIVE_KEEP_OWNER, write, user, err);
}

int guest_files_layer(struct container *container, container_write_fn *write, void *user, struct error *err)
{
    return get_tree(container, SHIM_TREE_CHANGES, LAYER, write, user, err);
}

int guest_files_take_layer(struct container *container, container_write_fn *write, void *user, struct error *err)
{
    CLEANUP_GUEST struct guest guest = GUEST_INIT;
    int r = raise_utility(container, &guest, err);

    return r < 0 ? r : shim_archive_get(guest.shim, SHIM_TREE_CHANGES, "/", ".", LAYER, write, user, err);
}

int guest_files_give_layer(struct container *container, container_read_fn *read, void *user, struct error *err)
{
    CLEANUP_GUEST struct guest guest = GUEST_INIT;
    int r;

    guest_files_forget(container);
    r = raise_utility(container, &guest, err);
    return r < 0 ? r : shim_archive_put(guest.shim, SHIM_TREE_CHANGES, "/", LAYER, read, user, err);
}

bool guest_files_exist(struct container *container)
{
    CLEANUP_FREE char *disk = path_join(container->dir, "scratch.ext4");

    return access(disk, F_OK) == 0;
}

void guest_files_forget(struct container *container)
{
    CLEANUP_FREE char *disk = path_join(container->dir, "scratch.ext4");

    (void)unlink(disk);
}

int guest_files_changes(struct container *container, container_change_fn *fn, void *user, struct error *err)
{
    CLEANUP_GUEST struct guest guest = GUEST_INIT;
    int r = guest_open(container, &guest, err);

    return r < 0 ? r : shim_changes(guest.shim, fn, user, err);
}
