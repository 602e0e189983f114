/* pump.c - see pump.h. Owner: archive. */
#include "archive/pump.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/mem.h"
#include "tabique/error.h"

struct archive_pump {
    pthread_t thread;
    archive_produce_fn *produce;
    void *user;
    int in, out;
    int result;
    struct error err;
};

static int pump_write(void *user, const void *data, size_t size)
{
    return fd_write_all(((struct archive_pump *)user)->in, data, size);
}

static void *pump_main(void *user)
{
    struct archive_pump *pump = user;
    sigset_t pipe_signal;

    /* The reader may give up first. */
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_signal, NULL);
    pump->result = pump->produce(pump->user, pump_write, pump, &pump->err);
    close(pump->in);
    return NULL;
}

int archive_pump_begin(archive_produce_fn *produce, void *user, struct archive_pump **ret, struct error *err)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_errno(err, errno, "cannot make a pipe");
    struct archive_pump *pump = mem_new(struct archive_pump);
    *pump = (struct archive_pump){.produce = produce, .user = user, .out = ends[0], .in = ends[1]};
    int r = -pthread_create(&pump->thread, NULL, pump_main, pump);
    if (r < 0) {
        close(ends[0]);
        close(ends[1]);
        free(pump);
        return error_errno(err, r, "cannot start a thread");
    }
    *ret = pump;
    return 0;
}

ssize_t archive_pump_read(void *user, void *buffer, size_t size)
{
    struct archive_pump *pump = user;

    for (;;) {
        ssize_t got = read(pump->out, buffer, size);
        if (got >= 0)
            return got;
        if (errno != EINTR)
            return -errno;
    }
}

int archive_pump_end(struct archive_pump *pump, int r, struct error *err)
{
    close(pump->out);
    pthread_join(pump->thread, NULL);
    if (pump->result < 0 && pump->result != -EPIPE) {
        if (err)
            *err = pump->err;
        r = pump->result;
    }
    free(pump);
    return r;
}

int archive_tree_produce(void *user, archive_write_fn *write, void *write_user, struct error *err)
{
    const struct archive_tree *tree = user;

    return archive_create(tree->root_fd, tree->path, tree->name, tree->flags, write, write_user, err);
}

int archive_copy(const struct archive_tree *from, int to_fd, const char *to_path, unsigned extract_flags,
                 const struct archive_owner *owner, struct error *err)
{
    struct archive_pump *pump;

    int r = archive_pump_begin(archive_tree_produce, (void *)from, &pump, err);
    if (r < 0)
        return r;
    r = archive_extract_as(to_fd, to_path, archive_pump_read, pump, extract_flags, owner, NULL, NULL, err);
    return archive_pump_end(pump, r, err);
}
