/* cache.c - finding a build's steps again, and forgetting them; forgetting disks. Owner: image.
 *
 * A step's image is its own cache entry: its parent, Config and last history line
 * say what made it, so nothing else needs to be kept, and what is removed or
 * changed otherwise can never be wrongly found.
 */
#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/mem.h"
#include "image/store.h"

static const cJSON *last_history(const struct image_record *record)
{
    const cJSON *history = json_get(record->config->json, "history");
    int count = cJSON_GetArraySize(history);

    return count > 0 ? cJSON_GetArrayItem(history, count - 1) : NULL;
}

static bool is_step(const struct image_record *record, const char *parent_id, const struct image_step *step)
{
    const cJSON *config = json_get(record->config->json, "config");
    const char *top = record->layer_count ? record->layers[record->layer_count - 1]->diff_id : "";

    return (!step->diff_id || strcmp(top, step->diff_id) == 0) && strcmp(record->parent, parent_id) == 0 &&
           strcmp(json_string(last_history(record), "created_by", ""), step->created_by) == 0 &&
           strcmp(json_string(record->config->json, "author", ""), step->author ? step->author : "") == 0 &&
           cJSON_Compare(config, step->config, true);
}

int image_step_find(struct image_store *store, const char *parent_id, const struct image_step *step, char **ret_id)
{
    struct image_record *record, *next, *best = NULL;
    const char *parent = parent_id ? parent_id : "";

    pthread_rwlock_wrlock(&store->lock);
    HASH_ITER(hh, store->records, record, next)
        if (record->built && !record->orphan && is_step(record, parent, step) &&
            (!best || record->config->created_ns > best->config->created_ns))
            best = record;
    if (best) {
        best->holds++;
        *ret_id = mem_strdup(best->id);
    }
    pthread_rwlock_unlock(&store->lock);
    return best ? 0 : -ENOENT;
}

static bool same_step(const cJSON *a, const cJSON *b)
{
    return strcmp(json_string(a, "created_by", ""), json_string(b, "created_by", "")) == 0 &&
           json_bool(a, "empty_layer", false) == json_bool(b, "empty_layer", false);
}

static int find_in(const struct image_record *record, const struct image_record *parent, const char *created_by,
                   char **ret_diff_id)
{
    const cJSON *step = json_get(record->config->json, "history");
    const cJSON *before = parent ? json_get(parent->config->json, "history") : NULL;
    size_t layers = parent ? parent->layer_count : 0;

    step = step ? step->child : NULL;
    for (before = before ? before->child : NULL; before; before = before->next, step = step->next)
        if (!step || !same_step(step, before))
            return -ENOENT;
    if (!step || strcmp(json_string(step, "created_by", ""), created_by) != 0 || record->layer_count < layers)
        return -ENOENT;
    for (size_t i = 0; i < layers; i++)
        if (record->layers[i] != parent->layers[i])
            return -ENOENT;
    bool empty = json_bool(step, "empty_layer", false);
    if (!empty && record->layer_count == layers)
        return -ENOENT;
    *ret_diff_id = empty ? NULL : mem_strdup(record->layers[layers]->diff_id);
    return 0;
}

int image_step_find_in(struct image_store *store, const char *ref, const char *parent_id, const char *created_by,
                       char **ret_diff_id)
{
    struct image_record *record, *parent = NULL;

    pthread_rwlock_rdlock(&store->lock);
    int r = image__resolve(store, ref, &record, NULL, NULL);
    if (r == 0 && parent_id && *parent_id && !(parent = image__find(store, parent_id)))
        r = -ENOENT;
    if (r == 0)
        r = find_in(record, parent, created_by, ret_diff_id);
    pthread_rwlock_unlock(&store->lock);
    return r < 0 ? -ENOENT : 0;
}

/* --- as a whole --------------------------------------------------------------------- */

static bool has_name(struct image_store *store, const struct image_record *record)
{
    struct image_name *name, *next;

    HASH_ITER(hh, store->names, name, next)
        if (name->record == record)
            return true;
    return false;
}

static bool is_cached(struct image_store *store, const struct image_record *record)
{
    return record->built && !record->orphan && !has_name(store, record);
}

/* Ids that somebody stands on: named or held images, and all that these were made from. */
static char **ids_in_use(struct image_store *store)
{
    struct image_record *record, *next;
    char **ids = NULL;

    HASH_ITER(hh, store->records, record, next) {
        if (record->orphan || (record->holds == 0 && !has_name(store, record)))
            continue;
        for (const struct image_record *each = record; each && !strv_contains(ids, each->id);
             each = *each->parent ? image__find(store, each->parent) : NULL)
            strv_push(&ids, each->id);
    }
    return ids;
}

static void describe(const struct image_record *record, char *const *in_use, struct image_cache_entry *ret)
{
    const cJSON *step = last_history(record);
    bool empty = json_bool(step, "empty_layer", false) || record->layer_count == 0;

    ret->id = mem_strdup(record->id);
    ret->parent = mem_strdup(record->parent);
    ret->description = mem_strdup(json_string(step, "created_by", ""));
    ret->size = empty ? 0 : record->layers[record->layer_count - 1]->size;
    ret->created_ns = record->config->created_ns;
    ret->in_use = ret->shared = strv_contains(in_use, record->id); /* counted with the image */
}

static bool describe_disk(struct image_store *store, const struct image_record *record, struct image_cache_entry *ret)
{
    int64_t bytes, made_ns;

    if (!image__disk_stat(store, record->id, &bytes, &made_ns))
        return false;
    CLEANUP_STRV char **names = image__names_of(store, record);
    *ret = (struct image_cache_entry){
        .kind = IMAGE_CACHE_DISK,
        .id = mem_printf("disk:%s", digest_hex(record->id)),
        .parent = mem_strdup(record->id),
        .description = names ? mem_printf("disk of %s", names[0]) : mem_printf("disk of %.12s", digest_hex(record->id)),
        .size = bytes,
        .created_ns = made_ns,
        .in_use = record->holds > 0,
    };
    return true;
}

static void entry_clear(struct image_cache_entry *entry)
{
    free(entry->id);
    free(entry->parent);
    free(entry->description);
}

/* What goes first stands last: disks, which cost the least to have again; then the oldest step. */
static int newest_first(const void *a, const void *b)
{
    const struct image_cache_entry *x = a, *y = b;

    if (x->kind != y->kind)
        return x->kind == IMAGE_CACHE_STEP ? -1 : 1;
    return x->created_ns != y->created_ns ? (x->created_ns < y->created_ns ? 1 : -1) : strcmp(x->id, y->id);
}

static struct image_cache_entry *list_entries(struct image_store *store, size_t *ret_count)
{
    struct image_record *record, *next;
    size_t count = 0;

    pthread_rwlock_rdlock(&store->lock);
    CLEANUP_STRV char **in_use = ids_in_use(store);
    struct image_cache_entry *list = mem_array(2 * HASH_COUNT(store->records) + 1, sizeof(*list));
    HASH_ITER(hh, store->records, record, next) {
        if (is_cached(store, record))
            describe(record, in_use, &list[count++]);
        if (describe_disk(store, record, &list[count]))
            count++;
    }
    pthread_rwlock_unlock(&store->lock);
    if (count > 1)
        qsort(list, count, sizeof(*list), newest_first);
    *ret_count = count;
    return list;
}

int image_cache_each(struct image_store *store, image_cache_fn *fn, void *user)
{
    size_t count;
    struct image_cache_entry *list = list_entries(store, &count);
    int r = 0;

    for (size_t i = 0; i < count; i++) {
        if (r == 0)
            r = fn(user, &list[i]);
        entry_clear(&list[i]);
    }
    free(list);
    return r;
}

/* Children of what goes begin with it no longer: they are whole without it. */
static void orphan_children(struct image_store *store, const char *id)
{
    struct image_record *record, *next;

    HASH_ITER(hh, store->records, record, next)
        if (strcmp(record->parent, id) == 0)
            record->parent[0] = '\0';
}

static bool forget_disk(struct image_store *store, const struct image_cache_entry *disk, int64_t *reclaimed)
{
    pthread_rwlock_wrlock(&store->lock);
    const struct image_record *record = image__find(store, disk->parent);
    int64_t bytes = record && record->holds == 0 ? image__disk_remove(store, record->id) : 0;
    pthread_rwlock_unlock(&store->lock);
    *reclaimed += bytes;
    return bytes > 0;
}

static bool forget(struct image_store *store, const char *id, bool all, int64_t *reclaimed)
{
    struct image_trash trash = {0};
    bool gone = false;

    if (image__ask_use(store, id) != IMAGE_UNUSED)
        return false;
    pthread_mutex_lock(&store->writer);
    pthread_rwlock_wrlock(&store->lock);
    struct image_record *record = image__find(store, id);
    if (record && is_cached(store, record) && record->holds == 0 && (all || !image__has_children(store, id))) {
        orphan_children(store, id);
        image__forget(store, record, &trash, NULL, reclaimed);
        gone = true;
    }
    pthread_rwlock_unlock(&store->lock);
    pthread_mutex_unlock(&store->writer);
    image__sweep(store, &trash);
    return gone;
}

/* How many bytes of the cache may stay; -1: none need to go for their own sake, all that is wanted does. */
static int64_t keep_bytes(struct image_store *store, const struct image_cache_pruning *pruning, int64_t total)
{
    struct statvfs disk;

    if (!pruning->reserved && !pruning->max_used && !pruning->min_free)
        return -1;
    int64_t keep = pruning->max_used || !pruning->min_free ? pruning->max_used : total;
    if (pruning->min_free && fstatvfs(store->dir_fd, &disk) == 0) {
        int64_t excess = pruning->min_free - (int64_t)(disk.f_bavail * disk.f_frsize);
        if (excess > 0 && total - excess < keep)
            keep = total - excess;
    }
    return keep > pruning->reserved ? keep : pruning->reserved;
}

int image_cache_prune(struct image_store *store, const struct image_cache_pruning *pruning, char ***ret_deleted,
                      int64_t *ret_reclaimed, struct error *err)
{
    size_t count;
    struct image_cache_entry *list = list_entries(store, &count);
    int64_t left = 0, reclaimed = 0;
    char **deleted = NULL;
    int r = 0;

    for (size_t i = 0; i < count; i++)
        left += list[i].in_use ? 0 : list[i].size;
    const int64_t keep = keep_bytes(store, pruning, left);
    /* The oldest first; a step goes after those that stand on it, so it may take more than one round. */
    for (bool again = true; again && left > keep;) {
        again = false;
        for (size_t i = count; i-- > 0 && left > keep;) {
            struct image_cache_entry *entry = &list[i];
            if (!entry->id || (!pruning->all && entry->in_use) || !pruning->wanted(pruning->user, entry) ||
                !(entry->kind == IMAGE_CACHE_DISK ? forget_disk(store, entry, &reclaimed)
                                                  : forget(store, entry->id, pruning->all, &reclaimed)))
                continue;
            strv_push(&deleted, entry->id);
            left -= entry->in_use ? 0 : entry->size;
            entry_clear(entry);
            *entry = (struct image_cache_entry){0};
            again = true;
        }
    }
    for (size_t i = 0; i < count; i++)
        entry_clear(&list[i]);
    free(list);
    if (deleted) {
        pthread_mutex_lock(&store->writer);
        r = image__save_index(store, err);
        pthread_mutex_unlock(&store->writer);
    }
    if (r < 0) {
        strv_free(deleted);
        return r;
    }
    *ret_deleted = deleted;
    *ret_reclaimed = reclaimed;
    return 0;
}
