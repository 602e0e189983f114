/* view.c - a tree seen through a user namespace. Owner: archive. */
#include "archive/view.h"

#include <errno.h>
#include <stddef.h>

#include "base/ids.h"

static _Thread_local const struct id_maps *view;

int archive_view_begin(const struct id_maps *maps)
{
    uint32_t uid, gid;

    if (maps->uid_count == 0)
        return 0;
    if (!id_maps_root(maps, &uid, &gid))
        return -EOVERFLOW;
    view = maps;
    int r = ids_act_as(uid, gid);
    if (r < 0)
        archive_view_end();
    return r;
}

void archive_view_end(void)
{
    if (!view)
        return;
    view = NULL;
    (void)ids_act_as(0, 0);
}

bool archive__owner_outside(uid_t *uid, gid_t *gid)
{
    return !view || (id_to_outside(view->uids, view->uid_count, *uid, uid) &&
                     id_to_outside(view->gids, view->gid_count, *gid, gid));
}

/* What the container does not know is nobody's there: overflowuid, proc_sys_kernel(5). */
void archive__owner_inside(uint32_t *uid, uint32_t *gid)
{
    if (view && !id_to_inside(view->uids, view->uid_count, *uid, uid))
        *uid = 65534;
    if (view && !id_to_inside(view->gids, view->gid_count, *gid, gid))
        *gid = 65534;
}
