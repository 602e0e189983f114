/* save.c - images into one archive: docker save's manifest.json and an OCI layout
 * around the same blobs, as Docker writes it since version 25. Owner: image.
 */
#include <errno.h>
#include <string.h>

#include "archive/tar.h"
#include "base/fd.h"
#include "base/mem.h"
#include "image/store.h"

struct saved {
    char id[DIGEST_TEXT_MAX];
    char manifest_digest[DIGEST_TEXT_MAX];
    char *config, *manifest;
    size_t config_length;
    int64_t created_ns;
    struct image_layer **layers; /* pinned, bottom first */
    size_t layer_count;
    char **tags;                 /* keys asked for */
};

struct saving {
    struct image_store *store;
    struct tar_writer tar;
    struct saved *images;
    size_t count;
    char **written; /* digests of blobs that are in the archive */
};

static void saving_clear(struct saving *saving)
{
    for (size_t i = 0; i < saving->count; i++) {
        struct saved *image = &saving->images[i];

        for (size_t j = 0; j < image->layer_count; j++)
            image__layer_unpin(saving->store, image->layers[j]);
        free(image->layers);
        free(image->config);
        free(image->manifest);
        strv_free(image->tags);
    }
    free(saving->images);
    strv_free(saving->written);
}

/* --- what to save ------------------------------------------------------------------------- */

static struct saved *find_saved(struct saving *saving, const char *id)
{
    for (size_t i = 0; i < saving->count; i++)
        if (strcmp(saving->images[i].id, id) == 0)
            return &saving->images[i];
    return NULL;
}

/* Lock held for writing (pins). */
static struct saved *take(struct saving *saving, struct image_record *record)
{
    struct saved *image = find_saved(saving, record->id);

    if (image)
        return image;
    saving->images = mem_grow(saving->images, saving->count + 1, sizeof(*saving->images));
    image = &saving->images[saving->count++];
    *image = (struct saved){.created_ns = record->config->created_ns, .layer_count = record->layer_count};
    memcpy(image->id, record->id, DIGEST_TEXT_MAX);
    image->layers = mem_array(record->layer_count + 1, sizeof(*image->layers));
    for (size_t i = 0; i < record->layer_count; i++) {
        image->layers[i] = record->layers[i];
        image->layers[i]->references++;
    }
    return image;
}

static int select_one(struct saving *saving, const char *ref, struct error *err)
{
    struct image_store *store = saving->store;
    CLEANUP_FREE char *repository = NULL;
    CLEANUP_FREE char *tag = NULL;
    CLEANUP_FREE char *digest = NULL;
    CLEANUP_FREE char *key = NULL;
    struct image_record *record;
    struct image_name *name, *next;
    bool any = false;

    /* A repository without a tag means all of its tags. */
    if (image_name_parse(ref, &repository, &tag, &digest, NULL) == 0 && !tag && !digest) {
        HASH_ITER(hh, store->names, name, next) {
            CLEANUP_FREE char *of = image__name_repository(name->text);

            if (image__name_is_digest(name->text) || strcmp(of, repository) != 0)
                continue;
            struct saved *image = take(saving, name->record);
            if (!strv_contains(image->tags, name->text))
                strv_push(&image->tags, name->text);
            any = true;
        }
        if (any)
            return 0;
    }
    int r = image__resolve(store, ref, &record, &key, err);
    /* As Docker: a name with a tag or a digest is a reference, all else an image. */
    if (r == -ENOENT && (tag || digest) && strcmp(repository, "sha256") != 0)
        return error_set(err, ENOENT, "reference does not exist");
    if (r == -ENOENT)
        return error_set(err, ENOENT, "No such image: %s", ref);
    if (r < 0)
        return r;
    struct saved *image = take(saving, record);
    if (key && !image__name_is_digest(key) && !strv_contains(image->tags, key))
        strv_push(&image->tags, key);
    return 0;
}

static void add_descriptor(cJSON *json, const char *media_type, const char *digest, int64_t size)
{
    json_add_string(json, "mediaType", media_type);
    json_add_string(json, "digest", digest);
    json_add_int(json, "size", size);
}

static int prepare(struct saving *saving, struct saved *image, struct error *err)
{
    CLEANUP_JSON cJSON *json = cJSON_CreateObject();

    int r = file_read(saving->store->blobs_fd, digest_hex(image->id), IMAGE_CONFIG_MAX, &image->config,
                      &image->config_length);
    if (r < 0)
        return image__failed(err, r, "cannot read a config");
    json_add_int(json, "schemaVersion", 2);
    json_add_string(json, "mediaType", "application/vnd.oci.image.manifest.v1+json");
    add_descriptor(json_add_object(json, "config"), "application/vnd.oci.image.config.v1+json", image->id,
                   (int64_t)image->config_length);
    cJSON *layers = json_add_array(json, "layers");
    for (size_t i = 0; i < image->layer_count; i++) {
        cJSON *layer = cJSON_CreateObject();

        add_descriptor(layer, "application/vnd.oci.image.layer.v1.tar", image->layers[i]->diff_id,
                       (int64_t)image->layers[i]->tar_size);
        cJSON_AddItemToArray(layers, layer);
    }
    image->manifest = json_print(json);
    digest_of(image->manifest, strlen(image->manifest), image->manifest_digest);
    return 0;
}

/* --- the archive ------------------------------------------------------------------------------ */

static int written(struct error *err, int r)
{
    return r < 0 ? error_errno(err, r, "cannot write the image archive") : 0;
}

static int write_text(struct saving *saving, const char *path, const void *text, size_t length, int64_t mtime_ns,
                      struct error *err)
{
    struct tar_entry entry = {.type = TAR_FILE, .path = (char *)path, .mode = 0644, .size = length,
                              .mtime_ns = mtime_ns / 1000000000 * 1000000000};

    int r = tar_write_entry(&saving->tar, &entry);
    if (r == 0)
        r = tar_write_data(&saving->tar, text, length);
    if (r == 0)
        r = tar_write_close(&saving->tar);
    return written(err, r);
}

static int write_json(struct saving *saving, const char *path, const cJSON *json, struct error *err)
{
    CLEANUP_FREE char *text = json_print(json);

    return write_text(saving, path, text, strlen(text), 0, err);
}

static int write_directory(struct saving *saving, const char *path, struct error *err)
{
    struct tar_entry entry = {.type = TAR_DIRECTORY, .path = (char *)path, .mode = 0755};

    return written(err, tar_write_entry(&saving->tar, &entry));
}

/* Whether this blob is still to be written; then it counts as written. */
static bool first_time(struct saving *saving, const char *digest)
{
    if (strv_contains(saving->written, digest))
        return false;
    strv_push(&saving->written, digest);
    return true;
}

static int write_blob(struct saving *saving, const char *digest, const void *text, size_t length, int64_t mtime_ns,
                      struct error *err)
{
    CLEANUP_FREE char *path = mem_printf("blobs/sha256/%s", digest_hex(digest));

    return first_time(saving, digest) ? write_text(saving, path, text, length, mtime_ns, err) : 0;
}

struct layer_sink {
    struct tar_writer *tar;
    struct digest *digest;
};

static int write_layer_data(void *user, const void *data, size_t length)
{
    struct layer_sink *sink = user;

    if (length > sink->tar->left)
        return -EIO;
    digest_update(sink->digest, data, length);
    return tar_write_data(sink->tar, data, length);
}

static int write_layer(struct saving *saving, const struct image_layer *layer, struct error *err)
{
    CLEANUP_FREE char *path = mem_printf("blobs/sha256/%s", digest_hex(layer->diff_id));
    CLEANUP_DIGEST struct digest *digest = digest_new();
    struct layer_sink sink = {&saving->tar, digest};
    struct tar_entry entry = {.type = TAR_FILE, .path = path, .mode = 0644, .size = layer->tar_size};
    char found[DIGEST_TEXT_MAX];

    if (!first_time(saving, layer->diff_id))
        return 0;
    int r = written(err, tar_write_entry(&saving->tar, &entry));
    if (r == 0)
        r = image__layer_tar(saving->store, layer, write_layer_data, &sink, err);
    if (r < 0)
        return r;
    digest_finish(digest, found);
    if (saving->tar.left != 0 || strcmp(found, layer->diff_id) != 0)
        return error_set(err, EIO, "the image store is damaged: layer %s reads back as %s", layer->diff_id, found);
    return written(err, tar_write_close(&saving->tar));
}

/* index.json: one entry a name, or one without. */
static cJSON *build_index(const struct saving *saving)
{
    cJSON *json = cJSON_CreateObject();

    json_add_int(json, "schemaVersion", 2);
    json_add_string(json, "mediaType", "application/vnd.oci.image.index.v1+json");
    cJSON *manifests = json_add_array(json, "manifests");
    for (size_t i = 0; i < saving->count; i++) {
        const struct saved *image = &saving->images[i];
        size_t tags = strv_length(image->tags);

        for (size_t j = 0; j < (tags ? tags : 1); j++) {
            cJSON *entry = cJSON_CreateObject();

            add_descriptor(entry, "application/vnd.oci.image.manifest.v1+json", image->manifest_digest,
                           (int64_t)strlen(image->manifest));
            if (tags) {
                CLEANUP_FREE char *repository = image__name_repository(image->tags[j]);
                CLEANUP_FREE char *canonical = image_name_canonical(repository);
                CLEANUP_FREE char *full = mem_printf("%s:%s", canonical, image__name_tag(image->tags[j]));
                cJSON *annotations = json_add_object(entry, "annotations");

                json_add_string(annotations, "io.containerd.image.name", full);
                json_add_string(annotations, "org.opencontainers.image.ref.name", image__name_tag(image->tags[j]));
            }
            cJSON_AddItemToArray(manifests, entry);
        }
    }
    return json;
}

static cJSON *build_manifest(const struct saving *saving)
{
    cJSON *json = cJSON_CreateArray();

    for (size_t i = 0; i < saving->count; i++) {
        const struct saved *image = &saving->images[i];
        CLEANUP_FREE char *config = mem_printf("blobs/sha256/%s", digest_hex(image->id));
        cJSON *entry = cJSON_CreateObject();

        json_add_string(entry, "Config", config);
        if (image->tags)
            json_add(entry, "RepoTags", json_from_strv(image->tags));
        else
            json_add_null(entry, "RepoTags");
        cJSON *layers = json_add_array(entry, "Layers");
        cJSON *sources = json_add_object(entry, "LayerSources");
        for (size_t j = 0; j < image->layer_count; j++) {
            const struct image_layer *layer = image->layers[j];
            CLEANUP_FREE char *path = mem_printf("blobs/sha256/%s", digest_hex(layer->diff_id));

            json_push_string(layers, path);
            if (!cJSON_GetObjectItemCaseSensitive(sources, layer->diff_id))
                add_descriptor(json_add_object(sources, layer->diff_id), "application/vnd.oci.image.layer.v1.tar",
                               layer->diff_id, (int64_t)layer->tar_size);
        }
        cJSON_AddItemToArray(json, entry);
    }
    return json;
}

/* The oldest readers' list: repository -> tag -> top layer. */
static cJSON *build_repositories(const struct saving *saving)
{
    cJSON *json = cJSON_CreateObject();

    for (size_t i = 0; i < saving->count; i++) {
        const struct saved *image = &saving->images[i];

        for (char **tag = image->tags; tag && *tag && image->layer_count; tag++) {
            CLEANUP_FREE char *repository = image__name_repository(*tag);
            cJSON *tags = cJSON_GetObjectItemCaseSensitive(json, repository);

            if (!tags)
                tags = json_add_object(json, repository);
            json_add_string(tags, image__name_tag(*tag), digest_hex(image->layers[image->layer_count - 1]->diff_id));
        }
    }
    return json;
}

static int write_archive(struct saving *saving, struct error *err)
{
    static const char layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
    CLEANUP_JSON cJSON *index = build_index(saving);
    CLEANUP_JSON cJSON *manifest = build_manifest(saving);
    CLEANUP_JSON cJSON *repositories = build_repositories(saving);

    int r = write_directory(saving, "blobs/", err);
    if (r == 0)
        r = write_directory(saving, "blobs/sha256/", err);
    for (size_t i = 0; r == 0 && i < saving->count; i++) {
        struct saved *image = &saving->images[i];

        r = write_blob(saving, image->id, image->config, image->config_length, image->created_ns, err);
        if (r == 0)
            r = write_blob(saving, image->manifest_digest, image->manifest, strlen(image->manifest),
                           image->created_ns, err);
        for (size_t j = 0; r == 0 && j < image->layer_count; j++)
            r = write_layer(saving, image->layers[j], err);
    }
    if (r == 0)
        r = write_json(saving, "index.json", index, err);
    if (r == 0)
        r = write_json(saving, "manifest.json", manifest, err);
    if (r == 0)
        r = write_text(saving, "oci-layout", layout, strlen(layout), 0, err);
    if (r == 0 && repositories->child)
        r = write_json(saving, "repositories", repositories, err);
    return r < 0 ? r : written(err, tar_write_end(&saving->tar));
}

int image_save(struct image_store *store, char *const *refs, image_write_fn *write, void *user, struct error *err)
{
    CLEANUP(saving_clear) struct saving saving = {.store = store, .tar = {.write = write, .user = user}};
    int r = 0;

    pthread_rwlock_wrlock(&store->lock);
    for (char *const *ref = refs; r == 0 && ref && *ref; ref++)
        r = select_one(&saving, *ref, err);
    pthread_rwlock_unlock(&store->lock);
    if (r == 0 && saving.count == 0)
        r = error_set(err, EINVAL, "no image was named");
    for (size_t i = 0; r == 0 && i < saving.count; i++)
        r = prepare(&saving, &saving.images[i], err);
    return r < 0 ? r : write_archive(&saving, err);
}
