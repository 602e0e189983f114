/* instructions.c - Dockerfile instructions applied to a Config (commit and import --change).
 * Owner: image.
 *
 * One table: what each instruction does, whether $VARIABLES are expanded in it.
 * Source: the Dockerfile reference.
 */
#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/mem.h"
#include "base/path.h"
#include "image/instructions.h"
#include "image/store.h"
#include "image/words.h"

struct applying {
    struct image_changing *changing;
    cJSON *config;
    struct error *err;
};

static int expand(const struct applying *applying, const char *word, char **ret)
{
    struct words_scope scope = {json_get(applying->config, "Env"), applying->changing->args, applying->changing->escape};

    return words_expand(&scope, word, ret, applying->err);
}

static void set(cJSON *config, const char *key, cJSON *value)
{
    cJSON *old = json_get(config, key);

    if (old)
        cJSON_Delete(cJSON_DetachItemViaPointer(config, old));
    json_add(config, key, value);
}

/* The object or array under key, made where it is missing or null. */
static cJSON *container(cJSON *config, const char *key, bool array)
{
    cJSON *item = json_get(config, key);

    if (array ? cJSON_IsArray(item) : cJSON_IsObject(item))
        return item;
    set(config, key, array ? cJSON_CreateArray() : cJSON_CreateObject());
    return json_get(config, key);
}

static cJSON *shell_form(const struct applying *applying, const char *text)
{
    const cJSON *shell = json_get(applying->config, "Shell");
    cJSON *list = cJSON_IsArray(shell) && cJSON_GetArraySize(shell) > 0 ? cJSON_Duplicate(shell, true) : NULL;

    if (!list) {
        list = cJSON_CreateArray();
        json_push_string(list, "/bin/sh");
        json_push_string(list, "-c");
    }
    if (*text)
        json_push_string(list, text);
    return list;
}

/* --- the instructions ----------------------------------------------------------------------- */

static int do_cmd(struct applying *applying, const char *rest)
{
    cJSON *list = words_list(rest);

    set(applying->config, "Cmd", list ? list : shell_form(applying, rest));
    /* An empty one is none: an ENTRYPOINT after it takes it away. */
    applying->changing->cmd_set = !list || list->child;
    return 0;
}

static int do_entrypoint(struct applying *applying, const char *rest)
{
    cJSON *list = *rest ? words_list(rest) : cJSON_CreateArray();

    set(applying->config, "Entrypoint", list ? list : shell_form(applying, rest));
    if (!applying->changing->cmd_set)
        set(applying->config, "Cmd", NULL);
    return 0;
}

static void set_environment(cJSON *config, const char *name, const char *value)
{
    cJSON *list = container(config, "Env", true);
    CLEANUP_FREE char *text = mem_printf("%s=%s", name, value);
    size_t n = strlen(name);
    int index = 0;
    cJSON *item;

    cJSON_ArrayForEach(item, list) {
        if (cJSON_IsString(item) && strncmp(item->valuestring, name, n) == 0 && item->valuestring[n] == '=') {
            cJSON_ReplaceItemInArray(list, index, cJSON_CreateString(text));
            return;
        }
        index++;
    }
    json_push_string(list, text);
}

static void set_label(cJSON *config, const char *name, const char *value)
{
    cJSON *labels = container(config, "Labels", false);

    cJSON_DeleteItemFromObjectCaseSensitive(labels, name);
    json_add_string(labels, name, value);
}

/* "K V and more" or "K=V K2=V2". */
static int each_pair(struct applying *applying, const char *rest, const char *what,
                     void (*fn)(cJSON *config, const char *name, const char *value))
{
    CLEANUP_STRV char **words = words_split(rest, applying->changing->escape);
    /* Values see the environment as it was before this instruction. */
    CLEANUP_JSON cJSON *env = cJSON_Duplicate(json_get(applying->config, "Env"), true);
    struct words_scope before = {env, applying->changing->args, applying->changing->escape};

    if (!strchr(words[0], '=')) {
        const char *value = rest + strcspn(rest, " \t");
        CLEANUP_FREE char *name = NULL;
        CLEANUP_FREE char *processed = NULL;

        value += strspn(value, " \t");
        if (*value == '\0')
            return error_set(applying->err, EINVAL, "%s must have two arguments", what);
        int r = words_expand(&before, words[0], &name, applying->err);
        if (r == 0)
            r = words_expand(&before, value, &processed, applying->err);
        if (r == 0)
            fn(applying->config, name, processed);
        return r;
    }
    for (char **word = words; *word; word++) {
        char *equals = strchr(*word, '=');
        CLEANUP_FREE char *name = NULL;
        CLEANUP_FREE char *value = NULL;

        if (!equals)
            return error_set(applying->err, EINVAL,
                             "Syntax error - can't find = in \"%s\". Must be of the form: name=value", *word);
        *equals = '\0';
        int r = words_expand(&before, *word, &name, applying->err);
        if (r == 0)
            r = words_expand(&before, equals + 1, &value, applying->err);
        if (r < 0)
            return r;
        if (*name == '\0')
            return error_set(applying->err, EINVAL, "%s names can not be blank", what);
        fn(applying->config, name, value);
    }
    return 0;
}

static int do_env(struct applying *applying, const char *rest)
{
    return each_pair(applying, rest, "ENV", set_environment);
}

static int do_label(struct applying *applying, const char *rest)
{
    return each_pair(applying, rest, "LABEL", set_label);
}

/* "80", "80/udp", "8000-8010/tcp". */
static int expose(struct applying *applying, const char *spec)
{
    CLEANUP_FREE char *copy = mem_strdup(spec);
    const char *protocol = "tcp";
    int first, last;

    char *slash = strchr(copy, '/');
    if (slash) {
        *slash = '\0';
        protocol = slash + 1;
    }
    char *dash = strchr(copy, '-');
    if (dash)
        *dash = '\0';
    if (str_to_int(copy, 1, 65535, &first) < 0 || str_to_int(dash ? dash + 1 : copy, first, 65535, &last) < 0)
        return error_set(applying->err, EINVAL, "Invalid containerPort: %s", spec);
    if (!str_equal_nocase(protocol, "tcp") && !str_equal_nocase(protocol, "udp") && !str_equal_nocase(protocol, "sctp"))
        return error_set(applying->err, EINVAL, "invalid proto: %s", protocol);
    cJSON *ports = container(applying->config, "ExposedPorts", false);
    for (int port = first; port <= last; port++) {
        char key[24];

        snprintf(key, sizeof(key), "%d/%s", port, protocol);
        for (char *at = key; *at; at++)
            *at = (char)tolower((unsigned char)*at);
        if (!cJSON_GetObjectItemCaseSensitive(ports, key))
            json_add_object(ports, key);
    }
    return 0;
}

static int each_word(struct applying *applying, const char *rest, int (*fn)(struct applying *applying, const char *word))
{
    CLEANUP_STRV char **words = words_split(rest, applying->changing->escape);
    int r = 0;

    for (char **word = words; r == 0 && *word; word++) {
        CLEANUP_FREE char *processed = NULL;

        r = expand(applying, *word, &processed);
        if (r == 0)
            r = fn(applying, processed);
    }
    return r;
}

static int do_expose(struct applying *applying, const char *rest)
{
    return each_word(applying, rest, expose);
}

static int add_volume(struct applying *applying, const char *path)
{
    cJSON *volumes = container(applying->config, "Volumes", false);

    if (*path == '\0')
        return error_set(applying->err, EINVAL, "VOLUME specified can not be an empty string");
    if (!cJSON_GetObjectItemCaseSensitive(volumes, path))
        json_add_object(volumes, path);
    return 0;
}

static int do_volume(struct applying *applying, const char *rest)
{
    CLEANUP_JSON cJSON *list = words_list(rest);
    const cJSON *item;
    int r = 0;

    if (!list)
        return each_word(applying, rest, add_volume);
    cJSON_ArrayForEach(item, list) {
        CLEANUP_FREE char *processed = NULL;

        r = expand(applying, item->valuestring, &processed);
        if (r == 0)
            r = add_volume(applying, processed);
        if (r < 0)
            break;
    }
    return r;
}

static int do_user(struct applying *applying, const char *rest)
{
    CLEANUP_FREE char *user = NULL;
    int r = expand(applying, rest, &user);

    if (r == 0)
        set(applying->config, "User", cJSON_CreateString(user));
    return r;
}

static int do_workdir(struct applying *applying, const char *rest)
{
    CLEANUP_FREE char *path = NULL;
    const char *now = json_string(applying->config, "WorkingDir", "/");
    int r = expand(applying, rest, &path);

    if (r == 0 && *path == '\0')
        r = error_set(applying->err, EINVAL, "cannot normalize nothing");
    if (r < 0)
        return r;
    CLEANUP_FREE char *joined = path[0] == '/' ? mem_strdup(path) : mem_printf("/%s/%s", now, path);
    CLEANUP_FREE char *cleaned = path_clean(joined);
    set(applying->config, "WorkingDir", cJSON_CreateString(cleaned));
    return 0;
}

static bool signal_known(const char *text)
{
    const char *name = strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text;
    int number;

    if (*text >= '0' && *text <= '9')
        return str_to_int(text, 1, 64, &number) == 0;
    if (strncasecmp(name, "RTMIN", 5) == 0 || strncasecmp(name, "RTMAX", 5) == 0)
        return name[5] == '\0' || ((name[5] == '+' || name[5] == '-') && str_to_int(name + 6, 0, 30, &number) == 0);
    for (int i = 1; i < 32; i++)
        if (sigabbrev_np(i) && str_equal_nocase(name, sigabbrev_np(i)))
            return true;
    return str_equal_nocase(name, "CLD") || str_equal_nocase(name, "IOT") || str_equal_nocase(name, "POLL");
}

static int do_stopsignal(struct applying *applying, const char *rest)
{
    CLEANUP_FREE char *name = NULL;
    int r = expand(applying, rest, &name);

    if (r < 0)
        return r;
    if (!signal_known(name))
        return error_set(applying->err, EINVAL, "invalid signal: %s", name);
    set(applying->config, "StopSignal", cJSON_CreateString(name));
    return 0;
}

static int do_onbuild(struct applying *applying, const char *rest)
{
    size_t n = strcspn(rest, " \t");
    CLEANUP_FREE char *first = mem_strndup(rest, n);

    if (str_equal_nocase(first, "ONBUILD"))
        return error_set(applying->err, EINVAL, "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
    if (str_equal_nocase(first, "MAINTAINER") || str_equal_nocase(first, "FROM"))
        return error_set(applying->err, EINVAL, "%s isn't allowed as an ONBUILD trigger", first);
    json_push_string(container(applying->config, "OnBuild", true), rest);
    return 0;
}

/* --interval=30s --timeout=5s --start-period=... --retries=3 CMD ... | NONE */
static int do_healthcheck(struct applying *applying, const char *rest)
{
    static const struct {
        const char *flag, *key;
    } durations[] = {
        {"--interval=", "Interval"},
        {"--timeout=", "Timeout"},
        {"--start-period=", "StartPeriod"},
        {"--start-interval=", "StartInterval"},
    };
    CLEANUP_JSON cJSON *check = cJSON_CreateObject();
    bool flags = false;

    for (; str_starts(rest, "--"); flags = true) {
        size_t n = strcspn(rest, " \t");
        CLEANUP_FREE char *flag = mem_strndup(rest, n);
        bool known = false;
        int64_t ns;
        int retries;

        for (size_t i = 0; i < ARRAY_SIZE(durations); i++) {
            if (!str_starts(flag, durations[i].flag))
                continue;
            const char *value = flag + strlen(durations[i].flag);
            if (str_to_duration(value, &ns) < 0)
                return error_set(applying->err, EINVAL, "time: invalid duration \"%s\"", value);
            if (ns != 0 && ns < 1000000)
                return error_set(applying->err, EINVAL, "Interval \"%.*s\" cannot be less than 1ms",
                                 (int)strlen(durations[i].flag) - 3, durations[i].flag + 2);
            json_add_int(check, durations[i].key, ns);
            known = true;
        }
        if (str_starts(flag, "--retries=")) {
            if (str_to_int(flag + strlen("--retries="), 0, 1000000, &retries) < 0)
                return error_set(applying->err, EINVAL, "--retries must be at least 1 (not %s)", flag + strlen("--retries="));
            json_add_int(check, "Retries", retries);
            known = true;
        }
        if (!known)
            return error_set(applying->err, EINVAL, "Unknown flag: %s", flag);
        rest += n;
        rest += strspn(rest, " \t");
    }
    size_t n = strcspn(rest, " \t");
    CLEANUP_FREE char *kind = mem_strndup(rest, n);
    rest += n;
    rest += strspn(rest, " \t");
    cJSON *test = json_add_array(check, "Test");
    if (str_equal_nocase(kind, "NONE")) {
        if (*rest || flags)
            return error_set(applying->err, EINVAL, "HEALTHCHECK NONE takes no arguments");
        json_push_string(test, "NONE");
    } else if (str_equal_nocase(kind, "CMD") && *rest) {
        CLEANUP_JSON cJSON *list = words_list(rest);
        const cJSON *item;

        json_push_string(test, list ? "CMD" : "CMD-SHELL");
        if (!list)
            json_push_string(test, rest);
        cJSON_ArrayForEach(item, list)
            json_push_string(test, item->valuestring);
    } else if (str_equal_nocase(kind, "CMD")) {
        return error_set(applying->err, EINVAL, "Missing command after HEALTHCHECK CMD");
    } else {
        return error_set(applying->err, EINVAL, "Unknown type \"%s\" in HEALTHCHECK (try CMD)", kind);
    }
    set(applying->config, "Healthcheck", TAKE_PTR(check));
    return 0;
}

/* Of a build only: a change to a finished image has no use for it. */
static int do_shell(struct applying *applying, const char *rest)
{
    cJSON *list = words_list(rest);

    if (!list)
        return error_set(applying->err, EINVAL, "SHELL requires the arguments to be in JSON form");
    if (cJSON_GetArraySize(list) == 0) {
        cJSON_Delete(list);
        return error_set(applying->err, EINVAL, "SHELL requires at least one argument");
    }
    set(applying->config, "Shell", list);
    return 0;
}

static const struct instruction {
    const char *name;
    int (*fn)(struct applying *applying, const char *rest);
    bool build_only;
} instructions[] = {
    {"CMD", do_cmd},         {"ENTRYPOINT", do_entrypoint}, {"ENV", do_env},   {"EXPOSE", do_expose},
    {"LABEL", do_label},     {"ONBUILD", do_onbuild},       {"USER", do_user}, {"STOPSIGNAL", do_stopsignal},
    {"VOLUME", do_volume},   {"WORKDIR", do_workdir},       {"HEALTHCHECK", do_healthcheck},
    {"SHELL", do_shell, true},
};

static const struct instruction *find_instruction(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(instructions); i++)
        if (str_equal_nocase(name, instructions[i].name))
            return &instructions[i];
    return NULL;
}

bool image_instruction_known(const char *name)
{
    return find_instruction(name) != NULL;
}

int image_instruction_apply(struct image_changing *changing, const char *name, const char *rest, struct error *err)
{
    struct applying applying = {.changing = changing, .config = changing->config, .err = err};
    const struct instruction *instruction = find_instruction(name);

    if (!instruction)
        return error_set(err, EINVAL, "unknown instruction: %s", name);
    /* An empty CMD takes the inherited one away. */
    if (*rest == '\0' && instruction->fn != do_cmd && instruction->fn != do_entrypoint)
        return error_set(err, EINVAL, "%s requires %s", instruction->name,
                         instruction->fn == do_workdir || instruction->fn == do_user || instruction->fn == do_stopsignal
                             ? "exactly one argument" : "at least one argument");
    return instruction->fn(&applying, rest);
}

/* 1: an instruction; 0: a comment, or nothing. */
static int apply_line(struct image_changing *changing, char *line, struct error *err)
{
    while (isspace((unsigned char)*line))
        line++;
    size_t length = strlen(line);
    while (length > 0 && isspace((unsigned char)line[length - 1]))
        line[--length] = '\0';
    if (*line == '\0' || *line == '#')
        return 0;
    size_t n = strcspn(line, " \t");
    CLEANUP_FREE char *name = mem_strndup(line, n);
    const char *rest = line + n + strspn(line + n, " \t");
    const struct instruction *instruction = find_instruction(name);
    if (instruction && !instruction->build_only) {
        int r = image_instruction_apply(changing, name, rest, err);
        return r < 0 ? r : 1;
    }
    return error_set(err, EINVAL, "%s is not a valid change command", name);
}

int image_apply_changes(cJSON *config, char *const *changes, struct error *err)
{
    struct image_changing changing = {.config = config, .escape = '\\'};
    int count = 0;

    for (char *const *change = changes; change && *change; change++) {
        CLEANUP_STR struct str text = STR_INIT;

        if (strlen(*change) > WORDS_LENGTH_MAX)
            return error_set(err, EINVAL, "a change is too long");
        /* A backslash at a line's end goes on in the next one. */
        for (const char *at = *change; *at; at++) {
            if (*at == '\\' && at[1] == '\n')
                at++;
            else
                str_append_char(&text, *at);
        }
        CLEANUP_STRV char **lines = text.data ? strv_split(text.data, '\n') : NULL;
        for (char **line = lines; line && *line; line++) {
            int r = apply_line(&changing, *line, err);
            if (r < 0)
                return r;
            count += r;
        }
    }
    if (changes && *changes && count == 0)
        return error_set(err, EINVAL, "file with no instructions");
    return 0;
}
