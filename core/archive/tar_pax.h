/* tar_pax.h - what pax records and GNU's long-name headers say of an entry. Private to archive/.
 *
 * Pure: text in, struct out. The text is hostile; numbers that are returned are in
 * range, lists have an end, names have no NUL inside.
 */
#pragma once

#include "archive/tar.h"

/* Of the next entry. */
struct tar_extras {
    char *path, *link;
    bool has_size, has_uid, has_gid, has_mtime;
    uint64_t size;
    uint32_t uid, gid;
    int64_t mtime_ns;
    struct tar_xattr *xattrs;
    size_t xattr_count;
    /* GNU.sparse.* */
    int64_t sparse_major, sparse_minor; /* -1: absent */
    char *sparse_name;
    bool has_real_size;
    uint64_t real_size;
    struct tar_extent *extents;
    size_t extent_count;
    bool sparse;
    bool expect_length; /* 0.0: an offset waits for its numbytes */
    char *gnu_path, *gnu_link;
};

void tar_extras_clear(struct tar_extras *extras);
/* A pax header's body, which it writes into; in place of what an earlier one said.
 * text[size] is NUL. */
int tar_pax_parse(struct tar_extras *extras, char *text, size_t size);
/* "" takes the value back. */
void tar_replace_text(char **text, const char *value);
/* A header's number: octal text, or GNU's base-256. */
int tar_number(const uint8_t *field, size_t length, int64_t *ret);
int tar_push_extent(struct tar_extent **extents, size_t *count, uint64_t offset, uint64_t length);
