/* What the routes decide without an engine: filters, and small parts of streams. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "api_routes.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/pattern.h"
#include "routes.h"
#include "tabique/event.h"

/* --- filters ----------------------------------------------------------------------------- */

const cJSON *filter_values(const cJSON *filters, const char *key)
{
    const cJSON *values = filters ? cJSON_GetObjectItemCaseSensitive(filters, key) : NULL;
    return cJSON_IsArray(values) && values->child ? values : NULL;
}

const char *filter_first(const cJSON *filters, const char *key)
{
    const cJSON *values = filter_values(filters, key);
    return values && cJSON_IsString(values->child) ? values->child->valuestring : NULL;
}

int filter_bool(const cJSON *filters, const char *key, bool fallback, bool *ret, struct error *err)
{
    const cJSON *values = filter_values(filters, key);
    if (!values) {
        *ret = fallback;
        return 0;
    }
    bool is_true = false, is_false = false;
    const cJSON *value;
    cJSON_ArrayForEach (value, values) {
        const char *text = cJSON_IsString(value) ? value->valuestring : "";
        if (strcmp(text, "1") == 0 || strcmp(text, "true") == 0)
            is_true = true;
        else if (strcmp(text, "0") == 0 || strcmp(text, "false") == 0)
            is_false = true;
        else
            is_true = is_false = true;
    }
    if (is_true == is_false) {
        CLEANUP_STR struct str all = STR_INIT;
        cJSON_ArrayForEach (value, values)
            str_printf(&all, "%s%s", all.length ? " " : "", cJSON_IsString(value) ? value->valuestring : "");
        return error_set(err, EINVAL, "invalid filter '%s=[%s]'", key, all.data);
    }
    *ret = is_true;
    return 0;
}

bool filter_match_regex(const cJSON *filters, const char *key, const char *text)
{
    const cJSON *values = filter_values(filters, key);
    if (!values)
        return true;
    const cJSON *value;
    cJSON_ArrayForEach (value, values) {
        if (cJSON_IsString(value) && pattern_matches(value->valuestring, text))
            return true;
    }
    return false;
}

int filter_prune(const cJSON *filters, int64_t *ret_until, char ***ret_labels, struct error *err)
{
    int64_t until = 0;
    const cJSON *values = filter_values(filters, "until");
    if (values) {
        if (values->child->next)
            return error_set(err, EINVAL, "more than one until filter specified");
        const char *text = filter_first(filters, "until");
        if (!text || time_parse(text, &until) < 0)
            return error_set(err, EINVAL, "failed to parse value as time or duration: \"%s\"", text ? text : "");
    }

    char **labels = NULL;
    const cJSON *value;
    cJSON_ArrayForEach (value, filter_values(filters, "label")) {
        if (cJSON_IsString(value))
            strv_push(&labels, value->valuestring);
    }
    cJSON_ArrayForEach (value, filter_values(filters, "label!")) {
        if (cJSON_IsString(value))
            strv_take(&labels, mem_printf("!%s", value->valuestring));
    }
    *ret_until = until;
    *ret_labels = labels;
    return 0;
}

/* --- events -------------------------------------------------------------------------------- */

/* Docker's event filters match an object by its id's beginning or its name's. */
static bool passes_object(const struct event *event, const cJSON *filters, const char *type)
{
    if (!filter_values(filters, type))
        return true;
    if (strcmp(event->type, type) != 0)
        return false;
    const char *name = event_attribute(event, "name");
    return filter_match_prefix(filters, type, event->actor_id) ||
           (name && filter_match_prefix(filters, type, name));
}

static bool passes_image(const struct event *event, const cJSON *filters)
{
    if (!filter_values(filters, "image"))
        return true;
    /* A container's event carries the name of its image. */
    const char *key = strcmp(event->type, "image") == 0 ? "name" : "image";
    const char *name = event_attribute(event, key);
    if (strcmp(event->type, "image") == 0 && filter_match(filters, "image", event->actor_id))
        return true;
    if (!name)
        return false;
    if (filter_match(filters, "image", name))
        return true;
    const char *slash = strrchr(name, '/'), *colon = strrchr(slash ? slash : name, ':');
    CLEANUP_FREE char *untagged = colon ? mem_strndup(name, (size_t)(colon - name)) : NULL;
    return untagged && filter_match(filters, "image", untagged);
}

static bool passes_labels(const struct event *event, const cJSON *filters)
{
    if (!filter_values(filters, "label"))
        return true;
    CLEANUP_JSON cJSON *labels = cJSON_CreateObject();
    for (size_t i = 0; i < event->attribute_count; i++)
        json_add_string(labels, event->attributes[i].name, event->attributes[i].value);
    return filter_match_labels(filters, "label", labels);
}

bool event_passes(const struct event *event, const cJSON *filters)
{
    static const char *const objects[] = {"container", "network", "volume"};

    if (!filters)
        return true;
    const char *type = strcmp(event->type, "engine") == 0 ? "daemon" : event->type;
    if (!filter_match(filters, "type", type) && !filter_match(filters, "type", event->type))
        return false;

    /* "exec_create: sh" passes event=exec_create, and event="exec_create: sh". */
    if (!filter_match(filters, "event", event->action)) {
        const size_t length = strcspn(event->action, ":");
        CLEANUP_FREE char *bare = mem_strndup(event->action, length);
        if (!event->action[length] || !filter_match(filters, "event", bare))
            return false;
    }
    for (size_t i = 0; i < ARRAY_SIZE(objects); i++) {
        if (!passes_object(event, filters, objects[i]))
            return false;
    }
    if (filter_values(filters, "daemon") &&
        (strcmp(type, "daemon") != 0 || !filter_match_prefix(filters, "daemon", event->actor_id)))
        return false;
    /* Never ours: plugins, and what only a swarm has. */
    static const char *const absent[] = {"plugin", "node", "service", "secret", "config"};
    for (size_t i = 0; i < ARRAY_SIZE(absent); i++) {
        if (filter_values(filters, absent[i]))
            return false;
    }
    return filter_match(filters, "scope", "local") && passes_image(event, filters) &&
           passes_labels(event, filters);
}

/* --- streams ---------------------------------------------------------------------------------- */

void route_frame_header(uint8_t out[8], int stream, size_t length)
{
    const uint8_t header[8] = {(uint8_t)stream, 0, 0, 0, (uint8_t)(length >> 24), (uint8_t)(length >> 16),
                               (uint8_t)(length >> 8), (uint8_t)length};
    memcpy(out, header, sizeof(header));
}

int route_check_detach_keys(const char *keys, struct error *err)
{
    CLEANUP_STRV char **list = keys ? strv_split(keys, ',') : NULL;
    for (char **key = list; key && *key; key++) {
        const bool control = str_starts(*key, "ctrl-") && strlen(*key) == 6 &&
                             ((((*key)[5] >= 'a' && (*key)[5] <= 'z')) || strchr("@[\\]^_", (*key)[5]));
        if (!control && strlen(*key) != 1)
            return error_set(err, EINVAL, "Invalid detach keys (%s) provided", keys);
    }
    return 0;
}

/* --- signals ------------------------------------------------------------------------------------ */

int api_signal_number(const char *text, int *ret, struct error *err)
{
    int number = 0;
    if (str_to_int(text, 1, 64, &number) >= 0) {
        *ret = number;
        return 0;
    }
    const char *name = strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text;
    for (int i = 1; i < NSIG; i++) {
        const char *known = sigabbrev_np(i);
        if (known && strcasecmp(known, name) == 0) {
            *ret = i;
            return 0;
        }
    }
    return error_set(err, EINVAL, "invalid signal: %s", text);
}
