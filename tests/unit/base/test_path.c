#include "base/base_test.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"

/* --- lexical ------------------------------------------------------------- */

static void lexical(void **state)
{
    static const char *const clean[][2] = {
        {"", "."},         {".", "."},          {"a", "a"},         {"a//b", "a/b"},
        {"a/../b", "b"},   {"a/b/../..", "."},  {"/", "/"},         {"//", "/"},
        {"/..", "/"},      {"/../a", "/a"},     {"..", ".."},       {"../..", "../.."},
        {"../../a", "../../a"}, {"a/../..", ".."}, {"a/../../b", "../b"}, {"./a/./b/.", "a/b"},
        {"/a/b/../c/", "/a/c"}, {"abc/def/..", "abc"}, {"...", "..."}, {"a/.../b", "a/.../b"},
        {".hidden", ".hidden"}, {"/a/..", "/"}, {"..a/b", "..a/b"}, {"/a/../../../b/", "/b"},
    };
    static const char *const join[][3] = {
        {"a", "b", "a/b"}, {"a/", "/b", "a/b"}, {"/", "b", "/b"}, {"/", "/b", "/b"},
        {"a", "", "a"},    {"", "b", "b"},      {"a//", "//b/", "a/b/"}, {"/a", "../b", "/a/../b"},
    };
    static const char *const dir[][2] = {
        {"a", "."}, {"/a", "/"}, {"/a/b", "/a"}, {"/a/b/", "/a/b"}, {"a//b", "a"}, {"", "."}, {"/", "/"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(clean); i++) {
        CLEANUP_FREE char *got = path_clean(clean[i][0]);
        assert_string_equal(got, clean[i][1]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(join); i++) {
        CLEANUP_FREE char *got = path_join(join[i][0], join[i][1]);
        assert_string_equal(got, join[i][2]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(dir); i++) {
        CLEANUP_FREE char *got = path_dir(dir[i][0]);
        assert_string_equal(got, dir[i][1]);
    }
    assert_string_equal(path_base("/a/b"), "b");
    assert_string_equal(path_base("b"), "b");
    assert_string_equal(path_base("a/"), "");
}

/* --- inside a root ------------------------------------------------------- */

/* top/secret is outside, top/root is the root. */
static char *make_root(int *ret_top, int *ret_root)
{
    char *path = scratch_new(ret_top);

    put_file(*ret_top, "secret", "outside");
    assert_int_equal(mkdirat(*ret_top, "root", 0755), 0);
    *ret_root = openat(*ret_top, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(*ret_root >= 0);
    return path;
}

static void drop_root(char *path, int top, int root)
{
    close(root);
    close(top);
    assert_int_equal(path_remove_tree(AT_FDCWD, path), 0);
    assert_int_equal(access(path, F_OK), -1);
    free(path);
}

static void open_stays_inside(void **state)
{
    int top, root;
    char *path = make_root(&top, &root);

    put_file(root, "file", "inside");
    assert_int_equal(mkdirat(root, "etc", 0755), 0);
    put_file(root, "etc/passwd", "theirs");
    assert_int_equal(symlinkat("../secret", root, "up"), 0);
    assert_int_equal(symlinkat("/etc/passwd", root, "absolute"), 0);
    assert_int_equal(symlinkat("../../../../../../etc/passwd", root, "many"), 0);
    assert_int_equal(symlinkat("/proc/self/root/etc/passwd", root, "magic"), 0);
    assert_int_equal(symlinkat("loop", root, "loop"), 0);

    static const char *const outside[] = {"../secret", "up", "/../secret", "etc/../../secret", "none"};
    for (size_t i = 0; i < ARRAY_SIZE(outside); i++)
        assert_int_equal(path_open_in(root, outside[i], O_RDONLY, 0), -ENOENT);
    static const char *const theirs[] = {"etc/passwd", "/etc/passwd", "absolute", "many",
                                         "../../etc/passwd"};
    for (size_t i = 0; i < ARRAY_SIZE(theirs); i++) {
        char text[7] = "";
        int fd = path_open_in(root, theirs[i], O_RDONLY, 0);

        assert_true(fd >= 0);
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        assert_int_equal(read(fd, text, 6), 6);
        assert_string_equal(text, "theirs");
        close(fd);
    }
    assert_int_equal(path_open_in(root, "loop", O_RDONLY, 0), -ELOOP);
    assert_true(path_open_in(root, "magic", O_RDONLY, 0) < 0);
    assert_int_equal(path_open_in(root, "absolute", O_RDONLY | O_NOFOLLOW, 0), -ELOOP);

    /* A real magic link, inside a root that contains /proc. */
    int slash = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(path_open_in(slash, "proc/self/root/etc", O_RDONLY, 0), -ELOOP);
    close(slash);

    int fd = path_open_in(root, "up-new", O_WRONLY | O_CREAT | O_EXCL, 0640);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(symlinkat("/../created", root, "create"), 0);
    fd = path_open_in(root, "create", O_WRONLY | O_CREAT, 0640);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(faccessat(root, "created", F_OK, 0), 0);
    assert_int_equal(faccessat(top, "created", F_OK, 0), -1);
    drop_root(path, top, root);
}

static void mkdir_stays_inside(void **state)
{
    int top, root;
    char *path = make_root(&top, &root);
    int before = open_fds();

    int fd = path_mkdir_in(root, "a/b//c/", 0755);
    assert_true(fd >= 0);
    assert_int_equal(mkdirat(fd, "here", 0755), 0);
    close(fd);
    assert_int_equal(faccessat(root, "a/b/c/here", F_OK, 0), 0);
    fd = path_mkdir_in(root, "/a/b/c", 0755);
    assert_true(fd >= 0);
    close(fd);
    fd = path_mkdir_in(root, "", 0755);
    assert_true(fd >= 0);
    close(fd);

    /* Symlinks that lead up, and dangling ones, land inside. */
    assert_int_equal(symlinkat("../..", root, "up"), 0);
    fd = path_mkdir_in(root, "up/x/y", 0755);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(faccessat(root, "x/y", F_OK, 0), 0);
    assert_int_equal(faccessat(top, "x", F_OK, 0), -1);
    fd = path_mkdir_in(root, "../../z", 0755);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(faccessat(root, "z", F_OK, 0), 0);
    assert_int_equal(symlinkat("/run/deep", root, "dangling"), 0);
    fd = path_mkdir_in(root, "dangling/more", 0755);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(faccessat(root, "run/deep/more", F_OK, 0), 0);
    assert_int_equal(symlinkat("../side", root, "a/relative"), 0);
    fd = path_mkdir_in(root, "a/relative/q", 0755);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(faccessat(root, "side/q", F_OK, 0), 0);

    put_file(root, "file", "");
    assert_int_equal(path_mkdir_in(root, "file/x", 0755), -ENOTDIR);
    assert_int_equal(path_mkdir_in(root, "file", 0755), -ENOTDIR);
    assert_int_equal(symlinkat("ring2", root, "ring1"), 0);
    assert_int_equal(symlinkat("ring1", root, "ring2"), 0);
    assert_int_equal(path_mkdir_in(root, "ring1/x", 0755), -ELOOP);
    /* A link that grows by following it. */
    assert_int_equal(symlinkat("grow/x", root, "grow"), 0);
    assert_true(path_mkdir_in(root, "grow", 0755) < 0);
    assert_int_equal(open_fds(), before);
    drop_root(path, top, root);
}

static void mkdirs(void **state)
{
    int dir;
    char *path = scratch_new(&dir);
    CLEANUP_FREE char *deep = path_join(path, "a/b/c");
    CLEANUP_FREE char *file = path_join(path, "file");
    CLEANUP_FREE char *below = path_join(path, "file/x");

    assert_int_equal(path_mkdirs(deep, 0755), 0);
    assert_int_equal(path_mkdirs(deep, 0755), 0);
    assert_int_equal(faccessat(dir, "a/b/c", F_OK, 0), 0);
    put_file(dir, "file", "");
    assert_int_equal(path_mkdirs(file, 0755), -ENOTDIR);
    assert_int_equal(path_mkdirs(below, 0755), -ENOTDIR);
    assert_int_equal(path_mkdirs("/", 0755), 0);
    close(dir);
    assert_int_equal(path_remove_tree(AT_FDCWD, path), 0);
    free(path);
}

/* --- removing ------------------------------------------------------------ */

static void remove_keeps_out_of_links(void **state)
{
    int top, root;
    char *path = make_root(&top, &root);

    assert_int_equal(mkdirat(top, "keep", 0755), 0);
    put_file(top, "keep/file", "x");
    assert_int_equal(mkdirat(root, "d", 0755), 0);
    assert_int_equal(symlinkat("../../keep", root, "d/folder"), 0);
    assert_int_equal(symlinkat("../../secret", root, "d/file"), 0);
    assert_int_equal(symlinkat("/etc", root, "d/absolute"), 0);
    assert_int_equal(mkfifoat(root, "d/fifo", 0600), 0);
    assert_int_equal(path_remove_tree(root, "d"), 0);
    assert_int_equal(faccessat(root, "d", F_OK, 0), -1);
    assert_int_equal(faccessat(top, "keep/file", F_OK, 0), 0);
    assert_int_equal(faccessat(top, "secret", F_OK, 0), 0);

    /* The path itself a link: the link goes, its target stays. */
    assert_int_equal(symlinkat("keep", top, "link"), 0);
    assert_int_equal(path_remove_tree(top, "link"), 0);
    assert_int_equal(faccessat(top, "keep/file", F_OK, 0), 0);
    assert_int_equal(symlinkat("keep", top, "link"), 0);
    assert_int_equal(path_remove_tree(top, "link/"), 0);
    assert_int_equal(faccessat(top, "keep/file", F_OK, 0), 0);

    assert_int_equal(path_remove_tree(top, "none"), 0);
    assert_int_equal(path_remove_tree(top, "none/deeper"), 0);
    assert_int_equal(path_remove_tree(top, "secret"), 0);
    assert_int_equal(path_remove_tree(top, "."), -EINVAL);
    assert_int_equal(path_remove_tree(top, "root/.."), -EINVAL);
    assert_int_equal(path_remove_tree(top, "/"), -EINVAL);
    assert_int_equal(path_remove_tree(top, ""), -EINVAL);
    drop_root(path, top, root);
}

/* Far deeper than PATH_MAX, than the stack would recurse, and than there are fds. */
static void remove_and_measure_deep_trees(void **state)
{
    int dir;
    char *path = scratch_new(&dir);
    int levels = 5000;
    struct rlimit old, few;
    uint64_t bytes = 0;

    assert_int_equal(mkdirat(dir, "t", 0755), 0);
    int fd = openat(dir, "t", O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < levels; i++) {
        assert_int_equal(mkdirat(fd, "deep", 0755), 0);
        if (i % 100 == 0) {
            put_file(fd, "before", "x");
            put_file(fd, "zbehind", "x");
            assert_int_equal(mkdirat(fd, "sibling", 0755), 0);
            put_file(fd, "sibling/file", "x");
        }
        int next = openat(fd, "deep", O_PATH | O_DIRECTORY | O_CLOEXEC);
        assert_true(next >= 0);
        close(fd);
        fd = next;
    }
    close(fd);

    int before = open_fds();
    getrlimit(RLIMIT_NOFILE, &old);
    few = old;
    few.rlim_cur = 60;
    setrlimit(RLIMIT_NOFILE, &few);
    assert_int_equal(path_tree_size(dir, "t", &bytes), 0);
    assert_int_equal(path_remove_tree(dir, "t"), 0);
    setrlimit(RLIMIT_NOFILE, &old);
    assert_int_equal(open_fds(), before);
    assert_int_equal(faccessat(dir, "t", F_OK, 0), -1);
    close(dir);
    assert_int_equal(path_remove_tree(AT_FDCWD, path), 0);
    free(path);
}

static void remove_wide_trees(void **state)
{
    int dir;
    char *path = scratch_new(&dir);
    char name[64];

    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof(name), "d%d", i);
        assert_int_equal(mkdirat(dir, name, 0755), 0);
        snprintf(name, sizeof(name), "d%d/f", i);
        put_file(dir, name, "");
        snprintf(name, sizeof(name), "file%d", i);
        put_file(dir, name, "");
    }
    close(dir);
    assert_int_equal(path_remove_tree(AT_FDCWD, path), 0);
    assert_int_equal(access(path, F_OK), -1);
    free(path);
}

/* In a child with its own mount namespace: 77 where that is not allowed. */
static int mounts_child(const char *path, int dir)
{
    char target[256];
    struct stat st;
    uint64_t with = 0, without = 0;

    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return 77;
    mkdirat(dir, "precious", 0755);
    put_file(dir, "precious/data", "0123456789");
    mkdirat(dir, "tree", 0755);
    mkdirat(dir, "tree/mounted", 0755);
    if (path_tree_size(dir, "tree", &without) < 0)
        return 1;

    /* A bind mount of the same file system: the same st_dev on both sides. */
    snprintf(target, sizeof(target), "%s/tree/mounted", path);
    char source[256];
    snprintf(source, sizeof(source), "%s/precious", path);
    if (mount(source, target, NULL, MS_BIND, NULL) < 0)
        return 77;
    if (path_remove_tree(dir, "tree") != -EBUSY)
        return 2;
    if (path_remove_tree(dir, "tree/mounted") != -EBUSY)
        return 3;
    if (fstatat(dir, "precious/data", &st, 0) < 0)
        return 4;
    if (path_tree_size(dir, "tree", &with) < 0 || with > without + 4096)
        return 5;
    if (umount2(target, MNT_DETACH) < 0)
        return 6;
    return path_remove_tree(dir, "tree") == 0 ? 0 : 7;
}

static void mounts_are_not_entered(void **state)
{
    int dir, status;
    char *path = scratch_new(&dir);

    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(mounts_child(path, dir));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    close(dir);
    assert_int_equal(path_remove_tree(AT_FDCWD, path), 0);
    free(path);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(status, 0);
}

/* Somebody swaps a directory for a symlink to precious files while we remove. */
struct swapper {
    int dir;
    atomic_bool stop;
};

static void *swap(void *user)
{
    struct swapper *s = user;

    while (!atomic_load(&s->stop)) {
        renameat2(s->dir, "tree/d", s->dir, "link", RENAME_EXCHANGE);
        sched_yield();
    }
    return NULL;
}

static void swapped_links_are_not_followed(void **state)
{
    int dir;
    char *path = scratch_new(&dir);
    struct swapper s = {.dir = dir};
    pthread_t thread;

    assert_int_equal(mkdirat(dir, "precious", 0755), 0);
    put_file(dir, "precious/data", "x");
    CLEANUP_FREE char *target = path_join(path, "precious");
    pthread_create(&thread, NULL, swap, &s);
    for (int round = 0; round < 300; round++) {
        mkdirat(dir, "tree", 0755);
        mkdirat(dir, "tree/d", 0755);
        int fd = openat(dir, "tree/d/f", O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd >= 0)
            close(fd);
        /* Fails where the swapped one is still there. */
        int r = symlinkat(target, dir, "link");
        assert_true(r == 0 || errno == EEXIST);
        path_remove_tree(dir, "tree");
        path_remove_tree(dir, "link");
        assert_int_equal(faccessat(dir, "precious/data", F_OK, 0), 0);
    }
    atomic_store(&s.stop, true);
    pthread_join(thread, NULL);
    close(dir);
    assert_int_equal(path_remove_tree(AT_FDCWD, path), 0);
    free(path);
}

/* --- disk usage ---------------------------------------------------------- */

static void usage_counts_links_once(void **state)
{
    int dir;
    char *path = scratch_new(&dir);
    uint64_t one = 0, many = 0, none = 77;
    static char block[1 << 20];
    char name[32];

    memset(block, 'x', sizeof(block));
    assert_int_equal(mkdirat(dir, "t", 0755), 0);
    int fd = openat(dir, "t/big", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(fd_write_all(fd, block, sizeof(block)), 0);
    fsync(fd);
    close(fd);
    assert_int_equal(path_tree_size(dir, "t", &one), 0);
    assert_in_range(one, 1 << 20, (1 << 20) + 65536);
    assert_int_equal(mkdirat(dir, "t/sub", 0755), 0);
    for (int i = 0; i < 600; i++) {
        snprintf(name, sizeof(name), "t/sub/l%d", i);
        assert_int_equal(linkat(dir, "t/big", dir, name, 0), 0);
    }
    assert_int_equal(symlinkat("/", dir, "t/sub/root"), 0);
    assert_int_equal(path_tree_size(dir, "t", &many), 0);
    assert_in_range(many, one, one + 200000);
    assert_int_equal(path_tree_size(dir, "t/big", &many), 0);
    assert_in_range(many, 1 << 20, (1 << 20) + 65536);
    assert_int_equal(path_tree_size(dir, "none", &none), -ENOENT);
    assert_int_equal(none, 77);
    close(dir);
    assert_int_equal(path_remove_tree(AT_FDCWD, path), 0);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lexical),
        cmocka_unit_test(open_stays_inside),
        cmocka_unit_test(mkdir_stays_inside),
        cmocka_unit_test(mkdirs),
        cmocka_unit_test(remove_keeps_out_of_links),
        cmocka_unit_test(remove_and_measure_deep_trees),
        cmocka_unit_test(remove_wide_trees),
        cmocka_unit_test(mounts_are_not_entered),
        cmocka_unit_test(swapped_links_are_not_followed),
        cmocka_unit_test(usage_counts_links_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
