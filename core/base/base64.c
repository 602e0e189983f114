/* base64.c - see base64.h. Owner: base. */
#include "base/base64.h"

#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/mem.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(const void *data, size_t length)
{
    const uint8_t *in = data;
    char *out = mem_alloc((length + 2) / 3 * 4 + 1), *to = out;

    for (size_t i = 0; i < length; i += 3) {
        size_t n = length - i < 3 ? length - i : 3;
        uint32_t bits = (uint32_t)in[i] << 16 | (n > 1 ? (uint32_t)in[i + 1] << 8 : 0) | (n > 2 ? in[i + 2] : 0);

        for (size_t k = 0; k < 4; k++)
            *to++ = k <= n ? alphabet[bits >> (18 - 6 * k) & 63] : '=';
    }
    return out;
}

static int digit_of(char c)
{
    const char *at = c == '-' ? alphabet + 62 : c == '_' ? alphabet + 63 : c ? strchr(alphabet, c) : NULL;

    return at ? (int)(at - alphabet) : -1;
}

char *base64_decode(const char *text, size_t *ret_length)
{
    size_t whole = strlen(text), length = whole;

    while (length > 0 && text[length - 1] == '=')
        length--;
    if (length % 4 == 1 || (whole > length && (whole % 4 != 0 || whole - length > 2)))
        return NULL;
    CLEANUP_FREE char *out = mem_alloc(length / 4 * 3 + 4);
    uint32_t bits = 0;
    unsigned have = 0;
    size_t made = 0;
    for (size_t i = 0; i < length; i++) {
        int digit = digit_of(text[i]);

        if (digit < 0)
            return NULL;
        bits = bits << 6 | (uint32_t)digit;
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[made++] = (char)(bits >> have);
        }
    }
    out[made] = '\0';
    if (ret_length)
        *ret_length = made;
    return TAKE_PTR(out);
}
