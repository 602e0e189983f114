/* copy.c - COPY and ADD: which files, where to, and the layer with them. Owner: build.
 *
 * Sources are found in a root (the context, or an image's file system), the
 * destination in the state's; both are somebody else's, so all paths stay inside by
 * openat2, and what is read is looked at before it is opened. The bytes go through
 * core/archive, which keeps attributes, links and holes and overwrites as tar does.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "archive/digest.h"
#include "archive/pump.h"
#include "base/path.h"
#include "build/fetch.h"
#include "build/internal.h"
#include "build/owner.h"
#include "build/pattern.h"
#include "image/rootfs.h"
#include "image/words.h"

#define MATCHES_MAX 100000
#define LINKS_MAX 16

struct source {
    int root_fd;      /* borrowed */
    char *path;       /* "/a/b": in the root, links followed */
    char *base;       /* what the file is called at a directory */
    bool directory, archive, fetched;
    char digest[DIGEST_TEXT_MAX];
};

struct copy {
    struct build *build;
    const char *name;         /* "COPY" */
    bool add;
    const char *from;         /* --from; NULL */
    int root_fd;              /* of the sources */
    int own_root_fd;
    struct source *sources;
    size_t count;
    char *destination;        /* as written, expanded */
    char *target;             /* absolute, clean */
    bool into;                /* ends with a slash: a directory is meant */
    char *chown;              /* expanded; NULL */
    struct archive_owner owner;
};

static void copy_clear(struct copy *copy)
{
    for (size_t i = 0; i < copy->count; i++) {
        free(copy->sources[i].path);
        free(copy->sources[i].base);
    }
    free(copy->sources);
    free(copy->destination);
    free(copy->target);
    free(copy->chown);
    cleanup_close(&copy->own_root_fd);
}

/* --- which files ---------------------------------------------------------------------- */

static struct source *push_source(struct copy *copy, int root_fd, char *path, const char *base)
{
    copy->sources = mem_grow(copy->sources, copy->count + 1, sizeof(*copy->sources));
    struct source *source = &copy->sources[copy->count++];
    *source = (struct source){.root_fd = root_fd, .path = path, .base = mem_strdup(base)};
    return source;
}

static int not_found(const struct copy *copy, const char *path, struct error *err)
{
    if (copy->from)
        return error_set(err, EINVAL, "%s failed: stat %s: file does not exist", copy->name, path + strspn(path, "/"));
    return error_set(err, EINVAL, "%s failed: file not found in build context or excluded by .dockerignore: stat %s: "
                                  "file does not exist",
                     copy->name, path + strspn(path, "/"));
}

/* A link as the whole source stands for what it names. */
static int follow(int root_fd, char **path)
{
    for (int i = 0; i < LINKS_MAX; i++) {
        struct archive_stat stat = {0};

        int r = archive_stat(root_fd, *path, &stat, NULL);
        if (r < 0)
            return r;
        bool link = S_ISLNK(stat.mode);
        free(stat.name);
        if (link) {
            free(*path);
            *path = stat.link_target[0] == '/' ? mem_strdup(stat.link_target) : mem_printf("/%s", stat.link_target);
        }
        free(stat.link_target);
        if (!link)
            return 0;
    }
    return -ELOOP;
}

/* Equal trees give equal sums, whatever their times; a file's own name counts, since
 * it may be what it is called at its destination. */
static int sum_write(void *user, const void *data, size_t size)
{
    digest_update(user, data, size);
    return 0;
}

static int sum(struct source *source, struct error *err)
{
    CLEANUP_DIGEST struct digest *digest = digest_new();
    CLEANUP_FREE char *path = source->directory ? mem_printf("%s/.", source->path) : mem_strdup(source->path);

    int r = archive_create(source->root_fd, path, source->directory ? "." : source->base, ARCHIVE_NO_TIMES, sum_write,
                           digest, err);
    if (r < 0)
        return r;
    digest_finish(digest, source->digest);
    return 0;
}

static bool is_archive(const struct source *source)
{
    CLEANUP_CLOSE int fd = path_open_in(source->root_fd, source->path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);

    return fd >= 0 && archive_is_tar(fd);
}

static int add_source(struct copy *copy, const char *text, struct error *err)
{
    CLEANUP_FREE char *rooted = mem_printf("/%s", text);
    char *path = path_clean(rooted);
    const char *base = path_base(path);
    struct stat st;

    struct source *source = push_source(copy, copy->root_fd, path, *base ? base : ".");
    int r = follow(copy->root_fd, &source->path);
    CLEANUP_CLOSE int fd = r < 0 ? r : path_open_in(copy->root_fd, source->path, O_PATH | O_NOFOLLOW, 0);
    if (fd < 0 || fstat(fd, &st) < 0)
        return not_found(copy, text, err);
    source->directory = S_ISDIR(st.st_mode);
    if (!source->directory && !S_ISREG(st.st_mode))
        return error_set(err, EINVAL, "%s failed: %s is neither a file nor a directory", copy->name, text);
    source->archive = copy->add && !source->directory && is_archive(source);
    return sum(source, err);
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static char **list_directory(int root_fd, const char *path)
{
    CLEANUP_CLOSE int fd = path_open_in(root_fd, *path ? path : ".", O_RDONLY | O_DIRECTORY, 0);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    char **names = NULL;

    if (!stream)
        return NULL;
    TAKE_FD(fd);
    for (struct dirent *entry; (entry = readdir(stream));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            strv_push(&names, entry->d_name);
    closedir(stream);
    size_t count = strv_length(names);
    if (count > 1)
        qsort(names, count, sizeof(*names), by_bytes);
    return names;
}

/* Segment by segment: `found` holds the paths that the pattern's beginning matches. */
static char **expand_pattern(int root_fd, const char *pattern)
{
    CLEANUP_STRV char **segments = strv_split(pattern, '/');
    char **found = NULL;

    strv_push(&found, "");
    for (char **segment = segments; segment && *segment; segment++) {
        CLEANUP_STRV char **before = found;

        found = NULL;
        if (**segment == '\0')
            found = TAKE_PTR(before);
        for (char **path = before; path && *path && strv_length(found) < MATCHES_MAX; path++) {
            CLEANUP_STRV char **names = NULL;

            if (pattern_has_wildcard(*segment))
                names = list_directory(root_fd, *path);
            else
                strv_push(&names, *segment);
            for (char **name = names; name && *name; name++) {
                CLEANUP_FREE char *below = **path ? mem_printf("%s/%s", *path, *name) : mem_strdup(*name);
                CLEANUP_CLOSE int fd = -EBADF;

                if (pattern_has_wildcard(*segment) && !pattern_match(*segment, *name, 0))
                    continue;
                fd = path_open_in(root_fd, below, O_PATH | O_NOFOLLOW, 0);
                if (fd >= 0)
                    strv_push(&found, below);
            }
        }
    }
    return found;
}

static int add_pattern(struct copy *copy, const char *text, struct error *err)
{
    CLEANUP_FREE char *rooted = mem_printf("/%s", text);
    CLEANUP_FREE char *clean = path_clean(rooted);
    CLEANUP_STRV char **found = expand_pattern(copy->root_fd, clean);
    int r = 0;

    for (char **path = found; r == 0 && path && *path; path++)
        r = add_source(copy, *path, err);
    return r;
}

static int add_address(struct copy *copy, const char *address, struct error *err)
{
    struct build *build = copy->build;
    CLEANUP_FREE char *path = mem_strndup(address, strcspn(address, "?#"));
    const char *behind = strstr(path, "://") + 3;
    const char *base = strchr(behind, '/') ? path_base(path) : "";
    struct fetch_result result;

    if (*base == '\0' && copy->into)
        return error_set(err, EINVAL, "%s failed: cannot determine filename from url: %s", copy->name, address);
    if (strcmp(base, "..") == 0 || strcmp(base, ".") == 0)
        return error_set(err, EINVAL, "%s failed: cannot determine filename from url: %s", copy->name, address);
    CLEANUP_FREE char *file = mem_printf("remote/%u", build->context.fetched++);
    CLEANUP_CLOSE int fd = openat(build->context.dir_fd, file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_errno(err, EIO, "cannot keep a download");
    int r = fetch(address, fd, BUILD_CONTEXT_MAX_BYTES, build->callbacks->cancelled, build->callbacks->user, &result,
                  err);
    if (r < 0)
        return error_prefix(err, "%s failed", copy->name);
    /* As Docker: 0600, dated as the server says. */
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = result.modified_s > 0 ? result.modified_s : 0}};
    futimens(fd, times);
    struct source *source = push_source(copy, build->context.dir_fd, mem_printf("/%s", file), *base ? base : "file");
    source->fetched = true;
    return sum(source, err);
}

static int find_sources(struct copy *copy, char *const *texts, struct error *err)
{
    int r = 0;

    for (char *const *text = texts; r == 0 && *text; text++) {
        CLEANUP_FREE char *clean = path_clean(*text);

        if (copy->add && fetch_is_address(*text))
            r = add_address(copy, *text, err);
        else if (fetch_is_address(*text))
            r = error_set(err, EINVAL, "%s failed: source can't be a URL for %s", copy->name, copy->name);
        else if (strcmp(clean, "..") == 0 || str_starts(clean, "../"))
            r = error_set(err, EINVAL, "%s failed: forbidden path outside the build context: %s ()", copy->name, *text);
        else if (pattern_has_wildcard(*text))
            r = add_pattern(copy, *text, err);
        else
            r = add_source(copy, *text, err);
        if (r == 0)
            r = build_check_cancelled(copy->build, err);
    }
    if (r == 0 && copy->count == 0)
        r = error_set(err, EINVAL, "%s failed: no source files were specified", copy->name);
    if (r == 0 && copy->count > 1 && !copy->into)
        r = error_set(err, EINVAL, "When using %s with more than one source file, the destination must be a directory "
                                   "and end with a /",
                      copy->name);
    return r;
}

/* --- where to -------------------------------------------------------------------------- */

/* A directory and those above it; the new ones belong to the copy's owner. */
static int make_directories(const struct copy *copy, int root_fd, const char *path, bool *ret_new, struct error *err)
{
    CLEANUP_CLOSE int there = path_open_in(root_fd, path, O_PATH | O_DIRECTORY, 0);
    CLEANUP_CLOSE int made = -EBADF;
    CLEANUP_FREE char *above = path_dir(path);
    bool ignored;
    int r = there < 0 ? there : 0;

    *ret_new = r == -ENOENT;
    if (*ret_new && strcmp(path, "/") != 0) {
        r = make_directories(copy, root_fd, above, &ignored, err);
        if (r < 0)
            return r;
        made = path_mkdir_in(root_fd, path, 0755);
        r = made < 0 ? made : fchownat(made, "", copy->owner.uid, copy->owner.gid, AT_EMPTY_PATH) < 0 ? -errno : 0;
    }
    if (r == -ENOTDIR || r == -EEXIST)
        return error_set(err, EINVAL, "%s failed: cannot copy to non-directory: %s", copy->name, path);
    return r < 0 ? error_set(err, EINVAL, "%s failed: cannot make the directory %s: %s", copy->name, path, strerror(-r)) : 0;
}

static bool is_directory(int root_fd, const char *path)
{
    CLEANUP_CLOSE int fd = path_open_in(root_fd, path, O_PATH | O_DIRECTORY, 0);

    return fd >= 0;
}

/* The mode of a directory that the copy made is its source's. */
static int take_mode(const struct copy *copy, const struct source *source, int root_fd, struct error *err)
{
    CLEANUP_CLOSE int from = path_open_in(source->root_fd, source->path, O_PATH | O_DIRECTORY, 0);
    CLEANUP_CLOSE int to = path_open_in(root_fd, copy->target, O_RDONLY | O_DIRECTORY, 0);
    struct stat st;

    if (from < 0 || to < 0 || fstat(from, &st) < 0 ||
        fchmod(to, copy->owner.mode == ARCHIVE_MODE_KEPT ? st.st_mode & 07777 : copy->owner.mode) < 0)
        return error_errno(err, EIO, "%s failed: cannot set the mode of %s", copy->name, copy->target);
    return 0;
}

static int copy_directory(const struct copy *copy, const struct source *source, int root_fd, struct error *err)
{
    CLEANUP_FREE char *contents = mem_printf("%s/.", source->path);
    const struct archive_tree tree = {source->root_fd, contents, ".", 0};
    bool made;

    int r = make_directories(copy, root_fd, copy->target, &made, err);
    if (r == 0)
        r = archive_copy(&tree, root_fd, copy->target, 0, &copy->owner, err);
    return r == 0 && made ? take_mode(copy, source, root_fd, err) : r;
}

static int unpack_archive(const struct copy *copy, const struct source *source, int root_fd, struct error *err)
{
    CLEANUP_CLOSE int fd = path_open_in(source->root_fd, source->path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
    bool made;

    if (fd < 0)
        return error_errno(err, EIO, "%s failed: cannot open %s", copy->name, source->path);
    int r = make_directories(copy, root_fd, copy->target, &made, err);
    return r < 0 ? r : archive_extract(root_fd, copy->target, archive_read_fd, &fd, ARCHIVE_KEEP_OWNER, NULL, NULL, err);
}

static int copy_file(const struct copy *copy, const struct source *source, int root_fd, struct error *err)
{
    bool into = copy->into || is_directory(root_fd, copy->target);
    char *path = into ? path_join(copy->target, source->base) : mem_strdup(copy->target);
    struct archive_owner owner = copy->owner;
    bool made;

    /* Through a link in the image to what it names, inside the image. */
    int r = follow(root_fd, &path);
    CLEANUP_FREE char *final = path;
    CLEANUP_FREE char *directory = path_dir(final);
    if (r == -ELOOP)
        return error_set(err, EINVAL, "%s failed: too many links at %s", copy->name, copy->target);
    r = make_directories(copy, root_fd, directory, &made, err);
    if (r < 0)
        return r;
    if (source->fetched && owner.mode == ARCHIVE_MODE_KEPT)
        owner.mode = 0600;
    const struct archive_tree tree = {source->root_fd, source->path, path_base(final), 0};
    return archive_copy(&tree, root_fd, directory, 0, &owner, err);
}

static int copy_all(const struct copy *copy, int root_fd, struct error *err)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < copy->count; i++) {
        const struct source *source = &copy->sources[i];

        r = source->directory ? copy_directory(copy, source, root_fd, err)
          : source->archive ? unpack_archive(copy, source, root_fd, err) : copy_file(copy, source, root_fd, err);
        if (r == 0)
            r = build_check_cancelled(copy->build, err);
    }
    return r;
}

/* --- the instruction -------------------------------------------------------------------- */

static int read_words(struct copy *copy, const char *rest, char ***ret_sources, struct error *err)
{
    CLEANUP_JSON cJSON *list = words_list(rest);
    CLEANUP_STRV char **raw = NULL, **words = NULL;
    const cJSON *item;
    int r = 0;

    if (!list)
        raw = words_fields(rest);
    cJSON_ArrayForEach(item, list)
        strv_push(&raw, item->valuestring);
    for (char **word = raw; r == 0 && *word; word++) {
        char *expanded;

        r = build_expand(copy->build, *word, &expanded, err);
        if (r == 0)
            strv_take(&words, expanded);
    }
    if (r < 0)
        return r;
    size_t count = strv_length(words);
    copy->destination = words[count - 1];
    words[count - 1] = NULL;
    *ret_sources = TAKE_PTR(words);
    return 0;
}

static int read_target(struct copy *copy, struct error *err)
{
    const char *text = copy->destination;
    const char *work = json_string(copy->build->state.config, "WorkingDir", "/");
    CLEANUP_FREE char *joined = *text == '/' ? mem_strdup(text) : mem_printf("/%s/%s", work, text);

    if (*text == '\0')
        return error_set(err, EINVAL, "%s failed: the destination is empty", copy->name);
    copy->target = path_clean(joined);
    copy->into = str_ends(text, "/") || str_ends(text, "/.");
    return 0;
}

static int read_mode(const char *text, uint32_t *ret, struct error *err)
{
    uint32_t mode = 0;
    size_t n = strspn(text, "01234567");

    if (n == 0 || n > 5 || text[n])
        return error_set(err, EINVAL, "invalid chmod parameter: '%s'. it should be octal string and between 0 and 07777",
                         text);
    for (const char *at = text; *at; at++)
        mode = mode * 8 + (uint32_t)(*at - '0');
    if (mode > 07777)
        return error_set(err, EINVAL, "invalid chmod parameter: '%s'. it should be octal string and between 0 and 07777",
                         text);
    *ret = mode;
    return 0;
}

static int open_from(struct copy *copy, const char *from, struct error *err)
{
    struct build *build = copy->build;
    CLEANUP_FREE char *id = NULL;
    size_t now = strv_length(build->stage_images);
    int index = dockerfile_find_stage(build->dockerfile, from), r = 0;

    if (index >= 0 && (size_t)index < now) {
        id = mem_strdup(build->stage_images[index]);
        if (*id == '\0')
            r = error_set(err, EINVAL, "invalid from flag value %s: the stage has no image", from);
    } else if (index >= 0 && (size_t)index == now) {
        r = error_set(err, EINVAL, "invalid from flag value %s: refers to current build stage", from);
    } else if (from[0] && from[strspn(from, "0123456789")] == '\0' && strlen(from) < 10) {
        /* Not a beginning of some image's id. */
        r = error_set(err, EINVAL, "invalid from flag value %s: index out of bounds", from);
    } else {
        r = build_find_image(build, from, build->options->platform, &id, err);
        if (r < 0)
            r = error_prefix(err, "invalid from flag value %s", from);
    }
    if (r == 0)
        r = image_overlay_open(build->images, id, NULL, NULL, &copy->own_root_fd, err);
    copy->root_fd = copy->own_root_fd;
    return r;
}

/* "file:SUM", "dir:SUM", "multi:SUM of sums": the history's, and so the cache's. */
static char *describe_sources(const struct copy *copy)
{
    if (copy->count == 1) {
        const struct source *source = &copy->sources[0];
        return mem_printf("%s:%s", source->directory ? "dir" : "file", digest_hex(source->digest));
    }
    CLEANUP_DIGEST struct digest *digest = digest_new();
    char text[DIGEST_TEXT_MAX];
    for (size_t i = 0; i < copy->count; i++) {
        /* Names count, where there are several. */
        digest_update(digest, copy->sources[i].base, strlen(copy->sources[i].base) + 1);
        digest_update(digest, copy->sources[i].digest, strlen(copy->sources[i].digest));
    }
    digest_finish(digest, text);
    return mem_printf("multi:%s", digest_hex(text));
}

static int perform(struct copy *copy, const char *created_by, struct error *err)
{
    struct build *build = copy->build;
    struct build_layer layer = BUILD_LAYER_INIT;

    int r = build_layer_open(build, &layer, err);
    if (r == 0 && copy->chown)
        r = owner_find(layer.root_fd, copy->chown, &copy->owner.uid, &copy->owner.gid, err);
    if (r == 0)
        r = copy_all(copy, layer.root_fd, err);
    if (r == 0)
        r = build_layer_commit(build, &layer, created_by, err);
    build_layer_close(build, &layer);
    return r;
}

int build_copy(struct build *build, const struct dockerfile_instruction *instruction, struct error *err)
{
    CLEANUP(copy_clear) struct copy copy = {
        .build = build,
        .name = instruction->name,
        .add = strcmp(instruction->name, "ADD") == 0,
        .from = dockerfile_flag(instruction, "from"),
        .root_fd = build->context.files_fd,
        .own_root_fd = -EBADF,
        .owner = {.mode = ARCHIVE_MODE_KEPT},
    };
    CLEANUP_STRV char **texts = NULL;
    CLEANUP_FREE char *chmod_text = NULL;
    const char *chown = dockerfile_flag(instruction, "chown"), *chmod = dockerfile_flag(instruction, "chmod");

    int r = chown ? build_expand(build, chown, &copy.chown, err) : 0;
    if (r == 0 && chmod)
        r = build_expand(build, chmod, &chmod_text, err);
    if (r == 0 && chmod)
        r = read_mode(chmod_text, &copy.owner.mode, err);
    if (r == 0)
        r = read_words(&copy, instruction->rest, &texts, err);
    if (r == 0)
        r = read_target(&copy, err);
    if (r == 0 && copy.from)
        r = open_from(&copy, copy.from, err);
    if (r == 0)
        r = find_sources(&copy, texts, err);
    if (r < 0)
        return r;
    CLEANUP_FREE char *sums = describe_sources(&copy);
    CLEANUP_FREE char *created_by = build_no_operation(
        build, "%s %s%s%s%s%s in %s ", copy.name, chown ? "--chown=" : "", chown ? copy.chown : "",
        chmod ? "--chmod=" : "", chmod ? chmod_text : "", sums, copy.destination);
    r = build_probe(build, created_by, err);
    if (r != 0)
        return r < 0 ? r : 0;
    return perform(&copy, created_by, err);
}
