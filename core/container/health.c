/* health.c - health checks. Owner: container.
 *
 * One small thread for each running container that has a check: a probe blocks
 * for as long as the image's author likes, and neither the loop nor the pools may
 * wait for that. Docker's rules: starting until the first success or the retries
 * are used up, failures within the start period do not count. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "container/internal.h"
#include "rpc/rpc.h"

#define OUTPUT_MAX ((size_t)4096)
#define LOG_MAX 5
#define LOOK_MS 200
#define STACK_SIZE (512 << 10)

struct health {
    struct container *container; /* a reference */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stop;
    char **argv;
    int64_t interval_ns, timeout_ns, start_period_ns, start_interval_ns;
    int retries;
    int64_t started_ns;
};

const char *health_status_name(int status)
{
    static const char *const names[] = {"none", "starting", "healthy", "unhealthy"};
    return names[status];
}

static bool stopping(struct health *health)
{
    pthread_mutex_lock(&health->lock);
    bool stop = health->stop;
    pthread_mutex_unlock(&health->lock);
    return stop;
}

/* --- one probe -------------------------------------------------------------------------- */

struct result {
    int exit_code;
    struct str output;
    int64_t start_ns, end_ns;
};

/* Output until its end; false when the time is up. */
static bool collect(struct health *health, int fd, int64_t deadline_ns, struct str *output)
{
    struct rpc_decoder decoder = {0};
    bool done = false;

    while (!done && !stopping(health)) {
        struct rpc_frame frame;
        int64_t left = deadline_ns - clock_mono_ns();

        if (left <= 0)
            break;
        int r = rpc_receive(fd, &decoder, &frame, LOOK_MS);
        if (r == -ETIMEDOUT)
            continue;
        if (r < 0) {
            done = true;
        } else if (frame.type == RPC_STREAM && output->length < OUTPUT_MAX) {
            size_t room = OUTPUT_MAX - output->length;
            str_append_n(output, frame.body, frame.length < room ? frame.length : room);
        }
    }
    rpc_decoder_free(&decoder);
    return done;
}

/* The status follows the end of the output within moments. */
static int exit_status(struct health *health, const char *exec_id, int64_t deadline_ns, int *ret)
{
    struct engine *engine = health->container->engine;
    int r;

    while ((r = exec_status(engine, exec_id, ret)) == -EAGAIN && clock_mono_ns() < deadline_ns && !stopping(health)) {
        struct timespec at;
        int64_t next = clock_mono_ns() + LOOK_MS * NS_PER_MS;

        at.tv_sec = next / NS_PER_SEC;
        at.tv_nsec = next % NS_PER_SEC;
        pthread_mutex_lock(&engine->exec_lock);
        pthread_cond_timedwait(&engine->exec_changed, &engine->exec_lock, &at);
        pthread_mutex_unlock(&engine->exec_lock);
    }
    return r;
}

static void format_duration(int64_t ns, char out[32])
{
    if (ns % NS_PER_SEC == 0 && ns < 60 * NS_PER_SEC)
        snprintf(out, 32, "%llds", (long long)(ns / NS_PER_SEC));
    else if (ns < NS_PER_SEC)
        snprintf(out, 32, "%gms", (double)ns / (double)NS_PER_MS);
    else if (ns < 60 * NS_PER_SEC)
        snprintf(out, 32, "%gs", (double)ns / (double)NS_PER_SEC);
    else
        snprintf(out, 32, "%lldm%llds", (long long)(ns / NS_PER_SEC / 60), (long long)(ns / NS_PER_SEC % 60));
}

static void probe(struct health *health, struct result *result)
{
    struct container *container = health->container;
    struct exec_request request = {.argv = health->argv, .out = true, .err = true};
    CLEANUP_CLOSE int fd = -EBADF;
    struct error err = ERROR_INIT;
    char exec_id[65];

    result->start_ns = clock_real_ns();
    result->exit_code = -1;
    exec_make(container, &request, exec_id);
    int r = exec_start(container->engine, exec_id, false, false, 0, 0, &fd, &err);
    if (r < 0) {
        str_append(&result->output, err.message);
    } else {
        int64_t deadline = clock_mono_ns() + health->timeout_ns;
        bool done = collect(health, fd, deadline, &result->output);

        if (!done || exit_status(health, exec_id, deadline, &result->exit_code) < 0) {
            CLEANUP_BOX struct shim_box *box = NULL;
            CLEANUP_FREE char *seen = str_take(&result->output);
            char limit[32];

            if (container__running_box(container, &box, NULL) == 0)
                shim_signal(box->shim, exec_id, SIGKILL, NULL);
            format_duration(health->timeout_ns, limit);
            str_printf(&result->output, "Health check exceeded timeout (%s)%s%s", limit, *seen ? ": " : "", seen);
            result->exit_code = -1;
        }
    }
    result->end_ns = clock_real_ns();
    exec_forget(container->engine, exec_id);
}

/* --- what follows from it ------------------------------------------------------------------- */

static void note(struct health *health, struct result *result)
{
    struct container *container = health->container;
    char text[TIME_TEXT_MAX];
    cJSON *entry = cJSON_CreateObject();

    json_add_string(entry, "Start", time_format(result->start_ns, text));
    json_add_string(entry, "End", time_format(result->end_ns, text));
    json_add_int(entry, "ExitCode", result->exit_code);
    json_add_string(entry, "Output", result->output.data ? result->output.data : "");

    pthread_mutex_lock(&container->lock);
    int old = container->health_status;
    if (!container->health_log)
        container->health_log = cJSON_CreateArray();
    while (cJSON_GetArraySize(container->health_log) >= LOG_MAX)
        cJSON_DeleteItemFromArray(container->health_log, 0);
    cJSON_AddItemToArray(container->health_log, entry);
    if (result->exit_code == 0) {
        container->health_streak = 0;
        container->health_status = HEALTH_HEALTHY;
    } else if (old != HEALTH_STARTING || result->start_ns - health->started_ns >= health->start_period_ns) {
        if (++container->health_streak >= health->retries)
            container->health_status = HEALTH_UNHEALTHY;
    }
    int now = container->health_status;
    pthread_cond_broadcast(&container->changed);
    pthread_mutex_unlock(&container->lock);
    if (now != old) {
        CLEANUP_FREE char *action = mem_printf("health_status: %s", health_status_name(now));
        publish_container(container, action, NULL);
    }
}

static int64_t next_interval(struct health *health)
{
    struct container *container = health->container;

    if (clock_real_ns() - health->started_ns >= health->start_period_ns)
        return health->interval_ns;
    pthread_mutex_lock(&container->lock);
    bool starting = container->health_status == HEALTH_STARTING;
    pthread_mutex_unlock(&container->lock);
    return starting ? health->start_interval_ns : health->interval_ns;
}

static void *watch(void *user)
{
    struct health *health = user;

    while (!stopping(health)) {
        int64_t due = clock_mono_ns() + next_interval(health);
        struct timespec at = {.tv_sec = due / NS_PER_SEC, .tv_nsec = due % NS_PER_SEC};

        pthread_mutex_lock(&health->lock);
        while (!health->stop && clock_mono_ns() < due)
            pthread_cond_timedwait(&health->wake, &health->lock, &at);
        bool stop = health->stop;
        pthread_mutex_unlock(&health->lock);
        if (stop)
            break;
        if (container__state(health->container) != CONTAINER_RUNNING)
            continue; /* paused */
        struct result result = {0};
        probe(health, &result);
        if (!stopping(health))
            note(health, &result);
        str_free(&result.output);
    }
    return NULL;
}

/* --- begin and end ------------------------------------------------------------------------------ */

static char **check_argv(const struct spec *spec)
{
    CLEANUP_STRV char **test = json_strv(json_get(spec->config, "Healthcheck"), "Test");
    CLEANUP_STRV char **shell = json_strv(spec->config, "Shell");
    char **argv = NULL;

    if (strv_length(test) < 2)
        return NULL;
    if (strcmp(test[0], "CMD-SHELL") == 0) {
        for (char **word = shell; word && *word; word++)
            strv_push(&argv, *word);
        if (!argv) {
            strv_push(&argv, "/bin/sh");
            strv_push(&argv, "-c");
        }
    } else if (strcmp(test[0], "CMD") != 0) {
        return NULL;
    }
    for (char **word = test + 1; *word; word++)
        strv_push(&argv, *word);
    return argv;
}

static int64_t duration(const cJSON *check, const char *key, int64_t fallback)
{
    int64_t value = json_int(check, key, 0);
    return value > 0 ? value : fallback;
}

void health_begin(struct container *container, const struct spec *spec)
{
    const cJSON *check = json_get(spec->config, "Healthcheck");
    char **argv = check_argv(spec);

    if (!argv)
        return;
    struct health *health = mem_new(struct health);
    pthread_condattr_t cond_attributes;
    pthread_attr_t attributes;
    int64_t retries = json_int(check, "Retries", 0);

    health->container = container__ref(container);
    health->argv = argv;
    health->interval_ns = duration(check, "Interval", 30 * NS_PER_SEC);
    health->timeout_ns = duration(check, "Timeout", 30 * NS_PER_SEC);
    health->start_period_ns = duration(check, "StartPeriod", 0);
    health->start_interval_ns = duration(check, "StartInterval", 5 * NS_PER_SEC);
    health->retries = retries > 0 ? (int)retries : 3;
    pthread_mutex_init(&health->lock, NULL);
    pthread_condattr_init(&cond_attributes);
    pthread_condattr_setclock(&cond_attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&health->wake, &cond_attributes);
    pthread_condattr_destroy(&cond_attributes);

    pthread_mutex_lock(&container->lock);
    health->started_ns = container->run.started_ns;
    container->health_status = HEALTH_STARTING;
    container->health_streak = 0;
    container->health = health;
    pthread_mutex_unlock(&container->lock);

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    int r = pthread_create(&health->thread, &attributes, watch, health);
    pthread_attr_destroy(&attributes);
    if (r != 0) {
        log_error("container %s goes without its health check: error %d", container->id, r);
        health->thread = 0;
    }
}

void health_end(struct container *container)
{
    pthread_mutex_lock(&container->lock);
    struct health *health = TAKE_PTR(container->health);
    if (health) /* as Docker: nobody watches it any more */
        container->health_status = HEALTH_UNHEALTHY;
    pthread_mutex_unlock(&container->lock);
    if (!health)
        return;
    pthread_mutex_lock(&health->lock);
    health->stop = true;
    pthread_cond_broadcast(&health->wake);
    pthread_mutex_unlock(&health->lock);
    if (health->thread)
        pthread_join(health->thread, NULL);
    pthread_mutex_destroy(&health->lock);
    pthread_cond_destroy(&health->wake);
    strv_free(health->argv);
    container_put(health->container);
    free(health);
}
