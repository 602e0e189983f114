/* civetweb_unit.c - civetweb.c itself, and the little that turns it into a
 * message parser (see civetweb_unit.h). The only file that sees its insides;
 * compiled with the warnings its authors use.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/poll.h>

/* It reports every ordinary end of a TLS connection on stderr. */
static int unit_quiet(void *stream, ...)
{
    return stream == NULL;
}
#define fprintf(stream, ...) unit_quiet(stream)
#include "civetweb.c"
#undef fprintf
#undef malloc
#undef calloc
#undef realloc
#undef free
#undef snprintf
#undef vsnprintf

#include "civetweb_unit.h"
#include "transport.h"

struct message {
    struct mg_connection connection;
    char *buffer;
};

/* Stands in for a started server: limits, no listeners, no threads. */
static struct mg_context unit_context;
static char unit_timeout[16];

int message_library_init(int body_timeout_ms)
{
    if (mg_init_library(MG_FEATURES_TLS) == 0 && mg_init_library_called <= 0)
        return -ENOMEM;
    snprintf(unit_timeout, sizeof(unit_timeout), "%d", body_timeout_ms);
    unit_context.context_type = CONTEXT_SERVER;
    unit_context.dd.config[REQUEST_TIMEOUT] = unit_timeout;
    return 0;
}

int message_parse(struct transport *transport, const char *data, size_t head_length, size_t length,
                  int64_t content_length, bool chunked, struct message **ret)
{
    struct message *message = calloc(1, sizeof(*message));
    char *buffer = malloc(length + 1);
    if (message == NULL || buffer == NULL) {
        free(message);
        free(buffer);
        return -ENOMEM;
    }
    memcpy(buffer, data, length);
    buffer[length] = '\0';

    struct mg_connection *connection = &message->connection;
    message->buffer = buffer;
    connection->phys_ctx = &unit_context;
    connection->dom_ctx = &unit_context.dd;
    connection->connection_type = CONNECTION_TYPE_REQUEST;
    connection->client.sock = transport != NULL ? transport->fd : INVALID_SOCKET;
    connection->ssl = transport != NULL ? transport->ssl : NULL;
    connection->buf = buffer;
    connection->buf_size = (int)length;
    connection->data_len = (int)length;
    connection->request_len = (int)head_length;
    /* The parser ends the head with a NUL in place of its last byte, so what
     * follows stays whole. */
    if (parse_http_request(buffer, (int)head_length, &connection->request_info) !=
        (int)head_length) {
        message_free(message);
        return -EBADMSG;
    }
    connection->is_chunked = chunked ? 1 : 0;
    connection->content_len = chunked ? 0 : content_length < 0 ? 0 : content_length;
    *ret = message;
    return 0;
}

void message_free(struct message *message)
{
    if (message == NULL)
        return;
    free(message->buffer);
    free(message);
}

const char *message_method(const struct message *message)
{
    return message->connection.request_info.request_method;
}
const char *message_uri(const struct message *message)
{
    return message->connection.request_info.request_uri;
}
const char *message_header(const struct message *message, const char *name)
{
    return mg_get_header(&message->connection, name);
}
size_t message_header_count(const struct message *message)
{
    return (size_t)message->connection.request_info.num_headers;
}

const char *message_header_at(const struct message *message, size_t index, const char **ret_value)
{
    const struct mg_header *header = &message->connection.request_info.http_headers[index];
    *ret_value = header->value;
    return header->name;
}

bool message_body_done(const struct message *message)
{
    const struct mg_connection *connection = &message->connection;
    if (connection->is_chunked)
        return connection->is_chunked >= 3;
    return connection->consumed_content >= connection->content_len;
}

bool message_body_buffered(const struct message *message)
{
    const struct mg_connection *connection = &message->connection;
    return !connection->is_chunked &&
           (int64_t)connection->data_len >= connection->request_len + connection->content_len;
}

size_t message_buffered(const struct message *message)
{
    const struct mg_connection *connection = &message->connection;
    int64_t left =
        (int64_t)connection->data_len - connection->request_len - connection->consumed_content;
    return left > 0 ? (size_t)left : 0;
}

ssize_t message_read(struct message *message, void *buffer, size_t size)
{
    struct mg_connection *connection = &message->connection;
    if (size == 0 || message_body_done(message))
        return 0;
    /* Without chunks, mg_read() waits until all it was asked for is there; a
     * stream should flow as it comes. */
    if (!connection->is_chunked) {
        size_t here = message_buffered(message);
        if (here > 0 && here < size)
            size = here;
    }
    int n = mg_read(connection, buffer, size);
    if (n > 0)
        return n;
    if (connection->is_chunked) {
        if (connection->is_chunked >= 3)
            return 0;
        return connection->is_chunked == 2 ? -EBADMSG : -EPIPE;
    }
    /* 0 is a time-out as well as the end of the connection. */
    return message_body_done(message) ? 0 : -EPIPE;
}

size_t message_leftover(const struct message *message, const char **ret)
{
    const struct mg_connection *connection = &message->connection;
    size_t used = (size_t)connection->request_len + (size_t)connection->consumed_content;
    if (used >= (size_t)connection->data_len)
        return 0;
    *ret = connection->buf + used;
    return (size_t)connection->data_len - used;
}
