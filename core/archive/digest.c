/* digest.c - SHA-256 by nettle. Owner: archive. */
#include "archive/digest.h"

#include <nettle/sha2.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

struct digest {
    struct sha256_ctx context;
};

struct digest *digest_new(void)
{
    struct digest *digest = mem_new(struct digest);

    sha256_init(&digest->context);
    return digest;
}

void digest_free(struct digest *digest)
{
    free(digest);
}

void digest_freep(struct digest **digest)
{
    digest_free(*digest);
}

void digest_update(struct digest *digest, const void *data, size_t length)
{
    sha256_update(&digest->context, length, data);
}

void digest_finish(struct digest *digest, char out[DIGEST_TEXT_MAX])
{
    uint8_t bytes[SHA256_DIGEST_SIZE];

    sha256_digest(&digest->context, sizeof(bytes), bytes);
    memcpy(out, "sha256:", 7);
    hex_encode(bytes, sizeof(bytes), out + 7);
}

void digest_of(const void *data, size_t length, char out[DIGEST_TEXT_MAX])
{
    CLEANUP_DIGEST struct digest *digest = digest_new();

    digest_update(digest, data, length);
    digest_finish(digest, out);
}

int digest_of_fd(int fd, char out[DIGEST_TEXT_MAX])
{
    CLEANUP_DIGEST struct digest *digest = digest_new();
    CLEANUP_FREE char *buffer = mem_alloc(256 << 10);
    off_t at = 0;

    for (;;) {
        ssize_t n = pread(fd, buffer, 256 << 10, at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        digest_update(digest, buffer, (size_t)n);
        at += n;
    }
    digest_finish(digest, out);
    return 0;
}

bool digest_valid(const char *text)
{
    if (!text || strncmp(text, "sha256:", 7) != 0 || strlen(text) != 71)
        return false;
    for (const char *at = text + 7; *at; at++)
        if (!(*at >= '0' && *at <= '9') && !(*at >= 'a' && *at <= 'f'))
            return false;
    return true;
}

const char *digest_hex(const char *digest)
{
    return digest + 7;
}
