/* machine_fixture.h - a prepared template and an image with busybox, for all tests of
 * real machines. One root below /var/tmp; fixture_tear_down() removes it. */
#pragma once

#include <stdbool.h>

#include "base/random.h"
#include "isolation/hyperv/setup.h"
#include "isolation/isolation.h"
#include "tabique/error.h"

struct plan;

extern char fixture_root[];
extern char *fixture_machines, *fixture_image;
extern struct machine_setup fixture_setup;
extern int fixture_memory_fd;

int fixture_set_up(void **state);
int fixture_tear_down(void **state);
void fixture_tool(const char *path, const char *const *argv); /* must succeed */
/* A container's plan; dir: its state directory. */
struct plan *fixture_plan(const char *id, const char *dir, const char *const *argv, bool tty);

/* A container behind the wall, asked as a shim would. Its loop stops at each of its
 * events; nothing of it, nor of its machine, may be there after container_close(). */
struct container {
    struct loop *loop;
    struct isolation_instance *instance;
    struct isolation_process process;
    char *dir;
    char id[ID_LENGTH + 1];
    char ended_exec[ID_LENGTH + 1];
    int status;
    bool oom;
    char lost[ISOLATION_REASON_MAX];
    int lost_status;
};

/* memory_fd -EBADF: it boots cold. */
void container_open(struct container *container, const char *machines, int memory_fd);
int container_start(struct container *container, const char *const *argv, bool tty, struct error *err);
void container_run(struct container *container, const char *const *argv); /* open, and a start that must succeed */
void container_wait_exit(struct container *container);
void container_wait_lost(struct container *container, const char *reason);
void container_assert_output(struct container *container, const char *expected); /* waits for its end */
void container_close(struct container *container);
void plan_add_bind(struct plan *plan, const char *source, const char *target, uint64_t flags);
