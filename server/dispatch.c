/* dispatch.c - what stands between the wire and a handler: Host and Origin,
 * route, who asks, what he may, audit. Denied by default, in this one place.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "auth.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "civetweb_unit.h"
#include "server_internal.h"
#include "tabique/error.h"
#include "tabique/store.h"
#include "transport.h"

/* --- Host and Origin: DNS rebinding and cross-site requests ------------------------------------
 */
/* Splits "name:port", "[v6]:port"; the name lower-cased and without brackets. */
static bool split_host(const char *text, char name[256], const char **ret_port)
{
    size_t length;
    const char *rest;
    if (text[0] == '[') {
        const char *end = strchr(text, ']');
        if (end == NULL)
            return false;
        text++;
        length = (size_t)(end - text);
        rest = end + 1;
    } else {
        length = strcspn(text, ":");
        rest = text + length;
    }
    if (length == 0 || length > 255)
        return false;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c + 32);
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
              c == '_' || c == ':'))
            return false;
        name[i] = c;
    }
    name[length] = '\0';
    /* A fully qualified name may end in a dot. */
    if (length > 1 && name[length - 1] == '.')
        name[length - 1] = '\0';
    if (rest[0] == '\0') {
        *ret_port = "";
        return true;
    }
    if (rest[0] != ':' || strlen(rest) > 6 || rest[1 + strspn(rest + 1, "0123456789")] != '\0')
        return false;
    *ret_port = rest + 1;
    return true;
}

bool host_allowed(char *const *hosts, const char *host)
{
    char name[256], written[INET6_ADDRSTRLEN];
    const char *port;
    if (host == NULL || !split_host(host, name, &port))
        return false;
    if (strcmp(name, "localhost") == 0 || str_ends(name, ".localhost"))
        return true;
    struct in_addr v4;
    struct in6_addr v6;
    const char *canonical = name;
    if (inet_pton(AF_INET, name, &v4) == 1) {
        if ((ntohl(v4.s_addr) >> 24) == 127)
            return true;
    } else if (inet_pton(AF_INET6, name, &v6) == 1) {
        if (IN6_IS_ADDR_LOOPBACK(&v6))
            return true;
        canonical = inet_ntop(AF_INET6, &v6, written, sizeof(written));
    }
    return canonical != NULL && (strv_contains(hosts, canonical) || strv_contains(hosts, "*"));
}

/* An address that this very connection was made to; it may be newer than the
 * list made at start. */
static bool is_local_address(const struct transport *transport, const char *host)
{
    char name[256], text[INET6_ADDRSTRLEN] = "";
    const char *port;
    struct sockaddr_storage address;
    socklen_t length = sizeof(address);
    if (!split_host(host, name, &port) ||
        getsockname(transport->fd, (struct sockaddr *)&address, &length) < 0)
        return false;
    if (address.ss_family == AF_INET) {
        inet_ntop(AF_INET, &((struct sockaddr_in *)&address)->sin_addr, text, sizeof(text));
    } else if (address.ss_family == AF_INET6) {
        const struct in6_addr *ip = &((struct sockaddr_in6 *)&address)->sin6_addr;
        if (IN6_IS_ADDR_V4MAPPED(ip))
            inet_ntop(AF_INET, &ip->s6_addr[12], text, sizeof(text));
        else
            inet_ntop(AF_INET6, ip, text, sizeof(text));
    }
    return text[0] != '\0' && strcmp(text, name) == 0;
}

static const char *port_or_default(const char *port, bool tls)
{
    return port[0] != '\0' ? port : tls ? "443" : "80";
}

bool origin_matches(const char *origin, const char *host, bool tls)
{
    const char *scheme = tls ? "https://" : "http://";
    char left[256], right[256];
    const char *left_port, *right_port;
    if (strncasecmp(origin, scheme, strlen(scheme)) != 0)
        return false;
    if (!split_host(origin + strlen(scheme), left, &left_port) || host == NULL ||
        !split_host(host, right, &right_port))
        return false;
    return strcmp(left, right) == 0 &&
           strcmp(port_or_default(left_port, tls), port_or_default(right_port, tls)) == 0;
}

static bool is_safe_method(const char *method)
{
    return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0 ||
           strcmp(method, "OPTIONS") == 0;
}

/* 0, or a status already answered. */
static int check_site(struct request *request)
{
    if (request->transport->kind == TRANSPORT_UNIX)
        return 0; /* no browser gets there */
    const char *host = request_header(request, "Host");
    if (host != NULL && !host_allowed(request->server->hosts, host) &&
        !is_local_address(request->transport, host)) {
        respond_status_error(request, 403,
                             "this server does not answer to the name '%.200s'; "
                             "if it should, add the name to the option allowed-hosts",
                             host);
        return -EPERM;
    }
    const char *origin = request_header(request, "Origin");
    bool tls = request->transport->kind == TRANSPORT_TLS;
    if (origin != NULL && !origin_matches(origin, host, tls)) {
        respond_status_error(request, 403, "requests from another site are refused");
        return -EPERM;
    }
    const char *site = request_header(request, "Sec-Fetch-Site");
    const char *mode = request_header(request, "Sec-Fetch-Mode");
    if (site != NULL && (strcmp(site, "cross-site") == 0 || strcmp(site, "same-site") == 0)) {
        /* Following a link to the console is fine; anything else from there is not. */
        bool visit = mode != NULL && strcmp(mode, "navigate") == 0 &&
                     is_safe_method(request_method(request)) && !str_starts(request->path, "/api/");
        if (!visit) {
            respond_status_error(request, 403, "requests from another site are refused");
            return -EPERM;
        }
    }
    return 0;
}

/* A cookie comes along by itself, so its requests must prove that our own page
 * made them. */
static bool csrf_ok(struct request *request)
{
    if (!request->by_cookie)
        return true;
    const char *origin = request_header(request, "Origin");
    if (request_is_websocket(request))
        return origin != NULL; /* and it matched */
    if (is_safe_method(request_method(request)))
        return true;
    const char *token = request_header(request, "X-Tabique-CSRF");
    if (token != NULL)
        return auth_equal(token, request->csrf);
    const char *type = request_header(request, "Content-Type");
    bool bodiless = !request->head.chunked && request->head.content_length <= 0;
    return origin != NULL && ((bodiless && type == NULL) ||
                              (type != NULL && strncasecmp(type, "application/json", 16) == 0));
}

/* --- who may --------------------------------------------------------------------------------- */
static bool may(const struct principal *principal, enum permission permission)
{
    switch (permission) {
    case PERMISSION_PUBLIC:
        return true;
    case PERMISSION_SELF:
    case PERMISSION_VIEW:
        return principal->role >= ROLE_HELPDESK;
    case PERMISSION_LOGS:
        return principal->role >= ROLE_OPERATOR ||
               (principal->role == ROLE_HELPDESK && principal->may_read_logs);
    case PERMISSION_OPERATE:
    case PERMISSION_EXEC:
        return principal->role >= ROLE_OPERATOR;
    case PERMISSION_ADMIN:
        return principal->role >= ROLE_ADMIN;
    }
    return false;
}

static const char *const role_names[] = {"nobody", "helpdesk", "operator", "admin"};

static int authorise(struct request *request)
{
    enum permission permission = request->route->permission;
    struct principal *principal = &request->principal;
    if (permission == PERMISSION_PUBLIC)
        return 0;
    if (principal->role == ROLE_NONE) {
        respond_header(request, "WWW-Authenticate", "Bearer realm=\"tabique\"");
        respond_status_error(
            request, 401,
            "authentication required: sign in, or send a token or client certificate");
        return -EACCES;
    }
    if (!csrf_ok(request)) {
        respond_status_error(
            request, 403,
            "the request does not come from the console: X-Tabique-CSRF is missing or wrong");
        return -EPERM;
    }
    if (principal->must_change_password && permission != PERMISSION_SELF) {
        respond_status_error(request, 403, "the password must be changed first");
        return -EPERM;
    }
    if (!may(principal, permission)) {
        respond_status_error(request, 403, "permission denied: the role %s may not do this",
                             role_names[principal->role]);
        return -EPERM;
    }
    return 0;
}

/* --- audit --------------------------------------------------------------------------------------
 */
static struct store_audit audit_line(const struct request *request, char *target, size_t size)
{
    const struct route *route = request->route;
    target[0] = '\0';
    for (size_t i = 0; i < request->param_count; i++) {
        size_t used = strlen(target);
        snprintf(target + used, size - used, "%s%s", i > 0 ? " " : "", request->params[i].value);
    }
    if (target[0] == '\0') {
        const char *name = request_query(request, "name");
        if (name == NULL)
            name = request_query(request, "fromImage");
        if (name != NULL)
            snprintf(target, size, "%s", name);
    }
    return (struct store_audit){
        .time_ns = clock_real_ns(),
        .who = request->principal.name,
        .role = role_names[request->principal.role],
        .from = request->principal.from,
        .what = route->audit != NULL ? route->audit : route->pattern,
        .target = target,
        .result = request->status,
    };
}

static bool is_audited(const struct request *request)
{
    return request->route != NULL && (request->route->flags & ROUTE_AUDIT) != 0 &&
           request->server->options.store != NULL && !request->audited;
}

/* As soon as it is known who may do what: the disk writes while the handler works, and
 * what brings the server down has its line. Who signs in is not known yet. */
static void audit_begin(struct request *request)
{
    char target[512];
    if (!is_audited(request) || request->principal.role == ROLE_NONE)
        return;
    struct store_audit line = audit_line(request, target, sizeof(target));
    request->audit = store_begin_audit(request->server->options.store, &line);
}

/* Before the answer leaves: whoever has it can rely on the line being there, also
 * when the server is killed at that moment, or the power goes (store.h). */
void dispatch_audit(struct request *request)
{
    char target[512];
    if (!is_audited(request))
        return;
    request->audited = true;
    struct store *store = request->server->options.store;
    struct store_audit line = audit_line(request, target, sizeof(target));
    int r = request->audit != NULL ? store_end_audit(store, TAKE_PTR(request->audit), &line)
                                   : store_put_audit(store, &line);
    if (r < 0)
        log_error("audit line could not be written: %s", strerror(-r));
}

/* --- one request
 * ----------------------------------------------------------------------------------- */
static int find(struct request *request)
{
    struct error error = ERROR_INIT;
    const char *rest = NULL;
    int version = API_VERSION_MAX;
    int r = route_version(request->path, &version, &rest, &error);
    bool versioned = r != 1;
    if (versioned) {
        /* Docker looks at the version of known paths only. */
        char *whole = request->path;
        if (rest == NULL)
            rest = strchr(whole + 2, '/');
        request->path = mem_strdup(rest);
        free(whole);
    }
    bool found = route_match(request->server->routes, request, versioned);
    if (found && r < 0) {
        request->route = NULL;
        respond_error(request, &error);
        return -EINVAL;
    }
    request->api_version = version;
    if (found)
        return 0;
    if (!versioned && request->server->files != NULL &&
        request->transport->kind != TRANSPORT_UNIX &&
        static_serve(request->server->files, request) != -ENOENT)
        return -EALREADY;
    respond_status_error(request, 404, "page not found");
    return -ENOENT;
}

struct transport *dispatch(struct request *request)
{
    struct transport *transport = request->transport;
    snprintf(request->principal.from, sizeof(request->principal.from), "%s", transport->peer);
    atomic_fetch_add(&request->server->requests, 1);

    if (check_site(request) == 0 && find(request) == 0) {
        auth_identify(request->server->auth, request);
        if (authorise(request) == 0) {
            bool stranger = request->route->permission == PERMISSION_PUBLIC &&
                            request->principal.role == ROLE_NONE;
            if (stranger &&
                (request->head.chunked || request->head.content_length > (int64_t)PREFETCH_MAX)) {
                /* His slow body would hold a worker. */
                respond_status_error(request, 413, "the request body is too large");
            } else {
                audit_begin(request);
                int r = request->route->handler(request);
                if (r < 0 && atomic_load(&request->holders) == 1 && !request->begun &&
                    request->transport != NULL) {
                    struct error error = {.code = -r};
                    respond_error(request, &error);
                }
            }
        }
    }
    return dispatch_release(request);
}

/* Whether the next request begins right behind what is here. The rest of a body
 * that nobody read is swallowed if it has arrived; else the connection ends. */
static bool body_is_over(struct request *request)
{
    if (message_body_done(request->message))
        return true;
    if (!message_body_buffered(request->message))
        return false;
    char buffer[16384];
    while (message_read(request->message, buffer, sizeof(buffer)) > 0)
        continue;
    return message_body_done(request->message);
}

struct transport *dispatch_release(struct request *request)
{
    /* A detached request has two holders, its worker and its thread; the last one
     * closes the books. */
    if (atomic_fetch_sub(&request->holders, 1) > 1)
        return NULL;
    struct server *server = request->server;
    respond_finish(request);
    dispatch_audit(request);
    log_debug("%s %s %s %d", request->principal.from, request_method(request), request->path,
              request->status);

    struct transport *transport = TAKE_PTR(request->transport);
    if (transport == NULL) { /* hijacked: somebody else's now */
        request_free(request);
        return NULL;
    }
    bool keep =
        !request->close && !transport->broken && !server_stopping(server) && body_is_over(request);
    str_clear(&transport->in);
    const char *left = NULL;
    size_t length = message_leftover(request->message, &left);
    if (keep && length > 0)
        str_append_n(&transport->in, left, length);
    request_free(request);
    if (!keep) {
        if (transport->broken || server_stopping(server))
            transport_free(transport);
        else
            front_linger(server->front, transport);
        return NULL;
    }
    transport->requests++;
    transport->write_timeout_ms = WRITE_TIMEOUT_MS;
    return transport;
}
