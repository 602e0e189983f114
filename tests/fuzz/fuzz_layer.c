/* fuzz_layer.c - any bytes as a layer: its tar comes back bit for bit, or it is said that it cannot. */
#include "archive/digest.h"
#include "fuzz_root.h"

static const struct archive_limits limits = {.max_bytes = 1 << 20, .max_entries = 300, .max_ratio = 1100};

static int hash(void *user, const void *data, size_t length)
{
    digest_update(user, data, length);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct source source = {data, size};
    struct archive_result result;
    struct error err = ERROR_INIT;
    char found[DIGEST_TEXT_MAX];

    CLEANUP_CLOSE int root = fresh_directory("root");
    CLEANUP_CLOSE int recipe = openat(fuzz_fd, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    must(recipe >= 0, "no recipe file");
    int r = archive_extract_layer(root, from_source, &source, 0, &limits, recipe, &result, &err);
    must((r < 0) == (err.message[0] != '\0'), "an error without a message, or the other way round");
    must(entries_of(fuzz_fd, ".") == 1, "something is outside");
    if (r < 0 || !result.exact)
        return 0;
    CLEANUP_DIGEST struct digest *digest = digest_new();
    if (archive_reassemble(root, recipe, hash, digest, &err) < 0)
        must(false, err.message);
    digest_finish(digest, found);
    must(strcmp(found, result.diff_id) == 0, "it came back as something else");
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    return mutate_tar(data, size, max, 0);
}
