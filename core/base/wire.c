/* wire.c - tagged fields, written and read. Owner: base. */
#include "base/wire.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define FIELD_HEADER 6

static void store_u32(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
    at[2] = (uint8_t)(value >> 16);
    at[3] = (uint8_t)(value >> 24);
}

static uint32_t load_u32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void put_header(struct str *out, uint16_t tag, size_t length)
{
    uint8_t header[FIELD_HEADER];

    /* Our own records; what outsiders send is limited long before. */
    if (length > UINT32_MAX)
        abort();
    header[0] = (uint8_t)tag;
    header[1] = (uint8_t)(tag >> 8);
    store_u32(header + 2, (uint32_t)length);
    str_append_n(out, header, sizeof(header));
}

void wire_put_bytes(struct str *out, uint16_t tag, const void *data, size_t length)
{
    put_header(out, tag, length);
    str_append_n(out, data, length);
}

void wire_put_string(struct str *out, uint16_t tag, const char *text)
{
    if (text)
        wire_put_bytes(out, tag, text, strlen(text));
}

void wire_put_strv(struct str *out, uint16_t tag, char *const *list)
{
    for (; list && *list; list++)
        wire_put_string(out, tag, *list);
}

void wire_put_u64(struct str *out, uint16_t tag, uint64_t value)
{
    uint8_t bytes[8];

    store_u32(bytes, (uint32_t)value);
    store_u32(bytes + 4, (uint32_t)(value >> 32));
    wire_put_bytes(out, tag, bytes, sizeof(bytes));
}

void wire_put_i64(struct str *out, uint16_t tag, int64_t value)
{
    wire_put_u64(out, tag, (uint64_t)value);
}

void wire_put_bool(struct str *out, uint16_t tag, bool value)
{
    if (value)
        wire_put_bytes(out, tag, "\1", 1);
}

size_t wire_begin(struct str *out, uint16_t tag)
{
    put_header(out, tag, 0);
    return out->length;
}

void wire_end(struct str *out, size_t mark)
{
    size_t length = out->length - mark;

    if (mark < FIELD_HEADER || mark > out->length || length > UINT32_MAX)
        abort();
    store_u32((uint8_t *)out->data + mark - 4, (uint32_t)length);
}

/* --- reading ------------------------------------------------------------ */

static void fail(struct wire_reader *reader)
{
    reader->bad = true;
    reader->at = reader->end;
}

void wire_read(struct wire_reader *reader, const void *data, size_t length)
{
    static const uint8_t nothing[1];

    /* Never NULL, so that the pointer arithmetic below is always defined. */
    reader->at = length ? data : nothing;
    reader->end = reader->at + length;
    reader->bad = false;
}

bool wire_next(struct wire_reader *reader, struct wire_field *ret)
{
    if (reader->bad || reader->at == reader->end)
        return false;

    size_t left = (size_t)(reader->end - reader->at);
    if (left < FIELD_HEADER) {
        fail(reader);
        return false;
    }
    uint32_t length = load_u32(reader->at + 2);
    if (length > left - FIELD_HEADER) {
        fail(reader);
        return false;
    }
    ret->tag = (uint16_t)(reader->at[0] | reader->at[1] << 8);
    ret->length = length;
    ret->data = reader->at + FIELD_HEADER;
    reader->at += FIELD_HEADER + (size_t)length;
    return true;
}

bool wire_ok(const struct wire_reader *reader)
{
    return !reader->bad;
}

uint64_t wire_u64(struct wire_reader *reader, const struct wire_field *field)
{
    if (reader->bad)
        return 0;
    if (field->length != 8) {
        fail(reader);
        return 0;
    }
    return (uint64_t)load_u32(field->data) | (uint64_t)load_u32(field->data + 4) << 32;
}

int64_t wire_i64(struct wire_reader *reader, const struct wire_field *field)
{
    return (int64_t)wire_u64(reader, field);
}

bool wire_bool(struct wire_reader *reader, const struct wire_field *field)
{
    if (reader->bad)
        return false;
    if (field->length != 1 || field->data[0] > 1) {
        fail(reader);
        return false;
    }
    return field->data[0] == 1;
}

char *wire_string(struct wire_reader *reader, const struct wire_field *field)
{
    if (reader->bad)
        return NULL;
    if (field->length && memchr(field->data, '\0', field->length)) {
        fail(reader);
        return NULL;
    }
    return mem_strndup((const char *)field->data, field->length);
}

void wire_nested(const struct wire_field *field, struct wire_reader *ret)
{
    wire_read(ret, field->data, field->length);
}
