/* log.c - Docker's json-file log. Owner: shim.
 *
 * One JSON object a line: {"log":"text\n","stream":"stdout","time":"..."}. A
 * line longer than 16 KiB is cut into pieces without a newline, all but the
 * last. Lines are written with one write(2) for all that a read(2) brought; the
 * kernel then has them, whatever becomes of us or the server. At max_size the
 * file is renamed to .1 (.1 to .2 ...) and a new one begun, between two lines; where asked
 * for, what is .1 then is compressed (log_gzip.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "shim/shim.h"

#define LINE_MAX_BYTES 16384

static int open_file(struct shim_log *log, bool fresh)
{
    struct stat st;

    log->fd = open(log->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | (fresh ? O_TRUNC : 0), 0640);
    if (log->fd < 0)
        return -errno;
    log->size = fstat(log->fd, &st) == 0 ? st.st_size : 0;
    return 0;
}

int shim_log_open(struct shim_log *log, const struct shim_options *options, struct loop *loop)
{
    *log = (struct shim_log){.fd = -EBADF, .max_size = options->log_max_size, .max_files = options->log_max_files,
                             .compress = options->log_compress, .compressing = -EBADF,
                             .attributes = options->log_attributes};
    shim_sink_open(&log->sink, options, loop);
    if (!options->log_path)
        return 0;
    log->path = mem_strdup(options->log_path);
    return open_file(log, false);
}

static void write_out(struct shim_log *log)
{
    if (log->lines.length == 0 || log->fd < 0)
        return;
    /* A full disk costs these lines, not the container. What did get in of a
     * torn line is taken back, so that readers find whole ones. */
    if (fd_write_all(log->fd, log->lines.data, log->lines.length) < 0)
        (void)!ftruncate(log->fd, log->size);
    else
        log->size += (int64_t)log->lines.length;
    if (log->lines.capacity > 4 * LINE_MAX_BYTES)
        str_free(&log->lines);
    else
        str_clear(&log->lines);
}

static void rotate(struct shim_log *log)
{
    write_out(log);
    shim_log_compressed(log);
    for (int i = log->max_files - 1; i > 0; i--) {
        CLEANUP_FREE char *from = i > 1 ? mem_printf("%s.%d", log->path, i - 1) : mem_strdup(log->path);
        CLEANUP_FREE char *to = mem_printf("%s.%d", log->path, i);
        CLEANUP_FREE char *packed_from = mem_printf("%s.gz", from), *packed_to = mem_printf("%s.gz", to);

        (void)unlink(to);
        (void)unlink(packed_to);
        (void)rename(from, to);
        (void)rename(packed_from, packed_to);
    }
    close(log->fd);
    (void)open_file(log, true);
    if (log->compress && log->max_files > 1)
        shim_log_compress(log);
}

static void add_line(struct shim_log *log, int stream, const char *text, size_t length, const char *time)
{
    shim_sink_line(&log->sink, stream, text, length);
    if (log->fd < 0)
        return;
    if (log->max_size > 0 && log->size + (int64_t)log->lines.length >= log->max_size)
        rotate(log);
    str_append(&log->lines, "{\"log\":");
    str_append_json(&log->lines, text, length);
    str_append(&log->lines, stream == 0 ? ",\"stream\":\"stdout\"," : ",\"stream\":\"stderr\",");
    if (log->attributes)
        str_printf(&log->lines, "\"attrs\":%s,", log->attributes);
    str_append(&log->lines, "\"time\":\"");
    str_append(&log->lines, time);
    str_append(&log->lines, "\"}\n");
}

void shim_log_write(struct shim_log *log, int stream, const void *data, size_t length)
{
    struct str *partial = &log->partial[stream];
    const char *at = data;
    char time[TIME_TEXT_MAX];

    if (log->fd < 0 && !log->sink.options->log_to)
        return;
    time_format(clock_real_ns(), time);
    while (length > 0) {
        size_t room = LINE_MAX_BYTES - partial->length;
        size_t n = length < room ? length : room;
        const char *newline = memchr(at, '\n', n);

        if (newline)
            n = (size_t)(newline - at) + 1;
        if (partial->length == 0 && (newline || n == LINE_MAX_BYTES)) {
            add_line(log, stream, at, n, time);
        } else {
            str_append_n(partial, at, n);
            if (newline || partial->length == LINE_MAX_BYTES) {
                add_line(log, stream, partial->data, partial->length, time);
                str_free(partial);
            }
        }
        at += n;
        length -= n;
    }
    write_out(log);
}

void shim_log_flush(struct shim_log *log)
{
    char time[TIME_TEXT_MAX];

    time_format(clock_real_ns(), time);
    for (int stream = 0; stream < 2; stream++) {
        if (log->partial[stream].length)
            add_line(log, stream, log->partial[stream].data, log->partial[stream].length, time);
        str_free(&log->partial[stream]);
    }
    write_out(log);
    shim_sink_drain(&log->sink);
}
