/* wire.h - tagged fields in a byte string: how structs cross a socket.
 *
 * A record is a sequence of fields: u16 tag, u32 length, bytes; little-endian,
 * unaligned. Tags are append-only: never renumbered, never reused; a reader
 * skips tags it does not know, so an older shim and a newer server talk.
 * A repeated tag is a list. A record may be a field of another.
 *
 * The reader trusts nothing: lengths are checked against what is there, and the
 * first violation makes `bad` stick, after which every get gives 0/NULL and
 * wire_next() false. Callers check wire_ok() once, at the end.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* --- writing: into a struct str ---------------------------------------- */
void wire_put_bytes(struct str *out, uint16_t tag, const void *data, size_t length);
void wire_put_string(struct str *out, uint16_t tag, const char *text); /* NULL: left out */
void wire_put_strv(struct str *out, uint16_t tag, char *const *list);  /* one field each */
void wire_put_u64(struct str *out, uint16_t tag, uint64_t value);      /* always 8 bytes */
void wire_put_i64(struct str *out, uint16_t tag, int64_t value);
void wire_put_bool(struct str *out, uint16_t tag, bool value); /* false: left out */
/* A nested record: begin returns a mark, end fills in the length. */
size_t wire_begin(struct str *out, uint16_t tag);
void wire_end(struct str *out, size_t mark);

/* --- reading ------------------------------------------------------------ */
struct wire_reader {
    const uint8_t *at;
    const uint8_t *end;
    bool bad;
};

struct wire_field {
    uint16_t tag;
    uint32_t length;
    const uint8_t *data; /* inside the reader's buffer */
};

void wire_read(struct wire_reader *reader, const void *data, size_t length);
bool wire_next(struct wire_reader *reader, struct wire_field *ret);
bool wire_ok(const struct wire_reader *reader);

/* Of the current field; a wrong length or an embedded NUL sets `bad`. */
uint64_t wire_u64(struct wire_reader *reader, const struct wire_field *field);
int64_t wire_i64(struct wire_reader *reader, const struct wire_field *field);
bool wire_bool(struct wire_reader *reader, const struct wire_field *field);
char *wire_string(struct wire_reader *reader, const struct wire_field *field); /* copy; NULL if bad */
void wire_nested(const struct wire_field *field, struct wire_reader *ret);
