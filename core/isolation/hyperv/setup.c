/* setup.c - see setup.h. */
#include "isolation/hyperv/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "isolation/hyperv/scratch.h"
#include "isolation/hyperv/vm.h"
#include "isolation/hyperv/worker.h"
#include "tabique/error.h"

#define DEFAULT_MEMORY (UINT64_C(1) << 30)
#define DEFAULT_SCRATCH (UINT64_C(10) << 30)
#define TEMPLATE_UID "74656d" /* an id like a container's, for worker_uid() */
#define SAVE_MS 60000

/* In the order of preference. The time is for the whole boot: a hypervisor that
 * really runs our guest needs a second or two; tcg on a loaded machine a few. There
 * are hosts whose KVM has no MSRs for "host" but runs a plain model, and such where
 * a stock kernel spins for ever: only an answer counts.
 * Under tcg every feature the guest finds it will also use, and pay for. arat:
 * without an always-running timer the idle guest polls (3 % of a core). */
static const struct {
    const char *name, *device, *cpu;
    int timeout_ms, tries;
} accelerators[] = {
    {"kvm", "/dev/kvm", "host,+arat", 6000, 1},
    {"kvm", "/dev/kvm", "qemu64,+arat", 6000, 1},
    {"mshv", "/dev/mshv", "host,+arat", 6000, 1},
    {"tcg", NULL, "qemu64,+arat", 120000, 3},
};

/* --- the key ------------------------------------------------------------------------- */

static uint64_t hash(uint64_t state, const void *data, size_t length) /* FNV-1a */
{
    const uint8_t *bytes = data;

    for (size_t i = 0; i < length; i++)
        state = (state ^ bytes[i]) * UINT64_C(0x100000001b3);
    return state;
}

static int hash_file(const char *path, uint64_t *state, struct error *err)
{
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    static uint8_t buffer[1 << 18];
    ssize_t n;

    if (fd < 0)
        return error_errno(err, errno, "cannot read %s", path);
    while ((n = fd_read_full(fd, buffer, sizeof(buffer))) > 0)
        *state = hash(*state, buffer, (size_t)n);
    return n < 0 ? error_errno(err, (int)-n, "cannot read %s", path) : 0;
}

/* All that a template stands on. Of QEMU, size and time of change stand for the
 * 20 MiB of its contents; the kernel and agent are small enough to be read. */
static int make_key(const struct machine_prepare *prepare, const struct machine_setup *setup, char *out, size_t size,
                    struct error *err)
{
    CLEANUP_FREE char *kernel = path_join(prepare->guest_dir, "vmlinuz");
    CLEANUP_FREE char *initramfs = path_join(prepare->guest_dir, "initramfs");
    CLEANUP_FREE char *warm = path_join(prepare->guest_dir, "warm");
    CLEANUP_FREE char *cpu = NULL;
    struct machine machine = {.id = "", .accelerator = "tcg", .cpu = "", .boot = true,
                              .memory_bytes = setup->memory_bytes, .cpus = setup->cpus, .kernel = "", .initrd = "",
                              .image_fd = -EBADF, .scratch_fd = -EBADF, .tap_fds = NO_TAPS};
    CLEANUP_STRV char **arguments = machine_arguments(&machine);
    uint64_t state = UINT64_C(0xcbf29ce484222325);
    struct stat st;
    int r;

    if (stat(prepare->qemu, &st) < 0)
        return error_errno(err, errno, "no QEMU: %s", prepare->qemu);
    state = hash(state, &st.st_size, sizeof(st.st_size));
    state = hash(state, &st.st_mtim, sizeof(st.st_mtim));
    state = hash(state, &prepare->scratch_bytes, sizeof(prepare->scratch_bytes));
    for (char **argument = arguments; *argument; argument++) {
        /* The time-stamp counter's frequency is measured anew each boot; a template
         * keeps the one it was booted with. */
        const char *varies = strstr(*argument, "tsc_early_khz");
        state = hash(state, *argument, varies ? (size_t)(varies - *argument) : strlen(*argument));
    }
    if (file_read(AT_FDCWD, "/proc/cpuinfo", 1 << 20, &cpu, NULL) >= 0) {
        const char *flags = strstr(cpu, "\nflags");
        if (flags)
            state = hash(state, flags, strcspn(flags + 1, "\n") + 1);
    }
    r = hash_file(kernel, &state, err);
    if (r >= 0)
        r = hash_file(initramfs, &state, err);
    if (r >= 0)
        r = hash_file(warm, &state, err);
    if (r >= 0)
        snprintf(out, size, "%016llx-%s", (unsigned long long)state, prepare->accelerator ? prepare->accelerator : "probe");
    return r;
}

/* --- the record ------------------------------------------------------------------------ */

void machine_setup_clear(struct machine_setup *setup)
{
    free(setup->dir);
    *setup = (struct machine_setup){0};
}

static void copy_value(char *out, size_t size, const char *value)
{
    snprintf(out, size, "%s", value);
}

static int load(const char *dir, struct machine_setup *ret, char *ret_boot_id, size_t boot_id_size, struct error *err)
{
    CLEANUP_FREE char *path = path_join(dir, "setup");
    CLEANUP_FREE char *text = NULL;
    CLEANUP_STRV char **lines = NULL;
    struct machine_setup setup = {.accelerator = "none"};
    int r = file_read(AT_FDCWD, path, 64 << 10, &text, NULL);

    if (r < 0)
        return error_set(err, ENOENT, "no machine has been prepared yet");
    lines = strv_split(text, '\n');
    for (char **line = lines; *line; line++) {
        char *value = strchr(*line, ' ');
        uint64_t number = 0;
        if (!value)
            continue;
        *value++ = '\0';
        (void)str_to_u64(value, &number);
        if (str_equal(*line, "accelerator"))
            copy_value(setup.accelerator, sizeof(setup.accelerator), value);
        else if (str_equal(*line, "cpu"))
            copy_value(setup.cpu, sizeof(setup.cpu), value);
        else if (str_equal(*line, "reason"))
            copy_value(setup.reason, sizeof(setup.reason), value);
        else if (str_equal(*line, "key"))
            copy_value(setup.key, sizeof(setup.key), value);
        else if (str_equal(*line, "boot-id") && ret_boot_id)
            copy_value(ret_boot_id, boot_id_size, value);
        else if (str_equal(*line, "memory"))
            setup.memory_bytes = number;
        else if (str_equal(*line, "cpus"))
            setup.cpus = (int)number;
        else if (str_equal(*line, "template"))
            setup.has_template = number == 1;
    }
    setup.dir = mem_strdup(dir);
    *ret = setup;
    return 0;
}

int machine_setup_load(const char *dir, struct machine_setup *ret, struct error *err)
{
    return load(dir, ret, NULL, 0, err);
}

static int save(const struct machine_setup *setup, struct error *err)
{
    CLEANUP_FREE char *path = path_join(setup->dir, "setup");
    CLEANUP_STR struct str text = STR_INIT;
    int r;

    str_printf(&text, "accelerator %s\ncpu %s\nreason %s\nboot-id %s\nkey %s\nmemory %llu\ncpus %d\ntemplate %d\n",
               setup->accelerator, setup->cpu, setup->reason, boot_id(), setup->key, (unsigned long long)setup->memory_bytes,
               setup->cpus, setup->has_template);
    r = file_write_atomic(AT_FDCWD, path, text.data, text.length, 0600);
    return r < 0 ? error_errno(err, -r, "cannot write %s", path) : 0;
}

/* --- making ------------------------------------------------------------------------------ */

static int copy_into(const char *from_dir, const char *name, const char *to_dir, struct error *err)
{
    CLEANUP_FREE char *from = path_join(from_dir, name);
    CLEANUP_FREE char *to = path_join(to_dir, name);
    CLEANUP_CLOSE int in = open(from, O_RDONLY | O_CLOEXEC);
    CLEANUP_CLOSE int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    int r = in < 0 || out < 0 ? -errno : fd_copy(in, out);

    return r < 0 ? error_errno(err, -r, "cannot copy %s to %s", from, to) : 0;
}

/* An empty ext4, made once; each container's disk is a sparse copy of it. */
static int make_scratch(const char *dir, uint64_t bytes, struct error *err)
{
    CLEANUP_FREE char *path = path_join(dir, "scratch.ext4");
    CLEANUP_FREE char *aside = path_join(dir, "scratch.new");
    CLEANUP_CLOSE int fd = -EBADF;
    struct stat st;
    int r;

    if (stat(path, &st) == 0 && st.st_size == (off_t)bytes)
        return 0;
    fd = open(aside, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_errno(err, errno, "cannot make %s", aside);
    r = scratch_format(fd, aside, bytes, err);
    if (r < 0)
        return r;
    return rename(aside, path) < 0 ? error_errno(err, errno, "cannot make %s", path) : 0;
}

/* What a pool machine runs once: an image of one small program. */
static int make_warm_image(const struct machine_prepare *prepare, const char *dir, struct error *err)
{
    CLEANUP_FREE char *tree = path_join(dir, "warm.tree");
    CLEANUP_FREE char *bin = path_join(tree, "bin");
    CLEANUP_FREE char *program = path_join(tree, WARM_PROGRAM);
    CLEANUP_FREE char *path = path_join(dir, "warm.erofs");
    CLEANUP_FREE char *output = NULL;
    const char *argv[] = {"mkfs.erofs", "-d0", path, tree, NULL};
    const struct child_spec mkfs = {.path = "/usr/bin/mkfs.erofs", .argv = (char *const *)(const void *)argv};
    int r = path_mkdirs(bin, 0755);

    if (r < 0)
        return error_errno(err, -r, "cannot make %s", bin);
    r = copy_into(prepare->guest_dir, "warm", bin, err);
    if (r >= 0 && chmod(program, 0755) < 0)
        r = error_errno(err, errno, "cannot make %s", program);
    if (r >= 0) {
        (void)unlink(path);
        r = child_run(&mkfs, 60000, 4096, &output, err);
        if (r > 0)
            r = error_set(err, EIO, "mkfs.erofs failed: %s", output);
    }
    (void)path_remove_tree(AT_FDCWD, tree);
    return r;
}

/* Boots, waits for the agent, saves. The probe of an accelerator and the making of
 * its template are one: what answers is kept. */
static int boot_and_save(const struct machine_setup *setup, int timeout_ms, struct error *err)
{
    CLEANUP_FREE char *memory_path = path_join(setup->dir, "memory");
    CLEANUP_FREE char *state_path = path_join(setup->dir, "state");
    CLEANUP_CLOSE int memory = open(memory_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CLEANUP_CLOSE int state = open(state_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CLEANUP(vm_end) struct vm vm = VM_INIT;
    struct vm_spec spec = {.setup = setup, .id = "template", .uid = worker_uid(TEMPLATE_UID), .boot = true,
                           .memory_fd = memory, .shared_memory = true, .image_fd = -EBADF, .scratch_fd = -EBADF,
                           .tap_fds = NO_TAPS};
    int r;

    if (memory < 0 || state < 0 || ftruncate(memory, (off_t)setup->memory_bytes) < 0 ||
        fchown(memory, spec.uid, spec.uid) < 0)
        return error_errno(err, errno, "cannot make %s", memory_path);
    r = vm_start(&spec, &vm, err);
    if (r >= 0)
        r = vm_wait_hello(&vm, timeout_ms, err);
    if (r >= 0)
        r = vm_save(&vm, state, SAVE_MS, err);
    vm_end(&vm);
    /* From now on it is nobody's but root's; clones map a sealed copy. */
    if (fchown(memory, 0, 0) < 0 && r >= 0)
        r = error_errno(err, errno, "cannot take %s back", memory_path);
    return r;
}

static int try_accelerators(const struct machine_prepare *prepare, struct machine_setup *setup, struct error *err)
{
    struct str reasons = STR_INIT;
    int r = -ENODEV;

    for (size_t i = 0; r < 0 && i < ARRAY_SIZE(accelerators); i++) {
        const char *name = accelerators[i].name, *device = accelerators[i].device;

        if (prepare->accelerator && !str_equal(prepare->accelerator, name))
            continue;
        if (device && access(device, R_OK | W_OK) < 0) {
            if (i == 0 || !str_equal(accelerators[i - 1].name, name))
                str_printf(&reasons, "%s: no %s; ", name, device);
            continue;
        }
        copy_value(setup->accelerator, sizeof(setup->accelerator), name);
        copy_value(setup->cpu, sizeof(setup->cpu), accelerators[i].cpu);
        for (int attempt = 0; r < 0 && attempt < accelerators[i].tries; attempt++) {
            struct error failure = ERROR_INIT;
            r = boot_and_save(setup, accelerators[i].timeout_ms, &failure);
            if (r < 0 && attempt + 1 == accelerators[i].tries)
                str_printf(&reasons, "%s (%s): %s; ", name, accelerators[i].cpu, failure.message);
        }
    }
    if (r < 0)
        copy_value(setup->accelerator, sizeof(setup->accelerator), "none");
    str_printf(&reasons, "%s", r < 0 ? "no machine answered" : "our guest answered");
    snprintf(setup->reason, sizeof(setup->reason), "%s", reasons.data);
    str_free(&reasons);
    return 0;
}

static int prepare_new(const struct machine_prepare *prepare, struct machine_setup *setup, struct error *err)
{
    CLEANUP_FREE char *root = path_join(setup->dir, "root");
    CLEANUP_FREE char *boot = path_join(root, "boot");
    int r;

    r = worker_root_make(prepare->qemu, root, err);
    if (r >= 0)
        r = copy_into(prepare->guest_dir, "vmlinuz", boot, err);
    if (r >= 0)
        r = copy_into(prepare->guest_dir, "initramfs", boot, err);
    if (r >= 0)
        r = make_scratch(setup->dir, prepare->scratch_bytes ? prepare->scratch_bytes : DEFAULT_SCRATCH, err);
    if (r >= 0)
        r = make_warm_image(prepare, setup->dir, err);
    if (r >= 0)
        r = try_accelerators(prepare, setup, err);
    if (r >= 0) {
        setup->has_template = !str_equal(setup->accelerator, "none");
        r = save(setup, err);
    }
    return r;
}

int machine_prepare(const struct machine_prepare *prepare, struct error *err)
{
    CLEANUP(machine_setup_clear) struct machine_setup setup = {0}, old = {0};
    CLEANUP_FREE char *damaged = path_join(prepare->dir, "damaged");
    char old_boot[64] = "";
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    int r;

    setup.dir = mem_strdup(prepare->dir);
    setup.memory_bytes = prepare->memory_bytes ? prepare->memory_bytes : DEFAULT_MEMORY;
    setup.cpus = prepare->cpus ? prepare->cpus : cpus > 4 ? 4 : (int)cpus;
    r = path_mkdirs(prepare->dir, 0700);
    if (r < 0)
        return error_errno(err, -r, "cannot make %s", prepare->dir);
    /* A server that was killed leaves its preparation running: the next one waits for
     * it, and then finds everything done. */
    CLEANUP_FREE char *lock_path = path_join(prepare->dir, "lock");
    CLEANUP_CLOSE int lock = open(lock_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0 || flock(lock, LOCK_EX) < 0)
        return error_errno(err, errno, "cannot lock %s", prepare->dir);
    r = make_key(prepare, &setup, setup.key, sizeof(setup.key), err);
    if (r < 0)
        return r;
    if (load(prepare->dir, &old, old_boot, sizeof(old_boot), NULL) >= 0 && str_equal(old.key, setup.key) &&
        str_equal(old_boot, boot_id()) && access(damaged, F_OK) < 0 && !str_equal(old.accelerator, "none"))
        return 0;
    /* Shims that run hold their own fds; new ones must not find half of two. */
    CLEANUP_FREE char *record = path_join(prepare->dir, "setup");
    (void)unlink(record);
    r = prepare_new(prepare, &setup, err);
    if (r >= 0)
        (void)unlink(damaged);
    return r;
}

/* --- using -------------------------------------------------------------------------------- */

#define PAGE 4096

/* Most of a fresh machine's memory was never touched, and some of what was is empty again. */
int machine_memory_copy(int from, int to, uint64_t bytes)
{
    static const char empty[PAGE];
    off_t data = 0, end = (off_t)bytes;
    char buffer[16 * PAGE];

    if (ftruncate(to, end) < 0)
        return -errno;
    while (data < end && (data = lseek(from, data, SEEK_DATA)) >= 0) {
        off_t hole = lseek(from, data, SEEK_HOLE);
        for (ssize_t n; data < hole; data += n) {
            size_t want = (size_t)(hole - data) < sizeof(buffer) ? (size_t)(hole - data) : sizeof(buffer);
            n = pread(from, buffer, want, data);
            if (n <= 0)
                return n < 0 ? -errno : -EIO;
            for (ssize_t at = 0; at < n; at += PAGE) {
                size_t length = n - at < PAGE ? (size_t)(n - at) : PAGE;
                if (memcmp(buffer + at, empty, length) != 0 && pwrite(to, buffer + at, length, data + at) != (ssize_t)length)
                    return errno ? -errno : -EIO;
            }
        }
    }
    return 0;
}

int machine_template_memory(const struct machine_setup *setup, int *ret_fd, struct error *err)
{
    CLEANUP_FREE char *path = path_join(setup->dir, "memory");
    CLEANUP_CLOSE int file = open(path, O_RDONLY | O_CLOEXEC);
    CLEANUP_CLOSE int memory = memfd_create("tabique-template", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (file < 0 || memory < 0)
        return error_errno(err, errno, "cannot open the template's memory");
    /* The worker, a user of its own, opens it for writing (QEMU knows no other way),
     * which the seals below make harmless. The caller's umask counts here, too. */
    if (fchmod(memory, 0666) < 0)
        return error_errno(err, errno, "cannot open the template's memory to the worker");
    int r = machine_memory_copy(file, memory, setup->memory_bytes);
    if (r < 0)
        return error_errno(err, -r, "cannot copy the template's memory");
    if (fcntl(memory, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
        return error_errno(err, errno, "cannot seal the template's memory");
    *ret_fd = TAKE_FD(memory);
    return 0;
}
