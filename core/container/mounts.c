/* mounts.c - the grammars of mounts. Owner: container.
 * Source: Docker's volume and mount syntax as the Engine API documents it. */
#include "container/mounts.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "tabique/error.h"

#define MOUNTS_MAX 4096

const char *mount_type_name(enum mount_type type)
{
    static const char *const names[] = {"bind", "volume", "tmpfs"};
    return names[type];
}

void mount_point_clear(struct mount_point *mount)
{
    free(mount->name);
    free(mount->source);
    free(mount->destination);
    free(mount->driver);
    free(mount->mode);
    free(mount->propagation);
    free(mount->subpath);
    free(mount->data);
    cJSON_Delete(mount->labels);
    cJSON_Delete(mount->options);
    *mount = (struct mount_point){0};
}

void mount_list_clear(struct mount_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        mount_point_clear(&list->items[i]);
    free(list->items);
    *list = (struct mount_list){0};
}

struct mount_point *mount_list_find(const struct mount_list *list, const char *destination)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].destination, destination) == 0)
            return &list->items[i];
    return NULL;
}

int mount_list_add(struct mount_list *list, struct mount_point *mount, bool replace, struct error *err)
{
    struct mount_point *old = mount_list_find(list, mount->destination);

    if (old && !replace)
        return error_set(err, EINVAL, "Duplicate mount point: %s", mount->destination);
    if (!old) {
        if (list->count >= MOUNTS_MAX)
            return error_set(err, EINVAL, "too many mounts");
        list->items = mem_grow(list->items, list->count + 1, sizeof(*list->items));
        old = &list->items[list->count++];
    } else {
        mount_point_clear(old);
    }
    *old = *mount;
    *mount = (struct mount_point){0};
    return 0;
}

/* --- modes --------------------------------------------------------------------- */

enum mode_class { MODE_RW, MODE_LABEL, MODE_PROPAGATION, MODE_COPY, MODE_CONSISTENCY, MODE_CLASSES };

static const struct {
    const char *name;
    enum mode_class class;
    unsigned long flag;
} modes[] = {
    {"rw", MODE_RW, 0},
    {"ro", MODE_RW, 0},
    {"z", MODE_LABEL, 0},
    {"Z", MODE_LABEL, 0},
    {"private", MODE_PROPAGATION, MS_PRIVATE},
    {"rprivate", MODE_PROPAGATION, MS_PRIVATE | MS_REC},
    {"slave", MODE_PROPAGATION, MS_SLAVE},
    {"rslave", MODE_PROPAGATION, MS_SLAVE | MS_REC},
    {"shared", MODE_PROPAGATION, MS_SHARED},
    {"rshared", MODE_PROPAGATION, MS_SHARED | MS_REC},
    {"nocopy", MODE_COPY, 0},
    {"consistent", MODE_CONSISTENCY, 0},
    {"cached", MODE_CONSISTENCY, 0},
    {"delegated", MODE_CONSISTENCY, 0},
};

static int find_mode(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
        if (strcmp(modes[i].name, name) == 0)
            return (int)i;
    return -1;
}

/* found[class] is the index of the mode given, or -1. False: not a mode. */
static bool parse_mode(const char *mode, int found[MODE_CLASSES])
{
    CLEANUP_STRV char **parts = strv_split(mode, ',');

    for (int i = 0; i < MODE_CLASSES; i++)
        found[i] = -1;
    for (char **part = parts; *part; part++) {
        int at = find_mode(*part);

        if (at < 0 || found[modes[at].class] >= 0)
            return false;
        found[modes[at].class] = at;
    }
    return true;
}

unsigned long mount_propagation_flag(const char *propagation)
{
    int at = propagation ? find_mode(propagation) : -1;
    return at < 0 || modes[at].class != MODE_PROPAGATION ? 0 : modes[at].flag;
}

/* --- checks --------------------------------------------------------------------- */

int mount_check_destination(const char *path, struct error *err)
{
    CLEANUP_FREE char *clean = path_clean(path);

    if (strcmp(clean, "/") == 0)
        return error_set(err, EINVAL, "invalid specification: destination can't be '/'");
    if (path[0] != '/')
        return error_set(err, EINVAL, "invalid mount path: '%s' mount path must be absolute", path);
    return 0;
}

int mount_parse_bind(const char *text, const char *volume_driver, struct mount_point *ret,
                     struct error *err)
{
    CLEANUP_STRV char **parts = strv_split(text, ':');
    size_t count = strv_length(parts);
    int found[MODE_CLASSES];

    if (count == 0 || count > 3 || *parts[0] == '\0' || (count == 2 && parse_mode(parts[1], found)))
        return error_set(err, EINVAL, "invalid volume specification: '%s'", text);

    const char *source = count == 1 ? "" : parts[0];
    const char *target = count == 1 ? parts[0] : parts[1];
    const char *mode = count == 3 ? parts[2] : "";
    if (!parse_mode(mode, found))
        return error_set(err, EINVAL, "invalid mode: %s", mode);

    struct error reason = ERROR_INIT;
    bool bind = source[0] == '/';
    const char *propagation = found[MODE_PROPAGATION] < 0 ? "" : modes[found[MODE_PROPAGATION]].name;
    bool readonly = found[MODE_RW] >= 0 && strcmp(modes[found[MODE_RW]].name, "ro") == 0;
    int r = *target == '\0' ? error_set(&reason, EINVAL, "field Target must not be empty")
                            : mount_check_destination(target, &reason);
    if (r == 0 && bind && found[MODE_COPY] >= 0)
        r = error_set(&reason, EINVAL, "field VolumeOptions must not be specified");
    if (r == 0 && !bind && *propagation)
        r = error_set(&reason, EINVAL, "field BindOptions must not be specified");
    if (r == 0 && !bind && readonly && *source == '\0')
        r = error_set(&reason, EINVAL, "must not set ReadOnly mode when using anonymous volumes");
    if (r < 0)
        return error_set(err, EINVAL,
                         "invalid volume specification: '%s': invalid mount config for type \"%s\": %s",
                         text, bind ? "bind" : "volume", reason.message);

    *ret = (struct mount_point){
        .type = bind ? MOUNT_BIND : MOUNT_VOLUME,
        .name = mem_strdup(bind ? "" : source),
        .source = bind ? path_clean(source) : mem_strdup(""),
        .destination = path_clean(target),
        .driver = mem_strdup(bind ? "" : volume_driver && *volume_driver ? volume_driver : "local"),
        .mode = mem_strdup(mode),
        .propagation = mem_strdup(!bind ? "" : *propagation ? propagation : "rprivate"),
        .subpath = mem_strdup(""),
        .rw = !readonly,
        .copy_data = !bind && found[MODE_COPY] < 0,
        .create_source = bind,
        .anonymous = !bind && *source == '\0',
    };
    return 0;
}

int mount_anonymous(const char *destination, const char *volume_driver, struct mount_point *ret, struct error *err)
{
    CLEANUP_FREE char *clean = path_clean(destination);

    if (clean[0] != '/' || strcmp(clean, "/") == 0)
        return error_set(err, EINVAL, "invalid volume specification: '%s'", destination);
    *ret = (struct mount_point){
        .type = MOUNT_VOLUME,
        .name = mem_strdup(""),
        .source = mem_strdup(""),
        .destination = TAKE_PTR(clean),
        .driver = mem_strdup(*volume_driver ? volume_driver : "local"),
        .mode = mem_strdup(""),
        .propagation = mem_strdup(""),
        .subpath = mem_strdup(""),
        .rw = true,
        .copy_data = true,
        .anonymous = true,
    };
    return 0;
}

/* As Go's filepath.IsLocal: relative, and never above where it starts. */
static bool is_local(const char *path)
{
    CLEANUP_FREE char *clean = path_clean(path);
    return path[0] != '/' && path[0] != '\0' && strcmp(clean, "..") != 0 && !str_starts(clean, "../");
}

static int tmpfs_data(const cJSON *options, struct str *out, struct error *err)
{
    int64_t size = json_int(options, "SizeBytes", 0), mode = json_int(options, "Mode", 0);

    if (mode)
        str_printf(out, "%smode=%" PRIo64, out->length ? "," : "", (uint64_t)mode & 07777);
    if (size > 0)
        str_printf(out, "%ssize=%" PRId64, out->length ? "," : "", size);
    const cJSON *pair;
    cJSON_ArrayForEach(pair, json_get(options, "Options")) {
        int count = cJSON_GetArraySize(pair);
        if (count < 1 || count > 2)
            return error_set(err, EINVAL, "invalid option array length");
        const char *name = cJSON_GetArrayItem(pair, 0)->valuestring;
        if (strcmp(name, "exec") != 0 && strcmp(name, "noexec") != 0)
            return error_set(err, EINVAL, "invalid option: %s", name);
        str_printf(out, "%s%s", out->length ? "," : "", name);
    }
    return 0;
}

static const struct {
    const char *field;
    unsigned forbidden; /* bit per enum mount_type */
} extra_fields[] = {
    {"BindOptions", 1u << MOUNT_VOLUME | 1u << MOUNT_TMPFS},
    {"VolumeOptions", 1u << MOUNT_BIND},
    {"ImageOptions", 1u << MOUNT_BIND | 1u << MOUNT_VOLUME | 1u << MOUNT_TMPFS},
};

static int check_spec(const cJSON *spec, enum mount_type type, bool look, struct str *data,
                      struct error *err)
{
    const char *source = json_string(spec, "Source", ""), *target = json_string(spec, "Target", "");
    const cJSON *bind = json_get(spec, "BindOptions"), *volume = json_get(spec, "VolumeOptions");
    const char *propagation = json_string(bind, "Propagation", "");
    const char *subpath = json_string(volume, "Subpath", "");
    bool readonly = json_bool(spec, "ReadOnly", false);
    struct stat st;

    if (*target == '\0')
        return error_set(err, EINVAL, "field Target must not be empty");
    int r = mount_check_destination(target, err);
    if (r < 0)
        return r;
    if (type == MOUNT_BIND && *source == '\0')
        return error_set(err, EINVAL, "field Source must not be empty");
    if (type == MOUNT_BIND && *propagation && mount_propagation_flag(propagation) == 0)
        return error_set(err, EINVAL, "invalid propagation mode: %s", propagation);
    for (size_t i = 0; i < ARRAY_SIZE(extra_fields); i++)
        if (extra_fields[i].forbidden & 1u << type && json_get(spec, extra_fields[i].field))
            return error_set(err, EINVAL, "field %s must not be specified", extra_fields[i].field);

    switch (type) {
    case MOUNT_BIND:
        if (source[0] != '/')
            return error_set(err, EINVAL, "invalid mount path: '%s' mount path must be absolute", source);
        if (look && lstat(source, &st) < 0 && !json_bool(bind, "CreateMountpoint", false))
            return error_set(err, EINVAL, "bind source path does not exist: %s", source);
        return 0;
    case MOUNT_VOLUME:
        if (*subpath && *source == '\0')
            return error_set(err, EINVAL, "must not set Subpath when using anonymous volumes");
        if (*subpath && !is_local(subpath))
            return error_set(err, EINVAL, "subpath must be a relative path within the volume");
        if (readonly && *source == '\0')
            return error_set(err, EINVAL, "must not set ReadOnly mode when using anonymous volumes");
        return 0;
    case MOUNT_TMPFS:
        if (*source)
            return error_set(err, EINVAL, "field Source must not be specified");
        return tmpfs_data(json_get(spec, "TmpfsOptions"), data, err);
    }
    return 0;
}

int mount_parse_spec(const cJSON *spec, bool look, struct mount_point *ret, struct error *err)
{
    const char *name = json_string(spec, "Type", "");
    CLEANUP_STR struct str data = STR_INIT;
    enum mount_type type;

    if (*json_string(spec, "Target", "") == '\0')
        return error_set(err, EINVAL, "invalid mount config for type \"%s\": field Target must not be empty", name);
    if (strcmp(name, "bind") == 0)
        type = MOUNT_BIND;
    else if (strcmp(name, "volume") == 0)
        type = MOUNT_VOLUME;
    else if (strcmp(name, "tmpfs") == 0)
        type = MOUNT_TMPFS;
    else
        return error_set(err, EINVAL, "invalid mount config for type \"%s\": mount type unknown", name);

    int r = check_spec(spec, type, look, &data, err);
    if (r < 0)
        return error_prefix(err, "invalid mount config for type \"%s\"", name);

    const cJSON *bind = json_get(spec, "BindOptions"), *volume = json_get(spec, "VolumeOptions");
    const cJSON *driver = json_get(volume, "DriverConfig");
    const char *source = json_string(spec, "Source", "");
    const char *driver_name = json_string(driver, "Name", "");
    const char *propagation = json_string(bind, "Propagation", "");

    *ret = (struct mount_point){
        .type = type,
        .name = mem_strdup(type == MOUNT_VOLUME ? source : ""),
        .source = type == MOUNT_BIND ? path_clean(source) : mem_strdup(""),
        .destination = path_clean(json_string(spec, "Target", "")),
        .driver = mem_strdup(type != MOUNT_VOLUME ? "" : *driver_name ? driver_name : "local"),
        .mode = mem_strdup(type == MOUNT_VOLUME ? "z" : ""),
        .propagation = mem_strdup(type != MOUNT_BIND ? "" : *propagation ? propagation : "rprivate"),
        .subpath = mem_strdup(json_string(volume, "Subpath", "")),
        .data = type == MOUNT_TMPFS ? str_take(&data) : NULL,
        .labels = cJSON_Duplicate(json_get(volume, "Labels"), true),
        .options = cJSON_Duplicate(json_get(driver, "Options"), true),
        .rw = !json_bool(spec, "ReadOnly", false),
        .copy_data = type == MOUNT_VOLUME && !json_bool(volume, "NoCopy", false),
        .create_source = json_bool(bind, "CreateMountpoint", false),
        .anonymous = type == MOUNT_VOLUME && *source == '\0',
        .non_recursive = json_bool(bind, "NonRecursive", false),
        .shallow_readonly = json_bool(bind, "ReadOnlyNonRecursive", false),
    };
    return 0;
}

int mount_parse_from(const char *text, char **ret_container, char **ret_mode, struct error *err)
{
    int found[MODE_CLASSES];

    if (!text || *text == '\0')
        return error_set(err, EINVAL, "volumes-from specification cannot be an empty string");
    const char *colon = strchr(text, ':');
    const char *mode = colon ? colon + 1 : "";
    if (!parse_mode(mode, found) || found[MODE_PROPAGATION] >= 0 || found[MODE_COPY] >= 0)
        return error_set(err, EINVAL, "invalid mode: %s", mode);
    *ret_container = colon ? mem_strndup(text, (size_t)(colon - text)) : mem_strdup(text);
    *ret_mode = mem_strdup(*mode ? mode : "rw");
    return 0;
}

/* --- tmpfs ----------------------------------------------------------------------- */

static const struct {
    const char *name;
    unsigned long set, clear;
} tmpfs_flags[] = {
    {"ro", MS_RDONLY, 0},          {"rw", 0, MS_RDONLY},
    {"exec", 0, MS_NOEXEC},        {"noexec", MS_NOEXEC, 0},
    {"suid", 0, MS_NOSUID},        {"nosuid", MS_NOSUID, 0},
    {"dev", 0, MS_NODEV},          {"nodev", MS_NODEV, 0},
    {"sync", MS_SYNCHRONOUS, 0},   {"async", 0, MS_SYNCHRONOUS},
    {"atime", 0, MS_NOATIME},      {"noatime", MS_NOATIME, 0},
    {"diratime", 0, MS_NODIRATIME}, {"nodiratime", MS_NODIRATIME, 0},
    {"relatime", MS_RELATIME, 0},  {"norelatime", 0, MS_RELATIME},
    {"strictatime", MS_STRICTATIME, 0}, {"nostrictatime", 0, MS_STRICTATIME},
    {"defaults", 0, 0},
    /* Propagation means nothing on a fresh tmpfs; accepted as Docker does. */
    {"private", 0, 0}, {"rprivate", 0, 0}, {"shared", 0, 0}, {"rshared", 0, 0},
    {"slave", 0, 0}, {"rslave", 0, 0},
};

static const char *const tmpfs_values[] = {"size=", "mode=", "uid=", "gid=", "nr_inodes=",
                                           "nr_blocks=", "mpol="};

int mount_parse_tmpfs(const char *options, unsigned long *ret_flags, char **ret_data, struct error *err)
{
    CLEANUP_STRV char **parts = strv_split(options, ',');
    CLEANUP_STR struct str data = STR_INIT;
    unsigned long flags = MS_NOEXEC | MS_NOSUID | MS_NODEV;

    for (char **part = parts; *part; part++) {
        bool known = **part == '\0';

        for (size_t i = 0; !known && i < ARRAY_SIZE(tmpfs_flags); i++) {
            if (strcmp(tmpfs_flags[i].name, *part) == 0) {
                flags = (flags & ~tmpfs_flags[i].clear) | tmpfs_flags[i].set;
                known = true;
            }
        }
        for (size_t i = 0; !known && i < ARRAY_SIZE(tmpfs_values); i++) {
            if (str_starts(*part, tmpfs_values[i])) {
                str_printf(&data, "%s%s", data.length ? "," : "", *part);
                known = true;
            }
        }
        if (!known)
            return error_set(err, EINVAL, "Invalid tmpfs option \"%s\"", *part);
    }
    *ret_flags = flags;
    *ret_data = str_take(&data);
    return 0;
}

/* --- state files ------------------------------------------------------------------ */

cJSON *mount_list_to_json(const struct mount_list *list)
{
    cJSON *array = cJSON_CreateArray();

    for (size_t i = 0; i < list->count; i++) {
        const struct mount_point *mount = &list->items[i];
        cJSON *object = cJSON_CreateObject();

        json_add_int(object, "Type", mount->type);
        json_add_string(object, "Name", mount->name);
        json_add_string(object, "Source", mount->source);
        json_add_string(object, "Destination", mount->destination);
        json_add_string(object, "Driver", mount->driver);
        json_add_string(object, "Mode", mount->mode);
        json_add_string(object, "Propagation", mount->propagation);
        json_add_string(object, "Subpath", mount->subpath);
        if (mount->data)
            json_add_string(object, "Data", mount->data);
        if (mount->labels)
            json_add(object, "Labels", cJSON_Duplicate(mount->labels, true));
        if (mount->options)
            json_add(object, "Options", cJSON_Duplicate(mount->options, true));
        json_add_bool(object, "RW", mount->rw);
        json_add_bool(object, "CopyData", mount->copy_data);
        json_add_bool(object, "CreateSource", mount->create_source);
        json_add_bool(object, "Anonymous", mount->anonymous);
        json_add_bool(object, "NonRecursive", mount->non_recursive);
        json_add_bool(object, "ShallowReadonly", mount->shallow_readonly);
        cJSON_AddItemToArray(array, object);
    }
    return array;
}

void mount_list_from_json(const cJSON *json, struct mount_list *ret)
{
    const cJSON *object;

    cJSON_ArrayForEach(object, json) {
        int64_t type = json_int(object, "Type", -1);
        const char *data = json_string(object, "Data", NULL);

        if (type < MOUNT_BIND || type > MOUNT_TMPFS || ret->count >= MOUNTS_MAX)
            continue;
        ret->items = mem_grow(ret->items, ret->count + 1, sizeof(*ret->items));
        ret->items[ret->count++] = (struct mount_point){
            .type = (enum mount_type)type,
            .name = mem_strdup(json_string(object, "Name", "")),
            .source = mem_strdup(json_string(object, "Source", "")),
            .destination = mem_strdup(json_string(object, "Destination", "/")),
            .driver = mem_strdup(json_string(object, "Driver", "")),
            .mode = mem_strdup(json_string(object, "Mode", "")),
            .propagation = mem_strdup(json_string(object, "Propagation", "")),
            .subpath = mem_strdup(json_string(object, "Subpath", "")),
            .data = mem_strdup(data),
            .labels = cJSON_Duplicate(json_get(object, "Labels"), true),
            .options = cJSON_Duplicate(json_get(object, "Options"), true),
            .rw = json_bool(object, "RW", true),
            .copy_data = json_bool(object, "CopyData", false),
            .create_source = json_bool(object, "CreateSource", false),
            .anonymous = json_bool(object, "Anonymous", false),
            .non_recursive = json_bool(object, "NonRecursive", false),
            .shallow_readonly = json_bool(object, "ShallowReadonly", false),
        };
    }
}
