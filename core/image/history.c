/* history.c - how an image came to be. Owner: image. */
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "image/store.h"

void image_history_free(struct image_history *history, size_t count)
{
    for (size_t i = 0; history && i < count; i++) {
        free(history[i].id);
        free(history[i].created_by);
        free(history[i].comment);
        strv_free(history[i].tags);
    }
    free(history);
}

static char **tags_of(struct image_store *store, const struct image_record *record)
{
    CLEANUP_STRV char **names = image__names_of(store, record);
    char **tags = NULL;

    for (char **name = names; name && *name; name++)
        if (!image__name_is_digest(*name))
            strv_push(&tags, *name);
    return tags;
}

/* Ids of this image and of the parents that are still here, newest first. */
static void fill_ids(struct image_store *store, const struct image_record *record, struct image_history *list,
                     size_t count)
{
    for (size_t i = 0; i < count && record; i++) {
        free(list[i].id);
        list[i].id = mem_strdup(record->id);
        list[i].tags = tags_of(store, record);
        record = *record->parent ? image__find(store, record->parent) : NULL;
    }
}

int image_history(struct image_store *store, const char *ref, struct image_history **ret, size_t *ret_count,
                  struct error *err)
{
    struct image_record *record;

    pthread_rwlock_rdlock(&store->lock);
    int r = image__resolve(store, ref, &record, NULL, err);
    if (r == 0) {
        const cJSON *history = json_get(record->config->json, "history");
        size_t count = cJSON_IsArray(history) ? (size_t)cJSON_GetArraySize(history) : 0, layer = 0, at = count;
        struct image_history *list = mem_array(count + 1, sizeof(*list));
        const cJSON *entry;

        if (count == 0)
            history = NULL;
        cJSON_ArrayForEach(entry, history) {
            struct image_history *each = &list[--at];

            each->id = mem_strdup("<missing>");
            if (time_parse(json_string(entry, "created", ""), &each->created_ns) < 0)
                each->created_ns = 0;
            each->created_by = mem_strdup(json_string(entry, "created_by", ""));
            each->comment = mem_strdup(json_string(entry, "comment", ""));
            if (!json_bool(entry, "empty_layer", false) && layer < record->layer_count)
                each->size = record->layers[layer++]->size;
        }
        fill_ids(store, record, list, count);
        *ret = list;
        *ret_count = count;
    }
    pthread_rwlock_unlock(&store->lock);
    return r;
}
