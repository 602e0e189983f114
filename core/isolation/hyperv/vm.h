/* vm.h - one worker with its machine: started, restored, spoken to, ended.
 *
 * Single-threaded callers. The struct owns its fds and the worker. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "isolation/hyperv/qmp.h"
#include "isolation/hyperv/setup.h"

struct error;

struct vm {
    pid_t pid;
    int pidfd;
    struct qmp qmp;
    int agent_fd, files_fd, console_fd;
    unsigned connections; /* how often it was given disks, and had them taken away */
    unsigned forgotten;   /* of those, whose fds QEMU has closed */
};

#define VM_INIT \
    ((struct vm){.pid = -1, .pidfd = -EBADF, .qmp = QMP_INIT, .agent_fd = -EBADF, .files_fd = -EBADF, .console_fd = -EBADF})

struct vm_spec {
    const struct machine_setup *setup; /* accelerator, size, worker root */
    const char *id;
    const char *cgroup;
    uid_t uid;
    bool boot;          /* cold; else waits for vm_restore() */
    int memory_fd;      /* template's (restore), or an empty one (boot) */
    bool shared_memory;
    int image_fd, scratch_fd;  /* boot only; -EBADF: placeholder */
    int tap_fds[MACHINE_NICS]; /* boot only; -EBADF: not connected */
};

int vm_start(const struct vm_spec *spec, struct vm *ret, struct error *err);
/* It then stands still, until vm_connect(). */
int vm_restore(struct vm *vm, int state_fd, int timeout_ms, struct error *err);
int vm_save(struct vm *vm, int state_fd, int timeout_ms, struct error *err);
/* Gives a machine that stands still, with the placeholders it was started with, its
 * disks and taps (-EBADF: stays as it is), and lets it run. The fds stay the
 * caller's. */
int vm_connect(struct vm *vm, int image_fd, int scratch_fd, const int *tap_fds, int timeout_ms, struct error *err);
/* Of a machine that runs: QEMU closes the disks it had before, which it keeps until told. */
int vm_forget_disks(struct vm *vm, int timeout_ms, struct error *err);
int vm_pause(struct vm *vm, int timeout_ms, struct error *err); /* until vm_connect() */
/* Stops it and takes its disks away, which the guest must have let go of. */
int vm_disconnect(struct vm *vm, int timeout_ms, struct error *err);
/* One interface of a machine that runs, onto a tap and off it. */
int vm_connect_tap(struct vm *vm, int index, int fd, int timeout_ms, struct error *err);
int vm_disconnect_tap(struct vm *vm, int index, int timeout_ms, struct error *err);
/* Waits for the agent's first word on a fresh boot. */
int vm_wait_hello(struct vm *vm, int timeout_ms, struct error *err);
/* Kills the worker if it is still there, reaps it, closes all. */
void vm_end(struct vm *vm);
