/* Images that are here; routes_registry.c has those elsewhere. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "images_list.h"
#include "images_pull.h"
#include "progress.h"
#include "routes.h"
#include "shapes.h"
#include "tabique/build.h"
#include "tabique/engine.h"
#include "tabique/event.h"
#include "tabique/image.h"

#define CLEANUP_IMAGE CLEANUP(image_freep)

static struct image_store *store_of(struct request *request)
{
    return engine_images(request_engine(request));
}

static int images_list(struct request *request)
{
    static const char *const allowed[] = {"before", "dangling", "label", "reference", "since", "until", NULL};
    struct error err = ERROR_INIT;
    CLEANUP_JSON cJSON *filters = NULL;
    cJSON *json = NULL;

    int r = request_filters(request, allowed, &filters, &err);
    const char *old_filter = request_query(request, "filter");
    if (r >= 0 && request_api_version(request) < 125 && old_filter && !filter_values(filters, "reference")) {
        if (!filters)
            filters = cJSON_CreateObject();
        json_push_string(json_add_array(filters, "reference"), old_filter);
    }
    if (r >= 0)
        r = images_summaries(request, filters, request_query_bool(request, "all", false),
                             request_api_version(request) >= 142 &&
                                 request_query_bool(request, "shared-size", false),
                             request_api_version(request) >= 151, &json, &err);
    return route_json(request, r, &err, 200, json);
}

static int images_inspect(struct request *request)
{
    struct error err = ERROR_INIT;
    CLEANUP_IMAGE struct image *image = NULL;
    const int r = image_get(store_of(request), request_param(request, "name"), &image, &err);
    if (r < 0)
        return route_fail(request, r, &err);
    return respond_json(request, 200,
                        shape_image_inspect(image, request_api_version(request),
                                            image_store_layers_dir(store_of(request)), image->created_ns));
}

static int images_history(struct request *request)
{
    struct error err = ERROR_INIT;
    struct image_history *history = NULL;
    size_t count = 0;
    const int r = image_history(store_of(request), request_param(request, "name"), &history, &count, &err);
    if (r < 0)
        return route_fail(request, r, &err);
    cJSON *json = shape_image_history(history, count);
    image_history_free(history, count);
    return respond_json(request, 200, json);
}

/* "repo" and "tag" of a request as one name; *ret NULL without repo. */
static int repo_and_tag(struct request *request, const char *repo, char **ret, struct error *err)
{
    const char *tag = request_query(request, "tag");
    if (!repo || !repo[0]) {
        *ret = NULL;
        return 0;
    }
    CLEANUP_FREE char *text = NULL, *digest = NULL;
    int r = image_name_join(repo, tag, &text, err);
    if (r >= 0)
        r = image_name_parse(text, NULL, NULL, &digest, err);
    if (r < 0)
        return r;
    if (digest && digest[0])
        return error_set(err, EINVAL, "refusing to create a tag with a digest reference");
    *ret = TAKE_PTR(text);
    return 0;
}

static int images_tag(struct request *request)
{
    struct error err = ERROR_INIT;
    CLEANUP_FREE char *name = NULL;
    CLEANUP_IMAGE struct image *image = NULL;

    int r = repo_and_tag(request, request_query(request, "repo"), &name, &err);
    if (r >= 0 && !name)
        r = error_set(&err, EINVAL, "invalid reference format");
    if (r >= 0)
        r = image_get(store_of(request), request_param(request, "name"), &image, &err);
    if (r >= 0)
        r = image_tag(store_of(request), image->id, name, &err);
    if (r < 0)
        return route_fail(request, r, &err);
    route_publish(request, "image", "tag", image->id, name);
    return respond_empty(request, 201);
}

static void publish_removal(struct request *request, const struct image_removal *removal, const char *id)
{
    for (char **name = removal->untagged; name && *name; name++)
        route_publish(request, "image", "untag", id, *name);
    for (char **deleted = removal->deleted; deleted && *deleted; deleted++)
        route_publish(request, "image", "delete", *deleted, *deleted);
}

static int images_remove(struct request *request)
{
    struct error err = ERROR_INIT;
    CLEANUP_IMAGE struct image *image = NULL;
    struct image_removal removal = {0};
    const char *name = request_param(request, "name");

    int r = name[strspn(name, " ")] ? 0 : error_set(&err, EINVAL, "image name cannot be blank");
    if (r >= 0)
        r = image_get(store_of(request), name, &image, &err);
    if (r >= 0)
        r = image_remove(store_of(request), name, request_query_bool(request, "force", false),
                         request_query_bool(request, "noprune", false), &removal, &err);
    if (r < 0)
        return route_fail(request, r, &err);
    publish_removal(request, &removal, image->id);
    cJSON *json = shape_image_removal(&removal);
    image_removal_clear(&removal);
    return respond_json(request, 200, json);
}

static int images_prune(struct request *request)
{
    static const char *const allowed[] = {"dangling", "label", "label!", "until", NULL};
    struct error err = ERROR_INIT;
    CLEANUP_JSON cJSON *filters = NULL;
    CLEANUP_STRV char **labels = NULL;
    struct image_removal removal = {0};
    bool dangling = true;
    int64_t until = 0, reclaimed = 0;

    int r = request_filters(request, allowed, &filters, &err);
    if (r >= 0)
        r = filter_bool(filters, "dangling", true, &dangling, &err);
    if (r >= 0)
        r = filter_prune(filters, &until, &labels, &err);
    if (r >= 0)
        r = image_prune(store_of(request), dangling, until, labels, &removal, &reclaimed, &err);
    if (r < 0)
        return route_fail(request, r, &err);

    publish_removal(request, &removal, "");
    cJSON *json = cJSON_CreateObject(), *list = shape_image_removal(&removal);
    const bool any = list->child != NULL;
    json_add(json, "ImagesDeleted", any ? list : NULL);
    if (!any)
        cJSON_Delete(list);
    json_add_int(json, "SpaceReclaimed", reclaimed);
    image_removal_clear(&removal);
    CLEANUP_FREE char *bytes = mem_printf("%lld", (long long)reclaimed);
    event_publish(engine_events(request_engine(request)), "image", "prune", "", "reclaimed", bytes, NULL);
    return respond_json(request, 200, json);
}

/* --- out: save ------------------------------------------------------------------------------ */

struct saving {
    struct request *request;
    bool begun;
};

/* Every name has been looked up before the first byte: afterwards there is no status left. */
static int save_write(void *user, const void *data, size_t length)
{
    struct saving *saving = user;
    int r = saving->begun ? 0 : respond_begin(saving->request, 200, "application/x-tar");

    saving->begun = true;
    return r < 0 ? r : respond_write(saving->request, data, length);
}

static int save(struct request *request, char *const *names)
{
    struct error err = ERROR_INIT;
    struct saving saving = {.request = request};
    int r = names && names[0] ? 0 : error_set(&err, EINVAL, "no images to save");

    if (r >= 0)
        r = image_save(store_of(request), names, save_write, &saving, &err);
    if (r < 0)
        return saving.begun ? r : route_fail(request, r, &err);
    for (char *const *name = names; *name; name++) {
        CLEANUP_IMAGE struct image *image = NULL;
        if (image_get(store_of(request), *name, &image, NULL) >= 0) /* a repository is no one image */
            route_publish(request, "image", "save", image->id, *name);
    }
    return respond_end(request);
}

static int save_several(struct request *request, void *user)
{
    CLEANUP_STRV char **names = route_query_strv(request, "names");
    return save(request, names);
}

static int save_one(struct request *request, void *user)
{
    CLEANUP_STRV char **names = NULL;
    strv_push(&names, request_param(request, "name"));
    return save(request, names);
}

static int images_save_several(struct request *request)
{
    return route_detach(request, save_several);
}

static int images_save(struct request *request)
{
    return route_detach(request, save_one);
}

/* --- in: load, import ---------------------------------------------------------------------- */

static ssize_t read_fd(void *user, void *buffer, size_t size)
{
    const ssize_t n = read(*(const int *)user, buffer, size);
    return n < 0 ? -errno : n;
}

struct load {
    struct request *request;
    bool quiet;
};

static ssize_t load_read(void *user, void *buffer, size_t size)
{
    return request_read(((struct load *)user)->request, buffer, size);
}

static void publish_loaded(struct request *request, const char *status)
{
    static const char *const prefixes[] = {"Loaded image: ", "Loaded image ID: "};
    for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
        CLEANUP_IMAGE struct image *image = NULL;
        if (!str_starts(status, prefixes[i]))
            continue;
        const char *name = status + strlen(prefixes[i]);
        CLEANUP_FREE char *trimmed = mem_strndup(name, strcspn(name, "\r\n"));
        if (image_get(store_of(request), trimmed, &image, NULL) >= 0)
            route_publish(request, "image", "load", image->id, trimmed);
    }
}

static void load_progress(void *user, const char *id, const char *status, int64_t current, int64_t total)
{
    struct load *load = user;
    cJSON *json = cJSON_CreateObject();

    if (str_starts(status, "Loaded image")) {
        CLEANUP_FREE char *line = mem_printf("%s\n", status);
        json_add_string(json, "stream", line);
        publish_loaded(load->request, status);
    } else if (load->quiet) {
        cJSON_Delete(json);
        return;
    } else {
        json_add_string(json, "status", status);
        cJSON *detail = json_add_object(json, "progressDetail");
        if (current || total) {
            json_add_int(detail, "current", current);
            json_add_int(detail, "total", total);
        }
        if (id)
            json_add_string(json, "id", id);
    }
    progress_line(load->request, json);
}

static int load_detached(struct request *request, void *user)
{
    struct error err = ERROR_INIT;
    struct load load = {.request = request, .quiet = request_query_bool(request, "quiet", true)};

    int r = respond_begin(request, 200, "application/json");
    if (r < 0)
        return r;
    r = image_load(store_of(request), load_read, load_progress, &load, &err);
    if (r < 0) {
        if (err.code == 0)
            error_errno(&err, -r, "load");
        r = progress_error(request, &err);
    }
    return r < 0 ? r : respond_end(request);
}

static int images_load(struct request *request)
{
    return route_detach(request, load_detached);
}

static int import_detached(struct request *request, void *user)
{
    struct error err = ERROR_INIT;
    CLEANUP_FREE char *id = NULL, *name = NULL;
    CLEANUP_STRV char **changes = route_query_strv(request, "changes");
    const char *repo = request_query(request, "repo"), *message = request_query(request, "message");

    int r = repo_and_tag(request, repo, &name, &err);
    if (r >= 0)
        r = image_import(store_of(request), request_read, request, repo && repo[0] ? repo : NULL,
                         request_query(request, "tag"), message && message[0] ? message : "Imported from -",
                         changes, request_query(request, "platform"), &id, &err);
    if (r < 0)
        return route_fail(request, r, &err);

    route_publish(request, "image", "import", id, name ? name : id);
    CLEANUP_FREE char *line = mem_printf("{\"status\":\"%s\"}\r\n", id);
    return respond_text(request, 200, "application/json", line);
}

/* fromSrc is an address: what a build's ADD may fetch, an import may. */
static int import_fetched(struct request *request, void *user)
{
    struct error err = ERROR_INIT;
    struct progress progress = {.request = request};
    CLEANUP_FREE char *id = NULL, *name = NULL;
    CLEANUP_CLOSE int fd = -EBADF;
    CLEANUP_STRV char **changes = route_query_strv(request, "changes");
    const char *repo = request_query(request, "repo"), *source = request_query(request, "fromSrc");
    const char *message = request_query(request, "message");
    CLEANUP_FREE char *address = mem_printf("%s%s", strstr(source, "://") ? "" : "http://", source);
    CLEANUP_FREE char *status = mem_printf("Downloading from %s", address);
    CLEANUP_FREE char *comment = mem_printf("Imported from %s", source);

    int r = repo_and_tag(request, repo, &name, &err);
    if (r >= 0)
        r = build_download(request_engine(request), address, request_gone, request, &fd, &err);
    if (r >= 0) {
        progress_report(&progress, &(struct image_report){.status = status});
        r = image_import(store_of(request), read_fd, &fd, repo && repo[0] ? repo : NULL, request_query(request, "tag"),
                         message && message[0] ? message : comment, changes, request_query(request, "platform"), &id, &err);
    }
    if (r >= 0) {
        route_publish(request, "image", "import", id, name ? name : id);
        progress_report(&progress, &(struct image_report){.status = id});
    }
    return progress_end(&progress, r, &err);
}

static int images_create(struct request *request)
{
    const char *image = request_query(request, "fromImage"), *source = request_query(request, "fromSrc");
    if (image && image[0])
        return images_pull(request);
    if (!source || !source[0])
        return respond_status_error(request, 400, "one of fromImage and fromSrc must be given");
    return route_detach(request, strcmp(source, "-") == 0 ? import_detached : import_fetched);
}

#define VIEW PERMISSION_VIEW
#define OPERATE PERMISSION_OPERATE
#define DOCKER_AUDIT (ROUTE_DOCKER | ROUTE_AUDIT)

const struct route routes_images[] = {
    {"GET", "/images/json", VIEW, ROUTE_DOCKER, images_list},
    {"GET", "/images/get", OPERATE, DOCKER_AUDIT, images_save_several, "image.save"},
    {"POST", "/images/load", OPERATE, DOCKER_AUDIT, images_load, "image.load"},
    {"POST", "/images/create", OPERATE, DOCKER_AUDIT, images_create, "image.create"},
    {"POST", "/images/prune", OPERATE, DOCKER_AUDIT, images_prune, "image.prune"},
    {"GET", "/images/{name...}/json", VIEW, ROUTE_DOCKER, images_inspect},
    {"GET", "/images/{name...}/history", VIEW, ROUTE_DOCKER, images_history},
    {"GET", "/images/{name...}/get", OPERATE, DOCKER_AUDIT, images_save, "image.save"},
    {"POST", "/images/{name...}/tag", OPERATE, DOCKER_AUDIT, images_tag, "image.tag"},
    {"DELETE", "/images/{name...}", OPERATE, DOCKER_AUDIT, images_remove, "image.remove"},
    {0},
};
