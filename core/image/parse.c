/* parse.c - image configs, docker-archive manifests, OCI indexes and manifests. Owner: image.
 *
 * Pure: text in, structs out. The text is hostile; what these return has right
 * types, bounded counts and valid digests, but names and members are only strings.
 */
#include <string.h>
#include <sys/utsname.h>

#include "base/clock.h"
#include "base/mem.h"
#include "image/store.h"

#define IMAGES_MAX 1024 /* of one archive */
#define NAMES_MAX 1024

static int parse_object(const char *text, size_t length, const char *what, cJSON **ret, struct error *err)
{
    CLEANUP_JSON cJSON *json = NULL;

    if (length > IMAGE_CONFIG_MAX)
        return error_set(err, EFBIG, "%s is too large", what);
    if (json_parse(text, length, &json, err) < 0)
        return error_prefix(err, "%s is not valid JSON", what), -EINVAL;
    if (!cJSON_IsObject(json))
        return error_set(err, EINVAL, "%s is not a JSON object", what);
    *ret = TAKE_PTR(json);
    return 0;
}

/* All strings, at most max: json_strv() would drop the others silently. */
static int strict_strings(const cJSON *array, size_t max, const char *what, char ***ret, struct error *err)
{
    CLEANUP_STRV char **list = NULL;
    size_t count = 0;
    const cJSON *item;

    if (!array || cJSON_IsNull(array)) {
        *ret = NULL;
        return 0;
    }
    if (!cJSON_IsArray(array))
        return error_set(err, EINVAL, "%s is not a list", what);
    cJSON_ArrayForEach(item, array) {
        if (!cJSON_IsString(item) || ++count > max)
            return error_set(err, EINVAL, "%s has something that is no string, or too many of them", what);
        strv_push(&list, item->valuestring);
    }
    *ret = TAKE_PTR(list);
    return 0;
}

/* --- config ---------------------------------------------------------------------- */

void image__config_free(struct image_config *config)
{
    if (!config)
        return;
    cJSON_Delete(config->json);
    strv_free(config->diff_ids);
    free(config->os);
    free(config->architecture);
    free(config->variant);
    free(config);
}

void image__config_freep(struct image_config **config)
{
    image__config_free(*config);
    *config = NULL;
}

/* The parts readers rely on: of the type Docker gives them, or absent. */
static int check_types(const cJSON *json, struct error *err)
{
    static const struct {
        const char *key;
        int type;
    } fields[] = {
        {"Env", cJSON_Array},        {"Cmd", cJSON_Array},     {"Entrypoint", cJSON_Array}, {"Shell", cJSON_Array},
        {"OnBuild", cJSON_Array},    {"Labels", cJSON_Object}, {"Volumes", cJSON_Object},   {"ExposedPorts", cJSON_Object},
        {"User", cJSON_String},      {"WorkingDir", cJSON_String}, {"StopSignal", cJSON_String}, {"Healthcheck", cJSON_Object},
    };
    const cJSON *config = json_get(json, "config");

    if (!config || cJSON_IsNull(config))
        return 0;
    if (!cJSON_IsObject(config))
        return error_set(err, EINVAL, "the image's config is not an object");
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        const cJSON *field = json_get(config, fields[i].key);
        const cJSON *item;

        if (!field || cJSON_IsNull(field))
            continue;
        if ((field->type & 0xff) != fields[i].type)
            return error_set(err, EINVAL, "the image's config has a wrong type in %s", fields[i].key);
        if (fields[i].type == cJSON_Array)
            cJSON_ArrayForEach(item, field)
                if (!cJSON_IsString(item))
                    return error_set(err, EINVAL, "the image's config has a wrong type in %s", fields[i].key);
    }
    const cJSON *label;
    cJSON_ArrayForEach(label, json_get(config, "Labels"))
        if (!cJSON_IsString(label))
            return error_set(err, EINVAL, "the image's config has a label that is no string");
    return 0;
}

int image__config_parse(const char *text, size_t length, struct image_config **ret, struct error *err)
{
    CLEANUP(image__config_freep) struct image_config *config = mem_new(struct image_config);

    int r = parse_object(text, length, "the image's config", &config->json, err);
    if (r < 0)
        return r;
    const cJSON *json = config->json;
    const cJSON *rootfs = json_get(json, "rootfs");
    if (!cJSON_IsObject(rootfs))
        return error_set(err, EINVAL, "invalid image JSON, no RootFS key");
    if (!str_equal(json_string(rootfs, "type", "layers"), "layers"))
        return error_set(err, EINVAL, "the image's root file system is not made of layers");
    r = strict_strings(json_get(rootfs, "diff_ids"), IMAGE_LAYERS_MAX, "the list of layers (125 at most)",
                       &config->diff_ids, err);
    if (r < 0)
        return r;
    for (char **id = config->diff_ids; id && *id; id++)
        if (!digest_valid(*id))
            return error_set(err, EINVAL, "the image's config names a layer by an invalid digest");
    config->os = mem_strdup(json_string(json, "os", "linux"));
    if (*config->os == '\0') {
        free(config->os);
        config->os = mem_strdup("linux");
    }
    if (strcmp(config->os, "linux") != 0)
        return error_set(err, EINVAL, "image operating system \"%s\" cannot be used on this platform", config->os);
    config->architecture = mem_strdup(json_string(json, "architecture", ""));
    config->variant = mem_strdup(json_string(json, "variant", ""));
    const char *created = json_string(json, "created", "");
    /* time_parse() also takes durations, which mean nothing here. */
    if (strlen(created) < 20 || !strchr(created, 'T') || time_parse(created, &config->created_ns) < 0)
        config->created_ns = 0;
    const cJSON *history = json_get(json, "history");
    if (history && !cJSON_IsNull(history) && !cJSON_IsArray(history))
        return error_set(err, EINVAL, "the image's history is not a list");
    r = check_types(json, err);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(config);
    return 0;
}

/* --- docker-archive ------------------------------------------------------------------ */

void image__offers_clear(struct image_offers *offers)
{
    for (size_t i = 0; i < offers->count; i++) {
        free(offers->list[i].config);
        free(offers->list[i].config_digest);
        strv_free(offers->list[i].names);
        strv_free(offers->list[i].layers);
        strv_free(offers->list[i].layer_digests);
    }
    free(offers->list);
    *offers = (struct image_offers){0};
}

int image__offers_docker(const char *text, size_t length, struct image_offers *ret, struct error *err)
{
    CLEANUP(image__offers_clear) struct image_offers offers = {0};
    CLEANUP_JSON cJSON *json = NULL;
    const cJSON *item;

    if (length > IMAGE_CONFIG_MAX)
        return error_set(err, EFBIG, "manifest.json is too large");
    if (json_parse(text, length, &json, err) < 0)
        return error_prefix(err, "manifest.json is not valid JSON"), -EINVAL;
    if (!cJSON_IsArray(json))
        return error_set(err, EINVAL, "manifest.json is not a list");
    if (cJSON_GetArraySize(json) > IMAGES_MAX)
        return error_set(err, EFBIG, "manifest.json lists more than %d images", IMAGES_MAX);
    offers.list = mem_array((size_t)cJSON_GetArraySize(json) + 1, sizeof(*offers.list));
    cJSON_ArrayForEach(item, json) {
        struct image_offer *offer = &offers.list[offers.count++];

        if (!cJSON_IsObject(item))
            return error_set(err, EINVAL, "manifest.json lists something that is no image");
        offer->config = mem_strdup(json_string(item, "Config", ""));
        if (*offer->config == '\0')
            return error_set(err, EINVAL, "manifest.json lists an image without a config");
        int r = strict_strings(json_get(item, "RepoTags"), NAMES_MAX, "RepoTags", &offer->names, err);
        if (r == 0)
            r = strict_strings(json_get(item, "Layers"), IMAGE_LAYERS_MAX, "Layers", &offer->layers, err);
        if (r < 0)
            return r;
    }
    *ret = offers;
    offers = (struct image_offers){0};
    return 0;
}

/* --- OCI -------------------------------------------------------------------------------- */

void image__descriptors_clear(struct image_descriptors *descriptors)
{
    for (size_t i = 0; i < descriptors->count; i++) {
        struct image_descriptor *each = &descriptors->list[i];

        free(each->media_type);
        free(each->name);
        free(each->os);
        free(each->architecture);
        free(each->variant);
    }
    free(descriptors->list);
    *descriptors = (struct image_descriptors){0};
}

static int push_descriptor(struct image_descriptors *descriptors, const cJSON *json, struct error *err)
{
    const char *digest = json_string(json, "digest", "");
    const cJSON *annotations = json_get(json, "annotations");
    const cJSON *platform = json_get(json, "platform");

    if (!cJSON_IsObject(json) || !digest_valid(digest))
        return error_set(err, EINVAL, "an OCI descriptor has no valid sha256 digest");
    if (descriptors->count >= IMAGES_MAX)
        return error_set(err, EFBIG, "an OCI index lists more than %d images", IMAGES_MAX);
    descriptors->list = mem_grow(descriptors->list, descriptors->count + 1, sizeof(*descriptors->list));
    struct image_descriptor *each = &descriptors->list[descriptors->count++];
    *each = (struct image_descriptor){.size = json_int(json, "size", -1), .media_type = mem_strdup(json_string(json, "mediaType", ""))};
    memcpy(each->digest, digest, DIGEST_TEXT_MAX);
    /* containerd's annotation is the whole name; OCI's own may be a mere tag. */
    const char *name = json_string(annotations, "io.containerd.image.name", NULL);
    if (!name) {
        name = json_string(annotations, "org.opencontainers.image.ref.name", NULL);
        if (name && !strpbrk(name, ":/"))
            name = NULL;
    }
    each->name = mem_strdup(name);
    each->os = mem_strdup(json_string(platform, "os", NULL));
    each->architecture = mem_strdup(json_string(platform, "architecture", NULL));
    each->variant = mem_strdup(json_string(platform, "variant", NULL));
    return 0;
}

int image__index_parse(const char *text, size_t length, struct image_descriptors *ret, struct error *err)
{
    CLEANUP(image__descriptors_clear) struct image_descriptors descriptors = {0};
    CLEANUP_JSON cJSON *json = NULL;
    const cJSON *item;

    int r = parse_object(text, length, "the OCI index", &json, err);
    if (r < 0)
        return r;
    const cJSON *manifests = json_get(json, "manifests");
    /* What can be read in two ways would be another image for every reader (CVE-2021-41190). */
    if (json_get(json, "layers") || json_get(json, "config"))
        return error_set(err, EINVAL, "the OCI index is a manifest, too: refused as ambiguous");
    if (!cJSON_IsArray(manifests))
        return error_set(err, EINVAL, "the OCI index lists no manifests");
    cJSON_ArrayForEach(item, manifests) {
        r = push_descriptor(&descriptors, item, err);
        if (r < 0)
            return r;
    }
    *ret = descriptors;
    descriptors = (struct image_descriptors){0};
    return 0;
}

int image__manifest_parse(const char *text, size_t length, struct image_descriptors *ret, struct error *err)
{
    CLEANUP(image__descriptors_clear) struct image_descriptors descriptors = {0};
    CLEANUP_JSON cJSON *json = NULL;
    const cJSON *item;

    int r = parse_object(text, length, "the OCI manifest", &json, err);
    if (r < 0)
        return r;
    if (json_get(json, "manifests"))
        return error_set(err, EINVAL, "the OCI manifest is an index, too: refused as ambiguous");
    r = push_descriptor(&descriptors, json_get(json, "config"), err);
    if (r < 0) {
        error_prefix(err, "the OCI manifest's config");
        return r;
    }
    const cJSON *layers = json_get(json, "layers");
    if (layers && !cJSON_IsArray(layers))
        return error_set(err, EINVAL, "the OCI manifest's layers are not a list");
    if (layers && cJSON_GetArraySize(layers) > IMAGE_LAYERS_MAX)
        return error_set(err, EINVAL, "max depth exceeded: the image has more than %d layers", IMAGE_LAYERS_MAX);
    cJSON_ArrayForEach(item, layers) {
        r = push_descriptor(&descriptors, item, err);
        if (r < 0)
            return r;
    }
    *ret = descriptors;
    descriptors = (struct image_descriptors){0};
    return 0;
}

bool image__is_index(const struct image_descriptor *descriptor)
{
    return str_equal(descriptor->media_type, "application/vnd.oci.image.index.v1+json") ||
           str_equal(descriptor->media_type, "application/vnd.docker.distribution.manifest.list.v2+json");
}

const char *image__host_architecture(void)
{
    static const struct {
        const char *machine, *name;
    } table[] = {
        {"x86_64", "amd64"}, {"aarch64", "arm64"}, {"armv7l", "arm"},     {"i686", "386"},
        {"ppc64le", "ppc64le"}, {"s390x", "s390x"}, {"riscv64", "riscv64"},
    };
    static _Thread_local struct utsname name;

    if (uname(&name) < 0)
        return "unknown";
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        if (strcmp(name.machine, table[i].machine) == 0)
            return table[i].name;
    return name.machine;
}
