/* undo.c - the stack of steps to take back. Owner: base. */
#include "base/undo.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

void undo_push(struct undo *undo, undo_fn *fn, void *user)
{
    if (undo->count >= UNDO_MAX) {
        static const char text[] = "undo: too many steps\n";
        ssize_t ignored = write(STDERR_FILENO, text, sizeof(text) - 1);
        (void)ignored;
        abort();
    }
    undo->steps[undo->count].fn = fn;
    undo->steps[undo->count].user = user;
    undo->count++;
}

void undo_run(struct undo *undo)
{
    int saved = errno;

    /* The count drops first: a step that runs the stack again sees the rest only. */
    while (undo->count > 0) {
        undo->count--;
        undo->steps[undo->count].fn(undo->steps[undo->count].user);
    }
    errno = saved;
}

void undo_commit(struct undo *undo)
{
    undo->count = 0;
}
