/* warm.c - a shim that is ahead of its container. Owner: shim.
 *
 * It makes a machine (isolation/hyperv/hyperv.h) and waits: to be told what its
 * container will be like, which it then rehearses and says so, any number of times; for
 * its container; or for the end of its connection or of its worker, which are its own. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/wire.h"
#include "isolation/hyperv/hyperv.h"
#include "launch/plan.h"
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
static int take_container(struct shim *shim, const struct rpc_frame *frame)
{
    struct shim_options options = {0};
    char **arguments = NULL, *cgroup = NULL;
    struct wire_reader reader;
    struct wire_field field;

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
    shim->cgroup = cgroup;
    /* Nothing points into the memory of the old ones any more, and ps shows whose it is. */
    hyperv_use(options.machines_dir, options.machine_memory ? FD_MACHINE_MEMORY : -EBADF, options.files_program);
    launch_set_title("tabique-shim", NULL, arguments);
    return 0;
}

static int rehearse(struct shim *shim, const struct rpc_frame *frame, struct error *err)
{
    CLEANUP(plan_freep) struct plan *plan = NULL;
    CLEANUP_FREE char *dir = NULL;
    struct wire_reader reader;
    struct wire_field field;
    int r = 0;

    wire_read(&reader, frame->body, frame->length);
    while (r >= 0 && wire_next(&reader, &field)) {
        if (field.tag == RPC_TAG_PLAN && !plan)
            r = plan_decode(field.data, field.length, &plan);
        else if (field.tag == RPC_TAG_PATH && !dir)
            dir = wire_string(&reader, &field);
    }
    if (r < 0 || !wire_ok(&reader) || !dir)
        return error_set(err, EPROTO, "malformed order");
    return hyperv_rehearse(shim->instance, TAKE_PTR(plan), dir, err);
}

static int receive(int first, struct rpc_decoder *decoder, struct rpc_frame *frame, int *ret_fd)
{
    uint8_t header[RPC_HEADER_SIZE];
    size_t count = 0;
    ssize_t n = fd_recv(first, header, sizeof(header), ret_fd, 1, &count);
    int r;

    if (n != sizeof(header))
        return n < 0 ? (int)n : -EPIPE;
    r = rpc_decoder_feed(decoder, header, sizeof(header));
    return r < 0 ? r : rpc_receive(first, decoder, frame, -1);
}

/* Until it has a container. */
static int obey(struct shim *shim, int first, int worker_fd, pid_t worker, int *ret_listening, struct error *err)
{
    CLEANUP(rpc_decoder_free) struct rpc_decoder decoder = {0};

    for (;;) {
        CLEANUP_CLOSE int listening = -EBADF;
        struct rpc_frame frame;
        int r = await(first, worker_fd);

        if (r >= 0)
            r = receive(first, &decoder, &frame, &listening);
        if (r < 0)
            return r;
        if (frame.type == RPC_ADOPT && listening >= 0) {
            r = take_container(shim, &frame);
            if (r >= 0)
                *ret_listening = TAKE_FD(listening);
            return r;
        }
        if (frame.type != RPC_REHEARSE)
            return -EPROTO;
        r = rehearse(shim, &frame, err);
        if (r >= 0)
            r = say_ready(first, worker);
        if (r < 0)
            return r;
    }
}

int shim_warm(struct shim *shim, int first, int *ret_listening)
{
    struct error err = ERROR_INIT;
    pid_t worker = 0;
    int worker_fd;
    int r = shim->wall->open(shim->options.id, shim->options.dir, shim->loop, &shim_events, shim, &shim->instance, &err);

    if (r >= 0)
        r = hyperv_warm(shim->instance, shim->options.warm_cgroup, &err);
    if (r >= 0) {
        worker_fd = hyperv_warm_watch(shim->instance, &worker);
        r = obey(shim, first, worker_fd, worker, ret_listening, &err);
    }
    if (r < 0) {
        if (err.code)
            dprintf(STDERR_FILENO, "tabique-shim: no pool machine: %s\n", err.message);
        if (shim->instance)
            shim->wall->close(shim->instance);
        return r;
    }
    hyperv_adopt(shim->instance, shim->options.id);
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

int shim_stage(struct shim *shim)
{
    struct error err = ERROR_INIT;
    int r = shim->wall->open(shim->options.id, shim->options.dir, shim->loop, &shim_events, shim, &shim->instance, &err);

    if (r >= 0)
        r = hyperv_stage(shim->instance, shim->options.stage_cgroup, &err);
    if (r < 0)
        dprintf(STDERR_FILENO, "tabique-shim: no staged template: %s\n", err.message);
    if (shim->instance)
        shim->wall->close(shim->instance);
    return r;
}
