/* tls_internal.h - TLS over a transport; for transport.c only. The transport's
 * lock is the caller's business. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct tls;
struct transport;

int tls_attach(struct tls *tls, struct transport *transport);
void tls_detach(struct transport *transport, bool polite);
int tls_handshake(
    struct transport *transport); /* 0, -EAGAIN, -errno; fills in the certificate's name */
ssize_t tls_read(struct transport *transport, void *buffer, size_t size);
ssize_t tls_write(struct transport *transport, const void *data, size_t size);
bool tls_pending(struct transport *transport);
void tls_close_notify(struct transport *transport);
