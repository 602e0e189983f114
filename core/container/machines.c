/* machines.c - see machines.h. Owner: container. */
#include "container/machines.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/child.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "tabique/error.h"
#ifdef TABIQUE_HAVE_HYPERV
#include "isolation/hyperv/setup.h"
#endif

/* Three boots under tcg on a busy machine, and two hypervisors that never answer. */
#define PREPARE_MS 300000
#define TURNS_PER_CPU 2 /* a start also waits for disks and other processes */
#define REASON_SIZE 600
/* A host where no machine answered may just have been too busy. */
#define AGAIN_FIRST_MS 60000
#define AGAIN_LAST_MS 1800000
#define QEMU_X86 "/usr/bin/qemu-system-x86_64"
#define QEMU_ARM "/usr/bin/qemu-system-aarch64"

struct machines {
    char *shim_program, *dir, *guest_dir, *qemu, *wanted;
    void (*on_change)(void *user);
    void *user;
    pthread_t thread;
    bool has_thread;
    int cancel_fd;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum machines_state state;
    bool over; /* it stays so */
    int64_t disk_bytes;
    int turns; /* machines that may still begin to start */
    char accelerator[16];
    char reason[REASON_SIZE], refusal[REASON_SIZE];
    int memory_fd;
};

static void finish(struct machines *machines, enum machines_state state, const char *accelerator, const char *reason,
                   int memory_fd, bool over)
{
    /* What has been handed out stays: each state has its own text, the first. */
    char *text = state == MACHINES_READY ? machines->reason : machines->refusal;

    pthread_mutex_lock(&machines->lock);
    machines->state = state;
    machines->over = over;
    if (!*text)
        snprintf(text, REASON_SIZE, "%s", reason);
    if (accelerator)
        snprintf(machines->accelerator, sizeof(machines->accelerator), "%s", accelerator);
    machines->memory_fd = memory_fd;
    pthread_cond_broadcast(&machines->changed);
    pthread_mutex_unlock(&machines->lock);
    if (machines->on_change)
        machines->on_change(machines->user);
}

#ifdef TABIQUE_HAVE_HYPERV
static int run_preparation(struct machines *machines, struct error *err)
{
    CLEANUP_FREE char *disk = mem_printf("%lld", (long long)machines->disk_bytes);
    const char *argv[] = {"tabique-shim", "--prepare-machines", machines->dir, machines->guest_dir, machines->qemu,
                    disk, machines->wanted, NULL};
    const struct child_spec spec = {.path = machines->shim_program,
                                    .argv = (char *const *)(const void *)argv,
                                    .new_session = 1,
                                    .cancel_fd = machines->cancel_fd};
    CLEANUP_FREE char *output = NULL;
    int r = child_run(&spec, PREPARE_MS, 64 << 10, &output, err);

    if (r > 0) {
        size_t length = output ? strcspn(output, "\n") : 0;
        return error_set(err, EIO, "%.*s", (int)length, output ? output : "preparing machines failed");
    }
    return r;
}

/* -EAGAIN: no machine answered. */
static int prepare_once(struct machines *machines, bool quiet)
{
    struct machine_setup setup = {0};
    struct error err = ERROR_INIT;
    int memory_fd = -EBADF;
    bool again = false;
    int r;

    if (access(machines->guest_dir, R_OK) < 0)
        r = error_set(&err, ENOENT, "this build has no guest kernel (%s)", machines->guest_dir);
    else if (access(machines->qemu, X_OK) < 0)
        r = error_set(&err, ENOENT, "QEMU is not installed (%s); on Debian: apt-get install qemu-system-x86", machines->qemu);
    else
        r = run_preparation(machines, &err);
    if (r >= 0)
        r = machine_setup_load(machines->dir, &setup, &err);
    if (r >= 0 && (again = str_equal(setup.accelerator, "none")))
        r = error_set(&err, ENODEV, "%s", setup.reason);
    if (r < 0) {
        if (r != -ECANCELED && !quiet)
            log_warning("hyperv isolation is not available: %s", err.message);
        finish(machines, MACHINES_NONE, NULL, err.message, -EBADF, !again);
    } else {
        /* Without the template's memory every machine boots cold: slower, not wrong. */
        if (setup.has_template && machine_template_memory(&setup, &memory_fd, &err) < 0)
            log_warning("machines will boot cold: %s", err.message);
        log_info("hyperv isolation is ready, accelerated by %s", setup.accelerator);
        finish(machines, MACHINES_READY, setup.accelerator, setup.reason, memory_fd, true);
    }
    machine_setup_clear(&setup);
    return again ? -EAGAIN : r;
}

static void *prepare(void *user)
{
    struct machines *machines = user;
    struct pollfd cancel = {.fd = machines->cancel_fd, .events = POLLIN};
    int pause_ms = AGAIN_FIRST_MS;

    for (bool quiet = false; prepare_once(machines, quiet) == -EAGAIN; quiet = true) {
        if (poll(&cancel, 1, pause_ms) != 0) {
            finish(machines, MACHINES_NONE, NULL, "", -EBADF, true);
            break;
        }
        pause_ms = pause_ms * 2 > AGAIN_LAST_MS ? AGAIN_LAST_MS : pause_ms * 2;
    }
    return NULL;
}
#endif

struct machines *machines_new(const struct machines_options *options, void (*on_change)(void *user), void *user)
{
    struct machines *machines = mem_new(struct machines);

    machines->shim_program = mem_strdup(options->shim_program);
    machines->dir = mem_strdup(options->dir);
    machines->guest_dir = mem_strdup(options->guest_dir);
    machines->qemu = mem_strdup(options->qemu ? options->qemu : access(QEMU_X86, X_OK) == 0 ? QEMU_X86 : QEMU_ARM);
    machines->wanted = mem_strdup(options->accelerator);
    machines->disk_bytes = options->disk_bytes;
    machines->on_change = on_change;
    machines->user = user;
    machines->memory_fd = -EBADF;
    machines->turns = TURNS_PER_CPU * (int)sysconf(_SC_NPROCESSORS_ONLN);
    machines->cancel_fd = eventfd(0, EFD_CLOEXEC);
    pthread_mutex_init(&machines->lock, NULL);
    pthread_cond_init(&machines->changed, NULL);
#ifdef TABIQUE_HAVE_HYPERV
    machines->has_thread = pthread_create(&machines->thread, NULL, prepare, machines) == 0;
    if (!machines->has_thread)
        finish(machines, MACHINES_NONE, NULL, "the preparing thread could not be started", -EBADF, true);
#else
    finish(machines, MACHINES_NONE, NULL, "this build has no thick wall", -EBADF, true);
#endif
    return machines;
}

void machines_cancel(struct machines *machines)
{
    if (machines && machines->cancel_fd >= 0)
        (void)eventfd_write(machines->cancel_fd, 1);
}

void machines_free(struct machines *machines)
{
    if (!machines)
        return;
    machines_cancel(machines);
    if (machines->has_thread)
        pthread_join(machines->thread, NULL);
    cleanup_close(&machines->cancel_fd);
    cleanup_close(&machines->memory_fd);
    pthread_mutex_destroy(&machines->lock);
    pthread_cond_destroy(&machines->changed);
    free(machines->shim_program);
    free(machines->dir);
    free(machines->guest_dir);
    free(machines->qemu);
    free(machines->wanted);
    free(machines);
}

/* Called with the lock held. */
static void fill(const struct machines *machines, struct machines_info *ret)
{
    *ret = (struct machines_info){
        .state = machines->state,
        .accelerator = machines->state == MACHINES_READY ? machines->accelerator : NULL,
        .reason = machines->state == MACHINES_PREPARING ? "being prepared"
                  : machines->state == MACHINES_READY   ? machines->reason
                                                        : machines->refusal,
        .dir = machines->dir,
        .memory_fd = machines->memory_fd,
    };
}

void machines_info(struct machines *machines, struct machines_info *ret)
{
    pthread_mutex_lock(&machines->lock);
    fill(machines, ret);
    pthread_mutex_unlock(&machines->lock);
}

void machines_turn_begin(struct machines *machines)
{
    pthread_mutex_lock(&machines->lock);
    while (machines->turns == 0)
        pthread_cond_wait(&machines->changed, &machines->lock);
    machines->turns--;
    pthread_mutex_unlock(&machines->lock);
}

void machines_turn_end(struct machines *machines)
{
    pthread_mutex_lock(&machines->lock);
    machines->turns++;
    pthread_cond_broadcast(&machines->changed);
    pthread_mutex_unlock(&machines->lock);
}

int machines_wait_long(struct machines *machines, struct machines_info *ret)
{
    pthread_mutex_lock(&machines->lock);
    while (machines->state != MACHINES_READY && !machines->over)
        pthread_cond_wait(&machines->changed, &machines->lock);
    fill(machines, ret);
    pthread_mutex_unlock(&machines->lock);
    return ret->state == MACHINES_READY ? 0 : -ENOTSUP;
}

int machines_wait(struct machines *machines, struct machines_info *ret, struct error *err)
{
    struct machines_info info;

    pthread_mutex_lock(&machines->lock);
    while (machines->state == MACHINES_PREPARING)
        pthread_cond_wait(&machines->changed, &machines->lock);
    fill(machines, &info);
    pthread_mutex_unlock(&machines->lock);
    if (info.state != MACHINES_READY)
        return error_set(err, ENOTSUP, "hyperv isolation is not available on this host: %s", info.reason);
    *ret = info;
    return 0;
}
