/* qmp.h - the few commands a worker is given over QMP.
 *
 * The shim is static and has no JSON library: commands are written from our own
 * values only, and of a reply only its kind is read, which is how QEMU prints the
 * line ("return", "error" or an event first). A worker that lies here fools only
 * its own container. Blocking with a deadline; the fd is a stream socket.
 * Source: QEMU's docs/interop/qmp-spec.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct error;

struct qmp {
    int fd;
    struct str buffer;
    size_t consumed;
    bool failed_migration; /* an event told of it */
};

#define QMP_INIT ((struct qmp){.fd = -EBADF})

int qmp_open(struct qmp *qmp, int fd, int timeout_ms, struct error *err); /* greeting and capabilities; takes fd */
void qmp_close(struct qmp *qmp);
/* `command` is a whole JSON object, format as printf's. pass_fd: sent along (SCM_RIGHTS), or -EBADF. */
int qmp_command(struct qmp *qmp, int pass_fd, int timeout_ms, struct error *err, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* Between commands: reads what the worker tells by itself and forgets it; a worker
 * whose events nobody reads would keep them all. false: its end. */
bool qmp_drain(struct qmp *qmp);
/* Asks query-migrate and query-status until the state is reached. */
int qmp_wait_migrated(struct qmp *qmp, int timeout_ms, struct error *err);
int qmp_wait_paused(struct qmp *qmp, int timeout_ms, struct error *err);
