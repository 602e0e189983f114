/* record.c - the exit record: how the container ended, for a server that was not
 * there. Owner: shim. Read by exit_record.c on the server's side.
 *
 * Written before the end is told, so that a server that is killed finds it; brought
 * to the disk after it has been told, so that nobody waits for the disk.
 *
 * Text, one "key value" a line; unknown keys are skipped by readers.
 */
#include <fcntl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/path.h"
#include "shim/shim.h"

int shim_record_write(const char *state_dir, int status, bool oom, int64_t time_ns, const char *lost)
{
    CLEANUP_FREE char *path = path_join(state_dir, "exit");
    CLEANUP_STR struct str text = STR_INIT;

    str_printf(&text, "status %d\noom %d\ntime %lld\nboot %s\n", status, oom, (long long)time_ns, boot_id());
    if (lost)
        str_printf(&text, "error %s\n", lost);
    return file_replace(AT_FDCWD, path, text.data, text.length, 0600);
}

void shim_record_sync(const char *state_dir)
{
    CLEANUP_FREE char *path = path_join(state_dir, "exit");
    CLEANUP_CLOSE int file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    CLEANUP_CLOSE int dir = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    /* Neither there: the container has been removed meanwhile. */
    if (file >= 0)
        (void)fsync(file);
    if (dir >= 0)
        (void)fsync(dir);
}
