/* log_line.h - one line of a json-file log. */
#pragma once

#include <stddef.h>

#include "base/str.h"

struct container_log_line;

/* {"log":"text\n","stream":"stdout","time":"RFC 3339"}, other fields ignored.
 * The line points into `text` until its next use. 0 or -EBADMSG. */
/* The line's attrs as "k=v,k=v", sorted, escaped as in a URL's query; NULL: none. free() it. */
char *log_line_attributes(const char *data, size_t length);
int log_line_decode(const char *data, size_t length, struct str *text, struct container_log_line *ret);
