/* digest.h - SHA-256 as images name things: "sha256:" and 64 hex digits.
 *
 * By nettle, which uses the CPU's SHA instructions (docs/adr/0002). A struct
 * digest belongs to one thread at a time. Never fails: out of memory aborts.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

struct error;

#define DIGEST_TEXT_MAX 72 /* "sha256:" + 64 + NUL, and no more */

struct digest;

#define CLEANUP_DIGEST CLEANUP(digest_freep)
struct digest *digest_new(void);
void digest_free(struct digest *digest);
void digest_freep(struct digest **digest);
void digest_update(struct digest *digest, const void *data, size_t length);
void digest_finish(struct digest *digest, char out[DIGEST_TEXT_MAX]); /* once */

void digest_of(const void *data, size_t length, char out[DIGEST_TEXT_MAX]);
/* Of a file from its start to its end, by pread(). */
int digest_of_fd(int fd, char out[DIGEST_TEXT_MAX]);

/* "sha256:" and exactly 64 lower-case hex digits. */
bool digest_valid(const char *text);
/* The hex digits of a valid digest. */
const char *digest_hex(const char *digest);
