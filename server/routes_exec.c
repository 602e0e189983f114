/* Exec: a further process in a running container. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "bodies.h"
#include "containers_routes.h"
#include "routes.h"
#include "shapes.h"

#define CLEANUP_EXEC_INFO CLEANUP(exec_info_drop)

static void exec_info_drop(struct exec_info **info)
{
    exec_info_free(*info);
}

static int check_exec_keys(const char *keys, struct error *err)
{
    if (route_check_detach_keys(keys, NULL) >= 0)
        return 0;
    return error_set(err, EINVAL, "Invalid escape keys (%s) provided", keys);
}

static int execs_create(struct request *request)
{
    struct error err = ERROR_INIT;
    CLEANUP_CONTAINER struct container *container = NULL;
    CLEANUP_JSON cJSON *body = NULL;
    char id[65] = "";

    int r = request_json(request, 0, true, &body, &err);
    if (r >= 0) {
        const cJSON *command = json_get(body, "Cmd");
        if (!cJSON_IsObject(body) || (!command || cJSON_IsNull(command)) ||
            (cJSON_IsArray(command) && !command->child))
            r = error_set(&err, EINVAL, "No exec command specified");
    }
    if (r >= 0)
        r = check_exec_keys(json_string(body, "DetachKeys", NULL), &err);
    if (r >= 0)
        r = route_container(request, &container, &err);
    if (r >= 0)
        r = exec_create(container, request_param(request, "id"), body, id, &err);
    if (r < 0)
        return route_fail(request, r, &err);
    cJSON *json = cJSON_CreateObject();
    json_add_string(json, "Id", id);
    return respond_json(request, 201, json);
}

/* ConsoleSize is [rows, columns]; only with a terminal, and since 1.42. */
static void console_size(const struct request *request, const cJSON *body, uint16_t *ret_rows,
                         uint16_t *ret_cols)
{
    const cJSON *size = json_get(body, "ConsoleSize");
    if (request_api_version(request) < 142 || cJSON_GetArraySize(size) != 2)
        return;
    const double rows = cJSON_GetArrayItem(size, 0)->valuedouble;
    const double cols = cJSON_GetArrayItem(size, 1)->valuedouble;
    if (rows >= 0 && rows <= UINT16_MAX && cols >= 0 && cols <= UINT16_MAX) {
        *ret_rows = (uint16_t)rows;
        *ret_cols = (uint16_t)cols;
    }
}

/* Once hijacked, the connection is the only place left to say why. */
static int tell_and_close(struct duplex *duplex, bool tty, const struct error *err)
{
    CLEANUP_FREE char *text = mem_printf("%s\r\n", err->message);
    uint8_t header[8];
    int r = 0;
    if (!tty) {
        route_frame_header(header, 1, strlen(text)); /* Docker says it on standard output */
        r = duplex_write(duplex, header, sizeof(header));
    }
    if (r >= 0)
        duplex_write(duplex, text, strlen(text));
    duplex_close(duplex);
    return 0;
}

static int execs_start(struct request *request)
{
    struct error err = ERROR_INIT;
    CLEANUP_JSON cJSON *given = NULL, *body = NULL;
    CLEANUP_EXEC_INFO struct exec_info *info = NULL;
    CLEANUP_CLOSE int fd = -EBADF;
    const char *id = request_param(request, "id");
    uint16_t rows = 0, cols = 0;

    int r = request_json(request, 0, true, &given, &err);
    if (r >= 0)
        r = schema_complete(&body_exec_start, given, "", &body, &err);
    const bool detach = json_bool(body, "Detach", false), tty = json_bool(body, "Tty", false);
    if (r >= 0)
        r = exec_info(request_engine(request), id, &info, &err);
    if (r < 0)
        return route_fail(request, r, &err);
    if (tty)
        console_size(request, body, &rows, &cols);
    if (detach) {
        r = exec_start(request_engine(request), id, true, tty, rows, cols, NULL, &err);
        return route_done(request, r, &err, 200);
    }

    struct duplex *duplex = NULL;
    r = respond_hijack(request,
                       !tty && request_api_version(request) >= 142 && request_header(request, "Upgrade")
                           ? CONTENT_MULTIPLEXED
                           : CONTENT_RAW,
                       &duplex);
    if (r < 0)
        return r;
    r = exec_start(request_engine(request), id, false, tty, rows, cols, &fd, &err);
    if (r < 0)
        return tell_and_close(duplex, tty, &err);
    return duplex_join(request, duplex, TAKE_FD(fd), tty, info->open_stdin, false,
                       info->detach_keys && info->detach_keys[0] ? info->detach_keys : NULL);
}

static int execs_resize(struct request *request)
{
    struct error err = ERROR_INIT;
    uint16_t rows = 0, cols = 0;
    int r = route_terminal_size(request, &rows, &cols, &err);
    if (r >= 0)
        r = exec_resize(request_engine(request), request_param(request, "id"), rows, cols, &err);
    return route_done(request, r, &err, request_api_version(request) < 140 ? 201 : 200);
}

static int execs_inspect(struct request *request)
{
    struct error err = ERROR_INIT;
    CLEANUP_EXEC_INFO struct exec_info *info = NULL;
    const int r = exec_info(request_engine(request), request_param(request, "id"), &info, &err);
    return route_json(request, r, &err, 200, r < 0 ? NULL : shape_exec(info));
}

const struct route routes_exec[] = {
    {"POST", "/containers/{id}/exec", PERMISSION_EXEC, ROUTE_DOCKER | ROUTE_AUDIT, execs_create, "exec.create"},
    {"POST", "/exec/{id}/start", PERMISSION_EXEC, ROUTE_DOCKER | ROUTE_AUDIT | ROUTE_UPGRADE, execs_start,
     "exec.start"},
    {"POST", "/exec/{id}/resize", PERMISSION_EXEC, ROUTE_DOCKER, execs_resize},
    {"GET", "/exec/{id}/json", PERMISSION_VIEW, ROUTE_DOCKER, execs_inspect},
    {0},
};
