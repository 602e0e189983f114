/* pull.c - images from a registry. Owner: image.
 *
 * The config is fetched first: it says by content which layers are here already.
 * The others are fetched and unpacked by a few threads, which only note what they
 * do; the caller's thread tells it, asks whether to go on, and makes the image
 * known when all is whole.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "image/remote.h"
#include "tabique/registry.h"

#define THREADS_MAX 3 /* as Docker: downloads at once */
#define INDEX_DEPTH_MAX 3
#define NOTES_MAX 16

enum note { NOTE_EXISTS, NOTE_FS_LAYER, NOTE_WAITING, NOTE_DOWNLOADING, NOTE_RETRYING, NOTE_VERIFYING, NOTE_DOWNLOADED, NOTE_EXTRACTING, NOTE_COMPLETE };

static const struct {
    const char *text;
    bool numbers;
} note_texts[] = {
    [NOTE_EXISTS] = {"Already exists", false},
    [NOTE_FS_LAYER] = {"Pulling fs layer", false},
    [NOTE_WAITING] = {"Waiting", false},
    [NOTE_DOWNLOADING] = {"Downloading", true},
    [NOTE_RETRYING] = {"Retrying in %d second%s", false},
    [NOTE_VERIFYING] = {"Verifying Checksum", false},
    [NOTE_DOWNLOADED] = {"Download complete", false},
    [NOTE_EXTRACTING] = {"Extracting", true},
    [NOTE_COMPLETE] = {"Pull complete", false},
};

/* One layer. */
struct job {
    struct pull *pull;
    const struct image_descriptor *descriptor;
    const char *diff_id;
    char id[13];
    struct image_layer *layer; /* pinned, when it is there */
    uint64_t done, told;       /* of descriptor->size */
    int retry_seconds;
    unsigned char notes[NOTES_MAX]; /* not told yet */
    size_t note_count;
};

struct pull {
    struct image_store *store;
    const struct image_remote *remote;
    const struct image_reference *reference;
    struct image_platform platform;
    bool platform_asked;
    struct image_stop stop;
    struct session *session;
    bool begun;     /* layers are coming: no other mirror is tried any more */
    bool updated;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct job *jobs;
    size_t count, next, finished;
    uint64_t unpacked, entries;
    struct error error; /* the first one; code 0: none */
};

/* --- telling ------------------------------------------------------------------------------ */

static void note_locked(struct job *job, enum note note)
{
    if (job->note_count && job->notes[job->note_count - 1] == note)
        return;
    if (job->note_count < NOTES_MAX)
        job->notes[job->note_count++] = (unsigned char)note;
}

static void note(struct job *job, enum note note)
{
    pthread_mutex_lock(&job->pull->lock);
    note_locked(job, note);
    pthread_mutex_unlock(&job->pull->lock);
}

static void tell(struct pull *pull, struct job *job, enum note note)
{
    const int64_t total = (int64_t)job->descriptor->size;
    int64_t done = (int64_t)__atomic_load_n(&job->done, __ATOMIC_RELAXED);
    struct image_report report = {.id = job->id, .status = note_texts[note].text, .layer = true};
    CLEANUP_FREE char *text = NULL;

    if (note == NOTE_RETRYING) {
        text = mem_printf("Retrying in %d second%s", job->retry_seconds, job->retry_seconds == 1 ? "" : "s");
        report.status = text;
    }
    if (note_texts[note].numbers) {
        report.current = done < total ? done : total;
        report.total = total;
        job->told = (uint64_t)done;
    }
    if (pull->remote->report)
        pull->remote->report(pull->remote->user, &report);
}

/* What has been noted since the last time. Without the lock while telling. */
static void tell_all(struct pull *pull)
{
    for (size_t i = 0; i < pull->count; i++) {
        struct job *job = &pull->jobs[i];
        unsigned char notes[NOTES_MAX];

        pthread_mutex_lock(&pull->lock);
        size_t count = job->note_count;
        memcpy(notes, job->notes, count);
        job->note_count = 0;
        /* What goes on is told again as it moves. */
        if (count && note_texts[notes[count - 1]].numbers)
            note_locked(job, notes[count - 1]);
        bool moved = __atomic_load_n(&job->done, __ATOMIC_RELAXED) != job->told;
        pthread_mutex_unlock(&pull->lock);
        for (size_t k = 0; k < count; k++)
            if (k > 0 || moved || !note_texts[notes[k]].numbers)
                tell(pull, job, notes[k]);
    }
}

/* --- one layer, in a thread of its own ------------------------------------------------------- */

static void on_download(void *user, enum image_download_status status, int seconds)
{
    static const enum note notes[] = {
        [DOWNLOAD_WAITING] = NOTE_WAITING, [DOWNLOAD_RUNNING] = NOTE_DOWNLOADING,
        [DOWNLOAD_RETRYING] = NOTE_RETRYING, [DOWNLOAD_VERIFYING] = NOTE_VERIFYING,
    };
    struct job *job = user;

    pthread_mutex_lock(&job->pull->lock);
    job->retry_seconds = seconds;
    if (status == DOWNLOAD_RETRYING && job->note_count && job->notes[job->note_count - 1] == NOTE_RETRYING)
        job->note_count--; /* another number */
    note_locked(job, notes[status]);
    pthread_mutex_unlock(&job->pull->lock);
}

static int unpack(struct job *job, int fd, struct error *err)
{
    struct pull *pull = job->pull;
    const struct image_limits *limits = &pull->store->limits;

    pthread_mutex_lock(&pull->lock);
    uint64_t bytes = pull->unpacked, entries = pull->entries;
    __atomic_store_n(&job->done, 0, __ATOMIC_RELAXED);
    note_locked(job, NOTE_EXTRACTING);
    pthread_mutex_unlock(&pull->lock);
    if (bytes >= limits->max_unpacked_bytes || entries >= limits->max_entries)
        return error_set(err, EFBIG, "the image is larger than the limit of %llu bytes unpacked",
                         (unsigned long long)limits->max_unpacked_bytes);
    struct image_layer_source source = {
        .fd = fd, /* whose digest has just been checked */
        .diff_id = job->diff_id,
        .max_bytes = limits->max_unpacked_bytes - bytes,
        .max_entries = limits->max_entries - entries,
        .done = &job->done,
        .stop = &pull->stop.stop,
    };
    int r = image__layer_unpack(pull->store, &source, &job->layer, err);
    if (r == -ECANCELED || atomic_load(&pull->stop.stop))
        return error_set(err, ECANCELED, "context canceled");
    pthread_mutex_lock(&pull->lock);
    pull->unpacked += source.unpacked;
    pull->entries += source.entries;
    pthread_mutex_unlock(&pull->lock);
    return r;
}

static int fetch_layer(struct job *job, const char *key, const struct image_download *download, struct http *http, struct error *err)
{
    struct pull *pull = job->pull;
    CLEANUP_CLOSE int fd = -EBADF;

    job->layer = image__layer_pin(pull->store, job->diff_id);
    if (job->layer) { /* another pull was first */
        image__partial_remove(pull->store, key);
        note(job, NOTE_DOWNLOADED);
        return 0;
    }
    int r = image__download(pull->store, key, download, pull->session, http, &fd, err);
    if (r < 0)
        return r;
    note(job, NOTE_DOWNLOADED);
    r = unpack(job, fd, err);
    if (r < 0) {
        if (r != -ECANCELED)
            image__partial_remove(pull->store, key); /* whole, and no good */
        return r;
    }
    CLEANUP_FREE char *source = mem_printf("%s/%s", pull->reference->domain, pull->reference->path);
    image__layer_set_blob(pull->store, job->layer, job->descriptor->digest, download->size, job->descriptor->media_type, key, source);
    image__partial_remove(pull->store, key); /* if it was not taken */
    return 0;
}

static int run_job(struct job *job, struct http *http, struct error *err)
{
    struct pull *pull = job->pull;
    const struct image_download download = {
        .host = pull->session->endpoint->base,
        .digest = job->descriptor->digest,
        .size = (uint64_t)job->descriptor->size,
        .done = &job->done,
        .stop = &pull->stop.stop,
        .status = on_download,
        .user = job,
    };
    char key[65];

    image__download_key(&download, key);
    int r = image__transfer_begin(pull->store, key, &download, err);
    if (r < 0)
        return r;
    r = fetch_layer(job, key, &download, http, err);
    image__transfer_end(pull->store, key);
    if (r == 0)
        note(job, NOTE_COMPLETE);
    return r;
}

static void *worker_main(void *user)
{
    struct pull *pull = user;
    CLEANUP_HTTP struct http *http = registry_session_http(pull->session);

    pthread_mutex_lock(&pull->lock);
    while (pull->error.code == 0 && pull->next < pull->count) {
        struct job *job = &pull->jobs[pull->next++];
        struct error err = ERROR_INIT;
        int r = 0;

        pthread_mutex_unlock(&pull->lock);
        if (!job->layer)
            r = run_job(job, http, &err);
        pthread_mutex_lock(&pull->lock);
        if (r < 0 && pull->error.code == 0) {
            pull->error = err;
            pull->error.code = -r;
            atomic_store(&pull->stop.stop, true); /* the others need not go on */
        }
    }
    pull->finished++; /* threads */
    pthread_cond_signal(&pull->changed);
    pthread_mutex_unlock(&pull->lock);
    return NULL;
}

static int fetch_layers(struct pull *pull, struct error *err)
{
    pthread_t threads[THREADS_MAX];
    size_t started = 0, missing = 0;

    for (size_t i = 0; i < pull->count; i++)
        missing += pull->jobs[i].layer == NULL;
    size_t wanted = missing < THREADS_MAX ? missing : THREADS_MAX;
    while (started < wanted && pthread_create(&threads[started], NULL, worker_main, pull) == 0)
        started++;
    if (started < wanted && started == 0)
        return error_set(err, EAGAIN, "cannot start a thread");
    for (bool over = started == 0; !over;) {
        struct timespec until;

        tell_all(pull);
        image__stop_asked(&pull->stop);
        pthread_mutex_lock(&pull->lock);
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 100 * NS_PER_MS;
        until.tv_sec += until.tv_nsec / NS_PER_SEC;
        until.tv_nsec %= NS_PER_SEC;
        if (pull->finished < started)
            pthread_cond_timedwait(&pull->changed, &pull->lock, &until);
        over = pull->finished == started;
        pthread_mutex_unlock(&pull->lock);
    }
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    tell_all(pull);
    if (pull->error.code)
        return error_set(err, pull->error.code, "%s", pull->error.message);
    return image__stop_asked(&pull->stop) ? error_set(err, ECANCELED, "context canceled") : 0;
}

/* --- one image ----------------------------------------------------------------------------------- */

static void jobs_clear(struct pull *pull)
{
    for (size_t i = 0; i < pull->count; i++)
        image__layer_unpin(pull->store, pull->jobs[i].layer);
    free(pull->jobs);
    pull->jobs = NULL;
    pull->count = pull->next = pull->finished = 0;
}

static int check_descriptors(const struct pull *pull, const struct image_descriptors *parts, struct error *err)
{
    static const char *const configs[] = {MEDIA_CONFIG, MEDIA_OCI_CONFIG, "application/octet-stream", "", NULL};
    uint64_t total = 0;

    if (!strv_contains((char *const *)configs, parts->list[0].media_type))
        return error_set(err, EINVAL, "this is no image for containers: unsupported config media type %.100s", parts->list[0].media_type);
    for (size_t i = 0; i < parts->count; i++) {
        if (parts->list[i].size < 0)
            return error_set(err, EINVAL, "the manifest does not tell the length of %.19s", parts->list[i].digest);
        total += (uint64_t)parts->list[i].size;
        if (total > pull->store->limits.max_unpacked_bytes)
            return error_set(err, EFBIG, "the image is larger than the limit of %llu bytes",
                             (unsigned long long)pull->store->limits.max_unpacked_bytes);
    }
    return 0;
}

/* The config's text: from here, or from the registry. */
static int get_config(struct pull *pull, struct http *http, const struct image_descriptor *descriptor, char **ret, size_t *ret_length,
                      bool *ret_here, struct error *err)
{
    struct image_store *store = pull->store;

    pthread_rwlock_rdlock(&store->lock);
    struct image_record *record = image__find(store, descriptor->digest);
    int r = record ? file_read(store->blobs_fd, digest_hex(descriptor->digest), IMAGE_CONFIG_MAX, ret, ret_length) : -ENOENT;
    pthread_rwlock_unlock(&store->lock);
    *ret_here = r == 0;
    return r == 0 ? 0 : registry_blob_text(pull->session, http, descriptor->digest, descriptor->size, IMAGE_CONFIG_MAX, ret, ret_length, err);
}

static int make_jobs(struct pull *pull, const struct image_descriptors *parts, char *const *diff_ids, bool quiet, struct error *err)
{
    size_t count = parts->count - 1;

    if (count != strv_length(diff_ids))
        return error_set(err, EINVAL, "layers from manifest don't match image configuration");
    pull->jobs = mem_array(count + 1, sizeof(*pull->jobs));
    pull->count = count;
    for (size_t i = 0; i < count; i++) {
        struct job *job = &pull->jobs[i];

        *job = (struct job){.pull = pull, .descriptor = &parts->list[i + 1], .diff_id = diff_ids[i], .told = UINT64_MAX};
        snprintf(job->id, sizeof(job->id), "%.12s", digest_hex(job->descriptor->digest));
        job->layer = image__layer_pin(pull->store, job->diff_id);
        if (!quiet || !job->layer)
            note_locked(job, job->layer ? NOTE_EXISTS : NOTE_FS_LAYER);
        if (!job->layer && i >= THREADS_MAX)
            note_locked(job, NOTE_WAITING);
    }
    return 0;
}

/* Makes the image known under its names. */
static int finish(struct pull *pull, const char *config, size_t config_length, const char *digest, const char *tag,
                  const struct registry_manifest *manifest, struct error *err)
{
    struct image_layer *layers[IMAGE_LAYERS_MAX];
    CLEANUP_STRV char **keys = NULL;
    CLEANUP_FREE char *id = NULL;
    CLEANUP(image_freep) struct image *before = NULL;
    size_t count = pull->count;

    strv_take(&keys, mem_printf("%s@%s", pull->reference->repository, digest));
    if (tag)
        strv_take(&keys, mem_printf("%s:%s", pull->reference->repository, tag));
    image_get(pull->store, keys[tag ? 1 : 0], &before, NULL);
    for (size_t i = 0; i < count; i++)
        layers[i] = TAKE_PTR(pull->jobs[i].layer); /* image__add() consumes a pin each */
    int r = image__add(pull->store, config, config_length, layers, count, NULL, keys, NULL, NULL, &id, err);
    if (r == 0)
        r = image__set_manifest(pull->store, id, manifest->digest, manifest->text, manifest->length, NULL, err);
    if (r < 0)
        return r;
    if (!before || strcmp(before->id, id) != 0)
        pull->updated = true;
    image__report(pull->remote, NULL, "Digest: %s", digest);
    return 0;
}

static void warn_of_platform(struct pull *pull, const struct image_config *config, const char *name)
{
    CLEANUP_FREE char *wanted = image__platform_text(&pull->platform);

    if (!pull->platform_asked ||
        image__platform_rank(&pull->platform, config->os, config->architecture, *config->variant ? config->variant : NULL) >= 0)
        return;
    image__report(pull->remote, NULL,
                  "WARNING: image with reference %s was found but its platform (%s/%s%s%s) does not match the specified platform (%s)",
                  name, config->os, config->architecture, *config->variant ? "/" : "", config->variant, wanted);
}

static int pull_manifest(struct pull *pull, struct http *http, const struct registry_manifest *manifest, const char *digest,
                         const char *tag, const char *name, bool listed, struct error *err)
{
    CLEANUP(image__descriptors_clear) struct image_descriptors parts = {0};
    CLEANUP(image__config_freep) struct image_config *config = NULL;
    CLEANUP_FREE char *text = NULL;
    size_t length = 0;
    bool here = false;

    int r = image__manifest_parse(manifest->text, manifest->length, &parts, err);
    if (r == 0)
        r = check_descriptors(pull, &parts, err);
    if (r == 0)
        r = get_config(pull, http, &parts.list[0], &text, &length, &here, err);
    if (r == 0)
        r = image__config_parse(text, length, &config, err);
    if (r == 0)
        r = make_jobs(pull, &parts, config->diff_ids, here, err);
    if (r == 0) {
        pull->begun = true;
        r = fetch_layers(pull, err);
    }
    if (r == 0)
        r = finish(pull, text, length, digest, tag, manifest, err);
    jobs_clear(pull);
    if (r == 0 && !listed)
        warn_of_platform(pull, config, name);
    return r;
}

static const struct image_descriptor *choose(const struct pull *pull, const struct image_descriptors *entries)
{
    const struct image_descriptor *best = NULL;
    int best_rank = INT32_MAX;

    for (size_t i = 0; i < entries->count; i++) {
        const struct image_descriptor *each = &entries->list[i];
        /* One that does not say is better than none. Attestations say "unknown". */
        int rank = each->os && each->architecture
                       ? image__platform_rank(&pull->platform, each->os, each->architecture, each->variant)
                       : INT32_MAX - 1;

        if (rank >= 0 && rank < best_rank) {
            best = each;
            best_rank = rank;
        }
    }
    return best;
}

static int pull_entry(struct pull *pull, struct http *http, const struct registry_manifest *manifest, const char *digest,
                      const char *tag, const char *name, int depth, struct error *err)
{
    CLEANUP(image__descriptors_clear) struct image_descriptors entries = {0};
    CLEANUP(registry_manifest_clear) struct registry_manifest chosen = {0};
    enum image_manifest_kind kind = MANIFEST_IMAGE;

    int r = image__manifest_kind(manifest, name, &kind, err);
    if (r < 0)
        return r;
    if (kind == MANIFEST_IMAGE)
        return pull_manifest(pull, http, manifest, digest, tag, name, depth > 0, err);
    if (depth >= INDEX_DEPTH_MAX)
        return error_set(err, EINVAL, "the indexes of %s are nested too deeply", name);
    r = image__index_parse(manifest->text, manifest->length, &entries, err);
    if (r < 0)
        return r;
    const struct image_descriptor *entry = choose(pull, &entries);
    if (!entry) {
        CLEANUP_FREE char *wanted = image__platform_text(&pull->platform);

        return error_set(err, ENOENT, "no matching manifest for %s in the manifest list entries", wanted);
    }
    r = registry_manifest_get(pull->session, http, entry->digest, &chosen, NULL, err);
    if (r == 0 && entry->size >= 0 && (uint64_t)entry->size != chosen.length)
        r = error_set(err, EBADMSG, "manifest %.19s should have %lld bytes, and has %zu", entry->digest, (long long)entry->size, chosen.length);
    return r < 0 ? r : pull_entry(pull, http, &chosen, digest, tag, name, depth + 1, err);
}

static int pull_one(struct pull *pull, struct http *http, const char *tag, struct error *err)
{
    const struct image_reference *reference = pull->reference;
    CLEANUP(registry_manifest_clear) struct registry_manifest manifest = {0};
    const char *which = reference->digest ? reference->digest : tag;
    CLEANUP_FREE char *name = mem_printf("%s%s%s", reference->repository, reference->digest ? "@" : ":", which);
    enum registry_fault fault = FAULT_NONE;

    int r = registry_manifest_get(pull->session, http, which, &manifest, &fault, err);
    if (r < 0)
        return image__refused(reference, fault, r, err);
    image__report(pull->remote, which, "Pulling from %s", reference->path);
    return pull_entry(pull, http, &manifest, manifest.digest, reference->digest ? NULL : tag, name, 0, err);
}

static int pull_all(struct pull *pull, struct http *http, struct error *err)
{
    CLEANUP_STRV char **tags = NULL;
    enum registry_fault fault = FAULT_NONE;

    int r = registry_manifest_tags(pull->session, http, &tags, &fault, err);
    if (r < 0)
        return image__refused(pull->reference, fault, r, err);
    for (char **tag = tags; r == 0 && tag && *tag; tag++) {
        CLEANUP_FREE char *name = mem_printf("%s:%s", pull->reference->repository, *tag);

        r = image_name_parse(name, NULL, NULL, NULL, NULL) < 0 ? error_set(err, EINVAL, "the registry lists an invalid tag")
                                                                : pull_one(pull, http, *tag, err);
    }
    return r;
}

static int pull_from(struct pull *pull, const struct endpoints *endpoints, size_t index, bool all_tags, struct error *err)
{
    const struct image_reference *reference = pull->reference;
    CLEANUP_FREE char *scope = mem_printf("repository:%s:pull", reference->path);
    const char *const scopes[] = {scope, NULL};
    enum registry_fault fault = FAULT_NONE;

    int r = registry_session_open(pull->remote->registry, endpoints, index, reference->path, scopes, pull->remote->credentials,
                                  (struct registry_cancel){image__stop_asked, &pull->stop}, &pull->session, &fault, err);
    if (r < 0)
        return image__refused(reference, fault, r, err);
    CLEANUP_HTTP struct http *http = registry_session_http(pull->session);
    r = all_tags ? pull_all(pull, http, err) : pull_one(pull, http, reference->tag ? reference->tag : "latest", err);
    registry_session_freep(&pull->session);
    return r;
}

int image_pull(struct image_store *store, const struct image_remote *remote, const char *name, bool all_tags,
               const char *platform, struct error *err)
{
    CLEANUP(image__reference_clear) struct image_reference reference = {0};
    CLEANUP(registry_endpoints_clear) struct endpoints endpoints = {0};
    struct pull pull = {.store = store, .remote = remote, .reference = &reference,
                        .platform_asked = platform && *platform,
                        .stop = {.remote = remote, .owner = pthread_self()}};

    int r = image__reference_parse(name, &reference, err);
    if (r == 0 && strcmp(reference.path, "library/scratch") == 0 && strcmp(reference.domain, "docker.io") == 0)
        r = error_set(err, EPERM, "'scratch' is a reserved name");
    if (r == 0)
        r = image__platform_parse(platform, &pull.platform, err);
    if (r == 0)
        r = registry_endpoints_find(remote->registry, reference.domain, true, &endpoints, err);
    all_tags = all_tags && r == 0 && !reference.tag && !reference.digest;
    pthread_mutex_init(&pull.lock, NULL);
    pthread_cond_init(&pull.changed, NULL);
    image__partials_clean(store, IMAGE_PARTIAL_KEEP_S);
    for (size_t i = 0; r == 0 && i < endpoints.count; i++) {
        if (endpoints.list[i].alternative)
            continue;
        r = pull_from(&pull, &endpoints, i, all_tags, err);
        if (pull.begun || !image__elsewhere(&endpoints.list[i], r, err))
            break;
        r = 0;
    }
    if (r == 0 && all_tags)
        image__report(remote, NULL, "Status: %s %s", pull.updated ? "Downloaded newer image for" : "Image is up to date for",
                      reference.repository);
    else if (r == 0)
        image__report(remote, NULL, "Status: %s %s%s%s", pull.updated ? "Downloaded newer image for" : "Image is up to date for",
                      reference.repository, reference.digest ? "@" : ":",
                      reference.digest ? reference.digest : reference.tag ? reference.tag : "latest");
    pthread_mutex_destroy(&pull.lock);
    pthread_cond_destroy(&pull.changed);
    image__platform_clear(&pull.platform);
    return r;
}
