/* blob.c - blobs, over the wire. Owner: registry. */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "registry/session.h"
#include "tabique/error.h"

struct arriving {
    const struct blob_sink *sink;
    uint64_t size, asked, at;
    bool begun;
    char wrong[160]; /* what the registry did; "": nothing */
};

/* "bytes 100-199/200": where the part begins, and how long the whole is. */
static bool range_parse(const char *text, uint64_t *ret_from, uint64_t *ret_size)
{
    if (!text || !str_starts(text, "bytes "))
        return false;
    CLEANUP_FREE char *copy = mem_strdup(text + strlen("bytes "));
    char *dash = strchr(copy, '-'), *slash = strchr(copy, '/');
    if (!dash || !slash || dash > slash)
        return false;
    *dash = '\0';
    return str_to_u64(copy, ret_from) == 0 && str_to_u64(slash + 1, ret_size) == 0;
}

static int begin(struct arriving *arriving, const struct http_answer *answer)
{
    uint64_t size = arriving->size;

    arriving->begun = true;
    arriving->at = arriving->asked;
    if (answer->status != 206) {
        arriving->at = 0; /* all of it, asked for or not */
        if (answer->length >= 0)
            size = (uint64_t)answer->length;
    } else {
        uint64_t from = 0;

        if (!range_parse(answer->content_range, &from, &size) || from != arriving->asked) {
            snprintf(arriving->wrong, sizeof(arriving->wrong), "the registry sent another part than was asked for");
            return -EBADMSG;
        }
    }
    if (size != arriving->size) {
        snprintf(arriving->wrong, sizeof(arriving->wrong), "wrong length: it should have %llu bytes, and the registry sends %llu",
                 (unsigned long long)arriving->size, (unsigned long long)size);
        return -EBADMSG;
    }
    return arriving->sink->begin(arriving->sink->user, arriving->at);
}

static int take(void *user, const struct http_answer *answer, const void *data, size_t length)
{
    struct arriving *arriving = user;

    if (!arriving->begun) {
        int r = begin(arriving, answer);
        if (r < 0)
            return r;
    }
    if (length > arriving->size - arriving->at) {
        snprintf(arriving->wrong, sizeof(arriving->wrong), "wrong length: it should have %llu bytes, and the registry sends more",
                 (unsigned long long)arriving->size);
        return -EBADMSG;
    }
    arriving->at += length;
    return arriving->sink->write(arriving->sink->user, data, length);
}

int registry_blob_get(struct session *session, struct http *http, const char *digest, uint64_t size, uint64_t offset,
             const struct blob_sink *sink, struct error *err)
{
    CLEANUP_FREE char *url = registry_session_url(session, "blobs/%s", digest);
    CLEANUP_FREE char *range = mem_printf("Range: bytes=%llu-", (unsigned long long)offset);
    const char *const headers[] = {range, NULL};
    CLEANUP_ANSWER struct http_answer answer = {0};
    struct arriving arriving = {.sink = sink, .size = size, .asked = offset};
    struct http_call call = {
        .method = "GET",
        .url = url,
        .headers = offset ? headers : NULL,
        .write = take,
        .write_user = &arriving,
    };

    int r = registry__session_ask(session, http, &call, &answer, NULL, err);
    if (*arriving.wrong)
        return error_set(err, EBADMSG, "blob %.19s: %s", digest, arriving.wrong);
    if (r < 0)
        return r;
    if (arriving.at != size && !(size == 0 && !arriving.begun)) /* a chunked answer that ended early */
        return error_set(err, EIO, "blob %.19s: unexpected end: %llu of %llu bytes", digest, (unsigned long long)arriving.at,
                         (unsigned long long)size);
    return 0;
}

/* --- small ones ---------------------------------------------------------------------------- */

static int text_begin(void *user, uint64_t offset)
{
    str_clear(user);
    return 0;
}

static int text_write(void *user, const void *data, size_t length)
{
    str_append_n(user, data, length);
    return 0;
}

int registry_blob_text(struct session *session, struct http *http, const char *digest, int64_t size, size_t limit, char **ret,
              size_t *ret_length, struct error *err)
{
    CLEANUP_STR struct str text = STR_INIT;
    const struct blob_sink sink = {text_begin, text_write, &text};
    char found[DIGEST_TEXT_MAX];

    if (size < 0 || (uint64_t)size > limit)
        return error_set(err, EFBIG, "blob %.19s is larger than %zu bytes", digest, limit);
    int r = registry_blob_get(session, http, digest, (uint64_t)size, 0, &sink, err);
    if (r < 0)
        return r;
    digest_of(text.data ? text.data : "", text.length, found);
    if (strcmp(found, digest) != 0)
        return error_set(err, EBADMSG, "filesystem layer verification failed for digest %s", digest);
    *ret_length = text.length;
    *ret = str_take(&text);
    return 0;
}

/* --- sending --------------------------------------------------------------------------------- */

int registry_blob_exists(struct session *session, struct http *http, const char *digest, int64_t *ret_size, struct error *err)
{
    CLEANUP_FREE char *url = registry_session_url(session, "blobs/%s", digest);
    CLEANUP_ANSWER struct http_answer answer = {0};
    struct http_call call = {.method = "HEAD", .url = url};

    int r = registry__session_ask(session, http, &call, &answer, NULL, err);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    *ret_size = answer.length;
    return 1;
}

int registry_blob_begin(struct session *session, struct http *http, const char *digest, const char *from, char **ret_location,
               struct error *err)
{
    CLEANUP_FREE char *escaped = from ? registry__http_escape(from) : NULL;
    CLEANUP_FREE char *url = from ? registry_session_url(session, "blobs/uploads/?from=%s&mount=%s", escaped, digest)
                                  : registry_session_url(session, "blobs/uploads/");
    CLEANUP_ANSWER struct http_answer answer = {0};
    struct http_call call = {.method = "POST", .url = url, .patient = true};

    int r = registry__session_ask(session, http, &call, &answer, NULL, err);
    if (r < 0)
        return r;
    if (from && answer.status == 201)
        return 1;
    if (answer.status != 202 || !answer.location)
        return error_set(err, EIO, "the registry began no upload (status %d)", answer.status);
    *ret_location = TAKE_PTR(answer.location);
    return 0;
}

int registry_blob_send(struct session *session, struct http *http, char **location, http_read_fn *read, void *user, int64_t length,
              struct error *err)
{
    CLEANUP_ANSWER struct http_answer answer = {0};
    struct http_call call = {
        .method = "PATCH",
        .url = *location,
        .content_type = "application/octet-stream",
        .read = read,
        .read_user = user,
        .read_length = length,
        .patient = true,
    };

    int r = registry__session_ask(session, http, &call, &answer, NULL, err);
    if (r < 0)
        return r;
    if (!answer.location)
        return error_set(err, EIO, "the registry does not say where the upload goes on");
    free(*location);
    *location = TAKE_PTR(answer.location);
    return 0;
}

int registry_blob_finish(struct session *session, struct http *http, const char *location, const char *digest, struct error *err)
{
    CLEANUP_FREE char *escaped = registry__http_escape(digest);
    CLEANUP_FREE char *url = mem_printf("%s%sdigest=%s", location, strchr(location, '?') ? "&" : "?", escaped);
    CLEANUP_ANSWER struct http_answer answer = {0};
    struct http_call call = {
        .method = "PUT", .url = url, .content_type = "application/octet-stream", .patient = true};

    return registry__session_ask(session, http, &call, &answer, NULL, err);
}

void registry_blob_abandon(struct session *session, struct http *http, const char *location)
{
    CLEANUP_ANSWER struct http_answer answer = {0};
    struct http_call call = {.method = "DELETE", .url = location};

    registry__session_call(session, http, &call, &answer, NULL);
}
