#include "shapes.h"

#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "shapes_private.h"
#include "tabique/image.h"

static void add_names(cJSON *json, const char *key, char *const *names, const char *none)
{
    cJSON *list = json_from_strv(names);
    if (none && !list->child)
        json_push_string(list, none);
    json_add(json, key, list);
}

cJSON *shape_image_summary(const struct image *image, int api_version, int64_t shared, int containers)
{
    /* A nameless image was "<none>:<none>" before 1.43, and is an empty list since. */
    const bool nameless = (!image->names || !image->names[0]) && (!image->digests || !image->digests[0]);
    const bool say_none = nameless && api_version < 143;
    const cJSON *labels = json_get(json_get(image->config, "config"), "Labels");

    cJSON *json = cJSON_CreateObject();
    json_add_string(json, "Id", image->id);
    json_add_string(json, "ParentId", image->parent ? image->parent : "");
    add_names(json, "RepoTags", image->names, say_none ? "<none>:<none>" : NULL);
    add_names(json, "RepoDigests", image->digests, say_none ? "<none>@<none>" : NULL);
    json_add_int(json, "Created", image->created_ns / NS_PER_SEC);
    json_add_int(json, "Size", image->size);
    json_add_int(json, "SharedSize", shared);
    if (api_version < 144)
        json_add_int(json, "VirtualSize", image->size);
    json_add(json, "Labels", cJSON_IsObject(labels) ? cJSON_Duplicate(labels, true) : NULL);
    json_add_int(json, "Containers", containers);
    return json;
}

static cJSON *graph_driver(const struct image *image, const char *layers_dir)
{
    cJSON *json = cJSON_CreateObject();
    json_add_string(json, "Name", "overlay2");
    if (!layers_dir || !image->layers || !image->layers[0]) {
        json_add_null(json, "Data");
        return json;
    }
    cJSON *data = json_add_object(json, "Data");
    CLEANUP_FREE char *upper = path_join(layers_dir, image->layers[0]);
    json_add_string(data, "UpperDir", upper);
    CLEANUP_STR struct str lower = STR_INIT;
    for (char **layer = image->layers + 1; *layer; layer++)
        str_printf(&lower, "%s%s/%s", lower.length ? ":" : "", layers_dir, *layer);
    if (lower.length)
        json_add_string(data, "LowerDir", lower.data);
    return json;
}

/* Fields of an image's Config that are there also when nobody set them, up to 1.49 those
 * of a container too. */
static cJSON *image_config(const cJSON *config, int api_version)
{
    static const struct {
        const char *name;
        enum { ABSENT_NULL, ABSENT_EMPTY, ABSENT_FALSE } absent;
        int until;
    } fields[] = {{"Cmd", ABSENT_NULL, 151},          {"Entrypoint", ABSENT_NULL, 151},
                  {"Env", ABSENT_NULL, 151},          {"Labels", ABSENT_NULL, 151},
                  {"OnBuild", ABSENT_NULL, 151},      {"User", ABSENT_EMPTY, 151},
                  {"Volumes", ABSENT_NULL, 151},      {"WorkingDir", ABSENT_EMPTY, 151},
                  {"AttachStderr", ABSENT_FALSE, 149}, {"AttachStdin", ABSENT_FALSE, 149},
                  {"AttachStdout", ABSENT_FALSE, 149}, {"Domainname", ABSENT_EMPTY, 149},
                  {"Hostname", ABSENT_EMPTY, 149},    {"Image", ABSENT_EMPTY, 149},
                  {"OpenStdin", ABSENT_FALSE, 149},   {"StdinOnce", ABSENT_FALSE, 149},
                  {"Tty", ABSENT_FALSE, 149}};
    cJSON *json = cJSON_IsObject(config) ? cJSON_Duplicate(config, true) : cJSON_CreateObject();

    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        if (api_version > fields[i].until || cJSON_HasObjectItem(json, fields[i].name))
            continue;
        if (fields[i].absent == ABSENT_NULL)
            json_add_null(json, fields[i].name);
        else if (fields[i].absent == ABSENT_EMPTY)
            json_add_string(json, fields[i].name, "");
        else
            json_add_bool(json, fields[i].name, false);
    }
    return json;
}

cJSON *shape_image_inspect(const struct image *image, int api_version, const char *layers_dir,
                           int64_t last_tag_ns)
{
    const cJSON *config = json_get(image->config, "config");
    const char *comment = "";
    const cJSON *history = json_get(image->config, "history");
    const cJSON *step;
    cJSON_ArrayForEach (step, history)
        comment = json_string(step, "comment", "");

    cJSON *json = cJSON_CreateObject();
    json_add_string(json, "Id", image->id);
    json_add(json, "RepoTags", json_from_strv(image->names));
    json_add(json, "RepoDigests", json_from_strv(image->digests));
    json_add_string(json, "Parent", image->parent ? image->parent : "");
    json_add_string(json, "Comment", comment);
    shape_add_time(json, "Created", image->created_ns);
    json_add_string(json, "DockerVersion", json_string(image->config, "docker_version", ""));
    json_add_string(json, "Author", json_string(image->config, "author", ""));
    json_add(json, "Config", image_config(config, api_version));
    if (api_version < 145)
        json_add_string(json, "Container", json_string(image->config, "container", ""));
    /* Of the container that the image was made from. Docker has it no more since 1.45;
     * Compose 1.29 takes the newest version and cannot recreate a container without.
     * It looks for the image's volumes there: where nothing is known the image's own
     * configuration serves. */
    const cJSON *made_from = json_get(image->config, "container_config");
    json_add(json, "ContainerConfig", image_config(cJSON_IsObject(made_from) ? made_from : config, 149));
    json_add_string(json, "Architecture", image->architecture ? image->architecture : "");
    if (image->variant && image->variant[0])
        json_add_string(json, "Variant", image->variant);
    json_add_string(json, "Os", image->os ? image->os : "linux");
    json_add_int(json, "Size", image->size);
    if (api_version < 144)
        json_add_int(json, "VirtualSize", image->size);
    json_add(json, "GraphDriver", graph_driver(image, layers_dir));
    cJSON *root = json_add_object(json, "RootFS");
    json_add_string(root, "Type", "layers");
    json_add(root, "Layers", json_from_strv(image->diff_ids));
    shape_add_time(json_add_object(json, "Metadata"), "LastTagTime", last_tag_ns);
    return json;
}

cJSON *shape_image_history(const struct image_history *history, size_t count)
{
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; i < count; i++) {
        cJSON *step = cJSON_CreateObject();
        json_add_string(step, "Id", history[i].id ? history[i].id : "<missing>");
        json_add_int(step, "Created", history[i].created_ns / NS_PER_SEC);
        json_add_string(step, "CreatedBy", history[i].created_by ? history[i].created_by : "");
        json_add(step, "Tags",
                 history[i].tags && history[i].tags[0] ? json_from_strv(history[i].tags) : NULL);
        json_add_int(step, "Size", history[i].size);
        json_add_string(step, "Comment", history[i].comment ? history[i].comment : "");
        cJSON_AddItemToArray(list, step);
    }
    return list;
}

static void add_removed(cJSON *list, const char *key, char *const *names)
{
    for (; names && *names; names++) {
        cJSON *entry = cJSON_CreateObject();
        json_add_string(entry, key, *names);
        cJSON_AddItemToArray(list, entry);
    }
}

cJSON *shape_image_removal(const struct image_removal *removal)
{
    cJSON *list = cJSON_CreateArray();
    add_removed(list, "Untagged", removal->untagged);
    add_removed(list, "Deleted", removal->deleted);
    return list;
}
