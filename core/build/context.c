/* context.c - see context.h. Owner: build. */
#include "build/context.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/archive.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/random.h"
#include "base/str.h"
#include "build/arrival.h"
#include "build/dockerfile.h"
#include "build/fetch.h"
#include "build/pattern.h"
#include "tabique/error.h"

#define IGNORE_MAX ((size_t)4 << 20)
#define DEPTH_MAX 256 /* a descriptor each */

static const struct archive_limits limits = {BUILD_CONTEXT_MAX_BYTES, BUILD_CONTEXT_MAX_ENTRIES, 0};

void build_context_clear(struct build_context *context)
{
    cleanup_close(&context->files_fd);
    cleanup_close(&context->dir_fd);
    if (context->dir) {
        int r = path_remove_tree(AT_FDCWD, context->dir);
        if (r < 0)
            log_warning("cannot remove %s: %s", context->dir, strerror(-r));
    }
    free(context->dir);
    free(context->dockerfile);
    *context = BUILD_CONTEXT_INIT;
}

static int make_dir(const char *data_dir, struct build_context *context, struct error *err)
{
    CLEANUP_FREE char *parent = path_join(data_dir, "build");
    char id[ID_LENGTH + 1];

    random_id(id);
    id[16] = '\0';
    int r = path_mkdirs(parent, 0700);
    if (r < 0)
        return error_errno(err, EIO, "cannot make %s", parent);
    context->dir = path_join(parent, id);
    if (mkdir(context->dir, 0700) < 0) {
        free(TAKE_PTR(context->dir));
        return error_errno(err, EIO, "cannot make a build's directory");
    }
    context->dir_fd = open(context->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (context->dir_fd < 0 || mkdirat(context->dir_fd, "context", 0755) < 0 ||
        mkdirat(context->dir_fd, "remote", 0700) < 0)
        return error_errno(err, EIO, "cannot make a build's directory");
    context->files_fd = openat(context->dir_fd, "context", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return context->files_fd < 0 ? error_errno(err, EIO, "cannot open a build's directory") : 0;
}

/* --- a remote context ----------------------------------------------------------------- */

static bool is_git(const char *remote)
{
    CLEANUP_FREE char *address = mem_strndup(remote, strcspn(remote, "#?"));

    return str_starts(remote, "git://") || str_starts(remote, "git@") || str_starts(remote, "ssh://") ||
           str_starts(remote, "github.com/") || str_ends(address, ".git");
}

int build_context_fetch(int dir_fd, const char *address, bool (*cancelled)(void *user), void *user, int *ret_fd,
                        struct fetch_result *ret, struct error *err)
{
    CLEANUP_CLOSE int fd = openat(dir_fd, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);

    if (fd < 0)
        return error_errno(err, EIO, "cannot make a temporary file");
    int r = fetch(address, fd, BUILD_CONTEXT_MAX_BYTES, cancelled, user, ret, err);
    if (r < 0)
        return r;
    if (lseek(fd, 0, SEEK_SET) < 0)
        return error_errno(err, EIO, "cannot read a download");
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static int read_remote(const struct build_options *options, const struct build_callbacks *callbacks,
                       struct build_context *context, struct error *err)
{
    CLEANUP_CLOSE int fd = -EBADF;
    struct fetch_result result;

    if (is_git(options->remote))
        return error_set(err, EINVAL, "building from a git repository is not supported here: clone it, and build "
                                      "from its directory");
    if (!fetch_is_address(options->remote))
        return error_set(err, EINVAL, "remoteURL (%s) could not be recognized as URL", options->remote);
    int r = build_context_fetch(context->dir_fd, options->remote, callbacks->cancelled, callbacks->user, &fd, &result, err);
    if (r < 0)
        return r;
    bool tar = archive_is_tar(fd);
    if (lseek(fd, 0, SEEK_SET) < 0)
        return error_errno(err, EIO, "cannot read a download");
    if (tar)
        return archive_extract(context->files_fd, "/", archive_read_fd, &fd, 0, &limits, NULL, err);
    /* Not an archive: the Dockerfile itself. */
    if (result.size > DOCKERFILE_MAX)
        return error_set(err, EFBIG, "the Dockerfile is larger than the limit of %zu bytes", DOCKERFILE_MAX);
    context->dockerfile = mem_alloc(result.size + 1);
    ssize_t n = fd_read_full(fd, context->dockerfile, result.size);
    if (n < 0)
        return error_errno(err, EIO, "cannot read a download");
    context->dockerfile_length = (size_t)n;
    return 0;
}

static int read_archive(archive_read_fn *read, void *user, struct build_context *context, struct error *err)
{
    int fd = -EBADF, r = arrival_unpack(context->files_fd, read, user, &limits, &fd, err);

    if (r == 0) {
        close(context->files_fd);
        context->files_fd = fd;
    }
    return r;
}

/* --- files of it ----------------------------------------------------------------------- */

/* -ENOENT: not there, or no plain file. */
static int read_plain(int root_fd, const char *path, size_t max, char **ret, size_t *ret_length)
{
    CLEANUP_CLOSE int look = path_open_in(root_fd, path, O_PATH, 0);
    struct stat st;

    if (look < 0 || fstat(look, &st) < 0 || !S_ISREG(st.st_mode))
        return -ENOENT;
    if (st.st_size > (off_t)max)
        return -EFBIG;
    CLEANUP_CLOSE int fd = path_open_in(root_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
    CLEANUP_FREE char *text = mem_alloc((size_t)st.st_size + 1);
    ssize_t n = fd < 0 ? -1 : fd_read_full(fd, text, (size_t)st.st_size);
    if (n < 0)
        return -EIO;
    text[n] = '\0';
    *ret = TAKE_PTR(text);
    *ret_length = (size_t)n;
    return 0;
}

static int read_dockerfile(const char *asked, struct build_context *context, struct error *err)
{
    const char *name = asked && *asked ? asked : "Dockerfile";
    CLEANUP_FREE char *rooted = mem_printf("/%s", name);
    CLEANUP_FREE char *clean = path_clean(rooted);
    CLEANUP_FREE char *relative = path_clean(name);

    if (str_equal(relative, "..") || str_starts(relative, "../"))
        return error_set(err, EINVAL, "forbidden path outside the build context: %s ()", name);

    int r = read_plain(context->files_fd, clean, DOCKERFILE_MAX, &context->dockerfile, &context->dockerfile_length);
    if (r == -ENOENT && strcmp(name, "Dockerfile") == 0)
        r = read_plain(context->files_fd, "/dockerfile", DOCKERFILE_MAX, &context->dockerfile,
                       &context->dockerfile_length);
    if (r == -ENOENT)
        return error_set(err, EINVAL, "Cannot locate specified Dockerfile: %s", name);
    if (r == -EFBIG)
        return error_set(err, EFBIG, "the Dockerfile is larger than the limit of %zu bytes", DOCKERFILE_MAX);
    if (r < 0)
        return error_errno(err, EIO, "cannot read the Dockerfile");
    if (context->dockerfile_length == 0)
        return error_set(err, EINVAL, "the Dockerfile (%s) cannot be empty", name);
    return 0;
}

/* Removes what is left out below `path` ("" for the top). */
static int sweep(int root_fd, const char *path, const struct ignore *ignore, int depth, struct error *err)
{
    CLEANUP_CLOSE int fd = path_open_in(root_fd, *path ? path : ".", O_RDONLY | O_DIRECTORY, 0);
    CLEANUP_STRV char **names = NULL;
    int r = 0;

    if (depth > DEPTH_MAX)
        return error_set(err, EINVAL, "the build context's directories are too deep");
    int copy = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
    DIR *stream = copy < 0 ? NULL : fdopendir(copy);
    if (!stream)
        return error_errno(err, EIO, "cannot read the build context");
    for (struct dirent *entry; (entry = readdir(stream));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            strv_push(&names, entry->d_name);
    closedir(stream);

    for (char **name = names; r == 0 && name && *name; name++) {
        CLEANUP_FREE char *below = *path ? mem_printf("%s/%s", path, *name) : mem_strdup(*name);
        bool excluded = ignore_matches(ignore, below);
        struct stat st;

        if (fstatat(fd, *name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        if (excluded && (!S_ISDIR(st.st_mode) || !ignore_has_exceptions(ignore))) {
            if (path_remove_tree(fd, *name) < 0)
                r = error_set(err, EIO, "cannot leave \"%s\" out of the build context", below);
        } else if (S_ISDIR(st.st_mode)) {
            r = sweep(root_fd, below, ignore, depth + 1, err);
            if (r == 0 && excluded)
                unlinkat(fd, *name, AT_REMOVEDIR); /* not where something was taken back */
        }
    }
    return r;
}

static int apply_ignore(struct build_context *context, struct error *err)
{
    CLEANUP(ignore_freep) struct ignore *ignore = NULL;
    CLEANUP_FREE char *text = NULL;
    size_t length;

    int r = read_plain(context->files_fd, ".dockerignore", IGNORE_MAX, &text, &length);
    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return error_errno(err, r, "cannot read .dockerignore");
    r = ignore_parse(text, length, &ignore, err);
    return r < 0 ? r : sweep(context->files_fd, "", ignore, 0, err);
}

int build_context_open(const char *data_dir, const struct build_options *options,
                       const struct build_callbacks *callbacks, struct build_context *ret, struct error *err)
{
    CLEANUP(build_context_clear) struct build_context context = BUILD_CONTEXT_INIT;

    int r = make_dir(data_dir, &context, err);
    if (r == 0)
        r = options->remote && *options->remote
                ? read_remote(options, callbacks, &context, err)
                : read_archive(options->read, callbacks->user, &context, err);
    if (r == 0 && !context.dockerfile) {
        r = read_dockerfile(options->dockerfile, &context, err);
        if (r == 0)
            r = apply_ignore(&context, err);
    }
    if (r < 0)
        return r;
    *ret = context;
    context = BUILD_CONTEXT_INIT;
    return 0;
}
