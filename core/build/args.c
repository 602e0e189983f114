/* args.c - see args.h. Owner: build. */
#include "build/args.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"

static const char *const proxies[] = {"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "FTP_PROXY",
                                      "ftp_proxy",  "NO_PROXY",   "no_proxy",    "ALL_PROXY",   "all_proxy"};

static bool is_proxy(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(proxies); i++)
        if (strcmp(proxies[i], name) == 0)
            return true;
    return false;
}

void build_args_clear(struct build_args *args)
{
    strv_free(args->global);
    strv_free(args->stage);
    strv_free(args->used);
}

void build_args_begin_stage(struct build_args *args)
{
    strv_free(args->stage);
    args->stage = NULL;
}

/* The entry for name in a list of "NAME" and "NAME=value"; NULL none. */
static char **find(char **list, const char *name)
{
    size_t n = strlen(name);

    for (; list && *list; list++)
        if (strncmp(*list, name, n) == 0 && ((*list)[n] == '\0' || (*list)[n] == '='))
            return list;
    return NULL;
}

static void put(char ***list, const char *name, const char *value)
{
    char *text = value ? mem_printf("%s=%s", name, value) : mem_strdup(name);
    char **old = find(*list, name);

    if (!old) {
        strv_take(list, text);
        return;
    }
    free(*old);
    *old = text;
}

static const char *value_in(char **list, const char *name)
{
    char **entry = find(list, name);
    const char *equals = entry ? strchr(*entry, '=') : NULL;

    return equals ? equals + 1 : NULL;
}

/* What was given for name; *ret_given also where that is null: then it has no value. */
static const char *given_value(const struct build_args *args, const char *name, bool *ret_given)
{
    const cJSON *item = args->given ? cJSON_GetObjectItemCaseSensitive(args->given, name) : NULL;

    *ret_given = item != NULL;
    return cJSON_IsString(item) ? item->valuestring : NULL;
}

void build_args_declare(struct build_args *args, bool global, const char *name, const char *value)
{
    bool given;

    if (!strv_contains(args->used, name))
        strv_push(&args->used, name);
    if (!global) {
        put(&args->stage, name, value);
        return;
    }
    const char *override = given_value(args, name, &given);
    put(&args->global, name, given ? override : value);
}

char **build_args_for_from(const struct build_args *args)
{
    char **list = NULL;

    for (char **entry = args->global; entry && *entry; entry++)
        if (strchr(*entry, '='))
            strv_push(&list, *entry);
    return list;
}

static const char *stage_value(const struct build_args *args, const char *name)
{
    bool given;
    const char *value = given_value(args, name, &given);

    if (given)
        return value;
    value = value_in(args->stage, name);
    return value ? value : value_in(args->global, name);
}

char **build_args_for_stage(const struct build_args *args)
{
    char **list = NULL;

    for (char **entry = args->stage; entry && *entry; entry++) {
        CLEANUP_FREE char *name = mem_strndup(*entry, strcspn(*entry, "="));
        const char *value = stage_value(args, name);

        if (value)
            put(&list, name, value);
    }
    for (size_t i = 0; i < ARRAY_SIZE(proxies); i++) {
        bool given;
        const char *value = given_value(args, proxies[i], &given);

        if (value)
            put(&list, proxies[i], value);
    }
    return list;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort(char **list)
{
    size_t count = strv_length(list);

    if (count > 1)
        qsort(list, count, sizeof(*list), by_bytes);
}

static bool in_env(const cJSON *env, const char *name)
{
    size_t n = strlen(name);
    const cJSON *item;

    cJSON_ArrayForEach(item, env)
        if (cJSON_IsString(item) && strncmp(item->valuestring, name, n) == 0 && item->valuestring[n] == '=')
            return true;
    return false;
}

char **build_args_for_run(const struct build_args *args, const cJSON *env, bool shown)
{
    CLEANUP_STRV char **all = build_args_for_stage(args);
    char **list = NULL;

    for (char **entry = all; entry && *entry; entry++) {
        CLEANUP_FREE char *name = mem_strndup(*entry, strcspn(*entry, "="));

        if (in_env(env, name) || (shown && is_proxy(name) && !find(args->stage, name)))
            continue;
        strv_push(&list, *entry);
    }
    sort(list);
    return list;
}

char **build_args_unused(const struct build_args *args)
{
    const cJSON *item;
    char **list = NULL;

    cJSON_ArrayForEach(item, args->given)
        if (!is_proxy(item->string) && !strv_contains(args->used, item->string))
            strv_push(&list, item->string);
    sort(list);
    return list;
}
