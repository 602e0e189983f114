/* shm.c - /dev/shm of containers whose IPC others may join. Owner: container.
 *
 * Whoever joins an IPC namespace wants the shared memory of shm_open(3), too, which
 * is a file system. A private one is made inside the container and seen by nobody
 * else. A shareable one is mounted below the run-time root and bound into its
 * container and into each that joins. It lasts as long as its container runs, also
 * over a restart of the server; those who joined keep what they have. */
#include <errno.h>
#include <inttypes.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/path.h"
#include "container/internal.h"

static char *shm_path(const struct container *container)
{
    return mem_printf("%s/shm/%s", container->engine->options.run_dir, container->id);
}

static bool is_shareable(const struct spec *spec)
{
    return strcmp(json_string(spec->host_config, "IpcMode", ""), "shareable") == 0 &&
           !(spec->wall->capabilities & ISOLATION_OWN_KERNEL);
}

int shm_open_own(struct container *container, const struct spec *spec, char **ret_path, struct error *err)
{
    CLEANUP_FREE char *path = NULL, *dir = NULL, *options = NULL;

    if (!is_shareable(spec))
        return 0;
    shm_close(container, spec); /* of a run whose server was killed */
    path = shm_path(container);
    dir = path_dir(path);
    options = mem_printf("mode=1777,size=%" PRId64, json_int(spec->host_config, "ShmSize", 64 << 20));
    int r = path_mkdirs(dir, 0700);
    if (r == 0 && mkdir(path, 0700) < 0 && errno != EEXIST)
        r = -errno;
    if (r == 0 && mount("shm", path, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options) < 0)
        r = -errno;
    if (r < 0)
        return error_errno(err, r == -ENOENT ? EIO : -r, "cannot make the container's shared memory at %s", path);
    *ret_path = TAKE_PTR(path);
    return 0;
}

void shm_close(struct container *container, const struct spec *spec)
{
    if (!is_shareable(spec))
        return;
    CLEANUP_FREE char *path = shm_path(container);

    (void)umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW);
    (void)rmdir(path);
}

char *shm_of(const struct container *other, const struct spec *spec)
{
    return is_shareable(spec) ? shm_path(other) : mem_strdup("/dev/shm");
}
