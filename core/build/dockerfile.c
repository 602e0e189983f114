/* dockerfile.c - see dockerfile.h. Owner: build. */
#include "build/dockerfile.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "image/instructions.h"
#include "image/words.h"
#include "tabique/error.h"

#define LINE_MAX_BYTES 65535 /* as Docker */

/* What follows an instruction's name. */
enum shape {
    SHAPE_ANY,      /* at least something */
    SHAPE_EMPTY,    /* maybe nothing */
    SHAPE_ONE,      /* exactly one word's worth */
    SHAPE_FILES,    /* at least two words, or a JSON list */
    SHAPE_PAIRS,    /* names and values */
    SHAPE_LIST,     /* a JSON list */
    SHAPE_ARG,
};

static const struct form {
    const char *name;
    enum shape shape;
    const char *flags[8];         /* known ones */
    const char *buildkit[8];      /* known elsewhere */
} forms[] = {
    {"ADD", SHAPE_FILES, {"chown", "chmod"}, {"checksum", "keep-git-dir", "link", "exclude", "unpack"}},
    {"ARG", SHAPE_ARG, {NULL}, {NULL}},
    {"CMD", SHAPE_EMPTY, {NULL}, {NULL}},
    {"COPY", SHAPE_FILES, {"from", "chown", "chmod"}, {"link", "parents", "exclude"}},
    {"ENTRYPOINT", SHAPE_EMPTY, {NULL}, {NULL}},
    {"ENV", SHAPE_PAIRS, {NULL}, {NULL}},
    {"EXPOSE", SHAPE_ANY, {NULL}, {NULL}},
    {"FROM", SHAPE_ANY, {"platform"}, {NULL}},
    {"HEALTHCHECK", SHAPE_ANY, {"interval", "timeout", "start-period", "start-interval", "retries"}, {NULL}},
    {"LABEL", SHAPE_PAIRS, {NULL}, {NULL}},
    {"MAINTAINER", SHAPE_ONE, {NULL}, {NULL}},
    {"ONBUILD", SHAPE_ANY, {NULL}, {NULL}},
    {"RUN", SHAPE_EMPTY, {NULL}, {"mount", "network", "security", "device"}},
    {"SHELL", SHAPE_LIST, {NULL}, {NULL}},
    {"STOPSIGNAL", SHAPE_ONE, {NULL}, {NULL}},
    {"USER", SHAPE_ONE, {NULL}, {NULL}},
    {"VOLUME", SHAPE_ANY, {NULL}, {NULL}},
    {"WORKDIR", SHAPE_ONE, {NULL}, {NULL}},
};

static const struct form *find_form(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(forms); i++)
        if (strcmp(forms[i].name, name) == 0)
            return &forms[i];
    return NULL;
}

void dockerfile_instruction_clear(struct dockerfile_instruction *instruction)
{
    for (size_t i = 0; i < instruction->flag_count; i++) {
        free(instruction->flags[i].name);
        free(instruction->flags[i].value);
    }
    free(instruction->flags);
    free(instruction->name);
    free(instruction->original);
    free(instruction->rest);
    free(instruction->needs_buildkit);
    *instruction = (struct dockerfile_instruction){0};
}

static void list_free(struct dockerfile_instruction *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        dockerfile_instruction_clear(&list[i]);
    free(list);
}

void dockerfile_cut(struct dockerfile *dockerfile, size_t stages)
{
    while (dockerfile->stage_count > stages) {
        struct dockerfile_stage *stage = &dockerfile->stages[--dockerfile->stage_count];

        free(stage->base);
        free(stage->platform);
        free(stage->name);
        dockerfile_instruction_clear(&stage->from);
        list_free(stage->steps, stage->step_count);
    }
}

void dockerfile_freep(struct dockerfile **pointer)
{
    struct dockerfile *dockerfile = TAKE_PTR(*pointer);

    if (!dockerfile)
        return;
    list_free(dockerfile->args, dockerfile->arg_count);
    dockerfile_cut(dockerfile, 0);
    strv_free(dockerfile->gaps);
    free(dockerfile->stages);
    free(dockerfile);
}

const char *dockerfile_flag(const struct dockerfile_instruction *instruction, const char *name)
{
    for (size_t i = 0; i < instruction->flag_count; i++)
        if (strcmp(instruction->flags[i].name, name) == 0)
            return instruction->flags[i].value;
    return NULL;
}

char *dockerfile_with_flags(const struct dockerfile_instruction *instruction)
{
    CLEANUP_STR struct str text = STR_INIT;

    for (size_t i = 0; i < instruction->flag_count; i++)
        str_printf(&text, "--%s=%s ", instruction->flags[i].name, instruction->flags[i].value);
    str_append(&text, instruction->rest);
    return str_take(&text);
}

int dockerfile_find_stage(const struct dockerfile *dockerfile, const char *name)
{
    int index;

    for (size_t i = 0; i < dockerfile->stage_count; i++)
        if (*dockerfile->stages[i].name && str_equal_nocase(dockerfile->stages[i].name, name))
            return (int)i;
    return str_to_int(name, 0, (int)dockerfile->stage_count - 1, &index) == 0 ? index : -1;
}

/* --- lines ------------------------------------------------------------------------- */

struct lines {
    const char *at, *end;
    int number; /* of the line last given */
};

static bool next_line(struct lines *lines, struct str *ret)
{
    if (lines->at >= lines->end)
        return false;
    const char *newline = memchr(lines->at, '\n', (size_t)(lines->end - lines->at));
    const char *stop = newline ? newline : lines->end;
    size_t length = (size_t)(stop - lines->at);

    if (length > 0 && lines->at[length - 1] == '\r')
        length--;
    str_clear(ret);
    str_append_n(ret, lines->at, length);
    lines->at = newline ? newline + 1 : lines->end;
    lines->number++;
    return true;
}

static const char *skip_blanks(const char *text)
{
    while (*text == ' ' || *text == '\t' || *text == '\v' || *text == '\f')
        text++;
    return text;
}

static void trim_end(struct str *s)
{
    while (s->length > 0 && isspace((unsigned char)s->data[s->length - 1]))
        s->data[--s->length] = '\0';
}

/* Takes the escape at the line's end off; false where there is none. One that is
 * itself escaped is none. */
static bool take_continuation(struct str *line, char escape)
{
    size_t n = line->length;

    while (n > 0 && (line->data[n - 1] == ' ' || line->data[n - 1] == '\t'))
        n--;
    if (n == 0 || line->data[n - 1] != escape || (n >= 2 && line->data[n - 2] == escape))
        return false;
    line->data[line->length = n - 1] = '\0';
    return true;
}

/* "# name=value"; false: an ordinary comment, or none. */
static bool read_directive(const char *line, char **ret_name, char **ret_value)
{
    const char *name = skip_blanks(line);

    if (*name != '#')
        return false;
    name = skip_blanks(name + 1);
    size_t n = 0;
    while (isalpha((unsigned char)name[n]))
        n++;
    const char *equals = skip_blanks(name + n);
    if (n == 0 || *equals != '=')
        return false;
    const char *value = skip_blanks(equals + 1);
    size_t length = strlen(value);
    while (length > 0 && isspace((unsigned char)value[length - 1]))
        length--;
    if (length == 0)
        return false;
    *ret_name = mem_strndup(name, n);
    *ret_value = mem_strndup(value, length);
    for (char *c = *ret_name; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    return true;
}

static int wrong(struct error *err, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));
static int wrong(struct error *err, int line, const char *format, ...)
{
    CLEANUP_STR struct str text = STR_INIT;
    va_list args;

    va_start(args, format);
    str_vprintf(&text, format, args);
    va_end(args);
    return error_set(err, EINVAL, "dockerfile parse error on line %d: %s", line, text.data);
}

/* What stops the reading of the whole, in Docker's words. */
#define unread(err, ...) error_set(err, EINVAL, "failed to parse Dockerfile: " __VA_ARGS__)

/* Directives stand before everything else; what they are not, ends them. */
static int read_directives(struct lines *lines, char *ret_escape, struct error *err)
{
    CLEANUP_STR struct str line = STR_INIT;
    char **seen = NULL;
    int r = 0;

    for (struct lines ahead = *lines; r == 0 && next_line(&ahead, &line); *lines = ahead) {
        CLEANUP_FREE char *name = NULL;
        CLEANUP_FREE char *value = NULL;

        if (!read_directive(line.data, &name, &value))
            break;
        if (strcmp(name, "escape") != 0 && strcmp(name, "syntax") != 0 && strcmp(name, "check") != 0)
            break;
        if (strv_contains(seen, name))
            r = unread(err, "only one %s parser directive can be used", name);
        else if (strcmp(name, "escape") == 0 && strcmp(value, "\\") != 0 && strcmp(value, "`") != 0)
            r = unread(err, "invalid escape token '%s' does not match ` or \\", value);
        else if (strcmp(name, "escape") == 0)
            *ret_escape = *value;
        strv_push(&seen, name);
    }
    strv_free(seen);
    return r;
}

/* --- one instruction --------------------------------------------------------------- */

static void push_flag(struct dockerfile_instruction *instruction, const char *name, size_t length, const char *value)
{
    instruction->flags = mem_grow(instruction->flags, instruction->flag_count + 1, sizeof(*instruction->flags));
    instruction->flags[instruction->flag_count++] =
        (struct dockerfile_flag){mem_strndup(name, length), mem_strdup(value)};
}

/* Takes "--name=value" words from the front; "--" alone ends them. */
static int take_flags(struct dockerfile_instruction *instruction, const struct form *form, const char **rest,
                      struct error *err)
{
    const char *at = *rest;

    while (str_starts(at, "--")) {
        size_t n = strcspn(at, " \t");
        CLEANUP_FREE char *word = mem_strndup(at, n);
        size_t length = strcspn(word + 2, "=");
        CLEANUP_FREE char *name = mem_strndup(word + 2, length);
        const char *value = word[2 + length] == '=' ? word + 2 + length + 1 : NULL;
        bool known = false, elsewhere = false;

        at = skip_blanks(at + n);
        *rest = at;
        if (length == 0)
            return 0;
        for (size_t i = 0; i < ARRAY_SIZE(form->flags) && form->flags[i]; i++)
            known |= strcmp(form->flags[i], name) == 0;
        for (size_t i = 0; i < ARRAY_SIZE(form->buildkit) && form->buildkit[i]; i++)
            elsewhere |= strcmp(form->buildkit[i], name) == 0;
        if (elsewhere && !instruction->needs_buildkit)
            instruction->needs_buildkit = mem_strdup(name);
        if (elsewhere)
            continue;
        if (!known)
            return wrong(err, instruction->line, "unknown flag: %s", name);
        if (!value)
            return wrong(err, instruction->line, "missing a value on flag: %s", name);
        if (dockerfile_flag(instruction, name))
            return wrong(err, instruction->line, "duplicate flag specified: %s", name);
        push_flag(instruction, name, length, value);
    }
    return 0;
}

/* COPY, ADD and RUN with "<<WORD": what would follow is no instruction of ours. */
static bool is_heredoc(const char *rest)
{
    CLEANUP_STRV char **words = words_fields(rest);

    for (char **word = words; word && *word; word++) {
        const char *at = *word + strspn(*word, "0123456789");

        if (at[0] != '<' || at[1] != '<')
            continue;
        at += at[2] == '-' ? 3 : 2;
        if (*at == '"' || *at == '\'')
            at++;
        if (isalpha((unsigned char)*at) || *at == '_')
            return true;
    }
    return false;
}

static int check_pairs(const struct dockerfile_instruction *instruction, char escape, struct error *err)
{
    CLEANUP_STRV char **words = words_split(instruction->rest, escape);

    if (!strchr(words[0], '=')) {
        if (!words[1])
            return unread(err, "%s must have two arguments", instruction->name);
        return 0;
    }
    for (char **word = words; *word; word++) {
        if (!strchr(*word, '='))
            return unread(err, "Syntax error - can't find = in \"%s\". Must be of the form: name=value", *word);
        if (**word == '=')
            return wrong(err, instruction->line, "%s names can not be blank", instruction->name);
    }
    return 0;
}

static int check_shape(const struct dockerfile_instruction *instruction, const struct form *form, char escape,
                       struct error *err)
{
    const char *rest = instruction->rest;
    CLEANUP_JSON cJSON *list = words_list(rest);

    if (*rest == '\0' && form->shape != SHAPE_EMPTY) {
        const char *count = form->shape == SHAPE_ONE ? "exactly one argument"
                          : form->shape == SHAPE_FILES ? "at least two arguments" : "at least one argument";

        if (strcmp(form->name, "FROM") == 0)
            count = "either one or three arguments";
        return wrong(err, instruction->line, "%s requires %s", form->name, count);
    }
    if (form->shape == SHAPE_FILES) {
        CLEANUP_STRV char **words = list ? NULL : words_fields(rest);
        size_t count = list ? (size_t)cJSON_GetArraySize(list) : strv_length(words);

        if (count < 2)
            return wrong(err, instruction->line, "%s requires at least two arguments, but only one was provided. "
                                                  "Destination could not be determined", form->name);
    }
    if (form->shape == SHAPE_FILES || strcmp(form->name, "RUN") == 0) {
        if (!list && is_heredoc(rest))
            return error_set(err, EINVAL, "the here-document syntax of %s on line %d" DOCKERFILE_BUILDKIT, form->name,
                             instruction->line);
    }
    if (strcmp(form->name, "RUN") == 0 && *rest == '\0')
        return wrong(err, instruction->line, "RUN requires at least one argument");
    if (form->shape == SHAPE_LIST && !list)
        return wrong(err, instruction->line, "%s requires the arguments to be in JSON form", form->name);
    if (form->shape == SHAPE_PAIRS)
        return check_pairs(instruction, escape, err);
    if (form->shape == SHAPE_ARG && *rest == '=')
        return wrong(err, instruction->line, "ARG names can not be blank");
    return 0;
}

/* It has no variables, so it can be tried at once. */
static int check_health(const struct dockerfile_instruction *instruction, char escape, struct error *err)
{
    CLEANUP_JSON cJSON *config = cJSON_CreateObject();
    CLEANUP_FREE char *text = dockerfile_with_flags(instruction);
    struct image_changing changing = {.config = config, .escape = escape};
    struct error why = ERROR_INIT;

    int r = image_instruction_apply(&changing, instruction->name, text, &why);
    return r < 0 ? wrong(err, instruction->line, "%s", why.message) : 0;
}

static int check_trigger(const struct dockerfile_instruction *instruction, struct error *err)
{
    size_t n = strcspn(instruction->rest, " \t");
    CLEANUP_FREE char *name = mem_strndup(instruction->rest, n);

    for (char *c = name; *c; c++)
        *c = (char)toupper((unsigned char)*c);
    if (strcmp(name, "ONBUILD") == 0)
        return wrong(err, instruction->line, "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
    if (strcmp(name, "MAINTAINER") == 0 || strcmp(name, "FROM") == 0)
        return wrong(err, instruction->line, "%s isn't allowed as an ONBUILD trigger", name);
    if (!find_form(name))
        return wrong(err, instruction->line, "unknown instruction: %s", name);
    return 0;
}

static int read_instruction(const char *text, int line, char escape, struct dockerfile_instruction *ret,
                            struct error *err)
{
    struct dockerfile_instruction instruction = {.line = line};
    size_t n = strcspn(text, " \t\v\f");
    const char *rest = skip_blanks(text + n);

    instruction.name = mem_strndup(text, n);
    for (char *c = instruction.name; *c; c++)
        *c = (char)toupper((unsigned char)*c);
    const struct form *form = find_form(instruction.name);
    int r = form ? 0 : wrong(err, line, "unknown instruction: %s", instruction.name);
    if (r == 0) {
        instruction.original = *rest ? mem_printf("%s %s", instruction.name, rest) : mem_strdup(instruction.name);
        r = take_flags(&instruction, form, &rest, err);
    }
    if (r == 0) {
        instruction.rest = mem_strdup(rest);
        r = check_shape(&instruction, form, escape, err);
    }
    if (r == 0 && strcmp(form->name, "ONBUILD") == 0)
        r = check_trigger(&instruction, err);
    if (r == 0 && strcmp(form->name, "HEALTHCHECK") == 0)
        r = check_health(&instruction, escape, err);
    if (r < 0) {
        dockerfile_instruction_clear(&instruction);
        return r;
    }
    *ret = instruction;
    return 0;
}

int dockerfile_parse_trigger(const char *text, char escape, struct dockerfile_instruction *ret, struct error *err)
{
    struct dockerfile_instruction instruction = {0};

    int r = read_instruction(skip_blanks(text), 1, escape, &instruction, err);
    if (r < 0)
        return r;
    if (strcmp(instruction.name, "FROM") == 0 || strcmp(instruction.name, "ONBUILD") == 0 ||
        strcmp(instruction.name, "MAINTAINER") == 0) {
        r = error_set(err, EINVAL, "%s isn't allowed as an ONBUILD trigger", instruction.name);
        dockerfile_instruction_clear(&instruction);
        return r;
    }
    *ret = instruction;
    return 0;
}

/* --- stages ------------------------------------------------------------------------- */

static bool stage_name_valid(const char *name)
{
    if (!(*name >= 'a' && *name <= 'z'))
        return false;
    return name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.")] == '\0';
}

static int begin_stage(struct dockerfile *dockerfile, struct dockerfile_instruction *from, struct error *err)
{
    CLEANUP_STRV char **words = words_fields(from->rest);
    size_t count = strv_length(words);
    CLEANUP_FREE char *name = mem_strdup(count == 3 ? words[2] : "");

    if (count != 1 && (count != 3 || !str_equal_nocase(words[1], "as")))
        return wrong(err, from->line, "FROM requires either one or three arguments");
    for (char *c = name; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    if (*name && !stage_name_valid(name))
        return wrong(err, from->line,
                     "invalid name for build stage: \"%s\", name can't start with a number or contain symbols", name);
    for (size_t i = 0; *name && i < dockerfile->stage_count; i++)
        if (strcmp(dockerfile->stages[i].name, name) == 0)
            return error_set(err, EINVAL, "%s stage name already used", name);
    dockerfile->stages = mem_grow(dockerfile->stages, dockerfile->stage_count + 1, sizeof(*dockerfile->stages));
    dockerfile->stages[dockerfile->stage_count++] = (struct dockerfile_stage){
        .base = mem_strdup(words[0]),
        .platform = mem_strdup(dockerfile_flag(from, "platform")),
        .name = TAKE_PTR(name),
        .from = *from,
    };
    *from = (struct dockerfile_instruction){0};
    return 0;
}

static void push(struct dockerfile_instruction **list, size_t *count, struct dockerfile_instruction *instruction)
{
    *list = mem_grow(*list, *count + 1, sizeof(**list));
    (*list)[(*count)++] = *instruction;
    *instruction = (struct dockerfile_instruction){0};
}

static int add_instruction(struct dockerfile *dockerfile, struct dockerfile_instruction *instruction,
                           struct error *err)
{
    if (strcmp(instruction->name, "FROM") == 0)
        return begin_stage(dockerfile, instruction, err);
    if (dockerfile->stage_count == 0) {
        if (strcmp(instruction->name, "ARG") != 0)
            return error_set(err, EINVAL, "no build stage in current context");
        push(&dockerfile->args, &dockerfile->arg_count, instruction);
        return 0;
    }
    struct dockerfile_stage *stage = &dockerfile->stages[dockerfile->stage_count - 1];
    push(&stage->steps, &stage->step_count, instruction);
    return 0;
}

void dockerfile_append(struct dockerfile *dockerfile, const char *name, const char *rest, const char *shown)
{
    struct dockerfile_stage *stage = &dockerfile->stages[dockerfile->stage_count - 1];
    struct dockerfile_instruction instruction = {
        .name = mem_strdup(name), .original = mem_printf("%s %s", name, shown), .rest = mem_strdup(rest)};

    push(&stage->steps, &stage->step_count, &instruction);
}

/* A whole instruction: first line (in `text`) and those it goes on in. */
static int join_lines(struct dockerfile *dockerfile, struct lines *lines, struct str *text, struct error *err)
{
    CLEANUP_STR struct str line = STR_INIT;
    bool more = take_continuation(text, dockerfile->escape), gap = false;

    while (more && next_line(lines, &line)) {
        const char *start = skip_blanks(line.data);

        if (*start == '#')
            continue;
        if (*start == '\0') {
            gap = true;
            continue;
        }
        if (line.length > LINE_MAX_BYTES)
            return unread(err, "dockerfile line greater than maximum allowed size of %d", LINE_MAX_BYTES);
        more = take_continuation(&line, dockerfile->escape);
        str_append_n(text, line.data, line.length);
    }
    trim_end(text);
    if (gap)
        strv_push(&dockerfile->gaps, text->data);
    return 0;
}

static int check_text(const char *text, size_t length, struct error *err)
{
    if (length > DOCKERFILE_MAX)
        return error_set(err, EFBIG, "the Dockerfile is larger than the limit of %zu bytes", DOCKERFILE_MAX);
    if (memchr(text, '\0', length))
        return error_set(err, EINVAL, "the Dockerfile has a NUL byte in it");
    if (!str_is_utf8(text, length))
        return error_set(err, EINVAL, "the Dockerfile is not valid UTF-8");
    return 0;
}

int dockerfile_parse(const char *text, size_t length, struct dockerfile **ret, struct error *err)
{
    CLEANUP(dockerfile_freep) struct dockerfile *dockerfile = mem_new(struct dockerfile);
    CLEANUP_STR struct str line = STR_INIT;
    size_t steps = 0;

    int r = check_text(text, length, err);
    if (r < 0)
        return r;
    if (length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3;
        length -= 3;
    }
    struct lines lines = {text, text + length, 0};
    dockerfile->escape = '\\';
    r = read_directives(&lines, &dockerfile->escape, err);
    while (r == 0 && next_line(&lines, &line)) {
        struct dockerfile_instruction instruction = {0};
        CLEANUP_STR struct str whole = STR_INIT;
        const char *start = skip_blanks(line.data);
        int number = lines.number;

        if (*start == '\0' || *start == '#')
            continue;
        if (line.length > LINE_MAX_BYTES)
            return unread(err, "dockerfile line greater than maximum allowed size of %d", LINE_MAX_BYTES);
        if (++steps > DOCKERFILE_STEPS_MAX)
            return error_set(err, EINVAL, "the Dockerfile has more than %d instructions", DOCKERFILE_STEPS_MAX);
        str_append(&whole, start);
        r = join_lines(dockerfile, &lines, &whole, err);
        if (r == 0)
            r = read_instruction(whole.data, number, dockerfile->escape, &instruction, err);
        if (r == 0)
            r = add_instruction(dockerfile, &instruction, err);
        dockerfile_instruction_clear(&instruction);
    }
    if (r < 0)
        return r;
    if (steps == 0)
        return unread(err, "file with no instructions");
    if (dockerfile->stage_count == 0)
        return error_set(err, EINVAL, "no build stage in current context");
    *ret = TAKE_PTR(dockerfile);
    return 0;
}
