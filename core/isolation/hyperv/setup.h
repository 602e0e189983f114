/* setup.h - what a host has ready for its machines: made once, read by every shim.
 *
 * `tabique-shim --prepare-machines DIR` (run by the server in the background, as
 * the one process that knows QEMU) probes the accelerators, copies the worker's
 * root, makes the empty scratch disk and boots and saves the template; DIR/setup
 * then says, one "key value" a line, what came of it:
 *
 *     accelerator tcg          or "none"
 *     cpu qemu64,+arat         the model it answered with
 *     reason ...               why this one
 *     boot-id ...  key ...     of what it holds for
 *     memory BYTES  cpus N     the machine's size
 *     template 1               there is one to restore from
 *
 * Everything is made aside and renamed; a set-up of another kernel, agent, QEMU,
 * CPU or boot (the accelerator may differ) is not used and made again. Damage to a
 * template shows as a machine that does not answer: the shim then boots cold and
 * marks it (DIR/damaged), and the next preparation makes a new one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "isolation/hyperv/machine.h"

struct error;

#define WARM_PROGRAM "bin/warm" /* in warm.erofs, which pool machines run once */

struct machine_setup {
    char *dir;
    char accelerator[8]; /* "none": no machine runs here */
    char cpu[32];        /* QEMU's model */
    char reason[512];
    char key[80];        /* of template and worker root */
    uint64_t memory_bytes;
    int cpus;
    bool has_template;
};

struct machine_prepare {
    const char *dir;
    const char *guest_dir;    /* vmlinuz, initramfs, warm */
    const char *qemu;         /* path */
    const char *accelerator;  /* NULL: probe */
    uint64_t memory_bytes;    /* 0: 1 GiB */
    int cpus;                 /* 0: as the host, at most 4 */
    uint64_t scratch_bytes;   /* 0: 10 GiB */
};

int machine_prepare(const struct machine_prepare *prepare, struct error *err);
/* -ENOENT before the first preparation. */
int machine_setup_load(const char *dir, struct machine_setup *ret, struct error *err);
void machine_setup_clear(struct machine_setup *setup);
/* Holes and empty pages stay holes. Neither fd's offset counts. -errno. */
int machine_memory_copy(int from, int to, uint64_t bytes);
/* Sealed copy of the template's memory: private mappings of it cannot change it. */
int machine_template_memory(const struct machine_setup *setup, int *ret_fd, struct error *err);
