/* volume.h - named volumes, local driver: <data>/volumes/NAME/_data.
 *
 * State is the directory plus NAME/volume.json. Threads: any. Names are
 * [a-zA-Z0-9][a-zA-Z0-9_.-]* of 2 or more characters, or 64 hex (anonymous).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct volume_store;

struct volume_pair {
    char *name;
    char *value;
};

struct volume {
    char *name;
    char *mountpoint;   /* host path of _data */
    int64_t created_ns;
    bool anonymous;
    struct volume_pair *labels, *options;
    size_t label_count, option_count;
    char **used_by;     /* container ids */
};

int volume_store_open(const char *dir, struct volume_store **ret, struct error *err);
void volume_store_close(struct volume_store *store);
void volume_free(struct volume *volume);

/* name NULL or "": anonymous. Existing with the same options: success, as Docker. */
int volume_create(struct volume_store *store, const char *name, const struct volume_pair *labels,
                  size_t label_count, const struct volume_pair *options, size_t option_count,
                  struct volume **ret, struct error *err);
int volume_get(struct volume_store *store, const char *name, struct volume **ret, struct error *err);
typedef int volume_fn(void *user, const struct volume *volume);
int volume_each(struct volume_store *store, volume_fn *fn, void *user);
int volume_remove(struct volume_store *store, const char *name, bool force, struct error *err); /* -EBUSY in use */
int64_t volume_size(struct volume_store *store, const char *name);

/* Use by containers: held from create to remove of the container, by id. */
int volume_hold(struct volume_store *store, const char *name, const char *container_id, struct error *err);
void volume_release(struct volume_store *store, const char *name, const char *container_id);
/* Mounts what `options` ask (tmpfs, bind, nfs...) at first use, unmounts at last. */
int volume_mount(struct volume_store *store, const char *name, const char *container_id,
                 char **ret_path, struct error *err);
void volume_unmount(struct volume_store *store, const char *name, const char *container_id);
/* Whether it is empty: contents of the image are copied up only then. */
bool volume_is_empty(struct volume_store *store, const char *name);
