/* A server that comes back: nothing that ran is lost, nothing that ended forgotten. */
#include "engine_test.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"

static struct container *find(struct bench *bench, const char *name)
{
    struct container *container = NULL;
    struct error err = ERROR_INIT;

    if (container_get(bench->engine, name, &container, &err) < 0)
        fail_msg("%s", err.message);
    return container;
}

static void goes_on(void **state)
{
    struct bench *bench = *state;
    struct container *c = run(bench, "on", "{'Cmd':['sh','-c','sleep 1; echo late; sleep 100'],'HostConfig':{'PortBindings':{'80/tcp':[{}]},'Binds':['kept:/k']}}");
    struct container_info *before = info_of(c);
    char *text = NULL;

    container_put(c);
    bench_close(bench);
    sleep(1);
    bench_open(bench);
    c = find(bench, "on");
    struct container_info *after = info_of(c);
    assert_int_equal(after->state, CONTAINER_RUNNING);
    assert_int_equal(after->pid, before->pid);
    assert_int_equal(after->started_ns, before->started_ns);
    assert_int_equal(after->endpoint_count, 1);
    assert_string_equal(after->endpoints[0].ipv4, before->endpoints[0].ipv4);
    assert_true(cJSON_Compare(before->network_settings, after->network_settings, true));
    container_info_free(before);
    container_info_free(after);
    assert_int_equal(exec_in(bench, c, "echo alive", &text), 0);
    assert_string_equal(text, "alive\n");
    free(text);
    usleep(500000);
    CLEANUP_FREE char *log = logs_of(c);
    assert_string_equal(log, "late\n");
    assert_int_equal(container_stop(c, NULL, 1, NULL), 0);
    drop(c);
}

static void ended_meanwhile(void **state)
{
    struct bench *bench = *state;
    struct container *a = run(bench, "ended", "{'Cmd':['sh','-c','sleep 0.5; echo bye; exit 9']}");
    struct container *b = run(bench, "auto", "{'Cmd':['sleep','0.5'],'HostConfig':{'AutoRemove':true}}");
    struct container *r = run(bench, "again", "{'Cmd':['sleep','0.7'],'HostConfig':{'RestartPolicy':{'Name':'always'}}}");
    struct container *paused = run(bench, "frozen", "{'Cmd':['sleep','100']}");
    struct container *gone = NULL;
    int64_t closed_ns;

    assert_int_equal(container_pause(paused, NULL), 0);
    CLEANUP_FREE char *id = mem_strdup(container_id(a));
    CLEANUP_FREE char *auto_id = mem_strdup(container_id(b));
    container_put(a);
    container_put(b);
    container_put(r);
    container_put(paused);
    bench_close(bench);
    sleep(2);
    closed_ns = clock_real_ns();
    bench_open(bench);
    a = find(bench, "ended");
    assert_int_equal(wait_exit(a), 9);
    struct container_info *info = info_of(a);
    assert_int_equal(info->exit_code, 9);
    assert_true(info->finished_ns < closed_ns - NS_PER_SEC / 2);
    container_info_free(info);
    CLEANUP_FREE char *log = logs_of(a);
    assert_string_equal(log, "bye\n");
    drop(a);
    for (int i = 0; i < 500 && container_get(bench->engine, auto_id, &gone, NULL) == 0; i++) {
        container_put(gone);
        usleep(10000);
    }
    assert_int_equal(container_get(bench->engine, auto_id, &gone, NULL), -ENOENT);
    r = find(bench, "again");
    bool runs = false;
    for (int i = 0; i < 500 && !runs; i++) {
        info = info_of(r);
        runs = info->state == CONTAINER_RUNNING && info->restart_count > 0;
        container_info_free(info);
        usleep(10000);
    }
    assert_true(runs);
    drop(r);
    paused = find(bench, "frozen");
    info = info_of(paused);
    assert_int_equal(info->state, CONTAINER_PAUSED);
    container_info_free(info);
    assert_int_equal(container_unpause(paused, NULL), 0);
    drop(paused);
}

/* A zombie that nobody has reaped yet is not. */
static bool is_alive(pid_t pid)
{
    CLEANUP_FREE char *path = mem_printf("/proc/%d/stat", (int)pid);
    CLEANUP_FREE char *text = NULL;
    size_t length;

    if (file_read(AT_FDCWD, path, 4096, &text, &length) < 0)
        return false;
    const char *behind = strrchr(text, ')');
    return !behind || behind[2] != 'Z';
}

static void shim_killed(void **state)
{
    struct bench *bench = *state;
    struct container *c = run(bench, "orphan", "{'Cmd':['sleep','100']}");
    struct container_info *info = info_of(c);
    pid_t pid = info->pid;

    assert_true(info->shim_pid > 1);
    assert_int_equal(kill(info->shim_pid, SIGKILL), 0);
    container_info_free(info);
    assert_int_equal(wait_exit(c), 137);
    assert_false(is_alive(pid));
    info = info_of(c);
    assert_int_equal(info->state, CONTAINER_EXITED);
    assert_true(*info->error);
    container_info_free(info);
    assert_int_equal(container_start(c, NULL, NULL), 0);
    drop(c);
}

static void machine_restarted(void **state)
{
    struct bench *bench = *state;
    struct container *c = run(bench, "boot", "{'Cmd':['sleep','100']}");
    CLEANUP_FREE char *path = mem_printf("%s/data/containers/%s/state.json", bench->root, container_id(c));
    CLEANUP_FREE char *text = NULL;
    struct container_info *info = info_of(c);
    size_t length;

    /* As after a power cut: the shim and all are gone, the boot id is another one. */
    pid_t shim = info->shim_pid;
    container_info_free(info);
    container_put(c);
    bench_close(bench);
    assert_int_equal(kill(shim, SIGKILL), 0);
    assert_int_equal(file_read(AT_FDCWD, path, 1 << 20, &text, &length), 0);
    char *boot = strstr(text, boot_id());
    assert_non_null(boot);
    memset(boot, '0', 8);
    assert_int_equal(file_write_atomic(AT_FDCWD, path, text, length, 0600), 0);
    bench_open(bench);
    c = find(bench, "boot");
    assert_int_equal(wait_exit(c), 255);
    info = info_of(c);
    assert_string_equal(info->error, "the machine was restarted");
    container_info_free(info);
    drop(c);
}

static void damaged_record(void **state)
{
    struct bench *bench = *state;
    struct container *c = make(bench, "broken", "{}");
    struct container *whole = make(bench, "whole", "{}");
    CLEANUP_FREE char *dir = mem_printf("%s/data/containers/%s", bench->root, container_id(c));
    CLEANUP_FREE char *path = mem_printf("%s/config.json", dir);
    struct container *found = NULL;

    container_put(c);
    container_put(whole);
    bench_close(bench);
    assert_int_equal(file_write_atomic(AT_FDCWD, path, "{\"ID\":", 6, 0600), 0);
    bench_open(bench);
    assert_int_equal(container_get(bench->engine, "broken", &found, NULL), -ENOENT);
    drop(find(bench, "whole"));
    path_remove_tree(AT_FDCWD, dir);
}

static bool is_empty(const char *dir)
{
    return rmdir(dir) == 0 && mkdir(dir, 0700) == 0;
}

/* Removed is what its name is gone of; the files follow, if need be after the next start. */
static void removed_files_follow(void **state)
{
    struct bench *bench = *state;
    struct container *c = run(bench, "gone", "{'Cmd':['sh','-c','mkdir -p /a/b; echo x >/a/b/c']}");
    CLEANUP_FREE char *dir = mem_printf("%s/data/containers/%s", bench->root, container_id(c));
    CLEANUP_FREE char *aside = mem_printf("%s/data/discarded", bench->root);
    CLEANUP_FREE char *left = path_join(aside, "left");
    CLEANUP_FREE char *file = path_join(left, "file");
    struct stat st;

    assert_int_equal(wait_exit(c), 0);
    drop(c);
    assert_int_equal(lstat(dir, &st), -1);
    for (int i = 0; i < 500 && !is_empty(aside); i++)
        usleep(10000);
    assert_true(is_empty(aside));

    bench_close(bench);
    assert_int_equal(mkdir(left, 0700), 0);
    assert_int_equal(file_write_atomic(AT_FDCWD, file, "x", 1, 0600), 0);
    bench_open(bench);
    for (int i = 0; i < 500 && !is_empty(aside); i++)
        usleep(10000);
    assert_true(is_empty(aside));
}

static void one_server_each(void **state)
{
    struct bench *bench = *state;
    CLEANUP_FREE char *data = mem_printf("%s/data", bench->root);
    CLEANUP_FREE char *run_dir = mem_printf("%s/run", bench->root);
    struct engine_options options = {.data_dir = data, .run_dir = run_dir, .libexec_dir = "/nowhere"};
    struct engine *second = NULL;
    struct error err = ERROR_INIT;

    assert_int_equal(engine_open(&options, &second, &err), -EBUSY);
    assert_non_null(strstr(err.message, "another server already uses"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goes_on),           cmocka_unit_test(ended_meanwhile), cmocka_unit_test(shim_killed),
        cmocka_unit_test(machine_restarted), cmocka_unit_test(damaged_record),  cmocka_unit_test(removed_files_follow),
        cmocka_unit_test(one_server_each),
    };
    return cmocka_run_group_tests(tests, bench_up, bench_down);
}
