/* store.h - the image store's inside: what the files of this room share.
 *
 * Two locks. `writer` orders everything that changes the store (and its
 * index.json) and may be held over disk writes; `lock` guards the tables in
 * memory and is held for moments only, so look-ups never wait for a load.
 * Whoever takes both takes `writer` first. Neither is held while calling out
 * (in_use, progress, read, write).
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <uthash.h>

#include "archive/archive.h"
#include "archive/digest.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "tabique/error.h"
#include "tabique/image.h"

#define IMAGE_LAYERS_MAX 125              /* as Docker: "max depth exceeded" */
#define IMAGE_PARTIAL_KEEP_S (24 * 3600)  /* that long a download that stopped can go on */
#define IMAGE_CONFIG_MAX ((size_t)8 << 20) /* bytes of a config, manifest or index */

/* A layer as registries have it: compressed, under the digest of that. */
struct image_blob {
    char digest[DIGEST_TEXT_MAX]; /* "": none known */
    uint64_t size;
    char *media_type;
    bool kept;       /* layers/NAME.blob is it */
    char **sources;  /* "host/repository" that have it */
};

/* One unpacked layer: layers/NAME/, NAME.json, NAME.recipe or NAME.tar.zst, and NAME.blob
 * where it came from a registry (docs/adr/0012). */
struct image_layer {
    char name[9];
    char diff_id[DIGEST_TEXT_MAX];
    int64_t size;        /* bytes of file contents */
    uint64_t tar_size;   /* of its tar */
    bool exact;          /* has a recipe; else the tar itself is kept, compressed */
    bool flushed;        /* known to be on the disk, not only in the page cache */
    int references;      /* images (once for each use), and pins */
    struct image_blob blob;
    UT_hash_handle hh;   /* by diff_id */
};

struct image_record {
    char id[DIGEST_TEXT_MAX];
    struct image_config *config;
    char parent[DIGEST_TEXT_MAX]; /* "" none */
    char manifest[DIGEST_TEXT_MAX]; /* as a registry has it, in blobs/; "" none */
    int64_t size;
    struct image_layer **layers;  /* bottom first */
    size_t layer_count;
    int holds;
    bool orphan;         /* removed, but a container still stands on it */
    bool built;          /* a step of a build: cached while it has no name */
    UT_hash_handle hh;   /* by id */
};

struct image_name {
    char *text;          /* "repo:tag" or "repo@sha256:...", familiar */
    struct image_record *record;
    UT_hash_handle hh;
};

struct image_store {
    char *dir, *layers_dir;
    int dir_fd, layers_fd, blobs_fd, tmp_fd, disks_fd;
    struct image_limits limits;
    pthread_mutex_t writer;
    pthread_rwlock_t lock;
    struct image_layer *layers;
    struct image_record *records;
    struct image_name *names;
    pthread_mutex_t in_use_lock;
    image_in_use_fn *in_use;
    void *in_use_user;
    pthread_mutex_t disk_lock; /* one disk is made at a time */
    struct image_flusher *flusher;
    int partial_fd;      /* downloads to go on with */
    pthread_mutex_t transfer_lock;
    pthread_cond_t transfer_changed;
    struct image_transfer *transfers;
};

/* --- configs and manifests (parse.c): pure ------------------------------------- */
struct image_config {
    cJSON *json;
    char **diff_ids;
    int64_t created_ns;
    char *os, *architecture, *variant;
};
int image__config_parse(const char *text, size_t length, struct image_config **ret, struct error *err);
void image__config_free(struct image_config *config);
void image__config_freep(struct image_config **config);

/* What an archive offers: one image. Layers are archive members, bottom first. */
struct image_offer {
    char *config;        /* member */
    char *config_digest; /* NULL: none told */
    char **names;        /* as written; checked when used */
    char **layers;
    char **layer_digests; /* parallel to layers; NULL: none told */
};
struct image_offers {
    struct image_offer *list;
    size_t count;
};
void image__offers_clear(struct image_offers *offers);
/* manifest.json of docker save. */
int image__offers_docker(const char *text, size_t length, struct image_offers *ret, struct error *err);

/* An OCI index or manifest. */
struct image_descriptor {
    char digest[DIGEST_TEXT_MAX];
    int64_t size;    /* -1: not told */
    char *media_type;
    char *name;      /* from the annotations; NULL none */
    char *os, *architecture, *variant; /* of its platform; NULL none */
};
struct image_descriptors {
    struct image_descriptor *list;
    size_t count;
};
void image__descriptors_clear(struct image_descriptors *descriptors);
int image__index_parse(const char *text, size_t length, struct image_descriptors *ret, struct error *err);
/* The first one is the config, the others the layers. */
int image__manifest_parse(const char *text, size_t length, struct image_descriptors *ret, struct error *err);
bool image__is_index(const struct image_descriptor *descriptor);
const char *image__host_architecture(void); /* Go's name for it */

/* --- platforms (platform.c): pure ---------------------------------------------------- */
struct image_platform {
    char *os, *architecture, *variant; /* variant NULL: not said */
};
void image__platform_clear(struct image_platform *platform);
/* "linux/arm64/v8", "arm64", "linux"; NULL or "": this machine's. */
int image__platform_parse(const char *text, struct image_platform *ret, struct error *err);
char *image__platform_text(const struct image_platform *platform);
/* How well something made for the other runs where this is wanted: 0 best, -1 not. */
int image__platform_rank(const struct image_platform *wanted, const char *os, const char *architecture, const char *variant);

/* --- names (name.c) --------------------------------------------------------------- */
/* The table's key for a name: "repo:tag" (tag defaults to latest) or "repo@digest". */
int image__name_key(const char *text, char **ret, struct error *err);
/* "repo" of a key. */
char *image__name_repository(const char *key);
const char *image__name_tag(const char *key); /* NULL for a digest */
bool image__name_is_digest(const char *key);

/* --- tables (store.c); callers hold `lock` ------------------------------------------- */
struct image_record *image__find(struct image_store *store, const char *id);
int image__resolve(struct image_store *store, const char *ref, struct image_record **ret, char **ret_key,
                   struct error *err);
int image__resolve_held(struct image_store *store, const char *ref, struct image_record **ret, struct error *err); /* image_get_held() */
char **image__names_of(struct image_store *store, const struct image_record *record); /* sorted, tags and digests */
struct image *image__copy(struct image_store *store, const struct image_record *record);
int image__set_name(struct image_store *store, const char *key, struct image_record *record,
                    struct image_record **ret_before);
void image__unset_name(struct image_store *store, const char *key);
/* Takes `lock` for reading; `writer` is held. */
int image__save_index(struct image_store *store, struct error *err);

/* Makes a config an image (or finds it there already), with its names. Consumes
 * one pin of each layer, also on failure. Takes the locks. */
int image__add(struct image_store *store, const char *text, size_t length, struct image_layer **layers,
               size_t layer_count, const char *parent, char *const *keys, image_progress_fn *progress, void *user,
               char **ret_id, struct error *err);
/* The same for commit and build, which tell nobody of renames; built: see struct image_record,
 * and held once for the caller. */
int image__add_built(struct image_store *store, const char *text, size_t length, struct image_layer **layers,
                     size_t layer_count, const char *parent, bool built, char *const *keys, char **ret_id,
                     struct error *err);
/* Forgets a record without names, or makes it an orphan while it is held. Appends
 * digests of what went to *deleted and bytes to *reclaimed (both may be NULL).
 * Both locks held; what is returned in `trash` names is to be swept outside. */
struct image_trash {
    char **names; /* below tmp/ */
};
void image__forget(struct image_store *store, struct image_record *record, struct image_trash *trash,
                   char ***deleted, int64_t *reclaimed);
void image__sweep(struct image_store *store, struct image_trash *trash);

/* --- layers (layer.c) ------------------------------------------------------------------ */
struct image_layer_source {
    int fd;                   /* the (compressed) tar, from its start; or -EBADF, and: */
    image_read_fn *read;      /* a stream. Of a tar that cannot be given back byte for byte the layer */
    void *user;               /* is then that of an equal tar of our own: nobody was told a digest */
    const char *digest;       /* of the bytes as they are; NULL: not told */
    const char *diff_id;      /* of the tar; NULL: not told */
    unsigned flags;           /* ARCHIVE_STRICT_END */
    uint64_t max_bytes, max_entries;
    uint64_t *done;           /* bytes read so far, for progress; written atomically; may be NULL */
    const atomic_bool *stop;  /* once true: -ECANCELED; may be NULL */
    uint64_t unpacked, entries; /* result */
};
/* A pinned layer. */
int image__layer_unpack(struct image_store *store, struct image_layer_source *source, struct image_layer **ret,
                        struct error *err);
struct image_layer *image__layer_pin(struct image_store *store, const char *diff_id); /* NULL: not here */
void image__layer_unpin(struct image_store *store, struct image_layer *layer);
/* Its very tar. */
int image__layer_tar(struct image_store *store, const struct image_layer *layer, archive_write_fn *write, void *user,
                     struct error *err);
/* Reads layers/ at open; removes what is half there. */
int image__layers_load(struct image_store *store, struct error *err);
/* Last reference gone (lock held): out of the table, and its files below tmp/. */
void image__layer_drop(struct image_store *store, struct image_layer *layer, struct image_trash *trash);
int image__flusher_start(struct image_store *store);
void image__flusher_wake(struct image_store *store);
void image__flusher_stop(struct image_store *store);
void image__flush_layers(struct image_store *store); /* now, in this thread */
int image__layer_write_meta(struct image_store *store, const struct image_layer *layer);
/* What is known of its compressed form; a known one stays. With file (in partial/)
 * that becomes NAME.blob. source NULL: none to add. */
void image__layer_set_blob(struct image_store *store, struct image_layer *layer, const char *digest, uint64_t size,
                           const char *media_type, const char *file, const char *source);
void image__blob_copy(struct image_store *store, const struct image_layer *layer, struct image_blob *ret);
void image__blob_clear(struct image_blob *blob);
int image__layer_open_blob(struct image_store *store, const struct image_layer *layer, int *ret_fd, struct error *err);

/* Keeps the manifest under which a registry has the image, and the names given. */
int image__set_manifest(struct image_store *store, const char *id, const char *digest, const void *text, size_t length,
                        char *const *keys, struct error *err);

/* --- downloads (download.c) ---------------------------------------------------------------
 * One at a time of a blob from one registry: who comes second waits, and then finds the
 * layer there, or goes on where the first one stopped. What has arrived of a blob stays
 * in partial/ for a day. */
enum image_download_status { DOWNLOAD_WAITING, DOWNLOAD_RUNNING, DOWNLOAD_RETRYING, DOWNLOAD_VERIFYING };
struct image_download {
    const char *host, *digest;   /* "localhost:5000"; of the blob */
    uint64_t size;
    uint64_t *done;              /* written atomically */
    const atomic_bool *stop;
    /* Told what is going on; seconds for "retrying". */
    void (*status)(void *user, enum image_download_status status, int seconds);
    void *user;
};
struct session;
struct http;
void image__download_key(const struct image_download *download, char out[65]);
int image__transfer_begin(struct image_store *store, const char *key, const struct image_download *download, struct error *err);
void image__transfer_end(struct image_store *store, const char *key);
/* Between begin and end: the whole blob, checked, as partial/KEY. */
int image__download(struct image_store *store, const char *key, const struct image_download *download,
                    struct session *session, struct http *http, int *ret_fd, struct error *err);
void image__partial_remove(struct image_store *store, const char *key);
/* Those that nobody is at work on; older_than_s 0: all. */
void image__partials_clean(struct image_store *store, int64_t older_than_s);

/* --- disks (disk.c); callers hold `lock` ----------------------------------------------------- */
/* What an image's disk takes of the host's, and when it was made; false: there is none. */
bool image__disk_stat(struct image_store *store, const char *image_id, int64_t *ret_bytes, int64_t *ret_made_ns);
int64_t image__disk_remove(struct image_store *store, const char *image_id); /* bytes that it gave back */

/* --- remove.c; callers hold `lock` ------------------------------------------------------- */
bool image__has_children(struct image_store *store, const char *id);
enum image_use image__ask_use(struct image_store *store, const char *id); /* no lock held */

/* --- temporary files --------------------------------------------------------------------- */
/* A fresh directory below tmp/ (mode 0700); remove with image__tmp_remove(). */
int image__tmp_make(struct image_store *store, char **ret_name, int *ret_fd, struct error *err);
void image__tmp_remove(struct image_store *store, const char *name);
int image__blob_write(struct image_store *store, const char *digest, const void *data, size_t length,
                      struct error *err);
int image__failed(struct error *err, int r, const char *what); /* the store's own files: 404 would lie */

/* --- archives being loaded (spool.c) --------------------------------------------------------- */
struct image_member {
    char *path;       /* cleaned */
    char *target;     /* a link's, cleaned; NULL: a file */
    unsigned number;  /* its file in the spool */
    uint64_t size;
    UT_hash_handle hh;
};
struct image_spool {
    struct image_store *store;
    char *name;
    int fd;
    struct image_member *members;
};
int image__spool(struct image_store *store, archive_read_fn *read, void *user, struct image_spool **ret,
                 struct error *err);
void image__spool_freep(struct image_spool **spool);
const struct image_member *image__spool_find(const struct image_spool *spool, const char *path);
int image__spool_open(const struct image_spool *spool, const char *path, int *ret_fd, uint64_t *ret_size,
                      struct error *err);
int image__spool_text(const struct image_spool *spool, const char *path, char **ret, size_t *ret_length,
                      struct error *err);
