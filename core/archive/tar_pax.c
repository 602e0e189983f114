/* tar_pax.c - numbers, pax records and sparse maps of tar headers. Owner: archive. */
#include "archive/tar_pax.h"

#include <errno.h>
#include <string.h>

#include "archive/xattr.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"

void tar_extras_clear(struct tar_extras *extras)
{
    free(extras->path);
    free(extras->link);
    free(extras->sparse_name);
    free(extras->gnu_path);
    free(extras->gnu_link);
    free(extras->extents);
    xattr_list_free(extras->xattrs, extras->xattr_count);
    *extras = (struct tar_extras){.sparse_major = -1, .sparse_minor = -1};
}

/* --- numbers ------------------------------------------------------------------ */

/* Octal text, or GNU's base-256: two's complement, first bit set. */
int tar_number(const uint8_t *field, size_t length, int64_t *ret)
{
    if (field[0] & 0x80) {
        uint64_t fill = field[0] & 0x40 ? 0xff : 0;
        uint64_t value = fill ? UINT64_MAX : 0;

        for (size_t i = 0; i < length; i++) {
            uint64_t byte = field[i];
            if (i == 0)
                byte = fill ? byte | 0x80 : byte & 0x7f;
            if (value >> 56 != fill) /* bits would be lost */
                return -ERANGE;
            value = value << 8 | byte;
        }
        if ((fill != 0) != (value >> 63 != 0))
            return -ERANGE;
        *ret = (int64_t)value;
        return 0;
    }

    while (length > 0 && (*field == ' ' || *field == '\0'))
        field++, length--;
    while (length > 0 && (field[length - 1] == ' ' || field[length - 1] == '\0'))
        length--;
    uint64_t value = 0;
    for (size_t i = 0; i < length && field[i] != '\0'; i++) {
        if (field[i] < '0' || field[i] > '7' || value >> 60)
            return -EINVAL;
        value = value << 3 | (uint64_t)(field[i] - '0');
    }
    *ret = (int64_t)value;
    return 0;
}

/* A pax decimal: digits only. */
static int parse_decimal(const char *text, uint64_t *ret)
{
    return *text >= '0' && *text <= '9' ? str_to_u64(text, ret) : -EINVAL;
}

/* Seconds with an optional fraction, also negative. */
static int parse_time(const char *text, int64_t *ret)
{
    bool negative = *text == '-';
    const char *at = text + (negative ? 1 : 0);
    int64_t seconds = 0, fraction = 0, unit = 100000000;

    if (*at < '0' || *at > '9')
        return -EINVAL;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (seconds > INT64_C(9000000000))
            return -ERANGE;
        seconds = seconds * 10 + (*at - '0');
    }
    if (*at == '.')
        for (at++; *at >= '0' && *at <= '9'; at++, unit /= 10)
            fraction += (*at - '0') * unit;
    if (*at || seconds > INT64_C(9000000000))
        return -EINVAL;
    int64_t ns = seconds * 1000000000 + fraction;
    *ret = negative ? -ns : ns;
    return 0;
}

/* --- sparse maps ---------------------------------------------------------------- */

int tar_push_extent(struct tar_extent **extents, size_t *count, uint64_t offset, uint64_t length)
{
    if (*count >= TAR_EXTENTS_MAX)
        return -E2BIG;
    if ((*count & (*count - 1)) == 0) /* room for powers of two */
        *extents = mem_grow(*extents, *count ? *count * 2 : 1, sizeof(**extents));
    (*extents)[(*count)++] = (struct tar_extent){offset, length};
    return 0;
}

/* 0.1: "offset,length,offset,length". */
static int parse_map(struct tar_extras *extras, const char *text)
{
    while (*text) {
        uint64_t pair[2];

        for (int i = 0; i < 2; i++) {
            size_t n = strcspn(text, ",");
            char number[24];

            if (n == 0 || n >= sizeof(number))
                return -EINVAL;
            memcpy(number, text, n);
            number[n] = '\0';
            if (parse_decimal(number, &pair[i]) < 0)
                return -EINVAL;
            text += n;
            if (*text == ',')
                text++;
            else if (i == 0)
                return -EINVAL;
        }
        if (tar_push_extent(&extras->extents, &extras->extent_count, pair[0], pair[1]) < 0)
            return -EINVAL;
    }
    extras->sparse = true;
    return 0;
}

/* --- pax records ------------------------------------------------------------------ */

void tar_replace_text(char **text, const char *value)
{
    free(*text);
    *text = *value ? mem_strdup(value) : NULL; /* an empty value takes the record back */
}

static int set_number(const char *value, bool *has, uint64_t limit, uint64_t *ret)
{
    *has = *value != '\0';
    if (!*has)
        return 0;
    if (parse_decimal(value, ret) < 0 || *ret > limit)
        return -EINVAL;
    return 0;
}

static int set_id(const char *value, bool *has, uint32_t *ret)
{
    uint64_t number = 0;
    int r = set_number(value, has, UINT32_MAX, &number);

    *ret = (uint32_t)number;
    return r;
}

static int add_xattr(struct tar_extras *extras, const char *name, const char *value, size_t length)
{
    if (*name == '\0' || extras->xattr_count >= 1024)
        return -EINVAL;
    struct tar_xattr *xattr = NULL;
    for (size_t i = 0; i < extras->xattr_count; i++)
        if (strcmp(extras->xattrs[i].name, name) == 0)
            xattr = &extras->xattrs[i];
    if (!xattr) {
        extras->xattrs = mem_grow(extras->xattrs, extras->xattr_count + 1, sizeof(*extras->xattrs));
        xattr = &extras->xattrs[extras->xattr_count++];
        *xattr = (struct tar_xattr){.name = mem_strdup(name)};
    }
    free(xattr->value);
    xattr->value = mem_dup(length ? value : "", length ? length : 1);
    xattr->length = length;
    return 0;
}

static int set_record(struct tar_extras *extras, const char *key, const char *value, size_t length)
{
    uint64_t number = 0;
    bool has;

    if (str_starts(key, "SCHILY.xattr."))
        return add_xattr(extras, key + strlen("SCHILY.xattr."), value, length);
    if (strlen(value) != length) /* a NUL inside: Go refuses it in names, and it fits nowhere else */
        return strcmp(key, "path") == 0 || strcmp(key, "linkpath") == 0 || str_starts(key, "GNU.sparse.")
                   ? -EINVAL : 0;
    if (strcmp(key, "path") == 0)
        return tar_replace_text(&extras->path, value), 0;
    if (strcmp(key, "linkpath") == 0)
        return tar_replace_text(&extras->link, value), 0;
    if (strcmp(key, "size") == 0)
        return set_number(value, &extras->has_size, INT64_MAX, &extras->size);
    if (strcmp(key, "uid") == 0)
        return set_id(value, &extras->has_uid, &extras->uid);
    if (strcmp(key, "gid") == 0)
        return set_id(value, &extras->has_gid, &extras->gid);
    if (strcmp(key, "mtime") == 0) {
        extras->has_mtime = *value != '\0';
        return extras->has_mtime ? parse_time(value, &extras->mtime_ns) : 0;
    }
    if (!str_starts(key, "GNU.sparse."))
        return 0;
    key += strlen("GNU.sparse.");
    if (strcmp(key, "name") == 0)
        return tar_replace_text(&extras->sparse_name, value), 0;
    if (strcmp(key, "map") == 0) {
        extras->extent_count = 0;
        return parse_map(extras, value);
    }
    if (strcmp(key, "size") == 0 || strcmp(key, "realsize") == 0)
        return set_number(value, &extras->has_real_size, INT64_MAX, &extras->real_size);
    if (set_number(value, &has, INT64_MAX, &number) < 0 || !has)
        return -EINVAL;
    if (strcmp(key, "major") == 0) {
        extras->sparse_major = (int64_t)number;
    } else if (strcmp(key, "minor") == 0) {
        extras->sparse_minor = (int64_t)number;
    } else if (strcmp(key, "offset") == 0) {
        if (extras->expect_length || tar_push_extent(&extras->extents, &extras->extent_count, number, 0) < 0)
            return -EINVAL;
        extras->expect_length = extras->sparse = true;
    } else if (strcmp(key, "numbytes") == 0) {
        if (!extras->expect_length)
            return -EINVAL;
        extras->extents[extras->extent_count - 1].length = number;
        extras->expect_length = false;
    }
    return 0;
}

/* Records are "LENGTH key=value\n", LENGTH counting all of itself. */
static int parse_pax(struct tar_extras *extras, char *text, size_t size)
{
    while (size > 0) {
        size_t digits = 0, length = 0;

        while (digits < size && text[digits] >= '0' && text[digits] <= '9') {
            length = length * 10 + (size_t)(text[digits++] - '0');
            if (length > size)
                return -EINVAL;
        }
        if (digits == 0 || digits >= size || text[digits] != ' ' || length < digits + 4 ||
            text[length - 1] != '\n')
            return -EINVAL;
        text[length - 1] = '\0';
        char *key = text + digits + 1;
        char *equals = memchr(key, '=', length - 1 - (digits + 1));
        if (!equals || equals == key)
            return -EINVAL;
        *equals = '\0';
        if (strlen(key) != (size_t)(equals - key))
            return -EINVAL;
        int r = set_record(extras, key, equals + 1, (size_t)(text + length - 1 - (equals + 1)));
        if (r < 0)
            return r;
        text += length;
        size -= length;
    }
    return extras->expect_length ? -EINVAL : 0;
}

/* A second pax header before an entry takes the first one's place. */
int tar_pax_parse(struct tar_extras *extras, char *text, size_t size)
{
    char *gnu_path = TAKE_PTR(extras->gnu_path), *gnu_link = TAKE_PTR(extras->gnu_link);

    tar_extras_clear(extras);
    extras->gnu_path = gnu_path;
    extras->gnu_link = gnu_link;
    return parse_pax(extras, text, size);
}
