/* view.c - a tree seen through a user namespace. Owner: archive. */
#include "archive/view.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/ids.h"

static _Thread_local const struct id_maps *view;

/* Changing the fsuid takes file capabilities away: they are raised again. */
static int act_as(uid_t uid, gid_t gid)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];

    if (syscall(SYS_capget, &header, data) < 0)
        return -errno;
    setfsgid(gid);
    setfsuid(uid);
    return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

int archive_view_begin(const struct id_maps *maps)
{
    uint32_t uid, gid;

    if (maps->uid_count == 0)
        return 0;
    if (!id_to_outside(maps->uids, maps->uid_count, 0, &uid) || !id_to_outside(maps->gids, maps->gid_count, 0, &gid))
        return -EOVERFLOW;
    view = maps;
    return act_as(uid, gid);
}

void archive_view_end(void)
{
    if (!view)
        return;
    view = NULL;
    (void)act_as(0, 0);
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
