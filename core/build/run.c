/* run.c - RUN: a command in a container behind either wall. Owner: build.
 *
 * The container is made, attached to, started, listened to until its streams end,
 * and waited for; a build that is given up kills it. What it wrote becomes a layer
 * of exactly the state's Config: what this RUN alone had (arguments in its
 * environment, its command) stays out.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "build/internal.h"
#include "image/words.h"
#include "rpc/rpc.h"
#include "tabique/container.h"

#define POLL_MS 200
#define UTF8_MAX 4

static cJSON *command_of(const struct build *build, const char *rest)
{
    cJSON *list = words_list(rest);

    if (list)
        return list;
    const cJSON *shell = json_get(build->state.config, "Shell");
    list = cJSON_GetArraySize(shell) > 0 ? cJSON_Duplicate(shell, true) : cJSON_CreateArray();
    if (cJSON_GetArraySize(list) == 0) {
        json_push_string(list, "/bin/sh");
        json_push_string(list, "-c");
    }
    json_push_string(list, rest);
    return list;
}

static char *join(const cJSON *list)
{
    CLEANUP_STR struct str text = STR_INIT;
    const cJSON *item;

    str_append(&text, "");
    cJSON_ArrayForEach(item, list)
        str_printf(&text, "%s%s", text.length ? " " : "", item->valuestring);
    return str_take(&text);
}

/* "|2 A=x B=y /bin/sh -c command": arguments change what a command does. */
static char *describe(const struct build *build, const cJSON *command)
{
    CLEANUP_STRV char **shown = build_args_for_run(&build->args, json_get(build->state.config, "Env"), true);
    CLEANUP_STR struct str text = STR_INIT;
    CLEANUP_FREE char *words = join(command);
    size_t count = strv_length(shown);

    if (count > 0)
        str_printf(&text, "|%zu ", count);
    for (char **arg = shown; arg && *arg; arg++)
        str_printf(&text, "%s ", *arg);
    str_append(&text, words);
    return str_take(&text);
}

static cJSON *request_body(const struct build *build, cJSON *command)
{
    const cJSON *env = json_get(build->state.config, "Env");
    CLEANUP_STRV char **args = build_args_for_run(&build->args, env, false);
    cJSON *body = cJSON_CreateObject();

    json_add_string(body, "Image", build->state.image_id);
    json_add(body, "Cmd", cJSON_Duplicate(command, true));
    json_push_string(json_add_array(body, "Entrypoint"), ""); /* none, whatever the image has */
    cJSON *list = cJSON_IsArray(env) ? cJSON_Duplicate(env, true) : cJSON_CreateArray();
    for (char **arg = args; arg && *arg; arg++)
        json_push_string(list, *arg);
    json_add(body, "Env", list);
    json_push_string(json_add_array(json_add_object(body, "Healthcheck"), "Test"), "NONE");
    json_add_bool(body, "AttachStdout", true);
    json_add_bool(body, "AttachStderr", true);
    cJSON *host = build->options->host_config ? cJSON_Duplicate(build->options->host_config, true)
                                              : cJSON_CreateObject();
    json_add_string(json_add_object(host, "LogConfig"), "Type", "none");
    json_add(body, "HostConfig", host);
    return body;
}

/* --- its output ----------------------------------------------------------------------- */

struct output {
    struct build *build;
    struct str pending[2]; /* a character cut in two waits for its rest */
};

static void output_clear(struct output *output)
{
    str_free(&output->pending[0]);
    str_free(&output->pending[1]);
}

/* How many bytes at the end begin a character that is not complete. */
static size_t open_end(const char *data, size_t length)
{
    for (size_t n = 1; n < UTF8_MAX && n <= length; n++) {
        unsigned char c = (unsigned char)data[length - n];

        if ((c & 0xc0) == 0x80)
            continue;
        size_t wants = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
        return wants > n ? n : 0;
    }
    return 0;
}

static void put(struct output *output, bool errors, const void *data, size_t length)
{
    const struct build_callbacks *callbacks = output->build->callbacks;
    struct str *pending = &output->pending[errors];

    if (length > 0)
        str_append_n(pending, data, length);
    size_t keep = length > 0 && pending->length ? open_end(pending->data, pending->length) : 0;
    size_t now = pending->length - keep;
    if (now == 0)
        return;
    callbacks->text(callbacks->user, errors, pending->data, now);
    memmove(pending->data, pending->data + now, keep);
    pending->data[pending->length = keep] = '\0';
}

/* Until both streams have ended. */
static int listen_to(struct build *build, int fd, struct error *err)
{
    CLEANUP(output_clear) struct output output = {.build = build};
    CLEANUP(rpc_decoder_free) struct rpc_decoder decoder = {0};
    CLEANUP_FREE char *buffer = mem_alloc(RPC_STREAM_CHUNK);
    struct rpc_frame frame;
    int r = 0;

    while (r == 0) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};

        int n = poll(&wait, 1, POLL_MS);
        r = build_check_cancelled(build, err);
        if (r < 0 || n == 0 || (n < 0 && errno == EINTR))
            continue;
        ssize_t got = read(fd, buffer, RPC_STREAM_CHUNK);
        if (got < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (got <= 0)
            break; /* its shim has ended, and the container with it */
        if (rpc_decoder_feed(&decoder, buffer, (size_t)got) < 0)
            return error_set(err, EIO, "the container's output cannot be read");
        while ((n = rpc_decoder_next(&decoder, &frame)) > 0)
            if (frame.type == RPC_STREAM && (frame.id == 1 || frame.id == 2))
                put(&output, frame.id == 2, frame.body, frame.length);
        if (n < 0)
            return error_set(err, EIO, "the container's output cannot be read");
    }
    put(&output, false, NULL, 0);
    put(&output, true, NULL, 0);
    return r;
}

static bool cancelled(void *user)
{
    return build_cancelled(user);
}

static int run(struct build *build, struct container *container, int *ret_status, struct error *err)
{
    CLEANUP_CLOSE int fd = -EBADF;
    CLEANUP_FREE char *failure = NULL;
    struct container_waiter *waiter = NULL;

    int r = container_attach(container, container_id(container), 1u << 1 | 1u << 2, &fd, err);
    if (r == 0)
        r = container_wait_begin(container, CONTAINER_WAIT_NOT_RUNNING, &waiter, err);
    if (r < 0)
        return r;
    r = container_start(container, NULL, err);
    if (r == 0)
        r = listen_to(build, fd, err);
    if (r < 0) {
        /* The waiter ends with the container. */
        container_kill(container, "KILL", NULL);
        int ignored;
        container_wait_end(waiter, cancelled, build, &ignored, &failure, NULL);
        return r;
    }
    r = container_wait_end(waiter, cancelled, build, ret_status, &failure, err);
    if (r == 0)
        r = build_check_cancelled(build, err);
    return r;
}

static int judge(struct build *build, const cJSON *command, int status, struct error *err)
{
    CLEANUP_FREE char *text = join(command);

    if (status == 0)
        return 0;
    build->exit_code = status;
    return error_set(err, EIO, "The command '%s' returned a non-zero code: %d", text, status);
}

/* FROM scratch, and nothing copied yet: nothing is there that could be run. */
static int check_files(struct build *build, const cJSON *command, struct error *err)
{
    CLEANUP(image_freep) struct image *image = NULL;
    int r = *build->state.image_id ? image_get_held(build->images, build->state.image_id, &image, err) : 0;

    if (r < 0 || (image && image->layers))
        return r;
    const char *name = command->child ? command->child->valuestring : "";
    return error_set(err, EINVAL, "unable to start container process: exec: \"%s\": stat %s: no such file or directory",
                     name, name);
}

int build_run_command(struct build *build, const struct dockerfile_instruction *instruction, struct error *err)
{
    CLEANUP_JSON cJSON *command = command_of(build, instruction->rest);
    CLEANUP(container_putp) struct container *container = NULL;
    CLEANUP_JSON cJSON *body = NULL;
    char id[65] = "";
    int status = 0;

    int r = check_files(build, command, err);
    if (r < 0)
        return r;
    CLEANUP_FREE char *created_by = describe(build, command);
    r = build_probe(build, created_by, err);
    if (r != 0)
        return r < 0 ? r : 0;
    body = request_body(build, command);
    r = container_create(build->engine, NULL, build->options->platform, body, id, NULL, err);
    if (r == 0) {
        strv_push(&build->containers, id);
        build_say(build, " ---> Running in %.12s\n", id);
        r = container_get(build->engine, id, &container, err);
    }
    if (r == 0)
        r = run(build, container, &status, err);
    if (r == 0)
        r = judge(build, command, status, err);
    if (r < 0)
        return r;
    struct image_step step = {.config = build->state.config, .created_by = created_by, .author = build->state.author};
    char *image_id = NULL;
    r = container_commit_step(container, &step, &image_id, err);
    if (r == 0)
        build_stand_on(build, image_id);
    return r;
}
