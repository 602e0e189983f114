/* What concerns registries: pull, push, sign in, search, look. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "images_pull.h"
#include "progress.h"
#include "routes.h"
#include "tabique/engine.h"
#include "tabique/image.h"
#include "tabique/registry.h"

#define CLEANUP_CREDENTIALS CLEANUP(registry_credentials_clear)
#define SEARCH_DEFAULT 25
#define SEARCH_MAX 100

static struct registry *registry_of(struct request *request)
{
    return engine_registry(request_engine(request));
}

/* Credentials nobody can read are none, as in Docker: the registry will say what it
 * misses. */
static void read_credentials(struct request *request, struct registry_credentials *ret)
{
    if (registry_credentials_parse(request_header(request, "X-Registry-Auth"), ret, NULL) < 0)
        *ret = (struct registry_credentials){0};
}

/* Under the name as it is shown elsewhere: "docker.io/library/x:1" is "x:1". */
static void publish(struct request *request, const char *action, const char *name)
{
    CLEANUP_FREE char *repository = NULL, *tag = NULL, *digest = NULL;
    if (image_name_parse(name, &repository, &tag, &digest, NULL) < 0)
        return;
    const char *rest = digest ? digest : tag ? tag : "";
    CLEANUP_FREE char *id = mem_printf("%s%s%s", repository, digest ? "@" : tag ? ":" : "", rest);
    route_publish(request, "image", action, id, repository);
}

/* "image" and "tag" (or a digest) of a request, as one name. */
static int one_name(const char *image, const char *tag, char **ret, bool *ret_whole, struct error *err)
{
    CLEANUP_FREE char *text = mem_strdup(image), *repository = NULL, *own_tag = NULL, *digest = NULL;
    if (str_ends(text, ":")) /* how old clients say "all tags" */
        text[strlen(text) - 1] = '\0';
    int r = image_name_parse(text, &repository, &own_tag, &digest, err);
    if (r < 0)
        return r;
    r = tag && tag[0] ? image_name_join(repository, tag, ret, err) : image_name_join(text, NULL, ret, err);
    if (r < 0)
        return r;
    *ret_whole = !(tag && tag[0]) && !own_tag && !digest;
    return 0;
}

/* --- pull and push ----------------------------------------------------------------------------- */

typedef int transfer_fn(struct request *request, const struct image_remote *remote, const char *name, bool whole,
                        struct error *err);

static int transfer(struct request *request, const char *image, const char *event, transfer_fn *fn)
{
    struct error err = ERROR_INIT;
    CLEANUP_CREDENTIALS struct registry_credentials credentials = {0};
    CLEANUP_FREE char *name = NULL;
    struct progress progress = {.request = request};
    const struct image_remote remote = {
        .registry = registry_of(request),
        .credentials = &credentials,
        .report = progress_report,
        .cancelled = progress_gone,
        .user = &progress,
    };
    bool whole = false;

    read_credentials(request, &credentials);
    int r = one_name(image, request_query(request, "tag"), &name, &whole, &err);
    if (r >= 0)
        r = fn(request, &remote, name, whole, &err);
    if (r >= 0)
        publish(request, event, name);
    return progress_end(&progress, r, &err);
}

static int pull(struct request *request, const struct image_remote *remote, const char *name, bool whole,
                struct error *err)
{
    return image_pull(engine_images(request_engine(request)), remote, name, whole,
                      request_api_version(request) >= 132 ? request_query(request, "platform") : NULL, err);
}

static int push(struct request *request, const struct image_remote *remote, const char *name, bool whole,
                struct error *err)
{
    return image_push(engine_images(request_engine(request)), remote, name, err);
}

static int pull_detached(struct request *request, void *user)
{
    return transfer(request, request_query(request, "fromImage"), "pull", pull);
}

static int push_detached(struct request *request, void *user)
{
    return transfer(request, request_param(request, "name"), "push", push);
}

int images_pull(struct request *request)
{
    return route_detach(request, pull_detached);
}

static int images_push(struct request *request)
{
    return route_detach(request, push_detached);
}

/* --- sign in ---------------------------------------------------------------------------------- */

static int auth_detached(struct request *request, void *user)
{
    struct error err = ERROR_INIT;
    CLEANUP_CREDENTIALS struct registry_credentials credentials = {0};
    CLEANUP_JSON cJSON *body = NULL;
    CLEANUP_FREE char *token = NULL;

    int r = request_json(request, 0, false, &body, &err);
    if (r >= 0)
        r = registry_credentials_from_json(body, &credentials, &err);
    if (r >= 0)
        r = registry_login(registry_of(request), &credentials, (struct registry_cancel){request_gone, request}, &token, &err);
    if (r < 0)
        return route_fail(request, r, &err);
    cJSON *json = cJSON_CreateObject();
    json_add_string(json, "IdentityToken", token ? token : "");
    json_add_string(json, "Status", "Login Succeeded");
    return respond_json(request, 200, json);
}

static int registry_auth(struct request *request)
{
    return route_detach(request, auth_detached);
}

/* --- search ------------------------------------------------------------------------------------ */

struct search_filter {
    bool has_official, official, has_automated, automated;
    int64_t stars;
};

static int read_filter(struct request *request, struct search_filter *ret, struct error *err)
{
    static const char *const allowed[] = {"is-automated", "is-official", "stars", NULL};
    CLEANUP_JSON cJSON *filters = NULL;
    int r = request_filters(request, allowed, &filters, err);
    if (r >= 0)
        r = filter_bool(filters, "is-official", false, &ret->official, err);
    if (r >= 0)
        r = filter_bool(filters, "is-automated", false, &ret->automated, err);
    if (r < 0)
        return r;
    ret->has_official = filter_values(filters, "is-official") != NULL;
    ret->has_automated = filter_values(filters, "is-automated") != NULL;
    const cJSON *stars;
    cJSON_ArrayForEach (stars, filter_values(filters, "stars")) {
        int64_t number;
        if (str_to_i64(stars->valuestring, &number) < 0)
            return error_set(err, EINVAL, "invalid filter 'stars=%s': strconv.Atoi: parsing \"%s\": invalid syntax",
                             stars->valuestring, stars->valuestring);
        ret->stars = number > ret->stars ? number : ret->stars;
    }
    return 0;
}

/* What a registry says is only read where it has the type it should have. */
static cJSON *search_result(const cJSON *found, const struct search_filter *filter)
{
    const bool official = json_bool(found, "is_official", false), automated = json_bool(found, "is_automated", false);
    const int64_t stars = json_int(found, "star_count", 0);
    if ((filter->has_official && official != filter->official) || (filter->has_automated && automated != filter->automated) ||
        stars < filter->stars)
        return NULL;
    cJSON *json = cJSON_CreateObject();
    json_add_int(json, "star_count", stars);
    json_add_bool(json, "is_official", official);
    json_add_string(json, "name", json_string(found, "name", ""));
    json_add_bool(json, "is_automated", automated);
    json_add_string(json, "description", json_string(found, "description", ""));
    return json;
}

static int search_detached(struct request *request, void *user)
{
    struct error err = ERROR_INIT;
    CLEANUP_CREDENTIALS struct registry_credentials credentials = {0};
    CLEANUP_JSON cJSON *found = NULL;
    struct search_filter filter = {0};
    const char *term = request_query(request, "term");
    int64_t limit = 0;

    int r = request_query_int(request, "limit", 0, &limit, &err);
    if (r < 0)
        error_prefix(&err, "invalid limit specified");
    if (r >= 0 && limit == 0)
        limit = SEARCH_DEFAULT;
    if (r >= 0 && (limit < 1 || limit > SEARCH_MAX))
        r = error_set(&err, EINVAL, "limit %lld is outside the range of [1, %d]", (long long)limit, SEARCH_MAX);
    if (r >= 0)
        r = read_filter(request, &filter, &err);
    if (r >= 0 && (!term || !term[0]))
        r = error_set(&err, EINVAL, "a search needs a term");
    read_credentials(request, &credentials);
    if (r >= 0)
        r = registry_search(registry_of(request), term, (int)limit, &credentials, (struct registry_cancel){request_gone, request},
                            &found, &err);
    if (r < 0)
        return route_fail(request, r, &err);
    cJSON *json = cJSON_CreateArray();
    const cJSON *each;
    cJSON_ArrayForEach (each, found) {
        cJSON *result = cJSON_GetArraySize(json) < limit ? search_result(each, &filter) : NULL;
        if (result)
            cJSON_AddItemToArray(json, result);
    }
    return respond_json(request, 200, json);
}

static int images_search(struct request *request)
{
    return route_detach(request, search_detached);
}

/* --- look ----------------------------------------------------------------------------------------- */

static int distribution_detached(struct request *request, void *user)
{
    struct error err = ERROR_INIT;
    CLEANUP_CREDENTIALS struct registry_credentials credentials = {0};
    cJSON *json = NULL;
    const struct image_remote remote = {
        .registry = registry_of(request), .credentials = &credentials, .cancelled = request_gone, .user = request};

    read_credentials(request, &credentials);
    const int r = image_inspect_remote(&remote, request_param(request, "name"), &json, &err);
    return route_json(request, r, &err, 200, json);
}

static int distribution_inspect(struct request *request)
{
    return route_detach(request, distribution_detached);
}

#define VIEW PERMISSION_VIEW
#define OPERATE PERMISSION_OPERATE
#define DOCKER_AUDIT (ROUTE_DOCKER | ROUTE_AUDIT)

const struct route routes_registry[] = {
    {"GET", "/images/search", VIEW, ROUTE_DOCKER, images_search},
    {"POST", "/images/{name...}/push", OPERATE, DOCKER_AUDIT, images_push, "image.push"},
    {"POST", "/auth", OPERATE, DOCKER_AUDIT, registry_auth, "registry.auth"},
    {"GET", "/distribution/{name...}/json", VIEW, ROUTE_DOCKER, distribution_inspect},
    {0},
};
