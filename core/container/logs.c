/* logs.c - reading a container's log: Docker's json-file format, one object a
 * line, rotated by the shim (X-json.log is the newest, X-json.log.1 the one
 * before ...). Owner: container.
 *
 * The shim may be writing and rotating meanwhile: a last line without its newline
 * is one being written, and a file that is renamed under our feet stays open. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "container/internal.h"
#include "container/log_driver.h"
#include "container/log_file.h"
#include "container/log_line.h"

#define BLOCK ((size_t)64 << 10)
#define LINE_MAX_BYTES ((size_t)4 << 20)
#define FILES_MAX 10000
#define LOOK_MS 200
#define SETTLE_NS (INT64_C(250) * NS_PER_MS)

struct reader {
    const struct container_log_query *query;
    container_log_fn *fn;
    void *user;
    char *path;        /* of the newest file */
    int fd;            /* of the one being read */
    struct log_file file;
    off_t at;          /* where its next unread byte is */
    struct str line;   /* begun, not ended */
    struct str text;   /* decoded */
    bool over;         /* until has passed, or the callback wants no more */
    int result;
};

/* --- one line -------------------------------------------------------------------------- */

static void emit(struct reader *reader, const char *data, size_t length)
{
    const struct container_log_query *query = reader->query;
    struct container_log_line line = {0};

    if (log_line_decode(data, length, &reader->text, &line) < 0)
        return; /* not ours, or torn: everything else still counts */
    if (query->until_ns && line.time_ns > query->until_ns) {
        reader->over = true;
        return;
    }
    if ((query->since_ns && line.time_ns < query->since_ns) || (line.stream == 1 && !query->out) ||
        (line.stream == 2 && !query->err))
        return;
    CLEANUP_FREE char *attributes = query->details ? log_line_attributes(data, length) : NULL;
    line.attributes = attributes;
    reader->result = reader->fn(reader->user, &line);
    reader->over = reader->result != 0;
}

static void take(struct reader *reader, const char *data, size_t length)
{
    while (length > 0 && !reader->over) {
        const char *end = memchr(data, '\n', length);
        size_t part = end ? (size_t)(end - data) : length;

        if (end && reader->line.length == 0) {
            emit(reader, data, part);
        } else if (reader->line.length + part <= LINE_MAX_BYTES) {
            str_append_n(&reader->line, data, part);
        }
        if (!end)
            return;
        if (reader->line.length > 0) {
            emit(reader, reader->line.data, reader->line.length);
            str_clear(&reader->line);
        }
        data += part + 1;
        length -= part + 1;
    }
}

/* To the present end of the open file. */
static int drain(struct reader *reader, bool (*cancelled)(void *user))
{
    CLEANUP_FREE char *block = mem_alloc(BLOCK);

    while (!reader->over) {
        ssize_t got = pread(reader->fd, block, BLOCK, reader->at);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            return 0;
        reader->at += got;
        take(reader, block, (size_t)got);
        if (cancelled && cancelled(reader->user))
            reader->over = true;
    }
    return 0;
}

/* --- the last N lines --------------------------------------------------------------------- */

/* Where the last *lines whole lines of fd begin. Where there are fewer: 0, with
 * *lines less by those there are. A line still being written does not count. */
static off_t seek_lines(int fd, int64_t *lines)
{
    CLEANUP_FREE char *block = mem_alloc(BLOCK);
    int64_t ends = 0;
    struct stat st;

    if (fstat(fd, &st) < 0)
        return 0;
    for (off_t end = st.st_size; end > 0;) {
        size_t size = (size_t)(end < (off_t)BLOCK ? end : (off_t)BLOCK);

        end -= (off_t)size;
        if (pread(fd, block, size, end) != (ssize_t)size)
            return 0; /* cut meanwhile: all of what is left */
        for (size_t i = size; i-- > 0;) {
            if (block[i] == '\n' && ++ends > *lines) {
                *lines = 0;
                return end + (off_t)i + 1;
            }
        }
    }
    *lines -= ends;
    return 0;
}

/* Which file to begin with, oldest first, and where in it. */
static int find_begin(struct reader *reader, int *ret_index, off_t *ret_at)
{
    int count = 0, index = 0;
    off_t at = 0;

    for (; count < FILES_MAX; count++) {
        struct log_file file;
        if (log_file_find(reader->path, count, &file) == -ENOENT)
            break;
    }
    if (count == 0)
        return -ENOENT;
    index = count - 1;
    if (reader->query->tail >= 0) {
        int64_t lines = reader->query->tail;

        for (index = 0; index < count; index++) {
            struct log_file file;
            CLEANUP_CLOSE int fd = log_file_open(reader->path, index, &file);
            if (fd < 0)
                continue;
            if (lines == 0) {
                struct stat st;
                at = fstat(fd, &st) == 0 ? st.st_size : 0;
                break;
            }
            at = seek_lines(fd, &lines);
            if (lines == 0)
                break;
        }
        if (index == count)
            index = count - 1;
    }
    *ret_index = index;
    *ret_at = at;
    return 0;
}

/* --- following ---------------------------------------------------------------------------------- */

/* The file that came after the one being read, if the shim has rotated: its
 * index, or -1. */
static int newer_index(const struct reader *reader)
{
    for (int index = 0; index < FILES_MAX; index++) {
        struct log_file other;
        int r = log_file_find(reader->path, index, &other);
        if (r == -ENOENT)
            return index > 0 ? index - 1 : -1; /* ours is gone: the oldest there is */
        if (r == 0 && log_file_same(&reader->file, reader->fd, &other))
            return index - 1;
    }
    return -1;
}

/* Everything there is now, over as many files as there are. */
static int catch_up(struct reader *reader, bool (*cancelled)(void *user))
{
    for (;;) {
        int r = reader->fd >= 0 ? drain(reader, cancelled) : 0;
        if (r < 0 || reader->over)
            return r;
        int index = reader->fd >= 0 ? newer_index(reader) : 0;
        if (index < 0)
            return 0;
        struct log_file file;
        int fd = log_file_open(reader->path, index, &file);
        if (fd < 0)
            return fd == -ENOENT ? 0 : fd;
        /* It may have been written to between our last read and its renaming. */
        r = reader->fd >= 0 ? drain(reader, cancelled) : 0;
        if (reader->fd >= 0)
            close(reader->fd);
        reader->fd = fd;
        reader->file = file;
        reader->at = 0;
        str_clear(&reader->line);
        if (r < 0)
            return r;
    }
}

static bool writes(struct container *container)
{
    pthread_mutex_lock(&container->lock);
    bool active = state_is_active(container->run.state) || container->finishing || container->run.starting;
    pthread_mutex_unlock(&container->lock);
    return active && !atomic_load(&container->engine->closing);
}

/* Clients ask a short command for its words right after its start: Docker's start takes so
 * long that they are there by then. Ours gives it that time, from its start on, to end. */
static void settle(struct container *container)
{
    pthread_mutex_lock(&container->lock);
    int64_t left = container->run.started_ns + SETTLE_NS - clock_real_ns();
    int64_t deadline = clock_mono_ns() + (left < SETTLE_NS ? left : SETTLE_NS); /* the clock may have been set */
    struct timespec at = {.tv_sec = deadline / NS_PER_SEC, .tv_nsec = deadline % NS_PER_SEC};

    while (left > 0 && (state_is_active(container->run.state) || container->finishing) &&
           pthread_cond_timedwait(&container->changed, &container->lock, &at) == 0)
        ;
    pthread_mutex_unlock(&container->lock);
}

static int follow(struct container *container, struct reader *reader, bool (*cancelled)(void *user))
{
    CLEANUP_CLOSE int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    char events[4096];

    if (watch >= 0)
        inotify_add_watch(watch, container->dir, IN_MODIFY | IN_CREATE | IN_MOVED_TO);
    for (;;) {
        /* Asked before reading, so that the last lines are read after the last
         * process has gone. */
        bool more = writes(container);
        int r = catch_up(reader, cancelled);

        if (r < 0 || reader->over || !more)
            return r;
        if (cancelled && cancelled(reader->user))
            return 0;
        /* Without inotify (limits) this is a poll a few times a second. */
        struct pollfd wait = {.fd = watch, .events = POLLIN};
        if (poll(&wait, 1, LOOK_MS) > 0)
            while (read(watch, events, sizeof(events)) > 0)
                ;
    }
}

int container_logs_readable(struct container *container, struct error *err)
{
    CLEANUP_SPEC struct spec *spec = container__spec(container);

    if (!log_driver_readable(json_get(spec->host_config, "LogConfig")))
        return error_set(err, ENOTSUP, "configured logging driver does not support reading");
    return 0;
}

int container_logs(struct container *container, const struct container_log_query *query, container_log_fn *fn,
                   bool (*cancelled)(void *user), void *user, struct error *err)
{
    struct reader reader = {.query = query, .fn = fn, .user = user, .fd = -EBADF};
    bool active = writes(container);
    int index, r;

    if (!query->out && !query->err)
        return error_set(err, EINVAL, "You must choose at least one stream");
    r = container_logs_readable(container, err);
    if (r < 0)
        return r;
    if (!query->follow)
        settle(container);
    reader.path = mem_printf("%s/%s-json.log", container->dir, container->id);
    r = find_begin(&reader, &index, &reader.at);
    if (r == 0) {
        reader.fd = log_file_open(reader.path, index, &reader.file);
        r = reader.fd < 0 ? reader.fd : 0;
    }
    if (r == 0)
        r = catch_up(&reader, cancelled);
    else if (r == -ENOENT)
        r = 0; /* nothing was written yet */
    if (r == 0 && !reader.over && query->follow && active)
        r = follow(container, &reader, cancelled);
    if (reader.fd >= 0)
        close(reader.fd);
    str_free(&reader.line);
    str_free(&reader.text);
    free(reader.path);
    return r < 0 ? error_errno(err, r == -ENOENT ? EIO : r, "cannot read the log of container %s", container->id) : 0;
}
