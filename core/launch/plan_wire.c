/* plan_wire.c - the tables of a plan's fields, and the codec that walks them.
 *
 * The tags are the protocol between servers and shims of different versions:
 * append only, never renumber, never reuse.
 */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/wire.h"
#include "launch/plan.h"
#include "launch/plan_shape.h"

#define AT(type, member) .offset = offsetof(type, member)
#define STRING(t, type, member) {.tag = (t), .kind = PLAN_STRING, AT(type, member)}
#define STRV(t, type, member) {.tag = (t), .kind = PLAN_STRV, AT(type, member)}
#define WIDTH(type, member) .width = sizeof(((type *)NULL)->member)
#define UINT(t, type, member) {.tag = (t), .kind = PLAN_UINT, WIDTH(type, member), AT(type, member)}
#define INT(t, type, member) {.tag = (t), .kind = PLAN_INT, WIDTH(type, member), AT(type, member)}
#define BOOL(t, type, member) {.tag = (t), .kind = PLAN_BOOL, AT(type, member)}
#define CHARS(t, type, member) {.tag = (t), .kind = PLAN_CHARS, WIDTH(type, member), AT(type, member)}
#define BYTES(t, type, member, count) \
    {.tag = (t), .kind = PLAN_BYTES, AT(type, member), .count_offset = offsetof(type, count)}
#define RECORD(t, type, member, s) {.tag = (t), .kind = PLAN_RECORD, AT(type, member), .shape = &(s)}
#define LIST(t, type, member, count, s) \
    {.tag = (t), .kind = PLAN_LIST, AT(type, member), .count_offset = offsetof(type, count), .shape = &(s)}
#define ARRAY(t, type, member, n, s) \
    {.tag = (t), .kind = PLAN_ARRAY, .width = (n), AT(type, member), .shape = &(s)}
#define SHAPE(name, type)                                            \
    const struct plan_shape name = {.size = sizeof(type),            \
                                    .field_count = ARRAY_SIZE(name##_fields), \
                                    .fields = name##_fields}

static const struct plan_field namespace_fields[] = {
    UINT(1, struct plan_namespace, mode),
    STRING(2, struct plan_namespace, path),
};
static SHAPE(namespace, struct plan_namespace);

static const struct plan_field mount_fields[] = {
    STRING(1, struct plan_mount, type),
    STRING(2, struct plan_mount, source),
    STRING(3, struct plan_mount, target),
    STRING(4, struct plan_mount, data),
    UINT(5, struct plan_mount, flags),
    UINT(6, struct plan_mount, propagation),
    BOOL(7, struct plan_mount, copy_up),
    BOOL(8, struct plan_mount, own_ids),
};
static SHAPE(mount, struct plan_mount);

static const struct plan_field device_fields[] = {
    STRING(1, struct plan_device, host_path),
    STRING(2, struct plan_device, path),
    STRING(3, struct plan_device, permissions),
};
static SHAPE(device, struct plan_device);

static const struct plan_field rule_fields[] = {
    BOOL(1, struct plan_device_rule, allow),
    UINT(2, struct plan_device_rule, type),
    INT(3, struct plan_device_rule, major),
    INT(4, struct plan_device_rule, minor),
    CHARS(5, struct plan_device_rule, access),
};
static SHAPE(rule, struct plan_device_rule);

static const struct plan_field rlimit_fields[] = {
    INT(1, struct plan_rlimit, resource),
    UINT(2, struct plan_rlimit, soft),
    UINT(3, struct plan_rlimit, hard),
};
static SHAPE(rlimit, struct plan_rlimit);

static const struct plan_field pair_fields[] = {
    STRING(1, struct plan_pair, name),
    STRING(2, struct plan_pair, value),
};
static SHAPE(pair, struct plan_pair);

static const struct plan_field id_map_fields[] = {
    UINT(1, struct id_range, inside),
    UINT(2, struct id_range, outside),
    UINT(3, struct id_range, count),
};
static SHAPE(id_map, struct id_range);

static const struct plan_field rootfs_fields[] = {
    STRING(1, struct plan_rootfs, layers_dir),
    STRV(2, struct plan_rootfs, lower),
    STRING(3, struct plan_rootfs, upper),
    STRING(4, struct plan_rootfs, work),
    STRING(5, struct plan_rootfs, device),
    BOOL(6, struct plan_rootfs, readonly),
    INT(7, struct plan_rootfs, size),
};
static SHAPE(rootfs, struct plan_rootfs);

static const struct plan_field caps_fields[] = {
    UINT(1, struct plan_caps, bounding),
    UINT(2, struct plan_caps, permitted),
    UINT(3, struct plan_caps, inheritable),
    UINT(4, struct plan_caps, ambient),
};
static SHAPE(caps, struct plan_caps);

static const struct plan_field plan__limits_shape_fields[] = {
    INT(1, struct plan_limits, memory),
    INT(2, struct plan_limits, memory_swap),
    INT(3, struct plan_limits, memory_reservation),
    INT(4, struct plan_limits, memory_swappiness),
    BOOL(5, struct plan_limits, oom_kill_disable),
    INT(6, struct plan_limits, cpu_shares),
    INT(7, struct plan_limits, cpu_quota),
    INT(8, struct plan_limits, cpu_period),
    STRING(9, struct plan_limits, cpuset_cpus),
    STRING(10, struct plan_limits, cpuset_mems),
    INT(11, struct plan_limits, pids),
    INT(12, struct plan_limits, blkio_weight),
    LIST(13, struct plan_limits, blkio, blkio_count, pair),
    LIST(14, struct plan_limits, device_rules, device_rule_count, rule),
};
SHAPE(plan__limits_shape, struct plan_limits);

static const struct plan_field plan__process_shape_fields[] = {
    STRV(1, struct plan_process, argv),
    STRV(2, struct plan_process, env),
    STRING(3, struct plan_process, cwd),
    STRING(4, struct plan_process, user),
    STRV(5, struct plan_process, groups),
    BOOL(6, struct plan_process, tty),
    UINT(7, struct plan_process, rows),
    UINT(8, struct plan_process, cols),
    RECORD(9, struct plan_process, caps, caps),
    BOOL(10, struct plan_process, no_new_privileges),
    BYTES(11, struct plan_process, seccomp, seccomp_size),
    LIST(12, struct plan_process, rlimits, rlimit_count, rlimit),
    INT(13, struct plan_process, oom_score_adj),
    BOOL(14, struct plan_process, privileged),
    BOOL(15, struct plan_process, no_stdin),
};
SHAPE(plan__process_shape, struct plan_process);

static const struct plan_field plan__shape_fields[] = {
    STRING(1, struct plan, id),
    ARRAY(2, struct plan, namespaces, PLAN_NS_COUNT, namespace),
    RECORD(3, struct plan, rootfs, rootfs),
    LIST(4, struct plan, mounts, mount_count, mount),
    LIST(5, struct plan, devices, device_count, device),
    STRV(6, struct plan, masked_paths),
    STRV(7, struct plan, readonly_paths),
    STRING(8, struct plan, hostname),
    STRING(9, struct plan, domainname),
    LIST(10, struct plan, sysctls, sysctl_count, pair),
    LIST(11, struct plan, ids.uids, ids.uid_count, id_map),
    LIST(12, struct plan, ids.gids, ids.gid_count, id_map),
    BOOL(13, struct plan, init),
    STRING(14, struct plan, cgroup),
    RECORD(15, struct plan, limits, plan__limits_shape),
    RECORD(16, struct plan, process, plan__process_shape),
};
SHAPE(plan__shape, struct plan);

/* --- integers of any width ------------------------------------------------- */
static uint64_t load_uint(const void *at, size_t width)
{
    switch (width) {
    case 1: return *(const uint8_t *)at;
    case 2: return *(const uint16_t *)at;
    case 4: return *(const uint32_t *)at;
    default: return *(const uint64_t *)at;
    }
}

static int64_t load_int(const void *at, size_t width)
{
    switch (width) {
    case 1: return *(const int8_t *)at;
    case 2: return *(const int16_t *)at;
    case 4: return *(const int32_t *)at;
    default: return *(const int64_t *)at;
    }
}

static void store_int(void *at, size_t width, uint64_t value)
{
    switch (width) {
    case 1: *(uint8_t *)at = (uint8_t)value; break;
    case 2: *(uint16_t *)at = (uint16_t)value; break;
    case 4: *(uint32_t *)at = (uint32_t)value; break;
    default: *(uint64_t *)at = value;
    }
}

static bool fits_uint(uint64_t value, size_t width)
{
    return width >= 8 || value >> (8 * width) == 0;
}

static bool fits_int(int64_t value, size_t width)
{
    int64_t limit = width >= 8 ? INT64_MAX : (INT64_C(1) << (8 * width - 1)) - 1;

    return value <= limit && value >= -limit - 1;
}

/* --- encoding ---------------------------------------------------------------- */
static void encode(const struct plan_shape *shape, const void *object, struct str *out);

static void encode_record(uint16_t tag, const struct plan_shape *shape, const void *object,
                          struct str *out)
{
    size_t mark = wire_begin(out, tag);

    encode(shape, object, out);
    wire_end(out, mark);
}

static void encode(const struct plan_shape *shape, const void *object, struct str *out)
{
    for (size_t i = 0; i < shape->field_count; i++) {
        const struct plan_field *f = &shape->fields[i];
        const char *at = (const char *)object + f->offset;
        const size_t *count = (const size_t *)(const void *)((const char *)object + f->count_offset);

        switch ((enum plan_kind)f->kind) {
        case PLAN_STRING: wire_put_string(out, f->tag, *(char *const *)(const void *)at); break;
        case PLAN_STRV: wire_put_strv(out, f->tag, *(char **const *)(const void *)at); break;
        case PLAN_UINT: wire_put_u64(out, f->tag, load_uint(at, f->width)); break;
        case PLAN_INT: wire_put_i64(out, f->tag, load_int(at, f->width)); break;
        case PLAN_BOOL: wire_put_bool(out, f->tag, *(const bool *)at); break;
        case PLAN_BYTES:
            if (*(uint8_t *const *)(const void *)at)
                wire_put_bytes(out, f->tag, *(uint8_t *const *)(const void *)at, *count);
            break;
        case PLAN_CHARS: wire_put_bytes(out, f->tag, at, strnlen(at, f->width)); break;
        case PLAN_RECORD: encode_record(f->tag, f->shape, at, out); break;
        case PLAN_LIST:
            for (size_t n = 0; n < *count; n++)
                encode_record(f->tag, f->shape, *(char *const *)(const void *)at + n * f->shape->size, out);
            break;
        case PLAN_ARRAY:
            for (size_t n = 0; n < f->width; n++)
                encode_record(f->tag, f->shape, at + n * f->shape->size, out);
            break;
        }
    }
}

/* --- decoding: everything is an outsider's -------------------------------------- */
static bool decode(const struct plan_shape *shape, struct wire_reader *reader, void *object);

static bool decode_nested(const struct plan_shape *shape, const struct wire_field *field, void *object)
{
    struct wire_reader nested;

    wire_nested(field, &nested);
    return decode(shape, &nested, object);
}

/* seen counts the elements of this list or array so far. */
static bool decode_field(const struct plan_field *f, struct wire_reader *reader,
                         const struct wire_field *field, void *object, size_t seen)
{
    char *at = (char *)object + f->offset;
    size_t *count = (size_t *)(void *)((char *)object + f->count_offset);

    switch ((enum plan_kind)f->kind) {
    case PLAN_STRING: {
        char *text = wire_string(reader, field);

        free(*(char **)(void *)at);
        *(char **)(void *)at = text;
        return text != NULL;
    }
    case PLAN_STRV: {
        char *text = wire_string(reader, field);
        char ***list = (char ***)(void *)at;

        if (!text)
            return false;
        /* Grown here by powers of two: strv_take() walks the list each time. */
        if ((seen & (seen + 1)) == 0)
            *list = mem_grow(*list, 2 * (seen + 1) + 1, sizeof(**list));
        (*list)[seen] = text;
        (*list)[seen + 1] = NULL;
        return true;
    }
    case PLAN_UINT: {
        uint64_t value = wire_u64(reader, field);

        store_int(at, f->width, value);
        return fits_uint(value, f->width);
    }
    case PLAN_INT: {
        int64_t value = wire_i64(reader, field);

        store_int(at, f->width, (uint64_t)value);
        return fits_int(value, f->width);
    }
    case PLAN_BOOL: *(bool *)at = wire_bool(reader, field); return true;
    case PLAN_BYTES:
        free(*(void **)(void *)at);
        *(void **)(void *)at = mem_dup(field->data, field->length);
        *count = field->length;
        return true;
    case PLAN_CHARS:
        if (field->length >= f->width || memchr(field->data, 0, field->length))
            return false;
        memset(at, 0, f->width);
        memcpy(at, field->data, field->length);
        return true;
    case PLAN_RECORD:
        /* Twice would leave the lists of the first time behind. */
        return seen == 0 && decode_nested(f->shape, field, at);
    case PLAN_LIST: {
        char **items = (char **)(void *)at;

        if ((seen & (seen + 1)) == 0)
            *items = mem_grow(*items, 2 * (seen + 1), f->shape->size);
        memset(*items + seen * f->shape->size, 0, f->shape->size);
        *count = seen + 1;
        return decode_nested(f->shape, field, *items + seen * f->shape->size);
    }
    case PLAN_ARRAY:
        if (seen >= f->width)
            return true;
        return decode_nested(f->shape, field, at + seen * f->shape->size);
    }
    return false;
}

static bool decode(const struct plan_shape *shape, struct wire_reader *reader, void *object)
{
    uint16_t seen[32] = {0};
    struct wire_field field;

    while (wire_next(reader, &field)) {
        for (size_t i = 0; i < shape->field_count; i++) {
            if (shape->fields[i].tag != field.tag)
                continue;
            if (seen[i] >= PLAN_MAX_ITEMS || !decode_field(&shape->fields[i], reader, &field, object, seen[i]))
                return false;
            seen[i]++;
            break;
        }
    }
    return wire_ok(reader);
}

_Static_assert(ARRAY_SIZE(plan__shape_fields) <= 32 && ARRAY_SIZE(plan__process_shape_fields) <= 32 &&
                   ARRAY_SIZE(plan__limits_shape_fields) <= 32,
               "decode() counts up to 32 fields");

void plan__shape_clear(const struct plan_shape *shape, void *object)
{
    for (size_t i = 0; i < shape->field_count; i++) {
        const struct plan_field *f = &shape->fields[i];
        char *at = (char *)object + f->offset;

        switch ((enum plan_kind)f->kind) {
        case PLAN_STRING:
        case PLAN_BYTES: free(*(void **)(void *)at); break;
        case PLAN_STRV: strv_free(*(char ***)(void *)at); break;
        case PLAN_RECORD: plan__shape_clear(f->shape, at); break;
        case PLAN_ARRAY:
            for (size_t n = 0; n < f->width; n++)
                plan__shape_clear(f->shape, at + n * f->shape->size);
            break;
        case PLAN_LIST: {
            size_t count = *(size_t *)(void *)((char *)object + f->count_offset);
            char *items = *(char **)(void *)at;

            for (size_t n = 0; n < count; n++)
                plan__shape_clear(f->shape, items + n * f->shape->size);
            free(items);
            break;
        }
        case PLAN_UINT:
        case PLAN_INT:
        case PLAN_BOOL:
        case PLAN_CHARS: break;
        }
    }
    memset(object, 0, shape->size);
}

/* --- the public codec -------------------------------------------------------------- */
static int decode_whole(const struct plan_shape *shape, const void *data, size_t length, void *object)
{
    struct wire_reader reader;

    if (length > PLAN_MAX_SIZE)
        return -EBADMSG;
    wire_read(&reader, data, length);
    if (!decode(shape, &reader, object)) {
        plan__shape_clear(shape, object);
        return -EBADMSG;
    }
    return 0;
}

void plan_encode(const struct plan *plan, struct str *out)
{
    encode(&plan__shape, plan, out);
}

int plan_decode(const void *data, size_t length, struct plan **ret)
{
    struct plan *plan = plan_new();
    int r = decode_whole(&plan__shape, data, length, plan);

    if (r < 0) {
        free(plan);
        return r;
    }
    *ret = plan;
    return 0;
}

void plan_process_encode(const struct plan_process *process, struct str *out)
{
    encode(&plan__process_shape, process, out);
}

int plan_process_decode(const void *data, size_t length, struct plan_process *ret)
{
    struct plan_process process = {0};
    int r = decode_whole(&plan__process_shape, data, length, &process);

    if (r == 0)
        *ret = process;
    return r;
}

void plan_limits_encode(const struct plan_limits *limits, struct str *out)
{
    encode(&plan__limits_shape, limits, out);
}

int plan_limits_decode(const void *data, size_t length, struct plan_limits *ret)
{
    struct plan_limits limits = {.memory_swappiness = -1};
    int r = decode_whole(&plan__limits_shape, data, length, &limits);

    if (r == 0)
        *ret = limits;
    return r;
}
