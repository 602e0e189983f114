/* fuzz_route.c - from the bytes of a request to its route: head check, civetweb's
 * parser behind it, path and query decoding, version, route, filters, Host and
 * Origin. What it holds to be true: a head that passed the check has one reading.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "civetweb_unit.h"
#include "http.h"
#include "server_internal.h"
#include "tabique/error.h"
#include "transport.h"

static int nothing(struct request *request)
{
    return 0;
}

static const struct route table[] = {
    {"GET", "/containers/json", PERMISSION_VIEW, ROUTE_DOCKER, nothing},
    {"POST", "/containers/{id}/start", PERMISSION_OPERATE, ROUTE_DOCKER, nothing},
    {"GET", "/images/{name...}/json", PERMISSION_VIEW, ROUTE_DOCKER, nothing},
    {"DELETE", "/images/{name...}", PERMISSION_OPERATE, ROUTE_DOCKER, nothing},
    {"GET", "/{one}/{two...}", PERMISSION_VIEW, 0, nothing},
    {"GET", "/_ping", PERMISSION_PUBLIC, ROUTE_DOCKER, nothing},
    {0},
};
static const struct route *const tables[] = {table, NULL};

static void check(bool fact)
{
    if (!fact)
        abort();
}

static void walk(struct request *request, char *const *hosts)
{
    static const char *const allowed[] = {"label", "name", "status", NULL};
    struct error err = ERROR_INIT;
    cJSON *filters = NULL;
    int64_t number;
    const char *rest = NULL, *all[4];
    int version;
    check(request->path[0] == '/' && strstr(request->path, "/../") == NULL);
    if (route_version(request->path, &version, &rest, &err) == 0) {
        check(version >= API_VERSION_MIN && version <= API_VERSION_MAX && rest[0] == '/');
        char *whole = request->path;
        request->path = mem_strdup(rest);
        free(whole);
    }
    struct route_table *routes = request->server->routes;
    if (route_match(routes, request, false)) {
        check(request->route != NULL);
        for (size_t i = 0; i < request->param_count; i++)
            check(request->params[i].value[0] != '\0' &&
                  strlen(request->params[i].value) < strlen(request->path));
    }
    request_query_bool(request, "all", false);
    request_query_int(request, "limit", 1, &number, &err);
    request_query_all(request, "x", all, 4);
    if (request_filters(request, allowed, &filters, &err) == 0 && filters != NULL) {
        cJSON *labels = cJSON_Parse("{\"a\":\"b\"}");
        filter_match(filters, "name", "x");
        filter_match_prefix(filters, "status", "running");
        filter_match_labels(filters, "label", labels);
        cJSON_Delete(labels);
        cJSON_Delete(filters);
    }
    const char *host = request_header(request, "Host"), *origin = request_header(request, "Origin");
    host_allowed(hosts, host);
    if (origin != NULL)
        origin_matches(origin, host, true);
    request_is_websocket(request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct server server;
    static char **hosts;
    if (server.routes == NULL) {
        message_library_init(10);
        check(route_table_new(tables, &server.routes, NULL) == 0);
        hosts = strv_split("box.example,10.0.0.1,fd00::1", ',');
    }
    if (size > 65536)
        return 0;
    const char *text = (const char *)data;
    size_t length = head_length(text, size);
    if (length == 0)
        return 0;
    check(length <= size && memcmp(text + length - 4, "\r\n\r\n", 4) == 0);
    struct head head;
    const char *reason = NULL;
    int status = head_check(text, length, &head, &reason);
    check(status == 0 || (status >= 400 && status < 600 && reason != NULL));
    if (status != 0)
        return 0;
    check(!(head.chunked && head.content_length >= 0));

    struct transport transport = {.fd = -1, .kind = TRANSPORT_PLAIN, .server = &server};
    str_append_n(&transport.in, text, size);
    struct request *request = NULL;
    status = request_new(&transport, &head, length, &request, &reason);
    check(status == 0 ? request != NULL : status >= 400);
    if (request != NULL) {
        /* The body that is here already; never more than was announced. */
        char buffer[512];
        size_t total = 0;
        bool here = message_body_buffered(request->message);
        while (here) {
            ssize_t n = message_read(request->message, buffer, sizeof(buffer));
            if (n <= 0)
                break;
            total += (size_t)n;
        }
        if (here)
            check((int64_t)total == (head.content_length > 0 ? head.content_length : 0));
        walk(request, hosts);
        request_free(request);
    }
    str_free(&transport.in);
    return 0;
}
