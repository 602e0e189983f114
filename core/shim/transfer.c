/* transfer.c - a guest's files: tar streams and change lists by way of its shim. Owner: shim.
 *
 * Each order has a connection: the shim's first reply brings the data's socket, its
 * second one says how it went. Closing the connection cancels the order. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "archive/archive.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/mem.h"
#include "rpc/rpc.h"
#include "shim/client.h"
#include "shim/client_private.h"
#include "tabique/error.h"

#define CHUNK (64u << 10)
#define CHANGES_MAX (64u << 20) /* bytes of paths a guest may have us keep */
#define ENTRIES_MAX (16u << 20) /* bytes of a directory it may have us keep */
#define TEXT_MAX 4096

struct transfer {
    int conn, data;
    struct rpc_decoder decoder;
    bool told; /* the second reply has come; its body is in `body` */
    struct str body;
};
#define TRANSFER_INIT {.conn = -EBADF, .data = -EBADF}
#define CLEANUP_TRANSFER CLEANUP(transfer_clear)

static void transfer_clear(struct transfer *t)
{
    cleanup_close(&t->conn);
    cleanup_close(&t->data);
    rpc_decoder_free(&t->decoder);
    str_free(&t->body);
}

static int take_end(struct transfer *t, struct error *err)
{
    struct rpc_frame frame;

    do {
        int r = rpc_receive(t->conn, &t->decoder, &frame, SHIM_TIMEOUT_MS);
        if (r < 0)
            return error_set(err, EPIPE, "the container's machine was lost");
    } while (!(frame.flags & RPC_REPLY));
    if (frame.flags & RPC_ERROR)
        return rpc_decode_error(&frame, err, NULL);
    str_append_n(&t->body, frame.length ? (const void *)frame.body : "", frame.length);
    t->told = true;
    return 0;
}

/* Waits for the data's socket (events 0: not of interest any more) or the end. 1:
 * the data's socket is ready. */
static int step(struct transfer *t, short events, struct error *err)
{
    struct pollfd fds[2] = {{.fd = events ? t->data : -1, .events = events}, {.fd = t->told ? -1 : t->conn, .events = POLLIN}};
    int r = poll(fds, 2, SHIM_TIMEOUT_MS);

    if (r < 0 && errno != EINTR)
        return error_errno(err, errno, "cannot wait for the container's files");
    if (r == 0)
        return error_set(err, ETIMEDOUT, "the guest does not go on with the archive");
    if (r > 0 && fds[0].revents)
        return 1;
    return r > 0 && fds[1].revents ? take_end(t, err) : 0;
}

static int pull(struct transfer *t, shim_write_fn *write, void *user, struct error *err)
{
    CLEANUP_FREE char *buffer = mem_alloc(CHUNK);
    bool ended = false;

    while (!ended || !t->told) {
        int r = step(t, ended ? 0 : POLLIN, err);
        if (r < 0)
            return r;
        if (r == 0)
            continue;
        ssize_t n = recv(t->data, buffer, CHUNK, MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return error_errno(err, errno, "the container's machine was lost");
        ended = n == 0;
        r = n > 0 ? write(user, buffer, (size_t)n) : 0;
        if (r < 0)
            return error_errno(err, -r, "the archive cannot be passed on");
    }
    return 0;
}

static int push(struct transfer *t, shim_read_fn *read, void *user, struct error *err)
{
    CLEANUP_FREE char *buffer = mem_alloc(CHUNK);
    size_t length = 0, sent = 0;
    bool ended = false;

    while (!t->told) {
        if (sent == length && !ended) {
            ssize_t n = read(user, buffer, CHUNK);
            if (n < 0)
                return error_errno(err, (int)-n, "the archive cannot be read");
            length = (size_t)n;
            sent = 0;
            ended = n == 0;
            if (ended)
                (void)shutdown(t->data, SHUT_WR);
        }
        int r = step(t, ended ? 0 : POLLOUT, err);
        if (r < 0)
            return r;
        if (r == 0)
            continue;
        ssize_t n = send(t->data, buffer + sent, length - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EPIPE) { /* it wants no more: what follows says why */
            ended = true;
            sent = length;
        } else if (n < 0 && errno != EAGAIN && errno != EINTR) {
            return error_errno(err, errno, "the container's machine was lost");
        } else if (n > 0) {
            sent += (size_t)n;
        }
    }
    return 0;
}

static int begin(struct shim *shim, uint16_t type, const struct str *body, struct transfer *t, struct error *err)
{
    return shim__open_with_fd(shim, type, body, &t->decoder, &t->conn, &t->data, err);
}

int shim_archive_get(struct shim *shim, enum shim_tree tree, const char *path, const char *name, unsigned flags,
                     shim_write_fn *write, void *user, struct error *err)
{
    CLEANUP_TRANSFER struct transfer t = TRANSFER_INIT;
    CLEANUP_STR struct str body = STR_INIT;
    int r;

    wire_put_u64(&body, RPC_TAG_ROOT, (uint64_t)tree);
    wire_put_string(&body, RPC_TAG_PATH, path);
    wire_put_string(&body, RPC_TAG_NAME, name);
    wire_put_u64(&body, RPC_TAG_FLAGS, flags);
    r = begin(shim, RPC_ARCHIVE_GET, &body, &t, err);
    return r < 0 ? r : pull(&t, write, user, err);
}

int shim_archive_put(struct shim *shim, enum shim_tree tree, const char *path, unsigned flags, shim_read_fn *read, void *user,
                     struct error *err)
{
    CLEANUP_TRANSFER struct transfer t = TRANSFER_INIT;
    CLEANUP_STR struct str body = STR_INIT;
    int r;

    wire_put_u64(&body, RPC_TAG_ROOT, (uint64_t)tree);
    wire_put_string(&body, RPC_TAG_PATH, path);
    wire_put_u64(&body, RPC_TAG_FLAGS, flags);
    r = begin(shim, RPC_ARCHIVE_PUT, &body, &t, err);
    return r < 0 ? r : push(&t, read, user, err);
}

/* A guest's text: not longer than a path, nor one that breaks lines. */
static char *take_text(struct wire_reader *reader, const struct wire_field *field)
{
    char *text = wire_string(reader, field);

    if (text && strlen(text) > TEXT_MAX)
        text[TEXT_MAX] = '\0';
    return text;
}

int shim_archive_stat(struct shim *shim, const char *path, struct archive_stat *ret, struct error *err)
{
    CLEANUP_TRANSFER struct transfer t = TRANSFER_INIT;
    CLEANUP_STR struct str body = STR_INIT;
    struct archive_stat st = {0};
    struct wire_reader reader;
    struct wire_field field;
    int r;

    wire_put_string(&body, RPC_TAG_PATH, path);
    r = begin(shim, RPC_ARCHIVE_STAT, &body, &t, err);
    while (r >= 0 && !t.told)
        r = step(&t, 0, err);
    if (r < 0)
        return r;
    wire_read(&reader, t.body.data, t.body.length);
    while (wire_next(&reader, &field)) {
        switch (field.tag) {
        case RPC_TAG_NAME: free(st.name); st.name = take_text(&reader, &field); break;
        case RPC_TAG_LINK: free(st.link_target); st.link_target = take_text(&reader, &field); break;
        case RPC_TAG_SIZE: st.size = wire_i64(&reader, &field); break;
        case RPC_TAG_MODE: st.mode = (uint32_t)wire_u64(&reader, &field); break;
        case RPC_TAG_TIME: st.mtime_ns = wire_i64(&reader, &field); break;
        default: break;
        }
    }
    if (!wire_ok(&reader) || !st.name || st.size < 0) {
        free(st.name);
        free(st.link_target);
        return error_set(err, EBADMSG, "the guest's answer is malformed");
    }
    if (!st.link_target)
        st.link_target = mem_strdup("");
    *ret = st;
    return 0;
}

/* A guest's list, whole before anything of it is believed. */
struct list {
    struct str text;
    size_t most;
};

static int keep_list(void *user, const void *data, size_t size)
{
    struct list *list = user;

    if (list->text.length + size > list->most)
        return -EFBIG;
    str_append_n(&list->text, data, size);
    return 0;
}

int shim_archive_list(struct shim *shim, const char *path, shim_entry_fn *fn, void *user,
                      struct error *err)
{
    CLEANUP_TRANSFER struct transfer t = TRANSFER_INIT;
    CLEANUP_STR struct str body = STR_INIT;
    struct list list = {.text = STR_INIT, .most = ENTRIES_MAX};
    const char *at, *end;
    int r;

    wire_put_string(&body, RPC_TAG_PATH, path);
    r = begin(shim, RPC_ARCHIVE_LIST, &body, &t, err);
    if (r >= 0)
        r = pull(&t, keep_list, &list, err);
    at = list.text.data;
    end = at ? at + list.text.length : at;
    for (size_t count = 0; r == 0 && at < end; count++) {
        struct archive_entry entry;
        if (archive_entry_take(&at, end, &entry) < 0)
            r = error_set(err, EBADMSG, "the guest's list of files is malformed");
        else
            r = count < ARCHIVE_LIST_MAX ? fn(user, &entry) : 1;
    }
    str_free(&list.text);
    return r;
}

int shim_changes(struct shim *shim, shim_change_fn *fn, void *user, struct error *err)
{
    CLEANUP_TRANSFER struct transfer t = TRANSFER_INIT;
    struct list changes = {.text = STR_INIT, .most = CHANGES_MAX};
    const char *at, *end;
    int r = begin(shim, RPC_CHANGES, NULL, &t, err);

    if (r >= 0)
        r = pull(&t, keep_list, &changes, err);
    /* Whole records only; what the callback keeps it copies. */
    at = changes.text.data;
    end = at ? at + changes.text.length : at;
    while (r >= 0 && at < end) {
        const char *stop = memchr(at, '\0', (size_t)(end - at));
        if (!stop || stop - at > TEXT_MAX || *at < '0' || *at > '2' || at[1] != '/')
            r = error_set(err, EBADMSG, "the guest's list of changes is malformed");
        else
            r = fn(user, at + 1, *at - '0');
        at = stop ? stop + 1 : end;
    }
    str_free(&changes.text);
    return r < 0 ? r : 0;
}
