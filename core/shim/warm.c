/* warm.c - a shim that is ahead of its container. Owner: shim.
 *
 * It makes a machine (isolation/hyperv/hyperv.h), says so, and waits: for its
 * container, or for the end of its connection or of its worker, which are its own. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/wire.h"
#include "isolation/hyperv/hyperv.h"
#include "shim/shim.h"
#include "tabique/error.h"

static int say_ready(int first, pid_t worker)
{
    CLEANUP_STR struct str body = STR_INIT;

    wire_put_u64(&body, RPC_TAG_PID, (uint64_t)worker);
    return rpc_send(first, RPC_WARM, 0, 0, body.data, body.length);
}

static int await(int first, int worker_fd)
{
    struct pollfd fds[] = {{.fd = first, .events = POLLIN}, {.fd = worker_fd, .events = POLLIN}};

    for (;;) {
        if (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno != EINTR)
            return -errno;
        if (fds[1].revents)
            return -EPIPE;
        if (fds[0].revents)
            return 0;
    }
}

/* The strings of what was told stay for as long as the shim does. */
static int take_order(struct shim *shim, const struct rpc_frame *frame, char **ret_cgroup)
{
    struct shim_options options = {0};
    char **arguments = NULL, *cgroup = NULL;
    struct wire_reader reader;
    struct wire_field field;

    if (frame->type != RPC_ADOPT)
        return -EPROTO;
    wire_read(&reader, frame->body, frame->length);
    while (wire_next(&reader, &field)) {
        if (field.tag == RPC_TAG_ARGUMENT)
            strv_take(&arguments, wire_string(&reader, &field));
        else if (field.tag == RPC_TAG_CGROUP && !cgroup)
            cgroup = wire_string(&reader, &field);
    }
    if (!wire_ok(&reader) || !cgroup || !arguments || !shim_parse_options(arguments, &options) ||
        !str_equal(options.isolation, shim->options.isolation))
        return -EPROTO;
    shim->options = options;
    *ret_cgroup = cgroup;
    return 0;
}

static int receive_order(struct shim *shim, int first, int *ret_listening, char **ret_cgroup)
{
    CLEANUP(rpc_decoder_free) struct rpc_decoder decoder = {0};
    CLEANUP_CLOSE int listening = -EBADF;
    uint8_t header[RPC_HEADER_SIZE];
    struct rpc_frame frame;
    size_t count = 0;
    ssize_t n = fd_recv(first, header, sizeof(header), &listening, 1, &count);
    int r;

    if (n != sizeof(header) || count != 1)
        return n < 0 ? (int)n : -EPIPE;
    r = rpc_decoder_feed(&decoder, header, sizeof(header));
    if (r == 0)
        r = rpc_receive(first, &decoder, &frame, -1);
    if (r == 0)
        r = take_order(shim, &frame, ret_cgroup);
    if (r == 0)
        *ret_listening = TAKE_FD(listening);
    return r;
}

int shim_warm(struct shim *shim, int first, int *ret_listening)
{
    struct error err = ERROR_INIT;
    char *cgroup = NULL;
    pid_t worker = 0;
    int worker_fd = -EBADF;
    int r = shim->wall->open(shim->options.id, shim->options.dir, shim->loop, &shim_events, shim, &shim->instance, &err);

    if (r >= 0)
        r = hyperv_warm(shim->instance, shim->options.warm_cgroup, &err);
    if (r < 0)
        dprintf(STDERR_FILENO, "tabique-shim: no pool machine: %s\n", err.message);
    else
        worker_fd = hyperv_warm_watch(shim->instance, &worker);
    if (r >= 0)
        r = say_ready(first, worker);
    if (r >= 0)
        r = await(first, worker_fd);
    if (r >= 0)
        r = receive_order(shim, first, ret_listening, &cgroup);
    if (r < 0) {
        if (shim->instance)
            shim->wall->close(shim->instance);
        return r;
    }
    hyperv_adopt(shim->instance, shim->options.id);
    shim->cgroup = cgroup;
    return 0;
}

void shim_warm_move(struct shim *shim)
{
    struct error err = ERROR_INIT;

    if (shim->cgroup && hyperv_move(shim->instance, shim->cgroup, &err) < 0)
        dprintf(STDERR_FILENO, "tabique-shim: container %.12s: %s\n", shim->options.id, err.message);
    free(shim->cgroup);
    shim->cgroup = NULL;
}
