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
#define TURNS_MAX 64 /* while one file is opened; whoever turns faster has one passed over */
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

/* --- from file to file ----------------------------------------------------------------- */

/* The index of the file next to the one being read, or -ENOENT: the next older one, or the
 * next newer. While none is being read, that is the newest there is, or the oldest; so is the
 * oldest where ours has been removed. The shim renames the oldest first, so within one turn
 * an index may be missing; two in a row are the end. */
static int look_beside(const struct reader *reader, bool older, struct log_file *ret)
{
    bool passed = reader->fd < 0;
    int newer = -ENOENT;

    for (int index = 0, missing = 0; missing < 2 && index < FILES_MAX; index++) {
        struct log_file file;
        int r = log_file_find(reader->path, index, &file);

        missing = r == -ENOENT ? missing + 1 : 0;
        if (r < 0)
            continue;
        if (reader->fd >= 0 && log_file_same(&reader->file, reader->fd, &file)) {
            if (!older)
                return newer;
            passed = true;
        } else {
            *ret = file;
            if (older && passed)
                return index;
            newer = index;
        }
    }
    return older ? -ENOENT : newer;
}

/* An fd of the file next to the one being read, or -errno. A turn between the look and the
 * opening moves another file to that index, so whether it still is the next is asked again. */
static int open_beside(const struct reader *reader, bool older, struct log_file *ret)
{
    struct log_file file;
    int index = look_beside(reader, older, &file), fd = -ENOENT;

    for (int i = 0; index >= 0 && i < TURNS_MAX; i++) {
        if (fd >= 0)
            close(fd);
        fd = log_file_open(reader->path, index, ret);
        int again = look_beside(reader, older, &file);
        if (fd >= 0 && again == index && log_file_same(ret, fd, &file))
            break;
        index = again;
    }
    return fd;
}

static void change_to(struct reader *reader, int fd, const struct log_file *file)
{
    if (reader->fd >= 0)
        close(reader->fd);
    reader->fd = fd;
    reader->file = *file;
    reader->at = 0;
    str_clear(&reader->line);
}

/* Opens the file to begin with: the oldest, or the one that has the first of the last lines. */
static int begin(struct reader *reader)
{
    int64_t lines = reader->query->tail;
    struct log_file file;
    struct stat st;
    int fd = open_beside(reader, lines >= 0, &file);

    if (fd < 0)
        return fd;
    change_to(reader, fd, &file);
    if (lines == 0)
        reader->at = fstat(fd, &st) == 0 ? st.st_size : 0;
    while (lines > 0) {
        reader->at = seek_lines(reader->fd, &lines);
        fd = lines > 0 ? open_beside(reader, true, &file) : -ENOENT;
        if (fd < 0)
            break;
        change_to(reader, fd, &file);
    }
    return 0;
}

/* --- following ---------------------------------------------------------------------------------- */

/* Everything there is now, over as many files as there are. */
static int catch_up(struct reader *reader, bool (*cancelled)(void *user))
{
    for (;;) {
        int r = reader->fd >= 0 ? drain(reader, cancelled) : 0;
        if (r < 0 || reader->over)
            return r;
        struct log_file file;
        int fd = open_beside(reader, false, &file);
        if (fd < 0)
            return fd == -ENOENT ? 0 : fd;
        /* It may have been written to between our last read and its renaming. */
        r = reader->fd >= 0 ? drain(reader, cancelled) : 0;
        change_to(reader, fd, &file);
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
    int r;

    if (!query->out && !query->err)
        return error_set(err, EINVAL, "You must choose at least one stream");
    r = container_logs_readable(container, err);
    if (r < 0)
        return r;
    if (!query->follow)
        settle(container);
    reader.path = mem_printf("%s/%s-json.log", container->dir, container->id);
    r = begin(&reader);
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
