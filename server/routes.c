/* routes.c - finding the route of a path.
 *
 * The tables are compiled once into one array, ordered so that the first match
 * is the most specific: a literal segment before {name}, {name} before {name...}.
 * Routes whose first segment is a literal are found by its hash; a path so meets
 * a handful of candidates, not all.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "server_internal.h"
#include "tabique/error.h"

#define SEGMENTS_MAX 12
#define BUCKETS 128

enum segment_kind { SEGMENT_LITERAL, SEGMENT_PARAM, SEGMENT_REST };

struct segment {
    enum segment_kind kind;
    const char *text; /* literal, or name of the parameter */
    size_t length;
};

struct compiled {
    const struct route *route;
    size_t count;
    struct segment segments[SEGMENTS_MAX];
    struct compiled *next; /* of its bucket */
};

struct route_table {
    struct compiled *items;
    size_t count;
    char **texts;
    struct compiled *buckets[BUCKETS], *others; /* others: no literal first segment */
};

static unsigned hash_text(const char *text, size_t length)
{
    unsigned hash = 2166136261u;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)text[i]) * 16777619u;
    return hash % BUCKETS;
}

static int compile(const struct route *route, char *text, struct compiled *ret, struct error *err)
{
    *ret = (struct compiled){.route = route};
    if (text[0] != '/')
        return error_set(err, EINVAL, "route %s: must begin with a slash", route->pattern);
    char *at = text + 1;
    size_t params = 0;
    while (*at != '\0') {
        if (ret->count == SEGMENTS_MAX)
            return error_set(err, EINVAL, "route %s: too long", route->pattern);
        struct segment *segment = &ret->segments[ret->count++];
        char *end = strchr(at, '/');
        size_t length = end != NULL ? (size_t)(end - at) : strlen(at);
        segment->text = at;
        segment->length = length;
        if (at[0] == '{') {
            if (at[length - 1] != '}' || ++params > PARAMS_MAX)
                return error_set(err, EINVAL, "route %s: bad parameter", route->pattern);
            bool rest = length > 5 && memcmp(at + length - 4, "...}", 4) == 0;
            segment->kind = rest ? SEGMENT_REST : SEGMENT_PARAM;
            segment->text = at + 1;
            segment->length = length - (rest ? 5 : 2);
            at[1 + segment->length] = '\0';
        }
        if (end == NULL)
            break;
        *end = '\0';
        at = end + 1;
    }
    return 0;
}

static int by_specificity(const void *a, const void *b)
{
    const struct compiled *left = a, *right = b;
    for (size_t i = 0; i < left->count && i < right->count; i++)
        if (left->segments[i].kind != right->segments[i].kind)
            return left->segments[i].kind < right->segments[i].kind ? -1 : 1;
    /* The longer pattern first: {name...}/json before {name...}. */
    return left->count > right->count ? -1 : left->count < right->count;
}

void route_table_free(struct route_table *table)
{
    if (table == NULL)
        return;
    for (size_t i = 0; i < table->count; i++)
        free(table->texts[i]);
    free(table->texts);
    free(table->items);
    free(table);
}

int route_table_new(const struct route *const *tables, struct route_table **ret, struct error *err)
{
    struct route_table *table = mem_new(struct route_table);
    size_t total = 0;
    for (size_t i = 0; tables[i] != NULL; i++)
        for (const struct route *route = tables[i]; route->method != NULL; route++)
            total++;
    table->items = mem_array(total + 1, sizeof(struct compiled));
    table->texts = mem_array(total + 1, sizeof(char *));
    for (size_t i = 0; tables[i] != NULL; i++)
        for (const struct route *route = tables[i]; route->method != NULL; route++) {
            char *text = mem_strdup(route->pattern);
            int r = compile(route, text, &table->items[table->count], err);
            table->texts[table->count++] = text;
            if (r < 0) {
                route_table_free(table);
                return r;
            }
        }
    qsort(table->items, table->count, sizeof(struct compiled), by_specificity);
    /* Built from the last, so that each bucket's list is in order. */
    for (size_t i = table->count; i-- > 0;) {
        struct compiled *item = &table->items[i];
        struct compiled **bucket =
            item->count > 0 && item->segments[0].kind == SEGMENT_LITERAL
                ? &table->buckets[hash_text(item->segments[0].text, item->segments[0].length)]
                : &table->others;
        item->next = *bucket;
        *bucket = item;
    }
    *ret = table;
    return 0;
}

struct piece {
    const char *text;
    size_t length;
};

static size_t split(const char *path, struct piece *out, size_t max)
{
    size_t count = 0;
    const char *at = path + 1;
    while (*at != '\0') {
        const char *end = strchr(at, '/');
        if (count == max)
            return max + 1;
        out[count++] = (struct piece){at, end != NULL ? (size_t)(end - at) : strlen(at)};
        if (end == NULL)
            break;
        at = end + 1;
        if (*at == '\0') { /* a slash at the end is an empty last piece */
            if (count == max)
                return max + 1;
            out[count++] = (struct piece){at, 0};
            break;
        }
    }
    return count;
}

/* Parameters are recorded as [from, to) of pieces. */
struct binding {
    const struct segment *segment;
    size_t from, to;
};

static bool match(const struct compiled *item, size_t segment, const struct piece *pieces,
                  size_t piece, size_t count, struct binding *bindings, size_t *bound)
{
    for (; segment < item->count; segment++, piece++) {
        const struct segment *want = &item->segments[segment];
        if (piece >= count)
            return false;
        switch (want->kind) {
        case SEGMENT_LITERAL:
            if (want->length != pieces[piece].length ||
                memcmp(want->text, pieces[piece].text, want->length) != 0)
                return false;
            break;
        case SEGMENT_PARAM:
            if (pieces[piece].length == 0)
                return false;
            bindings[(*bound)++] = (struct binding){want, piece, piece + 1};
            break;
        case SEGMENT_REST: {
            /* As much as leaves enough for what follows; one {name...} a pattern. */
            size_t after = item->count - segment - 1;
            if (count < piece + 1 + after)
                return false;
            size_t end = count - after;
            if (pieces[piece].length == 0)
                return false;
            bindings[(*bound)++] = (struct binding){want, piece, end};
            piece = end - 1;
            break;
        }
        }
    }
    return piece == count;
}

static bool try_list(const struct compiled *list, const char *method, struct request *request,
                     const struct piece *pieces, size_t count, bool versioned)
{
    for (const struct compiled *item = list; item != NULL; item = item->next) {
        struct binding bindings[PARAMS_MAX];
        size_t bound = 0;
        if (strcmp(item->route->method, method) != 0)
            continue;
        if (versioned && (item->route->flags & ROUTE_DOCKER) == 0)
            continue;
        if (!match(item, 0, pieces, 0, count, bindings, &bound))
            continue;
        request->route = item->route;
        free(request->param_text);
        request->param_text = mem_alloc(strlen(request->path) + PARAMS_MAX + 1);
        char *out = request->param_text;
        for (size_t i = 0; i < bound; i++) {
            const struct piece *last = &pieces[bindings[i].to - 1];
            const char *from = pieces[bindings[i].from].text;
            size_t length = (size_t)(last->text + last->length - from);
            memcpy(out, from, length);
            out[length] = '\0';
            request->params[i] = (struct pair){bindings[i].segment->text, out};
            out += length + 1;
        }
        request->param_count = bound;
        return true;
    }
    return false;
}

bool route_match(const struct route_table *table, struct request *request, bool versioned)
{
    struct piece pieces[64];
    size_t count = split(request->path, pieces, 64);
    if (count > 64)
        return false;
    const struct compiled *bucket =
        count > 0 ? table->buckets[hash_text(pieces[0].text, pieces[0].length)] : NULL;
    const char *method = request_method(request);
    for (int attempt = 0; attempt < 2; attempt++) {
        if (try_list(bucket, method, request, pieces, count, versioned))
            return true;
        if (try_list(table->others, method, request, pieces, count, versioned))
            return true;
        if (strcmp(method, "HEAD") != 0)
            return false;
        method = "GET";
    }
    return false;
}

int route_table_each(const struct route_table *table, route_fn *fn, void *user)
{
    for (size_t i = 0; i < table->count; i++) {
        int r = fn(user, table->items[i].route);
        if (r != 0)
            return r;
    }
    return 0;
}

int route_version(const char *path, int *ret_version, const char **ret_rest, struct error *err)
{
    if (path[0] != '/' || path[1] != 'v' || path[2] < '0' || path[2] > '9')
        return 1;
    size_t length = strspn(path + 2, "0123456789.");
    const char *rest = path + 2 + length;
    if (*rest != '/' || length > 16)
        return 1;
    char text[17];
    memcpy(text, path + 2, length);
    text[length] = '\0';

    /* As Docker compares: number by number, missing ones are 0. */
    unsigned long major = strtoul(text, NULL, 10);
    const char *dot = strchr(text, '.');
    unsigned long minor = dot != NULL ? strtoul(dot + 1, NULL, 10) : 0;
    if (major > 1 || (major == 1 && minor > API_VERSION_MAX - 100))
        return error_set(err, EINVAL,
                         "client version %s is too new. Maximum supported API version is %s", text,
                         API_VERSION_MAX_TEXT);
    if (major < 1 || minor < API_VERSION_MIN - 100)
        return error_set(err, EINVAL,
                         "client version %s is too old. Minimum supported API version is %s, "
                         "please upgrade your "
                         "client to a newer version",
                         text, API_VERSION_MIN_TEXT);
    *ret_version = 100 + (int)minor;
    *ret_rest = rest;
    return 0;
}
