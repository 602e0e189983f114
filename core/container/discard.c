/* discard.c - directories on their way out. Owner: container.
 *
 * What is removed is set aside by one rename, which is all that the request waits for;
 * the files go in a thread of their own. A server that ends before that, however it
 * ends, leaves them to the next one's start. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "container/internal.h"
#include "container/workers.h"

struct discarded {
    struct engine *engine;
    char *path;
};

static void sweep_one(void *user)
{
    struct discarded *discarded = user;

    if (!atomic_load(&discarded->engine->closing)) {
        int r = path_remove_tree(AT_FDCWD, discarded->path);
        if (r < 0)
            log_error("cannot remove %s, will try again at the next start: %s", discarded->path, strerror(-r));
    }
    free(discarded->path);
    free(discarded);
}

static void post(struct engine *engine, char *path)
{
    struct discarded *discarded = mem_new(struct discarded);

    *discarded = (struct discarded){.engine = engine, .path = path};
    workers_post(engine->sweepers, sweep_one, discarded);
}

int discard(struct engine *engine, const char *path)
{
    CLEANUP_FREE char *aside = mem_printf("%s/%s/%s", engine->options.data_dir, DISCARDED_DIR, path_base(path));

    if (rename(path, aside) == 0) {
        post(engine, TAKE_PTR(aside));
        return 0;
    }
    return errno == ENOENT ? 0 : path_remove_tree(AT_FDCWD, path);
}

void discard_sweep(struct engine *engine)
{
    CLEANUP_FREE char *dir = path_join(engine->options.data_dir, DISCARDED_DIR);
    DIR *stream = opendir(dir);

    if (!stream)
        return;
    for (struct dirent *entry; (entry = readdir(stream));)
        if (entry->d_name[0] != '.')
            post(engine, path_join(dir, entry->d_name));
    closedir(stream);
}
