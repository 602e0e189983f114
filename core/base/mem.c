/* mem.c - allocations that succeed or end the program. Owner: base. */
#include "base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* write(2), since stdio may itself want to allocate. */
__attribute__((noreturn)) static void out_of_memory(void)
{
    static const char text[] = "out of memory\n";

    ssize_t ignored = write(STDERR_FILENO, text, sizeof(text) - 1);
    (void)ignored;
    abort();
}

void *mem_alloc(size_t size)
{
    void *p = calloc(1, size ? size : 1);

    if (!p)
        out_of_memory();
    return p;
}

void *mem_array(size_t count, size_t size)
{
    size_t total;

    if (__builtin_mul_overflow(count, size, &total))
        out_of_memory();
    return mem_alloc(total);
}

void *mem_grow(void *old, size_t count, size_t size)
{
    size_t total;

    if (__builtin_mul_overflow(count, size, &total))
        out_of_memory();
    /* realloc(p, 0) frees in glibc, which would leave the caller a dangling old. */
    void *p = realloc(old, total ? total : 1);
    if (!p)
        out_of_memory();
    return p;
}

void *mem_dup(const void *data, size_t size)
{
    void *p = mem_alloc(size);

    if (size)
        memcpy(p, data, size);
    return p;
}

char *mem_strdup(const char *text)
{
    return text ? mem_dup(text, strlen(text) + 1) : NULL;
}

char *mem_strndup(const char *text, size_t length)
{
    if (!text)
        return NULL;

    size_t actual = strnlen(text, length);
    if (actual == SIZE_MAX)
        out_of_memory();
    char *p = mem_alloc(actual + 1);
    memcpy(p, text, actual);
    return p;
}

char *mem_printf(const char *format, ...)
{
    va_list args;
    char *p;

    va_start(args, format);
    int length = vasprintf(&p, format, args);
    va_end(args);
    if (length < 0)
        out_of_memory();
    return p;
}
