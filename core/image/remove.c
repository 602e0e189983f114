/* remove.c - rmi and prune, with Docker's rules and words. Owner: image.
 *
 * Conflicts, strongest first: an image on which others were built, or which a
 * running container uses, is not removed whatever is forced; one with several
 * names, or used by a stopped container, only by force. in_use is asked before
 * the locks are taken (it has locks of its own); holds keep the layers of a
 * container that is created in between.
 */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "image/store.h"

struct use {
    enum image_use kind;
    char container[13]; /* short id */
};

enum conflict_mask {
    CONFLICT_CHILDREN = 1 << 0,
    CONFLICT_RUNNING = 1 << 1,
    CONFLICT_NAMES = 1 << 2,
    CONFLICT_STOPPED = 1 << 3,
    CONFLICT_HARD = CONFLICT_CHILDREN | CONFLICT_RUNNING,
    CONFLICT_SOFT = CONFLICT_NAMES | CONFLICT_STOPPED,
};

void image_removal_clear(struct image_removal *removal)
{
    strv_free(removal->untagged);
    strv_free(removal->deleted);
    *removal = (struct image_removal){0};
}

static void ask_use(struct image_store *store, const char *id, struct use *ret)
{
    CLEANUP_FREE char *container = NULL;

    *ret = (struct use){0};
    pthread_mutex_lock(&store->in_use_lock);
    image_in_use_fn *fn = store->in_use;
    void *user = store->in_use_user;
    pthread_mutex_unlock(&store->in_use_lock);
    if (fn)
        ret->kind = fn(user, id, &container);
    if (container)
        snprintf(ret->container, sizeof(ret->container), "%.12s", container);
}

enum image_use image__ask_use(struct image_store *store, const char *id)
{
    struct use use;

    ask_use(store, id, &use);
    return use.kind;
}

bool image__has_children(struct image_store *store, const char *id)
{
    struct image_record *record, *next;

    HASH_ITER(hh, store->records, record, next)
        if (!record->orphan && strcmp(record->parent, id) == 0)
            return true;
    return false;
}

/* At most one tag, and digests of that repository only. */
static bool single_name(char *const *names)
{
    CLEANUP_FREE char *repository = NULL;
    size_t tags = 0;

    if (strv_length(names) <= 1)
        return true;
    for (char *const *name = names; *name; name++) {
        CLEANUP_FREE char *of = image__name_repository(*name);

        if (!image__name_is_digest(*name) && ++tags > 1)
            return false;
        if (repository && strcmp(of, repository) != 0)
            return false;
        if (!repository)
            repository = TAKE_PTR(of);
    }
    return true;
}

static int conflict(struct image_store *store, const struct image_record *record, const struct use *use, unsigned mask,
                    struct error *err)
{
    const char *hex = digest_hex(record->id);
    CLEANUP_STRV char **names = image__names_of(store, record);

    if ((mask & CONFLICT_CHILDREN) && image__has_children(store, record->id))
        return error_set(err, EBUSY, "conflict: unable to delete %.12s (cannot be forced) - image has dependent child images",
                         hex);
    if ((mask & CONFLICT_RUNNING) && use->kind == IMAGE_USED_RUNNING)
        return error_set(err, EBUSY, "conflict: unable to delete %.12s (cannot be forced) - image is being used by running container %s",
                         hex, use->container);
    if ((mask & CONFLICT_NAMES) && names)
        return error_set(err, EBUSY, "conflict: unable to delete %.12s (must be forced) - image is referenced in multiple repositories",
                         hex);
    if ((mask & CONFLICT_STOPPED) && use->kind == IMAGE_USED_STOPPED)
        return error_set(err, EBUSY, "conflict: unable to delete %.12s (must be forced) - image is being used by stopped container %s",
                         hex, use->container);
    return 0;
}

static void untag(struct image_store *store, const char *key, struct image_removal *removal)
{
    strv_push(&removal->untagged, key);
    image__unset_name(store, key);
}

static void untag_all(struct image_store *store, const struct image_record *record, struct image_removal *removal)
{
    CLEANUP_STRV char **names = image__names_of(store, record);

    for (char **name = names; name && *name; name++)
        untag(store, *name, removal);
}

/* Parents that were only kept for this one: nameless, unused, childless. */
static void prune_parents(struct image_store *store, const char *first, struct image_trash *trash,
                          struct image_removal *removal, int64_t *reclaimed)
{
    char id[DIGEST_TEXT_MAX];

    snprintf(id, sizeof(id), "%s", first);
    while (*id) {
        struct image_record *record = image__find(store, id);
        CLEANUP_STRV char **names = record ? image__names_of(store, record) : NULL;

        /* A hold stands for a container's use here: in_use cannot be asked now. */
        if (!record || record->orphan || names || record->holds > 0 || image__has_children(store, id))
            return;
        snprintf(id, sizeof(id), "%s", record->parent);
        image__forget(store, record, trash, &removal->deleted, reclaimed);
    }
}

static void delete_record(struct image_store *store, struct image_record *record, bool no_prune,
                          struct image_trash *trash, struct image_removal *removal, int64_t *reclaimed)
{
    char parent[DIGEST_TEXT_MAX];

    snprintf(parent, sizeof(parent), "%s", record->parent);
    untag_all(store, record, removal);
    image__forget(store, record, trash, &removal->deleted, reclaimed);
    if (!no_prune)
        prune_parents(store, parent, trash, removal, reclaimed);
}

/* A name was given: it goes; the image only with its last one. Locks held. */
static int remove_by_name(struct image_store *store, struct image_record *record, const char *ref, const char *key,
                          const struct use *use, bool force, bool no_prune, struct image_trash *trash, struct image_removal *removal,
                          int64_t *reclaimed, struct error *err)
{
    CLEANUP_STRV char **names = image__names_of(store, record);
    CLEANUP_STRV char **left = NULL;
    CLEANUP_FREE char *repository = image__name_repository(key);
    bool another_tag = false;

    if (!force && single_name(names) && use->kind != IMAGE_UNUSED)
        return error_set(err, EBUSY,
                         "conflict: unable to remove repository reference \"%s\" (must force) - container %s is using its referenced image %.12s",
                         ref, use->container, digest_hex(record->id));
    untag(store, key, removal);
    /* Digests of a repository go with its last tag. */
    for (char **name = names; *name; name++) {
        CLEANUP_FREE char *of = image__name_repository(*name);

        if (strcmp(*name, key) != 0 && !image__name_is_digest(*name) && strcmp(of, repository) == 0)
            another_tag = true;
    }
    for (char **name = names; *name; name++) {
        CLEANUP_FREE char *of = image__name_repository(*name);

        if (strcmp(*name, key) == 0)
            continue;
        if (!image__name_is_digest(key) && !another_tag && image__name_is_digest(*name) && strcmp(of, repository) == 0)
            untag(store, *name, removal);
        else
            strv_push(&left, *name);
    }
    if (left)
        return 0;
    /* Nameless now. What still speaks against its going keeps it, quietly. */
    if (conflict(store, record, use, force ? CONFLICT_HARD : CONFLICT_HARD | CONFLICT_SOFT, NULL) < 0)
        return 0;
    delete_record(store, record, no_prune, trash, removal, reclaimed);
    return 0;
}

static int remove_by_id(struct image_store *store, struct image_record *record, const struct use *use, bool force,
                        bool no_prune, struct image_trash *trash, struct image_removal *removal, int64_t *reclaimed,
                        struct error *err)
{
    CLEANUP_STRV char **names = image__names_of(store, record);
    unsigned mask = force ? CONFLICT_HARD : CONFLICT_HARD | CONFLICT_SOFT;

    if (single_name(names))
        mask &= ~(unsigned)CONFLICT_NAMES;
    int r = conflict(store, record, use, mask, err);
    if (r == 0)
        delete_record(store, record, no_prune, trash, removal, reclaimed);
    return r;
}

static int remove_one(struct image_store *store, const char *ref, bool force, bool no_prune,
                      struct image_removal *removal, int64_t *reclaimed, struct error *err)
{
    struct image_trash trash = {0};
    struct image_record *record;
    CLEANUP_FREE char *key = NULL;
    char id[DIGEST_TEXT_MAX];
    struct use use;

    pthread_rwlock_rdlock(&store->lock);
    int r = image__resolve(store, ref, &record, &key, err);
    if (r == 0 && record->orphan)
        r = error_set(err, ENOENT, "No such image: %s", ref);
    if (r == 0)
        memcpy(id, record->id, sizeof(id));
    pthread_rwlock_unlock(&store->lock);
    if (r < 0)
        return r;
    ask_use(store, id, &use);

    pthread_mutex_lock(&store->writer);
    pthread_rwlock_wrlock(&store->lock);
    record = image__find(store, id);
    if (record && key) {
        struct image_name *name;

        HASH_FIND_STR(store->names, key, name);
        if (!name || name->record != record)
            record = NULL; /* moved meanwhile */
    }
    if (!record || record->orphan)
        r = error_set(err, ENOENT, "No such image: %s", ref);
    else if (key)
        r = remove_by_name(store, record, ref, key, &use, force, no_prune, &trash, removal, reclaimed, err);
    else
        r = remove_by_id(store, record, &use, force, no_prune, &trash, removal, reclaimed, err);
    pthread_rwlock_unlock(&store->lock);
    if (r == 0)
        r = image__save_index(store, err);
    pthread_mutex_unlock(&store->writer);
    image__sweep(store, &trash);
    return r;
}

int image_remove(struct image_store *store, const char *ref, bool force, bool no_prune, struct image_removal *ret,
                 struct error *err)
{
    CLEANUP(image_removal_clear) struct image_removal removal = {0};

    int r = remove_one(store, ref, force, no_prune, &removal, NULL, err);
    if (r == 0) {
        *ret = removal;
        removal = (struct image_removal){0};
    }
    return r;
}

/* --- prune ----------------------------------------------------------------------------- */

/* "k", "k=v"; with "!" before: must not match. */
static bool labels_match(const struct image *image, char *const *labels)
{
    const cJSON *have = json_get(json_get(image->config, "config"), "Labels");

    for (char *const *label = labels; label && *label; label++) {
        const char *text = **label == '!' ? *label + 1 : *label;
        size_t n = strcspn(text, "=");
        CLEANUP_FREE char *key = mem_strndup(text, n);
        const cJSON *value = have ? cJSON_GetObjectItemCaseSensitive(have, key) : NULL;
        bool match = cJSON_IsString(value) && (text[n] == '\0' || strcmp(value->valuestring, text + n + 1) == 0);

        if (match == (**label == '!'))
            return false;
    }
    return true;
}

struct candidates {
    bool dangling_only;
    int64_t until_ns;
    char *const *labels;
    char **refs;
};

static int collect(void *user, const struct image *image)
{
    struct candidates *candidates = user;

    if (candidates->dangling_only && image->names)
        return 0;
    if ((candidates->until_ns && image->created_ns > candidates->until_ns) || !labels_match(image, candidates->labels))
        return 0;
    strv_push(&candidates->refs, image->id);
    return 0;
}

/* By a build that is on its way. */
static bool is_held(struct image_store *store, const char *id)
{
    pthread_rwlock_rdlock(&store->lock);
    const struct image_record *record = image__find(store, id);
    bool held = record && record->holds > 0;
    pthread_rwlock_unlock(&store->lock);
    return held;
}

/* Orphans no container came back for: their release was lost in a crash. */
static void drop_orphans(struct image_store *store, int64_t *reclaimed)
{
    struct image_trash trash = {0};
    struct image_record *record, *next;
    bool any = false;

    pthread_mutex_lock(&store->writer);
    pthread_rwlock_wrlock(&store->lock);
    HASH_ITER(hh, store->records, record, next) {
        if (!record->orphan || record->holds > 0)
            continue;
        image__forget(store, record, &trash, NULL, reclaimed);
        any = true;
    }
    pthread_rwlock_unlock(&store->lock);
    if (any)
        image__save_index(store, NULL);
    pthread_mutex_unlock(&store->writer);
    image__sweep(store, &trash);
}

int image_prune(struct image_store *store, bool dangling_only, int64_t until_ns, char *const *labels,
                struct image_removal *ret, int64_t *ret_reclaimed, struct error *err)
{
    CLEANUP(image_removal_clear) struct image_removal removal = {0};
    struct candidates candidates = {dangling_only, until_ns, labels, NULL};
    int64_t reclaimed = 0;

    drop_orphans(store, &reclaimed);
    image__partials_clean(store, 0);
    image_each(store, collect, &candidates);
    /* Newest first: children go before their parents. */
    for (char **ref = candidates.refs; ref && *ref; ref++) {
        CLEANUP(image_freep) struct image *image = NULL;
        struct use use;

        ask_use(store, *ref, &use);
        if (use.kind != IMAGE_UNUSED || is_held(store, *ref) || image_get(store, *ref, &image, NULL) < 0)
            continue;
        if (dangling_only && image->names)
            continue;
        /* Name by name, so that one given meanwhile is not taken. */
        for (char **name = image->names; name && *name; name++)
            remove_one(store, *name, false, true, &removal, &reclaimed, NULL);
        if (!image->names)
            remove_one(store, *ref, false, true, &removal, &reclaimed, NULL);
    }
    strv_free(candidates.refs);
    *ret = removal;
    removal = (struct image_removal){0};
    *ret_reclaimed = reclaimed;
    return 0;
}
