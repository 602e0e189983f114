/* websocket.h - WebSockets, all on one thread with an epoll loop.
 *
 * A socket costs some kilobytes and no thread (framing: libwslay). Callbacks run
 * in the sockets' thread and must not block. A struct web_socket is counted:
 * whoever keeps a pointer beyond `closed` holds a reference; sends to a closed
 * one give -EPIPE. Send, close, ref and unref: any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct loop;
struct request;
struct server;
struct web_socket;
struct web_sockets;

#define WEB_SOCKET_QUEUE_MAX (8u << 20) /* bytes waiting for a client that does not read */
#define WEB_SOCKET_PING_S 20
#define WEB_SOCKET_SILENCE_S 65 /* no byte, not even a pong: gone */

struct web_socket_handlers {
    void (*message)(struct web_socket *socket, void *user, bool binary, const void *data,
                    size_t length);
    void (*drained)(struct web_socket *socket,
                    void *user); /* all that was sent has left; may be NULL */
    void (*closed)(struct web_socket *socket, void *user); /* once, the last call */
};

int web_sockets_new(struct server *server, struct web_sockets **ret, struct error *err);
void web_sockets_stop(struct web_sockets *sockets); /* closes all with 1001 and ends the thread */
void web_sockets_free(struct web_sockets *sockets);
size_t web_sockets_count(struct web_sockets *sockets);
struct loop *web_sockets_loop(struct web_sockets *sockets);

/* Checks the handshake, answers it and takes the connection from the request.
 * On failure it has answered, too (400, 426). ret_socket carries a reference. */
int web_socket_accept(struct request *request, const struct web_socket_handlers *handlers,
                      void *user, size_t message_max, struct web_socket **ret_socket);
struct web_socket *web_socket_ref(struct web_socket *socket);
void web_socket_unref(struct web_socket *socket);

/* One message made of two parts, so that many can share the longer one. */
struct shared_text;
struct shared_text *shared_text_new(char *text, size_t length); /* takes text (malloc'ed) */
struct shared_text *shared_text_ref(struct shared_text *text);
void shared_text_unref(struct shared_text *text);
int web_socket_send_shared(struct web_socket *socket, const char *prefix, struct shared_text *rest);
/* 0; -EAGAIN when too much waits already (nothing is queued then); -EPIPE. */
int web_socket_send(struct web_socket *socket, bool binary, const void *data, size_t length);
size_t web_socket_queued(struct web_socket *socket);
/* Sends what is queued, then the close frame. */
void web_socket_close(struct web_socket *socket, uint16_t code, const char *reason);
