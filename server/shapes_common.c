#include "shapes.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "archive/archive.h"
#include "base/base64.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "shapes_private.h"

#define EXACT_IN_A_DOUBLE (UINT64_C(1) << 53)

void shape_add_uint64(cJSON *object, const char *key, uint64_t value)
{
    if (value < EXACT_IN_A_DOUBLE) {
        cJSON_AddNumberToObject(object, key, (double)value);
        return;
    }
    char text[24];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    cJSON_AddRawToObject(object, key, text);
}

void shape_add_time(cJSON *object, const char *key, int64_t ns)
{
    char text[TIME_TEXT_MAX];
    cJSON_AddStringToObject(object, key, time_format(ns, text));
}

void shape_add_time_or_null(cJSON *object, const char *key, int64_t ns)
{
    if (ns == 0)
        cJSON_AddNullToObject(object, key);
    else
        shape_add_time(object, key, ns);
}

char *shape_time_fixed(int64_t ns, char *out)
{
    int64_t seconds = ns / NS_PER_SEC, rest = ns % NS_PER_SEC;
    if (rest < 0) {
        rest += NS_PER_SEC;
        seconds--;
    }
    time_t when = (time_t)seconds;
    struct tm tm;
    gmtime_r(&when, &tm);
    /* The modulo tells the compiler (and a hostile log file) that a year has four digits. */
    snprintf(out, TIME_TEXT_MAX, "%04u-%02u-%02uT%02u:%02u:%02u.%09uZ",
             (unsigned)(tm.tm_year + 1900) % 10000u, (unsigned)(tm.tm_mon + 1) % 100u,
             (unsigned)tm.tm_mday % 100u, (unsigned)tm.tm_hour % 100u, (unsigned)tm.tm_min % 100u,
             (unsigned)tm.tm_sec % 100u, (unsigned)rest % 1000000000u);
    return out;
}

const char *shape_duration(int64_t ns, char *out, size_t size)
{
    const double seconds = (double)ns / (double)NS_PER_SEC;
    const long minutes = (long)(seconds / 60), hours = (long)(seconds / 3600 + 0.5);

    if (seconds < 1)
        return "Less than a second";
    if (seconds < 2)
        return "1 second";
    if (seconds < 60)
        snprintf(out, size, "%ld seconds", (long)seconds);
    else if (minutes == 1)
        return "About a minute";
    else if (minutes < 60)
        snprintf(out, size, "%ld minutes", minutes);
    else if (hours == 1)
        return "About an hour";
    else if (hours < 48)
        snprintf(out, size, "%ld hours", hours);
    else if (hours < 24 * 7 * 2)
        snprintf(out, size, "%ld days", hours / 24);
    else if (hours < 24 * 30 * 2)
        snprintf(out, size, "%ld weeks", hours / 24 / 7);
    else if (hours < 24 * 365 * 2)
        snprintf(out, size, "%ld months", hours / 24 / 30);
    else
        snprintf(out, size, "%ld years", (long)(seconds / 3600) / 24 / 365);
    return out;
}

/* Bits of Go's os.FileMode above the nine permission bits. */
#define GO_MODE_DIR (1u << 31)
#define GO_MODE_SYMLINK (1u << 27)
#define GO_MODE_DEVICE (1u << 26)
#define GO_MODE_NAMED_PIPE (1u << 25)
#define GO_MODE_SOCKET (1u << 24)
#define GO_MODE_SETUID (1u << 23)
#define GO_MODE_SETGID (1u << 22)
#define GO_MODE_CHAR_DEVICE (1u << 21)
#define GO_MODE_STICKY (1u << 20)

uint32_t shape_go_mode(uint32_t st_mode)
{
    static const struct {
        uint32_t type, go;
    } types[] = {
        {S_IFDIR, GO_MODE_DIR},         {S_IFLNK, GO_MODE_SYMLINK}, {S_IFBLK, GO_MODE_DEVICE},
        {S_IFIFO, GO_MODE_NAMED_PIPE},  {S_IFSOCK, GO_MODE_SOCKET},
        {S_IFCHR, GO_MODE_DEVICE | GO_MODE_CHAR_DEVICE},
    };
    static const struct {
        uint32_t bit, go;
    } bits[] = {{S_ISUID, GO_MODE_SETUID}, {S_ISGID, GO_MODE_SETGID}, {S_ISVTX, GO_MODE_STICKY}};

    uint32_t mode = st_mode & 0777;
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        if ((st_mode & S_IFMT) == types[i].type)
            mode |= types[i].go;
    }
    for (size_t i = 0; i < ARRAY_SIZE(bits); i++) {
        if (st_mode & bits[i].bit)
            mode |= bits[i].go;
    }
    return mode;
}

char *shape_path_stat(const struct archive_stat *stat)
{
    CLEANUP_JSON cJSON *json = cJSON_CreateObject();
    json_add_string(json, "name", stat->name ? stat->name : "");
    json_add_int(json, "size", stat->size);
    json_add_int(json, "mode", shape_go_mode(stat->mode));
    /* 0 is a time here, and many archives carry it. */
    if (stat->mtime_ns == 0)
        json_add_string(json, "mtime", "1970-01-01T00:00:00Z");
    else
        shape_add_time(json, "mtime", stat->mtime_ns);
    json_add_string(json, "linkTarget", stat->link_target ? stat->link_target : "");
    CLEANUP_FREE char *text = json_print(json);
    return base64_encode(text, strlen(text));
}
