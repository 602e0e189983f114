/* support.h - a server with a small route table of its own, and a client that
 * sends any bytes at all. For the server's tests. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "http.h"
#include "server.h"
#include "server_internal.h"
#include "tabique/error.h"

struct fixture {
    char dir[64];
    struct server *server;
    struct store *store; /* NULL where the database room is not built */
    int tls_port, http_port;
    char *socket, *certificate, *key;
    char **listen;
};

/* with_store: users, sessions, audit. options: changes to the defaults; may be NULL. */
void fixture_start(struct fixture *fixture, bool with_store,
                   void (*change)(struct server_options *options));
void fixture_stop(struct fixture *fixture);

/* The shim's end of the stream that the last POST /join made; the test's to close. */
extern int fixture_stream;

int dial(int port); /* plain TCP to 127.0.0.1 */
int dial_socket(const struct fixture *fixture);
void send_all(int fd, const char *text);
void send_bytes(int fd, const void *data, size_t length);
/* Everything until the end of the connection or until nothing came for
 * timeout_ms. Returns whether the connection ended. */
bool receive_all(int fd, struct str *out, int timeout_ms);
/* Reads until one whole answer is there (Content-Length or chunked end), keeps the
 * connection. Status, or -1 when the connection ended. */
int receive_answer(int fd, struct str *out);
/* One request on a connection of its own; the whole answer. Status. */
int ask(int port, const char *request, struct str *out);
