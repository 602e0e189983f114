/* layers.c - a file system to copy into, and the layer that comes of it. Owner: build.
 *
 * The overlay is mounted nowhere: it is reached through one descriptor, and gone
 * with it. Nothing of the image runs, and every path goes through openat2.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "archive/pump.h"
#include "base/log.h"
#include "base/path.h"
#include "base/random.h"
#include "build/internal.h"
#include "image/rootfs.h"

void build_layer_close(struct build *build, struct build_layer *layer)
{
    cleanup_close(&layer->root_fd);
    cleanup_close(&layer->dir_fd);
    if (layer->name) {
        int r = path_remove_tree(build->context.dir_fd, layer->name);
        if (r < 0)
            log_warning("cannot remove a build's layer: %s", strerror(-r));
    }
    free(layer->name);
    *layer = BUILD_LAYER_INIT;
}

int build_layer_open(struct build *build, struct build_layer *ret, struct error *err)
{
    struct build_layer layer = BUILD_LAYER_INIT;
    char id[ID_LENGTH + 1];
    int r = 0;

    random_id(id);
    id[12] = '\0';
    if (mkdirat(build->context.dir_fd, id, 0700) < 0)
        return error_errno(err, EIO, "cannot make a layer's directory");
    layer.name = mem_strdup(id);
    layer.dir_fd = openat(build->context.dir_fd, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (layer.dir_fd < 0 || mkdirat(layer.dir_fd, "upper", 0755) < 0 || mkdirat(layer.dir_fd, "work", 0700) < 0)
        r = error_errno(err, EIO, "cannot make a layer's directory");
    if (r == 0 && *build->state.image_id) {
        CLEANUP_FREE char *upper = mem_printf("%s/%s/upper", build->context.dir, id);
        CLEANUP_FREE char *work = mem_printf("%s/%s/work", build->context.dir, id);

        r = image_overlay_open(build->images, build->state.image_id, upper, work, &layer.root_fd, err);
    } else if (r == 0) {
        layer.root_fd = openat(layer.dir_fd, "upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = layer.root_fd < 0 ? error_errno(err, EIO, "cannot open a layer's directory") : 0;
    }
    if (r < 0) {
        build_layer_close(build, &layer);
        return r;
    }
    *ret = layer;
    return 0;
}

int build_layer_commit(struct build *build, struct build_layer *layer, const char *created_by, struct error *err)
{
    struct archive_pump *pump;

    cleanup_close(&layer->root_fd); /* the last of the mount: all is in upper/ now */
    CLEANUP_CLOSE int upper = openat(layer->dir_fd, "upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (upper < 0)
        return error_errno(err, EIO, "cannot open a layer's directory");
    struct archive_tree tree = {upper, "/", "", ARCHIVE_LAYER | ARCHIVE_KEEP_OWNER};
    int r = archive_pump_begin(archive_tree_produce, &tree, &pump, err);
    if (r < 0)
        return r;
    r = build_commit(build, created_by, archive_pump_read, pump, err);
    return archive_pump_end(pump, r, err);
}
