/* fuzz_registry.c - what registries and clients say: challenges, credentials, manifests, platforms.
 *
 * The first byte chooses the reader.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/mem.h"
#include "image/remote.h"
#include "registry/challenge.h"
#include "registry/credentials.h"
#include "tabique/error.h"

static void must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "%s\n", what);
    abort();
}

static void fuzz_challenge(const char *text, size_t size)
{
    struct challenges found = {0};

    registry__challenges_parse(text, &found);
    registry__challenges_parse(text, &found);
    must(found.count <= CHALLENGES_MAX, "too many challenges");
    for (size_t i = 0; i < found.count; i++) {
        must(*found.list[i].scheme != '\0', "a challenge without a scheme");
        must(registry__challenges_find(&found, found.list[i].scheme) != NULL, "a challenge that is not found");
    }
    registry__challenges_clear(&found);
}

/* A header of ours must stay one line, whatever the client's password is. */
static void fuzz_credentials(const char *text, size_t size)
{
    struct registry_credentials found = {0}, chosen = {0};
    struct error err = ERROR_INIT;

    if (registry_credentials_parse(text, &found, &err) == 0) {
        CLEANUP_FREE char *basic = registry__credentials_basic(&found);

        must(!basic || !strpbrk(basic, "\r\n"), "a header of two lines");
        must(!found.registry_token || registry__credentials_token_valid(found.registry_token), "a bad token");
        registry_credentials_clear(&found);
    } else {
        must(*err.message, "an error without a message");
    }
    if (registry_credentials_choose(text, "docker.io", &chosen, NULL) == 0)
        registry_credentials_clear(&chosen);
}

/* The same, past the base64. */
static void fuzz_credentials_json(const char *text, size_t size)
{
    CLEANUP_FREE char *header = base64_encode(text, size);
    CLEANUP_FREE char *again = base64_decode(header, NULL);

    must(again && memcmp(again, text, size) == 0, "base64 does not come back");
    fuzz_credentials(header, strlen(header));
}

static void fuzz_manifest(const char *text, size_t size)
{
    static const char *const types[] = {NULL, MEDIA_MANIFEST, MEDIA_INDEX, "application/json"};

    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        const struct registry_manifest manifest = {.text = (char *)text, .length = size, .media_type = (char *)types[i]};
        struct image_descriptors parts = {0};
        enum image_manifest_kind kind = MANIFEST_IMAGE;
        struct error err = ERROR_INIT;

        if (image__manifest_kind(&manifest, "fuzz", &kind, &err) < 0) {
            must(*err.message, "an error without a message");
            continue;
        }
        int index = image__index_parse(text, size, &parts, NULL);
        image__descriptors_clear(&parts);
        int image = image__manifest_parse(text, size, &parts, NULL);
        for (size_t k = 0; k < parts.count; k++)
            must(digest_valid(parts.list[k].digest), "a bad digest");
        image__descriptors_clear(&parts);
        must(index < 0 || image < 0, "index and manifest in one");
    }
}

static void fuzz_platform(const char *text, size_t size)
{
    struct image_platform platform = {0}, again = {0};

    if (image__platform_parse(text, &platform, NULL) < 0)
        return;
    CLEANUP_FREE char *written = image__platform_text(&platform);
    must(image__platform_parse(written, &again, NULL) == 0, "a platform that is not read back");
    CLEANUP_FREE char *twice = image__platform_text(&again);
    must(strcmp(written, twice) == 0, "a platform that changes");
    must(image__platform_rank(&platform, platform.os, platform.architecture, platform.variant) == 0, "a platform that is not itself");
    image__platform_clear(&platform);
    image__platform_clear(&again);
}

static void fuzz_reference(const char *text, size_t size)
{
    struct image_reference reference = {0};

    if (image__reference_parse(text, &reference, NULL) < 0)
        return;
    must(*reference.domain && !strpbrk(reference.domain, "/@?# \r\n"), "a bad domain");
    must(*reference.path && *reference.path != '/' && !strstr(reference.path, "..") && !strpbrk(reference.path, "?#@ \r\n"), "a bad path");
    image__reference_clear(&reference);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const readers[])(const char *text, size_t size) = {
        fuzz_challenge, fuzz_credentials, fuzz_credentials_json, fuzz_manifest, fuzz_platform, fuzz_reference,
    };

    if (size < 1 || data[0] < '0' || data[0] >= '0' + (int)ARRAY_SIZE(readers))
        return 0;
    char *text = malloc(size);
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    readers[data[0] - '0'](text, data[0] == '2' || data[0] == '3' ? size - 1 : strlen(text));
    free(text);
    return 0;
}
