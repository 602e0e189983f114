/* pattern.c - see pattern.h. Owner: build.
 *
 * A pattern is read into tokens, and the set of positions it can be at is carried
 * along the text: no backtracking, so no pattern is slow.
 */
#include "build/pattern.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "tabique/error.h"

#define PATTERN_MAX 4096

enum token_kind { TOKEN_CHAR, TOKEN_ANY, TOKEN_SET, TOKEN_STAR, TOKEN_DEEP, TOKEN_DEEP_SLASH };

struct token {
    enum token_kind kind;
    unsigned char c;
    uint8_t set[32]; /* bit by byte */
};

static void set_add(struct token *token, unsigned from, unsigned to)
{
    for (unsigned c = from; c <= to; c++)
        token->set[c / 8] |= (uint8_t)(1u << (c % 8));
}

/* "[...]"; returns its length, 0 where it is not closed. Bytes, not characters: a
 * range of letters beyond ASCII is the rare case not worth a table. */
static size_t read_set(const char *at, struct token *token)
{
    const char *start = at;
    bool negated = false;
    bool first = true;

    at++;
    if (*at == '^' || *at == '!') {
        negated = true;
        at++;
    }
    for (; *at && (*at != ']' || first); first = false) {
        if (*at == '\\' && at[1])
            at++;
        unsigned char from = (unsigned char)*at++, to = from;
        if (at[0] == '-' && at[1] && at[1] != ']') {
            at++;
            if (*at == '\\' && at[1])
                at++;
            to = (unsigned char)*at++;
        }
        set_add(token, from, to);
    }
    if (*at != ']')
        return 0;
    if (negated)
        for (size_t i = 0; i < sizeof(token->set); i++)
            token->set[i] = (uint8_t)~token->set[i];
    token->set['/' / 8] &= (uint8_t) ~(1u << ('/' % 8));
    return (size_t)(at - start) + 1;
}

static struct token *read_tokens(const char *pattern, unsigned flags, size_t *ret_count)
{
    size_t length = strlen(pattern), count = 0;
    struct token *tokens = mem_array(length + 1, sizeof(*tokens));

    for (const char *at = pattern; *at;) {
        struct token *token = &tokens[count];
        size_t n = 1;

        if (at[0] == '*' && at[1] == '*' && (flags & PATTERN_DEEP)) {
            while (at[n] == '*')
                n++;
            token->kind = at[n] == '/' ? TOKEN_DEEP_SLASH : TOKEN_DEEP;
            n += at[n] == '/' ? 1 : 0;
        } else if (*at == '*') {
            token->kind = TOKEN_STAR;
        } else if (*at == '?') {
            token->kind = TOKEN_ANY;
        } else if (*at == '[' && (n = read_set(at, token)) > 0) {
            token->kind = TOKEN_SET;
        } else {
            n = *at == '\\' && at[1] ? 2 : 1;
            *token = (struct token){.kind = TOKEN_CHAR, .c = (unsigned char)at[n - 1]};
        }
        at += n;
        count++;
    }
    *ret_count = count;
    return tokens;
}

/* States that a token which may match nothing leads on to. */
static void spread(const struct token *tokens, size_t count, uint8_t *states)
{
    for (size_t i = 0; i < count; i++)
        if (states[i] && (tokens[i].kind == TOKEN_STAR || tokens[i].kind == TOKEN_DEEP ||
                          (tokens[i].kind == TOKEN_DEEP_SLASH && states[i] == 1)))
            states[i + 1] |= 1;
}

/* states[i]: 1 where token i may begin, 2 in the midst of a "**" + slash. */
static void step(const struct token *tokens, size_t count, const uint8_t *from, uint8_t *to, unsigned char c)
{
    memset(to, 0, count + 1);
    for (size_t i = 0; i < count; i++) {
        const struct token *token = &tokens[i];

        if (!from[i])
            continue;
        switch (token->kind) {
        case TOKEN_CHAR:
            to[i + 1] |= token->c == c;
            break;
        case TOKEN_ANY:
            to[i + 1] |= c != '/';
            break;
        case TOKEN_SET:
            to[i + 1] |= (token->set[c / 8] >> (c % 8)) & 1;
            break;
        case TOKEN_STAR:
            to[i] |= c != '/';
            break;
        case TOKEN_DEEP:
            to[i] |= 1;
            break;
        case TOKEN_DEEP_SLASH:
            to[i] |= 2;
            to[i + 1] |= c == '/';
            break;
        }
    }
    spread(tokens, count, to);
}

bool pattern_match(const char *pattern, const char *text, unsigned flags)
{
    size_t count;

    if (strlen(pattern) > PATTERN_MAX)
        return false;
    CLEANUP_FREE struct token *tokens = read_tokens(pattern, flags, &count);
    CLEANUP_FREE uint8_t *now = mem_alloc(count + 1);
    CLEANUP_FREE uint8_t *then = mem_alloc(count + 1);

    now[0] = 1;
    spread(tokens, count, now);
    for (; *text; text++) {
        step(tokens, count, now, then, (unsigned char)*text);
        uint8_t *swap = now;
        now = then;
        then = swap;
    }
    return now[count] != 0;
}

bool pattern_has_wildcard(const char *pattern)
{
    for (; *pattern; pattern++) {
        if (*pattern == '\\' && pattern[1])
            pattern++;
        else if (strchr("*?[", *pattern))
            return true;
    }
    return false;
}

/* --- .dockerignore ------------------------------------------------------------------ */

struct ignore {
    struct rule {
        char *pattern;
        bool exception;
    } *rules;
    size_t count;
    bool exceptions;
};

void ignore_freep(struct ignore **pointer)
{
    struct ignore *ignore = TAKE_PTR(*pointer);

    for (size_t i = 0; ignore && i < ignore->count; i++)
        free(ignore->rules[i].pattern);
    free(ignore ? ignore->rules : NULL);
    free(ignore);
}

/* "/a/b/", "./a/b" and "a/b" are the same. NULL: says nothing. */
static char *clean_rule(const char *text, bool *ret_exception)
{
    CLEANUP_FREE char *copy = mem_strdup(text);
    char *at = copy;

    *ret_exception = *at == '!';
    if (*ret_exception)
        at++;
    while (*at == ' ' || *at == '\t')
        at++;
    size_t length = strlen(at);
    while (length > 0 && strchr(" \t\r", at[length - 1]))
        at[--length] = '\0';
    if (*at == '\0')
        return NULL;
    char *clean = path_clean(at);
    const char *rest = clean + strspn(clean, "/");
    char *rule = *rest && strcmp(rest, ".") != 0 ? mem_strdup(rest) : NULL;
    free(clean);
    return rule;
}

int ignore_parse(const char *text, size_t length, struct ignore **ret, struct error *err)
{
    CLEANUP(ignore_freep) struct ignore *ignore = mem_new(struct ignore);
    const char *end = text + length;

    if (length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        text += 3;
    while (text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        const char *stop = newline ? newline : end;
        CLEANUP_FREE char *line = mem_strndup(text, (size_t)(stop - text));
        const char *start = line + strspn(line, " \t");
        bool exception;

        text = newline ? newline + 1 : end;
        char *pattern = *line == '#' ? NULL : clean_rule(start, &exception);
        if (!pattern)
            continue;
        if (ignore->count == IGNORE_PATTERNS_MAX || strlen(pattern) > PATTERN_MAX) {
            free(pattern);
            return error_set(err, EINVAL, ".dockerignore has more than %d patterns, or too long a one",
                             IGNORE_PATTERNS_MAX);
        }
        ignore->rules = mem_grow(ignore->rules, ignore->count + 1, sizeof(*ignore->rules));
        ignore->rules[ignore->count++] = (struct rule){pattern, exception};
        ignore->exceptions |= exception;
    }
    *ret = TAKE_PTR(ignore);
    return 0;
}

static bool rule_matches(const char *pattern, const char *path)
{
    CLEANUP_FREE char *prefix = mem_strdup(path);

    for (;;) {
        if (pattern_match(pattern, prefix, PATTERN_DEEP))
            return true;
        char *slash = strrchr(prefix, '/');
        if (!slash)
            return false;
        *slash = '\0';
    }
}

bool ignore_matches(const struct ignore *ignore, const char *path)
{
    bool matched = false;

    for (size_t i = 0; i < ignore->count; i++)
        if (ignore->rules[i].exception == matched && rule_matches(ignore->rules[i].pattern, path))
            matched = !matched;
    return matched;
}

bool ignore_has_exceptions(const struct ignore *ignore)
{
    return ignore->exceptions;
}
