/* The small pure parts: states, mounts, log lines, workers. */
#include "container_test.h"

#include <stdatomic.h>
#include <sys/mount.h>

#include "base/clock.h"
#include "base/mem.h"
#include "container/internal.h"
#include "container/log_line.h"
#include "container/workers.h"

static void transitions(void **state)
{
    (void)state;
    assert_int_equal(state_after(CONTAINER_CREATED, STATE_STARTED), CONTAINER_RUNNING);
    assert_int_equal(state_after(CONTAINER_CREATED, STATE_START_FAILED), CONTAINER_CREATED);
    assert_int_equal(state_after(CONTAINER_RUNNING, STATE_ENDED), CONTAINER_EXITED);
    assert_int_equal(state_after(CONTAINER_PAUSED, STATE_ENDED), CONTAINER_EXITED);
    assert_int_equal(state_after(CONTAINER_RESTARTING, STATE_START_FAILED), CONTAINER_EXITED);
    assert_int_equal(state_after(CONTAINER_RUNNING, STATE_STARTED), -EINVAL);
    assert_int_equal(state_after(CONTAINER_RUNNING, STATE_REMOVING), -EINVAL);
    assert_int_equal(state_after(CONTAINER_REMOVING, STATE_STARTED), -EINVAL);
    assert_int_equal(state_after(CONTAINER_DEAD, STATE_STARTED), -EINVAL);
    assert_int_equal(state_after((enum container_state)99, STATE_STARTED), -EINVAL);
    for (int s = CONTAINER_CREATED; s <= CONTAINER_DEAD; s++) {
        enum container_state back;
        assert_int_equal(state_parse(container_state_name((enum container_state)s), &back), 0);
        assert_int_equal(back, s);
        for (int e = 0; e < STATE_EVENT_COUNT; e++) {
            int next = state_after((enum container_state)s, (enum state_event)e);
            assert_true(next == -EINVAL || (next >= CONTAINER_CREATED && next <= CONTAINER_DEAD));
        }
    }
}

static void backoff(void **state)
{
    int64_t delay = 0;

    (void)state;
    delay = restart_backoff(delay, NS_PER_SEC);
    assert_int_equal(delay, 100 * NS_PER_MS);
    delay = restart_backoff(delay, NS_PER_SEC);
    assert_int_equal(delay, 200 * NS_PER_MS);
    for (int i = 0; i < 20; i++)
        delay = restart_backoff(delay, NS_PER_SEC);
    assert_int_equal(delay, 60 * NS_PER_SEC);
    assert_int_equal(restart_backoff(delay, 10 * NS_PER_SEC), 100 * NS_PER_MS);
}

static void binds(void **state)
{
    static const char *const wrong[] = {"", ":", "/a:/b:/c:/d", "/a:/b:ro,rw", "/foo:rw", "/a:/b:nocopy", "v:/b:rshared", ":/b"};
    struct mount_point mount = {0};
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(mount_parse_bind("/src/../x:/dst/:ro,z", "", &mount, &err), 0);
    assert_int_equal(mount.type, MOUNT_BIND);
    assert_string_equal(mount.source, "/x");
    assert_string_equal(mount.destination, "/dst");
    assert_string_equal(mount.propagation, "rprivate");
    assert_false(mount.rw);
    assert_true(mount.create_source);
    mount_point_clear(&mount);
    assert_int_equal(mount_parse_bind("data:/d:nocopy", "", &mount, &err), 0);
    assert_int_equal(mount.type, MOUNT_VOLUME);
    assert_string_equal(mount.name, "data");
    assert_false(mount.copy_data);
    assert_false(mount.anonymous);
    mount_point_clear(&mount);
    assert_int_equal(mount_parse_bind("/only", "", &mount, &err), 0);
    assert_true(mount.anonymous);
    mount_point_clear(&mount);
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
        assert_int_equal(mount_parse_bind(wrong[i], "", &mount, &err), -EINVAL);
}

static void specs_and_lists(void **state)
{
    CLEANUP_JSON cJSON *spec = json_of("{'Type':'tmpfs','Target':'/t','TmpfsOptions':{'SizeBytes':1048576,'Mode':448}}");
    CLEANUP_JSON cJSON *escape = json_of("{'Type':'volume','Source':'v','Target':'/t','VolumeOptions':{'Subpath':'../x'}}");
    CLEANUP_JSON cJSON *unknown = json_of("{'Type':'npipe','Target':'/t'}");
    struct mount_point mount = {0}, again = {0};
    struct mount_list list = {0}, back = {0};
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(mount_parse_spec(spec, true, &mount, &err), 0);
    assert_string_equal(mount.data, "mode=700,size=1048576");
    assert_int_equal(mount_parse_spec(escape, true, &again, &err), -EINVAL);
    assert_non_null(strstr(err.message, "subpath must be a relative path within the volume"));
    assert_int_equal(mount_parse_spec(unknown, true, &again, &err), -EINVAL);
    assert_string_equal(err.message, "invalid mount config for type \"npipe\": mount type unknown");

    assert_int_equal(mount_list_add(&list, &mount, false, &err), 0);
    assert_int_equal(mount_parse_spec(spec, true, &again, &err), 0);
    assert_int_equal(mount_list_add(&list, &again, false, &err), -EINVAL);
    assert_string_equal(err.message, "Duplicate mount point: /t");
    assert_int_equal(mount_list_add(&list, &again, true, &err), 0);
    assert_int_equal(list.count, 1);

    CLEANUP_JSON cJSON *json = mount_list_to_json(&list);
    mount_list_from_json(json, &back);
    assert_int_equal(back.count, 1);
    assert_string_equal(back.items[0].destination, "/t");
    assert_string_equal(back.items[0].data, "mode=700,size=1048576");
    mount_list_clear(&list);
    mount_list_clear(&back);
}

static void tmpfs(void **state)
{
    unsigned long flags;
    char *data = NULL;

    (void)state;
    assert_int_equal(mount_parse_tmpfs("", &flags, &data, NULL), 0);
    assert_int_equal(flags, MS_NOEXEC | MS_NOSUID | MS_NODEV);
    assert_string_equal(data, "");
    free(data);
    assert_int_equal(mount_parse_tmpfs("rw,exec,size=64m,ro", &flags, &data, NULL), 0);
    assert_int_equal(flags, MS_RDONLY | MS_NOSUID | MS_NODEV);
    assert_string_equal(data, "size=64m");
    free(data);
    assert_int_equal(mount_parse_tmpfs("evil", &flags, &data, NULL), -EINVAL);
    assert_int_equal(mount_propagation_flag("rshared"), MS_SHARED | MS_REC);
    assert_int_equal(mount_propagation_flag("ro"), 0);
}

static void from(void **state)
{
    char *container = NULL, *mode = NULL;
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(mount_parse_from("web:ro", &container, &mode, &err), 0);
    assert_string_equal(container, "web");
    assert_string_equal(mode, "ro");
    free(container);
    free(mode);
    assert_int_equal(mount_parse_from("web:nocopy", &container, &mode, &err), -EINVAL);
    assert_int_equal(mount_parse_from("", &container, &mode, &err), -EINVAL);
}

static void log_lines(void **state)
{
    static const char *const bad[] = {"", "{", "{\"log\":\"x", "{\"log\":\"x\",\"stream\":\"stdout\"}", "[]", "{\"log\":1}"};
    const char *good = "{\"log\":\"a\\n\\u00e9\\ud83d\\ude00\\\"\",\"stream\":\"stderr\",\"time\":\"2024-01-02T03:04:05.000000006Z\"}";
    const char *other = "{ \"time\":\"2024-01-02T03:04:05Z\",\"attrs\":{\"a\":\"b\"},\"log\":\"z\\n\"}";
    struct container_log_line line;
    struct str text = STR_INIT;

    (void)state;
    assert_int_equal(log_line_decode(good, strlen(good), &text, &line), 0);
    assert_int_equal(line.stream, 2);
    assert_int_equal(line.length, strlen("a\n\xc3\xa9\xf0\x9f\x98\x80\""));
    assert_memory_equal(line.data, "a\n\xc3\xa9\xf0\x9f\x98\x80\"", line.length);
    assert_int_equal(line.time_ns % NS_PER_SEC, 6);
    assert_int_equal(log_line_decode(other, strlen(other), &text, &line), 0);
    assert_int_equal(line.stream, 1);
    assert_int_equal(line.length, 2);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(log_line_decode(bad[i], strlen(bad[i]), &text, &line), -EBADMSG);
    /* Cut anywhere, it is refused or decoded, never read beyond. */
    for (size_t cut = 0; cut < strlen(good); cut++) {
        char *copy = mem_strndup(good, cut);
        char *tight = mem_dup(copy, cut ? cut : 1);
        log_line_decode(tight, cut, &text, &line);
        free(tight);
        free(copy);
    }
    str_free(&text);
}

static void count_up(void *user)
{
    atomic_fetch_add((atomic_int *)user, 1);
}

static void pool(void **state)
{
    struct workers *workers = workers_new("test", 4);
    atomic_int done = 0;

    (void)state;
    for (int i = 0; i < 1000; i++)
        workers_post_after(workers, i % 3 * NS_PER_MS, count_up, &done);
    workers_post_after(workers, 3600 * NS_PER_SEC, count_up, &done); /* run early by stop */
    workers_stop(workers);
    assert_int_equal(done, 1001);
    workers_post(workers, count_up, &done);
    assert_int_equal(done, 1002);
    workers_free(workers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transitions), cmocka_unit_test(backoff), cmocka_unit_test(binds),
        cmocka_unit_test(specs_and_lists), cmocka_unit_test(tmpfs), cmocka_unit_test(from),
        cmocka_unit_test(log_lines), cmocka_unit_test(pool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
