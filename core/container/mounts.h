/* mounts.h - what a container has mounted: the -v, --mount and --volumes-from
 * forms and the image's own volumes, brought into one list.
 *
 * The list is made at create and never changes afterwards. Parsing is pure;
 * volumes are made and sources looked at elsewhere (create.c, lifecycle.c).
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

struct error;

enum mount_type { MOUNT_BIND, MOUNT_VOLUME, MOUNT_TMPFS };

struct mount_point {
    enum mount_type type;
    char *name;         /* of a volume; "" until an anonymous one is made */
    char *source;       /* bind: host path; volume: its mount point */
    char *destination;  /* absolute, clean */
    char *driver;       /* volumes: "local" */
    char *mode;         /* as given */
    char *propagation;  /* "rprivate", ...; "" for volumes */
    char *subpath;      /* of a volume; "" all of it */
    char *data;         /* tmpfs options */
    cJSON *labels, *options; /* for a volume that is not there yet; may be NULL */
    bool rw;
    bool copy_data;     /* an empty volume gets what the image has there */
    bool create_source; /* -v makes a missing host directory, --mount does not */
    bool anonymous;     /* goes with the container where asked */
    bool non_recursive; /* bind: without the mounts below the source */
    bool shallow_readonly; /* ro does not reach the mounts below */
};

struct mount_list {
    struct mount_point *items;
    size_t count;
};

void mount_point_clear(struct mount_point *mount);
void mount_list_clear(struct mount_list *list);
struct mount_point *mount_list_find(const struct mount_list *list, const char *destination);
/* Takes the mount over; one at the same destination is replaced if `replace`,
 * else -EINVAL "Duplicate mount point". */
int mount_list_add(struct mount_list *list, struct mount_point *mount, bool replace, struct error *err);

const char *mount_type_name(enum mount_type type);

/* "SRC:DST[:MODE]" of HostConfig.Binds. */
int mount_parse_bind(const char *text, const char *volume_driver, struct mount_point *ret, struct error *err);
/* A directory of Config.Volumes, which an image may have said: all of it is the destination. */
int mount_anonymous(const char *destination, const char *volume_driver, struct mount_point *ret, struct error *err);
/* One object of HostConfig.Mounts (complete). With `look`, a bind's source must
 * be there. */
int mount_parse_spec(const cJSON *spec, bool look, struct mount_point *ret, struct error *err);
/* "CONTAINER[:MODE]"; *ret_mode is "rw" where none was given. */
int mount_parse_from(const char *text, char **ret_container, char **ret_mode, struct error *err);
/* Destination of a tmpfs (HostConfig.Tmpfs) or of an image's volume. */
int mount_check_destination(const char *path, struct error *err);
/* Options of HostConfig.Tmpfs into mount flags (MS_*) and the rest for the file
 * system; "" gives Docker's noexec,nosuid,nodev. */
int mount_parse_tmpfs(const char *options, unsigned long *ret_flags, char **ret_data, struct error *err);
unsigned long mount_propagation_flag(const char *propagation); /* MS_REC|MS_PRIVATE ... ; 0 unknown */

/* State files. */
cJSON *mount_list_to_json(const struct mount_list *list);
void mount_list_from_json(const cJSON *json, struct mount_list *ret);
