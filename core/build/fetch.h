/* fetch.h - one file by HTTP or HTTPS, for ADD and for remote contexts.
 *
 * Only these two schemes, also after a redirect; limits on size, redirects and
 * silence. What is fetched is a stream of bytes in a file; nothing of it is believed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

struct fetch_result {
    uint64_t size;
    int64_t modified_s;      /* Last-Modified; -1 not told */
    char content_type[128];
};

bool fetch_is_address(const char *text); /* http:// or https:// */
/* Into fd (empty, writable). cancelled may be NULL. */
int fetch(const char *address, int fd, uint64_t max_bytes, bool (*cancelled)(void *user), void *user,
          struct fetch_result *ret, struct error *err);
