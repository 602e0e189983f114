/* fuzz_fuse.c - a guest's FUSE messages before libfuse sees them: the check must not
 * read beyond a message, and one that passes must have the shape its operation has. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"

#include <linux/fuse.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* Exactly as long as it is, so that one byte too far is seen. */
    uint8_t *message = malloc(size ? size : 1);

    memcpy(message, data, size);
    /* Random lengths hardly ever fit: every other input has its right one. */
    if (size >= sizeof(struct fuse_in_header) && data[4] & 0x80) {
        uint32_t length = (uint32_t)size;
        memcpy(message, &length, sizeof(length));
        message[4] &= 0x7f;
    }
    if (message_is_well_formed(message, size)) {
        struct fuse_in_header header;
        memcpy(&header, message, sizeof(header));
        if (header.len != size)
            abort();
        if (header.opcode == FUSE_LOOKUP && !memchr(message + sizeof(header), 0, size - sizeof(header)))
            abort();
        if (header.opcode == FUSE_WRITE) {
            struct fuse_write_in in;
            memcpy(&in, message + sizeof(header), sizeof(in));
            if (in.size > size - sizeof(header) - sizeof(in))
                abort();
        }
    }
    free(message);
    return 0;
}
