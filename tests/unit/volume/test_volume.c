/* test_volume.c - the volume store, on real directories and mounts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "tabique/error.h"
#include "tabique/volume.h"

struct fixture {
    char root[64];
    char *dir;
    struct volume_store *store;
};

static int setup(void **state)
{
    struct fixture *f = mem_new(struct fixture);

    *state = f;
    snprintf(f->root, sizeof(f->root), "/tmp/tabique-volume-XXXXXX");
    assert_non_null(mkdtemp(f->root));
    f->dir = path_join(f->root, "volumes");
    assert_int_equal(volume_store_open(f->dir, &f->store, NULL), 0);
    return 0;
}

static int remove_one(void *user, const struct volume *v)
{
    struct fixture *f = user;

    for (char **id = v->used_by; id && *id; id++)
        volume_release(f->store, v->name, *id);
    return volume_remove(f->store, v->name, true, NULL);
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    volume_each(f->store, remove_one, f);
    volume_store_close(f->store);
    path_remove_tree(AT_FDCWD, f->root);
    free(f->dir);
    free(f);
    return 0;
}

static void reopen(struct fixture *f)
{
    volume_store_close(f->store);
    assert_int_equal(volume_store_open(f->dir, &f->store, NULL), 0);
}

static struct volume *create(struct fixture *f, const char *name, const struct volume_pair *options, size_t count)
{
    struct volume *v = NULL;
    struct error err = ERROR_INIT;

    if (volume_create(f->store, name, NULL, 0, options, count, &v, &err) < 0)
        fail_msg("%s", err.message);
    return v;
}

static int count_one(void *user, const struct volume *v)
{
    ++*(int *)user;
    return 0;
}

static int count(struct fixture *f)
{
    int n = 0;

    volume_each(f->store, count_one, &n);
    return n;
}

static void makes_and_remembers(void **state)
{
    struct fixture *f = *state;
    struct volume_pair labels[] = {{(char *)"b", (char *)"2"}, {(char *)"a", (char *)"ünïcode \"x\""}};
    struct volume *v = NULL, *again = NULL;
    struct error err = ERROR_INIT;
    struct stat info;

    assert_int_equal(volume_create(f->store, "web.data-1", labels, 2, NULL, 0, &v, &err), 0);
    CLEANUP_FREE char *path = mem_printf("%s/web.data-1/_data", f->dir);
    assert_string_equal(v->mountpoint, path);
    assert_false(v->anonymous);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0755);
    assert_true(volume_is_empty(f->store, "web.data-1"));
    CLEANUP_FREE char *file = path_join(path, "kept");
    assert_int_equal(file_write_atomic(AT_FDCWD, file, "x", 1, 0644), 0);
    assert_false(volume_is_empty(f->store, "web.data-1"));
    assert_int_equal(volume_size(f->store, "web.data-1"), 1);
    assert_int_equal(volume_size(f->store, "no-such"), -1);

    reopen(f);
    assert_int_equal(volume_get(f->store, "web.data-1", &again, &err), 0);
    assert_int_equal(again->created_ns, v->created_ns);
    assert_int_equal(again->label_count, 2);
    assert_string_equal(again->labels[0].name, "b");
    assert_string_equal(again->labels[1].value, "ünïcode \"x\"");
    volume_free(again);
    /* Existing: success, and nothing is lost. */
    assert_int_equal(volume_create(f->store, "web.data-1", NULL, 0, NULL, 0, &again, &err), 0);
    assert_int_equal(again->label_count, 2);
    assert_false(volume_is_empty(f->store, "web.data-1"));
    volume_free(again);
    volume_free(v);

    struct volume *a1 = create(f, NULL, NULL, 0), *a2 = create(f, "", NULL, 0);
    assert_true(a1->anonymous && a2->anonymous);
    assert_int_equal(strlen(a1->name), 64);
    assert_string_not_equal(a1->name, a2->name);
    assert_string_equal(a1->labels[0].name, "com.docker.volume.anonymous");
    assert_int_equal(count(f), 3);
    reopen(f);
    assert_int_equal(volume_get(f->store, a1->name, &again, &err), 0);
    assert_true(again->anonymous);
    volume_free(again);
    volume_free(a1);
    volume_free(a2);
}

static void refuses_bad_names(void **state)
{
    static const char *const names[] = {"a", "../x", "a/b", ".hidden", "-x", "a b", "ü", "x\n", "..", ".", "/etc"};
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct error err = ERROR_INIT;
        assert_int_equal(volume_create(f->store, names[i], NULL, 0, NULL, 0, NULL, &err), -EINVAL);
        assert_true(strstr(err.message, "includes invalid characters for a local volume name") ||
                    strstr(err.message, "volume name is too short"));
        assert_int_equal(volume_get(f->store, names[i], NULL, &err), -ENOENT);
        assert_int_equal(volume_remove(f->store, names[i], false, &err), -ENOENT);
    }
    CLEANUP_FREE char *longest = mem_alloc(400);
    memset(longest, 'x', 300);
    assert_int_equal(volume_create(f->store, longest, NULL, 0, NULL, 0, NULL, NULL), -EINVAL);
    assert_int_equal(count(f), 0);
}

static void in_use(void **state)
{
    struct fixture *f = *state;
    struct error err = ERROR_INIT;
    struct volume *v = NULL;

    volume_free(create(f, "data", NULL, 0));
    assert_int_equal(volume_hold(f->store, "data", "c1", &err), 0);
    assert_int_equal(volume_hold(f->store, "data", "c1", &err), 0); /* twice is once */
    assert_int_equal(volume_hold(f->store, "data", "c2", &err), 0);
    assert_int_equal(volume_hold(f->store, "nothing", "c2", &err), -ENOENT);
    assert_string_equal(err.message, "get nothing: no such volume");
    assert_int_equal(volume_remove(f->store, "data", true, &err), -EBUSY);
    assert_string_equal(err.message, "remove data: volume is in use - [c1, c2]");
    assert_int_equal(volume_get(f->store, "data", &v, &err), 0);
    assert_int_equal(strv_length(v->used_by), 2);
    volume_free(v);
    volume_release(f->store, "data", "c1");
    volume_release(f->store, "data", "c1");
    assert_int_equal(volume_remove(f->store, "data", false, &err), -EBUSY);
    volume_release(f->store, "data", "c2");
    assert_int_equal(volume_remove(f->store, "data", false, &err), 0);
    assert_int_equal(volume_remove(f->store, "data", false, &err), -ENOENT);
    assert_int_equal(volume_remove(f->store, "data", true, &err), 0);
    CLEANUP_FREE char *path = path_join(f->dir, "data");
    assert_int_equal(access(path, F_OK), -1);
}

static void checks_options(void **state)
{
    struct fixture *f = *state;
    static const struct {
        struct volume_pair options[3];
        size_t count;
        const char *text;
    } cases[] = {
        {{{(char *)"colour", (char *)"red"}}, 1, "create vol: invalid option: \"colour\""},
        {{{(char *)"type", (char *)"tmpfs"}}, 1, "create vol: missing required option: \"device\""},
        {{{(char *)"device", (char *)"/x"}}, 1, "create vol: missing required option: \"type\""},
        {{{(char *)"o", (char *)"ro"}}, 1, "missing required option"},
        {{{(char *)"size", (char *)"10m"}}, 1, "quota size requested but no quota support"},
        {{{(char *)"size", (char *)"much"}}, 1, "invalid size"},
        {{{(char *)"type", (char *)"cifs"}, {(char *)"device", (char *)"//nas:445/x"}, {(char *)"o", (char *)""}}, 3,
         "port not allowed in CIFS device URL"},
        {{{(char *)"type", (char *)"none"}, {(char *)"device", (char *)"relative"}, {(char *)"o", (char *)"bind"}}, 3,
         "must be an absolute path"},
        {{{(char *)"type", (char *)"none"}, {(char *)"device", (char *)"/"}, {(char *)"o", (char *)"bind,remount"}}, 3,
         "invalid mount option \"remount\""},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error err = ERROR_INIT;
        assert_int_equal(volume_create(f->store, "vol", NULL, 0, cases[i].options, cases[i].count, NULL, &err), -EINVAL);
        assert_non_null(strstr(err.message, cases[i].text));
    }
    assert_int_equal(count(f), 0);
}

static bool is_tmpfs(const char *path)
{
    struct statfs info;

    return statfs(path, &info) == 0 && info.f_type == 0x01021994;
}

static void mounts_tmpfs(void **state)
{
    struct fixture *f = *state;
    struct volume_pair options[] = {{(char *)"type", (char *)"tmpfs"}, {(char *)"device", (char *)"tmpfs"},
                                    {(char *)"o", (char *)"size=1m,mode=0711,noexec"}};
    struct volume *v = create(f, "memory", options, 3);
    struct error err = ERROR_INIT;
    CLEANUP_FREE char *p1 = NULL, *p2 = NULL, *p3 = NULL;
    struct stat info;

    assert_false(is_tmpfs(v->mountpoint));
    assert_int_equal(volume_mount(f->store, "memory", "c1", &p1, &err), 0);
    assert_string_equal(p1, v->mountpoint);
    assert_true(is_tmpfs(p1));
    assert_int_equal(stat(p1, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0711);
    CLEANUP_FREE char *file = path_join(p1, "here");
    assert_int_equal(file_write_atomic(AT_FDCWD, file, "x", 1, 0644), 0);
    assert_int_equal(volume_mount(f->store, "memory", "c2", &p2, &err), 0);
    assert_int_equal(access(file, F_OK), 0);
    volume_unmount(f->store, "memory", "c1");
    assert_true(is_tmpfs(p1));
    /* A restarted server knows who uses it. */
    reopen(f);
    assert_int_equal(volume_mount(f->store, "memory", "c3", &p3, &err), 0);
    assert_int_equal(access(file, F_OK), 0);
    volume_unmount(f->store, "memory", "c3");
    assert_true(is_tmpfs(p1));
    volume_unmount(f->store, "memory", "stranger");
    assert_true(is_tmpfs(p1));
    volume_unmount(f->store, "memory", "c2");
    assert_false(is_tmpfs(p1));
    volume_free(v);
}

static void mounts_bind(void **state)
{
    struct fixture *f = *state;
    CLEANUP_FREE char *source = path_join(f->root, "source"), *inside = path_join(source, "file"), *path = NULL;
    struct volume_pair options[] = {{(char *)"type", (char *)"none"}, {(char *)"device", source},
                                    {(char *)"o", (char *)"bind,ro"}};
    struct error err = ERROR_INIT;

    volume_free(create(f, "bound", options, 3)); /* the source may come later */
    assert_int_equal(volume_mount(f->store, "bound", "c1", &path, &err), -EIO);
    assert_non_null(strstr(err.message, "error while mounting volume 'bound': failed to mount local volume: mount "));
    assert_non_null(strstr(err.message, "No such file or directory"));
    assert_int_equal(path_mkdirs(source, 0755), 0);
    assert_int_equal(file_write_atomic(AT_FDCWD, inside, "x", 1, 0644), 0);
    assert_int_equal(volume_mount(f->store, "bound", "c1", &path, &err), 0);
    CLEANUP_FREE char *seen = path_join(path, "file");
    assert_int_equal(access(seen, F_OK), 0);
    assert_int_equal(open(seen, O_WRONLY | O_CLOEXEC), -1);
    assert_int_equal(errno, EROFS);
    /* Removing the volume is not removing what it shows. */
    assert_int_equal(volume_remove(f->store, "bound", false, &err), 0);
    assert_int_equal(access(inside, F_OK), 0);
    CLEANUP_FREE char *none = NULL;
    assert_int_equal(volume_mount(f->store, "bound", "c1", &none, &err), -ENOENT);
}

/* --- a name server that takes its time ------------------------------------------------------ */

static sem_t asked, answered;

/* Instead of the C library's. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **ret)
{
    sem_post(&asked);
    sem_wait(&answered);
    return EAI_NONAME;
}

struct far {
    struct volume_store *store;
    struct error err;
    int result;
};

static void *mount_far(void *user)
{
    struct far *far = user;
    CLEANUP_FREE char *path = NULL;

    far->result = volume_mount(far->store, "far", "c1", &path, &far->err);
    return NULL;
}

/* Who waits for a server waits alone. */
static void one_that_waits_holds_up_nobody(void **state)
{
    struct fixture *f = *state;
    struct volume_pair nfs[] = {{(char *)"type", (char *)"nfs"}, {(char *)"device", (char *)":/export"},
                                {(char *)"o", (char *)"addr=far.invalid"}};
    struct volume_pair tmpfs[] = {{(char *)"type", (char *)"tmpfs"}, {(char *)"device", (char *)"tmpfs"}};
    struct far far = {.store = f->store, .err = ERROR_INIT};
    CLEANUP_FREE char *path = NULL;
    struct error err = ERROR_INIT;
    struct volume *v = NULL;
    pthread_t thread;

    assert_int_equal(sem_init(&asked, 0, 0), 0);
    assert_int_equal(sem_init(&answered, 0, 0), 0);
    volume_free(create(f, "far", nfs, 3));
    assert_int_equal(volume_hold(f->store, "far", "c1", &err), 0);
    assert_int_equal(pthread_create(&thread, NULL, mount_far, &far), 0);
    sem_wait(&asked);

    volume_free(create(f, "near", tmpfs, 2));
    assert_int_equal(volume_mount(f->store, "near", "c2", &path, &err), 0);
    assert_true(is_tmpfs(path));
    volume_unmount(f->store, "near", "c2");
    assert_int_equal(volume_remove(f->store, "near", false, &err), 0);
    assert_int_equal(volume_get(f->store, "far", &v, &err), 0);
    volume_free(v);
    assert_int_equal(volume_remove(f->store, "far", true, &err), -EBUSY);

    sem_post(&answered);
    pthread_join(thread, NULL);
    assert_int_equal(far.result, -EIO);
    assert_non_null(strstr(far.err.message, "error resolving passed in network volume address: far.invalid"));
    volume_release(f->store, "far", "c1");
    assert_int_equal(volume_remove(f->store, "far", false, &err), 0);
    sem_destroy(&asked);
    sem_destroy(&answered);
}

static void hides_passwords(void **state)
{
    struct fixture *f = *state;
    struct volume_pair options[] = {{(char *)"type", (char *)"no-such-filesystem"}, {(char *)"device", (char *)"//192.0.2.1/x"},
                                    {(char *)"o", (char *)"username=u,password=secret"}};
    struct error err = ERROR_INIT;
    char *path = NULL;

    volume_free(create(f, "remote", options, 3));
    assert_true(volume_mount(f->store, "remote", "c1", &path, &err) < 0);
    assert_null(strstr(err.message, "secret"));
    assert_non_null(strstr(err.message, "password=********"));
    assert_null(path);
}

static void bears_damage(void **state)
{
    struct fixture *f = *state;
    struct volume *v = NULL;

    volume_free(create(f, "damaged", NULL, 0));
    CLEANUP_FREE char *json = mem_printf("%s/damaged/volume.json", f->dir);
    CLEANUP_FREE char *half = mem_printf("%s/.new-0123/_data", f->dir), *old = mem_printf("%s/.old-77/_data/x", f->dir);
    CLEANUP_FREE char *stray = mem_printf("%s/stray", f->dir);
    assert_int_equal(file_write_atomic(AT_FDCWD, json, "{\"labels\":[", 11, 0600), 0);
    assert_int_equal(path_mkdirs(half, 0755), 0);
    assert_int_equal(path_mkdirs(old, 0755), 0);
    assert_int_equal(path_mkdirs(stray, 0755), 0); /* no _data: no volume */
    reopen(f);
    assert_int_equal(volume_get(f->store, "damaged", &v, NULL), 0);
    assert_true(v->created_ns > 0);
    volume_free(v);
    assert_int_equal(count(f), 1);
    assert_int_equal(access(half, F_OK), -1);
    assert_int_equal(access(old, F_OK), -1);
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(makes_and_remembers), WITH_STORE(refuses_bad_names), WITH_STORE(in_use),
        WITH_STORE(checks_options),      WITH_STORE(mounts_tmpfs),      WITH_STORE(mounts_bind), WITH_STORE(one_that_waits_holds_up_nobody),
        WITH_STORE(hides_passwords),     WITH_STORE(bears_damage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
