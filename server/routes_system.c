/* The server as a whole. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "images_list.h"
#include "openapi.h"
#include "routes.h"
#include "shapes.h"
#include "system_routes.h"
#include "tabique/engine.h"
#include "tabique/image.h"
#include "volumes_list.h"

static int system_ping(struct request *request)
{
    respond_header(request, "Builder-Version", "1");
    respond_header(request, "Swarm", "inactive");
    respond_header(request, "Cache-Control", "no-cache, no-store, must-revalidate");
    respond_header(request, "Pragma", "no-cache");
    if (strcmp(request_method(request), "HEAD") == 0)
        return respond_text(request, 200, "text/plain; charset=utf-8", "");
    return respond_text(request, 200, "text/plain; charset=utf-8", "OK");
}

static int system_health(struct request *request)
{
    return respond_text(request, 200, "text/plain; charset=utf-8", "ok\n");
}

static int system_openapi(struct request *request)
{
    return respond_data(request, 200, "application/json", openapi_document, openapi_document_length);
}

/* --- df ------------------------------------------------------------------------------------ */

struct list {
    struct request *request;
    cJSON *array;
};

static int add_container(void *user, struct container *container)
{
    struct list *list = user;
    CLEANUP_CONTAINER_INFO struct container_info *info = NULL;
    int64_t rw = 0, root_fs = 0;
    if (container_info(container, &info) < 0)
        return 0;
    cJSON *summary = shape_container_summary(info, request_api_version(list->request));
    if (container_size(container, &rw, &root_fs) >= 0) {
        json_add_int(summary, "SizeRw", rw);
        json_add_int(summary, "SizeRootFs", root_fs);
    }
    cJSON_AddItemToArray(list->array, summary);
    return 0;
}

enum { WANT_CONTAINERS = 1, WANT_IMAGES = 2, WANT_VOLUMES = 4, WANT_BUILD_CACHE = 8 };

static int wanted_types(struct request *request, unsigned *ret, struct error *err)
{
    static const struct {
        const char *name;
        unsigned bit;
    } types[] = {{"container", WANT_CONTAINERS}, {"image", WANT_IMAGES},
                 {"volume", WANT_VOLUMES}, {"build-cache", WANT_BUILD_CACHE}};
    CLEANUP_STRV char **names = route_query_strv(request, "type");
    unsigned wanted = 0;
    for (char **name = names; name && *name; name++) {
        unsigned bit = 0;
        for (size_t i = 0; i < ARRAY_SIZE(types); i++)
            bit |= strcmp(*name, types[i].name) == 0 ? types[i].bit : 0;
        if (!bit)
            return error_set(err, EINVAL, "unknown object type: %s", *name);
        wanted |= bit;
    }
    *ret = wanted && request_api_version(request) >= 142 ? wanted : ~0u;
    return 0;
}

/* What is not counted with an image already. */
static int64_t cache_size(const cJSON *entries)
{
    int64_t size = 0;
    const cJSON *entry;
    cJSON_ArrayForEach (entry, entries)
        size += json_bool(entry, "Shared", false) ? 0 : json_int(entry, "Size", 0);
    return size;
}

static int system_df(struct request *request)
{
    struct error err = ERROR_INIT;
    unsigned wanted = 0;
    const int r = wanted_types(request, &wanted, &err);
    if (r < 0)
        return route_fail(request, r, &err);

    cJSON *json = cJSON_CreateObject();
    cJSON *images = NULL;
    struct image_usage usage;
    image_store_usage(engine_images(request_engine(request)), &usage);
    json_add_int(json, "LayersSize", wanted & WANT_IMAGES ? usage.layers : 0);
    if (wanted & WANT_IMAGES)
        images_summaries(request, NULL, false, true, true, &images, NULL);
    json_add(json, "Images", images);
    if (wanted & WANT_CONTAINERS) {
        struct list list = {request, json_add_array(json, "Containers")};
        container_each(request_engine(request), add_container, &list);
    } else {
        json_add_null(json, "Containers");
    }
    json_add(json, "Volumes", wanted & WANT_VOLUMES ? volumes_usage(request) : NULL);
    if (wanted & WANT_BUILD_CACHE)
        json_add(json, "BuildCache", build_cache_summaries(request));
    else
        json_add_null(json, "BuildCache");
    if (request_api_version(request) < 142)
        json_add_int(json, "BuilderSize", cache_size(json_get(json, "BuildCache")));
    return respond_json(request, 200, json);
}

const struct route routes_system[] = {
    {"GET", "/_ping", PERMISSION_PUBLIC, ROUTE_DOCKER, system_ping},
    {"HEAD", "/_ping", PERMISSION_PUBLIC, ROUTE_DOCKER, system_ping},
    {"GET", "/healthz", PERMISSION_PUBLIC, 0, system_health},
    {"GET", "/version", PERMISSION_VIEW, ROUTE_DOCKER, system_version},
    {"GET", "/info", PERMISSION_VIEW, ROUTE_DOCKER, system_info},
    {"GET", "/events", PERMISSION_VIEW, ROUTE_DOCKER, system_events},
    {"GET", "/system/df", PERMISSION_VIEW, ROUTE_DOCKER, system_df},
    {"GET", "/metrics", PERMISSION_VIEW, 0, system_metrics},
    {"GET", "/api/openapi.json", PERMISSION_VIEW, 0, system_openapi},
    {0},
};
