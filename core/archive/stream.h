/* stream.h - an archive's bytes with their compression taken off. For archive/ and image/ only.
 *
 * gzip, bzip2, xz, zstd or plain, found out by looking; compressed twice is
 * refused, so are the limits' excesses (-EFBIG) and damage (-EINVAL).
 */
#pragma once

#include "archive/archive.h"
#include "archive/digest.h"

struct archive_stream;

#define CLEANUP_STREAM CLEANUP(archive_stream_freep)
int archive_stream_open(archive_read_fn *read, void *user, const struct archive_limits *limits,
                        bool digest, struct archive_stream **ret, struct error *err);
void archive_stream_freep(struct archive_stream **stream);
/* 1 and a block, valid until the next call; 0 at the end; -errno. */
int archive_stream_next(struct archive_stream *stream, const uint8_t **ret_data, size_t *ret_length,
                        struct error *err);
uint64_t archive_stream_bytes(const struct archive_stream *stream);
/* Of all blocks given so far; once. Only if asked for at open. */
void archive_stream_digest(struct archive_stream *stream, char out[DIGEST_TEXT_MAX]);
