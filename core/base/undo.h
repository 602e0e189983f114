/* undo.h - side effects that must be taken back if a later step fails.
 *
 *     CLEANUP_UNDO struct undo undo = UNDO_INIT;
 *     r = make_veth(...);           undo_push(&undo, remove_veth, user);
 *     r = make_route(...);          if (r < 0) return r;   // veth goes too
 *     undo_commit(&undo);           // everything stays
 */
#pragma once

#include <stddef.h>

#include "base/cleanup.h"

typedef void undo_fn(void *user);

#define UNDO_MAX 16

struct undo {
    size_t count;
    struct {
        undo_fn *fn;
        void *user;
    } steps[UNDO_MAX];
};

#define UNDO_INIT ((struct undo){0})
#define CLEANUP_UNDO CLEANUP(undo_run)

void undo_push(struct undo *undo, undo_fn *fn, void *user); /* aborts over UNDO_MAX */
void undo_run(struct undo *undo);    /* last first; empties it */
void undo_commit(struct undo *undo); /* forgets all */
