/* Files of a container: archive (docker cp), export, changes, commit. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api_routes.h"
#include "archive/archive.h"
#include "base/clock.h"
#include "base/mem.h"
#include "containers_routes.h"
#include "routes.h"
#include "shapes.h"

static int path_of(struct request *request, const char **ret, struct error *err)
{
    const char *path = request_query(request, "path");
    if (!path || !path[0])
        return error_set(err, EINVAL, "bad parameter: path cannot be empty");
    *ret = path;
    return 0;
}

static void stat_clear(struct archive_stat *stat)
{
    free(stat->name);
    free(stat->link_target);
}

/* A missing path is told with the container's name as it was asked for. */
static int as_named(struct request *request, const char *path, int r, struct error *err)
{
    if (r == -ENOENT && str_starts(err->message, "Could not find the file "))
        return error_set(err, ENOENT, "Could not find the file %s in container %s", path, request_param(request, "id"));
    return r;
}

/* Container, path, and the stat header that GET and HEAD both carry. */
static int stat_path(struct request *request, struct container **ret, const char **ret_path,
                     struct error *err)
{
    CLEANUP_CONTAINER struct container *container = NULL;
    struct archive_stat stat = {0};
    const char *path = NULL;

    int r = path_of(request, &path, err);
    if (r >= 0)
        r = route_container(request, &container, err);
    if (r >= 0)
        r = as_named(request, path, container_path_stat(container, path, &stat, err), err);
    if (r < 0)
        return r;
    CLEANUP_FREE char *header = shape_path_stat(&stat);
    stat_clear(&stat);
    respond_header(request, "X-Docker-Container-Path-Stat", header);
    *ret = TAKE_PTR(container);
    *ret_path = path;
    return 0;
}

int containers_archive_head(struct request *request)
{
    struct error err = ERROR_INIT;
    CLEANUP_CONTAINER struct container *container = NULL;
    const char *path = NULL;
    const int r = stat_path(request, &container, &path, &err);
    return route_done(request, r, &err, 200);
}

static int archive_get_detached(struct request *request, void *user)
{
    struct error err = ERROR_INIT;
    CLEANUP_CONTAINER struct container *container = NULL;
    const char *path = NULL;

    int r = stat_path(request, &container, &path, &err);
    if (r < 0)
        return route_fail(request, r, &err);
    r = respond_begin(request, 200, "application/x-tar");
    if (r >= 0)
        r = container_archive_get(container, path, respond_write, request, &err);
    /* Without its end the stream is seen to be cut short: nothing better can be said now. */
    return r < 0 ? r : respond_end(request);
}

int containers_archive_get(struct request *request)
{
    return route_detach(request, archive_get_detached);
}

static const char *kind_of(uint32_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR: return "directory";
    case S_IFREG: return "file";
    case S_IFLNK: return "link";
    case S_IFCHR:
    case S_IFBLK: return "device";
    case S_IFIFO: return "pipe";
    case S_IFSOCK: return "socket";
    default: return NULL;
    }
}

#define SECONDS_MAX (INT64_MAX / NS_PER_SEC)

static int add_entry(void *user, const struct archive_entry *entry)
{
    cJSON *json = cJSON_CreateObject();
    json_add_string(json, "name", entry->name);
    json_add_string(json, "kind", kind_of(entry->mode));
    json_add_int(json, "mode", entry->mode & 07777);
    json_add_int(json, "uid", entry->uid);
    json_add_int(json, "gid", entry->gid);
    json_add_int(json, "size", entry->size);
    /* A file system's times are whatever somebody wrote there. */
    const bool known = entry->mtime_s > -SECONDS_MAX && entry->mtime_s < SECONDS_MAX;
    shape_add_time_or_null(json, "modifiedAt", known ? entry->mtime_s * NS_PER_SEC : 0);
    if (S_ISLNK(entry->mode)) {
        json_add_string(json, "target", entry->link);
        json_add_string(json, "targetKind", kind_of(entry->target_mode));
    }
    cJSON_AddItemToArray(user, json);
    return 0;
}

static int list_detached(struct request *request, void *user)
{
    struct error err = ERROR_INIT;
    CLEANUP_CONTAINER struct container *container = NULL;
    const char *path = NULL;
    cJSON *json = cJSON_CreateObject();

    int r = path_of(request, &path, &err);
    if (r >= 0)
        r = route_container(request, &container, &err);
    json_add_string(json, "path", path);
    if (r >= 0)
        r = container_list(container, path, add_entry, json_add_array(json, "entries"), &err);
    json_add_bool(json, "truncated", r > 0);
    return route_json(request, r < 0 ? r : 0, &err, 200, json);
}

int api_container_files(struct request *request)
{
    return route_detach(request, list_detached);
}

/* An answer that comes in the midst of what the client writes fails it in writing: it
 * then says so beside what it was told. Docker's server hears as much out. */
static void hear_out(struct request *request)
{
    char buffer[16384];
    ssize_t n = 1;

    for (size_t left = 256u << 10; n > 0 && left > 0; left -= n > 0 ? (size_t)n : 0)
        n = request_read(request, buffer, left < sizeof(buffer) ? left : sizeof(buffer));
}

static int archive_put_detached(struct request *request, void *user)
{
    struct error err = ERROR_INIT;
    CLEANUP_CONTAINER struct container *container = NULL;
    const char *path = NULL;

    int r = path_of(request, &path, &err);
    if (r >= 0)
        r = route_container(request, &container, &err);
    if (r >= 0)
        r = as_named(request, path,
                     container_archive_put(container, path, request_query_bool(request, "noOverwriteDirNonDir", false),
                                           request_query_bool(request, "copyUIDGID", false), request_read, request,
                                           &err),
                     &err);
    if (r < 0)
        hear_out(request);
    return route_done(request, r, &err, 200);
}

int containers_archive_put(struct request *request)
{
    return route_detach(request, archive_put_detached);
}

/* The headers wait for the first bytes, so that what fails at once has its status. */
struct late_start {
    struct request *request;
    const char *content_type;
    bool begun;
};

static int late_write(void *user, const void *data, size_t length)
{
    struct late_start *start = user;
    if (!start->begun) {
        const int r = respond_begin(start->request, 200, start->content_type);
        if (r < 0)
            return r;
        start->begun = true;
    }
    return respond_write(start->request, data, length);
}

static int export_detached(struct request *request, void *user)
{
    struct error err = ERROR_INIT;
    CLEANUP_CONTAINER struct container *container = NULL;
    struct late_start start = {.request = request, .content_type = "application/x-tar"};

    int r = route_container(request, &container, &err);
    if (r >= 0)
        r = container_export(container, late_write, &start, &err);
    if (!start.begun)
        return r < 0 ? route_fail(request, r, &err) : respond_empty(request, 200);
    return r < 0 ? r : respond_end(request);
}

int containers_export(struct request *request)
{
    return route_detach(request, export_detached);
}

static int add_change(void *user, const char *path, int kind)
{
    cJSON *change = cJSON_CreateObject();
    json_add_string(change, "Path", path);
    json_add_int(change, "Kind", kind);
    cJSON_AddItemToArray(user, change);
    return 0;
}

int containers_changes(struct request *request)
{
    struct error err = ERROR_INIT;
    CLEANUP_CONTAINER struct container *container = NULL;
    cJSON *list = cJSON_CreateArray();

    int r = route_container(request, &container, &err);
    if (r >= 0)
        r = container_changes(container, add_change, list, &err);
    if (r >= 0 && !list->child) { /* nothing: null, as Docker's clients know it */
        cJSON_Delete(list);
        list = cJSON_CreateNull();
    }
    return route_json(request, r, &err, 200, list);
}

static int commit_detached(struct request *request, void *user)
{
    struct error err = ERROR_INIT;
    CLEANUP_CONTAINER struct container *container = NULL;
    CLEANUP_JSON cJSON *body = NULL;
    CLEANUP_FREE char *image_id = NULL;
    CLEANUP_STRV char **changes = route_query_strv(request, "changes");
    const char *ref = request_query(request, "container");

    int r = request_json(request, 0, true, &body, &err);
    if (r >= 0)
        r = container_get(request_engine(request), ref ? ref : "", &container, &err);
    if (r >= 0)
        r = container_commit(container, request_query(request, "repo"), request_query(request, "tag"),
                             request_query(request, "author"), request_query(request, "comment"),
                             request_query_bool(request, "pause", true), changes,
                             cJSON_IsObject(body) && body->child ? body : NULL, &image_id, &err);
    if (r < 0)
        return route_fail(request, r, &err);
    cJSON *json = cJSON_CreateObject();
    json_add_string(json, "Id", image_id);
    return respond_json(request, 201, json);
}

int containers_commit(struct request *request)
{
    return route_detach(request, commit_detached);
}
