/* nft.c - see nft.h. */
#include "network/nft.h"

#include <errno.h>
#include <libnftnl/common.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/cleanup.h"
#include "base/mem.h"

#define ANSWER_SIZE 16384

void nft_batch_begin(struct nft_batch *b)
{
    /* libmnl wants room behind the limit for the message that passes it. */
    *b = (struct nft_batch){.buffer = mem_alloc((size_t)NFT_BATCH_SIZE * 2), .sequence = 1};
    b->batch = mnl_nlmsg_batch_start(b->buffer, NFT_BATCH_SIZE);
    if (!b->batch)
        abort();
    nftnl_batch_begin(mnl_nlmsg_batch_current(b->batch), b->sequence++);
    mnl_nlmsg_batch_next(b->batch);
}

struct nlmsghdr *nft_batch_message(struct nft_batch *b, uint16_t type, uint16_t family, uint16_t flags)
{
    b->expected++;
    return nftnl_nlmsg_build_hdr(mnl_nlmsg_batch_current(b->batch), type, family, (uint16_t)(flags | NLM_F_ACK),
                                 b->sequence++);
}

void nft_batch_next(struct nft_batch *b)
{
    mnl_nlmsg_batch_next(b->batch);
}

static int await(struct mnl_socket *nl, unsigned expected)
{
    CLEANUP_FREE char *buffer = mem_alloc(ANSWER_SIZE);

    while (expected > 0) {
        ssize_t got = mnl_socket_recvfrom(nl, buffer, ANSWER_SIZE);
        if (got < 0) {
            if (errno == EINTR)
                continue;
            return errno == EAGAIN ? -ETIMEDOUT : -errno;
        }
        int left = (int)got;
        for (struct nlmsghdr *m = (struct nlmsghdr *)buffer; mnl_nlmsg_ok(m, left); m = mnl_nlmsg_next(m, &left)) {
            if (m->nlmsg_type != NLMSG_ERROR)
                continue;
            const struct nlmsgerr *answer = mnl_nlmsg_get_payload(m);
            if (answer->error)
                return answer->error; /* the transaction is off; no need to wait for the rest */
            expected--;
        }
    }
    return 0;
}

int nft_batch_commit(struct nft_batch *b, struct mnl_socket *nl)
{
    struct timeval limit = {.tv_sec = 5};
    char scrap[4096];
    int r = 0;

    nftnl_batch_end(mnl_nlmsg_batch_current(b->batch), b->sequence++);
    mnl_nlmsg_batch_next(b->batch);
    setsockopt(mnl_socket_get_fd(nl), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    while (recv(mnl_socket_get_fd(nl), scrap, sizeof(scrap), MSG_DONTWAIT) > 0)
        ;
    if (mnl_socket_sendto(nl, mnl_nlmsg_batch_head(b->batch), mnl_nlmsg_batch_size(b->batch)) < 0)
        r = -errno;
    mnl_nlmsg_batch_stop(b->batch);
    free(b->buffer);
    return r < 0 ? r : await(nl, b->expected);
}
