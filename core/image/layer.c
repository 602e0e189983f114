/* layer.c - unpacked layers: making, finding, giving back. Owner: image.
 *
 * A layer is made in tmp/ and renamed into layers/ when it is whole and its digest
 * is right: first NAME.recipe and NAME.json, then the directory, whose being there
 * makes it one. Flushing a layer to the disk before the load is answered would
 * cost as much as the load; so a layer carries the boot in which it was made until
 * a background thread has flushed it, and a layer of an earlier boot that was not
 * is read back through its digest before it is trusted.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <zstd.h>

#include "archive/stream.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/random.h"
#include "image/store.h"

#define META_MAX (64u << 10)
#define SOURCES_MAX 16
/* By then the kernel has written most of it on its own; and an image that was
 * loaded to be thrown away is gone without ever having cost the disk anything. */
#define FLUSH_DELAY_S 30

static char *file_of(const char *name, const char *suffix)
{
    return mem_printf("%s.%s", name, suffix);
}

/* --- as registries have it ------------------------------------------------------------- */

static void blob_print(const struct image_blob *blob, cJSON *json)
{
    json_add_string(json, "digest", blob->digest);
    json_add_int(json, "size", (int64_t)blob->size);
    json_add_string(json, "mediaType", blob->media_type);
    json_add_bool(json, "kept", blob->kept);
    json_add(json, "sources", json_from_strv(blob->sources));
}

static void blob_read(const cJSON *json, struct image_blob *blob)
{
    const char *digest = json_string(json, "digest", "");

    if (!digest_valid(digest))
        return;
    memcpy(blob->digest, digest, DIGEST_TEXT_MAX);
    blob->size = (uint64_t)json_int(json, "size", 0);
    blob->media_type = mem_strdup(json_string(json, "mediaType", ""));
    blob->kept = json_bool(json, "kept", false);
    blob->sources = json_strv(json, "sources");
}

void image__blob_clear(struct image_blob *blob)
{
    free(blob->media_type);
    strv_free(blob->sources);
    *blob = (struct image_blob){0};
}

void image__blob_copy(struct image_store *store, const struct image_layer *layer, struct image_blob *ret)
{
    pthread_rwlock_rdlock(&store->lock);
    *ret = layer->blob;
    ret->media_type = mem_strdup(layer->blob.media_type);
    ret->sources = strv_dup(layer->blob.sources);
    pthread_rwlock_unlock(&store->lock);
}

void image__layer_set_blob(struct image_store *store, struct image_layer *layer, const char *digest, uint64_t size,
                           const char *media_type, const char *file, const char *source)
{
    struct image_blob *blob = &layer->blob;
    bool changed = false;

    pthread_rwlock_wrlock(&store->lock);
    if (!*blob->digest || (!blob->kept && strcmp(blob->digest, digest) != 0)) {
        image__blob_clear(blob);
        memcpy(blob->digest, digest, DIGEST_TEXT_MAX);
        blob->size = size;
        blob->media_type = mem_strdup(media_type);
        changed = true;
    }
    bool same = strcmp(blob->digest, digest) == 0;
    if (same && file && !blob->kept) {
        CLEANUP_FREE char *kept = file_of(layer->name, "blob");

        blob->kept = changed = renameat(store->partial_fd, file, store->layers_fd, kept) == 0;
    }
    if (same && source && !strv_contains(blob->sources, source) && strv_length(blob->sources) < SOURCES_MAX) {
        strv_push(&blob->sources, source);
        changed = true;
    }
    if (changed && image__layer_write_meta(store, layer) < 0)
        log_warning("image store: cannot write what is known of layer %s", layer->diff_id);
    pthread_rwlock_unlock(&store->lock);
}

int image__layer_open_blob(struct image_store *store, const struct image_layer *layer, int *ret_fd, struct error *err)
{
    CLEANUP_FREE char *file = file_of(layer->name, "blob");
    int fd = openat(store->layers_fd, file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return image__failed(err, -errno, "cannot open a layer's blob");
    *ret_fd = fd;
    return 0;
}

int image__layer_write_meta(struct image_store *store, const struct image_layer *layer)
{
    CLEANUP_JSON cJSON *json = cJSON_CreateObject();
    CLEANUP_FREE char *file = file_of(layer->name, "json");

    json_add_string(json, "diffId", layer->diff_id);
    json_add_int(json, "size", layer->size);
    json_add_int(json, "tarSize", (int64_t)layer->tar_size);
    json_add_bool(json, "exact", layer->exact);
    if (!layer->flushed)
        json_add_string(json, "boot", boot_id());
    if (*layer->blob.digest)
        blob_print(&layer->blob, json_add_object(json, "blob"));
    CLEANUP_FREE char *text = json_print(json);
    if (layer->flushed)
        return file_write_atomic(store->layers_fd, file, text, strlen(text), 0600);
    CLEANUP_CLOSE int fd = openat(store->layers_fd, file, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    return fd < 0 ? -errno : fd_write_all(fd, text, strlen(text));
}

/* --- unpacking ------------------------------------------------------------------------ */

struct blob {
    struct image_layer_source *source;
    struct digest *digest; /* NULL: not wanted */
    uint64_t read;
};

static ssize_t read_blob(void *user, void *buffer, size_t size)
{
    struct blob *blob = user;
    struct image_layer_source *source = blob->source;

    if (source->stop && atomic_load(source->stop))
        return -ECANCELED;
    ssize_t n = source->read ? source->read(source->user, buffer, size) : archive_read_fd(&source->fd, buffer, size);

    if (n > 0) {
        if (blob->digest)
            digest_update(blob->digest, buffer, (size_t)n);
        blob->read += (uint64_t)n;
        if (source->done)
            __atomic_store_n(source->done, blob->read, __ATOMIC_RELAXED);
    }
    return n;
}

/* What no decompressor asked for is part of the blob, too. */
static int drain_blob(struct blob *blob)
{
    CLEANUP_FREE char *buffer = mem_alloc(64 << 10);
    ssize_t n;

    while ((n = read_blob(blob, buffer, 64 << 10)) > 0)
        ;
    return (int)n;
}

/* The tar itself, compressed: for the rare layer whose recipe is not exact. */
static int keep_tar(struct image_store *store, int source_fd, int dir_fd, struct error *err)
{
    CLEANUP_STREAM struct archive_stream *stream = NULL;
    CLEANUP_CLOSE int fd = openat(dir_fd, "tar.zst", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    struct archive_limits limits = {store->limits.max_unpacked_bytes, 0, store->limits.max_ratio};
    size_t out_size = ZSTD_CStreamOutSize();
    CLEANUP_FREE char *out = mem_alloc(out_size);
    const uint8_t *data;
    size_t length;

    if (fd < 0 || lseek(source_fd, 0, SEEK_SET) < 0)
        return image__failed(err, -errno, "cannot keep a layer's tar");
    int r = archive_stream_open(archive_read_fd, &source_fd, &limits, false, &stream, err);
    if (r < 0)
        return r;
    ZSTD_CCtx *context = ZSTD_createCCtx();
    if (!context)
        return error_set(err, ENOMEM, "no memory to compress a layer");
    ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, 1);
    do {
        r = archive_stream_next(stream, &data, &length, err);
        if (r < 0)
            break;
        ZSTD_inBuffer in = {r ? data : NULL, r ? length : 0, 0};
        size_t left;
        do {
            ZSTD_outBuffer to = {out, out_size, 0};
            left = ZSTD_compressStream2(context, &to, &in, r ? ZSTD_e_continue : ZSTD_e_end);
            int w = ZSTD_isError(left) ? -EIO : fd_write_all(fd, out, to.pos);
            if (w < 0) {
                ZSTD_freeCCtx(context);
                return image__failed(err, w, "cannot keep a layer's tar");
            }
        } while (in.pos < in.size || (r == 0 && left > 0));
    } while (r > 0);
    ZSTD_freeCCtx(context);
    return r;
}

static int check_digests(struct blob *blob, const struct archive_result *result, struct error *err)
{
    const struct image_layer_source *source = blob->source;
    char digest[DIGEST_TEXT_MAX];

    if (blob->digest) {
        digest_finish(blob->digest, digest);
        if (strcmp(digest, source->digest) != 0)
            return error_set(err, EINVAL, "wrong digest: a layer should be %s, but is %s", source->digest, digest);
    }
    if (source->diff_id && strcmp(result->diff_id, source->diff_id) != 0)
        return error_set(err, EINVAL, "wrong digest: a layer should unpack to %s, but gives %s", source->diff_id,
                         result->diff_id);
    return 0;
}

static int unpack(struct image_store *store, struct image_layer_source *source, int dir_fd,
                  struct archive_result *ret, struct error *err);

static int to_fd(void *user, const void *data, size_t length)
{
    return fd_write_all(*(int *)user, data, length);
}

/* A stream that had an entry twice cannot be read twice, but its tree can be
 * packed anew, and that tar has a recipe. */
static int unpack_again(struct image_store *store, struct image_layer_source *source, int dir_fd, int root,
                        struct archive_result *ret, struct error *err)
{
    struct image_layer_source again = *source;
    CLEANUP_CLOSE int fd = openat(dir_fd, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);

    if (fd < 0)
        return image__failed(err, -errno, "cannot make a temporary file");
    int r = archive_create(root, "/", ".", ARCHIVE_LAYER, to_fd, &fd, err);
    if (r < 0)
        return r;
    if (lseek(fd, 0, SEEK_SET) < 0 || unlinkat(dir_fd, "recipe", 0) < 0)
        return image__failed(err, -errno, "cannot unpack a layer again");
    r = path_remove_tree(dir_fd, "fs");
    if (r < 0)
        return image__failed(err, r, "cannot unpack a layer again");
    again.fd = fd;
    again.read = NULL;
    again.done = NULL;
    again.max_bytes = UINT64_MAX; /* it was within the limits the first time */
    return unpack(store, &again, dir_fd, ret, err);
}

/* Into tmp/NAME/fs, with recipe or tar.zst beside it. */
static int unpack(struct image_store *store, struct image_layer_source *source, int dir_fd,
                  struct archive_result *ret, struct error *err)
{
    struct archive_limits limits = {source->max_bytes, source->max_entries, store->limits.max_ratio};
    struct blob blob = {.source = source};

    if (mkdirat(dir_fd, "fs", 0755) < 0)
        return image__failed(err, -errno, "cannot make a layer");
    CLEANUP_CLOSE int root = openat(dir_fd, "fs", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    CLEANUP_CLOSE int recipe = openat(dir_fd, "recipe", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (root < 0 || recipe < 0 || fchmod(root, 0755) < 0)
        return image__failed(err, -errno, "cannot make a layer");

    CLEANUP_DIGEST struct digest *digest = NULL;
    if (source->digest && !str_equal(source->digest, source->diff_id)) /* equal: hashed once is enough */
        blob.digest = digest = digest_new();
    int r = archive_extract_layer(root, read_blob, &blob, source->flags, &limits, recipe, ret, err);
    if (r < 0)
        return r;
    r = drain_blob(&blob);
    if (r < 0)
        return image__failed(err, r, "cannot read a layer");
    r = check_digests(&blob, ret, err);
    if (r == 0 && !ret->exact && source->read)
        return unpack_again(store, source, dir_fd, root, ret, err);
    if (r == 0 && !ret->exact) {
        r = keep_tar(store, source->fd, dir_fd, err);
        unlinkat(dir_fd, "recipe", 0);
    }
    source->unpacked = ret->bytes > ret->stream_bytes ? ret->bytes : ret->stream_bytes;
    source->entries = ret->entries;
    return r;
}

/* Moves what is in tmp/ into layers/ under a free name. Lock held. */
static int publish(struct image_store *store, struct image_layer *layer, int dir_fd, struct error *err)
{
    const char *kept = layer->exact ? "recipe" : "tar.zst";
    struct stat st;
    char id[ID_LENGTH + 1];

    do {
        random_id(id);
        memcpy(layer->name, id, 8);
        layer->name[8] = '\0';
    } while (fstatat(store->layers_fd, layer->name, &st, AT_SYMLINK_NOFOLLOW) == 0);
    CLEANUP_FREE char *file = file_of(layer->name, kept);
    CLEANUP_FREE char *meta = file_of(layer->name, "json");
    int r = image__layer_write_meta(store, layer);
    if (r == 0 && renameat(dir_fd, kept, store->layers_fd, file) < 0)
        r = -errno;
    if (r == 0 && renameat(dir_fd, "fs", store->layers_fd, layer->name) < 0)
        r = -errno;
    if (r < 0) {
        unlinkat(store->layers_fd, file, 0);
        unlinkat(store->layers_fd, meta, 0);
        return image__failed(err, r, "cannot keep a layer");
    }
    return 0;
}

int image__layer_unpack(struct image_store *store, struct image_layer_source *source, struct image_layer **ret,
                        struct error *err)
{
    CLEANUP_FREE char *name = NULL;
    CLEANUP_CLOSE int dir_fd = -EBADF;
    struct archive_result result = {0};
    struct image_layer *layer = NULL;

    int r = image__tmp_make(store, &name, &dir_fd, err);
    if (r < 0)
        return r;
    r = unpack(store, source, dir_fd, &result, err);
    if (r == 0) {
        pthread_rwlock_wrlock(&store->lock);
        HASH_FIND_STR(store->layers, result.diff_id, layer); /* somebody else may have been first */
        if (!layer) {
            layer = mem_new(struct image_layer);
            memcpy(layer->diff_id, result.diff_id, DIGEST_TEXT_MAX);
            layer->size = (int64_t)result.bytes;
            layer->tar_size = result.stream_bytes;
            layer->exact = result.exact;
            r = publish(store, layer, dir_fd, err);
            if (r < 0)
                free(layer);
            else
                HASH_ADD_STR(store->layers, diff_id, layer);
        }
        if (r == 0) {
            layer->references++;
            *ret = layer;
        }
        pthread_rwlock_unlock(&store->lock);
    }
    image__tmp_remove(store, name);
    return r;
}

struct image_layer *image__layer_pin(struct image_store *store, const char *diff_id)
{
    struct image_layer *layer;

    pthread_rwlock_wrlock(&store->lock);
    HASH_FIND_STR(store->layers, diff_id, layer);
    if (layer)
        layer->references++;
    pthread_rwlock_unlock(&store->lock);
    return layer;
}

void image__layer_unpin(struct image_store *store, struct image_layer *layer)
{
    struct image_trash trash = {0};

    if (!layer)
        return;
    pthread_rwlock_wrlock(&store->lock);
    if (--layer->references == 0)
        image__layer_drop(store, layer, &trash);
    pthread_rwlock_unlock(&store->lock);
    image__sweep(store, &trash);
}

void image__layer_drop(struct image_store *store, struct image_layer *layer, struct image_trash *trash)
{
    static const char *const suffixes[] = {"json", "recipe", "tar.zst", "blob"};
    char *name = mem_printf("gone-%s", layer->name);

    HASH_DEL(store->layers, layer);
    /* The rename takes it out of sight at once; emptying it can take long. */
    if (renameat(store->layers_fd, layer->name, store->tmp_fd, name) < 0)
        log_warning("image store: cannot remove layers/%s: %s", layer->name, strerror(errno));
    strv_take(&trash->names, name);
    for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
        CLEANUP_FREE char *file = file_of(layer->name, suffixes[i]);
        unlinkat(store->layers_fd, file, 0);
    }
    image__blob_clear(&layer->blob);
    free(layer);
}

int image__layer_tar(struct image_store *store, const struct image_layer *layer, archive_write_fn *write, void *user,
                     struct error *err)
{
    CLEANUP_FREE char *file = file_of(layer->name, layer->exact ? "recipe" : "tar.zst");
    CLEANUP_CLOSE int kept = openat(store->layers_fd, file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    CLEANUP_CLOSE int root = openat(store->layers_fd, layer->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    const uint8_t *data;
    size_t length;

    if (kept < 0 || root < 0)
        return image__failed(err, -errno, "cannot open a layer");
    if (layer->exact)
        return archive_reassemble(root, kept, write, user, err);
    CLEANUP_STREAM struct archive_stream *stream = NULL;
    struct archive_limits limits = {UINT64_MAX, UINT64_MAX, 1e18};
    int r = archive_stream_open(archive_read_fd, &kept, &limits, false, &stream, err);
    while (r == 0 && (r = archive_stream_next(stream, &data, &length, err)) > 0)
        if ((r = write(user, data, length)) < 0)
            error_errno(err, r, "cannot write a layer");
    return r;
}

/* --- at open --------------------------------------------------------------------------------- */

static int hash_tar(void *user, const void *data, size_t length)
{
    digest_update(user, data, length);
    return 0;
}

static bool still_whole(struct image_store *store, const struct image_layer *layer)
{
    CLEANUP_DIGEST struct digest *digest = digest_new();
    char text[DIGEST_TEXT_MAX];

    if (image__layer_tar(store, layer, hash_tar, digest, NULL) < 0)
        return false;
    digest_finish(digest, text);
    return strcmp(text, layer->diff_id) == 0;
}

static struct image_layer *load_layer(struct image_store *store, const char *name)
{
    CLEANUP_FREE char *text = NULL;
    CLEANUP_JSON cJSON *json = NULL;
    CLEANUP_FREE char *file = file_of(name, "json");
    struct stat st;
    size_t length;

    if (strlen(name) != 8 || !str_is_hex(name, 8) ||
        file_read(store->layers_fd, file, META_MAX, &text, &length) < 0 || json_parse(text, length, &json, NULL) < 0)
        return NULL;
    const char *diff_id = json_string(json, "diffId", "");
    const char *boot = json_string(json, "boot", NULL);
    if (!digest_valid(diff_id))
        return NULL;
    struct image_layer *layer = mem_new(struct image_layer);
    memcpy(layer->name, name, 9);
    memcpy(layer->diff_id, diff_id, DIGEST_TEXT_MAX);
    layer->size = json_int(json, "size", 0);
    layer->tar_size = (uint64_t)json_int(json, "tarSize", 0);
    layer->exact = json_bool(json, "exact", false);
    layer->flushed = boot == NULL;
    blob_read(json_get(json, "blob"), &layer->blob);
    CLEANUP_FREE char *blob = file_of(name, "blob");
    if (fstatat(store->layers_fd, blob, &st, AT_SYMLINK_NOFOLLOW) < 0 || (uint64_t)st.st_size != layer->blob.size)
        layer->blob.kept = false;
    CLEANUP_FREE char *kept = file_of(name, layer->exact ? "recipe" : "tar.zst");
    bool good = fstatat(store->layers_fd, kept, &st, AT_SYMLINK_NOFOLLOW) == 0;
    if (good && boot && strcmp(boot, boot_id()) != 0 && !still_whole(store, layer)) {
        log_warning("image store: layer %s did not survive the machine's last stop", diff_id);
        good = false;
    }
    if (!good) {
        image__blob_clear(&layer->blob);
        free(layer);
        return NULL;
    }
    return layer;
}

int image__layers_load(struct image_store *store, struct error *err)
{
    CLEANUP_STRV char **names = NULL;
    struct dirent *entry;
    int copy = openat(store->layers_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);

    if (!dir) {
        cleanup_close(&copy);
        return image__failed(err, -errno, "cannot list the layers");
    }
    while ((entry = readdir(dir)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            strv_push(&names, entry->d_name);
    closedir(dir);

    for (char **name = names; name && *name; name++) {
        struct image_layer *layer, *same = NULL;
        struct stat st;

        if (fstatat(store->layers_fd, *name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
            continue;
        layer = load_layer(store, *name);
        if (layer)
            HASH_FIND_STR(store->layers, layer->diff_id, same);
        if (!layer || same) {
            if (layer)
                image__blob_clear(&layer->blob);
            free(layer);
            path_remove_tree(store->layers_fd, *name);
            continue;
        }
        HASH_ADD_STR(store->layers, diff_id, layer);
    }
    /* Files whose directory never came, or has just gone. */
    for (char **name = names; name && *name; name++) {
        CLEANUP_FREE char *layer = mem_strndup(*name, strcspn(*name, "."));
        struct stat st;

        if (str_ends(*name, ".tmp") ||
            (strchr(*name, '.') && fstatat(store->layers_fd, layer, &st, AT_SYMLINK_NOFOLLOW) < 0))
            path_remove_tree(store->layers_fd, *name);
    }
    return 0;
}

/* --- flushing ------------------------------------------------------------------------------------ */

struct image_flusher {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool wanted, stop;
};

void image__flush_layers(struct image_store *store)
{
    CLEANUP_STRV char **diff_ids = NULL;
    struct image_layer *layer, *next;

    pthread_rwlock_rdlock(&store->lock);
    HASH_ITER(hh, store->layers, layer, next)
        if (!layer->flushed)
            strv_push(&diff_ids, layer->diff_id);
    pthread_rwlock_unlock(&store->lock);
    if (!diff_ids || syncfs(store->layers_fd) < 0)
        return;
    for (char **id = diff_ids; *id; id++) {
        /* Under the lock, one at a time: the layer cannot go while its file is
         * written, and look-ups go on. A pin instead would keep a layer whose
         * image is being removed. */
        pthread_rwlock_rdlock(&store->lock);
        HASH_FIND_STR(store->layers, *id, layer);
        if (layer) {
            struct image_layer copy = *layer;

            copy.flushed = true;
            if (image__layer_write_meta(store, &copy) == 0)
                layer->flushed = true; /* nobody else writes it */
        }
        pthread_rwlock_unlock(&store->lock);
    }
}

/* False when the store closes meanwhile: then the layers stay marked. */
static bool wait_a_while(struct image_flusher *flusher)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += FLUSH_DELAY_S;
    while (!flusher->stop && pthread_cond_timedwait(&flusher->wake, &flusher->lock, &until) != ETIMEDOUT)
        ;
    return !flusher->stop;
}

static void *flusher_main(void *user)
{
    struct image_store *store = user;
    struct image_flusher *flusher = store->flusher;

    pthread_mutex_lock(&flusher->lock);
    while (!flusher->stop) {
        if (!flusher->wanted) {
            pthread_cond_wait(&flusher->wake, &flusher->lock);
            continue;
        }
        if (!wait_a_while(flusher))
            break;
        flusher->wanted = false;
        pthread_mutex_unlock(&flusher->lock);
        image__flush_layers(store);
        pthread_mutex_lock(&flusher->lock);
    }
    pthread_mutex_unlock(&flusher->lock);
    return NULL;
}

int image__flusher_start(struct image_store *store)
{
    struct image_flusher *flusher = mem_new(struct image_flusher);

    pthread_condattr_t monotonic;

    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&flusher->lock, NULL);
    pthread_cond_init(&flusher->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    flusher->wanted = true; /* what an earlier process of this boot left */
    store->flusher = flusher;
    int r = pthread_create(&flusher->thread, NULL, flusher_main, store);
    if (r != 0) {
        store->flusher = NULL;
        pthread_mutex_destroy(&flusher->lock);
        pthread_cond_destroy(&flusher->wake);
        free(flusher);
    }
    return -r;
}

void image__flusher_wake(struct image_store *store)
{
    pthread_mutex_lock(&store->flusher->lock);
    store->flusher->wanted = true;
    pthread_cond_signal(&store->flusher->wake);
    pthread_mutex_unlock(&store->flusher->lock);
}

void image__flusher_stop(struct image_store *store)
{
    struct image_flusher *flusher = store->flusher;

    if (!flusher)
        return;
    pthread_mutex_lock(&flusher->lock);
    flusher->stop = true;
    pthread_cond_signal(&flusher->wake);
    pthread_mutex_unlock(&flusher->lock);
    pthread_join(flusher->thread, NULL);
    pthread_mutex_destroy(&flusher->lock);
    pthread_cond_destroy(&flusher->wake);
    free(flusher);
    store->flusher = NULL;
}
