/* random.h - getrandom(2): bytes and the 64-hex ids of containers. Never fails. */
#pragma once

#include <stddef.h>

#define ID_LENGTH 64 /* hex digits; buffers are ID_LENGTH + 1 */

void random_bytes(void *out, size_t length);
void random_id(char out[ID_LENGTH + 1]);
