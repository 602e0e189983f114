/* status.c - the one table from errno to HTTP status (see error.h). */
#include <errno.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "server_internal.h"

static const struct {
    int code, status;
} statuses[] = {
    {EINVAL, 400},  {EBADMSG, 400}, {ERANGE, 400},     {EACCES, 401},   {EPERM, 403}, {ENOENT, 404},
    {ESRCH, 404},   {EEXIST, 409},  {EBUSY, 409},      {EALREADY, 304}, {EFBIG, 413}, {E2BIG, 413},
    {ENOTSUP, 501}, {EAGAIN, 503},  {EADDRINUSE, 500}, {ENOSPC, 500},
};

int status_of_error(int code)
{
    if (code < 0)
        code = -code;
    for (size_t i = 0; i < ARRAY_SIZE(statuses); i++)
        if (statuses[i].code == code)
            return statuses[i].status;
    return 500;
}

static const struct {
    int status;
    const char *text;
} texts[] = {
    {101, "UPGRADED"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {304, "Not Modified"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {426, "Upgrade Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {505, "HTTP Version Not Supported"},
};

const char *status_text(int status)
{
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        if (texts[i].status == status)
            return texts[i].text;
    return status < 400 ? "OK" : "Error";
}
