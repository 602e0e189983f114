/* platform.c - what an image is made for, and what of several fits best. Pure. Owner: image.
 *
 * Names are Go's. A newer processor runs what was made for an older one of its
 * kind, and some run another kind's: amd64 runs 386, arm64 runs arm.
 */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "image/store.h"

#define OTHER_KIND 100 /* ranks behind all of the own kind */

void image__platform_clear(struct image_platform *platform)
{
    free(platform->os);
    free(platform->architecture);
    free(platform->variant);
    *platform = (struct image_platform){0};
}

static const struct {
    const char *written, *architecture, *variant;
} aliases[] = {
    {"x86_64", "amd64", NULL}, {"x86-64", "amd64", NULL}, {"aarch64", "arm64", NULL},
    {"armhf", "arm", "v7"},    {"armel", "arm", "v6"},    {"i386", "386", NULL},
};

static bool is_word(const char *text)
{
    for (const char *c = text; *c; c++)
        if (!((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '_' || *c == '-' || *c == '.'))
            return false;
    return *text != '\0';
}

static bool is_os(const char *text)
{
    static const char *const known[] = {"linux", "windows", "darwin", "freebsd", "netbsd", "openbsd",
                                        "solaris", "aix", "android", "dragonfly", "plan9", "wasip1", NULL};

    return strv_contains((char *const *)known, text);
}

int image__platform_parse(const char *text, struct image_platform *ret, struct error *err)
{
    CLEANUP_FREE char *lower = text && *text ? mem_strdup(text) : NULL;
    for (char *c = lower; c && *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c + 32);
    CLEANUP_STRV char **parts = lower ? strv_split(lower, '/') : NULL;
    size_t count = strv_length(parts);

    if (count > 3)
        return error_set(err, EINVAL, "\"%s\": cannot parse platform specifier: invalid argument", text);
    for (size_t i = 0; i < count; i++)
        if (!is_word(parts[i]))
            return error_set(err, EINVAL, "\"%s\" is an invalid component of \"%s\": platform specifier component must match "
                             "\"^[A-Za-z0-9_.-]+$\": invalid argument", parts[i], text);
    bool only_architecture = count == 1 && !is_os(parts[0]);
    const char *architecture = only_architecture ? parts[0] : count >= 2 ? parts[1] : image__host_architecture();
    const char *variant = count == 3 ? parts[2] : NULL;
    for (size_t i = 0; i < ARRAY_SIZE(aliases); i++)
        if (strcmp(architecture, aliases[i].written) == 0) {
            architecture = aliases[i].architecture;
            variant = variant ? variant : aliases[i].variant;
        }
    ret->os = mem_strdup(count == 0 || only_architecture ? "linux" : parts[0]);
    ret->architecture = mem_strdup(architecture);
    ret->variant = mem_strdup(variant);
    return 0;
}

char *image__platform_text(const struct image_platform *platform)
{
    return mem_printf("%s/%s%s%s", platform->os, platform->architecture, platform->variant ? "/" : "",
                      platform->variant ? platform->variant : "");
}

/* "v7" is 7; none is what the kind had when variants began. -1: no number. */
static int level(const char *architecture, const char *variant)
{
    static const struct {
        const char *architecture;
        int level;
    } firsts[] = {{"amd64", 1}, {"arm64", 8}, {"arm", 7}};
    int number;

    if (variant && *variant)
        return variant[0] == 'v' && str_to_int(variant + 1, 0, 99, &number) == 0 ? number : -1;
    for (size_t i = 0; i < ARRAY_SIZE(firsts); i++)
        if (strcmp(firsts[i].architecture, architecture) == 0)
            return firsts[i].level;
    return 0;
}

int image__platform_rank(const struct image_platform *wanted, const char *os, const char *architecture, const char *variant)
{
    if (strcmp(wanted->os, os) != 0)
        return -1;
    int have = level(architecture, variant), want = level(wanted->architecture, wanted->variant);
    if (strcmp(wanted->architecture, architecture) == 0) {
        if (have < 0 || want < 0)
            return str_equal(wanted->variant, variant) ? 0 : -1;
        return have <= want ? want - have : -1;
    }
    if (strcmp(wanted->architecture, "amd64") == 0 && strcmp(architecture, "386") == 0)
        return OTHER_KIND;
    if (strcmp(wanted->architecture, "arm64") == 0 && strcmp(architecture, "arm") == 0 && have >= 0 && have <= 8)
        return OTHER_KIND + 8 - have;
    return -1;
}

int image_platform_check(const char *text, struct error *err)
{
    CLEANUP(image__platform_clear) struct image_platform platform = {0};

    return image__platform_parse(text, &platform, err);
}
