/* Building images: POST /build as Docker's classic builder serves it, its cache, and
 * /build/cancel. What the builder says goes out as it is said; what fails before a
 * word was said has a status of its own. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "images_list.h"
#include "progress.h"
#include "routes.h"
#include "shapes.h"
#include "tabique/build.h"
#include "tabique/engine.h"
#include "tabique/event.h"
#include "tabique/image.h"
#include "tabique/registry.h"

#define KEPT_MAX ((size_t)4 << 20)

/* Builds under way that gave themselves an id, for /build/cancel. */
struct job {
    struct job *next;
    const char *id;
    bool cancelled;
};
static struct job *jobs;
static pthread_mutex_t jobs_lock = PTHREAD_MUTEX_INITIALIZER;

static void job_begin(struct job *job)
{
    pthread_mutex_lock(&jobs_lock);
    job->next = jobs;
    jobs = job;
    pthread_mutex_unlock(&jobs_lock);
}

static void job_end(struct job *job)
{
    pthread_mutex_lock(&jobs_lock);
    for (struct job **at = &jobs; *at; at = &(*at)->next) {
        if (*at == job) {
            *at = job->next;
            break;
        }
    }
    pthread_mutex_unlock(&jobs_lock);
}

static int build_cancel(struct request *request)
{
    const char *id = request_query(request, "id");
    if (!id || !id[0])
        return respond_status_error(request, 400, "build ID not provided");
    pthread_mutex_lock(&jobs_lock);
    for (struct job *job = jobs; job; job = job->next) {
        if (job->id && strcmp(job->id, id) == 0)
            job->cancelled = true;
    }
    pthread_mutex_unlock(&jobs_lock);
    return respond_empty(request, 200);
}

/* --- what is said -------------------------------------------------------------------------- */

struct answer {
    struct request *request;
    struct job job;
    bool begun, quiet, gone;
    struct str kept; /* quiet: shown only when the build fails */
};

static void send_line(struct answer *answer, const char *text, size_t length)
{
    if (!answer->begun) {
        answer->begun = true;
        answer->gone = respond_begin(answer->request, 200, "application/json") < 0;
    }
    if (!answer->gone)
        answer->gone = respond_write(answer->request, text, length) < 0;
}

static void send_json(struct answer *answer, cJSON *json)
{
    CLEANUP_FREE char *text = json_print(json);
    CLEANUP_FREE char *line = mem_printf("%s\r\n", text);
    cJSON_Delete(json);
    send_line(answer, line, strlen(line));
}

static void on_text(void *user, bool errors, const char *text, size_t length)
{
    struct answer *answer = user;
    CLEANUP_STR struct str line = STR_INIT;

    str_append(&line, "{\"stream\":");
    if (errors) {
        /* Standard error is red, as the classic builder has it. */
        CLEANUP_STR struct str red = STR_INIT;
        str_append(&red, "\033[91m");
        str_append_n(&red, text, length);
        str_append(&red, "\033[0m");
        str_append_json(&line, red.data, red.length);
    } else {
        str_append_json(&line, text, length);
    }
    str_append(&line, "}\r\n");
    if (!answer->quiet)
        send_line(answer, line.data, line.length);
    else if (answer->kept.length < KEPT_MAX) /* what a command says has no end of its own */
        str_append_n(&answer->kept, line.data, line.length);
}

static void on_image(void *user, const char *id)
{
    struct answer *answer = user;
    cJSON *json = cJSON_CreateObject();
    json_add_string(json_add_object(json, "aux"), "ID", id);
    if (answer->quiet)
        cJSON_Delete(json);
    else
        send_json(answer, json);
}

static void on_tagged(void *user, const char *id, const char *name)
{
    route_publish(((struct answer *)user)->request, "image", "tag", id, name);
}

static bool is_cancelled(void *user)
{
    struct answer *answer = user;
    pthread_mutex_lock(&jobs_lock);
    const bool cancelled = answer->job.cancelled;
    pthread_mutex_unlock(&jobs_lock);
    return cancelled || answer->gone || request_gone(answer->request);
}

static void on_pull_progress(void *user, const struct image_report *report)
{
    struct answer *answer = user;
    if (!answer->quiet)
        send_json(answer, progress_json(report));
}

static int on_pull(void *user, const char *ref, const char *platform, struct error *err)
{
    struct answer *answer = user;
    struct engine *engine = request_engine(answer->request);
    CLEANUP(registry_credentials_clear) struct registry_credentials credentials = {0};
    CLEANUP_FREE char *repository = NULL;
    const struct image_remote remote = {
        .registry = engine_registry(engine),
        .credentials = &credentials,
        .report = on_pull_progress,
        .cancelled = is_cancelled,
        .user = answer,
    };

    int r = image_name_parse(ref, &repository, NULL, NULL, err);
    if (r < 0)
        return r;
    CLEANUP_FREE char *canonical = image_name_canonical(repository);
    *strchr(canonical, '/') = '\0';
    r = registry_credentials_choose(request_header(answer->request, "X-Registry-Config"), canonical, &credentials, err);
    return r < 0 ? r : image_pull(engine_images(engine), &remote, ref, false, platform, err);
}

static ssize_t read_context(void *user, void *buffer, size_t size)
{
    return request_read(((struct answer *)user)->request, buffer, size);
}

static int finish(struct answer *answer, int r, const char *id, int exit_code, struct error *err)
{
    if (r < 0 && err->code == 0)
        error_errno(err, -r, "build");
    if (r < 0 && answer->quiet && answer->kept.length)
        send_line(answer, answer->kept.data, answer->kept.length);
    if (r < 0 && !answer->begun)
        return respond_error(answer->request, err);
    if (r < 0) {
        cJSON *json = cJSON_CreateObject(), *detail = json_add_object(json, "errorDetail");
        if (exit_code)
            json_add_int(detail, "code", exit_code);
        json_add_string(detail, "message", err->message);
        json_add_string(json, "error", err->message);
        send_json(answer, json);
    } else if (answer->quiet) {
        CLEANUP_FREE char *line = mem_printf("%s\n", id);
        answer->quiet = false;
        on_text(answer, false, line, strlen(line));
    }
    return answer->gone ? -EPIPE : respond_end(answer->request);
}

/* --- what is asked --------------------------------------------------------------------------- */

struct wishes {
    struct build_options options;
    cJSON *build_args, *labels, *host_config;
    char **tags, **cache_from;
};

static void wishes_clear(struct wishes *wishes)
{
    cJSON_Delete(wishes->build_args);
    cJSON_Delete(wishes->labels);
    cJSON_Delete(wishes->host_config);
    strv_free(wishes->tags);
    strv_free(wishes->cache_from);
}

static int query_json(struct request *request, const char *name, const char *what, const char *go_type, cJSON **ret,
                      struct error *err)
{
    const char *text = request_query(request, name);
    if (!text || !text[0])
        return 0;
    int r = json_parse(text, strlen(text), ret, err);
    if (r < 0)
        return error_prefix(err, "error reading %s", what);
    if ((go_type[0] == '[' ? cJSON_IsArray(*ret) : cJSON_IsObject(*ret)) || cJSON_IsNull(*ret))
        return 0;
    return error_set(err, EINVAL, "error reading %s: json: cannot unmarshal %s into Go value of type %s", what,
                     json_kind(*ret), go_type);
}

/* {"name": "text"}, and null where it may be. */
static int query_map(struct request *request, const char *name, const char *what, bool nulls, cJSON **ret,
                     struct error *err)
{
    int r = query_json(request, name, what, nulls ? "map[string]*string" : "map[string]string", ret, err);
    cJSON *item;
    cJSON_ArrayForEach (item, *ret) {
        if (!nulls && cJSON_IsNull(item)) { /* as Go reads it into a string */
            cJSON *empty = cJSON_CreateString("");
            empty->string = mem_strdup(item->string);
            cJSON_ReplaceItemViaPointer(*ret, item, empty);
            item = empty;
        }
        if (!cJSON_IsString(item) && !(nulls && cJSON_IsNull(item)))
            return error_set(err, EINVAL, "error reading %s: json: cannot unmarshal %s into Go value of type string",
                             what, json_kind(item));
    }
    return r;
}

/* Sorted by key, as Docker applies them. */
static int by_key(const void *a, const void *b)
{
    return strcmp((*(cJSON *const *)a)->string, (*(cJSON *const *)b)->string);
}

static void sort_object(cJSON **object)
{
    const int count = cJSON_GetArraySize(*object);
    if (count < 2)
        return;
    CLEANUP_FREE cJSON **items = mem_array((size_t)count, sizeof(cJSON *));
    for (int i = 0; i < count; i++)
        items[i] = cJSON_DetachItemFromArray(*object, 0);
    qsort(items, (size_t)count, sizeof(cJSON *), by_key);
    for (int i = 0; i < count; i++)
        cJSON_AddItemToArray(*object, items[i]);
}

static int read_limits(struct request *request, cJSON *host, struct error *err)
{
    static const struct {
        const char *query, *key;
    } numbers[] = {{"memory", "Memory"},       {"memswap", "MemorySwap"}, {"cpushares", "CpuShares"},
                   {"cpuperiod", "CpuPeriod"}, {"cpuquota", "CpuQuota"},  {"shmsize", "ShmSize"}},
      texts[] = {{"cpusetcpus", "CpusetCpus"}, {"cpusetmems", "CpusetMems"}, {"cgroupparent", "CgroupParent"},
                 {"isolation", "Isolation"},   {"networkmode", "NetworkMode"}},
      lists[] = {{"extrahosts", "ExtraHosts"}, {"securityopt", "SecurityOpt"}};

    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        int64_t value = 0;
        const char *text = request_query(request, numbers[i].query);
        /* Docker takes what is no number for none, but for one. */
        if (text && *text && str_to_i64(text, &value) < 0 && strcmp(numbers[i].query, "shmsize") == 0)
            return error_set(err, EINVAL, "strconv.ParseInt: parsing \"%s\": invalid syntax", text);
        if (value)
            json_add_int(host, numbers[i].key, value);
    }
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        const char *value = request_query(request, texts[i].query);
        if (value && value[0])
            json_add_string(host, texts[i].key, value);
    }
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        CLEANUP_STRV char **values = route_query_strv(request, lists[i].query);
        if (values && values[0])
            json_add(host, lists[i].key, json_from_strv(values));
    }
    cJSON *ulimits = NULL;
    const int r = query_json(request, "ulimits", "ulimit settings", "[]*container.Ulimit", &ulimits, err);
    if (ulimits)
        json_add(host, "Ulimits", ulimits);
    return r;
}

/* What only BuildKit does, and what Docker refuses without experimental features. */
static int refuse(struct request *request, struct error *err)
{
    const char *version = request_query(request, "version"), *remote = request_query(request, "remote");
    const char *outputs = request_query(request, "outputs"), *isolation = request_query(request, "isolation");

    if (version && strcmp(version, "2") == 0)
        return error_set(err, EINVAL, "BuildKit is not available on this server: set DOCKER_BUILDKIT=0 to build with "
                                      "the classic builder");
    if (version && version[0] && strcmp(version, "1") != 0)
        return error_set(err, EINVAL, "invalid version \"%s\"", version);
    if (request_query_bool(request, "squash", false))
        return error_set(err, EINVAL, "squash is only supported with experimental mode");
    if (outputs && outputs[0] && strcmp(outputs, "null") != 0 && strcmp(outputs, "[]") != 0)
        return error_set(err, EINVAL, "custom build outputs need BuildKit, which is not available on this server");
    if (remote && strcmp(remote, "client-session") == 0)
        return error_set(err, EINVAL, "build contexts over a session need BuildKit, which is not available on this "
                                      "server");
    if (isolation && isolation[0] && !str_equal_nocase(isolation, "default") &&
        !str_equal_nocase(isolation, "process") && !str_equal_nocase(isolation, "hyperv"))
        return error_set(err, EINVAL, "unsupported isolation: \"%s\"", isolation);
    return image_platform_check(request_query(request, "platform"), err);
}

static int read_wishes(struct request *request, struct wishes *wishes, struct error *err)
{
    CLEANUP_JSON cJSON *cache_from = NULL;
    struct build_options *options = &wishes->options;

    int r = refuse(request, err);
    if (r >= 0)
        r = query_map(request, "buildargs", "build args", true, &wishes->build_args, err);
    if (r >= 0)
        r = query_map(request, "labels", "labels", false, &wishes->labels, err);
    if (r >= 0)
        r = query_json(request, "cachefrom", "cache-from", "[]string", &cache_from, err);
    wishes->host_config = cJSON_CreateObject();
    if (r >= 0)
        r = read_limits(request, wishes->host_config, err);
    if (r < 0)
        return r;

    sort_object(&wishes->labels);
    wishes->tags = route_query_strv(request, "t");
    const cJSON *item;
    cJSON_ArrayForEach (item, cache_from) {
        if (cJSON_IsString(item))
            strv_push(&wishes->cache_from, item->valuestring);
    }
    *options = (struct build_options){
        .read = read_context,
        .remote = request_query(request, "remote"),
        .dockerfile = request_query(request, "dockerfile"),
        .tags = wishes->tags,
        .target = request_query(request, "target"),
        .build_args = wishes->build_args,
        .labels = wishes->labels,
        .cache_from = wishes->cache_from,
        .no_cache = request_query_bool(request, "nocache", false),
        .pull = request_query_bool(request, "pull", false),
        .keep_containers = !request_query_bool(request, "rm", true),
        .keep_failed_containers = !request_query_bool(request, "forcerm", false),
        .platform = request_query(request, "platform"),
        .host_config = wishes->host_config,
    };
    return 0;
}

static int build_detached(struct request *request, void *user)
{
    struct error err = ERROR_INIT;
    CLEANUP(wishes_clear) struct wishes wishes = {0};
    CLEANUP_FREE char *id = NULL;
    struct answer answer = {.request = request, .quiet = request_query_bool(request, "q", false)};
    const struct build_callbacks callbacks = {on_text, on_image, on_tagged, is_cancelled, on_pull, &answer};
    int exit_code = 0;

    answer.job.id = request_query(request, "buildid");
    int r = read_wishes(request, &wishes, &err);
    if (r < 0)
        return route_fail(request, r, &err);
    job_begin(&answer.job);
    r = build_run(request_engine(request), &wishes.options, &callbacks, &id, &exit_code, &err);
    job_end(&answer.job);
    r = finish(&answer, r, id, exit_code, &err);
    str_free(&answer.kept);
    return r;
}

static int build(struct request *request)
{
    return route_detach(request, build_detached);
}

/* --- the cache ------------------------------------------------------------------------------- */

/* BuildKit's words: what a build made, and what an engine keeps for its own ends. */
static const char *cache_type(const struct image_cache_entry *entry)
{
    return entry->kind == IMAGE_CACHE_DISK ? "internal" : "regular";
}

static int add_cache(void *user, const struct image_cache_entry *entry)
{
    cJSON *json = cJSON_CreateObject();
    CLEANUP_STRV char **parents = NULL;
    if (entry->parent[0])
        strv_push(&parents, entry->parent);
    json_add_string(json, "ID", entry->id);
    if (parents)
        json_add(json, "Parents", json_from_strv(parents));
    json_add_string(json, "Type", cache_type(entry));
    json_add_string(json, "Description", entry->description);
    json_add_bool(json, "InUse", entry->in_use);
    /* What a named image stands on is counted with that image. */
    json_add_bool(json, "Shared", entry->shared);
    json_add_int(json, "Size", entry->size);
    shape_add_time(json, "CreatedAt", entry->created_ns);
    /* Looking a step up leaves no trace: nobody counts. */
    json_add_null(json, "LastUsedAt");
    json_add_int(json, "UsageCount", 0);
    cJSON_AddItemToArray(user, json);
    return 0;
}

cJSON *build_cache_summaries(struct request *request)
{
    cJSON *list = cJSON_CreateArray();
    image_cache_each(engine_images(request_engine(request)), add_cache, list);
    return list;
}

/* "until" and its older name choose by age, the others by what /system/df says of an entry. */
struct cache_filter {
    const cJSON *filters;
    int64_t until;
};

static bool cache_wanted(void *user, const struct image_cache_entry *entry)
{
    const struct cache_filter *filter = user;
    static const char *const words[] = {"false", "true"};
    const struct {
        const char *key, *value;
    } fields[] = {{"parent", entry->parent},       {"type", cache_type(entry)},     {"description", entry->description},
                  {"inuse", words[entry->in_use]}, {"shared", words[entry->shared]}, {"private", words[!entry->shared]}};

    if (filter->until && entry->created_ns > filter->until)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
        if (filter_values(filter->filters, fields[i].key) &&
            !filter_match(filter->filters, fields[i].key, fields[i].value))
            return false;
    /* These have no labels: none is meant where labels choose. */
    return filter_match_regex(filter->filters, "id", entry->id) && !filter_values(filter->filters, "label") &&
           !filter_values(filter->filters, "label!");
}

static int read_cache_filter(struct request *request, cJSON **filters, struct cache_filter *ret, struct error *err)
{
    static const char *const allowed[] = {"until", "unused-for", "id", "parent", "type", "description", "inuse", "shared",
                                          "private", "label", "label!", NULL};
    const cJSON *value;

    int r = request_filters(request, allowed, filters, err);
    if (r < 0)
        return strcmp(err->message, "invalid filter") == 0 ? r : error_prefix(err, "failed to prune build cache");
    ret->filters = *filters;
    if (filter_values(*filters, "until") && filter_values(*filters, "unused-for"))
        return error_set(err, EINVAL, "failed to prune build cache: conflicting filters: \"until\" and \"unused-for\"");
    cJSON_ArrayForEach (value, *filters) {
        if (value->child && value->child->next)
            return error_set(err, EINVAL, "failed to prune build cache: filters expect only one value");
    }
    for (const char *const *key = (const char *const[]){"until", "unused-for", NULL}; *key; key++) {
        const char *text = filter_first(*filters, *key);
        if (text && time_parse(text, &ret->until) < 0)
            return error_set(err, EINVAL, "failed to prune build cache: \"%s\" filter expects a duration (e.g., '24h') or "
                             "a timestamp: failed to parse value as time or duration: \"%s\"", *key, text);
    }
    return 0;
}

/* Before 1.48 there was one limit, under its old name. */
static int read_cache_limits(struct request *request, struct image_cache_pruning *ret, struct error *err)
{
    const bool newer = request_api_version(request) >= 148;
    const struct {
        const char *name;
        int64_t *value;
        bool read;
    } limits[] = {{"reserved-space", &ret->reserved, newer},
                  {"keep-storage", &ret->reserved, true},
                  {"max-used-space", &ret->max_used, newer},
                  {"min-free-space", &ret->min_free, newer}};

    for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
        const char *text = limits[i].read && !*limits[i].value ? request_query(request, limits[i].name) : NULL;
        if (text && route_atoi(request, limits[i].name, 0, limits[i].value, err) < 0)
            return error_prefix(err, "%s is in bytes and expects an integer, got %s", limits[i].name, text);
    }
    return 0;
}

static int build_prune(struct request *request)
{
    struct error err = ERROR_INIT;
    CLEANUP_JSON cJSON *filters = NULL;
    CLEANUP_STRV char **deleted = NULL;
    struct cache_filter filter = {0};
    struct image_cache_pruning pruning = {
        .all = request_query_bool(request, "all", false), .wanted = cache_wanted, .user = &filter};
    int64_t reclaimed = 0;

    int r = read_cache_filter(request, &filters, &filter, &err);
    if (r >= 0)
        r = read_cache_limits(request, &pruning, &err);
    if (r >= 0)
        r = image_cache_prune(engine_images(request_engine(request)), &pruning, &deleted, &reclaimed, &err);
    if (r < 0)
        return route_fail(request, r, &err);
    CLEANUP_FREE char *bytes = mem_printf("%lld", (long long)reclaimed);
    event_publish(engine_events(request_engine(request)), "builder", "prune", "", "reclaimed", bytes, NULL);
    cJSON *json = cJSON_CreateObject();
    json_add(json, "CachesDeleted", deleted ? json_from_strv(deleted) : NULL);
    json_add_int(json, "SpaceReclaimed", reclaimed);
    return respond_json(request, 200, json);
}

#define OPERATE PERMISSION_OPERATE
#define DOCKER_AUDIT (ROUTE_DOCKER | ROUTE_AUDIT)

const struct route routes_build[] = {
    {"POST", "/build", OPERATE, DOCKER_AUDIT, build, "image.build"},
    {"POST", "/build/prune", OPERATE, DOCKER_AUDIT, build_prune, "build.prune"},
    {"POST", "/build/cancel", OPERATE, ROUTE_DOCKER, build_cancel},
    {0},
};
