/* engine_test.c - see engine_test.h. */
#include "engine_test.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "archive/archive.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "rpc/rpc.h"
#include "tabique/image.h"

/* --- the image ------------------------------------------------------------------------- */

static const char *const applets[] = {"sh",   "ls",    "cat",  "echo", "sleep", "true", "false", "ps",  "id",   "mkdir",
                                      "rm",   "touch", "wc",   "head", "kill",  "mount", "env",  "grep", "nc",  "ping",
                                      "stat", "seq",   "hostname", "dd", "chmod", "chown", "yes", "pwd", "ip", "test"};

static void put_text(int dir, const char *path, const char *text, mode_t mode)
{
    int fd = openat(dir, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
    close(fd);
}

static void make_tree(const char *top)
{
    static const char *const dirs[] = {"bin", "etc", "tmp", "root", "proc", "sys", "dev", "data", "data/sub"};
    CLEANUP_FREE char *busybox = NULL;
    size_t length;
    int dir = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    assert_true(dir >= 0);
    for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
        assert_int_equal(mkdirat(dir, dirs[i], 0755), 0);
    assert_int_equal(fchmodat(dir, "tmp", 01777, 0), 0);
    assert_int_equal(file_read(AT_FDCWD, "/usr/bin/busybox", 16 << 20, &busybox, &length), 0);
    int fd = openat(dir, "bin/busybox", O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
    assert_int_equal(fd_write_all(fd, busybox, length), 0);
    close(fd);
    for (size_t i = 0; i < ARRAY_SIZE(applets); i++) {
        CLEANUP_FREE char *path = mem_printf("bin/%s", applets[i]);
        assert_int_equal(symlinkat("busybox", dir, path), 0);
    }
    put_text(dir, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home/user:/bin/sh\n", 0644);
    put_text(dir, "etc/group", "root:x:0:\nuser:x:1000:\nextra:x:2000:user\n", 0644);
    put_text(dir, "etc/plain", "not a program\n", 0644);
    put_text(dir, "data/from-image", "image\n", 0640);
    close(dir);
}

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

static void import_image(struct bench *bench)
{
    CLEANUP_FREE char *top = mem_printf("%s/tree", bench->root);
    CLEANUP_FREE char *id = NULL;
    struct memory memory = {0};
    struct error err = ERROR_INIT;
    char change[] = "CMD [\"sh\"]";
    char *const changes[] = {change, NULL};

    assert_int_equal(mkdir(top, 0755), 0);
    make_tree(top);
    int fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(archive_create(fd, "/", "", ARCHIVE_KEEP_OWNER, collect, &memory, &err), 0);
    close(fd);
    if (image_import(engine_images(bench->engine), supply, &memory, "test/base", "latest", "for tests", changes, NULL, &id, &err) < 0)
        fail_msg("%s", err.message);
    str_free(&memory.data);
}

/* --- up and down ---------------------------------------------------------------------------- */

void bench_open(struct bench *bench)
{
    CLEANUP_FREE char *data = mem_printf("%s/data", bench->root);
    CLEANUP_FREE char *run_dir = mem_printf("%s/run", bench->root);
    struct engine_options options = {.data_dir = data, .run_dir = run_dir, .libexec_dir = LIBEXEC_DIR};
    struct error err = ERROR_INIT;

    if (engine_open(&options, &bench->engine, &err) < 0)
        fail_msg("%s", err.message);
    bench->events = event_subscribe(engine_events(bench->engine), 65536);
}

void bench_close(struct bench *bench)
{
    event_unsubscribe(bench->events);
    engine_close(bench->engine);
    bench->engine = NULL;
}

int bench_up(void **state)
{
    struct bench *bench = mem_new(struct bench);

    signal(SIGPIPE, SIG_IGN);
    snprintf(bench->root, sizeof(bench->root), "/tmp/tabique-engine-XXXXXX");
    assert_non_null(mkdtemp(bench->root));
    bench_open(bench);
    import_image(bench);
    *state = bench;
    return 0;
}

static int remove_container(void *user, struct container *container)
{
    (void)user;
    container_remove(container, true, true, false, NULL);
    return 0;
}

int bench_down(void **state)
{
    struct bench *bench = *state;

    container_each(bench->engine, remove_container, NULL);
    /* The engine leaves its bridge and rules on purpose: containers run on. */
    network_manager_destroy_all(engine_networks(bench->engine));
    bench_close(bench);
    path_remove_tree(AT_FDCWD, bench->root);
    free(bench);
    return 0;
}

/* --- containers ---------------------------------------------------------------------------------- */

static cJSON *body_of(const char *text)
{
    CLEANUP_FREE char *copy = mem_strdup(text);
    struct error err = ERROR_INIT;
    cJSON *json = NULL;

    for (char *c = copy; *c; c++)
        *c = *c == '\'' ? '"' : *c == '`' ? '\'' : *c;
    if (json_parse(copy, strlen(copy), &json, &err) < 0)
        fail_msg("%s: %s", err.message, copy);
    if (!cJSON_HasObjectItem(json, "Image"))
        json_add_string(json, "Image", "test/base");
    return json;
}

int try_make(struct bench *bench, const char *name, const char *body, struct error *err)
{
    CLEANUP_JSON cJSON *json = body_of(body);
    char id[65];

    return container_create(bench->engine, name, NULL, json, id, NULL, err);
}

struct container *make(struct bench *bench, const char *name, const char *body)
{
    CLEANUP_JSON cJSON *json = body_of(body);
    struct container *container = NULL;
    struct error err = ERROR_INIT;
    char id[65];

    if (container_create(bench->engine, name, NULL, json, id, NULL, &err) < 0 ||
        container_get(bench->engine, id, &container, &err) < 0)
        fail_msg("%s", err.message);
    return container;
}

struct container *run(struct bench *bench, const char *name, const char *body)
{
    struct container *container = make(bench, name, body);
    struct error err = ERROR_INIT;

    if (container_start(container, NULL, &err) < 0)
        fail_msg("%s", err.message);
    return container;
}

static bool too_long(void *user)
{
    return clock_mono_ns() > *(int64_t *)user;
}

int wait_exit(struct container *container)
{
    int64_t deadline = clock_mono_ns() + 30 * NS_PER_SEC;
    struct container_waiter *waiter = NULL;
    int status = -1;

    assert_int_equal(container_wait_begin(container, CONTAINER_WAIT_NOT_RUNNING, &waiter, NULL), 0);
    assert_int_equal(container_wait_end(waiter, too_long, &deadline, &status, NULL, NULL), 0);
    return status;
}

void drop(struct container *container)
{
    struct error err = ERROR_INIT;

    if (container_remove(container, true, true, false, &err) < 0)
        fail_msg("%s", err.message);
    container_put(container);
}

struct container_info *info_of(struct container *container)
{
    struct container_info *info = NULL;

    assert_int_equal(container_info(container, &info), 0);
    return info;
}

static int append_line(void *user, const struct container_log_line *line)
{
    str_append_n(user, line->data, line->length);
    return 0;
}

char *logs_of(struct container *container)
{
    struct container_log_query query = {.out = true, .err = true, .tail = -1};
    struct str text = STR_INIT;
    struct error err = ERROR_INIT;

    if (container_logs(container, &query, append_line, NULL, &text, &err) < 0)
        fail_msg("%s", err.message);
    return str_take(&text);
}

char *read_stream(int fd)
{
    struct rpc_decoder decoder = {0};
    struct str text = STR_INIT;
    struct rpc_frame frame;
    int r;

    while ((r = rpc_receive(fd, &decoder, &frame, 30000)) == 0)
        if (frame.type == RPC_STREAM && frame.length)
            str_append_n(&text, frame.body, frame.length);
    assert_int_not_equal(r, -ETIMEDOUT);
    rpc_decoder_free(&decoder);
    close(fd);
    return str_take(&text);
}

void write_stdin(int fd, const char *text)
{
    assert_int_equal(rpc_send(fd, RPC_STREAM, 0, 0, text, text ? strlen(text) : 0), 0);
}

int exec_in(struct bench *bench, struct container *container, const char *command, char **ret)
{
    CLEANUP_JSON cJSON *body = cJSON_CreateObject();
    struct error err = ERROR_INIT;
    struct exec_info *info = NULL;
    char id[65];
    int fd = -1;

    cJSON *argv = json_add_array(body, "Cmd");
    json_push_string(argv, "sh");
    json_push_string(argv, "-c");
    json_push_string(argv, command);
    json_add_bool(body, "AttachStdout", true);
    json_add_bool(body, "AttachStderr", true);
    if (exec_create(container, "it", body, id, &err) < 0 ||
        exec_start(bench->engine, id, false, false, 0, 0, &fd, &err) < 0)
        fail_msg("%s", err.message);
    char *text = read_stream(fd);
    if (ret)
        *ret = text;
    else
        free(text);
    /* Its output has ended: its status must be there, at once. */
    assert_int_equal(exec_info(bench->engine, id, &info, &err), 0);
    assert_true(info->has_exit_code);
    int status = info->exit_code;
    exec_info_free(info);
    return status;
}

char *actions_of(struct bench *bench, const char *id)
{
    struct str text = STR_INIT;
    struct event *event = NULL;

    while (event_next(bench->events, 300, &event) == 0) {
        const char *container = strcmp(event->type, "container") == 0 ? event->actor_id : event_attribute(event, "container");

        /* What is told of it to people comes when it comes. */
        if (container && strcmp(container, id) == 0 && strcmp(event->type, "notification") != 0) {
            bool own = strcmp(event->type, "container") == 0;
            str_printf(&text, "%s%s%s%s", text.length ? "," : "", own ? "" : event->type, own ? "" : " ", event->action);
        }
        event_unref(event);
    }
    return str_take(&text);
}

bool eventually(bool (*fn)(void *user), void *user)
{
    for (int i = 0; i < 1000; i++) {
        if (fn(user))
            return true;
        usleep(10000);
    }
    return false;
}
