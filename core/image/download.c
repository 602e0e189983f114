/* download.c - a blob's bytes from a registry into a file, whole or not at all. Owner: image.
 *
 * Sharing a download and going on with one are the same thing: whoever comes second
 * waits until the first is done with it, and takes over what is there. So there is
 * nobody to hand work to, and a pull that is cancelled costs the others nothing.
 * Downloads of one blob from two registries stay apart: one that stalls or lies
 * must not hold up the other.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "image/store.h"
#include "registry/session.h"

#define TRIES 5
#define PROGRESS_BYTES (UINT64_C(1) << 20) /* a try that got this far was worth it */

struct image_transfer {
    char key[65];
    int users;
    bool busy;
    uint64_t done; /* of whoever is at it */
    UT_hash_handle hh;
};

void image__download_key(const struct image_download *download, char out[65])
{
    CLEANUP_FREE char *text = mem_printf("%s %s", download->host, download->digest);
    char digest[DIGEST_TEXT_MAX];

    digest_of(text, strlen(text), digest);
    memcpy(out, digest_hex(digest), 65);
}

static bool stopped(const struct image_download *download)
{
    return download->stop && atomic_load(download->stop);
}

int image__transfer_begin(struct image_store *store, const char *key, const struct image_download *download, struct error *err)
{
    struct image_transfer *transfer;
    bool told = false;

    pthread_mutex_lock(&store->transfer_lock);
    HASH_FIND_STR(store->transfers, key, transfer);
    if (!transfer) {
        transfer = mem_new(struct image_transfer);
        memcpy(transfer->key, key, sizeof(transfer->key));
        HASH_ADD_STR(store->transfers, key, transfer);
    }
    transfer->users++;
    while (transfer->busy && !stopped(download)) {
        struct timespec until;

        if (!told)
            download->status(download->user, DOWNLOAD_WAITING, 0);
        told = true;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 200 * NS_PER_MS;
        until.tv_sec += until.tv_nsec / NS_PER_SEC;
        until.tv_nsec %= NS_PER_SEC;
        pthread_cond_timedwait(&store->transfer_changed, &store->transfer_lock, &until);
    }
    int r = transfer->busy ? error_set(err, ECANCELED, "context canceled") : 0;
    if (r == 0)
        transfer->busy = true;
    else
        transfer->users--; /* whoever is at it frees it */
    pthread_mutex_unlock(&store->transfer_lock);
    return r;
}

void image__transfer_end(struct image_store *store, const char *key)
{
    struct image_transfer *transfer;

    pthread_mutex_lock(&store->transfer_lock);
    HASH_FIND_STR(store->transfers, key, transfer);
    transfer->busy = false;
    if (--transfer->users == 0) {
        HASH_DEL(store->transfers, transfer);
        free(transfer);
    }
    pthread_cond_broadcast(&store->transfer_changed);
    pthread_mutex_unlock(&store->transfer_lock);
}

/* --- one download -------------------------------------------------------------------------- */

struct arriving {
    const struct image_download *download;
    int fd;
    uint64_t have;         /* bytes in the file */
    struct digest *digest; /* of them */
};

static void set_done(struct arriving *arriving)
{
    if (arriving->download->done)
        __atomic_store_n(arriving->download->done, arriving->have, __ATOMIC_RELAXED);
}

static void start_over(struct arriving *arriving)
{
    digest_free(arriving->digest);
    arriving->digest = digest_new();
    arriving->have = 0;
}

static int begin(void *user, uint64_t offset)
{
    struct arriving *arriving = user;

    if (offset != arriving->have) { /* all of it comes again */
        start_over(arriving);
        if (ftruncate(arriving->fd, 0) < 0)
            return -errno;
    }
    if (lseek(arriving->fd, (off_t)arriving->have, SEEK_SET) < 0)
        return -errno;
    arriving->download->status(arriving->download->user, DOWNLOAD_RUNNING, 0);
    return 0;
}

static int keep(void *user, const void *data, size_t length)
{
    struct arriving *arriving = user;

    int r = fd_write_all(arriving->fd, data, length);
    if (r < 0)
        return r;
    digest_update(arriving->digest, data, length);
    arriving->have += length;
    set_done(arriving);
    return 0;
}

/* What an earlier try left, as far as it can belong to this blob. */
static int take_up(struct arriving *arriving)
{
    CLEANUP_FREE char *buffer = mem_alloc(256 << 10);
    struct stat st;

    if (fstat(arriving->fd, &st) < 0)
        return -errno;
    if ((uint64_t)st.st_size > arriving->download->size)
        return ftruncate(arriving->fd, 0) < 0 ? -errno : 0;
    while (arriving->have < (uint64_t)st.st_size) {
        ssize_t n = pread(arriving->fd, buffer, 256 << 10, (off_t)arriving->have);

        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        if (stopped(arriving->download))
            return -ECANCELED;
        digest_update(arriving->digest, buffer, (size_t)n);
        arriving->have += (uint64_t)n;
    }
    set_done(arriving);
    return 0;
}

static bool worth_another_try(int r)
{
    return r == -EIO || r == -ETIMEDOUT;
}

static int fetch(struct arriving *arriving, struct session *session, struct http *http, struct error *err)
{
    const struct image_download *download = arriving->download;
    const struct blob_sink sink = {begin, keep, arriving};

    for (int tries = 1;; tries++) {
        uint64_t before = arriving->have;

        if (before == download->size)
            return 0;
        int r = registry_blob_get(session, http, download->digest, download->size, before, &sink, err);
        if (r == 0 || !worth_another_try(r))
            return r;
        if (arriving->have > before + PROGRESS_BYTES)
            tries = 1;
        if (tries >= TRIES)
            return r;
        log_debug("image %s: layer %.19s: try %d: %s", session->repository, download->digest, tries, err ? err->message : "");
        for (int seconds = 1 << (tries - 1); seconds > 0; seconds--) {
            download->status(download->user, DOWNLOAD_RETRYING, seconds);
            r = registry__session_wait(&session->cancel, 1000, err);
            if (r < 0)
                return r;
        }
    }
}

static int download_to(struct arriving *arriving, struct session *session, struct http *http, struct error *err)
{
    const struct image_download *download = arriving->download;
    char found[DIGEST_TEXT_MAX];

    int r = take_up(arriving);
    if (r < 0)
        return r == -ECANCELED ? error_set(err, ECANCELED, "context canceled") : image__failed(err, r, "cannot go on with a download");
    for (bool resumed = arriving->have > 0;; resumed = false) {
        r = fetch(arriving, session, http, err);
        if (r < 0)
            return r;
        download->status(download->user, DOWNLOAD_VERIFYING, 0);
        digest_finish(arriving->digest, found);
        if (strcmp(found, download->digest) == 0)
            return 0;
        /* What was here already may be what is wrong: once more from the start. */
        start_over(arriving);
        if (ftruncate(arriving->fd, 0) < 0)
            return image__failed(err, -errno, "cannot start a download again");
        if (!resumed)
            return error_set(err, EBADMSG, "filesystem layer verification failed for digest %s", download->digest);
    }
}

int image__download(struct image_store *store, const char *key, const struct image_download *download,
                    struct session *session, struct http *http, int *ret_fd, struct error *err)
{
    CLEANUP_CLOSE int fd = openat(store->partial_fd, key, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    struct arriving arriving = {.download = download, .fd = fd, .digest = digest_new()};

    if (fd < 0) {
        digest_free(arriving.digest);
        return image__failed(err, -errno, "cannot keep a download");
    }
    int r = download_to(&arriving, session, http, err);
    digest_free(arriving.digest);
    if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
        r = image__failed(err, -errno, "cannot read a download");
    if (r == -EBADMSG || (r < 0 && arriving.have == 0))
        image__partial_remove(store, key);
    if (r < 0)
        return r;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

void image__partial_remove(struct image_store *store, const char *key)
{
    unlinkat(store->partial_fd, key, 0);
}

void image__partials_clean(struct image_store *store, int64_t older_than_s)
{
    int copy = openat(store->partial_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    struct dirent *entry;

    pthread_mutex_lock(&store->transfer_lock); /* nobody begins meanwhile */
    while (dir && (entry = readdir(dir))) {
        struct image_transfer *transfer;
        struct stat st;

        HASH_FIND_STR(store->transfers, entry->d_name, transfer);
        if (transfer || fstatat(store->partial_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
            continue;
        if (older_than_s == 0 || st.st_mtime + older_than_s < time(NULL))
            unlinkat(store->partial_fd, entry->d_name, 0);
    }
    pthread_mutex_unlock(&store->transfer_lock);
    if (dir)
        closedir(dir);
}
