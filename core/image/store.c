/* store.c - the image store's tables, its index on disk, look-ups, holds and tags. Owner: image. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/random.h"
#include "image/store.h"

#define INDEX_MAX ((size_t)64 << 20)

int image__failed(struct error *err, int r, const char *what)
{
    int code = -r;

    error_errno(err, r, "image store: %s", what);
    if (code == ENOENT || code == EEXIST || code == EBUSY || code == EACCES || code == EPERM || code == EINVAL ||
        code == EAGAIN || code == EALREADY || code == ENOTSUP)
        code = EIO;
    if (err)
        err->code = code;
    return -code;
}

/* --- temporary files, blobs --------------------------------------------------------- */

int image__tmp_make(struct image_store *store, char **ret_name, int *ret_fd, struct error *err)
{
    char id[ID_LENGTH + 1];

    random_id(id);
    id[16] = '\0';
    if (mkdirat(store->tmp_fd, id, 0700) < 0)
        return image__failed(err, -errno, "cannot make a temporary directory");
    int fd = openat(store->tmp_fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        int r = image__failed(err, -errno, "cannot open a temporary directory");
        unlinkat(store->tmp_fd, id, AT_REMOVEDIR);
        return r;
    }
    *ret_name = mem_strdup(id);
    *ret_fd = fd;
    return 0;
}

void image__tmp_remove(struct image_store *store, const char *name)
{
    int r = name ? path_remove_tree(store->tmp_fd, name) : 0;

    if (r < 0)
        log_warning("image store: cannot remove tmp/%s: %s", name, strerror(-r));
}

void image__sweep(struct image_store *store, struct image_trash *trash)
{
    for (char **name = trash->names; name && *name; name++)
        image__tmp_remove(store, *name);
    strv_free(trash->names);
    trash->names = NULL;
}

int image__blob_write(struct image_store *store, const char *digest, const void *data, size_t length, struct error *err)
{
    int r = file_write_atomic(store->blobs_fd, digest_hex(digest), data, length, 0600);

    return r < 0 ? image__failed(err, r, "cannot write a config") : 0;
}

/* --- tables --------------------------------------------------------------------------- */

struct image_record *image__find(struct image_store *store, const char *id)
{
    struct image_record *record;

    HASH_FIND_STR(store->records, id, record);
    return record;
}

static void record_free(struct image_record *record)
{
    image__config_free(record->config);
    free(record->layers);
    free(record);
}

int image__set_name(struct image_store *store, const char *key, struct image_record *record,
                    struct image_record **ret_before)
{
    struct image_name *name;

    HASH_FIND_STR(store->names, key, name);
    if (ret_before)
        *ret_before = name ? name->record : NULL;
    if (!name) {
        name = mem_new(struct image_name);
        name->text = mem_strdup(key);
        HASH_ADD_KEYPTR(hh, store->names, name->text, strlen(name->text), name);
    }
    name->record = record;
    return 0;
}

void image__unset_name(struct image_store *store, const char *key)
{
    struct image_name *name;

    HASH_FIND_STR(store->names, key, name);
    if (!name)
        return;
    HASH_DEL(store->names, name);
    free(name->text);
    free(name);
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char **image__names_of(struct image_store *store, const struct image_record *record)
{
    char **list = NULL;
    struct image_name *name, *next;

    HASH_ITER(hh, store->names, name, next)
        if (name->record == record)
            strv_push(&list, name->text);
    size_t count = strv_length(list);
    if (count > 1)
        qsort(list, count, sizeof(*list), by_bytes);
    return list;
}

struct image *image__copy(struct image_store *store, const struct image_record *record)
{
    struct image *image = mem_new(struct image);
    CLEANUP_STRV char **names = image__names_of(store, record);

    image->id = mem_strdup(record->id);
    image->parent = mem_strdup(record->parent);
    image->created_ns = record->config->created_ns;
    image->size = record->size;
    image->os = mem_strdup(record->config->os);
    image->architecture = mem_strdup(record->config->architecture);
    image->variant = mem_strdup(record->config->variant);
    image->config = cJSON_Duplicate(record->config->json, true);
    image->diff_ids = strv_dup(record->config->diff_ids);
    image->layer_sizes = mem_array(record->layer_count + 1, sizeof(*image->layer_sizes));
    for (size_t i = 0; i < record->layer_count; i++)
        image->layer_sizes[i] = record->layers[i]->size;
    for (char **name = names; name && *name; name++)
        strv_push(image__name_is_digest(*name) ? &image->digests : &image->names, *name);
    /* Overlay takes no directory twice. Of a layer that occurs twice the upper one
     * hides all that the lower one shows, so the lower may be left out. */
    for (size_t i = record->layer_count; i-- > 0;)
        if (!strv_contains(image->layers, record->layers[i]->name))
            strv_push(&image->layers, record->layers[i]->name);
    return image;
}

void image_free(struct image *image)
{
    if (!image)
        return;
    free(image->id);
    strv_free(image->names);
    strv_free(image->digests);
    free(image->parent);
    free(image->os);
    free(image->architecture);
    free(image->variant);
    cJSON_Delete(image->config);
    strv_free(image->diff_ids);
    free(image->layer_sizes);
    strv_free(image->layers);
    free(image);
}

void image_freep(struct image **image)
{
    image_free(*image);
    *image = NULL;
}

/* --- finding ----------------------------------------------------------------------------- */

static int no_such(struct error *err, const char *ref)
{
    CLEANUP_FREE char *key = NULL;

    /* As Docker says it: the name it looked for, tag and all. */
    if (!digest_valid(ref))
        image__name_key(ref, &key, NULL);
    return error_set(err, ENOENT, "No such image: %s", key ? key : ref);
}

/* held: also what was removed and is kept for who stands on it. */
static int resolve(struct image_store *store, const char *ref, bool held, struct image_record **ret, char **ret_key,
                   struct error *err)
{
    CLEANUP_FREE char *key = NULL;
    struct image_record *record = NULL, *next, *each;
    struct image_name *name = NULL;
    char id[DIGEST_TEXT_MAX];

    if (ret_key)
        *ret_key = NULL;
    if (strlen(ref) == 64 && str_is_hex(ref, 64))
        snprintf(id, sizeof(id), "sha256:%s", ref);
    else
        snprintf(id, sizeof(id), "%s", strlen(ref) < sizeof(id) ? ref : "");
    if (digest_valid(id)) {
        record = image__find(store, id);
        if (!record || (record->orphan && !held))
            return error_set(err, ENOENT, "No such image: %s", id);
        *ret = record;
        return 0;
    }
    int r = image__name_key(ref, &key, err);
    if (r < 0)
        return r;
    HASH_FIND_STR(store->names, key, name);
    if (name) {
        *ret = name->record;
        if (ret_key)
            *ret_key = TAKE_PTR(key);
        return 0;
    }
    /* A prefix of an id. */
    const char *hex = str_starts(ref, "sha256:") ? ref + 7 : ref;
    size_t length = strlen(hex);
    if (length > 0 && length < 64 && str_is_hex(hex, length)) {
        HASH_ITER(hh, store->records, each, next) {
            if (each->orphan || strncmp(digest_hex(each->id), hex, length) != 0)
                continue;
            if (record)
                return error_set(err, EINVAL, "ambiguous image ID prefix: %s", ref);
            record = each;
        }
    }
    if (!record)
        return no_such(err, ref);
    *ret = record;
    return 0;
}

int image__resolve(struct image_store *store, const char *ref, struct image_record **ret, char **ret_key, struct error *err)
{
    return resolve(store, ref, false, ret, ret_key, err);
}

int image__resolve_held(struct image_store *store, const char *ref, struct image_record **ret, struct error *err)
{
    return resolve(store, ref, true, ret, NULL, err);
}

static int get(struct image_store *store, const char *ref, bool held, struct image **ret, struct error *err)
{
    struct image_record *record;

    pthread_rwlock_rdlock(&store->lock);
    int r = resolve(store, ref, held, &record, NULL, err);
    if (r == 0)
        *ret = image__copy(store, record);
    pthread_rwlock_unlock(&store->lock);
    return r;
}

int image_get(struct image_store *store, const char *ref, struct image **ret, struct error *err)
{
    return get(store, ref, false, ret, err);
}

int image_get_held(struct image_store *store, const char *id, struct image **ret, struct error *err)
{
    return get(store, id, true, ret, err);
}

static int newest_first(const void *a, const void *b)
{
    const struct image *x = *(struct image *const *)a, *y = *(struct image *const *)b;

    if (x->created_ns != y->created_ns)
        return x->created_ns < y->created_ns ? 1 : -1;
    return strcmp(x->id, y->id);
}

int image_each(struct image_store *store, image_fn *fn, void *user)
{
    struct image_record *record, *next;
    size_t count = 0;
    int r = 0;

    pthread_rwlock_rdlock(&store->lock);
    struct image **list = mem_array(HASH_COUNT(store->records) + 1, sizeof(struct image *));
    HASH_ITER(hh, store->records, record, next)
        if (!record->orphan)
            list[count++] = image__copy(store, record);
    pthread_rwlock_unlock(&store->lock);
    if (count > 1)
        qsort(list, count, sizeof(struct image *), newest_first);
    for (size_t i = 0; i < count; i++) {
        if (r == 0)
            r = fn(user, list[i]);
        image_free(list[i]);
    }
    free(list);
    return r;
}

void image_store_usage(struct image_store *store, struct image_usage *ret)
{
    struct image_layer *layer, *next_layer;
    struct image_record *record, *next_record;
    int64_t bytes, made_ns;

    *ret = (struct image_usage){0};
    pthread_rwlock_rdlock(&store->lock);
    HASH_ITER(hh, store->layers, layer, next_layer) {
        ret->layers += layer->size;
        ret->compressed += layer->blob.kept ? (int64_t)layer->blob.size : 0;
    }
    HASH_ITER(hh, store->records, record, next_record)
        ret->disks += image__disk_stat(store, record->id, &bytes, &made_ns) ? bytes : 0;
    pthread_rwlock_unlock(&store->lock);
}

const char *image_store_layers_dir(const struct image_store *store)
{
    return store->layers_dir;
}

void image_store_set_in_use(struct image_store *store, image_in_use_fn *fn, void *user)
{
    pthread_mutex_lock(&store->in_use_lock);
    store->in_use = fn;
    store->in_use_user = user;
    pthread_mutex_unlock(&store->in_use_lock);
}

/* --- the index ------------------------------------------------------------------------------ */

int image__save_index(struct image_store *store, struct error *err)
{
    CLEANUP_JSON cJSON *json = cJSON_CreateObject();
    struct image_record *record, *next_record;
    struct image_name *name, *next_name;

    json_add_int(json, "version", 1);
    cJSON *images = json_add_array(json, "images");
    cJSON *names = json_add_object(json, "names");
    pthread_rwlock_rdlock(&store->lock);
    HASH_ITER(hh, store->records, record, next_record) {
        cJSON *image = cJSON_CreateObject();

        json_add_string(image, "id", record->id);
        if (*record->parent)
            json_add_string(image, "parent", record->parent);
        if (*record->manifest)
            json_add_string(image, "manifest", record->manifest);
        if (record->orphan)
            json_add_bool(image, "orphan", true);
        if (record->built)
            json_add_bool(image, "built", true);
        cJSON_AddItemToArray(images, image);
    }
    HASH_ITER(hh, store->names, name, next_name)
        json_add_string(names, name->text, name->record->id);
    pthread_rwlock_unlock(&store->lock);
    CLEANUP_FREE char *text = json_print(json);
    int r = file_write_atomic(store->dir_fd, "index.json", text, strlen(text), 0600);
    return r < 0 ? image__failed(err, r, "cannot write index.json") : 0;
}

static struct image_record *record_new(struct image_store *store, const char *id, struct image_config *config)
{
    struct image_record *record = mem_new(struct image_record);

    memcpy(record->id, id, DIGEST_TEXT_MAX);
    record->config = config;
    record->layer_count = strv_length(config->diff_ids);
    record->layers = mem_array(record->layer_count + 1, sizeof(*record->layers));
    return record;
}

/* An image that cannot be had any more is dropped with a warning: the rest of the
 * store is worth starting for. */
static void load_record(struct image_store *store, const cJSON *json)
{
    CLEANUP(image__config_freep) struct image_config *config = NULL;
    CLEANUP_FREE char *text = NULL;
    const char *id = json_string(json, "id", "");
    const char *parent = json_string(json, "parent", "");
    struct error err = ERROR_INIT;
    char digest[DIGEST_TEXT_MAX];
    size_t length;

    if (!digest_valid(id) || image__find(store, id))
        return;
    int r = file_read(store->blobs_fd, digest_hex(id), IMAGE_CONFIG_MAX, &text, &length);
    if (r < 0) {
        log_warning("image %s is lost: its config cannot be read: %s", id, strerror(-r));
        return;
    }
    digest_of(text, length, digest);
    if (strcmp(digest, id) != 0 || image__config_parse(text, length, &config, &err) < 0) {
        log_warning("image %s is lost: its config is damaged", id);
        return;
    }
    struct image_record *record = record_new(store, id, config);
    for (size_t i = 0; i < record->layer_count; i++) {
        struct image_layer *layer;

        HASH_FIND_STR(store->layers, config->diff_ids[i], layer);
        if (!layer) {
            log_warning("image %s is lost: its layer %s is missing", id, config->diff_ids[i]);
            free(record->layers);
            free(record);
            return;
        }
        record->layers[i] = layer;
        record->size += layer->size;
    }
    for (size_t i = 0; i < record->layer_count; i++)
        record->layers[i]->references++;
    TAKE_PTR(config);
    if (digest_valid(parent))
        memcpy(record->parent, parent, DIGEST_TEXT_MAX);
    const char *manifest = json_string(json, "manifest", "");
    if (digest_valid(manifest) && faccessat(store->blobs_fd, digest_hex(manifest), R_OK, 0) == 0)
        memcpy(record->manifest, manifest, DIGEST_TEXT_MAX);
    record->orphan = json_bool(json, "orphan", false);
    record->built = json_bool(json, "built", false);
    HASH_ADD_STR(store->records, id, record);
}

static int load_index(struct image_store *store, struct error *err)
{
    CLEANUP_FREE char *text = NULL;
    CLEANUP_JSON cJSON *json = NULL;
    const cJSON *item;
    size_t length;

    int r = file_read(store->dir_fd, "index.json", INDEX_MAX, &text, &length);
    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return image__failed(err, r, "cannot read index.json");
    if (json_parse(text, length, &json, err) < 0) {
        error_prefix(err, "image store: index.json is damaged");
        if (err)
            err->code = EIO;
        return -EIO;
    }
    cJSON_ArrayForEach(item, json_get(json, "images"))
        load_record(store, item);
    cJSON_ArrayForEach(item, json_get(json, "names")) {
        struct image_record *record = cJSON_IsString(item) ? image__find(store, item->valuestring) : NULL;
        CLEANUP_FREE char *key = NULL;

        if (record && image__name_key(item->string, &key, NULL) == 0 && strcmp(key, item->string) == 0)
            image__set_name(store, key, record, NULL);
    }
    return 0;
}

/* --- open and close ------------------------------------------------------------------------------ */

/* Removes what the tables do not know: leftovers of a crash. */
static bool is_manifest(struct image_store *store, const char *digest)
{
    struct image_record *record, *next;

    HASH_ITER(hh, store->records, record, next)
        if (strcmp(record->manifest, digest) == 0)
            return true;
    return false;
}

static void clean_leftovers(struct image_store *store)
{
    struct image_layer *layer, *next;
    struct image_trash trash = {0};
    struct dirent *entry;

    HASH_ITER(hh, store->layers, layer, next)
        if (layer->references == 0)
            image__layer_drop(store, layer, &trash);
    image__sweep(store, &trash);

    int copy = openat(store->blobs_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    while (dir && (entry = readdir(dir))) {
        char id[DIGEST_TEXT_MAX];

        if (entry->d_name[0] == '.')
            continue;
        snprintf(id, sizeof(id), "sha256:%.64s", entry->d_name);
        if (strlen(entry->d_name) != 64 || (!image__find(store, id) && !is_manifest(store, id)))
            unlinkat(store->blobs_fd, entry->d_name, 0);
    }
    if (dir)
        closedir(dir);
    copy = openat(store->disks_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    dir = copy < 0 ? NULL : fdopendir(copy);
    while (dir && (entry = readdir(dir))) {
        char id[DIGEST_TEXT_MAX];

        if (entry->d_name[0] == '.')
            continue;
        snprintf(id, sizeof(id), "sha256:%.64s", entry->d_name);
        if (strlen(entry->d_name) != 64 + strlen(".erofs") || !image__find(store, id))
            unlinkat(store->disks_fd, entry->d_name, 0);
    }
    if (dir)
        closedir(dir);
}

static int open_part(struct image_store *store, const char *name, int *ret, struct error *err)
{
    CLEANUP_FREE char *path = path_join(store->dir, name);
    int r = path_mkdirs(path, 0700);

    if (r < 0)
        return image__failed(err, r, path);
    *ret = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *ret < 0 ? image__failed(err, -errno, path) : 0;
}

static void store_free(struct image_store *store)
{
    struct image_layer *layer, *next_layer;
    struct image_record *record, *next_record;
    struct image_name *name, *next_name;

    if (!store)
        return;
    image__flusher_stop(store);
    HASH_ITER(hh, store->names, name, next_name) {
        HASH_DEL(store->names, name);
        free(name->text);
        free(name);
    }
    HASH_ITER(hh, store->records, record, next_record) {
        HASH_DEL(store->records, record);
        record_free(record);
    }
    HASH_ITER(hh, store->layers, layer, next_layer) {
        HASH_DEL(store->layers, layer);
        image__blob_clear(&layer->blob);
        free(layer);
    }
    cleanup_close(&store->dir_fd);
    cleanup_close(&store->layers_fd);
    cleanup_close(&store->blobs_fd);
    cleanup_close(&store->tmp_fd);
    cleanup_close(&store->disks_fd);
    cleanup_close(&store->partial_fd);
    pthread_mutex_destroy(&store->transfer_lock);
    pthread_cond_destroy(&store->transfer_changed);
    pthread_mutex_destroy(&store->writer);
    pthread_mutex_destroy(&store->in_use_lock);
    pthread_mutex_destroy(&store->disk_lock);
    pthread_rwlock_destroy(&store->lock);
    free(store->dir);
    free(store->layers_dir);
    free(store);
}

static void store_freep(struct image_store **store)
{
    store_free(*store);
}

int image_store_open(const char *dir, const struct image_limits *limits, struct image_store **ret, struct error *err)
{
    CLEANUP(store_freep) struct image_store *store = mem_new(struct image_store);
    static const struct {
        const char *name;
        size_t fd;
    } parts[] = {
        {"", offsetof(struct image_store, dir_fd)},
        {"layers", offsetof(struct image_store, layers_fd)},
        {"blobs/sha256", offsetof(struct image_store, blobs_fd)},
        {"disks", offsetof(struct image_store, disks_fd)},
        {"tmp", offsetof(struct image_store, tmp_fd)},
        {"partial", offsetof(struct image_store, partial_fd)},
    };

    pthread_mutex_init(&store->transfer_lock, NULL);
    pthread_cond_init(&store->transfer_changed, NULL);
    store->partial_fd = -EBADF;
    store->dir_fd = store->layers_fd = store->blobs_fd = store->tmp_fd = store->disks_fd = -EBADF;
    pthread_mutex_init(&store->writer, NULL);
    pthread_mutex_init(&store->in_use_lock, NULL);
    pthread_mutex_init(&store->disk_lock, NULL);
    pthread_rwlock_init(&store->lock, NULL);
    int r = path_mkdirs(dir, 0700);
    if (r < 0)
        return error_errno(err, r, "cannot make %s", dir);
    /* Absolute: rootfs.c mounts from another working directory. */
    store->dir = realpath(dir, NULL);
    if (!store->dir)
        return error_errno(err, EIO, "cannot resolve %s", dir);
    store->layers_dir = path_join(store->dir, "layers");
    if (limits)
        store->limits = *limits;
    if (!store->limits.max_unpacked_bytes)
        store->limits.max_unpacked_bytes = ARCHIVE_MAX_BYTES;
    if (!store->limits.max_entries)
        store->limits.max_entries = ARCHIVE_MAX_ENTRIES;
    if (!(store->limits.max_ratio > 0))
        store->limits.max_ratio = ARCHIVE_MAX_RATIO;

    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        r = open_part(store, parts[i].name, (int *)((char *)store + parts[i].fd), err);
        if (r < 0)
            return r;
    }
    /* "empty" and "mnt" are what rootfs.c mounts with and on. */
    for (int i = 0; i < 2; i++) {
        int fd = -EBADF;

        r = open_part(store, i ? "mnt" : "empty", &fd, err);
        cleanup_close(&fd);
        if (r < 0)
            return r;
    }
    r = path_remove_tree(store->dir_fd, "tmp");
    if (r < 0 && r != -EBUSY)
        return image__failed(err, r, "cannot empty tmp");
    cleanup_close(&store->tmp_fd);
    r = open_part(store, "tmp", &store->tmp_fd, err);
    if (r == 0)
        r = image__layers_load(store, err);
    if (r == 0)
        r = load_index(store, err);
    if (r < 0)
        return r;
    clean_leftovers(store);
    image__partials_clean(store, IMAGE_PARTIAL_KEEP_S);
    r = image__flusher_start(store);
    if (r < 0)
        return image__failed(err, r, "cannot start a thread");
    *ret = TAKE_PTR(store);
    return 0;
}

void image_store_close(struct image_store *store)
{
    store_free(store);
}

/* --- changing ---------------------------------------------------------------------------------------- */

static void unpin_all(struct image_store *store, struct image_layer **layers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        image__layer_unpin(store, layers[i]);
}

static int add(struct image_store *store, const char *text, size_t length, struct image_layer **layers,
               size_t layer_count, const char *parent, bool built, char *const *keys, image_progress_fn *progress,
               void *user, char **ret_id, struct error *err)
{
    CLEANUP(image__config_freep) struct image_config *config = NULL;
    CLEANUP_STRV char **renamed = NULL; /* "KEY\nID" of images that lost a name */
    char id[DIGEST_TEXT_MAX];

    int r = image__config_parse(text, length, &config, err);
    if (r == 0 && strv_length(config->diff_ids) != layer_count)
        r = error_set(err, EINVAL, "the image's config and its manifest do not have the same number of layers");
    for (size_t i = 0; r == 0 && i < layer_count; i++)
        if (strcmp(config->diff_ids[i], layers[i]->diff_id) != 0)
            r = error_set(err, EINVAL, "the image's config and its manifest do not have the same layers");
    digest_of(text, length, id);
    pthread_mutex_lock(&store->writer);
    if (r == 0)
        r = image__blob_write(store, id, text, length, err);
    if (r < 0) {
        pthread_mutex_unlock(&store->writer);
        unpin_all(store, layers, layer_count);
        return r;
    }

    pthread_rwlock_wrlock(&store->lock);
    struct image_record *record = image__find(store, id);
    if (!record) {
        record = record_new(store, id, TAKE_PTR(config));
        for (size_t i = 0; i < layer_count; i++) {
            record->layers[i] = layers[i];
            record->size += layers[i]->size;
            layers[i]->references++;
        }
        if (parent && digest_valid(parent))
            memcpy(record->parent, parent, DIGEST_TEXT_MAX);
        record->built = built;
        HASH_ADD_STR(store->records, id, record);
    }
    record->orphan = false;
    record->holds += built; /* before anybody can prune it */
    for (char *const *key = keys; key && *key; key++) {
        struct image_record *before;

        image__set_name(store, *key, record, &before);
        if (before && before != record) {
            char *line = mem_printf("The image %s already exists, renaming the old one with ID %s to empty string",
                                    *key, before->id);
            strv_take(&renamed, line);
        }
    }
    pthread_rwlock_unlock(&store->lock);
    r = image__save_index(store, err);
    pthread_mutex_unlock(&store->writer);
    unpin_all(store, layers, layer_count);
    if (r < 0)
        return r; /* it is there in memory; the next change that can be written writes it, too */
    image__flusher_wake(store);
    for (char **line = renamed; progress && line && *line; line++)
        progress(user, NULL, *line, 0, 0);
    if (ret_id)
        *ret_id = mem_strdup(id);
    return 0;
}

int image__add(struct image_store *store, const char *text, size_t length, struct image_layer **layers,
               size_t layer_count, const char *parent, char *const *keys, image_progress_fn *progress, void *user,
               char **ret_id, struct error *err)
{
    return add(store, text, length, layers, layer_count, parent, false, keys, progress, user, ret_id, err);
}

int image__add_built(struct image_store *store, const char *text, size_t length, struct image_layer **layers,
                     size_t layer_count, const char *parent, bool built, char *const *keys, char **ret_id,
                     struct error *err)
{
    return add(store, text, length, layers, layer_count, parent, built, keys, NULL, NULL, ret_id, err);
}

int image__set_manifest(struct image_store *store, const char *id, const char *digest, const void *text, size_t length,
                        char *const *keys, struct error *err)
{
    char before[DIGEST_TEXT_MAX] = "";

    pthread_mutex_lock(&store->writer);
    int r = image__blob_write(store, digest, text, length, err);
    pthread_rwlock_wrlock(&store->lock);
    struct image_record *record = r == 0 ? image__find(store, id) : NULL;
    if (record) {
        memcpy(before, record->manifest, DIGEST_TEXT_MAX);
        memcpy(record->manifest, digest, DIGEST_TEXT_MAX);
        for (char *const *key = keys; key && *key; key++)
            image__set_name(store, *key, record, NULL);
    } else if (r == 0) {
        r = no_such(err, id); /* removed meanwhile */
        unlinkat(store->blobs_fd, digest_hex(digest), 0);
    }
    pthread_rwlock_unlock(&store->lock);
    if (r == 0)
        r = image__save_index(store, err);
    if (r == 0 && *before && strcmp(before, digest) != 0)
        unlinkat(store->blobs_fd, digest_hex(before), 0);
    pthread_mutex_unlock(&store->writer);
    return r;
}

int image_tag(struct image_store *store, const char *ref, const char *text, struct error *err)
{
    CLEANUP_FREE char *key = NULL;
    struct image_record *record;

    int r = image__name_key(text, &key, err);
    if (r < 0)
        return r;
    if (image__name_is_digest(key))
        return error_set(err, EINVAL, "refusing to create a tag with a digest reference");
    if (str_starts(key, "sha256:"))
        return error_set(err, EINVAL, "refusing to create an ambiguous tag using digest algorithm as name");
    pthread_mutex_lock(&store->writer);
    pthread_rwlock_wrlock(&store->lock);
    r = image__resolve(store, ref, &record, NULL, err);
    if (r == 0 && record->orphan)
        r = no_such(err, ref);
    if (r == 0)
        image__set_name(store, key, record, NULL);
    pthread_rwlock_unlock(&store->lock);
    if (r == 0)
        r = image__save_index(store, err);
    pthread_mutex_unlock(&store->writer);
    return r;
}

void image__forget(struct image_store *store, struct image_record *record, struct image_trash *trash, char ***deleted,
                   int64_t *reclaimed)
{
    char chains[IMAGE_LAYERS_MAX + 1][DIGEST_TEXT_MAX];

    if (deleted)
        strv_push(deleted, record->id);
    if (record->holds > 0) {
        record->orphan = true;
        return;
    }
    /* A layer is named to the outside by its chain: itself on what lies below. */
    for (size_t i = 0; i < record->layer_count; i++) {
        if (i == 0) {
            memcpy(chains[0], record->layers[0]->diff_id, DIGEST_TEXT_MAX);
        } else {
            CLEANUP_FREE char *both = mem_printf("%s %s", chains[i - 1], record->layers[i]->diff_id);
            digest_of(both, strlen(both), chains[i]);
        }
    }
    HASH_DEL(store->records, record);
    for (size_t i = record->layer_count; i-- > 0;) {
        struct image_layer *layer = record->layers[i];

        if (--layer->references > 0)
            continue;
        if (deleted)
            strv_push(deleted, chains[i]);
        if (reclaimed)
            *reclaimed += layer->size;
        image__layer_drop(store, layer, trash);
    }
    unlinkat(store->blobs_fd, digest_hex(record->id), 0);
    if (*record->manifest)
        unlinkat(store->blobs_fd, digest_hex(record->manifest), 0);
    int64_t disk = image__disk_remove(store, record->id);
    if (reclaimed)
        *reclaimed += disk;
    record_free(record);
}

/* --- holds -------------------------------------------------------------------------------------------- */

int image_hold(struct image_store *store, const char *image_id, struct error *err)
{
    int r = 0;

    pthread_rwlock_wrlock(&store->lock);
    struct image_record *record = image__find(store, image_id);
    if (record)
        record->holds++;
    else
        r = no_such(err, image_id);
    pthread_rwlock_unlock(&store->lock);
    return r;
}

void image_release(struct image_store *store, const char *image_id)
{
    struct image_trash trash = {0};
    struct error err = ERROR_INIT;
    bool gone = false;

    pthread_mutex_lock(&store->writer);
    pthread_rwlock_wrlock(&store->lock);
    struct image_record *record = image__find(store, image_id);
    if (record && record->holds > 0 && --record->holds == 0 && record->orphan) {
        image__forget(store, record, &trash, NULL, NULL);
        gone = true;
    }
    pthread_rwlock_unlock(&store->lock);
    if (gone && image__save_index(store, &err) < 0)
        log_warning("%s", err.message);
    pthread_mutex_unlock(&store->writer);
    image__sweep(store, &trash);
}
