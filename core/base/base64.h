/* base64.h - RFC 4648. */
#pragma once

#include <stddef.h>

char *base64_encode(const void *data, size_t length); /* the usual alphabet, padded */
/* Either alphabet, padded or not, no white space; NULL: invalid. NUL-terminated besides. */
char *base64_decode(const char *text, size_t *ret_length);
