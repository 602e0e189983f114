/* server.h - starting and stopping the HTTP side.
 *
 * server_start() opens the listeners and serves until server_stop(). The engine
 * and the store stay the caller's and must outlive the server. Threads: start,
 * stop and reload from one thread (main's).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct engine;
struct error;
struct route;
struct server;
struct store;

struct server_options {
    struct engine *engine;             /* NULL: handlers get NULL (tests) */
    struct store *store;               /* users, sessions, audit; NULL: nobody can sign in */
    const struct route *const *tables; /* NULL-terminated list of route tables */
    char *const *listen;               /* "HOST:PORT", "http://HOST:PORT", ":PORT"; NULL: none */
    const char *socket;                /* path; NULL: none */
    const char *socket_group;          /* group of the socket where it exists; NULL: none */
    const char *tls_certificate, *tls_key, *tls_client_ca;
    bool own_certificate;       /* made by us: named to clients with the host's names */
    char *const *allowed_hosts; /* besides the machine's own names and addresses */
    const char *web_dir;        /* NULL: no console */
    const char *data_dir;       /* where the first-run password stands; NULL: nowhere */
    int threads;                /* workers at most; 0: 64 */
    int streams;                /* detached connections at most; 0: 512 */
    int connections;            /* at most; 0: 8192 */
    int handshake_timeout_ms, head_timeout_ms, idle_timeout_ms, body_timeout_ms; /* 0: defaults */
};

int server_start(const struct server_options *options, struct server **ret, struct error *err);
/* Ends listeners, connections and streams; waits a few seconds for handlers. */
void server_stop(struct server *server);
/* Certificate and key anew; on failure the old ones stay in use. */
int server_reload(struct server *server, struct error *err);

/* Port that the index-th entry of `listen` got (for port 0). */
int server_port(const struct server *server, size_t index);

struct server_counts {
    size_t connections, workers, workers_busy, queued, streams, sockets;
    uint64_t requests;
};
void server_counts(struct server *server, struct server_counts *ret);

/* Names and addresses this machine answers to: host name, "localhost", every
 * address of its interfaces. For the Host check, and without passing ones (bridges,
 * veths: they come and go with networks) for the certificate. */
char **server_own_names(bool passing);
