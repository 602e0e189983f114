/* head.h - is this an HTTP/1 head that only one reading fits?
 *
 * Pure. What proxies and servers are known to read differently (two lengths, a
 * length and chunks, bare line ends, folded lines, spaces before a colon, control
 * characters) is refused before anything else sees it; civetweb then parses what
 * is left. Source: RFC 9112, sections 2.2, 3, 5, 6.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define HEAD_MAX (32u << 10)
#define HEAD_TARGET_MAX (16u << 10)
#define HEAD_FIELDS_MAX 60 /* civetweb would drop those over 64 */

struct head {
    int64_t content_length; /* -1: none given */
    bool chunked;
    bool http10;
    bool keep_alive;
    bool expect_continue;
};

/* Length of the head in data up to and with its empty line; 0: not all here yet.
 * Empty lines before it count (at most 2). */
size_t head_length(const char *data, size_t length);
/* 0 and *ret; else the HTTP status to refuse it with, and a reason. */
int head_check(const char *data, size_t length, struct head *ret, const char **ret_reason);
