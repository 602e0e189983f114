/* stream_logs.c - a container's log as a live stream: one thread a follower,
 * which waits where the client does not read. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "routes.h"
#include "server_internal.h"
#include "shapes.h"
#include "stream.h"
#include "tabique/container.h"
#include "tabique/error.h"

#define BATCH_BYTES (32u << 10)
#define WAIT_BYTES (256u << 10)
#define WAIT_NS (20 * NS_PER_MS)

struct log_follower {
    atomic_int references; /* its thread's and its subscription's */
    atomic_bool stop;
    struct client *client;
    struct container *container;
    int64_t id, tail;
    uint64_t sequence;
    struct str batch;
    bool tty;
    int64_t batch_ns;
};

static void follower_unref(struct log_follower *follower)
{
    if (atomic_fetch_sub(&follower->references, 1) != 1)
        return;
    client_unref(follower->client);
    container_put(follower->container);
    str_free(&follower->batch);
    free(follower);
}

static bool stopped(void *user)
{
    struct log_follower *follower = user;
    return atomic_load(&follower->stop) || server_stopping(follower->client->hub->server);
}

static int send_batch(struct log_follower *follower)
{
    if (follower->batch.length == 0)
        return 0;
    int64_t since = clock_mono_ns();
    while (web_socket_queued(follower->client->socket) > WAIT_BYTES) {
        if (stopped(follower))
            return -EPIPE;
        if (clock_mono_ns() - since > STREAM_BEHIND_S * NS_PER_SEC) {
            web_socket_close(follower->client->socket, 4008, "the client reads too slowly");
            return -EPIPE;
        }
        struct timespec wait = {.tv_nsec = WAIT_NS};
        nanosleep(&wait, NULL);
    }
    CLEANUP_STR struct str out = STR_INIT;
    follower->sequence++;
    str_printf(&out, "{\"id\":%lld,\"seq\":%llu,\"type\":\"%s\",\"topic\":\"logs\",\"lines\":[",
               (long long)follower->id, (unsigned long long)follower->sequence,
               follower->sequence == 1 ? "state" : "delta");
    str_append_n(&out, follower->batch.data, follower->batch.length);
    str_append(&out, "]}");
    str_clear(&follower->batch);
    return web_socket_send(follower->client->socket, false, out.data, out.length);
}

static int add_line(void *user, const struct container_log_line *line)
{
    struct log_follower *follower = user;
    char time[TIME_TEXT_MAX];
    if (follower->batch.length > 0)
        str_append_char(&follower->batch, ',');
    else
        follower->batch_ns = clock_mono_ns();
    str_printf(&follower->batch,
               "{\"time\":\"%s\",\"stream\":\"%s\",\"text\":", time_format(line->time_ns, time),
               line->stream == 2 ? "stderr" : "stdout");
    str_append_json(&follower->batch, line->data, line->length);
    str_append_char(&follower->batch, '}');
    /* Lines that come together go together, but none waits for more. */
    if (follower->batch.length > BATCH_BYTES)
        return send_batch(follower);
    return 0;
}

/* Polled a few times a second while nothing comes: then what there is goes out. */
static bool cancelled(void *user)
{
    struct log_follower *follower = user;
    if (send_batch(follower) < 0)
        return true;
    return stopped(follower);
}

static void follow(void *user)
{
    struct log_follower *follower = user;
    struct error err = ERROR_INIT;
    const struct container_log_query query = {
        .out = true, .err = true, .follow = true, .timestamps = true, .tail = follower->tail};
    int r = container_logs(follower->container, &query, add_line, cancelled, follower, &err);
    if (!stopped(follower)) {
        send_batch(follower);
        CLEANUP_STR struct str out = STR_INIT;
        const char *reason = r < 0 && err.message[0] != '\0' ? err.message : "the log has ended";
        str_printf(&out, "{\"id\":%lld,\"type\":\"end\",\"message\":", (long long)follower->id);
        str_append_json(&out, reason, strlen(reason));
        str_append_char(&out, '}');
        web_socket_send(follower->client->socket, false, out.data, out.length);
    }
    follower_unref(follower);
}

int log_follower_start(struct client *client, int64_t id, const char *ref, int64_t tail,
                       struct log_follower **ret, struct error *err)
{
    struct container *container = NULL;
    if (ref[0] == '\0')
        return error_set(err, EINVAL, "'container' is missing");
    int r = container_get(client->hub->engine, ref, &container, err);
    if (r < 0)
        return r;
    struct log_follower *follower = mem_new(struct log_follower);
    atomic_init(&follower->references, 2);
    follower->client = client_ref(client);
    follower->container = container;
    follower->id = id;
    follower->tail = tail;
    r = server_spawn(client->hub->server, "logs", follow, follower);
    if (r < 0) {
        follower_unref(follower);
        follower_unref(follower);
        return error_set(err, EAGAIN, "too many streams are open on this server: try again later");
    }
    *ret = follower;
    return 0;
}

void log_follower_stop(struct log_follower *follower)
{
    atomic_store(&follower->stop, true);
    follower_unref(follower);
}
