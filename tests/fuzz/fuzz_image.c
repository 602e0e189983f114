/* fuzz_image.c - configs, manifests, names, instructions, and whole image archives.
 *
 * The first byte chooses the reader.
 */
#include "fuzz_root.h"
#include "image/store.h"

static void fuzz_config(const char *text, size_t size)
{
    struct image_config *config = NULL;
    struct error err = ERROR_INIT;

    if (image__config_parse(text, size, &config, &err) < 0) {
        must(*err.message, "an error without a message");
        return;
    }
    must(strv_length(config->diff_ids) <= IMAGE_LAYERS_MAX, "too many layers");
    for (char **id = config->diff_ids; id && *id; id++)
        must(digest_valid(*id), "a bad digest");
    image__config_free(config);
}

static void fuzz_offers(const char *text, size_t size)
{
    struct image_offers offers = {0};

    if (image__offers_docker(text, size, &offers, NULL) == 0)
        image__offers_clear(&offers);
}

static void fuzz_descriptors(const char *text, size_t size)
{
    struct image_descriptors descriptors = {0};

    if (image__index_parse(text, size, &descriptors, NULL) == 0)
        image__descriptors_clear(&descriptors);
    if (image__manifest_parse(text, size, &descriptors, NULL) == 0)
        image__descriptors_clear(&descriptors);
}

/* What is a name stays the same name in its short and in its long form. */
static void fuzz_name(const char *text, size_t size)
{
    CLEANUP_FREE char *repository = NULL;
    CLEANUP_FREE char *tag = NULL;
    CLEANUP_FREE char *digest = NULL;
    CLEANUP_FREE char *again = NULL;
    CLEANUP_FREE char *third = NULL;
    CLEANUP_FREE char *key = NULL;

    if (image_name_parse(text, &repository, &tag, &digest, NULL) < 0)
        return;
    must(strpbrk(repository, " \n\t\\\"'") == NULL && !strstr(repository, "..") && *repository != '/', "a bad name");
    must(!tag || !strpbrk(tag, "/ \n:@"), "a bad tag");
    must(image_name_parse(repository, &again, NULL, NULL, NULL) == 0 && strcmp(again, repository) == 0, "short form");
    CLEANUP_FREE char *canonical = image_name_canonical(repository);
    must(image_name_parse(canonical, &third, NULL, NULL, NULL) == 0 && strcmp(third, repository) == 0, "long form");
    must(image__name_key(text, &key, NULL) == 0, "key");
}

static void fuzz_changes(const char *text, size_t size)
{
    CLEANUP_JSON cJSON *config = cJSON_Parse("{\"Env\":[\"A=aaa\",\"PATH=/bin\"],\"Cmd\":[\"x\"],\"Labels\":null}");
    char *changes[] = {(char *)text, NULL};
    struct error err = ERROR_INIT;

    if (image_apply_changes(config, changes, &err) < 0) {
        must(*err.message, "an error without a message");
        return;
    }
    CLEANUP_FREE char *printed = json_print(config);
    must(printed != NULL, "cannot print");
}

static void fuzz_load(const uint8_t *data, size_t size)
{
    static struct image_store *store;
    static const struct image_limits limits = {.max_unpacked_bytes = 1 << 20, .max_entries = 300};
    struct source source = {data, size};
    struct error err = ERROR_INIT;

    if (!store) {
        CLEANUP_FREE char *dir = path_join(fuzz_dir, "images");
        must(image_store_open(dir, &limits, &store, &err) == 0, err.message);
    }
    int r = image_load(store, from_source, NULL, &source, &err);
    must((r < 0) == (err.message[0] != '\0'), "an error without a message, or the other way round");
    struct image_removal removal = {0};
    int64_t reclaimed;
    must(image_prune(store, false, 0, NULL, &removal, &reclaimed, &err) == 0, err.message);
    image_removal_clear(&removal);
    must(entries_of(fuzz_fd, "images/tmp") == 0 && entries_of(fuzz_fd, "images/layers") == 0 &&
             entries_of(fuzz_fd, "images/blobs/sha256") == 0,
         "something is left behind");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const readers[])(const char *text, size_t size) = {
        fuzz_config, fuzz_offers, fuzz_descriptors, fuzz_name, fuzz_changes,
    };

    if (size < 1)
        return 0;
    if (data[0] - '0' == ARRAY_SIZE(readers)) {
        fuzz_load(data + 1, size - 1);
        return 0;
    }
    char *text = malloc(size);
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    if (data[0] >= '0' && data[0] < '0' + (int)ARRAY_SIZE(readers))
        readers[data[0] - '0'](text, size - 1);
    free(text);
    return 0;
}
