/* remote.c - what pull and push share, and looking at an image where it is. Owner: image. */
#include "image/remote.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "tabique/registry.h"

void image__reference_clear(struct image_reference *reference)
{
    free(reference->repository);
    free(reference->domain);
    free(reference->path);
    free(reference->tag);
    free(reference->digest);
    *reference = (struct image_reference){0};
}

int image__reference_parse(const char *text, struct image_reference *ret, struct error *err)
{
    CLEANUP(image__reference_clear) struct image_reference found = {0};

    int r = image_name_parse(text, &found.repository, &found.tag, &found.digest, err);
    if (r < 0)
        return r;
    CLEANUP_FREE char *canonical = image_name_canonical(found.repository);
    char *slash = strchr(canonical, '/');
    found.domain = mem_strndup(canonical, (size_t)(slash - canonical));
    found.path = mem_strdup(slash + 1);
    *ret = found;
    found = (struct image_reference){0};
    return 0;
}

bool image__stop_asked(void *user)
{
    struct image_stop *stop = user;

    if (pthread_equal(pthread_self(), stop->owner) && stop->remote->cancelled && stop->remote->cancelled(stop->remote->user))
        atomic_store(&stop->stop, true);
    return atomic_load(&stop->stop);
}

void image__report(const struct image_remote *remote, const char *id, const char *format, ...)
{
    CLEANUP_STR struct str text = STR_INIT;
    va_list args;

    if (!remote->report)
        return;
    va_start(args, format);
    str_vprintf(&text, format, args);
    va_end(args);
    const struct image_report report = {.id = id, .status = text.data};
    remote->report(remote->user, &report);
}

int image__manifest_kind(const struct registry_manifest *manifest, const char *name, enum image_manifest_kind *ret, struct error *err)
{
    CLEANUP_JSON cJSON *json = NULL;

    if (json_parse(manifest->text ? manifest->text : "", manifest->length, &json, err) < 0) {
        error_prefix(err, "the manifest of %s is not valid JSON", name);
        return -EINVAL;
    }
    const char *said = manifest->media_type ? manifest->media_type : "", *inside = json_string(json, "mediaType", NULL);
    if (json_int(json, "schemaVersion", 0) == 1 || strstr(said, "distribution.manifest.v1+"))
        return error_set(err, ENOTSUP,
                         "the image %s is in the format of 2016 (manifest version 2, schema 1), which is not supported any more: "
                         "whoever makes it has to push it again with a newer tool", name);
    /* What is not called anything is told by its shape. */
    if (*said == '\0' || strcmp(said, "application/json") == 0 || strcmp(said, "text/plain") == 0)
        said = inside ? inside : json_get(json, "manifests") ? MEDIA_INDEX : MEDIA_OCI_MANIFEST;
    if (inside && strcmp(inside, said) != 0)
        return error_set(err, EINVAL, "the manifest of %s calls itself %.100s, and its registry calls it %.100s: refused as ambiguous",
                         name, inside, said);
    if (strcmp(said, MEDIA_INDEX) == 0 || strcmp(said, MEDIA_LIST) == 0)
        *ret = MANIFEST_INDEX;
    else if (strcmp(said, MEDIA_OCI_MANIFEST) == 0 || strcmp(said, MEDIA_MANIFEST) == 0)
        *ret = MANIFEST_IMAGE;
    else
        return error_set(err, EINVAL, "unsupported manifest media type %.100s", said);
    return 0;
}

int image__refused(const struct image_reference *reference, enum registry_fault fault, int r, struct error *err)
{
    CLEANUP_FREE char *text = mem_strdup(err ? err->message : "");
    const char *cause = strchr(text, ':') ? strchr(text, ':') + 1 + strspn(strchr(text, ':') + 1, " ") : text;

    switch (fault) {
    case FAULT_DENIED:
        return error_set(err, ENOENT, "pull access denied for %s, repository does not exist or may require authorization: %s",
                         reference->repository, cause);
    case FAULT_MANIFEST_UNKNOWN:
        return error_set(err, ENOENT, "manifest for %s%s%s not found: %s", reference->repository, reference->digest ? "@" : ":",
                         reference->digest ? reference->digest : reference->tag ? reference->tag : "latest", text);
    case FAULT_NAME_UNKNOWN:
        return error_set(err, ENOENT, "repository %s not found: %s", reference->repository, text);
    case FAULT_UNAUTHORIZED:
        /* Docker's 500, not 401: it is not the client who is unknown here. */
        return error_set(err, EIO, "%s", text);
    default:
        return r;
    }
}

/* --- looking -------------------------------------------------------------------------------- */

static void add_platform(cJSON *list, const char *os, const char *architecture, const char *variant)
{
    cJSON *platform = cJSON_CreateObject();

    json_add_string(platform, "architecture", architecture ? architecture : "");
    json_add_string(platform, "os", os ? os : "");
    if (variant && *variant)
        json_add_string(platform, "variant", variant);
    cJSON_AddItemToArray(list, platform);
}

static int add_platforms(struct session *session, struct http *http, const struct registry_manifest *manifest,
                         enum image_manifest_kind kind, cJSON *list, struct error *err)
{
    CLEANUP(image__descriptors_clear) struct image_descriptors parts = {0};
    CLEANUP_FREE char *text = NULL;
    CLEANUP_JSON cJSON *json = NULL;
    size_t length = 0;

    int r = kind == MANIFEST_INDEX ? image__index_parse(manifest->text, manifest->length, &parts, err)
                                   : image__manifest_parse(manifest->text, manifest->length, &parts, err);
    if (r < 0)
        return r;
    if (kind == MANIFEST_INDEX) {
        for (size_t i = 0; i < parts.count; i++)
            add_platform(list, parts.list[i].os, parts.list[i].architecture, parts.list[i].variant);
        return 0;
    }
    r = registry_blob_text(session, http, parts.list[0].digest, parts.list[0].size, IMAGE_CONFIG_MAX, &text, &length, err);
    if (r == 0)
        r = json_parse(text, length, &json, err);
    if (r == 0)
        add_platform(list, json_string(json, "os", NULL), json_string(json, "architecture", NULL), json_string(json, "variant", NULL));
    return r;
}

bool image__elsewhere(const struct endpoint *endpoint, int r, struct error *err)
{
    if (r == 0 || r == -ECANCELED || !endpoint->mirror)
        return false;
    if (err)
        *err = ERROR_INIT;
    return true;
}

/* One of the places where it may be. */
static int inspect_at(const struct image_remote *remote, const struct image_reference *reference, const char *name,
                      const struct endpoints *endpoints, size_t at, cJSON **ret, struct error *err)
{
    CLEANUP(registry_manifest_clear) struct registry_manifest manifest = {0};
    CLEANUP_SESSION struct session *session = NULL;
    CLEANUP_JSON cJSON *json = cJSON_CreateObject();
    CLEANUP_FREE char *scope = mem_printf("repository:%s:pull", reference->path);
    const char *const scopes[] = {scope, NULL};
    struct image_stop stop = {.remote = remote, .owner = pthread_self()};
    enum image_manifest_kind kind = MANIFEST_IMAGE;
    enum registry_fault fault = FAULT_NONE;

    int r = registry_session_open(remote->registry, endpoints, at, reference->path, scopes, remote->credentials,
                                  (struct registry_cancel){image__stop_asked, &stop}, &session, &fault, err);
    if (r < 0)
        return r;
    CLEANUP_HTTP struct http *http = registry_session_http(session);
    const char *which = reference->digest ? reference->digest : reference->tag ? reference->tag : "latest";
    r = registry_manifest_get(session, http, which, &manifest, &fault, err);
    if (r < 0 && fault == FAULT_UNAUTHORIZED) /* 500: the client is known here, if not there */
        return err ? -(err->code = EIO) : -EIO;
    if (r == 0)
        r = image__manifest_kind(&manifest, name, &kind, err);
    if (r < 0)
        return r;
    cJSON *descriptor = json_add_object(json, "Descriptor");
    json_add_string(descriptor, "mediaType", manifest.media_type ? manifest.media_type : "");
    json_add_string(descriptor, "digest", manifest.digest);
    json_add_int(descriptor, "size", (int64_t)manifest.length);
    r = add_platforms(session, http, &manifest, kind, json_add_array(json, "Platforms"), err);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(json);
    return 0;
}

int image_inspect_remote(const struct image_remote *remote, const char *name, cJSON **ret, struct error *err)
{
    CLEANUP(image__reference_clear) struct image_reference reference = {0};
    CLEANUP(registry_endpoints_clear) struct endpoints endpoints = {0};

    if (str_starts(name, "sha256:") && str_is_hex(name + 7, 64))
        return error_set(err, EINVAL, "no manifest found for full image ID");
    int r = image__reference_parse(name, &reference, err);
    if (r == 0)
        r = registry_endpoints_find(remote->registry, reference.domain, true, &endpoints, err);
    for (size_t i = 0; r == 0 && i < endpoints.count; i++) {
        if (endpoints.list[i].alternative)
            continue;
        r = inspect_at(remote, &reference, name, &endpoints, i, ret, err);
        if (!image__elsewhere(&endpoints.list[i], r, err))
            break;
        r = 0;
    }
    return r;
}
