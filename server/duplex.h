/* duplex.h - made by respond_hijack(); the rest of its face is in http.h. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct duplex;
struct transport;

/* Takes the transport; initial bytes (copied) are read first. */
struct duplex *duplex_new(struct transport *transport, const char *initial, size_t length);
/* Waits, not for long, until the client has read what was written: some of them
 * (docker-py) throw away whatever comes together with the head of the answer. */
void duplex_settle(struct duplex *duplex);
