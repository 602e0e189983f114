/* words.c - see words.h. Owner: image. */
#include "image/words.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "tabique/error.h"

#define SHOWN_MAX 200
#define DEPTH_MAX 32 /* of ${a:-${b:-...}} */

struct expansion {
    const struct words_scope *scope;
    const char *word; /* the whole, for messages */
    const char *at;
    struct error *err;
    int depth;
};

static bool is_variable(const char *text, const char *name, size_t length)
{
    return strncmp(text, name, length) == 0 && text[length] == '=';
}

const char *words_variable(const struct words_scope *scope, const char *name, size_t length)
{
    const char *found = NULL;
    const cJSON *item;

    cJSON_ArrayForEach(item, scope->env)
        if (cJSON_IsString(item) && is_variable(item->valuestring, name, length))
            return item->valuestring + length + 1;
    for (char *const *arg = scope->args; arg && *arg; arg++)
        if (is_variable(*arg, name, length))
            found = *arg + length + 1; /* the last one counts */
    return found;
}

static size_t name_length(const char *at)
{
    size_t n = 0;

    if (isalpha((unsigned char)*at) || *at == '_')
        while (isalnum((unsigned char)at[n]) || at[n] == '_')
            n++;
    else if (isdigit((unsigned char)*at))
        while (isdigit((unsigned char)at[n]))
            n++;
    else if (*at && strchr("@*#?-$!", *at))
        n = 1;
    return n;
}

/* The reason must be seen, however long the word is. */
static int fail(struct expansion *ex, const char *why)
{
    size_t shown = str_cut_utf8(ex->word, SHOWN_MAX);

    return error_set(ex->err, EINVAL, "failed to process \"%.*s%s\": %s", (int)shown, ex->word,
                     ex->word[shown] ? "..." : "", why);
}

static int expand_until(struct expansion *ex, char stop, struct str *out);

/* Behind "${NAME": a modifier, its word, and the closing brace. */
static int expand_modifier(struct expansion *ex, const char *name, size_t length, struct str *out)
{
    CLEANUP_STR struct str word = STR_INIT;
    const char *value = words_variable(ex->scope, name, length);
    bool colon = *ex->at == ':';
    char modifier = ex->at[colon ? 1 : 0];

    if (!modifier)
        return fail(ex, "syntax error: missing '}'");
    if (!strchr("-+?", modifier)) {
        CLEANUP_FREE char *why = mem_printf("unsupported modifier (%c) in substitution", modifier);

        return fail(ex, why);
    }
    ex->at += colon ? 2 : 1;
    int r = expand_until(ex, '}', &word);
    if (r < 0)
        return r;
    const char *text = word.data ? word.data : "";
    bool set = value && (!colon || *value);
    if (modifier == '?' && !set)
        return error_set(ex->err, EINVAL, "failed to process \"%s\": %.*s: %s", ex->word, (int)length, name,
                         *text ? text : "parameter not set or empty");
    if (modifier == '+')
        str_append(out, set ? text : "");
    else
        str_append(out, set ? value : text);
    return 0;
}

/* At a dollar. */
static int expand_variable(struct expansion *ex, struct str *out)
{
    bool braces = *++ex->at == '{';
    const char *name = ex->at + (braces ? 1 : 0);
    size_t n = name_length(name);

    if (!braces && n == 0) { /* a dollar before anything else is a dollar */
        str_append_char(out, '$');
        return 0;
    }
    if (n == 0)
        return fail(ex, *name == '}' ? "unsupported substitution: no name" : "unsupported substitution");
    ex->at = name + n;
    if (braces && *ex->at == '\0')
        return fail(ex, "syntax error: missing '}'");
    if (braces && *ex->at != '}')
        return expand_modifier(ex, name, n, out);
    const char *value = words_variable(ex->scope, name, n);
    str_append(out, value ? value : "");
    ex->at += braces ? 1 : 0;
    return 0;
}

/* To the stop character (taken, too) or, where that is NUL, the end. */
static int expand_until(struct expansion *ex, char stop, struct str *out)
{
    char escape = ex->scope->escape, quote = '\0';
    int r = 0;

    if (++ex->depth > DEPTH_MAX)
        return fail(ex, "substitutions are nested too deeply");
    while (*ex->at && (quote || *ex->at != stop)) {
        if (*ex->at == quote) {
            quote = '\0';
            ex->at++;
        } else if (!quote && (*ex->at == '\'' || *ex->at == '"')) {
            quote = *ex->at++;
        } else if (*ex->at == escape && quote != '\'') {
            const char next = ex->at[1];

            if (quote && next != '"' && next != '$' && next != escape)
                str_append_char(out, escape);
            if (next)
                str_append_char(out, next);
            ex->at += next ? 2 : 1;
        } else if (*ex->at == '$' && quote != '\'') {
            r = expand_variable(ex, out);
            if (r < 0)
                return r;
        } else {
            str_append_char(out, *ex->at++);
        }
        if (out->length > WORDS_LENGTH_MAX)
            return error_set(ex->err, EINVAL, "an instruction expands to too long a text");
    }
    if (quote)
        return fail(ex, quote == '"' ? "unexpected end of statement while looking for matching double-quote"
                                     : "unexpected end of statement while looking for matching single-quote");
    if (stop && *ex->at != stop)
        return fail(ex, "syntax error: missing '}'");
    if (stop)
        ex->at++;
    ex->depth--;
    return 0;
}

int words_expand(const struct words_scope *scope, const char *word, char **ret, struct error *err)
{
    struct expansion ex = {.scope = scope, .word = word, .at = word, .err = err};
    CLEANUP_STR struct str out = STR_INIT;

    str_append(&out, "");
    int r = expand_until(&ex, '\0', &out);
    if (r == 0)
        *ret = str_take(&out);
    return r;
}

char **words_split(const char *text, char escape)
{
    char **words = NULL;

    while (*text) {
        while (isspace((unsigned char)*text))
            text++;
        const char *start = text;
        char quote = '\0';
        while (*text && (quote || !isspace((unsigned char)*text))) {
            if (*text == escape && quote != '\'' && text[1])
                text++;
            else if (quote ? *text == quote : (*text == '"' || *text == '\''))
                quote = quote ? '\0' : *text;
            text++;
        }
        if (text > start)
            strv_take(&words, mem_strndup(start, (size_t)(text - start)));
    }
    return words;
}

char **words_fields(const char *text)
{
    char **words = NULL;

    while (*text) {
        while (isspace((unsigned char)*text))
            text++;
        const char *start = text;
        while (*text && !isspace((unsigned char)*text))
            text++;
        if (text > start)
            strv_take(&words, mem_strndup(start, (size_t)(text - start)));
    }
    return words;
}

cJSON *words_list(const char *text)
{
    CLEANUP_JSON cJSON *json = NULL;
    const cJSON *item;

    if (*text != '[' || json_parse(text, strlen(text), &json, NULL) < 0 || !cJSON_IsArray(json))
        return NULL;
    cJSON_ArrayForEach(item, json)
        if (!cJSON_IsString(item))
            return NULL;
    return TAKE_PTR(json);
}
