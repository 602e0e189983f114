/* json.h - cJSON with limits, and getters that never surprise.
 *
 * Parsing refuses: over JSON_LENGTH_MAX bytes, deeper than JSON_DEPTH_MAX,
 * trailing text, invalid UTF-8, "\u0000" in a string (it would silently cut it),
 * whatever RFC 8259 does not allow. Duplicate keys at one level are allowed (last
 * wins, as Go). Getters return the default when a key is absent, null, or of
 * another type.
 * Keys match case-sensitively first, then ASCII-insensitively (as Go does).
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/str.h"

struct error;

#define JSON_LENGTH_MAX ((size_t)16 << 20)
#define JSON_DEPTH_MAX 64

#define CLEANUP_JSON CLEANUP(json_freep)
void json_freep(cJSON **json);

int json_parse(const char *text, size_t length, cJSON **ret, struct error *err);
/* Compact; free(). Whole numbers are written without an exponent, since Go
 * reads no "1e+15" into an integer. */
char *json_print(const cJSON *json);

/* "bool", "string", "array", "object", "number", "null": Go's words. */
const char *json_kind(const cJSON *json);

cJSON *json_get(const cJSON *object, const char *key);
const char *json_string(const cJSON *object, const char *key, const char *fallback);
/* Beyond 2^53 inexact when it was parsed, exact when built by json_add_int;
 * saturates at int64; a number with a fraction is of another type. */
int64_t json_int(const cJSON *object, const char *key, int64_t fallback);
double json_number(const cJSON *object, const char *key, double fallback);
bool json_bool(const cJSON *object, const char *key, bool fallback);
char **json_strv(const cJSON *object, const char *key); /* strings of an array; free with strv_free */

/* Builders: add and return the object, so that calls read as data. NULL text adds null. */
void json_add_string(cJSON *object, const char *key, const char *text);
void json_add_int(cJSON *object, const char *key, int64_t value);
void json_add_number(cJSON *object, const char *key, double value);
void json_add_bool(cJSON *object, const char *key, bool value);
void json_add_null(cJSON *object, const char *key);
cJSON *json_add_object(cJSON *object, const char *key);
cJSON *json_add_array(cJSON *object, const char *key);
void json_add(cJSON *object, const char *key, cJSON *value); /* takes ownership; NULL adds null */
void json_push_string(cJSON *array, const char *text);
cJSON *json_from_strv(char *const *list); /* array */
