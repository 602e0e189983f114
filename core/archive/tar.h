/* tar.h - tar entries, read and written byte for byte.
 *
 * Reads v7, ustar, star, GNU (long names, sparse files, base-256 numbers) and pax
 * (including the sparse formats 0.0, 0.1 and 1.0 and SCHILY.xattr), with the
 * meaning Go's archive/tar gives them, since that is what made and will read the
 * images. Writes ustar with pax records where needed.
 * Names are bytes: no locale, no Unicode normalisation.
 * Sources: POSIX pax, the GNU tar manual. Threads: one per reader or writer.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "archive/archive.h"

struct archive_stream;
struct error;
struct str;

#define TAR_BLOCK_SIZE 512u
#define TAR_SPECIAL_MAX (1u << 20)   /* bytes of one pax or long-name header, as Go */
#define TAR_EXTENTS_MAX (1u << 20)   /* pieces of one sparse file */

enum tar_type {
    TAR_FILE,
    TAR_HARD_LINK,
    TAR_SYMLINK,
    TAR_CHARACTER,
    TAR_BLOCK,
    TAR_DIRECTORY,
    TAR_FIFO,
};

struct tar_xattr {
    char *name;
    void *value;
    size_t length;
};

struct tar_extent {
    uint64_t offset, length;
};

struct tar_entry {
    enum tar_type type;
    char *path; /* as it stands in the archive */
    char *link; /* target of a hard or symbolic link, else "" */
    uint32_t mode; /* permission bits with setuid, setgid, sticky */
    uint32_t uid, gid;
    int64_t mtime_ns;
    uint64_t size; /* of a file, with its holes */
    uint32_t major, minor;
    struct tar_xattr *xattrs;
    size_t xattr_count;
    bool sparse; /* data comes in pieces: tar_data()'s offsets matter */
};

/* --- reading --------------------------------------------------------------- */
struct tar_reader;

/* Sees, in order, every byte of the stream but the claimed contents of files. */
typedef int tar_tap_fn(void *user, const void *data, size_t length);

struct tar_reader *tar_reader_new(struct archive_stream *stream); /* borrows the stream */
void tar_reader_freep(struct tar_reader **reader);
void tar_set_tap(struct tar_reader *reader, tar_tap_fn *tap, void *user);
/* 1 and the next entry, the reader's own until the next call; 0 at the end; -errno. */
int tar_next(struct tar_reader *reader, const struct tar_entry **ret, struct error *err);
/* 1 and a piece of the current entry's data; 0 when there is no more; -errno. */
int tar_data(struct tar_reader *reader, const void **ret_data, size_t *ret_length, uint64_t *ret_offset,
             struct error *err);
/* The caller takes the contents of this (not sparse) file: the tap does not see them. */
void tar_claim(struct tar_reader *reader);
/* Reads to the stream's end, behind the tar's own. */
int tar_drain(struct tar_reader *reader, struct error *err);
/* After the end: whether the archive had its closing zero blocks (or no byte at all). */
bool tar_had_end(const struct tar_reader *reader);

/* --- writing --------------------------------------------------------------- */
struct tar_writer {
    archive_write_fn *write;
    void *user;
    uint64_t left;    /* data still owed for the current entry */
    unsigned padding;
};

/* Header of an entry; size counts for files only. */
int tar_write_entry(struct tar_writer *writer, const struct tar_entry *entry);
int tar_write_data(struct tar_writer *writer, const void *data, size_t length);
/* Zeros for whatever is owed (a file that shrank), and padding. */
int tar_write_close(struct tar_writer *writer);
int tar_write_end(struct tar_writer *writer);
/* Bytes an entry with its data takes in the stream. */
uint64_t tar_entry_length(const struct tar_entry *entry);
