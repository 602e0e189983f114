/* Volumes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/random.h"
#include "bodies.h"
#include "routes.h"
#include "shapes.h"
#include "tabique/engine.h"
#include "tabique/event.h"
#include "tabique/volume.h"
#include "volumes_list.h"

#define VOLUME_PAIRS_MAX 1024

static struct volume_store *store_of(struct request *request)
{
    return engine_volumes(request_engine(request));
}

static void volume_drop(struct volume **volume)
{
    volume_free(*volume);
}
#define CLEANUP_VOLUME CLEANUP(volume_drop)

static cJSON *labels_of(const struct volume *volume)
{
    cJSON *labels = cJSON_CreateObject();
    for (size_t i = 0; i < volume->label_count; i++)
        json_add_string(labels, volume->labels[i].name, volume->labels[i].value);
    return labels;
}

static void publish(struct request *request, const char *action, const char *name)
{
    event_publish(engine_events(request_engine(request)), "volume", action, name, "driver", "local", NULL);
}

/* --- list ------------------------------------------------------------------------------- */

struct list {
    const cJSON *filters;
    bool has_dangling, dangling;
    cJSON *array;
};

static int add_volume(void *user, const struct volume *volume)
{
    struct list *list = user;
    CLEANUP_JSON cJSON *labels = labels_of(volume);
    const bool used = volume->used_by && volume->used_by[0];
    if ((list->has_dangling && list->dangling == used) || !filter_match(list->filters, "driver", "local") ||
        !filter_match_regex(list->filters, "name", volume->name) ||
        !filter_match_labels(list->filters, "label", labels))
        return 0;
    cJSON_AddItemToArray(list->array, shape_volume(volume, -1));
    return 0;
}

static int volumes_list(struct request *request)
{
    static const char *const allowed[] = {"dangling", "name", "driver", "label", NULL};
    struct error err = ERROR_INIT;
    CLEANUP_JSON cJSON *filters = NULL;
    struct list list = {0};

    int r = request_filters(request, allowed, &filters, &err);
    if (r < 0 && strcmp(err.message, "invalid filter") == 0)
        error_prefix(&err, "error reading volume filters");
    if (r >= 0)
        r = filter_bool(filters, "dangling", false, &list.dangling, &err);
    if (r < 0)
        return route_fail(request, r, &err);
    list.filters = filters;
    list.has_dangling = filter_values(filters, "dangling") != NULL;
    list.array = cJSON_CreateArray();
    volume_each(store_of(request), add_volume, &list);

    cJSON *json = cJSON_CreateObject();
    json_add(json, "Volumes", list.array);
    json_add_null(json, "Warnings");
    return respond_json(request, 200, json);
}

struct usage {
    struct request *request;
    cJSON *array;
};

static int add_usage(void *user, const struct volume *volume)
{
    struct usage *usage = user;
    const int64_t size = volume_size(store_of(usage->request), volume->name);
    cJSON_AddItemToArray(usage->array, shape_volume(volume, size < 0 ? 0 : size));
    return 0;
}

cJSON *volumes_usage(struct request *request)
{
    struct usage usage = {request, cJSON_CreateArray()};
    volume_each(store_of(request), add_usage, &usage);
    return usage.array;
}

/* --- one ------------------------------------------------------------------------------------ */

static int read_pairs(const cJSON *object, const char *what, struct volume_pair **ret, size_t *ret_count,
                      struct error *err)
{
    const cJSON *entry;
    const int size = cJSON_IsObject(object) ? cJSON_GetArraySize(object) : 0;
    if (size > VOLUME_PAIRS_MAX)
        return error_set(err, EINVAL, "too many %s", what);
    struct volume_pair *pairs = mem_array((size_t)size, sizeof(*pairs));
    size_t count = 0;
    cJSON_ArrayForEach (entry, object) {
        if (!cJSON_IsString(entry)) {
            free(pairs);
            return error_set(err, EINVAL, "%s: the value of %s must be a string", what, entry->string);
        }
        pairs[count++] = (struct volume_pair){entry->string, entry->valuestring};
    }
    *ret = pairs;
    *ret_count = count;
    return 0;
}

static int volumes_create(struct request *request)
{
    struct error err = ERROR_INIT;
    CLEANUP_JSON cJSON *given = NULL, *body = NULL;
    CLEANUP_VOLUME struct volume *volume = NULL;
    struct volume_pair *labels = NULL, *options = NULL;
    size_t label_count = 0, option_count = 0;

    int r = request_json(request, 0, true, &given, &err);
    if (r >= 0)
        r = schema_complete(&body_volume_create, given, "", &body, &err);
    const char *driver = json_string(body, "Driver", ""), *name = json_string(body, "Name", "");
    char made_up[ID_LENGTH + 1];
    if (r >= 0 && driver[0] && strcmp(driver, "local") != 0) {
        random_id(made_up);
        r = error_set(&err, ENOENT, "create %s: error looking up volume plugin %s: plugin \"%s\" not found",
                      name[0] ? name : made_up, driver, driver);
    }
    if (r >= 0 && cJSON_IsObject(json_get(body, "ClusterVolumeSpec")))
        r = error_set(&err, ENOTSUP, "cluster volumes are not supported");
    if (r >= 0)
        r = read_pairs(json_get(body, "Labels"), "labels", &labels, &label_count, &err);
    if (r >= 0)
        r = read_pairs(json_get(body, "DriverOpts"), "options", &options, &option_count, &err);
    const bool there = r >= 0 && name[0] && volume_get(store_of(request), name, &volume, NULL) >= 0;
    if (there) {
        volume_free(volume);
        volume = NULL;
    }
    if (r >= 0)
        r = volume_create(store_of(request), name, labels, label_count, options, option_count, &volume, &err);
    free(labels);
    free(options);
    if (r < 0)
        return route_fail(request, r, &err);
    if (!there)
        publish(request, "create", volume->name);
    return respond_json(request, 201, shape_volume(volume, -1));
}

static int volumes_inspect(struct request *request)
{
    struct error err = ERROR_INIT;
    CLEANUP_VOLUME struct volume *volume = NULL;
    const int r = volume_get(store_of(request), request_param(request, "name"), &volume, &err);
    return route_json(request, r, &err, 200, r < 0 ? NULL : shape_volume(volume, -1));
}

static int volumes_update(struct request *request)
{
    return respond_status_error(request, 503,
                                "volume update only valid for cluster volumes, but swarm is unavailable");
}

static int volumes_remove(struct request *request)
{
    struct error err = ERROR_INIT;
    const char *name = request_param(request, "name");
    const int r = volume_remove(store_of(request), name, request_query_bool(request, "force", false), &err);
    if (r >= 0)
        publish(request, "destroy", name);
    return route_done(request, r, &err, 204);
}

/* --- prune ---------------------------------------------------------------------------------- */

struct prune {
    const cJSON *filters;
    bool all;
    char **names;
};

static int note_unused(void *user, const struct volume *volume)
{
    struct prune *prune = user;
    CLEANUP_JSON cJSON *labels = labels_of(volume);
    if ((volume->used_by && volume->used_by[0]) || (!prune->all && !volume->anonymous) ||
        !filter_match_labels(prune->filters, "label", labels) ||
        (filter_values(prune->filters, "label!") && filter_match_labels(prune->filters, "label!", labels)))
        return 0;
    strv_push(&prune->names, volume->name);
    return 0;
}

static int volumes_prune(struct request *request)
{
    static const char *const allowed[] = {"label", "label!", "all", NULL};
    struct error err = ERROR_INIT;
    CLEANUP_JSON cJSON *filters = NULL;
    struct prune prune = {0};

    int r = request_filters(request, allowed, &filters, &err);
    /* Only anonymous ones unless told, since 1.42. */
    if (r >= 0)
        r = filter_bool(filters, "all", request_api_version(request) < 142, &prune.all, &err);
    if (r < 0)
        return route_fail(request, r, &err);
    prune.filters = filters;
    volume_each(store_of(request), note_unused, &prune);

    cJSON *deleted = cJSON_CreateArray(), *json = cJSON_CreateObject();
    int64_t reclaimed = 0;
    for (char **name = prune.names; name && *name; name++) {
        const int64_t size = volume_size(store_of(request), *name);
        if (volume_remove(store_of(request), *name, false, NULL) < 0)
            continue; /* taken into use, or gone, meanwhile */
        reclaimed += size > 0 ? size : 0;
        json_push_string(deleted, *name);
        publish(request, "destroy", *name);
    }
    strv_free(prune.names);
    json_add(json, "VolumesDeleted", deleted);
    json_add_int(json, "SpaceReclaimed", reclaimed);
    return respond_json(request, 200, json);
}

#define DOCKER_AUDIT (ROUTE_DOCKER | ROUTE_AUDIT)

const struct route routes_volumes[] = {
    {"GET", "/volumes", PERMISSION_VIEW, ROUTE_DOCKER, volumes_list},
    {"POST", "/volumes/create", PERMISSION_OPERATE, DOCKER_AUDIT, volumes_create, "volume.create"},
    {"POST", "/volumes/prune", PERMISSION_OPERATE, DOCKER_AUDIT, volumes_prune, "volume.prune"},
    {"GET", "/volumes/{name}", PERMISSION_VIEW, ROUTE_DOCKER, volumes_inspect},
    {"PUT", "/volumes/{name}", PERMISSION_OPERATE, DOCKER_AUDIT, volumes_update, "volume.update"},
    {"DELETE", "/volumes/{name}", PERMISSION_OPERATE, DOCKER_AUDIT, volumes_remove, "volume.remove"},
    {0},
};
