/* civetweb_unit.h - what is used of civetweb: the HTTP message parser and the
 * body framing, over a connection that is ours.
 *
 * civetweb's own listeners and workers are not used: there, an idle keep-alive
 * connection, a silent TLS client or a slow header holds a worker thread each
 * (front.c does that part). Owner of a message: whoever parsed it; one thread
 * at a time, any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct message;
struct transport;

/* Once per process, before anything else here. body_timeout_ms: longest silence
 * while a body is awaited. */
int message_library_init(int body_timeout_ms);

/* data: `length` bytes, of which head_length are a complete head that head.c has
 * found sound; copied. content_length -1: none. -EBADMSG when civetweb cannot
 * make sense of it (unknown method, over 64 headers). */
int message_parse(struct transport *transport, const char *data, size_t head_length, size_t length,
                  int64_t content_length, bool chunked, struct message **ret);
void message_free(struct message *message);

const char *message_method(const struct message *message);
const char *message_uri(const struct message *message); /* as sent, with its query */
const char *message_header(const struct message *message, const char *name); /* NULL: absent */
size_t message_header_count(const struct message *message);
const char *message_header_at(const struct message *message, size_t index, const char **ret_value);

/* Body bytes, decoded; 0 at its end, -EPIPE cut short, -ETIMEDOUT, -EBADMSG bad chunks. */
ssize_t message_read(struct message *message, void *buffer, size_t size);
bool message_body_done(const struct message *message);
bool message_body_buffered(
    const struct message *message); /* all of it is here: reading will not wait */
/* Bytes of the body (as sent) that are here already. */
size_t message_buffered(const struct message *message);
/* What was received behind this message: the next one, or a hijacked stream. */
size_t message_leftover(const struct message *message, const char **ret);
