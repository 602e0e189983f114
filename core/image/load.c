/* load.c - images out of archives: docker save's and OCI layouts. Owner: image.
 *
 * Spool, read the manifests, unpack the layers that are not here yet by a small
 * pool of threads, check every digest, and only then make the images known. What
 * fails before leaves nothing: layers not wanted by an image go with their pin.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "image/store.h"

#define THREADS_MAX 8
#define INDEX_DEPTH_MAX 4

struct task {
    const char *member;  /* of the archive */
    const char *diff_id;
    const char *digest;  /* NULL: not told */
    uint64_t size, done;
    struct image_layer *layer; /* pinned, when done */
};

struct loading {
    struct image_store *store;
    struct image_spool *spool;
    image_progress_fn *progress;
    void *user;
    struct image_offers offers;
    struct image_config **configs; /* one an offer */
    char **config_texts;
    size_t *config_lengths;
    struct task *tasks;
    size_t task_count, next_task, finished;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t unpacked, entries;
    struct error error;    /* the first one; code 0: none */
};

static void loading_clear(struct loading *loading)
{
    for (size_t i = 0; i < loading->task_count; i++)
        image__layer_unpin(loading->store, loading->tasks[i].layer);
    for (size_t i = 0; i < loading->offers.count; i++) {
        if (loading->configs)
            image__config_free(loading->configs[i]);
        if (loading->config_texts)
            free(loading->config_texts[i]);
    }
    free(loading->configs);
    free(loading->config_texts);
    free(loading->config_lengths);
    free(loading->tasks);
    image__offers_clear(&loading->offers);
    image__spool_freep(&loading->spool);
    pthread_mutex_destroy(&loading->lock);
    pthread_cond_destroy(&loading->changed);
}

/* --- OCI layout ------------------------------------------------------------------------ */

static char *blob_path(const char *digest)
{
    return mem_printf("blobs/sha256/%s", digest_hex(digest));
}

/* A blob's text, checked against its digest. */
static int blob_text(struct loading *loading, const char *digest, char **ret, size_t *ret_length, struct error *err)
{
    CLEANUP_FREE char *path = blob_path(digest);
    CLEANUP_FREE char *text = NULL;
    char found[DIGEST_TEXT_MAX];
    size_t length;

    int r = image__spool_text(loading->spool, path, &text, &length, err);
    if (r < 0)
        return r;
    digest_of(text, length, found);
    if (strcmp(found, digest) != 0)
        return error_set(err, EINVAL, "wrong digest: %s is %s", path, found);
    *ret = TAKE_PTR(text);
    *ret_length = length;
    return 0;
}

static int add_manifest(struct loading *loading, const char *text, size_t length, const char *name, struct error *err)
{
    CLEANUP(image__descriptors_clear) struct image_descriptors parts = {0};

    int r = image__manifest_parse(text, length, &parts, err);
    if (r < 0)
        return r;
    if (loading->offers.count >= 1024)
        return error_set(err, EFBIG, "the OCI layout has too many images");
    loading->offers.list = mem_grow(loading->offers.list, loading->offers.count + 1, sizeof(*loading->offers.list));
    struct image_offer *offer = &loading->offers.list[loading->offers.count++];
    *offer = (struct image_offer){0};
    offer->config = blob_path(parts.list[0].digest);
    offer->config_digest = mem_strdup(parts.list[0].digest);
    if (name)
        strv_push(&offer->names, name);
    for (size_t i = 1; i < parts.count; i++) {
        strv_take(&offer->layers, blob_path(parts.list[i].digest));
        strv_push(&offer->layer_digests, parts.list[i].digest);
    }
    return 0;
}

/* Whether an index's entry is for this machine; attestations are for "unknown". */
static bool fits_here(const struct image_descriptor *descriptor)
{
    return (!descriptor->os || strcmp(descriptor->os, "linux") == 0) &&
           (!descriptor->architecture || strcmp(descriptor->architecture, image__host_architecture()) == 0);
}

static int add_from_index(struct loading *loading, const char *text, size_t length, const char *name, int depth,
                          struct error *err)
{
    CLEANUP(image__descriptors_clear) struct image_descriptors entries = {0};
    size_t before = loading->offers.count;

    if (depth > INDEX_DEPTH_MAX)
        return error_set(err, EINVAL, "the OCI layout's indexes are nested too deeply");
    int r = image__index_parse(text, length, &entries, err);
    for (size_t i = 0; r == 0 && i < entries.count; i++) {
        const struct image_descriptor *entry = &entries.list[i];
        const char *entry_name = entry->name ? entry->name : name;
        CLEANUP_FREE char *path = blob_path(entry->digest);
        CLEANUP_FREE char *blob = NULL;
        size_t blob_length = 0;

        /* A layout may hold one platform's blobs only of an index for many. */
        if (!fits_here(entry) || (depth > 0 && !image__spool_find(loading->spool, path)))
            continue;
        r = blob_text(loading, entry->digest, &blob, &blob_length, err);
        if (r < 0)
            break;
        r = image__is_index(entry) ? add_from_index(loading, blob, blob_length, entry_name, depth + 1, err)
                                   : add_manifest(loading, blob, blob_length, entry_name, err);
        if (r == 0 && depth > 0 && loading->offers.count > before)
            break; /* one image for this machine out of an image index */
    }
    if (r == 0 && loading->offers.count == before)
        r = error_set(err, EINVAL, "no matching manifest for linux/%s in the image archive", image__host_architecture());
    return r;
}

static int read_offers(struct loading *loading, struct error *err)
{
    CLEANUP_FREE char *text = NULL;
    size_t length;
    int r;

    if (image__spool_find(loading->spool, "manifest.json")) {
        r = image__spool_text(loading->spool, "manifest.json", &text, &length, err);
        if (r == 0)
            r = image__offers_docker(text, length, &loading->offers, err);
    } else if (image__spool_find(loading->spool, "index.json")) {
        r = image__spool_text(loading->spool, "index.json", &text, &length, err);
        if (r == 0)
            r = add_from_index(loading, text, length, NULL, 0, err);
    } else {
        return error_set(err, EINVAL, "this is no image archive: it has neither manifest.json nor index.json");
    }
    if (r == 0 && loading->offers.count == 0)
        r = error_set(err, EINVAL, "the image archive lists no image");
    return r;
}

/* --- configs and what they ask for ---------------------------------------------------------- */

static bool has_task(const struct loading *loading, const char *diff_id)
{
    for (size_t i = 0; i < loading->task_count; i++)
        if (strcmp(loading->tasks[i].diff_id, diff_id) == 0)
            return true;
    return false;
}

static int read_config(struct loading *loading, size_t index, struct error *err)
{
    struct image_offer *offer = &loading->offers.list[index];
    char digest[DIGEST_TEXT_MAX];

    int r = image__spool_text(loading->spool, offer->config, &loading->config_texts[index],
                              &loading->config_lengths[index], err);
    if (r < 0)
        return r;
    digest_of(loading->config_texts[index], loading->config_lengths[index], digest);
    if (offer->config_digest && strcmp(offer->config_digest, digest) != 0)
        return error_set(err, EINVAL, "wrong digest: the config %s is %s", offer->config_digest, digest);
    /* "HEX.json" and "blobs/sha256/HEX" are promises, too. */
    CLEANUP_FREE char *base = mem_strdup(strrchr(offer->config, '/') ? strrchr(offer->config, '/') + 1 : offer->config);
    if (strlen(base) >= 64 && str_is_hex(base, 64) && (base[64] == '\0' || strcmp(base + 64, ".json") == 0) &&
        strncmp(base, digest_hex(digest), 64) != 0)
        return error_set(err, EINVAL, "wrong digest: the config %s is %s", base, digest);
    r = image__config_parse(loading->config_texts[index], loading->config_lengths[index], &loading->configs[index], err);
    if (r < 0)
        return r;
    for (char **name = offer->names; name && *name; name++) {
        CLEANUP_FREE char *key = NULL;

        r = image__name_key(*name, &key, err);
        if (r < 0)
            return r;
        if (image__name_is_digest(key) || str_starts(key, "sha256:"))
            return error_set(err, EINVAL, "the image archive gives an image the name \"%s\"", *name);
        free(*name);
        *name = TAKE_PTR(key);
    }
    char **diff_ids = loading->configs[index]->diff_ids;
    if (strv_length(diff_ids) != strv_length(offer->layers))
        return error_set(err, EINVAL, "invalid manifest, layers length mismatch: expected %zu, got %zu",
                         strv_length(diff_ids), strv_length(offer->layers));
    for (size_t i = 0; diff_ids && diff_ids[i]; i++) {
        if (has_task(loading, diff_ids[i]))
            continue;
        loading->tasks = mem_grow(loading->tasks, loading->task_count + 1, sizeof(*loading->tasks));
        struct task *task = &loading->tasks[loading->task_count++];
        *task = (struct task){
            .member = offer->layers[i],
            .diff_id = diff_ids[i],
            .digest = offer->layer_digests ? offer->layer_digests[i] : NULL,
            .layer = image__layer_pin(loading->store, diff_ids[i]),
        };
        if (task->layer)
            continue;
        const struct image_member *member = image__spool_find(loading->spool, task->member);
        if (!member)
            return error_set(err, EINVAL, "the image archive names \"%s\", which is not in it", task->member);
        task->size = member->size;
    }
    return 0;
}

/* --- the pool ------------------------------------------------------------------------------------ */

static int run_task(struct loading *loading, struct task *task, struct error *err)
{
    CLEANUP_CLOSE int fd = -EBADF;
    struct image_limits *limits = &loading->store->limits;

    int r = image__spool_open(loading->spool, task->member, &fd, NULL, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&loading->lock);
    uint64_t bytes = loading->unpacked, entries = loading->entries;
    pthread_mutex_unlock(&loading->lock);
    if (bytes >= limits->max_unpacked_bytes || entries >= limits->max_entries)
        return error_set(err, EFBIG, "the image is larger than the limit of %llu bytes unpacked",
                         (unsigned long long)limits->max_unpacked_bytes);
    struct image_layer_source source = {
        .fd = fd,
        .digest = task->digest,
        .diff_id = task->diff_id,
        .max_bytes = limits->max_unpacked_bytes - bytes,
        .max_entries = limits->max_entries - entries,
        .done = &task->done,
    };
    r = image__layer_unpack(loading->store, &source, &task->layer, err);
    pthread_mutex_lock(&loading->lock);
    loading->unpacked += source.unpacked;
    loading->entries += source.entries;
    pthread_mutex_unlock(&loading->lock);
    return r;
}

static void *worker_main(void *user)
{
    struct loading *loading = user;

    pthread_mutex_lock(&loading->lock);
    while (loading->error.code == 0 && loading->next_task < loading->task_count) {
        struct task *task = &loading->tasks[loading->next_task++];
        struct error err = ERROR_INIT;
        int r = 0;

        pthread_mutex_unlock(&loading->lock);
        if (!task->layer)
            r = run_task(loading, task, &err);
        pthread_mutex_lock(&loading->lock);
        if (r < 0 && loading->error.code == 0) {
            loading->error = err;
            loading->error.code = -r;
        }
        loading->finished++;
        pthread_cond_signal(&loading->changed);
    }
    pthread_mutex_unlock(&loading->lock);
    return NULL;
}

/* Callbacks belong to the caller's thread, so it tells how far the others are. */
static void tell_progress(struct loading *loading, bool all)
{
    for (size_t i = 0; loading->progress && i < loading->task_count; i++) {
        struct task *task = &loading->tasks[i];
        uint64_t done = __atomic_load_n(&task->done, __ATOMIC_RELAXED);
        char id[13];

        if (task->size == 0 || (done == 0 && !all))
            continue;
        snprintf(id, sizeof(id), "%.12s", digest_hex(task->diff_id));
        loading->progress(loading->user, id, "Loading layer", (int64_t)(all ? task->size : done), (int64_t)task->size);
    }
}

static int unpack_layers(struct loading *loading, struct error *err)
{
    pthread_t threads[THREADS_MAX];
    size_t started = 0, wanted = 0, missing = 0;
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);

    for (size_t i = 0; i < loading->task_count; i++)
        missing += loading->tasks[i].layer == NULL;
    wanted = cpus < 1 ? 1 : (size_t)cpus;
    if (wanted > THREADS_MAX)
        wanted = THREADS_MAX;
    if (wanted > missing)
        wanted = missing;
    while (started < wanted && pthread_create(&threads[started], NULL, worker_main, loading) == 0)
        started++;
    if (started == 0)
        worker_main(loading);

    pthread_mutex_lock(&loading->lock);
    while (started && loading->finished < loading->next_task + (loading->error.code ? 0 : loading->task_count - loading->next_task)) {
        struct timespec until;

        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 200000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        if (pthread_cond_timedwait(&loading->changed, &loading->lock, &until) == ETIMEDOUT) {
            pthread_mutex_unlock(&loading->lock);
            tell_progress(loading, false);
            pthread_mutex_lock(&loading->lock);
        }
    }
    pthread_mutex_unlock(&loading->lock);
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    if (loading->error.code)
        return error_set(err, loading->error.code, "%s", loading->error.message);
    tell_progress(loading, true);
    return 0;
}

/* --- making them known ------------------------------------------------------------------------------- */

static int add_image(struct loading *loading, size_t index, struct error *err)
{
    struct image_offer *offer = &loading->offers.list[index];
    char **diff_ids = loading->configs[index]->diff_ids;
    size_t count = strv_length(diff_ids);
    struct image_layer *layers[IMAGE_LAYERS_MAX];
    CLEANUP_FREE char *id = NULL;

    for (size_t i = 0; i < count; i++) /* image__add() takes a pin of its own each */
        layers[i] = image__layer_pin(loading->store, diff_ids[i]);
    int r = image__add(loading->store, loading->config_texts[index], loading->config_lengths[index], layers, count,
                       NULL, offer->names, loading->progress, loading->user, &id, err);
    if (r < 0 || !loading->progress)
        return r;
    for (char **name = offer->names; name && *name; name++) {
        CLEANUP_FREE char *line = mem_printf("Loaded image: %s", *name);
        loading->progress(loading->user, NULL, line, 0, 0);
    }
    if (!offer->names || !*offer->names) {
        CLEANUP_FREE char *line = mem_printf("Loaded image ID: %s", id);
        loading->progress(loading->user, NULL, line, 0, 0);
    }
    return 0;
}

int image_load(struct image_store *store, image_read_fn *read, image_progress_fn *progress, void *user,
               struct error *err)
{
    CLEANUP(loading_clear) struct loading loading = {.store = store, .progress = progress, .user = user};

    pthread_mutex_init(&loading.lock, NULL);
    pthread_cond_init(&loading.changed, NULL);
    int r = image__spool(store, read, user, &loading.spool, err);
    if (r == 0)
        r = read_offers(&loading, err);
    if (r < 0)
        return r;
    loading.configs = mem_array(loading.offers.count, sizeof(*loading.configs));
    loading.config_texts = mem_array(loading.offers.count, sizeof(*loading.config_texts));
    loading.config_lengths = mem_array(loading.offers.count, sizeof(*loading.config_lengths));
    for (size_t i = 0; r == 0 && i < loading.offers.count; i++)
        r = read_config(&loading, i, err);
    if (r == 0)
        r = unpack_layers(&loading, err);
    for (size_t i = 0; r == 0 && i < loading.offers.count; i++)
        r = add_image(&loading, i, err);
    return r;
}
