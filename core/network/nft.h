/* nft.h - an nftables transaction written with libnftnl, for what must be quick:
 * libnftables reads every table of the host before it adds one element. */
#pragma once

#include <libmnl/libmnl.h>
#include <stdint.h>

#define NFT_BATCH_SIZE 65536 /* bytes of messages; the caller keeps within it */

struct nft_batch {
    struct mnl_nlmsg_batch *batch;
    char *buffer;
    uint32_t sequence;
    unsigned expected;
};

void nft_batch_begin(struct nft_batch *b);
/* The next message's header, to which nftnl_*_nlmsg_build_payload() adds; then nft_batch_next(). */
struct nlmsghdr *nft_batch_message(struct nft_batch *b, uint16_t type, uint16_t family, uint16_t flags);
void nft_batch_next(struct nft_batch *b);
/* Sends, waits, frees. All or nothing: 0 or -errno. */
int nft_batch_commit(struct nft_batch *b, struct mnl_socket *nl);
