/* log.c - the programs' log on stderr. Owner: base. */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"

#define LINE_MAX_BYTES 4096

static const char *log_program = "tabique";
static bool log_journal;
static atomic_int log_limit = LOG_LEVEL_INFO;

void log_init(const char *program, enum log_level level)
{
    log_program = program;
    /* sd-daemon(3) would have the device and inode compared with stderr's: a
     * child with its own stderr inherits the variable, but ours do not log. */
    log_journal = getenv("JOURNAL_STREAM") != NULL;
    atomic_store(&log_limit, (int)level);
}

static const char *level_name(enum log_level level)
{
    switch (level) {
    case LOG_LEVEL_ERROR:
        return "error";
    case LOG_LEVEL_WARNING:
        return "warning";
    case LOG_LEVEL_INFO:
        return "info";
    case LOG_LEVEL_DEBUG:
        return "debug";
    }
    return "?";
}

void log_write(enum log_level level, const char *format, ...)
{
    if ((int)level > atomic_load(&log_limit))
        return;

    int saved = errno;
    char line[LINE_MAX_BYTES + 2];
    char time_text[TIME_TEXT_MAX];
    int head;

    if (log_journal)
        head = snprintf(line, LINE_MAX_BYTES, "<%d>", (int)level);
    else
        head = snprintf(line, LINE_MAX_BYTES, "%s %s[%d] %s: ",
                        time_format(clock_real_ns(), time_text), log_program, (int)getpid(),
                        level_name(level));
    if (head < 0 || head >= LINE_MAX_BYTES)
        head = 0;

    va_list args;
    va_start(args, format);
    errno = saved; /* for %m */
    int body = vsnprintf(line + head, (size_t)(LINE_MAX_BYTES - head), format, args);
    va_end(args);
    if (body < 0)
        line[head] = '\0';
    else if (body >= LINE_MAX_BYTES - head)
        line[(size_t)head + str_cut_utf8(line + head, (size_t)(LINE_MAX_BYTES - head - 2))] = '\0';
    str_make_printable(line);

    size_t length = strlen(line);
    line[length++] = '\n';
    /* One write(): lines of several threads never mix. A log that cannot be
     * written has nowhere to complain. */
    ssize_t n;
    do
        n = write(STDERR_FILENO, line, length);
    while (n < 0 && errno == EINTR);
    errno = saved;
}
