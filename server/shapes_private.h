/* shapes_private.h - small parts that the shapes_*.c share. */
#pragma once

#include <cjson/cJSON.h>
#include <stdint.h>

void shape_add_uint64(cJSON *object, const char *key, uint64_t value);
