/* csv.h - JSON rows as CSV (RFC 4180): a header line, then one line a row.
 *
 * A cell that a spreadsheet would take for a formula (it begins with = + - @,
 * a tab or a carriage return) gets an apostrophe before it: process names and
 * command lines are written by whoever runs in a container. Numbers are not
 * touched. Pure. Threads: any.
 */
#pragma once

#include <cjson/cJSON.h>

/* columns: NULL-terminated; "a.b" takes b of object a; "a.b=title" names it so.
 * Objects and arrays in a cell are written as JSON. Never NULL; free(). */
char *csv_table(const cJSON *rows, const char *const *columns);
