/* guest_fixture.c - see guest_fixture.h. */
#include "hyperv/guest_fixture.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/loop.h"
#include "base/path.h"
#include "hyperv/machine_fixture.h"

struct loop *guest_loop;
static pthread_t loop_thread;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static void on_exited(void *user, const struct shim_exit *exit)
{
    struct guest *guest = user;

    pthread_mutex_lock(&lock);
    guest->exited = true;
    guest->status = exit->status;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void on_nothing(void *user)
{
}

const struct shim_events guest_events = {.exited = on_exited, .oom = on_nothing, .lost = on_nothing};

struct shim_spec guest_spec(const char *id, const char *dir)
{
    return (struct shim_spec){.program = TEST_SHIM_PROGRAM, .id = id, .dir = dir, .state_dir = dir, .isolation = "hyperv",
                              .log_max_files = 1, .machines_dir = fixture_machines, .machine_memory_fd = fixture_memory_fd};
}

void guest_new(struct guest *guest)
{
    *guest = (struct guest){.status = -1, .output = -EBADF};
    random_id(guest->id);
    guest->dir = path_join(fixture_root, guest->id);
    guest->run = path_join(guest->dir, "run");
    assert_int_equal(path_mkdirs(guest->run, 0700), 0);
}

void guest_wait(struct guest *guest)
{
    pthread_mutex_lock(&lock);
    while (!guest->exited)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

void assert_gone(pid_t pid)
{
    for (int i = 0; i < 3000 && kill(pid, 0) == 0; i++)
        usleep(10000);
    assert_int_equal(kill(pid, 0), -1);
}

void guest_end(struct guest *guest)
{
    pid_t shim = shim_pid(guest->shim);

    shim_shutdown(guest->shim);
    assert_gone(shim);
    if (guest->started.pid > 0)
        assert_gone(guest->started.pid);
    shim_free(guest->shim);
    cleanup_close(&guest->output);
}

void guest_free(struct guest *guest)
{
    free(guest->dir);
    free(guest->run);
}

void guest_close(struct guest *guest)
{
    guest_end(guest);
    guest_free(guest);
}

static void *run_loop(void *user)
{
    (void)loop_run(guest_loop);
    return NULL;
}

int guests_set_up(void **state)
{
    if (fixture_set_up(state) < 0 || loop_new(&guest_loop) < 0)
        return -1;
    return pthread_create(&loop_thread, NULL, run_loop, NULL) == 0 ? 0 : -1;
}

int guests_tear_down(void **state)
{
    loop_stop(guest_loop);
    pthread_join(loop_thread, NULL);
    loop_free(guest_loop);
    return fixture_tear_down(state);
}
