/* transport.h - one client connection: plain TCP, TLS, or the unix socket.
 *
 * The fd is non-blocking. Owner: one thread at a time, handed on from front to
 * worker to stream; but one reader and one writer may work at once (the TLS
 * context is locked inside). Registered with its server until freed, so that a
 * stopping server can cut everybody off.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/str.h"

struct loop_source;
struct server;
struct tls;

enum transport_kind { TRANSPORT_UNIX, TRANSPORT_PLAIN, TRANSPORT_TLS };

enum transport_state { /* the front's */
                       TRANSPORT_HANDSHAKE,
                       TRANSPORT_HEAD,   /* waiting for a first or further head */
                       TRANSPORT_BUSY,   /* a worker, stream or socket thread has it */
                       TRANSPORT_LINGER, /* answered and shut down: waits for the client to notice
                                          */
};

struct transport {
    int fd;
    enum transport_kind kind;
    struct mbedtls_ssl_context *ssl; /* NULL but for TLS */
    struct tls *tls;
    pthread_mutex_t lock;  /* the TLS context: one reader and one writer */
    size_t tls_pending;    /* length of a write that TLS wants repeated */
    char peer[64];         /* address, or "unix:UID" */
    char certificate[128]; /* CN of a verified client certificate */
    int write_timeout_ms;  /* longest wait for the client to read; -1: for ever */
    bool broken;

    struct server *server;
    struct transport *previous, *next; /* the server's register */

    /* The front's, and read by nobody else while it has the connection. */
    enum transport_state state;
    struct str in; /* bytes received, not yet used */
    int64_t deadline_ns;
    uint64_t requests; /* served on this connection */
    struct loop_source *source;
    struct transport *front_previous, *front_next;
};

/* Takes fd also on failure. */
int transport_new(struct server *server, int fd, enum transport_kind kind, struct tls *tls,
                  struct transport **ret);
void transport_free(struct transport *transport); /* closes; says good-bye in TLS */

/* One step of the TLS handshake: 0 done, -EAGAIN more to come. */
int transport_handshake(struct transport *transport);

/* Never wait: count, 0 at the end (read), -EAGAIN, -errno. */
ssize_t transport_read_now(struct transport *transport, void *buffer, size_t size);
ssize_t transport_write_now(struct transport *transport, const void *data, size_t size);
bool transport_pending(struct transport *transport); /* decrypted bytes wait */

ssize_t transport_read(struct transport *transport, void *buffer, size_t size,
                       int timeout_ms); /* -ETIMEDOUT */
int transport_write(struct transport *transport, const void *data,
                    size_t size); /* all of it, or -errno */
void transport_shutdown_write(struct transport *transport);
bool transport_gone(struct transport *transport); /* the client hung up or broke */
