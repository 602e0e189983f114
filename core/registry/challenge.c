/* challenge.c - see challenge.h. Owner: registry.
 *
 * Several challenges may stand in one line, parted by the commas that also part
 * their parameters: a word that no "=" follows begins a new one.
 */
#include "registry/challenge.h"

#include <string.h>

#include "base/mem.h"
#include "base/str.h"

void registry__challenges_clear(struct challenges *challenges)
{
    for (size_t i = 0; i < challenges->count; i++) {
        struct challenge *each = &challenges->list[i];

        free(each->scheme);
        free(each->realm);
        free(each->service);
        free(each->scope);
        free(each->error);
    }
    challenges->count = 0;
}

static size_t token_length(const char *text)
{
    size_t n = 0;

    while ((text[n] >= '0' && text[n] <= '9') || (text[n] >= 'A' && text[n] <= 'Z') || (text[n] >= 'a' && text[n] <= 'z') ||
           (text[n] && strchr("!#$%&'*+-.^_`|~", text[n])))
        n++;
    return n;
}

/* A quoted string or a bare value behind "="; NULL: neither. Moves *at behind it. */
static char *take_value(const char **at)
{
    CLEANUP_STR struct str value = STR_INIT;
    const char *text = *at;

    if (*text != '"') {
        size_t n = strcspn(text, ", \t");

        *at = text + n;
        return n ? mem_strndup(text, n) : NULL;
    }
    for (text++; *text && *text != '"'; text++) {
        if (*text == '\\' && text[1])
            text++;
        str_append_char(&value, *text);
    }
    if (*text != '"')
        return NULL;
    *at = text + 1;
    return str_take(&value);
}

static void set_parameter(struct challenge *challenge, const char *name, size_t length, char *value)
{
    const struct {
        const char *name;
        char **field;
    } known[] = {
        {"realm", &challenge->realm}, {"service", &challenge->service}, {"scope", &challenge->scope}, {"error", &challenge->error},
    };

    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        CLEANUP_FREE char *given = mem_strndup(name, length);

        if (!str_equal_nocase(given, known[i].name) || *known[i].field)
            continue; /* the first one counts */
        *known[i].field = value;
        return;
    }
    free(value);
}

void registry__challenges_parse(const char *header, struct challenges *into)
{
    struct challenge *current = NULL;
    const char *at = header;

    for (;;) {
        at += strspn(at, ", \t");
        size_t n = token_length(at);
        if (n == 0)
            return;
        const char *word = at, *next = at + n;
        next += strspn(next, " \t");
        if (*next != '=') {
            if (into->count == CHALLENGES_MAX)
                return;
            current = &into->list[into->count++];
            *current = (struct challenge){.scheme = mem_strndup(word, n)};
            at = word + n;
            continue;
        }
        next++;
        next += strspn(next, " \t");
        char *value = take_value(&next);
        if (!value || !current) {
            free(value);
            return;
        }
        set_parameter(current, word, n, value);
        at = next;
    }
}

const struct challenge *registry__challenges_find(const struct challenges *challenges, const char *scheme)
{
    for (size_t i = 0; i < challenges->count; i++)
        if (str_equal_nocase(challenges->list[i].scheme, scheme))
            return &challenges->list[i];
    return NULL;
}
