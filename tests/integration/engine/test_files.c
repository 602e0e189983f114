/* Mounts, cp, diff, export, commit, ports, logs. */
#include "engine_test.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "archive/archive.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/path.h"
#include "tabique/image.h"
#include "tabique/volume.h"

struct memory {
    struct str data;
    size_t at;
};

static int collect(void *user, const void *data, size_t size)
{
    str_append_n(&((struct memory *)user)->data, data, size);
    return 0;
}

static ssize_t supply(void *user, void *buffer, size_t size)
{
    struct memory *memory = user;
    size_t left = memory->data.length - memory->at;

    size = size < left ? size : left;
    memcpy(buffer, memory->data.data + memory->at, size);
    memory->at += size;
    return (ssize_t)size;
}

static void mounts(void **state)
{
    struct bench *bench = *state;
    CLEANUP_FREE char *body = mem_printf("{'Cmd':['sleep','100'],'Volumes':{'/anon':{}},'HostConfig':{"
                                         "'Binds':['%s/bound:/b','vol:/data','%s/ro:/ro:ro'],'Tmpfs':{'/t':'size=1m'},"
                                         "'Mounts':[{'Type':'tmpfs','Target':'/t2'}]}}", bench->root, bench->root);
    struct container *c = run(bench, "m1", body);
    CLEANUP_FREE char *bound = mem_printf("%s/bound/x", bench->root);
    char *text = NULL;

    assert_int_equal(exec_in(bench, c, "cat /data/from-image; ls /data; stat -c %a /data/from-image; echo hi > /b/x; echo v > /data/new; "
                                       "echo a > /anon/f; echo t > /t/f; echo t > /t2/f; touch /ro/x || echo refused", &text), 0);
    assert_non_null(strstr(text, "image\nfrom-image\nsub\n640\n"));
    assert_non_null(strstr(text, "refused"));
    free(text);
    assert_int_equal(access(bound, F_OK), 0);
    struct container_info *info = info_of(c);
    assert_int_equal(info->mount_count, 5);
    container_info_free(info);

    /* The same volume in another container, and all of m's by --volumes-from. */
    struct container *other = run(bench, "m2", "{'Cmd':['sleep','100'],'HostConfig':{'VolumesFrom':['m1:ro']}}");
    assert_int_equal(exec_in(bench, other, "cat /data/new /anon/f; touch /data/y || echo refused", &text), 0);
    assert_non_null(strstr(text, "v\na\n"));
    assert_non_null(strstr(text, "refused"));
    free(text);
    drop(other);
    drop(c);

    struct volume *volume = NULL;
    assert_int_equal(volume_get(engine_volumes(bench->engine), "vol", &volume, NULL), 0);
    assert_true(!volume->used_by || !volume->used_by[0]);
    volume_free(volume);
    c = run(bench, NULL, "{'Cmd':['cat','/data/new'],'HostConfig':{'Binds':['vol:/data']}}");
    assert_int_equal(wait_exit(c), 0);
    CLEANUP_FREE char *kept = logs_of(c);
    assert_string_equal(kept, "v\n");
    drop(c);
    assert_int_equal(volume_remove(engine_volumes(bench->engine), "vol", false, NULL), 0);
}

static void parts_of_volumes(void **state)
{
    struct bench *bench = *state;
    struct container *c = run(bench, NULL, "{'Cmd':['sh','-c','mkdir /v/sub; echo in > /v/sub/f; ln -s / /v/out; ln -s /etc /v/etc'],'HostConfig':{'Binds':['parts:/v']}}");
    struct error err = ERROR_INIT;

    assert_int_equal(wait_exit(c), 0);
    drop(c);
    c = run(bench, NULL, "{'Cmd':['cat','/p/f'],'HostConfig':{'Mounts':[{'Type':'volume','Source':'parts','Target':'/p','VolumeOptions':{'Subpath':'sub'}}]}}");
    assert_int_equal(wait_exit(c), 0);
    CLEANUP_FREE char *text = logs_of(c);
    assert_string_equal(text, "in\n");
    drop(c);
    /* What a container put there leads nowhere but into the volume. */
    c = run(bench, NULL, "{'Cmd':['ls','/p'],'HostConfig':{'Mounts':[{'Type':'volume','Source':'parts','Target':'/p','VolumeOptions':{'Subpath':'out'}}]}}");
    wait_exit(c);
    CLEANUP_FREE char *inside = logs_of(c);
    assert_string_equal(inside, "etc\nout\nsub\n");
    drop(c);
    c = make(bench, NULL, "{'Cmd':['ls','/p'],'HostConfig':{'Mounts':[{'Type':'volume','Source':'parts','Target':'/p','VolumeOptions':{'Subpath':'etc'}}]}}");
    assert_int_equal(container_start(c, NULL, &err), -EINVAL);
    assert_non_null(strstr(err.message, "cannot access path etc of volume parts"));
    drop(c);
    assert_int_equal(volume_remove(engine_volumes(bench->engine), "parts", false, NULL), 0);
}

static void read_only_root(void **state)
{
    struct bench *bench = *state;
    struct container *c = run(bench, NULL, "{'Cmd':['sh','-c','touch /x || echo refused; touch /dev/shm/y && echo shm'],'HostConfig':{'ReadonlyRootfs':true}}");

    assert_int_equal(wait_exit(c), 0);
    CLEANUP_FREE char *text = logs_of(c);
    assert_non_null(strstr(text, "refused"));
    assert_non_null(strstr(text, "shm"));
    drop(c);
}

static void copies(void **state)
{
    struct bench *bench = *state;
    struct container *c = run(bench, NULL, "{'Cmd':['sh','-c','mkdir /tmp/d; echo one > /tmp/d/f; sleep 100']}");
    struct archive_stat stat = {0};
    struct error err = ERROR_INIT;
    char *text = NULL;

    usleep(300000);
    for (int round = 0; round < 2; round++) { /* running, then stopped */
        struct memory memory = {0};

        assert_int_equal(container_path_stat(c, "/tmp/d", &stat, &err), 0);
        assert_string_equal(stat.name, "d");
        assert_true(S_ISDIR(stat.mode));
        free(stat.name);
        free(stat.link_target);
        assert_int_equal(container_path_stat(c, "/no/such", &stat, &err), -ENOENT);
        assert_non_null(strstr(err.message, "Could not find the file /no/such in container"));
        if (container_archive_get(c, "/tmp/d", collect, &memory, &err) < 0)
            fail_msg("%s", err.message);
        assert_true(memory.data.length > 512);
        if (container_archive_put(c, "/root", false, false, supply, &memory, &err) < 0)
            fail_msg("%s", err.message);
        memory.at = 0;
        assert_int_equal(container_archive_put(c, "/etc/passwd", false, false, supply, &memory, &err), -EINVAL);
        assert_string_equal(err.message, "extraction point is not a directory");
        str_free(&memory.data);
        if (round == 0) {
            assert_int_equal(exec_in(bench, c, "cat /root/d/f; rm -r /root/d", &text), 0);
            assert_string_equal(text, "one\n");
            free(text);
            assert_int_equal(container_kill(c, NULL, NULL), 0);
        }
    }
    assert_int_equal(container_path_stat(c, "/root/d/f", &stat, &err), 0);
    free(stat.name);
    free(stat.link_target);
    drop(c);
}

static int note_change(void *user, const char *path, int kind)
{
    str_printf(user, "%c %s\n", "CAD"[kind], path);
    return 0;
}

static void diffs_and_commits(void **state)
{
    struct bench *bench = *state;
    struct container *c = run(bench, NULL, "{'Cmd':['sh','-c','echo new > /tmp/new; rm /etc/plain; echo x >> /etc/group']}");
    struct str changes = STR_INIT;
    struct memory tar = {0};
    struct error err = ERROR_INIT;
    char *id = NULL;
    char change[] = "ENV COMMITTED=yes";
    char *const instructions[] = {change, NULL};

    assert_int_equal(wait_exit(c), 0);
    if (container_changes(c, note_change, &changes, &err) < 0)
        fail_msg("%s", err.message);
    assert_string_equal(changes.data, "C /etc\nC /etc/group\nD /etc/plain\nC /tmp\nA /tmp/new\n");
    str_free(&changes);
    if (container_export(c, collect, &tar, &err) < 0)
        fail_msg("%s", err.message);
    assert_true(tar.data.length > 1000000);
    str_free(&tar.data);
    if (container_commit(c, "test/committed", "v1", "me", "why", true, instructions, NULL, &id, &err) < 0)
        fail_msg("%s", err.message);
    drop(c);

    c = run(bench, NULL, "{'Image':'test/committed:v1','Cmd':['sh','-c','cat /tmp/new; test -e /etc/plain || echo gone; echo $COMMITTED']}");
    assert_int_equal(wait_exit(c), 0);
    CLEANUP_FREE char *text = logs_of(c);
    assert_string_equal(text, "new\ngone\nyes\n");
    drop(c);
    struct image_removal removal = {0};
    assert_int_equal(image_remove(engine_images(bench->engine), id, true, false, &removal, NULL), 0);
    image_removal_clear(&removal);
    free(id);
}

static void publishes(void **state)
{
    struct bench *bench = *state;
    struct container *c = run(bench, NULL, "{'Cmd':['sh','-c','while :; do echo served | nc -l -p 80; done'],'ExposedPorts':{'80/tcp':{},'81/tcp':{}},"
                                           "'HostConfig':{'PortBindings':{'80/tcp':[{'HostIp':'127.0.0.1'}]}}}");
    struct container_info *info = info_of(c);
    const cJSON *ports = json_get(info->network_settings, "Ports");
    const cJSON *binding = cJSON_GetArrayItem(json_get(ports, "80/tcp"), 0);
    int port = atoi(json_string(binding, "HostPort", "0"));
    char buffer[16] = "";
    bool served = false;

    assert_true(port > 0);
    assert_string_equal(json_string(binding, "HostIp", ""), "127.0.0.1");
    assert_true(cJSON_IsNull(json_get(ports, "81/tcp")));
    for (int i = 0; i < 50 && !served; i++) {
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
            served = recv(fd, buffer, sizeof(buffer) - 1, MSG_WAITALL) >= 6 && strncmp(buffer, "served", 6) == 0;
        close(fd);
        if (!served)
            usleep(100000);
    }
    assert_true(served);
    container_info_free(info);
    drop(c);
}

struct tail {
    struct str text;
    int lines;
    int64_t last_ns;
};

static int take_line(void *user, const struct container_log_line *line)
{
    struct tail *tail = user;

    str_append_n(&tail->text, line->data, line->length);
    tail->lines++;
    tail->last_ns = line->time_ns;
    return 0;
}

static void logs(void **state)
{
    struct bench *bench = *state;
    struct container *c = run(bench, NULL, "{'Cmd':['sh','-c','seq 1 5000; echo bad >&2; sleep 1; echo last'],"
                                           "'HostConfig':{'LogConfig':{'Type':'json-file','Config':{'max-size':'64k','max-file':'20'}}}}");
    struct tail all = {0}, tail = {0}, errors = {0}, none = {0};
    struct container_log_query query = {.out = true, .err = true, .tail = -1, .follow = true};
    struct error err = ERROR_INIT;

    /* Followed over rotations to its end. */
    if (container_logs(c, &query, take_line, NULL, &all, &err) < 0)
        fail_msg("%s", err.message);
    assert_int_equal(all.lines, 5002);
    assert_true(str_ends(all.text.data, "last\n"));
    for (int i = 1, at = 0; i <= 5000; i++) {
        int length = 0, value = 0;
        assert_int_equal(sscanf(all.text.data + at, "%d\n%n", &value, &length), 1);
        if (value != i && strncmp(all.text.data + at, "bad", 3) != 0)
            fail_msg("line %d is %d", i, value);
        at += length;
    }
    query.follow = false;
    query.tail = 3000; /* across several files */
    assert_int_equal(container_logs(c, &query, take_line, NULL, &tail, &err), 0);
    assert_int_equal(tail.lines, 3000);
    query.tail = -1;
    query.out = false;
    assert_int_equal(container_logs(c, &query, take_line, NULL, &errors, &err), 0);
    assert_string_equal(errors.text.data, "bad\n");
    query.out = true;
    query.since_ns = all.last_ns + 1;
    assert_int_equal(container_logs(c, &query, take_line, NULL, &none, &err), 0);
    assert_int_equal(none.lines, 0);
    query = (struct container_log_query){.tail = -1};
    assert_int_equal(container_logs(c, &query, take_line, NULL, &none, &err), -EINVAL);
    str_free(&all.text);
    str_free(&tail.text);
    str_free(&errors.text);
    drop(c);
}

static void prunes(void **state)
{
    struct bench *bench = *state;
    struct container *old = run(bench, "done", "{'Cmd':['true'],'Labels':{'keep':'no'}}");
    struct container *kept = run(bench, "kept", "{'Cmd':['sleep','100']}");
    char label[] = "keep=no", *const labels[] = {label, NULL};
    char **ids = NULL;
    int64_t reclaimed = -1;

    wait_exit(old);
    assert_int_equal(container_prune(bench->engine, 0, labels, &ids, &reclaimed, NULL), 0);
    assert_int_equal(strv_length(ids), 1);
    assert_string_equal(ids[0], container_id(old));
    assert_true(reclaimed >= 0);
    strv_free(ids);
    container_put(old);
    drop(kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mounts),    cmocka_unit_test(parts_of_volumes), cmocka_unit_test(read_only_root), cmocka_unit_test(copies), cmocka_unit_test(diffs_and_commits),
        cmocka_unit_test(publishes), cmocka_unit_test(logs),           cmocka_unit_test(prunes),
    };
    return cmocka_run_group_tests(tests, bench_up, bench_down);
}
