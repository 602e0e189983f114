/* client_private.h - what the files of the client share. */
#pragma once

#include <stdint.h>

struct error;
struct rpc_decoder;
struct shim;
struct str;

/* A connection of its own with one request; the first reply brings an fd along. */
int shim__open_with_fd(struct shim *shim, uint16_t type, const struct str *body, struct rpc_decoder *decoder, int *ret_conn,
                       int *ret_fd, struct error *err);
