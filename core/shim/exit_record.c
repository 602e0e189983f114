/* exit_record.c - reads what record.c of a shim has left. Owner: shim. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"
#include "shim/client.h"
#include "tabique/error.h"

int shim_read_exit(const char *state_dir, struct shim_exit *ret, struct error *err)
{
    CLEANUP_FREE char *path = path_join(state_dir, "exit");
    CLEANUP_FREE char *text = NULL;
    CLEANUP_STRV char **lines = NULL;
    struct shim_exit record = {.exec_id = "", .status = -1};
    int r = file_read(AT_FDCWD, path, 4096, &text, NULL);

    if (r < 0)
        return error_errno(err, -r, "no exit record in %s", state_dir);
    lines = strv_split(text, '\n');
    for (char **line = lines; line && *line; line++) {
        char *space = strchr(*line, ' ');
        int oom;

        if (!space)
            continue;
        *space++ = '\0';
        if (str_equal(*line, "status"))
            r = str_to_int(space, 0, 255, &record.status);
        else if (str_equal(*line, "time"))
            r = str_to_i64(space, &record.time_ns);
        else if (str_equal(*line, "oom") && (r = str_to_int(space, 0, 1, &oom)) == 0)
            record.oom_killed = oom == 1;
        else if (str_equal(*line, "error"))
            snprintf(record.lost, sizeof(record.lost), "%s", space);
        if (r < 0)
            break;
    }
    if (r < 0 || record.status < 0)
        return error_set(err, EIO, "the exit record %s is damaged", path);
    *ret = record;
    return 0;
}
