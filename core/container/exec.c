/* exec.c - further processes in a container. Owner: container. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/str.h"
#include "container/internal.h"
#include "container/schema.h"
#include "launch/plan.h"
#include "tabique/store.h"

#define KEEP_NS (5 * 60 * NS_PER_SEC) /* how long an ended one can be inspected */
#define EXECS_MAX 65536
#define EXIT_NOT_EXECUTABLE 126 /* not found, too: clients compare with what Docker 20.10 gives */

struct exec {
    char id[65];
    UT_hash_handle handle;
    struct container *container; /* a reference */
    char **argv;
    cJSON *env;
    char *user, *cwd, *detach_keys;
    bool tty, privileged, in, out, err;
    uint16_t rows, cols;
    bool running, ended;
    bool published;   /* exec_die */
    bool found;       /* of a server before this one, told by the shim */
    bool busy;        /* a thread is starting it: must not be freed */
    int exit_code;
    pid_t pid;
    int64_t ended_mono_ns;
};

static void free_exec(struct exec *exec)
{
    container_put(exec->container);
    strv_free(exec->argv);
    cJSON_Delete(exec->env);
    free(exec->user);
    free(exec->cwd);
    free(exec->detach_keys);
    free(exec);
}

/* Under exec_lock. */
static struct exec *find(struct engine *engine, const char *id)
{
    struct exec *exec = NULL;

    HASH_FIND(handle, engine->execs, id, strlen(id), exec);
    return exec;
}

static int not_found(const char *id, struct error *err)
{
    return error_set(err, ENOENT, "No such exec instance: %s", id);
}

static void forget_old(struct engine *engine)
{
    int64_t before = clock_mono_ns() - KEEP_NS;
    struct exec *exec, *next;

    HASH_ITER(handle, engine->execs, exec, next) {
        if (!exec->ended || exec->busy || exec->ended_mono_ns > before)
            continue;
        HASH_DELETE(handle, engine->execs, exec);
        free_exec(exec);
    }
}

static char *command_line(char *const *argv)
{
    return strv_join(argv, " ");
}

void exec_make(struct container *container, const struct exec_request *request, char ret_id[65])
{
    struct engine *engine = container->engine;
    struct exec *exec = mem_new(struct exec);

    random_id(exec->id);
    exec->container = container__ref(container);
    exec->argv = strv_dup(request->argv);
    exec->env = cJSON_Duplicate(request->env, true);
    exec->user = mem_strdup(request->user);
    exec->cwd = mem_strdup(request->cwd);
    exec->detach_keys = mem_strdup(request->detach_keys);
    exec->tty = request->tty;
    exec->privileged = request->privileged;
    exec->in = request->in;
    exec->out = request->out;
    exec->err = request->err;
    exec->rows = request->rows;
    exec->cols = request->cols;
    memcpy(ret_id, exec->id, sizeof(exec->id));

    pthread_mutex_lock(&engine->exec_lock);
    forget_old(engine);
    HASH_ADD(handle, engine->execs, id, strlen(exec->id), exec);
    pthread_mutex_unlock(&engine->exec_lock);

    CLEANUP_FREE char *line = command_line(request->argv);
    CLEANUP_FREE char *action = mem_printf("exec_create: %s", line);
    publish_container(container, action, "execID", ret_id, NULL);
}

static int check_running(struct container *container, const char *called, struct error *err)
{
    enum container_state state = container__state(container);

    if (state == CONTAINER_PAUSED)
        return error_set(err, EBUSY, "Container %s is paused, unpause the container before exec", called);
    if (state == CONTAINER_RESTARTING)
        return error_set(err, EBUSY, "Container %s is restarting, wait until the container is running", container->id);
    if (state != CONTAINER_RUNNING)
        return error_set(err, EBUSY, "container %s is not running", container->id);
    return 0;
}

int exec_create(struct container *container, const char *called, const cJSON *body, char ret_id[65], struct error *err)
{
    CLEANUP_JSON cJSON *options = NULL;

    int r = schema_complete(&schema_exec, body, "", &options, err);
    if (r < 0)
        return r;
    CLEANUP_STRV char **argv = json_strv(options, "Cmd");
    if (strv_length(argv) == 0 || argv[0][0] == '\0')
        return error_set(err, EINVAL, "No exec command specified");
    const cJSON *item;
    cJSON_ArrayForEach(item, json_get(options, "Env"))
        if (item->valuestring[0] == '\0' || item->valuestring[0] == '=')
            return error_set(err, EINVAL, "invalid environment variable: %s", item->valuestring);
    r = check_running(container, called, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&container->engine->exec_lock);
    bool full = HASH_CNT(handle, container->engine->execs) >= EXECS_MAX;
    pthread_mutex_unlock(&container->engine->exec_lock);
    if (full)
        return error_set(err, EAGAIN, "too many exec instances");

    const cJSON *size = json_get(options, "ConsoleSize");
    struct exec_request request = {
        .argv = argv,
        .env = json_get(options, "Env"),
        .user = json_string(options, "User", ""),
        .cwd = json_string(options, "WorkingDir", ""),
        .detach_keys = json_string(options, "DetachKeys", ""),
        .tty = json_bool(options, "Tty", false),
        .privileged = json_bool(options, "Privileged", false),
        .in = json_bool(options, "AttachStdin", false),
        .out = json_bool(options, "AttachStdout", false),
        .err = json_bool(options, "AttachStderr", false),
        .rows = cJSON_GetArraySize(size) == 2 ? (uint16_t)cJSON_GetArrayItem(size, 0)->valuedouble : 0,
        .cols = cJSON_GetArraySize(size) == 2 ? (uint16_t)cJSON_GetArrayItem(size, 1)->valuedouble : 0,
    };
    exec_make(container, &request, ret_id);
    return 0;
}

/* --- for the next server ------------------------------------------------------------------ */

#define NOTE_MAX 8000 /* the shim keeps 8 KiB */

/* What of an exec that runs the shim does not know itself, in its keeping. */
static char *write_note(const struct exec *exec)
{
    CLEANUP_JSON cJSON *json = cJSON_CreateObject();

    json_add(json, "Cmd", json_from_strv(exec->argv));
    json_add_string(json, "User", exec->user);
    json_add_string(json, "DetachKeys", exec->detach_keys);
    json_add_bool(json, "Tty", exec->tty);
    json_add_bool(json, "Privileged", exec->privileged);
    json_add_bool(json, "AttachStdin", exec->in);
    json_add_bool(json, "AttachStdout", exec->out);
    json_add_bool(json, "AttachStderr", exec->err);
    char *text = json_print(json);
    if (strlen(text) <= NOTE_MAX)
        return text;
    /* A command line of many kilobytes: its program must do. */
    free(text);
    CLEANUP_FREE char *program = mem_strndup(exec->argv[0], NOTE_MAX / 8);
    char *short_argv[] = {program, NULL};
    cJSON_ReplaceItemInObjectCaseSensitive(json, "Cmd", json_from_strv(short_argv));
    cJSON_ReplaceItemInObjectCaseSensitive(json, "User", cJSON_CreateString(""));
    return json_print(json);
}

void exec_found(struct container *container, const struct shim_exec *found)
{
    struct engine *engine = container->engine;
    CLEANUP_JSON cJSON *json = NULL;

    if (strlen(found->exec_id) != 64 || !str_is_hex(found->exec_id, 64) ||
        json_parse(found->note, strlen(found->note), &json, NULL) < 0)
        return;
    struct exec *exec = mem_new(struct exec);
    memcpy(exec->id, found->exec_id, sizeof(exec->id));
    exec->container = container__ref(container);
    exec->argv = json_strv(json, "Cmd");
    exec->user = mem_strdup(json_string(json, "User", ""));
    exec->cwd = mem_strdup("");
    exec->detach_keys = mem_strdup(json_string(json, "DetachKeys", ""));
    exec->tty = json_bool(json, "Tty", false);
    exec->privileged = json_bool(json, "Privileged", false);
    exec->in = json_bool(json, "AttachStdin", false);
    exec->out = json_bool(json, "AttachStdout", false);
    exec->err = json_bool(json, "AttachStderr", false);
    exec->running = exec->found = true;
    exec->pid = found->guest_pid ? found->guest_pid : found->pid;

    pthread_mutex_lock(&engine->exec_lock);
    bool known = find(engine, exec->id) != NULL;
    if (!known)
        HASH_ADD(handle, engine->execs, id, strlen(exec->id), exec);
    pthread_mutex_unlock(&engine->exec_lock);
    if (known)
        free_exec(exec);
}

/* --- start ------------------------------------------------------------------------------ */

static int claim(struct engine *engine, const char *id, struct exec **ret, struct error *err)
{
    pthread_mutex_lock(&engine->exec_lock);
    struct exec *exec = find(engine, id);
    int r = 0;
    if (!exec)
        r = not_found(id, err);
    else if (exec->ended)
        r = error_set(err, EBUSY, "exec command %s has already run", id);
    else if (exec->running || exec->busy)
        r = error_set(err, EBUSY, "exec command %s is already running", id);
    else
        exec->busy = exec->running = true;
    pthread_mutex_unlock(&engine->exec_lock);
    if (r == 0)
        *ret = exec;
    return r;
}

static void note_failed(struct engine *engine, struct exec *exec)
{
    pthread_mutex_lock(&engine->exec_lock);
    exec->busy = exec->running = false;
    exec->ended = true;
    exec->exit_code = EXIT_NOT_EXECUTABLE;
    exec->ended_mono_ns = clock_mono_ns();
    pthread_cond_broadcast(&engine->exec_changed);
    pthread_mutex_unlock(&engine->exec_lock);
}

static int explain(const struct exec *exec, bool exec_failed, struct error *err)
{
    static const char *const prefix = "OCI runtime exec failed: exec failed: unable to start container process";
    const char *program = exec->argv[0];
    struct error reason = *err;

    if (!exec_failed && plan_error_of_user(reason.message))
        return error_set(err, EINVAL, "%s", reason.message);
    if (!exec_failed)
        return error_set(err, reason.code == EINVAL ? EINVAL : EIO, "%s: %s: unknown", prefix, reason.message);
    if (reason.code == ENOENT && !strchr(program, '/'))
        return error_set(err, EINVAL, "%s: exec: \"%s\": executable file not found in $PATH: unknown", prefix, program);
    if (reason.code == ENOENT)
        return error_set(err, EINVAL, "%s: exec: \"%s\": stat %s: no such file or directory: unknown", prefix, program,
                         program);
    if (reason.code == EACCES || reason.code == EPERM || reason.code == EISDIR)
        return error_set(err, EINVAL, "%s: exec: \"%s\": permission denied: unknown", prefix, program);
    return error_set(err, EINVAL, "%s: exec: \"%s\": %s: unknown", prefix, program, reason.message);
}

static int run(struct exec *exec, unsigned streams, int *ret_fd, struct error *err)
{
    struct container *container = exec->container;
    CLEANUP_SPEC struct spec *spec = container__spec(container);
    CLEANUP_BOX struct shim_box *box = NULL;
    CLEANUP_CLOSE int fd = -EBADF;
    struct plan_process process = {0};
    struct shim_started started = {0};

    int r = check_running(container, container->id, err);
    if (r == 0)
        r = container__running_box(container, &box, err);
    if (r == 0)
        r = plan_build_exec(container, spec, exec->argv, exec->env, exec->user, exec->cwd, exec->tty, exec->privileged,
                            &process, err);
    process.rows = exec->rows;
    process.cols = exec->cols;
    process.no_stdin = !exec->in && !exec->tty;
    /* Before it runs: what it writes first must have somewhere to go. */
    if (r == 0 && ret_fd)
        r = shim_attach(box->shim, exec->id, streams, &fd, err);
    if (r < 0) {
        plan_process_clear(&process);
        return r;
    }
    CLEANUP_FREE char *note = write_note(exec);
    r = shim_exec(box->shim, exec->id, &process, note, &started, err);
    plan_process_clear(&process);
    if (r < 0)
        return explain(exec, started.exec_failed, err);
    pthread_mutex_lock(&container->engine->exec_lock);
    exec->pid = started.guest_pid ? started.guest_pid : started.pid;
    exec->busy = false;
    pthread_mutex_unlock(&container->engine->exec_lock);
    if (ret_fd)
        *ret_fd = TAKE_FD(fd);
    return 0;
}

int exec_start(struct engine *engine, const char *exec_id, bool detach, bool tty, uint16_t rows, uint16_t cols,
               int *ret_fd, struct error *err)
{
    struct error local = ERROR_INIT;
    struct error *e = err ? err : &local;
    struct exec *exec = NULL;

    (void)tty; /* what was said at create counts */
    int r = claim(engine, exec_id, &exec, e);
    if (r < 0)
        return r;
    if (rows && cols) {
        exec->rows = rows;
        exec->cols = cols;
    }
    /* The reference outlives the entry, which may go once it has run. */
    struct container *container = container__ref(exec->container);
    unsigned streams = (exec->in ? 1u : 0) | (exec->out ? 2u : 0) | (exec->err ? 4u : 0);
    if (streams == 0)
        streams = 1; /* nothing to see, but its end */
    CLEANUP_FREE char *line = command_line(exec->argv);
    CLEANUP_FREE char *action = mem_printf("exec_start: %s", line);
    publish_container(container, action, "execID", exec_id, NULL);
    r = run(exec, streams, detach ? NULL : ret_fd, e);
    if (r < 0)
        note_failed(engine, exec);
    container_put(container);
    return r;
}

/* --- end ---------------------------------------------------------------------------------- */

static int same_exec(void *user, const struct event *event)
{
    const char *id = event_attribute(event, "execID");
    return id && strcmp(id, user) == 0;
}

/* After a restart a shim tells of all ends it remembers; most were published by
 * the server before. */
static bool was_published(struct container *container, const char *exec_id, int64_t time_ns)
{
    CLEANUP_FREE char *id = mem_strdup(exec_id);
    struct store_event_query query = {
        .type = "container",
        .action = "exec_die",
        .actor_id = container->id,
        .since_ns = time_ns - NS_PER_SEC,
    };

    return store_events(container->engine->store, &query, same_exec, id, NULL) > 0;
}

void exec_note_exit(struct container *container, const char *exec_id, int status)
{
    struct engine *engine = container->engine;

    pthread_mutex_lock(&engine->exec_lock);
    struct exec *exec = find(engine, exec_id);
    if (exec && !exec->ended) {
        exec->running = false;
        exec->ended = true;
        exec->exit_code = status;
        exec->ended_mono_ns = clock_mono_ns();
        pthread_cond_broadcast(&engine->exec_changed);
    }
    pthread_mutex_unlock(&engine->exec_lock);
}

void exec_exited(struct container *container, const char *exec_id, int status, int64_t time_ns)
{
    struct engine *engine = container->engine;
    char code[16];

    exec_note_exit(container, exec_id, status);
    pthread_mutex_lock(&engine->exec_lock);
    struct exec *exec = find(engine, exec_id);
    bool first = !exec || !exec->published, of_another_server = !exec || exec->found;
    if (exec)
        exec->published = true;
    pthread_mutex_unlock(&engine->exec_lock);
    if (!first || (of_another_server && was_published(container, exec_id, time_ns)))
        return;
    snprintf(code, sizeof(code), "%d", status);
    publish_container_at(container, time_ns, "exec_die", "execID", exec_id, "exitCode", code, NULL);
}

int exec_status(struct engine *engine, const char *id, int *ret_status)
{
    pthread_mutex_lock(&engine->exec_lock);
    struct exec *exec = find(engine, id);
    int r = !exec ? -ENOENT : exec->ended ? 0 : -EAGAIN;
    if (r == 0)
        *ret_status = exec->exit_code;
    pthread_mutex_unlock(&engine->exec_lock);
    return r;
}

void exec_forget(struct engine *engine, const char *id)
{
    pthread_mutex_lock(&engine->exec_lock);
    struct exec *exec = find(engine, id);
    if (exec && !exec->busy)
        HASH_DELETE(handle, engine->execs, exec);
    else
        exec = NULL;
    pthread_mutex_unlock(&engine->exec_lock);
    if (exec)
        free_exec(exec);
}

static bool any_running(struct container *container)
{
    struct engine *engine = container->engine;
    bool any = false;

    pthread_mutex_lock(&engine->exec_lock);
    for (struct exec *exec = engine->execs; exec && !any; exec = exec->handle.next)
        any = exec->container == container && exec->running && !exec->ended;
    pthread_mutex_unlock(&engine->exec_lock);
    return any;
}

/* The container has ended, and with it what still ran in it; with `remove` the
 * container goes and so do its entries. */
void exec_forget_all(struct container *container, struct shim *shim, bool remove)
{
    struct engine *engine = container->engine;
    struct shim_started ignored = {0};

    /* Answered behind the ends that are on their way. */
    if (shim && any_running(container))
        shim_status(shim, &ignored, NULL);
    struct exec *exec, *next, *gone = NULL;

    pthread_mutex_lock(&engine->exec_lock);
    HASH_ITER(handle, engine->execs, exec, next) {
        if (exec->container != container)
            continue;
        if (!exec->ended && !exec->busy) {
            exec->exit_code = 128 + SIGKILL;
            exec->running = false;
            exec->ended = true;
            exec->ended_mono_ns = clock_mono_ns();
        }
        if (remove && !exec->busy) {
            HASH_DELETE(handle, engine->execs, exec);
            HASH_ADD(handle, gone, id, strlen(exec->id), exec);
        }
    }
    pthread_cond_broadcast(&engine->exec_changed);
    pthread_mutex_unlock(&engine->exec_lock);
    HASH_ITER(handle, gone, exec, next) {
        HASH_DELETE(handle, gone, exec);
        free_exec(exec);
    }
}

/* --- looking ------------------------------------------------------------------------------- */

char **exec_ids(struct container *container)
{
    struct engine *engine = container->engine;
    char **ids = NULL;

    pthread_mutex_lock(&engine->exec_lock);
    for (struct exec *exec = engine->execs; exec; exec = exec->handle.next)
        if (exec->container == container && !exec->ended)
            strv_push(&ids, exec->id);
    pthread_mutex_unlock(&engine->exec_lock);
    return ids;
}

/* Whoever has seen the end of an exec's output asks for its status at once, and
 * must not be told that it still runs: the shim told its end before that. */
static void hear_out(struct engine *engine, const char *exec_id)
{
    CLEANUP_BOX struct shim_box *box = NULL;
    struct shim_started ignored = {0};

    pthread_mutex_lock(&engine->exec_lock);
    struct exec *exec = find(engine, exec_id);
    struct container *container = exec && exec->running && !exec->busy ? container__ref(exec->container) : NULL;
    pthread_mutex_unlock(&engine->exec_lock);
    if (!container)
        return;
    /* Even of a container that has just ended: its execs' ends may come last. */
    pthread_mutex_lock(&container->lock);
    if (container->box)
        box = shim_box_ref(container->box);
    pthread_mutex_unlock(&container->lock);
    /* An answer comes behind the ends that were told before it. */
    if (box && box->shim)
        shim_status(box->shim, &ignored, NULL);
    container_put(container);
}

int exec_info(struct engine *engine, const char *exec_id, struct exec_info **ret, struct error *err)
{
    hear_out(engine, exec_id);
    pthread_mutex_lock(&engine->exec_lock);
    struct exec *exec = find(engine, exec_id);
    if (!exec) {
        pthread_mutex_unlock(&engine->exec_lock);
        return not_found(exec_id, err);
    }
    struct exec_info *info = mem_new(struct exec_info);
    memcpy(info->id, exec->id, sizeof(info->id));
    memcpy(info->container_id, exec->container->id, sizeof(info->container_id));
    info->running = exec->running;
    info->tty = exec->tty;
    info->open_stdin = exec->in;
    info->open_stdout = exec->out;
    info->open_stderr = exec->err;
    info->privileged = exec->privileged;
    info->has_exit_code = exec->ended;
    info->exit_code = exec->exit_code;
    info->pid = exec->pid;
    info->user = mem_strdup(exec->user);
    info->argv = strv_dup(exec->argv);
    info->detach_keys = mem_strdup(exec->detach_keys);
    pthread_mutex_unlock(&engine->exec_lock);
    *ret = info;
    return 0;
}

void exec_info_free(struct exec_info *info)
{
    if (!info)
        return;
    free(info->user);
    strv_free(info->argv);
    free(info->detach_keys);
    free(info);
}

/* What a running exec is asked through, and how it was made. */
static int running_exec(struct engine *engine, const char *exec_id, struct shim_box **ret, bool *ret_tty, unsigned *ret_streams,
                        struct error *err)
{
    pthread_mutex_lock(&engine->exec_lock);
    struct exec *exec = find(engine, exec_id);
    struct container *container = exec ? container__ref(exec->container) : NULL;
    bool runs = exec && exec->running;
    if (exec && ret_tty)
        *ret_tty = exec->tty;
    if (exec && ret_streams)
        *ret_streams = (exec->in ? 1u : 0) | (exec->out ? 2u : 0) | (exec->err ? 4u : 0);
    pthread_mutex_unlock(&engine->exec_lock);
    if (!container)
        return not_found(exec_id, err);
    int r = runs ? container__running_box(container, ret, err) : error_set(err, EINVAL, "exec process is not started");
    container_put(container);
    return r;
}

int exec_resize(struct engine *engine, const char *exec_id, uint16_t rows, uint16_t cols, struct error *err)
{
    CLEANUP_BOX struct shim_box *box = NULL;

    int r = running_exec(engine, exec_id, &box, NULL, NULL, err);
    return r < 0 ? r : shim_resize(box->shim, exec_id, rows, cols, err);
}

int exec_signal(struct engine *engine, const char *exec_id, int signal, struct error *err)
{
    CLEANUP_BOX struct shim_box *box = NULL;

    int r = running_exec(engine, exec_id, &box, NULL, NULL, err);
    return r < 0 ? r : shim_signal(box->shim, exec_id, signal, err);
}

int exec_rejoin(struct engine *engine, const char *exec_id, uint64_t seen, int *ret_fd, struct exec_rejoined *ret,
                struct error *err)
{
    CLEANUP_BOX struct shim_box *box = NULL;
    unsigned streams = 0;
    bool tty = false;

    int r = running_exec(engine, exec_id, &box, &tty, &streams, err);
    if (r == 0 && !tty)
        r = error_set(err, EINVAL, "exec %s has no terminal to come back to", exec_id);
    struct shim_rejoined back;
    if (r == 0)
        r = shim_rejoin(box->shim, exec_id, streams ? streams : 1, seen, ret_fd, &back, err);
    if (r == 0)
        *ret = (struct exec_rejoined){.from = back.from, .to = back.to};
    return r;
}
