/* serve.c - a worker and one connection: as many requests as come without waiting. */
#include <errno.h>
#include <poll.h>

#include "base/mem.h"
#include "pool.h"
#include "server_internal.h"
#include "transport.h"

/* A client that asks again at once is served by the same worker, which saves two
 * hand-overs; unless others wait. */
#define LINGER_MS 2

static void refuse(struct transport *transport, int status, const char *reason)
{
    respond_raw_error(transport, status, reason);
    front_linger(transport->server->front, transport);
}

/* Whether a next request is here, or comes at once. */
static bool next_is_here(struct transport *transport)
{
    struct pool *workers = transport->server->workers;
    for (;;) {
        if (transport->in.length > 0 && front_complete(transport))
            return true;
        if (!transport_pending(transport)) {
            struct pollfd poll_fd = {.fd = transport->fd, .events = POLLIN};
            if (!pool_has_spare(workers) || poll(&poll_fd, 1, LINGER_MS) <= 0)
                return false;
        }
        char buffer[16384];
        ssize_t n = transport_read_now(transport, buffer, sizeof(buffer));
        if (n <= 0)
            return false; /* the front will see the end, too */
        str_append_n(&transport->in, buffer, (size_t)n);
    }
}

void serve(void *user)
{
    struct transport *transport = user;
    struct front *front = transport->server->front;
    while (transport != NULL) {
        transport->state = TRANSPORT_BUSY;
        struct head head;
        struct request *request = NULL;
        const char *reason = "the request head is too large";
        size_t size = head_length(transport->in.data, transport->in.length);
        int status = 431;
        if (size == 0 && transport->in.length < HEAD_MAX)
            status = 400, reason = "the request cannot be understood";
        if (size > HEAD_MAX)
            size = 0;
        if (size > 0)
            status = head_check(transport->in.data, size, &head, &reason);
        if (status == 0)
            status = request_new(transport, &head, size, &request, &reason);
        if (status != 0) {
            refuse(transport, status, reason);
            return;
        }
        str_clear(&transport->in);
        transport = dispatch(request);
        if (transport != NULL && !next_is_here(transport)) {
            transport->state = TRANSPORT_HEAD;
            front_adopt(front, transport);
            return;
        }
    }
}
