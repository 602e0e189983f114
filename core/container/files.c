/* files.c - a container's files: cp, export, diff, commit. Owner: container.
 *
 * Everything goes through core/archive, which never leaves the root it was given.
 * A running container is looked at through a descriptor of its own root, which its
 * shim hands out, so what is mounted there is seen, too; a stopped one through an
 * overlay of its own, put together for the occasion. */
#include "container/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/archive.h"
#include "archive/pump.h"
#include "archive/view.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "container/guest_files.h"
#include "container/internal.h"
#include "container/root_mount.h"
#include "container/schema.h"
#include "container/validate.h"
#include "image/rootfs.h"
#include "tabique/image.h"

/* --- roots ------------------------------------------------------------------------- */

/* The mount of the container's that `path` is in, by its text; NULL: the root's. */
static const struct mount_point *mount_of(const struct container *container, const char *path)
{
    const struct mount_point *best = NULL;
    size_t longest = 0;

    for (size_t i = 0; i < container->mounts.count; i++) {
        const struct mount_point *mount = &container->mounts.items[i];
        size_t length = strlen(mount->destination);

        if (strncmp(path, mount->destination, length) == 0 && (path[length] == '/' || path[length] == '\0') &&
            length > longest) {
            best = mount;
            longest = length;
        }
    }
    return best;
}

struct place {
    int root;
    char *path;                      /* below root */
    const struct mount_point *mount; /* NULL: in the container's own root */
    struct container *locked;        /* its operation lock is held: it must not start meanwhile */
    struct id_maps ids;              /* of root, where it is that of a running container */
    bool guest;                      /* behind a thick wall: no root here, path is the container's */
};

static void place_clear(struct place *place)
{
    if (place->locked)
        pthread_mutex_unlock(&place->locked->operation);
    if (place->root >= 0)
        close(place->root);
    free(place->path);
    id_maps_clear(&place->ids);
}
#define CLEANUP_PLACE CLEANUP(place_clear)

/* Into a volume of a stopped container, where nothing is mounted. */
static int enter_mount(const struct mount_point *mount, const char *path, struct place *place, struct error *err)
{
    const char *rest = path + strlen(mount->destination);
    struct stat st;

    if (stat(mount->source, &st) < 0)
        return error_errno(err, EIO, "cannot open %s", mount->source);
    bool directory = S_ISDIR(st.st_mode);
    CLEANUP_FREE char *dir = directory ? mem_strdup(mount->source) : path_dir(mount->source);
    place->root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (place->root < 0)
        return error_errno(err, EIO, "cannot open %s", dir);
    place->path = mem_printf("/%s%s", directory ? "" : path_base(mount->source), directory ? rest : "");
    return 0;
}

/* Of a container that does not run, under its operation lock: mounting an upper
 * directory a second time would disturb the first one's. */
static int find_overlay(struct container *container, struct place *place, struct error *err)
{
    CLEANUP_FREE char *upper = path_join(container->dir, "upper"), *work = path_join(container->dir, "work");

    return image_overlay_open(container->engine->images, container->image_id, upper, work, &place->root, err);
}

/* --- of a running container ------------------------------------------------------------- */

static int open_running(struct container *container, int *ret_root, struct id_maps *ret_ids, pid_t *ret_pid,
                        struct error *err)
{
    CLEANUP_BOX struct shim_box *box = NULL;

    int r = container__running_box(container, &box, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&container->lock);
    *ret_pid = container->run.pid;
    pthread_mutex_unlock(&container->lock);
    r = id_maps_of_process(*ret_pid, ret_ids);
    return r < 0 ? error_errno(err, ESRCH, "container %s is not running", container->id) : shim_root(box->shim, ret_root, err);
}

static int find_running(struct container *container, struct place *place)
{
    pid_t pid;

    return open_running(container, &place->root, &place->ids, &pid, NULL);
}

/* Its root without what is mounted in it. */
static int find_running_image(struct container *container, struct place *place, struct error *err)
{
    CLEANUP_CLOSE int root = -EBADF;
    pid_t pid;

    int r = open_running(container, &root, &place->ids, &pid, err);
    return r < 0 ? r : root_mount_clone(root, pid, &place->root, err);
}

/* The container's own root (image and its changes), whether it runs or not. */
static int find_image(struct container *container, struct place *place, struct error *err)
{
    if (find_running_image(container, place, NULL) == 0)
        return 0;
    id_maps_clear(&place->ids); /* of a run that has ended meanwhile */
    pthread_mutex_lock(&container->operation);
    int r = state_is_active(container__state(container)) ? find_running_image(container, place, err)
                                                         : find_overlay(container, place, err);
    pthread_mutex_unlock(&container->operation);
    return r;
}

/* From here to archive_view_end() the place is seen as the container sees it. */
static int look_into(const struct place *place, struct error *err)
{
    int r = archive_view_begin(&place->ids);

    return r < 0 ? error_errno(err, r, "cannot act as the container's root") : 0;
}

static int find_stopped(struct container *container, const char *clean, bool write, struct place *place,
                        struct error *err)
{
    id_maps_clear(&place->ids); /* of a run that has ended meanwhile */
    if (place->mount && place->mount->type != MOUNT_TMPFS) {
        free(TAKE_PTR(place->path));
        return enter_mount(place->mount, clean, place, err);
    }
    pthread_mutex_lock(&container->operation);
    int r = state_is_active(container__state(container)) ? find_running(container, place)
                                                         : find_overlay(container, place, err);
    if (r == 0 && write)
        place->locked = container;
    else
        pthread_mutex_unlock(&container->operation);
    return r;
}

static int find_place(struct container *container, const char *path, bool write, struct place *place, struct error *err)
{
    CLEANUP_SPEC struct spec *spec = container__spec(container);
    CLEANUP_FREE char *rooted = mem_printf("/%s", path);
    CLEANUP_FREE char *clean = path_clean(rooted);

    place->root = -EBADF;
    place->mount = mount_of(container, clean);
    enum container_state state = container__state(container);
    if (state == CONTAINER_REMOVING || state == CONTAINER_DEAD)
        return error_set(err, EBUSY, "container %s is marked for removal", container->id);
    place->path = TAKE_PTR(rooted);
    if (guest_files_apply(spec)) {
        bool on_host = place->mount && place->mount->type != MOUNT_TMPFS && !state_is_active(state);
        if (on_host)
            free(TAKE_PTR(place->path));
        place->guest = !on_host;
        return on_host ? enter_mount(place->mount, clean, place, err) : 0;
    }
    return find_running(container, place) == 0 ? 0 : find_stopped(container, clean, write, place, err);
}

static int not_there(const struct container *container, const char *path, struct error *err)
{
    return error_set(err, ENOENT, "Could not find the file %s in container %s", path, container->id);
}

/* --- cp --------------------------------------------------------------------------------- */

int container_path_stat(struct container *container, const char *path, struct archive_stat *ret, struct error *err)
{
    CLEANUP_PLACE struct place place = {.root = -EBADF};

    int r = find_place(container, path, false, &place, err);
    if (r == 0)
        r = place.guest ? guest_files_stat(container, place.path, ret, err)
                        : archive_stat(place.root, place.path, ret, err);
    if (r == -ENOENT)
        return not_there(container, path, err);
    if (r == 0 && strcmp(ret->name, path_base(path)) != 0 && *path_base(path) && strcmp(path_base(path), ".") != 0) {
        /* A volume's root is called _data on the host. */
        free(ret->name);
        ret->name = mem_strdup(path_base(path));
    }
    return r;
}

int container_list(struct container *container, const char *path, container_entry_fn *fn, void *user, struct error *err)
{
    CLEANUP_PLACE struct place place = {.root = -EBADF};

    int r = find_place(container, path, false, &place, err);
    if (r == 0 && place.guest) {
        r = guest_files_list(container, place.path, fn, user, err);
    } else if (r == 0 && (r = look_into(&place, err)) == 0) {
        r = archive_list(place.root, place.path, fn, user, err);
        archive_view_end();
    }
    return r == -ENOENT ? not_there(container, path, err) : r;
}

int container_archive_get(struct container *container, const char *path, container_write_fn *write, void *user,
                          struct error *err)
{
    CLEANUP_PLACE struct place place = {.root = -EBADF};
    struct archive_stat stat = {0};
    CLEANUP_FREE char *rooted = mem_printf("/%s", path);
    CLEANUP_FREE char *clean = path_clean(rooted);

    int r = find_place(container, path, false, &place, err);
    if (r == 0 && !place.guest)
        r = archive_stat(place.root, place.path, &stat, err);
    if (r == -ENOENT)
        return not_there(container, path, err);
    if (r < 0)
        return r;
    free(stat.name);
    free(stat.link_target);
    /* "DIR/." asks for the contents, as cp does; else the last component names them. */
    const char *name = str_ends(path, "/.") || strcmp(path, ".") == 0 ? "." : path_base(clean);
    if (strcmp(clean, "/") == 0 && strcmp(name, ".") != 0)
        name = "/";
    if (strcmp(name, "/") == 0)
        name = ".";
    if (place.guest) {
        r = guest_files_get(container, place.path, name, write, user, err);
    } else if ((r = look_into(&place, err)) == 0) {
        r = archive_create(place.root, place.path, name, ARCHIVE_KEEP_OWNER, write, user, err);
        archive_view_end();
    }
    if (r == -ENOENT && place.guest)
        return not_there(container, path, err);
    if (r == 0)
        publish_container(container, "archive-path", NULL);
    return r;
}

int container_archive_put(struct container *container, const char *path, bool no_overwrite_dir_non_dir, bool copy_uid_gid,
                          container_read_fn *read_fn, void *user, struct error *err)
{
    CLEANUP_SPEC struct spec *spec = container__spec(container);
    CLEANUP_PLACE struct place place = {.root = -EBADF};
    struct archive_result result;
    struct archive_stat stat = {0};

    int r = find_place(container, path, true, &place, err);
    if (r < 0)
        return r;
    if (place.mount && !place.mount->rw)
        return error_set(err, EINVAL, "mounted volume is marked read-only");
    if (!place.mount && json_bool(spec->host_config, "ReadonlyRootfs", false))
        return error_set(err, EINVAL, "container rootfs is marked read-only");
    unsigned flags = (no_overwrite_dir_non_dir ? ARCHIVE_NO_OVERWRITE_DIR : 0u) | (copy_uid_gid ? ARCHIVE_KEEP_OWNER : 0u);
    if (place.guest) {
        r = guest_files_put(container, place.path, flags, read_fn, user, err);
        if (r == -ENOENT)
            return not_there(container, path, err);
        if (r == 0)
            publish_container(container, "extract-to-dir", NULL);
        return r;
    }
    r = archive_stat(place.root, place.path, &stat, err);
    if (r == -ENOENT)
        return not_there(container, path, err);
    if (r < 0)
        return r;
    free(stat.name);
    free(stat.link_target);
    /* A link to a directory is one, too. */
    CLEANUP_CLOSE int directory = path_open_in(place.root, place.path, O_PATH | O_DIRECTORY, 0);
    if (directory < 0)
        return error_set(err, EINVAL, "extraction point is not a directory");
    r = look_into(&place, err);
    if (r == 0) {
        r = archive_extract(place.root, place.path, read_fn, user, flags, NULL, &result, err);
        archive_view_end();
    }
    if (r == 0)
        publish_container(container, "extract-to-dir", NULL);
    return r;
}

/* --- export, diff --------------------------------------------------------------------------- */

static int check_whole(struct container *container, const char *verb, struct error *err)
{
    enum container_state state = container__state(container);

    if (state == CONTAINER_DEAD)
        return error_set(err, EBUSY, "You cannot %s container %s which is Dead", verb, container->id);
    if (state == CONTAINER_REMOVING)
        return error_set(err, EBUSY, "You cannot %s container %s which is being removed", verb, container->id);
    return 0;
}

static bool is_guest(struct container *container)
{
    CLEANUP_SPEC struct spec *spec = container__spec(container);

    return guest_files_apply(spec);
}

int container_export(struct container *container, container_write_fn *write, void *user, struct error *err)
{
    CLEANUP_PLACE struct place place = {.root = -EBADF};

    int r = check_whole(container, "export", err);
    if (r == 0 && is_guest(container)) {
        r = guest_files_export(container, write, user, err);
    } else {
        if (r == 0)
            r = find_image(container, &place, err);
        if (r == 0)
            r = look_into(&place, err);
        if (r == 0) {
            r = archive_create(place.root, "/", "", ARCHIVE_KEEP_OWNER, write, user, err);
            archive_view_end();
        }
    }
    if (r == 0)
        publish_container(container, "export", NULL);
    return r;
}

/* Made by the launcher for its mounts, not by anybody in the container. */
static const char *const own_traces[] = {"/dev", "/proc", "/sys", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"};

struct changes {
    container_change_fn *fn;
    void *user;
    char *etc; /* "/etc" was changed, and nothing in it so far that is not ours */
};

static int filter_change(void *user, const char *path, enum archive_change kind)
{
    struct changes *changes = user;

    for (size_t i = 0; i < ARRAY_SIZE(own_traces); i++)
        if (strcmp(path, own_traces[i]) == 0 && kind != ARCHIVE_DELETED)
            return 0;
    if (str_starts(path, "/dev/"))
        return 0;
    if (strcmp(path, "/etc") == 0 && kind == ARCHIVE_MODIFIED) {
        changes->etc = mem_strdup(path);
        return 0;
    }
    if (changes->etc && str_starts(path, "/etc/")) {
        free(TAKE_PTR(changes->etc));
        int r = changes->fn(changes->user, "/etc", ARCHIVE_MODIFIED);
        if (r != 0)
            return r;
    }
    return changes->fn(changes->user, path, (int)kind);
}

static int filter_guest_change(void *user, const char *path, int kind)
{
    return filter_change(user, path, (enum archive_change)kind);
}

int container_changes(struct container *container, container_change_fn *fn, void *user, struct error *err)
{
    struct changes changes = {.fn = fn, .user = user};
    CLEANUP_FREE char *upper = path_join(container->dir, "upper");
    CLEANUP_CLOSE int upper_fd = -EBADF;
    CLEANUP_CLOSE int lower_fd = -EBADF;

    int r = check_whole(container, "diff", err);
    if (r == 0 && is_guest(container)) {
        r = guest_files_changes(container, filter_guest_change, &changes, err);
        free(changes.etc);
        return r;
    }
    /* Only the image, without the container's changes. */
    if (r == 0)
        r = image_overlay_open(container->engine->images, container->image_id, NULL, NULL, &lower_fd, err);
    if (r < 0)
        return r;
    upper_fd = open(upper, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (upper_fd < 0)
        return error_errno(err, EIO, "cannot open %s", upper);
    r = archive_changes(upper_fd, lower_fd, filter_change, &changes, err);
    free(changes.etc);
    return r;
}

bool files_is_empty(int root_fd, const char *path)
{
    CLEANUP_CLOSE int fd = path_open_in(root_fd, path, O_RDONLY | O_DIRECTORY, 0);
    bool empty = true;

    if (fd < 0)
        return true;
    DIR *stream = fdopendir(TAKE_FD(fd));
    if (!stream)
        return true;
    for (struct dirent *entry; empty && (entry = readdir(stream));)
        empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    closedir(stream);
    return empty;
}

int files_copy(int root_fd, const char *path, int to_fd, struct error *err)
{
    CLEANUP_FREE char *contents = mem_printf("%s/.", path);
    const struct archive_tree from = {root_fd, contents, ".", ARCHIVE_KEEP_OWNER};

    return archive_copy(&from, to_fd, "/", ARCHIVE_KEEP_OWNER, NULL, err);
}

/* --- from wall to wall ------------------------------------------------------------------------------- */

static int produce_guest_layer(void *user, archive_write_fn *write, void *write_user, struct error *err)
{
    return guest_files_layer(user, write, write_user, err);
}

static int take_guest_layer(void *user, archive_write_fn *write, void *write_user, struct error *err)
{
    return guest_files_take_layer(user, write, write_user, err);
}

/* Made aside and renamed: until then the host's directories are as they were. */
static int move_to_host(struct container *container, struct error *err)
{
    CLEANUP_FREE char *upper = path_join(container->dir, "upper"), *aside = path_join(container->dir, "upper.new");
    CLEANUP_CLOSE int fd = -EBADF;
    struct archive_pump *pump;
    int r;

    if (!guest_files_exist(container)) {
        files_forget_changes(container, wall_find("process", NULL));
        return 0;
    }
    (void)path_remove_tree(AT_FDCWD, aside);
    if (mkdir(aside, 0755) < 0 || (fd = open(aside, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        return error_errno(err, errno, "cannot make %s", aside);
    r = archive_pump_begin(take_guest_layer, container, &pump, err);
    if (r == 0) {
        r = archive_extract(fd, "/", archive_pump_read, pump, ARCHIVE_LAYER | ARCHIVE_KEEP_OWNER | ARCHIVE_STRICT_END, NULL, NULL, err);
        r = archive_pump_end(pump, r, err);
    }
    if (r == 0) {
        files_forget_changes(container, wall_find("process", NULL));
        if (rmdir(upper) < 0 || rename(aside, upper) < 0)
            r = error_errno(err, errno, "cannot make %s", upper);
    }
    if (r < 0)
        (void)path_remove_tree(AT_FDCWD, aside);
    return r;
}

static int move_to_guest(struct container *container, struct error *err)
{
    CLEANUP_FREE char *upper = path_join(container->dir, "upper");
    CLEANUP_CLOSE int fd = open(upper, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct archive_tree tree = {fd, "/", ".", ARCHIVE_LAYER | ARCHIVE_KEEP_OWNER};
    struct archive_pump *pump;

    if (fd < 0)
        return error_errno(err, EIO, "cannot open %s", upper);
    if (files_is_empty(fd, "/")) {
        guest_files_forget(container);
        return 0;
    }
    int r = archive_pump_begin(archive_tree_produce, &tree, &pump, err);
    if (r < 0)
        return r;
    r = guest_files_give_layer(container, archive_pump_read, pump, err);
    r = archive_pump_end(pump, r, err);
    if (r < 0)
        guest_files_forget(container);
    return r;
}

int files_move_changes(struct container *container, const struct wall *from, const struct wall *to, struct error *err)
{
    bool was_on_host = from->capabilities & ISOLATION_HOST_ROOT, is_on_host = to->capabilities & ISOLATION_HOST_ROOT;

    if (was_on_host == is_on_host)
        return 0;
    int r = is_on_host ? move_to_host(container, err) : move_to_guest(container, err);
    return r < 0 ? error_prefix(err, "cannot take the files of container %s to %s isolation", container->id, to->name) : 0;
}

void files_forget_changes(struct container *container, const struct wall *wall)
{
    static const struct {
        const char *name;
        mode_t mode;
    } dirs[] = {{"upper", 0755}, {"work", 0711}};

    if (!(wall->capabilities & ISOLATION_HOST_ROOT)) {
        guest_files_forget(container);
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
        CLEANUP_FREE char *path = path_join(container->dir, dirs[i].name);
        (void)path_remove_tree(AT_FDCWD, path);
        if (mkdir(path, dirs[i].mode) == 0)
            (void)chmod(path, dirs[i].mode);
    }
}

/* --- commit ------------------------------------------------------------------------------------------ */

/* Calls make with the container's changes as a layer's tar. */
typedef int layer_fn(void *user, image_read_fn *read, void *read_user, struct error *err);
static int with_layer(struct container *container, layer_fn *make, void *user, struct error *err)
{
    CLEANUP_FREE char *upper = path_join(container->dir, "upper");
    CLEANUP_CLOSE int fd = open(upper, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct archive_tree tree = {fd, "/", "", ARCHIVE_LAYER | ARCHIVE_KEEP_OWNER};
    struct archive_pump *pump;

    if (fd < 0)
        return error_errno(err, EIO, "cannot open %s", upper);
    int r = is_guest(container) ? archive_pump_begin(produce_guest_layer, container, &pump, err)
                                : archive_pump_begin(archive_tree_produce, &tree, &pump, err);
    if (r < 0)
        return r;
    r = make(user, archive_pump_read, pump, err);
    return archive_pump_end(pump, r, err);
}

struct commit {
    struct container *container;
    const cJSON *made_in, *config;
    const char *author, *comment, *name;
    const struct image_step *step;
    char *id;
};

static int commit_image(void *user, image_read_fn *read, void *read_user, struct error *err)
{
    struct commit *commit = user;
    struct container *container = commit->container;

    if (commit->step)
        return image_step(container->engine->images, container->image_id, read, read_user, commit->step, &commit->id, err);
    return image_commit(container->engine->images, container->image_id, container->id, read, read_user, commit->made_in,
                        commit->config, commit->author, commit->comment, commit->name, &commit->id, err);
}

int container_commit_step(struct container *container, const struct image_step *step, char **ret_image_id,
                          struct error *err)
{
    struct commit commit = {.container = container, .step = step};

    int r = check_whole(container, "commit", err);
    if (r == 0)
        r = with_layer(container, commit_image, &commit, err);
    if (r == 0)
        publish_container(container, "commit", "comment", "", "imageID", commit.id, "imageRef", "", NULL);
    if (r == 0)
        *ret_image_id = TAKE_PTR(commit.id);
    if (commit.id)
        image_release(container->engine->images, commit.id);
    free(commit.id);
    return r;
}

int container_commit(struct container *container, const char *repo, const char *tag, const char *author,
                     const char *comment, bool pause, char *const *changes, const cJSON *config, char **ret_image_id,
                     struct error *err)
{
    CLEANUP_SPEC struct spec *spec = container__spec(container);
    CLEANUP_JSON cJSON *merged = NULL;
    CLEANUP_FREE char *name = NULL;
    CLEANUP_FREE char *id = NULL;
    bool paused = false;

    int r = check_whole(container, "commit", err);
    if (r == 0)
        r = schema_complete(&schema_config, cJSON_GetArraySize(config) > 0 ? config : spec->config, "", &merged, err);
    if (r == 0)
        r = image_apply_changes(merged, changes, err);
    if (r < 0)
        return r;
    validate_merge(merged, spec->config); /* last: what a change left empty is the container's again */
    if (repo && *repo && (r = image_name_join(repo, tag, &name, err)) < 0)
        return r;
    if (pause && container__state(container) == CONTAINER_RUNNING)
        paused = container_pause(container, NULL) == 0;
    struct commit commit = {container, spec->config, merged, author, comment, name, NULL, NULL};
    r = with_layer(container, commit_image, &commit, err);
    id = commit.id;
    if (paused)
        container_unpause(container, NULL);
    if (r < 0)
        return r;
    publish_container(container, "commit", "comment", comment ? comment : "", "imageID", id, "imageRef", name ? name : "",
                      NULL);
    *ret_image_id = TAKE_PTR(id);
    return 0;
}
