/* machine.h - the one machine type, as QEMU arguments.
 *
 * Template and clone differ in nothing that the guest can see: same devices in
 * the same order, same CPU, same memory; only the back ends differ. Nothing here
 * comes from a user: values are numbers and fd numbers of ours.
 */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

/* A template has as many as any clone may need; those without a tap stay down. */
#define MACHINE_NICS 4
#define NO_TAPS {-EBADF, -EBADF, -EBADF, -EBADF}

struct machine {
    const char *id;           /* shown in the worker's arguments */
    const char *accelerator;  /* "kvm", "mshv", "tcg" */
    const char *cpu;          /* QEMU model, as the probe found it to work */
    uint64_t memory_bytes;
    int cpus;
    bool shared_memory;       /* template: its writes go to the file */
    bool boot;                /* from the kernel (template, cold boot); else restored */
    const char *kernel, *initrd; /* paths inside the worker's root, with boot */
    /* Numbers in the worker. */
    int memory_fd;
    int qmp_fd;
    int agent_fd;
    int files_fd;             /* shared directories */
    int console_fd;
    int image_fd, scratch_fd; /* -EBADF: placeholders (template, pool) */
    int tap_fds[MACHINE_NICS]; /* -EBADF: not connected */
};

/* Newly allocated strv. */
char **machine_arguments(const struct machine *machine);
