/* steps.c - see steps.h. Owner: build.
 *
 * What an instruction does to a Config is core/image/instructions.c's; here is what
 * the history says of it, in the classic builder's form, and WORKDIR's directory.
 */
#include "build/steps.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "build/internal.h"
#include "image/instructions.h"
#include "image/words.h"

/* `["a" "b"]` and `[a b]`. */
static char *describe_list(const cJSON *list, bool quoted)
{
    CLEANUP_STR struct str text = STR_INIT;
    const cJSON *item;

    str_append(&text, "[");
    cJSON_ArrayForEach(item, list) {
        const char *value = cJSON_IsString(item) ? item->valuestring : item->string ? item->string : "";

        if (text.length > 1)
            str_append_char(&text, ' ');
        if (quoted)
            str_append_json(&text, value, strlen(value));
        else
            str_append(&text, value);
    }
    str_append(&text, "]");
    return str_take(&text);
}

/* Expanded as it was before the instruction took effect. */
static char *describe_expanded(struct build *build, const struct dockerfile_instruction *instruction)
{
    char *text = NULL;

    return build_expand(build, instruction->rest, &text, NULL) == 0 ? text : mem_strdup(instruction->rest);
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Ports are told in order. */
static char *describe_ports(struct build *build, const struct dockerfile_instruction *instruction)
{
    CLEANUP_FREE char *text = describe_expanded(build, instruction);
    CLEANUP_STRV char **words = words_fields(text);
    size_t count = strv_length(words);

    if (count > 1)
        qsort(words, count, sizeof(*words), by_bytes);
    return strv_join(words, " ");
}

static char *describe_volumes(const char *rest)
{
    CLEANUP_JSON cJSON *list = words_list(rest);
    CLEANUP_STRV char **words = list ? NULL : words_fields(rest);

    return describe_list(list ? list : (list = json_from_strv(words)), false);
}

/* Before it is applied: NULL where only the result can tell. */
static char *describe_before(struct build *build, const struct dockerfile_instruction *instruction)
{
    const char *name = instruction->name, *rest = instruction->rest;

    if (strcmp(name, "ONBUILD") == 0)
        return mem_strdup(instruction->original + strlen(name) + 1);
    if (strcmp(name, "EXPOSE") == 0)
        return describe_ports(build, instruction);
    if (strcmp(name, "VOLUME") == 0)
        return describe_volumes(rest);
    if (strcmp(name, "CMD") == 0 || strcmp(name, "ENTRYPOINT") == 0 || strcmp(name, "SHELL") == 0 ||
        strcmp(name, "WORKDIR") == 0 || strcmp(name, "HEALTHCHECK") == 0)
        return NULL;
    char *text = describe_expanded(build, instruction);
    size_t n = strcspn(rest, " \t");
    if ((strcmp(name, "ENV") == 0 || strcmp(name, "LABEL") == 0) && rest[n] && !memchr(rest, '=', n)) {
        /* The old form with a blank is shown as the new one. */
        char *blank = text + strcspn(text, " \t");
        if (*blank)
            *blank = '=';
    }
    return text;
}

/* As Go prints the structure, quoted: what stands in Docker's histories, and is looked
 * for there by a cache. */
static char *describe_health(const cJSON *check)
{
    static const char *const durations[] = {"Interval", "Timeout", "StartPeriod", "StartInterval"};
    static const char escapes[] = "abtnvfr"; /* of 7 and on */
    CLEANUP_STR struct str text = STR_INIT;
    CLEANUP_FREE char *test = describe_list(json_get(check, "Test"), true);
    int64_t retries = json_int(check, "Retries", 0);

    str_printf(&text, "&{%s", test);
    for (size_t i = 0; i < ARRAY_SIZE(durations); i++) {
        int64_t ns = json_int(check, durations[i], 0);
        if (ns == 0 && i == ARRAY_SIZE(durations) - 1)
            continue; /* came late: older histories have no such field */
        str_append(&text, " \"");
        str_append_duration(&text, ns);
        str_append(&text, "\"");
    }
    /* The number is printed as a character. */
    if (retries >= 7 && retries <= 13)
        str_printf(&text, " '\\%c'}", escapes[retries - 7]);
    else if (retries < ' ' || retries == 0x7f)
        str_printf(&text, " '\\x%02x'}", (unsigned)retries);
    else if (retries < 0x7f)
        str_printf(&text, retries == '\'' || retries == '\\' ? " '\\%c'}" : " '%c'}", (char)retries);
    else
        str_printf(&text, " '\\U%08x'}", (unsigned)retries);
    return str_take(&text);
}

static char *describe_after(const struct build *build, const char *name)
{
    const cJSON *config = build->state.config;

    if (strcmp(name, "CMD") == 0)
        return describe_list(json_get(config, "Cmd"), true);
    if (strcmp(name, "ENTRYPOINT") == 0)
        return describe_list(json_get(config, "Entrypoint"), true);
    if (strcmp(name, "SHELL") == 0)
        return describe_list(json_get(config, "Shell"), false);
    if (strcmp(name, "HEALTHCHECK") == 0)
        return describe_health(json_get(config, "Healthcheck"));
    return mem_strdup(json_string(config, "WorkingDir", "/"));
}

/* WORKDIR makes its directory: a layer, unless it is there. */
static int make_working_directory(struct build *build, const char *created_by, struct error *err)
{
    struct build_layer layer = BUILD_LAYER_INIT;
    const char *path = json_string(build->state.config, "WorkingDir", "/");

    int r = build_layer_open(build, &layer, err);
    if (r < 0)
        return r;
    CLEANUP_CLOSE int there = path_open_in(layer.root_fd, path, O_PATH | O_DIRECTORY, 0);
    if (there >= 0) {
        r = build_commit(build, created_by, NULL, NULL, err);
    } else {
        CLEANUP_CLOSE int made = path_mkdir_in(layer.root_fd, path, 0755);
        r = made < 0 ? error_set(err, EINVAL, "cannot make the working directory %s: %s", path, strerror(-made)) : 0;
        cleanup_close(&made);
        if (r == 0)
            r = build_layer_commit(build, &layer, created_by, err);
    }
    cleanup_close(&there);
    build_layer_close(build, &layer);
    return r;
}

int build_declare_args(struct build *build, const struct dockerfile_instruction *instruction,
                       const struct words_scope *scope, bool global, struct error *err)
{
    CLEANUP_STRV char **words = words_split(instruction->rest, build->dockerfile->escape);
    int r = 0;

    for (char **word = words; r == 0 && word && *word; word++) {
        CLEANUP_FREE char *name = NULL;
        CLEANUP_FREE char *value = NULL;
        CLEANUP_FREE char *raw = mem_strndup(*word, strcspn(*word, "="));
        const char *equals = strchr(*word, '=');

        r = words_expand(scope, raw, &name, err);
        if (r == 0 && *name == '\0')
            r = error_set(err, EINVAL, "ARG names can not be blank");
        if (r == 0 && equals)
            r = words_expand(scope, equals + 1, &value, err);
        if (r == 0)
            build_args_declare(&build->args, global, name, value);
    }
    return r;
}

static int declare(struct build *build, const struct dockerfile_instruction *instruction, struct error *err)
{
    CLEANUP_STRV char **args = build_args_for_stage(&build->args);
    struct words_scope scope = {json_get(build->state.config, "Env"), args, build->dockerfile->escape};

    return build_declare_args(build, instruction, &scope, false, err);
}

static int apply(struct build *build, const struct dockerfile_instruction *instruction, struct error *err)
{
    CLEANUP_STRV char **args = build_args_for_stage(&build->args);
    CLEANUP_FREE char *rest = dockerfile_with_flags(instruction); /* HEALTHCHECK's */
    struct image_changing changing = {.config = build->state.config, .args = args,
                                      .escape = build->dockerfile->escape, .cmd_set = build->state.cmd_set};

    int r = image_instruction_apply(&changing, instruction->name, rest, err);
    build->state.cmd_set = changing.cmd_set;
    return r;
}

/* As the classic builder: one check takes another's place. */
static void note_health(struct build *build, const struct dockerfile_instruction *instruction)
{
    const cJSON *test = json_get(json_get(build->state.config, "Healthcheck"), "Test");
    const char *first = cJSON_GetArraySize(test) > 0 ? cJSON_GetStringValue(test->child) : NULL;
    CLEANUP_FREE char *text = describe_list(test, false);

    if (strcmp(instruction->name, "HEALTHCHECK") == 0 && first && strcmp(first, "NONE") != 0)
        build_say(build, "Note: overriding previous HEALTHCHECK: %s\n", text);
}

/* As the classic builder, whose step's container takes from its image what the new check leaves open. */
static void inherit_health(cJSON *check, const cJSON *before)
{
    static const char *const keys[] = {"Interval", "Timeout", "StartPeriod", "StartInterval", "Retries"};

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        int64_t value = json_int(before, keys[i], 0);

        if (value == 0 || json_int(check, keys[i], 0) != 0)
            continue;
        cJSON_DeleteItemFromObjectCaseSensitive(check, keys[i]);
        json_add_int(check, keys[i], value);
    }
}

int build_step(struct build *build, const struct dockerfile_instruction *instruction, struct error *err)
{
    const char *name = instruction->name;
    CLEANUP_FREE char *text = describe_before(build, instruction);
    CLEANUP_JSON cJSON *health = NULL;
    int r;

    if (strcmp(name, "ARG") == 0) {
        r = declare(build, instruction, err);
    } else if (strcmp(name, "MAINTAINER") == 0) {
        free(build->state.author);
        build->state.author = mem_strdup(instruction->rest);
        r = 0;
    } else {
        note_health(build, instruction);
        if (strcmp(name, "HEALTHCHECK") == 0)
            health = cJSON_Duplicate(json_get(build->state.config, "Healthcheck"), true);
        r = apply(build, instruction, err);
    }
    if (r < 0)
        return r;
    if (!text)
        text = describe_after(build, name);
    inherit_health(json_get(build->state.config, "Healthcheck"), health); /* the history tells what the step said */
    bool directory = strcmp(name, "WORKDIR") == 0;
    CLEANUP_FREE char *created_by = build_no_operation(build, "%s%s %s", directory ? "" : " ", name, text);
    r = build_probe(build, created_by, err);
    if (r != 0)
        return r < 0 ? r : 0;
    return directory ? make_working_directory(build, created_by, err) : build_commit(build, created_by, NULL, NULL, err);
}
