/* build.c - new images: import of a root file system, commit of a container, steps of a build. Owner: image. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "image/store.h"

/* The digest of a tar with nothing in it: no layer is made for it, as Docker. */
#define EMPTY_TAR "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"

/* An image made here is for Linux, whatever the machine. */
static int platform_parse(const char *text, struct image_platform *ret, struct error *err)
{
    CLEANUP(image__platform_clear) struct image_platform found = {0};

    int r = image__platform_parse(text, &found, err);
    if (r < 0)
        return r;
    if (strcmp(found.os, "linux") != 0)
        return error_set(err, EINVAL, "operating system is not supported: %s", found.os);
    *ret = found;
    found = (struct image_platform){0};
    return 0;
}

static int name_key(const char *repository, const char *tag, char ***ret, struct error *err)
{
    CLEANUP_FREE char *text = NULL;
    CLEANUP_FREE char *key = NULL;

    if (!repository || !*repository)
        return 0;
    int r = image_name_join(repository, tag, &text, err);
    if (r == 0)
        r = image__name_key(text, &key, err);
    if (r < 0)
        return r;
    if (image__name_is_digest(key))
        return error_set(err, EINVAL, "cannot import digest reference");
    strv_push(ret, key);
    return 0;
}

static int unpack(struct image_store *store, image_read_fn *read, void *user, struct image_layer **ret, struct error *err)
{
    struct image_layer_source source = {
        .fd = -EBADF,
        .read = read,
        .user = user,
        .flags = ARCHIVE_STRICT_END,
        .max_bytes = store->limits.max_unpacked_bytes,
        .max_entries = store->limits.max_entries,
    };
    return image__layer_unpack(store, &source, ret, err);
}

static void add_history(cJSON *list, const char *created, const char *created_by, const char *author,
                        const char *comment, bool empty)
{
    cJSON *entry = cJSON_CreateObject();

    json_add_string(entry, "created", created);
    if (created_by && *created_by)
        json_add_string(entry, "created_by", created_by);
    if (author && *author)
        json_add_string(entry, "author", author);
    if (comment && *comment)
        json_add_string(entry, "comment", comment);
    if (empty)
        json_add_bool(entry, "empty_layer", true);
    cJSON_AddItemToArray(list, entry);
}

int image_import(struct image_store *store, image_read_fn *read, void *user, const char *repo, const char *tag,
                 const char *message, char *const *changes, const char *platform_text, char **ret_id,
                 struct error *err)
{
    CLEANUP(image__platform_clear) struct image_platform platform = {0};
    CLEANUP_JSON cJSON *json = cJSON_CreateObject();
    CLEANUP_STRV char **keys = NULL;
    struct image_layer *layer = NULL;
    char created[TIME_TEXT_MAX];

    /* What is cheap to refuse is refused before the stream is read. */
    int r = platform_parse(platform_text, &platform, err);
    if (r == 0)
        r = name_key(repo, tag, &keys, err);
    cJSON *config = json_add_object(json, "config");
    if (r == 0)
        r = image_apply_changes(config, changes, err);
    if (r == 0)
        r = unpack(store, read, user, &layer, err);
    if (r < 0)
        return r;

    time_format(clock_real_ns(), created);
    json_add_string(json, "architecture", platform.architecture);
    if (platform.variant)
        json_add_string(json, "variant", platform.variant);
    if (message && *message)
        json_add_string(json, "comment", message);
    json_add_string(json, "created", created);
    add_history(json_add_array(json, "history"), created, NULL, NULL, message, false);
    json_add_string(json, "os", platform.os);
    cJSON *rootfs = json_add_object(json, "rootfs");
    json_add_string(rootfs, "type", "layers");
    json_push_string(json_add_array(rootfs, "diff_ids"), layer->diff_id);
    CLEANUP_FREE char *text = json_print(json);
    return image__add(store, text, strlen(text), &layer, 1, NULL, keys, NULL, NULL, ret_id, err);
}

/* The parent's layers, each pinned, and its config's other parts. */
static int take_parent(struct image_store *store, const char *parent_id, struct image_layer **layers, size_t *ret_count,
                       struct image **ret, struct error *err)
{
    struct image_record *record;

    pthread_rwlock_wrlock(&store->lock);
    int r = image__resolve_held(store, parent_id, &record, err);
    if (r == 0 && record->layer_count >= IMAGE_LAYERS_MAX)
        r = error_set(err, EINVAL, "max depth exceeded: an image has at most %d layers", IMAGE_LAYERS_MAX);
    if (r == 0) {
        for (size_t i = 0; i < record->layer_count; i++) {
            layers[i] = record->layers[i];
            layers[i]->references++;
        }
        *ret_count = record->layer_count;
        *ret = image__copy(store, record);
    }
    pthread_rwlock_unlock(&store->lock);
    return r;
}

/* As Docker shows it: the command that made the layer. */
static char *command_text(const cJSON *config)
{
    CLEANUP_STRV char **words = json_strv(config, "Cmd");

    return strv_join(words, " ");
}

static cJSON *child_of(cJSON *from, const char *key)
{
    cJSON *item = from ? cJSON_GetObjectItemCaseSensitive(from, key) : NULL;

    return item ? cJSON_Duplicate(item, true) : NULL;
}

struct pins {
    struct image_store *store;
    struct image_layer *layers[IMAGE_LAYERS_MAX + 1];
    size_t count;
};

static void pins_clear(struct pins *pins)
{
    for (size_t i = 0; i < pins->count; i++)
        image__layer_unpin(pins->store, pins->layers[i]);
    pins->count = 0;
}

/* What a new image's config says besides Config and layers. */
struct making {
    struct image_platform platform;
    const char *created_by, *author, *comment;
    const char *container_id; /* NULL: of none */
    const cJSON *container;   /* its configuration */
    bool built;
};

/* What a step ran: "|1 A=b /bin/sh -c words" is three words, "/bin/sh", "-c" and one. */
static void set_command(cJSON *container, const char *text)
{
    cJSON *command = cJSON_CreateArray();
    bool shell = false;

    while (text && *text) {
        size_t length = shell ? strlen(text) : strcspn(text, " ");
        CLEANUP_FREE char *word = mem_strndup(text, length);
        shell = strcmp(word, "-c") == 0;
        json_push_string(command, word);
        text += length + (text[length] != '\0');
    }
    cJSON_DeleteItemFromObjectCaseSensitive(container, "Cmd");
    json_add(container, "Cmd", command);
}

/* Consumes the pins, the topmost of which is new where `added`. */
static int make_image(struct image_store *store, const struct image *parent, struct pins *pins, bool added,
                      cJSON *config, const struct making *making, char *const *keys, char **ret_id, struct error *err)
{
    CLEANUP_JSON cJSON *json = cJSON_CreateObject();
    char created[TIME_TEXT_MAX];

    json_add(json, "config", config);
    time_format(clock_real_ns(), created);
    bool inherit = parent && *parent->architecture;
    const char *variant = inherit ? parent->variant : making->platform.variant;
    json_add_string(json, "architecture", inherit ? parent->architecture : making->platform.architecture);
    if (variant && *variant)
        json_add_string(json, "variant", variant);
    if (making->author && *making->author)
        json_add_string(json, "author", making->author);
    if (making->comment && *making->comment)
        json_add_string(json, "comment", making->comment);
    if (making->container_id)
        json_add_string(json, "container", making->container_id);
    cJSON *container = cJSON_Duplicate(making->container ? making->container : config, true);
    json_add(json, "container_config", container);
    if (!making->container && container)
        set_command(container, making->created_by);
    json_add_string(json, "created", created);
    cJSON *history = child_of(parent ? parent->config : NULL, "history");
    if (!cJSON_IsArray(history)) {
        cJSON_Delete(history);
        history = cJSON_CreateArray();
    }
    add_history(history, created, making->created_by, making->author, making->comment, !added);
    json_add(json, "history", history);
    json_add_string(json, "os", making->platform.os);
    cJSON *rootfs = json_add_object(json, "rootfs");
    json_add_string(rootfs, "type", "layers");
    cJSON *diff_ids = json_add_array(rootfs, "diff_ids");
    for (size_t i = 0; i < pins->count; i++)
        json_push_string(diff_ids, pins->layers[i]->diff_id);
    CLEANUP_FREE char *text = json_print(json);
    size_t count = pins->count;
    pins->count = 0; /* image__add() takes them */
    return image__add_built(store, text, strlen(text), pins->layers, count, parent ? parent->id : NULL, making->built,
                            keys, ret_id, err);
}

/* The new layer, unless there is nothing in it. */
static int add_layer(struct image_store *store, image_read_fn *read, void *user, struct pins *pins, bool *ret_added,
                     struct error *err)
{
    struct image_layer *layer = NULL;

    int r = unpack(store, read, user, &layer, err);
    if (r < 0)
        return r;
    *ret_added = strcmp(layer->diff_id, EMPTY_TAR) != 0;
    if (*ret_added)
        pins->layers[pins->count++] = layer;
    else
        image__layer_unpin(store, layer);
    return 0;
}

int image_commit(struct image_store *store, const char *parent_id, const char *container_id, image_read_fn *read, void *user,
                 const cJSON *container, const cJSON *config, const char *author, const char *comment, const char *name,
                 char **ret_id, struct error *err)
{
    CLEANUP(pins_clear) struct pins pins = {.store = store};
    CLEANUP(image_freep) struct image *parent = NULL;
    CLEANUP_FREE char *command = command_text(container);
    CLEANUP_STRV char **keys = NULL;
    struct making making = {
        .created_by = command, .author = author, .comment = comment, .container_id = container_id, .container = container};
    bool added = false;

    int r = platform_parse(NULL, &making.platform, err);
    if (r == 0)
        r = name_key(name, NULL, &keys, err);
    if (r == 0 && parent_id && *parent_id)
        r = take_parent(store, parent_id, pins.layers, &pins.count, &parent, err);
    if (r == 0)
        r = add_layer(store, read, user, &pins, &added, err);
    if (r == 0)
        r = make_image(store, parent, &pins, added, config ? cJSON_Duplicate(config, true) : cJSON_CreateObject(), &making, keys, ret_id, err);
    image__platform_clear(&making.platform);
    return r;
}

int image_step(struct image_store *store, const char *parent_id, image_read_fn *read, void *user,
               const struct image_step *step, char **ret_id, struct error *err)
{
    CLEANUP(pins_clear) struct pins pins = {.store = store};
    CLEANUP(image_freep) struct image *parent = NULL;
    struct making making = {.created_by = step->created_by, .author = step->author, .built = true};
    bool added = false;

    int r = platform_parse(step->platform, &making.platform, err);
    if (r == 0 && parent_id && *parent_id)
        r = take_parent(store, parent_id, pins.layers, &pins.count, &parent, err);
    if (r == 0 && step->diff_id) {
        pins.layers[pins.count] = image__layer_pin(store, step->diff_id);
        added = pins.layers[pins.count] != NULL;
        pins.count += added;
        if (!added)
            r = error_set(err, ENOENT, "No such layer: %s", step->diff_id);
    } else if (r == 0 && read) {
        r = add_layer(store, read, user, &pins, &added, err);
    }
    if (r == 0)
        r = make_image(store, parent, &pins, added, cJSON_Duplicate(step->config, true), &making, NULL, ret_id, err);
    image__platform_clear(&making.platform);
    return r;
}
