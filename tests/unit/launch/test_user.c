/* Users and groups by the container's own files, with Docker's rules and texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"
#include "launch/launch.h"
#include "tabique/error.h"

static char dir[] = "/tmp/tabique-user-XXXXXX";
static int root = -EBADF;

static void put(const char *path, const char *text)
{
    int fd = openat(root, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
    close(fd);
}

static int up(void **state)
{
    if (!mkdtemp(dir) || (root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0 || mkdirat(root, "etc", 0755) < 0)
        return -1;
    put("etc/passwd", "# comment\n\nroot:x:0:0:root:/root:/bin/sh\nbroken line\n:x:77:77::/x:\n"
                      "alice:x:1000:1000::/home/alice:/bin/sh\n1001:x:5555:5555::/five:/bin/sh\nbob:x:1001:1002:::\nlast:x:9:9::/nine:/x");
    put("etc/group", "root:x:0:\nusers:x:1000:\nwheel:x:10:root,alice\naudio:x:29:bob,alice\ntwo:x:10:alice\nempty:x:11:\n12:x:13:alice2");
    return 0;
}

static int down(void **state)
{
    close(root);
    return path_remove_tree(AT_FDCWD, dir);
}

struct found {
    uid_t uid;
    gid_t gid;
    gid_t *groups;
    size_t count;
    char *home;
    struct error err;
    int r;
};

static char text[ERROR_MESSAGE_MAX];

/* "uid gid home [groups]" or the error. */
static const char *find(const char *user, const char *extra)
{
    CLEANUP_STRV char **groups = extra ? strv_split(extra, ' ') : NULL;
    struct found f = {.err = ERROR_INIT};
    size_t at;

    f.r = launch_resolve_user(root, user, groups, &f.uid, &f.gid, &f.groups, &f.count, &f.home, &f.err);
    if (f.r < 0) {
        snprintf(text, sizeof(text), "%s", f.err.message);
        return text;
    }
    at = (size_t)snprintf(text, sizeof(text), "%u %u %s", f.uid, f.gid, f.home);
    for (size_t i = 0; i < f.count; i++)
        at += (size_t)snprintf(text + at, sizeof(text) - at, " %u", f.groups[i]);
    free(f.groups);
    free(f.home);
    return text;
}

static void users(void **state)
{
    assert_string_equal(find("", NULL), "0 0 /root 0 10");
    assert_string_equal(find(NULL, NULL), "0 0 /root 0 10");
    assert_string_equal(find("root", NULL), "0 0 /root 0 10");
    assert_string_equal(find("alice", NULL), "1000 1000 /home/alice 1000 10 29");
    assert_string_equal(find("1000", NULL), "1000 1000 /home/alice 1000 10 29");
    assert_string_equal(find("4242", NULL), "4242 0 / 0");
    /* a number is always a uid, even where a user is called so */
    assert_string_equal(find("1001", NULL), "1001 1002 / 1002 29");
    assert_string_equal(find("last", NULL), "9 9 /nine 9");
    assert_string_equal(find("2147483647", NULL), "2147483647 0 / 0");
}

static void groups(void **state)
{
    assert_string_equal(find("alice:audio", NULL), "1000 29 /home/alice 29");
    assert_string_equal(find("alice:4711", NULL), "1000 4711 /home/alice 4711");
    assert_string_equal(find("5:6", NULL), "5 6 / 6");
    assert_string_equal(find(":wheel", NULL), "0 10 /root 10");
    assert_string_equal(find("alice:", NULL), "1000 1000 /home/alice 1000 10 29");
    assert_string_equal(find("alice:12", NULL), "1000 12 /home/alice 12");
    assert_string_equal(find("", "audio 77"), "0 0 /root 0 10 29 77");
    assert_string_equal(find("5:6", "wheel"), "5 6 / 6 10");
}

/* crun CVE-2026-30892 and all the ways of almost being a number. */
static void not_numbers(void **state)
{
    assert_string_equal(find("1000x", NULL), "unable to find user 1000x: no matching entries in passwd file");
    assert_string_equal(find("0x0", NULL), "unable to find user 0x0: no matching entries in passwd file");
    assert_string_equal(find("+0", NULL), "unable to find user +0: no matching entries in passwd file");
    assert_string_equal(find(" 0", NULL), "unable to find user  0: no matching entries in passwd file");
    assert_string_equal(find("-1", NULL), "unable to find user -1: no matching entries in passwd file");
    assert_string_equal(find("0 ", NULL), "unable to find user 0 : no matching entries in passwd file");
    assert_string_equal(find("nobody", NULL), "unable to find user nobody: no matching entries in passwd file");
    assert_string_equal(find("4294967296", NULL), "uids and gids must be in range 0-2147483647");
    assert_string_equal(find("4294967295", NULL), "uids and gids must be in range 0-2147483647");
    assert_string_equal(find("99999999999999999999999999", NULL), "uids and gids must be in range 0-2147483647");
    assert_string_equal(find("alice:nogroup", NULL), "unable to find group nogroup: no matching entries in group file");
    assert_string_equal(find("alice:0:0", NULL), "unable to find group 0:0: no matching entries in group file");
    assert_string_equal(find("0:2147483648", NULL), "uids and gids must be in range 0-2147483647");
    assert_string_equal(find("", "nogroup"), "Unable to find group nogroup");
}

/* Files that are no files: nothing hangs, nothing outside is read. */
static void hostile_files(void **state)
{
    assert_int_equal(unlinkat(root, "etc/passwd", 0), 0);
    assert_int_equal(mkfifoat(root, "etc/passwd", 0644), 0);
    assert_string_equal(find("5", NULL), "5 0 / 0");
    assert_int_equal(unlinkat(root, "etc/passwd", 0), 0);
    assert_int_equal(symlinkat("/dev/zero", root, "etc/passwd"), 0);
    assert_string_equal(find("5", NULL), "5 0 / 0");
    assert_int_equal(unlinkat(root, "etc/passwd", 0), 0);
    assert_int_equal(symlinkat("../../../../../../../etc/passwd", root, "etc/passwd"), 0); /* itself, within the root */
    assert_string_equal(find("daemon", NULL), "unable to find user daemon: no matching entries in passwd file");
    assert_int_equal(unlinkat(root, "etc/passwd", 0), 0);
    assert_string_equal(find("0", NULL), "0 0 / 0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(users), cmocka_unit_test(groups), cmocka_unit_test(not_numbers),
                                       cmocka_unit_test(hostile_files)};

    return cmocka_run_group_tests(tests, up, down);
}
