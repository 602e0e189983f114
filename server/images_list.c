#include "images_list.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "routes.h"
#include "shapes.h"
#include "tabique/engine.h"
#include "tabique/image.h"

/* --- how much of an image others have, too ---------------------------------------------- */

struct layer_use {
    char *diff_id;
    int64_t size;
    int images;
};

struct gather {
    struct request *request;
    const cJSON *filters;
    bool all, shared_sizes, counts;
    char **parents; /* of nameless images and others: with repetitions */
    int64_t before_ns, since_ns, until_ns;
    bool has_dangling, dangling;
    struct layer_use *layers;
    size_t layer_count, layer_capacity;
    char **used_images; /* image id of each container, with repetitions */
    cJSON *array;
};

static struct layer_use *layer_of(struct gather *gather, const char *diff_id)
{
    for (size_t i = 0; i < gather->layer_count; i++) {
        if (strcmp(gather->layers[i].diff_id, diff_id) == 0)
            return &gather->layers[i];
    }
    if (gather->layer_count == gather->layer_capacity) {
        gather->layer_capacity = gather->layer_capacity ? gather->layer_capacity * 2 : 64;
        gather->layers = mem_grow(gather->layers, gather->layer_capacity, sizeof(*gather->layers));
    }
    gather->layers[gather->layer_count] = (struct layer_use){.diff_id = mem_strdup(diff_id)};
    return &gather->layers[gather->layer_count++];
}

static int count_layers(void *user, const struct image *image)
{
    for (size_t i = 0; image->diff_ids && image->diff_ids[i]; i++) {
        struct layer_use *use = layer_of(user, image->diff_ids[i]);

        use->size = image->layer_sizes[i];
        use->images++;
    }
    return 0;
}

static int64_t shared_size(struct gather *gather, const struct image *image)
{
    if (!gather->shared_sizes)
        return -1;
    int64_t size = 0;
    for (char **diff_id = image->diff_ids; diff_id && *diff_id; diff_id++) {
        const struct layer_use *use = layer_of(gather, *diff_id);
        size += use->images > 1 ? use->size : 0;
    }
    return size;
}

/* --- filters --------------------------------------------------------------------------------- */

/* Shell patterns on the name with its tag, or on the name alone. */
static bool name_matches(const char *name, const cJSON *patterns)
{
    const char *slash = strrchr(name, '/'), *colon = strrchr(slash ? slash : name, ':');
    CLEANUP_FREE char *bare = colon ? mem_strndup(name, (size_t)(colon - name)) : mem_strdup(name);
    const cJSON *pattern;

    cJSON_ArrayForEach (pattern, patterns) {
        if (!cJSON_IsString(pattern) || strlen(pattern->valuestring) > 512)
            continue;
        if (fnmatch(pattern->valuestring, name, FNM_PATHNAME) == 0 ||
            fnmatch(pattern->valuestring, bare, FNM_PATHNAME) == 0)
            return true;
    }
    return false;
}

static bool matches_reference(const struct image *image, const cJSON *filters)
{
    const cJSON *patterns = filter_values(filters, "reference");

    if (!patterns)
        return true;
    for (char **name = image->names; name && *name; name++)
        if (name_matches(*name, patterns))
            return true;
    for (char **digest = image->digests; digest && *digest; digest++)
        if (name_matches(*digest, patterns))
            return true;
    return false;
}

/* Of an image's names only those that were asked for are shown. */
static void drop_other_names(cJSON *summary, const cJSON *filters)
{
    const cJSON *patterns = filter_values(filters, "reference");
    cJSON *names = json_get(summary, "RepoTags");

    for (cJSON *name = patterns && names ? names->child : NULL, *next; name; name = next) {
        next = name->next;
        if (!name_matches(name->valuestring, patterns))
            cJSON_Delete(cJSON_DetachItemViaPointer(names, name));
    }
}

/* As Go's path.Match sees it: an open bracket, or a backslash with nothing behind. */
static int check_references(const cJSON *filters, struct error *err)
{
    const cJSON *value;
    cJSON_ArrayForEach (value, filter_values(filters, "reference")) {
        bool open = false;
        for (const char *c = cJSON_IsString(value) ? value->valuestring : ""; *c; c++) {
            if (*c == '\\' && *++c == '\0')
                return error_set(err, EINVAL, "syntax error in pattern");
            open = *c == '[' ? true : *c == ']' ? false : open;
        }
        if (open)
            return error_set(err, EINVAL, "syntax error in pattern");
    }
    return 0;
}

static int filter_image_time(struct request *request, const cJSON *filters, const char *key, int64_t *ret,
                             struct error *err)
{
    const char *ref = filter_first(filters, key);
    if (!ref)
        return 0;
    struct image *image = NULL;
    const int r = image_get(engine_images(request_engine(request)), ref, &image, err);
    if (r < 0)
        return r;
    *ret = image->created_ns;
    image_free(image);
    return 0;
}

static int prepare(struct gather *gather, struct error *err)
{
    const cJSON *filters = gather->filters;
    int r = filter_bool(filters, "dangling", false, &gather->dangling, err);
    if (r >= 0)
        r = check_references(filters, err);
    if (r >= 0)
        r = filter_image_time(gather->request, filters, "before", &gather->before_ns, err);
    if (r >= 0)
        r = filter_image_time(gather->request, filters, "since", &gather->since_ns, err);
    if (r < 0)
        return r;
    gather->has_dangling = filter_values(filters, "dangling") != NULL;
    const char *until = filter_first(filters, "until");
    if (until && time_parse(until, &gather->until_ns) < 0)
        return error_set(err, EINVAL, "invalid filter 'until=%s'", until);
    return 0;
}

static int add_image(void *user, const struct image *image)
{
    struct gather *gather = user;
    const bool nameless = !image->names || !image->names[0];
    /* What others were built from is a step: neither shown by itself nor dangling. */
    const bool step = nameless && strv_contains(gather->parents, image->id);
    const bool dangling = nameless && !step;
    const cJSON *labels = json_get(json_get(image->config, "config"), "Labels");

    if ((step && (!gather->all || gather->has_dangling)) || (gather->has_dangling && gather->dangling != dangling) ||
        (gather->before_ns && image->created_ns >= gather->before_ns) ||
        (gather->since_ns && image->created_ns <= gather->since_ns) ||
        (gather->until_ns && image->created_ns > gather->until_ns) ||
        !filter_match_labels(gather->filters, "label", labels) || !matches_reference(image, gather->filters))
        return 0;

    int containers = 0;
    for (char **used = gather->used_images; used && *used; used++)
        containers += strcmp(*used, image->id) == 0;
    cJSON *summary = shape_image_summary(image, request_api_version(gather->request), shared_size(gather, image),
                                         gather->counts ? containers : -1);
    drop_other_names(summary, gather->filters);
    cJSON_AddItemToArray(gather->array, summary);
    return 0;
}

static int note_parent(void *user, const struct image *image)
{
    struct gather *gather = user;
    if (image->parent && image->parent[0])
        strv_push(&gather->parents, image->parent);
    return 0;
}

static int note_image(void *user, struct container *container)
{
    struct gather *gather = user;
    CLEANUP_CONTAINER_INFO struct container_info *info = NULL;
    if (container_info(container, &info) >= 0)
        strv_push(&gather->used_images, info->image_id);
    return 0;
}

int images_summaries(struct request *request, const cJSON *filters, bool all, bool shared_sizes, bool counts, cJSON **ret,
                     struct error *err)
{
    struct image_store *store = engine_images(request_engine(request));
    struct gather gather = {
        .request = request, .filters = filters, .all = all, .shared_sizes = shared_sizes, .counts = counts};
    int r = prepare(&gather, err);
    if (r < 0)
        return r;
    image_each(store, note_parent, &gather);
    if (shared_sizes)
        image_each(store, count_layers, &gather);
    if (counts)
        container_each(request_engine(request), note_image, &gather);
    gather.array = cJSON_CreateArray();
    image_each(store, add_image, &gather);

    for (size_t i = 0; i < gather.layer_count; i++)
        free(gather.layers[i].diff_id);
    free(gather.layers);
    strv_free(gather.used_images);
    strv_free(gather.parents);
    *ret = gather.array;
    return 0;
}
