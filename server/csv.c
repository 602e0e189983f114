#include "csv.h"

#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"

static void append_cell(struct str *out, const char *text)
{
    const bool formula = text[0] && strchr("=+-@\t\r", text[0]);
    if (!formula && !strpbrk(text, ",\"\r\n")) {
        str_append(out, text);
        return;
    }
    str_append_char(out, '"');
    if (formula)
        str_append_char(out, '\'');
    for (; *text; text++) {
        if (*text == '"')
            str_append_char(out, '"');
        str_append_char(out, *text);
    }
    str_append_char(out, '"');
}

static const cJSON *find(const cJSON *row, const char *path, size_t length)
{
    while (row && length) {
        const char *dot = memchr(path, '.', length);
        const size_t part = dot ? (size_t)(dot - path) : length;
        CLEANUP_FREE char *key = mem_strndup(path, part);
        row = cJSON_GetObjectItemCaseSensitive(row, key);
        if (!dot)
            break;
        path += part + 1;
        length -= part + 1;
    }
    return row;
}

char *csv_table(const cJSON *rows, const char *const *columns)
{
    struct str out = STR_INIT;

    for (size_t i = 0; columns[i]; i++) {
        const char *title = strchr(columns[i], '=');
        if (i)
            str_append_char(&out, ',');
        append_cell(&out, title ? title + 1 : columns[i]);
    }
    str_append(&out, "\r\n");

    const cJSON *row;
    cJSON_ArrayForEach (row, rows) {
        for (size_t i = 0; columns[i]; i++) {
            const cJSON *cell = find(row, columns[i], strcspn(columns[i], "="));
            if (i)
                str_append_char(&out, ',');
            if (!cell || cJSON_IsNull(cell))
                continue;
            if (cJSON_IsString(cell)) {
                append_cell(&out, cell->valuestring);
                continue;
            }
            CLEANUP_FREE char *text = json_print(cell);
            if (cJSON_IsObject(cell) || cJSON_IsArray(cell))
                append_cell(&out, text ? text : "");
            else
                str_append(&out, text ? text : "");
        }
        str_append(&out, "\r\n");
    }
    return str_take(&out);
}
