#include "routes.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "csv.h"
#include "tabique/engine.h"
#include "tabique/event.h"
#include "tabique/store.h"

#define SAMPLE_AGE_MAX (10 * NS_PER_SEC)

int route_fail(struct request *request, int r, struct error *err)
{
    if (r == -EALREADY)
        return respond_empty(request, 304);
    if (err->code == 0)
        error_errno(err, -r, "request failed");
    return respond_error(request, err);
}

int route_done(struct request *request, int r, struct error *err, int status)
{
    return r < 0 ? route_fail(request, r, err) : respond_empty(request, status);
}

int route_json(struct request *request, int r, struct error *err, int status, cJSON *json)
{
    if (r < 0) {
        cJSON_Delete(json);
        return route_fail(request, r, err);
    }
    return respond_json(request, status, json);
}

int route_detach(struct request *request, detached_fn *fn)
{
    const int r = request_detach(request, fn, NULL, NULL);
    if (r != -EAGAIN)
        return r;
    return respond_status_error(request, 503, "too many streams are open on this server: try again later");
}

int route_container(struct request *request, struct container **ret, struct error *err)
{
    return container_get(request_engine(request), request_param(request, "id"), ret, err);
}

int route_container_info(struct request *request, struct container **ret,
                         struct container_info **ret_info, struct error *err)
{
    CLEANUP_CONTAINER struct container *container = NULL;
    int r = route_container(request, &container, err);
    if (r < 0)
        return r;
    r = container_info(container, ret_info);
    if (r < 0)
        return error_errno(err, r, "container %s", request_param(request, "id"));
    *ret = TAKE_PTR(container);
    return 0;
}

/* --- lists --------------------------------------------------------------------------- */

bool route_wants_csv(struct request *request)
{
    const char *format = request_query(request, "format");
    if (format)
        return strcmp(format, "csv") == 0;
    const char *accept = request_header(request, "Accept");
    return accept && str_starts(accept, "text/csv");
}

int route_list(struct request *request, cJSON *json, const cJSON *rows, const char *const *columns)
{
    if (!route_wants_csv(request))
        return respond_json(request, 200, json);
    CLEANUP_FREE char *text = csv_table(rows, columns);
    cJSON_Delete(json);
    respond_header(request, "Content-Disposition", "attachment; filename=\"tabique.csv\"");
    return respond_text(request, 200, "text/csv; charset=utf-8", text);
}

int route_paging(struct request *request, size_t limit_max, size_t *ret_limit, size_t *ret_offset,
                 struct error *err)
{
    int64_t limit = 0, offset = 0;
    int r = route_atoi(request, "limit", 0, &limit, err);
    if (r >= 0)
        r = route_atoi(request, "offset", 0, &offset, err);
    if (r < 0)
        return r;
    if (limit < 0 || (uint64_t)limit > limit_max)
        return error_set(err, EINVAL, "limit must be between 0 and %zu", limit_max);
    if (offset < 0)
        return error_set(err, EINVAL, "offset must not be negative");
    *ret_limit = (size_t)limit;
    *ret_offset = (size_t)offset;
    return 0;
}

int route_time(struct request *request, const char *name, int64_t fallback, int64_t *ret, struct error *err)
{
    const char *text = request_query(request, name);
    if (!text || !text[0]) {
        *ret = fallback;
        return 0;
    }
    if (time_parse(text, ret) < 0)
        return error_set(err, EINVAL, "strconv.ParseInt: parsing \"%s\": invalid syntax", text);
    return 0;
}

int route_atoi(struct request *request, const char *name, int64_t fallback, int64_t *ret, struct error *err)
{
    const char *text = request_query(request, name);
    if (!text || !text[0]) {
        *ret = fallback;
        return 0;
    }
    const int r = str_to_i64(text, ret);
    if (r < 0)
        return error_set(err, EINVAL, "strconv.Atoi: parsing \"%s\": %s", text,
                         r == -ERANGE ? "value out of range" : "invalid syntax");
    return 0;
}

int route_parse_bool(const char *name, const char *text, bool *ret, struct error *err)
{
    static const char *const words[] = {"0", "f", "F", "FALSE", "false", "False", "1", "t", "T", "TRUE", "true", "True"};
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (strcmp(text, words[i]) == 0) {
            *ret = i >= ARRAY_SIZE(words) / 2;
            return 0;
        }
    }
    return error_set(err, EINVAL, "invalid value for %s: %s: strconv.ParseBool: parsing \"%s\": invalid syntax", name,
                     text, text);
}

#define REPEATED_MAX 1024

char **route_query_strv(struct request *request, const char *name)
{
    const char *values[REPEATED_MAX];
    const size_t count = request_query_all(request, name, values, REPEATED_MAX);
    char **list = NULL;
    for (size_t i = 0; i < count && i < REPEATED_MAX; i++)
        strv_push(&list, values[i]);
    return list;
}

void route_publish(struct request *request, const char *type, const char *action, const char *id,
                   const char *name)
{
    struct event_bus *bus = engine_events(request_engine(request));
    if (name)
        event_publish(bus, type, action, id, "name", name, NULL);
    else
        event_publish(bus, type, action, id, NULL);
}

/* --- the machine -------------------------------------------------------------------------------- */

static void os_release(const char *text, const char *key, char *out, size_t size)
{
    const size_t length = strlen(key);
    for (const char *line = text; line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
        if (strncmp(line, key, length) != 0 || line[length] != '=')
            continue;
        const char *value = line + length + 1;
        const char *end = strchrnul(value, '\n');
        if (end - value >= 2 && (*value == '"' || *value == '\'')) {
            value++;
            end--;
        }
        snprintf(out, size, "%.*s", (int)(end - value), value);
        return;
    }
}

uint64_t route_memory_total(void)
{
    return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
}

void route_machine(struct machine *ret)
{
    struct machine machine = {.os = "Linux"};
    struct utsname names;
    if (uname(&names) == 0) {
        snprintf(machine.kernel, sizeof(machine.kernel), "%s", names.release);
        snprintf(machine.architecture, sizeof(machine.architecture), "%s", names.machine);
        snprintf(machine.name, sizeof(machine.name), "%s", names.nodename);
    }

    CLEANUP_FREE char *text = NULL;
    size_t length = 0;
    if (file_read(AT_FDCWD, "/etc/os-release", 64 << 10, &text, &length) >= 0 ||
        file_read(AT_FDCWD, "/usr/lib/os-release", 64 << 10, &text, &length) >= 0) {
        os_release(text, "PRETTY_NAME", machine.os, sizeof(machine.os));
        os_release(text, "VERSION_ID", machine.os_version, sizeof(machine.os_version));
    }

    machine.cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
    machine.memory = route_memory_total();
    *ret = machine;
}

static int keep_sample(void *user, const struct store_sample *sample)
{
    *(struct store_sample *)user = *sample;
    return 0;
}

bool route_last_sample(struct engine *engine, const char *subject, struct store_sample *ret)
{
    const int64_t now = clock_real_ns();
    *ret = (struct store_sample){0};
    store_samples(engine_store(engine), subject, now - SAMPLE_AGE_MAX, now, NS_PER_SEC, keep_sample, ret, NULL);
    return ret->time_ns != 0;
}
