/* manifest.c - manifests and lists of tags, over the wire. What they say is image's to read. Owner: registry. */
#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "registry/session.h"
#include "tabique/error.h"

#define TAGS_MAX 10000
#define TAG_PAGES_MAX 200
#define TAGS_ANSWER_MAX ((size_t)8 << 20)

void registry_manifest_clear(struct registry_manifest *manifest)
{
    free(manifest->text);
    free(manifest->media_type);
    *manifest = (struct registry_manifest){0};
}

int registry_manifest_get(struct session *session, struct http *http, const char *reference, struct registry_manifest *ret,
                 enum registry_fault *ret_fault, struct error *err)
{
    static const char *const accepted[] = {
        "Accept: application/vnd.oci.image.index.v1+json",
        "Accept: application/vnd.docker.distribution.manifest.list.v2+json",
        "Accept: application/vnd.oci.image.manifest.v1+json",
        "Accept: application/vnd.docker.distribution.manifest.v2+json",
        "Accept: application/vnd.docker.distribution.manifest.v1+prettyjws",
        NULL,
    };
    CLEANUP_FREE char *url = registry_session_url(session, "manifests/%s", reference);
    CLEANUP_ANSWER struct http_answer answer = {0};
    struct http_call call = {.method = "GET", .url = url, .headers = accepted, .limit = MANIFEST_MAX};
    char digest[DIGEST_TEXT_MAX];

    int r = registry__session_ask(session, http, &call, &answer, ret_fault, err);
    if (r < 0) {
        /* In Docker's words; it asks with HEAD first. */
        if (r == -EACCES && err && str_starts(err->message, "no basic"))
            error_prefix(err, "Head \"%s\"", url);
        return r;
    }
    digest_of(answer.body.data ? answer.body.data : "", answer.body.length, digest);
    const char *wanted = digest_valid(reference) ? reference : answer.digest;
    if (wanted && strcmp(wanted, digest) != 0)
        return error_set(err, EIO, "manifest verification failed for digest %s", wanted);
    ret->length = answer.body.length;
    ret->text = str_take(&answer.body);
    ret->media_type = TAKE_PTR(answer.content_type);
    memcpy(ret->digest, digest, sizeof(digest));
    return 0;
}

int registry_manifest_put(struct session *session, struct http *http, const char *reference, const struct registry_manifest *manifest,
                 struct error *err)
{
    CLEANUP_FREE char *url = registry_session_url(session, "manifests/%s", reference);
    CLEANUP_ANSWER struct http_answer answer = {0};
    struct http_call call = {
        .method = "PUT",
        .url = url,
        .content_type = manifest->media_type,
        .body = manifest->text,
        .body_length = manifest->length,
        .patient = true,
    };

    int r = registry__session_ask(session, http, &call, &answer, NULL, err);
    if (r == 0 && answer.digest && strcmp(answer.digest, manifest->digest) != 0)
        return error_set(err, EIO, "the registry took the manifest %s for %s", manifest->digest, answer.digest);
    return r;
}

/* The next page's address out of a Link header: <...>; rel="next". */
static char *next_page(const struct http_answer *answer)
{
    const char *link = answer->link;

    if (!link || *link != '<' || !strstr(link, "rel=\"next\""))
        return NULL;
    CLEANUP_FREE char *relative = mem_strndup(link + 1, strcspn(link + 1, ">"));
    return registry__http_resolve(answer->url, relative);
}

int registry_manifest_tags(struct session *session, struct http *http, char ***ret, enum registry_fault *ret_fault, struct error *err)
{
    CLEANUP_STRV char **tags = NULL;
    CLEANUP_FREE char *url = registry_session_url(session, "tags/list");

    for (int page = 0; url; page++) {
        CLEANUP_ANSWER struct http_answer answer = {0};
        CLEANUP_JSON cJSON *json = NULL;
        CLEANUP_STRV char **some = NULL;
        struct http_call call = {.method = "GET", .url = url, .limit = TAGS_ANSWER_MAX};

        int r = registry__session_ask(session, http, &call, &answer, ret_fault, err);
        if (r < 0)
            return r;
        if (json_parse(answer.body.data ? answer.body.data : "", answer.body.length, &json, NULL) < 0)
            return error_set(err, EIO, "the registry's list of tags is not JSON");
        some = json_strv(json, "tags");
        if (page >= TAG_PAGES_MAX || strv_length(tags) + strv_length(some) > TAGS_MAX)
            return error_set(err, EFBIG, "the repository has more than %d tags", TAGS_MAX);
        for (char **tag = some; tag && *tag; tag++)
            strv_push(&tags, *tag);
        free(url);
        url = next_page(&answer);
    }
    *ret = TAKE_PTR(tags);
    return 0;
}
