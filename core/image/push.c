/* push.c - images to a registry. Owner: image.
 *
 * An image that came from a registry goes on under the very manifest it came with,
 * as long as each of its layers can be had in that very form: because the target
 * has it, can mount it from a neighbour, or because we kept it. What cannot is
 * compressed anew, always in the same way, and the manifest written anew.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "image/remote.h"
#include "tabique/registry.h"

#define THREADS_MAX 5 /* as Docker: uploads at once */
#define SOURCES_MAX 8 /* repositories to mount from, of one push */
#define TRIES 3

enum note { NOTE_NONE, NOTE_PREPARING, NOTE_WAITING, NOTE_COMPRESSING, NOTE_PUSHING, NOTE_PUSHED, NOTE_EXISTS, NOTE_MOUNTED };

static const struct {
    const char *text;
    bool numbers;
} note_texts[] = {
    [NOTE_PREPARING] = {"Preparing", false}, [NOTE_WAITING] = {"Waiting", false}, [NOTE_COMPRESSING] = {"Compressing", true},
    [NOTE_PUSHING] = {"Pushing", true}, [NOTE_PUSHED] = {"Pushed", false}, [NOTE_EXISTS] = {"Layer already exists", false},
    [NOTE_MOUNTED] = {"Mounted from %s", false},
};

/* One layer, which an image may have more than once. */
struct job {
    struct push *push;
    struct image_layer *layer; /* pinned */
    char id[13];
    /* As it is wanted: of the manifest it came with; "": none. */
    char wanted[DIGEST_TEXT_MAX];
    uint64_t wanted_size;
    const char *wanted_type;
    /* As it is in the target in the end. */
    char digest[DIGEST_TEXT_MAX];
    uint64_t size;
    char *media_type;
    char *mounted_from;
    enum note note, told;
    uint64_t done, total, told_done;
};

struct push {
    struct image_store *store;
    const struct image_remote *remote;
    struct image_reference reference;
    struct image_stop stop;
    struct session *session;
    char id[DIGEST_TEXT_MAX];
    char *config;
    size_t config_length;
    struct registry_manifest manifest; /* it came with; text NULL: none */
    struct image_descriptors parts;    /* of it */
    struct image_layer **layers;       /* pinned, bottom first */
    size_t layer_count;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct job *jobs; /* top first, as Docker tells them */
    size_t count, next, finished;
    struct error error;
};

/* --- telling -------------------------------------------------------------------------------- */

static void note(struct job *job, enum note note, uint64_t total)
{
    pthread_mutex_lock(&job->push->lock);
    job->note = note;
    job->total = total;
    __atomic_store_n(&job->done, 0, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&job->push->lock);
}

static void tell_all(struct push *push)
{
    for (size_t i = 0; i < push->count; i++) {
        struct job *job = &push->jobs[i];
        CLEANUP_FREE char *text = NULL;

        pthread_mutex_lock(&push->lock);
        enum note note = job->note;
        uint64_t done = __atomic_load_n(&job->done, __ATOMIC_RELAXED), total = job->total;
        bool news = note != job->told || (note_texts[note].numbers && done != job->told_done);
        job->told = note;
        job->told_done = done;
        if (note == NOTE_MOUNTED)
            text = mem_printf("Mounted from %s", job->mounted_from);
        pthread_mutex_unlock(&push->lock);
        if (!news || note == NOTE_NONE || !push->remote->report)
            continue;
        struct image_report report = {.id = job->id, .status = text ? text : note_texts[note].text, .layer = true};
        if (note_texts[note].numbers) {
            report.current = (int64_t)(done < total ? done : total);
            report.total = (int64_t)total;
        }
        push->remote->report(push->remote->user, &report);
    }
}

/* --- a layer's bytes ----------------------------------------------------------------------------- */

struct compressing {
    struct job *job;
    z_stream z;
    struct digest *digest;
    int fd;
    uint64_t size;
    unsigned char out[64 << 10];
};

static int deflate_some(struct compressing *c, const void *data, size_t length, int flush)
{
    c->z.next_in = (unsigned char *)data;
    c->z.avail_in = (unsigned)length;
    do {
        c->z.next_out = c->out;
        c->z.avail_out = sizeof(c->out);
        if (deflate(&c->z, flush) == Z_STREAM_ERROR)
            return -EIO;
        size_t n = sizeof(c->out) - c->z.avail_out;
        digest_update(c->digest, c->out, n);
        c->size += n;
        int r = fd_write_all(c->fd, c->out, n);
        if (r < 0)
            return r;
    } while (c->z.avail_out == 0);
    return 0;
}

static int compress_tar(void *user, const void *data, size_t length)
{
    struct compressing *c = user;

    if (atomic_load(&c->job->push->stop.stop))
        return -ECANCELED;
    __atomic_add_fetch(&c->job->done, length, __ATOMIC_RELAXED);
    /* In steps that its counters can hold. */
    for (const char *at = data; length > 0;) {
        size_t n = length < (1u << 20) ? length : (1u << 20);
        int r = deflate_some(c, at, n, Z_NO_FLUSH);

        if (r < 0)
            return r;
        at += n;
        length -= n;
    }
    return 0;
}

/* Into a nameless file; with job->digest, size and type. */
static int compress_layer(struct job *job, int *ret_fd, struct error *err)
{
    struct image_store *store = job->push->store;
    CLEANUP_CLOSE int fd = openat(store->tmp_fd, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    CLEANUP_FREE struct compressing *c = mem_new(struct compressing);

    if (fd < 0)
        return image__failed(err, -errno, "cannot make a temporary file");
    note(job, NOTE_COMPRESSING, job->layer->tar_size);
    /* 16 + 15: gzip; its header has neither time nor name, so equal tars give equal bytes. */
    if (deflateInit2(&c->z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 16 + 15, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return error_set(err, ENOMEM, "no memory to compress a layer");
    c->job = job;
    c->fd = fd;
    c->digest = digest_new();
    int r = image__layer_tar(store, job->layer, compress_tar, c, err);
    if (r == 0 && (r = deflate_some(c, NULL, 0, Z_FINISH)) < 0)
        r = image__failed(err, r, "cannot compress a layer");
    deflateEnd(&c->z);
    if (r == 0) {
        digest_finish(c->digest, job->digest);
        job->size = c->size;
        free(job->media_type);
        job->media_type = mem_strdup(MEDIA_LAYER);
    }
    digest_free(c->digest);
    if (r < 0)
        return atomic_load(&job->push->stop.stop) ? error_set(err, ECANCELED, "context canceled") : r;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

struct sending {
    struct job *job;
    const char *text; /* or the file's */
    int fd;
    uint64_t at, size;
};

static ssize_t send_some(void *user, void *buffer, size_t size)
{
    struct sending *sending = user;
    size_t left = sending->size - sending->at;
    ssize_t n;

    if (size > left)
        size = left;
    if (sending->text) {
        memcpy(buffer, sending->text + sending->at, size);
        n = (ssize_t)size;
    } else {
        n = pread(sending->fd, buffer, size, (off_t)sending->at);
    }
    if (n < 0)
        return -errno;
    sending->at += (size_t)n;
    if (sending->job)
        __atomic_store_n(&sending->job->done, sending->at, __ATOMIC_RELAXED);
    return n;
}

/* To an upload that has begun, or (location NULL) to a new one. */
static int upload(struct push *push, struct http *http, struct sending *sending, const char *digest, char *location, struct error *err)
{
    CLEANUP_FREE char *to = location;

    for (int tries = 1;; tries++) {
        int r = 0;

        sending->at = 0;
        if (!to)
            r = registry_blob_begin(push->session, http, digest, NULL, &to, err);
        if (r == 0)
            r = registry_blob_send(push->session, http, &to, send_some, sending, (int64_t)sending->size, err);
        if (r == 0)
            r = registry_blob_finish(push->session, http, to, digest, err);
        if (r == 0)
            return 0;
        if (to && !atomic_load(&push->stop.stop))
            registry_blob_abandon(push->session, http, to);
        free(to);
        to = NULL;
        if ((r != -EIO && r != -ETIMEDOUT) || tries >= TRIES)
            return r;
        r = registry__session_wait(&push->session->cancel, 1000 << (tries - 1), err);
        if (r < 0)
            return r;
    }
}

/* --- one layer ------------------------------------------------------------------------------------- */

static void settle(struct job *job, const char *digest, uint64_t size, const char *media_type)
{
    memcpy(job->digest, digest, DIGEST_TEXT_MAX);
    job->size = size;
    if (job->media_type != media_type) {
        free(job->media_type);
        job->media_type = mem_strdup(media_type);
    }
}

/* Whether the target has it, or can take it from a repository beside it. 1: it is
 * there; 0: not, and *ret_location may be an upload that has begun. */
static int there_or_mounted(struct job *job, struct http *http, const char *digest, uint64_t size, char *const *sources,
                            char **ret_location, struct error *err)
{
    struct push *push = job->push;
    int64_t told = -1;

    int r = registry_blob_exists(push->session, http, digest, &told, err);
    if (r < 0)
        return r;
    if (r == 1 && (told < 0 || (uint64_t)told == size)) {
        note(job, NOTE_EXISTS, 0);
        return 1;
    }
    CLEANUP_FREE char *prefix = mem_printf("%s/", push->reference.domain);
    for (char *const *source = sources; source && *source; source++) {
        const char *path = *source + strlen(prefix);

        if (!str_starts(*source, prefix) || strcmp(path, push->reference.path) == 0)
            continue;
        free(*ret_location);
        *ret_location = NULL;
        r = registry_blob_begin(push->session, http, digest, path, ret_location, err);
        if (r == -EACCES || r == -EPERM || r == -ENOENT)
            continue; /* not ours to mount from */
        if (r < 0)
            return r;
        if (r == 1) {
            pthread_mutex_lock(&push->lock);
            job->mounted_from = mem_strdup(path);
            pthread_mutex_unlock(&push->lock);
            note(job, NOTE_MOUNTED, 0);
            return 1;
        }
        break;
    }
    return 0;
}

/* In the form that is known (of the manifest, or what was pushed before). 1: done. */
static int push_known(struct job *job, struct http *http, const char *digest, uint64_t size, const char *media_type,
                      const struct image_blob *blob, struct error *err)
{
    struct push *push = job->push;
    CLEANUP_FREE char *location = NULL;
    CLEANUP_CLOSE int fd = -EBADF;
    bool same = strcmp(blob->digest, digest) == 0;
    char found[DIGEST_TEXT_MAX];

    int r = there_or_mounted(job, http, digest, size, same ? blob->sources : NULL, &location, err);
    if (r == 0 && same && blob->kept) {
        r = image__layer_open_blob(push->store, job->layer, &fd, err);
        /* The disk may have forgotten it; then the layer itself is still there. */
        if (r == 0 && digest_of_fd(fd, found) == 0 && strcmp(found, digest) == 0) {
            struct sending sending = {.job = job, .fd = fd, .size = size};

            note(job, NOTE_PUSHING, size);
            r = upload(push, http, &sending, digest, TAKE_PTR(location), err);
            if (r == 0) {
                note(job, NOTE_PUSHED, 0);
                r = 1;
            }
        } else {
            r = 0;
        }
    }
    if (location)
        registry_blob_abandon(push->session, http, location);
    if (r == 1)
        settle(job, digest, size, media_type);
    return r;
}

static int push_compressed(struct job *job, struct http *http, const struct image_blob *blob, struct error *err)
{
    struct push *push = job->push;
    CLEANUP_CLOSE int fd = -EBADF;
    CLEANUP_FREE char *location = NULL;

    int r = compress_layer(job, &fd, err);
    if (r < 0)
        return r;
    r = there_or_mounted(job, http, job->digest, job->size, strcmp(blob->digest, job->digest) == 0 ? blob->sources : NULL, &location, err);
    if (r != 0)
        return r < 0 ? r : 0;
    struct sending sending = {.job = job, .fd = fd, .size = job->size};
    note(job, NOTE_PUSHING, job->size);
    r = upload(push, http, &sending, job->digest, TAKE_PTR(location), err);
    if (r == 0)
        note(job, NOTE_PUSHED, 0);
    return r;
}

static int run_job(struct job *job, struct http *http, struct error *err)
{
    struct push *push = job->push;
    CLEANUP(image__blob_clear) struct image_blob blob = {0};
    int r = 0;

    image__blob_copy(push->store, job->layer, &blob);
    if (*job->wanted)
        r = push_known(job, http, job->wanted, job->wanted_size, job->wanted_type, &blob, err);
    if (r == 0 && *blob.digest && strcmp(blob.digest, job->wanted) != 0)
        r = push_known(job, http, blob.digest, blob.size, blob.media_type, &blob, err);
    if (r == 0)
        r = push_compressed(job, http, &blob, err);
    if (r < 0)
        return r;
    CLEANUP_FREE char *source = mem_printf("%s/%s", push->reference.domain, push->reference.path);
    image__layer_set_blob(push->store, job->layer, job->digest, job->size, job->media_type, NULL, source);
    return 0;
}

static void *worker_main(void *user)
{
    struct push *push = user;
    CLEANUP_HTTP struct http *http = registry_session_http(push->session);

    pthread_mutex_lock(&push->lock);
    while (push->error.code == 0 && push->next < push->count) {
        struct job *job = &push->jobs[push->next++];
        struct error err = ERROR_INIT;

        pthread_mutex_unlock(&push->lock);
        int r = run_job(job, http, &err);
        pthread_mutex_lock(&push->lock);
        if (r < 0 && push->error.code == 0) {
            push->error = err;
            push->error.code = -r;
            atomic_store(&push->stop.stop, true);
        }
    }
    push->finished++;
    pthread_cond_signal(&push->changed);
    pthread_mutex_unlock(&push->lock);
    return NULL;
}

static int push_layers(struct push *push, struct error *err)
{
    pthread_t threads[THREADS_MAX];
    size_t started = 0, wanted = push->count < THREADS_MAX ? push->count : THREADS_MAX;

    tell_all(push);
    for (size_t i = THREADS_MAX; i < push->count; i++)
        push->jobs[i].note = NOTE_WAITING;
    while (started < wanted && pthread_create(&threads[started], NULL, worker_main, push) == 0)
        started++;
    if (started < wanted && started == 0)
        return error_set(err, EAGAIN, "cannot start a thread");
    for (bool over = started == 0; !over;) {
        struct timespec until;

        tell_all(push);
        image__stop_asked(&push->stop);
        pthread_mutex_lock(&push->lock);
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 100 * NS_PER_MS;
        until.tv_sec += until.tv_nsec / NS_PER_SEC;
        until.tv_nsec %= NS_PER_SEC;
        if (push->finished < started)
            pthread_cond_timedwait(&push->changed, &push->lock, &until);
        over = push->finished == started;
        pthread_mutex_unlock(&push->lock);
    }
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    tell_all(push);
    if (push->error.code)
        return error_set(err, push->error.code, "%s", push->error.message);
    return image__stop_asked(&push->stop) ? error_set(err, ECANCELED, "context canceled") : 0;
}

/* --- what to push ----------------------------------------------------------------------------------- */

static void push_clear(struct push *push)
{
    for (size_t i = 0; i < push->layer_count; i++)
        image__layer_unpin(push->store, push->layers[i]);
    free(push->layers);
    for (size_t i = 0; i < push->count; i++) {
        free(push->jobs[i].media_type);
        free(push->jobs[i].mounted_from);
    }
    free(push->jobs);
    free(push->config);
    registry_manifest_clear(&push->manifest);
    image__descriptors_clear(&push->parts);
    push->layers = NULL;
    push->jobs = NULL;
    push->config = NULL;
    push->layer_count = push->count = push->next = push->finished = 0;
}

static int take_image(struct push *push, const char *key, struct error *err)
{
    struct image_store *store = push->store;
    struct image_name *name;
    int r = 0;

    pthread_rwlock_wrlock(&store->lock); /* pins */
    HASH_FIND_STR(store->names, key, name);
    struct image_record *record = name ? name->record : NULL;
    if (record) {
        memcpy(push->id, record->id, DIGEST_TEXT_MAX);
        memcpy(push->manifest.digest, record->manifest, DIGEST_TEXT_MAX);
        push->layers = mem_array(record->layer_count + 1, sizeof(*push->layers));
        push->layer_count = record->layer_count;
        for (size_t i = 0; i < record->layer_count; i++) {
            push->layers[i] = record->layers[i];
            push->layers[i]->references++;
        }
        r = file_read(store->blobs_fd, digest_hex(push->id), IMAGE_CONFIG_MAX, &push->config, &push->config_length);
        if (r == 0 && *push->manifest.digest &&
            file_read(store->blobs_fd, digest_hex(push->manifest.digest), MANIFEST_MAX, &push->manifest.text, &push->manifest.length) < 0)
            push->manifest.text = NULL;
    }
    pthread_rwlock_unlock(&store->lock);
    if (!record)
        return error_set(err, ENOENT, "tag does not exist: %s", key);
    return r < 0 ? image__failed(err, r, "cannot read a config") : 0;
}

/* The manifest it came with, if that is whole and of this very image. */
static bool manifest_fits(struct push *push)
{
    char found[DIGEST_TEXT_MAX];

    if (!push->manifest.text)
        return false;
    digest_of(push->manifest.text, push->manifest.length, found);
    if (strcmp(found, push->manifest.digest) != 0 ||
        image__manifest_parse(push->manifest.text, push->manifest.length, &push->parts, NULL) < 0)
        return false;
    if (strcmp(push->parts.list[0].digest, push->id) != 0 || push->parts.count != push->layer_count + 1)
        return false;
    for (size_t i = 0; i < push->parts.count; i++)
        if (push->parts.list[i].size < 0)
            return false;
    return true;
}

static struct job *job_of(struct push *push, const struct image_layer *layer)
{
    for (size_t i = 0; i < push->count; i++)
        if (push->jobs[i].layer == layer)
            return &push->jobs[i];
    return NULL;
}

static void make_jobs(struct push *push, bool fits)
{
    push->jobs = mem_array(push->layer_count + 1, sizeof(*push->jobs));
    for (size_t i = push->layer_count; i-- > 0;) {
        struct image_layer *layer = push->layers[i];

        if (job_of(push, layer))
            continue;
        struct job *job = &push->jobs[push->count++];
        *job = (struct job){.push = push, .layer = layer, .note = NOTE_PREPARING};
        snprintf(job->id, sizeof(job->id), "%.12s", digest_hex(layer->diff_id));
        if (fits) {
            const struct image_descriptor *part = &push->parts.list[i + 1];

            memcpy(job->wanted, part->digest, DIGEST_TEXT_MAX);
            job->wanted_size = (uint64_t)part->size;
            job->wanted_type = part->media_type;
        }
    }
}

/* --- the manifest ------------------------------------------------------------------------------------- */

/* As Docker writes it, to the byte: an image whose layers are equal has equal digests. */
static void write_manifest(struct push *push)
{
    struct registry_manifest *manifest = &push->manifest;
    CLEANUP_STR struct str text = STR_INIT;
    bool oci = false; /* Docker's own form knows gzip only */

    for (size_t i = 0; i < push->count; i++)
        oci = oci || strstr(push->jobs[i].media_type, "zstd");
    str_printf(&text,
               "{\n   \"schemaVersion\": 2,\n   \"mediaType\": \"%s\",\n   \"config\": {\n      \"mediaType\": \"%s\",\n"
               "      \"size\": %zu,\n      \"digest\": \"%s\"\n   },\n   \"layers\": [",
               oci ? MEDIA_OCI_MANIFEST : MEDIA_MANIFEST, oci ? MEDIA_OCI_CONFIG : MEDIA_CONFIG, push->config_length, push->id);
    for (size_t i = 0; i < push->layer_count; i++) {
        const struct job *job = job_of(push, push->layers[i]);
        bool gzip = strstr(job->media_type, "gzip") != NULL;
        const char *type = oci ? (gzip ? MEDIA_OCI_LAYER "+gzip" : strstr(job->media_type, "zstd") ? MEDIA_OCI_LAYER "+zstd" : MEDIA_OCI_LAYER)
                               : (gzip ? MEDIA_LAYER : "application/vnd.docker.image.rootfs.diff.tar");

        str_printf(&text, "%s\n      {\n         \"mediaType\": \"%s\",\n         \"size\": %llu,\n         \"digest\": \"%s\"\n      }",
                   i ? "," : "", type, (unsigned long long)job->size, job->digest);
    }
    str_append(&text, push->layer_count ? "\n   ]\n}" : "]\n}");
    registry_manifest_clear(manifest);
    manifest->length = text.length;
    manifest->text = str_take(&text);
    manifest->media_type = mem_strdup(oci ? MEDIA_OCI_MANIFEST : MEDIA_MANIFEST);
    digest_of(manifest->text, manifest->length, manifest->digest);
}

/* Whether the layers have become what the manifest it came with says. */
static bool manifest_holds(struct push *push)
{
    for (size_t i = 0; i < push->layer_count; i++)
        if (strcmp(job_of(push, push->layers[i])->digest, push->parts.list[i + 1].digest) != 0)
            return false;
    CLEANUP_JSON cJSON *json = NULL;
    if (json_parse(push->manifest.text, push->manifest.length, &json, NULL) < 0)
        return false;
    push->manifest.media_type = mem_strdup(json_string(json, "mediaType", MEDIA_OCI_MANIFEST));
    return true;
}

static int push_config(struct push *push, struct http *http, struct error *err)
{
    struct sending sending = {.text = push->config, .fd = -EBADF, .size = push->config_length};
    int64_t told = -1;

    int r = registry_blob_exists(push->session, http, push->id, &told, err);
    if (r < 0 || (r == 1 && (told < 0 || (size_t)told == push->config_length)))
        return r < 0 ? r : 0;
    return upload(push, http, &sending, push->id, NULL, err);
}

static void tell_end(struct push *push, const char *tag)
{
    CLEANUP_JSON cJSON *aux = cJSON_CreateObject();

    image__report(push->remote, NULL, "%s: digest: %s size: %zu", tag, push->manifest.digest, push->manifest.length);
    json_add_string(aux, "Tag", tag);
    json_add_string(aux, "Digest", push->manifest.digest);
    json_add_int(aux, "Size", (int64_t)push->manifest.length);
    const struct image_report report = {.aux = aux, .layer = true};
    if (push->remote->report)
        push->remote->report(push->remote->user, &report);
}

static int push_tag(struct push *push, struct http *http, const char *key, struct error *err)
{
    const char *tag = image__name_tag(key);
    CLEANUP_STRV char **keys = NULL;

    int r = take_image(push, key, err);
    if (r < 0)
        return r;
    bool fits = manifest_fits(push);
    make_jobs(push, fits);
    r = push_layers(push, err);
    if (r == 0)
        r = push_config(push, http, err);
    if (r < 0)
        return r;
    if (!fits || !manifest_holds(push))
        write_manifest(push);
    r = registry_manifest_put(push->session, http, tag, &push->manifest, err);
    if (r < 0)
        return r;
    strv_take(&keys, mem_printf("%s@%s", push->reference.repository, push->manifest.digest));
    /* The image may have been removed meanwhile; it is pushed all the same. */
    r = image__set_manifest(push->store, push->id, push->manifest.digest, push->manifest.text, push->manifest.length, keys, err);
    if (r < 0 && r != -ENOENT)
        return r;
    tell_end(push, tag);
    return 0;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The repository's tags that are here, or the one asked for. */
static int choose_tags(struct push *push, char ***ret, struct error *err)
{
    struct image_store *store = push->store;
    struct image_name *name, *next;
    CLEANUP_STRV char **keys = NULL;
    bool any = false;

    pthread_rwlock_rdlock(&store->lock);
    HASH_ITER(hh, store->names, name, next) {
        CLEANUP_FREE char *repository = image__name_repository(name->text);

        if (strcmp(repository, push->reference.repository) != 0)
            continue;
        any = true;
        if (!push->reference.tag && !image__name_is_digest(name->text))
            strv_push(&keys, name->text);
    }
    pthread_rwlock_unlock(&store->lock);
    if (!any)
        return error_set(err, ENOENT, "An image does not exist locally with the tag: %s", push->reference.repository);
    if (push->reference.tag)
        strv_take(&keys, mem_printf("%s:%s", push->reference.repository, push->reference.tag));
    if (strv_length(keys) > 1)
        qsort(keys, strv_length(keys), sizeof(*keys), by_bytes);
    *ret = TAKE_PTR(keys);
    return 0;
}

/* Repositories of the target registry that are known to have one of the layers: the
 * token must allow reading them. */
static void add_source_scopes(struct push *push, char *const *keys, char ***scopes)
{
    struct image_store *store = push->store;
    CLEANUP_FREE char *prefix = mem_printf("%s/", push->reference.domain);

    pthread_rwlock_rdlock(&store->lock);
    for (char *const *key = keys; key && *key; key++) {
        struct image_name *name;

        HASH_FIND_STR(store->names, *key, name);
        for (size_t i = 0; name && i < name->record->layer_count; i++)
            for (char **source = name->record->layers[i]->blob.sources; source && *source; source++) {
                CLEANUP_FREE char *scope = mem_printf("repository:%s:pull", *source + (str_starts(*source, prefix) ? strlen(prefix) : 0));

                if (str_starts(*source, prefix) && strcmp(*source + strlen(prefix), push->reference.path) != 0 &&
                    !strv_contains(*scopes, scope) && strv_length(*scopes) <= SOURCES_MAX)
                    strv_push(scopes, scope);
            }
    }
    pthread_rwlock_unlock(&store->lock);
}

static int push_tags(struct push *push, char *const *keys, struct error *err)
{
    CLEANUP(registry_endpoints_clear) struct endpoints endpoints = {0};
    CLEANUP_STRV char **scopes = NULL;
    enum registry_fault fault = FAULT_NONE;

    int r = registry_endpoints_find(push->remote->registry, push->reference.domain, false, &endpoints, err);
    if (r < 0)
        return r;
    strv_take(&scopes, mem_printf("repository:%s:pull,push", push->reference.path));
    add_source_scopes(push, keys, &scopes);
    r = registry_session_open(push->remote->registry, &endpoints, 0, push->reference.path, (const char *const *)scopes,
                              push->remote->credentials, (struct registry_cancel){image__stop_asked, &push->stop}, &push->session,
                              &fault, err);
    if (r < 0)
        return r;
    CLEANUP_HTTP struct http *http = registry_session_http(push->session);
    for (char *const *key = keys; r == 0 && *key; key++) {
        r = push_tag(push, http, *key, err);
        push_clear(push);
    }
    registry_session_freep(&push->session);
    return r;
}

int image_push(struct image_store *store, const struct image_remote *remote, const char *name, struct error *err)
{
    CLEANUP_STRV char **keys = NULL;
    struct push push = {.store = store, .remote = remote, .stop = {.remote = remote, .owner = pthread_self()}};

    int r = image__reference_parse(name, &push.reference, err);
    if (r == 0 && push.reference.digest)
        r = error_set(err, EINVAL, "cannot push a digest reference");
    if (r == 0) {
        image__report(remote, NULL, "The push refers to repository [%s/%s]", push.reference.domain, push.reference.path);
        r = choose_tags(&push, &keys, err);
    }
    pthread_mutex_init(&push.lock, NULL);
    pthread_cond_init(&push.changed, NULL);
    if (r == 0 && keys)
        r = push_tags(&push, keys, err);
    pthread_mutex_destroy(&push.lock);
    pthread_cond_destroy(&push.changed);
    image__reference_clear(&push.reference);
    return r;
}
