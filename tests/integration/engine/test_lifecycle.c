/* Create, start, stop, exec, attach ...: with real processes. */
#include "engine_test.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "tabique/compare.h"
#include "tabique/host.h"

static void runs_and_ends(void **state)
{
    struct bench *bench = *state;
    struct container *c = run(bench, "first", "{'Cmd':['sh','-c','echo out; echo err >&2; exit 7'],'Labels':{'a':'b'}}");

    assert_int_equal(wait_exit(c), 7);
    CLEANUP_FREE char *text = logs_of(c);
    assert_non_null(strstr(text, "out\n"));
    assert_non_null(strstr(text, "err\n"));
    struct container_info *info = info_of(c);
    assert_int_equal(info->state, CONTAINER_EXITED);
    assert_int_equal(info->exit_code, 7);
    assert_int_equal(info->pid, 0);
    assert_string_equal(info->name, "first");
    assert_string_equal(info->isolation, "process");
    assert_true(info->finished_ns >= info->started_ns && info->started_ns >= info->created_ns);
    container_info_free(info);
    CLEANUP_FREE char *actions = actions_of(bench, container_id(c));
    assert_string_equal(actions, "create,network connect,start,network disconnect,die");
    drop(c);
}

static void starts_again(void **state)
{
    struct bench *bench = *state;
    struct container *c = run(bench, NULL, "{'Cmd':['sh','-c','echo x >> /tmp/f; wc -l < /tmp/f']}");

    assert_int_equal(wait_exit(c), 0);
    assert_int_equal(container_start(c, NULL, NULL), 0);
    assert_int_equal(wait_exit(c), 0);
    CLEANUP_FREE char *text = logs_of(c);
    assert_string_equal(text, "1\n2\n");
    drop(c);
}

static void sees_docker_surroundings(void **state)
{
    struct bench *bench = *state;
    struct container *c = run(bench, "web", "{'Cmd':['sh','-c','sleep 100'],'Hostname':'boxy','Env':['A=1'],'User':'user',"
                                            "'HostConfig':{'GroupAdd':['extra'],'Memory':67108864}}");
    char *text = NULL;

    assert_int_equal(exec_in(bench, c, "id; hostname; echo $A $HOSTNAME $HOME; cat /etc/hosts; ls -a /dev; cat /proc/1/status", &text), 0);
    assert_non_null(strstr(text, "uid=1000"));
    assert_non_null(strstr(text, "2000"));
    assert_non_null(strstr(text, "boxy\n1 boxy /home/user\n"));
    assert_non_null(strstr(text, "127.0.0.1\tlocalhost"));
    assert_non_null(strstr(text, "\tboxy\n"));
    assert_non_null(strstr(text, "Seccomp:\t2"));
    assert_null(strstr(text, "kmsg"));
    free(text);
    assert_int_not_equal(exec_in(bench, c, "echo x > /proc/sys/kernel/hostname", NULL), 0);
    drop(c);
}

static void wrong_programs(void **state)
{
    struct bench *bench = *state;
    struct container *c = make(bench, NULL, "{'Cmd':['nosuch']}");
    struct error err = ERROR_INIT;

    assert_int_equal(container_start(c, NULL, &err), -EINVAL);
    assert_non_null(strstr(err.message, "exec: \"nosuch\": executable file not found in $PATH"));
    struct container_info *info = info_of(c);
    assert_int_equal(info->state, CONTAINER_CREATED);
    assert_int_equal(info->exit_code, 127);
    assert_string_equal(info->error, err.message);
    container_info_free(info);
    drop(c);

    c = make(bench, NULL, "{'Cmd':['/etc/plain']}");
    assert_int_equal(container_start(c, NULL, &err), -EINVAL);
    assert_non_null(strstr(err.message, "permission denied"));
    info = info_of(c);
    assert_int_equal(info->exit_code, 126);
    container_info_free(info);
    drop(c);

    assert_int_equal(try_make(bench, NULL, "{'Image':'no/such'}", &err), -ENOENT);
    assert_non_null(strstr(err.message, "No such image: no/such"));
}

static void stops(void **state)
{
    struct bench *bench = *state;
    struct container *c = run(bench, "stopper", "{'Cmd':['sh','-c','trap \\\"exit 5\\\" TERM; while :; do sleep 0.1; done']}");
    struct error err = ERROR_INIT;

    usleep(200000); /* for the trap */
    assert_int_equal(container_stop(c, NULL, 10, &err), 0);
    struct container_info *info = info_of(c);
    assert_int_equal(info->exit_code, 5);
    assert_int_equal(info->state, CONTAINER_EXITED);
    container_info_free(info);
    assert_int_equal(container_stop(c, NULL, 10, &err), -EALREADY);
    CLEANUP_FREE char *actions = actions_of(bench, container_id(c));
    assert_string_equal(actions, "create,network connect,start,kill,network disconnect,die,stop");
    assert_int_equal(container_kill(c, NULL, &err), -EBUSY);
    assert_non_null(strstr(err.message, "container "));
    assert_non_null(strstr(err.message, " is not running"));

    /* A pid 1 without a handler does not hear SIGTERM: the force. */
    assert_int_equal(container_start(c, NULL, &err), 0);
    assert_int_equal(container_start(c, NULL, &err), -EALREADY);
    assert_int_equal(container_kill(c, "KILL", &err), 0);
    info = info_of(c);
    assert_int_equal(info->exit_code, 137);
    container_info_free(info);
    drop(c);
}

static void removes(void **state)
{
    struct bench *bench = *state;
    struct container *c = run(bench, "gone", "{'Cmd':['sleep','100']}");
    struct error err = ERROR_INIT;
    struct container *again = NULL;
    char dir[256], text[400];

    snprintf(dir, sizeof(dir), "%s/data/containers/%s", bench->root, container_id(c));
    assert_int_equal(access(dir, F_OK), 0);
    assert_int_equal(try_make(bench, "gone", "{}", &err), -EEXIST);
    snprintf(text, sizeof(text), "Conflict. The container name \"/gone\" is already in use by container \"%s\". You have to "
                                 "remove (or rename) that container to be able to reuse that name.", container_id(c));
    assert_string_equal(err.message, text);
    assert_int_equal(container_remove(c, false, false, false, &err), -EBUSY);
    assert_string_equal(err.message, "cannot remove container \"/gone\": container is running: stop the container before "
                                     "removing or force remove");
    assert_int_equal(container_remove(c, false, true, false, &err), 0);
    assert_int_equal(container_remove(c, false, true, false, &err), -ENOENT);
    container_put(c);
    assert_int_not_equal(access(dir, F_OK), 0);
    assert_int_equal(container_get(bench->engine, "gone", &again, &err), -ENOENT);
    assert_string_equal(err.message, "No such container: gone");
    assert_int_equal(try_make(bench, "gone", "{}", &err), 0);
    assert_int_equal(container_get(bench->engine, "/gone", &again, &err), 0);
    drop(again);
}

static void removes_itself(void **state)
{
    struct bench *bench = *state;
    struct container *c = make(bench, "auto", "{'Cmd':['sh','-c','exit 3'],'HostConfig':{'AutoRemove':true}}");
    struct container_waiter *waiter = NULL;
    struct container *gone = NULL;
    int status = -1;

    assert_int_equal(container_wait_begin(c, CONTAINER_WAIT_REMOVED, &waiter, NULL), 0);
    assert_int_equal(container_start(c, NULL, NULL), 0);
    assert_int_equal(container_wait_end(waiter, NULL, NULL, &status, NULL, NULL), 0);
    assert_int_equal(status, 3);
    assert_int_equal(container_get(bench->engine, "auto", &gone, NULL), -ENOENT);
    container_put(c);
}

static void attaches_before_start(void **state)
{
    struct bench *bench = *state;
    struct container *c = make(bench, NULL, "{'Cmd':['sh','-c','read x; echo got $x; read y || echo end'],'OpenStdin':true,'StdinOnce':true}");
    int fd = -1;

    assert_int_equal(container_attach(c, "it", 7, &fd, NULL), 0);
    write_stdin(fd, "hello\n");
    assert_int_equal(container_start(c, NULL, NULL), 0);
    write_stdin(fd, NULL);
    CLEANUP_FREE char *text = read_stream(fd);
    assert_string_equal(text, "got hello\nend\n");
    assert_int_equal(wait_exit(c), 0);
    /* And once more: an attach to one that has ended waits for its next run. */
    assert_int_equal(container_attach(c, "it", 7, &fd, NULL), 0);
    assert_int_equal(container_start(c, NULL, NULL), 0);
    write_stdin(fd, "again\n");
    write_stdin(fd, NULL);
    CLEANUP_FREE char *second = read_stream(fd);
    assert_string_equal(second, "got again\nend\n");
    drop(c);
}

static void terminal(void **state)
{
    struct bench *bench = *state;
    struct container *c = make(bench, NULL, "{'Cmd':['sh'],'OpenStdin':true,'Tty':true}");
    int fd = -1;

    assert_int_equal(container_attach(c, "it", 7, &fd, NULL), 0);
    assert_int_equal(container_start(c, NULL, NULL), 0);
    assert_int_equal(container_resize(c, 40, 100, NULL), 0);
    write_stdin(fd, "echo $((6*7)) $TERM; exit 9\n");
    CLEANUP_FREE char *text = read_stream(fd);
    assert_non_null(strstr(text, "42 xterm\r\n"));
    assert_int_equal(wait_exit(c), 9);
    drop(c);
}

static void execs(void **state)
{
    struct bench *bench = *state;
    struct container *c = run(bench, NULL, "{'Cmd':['sleep','100']}");
    CLEANUP_JSON cJSON *missing = cJSON_Parse("{\"Cmd\":[\"nosuch\"],\"AttachStdout\":true}");
    CLEANUP_JSON cJSON *empty = cJSON_Parse("{}");
    struct error err = ERROR_INIT;
    struct exec_info *info = NULL;
    char *text = NULL, id[65];
    int fd = -1;

    assert_int_equal(exec_in(bench, c, "echo a; echo b >&2; exit 3", &text), 3);
    assert_string_equal(text, "a\nb\n");
    free(text);
    assert_int_equal(exec_in(bench, c, "seq 1 20000 | wc -l", &text), 0);
    assert_string_equal(text, "20000\n");
    free(text);
    assert_int_equal(exec_create(c, "it", missing, id, &err), 0);
    assert_int_equal(exec_start(bench->engine, id, false, false, 0, 0, &fd, &err), -EINVAL);
    assert_non_null(strstr(err.message, "executable file not found in $PATH"));
    assert_int_equal(exec_info(bench->engine, id, &info, &err), 0);
    assert_true(info->has_exit_code);
    assert_int_equal(info->exit_code, 126);
    exec_info_free(info);
    assert_int_equal(exec_start(bench->engine, id, true, false, 0, 0, NULL, &err), -EBUSY);
    assert_int_equal(exec_create(c, "it", empty, id, &err), -EINVAL);
    assert_string_equal(err.message, "No exec command specified");
    assert_int_equal(exec_info(bench->engine, "0123", &info, &err), -ENOENT);
    assert_string_equal(err.message, "No such exec instance: 0123");
    assert_int_equal(container_pause(c, &err), 0);
    assert_int_equal(exec_create(c, "it", missing, id, &err), -EBUSY);
    assert_non_null(strstr(err.message, "is paused, unpause the container before exec"));
    assert_int_equal(container_unpause(c, &err), 0);
    drop(c);
}

static void pauses(void **state)
{
    struct bench *bench = *state;
    struct container *c = run(bench, "pauser", "{'Cmd':['sleep','100']}");
    struct error err = ERROR_INIT;

    assert_int_equal(container_unpause(c, &err), -EIO);
    assert_int_equal(container_pause(c, &err), 0);
    assert_int_equal(container_pause(c, &err), -EBUSY);
    assert_non_null(strstr(err.message, "is already paused"));
    assert_int_equal(container_start(c, NULL, &err), -EBUSY);
    assert_string_equal(err.message, "cannot start a paused container, try unpause instead");
    struct container_info *info = info_of(c);
    assert_int_equal(info->state, CONTAINER_PAUSED);
    container_info_free(info);
    assert_int_equal(container_stop(c, NULL, 1, &err), 0);
    info = info_of(c);
    assert_int_equal(info->state, CONTAINER_EXITED);
    container_info_free(info);
    drop(c);
}

static void renames_and_updates(void **state)
{
    struct bench *bench = *state;
    struct container *c = run(bench, "old", "{'Cmd':['sleep','100'],'HostConfig':{'Memory':67108864}}");
    CLEANUP_JSON cJSON *limits = cJSON_Parse("{\"Memory\":33554432,\"RestartPolicy\":{\"Name\":\"unless-stopped\"}}");
    CLEANUP_JSON cJSON *tiny = cJSON_Parse("{\"Memory\":1000}");
    struct error err = ERROR_INIT;
    struct container *found = NULL;

    assert_int_equal(container_rename(c, "old", &err), -EINVAL);
    assert_int_equal(container_rename(c, "new", &err), 0);
    assert_int_equal(container_get(bench->engine, "old", &found, &err), -ENOENT);
    assert_int_equal(container_get(bench->engine, "new", &found, &err), 0);
    container_put(found);
    if (container_update(c, limits, NULL, &err) < 0)
        fail_msg("%s", err.message);
    struct container_info *info = info_of(c);
    assert_int_equal(json_int(info->host_config, "Memory", 0), 33554432);
    assert_string_equal(json_string(json_get(info->host_config, "RestartPolicy"), "Name", ""), "unless-stopped");
    container_info_free(info);
    assert_int_equal(container_update(c, tiny, NULL, &err), -EINVAL);
    drop(c);
}

static bool has_restarted_twice(void *user)
{
    struct container_info *info = info_of(user);
    bool done = info->state == CONTAINER_EXITED && info->restart_count == 2;

    container_info_free(info);
    return done;
}

static void restarts_by_policy(void **state)
{
    struct bench *bench = *state;
    struct container *c = run(bench, NULL, "{'Cmd':['sh','-c','echo run; exit 1'],"
                                           "'HostConfig':{'RestartPolicy':{'Name':'on-failure','MaximumRetryCount':2}}}");

    assert_true(eventually(has_restarted_twice, c));
    CLEANUP_FREE char *text = logs_of(c);
    assert_string_equal(text, "run\nrun\nrun\n");
    drop(c);

    /* "always", but somebody says stop. */
    c = run(bench, NULL, "{'Cmd':['sh','-c','exit 0'],'HostConfig':{'RestartPolicy':{'Name':'always'}}}");
    usleep(500000);
    assert_int_equal(container_stop(c, NULL, 5, NULL), 0);
    struct container_info *info = info_of(c);
    assert_int_equal(info->state, CONTAINER_EXITED);
    container_info_free(info);
    usleep(300000);
    info = info_of(c);
    assert_int_equal(info->state, CONTAINER_EXITED);
    container_info_free(info);
    drop(c);
}

static void restarts_by_hand(void **state)
{
    struct bench *bench = *state;
    struct container *c = run(bench, NULL, "{'Cmd':['sleep','100'],'HostConfig':{'AutoRemove':true}}");
    struct container_info *before = info_of(c);
    struct error err = ERROR_INIT;

    if (container_restart(c, "KILL", 5, &err) < 0)
        fail_msg("%s", err.message);
    struct container_info *after = info_of(c);
    assert_int_equal(after->state, CONTAINER_RUNNING);
    assert_int_not_equal(before->pid, after->pid);
    container_info_free(before);
    container_info_free(after);
    drop(c);
}

static void is_compared(void **state)
{
    struct bench *bench = *state;
    struct container *c = run(bench, "cmp", "{'Cmd':['sleep','1234']}");
    struct container_info *info = info_of(c);
    struct comparison *comparison = NULL;
    struct process_list *list = NULL;
    struct error err = ERROR_INIT;

    if (container_processes(c, 0, &list, &err) < 0)
        fail_msg("%s", err.message);
    assert_int_equal(list->count, 1);
    assert_int_equal(list->items[0].pid, info->pid);
    assert_int_equal(list->items[0].inner_pid, 1);
    assert_string_equal(list->items[0].name, "sleep");
    if (container_compare(c, false, 0, &comparison, &err) < 0)
        fail_msg("%s", err.message);
    assert_int_equal(comparison->same, 1);
    assert_int_equal(comparison->container_only, 0);
    assert_int_equal(comparison->rows[0].host->pid, info->pid);
    comparison_free(comparison);
    assert_int_equal(container_signal_process(c, 1, list->items[0].started_ns + NS_PER_SEC, SIGKILL, &err), -ENOENT);
    assert_int_equal(container_signal_process(c, 1, list->items[0].started_ns, SIGKILL, &err), 0);
    assert_int_equal(wait_exit(c), 137);
    assert_int_equal(container_processes(c, 0, &list, &err), -EBUSY);
    process_list_unref(list);
    container_info_free(info);
    drop(c);
}

static bool is_healthy(void *user)
{
    struct container_info *info = info_of(user);
    bool yes = str_equal(info->health_status, "healthy");

    container_info_free(info);
    return yes;
}

static bool is_unhealthy(void *user)
{
    struct container_info *info = info_of(user);
    bool yes = str_equal(info->health_status, "unhealthy");

    container_info_free(info);
    return yes;
}

static void is_checked(void **state)
{
    struct bench *bench = *state;
    struct container *c = run(bench, NULL, "{'Cmd':['sleep','100'],'Healthcheck':{'Test':['CMD-SHELL','echo ok; test ! -e /tmp/bad'],"
                                           "'Interval':100000000,'Retries':2}}");

    assert_true(eventually(is_healthy, c));
    assert_int_equal(exec_in(bench, c, "touch /tmp/bad", NULL), 0);
    assert_true(eventually(is_unhealthy, c));
    struct container_info *info = info_of(c);
    assert_true(info->health_failing_streak >= 2);
    assert_string_equal(json_string(cJSON_GetArrayItem(info->health_log, 0), "Output", ""), "ok\n");
    container_info_free(info);
    CLEANUP_FREE char *actions = actions_of(bench, container_id(c));
    assert_non_null(strstr(actions, "health_status: healthy"));
    assert_non_null(strstr(actions, "health_status: unhealthy"));
    drop(c);
}

static void runs_out_of_memory(void **state)
{
    struct bench *bench = *state;
    struct container *c = run(bench, NULL, "{'Cmd':['sh','-c','x=x; while :; do x=$x$x; done'],'HostConfig':{'Memory':16777216,'MemorySwap':16777216}}");

    assert_int_equal(wait_exit(c), 137);
    struct container_info *info = info_of(c);
    assert_true(info->oom_killed);
    container_info_free(info);
    drop(c);
}

static void shares_namespaces(void **state)
{
    struct bench *bench = *state;
    struct container *a = run(bench, "a1", "{'Cmd':['sleep','100'],'Hostname':'aaa'}");
    struct container *b = run(bench, "b1", "{'Cmd':['sleep','100'],'HostConfig':{'NetworkMode':'container:a1','PidMode':'container:a1'}}");
    struct container *h = run(bench, "h1", "{'Cmd':['sleep','100'],'HostConfig':{'NetworkMode':'host','PidMode':'host','IpcMode':'host','UTSMode':'host'}}");
    struct container *n = run(bench, "n1", "{'Cmd':['sleep','100'],'HostConfig':{'NetworkMode':'none'}}");
    char *text = NULL, *other = NULL;

    assert_int_equal(exec_in(bench, a, "ip -o -4 addr show eth0", &text), 0);
    assert_int_equal(exec_in(bench, b, "ip -o -4 addr show eth0", &other), 0);
    assert_string_equal(text, other);
    free(text);
    free(other);
    assert_int_equal(exec_in(bench, n, "ip -o link", &text), 0);
    assert_non_null(strstr(text, "lo"));
    assert_null(strstr(text, "eth0"));
    free(text);
    assert_int_equal(exec_in(bench, h, "ps | wc -l", &text), 0);
    assert_true(atol(text) > 5);
    free(text);
    drop(n);
    drop(h);
    drop(b);
    drop(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_and_ends),
        cmocka_unit_test(starts_again),
        cmocka_unit_test(sees_docker_surroundings),
        cmocka_unit_test(wrong_programs),
        cmocka_unit_test(stops),
        cmocka_unit_test(removes),
        cmocka_unit_test(removes_itself),
        cmocka_unit_test(attaches_before_start),
        cmocka_unit_test(terminal),
        cmocka_unit_test(execs),
        cmocka_unit_test(pauses),
        cmocka_unit_test(renames_and_updates),
        cmocka_unit_test(restarts_by_policy),
        cmocka_unit_test(restarts_by_hand),
        cmocka_unit_test(is_compared),
        cmocka_unit_test(is_checked),
        cmocka_unit_test(runs_out_of_memory),
        cmocka_unit_test(shares_namespaces),
    };
    return cmocka_run_group_tests(tests, bench_up, bench_down);
}
