/* image.h - images: a content-addressed store of OCI and Docker images.
 *
 * On disk, below <data>/images (root only):
 *     blobs/sha256/HEX      configs; manifests of what came from a registry
 *     layers/NAME/          one unpacked layer each, overlayfs conventions for
 *                           whiteouts; NAME is short (8 hex) and unique, found
 *                           by diff id; shared between images
 *     layers/NAME.json      its diff id and sizes
 *     layers/NAME.recipe    all of its tar but the files' contents, so that save
 *                           and push give back the very bytes that were digested
 *                           (NAME.tar.zst, the whole tar, where an archive makes
 *                           a recipe impossible)
 *     layers/NAME.blob      as its registry has it, for a push that keeps digests
 *     partial/HEX           of downloads that stopped; for a day
 *     disks/HEX.erofs       an image as a read-only disk (image/disk.h)
 *     index.json            names -> image ids; state file (atomic)
 *     tmp/                  work in progress; emptied at open
 *
 * Everything that arrives is hostile: see archive/. A failed load leaves
 * nothing. Threads: any; long operations do not block look-ups.
 * Sources: OCI image-spec, Docker image spec v1.2 (docker save).
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct error;
struct image_store;
struct registry;
struct registry_credentials;

struct image_limits {
    uint64_t max_unpacked_bytes;  /* of one archive; 0: 64 GiB */
    uint64_t max_entries;         /* 0: 4,000,000 */
    double max_ratio;             /* unpacked : packed; 0: 200; counts from 512 MiB unpacked on */
};

/* Whether a container uses the image, and the id of one that does (a running one
 * first; free()). Called without the store's lock. */
enum image_use { IMAGE_UNUSED, IMAGE_USED_STOPPED, IMAGE_USED_RUNNING };
typedef enum image_use image_in_use_fn(void *user, const char *image_id, char **ret_container);

int image_store_open(const char *dir, const struct image_limits *limits, struct image_store **ret,
                     struct error *err);
void image_store_close(struct image_store *store);
void image_store_set_in_use(struct image_store *store, image_in_use_fn *fn, void *user);
const char *image_store_layers_dir(const struct image_store *store);

struct image {
    char *id;               /* "sha256:..." digest of the config */
    char **names;           /* "tabique/base:latest" (familiar form), sorted; may be empty */
    char **digests;         /* "name@sha256:..." */
    char *parent;           /* image id or "" */
    int64_t created_ns;
    int64_t size;           /* unpacked bytes of all layers */
    char *os, *architecture, *variant;
    cJSON *config;          /* the whole OCI config (config.config is Docker's Config) */
    char **diff_ids;        /* bottom first */
    int64_t *layer_sizes;   /* bytes unpacked, one for each diff id */
    char **layers;          /* names below layers_dir, TOPMOST first: overlay's order */
};
void image_free(struct image *image);
void image_freep(struct image **image);

/* ref: name[:tag], name@digest, id or unique id prefix, as Docker resolves it.
 * -ENOENT "No such image: REF"; -EINVAL for a malformed name or ambiguous prefix. */
int image_get(struct image_store *store, const char *ref, struct image **ret, struct error *err);
/* What is held (image_hold()) by its id, also when it has been removed meanwhile: to the
 * world there is no such image. */
int image_get_held(struct image_store *store, const char *id, struct image **ret, struct error *err);
typedef int image_fn(void *user, const struct image *image);
int image_each(struct image_store *store, image_fn *fn, void *user); /* newest first */

/* Source of archive bytes: returns count, 0 at the end, -errno. */
typedef ssize_t image_read_fn(void *user, void *buffer, size_t size);
typedef int image_write_fn(void *user, const void *data, size_t size);
/* One progress line; status "Loaded image: NAME" etc., id and detail may be NULL. */
typedef void image_progress_fn(void *user, const char *id, const char *status, int64_t current,
                               int64_t total);

/* docker-archive or OCI layout; plain, gzip, zstd, bzip2, xz. */
int image_load(struct image_store *store, image_read_fn *read, image_progress_fn *progress, void *user,
               struct error *err);
/* docker-archive with an OCI index besides, as current Docker writes it. */
int image_save(struct image_store *store, char *const *refs, image_write_fn *write, void *user,
               struct error *err);
/* --- registries (tabique/registry.h) ------------------------------------------------------- */
/* One line of a pull's or push's progress, as clients draw it. */
struct image_report {
    const char *id;         /* of a layer (12 digits), or a tag; NULL: of the whole */
    const char *status;
    int64_t current, total; /* 0: no numbers */
    bool layer;             /* a layer's line, which the next one of the same id replaces */
    const cJSON *aux;       /* machine-readable, at a push's end; NULL */
};
typedef void image_report_fn(void *user, const struct image_report *report);

struct image_remote {
    struct registry *registry;
    const struct registry_credentials *credentials; /* NULL: nobody */
    image_report_fn *report;    /* called in the caller's thread */
    bool (*cancelled)(void *user); /* NULL: never; in the caller's thread */
    void *user;
};
/* name: repository[:tag|@digest]; with neither, and all_tags, every tag there is.
 * platform NULL: this machine's. What is not whole and right leaves no trace but,
 * for a day, the downloaded part of a layer. -ECANCELED. */
int image_pull(struct image_store *store, const struct image_remote *remote, const char *name, bool all_tags,
               const char *platform, struct error *err);
/* name: repository[:tag]; without a tag every one of the repository. The manifest
 * is the one it was pulled with, byte for byte, wherever its layers can be had. */
int image_push(struct image_store *store, const struct image_remote *remote, const char *name, struct error *err);
/* Docker's answer to /distribution/NAME/json. */
int image_inspect_remote(const struct image_remote *remote, const char *name, cJSON **ret, struct error *err);

/* A root file system tar becomes an image. changes: Dockerfile instructions. */
int image_import(struct image_store *store, image_read_fn *read, void *user, const char *repo,
                 const char *tag, const char *message, char *const *changes, const char *platform,
                 char **ret_id, struct error *err);
/* A new layer over `parent` (NULL: none) read as a tar with OCI whiteouts, and
 * the Config given, become an image. What it was made in is noted: the container's id
 * (NULL: none) and Config, whose command the history shows. */
int image_commit(struct image_store *store, const char *parent_id, const char *container_id,
                 image_read_fn *read, void *user, const cJSON *container, const cJSON *config,
                 const char *author, const char *comment, const char *name, char **ret_id, struct error *err);
int image_tag(struct image_store *store, const char *ref, const char *name, struct error *err);

/* --- builds: steps, and the cache that they are ------------------------------------- */
/* One step's image: over `parent_id` (NULL or "": nothing) the layer that is read as a
 * tar (read NULL: none) or is here already (diff_id), with exactly this Config. A step
 * is the cache of the next build of the same: nameless images with children. It is
 * held (image_hold()) for the caller, so that no prune comes between. */
struct image_step {
    const cJSON *config;
    const char *created_by;  /* in its history: what the step did, checksums of copied files included */
    const char *author;
    const char *platform;    /* without a parent: "linux/arm64"; NULL: this machine's */
    const char *diff_id;
};
int image_step(struct image_store *store, const char *parent_id, image_read_fn *read, void *user,
               const struct image_step *step, char **ret_id, struct error *err);
/* The newest image that this step would make again, held (image_hold()) for the
 * caller; -ENOENT: none. */
int image_step_find(struct image_store *store, const char *parent_id, const struct image_step *step, char **ret_id);
/* From another image's history (--cache-from): whether `ref` begins with parent's layers
 * and history and goes on with this step. -ENOENT: no. *ret_diff_id NULL: without a layer. */
int image_step_find_in(struct image_store *store, const char *ref, const char *parent_id, const char *created_by,
                       char **ret_diff_id);

/* What builds and machines made on their way, and would make again: steps, and images as
 * disks (<images>/disks). */
struct image_cache_entry {
    enum { IMAGE_CACHE_STEP, IMAGE_CACHE_DISK } kind;
    char *id, *parent, *description; /* a disk's parent is its image */
    int64_t size;        /* of a step's own layer; of the host's disk that a disk takes */
    int64_t created_ns;
    bool in_use;         /* an image with a name or a container stands on it; a disk: a container */
    bool shared;         /* its bytes are a named image's, too */
};
typedef int image_cache_fn(void *user, const struct image_cache_entry *entry);
int image_cache_each(struct image_store *store, image_cache_fn *fn, void *user);
struct image_cache_pruning {
    bool all; /* also the steps that images with names were built from (these stay whole) */
    bool (*wanted)(void *user, const struct image_cache_entry *entry);
    void *user;
    /* Bytes; 0: not said. With none of them all that is wanted goes; else disks, then the oldest
     * steps go until no more than max_used is left and the host's has min_free, but reserved always
     * stay. A disk that a container may be started from at any time stays in any case. */
    int64_t reserved, max_used, min_free;
};
int image_cache_prune(struct image_store *store, const struct image_cache_pruning *pruning, char ***ret_deleted,
                      int64_t *ret_reclaimed, struct error *err);

struct image_removal {
    char **untagged;
    char **deleted;
};
void image_removal_clear(struct image_removal *removal);
int image_remove(struct image_store *store, const char *ref, bool force, bool no_prune,
                 struct image_removal *ret, struct error *err);
/* dangling_only: only nameless ones. Others: all not in use. until_ns: created before. */
int image_prune(struct image_store *store, bool dangling_only, int64_t until_ns, char *const *labels,
                struct image_removal *ret, int64_t *ret_reclaimed, struct error *err);

struct image_history {
    char *id;            /* "<missing>" but for the newest */
    int64_t created_ns;
    char *created_by;
    int64_t size;
    char *comment;
    char **tags;
};
int image_history(struct image_store *store, const char *ref, struct image_history **ret,
                  size_t *ret_count, struct error *err);
void image_history_free(struct image_history *history, size_t count);

/* Keeps an image's layers while a container stands on them, whoever removes
 * its names meanwhile; released by id. Counted. Containers re-hold at start. */
int image_hold(struct image_store *store, const char *image_id, struct error *err);
void image_release(struct image_store *store, const char *image_id);

/* Reference grammar (distribution reference): familiar and canonical forms. */
/* ret_repository is familiar ("ubuntu", "tabique/base", "host:5000/x"); ret_tag and
 * ret_digest are NULL where not said; each ret_ may be NULL. */
int image_name_parse(const char *text, char **ret_repository, char **ret_tag, char **ret_digest,
                     struct error *err);
/* "repo" and "tag" (or a digest, or nothing) of a request as one name, checked. */
int image_name_join(const char *repository, const char *tag, char **ret, struct error *err);
/* "ubuntu" -> "docker.io/library/ubuntu": of a familiar repository. */
char *image_name_canonical(const char *repository);

/* Whether text ("linux/arm64"; NULL and "" are the host's) is a platform's name. */
int image_platform_check(const char *text, struct error *err);

/* Dockerfile instructions of commit/import --change applied to a Config. */
int image_apply_changes(cJSON *config, char *const *changes, struct error *err);

/* What the store takes, what is shared counted once. */
struct image_usage {
    int64_t layers;     /* bytes of the unpacked files */
    int64_t compressed; /* of layers as their registries have them, kept for pushes */
    int64_t disks;      /* of the host's disk, for images as disks */
};
void image_store_usage(struct image_store *store, struct image_usage *ret);
