/* ids.h - users and groups inside a user namespace, and what they are outside.
 *
 * Sources: user_namespaces(7), subuid(5), Docker's --userns-remap.
 * Threads: any; the values are the caller's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"

struct error;

#define ID_RANGES_MAX 340 /* the kernel's limit of a map */
struct id_range {
    uint32_t inside, outside, count;
};

/* Nothing in it: no user namespace, ids are the same on both sides. */
struct id_maps {
    struct id_range *uids, *gids;
    size_t uid_count, gid_count;
};

void id_maps_clear(struct id_maps *maps);
#define CLEANUP_ID_MAPS CLEANUP(id_maps_clear)

/* What a user ("name", "name:group"; "default": "tabique") has in /etc/subuid and a group in
 * /etc/subgid. The ranges become inside's 0, 1, ... in their order. -EINVAL: nothing is there,
 * or what is there is no range; the message says which line is missing. */
int id_maps_of_user(const char *user, struct id_maps *ret, struct error *err);

/* Of a running process, as seen from here. Empty where it has no user namespace of its own.
 * -errno: it is gone. */
int id_maps_of_process(pid_t pid, struct id_maps *ret);

/* Outside's ids of the namespace's root. false: it has none. */
bool id_maps_root(const struct id_maps *maps, uint32_t *ret_uid, uint32_t *ret_gid);
/* This thread's file-system user and group (setfsuid(2)) with all its capabilities, of which the
 * change would take those that concern files. By root's threads only. */
int ids_act_as(uid_t uid, gid_t gid);

/* false: the other side does not know it. Without ranges every id is itself. */
bool id_to_outside(const struct id_range *ranges, size_t count, uint32_t inside, uint32_t *ret);
bool id_to_inside(const struct id_range *ranges, size_t count, uint32_t outside, uint32_t *ret);
