/* error.h - how the engine says what went wrong.
 *
 * Every fallible function returns 0 or a negative errno and takes a
 * `struct error *err` last (NULL allowed). On failure `err` holds one line a
 * person can act on: what was wrong, and where it helps, what to do. On success
 * `err` is untouched, and so are all `ret_` outputs on failure.
 *
 * The number is the class, the text is for people. The server maps the number
 * to an HTTP status in one table (server/status.c):
 *
 *   EINVAL 400   EACCES 401   EPERM 403   ENOENT 404   EEXIST, EBUSY 409
 *   EALREADY 304 (nothing to do)   EFBIG 413   ENOTSUP 501   EAGAIN 503
 *   all else 500
 *
 * ENOENT from a system call about the engine's own files is therefore wrapped
 * as EIO before it leaves a room: 404 means "no such container/image/...".
 *
 * Threads: a struct error belongs to its caller; nothing is shared.
 */
#pragma once

#define ERROR_MESSAGE_MAX 1024

struct error {
    int code;                        /* positive errno; 0 = none */
    char message[ERROR_MESSAGE_MAX]; /* UTF-8, one line, no trailing newline */
};

#define ERROR_INIT ((struct error){0})

/* Sets err (if not NULL) and returns -code, so that a failing function ends
 * with `return error_set(err, EINVAL, "...")`. `code` may be given positive or
 * negative. Over-long texts are cut at a UTF-8 boundary; control characters
 * (which may come from hostile input) are shown as '?'. */
int error_set(struct error *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As error_set(), with ": <strerror(code)>" behind the text. */
int error_errno(struct error *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "text: " before the message err already has; returns -err->code. */
int error_prefix(struct error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
