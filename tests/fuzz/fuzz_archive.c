/* fuzz_archive.c - any bytes as an archive, into a root.
 *
 * The first byte chooses the flags. Nothing may come to be outside the root, and
 * what was unpacked can be packed, unpacked and packed to the same bytes.
 */
#include "fuzz_root.h"

#define FLAGS (ARCHIVE_LAYER | ARCHIVE_NO_OVERWRITE_DIR | ARCHIVE_KEEP_OWNER | ARCHIVE_DIFF_ID | ARCHIVE_STRICT_END)

static const struct archive_limits limits = {.max_bytes = 1 << 20, .max_entries = 300, .max_ratio = 1100};

static void pack(int root, unsigned flags, struct str *out)
{
    struct error err = ERROR_INIT;

    if (archive_create(root, "/", "", flags & ARCHIVE_LAYER, to_text, out, &err) < 0)
        must(false, err.message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP_STR struct str first = STR_INIT;
    CLEANUP_STR struct str second = STR_INIT;
    struct error err = ERROR_INIT;
    struct archive_result result;

    if (size < 1)
        return 0;
    unsigned flags = data[0] & FLAGS;
    struct source source = {data + 1, size - 1};
    CLEANUP_CLOSE int root = fresh_directory("root");
    int r = archive_extract(root, "/", from_source, &source, flags, &limits, &result, &err);
    must((r < 0) == (err.message[0] != '\0'), "an error without a message, or the other way round");
    must(entries_of(fuzz_fd, ".") == 1 || entries_of(fuzz_fd, ".") == 2, "something is outside");
    if (r < 0)
        return 0;
    must(result.entries <= limits.max_entries && result.bytes <= limits.max_bytes, "over the limits");
    pack(root, flags, &first);
    CLEANUP_CLOSE int copy = fresh_directory("copy");
    source = (struct source){(const uint8_t *)first.data, first.length};
    if (archive_extract(copy, "/", from_source, &source, (flags & ARCHIVE_LAYER) | ARCHIVE_KEEP_OWNER | ARCHIVE_STRICT_END,
                        NULL, NULL, &err) < 0)
        must(false, err.message);
    pack(copy, flags, &second);
    must(first.length == second.length && memcmp(first.data, second.data, first.length) == 0,
         "packed, unpacked and packed, it is not the same");
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    return mutate_tar(data, size, max, 1);
}
