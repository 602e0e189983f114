/* schema.c - the reader of tables of fields. Owner: base. */
#include "base/schema.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "tabique/error.h"

/* --- reading ----------------------------------------------------------------- */

static const char *value_kind(const cJSON *value, char *number, size_t size)
{
    if (!number || !cJSON_IsNumber(value))
        return json_kind(value);
    snprintf(number, size, "number %.17g", value->valuedouble);
    return number;
}

static int mismatch(const struct schema *schema, const char *path, const cJSON *value,
                    const char *go_type, bool show_number, struct error *err)
{
    char number[48];

    if (*path == '\0')
        return error_set(err, EINVAL,
                         "invalid JSON: json: cannot unmarshal %s into Go value of type %s.%s",
                         value_kind(value, NULL, 0), schema->go_package, schema->go_name);
    return error_set(err, EINVAL,
                     "invalid JSON: json: cannot unmarshal %s into Go struct field %s.%s of type %s",
                     value_kind(value, show_number ? number : NULL, sizeof(number)),
                     schema->go_name, path, go_type);
}

static const struct {
    const char *go_type;
    double min, max;
} ranges[] = {
    /* 2^63 itself is a double and out of range; the largest below it is fine. */
    {"int64", -0x1p63, 0x1p63},  {"int", -0x1p63, 0x1p63}, {"time.Duration", -0x1p63, 0x1p63},
    {"uint64", 0, 0x1p64},       {"uint16", 0, 0x1p16},    {"os.FileMode", 0, 0x1p32},
    {"uint", 0, 0x1p64},
};

static bool number_fits(double value, const char *go_type)
{
    if (!isfinite(value) || value != trunc(value))
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(ranges); i++)
        if (strcmp(ranges[i].go_type, go_type) == 0)
            return value >= ranges[i].min && value < ranges[i].max;
    return true;
}

static int read_field(const struct schema *schema, const struct field *field, const cJSON *value,
                      const char *path, cJSON **ret, struct error *err);

static int read_strv(const struct schema *schema, const cJSON *value, const char *path,
                     const char *go_type, cJSON **ret, struct error *err)
{
    if (!cJSON_IsArray(value))
        return mismatch(schema, path, value, go_type, false, err);

    CLEANUP_JSON cJSON *list = cJSON_CreateArray();
    const cJSON *item;
    cJSON_ArrayForEach(item, value) {
        if (!cJSON_IsString(item) && !cJSON_IsNull(item))
            return mismatch(schema, path, item, "string", false, err);
        json_push_string(list, cJSON_IsNull(item) ? "" : item->valuestring);
    }
    *ret = TAKE_PTR(list);
    return 0;
}

static int read_list(const struct schema *schema, const struct field *field, const cJSON *value,
                     const char *path, cJSON **ret, struct error *err)
{
    if (!cJSON_IsArray(value))
        return mismatch(schema, path, value, field->go_type, false, err);

    CLEANUP_JSON cJSON *list = cJSON_CreateArray();
    const cJSON *item;
    cJSON_ArrayForEach(item, value) {
        cJSON *element = NULL;
        int r = schema_complete(field->of, item, path, &element, err);
        if (r < 0)
            return r;
        cJSON_AddItemToArray(list, element);
    }
    *ret = TAKE_PTR(list);
    return 0;
}

static int read_map(const struct schema *schema, const struct field *field, const cJSON *value,
                    const char *path, cJSON **ret, struct error *err)
{
    if (!cJSON_IsObject(value))
        return mismatch(schema, path, value, field->go_type, false, err);

    CLEANUP_JSON cJSON *map = cJSON_CreateObject();
    const cJSON *item;
    cJSON_ArrayForEach(item, value) {
        cJSON *entry = NULL;
        int r = 0;

        if (cJSON_GetObjectItemCaseSensitive(map, item->string))
            cJSON_DeleteItemFromObjectCaseSensitive(map, item->string); /* last one wins, as in Go */
        switch (field->type) {
        case T_MAP:
            if (!cJSON_IsString(item) && !cJSON_IsNull(item))
                return mismatch(schema, path, item, "string", false, err);
            entry = cJSON_CreateString(cJSON_IsNull(item) ? "" : item->valuestring);
            break;
        case T_SET:
            if (!cJSON_IsObject(item) && !cJSON_IsNull(item))
                return mismatch(schema, path, item, "struct {}", false, err);
            entry = cJSON_CreateObject();
            break;
        default:
            if (cJSON_IsNull(item))
                entry = cJSON_CreateNull();
            else
                r = read_list(schema, field, item, path, &entry, err);
        }
        if (r < 0)
            return r;
        json_add(map, item->string, entry);
    }
    *ret = TAKE_PTR(map);
    return 0;
}

static int read_strvv(const struct schema *schema, const struct field *field, const cJSON *value,
                      const char *path, cJSON **ret, struct error *err)
{
    if (!cJSON_IsArray(value))
        return mismatch(schema, path, value, field->go_type, false, err);

    CLEANUP_JSON cJSON *list = cJSON_CreateArray();
    const cJSON *item;
    cJSON_ArrayForEach(item, value) {
        cJSON *inner = NULL;
        int r = cJSON_IsNull(item) ? 0 : read_strv(schema, item, path, "[]string", &inner, err);
        if (r < 0)
            return r;
        cJSON_AddItemToArray(list, inner ? inner : cJSON_CreateArray());
    }
    *ret = TAKE_PTR(list);
    return 0;
}

static int read_box(const struct schema *schema, const struct field *field, const cJSON *value,
                    const char *path, cJSON **ret, struct error *err)
{
    double sides[2] = {0, 0};
    int at = 0;

    if (!cJSON_IsArray(value))
        return mismatch(schema, path, value, field->go_type, false, err);
    const cJSON *item;
    cJSON_ArrayForEach(item, value) {
        if (!cJSON_IsNumber(item) || !number_fits(item->valuedouble, "uint"))
            return mismatch(schema, path, item, "uint", cJSON_IsNumber(item), err);
        if (at < 2)
            sides[at++] = item->valuedouble;
    }
    *ret = cJSON_CreateDoubleArray(sides, 2);
    return 0;
}

static int read_field(const struct schema *schema, const struct field *field, const cJSON *value,
                      const char *path, cJSON **ret, struct error *err)
{
    switch (field->type) {
    case T_BOOL:
        if (!cJSON_IsBool(value))
            return mismatch(schema, path, value, field->go_type, false, err);
        *ret = cJSON_CreateBool(cJSON_IsTrue(value));
        return 0;
    case T_INT:
        if (!cJSON_IsNumber(value))
            return mismatch(schema, path, value, field->go_type, false, err);
        if (!number_fits(value->valuedouble, field->go_type))
            return mismatch(schema, path, value, field->go_type, true, err);
        *ret = cJSON_CreateNumber(value->valuedouble);
        return 0;
    case T_STRING:
        if (!cJSON_IsString(value))
            return mismatch(schema, path, value, field->go_type, false, err);
        *ret = cJSON_CreateString(value->valuestring);
        return 0;
    case T_STRSLICE:
        if (cJSON_IsString(value)) {
            *ret = cJSON_CreateArray();
            json_push_string(*ret, value->valuestring);
            return 0;
        }
        return read_strv(schema, value, path, "string", ret, err);
    case T_STRV:
        return read_strv(schema, value, path, field->go_type, ret, err);
    case T_STRVV:
        return read_strvv(schema, field, value, path, ret, err);
    case T_MAP:
    case T_SET:
    case T_MAP_LIST:
        return read_map(schema, field, value, path, ret, err);
    case T_BOX:
        return read_box(schema, field, value, path, ret, err);
    case T_OBJECT:
        if (!cJSON_IsObject(value))
            return mismatch(schema, path, value, field->go_type, false, err);
        return schema_complete(field->of, value, path, ret, err);
    case T_LIST:
        return read_list(schema, field, value, path, ret, err);
    }
    return -EINVAL;
}

static cJSON *default_value(const struct field *field)
{
    static const double no_box[2] = {0, 0};
    bool list = field->type == T_STRV || field->type == T_STRSLICE || field->type == T_LIST ||
                field->type == T_STRVV;
    cJSON *object = NULL;

    if (field->absent == D_NULL)
        return cJSON_CreateNull();
    if (field->absent == D_EMPTY)
        return list ? cJSON_CreateArray() : cJSON_CreateObject();
    switch (field->type) {
    case T_BOOL:
        return cJSON_CreateFalse();
    case T_INT:
        return cJSON_CreateNumber(0);
    case T_STRING:
        return cJSON_CreateString("");
    case T_BOX:
        return cJSON_CreateDoubleArray(no_box, 2);
    case T_OBJECT:
        schema_complete(field->of, NULL, "", &object, NULL);
        return object;
    default:
        return cJSON_CreateNull();
    }
}

int schema_complete(const struct schema *schema, const cJSON *object, const char *path,
                    cJSON **ret, struct error *err)
{
    if (object && !cJSON_IsNull(object) && !cJSON_IsObject(object))
        return mismatch(schema, path, object, schema->go_name, false, err);

    CLEANUP_JSON cJSON *complete = cJSON_CreateObject();
    for (const struct field *field = schema->fields; field->name; field++) {
        const cJSON *value = object && !cJSON_IsNull(object) ? json_get(object, field->name) : NULL;
        cJSON *made = NULL;

        if (value && !cJSON_IsNull(value)) {
            char at[512];
            snprintf(at, sizeof(at), "%s%s%s", path, *path ? "." : "", field->name);
            int r = read_field(schema, field, value, at, &made, err);
            if (r < 0)
                return r;
            if (field->absent == D_OMIT && cJSON_IsFalse(made)) {
                cJSON_Delete(made);
                continue;
            }
        } else if (field->absent == D_OMIT || field->absent == D_ABSENT) {
            continue;
        } else {
            made = default_value(field);
        }
        cJSON_AddItemToObjectCS(complete, field->name, made);
    }
    *ret = TAKE_PTR(complete);
    return 0;
}

int schema_complete_map(const struct schema *schema, const cJSON *map, const char *path,
                        const char *struct_name, cJSON **ret, struct error *err)
{
    CLEANUP_JSON cJSON *complete = cJSON_CreateObject();

    if (map && !cJSON_IsNull(map)) {
        const struct schema owner = {"network", struct_name, NULL};
        const cJSON *item;

        if (!cJSON_IsObject(map))
            return mismatch(&owner, path, map, "map[string]*network.EndpointSettings", false, err);
        cJSON_ArrayForEach(item, map) {
            cJSON *value = NULL;

            if (cJSON_IsNull(item)) {
                value = cJSON_CreateNull();
            } else {
                int r = schema_complete(schema, item, path, &value, err);
                if (r < 0)
                    return r;
            }
            cJSON_DeleteItemFromObjectCaseSensitive(complete, item->string);
            json_add(complete, item->string, value);
        }
    }
    *ret = TAKE_PTR(complete);
    return 0;
}
