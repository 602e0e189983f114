/* schema.h - tables of what a JSON object from outside may hold, and their reader.
 *
 * schema_complete() reads an object that came from outside and builds a new one
 * with exactly the known fields, of the right types, in the table's order; unknown
 * fields are dropped. A wrong type is refused in the words of Go's decoder,
 * which clients and people know:
 *     invalid JSON: json: cannot unmarshal string into Go struct field
 *     HostConfig.HostConfig.Memory of type int64
 * A table is written with the macros below, by those who own the object (container's
 * in container/schema.c, a request's own in the server). Pure. Threads: any.
 */
#pragma once

#include <cjson/cJSON.h>

struct error;
struct schema;

/* `path` is the Go field path the object stands at ("" top, "HostConfig"). A
 * NULL or null object gives the defaults. */
int schema_complete(const struct schema *schema, const cJSON *object, const char *path,
                    cJSON **ret, struct error *err);
/* A map of objects: NetworkingConfig.EndpointsConfig. Null values stay null. */
int schema_complete_map(const struct schema *schema, const cJSON *map, const char *path,
                        const char *struct_name, cJSON **ret, struct error *err);

/* --- tables ---------------------------------------------------------------------- */

enum field_type {
    T_BOOL,
    T_INT,        /* go_type says which: int, int64, uint16 ... */
    T_STRING,
    T_STRV,       /* []string */
    T_STRSLICE,   /* string or []string */
    T_STRVV,      /* [][]string */
    T_MAP,        /* map[string]string */
    T_SET,        /* map[string]struct{} */
    T_BOX,        /* [2]uint */
    T_OBJECT,
    T_LIST,       /* []object */
    T_MAP_LIST,   /* map[string][]object */
};

/* What stands there when nothing was given. */
enum field_default {
    D_ZERO,  /* false, 0, "", {} of defaults */
    D_NULL,
    D_EMPTY, /* [] or {} */
    D_OMIT,  /* Go's omitempty: the field is not there, nor is it if false was given */
    D_ABSENT, /* omitempty of a pointer: what was given stays */
};

struct field {
    const char *name;
    enum field_type type;
    enum field_default absent;
    const char *go_type;
    const struct schema *of;
};

struct schema {
    const char *go_package; /* for "Go value of type PACKAGE.NAME" */
    const char *go_name;
    const struct field *fields; /* ends with a NULL name */
};

#define BOOL(n) {n, T_BOOL, D_ZERO, "bool", NULL}
#define BOOL_OMIT(n) {n, T_BOOL, D_OMIT, "bool", NULL}
#define BOOL_ABSENT(n) {n, T_BOOL, D_ABSENT, "bool", NULL}
#define BOOL_NULL(n) {n, T_BOOL, D_NULL, "bool", NULL}
#define INT(n) {n, T_INT, D_ZERO, "int64", NULL}
#define INT_OF(n, t) {n, T_INT, D_ZERO, t, NULL}
#define INT_OMIT(n, t) {n, T_INT, D_OMIT, t, NULL}
#define INT_NULL(n) {n, T_INT, D_NULL, "int64", NULL}
#define STRING(n) {n, T_STRING, D_ZERO, "string", NULL}
#define STRING_OF(n, t) {n, T_STRING, D_ZERO, t, NULL}
#define STRING_OMIT(n) {n, T_STRING, D_OMIT, "string", NULL}
#define STRV(n) {n, T_STRV, D_NULL, "[]string", NULL}
#define STRV_OMIT(n) {n, T_STRV, D_OMIT, "[]string", NULL}
#define STRSLICE(n) {n, T_STRSLICE, D_NULL, "strslice.StrSlice", NULL}
#define STRSLICE_OMIT(n) {n, T_STRSLICE, D_OMIT, "strslice.StrSlice", NULL}
#define MAP(n) {n, T_MAP, D_NULL, "map[string]string", NULL}
#define MAP_EMPTY(n) {n, T_MAP, D_EMPTY, "map[string]string", NULL}
#define MAP_OMIT(n) {n, T_MAP, D_OMIT, "map[string]string", NULL}
#define LIST(n, t, s) {n, T_LIST, D_NULL, t, s}
#define LIST_OMIT(n, t, s) {n, T_LIST, D_OMIT, t, s}
#define OBJECT(n, t, s) {n, T_OBJECT, D_ZERO, t, s}
#define OBJECT_OMIT(n, t, s) {n, T_OBJECT, D_OMIT, t, s}
#define OBJECT_NULL(n, t, s) {n, T_OBJECT, D_NULL, t, s}
#define END {NULL, T_BOOL, D_ZERO, NULL, NULL}

#define SCHEMA(symbol, package, name, ...)                          \
    static const struct field symbol##_fields[] = {__VA_ARGS__, END}; \
    const struct schema symbol = {package, name, symbol##_fields}
#define LOCAL_SCHEMA(symbol, package, name, ...)                    \
    static const struct field symbol##_fields[] = {__VA_ARGS__, END}; \
    static const struct schema symbol = {package, name, symbol##_fields}
