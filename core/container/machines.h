/* machines.h - what the thick wall stands on, prepared in the background.
 *
 * At start the engine has the shim program probe the accelerators and make the
 * machine template (isolation/hyperv/setup.h), which takes seconds the first time and
 * nothing afterwards, and maps the template's memory once for all shims. Until that
 * is done a hyperv container may be created; its start waits.
 *
 * Threads: any. What machines_info() points to is valid until machines_free(). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct error;
struct machines;

struct machines_options {
    const char *shim_program;
    const char *dir;         /* <data>/machines */
    const char *guest_dir;   /* <libexec>/guest */
    const char *qemu;        /* NULL: where Debian puts it */
    const char *accelerator; /* NULL: probe */
    int64_t disk_bytes;      /* of a container's disk; 0: 10 GiB */
};

enum machines_state { MACHINES_PREPARING, MACHINES_READY, MACHINES_NONE };

struct machines_info {
    enum machines_state state;
    const char *accelerator; /* NULL unless ready */
    const char *reason;      /* why this one, or why none */
    const char *dir;
    int memory_fd;           /* sealed template memory; -EBADF: machines boot cold */
};

/* Begins at once; never fails: a host that cannot have machines says why in `reason`.
 * on_change (may be NULL) is called from the preparing thread when it is over. */
struct machines *machines_new(const struct machines_options *options, void (*on_change)(void *user), void *user);
/* A preparation takes seconds, and whoever stops the server does not wait for it: ends
 * it, and with it every machines_wait(). */
void machines_cancel(struct machines *machines);
void machines_free(struct machines *machines);
void machines_info(struct machines *machines, struct machines_info *ret);
/* Around a machine's start: only as many at once as the processors carry, the others
 * wait. All together each would take so long that it is given up as lost. */
void machines_turn_begin(struct machines *machines);
void machines_turn_end(struct machines *machines);
/* For as long as there may be some one day: a host that was too busy is asked again. */
int machines_wait_long(struct machines *machines, struct machines_info *ret);
/* Waits until it is known. -ENOTSUP with the reason where there are none. */
int machines_wait(struct machines *machines, struct machines_info *ret, struct error *err);
