/* fuzz_dockerfile.c - Dockerfiles, words, .dockerignore and patterns.
 *
 * The first byte chooses the reader.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "build/dockerfile.h"
#include "build/pattern.h"
#include "image/instructions.h"
#include "image/words.h"
#include "tabique/error.h"

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

static void check_instruction(const struct dockerfile_instruction *instruction)
{
    must(instruction->name && instruction->original && instruction->rest, "an instruction without its parts");
    must(str_starts(instruction->original, instruction->name), "shown under another name");
    for (const char *c = instruction->name; *c; c++)
        must(!islower((unsigned char)*c), "a name in lower case");
}

/* What parses is applied as far as no files are needed, with what was applied before. */
static void apply(const struct dockerfile *dockerfile, const struct dockerfile_stage *stage)
{
    CLEANUP_JSON cJSON *config = cJSON_Parse("{\"Env\":[\"A=aaa\",\"PATH=/bin\"],\"Cmd\":[\"x\"]}");
    char *args[] = {(char *)"B=b", NULL};
    struct image_changing changing = {.config = config, .args = args, .escape = dockerfile->escape};

    for (size_t i = 0; i < stage->step_count; i++) {
        const struct dockerfile_instruction *step = &stage->steps[i];
        struct error err = ERROR_INIT;

        check_instruction(step);
        if (image_instruction_known(step->name) && image_instruction_apply(&changing, step->name, step->rest, &err) < 0) {
            must(*err.message, "an error without a message");
            return;
        }
    }
    CLEANUP_FREE char *printed = json_print(config);
    must(printed != NULL, "cannot print");
}

static void fuzz_parse(const char *text, size_t size)
{
    struct dockerfile *dockerfile = NULL;
    struct error err = ERROR_INIT;

    if (dockerfile_parse(text, size, &dockerfile, &err) < 0) {
        must(*err.message, "an error without a message");
        return;
    }
    must(dockerfile->stage_count > 0 && (dockerfile->escape == '\\' || dockerfile->escape == '`'), "no stage");
    for (size_t i = 0; i < dockerfile->stage_count; i++) {
        const struct dockerfile_stage *stage = &dockerfile->stages[i];

        must(*stage->base != '\0', "a stage without a base");
        if (*stage->name)
            must(dockerfile_find_stage(dockerfile, stage->name) == (int)i, "a stage that is not found");
        apply(dockerfile, stage);
    }
    dockerfile_append(dockerfile, "LABEL", "\"a\"=\"b\"", "a=b");
    dockerfile_cut(dockerfile, 1);
    dockerfile_freep(&dockerfile);
}

static void fuzz_trigger(const char *text, size_t size)
{
    struct dockerfile_instruction instruction = {0};

    if (dockerfile_parse_trigger(text, '\\', &instruction, NULL) < 0)
        return;
    check_instruction(&instruction);
    dockerfile_instruction_clear(&instruction);
}

static void fuzz_words(const char *text, size_t size)
{
    CLEANUP_JSON cJSON *env = cJSON_Parse("[\"A=a\",\"EMPTY=\"]");
    struct words_scope scope = {env, NULL, '\\'};
    CLEANUP_FREE char *expanded = NULL;
    CLEANUP_STRV char **words = words_split(text, '\\');
    CLEANUP_STRV char **fields = words_fields(text);
    struct error err = ERROR_INIT;

    if (words_expand(&scope, text, &expanded, &err) < 0)
        must(*err.message, "an error without a message");
    must(strv_length(words) <= strv_length(fields), "quotes made more words");
    cJSON_Delete(words_list(text));
}

/* The first line is a path. */
static void fuzz_ignore(const char *text, size_t size)
{
    struct ignore *ignore = NULL;
    size_t n = strcspn(text, "\n");
    CLEANUP_FREE char *path = mem_strndup(text, n);

    if (n == strlen(text) || ignore_parse(text + n + 1, strlen(text + n + 1), &ignore, NULL) < 0)
        return;
    ignore_matches(ignore, path);
    ignore_freep(&ignore);
    must(pattern_match("**", path, PATTERN_DEEP), "** does not match all");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const readers[])(const char *text, size_t size) = {fuzz_parse, fuzz_trigger, fuzz_words, fuzz_ignore};

    if (size < 1 || data[0] < '0' || data[0] >= '0' + (int)ARRAY_SIZE(readers))
        return 0;
    char *text = malloc(size);
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    readers[data[0] - '0'](text, size - 1);
    free(text);
    return 0;
}
