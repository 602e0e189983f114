/* str.h - a growable string, and NULL-terminated lists of strings ("strv").
 *
 * struct str owns its buffer. `data` is always NUL-terminated once anything was
 * appended; embedded NULs are allowed (length counts). Not shared by threads.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

struct str {
    char *data;
    size_t length;
    size_t capacity;
};

#define STR_INIT ((struct str){0})
#define CLEANUP_STR CLEANUP(str_free)

void str_free(struct str *s);
void str_clear(struct str *s); /* keeps the buffer */
void str_append(struct str *s, const char *text);
void str_append_n(struct str *s, const void *data, size_t length);
void str_append_char(struct str *s, char c);
void str_printf(struct str *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
void str_vprintf(struct str *s, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
/* Appends text as a JSON string with its quotes; invalid UTF-8 becomes U+FFFD. */
void str_append_json(struct str *s, const char *text, size_t length);
char *str_take(struct str *s); /* never NULL; s is empty afterwards */

/* Lists: char ** ending in NULL; NULL itself is the empty list. */
#define CLEANUP_STRV CLEANUP(strv_freep)
void strv_free(char **list);
void strv_freep(char ***list);
size_t strv_length(char *const *list);
char **strv_dup(char *const *list);
void strv_push(char ***list, const char *text);   /* copies */
void strv_take(char ***list, char *text);         /* takes ownership */
bool strv_contains(char *const *list, const char *text);
char **strv_split(const char *text, char separator); /* "a,,b" gives "a","","b"; "" gives {} */
char *strv_join(char *const *list, const char *separator);

bool str_equal(const char *a, const char *b); /* NULL equals NULL only */
bool str_starts(const char *text, const char *prefix);
bool str_ends(const char *text, const char *suffix);
bool str_equal_nocase(const char *a, const char *b); /* ASCII */
bool str_is_utf8(const void *data, size_t length);
/* Length of text cut to at most limit bytes, not inside a UTF-8 sequence. */
size_t str_cut_utf8(const char *text, size_t limit);
/* In place: control characters and invalid UTF-8 become '?'. For texts from
 * outside that go to a log or a terminal. */
void str_make_printable(char *text);

/* Whole-string conversions: 0, -EINVAL (not a number, trailing text), -ERANGE. */
int str_to_i64(const char *text, int64_t *ret);
int str_to_u64(const char *text, uint64_t *ret);
int str_to_int(const char *text, int min, int max, int *ret);
int str_to_double(const char *text, double *ret);
/* "64m", "1g", "512", "10KiB": bytes, binary multiples as Docker's. */
int str_to_bytes(const char *text, int64_t *ret);
/* Go durations: "1m30s", "500ms", "10" (seconds): nanoseconds. */
int str_to_duration(const char *text, int64_t *ret_ns);
/* The other way, as Go prints them: "1m30s", "500ms", "0s". */
void str_append_duration(struct str *out, int64_t ns);

/* Lower-case hex; out must hold 2*length+1. */
void hex_encode(const void *data, size_t length, char *out);
int hex_decode(const char *text, void *out, size_t length); /* 0 or -EINVAL */
bool str_is_hex(const char *text, size_t length);
