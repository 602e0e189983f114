/* sync.c - brings what is committed to the disk. Owner: db.
 *
 * SQLite with synchronous = NORMAL syncs its log before a checkpoint only: a commit
 * costs no disk flush, which would be the greater part of a container's start. The
 * flush is done here, by a thread of its own, so that the writer goes on and only
 * those wait who need the disk. One flush serves all that was committed before it
 * began. (synchronous = FULL for some transactions would hold up all others behind
 * them.) The log's descriptor is ours: SQLite's locks are on other files.
 */
#include "store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "tabique/error.h"

static void *syncer_main(void *user)
{
    struct store *store = user;

    pthread_mutex_lock(&store->lock);
    for (;;) {
        while (store->sync_wanted <= store->synced && !store->sync_stop)
            pthread_cond_wait(&store->sync_wake, &store->lock);
        if (store->sync_wanted <= store->synced)
            break;
        uint64_t reached = store->commits;
        store->unsynced_ns = 0;
        pthread_mutex_unlock(&store->lock);
        int r = fdatasync(store->log_fd) < 0 ? -errno : 0;
        if (r < 0)
            log_error("history: cannot bring %s to the disk: %s", store->path, strerror(-r));
        pthread_mutex_lock(&store->lock);
        if (r < 0) {
            store->sync_failures++;
            store->unsynced_ns = clock_mono_ns(); /* tried again, but not at once */
        }
        store->synced = reached;
        pthread_cond_broadcast(&store->committed);
    }
    pthread_mutex_unlock(&store->lock);
    return NULL;
}

int store__sync_start(struct store *store, struct error *err)
{
    CLEANUP_FREE char *path = mem_printf("%s-wal", store->path);

    /* There since it was opened, and as long as it is open. */
    store->log_fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (store->log_fd < 0)
        return error_errno(err, errno, "cannot open %s", path);
    int r = pthread_create(&store->syncer, NULL, syncer_main, store);
    if (r != 0)
        return error_errno(err, r, "cannot start the history's thread");
    store->syncing = true;
    return 0;
}

void store__sync_stop(struct store *store)
{
    if (store->syncing) {
        pthread_mutex_lock(&store->lock);
        store->sync_stop = true;
        pthread_cond_signal(&store->sync_wake);
        pthread_mutex_unlock(&store->lock);
        pthread_join(store->syncer, NULL);
    }
    cleanup_close(&store->log_fd);
}

void store__want_sync(struct store *store, uint64_t commit)
{
    if (store->sync_wanted >= commit)
        return;
    store->sync_wanted = commit;
    pthread_cond_signal(&store->sync_wake);
}

int store__await_sync(struct store *store, uint64_t commit)
{
    pthread_mutex_lock(&store->lock);
    uint64_t failures = store->sync_failures;
    store__want_sync(store, commit);
    while (store->synced < commit)
        pthread_cond_wait(&store->committed, &store->lock);
    int r = store->sync_failures == failures ? 0 : -EIO;
    pthread_mutex_unlock(&store->lock);
    return r;
}
