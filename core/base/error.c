/* error.c - filling in struct error. Owner: base. */
#include "tabique/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

/* A failing path must never come out as success, so "no error" becomes EIO. */
static int positive(int code)
{
    if (code == 0)
        return EIO;
    return code < 0 ? -code : code;
}

static void store(struct error *err, int code, const char *text)
{
    size_t length = strlen(text);

    if (length >= sizeof(err->message))
        length = str_cut_utf8(text, sizeof(err->message) - 1);
    memcpy(err->message, text, length);
    err->message[length] = '\0';
    str_make_printable(err->message);
    err->code = code;
}

int error_set(struct error *err, int code, const char *format, ...)
{
    code = positive(code);
    if (err) {
        /* Aside first: the arguments may point into err->message. One byte more
         * than fits, so that store() can see that it has to cut. */
        char text[ERROR_MESSAGE_MAX + 8];
        va_list args;

        va_start(args, format);
        vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        store(err, code, text);
    }
    return -code;
}

int error_errno(struct error *err, int code, const char *format, ...)
{
    code = positive(code);
    if (err) {
        char text[ERROR_MESSAGE_MAX + 8];
        char reason[80];
        const char *known = strerrordesc_np(code);
        va_list args;

        if (known)
            snprintf(reason, sizeof(reason), ": %s", known);
        else
            snprintf(reason, sizeof(reason), ": error %d", code);
        va_start(args, format);
        vsnprintf(text, sizeof(text), format, args);
        va_end(args);

        /* The reason is worth more than the tail of an over-long text. */
        size_t room = ERROR_MESSAGE_MAX - 1 - strlen(reason);
        size_t length = strlen(text);
        if (length > room)
            length = str_cut_utf8(text, room);
        memcpy(text + length, reason, strlen(reason) + 1);
        store(err, code, text);
    }
    return -code;
}

int error_prefix(struct error *err, const char *format, ...)
{
    if (!err)
        return -EIO;

    char text[2 * ERROR_MESSAGE_MAX + 8];
    va_list args;

    va_start(args, format);
    int length = vsnprintf(text, ERROR_MESSAGE_MAX, format, args);
    va_end(args);
    if (length < 0)
        length = 0;
    if (length >= ERROR_MESSAGE_MAX)
        length = ERROR_MESSAGE_MAX - 1;
    snprintf(text + length, sizeof(text) - (size_t)length, ": %s", err->message);
    store(err, positive(err->code), text);
    return -err->code;
}
