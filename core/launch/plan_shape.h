/* plan_shape.h - what a plan's structs are made of, as data: one table drives
 * encoding, decoding and freeing, so that a new field is one line and none of
 * the three can forget it. Owner: launch.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum plan_kind {
    PLAN_STRING, /* char *, may be NULL */
    PLAN_STRV,   /* char **, NULL-terminated */
    PLAN_UINT,   /* any unsigned integer or enum of `width` bytes */
    PLAN_INT,    /* any signed integer of `width` bytes */
    PLAN_BOOL,
    PLAN_BYTES,  /* pointer + size_t at `count_offset` */
    PLAN_CHARS,  /* char[width], NUL-terminated */
    PLAN_RECORD, /* a struct inline */
    PLAN_LIST,   /* pointer to structs + size_t at `count_offset` */
    PLAN_ARRAY,  /* `width` structs inline; elements beyond are skipped */
};

struct plan_shape;

struct plan_field {
    uint16_t tag;
    uint8_t kind;
    uint16_t width;
    uint16_t offset;
    uint16_t count_offset;
    const struct plan_shape *shape;
};

struct plan_shape {
    size_t size;
    size_t field_count;
    const struct plan_field *fields;
};

extern const struct plan_shape plan__shape;
extern const struct plan_shape plan__process_shape;
extern const struct plan_shape plan__limits_shape;

void plan__shape_clear(const struct plan_shape *shape, void *object);
