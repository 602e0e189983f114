/* mem.h - memory that is either there or the program ends.
 *
 * The server and shim cannot do anything useful without small allocations, and
 * a half-handled ENOMEM is worse than a clean restart (shims keep the
 * containers). So small allocations abort() with a message. Sizes that an
 * outsider chooses (a body, an archive member, a message) must be limited by
 * the caller first, and use plain malloc() with its NULL handled when large
 * (over 1 MiB).
 */
#pragma once

#include <stddef.h>

void *mem_alloc(size_t size);                       /* zeroed; size 0 gives a unique pointer */
void *mem_array(size_t count, size_t size);         /* zeroed; overflow aborts */
void *mem_grow(void *old, size_t count, size_t size); /* realloc of an array; new tail not zeroed */
char *mem_strdup(const char *text);                 /* NULL gives NULL */
char *mem_strndup(const char *text, size_t length);
char *mem_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
void *mem_dup(const void *data, size_t size);

#define mem_new(type) ((type *)mem_alloc(sizeof(type)))
