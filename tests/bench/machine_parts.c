/* machine_parts.c - where a machine's start goes: machine_parts DIR ROUNDS, with DIR as
 * --prepare-machines left it. Prints medians in milliseconds, one "name value" a line:
 *
 *     worker   from fork to the monitor's greeting
 *     restore  the template's state and its disks, until the machine runs
 *     agent    its first answer: seeded, named, clock set
 *     network  eth0 of a namespace handed to a tap
 *     cold     all of the first three by a boot instead
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/random.h"
#include "isolation/hyperv/setup.h"
#include "isolation/hyperv/tap.h"
#include "isolation/hyperv/vm.h"
#include "isolation/hyperv/worker.h"
#include "rpc/rpc.h"
#include "tabique/error.h"

#define ROUNDS_MAX 100
#define COLD_ROUNDS 3
#define BOOT_MS 90000

enum { WORKER, RESTORE, AGENT, NETWORK, COLD, PARTS };
static const char *const names[PARTS] = {"worker", "restore", "agent", "network", "cold"};
static double times[PARTS][ROUNDS_MAX];

static void die(const struct error *err)
{
    fprintf(stderr, "machine_parts: %s\n", err->message);
    exit(1);
}

static double since(int64_t *at)
{
    int64_t now = clock_mono_ns();
    double ms = (double)(now - *at) / NS_PER_MS;

    *at = now;
    return ms;
}

static void introduce(int fd, struct error *err)
{
    struct rpc_decoder decoder = {0};
    struct rpc_frame frame;
    struct str body = STR_INIT;
    uint8_t entropy[64];

    random_bytes(entropy, sizeof(entropy));
    wire_put_bytes(&body, RPC_TAG_ENTROPY, entropy, sizeof(entropy));
    wire_put_i64(&body, RPC_TAG_TIME, clock_real_ns());
    wire_put_string(&body, RPC_TAG_HOSTNAME, "bench");
    int r = rpc_send(fd, RPC_MACHINE, 0, 1, body.data, body.length);
    do {
        if (r >= 0)
            r = rpc_receive(fd, &decoder, &frame, BOOT_MS);
    } while (r >= 0 && !(frame.flags & RPC_REPLY)); /* a cold one says hello first */
    if (r >= 0 && frame.flags & RPC_ERROR)
        r = rpc_decode_error(&frame, err, NULL);
    else if (r < 0)
        error_errno(err, -r, "the guest did not answer");
    rpc_decoder_free(&decoder);
    str_free(&body);
    if (r < 0)
        die(err);
}

static void one(const struct machine_setup *setup, int template_memory, bool cold, int round)
{
    struct error err = ERROR_INIT;
    struct vm vm = VM_INIT;
    CLEANUP_FREE char *state_path = path_join(setup->dir, "state");
    CLEANUP_CLOSE int state = open(state_path, O_RDONLY | O_CLOEXEC);
    CLEANUP_FREE char *disk_path = path_join(setup->dir, "scratch.ext4");
    CLEANUP_CLOSE int image = open(disk_path, O_RDONLY | O_CLOEXEC); /* QEMU looks for an fd of the very mode */
    CLEANUP_CLOSE int disk = open(disk_path, O_RDWR | O_CLOEXEC);
    CLEANUP_CLOSE int memory = memfd_create("cold", MFD_CLOEXEC);
    struct vm_spec spec = {.setup = setup, .id = "bench", .uid = worker_uid("be9c"), .boot = cold,
                           .memory_fd = cold ? memory : template_memory, .image_fd = -EBADF, .scratch_fd = -EBADF,
                           .tap_fds = NO_TAPS};
    int64_t begin = clock_mono_ns(), at = begin;

    if (ftruncate(memory, (off_t)setup->memory_bytes) < 0 || fchown(memory, spec.uid, spec.uid) < 0 ||
        vm_start(&spec, &vm, &err) < 0)
        die(&err);
    times[WORKER][round] = since(&at);
    if (!cold) {
        /* Nobody mounts them here: any file is disk enough. */
        if (vm_restore(&vm, state, BOOT_MS, &err) < 0 || vm_connect(&vm, image, disk, spec.tap_fds, BOOT_MS, &err) < 0)
            die(&err);
        times[RESTORE][round] = since(&at);
    }
    introduce(vm.agent_fd, &err);
    times[cold ? COLD : AGENT][round] = cold ? since(&begin) : since(&at);
    vm_end(&vm);
}

static void network(int round)
{
    const char *argv[] = {"ip", "link", "add", "eth0", "type", "veth", "peer", "name", "peer0", NULL};
    const struct child_spec ip = {.path = "/usr/sbin/ip", .argv = (char *const *)(const void *)argv};
    CLEANUP_FREE char *output = NULL;
    CLEANUP_STR struct str interfaces = STR_INIT;
    struct error err = ERROR_INIT;
    int taps[TAPS_MAX] = NO_TAPS;

    if (unshare(CLONE_NEWNET) < 0 || child_run(&ip, 10000, 4096, &output, &err) != 0)
        die(&err);
    int64_t at = clock_mono_ns();
    if (tap_open("/proc/self/ns/net", &interfaces, taps, &err) < 0)
        die(&err);
    times[NETWORK][round] = since(&at);
    for (int i = 0; i < TAPS_MAX; i++)
        if (taps[i] >= 0)
            close(taps[i]);
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return left < right ? -1 : left > right;
}

int main(int argc, char **argv)
{
    struct machine_setup setup;
    struct error err = ERROR_INIT;
    int memory = -EBADF, rounds;

    if (argc != 3 || str_to_int(argv[2], 1, ROUNDS_MAX, &rounds) < 0)
        return 2;
    if (machine_setup_load(argv[1], &setup, &err) < 0 || machine_template_memory(&setup, &memory, &err) < 0)
        die(&err);
    for (int i = 0; i < rounds; i++) {
        one(&setup, memory, false, i);
        network(i);
    }
    int cold = rounds < COLD_ROUNDS ? rounds : COLD_ROUNDS;
    for (int i = 0; i < cold; i++)
        one(&setup, memory, true, i);
    for (int part = 0; part < PARTS; part++) {
        int count = part == COLD ? cold : rounds;
        qsort(times[part], (size_t)count, sizeof(double), compare);
        printf("%s %.2f\n", names[part], times[part][count / 2]);
    }
    machine_setup_clear(&setup);
    close(memory);
    return 0;
}
