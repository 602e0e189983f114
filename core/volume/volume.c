/* volume.c - the store of named volumes; see volume.h.
 *
 *   NAME/_data         what containers see
 *   NAME/volume.json   when it was made, labels, options
 *   NAME/mounts        ids of containers that have it mounted, where there is
 *                      something to mount: outlives the server
 *   .new-*, .old-*     on the way in and out; removed when the store opens
 *
 * A volume appears and vanishes by one rename.
 */
#include "tabique/volume.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uthash.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/random.h"
#include "base/str.h"
#include "tabique/error.h"
#include "volume/private.h"

#define STATE_MAX (1u << 20)
#define NAME_LENGTH_MAX 255
#define ANONYMOUS_LABEL "com.docker.volume.anonymous"

struct entry {
    UT_hash_handle hh;
    char *name;
    char *data; /* .../_data */
    int64_t created_ns;
    bool anonymous;
    struct volume_pair *labels, *options;
    size_t label_count, option_count;
    char **holders, **mounters;
    bool busy; /* being mounted, without the lock: it stays, and nobody else mounts it or takes it down */
};

struct volume_store {
    pthread_mutex_t lock;
    pthread_cond_t settled; /* one is busy no more */
    char *dir;
    int fd;
    struct entry *entries;
};

/* --- small things ---------------------------------------------------------- */

static struct volume_pair *pairs_copy(const struct volume_pair *pairs, size_t count)
{
    struct volume_pair *copy = mem_array(count + 1, sizeof(*copy)); /* room for the anonymous label */

    for (size_t i = 0; i < count; i++)
        copy[i] = (struct volume_pair){mem_strdup(pairs[i].name), mem_strdup(pairs[i].value ? pairs[i].value : "")};
    return copy;
}

static void pairs_free(struct volume_pair *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(pairs[i].name);
        free(pairs[i].value);
    }
    free(pairs);
}

static void strv_drop(char ***list, const char *text)
{
    char **kept = NULL;

    for (char **item = *list; item && *item; item++)
        if (strcmp(*item, text) != 0)
            strv_push(&kept, *item);
    strv_free(*list);
    *list = kept;
}

static void entry_free(struct entry *e)
{
    pairs_free(e->labels, e->label_count);
    pairs_free(e->options, e->option_count);
    strv_free(e->holders);
    strv_free(e->mounters);
    free(e->name);
    free(e->data);
    free(e);
}

static struct volume *entry_copy(const struct entry *e)
{
    struct volume *copy = mem_new(struct volume);

    copy->name = mem_strdup(e->name);
    copy->mountpoint = mem_strdup(e->data);
    copy->created_ns = e->created_ns;
    copy->anonymous = e->anonymous;
    copy->labels = pairs_copy(e->labels, e->label_count);
    copy->label_count = e->label_count;
    copy->options = pairs_copy(e->options, e->option_count);
    copy->option_count = e->option_count;
    copy->used_by = strv_dup(e->holders);
    return copy;
}

void volume_free(struct volume *volume)
{
    if (!volume)
        return;
    pairs_free(volume->labels, volume->label_count);
    pairs_free(volume->options, volume->option_count);
    strv_free(volume->used_by);
    free(volume->name);
    free(volume->mountpoint);
    free(volume);
}

static int check_name(const char *name, struct error *err)
{
    static const char rule[] = "[a-zA-Z0-9][a-zA-Z0-9_.-]";
    size_t length = strlen(name);
    bool good = isalnum((unsigned char)name[0]);

    if (length == 1)
        return error_set(err, EINVAL, "create %s: volume name is too short, names should be at least two "
                         "alphanumeric characters", name);
    for (const char *c = name; *c; c++)
        good = good && (isalnum((unsigned char)*c) || strchr("_.-", *c));
    if (!good)
        return error_set(err, EINVAL, "create %.300s: \"%.300s\" includes invalid characters for a local volume "
                         "name, only \"%s\" are allowed. If you intended to pass a host directory, use absolute path",
                         name, name, rule);
    if (length > NAME_LENGTH_MAX)
        return error_set(err, EINVAL, "create: the volume name is longer than %d characters", NAME_LENGTH_MAX);
    return 0;
}

/* --- files ----------------------------------------------------------------- */

static void pairs_write(cJSON *json, const char *key, const struct volume_pair *pairs, size_t count)
{
    cJSON *object = json_add_object(json, key);

    for (size_t i = 0; i < count; i++)
        json_add_string(object, pairs[i].name, pairs[i].value);
}

static void pairs_read(const cJSON *json, const char *key, struct volume_pair **ret, size_t *ret_count)
{
    const cJSON *object = json_get(json, key), *item;
    int size = cJSON_IsObject(object) ? cJSON_GetArraySize(object) : 0;

    *ret = mem_array((size_t)size + 1, sizeof(**ret));
    *ret_count = 0;
    if (size > 0)
        cJSON_ArrayForEach(item, object)
            if (cJSON_IsString(item))
                (*ret)[(*ret_count)++] = (struct volume_pair){mem_strdup(item->string), mem_strdup(item->valuestring)};
}

static char *entry_print(const struct entry *e)
{
    CLEANUP_JSON cJSON *json = cJSON_CreateObject();
    CLEANUP_FREE char *created = mem_printf("%lld", (long long)e->created_ns);

    json_add_string(json, "created", created);
    json_add_bool(json, "anonymous", e->anonymous);
    pairs_write(json, "labels", e->labels, e->label_count);
    pairs_write(json, "options", e->options, e->option_count);
    return json_print(json);
}

static void mounters_save(const struct volume_store *store, const struct entry *e)
{
    CLEANUP_FREE char *path = mem_printf("%s/mounts", e->name), *text = strv_join(e->mounters, "\n");
    int r = file_write_atomic(store->fd, path, text, strlen(text), 0600);

    if (r < 0)
        log_warning("volume %s: its users cannot be noted: %s", e->name, strerror(-r));
}

static void mounters_load(const struct volume_store *store, struct entry *e)
{
    CLEANUP_FREE char *path = mem_printf("%s/mounts", e->name), *text = NULL;

    /* After a restart of the machine nothing is mounted, whatever the file says. */
    if (!volume__options_mount(e->options, e->option_count) || !volume__mounted(e->data) ||
        file_read(store->fd, path, STATE_MAX, &text, NULL) < 0)
        return;
    e->mounters = strv_split(text, '\n');
}

static struct entry *entry_load(const struct volume_store *store, const char *name)
{
    CLEANUP_FREE char *json_path = mem_printf("%s/volume.json", name), *text = NULL;
    CLEANUP_FREE char *data = mem_printf("%s/%s/_data", store->dir, name);
    CLEANUP_JSON cJSON *json = NULL;
    struct entry *e;
    struct stat info;
    size_t length;

    if (stat(data, &info) < 0 || !S_ISDIR(info.st_mode))
        return NULL;
    e = mem_new(struct entry);
    e->name = mem_strdup(name);
    e->data = TAKE_PTR(data);
    /* Without a readable file it is still a volume with somebody's data in it. */
    if (file_read(store->fd, json_path, STATE_MAX, &text, &length) < 0 || json_parse(text, length, &json, NULL) < 0)
        log_warning("volume %s: no readable description; labels and options are lost", name);
    if (str_to_i64(json_string(json, "created", ""), &e->created_ns) < 0)
        e->created_ns = info.st_ctim.tv_sec * NS_PER_SEC;
    e->anonymous = json_bool(json, "anonymous", false);
    pairs_read(json, "labels", &e->labels, &e->label_count);
    pairs_read(json, "options", &e->options, &e->option_count);
    mounters_load(store, e);
    return e;
}

/* --- the store ------------------------------------------------------------- */

int volume_store_open(const char *dir, struct volume_store **ret, struct error *err)
{
    struct volume_store *store;
    CLEANUP_CLOSE int fd = -EBADF;
    struct dirent *item;
    int r = path_mkdirs(dir, 0701);

    if (r < 0)
        return error_errno(err, r == -ENOENT ? EIO : r, "cannot make %s", dir);
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : opendir(dir);
    if (!list)
        return error_errno(err, errno == ENOENT ? EIO : errno, "cannot open %s", dir);
    store = mem_new(struct volume_store);
    pthread_mutex_init(&store->lock, NULL);
    pthread_cond_init(&store->settled, NULL);
    store->dir = mem_strdup(dir);
    store->fd = TAKE_FD(fd);
    while ((item = readdir(list))) {
        if (str_starts(item->d_name, ".new-") || str_starts(item->d_name, ".old-")) {
            path_remove_tree(store->fd, item->d_name);
        } else if (item->d_name[0] != '.' && check_name(item->d_name, NULL) == 0) {
            struct entry *e = entry_load(store, item->d_name);
            if (e)
                HASH_ADD_KEYPTR(hh, store->entries, e->name, strlen(e->name), e);
        }
    }
    closedir(list);
    *ret = store;
    return 0;
}

void volume_store_close(struct volume_store *store)
{
    struct entry *e, *next;

    if (!store)
        return;
    HASH_ITER(hh, store->entries, e, next) {
        HASH_DEL(store->entries, e);
        entry_free(e);
    }
    close(store->fd);
    pthread_mutex_destroy(&store->lock);
    pthread_cond_destroy(&store->settled);
    free(store->dir);
    free(store);
}

static struct entry *find(struct volume_store *store, const char *name)
{
    struct entry *e = NULL;

    if (name)
        HASH_FIND_STR(store->entries, name, e);
    return e;
}

/* Once nobody mounts it: that waits for name and file servers as long as it takes. */
static struct entry *find_settled(struct volume_store *store, const char *name)
{
    struct entry *e;

    while ((e = find(store, name)) && e->busy)
        pthread_cond_wait(&store->settled, &store->lock);
    return e;
}

static int no_such(const char *name, struct error *err)
{
    return error_set(err, ENOENT, "get %s: no such volume", name ? name : "");
}

/* Made aside and renamed: half a volume never shows. */
static int make_files(struct volume_store *store, const struct entry *e, struct error *err)
{
    uint64_t draw;
    random_bytes(&draw, sizeof(draw));
    CLEANUP_FREE char *aside = mem_printf(".new-%016llx", (unsigned long long)draw);
    CLEANUP_FREE char *data = mem_printf("%s/_data", aside), *json = mem_printf("%s/volume.json", aside);
    CLEANUP_FREE char *text = entry_print(e);
    int r = 0;

    if (mkdirat(store->fd, aside, 0701) < 0 || mkdirat(store->fd, data, 0755) < 0)
        r = -errno;
    /* Whatever the umask says: containers' users must get in. */
    if (r == 0 && (fchmodat(store->fd, aside, 0701, 0) < 0 || fchmodat(store->fd, data, 0755, 0) < 0))
        r = -errno;
    if (r == 0)
        r = file_write_atomic(store->fd, json, text, strlen(text), 0600);
    if (r == 0 && renameat(store->fd, aside, store->fd, e->name) < 0)
        r = -errno;
    if (r == 0)
        return 0;
    path_remove_tree(store->fd, aside);
    return error_errno(err, r == -ENOENT ? EIO : r, "error while creating volume root path '%s/%s'", store->dir, e->name);
}

int volume_create(struct volume_store *store, const char *name, const struct volume_pair *labels, size_t label_count,
                  const struct volume_pair *options, size_t option_count, struct volume **ret, struct error *err)
{
    bool anonymous = !name || !*name;
    char id[ID_LENGTH + 1];
    struct entry *e;
    int r = 0;

    if (anonymous) {
        random_id(id);
        name = id;
    } else {
        r = check_name(name, err);
        if (r < 0)
            return r;
    }
    struct error why = ERROR_INIT;
    r = volume__options_check(options, option_count, &why);
    if (r < 0)
        return error_set(err, r, "create %s: %s", name, why.message);

    pthread_mutex_lock(&store->lock);
    e = find(store, name);
    if (!e) {
        e = mem_new(struct entry);
        e->name = mem_strdup(name);
        e->data = mem_printf("%s/%s/_data", store->dir, name);
        e->created_ns = clock_real_ns();
        e->anonymous = anonymous;
        e->labels = pairs_copy(labels, label_count);
        e->label_count = label_count;
        e->options = pairs_copy(options, option_count);
        e->option_count = option_count;
        if (anonymous)
            e->labels[e->label_count++] = (struct volume_pair){mem_strdup(ANONYMOUS_LABEL), mem_strdup("")};
        r = make_files(store, e, &why);
        if (r == 0)
            HASH_ADD_KEYPTR(hh, store->entries, e->name, strlen(e->name), e);
        else
            entry_free(TAKE_PTR(e));
    }
    struct volume *copy = e ? entry_copy(e) : NULL;
    pthread_mutex_unlock(&store->lock);
    if (r < 0)
        return error_set(err, r, "create %s: %s", name, why.message);
    if (ret)
        *ret = copy;
    else
        volume_free(copy);
    return 0;
}

int volume_get(struct volume_store *store, const char *name, struct volume **ret, struct error *err)
{
    pthread_mutex_lock(&store->lock);
    struct entry *e = find(store, name);
    struct volume *copy = e ? entry_copy(e) : NULL;
    pthread_mutex_unlock(&store->lock);
    if (!copy)
        return no_such(name, err);
    *ret = copy;
    return 0;
}

int volume_each(struct volume_store *store, volume_fn *fn, void *user)
{
    CLEANUP_FREE struct volume **copies = NULL;
    struct entry *e, *next;
    size_t count = 0;
    int r = 0;

    pthread_mutex_lock(&store->lock);
    copies = mem_array(HASH_COUNT(store->entries), sizeof(struct volume *));
    HASH_ITER(hh, store->entries, e, next)
        copies[count++] = entry_copy(e);
    pthread_mutex_unlock(&store->lock);
    for (size_t i = 0; i < count; i++) {
        if (r == 0)
            r = fn(user, copies[i]);
        volume_free(copies[i]);
    }
    return r;
}

int volume_remove(struct volume_store *store, const char *name, bool force, struct error *err)
{
    uint64_t draw;
    random_bytes(&draw, sizeof(draw));
    CLEANUP_FREE char *aside = mem_printf(".old-%016llx", (unsigned long long)draw), *users = NULL;
    int r = 0;

    pthread_mutex_lock(&store->lock);
    struct entry *e = find(store, name);
    if (e && !e->holders)
        e = find_settled(store, name);
    bool found = e != NULL;
    if (e && e->holders) {
        users = strv_join(e->holders, ", ");
    } else if (e) {
        if (volume__mounted(e->data))
            umount2(e->data, MNT_DETACH | UMOUNT_NOFOLLOW);
        if (renameat(store->fd, e->name, store->fd, aside) < 0 && errno != ENOENT)
            r = -errno;
        if (r == 0) {
            HASH_DEL(store->entries, e);
            entry_free(e);
        }
    }
    pthread_mutex_unlock(&store->lock);
    if (users)
        return error_set(err, EBUSY, "remove %s: volume is in use - [%s]", name, users);
    if (!found)
        return force ? 0 : no_such(name, err);
    if (r < 0)
        return error_errno(err, r, "remove %s: error removing volume path", name);
    /* It is gone for everybody; what is left may take its time. */
    r = path_remove_tree(store->fd, aside);
    if (r < 0)
        log_warning("volume %s: %s/%s cannot be removed wholly: %s", name, store->dir, aside, strerror(-r));
    return 0;
}

int64_t volume_size(struct volume_store *store, const char *name)
{
    CLEANUP_FREE char *data = NULL;
    uint64_t bytes;

    pthread_mutex_lock(&store->lock);
    struct entry *e = find(store, name);
    /* What is mounted there is not kept by us. */
    if (e && !volume__options_mount(e->options, e->option_count))
        data = mem_strdup(e->data);
    pthread_mutex_unlock(&store->lock);
    return data && path_tree_size(AT_FDCWD, data, &bytes) == 0 ? (int64_t)bytes : -1;
}

int volume_hold(struct volume_store *store, const char *name, const char *container_id, struct error *err)
{
    pthread_mutex_lock(&store->lock);
    struct entry *e = find(store, name);
    if (e && !strv_contains(e->holders, container_id))
        strv_push(&e->holders, container_id);
    pthread_mutex_unlock(&store->lock);
    return e ? 0 : no_such(name, err);
}

void volume_release(struct volume_store *store, const char *name, const char *container_id)
{
    pthread_mutex_lock(&store->lock);
    struct entry *e = find(store, name);
    if (e)
        strv_drop(&e->holders, container_id);
    pthread_mutex_unlock(&store->lock);
}

int volume_mount(struct volume_store *store, const char *name, const char *container_id, char **ret_path,
                 struct error *err)
{
    struct error why = ERROR_INIT;
    int r = 0;

    pthread_mutex_lock(&store->lock);
    struct entry *e = find_settled(store, name);
    const bool wanted = e && volume__options_mount(e->options, e->option_count);
    if (wanted && !volume__mounted(e->data)) {
        e->busy = true;
        pthread_mutex_unlock(&store->lock);
        r = volume__mount(e->options, e->option_count, e->data, &why);
        pthread_mutex_lock(&store->lock);
        e->busy = false;
        pthread_cond_broadcast(&store->settled);
    }
    if (wanted && r == 0 && !strv_contains(e->mounters, container_id)) {
        strv_push(&e->mounters, container_id);
        mounters_save(store, e);
    }
    char *path = e && r == 0 ? mem_strdup(e->data) : NULL;
    pthread_mutex_unlock(&store->lock);
    if (!e)
        return no_such(name, err);
    if (r < 0)
        return error_set(err, r, "error while mounting volume '%s': %s", name, why.message);
    *ret_path = path;
    return 0;
}

void volume_unmount(struct volume_store *store, const char *name, const char *container_id)
{
    pthread_mutex_lock(&store->lock);
    struct entry *e = find_settled(store, name);
    if (e && strv_contains(e->mounters, container_id)) {
        strv_drop(&e->mounters, container_id);
        mounters_save(store, e);
        /* Lazily: a process of somebody's in there must not keep it for ever. */
        if (!e->mounters && volume__mounted(e->data) && umount2(e->data, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
            log_warning("volume %s cannot be unmounted: %s", name, strerror(errno));
    }
    pthread_mutex_unlock(&store->lock);
}

bool volume_is_empty(struct volume_store *store, const char *name)
{
    CLEANUP_FREE char *data = NULL;
    struct dirent *item;
    bool empty = true;

    pthread_mutex_lock(&store->lock);
    struct entry *e = find(store, name);
    data = e ? mem_strdup(e->data) : NULL;
    pthread_mutex_unlock(&store->lock);
    DIR *list = data ? opendir(data) : NULL;
    if (!list)
        return false;
    while (empty && (item = readdir(list)))
        empty = strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0;
    closedir(list);
    return empty;
}
