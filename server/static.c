/* static.c - the console's files.
 *
 * Read when asked for, below one directory and nowhere else. What a file is
 * called decides its type; what is in it, its ETag. A name with a content hash in
 * it ("app.3f2a9c01.js") is kept by browsers for a year, others are asked for
 * again each time, which costs a 304. Ready-made NAME.br and NAME.gz are sent to
 * who takes them. Paths of the app itself ("/", "/ui/...") get index.html.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <mbedtls/sha256.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <uthash.h>

#include "base/fd.h"
#include "base/mem.h"
#include "server_internal.h"
#include "tabique/error.h"

#define FILE_LIMIT (32u << 20)
#define TAGS_MAX 4096

static const struct {
    const char *suffix, *type;
} types[] = {
    {".html", "text/html; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".mjs", "text/javascript; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".json", "application/json"},
    {".map", "application/json"},
    {".svg", "image/svg+xml"},
    {".png", "image/png"},
    {".jpg", "image/jpeg"},
    {".webp", "image/webp"},
    {".ico", "image/x-icon"},
    {".woff2", "font/woff2"},
    {".woff", "font/woff"},
    {".ttf", "font/ttf"},
    {".wasm", "application/wasm"},
    {".txt", "text/plain; charset=utf-8"},
    {".webmanifest", "application/manifest+json"},
};

struct tag { /* of one state of one file */
    char *path;
    ino_t inode;
    off_t size;
    struct timespec modified;
    char text[24];
    UT_hash_handle hh;
};

struct static_files {
    int directory;
    pthread_mutex_t lock;
    struct tag *tags;
};

int static_files_new(const char *dir, struct static_files **ret, struct error *err)
{
    int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, errno, "the console's files in %s", dir);
    struct static_files *files = mem_new(struct static_files);
    files->directory = fd;
    pthread_mutex_init(&files->lock, NULL);
    *ret = files;
    return 0;
}

void static_files_free(struct static_files *files)
{
    if (files == NULL)
        return;
    struct tag *tag, *next;
    HASH_ITER(hh, files->tags, tag, next)
    {
        HASH_DEL(files->tags, tag);
        free(tag->path);
        free(tag);
    }
    close(files->directory);
    pthread_mutex_destroy(&files->lock);
    free(files);
}

static int open_below(struct static_files *files, const char *path, struct stat *ret)
{
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
                           .resolve =
                               RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    int fd = (int)syscall(SYS_openat2, files->directory, path, &how, sizeof(how));
    if (fd < 0)
        return -ENOENT;
    if (fstat(fd, ret) < 0 || !S_ISREG(ret->st_mode) || ret->st_size > (off_t)FILE_LIMIT) {
        close(fd);
        return -ENOENT;
    }
    return fd;
}

static const char *type_of(const char *path)
{
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if (str_ends(path, types[i].suffix))
            return types[i].type;
    return "application/octet-stream";
}

/* ".3f2a9c01." or "-3f2a9c01." before the suffix, at least 8 hex digits. */
static bool has_hash(const char *path)
{
    const char *dot = strrchr(path, '.');
    if (dot == NULL)
        return false;
    size_t digits = 0;
    const char *at = dot;
    while (at > path && ((at[-1] >= '0' && at[-1] <= '9') || (at[-1] >= 'a' && at[-1] <= 'f')))
        at--, digits++;
    return digits >= 8 && at > path && (at[-1] == '.' || at[-1] == '-');
}

static bool tag_known(struct static_files *files, const char *path, const struct stat *st,
                      char out[24])
{
    struct tag *tag;
    pthread_mutex_lock(&files->lock);
    HASH_FIND_STR(files->tags, path, tag);
    bool known = tag != NULL && tag->inode == st->st_ino && tag->size == st->st_size &&
                 memcmp(&tag->modified, &st->st_mtim, sizeof(st->st_mtim)) == 0;
    if (known)
        memcpy(out, tag->text, sizeof(tag->text));
    pthread_mutex_unlock(&files->lock);
    return known;
}

static void tag_learn(struct static_files *files, const char *path, const struct stat *st,
                      const char *data, size_t length, char out[24])
{
    unsigned char hash[32];
    mbedtls_sha256((const unsigned char *)data, length, hash, 0);
    out[0] = '"';
    hex_encode(hash, 8, out + 1);
    memcpy(out + 17, "\"", 2);
    pthread_mutex_lock(&files->lock);
    struct tag *tag;
    HASH_FIND_STR(files->tags, path, tag);
    if (tag == NULL && HASH_COUNT(files->tags) < TAGS_MAX) {
        tag = mem_new(struct tag);
        tag->path = mem_strdup(path);
        HASH_ADD_KEYPTR(hh, files->tags, tag->path, strlen(tag->path), tag);
    }
    if (tag != NULL) {
        tag->inode = st->st_ino;
        tag->size = st->st_size;
        tag->modified = st->st_mtim;
        memcpy(tag->text, out, sizeof(tag->text));
    }
    pthread_mutex_unlock(&files->lock);
}

/* Accept-Encoding names it and does not give it q=0. */
static bool accepts(const char *header, const char *coding)
{
    size_t length = strlen(coding);
    for (const char *at = header; at != NULL && (at = strstr(at, coding)) != NULL; at += length) {
        bool begins = at == header || strchr(" ,\t", at[-1]) != NULL;
        const char *end = at + length;
        while (*end == ' ')
            end++;
        if (begins && (*end == '\0' || *end == ','))
            return true;
        if (begins && *end == ';') {
            const char *quality = strstr(end, "q=");
            return quality == NULL || strtod(quality + 2, NULL) > 0;
        }
    }
    return false;
}

static int send_file(struct static_files *files, struct request *request, const char *path, int fd,
                     const struct stat *st, const char *name, const char *coding)
{
    CLEANUP_CLOSE int file = fd;
    char tag[24] = "";
    bool known = tag_known(files, path, st, tag);
    const char *wanted = request_header(request, "If-None-Match");
    CLEANUP_FREE char *data = NULL;
    ssize_t length = 0;
    if (!known || wanted == NULL || strstr(wanted, tag) == NULL) {
        data = malloc((size_t)st->st_size + 1);
        if (data == NULL)
            return respond_status_error(request, 503, "out of memory");
        length = fd_read_full(file, data, (size_t)st->st_size);
        if (length < 0)
            return respond_status_error(request, 500, "%s cannot be read", name);
        if (!known)
            tag_learn(files, path, st, data, (size_t)length, tag);
    }
    respond_header(request, "ETag", tag);
    respond_header(request, "Cache-Control",
                   has_hash(name) ? "public, max-age=31536000, immutable" : "no-cache");
    respond_header(request, "Vary", "Accept-Encoding");
    if (wanted != NULL && strstr(wanted, tag) != NULL)
        return respond_empty(request, 304);
    if (coding != NULL)
        respond_header(request, "Content-Encoding", coding);
    return respond_data(request, 200, type_of(name), data, (size_t)length);
}

int static_serve(struct static_files *files, struct request *request)
{
    static const struct {
        const char *suffix, *coding;
    } variants[] = {{".br", "br"}, {".gz", "gzip"}};
    const char *method = request_method(request);
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        return -ENOENT;
    const char *name = request->path + 1;
    if (str_starts(name, "api/") || strlen(name) > 512)
        return -ENOENT;
    bool app = name[0] == '\0' || strcmp(name, "ui") == 0 ||
               (str_starts(name, "ui/") && strchr(name, '.') == NULL);
    if (app)
        name = "index.html";
    /* Ready-made variants have no address of their own, nor do hidden files. */
    if (strstr(name, "/.") != NULL || name[0] == '.' || str_ends(name, ".br") ||
        str_ends(name, ".gz"))
        return -ENOENT;
    struct stat st;
    const char *encodings = request_header(request, "Accept-Encoding");
    for (size_t i = 0; encodings != NULL && i < ARRAY_SIZE(variants); i++) {
        if (!accepts(encodings, variants[i].coding))
            continue;
        CLEANUP_FREE char *path = mem_printf("%s%s", name, variants[i].suffix);
        int fd = open_below(files, path, &st);
        if (fd >= 0)
            return send_file(files, request, path, fd, &st, name, variants[i].coding);
    }
    int fd = open_below(files, name, &st);
    if (fd < 0)
        return -ENOENT;
    return send_file(files, request, name, fd, &st, name, NULL);
}
