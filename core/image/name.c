/* name.c - the reference grammar of images. Owner: image.
 *
 * domain/path:tag@digest, where the first part is a domain only if it has a dot
 * or a colon, is "localhost", or could not be a path (capitals). What is not said
 * is docker.io, library/, latest. Familiar form: as short as it can be said.
 * Source: the distribution project's reference grammar.
 */
#include <ctype.h>
#include <string.h>

#include "base/mem.h"
#include "image/store.h"

#define NAME_MAX_LENGTH 255
#define TAG_MAX_LENGTH 128

static bool lower_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool word_char(char c)
{
    return lower_or_digit(c) || (c >= 'A' && c <= 'Z') || c == '_';
}

/* [a-z0-9]+ joined by ".", "_", "__" or any number of "-". */
static bool component_valid(const char *text, size_t length)
{
    size_t i = 0;

    if (length == 0 || !lower_or_digit(text[0]) || !lower_or_digit(text[length - 1]))
        return false;
    while (i < length) {
        if (lower_or_digit(text[i])) {
            i++;
            continue;
        }
        size_t run = 1;
        while (i + run < length && text[i + run] == text[i])
            run++;
        if (!(text[i] == '-' || (text[i] == '.' && run == 1) || (text[i] == '_' && run <= 2)))
            return false;
        if (!lower_or_digit(text[i + run]))
            return false;
        i += run;
    }
    return true;
}

static bool path_valid(const char *text)
{
    for (;;) {
        size_t n = strcspn(text, "/");

        if (!component_valid(text, n))
            return false;
        if (text[n] == '\0')
            return true;
        text += n + 1;
    }
}

static bool domain_valid(const char *text)
{
    size_t i = 0;

    if (text[0] == '[') { /* IPv6 */
        i = 1 + strspn(text + 1, "0123456789abcdefABCDEF:");
        if (text[i] != ']' || i == 1)
            return false;
        i++;
    } else {
        bool edge = true; /* at the start of a label, where no hyphen may be */

        for (; text[i] && text[i] != ':'; i++) {
            bool alnum = word_char(text[i]) && text[i] != '_';
            if (text[i] == '.') {
                if (edge || text[i - 1] == '-')
                    return false;
                edge = true;
            } else if (alnum) {
                edge = false;
            } else if (text[i] != '-' || edge) {
                return false;
            }
        }
        if (i == 0 || edge || text[i - 1] == '-')
            return false;
    }
    if (text[i] == '\0')
        return true;
    size_t digits = text[i] == ':' ? strspn(text + i + 1, "0123456789") : 0;
    return digits > 0 && text[i + 1 + digits] == '\0';
}

static bool tag_valid(const char *text)
{
    size_t length = strlen(text);

    if (length == 0 || length > TAG_MAX_LENGTH || !word_char(text[0]))
        return false;
    for (size_t i = 1; i < length; i++)
        if (!word_char(text[i]) && text[i] != '.' && text[i] != '-')
            return false;
    return true;
}

static bool has_upper(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (text[i] >= 'A' && text[i] <= 'Z')
            return true;
    return false;
}

/* Length of the domain at the start of text, without its slash; 0: none said. */
static size_t domain_length(const char *text)
{
    const char *slash = strchr(text, '/');

    if (!slash)
        return 0;
    size_t n = (size_t)(slash - text);
    if (memchr(text, '.', n) || memchr(text, ':', n) || has_upper(text, n) ||
        (n == strlen("localhost") && memcmp(text, "localhost", n) == 0))
        return n;
    return 0;
}

static int malformed(struct error *err)
{
    return error_set(err, EINVAL, "invalid reference format");
}

int image_name_parse(const char *text, char **ret_repository, char **ret_tag, char **ret_digest, struct error *err)
{
    if (strlen(text) > 4 * NAME_MAX_LENGTH)
        return malformed(err);
    if (strlen(text) == 64 && str_is_hex(text, 64) && !has_upper(text, 64))
        return error_set(err, EINVAL, "invalid repository name (%s), cannot specify 64-byte hexadecimal strings", text);

    size_t n = domain_length(text);
    CLEANUP_FREE char *domain = n ? mem_strndup(text, n) : mem_strdup("docker.io");
    CLEANUP_FREE char *path = mem_strdup(n ? text + n + 1 : text);
    CLEANUP_FREE char *tag = NULL;
    CLEANUP_FREE char *digest = NULL;

    char *at = strchr(path, '@');
    if (at) {
        *at = '\0';
        digest = mem_strdup(at + 1);
    }
    char *colon = strchr(path, ':');
    if (colon) {
        *colon = '\0';
        tag = mem_strdup(colon + 1);
    }
    if (strcmp(domain, "index.docker.io") == 0) {
        free(domain);
        domain = mem_strdup("docker.io");
    }
    bool hub = strcmp(domain, "docker.io") == 0;
    const char *library = hub && *path && !strchr(path, '/') ? "library/" : "";
    if (has_upper(path, strlen(path)))
        return error_set(err, EINVAL, "invalid reference format: repository name (%s%s) must be lowercase", library, path);
    if (!domain_valid(domain) || !path_valid(path) || (tag && !tag_valid(tag)))
        return malformed(err);
    if (digest && !digest_valid(digest))
        return malformed(err);
    if (strlen(domain) + 1 + strlen(library) + strlen(path) > NAME_MAX_LENGTH)
        return error_set(err, EINVAL, "repository name must not be more than %d characters", NAME_MAX_LENGTH);

    const char *familiar = path;
    if (hub && str_starts(path, "library/") && !strchr(path + strlen("library/"), '/'))
        familiar = path + strlen("library/");
    /* "docker.io/host.example/x" cannot be said shorter: it would name another one. */
    if (ret_repository)
        *ret_repository = hub && !domain_length(familiar) ? mem_strdup(familiar) : mem_printf("%s/%s", domain, path);
    if (ret_tag)
        *ret_tag = TAKE_PTR(tag);
    if (ret_digest)
        *ret_digest = TAKE_PTR(digest);
    return 0;
}

int image_name_join(const char *repository, const char *tag, char **ret, struct error *err)
{
    int r = image_name_parse(repository, NULL, NULL, NULL, err);
    if (r < 0)
        return r;
    if (!tag || *tag == '\0') {
        *ret = mem_strdup(repository);
        return 0;
    }
    bool digest = strchr(tag, ':') != NULL;
    CLEANUP_FREE char *name = mem_printf("%s%s%s", repository, digest ? "@" : ":", tag);
    if (image_name_parse(name, NULL, NULL, NULL, NULL) < 0)
        return error_set(err, EINVAL, digest ? "invalid reference format" : "invalid tag format");
    *ret = TAKE_PTR(name);
    return 0;
}

char *image_name_canonical(const char *repository)
{
    if (domain_length(repository))
        return mem_strdup(repository);
    return mem_printf("docker.io/%s%s", strchr(repository, '/') ? "" : "library/", repository);
}

int image__name_key(const char *text, char **ret, struct error *err)
{
    CLEANUP_FREE char *repository = NULL;
    CLEANUP_FREE char *tag = NULL;
    CLEANUP_FREE char *digest = NULL;

    int r = image_name_parse(text, &repository, &tag, &digest, err);
    if (r < 0)
        return r;
    *ret = digest ? mem_printf("%s@%s", repository, digest) : mem_printf("%s:%s", repository, tag ? tag : "latest");
    return 0;
}

bool image__name_is_digest(const char *key)
{
    return strchr(key, '@') != NULL;
}

char *image__name_repository(const char *key)
{
    const char *at = strchr(key, '@');

    if (!at)
        at = strrchr(key, ':');
    return at ? mem_strndup(key, (size_t)(at - key)) : mem_strdup(key);
}

const char *image__name_tag(const char *key)
{
    if (image__name_is_digest(key))
        return NULL;
    const char *colon = strrchr(key, ':');
    return colon ? colon + 1 : NULL;
}
