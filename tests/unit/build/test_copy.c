/* test_copy.c - COPY and ADD from a made-up context into images of a real store. */
#include <fcntl.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/path.h"
#include "build/internal.h"
#include "build_test.h"
#include "image/rootfs.h"

struct fixture {
    char dir[64];
    struct image_store *images;
    struct build build;
    struct build_options options;
    struct build_callbacks callbacks;
};

static void say(void *user, bool errors, const char *text, size_t length)
{
}

static void put(struct fixture *f, const char *name, const char *text)
{
    CLEANUP_FREE char *directory = path_dir(name);
    CLEANUP_CLOSE int parent = path_mkdir_in(f->build.context.files_fd, directory, 0755);
    CLEANUP_CLOSE int fd = openat(parent, path_base(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0640);

    assert_true(parent >= 0 && fd >= 0);
    assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
    assert_int_equal(fchmod(fd, 0640), 0);
}

static int setup(void **state)
{
    struct fixture *f = mem_new(struct fixture);
    struct error err = ERROR_INIT;

    snprintf(f->dir, sizeof(f->dir), "/var/tmp/tabique-test-copy-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    CLEANUP_FREE char *store = path_join(f->dir, "images");
    f->build.context.dir = path_join(f->dir, "b");
    assert_int_equal(image_store_open(store, NULL, &f->images, &err), 0);
    assert_int_equal(mkdir(f->build.context.dir, 0700), 0);
    f->build.context.dir_fd = open(f->build.context.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(mkdirat(f->build.context.dir_fd, "context", 0755), 0);
    f->build.context.files_fd = openat(f->build.context.dir_fd, "context", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    f->callbacks.text = say;
    f->build.images = f->images;
    f->build.options = &f->options;
    f->build.callbacks = &f->callbacks;
    assert_int_equal(dockerfile_parse("FROM scratch", 12, &f->build.dockerfile, &err), 0);
    f->build.state.image_id = mem_strdup("");
    f->build.state.config = cJSON_CreateObject();
    put(f, "a", "A");
    put(f, "b", "B");
    put(f, "d/x", "X");
    put(f, "d/e/y", "Y");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    for (char **id = f->build.held; id && *id; id++)
        image_release(f->images, *id);
    strv_free(f->build.held);
    free(f->build.state.image_id);
    cJSON_Delete(f->build.state.config);
    dockerfile_freep(&f->build.dockerfile);
    build_context_clear(&f->build.context);
    image_store_close(f->images);
    assert_int_equal(path_remove_tree(AT_FDCWD, f->dir), 0);
    free(f);
    return 0;
}

static int try_copy(struct fixture *f, const char *line, struct error *err)
{
    struct dockerfile_instruction instruction = {0};

    assert_int_equal(dockerfile_parse_trigger(line, '\\', &instruction, err), 0);
    int r = build_copy(&f->build, &instruction, err);
    dockerfile_instruction_clear(&instruction);
    return r;
}

static void copy(struct fixture *f, const char *line)
{
    struct error err = ERROR_INIT;

    if (try_copy(f, line, &err) < 0)
        fail_msg("%s: %s", line, err.message);
}

static void refused(struct fixture *f, const char *line, const char *why)
{
    struct error err = ERROR_INIT;

    assert_true(try_copy(f, line, &err) < 0);
    if (!strstr(err.message, why))
        fail_msg("%s: %s", line, err.message);
}

static int open_image(struct fixture *f)
{
    struct error err = ERROR_INIT;
    int fd = -EBADF;

    if (image_overlay_open(f->images, f->build.state.image_id, NULL, NULL, &fd, &err) < 0)
        fail_msg("%s", err.message);
    return fd;
}

static void has(struct fixture *f, const char *path, const char *want, mode_t mode, uid_t uid, gid_t gid)
{
    CLEANUP_CLOSE int root = open_image(f);
    CLEANUP_CLOSE int fd = path_open_in(root, path, O_RDONLY, 0);
    char text[64] = "";
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        fail_msg("%s: %s", path, strerror(errno));
    if (want) {
        assert_true(fd_read_full(fd, text, sizeof(text) - 1) >= 0);
        assert_string_equal(text, want);
    }
    assert_int_equal(st.st_mode & 07777, mode);
    assert_int_equal(st.st_uid, uid);
    assert_int_equal(st.st_gid, gid);
}

static void test_places(void **state)
{
    struct fixture *f = *state;

    copy(f, "COPY a /one");
    has(f, "one", "A", 0640, 0, 0);
    copy(f, "COPY a b /two/");
    has(f, "two", NULL, 0755, 0, 0);
    has(f, "two/b", "B", 0640, 0, 0);
    copy(f, "COPY --chown=5:6 --chmod=0751 d /three/four");
    has(f, "three", NULL, 0755, 5, 6);
    has(f, "three/four", NULL, 0751, 5, 6);
    has(f, "three/four/e/y", "Y", 0751, 5, 6);
    copy(f, "COPY b /one");
    has(f, "one", "B", 0640, 0, 0);
    copy(f, "COPY a /two"); /* a directory that is there */
    has(f, "two/a", "A", 0640, 0, 0);
    copy(f, "COPY d/* /all/"); /* a directory's contents, not itself */
    has(f, "all/y", "Y", 0640, 0, 0);
    has(f, "all/x", "X", 0640, 0, 0);
    cJSON_AddStringToObject(f->build.state.config, "WorkingDir", "/w");
    copy(f, "COPY a here");
    has(f, "w/here", "A", 0640, 0, 0);
    copy(f, "COPY a ../up");
    has(f, "up", "A", 0640, 0, 0);
    copy(f, "COPY a ../../../../../../top");
    has(f, "top", "A", 0640, 0, 0);
    copy(f, "COPY [\"a\", \"/with blank\"]");
    has(f, "with blank", "A", 0640, 0, 0);
}

static void test_refusals(void **state)
{
    struct fixture *f = *state;

    copy(f, "COPY a d/x /base/");
    copy(f, "COPY d /base/dir");
    refused(f, "COPY none /x", "file not found in build context or excluded by .dockerignore: stat none");
    refused(f, "COPY n*ne /x", "no source files were specified");
    refused(f, "COPY ../a /x", "forbidden path outside the build context");
    refused(f, "COPY d/../../a /x", "forbidden path outside the build context");
    refused(f, "COPY a b /x", "must be a directory and end with a /");
    refused(f, "COPY [ab] /x", "must be a directory and end with a /");
    refused(f, "COPY d /base/a", "cannot copy to non-directory");
    refused(f, "COPY a /base/a/below", "cannot copy to non-directory");
    refused(f, "COPY --chown=somebody a /x", "no such user: somebody");
    refused(f, "COPY --chown=: a /x", "invalid chown string format");
    refused(f, "COPY --chmod=9 a /x", "invalid chmod");
    refused(f, "COPY --chmod=10000 a /x", "invalid chmod");
    refused(f, "COPY --from=2 a /x", "invalid from flag value 2: index out of bounds");
    refused(f, "COPY http://x/y /x", "can't be a URL for COPY");
    /* Nothing of them is left. */
    CLEANUP_FREE char *left = path_join(f->dir, "b");
    struct stat st;
    assert_int_equal(stat(left, &st), 0);
    assert_int_equal(st.st_nlink, 3); /* context/ alone */
}

static void test_links(void **state)
{
    struct fixture *f = *state;
    int context = f->build.context.files_fd;

    assert_int_equal(symlinkat("/etc/hostname", context, "out"), 0);
    assert_int_equal(symlinkat("../../../../../../etc/hostname", context, "up"), 0);
    assert_int_equal(symlinkat("a", context, "in"), 0);
    assert_int_equal(symlinkat("round", context, "round"), 0);
    assert_int_equal(mkdirat(context, "l", 0755), 0);
    assert_int_equal(symlinkat("/anywhere", context, "l/to"), 0);
    assert_int_equal(mkfifoat(context, "fifo", 0600), 0);
    refused(f, "COPY out /x", "file does not exist");
    refused(f, "COPY up /x", "file does not exist");
    refused(f, "COPY round /x", "file does not exist");
    refused(f, "COPY fifo /x", "neither a file nor a directory");
    copy(f, "COPY in /x");
    has(f, "x", "A", 0640, 0, 0);
    copy(f, "COPY l /l/");
    copy(f, "COPY b /l/to");
    has(f, "anywhere", "B", 0640, 0, 0);
    copy(f, "COPY d /l/to2/");
    has(f, "l/to2/x", "X", 0640, 0, 0);
}

static void test_archives(void **state)
{
    struct fixture *f = *state;

    put(f, "zeros", "");
    put(f, "text.tar", "not an archive");
    copy(f, "ADD text.tar zeros /added/");
    has(f, "added/text.tar", "not an archive", 0640, 0, 0);
    has(f, "added/zeros", "", 0640, 0, 0);
}

/* The name in the history, and with it the cache's key. */
static void key(struct fixture *f, const char *line, char out[80])
{
    CLEANUP(image_freep) struct image *image = NULL;

    copy(f, line);
    assert_int_equal(image_get(f->images, f->build.state.image_id, &image, NULL), 0);
    const cJSON *history = json_get(image->config, "history");
    const cJSON *last = cJSON_GetArrayItem(history, cJSON_GetArraySize(history) - 1);
    const char *colon = strchr(json_string(last, "created_by", "") + 20, ':');
    assert_non_null(colon);
    snprintf(out, 80, "%.64s", colon + 1);
}

static void test_keys(void **state)
{
    struct fixture *f = *state;
    char one[80], two[80];

    key(f, "COPY d /x/", one);
    struct timespec times[2] = {{1, 0}, {1, 0}};
    assert_int_equal(utimensat(f->build.context.files_fd, "d/x", times, 0), 0);
    key(f, "COPY d /y/", two);
    assert_string_equal(one, two);
    put(f, "d/new", "");
    key(f, "COPY d /z/", two);
    assert_string_not_equal(one, two);
    key(f, "COPY a /x1", one);
    key(f, "COPY b /x2", two);
    assert_string_not_equal(one, two);
    put(f, "same-as-a", "A");
    key(f, "COPY same-as-a /x3", two);
    assert_string_not_equal(one, two);
    assert_int_equal(fchmodat(f->build.context.files_fd, "a", 0600, 0), 0);
    key(f, "COPY a /x4", two);
    assert_string_not_equal(one, two);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {T(test_places), T(test_refusals), T(test_links), T(test_archives), T(test_keys)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
